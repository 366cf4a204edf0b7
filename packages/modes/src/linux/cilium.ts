import { IdentityLabels } from '@l2l3/vxlan'
import type { Ground } from '../ground.ts'
import { HostNode, type HostOptions, type HostSettings } from '../host-node.ts'
import { type L3Pod, l3Pods } from '../l3.ts'
import type { NatGateOptions, NatPolicies } from '../nat-gate.ts'
import type { RoutedPort } from '../routed-link.ts'
import type { RoutedPod } from '../routed-pod.ts'
import { type RoutedNode, routedNode } from '../router.ts'
import type { Route } from '../routes.ts'
import type { RoutedTunnel } from '../tunnels.ts'
import { gateOf } from './gate-of.ts'
import { type ClusterPeer, nodeAddress, ofFamily, peerWays, tunnelSubnets } from './peers.ts'

/** The MAC of the node's end of every pod's link: our choice, Cilium's are random. */
export const CILIUM_HOST_MAC = '0e:00:00:00:00:01'
/** The identity of the node itself (reserved:host). */
export const CILIUM_HOST = 1

/** A pod, and its security identity. */
export interface CiliumPod extends L3Pod {
  /** 1 to 16,777,215; Cilium gives out numbers from 256 on. */
  readonly identity: number
}

/** Settings of a node that change while it runs. */
export interface CiliumSettings extends Pick<NatPolicies, 'portMappings' | 'services'> {
  readonly pods: readonly CiliumPod[]
  readonly uplinks: readonly RoutedPort[]
  readonly peers?: readonly ClusterPeer[]
  readonly routes?: readonly Route[]
}

/** Settings of a node. */
export interface CiliumOptions extends CiliumSettings, NatGateOptions, Omit<HostOptions, 'nat'> {
  /** cilium_host: the pods' gateway, of each IP version, without prefix. */
  readonly router: string | readonly string[]
  /** The node's own pods: `10.0.1.0/24`. */
  readonly podCidr: string | readonly string[]
  /** Default `vxlan`. */
  readonly tunnelProtocol?: 'vxlan' | 'geneve'
  /** The UDP port. Default 8472 of VXLAN, 6081 of GENEVE. */
  readonly tunnelPort?: number
  /** Whether what leaves the cluster is masqueraded. Default true. */
  readonly masquerade?: boolean
  /** The identity in tunnels of what the node itself says. Default 1. */
  readonly hostIdentity?: number
}

/**
 * mode: cilium, tunnel routing - pods on links of their own, and between nodes a tunnel that says who sends: its VNI is the
 * identity of the pod.
 *
 *     pod 10.0.1.5/32, identity 4711, default via 10.0.1.1
 *      | the node answers ARP
 *     ++------------------------------------------------------------------------+
 *     | cilium_host 10.0.1.1                                                    |
 *     | 10.0.1.5/32  -> this link, TTL - 1                                      |
 *     | 10.0.2.0/24  -> VXLAN to 192.0.2.2, UDP 8472, VNI 4711, TTL - 1         |-- 192.0.2.1
 *     | out of the tunnel, any VNI -> to the pod, TTL as it is                  |
 *     | NAT: from pods to no pod -> masquerade                                  |
 *     +-------------------------------------------------------------------------+
 *
 * Nothing is learnt, and only nodes of the cluster are heard. That two nodes count as one hop, and the MACs inside, are our choice:
 * `decrementTtl` of the tunnel is off.
 *
 * Throws a TypeError or RangeError with key and value for settings that make no sense.
 */
export function cilium(ground: Ground, options: CiliumOptions): RoutedNode<CiliumSettings> {
  const { masquerade = true, podCidr } = options
  const router6 = ofFamily(options.router, 6)
  const labels = new IdentityLabels(options.hostIdentity ?? CILIUM_HOST)
  const settings = (next: CiliumSettings): HostSettings => {
    const { pods, uplinks, peers = [], routes = [], portMappings = [], services = [] } = next
    labels.setIdentities(new Map(pods.flatMap(({ ips, identity }) => ips.map((ip) => [ip, identity] as const))))
    const inside = [podCidr].flat()
    const exceptions = peers.flatMap((peer) => peer.subnets)
    const links = pods.map(({ identity: _, ...pod }): L3Pod => pod)
    return {
      uplinks,
      pods: l3Pods({ pods: links, uplinks }, { gatewayMac: CILIUM_HOST_MAC }).map((pod) => withRouter6(pod, router6)),
      tunnels: tunnels(options, next, labels),
      routes,
      policies: { inside, outbound: masquerade ? [{ exceptions }] : [], portMappings, services },
    }
  }
  return routedNode(new HostNode(ground, settings(options), { ...options, nat: gateOf(options) }), settings)
}

/** A pod whose neighbour solicitations for cilium_host are answered, as its program for the link does it: for IPv4 proxy ARP does. */
function withRouter6(pod: RoutedPod, router: string | undefined): RoutedPod {
  if (router === undefined) return pod
  const { gateway } = pod
  return { ...pod, gateway: { ...gateway, addresses: [...gateway.addresses, `${router}/128`] } }
}

/** cilium_vxlan, of the IP version of the underlay: IPv4 where the node has it. It has the addresses of cilium_host. */
function tunnels(options: CiliumOptions, next: CiliumSettings, labels: IdentityLabels): RoutedTunnel[] {
  const { tunnelProtocol: type = 'vxlan', tunnelPort: port = type === 'vxlan' ? 8472 : 6081, router } = options
  return ([4, 6] as const).flatMap((family): RoutedTunnel[] => {
    const local = nodeAddress(next.uplinks, family)
    const own = ofFamily(router, family)
    if (local === undefined || own === undefined) return []
    const ways = peerWays(next.peers ?? [], next.uplinks).filter((way) => way.family === family)
    return [
      {
        ...{ name: `cilium_${type}${family === 6 ? '6' : ''}`, type, local, port, labels, vni: 'any' },
        addresses: [`${own}/${family === 6 ? 128 : 32}`],
        ...{ learning: false, knownPeersOnly: true, decrementTtl: false },
        ...(family === 6 ? { udpChecksum6: false, zeroChecksum6: true } : { udpChecksum: false }),
        subnets: tunnelSubnets(ways).map((subnet) => subnet),
      },
    ]
  })
}
