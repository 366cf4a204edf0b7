import type { Address } from './address.ts'

/* What a topology file says, checked and with names resolved: the input of every world. */

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
  | { readonly kind: 'tap'; readonly name: string; readonly offloads?: boolean; readonly tunnelOffloads?: boolean }
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
  /** Keys of the node's mode. */
  readonly options: Readonly<Record<string, unknown>>
  /** Where it stands in the node: ['endpoints', 'red']. */
  readonly path: readonly string[]
}

/** A node: something that frames go through. */
export interface NodeSpec {
  readonly name: string
  readonly mode: string
  /** Keys of the mode. */
  readonly options: Readonly<Record<string, unknown>>
  /** Endpoints' ports first, then those without a host, in the order of the file; `uplink` last. */
  readonly ports: readonly PortSpec[]
}

/** A cable between two ports, by their labels. */
export type LinkSpec = readonly [string, string]

/** What can be tried. */
export type CheckKind = 'ping' | 'tcp' | 'traceroute' | 'neigh'

/** Something to try once the topology runs. */
export interface CheckSpec {
  readonly kind: CheckKind
  readonly from: EndpointSpec
  /** The endpoint's name, or the address itself where the file names one. */
  readonly to: string
  /** The endpoint that has the address, where there is one. */
  readonly target: EndpointSpec | null
  readonly address: Address
  /** Whether it must work, or must not. */
  readonly expect: 'pass' | 'fail'
  /** Seconds until an answer counts as absent. */
  readonly timeout: number
  /** Pings: how many. */
  readonly count: number
  /** Pings: payload bytes of each. TCP: payload bytes in all. */
  readonly bytes: number
  /** Traceroutes: the hops that must be seen before the end, in order; empty where any will do. */
  readonly via: readonly Address[]
  /** Neighbours: the MAC that the address must have; null where any will do. */
  readonly mac: string | null
  /** TCP: the port to connect to; null for one that the end chooses. */
  readonly port: number | null
  /** TCP: who may take it in, one of them; the target alone where nothing on the way stands for others. */
  readonly servers: readonly EndpointSpec[]
  /** TCP: the port of theirs that it must arrive at; null for one that they choose. */
  readonly serverPort: number | null
}

/** A whole topology. */
export interface Topology {
  readonly name: string
  /** Where it was read. */
  readonly file: string
  readonly nodes: readonly NodeSpec[]
  readonly endpoints: readonly EndpointSpec[]
  readonly links: readonly LinkSpec[]
  readonly checks: readonly CheckSpec[]
}

/** Says in a few words what a check does: `ping red -> blue (IPv4, 10.0.0.2)`. */
export function checkText(check: CheckSpec): string {
  const port = check.port === null ? '' : ` port ${check.port}`
  const to = (check.target === null ? '' : `, ${check.address.text}`) + port
  const not = check.expect === 'fail' ? ', must fail' : ''
  return `${check.kind} ${check.from.name} -> ${check.to} (IPv${check.address.family}${to}${not})`
}
