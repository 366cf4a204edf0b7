/**
 * What does not fit: answers as Linux' bridged vxlan gives them (bytes recorded on 6.18), cutting, and path MTUs.
 */
import { Batch, type Frame, FramePool, fragment, GsoType, Offload, SECOND, VirtualClock } from '@l2l3/switch-core'
import { icmp, ipv4, parseIpv4, parseIpv6 } from '@l2l3/switch-core/wire'
import { expect, test } from 'vitest'
import {
  Fate,
  FlannelUdp,
  fateOf,
  greTunnel,
  gretapTunnel,
  type IpTunnel,
  type IpTunnelOptions,
  ipipTunnel,
  OVERHEAD,
  PathMtu,
  packetLength,
  plateauBelow,
  readTooBig,
  sttTunnel,
  TooBig,
  TooBigReport,
  tunnelSettings,
} from '../src/index.ts'
import {
  answerOf,
  datagram,
  ETH4,
  ETH6,
  error,
  flat,
  hex,
  Lab,
  MAC,
  OUT4,
  OUT6,
  packet,
  show,
  type Wrapper,
} from './ip-tunnel-lab.ts'

/** Bytes counting up. */
const counting = (n: number) => show(Uint8Array.from({ length: n }, (_, i) => i))

function answer(frame: string, mtu: number): string | null {
  const pool = new FramePool({ frames: 4, frameSize: 4000 })
  const made = new TooBig(pool)
  const f = pool.from(hex(frame)) as Frame
  pool.ledger.originate(1)
  const g = made.answer(f, mtu)
  const text = g === -1 ? null : show(pool.view(g))
  expect(show(pool.view(f))).toBe(flat(frame))
  expect([made.sent, made.withheld]).toEqual(g === -1 ? [0, 1] : [1, 0])
  pool.drop(f, 0)
  if (g !== -1) pool.drop(g, 0)
  expect(pool.report()).toMatchObject({ balanced: true, held: 0 })
  return text
}

const V4 = flat(`020000000002 020000000001 0800 45b9 0579 1234 4000 0911 4094 0af40105 0af40207 ${counting(1401 - 20)}`)
const V6 = flat(
  `020000000002 020000000001 86dd 6b912345 0551 11 09 fd010000000000000000000000000001 fd010000000000000000000000000002 ${counting(1401 - 40)}`,
)

test('IPv4: the answer is the one that Linux 6.18 gives', () => {
  expect(answer(V4, 1400)).toBe(
    flat('020000000001 020000000002 0800 4500 0240 0000 4000 0901 56ca 0af40207 0af40105 0304 3ec4 00000578') +
      V4.slice(28, 28 + 2 * 548),
  )
})

test('IPv6: the answer is the one that Linux 6.18 gives', () => {
  expect(answer(V6, 1400)).toBe(
    flat(
      `020000000001 020000000002 86dd 60000000 04d8 3a 09 fd010000000000000000000000000002 fd010000000000000000000000000001
       0200 018d 00000578`,
    ) + V6.slice(28, 28 + 2 * 1232),
  )
})

