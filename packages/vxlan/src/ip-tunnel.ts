import {
  Batch,
  type Clock,
  checkRange,
  Drop,
  type Element,
  type Frame,
  type FramePool,
  finish,
  fragment,
  type Link,
  type LocalTaker,
  type Neighbours,
  NO_FRAME,
  Offload,
} from '@l2l3/switch-core'
import { eth, ipv4, ipv6, parseMac, u32 } from '@l2l3/switch-core/wire'
import { ecnEgress } from './ecn.ts'
import { type FlowReader, Found, flowReader } from './flow-hash.ts'
import { type IpAddress, LIMIT_OPTION, OuterIp, parseIp } from './ip-tunnel-outer.ts'
import { type RemoteOptions, Remotes, TunnelNeighbours } from './ip-tunnel-remote.ts'
import type { Inside, Shim } from './ip-tunnel-shim.ts'
import { Fate, fateOf, packetLength, TooBig } from './mtu.ts'
import { tunnelDepth } from './nesting.ts'
import { PathMtu, type PathMtuOptions, readTooBig, TooBigReport } from './path-mtu.ts'
import { type ProfileOptions, tunnelSettings } from './profile.ts'
import { asUnderlay, type Underlay } from './underlay.ts'

/*
 * A tunnel that is not VXLAN nor GENEVE: IPv4 or IPv6 in IP, GRE, STT.
 *
 *     RouterInterface tun0 ── out ──> IpTunnel ── out ──> underlay: Router.send, or a port
 *     RouterInterface tun0 <── into ─ decap, take <────── underlay: Router.onLocal, or a port
 *
 *     | Ethernet | inner IP ............. |          the router's frame, its MACs tell nothing
 *     | Ethernet | outer IP | GRE | inner IP ... |   what leaves; the underlay writes the MACs
 *
 * A tunnel for packets stands behind a router interface, whose MAC it has; in place of the inner Ethernet header comes the
 * outer one. A tunnel for frames (GRETAP, STT) stands behind a switch port, or an interface, and carries the header.
 *
 * On the way in: a remote is found; a packet that is the tunnel's own outside, or wrapped too often, ends as `NestedTunnel`
 * (RFC 2003, 4.4; RFC 2473, 5.1); one that does not fit is refused or cut (`mtu`); TOS, ECN, TTL and DF make the outer ones.
 * On the way out: acceptance, each refusal with its reason; ECN (RFC 6040); and a fresh Ethernet header.
 *
 * Super-frames are cut before they are wrapped: virtio-net knows no IP packet in IP or GRE, so that no port could carry one. A
 * missing checksum stays missing, since where it goes is told by offset. Segments cost a copy each; between two nodes in one
 * process a VXLAN tunnel carries super-frames whole, these do not.
 *
 * What it is not: outer fragments are not put together (`OuterFragment`), outer IPv6 packets are not cut (RFC 2473, 7.2 would
 * have it for IPv6 of up to 1,280 bytes; give the underlay 1,328 and more), ICMP errors other than "too big" are not relayed inside.
 */

/** Settings of a tunnel. The fields of a profile are those of the `linux` profile unless said otherwise; `ttl` is `inherit`
 * and `df` is `set` then, as of the kernel's ipip, gre and sit devices; over IPv6 `ttl` is 64, as of ip6tnl. */
