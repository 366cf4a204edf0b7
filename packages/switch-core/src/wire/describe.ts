import { formatIpv4, formatIpv6 } from './address.ts'
import * as arp from './arp.ts'
import { u16, u32 } from './bytes.ts'
import { classify, Depth, Layers } from './classify.ts'
import { EtherType, formatMac, SRC } from './ethernet.ts'
import * as icmp from './icmp.ts'
import * as icmpv6 from './icmpv6.ts'
import * as ipv4 from './ipv4.ts'
import * as ipv6 from './ipv6.ts'
import * as tcp from './tcp.ts'
import * as udp from './udp.ts'
import { dei, pcp, vid } from './vlan.ts'

/*
 * A frame as a line for people, in the manner of tcpdump:
 *
 *     02:00:00:00:00:0a > ff:ff:ff:ff:ff:ff, ARP who-has 10.0.0.2 tell 10.0.0.1
 *     02:00:00:00:00:0a > 02:00:00:00:00:0b, vlan 100, IPv4 10.0.0.1:5000 > 10.0.0.2:80 TCP [S] seq 1 win 65535 mss 1460
 *
 * What does not hold up is said in words: `IPv4 cut short or malformed`.
 */

const TCP_FLAGS = 'FSRP.UEW'

/** Says in one line what a frame is. Takes any bytes. */
export function describe(b: Uint8Array, o = 0, end: number = b.length): string {
  const at = new Layers()
  const depth = classify(b, o, end, at)
  if (end - o < 14) return `runt of ${Math.max(0, end - o)} bytes`
  const parts = [`${formatMac(b, o + SRC)} > ${formatMac(b, o)}`]
  for (let i = 0; i < at.tags && o + 16 + 4 * i <= end; i++) parts.push(tag(b, o + 12 + 4 * i))
  if (depth === Depth.Runt) parts.push('tag cut short')
  else parts.push(network(b, at, end, depth))
  return parts.join(', ')
}

function tag(b: Uint8Array, o: number): string {
  const value = u16(b, o + 2)
  const name = u16(b, o) === EtherType.ServiceVlan ? 'svlan' : 'vlan'
  return `${name} ${vid(value)}${pcp(value) ? ` pcp ${pcp(value)}` : ''}${dei(value) ? ' dei' : ''}`
}

function network(b: Uint8Array, at: Layers, end: number, depth: number): string {
  const { l3 } = at
  switch (at.etherType) {
    case EtherType.Arp:
      return depth === Depth.Link ? 'ARP cut short or not for IPv4 over Ethernet' : arpText(b, l3)
    case EtherType.IPv4: {
      if (depth === Depth.Link) return 'IPv4 cut short or malformed'
      const offset = ipv4.fragmentOffset(b, l3)
      const more = ipv4.moreFragments(b, l3)
      const fragment = at.fragment ? ` fragment ${ipv4.id(b, l3)}@${offset}${more ? '+' : ''}` : ''
      const wrong = ipv4.checksumOk(b, l3) ? '' : ' (bad header checksum)'
      return `IPv4 ${ends(b, at, depth, formatIpv4(ipv4.src(b, l3)), formatIpv4(ipv4.dst(b, l3)))}${fragment}${wrong}`
    }
    case EtherType.IPv6: {
      if (depth === Depth.Link) return 'IPv6 cut short or malformed'
      const text = ends(b, at, depth, formatIpv6(b, l3 + ipv6.SRC), formatIpv6(b, l3 + ipv6.DST))
      return `IPv6 ${text}${at.fragment ? ' fragment' : ''}`
    }
    default:
      if (at.etherType < 0x600) return `802.3 length ${at.etherType}`
      return `ethertype 0x${at.etherType.toString(16).padStart(4, '0')} length ${end - l3}`
  }
}

function arpText(b: Uint8Array, o: number): string {
  const spa = formatIpv4(arp.spa(b, o))
  const tpa = formatIpv4(arp.tpa(b, o))
  switch (arp.op(b, o)) {
    case arp.Op.Request:
      if (arp.spa(b, o) === 0) return `ARP who-has ${tpa} (probe)`
      return spa === tpa ? `ARP announcement of ${spa}` : `ARP who-has ${tpa} tell ${spa}`
    case arp.Op.Reply:
      return `ARP ${spa} is-at ${formatMac(b, o + arp.SHA)}`
    default:
      return `ARP op ${arp.op(b, o)}`
  }
}

/** Addresses, with ports where there are any, and what is said between them. */
function ends(b: Uint8Array, at: Layers, depth: number, src: string, dst: string): string {
  const { l4, end, protocol } = at
  const v6 = at.etherType === EtherType.IPv6
  if (depth !== Depth.Transport) {
    const known = protocol === ipv4.Protocol.Tcp || protocol === ipv4.Protocol.Udp || protocol === icmpOf(at)
    const state = known && !at.fragment ? ' cut short or malformed,' : ''
    return `${src} > ${dst} ${PROTOCOLS[protocol] ?? `protocol ${protocol}`}${state} length ${end - l4}`
  }
  const from = v6 ? `[${src}]` : src
  const to = v6 ? `[${dst}]` : dst
  switch (protocol) {
    case ipv4.Protocol.Udp:
      return `${from}:${udp.srcPort(b, l4)} > ${to}:${udp.dstPort(b, l4)} UDP length ${udp.length(b, l4) - udp.HLEN}`
    case ipv4.Protocol.Tcp:
      return `${from}:${tcp.srcPort(b, l4)} > ${to}:${tcp.dstPort(b, l4)} ${tcpText(b, at)}`
    case ipv4.Protocol.Icmp:
      return `${src} > ${dst} ICMP ${icmpText(b, l4)} length ${end - l4}`
    default:
      return `${src} > ${dst} ICMPv6 ${icmpv6Text(b, l4, end)} length ${end - l4}`
  }
}

