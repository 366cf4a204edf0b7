import { copy, put16, put32, u16, u32 } from './bytes.ts'
import { checksum, sum, update16 } from './checksum.ts'

/*
 * The IPv4 header (RFC 791, 3.1).
 *
 *     0       1       2               4               6               8
 *     |ver IHL|  TOS  | total length  |      id       |-DM  offset    |
 *     |  TTL  | proto |    checksum   |            source             |
 *     |          destination          |    options, up to 40 bytes ...
 *
 * `check` looks at the lengths once; everything else trusts them. Addresses are numbers: 10.0.0.1 is 0x0a000001.
 */

/** Bytes of a header without options. */
export const HLEN = 20
/** Offset of the time to live. */
export const TTL = 8
/** Offset of the protocol. */
export const PROTOCOL = 9
/** Offset of the header checksum. */
export const CHECKSUM = 10
/** Offset of the source address. */
export const SRC = 12
/** Offset of the destination address. */
export const DST = 16

/** The bits in front of the fragment offset. */
export const Flag = { DontFragment: 0x4000, MoreFragments: 0x2000 } as const

/** What an IP packet carries, either version: registered protocol numbers. */
export const Protocol = {
  /** IPv6 hop-by-hop options; no protocol in IPv4. */
  HopByHop: 0,
  Icmp: 1,
  Igmp: 2,
  /** IPv4 in IP (RFC 2003). */
  IpIp: 4,
  Tcp: 6,
  Udp: 17,
  /** IPv6 in IP (RFC 4213). */
  Ipv6: 41,
  Routing: 43,
  Fragment: 44,
  Gre: 47,
  Esp: 50,
  Ah: 51,
  Icmpv6: 58,
  NoNext: 59,
  DestinationOptions: 60,
} as const

/**
 * Looks at version and lengths of the packet at `o`: a header of 20 to 60 bytes, a total length that holds the header and
 * lies within `end` (what is behind it is Ethernet padding). Gives where the payload starts, or -1.
 */
export function check(b: Uint8Array, o: number, end: number): number {
  const payload = checkHeader(b, o, end)
  if (payload === -1) return -1
  const packetEnd = o + totalLength(b, o)
  return packetEnd < payload || packetEnd > end ? -1 : payload
}

/** Like `check`, for a packet of which only the beginning is there: the one quoted in an ICMP error. */
export function checkHeader(b: Uint8Array, o: number, end: number): number {
  if (end - o < HLEN) return -1
  const first = b[o] as number
  if (first >>> 4 !== 4) return -1
  const length = (first & 15) << 2
  return length < HLEN || length > end - o ? -1 : o + length
}

/** Bytes of the header, options included. */
export function headerLength(b: Uint8Array, o: number): number {
  return ((b[o] as number) & 15) << 2
}

/** The type of service byte: DSCP in the upper six bits, ECN in the lower two. */
export function tos(b: Uint8Array, o: number): number {
  return b[o + 1] as number
}

/** Bytes of the packet, header included. */
export function totalLength(b: Uint8Array, o: number): number {
  return u16(b, o + 2)
}

/** The number that fragments of one packet share. */
export function id(b: Uint8Array, o: number): number {
  return u16(b, o + 4)
}

/** Tells whether routers must not fragment the packet. */
export function dontFragment(b: Uint8Array, o: number): boolean {
  return ((b[o + 6] as number) & 0x40) !== 0
}

/** Tells whether further fragments follow this one. */
export function moreFragments(b: Uint8Array, o: number): boolean {
  return ((b[o + 6] as number) & 0x20) !== 0
}

/** Where the payload belongs in the whole packet's payload, in bytes. Not zero: there is no transport header here. */
export function fragmentOffset(b: Uint8Array, o: number): number {
  return (u16(b, o + 6) & 0x1fff) << 3
}

/** Tells whether the packet is a fragment: the first, the last or one between. */
export function isFragment(b: Uint8Array, o: number): boolean {
  return (u16(b, o + 6) & 0x3fff) !== 0
}

/** How many hops are left. */
export function ttl(b: Uint8Array, o: number): number {
  return b[o + TTL] as number
}

/** What it carries: see `Protocol`. */
export function protocol(b: Uint8Array, o: number): number {
  return b[o + PROTOCOL] as number
}

/** The source address. */
export function src(b: Uint8Array, o: number): number {
  return u32(b, o + SRC)
}

/** The destination address. */
export function dst(b: Uint8Array, o: number): number {
  return u32(b, o + DST)
}

/** Tells whether the header checksum is right. */
export function checksumOk(b: Uint8Array, o: number): boolean {
  return sum(b, o, o + headerLength(b, o)) === 0xffff
}

/** Computes the header checksum anew and writes it. */
export function fillChecksum(b: Uint8Array, o: number): void {
  put16(b, o + CHECKSUM, 0)
  put16(b, o + CHECKSUM, checksum(b, o, o + headerLength(b, o)))
}

/** Takes one off the time to live, which is not zero, and keeps the checksum true (RFC 1624). */
export function decrementTtl(b: Uint8Array, o: number): void {
  const before = u16(b, o + TTL)
  b[o + TTL] = (b[o + TTL] as number) - 1
  put16(b, o + CHECKSUM, update16(u16(b, o + CHECKSUM), before, before - 0x100))
}

/**
 * Finds the first option of a type (RFC 791, 3.1) in a header that passed `check`: where its type byte is, or -1. An
 * option found lies within the header by its own length; the walk ends at an option whose length is wrong.
 */
export function option(b: Uint8Array, o: number, optionType: number): number {
  const end = o + headerLength(b, o)
  for (let i = o + HLEN; i < end; ) {
    const kind = b[i] as number
    if (kind === optionType && kind <= 1) return i
    if (kind === 0) return -1
    if (kind === 1) {
      i++
      continue
    }
    const length = i + 1 < end ? (b[i + 1] as number) : 0
    if (length < 2 || length > end - i) return -1
    if (kind === optionType) return i
    i += length
  }
  return -1
}

/** What `write` puts into a header; what is left out is zero, with a time to live of 64. */
export interface Ipv4Fields {
  src: number
  dst: number
  protocol: number
  /** Bytes behind the header. */
  payload: number
  tos?: number
  id?: number
  /** Bits of `Flag`. */
  flags?: number
  /** In bytes, a multiple of 8. */
  fragmentOffset?: number
  ttl?: number
  /** Padded to a multiple of four here; at most 40 bytes. */
  options?: Uint8Array
}

/** Writes a header with its checksum and returns where the payload goes. */
export function write(b: Uint8Array, o: number, h: Ipv4Fields): number {
  const options = h.options?.length ?? 0
  const length = HLEN + ((options + 3) & ~3)
  b.fill(0, o, o + length)
  b[o] = 0x40 | (length >>> 2)
  b[o + 1] = h.tos ?? 0
  put16(b, o + 2, length + h.payload)
  put16(b, o + 4, h.id ?? 0)
  put16(b, o + 6, (h.flags ?? 0) | ((h.fragmentOffset ?? 0) >>> 3))
  b[o + TTL] = h.ttl ?? 64
  b[o + PROTOCOL] = h.protocol
  put32(b, o + SRC, h.src)
  put32(b, o + DST, h.dst)
  if (h.options) copy(b, o + HLEN, h.options, 0, options)
  fillChecksum(b, o)
  return o + length
}
