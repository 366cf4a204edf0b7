import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { OutsidePorts } from '../../src/outbound/outside-ports.ts'
import {
  firstOf,
  formatPortRange,
  lastOf,
  linuxClass,
  range,
  readPortRange,
  sizeOf,
  within,
} from '../../src/outbound/port-range.ts'
import { PrefixSet } from '../../src/outbound/prefix-set.ts'
import { NO_ROW, RowIndex } from '../../src/outbound/row-index.ts'

/** What the mappings stand on: sets of prefixes, rows by key, ranges of ports. */

/** An address as a bigint, its bits, and a prefix of it. */
const prefix4 = fc.record({ ip: fc.integer({ min: 0, max: 0xffff_ffff }), length: fc.integer({ min: 0, max: 32 }) })

function text4(ip: number): string {
  return [24, 16, 8, 0].map((s) => (ip >>> s) & 255).join('.')
}

function network(ip: number, length: number): number {
  return length === 0 ? 0 : (ip & (-1 << (32 - length))) >>> 0
}

describe('PrefixSet', () => {
  it('knows the ends of its prefixes', () => {
    const set = new PrefixSet('x', ['10.0.0.0/8', '192.168.1.7', '10.96.0.0/12', '11.0.0.0/8', '2001:db8::/32', '::1'])
    const v4 = (a: number, b: number, c: number, d: number): boolean =>
      set.includes4((a << 24) | (b << 16) | (c << 8) | d)
    expect([v4(9, 255, 255, 255), v4(10, 0, 0, 0), v4(11, 255, 255, 255), v4(12, 0, 0, 0)]).toEqual([
      false,
      true,
      true,
      false,
    ])
    expect([v4(192, 168, 1, 6), v4(192, 168, 1, 7), v4(192, 168, 1, 8)]).toEqual([false, true, false])
    const v6 = (...w: number[]): boolean => set.includes6(Uint32Array.from([0, ...w]), 1)
    expect(v6(0x2001_0db7, 0xffff_ffff, 0xffff_ffff, 0xffff_ffff)).toBe(false)
    expect(v6(0x2001_0db8, 0, 0, 0)).toBe(true)
    expect(v6(0x2001_0db8, 0xffff_ffff, 0xffff_ffff, 0xffff_ffff)).toBe(true)
    expect(v6(0x2001_0db9, 0, 0, 0)).toBe(false)
    expect([v6(0, 0, 0, 0), v6(0, 0, 0, 1), v6(0, 0, 0, 2)]).toEqual([false, true, false])
    expect(set.prefixes).toContain('192.168.1.7/32')
  })

  it('of everything, and of nothing', () => {
    const all = new PrefixSet('x', ['0.0.0.0/0', '::/0'])
    const none = new PrefixSet('x', [])
    for (const ip of [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, -1]) {
      expect([all.includes4(ip), none.includes4(ip)]).toEqual([true, false])
    }
    const top = Uint32Array.of(0xffff_ffff, 0xffff_ffff, 0xffff_ffff, 0xffff_ffff)
    expect([all.includes6(top, 0), none.includes6(top, 0)]).toEqual([true, false])
    expect([all.empty, none.empty, none.has(4), all.has(6)]).toEqual([false, true, false, true])
  })

  it('IPv4: as asking each prefix', () => {
    fc.assert(
      fc.property(
        fc.array(prefix4, { maxLength: 12 }),
        fc.array(fc.integer({ min: 0, max: 0xffff_ffff })),
        (list, asked) => {
          const set = new PrefixSet(
            'x',
            list.map((p) => `${text4(network(p.ip, p.length))}/${p.length}`),
          )
          const edges = list.flatMap((p) => {
            const first = network(p.ip, p.length)
            const last = first + 2 ** (32 - p.length) - 1
            return [first - 1, first, last, last + 1]
          })
          for (const ip of [...asked, ...edges.map((e) => e >>> 0)]) {
            const naive = list.some((p) => network(ip, p.length) === network(p.ip, p.length))
            expect(set.includes4(ip)).toBe(naive)
            expect(set.includes4(ip | 0)).toBe(naive)
          }
        },
      ),
      { numRuns: 300 },
    )
  })

  it('IPv6: as asking each prefix', () => {
    const word = fc.oneof(fc.integer({ min: 0, max: 0xffff_ffff }), fc.constantFrom(0, 0xffff_ffff, 0x2001_0db8))
    const address = fc.tuple(word, word, word, word)
    const prefix = fc.record({ a: address, length: fc.integer({ min: 0, max: 128 }) })
    const big = (a: readonly number[]): bigint => a.reduce((sum, w) => (sum << 32n) | BigInt(w), 0n)
    const cut = (a: bigint, length: number): bigint => (a >> BigInt(128 - length)) << BigInt(128 - length)
    const words = (a: bigint): number[] => [96n, 64n, 32n, 0n].map((s) => Number((a >> s) & 0xffff_ffffn))
    const text = (a: bigint): string =>
      words(a)
        .flatMap((w) => [w >>> 16, w & 0xffff])
        .map((g) => g.toString(16))
        .join(':')
    fc.assert(
      fc.property(fc.array(prefix, { maxLength: 8 }), fc.array(address, { maxLength: 8 }), (list, asked) => {
        const set = new PrefixSet(
          'x',
          list.map((p) => `${text(cut(big(p.a), p.length))}/${p.length}`),
        )
        const edges = list.flatMap((p) => {
          const first = cut(big(p.a), p.length)
          const last = first + (1n << BigInt(128 - p.length)) - 1n
          return [first - 1n, first, last, last + 1n]
        })
        for (const a of [...asked.map(big), ...edges]) {
          const ip = BigInt.asUintN(128, a)
          const naive = list.some((p) => cut(ip, p.length) === cut(big(p.a), p.length))
          expect(set.includes6(words(ip), 0)).toBe(naive)
        }
      }),
      { numRuns: 300 },
    )
  })

  it.each([
    [['10.0.0.1/8'], /list\[0\]: "10.0.0.1\/8" has host bits set; the prefix is 10.0.0.0\/8/],
    [['10.0.0.0/8', 'x'], /list\[1\]: not an address or prefix: "x"/],
    ['10.0.0.0/8', /list must be a list of prefixes, not "10.0.0.0\/8"/],
  ] as [string[], RegExp][])('throws for %j', (list, error) => {
    expect(() => new PrefixSet('list', list)).toThrow(error)
  })
})

