import type { Batch } from '../batch.ts'
import { Drop } from '../drop.ts'
import { type Frame, type FramePool, NO_FRAME, type View } from '../frame-pool.ts'
import { Port } from './port.ts'

/*
 * A port without an operating system. Free-standing, a program injects frames and takes out what was sent; two of them
 * joined by `connect` are a patch cable, over which the row itself is handed on.
 */

/** Settings of a memory port. */
export interface MemoryPortOptions {
  /** Bits of `Offload` that may cross unfinished. Default 0: frames are as they would be on a wire. */
  offloads?: number
  /** Frames that wait in each direction at most. Default 1,024. */
  capacity?: number
}

/** A ring of frames: bounded, made once. */
class Ring {
  readonly #frames: Uint32Array
  #head = 0
  #length = 0

  constructor(capacity: number) {
    this.#frames = new Uint32Array(capacity)
  }
  get length(): number {
    return this.#length
  }
  get full(): boolean {
    return this.#length === this.#frames.length
  }
  push(f: Frame): void {
    this.#frames[(this.#head + this.#length++) % this.#frames.length] = f
  }
  shift(): Frame {
    const f = this.#frames[this.#head] as Frame
    this.#head = (this.#head + 1) % this.#frames.length
    this.#length--
    return f
  }
}

/** A port whose world is this process. */
export class MemoryPort extends Port {
  readonly #in: Ring
  readonly #out: Ring
  #peer: MemoryPort | null = null

  constructor(pool: FramePool, name: string, options: MemoryPortOptions = {}) {
    super(pool, name, options.offloads ?? 0)
    const capacity = options.capacity ?? 1024
    if (!Number.isInteger(capacity) || capacity < 1) throw new RangeError(`capacity must be 1 or more, not ${capacity}`)
    this.#in = new Ring(capacity)
    this.#out = new Ring(capacity)
  }

  /** Puts a copy of `bytes` in, as if it came from the wire; false where it was dropped (too long, no room). */
  inject(bytes: Uint8Array): boolean {
    if (this.closed) return this.#refuse(Drop.PortClosed)
    if (bytes.length > this.pool.frameSize) return this.#refuse(Drop.Oversize)
    const f = this.pool.from(bytes)
    if (f === NO_FRAME) return this.#refuse(Drop.PoolSpent)
    return this.injectFrame(f as Frame)
  }

  /** Puts a frame of the pool in, as if it came from the wire: for hosts and tests that set offload metadata. The port
   * owns it from now on. */
  injectFrame(f: Frame): boolean {
    if (this.closed || this.#in.full) {
      this.pool.release(f)
      return this.#refuse(this.closed ? Drop.PortClosed : Drop.PortFull)
    }
    this.pool.ledger.receive(1)
    this.#in.push(f)
    return true
  }

  /** Frames that were sent and not yet taken out. */
  get waiting(): number {
    return this.#out.length
  }

  /** Takes out the frame that was sent longest ago, as a copy; undefined where there is none. */
  take(): View | undefined {
    if (this.#out.length === 0) return undefined
    const f = this.#out.shift()
    const bytes = this.pool.copyOut(f)
    this.pool.sent(f)
    return bytes
  }

  /** Takes out all frames that were sent, as copies, the oldest first. */
  takeAll(): View[] {
    const frames: View[] = []
    for (let f = this.take(); f !== undefined; f = this.take()) frames.push(f)
    return frames
  }

  protected read(batch: Batch): void {
    while (this.#in.length > 0 && batch.length < batch.capacity) batch.push(this.#in.shift())
  }

  protected write(batch: Batch): void {
    const { refs } = this.pool
    const peer = this.#peer
    const to = peer === null ? this.#out : peer.#in
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      if (peer?.closed) this.lost(f, Drop.PortDown)
      else if (to.full) this.lost(f, Drop.PortFull)
      else if (peer === null) {
        this.leaving(f)
        to.push(f)
      } else if (refs[f] !== 1 && this.pool.spare === 0) this.lost(f, Drop.PoolSpent)
      else {
        // Behind a cable the frame is somebody else's to write on.
        const own = this.pool.own(f) as Frame
        this.leaving(own)
        to.push(own)
        this.pool.ledger.send(1)
        this.pool.ledger.receive(1)
      }
    }
  }

  protected override shut(): void {
    while (this.#in.length > 0) this.pool.drop(this.#in.shift(), Drop.PortClosed)
    while (this.#out.length > 0) this.pool.drop(this.#out.shift(), Drop.PortClosed)
  }

  #refuse(why: Drop): boolean {
    this.refused(why)
    return false
  }

  /** Joins two ports by a patch cable: what one sends, the other receives. */
  static connect(a: MemoryPort, b: MemoryPort): void {
    if (a === b || a.#peer !== null || b.#peer !== null) {
      throw new Error(`ports ${a.name} and ${b.name} cannot be joined: one is joined already, or they are the same`)
    }
    if (a.pool !== b.pool) throw new Error(`ports ${a.name} and ${b.name} cannot be joined: they have different pools`)
    a.#peer = b
    b.#peer = a
  }
}
