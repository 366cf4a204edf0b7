import type { Frame, FramePool } from '@l2l3/switch-core'
import type { Addresses6 } from '../addresses6.ts'
import type { Conntrack } from '../conntrack/conntrack.ts'
import { NO_FLOW } from '../conntrack/flow-table.ts'
import * as R from '../conntrack/record.ts'
import { IcmpError, IS_AN_ERROR } from '../icmp/error.ts'
import { errorDestination4, errorDestination6, errorSource4, errorSource6 } from '../icmp/rewrite.ts'
import { type Place, Tuple } from '../tuple.ts'
import type { NewFlows } from './new-flows.ts'

/*
 * ICMP errors and the flows they are about.
 *
 * An error goes against the packet that it quotes. So the quoted packet's tuple, inverted, is a packet of the direction in which the error
 * travels, and if there is such a flow, the error is translated as a packet of that direction is, and what it quotes at the other end
 * (icmp/rewrite.ts). It neither renews nor ends the flow (RFC 5508, REQ-4 and 5).
 *
 * The node's own errors pass only the second half: they are made between both, and quote packets as they were there. What they
 * quote may be of another zone than where they go: its flow is one that leads from any zone to that.
 */

/** Finds the flow of an error, and translates it. */
export class Errors {
  readonly #pool: FramePool
  readonly #conntrack: Conntrack
  readonly #addresses: Addresses6
  readonly #fresh: NewFlows
  readonly #at: IcmpError = new IcmpError()
  readonly #inverse: Tuple = new Tuple()

  constructor(pool: FramePool, conntrack: Conntrack, addresses: Addresses6, fresh: NewFlows) {
    this.#pool = pool
    this.#conntrack = conntrack
    this.#addresses = addresses
    this.#fresh = fresh
  }

  /** The last one found is a redirect. */
  get isRedirect(): boolean {
    return this.#at.redirect
  }

  /** The flow and direction of the error at `l3`; NO_FLOW where there is none; `-2 - reason` where it proves nothing. */
  find(f: Frame, l3: number, place: Place, zone: number): number {
    const read = this.#read(f, l3, place, zone)
    if (read !== IS_AN_ERROR) return read >= 0 ? -2 - read : NO_FLOW
    return this.#conntrack.find(this.#inverse.invert(this.#at.tuple))
  }

  /** Reads an error again that has been copied into another row. */
  reread(f: Frame, l3: number, place: Place, zone: number): void {
    this.#read(f, l3, place, zone)
  }

  #read(f: Frame, l3: number, place: Place, zone: number): number {
    return this.#at.read(this.#pool, f, l3, place.l4, place.end, place.isFragment, this.#addresses, zone)
  }

  /** First half of the translation of the error that was found. */
  destination(f: Frame, who: number): void {
    const { records } = this.#conntrack
    const base = (who >>> 1) << R.RECORD_SHIFT
    const state = records[base + R.STATE] as number
    if ((state & ((who & 1) === 0 ? R.DNAT : R.SNAT)) === 0) return
    const other = base + (((who & 1) ^ 1) << 2)
    const port = R.swap32(records[other + 2] as number) >>> 16
    const word = records[other] as number
    const at = this.#at
    if (!at.tuple.isIpv6) errorDestination4(this.#pool, f, at, R.swap32(word) >>> 0, port)
    else errorDestination6(this.#pool, f, at, this.#addresses.words, word * 4, port)
  }

  /** Second half. */
  source(f: Frame, who: number): void {
    const { records } = this.#conntrack
    const base = (who >>> 1) << R.RECORD_SHIFT
    const state = records[base + R.STATE] as number
    if ((state & ((who & 1) === 0 ? R.SNAT : R.DNAT)) === 0) return
    const other = base + (((who & 1) ^ 1) << 2)
    const port = R.swap32(records[other + 2] as number) & 0xffff
    this.#source(f, R.wordAddress(records[other + 1] as number, records[base + 3] as number), port)
  }

  /** Translates an error of the node itself, which goes to `zone`: it quotes a packet whose destination was translated and whose
   * source was not yet.
   * @param zones all that there are, each once */
  own(f: Frame, l3: number, place: Place, zone: number, zones: readonly number[]): void {
    if (this.#read(f, l3, place, zone) !== IS_AN_ERROR) return
    const { records } = this.#conntrack
    const inverse = this.#inverse.invert(this.#at.tuple)
    for (let i = 0; i < zones.length; i++) {
      inverse.kind = (((zones[i] as number) << 16) | (inverse.kind & 0xffff)) >>> 0
      const who = this.#conntrack.find(inverse)
      if (who === NO_FLOW) continue
      const other = ((who >>> 1) << R.RECORD_SHIFT) + (((who & 1) ^ 1) << 2)
      if ((records[other + 3] as number) >>> 16 !== zone) continue
      this.source(f, who)
      this.#say(f)
      return
    }
    // The packet of a flow that was never made: its first.
    if (!this.#fresh.isOpen) return
    const { question } = this.#fresh
    if (question.toAddress === 0 || !samePacket(this.#at.tuple, question.tuple)) return
    this.#source(f, question.original.dst, question.original.dstPort)
    this.#say(f)
  }

  #say(f: Frame): void {
    const { trace } = this.#pool
    if (trace?.follows(f))
      trace.note(f, 'NAT', 'an ICMP error of the node itself: it quotes the packet as its sender knows it')
  }

  #source(f: Frame, address: number, port: number): void {
    const at = this.#at
    if (!at.tuple.isIpv6) errorSource4(this.#pool, f, at, address, port)
    else errorSource6(this.#pool, f, at, this.#addresses.words, address * 4, port)
  }
}

/** Whether two tuples are of the same packet, seen in two zones. */
function samePacket(a: Tuple, b: Tuple): boolean {
  return a.src === b.src && a.dst === b.dst && a.ports === b.ports && (a.kind & 0xffff) === (b.kind & 0xffff)
}
