import { IPV6, type Tuple } from '../tuple.ts'

/*
 * A flow as it lies in memory: one cache line.
 *
 *     word   0     1     2      3       4     5     6      7       8       9         10        11      12 .. 15
 *          | src   dst   ports  kind  | src   dst   ports  kind  | delta | expires | timeout | state | packets, bytes, twice |
 *            original direction         answers (reply)
 *
 * What a packet of a known flow does not need stands in a second array, half a cache line a flow:
 *
 *     word   0         1     2     3    4 .. 7
 *          | created | tags      | id | what the counts have beyond 32 bits |
 *
 * Both directions have the same form, so that a packet of direction `d` is compared with the four words from `4 * d` on, and
 * translated by those of the other: its new source is the other's destination, its new destination the other's source, its new
 * ports the other's, exchanged. IPv4 addresses and ports stand in these words as a little-endian machine reads them from a
 * frame, so that finding and rewriting exchange no bytes; IPv6 addresses are numbers of `Addresses6`.
 *
 * The delta is what the translation of both ends adds to ones-complement sums in the original direction (RFC 1624: ~m + m');
 * the answers have its complement. The lower 16 bits are for sums over the addresses only (IPv4's header), the upper for the
 * transport checksum.
 *
 * `expires` and `created` are milliseconds of the clock, 32 bits, compared by difference.
 */

/** Words of a record, as a shift. */
export const RECORD_SHIFT = 4

/** Where the state says that packets of the original direction are routed by another address: that address. */
export const DELTA = 8
export const EXPIRES = 9
export const TIMEOUT = 10
export const STATE = 11
/** Packets and bytes of the original direction, then of the answers: the lower 32 bits of each. */
export const COUNTS = 12

/** Words of the second array, as a shift. */
export const REST_SHIFT = 3
/* Where things stand in the second array. */
export const CREATED = 0
export const DESTINATION_TAG = 1
export const SOURCE_TAG = 2
/** The number of the flow among all that were ever made, 32 bits: tells flows apart that had the same record. */
export const ID = 3
/** The upper bits of the counts, in their order. */
export const UPPER_COUNTS = 4

/* The state word. */
/** The state of the protocol: of TCP one of `TcpState`. */
export const PROTO_STATE = 0xf
/** A plain packet of the original direction changes nothing but `expires`; shifted by one, of the answers. */
export const FAST = 0x10
/** An answer was seen. */
export const SEEN_REPLY = 0x40
/** The flow goes on well, and is not ended to make room while there are others. */
export const ASSURED = 0x80
/** The destination of the original direction is translated. */
export const DNAT = 0x100
/** The source of the original direction is translated. */
export const SNAT = 0x200
/** Packets of the original direction are routed by the address in `DELTA`; they go no fast way. */
export const ROUTED = 0x400
/** The record is in use. */
export const USED = 0x800
/** A reset of TCP, or an abort of SCTP, came from the side that began; shifted by one, from the side that answers. */
export const RESET = 0x1000
/** Packets of the original direction do not renew the flow; shifted by one, of the answers. */
export const NO_REFRESH = 0x4000
/** Number of the destination policy, and of the source policy, each 8 bits, 0 for none. */
export const DESTINATION_POLICY = 16
export const SOURCE_POLICY = 24

/** Exchanges the bytes of a word: from a number to a frame's order and back. */
export function swap32(v: number): number {
  return (v << 24) | ((v & 0xff00) << 8) | ((v >>> 8) & 0xff00) | (v >>> 24)
}

/** An address as it stands in a record. */
export function addressWord(address: number, kind: number): number {
  return (kind & IPV6) === 0 ? swap32(address) : address | 0
}

/** The address that stands in a record, unsigned. */
export function wordAddress(word: number, kind: number): number {
  return ((kind & IPV6) === 0 ? swap32(word) : word) >>> 0
}

/** Puts a tuple into a record at word `at`. */
export function putTuple(words: Int32Array, at: number, t: Tuple): void {
  words[at] = addressWord(t.src, t.kind)
  words[at + 1] = addressWord(t.dst, t.kind)
  words[at + 2] = swap32(t.ports)
  words[at + 3] = t.kind
}

/** Reads the tuple at word `at` of a record. */
export function getTuple(words: Int32Array, at: number, t: Tuple): void {
  const kind = (words[at + 3] as number) >>> 0
  t.kind = kind
  t.src = wordAddress(words[at] as number, kind)
  t.dst = wordAddress(words[at + 1] as number, kind)
  t.ports = swap32(words[at + 2] as number) >>> 0
}
