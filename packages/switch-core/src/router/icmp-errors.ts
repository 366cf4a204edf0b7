import { Drop } from '../drop.ts'
import { type Frame, NO_FRAME } from '../frame-pool.ts'
import { copy, put16, put32, u16, u32 } from '../wire/bytes.ts'
import * as eth from '../wire/ethernet.ts'
import * as icmp from '../wire/icmp.ts'
import * as icmpv6 from '../wire/icmpv6.ts'
import * as ipv4 from '../wire/ipv4.ts'
import * as ipv6 from '../wire/ipv6.ts'
import * as explain from './explain.ts'
import { isLinkLocal } from './fib.ts'
import type { RouterGate } from './gate.ts'
import type { RouterInterface } from './interface.ts'
import { DEFAULT_TTL, type Plane } from './plane.ts'

/*
 * Errors about packets that go no further, to who sent them (RFC 792, RFC 1812 4.3; RFC 4443).
 *
 *     | Ethernet | IP: from us, to the source | ICMP: type, code, MTU or pointer | the packet, as much as fits |
 *                                               up to 576 bytes in all for IPv4 (RFC 1812, 4.3.2.3), 1,280 for IPv6
 *
 * None is sent about an ICMP error, about what came as a broadcast or multicast or goes to one (but for options of IPv6
 * that ask for it), about a fragment other than the first, and to no address that is not one host's (RFC 1812, 4.3.2.7;
 * RFC 4443, 2.4 e). What is left is
 * limited by a token bucket (RFC 1812, 4.3.2.8; RFC 4443, 2.4 f), but for the two that path MTU discovery lives on:
 * Linux does the same.
 *
 * The message speaks from the address of the interface towards the source (RFC 1812, 4.3.2.4), as Linux does with
 * icmp_errors_use_inbound_ifaddr=0, or if so configured from the one that the packet came in by, which is what
 * traceroute would like to see. Its precedence is 6, "internetwork control", and the rest of TOS the packet's
 * (4.3.2.5).
 */

const QUOTE4 = 576 - ipv4.HLEN - icmp.HLEN
const QUOTE6 = 1280 - ipv6.HLEN - icmpv6.HLEN
/** The highest type of ICMP that there is; what is above may be an error (as Linux judges it). */
const LAST_ICMP_TYPE = 18

/** Sends ICMP errors. */
export class IcmpErrors {
  readonly #plane: Plane
  readonly #upper: ipv6.Upper = new ipv6.Upper()

  constructor(plane: Plane) {
    this.#plane = plane
  }

  /** Sends an error about the IPv4 packet in `f`, where one may be sent; `f` is only read. Its header has been checked.
   * @param iface where it came in; null where that is not known any more
   * @param rest bytes 4 to 7 of the message: MTU or pointer
   * @param from the address that the error is from; 0: that of an interface */
  send4(iface: RouterInterface | null, f: Frame, type: number, code: number, rest = 0, from = 0): void {
    const g = this.#make4(iface, f, type, code, rest, from)
    if (g !== NO_FRAME) this.#out4(null, g)
  }

  /** Sends an error about a packet that could not leave by `out`, and that the gate had given one of our addresses for
   * its source: the gate knows whose it was. */
  send4Behind(gate: RouterGate, out: RouterInterface, f: Frame, type: number, code: number): void {
    const made = this.#make4(null, f, type, code, 0, 0)
    if (made === NO_FRAME) return
    const g = gate.arrived(out, made)
    gate.route4 = 0
    if (g !== NO_FRAME) this.#out4(out, g)
  }

