import { type Clock, MILLISECOND } from '../clock.ts'
import { Drop } from '../drop.ts'
import { type Frame, type FramePool, NO_FRAME } from '../frame-pool.ts'

/*
 * What a bad wire does to the frames that go one way over it, thrown with dice that are handed in as a seed: the same
 * frames at the same times suffer the same.
 *
 *     put -> lost? -> doubled? -> a bit flipped? -> overtaken by the next? -> under way for so long -> take
 *
 * Frames under way are in a heap ordered by the time at which they come out, and by the order in which they came where
 * that is the same. It is made once: what does not fit is dropped.
 */

/** What a wire does to frames. Fractions are from 0 to 1, times are nanoseconds; all are 0 by default. */
export interface FaultOptions {
  /** Fraction of frames that are lost: dropped as `Fault`. */
  loss?: number
  /** Fraction of frames that come twice. */
  duplicate?: number
  /** Fraction of frames of which one bit is flipped, anywhere in them. */
  corrupt?: number
  /** Fraction of frames that come behind the next one, or 10 ms late where none follows. */
  reorder?: number
  /** How long each frame is under way. */
  delay?: number
  /** By how much longer it may be, evenly spread; so frames overtake each other. */
  jitter?: number
}

/** How long a frame that is to be overtaken waits for another, in nanoseconds. */
const OVERTAKEN: number = 10 * MILLISECOND
/** Who speaks in traces. */
const BY = 'faults'

/** The 32-bit dice of the wire: Weyl's sequence, mixed as in splitmix. */
class Dice {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** A whole number from 0 to below 2^32. */
  word(): number {
    this.#state = (this.#state + 0x9e3779b9) >>> 0
    let z = this.#state
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad)
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
    return (z ^ (z >>> 15)) >>> 0
  }

  /** A whole number from 0 to below `n`. */
  below(n: number): number {
    return Math.floor((this.word() / 2 ** 32) * n)
  }

  /** True in this fraction of throws. Is not thrown where the fraction is 0. */
  falls(fraction: number): boolean {
    return fraction > 0 && this.word() < fraction * 2 ** 32
  }
}

/** One way of a bad wire. It holds the frames that are put in until they are taken out or dropped. */
export class BadWire {
  readonly #pool: FramePool
  readonly #clock: Clock
  readonly #faults: Required<FaultOptions>
  readonly #dice: Dice
  readonly #lost: (f: Frame, why: Drop) => void
  /* The heap: rows, when they come out, and as the how-manieth they came. */
  readonly #rows: Uint32Array
  readonly #due: Float64Array
  readonly #turn: Float64Array
  #length = 0
  #turns = 0
  /** The frame that waits to be overtaken, when it is late, and when it gives up waiting. */
  #slow: Frame | -1 = NO_FRAME
  #slowDue = 0
  #slowUntil = 0

  /**
   * @param limit frames that it holds at most
   * @param lost ends a frame that is lost, or did not fit
   * @throws RangeError where a fraction is not from 0 to 1, a time is negative, or `limit` is not from 1 to 65,536
   */
  constructor(
    pool: FramePool,
    clock: Clock,
    faults: FaultOptions,
    seed: number,
    limit: number,
    lost: (f: Frame, why: Drop) => void,
  ) {
    const { loss = 0, duplicate = 0, corrupt = 0, reorder = 0, delay = 0, jitter = 0 } = faults
    for (const [name, value] of Object.entries({ loss, duplicate, corrupt, reorder })) {
      if (!(value >= 0 && value <= 1)) throw new RangeError(`${name} must be a fraction from 0 to 1, not ${value}`)
    }
    for (const [name, value] of Object.entries({ delay, jitter })) {
      if (!(value >= 0 && Number.isSafeInteger(value))) {
        throw new RangeError(`${name} must be a whole number of nanoseconds, 0 or more, not ${value}`)
      }
    }
    if (!Number.isInteger(limit) || limit < 1 || limit > 65_536) {
      throw new RangeError(`limit must be a whole number of frames from 1 to 65536, not ${limit}`)
    }
    this.#pool = pool
    this.#clock = clock
    this.#faults = { loss, duplicate, corrupt, reorder, delay, jitter }
    this.#dice = new Dice(seed)
    this.#lost = lost
    this.#rows = new Uint32Array(limit)
    this.#due = new Float64Array(limit)
    this.#turn = new Float64Array(limit)
  }

  /** When the next frame comes out, in nanoseconds of the clock; Infinity where none is under way. */
  get next(): number {
    const first = this.#length > 0 ? (this.#due[0] as number) : Number.POSITIVE_INFINITY
    return this.#slow === NO_FRAME ? first : Math.min(first, this.#slowUntil)
  }

