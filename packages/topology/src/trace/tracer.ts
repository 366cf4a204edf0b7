import type { Fabric } from '../fabric.ts'
import { type Following, followFrames } from './follower.ts'
import type { Trace } from './path.ts'

/**
 * Follows the first frame that fits.
 *
 * @example
 * const tracer = new Tracer(world.fabric, (bytes, label) => label === 'sw1/red')
 * world.runChecks()
 * const trace = tracer.stop()
 */
export class Tracer {
  readonly #following: Following
  #found = false
  #trace: Trace | null = null

  /** Starts to listen. */
  constructor(fabric: Fabric, fits: (bytes: Uint8Array, label: string) => boolean = () => true) {
    this.#following = followFrames(fabric, {
      wants: (bytes, label) => {
        if (this.#found || !fits(bytes, label)) return false
        this.#found = true
        return true
      },
      done: (trace) => {
        this.#trace = trace
      },
    })
  }

  /** Whether a frame was found that fits. */
  get found(): boolean {
    return this.#found
  }

  /** Stops listening, and gives the frame's path; null where none was found. May be called again. */
  stop(): Trace | null {
    this.#following.stop()
    return this.#trace
  }
}
