import {
  type Batch,
  type Element,
  Pipeline,
  type Port,
  Router,
  type RouterOptions,
  SECOND,
  Switch,
  type SwitchPort,
  type SwitchPortOptions,
} from '@l2l3/switch-core'
import { type Ground, linkTo } from './ground.ts'
import {
  type InterfaceSpec,
  type JoinedLink,
  joinedLink,
  type RoutedLink,
  type RoutedPort,
  routedLink,
} from './routed-link.ts'
import { addRoutes, icmp, type Route, withLinkLocal } from './router.ts'

/** A port of the inside's switch: a pod, or another switch. */
export interface InsidePort extends SwitchPortOptions {
  readonly name: string
  readonly label?: string
  readonly port: Port
}

/** Settings of a NAT node. */
export interface NatModeOptions extends Pick<RouterOptions, 'echo' | 'icmpRate' | 'icmpBurst' | 'icmpSource'> {
  /** The node's interface on the inside: the gateway of all who are there. Default name: `inside`. */
  readonly gateway: Omit<InterfaceSpec, 'name'> & { readonly name?: string }
  readonly inside: readonly InsidePort[]
  readonly uplinks: readonly RoutedPort[]
  readonly routes?: readonly Route[]
}

/** A node that translates. */
export interface NatNode {
  readonly router: Router
  readonly switch: Switch
  /** By the names of their ports. */
  readonly inside: ReadonlyMap<string, SwitchPort>
  readonly gateway: JoinedLink
  readonly uplinks: readonly RoutedLink[]
}

/**
 * mode: nat - pods on a network of their own behind the node's address: docker0, the CNI bridge plugin with ipMasq and
 * portmap, Windows' NAT.
 *
 *     pod 10.22.0.11   pod 10.22.0.12
 *        |                |
 *     +--+----------------+--+
 *     |  switch              |
 *     +----------+-----------+
 *                | 10.22.0.1  gateway
 *     [ neighbours ]                                        [ neighbours ]
 *     +----------+-----------------------------------------------+-------+
 *     | router:  +-> arrived: answers back, port mappings, services      |
 *     |          -> route, TTL - 1                                       |-- uplink 203.0.113.1
 *     |          -> leaving: outbound NAT with exceptions ------>        |
 *     +------------------------------------------------------------------+
 *
 * Frames between pods stay on the switch. Whatever passes the router is tracked, translated or not.
 */
export function nat(ground: Ground, options: NatModeOptions): NatNode {
  const { pool, clock, loop } = ground
  const size = options.inside.length + options.uplinks.length + 1
  const bridge = new Switch(pool, clock, { name: 'inside', seed: ground.seed ?? 0 })
  loop.every(SECOND, bridge)
  const inside = options.inside.map(({ name, label, port, ...settings }): [string, SwitchPort] => {
    const side = bridge.addPort(linkTo(ground, port, label ?? name, size), { ...settings, name })
    loop.add(port, side)
    return [name, side]
  })
  const router = new Router(pool, clock, icmp(options))
  const { name = 'inside' } = options.gateway
  const entry = new Entrance()
  const up = bridge.addPort(linkTo(ground, entry, name, size), { name })
  const own = { ...options.gateway, name, addresses: withLinkLocal(options.gateway) }
  const gateway = joinedLink(ground, router, own, linkTo(ground, up, `${name} (switch)`, size))
  entry.next = new Pipeline(gateway.neighbours.input, gateway.iface)
  bridge.addStatic(own.mac, up)
  const uplinks = options.uplinks.map((spec) => {
    const link = routedLink(ground, router, { ...spec, addresses: withLinkLocal(spec) }, size)
    loop.add(spec.port, new Pipeline(link.neighbours.input, link.iface))
    return link
  })
  addRoutes(router, [gateway, ...uplinks], options.routes ?? [])
  return { router, switch: bridge, inside: new Map(inside), gateway, uplinks }
}

/** The way from the switch to the router: the two are joined in a circle, and this end of it is filled in last. */
class Entrance implements Element {
  next: Element | null = null

  process(batch: Batch): void {
    this.next?.process(batch)
  }
}
