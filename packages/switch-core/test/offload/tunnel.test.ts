import fc from 'fast-check'
import { afterEach, expect, test } from 'vitest'
import { Batch } from '../../src/batch.ts'
import { DROP_NAMES, type DropName } from '../../src/drop.ts'
import { type Frame, FramePool, MAX_FRAME } from '../../src/frame-pool.ts'
import { finish } from '../../src/offload.ts'
import { segmentLength } from '../../src/router/super-frame.ts'
import { put16 } from '../../src/wire/index.ts'
import { show } from '../wire/hex.ts'
import type { Shape } from './super-frames.ts'
import { type Outer, type TunnelFrame, tunnelFrame, tunnelSegmentsOf } from './tunnel-frames.ts'

/* Super-frames inside VXLAN and GENEVE, cut: against a model that encapsulates each segment by itself. */

const pool = new FramePool({ frames: 300, frameSize: MAX_FRAME })
afterEach(() => expect(pool.report()).toMatchObject({ balanced: true, held: 0 }))

function put(s: TunnelFrame, size: number, summed: boolean): Frame {
  const f = pool.from(s.bytes) as Frame
  pool.ledger.receive(1)
  pool.flags[f] = summed ? 9 : 1
  pool.gsoType[f] = s.gsoType
  pool.gsoSize[f] = size
  pool.hdrLen[f] = s.data
  pool.csumStart[f] = s.csumStart
  pool.csumOffset[f] = s.csumOffset
  pool.outerL4[f] = s.outerL4
  pool.innerL3[f] = s.innerL3
  return f
}

function cut(f: Frame): { frames: string[]; lost: DropName[]; lengths: number[] } {
  const frames: string[] = []
  const lost: DropName[] = []
  const lengths: number[] = []
  const batch = new Batch()
  batch.push(f)
  finish(
    pool,
    batch,
    0,
    (b) => {
      for (const g of b.frames.subarray(0, b.length)) {
        frames.push(show(pool.view(g as Frame)))
        lengths.push(pool.len[g] as number)
        pool.sent(g as Frame)
      }
    },
    (g, why) => {
      lost.push(DROP_NAMES[why] as DropName)
      pool.drop(g, why)
    },
  )
  return { frames, lost, lengths }
}

const shape: fc.Arbitrary<Shape> = fc
  .record({
    transport: fc.constantFrom('tcp' as const, 'udp' as const),
    version: fc.constantFrom(4 as const, 6 as const),
    tags: fc.constantFrom<number[]>([], [100], [200, 100]),
    payload: fc.oneof(fc.integer({ min: 1, max: 5000 }), fc.integer({ min: 1, max: 64_000 })),
    size: fc.oneof(fc.integer({ min: 10, max: 300 }), fc.integer({ min: 300, max: 9000 }), fc.constantFrom(1398, 1410)),
    flags: fc.nat(255),
    seq: fc.nat(0xffffffff),
    id: fc.nat(0xffff),
    ipOptions: fc.constantFrom(0, 8),
    tcpOptions: fc.constantFrom(0, 12),
  })
  .map((s) => ({ ...s, payload: Math.min(s.payload, s.size * 120) }))

const outer: fc.Arbitrary<Outer> = fc.record({
  over: fc.constantFrom(4 as const, 6 as const),
  header: fc.constantFrom(8, 12, 68),
  summed: fc.boolean(),
  outerId: fc.nat(0xffff),
})

test('each segment is what encapsulating the inner segment makes, and none is longer than was said', () => {
  fc.assert(
    fc.property(shape, outer, (s, t) => {
      const big = tunnelFrame(s, t)
      const f = put(big, s.size, t.summed)
      const l3 = (pool.off[f] as number) + 14
      const longest = segmentLength(pool, f, l3, l3 - 14 + big.bytes.length)
      const { frames, lost, lengths } = cut(f)
      expect(lost).toEqual([])
      expect(frames).toEqual(tunnelSegmentsOf(s, t).map((b) => show(b)))
      if (frames.length > 1) expect(Math.max(...lengths) - 14).toBe(longest)
      else expect((lengths[0] as number) - 14).toBeLessThanOrEqual(longest)
    }),
    { numRuns: 200 },
  )
})

