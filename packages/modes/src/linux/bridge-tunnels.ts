import type { LocalTaker, SwitchPort } from '@l2l3/switch-core'
import { type SleeveOptions, SleeveTunnel, takers } from '@l2l3/vxlan'
import type { Bridge } from '../bridge.ts'
import { type Ground, Wires } from '../ground.ts'
import type { HostNode } from '../host-node.ts'
import { type Part, Parts, same } from '../parts.ts'
import type { RoutedNode } from '../router.ts'
import { type Place, tunnelPort, UdpTunnel } from '../udp-tunnel.ts'
import { underlayMtu } from '../underlay.ts'
import type { OverlayNetwork, OverlayTunnel } from '../vtep.ts'
import { VtepEnds } from '../vtep-ends.ts'

/*
 * Tunnels of a host as ports of its bridges: VXLAN, GENEVE, and connections of Weave's sleeve.
 *
 *     pod   pod
 *      |     |
 *     +-------+        +------+
 *     | bridge +--port--+ VTEP +──> the host's router ──> uplink
 *     +-------+        +------+
 */

/** A connection of Weave's sleeve. */
export type SleeveLink = Omit<SleeveOptions, 'out' | 'into' | 'mtu' | 'pathMtu'>

/** A tunnel, and the bridge that it is a port of. */
export type BridgeTunnel =
  | { readonly bridge: Bridge; readonly network: OverlayNetwork }
  | { readonly bridge: Bridge; readonly name: string; readonly sleeve: SleeveLink }

/** A node whose bridges reach others. */
export interface BridgedNode<S> extends RoutedNode<S> {
  readonly overlays: readonly OverlayTunnel[]
  /** The host that has the bridges, where that is not the one with the uplinks. */
  readonly inside: HostNode | null
}

interface Spec {
  readonly name: string
  readonly bridge: Bridge
  readonly network: OverlayNetwork | null
  readonly sleeve: SleeveLink | null
  readonly mtu: number
}

interface Made extends Part {
  readonly tunnels: readonly OverlayTunnel[]
  readonly takers: readonly LocalTaker[]
  settle(spec: Spec): void
}

/** What is not changed in a tunnel that stays. */
function fixed({ name, bridge, network, sleeve, mtu }: Spec): unknown {
  if (network === null) return { name, bridge, sleeve, mtu }
  const { remotes: _, static: _static, prefixes: _prefixes, vnis: _vnis, ...rest } = network
  return { name, bridge, rest }
}

/** The tunnels of a host. */
export class BridgeTunnels {
  readonly #place: Place
  readonly #parts: Parts<Spec, Made>

  /** @param host what carries them, and has no tunnels of its own */
  constructor(ground: Ground, host: HostNode) {
    const wires = new Wires(ground, 8)
    this.#place = { wires, host, ends: new VtepEnds(wires, host.router), table: {} }
    this.#parts = new Parts(
      (spec) => (spec.sleeve === null ? byVtep(this.#place, spec) : bySleeve(this.#place, spec, spec.sleeve)),
      (_part, spec, before) => same(fixed(spec), fixed(before)),
    )
  }

  get list(): readonly OverlayTunnel[] {
    return this.#parts.list.flatMap((made) => made.tunnels)
  }

  /** The bridge's port to a tunnel. */
  sideOf(name: string): SwitchPort {
    const side = this.#parts.get(name)?.tunnels[0]?.side
    if (side === undefined) throw new RangeError(`there is no tunnel ${name}`)
    return side
  }

  /** Makes the tunnels what is said. Throws for what makes no sense, with key and value. */
  become(tunnels: readonly BridgeTunnel[]): void {
    const { host, ends, wires } = this.#place
    const links = host.uplinks.map((link) => link.iface)
    wires.resize(8 + tunnels.reduce((n, { bridge }) => n + bridge.ports.list.length, 0))
    const specs = tunnels.map((tunnel): Spec => {
      const { bridge } = tunnel
      if ('network' in tunnel)
        return { name: tunnel.network.name, bridge, network: tunnel.network, sleeve: null, mtu: 0 }
      const { name, sleeve } = tunnel
      return { name, bridge, network: null, sleeve, mtu: underlayMtu(host.router, [sleeve.remote], links) }
    })
    this.#parts.become(specs)
    for (const spec of specs) this.#parts.get(spec.name)?.settle(spec)
    host.router.onLocal = takers(
      ...ends.vteps.map((end) => end.take),
      ...this.#parts.list.flatMap((made) => made.takers),
    )
  }

  /** Forgets what was learnt of a station. */
  forget(mac: string): void {
    for (const { network } of this.list) {
      for (const entry of [...(network?.entries() ?? [])]) {
        if (entry.mac === mac && entry.kind === 'dynamic') network?.deleteAddress(mac)
      }
    }
  }
}

function byVtep(place: Place, { bridge, network }: Spec): Made {
  const tunnel = new UdpTunnel(place, bridge.switch, network as OverlayNetwork)
  return {
    ...{ tunnels: tunnel.tunnels, takers: [] },
    settle: (spec) => tunnel.settle(spec.network as OverlayNetwork),
    end: () => tunnel.end(),
  }
}

function bySleeve(place: Place, { name, bridge, mtu }: Spec, sleeve: SleeveLink): Made {
  const { wires, host } = place
  const { pool, clock } = wires.ground
  const port = tunnelPort(place, bridge.switch, name, true)
  const into = wires.link(port.side, `${name} (switch)`)
  const tunnel = new SleeveTunnel(pool, clock, { ...sleeve, out: host.router, into, mtu })
  port.way.next = tunnel
  const { local, remote } = sleeve
  return {
    tunnels: [{ side: port.side, id: `sleeve ${sleeve.peer}`, local, remotes: () => [remote], network: null }],
    takers: [tunnel.take],
    settle() {},
    end() {
      port.end()
      wires.end(into)
    },
  }
}

/** A node of a mode with tunnels on its bridges, whose settings `become` makes the hosts' and the tunnels'. */
export function bridgedNode<S>(
  hosts: { readonly host: HostNode; readonly inside: HostNode | null },
  tunnels: BridgeTunnels,
  become: (next: S) => void,
): BridgedNode<S> {
  const { host } = hosts
  return {
    ...{ ...hosts, router: host.router, change: become },
    get links() {
      return [...host.uplinks, ...host.pods]
    },
    get tunnels() {
      return host.tunnels
    },
    get overlays() {
      return tunnels.list
    },
  }
}
