import type { Clock } from '../clock.ts'

/*
 * A time since 1970 in nanoseconds is too long for a number and, as a bigint, an allocation a frame. Writers therefore
 * take it in two numbers, whole seconds and the nanoseconds in them, and a `WallClock` gives it so.
 */

const SECOND = 1_000_000_000

/** The time since 1970 by a clock that counts from its epoch. */
export class WallClock {
  /** Whole seconds since 1970-01-01 UTC, at the last `update`. */
  seconds = 0
  /** Nanoseconds in the second, 0 to 999,999,999. */
  nanoseconds = 0
  readonly #clock: Clock
  readonly #epochSeconds: number
  readonly #epochNanoseconds: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#epochSeconds = Number(clock.epoch / BigInt(SECOND))
    this.#epochNanoseconds = Number(clock.epoch % BigInt(SECOND))
  }

  /** Takes the clock's reading. */
  update(): void {
    const { now } = this.#clock
    const seconds = Math.floor(now / SECOND)
    const nanoseconds = now - seconds * SECOND + this.#epochNanoseconds
    const carry = nanoseconds >= SECOND ? 1 : 0
    this.seconds = this.#epochSeconds + seconds + carry
    this.nanoseconds = nanoseconds - carry * SECOND
  }
}
