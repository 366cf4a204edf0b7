import type { Ground } from '@l2l3/modes'
import type { Port } from '@l2l3/switch-core'
import type { Address } from './address.ts'
import type { Path } from './document.ts'
import { antreaMode } from './mode/antrea.ts'
import { awsVpcMode } from './mode/aws-vpc.ts'
import { azureMode } from './mode/azure.ts'
import { bridgeMode } from './mode/bridge.ts'
import { calicoMode } from './mode/calico.ts'
import { ciliumMode } from './mode/cilium.ts'
import { dockerOverlayMode } from './mode/docker-overlay.ts'
import { fabricMode } from './mode/fabric.ts'
import { fanMode } from './mode/fan.ts'
import { flannelMode } from './mode/flannel.ts'
import { ipvlanMode } from './mode/ipvlan.ts'
import { l2bridgeMode, l2tunnelMode } from './mode/l2bridge.ts'
import { l3Mode } from './mode/l3.ts'
import { macvlanMode } from './mode/macvlan.ts'
import { natMode } from './mode/nat.ts'
import { overlayMode } from './mode/overlay.ts'
import { ovnMode } from './mode/ovn.ts'
import { ovnHybridMode } from './mode/ovn-hybrid.ts'
import { ptpMode } from './mode/ptp.ts'
import { routerMode } from './mode/router.ts'
import { switchMode } from './mode/switch.ts'
import { transparentMode } from './mode/transparent.ts'
import { vtepMode } from './mode/vtep.ts'
import { weaveMode } from './mode/weave.ts'
import { winnatMode } from './mode/winnat.ts'
import type { EndpointSpec, NodeSpec, PortSpec, StaticNeighbour } from './topology.ts'

/*
 * What a node is: its mode. A mode brings the schema of its options, checks what a schema cannot say, and builds the
 * node. The rest of this package - endpoints, links, worlds, checks - is the same for all modes.
 */

/** A JSON Schema (draft 07) of a part of the file. */
export interface Schema {
  readonly [keyword: string]: unknown
}

/** Reports a problem at a place inside the node: at what stands there (the default), or at its key. */
export type Report = (path: Path, message: string, at?: 'key' | 'value') => void

/** A row of a node's port table. */
export interface PortRow {
  readonly node: string
  readonly port: string
  /** `up`, `down`, or why it failed. */
  readonly state: string
  readonly rxFrames: number
  readonly rxBytes: number
  readonly txFrames: number
  readonly txBytes: number
  /** Frames that came from here and that the node dropped. */
  readonly dropped: number
  /** Frames the port itself could not take in or send. */
  readonly portDropped: number
  /** How super-frames leave by it, in words (`Port.offloadText`). */
  readonly offloads: string
  /** Of a tunnel: what it is, and where it leads: "vxlan vni 42, 192.0.2.1 to 192.0.2.2". */
  readonly tunnel?: string
}

/** A row of a node's address table. */
export interface FdbRow {
  readonly node: string
  readonly mac: string
  /** 0 in a node that does not look at VLANs. */
  readonly vlan: number
  readonly port: string
  readonly kind: string
  /** Milliseconds since the address was last heard. */
  readonly age: number
}

/** A row of a node's neighbour tables: what it knows of hosts and routers on its links. */
export interface NeighbourRow {
  readonly node: string
  readonly port: string
  readonly address: string
  /** Null where it is not known. */
  readonly mac: string | null
  readonly state: string
}

/** A row of a node's routing table. */
export interface RouteRow {
  readonly node: string
  readonly to: string
  /** `connected`, `static`, `local`, `broadcast`, `blackhole`, `unreachable` or `prohibit`. */
  readonly kind: string
  /** Where it leads: "uplink", "10.0.0.254 uplink"; one for each next hop. */
  readonly via: readonly string[]
  readonly metric: number
}

/** A row of a node's table of flows. */
export interface FlowRow {
  readonly node: string
  /** `tcp`, `udp`, `icmp`, or a number. */
  readonly protocol: string
  /** Of TCP `established` and the like, else `unanswered`, `answered` or `assured`: for long, both ways. */
  readonly state: string
  /** Ends of what goes the way of the first packet: "10.22.0.11:5000", "[fd00::1]:53". */
  readonly from: string
  readonly to: string
  /** Ends of the answers, as they come: where the second differs from `from`, the source is translated, where the first
   * does from `to`, the destination. */
  readonly answersFrom: string
  readonly answersTo: string
  /** Seconds until it ends if nothing comes. */
  readonly expires: number
  /** Packets and bytes, both ways; 0 where they are not counted. */
  readonly packets: number
  readonly bytes: number
}

/** A row of a node's table of services and port mappings. */
export interface ServiceRow {
  readonly node: string
  /** "-" for a port mapping. */
  readonly name: string
  readonly protocol: string
  /** Where it is reached: "ClusterIP 10.96.0.10:80", "NodePort *:30080", "HostPort *:8080". */
  readonly frontends: readonly string[]
  /** Who serves: "10.22.0.11:80". */
  readonly backends: readonly string[]
  /** Flows that it was given; null where they are not counted. */
  readonly flows: number | null
  /** What of it is not done as asked, or not at all, and why: what kube-proxy says of it on Windows. */
  readonly notes?: readonly string[]
}

