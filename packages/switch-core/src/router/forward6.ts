import { Drop } from '../drop.ts'
import { type Frame, NO_FRAME } from '../frame-pool.ts'
import { equal, put16, put32, u32 } from '../wire/bytes.ts'
import { HLEN as ETH } from '../wire/ethernet.ts'
import * as icmpv6 from '../wire/icmpv6.ts'
import { Protocol } from '../wire/ipv4.ts'
import * as ipv6 from '../wire/ipv6.ts'
import { flowHash6 } from './ecmp.ts'
import * as explain from './explain.ts'
import { isLinkLocal } from './fib.ts'
import { Headers6, Walk } from './headers6.ts'
import { type IcmpErrors, unspecified } from './icmp-errors.ts'
import type { RouterInterface } from './interface.ts'
import { DEFAULT_TTL, type Plane } from './plane.ts'
import { segmentLength } from './super-frame.ts'
import type { Hop, Target } from './target.ts'

/*
 * An IPv6 packet on its way through the router (RFC 8200; RFC 4291; RFC 4443). As for IPv4, but:
 *
 *   - there is no header checksum, and no fragment is made: too long is always ICMPv6 "packet too big", with an MTU
 *     of at least 1,280;
 *   - link-local addresses stay on their link: to one of ours it is ours, to another it ends here, and a packet from
 *     one to somewhere else is answered with "beyond scope of source address";
 *   - extension headers are looked at only in packets for the router itself, see `headers6`;
 *   - the address of all routers on a link is ours too, but nothing comes from there (RFC 4291, 2.6.1).
 */

const NEEDS_CSUM = 1
const MIN_MTU = 1280
/** What RFC 4443, 3.1 calls these. */
const Unreachable = { NoRoute: 0, Prohibited: 1, BeyondScope: 2, Address: 3, Port: 4 } as const

/** Forwards IPv6. */
export class Forward6 {
  readonly #plane: Plane
  readonly #errors: IcmpErrors
  readonly #headers: Headers6 = new Headers6()

  constructor(plane: Plane, errors: IcmpErrors) {
    this.#plane = plane
    this.#errors = errors
  }

  /** Takes a frame of `n` bytes at `o`, at least an Ethernet header. */
  input(iface: RouterInterface, f: Frame, o: number, n: number, group: boolean): void {
    const plane = this.#plane
    const { pool, fib } = plane
    const b = pool.bytes
    const l3 = o + 14
    let total = n < 54 ? 0 : ((b[l3 + 4]! << 8) | b[l3 + 5]!) + 40
    if (total === 40 && pool.gsoType[f] !== 0) total = n - 14
    if (total < 40 || total > n - 14 || b[l3]! >>> 4 !== 6) {
      iface.end(f, Drop.Malformed)
      return
    }
    const s0 = b[l3 + 8] as number
    const d0 = b[l3 + 24] as number
    if (s0 === 0xff || (s0 === 0 && isOfHost(b, l3 + 8))) {
      iface.end(f, Drop.MartianSource)
      return
    }
    const nobody = s0 === 0 && unspecified(b, l3 + 8)
    if (d0 === 0xff) {
      this.#toGroup(iface, f, l3, total, nobody)
      return
    }
    if (d0 === 0 && (unspecified(b, l3 + 24) || isOfHost(b, l3 + 24))) {
      iface.end(f, Drop.MartianDestination)
      return
    }
    const local = s0 === 0xfe && isLinkLocal(b, l3 + 8)
    if (iface.reversePathFilter !== 'off' && !local && !nobody) {
      if (!plane.reverseOk(iface, fib.lookup6(b, l3 + 8))) {
        iface.end(f, Drop.ReversePath)
        return
      }
    }
    if (d0 === 0xfe && isLinkLocal(b, l3 + 24)) {
      if (has(iface, b, l3 + 24)) this.#local(iface, f, l3, total, nobody, true)
      else if (hasAnycast(iface, b, l3 + 24)) this.#local(iface, f, l3, total, nobody, false)
      else iface.end(f, Drop.LinkScope)
      return
    }
    const { gate } = plane
    if (gate === null || group || nobody) {
      this.#route(iface, f, l3, total, group, nobody, local, fib.lookup6(b, l3 + 24))
      return
    }
    const g = gate.arrived(iface, f)
    if (g === NO_FRAME) return
    const ip = pool.off[g]! + 14
    const by = gate.route6
    gate.route6 = null
    const target = by !== null ? fib.lookup6(by, 0) : fib.lookup6(b, ip + 24)
    this.#route(iface, g, ip, total, false, false, local, target, by)
  }

