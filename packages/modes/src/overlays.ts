import type { Element, LocalTaker, Switch, SwitchPort } from '@l2l3/switch-core'
import { type GreOptions, gretapTunnel, tunnelSettings, type Vtep } from '@l2l3/vxlan'
import { Bridge, type BridgeSpec, forgetStation } from './bridge.ts'
import type { Wires } from './ground.ts'
import type { HostNode } from './host-node.ts'
import { type Part, Parts, same } from './parts.ts'
import { TunnelEnds } from './tunnel-ends.ts'
import { addressOf, type Behind, each, given, type Place, tooLong, tunnelPort, UdpTunnel } from './udp-tunnel.ts'
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

/** What is not changed in a network that stays: all but its lists. */
function fixed({ remotes: _, static: _static, prefixes: _prefixes, vnis: _vnis, ...rest }: OverlayNetwork): unknown {
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