function icmpOf(at: Layers): number {
  return at.etherType === EtherType.IPv4 ? ipv4.Protocol.Icmp : ipv4.Protocol.Icmpv6
}

function tcpText(b: Uint8Array, at: Layers): string {
  const { l4 } = at
  const flags = tcp.flags(b, l4)
  let letters = ''
  for (let i = 0; i < 8; i++) if (flags & (1 << i)) letters += TCP_FLAGS[i]
  const ack = flags & tcp.Flag.Ack ? ` ack ${tcp.ack(b, l4)}` : ''
  const mss = tcp.mss(b, l4)
  const options = mss === -1 ? '' : ` mss ${mss}`
  return `TCP [${letters}] seq ${tcp.seq(b, l4)}${ack} win ${tcp.window(b, l4)}${options} length ${at.end - at.payload}`
}

function icmpText(b: Uint8Array, o: number): string {
  const code = icmp.code(b, o)
  switch (icmp.type(b, o)) {
    case icmp.Type.Echo:
      return `echo request id ${icmp.id(b, o)} seq ${icmp.seq(b, o)}`
    case icmp.Type.EchoReply:
      return `echo reply id ${icmp.id(b, o)} seq ${icmp.seq(b, o)}`
    case icmp.Type.Unreachable:
      if (code === icmp.Unreachable.FragmentationNeeded) return `fragmentation needed, mtu ${icmp.mtu(b, o)}`
      return `unreachable (code ${code})`
    case icmp.Type.Redirect:
      return `redirect to ${formatIpv4(u32(b, o + 4))}`
    case icmp.Type.TimeExceeded:
      return `time exceeded (code ${code})`
    default:
      return `type ${icmp.type(b, o)} code ${code}`
  }
}

function icmpv6Text(b: Uint8Array, o: number, end: number): string {
  const type = icmpv6.type(b, o)
  switch (type) {
    case icmpv6.Type.Echo:
      return `echo request id ${icmpv6.id(b, o)} seq ${icmpv6.seq(b, o)}`
    case icmpv6.Type.EchoReply:
      return `echo reply id ${icmpv6.id(b, o)} seq ${icmpv6.seq(b, o)}`
    case icmpv6.Type.Unreachable:
      return `unreachable (code ${icmpv6.code(b, o)})`
    case icmpv6.Type.PacketTooBig:
      return `packet too big, mtu ${icmpv6.mtu(b, o)}`
    case icmpv6.Type.TimeExceeded:
      return `time exceeded (code ${icmpv6.code(b, o)})`
    case icmpv6.Type.RouterSolicitation:
      return 'router solicitation'
    case icmpv6.Type.RouterAdvertisement:
      return 'router advertisement'
    case icmpv6.Type.NeighborSolicitation:
    case icmpv6.Type.NeighborAdvertisement: {
      const ask = type === icmpv6.Type.NeighborSolicitation
      const name = ask ? 'neighbor solicitation, who-has' : 'neighbor advertisement,'
      if (!icmpv6.checkNd(b, o, end)) return `${name} (malformed)`
      const target = formatIpv6(b, o + icmpv6.TARGET)
      if (ask) return `${name} ${target}`
      const link = icmpv6.option(b, o, end, icmpv6.Option.TargetLinkLayer)
      const flags = ['router', 'solicited', 'override'].filter((_, i) => icmpv6.naFlags(b, o) & (0x80 >> i))
      const where = link === -1 ? '' : ` is-at ${formatMac(b, link + 2)}`
      return `${name} ${target}${where}${flags.length ? ` (${flags.join(', ')})` : ''}`
    }
    default:
      return `type ${type} code ${icmpv6.code(b, o)}`
  }
}

const PROTOCOLS: Readonly<Record<number, string>> = {
  [ipv4.Protocol.Icmp]: 'ICMP',
  [ipv4.Protocol.Igmp]: 'IGMP',
  [ipv4.Protocol.IpIp]: 'IPIP',
  [ipv4.Protocol.Tcp]: 'TCP',
  [ipv4.Protocol.Udp]: 'UDP',
  [ipv4.Protocol.Ipv6]: 'IPv6',
  [ipv4.Protocol.Gre]: 'GRE',
  [ipv4.Protocol.Esp]: 'ESP',
  [ipv4.Protocol.Ah]: 'AH',
  [ipv4.Protocol.Icmpv6]: 'ICMPv6',
  [ipv4.Protocol.NoNext]: 'no next header',
}
