import { DROP_NAMES, type LedgerReport } from '@l2l3/switch-core'
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
  /** True where it could not be tried; `detail` says why and what helps. */
  readonly skipped?: true
}

/** Judges what happened by what was expected. Where frames must be dropped, that nothing has answered is half of it;
 * `judgeDrops` adds the other. */
export function judge(
  check: CheckSpec,
  worked: boolean,
  detail: string,
  measured: Pick<CheckResult, 'rttMs' | 'bitsPerSecond'> = {},
): CheckResult {
  return { check, text: checkText(check), ok: worked === (check.expect === 'pass'), detail, ...measured }
}

/** Judges what was asked several times by how many answers there were: to work is that all came, to fail that none did. One
 * of many that gets through shows that there is a way. */
export function judgeCount(
  check: CheckSpec,
  received: number,
  detail: string,
  measured: Pick<CheckResult, 'rttMs'> = {},
): CheckResult {
  const ok = check.expect === 'pass' ? received === check.count : received === 0
  return { ...judge(check, false, detail, measured), ok }
}

/** Judges a check that expects drops by what the ledger said before it and says after it. Others stay as they are. */
export function judgeDrops(result: CheckResult, before: LedgerReport, after: LedgerReport): CheckResult {
  const { expect } = result.check
  if (typeof expect === 'string') return result
  const { drop } = expect
  const n = (after.dropped[drop] ?? 0) - (before.dropped[drop] ?? 0)
  const others = DROP_NAMES.flatMap((name) => {
    const more = (after.dropped[name] ?? 0) - (before.dropped[name] ?? 0)
    return name === drop || more === 0 ? [] : `${more} ${name}`
  })
  const seen = n > 0 ? `${n} dropped: ${drop}` : `none dropped: ${drop}`
  const rest = n > 0 || others.length === 0 ? '' : ` (but ${others.join(', ')})`
  return { ...result, ok: result.ok && n > 0, detail: `${result.detail}; ${seen}${rest}` }
}

/** Judges a traceroute by the hops that answered, the end included; null stands for one that did not. */
export function judgeTrace(check: CheckSpec, hops: readonly (string | null)[]): CheckResult {
  const { address, via } = check
  const reached = hops.at(-1) === address.text
  const before = reached ? hops.slice(0, -1) : hops
  const expected = via === null || (before.length === via.length && via.every((a, i) => a.text === before[i]))
  const path = before.length === 0 ? 'with no hop between' : `by way of ${before.map((hop) => hop ?? '*').join(', ')}`
  return judge(check, reached && expected, reached ? path : `${path}, and it did not answer`)
}

/** Judges what a host's neighbour cache says of an address; null where it says nothing. */
export function judgeNeighbour(check: CheckSpec, mac: string | null): CheckResult {
  const { address, from } = check
  const worked = mac !== null && (check.mac === null || check.mac === mac)
  return judge(check, worked, mac === null ? `not in the cache of ${from.name}` : `${address.text} is at ${mac}`)
}

/** Judges ARP by the MACs that answered, one for each request that somebody answered. */
export function judgeArp(check: CheckSpec, macs: readonly string[]): CheckResult {
  const { address, count, mac } = check
  const who = [...new Set(macs)]
  const worked = macs.length === count && who.length === 1 && (mac === null || who[0] === mac)
  const answers = `${macs.length} of ${count} answered`
  const detail = who.length === 0 ? answers : `${answers}: ${address.text} is at ${who.join(' and at ')}`
  return check.expect === 'pass' ? judge(check, worked, detail) : judgeCount(check, macs.length, detail)
}

/** A check that could not be tried. */
export function skip(check: CheckSpec, why: string): CheckResult {
  return { check, text: checkText(check), ok: true, skipped: true, detail: `skipped: ${why}` }
}
