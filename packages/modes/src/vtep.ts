import {
  type Element,
  type LocalTaker,
  type Port,
  Router,
  type RouterOptions,
  SECOND,
  Switch,
  type SwitchPort,
  type SwitchPortOptions,
} from '@l2l3/switch-core'
import {
  type GreOptions,
  geneve,
  gretapTunnel,
  type IpTunnel,
  type NetworkOptions,
  type PrefixRoute,
  type ProfileOptions,
  type RemoteSpec,
  type TunnelNetwork,
  takers,
  tunnelSettings,
  type Vtep,
  type VtepOptions,
} from '@l2l3/vxlan'
import { Entrance } from './entrance.ts'
import { type Ground, linkTo } from './ground.ts'
import { type RoutedPort, type Uplink, uplink, withLinkLocal } from './routed-link.ts'
import { addRoutes, icmp, type Route } from './router.ts'
import { TunnelEnds } from './tunnel-ends.ts'
import { underlayMtu } from './underlay.ts'
import { checkVtep } from './vtep-check.ts'
import { outerOf, type SocketUplink, VtepEnds } from './vtep-ends.ts'

/** A port of a network's switch: a host, or a network segment. */
export interface OverlayPort extends SwitchPortOptions {
  readonly name: string
  readonly label?: string
  readonly port: Port
  /** The network's name. */
  readonly network: string
}

/** A MAC address and the far end where it is. */
export interface OverlayEntry {
  readonly mac: string
  readonly remote: string | RemoteSpec
}

/** A network of a node, and how its frames reach other nodes. The fields of a profile, `gbp` and `knownOptions` are those of
 * the VTEP, and the same in all networks that share one. */
export interface OverlayNetwork
  extends Pick<
      NetworkOptions,
      | 'learning'
      | 'unknown'
      | 'knownPeersOnly'
      | 'mac'
      | 'destinations'
      | 'gateway'
      | 'mtu'
      | 'oversize'
      | 'group'
      | 'options'
    >,
    Pick<VtepOptions, 'gbp' | 'knownOptions'>,
    ProfileOptions,
    GreOptions {
  readonly name: string
  /** Default `vxlan`. */
  readonly encapsulation?: 'vxlan' | 'geneve' | 'gretap'
  /** The network's number on the wire; VXLAN and GENEVE. GRE has `key`, `checksum` and `sequence`. */
  readonly vni?: number
  /** This end: one of the node's addresses. */
  readonly local: string
  /** The UDP port of all ends. Default 4789 for VXLAN, 6081 for GENEVE. */
  readonly port?: number
  /** Far ends that get what is for all, and what is for nobody known; of GRETAP all there are. */
  readonly remotes?: readonly (string | RemoteSpec)[]
  /** A multicast group in place of `remotes`, and the name of the uplink on whose link it is. */
  readonly multicast?: { readonly group: string; readonly uplink: string }
  readonly static?: readonly OverlayEntry[]
  readonly prefixes?: readonly PrefixRoute[]
}

/** Settings of a node with networks. */
export interface VtepModeOptions extends Pick<RouterOptions, 'echo' | 'icmpRate' | 'icmpBurst' | 'icmpSource'> {
  readonly ports: readonly OverlayPort[]
  readonly networks: readonly OverlayNetwork[]
  /** The underlay: where the node itself has addresses. */
  readonly uplinks: readonly RoutedPort[]
  readonly routes?: readonly Route[]
  /** Underlays that are sockets: networks whose `local` and `port` are theirs leave by them, and no router is asked. */
  readonly sockets?: readonly SocketUplink[]
  /** Further addresses that are the node's, of uplinks that are not plugged in: `local` may be one of them. Default: none. */
  readonly addresses?: readonly string[]
  /** Of each table of MAC addresses: seconds until one that is not heard is forgotten, and how many there may be. */
  readonly ageing?: number
  readonly maxEntries?: number
}

/** One network of a node that runs. */
export interface Overlay {
  readonly name: string
  readonly switch: Switch
  /** Ports of the switch, by name. */
  readonly sides: ReadonlyMap<string, SwitchPort>
  /** What stands behind the switch's tunnel ports. */
  readonly tunnels: readonly OverlayTunnel[]
}

/** A tunnel port of a network's switch. */
export interface OverlayTunnel {
  readonly side: SwitchPort
  /** "vxlan vni 42", "gretap key 7": what a network is called on the wire. */
  readonly id: string
  readonly local: string
  /** Where it leads: of VXLAN and GENEVE the flood list and whoever was heard. */
  remotes(): readonly string[]
  /** Null for GRETAP, which has one far end. */
  readonly network: TunnelNetwork | null
}

/** A node with networks. */
export interface VtepNode {
  readonly router: Router
  readonly links: readonly Uplink[]
  readonly networks: readonly Overlay[]
  readonly vteps: readonly Vtep[]
}

