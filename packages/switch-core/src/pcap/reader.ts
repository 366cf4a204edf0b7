import { checkRange } from '../frame-pool.ts'
import { ByteQueue } from './byte-queue.ts'
import { type Decoder, PcapDecoder, pcapMagic } from './pcap-decoder.ts'
import { PcapngDecoder } from './pcapng-decoder.ts'
import { CaptureError, type CaptureFormat, type CaptureInterface, type PacketRecord } from './record.ts'

/*
 * Reading a capture: bytes go in, pushed as they come or pulled from a source, and records come out. The file is never
 * held as a whole, and no length in it is believed before that many bytes have come.
 *
 *     for (const record of openCapture(bytes)) ...                     // a file in memory
 *     for (const record of openCapture(chunksOf(file))) ...            // any iterable of chunks, taken as needed
 *     reader.push(chunk); while ((r = reader.next()) !== undefined) ... // a stream
 */

/** Settings of a reader. */
export interface CaptureReaderOptions {
  /** The file's name in errors. Default `capture`. */
  file?: string
  /** Where further bytes come from when `next` needs them. Default: only from `push`. */
  source?: Iterable<Uint8Array>
  /** The most captured bytes that a record may have, 64 to 16,777,216. Default 262,144, tcpdump's limit. */
  maxRecord?: number
}

/** Says which format a file has by its first four bytes; undefined for neither. */
export function detectCapture(head: Uint8Array): CaptureFormat | undefined {
  if (head.length < 4) return undefined
  const queue = new ByteQueue()
  queue.push(head.subarray(0, 4))
  return formatOf(queue)
}

function formatOf(queue: ByteQueue): CaptureFormat | undefined {
  if (pcapMagic(queue) !== undefined) return 'pcap'
  return queue.u32(0, true) === 0x0a0d0d0a ? 'pcapng' : undefined
}

/** Reads a pcap or pcapng file, whichever it is, as its bytes come. */
export class CaptureReader implements Iterable<PacketRecord> {
  readonly file: string
  readonly #queue: ByteQueue = new ByteQueue()
  readonly #maxRecord: number
  #source: Iterator<Uint8Array> | null
  #decoder: Decoder | null = null
  #format: CaptureFormat | undefined
  #peeked: PacketRecord | undefined
  #error: CaptureError | null = null
  #ended = false

  constructor(options: CaptureReaderOptions = {}) {
    this.file = options.file ?? 'capture'
    this.#maxRecord = checkRange('maxRecord', options.maxRecord ?? 262_144, 64, 1 << 24)
    this.#source = options.source?.[Symbol.iterator]() ?? null
  }

  /** The file's format; undefined until its first bytes were read. */
  get format(): CaptureFormat | undefined {
    return this.#format
  }

  /** Interfaces that the file (of a pcapng file, the section at hand) has described so far. */
  get interfaces(): readonly CaptureInterface[] {
    return this.#decoder?.interfaces ?? []
  }

  /** Bytes understood so far. */
  get position(): number {
    return this.#queue.position
  }

  /** True when the file has ended and every record of it was given out. */
  get done(): boolean {
    return this.#peeked === undefined && this.#ended && this.#queue.length === 0
  }

  /** Takes a copy of the file's next bytes. */
  push(chunk: Uint8Array): void {
    if (this.#ended) throw new Error(`${this.file}: bytes pushed after the end`)
    this.#queue.push(chunk)
  }

  /** Says that no more bytes will come. */
  end(): void {
    this.#ended = true
  }

  /** The next record, which `next` will give; undefined where there is none yet, or none any more. */
  peek(): PacketRecord | undefined {
    this.#peeked ??= this.#read()
    return this.#peeked
  }

  /** Takes out the next record; undefined where more bytes are needed first, or after the last. Throws a CaptureError
   * where the file contradicts its format, and again at every further call. */
  next(): PacketRecord | undefined {
    const record = this.peek()
    this.#peeked = undefined
    return record
  }

  /** The records that can be read by now, in the file's order. */
  *[Symbol.iterator](): Generator<PacketRecord, void, undefined> {
    for (let record = this.next(); record !== undefined; record = this.next()) yield record
  }

  /** Reads until the format is known or the bytes at hand are used up. Throws a CaptureError where it is neither. */
  open(): void {
    while (this.#start() === null) if (!this.#pull()) return
  }

  #read(): PacketRecord | undefined {
    if (this.#error !== null) throw this.#error
    for (;;) {
      const record = this.#start()?.next()
      if (record !== undefined) return record
      if (!this.#pull()) return undefined
    }
  }

  #start(): Decoder | null {
    if (this.#decoder !== null || this.#queue.length < 4) return this.#decoder
    this.#format = formatOf(this.#queue)
    if (this.#format === undefined) {
      const magic = this.#queue.u32(0, false).toString(16).padStart(8, '0')
      this.#malformed(0, `neither pcap nor pcapng: the file begins with ${magic}`)
    }
    const Kind = this.#format === 'pcap' ? PcapDecoder : PcapngDecoder
    this.#decoder = new Kind(this.#queue, this.#maxRecord, this.#malformed)
    return this.#decoder
  }

  /** Gets more bytes; false where there are none now. A file that ends within something is malformed. */
  #pull(): boolean {
    if (this.#source !== null && !this.#ended) {
      const chunk = this.#source.next()
      if (chunk.done !== true) {
        this.#queue.push(chunk.value)
        return true
      }
      this.#source = null
      this.#ended = true
    }
    if (this.#ended && !(this.#decoder?.between && this.#queue.length === 0)) {
      this.#malformed(this.#queue.length, `the file ends within ${this.#decoder?.reading ?? 'its first four bytes'}`)
    }
    return false
  }

  readonly #malformed = (at: number, reason: string): never => {
    this.#error = new CaptureError(this.file, this.#queue.position + at, reason)
    throw this.#error
  }
}

/** Pieces of a file in memory, so that reading it does not hold it twice. */
function* pieces(bytes: Uint8Array): Generator<Uint8Array, void, undefined> {
  for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536)
}

/**
 * Opens a capture - a whole file's bytes, or chunks that are taken as they are needed - and recognises its format.
 * Throws a CaptureError where it is neither pcap nor pcapng.
 *
 * @example
 * for (const { time, data } of openCapture(readFileSync('pod1.pcap'), { file: 'pod1.pcap' })) ...
 */
export function openCapture(
  source: Uint8Array | Iterable<Uint8Array>,
  options: Omit<CaptureReaderOptions, 'source'> = {},
): CaptureReader {
  const reader = new CaptureReader({ ...options, source: source instanceof Uint8Array ? pieces(source) : source })
  reader.open()
  return reader
}
