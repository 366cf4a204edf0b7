import { BATCH, Batch } from '../batch.ts'
import { type Frame, type FramePool, NO_FRAME } from '../frame-pool.ts'
import type { Port } from './port.ts'

/*
 * The rig that a port is put on for the compliance suite: it sends and collects, stands guard, and audits at the end.
 *
 *     the far side -- inject -->  port  -- receive -->  collect
 *     the far side <-- taken --   port  <-- process --  send
 *
 *     rows of the pool    | work | GUARD | work | GUARD | work | ...
 *
 * Guard rows are full of a pattern from end to end of their slots, and must be so when the case is over: a port that
 * writes outside its frames is found out.
 */

/** A port, and what stands on its far side. */
export interface PortUnderTest {
  readonly port: Port
  /** Puts a frame in from the far side, as the world would. False where the far side cannot carry such a frame. */
  inject?(frame: Uint8Array): boolean | undefined | Promise<boolean | undefined>
  /** The frames that arrived on the far side since the last call, the oldest first. */
  taken?(): Uint8Array[] | Promise<Uint8Array[]>
  /** The longest frame that port and far side carry, in bytes. Default the pool's `frameSize`. */
  readonly maxFrame?: number
  /** How long a frame may be under way, in milliseconds. Default 0: it is there at once. */
  readonly patience?: number
  /** Takes down what stands on the far side; the port is closed by then. */
  close?(): void | Promise<void>
}

/** Ends a case that has found the port wanting. */
export function check(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(`port compliance: ${what}`)
}

const hex = (bytes: Uint8Array) => Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('')

/** Checks that two frames are the same, byte for byte. */
export function checkSame(got: Uint8Array | undefined, wanted: Uint8Array, what: string): void {
  const same = got !== undefined && got.length === wanted.length && wanted.every((b, i) => b === got[i])
  if (!same) check(false, `${what}: ${got === undefined ? 'nothing' : hex(got)} instead of ${hex(wanted)}`)
}

/** EtherType of the suite's frames, for local experiments (IEEE 802): tells them from what a kernel says unasked. */
const EXPERIMENTAL = 0x88b5

/** A frame of the suite: from host a (02:..:0a) to host b (02:..:0b), its number, then a pattern. */
export function frameOf(length: number, number: number = length): Uint8Array {
  const head = [2, 0, 0, 0, 0, 0x0b, 2, 0, 0, 0, 0, 0x0a, EXPERIMENTAL >> 8, EXPERIMENTAL & 0xff, number >> 8, number]
  return Uint8Array.from({ length }, (_, i) => (i < 16 ? (head[i] as number) : i * 7 + number))
}

/** True for frames that the suite has made: its own EtherType, or IPv4 between its hosts a and b. */
function isOurs(frame: Uint8Array): boolean {
  if (frame.length < 14 || frame[5] !== 0x0b || frame[11] !== 0x0a) return false
  const type = ((frame[12] as number) << 8) | (frame[13] as number)
  return type === EXPERIMENTAL || type === 0x0800
}

declare function setTimeout(done: () => void, ms: number): unknown
const pause = () => new Promise<void>((done) => setTimeout(done, 1))

const GUARDS = 8
const PATTERN = 0xa5

/** How `Rig.collect` receives. */
interface Collect {
  /** Is shown each of the suite's frames while its row is held. */
  each?: (f: Frame) => void
  /** Which frames are the suite's. Default those that carry its addresses. */
  ours?: (frame: Uint8Array) => boolean
  /** Of the batches. */
  capacity?: number
}

/** A port on test. */
export class Rig {
  readonly port: Port
  readonly pool: FramePool
  readonly maxFrame: number
  /** Frames that the port has given out, foreign ones counted too. */
  received = 0
  readonly #on: PortUnderTest
  readonly #spareBefore: number
  readonly #guards: Frame[] = []

