import { copy, put16, u16 } from './bytes.ts'
import { write as writeIcmp } from './icmpv6.ts'

/*
 * Multicast listener discovery, in ICMPv6 (RFC 2710, version 1; of version 2, RFC 3810, its queries).
 *
 *     0      1      2          4              6          8
 *     | type | code | checksum | max response | reserved | group (16) |                      24 bytes
 *     |      |      |          |              |          |            | flags | QQIC | ...   28 and more: version 2
 *
 * Messages come from a link-local address with hop limit 1, behind a hop-by-hop header with the router alert option.
 */

/** Bytes of a message of version 1. */
export const HLEN = 24
/** Bytes of a query of version 2 without sources. */
export const QUERY2 = 28
/** Offset of the group. */
export const GROUP = 8

/** Types of message. */
export const Type = { Query: 130, Report: 131, Done: 132, Report2: 143 } as const

/** The hop-by-hop header in front: ICMPv6 follows, router alert for MLD (RFC 2711), padding. Not to be written to. */
export const ROUTER_ALERT: Uint8Array = Uint8Array.of(58, 0, 5, 2, 0, 0, 1, 0)

/** Tells whether a message lies in `[o, end)`; between the lengths of versions 1 and 2 there is no query (RFC 3810, 8.1). */
export function check(b: Uint8Array, o: number, end: number): boolean {
  const n = end - o
  return n === HLEN || n >= QUERY2 || (n > HLEN && b[o] !== Type.Query)
}

/** Tells whether the hop-by-hop header at `o` asks routers to look at the packet (RFC 2711). */
export function hasRouterAlert(b: Uint8Array, o: number, end: number): boolean {
  if (end - o < 8) return false
  const last = Math.min(end, o + (((b[o + 1] as number) + 1) << 3))
  for (let i = o + 2; i < last; ) {
    if (b[i] === 5) return true
    i += b[i] === 0 || last - i < 2 ? 1 : 2 + (b[i + 1] as number)
  }
  return false
}

/** In a query, how long its answers may take, in milliseconds. From 32,768 on the code of version 2 is a floating-point
 * number (RFC 3810, 5.1.3). */
export function maxResponse(b: Uint8Array, o: number, end: number): number {
  const code = u16(b, o + 4)
  return end - o >= QUERY2 && code >= 0x8000 ? ((code & 0xfff) | 0x1000) << (((code >>> 12) & 7) + 3) : code
}

/** Writes a message without its checksum and returns where it ends.
 * @param group its 16 bytes, from `at` on
 * @param response in milliseconds */
export function write(b: Uint8Array, o: number, messageType: number, group: Uint8Array, at = 0, response = 0): number {
  const body = writeIcmp(b, o, messageType, 0)
  put16(b, o + 4, response)
  copy(b, body, group, at, 16)
  return body + 16
}
