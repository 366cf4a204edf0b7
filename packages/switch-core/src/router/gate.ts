import type { Frame } from '../frame-pool.ts'
import type { RouterInterface } from './interface.ts'

/*
 * What stands before and behind the routing decision: NAT, a firewall.
 *
 *     in -> [ is it sound? can it come from there? ] -> gate.arrived -> [ route ] -> TTL - 1 -> gate.leaving -> [ fragments ] -> out
 *                                                                          |                         ^
 *                                                                          └-> ours    errors, answers, tunnels of ours
 *
 * The two places are those of netfilter's PREROUTING and POSTROUTING: in front the destination may change, so that the
 * packet is routed by the new one; behind, the source, so that errors about the packet quote it as its sender knows it
 * and go where its sender is.
 */

/** Looks at, changes, holds or ends packets on their way through a router. */
export interface RouterGate {
  /**
   * A packet came in, in a unicast frame and to a unicast address: its IP header starts 14 bytes into the frame, its lengths and,
   * of IPv4, its header checksum are right, nothing else has been looked at. Gives the frame to go on with - another row where it
   * was written to and had other holders - or `NO_FRAME` where the gate took it: dropped by `iface.end`, or held.
   */
  arrived(iface: RouterInterface, f: Frame): Frame | -1
  /**
   * A packet is about to leave by `out`: the router owns the frame, has taken the hop off its TTL, and has not cut it into fragments
   * yet. `from` is where it came in, or null for a packet of the router itself. (The router's error about a packet that could
   * not leave, where that has an address of the router for its source, comes in where that was to go out.) Gives the frame, or
   * `NO_FRAME` as above. A packet that `arrived` has let through leaves before the next one arrives, or not at all.
   */
  leaving(from: RouterInterface | null, out: RouterInterface, f: Frame): Frame | -1
  /** Set by `arrived`: route this IPv4 packet as if it were to this address, and leave the one in it. 0: by its own. The
   * router takes it and puts 0 there. */
  route4: number
  /** The same for IPv6: 16 bytes, or null. */
  route6: Uint8Array | null
}
