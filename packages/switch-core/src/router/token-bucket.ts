import type { Clock } from '../clock.ts'

/*
 * How often something may happen: a bucket of tokens that fills at a rate up to a depth, and each time takes one out.
 */

/** Allows `rate` times a second in the long run and `burst` times at once. */
export class TokenBucket {
  readonly rate: number
  readonly burst: number
  readonly #clock: Clock
  #tokens: number
  #filled: number

  /** @param rate a second; 0 is never, Infinity always
   * @param keys what the two figures are called where they are set: a RangeError names them */
  constructor(clock: Clock, rate: number, burst: number, keys: readonly [string, string] = ['rate', 'burst']) {
    if (typeof rate !== 'number' || !(rate >= 0)) {
      throw new RangeError(`${keys[0]} must be 0 or more a second, not ${String(rate)}`)
    }
    if (typeof burst !== 'number' || !(burst >= 1)) {
      throw new RangeError(`${keys[1]} must be 1 or more, not ${String(burst)}`)
    }
    this.#clock = clock
    this.rate = rate
    this.burst = burst
    this.#tokens = rate === 0 ? 0 : burst
    this.#filled = clock.now
  }

  /** Takes a token; false where there is none. */
  take(): boolean {
    if (this.rate === Number.POSITIVE_INFINITY) return true
    const { now } = this.#clock
    this.#tokens = Math.min(this.burst, this.#tokens + ((now - this.#filled) * this.rate) / 1e9)
    this.#filled = now
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
  }
}
