import { type Batch, Drop, type Element, type Frame, NO_FRAME } from '@l2l3/switch-core'
import { ipv4 } from '@l2l3/switch-core/wire'
import type { Nat, Side } from './nat.ts'
import { type FastRun, STAGE } from './translate/fast-run.ts'

/*
 * NAT without a router: packets pass from one side to another, and both halves of their translation are done at once.
 *
 *     pods -> Passage(pods, uplink) -> uplink           Passage(uplink, pods) is the way back: flows are found by the tuples of either
 *                                                       direction, whichever passage a packet takes
 *
 * So it is where a switch port rewrites packets on their way, as VFP does on Windows (modes.md 2.2): MAC addresses, TTL and everything
 * that is not IP stay as they are, and so do frames with a VLAN tag, and those to groups. A checksum that is wrong, that of the IPv4
 * header too, goes on as wrong as it came: who gets the packet finds out. Most of a batch is done by the fast run; the
 * rest, in its order, by the engine; while somebody traces, all of it, since the fast run explains nothing.
 */

const ETHERTYPE_IPV4 = 0x0800
const ETHERTYPE_IPV6 = 0x86dd

/** Translates what passes from one side to another. */
export class Passage implements Element {
  readonly nat: Nat
  readonly from: Side
  readonly to: Side
  readonly #run: FastRun

  /** A side has one passage that leads from it: throws where it has another. */
  constructor(nat: Nat, from: Side, to: Side) {
    if (from.again !== null) throw new Error(`side ${from.name} has a passage, or is an interface of a router`)
    this.nat = nat
    this.from = from
    this.to = to
    this.#run = nat.fastRun
    from.again = nat.loop.link(this, `${from.name}, fragments`)
  }

  /** Translates frames in place; drops those that cannot pass. */
  process(batch: Batch): void {
    const { conntrack } = this.nat
    const { frames } = batch
    const { zone } = this.from
    conntrack.at(this.nat.loop.clock.now)
    const traced = this.nat.pool.trace !== null
    let kept = 0
    for (let start = 0; start < batch.length; start += STAGE) {
      const n = Math.min(STAGE, batch.length - start)
      if (!traced) this.#run.stage(frames, start, n, zone)
      for (let i = 0; i < n; i++) {
        const next = traced ? i : this.#run.run(i, n, zone, conntrack.ms)
        // While nothing was dropped or copied, frames are where they belong.
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
    const { nat, from, to } = this
    const { pool } = nat
    const { bytes: b, data } = pool
    const o = pool.off[f] as number
    const l3 = o + 14
    const end = o + (pool.len[f] as number)
    if (end - o < 34 || ((b[o] as number) & 1) !== 0) return f
    const type = data.getUint16(o + 12, false)
    if (type === ETHERTYPE_IPV4) {
      if (ipv4.checkHeader(b, l3, end) === -1) return this.#drop(f, Drop.Malformed)
    } else if (type !== ETHERTYPE_IPV6) return f
    const went = nat.arrive(f, l3, from)
    if (went < NO_FRAME) return this.#drop(f, (-2 - went) as Drop)
    if (went === NO_FRAME) return NO_FRAME
    const g = went as Frame
    const left = nat.leave(g, (pool.off[g] as number) + 14, from, to)
    return left < NO_FRAME ? this.#drop(g, (-2 - left) as Drop) : g
  }

  #drop(f: Frame, why: Drop): -1 {
    this.nat.pool.drop(f, why)
    return NO_FRAME
  }
}
