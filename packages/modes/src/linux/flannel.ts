import { flannelMasq, markedMasquerade } from '@l2l3/nat'
import { ovnMac } from '@l2l3/vxlan'
import type { BridgePort } from '../bridge.ts'
import type { Ground } from '../ground.ts'
import { HostNode, type HostOptions, type HostSettings } from '../host-node.ts'
import type { NatGateOptions, NatPolicies } from '../nat-gate.ts'
import type { Chain } from '../nat-outbound.ts'
import type { InterfaceSpec, RoutedPort } from '../routed-link.ts'
import { type RoutedNode, routedNode } from '../router.ts'
import type { Route } from '../routes.ts'
import type { RoutedTunnel, TunnelType } from '../tunnels.ts'
import { gateOf } from './gate-of.ts'
import {
  type ClusterPeer,
  directRoutes,
  type Family,
  familyOf,
  hostOf,
  nodeAddress,
  ofFamily,
  type PeerWay,
  peerWays,
  tunnelSubnets,
} from './peers.ts'

/** How packets get to another node: as frames in UDP, as they are, as packets in UDP, or in IP. */
export type FlannelBackend = 'vxlan' | 'host-gw' | 'udp' | 'ipip'

/** The name of the bridge that pods are on, and of its interface. */
export const FLANNEL_BRIDGE = 'cni0'

/** Settings of a node that change while it runs. */
export interface FlannelSettings extends Pick<NatPolicies, 'portMappings' | 'services'> {
  readonly pods: readonly BridgePort[]
  readonly uplinks: readonly RoutedPort[]
  readonly peers?: readonly ClusterPeer[]
  readonly routes?: readonly Route[]
}

/** Settings of a node. */
export interface FlannelOptions extends FlannelSettings, NatGateOptions, Omit<HostOptions, 'nat'> {
  /** The bridge's interface: MAC, the gateway's addresses with their prefixes, MTU. */
  readonly gateway: Omit<InterfaceSpec, 'name'>
  /** The whole network, of each IP version: `10.244.0.0/16`. */
  readonly network: string | readonly string[]
  /** This node's part of it: `10.244.1.0/24`. */
  readonly subnet: string | readonly string[]
  /** Default `vxlan`. */
  readonly backend?: FlannelBackend
  /** vxlan, ipip: whether nodes on the link are reached without it (`DirectRouting`). Default false. */
  readonly directRouting?: boolean
  /** vxlan. Default 1. */
  readonly vni?: number
  /** The UDP port: default 8472 of vxlan, 8285 of udp. */
  readonly port?: number
  /** vxlan: MACs of the IPv4 and the IPv6 device. Default: 0a:58 and the node's address; flannel's own are random. */
  readonly vtepMac?: string | readonly string[]
  /** Whether FLANNEL-POSTRTG is there (`--ip-masq`). Default true. */
  readonly ipMasq?: boolean
  /** Whether it draws its ports (`--random-fully`, where iptables has it). Default true. */
  readonly randomFully?: boolean
}

/**
 * mode: flannel - pods on a bridge, a subnet for each node, and a backend that gets packets from one to the other.
 *
 *     pod 10.244.1.5     pod 10.244.1.6
 *      |                  |
 *     ++------------------++
 *     | cni0  10.244.1.1   |     within: frames, TTL as it is
 *     +---------+----------+
 *     +---------+-----------------------------------------------------------------------------------+
 *     | 10.244.2.0/24 -> vxlan    flannel.1 10.244.1.0/32: via 10.244.2.0, whose MAC is that of the VTEP
 *     |               -> host-gw  via 192.0.2.2, who must be on the link                             |
 *     |               -> udp      flannel0: the process takes two from the TTL, see `FlannelUdp`      |
 *     |               -> ipip     flannel.ipip                                                       |
 *     | NAT: FLANNEL-POSTRTG: cluster to world, and world to cluster, masqueraded                    |
 *     +-------------------------------------------+-------------------------------------------------+
 *                                                 | 192.0.2.1
 *
 * Throws a TypeError or RangeError with key and value for settings that make no sense.
 */
