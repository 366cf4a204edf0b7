import { u16 } from '../wire/bytes.ts'
import { Protocol } from '../wire/ipv4.ts'
import * as ipv6 from '../wire/ipv6.ts'

/*
 * The extension headers of an IPv6 packet for the router itself, done one after the other as the node that a packet is
 * for has to (RFC 8200, 4). Who only looks for ports uses `upper` of the wire package, which judges nothing.
 *
 *     | IPv6 | hop-by-hop options | destination options | routing | fragment | ... | upper layer
 *       ^40    unknown option:      likewise              segments   of a whole:      unknown:
 *              pass, drop, or 4/2                         left: 4/0  passed           4/1
 *
 * "4/2" is a parameter problem (RFC 4443, 3.4) with that code, whose pointer says at which byte. The first two bits of
 * an option's type say what becomes of the packet where the option is unknown (4.2):
 *
 *     00 it is passed    01 silence    10 parameter problem    11 parameter problem, unless it is for a group
 *
 * No option is known here but the paddings, which 00 lets pass as well. A routing header with segments left asks to be
 * sent on, which is not done for any type (RFC 8200, 4.4; of type 0 it must not be, RFC 5095). A fragment that is a
 * whole packet is one (RFC 6946).
 */

/** How a walk over the headers ended. */
export const Walk = {
  /** At the upper layer: `protocol` at `offset`. */
  Done: 0,
  /** A header does not fit into the packet, or there are too many. */
  Malformed: 1,
  /** At a fragment of a longer packet. */
  Fragment: 2,
  /** At a routing header with segments left: a parameter problem. */
  Routed: 3,
  /** At an option, or a header, that must not be there: a parameter problem. */
  Problem: 4,
  /** The same, of which a sender to a group is told too (RFC 4443, 2.4 e.3). */
  GroupProblem: 5,
  /** At an option that wants silence. */
  Silent: 6,
} as const
/** A value of `Walk`. */
export type Walk = (typeof Walk)[keyof typeof Walk]

/** Walks over extension headers. Made once and filled again for each packet. */
export class Headers6 {
  protocol = 0
  /** Where the upper-layer header starts; offsets count as `ip` does. */
  offset = 0
  /** Code of the parameter problem. Where the walk is `Done`: of the one that an unknown upper layer is. */
  code = 0
  /** Its pointer, in bytes from the IPv6 header. */
  pointer = 0

  /** Walks from the fixed header at `ip` of the packet `[ip, end)`, which has been checked. Takes any bytes. */
  walk(b: Uint8Array, ip: number, end: number): Walk {
    let next = ipv6.nextHeader(b, ip)
    let at = ip + ipv6.HLEN
    this.code = 1
    this.pointer = ipv6.NEXT_HEADER
    for (let steps = 0; ; steps++) {
      const { HopByHop, DestinationOptions, Routing, Ah, Fragment } = Protocol
      // Hop-by-hop options stand first or nowhere (RFC 8200, 4.1): elsewhere they are a header that is unknown.
      const options = next === DestinationOptions || (next === HopByHop && at === ip + ipv6.HLEN)
      if (!options && next !== Routing && next !== Ah && next !== Fragment) {
        this.protocol = next
        this.offset = at
        return Walk.Done
      }
      if (steps === ipv6.MAX_HEADERS || end - at < 8) return Walk.Malformed
      const units = b[at + 1] as number
      const length = next === Fragment ? 8 : next === Ah ? (units + 2) << 2 : (units + 1) << 3
      if (length > end - at) return Walk.Malformed
      if (options) {
        const found = this.#options(b, ip, at + 2, at + length)
        if (found !== Walk.Done) return found
      } else if (next === Routing && b[at + 3] !== 0) {
        this.code = 0
        this.pointer = at + 2 - ip
        return Walk.Routed
      } else if (next === Fragment && (u16(b, at + 2) & 0xfff9) !== 0) return Walk.Fragment
      next = b[at] as number
      this.pointer = at - ip
      at += length
    }
  }

  #options(b: Uint8Array, ip: number, at: number, end: number): Walk {
    while (at < end) {
      const type = b[at] as number
      if (type === 0) {
        at++
        continue
      }
      if (end - at < 2 || (b[at + 1] as number) > end - at - 2) return Walk.Malformed
      const action = type >>> 6
      if (action !== 0) {
        this.code = 2
        this.pointer = at - ip
        return action === 1 ? Walk.Silent : action === 2 ? Walk.GroupProblem : Walk.Problem
      }
      at += 2 + (b[at + 1] as number)
    }
    return Walk.Done
  }
}
