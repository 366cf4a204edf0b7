import { ArpGuard, linkLocal, PortBindings, ProxyArp, SourceGuard } from '@l2l3/arp'
import {
  type Element,
  MILLISECOND,
  Pipeline,
  type Port,
  type ReversePathFilter,
  Router,
  type RouterOptions,
} from '@l2l3/switch-core'
import { formatIpv6, parseMac } from '@l2l3/switch-core/wire'
import type { Ground } from './ground.ts'
import { type RoutedLink, type RoutedPort, routedLink, uplink, withLinkLocal } from './routed-link.ts'
import { addRoutes, icmp, type Route, type RoutedNode } from './router.ts'

/** The IPv4 gateway of every pod, which nobody has: proxy ARP answers for it. */
export const POD_GATEWAY = '169.254.1.1'
/** The MAC of every pod's gateway, as Calico has it. */
export const POD_GATEWAY_MAC = 'ee:ee:ee:ee:ee:ee'

/** The IPv6 gateway of every pod: the link-local address of the gateway's MAC, fe80::ecee:eeff:feee:eeee of Calico's. */
export function podGateway6(mac: string = POD_GATEWAY_MAC): string {
  return formatIpv6(linkLocal(parseMac(mac)))
}

/** A pod, and the port it is on. */
export interface L3Pod {
  readonly name: string
  readonly label?: string
  readonly port: Port
  readonly mac: string
  /** Without prefix: each is a /32 or /128. */
  readonly ips: readonly string[]
  readonly mtu?: number
}

/** Settings of proxy ARP; see `ProxyArp`. */
export interface PodProxyOptions {
  readonly answerProbes?: boolean
  readonly requireRoute?: boolean
  readonly routeLocalnet?: boolean
  readonly delayMaxMs?: number
}

/** Settings of an l3 node. */
export interface L3Options extends Pick<RouterOptions, 'echo' | 'icmpRate' | 'icmpBurst' | 'icmpSource'> {
  readonly pods: readonly L3Pod[]
  /** Ports to other nodes and the world. */
  readonly uplinks: readonly RoutedPort[]
  readonly routes?: readonly Route[]
  /** Address blocks of this node: what no pod has of them is dropped in silence. */
  readonly blocks?: readonly string[]
  /** Default `POD_GATEWAY_MAC`. */
  readonly gatewayMac?: string
  /** Which sources pods' ports take. Default `strict`. */
  readonly rpFilter?: ReversePathFilter
  /** Whether a pod may send only with its own MAC and addresses, ARP and ND included. Default false. */
  readonly antiSpoofing?: boolean
  readonly proxyArp?: PodProxyOptions
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
export function l3(ground: Ground, options: L3Options): RoutedNode {
  const { pool, clock, loop } = ground
  const { pods, uplinks, gatewayMac = POD_GATEWAY_MAC } = options
  const node = new Router(pool, clock, icmp(options))
  const size = pods.length + uplinks.length
  const links: RoutedLink[] = uplinks.map((spec) =>
    uplink(ground, node, { ...spec, addresses: withLinkLocal(spec) }, size),
  )
  const own = uplinks.flatMap((spec) => spec.addresses).find((a) => !a.includes(':'))
  const askFrom = own?.slice(0, own.indexOf('/')) ?? POD_GATEWAY
  for (const pod of pods) {
    const side = { ...pod, mac: gatewayMac, addresses: [`${podGateway6(gatewayMac)}/64`] }
    const link = routedLink(ground, node, { ...side, rpFilter: options.rpFilter ?? 'strict' }, size, askFrom)
    const { iface, out } = link
    const proxy = new ProxyArp(pool, clock, {
      ...options.proxyArp,
      mac: gatewayMac,
      out,
      routes: node,
      interface: iface,
    })
    if (options.proxyArp?.delayMaxMs) loop.every(10 * MILLISECOND, proxy)
    loop.add(pod.port, new Pipeline(...guards(ground, pod, options), link.neighbours.input, proxy, iface))
    for (const ip of pod.ips) node.addRoute({ to: `${ip}/${ip.includes(':') ? 128 : 32}`, dev: iface })
    links.push(link)
  }
  for (const to of options.blocks ?? []) node.addRoute({ to, type: 'blackhole' })
  addRoutes(node, links, options.routes ?? [])
  return { router: node, links }
}

function guards({ pool }: Ground, pod: L3Pod, { antiSpoofing = false }: L3Options): Element[] {
  if (!antiSpoofing) return []
  const bindings = new PortBindings(pod.ips.map((address) => ({ mac: pod.mac, address })))
  return [new SourceGuard(pool, bindings), new ArpGuard(pool, bindings)]
}
