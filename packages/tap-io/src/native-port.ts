import { type Batch, Drop, type Frame, type FramePool, Port } from '@l2l3/switch-core'
import {
  type Native,
  native,
  poolArrays,
  RESULT_BAD_OFFLOAD,
  RESULT_ERROR,
  RESULT_LONGEST,
  RESULT_OVERSIZE,
  RESULT_RUNT,
  RESULT_STATUS,
  STEPS,
} from './native.ts'
import { EIO, errnoName, explain, TapError } from './tap-error.ts'
import { dropFor, isGone } from './write-status.ts'

/*
 * What all ports have in common that a descriptor of the addon's is behind: a TAP, a packet socket, a UDP socket.
 *
 *     receive -> free rows -> addon.read  -> rows that are filled -> elements
 *     process -> rows      -> addon.write -> a status for each row -> sent, or dropped with a reason
 *
 * A batch costs one call of the addon, which knows the pool's columns and keeps them alive. What goes wrong with a frame is a
 * counted drop; what goes wrong with the device or the descriptor ends the port: `failure` says why, and `fd` is -1.
 */

/** Rows that go to the addon in one call. */
const CALL = 256

/** Handles that `closeTogether` gathers; null while nobody does. */
let gathered: number[] | null = null

/**
 * Closes ports together. The kernel takes 20 to 30 ms to take a TAP away, which is waiting mostly: two hundred took 4.2 s one after
 * the other, and 0.33 s together (measured). Other kinds of ports may be among them.
 */
export function closeTogether(ports: Iterable<{ close(): void }>): void {
  const handles: number[] = []
  gathered = handles
  try {
    for (const port of ports) port.close()
  } finally {
    gathered = null
    if (handles.length > 0) native().closeAll(Uint32Array.from(handles))
  }
}

/** What an addon's `open...` gives of a port. */
export interface OpenPort {
  readonly handle: number
  readonly fd: number
}

/** A port on a descriptor of the addon's. */
export abstract class NativePort extends Port {
  protected readonly addon: Native
  readonly #rows: Uint32Array = new Uint32Array(CALL)
  readonly #result: Int32Array = new Int32Array(RESULT_STATUS + CALL)
  readonly #handle: number
  #fd: number
  #offer = 1
  #longest = 0

