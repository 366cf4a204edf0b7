import type { Port, Router, Switch, SwitchPort, SwitchPortOptions } from '@l2l3/switch-core'
import {
  type GreOptions,
  type NetworkOptions,
  type PrefixRoute,
  type ProfileOptions,
  type RemoteSpec,
  type TunnelNetwork,
  takers,
  type Vtep,
  type VtepOptions,
} from '@l2l3/vxlan'
import { type Ground, Wires } from './ground.ts'
import { HostNode, type HostOptions } from './host-node.ts'
import { Overlays } from './overlays.ts'
import type { RoutedPort, Uplink } from './routed-link.ts'
import type { Route } from './routes.ts'
import { checkVtep } from './vtep-check.ts'
import type { SocketUplink } from './vtep-ends.ts'

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
  /** The addresses that it has there, for `answers`. Default: none are known. */
  readonly ips?: readonly string[]
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
      | 'vnis'
      | 'labels'
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
  /** Whether ARP and ND for the addresses of `static` are answered here, and what becomes of other questions: they go on
   * (`plain`), or end (`overlay`, as of a vxlan device with proxy and l3miss). VXLAN and GENEVE. Default: nothing is answered. */
  readonly answers?: 'plain' | 'overlay'
  /** VXLAN and GENEVE: whether isolated ports of the bridge cannot reach it. Default false. */
  readonly isolated?: boolean
  readonly prefixes?: readonly PrefixRoute[]
}

/** Settings of a node with networks that change while it runs. */
export interface VtepSettings {
  readonly ports: readonly OverlayPort[]
  readonly networks: readonly OverlayNetwork[]
  /** The underlay: where the node itself has addresses. */
  readonly uplinks: readonly RoutedPort[]
  readonly routes?: readonly Route[]
}

/** Settings of a node with networks. */
export interface VtepModeOptions extends VtepSettings, Omit<HostOptions, 'nat'> {
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
  /** The underlay's side. */
  readonly host: HostNode
  readonly router: Router
  readonly links: readonly Uplink[]
  readonly networks: readonly Overlay[]
  readonly vteps: readonly Vtep[]
  /** Makes the node what is said, while frames pass; all of it is given anew. */
  change(next: VtepSettings): void
  /** Forgets what was learnt of a station that is where it was no more. */
  forget(mac: string): void
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
  const { uplinks, routes = [], ports, networks, sockets = [], ageing, maxEntries } = options
  const host = new HostNode(ground, { uplinks, routes }, options)
  const wires = new Wires(ground, uplinks.length + ports.length + networks.length)
  const table = {
    ...(ageing === undefined ? {} : { ageing }),
    ...(maxEntries === undefined ? {} : { maxEntries }),
  }
  const overlays = new Overlays(wires, host, table, sockets)
  const become = (next: VtepSettings): void => {
    wires.resize(next.uplinks.length + next.ports.length + next.networks.length)
    overlays.become(next.networks, next.ports)
    host.router.onLocal = takers(...overlays.takers)
  }
  become(options)
  return {
    ...{ host, router: host.router },
    get links() {
      return host.uplinks
    },
    get networks() {
      return overlays.list
    },
    get vteps() {
      return overlays.vteps
    },
    change(next) {
      checkVtep({ ...options, ...next })
      host.change({ uplinks: next.uplinks, routes: next.routes ?? [] })
      become(next)
    },
    forget(mac) {
      host.forget(mac, [])
      overlays.forget(mac)
    },
  }
}
