import { icmp, icmpv6, ipv4, ipv6, u16, u32 } from '@l2l3/switch-core/wire'

/*
 * Errors about what this host has sent: echo requests, and TCP segments that did not fit.
 *
 *     | ICMP: type, code, ... | the packet it is about: IP header | echo request: id, sequence | ...
 *     | ICMP: .., MTU         |                                   | TCP: ports, sequence       | ...
 */

/** What an ICMP error says of an echo request. */
export interface EchoError {
  /** `id << 16 | sequence` of the request. */
  readonly rest: number
  /** e.g. "time exceeded" */
  readonly what: string
  /** Whether it was the time to live that ran out. */
  readonly timeExceeded: boolean
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

/** Reads the ICMP message `[at, end)` of a frame; null where it is no error about an echo request. */
export function echoError4(b: Uint8Array, at: number, end: number): EchoError | null {
  const type = icmp.type(b, at)
  const timeExceeded = type === icmp.Type.TimeExceeded
  if (!timeExceeded && type !== icmp.Type.Unreachable) return null
  const ip = at + icmp.HLEN
  if (end - ip < ipv4.HLEN || ipv4.protocol(b, ip) !== ipv4.Protocol.Icmp) return null
  const echo = ip + ipv4.headerLength(b, ip)
  if (end - echo < icmp.HLEN || icmp.type(b, echo) !== icmp.Type.Echo) return null
  const what = timeExceeded ? 'time exceeded' : (UNREACHABLE4[icmp.code(b, at)] ?? 'unreachable')
  return { rest: u32(b, echo + icmp.ID), what, timeExceeded }
}

/** The same for ICMPv6. */
export function echoError6(b: Uint8Array, at: number, end: number): EchoError | null {
  const type = icmpv6.type(b, at)
  const timeExceeded = type === icmpv6.Type.TimeExceeded
  const tooBig = type === icmpv6.Type.PacketTooBig
  if (!timeExceeded && !tooBig && type !== icmpv6.Type.Unreachable) return null
  const ip = at + icmpv6.HLEN
  const echo = ip + ipv6.HLEN
  if (end - echo < icmpv6.HLEN || u16(b, ip + ipv6.NEXT_HEADER) >>> 8 !== ipv4.Protocol.Icmpv6) return null
  if (icmpv6.type(b, echo) !== icmpv6.Type.Echo) return null
  const code = icmpv6.code(b, at)
  const what = timeExceeded ? 'time exceeded' : tooBig ? 'packet too big' : (UNREACHABLE6[code] ?? 'unreachable')
  return { rest: u32(b, echo + icmp.ID), what, timeExceeded }
}

/** What "too big" says of a TCP segment. */
export interface SegmentTooBig {
  /** The port that it was sent from. */
  readonly port: number
  /** The longest packet that would have fit. */
  readonly mtu: number
}

/** Reads the ICMP message `[at, end)`; null where it does not say that a segment was too big. */
export function tooBig4(b: Uint8Array, at: number, end: number): SegmentTooBig | null {
  if (u16(b, at) !== ((icmp.Type.Unreachable << 8) | icmp.Unreachable.FragmentationNeeded)) return null
  const ip = at + icmp.HLEN
  if (end - ip < ipv4.HLEN || ipv4.protocol(b, ip) !== ipv4.Protocol.Tcp) return null
  const l4 = ip + ipv4.headerLength(b, ip)
  return end - l4 < 8 ? null : { port: u16(b, l4), mtu: icmp.mtu(b, at) }
}

/** The same for ICMPv6. */
export function tooBig6(b: Uint8Array, at: number, end: number): SegmentTooBig | null {
  if (icmpv6.type(b, at) !== icmpv6.Type.PacketTooBig) return null
  const ip = at + icmpv6.HLEN
  const l4 = ip + ipv6.HLEN
  if (end - l4 < 8 || u16(b, ip + ipv6.NEXT_HEADER) >>> 8 !== ipv4.Protocol.Tcp) return null
  return { port: u16(b, l4), mtu: icmpv6.mtu(b, at) }
}
