import type { DropName } from '@l2l3/switch-core'
import type { Address } from './address.ts'

/* What a topology file says, checked and with names resolved: the input of every world. */

/** A neighbour that a host knows for good: `ip neigh add 169.254.1.1 lladdr aa:aa:aa:aa:aa:aa dev eth0 nud permanent`. */
export interface StaticNeighbour {
  readonly address: Address
  /** Lower case with colons. */
  readonly mac: string
}

/** A route of a host, besides those to its networks and by its gateways. */
export interface HostRoute {
  /** A network. */
  readonly to: Address
  /** By whom. */
  readonly via: Address
}

/** A host on a port of a node. */
export interface EndpointSpec {
  /** Unique in the topology. */
  readonly name: string
  /** The node's name. */
  readonly node: string
  /** Lower case with colons. */
  readonly mac: string
  readonly addresses: readonly Address[]
  /** MTU of the host's interface. */
  readonly mtu: number
  /** By which it reaches other networks, where the file says so itself, as it does of a segment's hosts: at most one of
   * each IP version. Absent where the node's mode says it. */
  readonly gateways?: readonly Address[]
  /** Further routes. Absent where there are none. */
  readonly routes?: readonly HostRoute[]
  /** Neighbours that it does not have to ask for. Absent where there are none. */
  readonly neighbours?: readonly StaticNeighbour[]
}

/** What a node itself is at a port of its own, where it routes: an interface. */
export interface InterfaceSpec {
  /** Lower case with colons; made from the names where none is given. */
  readonly mac: string
  readonly addresses: readonly Address[]
}

/** What a port without a host is on Linux. */
export type DeviceSpec =
  /** A TAP device in the namespace of the process. */
  | {
      readonly kind: 'tap'
      readonly name: string
      readonly offloads?: boolean
      readonly tunnelOffloads?: boolean
      /** In place of the topology's. */
      readonly queue?: number
    }
  /** An interface that exists: a NIC, one end of a veth. */
  | {
      readonly kind: 'nic'
      readonly name: string
      readonly netns?: string
      readonly offloads?: boolean
      readonly promiscuous?: boolean
    }
  /** UDP sockets: the underlay of tunnels. */
  | ({ readonly kind: 'udp' } & SocketSpec)

/** UDP sockets as a port: what `UdpUnderlayPort` in @l2l3/tap-io takes. */
export interface SocketSpec {
  /** The address of the machine that they are bound to. */
  readonly address: string
  readonly port?: number
  readonly netns?: string
  readonly sockets?: number
  readonly send?: 'rows' | 'single'
  readonly receive?: 'merge' | 'split' | 'single'
  readonly checksum?: boolean
  readonly dontFragment?: boolean
  readonly device?: string
  readonly groups?: readonly string[]
}

/** What a wire does to frames. Fractions are from 0 to 1, times in nanoseconds; 0 is none of it. */
export interface FaultSpec {
  /** Frames that are lost. */
  readonly loss: number
  /** Frames that come twice. */
  readonly duplicate: number
  /** Frames of which a bit is flipped. */
  readonly corrupt: number
  /** Frames that the next one overtakes. */
  readonly reorder: number
  /** How long each frame is under way, */
  readonly delay: number
  /** and by how much longer it may be: frames overtake each other then. */
  readonly jitter: number
}

/** A port of a node, with or without a host. */
export interface PortSpec {
  /** The endpoint's name, the name under `ports`, or "uplink". */
  readonly name: string
  /** "node/port". */
  readonly label: string
  /** Null for a port without a host: an uplink. */
  readonly endpoint: EndpointSpec | null
  /** Null for a port with a host, one of a cable, and one where nothing is plugged in. */
  readonly device: DeviceSpec | null
  readonly interface: InterfaceSpec
  /** The segment that joins it with others. */
  readonly segment?: string
  /** Faults of the wire behind it: what they do to frames that leave the node here, and to frames that come in. A cable's
   * are at both ends to what leaves, a segment's at its own ports to what leaves. */
  readonly faults?: { readonly out: FaultSpec | null; readonly in: FaultSpec | null }
  /** Keys of the node's mode. */
  readonly options: Readonly<Record<string, unknown>>
  /** Where it stands in the node: ['endpoints', 'red']. */
  readonly path: readonly string[]
}

/** A node: something that frames go through. */
export interface NodeSpec {
  readonly name: string
  readonly mode: string
  /** Only of nodes that the file does not have under `nodes`: the name of the segment that the node stands for (mode
   * `switch`), or of the router between segments (mode `router`). */
  readonly segment?: string
  /** Keys of the mode. */
  readonly options: Readonly<Record<string, unknown>>
  /** Endpoints' ports first, then those without a host, in the order of the file; `uplink` last. */
  readonly ports: readonly PortSpec[]
  /** What documents that it is configured by say and what changes nothing, with the reason. Absent: nothing. */
  readonly notes?: readonly string[]
}

