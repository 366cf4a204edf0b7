// When a router complains, and when it must not: one rule a test, with where it is written.
import { describe, expect, it } from 'vitest'
import { SECOND } from '../../src/index.ts'
import { ALICE, ALL, ETH0, errorOf, frame6, hex, icmp4, Lab, packet4, packet6 } from './lab.ts'

const UNREACHABLE = 3

/** The one error that alice gets. */
function complaint(lab: Lab, ...frames: string[]): ReturnType<typeof errorOf> {
  const out = lab.send(0, ...frames)
  expect([Object.keys(out), out[0]?.length]).toEqual([['0'], 1])
  return errorOf(out[0]?.[0])
}

describe('ICMP errors', () => {
  it('time exceeded, from the interface towards the source, quoting it as it came (RFC 1812, 5.3.1, 4.3.2.4)', () => {
    const lab = new Lab()
    expect(lab.send(0, packet4({ ttl: 1 }))).toEqual({
      0: [
        // 10.0.0.1 to 10.0.0.2, TOS c0, TTL 64; ICMP 11/0; the datagram with its TTL of 1.
        `${ALICE}${ETH0}0800` +
          '45c0003c00010000400165fe0a0000010a000002' +
          '0b00326400000000' +
          '450000201234000001119296' +
          '0a0000020a000102' +
          '13880007000c0000c0ffee00',
      ],
    })
    expect(lab.drops).toEqual({ TtlExceeded: 1 })
    expect(lab.eth(0).counters).toMatchObject({ rxDropped: 1, icmpErrors: 1, txFrames: 1 })
    expect(lab.router.counters).toEqual({ icmpErrors: 1, icmpHeldBack: 0 })
  })

  it('no route: net unreachable; the route says so: host unreachable, prohibited (RFC 1812, 5.2.7.1)', () => {
    const lab = new Lab()
    lab.router.addRoute({ to: '192.0.2.0/24', type: 'unreachable' })
    lab.router.addRoute({ to: '198.51.100.0/24', type: 'prohibit' })
    const of = (dst: string) => complaint(lab, packet4({ dst }))
    expect(of('203.0.113.1')).toMatchObject({ src: '10.0.0.1', type: UNREACHABLE, code: 0 })
    expect(of('192.0.2.1')).toMatchObject({ type: UNREACHABLE, code: 1 })
    expect(of('198.51.100.1')).toMatchObject({ type: UNREACHABLE, code: 13 })
    expect(lab.drops).toEqual({ NoRoute: 1, Unreachable: 1, Prohibited: 1 })
  })

  it('a blackhole is silent', () => {
    const lab = new Lab()
    lab.router.addRoute({ to: '192.0.2.0/24', type: 'blackhole' })
    expect(lab.send(0, packet4({ dst: '192.0.2.1' }))).toEqual({})
    expect(lab.drops).toEqual({ Blackhole: 1 })
  })

  it('host unreachable when the neighbour does not answer (RFC 1812, 5.2.7.1)', () => {
    const lab = new Lab()
    for (const frame of [packet4({ dst: '10.0.1.77' }), packet6({ dst: '2001:db8:b::77' })])
      lab.ports[0]?.inject(hex(frame))
    expect(lab.collect(2)).toEqual({})
    lab.neighbours[1]?.giveUp()
    const [v4, v6] = lab.collect()[0]?.map(errorOf) ?? []
    expect(v4).toMatchObject({ dst: '10.0.0.2', src: '10.0.0.1', type: UNREACHABLE, code: 1 })
    expect(v6).toMatchObject({ dst: '2001:db8:a::2', src: '2001:db8:a::1', type: 1, code: 3 })
    expect(lab.drops).toEqual({ NoNeighbour: 2 })
    expect(lab.eth(1).counters).toMatchObject({ txDropped: 2, txFrames: 0 })
  })

  it('nobody is told that an answer of our own could not be delivered', () => {
    const lab = new Lab()
    // An echo from somebody on eth0 who does not answer ARP.
    lab.ports[0]?.inject(hex(packet4({ src: '10.0.0.9', dst: '10.0.0.1', protocol: 1, payload: icmp4(8, 0) })))
    expect(lab.collect(1)).toEqual({})
    lab.neighbours[0]?.giveUp()
    expect(lab.collect()).toEqual({})
    expect(lab.drops).toEqual({ NoNeighbour: 1 })
  })

  it('without neighbours nobody answers', () => {
    const lab = new Lab()
    lab.eth(1).neighbours = null
    expect(complaint(lab, packet4())).toMatchObject({ type: UNREACHABLE, code: 1 })
  })

  it('fragmentation needed says the MTU of the next hop (RFC 1191, 4)', () => {
    const lab = new Lab({}, [{}, { mtu: 1000 }])
    const frame = packet4({ flags: 0x4000, payload: '00'.repeat(981) })
    expect(complaint(lab, frame)).toMatchObject({ type: UNREACHABLE, code: 4, rest: 1000 })
    expect(lab.drops).toEqual({ TooBig: 1 })
  })

  it('port unreachable comes from the address that was asked (RFC 1122, 3.2.2.1; RFC 1812, 4.3.3.1)', () => {
    const lab = new Lab()
    expect(complaint(lab, packet4({ dst: '10.0.1.1' }))).toMatchObject({ src: '10.0.1.1', type: UNREACHABLE, code: 3 })
    expect(complaint(lab, packet4({ dst: '10.0.0.1', protocol: 253 }))).toMatchObject({ type: UNREACHABLE, code: 2 })
  })
  it('or is not said, if so configured', () => {
    const lab = new Lab({ unreachable: false })
    expect(lab.send(0, packet4({ dst: '10.0.1.1' }), packet6({ dst: '2001:db8:a::1' }))).toEqual({})
    expect(lab.drops).toEqual({ NoListener: 2 })
  })

  it('parameter problem says at which byte (RFC 1812, 4.3.3.5)', () => {
    const lab = new Lab()
    // Record route, whose length of 9 leaves the header of 28.
    expect(complaint(lab, packet4({ options: '01 07 09 04 00000000' }))).toMatchObject({
      type: 12,
      code: 0,
      rest: 21 << 24,
    })
    expect(lab.drops).toEqual({ Malformed: 1 })
  })

  it('is not sent about a directed broadcast (RFC 1812, 4.3.2.7)', () => {
    const lab = new Lab({}, [{}, { directedBroadcast: true, mtu: 1000 }])
    const to = { dst: '10.0.1.255' }
    const long = packet4({ ...to, flags: 0x4000, payload: '00'.repeat(981) })
    expect(lab.send(0, packet4({ ...to, ttl: 1 }), long, packet4({ ...to, options: '07 02 00 00' }))).toEqual({})
    expect(lab.drops).toEqual({ TtlExceeded: 1, TooBig: 1, Malformed: 1 })
  })

  it('is not longer than 576 bytes (RFC 1812, 4.3.2.3), or than the way back allows', () => {
    const frame = packet4({ ttl: 1, payload: 'ab'.repeat(1400) })
    expect(complaint(new Lab(), frame).length).toBe(576)
    expect(complaint(new Lab({}, [{ mtu: 300 }]), frame).length).toBe(300)
  })

  it('does not quote Ethernet padding', () => {
    const e = complaint(new Lab(), `${packet4({ ttl: 1 })}${'ee'.repeat(20)}`)
    expect(e.quote).toBe(packet4({ ttl: 1 }).slice(28))
  })

  it('has precedence 6 and the TOS of the packet (RFC 1812, 4.3.2.5)', () => {
    expect(complaint(new Lab(), packet4({ ttl: 1, tos: 0x10 })).tos).toBe(0xd0)
    expect(complaint(new Lab(), packet4({ ttl: 1, tos: 0xb9 })).tos).toBe(0xd8)
  })

  it('comes from the interface it leaves by, or, if so configured, the one the packet came in by', () => {
    for (const [icmpSource, src] of [
      ['outgoing', '10.0.1.1'],
      ['incoming', '10.0.0.1'],
    ] as const) {
      const lab = new Lab({ icmpSource })
      lab.router.addRoute({ to: '192.0.2.0/24', via: '10.0.1.2' })
      const out = lab.send(0, packet4({ src: '192.0.2.9', ttl: 1 }))
      expect(errorOf(out[1]?.[0])).toMatchObject({ dst: '192.0.2.9', src, to: '02000000000b' })
    }
    expect(() => new Lab({ icmpSource: 'x' as never })).toThrow('icmpSource must be outgoing or incoming, not x')
  })

  it('of an interface without addresses comes from another; without any, from 192.0.0.8 (RFC 7600, 4.8)', () => {
    const lab = new Lab()
    const pod = lab.plug('ee:ee:ee:ee:ee:ee', [], {
      '10.244.1.5': '02:00:00:00:00:55',
      '2001:db8:55::5': '02:00:00:00:00:55',
    })
    lab.router.addRoute({ to: '10.244.1.5/32', dev: pod })
    lab.router.addRoute({ to: '2001:db8:55::5/128', dev: pod })
    const v4 = packet4({ to: 'eeeeeeeeeeee', src: '10.244.1.5', ttl: 1 })
    const v6 = packet6({ to: 'eeeeeeeeeeee', src: '2001:db8:55::5', hops: 1 })
    expect(lab.send(2, v4, v6)[2]?.map((f) => errorOf(f).src)).toEqual(['10.0.0.1', '2001:db8:a::1'])
    for (const i of [0, 1]) for (const a of [...lab.eth(i).addresses]) lab.router.removeAddress(lab.eth(i), a)
    expect(lab.send(2, v4, v6)[2]?.map((f) => errorOf(f).src)).toEqual(['192.0.0.8'])
  })

  it('does not fit into the pool: then it is not sent', () => {
    const lab = new Lab({}, [], { frames: 1 })
    expect(lab.send(0, packet4({ ttl: 1 }))).toEqual({})
    expect(lab.drops).toEqual({ TtlExceeded: 1 })
  })
})

