import type { Frame, FramePool } from '@l2l3/switch-core'
import { arp, eth, icmpv6, ipv4, ipv6, u16 } from '@l2l3/switch-core/wire'
import { isStation, isUnspecified } from './address.ts'

/*
 * What a frame says to neighbours: one look for all elements here.
 *
 *     | Ethernet, up to two tags | ARP (RFC 826)                                  | padding
 *     | Ethernet, up to two tags | IPv6, extension headers | ICMPv6 ND (RFC 4861) | padding
 *     o                          l3                        at                     end
 *
 * What fails a check that every receiver must make (RFC 4861 6.1 and 7.1, RFC 6980) is `Malformed`: hop limit other
 * than 255, a wrong checksum, a multicast target, options that do not fit. Nothing is read outside the frame.
 */

/** What a frame is. */
export const Kind = {
  /** Neither ARP nor ND, or so broken that IP itself is not there. */
  Other: 0,
  /** ARP or ND that every receiver must ignore, or ARP for other than IPv4 over Ethernet. */
  Malformed: 1,
  Arp: 2,
  /** Neighbour solicitation. */
  Solicitation: 3,
  /** Neighbour advertisement. */
  Advertisement: 4,
  /** Router solicitation, router advertisement, redirect: whole, and the router's business. */
  Router: 5,
} as const

/** What `readMessage` has found; filled again for each frame. Offsets count as in the pool's bytes. */
export class Message {
  /** VLAN tags in front: 0 to 2. */
  tags = 0
  /** Where the network header starts. */
  l3 = -1
  /** Where the ARP packet or the ICMPv6 header starts. */
  at = -1
  /** Where the message ends. */
  end = -1
  /** ND: where the MAC of the source (solicitations) or target (advertisements) link-layer address option is, or -1. */
  lladdr = -1
  /** The EtherType behind the tags; -1 in a frame too short to have one. */
  etherType = -1
}

const MAX_TAGS = 2
const upper = new ipv6.Upper()

/** Fills `m` with what a frame says, and gives its `Kind`. */
export function readMessage(pool: FramePool, f: Frame, m: Message): number {
  const b = pool.bytes
  const o = pool.off[f]
  const end = o + pool.len[f]
  m.tags = 0
  m.etherType = -1
  m.lladdr = -1
  if (end - o < eth.HLEN) return Kind.Other
  let type = u16(b, o + eth.TYPE)
  let l3 = o + eth.HLEN
  while ((type === eth.EtherType.Vlan || type === eth.EtherType.ServiceVlan) && m.tags < MAX_TAGS && end - l3 >= 4) {
    type = u16(b, l3 + 2)
    l3 += 4
    m.tags++
  }
  m.etherType = type
  m.l3 = l3
  m.at = l3
  m.end = end
  if (type === eth.EtherType.IPv6) return readNd(pool, f, m, b, l3, end)
  if (type !== eth.EtherType.Arp) return Kind.Other
  m.end = l3 + arp.LENGTH
  return arp.check(b, l3, end) ? Kind.Arp : Kind.Malformed
}

function readNd(pool: FramePool, f: Frame, m: Message, b: Uint8Array, l3: number, frameEnd: number): number {
  let at = ipv6.check(b, l3, frameEnd)
  if (at === -1) return Kind.Other
  const end = at + ipv6.payloadLength(b, l3)
  let fragment = false
  if (ipv6.nextHeader(b, l3) !== ipv4.Protocol.Icmpv6) {
    if (!ipv6.upper(b, l3, end, upper)) return Kind.Other
    if (upper.protocol !== ipv4.Protocol.Icmpv6 || upper.fragmentOffset !== 0) return Kind.Other
    at = upper.offset
    fragment = upper.fragment !== -1
  }
  if (end - at < icmpv6.HLEN) return Kind.Other
  const type = icmpv6.type(b, at)
  if (type < icmpv6.Type.RouterSolicitation || type > icmpv6.Type.Redirect) return Kind.Other
  m.at = at
  m.end = end
  if (fragment || ipv6.hopLimit(b, l3) !== 255 || !icmpv6.checkNd(b, at, end)) return Kind.Malformed
  // A port that speaks virtio-net may hand over a checksum that is not finished, or one that it vouches for.
  if ((pool.flags[f] & 3) === 0 && !icmpv6.checksumOk(b, l3, at, end)) return Kind.Malformed
  if (type === icmpv6.Type.NeighborSolicitation) return readSolicitation(m, b, l3, at, end)
  if (type === icmpv6.Type.NeighborAdvertisement) return readAdvertisement(m, b, l3, at, end)
  return Kind.Router
}

/** RFC 4861, 7.1.1. */
function readSolicitation(m: Message, b: Uint8Array, l3: number, at: number, end: number): number {
  if (b[at + icmpv6.TARGET] === 0xff || !readLinkLayer(m, b, at, end, icmpv6.Option.SourceLinkLayer)) {
    return Kind.Malformed
  }
  const probe = isUnspecified(b, l3 + ipv6.SRC)
  return probe && (m.lladdr !== -1 || !isSolicitedNode(b, l3 + ipv6.DST)) ? Kind.Malformed : Kind.Solicitation
}

/** RFC 4861, 7.1.2. */
function readAdvertisement(m: Message, b: Uint8Array, l3: number, at: number, end: number): number {
  if (b[at + icmpv6.TARGET] === 0xff || !readLinkLayer(m, b, at, end, icmpv6.Option.TargetLinkLayer)) {
    return Kind.Malformed
  }
  const solicited = (icmpv6.naFlags(b, at) & icmpv6.NaFlag.Solicited) !== 0
  return solicited && b[l3 + ipv6.DST] === 0xff ? Kind.Malformed : Kind.Advertisement
}

/** Notes where the MAC in the option is, if there is one; false where it is none that a station can have. */
function readLinkLayer(m: Message, b: Uint8Array, at: number, end: number, type: number): boolean {
  const option = icmpv6.option(b, at, end, type)
  if (option === -1) return true
  m.lladdr = option + 2
  return b[option + 1] === 1 && isStation(b, m.lladdr)
}

/** Tells whether an address is in ff02::1:ff00:0/104. */
function isSolicitedNode(b: Uint8Array, at: number): boolean {
  if (b[at] !== 0xff || b[at + 1] !== 0x02 || b[at + 11] !== 1 || b[at + 12] !== 0xff) return false
  for (let i = 2; i < 11; i++) if (b[at + i] !== 0) return false
  return true
}
