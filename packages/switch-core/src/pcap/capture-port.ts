import type { Batch } from '../batch.ts'
import type { Clock } from '../clock.ts'
import { Drop } from '../drop.ts'
import { type Frame, type FramePool, NO_FRAME } from '../frame-pool.ts'
import { Port } from '../port/port.ts'
import type { CaptureReader } from './reader.ts'
import { CaptureError, LinkType, type PacketRecord } from './record.ts'
import { WallClock } from './timestamp.ts'
import type { CaptureWriter } from './writer.ts'

/*
 * A port whose world is two capture files: frames come in from one at the times that it shows, and frames sent are
 * written to the other with the clock's time.
 *
 *     from.pcap  -- record is due: clock.epoch + clock.now >= its time -->  receive
 *     to.pcap    <------------ clock.epoch + clock.now --------------------  process
 *
 * `nextTime` tells a replay how far to move its virtual clock. What the file ends a frame with or cuts it off by is
 * settled here: a frame check sequence is taken off, and a record that has not all bytes of its frame is refused as
 * Malformed, since half a frame was never on a wire.
 */

/** Settings of a capture port. */
export interface CapturePortOptions {
  /** Says when a record is due, and what time a sent frame is written with. */
  clock: Clock
  /** Where frames come in from. Without it none come. */
  from?: CaptureReader
  /** Which records of `from` come in: those for which it says true. Default all. */
  accept?: (record: PacketRecord) => boolean
  /** Where frames that are sent are written to; flushed when the port closes. Without it: PortDown. */
  to?: CaptureWriter
}

/** A port that plays a capture file and records another. */
export class CapturePort extends Port {
  readonly #clock: Clock
  readonly #wall: WallClock
  readonly #from: CaptureReader | null
  readonly #accept: ((record: PacketRecord) => boolean) | null
  readonly #to: CaptureWriter | null
  readonly #on: number = 0
  readonly #outbound: Uint8Array | null = null
  #upcoming: PacketRecord | undefined
  #due = 0

  /** Throws what the writer's sink throws when a file of several interfaces gets the port's. */
  constructor(pool: FramePool, name: string, options: CapturePortOptions) {
    super(pool, name)
    this.#clock = options.clock
    this.#wall = new WallClock(options.clock)
    this.#from = options.from ?? null
    this.#accept = options.accept ?? null
    this.#to = options.to ?? null
    if (this.#to !== null) {
      this.#on = this.#to.interface(name)
      this.#outbound = this.#to.options('outbound', [])
    }
  }

  /** When the next record is due, in nanoseconds of the clock (in the past where it is due already); Infinity where no
   * record is left or at hand. Finding it may take in a piece of the file, and fail the port. */
  get nextTime(): number {
    return this.#peek() === undefined ? Number.POSITIVE_INFINITY : this.#due
  }

  protected override read(batch: Batch): void {
    const { now } = this.#clock
    while (batch.length < batch.capacity) {
      const record = this.#peek()
      if (record === undefined || this.#due > now) return
      this.#upcoming = undefined
      this.#take(record, batch)
    }
  }

  /** The next record that comes in, with `#due` set; undefined where there is none. */
  #peek(): PacketRecord | undefined {
    if (this.#upcoming !== undefined) return this.#upcoming
    if (this.#from === null || this.closed || this.failure !== null) return undefined
    try {
      let record = this.#from.next()
      while (record !== undefined && this.#accept !== null && !this.#accept(record)) record = this.#from.next()
      if (record === undefined) return undefined
      const { id, linkType } = record.interface
      if (linkType !== LinkType.Ethernet) {
        const reason = `interface ${id} has link type ${linkType}; a port takes only Ethernet (${LinkType.Ethernet})`
        throw new CaptureError(this.#from.file, record.position, reason)
      }
      // A record without a time comes right behind the one before it.
      if (record.time !== undefined) this.#due = Number(record.time - this.#clock.epoch)
      this.#upcoming = record
    } catch (error) {
      this.fail(error as Error)
    }
    return this.#upcoming
  }

  #take(record: PacketRecord, batch: Batch): void {
    const { data, interface: on } = record
    const frame = on.fcs === 0 ? data : data.subarray(0, Math.max(0, data.length - on.fcs))
    if (data.length < record.length) this.refused(Drop.Malformed)
    else if (frame.length > this.pool.frameSize) this.refused(Drop.Oversize)
    else {
      const f = this.pool.from(frame)
      if (f === NO_FRAME) this.refused(Drop.PoolSpent)
      else {
        this.pool.ledger.receive(1)
        batch.push(f as Frame)
      }
    }
  }

  protected override write(batch: Batch): void {
    const { bytes, off, len } = this.pool
    const to = this.#to
    const wall = this.#wall
    wall.update()
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      if (to === null || this.failure !== null) {
        this.lost(f, to === null ? Drop.PortDown : Drop.PortError)
        continue
      }
      const n = len[f] as number
      try {
        to.put(this.#on, wall.seconds, wall.nanoseconds, bytes, off[f] as number, n, n, this.#outbound)
        this.left(f)
      } catch (error) {
        this.fail(error as Error)
        this.lost(f, Drop.PortError)
      }
    }
  }

  protected override shut(): void {
    this.#upcoming = undefined
    try {
      this.#to?.flush()
    } catch (error) {
      this.fail(error as Error)
    }
  }
}
