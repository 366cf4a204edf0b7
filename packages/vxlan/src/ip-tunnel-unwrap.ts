import { Batch, Drop, type Element, type Frame, finish, NO_FRAME, Offload } from '@l2l3/switch-core'
import { eth, formatIpv4, formatIpv6, ipv4, ipv6, u32 } from '@l2l3/switch-core/wire'
import { ecnEgress } from './ecn.ts'
import * as explain from './explain.ts'
import type { TunnelEnd } from './ip-tunnel-end.ts'
import { readTooBig, TooBigReport } from './path-mtu.ts'
import { Reassembly } from './reassembly.ts'

/*
 * The way out of a tunnel. What is refused, and why, in this order:
 *
 *     not for this end    NotIp, OtherHost, TunnelProtocol, UnknownPeer, and of the shim UnknownVni, TunnelProtocol: another
 *                         end may want it, or it is an ICMP error about a packet of ours
 *     for it, and wrong   BadChecksum, what else the shim says, InnerRunt, Malformed, EcnMismatch
 *     for it, a piece     put together over IPv4 (`reassembly`), else OuterFragment
 *
 * Up to there the frame is only read. What is taken loses all in front of the inner packet, and what was padding behind it;
 * a packet gets a fresh Ethernet header with the MACs of the interface, which it is for.
 */

const NOT_OURS = -1
const OURS = -2
/** A fragment of a packet for this tunnel. */
const PIECE = -3

/** Unwraps what comes from an underlay. */
export class TunnelUnwrap implements Element {
  /** Packets that came out. */
  taken = 0
  /** ICMP errors by which a path was lowered. */
  lowered = 0
  readonly #of: TunnelEnd
  readonly #report: TooBigReport = new TooBigReport()
  readonly #upper: ipv6.Upper = new ipv6.Upper()
  readonly #pieces: Reassembly
  readonly #one: Batch = new Batch(1)
  #why: Drop = 0
  /* The version of the inner packet that was judged, where it ends, its outer TOS, and where what the shim reads starts. */
  #version = 0
  #end = 0
  #tos = 0
  #shimAt = 0

  constructor(end: TunnelEnd) {
    this.#of = end
    this.#pieces = new Reassembly(end.pool, end.clock)
  }

  /** Takes what comes from an underlay that is a port: what is not for the tunnel ends here. */
  process(batch: Batch): void {
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      const inner = this.#judge(f)
      if (inner >= 0) this.#open(f, inner)
      else if (inner === PIECE) this.#gather(f)
      else if (inner === OURS || !this.#error(f)) this.#of.pool.drop(f, this.#why)
    }
    batch.length = 0
  }

  /** Unwraps what is for the tunnel, or reads an ICMP error about it; false, and nothing changed, where it is neither. */
  take(f: Frame): boolean {
    const inner = this.#judge(f)
    if (inner >= 0) this.#open(f, inner)
    else if (inner === PIECE) this.#gather(f)
    else if (inner === OURS) this.#of.pool.drop(f, this.#why)
    else return this.#error(f)
    return true
  }

  /** Unwraps a frame that was judged; a train of outer datagrams is cut before. */
  #open(f: Frame, inner: number): void {
    if (this.#of.pool.gsoType[f] === 0) this.#unwrap(f, inner)
    else this.#finish(f, Offload.Checksum, this.#openAll)
  }

