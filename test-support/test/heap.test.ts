/** The measure of leaks is itself measured: by leaks made on purpose, and by what looks like one and is none. */
import { describe, expect, it } from 'vitest'
import { HEAP_LIMIT, heapGrowth, heapMade } from '../heap.ts'

const MILLION = 1_000_000
const bytes = new Uint8Array(1 << 20)

/** A million times what leaves nothing behind, and `leak` one time in `every`. */
function million(every: number, leak: (i: number) => void): () => void {
  return () => {
    for (let i = 0; i < MILLION; i++) {
      bytes[i] = (bytes[i] as number) + i
      if (i % every === 0) leak(i)
    }
  }
}

it('nothing is nothing, and one quiet round is enough', () => {
  let rounds = 0
  const quiet = million(1, () => {})
  quiet()
  expect(
    heapGrowth(() => {
      rounds++
      quiet()
    }),
  ).toBeLessThan(HEAP_LIMIT)
  expect(rounds).toBe(1)
})

describe('what stays behind is seen', () => {
  it.each<[string, number, (kept: unknown[], map: Map<number, number>) => (i: number) => void]>([
    ['an object of a hundred frames', 100, (kept) => (i) => kept.push({ i })],
    ['a closure of a hundred frames', 100, (kept) => (i) => kept.push(() => i)],
    ['a view of the bytes of a hundred frames', 100, (kept) => (i) => kept.push(bytes.subarray(i, i + 1))],
    ['a string of a hundred frames', 100, (kept) => (i) => kept.push(`frame ${i}`)],
    ['a number of every frame, in a list', 1, (kept) => (i) => kept.push(i + 0.5)],
    ['a number of every fourth frame, in a map', 4, (_, map) => (i) => map.set(map.size, i)],
  ])('%s', (_name, every, leaking) => {
    const kept: unknown[] = []
    const map = new Map<number, number>()
    const round = million(every, leaking(kept, map))
    round()
    expect(heapGrowth(round)).toBeGreaterThan(HEAP_LIMIT)
    expect(kept.length + map.size).toBeGreaterThan(0)
  })
})

it('what grows once, for a reason of its own, is no leak', () => {
  const kept: unknown[] = []
  const round = million(100, (i) => {
    if (kept.length < 10_000) kept.push({ i })
  })
  expect(heapGrowth(round)).toBeLessThan(HEAP_LIMIT)
  expect(kept).toHaveLength(10_000)
})

it('garbage is none either', () => {
  let last: unknown
  expect(heapGrowth(million(1, (i) => (last = { i })))).toBeLessThan(HEAP_LIMIT)
  expect(last).toBeDefined()
})

it('garbage is seen by who asks for it', () => {
  let last: unknown
  const frames = 16_000
  const round = (make: (i: number) => unknown) => (): void => {
    for (let i = 0; i < frames; i++) last = make(i)
  }
  const [clean, garbage] = [round((i) => i & 1), round((i) => ({ i }))]
  for (let i = 0; i < 20; i++) for (const warm of [clean, garbage]) warm()
  expect(heapMade(clean, frames)).toBeLessThan(frames)
  expect(heapMade(garbage, frames)).toBeGreaterThan(16 * frames)
  expect(last).toBeDefined()
})
