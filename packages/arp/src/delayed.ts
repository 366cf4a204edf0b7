import { checkRange, Drop, type Frame, type FramePool, type Ticker } from '@l2l3/switch-core'
import type { FrameSink } from './speaker.ts'

/** Frames that leave later: a proxy's answers, each after a time of its own, so that the one who has the address
 * answers first. Bounded: what does not fit is dropped as `NeighbourQueueFull`. */
export class DelayedFrames implements FrameSink, Ticker {
  /** When the next frame that is pushed leaves, in nanoseconds of the clock. */
  due = 0
  readonly #pool: FramePool
  readonly #out: FrameSink
  readonly #frames: Uint32Array
  readonly #times: Float64Array
  #length = 0

  constructor(pool: FramePool, out: FrameSink, capacity: number) {
    checkRange('delayQueue', capacity, 1, 65_536)
    this.#pool = pool
    this.#out = out
    this.#frames = new Uint32Array(capacity)
    this.#times = new Float64Array(capacity)
  }

  /** Frames that wait. */
  get length(): number {
    return this.#length
  }

  push(f: Frame): void {
    if (this.#length === this.#frames.length) {
      this.#pool.drop(f, Drop.NeighbourQueueFull)
      return
    }
    this.#frames[this.#length] = f
    this.#times[this.#length++] = this.due
  }

  /** Pushes what is due on, in order of time. */
  tick(now: number): void {
    for (;;) {
      let first = -1
      for (let i = 0; i < this.#length; i++) {
        if (this.#times[i] <= now && (first === -1 || this.#times[i] < this.#times[first])) first = i
      }
      if (first === -1) return
      const f = this.#frames[first] as Frame
      // Frames behind it move up, so that of two with the same time the first stays first.
      this.#frames.copyWithin(first, first + 1, this.#length)
      this.#times.copyWithin(first, first + 1, this.#length)
      this.#length--
      this.#out.push(f)
    }
  }
}