/** A cable between two ports, by their labels. */
export type LinkSpec = readonly [string, string]

/** A route of the router on a segment, as the file has it. */
export interface SegmentRouteSpec {
  readonly to: string
  readonly via: string
}

/** A router's place on a segment. Routers of one name are one router, which leads between its segments. */
export interface SegmentRouterSpec {
  /** Of the node: "router" unless the file says otherwise. */
  readonly name: string
  readonly mac: string
  readonly addresses: readonly Address[]
  readonly routes: readonly SegmentRouteSpec[]
}

/**
 * An Ethernet segment that joins nodes, as the file has it: the underlay.
 *
 * `Topology.nodes` and `links` have it expanded: a node of mode `switch` with the segment's name, with its hosts as
 * endpoints, a port `NODE.PORT` for each port that it joins, and a port named as the router; and the router, a node of
 * mode `router` with a port of each segment's name. A world whose segments are real leaves those nodes out, which have
 * `NodeSpec.segment`.
 */
export interface SegmentSpec {
  readonly name: string
  /** Longest payload of a frame on it; null for any. */
  readonly mtu: number | null
  readonly router: SegmentRouterSpec | null
  /** Hosts on it; they are among `Topology.endpoints`, too, with the segment's name for a node. */
  readonly hosts: readonly EndpointSpec[]
  /** Labels of the nodes' ports that it joins. */
  readonly ports: readonly string[]
  readonly faults: FaultSpec | null
}

/** What can be tried. */
export type CheckKind = 'ping' | 'tcp' | 'udp' | 'http' | 'arp' | 'traceroute' | 'neigh'

/** What must come of a check: it works, it does not, or nothing answers and nodes drop frames for that reason meanwhile. */
export type Expectation = 'pass' | 'fail' | { readonly drop: DropName }

/** Something to try once the topology runs. */
export interface CheckSpec {
  readonly kind: CheckKind
  readonly from: EndpointSpec
  /** The endpoint's name, or the address itself where the file names one. */
  readonly to: string
  /** The endpoint that has the address, where there is one. */
  readonly target: EndpointSpec | null
  readonly address: Address
  readonly expect: Expectation
  /** Seconds until an answer counts as absent. */
  readonly timeout: number
  /** Pings, datagrams and ARP requests: how many. */
  readonly count: number
  /** Pings and datagrams: payload bytes of each. TCP: payload bytes in all. */
  readonly bytes: number
  /** Traceroutes: the hops that must be seen before the end, in order; null where any will do. */
  readonly via: readonly Address[] | null
  /** Neighbours and ARP: the MAC that the address must have; null where any will do. */
  readonly mac: string | null
  /** TCP, UDP and HTTP: the port to go to; null for one that the end chooses. */
  readonly port: number | null
  /** TCP, UDP and HTTP: who may take it in, one of them; the target alone where nothing on the way stands for others. */
  readonly servers: readonly EndpointSpec[]
  /** TCP, UDP and HTTP: the port of theirs that it must arrive at; null for one that they choose. */
  readonly serverPort: number | null
  /** HTTP: what is asked for. */
  readonly url: string
  /** HTTP: what servers answer with, and must be what arrives. */
  readonly status: number
  /** HTTP: the same of the text; null for the name of the endpoint that serves, and a line feed. */
  readonly body: string | null
  /** Nodes ("n1") and ports ("n1/uplink") that the first packet must pass, in this order; empty where it is not looked at. */
  readonly path: readonly string[]
}

/** A whole topology. */
export interface Topology {
  readonly name: string
  /** Where it was read. */
  readonly file: string
  readonly nodes: readonly NodeSpec[]
  readonly endpoints: readonly EndpointSpec[]
  readonly links: readonly LinkSpec[]
  /** What the file says of segments, which are in `nodes` and `links` already. */
  readonly segments: readonly SegmentSpec[]
  /** Of the dice that faults are thrown with. */
  readonly seed: number
  /** On Linux: frames that wait at most in the kernel for a node to read them, of each TAP. Absent where the file does not say. */
  readonly queue?: number
  readonly checks: readonly CheckSpec[]
}

/** Says in a few words what a check does: `ping red -> blue (IPv4, 10.0.0.2)`. */
export function checkText(check: CheckSpec): string {
  const port = check.port === null ? '' : ` port ${check.port}`
  const to = (check.target === null ? '' : `, ${check.address.text}`) + port
  const { expect } = check
  const not = expect === 'pass' ? '' : expect === 'fail' ? ', must fail' : `, must be dropped: ${expect.drop}`
  return `${check.kind} ${check.from.name} -> ${check.to} (IPv${check.address.family}${to}${not})`
}
