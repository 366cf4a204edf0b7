import type { Frame } from './frame-pool.ts'

/** How many frames a batch takes unless said otherwise: large enough to spread the cost of a call, small enough to stay
 * in a first-level cache. */
export const BATCH = 64

/**
 * Frames on their way together. An element works on `frames[0..length)` in place; `frames` is made once and reused, and
 * `length` says how many of it are meant.
 */
export class Batch {
  readonly frames: Uint32Array
  length = 0

  constructor(capacity: number = BATCH) {
    this.frames = new Uint32Array(capacity)
  }

  get capacity(): number {
    return this.frames.length
  }

  /** Adds a frame; the caller has seen that there is room. */
  push(f: Frame): void {
    this.frames[this.length++] = f
  }
}
