import { ago, type FdbEntry, type Frame, type FramePool, type FrameTrace, listText } from '@l2l3/switch-core'
import { eth, formatIpv4, formatIpv6, formatMac, ipv4, ipv6, u16, u32 } from '@l2l3/switch-core/wire'

/*
 * What tunnels say of a frame that is followed (`trace.ts` of switch-core): which far end it goes to and how that was found, what stands
 * around it now, out of which tunnel it came. It is asked only while somebody traces.
 */

const VTEP = 'vtep'
const TUNNEL = 'tunnel'

function say(pool: FramePool, f: Frame, by: string, why: string): void {
  if (pool.trace?.follows(f)) pool.trace.note(f, by, why)
}

/** Any sentence of a VTEP. */
export function vtepSays(pool: FramePool, f: Frame, why: string): void {
  say(pool, f, VTEP, why)
}

/** Any sentence of another tunnel. */
export function tunnelSays(pool: FramePool, f: Frame, why: string): void {
  say(pool, f, TUNNEL, why)
}

/** That a destination is in the table of a network.
 * @param late milliseconds for which the table has not been told the time */
export function farEndKnown(
  pool: FramePool,
  f: Frame,
  vni: number | 'any',
  entry: FdbEntry | null,
  late: number,
  name: string,
): void {
  if (entry === null || !pool.trace?.follows(f)) return
  const how = entry.kind === 'static' ? 'static' : `learnt, last heard ${ago(entry.age + late)}`
  say(pool, f, VTEP, `FDB hit in network ${vni}: ${entry.mac} behind ${name}, ${how}`)
}

/** That a frame goes to the flood list, why, and who is on it. */
export function replicated(pool: FramePool, f: Frame, vni: number | 'any', list: readonly string[]): void {
  if (!pool.trace?.follows(f)) return
  const mac = formatMac(pool.bytes, pool.off[f] as number)
  const group = eth.isGroup(pool.bytes, pool.off[f] as number)
  const why = mac === 'ff:ff:ff:ff:ff:ff' ? 'broadcast' : group ? `group ${mac}` : `${mac} is not in the FDB`
  const where = list.length === 0 ? 'nobody is on the flood list' : `to the flood list: ${listText(list)}`
  say(pool, f, VTEP, `${why}: ${where} (network ${vni})`)
}

/** That a frame goes by its destination's prefix, and what was written. */
export function byPrefix(
  pool: FramePool,
  f: Frame,
  prefix: string | null,
  name: string,
  mac: Uint8Array | null,
  srcMac: Uint8Array | null,
  ttl: number,
): void {
  if (!pool.trace?.follows(f)) return
  const written = [
    mac === null ? '' : `, destination MAC becomes ${formatMac(mac)}`,
    srcMac === null ? '' : `, source MAC ${formatMac(srcMac)}`,
    ttl === 0 ? '' : `, TTL ${ttl} -> ${ttl - 1}`,
  ]
  say(pool, f, VTEP, `prefix ${prefix} is behind ${name}${written.join('')}`)
}

/** What was learnt of an inner source. */
export function learnt(
  pool: FramePool,
  f: Frame,
  before: FdbEntry | null,
  after: FdbEntry | null,
  nameOf: (n: number) => string,
): void {
  if (!pool.trace?.follows(f)) return
  const mac = formatMac(pool.bytes, (pool.off[f] as number) + eth.SRC)
  if (after === null) say(pool, f, VTEP, `${mac} is not learnt: there is no room`)
  else if (before === null) say(pool, f, VTEP, `${mac} is learnt behind ${nameOf(after.port)}`)
  else if (before.port !== after.port) {
    say(
      pool,
      f,
      VTEP,
      `${mac} moves to ${nameOf(after.port)}; it was heard behind ${nameOf(before.port)} ${ago(before.age)}`,
    )
  }
}

/** What stands around a frame now: `name` is "VXLAN, VNI 4096". */
export function wrapped(pool: FramePool, f: Frame, by: 'vtep' | 'tunnel', name: string): void {
  if (pool.trace?.follows(f)) say(pool, f, by, `${name}: ${ends(pool, f)}`)
}

/** The outer addresses, and UDP ports, of a wrapped frame. */
function ends(pool: FramePool, f: Frame): string {
  const b = pool.bytes
  const l3 = (pool.off[f] as number) + eth.HLEN
  const end = l3 - eth.HLEN + (pool.len[f] as number)
  const v6 = (b[l3] as number) >>> 4 === 6
  const [src, dst] = v6
    ? [formatIpv6(b, l3 + ipv6.SRC), formatIpv6(b, l3 + ipv6.DST)]
    : [formatIpv4(u32(b, l3 + ipv4.SRC)), formatIpv4(u32(b, l3 + ipv4.DST))]
  const protocol = v6 ? (b[l3 + ipv6.NEXT_HEADER] as number) : ipv4.protocol(b, l3)
  const l4 = l3 + (v6 ? ipv6.HLEN : ipv4.headerLength(b, l3))
  if (protocol !== ipv4.Protocol.Udp || end - l4 < 8) return `outer ${src} > ${dst}`
  const [from, to] = v6 ? [`[${src}]`, `[${dst}]`] : [src, dst]
  return `outer ${from}:${u16(b, l4)} > ${to}:${u16(b, l4 + 2)}`
}

/** That the far end's address stands in the place of a next hop's MAC. */
export function nextHop(pool: FramePool, f: Frame): void {
  if (!pool.trace?.follows(f)) return
  const far = u32(pool.bytes, (pool.off[f] as number) + 2)
  const what = far === 0 ? 'the next hop tells no IPv4 address' : `the far end is the next hop, ${formatIpv4(far)}`
  say(pool, f, TUNNEL, `no MAC is needed: ${what}`)
}

/** That a frame came out of a tunnel: `name` is "VXLAN, VNI 4096". */
export function unwrapped(pool: FramePool, f: Frame, by: 'vtep' | 'tunnel', name: string, from: string): void {
  say(pool, f, by, `${name}, from ${from}: outer headers taken off`)
}

/** That a packet in a tunnel is of a network that nobody has here. */
export function unknownVni(pool: FramePool, f: Frame): void {
  if (!pool.trace?.follows(f)) return
  const b = pool.bytes
  const l3 = (pool.off[f] as number) + eth.HLEN
  const udp = l3 + ((b[l3] as number) >>> 4 === 6 ? ipv6.HLEN : ipv4.headerLength(b, l3))
  say(pool, f, VTEP, `there is no network ${u32(b, udp + 12) >>> 8} here`)
}

/** That a frame does not fit into a tunnel, and what becomes of it. */
export function tooLong(pool: FramePool, f: Frame, by: 'vtep' | 'tunnel', fits: number, fate: string): void {
  say(pool, f, by, `${fits} bytes fit into the tunnel, and the packet is longer: ${fate}`)
}

/** That an ICMP error tells how much a path takes. */
export function lowered(pool: FramePool, f: Frame, by: 'vtep' | 'tunnel', mtu: number): void {
  say(pool, f, by, `ICMP error about a packet of the tunnel: its path takes ${mtu} bytes`)
}

/** The answer to a sender whose packet is too long. */
export function tooBig(pool: FramePool, f: Frame, g: Frame, mtu: number): void {
  pool.trace?.derived(f, g, TUNNEL, `ICMP error, "too big": at most ${mtu} bytes fit into the tunnel`)
}

/** A frame that was in the same datagram as another. */
export function item(trace: FrameTrace, f: Frame, g: Frame): void {
  if (trace.follows(f)) trace.derived(f, g, TUNNEL, 'a frame of its own, out of the datagram')
}
