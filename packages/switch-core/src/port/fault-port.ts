import { BATCH, Batch } from '../batch.ts'
import type { Drop } from '../drop.ts'
import { type Frame, NO_FRAME } from '../frame-pool.ts'
import type { Alarm, Loop } from '../loop.ts'
import { finish, needsFinishing } from '../offload.ts'
import { BadWire, type FaultOptions } from './faults.ts'
import { Port, type PortCounters } from './port.ts'

/*
 * A port with a bad wire before it: elements have this one, the world has the port inside.
 *
 *     elements -- process --> finish --> faults out --> port inside --> the world
 *     elements <-- receive -- faults in <-- finish <--- port inside <-- the world
 *
 * What is on a wire is finished: super-frames are cut and missing checksums filled in before a fault is thrown for each
 * frame. Captures watch the port inside: they show what is on the wire, corrupt, doubled and late.
 */

/** Settings of a port with faults. */
export interface FaultPortOptions {
  /** Faults of what leaves. Default none. */
  out?: FaultOptions | null
  /** Faults of what comes in. Default none. */
  in?: FaultOptions | null
  /** Of the dice; a whole number of up to 32 bits. */
  seed: number
  /** Frames that are under way at once at most, each way; what is more is dropped as `PortFull`. Default 512. */
  limit?: number
}

/** A port whose frames suffer on their way from or to another. */
export class FaultPort extends Port {
  /** The port inside. */
  readonly inner: Port
  readonly #out: BadWire | null
  readonly #in: BadWire | null
  readonly #outgoing: Batch = new Batch(BATCH)
  readonly #incoming: Batch = new Batch(BATCH)
  readonly #alarm: Alarm
  #rxLost = 0

  constructor(inner: Port, loop: Loop, options: FaultPortOptions) {
    const { out = null, in: come = null, seed, limit = 512 } = options
    super(inner.pool, inner.name, out === null ? inner.offloads : 0)
    const { pool } = inner
    const { clock } = loop
    this.inner = inner
    this.#out = out === null ? null : new BadWire(pool, clock, out, seed, limit, (f, why) => this.lost(f, why))
    this.#in = come === null ? null : new BadWire(pool, clock, come, ~seed, limit, this.#lostIn)
    this.#alarm = loop.alarm({ tick: () => this.#flush() })
    inner.onFailed = () => this.fail(inner.failure as Error)
    if (inner.failure !== null) this.fail(inner.failure)
  }

  /** When the next frame that is under way comes out, in nanoseconds of the clock; Infinity where there is none. */
  get next(): number {
    return Math.min(this.#out?.next ?? Number.POSITIVE_INFINITY, this.#in?.next ?? Number.POSITIVE_INFINITY)
  }

  /** Frames that crossed the port inside, and what was lost there or here. */
  override get counters(): PortCounters {
    const inside = this.inner.counters
    return {
      ...inside,
      rxDropped: inside.rxDropped + this.#rxLost,
      txDropped: inside.txDropped + super.counters.txDropped,
    }
  }

  protected override read(batch: Batch): void {
    const wire = this.#in
    if (wire === null) {
      this.inner.receive(batch)
      return
    }
    const incoming = this.#incoming
    this.inner.receive(incoming)
    if (incoming.length > 0) {
      if (needsFinishing(this.pool, incoming, 0)) finish(this.pool, incoming, 0, this.#intoWire, this.#lostIn)
      else this.#intoWire(incoming)
      incoming.length = 0
    }
    while (batch.length < batch.capacity) {
      const f = wire.take()
      if (f === NO_FRAME) break
      batch.push(f as Frame)
    }
    this.#wait()
  }

  protected override write(batch: Batch): void {
    const wire = this.#out
    if (wire === null) {
      this.inner.process(batch)
      return
    }
    for (let i = 0; i < batch.length; i++) {
      wire.put(batch.frames[i] as Frame)
      this.#gather(wire)
    }
    batch.length = 0
    this.#flush()
  }

  protected override shut(): void {
    this.#out?.close()
    this.#in?.close()
    this.#alarm.end()
    this.inner.close()
  }

  /** Has the port inside send what is due. What comes in is asked for by the loop. */
  #flush(): void {
    const wire = this.#out
    if (wire !== null && !this.closed) {
      this.#gather(wire)
      if (this.#outgoing.length > 0) this.inner.process(this.#outgoing)
    }
    this.#wait()
  }

  #gather(wire: BadWire): void {
    const batch = this.#outgoing
    for (let f = wire.take(); f !== NO_FRAME; f = wire.take()) {
      batch.push(f as Frame)
      if (batch.length === batch.capacity) this.inner.process(batch)
    }
  }

  #wait(): void {
    if (!this.closed) this.#alarm.set(this.next)
  }

  readonly #intoWire = (batch: Batch): void => {
    const wire = this.#in as BadWire
    for (let i = 0; i < batch.length; i++) wire.put(batch.frames[i] as Frame)
    batch.length = 0
  }

  readonly #lostIn = (f: Frame, why: Drop): void => {
    this.#rxLost++
    this.pool.trace?.lost?.(f, this)
    this.pool.drop(f, why)
  }
}
