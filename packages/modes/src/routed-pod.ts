import { ArpGuard, PortBindings, ProxyArp, SourceGuard } from '@l2l3/arp'
import { type Element, MILLISECOND, Pipeline, type Port, type ReversePathFilter, type Router } from '@l2l3/switch-core'
import type { Ground, Wires } from './ground.ts'
import { type RoutedLink, routedLink } from './routed-link.ts'

/*
 * A pod on a link of its own: the node is its only neighbour, and routes to its addresses.
 *
 *     pod 10.244.1.5/32                            its own addresses -> this link
 *      |                                                  |
 *     [ anti-spoofing ]  [ neighbours ]  [ proxy ARP ] -- interface of the router
 */

/** Settings of proxy ARP; see `ProxyArp`. */
export interface PodProxyOptions {
  readonly answerProbes?: boolean
  readonly requireRoute?: boolean
  readonly routeLocalnet?: boolean
  readonly delayMaxMs?: number
}

/** A pod, and the port it is on. */
export interface RoutedPod {
  readonly name: string
  readonly label?: string
  readonly port: Port
  readonly mac: string
  /** Without prefix: each is a /32 or /128. */
  readonly ips: readonly string[]
  readonly mtu?: number
  /** The node's interface at the pod. */
  readonly gateway: { readonly mac: string; readonly addresses: readonly string[] }
  /** Which sources its port takes. Default `off`. */
  readonly rpFilter?: ReversePathFilter
  /** Whether it may send only with its own MAC and addresses, ARP and ND included. Default false. */
  readonly antiSpoofing?: boolean
  /** Whether ARP is answered for others, and how. Default: it is not. */
  readonly proxyArp?: PodProxyOptions
  /** The IPv4 address that asks where the gateway has none. */
  readonly askFrom?: string
  /** Neighbours on the link that the node need not ask for. Default: none. */
  readonly neighbours?: readonly { readonly address: string; readonly mac: string }[]
}

/** Plugs a pod in to a router, with a route to each of its addresses. */
export function routedPod(wires: Wires, router: Router, pod: RoutedPod): RoutedLink {
  const { pool, clock, loop } = wires.ground
  const { name, label, port, mtu, rpFilter } = pod
  const side = {
    ...{ name, port, ...pod.gateway },
    ...(label === undefined ? {} : { label }),
    ...(mtu === undefined ? {} : { mtu }),
    ...(rpFilter === undefined ? {} : { rpFilter }),
  }
  const link = routedLink(wires, router, side, pod.askFrom)
  const { iface, out, neighbours } = link
  for (const { address, mac } of pod.neighbours ?? []) neighbours.add(address, mac)
  const proxy =
    pod.proxyArp === undefined
      ? null
      : new ProxyArp(pool, clock, {
          ...{ strictSource: rpFilter === 'strict', ...pod.proxyArp },
          ...{ mac: pod.gateway.mac, out, routes: router, interface: iface },
        })
  const stop = proxy !== null && pod.proxyArp?.delayMaxMs ? loop.every(10 * MILLISECOND, proxy) : () => {}
  loop.add(
    port,
    new Pipeline(...guards(wires.ground, pod), neighbours.input, ...(proxy === null ? [] : [proxy]), iface),
  )
  for (const ip of pod.ips) router.addRoute({ to: `${ip}/${ip.includes(':') ? 128 : 32}`, dev: iface })
  return {
    ...link,
    end() {
      loop.remove(port)
      stop()
      proxy?.close()
      link.end()
    },
  }
}

function guards({ pool }: Ground, { mac, ips, antiSpoofing = false }: RoutedPod): Element[] {
  if (!antiSpoofing) return []
  const bindings = new PortBindings(ips.map((address) => ({ mac, address })))
  return [new SourceGuard(pool, bindings), new ArpGuard(pool, bindings)]
}
