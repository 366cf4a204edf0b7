import type { Clock, FramePool } from '@l2l3/switch-core'
import { type GreOptions, GreShim } from './gre-shim.ts'
import { IpTunnel, type IpTunnelOptions } from './ip-tunnel.ts'
import { NoShim } from './ip-tunnel-shim.ts'
import { SttShim } from './stt-shim.ts'

/*
 * The kinds of plainer tunnels, each with the name that it has in Linux.
 *
 *     kind      underlay IPv4                     underlay IPv6
 *     ipip      IPv4 in IPv4, protocol 4          IPv4 in IPv6, 4in6 (ip6tnl ipip6)
 *     sit       IPv6 in IPv4, 6in4, protocol 41   IPv6 in IPv6 (ip6tnl ip6ip6)
 *     any       both
 *     gre       packets, 0x0800 and 0x86dd; protocol 47
 *     gretap    frames, 0x6558 (ip6gretap)
 *     stt       frames; protocol 6
 */

/** What an IP-in-IP tunnel carries: IPv4, IPv6, or both. */
export type IpIpKind = 'ipip' | 'sit' | 'any'

/** Makes a tunnel for IP packets in IP (RFC 2003, RFC 4213, RFC 2473). Throws for settings that make no sense.
 * @example
 * const into = loop.link({ process: (batch) => tunl0.process(batch) })
 * const tunnel = ipipTunnel(pool, clock, { local: '192.168.77.1', remote: 'next-hop', mac, out: underlay, into })
 * const tunl0 = router.addInterface({ name: 'tunl0', mac, mtu: tunnel.mtu, out: loop.link(tunnel), neighbours: tunnel.neighbours })
 */
export function ipipTunnel(pool: FramePool, clock: Clock, options: IpTunnelOptions, kind: IpIpKind = 'ipip'): IpTunnel {
  if (!['ipip', 'sit', 'any'].includes(kind)) throw new RangeError(`kind must be ipip, sit or any, not ${String(kind)}`)
  return new IpTunnel(pool, clock, new NoShim(kind === 'any' ? 'ip' : kind, kind !== 'sit', kind !== 'ipip'), options)
}

/** Makes a tunnel for IP packets in GRE (RFC 2784, RFC 2890). */
export function greTunnel(pool: FramePool, clock: Clock, options: IpTunnelOptions & GreOptions): IpTunnel {
  return new IpTunnel(pool, clock, new GreShim(pool, false, options), options)
}

/** Makes a tunnel for Ethernet frames in GRE: Linux' gretap and ip6gretap. */
export function gretapTunnel(pool: FramePool, clock: Clock, options: IpTunnelOptions & GreOptions): IpTunnel {
  return new IpTunnel(pool, clock, new GreShim(pool, true, options), options)
}

/** A tunnel of STT. */
export interface SttOptions {
  /** The context id of what is sent: 64 bits. */
  context: bigint
  /** That of what is taken, where it is another, as of two logical ports of OVN (`stt.ovnContext`). Default: `context`. */
  expectedContext?: bigint
}

/** Makes a tunnel for Ethernet frames in STT: what it is and is not, see `stt.ts`. */
export function sttTunnel(pool: FramePool, clock: Clock, options: IpTunnelOptions & SttOptions): IpTunnel {
  const { context, expectedContext = context } = options
  return new IpTunnel(pool, clock, new SttShim(pool, context, expectedContext), { profile: 'ovs', ...options })
}
