// An IPv6 router, packet by packet: bytes in, bytes out.
import { describe, expect, it } from 'vitest'
import { ALICE, BOB, ETH0, ETH1, flat, frame6, hex, Lab, packet6 } from './lab.ts'

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
    expect(lab.send(0, ...frames)).toEqual({})
    expect(lab.drops).toEqual({ NoListener: 2, Fragment: 1, SourceRoute: 1, Malformed: 1 })
  })
})