describe('no ICMP error (RFC 1812, 4.3.2.7)', () => {
  const silent = (what: string, frame: string): void => {
    it(what, () => {
      const lab = new Lab()
      expect(lab.send(0, frame)).toEqual({})
      expect(lab.router.counters).toEqual({ icmpErrors: 0, icmpHeldBack: 0 })
    })
  }
  for (const type of [3, 4, 5, 11, 12]) {
    silent(`about ICMP error ${type}`, packet4({ ttl: 1, protocol: 1, payload: icmp4(type, 0, 0, '00'.repeat(28)) }))
  }
  silent('about ICMP without a type', packet4({ ttl: 1, protocol: 1, payload: '' }))
  silent('about an unknown ICMP type', packet4({ ttl: 1, protocol: 1, payload: icmp4(99, 0) }))
  silent('about a packet to a multicast group', packet4({ to: '01005e000009', dst: '224.0.0.9', ttl: 1 }))
  silent('about a packet to a broadcast address', packet4({ to: ALL, dst: '10.0.0.255' }))
  silent('about a packet in a broadcast frame', packet4({ to: ALL, dst: '10.0.0.1' }))
  silent('about a fragment other than the first', packet4({ ttl: 1, offset: 1480 }))
  silent('to a source that is no host: 0.0.0.0', packet4({ src: '0.0.0.0', ttl: 1 }))
  silent('to a source that is no host: loopback', packet4({ src: '127.0.0.1', ttl: 1 }))
  silent('to a source that is no host: multicast', packet4({ src: '224.1.1.1', ttl: 1 }))
  silent('to a source that is no host: class E', packet4({ src: '250.1.1.1', ttl: 1 }))
  silent('to a source without a route', packet4({ src: '203.0.113.5', ttl: 1 }))
  it('but about a query, and about a first fragment', () => {
    const lab = new Lab()
    const frames = [packet4({ ttl: 1, protocol: 1, payload: icmp4(8, 0) }), packet4({ ttl: 1, flags: 0x2000 })]
    expect(lab.send(0, ...frames)[0]).toHaveLength(2)
  })
})

