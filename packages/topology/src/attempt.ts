import type { Path } from './document.ts'
import type { Report } from './mode.ts'

/** Runs a parser whose RangeError is the sentence to report; gives undefined then. */
export function attempt<T>(report: Report, path: Path, parse: () => T): T | undefined {
  try {
    return parse()
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    report(path, error.message)
    return undefined
  }
}
