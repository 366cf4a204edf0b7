import type { CheckResult } from '../check-result.ts'
import type { Fabric } from '../fabric.ts'
import type { CheckKind, CheckSpec } from '../topology.ts'
import { frameFilter } from './filter.ts'
import { followFrames } from './follower.ts'
import type { Trace } from './path.ts'

/*
 * Which way a check's first packet goes: it is followed from the host's port on, and must pass the nodes and ports that the check
 * names, in their order. Of a packet that is copied on its way - flooded, say - one of the copies must.
 *
 *     path: [n1, n1/uplink, n2]      n1/red  n1  n1/uplink  lan/n1.uplink  lan  lan/n2.uplink  n2/uplink  n2  n2/blue
 *                                            ^   ^                                                        ^
 *
 * One that a bad wire has lost before the node got it went no way; the next one counts.
 */

/** What a check's packets are among those that its host sends to the address. */
const PROTOCOLS: Readonly<Record<CheckKind, string>> = {
  ping: '(icmp or icmp6)',
  tcp: 'tcp',
  udp: 'udp',
  http: 'tcp',
  arp: 'arp',
  traceroute: '(udp or icmp or icmp6)',
  neigh: '(arp or icmp6)',
}

/** A check whose first packet is being followed. */
export interface PathWatch {
  /** Stops following, and judges the check by what was seen, too. */
  judge(result: CheckResult): CheckResult
}

/** Follows the first packet of a check that is about to be tried; null where it does not matter which way that goes. */
export function watchPath(fabric: Fabric, check: CheckSpec): PathWatch | null {
  const { from, address, kind, path } = check
  if (path.length === 0) return null
  const start = `${from.node}/${from.name}`
  const fits = frameFilter(`at ${start} and dst host ${address.text} and ${PROTOCOLS[kind]}`)
  let followed = false
  let first: Trace | undefined
  const following = followFrames(fabric, {
    wants(bytes, label) {
      if (followed || !fits(bytes, label)) return false
      followed = true
      return true
    },
    done(trace) {
      followed = !lostBefore(trace)
      if (followed) first = trace
    },
  })
  return {
    judge(result) {
      following.stop()
      if (first === undefined) return wrong(result, `nothing for ${address.text} came in by ${start}`)
      const ways = waysOf(first)
      if (ways.some((way) => passes(way, path))) return result
      const seen = ways.map((way) => way.join(' ')).join(', or ')
      return wrong(result, `its first packet went ${seen}, and not by way of ${path.join(' ')}`)
    },
  }
}

/** Whether it came in, and was lost there. */
function lostBefore({ steps }: Trace): boolean {
  return steps.length === 2 && steps[1]?.kind === 'drop' && steps[1].by === 'Fault'
}

function wrong(result: CheckResult, why: string): CheckResult {
  return { ...result, ok: false, detail: `${result.detail}; ${why}` }
}

/** The nodes and ports that each end of a branch has passed, from the beginning; copies come from the branch that they copy. */
function waysOf({ at, steps }: Trace): string[][] {
  const ways = new Map<number, string[]>([[0, [at]]])
  const parents = new Set<number>()
  for (const { kind, branch, from = 0, node, where } of steps) {
    if (kind === 'copy') {
      parents.add(from)
      ways.set(branch, [...(ways.get(from) ?? [])])
    }
    // What was made because of the packet is another packet.
    const way = ways.get(branch)
    if (way === undefined) continue
    const places = kind === 'enter' ? [where, node] : kind === 'leave' ? [node, where] : [node]
    for (const place of places) if (way.at(-1) !== place) way.push(place)
  }
  const whole = Array.from(ways.entries()).filter(([branch]) => !parents.has(branch))
  return (whole.length > 0 ? whole : Array.from(ways.entries())).map(([, way]) => way)
}

/** Whether the places of a path are among those of a way, in the same order. */
function passes(way: readonly string[], path: readonly string[]): boolean {
  let next = 0
  for (const place of way) if (place === path[next]) next++
  return next === path.length
}
