import type { NeighbourTable } from '@l2l3/arp'
import {
  type Element,
  type Link,
  type LocalTaker,
  Pipeline,
  type ReversePathFilter,
  type Router,
  type RouterInterface,
} from '@l2l3/switch-core'
import {
  type FanOptions,
  FlannelUdp,
  type GreOptions,
  greTunnel,
  gretapTunnel,
  type IpTunnel,
  type IpTunnelOptions,
  ipipTunnel,
  type Labels,
  ovnMac,
  type ProfileOptions,
  type TunnelNetwork,
  takers,
} from '@l2l3/vxlan'
import { Entrance } from './entrance.ts'
import type { Wires } from './ground.ts'
import { type Part, Parts } from './parts.ts'
import { type InterfaceSpec, type JoinedLink, joinedLink, withLinkLocal } from './routed-link.ts'
import { type Carried, TunnelEnds } from './tunnel-ends.ts'
import { underlayMtu as mtuBetween } from './underlay.ts'
import { VtepEnds } from './vtep-ends.ts'

/*
 * Tunnels of a node that routes: each is an interface of its router.
 *
 *     route 10.244.2.0/24 ──> interface tun0 ──> wraps ──> router: route to 192.0.2.2 ──> uplink
 *                             interface tun0 <── unwraps <── for the node itself <────────┘
 *
 *     packets   ipip, 6in4, ip (both), gre, flannel-udp    the next hop needs no MAC
 *     frames    vxlan, geneve, gretap                      neighbours answer ARP and ND through the tunnel, or are told
 *
 * `subnets` says which node has which prefix, as flannel and Calico write it down on every node. What comes of a subnet:
 *
 *     ipip, 6in4, ip, gre   route to 10.244.2.0/24 via 192.0.2.2
 *     vxlan, geneve         route to 10.244.2.0/24 via 10.244.2.0; neighbour 10.244.2.0 is at the far VTEP's MAC; that MAC is
 *                           at 192.0.2.2
 *     flannel-udp           route to 10.244.2.0/24; the backend's own route to 192.0.2.2
 */

/** Kinds of tunnels. */
export type TunnelType = 'ipip' | '6in4' | 'ip' | 'gre' | 'gretap' | 'vxlan' | 'geneve' | 'flannel-udp'

/** A prefix, and the node that has it. */
export interface TunnelSubnet {
  /** `10.244.2.0/24` */
  readonly to: string
  /** The node's address on the underlay. */
  readonly remote: string
  /** VXLAN and GENEVE: the MAC of its end. Default: made of `remote`, as a tunnel's own is of `local`. */
  readonly mac?: string
  /** VXLAN and GENEVE: the far end's address inside. Default: the first of the prefix. */
  readonly via?: string
}

/** A tunnel of a node that routes. */
export interface RoutedTunnel extends ProfileOptions, GreOptions, Pick<IpTunnelOptions, 'encapLimit' | 'peers'> {
  /** Name of the interface. */
  readonly name: string
  readonly type: TunnelType
  /** One of the node's addresses. */
  readonly local: string
  /** The other end. Left out, subnets and routes say it: `via` of a route by the tunnel is a node's address. Or a FAN, which
   * computes it. */
  readonly remote?: string | { readonly fan: FanOptions }
  readonly subnets?: readonly TunnelSubnet[]
  /** The node's addresses inside, with prefix. */
  readonly addresses: readonly string[]
  /** MAC of the interface. Default: 0a:58 and the bytes of `local`, or of its digest (modes.md 14.2). */
  readonly mac?: string
  /** The longest inner packet. Default: what the underlay takes. */
  readonly mtu?: number
  /** VXLAN and GENEVE: needed. `any` takes all that no other tunnel does, and leaves with what `labels` say. */
  readonly vni?: number | 'any'
  /** VXLAN and GENEVE: what headers say besides the VNI; see `Labels`. */
  readonly labels?: Labels
  /** VXLAN and GENEVE: the MAC that frames to `subnets` come from. Default: `mac`, which is where frames of others go. */
  readonly srcMac?: string
  /** Whether what comes out of it and is routed on loses one of its time to live: false where the other end is a half of the same
   * router. Default true. */
  readonly decrementTtl?: boolean
  /** The UDP port of both ends. Default 4789, 6081 or 8285. */
  readonly port?: number
  /** VXLAN and GENEVE: whether far ends are learnt from what comes in. Default: where there are no subnets. */
  readonly learning?: boolean
  /** VXLAN and GENEVE: whether only nodes that `remote` and `subnets` name may send here. Default: where far ends are not
   * learnt. */
  readonly knownPeersOnly?: boolean
  /** VXLAN: whether group policy ids are understood. GENEVE: critical options that are. */
  readonly gbp?: boolean
  readonly knownOptions?: readonly { class: number; type: number }[]
  readonly rpFilter?: ReversePathFilter
}

