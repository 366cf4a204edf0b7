// Any bytes at all, and truncations: nothing throws, nothing beside a frame is touched, the ledger balances, and flows go on.
import type { Frame } from '@l2l3/switch-core'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { TwoPassages } from './bench-passage.ts'
import { echo, hex, INSIDE, icmpPacket, Lab, OUTSIDE, tcpPacket, udpPacket } from './lab.ts'

const KNOWN = udpPacket('10.22.0.11#5000 > 203.0.113.2#53')
const OUT = udpPacket('203.0.113.1#5000 > 203.0.113.2#53')
const SEEDS = [
  KNOWN,
  tcpPacket('10.22.0.11#5000 > 203.0.113.2#80', 'S', { options: '020405b4' }),
  tcpPacket('203.0.113.2#80 > 203.0.113.1#8080', 'S'),
  echo('10.22.0.11#77 > 203.0.113.2'),
  icmpPacket({ src: '203.0.113.2', dst: '203.0.113.1' }, 3, 3, 0, hex(OUT)),
  icmpPacket({ src: '203.0.113.2', dst: '203.0.113.1' }, 5, 1, 0, hex(OUT)),
  udpPacket('fd00:22::b#5000 > 2001:db8:7::2#53'),
  icmpPacket(
    { src: '2001:db8:7::2', dst: '2001:db8:7::1' },
    1,
    4,
    0,
    hex(udpPacket('2001:db8:7::1#5000 > 2001:db8:7::2#53')),
  ),
  // A first fragment, and a later one, of IPv6.
  `6000000000102c40fd002200000000000000000000000b0b20010db8000700000000000000000002${'11000001000000aa'}138800350010000078`.slice(
    0,
    112,
  ),
  `6000000000102c40fd002200000000000000000000000b0b20010db8000700000000000000000002${'11000008000000aa'}0102030405060708`,
]

const packet = fc.oneof(
  fc.uint8Array({ maxLength: 120 }),
  fc
    .record({
      seed: fc.constantFrom(...SEEDS),
      cut: fc.nat(200),
      at: fc.array(fc.tuple(fc.nat(150), fc.nat(255)), { maxLength: 4 }),
    })
    .map(({ seed, cut, at }) => {
      const b = hex(seed)
      for (const [i, v] of at) if (i < b.length) b[i] = v
      return b.subarray(0, Math.max(0, b.length - (cut > 100 ? 0 : cut)))
    }),
  // Offsets, flags and lengths that contradict each other.
  fc
    .record({ word: fc.nat(0xffff), total: fc.nat(80), protocol: fc.constantFrom(1, 6, 17, 33, 47, 132, 136) })
    .map(({ word, total, protocol }) => {
      const b = hex(KNOWN)
      const view = new DataView(b.buffer)
      view.setUint16(2, total)
      view.setUint16(6, word)
      b[9] = protocol
      view.setUint16(10, 0)
      let s = 0
      for (let i = 0; i < 20; i += 2) s += view.getUint16(i)
      while (s > 0xffff) s = (s & 0xffff) + (s >>> 16)
      view.setUint16(10, ~s & 0xffff)
      return b
    }),
)
const offload = fc.option(
  fc.record({ flags: fc.nat(15), gso: fc.constantFrom(0, 1, 4, 5, 0x81), start: fc.nat(300), offset: fc.nat(40) }),
  { freq: 4 },
)

it('through passages', () => {
  const options = { maxFlows: 64, whenFull: 'evict' as const, mss: 'mtu' as const, seed: 7 }
  fc.assert(
    fc.property(fc.array(fc.tuple(packet, offload, fc.boolean()), { maxLength: 80 }), (list) => {
      const two = new TwoPassages(options, 256)
      two.send(two.out, KNOWN)
      for (const [b, o, back] of list) {
        const f = two.frame(b)
        if (o !== null) {
          two.pool.flags[f] = o.flags
          two.pool.gsoType[f] = o.gso
          two.pool.csumStart[f] = o.start
          two.pool.csumOffset[f] = o.offset
        }
        const out = two.pass(back ? two.back : two.out, [f])
        for (const g of out) {
          two.intact(g)
          two.pool.sent(g)
        }
        two.clock.advance(1e6)
        expect(two.pool.report().balanced).toBe(true)
      }
      two.clock.advance(60e9)
      two.loop.settle()
      two.clock.advance(60e9)
      two.loop.settle()
      expect(two.pool.report()).toMatchObject({ balanced: true, held: 0 })
      expect(two.send(two.out, KNOWN)).toEqual([OUT])
    }),
    { numRuns: 300 },
  )
})

it('through the router', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(packet, fc.boolean()), { maxLength: 60 }), (list) => {
      const lab = Lab.masquerading({ maxFlows: 64, whenFull: 'evict', mss: 1200 })
      lab.send(INSIDE, KNOWN)
      for (const [b, back] of list) {
        const v6 = b.length > 0 && (b[0] as number) >>> 4 === 6
        const eth = hex(back ? '0200000000b0 02000000000b' : '0200000000a0 02000000000a')
        lab.ports[back ? OUTSIDE : INSIDE]?.inject(Uint8Array.from([...eth, ...(v6 ? [0x86, 0xdd] : [8, 0]), ...b]))
        lab.loop.settle()
        for (const port of lab.ports) port.takeAll()
        expect(lab.pool.report().balanced).toBe(true)
      }
      lab.seconds(60)
      for (const port of lab.ports) port.takeAll()
      expect(lab.pool.report()).toMatchObject({ balanced: true, held: 0 })
      expect(lab.nat.addresses.size).toBeLessThan(64 * 4 + 3)
      expect(lab.say(INSIDE, KNOWN)).toHaveLength(1)
    }),
    { numRuns: 150 },
  )
})

it('addresses of IPv6 are given back with the flows', () => {
  const two = new TwoPassages({ maxFlows: 1024 })
  const frames: Frame[] = []
  for (let i = 0; i < 100; i++)
    frames.push(two.frame(hex(udpPacket(`fd00:22::${i.toString(16)}#5000 > 2001:db8:7::2#53`))))
  two.end(two.pass(two.back, frames))
  expect(two.nat.addresses.size).toBe(101)
  for (let i = 0; i < 40; i++) {
    two.clock.advance(1e9)
    two.loop.settle()
  }
  expect(two.nat.conntrack.size).toBe(0)
  expect(two.nat.addresses.size).toBe(0)
})