test('nothing is said about errors, fragments, groups, and to nobody', () => {
  const v4 = (p: Parameters<typeof packet>[0]) => ETH4 + packet({ df: true, payload: 1400, ...p })
  const with4 = (edit: (b: Uint8Array) => void) => {
    const b = hex(V4)
    edit(b)
    ipv4.fillChecksum(b, 14)
    return show(b)
  }
  expect(answer(v4({}), 1400)).not.toBeNull()
  expect(answer(v4({ protocol: 1, payload: `0800${'00'.repeat(1400)}` }), 1400)).not.toBeNull()
  for (const type of [3, 4, 5, 11, 12]) {
    expect(answer(v4({ protocol: 1, payload: `0${type.toString(16)}00${'00'.repeat(1400)}` }), 1400)).toBeNull()
  }
  expect(
    answer(
      with4((b) => (b[20] = 0)),
      1400,
    ),
  ).toBeNull()
  expect(
    answer(
      with4((b) => (b[20] = 0x60)),
      1400,
    ),
  ).toBeNull()
  expect(
    answer(
      with4((b) => (b[21] = 1)),
      1400,
    ),
  ).toBeNull()
  for (const src of ['0.0.0.0', '127.0.0.1', '224.0.0.1', '255.255.255.255'])
    expect(answer(v4({ src }), 1400)).toBeNull()
  for (const dst of ['224.0.0.1', '255.255.255.255']) expect(answer(v4({ dst }), 1400)).toBeNull()
  expect(answer(`ffffffffffff${V4.slice(12)}`, 1400)).toBeNull()
  expect(answer(V4.slice(0, 60), 1400)).toBeNull()
  expect(answer(V4, 67)).toBeNull()
  expect(answer(flat('020000000002 020000000001 0806') + counting(1400), 1400)).toBeNull()
  // A tagged frame's answer has the tag.
  const tagged = answer(flat('020000000002 020000000001 8100 0064 0800') + V4.slice(28), 1400)
  expect(tagged?.slice(0, 36)).toBe(flat('020000000001 020000000002 8100 0064 0800'))
  expect(tagged?.slice(36)).toBe(answer(V4, 1400)?.slice(28))
  const v6 = (p: Parameters<typeof packet>[0]) => ETH6 + packet({ src: 'fd00::1', dst: 'fd00::2', payload: 1400, ...p })
  expect(answer(v6({}), 1400)).not.toBeNull()
  expect(answer(v6({}), 1279)).toBeNull()
  for (const src of ['::', '::1', 'ff02::1']) expect(answer(v6({ src }), 1400)).toBeNull()
  for (const [type, said] of [
    ['01', false],
    ['02', false],
    ['80', true],
    ['89', false],
  ] as const) {
    expect(answer(v6({ protocol: 58, payload: `${type}00${'00'.repeat(1400)}` }), 1400) !== null).toBe(said)
  }
})

function ipip(options: Partial<IpTunnelOptions> = {}): Lab<IpTunnel> {
  return new Lab((pool, clock, links) =>
    ipipTunnel(pool, clock, { local: '192.168.77.1', remote: 'next-hop', mac: MAC, ...links, ...options }, 'any'),
  )
}

const TO2 = flat('0200 c0a84d02 0200000000aa 0800')
const TO2_6 = flat('0200 c0a84d02 0200000000aa 86dd')

test('overheads are what leaves less what came', () => {
  expect(ipip().tunnel.overhead).toBe(OVERHEAD.ipip)
  const lab = new Lab((pool, clock, links) =>
    gretapTunnel(pool, clock, { local: 'fd00::1', remote: 'fd00::2', encapLimit: 'none', ...links }),
  )
  expect(lab.tunnel.overhead).toBe(OVERHEAD.gretap + 20)
})

test('to the byte: 1,480 fit into 1,500; one more with DF is refused, and its sender told', () => {
  const lab = ipip()
  expect(hex(lab.wrap(TO2 + packet({ df: true, payload: 1460 }))[0] ?? '').length).toBe(1514)
  lab.inside.inject(hex(TO2 + packet({ df: true, payload: 1461 })))
  const { out, into } = lab.collect()
  expect(out).toEqual([])
  expect(answerOf(into[0])).toMatchObject({
    macs: '0200000000aa0200c0a84d02',
    src: '0af40207',
    dst: '0af40105',
    mtu: 1480,
    length: 576,
  })
  expect(lab.drops).toEqual({ TooBig: 1 })
})

test('padding is not counted', () => {
  const lab = ipip()
  const [out] = lab.wrap(`${TO2 + packet({ df: true, payload: 100 })}${'00'.repeat(1500)}`)
  expect(out?.length).toBe(2 * (34 + 120))
})

