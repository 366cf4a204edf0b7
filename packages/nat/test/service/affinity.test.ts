import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Affinity, Client, NO_ENTRY } from '../../src/service/affinity.ts'

const SECOND = 1e9

function client(address: number, kind = 6): Client {
  const c = new Client()
  c.is4(address)
  c.kind = kind
  return c
}

describe('the memory of clients', () => {
  it('knows a client until its time is over, and from each new connection on anew', () => {
    const affinity = new Affinity(64, 0)
    const numbers = Int32Array.of(11, 12)
    affinity.remember(1, client(0x0a000005), 1, 12, 0, 10_800 * SECOND)
    const at = (now: number) => {
      const entry = affinity.find(1, client(0x0a000005), now)
      return entry === NO_ENTRY ? -1 : affinity.backend(entry, numbers)
    }
    expect(at(10_799 * SECOND)).toBe(1)
    expect(at(10_800 * SECOND)).toBe(-1)
    affinity.remember(1, client(0x0a000005), 1, 12, 10_000 * SECOND, 10_800 * SECOND)
    expect(at(20_799 * SECOND)).toBe(1)
    expect(at(20_800 * SECOND)).toBe(-1)
  })

  it('tells apart services, families, protocols, and addresses that differ in any word', () => {
    const affinity = new Affinity(1024, 0)
    const base = new Client()
    base.words.set([0x20010db8, 0, 0, 1])
    base.kind = 0x106
    affinity.remember(1, base, 0, 1, 0, SECOND)
    for (let i = 0; i < 4; i++) {
      const other = new Client()
      other.words.set(base.words)
      other.words[i] = other.words[i]! ^ 1
      other.kind = base.kind
      expect(affinity.find(1, other, 0)).toBe(NO_ENTRY)
    }
    expect(affinity.find(2, base, 0)).toBe(NO_ENTRY)
    base.kind = 0x111
    expect(affinity.find(1, base, 0)).toBe(NO_ENTRY)
    base.kind = 0x106
    expect(affinity.find(1, base, 0)).not.toBe(NO_ENTRY)
  })

  it('does not take a backend for another that got its row', () => {
    const affinity = new Affinity(8, 0)
    affinity.remember(1, client(1), 0, 11, 0, SECOND)
    const entry = affinity.find(1, client(1), 0)
    expect(affinity.backend(entry, Int32Array.of(11))).toBe(0)
    expect(affinity.backend(entry, Int32Array.of(12))).toBe(-1)
    expect(affinity.backend(entry, new Int32Array(0))).toBe(-1)
  })

  it('has a size: a million clients later it holds as many as it may, the latest', () => {
    const affinity = new Affinity(1000, 7)
    expect(affinity.entries).toBe(1024)
    for (let i = 0; i < 1_000_000; i++) affinity.remember(1, client(i), 0, 1, i, SECOND)
    expect(affinity.count(1_000_000)).toBe(1024)
    let late = 0
    for (let i = 999_000; i < 1_000_000; i++) if (affinity.find(1, client(i), 1_000_000) !== NO_ENTRY) late++
    expect(late).toBeGreaterThan(650)
    expect(affinity.find(1, client(1), 1_000_000)).toBe(NO_ENTRY)
  })

  it('is a map with expiry, as long as it is not crowded', () => {
    const step = fc.record({
      service: fc.integer({ min: 1, max: 2 }),
      address: fc.integer({ min: 0, max: 3 }),
      row: fc.integer({ min: 0, max: 3 }),
      put: fc.boolean(),
      wait: fc.integer({ min: 0, max: 5 }),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.integer(), (steps, seed) => {
        const affinity = new Affinity(8, seed)
        const numbers = Int32Array.of(1, 2, 3, 4)
        const model = new Map<string, { row: number; until: number }>()
        let now = 0
        for (const { service, address, row, put, wait } of steps) {
          now += wait
          const key = `${service} ${address}`
          const known = model.get(key)
          const entry = affinity.find(service, client(address), now)
          const found = entry === NO_ENTRY ? -1 : affinity.backend(entry, numbers)
          expect(found).toBe(known !== undefined && known.until > now ? known.row : -1)
          if (!put) continue
          affinity.remember(service, client(address), row, row + 1, now, 7)
          model.set(key, { row, until: now + 7 })
        }
        expect(affinity.count(now)).toBe([...model.values()].filter((e) => e.until > now).length)
      }),
    )
  })

  it('refuses sizes that make no sense', () => {
    expect(() => new Affinity(7, 0)).toThrow('affinityEntries must be a whole number from 8 to 4194304, not 7')
  })
})
