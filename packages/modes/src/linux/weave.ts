import type { Bridge } from '../bridge.ts'
import type { Ground } from '../ground.ts'
import { HostNode, type HostOptions, type HostSettings } from '../host-node.ts'
import type { NatGateOptions, NatPolicies } from '../nat-gate.ts'
import type { InterfaceSpec, RoutedPort } from '../routed-link.ts'
import type { Route } from '../routes.ts'
import { type BridgedNode, type BridgeTunnel, BridgeTunnels, bridgedNode } from './bridge-tunnels.ts'
import { type BridgedPod, podPort } from './bridged-pods.ts'
import { gateOf } from './gate-of.ts'
import { nodeAddress } from './peers.ts'

/** The bridge, and the node's interface on it. */
export const WEAVE_BRIDGE = 'weave'

/** Another node of the mesh. */
export interface WeavePeer {
  readonly node: string
  readonly address: string
  /** Its name: six bytes, written like a MAC. */
  readonly name: string
  /** Its number in the mesh: 0 to 4,095. */
  readonly shortId: number
  /** Whether it has sleeve only. Default false. */
  readonly sleeve?: boolean
}

/** Settings of a node that change while it runs. */
export interface WeaveSettings extends Pick<NatPolicies, 'portMappings' | 'services'> {
  readonly pods: readonly BridgedPod[]
  readonly uplinks: readonly RoutedPort[]
  readonly peers?: readonly WeavePeer[]
  readonly routes?: readonly Route[]
}

/** Settings of a node. */
export interface WeaveOptions
  extends WeaveSettings,
    NatGateOptions,
    Omit<HostOptions, 'nat'>,
    Omit<WeavePeer, 'node' | 'address'> {
  /** The node's interface on the bridge: the pods' gateway (`weave expose`). */
  readonly gateway: Omit<InterfaceSpec, 'name'>
  /** The UDP port of sleeve; fastdp has the next one. Default 6783. */
  readonly port?: number
}

/**
 * mode: weave - pods of all nodes on one Ethernet: a bridge on each node, and between any two a connection.
 *
 *     pod 10.32.0.2    pod 10.32.0.3
 *      |                |
 *     ++----------------++
 *     | weave 10.32.0.1  +-- fastdp: VXLAN, UDP 6784, VNI = far short id << 12 | own short id   (to each peer)
 *     |                  +-- sleeve: UDP 6783, | name | from, to, length, frame | ...           (where one of both has only it)
 *     +---------+--------+
 *     +---------+----------------------------------------------+
 *     | router, NAT: from pods to the world -> masquerade      |-- uplink 192.0.2.1
 *     +--------------------------------------------------------+
 *
 * MACs are learnt. Every node is connected with every other, so that nothing is relayed: what came by a connection leaves by none.
 * The control connection (TCP 6783), by which peers tell each other names and short ids, is `peers`. There is no encryption.
 *
 * Throws a TypeError or RangeError with key and value for settings that make no sense.
 */
export function weave(ground: Ground, options: WeaveOptions): BridgedNode<WeaveSettings> {
  const { gateway } = options
  const settings = ({ pods, uplinks, routes = [], portMappings = [], services = [] }: WeaveSettings): HostSettings => ({
    bridges: [{ name: WEAVE_BRIDGE, ports: pods.map(podPort), gateway }],
    ...{ uplinks, routes, policies: { portMappings, services } },
  })
  const host = new HostNode(ground, settings(options), { ...options, nat: gateOf(options) })
  const tunnels = new BridgeTunnels(ground, host)
  const become = (next: WeaveSettings): void => {
    host.change(settings(next))
    tunnels.become(host.bridges.flatMap((bridge) => connections(options, next, bridge)))
  }
  become(options)
  return bridgedNode({ host, inside: null }, tunnels, become)
}

/** Connections to all peers; none where the node has no IPv4 address that they could go from: nothing is plugged in to its uplink. */
function connections(options: WeaveOptions, { uplinks, peers = [] }: WeaveSettings, bridge: Bridge): BridgeTunnel[] {
  const { name, shortId, port = 6783 } = options
  for (const peer of peers) {
    const twice = peer.shortId === shortId || peers.some((other) => other !== peer && other.shortId === peer.shortId)
    if (twice) throw new RangeError(`shortId of ${peer.node}: ${peer.shortId} is another's too`)
  }
  const local = nodeAddress(uplinks, 4)
  if (local === undefined) return []
  const slow = (peer: WeavePeer): boolean => (options.sleeve ?? false) || (peer.sleeve ?? false)
  const fast = peers.filter((peer) => !slow(peer))
  const fastdp = {
    ...{ name: 'fastdp', local, port: port + 1, vni: fastdpVni(shortId, shortId), knownPeersOnly: fast.length > 0 },
    // Each connection is a port of its own to the mesh: from one to another nothing goes.
    ...{ isolated: true, vnis: fast.map((peer) => fastdpVni(shortId, peer.shortId)) },
    remotes: fast.map((peer) => ({ address: peer.address, vni: fastdpVni(peer.shortId, shortId) })),
  }
  return [
    ...(fast.length === 0 ? [] : [{ bridge, network: fastdp }]),
    ...peers.filter(slow).map((peer) => ({
      bridge,
      name: `sleeve-${peer.node}`,
      sleeve: { local, remote: peer.address, name, peer: peer.name, port },
    })),
  ]
}

/** The VNI of fastdp from one peer to another, by their short ids. Throws a RangeError for what is none.
 * @param to 0 to 4,095
 * @param from likewise */
export function fastdpVni(to: number, from: number): number {
  for (const id of [to, from]) {
    if (!Number.isInteger(id) || id < 0 || id > 0xfff) throw new RangeError(`shortId must be from 0 to 4095, not ${id}`)
  }
  return (to << 12) | from
}
