import { Drop } from './drop.ts'
import { type FrameLoops, frameLoops } from './frame-loops.ts'
import { Ledger, type LedgerReport } from './ledger.ts'
import { TUNNEL } from './offload/kinds.ts'
import type { FrameTrace } from './trace.ts'
import { makeBuffer } from './wasm/memory.ts'
import { Room } from './wasm/room.ts'

/*
 * A frame is a number: a row in this pool. The bytes of all frames are one arena; what is known about a frame stands
 * in columns, typed arrays indexed by the row.
 *
 *   slot k of the arena                               stride = slotSize rounded up, see below
 *   |<--------- headroom --------->|<------------------ frame ------------------>|<-- spare -->|
 *   base                           off[k]                                        off[k]+len[k]
 *                    |<- virtio ->|  a port that speaks virtio-net reads and writes its header right before the frame
 *
 * Passing a frame on is passing the integer. Whoever holds it does one of three things with it: passes it on, sends it
 * (`sent`), or drops it with a reason (`drop`). A flooded frame is one row with a reference count: those who only read
 * share it, and whoever writes a byte or a column calls `own` first, which copies the row if others hold it too.
 *
 * A frame starts at an offset of 2 modulo 4, so that the IPv4 header behind 14 bytes of Ethernet is 4-aligned. The
 * stride is an odd number of cache lines: with 2,048 bytes the headers of all frames would fall into two of the 64 sets
 * of a first-level cache.
 */

/** A frame: its row in the pool. */
export type Frame = number & { readonly [frame]: true }
declare const frame: unique symbol

/** What `FramePool.view` gives: a `Buffer` where the platform has one, else a `Uint8Array`. */
export type View = typeof globalThis extends { Buffer: { prototype: infer B extends Uint8Array } } ? B : Uint8Array

function asView(buffer: ArrayBufferLike, at: number, length: number): View {
  const B = (globalThis as { Buffer?: { from(b: ArrayBufferLike, o: number, n: number): Uint8Array } }).Buffer
  return (B ? B.from(buffer, at, length) : new Uint8Array(buffer, at, length)) as View
}

/** The value that `alloc`, `own` and `copy` give when the pool is spent. */
export const NO_FRAME = -1

/** Size of the largest frame there is: a 65,535-byte IP packet behind an Ethernet header with one VLAN tag. */
export const MAX_FRAME = 65_553

/** Bytes of the largest arena. */
const LARGEST = 2 ** 32 - 1

/** Sizes of a pool, in bytes unless said otherwise. */
export interface FramePoolOptions {
  /** How many frames; 1 to 1,048,576. Default 2,048. */
  frames?: number
  /** The longest frame a slot takes, headroom not counted; 64 to 65,553. Default 1,918: an Ethernet frame of 1,500 and
   * room for tunnels in a slot of 2 KiB. A pool for TAPs with offloads takes `MAX_FRAME`. */
  frameSize?: number
  /** Room in front of a fresh frame; 32 to 1,024. Default 130. */
  headroom?: number
  /** Puts the arena in a SharedArrayBuffer, so that workers can see it. Default false. */
  shared?: boolean
  /** Room beside the arena for tables, which programs in WebAssembly work on: a switch whose tables find none runs in
   * JavaScript. 0 to 1 GiB; what is not used takes no memory. Default 8 MiB: a switch of 65,536 addresses takes 2.1 MiB, one
   * of 8,192 0.3, one of 1,048,576 33; being VLAN-aware 0.4 more, and 4 KiB for each port above 72. A NAT of 65,536 flows takes
   * 5 MiB, one of 1,048,576 80. */
  tables?: number
}

/** Is told what happens to frames: the hook of tracer and drop capture. Not set, it costs one comparison. */
export interface FrameObserver {
  /** `f` is about to be dropped; its bytes are still there. */
  dropped?(f: Frame, why: Drop): void
  /** `to` is a fresh row with the bytes and columns of `from`. */
  copied?(from: Frame, to: Frame): void
  /** The last holder of `f` has let go of it: what the row has next is another frame. */
  freed?(f: Frame): void
}

/** Checks that a configured number is a whole number in a range; throws a RangeError with name and value. */
export function checkRange(name: string, value: number, low: number, high: number): number {
  if (!Number.isInteger(value) || value < low || value > high) {
    throw new RangeError(`${name} must be a whole number from ${low} to ${high}, not ${value}`)
  }
  return value
}

