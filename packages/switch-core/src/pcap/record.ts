/*
 * What a capture file says, whatever its format: records of frames, each seen on an interface at a time.
 */

/** The formats that are read and written. */
export type CaptureFormat = 'pcap' | 'pcapng'

/** Link types that this project speaks of by name (tcpdump.org/linktypes.html); others are kept as numbers. */
export const LinkType = {
  /** Ethernet II frames. */
  Ethernet: 1,
  /** IPv4 or IPv6 packets without a link header. */
  Raw: 101,
} as const

/** Which way a frame went, seen from the machine that captured it. */
export type Direction = 'inbound' | 'outbound'

/** Where frames were captured. A pcap file has one interface, a section of a pcapng file any number. */
export interface CaptureInterface {
  /** Its number in its section, from 0. */
  readonly id: number
  /** The section it belongs to, from 0; always 0 in a pcap file. */
  readonly section: number
  /** `if_name`, where the file has it. */
  readonly name: string | undefined
  /** `if_description`, where the file has it. */
  readonly description: string | undefined
  /** What frames begin with: a value of `LinkType`, or another link type's number. */
  readonly linkType: number
  /** The most bytes of a frame that were kept; 0 for no limit. */
  readonly snaplen: number
  /** Bytes of Ethernet frame check sequence at the end of each frame: 0 nearly always, else 4. */
  readonly fcs: number
}

/** A frame as a capture file has it. */
export interface PacketRecord {
  /** Nanoseconds since 1970-01-01 UTC; undefined for a pcapng Simple Packet Block, which has no time. */
  readonly time: bigint | undefined
  /** The bytes that were kept: the record's own copy. */
  readonly data: Uint8Array
  /** How long the frame was; above `data.length` where the capture cut it. */
  readonly length: number
  readonly interface: CaptureInterface
  readonly direction: Direction | undefined
  /** Comments on the frame (`opt_comment`), most often none. */
  readonly comments: readonly string[]
  /** Where in the file the record begins, in bytes. */
  readonly position: number
}

/** A capture file that contradicts its format. The message names file, byte position and cause. */
export class CaptureError extends Error {
  /** The name that the reader was given. */
  readonly file: string
  /** Byte position of what is wrong, from the file's start. */
  readonly position: number
  /** What is wrong there. */
  readonly reason: string

  constructor(file: string, position: number, reason: string) {
    super(`${file}: at byte ${position}: ${reason}`)
    this.name = 'CaptureError'
    this.file = file
    this.position = position
    this.reason = reason
  }
}
