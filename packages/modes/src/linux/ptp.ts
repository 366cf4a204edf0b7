import { cniIpMasq, kindnetMasq, markedMasquerade, type OutboundRule, type SourceNat } from '@l2l3/nat'
import type { Port } from '@l2l3/switch-core'
import type { Ground } from '../ground.ts'
import { HostNode, type HostOptions, type HostSettings } from '../host-node.ts'
import type { NatGateOptions, NatPolicies } from '../nat-gate.ts'
import type { Chain } from '../nat-outbound.ts'
import type { RoutedPort } from '../routed-link.ts'
import { type RoutedNode, routedNode } from '../router.ts'
import type { Route } from '../routes.ts'
import { isWithin } from '../underlay.ts'
import { gateOf } from './gate-of.ts'
import { type ClusterPeer, directRoutes, familyOf, peerWays } from './peers.ts'

/** Whose rules masquerade what leaves: those of the CNI plugin for iptables or for nftables, or kindnet's; none. */
export type PtpMasquerade = 'iptables' | 'nftables' | 'kindnet' | 'off'

const MASQUERADES: readonly string[] = ['iptables', 'nftables', 'kindnet', 'off'] satisfies PtpMasquerade[]

/** A pod, and the port it is on. */
export interface PtpPod {
  readonly name: string
  /** Name of the link to it, in a trace. Default: its name. */
  readonly label?: string
  readonly port: Port
  readonly mac: string
  /** Without prefix: each is alone on its link. */
  readonly ips: readonly string[]
  /** MAC of the host's end of the link. */
  readonly hostMac: string
  /** MTU of the link. Default 1,500. */
  readonly mtu?: number
}

/** Settings of a ptp node that change while it runs. */
export interface PtpSettings extends Pick<NatPolicies, 'portMappings' | 'services'> {
  readonly pods: readonly PtpPod[]
  /** Ports to other nodes and the world. */
  readonly uplinks: readonly RoutedPort[]
  readonly routes?: readonly Route[]
  /** kindnet: the other nodes, to whose pods there is a route each. Default: none. */
  readonly peers?: readonly ClusterPeer[]
}

/** Settings of a ptp node. */
export interface PtpOptions extends PtpSettings, NatGateOptions, Omit<HostOptions, 'nat'> {
  /** The gateways of all pods, without prefix, one of each family: each link's host end has them. */
  readonly gateways: readonly string[]
  /** Default `off`. */
  readonly masquerade?: PtpMasquerade
  /** The networks that pods' addresses are given out of: nothing is masqueraded to them. Default: none. */
  readonly podCidrs?: readonly string[]
  /** kindnet: networks to which nothing is masqueraded, besides all nodes' pods. Default: none. */
  readonly noMasquerade?: readonly string[]
}

/**
 * mode: ptp - a link of its own for each pod, whose other end is the host: the CNI plugin `ptp`, and kindnet.
 *
 *     pod 10.244.1.5                   pod 10.244.1.6         10.244.1.1 dev eth0 scope link
 *      |                                |                     10.244.1.0/24 via 10.244.1.1, default via 10.244.1.1
 *      | 10.244.1.1/32                  | 10.244.1.1/32       each host end with a MAC of its own
 *     [ neighbours ]                   [ neighbours ]
 *     ++--------------------------------+-----------------------+
 *     | router: 10.244.1.5/32 and .6/32 by these links          |-- uplink 192.0.2.1
 *     |         kindnet: 10.244.2.0/24 via 192.0.2.2            |
 *     |         port mappings, services, masquerade             |
 *     +---------------------------------------------------------+
 *
 * The gateway is an address of the host, which answers ARP for it as for any (no proxy): all that a pod sends goes by the host,
 * also to a pod of its own subnet.
 *
 * Throws a TypeError or RangeError with key and value for settings that make no sense.
 */
export function ptp(ground: Ground, options: PtpOptions): RoutedNode<PtpSettings> {
  const { gateways, masquerade = 'off', podCidrs = [], noMasquerade = [] } = options
  if (!MASQUERADES.includes(masquerade)) {
    throw new TypeError(`masquerade must be one of ${MASQUERADES.join(', ')}, not ${JSON.stringify(masquerade)}`)
  }
  const addresses = gateways.map(alone)
  const settings = (next: PtpSettings): HostSettings => {
    const { pods, uplinks, routes = [], peers = [], portMappings = [], services = [] } = next
    const around = [...podCidrs, ...peers.flatMap((peer) => peer.subnets), ...noMasquerade]
    return {
      uplinks,
      pods: pods.map(({ hostMac, ...pod }) => ({ ...pod, gateway: { mac: hostMac, addresses } })),
      routes: [...directRoutes(peerWays(peers, uplinks).filter((way) => way.onLink)), ...routes],
      policies: { inside: podCidrs, chain: masqueradeBy(masquerade, pods, podCidrs, around), portMappings, services },
    }
  }
  return routedNode(new HostNode(ground, settings(options), { ...options, nat: gateOf(options) }), settings)
}

/** The chain that masquerades (modes.md 8, 9), behind what portmap and kube-proxy have marked. */
function masqueradeBy(
  whose: PtpMasquerade,
  pods: readonly PtpPod[],
  inside: readonly string[],
  around: readonly string[],
): Chain {
  return ({ masquerade }): OutboundRule[] => {
    const nat = masquerade()
    return [...markedMasquerade(nat), ...own(nat)]
  }
  function own(nat: SourceNat): OutboundRule[] {
    if (whose === 'off') return []
    if (whose === 'kindnet') {
      return ([4, 6] as const).flatMap((family) => {
        const cidrs = inside.filter((net) => familyOf(net) === family)
        const noMasquerade = around.filter((net) => familyOf(net) === family)
        return cidrs.length === 0 ? [] : kindnetMasq({ family, pods: cidrs, noMasquerade, nat })
      })
    }
    return inside.flatMap((subnet) => {
      const ips = pods.flatMap((pod) => pod.ips.filter((ip) => isWithin(ip, subnet)).map(alone))
      return ips.length === 0 ? [] : cniIpMasq({ pods: ips, subnet, backend: whose, nat })
    })
  }
}

/** An address with the prefix that it has by itself. */
function alone(ip: string): string {
  return `${ip}/${familyOf(ip) === 6 ? 128 : 32}`
}