/** An arena of frames with headroom, and the columns that go with them. */
export class FramePool {
  /** How many frames the pool has. */
  readonly frames: number
  /** The longest frame that a fresh slot takes, in bytes. */
  readonly frameSize: number
  /** Room in front of a fresh frame, in bytes. */
  readonly headroom: number
  /** Bytes from one slot to the next. */
  readonly stride: number

  /** Every byte of every frame. */
  readonly bytes: Uint8Array
  /** The same bytes for 16- and 32-bit access at any offset; call it with a constant `littleEndian`, which is free. */
  readonly data: DataView

  /** Room for tables in the memory that the arena is in. */
  readonly tables: Room

  /** Index in `bytes` of the frame's first byte. */
  readonly off: Uint32Array
  /** Length in bytes; a super-frame is longer than 65,535. */
  readonly len: Uint32Array
  /** `id` of the port it came in on; 0 for a frame that was made here. */
  readonly port: Uint16Array

  /* What the virtio-net header says (virtio 1.2, 5.1.6): work that the sender left to whoever puts it on a wire. A
   * frame is complete as it stands where `flags` and `gsoType` are zero, whatever is left in the others. Offsets count
   * from the frame's first byte. */
  /** Virtio flags, bits of `OffloadFlag`: 1 the checksum at csumStart + csumOffset is missing, 2 the checksums are known to
   * be right, 8 the outer UDP checksum of a tunnel super-frame is wanted. */
  readonly flags: Uint8Array
  /** Kind of super-frame (`GsoType`): 0 none, 1 TCP over IPv4, 4 TCP over IPv6, 5 UDP; with 0x80 for ECN, 0x20 or 0x40 when
   * it is inside UDP over IPv4 or IPv6 (VXLAN, GENEVE). */
  readonly gsoType: Uint8Array
  /** Payload bytes of each segment that the super-frame stands for. */
  readonly gsoSize: Uint16Array
  /** Length of all headers up to the payload: a hint. */
  readonly hdrLen: Uint16Array
  /** Where checksumming starts. */
  readonly csumStart: Uint16Array
  /** Where the checksum goes, from csumStart. */
  readonly csumOffset: Uint16Array
  /** Where the outer UDP header starts; of a tunnel super-frame only. */
  readonly outerL4: Uint16Array
  /** Where the inner IP header starts; of a tunnel super-frame only. */
  readonly innerL3: Uint16Array

  /** Holders of the row; 0 when it is free. */
  readonly refs: Uint32Array

  /** The account of all frames of this pool. */
  readonly ledger: Ledger = new Ledger()
  /** Is told of drops, copies and rows that end; null when nobody listens. */
  observer: FrameObserver | null = null
  /** Is told why elements do what they do; null when nobody traces. */
  trace: FrameTrace | null = null

  readonly #free: Uint32Array
  /** How many there are; an array, so that the loops share it. */
  readonly #spare: Int32Array = new Int32Array(1)
  readonly #loops: FrameLoops

  constructor(options: FramePoolOptions = {}) {
    this.frames = checkRange('frames', options.frames ?? 2048, 1, 1 << 20)
    this.frameSize = checkRange('frameSize', options.frameSize ?? 1918, 64, MAX_FRAME)
    const wanted = checkRange('headroom', options.headroom ?? 130, 32, 1024)
    this.headroom = wanted + ((6 - (wanted % 4)) % 4)
    const lines = Math.ceil((this.headroom + this.frameSize) / 64)
    this.stride = (lines | 1) * 64
    const size = this.frames * this.stride
    if (size > LARGEST) {
      throw new RangeError(`frames x frameSize is ${size} bytes; a pool takes at most 4 GiB`)
    }
    const n = this.frames
    const tables = checkRange('tables', options.tables ?? 8 << 20, 0, 1 << 30)
    const columns = 3 * Math.ceil(n / 16) * 64 + 2 * Math.ceil(n / 64) * 64
    const whole = Math.min(size + columns + tables, LARGEST)
    const arena = makeBuffer(whole, options.shared ?? false)
    this.bytes = new Uint8Array(arena, 0, size)
    this.data = new DataView(arena, 0, size)
    this.tables = new Room(arena, size, whole)

    this.off = this.tables.array(Uint32Array, n)
    this.len = this.tables.array(Uint32Array, n)
    this.port = new Uint16Array(n)
    this.flags = this.tables.array(Uint8Array, n)
    this.gsoType = this.tables.array(Uint8Array, n)
    this.gsoSize = new Uint16Array(n)
    this.hdrLen = new Uint16Array(n)
    this.csumStart = new Uint16Array(n)
    this.csumOffset = new Uint16Array(n)
    this.outerL4 = new Uint16Array(n)
    this.innerL3 = new Uint16Array(n)
    this.refs = this.tables.array(Uint32Array, n)
    this.#free = new Uint32Array(n)
    for (let i = 0; i < n; i++) this.#free[i] = n - 1 - i
    this.#spare[0] = n
    this.#loops = frameLoops({ ...this, free: this.#free, spare: this.#spare })
  }

