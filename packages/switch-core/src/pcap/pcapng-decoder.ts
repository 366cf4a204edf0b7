import type { ByteQueue } from './byte-queue.ts'
import type { Decoder, Malformed } from './pcap-decoder.ts'
import type { CaptureInterface, Direction, PacketRecord } from './record.ts'

/*
 * pcapng (draft-ietf-opsawg-pcapng): a file is sections, a section is blocks in the byte order that its header shows.
 *
 *     block    type u32 | total length u32 | body ... | total length u32          total length: a multiple of 4
 *     options  code u16 | length u16 | value, padded to 4 | ... | 0 u16 | 0 u16
 *
 *     Section Header         1A2B3C4D u32 | major u16 | minor u16 | section length i64 | options
 *     Interface Description  link type u16 | 0 u16 | snaplen u32 | options
 *     Enhanced Packet        interface u32 | time u64 | captured u32 | original u32 | data, padded | options
 *     Packet (obsolete)      interface u16 | drops u16 | then as in the Enhanced Packet
 *     Simple Packet          original u32 | data, padded
 *
 * Blocks of other types are passed over without being held.
 */

const SECTION_HEADER = 0x0a0d0d0a
const INTERFACE = 1
const PACKET = 2
const SIMPLE_PACKET = 3
const ENHANCED_PACKET = 6

/** The shortest each known block can be: its fixed fields and 12 bytes of frame. */
const SHORTEST: Readonly<Record<number, number>> = {
  [SECTION_HEADER]: 28,
  [INTERFACE]: 20,
  [PACKET]: 32,
  [SIMPLE_PACKET]: 16,
  [ENHANCED_PACKET]: 32,
}

/** What options and the fixed fields may add to a block's data. */
const BLOCK_EXTRA = 1 << 20

/** An interface per port of the largest switch; more are taken for a broken file. */
const MAX_INTERFACES = 65_536

declare class TextDecoder {
  decode(bytes: Uint8Array): string
}
const text = new TextDecoder()

/** An interface with what turns its timestamps into nanoseconds. */
interface Described extends CaptureInterface {
  /** Timestamp units in a second. */
  readonly units: bigint
  /** Nanoseconds to add. */
  readonly offset: bigint
}

/** Decodes a pcapng file from its first section header on. */
export class PcapngDecoder implements Decoder {
  reading = 'a block header'
  interfaces: Described[] = []
  readonly #queue: ByteQueue
  readonly #malformed: Malformed
  readonly #maxRecord: number
  #littleEndian = true
  #section = -1
  /* The block that is being passed over, to see its trailing length. */
  #passing = 0

  constructor(queue: ByteQueue, maxRecord: number, malformed: Malformed) {
    this.#queue = queue
    this.#malformed = malformed
    this.#maxRecord = maxRecord
  }

  get between(): boolean {
    return this.#passing === 0
  }

  next(): PacketRecord | undefined {
    const queue = this.#queue
    for (;;) {
      if (this.#passing > 0) {
        if (queue.length < 4) return undefined
        this.#trailer(0, this.#passing)
        queue.skip(4)
        this.#passing = 0
        this.reading = 'a block header'
      }
      // A section header's own byte order is known only with its third word.
      if (queue.length < 12) return undefined
      const isHeader = queue.u32(0, true) === SECTION_HEADER
      if (isHeader) this.#byteOrder()
      const type = queue.u32(0, this.#littleEndian)
      const total = queue.u32(4, this.#littleEndian)
      const shortest = SHORTEST[type]
      if (total % 4 !== 0 || total < (shortest ?? 12)) {
        this.#malformed(4, `block type ${type} has the length ${total}; it is at least ${shortest ?? 12} in fours`)
      }
      if (shortest === undefined) {
        this.#passing = total
        this.reading = `a block of type ${type} and ${total} bytes`
        queue.skip(total - 4)
        continue
      }
      if (total > this.#maxRecord + BLOCK_EXTRA) {
        this.#malformed(
          4,
          `block type ${type} claims ${total} bytes; at most ${this.#maxRecord + BLOCK_EXTRA} are taken`,
        )
      }
      if (queue.length < total) {
        this.reading = `a block of type ${type} and ${total} bytes`
        return undefined
      }
      this.#trailer(total - 4, total)
      let record: PacketRecord | undefined
      if (isHeader) this.#sectionHeader()
      else if (type === INTERFACE) this.#interface(total)
      else if (type === SIMPLE_PACKET) record = this.#simplePacket(total)
      else record = this.#packet(type, total)
      queue.skip(total)
      this.reading = 'a block header'
      if (record !== undefined) return record
    }
  }

  #trailer(at: number, total: number): void {
    const trailing = this.#queue.u32(at, this.#littleEndian)
    if (trailing !== total) this.#malformed(at, `the block ends with the length ${trailing} and began with ${total}`)
  }