export interface IpTunnelOptions extends ProfileOptions {
  /** Our end: an IPv4 or IPv6 address. */
  local: string
  /** The other end. */
  remote: RemoteOptions
  /** IPv4 prefixes that packets may come from, where `remote` is not one address. Default all, as in Linux. */
  peers?: readonly string[]
  /** Where wrapped packets go: the node's router, or a link to a port. */
  out: Link | Underlay
  /** Where unwrapped ones go, and answers about what does not fit: the interface, or the switch's port. */
  into: Link
  /** The MAC of the interface behind which it stands. Needed by tunnels that carry packets. */
  mac?: string
  /** The MTU of the underlay, 576 (1,280 of IPv6) to 65,535. Default 1,500. */
  mtu?: number
  /** What becomes of an IPv4 packet without DF that does not fit: cut before it is wrapped, or after, by the underlay, which
   * takes an outer header without DF. Default `inner` for packets, `outer` for frames. */
  cut?: 'inner' | 'outer'
  /** How many IP headers a packet may be wrapped in already, 0 to 255; over IPv6 also told to further tunnels, and `none` to
   * say nothing (RFC 2473, 4.1.1). Default 4, as of Linux' ip6tnl. */
  encapLimit?: number | 'none'
  /** The table of path MTUs; several tunnels may share one. Default one of its own. */
  pathMtu?: PathMtu | PathMtuOptions
}

/** What a tunnel has counted. */
export interface IpTunnelCounters {
  /** Packets that left wrapped, and that came out unwrapped. */
  readonly encapsulated: number
  readonly decapsulated: number
  /** Answers "too big" that were given, and that must not be. */
  readonly tooBig: number
  readonly withheld: number
  /** ICMP errors about our packets by which a path was lowered. */
  readonly lowered: number
}

const NOT_OURS = -1
const OURS = -2

/** One end of a tunnel: an element that wraps. */
export class IpTunnel implements Element, Inside {
  readonly name: string
  readonly local: IpAddress
  /** Bytes that it adds to the inner IP packet. */
  readonly overhead: number
  /** Knows the next hops of the interface behind which it stands. */
  readonly neighbours: Neighbours
  /** Unwraps what comes from an underlay that is a port: what is not for the tunnel ends here. */
  readonly decap: Element
  /** Unwraps what is for the tunnel, or reads an ICMP error about it, and leaves the rest: for `Router.onLocal`. */
  readonly take: LocalTaker
  readonly pathMtu: PathMtu
  /* What the packet at hand is. */
  version = 0
  hash = 0
  readonly #pool: FramePool
  readonly #shim: Shim
  readonly #outer: OuterIp
  readonly #remotes: Remotes
  readonly #out: Underlay
  readonly #into: Link
  readonly #mac: Uint8Array
  readonly #mtu: number
  readonly #cutInner: boolean
  readonly #limit: number
  readonly #tellLimit: boolean
  readonly #reader: FlowReader
  readonly #tooBig: TooBig
  readonly #report: TooBigReport = new TooBigReport()
  readonly #upper: ipv6.Upper = new ipv6.Upper()
  readonly #one: Batch = new Batch(1)
  readonly #n: Float64Array = new Float64Array(3)
  #fits = 0
  #why: Drop = 0
  /* Where the packet that was judged ends, its outer TOS, and where what the shim reads starts. */
  #end = 0
  #tos = 0
  #shimAt = 0

