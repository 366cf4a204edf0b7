import { Batch } from './batch.ts'
import { Drop } from './drop.ts'
import type { Element } from './element.ts'
import { checkRange, type Frame, type FramePool } from './frame-pool.ts'

/** Whoever delivers links: the loop. */
export interface LinkScheduler {
  schedule(link: Link): void
}

/** How many frames wait in a link at most, unless said otherwise. */
export const LINK_CAPACITY = 256

/**
 * Where paths fork: a bounded queue in front of an element.
 *
 * `push` only puts the frame down. The loop delivers it between elements, so that no element is entered again while it
 * works on a batch, and in rounds that are bounded, so that a looped topology costs frames and not the process. The
 * queue is itself the batch that the element gets: two of them take turns, one being filled while the other is worked on.
 */
export class Link {
  readonly name: string
  readonly target: Element
  /** The pool whose frames it takes. */
  readonly pool: FramePool
  readonly #scheduler: LinkScheduler
  #filling: Batch
  #spare: Batch

  constructor(pool: FramePool, scheduler: LinkScheduler, target: Element, name = '', capacity: number = LINK_CAPACITY) {
    checkRange('link capacity', capacity, 1, 65_536)
    this.name = name
    this.target = target
    this.pool = pool
    this.#scheduler = scheduler
    this.#filling = new Batch(capacity)
    this.#spare = new Batch(capacity)
  }

  /** Frames that wait. */
  get length(): number {
    return this.#filling.length
  }

  /** Makes room for `capacity` frames, where there is less: a node got more ports. Not while frames are delivered. */
  widen(capacity: number): void {
    const before = this.#filling
    if (checkRange('link capacity', capacity, 1, 65_536) <= before.capacity) return
    this.#filling = new Batch(capacity)
    this.#filling.frames.set(before.frames.subarray(0, before.length))
    this.#filling.length = before.length
    this.#spare = new Batch(capacity)
  }

  /** Takes a frame, or drops it as `LinkFull`. */
  push(f: Frame): void {
    const batch = this.#filling
    const n = batch.length
    if (n === batch.frames.length) {
      this.pool.drop(f, Drop.LinkFull)
      return
    }
    if (n === 0) this.#scheduler.schedule(this)
    batch.frames[n] = f
    batch.length = n + 1
  }

  /** Takes `n` frames from `frames[start]` on, or drops those that do not fit as `LinkFull`. */
  pushAll(frames: Uint32Array, start: number, n: number): void {
    const batch = this.#filling
    const to = batch.frames
    const at = batch.length
    const room = to.length - at
    const fit = Math.min(n, room)
    if (at === 0 && fit > 0) this.#scheduler.schedule(this)
    for (let i = 0; i < fit; i++) to[at + i] = frames[start + i] as number
    batch.length = at + fit
    for (let i = fit; i < n; i++) this.pool.drop(frames[start + i] as Frame, Drop.LinkFull)
  }

  /** Hands over what waits, as a batch, for the loop to deliver and empty before the next `take`. */
  take(): Batch {
    const batch = this.#filling
    this.#filling = this.#spare
    this.#spare = batch
    return batch
  }
}
