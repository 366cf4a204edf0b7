import type { Frame } from './frame-pool.ts'

/*
 * What a router needs of a neighbour table, and a neighbour table of a router. Declared here, so that the router (in this
 * package) and ARP and ND (in @l2l3/arp) know each other by these few methods only.
 *
 *   router ── resolve4(f, next hop) ──> neighbours     known: destination MAC written, `true`, the router sends the frame
 *                                                      not known: `false`, the frame waits there, a request goes out
 *   router <── resolved(f) ─────────── neighbours      the answer came: the MAC is written, send it
 *   router <── failed(f) ───────────── neighbours      no answer: the router's to drop, with an ICMP error
 */

/** Finds link-layer addresses of next hops on one interface. */
export interface Neighbours {
  /** Writes the next hop's MAC address into the first six bytes of the frame, which the caller owns, and returns true;
   * or takes the frame over, to give it back by `resolved` or `failed` or to drop it (queue full), and returns false.
   * @param ip the IPv4 next hop as a 32-bit number */
  resolve4(f: Frame, ip: number): boolean
  /** The same for IPv6; the next hop's 16 bytes stand in `bytes` from `at` and are copied where they are kept. */
  resolve6(f: Frame, bytes: Uint8Array, at: number): boolean
}

/** Whoever asked: gets frames back that had to wait. */
export interface NeighbourClient {
  /** The frame's destination MAC is written: send it. */
  resolved(f: Frame): void
  /** The next hop does not answer: the frame is the client's to end. */
  failed(f: Frame): void
}
