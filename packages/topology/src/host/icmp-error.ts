import { icmp, icmpv6, ipv4, ipv6, u16, u32 } from '@l2l3/switch-core/wire'

/*
 * Errors about what this host has sent: echo requests, datagrams, and TCP segments that did not fit.
 *
 *     | ICMP: type, code, ... | the packet it is about: IP header | echo request: id, sequence | ...
 *     | ICMP: .., MTU         |                                   | TCP, UDP: ports            | ...
 */

/** What an ICMP error says of a packet. */
export interface PacketError {
  /** What the packet was: an echo request, UDP or TCP. */
  readonly of: 'echo' | 'udp' | 'tcp'
  /** Of an echo request `id << 16 | sequence`, of others `source port << 16 | destination port`. */
  readonly rest: number
  /** e.g. "time exceeded" */
  readonly what: string
  /** Whether it was the time to live that ran out. */
  readonly timeExceeded: boolean
  /** The longest packet that would have fit, where it was too big; else null. */
  readonly mtu: number | null
}

const UNREACHABLE4: Readonly<Record<number, string>> = {
  [icmp.Unreachable.Net]: 'network unreachable',
  [icmp.Unreachable.Host]: 'host unreachable',
  [icmp.Unreachable.Protocol]: 'protocol unreachable',
  [icmp.Unreachable.Port]: 'port unreachable',
  [icmp.Unreachable.FragmentationNeeded]: 'fragmentation needed',
  [icmp.Unreachable.Prohibited]: 'prohibited',
}

/** RFC 4443, 3.1. */
const UNREACHABLE6: Readonly<Record<number, string>> = {
  0: 'no route to the destination',
  1: 'prohibited',
  3: 'address unreachable',
  4: 'port unreachable',
}

/** Reads the ICMP message `[at, end)` of a frame; null where it is no error about a packet of a kind that hosts send. */
export function packetError4(b: Uint8Array, at: number, end: number): PacketError | null {
  const type = icmp.type(b, at)
  const code = icmp.code(b, at)
  const timeExceeded = type === icmp.Type.TimeExceeded
  if (!timeExceeded && type !== icmp.Type.Unreachable) return null
  const ip = at + icmp.HLEN
  if (end - ip < ipv4.HLEN) return null
  const about = packet(ipv4.protocol(b, ip), icmp.Type.Echo, b, ip + ipv4.headerLength(b, ip), end)
  if (about === null) return null
  const what = timeExceeded ? 'time exceeded' : (UNREACHABLE4[code] ?? 'unreachable')
  const tooBig = !timeExceeded && code === icmp.Unreachable.FragmentationNeeded
  return { ...about, what, timeExceeded, mtu: tooBig ? icmp.mtu(b, at) : null }
}

/** The same for ICMPv6. */
export function packetError6(b: Uint8Array, at: number, end: number): PacketError | null {
  const type = icmpv6.type(b, at)
  const timeExceeded = type === icmpv6.Type.TimeExceeded
  const tooBig = type === icmpv6.Type.PacketTooBig
  if (!timeExceeded && !tooBig && type !== icmpv6.Type.Unreachable) return null
  const ip = at + icmpv6.HLEN
  if (end - ip < ipv6.HLEN) return null
  const about = packet(u16(b, ip + ipv6.NEXT_HEADER) >>> 8, icmpv6.Type.Echo, b, ip + ipv6.HLEN, end)
  if (about === null) return null
  const unreachable = UNREACHABLE6[icmpv6.code(b, at)] ?? 'unreachable'
  const what = timeExceeded ? 'time exceeded' : tooBig ? 'packet too big' : unreachable
  return { ...about, what, timeExceeded, mtu: tooBig ? icmpv6.mtu(b, at) : null }
}

/** What the packet was, by the 8 bytes of it at `l4` that an error has at least. */
function packet(
  protocol: number,
  echo: number,
  b: Uint8Array,
  l4: number,
  end: number,
): Pick<PacketError, 'of' | 'rest'> | null {
  if (end - l4 < 8) return null
  switch (protocol) {
    case ipv4.Protocol.Icmp:
    case ipv4.Protocol.Icmpv6:
      return icmp.type(b, l4) === echo ? { of: 'echo', rest: u32(b, l4 + icmp.ID) } : null
    case ipv4.Protocol.Udp:
      return { of: 'udp', rest: u32(b, l4) }
    case ipv4.Protocol.Tcp:
      return { of: 'tcp', rest: u32(b, l4) }
    default:
      return null
  }
}
