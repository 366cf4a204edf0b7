import { checkRange } from '../frame-pool.ts'
import type { Direction } from './record.ts'

/*
 * Writing a capture: records go in, and chunks of the file come out to a sink that the program hands in.
 *
 *     const writer = new PcapngWriter((chunk) => writeSync(fd, chunk))
 *     writer.write({ time, data, interface: writer.interface('pod1'), direction: 'outbound' })
 *     writer.flush()
 *
 * Records are laid into a chunk until it is full; a chunk that was handed out is the sink's to keep. `write` is for
 * people; `put` is for ports, and allocates nothing but a chunk now and then.
 */

/** Takes a piece of the file, in order. What it throws comes out of the call that filled the chunk. */
export type CaptureSink = (chunk: Uint8Array) => void

/** What a program gives `CaptureWriter.write`. */
export interface PacketToWrite {
  /** Nanoseconds since 1970-01-01 UTC. */
  time: bigint
  data: Uint8Array
  /** How long the frame was, where `data` is not all of it. Default `data.length`. */
  length?: number
  /** A number that `interface` gave. Default 0. */
  interface?: number
  direction?: Direction | undefined
  comments?: readonly string[]
}

/** Settings that all formats share. */
export interface CaptureWriterOptions {
  /** Byte order of the file. Default little. */
  byteOrder?: 'little' | 'big'
  /** The most bytes of a frame that are written, 64 to 262,144; the rest is cut off. Default 262,144. */
  snaplen?: number
  /** Bytes that are gathered before the sink gets them, 0 to 16,777,216; 0 hands out every record. Default 65,536. */
  chunk?: number
}

/** Lays numbers and bytes into chunks. */
export class ChunkWriter {
  readonly littleEndian: boolean
  readonly #sink: CaptureSink
  readonly #size: number
  #bytes = new Uint8Array(0)
  #data = new DataView(this.#bytes.buffer)
  #at = 0

  constructor(sink: CaptureSink, options: CaptureWriterOptions) {
    this.#sink = sink
    this.#size = checkRange('chunk', options.chunk ?? 65_536, 0, 1 << 24)
    this.littleEndian = options.byteOrder !== 'big'
  }

  /** Makes room for a record of `n` bytes, which is then laid down without a gap. */
  begin(n: number): void {
    if (this.#at + n <= this.#bytes.length) return
    this.flush()
    this.#bytes = new Uint8Array(Math.max(this.#size, n))
    this.#data = new DataView(this.#bytes.buffer)
  }

  /** Ends a record. */
  end(): void {
    if (this.#at >= this.#size) this.flush()
  }

  u16(value: number): void {
    this.#data.setUint16(this.#at, value, this.littleEndian)
    this.#at += 2
  }
  u32(value: number): void {
    this.#data.setUint32(this.#at, value, this.littleEndian)
    this.#at += 4
  }
  /** `n` bytes of `from`, and zeros up to a multiple of `align`. */
  bytes(from: Uint8Array, at: number, n: number, align = 1): void {
    this.#bytes.set(at === 0 && n === from.length ? from : from.subarray(at, at + n), this.#at)
    this.#at += Math.ceil(n / align) * align
  }

  /** Gives the sink what there is. */
  flush(): void {
    if (this.#at === 0) return
    const chunk = this.#bytes.subarray(0, this.#at)
    this.#bytes = this.#bytes.subarray(this.#at)
    this.#data = new DataView(this.#bytes.buffer, this.#bytes.byteOffset)
    this.#at = 0
    this.#sink(chunk)
  }
}

/** What writers of all formats do. */
export abstract class CaptureWriter {
  /** The most bytes of a frame that are written. */
  readonly snaplen: number
  protected readonly out: ChunkWriter

  protected constructor(sink: CaptureSink, options: CaptureWriterOptions) {
    this.snaplen = checkRange('snaplen', options.snaplen ?? 262_144, 64, 262_144)
    this.out = new ChunkWriter(sink, options)
  }

  /** The number of the interface of that name, for records: a new one in formats that have several, else 0. */
  abstract interface(name: string): number

  /** Encodes what `put` says of a frame besides its bytes; null in formats that cannot say it. Throws a RangeError for
   * a comment longer than 65,535 bytes. */
  abstract options(direction: Direction | undefined, comments: readonly string[]): Uint8Array | null

  /**
   * Writes a frame that lies in `bytes` at `at`.
   *
   * @param on the interface's number
   * @param seconds whole seconds since 1970
   * @param nanoseconds nanoseconds in the second, 0 to 999,999,999
   * @param captured bytes of the frame that are there
   * @param length bytes that the frame had
   * @param options what `options` gave
   */
  abstract put(
    on: number,
    seconds: number,
    nanoseconds: number,
    bytes: Uint8Array,
    at: number,
    captured: number,
    length: number,
    options: Uint8Array | null,
  ): void

  /** Writes a frame. Throws a RangeError where the format cannot carry its time or length. */
  write(packet: PacketToWrite): void {
    const { time, data, length = data.length, interface: on = 0, direction, comments = [] } = packet
    if (time < 0n || time >= this.timeLimit) {
      throw new RangeError(`time must be from 0 to below ${this.timeLimit} ns, not ${time}`)
    }
    checkRange('length', length, data.length, 2 ** 32 - 1)
    const options = direction === undefined && comments.length === 0 ? null : this.options(direction, comments)
    this.put(on, Number(time / 1_000_000_000n), Number(time % 1_000_000_000n), data, 0, data.length, length, options)
  }

  /** Where the format's time ends, in nanoseconds since 1970. */
  protected abstract readonly timeLimit: bigint

  /** Hands the sink what was gathered. */
  flush(): void {
    this.out.flush()
  }
}
