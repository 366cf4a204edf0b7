// An IPv6 router, packet by packet: bytes in, bytes out.
import { describe, expect, it } from 'vitest'
import { ALICE, BOB, ETH0, ETH1, errorOf, flat, frame6, hex, Lab, packet6 } from './lab.ts'

describe('forwarding', () => {
  it('takes one off the hop limit and puts MACs on', () => {
    const lab = new Lab()
    const sent = `0200000000a0 02000000000a 86dd | 6 00 00000 000c 11 40
                  20010db8000a00000000000000000002 20010db8000b00000000000000000002
                  1388 0007 000c 0000 c0ffee00 | 000000`
    expect(lab.send(0, sent)).toEqual({
      1: [
        flat(`02000000000b 0200000000b0 86dd | 6 00 00000 000c 11 3f
              20010db8000a00000000000000000002 20010db8000b00000000000000000002
              1388 0007 000c 0000 c0ffee00`),
      ],
    })
  })
  it('leaves the hop limit of what comes in by an interface without `decrementTtl`', () => {
    const lab = new Lab({}, [{ decrementTtl: false }])
    for (const hops of [64, 1]) {
      expect(lab.send(0, packet6({ hops }))).toEqual({ 1: [packet6({ hops, to: BOB, from: ETH1 })] })
    }
  })
  it('goes by a gateway, which may have a link-local address', () => {
    const lab = new Lab()
    lab.router.addRoute({ to: '2001:db8:1::/48', via: '2001:db8:b::2' })
    lab.router.addRoute({ to: '2001:db8:2::/48', via: 'fe80::b', dev: lab.eth(1) })
    const out = lab.send(0, packet6({ dst: '2001:db8:1::1' }), packet6({ dst: '2001:db8:2::1' }))[1] as string[]
    expect(out.map((f) => f.slice(0, 24))).toEqual([BOB + ETH1, BOB + ETH1])
  })
  it('leaves extension headers and fragments as they are', () => {
    const lab = new Lab()
    const p = { next: 0, payload: '1100010400000000 1388 0007 000c 0000 c0ffee00' }
    const q = { next: 44, payload: '11000018000000070000000000000000' }
    expect(lab.send(0, packet6(p), packet6(q))).toEqual({
      1: [p, q].map((x) => packet6({ ...x, hops: 63, to: BOB, from: ETH1 })),
    })
  })
  it('a super-frame passes whole where its segments fit, else is too big', () => {
    const tcp = `1388 0050 00000001 00000002 5010 2000 0000 0000 ${'5a'.repeat(3000)}`
    const send = (mtu: number): Record<number, string[]> => {
      const lab = new Lab({}, [{}, { mtu }])
      const f = lab.pool.from(hex(packet6({ next: 6, payload: tcp }))) as number
      lab.pool.flags[f] = 1
      lab.pool.gsoType[f] = 4
      lab.pool.gsoSize[f] = 1440
      lab.pool.csumStart[f] = 54
      lab.pool.csumOffset[f] = 16
      lab.ports[0]?.injectFrame(f as never)
      return lab.collect()
    }
    expect(send(1500)[1]?.map((f) => hex(f).length - 14)).toEqual([1500, 1500, 180])
    expect(send(1499)[0]).toHaveLength(1)
  })
})

