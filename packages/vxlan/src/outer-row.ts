/*
 * How an outer header lies in the words of `OuterTable`: first what the loops need to know of it, then the header as it goes
 * onto the wire (drawn in `outer.ts`).
 */

/** Bytes of the outer Ethernet header. */
export const ETH = 14
/** Frames that go through a tunnel's fast ways in a row, at most. */
export const RUN = 64

/* A row: settings, then the header's words. */
export const LENGTH = 0
export const BITS = 1
/** Sum of the IPv4 header without what differs. */
export const SUM = 2
/** Sum of pseudo-header, destination port and tunnel header. */
export const UDP_SUM = 3
export const PORT_LOW = 4
export const PORT_COUNT = 5
/** Which counter of identifications. */
export const ID = 6
/** Where its table of types of service starts. */
export const TOS = 7
/** Sum of the addresses and the protocol. */
export const PSEUDO = 8
export const META = 16

export const V6 = 1
export const UDP = 2
export const ETHERNET = 4
export const CHECKSUM = 8
export const INHERIT_TTL = 16
export const INHERIT_DF = 32
export const HASH_LABEL = 64
export const COUNT_ID = 128
export const NO_TAGS = 256
/** What runs know: UDP and a tunnel header around Ethernet. */
export const PLAIN = 512

export const NEEDS_CSUM = 1
export const TUNNEL_CHECKSUM = 8
/** The bits of `gsoType` that say that a super-frame is in a tunnel already. */
export const TUNNEL_BITS = 0x60
/** Bytes of a tunnel header at most: GENEVE's with all its options, and a few. */
export const MOST_TUNNEL = 264

/** The two bytes of a 16-bit number the other way round. */
export function swap(v: number): number {
  return ((v & 0xff) << 8) | (v >>> 8)
}

/** Folds a sum of at most 31 bits to 16. */
export function fold(s: number): number {
  s = (s & 0xffff) + (s >>> 16)
  return (s & 0xffff) + (s >>> 16)
}
