// Room beside the arena: places do not overlap, start on a cache line, are zero however often they were used, and come back.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FramePool } from '../../src/index.ts'
import { makeBuffer } from '../../src/wasm/memory.ts'
import { type Column, Room } from '../../src/wasm/room.ts'

const START = 100
const END = 65_000

test('places do not overlap, and are zeros on a cache line of their own', () => {
  const op = fc.record({ take: fc.boolean(), n: fc.nat(3000), which: fc.nat() })
  fc.assert(
    fc.property(fc.array(op, { maxLength: 60 }), (ops) => {
      const buffer = makeBuffer(END + 500, false)
      new Uint8Array(buffer).fill(0x5a, 0, START).fill(0x5a, END)
      const room = new Room(buffer, START, END)
      const held: { array: Column; mark: number }[] = []
      for (const [i, { take, n, which }] of ops.entries()) {
        if (take) {
          const array = room.array(
            [Uint8Array, Uint16Array, Int32Array, Float64Array][which % 4] as typeof Uint8Array,
            n,
          )
          expect(array.length).toBe(n)
          expect(array.every((value) => value === 0)).toBe(true)
          if (room.has(array)) expect(array.byteOffset % 64).toBe(0)
          const mark = (i % 100) + 1
          array.fill(mark)
          held.push({ array, mark })
        } else if (held.length > 0) {
          const [gone] = held.splice(which % held.length, 1)
          room.release((gone as { array: Column }).array)
          // Once is enough: what comes after is nobody's.
          room.release((gone as { array: Column }).array)
        }
      }
      for (const { array, mark } of held) expect(array.every((value) => value === mark)).toBe(true)
      expect(new Uint8Array(buffer, 0, START).every((byte) => byte === 0x5a)).toBe(true)
      expect(new Uint8Array(buffer, END, 500).every((byte) => byte === 0x5a)).toBe(true)
      // All of it comes back as one place.
      const before = held.some(({ array }) => room.has(array))
      for (const { array } of held) room.release(array)
      if (before) expect(room.has(room.array(Uint8Array, END - 128 - 63))).toBe(true)
    }),
    { numRuns: 200 },
  )
})

test('what finds no room is an array of its own', () => {
  const room = new Room(makeBuffer(1000, false), 0, 1000)
  expect(room.has(room.array(Uint32Array, 200))).toBe(true)
  const other = room.array(Uint32Array, 200)
  expect([room.has(other), other.length]).toEqual([false, 200])
  expect(new Room(new ArrayBuffer(1000), 0, 1000).array(Uint8Array, 10).buffer.byteLength).toBe(10)
})

test('a pool has tables of the size that it was told', () => {
  for (const tables of [-1, 0.5, 2 ** 31]) {
    expect(() => new FramePool({ tables })).toThrow(`tables must be a whole number from 0 to 1073741824, not ${tables}`)
  }
  const pool = new FramePool({ frames: 3, tables: 4096 })
  expect([pool.tables.has(pool.off), pool.tables.has(pool.len)]).toEqual([true, true])
  expect(pool.tables.has(pool.tables.array(Uint8Array, 4096))).toBe(true)
  expect(pool.tables.has(pool.tables.array(Uint8Array, 1))).toBe(false)
})
