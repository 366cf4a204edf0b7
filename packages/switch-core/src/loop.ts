import { BATCH, Batch } from './batch.ts'
import type { Clock } from './clock.ts'
import { Drop } from './drop.ts'
import type { Element } from './element.ts'
import { checkRange, type Frame, type FramePool } from './frame-pool.ts'
import { Link } from './link.ts'
import { Port } from './port/port.ts'

/*
 * The loop turns the wheel. One turn:
 *
 *   clock.update  ->  tickers that are due  ->  each port: receive a batch, give it to its element,
 *                                               then up to `rounds` times: each link that holds frames, its batch to its
 *                                               element
 *
 * Links are delivered before the next port is asked: asking costs a system call, and frames need not wait for it. What a
 * link gets while links are delivered waits for the next round; what is left after the last round waits for the next turn.
 * So one broadcast in a looped topology keeps the loop busy, not hung, and fills links, not memory.
 *
 * A turn that has moved thousands of frames ends before all ports were asked, and the next begins with the others: floods among a
 * thousand ports are millions of frames, and whoever turns the loop has more to do than that.
 */

/** Frames moved after which a turn asks no further port. */
const ENOUGH = 4096

/** Work that wants doing from time to time: ageing, timers. */
export interface Ticker {
  tick(now: number): void
}

/** Is told how frames travel: the hook of the tracer. Not set, it costs two comparisons a batch. */
export interface LoopObserver {
  /** A batch came in by `port` and is about to be given to `element`. */
  received?(port: Port, element: Element, batch: Batch): void
  /** A batch is about to be taken from `link` to its element. */
  delivering?(link: Link, batch: Batch): void
  /** Whoever was given a batch last has done with it. */
  processed?(): void
}

/** Settings of a loop. */
export interface LoopOptions {
  /** Rounds of link delivery in a turn; 1 to 1,000. Default 16: more elements in a row than any mode has. */
  rounds?: number
  /** Is told of a port that failed, after it has been taken out: one that the loop takes frames in from, or that a link
   * of the loop leads to. */
  onPortFailed?: (port: Port, error: Error) => void
}

interface Source {
  readonly port: Port
  readonly element: Element
}

interface Due {
  readonly ticker: Ticker
  readonly every: number
  next: number
}

/** A timer that is set when there is something to wait for. */
export interface Alarm {
  /** Has it go off once, in the first turn at `at` (nanoseconds of the clock) or later; Infinity for not at all. What was
   * set before is forgotten. */
  set(at: number): void
  /** Takes it off the loop. */
  end(): void
}

/** Polls ports, delivers links and turns the clock. */
export class Loop {
  readonly pool: FramePool
  readonly clock: Clock
  /** Is told how frames travel; null when nobody listens. */
  observer: LoopObserver | null = null
  readonly #rounds: number
  readonly #onPortFailed: ((port: Port, error: Error) => void) | undefined
  readonly #sources: Source[] = []
  /** The one that the next turn asks first. */
  #first = 0
  #due: Due[] = []
  /** Beside the frames, where programs in WebAssembly reach it. */
  readonly #batch: Batch
  #pending: Link[] = []
  #pendingLength = 0
  #delivering: Link[] = []
  #failed: Port[] = []

  constructor(pool: FramePool, clock: Clock, options: LoopOptions = {}) {
    this.pool = pool
    this.#batch = new Batch(BATCH, pool.tables.array(Uint32Array, BATCH))
    this.clock = clock
    this.#rounds = checkRange('rounds', options.rounds ?? 16, 1, 1000)
    this.#onPortFailed = options.onPortFailed
  }

  /** Ports whose frames the loop takes in. */
  get ports(): readonly Port[] {
    return this.#sources.map((s) => s.port)
  }

