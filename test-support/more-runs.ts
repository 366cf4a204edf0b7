/**
 * Property tests on demand with many more runs than `npm test` has time for, and so with other data than each time before:
 *
 *     L2L3_RUNS=20 npm test -- packages/nat        twenty times as many, with as much more time for each test
 *
 * Loaded before each test file where L2L3_RUNS is set. It multiplies what tests give to fast-check's `assert`.
 */
import { vi } from 'vitest'

type FastCheck = typeof import('fast-check')
type Given = { numRuns?: number } | undefined

vi.mock('fast-check', async (original) => {
  const module = (await original()) as FastCheck
  const factor = Number(process.env.L2L3_RUNS)
  const assert = (property: never, given: Given) =>
    module.assert(property, { ...given, numRuns: Math.ceil((given?.numRuns ?? 100) * factor) })
  return { ...module, assert, default: { ...module.default, assert } }
})