/** A node that runs. `ModeNode` has what is the same in all modes: its kinds say what becomes of `spec` and `plugged`. */
export interface BuiltNode {
  /** What it is now. */
  readonly spec: NodeSpec
  /** Plugs a port in under the node's name for it. Every port is plugged in once. */
  attach(name: string, port: Port): void
  /** Called once all ports are plugged in. */
  ready(): void
  /**
   * Becomes `next`, which has the same mode, between two turns of the loop: frames that do not concern what has changed find
   * the node as it was, tables included. Ports that `next` does not have are taken out, and so are those that others take the
   * place of; whoever made them closes them.
   *
   * @param plugged ports that are plugged in now, by the node's names
   */
  change(next: NodeSpec, plugged: ReadonlyMap<string, Port>): void
  /** Forgets what was learnt of a host that is gone, or is elsewhere: its MAC, its addresses, its flows. */
  forget(host: EndpointSpec): void
  /** Says goodbye, before the loop's last turn: leaves multicast groups. */
  leave?(): void
  ports(): PortRow[]
  fdb(): FdbRow[]
  /** Of nodes that have neighbours. */
  neighbours?(): NeighbourRow[]
  /** Of nodes that route. */
  routes?(): RouteRow[]
  /** Of nodes that keep flows: up to `limit` of them. */
  flows?(limit: number): FlowRow[]
  /** Of nodes with services or port mappings. */
  services?(): ServiceRow[]
}

export type { Ground }

/** A node as the file has it. */
export interface RawNode extends Record<string, unknown> {
  readonly mode: string
  readonly endpoints?: Readonly<Record<string, Readonly<Record<string, unknown>> & { readonly ip?: string | string[] }>>
}

/** What a mode knows of a node that it reads keys of. */
export interface Expanding {
  /** The node's name. */
  readonly name: string
  /** The topology file's. */
  readonly file: string
  /** Paths start inside the node. */
  readonly report: Report
  /** Keeps what somebody should know of the node: what is said in the file and changes nothing, and why (`NodeSpec.notes`). */
  readonly note: (text: string) => void
}

/** A kind of node. */
export interface Mode {
  /** What `mode:` says. */
  readonly name: string
  /** Options of the node, by key. */
  readonly options: Readonly<Record<string, Schema>>
  /** Options of each of its ports, by key. */
  readonly portOptions: Readonly<Record<string, Schema>>
  /** Further keys of ports with a host: `gateway` and `gatewayMac`, where the node has an interface there. */
  readonly endpointKeys?: Readonly<Record<string, Schema>>
  /** Further keys of ports without: `ip` and `mac` of the node's interface. */
  readonly uplinkKeys?: Readonly<Record<string, Schema>>
  /** Makes of a node as the file has it one with further keys: of what stands for them. It is read as if the file had them. */
  expand?(raw: RawNode, at: Expanding): RawNode
  /** Whether hosts may have the same MAC address: that of the node. Default false. */
  readonly sharedMac?: boolean
  /** Names the network that a host is in, from its keys: addresses are unique in each. Default: one for all. */
  scope?(endpoint: Readonly<Record<string, unknown>>): string
  /** The MAC of a host that the file gives none, from its other keys; undefined: one is made of the names. */
  macOf?(endpoint: Readonly<Record<string, unknown>>): string | undefined
  /** Reports what the schema cannot say. Paths start inside the node. */
  check(node: NodeSpec, report: Report): void
  /** Keys among `options` that may change while a node runs: lists of things, or maps of them by name. So may always the ports
   * with hosts. Default: none. */
  readonly changes?: readonly string[]
  /** Reports what of a change a node that runs cannot make all the same. Paths start inside the node. */
  checkChange?(before: NodeSpec, next: NodeSpec, report: Report): void
  /** By which addresses a host on the port reaches other networks; nobody's where there are none. */
  gateways?(node: NodeSpec, port: PortSpec): readonly Address[]
  /** Neighbours that a host on the port is told of, and does not ask for. Default: none. */
  neighbours?(node: NodeSpec, port: PortSpec): readonly StaticNeighbour[]
  /** What other nodes of its cluster know of it, as an item of their option `peers`; null where there is nothing to know,
   * undefined where the node is of no cluster: it is told of nobody either. See `cluster.ts`. */
  announces?(node: NodeSpec): { readonly node: string } | null | undefined
  build(node: NodeSpec, ground: Ground): BuiltNode
}

/** Modes by name. */
export type Modes = ReadonlyMap<string, Mode>

/** All modes, by name. */
export const MODES: Modes = new Map(
  [
    switchMode,
    l2bridgeMode,
    l2tunnelMode,
    fabricMode,
    routerMode,
    l3Mode,
    natMode,
    vtepMode,
    winnatMode,
    overlayMode,
    ovnHybridMode,
    transparentMode,
    ...[bridgeMode, ptpMode, macvlanMode, ipvlanMode],
    ...[calicoMode, flannelMode, awsVpcMode, azureMode],
    ...[dockerOverlayMode, ovnMode, antreaMode, ciliumMode, weaveMode, fanMode],
  ].map((mode) => [mode.name, mode]),
)

/** By which addresses the host on a port reaches other networks: at most one of each IP version. */
export function gatewaysOf(node: NodeSpec, port: PortSpec): readonly Address[] {
  return port.endpoint?.gateways ?? MODES.get(node.mode)?.gateways?.(node, port) ?? []
}