  protected constructor(pool: FramePool, addon: Native, opened: OpenPort, name: string, offloads: number) {
    super(pool, name, offloads)
    this.addon = addon
    this.#handle = opened.handle
    this.#fd = opened.fd
    addon.bind(opened.handle, pool.frames, pool.stride, pool.frameSize, poolArrays(pool, this.#rows, this.#result))
  }

  /** A descriptor of the port, to wait for; -1 once the port is closed or has failed. */
  get fd(): number {
    return this.#fd
  }

  /** Length in bytes of the longest frame of the last batch that was not empty: tells bulk transfer from small talk. */
  get longest(): number {
    return this.#longest
  }

  /** The addon's number for the port. */
  protected get handle(): number {
    return this.#handle
  }

  /** Looks whether the device still exists and `fd` is still its descriptor, and fails the port where not: for a loop that
   * was woken for nothing. */
  check(): void {
    if (this.#fd < 0) return
    const errno = this.addon.check(this.#handle)
    if (errno !== 0) this.#gone(errno)
  }

  /** Whether the columns are still where the addon knows them to be: somebody may have transferred a buffer of the pool to
   * another thread, after which its memory is not ours. (Asking in C costs 220 ns a call, measured.) */
  #whole(): boolean {
    const { bytes, off, len, flags, gsoType, gsoSize, hdrLen, csumStart, csumOffset, outerL4, innerL3 } = this.pool
    const whole =
      bytes.length !== 0 &&
      off.length !== 0 &&
      len.length !== 0 &&
      flags.length !== 0 &&
      gsoType.length !== 0 &&
      gsoSize.length !== 0 &&
      hdrLen.length !== 0 &&
      csumStart.length !== 0 &&
      csumOffset.length !== 0 &&
      outerL4.length !== 0 &&
      innerL3.length !== 0
    if (!whole)
      this.fail(new TapError('ERR_POOL_DETACHED', 'pool', this.name, 'a buffer of the pool was transferred away'))
    return whole
  }

  /** One call of the addon: as many rows as came the last time, twice as many when that was all that were offered. A queue
   * that is empty is asked with one row (measured: 1.6 us off a flood ping, against eight rows and a call until it is
   * empty). */
  protected read(batch: Batch): void {
    if (!this.#whole()) return
    const { pool } = this
    const rows = this.#rows
    const most = Math.min(batch.capacity, this.#offer, CALL)
    const n = pool.allocAll(rows, most)
    if (n === 0) {
      this.#discard(batch.capacity)
      return
    }
    const got = this.addon.read(this.#handle, n)
    for (let i = 0; i < got; i++) batch.frames[i] = rows[i] as number
    batch.length = got
    for (let i = n - 1; i >= got; i--) pool.release(rows[i] as Frame)
    this.#noteRead()
    pool.ledger.receive(got)
    this.#offer = got === n ? Math.min(2 * n, CALL) : Math.max(1, got)
  }

  /** Empties the queue of frames for which the pool has no row: left there, they would keep the loop awake. */
  #discard(most: number): void {
    const n = this.addon.discard(this.#handle, Math.min(most, CALL))
    if (n > 0) this.refused(Drop.PoolSpent, n)
    this.#noteRead()
  }

  #noteRead(): void {
    const result = this.#result
    if (result[RESULT_LONGEST] !== 0) this.#longest = result[RESULT_LONGEST] as number
    if (result[RESULT_OVERSIZE] !== 0) this.refused(Drop.Oversize, result[RESULT_OVERSIZE] as number)
    if (result[RESULT_RUNT] !== 0) this.refused(Drop.Runt, result[RESULT_RUNT] as number)
    if (result[RESULT_BAD_OFFLOAD] !== 0) this.refused(Drop.BadOffload, result[RESULT_BAD_OFFLOAD] as number)
    // EIO: the interface is down, on kernels that say so. Anything else would be said again for ever.
    const errno = result[RESULT_ERROR] as number
    if (errno !== 0 && errno !== EIO) this.#gone(errno)
  }

  protected write(batch: Batch): void {
    const { frames } = batch
    const rows = this.#rows
    let start = 0
    while (start < batch.length && this.#fd >= 0 && this.#whole()) {
      const n = Math.min(batch.length - start, CALL)
      for (let i = 0; i < n; i++) rows[i] = frames[start + i] as number
      const sent = this.addon.write(this.#handle, n)
      if (sent === n) this.leftAll(rows, n)
      else this.#settle(n)
      start += n
    }
    for (; start < batch.length; start++) this.lost(frames[start] as Frame, Drop.PortError)
  }

  /** Ends the frames of a call that did not send them all. */
  #settle(n: number): void {
    const { flags, gsoType } = this.pool
    for (let i = 0; i < n; i++) {
      const f = this.#rows[i] as Frame
      const status = this.#result[RESULT_STATUS + i] as number
      if (status === 0) this.left(f)
      else this.lost(f, this.reason(status, ((flags[f] as number) & 1) !== 0 || gsoType[f] !== 0))
    }
    const errno = this.#result[RESULT_ERROR] as number
    if (isGone(errno)) this.#gone(errno)
  }

  /** The drop reason for what became of a frame; `unfinished` says that it had offload metadata. */
  protected reason(status: number, unfinished: boolean): Drop {
    return dropFor(status, unfinished)
  }

  /** The device or its descriptor is gone: fails the port, and lets go of a descriptor that would wake its waiter for ever. */
  #gone(errno: number): void {
    const state = this.addon.check(this.#handle)
    const outcome = { step: STEPS.indexOf('info'), errno: state !== 0 ? state : errno }
    this.fail(new TapError(errnoName(outcome.errno), 'port', this.name, explain(outcome)))
    this.#release()
  }

  #release(): void {
    if (this.#fd < 0) return
    this.#fd = -1
    if (gathered === null) this.addon.close(this.#handle)
    else gathered.push(this.#handle)
  }

  protected override shut(): void {
    this.#release()
  }
}
