import { Batch, Drop, type Element, type Frame, finish, fragment, NO_FRAME, Offload } from '@l2l3/switch-core'
import { eth, ipv4, ipv6, u32 } from '@l2l3/switch-core/wire'
import * as explain from './explain.ts'
import { type FlowReader, Found, flowReader } from './flow-hash.ts'
import type { TunnelEnd } from './ip-tunnel-end.ts'
import { LIMIT_OPTION } from './ip-tunnel-outer.ts'
import type { Inside } from './ip-tunnel-shim.ts'
import { Fate, fateOf, packetLength, TooBig } from './mtu.ts'
import { tunnelDepth } from './nesting.ts'

/*
 * The way into a tunnel.
 *
 *   1. Is it what the tunnel carries?                       NotIp, TunnelProtocol, Malformed
 *   2. Where to?                                            NoRemote
 *   3. Is it the tunnel's own outside, or wrapped too often? NestedTunnel (RFC 2003, 4.4; RFC 2473, 5.1)
 *   4. Does it fit?   refuse, after its sender was told;    TooBig
 *                     or cut it before it is wrapped, or let the underlay cut what comes of it
 *   5. Outer header in front, in place of the inner Ethernet header where packets are carried; out.
 *
 * Steps 1 to 4 only read, so that what is cut or answered is the packet as it came.
 */

/** Wraps what an interface, or a switch's port, sends. */
export class TunnelWrap implements Element, Inside {
  /* What the packet at hand is. */
  version = 0
  hash = 0
  /** Packets that left. */
  sent = 0
  readonly tooBig: TooBig
  readonly #end: TunnelEnd
  readonly #reader: FlowReader
  readonly #one: Batch = new Batch(1)
  #fits = 0
  #why: Drop = 0

  constructor(end: TunnelEnd) {
    this.#end = end
    this.#reader = flowReader(end.pool)
    this.tooBig = new TooBig(end.pool)
  }

  process(batch: Batch): void {
    for (let i = 0; i < batch.length; i++) this.#encap(batch.frames[i] as Frame)
    batch.length = 0
  }

