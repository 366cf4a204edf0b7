// @alone measures time
import { describe, expect, it } from 'vitest'
import { GUARDED, guard, REFERENCE } from './guard.ts'

describe('the guard against regressions', () => {
  it('finds nothing that has become much slower than it was', { timeout: 120_000 }, () => {
    const verdicts = guard(GUARDED, 5)
    expect(verdicts.filter(({ ok }) => !ok)).toEqual([])
    expect(verdicts).toHaveLength(GUARDED.length)
  })

  it('finds what takes ten times as long as it may, on a machine that is twice as slow every other moment', () => {
    const slow = GUARDED.map(({ limit }) => limit)
    let asked = 0
    const nanoseconds = (run: object): number => {
      const busy = Math.floor(asked++ / 3) % 2 === 0 ? 2 : 1
      if (run === REFERENCE) return 10 * busy
      const i = GUARDED.findIndex((guarded) => guarded.run === run)
      return 10 * busy * (i === 2 ? 10 * (slow[i] as number) : 0.5 * (slow[i] as number))
    }
    const verdicts = guard(GUARDED, 3, nanoseconds)
    expect(verdicts.map(({ ok }) => ok)).toEqual(GUARDED.map((_, i) => i !== 2))
    expect(verdicts[2]?.ratio).toBeGreaterThan(4 * (slow[2] as number))
  })

  it('is not led astray by one round in which something else ran', () => {
    const [first] = GUARDED
    if (first === undefined) throw new Error('nothing is guarded')
    let round = 0
    const nanoseconds = (run: object): number => {
      if (run === REFERENCE) return 10
      return round++ === 0 ? 10 * first.limit * 3 : 10 * first.limit * 0.5
    }
    expect(guard([first], 3, nanoseconds)).toMatchObject([{ ok: true, ratio: first.limit * 0.5 }])
  })
})
