import { copy, put16, put32, u16, u32 } from './bytes.ts'
import { complement, pseudo, sum } from './checksum.ts'
import { Protocol } from './ipv4.ts'

/*
 * The TCP header (RFC 9293, 3.1).
 *
 *     0               2               4                               8
 *     |  source port  |   dest port   |        sequence number        |
 *     |    acknowledgement number     | off,flags     |    window     |
 *     |   checksum    |urgent pointer |   options, up to 40 bytes ...
 */

/** Bytes of a header without options. */
export const HLEN = 20
/** Offset of the destination port. */
export const DST_PORT = 2
/** Offset of the sequence number. */
export const SEQ = 4
/** Offset of the acknowledgement number. */
export const ACK = 8
/** Offset of the byte with the flags. */
export const FLAGS = 13
/** Offset of the checksum. */
export const CHECKSUM = 16

/** The flags, as bits of the byte at `FLAGS`. */
export const Flag = {
  Fin: 0x01,
  Syn: 0x02,
  Rst: 0x04,
  Psh: 0x08,
  Ack: 0x10,
  Urg: 0x20,
  /** ECN echo (RFC 3168). */
  Ece: 0x40,
  /** Congestion window reduced (RFC 3168). */
  Cwr: 0x80,
} as const

/** Kinds of option. */
export const Option = { End: 0, Nop: 1, Mss: 2, WindowScale: 3, SackPermitted: 4, Sack: 5, Timestamps: 8 } as const

/** Looks at the header length of the segment at `o`: gives where the data starts, or -1. */
export function check(b: Uint8Array, o: number, end: number): number {
  if (end - o < HLEN) return -1
  const n = headerLength(b, o)
  return n < HLEN || n > end - o ? -1 : o + n
}

/** The port it comes from. */
export function srcPort(b: Uint8Array, o: number): number {
  return u16(b, o)
}

/** The port it goes to. */
export function dstPort(b: Uint8Array, o: number): number {
  return u16(b, o + DST_PORT)
}

/** The number of the first byte of data. */
export function seq(b: Uint8Array, o: number): number {
  return u32(b, o + SEQ)
}

/** The number of the byte that is expected next. */
export function ack(b: Uint8Array, o: number): number {
  return u32(b, o + ACK)
}

/** Bytes of the header, options included. */
export function headerLength(b: Uint8Array, o: number): number {
  return ((b[o + 12] as number) >>> 4) << 2
}

/** Bits of `Flag`. */
export function flags(b: Uint8Array, o: number): number {
  return b[o + FLAGS] as number
}

/** The receive window as it stands, not scaled. */
export function window(b: Uint8Array, o: number): number {
  return u16(b, o + 14)
}

/**
 * Finds the first option of a kind in a header that passed `check`: where its kind byte is, or -1. An option found lies
 * within the header by its own length; the walk ends at an option whose length is wrong.
 */
export function option(b: Uint8Array, o: number, kind: number): number {
  const end = o + headerLength(b, o)
  for (let i = o + HLEN; i < end; ) {
    const k = b[i] as number
    if (k === kind && k <= 1) return i
    if (k === Option.End) return -1
    if (k === Option.Nop) {
      i++
      continue
    }
    const n = i + 1 < end ? (b[i + 1] as number) : 0
    if (n < 2 || n > end - i) return -1
    if (k === kind) return i
    i += n
  }
  return -1
}

/** Where the value of the MSS option is (RFC 9293, 3.2), or -1: 16 bits. */
export function mssOffset(b: Uint8Array, o: number): number {
  const at = option(b, o, Option.Mss)
  return at !== -1 && b[at + 1] === 4 ? at + 2 : -1
}

/** The largest segment that the sender takes, or -1 where it does not say. */
export function mss(b: Uint8Array, o: number): number {
  const at = mssOffset(b, o)
  return at === -1 ? -1 : u16(b, at)
}

/** Tells whether the checksum of the segment `[o, end)` in the IP packet at `ip` is right. */
export function checksumOk(b: Uint8Array, ip: number, o: number, end: number): boolean {
  return sum(b, o, end, pseudo(b, ip, Protocol.Tcp, end - o)) === 0xffff
}

/** Computes the checksum of the segment `[o, end)` in the IP packet at `ip` and writes it. */
export function fillChecksum(b: Uint8Array, ip: number, o: number, end: number): void {
  put16(b, o + CHECKSUM, 0)
  put16(b, o + CHECKSUM, complement(sum(b, o, end, pseudo(b, ip, Protocol.Tcp, end - o))))
}

/** What `write` puts into a header; what is left out is zero, with a window of 65,535. */
export interface TcpFields {
  srcPort: number
  dstPort: number
  seq?: number
  ack?: number
  /** Bits of `Flag`. */
  flags?: number
  window?: number
  urgent?: number
  /** Padded to a multiple of four here; at most 40 bytes. */
  options?: Uint8Array
}

/** Writes a header without its checksum and returns where the data goes. `fillChecksum` follows when they are there. */
export function write(b: Uint8Array, o: number, h: TcpFields): number {
  const options = h.options?.length ?? 0
  const n = HLEN + ((options + 3) & ~3)
  b.fill(0, o, o + n)
  put16(b, o, h.srcPort)
  put16(b, o + DST_PORT, h.dstPort)
  put32(b, o + SEQ, h.seq ?? 0)
  put32(b, o + ACK, h.ack ?? 0)
  b[o + 12] = (n >>> 2) << 4
  b[o + FLAGS] = h.flags ?? 0
  put16(b, o + 14, h.window ?? 65_535)
  put16(b, o + 18, h.urgent ?? 0)
  if (h.options) copy(b, o + HLEN, h.options, 0, options)
  return o + n
}
