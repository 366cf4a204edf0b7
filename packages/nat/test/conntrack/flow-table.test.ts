// The table of flows against Maps with text for keys; what it does when it is full, and how much a sweep does.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FlowTable, NO_FLOW } from '../../src/conntrack/flow-table.ts'
import { CREATED, EXPIRES, RECORD_SHIFT, REST_SHIFT } from '../../src/conntrack/record.ts'
import { opposite, Query, Tuple } from '../../src/tuple.ts'

const text = (t: Tuple): string => `${t.src} ${t.dst} ${t.ports} ${t.kind}`

const tuple = fc.record({
  src: fc.constantFrom(0x0a000001, 0x0a000002, 0xc0a80001, 0xffffffff),
  dst: fc.constantFrom(0xcb007101, 0xcb007102, 7),
  sport: fc.constantFrom(0, 53, 5000, 65_535),
  dport: fc.constantFrom(0, 53, 65_535),
  kind: fc.constantFrom(17, 6, 0x10006, 0xffff0011, 0x111, 1 | Query.Echo, 58 | 0x100 | Query.Echo),
})
type T = typeof tuple extends fc.Arbitrary<infer X> ? X : never
const fill = (t: Tuple, x: T): Tuple => t.set(x.src, x.dst, x.sport, x.dport, x.kind)

const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('insert' as const),
      a: tuple,
      to: fc.constantFrom(1, 2, 0xcb007109),
      port: fc.nat(65_535),
      time: fc.constantFrom(10, 1000, 50_000),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('find' as const), a: tuple }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('remove' as const), n: fc.nat(100) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('time' as const), ms: fc.constantFrom(1, 500, 40_000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('sweep' as const), n: fc.nat(20) }) },
)

it('finds what Maps find', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), fc.integer(), (steps, seed) => {
      const table = new FlowTable({ maxFlows: 16, seed })
      interface Flow {
        keys: string[]
        ends: number
      }
      const flows = new Map<number, Flow>()
      let now = 0
      const gone: number[] = []
      table.onEnd = (flow) => gone.push(flow)
      const [a, b] = [new Tuple(), new Tuple()]
      const alive = (): [number, Flow][] => [...flows].filter(([, f]) => f.ends > now)
      const holder = (key: string): [number, number] | undefined => {
        for (const [n, f] of alive()) if (f.keys.includes(key)) return [n, f.keys.indexOf(key)]
        return undefined
      }
      for (const s of steps) {
        switch (s.do) {
          case 'insert': {
            fill(a, s.a)
            b.invert(a)
            b.set(b.src, s.to, b.srcPort, s.port, opposite(a.kind))
            if (table.find(a) !== NO_FLOW || table.find(b) !== NO_FLOW || text(a) === text(b)) break
            const n = table.insert(a, b, 0, s.time)
            if (n === NO_FLOW) expect(alive().length).toBe(16)
            else flows.set(n, { keys: [text(a), text(b)], ends: now + s.time })
            break
          }
          case 'find': {
            const found = table.find(fill(a, s.a))
            const wanted = holder(text(a))
            expect(found).toBe(wanted === undefined ? NO_FLOW : wanted[0] * 2 + wanted[1])
            if (found !== NO_FLOW) expect(text(table.tuple(found >>> 1, found & 1, b))).toBe(text(a))
            break
          }
          case 'remove': {
            const list = alive()
            const [n] = list[s.n % Math.max(1, list.length)] ?? []
            if (n === undefined) break
            table.remove(n)
            break
          }
          case 'time':
            now += s.ms
            table.at(now * 1e6)
            break
          default:
            table.sweep(s.n)
        }
        for (const n of gone.splice(0)) {
          expect(flows.has(n)).toBe(true)
          if (s.do !== 'remove' && s.do !== 'insert') expect((flows.get(n) as Flow).ends).toBeLessThanOrEqual(now)
          const f = flows.get(n) as Flow
          // A record that was given away again in the same step is the new flow's.
          if (s.do !== 'insert' || f.ends <= now) flows.delete(n)
        }
        expect(table.size).toBe(flows.size)
        const listed: number[] = []
        for (let n = table.next(0); n !== NO_FLOW; n = table.next(n + 1)) listed.push(n)
        expect(listed).toEqual(
          alive()
            .map(([n]) => n)
            .sort((x, y) => x - y),
        )
      }
    }),
    { numRuns: 300 },
  )
})

