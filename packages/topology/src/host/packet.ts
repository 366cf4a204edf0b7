import { arp, eth, icmp, icmpv6, ipv4, ipv6, tcp, u32, udp } from '@l2l3/switch-core/wire'

/* Whole frames, written into arrays of their own: what hosts in memory send. */

/** Where an IP packet comes from and goes to. Addresses are 4 or 16 bytes, both the same. */
export interface Ends {
  readonly srcMac: Uint8Array
  readonly dstMac: Uint8Array
  readonly src: Uint8Array
  readonly dst: Uint8Array
}

/** The precedence that ICMP errors have in IPv4 (RFC 1812 4.3.2.5), from hosts, too. */
const INTERNETWORK_CONTROL = 0xc0

/** The all-nodes group, ff02::1. */
export const ALL_NODES: Uint8Array = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)

/** The solicited-node group of an address (RFC 4291 2.7.1): ff02::1:ffXX:XXXX. */
export function solicitedNode(address: Uint8Array): Uint8Array {
  const group = Uint8Array.from(ALL_NODES)
  group[11] = 1
  group[12] = 0xff
  group.set(address.subarray(13), 13)
  return group
}

/** The MAC address of an IPv6 group (RFC 2464 7): 33:33 and its last four bytes. */
export function groupMac(group: Uint8Array): Uint8Array {
  return Uint8Array.of(0x33, 0x33, ...group.subarray(12))
}

/** An ARP packet in a frame. `tha` null asks for it. */
export function arpFrame(
  op: number,
  sha: Uint8Array,
  spa: Uint8Array,
  tha: Uint8Array | null,
  tpa: Uint8Array,
): Uint8Array {
  const frame = new Uint8Array(eth.HLEN + arp.LENGTH)
  const at = eth.write(frame, 0, tha ?? eth.BROADCAST, sha, eth.EtherType.Arp)
  arp.write(frame, at, op, sha, u32(spa, 0), tha, u32(tpa, 0))
  return frame
}

/** An IP packet in a frame; `fill` writes its `length` payload bytes at `at` and knows where the IP header is. */
function ipFrame(
  ends: Ends,
  protocol: number,
  length: number,
  hops: number,
  fill: (frame: Uint8Array, at: number, ip: number) => void,
  { flags = ipv4.Flag.DontFragment, tos = 0 }: { readonly flags?: number; readonly tos?: number } = {},
): Uint8Array {
  const v6 = ends.dst.length === 16
  const frame = new Uint8Array(eth.HLEN + (v6 ? ipv6.HLEN : ipv4.HLEN) + length)
  const ip = eth.write(frame, 0, ends.dstMac, ends.srcMac, v6 ? eth.EtherType.IPv6 : eth.EtherType.IPv4)
  const { src, dst } = ends
  const at = v6
    ? ipv6.write(frame, ip, { src, dst, nextHeader: protocol, payload: length, hopLimit: hops })
    : ipv4.write(frame, ip, {
        src: u32(src, 0),
        dst: u32(dst, 0),
        protocol,
        payload: length,
        ttl: hops,
        flags,
        tos,
      })
  fill(frame, at, ip)
  return frame
}

/** A neighbour solicitation (RFC 4861 4.3). */
export function nsFrame(ends: Ends, target: Uint8Array): Uint8Array {
  return ipFrame(ends, ipv4.Protocol.Icmpv6, 32, 255, (b, at, ip) => {
    icmpv6.fillChecksum(b, ip, at, icmpv6.writeNs(b, at, target, ends.srcMac))
  })
}

/** A neighbour advertisement (RFC 4861 4.4). */
export function naFrame(ends: Ends, target: Uint8Array, flags: number): Uint8Array {
  return ipFrame(ends, ipv4.Protocol.Icmpv6, 32, 255, (b, at, ip) => {
    icmpv6.fillChecksum(b, ip, at, icmpv6.writeNa(b, at, target, ends.srcMac, flags))
  })
}

/** An echo request or reply, ICMP or ICMPv6 by the length of the addresses. `rest` is `id << 16 | seq`,
 * `hops` the time to live. As kernels have it, replies may be fragmented, and so may traceroute's requests; those of ping
 * may not. */
export function echoFrame(
  ends: Ends,
  kind: 'ping' | 'probe' | 'reply',
  rest: number,
  data: Uint8Array,
  hops = 64,
): Uint8Array {
  const length = icmp.HLEN + data.length
  const reply = kind === 'reply'
  if (ends.dst.length === 16) {
    return ipFrame(ends, ipv4.Protocol.Icmpv6, length, hops, (b, at, ip) => {
      const type = reply ? icmpv6.Type.EchoReply : icmpv6.Type.Echo
      b.set(data, icmpv6.write(b, at, type, 0, rest))
      icmpv6.fillChecksum(b, ip, at, at + length)
    })
  }
  const fill = (b: Uint8Array, at: number): void => {
    b.set(data, icmp.write(b, at, reply ? icmp.Type.EchoReply : icmp.Type.Echo, 0, rest))
    icmp.fillChecksum(b, at, at + length)
  }
  return ipFrame(ends, ipv4.Protocol.Icmp, length, hops, fill, kind === 'ping' ? {} : { flags: 0 })
}

/** An ICMP error, port unreachable, about a packet whose IP header is at `ip` of `b` (RFC 792, RFC 4443 3.1): with as much of
 * it as fits into 576 bytes, or 1280. */
export function portUnreachableFrame(ends: Ends, b: Uint8Array, ip: number, end: number): Uint8Array {
  const v6 = ends.dst.length === 16
  const most = v6 ? 1280 - ipv6.HLEN - icmpv6.HLEN : 576 - ipv4.HLEN - icmp.HLEN
  const about = b.slice(ip, Math.min(end, ip + most))
  const length = icmp.HLEN + about.length
  const fill = (frame: Uint8Array, at: number, outer: number): void => {
    if (v6) {
      frame.set(about, icmpv6.write(frame, at, icmpv6.Type.Unreachable, 4))
      icmpv6.fillChecksum(frame, outer, at, at + length)
    } else {
      frame.set(about, icmp.write(frame, at, icmp.Type.Unreachable, icmp.Unreachable.Port))
      icmp.fillChecksum(frame, at, at + length)
    }
  }
  const how = { flags: 0, tos: INTERNETWORK_CONTROL }
  return ipFrame(ends, v6 ? ipv4.Protocol.Icmpv6 : ipv4.Protocol.Icmp, length, 64, fill, how)
}

/** A UDP datagram. */
export function udpFrame(ends: Ends, from: number, to: number, data: Uint8Array): Uint8Array {
  return ipFrame(ends, ipv4.Protocol.Udp, udp.HLEN + data.length, 64, (b, at, ip) => {
    b.set(data, udp.write(b, at, from, to, data.length))
    udp.fillChecksum(b, ip, at)
  })
}

/** A TCP segment of `length` data bytes, which `fill` writes. */
export function tcpFrame(
  ends: Ends,
  fields: tcp.TcpFields,
  length: number,
  fill: (frame: Uint8Array, at: number) => void,
): Uint8Array {
  const header = tcp.HLEN + (fields.options?.length ?? 0)
  return ipFrame(ends, ipv4.Protocol.Tcp, header + length, 64, (b, at, ip) => {
    fill(b, tcp.write(b, at, fields))
    tcp.fillChecksum(b, ip, at, at + header + length)
  })
}