  /** Takes frames in from `port` and gives them to `element`, from the next turn on at the latest. */
  add(port: Port, element: Element): void {
    this.#checkPool(port)
    if (this.#sources.some((s) => s.port === port)) throw new Error(`port ${port.name} is already in the loop`)
    this.#sources.push({ port, element })
    this.#watch(port)
  }

  /** Stops taking frames in from `port`; the port stays open. */
  remove(port: Port): void {
    const i = this.#sources.findIndex((s) => s.port === port)
    if (i >= 0) this.#sources.splice(i, 1)
  }

  /** Makes a link to `target` that this loop delivers. */
  link(target: Element, name?: string, capacity?: number): Link {
    if (target instanceof Port) {
      this.#checkPool(target)
      this.#watch(target)
    }
    return new Link(this.pool, this, target, name, capacity)
  }

  /** Calls `ticker.tick` once every `every` nanoseconds of the clock (at most once a turn), until the function that comes back
   * is called. */
  every(every: number, ticker: Ticker): () => void {
    if (!(every > 0)) throw new RangeError(`a ticker's period must be above 0 ns, not ${every}`)
    const due = { ticker, every, next: this.clock.now + every }
    this.#due.push(due)
    return () => {
      this.#due = this.#due.filter((d) => d !== due)
    }
  }

  /** Makes an alarm that calls `ticker.tick` when it goes off. */
  alarm(ticker: Ticker): Alarm {
    const due = { ticker, every: Number.POSITIVE_INFINITY, next: Number.POSITIVE_INFINITY }
    this.#due.push(due)
    return {
      set: (at) => {
        due.next = at
      },
      end: () => {
        this.#due = this.#due.filter((d) => d !== due)
      },
    }
  }

  /** When the next ticker is due, in nanoseconds of the clock; Infinity without tickers. */
  get nextTick(): number {
    let next = Number.POSITIVE_INFINITY
    for (const due of this.#due) if (due.next < next) next = due.next
    return next
  }

  /** Whether the last turn had so much to do that it did not come to all ports. */
  get behind(): boolean {
    return this.#first > 0
  }

  /** True while frames wait in links for the next turn. */
  get busy(): boolean {
    return this.#pendingLength > 0
  }

  /** For `Link`: there is something to deliver. */
  schedule(link: Link): void {
    this.#pending[this.#pendingLength++] = link
  }

  /** Does one turn and says how many frames it took in from ports and links: 0 means that there is nothing to do. A port gets its
   * turn after as many turns as there are ports, at most. */
  turn(): number {
    this.clock.update()
    this.#tick()
    let work = 0
    const batch = this.#batch
    const sources = this.#sources
    let at = this.#first
    for (let left = sources.length; left > 0 && work < ENOUGH; left--, at++) {
      if (at >= sources.length) at = 0
      const source = sources[at]
      // Elements may have taken out all of them.
      if (source === undefined) break
      const { port, element } = source
      port.receive(batch)
      if (batch.length > 0) {
        work += batch.length
        if (this.observer !== null) this.observer.received?.(port, element, batch)
        element.process(batch)
        if (batch.length > 0) this.#dropRest(batch, Drop.Unclaimed)
        if (this.observer !== null) this.observer.processed?.()
        work += this.#deliverAll()
      }
    }
    this.#first = work < ENOUGH ? 0 : at
    // What tickers have sent, and what the last turn left.
    work += this.#deliverAll()
    if (this.#failed.length > 0) this.#report()
    return work
  }

  /** Turns until nothing is left to do, and says how many turns it took; gives up after `limit`, which a looped
   * topology reaches. For tests and replay. */
  settle(limit = 10_000): number {
    let turns = 0
    while (turns < limit && (this.turn() > 0 || this.busy)) turns++
    return turns
  }

  /** Drops what waits in links, as `PathTooLong`: the end of a run. */
  abandon(): void {
    for (let i = 0; i < this.#pendingLength; i++) this.#dropRest((this.#pending[i] as Link).take(), Drop.PathTooLong)
    this.#pendingLength = 0
  }

  /** Has a failure of the port noted, to be reported at the end of the turn; one that has failed already counts. */
  #watch(port: Port): void {
    port.onFailed = () => this.#failed.push(port)
    if (port.failure !== null && !this.#failed.includes(port)) this.#failed.push(port)
  }

  #checkPool(port: Port): void {
    if (port.pool !== this.pool) throw new Error(`port ${port.name} has another frame pool than the loop`)
  }

  #report(): void {
    const failed = this.#failed
    this.#failed = []
    for (const port of failed) {
      this.remove(port)
      this.#onPortFailed?.(port, port.failure as Error)
    }
  }

  #tick(): void {
    const { now } = this.clock
    // Whoever takes a ticker off from within a tick takes it off a copy.
    const all = this.#due
    for (let i = 0; i < all.length; i++) {
      const due = all[i] as Due
      if (now < due.next) continue
      due.next += due.every * Math.max(1, Math.ceil((now - due.next + 1) / due.every))
      // The tick of an alarm may set it again.
      due.ticker.tick(now)
    }
  }

  #deliverAll(): number {
    let work = 0
    for (let round = 0; round < this.#rounds && this.#pendingLength > 0; round++) work += this.#deliver()
    return work
  }

  #deliver(): number {
    const links = this.#pending
    const n = this.#pendingLength
    this.#pending = this.#delivering
    this.#pendingLength = 0
    this.#delivering = links
    let work = 0
    for (let i = 0; i < n; i++) {
      const link = links[i] as Link
      const batch = link.take()
      work += batch.length
      if (this.observer !== null) this.observer.delivering?.(link, batch)
      link.target.process(batch)
      if (batch.length > 0) this.#dropRest(batch, Drop.Unclaimed)
      if (this.observer !== null) this.observer.processed?.()
    }
    return work
  }

  #dropRest(batch: Batch, why: Drop): void {
    for (let i = 0; i < batch.length; i++) this.pool.drop(batch.frames[i] as Frame, why)
    batch.length = 0
  }
}
