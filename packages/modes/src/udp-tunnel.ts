import { KnownNeighbours, Suppressor } from '@l2l3/arp'
import { type Element, type Link, type LocalTaker, Pipeline, type Switch, type SwitchPort } from '@l2l3/switch-core'
import { geneve, type PrefixRoute, type RemoteSpec, type TunnelNetwork, type Vtep } from '@l2l3/vxlan'
import type { BridgeSpec } from './bridge.ts'
import { Entrance } from './entrance.ts'
import type { Wires } from './ground.ts'
import type { HostNode } from './host-node.ts'
import { type Part, same } from './parts.ts'
import { underlayMtu } from './underlay.ts'
import type { OverlayNetwork, OverlayTunnel } from './vtep.ts'
import type { VtepEnds } from './vtep-ends.ts'

/*
 * VXLAN or GENEVE behind a bridge: one of its ports, a network of a VTEP, and between them, where far addresses are known, who
 * answers for them.
 *
 *     bridge -- port -- [ suppressor: ARP and ND of known addresses ] -- network -- VTEP -- router of the underlay, or sockets
 *
 * Far ends, entries and prefixes come and go while frames pass.
 */

/** Where a tunnel is made. */
export interface Place {
  readonly wires: Wires
  /** What carries it. */
  readonly host: HostNode
  readonly ends: VtepEnds
  readonly table: NonNullable<BridgeSpec['table']>
}

/** What stands behind the bridge of a network. */
export interface Behind extends Part {
  readonly tunnels: readonly OverlayTunnel[]
  readonly takers: readonly LocalTaker[]
  /** Makes far ends and entries what is said. Throws for what makes no sense, with key and value. */
  settle(spec: OverlayNetwork): void
}

/** Joins a switch to a tunnel: a port of the switch, whose way out is filled in when there is one. */
export function tunnelPort(
  { wires }: Pick<Place, 'wires'>,
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
export class UdpTunnel implements Behind {
  readonly tunnels: readonly OverlayTunnel[]
  readonly takers: readonly LocalTaker[] = []
  readonly #place: Place
  readonly #end: Vtep
  readonly #port: ReturnType<typeof tunnelPort>
  readonly #network: TunnelNetwork
  /** The socket's MTU; null where the router carries it. */
  readonly #socketMtu: number | null
  /** Who is answered for. */
  readonly #known: KnownNeighbours | null
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
    const { learning, unknown, knownPeersOnly, mac, destinations, gateway, group, options } = spec
    const { oversize = 'inner', labels, answers, isolated } = spec
    check(spec)
    this.#mtu = this.#fits(spec)
    this.#port = tunnelPort(place, bridge, name, isolated)
    const { side } = this.#port
    const out = wires.link(side, `${name} (switch)`)
    const network = end.addNetwork({
      ...given({ learning, unknown, knownPeersOnly, mac, destinations, gateway, group, options, labels }),
      ...{ vni, oversize, out, mtu: this.#mtu },
    })
    this.#network = network
    this.#known = answers === undefined ? null : new KnownNeighbours(4096, wires.ground.seed)
    this.#port.way.next = this.#answering(answers, out) ?? network
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

  /** The suppressor before the network. */
  #answering(variant: OverlayNetwork['answers'], out: Link): Element | null {
    if (variant === undefined || this.#known === null) return null
    const { pool, clock } = this.#place.wires.ground
    return new Pipeline(new Suppressor(pool, clock, { variant, out, known: this.#known }), this.#network)
  }

  settle(spec: OverlayNetwork): void {
    check(spec)
    const fits = this.#fits(spec)
    const network = this.#network
    const { name, remotes = [], static: statics = [], prefixes = [], vni, vnis = [] } = spec
    if (vni !== undefined) this.#end.setVnis(network, [vni, ...vnis])
    const before = [this.#remotes, this.#statics.map((e) => e.remote), this.#prefixes.map((p) => p.remote)].flat()
    if (!same(this.#remotes, remotes)) {
      for (const remote of this.#remotes) network.deleteFlood(remote)
      for (const remote of remotes) network.addFlood(remote)
      this.#remotes = remotes
    }
    if (!same(this.#statics, statics)) {
      for (const { mac, ips = [] } of this.#statics) {
        network.deleteAddress(mac)
        for (const ip of ips) this.#known?.delete(ip)
      }
      for (const { mac, remote, ips = [] } of statics) {
        for (const ip of ips) this.#known?.set(ip, mac)
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

/** Throws where something is in a list twice. */
export function each(name: string, key: string, list: readonly string[]): void {
  const twice = list.find((item, i) => list.indexOf(item) !== i)
  if (twice !== undefined) throw new RangeError(`${key} of ${name}: ${twice} is there twice`)
}

/** A far end with all that makes it another. */
function farEndOf(remote: string | RemoteSpec): string {
  if (typeof remote === 'string') return remote
  const { address, vni } = remote
  return vni === undefined ? address : `${address} vni ${vni}`
}

export function tooLong(name: string, mtu: number, fits: number): RangeError {
  return new RangeError(
    `mtu of ${name}: ${mtu} is more than the underlay takes, which is ${fits}, and oversize not outer`,
  )
}

export function addressOf(remote: string | RemoteSpec): string {
  return typeof remote === 'string' ? remote : remote.address
}

/** Those settings that have a value. */
export function given<T extends object>(settings: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined)) as never
}
