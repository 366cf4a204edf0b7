import { Drop } from '@l2l3/switch-core'
import { checksum, put16, put32, u16, u32 } from '@l2l3/switch-core/wire'

/*
 * The GRE header (RFC 2784), with key and sequence number (RFC 2890).
 *
 *     0               2               4               6               8              12              16
 *     |C.KS.........v |   protocol    |  checksum     |   reserved    |     key       |   sequence    | packet ...
 *                                     '------- where C is set -------''- where K is -''- where S is -'
 *
 * C, K and S say which of the three fields are there, each of four bytes. The protocol is an EtherType: 0x0800 or 0x86dd
 * for a packet, 0x6558 for a whole Ethernet frame (GRETAP). The checksum is over the GRE header and all that follows.
 *
 * Bit 1, and bits 4 and 5, were routing, strict source route and recursion in RFC 1701: a receiver that does not speak that
 * has to drop the packet (RFC 2784, 2.3). Bits 6 to 12 are ignored. Version 1 is PPTP's and no relative.
 */

/** Bytes of the header without optional fields. */
export const HLEN = 4
/** The flags, as bits of the first two bytes. */
export const Flag = {
  Checksum: 0x8000,
  Key: 0x2000,
  Sequence: 0x1000,
  /** What a receiver must refuse: routing, strict source route, the first bit of recursion control (RFC 2784, 2.3). */
  Refused: 0x4c00,
  Version: 0x0007,
} as const

/** The flags and the version. */
export function flags(b: Uint8Array, o: number): number {
  return u16(b, o)
}

/** The EtherType of what is carried. */
export function protocol(b: Uint8Array, o: number): number {
  return u16(b, o + 2)
}

/** Bytes of a header with these flags. */
export function headerLength(bits: number): number {
  return HLEN + ((bits & Flag.Checksum ? 4 : 0) + (bits & Flag.Key ? 4 : 0) + (bits & Flag.Sequence ? 4 : 0))
}

/** Looks at flags, version and length of the header at `o`: where the payload starts, or -1. */
export function check(b: Uint8Array, o: number, end: number): number {
  if (end - o < HLEN) return -1
  const bits = flags(b, o)
  if ((bits & (Flag.Version | Flag.Refused)) !== 0) return -1
  const length = headerLength(bits)
  return length > end - o ? -1 : o + length
}

/** Says why `check` gave -1. */
export function fault(b: Uint8Array, o: number, end: number): Drop {
  if (end - o < HLEN) return Drop.Malformed
  if ((flags(b, o) & Flag.Version) !== 0) return Drop.TunnelVersion
  return (flags(b, o) & Flag.Refused) !== 0 ? Drop.TunnelFlags : Drop.Malformed
}

/** Tells whether the header has no checksum, or one that is right over `[o, end)`. */
export function checksumOk(b: Uint8Array, o: number, end: number): boolean {
  return (flags(b, o) & Flag.Checksum) === 0 || checksum.sum(b, o, end) === 0xffff
}

/** The key; only where `Flag.Key` is set. */
export function key(b: Uint8Array, o: number): number {
  return u32(b, o + HLEN + (flags(b, o) & Flag.Checksum ? 4 : 0))
}

/** The sequence number; only where `Flag.Sequence` is set. */
export function sequence(b: Uint8Array, o: number): number {
  return u32(b, o + headerLength(flags(b, o)) - 4)
}

/** Writes a header and returns where the payload goes. The checksum, where there is one, is zero until `fillChecksum`.
 * @param bits of `Flag`; a key or sequence number without its bit is left out */
export function write(b: Uint8Array, o: number, bits: number, etherType: number, keyOf = 0, number = 0): number {
  put16(b, o, bits)
  put16(b, o + 2, etherType)
  let at = o + HLEN
  if (bits & Flag.Checksum) {
    put32(b, at, 0)
    at += 4
  }
  if (bits & Flag.Key) {
    put32(b, at, keyOf)
    at += 4
  }
  if (bits & Flag.Sequence) {
    put32(b, at, number)
    at += 4
  }
  return at
}

/** Writes the checksum into a header whose field was zero. `sum` is that of the header and all behind it, not complemented. */
export function fillChecksum(b: Uint8Array, o: number, sum: number): void {
  put16(b, o + 4, checksum.complement(sum))
}
