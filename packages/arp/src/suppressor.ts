import {
  type Batch,
  type Clock,
  checkRange,
  Drop,
  type Element,
  type Frame,
  type FramePool,
  SECOND,
} from '@l2l3/switch-core'
import { arp, icmpv6, ipv6 } from '@l2l3/switch-core/wire'
import { formatAddress, isHost4, isUnspecified } from './address.ts'
import * as explain from './explain.ts'
import type { KnownNeighbours } from './known-neighbours.ts'
import { Kind, Message, readMessage } from './message.ts'
import { Responder } from './responder.ts'
import type { FrameSink } from './speaker.ts'
import { type ErrorHook, report } from './watchers.ts'

/*
 * Keeps ARP and ND from being flooded into an overlay whose addresses are known: the question is answered here.
 *
 *                                        plain (as a bridge port with neigh_suppress)   overlay (as vxlan with proxy,
 * l2miss)
 *   question, address known              answered by the Responder                      the same
 *   probe (spa 0.0.0.0, ND from ::)      let through: its owner may defend it           answered, tpa 0.0.0.0
 *   question, address unknown            let through: it is flooded                     dropped (ArpFilter), a miss is
 * told
 *   ARP answers and announcements        let through                                    dropped (ArpFilter)
 *   advertisements, router messages      let through                                    let through
 *   malformed                            let through                                    ARP: dropped; ND: let through
 *
 * The overlay's way is Docker's and libnetwork's: measured on the vxlan device of Linux 6.18.
 */

/** Settings of a suppressor. */
export interface SuppressorOptions {
  /** The link back to where the questions come from. */
  out: FrameSink
  /** What is known; a control plane fills it. */
  known: KnownNeighbours
  /** Default `plain`. */
  variant?: 'plain' | 'overlay'
  /** Whether probes are answered. Default: `overlay` does, `plain` does not. */
  answerProbes?: boolean
  /** Is told of an address that was asked for and is not known, in `overlay`. Where it throws, that is counted
   * (`missErrors`), and it is called again for the next. */
  onMiss?: (address: string) => void
  /** Is told of the error of an `onMiss` that threw. Default: it is only counted. */
  onMissError?: ErrorHook
  /** How many misses are told of in a second at most; 1 to 1,000,000. Default 100. All are counted. */
  missesPerSecond?: number
}

/** What was done with questions. */
export interface SuppressorCounters {
  answered: number
  /** Probes for known addresses that were let through. */
  probes: number
  /** Questions for unknown addresses. */
  misses: number
  /** Calls of `onMiss` that threw. */
  missErrors: number
}

/** Answers ARP and ND from a table of what is known. */
export class Suppressor implements Element {
  readonly #pool: FramePool
  readonly #clock: Clock
  readonly #responder: Responder
  readonly #known: KnownNeighbours
  readonly #overlay: boolean
  readonly #onMiss: ((address: string) => void) | undefined
  readonly #onMissError: ErrorHook | null
  readonly #perSecond: number
  readonly #m = new Message()
  readonly #mac = new Uint8Array(6)
  #misses = 0
  #missErrors = 0
  #told = 0
  #second = -1

  constructor(pool: FramePool, clock: Clock, options: SuppressorOptions) {
    const variant = options.variant ?? 'plain'
    if (variant !== 'plain' && variant !== 'overlay') {
      throw new RangeError(`variant must be 'plain' or 'overlay', not ${String(variant)}`)
    }
    this.#pool = pool
    this.#clock = clock
    this.#known = options.known
    this.#overlay = variant === 'overlay'
    this.#responder = new Responder(pool, {
      out: options.out,
      known: options.known,
      answerProbes: options.answerProbes ?? this.#overlay,
    })
    this.#onMiss = options.onMiss
    this.#onMissError = options.onMissError ?? null
    this.#perSecond = checkRange('missesPerSecond', options.missesPerSecond ?? 100, 1, 1_000_000)
  }

  get counters(): SuppressorCounters {
    return { ...this.#responder.counters, misses: this.#misses, missErrors: this.#missErrors }
  }

  process(batch: Batch): void {
    this.#responder.process(batch)
    let n = 0
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      const kind = readMessage(this.#pool, f, this.#m)
      if (this.#m.tags === 0 && this.#left(kind)) {
        if (this.#pool.trace !== null)
          explain.say(this.#pool, f, 'ARP suppressor', 'nothing is known to answer it with, and it is not flooded')
        this.#pool.drop(f, Drop.ArpFilter)
      } else batch.frames[n++] = f
    }
    batch.length = n
  }

  /** What the responder has left: true where it goes no further. */
  #left(kind: number): boolean {
    const b = this.#pool.bytes
    const { at, l3, etherType } = this.#m
    if (kind === Kind.Arp) {
      const tpa = arp.tpa(b, at)
      const spa = arp.spa(b, at)
      const question = arp.op(b, at) === arp.Op.Request && spa !== tpa && spa !== 0 && isHost4(tpa)
      if (question && !this.#known.lookup4(tpa, this.#mac)) this.#miss(4, tpa, at)
      return this.#overlay
    }
    if (kind === Kind.Malformed) return this.#overlay && etherType === 0x0806
    if (kind !== Kind.Solicitation) return false
    const target = at + icmpv6.TARGET
    // Who probes for an address that nobody is known to have asks no question that a control plane could answer.
    const probe = isUnspecified(b, l3 + ipv6.SRC)
    if (!probe && this.#known.lookup6(b, target, this.#mac) === -1) this.#miss(6, 0, target)
    return this.#overlay
  }

  #miss(family: number, v4: number, at: number): void {
    this.#misses++
    if (this.#onMiss === undefined || !this.#overlay) return
    const second = Math.floor(this.#clock.now / SECOND)
    if (second !== this.#second) {
      this.#second = second
      this.#told = 0
    }
    if (this.#told++ >= this.#perSecond) return
    try {
      this.#onMiss(formatAddress(family, v4, this.#pool.bytes, at))
    } catch (error) {
      this.#missErrors++
      report(this.#onMissError, error)
    }
  }
}
