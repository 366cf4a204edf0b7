import { Drop } from '../drop.ts'
import type { Frame, FramePool } from '../frame-pool.ts'
import { formatIpv4, formatIpv6 } from '../wire/address.ts'
import { u16 } from '../wire/bytes.ts'
import { formatMac, HLEN } from '../wire/ethernet.ts'
import { destinationIp, endpoint, etherType, protocolName, sourceIp } from '../words.ts'
import type { Fib } from './fib.ts'
import type { RouterInterface } from './interface.ts'
import type { Hop, Target } from './target.ts'

/*
 * What the router says of a packet that is followed (`trace.ts`). It is asked only while somebody traces.
 */

const BY = 'router'

function say(pool: FramePool, f: Frame, why: string): void {
  if (pool.trace?.follows(f)) pool.trace.note(f, BY, why)
}

function l3(pool: FramePool, f: Frame): number {
  return (pool.off[f] as number) + HLEN
}

function hopText(hop: Hop): string {
  const dev = `dev ${hop.iface.name}`
  if (hop.via6 !== null) return `via ${formatIpv6(hop.via6)} ${dev}`
  return hop.via4 === 0 ? dev : `via ${formatIpv4(hop.via4)} ${dev}`
}

/** The route of an address as `ip route` shows it: "route 10.0.0.0/8 via 192.0.2.1 dev uplink". */
function routeText(prefix: string | null, target: Target, hop: Hop | null): string {
  const name = prefix === '0.0.0.0/0' || prefix === '::/0' ? 'default route' : `route ${prefix ?? 'of the link'}`
  if (hop === null) return name
  const many = target.hops.length > 1 ? `, one of ${target.hops.length} next hops by the hash of the flow` : ''
  return `${name} ${hopText(hop)}${many}`
}

/** By which route an IPv4 packet is sent on; `dst` is the address that it is routed by, `ttl` what it came with, 0 for a packet of
 * the node's own. */
export function routed4(pool: FramePool, fib: Fib, f: Frame, dst: number, target: Target, hop: Hop, ttl: number): void {
  if (!pool.trace?.follows(f)) return
  const to = destinationIp(pool.bytes, l3(pool, f))
  const by = formatIpv4(dst)
  say(pool, f, `${routeText(fib.prefix4(dst), target, hop)}${instead(to, by)}${hops(ttl, 'TTL')}`)
}

/** The same for IPv6; `by` is null where it is routed by its destination. */
export function routed6(
  pool: FramePool,
  fib: Fib,
  f: Frame,
  by: Uint8Array | null,
  target: Target,
  hop: Hop,
  limit: number,
): void {
  if (!pool.trace?.follows(f)) return
  const at = l3(pool, f) + 24
  const prefix = by === null ? fib.prefix6(pool.bytes, at) : fib.prefix6(by, 0)
  const to = formatIpv6(pool.bytes, at)
  const text = routeText(prefix, target, hop)
  say(pool, f, `${text}${instead(to, by === null ? to : formatIpv6(by))}${hops(limit, 'hop limit')}`)
}

function instead(to: string, by: string): string {
  return to === by ? '' : `, routed as if it were to ${by}`
}

function hops(before: number, name: string): string {
  return before === 0 ? `, a packet of the node's own` : `, ${name} ${before} -> ${before - 1}`
}

/** That a packet is for the router itself, and whose address it is for. */
export function local(pool: FramePool, f: Frame, owner: RouterInterface | null): void {
  if (!pool.trace?.follows(f)) return
  const to = destinationIp(pool.bytes, l3(pool, f))
  say(pool, f, `${to} is an address of ${owner?.name ?? 'the router'}: for the router itself`)
}

/** That nobody in front has taken a packet for the router itself, which goes to its local link. */
export function handedOn(pool: FramePool, f: Frame, link: string): void {
  say(pool, f, `handed on to ${link === '' ? 'the node' : link}`)
}

/** The route that ends a packet, or that there is none. */
export function refused(pool: FramePool, f: Frame, prefix: string | null, target: Target | null): void {
  if (!pool.trace?.follows(f)) return
  const to = destinationIp(pool.bytes, l3(pool, f))
  if (target === null) say(pool, f, `no route leads to ${to}`)
  else {
    const what = target.prohibited
      ? 'prohibits it'
      : target.kind === 'blackhole'
        ? 'is a blackhole'
        : `is ${target.kind}`
    say(pool, f, `${to}: ${routeText(prefix, target, null)} ${what}`)
  }
}

/** That a packet does not fit. */
export function tooLong(pool: FramePool, f: Frame, total: number, hop: Hop, what: 'cut' | 'df' | 'v6'): void {
  const fate = { cut: 'cut into fragments', df: 'it must not be cut (DF)', v6: 'routers do not cut IPv6' }[what]
  say(pool, f, `${total} bytes are more than the MTU of ${hop.iface.name}, ${hop.iface.mtu}: ${fate}`)
}

/** That an echo request has become its answer. */
export function echo(pool: FramePool, f: Frame): void {
  if (!pool.trace?.follows(f)) return
  const at = l3(pool, f)
  say(
    pool,
    f,
    `echo request answered: the packet turns round, ${sourceIp(pool.bytes, at)} > ${destinationIp(pool.bytes, at)}`,
  )
}

