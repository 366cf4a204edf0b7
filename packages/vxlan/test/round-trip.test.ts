import { Batch, type Frame } from '@l2l3/switch-core'
import { ipv4, ipv6, u16, udp } from '@l2l3/switch-core/wire'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { Decap, Encap, type EncapOptions, geneve, type ProfileOptions, vxlan } from '../src/index.ts'
import { bench, dropped, feed, linkTo, put, Sink, udpFrame } from './tunnel-lab.ts'

/** Any frame through any tunnel and out again is the same frame; and what is outside says what it should. */

const settings: fc.Arbitrary<ProfileOptions> = fc.record(
  {
    profile: fc.constantFrom('linux', 'rfc', 'windows-vfp', 'ovs'),
    df: fc.constantFrom('clear', 'set', 'inherit'),
    ttl: fc.oneof(fc.integer({ min: 1, max: 255 }), fc.constant('inherit' as const)),
    tos: fc.oneof(
      fc.integer({ min: 0, max: 63 }).map((n) => n << 2),
      fc.constant('inherit' as const),
    ),
    ecnIngress: fc.constantFrom('rfc6040', 'linux', 'compatibility'),
    udpChecksum: fc.boolean(),
    udpChecksum6: fc.boolean(),
    sportRange: fc
      .tuple(fc.integer({ min: 1, max: 65_535 }), fc.integer({ min: 1, max: 65_535 }))
      .map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const),
    flowLabel: fc.oneof(fc.integer({ min: 0, max: 0xfffff }), fc.constant('hash' as const)),
    reservedBits: fc.constantFrom('linux', 'rfc'),
    innerVlan: fc.constantFrom('keep', 'drop'),
  },
  { requiredKeys: [] },
)

const option: fc.Arbitrary<geneve.GeneveOption> = fc.record({
  class: fc.nat(0xffff),
  type: fc.nat(0xff),
  data: fc.nat(4).chain((n) => fc.uint8Array({ minLength: 4 * n, maxLength: 4 * n })),
})

const ends = fc.record({
  encapsulation: fc.constantFrom('vxlan' as const, 'geneve' as const),
  v6: fc.boolean(),
  vni: fc.nat(vxlan.MAX_VNI),
  port: fc.constantFrom(4789, 8472, 6081, 1, 65_535),
  group: fc.option(fc.nat(0xffff), { nil: undefined }),
  options: fc.array(option, { maxLength: 6 }),
})

const address = fc.tuple(fc.nat(255), fc.nat(255)).map(([a, b]) => `10.${a}.0.${b}`)
const frame: fc.Arbitrary<Uint8Array> = fc.oneof(
  fc.uint8Array({ minLength: 14, maxLength: 300 }),
  fc
    .record({
      src: address,
      dst: address,
      ports: fc.tuple(fc.nat(0xffff), fc.nat(0xffff)),
      data: fc.uint8Array({ maxLength: 200 }),
      tos: fc.nat(255),
      ttl: fc.nat(255),
      df: fc.boolean(),
      tag: fc.option(fc.nat(4095), { nil: undefined }),
    })
    .map(({ tag, ...o }) => udpFrame({ ...o, ...(tag === undefined ? {} : { tag }) })),
  fc
    .record({ data: fc.uint8Array({ maxLength: 200 }), tos: fc.nat(255), ttl: fc.nat(255) })
    .map((o) => udpFrame({ ...o, src: 'fd00::1', dst: 'fd00::2' })),
)