describe('what is none', () => {
  it.each([
    ['version 4', (b: Uint8Array) => (b[14] = 0x40)],
    ['a length beyond the frame', (b: Uint8Array) => (b[19]! += 1)],
  ])('%s: Malformed', (_, spoil) => {
    const lab = new Lab()
    const frame = hex(packet6())
    spoil(frame)
    expect(lab.send(0, frame, frame.subarray(0, 53))).toEqual({})
    expect(lab.drops).toEqual({ Malformed: 2 })
  })
  it.each(['::1', 'ff02::1', 'ff0e::1', '::ffff:10.0.0.9', '::'])(
    'nothing comes from %s (RFC 4291, 2.5, 2.7)',
    (src) => {
      const lab = new Lab()
      expect(lab.send(0, packet6({ src }))).toEqual({})
      expect(lab.drops).toEqual({ MartianSource: 1 })
    },
  )
  it.each(['::', '::1', '::ffff:10.0.0.9', 'ff00::1', 'ff01::1'])('nothing goes to %s (RFC 4291, 2.5, 2.7)', (dst) => {
    const lab = new Lab()
    lab.router.addRoute({ to: '::/0', via: '2001:db8:b::2' })
    expect(lab.send(0, packet6({ dst }))).toEqual({})
    expect(lab.drops).toEqual({ MartianDestination: 1 })
  })
  it('link-local addresses do not leave their link (RFC 4291, 2.5.6)', () => {
    const lab = new Lab()
    lab.router.addRoute({ to: '::/0', via: '2001:db8:b::2' })
    expect(lab.send(0, packet6({ dst: 'fe80::b' }))).toEqual({})
    expect(lab.drops).toEqual({ LinkScope: 1 })
  })
  it('groups are not routed on, nor packets for one host in a frame for many', () => {
    const lab = new Lab()
    expect(lab.send(0, packet6({ to: '333300000005', dst: 'ff05::5' }), packet6({ to: '333300000005' }))).toEqual({})
    expect(lab.drops).toEqual({ GroupDestination: 1, LinkBroadcast: 1 })
  })
  it('the reverse-path filter leaves link-local sources alone', () => {
    const lab = new Lab({}, [{ reversePathFilter: 'strict' }])
    expect(lab.send(0, packet6({ src: '2001:db8:b::9' }), packet6({ src: '2001:db8:f::9' }))).toEqual({})
    expect(lab.drops).toEqual({ ReversePath: 2 })
    expect(lab.send(0, packet6(), frame6({ src: 'fe80::a', dst: 'fe80::1' }, 128, 0))).toMatchObject({ 0: {}, 1: {} })
  })
})

describe('echo (RFC 4443, 4.2)', () => {
  const reply = (src: string, dst: string, data = ''): string =>
    frame6({ to: ALICE, from: ETH0, src, dst }, 129, 0, 0x00070001, data)
  it.each([
    ['the near address', '2001:db8:a::2', '2001:db8:a::1', ETH0, '2001:db8:a::1'],
    ['the far address', '2001:db8:a::2', '2001:db8:b::1', ETH0, '2001:db8:b::1'],
    ['the link-local address', 'fe80::a', 'fe80::1', ETH0, 'fe80::1'],
    ['all nodes', 'fe80::a', 'ff02::1', '333300000001', 'fe80::1'],
    ['all routers', '2001:db8:a::2', 'ff02::2', '333300000002', '2001:db8:a::1'],
    ['the solicited-node group', 'fe80::a', 'ff02::1:ff00:1', '3333ff000001', 'fe80::1'],
  ])('to %s is answered', (_, src, dst, to, from) => {
    const lab = new Lab()
    const ask = frame6({ to, src, dst, hops: 1, flowLabel: 0x12345 }, 128, 0, 0x00070001, 'c0ffee')
    expect(lab.send(0, ask)).toEqual({ 0: [reply(from, src, 'c0ffee')] })
  })
  it('keeps the traffic class, and leaves extension headers out', () => {
    const lab = new Lab()
    const ask = hex(frame6({ src: '2001:db8:a::2', dst: '2001:db8:a::1' }, 128, 0, 0x00070001, 'aa'))
    const options = hex('3a00 0104 00000000')
    const long = new Uint8Array([...ask.subarray(0, 54), ...options, ...ask.subarray(54)])
    long[14] = 0x62
    long[15] = 0x80
    long[19]! += 8
    long[20] = 60
    const out = lab.send(0, long)[0]?.[0] as string
    expect(out).toBe(
      frame6(
        { to: ALICE, from: ETH0, src: '2001:db8:a::1', dst: '2001:db8:a::2', trafficClass: 0x28 },
        129,
        0,
        0x00070001,
        'aa',
      ),
    )
  })
  it.each([
    ['to another solicited-node group', { to: '3333ff000002', dst: 'ff02::1:ff00:2' }, 'GroupDestination'],
    ["to another interface's link-local address", { dst: 'fe80::2' }, 'LinkScope'],
    ['from nobody', { src: '::', dst: '2001:db8:a::1' }, 'NoListener'],
    ['from where no route leads', { src: '2001:db8:f::9', dst: '2001:db8:a::1' }, 'NoRoute'],
  ])('%s is not', (_, p, why) => {
    const lab = new Lab()
    expect(lab.send(0, frame6(p, 128, 0))).toEqual({})
    expect(lab.drops).toEqual({ [why]: 1 })
  })
  it('with a wrong checksum is not', () => {
    const lab = new Lab()
    const frame = hex(frame6({ dst: '2001:db8:a::1' }, 128, 0, 7, 'c0'))
    frame[frame.length - 1]! ^= 1
    expect(lab.send(0, frame)).toEqual({})
    expect(lab.drops).toEqual({ BadChecksum: 1 })
  })
  it('whose answer is too long for the way back is not', () => {
    const lab = new Lab({}, [{ mtu: 1280 }])
    expect(lab.send(0, frame6({ dst: '2001:db8:a::1' }, 128, 0, 7, '00'.repeat(1300)))).toEqual({})
    expect(lab.drops).toEqual({ TooBig: 1 })
  })
})

