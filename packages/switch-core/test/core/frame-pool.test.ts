import {
  DROP_NAMES,
  Drop,
  dropSentence,
  type Frame,
  FramePool,
  GsoType,
  MAX_FRAME,
  NO_FRAME,
  OffloadFlag,
} from '@l2l3/switch-core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

/** The pool: where frames lie, how they grow and shrink, who holds them. */

const bytes = (text: string) => new TextEncoder().encode(text)
const text = (pool: FramePool, f: Frame) => Buffer.from(pool.view(f)).toString()

describe('a pool', () => {
  it('puts every frame at 2 modulo 4, behind the headroom and within its slot, whatever its sizes are', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 64, max: MAX_FRAME }),
        fc.integer({ min: 32, max: 1024 }),
        (frames, frameSize, headroom) => {
          const pool = new FramePool({ frames, frameSize, headroom })
          expect(pool.headroom).toBeGreaterThanOrEqual(headroom)
          expect(pool.headroom).toBeLessThan(headroom + 4)
          // An odd number of cache lines.
          expect(pool.stride % 128).toBe(64)
          for (let f = pool.alloc(), i = 0; f !== NO_FRAME; f = pool.alloc(), i++) {
            const start = pool.off[f] as number
            expect(start % 4).toBe(2)
            expect(start).toBe(i * pool.stride + pool.headroom)
            expect(pool.room(f as Frame)).toBeGreaterThanOrEqual(frameSize)
            expect(start + pool.room(f as Frame)).toBe((i + 1) * pool.stride)
          }
          expect(pool.bytes.length).toBe(frames * pool.stride)
        },
      ),
      { numRuns: 60 },
    )
  })

  it('refuses sizes that make no sense, by name and value', () => {
    expect(() => new FramePool({ frames: 0 })).toThrow('frames must be a whole number from 1 to 1048576, not 0')
    expect(() => new FramePool({ frameSize: 63 })).toThrow('frameSize must be a whole number from 64 to 65553, not 63')
    expect(() => new FramePool({ frameSize: 65_554 })).toThrow('frameSize')
    expect(() => new FramePool({ headroom: 31 })).toThrow('headroom must be a whole number from 32 to 1024, not 31')
    expect(() => new FramePool({ frames: 1.5 })).toThrow('frames')
    expect(() => new FramePool({ frames: 1 << 20, frameSize: MAX_FRAME })).toThrow('at most 4 GiB')
  })

  it('can lie in memory that workers see', () => {
    expect(new FramePool({ frames: 1, shared: true }).bytes.buffer).toBeInstanceOf(SharedArrayBuffer)
  })

  it('gives out fresh rows with clean columns, whatever was in them', () => {
    const pool = new FramePool({ frames: 1 })
    const f = pool.from(bytes('web')) as Frame
    pool.port[f] = 7
    pool.flags[f] = 1
    pool.gsoType[f] = 1
    pool.strip(f, 2)
    pool.release(f)
    expect(pool.alloc()).toBe(f)
    expect([pool.len[f], pool.port[f], pool.flags[f], pool.gsoType[f], pool.refs[f]]).toEqual([0, 0, 0, 0, 1])
    expect(pool.off[f]).toBe(pool.headroom)
  })

  it('has no row when it is spent, and none for a frame that is too long', () => {
    const pool = new FramePool({ frames: 2, frameSize: 64 })
    expect(pool.from(new Uint8Array(65))).toBe(NO_FRAME)
    expect(pool.from(new Uint8Array(64))).toBe(0)
    expect(pool.from(new Uint8Array(0))).toBe(1)
    expect(pool.spare).toBe(0)
    expect([pool.alloc(), pool.from(new Uint8Array(1))]).toEqual([NO_FRAME, NO_FRAME])
  })
})

describe('a frame', () => {
  it('grows at the front down to its slot’s first byte, and not into the slot before', () => {
    const pool = new FramePool({ frames: 3, headroom: 34 })
    const [, f] = [pool.alloc(), pool.from(bytes('web')) as Frame]
    expect(pool.prepend(f, 35)).toBe(-1)
    expect(text(pool, f)).toBe('web')
    expect(pool.prepend(f, 34)).toBe(f * pool.stride)
    expect(pool.prepend(f, 1)).toBe(-1)
    expect(pool.len[f]).toBe(37)
    // Row 0 has no slot before it: a start below 0 must not wrap.
    expect(pool.prepend(0 as Frame, 35)).toBe(-1)
    expect(pool.off[0]).toBe(34)
  })

  it('shrinks at the front down to nothing, and not below', () => {
    const pool = new FramePool({ frames: 1 })
    const f = pool.from(bytes('web')) as Frame
    expect(pool.strip(f, 4)).toBe(-1)
    expect(pool.strip(f, 1)).toBe(pool.headroom + 1)
    expect(text(pool, f)).toBe('eb')
    expect(pool.strip(f, 2)).toBe(pool.headroom + 3)
    expect(pool.strip(f, 1)).toBe(-1)
    expect(pool.len[f]).toBe(0)
  })

  it('keeps its offload metadata true when a header is put in front, or taken off', () => {
    const pool = new FramePool({ frames: 2 })
    const f = pool.from(bytes('web')) as Frame
    Object.assign(pool.flags, { [f]: 1 })
    Object.assign(pool.csumStart, { [f]: 34 })
    Object.assign(pool.hdrLen, { [f]: 54 })
    pool.shiftOffload(f, 50)
    expect([pool.csumStart[f], pool.hdrLen[f]]).toEqual([84, 104])
    pool.shiftOffload(f, -50)
    expect([pool.csumStart[f], pool.hdrLen[f]]).toEqual([34, 54])
    const complete = pool.from(bytes('db')) as Frame
    pool.shiftOffload(complete, -4)
    expect([pool.csumStart[complete], pool.hdrLen[complete]]).toEqual([0, 0])
  })

  it('moves where the parts of a tunnel super-frame start, and copies that', () => {
    const pool = new FramePool({ frames: 2 })
    const f = pool.from(bytes('web')) as Frame
    pool.flags[f] = OffloadFlag.NeedsChecksum | OffloadFlag.TunnelChecksum
    pool.gsoType[f] = GsoType.Tcp4
    pool.outerL4[f] = 34
    pool.innerL3[f] = 64
    pool.shiftOffload(f, 4)
    expect([pool.outerL4[f], pool.innerL3[f]]).toEqual([34, 64])
    pool.gsoType[f] = GsoType.Tcp4 | GsoType.TunnelIpv6
    pool.shiftOffload(f, 4)
    const g = pool.copy(f) as Frame
    expect([pool.flags[g], pool.gsoType[g], pool.outerL4[g], pool.innerL3[g]]).toEqual([9, 0x41, 38, 68])
  })

  it('is seen where it lies, or copied out', () => {
    const pool = new FramePool({ frames: 1 })
    const f = pool.from(bytes('web')) as Frame
    const [seen, kept] = [pool.view(f), pool.copyOut(f)]
    expect(seen).toBeInstanceOf(Buffer)
    expect(kept).toBeInstanceOf(Buffer)
    pool.bytes[pool.off[f] as number] = 'W'.charCodeAt(0)
    expect([seen.toString(), kept.toString()]).toEqual(['Web', 'web'])
  })
})

