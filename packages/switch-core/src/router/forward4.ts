import { Batch } from '../batch.ts'
import { Drop } from '../drop.ts'
import { type Frame, NO_FRAME } from '../frame-pool.ts'
import { finish } from '../offload.ts'
import { put16, put32, u16, u32 } from '../wire/bytes.ts'
import { update16 } from '../wire/checksum.ts'
import { HLEN as ETH } from '../wire/ethernet.ts'
import * as icmp from '../wire/icmp.ts'
import * as ipv4 from '../wire/ipv4.ts'
import { flowHash4 } from './ecmp.ts'
import * as explain from './explain.ts'
import { fragment } from './fragment.ts'
import type { RouterGate } from './gate.ts'
import type { IcmpErrors } from './icmp-errors.ts'
import type { RouterInterface } from './interface.ts'
import { checkOptions, keepRecords, OPTIONS_OK, record, SOURCE_ROUTED } from './options.ts'
import { DEFAULT_TTL, type Plane } from './plane.ts'
import { segmentLength } from './super-frame.ts'
import type { Hop, Target } from './target.ts'

/*
 * An IPv4 packet on its way through the router (RFC 1812, 5). What happens to it, in this order:
 *
 *   1. Is it one? Version, lengths, header checksum.                           Malformed, BadChecksum
 *   2. Can it come from there, and go there? (5.3.7; RFC 3704)                 MartianSource, .., ReversePath
 *   3. Where does the table send it?   no route, unreachable, prohibit ->      ICMP unreachable 0, 1, 13
 *                                      blackhole -> silence; ours -> `#local`
 *   4. Options in order?                                                       ICMP parameter problem
 *   5. Has it hops left?                                                       ICMP time exceeded
 *   6. Does it fit?   DF set -> ICMP fragmentation needed; else fragments
 *   7. TTL - 1, checksum moved along, source MAC, destination MAC by the neighbour table; out.
 *
 * Only from 7 on the frame is written to, so that errors quote it as it came. Ethernet's padding goes; a transport
 * checksum that is still missing stays missing, and a super-frame stays whole where its segments fit.
 */

const NEEDS_CSUM = 1
const BROADCAST = 0xffff_ffff

/** Forwards IPv4. */
export class Forward4 {
  readonly #plane: Plane
  readonly #errors: IcmpErrors
  readonly #one: Batch = new Batch(1)
  readonly #epoch: number
  /* Where fragments go: fields, since `fragment` and `finish` call back. */
  #hop: Hop | null = null
  #next = 0
  #from: RouterInterface | null = null

  constructor(plane: Plane, errors: IcmpErrors) {
    this.#plane = plane
    this.#errors = errors
    this.#epoch = Number((plane.clock.epoch / 1_000_000n) % 86_400_000n)
  }

