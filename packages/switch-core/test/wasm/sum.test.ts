import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FramePool } from '../../src/index.ts'
import { makeBuffer, memoryOf } from '../../src/wasm/memory.ts'
import { start } from '../../src/wasm/program.ts'
import { SUM } from '../../src/wasm/sum.wasm.ts'
import { checksum as ck } from '../../src/wire/index.ts'
import { modulePath, moduleText, programs } from '../../wat.ts'

/*
 * The sum by WebAssembly beside RFC 1071, 4.1, transcribed. The arena of a pool is a memory of WebAssembly, so whoever sums up
 * a long range of it comes here; short ranges and other arrays are JavaScript's.
 */

type Sum = (o: number, end: number, initial: number) => number

function naive(b: Uint8Array, o: number, end: number, initial = 0): number {
  let s = initial
  for (let i = o; i < end; i += 2) {
    s += (b[i] as number) * 256 + (i + 1 < end ? (b[i + 1] as number) : 0)
    if (s > 0xffff) s -= 0xffff
  }
  return s
}

const kinds = [false, true].map((shared) => {
  const buffer = makeBuffer(65_536, shared)
  const memory = memoryOf(buffer)
  if (memory === undefined) throw new Error('this platform has no WebAssembly')
  const program = start<{ sum: Sum }>(SUM, memory)
  if (program === null) throw new Error('this platform does not take the program')
  return { shared, bytes: new Uint8Array(buffer), sum: program.sum }
})

for (const { shared, bytes, sum } of kinds) {
  const kind = shared ? 'a shared memory' : 'a memory'

  test(`${kind}: every length from 0 to 200 at every offset from 0 to 17, between bytes that do not count`, () => {
    for (const fill of [0x00, 0xff, -1]) {
      for (let i = 0; i < 512; i++) bytes[i] = fill < 0 ? Math.imul(i + 1, 0x9e3779b1) >>> 23 : fill
      for (let o = 0; o < 18; o++) {
        for (let n = 0; n <= 200; n++) {
          if (sum(o, o + n, 0) !== naive(bytes, o, o + n)) expect([fill, o, n]).toEqual('summed right')
        }
      }
    }
  })

  test(`${kind}: any bytes, any place, any start value`, () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3000 }), fc.nat(200), fc.nat(0xffff), (content, at, initial) => {
        bytes.fill(0x5a, 0, 4096)
        bytes.set(content, at)
        const end = at + content.length
        expect(sum(at, end, initial)).toBe(naive(bytes, at, end, initial))
      }),
    )
  })

  test(`${kind}: its last byte is summed up, and beyond it nothing is read`, () => {
    bytes.fill(0xff, 65_000)
    for (let n = 0; n < 100; n++) expect(sum(65_536 - n, 65_536, 0)).toBe(naive(bytes, 65_536 - n, 65_536))
    expect(() => sum(65_500, 65_537, 0)).toThrow('out of bounds')
  })
}

test('no sum of a lane overflows: 3 MiB of ff, and of words whose halves differ most', () => {
  const buffer = makeBuffer(3 << 20, false)
  const bytes = new Uint8Array(buffer)
  for (const pattern of [[0xff], [0xff, 0xff, 0, 0], [0, 0, 0xff, 0xff], [0xff, 0xfe]]) {
    for (let i = 0; i < bytes.length; i++) bytes[i] = pattern[i % pattern.length] as number
    for (const [o, end] of [
      [0, bytes.length],
      [1, bytes.length],
      [3, 262_144 + 3],
      [3, 262_144 + 4],
      [5, 524_288 + 70],
    ] as const) {
      expect(ck.sum(bytes, o, end)).toBe(naive(bytes, o, end))
    }
  }
})

test('all views of a pool come to the same sum as bytes of no pool, whichever was asked before', () => {
  const pools = [new FramePool({ frames: 4 }), new FramePool({ frames: 4, shared: true })]
  const content = fc.uint8Array({ minLength: 60, maxLength: 1900 })
  fc.assert(
    fc.property(content, fc.nat(3), fc.nat(0x2_ffff), fc.nat(1), (frame, skip, initial, which) => {
      const pool = pools[which] as FramePool
      const f = pool.from(frame)
      if (f === -1) throw new Error('no row')
      const [o, end] = [pool.off[f] as number, (pool.off[f] as number) + frame.length]
      const expected = ck.fold(naive(frame, skip, frame.length) + initial)
      expect(ck.sum(pool.data, o + skip, end, initial)).toBe(expected)
      expect(ck.sum(pool.view(f), skip, frame.length, initial)).toBe(expected)
      expect(ck.sum(frame, skip, frame.length, initial)).toBe(expected)
      expect(ck.sum(pool.bytes, o + skip, end, initial)).toBe(expected)
      expect(ck.sum(pool.bytes.subarray(o + skip, end), 0, frame.length - skip, initial)).toBe(expected)
      pool.release(f)
    }),
  )
})

test('a pool has the bytes that it asked for, and no more, whatever its memory has', () => {
  const pool = new FramePool({ frames: 3, frameSize: 64 })
  expect(pool.bytes.length).toBe(3 * pool.stride)
  expect(pool.data.byteLength).toBe(3 * pool.stride)
})

test('without WebAssembly, without room for its memory, and where a module is not taken, JavaScript sums up', () => {
  const has: object = Reflect.get(globalThis, 'WebAssembly')
  const ways = {
    'no WebAssembly': undefined,
    'no address space': {
      ...has,
      Memory: class {
        constructor() {
          throw new RangeError('could not allocate memory')
        }
      },
    },
  }
  for (const [way, platform] of Object.entries(ways)) {
    Object.defineProperty(globalThis, 'WebAssembly', { value: platform, configurable: true, writable: true })
    try {
      for (const shared of [false, true]) {
        const pool = new FramePool({ frames: 2, shared })
        expect([way, memoryOf(pool.bytes.buffer)]).toEqual([way, undefined])
        pool.bytes.fill(0xa7)
        expect(ck.sum(pool.data, 3, 1500)).toBe(naive(pool.bytes, 3, 1500))
        expect(ck.sum(pool.bytes, 3, 1500)).toBe(naive(pool.bytes, 3, 1500))
      }
    } finally {
      Object.defineProperty(globalThis, 'WebAssembly', { value: has, configurable: true, writable: true })
    }
  }
  const memory = memoryOf(makeBuffer(1, false))
  // A module with a section that no platform knows.
  expect(memory && start({ plain: '0061736d010000007f00', shared: '' }, memory)).toBe(null)
})

test('the modules are what their sources compile to', async () => {
  expect(programs()).toContain('sum')
  for (const name of programs()) expect(await moduleText(name)).toBe(readFileSync(modulePath(name), 'utf8'))
})
