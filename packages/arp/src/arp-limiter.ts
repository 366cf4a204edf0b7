import {
  type Batch,
  type Clock,
  checkRange,
  Drop,
  type Element,
  type Frame,
  type FramePool,
  SECOND,
} from '@l2l3/switch-core'
import { Kind, Message, readMessage } from './message.ts'

/** Lets so many ARP and ND messages a second through and drops the others: a token bucket in front of whatever must
 * look at each. */
export class ArpLimiter implements Element {
  readonly #pool: FramePool
  readonly #clock: Clock
  readonly #perNs: number
  readonly #burst: number
  readonly #m = new Message()
  #tokens: number
  #filled: number

  /** @param perSecond messages a second, 1 to 1,000,000
   * @param burst messages at once, 1 to 1,000,000; default: what a second brings */
  constructor(pool: FramePool, clock: Clock, perSecond: number, burst: number = perSecond) {
    this.#pool = pool
    this.#clock = clock
    this.#perNs = checkRange('perSecond', perSecond, 1, 1_000_000) / SECOND
    this.#burst = checkRange('burst', burst, 1, 1_000_000)
    this.#tokens = burst
    this.#filled = clock.now
  }

  process(batch: Batch): void {
    const { now } = this.#clock
    this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#filled) * this.#perNs)
    this.#filled = now
    let n = 0
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      const other = readMessage(this.#pool, f, this.#m) === Kind.Other
      if (other || this.#tokens >= 1) {
        if (!other) this.#tokens--
        batch.frames[n++] = f
      } else this.#pool.drop(f, Drop.ArpLimiter)
    }
    batch.length = n
  }
}
