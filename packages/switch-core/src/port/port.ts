import type { Batch } from '../batch.ts'
import { Drop } from '../drop.ts'
import type { Element } from '../element.ts'
import type { Frame, FramePool } from '../frame-pool.ts'
import { finish, needsFinishing } from '../offload.ts'

/*
 * A port is where frames enter and leave: a TAP, a cable in memory, a capture file. This class does what all ports
 * share - accounts, failure, finishing what a port cannot carry - and a kind of port says how to `read` and `write`.
 *
 *     the world -> read -> receive(batch) -> elements -> process(batch) -> finish -> write -> the world
 */

/** Work on a frame that a port can leave to whoever is behind it: bits of `Port.offloads`. */
export const Offload = {
  /** A missing L4 checksum (CHECKSUM_PARTIAL). */
  Checksum: 1,
  /** Cutting a TCP super-frame over IPv4. */
  Tso4: 2,
  /** Cutting a TCP super-frame over IPv6. */
  Tso6: 4,
  /** Cutting a UDP super-frame, either IP version. */
  Uso: 8,
  /** Cutting a super-frame of those kinds inside UDP (VXLAN, GENEVE), over either IP version. */
  Tunnel: 16,
  /** Giving the outer UDP header of each such segment a checksum. */
  TunnelChecksum: 32,
} as const

/** All of them: a port that carries every frame as it is. */
export const ALL_OFFLOADS: number = 63

/** How people call them; what stands first covers more. */
const WORDS: readonly (readonly [bits: number, word: string])[] = [
  [Offload.Checksum, 'checksum'],
  [Offload.Tso4 | Offload.Tso6, 'tso'],
  [Offload.Tso4, 'tso4'],
  [Offload.Tso6, 'tso6'],
  [Offload.Uso, 'uso'],
  [Offload.Tunnel | Offload.TunnelChecksum, 'tunnel'],
  [Offload.Tunnel, 'tunnel without checksum'],
]

/** Is told what passes a port: the hook of captures. Not set, it costs a comparison a batch. */
export interface PortWatcher {
  /** The first `n` of `frames` have come in, and go to their element next. */
  received(frames: Uint32Array, n: number): void
  /** The first `n` of `frames` have left, as they stand; their rows are still there. */
  sent(frames: Uint32Array, n: number): void
}

/** What a port has counted. */
export interface PortCounters {
  readonly rxFrames: number
  readonly rxBytes: number
  readonly txFrames: number
  readonly txBytes: number
  /** Frames that came and could not be taken in. */
  readonly rxDropped: number
  /** Frames that were to leave and could not. */
  readonly txDropped: number
}

const RX_FRAMES = 0
const RX_BYTES = 1
const TX_FRAMES = 2
const TX_BYTES = 3
const RX_DROPPED = 4
const TX_DROPPED = 5

let ids = 0

/** Gives the next number for frames' `port` column: to a port, or to whatever else frames can come from, a tunnel. */
export function nextPortId(): number {
  return (ids++ % 65_535) + 1
}

/**
 * Where frames enter and leave.
 *
 * A kind of port implements `read` and `write`, and reports through the protected methods `left`, `lost` and
 * `refused`. It never throws on the data path: what a frame suffers is a counted
 * drop, what the port suffers is `fail`.
 */
export abstract class Port implements Element {
  /** The name that people gave it. */
  readonly name: string
  /** Its number in the frames' `port` column: unique among the ports of a process, 1 to 65,535, then reused. */
  readonly id: number
  /** Bits of `Offload`: what may leave by this port unfinished. */
  readonly offloads: number
  readonly pool: FramePool
  /** Called once, when the port fails: for the loop that it is in. */
  onFailed: (() => void) | null = null
  /** Is told what passes; null when nobody listens. */
  watcher: PortWatcher | null = null
  readonly #one: Uint32Array = new Uint32Array(1)
  readonly #n: Float64Array = new Float64Array(6)
  #failure: Error | null = null
  #closed = false

  protected constructor(pool: FramePool, name: string, offloads = 0) {
    this.pool = pool
    this.name = name
    this.id = nextPortId()
    this.offloads = offloads
  }

  /** In words, what may leave by this port unfinished - how super-frames are carried: "checksum, tso, uso, tunnel". */
  get offloadText(): string {
    let rest = this.offloads
    const words: string[] = []
    for (const [bits, word] of WORDS) {
      if ((rest & bits) !== bits) continue
      words.push(word)
      rest &= ~bits
    }
    return words.join(', ') || 'none'
  }