/**
 * mode: vtep - networks that span nodes: a bridge with a vxlan device for each of them, as Linux would have it.
 *
 *     host 10.0.0.1   host 10.0.0.2      host 10.0.0.1
 *        |               |                  |
 *     +--+---------------+--+            +--+-------+
 *     | switch of blue      |            | of green |
 *     +----------+----------+            +----+-----+
 *                | VNI 42                     | VNI 43
 *     +----------+----------------------------+-----+
 *     | VTEP 192.0.2.1: where is the MAC? wrap      |
 *     +----------------------+----------------------+
 *                 outer IP, UDP 4789
 *     +----------------------+----------------------+
 *     | router: route and next hop to 192.0.2.2     |
 *     +----------------------+----------------------+
 *                      uplink 192.0.2.1/24
 *
 * Networks whose end is the same - encapsulation, address and UDP port - share a VTEP. A tunnel of GRETAP has one far end:
 * each is a port of its own, and none sends to another.
 *
 * Throws a TypeError or RangeError with key and value for settings that make no sense.
 */
export function vtep(ground: Ground, options: VtepModeOptions): VtepNode {
  checkVtep(options)
  const { loop, pool, clock } = ground
  const router = new Router(pool, clock, icmp(options))
  const size = options.uplinks.length + options.ports.length + options.networks.length
  const links = options.uplinks.map((spec) => uplink(ground, router, { ...spec, addresses: withLinkLocal(spec) }, size))
  addRoutes(router, links, options.routes ?? [])
  const { ageing, maxEntries } = options
  const tables = given({ ageing, maxEntries })
  const groups = options.networks.flatMap((n) => n.multicast?.group ?? [])
  const ends = new VtepEnds(ground, router, { ...tables, groups }, options.sockets)
  const gre: LocalTaker[] = []
  const greEnds = new TunnelEnds()
  const networks = options.networks.map((spec) => {
    const bridge = new Switch(pool, clock, { name: spec.name, seed: ground.seed ?? 0, ...tables })
    loop.every(SECOND, bridge)
    const sides = new Map<string, SwitchPort>()
    for (const { network, name, label, port, ...settings } of options.ports) {
      if (network !== spec.name) continue
      const side = bridge.addPort(linkTo(ground, port, label ?? name, size), { ...settings, name })
      loop.add(port, side)
      sides.set(name, side)
    }
    const place = { ground, router, links, bridge, size }
    const tunnels =
      spec.encapsulation === 'gretap' ? gretaps(place, spec, gre, greEnds) : [udpTunnel(place, spec, ends)]
    return { name: spec.name, switch: bridge, sides, tunnels }
  })
  ends.listen()
  router.onLocal = takers(...ends.vteps.map((end) => end.take), ...gre)
  return { router, links, networks, vteps: ends.vteps }
}

interface Place {
  readonly ground: Ground
  readonly router: Router
  readonly links: readonly Uplink[]
  readonly bridge: Switch
  readonly size: number
}

/** Joins a switch to a tunnel: a port of the switch, whose way out is filled in when there is one. */
function tunnelPort(
  { ground, bridge, size }: Place,
  name: string,
  isolated = false,
): { side: SwitchPort; way: Entrance } {
  const way = new Entrance()
  const side = bridge.addPort(linkTo(ground, way, `${name} (tunnel)`, size), { name, isolated })
  return { side, way }
}

/** A network of VXLAN or GENEVE. */
function udpTunnel(place: Place, spec: OverlayNetwork, ends: VtepEnds): OverlayTunnel {
  const own = { ...spec, encapsulation: spec.encapsulation === 'geneve' ? ('geneve' as const) : ('vxlan' as const) }
  const end = ends.of(spec.name, own)
  const socket = ends.socketOf(own)
  const { ground, router, links, size } = place
  const { name, vni, remotes = [], multicast, static: entries = [], prefixes = [] } = spec
  if (vni === undefined) throw new TypeError(`vni of ${name} is needed: its number in ${end.encapsulation}`)
  const { learning, unknown, knownPeersOnly, mac, destinations, gateway, oversize = 'inner', group, options } = spec
  const far = [...remotes, ...entries.map((e) => e.remote), ...prefixes.map((p) => p.remote)].map(addressOf)
  if (knownPeersOnly && far.length === 0) {
    throw new RangeError(`knownPeersOnly of ${name}: there are no remotes that anything could come from`)
  }
  each(name, 'remotes', remotes.map(farEndOf))
  each(
    name,
    'static',
    entries.map((e) => e.mac.toLowerCase().replaceAll('-', ':')),
  )
  each(
    name,
    'prefixes',
    prefixes.map((p) => p.to),
  )
  const underlay =
    socket !== undefined
      ? (socket.mtu ?? 1500)
      : underlayMtu(
          router,
          far,
          links.map((l) => l.iface),
        )
  const more = options === undefined ? 0 : geneve.size(options) - geneve.size()
  const fits = underlay - end.overhead - more
  const cut = oversize === 'outer' && end.settings.df !== 'set'
  if (spec.mtu !== undefined && spec.mtu > fits && !cut) throw tooLong(name, spec.mtu, fits)
  const { side, way } = tunnelPort(place, name)
  const network = end.addNetwork({
    ...given({ learning, unknown, knownPeersOnly, mac, destinations, gateway, group, options }),
    ...{ vni, oversize, out: linkTo(ground, side, `${name} (switch)`, size) },
    mtu: spec.mtu ?? fits,
  })
  way.next = network
  if (multicast !== undefined) {
    const link = links.find((l) => l.name === multicast.uplink)
    const bySocket = socket === undefined ? undefined : { mac: new Uint8Array(6), out: socket.out }
    const via = bySocket ?? link?.iface
    if (via === undefined) throw new RangeError(`multicast of ${name}: there is no uplink ${multicast.uplink}`)
    network.addFlood({ address: multicast.group, interface: via })
    // Sockets join by themselves.
    if (bySocket === undefined) link?.groups.join(multicast.group)
  }
  for (const remote of remotes) network.addFlood(remote)
  for (const { mac, remote } of entries) {
    if (!network.addStatic(mac, remote)) throw new RangeError(`static of ${name}: no room for ${mac} (maxEntries)`)
  }
  for (const route of prefixes) network.addRoute(route)
  return {
    ...{ side, network, id: `${end.encapsulation} vni ${vni}`, local: end.local },
    remotes: () => network.remotes().map((r) => r.address),
  }
}