  /** Free rows. */
  get spare(): number {
    return this.#spare[0] as number
  }

  /**
   * Takes a free row: an empty frame behind the headroom, with `flags` and `gsoType` zero, without which the other
   * offload columns mean nothing and keep what they had (clearing them too: 16 ns instead of 10, measured). Gives
   * `NO_FRAME` when the pool is spent. The ledger does not know of it yet: whoever fills it says `ledger.receive` or
   * `ledger.originate`, or gives it back unfilled with `release`.
   */
  alloc(): Frame | -1 {
    const top = (this.#spare[0] as number) - 1
    if (top < 0) return NO_FRAME
    this.#spare[0] = top
    const f = this.#free[top] as number
    this.off[f] = f * this.stride + this.headroom
    this.len[f] = 0
    this.port[f] = 0
    this.flags[f] = 0
    this.gsoType[f] = 0
    this.refs[f] = 1
    return f as Frame
  }

  /** Takes up to `n` free rows as `alloc` does, but leaves `len` and `port` to the caller; says how many there were. */
  allocAll(rows: Uint32Array, n: number): number {
    return this.#loops.allocAll(rows, n)
  }

  /** Gives up one hold on a frame without an entry in the ledger: for `sent` frames and rows that were never filled. */
  release(f: Frame): void {
    if (--(this.refs[f] as number) !== 0) return
    if (this.observer !== null) this.observer.freed?.(f)
    this.#free[(this.#spare[0] as number)++] = f
  }

  /** Gives up one hold on each of the first `n` frames, and says how many bytes they have. */
  releaseAll(rows: Uint32Array, n: number): number {
    const bytes = this.#loops.releaseAll(rows, n)
    if (this.observer !== null) this.#tellFreed(this.observer, rows, n)
    return bytes
  }

  #tellFreed(observer: FrameObserver, rows: Uint32Array, n: number): void {
    for (let i = 0; i < n; i++) if (this.refs[rows[i] as number] === 0) observer.freed?.(rows[i] as Frame)
  }

  /** Notes in each of the first `n` frames that it came in by the port with this `id`, and says how many bytes they
   * have. */
  stamp(rows: Uint32Array, n: number, id: number): number {
    return this.#loops.stamp(rows, n, id)
  }

  /** Ends a frame here, for a reason. The ledger's only way out besides a port. */
  drop(f: Frame, why: Drop): void {
    if (this.observer !== null) this.observer.dropped?.(f, why)
    ;(this.ledger.drops[why] as number)++
    this.release(f)
  }

  /** Notes `n` frames that reached a port and could not be taken in. */
  refuse(why: Drop, n = 1): void {
    this.ledger.receive(n)
    ;(this.ledger.drops[why] as number) += n
  }

  /** Ends a frame that has left by a port. */
  sent(f: Frame): void {
    this.ledger.send(1)
    this.release(f)
  }

  /** Enters `n` copies of a frame that could not be made. */
  lose(n: number, why: Drop): void {
    this.ledger.copy(n)
    ;(this.ledger.drops[why] as number) += n
  }

  /** Adds `n` holders to a frame, who may read it and must `own` it before they write. */
  share(f: Frame, n: number): void {
    ;(this.refs[f] as number) += n
    this.ledger.copy(n)
  }

  /** Gives a frame that only the caller holds: `f` itself, or a copy if others hold it too. `NO_FRAME` when there is
   * no slot for the copy; then `f` has been dropped. */
  own(f: Frame): Frame | -1 {
    if (this.refs[f] === 1) return f
    const g = this.#clone(f)
    if (g === NO_FRAME) this.drop(f, Drop.PoolSpent)
    else this.release(f)
    return g
  }