  /** Takes a frame of `n` bytes at `o`, at least an Ethernet header. */
  input(iface: RouterInterface, f: Frame, o: number, n: number, group: boolean): void {
    const plane = this.#plane
    const { pool, fib } = plane
    const { bytes: b, data } = pool
    const l3 = o + 14
    const header = n < 34 ? 0 : (b[l3]! & 15) << 2
    let total = n < 34 ? 0 : (b[l3 + 2]! << 8) | b[l3 + 3]!
    // A super-frame that is longer than the field can tell has 0 there.
    if (total === 0 && pool.gsoType[f] !== 0) total = n - 14
    if (header < 20 || header > total || total > n - 14 || b[l3]! >>> 4 !== 4) {
      iface.end(f, Drop.Malformed)
      return
    }
    const w0 = data.getInt32(l3, true)
    const w1 = data.getInt32(l3 + 4, true)
    const w2 = data.getInt32(l3 + 8, true)
    const w3 = data.getInt32(l3 + 12, true)
    const w4 = data.getInt32(l3 + 16, true)
    let sum = (w0 & 0xffff) + (w0 >>> 16) + (w1 & 0xffff) + (w1 >>> 16) + (w2 & 0xffff) + (w2 >>> 16)
    sum += (w3 & 0xffff) + (w3 >>> 16) + (w4 & 0xffff) + (w4 >>> 16)
    for (let i = l3 + 20; i < l3 + header; i += 2) sum += data.getUint16(i, true)
    sum = (sum & 0xffff) + (sum >>> 16)
    if ((sum & 0xffff) + (sum >>> 16) !== 0xffff) {
      iface.end(f, Drop.BadChecksum)
      return
    }
    const src = u32(b, l3 + 12)
    const dst = u32(b, l3 + 16)
    const s0 = src >>> 24
    const d0 = dst >>> 24
    if (s0 === 0 || s0 === 127 || (s0 >= 224 && !this.#isReserved(src)) || fib.own4.has(src)) {
      // Who has no address yet speaks to all, or to a group (RFC 1122, 3.2.1.3).
      if (src !== 0 || d0 < 224) {
        iface.end(f, Drop.MartianSource)
        return
      }
    }
    if (d0 === 0 || d0 === 127 || (d0 >= 224 && !this.#isReserved(dst))) {
      if (d0 === 0 || d0 === 127 || (d0 >= 240 && dst !== BROADCAST)) iface.end(f, Drop.MartianDestination)
      else if (src !== 0 && !this.#reverseOk(iface, src)) iface.end(f, Drop.ReversePath)
      else this.#toGroup(iface, f, Drop.GroupDestination)
      return
    }
    if (iface.reversePathFilter !== 'off' && !this.#reverseOk(iface, src)) {
      iface.end(f, Drop.ReversePath)
      return
    }
    if (plane.gate === null || group) this.#route(iface, f, l3, total, header, dst, group)
    else this.#routeBehind(plane.gate, iface, f, total, header)
  }

  /** Whether it is an address of 240.0.0.0/4 that a host may have here. */
  #isReserved(address: number): boolean {
    return this.#plane.reserved4 && address >>> 28 === 15 && address !== BROADCAST
  }

  /** Routes what the gate lets through, to where the gate says. */
  #routeBehind(gate: RouterGate, iface: RouterInterface, f: Frame, total: number, header: number): void {
    const { pool } = this.#plane
    const g = gate.arrived(iface, f)
    if (g === NO_FRAME) return
    const l3 = pool.off[g]! + 14
    const by = gate.route4
    gate.route4 = 0
    this.#route(iface, g, l3, total, header, by !== 0 ? by : u32(pool.bytes, l3 + 16), false)
  }

  #route(
    iface: RouterInterface,
    f: Frame,
    l3: number,
    total: number,
    header: number,
    dst: number,
    group: boolean,
  ): void {
    const target = this.#plane.fib.lookup4(dst)
    if (target !== null) {
      if (target.kind === 'unicast' && !group) {
        this.#forward(iface, f, l3, total, header, dst, target)
        return
      }
      if (target.kind === 'local') {
        this.#local(iface, f, l3, total, header, dst)
        return
      }
      if (target.kind === 'broadcast') {
        const net = (target.hop as Hop).iface
        if (net === iface) this.#toGroup(iface, f, Drop.GroupDestination)
        else if (net.directedBroadcast && !group) this.#forward(iface, f, l3, total, header, dst, target)
        else iface.end(f, Drop.DirectedBroadcast)
        return
      }
    }
    if (group) iface.end(f, Drop.LinkBroadcast)
    else this.#refuse(iface, f, target)
  }

  /** The next hop of a frame does not answer. */
  unanswered(iface: RouterInterface, f: Frame): void {
    const { pool, fib, gate } = this.#plane
    const l3 = (pool.off[f] as number) + ETH
    const { Type, Unreachable } = icmp
    if (!fib.own4.has(ipv4.src(pool.bytes, l3))) this.#errors.send4(null, f, Type.Unreachable, Unreachable.Host)
    else if (gate !== null) this.#errors.send4Behind(gate, iface, f, Type.Unreachable, Unreachable.Host)
    iface.unsent(f, Drop.NoNeighbour)
  }