  /** @param from where the gate has seen it arrive; null: nowhere */
  #out4(from: RouterInterface | null, f: Frame): void {
    const { pool, fib, gate } = this.#plane
    const to = ipv4.dst(pool.bytes, (pool.off[f] as number) + eth.HLEN)
    const target = fib.lookup4(to)
    if (target === null || target.kind !== 'unicast') {
      pool.drop(f, Drop.NoRoute)
      return
    }
    const hop = target.choose(to)
    const g = gate === null ? f : gate.leaving(from, hop.iface, f)
    if (g !== NO_FRAME) hop.iface.send4(g, hop.via4 !== 0 ? hop.via4 : to)
  }

  /** Makes an error; `NO_FRAME` where none may be sent. */
  #make4(iface: RouterInterface | null, f: Frame, type: number, code: number, rest: number, from: number): Frame | -1 {
    const plane = this.#plane
    const { pool, fib } = plane
    const b = pool.bytes
    const o = pool.off[f] as number
    const l3 = o + eth.HLEN
    const header = ipv4.headerLength(b, l3)
    const total = (pool.len[f] as number) - eth.HLEN
    if (iface !== null && eth.isGroup(b, o)) return NO_FRAME
    if ((u16(b, l3 + 6) & 0x1fff) !== 0) return NO_FRAME
    if (ipv4.protocol(b, l3) === ipv4.Protocol.Icmp) {
      const about = total > header ? (b[l3 + header] as number) : 0xff
      if (about > LAST_ICMP_TYPE || icmp.isError(about)) return NO_FRAME
    }
    const to4 = ipv4.dst(b, l3)
    if (to4 >>> 28 === 14 || (to4 >>> 28 === 15 && (!plane.reserved4 || to4 === 0xffff_ffff))) return NO_FRAME
    // A directed broadcast, that of a link of ours: beyond it nobody can tell (RFC 1812, 4.3.2.7).
    if (fib.lookup4(ipv4.dst(b, l3))?.kind === 'broadcast') return NO_FRAME
    const to = ipv4.src(b, l3)
    const target = fib.lookup4(to)
    const own = target !== null && target.kind === 'local' && iface === null && plane.gate !== null
    if (target === null || (target.kind !== 'unicast' && !own) || to === 0) return NO_FRAME
    const pmtu = type === icmp.Type.Unreachable && code === icmp.Unreachable.FragmentationNeeded
    if (!pmtu && !plane.bucket.take()) {
      plane.icmpHeldBack++
      if (pool.trace !== null) explain.silent(pool, f)
      return NO_FRAME
    }
    const hop = target.choose(to)
    const g = pool.alloc()
    if (g === NO_FRAME) return g
    const at = pool.off[g] as number
    const length = ipv4.totalLength(b, l3) || total
    const room = Math.min(QUOTE4, hop.iface.mtu - ipv4.HLEN - icmp.HLEN, pool.frameSize - 42)
    const quote = Math.min(length, total, room)
    let src = from
    if (src === 0 && plane.incomingSource && iface !== null) src = fib.source4(iface.onLink, to)
    if (src === 0) src = fib.source4(hop, to)
    const ip = at + eth.HLEN
    const message = ip + ipv4.HLEN
    put16(b, at + eth.TYPE, eth.EtherType.IPv4)
    put16(b, ip, 0x45c0 | (ipv4.tos(b, l3) & 0x1e))
    put16(b, ip + 2, ipv4.HLEN + icmp.HLEN + quote)
    put16(b, ip + 4, plane.nextId())
    put16(b, ip + 6, 0)
    put16(b, ip + ipv4.TTL, (DEFAULT_TTL << 8) | ipv4.Protocol.Icmp)
    put32(b, ip + ipv4.SRC, src)
    put32(b, ip + ipv4.DST, to)
    ipv4.fillChecksum(b, ip)
    icmp.write(b, message, type, code, rest)
    b.copyWithin(message + icmp.HLEN, l3, l3 + quote)
    icmp.fillChecksum(b, message, message + icmp.HLEN + quote)
    pool.len[g] = eth.HLEN + ipv4.HLEN + icmp.HLEN + quote
    pool.ledger.originate(1)
    plane.icmpSent++
    iface?.complained()
    if (pool.trace !== null) explain.complained(pool, f, g, type, code, rest)
    return g
  }

  /** Sends an error about the IPv6 packet in `f`, where one may be sent; `f` is only read. Its header has been checked.
   * @param iface where it came in; null where that is not known any more
   * @param rest bytes 4 to 7 of the message: MTU or pointer
   * @param own whether the packet was for an address of ours, which then is who answers */
  send6(iface: RouterInterface | null, f: Frame, type: number, code: number, rest = 0, own = false): void {
    const g = this.#make6(iface, f, type, code, rest, own)
    if (g !== NO_FRAME) this.#out6(iface, null, g)
  }

  /** Sends an error about a packet that could not leave by `out`, and that the gate had given one of our addresses for
   * its source: the gate knows whose it was. */
  send6Behind(gate: RouterGate, out: RouterInterface, f: Frame, type: number, code: number): void {
    const made = this.#make6(null, f, type, code, 0, false)
    if (made === NO_FRAME) return
    const g = gate.arrived(out, made)
    gate.route6 = null
    if (g !== NO_FRAME) this.#out6(null, out, g)
  }

  /** @param from where the gate has seen it arrive; null: nowhere */
  #out6(iface: RouterInterface | null, from: RouterInterface | null, f: Frame): void {
    const { pool, fib, gate } = this.#plane
    const b = pool.bytes
    const to = (pool.off[f] as number) + eth.HLEN + ipv6.DST
    let hop = iface?.onLink ?? null
    if (!isLinkLocal(b, to)) {
      const target = fib.lookup6(b, to)
      hop = target !== null && target.kind === 'unicast' ? target.choose(u32(b, to + 12)) : null
    }
    if (hop === null) {
      pool.drop(f, Drop.NoRoute)
      return
    }
    const g = gate === null ? f : gate.leaving(from, hop.iface, f)
    if (g === NO_FRAME) return
    if (hop.via6 !== null) hop.iface.send6(g, hop.via6, 0)
    else hop.iface.send6(g, b, (pool.off[g] as number) + eth.HLEN + ipv6.DST)
  }

  /** Makes an error; `NO_FRAME` where none may be sent. */
  #make6(iface: RouterInterface | null, f: Frame, type: number, code: number, rest: number, own: boolean): Frame | -1 {
    const plane = this.#plane
    const { pool, fib } = plane
    const b = pool.bytes
    const o = pool.off[f] as number
    const l3 = o + eth.HLEN
    const total = (pool.len[f] as number) - eth.HLEN
    // Of an option that is unknown its sender is told even if it went to a group, if the option says so (2.4 e.3).
    const option = type === icmpv6.Type.ParameterProblem && code === 2
    if (!option && ((iface !== null && eth.isGroup(b, o)) || b[l3 + ipv6.DST] === 0xff)) return NO_FRAME
    if (unspecified(b, l3 + ipv6.SRC)) return NO_FRAME
    if (this.#aboutError(b, l3, l3 + Math.min(total, ipv6.HLEN + (ipv6.payloadLength(b, l3) || total)))) return NO_FRAME
    let hop = iface?.onLink ?? null
    if (!isLinkLocal(b, l3 + ipv6.SRC)) {
      const target = fib.lookup6(b, l3 + ipv6.SRC)
      const translated = target !== null && target.kind === 'local' && iface === null && plane.gate !== null
      if (translated) hop = target.hop
      else hop = target !== null && target.kind === 'unicast' ? target.choose(u32(b, l3 + ipv6.SRC + 12)) : null
    }
    if (hop === null) return NO_FRAME
    const out = plane.incomingSource && iface !== null ? iface : hop.iface
    const src = own ? null : fib.source6(out, b, l3 + ipv6.SRC)
    if (!own && src === null) return NO_FRAME
    if (type !== icmpv6.Type.PacketTooBig && !plane.bucket.take()) {
      plane.icmpHeldBack++
      if (pool.trace !== null) explain.silent(pool, f)
      return NO_FRAME
    }
    const g = pool.alloc()
    if (g === NO_FRAME) return g
    const at = pool.off[g] as number
    const length = Math.min(total, ipv6.HLEN + (ipv6.payloadLength(b, l3) || total))
    const quote = Math.min(length, QUOTE6, pool.frameSize - 62)
    const ip = at + eth.HLEN
    const message = ip + ipv6.HLEN
    put16(b, at + eth.TYPE, eth.EtherType.IPv6)
    put32(b, ip, 0x6000_0000)
    put16(b, ip + 4, icmpv6.HLEN + quote)
    put16(b, ip + ipv6.NEXT_HEADER, (ipv4.Protocol.Icmpv6 << 8) | DEFAULT_TTL)
    copy(b, ip + ipv6.SRC, src ?? b, src === null ? l3 + ipv6.DST : 0, 16)
    copy(b, ip + ipv6.DST, b, l3 + ipv6.SRC, 16)
    icmpv6.write(b, message, type, code, rest)
    b.copyWithin(message + icmpv6.HLEN, l3, l3 + quote)
    icmpv6.fillChecksum(b, ip, message, message + icmpv6.HLEN + quote)
    pool.len[g] = eth.HLEN + ipv6.HLEN + icmpv6.HLEN + quote
    pool.ledger.originate(1)
    plane.icmpSent++
    iface?.complained()
    if (pool.trace !== null) explain.complained(pool, f, g, type, code, rest)
    return g
  }

  /** Tells whether the packet is an ICMPv6 error or a redirect, or a fragment that may be part of one. */
  #aboutError(b: Uint8Array, l3: number, end: number): boolean {
    const found = this.#upper
    if (!ipv6.upper(b, l3, end, found) || found.protocol !== ipv4.Protocol.Icmpv6) return false
    if (found.fragmentOffset !== 0 || found.offset >= end) return true
    const type = b[found.offset] as number
    return type < 128 || type === icmpv6.Type.Redirect
  }
}

/** Tells whether the 16 bytes at `at` are `::`. */
export function unspecified(b: Uint8Array, at: number): boolean {
  return u32(b, at) === 0 && u32(b, at + 4) === 0 && u32(b, at + 8) === 0 && u32(b, at + 12) === 0
}