test('without DF it is cut before it is wrapped, or after', () => {
  const body = datagram('10.244.1.5', '10.244.2.7', 2000)
  const big = packet({ payload: body })
  const pieces = ipip()
    .wrap(TO2 + big)
    .map((f) => hex(f))
  expect(pieces.map((b) => b.length)).toEqual([14 + 20 + 20 + 1456, 14 + 20 + 20 + 552])
  expect(pieces.map((b) => ipv4.dontFragment(b, 14))).toEqual([true, true])
  expect(Buffer.concat(pieces.map((b) => b.subarray(54))).toString('hex')).toBe(body)
  const [whole] = ipip({ cut: 'outer', df: 'inherit' }).wrap(TO2 + big)
  expect(whole?.slice(68)).toBe(big)
  expect(ipv4.dontFragment(hex(whole ?? ''), 14)).toBe(false)
  // Asked for, it has no DF outside, which all others have; else nobody may cut it.
  const outer = ipip({ cut: 'outer' })
  expect(outer.wrap(TO2 + big, TO2 + packet()).map((f) => ipv4.dontFragment(hex(f), 14))).toEqual([false, true])
  for (const lab of [ipip({ cut: 'drop' }), gretap({}), gretap({ cut: 'drop' })]) {
    expect(lab.wrap(TO2 + big)).toEqual([])
    expect(lab.drops).toEqual({ TooBig: 1 })
  }
})

function gretap(options: Partial<IpTunnelOptions>): Lab<IpTunnel> {
  return new Lab((pool, clock, links) =>
    gretapTunnel(pool, clock, { local: '192.168.77.1', remote: '192.168.77.2', ...links, ...options }),
  )
}

/** An Ethernet frame of IPv4 in pieces that fit into `mtu`. */
function cut(frame: string | undefined, mtu: number): string[] {
  const pool = new FramePool({ frames: 32, frameSize: 4000 })
  const parts: string[] = []
  const keep = (f: Frame): void => {
    parts.push(show(pool.view(f)))
    pool.sent(f)
  }
  fragment(pool, pool.from(hex(frame ?? '')) as Frame, mtu, keep, (f, why) => pool.drop(f, why))
  expect(parts.length).toBeGreaterThan(1)
  return parts
}

test.each<[string, (remote: string, local: string) => Lab<IpTunnel>]>([
  ['IP in IP', (local, remote) => ipip({ local, remote, cut: 'outer' })],
  [
    'GRE with a checksum',
    (local, remote) =>
      new Lab((pool, clock, links) =>
        greTunnel(pool, clock, { local, remote, mac: MAC, checksum: true, key: 5, cut: 'outer', ...links }),
      ),
  ],
  ['GRETAP', (local, remote) => gretap({ local, remote, cut: 'outer' })],
])('outer fragments of %s are put together', (_, make) => {
  const [one, two] = [make('192.168.77.1', '192.168.77.2'), make('192.168.77.2', '192.168.77.1')]
  const inner = packet({ payload: datagram('10.244.1.5', '10.244.2.7', 2000) })
  const parts = cut(one.wrap(TO2 + inner)[0], 600)
  const last = parts.length - 1
  for (const part of parts.slice(0, last)) {
    two.underlay.inject(hex(part))
    two.loop.settle()
  }
  expect(two.pool.report().held).toBe(1)
  const [got] = two.unwrap(parts[last] as string)
  expect(got?.slice(28)).toBe(inner)
  expect(two.drops).toEqual({ Consumed: last })
})

test('outer fragments for a tunnel with another key are left to it', () => {
  const make = (local: string, remote: string, key: number): Lab<IpTunnel> =>
    new Lab((pool, clock, links) => greTunnel(pool, clock, { local, remote, mac: MAC, key, cut: 'outer', ...links }))
  const [out] = make('192.168.77.1', '192.168.77.2', 5).wrap(TO2 + packet({ payload: 2000 }))
  const other = make('192.168.77.2', '192.168.77.1', 6)
  for (const part of cut(out, 600)) {
    const f = other.pool.from(hex(part)) as Frame
    other.pool.ledger.receive(1)
    expect(other.tunnel.take(f, null as never)).toBe(false)
    other.pool.sent(f)
  }
  expect(other.pool.report()).toMatchObject({ balanced: true, held: 0, dropped: {} })
})

test('IPv6 of 1,280 bytes goes over IPv6 too, however short the path is said to be', () => {
  const lab = new Lab((pool, clock, links) =>
    gretapTunnel(pool, clock, { local: 'fd00::1', remote: 'fd00::2', mtu: 1300, ...links }),
  )
  const v6 = (n: number) => ETH6 + packet({ src: 'fd01::1', dst: 'fd01::2', payload: n - 40 })
  expect(lab.wrap(v6(1280)).length).toBe(1)
  lab.inside.inject(hex(v6(1281)))
  expect(answerOf(lab.collect().into[0])).toMatchObject({ type: 2, code: 0, mtu: 1280 })
})