test('inner UDP without a checksum is summed into the outer one', () => {
  const t: Outer = { over: 6, header: 8, summed: true }
  const s: Shape = { transport: 'udp', version: 4, payload: 301, size: 100 }
  const big = tunnelFrame(s, t)
  put16(big.bytes, big.l4 + 6, 0)
  const f = put(big, s.size, true)
  pool.flags[f] = 8
  const { frames } = cut(f)
  expect(frames.length).toBe(4)
  for (const frame of frames) {
    const b = Buffer.from(frame, 'hex')
    let sum = 17 + b.length - 54
    for (let i = 22; i < b.length; i += 2) sum += i + 1 < b.length ? b.readUInt16BE(i) : (b[i] as number) << 8
    expect(sum % 0xffff).toBe(0)
    expect(b.readUInt16BE(60)).not.toBe(0)
  }
})

test('every contradiction between metadata and headers is BadOffload', () => {
  const s: Shape = { transport: 'tcp', version: 4, payload: 3000, size: 1000 }
  const spoil: Record<string, (f: Frame, o: number) => void> = {
    'both outer versions': (f) => (pool.gsoType[f] = 0x61),
    'the other outer version': (f) => (pool.gsoType[f] = 0x41),
    'no inner kind': (f) => (pool.gsoType[f] = 0x20),
    'the other inner version': (f) => (pool.gsoType[f] = 0x24),
    'no tunnel': (f) => (pool.gsoType[f] = 1),
    'outer UDP elsewhere': (f) => (pool.outerL4[f] = 36),
    'inner IP inside the UDP header': (f) => (pool.innerL3[f] = 40),
    'inner IP elsewhere': (f) => (pool.innerL3[f] = 60),
    'inner IP behind the end': (f) => (pool.innerL3[f] = 65_535),
    'the outer checksum as what is missing': (f) => {
      pool.csumStart[f] = 34
      pool.csumOffset[f] = 6
    },
    'an outer packet that is TCP': (_, o) => (pool.bytes[o + 23] = 6),
    'an outer fragment': (_, o) => (pool.bytes[o + 20] = 0x20),
    'an outer IP length that is not its own': (_, o) => put16(pool.bytes, o + 16, 1000),
    'an outer UDP length that is not its own': (_, o) => put16(pool.bytes, o + 38, 1000),
    'an outer header with a length of 4': (_, o) => (pool.bytes[o + 14] = 0x41),
  }
  for (const [what, wrong] of Object.entries(spoil)) {
    const f = put(tunnelFrame(s, { over: 4, header: 8, summed: false }), s.size, false)
    wrong(f, pool.off[f] as number)
    expect([what, cut(f)]).toEqual([what, { frames: [], lost: ['BadOffload'], lengths: [] }])
  }
  // Longer than the length fields can tell: zero leaves it to who cuts.
  const f = put(tunnelFrame(s, { over: 4, header: 8, summed: false }), s.size, false)
  const o = pool.off[f] as number
  put16(pool.bytes, o + 16, 0)
  put16(pool.bytes, o + 38, 0)
  expect(cut(f).frames.length).toBe(3)
})

test('whatever the columns and headers say, nothing outside the frame is read or written, and it ends', () => {
  const t: Outer = { over: 4, header: 8, summed: true }
  const s: Shape = { transport: 'tcp', version: 4, payload: 3000, size: 1000 }
  fc.assert(
    fc.property(
      fc.record({
        over: fc.constantFrom(4 as const, 6 as const),
        length: fc.nat(3200),
        flips: fc.array(fc.tuple(fc.nat(150), fc.nat(255)), { maxLength: 6 }),
        columns: fc.array(fc.nat(65_535), { minLength: 7, maxLength: 7 }),
        which: fc.nat(127),
        type: fc.constantFrom(0x21, 0x24, 0x25, 0x41, 0x44, 0x45, 0xa1),
      }),
      ({ over, length, flips, columns, which, type }) => {
        const f = put(tunnelFrame(s, { ...t, over }), s.size, true)
        pool.gsoType[f] = type
        const lists = [pool.gsoSize, pool.hdrLen, pool.csumStart, pool.csumOffset, pool.outerL4, pool.innerL3]
        for (const [i, list] of lists.entries()) if (which & (1 << i)) list[f] = columns[i] as number
        const o = pool.off[f] as number
        if (which & 64) pool.len[f] = Math.min(length, pool.len[f] as number)
        for (const [at, value] of flips) pool.bytes[o + at] = value
        segmentLength(pool, f, o + 14, o + (pool.len[f] as number))
        const { frames, lost } = cut(f)
        expect(frames.length > 0 !== lost.length > 0 || lost[0] === 'PoolSpent').toBe(true)
        expect(pool.report()).toMatchObject({ balanced: true, held: 0 })
      },
    ),
    { numRuns: 2000 },
  )
})
