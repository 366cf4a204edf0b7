import type { ByteQueue } from './byte-queue.ts'
import type { CaptureInterface, PacketRecord } from './record.ts'

/*
 * pcap (draft-ietf-opsawg-pcap), in either byte order; microseconds or nanoseconds by the magic number.
 *
 *     file    magic u32 | major u16 | minor u16 | reserved u32 | reserved u32 | snaplen u32 | FCS and link type u32
 *     record  seconds u32 | fraction u32 | captured length u32 | original length u32 | data
 */

const FILE_HEADER = 24
const RECORD_HEADER = 16

/** Ends decoding: `reason` tells what is wrong `at` bytes behind the first byte that waits. */
export type Malformed = (at: number, reason: string) => never

/** Turns a file's bytes into records. */
export interface Decoder {
  /** What the decoder waits for, for the error of a file that ends there. */
  readonly reading: string
  /** True where the file may end, once no bytes wait. */
  readonly between: boolean
  /** Interfaces that the section at hand has described so far. */
  readonly interfaces: readonly CaptureInterface[]
  /** The next record; undefined until more bytes have come. */
  next(): PacketRecord | undefined
}

/** Reads the magic number that waits: undefined where it is not one of pcap's. */
export function pcapMagic(queue: ByteQueue): { littleEndian: boolean; nanoseconds: boolean } | undefined {
  for (const littleEndian of [true, false]) {
    const magic = queue.u32(0, littleEndian)
    if (magic === 0xa1b2c3d4) return { littleEndian, nanoseconds: false }
    if (magic === 0xa1b23c4d) return { littleEndian, nanoseconds: true }
  }
  return undefined
}

/** Decodes a pcap file whose magic number was seen. */
export class PcapDecoder implements Decoder {
  reading = 'the file header'
  readonly interfaces: CaptureInterface[] = []
  readonly #queue: ByteQueue
  readonly #malformed: Malformed
  readonly #maxRecord: number
  readonly #littleEndian: boolean
  readonly #unit: bigint

  constructor(queue: ByteQueue, maxRecord: number, malformed: Malformed) {
    const magic = pcapMagic(queue) as { littleEndian: boolean; nanoseconds: boolean }
    this.#queue = queue
    this.#malformed = malformed
    this.#maxRecord = maxRecord
    this.#littleEndian = magic.littleEndian
    this.#unit = magic.nanoseconds ? 1n : 1000n
  }

  get between(): boolean {
    return this.interfaces.length > 0
  }

  next(): PacketRecord | undefined {
    const queue = this.#queue
    if (this.interfaces.length === 0) {
      if (queue.length < FILE_HEADER) return undefined
      this.interfaces.push(this.#fileHeader())
      this.reading = 'a record header'
    }
    if (queue.length < RECORD_HEADER) return undefined
    const le = this.#littleEndian
    const captured = queue.u32(8, le)
    if (captured > this.#maxRecord) {
      this.#malformed(8, `the record claims ${captured} captured bytes; at most ${this.#maxRecord} are taken`)
    }
    if (queue.length < RECORD_HEADER + captured) {
      this.reading = `a record of ${captured} bytes`
      return undefined
    }
    const record: PacketRecord = {
      time: BigInt(queue.u32(0, le)) * 1_000_000_000n + BigInt(queue.u32(4, le)) * this.#unit,
      data: queue.copy(RECORD_HEADER, captured),
      length: queue.u32(12, le),
      interface: this.interfaces[0] as CaptureInterface,
      direction: undefined,
      comments: [],
      position: queue.position,
    }
    queue.skip(RECORD_HEADER + captured)
    this.reading = 'a record header'
    return record
  }

  #fileHeader(): CaptureInterface {
    const queue = this.#queue
    const le = this.#littleEndian
    const version = `${queue.u16(4, le)}.${queue.u16(6, le)}`
    if (version !== '2.4') this.#malformed(4, `pcap version ${version} is not read, only 2.4`)
    const link = queue.u32(20, le)
    const described: CaptureInterface = {
      id: 0,
      section: 0,
      name: undefined,
      description: undefined,
      linkType: link & 0xffff,
      snaplen: queue.u32(16, le),
      // Bit 26 says that the top four bits are there: the FCS in 16-bit words.
      fcs: link & 0x0400_0000 ? (link >>> 28) * 2 : 0,
    }
    queue.skip(FILE_HEADER)
    return described
  }
}