describe('ICMPv6 errors (RFC 4443)', () => {
  it('time exceeded, quoting the packet as it came (3.3)', () => {
    const lab = new Lab()
    expect(complaint(lab, packet6({ hops: 1 }))).toEqual({
      to: ALICE,
      src: '2001:db8:a::1',
      dst: '2001:db8:a::2',
      tos: 0,
      ttl: 64,
      type: 3,
      code: 0,
      rest: 0,
      length: 40 + 8 + 52,
      quote: packet6({ hops: 1 }).slice(28),
    })
    expect(lab.drops).toEqual({ TtlExceeded: 1 })
  })
  it('no route, prohibited, beyond scope, port (3.1)', () => {
    const lab = new Lab()
    lab.router.addRoute({ to: '2001:db8:4::/48', type: 'prohibit' })
    lab.router.addRoute({ to: '2001:db8:5::/48', type: 'blackhole' })
    const udp = '13880007000ce1bcc0ffee00'
    expect(complaint(lab, packet6({ dst: '2001:db8:f::1' }))).toMatchObject({ type: 1, code: 0 })
    expect(complaint(lab, packet6({ dst: '2001:db8:4::1' }))).toMatchObject({ type: 1, code: 1 })
    expect(complaint(lab, packet6({ src: 'fe80::a' }))).toMatchObject({
      dst: 'fe80::a',
      src: 'fe80::1',
      type: 1,
      code: 2,
    })
    expect(complaint(lab, packet6({ dst: '2001:db8:b::1', payload: udp }))).toMatchObject({
      src: '2001:db8:b::1',
      type: 1,
      code: 4,
    })
    expect(lab.send(0, packet6({ dst: '2001:db8:5::1' }))).toEqual({})
    expect(lab.drops).toEqual({ NoRoute: 1, Prohibited: 1, LinkScope: 1, NoListener: 1, Blackhole: 1 })
  })
  it('packet too big says the MTU, and never less than 1,280 (3.2; RFC 8200, 5)', () => {
    const frame = packet6({ payload: '00'.repeat(1400) })
    expect(complaint(new Lab({}, [{}, { mtu: 1400 }]), frame)).toMatchObject({ type: 2, code: 0, rest: 1400 })
    expect(complaint(new Lab({}, [{}, { mtu: 500 }]), frame)).toMatchObject({ type: 2, code: 0, rest: 1280 })
  })
  it('unrecognized next header: parameter problem (3.4)', () => {
    expect(complaint(new Lab(), packet6({ dst: '2001:db8:a::1', next: 253 }))).toMatchObject({
      type: 4,
      code: 1,
      rest: 6,
    })
  })
  it('is not longer than 1,280 bytes (2.4 c)', () => {
    expect(complaint(new Lab(), packet6({ hops: 1, payload: '00'.repeat(1450) })).length).toBe(1280)
  })
  const silent = (what: string, frame: string): void => {
    it(`none ${what}`, () => expect(new Lab().send(0, frame)).toEqual({}))
  }
  for (const type of [1, 2, 3, 4, 127]) silent(`about ICMPv6 error ${type} (2.4 e.1)`, frame6({ hops: 1 }, type, 0))
  silent('about a redirect (2.4 e.2)', frame6({ hops: 1 }, 137, 0))
  silent(
    'about an error behind extension headers',
    packet6({ hops: 1, next: 60, payload: '3a000104000000000100000000000000' }),
  )
  silent(
    'about a later fragment of ICMPv6',
    packet6({ hops: 1, next: 44, payload: '3a000018000000070000000000000000' }),
  )
  silent('about a packet to a multicast group (2.4 e.3)', packet6({ to: '333300000005', dst: 'ff05::5', hops: 1 }))
  silent('about a packet in a multicast frame (2.4 e.4)', packet6({ to: '333300000005', hops: 1 }))
  silent('to :: (2.4 e.6)', packet6({ src: '::', hops: 1 }))
  silent('to a multicast source (2.4 e.6)', packet6({ src: 'ff02::1', hops: 1 }))
  silent('to a source without a route', packet6({ src: '2001:db8:f::1', hops: 1 }))
  it('but about an echo, and about a later fragment of something else', () => {
    const later = packet6({ hops: 1, next: 44, payload: '11000018000000070000000000000000' })
    expect(new Lab().send(0, frame6({ hops: 1 }, 128, 0), later)[0]).toHaveLength(2)
  })
})

