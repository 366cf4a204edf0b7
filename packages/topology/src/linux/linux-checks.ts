import { existsSync } from 'node:fs'
import type { LedgerReport } from '@l2l3/switch-core'
import {
  type CheckResult,
  judge,
  judgeArp,
  judgeCount,
  judgeDrops,
  judgeNeighbour,
  judgeTrace,
  skip,
} from '../check-result.ts'
import type { CheckKind, CheckSpec } from '../topology.ts'
import type { PathWatch } from '../trace/check-path.ts'
import { arpProbe } from './arp-probe.ts'
import { Inside } from './inside.ts'
import { installed } from './ip.ts'
import { httpCheck, tcpCheck, udpCheck, untried } from './service-checks.ts'

/*
 * Checks between namespaces, by programs that run inside them: the system's `ping`, `traceroute` and `curl` where they are
 * installed, else this project's own.
 */

/** Where a check runs. */
export interface CheckPlace {
  /** Namespace of the endpoint that starts. */
  readonly from: string
  /** Namespaces of the endpoints that may be asked, in the order of the check's servers. */
  readonly servers: readonly string[]
  readonly signal: AbortSignal
  /** What the nodes have counted. */
  readonly ledger: () => Promise<LedgerReport>
  /** Follows the first packet; null where that cannot be done, or does not matter. */
  readonly watch: (check: CheckSpec) => PathWatch | null
}

/** How a kind of check is tried. */
export type Trial = (check: CheckSpec, place: CheckPlace) => Promise<CheckResult>

/** Tries a check. Rejects with the signal's reason when it is told to stop. One that cannot be tried is not ok, whatever is
 * expected. */
export async function linuxCheck(check: CheckSpec, place: CheckPlace): Promise<CheckResult> {
  const gone = [place.from, ...place.servers].find((namespace) => !existsSync(`/run/netns/${namespace}`))
  if (gone !== undefined) return untried(check, `network namespace ${gone} is gone`)
  const counts = typeof check.expect !== 'string'
  const before = counts ? await place.ledger() : null
  const watch = place.watch(check)
  let result = await CHECKS[check.kind](check, place)
  if (watch !== null) result = watch.judge(result)
  else if (check.path.length > 0) result = { ...result, detail: `${result.detail}; its path was not looked at` }
  place.signal.throwIfAborted()
  if (before !== null && result.skipped === undefined) result = judgeDrops(result, before, await place.ledger())
  return result
}

const CHECKS: Readonly<Record<CheckKind, Trial>> = {
  ping: (check, place) => (installed('ping') ? systemPing(check, place) : ownPing(check, place)),
  tcp: tcpCheck,
  udp: udpCheck,
  http: (check, place) => httpCheck(check, place),
  arp: arpCheck,
  traceroute: traceCheck,
  neigh: neighbourCheck,
}

/** Seconds between requests; and so long ping waits for the last answer, where others came (`-W` is for none at all). On a busy
 * machine an answer may well take 50 ms. */
const PING_INTERVAL = 0.2

async function systemPing(check: CheckSpec, place: CheckPlace): Promise<CheckResult> {
  const { address, count, bytes, timeout } = check
  const numbers = ['-c', String(count), '-s', String(bytes), '-i', String(PING_INTERVAL), '-W', String(timeout)]
  const command = ['ping', '-n', `-${address.family}`, ...numbers, address.text]
  const { output, said } = await new Inside(place.from, command, place.signal).within(
    count * PING_INTERVAL + timeout + 3,
  )
  const received = Number(/(\d+) received/.exec(output)?.[1] ?? 0)
  const rtt = /= [\d.]+\/([\d.]+)\//.exec(output)?.[1]
  return pingResult(check, received, rtt === undefined ? undefined : Number(rtt), said)
}

async function ownPing(check: CheckSpec, place: CheckPlace): Promise<CheckResult> {
  const { ping } = await import('@l2l3/tap-io')
  const { address, count, timeout } = check
  const timeoutMs = Math.round(timeout * 1000)
  try {
    const { received, rttMs } = await ping({ to: address.text, count, netns: place.from, timeoutMs })
    const mean = rttMs.length === 0 ? undefined : rttMs.reduce((sum, ms) => sum + ms, 0) / rttMs.length
    return pingResult(check, received, mean, '')
  } catch (error) {
    return judge(check, false, (error as Error).message)
  }
}

function pingResult(check: CheckSpec, received: number, rttMs: number | undefined, said: string): CheckResult {
  const answers = `${received} of ${check.count} answered`
  const why = received === 0 && said !== '' ? `: ${said}` : ''
  return judgeCount(check, received, answers + why, rttMs === undefined ? {} : { rttMs })
}

/** Longest path that is looked for. */
const HOPS = 16

/** One probe a hop and one at a time: hosts answer few in a second. Probes are pings, as hosts in memory have them: both worlds
 * ask the same. */
async function traceCheck(check: CheckSpec, place: CheckPlace): Promise<CheckResult> {
  if (!installed('traceroute')) return skip(check, 'the program traceroute is missing: apt-get install traceroute')
  const { address, family, timeout } = { ...check, family: check.address.family }
  const numbers = ['-I', '-q', '1', '-N', '1', '-m', String(HOPS), '-w', String(timeout)]
  const command = ['traceroute', '-n', `-${family}`, ...numbers, address.text]
  const { output, said, code } = await new Inside(place.from, command, place.signal).within(HOPS * timeout + 3)
  const hops = Array.from(output.matchAll(/^ *\d+ +(\S+)/gm), ([, hop]) => (hop === '*' ? null : (hop as string)))
  return hops.length === 0
    ? judge(check, false, said || `traceroute ended with status ${code}`)
    : judgeTrace(check, hops)
}

async function neighbourCheck(check: CheckSpec, place: CheckPlace): Promise<CheckResult> {
  const command = ['ip', 'neigh', 'show', 'to', check.address.text, 'dev', 'eth0']
  const { output } = await new Inside(place.from, command, place.signal).finished
  return judgeNeighbour(check, /lladdr ([0-9a-f:]{17})/.exec(output)?.[1] ?? null)
}

/** Asks on the endpoint's own interface, as arping does, whatever its kernel knows already. */
async function arpCheck(check: CheckSpec, place: CheckPlace): Promise<CheckResult> {
  return judgeArp(check, await arpProbe(check, place))
}
