import { put16, put32, u32 } from './bytes.ts'
import { checksum as checksumOf, sum } from './checksum.ts'

/*
 * IGMP (RFC 2236, version 2; of version 3, RFC 3376, its queries).
 *
 *     0      1              2            4          8
 *     | type | max response |  checksum  |  group   |                                      8 bytes: versions 1 and 2
 *     |      |              |            |          | flags | QQIC | number | sources ...  12 and more: a query of version 3
 *
 * Messages go with a time to live of 1 and the router alert option, so that a switch that snoops takes notice.
 */

/** Bytes of a message of version 2. */
export const HLEN = 8
/** Bytes of a query of version 3 without sources. */
export const QUERY3 = 12
/** Offset of the checksum. */
export const CHECKSUM = 2

/** Types of message. */
export const Type = { Query: 0x11, Report1: 0x12, Report: 0x16, Leave: 0x17, Report3: 0x22 } as const

/** The router alert option (RFC 2113). Not to be written to. */
export const ROUTER_ALERT: Uint8Array = Uint8Array.of(0x94, 0x04, 0, 0)

/** Tells whether a message lies in `[o, end)`; between the lengths of versions 2 and 3 there is no query (RFC 3376, 7.1). */
export function check(b: Uint8Array, o: number, end: number): boolean {
  const n = end - o
  return n === HLEN || n >= QUERY3 || (n > HLEN && b[o] !== Type.Query)
}

/** The type: one of `Type`, or anything else. */
export function type(b: Uint8Array, o: number): number {
  return b[o] as number
}

/** The group that it is about; 0 in a general query. */
export function group(b: Uint8Array, o: number): number {
  return u32(b, o + 4)
}

/** In a query, how long its answers may take, in tenths of a second; 0 from a router of version 1, which means 100
 * (RFC 2236, 4). From 128 on the code of version 3 is a floating-point number (RFC 3376, 4.1.1). */
export function maxResponse(b: Uint8Array, o: number, end: number): number {
  const code = b[o + 1] as number
  return end - o >= QUERY3 && code >= 128 ? ((code & 15) | 16) << (((code >>> 4) & 7) + 3) : code
}

/** Tells whether the checksum of the message `[o, end)` is right. */
export function checksumOk(b: Uint8Array, o: number, end: number): boolean {
  return sum(b, o, end) === 0xffff
}

/** Writes a message of 8 bytes with its checksum and returns where it ends. `response` is in tenths of a second. */
export function write(b: Uint8Array, o: number, messageType: number, ofGroup: number, response = 0): number {
  b[o] = messageType
  b[o + 1] = response
  put16(b, o + CHECKSUM, 0)
  put32(b, o + 4, ofGroup)
  put16(b, o + CHECKSUM, checksumOf(b, o, o + HLEN))
  return o + HLEN
}

/** Writes the MAC of an IPv4 multicast group (RFC 1112, 6.4). */
export function groupMac(to: Uint8Array, at: number, ofGroup: number): void {
  put16(to, at, 0x0100)
  put32(to, at + 2, (0x5e00_0000 | (ofGroup & 0x7f_ffff)) >>> 0)
}
