import { copy, put16, put32, u16, u32 } from './bytes.ts'
import { Protocol } from './ipv4.ts'

/*
 * The IPv6 header and the extension headers behind it (RFC 8200).
 *
 *     0            4             8                    24                    40
 *     |6|TC| flow  |len |NH |HL  |      source        |     destination     | NH ...
 *
 * An extension header says what follows it and how long it is, so finding TCP or UDP is a walk. Ours takes at most
 * `MAX_HEADERS` steps, each forward and within the packet: any bytes end it.
 */

/** Bytes of the fixed header. */
export const HLEN = 40
/** Offset of the next header. */
export const NEXT_HEADER = 6
/** Offset of the hop limit. */
export const HOP_LIMIT = 7
/** Offset of the source address. */
export const SRC = 8
/** Offset of the destination address. */
export const DST = 24
/** Extension headers that `upper` passes at most: each of the seven may stand once, and options for the destination
 * twice (RFC 8200, 4.1); Linux' parsers are as patient. */
export const MAX_HEADERS = 8

/** Looks at version and lengths of the packet at `o`: gives where the first header behind the fixed one starts, or -1. */
export function check(b: Uint8Array, o: number, end: number): number {
  if (end - o < HLEN || (b[o] as number) >>> 4 !== 6) return -1
  return payloadLength(b, o) > end - o - HLEN ? -1 : o + HLEN
}

/** Like `check`, for a packet of which only the beginning is there: the one quoted in an ICMPv6 error. */
export function checkHeader(b: Uint8Array, o: number, end: number): number {
  return end - o < HLEN || (b[o] as number) >>> 4 !== 6 ? -1 : o + HLEN
}

/** The traffic class: DSCP in the upper six bits, ECN in the lower two. */
export function trafficClass(b: Uint8Array, o: number): number {
  return (u16(b, o) >>> 4) & 255
}

/** The 20 bits by which routers know a flow. */
export function flowLabel(b: Uint8Array, o: number): number {
  return u32(b, o) & 0xfffff
}

/** Bytes behind the fixed header, extension headers included. */
export function payloadLength(b: Uint8Array, o: number): number {
  return u16(b, o + 4)
}

/** The kind of the first header behind the fixed one. */
export function nextHeader(b: Uint8Array, o: number): number {
  return b[o + NEXT_HEADER] as number
}

/** How many hops are left. */
export function hopLimit(b: Uint8Array, o: number): number {
  return b[o + HOP_LIMIT] as number
}

/** What `upper` has found; made once and filled again for each packet. */
export class Upper {
  /** The upper-layer protocol. `Esp` and `NoNext` end a walk and stand here too. */
  protocol = 0
  /** Where its header starts: in a fragment other than the first, where its payload goes on. */
  offset = 0
  /** Where the fragment header is, or -1. */
  fragment = -1
  /** Where a routing header is, or -1: with segments left, the pseudo-header's destination is not the header's. */
  routing = -1
  /** Where the payload belongs in the whole packet, in bytes; not zero: no upper-layer header is at `offset`. */
  fragmentOffset = 0
  /** Whether further fragments follow. */
  more = false
}

/**
 * Walks from the fixed header at `o` over extension headers up to the upper-layer protocol. `end` is the packet's end,
 * `o + 40 + payloadLength`. False where a header does not fit, or where there are more than `MAX_HEADERS`; then the
 * record means nothing.
 */
export function upper(b: Uint8Array, o: number, end: number, found: Upper): boolean {
  if (end - o < HLEN) return false
  let next = nextHeader(b, o)
  let at = o + HLEN
  found.fragment = -1
  found.routing = -1
  found.fragmentOffset = 0
  found.more = false
  for (let steps = 0; ; steps++) {
    let length: number
    switch (next) {
      case Protocol.HopByHop:
      case Protocol.Routing:
      case Protocol.DestinationOptions:
        if (end - at < 8) return false
        length = ((b[at + 1] as number) + 1) << 3
        if (next === Protocol.Routing) found.routing = at
        break
      case Protocol.Ah:
        if (end - at < 8) return false
        length = ((b[at + 1] as number) + 2) << 2
        break
      case Protocol.Fragment:
        if (end - at < 8) return false
        length = 8
        found.fragment = at
        found.fragmentOffset = u16(b, at + 2) & 0xfff8
        found.more = ((b[at + 3] as number) & 1) !== 0
        break
      default:
        found.protocol = next
        found.offset = at
        return true
    }
    if (steps === MAX_HEADERS || length > end - at) return false
    next = b[at] as number
    at += length
    if (found.fragmentOffset !== 0) {
      found.protocol = next
      found.offset = at
      return true
    }
  }
}

/** What `write` puts into a header; what is left out is zero, with a hop limit of 64. */
export interface Ipv6Fields {
  /** Sixteen bytes. */
  src: Uint8Array
  /** Sixteen bytes. */
  dst: Uint8Array
  nextHeader: number
  /** Bytes behind the header. */
  payload: number
  trafficClass?: number
  flowLabel?: number
  hopLimit?: number
}

/** Writes a fixed header and returns where the next one goes. */
export function write(b: Uint8Array, o: number, h: Ipv6Fields): number {
  put32(b, o, (6 << 28) | ((h.trafficClass ?? 0) << 20) | (h.flowLabel ?? 0))
  put16(b, o + 4, h.payload)
  b[o + NEXT_HEADER] = h.nextHeader
  b[o + HOP_LIMIT] = h.hopLimit ?? 64
  copy(b, o + SRC, h.src, 0, 16)
  copy(b, o + DST, h.dst, 0, 16)
  return o + HLEN
}
