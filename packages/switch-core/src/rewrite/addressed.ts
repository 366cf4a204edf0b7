import * as arp from '../wire/arp.ts'
import { u16 } from '../wire/bytes.ts'
import { EtherType, HLEN, TYPE } from '../wire/ethernet.ts'
import * as icmpv6 from '../wire/icmpv6.ts'
import { checkHeader as checkHeader4, DST as DST4, Protocol, SRC as SRC4 } from '../wire/ipv4.ts'
import * as ipv6 from '../wire/ipv6.ts'
import { isTpid } from '../wire/vlan.ts'

/*
 * Whom a frame is from and for, by network address: what decides where stations share one MAC address, as pods behind an
 * l2bridge do, or the children of an ipvlan.
 *
 *     frame                       from            for
 *     ARP                         sender  (spa)   target (tpa)
 *     neighbour solicitation      source          the target that is asked for: the destination is a group
 *     any other IPv4, IPv6        source          destination
 *
 * ARP counts whatever hardware type it names, if its addresses are as long as Ethernet's and IPv4's: Linux learns from
 * type 6 (IEEE 802) as from type 1, and a MAC that is to be hidden must not pass with another number in front.
 *
 * Up to two VLAN tags are passed. Only what is read is checked: a header that is cut short leaves the frame without
 * addresses, and a wrong length further up is the receiver's business.
 */

/** What kind of addresses a frame has. */
export const Kind = { None: 0, Arp: 1, IPv4: 4, IPv6: 6 } as const

/** Tags that are passed at most. */
const MAX_TAGS = 2

const upper = new ipv6.Upper()

/** What `find` has found: offsets count as `o` does. Made once and filled again for each frame. */
export class Addressed {
  /** One of `Kind`. */
  kind = 0
  /** The EtherType behind the tags; -1 in a runt. */
  etherType = -1
  /** Where the network header starts. */
  l3 = -1
  /** Where the address is that the frame is from: 4 bytes for ARP and IPv4, 16 for IPv6. */
  from = -1
  /** Where the address is that the frame is for. */
  to = -1
  /** The upper-layer protocol of IPv4 or IPv6; -1 where there is none or it cannot be found. */
  protocol = -1
  /** Where a message of neighbour discovery starts, and ends: a whole one, with code 0 and not a fragment. Else -1. */
  nd = -1
  ndEnd = -1

  /** Finds the addresses of the frame `[o, end)` and says what kind they are. Takes any bytes. */
  find(b: Uint8Array, o: number, end: number): number {
    // Nearly every frame is untagged IPv4: in one piece, with numbers for names.
    if (end - o >= 34 && b[o + 12] === 0x08 && b[o + 13] === 0 && b[o + 14] === 0x45) {
      this.etherType = 0x0800
      this.l3 = o + 14
      this.from = o + 26
      this.to = o + 30
      this.protocol = b[o + 23] as number
      this.nd = -1
      return (this.kind = Kind.IPv4)
    }
    return this.#general(b, o, end)
  }

  #general(b: Uint8Array, o: number, end: number): number {
    this.from = this.to = this.protocol = this.nd = -1
    let l3 = o + HLEN
    if (l3 > end) {
      this.etherType = this.l3 = -1
      return (this.kind = Kind.None)
    }
    let type = u16(b, o + TYPE)
    for (let tags = 0; isTpid(type) && tags < MAX_TAGS && end - l3 >= 4; tags++) {
      type = u16(b, l3 + 2)
      l3 += 4
    }
    this.etherType = type
    this.l3 = l3
    if (type === EtherType.IPv4) return (this.kind = this.#ipv4(b, l3, end))
    if (type === EtherType.IPv6) return (this.kind = this.#ipv6(b, l3, end))
    if (type === EtherType.Arp && isArp(b, l3, end)) {
      this.from = l3 + arp.SPA
      this.to = l3 + arp.TPA
      return (this.kind = Kind.Arp)
    }
    return (this.kind = Kind.None)
  }

  #ipv4(b: Uint8Array, l3: number, end: number): number {
    if (checkHeader4(b, l3, end) === -1) return Kind.None
    this.from = l3 + SRC4
    this.to = l3 + DST4
    this.protocol = b[l3 + 9] as number
    return Kind.IPv4
  }

  #ipv6(b: Uint8Array, l3: number, end: number): number {
    if (ipv6.checkHeader(b, l3, end) === -1) return Kind.None
    this.from = l3 + ipv6.SRC
    this.to = l3 + ipv6.DST
    const next = ipv6.nextHeader(b, l3)
    const packetEnd = l3 + ipv6.HLEN + ipv6.payloadLength(b, l3)
    if (next === Protocol.Tcp || next === Protocol.Udp) this.protocol = next
    else if (packetEnd <= end && ipv6.upper(b, l3, packetEnd, upper)) {
      this.protocol = upper.protocol
      if (upper.protocol === Protocol.Icmpv6 && upper.fragment === -1) this.#discovery(b, upper.offset, packetEnd)
    }
    return Kind.IPv6
  }

  #discovery(b: Uint8Array, at: number, end: number): void {
    if (!icmpv6.check(b, at, end) || icmpv6.code(b, at) !== 0) return
    const type = icmpv6.type(b, at)
    const options = icmpv6.optionsAt(type)
    if (options === -1 || end - at < options) return
    this.nd = at
    this.ndEnd = end
    if (type === icmpv6.Type.NeighborSolicitation) this.to = at + icmpv6.TARGET
  }
}

/** Tells whether an ARP packet with addresses of 6 bytes and of IPv4 lies in `[o, end)`, of any hardware type. */
function isArp(b: Uint8Array, o: number, end: number): boolean {
  return end - o >= arp.LENGTH && u16(b, o + 2) === EtherType.IPv4 && b[o + 4] === 6 && b[o + 5] === 4
}
