import { linkLocal } from '@l2l3/arp'
import type { ReversePathFilter } from '@l2l3/switch-core'
import { formatIpv6, parseMac } from '@l2l3/switch-core/wire'
import type { Ground } from './ground.ts'
import { HostNode, type HostOptions, type HostSettings } from './host-node.ts'
import type { RoutedPort } from './routed-link.ts'
import type { PodProxyOptions, RoutedPod } from './routed-pod.ts'
import { type RoutedNode, routedNode } from './router.ts'
import type { Route } from './routes.ts'

/** The IPv4 gateway of every pod, which nobody has: proxy ARP answers for it. */
export const POD_GATEWAY = '169.254.1.1'
/** The MAC of every pod's gateway, as Calico has it. */
export const POD_GATEWAY_MAC = 'ee:ee:ee:ee:ee:ee'

/** The IPv6 gateway of every pod: the link-local address of the gateway's MAC, fe80::ecee:eeff:feee:eeee of Calico's. */
export function podGateway6(mac: string = POD_GATEWAY_MAC): string {
  return formatIpv6(linkLocal(parseMac(mac)))
}

/** A pod, and the port it is on. */
export type L3Pod = Pick<RoutedPod, 'name' | 'label' | 'port' | 'mac' | 'ips' | 'mtu'>

/** Settings of an l3 node that change while it runs. */
export interface L3Settings {
  readonly pods: readonly L3Pod[]
  /** Ports to other nodes and the world. */
  readonly uplinks: readonly RoutedPort[]
  readonly routes?: readonly Route[]
  /** Address blocks of this node: what no pod has of them is dropped in silence. */
  readonly blocks?: readonly string[]
}

/** What the node is to its pods. */
export interface L3Link {
  /** Default `POD_GATEWAY_MAC`. */
  readonly gatewayMac?: string
  /** Which sources pods' ports take. Default `strict`. */
  readonly rpFilter?: ReversePathFilter
  /** Whether a pod may send only with its own MAC and addresses, ARP and ND included. Default false. */
  readonly antiSpoofing?: boolean
  readonly proxyArp?: PodProxyOptions
}

/** Settings of an l3 node. */
export interface L3Options extends L3Settings, L3Link, Omit<HostOptions, 'nat'> {}

/** Pods behind a gateway that is nowhere, as a host takes them. */
export function l3Pods({ pods, uplinks }: Pick<L3Settings, 'pods' | 'uplinks'>, link: L3Link): RoutedPod[] {
  const { gatewayMac = POD_GATEWAY_MAC, rpFilter = 'strict', antiSpoofing = false, proxyArp = {} } = link
  const gateway = { mac: gatewayMac, addresses: [`${podGateway6(gatewayMac)}/64`] }
  const own = uplinks.flatMap((spec) => spec.addresses).find((a) => !a.includes(':'))
  const askFrom = own?.slice(0, own.indexOf('/')) ?? POD_GATEWAY
  return pods.map((pod) => ({ ...pod, gateway, rpFilter, antiSpoofing, proxyArp, askFrom }))
}

/**
 * mode: l3 - pods on links of their own, with one address each and a gateway that is nowhere, as Calico has them.
 *
 *     pod 10.244.1.5/32, default via 169.254.1.1 and fe80::ecee:eeff:feee:eeee
 *      |
 *     [ anti-spoofing ]  [ neighbours: fe80::ecee.. ]  [ proxy ARP: 169.254.1.1 and all else with a route ]
 *      | ee:ee:ee:ee:ee:ee
 *     ++-------------------------------------------------------+
 *     | router: 10.244.1.5/32 -> this link, block -> blackhole +--[ neighbours ]-- uplink 192.0.2.1/24
 *     +--------------------------------------------------------+
 *
 * All pods' ports have the same MAC and the same link-local address, and no IPv4 address: the node's own asks and
 * speaks there.
 */
export function l3(ground: Ground, options: L3Options): RoutedNode<L3Settings> {
  const settings = (next: L3Settings): HostSettings => ({
    uplinks: next.uplinks,
    pods: l3Pods(next, options),
    routes: [...blackholes(next.blocks), ...(next.routes ?? [])],
  })
  return routedNode(new HostNode(ground, settings(options), options), settings)
}

/** Routes of address blocks: what no pod has of them is dropped in silence. */
export function blackholes(blocks: readonly string[] = []): Route[] {
  return blocks.map((to) => ({ to, type: 'blackhole' }))
}