/** That a packet leaves by an interface, and with which source MAC. */
export function leaves(pool: FramePool, f: Frame, iface: RouterInterface): void {
  if (!pool.trace?.follows(f)) return
  say(pool, f, `out by ${iface.name}: source MAC ${formatMac(iface.mac)}`)
}

/** What the reason alone does not tell of a frame that ends where it came in. */
export function ends(pool: FramePool, f: Frame, iface: RouterInterface, why: Drop): void {
  if (!pool.trace?.follows(f)) return
  const b = pool.bytes
  const o = pool.off[f] as number
  const at = o + HLEN
  const n = (pool.len[f] as number) - HLEN
  if (why === Drop.OtherHost) say(pool, f, `for ${formatMac(b, o)}, and ${iface.name} has ${formatMac(iface.mac)}`)
  else if (why === Drop.NotIp) say(pool, f, `${etherType(b, o)} is not routed`)
  if (n < (n > 0 && (b[at] as number) >>> 4 === 6 ? 40 : 20)) return
  const [from, to] = [sourceIp(b, at), destinationIp(b, at)]
  const hop = (b[at] as number) >>> 4 === 6 ? `hop limit ${b[at + 7]}` : `TTL ${b[at + 8]}`
  if (why === Drop.MartianSource) say(pool, f, `nobody speaks from ${from} to ${iface.name}`)
  else if (why === Drop.MartianDestination) say(pool, f, `nothing goes to ${to}`)
  else if (why === Drop.ReversePath) {
    say(pool, f, `${from} is not reached by ${iface.name} (reverse-path filter ${iface.reversePathFilter})`)
  } else if (why === Drop.TtlExceeded) say(pool, f, `${hop}: it may go no further`)
  else if (why === Drop.LinkScope) say(pool, f, `${from} > ${to}: a link-local address stays on its link`)
  else if (why === Drop.LinkBroadcast) say(pool, f, `for ${to} alone, and it came to all on the link`)
  else if (why === Drop.DirectedBroadcast) say(pool, f, `${to} is the broadcast address of another network`)
  else if (why === Drop.GroupDestination) say(pool, f, `${to} is a group or all on the link, and nobody here is in it`)
  else if (why === Drop.NoListener) say(pool, f, `nobody here takes ${listener(b, at, n)}`)
  else if (why === Drop.Fragment) say(pool, f, `a fragment for ${to}`)
}

/** What was spoken to in vain: "UDP to 10.0.0.1:53". */
function listener(b: Uint8Array, at: number, n: number): string {
  const v6 = (b[at] as number) >>> 4 === 6
  const protocol = v6 ? (b[at + 6] as number) : (b[at + 9] as number)
  const l4 = at + (v6 ? 40 : ((b[at] as number) & 15) << 2)
  const to = destinationIp(b, at)
  const name = protocolName(protocol)
  if ((protocol !== 6 && protocol !== 17) || l4 + 4 > at + n) return `${name} to ${to}`
  return `${name} to ${endpoint(to, u16(b, l4 + 2))}`
}

const ICMP4: Readonly<Record<string, string>> = {
  ...{
    '3/0': 'network unreachable',
    '3/1': 'host unreachable',
    '3/2': 'protocol unreachable',
    '3/3': 'port unreachable',
  },
  ...{
    '3/4': 'fragmentation needed',
    '3/13': 'communication prohibited',
    '11/0': 'time exceeded',
    '12/0': 'parameter problem',
  },
}
const ICMP6: Readonly<Record<string, string>> = {
  ...{ '1/0': 'no route', '1/1': 'communication prohibited', '1/2': 'beyond scope of source address' },
  ...{ '1/3': 'address unreachable', '1/4': 'port unreachable', '2/0': 'packet too big', '3/0': 'hop limit exceeded' },
}

/** The ICMP error that was made of a packet. */
export function complained(pool: FramePool, f: Frame, g: Frame, type: number, code: number, rest: number): void {
  const { trace } = pool
  if (trace === null || !trace.follows(f)) return
  const at = l3(pool, g)
  const v6 = (pool.bytes[at] as number) >>> 4 === 6
  const name = (v6 ? ICMP6 : ICMP4)[`${type}/${code}`] ?? `type ${type}, code ${code}`
  const mtu = (v6 ? type === 2 : type === 3 && code === 4) ? `, MTU ${rest}` : ''
  const who = `${sourceIp(pool.bytes, at)} tells ${destinationIp(pool.bytes, at)}`
  trace.derived(f, g, BY, `ICMP${v6 ? 'v6' : ''} error: ${who} "${name}"${mtu}`)
}

/** That no error is sent. */
export function silent(pool: FramePool, f: Frame): void {
  say(pool, f, 'no ICMP error: the limit of errors a second is reached')
}

/** That a frame has become the first of `count` fragments. */
export function firstPiece(pool: FramePool, f: Frame, count: number, mtu: number): void {
  if (count > 1 && pool.trace?.follows(f)) {
    pool.trace.note(f, 'fragmentation', `cut into ${count} fragments for an MTU of ${mtu}: this is the first`)
  }
}

/** That `g` is the `i`-th fragment of `f`, from 1. */
export function piece(pool: FramePool, f: Frame, g: Frame, i: number, count: number): void {
  if (pool.trace?.follows(f)) pool.trace.derived(f, g, 'fragmentation', `fragment ${i} of ${count}`)
}