  readonly #openAll = (batch: Batch): void => {
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      const inner = this.#judge(f)
      if (inner >= 0) this.#unwrap(f, inner)
      else this.#of.pool.drop(f, this.#why)
    }
  }

  /** Looks at a frame from the underlay: where the inner packet starts, `OURS` where it is for this tunnel and must end, or
   * `NOT_OURS`; then `#why` says why. */
  #judge(f: Frame): number {
    const pool = this.#of.pool
    const b = pool.bytes
    const o = pool.off[f] as number
    const l3 = o + eth.HLEN
    const frameEnd = o + (pool.len[f] as number)
    const { v6, bytes } = this.#of.local
    this.#why = Drop.Malformed
    if (frameEnd - o < eth.HLEN || eth.type(b, o) !== (v6 ? eth.EtherType.IPv6 : eth.EtherType.IPv4)) {
      return this.#no(NOT_OURS, frameEnd - o < eth.HLEN ? Drop.Runt : Drop.NotIp)
    }
    let l4 = v6 ? ipv6.check(b, l3, frameEnd) : ipv4.check(b, l3, frameEnd)
    if (l4 === -1) return NOT_OURS
    const src = l3 + (v6 ? ipv6.SRC : ipv4.SRC)
    for (let i = 0; i < bytes.length; i++) {
      if (b[src + bytes.length + i] !== bytes[i]) return this.#no(NOT_OURS, Drop.OtherHost)
    }
    let protocol: number
    let fragmented: boolean
    if (v6) {
      this.#end = l4 + ipv6.payloadLength(b, l3)
      this.#tos = ipv6.trafficClass(b, l3)
      const upper = this.#upper
      if (!ipv6.upper(b, l3, this.#end, upper)) return NOT_OURS
      protocol = upper.protocol
      fragmented = upper.more || upper.fragmentOffset !== 0
      l4 = upper.offset
    } else {
      this.#end = l3 + ipv4.totalLength(b, l3)
      this.#tos = ipv4.tos(b, l3)
      protocol = ipv4.protocol(b, l3)
      fragmented = ipv4.isFragment(b, l3)
    }
    if (!this.#of.shim.carries(protocol)) return this.#no(NOT_OURS, Drop.TunnelProtocol)
    if (!this.#of.remotes.accepts(b, src)) return this.#no(NOT_OURS, Drop.UnknownPeer)
    if (!v6 && !ipv4.checksumOk(b, l3)) return this.#no(OURS, Drop.BadChecksum)
    if (fragmented) {
      if (this.#of.shim.protocolFor(4) === ipv4.Protocol.Tcp) return this.#no(NOT_OURS, Drop.OuterFragment)
      if (v6) return this.#no(OURS, Drop.OuterFragment)
      return this.#no(this.#wants(f, l3, l4, protocol) ? PIECE : NOT_OURS, Drop.OuterFragment)
    }
    const inner = this.#of.shim.read(f, l3, l4, this.#end, protocol)
    if (inner === -1) {
      // Another tunnel between the same two ends may know the key, or the port.
      const { why } = this.#of.shim
      return this.#no(why === Drop.UnknownVni || why === Drop.TunnelProtocol ? NOT_OURS : OURS, why)
    }
    this.#shimAt = l4
    return this.#insideOk(inner, protocol) ? inner : OURS
  }

  /** Tells whether an outer fragment is of a packet for this tunnel: the first says so, the others belong to one that is here. */
  #wants(f: Frame, l3: number, l4: number, protocol: number): boolean {
    if (ipv4.fragmentOffset(this.#of.pool.bytes, l3) !== 0) return this.#pieces.awaits(f)
    const { shim } = this.#of
    if (shim.read(f, l3, l4, this.#end, protocol) !== -1) return true
    return shim.why !== Drop.UnknownVni && shim.why !== Drop.TunnelProtocol
  }

  /** Adds an outer fragment to its packet; unwraps that when it is whole. */
  #gather(f: Frame): void {
    const pool = this.#of.pool
    const g = pool.own(f)
    if (g === NO_FRAME) return
    const whole = this.#pieces.take(g)
    if (whole === NO_FRAME) return
    const inner = this.#judge(whole)
    if (inner >= 0) this.#unwrap(whole, inner)
    else pool.drop(whole, this.#why)
  }

  #no(verdict: number, why: Drop): number {
    this.#why = why
    return verdict
  }

  /** Looks at the inner packet, or frame, and sets `version` and `#end` to where it ends. */
  #insideOk(inner: number, protocol: number): boolean {
    const b = this.#of.pool.bytes
    this.#version = 0
    let l3 = inner
    if (this.#of.shim.ethernet) {
      if (!eth.fits(inner, this.#end)) return this.#cannot(Drop.InnerRunt)
      l3 = inner + eth.HLEN
      const type = eth.type(b, inner)
      // A frame may carry anything; what says that it is IP and is not passes as it is.
      if (type === eth.EtherType.IPv4 && ipv4.check(b, l3, this.#end) !== -1) this.#version = 4
      if (type === eth.EtherType.IPv6 && ipv6.check(b, l3, this.#end) !== -1) this.#version = 6
      return true
    }
    if (this.#end - inner < ipv4.HLEN) return this.#cannot(Drop.InnerRunt)
    const version = b[inner]! >>> 4
    if (protocol === ipv4.Protocol.IpIp && version !== 4) return this.#cannot(Drop.Malformed)
    if (protocol === ipv4.Protocol.Ipv6 && version !== 6) return this.#cannot(Drop.Malformed)
    if (version === 4) {
      if (ipv4.check(b, inner, this.#end) === -1) return this.#cannot(Drop.Malformed)
      this.#end = inner + ipv4.totalLength(b, inner)
    } else if (version === 6) {
      if (this.#end - inner < ipv6.HLEN) return this.#cannot(Drop.InnerRunt)
      if (ipv6.check(b, inner, this.#end) === -1) return this.#cannot(Drop.Malformed)
      this.#end = inner + ipv6.HLEN + ipv6.payloadLength(b, inner)
    } else return this.#cannot(Drop.Malformed)
    this.#version = version
    return true
  }

  /** Takes the outer header off and hands on what was inside. */
  #unwrap(f: Frame, inner: number): void {
    const pool = this.#of.pool
    const from = pool.off[f] as number
    const peer = pool.trace === null ? '' : this.#source(from + eth.HLEN)
    const ethernet = this.#of.shim.ethernet
    const start = inner - from - (ethernet ? 0 : eth.HLEN)
    const length = this.#end - inner
    const g = pool.own(f)
    if (g === NO_FRAME) return
    const b = pool.bytes
    const moved = pool.off[g]! - from
    // A checksum that is missing outside is nobody's any more: the packet has not been touched since it was made.
    const outside = (pool.flags[g]! & Offload.Checksum) !== 0 && pool.csumStart[g]! < inner - from
    if (outside) pool.flags[g] = pool.flags[g]! & ~Offload.Checksum
    if (!this.#of.shim.opened(g, this.#shimAt + moved)) {
      pool.drop(g, this.#of.shim.why)
      return
    }
    pool.strip(g, start)
    pool.shiftOffload(g, -start)
    const o = pool.off[g] as number
    const l3 = o + eth.HLEN
    pool.len[g] = ethernet ? length : length + eth.HLEN
    if (!ethernet) {
      eth.write(b, o, this.#of.mac, this.#of.mac, this.#version === 4 ? eth.EtherType.IPv4 : eth.EtherType.IPv6)
    }
    if (this.#version !== 0 && !ecnEgress(b, l3, this.#tos)) {
      pool.drop(g, Drop.EcnMismatch)
      return
    }
    this.taken++
    if (pool.trace !== null) explain.unwrapped(pool, g, 'tunnel', this.#of.shim.name, peer)
    this.#of.into.push(g)
  }

  /** The source of the outer packet at `l3`, for people. */
  #source(l3: number): string {
    const b = this.#of.pool.bytes
    return this.#of.local.v6 ? formatIpv6(b, l3 + ipv6.SRC) : formatIpv4(ipv4.src(b, l3))
  }

  /** Reads an ICMP error about a packet of this tunnel that was too big; false where the frame is something else. */
  #error(f: Frame): boolean {
    const report = this.#report
    if (!readTooBig(this.#of.pool, f, report) || report.v6 !== this.#of.local.v6) return false
    const b = this.#of.pool.bytes
    const { bytes, v6 } = this.#of.local
    const src = report.ip + (v6 ? ipv6.SRC : ipv4.SRC)
    const to = this.#of.pool.off[f]! + eth.HLEN + (v6 ? ipv6.DST : ipv4.DST)
    for (let i = 0; i < bytes.length; i++) if (b[src + i] !== bytes[i] || b[to + i] !== bytes[i]) return false
    let { protocol, l4 } = report
    if (v6 && this.#of.tellLimit) {
      if (protocol !== ipv4.Protocol.DestinationOptions) return false
      protocol = b[l4] as number
      l4 += 8
    }
    const dst = src + bytes.length
    if (!this.#of.shim.carries(protocol) || !this.#of.remotes.accepts(b, dst)) return false
    if (report.end - l4 >= 8 && !this.#of.shim.wrote(b, l4, report.end, protocol)) return false
    const low = v6 ? this.#of.pathMtu.lower6(b, dst, report.mtu) : this.#of.pathMtu.lower4(u32(b, dst), report.mtu)
    if (low) this.lowered++
    if (this.#of.pool.trace !== null) explain.lowered(this.#of.pool, f, 'tunnel', report.mtu)
    this.#of.pool.drop(f, Drop.Consumed)
    return true
  }

  #finish(f: Frame, offloads: number, write: (batch: Batch) => void): void {
    this.#one.push(f)
    finish(this.#of.pool, this.#one, offloads, write, this.#lost)
    this.#one.length = 0
  }

  readonly #lost = (f: Frame, why: Drop): void => this.#of.pool.drop(f, why)

  #cannot(why: Drop): false {
    this.#why = why
    return false
  }
}