describe('packets for the router itself', () => {
  it('are offered to onLocal, then the local link', () => {
    const seen: string[] = []
    const lab = new Lab({
      onLocal: (_, iface) => {
        seen.push(iface.name)
        return false
      },
    })
    lab.router.local = lab.loop.link({ process: (batch) => void seen.push(`link ${batch.length}`) })
    lab.send(0, packet6({ dst: '2001:db8:a::1' }), packet6({ to: '333300000009', dst: 'ff02::9' }))
    expect(seen).toEqual(['eth0', 'eth0', 'link 2'])
  })
  it('end for a reason where nobody takes them', () => {
    const lab = new Lab()
    const to = { dst: '2001:db8:a::1' }
    const frames = [
      packet6({ ...to, next: 6 }),
      packet6({ ...to, next: 59, payload: '' }),
      packet6({ ...to, next: 44, payload: '1100000100000007 0000000000000000' }),
      // A routing header of type 0 with a segment left (RFC 5095).
      packet6({ ...to, next: 43, payload: `1102000100000000${'20010db8000b00000000000000000002'}0000000000000000` }),
      packet6({ ...to, next: 0, payload: '11ff' }),
    ]
    // About the routing header alone is something said.
    expect(Object.entries(lab.send(0, ...frames)).map(([i, out]) => [i, out.length])).toEqual([['0', 1]])
    expect(lab.drops).toEqual({ NoListener: 2, Fragment: 1, SourceRoute: 1, Malformed: 1 })
  })
})

describe('extension headers of packets for the router itself', () => {
  const ask = hex(frame6({ dst: '2001:db8:a::1' }, 128, 0, 0x00070001, 'c0ffee'))
  const reply = frame6({ to: ALICE, from: ETH0, src: '2001:db8:a::1', dst: '2001:db8:a::2' }, 129, 0, 0x70001, 'c0ffee')
  /** The echo request with headers in front; the first is of kind `next`. */
  const behind = (next: number, headers: string, to: { to?: string; dst?: string } = {}): string =>
    packet6({ dst: '2001:db8:a::1', ...to, next, payload: headers + Buffer.from(ask.subarray(54)).toString('hex') })
  const problem = (code: number, rest: number) => ({ type: 4, code, rest, src: '2001:db8:a::1', dst: '2001:db8:a::2' })

  it.each([
    [
      'routing header, segments left (RFC 5095)',
      43,
      '3a02000100000000 20010db8000b00000000000000000002',
      problem(0, 42),
      'SourceRoute',
    ],
    ['routing header of an unknown type (RFC 8200, 4.4)', 43, '3a00fd0100000000', problem(0, 42), 'SourceRoute'],
    ['hop-by-hop option 11 (RFC 8200, 4.2)', 0, '3a00c10400000000', problem(2, 42), 'Malformed'],
    ['hop-by-hop option 10', 0, '3a00000001008100', problem(2, 46), 'Malformed'],
    ['destination option 11', 60, '3a00c10400000000', problem(2, 42), 'Malformed'],
    ['unknown header behind options', 60, 'fd00010400000000', problem(1, 40), 'NoListener'],
    ['unknown header behind two', 60, '3c00010400000000fd00010400000000', problem(1, 48), 'NoListener'],
    [
      'hop-by-hop options that are not first (RFC 8200, 4.1)',
      60,
      '00000104000000003a00010400000000',
      problem(1, 40),
      'NoListener',
    ],
  ])('%s: parameter problem, to the byte', (_, next, headers, expected, why) => {
    const lab = new Lab()
    const sent = behind(next, headers)
    const out = lab.send(0, sent)
    expect(errorOf(out[0]?.[0])).toMatchObject({ ...expected, quote: sent.slice(28) })
    expect(lab.drops).toEqual({ [why]: 1 })
  })
  it.each([
    ['option 01', 0, '3a00410400000000', 'Malformed'],
    ['an option that is longer than its header', 0, '3a00010500000000', 'Malformed'],
    ['an option without a length', 0, '3a00010300000001', 'Malformed'],
    ['a header that is longer than the packet', 60, '3aff010400000000', 'Malformed'],
    ['ten headers', 60, `${'3c00010400000000'.repeat(9)}3a00010400000000`, 'Malformed'],
    ['a first fragment', 44, '3a00000100000007', 'Fragment'],
    ['a later fragment', 44, '3a00000800000007', 'Fragment'],
  ])('%s: silence', (_, next, headers, why) => {
    const lab = new Lab()
    expect(lab.send(0, behind(next, headers))).toEqual({})
    expect(lab.drops).toEqual({ [why]: 1 })
  })
  it.each([
    ['a fragment that is a whole packet (RFC 6946)', 44, '3a00000000000007'],
    ['an option 00 that is unknown', 0, '3a001e0400000000'],
    ['paddings', 60, '3a00000001020000'],
    ['a routing header that is done', 43, '3a00000000000000'],
    ['options, routing and fragment', 0, '2b000104000000002c000000000000003a00000000000007'],
  ])('%s: answered as if it were not there', (_, next, headers) => {
    expect(new Lab().send(0, behind(next, headers))).toEqual({ 0: [reply] })
  })
  it('of packets to a group: of option 10 the sender is told, of option 11 not (RFC 4443, 2.4 e.3)', () => {
    const lab = new Lab()
    const group = { to: '333300000001', dst: 'ff02::1' }
    const out = lab.send(0, behind(0, '3a00c10400000000', group), behind(0, '3a00810400000000', group))[0]
    expect(out?.map(errorOf)).toMatchObject([problem(2, 42)])
    expect(lab.drops).toEqual({ GroupDestination: 2 })
  })
  it('are the local link to judge, where there is one', () => {
    const lab = new Lab()
    let n = 0
    lab.router.local = lab.loop.link({ process: (batch) => void (n += batch.length) })
    expect(lab.send(0, behind(0, '3a00c10400000000'), behind(44, '3a00000100000007'))).toEqual({})
    expect(n).toBe(2)
  })
})