describe('the rate limit (RFC 1812, 4.3.2.8; RFC 4443, 2.4 f)', () => {
  const frames = (n: number): string[] => new Array<string>(n).fill(packet4({ ttl: 1 }))
  it('50 at once, then 1,000 a second', () => {
    const lab = new Lab()
    expect(lab.send(0, ...frames(100))[0]).toHaveLength(50)
    expect(lab.router.counters).toEqual({ icmpErrors: 50, icmpHeldBack: 50 })
    lab.clock.advance(SECOND / 100)
    expect(lab.send(0, ...frames(100))[0]).toHaveLength(10)
    lab.clock.advance(10 * SECOND)
    expect(lab.send(0, ...frames(100))[0]).toHaveLength(50)
  })
  it('is set, for both families together', () => {
    const lab = new Lab({ icmpRate: 10, icmpBurst: 3 })
    expect(lab.send(0, ...frames(2), packet6({ hops: 1 }), packet6({ hops: 1 }))[0]).toHaveLength(3)
  })
  it('none, and all', () => {
    expect(new Lab({ icmpRate: 0 }).send(0, ...frames(1))).toEqual({})
    expect(new Lab({ icmpRate: Number.POSITIVE_INFINITY }).send(0, ...frames(100))[0]).toHaveLength(100)
    expect(() => new Lab({ icmpRate: -1 })).toThrow(/^icmpRate must be 0 or more a second, not -1$/)
    expect(() => new Lab({ icmpBurst: 0 })).toThrow(/^icmpBurst must be 1 or more, not 0$/)
    expect(() => new Lab({ icmpRate: '9' as never })).toThrow(/^icmpRate must be 0 or more a second, not 9$/)
  })
  it('does not hold back what path MTU discovery lives on', () => {
    const lab = new Lab({ icmpRate: 0 }, [{}, { mtu: 1280 }])
    const v4 = packet4({ flags: 0x4000, payload: '00'.repeat(1300) })
    expect(lab.send(0, v4, packet6({ payload: '00'.repeat(1300) }))[0]).toHaveLength(2)
  })
  it('does not hold back echo replies', () => {
    const lab = new Lab({ icmpRate: 0 })
    expect(lab.send(0, packet4({ dst: '10.0.0.1', protocol: 1, payload: icmp4(8, 0) }))[0]).toHaveLength(1)
  })
})