  constructor(on: PortUnderTest) {
    this.#on = on
    this.port = on.port
    this.pool = on.port.pool
    this.maxFrame = on.maxFrame ?? this.pool.frameSize
    check(this.pool.spare >= 4 * GUARDS, `the suite needs a pool of ${4 * GUARDS} free rows or more`)
    this.#spareBefore = this.pool.spare
    const rows = Array.from({ length: 2 * GUARDS }, () => this.pool.alloc() as Frame)
    for (const [i, row] of rows.entries()) {
      if (i % 2 === 0) this.pool.release(row)
      else this.#guards.push(row)
    }
    for (const row of this.#guards) this.#slot(row).fill(PATTERN)
    this.pool.ledger.originate(GUARDS)
  }

  #slot(row: Frame): Uint8Array {
    return this.pool.bytes.subarray(row * this.pool.stride, (row + 1) * this.pool.stride)
  }

  /** A frame of the pool with these bytes, entered in the ledger. */
  make(bytes: Uint8Array): Frame {
    const f = this.pool.from(bytes)
    check(f !== NO_FRAME, 'the pool has no room for a frame that the suite wants to send')
    this.pool.ledger.originate(1)
    return f as Frame
  }

  /** Gives rows to the port in batches, and checks that it leaves each batch empty. */
  process(frames: readonly Frame[]): void {
    const batch = new Batch()
    for (const [i, f] of frames.entries()) {
      batch.push(f)
      if (batch.length < batch.capacity && i < frames.length - 1) continue
      this.port.process(batch)
      check(batch.length === 0, `process() left ${batch.length} frames in its batch`)
    }
  }

  send(...frames: Uint8Array[]): void {
    this.process(frames.map((bytes) => this.make(bytes)))
  }

  /** Puts a frame in from the far side; false where that cannot carry it. */
  async inject(frame: Uint8Array): Promise<boolean> {
    if (this.#on.inject === undefined) throw new Error('nothing can be injected on the far side of this port')
    return (await this.#on.inject(frame)) !== false
  }

  async #until<T>(wanted: number, list: T[], more: () => Promise<void>): Promise<T[]> {
    const started = Date.now()
    for (;;) {
      const before = list.length
      await more()
      if (list.length >= wanted) break
      if (list.length > before) continue
      if (Date.now() - started >= (this.#on.patience ?? 0)) break
      await pause()
    }
    return list
  }

  /** Receives until the suite's frames are `wanted`, or none comes any more. */
  async collect(wanted: number, how: Collect = {}): Promise<Uint8Array[]> {
    const { each, ours = isOurs, capacity = BATCH } = how
    const frames: Uint8Array[] = []
    return this.#until(wanted, frames, async () => {
      const batch = new Batch(capacity)
      this.port.receive(batch)
      check(batch.length <= capacity, `a batch of capacity ${capacity} got ${batch.length} frames`)
      this.received += batch.length
      for (let i = 0; i < batch.length; i++) {
        const f = batch.frames[i] as Frame
        const bytes = this.pool.copyOut(f)
        if (ours(bytes)) {
          each?.(f)
          frames.push(bytes)
        }
        this.pool.sent(f)
      }
    })
  }

  /** Waits for frames of the suite on the far side until they are `wanted`, or none comes any more. */
  async taken(wanted: number, ours: (frame: Uint8Array) => boolean = isOurs): Promise<Uint8Array[]> {
    const frames: Uint8Array[] = []
    return this.#until(wanted, frames, async () => {
      if (this.#on.taken === undefined) throw new Error('nothing can be taken on the far side of this port')
      frames.push(...(await this.#on.taken()).filter(ours))
    })
  }

  checkBalanced(when: string): void {
    const report = this.pool.report()
    check(report.balanced, `the ledger does not balance ${when}: ${JSON.stringify(report)}`)
  }

  /** Closes everything, then looks at the guards, the ledger and the free rows. */
  async finish(): Promise<void> {
    try {
      this.checkBalanced('before the port was closed')
    } finally {
      this.port.close()
      await this.#on.close?.()
    }
    this.checkBalanced('after the port was closed')
    for (const row of this.#guards) {
      check(
        this.#slot(row).every((b) => b === PATTERN),
        `bytes outside its frames were changed, in the slot of row ${row}`,
      )
      this.pool.sent(row)
    }
    this.checkBalanced('at the end')
    check(this.pool.spare === this.#spareBefore, `${this.#spareBefore - this.pool.spare} rows of the pool were lost`)
    check(this.pool.held() === 0, `${this.pool.held()} frames are held after everything was closed`)
  }
}
