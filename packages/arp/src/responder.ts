import { type Batch, Drop, type Element, type Frame, type FramePool } from '@l2l3/switch-core'
import { arp, eth, formatMac, icmpv6, ipv6 } from '@l2l3/switch-core/wire'
import { isStation, isUnspecified } from './address.ts'
import * as explain from './explain.ts'
import type { KnownNeighbours } from './known-neighbours.ts'
import { Kind, Message, readMessage } from './message.ts'
import { type FrameSink, Speaker } from './speaker.ts'

/** What was done with questions. */
export interface ResponderCounters {
  answered: number
  /** Questions from 0.0.0.0 or ::, for known addresses, that were let through. */
  probes: number
}

/** Settings of a responder. */
export interface ResponderOptions {
  /** The link back to where the questions come from. */
  out: FrameSink
  /** What is answered for, and with which MAC. */
  known: KnownNeighbours
  /** Whether probes - ARP with spa 0.0.0.0, ND from :: - are answered: who probes then gives the address up, as it must
   * where the address is another's (RFC 5227, 2.1.1; RFC 4862, 5.4). Default true. */
  answerProbes?: boolean
}

/**
 * Answers ARP requests and neighbour solicitations for addresses that it owns, and lets everything else through: also
 * what is tagged, malformed, for an address that it does not own, announces its sender, or comes from the very MAC
 * that it would answer with - a station that asks for its own address must not be told that it has it.
 *
 * An ARP answer goes to the asker alone, from the MAC that was asked for, as 42 bytes. An advertisement has S and O
 * set, to the asker; an answer to duplicate address detection has O set and goes to all nodes (RFC 4861, 7.2.4).
 */
export class Responder implements Element {
  readonly counters: ResponderCounters = { answered: 0, probes: 0 }
  readonly #pool: FramePool
  readonly #known: KnownNeighbours
  readonly #probes: boolean
  readonly #speaker: Speaker
  readonly #m = new Message()
  readonly #mac = new Uint8Array(6)

  constructor(pool: FramePool, options: ResponderOptions) {
    this.#pool = pool
    this.#known = options.known
    this.#probes = options.answerProbes ?? true
    this.#speaker = new Speaker(pool, new Uint8Array(6), options.out)
  }

  process(batch: Batch): void {
    let n = 0
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      const kind = readMessage(this.#pool, f, this.#m)
      if (this.#m.tags === 0 && this.#answer(f, kind)) this.#pool.drop(f, Drop.Consumed)
      else batch.frames[n++] = f
    }
    batch.length = n
  }

  #answer(f: Frame, kind: number): boolean {
    if (kind === Kind.Arp) return this.#answerArp(f)
    return kind === Kind.Solicitation && this.#answerNd(f)
  }

  #answerArp(f: Frame): boolean {
    const b = this.#pool.bytes
    const { at } = this.#m
    const tpa = arp.tpa(b, at)
    const spa = arp.spa(b, at)
    if (arp.op(b, at) !== arp.Op.Request || spa === tpa || !isStation(b, at + arp.SHA)) return false
    if (!this.#known.lookup4(tpa, this.#mac) || eth.equalMac(b, at + arp.SHA, this.#mac, 0)) return false
    if (spa === 0 && !this.#probes) return this.#probe()
    if (this.#pool.trace !== null) this.#because(f, Kind.Arp)
    this.#speaker.answer4(b, at, this.#mac)
    this.counters.answered++
    return true
  }

  #answerNd(f: Frame): boolean {
    const b = this.#pool.bytes
    const m = this.#m
    const flags = this.#known.lookup6(b, m.at + icmpv6.TARGET, this.#mac)
    if (flags === -1) return false
    const asker = m.lladdr !== -1 ? m.lladdr : this.#pool.off[f] + eth.SRC
    if (eth.equalMac(b, asker, this.#mac, 0) || !isStation(b, asker)) return false
    if (!this.#probes && isUnspecified(b, m.l3 + ipv6.SRC)) return this.#probe()
    if (this.#pool.trace !== null) this.#because(f, Kind.Solicitation)
    this.#speaker.answer6(b, m, flags | icmpv6.NaFlag.Override, null, this.#mac)
    this.counters.answered++
    return true
  }

  /** Says why the message that follows is made. */
  #because(f: Frame, kind: number): void {
    const why = `it is known to be at ${formatMac(this.#mac)}`
    explain.answers(this.#speaker, f, 'ARP responder', kind, this.#m, why)
  }

  #probe(): false {
    this.counters.probes++
    return false
  }
}