  /** @param by the address to route by instead of the destination */
  #route(
    iface: RouterInterface,
    f: Frame,
    l3: number,
    total: number,
    group: boolean,
    nobody: boolean,
    local: boolean,
    target: Target | null,
    by: Uint8Array | null = null,
  ): void {
    const b = this.#plane.pool.bytes
    if (target !== null && target.kind === 'local') {
      this.#local(iface, f, l3, total, nobody, has(target.out as RouterInterface, b, l3 + 24))
    } else if (group) iface.end(f, Drop.LinkBroadcast)
    else if (nobody) iface.end(f, Drop.MartianSource)
    else if (target !== null && target.kind === 'unicast') this.#forward(iface, f, l3, total, local, target, by)
    else this.#refuse(iface, f, target)
  }

  /** The next hop of a frame does not answer. */
  unanswered(iface: RouterInterface, f: Frame): void {
    const { pool, fib, gate } = this.#plane
    const at = (pool.off[f] as number) + ETH + ipv6.SRC
    const ours = has(iface, pool.bytes, at) || fib.lookup6(pool.bytes, at)?.kind === 'local'
    if (!ours) this.#errors.send6(null, f, icmpv6.Type.Unreachable, Unreachable.Address)
    else if (gate !== null) this.#errors.send6Behind(gate, iface, f, icmpv6.Type.Unreachable, Unreachable.Address)
    iface.unsent(f, Drop.NoNeighbour)
  }

  /** Ends a packet that has no way on, as the route, or its absence, says. */
  #refuse(iface: RouterInterface, f: Frame, target: Target | null): void {
    const { pool, fib } = this.#plane
    if (pool.trace !== null) explain.refused(pool, f, fib.prefix6(pool.bytes, pool.off[f]! + ETH + ipv6.DST), target)
    if (target === null) {
      this.#errors.send6(iface, f, icmpv6.Type.Unreachable, Unreachable.NoRoute)
      iface.end(f, Drop.NoRoute)
    } else if (target.kind === 'blackhole') iface.end(f, Drop.Blackhole)
    else {
      // As Linux; for an unreachable route RFC 4443 has nothing that fits better.
      const code = target.prohibited ? Unreachable.Prohibited : Unreachable.NoRoute
      this.#errors.send6(iface, f, icmpv6.Type.Unreachable, code)
      iface.end(f, target.prohibited ? Drop.Prohibited : Drop.Unreachable)
    }
  }

  #forward(
    iface: RouterInterface,
    f: Frame,
    l3: number,
    total: number,
    linkLocal: boolean,
    target: Target,
    by: Uint8Array | null,
  ): void {
    const { pool } = this.#plane
    const b = pool.bytes
    const spends = iface.decrementTtl
    if (spends && b[l3 + 7]! <= 1) {
      this.#errors.send6(iface, f, icmpv6.Type.TimeExceeded, 0)
      iface.end(f, Drop.TtlExceeded)
      return
    }
    if (linkLocal) {
      this.#errors.send6(iface, f, icmpv6.Type.Unreachable, Unreachable.BeyondScope)
      iface.end(f, Drop.LinkScope)
      return
    }
    const hop = target.hops.length === 1 ? (target.hop as Hop) : target.choose(flowHash6(b, l3, l3 + total))
    const mtu = Math.max(MIN_MTU, hop.iface.mtu)
    if (total > mtu && (pool.gsoType[f] === 0 || segmentLength(pool, f, l3, l3 + total) > mtu)) {
      if (pool.trace !== null) explain.tooLong(pool, f, total, hop, 'v6')
      this.#errors.send6(iface, f, icmpv6.Type.PacketTooBig, 0, mtu)
      iface.end(f, Drop.TooBig)
      return
    }
    const g = pool.own(f)
    if (g === NO_FRAME) return
    const ip = pool.off[g]! + 14
    pool.len[g] = total + 14
    if (target.counted) {
      target.frames++
      target.bytes += total + 14
    }
    if (spends) b[ip + 7]!--
    if (pool.trace !== null) explain.routed6(pool, this.#plane.fib, g, by, target, hop, spends ? b[ip + 7]! + 1 : 0)
    this.#leave(iface, g, hop, by)
  }

  /** Sends a packet that is ready, past the gate. */
  #leave(from: RouterInterface | null, f: Frame, hop: Hop, by: Uint8Array | null): void {
    const { pool, gate } = this.#plane
    const g = gate === null ? f : gate.leaving(from, hop.iface, f)
    if (g === NO_FRAME) return
    const via = hop.via6 ?? by
    if (via !== null) hop.iface.send6(g, via, 0)
    else hop.iface.send6(g, pool.bytes, pool.off[g]! + ETH + ipv6.DST)
  }

  /** Sends a packet of the router's own to an address that is not of one link only. Its header is complete, and its Ethernet
   * header is there to be written. */
  send(f: Frame): void {
    const { pool, fib } = this.#plane
    const b = pool.bytes
    const l3 = pool.off[f]! + ETH
    const end = l3 - ETH + pool.len[f]!
    const target = fib.lookup6(b, l3 + ipv6.DST)
    if (target === null || target.kind !== 'unicast') {
      if (pool.trace !== null) explain.refused(pool, f, fib.prefix6(b, l3 + ipv6.DST), target)
      pool.drop(f, target === null ? Drop.NoRoute : target.kind === 'blackhole' ? Drop.Blackhole : Drop.Unreachable)
      return
    }
    const hop = target.hops.length === 1 ? (target.hop as Hop) : target.choose(flowHash6(b, l3, end))
    const mtu = Math.max(MIN_MTU, hop.iface.mtu)
    if (end - l3 > mtu && (pool.gsoType[f] === 0 || segmentLength(pool, f, l3, end) > mtu)) {
      if (pool.trace !== null) explain.tooLong(pool, f, end - l3, hop, 'v6')
      hop.iface.unsent(f, Drop.TooBig)
      return
    }
    if (pool.trace !== null) explain.routed6(pool, fib, f, null, target, hop, 0)
    if (target.counted) {
      target.frames++
      target.bytes += end - l3 + ETH
    }
    this.#leave(null, f, hop, null)
  }

  /** A packet to a multicast group: to all nodes, all routers, or the group of an address of ours it may be an echo. */
  #toGroup(iface: RouterInterface, f: Frame, l3: number, total: number, nobody: boolean): void {
    const plane = this.#plane
    const b = plane.pool.bytes
    const scope = b[l3 + 25]! & 15
    if (scope <= 1) {
      iface.end(f, Drop.MartianDestination)
      return
    }
    if (plane.taken(iface, f)) return
    let walk: Walk = Walk.Done
    if (isOurGroup(iface, b, l3 + 24) && !nobody) {
      walk = this.#headers.walk(b, l3, l3 + total)
      if (walk === Walk.Done && this.#echo(iface, f, l3, total, false)) return
    }
    if (plane.handOn(iface, f)) return
    if (walk === Walk.GroupProblem) this.#problem(iface, f, false)
    iface.end(f, Drop.GroupDestination)
  }

  /** A packet for an address of ours; `own` says that it is an interface's and not an anycast address. */
  #local(iface: RouterInterface, f: Frame, l3: number, total: number, nobody: boolean, own: boolean): void {
    const plane = this.#plane
    const b = plane.pool.bytes
    if (plane.pool.trace !== null) explain.local(plane.pool, f, plane.fib.lookup6(b, l3 + ipv6.DST)?.out ?? iface)
    if (plane.taken(iface, f)) return
    const walk = this.#headers.walk(b, l3, l3 + total)
    if (walk === Walk.Done && !nobody && this.#echo(iface, f, l3, total, own)) return
    if (plane.handOn(iface, f)) return
    if (walk !== Walk.Done) {
      const told = walk === Walk.Routed || walk === Walk.Problem || walk === Walk.GroupProblem
      if (told) this.#problem(iface, f, own)
      iface.end(f, walk === Walk.Routed ? Drop.SourceRoute : walk === Walk.Fragment ? Drop.Fragment : Drop.Malformed)
      return
    }
    if (plane.unreachable && !nobody) {
      const { Udp, Tcp, Icmpv6, NoNext } = Protocol
      const { protocol, offset } = this.#headers
      if (protocol === Udp) {
        if (plane.udpSound(f, l3, offset, l3 + total)) {
          this.#errors.send6(iface, f, icmpv6.Type.Unreachable, Unreachable.Port, 0, own)
        }
      } else if (protocol !== Tcp && protocol !== Icmpv6 && protocol !== NoNext) this.#problem(iface, f, own)
    }
    iface.end(f, Drop.NoListener)
  }

  /** Tells the sender what is wrong with the headers that were walked over last. */
  #problem(iface: RouterInterface, f: Frame, own: boolean): void {
    const { code, pointer } = this.#headers
    this.#errors.send6(iface, f, icmpv6.Type.ParameterProblem, code, pointer, own)
  }

  /** Makes of an echo request its answer (RFC 4443, 4.2); false where it is none. Extension headers, which have been
   * walked over, are left out. The answer comes from the address that was asked if it is an `own` one. */
  #echo(iface: RouterInterface, f: Frame, l3: number, total: number, own: boolean): boolean {
    const plane = this.#plane
    const { pool, fib } = plane
    const b = pool.bytes
    const found = this.#headers
    if (!plane.echo || found.protocol !== Protocol.Icmpv6) return false
    const headers = found.offset - l3
    if (total - headers < icmpv6.HLEN || b[found.offset] !== icmpv6.Type.Echo) return false
    if ((pool.flags[f]! & NEEDS_CSUM) === 0 && !icmpv6.checksumOk(b, l3, found.offset, l3 + total)) {
      iface.end(f, Drop.BadChecksum)
      return true
    }
    const src = l3 + ipv6.SRC
    let hop: Hop | null = iface.onLink
    if (!isLinkLocal(b, src)) {
      const target = fib.lookup6(b, src)
      hop = target !== null && target.kind === 'unicast' ? target.choose(u32(b, src + 12)) : null
    }
    const from = own ? null : fib.source6(iface, b, src)
    if (hop === null || (!own && from === null)) {
      iface.end(f, Drop.NoRoute)
      return true
    }
    const length = total - headers
    if (ipv6.HLEN + length > Math.max(MIN_MTU, hop.iface.mtu)) {
      iface.end(f, Drop.TooBig)
      return true
    }
    const g = pool.own(f)
    if (g === NO_FRAME) return true
    const extra = headers - ipv6.HLEN
    if (extra > 0) {
      const o = pool.off[g] as number
      b.copyWithin(o + extra, o, o + ETH + ipv6.HLEN)
      pool.strip(g, extra)
    }
    const ip = pool.off[g]! + ETH
    const message = ip + ipv6.HLEN
    pool.len[g] = ETH + ipv6.HLEN + length
    // Our address, the asker's: the two change places. The traffic class is kept, the flow label is not.
    for (let i = 0; i < 16; i++) {
      const ours = from === null ? b[ip + ipv6.DST + i]! : from[i]!
      b[ip + ipv6.DST + i] = b[ip + ipv6.SRC + i]!
      b[ip + ipv6.SRC + i] = ours
    }
    put32(b, ip, u32(b, ip) & 0xfff0_0000)
    put16(b, ip + 4, length)
    put16(b, ip + ipv6.NEXT_HEADER, (Protocol.Icmpv6 << 8) | DEFAULT_TTL)
    b[message] = icmpv6.Type.EchoReply
    pool.flags[g] = 0
    pool.gsoType[g] = 0
    icmpv6.fillChecksum(b, ip, message, message + length)
    if (pool.trace !== null) explain.echo(pool, g)
    this.#leave(null, g, hop, null)
    return true
  }
}