  /** Use `ipipTunnel`, `greTunnel`, `sttTunnel`. Throws for settings that make no sense, with key and value. */
  constructor(pool: FramePool, clock: Clock, shim: Shim, options: IpTunnelOptions) {
    this.#pool = pool
    this.#shim = shim
    this.name = shim.name
    this.local = parseIp('local', options.local)
    this.#remotes = new Remotes(this.local, options.remote, options.peers)
    const usual = options.profile === undefined || options.profile === 'linux'
    const settings = tunnelSettings(
      usual
        ? { ttl: this.local.v6 ? 64 : 'inherit', df: 'set', ...options }
        : options.profile === 'rfc'
          ? { df: 'inherit', ...options }
          : options,
      'other',
    )
    const limit = options.encapLimit ?? 4
    this.#limit = limit === 'none' ? 255 : checkRange('encapLimit', limit, 0, 255)
    this.#tellLimit = this.local.v6 && limit !== 'none'
    this.#outer = new OuterIp(this.local, settings, limit === 'none' ? null : limit)
    this.overhead = this.#outer.length - eth.HLEN + shim.length + (shim.ethernet ? eth.HLEN : 0)
    this.#out = asUnderlay('out', options.out, pool)
    if (options.into?.pool !== pool) throw new Error(`into: link ${options.into?.name} has another frame pool`)
    this.#into = options.into
    if (!shim.ethernet && options.mac === undefined) {
      throw new TypeError(`mac is needed: ${shim.name} carries packets, and frames have to be made of them`)
    }
    this.#mac = options.mac === undefined ? new Uint8Array(6) : parseMac(options.mac)
    this.#mtu = checkRange('mtu', options.mtu ?? 1500, this.local.v6 ? 1280 : 576, 65_535)
    if (options.cut !== undefined && options.cut !== 'inner' && options.cut !== 'outer') {
      throw new RangeError(`cut must be inner or outer, not ${String(options.cut)}`)
    }
    this.#cutInner = (options.cut ?? (shim.ethernet ? 'outer' : 'inner')) === 'inner'
    this.pathMtu = options.pathMtu instanceof PathMtu ? options.pathMtu : new PathMtu(clock, options.pathMtu)
    this.#reader = flowReader(pool)
    this.#tooBig = new TooBig(pool)
    this.neighbours = new TunnelNeighbours(pool)
    this.decap = { process: (batch) => this.#decapAll(batch) }
    this.take = (f) => this.#take(f)
  }

  /** The longest inner IP packet that fits where nothing is known of the path: the MTU for the interface. */
  get mtu(): number {
    return this.#mtu - this.overhead
  }

  get counters(): IpTunnelCounters {
    return {
      encapsulated: this.#n[0] as number,
      decapsulated: this.#n[1] as number,
      tooBig: this.#tooBig.sent,
      withheld: this.#tooBig.withheld,
      lowered: this.#n[2] as number,
    }
  }

  /** Wraps what the interface sends. */
  process(batch: Batch): void {
    for (let i = 0; i < batch.length; i++) this.#encap(batch.frames[i] as Frame)
    batch.length = 0
  }

  #encap(f: Frame): void {
    const pool = this.#pool
    if (!this.#look(f)) {
      pool.drop(f, this.#why)
      return
    }
    const l3 = this.#reader.found[Found.L3] as number
    const fate = l3 === 0 ? this.#plainFate(f) : fateOf(pool, f, l3, this.#fits, this.#length(f, l3))
    if (fate === Fate.Refuse) this.#refuse(f)
    else if (pool.gsoType[f] !== 0) this.#finish(f, Offload.Checksum, fate === Fate.Fits ? this.#wrapAll : this.#cutAll)
    else if (fate === Fate.Fits) this.#wrap(f, true)
    else if (this.#cutInner && this.version === 4) this.#finish(f, 0, this.#cutAll)
    else if (this.#outer.mayBeCut || (!this.#outer.v6 && this.version === 6)) this.#wrap(f, false)
    else pool.drop(f, Drop.TooBig)
  }

  /** Bytes of the packet at which `#look` has looked, without Ethernet's padding; of a super-frame its longest segment's. */
  #length(f: Frame, l3: number): number {
    const pool = this.#pool
    if (this.#shim.ethernet || pool.gsoType[f] !== 0) return packetLength(pool, f, l3)
    return this.version === 4 ? ipv4.totalLength(pool.bytes, l3) : ipv6.HLEN + ipv6.payloadLength(pool.bytes, l3)
  }

  #plainFate(f: Frame): number {
    return this.#pool.len[f]! - eth.HLEN <= this.#fits ? Fate.Fits : Fate.Cut
  }

  /** Reads what the outer header is made of; false where the frame cannot go, `#why`. */
  #look(f: Frame): boolean {
    const pool = this.#pool
    const b = pool.bytes
    const o = pool.off[f] as number
    let n = pool.len[f] as number
    if (n < eth.HLEN) return this.#cannot(Drop.Runt)
    const { found } = this.#reader
    this.hash = this.#reader.read(o, n, true)
    this.version = found[Found.Version] as number
    const l3 = found[Found.L3] as number
    if (!this.#shim.ethernet) {
      if (this.version === 0 || found[Found.Tags] !== 0) return this.#cannot(Drop.NotIp)
      if (!this.#shim.carries(this.#shim.protocolFor(this.version))) return this.#cannot(Drop.TunnelProtocol)
      // A short packet has Ethernet's padding behind it, which is not for the tunnel.
      const total = this.version === 4 ? ipv4.totalLength(b, l3) : ipv6.HLEN + ipv6.payloadLength(b, l3)
      if (pool.gsoType[f] === 0) {
        if (total > n - eth.HLEN || total < (this.version === 4 ? ipv4.headerLength(b, l3) : ipv6.HLEN)) {
          return this.#cannot(Drop.Malformed)
        }
        n = total + eth.HLEN
      }
    }
    if (!this.#remotes.find(b, o, l3, this.version)) return this.#cannot(Drop.NoRemote)
    if (this.version !== 0 && this.#nested(l3, o + n)) return this.#cannot(Drop.NestedTunnel)
    const to = this.#remotes.bytes
    const path = this.local.v6 ? this.pathMtu.to6(to, 0) : this.pathMtu.to4(u32(to, 0))
    this.#fits = Math.min(path, this.#mtu) - this.overhead
    return true
  }

  #cannot(why: Drop): false {
    this.#why = why
    return false
  }

  /** Tells whether the packet at `l3` is this tunnel's own outside, or has been wrapped as often as is allowed. */
  #nested(l3: number, end: number): boolean {
    const b = this.#pool.bytes
    const v6 = b[l3]! >>> 4 === 6
    if (v6 === this.local.v6) {
      const { bytes } = this.local
      const src = l3 + (v6 ? ipv6.SRC : ipv4.SRC)
      let same = true
      for (let i = 0; i < bytes.length && same; i++) same = b[src + i] === bytes[i]
      if (same && this.#remotes.is(b, src + bytes.length)) return true
    }
    if (v6 && this.local.v6 && ipv6.nextHeader(b, l3) === ipv4.Protocol.DestinationOptions) {
      const at = l3 + ipv6.HLEN
      if (end - at >= 8 && tunnelLimit(b, at, Math.min(end, at + ((b[at + 1]! + 1) << 3))) === 0) return true
    }
    return tunnelDepth(b, l3, end, false) > this.#limit
  }

  /** Drops a packet that does not fit, after its sender was told. */
  #refuse(f: Frame): void {
    // Less than 1,280 may not be said of IPv6 (RFC 8201, 4).
    const g = this.#tooBig.answer(f, this.version === 6 ? Math.max(this.#fits, 1280) : this.#fits)
    if (g !== NO_FRAME) this.#into.push(g)
    this.#pool.drop(f, Drop.TooBig)
  }

  #finish(f: Frame, offloads: number, write: (batch: Batch) => void): void {
    this.#one.push(f)
    finish(this.#pool, this.#one, offloads, write, this.#lost)
    this.#one.length = 0
  }

  readonly #lost = (f: Frame, why: Drop): void => this.#pool.drop(f, why)

  readonly #wrapAll = (batch: Batch): void => {
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      if (this.#look(f)) this.#wrap(f, true)
      else this.#pool.drop(f, this.#why)
    }
  }

  /** Takes finished IPv4 packets without DF, or segments of a super-frame that do not fit. */
  readonly #cutAll = (batch: Batch): void => {
    const pool = this.#pool
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      if (!this.#look(f)) pool.drop(f, this.#why)
      else if (!this.#cutInner || this.version !== 4 || this.#reader.found[Found.Tags] !== 0) {
        if (this.#outer.mayBeCut) this.#wrap(f, false)
        else pool.drop(f, Drop.TooBig)
      } else {
        const g = pool.own(f)
        if (g === NO_FRAME) continue
        pool.len[g] = eth.HLEN + ipv4.totalLength(pool.bytes, pool.off[g]! + eth.HLEN)
        fragment(pool, g, this.#fits, this.#piece, this.#lost)
      }
    }
  }

  readonly #piece = (f: Frame): void => {
    if (this.#look(f)) this.#wrap(f, true)
    else this.#pool.drop(f, this.#why)
  }

  /** Wraps a frame at which `#look` has looked. */
  #wrap(f: Frame, whole: boolean): void {
    const pool = this.#pool
    const g = pool.own(f)
    if (g === NO_FRAME) return
    const shim = this.#shim
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
    const { length } = this.#outer
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
    this.#outer.write(
      pool,
      at,
      protocol,
      payload,
      this.#remotes.bytes,
      0,
      found[Found.Tos] as number,
      found[Found.Ttl] as number,
      found[Found.Df] as number,
      whole,
      this.hash,
      this.#limitLeft(at + length + shim.length, end),
    )
    shim.write(g, at + eth.HLEN, at + length, end, this)
    this.#n[0]!++
    this.#out.send(g)
  }