it('comes out as it went in, and is outside what was asked for', () => {
  fc.assert(
    fc.property(settings, ends, fc.array(frame, { minLength: 1, maxLength: 8 }), (s, e, frames) => {
      if (s.profile === 'ovs' && s.df !== undefined) delete s.df
      const b = bench({ headroom: 384 })
      const wire = new Sink(b.pool)
      const inside = new Sink(b.pool)
      const [local, remote] = e.v6 ? ['fd00::1', 'fd00::2'] : ['192.0.2.1', '192.0.2.2']
      const { encapsulation, vni, port } = e
      const header = encapsulation === 'vxlan' ? { group: e.group } : { options: e.options }
      // GENEVE's reserved bits are nobody's to look at.
      if (encapsulation === 'geneve') delete s.reservedBits
      const both = { ...s, encapsulation, vni, port, zeroChecksum6: true }
      const encap = new Encap(b.pool, { ...both, ...header, local, remote, out: wire } as EncapOptions)
      const known = e.options.map((o) => ({ class: o.class, type: o.type }))
      const more = { gbp: true, knownOptions: known, local: remote, out: linkTo(b, inside) }
      const decap = new Decap(b.pool, { ...both, ...more })
      const tagged = (f: Uint8Array): boolean => u16(f, 12) === 0x8100 || u16(f, 12) === 0x88a8
      const dropsTags =
        s.innerVlan === 'drop' || (s.innerVlan === undefined && s.profile === 'rfc' && encapsulation === 'vxlan')
      feed(b.pool, encap, ...frames.map((f) => put(b.pool, f)))
      const out = wire.frames
      const expected = frames.filter((f) => !(dropsTags && tagged(f)))
      expect(out.length).toBe(expected.length)
      for (const [i, f] of out.entries()) {
        const inner = expected[i] as Uint8Array
        const l4 = e.v6 ? 54 : 34
        if (e.v6) expect(ipv6.check(f, 14, f.length)).toBe(54)
        else {
          expect(ipv4.check(f, 14, f.length)).toBe(34)
          expect(ipv4.checksumOk(f, 14)).toBe(true)
          expect(ipv4.totalLength(f, 14)).toBe(f.length - 14)
        }
        expect(udp.length(f, l4)).toBe(f.length - l4)
        expect(udp.checksum(f, l4) === 0 || udp.checksumOk(f, 14, l4)).toBe(true)
        expect(udp.dstPort(f, l4)).toBe(port)
        const [low, high] = s.sportRange ?? [1, 65_535]
        expect(udp.srcPort(f, l4) >= low && udp.srcPort(f, l4) <= high).toBe(true)
        const at = l4 + 8
        if (encapsulation === 'vxlan') {
          expect(vxlan.toJSON(f, at)).toEqual({
            vni,
            flags: e.group === undefined ? 8 : 0x88,
            ...(e.group === undefined ? {} : { group: e.group }),
          })
          expect(Buffer.compare(f.subarray(at + 8), inner)).toBe(0)
        } else {
          const h = geneve.toJSON(f, at)
          expect([h.vni, h.options.length, h.critical]).toEqual([
            vni,
            e.options.length,
            e.options.some((o) => o.type >= 128),
          ])
          expect(Buffer.compare(f.subarray(geneve.check(f, at, f.length)), inner)).toBe(0)
        }
      }
      for (const f of out) expect(feed(b.pool, decap, put(b.pool, f))).toEqual([])
      b.loop.settle()
      expect(inside.frames.map((f) => f.toString('hex'))).toEqual(expected.map((f) => Buffer.from(f).toString('hex')))
      const lost = frames.length - expected.length
      expect(dropped(b.pool)).toEqual(lost > 0 ? { InnerVlan: lost } : {})
    }),
    { numRuns: 400 },
  )
})

it('a frame that goes the quick way is wrapped and unwrapped as one that goes the long way', () => {
  fc.assert(
    fc.property(settings, fc.array(frame, { minLength: 1, maxLength: 20 }), (s, frames) => {
      if (s.profile === 'ovs' && s.df !== undefined) delete s.df
      const run = (shared: boolean): { wire: string[]; inside: string[] } => {
        const b = bench({ headroom: 256 })
        const wire = new Sink(b.pool)
        const inside = new Sink(b.pool)
        const encap = new Encap(b.pool, { ...s, local: '192.0.2.1', remote: '192.0.2.2', vni: 9, out: wire })
        const decap = new Decap(b.pool, { ...s, vni: 9, local: '192.0.2.2', out: linkTo(b, inside) })
        const through = (element: { process(x: Batch): void }, list: readonly Uint8Array[]): void => {
          const batch = new Batch()
          for (const bytes of list) {
            const f = put(b.pool, bytes)
            // Who holds a frame with others goes the long way.
            if (shared) b.pool.share(f, 1)
            batch.push(f)
          }
          const held = [...batch.frames.subarray(0, batch.length)]
          element.process(batch)
          b.loop.settle()
          for (let i = 0; i < batch.length; i++) b.pool.sent(batch.frames[i] as Frame)
          if (shared) for (const f of held) b.pool.sent(f as Frame)
        }
        through(encap, frames)
        through(decap, wire.frames)
        dropped(b.pool)
        return { wire: wire.frames.map((f) => f.toString('hex')), inside: inside.frames.map((f) => f.toString('hex')) }
      }
      expect(run(false)).toEqual(run(true))
    }),
    { numRuns: 200 },
  )
})
