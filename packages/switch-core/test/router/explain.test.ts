// What the router says of packets that are followed: which route matched, and why a packet goes no further.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Listener } from '../listener.ts'
import { ALICE, ALL, BOB, ETH0, ETH1, frame6, hex, icmp4, Lab, packet4, packet6 } from './lab.ts'

/** A lab, and what is said in it when a frame comes in by an interface. */
function said(lab: Lab, i: number, ...frames: string[]): string[] {
  const trace = new Listener(lab.pool)
  lab.send(i, ...frames)
  return trace.heard()
}

describe('the router explains', () => {
  it('the route, the hop that is taken off, and the MAC', () => {
    const lab = new Lab()
    lab.router.addRoute({ to: '10.9.0.0/16', via: '10.0.1.2' })
    lab.router.addRoute({ to: '0.0.0.0/0', via: '10.0.1.2' })
    const out = 'router: out by eth1: source MAC 02:00:00:00:00:b0'
    expect(said(lab, 0, packet4())).toEqual(['router: route 10.0.1.0/24 dev eth1, TTL 64 -> 63', out])
    expect(said(lab, 0, packet4({ dst: '10.9.3.4', ttl: 9 }))).toEqual([
      'router: route 10.9.0.0/16 via 10.0.1.2 dev eth1, TTL 9 -> 8',
      out,
    ])
    expect(said(lab, 0, packet4({ dst: '198.51.100.7' }))).toEqual([
      'router: default route via 10.0.1.2 dev eth1, TTL 64 -> 63',
      out,
    ])
    expect(said(lab, 0, packet6())).toEqual(['router: route 2001:db8:b::/64 dev eth1, hop limit 64 -> 63', out])
  })

  it('which of several next hops', () => {
    const lab = new Lab()
    lab.router.addRoute({ to: '10.9.0.0/16', hops: [{ via: '10.0.1.2' }, { via: '10.0.1.2', weight: 2 }] })
    expect(said(lab, 0, packet4({ dst: '10.9.3.4' }))[0]).toBe(
      'router: route 10.9.0.0/16 via 10.0.1.2 dev eth1, one of 2 next hops by the hash of the flow, TTL 64 -> 63',
    )
  })

  it('what is for the router itself, and what becomes of it', () => {
    const lab = new Lab()
    expect(said(lab, 0, packet4({ dst: '10.0.1.1', protocol: 1, payload: icmp4(8, 0, 0x10001) }))).toEqual([
      'router: 10.0.1.1 is an address of eth1: for the router itself',
      'router: echo request answered: the packet turns round, 10.0.1.1 > 10.0.0.2',
      'router: out by eth0: source MAC 02:00:00:00:00:a0',
    ])
    expect(said(lab, 0, frame6({ dst: '2001:db8:a::1' }, 128, 0, 0x10001))).toEqual([
      'router: 2001:db8:a::1 is an address of eth0: for the router itself',
      'router: echo request answered: the packet turns round, 2001:db8:a::1 > 2001:db8:a::2',
      'router: out by eth0: source MAC 02:00:00:00:00:a0',
    ])
    expect(said(lab, 0, packet4({ dst: '10.0.0.1', payload: '1388 0035 000c 0000 c0ffee00' }))).toEqual([
      'router: 10.0.0.1 is an address of eth0: for the router itself',
      'router > ICMP error: 10.0.0.1 tells 10.0.0.2 "port unreachable"',
      'router: out by eth0: source MAC 02:00:00:00:00:a0',
      'router: nobody here takes UDP to 10.0.0.1:53',
    ])
  })

  it('why a packet goes no further, with the error about it', () => {
    const lab = new Lab({}, [{ reversePathFilter: 'strict' }])
    lab.router.addRoute({ to: '10.7.0.0/16', type: 'blackhole' })
    lab.router.addRoute({ to: '10.8.0.0/16', type: 'prohibit' })
    const error = (what: string): string[] => [
      `router > ICMP error: 10.0.0.1 tells 10.0.0.2 "${what}"`,
      'router: out by eth0: source MAC 02:00:00:00:00:a0',
    ]
    expect(said(lab, 0, packet4({ ttl: 1 }))).toEqual([
      ...error('time exceeded'),
      'router: TTL 1: it may go no further',
    ])
    expect(said(lab, 0, packet4({ dst: '203.0.113.9' }))).toEqual([
      'router: no route leads to 203.0.113.9',
      ...error('network unreachable'),
    ])
    expect(said(lab, 0, packet4({ dst: '10.7.0.9' }))).toEqual(['router: 10.7.0.9: route 10.7.0.0/16 is a blackhole'])
    expect(said(lab, 0, packet4({ dst: '10.8.0.9' }))).toEqual([
      'router: 10.8.0.9: route 10.8.0.0/16 prohibits it',
      ...error('communication prohibited'),
    ])
    expect(said(lab, 0, packet4({ src: '10.0.1.9', dst: '10.0.1.2' }))).toEqual([
      'router: 10.0.1.9 is not reached by eth0 (reverse-path filter strict)',
    ])
    expect(said(lab, 0, packet4({ src: '127.0.0.1' }))).toEqual(['router: nobody speaks from 127.0.0.1 to eth0'])
    expect(said(lab, 0, packet4({ to: BOB }))).toEqual([
      'router: for 02:00:00:00:00:0b, and eth0 has 02:00:00:00:00:a0',
    ])
    expect(said(lab, 0, packet4({ to: ALL }))).toEqual(['router: for 10.0.1.2 alone, and it came to all on the link'])
    expect(said(lab, 0, `${ETH0}${ALICE}88cc${'00'.repeat(40)}`)).toEqual(['router: EtherType 0x88cc is not routed'])
  })

  it('what is too long, and its fragments', () => {
    const lab = new Lab({}, [{}, { mtu: 600 }])
    const payload = `1388 0007 03f0 0000 ${'5a'.repeat(1000)}`
    expect(said(lab, 0, packet4({ payload, flags: 0x4000 }))).toEqual([
      'router: 1028 bytes are more than the MTU of eth1, 600: it must not be cut (DF)',
      'router > ICMP error: 10.0.0.1 tells 10.0.0.2 "fragmentation needed", MTU 600',
      'router: out by eth0: source MAC 02:00:00:00:00:a0',
    ])
    expect(said(lab, 0, packet4({ payload }))).toEqual([
      'router: route 10.0.1.0/24 dev eth1, TTL 64 -> 63',
      'router: 1028 bytes are more than the MTU of eth1, 600: cut into fragments',
      'fragmentation > fragment 2 of 2',
      'fragmentation: cut into 2 fragments for an MTU of 600: this is the first',
      'router: out by eth1: source MAC 02:00:00:00:00:b0',
      'router: out by eth1: source MAC 02:00:00:00:00:b0',
    ])
    expect(said(lab, 0, packet6({ payload: `1388 0007 0578 0000 ${'5a'.repeat(1392)}` }))).toEqual([
      'router: 1440 bytes are more than the MTU of eth1, 600: routers do not cut IPv6',
      'router > ICMPv6 error: 2001:db8:a::1 tells 2001:db8:a::2 "packet too big", MTU 1280',
      'router: out by eth0: source MAC 02:00:00:00:00:a0',
    ])
  })

  it('that it keeps silent where the limit of errors is reached', () => {
    const lab = new Lab({ icmpRate: 1, icmpBurst: 1 })
    said(lab, 0, packet4({ ttl: 1 }))
    expect(said(lab, 0, packet4({ ttl: 1 }))).toEqual([
      'router: no ICMP error: the limit of errors a second is reached',
      'router: TTL 1: it may go no further',
    ])
  })

  it('and does what it does untraced', () => {
    const ip = fc.constantFrom('10.0.0.2', '10.0.1.2', '10.0.1.1', '10.9.1.1', '127.0.0.1', '224.0.0.1', '10.0.1.255')
    const four = fc
      .record({ dst: ip, src: ip, ttl: fc.constantFrom(1, 64), flags: fc.constantFrom(0, 0x4000), n: fc.nat(700) })
      .map(({ n, ...p }) => packet4({ ...p, payload: `1388 0007 000c 0000${'5a'.repeat(n)}` }))
    const six = fc
      .record({
        dst: fc.constantFrom('2001:db8:b::2', '2001:db8:a::1', 'ff02::1', 'fe80::1', '2001:db8:c::1'),
        hops: fc.constantFrom(1, 64),
        n: fc.nat(1400),
      })
      .map(({ n, ...p }) => packet6({ ...p, payload: `1388 0007 000c 0000${'5a'.repeat(n)}` }))
    const echo = fc.constantFrom(
      packet4({ dst: '10.0.0.1', protocol: 1, payload: icmp4(8, 0, 7) }),
      frame6({ dst: 'fe80::1', src: 'fe80::a' }, 128, 0, 7),
    )
    const bytes = fc.uint8Array({ maxLength: 80 }).map((b) => `${ETH0}${ALICE}${Buffer.from(b).toString('hex')}`)
    const cut = fc
      .tuple(fc.oneof(four, six), fc.nat(60))
      .map(([f, n]) => f.slice(0, 2 * Math.max(14, f.length / 2 - n)))
    const traffic = fc.array(fc.tuple(fc.nat(1), fc.array(fc.oneof(four, six, echo, bytes, cut), { maxLength: 8 })), {
      maxLength: 6,
    })
    fc.assert(
      fc.property(traffic, (batches) => {
        const [plain, traced] = [false, true].map((listening) => {
          const lab = new Lab({}, [{}, { mtu: 500 }], { frames: 64 })
          if (listening) new Listener(lab.pool)
          const out = batches.map(([i, frames]) => {
            for (const f of frames) lab.ports[i]?.inject(hex(i === 0 ? f : f.replace(ETH0, ETH1)))
            lab.loop.settle()
            for (const table of lab.neighbours) table.giveUp()
            return lab.collect()
          })
          return { out, counters: lab.router.interfaces.map((x) => x.counters), report: lab.pool.report() }
        })
        expect(traced).toEqual(plain)
      }),
      { numRuns: 200 },
    )
  })
})
