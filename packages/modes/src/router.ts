import type { Router } from '@l2l3/switch-core'
import type { Ground } from './ground.ts'
import { HostNode, type HostOptions } from './host-node.ts'
import type { RoutedLink, RoutedPort } from './routed-link.ts'
import type { Route } from './routes.ts'
import type { RoutedTunnel, TunnelLink } from './tunnels.ts'

/** Settings of a router that change while it runs. */
export interface RouterSettings {
  readonly ports: readonly RoutedPort[]
  readonly tunnels?: readonly RoutedTunnel[]
  readonly routes?: readonly Route[]
}

/** Settings of a router. */
export interface RouterModeOptions extends RouterSettings, Omit<HostOptions, 'nat'> {}

/** A node that routes; `S` are those settings that change. */
export interface RoutedNode<S = RouterSettings> {
  readonly host: HostNode
  readonly router: Router
  readonly links: readonly RoutedLink[]
  readonly tunnels: readonly TunnelLink[]
  /** Makes the node what is said, while frames pass; all of it is given anew. */
  change(next: S): void
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
  const settings = ({ ports, tunnels = [], routes = [] }: RouterSettings) => ({ uplinks: ports, tunnels, routes })
  return routedNode(new HostNode(ground, settings(options), options), settings)
}

/** A host as a node of a mode, whose settings `read` makes the host's of. */
export function routedNode<S>(host: HostNode, read: (next: S) => Parameters<HostNode['change']>[0]): RoutedNode<S> {
  return {
    host,
    router: host.router,
    get links() {
      return [...host.uplinks, ...host.pods]
    },
    get tunnels() {
      return host.tunnels
    },
    change: (next) => host.change(read(next)),
  }
}
