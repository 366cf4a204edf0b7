// Route tables: prefixes as people write them, and longest-prefix match against a list that is searched from end to
// end.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RouteTable4, RouteTable6 } from '../../src/router/route-table.ts'
import { parseIpv4, parseIpv6 } from '../../src/wire/index.ts'

describe('a prefix', () => {
  const t4 = new RouteTable4()
  const t6 = new RouteTable6()
  it.each(['10.0.0.0/8', '0.0.0.0/0', '10.1.2.3/32', '255.255.255.255/32'])('%s is one', (text) => {
    t4.set(text, 7)
    expect([...t4.list()].map((r) => r.prefix)).toEqual([text])
    expect(t4.delete(text)).toBe(7)
  })
  it.each(['2001:db8::/32', '::/0', 'fe80::/10', '2001:db8::1/128', 'ff00::/8'])('%s is one', (text) => {
    t6.set(text, 7)
    expect([...t6.list()].map((r) => r.prefix)).toEqual([text])
    expect(t6.delete(text)).toBe(7)
  })
  it('with host bits is refused, and said how it should be', () => {
    expect(() => t4.set('10.0.0.1/8', 1)).toThrow('"10.0.0.1/8" has host bits set; the prefix is 10.0.0.0/8')
    expect(() => t6.set('2001:db8::1/64', 1)).toThrow('"2001:db8::1/64" has host bits set; the prefix is 2001:db8::/64')
  })
  it.each(['10.0.0.0/33', '10.0.0.0/', '10.0.0/8', '10.0.0.0/08', '10.0.0.0/-1', 'x', '', '10.0.0.0/8/8'])(
    '%j is none',
    (text) => expect(() => t4.set(text, 1)).toThrow(JSON.stringify(text)),
  )
  it('of the other family is refused', () => {
    expect(() => t4.set('::/0', 1)).toThrow('not a prefix of IPv4: "::/0"')
    expect(() => t6.set('10.0.0.0/8', 1)).toThrow('not a prefix of IPv6: "10.0.0.0/8"')
  })
  it('has a value and a metric in their ranges', () => {
    expect(() => t4.set('10.0.0.0/8', 2 ** 23)).toThrow('value must be a whole number from 0 to 8388607, not 8388608')
    expect(() => t4.set('10.0.0.0/8', 1, -1)).toThrow('metric must be a whole number from 0 to 4294967295, not -1')
  })
})

describe('the longest prefix', () => {
  it('counts, and when it goes, the next shorter one', () => {
    const t = new RouteTable4()
    const at = (ip: string) => t.lookup(parseIpv4(ip))
    t.set('0.0.0.0/0', 1)
    t.set('10.0.0.0/8', 2)
    t.set('10.1.0.0/16', 3)
    t.set('10.1.2.0/24', 4)
    t.set('10.1.2.128/25', 5)
    t.set('10.1.2.129/32', 6)
    const all = ['9.9.9.9', '10.9.9.9', '10.1.9.9', '10.1.2.9', '10.1.2.200', '10.1.2.129']
    expect(all.map(at)).toEqual([1, 2, 3, 4, 5, 6])
    expect(t.delete('10.1.2.0/24')).toBe(4)
    expect(all.map(at)).toEqual([1, 2, 3, 3, 5, 6])
    expect(t.delete('0.0.0.0/0')).toBe(1)
    expect(all.map(at)).toEqual([-1, 2, 3, 3, 5, 6])
    expect(t.delete('10.1.2.0/24')).toBe(-1)
  })
  it('of routes for one prefix the lowest metric counts', () => {
    const t = new RouteTable6()
    const at = () => t.lookup(parseIpv6('2001:db8::1'), 0)
    t.set('2001:db8::/32', 1, 100)
    t.set('2001:db8::/32', 2, 10)
    t.set('2001:db8::/32', 3, 1000)
    expect(at()).toBe(2)
    expect(t.delete('2001:db8::/32', 10)).toBe(2)
    expect(at()).toBe(1)
    expect(t.set('2001:db8::/32', 9, 100)).toBe(1)
    expect(at()).toBe(9)
    expect([...t.list()].map((r) => `${r.metric} ${r.value}`)).toEqual(['100 9', '1000 3'])
  })
  it('takes no memory that it does not give back', () => {
    const t = new RouteTable6()
    const bytes: number[] = []
    for (let round = 0; round < 4; round++) {
      for (let i = 0; i < 2000; i++) t.insert(Uint32Array.of(0x20010db8, i * 7919, 0, round ? i : 1), 128, i)
      bytes.push(t.bytes)
      for (let i = 0; i < 2000; i++) t.remove(Uint32Array.of(0x20010db8, i * 7919, 0, round ? i : 1), 128)
      expect(t.size).toBe(0)
    }
    expect(bytes[3]).toBe(bytes[0])
  })
})

