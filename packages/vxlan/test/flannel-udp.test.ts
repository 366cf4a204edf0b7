/**
 * flannel's UDP backend (modes.md 11): what a process between TUN and socket does to packets.
 */
import { type Frame, GsoType } from '@l2l3/switch-core'
import { checksum, formatIpv4, ipv4, udp } from '@l2l3/switch-core/wire'
import { expect, test } from 'vitest'
import { type FlannelRoute, FlannelUdp, type FlannelUdpOptions } from '../src/index.ts'
import { answerOf, datagram, ETH4, ETH6, flat, hex, Lab, MAC, OUT4, packet, show } from './ip-tunnel-lab.ts'

const ROUTES: FlannelRoute[] = [
  { to: '10.244.2.0/24', via: '192.168.77.2' },
  { to: '10.244.3.0/24', via: '192.168.77.3' },
]

function flannel(options: Partial<FlannelUdpOptions> = {}): Lab<FlannelUdp> {
  return new Lab(
    (pool, clock, links) =>
      new FlannelUdp(pool, clock, {
        local: '192.168.77.1',
        address: '10.244.1.0',
        mac: MAC,
        routes: ROUTES,
        ...links,
        ...options,
      }),
  )
}

/** A datagram of node 2 around an inner packet. */
function from2(inner: string, port = 8285, src = '192.168.77.2'): string {
  const b = hex(OUT4 + packet({ src, dst: '192.168.77.1', payload: 8 + inner.length / 2 }))
  udp.write(b, 34, 40000, port, inner.length / 2)
  b.set(hex(inner), 42)
  udp.fillChecksum(b, 14, 34)
  return show(b)
}

test('no header of its own: UDP 8285 both ways, TTL 64, DF, one hop less inside', () => {
  const lab = flannel()
  const [out] = lab.wrap(ETH4 + packet({ ttl: 63, tos: 1 }))
  const b = hex(out ?? '')
  expect([b[15], b[20], b[22], formatIpv4(ipv4.dst(b, 14))]).toEqual([0, 0x40, 64, '192.168.77.2'])
  expect(show(b.subarray(34, 40))).toBe(flat('205d 205d 0024'))
  expect(checksum.sum(b, 34, b.length, checksum.pseudo4(b, 14, 17, b.length - 34))).toBe(0xffff)
  expect(show(b.subarray(42))).toBe(packet({ ttl: 62, tos: 1 }))
  expect(lab.tunnel.mtu).toBe(1472)
})

test('and one hop less on the way out', () => {
  const lab = flannel()
  expect(lab.unwrap(from2(packet({ ttl: 62 })))).toEqual([ETH4 + packet({ ttl: 61 })])
})

test('where no hop is left the packet ends, and nobody is told', () => {
  const lab = flannel()
  expect(lab.wrap(ETH4 + packet({ ttl: 1 }), ETH4 + packet({ ttl: 0 }))).toEqual([])
  expect(lab.unwrap(from2(packet({ ttl: 1 })))).toEqual([])
  expect(lab.drops).toEqual({ TtlExceeded: 3 })
})

test('no route: net unreachable from the TUN, TTL 8, header and 8 bytes', () => {
  const lab = flannel()
  const offender = packet({ dst: '10.244.9.9', payload: datagram('10.244.1.5', '10.244.9.9', 20) })
  lab.inside.inject(hex(ETH4 + offender))
  const { out, into } = lab.collect()
  expect(out).toEqual([])
  expect(answerOf(into[0])).toEqual({
    macs: '0200000000aa0200000000aa',
    src: flat('0af40100'),
    dst: flat('0af40105'),
    type: 3,
    code: 0,
    mtu: 0,
    length: 20 + 8 + 28,
    quote: offender.slice(0, 56),
  })
  expect(hex(into[0] ?? '')[22]).toBe(8)
  expect(lab.drops).toEqual({ NoRoute: 1 })
})

test('nothing is said about ICMP, later fragments, and what goes to a group', () => {
  const lab = flannel()
  const nowhere = { dst: '10.244.9.9' }
  const fragment = hex(packet(nowhere))
  fragment[7] = 1
  ipv4.fillChecksum(fragment, 0)
  for (const p of [packet({ ...nowhere, protocol: 1 }), show(fragment), packet({ dst: '239.1.1.1' })]) {
    lab.inside.inject(hex(ETH4 + p))
  }
  expect(lab.collect()).toEqual({ out: [], into: [] })
  expect(lab.drops).toEqual({ NoRoute: 3 })
})