  /** Makes a second frame with the same bytes and columns; `f` stays. `NO_FRAME` when the pool is spent: a copy that
   * was wanted and not made is entered as copied and dropped. */
  copy(f: Frame): Frame | -1 {
    this.ledger.copy(1)
    const g = this.#clone(f)
    if (g === NO_FRAME) {
      if (this.observer !== null) this.observer.dropped?.(f, Drop.PoolSpent)
      ;(this.ledger.drops[Drop.PoolSpent] as number)++
    }
    return g
  }

  #clone(f: Frame): Frame | -1 {
    const g = this.alloc()
    if (g === NO_FRAME) return g
    const from = this.off[f] as number
    const to = g * this.stride + (from - f * this.stride)
    this.bytes.copyWithin(to, from, from + (this.len[f] as number))
    this.off[g] = to
    this.len[g] = this.len[f] as number
    this.port[g] = this.port[f] as number
    this.copyOffload(f, g)
    if (this.observer !== null) this.observer.copied?.(f, g)
    return g
  }

  /** Copies the offload metadata of one row to another. */
  copyOffload(from: Frame, to: Frame): void {
    this.flags[to] = this.flags[from] as number
    this.gsoType[to] = this.gsoType[from] as number
    this.gsoSize[to] = this.gsoSize[from] as number
    this.hdrLen[to] = this.hdrLen[from] as number
    this.csumStart[to] = this.csumStart[from] as number
    this.csumOffset[to] = this.csumOffset[from] as number
    this.outerL4[to] = this.outerL4[from] as number
    this.innerL3[to] = this.innerL3[from] as number
  }

  /** Grows the frame by `n` bytes at the front and returns where they start, or -1 where the headroom is too small. The
   * caller owns the frame, and moves the offsets of its metadata along with `shiftOffload`. */
  prepend(f: Frame, n: number): number {
    const start = (this.off[f] as number) - n
    if (start < f * this.stride) return -1
    this.off[f] = start
    ;(this.len[f] as number) += n
    return start
  }

  /** Takes `n` bytes off the front and returns where the rest starts, or -1 where the frame is shorter. */
  strip(f: Frame, n: number): number {
    if (n > (this.len[f] as number)) return -1
    ;(this.len[f] as number) -= n
    return ((this.off[f] as number) += n)
  }

  /** Keeps the offload metadata true when `n` bytes are put in front of (or, negative, taken from) the L3 header. Whether it
   * is a tunnel super-frame then is for the caller to say. */
  shiftOffload(f: Frame, n: number): void {
    const kind = this.gsoType[f] as number
    if (((this.flags[f] as number) | kind) === 0) return
    ;(this.csumStart[f] as number) += n
    this.hdrLen[f] = Math.max(0, (this.hdrLen[f] as number) + n)
    if ((kind & TUNNEL) === 0) return
    ;(this.outerL4[f] as number) += n
    ;(this.innerL3[f] as number) += n
  }

  /** Bytes from the frame's first byte to the end of its slot: the longest it can be where it is. */
  room(f: Frame): number {
    return (f + 1) * this.stride - (this.off[f] as number)
  }

  /** Fills a free row with a copy of `frame`; `NO_FRAME` where the pool is spent or the frame too long for a slot (tell
   * them apart by `frameSize`). The ledger is the caller's. For tests, captures and programs. */
  from(frame: Uint8Array): Frame | -1 {
    if (frame.length > this.frameSize) return NO_FRAME
    const f = this.alloc()
    if (f === NO_FRAME) return f
    this.bytes.set(frame, this.off[f] as number)
    this.len[f] = frame.length
    return f
  }

  /** The frame's bytes, not copied: true until the frame is passed on. A `Buffer` where there is one. For people, tests
   * and captures; never on the hot path. */
  view(f: Frame): View {
    return asView(this.bytes.buffer, this.off[f] as number, this.len[f] as number)
  }

  /** A copy of the frame's bytes, which stays true when the frame is passed on. */
  copyOut(f: Frame): View {
    const bytes = new Uint8Array(this.view(f))
    return asView(bytes.buffer, 0, bytes.length)
  }

  /** Frames held at this moment, each as often as it has holders: counted from the rows. */
  held(): number {
    let sum = 0
    for (const n of this.refs) sum += n
    return sum
  }

  /** The ledger now. `balanced` is the law: in = out + held + dropped. */
  report(): LedgerReport {
    return this.ledger.report(this.held())
  }
}