  /** Takes a frame in: it is the wire's. */
  put(f: Frame): void {
    const { loss, duplicate, corrupt, reorder } = this.#faults
    const dice = this.#dice
    if (dice.falls(loss)) {
      this.#lost(f, Drop.Fault)
      return
    }
    let twin: Frame | -1 = NO_FRAME
    if (dice.falls(duplicate)) {
      if (this.#follows(f)) this.#say(f, 'comes twice')
      twin = this.#pool.copy(f)
    }
    const own = dice.falls(corrupt) ? this.#flip(f) : f
    if (own !== NO_FRAME) {
      if (dice.falls(reorder)) this.#hold(own as Frame)
      else this.#send(own as Frame)
    }
    if (twin !== NO_FRAME) this.#send(twin as Frame)
  }

  /** Takes out the next frame that is due; NO_FRAME where none is. */
  take(): Frame | -1 {
    const { now } = this.#clock
    if (this.#slow !== NO_FRAME && this.#slowUntil <= now) this.#release(this.#slowUntil)
    if (this.#length === 0 || (this.#due[0] as number) > now) return NO_FRAME
    return this.#pop()
  }

  /** Drops all that is under way. */
  close(): void {
    if (this.#slow !== NO_FRAME) this.#release(0)
    while (this.#length > 0) this.#pool.drop(this.#pop(), Drop.PortClosed)
  }

  /** Has a frame arrive, and behind it the one that waited for it. */
  #send(f: Frame): void {
    const due = this.#arrival(f)
    this.#push(f, due)
    if (this.#slow !== NO_FRAME) this.#release(due)
  }

  /** When a frame comes out that goes in now. */
  #arrival(f: Frame): number {
    const { delay, jitter } = this.#faults
    const time = delay + (jitter > 0 ? this.#dice.below(jitter + 1) : 0)
    if (time > 0 && this.#follows(f)) this.#say(f, `under way for ${time / MILLISECOND} ms`)
    return this.#clock.now + time
  }

  #hold(f: Frame): void {
    const due = this.#arrival(f)
    if (this.#slow !== NO_FRAME) this.#release(0)
    if (this.#follows(f)) this.#say(f, 'the next frame overtakes it')
    this.#slow = f
    this.#slowDue = due
    this.#slowUntil = due + OVERTAKEN
  }

  /** The frame that waited arrives, not before `time`. */
  #release(time: number): void {
    const f = this.#slow as Frame
    this.#slow = NO_FRAME
    this.#push(f, Math.max(time, this.#slowDue))
  }

  /** Flips a bit; gives the row that it is flipped in. */
  #flip(f: Frame): Frame | -1 {
    const bit = this.#dice.below(8 * (this.#pool.len[f] as number))
    const own = this.#pool.own(f)
    if (own === NO_FRAME || this.#pool.len[own] === 0) return own
    const { bytes, off, flags } = this.#pool
    const at = (off[own] as number) + (bit >> 3)
    bytes[at] = (bytes[at] as number) ^ (0x80 >> (bit & 7))
    // Nobody may go on saying that the checksums are right.
    flags[own] = 0
    if (this.#follows(own as Frame)) this.#say(own as Frame, `bit ${bit & 7} of byte ${bit >> 3} flipped`)
    return own
  }

  /** Whether somebody wants to hear of a frame: only then is a sentence made. */
  #follows(f: Frame): boolean {
    return this.#pool.trace?.follows(f) ?? false
  }

  #say(f: Frame, why: string): void {
    this.#pool.trace?.note(f, BY, why)
  }

  #before(a: number, b: number): boolean {
    const due = this.#due
    const turn = this.#turn
    if (due[a] !== due[b]) return (due[a] as number) < (due[b] as number)
    return (turn[a] as number) < (turn[b] as number)
  }

  #swap(a: number, b: number): void {
    exchange(this.#rows, a, b)
    exchange(this.#due, a, b)
    exchange(this.#turn, a, b)
  }

  #push(f: Frame, due: number): void {
    if (this.#length === this.#rows.length) {
      this.#lost(f, Drop.PortFull)
      return
    }
    let at = this.#length++
    this.#rows[at] = f
    this.#due[at] = due
    this.#turn[at] = this.#turns++
    for (let up = (at - 1) >> 1; at > 0 && this.#before(at, up); up = (at - 1) >> 1) {
      this.#swap(at, up)
      at = up
    }
  }

  #pop(): Frame {
    const f = this.#rows[0] as Frame
    const last = --this.#length
    this.#swap(0, last)
    for (let at = 0; ; ) {
      let least = 2 * at + 1
      if (least >= last) return f
      if (least + 1 < last && this.#before(least + 1, least)) least++
      if (!this.#before(least, at)) return f
      this.#swap(at, least)
      at = least
    }
  }
}

function exchange(column: Uint32Array | Float64Array, a: number, b: number): void {
  const x = column[a] as number
  column[a] = column[b] as number
  column[b] = x
}