test('a super-frame of IPv6 whose segments are of 1,280 bytes and do not fit: each may be cut outside', () => {
  const lab = gretap({ mtu: 1280 })
  // TCP, 20 bytes of header, two segments of 1,220 bytes.
  const tcp = `1388 1b58 00000001 00000001 5010 ffff 0000 0000 ${'00'.repeat(2440)}`
  const f = lab.pool.from(
    hex(ETH6 + packet({ src: 'fd01::1', dst: 'fd01::2', protocol: 6, payload: flat(tcp) })),
  ) as Frame
  lab.pool.ledger.receive(1)
  lab.pool.flags[f] = Offload.Checksum
  lab.pool.gsoType[f] = GsoType.Tcp6
  lab.pool.gsoSize[f] = 1220
  lab.pool.hdrLen[f] = 74
  lab.pool.csumStart[f] = 54
  lab.pool.csumOffset[f] = 16
  const batch = new Batch()
  batch.push(f)
  lab.tunnel.process(batch)
  const out = lab.collect().out.map((b) => hex(b))
  expect(out.map((b) => [b.length, ipv4.dontFragment(b, 14)])).toEqual([
    [14 + 24 + 14 + 1280, false],
    [14 + 24 + 14 + 1280, false],
  ])
})

test('VLAN tags are carried by GRETAP, and take room', () => {
  const lab = gretap({ mtu: 1500 })
  const tagged = (n: number) => `0200000000020200000000018100006408 00${packet({ df: true, payload: n - 20 })}`
  expect(hex(lab.wrap(flat(tagged(1458)))[0] ?? '').length).toBe(1514)
  lab.inside.inject(hex(flat(tagged(1459))))
  const { out, into } = lab.collect()
  expect(out).toEqual([])
  expect(into[0]?.slice(0, 36)).toBe('020000000001020000000002810000640800')
  expect(Buffer.from(into[0] ?? '', 'hex').readUInt16BE(18 + 26)).toBe(1458)
})

test('what only VXLAN has is refused elsewhere', () => {
  for (const [key, value] of Object.entries({
    udpChecksum: true,
    udpChecksum6: true,
    sportRange: [1, 2],
    reservedBits: 'rfc',
    verifyChecksum: true,
    zeroChecksum6: false,
    innerVlan: 'drop',
  })) {
    expect(() => gretap({ [key]: value })).toThrow(`${key} has no meaning here: ${value}`)
    expect(() => ipip({ [key]: value })).toThrow(`${key} has no meaning here: ${value}`)
  }
  expect(() => tunnelSettings({ reservedBits: 'rfc' }, 'geneve')).toThrow('reservedBits has no meaning for GENEVE: rfc')
  expect(() => gretap({ local: 'fd00::1', remote: 'fd00::2', cut: 'outer' })).toThrow(/cut cannot be outer over IPv6/)
})

test('IPv6 of more than fits is refused, and up to 1,280 has to pass: then the outer packet may be cut', () => {
  const lab = ipip({ mtu: 1200 })
  const v6 = (n: number) => TO2_6 + packet({ src: 'fd00::1', dst: 'fd00::2', payload: n - 40 })
  const [out] = lab.wrap(v6(1280))
  expect([out?.length, ipv4.dontFragment(hex(out ?? ''), 14)]).toEqual([2 * (34 + 1280), false])
  lab.inside.inject(hex(v6(1281)))
  expect(answerOf(lab.collect().into[0])).toMatchObject({ type: 2, code: 0, mtu: 1280, length: 1280 })
  expect(ipv4.dontFragment(hex(lab.wrap(v6(1180))[0] ?? ''), 14)).toBe(true)
})

/** An ICMP error from a router on the way, about `outer`, an Ethernet frame that left. */
function complaint(outer: string | undefined, mtu: number, quote = 28, p = {}): string {
  return (
    OUT4 +
    error(
      { src: '10.9.9.9', dst: '192.168.77.1', ...p },
      icmp.Type.Unreachable,
      4,
      mtu,
      outer?.slice(28, 28 + 2 * quote) ?? '',
    )
  )
}

