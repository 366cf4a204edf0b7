import { type CheckSpec, checkText } from './topology.ts'

/** What became of a check. */
export interface CheckResult {
  readonly check: CheckSpec
  /** What it did: "ping red -> blue (IPv4, 10.0.0.2)". */
  readonly text: string
  /** True where what happened is what was expected. */
  readonly ok: boolean
  /** What happened, to people. */
  readonly detail: string
  /** Pings: mean round trip in milliseconds, where time is real. */
  readonly rttMs?: number
  /** TCP: payload bits in a second, where time is real. */
  readonly bitsPerSecond?: number
}

/** Judges what happened by what was expected. */
export function judge(
  check: CheckSpec,
  worked: boolean,
  detail: string,
  measured: Pick<CheckResult, 'rttMs' | 'bitsPerSecond'> = {},
): CheckResult {
  return { check, text: checkText(check), ok: worked === (check.expect === 'pass'), detail, ...measured }
}