/** A tunnel that is there. */
export interface TunnelLink {
  readonly name: string
  readonly type: TunnelType
  /** "vxlan vni 1", "gre key 7", "ipip". */
  readonly id: string
  readonly iface: RouterInterface
  readonly local: string
  /** Where it leads. */
  remotes(): readonly string[]
  /** Of tunnels that carry frames. */
  readonly neighbours: NeighbourTable | null
  /** Of VXLAN and GENEVE. */
  readonly network: TunnelNetwork | null
}

/** A tunnel, with what takes its packets out of those for the node; null where the VTEP does it. */
interface MadeTunnel extends Part {
  readonly link: TunnelLink
  readonly take: LocalTaker | null
  /** Whether it takes packets of far ends that it does not name. */
  readonly anybody: boolean
  /** The underlay's MTU to its far ends when it was made. */
  readonly mtu: number
}

interface Place {
  readonly wires: Wires
  /** The router that the tunnel is an interface of. */
  readonly router: Router
  /** The router that carries its outside: the same, or that of the host which the other is on. */
  readonly underlay: Router
  readonly ends: VtepEnds
  /** The longest packet that leaves whole to the far ends of a tunnel. */
  mtuFor(spec: RoutedTunnel): number
}

/** The tunnels of a router whose uplinks and routes are there. It has the router of the underlay ask them about what is for the
 * node. */
export class Tunnels {
  readonly #place: Place
  /** A tunnel is made anew where it is counted once more: the underlay takes other lengths. */
  readonly #parts: Parts<RoutedTunnel & { readonly times: number }, MadeTunnel>
  readonly #times: Map<string, number> = new Map()

  /** @param router that of the inside: each tunnel is an interface of it
   * @param underlay that of the outside, which may be the same
   * @param uplinks its interfaces, for the MTU where no route leads to a far end yet */
  constructor(wires: Wires, router: Router, underlay: Router, uplinks: () => readonly RouterInterface[]) {
    const mtuFor = ({ remote, subnets = [] }: RoutedTunnel): number => {
      const far = [...(typeof remote === 'string' ? [remote] : []), ...subnets.map((s) => s.remote)]
      return mtuBetween(underlay, far, uplinks())
    }
    this.#place = { wires, router, underlay, ends: new VtepEnds(wires, underlay), mtuFor }
    this.#parts = new Parts(({ times: _, ...spec }) => addTunnel(this.#place, spec))
  }

  get list(): readonly TunnelLink[] {
    return this.#parts.list.map((made) => made.link)
  }

  /** Makes the tunnels what `specs` say, and tells whether one was ended or made. Throws for settings that make no sense, with
   * key and value. */
  become(specs: readonly RoutedTunnel[]): boolean {
    const others = new TunnelEnds()
    for (const spec of specs) noteEnd(others, spec)
    const { underlay, ends, mtuFor } = this.#place
    for (const spec of specs) {
      const { name } = spec
      const there = this.#parts.get(name)
      if (there !== undefined && there.mtu !== mtuFor(spec)) this.#times.set(name, (this.#times.get(name) ?? 0) + 1)
    }
    const changed = this.#parts.become(specs.map((spec) => ({ ...spec, times: this.#times.get(spec.name) ?? 0 })))
    if (!changed) return false
    // Who takes anybody's packets is asked last.
    const made = this.#parts.list
    const inOrder = [...made.filter((m) => !m.anybody), ...made.filter((m) => m.anybody)]
    underlay.onLocal = takers(...ends.vteps.map((end) => end.take), ...inOrder.flatMap((m) => m.take ?? []))
    return true
  }
}

