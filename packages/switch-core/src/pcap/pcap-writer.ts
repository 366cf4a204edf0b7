import { checkRange } from '../frame-pool.ts'
import { LinkType } from './record.ts'
import { type CaptureSink, CaptureWriter, type CaptureWriterOptions } from './writer.ts'

/** Settings of a pcap file. */
export interface PcapWriterOptions extends CaptureWriterOptions {
  /** Resolution of the times. Default `ns`; `us` is for readers that know only the older magic number. */
  resolution?: 'ns' | 'us'
  /** What frames begin with, 0 to 65,535. Default Ethernet. */
  linkType?: number
}

/**
 * Writes a pcap file: one interface, no directions, no comments, and times until the year 2106. The file's header is
 * gathered when the writer is made. (The layout is drawn in `pcap-decoder.ts`.)
 */
export class PcapWriter extends CaptureWriter {
  protected override readonly timeLimit: bigint = (1n << 32n) * 1_000_000_000n
  readonly #unit: number

  constructor(sink: CaptureSink, options: PcapWriterOptions = {}) {
    super(sink, options)
    const { resolution = 'ns' } = options
    this.#unit = resolution === 'ns' ? 1 : 1000
    const { out } = this
    out.begin(24)
    out.u32(resolution === 'ns' ? 0xa1b23c4d : 0xa1b2c3d4)
    out.u16(2)
    out.u16(4)
    out.u32(0)
    out.u32(0)
    out.u32(this.snaplen)
    out.u32(checkRange('linkType', options.linkType ?? LinkType.Ethernet, 0, 65_535))
    out.end()
  }

  override interface(): number {
    return 0
  }

  override options(): null {
    return null
  }

  override put(
    _on: number,
    seconds: number,
    nanoseconds: number,
    bytes: Uint8Array,
    at: number,
    captured: number,
    length: number,
  ): void {
    const kept = Math.min(captured, this.snaplen)
    const { out } = this
    out.begin(16 + kept)
    out.u32(seconds)
    out.u32(Math.floor(nanoseconds / this.#unit))
    out.u32(kept)
    out.u32(length)
    out.bytes(bytes, at, kept)
    out.end()
  }
}
