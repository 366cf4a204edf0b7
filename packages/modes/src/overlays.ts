import type { Element, LocalTaker, Switch, SwitchPort } from '@l2l3/switch-core'
import {
  type GreOptions,
  geneve,
  gretapTunnel,
  type PrefixRoute,
  type RemoteSpec,
  type TunnelNetwork,
  tunnelSettings,
  type Vtep,
} from '@l2l3/vxlan'
import { Bridge, type BridgeSpec, forgetStation } from './bridge.ts'
import { Entrance } from './entrance.ts'
import type { Wires } from './ground.ts'
import type { HostNode } from './host-node.ts'
import { type Part, Parts, same } from './parts.ts'
import { TunnelEnds } from './tunnel-ends.ts'
import { underlayMtu } from './underlay.ts'
import type { Overlay, OverlayNetwork, OverlayPort, OverlayTunnel } from './vtep.ts'
import { outerOf, type SocketUplink, VtepEnds } from './vtep-ends.ts'

/*
 * The networks of a node: for each of them a bridge, and behind it what leads to other nodes.
 *
 *     port   port                       port
 *      |      |                          |
 *     +--------+                     +--------+
 *     | bridge |                     | bridge |
 *     +---+----+                     +-+----+-+
 *         | VNI 42                     |    |        one far end each, and none sends to another
 *     network of a VTEP              gretap gretap
 *         |                            |    |
 *     router of the underlay, or sockets
 *
 * Far ends, static entries and prefixes come and go while frames pass; what is learnt behind other far ends stays.
 */

/** A network with its ports: the name is the network's. */
interface OverlaySpec {
  readonly name: string
  readonly network: OverlayNetwork
  readonly ports: readonly OverlayPort[]
}

interface Place {
  readonly wires: Wires
  readonly host: HostNode
  readonly ends: VtepEnds
  readonly table: NonNullable<BridgeSpec['table']>
}

/** What stands behind the bridge of a network. */
interface Behind extends Part {
  readonly tunnels: readonly OverlayTunnel[]
  readonly takers: readonly LocalTaker[]
  /** Makes far ends and entries what is said. Throws for what makes no sense, with key and value. */
  settle(spec: OverlayNetwork): void
}

/** What is not changed in a network that stays: all but its lists. */
function fixed({ remotes: _, static: _static, prefixes: _prefixes, ...rest }: OverlayNetwork): unknown {
  return rest
}

/** All networks of a node. */
export class Overlays {
  readonly #ends: VtepEnds
  readonly #parts: Parts<OverlaySpec, OverlayPart>

  /** @param host what carries them */
  constructor(wires: Wires, host: HostNode, table: Place['table'], sockets: readonly SocketUplink[]) {
    this.#ends = new VtepEnds(wires, host.router, table, sockets)
    const place = { wires, host, table, ends: this.#ends }
    this.#parts = new Parts(
      (spec) => new OverlayPart(place, spec),
      (part, spec, before) => {
        if (!same(fixed(spec.network), fixed(before.network))) return false
        part.bridge.ports.become(spec.ports.map(sideOf))
        return true
      },
    )
  }

  get list(): readonly Overlay[] {
    return this.#parts.list
  }

  get vteps(): readonly Vtep[] {
    return this.#ends.vteps
  }

  /** Who takes packets for the node, in the order in which they are asked. */
  get takers(): readonly LocalTaker[] {
    return [...this.#ends.vteps.map((end) => end.take), ...this.#parts.list.flatMap((part) => part.behind.takers)]
  }

  /** Makes the networks what is said. */
  become(networks: readonly OverlayNetwork[], ports: readonly OverlayPort[]): void {
    const gre = new TunnelEnds()
    for (const { name, encapsulation, local, key, remotes = [] } of networks) {
      if (encapsulation !== 'gretap') continue
      each(name, 'remotes', remotes.map(addressOf))
      for (const remote of remotes) gre.add(name, ['gretap'], local, addressOf(remote), key)
    }
    this.#ends.setGroups(networks.flatMap((n) => n.multicast?.group ?? []))
    this.#parts.become(
      networks.map((network) => {
        const { name } = network
        return { name, network, ports: ports.filter((port) => port.network === name) }
      }),
    )
    for (const network of networks) this.#parts.get(network.name)?.behind.settle(network)
  }