/** What each type takes out of the packets for the node. */
const CARRIED: Readonly<Record<TunnelType, readonly Carried[]>> = {
  ipip: ['IPv4 in IP'],
  '6in4': ['IPv6 in IP'],
  ip: ['IPv4 in IP', 'IPv6 in IP'],
  gre: ['gre'],
  gretap: ['gretap'],
  'flannel-udp': ['flannel-udp'],
  vxlan: [],
  geneve: [],
}

function noteEnd(ends: TunnelEnds, { name, type, local, remote, key, port }: RoutedTunnel): void {
  const number = type === 'flannel-udp' ? (port ?? 8285) : key
  ends.add(name, CARRIED[type] ?? [], local, typeof remote === 'string' ? remote : 'any', number)
}

function addTunnel(place: Place, spec: RoutedTunnel): MadeTunnel {
  const mtu = place.mtuFor(spec)
  const own: InterfaceSpec = {
    ...{ name: spec.name, mac: spec.mac ?? ovnMac(spec.local), addresses: spec.addresses },
    ...(spec.rpFilter === undefined ? {} : { rpFilter: spec.rpFilter }),
    ...(spec.decrementTtl === undefined ? {} : { decrementTtl: spec.decrementTtl }),
  }
  switch (spec.type) {
    case 'vxlan':
    case 'geneve':
      return byVtep(place, spec, own, mtu)
    case 'gretap':
      return byGretap(place, spec, own, mtu)
    default:
      return ofPackets(place, spec, own, mtu)
  }
}

/** What `IpTunnel` takes of a tunnel's settings. */
function ipTunnelOptions(
  { underlay }: Place,
  spec: RoutedTunnel,
  own: InterfaceSpec,
  into: Link,
  underlayMtu: number,
): IpTunnelOptions & GreOptions {
  const { name, type, subnets, addresses, mtu, vni, port, learning, knownPeersOnly, rpFilter, ...more } = spec
  const { remote = 'next-hop', labels, srcMac, decrementTtl, ...rest } = more
  return { ...rest, remote, mac: own.mac, mtu: underlayMtu, out: underlay, into }
}

/** A tunnel that carries packets. */
function ofPackets(place: Place, spec: RoutedTunnel, own: InterfaceSpec, underlayMtu: number): MadeTunnel {
  const { wires, router } = place
  const { pool, clock, loop } = wires.ground
  const { name, type, local, subnets = [] } = spec
  const entrance = new Entrance()
  const into = wires.link(entrance, `${name} (unwrapped)`)
  const options = ipTunnelOptions(place, spec, own, into, underlayMtu)
  const tunnel = type === 'flannel-udp' ? flannel(place, spec, options) : plain()
  const six = own.addresses.some((a) => a.includes(':'))
  const iface = router.addInterface({
    ...{ name, mac: own.mac, mtu: spec.mtu ?? tunnel.mtu, neighbours: tunnel.neighbours },
    addresses: six ? withLinkLocal(own) : own.addresses,
    out: loop.link(tunnel, `${name} (wraps)`),
    ...(own.rpFilter === undefined ? {} : { reversePathFilter: own.rpFilter }),
    ...(own.decrementTtl === undefined ? {} : { decrementTtl: own.decrementTtl }),
  })
  entrance.next = iface
  for (const { to, remote } of subnets) {
    if (type === 'flannel-udp') router.addRoute({ to, dev: iface })
    else router.addRoute({ to, dev: iface, via: to.includes(':') ? `::ffff:${remote}` : remote })
  }
  const id = spec.key === undefined ? type : `${type} key ${spec.key}`
  const to = typeof spec.remote === 'string' ? [spec.remote] : subnets.map((s) => s.remote)
  return {
    link: { name, type, id, iface, local, remotes: () => to, neighbours: null, network: null },
    ...{ take: tunnel.take, anybody: typeof spec.remote !== 'string', mtu: underlayMtu },
    end() {
      router.removeInterface(iface)
      wires.end(into)
    },
  }

  function plain(): IpTunnel {
    if (type === 'gre') return greTunnel(pool, clock, options)
    return ipipTunnel(pool, clock, options, type === '6in4' ? 'sit' : type === 'ip' ? 'any' : 'ipip')
  }
}