  #byteOrder(): void {
    if (this.#queue.u32(8, true) === 0x1a2b3c4d) this.#littleEndian = true
    else if (this.#queue.u32(8, false) === 0x1a2b3c4d) this.#littleEndian = false
    else this.#malformed(8, 'the section header has no byte-order magic (1A2B3C4D)')
  }

  #sectionHeader(): void {
    const major = this.#queue.u16(12, this.#littleEndian)
    const minor = this.#queue.u16(14, this.#littleEndian)
    // Version 1.2 was written by mistake and means 1.0.
    if (major !== 1 || (minor !== 0 && minor !== 2)) {
      this.#malformed(12, `pcapng version ${major}.${minor} is not read, only 1.0`)
    }
    this.#section++
    this.interfaces = []
  }

  #interface(total: number): void {
    const queue = this.#queue
    const le = this.#littleEndian
    if (this.interfaces.length === MAX_INTERFACES) this.#malformed(0, `more than ${MAX_INTERFACES} interfaces`)
    let name: string | undefined
    let description: string | undefined
    let units = 1_000_000n
    let offset = 0n
    let fcs = 0
    this.#options(16, total - 4, (code, at, length) => {
      if (code === 2) name = text.decode(queue.copy(at, length))
      else if (code === 3) description = text.decode(queue.copy(at, length))
      else if (code === 9) {
        this.#lengthIs('if_tsresol', at, length, 1)
        const resolution = queue.u8(at)
        units = (resolution & 0x80 ? 2n : 10n) ** BigInt(resolution & 0x7f)
      } else if (code === 13) {
        this.#lengthIs('if_fcslen', at, length, 1)
        // The specification says bits, most writers write bytes; no FCS is longer than 8 bytes or shorter than 8 bits.
        fcs = queue.u8(at) > 8 ? queue.u8(at) >>> 3 : queue.u8(at)
      } else if (code === 14) {
        this.#lengthIs('if_tsoffset', at, length, 8)
        offset = BigInt.asIntN(64, this.#u64(at, queue.u32(at + (le ? 4 : 0), le))) * 1_000_000_000n
      }
    })
    const id = this.interfaces.length
    const linkType = queue.u16(8, le)
    const snaplen = queue.u32(12, le)
    this.interfaces.push({ id, section: this.#section, name, description, linkType, snaplen, fcs, units, offset })
  }

  #packet(type: number, total: number): PacketRecord {
    const queue = this.#queue
    const le = this.#littleEndian
    const on = this.#interfaceAt(8, type === PACKET ? queue.u16(8, le) : queue.u32(8, le))
    const captured = queue.u32(20, le)
    const dataEnd = 28 + captured + (-captured & 3)
    if (captured > this.#maxRecord || dataEnd > total - 4) {
      this.#malformed(20, `the packet claims ${captured} captured bytes, its block has ${total - 32}`)
    }
    // The high word comes first in either byte order.
    const units = (BigInt(queue.u32(12, le)) << 32n) | BigInt(queue.u32(16, le))
    const comments: string[] = []
    let direction: Direction | undefined
    this.#options(dataEnd, total - 4, (code, at, length) => {
      if (code === 1) comments.push(text.decode(queue.copy(at, length)))
      else if (code === 2) {
        this.#lengthIs('epb_flags', at, length, 4)
        direction = ([undefined, 'inbound', 'outbound'] as const)[queue.u32(at, le) & 3]
      }
    })
    return {
      time: (units * 1_000_000_000n) / on.units + on.offset,
      data: queue.copy(28, captured),
      length: queue.u32(24, le),
      interface: on,
      direction,
      comments,
      position: queue.position,
    }
  }

  #simplePacket(total: number): PacketRecord {
    const queue = this.#queue
    const on = this.#interfaceAt(0, 0)
    const length = queue.u32(8, this.#littleEndian)
    const captured = Math.min(length, on.snaplen === 0 ? length : on.snaplen)
    if (captured > this.#maxRecord || captured > total - 16) {
      this.#malformed(8, `the packet claims ${captured} captured bytes, its block has ${total - 16}`)
    }
    const data = queue.copy(12, captured)
    const { position } = queue
    return { time: undefined, data, length, interface: on, direction: undefined, comments: [], position }
  }

  #interfaceAt(at: number, id: number): Described {
    const found = this.interfaces[id]
    if (found === undefined) {
      this.#malformed(at, `a packet on interface ${id}, of which the section has described ${this.interfaces.length}`)
    }
    return found
  }

  #u64(at: number, high: number): bigint {
    return (BigInt(high) << 32n) | BigInt(this.#queue.u32(at + (this.#littleEndian ? 0 : 4), this.#littleEndian))
  }

  #lengthIs(option: string, at: number, length: number, wanted: number): void {
    if (length !== wanted) this.#malformed(at - 2, `the option ${option} has ${length} bytes, not ${wanted}`)
  }

  #options(from: number, end: number, visit: (code: number, at: number, length: number) => void): void {
    for (let at = from; at + 4 <= end; ) {
      const code = this.#queue.u16(at, this.#littleEndian)
      const length = this.#queue.u16(at + 2, this.#littleEndian)
      if (code === 0) return
      if (at + 4 + length > end) {
        this.#malformed(at, `option ${code} claims ${length} bytes, of which the block has ${end - at - 4}`)
      }
      visit(code, at + 4, length)
      at += 4 + length + (-length & 3)
    }
  }
}
