// A table that is full makes room for IPv6 as it does for IPv4.
import { expect, it } from 'vitest'
import { Addresses6 } from '../../src/index.ts'
import { NatLab } from '../nat-lab.ts'
import { hex, udpPacket } from './lab.ts'

const packet = (v6: boolean, i: number): Uint8Array => {
  const [a, b] = [i >> 8, i & 255]
  return hex(
    udpPacket(
      v6
        ? `fd00:22::${i.toString(16)}#5000 > 2001:db8::${i.toString(16)}#53`
        : `10.22.${a}.${b}#5 > 198.18.${a}.${b}#53`,
    ),
  )
}

it.each([
  ['IPv4', false, undefined],
  ['IPv6', true, undefined],
  ['IPv6, with few addresses', true, 64],
] as const)('%s: evicts for every new flow', (_, v6, max) => {
  const lab = new NatLab({
    maxFlows: 1024,
    whenFull: 'evict',
    ...(max === undefined ? {} : { addresses: new Addresses6({ max }) }),
  })
  let passed = 0
  for (let i = 1; i <= 3000; i++) if (lab.out(packet(v6, i)) instanceof Uint8Array) passed++
  expect(passed).toBe(3000)
  expect(lab.nat.conntrack.counters).toMatchObject({ refused: 0, evicted: 3000 - (max === undefined ? 1024 : max / 2) })
})

it('refuses where it is to refuse', () => {
  const lab = new NatLab({ maxFlows: 16, addresses: new Addresses6({ max: 16 }) })
  const fates = Array.from({ length: 12 }, (_, i) => lab.out(packet(true, i + 1)))
  expect(fates.filter((f) => f instanceof Uint8Array)).toHaveLength(8)
  expect(new Set(fates.slice(8))).toEqual(new Set(['ConntrackFull']))
})
