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

  /** `frames` is where it keeps them, if not in an array of its own. */
  constructor(capacity: number = BATCH, frames: Uint32Array = new Uint32Array(capacity)) {
    this.frames = frames
  }

  get capacity(): number {
    return this.frames.length
  }

  /** Adds a frame; the caller has seen that there is room. */
  push(f: Frame): void {
    this.frames[this.length++] = f
  }
}
