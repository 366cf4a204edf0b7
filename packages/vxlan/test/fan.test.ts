/** The address rule of FAN networking, and its tunnel: modes.md 15 and A8. */
import { formatIpv4, parseIpv4 } from '@l2l3/switch-core/wire'
import { expect, test } from 'vitest'
import { FanMapping, type IpTunnel, ipipTunnel } from '../src/index.ts'
import { ETH4, ETH6, flat, Lab, MAC, OUT4, packet } from './ip-tunnel-lab.ts'

const FAN = { overlay: '250.0.0.0/8', underlay: '172.16.0.0/16' }

test('host 172.16.3.4 owns 250.3.4.0/24, and 250.3.5.15 is on 172.16.3.5', () => {
  const fan = new FanMapping(FAN)
  expect(fan.hostBits).toBe(8)
  expect(formatIpv4(fan.subnetOf(parseIpv4('172.16.3.4')))).toBe('250.3.4.0')
  expect(formatIpv4(fan.nodeOf(parseIpv4('250.3.5.15')))).toBe('172.16.3.5')
  expect(fan.nodeOf(parseIpv4('251.3.5.15'))).toBe(-1)
  expect(fan.subnetOf(parseIpv4('172.17.3.4'))).toBe(-1)
})

test('other widths: each node of the underlay gets back to itself', () => {
  for (const [overlay, underlay, bits] of [
    ['10.0.0.0/8', '192.168.1.0/24', 16],
    ['240.0.0.0/4', '172.16.0.0/12', 8],
    ['100.64.0.0/10', '10.1.2.0/28', 18],
    ['0.0.0.0/0', '192.168.0.0/16', 16],
  ] as const) {
    const fan = new FanMapping({ overlay, underlay })
    expect(fan.hostBits).toBe(bits)
    const base = parseIpv4(underlay.split('/')[0] as string)
    for (let i = 0; i < 16; i++) {
      const node = base + i
      const subnet = fan.subnetOf(node)
      expect([fan.nodeOf(subnet), fan.nodeOf(subnet + 2 ** bits - 1)]).toEqual([node, node])
    }
  }
})

test('what has no room, or is no prefix, is refused', () => {
  const make = (overlay: string, underlay: string) => () => new FanMapping({ overlay, underlay })
  expect(make('250.0.0.0/8', '172.0.0.0/8')).toThrow(/has 24 bits: too few for the 24 of underlay/)
  expect(make('250.0.0.0', '172.16.0.0/16')).toThrow(/too few/)
  expect(make('250.1.0.0/8', '172.16.0.0/16')).toThrow(/overlay: .*host bits/)
  expect(make('250.0.0.0/8', 'fd00::/16')).toThrow(/underlay must be an IPv4 prefix, not fd00::\/16/)
  expect(make('250.0.0.0/8', '172.16.0.0/33')).toThrow(/underlay: /)
})

function fan(local = '172.16.3.4'): Lab<IpTunnel> {
  return new Lab((pool, clock, links) =>
    ipipTunnel(pool, clock, { local, remote: { fan: FAN }, mac: MAC, ttl: 64, df: 'clear', ...links }),
  )
}

test('the worked frame of modes.md A8', () => {
  const inner = flat('4500001c000100003f117eb8fa030402fa03050f 1388 1b58 0008 0000')
  const lab = fan()
  // Identifications count from 1: it is the second packet.
  const [, second] = lab.wrap(ETH4 + inner, ETH4 + inner)
  expect(second).toBe(OUT4 + flat('450000300002000040041c9fac100304ac100305') + inner)
})

test('a destination that is not of the overlay has no node, and nobody else may send', () => {
  const lab = fan()
  expect(lab.wrap(ETH4 + packet({ src: '250.3.4.2', dst: '8.8.8.8' }))).toEqual([])
  expect(lab.drops).toEqual({ NoRemote: 1 })
  const from = (src: string) => OUT4 + packet({ src, dst: '172.16.3.4', protocol: 4, payload: packet() })
  expect(lab.unwrap(from('172.16.9.9')).length).toBe(1)
  expect(lab.unwrap(from('172.17.9.9'))).toEqual([])
  expect(lab.drops).toEqual({ NoRemote: 1, UnknownPeer: 1 })
  expect(lab.wrap(`${ETH6}${packet({ src: 'fd00::1', dst: 'fd00::2' })}`)).toEqual([])
  expect(() => fan('10.0.0.1')).toThrow(/local is not in the FAN underlay/)
})
