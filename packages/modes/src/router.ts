import { linkLocal } from '@l2l3/arp'
import { Pipeline, Router, type RouterOptions } from '@l2l3/switch-core'
import { formatIpv6, parseMac } from '@l2l3/switch-core/wire'
import type { Ground } from './ground.ts'
import { type InterfaceSpec, type JoinedLink, type RoutedLink, type RoutedPort, routedLink } from './routed-link.ts'

/** A static route. */
export interface Route {
  /** `10.0.0.0/8`, `::/0`. */
  readonly to: string
  /** Default `unicast`: by `via`. */
  readonly type?: 'unicast' | 'blackhole' | 'unreachable' | 'prohibit'
  /** Gateways: each flow takes one of them. */
  readonly via?: readonly string[]
  /** Name of the port that the gateways are behind. Default: the one in whose network they are. */
  readonly port?: string
  /** Of several routes to the same prefix the lowest counts. Default 0. */
  readonly metric?: number
}

/** Settings of a router. */
export interface RouterModeOptions extends Pick<RouterOptions, 'echo' | 'icmpRate' | 'icmpBurst' | 'icmpSource'> {
  readonly ports: readonly RoutedPort[]
  readonly routes?: readonly Route[]
}

/** A node that routes. */
export interface RoutedNode {
  readonly router: Router
  readonly links: readonly RoutedLink[]
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
 * An interface with an IPv6 address also has the link-local one of its MAC (RFC 4291, 2.1).
 */
export function router(ground: Ground, options: RouterModeOptions): RoutedNode {
  const node = new Router(ground.pool, ground.clock, icmp(options))
  const { ports } = options
  const links = ports.map((spec) => {
    const link = routedLink(ground, node, { ...spec, addresses: withLinkLocal(spec) }, ports.length)
    ground.loop.add(spec.port, new Pipeline(link.neighbours.input, link.iface))
    return link
  })
  addRoutes(node, links, options.routes ?? [])
  return { router: node, links }
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

/** The addresses of a port, and the link-local one where it speaks IPv6 and has none. */
export function withLinkLocal({ mac, addresses }: Pick<InterfaceSpec, 'mac' | 'addresses'>): readonly string[] {
  const six = addresses.filter((a) => a.includes(':'))
  if (six.length === 0 || six.some((a) => /^fe[89ab]/i.test(a))) return addresses
  return [...addresses, `${formatIpv6(linkLocal(parseMac(mac)))}/64`]
}

/** Adds static routes, by names of links. */
export function addRoutes(node: Router, links: readonly JoinedLink[], routes: readonly Route[]): void {
  for (const { to, type = 'unicast', via = [], port, metric = 0 } of routes) {
    const dev = links.find((link) => link.name === port)?.iface
    if (port !== undefined && dev === undefined) throw new RangeError(`route ${to}: there is no port ${port}`)
    const hops = via.map((gateway) => ({ via: gateway, ...(dev === undefined ? {} : { dev }) }))
    node.addRoute(type === 'unicast' ? { to, metric, hops } : { to, metric, type })
  }
}
