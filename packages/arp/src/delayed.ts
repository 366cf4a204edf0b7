import { checkRange, Drop, type Frame, type FramePool, type Ticker } from '@l2l3/switch-core'
import type { FrameSink } from './speaker.ts'

/*
 * Frames that leave later: a proxy's answers, each after a time of its own, so that the one who has the address answers
 * first. They lie in a binary heap, whose first is the one to leave first:
 *
 *     index      0        1        2        3    ...     the parent of i is (i - 1) >> 1
 *     time       3   <=   5   and  9;  5 <= 7    ...     of two with the same time, the one that came first is less
 *
 * so that a queue of 65,536 that is due at once costs sixteen steps a frame.
 */

/** Holds frames until their time. Bounded: what does not fit is dropped as `NeighbourQueueFull`. */
export class DelayedFrames implements FrameSink, Ticker {
  /** When the next frame that is pushed leaves, in nanoseconds of the clock. */
  due = 0
  readonly #pool: FramePool
  readonly #out: FrameSink
  readonly #frames: Uint32Array
  readonly #times: Float64Array
  /** How many frames came before, by place in the heap. */
  readonly #order: Float64Array
  #length = 0
  #pushed = 0
  #refused = 0

  constructor(pool: FramePool, out: FrameSink, capacity: number) {
    checkRange('delayQueue', capacity, 1, 65_536)
    this.#pool = pool
    this.#out = out
    this.#frames = new Uint32Array(capacity)
    this.#times = new Float64Array(capacity)
    this.#order = new Float64Array(capacity)
  }

  /** Frames that wait. */
  get length(): number {
    return this.#length
  }

  /** Frames that were dropped because there was no room. */
  get refused(): number {
    return this.#refused
  }

  push(f: Frame): void {
    if (this.#length === this.#frames.length) {
      this.#refused++
      this.#pool.drop(f, Drop.NeighbourQueueFull)
      return
    }
    let at = this.#length++
    const order = this.#pushed++
    // Up, past all that leave later.
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (this.#before(parent, this.due, order)) break
      this.#move(at, parent)
      at = parent
    }
    this.#put(at, f, this.due, order)
  }

  /** Pushes what is due on, in order of time. */
  tick(now: number): void {
    while (this.#length > 0 && this.#times[0] <= now) {
      const f = this.#frames[0] as Frame
      this.#removeFirst()
      this.#out.push(f)
    }
  }

  /** Drops what waits, as `PortClosed`: the link is going. */
  close(): void {
    for (let i = 0; i < this.#length; i++) this.#pool.drop(this.#frames[i] as Frame, Drop.PortClosed)
    this.#length = 0
  }

  /** Puts the last one where the first was, and down past all that leave before it. */
  #removeFirst(): void {
    const last = --this.#length
    const f = this.#frames[last]
    const time = this.#times[last]
    const order = this.#order[last]
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= last) break
      if (child + 1 < last && this.#before(child + 1, this.#times[child], this.#order[child])) child++
      if (!this.#before(child, time, order)) break
      this.#move(at, child)
      at = child
    }
    this.#put(at, f, time, order)
  }

  /** Whether the one at `at` leaves before one with this time and order. */
  #before(at: number, time: number, order: number): boolean {
    return this.#times[at] < time || (this.#times[at] === time && this.#order[at] < order)
  }

  #move(to: number, from: number): void {
    this.#put(to, this.#frames[from], this.#times[from], this.#order[from])
  }

  #put(at: number, f: number, time: number, order: number): void {
    this.#frames[at] = f
    this.#times[at] = time
    this.#order[at] = order
  }
}