  #reverseOk(iface: RouterInterface, src: number): boolean {
    return iface.reversePathFilter === 'off' || this.#plane.reverseOk(iface, this.#plane.fib.lookup4(src))
  }

  /** Ends a packet that has no way on, as the route, or its absence, says. */
  #refuse(iface: RouterInterface, f: Frame, target: Target | null): void {
    const { Net, Host, Prohibited } = icmp.Unreachable
    const { pool, fib } = this.#plane
    if (pool.trace !== null)
      explain.refused(pool, f, fib.prefix4(u32(pool.bytes, pool.off[f]! + ETH + ipv4.DST)), target)
    if (target === null) {
      this.#errors.send4(iface, f, icmp.Type.Unreachable, Net)
      iface.end(f, Drop.NoRoute)
    } else if (target.kind === 'blackhole') iface.end(f, Drop.Blackhole)
    else {
      this.#errors.send4(iface, f, icmp.Type.Unreachable, target.prohibited ? Prohibited : Host)
      iface.end(f, target.prohibited ? Drop.Prohibited : Drop.Unreachable)
    }
  }

  #forward(
    iface: RouterInterface,
    f: Frame,
    l3: number,
    total: number,
    header: number,
    dst: number,
    target: Target,
  ): void {
    const { pool } = this.#plane
    const b = pool.bytes
    if (header > 20 && !this.#optionsOk(iface, f, l3, header)) return
    const spends = iface.decrementTtl
    if (spends && b[l3 + 8]! <= 1) {
      this.#errors.send4(iface, f, icmp.Type.TimeExceeded, 0)
      iface.end(f, Drop.TtlExceeded)
      return
    }
    const hop = target.hops.length === 1 ? (target.hop as Hop) : target.choose(flowHash4(b, l3, l3 + total))
    let whole = true
    if (total > hop.iface.mtu) {
      const gso = pool.gsoType[f] !== 0
      whole = gso && segmentLength(pool, f, l3, l3 + total) <= hop.iface.mtu
      if (!whole && (b[l3 + 6]! & 0x40) !== 0) {
        if (pool.trace !== null) explain.tooLong(pool, f, total, hop, 'df')
        this.#errors.send4(iface, f, icmp.Type.Unreachable, icmp.Unreachable.FragmentationNeeded, hop.iface.mtu)
        iface.end(f, Drop.TooBig)
        return
      }
    }
    const g = pool.refs[f] === 1 ? f : pool.own(f)
    if (g === NO_FRAME) return
    const ip = pool.off[g]! + 14
    pool.len[g] = total + 14
    if (target.counted) {
      target.frames++
      target.bytes += total + 14
    }
    if (spends) {
      // Adding 0x0100 to the checksum is taking one off the TTL (RFC 1624, eqn. 3; a carry comes around).
      const sum = ((b[ip + 10]! << 8) | b[ip + 11]!) + 0x100
      const folded = sum >= 0xffff ? sum - 0xffff : sum
      b[ip + 8]!--
      b[ip + 10] = folded >>> 8
      b[ip + 11] = folded
    }
    if (pool.trace !== null) explain.routed4(pool, this.#plane.fib, g, dst, target, hop, spends ? b[ip + 8]! + 1 : 0)
    if (header > 20) this.#record(hop, ip, header, dst)
    this.#leave(iface, g, hop, target.kind === 'broadcast' ? BROADCAST : dst, whole)
  }

  /** Sends a packet that is ready, past the gate.
   * @param whole whether it fits, or must be cut into fragments */
  #leave(from: RouterInterface | null, f: Frame, hop: Hop, dst: number, whole: boolean): void {
    const { gate } = this.#plane
    const g = gate === null ? f : gate.leaving(from, hop.iface, f)
    if (g === NO_FRAME) return
    if (!whole) this.#pieces(from, g, hop, dst)
    else if (dst === BROADCAST) hop.iface.sendBroadcast(g)
    else hop.iface.send4(g, hop.via4 !== 0 ? hop.via4 : dst)
  }

  /** Sends a packet of the router's own, whole or in fragments. Its header is complete, and its Ethernet header is there to
   * be written. */
  send(f: Frame): void {
    const { pool, fib } = this.#plane
    const b = pool.bytes
    const l3 = pool.off[f]! + ETH
    const end = l3 - ETH + pool.len[f]!
    const dst = u32(b, l3 + ipv4.DST)
    const target = fib.lookup4(dst)
    if (target === null || target.kind !== 'unicast') {
      if (pool.trace !== null) explain.refused(pool, f, fib.prefix4(dst), target)
      pool.drop(f, target === null ? Drop.NoRoute : target.kind === 'blackhole' ? Drop.Blackhole : Drop.Unreachable)
      return
    }
    const hop = target.hops.length === 1 ? (target.hop as Hop) : target.choose(flowHash4(b, l3, end))
    const total = end - l3
    let whole = total <= hop.iface.mtu
    if (!whole) {
      whole = pool.gsoType[f] !== 0 && segmentLength(pool, f, l3, end) <= hop.iface.mtu
      if (!whole && (b[l3 + 6]! & 0x40) !== 0) {
        if (pool.trace !== null) explain.tooLong(pool, f, total, hop, 'df')
        hop.iface.unsent(f, Drop.TooBig)
        return
      }
    }
    if (target.counted) {
      target.frames++
      target.bytes += total + ETH
    }
    if (pool.trace !== null) explain.routed4(pool, fib, f, dst, target, hop, 0)
    this.#leave(null, f, hop, dst, whole)
  }

  #optionsOk(iface: RouterInterface, f: Frame, l3: number, header: number): boolean {
    const found = checkOptions(this.#plane.pool.bytes, l3, header)
    if (found === OPTIONS_OK) return true
    if (found === SOURCE_ROUTED) iface.end(f, Drop.SourceRoute)
    else {
      this.#errors.send4(iface, f, icmp.Type.ParameterProblem, 0, (found << 24) >>> 0)
      iface.end(f, Drop.Malformed)
    }
    return false
  }

  readonly #isOwn = (ip: number): boolean => this.#plane.fib.lookup4(ip)?.kind === 'local'

  #record(hop: Hop, ip: number, header: number, dst: number): void {
    const { pool, clock, fib } = this.#plane
    const time = Math.floor(this.#epoch + clock.now / 1e6) % 86_400_000
    record(pool.bytes, ip, header, fib.source4(hop, dst), time, this.#isOwn)
    ipv4.fillChecksum(pool.bytes, ip)
  }

  /** Sends a packet that is too long in fragments, after its checksum and its segments have been done. */
  #pieces(iface: RouterInterface | null, f: Frame, hop: Hop, dst: number): void {
    const { pool } = this.#plane
    if (pool.trace !== null) explain.tooLong(pool, f, pool.len[f]! - ETH, hop, 'cut')
    this.#hop = hop
    this.#next = hop.via4 !== 0 ? hop.via4 : dst
    this.#from = iface
    if ((pool.flags[f]! & NEEDS_CSUM) === 0 && pool.gsoType[f] === 0) this.#fragment(f)
    else {
      this.#one.push(f)
      finish(pool, this.#one, 0, this.#fragmentAll, this.#lost)
      this.#one.length = 0
    }
  }

  readonly #fragmentAll = (batch: Batch): void => {
    for (let i = 0; i < batch.length; i++) this.#fragment(batch.frames[i] as Frame)
  }

  #fragment(f: Frame): void {
    const { pool } = this.#plane
    const { mtu } = (this.#hop as Hop).iface
    if (pool.len[f]! - ETH <= mtu) this.#emit(f)
    else fragment(pool, f, mtu, this.#emit, this.#lost)
  }

  readonly #emit = (f: Frame): void => {
    const hop = this.#hop as Hop
    if (this.#next === BROADCAST) hop.iface.sendBroadcast(f)
    else hop.iface.send4(f, this.#next)
  }

  readonly #lost = (f: Frame, why: Drop): void => {
    if (this.#from !== null) this.#from.end(f, why)
    else this.#plane.pool.drop(f, why)
  }

  /** A packet to a group or to all on the link. */
  #toGroup(iface: RouterInterface, f: Frame, why: Drop): void {
    if (!this.#plane.taken(iface, f) && !this.#plane.handOn(iface, f)) iface.end(f, why)
  }

  /** A packet for an address of ours. */
  #local(iface: RouterInterface, f: Frame, l3: number, total: number, header: number, dst: number): void {
    const plane = this.#plane
    const { pool } = plane
    const b = pool.bytes
    if (header > 20 && !this.#optionsOk(iface, f, l3, header)) return
    if (pool.trace !== null) explain.local(pool, f, plane.fib.lookup4(dst)?.out ?? null)
    if (plane.taken(iface, f)) return
    const whole = (u16(b, l3 + 6) & 0x3fff) === 0
    const protocol = ipv4.protocol(b, l3)
    const l4 = l3 + header
    if (protocol === ipv4.Protocol.Icmp && whole && plane.echo && total - header >= icmp.HLEN) {
      if (b[l4] === icmp.Type.Echo) {
        this.#answerEcho(iface, f, l3, total, header)
        return
      }
    }
    if (plane.handOn(iface, f)) return
    if (!whole) {
      iface.end(f, Drop.Fragment)
      return
    }
    if (plane.unreachable) {
      if (protocol === ipv4.Protocol.Udp) {
        if (plane.udpSound(f, l3, l4, l3 + total)) {
          this.#errors.send4(iface, f, icmp.Type.Unreachable, icmp.Unreachable.Port, 0, dst)
        }
      } else if (protocol !== ipv4.Protocol.Icmp && protocol !== ipv4.Protocol.Igmp && protocol !== ipv4.Protocol.Tcp) {
        this.#errors.send4(iface, f, icmp.Type.Unreachable, icmp.Unreachable.Protocol, 0, dst)
      }
    }
    iface.end(f, Drop.NoListener)
  }

  /** Makes of an echo request its answer (RFC 1122, 3.2.2.6; RFC 1812, 4.3.3.6). */
  #answerEcho(iface: RouterInterface, f: Frame, l3: number, total: number, header: number): void {
    const plane = this.#plane
    const { pool } = plane
    const b = pool.bytes
    const missing = (pool.flags[f]! & NEEDS_CSUM) !== 0
    if (!missing && !icmp.checksumOk(b, l3 + header, l3 + total)) {
      iface.end(f, Drop.BadChecksum)
      return
    }
    const src = u32(b, l3 + ipv4.SRC)
    const dst = u32(b, l3 + ipv4.DST)
    const target = plane.fib.lookup4(src)
    if (target === null || target.kind !== 'unicast') {
      iface.end(f, Drop.NoRoute)
      return
    }
    const g = pool.own(f)
    if (g === NO_FRAME) return
    const ip = pool.off[g]! + ETH
    const l4 = ip + header
    pool.len[g] = total + ETH
    const before = u16(b, l4)
    b[l4] = icmp.Type.EchoReply
    if (!missing) put16(b, l4 + 2, update16(u16(b, l4 + 2), before, u16(b, l4)))
    put16(b, ip + 4, plane.nextId())
    put16(b, ip + 6, 0)
    b[ip + ipv4.TTL] = DEFAULT_TTL
    put32(b, ip + ipv4.SRC, dst)
    put32(b, ip + ipv4.DST, src)
    const hop = target.choose(flowHash4(b, ip, ip + total))
    if (header > 20) {
      keepRecords(b, ip, header)
      this.#record(hop, ip, header, src)
    }
    ipv4.fillChecksum(b, ip)
    if (pool.trace !== null) explain.echo(pool, g)
    this.#leave(null, g, hop, src, total <= hop.iface.mtu)
  }
}
