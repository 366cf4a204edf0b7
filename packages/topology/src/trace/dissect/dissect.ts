import { arp, eth, ipv4, u16 } from '@l2l3/switch-core/wire'
import { icmp4, icmp6 } from './icmp.ts'
import { ip4, ip6 } from './ip.ts'
import { type Layer, Layers } from './layers.ts'
import { tcpHeader, udpHeader } from './transport.ts'
import { geneve, gre, vxlan } from './tunnels.ts'

/*
 * What stands in a frame, header by header, through tunnels down to the innermost: Ethernet, VLAN tags, ARP, IPv4 and IPv6
 * with their extensions, ICMP and ICMPv6 (with the packets that errors quote), TCP, UDP, VXLAN, GENEVE, GRE, and IP in IP.
 *
 * Each header's file reads it and says what is next; here stands who reads what. A header that the frame is too short for
 * ends it: the rest is "data". Any bytes at all may come.
 */

/** What comes behind a header, and where: a protocol of this list, or bytes that nobody reads. */
export interface Next {
  readonly what: 'ether' | 'type' | 'protocol' | 'port' | 'packet' | 'data'
  /** EtherType, IP protocol or UDP port. */
  readonly id?: number
  readonly at: number
  readonly end: number
}

/** Headers that are read in a frame at most. */
const MOST = 24

/** UDP ports behind which there is a header that is read. */
const VXLAN = [4789, 8472]
const GENEVE = 6081
/** flannel's UDP backend: packets with nothing in front. */
const FLANNEL = 8285

/** Says what stands in a frame, outermost first. Never throws. */
export function dissect(frame: Uint8Array): Layer[] {
  const layers = new Layers(frame)
  let next: Next | null = { what: 'ether', at: 0, end: frame.length }
  while (next !== null && next.what !== 'data' && layers.all.length < MOST) {
    const at: number = next.at
    const end: number = next.end
    next = read(layers, next) ?? { what: 'data', at, end }
  }
  if (next !== null) layers.data(next.at, next.end)
  return layers.all
}

/** Reads a header; null where it is none, or too short. */
function read(layers: Layers, { what, id = -1, at, end }: Next): Next | null {
  switch (what) {
    case 'ether':
      return ethernet(layers, at, end)
    case 'type':
      return byType(layers, id, at, end)
    case 'protocol':
      return byProtocol(layers, id, at, end)
    case 'port':
      if (VXLAN.includes(id)) return vxlan(layers, at, end)
      if (id === GENEVE) return geneve(layers, at, end)
      return id === FLANNEL ? packet(layers, at, end) : null
    case 'packet':
      return packet(layers, at, end)
    default:
      return null
  }
}

/** An IP packet of whichever version. */
function packet(layers: Layers, at: number, end: number): Next | null {
  const version = at < end ? (layers.bytes[at] as number) >>> 4 : 0
  return version === 4 ? ip4(layers, at, end) : version === 6 ? ip6(layers, at, end) : null
}

function byType(layers: Layers, type: number, at: number, end: number): Next | null {
  switch (type) {
    case eth.EtherType.Vlan:
      return tag(layers, at, end)
    case eth.EtherType.ServiceVlan:
      return serviceTag(layers, at, end)
    case eth.EtherType.Arp:
      return arpPacket(layers, at, end)
    case eth.EtherType.IPv4:
      return ip4(layers, at, end)
    case eth.EtherType.IPv6:
      return ip6(layers, at, end)
    case 0x6558:
      return ethernet(layers, at, end)
    default:
      return null
  }
}

function byProtocol(layers: Layers, protocol: number, at: number, end: number): Next | null {
  switch (protocol) {
    case ipv4.Protocol.Icmp:
      return icmp4(layers, at, end)
    case ipv4.Protocol.Icmpv6:
      return icmp6(layers, at, end)
    case ipv4.Protocol.Tcp:
      return tcpHeader(layers, at, end)
    case ipv4.Protocol.Udp:
      return udpHeader(layers, at, end)
    case ipv4.Protocol.IpIp:
      return ip4(layers, at, end)
    case ipv4.Protocol.Ipv6:
      return ip6(layers, at, end)
    case ipv4.Protocol.Gre:
      return gre(layers, at, end)
    default:
      return null
  }
}

function ethernet(layers: Layers, at: number, end: number): Next | null {
  if (end - at < eth.HLEN) return null
  layers.begin('eth', at, eth.HLEN)
  layers.mac('eth.dst', at)
  layers.mac('eth.src', at + 6)
  const type = u16(layers.bytes, at + 12)
  if (type < 0x600) layers.u16('eth.len', at + 12)
  else layers.hex16('eth.type', at + 12)
  return { what: 'type', id: type, at: at + eth.HLEN, end }
}

/** IEEE 802.1Q. */
function tag(layers: Layers, at: number, end: number): Next | null {
  if (end - at < 4) return null
  const tci = u16(layers.bytes, at)
  layers.begin('vlan', at, 4)
  layers.put('vlan.priority', at, 2, tci >>> 13)
  layers.bit('vlan.dei', at, 2, tci, 0x1000)
  layers.put('vlan.id', at, 2, tci & 0xfff)
  layers.hex16('vlan.etype', at + 2)
  return { what: 'type', id: u16(layers.bytes, at + 2), at: at + 4, end }
}

/** IEEE 802.1ad. */
function serviceTag(layers: Layers, at: number, end: number): Next | null {
  if (end - at < 4) return null
  const tci = u16(layers.bytes, at)
  layers.begin('ieee8021ad', at, 4)
  layers.put('ieee8021ad.priority', at, 1, tci >>> 13)
  layers.bit('ieee8021ad.dei', at, 1, tci, 0x1000)
  layers.put('ieee8021ad.id', at, 2, tci & 0xfff)
  layers.hex16('ieee8021ah.etype', at + 2)
  return { what: 'type', id: u16(layers.bytes, at + 2), at: at + 4, end }
}

/** RFC 826, for IPv4 over Ethernet. */
function arpPacket(layers: Layers, at: number, end: number): Next | null {
  if (!arp.check(layers.bytes, at, end)) return null
  layers.begin('arp', at, arp.LENGTH)
  layers.u16('arp.hw.type', at)
  layers.hex16('arp.proto.type', at + 2)
  layers.u8('arp.hw.size', at + 4)
  layers.u8('arp.proto.size', at + 5)
  layers.u16('arp.opcode', at + arp.OP)
  layers.mac('arp.src.hw_mac', at + arp.SHA)
  layers.ip4('arp.src.proto_ipv4', at + arp.SPA)
  layers.mac('arp.dst.hw_mac', at + arp.THA)
  layers.ip4('arp.dst.proto_ipv4', at + arp.TPA)
  return { what: 'data', at: end, end }
}
