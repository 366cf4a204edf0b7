import { Drop, type Frame, type FramePool } from '@l2l3/switch-core'
import { checksum, icmp, icmpv6, ipv4, ipv6 } from '@l2l3/switch-core/wire'
import type { Addresses6 } from '../addresses6.ts'
import { Place, Proto, Read, readTuple, Tuple } from '../tuple.ts'

/*
 * Reading an ICMP error and the packet that is quoted in it (RFC 792; RFC 4443, 3; RFC 5508, 4).
 *
 *     | IP  R -> 203.0.113.1 | ICMP 3/3 | IP  203.0.113.1 -> 203.0.113.2 | UDP  5010 -> 9999 | ...
 *     l3                     l4         quoted                           place.l4            place.end     end
 *                            type, code        the packet that the error is about, as it was seen
 *                                              there; maybe cut off 8 bytes behind its IP header
 *
 * An error belongs to the flow of the packet that it quotes, and travels against it. So the tuple of the quoted packet,
 * *inverted*, is the key to look for: the error goes in the direction of that key. (203.0.113.2:9999 -> 203.0.113.1:5010
 * is the answers' direction of a flow, and the error goes to who would get an answer.) How the engine uses it:
 *
 *     const at = new IcmpError()                       made once
 *     switch (at.read(pool, f, l3, l4, end, isFragment, addresses, zone)) {
 *       case NOT_AN_ERROR:  a query or something else
 *       case IS_AN_ERROR:   look for at.tuple inverted: a flow and its direction `dir`. No flow: `Drop.InvalidState`, or on
 *                           its way untouched. `at.redirect` and the flow translated: `Drop.InvalidState`, as in Linux: it
 *                           means nothing on the other side. Else rewrite.ts does the two halves. The error neither
 *                           renews nor ends the flow (RFC 5508, REQ-4 and 5).
 *       default:            a `Drop` reason
 *     }
 *
 * Anyone can send an ICMP error, so it is believed only as far as it proves that its sender saw the packet: the quoted
 * source is where the error goes to (what Linux checks as well), the quoted packet is whole as far as its ports, no later
 * fragment, and no ICMP error itself; the checksum of the message and that of the quoted IPv4 header are right (RFC 5508,
 * REQ-3). Whether a quoted TCP segment can have been on its way (RFC 5927, 4.1) is left to who gets the error.
 */

/** `read` found a message that is no error. */
export const NOT_AN_ERROR = -1
/** `read` found an error that quotes a packet. */
export const IS_AN_ERROR = -2

const NEEDS_CSUM = 1
const DATA_VALID = 2

/** An ICMP or ICMPv6 error and the packet in it. Made once, filled again for each message. Offsets are indices of
 * `pool.bytes`. */
export class IcmpError {
  /** The outer IP header. */
  l3 = 0
  /** The ICMP header. */
  l4 = 0
  /** The end of the outer packet. */
  end = 0
  /** Type of the error. */
  type = 0
  /** Code of the error. */
  code = 0
  /** Whether it is a redirect (RFC 792). */
  redirect = false
  /** The quoted IP header. */
  quoted = 0
  /** Where things are in the quoted packet. */
  readonly place: Place = new Place()
  /** The tuple of the quoted packet as it stands there, not inverted. */
  readonly tuple: Tuple = new Tuple()

  /**
   * Reads the ICMP or ICMPv6 message at `l4` of the packet `[l3, end)`, whose headers up to there are whole; `fragment`
   * says whether that is the first fragment of a longer one, whose checksum cannot be verified. Takes any bytes. Gives
   * `NOT_AN_ERROR`, `IS_AN_ERROR`, or why the message is to be dropped: `Malformed` (shorter than a header),
   * `BadChecksum`, `InvalidState` (an error that proves nothing, or one about an address that no flow has).
   */
  read(
    pool: FramePool,
    f: Frame,
    l3: number,
    l4: number,
    end: number,
    fragment: boolean,
    addresses: Addresses6,
    zone = 0,
  ): Drop | typeof NOT_AN_ERROR | typeof IS_AN_ERROR {
    const { bytes: b, data } = pool
    if (end - l4 < icmp.HLEN) return Drop.Malformed
    const v6 = b[l3] >>> 4 === 6
    const type = b[l4]
    // Types 5 to 127 of ICMPv6 are errors yet unknown, and so is what they quote.
    if (!(v6 ? type >= icmpv6.Type.Unreachable && type <= icmpv6.Type.ParameterProblem : icmp.isError(type))) {
      return NOT_AN_ERROR
    }
    this.l3 = l3
    this.l4 = l4
    this.end = end
    this.type = type
    this.code = b[l4 + 1]
    this.redirect = !v6 && type === icmp.Type.Redirect
    if (!fragment && (pool.flags[f] & (NEEDS_CSUM | DATA_VALID)) === 0) {
      const initial = v6 ? checksum.pseudo6(b, l3, Proto.Icmpv6, end - l4) : 0
      if (!checksum.verify(data, l4, end, initial)) return Drop.BadChecksum
    }
    const ip = l4 + icmp.HLEN
    this.quoted = ip
    if (ip === end || b[ip] >>> 4 !== b[l3] >>> 4) return Drop.InvalidState
    const { place, tuple } = this
    if (readTuple(tuple, place, b, ip, end, addresses, zone, true) !== Read.Ok) return Drop.InvalidState
    if (v6) {
      for (let i = 0; i < 16; i++) if (b[ip + ipv6.SRC + i] !== b[l3 + ipv6.DST + i]) return Drop.InvalidState
      if (rerouted(b, ip, place.l4)) return Drop.InvalidState
    } else {
      if (tuple.src !== ipv4.dst(b, l3)) return Drop.InvalidState
      if (!ipv4.checksumOk(b, ip)) return Drop.BadChecksum
    }
    return IS_AN_ERROR
  }
}

const upper = new ipv6.Upper()

/** Tells whether a routing header with segments left is in the quoted packet: the destination that its checksum means is
 * another one than the header's then. */
function rerouted(b: Uint8Array, ip: number, l4: number): boolean {
  return ipv6.upper(b, ip, l4, upper) && upper.routing !== -1 && b[upper.routing + 3] !== 0
}