test('a complaint about a packet of ours lowers the path to that node alone, for ten minutes', () => {
  const lab = ipip()
  const big = (node: string) => `0200${node}0200000000aa0800${packet({ df: true, payload: 1460 })}`
  const [out] = lab.wrap(big('c0a84d02'))
  expect(lab.unwrap(complaint(out, 1400))).toEqual([])
  expect([lab.tunnel.counters.lowered, lab.tunnel.pathMtu.size]).toEqual([1, 1])
  lab.inside.inject(hex(big('c0a84d02')))
  expect(answerOf(lab.collect().into[0]).mtu).toBe(1380)
  expect(lab.wrap(big('c0a84d03')).length).toBe(1)
  lab.clock.advance(599 * SECOND)
  expect(lab.wrap(big('c0a84d02')).length).toBe(0)
  lab.inside.takeAll()
  lab.clock.advance(SECOND)
  expect(lab.wrap(big('c0a84d02')).length).toBe(1)
  expect(lab.tunnel.pathMtu.size).toBe(0)
})

test('what is not about a packet of ours, or raises, or makes no sense, changes nothing', () => {
  const lab = ipip()
  const [out = ''] = lab.wrap(TO2 + packet({ df: true, payload: 1460 }))
  const edited = (at: number, byte: number) => {
    const b = hex(out)
    b[at] = byte
    return show(b)
  }
  const nothing = [
    complaint(edited(29, 0x78), 1400),
    complaint(edited(23, 47), 1400),
    complaint(out, 1500),
    complaint(out, 9000),
    complaint(out, 67),
    complaint(out, 1400, 27),
    complaint(out, 1400, 28, { dst: '192.168.77.5' }),
    OUT4 + error({ src: '10.9.9.9', dst: '192.168.77.1' }, icmp.Type.Unreachable, 1, 1400, out.slice(28, 84)),
    OUT4 + error({ src: '10.9.9.9', dst: '192.168.77.1' }, icmp.Type.TimeExceeded, 4, 1400, out.slice(28, 84)),
    `${complaint(out, 1400).slice(0, -4)}0000`,
    complaint(edited(21, 5), 1400),
  ]
  for (const [i, c] of nothing.entries()) {
    lab.unwrap(c)
    expect([i, lab.tunnel.pathMtu.size]).toEqual([i, 0])
  }
  expect(lab.drops).toEqual({ TunnelProtocol: nothing.length - 1, OtherHost: 1 })
  // One that says nearly nothing fits is believed down to the floor.
  lab.unwrap(complaint(out, 68))
  lab.inside.inject(hex(TO2 + packet({ df: true, payload: 1460 })))
  expect(answerOf(lab.collect().into[0]).mtu).toBe(552 - 20)
  // It is not raised again by another.
  lab.unwrap(complaint(out, 1400))
  expect(lab.tunnel.pathMtu.to4(parseIpv4('192.168.77.2'))).toBe(552)
})

test('a router that names no MTU means the next plateau (RFC 1191, 7.1)', () => {
  expect([65535, 32000, 1500, 1492, 1006, 100, 68, 1].map(plateauBelow)).toEqual([
    32000, 17914, 1492, 1006, 508, 68, 68, 68,
  ])
  const lab = ipip()
  const [out] = lab.wrap(TO2 + packet({ df: true, payload: 1460 }))
  lab.unwrap(complaint(out, 0))
  expect(lab.tunnel.pathMtu.to4(parseIpv4('192.168.77.2'))).toBe(1492)
})

test('over IPv6: packet too big, never below 1,280', () => {
  const lab = new Lab((pool, clock, links) =>
    ipipTunnel(pool, clock, { local: 'fd00::1', remote: 'fd00::2', mac: MAC, ...links }),
  )
  const [out = ''] = lab.wrap(ETH4 + packet({ df: true, payload: 1432 }))
  const say = (mtu: number, quote = out.slice(28, 28 + 2 * 56)) =>
    lab.unwrap(OUT6 + error({ src: 'fd99::9', dst: 'fd00::1' }, 2, 0, mtu, quote))
  // Without the limit in front it is no packet of ours.
  say(1400, out.slice(28, 108) + out.slice(124, 140))
  expect(lab.tunnel.counters.lowered).toBe(0)
  say(1400)
  expect(lab.tunnel.pathMtu.to6(parseIpv6('fd00::2'), 0)).toBe(1400)
  say(600)
  expect(lab.tunnel.pathMtu.to6(parseIpv6('fd00::2'), 0)).toBe(1280)
  lab.inside.inject(hex(ETH4 + packet({ df: true, payload: 1432 })))
  expect(answerOf(lab.collect().into[0]).mtu).toBe(1280 - 48)
})

