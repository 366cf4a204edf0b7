import { formatPrefix, parsePrefix, type Router, type RouterInterface } from '@l2l3/switch-core'
import { same } from './parts.ts'
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

/** A link as routes know it: by name. */
export interface RouteLink {
  readonly name: string
  readonly iface: RouterInterface
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

/** Whether a route leads by one of these: it names it, or its gateway is in a network of it. */
export function leadsBy(
  route: Route,
  links: readonly { readonly name: string; readonly addresses: readonly string[] }[],
): boolean {
  return links.some((link) => {
    if (route.port !== undefined) return link.name === route.port
    return gatewaysOf(route).some((gateway) => link.addresses.some((own) => isWithin(gateway, own)))
  })
}

/** The static routes of a router, which change as a whole: first those that are no more are taken away, then links change, then
 * the others are put in. */
export class Routes {
  readonly #router: Router
  /** What is in the table, by prefix and metric. */
  readonly #there: Map<string, Route> = new Map()

  constructor(router: Router) {
    this.#router = router
  }

  /** Takes those away that are not among `routes`. */
  keep(routes: readonly Route[]): void {
    const next = new Set(routes.map(keyOf))
    for (const [key, { to, metric = 0 }] of [...this.#there]) {
      if (next.has(key)) continue
      this.#router.deleteRoute(to, metric)
      this.#there.delete(key)
    }
  }

  /** Puts routes in, by names of links; a later one takes the place of another with its prefix and metric.
   * @param again whether also those that are there: links have changed */
  put(routes: readonly Route[], links: readonly RouteLink[], again: boolean): void {
    for (const route of new Map(routes.map((r) => [keyOf(r), r])).values()) {
      const key = keyOf(route)
      if (!again && same(this.#there.get(key), route)) continue
      this.#add(route, links)
      this.#there.set(key, route)
    }
  }

  #add(route: Route, links: readonly RouteLink[]): void {
    const { to, type = 'unicast', port, metric = 0 } = route
    const dev = links.find((link) => link.name === port)?.iface
    if (port !== undefined && dev === undefined) throw new RangeError(`route ${to}: there is no port ${port}`)
    const gateways = gatewaysOf(route).map((gateway) => ({ via: gateway, ...(dev === undefined ? {} : { dev }) }))
    const hops = gateways.length === 0 && dev !== undefined ? [{ dev }] : gateways
    this.#router.addRoute(type === 'unicast' ? { to, metric, hops } : { to, metric, type })
  }
}

function keyOf({ to, metric = 0 }: Route): string {
  const { words, length } = parsePrefix(to)
  return `${formatPrefix(words, length)} ${metric}`
}