  /** The limit to tell the next tunnel: ours, or one less than the inner packet says (RFC 2473, 5.1). */
  #limitLeft(inner: number, end: number): number {
    if (!this.#tellLimit || this.version !== 6 || this.#shim.ethernet) return this.#limit
    const b = this.#pool.bytes
    if (ipv6.nextHeader(b, inner) !== ipv4.Protocol.DestinationOptions) return this.#limit
    const at = inner + ipv6.HLEN
    if (end - at < 8) return this.#limit
    const said = tunnelLimit(b, at, Math.min(end, at + ((b[at + 1]! + 1) << 3)))
    return said === -1 ? this.#limit : said - 1
  }

  #decapAll(batch: Batch): void {
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      const inner = this.#judge(f)
      if (inner >= 0) this.#open(f, inner)
      else if (inner === OURS || !this.#error(f)) this.#pool.drop(f, this.#why)
    }
    batch.length = 0
  }

  #take(f: Frame): boolean {
    const inner = this.#judge(f)
    if (inner >= 0) this.#open(f, inner)
    else if (inner === OURS) this.#pool.drop(f, this.#why)
    else return this.#error(f)
    return true
  }

  /** Unwraps a frame that was judged; a train of outer datagrams is cut before. */
  #open(f: Frame, inner: number): void {
    if (this.#pool.gsoType[f] === 0) this.#unwrap(f, inner)
    else this.#finish(f, Offload.Checksum, this.#openAll)
  }

  readonly #openAll = (batch: Batch): void => {
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      const inner = this.#judge(f)
      if (inner >= 0) this.#unwrap(f, inner)
      else this.#pool.drop(f, this.#why)
    }
  }

  /** Looks at a frame from the underlay: where the inner packet starts, `OURS` where it is for this tunnel and must end, or
   * `NOT_OURS`; then `#why` says why. */
  #judge(f: Frame): number {
    const pool = this.#pool
    const b = pool.bytes
    const o = pool.off[f] as number
    const l3 = o + eth.HLEN
    const frameEnd = o + (pool.len[f] as number)
    const { v6, bytes } = this.local
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
    if (!this.#shim.carries(protocol)) return this.#no(NOT_OURS, Drop.TunnelProtocol)
    if (!this.#remotes.accepts(b, src)) return this.#no(NOT_OURS, Drop.UnknownPeer)
    if (!v6 && !ipv4.checksumOk(b, l3)) return this.#no(OURS, Drop.BadChecksum)
    if (fragmented)
      return this.#no(this.#shim.protocolFor(4) === ipv4.Protocol.Tcp ? NOT_OURS : OURS, Drop.OuterFragment)
    const inner = this.#shim.read(f, l3, l4, this.#end, protocol)
    if (inner === -1) {
      // Another tunnel between the same two ends may know the key, or the port.
      const { why } = this.#shim
      return this.#no(why === Drop.UnknownVni || why === Drop.TunnelProtocol ? NOT_OURS : OURS, why)
    }
    this.#shimAt = l4
    return this.#insideOk(inner, protocol) ? inner : OURS
  }

  #no(verdict: number, why: Drop): number {
    this.#why = why
    return verdict
  }

  /** Looks at the inner packet, or frame, and sets `version` and `#end` to where it ends. */
  #insideOk(inner: number, protocol: number): boolean {
    const b = this.#pool.bytes
    this.version = 0
    let l3 = inner
    if (this.#shim.ethernet) {
      if (!eth.fits(inner, this.#end)) return this.#cannot(Drop.InnerRunt)
      l3 = inner + eth.HLEN
      const type = eth.type(b, inner)
      // A frame may carry anything; what says that it is IP and is not passes as it is.
      if (type === eth.EtherType.IPv4 && ipv4.check(b, l3, this.#end) !== -1) this.version = 4
      if (type === eth.EtherType.IPv6 && ipv6.check(b, l3, this.#end) !== -1) this.version = 6
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
    this.version = version
    return true
  }

  /** Takes the outer header off and hands on what was inside. */
  #unwrap(f: Frame, inner: number): void {
    const pool = this.#pool
    const from = pool.off[f] as number
    const ethernet = this.#shim.ethernet
    const start = inner - from - (ethernet ? 0 : eth.HLEN)
    const length = this.#end - inner
    const g = pool.own(f)
    if (g === NO_FRAME) return
    const b = pool.bytes
    const moved = pool.off[g]! - from
    // A checksum that is missing outside is nobody's any more: the packet has not been touched since it was made.
    const outside = (pool.flags[g]! & Offload.Checksum) !== 0 && pool.csumStart[g]! < inner - from
    if (outside) pool.flags[g] = pool.flags[g]! & ~Offload.Checksum
    if (!this.#shim.opened(g, this.#shimAt + moved)) {
      pool.drop(g, this.#shim.why)
      return
    }
    pool.strip(g, start)
    pool.shiftOffload(g, -start)
    const o = pool.off[g] as number
    const l3 = o + eth.HLEN
    pool.len[g] = ethernet ? length : length + eth.HLEN
    if (!ethernet) {
      eth.write(b, o, this.#mac, this.#mac, this.version === 4 ? eth.EtherType.IPv4 : eth.EtherType.IPv6)
    }
    if (this.version !== 0 && !ecnEgress(b, l3, this.#tos)) {
      pool.drop(g, Drop.EcnMismatch)
      return
    }
    this.#n[1]!++
    this.#into.push(g)
  }

  /** Reads an ICMP error about a packet of this tunnel that was too big; false where the frame is something else. */
  #error(f: Frame): boolean {
    const report = this.#report
    if (!readTooBig(this.#pool, f, report) || report.v6 !== this.local.v6) return false
    const b = this.#pool.bytes
    const { bytes, v6 } = this.local
    const src = report.ip + (v6 ? ipv6.SRC : ipv4.SRC)
    const to = this.#pool.off[f]! + eth.HLEN + (v6 ? ipv6.DST : ipv4.DST)
    for (let i = 0; i < bytes.length; i++) if (b[src + i] !== bytes[i] || b[to + i] !== bytes[i]) return false
    let { protocol, l4 } = report
    if (v6 && this.#tellLimit) {
      if (protocol !== ipv4.Protocol.DestinationOptions) return false
      protocol = b[l4] as number
      l4 += 8
    }
    const dst = src + bytes.length
    if (!this.#shim.carries(protocol) || !this.#remotes.accepts(b, dst)) return false
    if (report.end - l4 >= 8 && !this.#shim.wrote(b, l4, report.end, protocol)) return false
    const low = v6 ? this.pathMtu.lower6(b, dst, report.mtu) : this.pathMtu.lower4(u32(b, dst), report.mtu)
    if (low) this.#n[2]!++
    this.#pool.drop(f, Drop.Consumed)
    return true
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