  /** Why the port has failed, or null. A failed port takes nothing in and drops what it is given as `PortError`. */
  get failure(): Error | null {
    return this.#failure
  }

  get closed(): boolean {
    return this.#closed
  }

  get counters(): PortCounters {
    const n = this.#n
    return {
      rxFrames: n[RX_FRAMES] as number,
      rxBytes: n[RX_BYTES] as number,
      txFrames: n[TX_FRAMES] as number,
      txBytes: n[TX_BYTES] as number,
      rxDropped: n[RX_DROPPED] as number,
      txDropped: n[TX_DROPPED] as number,
    }
  }

  /** Fills an empty batch with frames that have come in, as many as there are and fit. */
  receive(batch: Batch): void {
    if (this.#closed || this.#failure !== null) return
    this.read(batch)
    const n = batch.length
    if (n === 0) return
    const bytes = this.pool.stamp(batch.frames, n, this.id)
    ;(this.#n[RX_FRAMES] as number) += n
    ;(this.#n[RX_BYTES] as number) += bytes
    if (this.watcher !== null) this.watcher.received(batch.frames, n)
  }

  /** Sends every frame of the batch, or drops it with a reason, and leaves the batch empty. */
  process(batch: Batch): void {
    if (this.#closed || this.#failure !== null) {
      const why = this.#closed ? Drop.PortClosed : Drop.PortError
      for (let i = 0; i < batch.length; i++) this.lost(batch.frames[i] as Frame, why)
      batch.length = 0
      return
    }
    if (this.offloads !== ALL_OFFLOADS && needsFinishing(this.pool, batch, this.offloads)) {
      finish(this.pool, batch, this.offloads, this.#write, this.#lost)
    } else if (batch.length > 0) this.write(batch)
    batch.length = 0
  }

  /** Closes the port; what waits in it is dropped as `PortClosed`. May be called again. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.shut()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  readonly #write = (batch: Batch): void => {
    if (this.#failure === null) this.write(batch)
    else for (let i = 0; i < batch.length; i++) this.lost(batch.frames[i] as Frame, Drop.PortError)
    batch.length = 0
  }

  readonly #lost = (f: Frame, why: Drop): void => this.lost(f, why)

  /** Adds frames that have come in to an empty batch, and enters them in the ledger (`pool.ledger.receive`) if that was
   * not done when they came to wait in the port. Rows come from `pool.alloc`; unfilled ones go back by `release`, frames
   * that cannot be taken in are `refused`. */
  protected abstract read(batch: Batch): void

  /** Disposes of every frame of the batch by `left`, `lost` or by handing it over; need not empty the batch. The frames
   * are as this port can carry them. */
  protected abstract write(batch: Batch): void

  /** Gives up what the port holds: descriptors, waiting frames. */
  protected shut(): void {}

  /** Ends a frame that has left. */
  protected left(f: Frame): void {
    this.leaving(f)
    this.pool.sent(f)
  }

  /** Ends the first `n` frames of `rows`: all have left. */
  protected leftAll(rows: Uint32Array, n: number): void {
    if (this.watcher !== null) this.watcher.sent(rows, n)
    const bytes = this.pool.releaseAll(rows, n)
    ;(this.#n[TX_FRAMES] as number) += n
    ;(this.#n[TX_BYTES] as number) += bytes
    this.pool.ledger.send(n)
  }

  /** Counts a frame that has left, for ports that hand the row on instead of releasing it. */
  protected leaving(f: Frame): void {
    if (this.watcher !== null) {
      this.#one[0] = f
      this.watcher.sent(this.#one, 1)
    }
    ;(this.#n[TX_FRAMES] as number)++
    ;(this.#n[TX_BYTES] as number) += this.pool.len[f] as number
  }

  /** Ends a frame that could not leave. */
  protected lost(f: Frame, why: Drop): void {
    ;(this.#n[TX_DROPPED] as number)++
    this.pool.drop(f, why)
  }

  /** Counts `n` frames that came and could not be taken in. */
  protected refused(why: Drop, n = 1): void {
    ;(this.#n[RX_DROPPED] as number) += n
    this.pool.refuse(why, n)
  }

  /** Takes the port out of service for good: the loop reports it and goes on without it. */
  protected fail(error: Error): void {
    if (this.#failure !== null) return
    this.#failure = error
    this.onFailed?.()
  }
}