describe('a large table', () => {
  const t = new Tuple()
  const r = new Tuple()
  const make = (table: FlowTable, i: number, timeout = 1000): number => {
    t.set(0x0a000000 + (i >>> 10), 0xc6336401, 1024 + (i & 1023), 53, 17)
    r.set(0xc6336401, 0xcb007101 + (i >>> 15), 53, i & 32767, 17)
    return table.insert(t, r, 0, timeout)
  }

  it('takes as many as it says, in the memory it says', () => {
    const table = new FlowTable({ maxFlows: 1 << 18 })
    expect(table.bytes / (1 << 18)).toBeLessThan(133)
    for (let i = 0; i < 1 << 18; i++) if (make(table, i) === NO_FLOW) throw new Error(`flow ${i} found no room`)
    expect(make(table, 1 << 18)).toBe(NO_FLOW)
    expect(table.counters).toMatchObject({ made: 1 << 18, refused: 1 })
  })

  it('a sweep looks at a slice, and all of them at everything', () => {
    const table = new FlowTable({ maxFlows: 1 << 12 })
    for (let i = 0; i < 1 << 12; i++) make(table, i, i % 2 === 0 ? 10 : 1000)
    table.at(500e6)
    expect(table.sweep(100)).toBe(50)
    let gone = 50
    for (let k = 0; k < 41; k++) gone += table.sweep(100)
    expect(gone).toBe(1 << 11)
    expect(table.size).toBe(1 << 11)
  })

  it('what is expired makes room without a sweep', () => {
    const table = new FlowTable({ maxFlows: 64 })
    for (let i = 0; i < 64; i++) make(table, i, 10)
    table.at(500e6)
    expect(make(table, 100)).not.toBe(NO_FLOW)
    expect(table.counters.expired).toBe(1)
  })

  it('the clock of 32 bits comes around', () => {
    const table = new FlowTable()
    table.at((2 ** 31 - 5) * 1e6)
    const flow = make(table, 1, 10)
    table.at((2 ** 31 + 4) * 1e6)
    expect(table.isAlive(flow)).toBe(true)
    table.at((2 ** 31 + 6) * 1e6)
    expect(table.isAlive(flow)).toBe(false)
  })
})

describe('time', () => {
  const DAY = 86_400e9
  const two = (): [Tuple, Tuple] => [new Tuple().set(1, 2, 3, 4, 17), new Tuple().set(2, 1, 4, 3, 17)]

  it.each([26, 40, 100])('that jumps by %i days ends everything', (days) => {
    const table = new FlowTable({ maxFlows: 16 })
    table.at(1e9)
    const [there, back] = two()
    table.insert(there, back, 0, 30_000)
    table.at(1e9 + days * DAY)
    expect(table.find(there)).toBe(NO_FLOW)
    expect(table.find(back)).toBe(NO_FLOW)
    expect(table.next(0)).toBe(NO_FLOW)
  })

  it('does not make a flow that lives on younger', () => {
    const table = new FlowTable({ maxFlows: 16 })
    table.at(0)
    const flow = table.insert(...two(), 0, 0)
    const age = (): number => (table.ms - (table.rest[(flow << REST_SHIFT) + CREATED] as number)) >>> 0
    for (let day = 1; day <= 120; day++) {
      table.at(day * DAY)
      table.records[(flow << RECORD_SHIFT) + EXPIRES] = table.ms + 1000
      table.sweep(16)
      expect(age()).toBe(Math.min(day * 86_400_000, 2 ** 31 - 1))
    }
  })
})

it('takes out 2,048 flows in a sweep, whatever the slice, and all of them in the end', () => {
  const table = new FlowTable({ maxFlows: 8192 })
  table.at(0)
  for (let i = 0; i < 8192; i++) {
    table.insert(new Tuple().set(i, 2, 3, 4, 17), new Tuple().set(2, i, 4, 3, 17), 0, 1000)
  }
  table.at(2e9)
  const gone = [1, 2, 3, 4, 5].map(() => table.sweep(8192))
  expect(gone).toEqual([2048, 2048, 2048, 2048, 0])
})

it('records are cache lines: they begin where a page does', () => {
  const { records, rest, index } = new FlowTable({ maxFlows: 1024 })
  expect([records.byteOffset, rest.buffer === records.buffer, index.buffer === records.buffer]).toEqual([0, true, true])
  // What tells a memory of WebAssembly from an ordinary buffer: nobody can take it away.
  structuredClone(records.buffer, { transfer: [records.buffer as ArrayBuffer] })
  expect(records.buffer.byteLength).toBeGreaterThan(0)
  // Nothing of one lies in another.
  for (const [i, array] of [records, rest, index].entries()) array.fill(i + 1)
  expect([records, rest, index].map((array) => new Set(array).size)).toEqual([1, 1, 1])
})