/** A step: add or take away a prefix. Few different bits, so that prefixes nest and part often. */
const steps = (bits: number) =>
  fc.array(
    fc.record({
      add: fc.integer({ min: 0, max: 3 }).map((n) => n > 0),
      // Eight bits, spread over the address by the test, and how many of the address's bits count.
      seed: fc.integer({ min: 0, max: 255 }),
      length: fc.integer({ min: 0, max: bits }),
      metric: fc.integer({ min: 0, max: 2 }),
      value: fc.integer({ min: 0, max: 8_388_607 }),
    }),
    { maxLength: 60 },
  )

/** An address of `words` words from eight bits: bit k of the seed decides on all bits k modulo 8 of the address. */
const spread = (words: number, seed: number): Uint32Array => new Uint32Array(words).fill((seed * 0x0101_0101) >>> 0)
const bit = (words: Uint32Array, i: number): number => ((words[i >> 5] as number) >>> (31 - (i & 31))) & 1

interface Naive {
  words: Uint32Array
  length: number
  metric: number
  value: number
}

function naiveLookup(routes: readonly Naive[], address: Uint32Array): number {
  let best: Naive | undefined
  for (const r of routes) {
    let covers = true
    for (let i = 0; i < r.length; i++) covers &&= bit(r.words, i) === bit(address, i)
    if (!covers) continue
    if (!best || r.length > best.length || (r.length === best.length && r.metric < best.metric)) best = r
  }
  return best?.value ?? -1
}

describe.each([
  ['IPv4', 1],
  ['IPv6', 4],
] as const)('%s against a list', (_, width) => {
  it('finds what searching all routes finds, while they come and go', () => {
    fc.assert(
      fc.property(
        steps(32 * width),
        fc.array(fc.integer({ min: 0, max: 0xffff_ffff }), { maxLength: 8 }),
        (list, extra) => {
          const t4 = new RouteTable4()
          const t6 = new RouteTable6()
          const t = width === 1 ? t4 : t6
          const lookup = (a: Uint32Array): number => {
            if (width === 1) return t4.lookup(a[0] as number)
            const b = new Uint8Array(19)
            const v = new DataView(b.buffer)
            for (let i = 0; i < 4; i++) v.setUint32(3 + 4 * i, a[i] as number)
            return t6.lookup(b, 3)
          }
          let naive: Naive[] = []
          for (const s of list) {
            const words = spread(width, s.seed)
            for (let i = s.length; i < 32 * width; i++) words[i >> 5]! &= ~(1 << (31 - (i & 31)))
            const same = (r: Naive) => r.length === s.length && r.metric === s.metric && r.words.join() === words.join()
            const before = naive.find(same)?.value ?? -1
            naive = naive.filter((r) => !same(r))
            if (s.add) {
              naive.push({ words, length: s.length, metric: s.metric, value: s.value })
              expect(t.insert(words, s.length, s.value, s.metric)).toBe(before)
            } else expect(t.remove(words, s.length, s.metric)).toBe(before)
            expect(t.size).toBe(naive.length)
            // At each prefix: its first address, its last, and those beside it.
            const probes = list.flatMap(({ seed, length }) => {
              const first = spread(width, seed)
              const last = spread(width, seed)
              for (let i = length; i < 32 * width; i++) {
                first[i >> 5]! &= ~(1 << (31 - (i & 31)))
                last[i >> 5]! |= 1 << (31 - (i & 31))
              }
              return [spread(width, seed), first, last]
            })
            for (const e of extra) probes.push(new Uint32Array(width).map((_, i) => Math.imul(e, 2 * i + 1) >>> 0))
            for (const p of probes) expect([p.join(), lookup(p)]).toEqual([p.join(), naiveLookup(naive, p)])
          }
          // Taken away in another order, nothing is left.
          for (const r of naive) expect(t.remove(r.words, r.length, r.metric)).toBe(r.value)
          expect([t.size, lookup(spread(width, 0)), lookup(spread(width, 255))]).toEqual([0, -1, -1])
        },
      ),
      { numRuns: 150 },
    )
  })
})
