import type { Ground } from '../ground.ts'
import { HostNode, type HostOptions } from '../host-node.ts'
import type { InterfaceSpec, RoutedPort } from '../routed-link.ts'
import type { Route } from '../routes.ts'
import type { OverlayNetwork } from '../vtep.ts'
import { type BridgedNode, BridgeTunnels, bridgedNode } from './bridge-tunnels.ts'
import { type BridgedPod, podPort } from './bridged-pods.ts'
import { nodeAddress } from './peers.ts'

/** The bridge in the namespace of a network, as libnetwork calls it. */
export const DOCKER_BRIDGE = 'br0'

/** A container on another node. */
export interface FarStation {
  readonly mac: string
  /** Without prefix. */
  readonly ips: readonly string[]
}

/** Another node, and who is there. */
export interface StationsPeer {
  readonly node: string
  /** Its address on the underlay. */
  readonly address: string
  readonly stations: readonly FarStation[]
}

/** Settings of a node that change while it runs. */
export interface DockerOverlaySettings {
  readonly pods: readonly BridgedPod[]
  readonly uplinks: readonly RoutedPort[]
  readonly peers?: readonly StationsPeer[]
  readonly routes?: readonly Route[]
}

/** Settings of a node. */
export interface DockerOverlayOptions extends DockerOverlaySettings, Omit<HostOptions, 'nat'> {
  /** The bridge's own interface: the network's gateway address, which leads nowhere. Default: none. */
  readonly gateway?: Omit<InterfaceSpec, 'name'>
  /** Default 4096: the first that a swarm gives out. */
  readonly vni?: number
  /** The UDP port (`--data-path-port`). Default 4789. */
  readonly port?: number
  /** The longest packet inside. Default: the underlay's less 50. */
  readonly mtu?: number
}

/**
 * mode: docker-overlay - containers of several nodes on one Ethernet, of which every node is told who is where.
 *
 *     container 10.0.9.2    container 10.0.9.3
 *      |                     |                      namespace of the network
 *     ++---------------------++
 *     | br0  10.0.9.1          |
 *     +-----------+------------+
 *     | vxlan: proxy            ARP for 10.0.9.4 -> answered here with the MAC of 10.0.9.4; for an unknown address -> dropped
 *     |        l2miss, l3miss   frame to a MAC of a peer -> its node; to all, or to an unknown MAC -> dropped
 *     +-----------+------------+
 *     +-----------+------------+
 *     | host, UDP 4789         |-- uplink 192.0.2.1
 *     +------------------------+
 *
 * Inner frames arrive as they left: MACs and TTL are untouched. Probes are answered with a target of 0.0.0.0, which makes who
 * probes for a free address believe what it wants (modes.md 12). A second network of the same host is another node. The way to
 * the world, docker_gwbridge, is the container's second interface: see `bridge`. Encryption (ESP) is not here.
 *
 * Throws a TypeError or RangeError with key and value for settings that make no sense.
 */
export function dockerOverlay(ground: Ground, options: DockerOverlayOptions): BridgedNode<DockerOverlaySettings> {
  const { gateway } = options
  const bridgesOf = ({ pods }: DockerOverlaySettings) => ({
    bridges: [{ name: DOCKER_BRIDGE, ports: pods.map(podPort), ...(gateway === undefined ? {} : { gateway }) }],
  })
  const host = new HostNode(ground, {}, options)
  const inside = new HostNode(ground, bridgesOf(options))
  const tunnels = new BridgeTunnels(ground, host)
  const become = (next: DockerOverlaySettings): void => {
    host.change({ uplinks: next.uplinks, routes: next.routes ?? [] })
    inside.change(bridgesOf(next))
    const network = networkOf(options, next)
    tunnels.become(network === null ? [] : inside.bridges.map((bridge) => ({ bridge, network })))
  }
  become(options)
  return bridgedNode({ host, inside }, tunnels, become)
}

/** The vxlan device; null where the node has no IPv4 address that tunnels could go from: nothing is plugged in to its uplink. */
function networkOf(
  options: DockerOverlayOptions,
  { uplinks, peers = [] }: DockerOverlaySettings,
): OverlayNetwork | null {
  const { vni = 4096, port = 4789, mtu } = options
  const local = nodeAddress(uplinks, 4)
  if (local === undefined) return null
  return {
    ...{ name: `vxlan${vni}`, vni, port, local, answers: 'overlay', unknown: 'drop' },
    ...(mtu === undefined ? {} : { mtu }),
    static: peers.flatMap(({ address, stations }) => stations.map((station) => ({ ...station, remote: address }))),
  }
}
