import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Frontends, NO_FRONTEND, NODE_PORT } from '../../src/service/frontends.ts'

describe('the table of frontends', () => {
  it('is a map: any order of puts and removals', () => {
    const key = fc.record({
      address: fc.constantFrom(0, 0x0a60_000a, 0xcb00_7101, 5),
      kind: fc.constantFrom(6, 17, 132, 0x106, 0xffff_0006, 0x8000_0111),
      port: fc.constantFrom(80, 81, 65_535, 80 | NODE_PORT, 30_080 | NODE_PORT),
    })
    const step = fc.record({ key, put: fc.boolean(), value: fc.integer({ min: 0, max: 0x7fff_fffe }) })
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 150 }),
        fc.array(key, { maxLength: 20 }),
        fc.integer(),
        (steps, asks, seed) => {
          const table = new Frontends(seed)
          const model = new Map<string, number>()
          for (const { key: k, put, value } of steps) {
            const name = `${k.address} ${k.kind} ${k.port}`
            if (put && !model.has(name)) {
              table.add(k.address, k.kind, k.port, value)
              model.set(name, value)
            } else if (!put) {
              table.remove(k.address, k.kind, k.port)
              model.delete(name)
            }
            expect(table.size).toBe(model.size)
          }
          for (const k of [...steps.map((s) => s.key), ...asks]) {
            const value = model.get(`${k.address} ${k.kind} ${k.port}`) ?? NO_FRONTEND
            expect(table.find(k.address, k.kind, k.port)).toBe(value)
          }
        },
      ),
      { numRuns: 300 },
    )
  })

  it('holds 100,000', () => {
    const table = new Frontends(1)
    for (let i = 0; i < 100_000; i++) table.add((0x0a60_0000 + i) >>> 0, 6, 80, i)
    const found = () => Array.from({ length: 100_000 }, (_, i) => table.find((0x0a60_0000 + i) >>> 0, 6, 80))
    expect(found().findIndex((value, i) => value !== i)).toBe(-1)
    for (let i = 0; i < 100_000; i += 2) table.remove((0x0a60_0000 + i) >>> 0, 6, 80)
    expect(found().findIndex((value, i) => value !== (i % 2 === 0 ? NO_FRONTEND : i))).toBe(-1)
  })
})