test('the table is bounded, keeps the newest, and can be shared', () => {
  const clock = new VirtualClock()
  const table = new PathMtu(clock, { entries: 8, lifetime: 100 })
  for (let i = 0; i < 20; i++) {
    clock.advance(1)
    expect(table.lower4(0x0a000001 + i, 1400)).toBe(true)
  }
  expect(table.size).toBe(8)
  expect(table.to4(0x0a000001)).toBe(65_535)
  expect(table.to4(0x0a000001 + 19)).toBe(1400)
  expect(table.lower4(0x0a000001 + 19, 1400)).toBe(false)
  expect([table.lowered, table.ignored]).toEqual([20, 1])
  // IPv4 and IPv6 do not meet.
  expect(table.to6(parseIpv6('::a00:14'), 0)).toBe(65_535)
  expect(() => new PathMtu(clock, { entries: 100 })).toThrow(/entries must be a power of two, not 100/)
  expect(() => new PathMtu(clock, { floor6: 1000 })).toThrow(/floor6 must be/)
  const lab = ipip({ pathMtu: table })
  expect(lab.tunnel.pathMtu).toBe(table)
})

const ENDS = { local: '192.168.77.1', remote: '192.168.77.2', mac: MAC }

test.each<[string, ConstructorParameters<typeof Lab<Wrapper & { pathMtu?: PathMtu }>>[0], at: number, note: string]>([
  ['gre', (p, c, l) => greTunnel(p, c, { ...ENDS, key: 7, ...l }), 41, 'another key'],
  ['gre', (p, c, l) => greTunnel(p, c, { ...ENDS, key: 7, ...l }), 34, 'other flags'],
  ['stt', (p, c, l) => sttTunnel(p, c, { ...ENDS, context: 7n, ...l }), 37, 'another port'],
  [
    'flannel',
    (p, c, l) =>
      new FlannelUdp(p, c, {
        local: ENDS.local,
        mac: MAC,
        address: '10.244.1.0',
        routes: [{ to: '0.0.0.0/0', via: ENDS.remote }],
        ...l,
      }),
    35,
    'another port',
  ],
])('%s: what is quoted has to be of this tunnel', (_name, make, at, note) => {
  const lab = new Lab(make)
  const big = TO2 + packet({ df: true, payload: 1380 })
  const [out = ''] = lab.wrap(big)
  const other = hex(out)
  other[at]! ^= 1
  lab.unwrap(complaint(show(other), 1300))
  expect([note, lab.wrap(big).length]).toEqual([note, 1])
  lab.unwrap(complaint(out, 1300))
  expect(lab.wrap(big).length).toBe(0)
  expect(lab.drops).toMatchObject({ Consumed: 1, TooBig: 1 })
})

test('what a super-frame counts as is its longest segment', () => {
  const pool = new FramePool({ frames: 2, frameSize: 9000 })
  const tcp = `1388 1b58 00000001 00000000 8018ffff 0000 0000 ${'01'.repeat(12)} ${'5a'.repeat(4000)}`
  const f = pool.from(hex(ETH4 + packet({ protocol: 6, df: true, payload: flat(tcp) }))) as Frame
  const l3 = pool.off[f]! + 14
  expect(packetLength(pool, f, l3)).toBe(4052)
  pool.gsoType[f] = 1
  pool.gsoSize[f] = 1408
  expect(packetLength(pool, f, l3)).toBe(1460)
  expect([fateOf(pool, f, l3, 1460), fateOf(pool, f, l3, 1459)]).toEqual([Fate.Fits, Fate.Refuse])
  expect(readTooBig(pool, f, new TooBigReport())).toBe(false)
})
