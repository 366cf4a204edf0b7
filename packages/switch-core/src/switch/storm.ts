import { SECOND } from '../clock.ts'
import { checkRange } from '../frame-pool.ts'

/** A port's allowance for frames that are flooded: a token bucket. */
export interface StormOptions {
  /** Flooded frames a second; 1 to 100,000,000. */
  rate: number
  /** Frames that may come at once; 1 to 100,000,000. Default: a tenth of `rate`, at least 1. */
  burst?: number
  /** What counts against the allowance. Default: all three. */
  kinds?: readonly FloodKind[]
}

/** Why a frame is flooded. */
export type FloodKind = 'broadcast' | 'multicast' | 'unknown'

/** Numbers of the flood kinds, as bits. */
export const BROADCAST = 1
export const MULTICAST = 2
export const UNKNOWN = 4

const BITS: Readonly<Record<FloodKind, number>> = { broadcast: BROADCAST, multicast: MULTICAST, unknown: UNKNOWN }

/** A token bucket: `burst` frames at once, refilled at `rate` a second. */
export class StormBucket {
  readonly #rate: number
  readonly #burst: number
  readonly #kinds: number
  #tokens: number
  #filled: number

  constructor(options: StormOptions, now: number) {
    this.#rate = checkRange('storm.rate', options.rate, 1, 1e8)
    this.#burst = checkRange('storm.burst', options.burst ?? Math.max(1, Math.floor(this.#rate / 10)), 1, 1e8)
    this.#kinds = 0
    for (const kind of options.kinds ?? (['broadcast', 'multicast', 'unknown'] as const)) {
      const bit = BITS[kind]
      if (bit === undefined) {
        throw new RangeError(`storm.kinds takes 'broadcast', 'multicast' and 'unknown', not ${String(kind)}`)
      }
      this.#kinds |= bit
    }
    this.#tokens = this.#burst
    this.#filled = now
  }

  /** Takes a token for a frame of this kind; false when there is none. */
  take(kind: number, now: number): boolean {
    if ((this.#kinds & kind) === 0) return true
    if (now > this.#filled) {
      this.#tokens = Math.min(this.#burst, this.#tokens + ((now - this.#filled) * this.#rate) / SECOND)
      this.#filled = now
    }
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
  }
}