/** Of addresses that start with a zero byte: `::1`, and IPv4-mapped ones, which mean something within a host only (RFC
 * 4291, 2.5.3 and 2.5.5.2; RFC 6890, 2.2.3). */
function isOfHost(b: Uint8Array, at: number): boolean {
  if (u32(b, at) !== 0 || u32(b, at + 4) !== 0) return false
  return u32(b, at + 8) === 0 ? u32(b, at + 12) === 1 : u32(b, at + 8) === 0xffff
}

function has(iface: RouterInterface, b: Uint8Array, at: number): boolean {
  for (let i = 0; i < iface.addresses6.length; i++) {
    if (equal(iface.addresses6[i]!.bytes, 0, b, at, 16)) return true
  }
  return false
}

/** Tells whether the address at `at` is that of all routers on the interface's link. */
function hasAnycast(iface: RouterInterface, b: Uint8Array, at: number): boolean {
  for (let i = 0; i < iface.addresses6.length; i++) {
    const { anycast } = iface.addresses6[i] as { anycast: Uint8Array | null }
    if (anycast !== null && equal(anycast, 0, b, at, 16)) return true
  }
  return false
}

/** Tells whether the group at `at` is ff02::1 (all nodes), ff02::2 (all routers), or the solicited-node group of an
 * address of the interface (RFC 4291, 2.7.1). */
function isOurGroup(iface: RouterInterface, b: Uint8Array, at: number): boolean {
  if (u32(b, at) !== 0xff02_0000 || u32(b, at + 4) !== 0) return false
  const last = u32(b, at + 12)
  if (u32(b, at + 8) === 0) return last === 1 || last === 2
  if (u32(b, at + 8) !== 1 || last >>> 24 !== 0xff) return false
  for (let i = 0; i < iface.addresses6.length; i++) {
    if ((u32(iface.addresses6[i]!.bytes, 12) & 0xff_ffff) === (last & 0xff_ffff)) return true
  }
  return false
}
