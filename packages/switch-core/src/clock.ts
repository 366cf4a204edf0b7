/*
 * Time is handed in. Elements read `clock.now`, which stands still while a batch is worked on and is moved by the loop
 * once a round: a real clock on TAP, a virtual one in tests, replay and the browser, so that the same input gives the
 * same bytes.
 */

/** Nanoseconds in a second, a millisecond, a microsecond. */
export const SECOND = 1e9
export const MILLISECOND = 1e6
export const MICROSECOND = 1e3

/** A clock that elements read and the loop moves. */
export interface Clock {
  /** Nanoseconds since `epoch`: a whole number, never falling, exact up to 2^53 (104 days). */
  readonly now: number
  /** Where `now` counts from, in nanoseconds since 1970-01-01 UTC. */
  readonly epoch: bigint
  /** Takes a new reading; called once a round. */
  update(): void
}

declare const performance: { now(): number; readonly timeOrigin: number }

/** The machine's monotonic clock. */
export class RealClock implements Clock {
  readonly epoch: bigint
  now = 0
  readonly #start: number

  constructor() {
    this.#start = performance.now()
    this.epoch = BigInt(Math.round((performance.timeOrigin + this.#start) * 1e3)) * 1000n
  }

  update(): void {
    this.now = Math.round((performance.now() - this.#start) * MILLISECOND)
  }
}

/** A clock that moves only when told to. */
export class VirtualClock implements Clock {
  readonly epoch: bigint
  now = 0

  /** @param epoch where the clock counts from, in nanoseconds since 1970; 0 unless a capture says otherwise */
  constructor(epoch = 0n) {
    this.epoch = epoch
  }

  update(): void {}

  /** Moves the clock forward by `ns` nanoseconds. */
  advance(ns: number): void {
    this.set(this.now + ns)
  }

  /** Moves the clock to `now` nanoseconds after its epoch. Throws a RangeError where that would turn it back. */
  set(now: number): void {
    if (!Number.isSafeInteger(now) || now < this.now) {
      throw new RangeError(`clock: cannot go from ${this.now} to ${now} ns`)
    }
    this.now = now
  }
}
