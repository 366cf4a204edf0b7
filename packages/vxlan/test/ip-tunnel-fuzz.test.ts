/**
 * Whatever comes: codecs read nothing outside of what they were given; elements keep the ledger balanced, write nothing behind a
 * frame, and do not look there.
 */
import type { Frame, FramePool } from '@l2l3/switch-core'
import { ipv4, ipv6 } from '@l2l3/switch-core/wire'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  Decap,
  Encap,
  FlannelUdp,
  geneve,
  gre,
  greTunnel,
  gretapTunnel,
  ipipTunnel,
  SleeveTunnel,
  sleeve,
  stt,
  sttTunnel,
  vxlan,
} from '../src/index.ts'
import { tunnelDepth } from '../src/nesting.ts'
import { ETH4, ETH6, error, flat, hex, Lab, MAC, packet, show, type Wrapper } from './ip-tunnel-lab.ts'

/** The array, but reading outside of [from, to) throws. */
function guarded(bytes: Uint8Array, from: number, to: number): Uint8Array {
  return new Proxy(bytes, {
    get(target, key) {
      if (typeof key === 'string' && /^-?\d+$/.test(key)) {
        const i = Number(key)
        if (i < from || i >= to) throw new Error(`read at ${i}, outside [${from}, ${to})`)
        return target[i]
      }
      const value = Reflect.get(target, key, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

/** Everything that takes bytes unchecked, and behind its check what trusts it; gives how often there was a yes. */
function readAll(b: Uint8Array, o: number, end: number): number {
  let yes = 0
  if (gre.check(b, o, end) !== -1) {
    yes++
    const bits = gre.flags(b, o)
    if (bits & gre.Flag.Key) gre.key(b, o)
    if (bits & gre.Flag.Sequence) gre.sequence(b, o)
    gre.checksumOk(b, o, end)
  } else expect(gre.fault(b, o, end)).toBeGreaterThanOrEqual(0)
  if (sleeve.count(b, o, end) > 0) {
    yes++
    for (let at = sleeve.first(b, o, end); at !== end; at = sleeve.next(b, at, end)) {
      sleeve.isSpecial(b, at + sleeve.ITEM_HLEN, sleeve.length(b, at))
    }
  }
  if (stt.check(b, o, end) === stt.Segment.Whole) {
    yes++
    const at = o + 20
    stt.version(b, at) + stt.flags(b, at) + stt.l4Offset(b, at) + stt.mss(b, at) + stt.vlan(b, at)
    stt.contextHigh(b, at) + stt.contextLow(b, at) + stt.frameId(b, o)
  }
  if (vxlan.fits(o, end)) {
    yes++
    vxlan.describe(b, o)
    vxlan.reservedZero(b, o)
  }
  if (geneve.check(b, o, end) !== -1) {
    yes++
    geneve.describe(b, o)
    geneve.checkOptions(b, o, new Set([0x010280]))
    geneve.option(b, o, 0x0102, 0x80)
  }
  for (const ethernet of [true, false]) expect(tunnelDepth(b, o, end, ethernet)).toBeGreaterThanOrEqual(0)
  return yes
}

test('codecs take any bytes', () => {
  let yes = 0
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120, size: 'max' }), fc.nat(8), fc.nat(8), (bytes, before, after) => {
      const from = Math.min(before, bytes.length)
      const to = Math.max(from, bytes.length - after)
      yes += readAll(guarded(bytes, from, to), from, to)
    }),
    { numRuns: 3000 },
  )
  expect(yes).toBeGreaterThan(500)
})

test('codecs take what is nearly right, cut anywhere', () => {
  const inner = packet()
  const samples = [
    `b000 0800 1234 0000 deadbeef 00000001 ${inner}`,
    `0a1b2c3d4e5f 0a1b2c3d4e5f 162738495a6b 0004 01020304 0a1b2c3d4e5f 162738495a6b 0002 0506`,
    `9c40 1d2f 0026 0000 00000001 5018 ffff 0000 0000 00000000 00000000 0000058000000007 0000 ${'00'.repeat(20)}`,
    `0800 0000 0000 1000 ${ETH4}${inner}`,
    `0240 6558 0000 0700 0102 8001 0005 8000 ${ETH4}${inner}`,
    packet({ protocol: 4, payload: packet({ protocol: 47, payload: `00000800${packet({ protocol: 41 })}` }) }),
    `${ETH4}${packet({ payload: flat(`1234 12b5 0040 0000 0800 0000 0000 1000 ${ETH4}${inner}`) })}`,
  ].map((s) => hex(flat(s)))
  for (const sample of samples) {
    for (let end = 0; end <= sample.length; end++) readAll(guarded(sample, 0, end), 0, end)
    for (let i = 0; i < sample.length; i++) {
      for (const value of [0, 1, 0x7f, 0x80, 0xff]) {
        const b = sample.slice()
        b[i] = value
        readAll(guarded(b, 0, b.length), 0, b.length)
      }
    }
  }
})

type Make = ConstructorParameters<typeof Lab<Wrapper>>[0]

const TWO = { local: '192.168.77.1', remote: '192.168.77.2', mac: MAC }
const SIX = { local: 'fd00::1', remote: 'fd00::2', mac: MAC }
const turned = <T extends { local: string; remote: string }>(o: T): T => ({ ...o, local: o.remote, remote: o.local })

/** Both ends of each kind. */
const KINDS: Record<string, [near: Make, far: Make]> = {}
function kind<T extends { local: string; remote: string }>(
  name: string,
  options: T,
  make: (options: T) => Make,
  far: T = turned(options),
): void {
  KINDS[name] = [make(options), make(far)]
}
kind('ipip', TWO, (o) => (p, c, l) => ipipTunnel(p, c, { ...o, ...l }, 'any'))
kind('ip6tnl', SIX, (o) => (p, c, l) => ipipTunnel(p, c, { ...o, ...l }, 'any'))
kind('gre', { ...TWO, key: 7, checksum: true, sequence: true }, (o) => (p, c, l) => greTunnel(p, c, { ...o, ...l }))
kind('gretap', { ...SIX, checksum: true }, (o) => (p, c, l) => gretapTunnel(p, c, { ...o, ...l }))
kind('stt', { ...TWO, context: 7n }, (o) => (p, c, l) => sttTunnel(p, c, { ...o, ...l }))
kind('flannel', TWO, ({ local, remote }) => (p, c, l) => {
  const routes = [{ to: '0.0.0.0/0', via: remote }]
  return new FlannelUdp(p, c, { local, mac: MAC, address: '10.244.1.0', routes, ...l })
})
const NAMES = { name: '02:00:00:00:01:01', peer: '02:00:00:00:01:02' }
kind(
  'sleeve',
  { local: '192.168.77.1', remote: '192.168.77.2', ...NAMES },
  (o) => (p, c, l) => new SleeveTunnel(p, c, { ...o, ...l }),
  { local: '192.168.77.2', remote: '192.168.77.1', name: NAMES.peer, peer: NAMES.name },
)
for (const encapsulation of ['vxlan', 'geneve'] as const) {
  kind(encapsulation, TWO, ({ local, remote }) => (p, _c, l) => {
    const encap = new Encap(p, { encapsulation, local, remote, vni: 16, out: l.out })
    const decap = new Decap(p, { encapsulation, local, remote, vni: 16, out: l.into })
    return { process: (batch) => encap.process(batch), decap }
  })
}

/** Columns of a frame that may say anything. */
interface Columns {
  flags: number
  gsoType: number
  gsoSize: number
  csumStart: number
  csumOffset: number
}

const columns: fc.Arbitrary<Columns | null> = fc.oneof(
  { weight: 3, arbitrary: fc.constant(null) },
  {
    weight: 1,
    arbitrary: fc.record({
      flags: fc.constantFrom(0, 1, 2, 3, 8, 9),
      gsoType: fc.constantFrom(0, 0, 1, 4, 5, 0x21, 0x24, 0x45, 0x81, 7),
      gsoSize: fc.constantFrom(0, 1, 8, 500, 65_535),
      csumStart: fc.nat(120),
      csumOffset: fc.constantFrom(0, 6, 16, 65_535),
    }),
  },
)

/** One of five. */
function sometimes<T>(what: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> {
  return fc.oneof({ weight: 4, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: what })
}

/** Puts a frame into a row whose other bytes are all `fill`, through an element of the lab, and gives what comes of it. */
function run(
  lab: Lab<Wrapper>,
  way: 'process' | 'decap',
  bytes: Uint8Array,
  c: Columns | null,
  fill: number,
): string[] {
  const { pool } = lab
  const f = pool.from(bytes) as Frame
  pool.ledger.receive(1)
  const from = f * pool.stride
  const end = pool.off[f]! + bytes.length
  pool.bytes.fill(fill, from, pool.off[f])
  pool.bytes.fill(fill, end, from + pool.stride)
  if (c !== null) setColumns(pool, f, c)
  lab.loop.link(way === 'process' ? lab.tunnel : lab.tunnel.decap).push(f)
  const { out, into } = lab.collect()
  for (let i = end; i < from + pool.stride; i++)
    if (pool.bytes[i] !== fill) throw new Error(`byte ${i - end} behind changed`)
  return [...out, ...into]
}

function setColumns(pool: FramePool, f: Frame, c: Columns): void {
  for (const key of Object.keys(c) as (keyof Columns)[]) pool[key][f] = c[key]
}

test.each(Object.keys(KINDS))('%s takes anything from either side', (name) => {
  const [near, far] = KINDS[name] as [Make, Make]
  const options = { pool: { frames: 80, frameSize: 2300 } }
  const labs = [new Lab(near, options), new Lab(near, options)] as const
  const seeds = [
    ETH4 + packet(),
    ETH4 + packet({ protocol: 6, df: true, payload: `1388 1b58 ${'00'.repeat(8)} 5018 ${'00'.repeat(30)}` }),
    ETH4 + packet({ protocol: 4, payload: packet() }),
    ETH4 + packet({ df: true, payload: 1700 }),
    ETH4 + packet({ payload: 1700 }),
    ETH6 + packet({ src: 'fd01::1', dst: 'fd01::2', protocol: 60, payload: '1100 0401 03 010100 1388 1b58 0008 0000' }),
    ETH6 + packet({ src: 'fd01::1', dst: 'fd01::2', payload: 1700 }),
  ].map((s) => hex(flat(s)))
  const outer = seeds.slice(0, 3).flatMap((s) => new Lab(far, options).wrap(s).map((b) => hex(b)))
  expect(outer.length).toBeGreaterThan(0)
  const complaints = outer.map((b) =>
    b[12] === 8
      ? hex(ETH4 + error({ src: '10.9.9.9', dst: '192.168.77.1' }, 3, 4, 1300, show(b.subarray(14, 14 + 60))))
      : hex(ETH6 + error({ src: 'fd99::9', dst: 'fd00::1' }, 2, 0, 1300, show(b.subarray(14, 14 + 90)))),
  )
  let through = 0
  fc.assert(
    fc.property(
      fc.constantFrom('process' as const, 'decap' as const),
      fc.nat(1000),
      fc.array(fc.tuple(fc.nat(140), fc.nat(255)), { maxLength: 3 }),
      sometimes(fc.nat(140)),
      sometimes(fc.uint8Array({ maxLength: 160, size: 'max' })),
      columns,
      (way, which, edits, cut, random, c) => {
        const all = way === 'process' ? seeds : [...outer, ...complaints]
        let b = random ?? (all[which % all.length] as Uint8Array).slice(0, cut)
        b = b.slice()
        for (const [at, value] of edits) if (at < b.length) b[at] = value
        const [a, z] = [run(labs[0], way, b, c, 0xa5), run(labs[1], way, b, c, 0x5a)]
        expect(a).toEqual(z)
        through += a.length
      },
    ),
    { numRuns: 1500 },
  )
  expect(through).toBeGreaterThan(300)
  expect(labs[0].drops).toEqual(labs[1].drops)
})

/** A packet without what a tunnel may change: its ECN bits, and, of IPv4, the checksum. */
function withoutEcn(frame: string): string {
  const b = hex(frame)
  if (b[12] === 8) {
    b[15]! &= 0xfc
    b.fill(0, 24, 26)
  } else b[15]! &= 0xcf
  return show(b)
}

const profiles = fc.record(
  {
    ttl: fc.oneof(fc.integer({ min: 1, max: 255 }), fc.constant('inherit' as const)),
    tos: fc.constantFrom(0, 0xb8, 'inherit' as const),
    df: fc.constantFrom('clear' as const, 'set' as const, 'inherit' as const),
    ecnIngress: fc.constantFrom('linux' as const, 'rfc6040' as const, 'compatibility' as const),
    flowLabel: fc.constantFrom(0, 0xabcde, 'hash' as const),
  },
  { requiredKeys: [] },
)

const packets = fc.record({
  v6: fc.boolean(),
  ttl: fc.integer({ min: 2, max: 255 }),
  tos: fc.nat(255),
  df: fc.boolean(),
  protocol: fc.constantFrom(1, 6, 17, 50, 132),
  payload: fc.uint8Array({ maxLength: 1200 }),
})

test('what one end wraps, the other unwraps: any packet, any profile, either underlay', () => {
  fc.assert(
    fc.property(fc.constantFrom(TWO, SIX), profiles, packets, fc.nat(7), (ends, profile, p, bits) => {
      const keyed = bits & 1 ? { key: bits * 99 } : {}
      const options = { ...ends, ...profile, ...keyed, checksum: (bits & 2) !== 0, sequence: (bits & 4) !== 0 }
      const addresses = p.v6 ? { src: 'fd01::1', dst: 'fd01::2' } : {}
      const inner = (p.v6 ? ETH6 : ETH4) + packet({ ...p, ...addresses, payload: show(p.payload) })
      for (const make of [
        (o: typeof options): Make =>
          (pool, c, l) =>
            ipipTunnel(pool, c, { ...o, ...l }, 'any'),
        (o: typeof options): Make =>
          (pool, c, l) =>
            greTunnel(pool, c, { ...o, ...l }),
        (o: typeof options): Make =>
          (pool, c, l) =>
            gretapTunnel(pool, c, { ...o, ...l }),
      ]) {
        const out = new Lab(make(options)).wrap(inner)
        expect(out.length).toBe(1)
        const b = hex(out[0] ?? '')
        if (ends === TWO) expect([ipv4.checksumOk(b, 14), ipv4.totalLength(b, 14)]).toEqual([true, b.length - 14])
        else expect(ipv6.payloadLength(b, 14)).toBe(b.length - 54)
        const back = new Lab(make(turned(options))).unwrap(...out)
        expect(back.map(withoutEcn)).toEqual([withoutEcn(inner)])
      }
    }),
    { numRuns: 150 },
  )
})