  /** Forgets what was learnt of a station. */
  forget(mac: string): void {
    for (const { switch: bridge, behind } of this.#parts.list) {
      forgetStation(bridge, mac)
      for (const { network } of behind.tunnels) {
        for (const entry of [...(network?.entries() ?? [])]) {
          if (entry.mac === mac && entry.kind === 'dynamic') network?.deleteAddress(mac)
        }
      }
    }
  }
}

/** A network of a node. */
class OverlayPart implements Overlay, Part {
  readonly name: string
  readonly bridge: Bridge
  readonly behind: Behind

  constructor(place: Place, { name, network, ports }: OverlaySpec) {
    this.name = name
    const { wires, host, table } = place
    this.bridge = new Bridge(wires, host.router, { name, table, ports: ports.map(sideOf) })
    this.behind =
      network.encapsulation === 'gretap'
        ? new GretapTunnels(place, this.bridge.switch, network)
        : new UdpTunnel(place, this.bridge.switch, network)
  }

  get switch(): Switch {
    return this.bridge.switch
  }

  get sides(): ReadonlyMap<string, SwitchPort> {
    return new Map(this.bridge.ports.list.map(({ name, side }) => [name, side]))
  }

  get tunnels(): readonly OverlayTunnel[] {
    return this.behind.tunnels
  }

  end(): void {
    this.behind.end()
    this.bridge.end()
  }
}

function sideOf({ network: _, ...port }: OverlayPort): BridgeSpec['ports'][0] {
  return port
}

/** Joins a switch to a tunnel: a port of the switch, whose way out is filled in when there is one. */
function tunnelPort(
  { wires }: Place,
  bridge: Switch,
  name: string,
  isolated = false,
): { side: SwitchPort; way: Entrance } & Part {
  const way = new Entrance()
  const out = wires.link(way, `${name} (tunnel)`)
  const side = bridge.addPort(out, { name, isolated })
  return {
    ...{ side, way },
    end() {
      bridge.removePort(side)
      wires.end(out)
    },
  }
}

/** A network of VXLAN or GENEVE. */
class UdpTunnel implements Behind {
  readonly tunnels: readonly OverlayTunnel[]
  readonly takers: readonly LocalTaker[] = []
  readonly #place: Place
  readonly #end: Vtep
  readonly #port: ReturnType<typeof tunnelPort>
  readonly #network: TunnelNetwork
  /** The socket's MTU; null where the router carries it. */
  readonly #socketMtu: number | null
  readonly #undo: (() => void)[] = []
  #remotes: readonly (string | RemoteSpec)[] = []
  #statics: NonNullable<OverlayNetwork['static']> = []
  #prefixes: readonly PrefixRoute[] = []
  #mtu: number

