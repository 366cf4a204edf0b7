import { ipv4, ipv6, u16, u32 } from '@l2l3/switch-core/wire'
import { Proto } from '../tuple.ts'

/*
 * What a fragment says of itself, and whether it can be believed.
 *
 *     IPv4   | id, DM offset | ... | protocol | ... payload ...                (RFC 791, 3.2)
 *     IPv6   | ... | NH, 0, offset M, id | ... payload ...                     (RFC 8200, 4.5)
 *
 * A packet is cut so that ports and flags are in its first fragment, and whoever filters or translates by them looks there.
 * Cuts that have no other purpose than to hide them are refused, as RFC 1858 (3 and 4) and RFC 3128 have it: a first fragment
 * that ends within the header of the upper layer, and a later one that starts within it and would put something else there.
 * RFC 7112 asks for the same of the whole chain of headers in IPv6; a chain that is cut is `Malformed`.
 *
 *     first   | TCP header ...|          tiny: 8 or 16 bytes of TCP, so that the flags are in the second one
 *     second       | flags ...           offset 1: over the flags of the first
 */

/** What `read` found. */
export const Kind = {
  /** Not a fragment, or one that is a whole packet (RFC 6946). */
  Whole: 0,
  /** The first of several. */
  First: 1,
  /** Not the first. */
  Later: 2,
  /** Lengths that contradict each other: more than a packet can be, nothing at all, or no multiple of 8 before the last. */
  Malformed: 3,
  /** Cut within the header of the upper layer. */
  Tiny: 4,
} as const

const upper = new ipv6.Upper()

/** A fragment's own words. Made once, filled again for each. */
export class FragmentHeader {
  /** The number that the fragments of a packet share: 16 bits in IPv4, 32 in IPv6. */
  id = 0
  /** Protocol of the packet in IPv4, where it is a part of what makes fragments belong together; 0 in IPv6. */
  protocol = 0
  /** Where its payload belongs in the whole: `[from, to)`, in bytes. */
  from = 0
  to = 0
  /** Whether it is the end of the packet. */
  last = false

  /** Reads the IP packet `[l3, end)`, whose lengths have been checked. Gives one of `Kind`. */
  read(b: Uint8Array, l3: number, end: number): number {
    return b[l3] >>> 4 === 6 ? this.#read6(b, l3, end) : this.#read4(b, l3, end)
  }

  #read4(b: Uint8Array, l3: number, end: number): number {
    const field = u16(b, l3 + 6)
    if ((field & 0x3fff) === 0) return Kind.Whole
    const l4 = l3 + ipv4.headerLength(b, l3)
    this.id = ipv4.id(b, l3)
    this.protocol = ipv4.protocol(b, l3)
    const more = (field & ipv4.Flag.MoreFragments) !== 0
    return this.#judge((field & 0x1fff) << 3, more, end - l4, l4 - l3, this.protocol, end - l4)
  }

  #read6(b: Uint8Array, l3: number, end: number): number {
    if (!ipv6.upper(b, l3, end, upper)) return Kind.Malformed
    const at = upper.fragment
    if (at === -1 || (upper.fragmentOffset === 0 && !upper.more)) return Kind.Whole
    this.id = u32(b, at + 4)
    this.protocol = 0
    const { fragmentOffset: from, more, protocol, offset } = upper
    return this.#judge(from, more, end - at - 8, at - l3 - ipv6.HLEN, protocol, end - offset)
  }

  /** `n` bytes of payload at `from`, behind headers of which `overhead` bytes count for the longest packet that there can be;
   * `room` of them are left for the header of `protocol`. */
  #judge(from: number, more: boolean, n: number, overhead: number, protocol: number, room: number): number {
    this.from = from
    this.to = from + n
    this.last = !more
    if (n <= 0 || (more && (n & 7) !== 0) || from + n + overhead > 0xffff) return Kind.Malformed
    const least = leastHeader(protocol)
    if (from === 0) return room < least ? Kind.Tiny : Kind.First
    return from < least ? Kind.Tiny : Kind.Later
  }
}

/** Bytes of the shortest header that the upper layer can have. */
function leastHeader(protocol: number): number {
  switch (protocol) {
    case Proto.Tcp:
      return 20
    case Proto.Sctp:
    case Proto.Dccp:
      return 12
    default:
      return 8
  }
}
