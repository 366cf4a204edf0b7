import { checkRange } from '../frame-pool.ts'
import { type Direction, LinkType } from './record.ts'
import { type CaptureSink, CaptureWriter, type CaptureWriterOptions } from './writer.ts'

declare class TextEncoder {
  encode(text: string): Uint8Array
}
const text = new TextEncoder()

/** What is known of an interface besides its name. */
export interface InterfaceToWrite {
  /** What frames begin with, 0 to 65,535. Default Ethernet. */
  linkType?: number
  description?: string
}

/**
 * Writes a pcapng file of one section: interfaces by name, nanoseconds, directions and comments. The section's header
 * is gathered when the writer is made. (The layout is drawn in `pcapng-decoder.ts`.)
 */
export class PcapngWriter extends CaptureWriter {
  protected override readonly timeLimit: bigint = (1n << 64n) - 1n
  #interfaces = 0

  constructor(sink: CaptureSink, options: CaptureWriterOptions = {}) {
    super(sink, options)
    const { out } = this
    out.begin(28)
    out.u32(0x0a0d0d0a)
    out.u32(28)
    out.u32(0x1a2b3c4d)
    out.u16(1)
    out.u16(0)
    // The section's length: not known.
    out.u32(0xffff_ffff)
    out.u32(0xffff_ffff)
    out.u32(28)
    out.end()
  }

  override interface(name: string, about: InterfaceToWrite = {}): number {
    const { out } = this
    const options: [code: number, value: Uint8Array][] = [[2, text.encode(name)]]
    if (about.description !== undefined) options.push([3, text.encode(about.description)])
    options.push([9, Uint8Array.of(9)])
    const encoded = this.#encode(options)
    const linkType = checkRange('linkType', about.linkType ?? LinkType.Ethernet, 0, 65_535)
    const total = 20 + encoded.length
    out.begin(total)
    out.u32(1)
    out.u32(total)
    out.u16(linkType)
    out.u16(0)
    out.u32(this.snaplen)
    out.bytes(encoded, 0, encoded.length)
    out.u32(total)
    out.end()
    return this.#interfaces++
  }

  override options(direction: Direction | undefined, comments: readonly string[]): Uint8Array {
    const options: [code: number, value: Uint8Array][] = comments.map((comment) => [1, text.encode(comment)])
    if (direction !== undefined) {
      const flags = new Uint8Array(4)
      new DataView(flags.buffer).setUint32(0, direction === 'inbound' ? 1 : 2, this.out.littleEndian)
      options.push([2, flags])
    }
    return this.#encode(options)
  }

  /** Options and the end-of-options, each padded to 4 bytes. */
  #encode(options: readonly (readonly [code: number, value: Uint8Array])[]): Uint8Array {
    const size = options.reduce((sum, [, value]) => sum + 4 + Math.ceil(value.length / 4) * 4, 4)
    const bytes = new Uint8Array(size)
    const data = new DataView(bytes.buffer)
    let at = 0
    for (const [code, value] of options) {
      data.setUint16(at, code, this.out.littleEndian)
      data.setUint16(at + 2, checkRange(`bytes of option ${code}`, value.length, 0, 65_535), this.out.littleEndian)
      bytes.set(value, at + 4)
      at += 4 + Math.ceil(value.length / 4) * 4
    }
    return bytes
  }

  /** See `CaptureWriter.put`. Throws a RangeError for an interface that `interface` did not give. */
  override put(
    on: number,
    seconds: number,
    nanoseconds: number,
    bytes: Uint8Array,
    at: number,
    captured: number,
    length: number,
    options: Uint8Array | null,
  ): void {
    if (!(on >= 0 && on < this.#interfaces)) throw new RangeError(`interface ${on} is not one of ${this.#interfaces}`)
    const kept = Math.min(captured, this.snaplen)
    const total = 32 + Math.ceil(kept / 4) * 4 + (options === null ? 0 : options.length)
    // seconds x 10^9 + nanoseconds in two 32-bit words: the upper and lower part of the seconds apart, so that every
    // product stays below 2^53.
    const upper = Math.floor(seconds / 65_536) * 1e9
    const lower = (upper % 65_536) * 65_536 + (seconds % 65_536) * 1e9 + nanoseconds
    const { out } = this
    out.begin(total)
    out.u32(6)
    out.u32(total)
    out.u32(on)
    out.u32(Math.floor(upper / 65_536) + Math.floor(lower / 2 ** 32))
    out.u32(lower % 2 ** 32)
    out.u32(kept)
    out.u32(length)
    out.bytes(bytes, at, kept, 4)
    if (options !== null) out.bytes(options, 0, options.length)
    out.u32(total)
    out.end()
  }
}
