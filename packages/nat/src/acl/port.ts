import { type Batch, type Drop, type Element, type Frame, type Link, NO_FRAME } from '@l2l3/switch-core'
import { eth, vlan } from '@l2l3/switch-core/wire'
import { STAGE } from '../translate/fast-run.ts'
import type { Filter } from './filter.ts'
import type { AclAction, AclDirection } from './rule.ts'
import { type AclOptions, AclRules } from './rules.ts'

/*
 * The port of an endpoint: its rules, and the two elements that packets go through.
 *
 *     endpoint ─> port.out ─> switch, NAT, uplink ...        what is left of a batch goes on, in its order
 *     endpoint <─ port.in  <─
 *
 * Judged is all that is IP, to one or to many, in a VLAN or not (two tags deep at most). ARP and whatever else is not IP passes: guards
 * are there for it.
 */

/** A rule, and how often it decided. */
export interface AclRuleInfo {
  readonly name: string
  readonly action: AclAction
  readonly direction: AclDirection
  readonly priority: number
  /** The rule as explanations have it. */
  readonly text: string
  /** How many flows (and packets of no flow) it matched, since it was set. */
  readonly hits: number
}

/** An endpoint's place in a filter. Made by `Filter.addPort`. */
export class FilterPort {
  readonly filter: Filter
  readonly number: number
  readonly name: string
  /** What the endpoint sends. */
  readonly out: Element
  /** What is sent to the endpoint. */
  readonly in: Element
  /** For the filter: the rules of now, and which of all that there ever were they are. */
  acl: AclRules
  generation: number
  /** For the filter: flows that have not been looked at since the rules changed, at most. */
  unsettled = 0
  /** Where fragments go that have waited; a router's gate puts its own there. */
  againOut: Link | null
  againIn: Link | null

  constructor(filter: Filter, number: number, name: string, acl: AclRules, generation: number) {
    this.filter = filter
    this.number = number
    this.name = name
    this.acl = acl
    this.generation = generation
    this.out = new Way(this, true)
    this.in = new Way(this, false)
    this.againOut = filter.loop.link(this.out, `${name} out, fragments`)
    this.againIn = filter.loop.link(this.in, `${name} in, fragments`)
  }

  /** Has other rules count from the next packet on; flows are judged again as the filter's `onChange` says. Throws for rules that make no
   * sense, and then nothing has changed. */
  setRules(acl: AclOptions): void {
    this.acl = new AclRules(acl)
    this.generation = this.filter.changed(this)
  }

  /** The rules and how often they decided. */
  get rules(): readonly AclRuleInfo[] {
    const { rules, hits } = this.acl
    return rules.map(({ name, action, direction, priority, text }, i) => {
      return { name, action, direction, priority, text, hits: hits[i] as number }
    })
  }
}

/** One way through a port. */
class Way implements Element {
  readonly #port: FilterPort
  readonly #out: boolean

  constructor(port: FilterPort, out: boolean) {
    this.#port = port
    this.#out = out
  }

  process(batch: Batch): void {
    const port = this.#port
    const { filter } = port
    const { conntrack, fastRun, pool } = filter
    const { frames } = batch
    conntrack.at(filter.loop.clock.now)
    let kept = 0
    if (pool.trace !== null || port.unsettled > 0) {
      for (let i = 0; i < batch.length; i++) {
        const g = this.#slow(frames[i] as Frame)
        if (g !== NO_FRAME) frames[kept++] = g
      }
      batch.length = kept
      return
    }
    const zone = port.number * 2 + (this.#out ? 0 : 1)
    for (let start = 0; start < batch.length; start += STAGE) {
      const n = Math.min(STAGE, batch.length - start)
      fastRun.stage(frames, start, n, zone)
      for (let i = 0; i < n; i++) {
        const next = fastRun.run(i, n, zone, conntrack.ms)
        // While nothing was dropped, frames are where they belong.
        if (kept !== start + i) for (let k = i; k < next; k++) frames[kept + k - i] = frames[start + k] as number
        kept += next - i
        i = next
        if (i === n) break
        const g = this.#slow(frames[start + i] as Frame)
        if (g !== NO_FRAME) frames[kept++] = g
      }
    }
    batch.length = kept
  }

  #slow(f: Frame): Frame | -1 {
    const { filter } = this.#port
    const { pool } = filter
    const l3 = ipHeader(pool.bytes, pool.off[f] as number, pool.len[f] as number)
    if (l3 < 0) return f
    const went = filter.check(f, l3, this.#port, this.#out)
    if (went >= NO_FRAME) return went as Frame | -1
    pool.drop(f, (-2 - went) as Drop)
    return NO_FRAME
  }
}

/** Where the IP header of the frame is, or should be; -1 where the frame is not IP. */
function ipHeader(b: Uint8Array, o: number, length: number): number {
  let at = o + eth.TYPE
  const end = o + length
  for (let tags = 0; tags < 3; tags++, at += vlan.TAG) {
    if (at + 2 > end) return -1
    const type = ((b[at] as number) << 8) | (b[at + 1] as number)
    if (type === eth.EtherType.IPv4 || type === eth.EtherType.IPv6) return at + 2
    if (!vlan.isTpid(type)) return -1
  }
  return -1
}
