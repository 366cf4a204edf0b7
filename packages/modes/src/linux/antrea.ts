import { ovnMac } from '@l2l3/vxlan'
import type { Ground } from '../ground.ts'
import { HostNode, type HostOptions, type HostSettings } from '../host-node.ts'
import type { NatGateOptions, NatPolicies } from '../nat-gate.ts'
import type { InterfaceSpec, RoutedPort } from '../routed-link.ts'
import { type RoutedNode, routedNode } from '../router.ts'
import type { Route } from '../routes.ts'
import type { RoutedTunnel } from '../tunnels.ts'
import { type BridgedPod, PortGuards, podPort, spoofGuards } from './bridged-pods.ts'
import { gateOf } from './gate-of.ts'
import { type ClusterPeer, familyOf, hostOf, nodeAddress, type PeerWay, peerWays } from './peers.ts'

/** The MAC to which every frame in a tunnel goes, on every node. */
export const ANTREA_MAC = 'aa:bb:cc:dd:ee:ff'
/** The node's interface on the bridge, its pods' gateway. */
export const ANTREA_GATEWAY = 'antrea-gw0'

/** Settings of a node that change while it runs. */
export interface AntreaSettings extends Pick<NatPolicies, 'portMappings' | 'services'> {
  readonly pods: readonly BridgedPod[]
  readonly uplinks: readonly RoutedPort[]
  readonly peers?: readonly ClusterPeer[]
  readonly routes?: readonly Route[]
}

/** Settings of a node. */
export interface AntreaOptions extends AntreaSettings, NatGateOptions, Omit<HostOptions, 'nat'> {
  /** antrea-gw0: MAC, and the first address of each of the node's subnets with its prefix. */
  readonly gateway: Omit<InterfaceSpec, 'name'>
  /** Default `geneve`. */
  readonly tunnelType?: 'geneve' | 'vxlan' | 'gre'
  /** GENEVE and VXLAN: the UDP port. Default 6081, 4789. */
  readonly port?: number
  /** GENEVE and VXLAN: the VNI. Default 0, as of an OVS port whose key nobody sets. */
  readonly vni?: number
  /** Whether pods may send only from their own addresses (SpoofGuard, ARPSpoofGuard). Default true. */
  readonly spoofGuard?: boolean
}

/**
 * mode: antrea - pods on an OVS bridge; between nodes its tables route, with one MAC for all who are elsewhere.
 *
 *     pod 10.10.1.2     pod 10.10.1.3
 *      |                 |
 *     [ SpoofGuard, ARPSpoofGuard ]
 *     ++-----------------++
 *     | br-int             |        within: frames, TTL as it is
 *     +---------+----------+
 *               | antrea-gw0 10.10.1.1
 *     +---------+---------------------------------------------------------------------+
 *     | 10.10.2.0/24 -> GENEVE to 192.0.2.2: from antrea-gw0's MAC to aa:bb:cc:dd:ee:ff, TTL - 1
 *     | out of a tunnel -> from antrea-gw0's MAC to the pod's, TTL - 1                |-- 192.0.2.1
 *     | NAT: from the subnet to no pod -> masquerade                                  |
 *     +-------------------------------------------------------------------------------+
 *
 * The pipeline of OVS that routes, and the kernel behind antrea-gw0 that does for all else, are one router here. The gateways of
 * other nodes are at aa:bb:cc:dd:ee:ff (ARPResponder).
 *
 * Throws a TypeError or RangeError with key and value for settings that make no sense.
 */
export function antrea(ground: Ground, options: AntreaOptions): RoutedNode<AntreaSettings> {
  const { gateway, spoofGuard = true } = options
  const guards = new PortGuards((pod) => spoofGuards(ground, pod))
  const settings = (next: AntreaSettings): HostSettings => {
    const { pods, uplinks, peers = [], routes = [], portMappings = [], services = [] } = next
    const ways = peerWays(peers, uplinks)
    guards.begin()
    const ports = pods.map((pod) => ({ ...podPort(pod), ...(spoofGuard ? { guards: guards.of(pod) } : {}) }))
    return {
      bridges: [{ name: ANTREA_GATEWAY, ports, gateway }],
      uplinks,
      tunnels: tunnels(options, uplinks, ways),
      routes,
      policies: {
        outbound: [{ exceptions: ways.flatMap((way) => way.subnets) }],
        ...{ portMappings, services },
      },
    }
  }
  return routedNode(new HostNode(ground, settings(options), { ...options, nat: gateOf(options) }), settings)
}

/** antrea-tun0, of each IP version of the underlay that the node has. */
function tunnels(options: AntreaOptions, uplinks: readonly RoutedPort[], all: readonly PeerWay[]): RoutedTunnel[] {
  const { tunnelType: type = 'geneve', gateway, port, vni = 0 } = options
  return ([4, 6] as const).flatMap((family): RoutedTunnel[] => {
    const local = nodeAddress(uplinks, family)
    const ways = all.filter((way) => way.family === family)
    if (local === undefined || !gateway.addresses.some((text) => familyOf(text) === family)) return []
    const end = { name: family === 6 ? 'antrea-tun0-v6' : 'antrea-tun0', type, local, addresses: [] }
    const subnets = ways.flatMap(({ subnets: networks, address }) => networks.map((to) => ({ to, remote: address })))
    if (type === 'gre') return [{ ...end, subnets, ttl: 64 }]
    return [
      {
        ...{ ...end, vni, profile: 'ovs', mac: ANTREA_MAC, srcMac: gateway.mac, learning: false, knownPeersOnly: true },
        ...(family === 6 ? { udpChecksum6: false, zeroChecksum6: true } : {}),
        ...(port === undefined ? {} : { port }),
        subnets: subnets.map((subnet) => ({ ...subnet, mac: ANTREA_MAC, via: firstOf(subnet.to) })),
      },
    ]
  })
}

/** The first address of a network that a host can have: the gateway of a node's pods. */
function firstOf(network: string): string {
  const base = hostOf(network)
  return familyOf(base) === 6 ? `${base.replace(/::$/, '')}::1` : base.replace(/\d+$/, (n) => String(Number(n) + 1))
}

/** The MAC of antrea-gw0 where none is given; Antrea's own is random. */
export const antreaGatewayMac = (address: string): string => ovnMac(hostOf(address))