test('the first route that matches wins, and changes places with the first one', () => {
  const lab = flannel({
    routes: [
      { to: '10.0.0.0/8', via: '192.168.77.8' },
      { to: '10.244.2.0/24', via: '192.168.77.2' },
      { to: '172.16.0.0/12', via: '192.168.77.9' },
    ],
  })
  const to = (dst: string) => formatIpv4(ipv4.dst(hex(lab.wrap(ETH4 + packet({ dst }))[0] ?? ''), 14))
  // The longest prefix would be node 2.
  expect(to('10.244.2.7')).toBe('192.168.77.8')
  expect(to('172.16.1.1')).toBe('192.168.77.9')
  expect(lab.tunnel.routes.map((r) => r.via)).toEqual(['192.168.77.9', '192.168.77.2', '192.168.77.8'])
  // Now node 2 is before the wide one.
  expect(to('10.244.2.7')).toBe('192.168.77.2')
})

test('routes are added, changed and taken away', () => {
  const { tunnel } = flannel({ maxRoutes: 2 })
  expect(() => tunnel.addRoute({ to: '10.244.4.0/24', via: '192.168.77.4' })).toThrow(/2 routes already: maxRoutes/)
  tunnel.addRoute({ to: '10.244.3.0/24', via: '192.168.77.33' })
  expect(tunnel.routes[1]).toEqual({ to: '10.244.3.0/24', via: '192.168.77.33' })
  expect([tunnel.deleteRoute('10.244.2.0/24'), tunnel.deleteRoute('10.244.2.0/24')]).toEqual([true, false])
  expect(() => tunnel.addRoute({ to: 'fd00::/64', via: '192.168.77.4' })).toThrow(/to must be an IPv4 prefix/)
})

test('each refusal has its reason', () => {
  const lab = flannel({ peers: ['192.168.77.0/24'] })
  const wrong = hex(from2(packet()))
  wrong[50]! ^= 1
  const cases: [string, string][] = [
    ['BadChecksum', show(wrong)],
    ['TunnelProtocol', from2(packet(), 8286)],
    ['TunnelProtocol', from2(packet({ src: 'fd00::1', dst: 'fd00::2' }))],
    ['UnknownPeer', from2(packet(), 8285, '192.168.78.2')],
    ['InnerRunt', from2('4500')],
    ['Malformed', from2(packet().replace(/^4500001c/, '4500001d'))],
    ['InnerRunt', from2('')],
  ]
  for (const [why, frame] of cases) {
    const before = lab.drops[why as 'Runt'] ?? 0
    expect([why, lab.unwrap(frame), lab.drops[why as 'Runt']]).toEqual([why, [], before + 1])
  }
  // A datagram without a checksum is taken.
  const none = hex(from2(packet()))
  none[40] = 0
  none[41] = 0
  expect(lab.unwrap(show(none)).length).toBe(1)
  expect(lab.wrap(ETH6 + packet({ src: 'fd00::1', dst: 'fd00::2' }))).toEqual([])
  expect(lab.drops.NotIp).toBe(1)
})

test('a train of datagrams in one frame (UDP GSO) comes apart', () => {
  const lab = flannel()
  const inner = [packet({ ttl: 62, id: 1 }), packet({ ttl: 62, id: 2 }), packet({ ttl: 62, id: 3 })]
  const f = lab.pool.from(hex(from2(inner.join('')))) as Frame
  lab.pool.ledger.receive(1)
  lab.pool.gsoType[f] = GsoType.Udp
  lab.pool.gsoSize[f] = 28
  lab.loop.link(lab.tunnel.decap).push(f)
  expect(lab.collect().into).toEqual([1, 2, 3].map((id) => ETH4 + packet({ ttl: 61, id })))
})

test('what makes no sense is refused', () => {
  expect(() => flannel({ address: 'x' })).toThrow(/address: not an IPv4 address/)
  expect(() => flannel({ port: 0 })).toThrow(/port must be/)
  expect(() => flannel({ local: 'fd00::1' })).toThrow(/remote must be an address where local is IPv6/)
})