function flannel({ wires }: Place, spec: RoutedTunnel, options: IpTunnelOptions): FlannelUdp {
  const { name, port, addresses, subnets = [] } = spec
  const { remote: _, ...rest } = options
  const address = addresses.find((a) => !a.includes(':'))
  if (address === undefined)
    throw new TypeError(`addresses of ${name}: flannel's backend needs an IPv4 address to speak from`)
  return new FlannelUdp(wires.ground.pool, wires.ground.clock, {
    ...rest,
    address: address.slice(0, address.indexOf('/')),
    routes: subnets.map(({ to, remote }) => ({ to, via: remote })),
    ...(port === undefined ? {} : { port }),
  })
}

/** An interface behind something that carries frames, with a neighbour table. */
function ofFrames({ wires, router }: Place, own: InterfaceSpec, way: Entrance, entrance: Entrance): JoinedLink {
  const out = wires.link(way, `${own.name} (wraps)`)
  const link = joinedLink(wires, router, { ...own, addresses: withLinkLocal(own) }, out)
  entrance.next = new Pipeline(link.neighbours.input, link.iface)
  return link
}

function byGretap(place: Place, spec: RoutedTunnel, own: InterfaceSpec, underlayMtu: number): MadeTunnel {
  const { wires } = place
  const { name, type, local, remote } = spec
  if (typeof remote !== 'string') throw new TypeError(`remote of ${name} is needed: the other end of gretap`)
  const [entrance, way] = [new Entrance(), new Entrance()]
  const into = wires.link(entrance, `${name} (unwrapped)`)
  const options = ipTunnelOptions(place, spec, own, into, underlayMtu)
  const tunnel = gretapTunnel(wires.ground.pool, wires.ground.clock, options)
  const joined = ofFrames(place, { ...own, mtu: spec.mtu ?? tunnel.mtu }, way, entrance)
  way.next = tunnel satisfies Element
  const id = spec.key === undefined ? type : `${type} key ${spec.key}`
  const { iface, neighbours } = joined
  return {
    link: { name, type, id, iface, local, remotes: () => [remote], neighbours, network: null },
    ...{ take: tunnel.take, anybody: false, mtu: underlayMtu },
    end() {
      joined.end()
      wires.end(into)
    },
  }
}

function byVtep(place: Place, spec: RoutedTunnel, own: InterfaceSpec, underlayMtu: number): MadeTunnel {
  const { wires, router, ends } = place
  const { name, type, vni, local, remote, subnets = [], labels, srcMac } = spec
  const { learning = subnets.length === 0, knownPeersOnly = !learning } = spec
  if (vni === undefined) throw new TypeError(`vni of ${name} is needed: its number in ${type}`)
  if (typeof remote === 'object') throw new TypeError(`remote of ${name} must be an address: a FAN is of ipip`)
  const end = ends.of(name, { ...spec, encapsulation: type === 'geneve' ? 'geneve' : 'vxlan' })
  const [entrance, way] = [new Entrance(), new Entrance()]
  const fits = spec.mtu ?? underlayMtu - end.overhead
  const joined = ofFrames(place, { ...own, mtu: fits }, way, entrance)
  const { iface, neighbours } = joined
  const into = wires.link(entrance, `${name} (unwrapped)`)
  const network = end.addNetwork({
    ...{ vni, mtu: fits, out: into },
    ...{ learning, knownPeersOnly, mac: own.mac },
    ...(labels === undefined ? {} : { labels }),
  })
  way.next = network
  if (remote !== undefined) network.addFlood(remote)
  for (const subnet of subnets) {
    const { to, via = to.slice(0, to.indexOf('/')), mac: far = ovnMac(subnet.remote) } = subnet
    network.addStatic(far, subnet.remote)
    if (srcMac !== undefined) network.addRoute({ to, remote: subnet.remote, srcMac })
    neighbours.add(via, far)
    router.addRoute({ to, via, dev: iface })
  }
  const remotes = (): string[] => network.remotes().map((r) => r.address)
  return {
    link: { name, type, id: `${type} vni ${vni}`, iface, local, remotes, neighbours, network },
    ...{ take: null, anybody: remote === undefined, mtu: underlayMtu },
    end() {
      joined.end()
      end.removeNetwork(network)
      ends.release(end)
      wires.end(into)
    },
  }
}
