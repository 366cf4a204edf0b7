import type { Addresses6 } from '../addresses6.ts'
import type { Conntrack } from '../conntrack/conntrack.ts'
import * as R from '../conntrack/record.ts'
import type { OwnAddresses } from '../options.ts'
import type { DestinationPolicy, StandingFlow } from '../policy.ts'
import { IPV6, Tuple } from '../tuple.ts'

/*
 * Flows that stand, one after the other: what a change of configuration leaves in the wrong place is ended so.
 *
 *     records  | flow 0 | flow 1 | - | flow 3 | ...      one pass, whatever the number of reasons there are to end a flow
 *                  |        |
 *                  `-> one object, filled again: tuple, policy, tag  -> match? -> removed
 */

/** A flow that stands; the same object for all of them. What is not asked for is not read: most flows are none of the asker's. */
class Standing implements StandingFlow {
  policy: DestinationPolicy | null = null
  readonly #conntrack: Conntrack
  readonly #addresses: Addresses6
  readonly #own: OwnAddresses | undefined
  readonly #tuple: Tuple = new Tuple()
  readonly #bytes: Uint8Array = new Uint8Array(16)
  #flow = 0
  #isRead = false

  constructor(conntrack: Conntrack, addresses: Addresses6, own: OwnAddresses | undefined) {
    this.#conntrack = conntrack
    this.#addresses = addresses
    this.#own = own
  }

  /** Becomes a flow. */
  is(flow: number, policy: DestinationPolicy | null): void {
    this.#flow = flow
    this.#isRead = false
    this.policy = policy
  }

  get tag(): number {
    return (this.#conntrack.rest[(this.#flow << R.REST_SHIFT) + R.DESTINATION_TAG] as number) >>> 0
  }

  get tuple(): Tuple {
    if (!this.#isRead) this.#conntrack.tuple(this.#flow, 0, this.#tuple)
    this.#isRead = true
    return this.#tuple
  }

  get toLocal(): boolean {
    const own = this.#own
    const { dst, kind } = this.tuple
    if (own === undefined) return false
    if ((kind & IPV6) === 0) return own.is4(dst)
    this.#addresses.write(dst, this.#bytes, 0)
    return own.is6(this.#bytes, 0)
  }
}

/** Ends the flows for which `match` is true, and says how many.
 * @param policies who decides about destinations, in order
 * @param own the node's addresses */
export function endStanding(
  conntrack: Conntrack,
  addresses: Addresses6,
  policies: readonly DestinationPolicy[],
  own: OwnAddresses | undefined,
  match: (flow: StandingFlow) => boolean,
): number {
  const standing = new Standing(conntrack, addresses, own)
  const { records } = conntrack
  let n = 0
  // Nothing stands in an empty table, however large it is: services that are there from the beginning cost no pass each.
  if (conntrack.size === 0) return n
  for (let flow = conntrack.next(0); flow >= 0; flow = conntrack.next(flow + 1)) {
    const number = ((records[(flow << R.RECORD_SHIFT) + R.STATE] as number) >>> R.DESTINATION_POLICY) & 255
    standing.is(flow, number === 0 ? null : (policies[number - 1] ?? null))
    if (!match(standing)) continue
    conntrack.remove(flow)
    n++
  }
  return n
}