  constructor(place: Place, bridge: Switch, spec: OverlayNetwork) {
    const { wires, ends, host } = place
    const own = { ...spec, encapsulation: spec.encapsulation === 'geneve' ? ('geneve' as const) : ('vxlan' as const) }
    const end = ends.of(spec.name, own)
    const socket = ends.socketOf(own)
    this.#place = place
    this.#end = end
    this.#socketMtu = socket === undefined ? null : (socket.mtu ?? 1500)
    const { name, vni, multicast } = spec
    if (vni === undefined) throw new TypeError(`vni of ${name} is needed: its number in ${end.encapsulation}`)
    const { learning, unknown, knownPeersOnly, mac, destinations, gateway, oversize = 'inner', group, options } = spec
    check(spec)
    this.#mtu = this.#fits(spec)
    this.#port = tunnelPort(place, bridge, name)
    const { side } = this.#port
    const out = wires.link(side, `${name} (switch)`)
    const network = end.addNetwork({
      ...given({ learning, unknown, knownPeersOnly, mac, destinations, gateway, group, options }),
      ...{ vni, oversize, out, mtu: this.#mtu },
    })
    this.#network = network
    this.#port.way.next = network
    this.#undo.push(() => wires.end(out))
    if (multicast !== undefined) {
      const link = host.uplinks.find((l) => l.name === multicast.uplink)
      const bySocket = socket === undefined ? undefined : { mac: new Uint8Array(6), out: socket.out }
      const via = bySocket ?? link?.iface
      if (via === undefined) throw new RangeError(`multicast of ${name}: there is no uplink ${multicast.uplink}`)
      network.addFlood({ address: multicast.group, interface: via })
      // Sockets join by themselves.
      if (bySocket === undefined && link !== undefined) {
        link.groups.join(multicast.group)
        this.#undo.push(() => link.groups.leave(multicast.group))
      }
    }
    const remotes = (): string[] => network.remotes().map((r) => r.address)
    this.tunnels = [{ side, network, id: `${end.encapsulation} vni ${vni}`, local: end.local, remotes }]
  }

  settle(spec: OverlayNetwork): void {
    check(spec)
    const fits = this.#fits(spec)
    const network = this.#network
    const { name, remotes = [], static: statics = [], prefixes = [] } = spec
    const before = [this.#remotes, this.#statics.map((e) => e.remote), this.#prefixes.map((p) => p.remote)].flat()
    if (!same(this.#remotes, remotes)) {
      for (const remote of this.#remotes) network.deleteFlood(remote)
      for (const remote of remotes) network.addFlood(remote)
      this.#remotes = remotes
    }
    if (!same(this.#statics, statics)) {
      for (const { mac } of this.#statics) network.deleteAddress(mac)
      for (const { mac, remote } of statics) {
        if (!network.addStatic(mac, remote)) throw new RangeError(`static of ${name}: no room for ${mac} (maxEntries)`)
      }
      this.#statics = statics
    }
    if (!same(this.#prefixes, prefixes)) {
      for (const { to } of this.#prefixes) network.deleteRoute(to)
      for (const route of prefixes) network.addRoute(route)
      this.#prefixes = prefixes
    }
    // Those to which something leads stay, with what was learnt there.
    for (const remote of before) network.forget(remote)
    if (fits !== this.#mtu) network.setMtu(fits)
    this.#mtu = fits
  }

  end(): void {
    this.#port.end()
    this.#end.removeNetwork(this.#network)
    this.#place.ends.release(this.#end)
    for (const undo of this.#undo) undo()
  }

  /** The longest inner packet. */
  #fits(spec: OverlayNetwork): number {
    const { name, mtu, options, oversize } = spec
    const { host } = this.#place
    const links = host.uplinks.map((l) => l.iface)
    const underlay = this.#socketMtu ?? underlayMtu(host.router, farEnds(spec), links)
    const more = options === undefined ? 0 : geneve.size(options) - geneve.size()
    const fits = underlay - this.#end.overhead - more
    const cut = oversize === 'outer' && this.#end.settings.df !== 'set'
    if (mtu !== undefined && mtu > fits && !cut) throw tooLong(name, mtu, fits)
    return mtu ?? fits
  }
}

/** Addresses of the far ends that a network names. */
function farEnds({ remotes = [], static: statics = [], prefixes = [] }: OverlayNetwork): string[] {
  return [...remotes, ...statics.map((e) => e.remote), ...prefixes.map((p) => p.remote)].map(addressOf)
}

/** Throws where a list of a network has something twice, and where nothing could come in. */
function check(spec: OverlayNetwork): void {
  const { name, knownPeersOnly, remotes = [], static: statics = [], prefixes = [] } = spec
  if (knownPeersOnly && farEnds(spec).length === 0) {
    throw new RangeError(`knownPeersOnly of ${name}: there are no remotes that anything could come from`)
  }
  each(name, 'remotes', remotes.map(farEndOf))
  each(
    name,
    'static',
    statics.map((e) => e.mac.toLowerCase().replaceAll('-', ':')),
  )
  each(
    name,
    'prefixes',
    prefixes.map((p) => p.to),
  )
}

/** A tunnel of GRETAP, by its far end; the underlay's MTU there makes it another. */
interface GretapSpec {
  readonly name: string
  readonly network: OverlayNetwork
  readonly underlay: number
}

interface Gretap extends Part {
  readonly tunnel: OverlayTunnel
  readonly take: LocalTaker
}

/** Tunnels of GRETAP: a switch port for each far end. */
class GretapTunnels implements Behind {
  readonly #place: Place
  readonly #parts: Parts<GretapSpec, Gretap>

  constructor(place: Place, bridge: Switch, spec: OverlayNetwork) {
    const { name, oversize } = spec
    if (oversize === 'drop') throw new RangeError(`oversize of ${name} must be inner or outer in gretap, not drop`)
    if (oversize === 'outer' && tunnelSettings(gretapOuter(spec), 'other').df === 'set') {
      throw new RangeError(`oversize of ${name} can be outer only where df is not set`)
    }
    this.#place = place
    this.#parts = new Parts(
      (own) => gretap(place, bridge, own),
      (_part, own, before) => own.underlay === before.underlay,
    )
  }

  get tunnels(): readonly OverlayTunnel[] {
    return this.#parts.list.map((part) => part.tunnel)
  }

  get takers(): readonly LocalTaker[] {
    return this.#parts.list.map((part) => part.take)
  }

  settle(network: OverlayNetwork): void {
    const { name, remotes = [] } = network
    const { host } = this.#place
    const links = host.uplinks.map((l) => l.iface)
    const far = remotes.map(addressOf)
    this.#parts.become(far.map((to) => ({ name: to, network, underlay: underlayMtu(host.router, [to], links) })))
    // The only one has the network's name.
    for (const { side, remotes: to } of this.tunnels) {
      side.set({ name: far.length === 1 ? name : `${name} ${to().join()}` })
    }
  }

  end(): void {
    this.#parts.clear()
  }
}

function gretapOuter(spec: OverlayNetwork): ReturnType<typeof outerOf> {
  return { ...(spec.oversize === 'outer' ? { df: 'clear' as const } : {}), ...outerOf(spec) }
}

/** Makes a tunnel of GRETAP. */
function gretap(place: Place, bridge: Switch, { name: to, network: spec, underlay }: GretapSpec): Gretap {
  const { wires, host } = place
  const { pool, clock } = wires.ground
  const { name, local, remotes = [], key, checksum, sequence } = spec
  const own: GreOptions = given({ key, checksum, sequence })
  const fits = underlay - overheadOf(local, own)
  if (spec.mtu !== undefined && spec.mtu > fits && spec.oversize !== 'outer') throw tooLong(name, spec.mtu, fits)
  const port = tunnelPort(place, bridge, remotes.length === 1 ? name : `${name} ${to}`, true)
  const { side, way } = port
  const into = wires.link(side, `${name} ${remotes.map(addressOf).indexOf(to)} (switch)`)
  const tunnel = gretapTunnel(pool, clock, {
    ...{ ...gretapOuter(spec), ...own, local, remote: to, out: host.router, into },
    cut: spec.oversize === 'outer' ? 'outer' : 'inner',
    mtu: spec.mtu === undefined ? underlay : Math.min(65_535, spec.mtu + overheadOf(local, own)),
  })
  way.next = tunnel satisfies Element
  const id = key === undefined ? 'gretap' : `gretap key ${key}`
  return {
    tunnel: { side, id, local, remotes: () => [to], network: null },
    take: tunnel.take,
    end() {
      port.end()
      wires.end(into)
    },
  }
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
