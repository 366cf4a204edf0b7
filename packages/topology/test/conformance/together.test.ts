import { expect, it } from 'vitest'
import { together } from './conform.ts'

/* What several cases of a flow make of a cell of the table. */

it('says fail where one case failed, whichever came last', () => {
  expect(together(['fail', 'pass'])).toBe('fail')
  expect(together(['pass', 'fail', 'needs root'])).toBe('fail')
})

it('says pass where one passed and none failed, else why it was not tried', () => {
  expect(together(['needs root', 'pass'])).toBe('pass')
  expect(together(['needs root', 'no device'])).toBe('needs root')
  expect(together([])).toBeUndefined()
})