  #encap(f: Frame): void {
    const pool = this.#end.pool
    if (!this.#look(f)) {
      if (pool.trace !== null && this.#why === Drop.NoRemote) explain.tunnelSays(pool, f, this.#end.remotes.why)
      pool.drop(f, this.#why)
      return
    }
    const l3 = this.#reader.found[Found.L3] as number
    const fate = l3 === 0 ? this.#plainFate(f) : fateOf(pool, f, l3, this.#fits, this.#length(f, l3))
    if (pool.trace !== null && fate !== Fate.Fits) {
      explain.tooLong(pool, f, 'tunnel', this.#fits, fate === Fate.Refuse ? 'refused' : `cut ${this.#end.cut}`)
    }
    if (fate === Fate.Refuse) this.#refuse(f)
    else if (pool.gsoType[f] !== 0) this.#finish(f, Offload.Checksum, fate === Fate.Fits ? this.#wrapAll : this.#cutAll)
    else if (fate === Fate.Fits) this.#wrap(f, true)
    else if (this.#end.cut === 'inner' && this.version === 4) this.#finish(f, 0, this.#cutAll)
    else this.#wrapLong(f)
  }

  /** Bytes of the packet at which `#look` has looked, without Ethernet's padding; of a super-frame its longest segment's. */
  #length(f: Frame, l3: number): number {
    const pool = this.#end.pool
    if (this.#end.shim.ethernet || pool.gsoType[f] !== 0) return packetLength(pool, f, l3)
    return this.version === 4 ? ipv4.totalLength(pool.bytes, l3) : ipv6.HLEN + ipv6.payloadLength(pool.bytes, l3)
  }

  #plainFate(f: Frame): number {
    return this.#end.pool.len[f]! - eth.HLEN <= this.#fits ? Fate.Fits : Fate.Cut
  }

  /** Reads what the outer header is made of; false where the frame cannot go, `#why`. */
  #look(f: Frame): boolean {
    const pool = this.#end.pool
    const b = pool.bytes
    const o = pool.off[f] as number
    let n = pool.len[f] as number
    if (n < eth.HLEN) return this.#cannot(Drop.Runt)
    const { found } = this.#reader
    this.hash = this.#reader.read(o, n, true)
    this.version = found[Found.Version] as number
    const l3 = found[Found.L3] as number
    if (!this.#end.shim.ethernet) {
      if (this.version === 0 || found[Found.Tags] !== 0) return this.#cannot(Drop.NotIp)
      if (!this.#end.shim.carries(this.#end.shim.protocolFor(this.version))) return this.#cannot(Drop.TunnelProtocol)
      // A short packet has Ethernet's padding behind it, which is not for the tunnel.
      const total = this.version === 4 ? ipv4.totalLength(b, l3) : ipv6.HLEN + ipv6.payloadLength(b, l3)
      if (pool.gsoType[f] === 0) {
        if (total > n - eth.HLEN || total < (this.version === 4 ? ipv4.headerLength(b, l3) : ipv6.HLEN)) {
          return this.#cannot(Drop.Malformed)
        }
        n = total + eth.HLEN
      }
    }
    if (!this.#end.remotes.find(b, o, l3, this.version)) return this.#cannot(Drop.NoRemote)
    if (this.version !== 0 && this.#nested(l3, o + n)) return this.#cannot(Drop.NestedTunnel)
    const to = this.#end.remotes.bytes
    const path = this.#end.local.v6 ? this.#end.pathMtu.to6(to, 0) : this.#end.pathMtu.to4(u32(to, 0))
    this.#fits = Math.min(path, this.#end.mtu) - this.#end.overhead
    // VLAN tags are carried, and take room.
    if (this.version !== 0) this.#fits -= l3 - o - eth.HLEN
    return true
  }

  #cannot(why: Drop): false {
    this.#why = why
    return false
  }

  /** Tells whether the packet at `l3` is this tunnel's own outside, or has been wrapped as often as is allowed. */
  #nested(l3: number, end: number): boolean {
    const b = this.#end.pool.bytes
    const v6 = b[l3]! >>> 4 === 6
    if (v6 === this.#end.local.v6) {
      const { bytes } = this.#end.local
      const src = l3 + (v6 ? ipv6.SRC : ipv4.SRC)
      let same = true
      for (let i = 0; i < bytes.length && same; i++) same = b[src + i] === bytes[i]
      if (same && this.#end.remotes.is(b, src + bytes.length)) return true
    }
    if (v6 && this.#end.local.v6 && ipv6.nextHeader(b, l3) === ipv4.Protocol.DestinationOptions) {
      const at = l3 + ipv6.HLEN
      if (end - at >= 8 && tunnelLimit(b, at, Math.min(end, at + ((b[at + 1]! + 1) << 3))) === 0) return true
    }
    return tunnelDepth(b, l3, end, false) > this.#end.limit
  }

  /** Drops a packet that does not fit, after its sender was told. */
  #refuse(f: Frame): void {
    // Less than 1,280 may not be said of IPv6 (RFC 8201, 4).
    const g = this.tooBig.answer(f, this.version === 6 ? Math.max(this.#fits, 1280) : this.#fits)
    if (g !== NO_FRAME) this.#end.into.push(g)
    this.#end.pool.drop(f, Drop.TooBig)
  }

  #finish(f: Frame, offloads: number, write: (batch: Batch) => void): void {
    this.#one.push(f)
    finish(this.#end.pool, this.#one, offloads, write, this.#lost)
    this.#one.length = 0
  }

  readonly #lost = (f: Frame, why: Drop): void => this.#end.pool.drop(f, why)

  readonly #wrapAll = (batch: Batch): void => {
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      if (this.#look(f)) this.#wrap(f, true)
      else this.#end.pool.drop(f, this.#why)
    }
  }

  /** Takes finished IPv4 packets without DF, or segments of a super-frame that do not fit. */
  readonly #cutAll = (batch: Batch): void => {
    const pool = this.#end.pool
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      if (!this.#look(f)) pool.drop(f, this.#why)
      else if (this.#end.cut !== 'inner' || this.version !== 4 || this.#reader.found[Found.Tags] !== 0)
        this.#wrapLong(f)
      else {
        const g = pool.own(f)
        if (g === NO_FRAME) continue
        pool.len[g] = eth.HLEN + ipv4.totalLength(pool.bytes, pool.off[g]! + eth.HLEN)
        fragment(pool, g, this.#fits, this.#piece, this.#lost)
      }
    }
  }

  /** Wraps what is too long and may not be refused, for the underlay to cut. IPv6 goes, whatever the settings say: every link
   * has to take 1,280 bytes of it (RFC 4213, 3.2; RFC 2473, 7.1), and what was said of the path need not be true. */
  #wrapLong(f: Frame): void {
    if (this.version === 6 || (this.#end.cut !== 'drop' && this.#end.mayCutOuter)) this.#wrap(f, false)
    else this.#end.pool.drop(f, Drop.TooBig)
  }

  readonly #piece = (f: Frame): void => {
    if (this.#look(f)) this.#wrap(f, true)
    else this.#end.pool.drop(f, this.#why)
  }

  /** Wraps a frame at which `#look` has looked. */
  #wrap(f: Frame, whole: boolean): void {
    const pool = this.#end.pool
    const g = pool.own(f)
    if (g === NO_FRAME) return
    const shim = this.#end.shim
    const { found } = this.#reader
    const shift = pool.off[g]! - pool.off[f]!
    let n = pool.len[g] as number
    let lead = 0
    if (!shim.ethernet) {
      const l3 = (found[Found.L3] as number) + shift
      n =
        eth.HLEN +
        (this.version === 4 ? ipv4.totalLength(pool.bytes, l3) : ipv6.HLEN + ipv6.payloadLength(pool.bytes, l3))
      pool.len[g] = n
      lead = eth.HLEN
    }
    const { length } = this.#end.outer
    const grown = length + shim.length - lead
    if (n + grown - eth.HLEN > 65_535) {
      pool.drop(g, Drop.TooBig)
      return
    }
    const at = pool.prepend(g, grown)
    if (at === -1) {
      pool.drop(g, Drop.NoHeadroom)
      return
    }
    pool.shiftOffload(g, grown)
    const end = at + n + grown
    const payload = end - at - length
    const protocol = shim.protocolFor(this.version)
    this.#end.outer.write(
      pool,
      at,
      protocol,
      payload,
      this.#end.remotes.bytes,
      0,
      found[Found.Tos] as number,
      found[Found.Ttl] as number,
      found[Found.Df] as number,
      whole,
      this.hash,
      this.#limitLeft(at + length + shim.length, end),
    )
    shim.write(g, at + eth.HLEN, at + length, end, this)
    this.sent++
    if (pool.trace !== null) explain.wrapped(pool, g, 'tunnel', `${shim.name}, ${this.#end.remotes.how}`)
    this.#end.out.send(g)
  }

  /** The limit to tell the next tunnel: ours, or one less than the inner packet says (RFC 2473, 5.1). */
  #limitLeft(inner: number, end: number): number {
    if (!this.#end.tellLimit || this.version !== 6 || this.#end.shim.ethernet) return this.#end.limit
    const b = this.#end.pool.bytes
    if (ipv6.nextHeader(b, inner) !== ipv4.Protocol.DestinationOptions) return this.#end.limit
    const at = inner + ipv6.HLEN
    if (end - at < 8) return this.#end.limit
    const said = tunnelLimit(b, at, Math.min(end, at + ((b[at + 1]! + 1) << 3)))
    return said === -1 ? this.#end.limit : said - 1
  }
}

/** The tunnel encapsulation limit in the destination options `[at, end)`; -1 where there is none. */
function tunnelLimit(b: Uint8Array, at: number, end: number): number {
  for (let i = at + 2; i < end; ) {
    const type = b[i] as number
    if (type === 0) {
      i++
      continue
    }
    if (end - i < 3) return -1
    if (type === LIMIT_OPTION) return b[i + 2] as number
    i += 2 + b[i + 1]!
  }
  return -1
}