describe('holders of a frame', () => {
  it('share a row until one of them wants to write', () => {
    const pool = new FramePool({ frames: 2 })
    const f = pool.from(bytes('web')) as Frame
    pool.ledger.originate(1)
    pool.port[f] = 3
    pool.flags[f] = 1
    pool.csumStart[f] = 34
    pool.share(f, 1)
    pool.prepend(f, 2)
    const g = pool.own(f) as Frame
    expect(g).not.toBe(f)
    expect(pool.copyOut(g)).toEqual(pool.copyOut(f))
    expect([pool.port[g], pool.flags[g], pool.csumStart[g]]).toEqual([3, 1, 34])
    expect([pool.refs[f], pool.refs[g]]).toEqual([1, 1])
    expect([pool.own(f), pool.own(g)]).toEqual([f, g])
    pool.sent(f)
    pool.drop(g, Drop.Storm)
    expect(pool.report()).toEqual({
      received: 0,
      originated: 1,
      copied: 1,
      sent: 1,
      held: 0,
      dropped: { Storm: 1 },
      balanced: true,
    })
  })

  it('lose it as PoolSpent where there is no row to own or to copy into', () => {
    const pool = new FramePool({ frames: 1 })
    const f = pool.from(bytes('web')) as Frame
    pool.ledger.originate(1)
    expect(pool.copy(f)).toBe(NO_FRAME)
    pool.share(f, 1)
    expect(pool.own(f)).toBe(NO_FRAME)
    expect(pool.refs[f]).toBe(1)
    expect(pool.report()).toMatchObject({ copied: 2, held: 1, dropped: { PoolSpent: 2 }, balanced: true })
  })
})

it('tells its observer of drops while the bytes are there, of copies, and of rows whose last holder lets go', () => {
  const pool = new FramePool({ frames: 3 })
  const seen: unknown[] = []
  pool.observer = {
    dropped: (f, why) => seen.push(['dropped', f, DROP_NAMES[why], text(pool, f)]),
    copied: (from, to) => seen.push(['copied', from, to, text(pool, to)]),
    freed: (f) => seen.push(['freed', f, pool.refs[f]]),
  }
  const f = pool.from(bytes('web')) as Frame
  pool.copy(f)
  pool.share(f, 1)
  pool.own(f)
  pool.drop(f, Drop.Runt)
  pool.sent(1 as Frame)
  expect(seen).toEqual([
    ['copied', 0, 1, 'web'],
    ['copied', 0, 2, 'web'],
    ['dropped', 0, 'Runt', 'web'],
    ['freed', 0, 0],
    ['freed', 1, 0],
  ])
  const g = pool.alloc() as Frame
  pool.share(g, 1)
  pool.releaseAll(Uint32Array.of(g, 2), 2)
  pool.releaseAll(Uint32Array.of(g), 1)
  expect(seen.slice(5)).toEqual([
    ['freed', 2, 0],
    ['freed', g, 0],
  ])
  pool.observer = {}
  pool.drop(pool.alloc() as Frame, Drop.Runt)
})

describe('the ledger', () => {
  it('shows a frame that was lost or given back twice', () => {
    const pool = new FramePool({ frames: 4 })
    pool.ledger.receive(2)
    const [f, g] = [pool.alloc() as Frame, pool.alloc() as Frame]
    expect(pool.report().balanced).toBe(true)
    pool.release(f)
    expect(pool.report().balanced).toBe(false)
    pool.ledger.send(1)
    expect(pool.report().balanced).toBe(true)
    pool.sent(g)
    pool.ledger.send(1)
    expect(pool.report().balanced).toBe(false)
  })
})

it('has a sentence for every reason, and numbers without a gap', () => {
  expect(Object.values(Drop)).toEqual(DROP_NAMES.map((_, i) => i))
  for (const [name, number] of Object.entries(Drop)) {
    expect(dropSentence(number)).toMatch(/^[A-Z].*\.$/s)
    expect(dropSentence(name as keyof typeof Drop)).toBe(dropSentence(number))
  }
  expect(new Set(DROP_NAMES.map((name) => dropSentence(name))).size).toBe(DROP_NAMES.length)
})