describe('RowIndex', () => {
  const step = fc.oneof(
    fc.record({
      op: fc.constant('add' as const),
      key: fc.tuple(fc.integer({ max: 6, min: 0 }), fc.integer({ max: 3, min: 0 })),
    }),
    fc.record({ op: fc.constant('remove' as const), nth: fc.nat(20) }),
    fc.record({ op: fc.constant('hide' as const), nth: fc.nat(20) }),
    fc.record({ op: fc.constant('free' as const), nth: fc.nat(20) }),
  )

  it('is a map of a bounded size', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.array(step, { maxLength: 80 }), (max, steps) => {
        const index = new RowIndex('rows', max, 2, 7)
        const rows = new Map<string, number>()
        const hidden = new Set<number>()
        for (const s of steps) {
          if (s.op === 'add') {
            const name = s.key.join()
            index.key.set(s.key)
            expect(index.find()).toBe(rows.get(name) ?? NO_ROW)
            if (rows.has(name)) continue
            const row = index.add()
            if (rows.size + hidden.size === max) expect(row).toBe(NO_ROW)
            else {
              expect([...rows.values(), ...hidden]).not.toContain(row)
              expect([index.word(row, 0), index.word(row, 1)]).toEqual(s.key)
              rows.set(name, row)
            }
          } else if (s.op === 'free') {
            const row = [...hidden][s.nth % (hidden.size || 1)]
            if (row === undefined) continue
            index.free(row)
            hidden.delete(row)
          } else {
            const [name, row] = [...rows][s.nth % (rows.size || 1)] ?? []
            if (name === undefined || row === undefined) continue
            rows.delete(name)
            if (s.op === 'remove') index.remove(row)
            else {
              index.hide(row)
              hidden.add(row)
            }
          }
          expect(index.size).toBe(rows.size + hidden.size)
          for (let a = 0; a <= 6; a++) {
            for (let b = 0; b <= 3; b++) {
              index.key.set([a, b])
              expect(index.find()).toBe(rows.get(`${a},${b}`) ?? NO_ROW)
            }
          }
        }
      }),
      { numRuns: 200 },
    )
  })

  it('keeps chains short for keys that differ in few bits', () => {
    const index = new RowIndex('rows', 65_536, 3, 0)
    for (let i = 0; i < 65_536; i++) {
      index.key.set([17, 0x0a000000 + (i >> 8), (i & 255) << 16])
      index.add()
    }
    const started = performance.now()
    let found = 0
    for (let i = 0; i < 65_536; i++) {
      index.key.set([17, 0x0a000000 + (i >> 8), (i & 255) << 16])
      if (index.find() === i) found++
    }
    expect(found).toBe(65_536)
    // A chain of all would take minutes.
    expect(performance.now() - started).toBeLessThan(2000)
  })
})

it.each([
  [{ seed: 'x' }, /^seed must be a whole number, not "x"/],
  [{ ports: 5 }, /^unknown key "ports"/],
  [{ maxPorts: 0 }, /^maxPorts must be a whole number/],
] as [object, RegExp][])('OutsidePorts refuses %j', (options, error) => {
  expect(() => new OutsidePorts(options)).toThrow(error)
})

describe('ranges of ports', () => {
  it('are read and written', () => {
    const r = readPortRange('ports', '1024-65535')
    expect([firstOf(r), lastOf(r), sizeOf(r), formatPortRange(r)]).toEqual([1024, 65_535, 64_512, '1024-65535'])
    expect(formatPortRange(readPortRange('ports', 80))).toBe('80')
    expect([within(r, 1023), within(r, 1024), within(r, 65_535)]).toEqual([false, true, true])
  })

  it('classes have the bounds of modes.md 18.2', () => {
    const bounds = (port: number): number[] => [firstOf(linuxClass(port)), lastOf(linuxClass(port))]
    expect([1, 511, 512, 1023, 1024, 65_535].map(bounds)).toEqual([
      [1, 511],
      [1, 511],
      [600, 1023],
      [600, 1023],
      [1024, 65_535],
      [1024, 65_535],
    ])
    expect(range(0, 65_535)).toBe(65_535)
  })
})