describe('the address of all routers on a link (RFC 4291, 2.6.1)', () => {
  it.each([
    ['near', { dst: '2001:db8:a::' }, { src: '2001:db8:a::1', dst: '2001:db8:a::2' }],
    ['far', { dst: '2001:db8:b::' }, { src: '2001:db8:a::1', dst: '2001:db8:a::2' }],
    ['link-local', { src: 'fe80::a', dst: 'fe80::' }, { src: 'fe80::1', dst: 'fe80::a' }],
  ])('%s: answers, from an address of our own', (_, to, from) => {
    const lab = new Lab()
    expect(lab.send(0, frame6(to, 128, 0, 7))).toEqual({ 0: [frame6({ to: ALICE, from: ETH0, ...from }, 129, 0, 7)] })
    expect(errorOf(lab.send(0, packet6({ ...to, next: 253 }))[0]?.[0])).toMatchObject({ type: 4, code: 1, ...from })
  })
  it('is another host on links with /127 (RFC 6164)', () => {
    const lab = new Lab()
    lab.router.addAddress(lab.eth(1), '2001:db8:c::1/127')
    lab.router.addAddress(lab.eth(1), '2001:db8:d::1/128')
    expect([...lab.router.routes()].map((r) => r.to)).not.toContain('2001:db8:c::/128')
  })
  it('yields to an own address, and comes back behind it', () => {
    const lab = new Lab()
    const leads = () => [...lab.router.routes()].filter((r) => r.to === '2001:db8:a::/128').map((r) => r.hops[0]?.dev)
    expect(leads()).toEqual(['eth0'])
    lab.router.addAddress(lab.eth(1), '2001:db8:a::/128')
    lab.router.addAddress(lab.eth(0), '2001:db8:a::9/64')
    expect(leads()).toEqual(['eth1'])
    lab.router.removeAddress(lab.eth(1), '2001:db8:a::')
    expect(leads()).toEqual(['eth0'])
    lab.router.removeAddress(lab.eth(0), '2001:db8:a::1')
    expect(leads()).toEqual(['eth0'])
    lab.router.removeAddress(lab.eth(0), '2001:db8:a::9')
    expect(leads()).toEqual([])
  })
})
