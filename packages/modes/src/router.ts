import { Router, type RouterInterface, type RouterOptions } from '@l2l3/switch-core'
import type { Ground } from './ground.ts'
import { type RoutedLink, type RoutedPort, uplink, withLinkLocal } from './routed-link.ts'
import { addTunnels, type RoutedTunnel, type TunnelLink } from './tunnels.ts'
import { isWithin } from './underlay.ts'

/** A static route. */
export interface Route {
  /** `10.0.0.0/8`, `::/0`. */
  readonly to: string
  /** Default `unicast`: by `via`. */
  readonly type?: 'unicast' | 'blackhole' | 'unreachable' | 'prohibit'
  /** The gateway, or several: each flow takes one of them. */
  readonly via?: string | readonly string[]
  /** Name of the port, or the tunnel, that the gateways are behind. Default: the one in whose network they are. Without
   * gateways, what the route is about is on the link itself. */
  readonly port?: string
  /** Of several routes to the same prefix the lowest counts. Default 0. */
  readonly metric?: number
}

/** Settings of a router. */
export interface RouterModeOptions extends Pick<RouterOptions, 'echo' | 'icmpRate' | 'icmpBurst' | 'icmpSource'> {
  readonly ports: readonly RoutedPort[]
  readonly tunnels?: readonly RoutedTunnel[]
  readonly routes?: readonly Route[]
}

/** A node that routes. */
export interface RoutedNode {
  readonly router: Router
  readonly links: readonly RoutedLink[]
  readonly tunnels?: readonly TunnelLink[]
}

/**
 * mode: router - each port an interface with addresses and a network of its own.
 *
 *     host 10.0.1.2          host 10.0.2.2                  uplink
 *        |                      |                             |
 *     [ neighbours ]         [ neighbours ]             [ neighbours ]
 *     10.0.1.1/24            10.0.2.1/24                192.0.2.1/24
 *     +--+----------------------+-----------------------------+--+
 *     |    router: connected and static routes, ICMP errors      |
 *     +----------------------------------------------------------+
 *
 * An interface with an IPv6 address also has the link-local one of its MAC (RFC 4291, 2.1). Tunnels are interfaces too: see
 * `tunnels.ts`.
 */
export function router(ground: Ground, options: RouterModeOptions): RoutedNode {
  const node = new Router(ground.pool, ground.clock, icmp(options))
  const { ports } = options
  const links = ports.map((spec) => uplink(ground, node, { ...spec, addresses: withLinkLocal(spec) }, ports.length))
  const { routes = [], tunnels: specs = [] } = options
  // Routes to far ends come first: a tunnel asks what they take.
  const inside = (route: Route): boolean =>
    specs.some((t) => {
      if (route.port !== undefined) return t.name === route.port
      return gatewaysOf(route).some((gateway) => t.addresses.some((own) => isWithin(gateway, own)))
    })
  addRoutes(
    node,
    links,
    routes.filter((r) => !inside(r)),
  )
  const uplinks = links.map((l) => l.iface)
  const tunnels = addTunnels(ground, node, uplinks, specs)
  addRoutes(node, [...links, ...tunnels], routes.filter(inside))
  return { router: node, links, tunnels }
}

/** Those settings of ICMP that were given. */
export function icmp({ echo, icmpRate, icmpBurst, icmpSource }: RouterOptions): RouterOptions {
  return {
    ...(echo === undefined ? {} : { echo }),
    ...(icmpRate === undefined ? {} : { icmpRate }),
    ...(icmpBurst === undefined ? {} : { icmpBurst }),
    ...(icmpSource === undefined ? {} : { icmpSource }),
  }
}

/** The gateways of a route. Throws a TypeError with key and value where they are neither a text nor a list of them. */
export function gatewaysOf({ to, via = [] }: Pick<Route, 'to' | 'via'>): readonly string[] {
  const list: readonly unknown[] = Array.isArray(via) ? via : [via]
  const strange = list.find((gateway) => typeof gateway !== 'string')
  if (strange !== undefined) {
    throw new TypeError(`route ${to}: via must be an address, or a list of them, not ${JSON.stringify(via)}`)
  }
  return list as readonly string[]
}

/** Adds static routes, by names of links. */
export function addRoutes(
  node: Router,
  links: readonly { readonly name: string; readonly iface: RouterInterface }[],
  routes: readonly Route[],
): void {
  for (const route of routes) {
    const { to, type = 'unicast', port, metric = 0 } = route
    const dev = links.find((link) => link.name === port)?.iface
    if (port !== undefined && dev === undefined) throw new RangeError(`route ${to}: there is no port ${port}`)
    const gateways = gatewaysOf(route).map((gateway) => ({ via: gateway, ...(dev === undefined ? {} : { dev }) }))
    const hops = gateways.length === 0 && dev !== undefined ? [{ dev }] : gateways
    node.addRoute(type === 'unicast' ? { to, metric, hops } : { to, metric, type })
  }
}
