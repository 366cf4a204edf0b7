import * as arp from './arp.ts'
import { u16 } from './bytes.ts'
import { EtherType, HLEN } from './ethernet.ts'
import * as ipv4 from './ipv4.ts'
import * as ipv6 from './ipv6.ts'
import * as tcp from './tcp.ts'
import { HLEN as UDP_HLEN } from './udp.ts'

/*
 * One pass over a frame, which looks at every length once, and notes where things are.
 *
 *     | Ethernet, tags | IP, extension headers | TCP, UDP, ICMP |      payload       | padding |
 *     o                l3                      l4               payload              end
 *
 * How far the frame holds what its headers say is the answer: the caller trusts everything up to there, and nothing
 * beyond. The record is filled again for each frame.
 */

/** How far a frame is whole. */
export const Depth = {
  /** Shorter than an Ethernet header with its tags. */
  Runt: 0,
  /** Ethernet; what is behind it is unknown, or is not what its EtherType says. */
  Link: 2,
  /** An ARP, IPv4 or IPv6 header and the lengths in it; what is behind it is unknown, cut short, or a later fragment. */
  Network: 3,
  /** A TCP, UDP, ICMP or ICMPv6 header and the lengths in it. */
  Transport: 4,
} as const

/** Tags that are passed at most. */
const MAX_TAGS = 2

/** What `classify` has found: offsets count as `o` does. Fields beyond the depth are -1. */
export class Layers {
  /** The EtherType behind the tags; with three tags or more the TPID of the third. */
  etherType = -1
  /** How many tags: 0 to 2. */
  tags = 0
  /** The TCI of the outermost tag, or -1. */
  tci = -1
  /** Where the network header starts. */
  l3 = -1
  /** Where the packet ends by its own length; what follows is padding. The frame's end where nothing says. */
  end = -1
  /** The upper-layer protocol of IPv4 or IPv6. */
  protocol = -1
  /** Whether the packet is a fragment, the first included. */
  fragment = false
  /** Where the header of the upper layer starts; in a later fragment, where the payload goes on. */
  l4 = -1
  /** Where the payload of TCP, UDP, ICMP or ICMPv6 starts. */
  payload = -1
}

const upper = new ipv6.Upper()

/** Fills `at` with what the frame `[o, end)` is, and says how far it is whole: one of `Depth`. Takes any bytes. */
export function classify(b: Uint8Array, o: number, end: number, at: Layers): number {
  // Nearly every frame is untagged IPv4 without options, whole, with UDP or TCP: in one piece and with numbers for names,
  // it takes 15 ns, through the general functions 25 (measured; V8 inlines only so much).
  if (end - o >= 42 && b[o + 12] === 0x08 && b[o + 13] === 0x00 && b[o + 14] === 0x45) {
    const l4 = o + 34
    const packetEnd = o + 14 + ((b[o + 16]! << 8) | b[o + 17]!)
    if (packetEnd >= l4 + 8 && packetEnd <= end && (((b[o + 20]! << 8) | b[o + 21]!) & 0x3fff) === 0) {
      const protocol = b[o + 23] as number
      let payload = -1
      if (protocol === 17) {
        const length = (b[o + 38]! << 8) | b[o + 39]!
        if (length >= 8 && length <= packetEnd - l4) payload = l4 + 8
      } else if (protocol === 6 && packetEnd >= l4 + 20) {
        payload = l4 + ((b[o + 46]! >>> 4) << 2)
        if (payload < l4 + 20 || payload > packetEnd) payload = -1
      }
      if (payload !== -1) {
        at.etherType = 0x0800
        at.tags = 0
        at.tci = -1
        at.l3 = o + 14
        at.end = packetEnd
        at.protocol = protocol
        at.fragment = false
        at.l4 = l4
        at.payload = payload
        return Depth.Transport
      }
    }
  }
  return general(b, o, end, at)
}

function general(b: Uint8Array, o: number, end: number, at: Layers): number {
  let l3 = o + HLEN
  if (l3 > end) {
    at.etherType = at.tci = at.l3 = -1
    at.tags = 0
    return nothing(at, end, Depth.Runt)
  }
  let etherType = u16(b, o + 12)
  let tags = 0
  let tci = -1
  while ((etherType === EtherType.Vlan || etherType === EtherType.ServiceVlan) && tags < MAX_TAGS) {
    if (end - l3 < 4) {
      at.etherType = at.l3 = -1
      at.tags = tags
      at.tci = tci
      return nothing(at, end, Depth.Runt)
    }
    if (tags++ === 0) tci = u16(b, l3)
    etherType = u16(b, l3 + 2)
    l3 += 4
  }
  at.etherType = etherType
  at.tags = tags
  at.tci = tci
  at.l3 = l3
  if (etherType === EtherType.IPv4) {
    const l4 = ipv4.check(b, l3, end)
    if (l4 === -1) return nothing(at, end, Depth.Link)
    const fragment = u16(b, l3 + 6) & 0x3fff
    at.fragment = fragment !== 0
    return transport(b, l4, l3 + ipv4.totalLength(b, l3), ipv4.protocol(b, l3), (fragment & 0x1fff) !== 0, at)
  }
  if (etherType === EtherType.IPv6) return network6(b, l3, end, at)
  if (etherType === EtherType.Arp && arp.check(b, l3, end)) return nothing(at, l3 + arp.LENGTH, Depth.Network)
  return nothing(at, end, Depth.Link)
}

function network6(b: Uint8Array, l3: number, end: number, at: Layers): number {
  if (ipv6.check(b, l3, end) === -1) return nothing(at, end, Depth.Link)
  const packetEnd = l3 + ipv6.HLEN + ipv6.payloadLength(b, l3)
  if (!ipv6.upper(b, l3, packetEnd, upper)) return nothing(at, end, Depth.Link)
  at.fragment = upper.more || upper.fragmentOffset !== 0
  return transport(b, upper.offset, packetEnd, upper.protocol, upper.fragmentOffset !== 0, at)
}

/** Clears what lies above IP. */
function nothing(at: Layers, end: number, depth: number): number {
  at.end = end
  at.protocol = at.l4 = at.payload = -1
  at.fragment = false
  return depth
}

function transport(b: Uint8Array, l4: number, end: number, protocol: number, later: boolean, at: Layers): number {
  at.end = end
  at.protocol = protocol
  at.l4 = l4
  const payload = later ? -1 : payloadAt(b, l4, end, protocol, at)
  at.payload = payload
  return payload === -1 ? Depth.Network : Depth.Transport
}

function payloadAt(b: Uint8Array, l4: number, end: number, protocol: number, at: Layers): number {
  if (protocol === ipv4.Protocol.Udp) {
    if (end - l4 < UDP_HLEN) return -1
    const length = u16(b, l4 + 4)
    // The first fragment of a datagram is shorter than the datagram says.
    return length < UDP_HLEN || (length > end - l4 && !at.fragment) ? -1 : l4 + UDP_HLEN
  }
  if (protocol === ipv4.Protocol.Tcp) return tcp.check(b, l4, end)
  const icmp = at.etherType === EtherType.IPv4 ? ipv4.Protocol.Icmp : ipv4.Protocol.Icmpv6
  return protocol === icmp && end - l4 >= 8 ? l4 + 8 : -1
}