export function flannel(ground: Ground, options: FlannelOptions): RoutedNode<FlannelSettings> {
  const { backend = 'vxlan', directRouting = false, gateway, network, ipMasq = true } = options
  const wraps = ({ onLink }: PeerWay): boolean =>
    backend === 'udp' || (backend !== 'host-gw' && !(directRouting && onLink))
  const chain = ipMasq ? masquerading(options) : (): [] => []
  const settings = ({ pods, uplinks, peers = [], routes = [], ...policies }: FlannelSettings): HostSettings => {
    const ways = peerWays(peers, uplinks)
    const made = tunnels(options, uplinks, ways.filter(wraps))
    // The process behind the TUN says what has no subnet.
    const all = made.filter(({ type }) => type === 'flannel-udp').flatMap(({ name }) => networkRoutes(network, name))
    return {
      bridges: [{ name: FLANNEL_BRIDGE, ports: pods, gateway }],
      uplinks,
      tunnels: made,
      routes: [...all, ...directRoutes(ways.filter((way) => !wraps(way) && way.onLink)), ...routes],
      policies: { chain, portMappings: policies.portMappings ?? [], services: policies.services ?? [] },
    }
  }
  const nat = gateOf(options, [network].flat())
  return routedNode(new HostNode(ground, settings(options), { ...options, nat }), settings)
}

function networkRoutes(network: string | readonly string[], port: string): Route[] {
  return [network].flat().flatMap((to) => (familyOf(to) === 4 ? [{ to, port }] : []))
}

/** What of a tunnel is the backend's. */
const DEVICES: Readonly<Record<Exclude<FlannelBackend, 'host-gw'>, { type: TunnelType; families: readonly Family[] }>> =
  {
    vxlan: { type: 'vxlan', families: [4, 6] },
    udp: { type: 'flannel-udp', families: [4] },
    ipip: { type: 'ipip', families: [4] },
  }

/** The node's ends of the tunnel, one for each IP version that it has an address and a subnet of. */
function tunnels(options: FlannelOptions, uplinks: readonly RoutedPort[], far: readonly PeerWay[]): RoutedTunnel[] {
  const { backend = 'vxlan', subnet, vni = 1, port, vtepMac } = options
  if (backend === 'host-gw') return []
  const { type, families } = DEVICES[backend]
  return families.flatMap((family): RoutedTunnel[] => {
    const v6 = family === 6
    const local = nodeAddress(uplinks, family)
    const own = ofFamily(subnet, family)
    if (local === undefined || own === undefined) return []
    const there = far.filter((way) => way.family === family)
    const end = { type, local, addresses: [`${hostOf(own)}/${v6 ? 128 : 32}`] }
    if (backend === 'ipip') {
      return [{ ...end, name: 'flannel.ipip', subnets: tunnelSubnets(there), ttl: 'inherit', df: 'inherit' }]
    }
    if (backend === 'udp') {
      return [{ ...end, name: 'flannel0', subnets: tunnelSubnets(there), ...(port === undefined ? {} : { port }) }]
    }
    const mac = [vtepMac ?? []].flat()[v6 ? 1 : 0]
    return [
      {
        ...{ ...end, name: `${v6 ? 'flannel-v6' : 'flannel'}.${vni}`, vni, port: port ?? 8472 },
        ...{ learning: false, knownPeersOnly: false, ...(mac === undefined ? {} : { mac }) },
        subnets: tunnelSubnets(there, (way) => way.vtepMac ?? ovnMac(way.address)),
      },
    ]
  })
}

/** What kube-proxy marked, then FLANNEL-POSTRTG, of both IP versions. */
function masquerading({ network, subnet, randomFully = true }: FlannelOptions): Chain {
  return ({ masquerade }) => {
    const nat = masquerade({ ports: randomFully ? 'random' : 'preserve' })
    const rules = ([4, 6] as const).flatMap((family) => {
      const [whole, own] = [ofFamily(network, family), ofFamily(subnet, family)]
      return whole === undefined || own === undefined ? [] : flannelMasq({ network: whole, subnet: own, nat })
    })
    return [...markedMasquerade(masquerade()), ...rules]
  }
}