/** Tunnels of GRETAP: a switch port for each far end. */
function gretaps(place: Place, spec: OverlayNetwork, taking: LocalTaker[], ends: TunnelEnds): OverlayTunnel[] {
  const { ground, router, links, size } = place
  const { name, local, remotes = [], key, checksum, sequence } = spec
  const own: GreOptions = given({ key, checksum, sequence })
  const outer = { ...(spec.oversize === 'outer' ? { df: 'clear' as const } : {}), ...outerOf(spec) }
  if (spec.oversize === 'drop') {
    throw new RangeError(`oversize of ${name} must be inner or outer in gretap, not drop`)
  }
  if (spec.oversize === 'outer' && tunnelSettings(outer, 'other').df === 'set') {
    throw new RangeError(`oversize of ${name} can be outer only where df is not set`)
  }
  each(name, 'remotes', remotes.map(addressOf))
  return remotes.map((remote, i) => {
    const to = addressOf(remote)
    ends.add(name, ['gretap'], local, to, key)
    const { side, way } = tunnelPort(place, remotes.length === 1 ? name : `${name} ${to}`, true)
    const mtu = underlayMtu(
      router,
      [to],
      links.map((l) => l.iface),
    )
    const fits = mtu - overheadOf(local, own)
    if (spec.mtu !== undefined && spec.mtu > fits && spec.oversize !== 'outer') throw tooLong(name, spec.mtu, fits)
    const into = linkTo(ground, side, `${name} ${i} (switch)`, size)
    const cut = spec.oversize === 'outer' ? 'outer' : 'inner'
    const { pool, clock } = ground
    const tunnel: IpTunnel & Element = gretapTunnel(pool, clock, {
      ...{ ...outer, ...own, local, remote: to, out: router, into, cut },
      mtu: spec.mtu === undefined ? mtu : Math.min(65_535, spec.mtu + overheadOf(local, own)),
    })
    way.next = tunnel
    taking.push(tunnel.take)
    const id = key === undefined ? 'gretap' : `gretap key ${key}`
    return { side, id, local, remotes: () => [to], network: null }
  })
}

/** Bytes that GRETAP adds to an inner IP packet. */
function overheadOf(local: string, { key, checksum, sequence }: GreOptions): number {
  const fields = (key === undefined ? 0 : 4) + (checksum ? 4 : 0) + (sequence ? 4 : 0)
  return (local.includes(':') ? 40 : 20) + 4 + fields + 14
}

/** Throws where something is in a list twice. */
function each(name: string, key: string, list: readonly string[]): void {
  const twice = list.find((item, i) => list.indexOf(item) !== i)
  if (twice !== undefined) throw new RangeError(`${key} of ${name}: ${twice} is there twice`)
}

/** A far end with all that makes it another. */
function farEndOf(remote: string | RemoteSpec): string {
  if (typeof remote === 'string') return remote
  const { address, vni } = remote
  return vni === undefined ? address : `${address} vni ${vni}`
}

function tooLong(name: string, mtu: number, fits: number): RangeError {
  return new RangeError(
    `mtu of ${name}: ${mtu} is more than the underlay takes, which is ${fits}, and oversize not outer`,
  )
}

function addressOf(remote: string | RemoteSpec): string {
  return typeof remote === 'string' ? remote : remote.address
}

/** Those settings that have a value. */
function given<T extends object>(settings: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined)) as never
}
