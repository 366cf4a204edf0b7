import {
  type Batch,
  type Clock,
  checkRange,
  type Element,
  type FramePool,
  type Link,
  type LocalTaker,
  type Neighbours,
} from '@l2l3/switch-core'
import { eth, parseMac } from '@l2l3/switch-core/wire'
import { OuterIp, parseIp } from './ip-tunnel-outer.ts'
import { type RemoteOptions, Remotes, TunnelNeighbours } from './ip-tunnel-remote.ts'
import type { Shim } from './ip-tunnel-shim.ts'
import { TunnelUnwrap } from './ip-tunnel-unwrap.ts'
import { TunnelWrap } from './ip-tunnel-wrap.ts'
import { PathMtu, type PathMtuOptions } from './path-mtu.ts'
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
 * `ip-tunnel-wrap` is the way in: remote, nesting, MTU, the outer header. `ip-tunnel-unwrap` the way out: acceptance, each
 * refusal with its reason, ECN, a fresh Ethernet header. What stands between outer and inner header is a shim's.
 *
 * Super-frames are cut before they are wrapped: virtio-net knows no IP packet in IP or GRE, so that no port could carry one. A
 * missing checksum stays missing, since where it goes is told by offset. Segments cost a copy each; between two nodes in one
 * process a VXLAN tunnel carries super-frames whole, these do not.
 *
 * Outer IPv4 fragments are put together (`reassembly`), but for STT's.
 *
 * What it is not: outer IPv6 packets are not cut, nor put together (RFC 2473, 7.1 would have it for IPv6 of up to 1,280 bytes; give
 * the underlay 1,328 and more), ICMP errors other than "too big" are not relayed inside.
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
  /** What becomes of an IPv4 packet without DF that does not fit: cut before it is wrapped; or after, by the underlay, for
   * which its outer header has no DF (over IPv4 only); or dropped. Default `inner` for packets; for frames `outer`, if `df` lets
   * it be. */
  cut?: 'inner' | 'outer' | 'drop'
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

/** One end of a tunnel: an element that wraps. */
export class IpTunnel implements Element {
  readonly name: string
  /** Bytes that it adds to the inner IP packet. */
  readonly overhead: number
  /** The longest inner IP packet that fits where nothing is known of the path: the MTU for the interface. */
  readonly mtu: number
  /** Knows the next hops of the interface behind which it stands. */
  readonly neighbours: Neighbours
  /** Unwraps what comes from an underlay that is a port: what is not for the tunnel ends here. */
  readonly decap: Element
  /** Unwraps what is for the tunnel, or reads an ICMP error about it, and leaves the rest: for `Router.onLocal`. */
  readonly take: LocalTaker
  readonly pathMtu: PathMtu
  readonly #wrap: TunnelWrap
  readonly #unwrap: TunnelUnwrap

  /** Use `ipipTunnel`, `greTunnel`, `sttTunnel`. Throws for settings that make no sense, with key and value. */
  constructor(pool: FramePool, clock: Clock, shim: Shim, options: IpTunnelOptions) {
    this.name = shim.name
    const local = parseIp('local', options.local)
    const remotes = new Remotes(local, options.remote, options.peers)
    const usual = options.profile === undefined || options.profile === 'linux'
    const settings = tunnelSettings(
      usual
        ? { ttl: local.v6 ? 64 : 'inherit', df: 'set', ...options }
        : options.profile === 'rfc'
          ? { df: 'inherit', ...options }
          : options,
      'other',
    )
    const limit = options.encapLimit ?? 4
    const outer = new OuterIp(local, settings, limit === 'none' ? null : checkRange('encapLimit', limit, 0, 255))
    this.overhead = outer.length - eth.HLEN + shim.length + (shim.ethernet ? eth.HLEN : 0)
    if (options.into?.pool !== pool) throw new Error(`into: link ${options.into?.name} has another frame pool`)
    if (!shim.ethernet && options.mac === undefined) {
      throw new TypeError(`mac is needed: ${shim.name} carries packets, and frames have to be made of them`)
    }
    const mtu = checkRange('mtu', options.mtu ?? 1500, local.v6 ? 1280 : 576, 65_535)
    this.mtu = mtu - this.overhead
    if (options.cut !== undefined && !['inner', 'outer', 'drop'].includes(options.cut)) {
      throw new RangeError(`cut must be inner, outer or drop, not ${String(options.cut)}`)
    }
    if (options.cut === 'outer' && local.v6) {
      throw new RangeError(`cut cannot be outer over IPv6, which nobody cuts on its way: local is ${options.local}`)
    }
    this.pathMtu = options.pathMtu instanceof PathMtu ? options.pathMtu : new PathMtu(clock, options.pathMtu)
    const end = {
      pool,
      clock,
      shim,
      local,
      remotes,
      outer,
      out: asUnderlay('out', options.out, pool),
      into: options.into,
      mac: options.mac === undefined ? new Uint8Array(6) : parseMac(options.mac),
      mtu,
      overhead: this.overhead,
      pathMtu: this.pathMtu,
      cut: options.cut ?? (shim.ethernet ? 'outer' : 'inner'),
      mayCutOuter: outer.mayBeCut || options.cut === 'outer',
      limit: limit === 'none' ? 255 : limit,
      tellLimit: local.v6 && limit !== 'none',
    }
    this.#wrap = new TunnelWrap(end)
    const unwrap = new TunnelUnwrap(end)
    this.#unwrap = unwrap
    this.neighbours = new TunnelNeighbours(pool)
    this.decap = unwrap
    this.take = (f) => unwrap.take(f)
  }

  get counters(): IpTunnelCounters {
    const { sent, withheld } = this.#wrap.tooBig
    const { taken, lowered } = this.#unwrap
    return { encapsulated: this.#wrap.sent, decapsulated: taken, tooBig: sent, withheld, lowered }
  }

  /** Wraps what the interface sends. */
  process(batch: Batch): void {
    this.#wrap.process(batch)
  }
}
