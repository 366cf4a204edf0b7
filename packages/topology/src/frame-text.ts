import {
  arp,
  eth,
  formatIpv4,
  formatIpv6,
  formatMac,
  icmp,
  icmpv6,
  ipv4,
  ipv6,
  tcp,
  u16,
  udp,
} from '@l2l3/switch-core/wire'

/* A frame in words, and its bytes as people read them. */

/** Says what a frame is: `ARP: who has 10.0.0.2? tell 10.0.0.1`. Never throws, whatever the bytes. */
export function frameText(b: Uint8Array): string {
  const end = b.length
  if (!eth.fits(0, end)) return `${end} bytes, too short for an Ethernet header`
  let type = eth.type(b, 0)
  let at: number = eth.HLEN
  let tags = ''
  while ((type === eth.EtherType.Vlan || type === eth.EtherType.ServiceVlan) && at + 4 <= end) {
    tags += `VLAN ${u16(b, at) & 0xfff}, `
    type = u16(b, at + 2)
    at += 4
  }
  return `${tags}${payloadText(b, type, at, end)}`
}

function payloadText(b: Uint8Array, type: number, at: number, end: number): string {
  if (type === eth.EtherType.Arp && arp.check(b, at, end)) {
    const [asked, asking] = [formatIpv4(arp.tpa(b, at)), formatIpv4(arp.spa(b, at))]
    if (arp.op(b, at) === arp.Op.Request) return `ARP: who has ${asked}? tell ${asking}`
    return `ARP: ${asking} is at ${formatMac(b, at + arp.SHA)}`
  }
  if (type === eth.EtherType.IPv4) {
    const payload = ipv4.check(b, at, end)
    if (payload >= 0) {
      const ends = `IPv4 ${formatIpv4(ipv4.src(b, at))} -> ${formatIpv4(ipv4.dst(b, at))}`
      return `${ends}, ${upperText(b, ipv4.protocol(b, at), payload, at + ipv4.totalLength(b, at))}`
    }
  }
  if (type === eth.EtherType.IPv6 && ipv6.check(b, at, end) >= 0) {
    const upper = new ipv6.Upper()
    const packetEnd = at + ipv6.HLEN + ipv6.payloadLength(b, at)
    if (ipv6.upper(b, at, packetEnd, upper)) {
      const ends = `IPv6 ${formatIpv6(b, at + ipv6.SRC)} -> ${formatIpv6(b, at + ipv6.DST)}`
      return `${ends}, ${upperText(b, upper.protocol, upper.offset, packetEnd)}`
    }
  }
  return `type 0x${type.toString(16).padStart(4, '0')}`
}

const ICMP_TYPES: Readonly<Record<number, string>> = {
  [icmp.Type.Echo]: 'echo request',
  [icmp.Type.EchoReply]: 'echo reply',
}
const ICMPV6_TYPES: Readonly<Record<number, string>> = {
  [icmpv6.Type.Echo]: 'echo request',
  [icmpv6.Type.EchoReply]: 'echo reply',
  [icmpv6.Type.NeighborSolicitation]: 'neighbour solicitation',
  [icmpv6.Type.NeighborAdvertisement]: 'neighbour advertisement',
  [icmpv6.Type.RouterSolicitation]: 'router solicitation',
}

function upperText(b: Uint8Array, protocol: number, at: number, end: number): string {
  if (protocol === ipv4.Protocol.Icmp && icmp.check(b, at, end)) {
    return `ICMP ${ICMP_TYPES[icmp.type(b, at)] ?? `type ${icmp.type(b, at)}`}`
  }
  if (protocol === ipv4.Protocol.Icmpv6 && icmpv6.check(b, at, end)) {
    return `ICMPv6 ${ICMPV6_TYPES[icmpv6.type(b, at)] ?? `type ${icmpv6.type(b, at)}`}`
  }
  if (protocol === ipv4.Protocol.Tcp && tcp.check(b, at, end) >= 0) {
    return `TCP ${tcp.srcPort(b, at)} -> ${tcp.dstPort(b, at)}`
  }
  if (protocol === ipv4.Protocol.Udp && udp.check(b, at, end) >= 0) {
    return `UDP ${udp.srcPort(b, at)} -> ${udp.dstPort(b, at)}`
  }
  return `protocol ${protocol}`
}

/** Writes bytes in rows of sixteen, with offsets: `0000  ff ff ...`. At most `rows` rows, then how many bytes are
 * left. */
export function hexDump(b: Uint8Array, rows = 8): string[] {
  const lines: string[] = []
  for (let at = 0; at < b.length && lines.length < rows; at += 16) {
    const row = Array.from(b.subarray(at, at + 16), (byte) => byte.toString(16).padStart(2, '0'))
    lines.push(`${at.toString(16).padStart(4, '0')}  ${row.slice(0, 8).join(' ')}  ${row.slice(8).join(' ')}`.trimEnd())
  }
  if (b.length > rows * 16) lines.push(`... ${b.length - rows * 16} bytes more`)
  return lines
}
