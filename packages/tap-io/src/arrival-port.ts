import { type Batch, checkRange, Drop, type Frame, type FramePool, NO_FRAME, Port } from '@l2l3/switch-core'

/*
 * A port on a library that calls when a frame has come, instead of being asked: the frame is copied into a row at once - the
 * library will reuse its buffer - and waits until the loop asks.
 *
 *     library -> arrived(bytes) -> [ | | | ] -> read(batch)
 *                                  bounded: what finds no room is dropped as PortFull
 */

/** Settings that all ports on such libraries have. */
export interface ArrivalOptions {
  /** Frames that wait for the loop at most, 1 to 65,536. Default 1,024. */
  capacity?: number
  /** Is called when a frame has come to wait: the place for a runner's `wake`, as there is no descriptor to wait for. */
  onArrival?: () => void
}

/** A port that frames are put into from outside the loop. */
export abstract class ArrivalPort extends Port {
  readonly #waiting: Uint32Array
  readonly #onArrival: (() => void) | undefined
  #head = 0
  #length = 0

  protected constructor(pool: FramePool, name: string, options: ArrivalOptions) {
    super(pool, name)
    this.#waiting = new Uint32Array(checkRange('capacity', options.capacity ?? 1024, 1, 65_536))
    this.#onArrival = options.onArrival
  }

  /** Takes in a frame by copying it. */
  protected arrived(bytes: Uint8Array): void {
    if (this.closed || this.failure !== null) return
    let f: number = NO_FRAME
    if (bytes.length > this.pool.frameSize) this.refused(Drop.Oversize)
    else if (this.#length === this.#waiting.length) this.refused(Drop.PortFull)
    else if ((f = this.pool.from(bytes)) === NO_FRAME) this.refused(Drop.PoolSpent)
    if (f === NO_FRAME) return
    this.pool.ledger.receive(1)
    this.#waiting[(this.#head + this.#length++) % this.#waiting.length] = f
    this.#onArrival?.()
  }

  #shift(): Frame {
    const f = this.#waiting[this.#head] as Frame
    this.#head = (this.#head + 1) % this.#waiting.length
    this.#length--
    return f
  }

  protected read(batch: Batch): void {
    while (this.#length > 0 && batch.length < batch.capacity) batch.push(this.#shift())
  }

  protected override shut(): void {
    while (this.#length > 0) this.pool.drop(this.#shift(), Drop.PortClosed)
  }
}

/** The drop reason for what a library says in words when it cannot send: they are those of strerror(3). */
export function dropForMessage(message: string): Drop {
  if (/message too long/i.test(message)) return Drop.Oversize
  if (/temporarily unavailable|no buffer space|cannot allocate memory/i.test(message)) return Drop.PortFull
  if (/(network|host) is (down|unreachable)|no route to host/i.test(message)) return Drop.PortDown
  if (/invalid argument/i.test(message)) return Drop.Malformed
  return Drop.PortError
}
