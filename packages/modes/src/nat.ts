import type { Balancer, Nat, OutboundNat, PortMappings } from '@l2l3/nat'
import type { Router, Switch, SwitchPort } from '@l2l3/switch-core'
import type { BridgePort } from './bridge.ts'
import type { Ground } from './ground.ts'
import { HostNode, type HostOptions, type HostSettings } from './host-node.ts'
import { checkNat, GATEWAY_NAME } from './nat-check.ts'
import type { NatGateOptions, NatPolicies } from './nat-gate.ts'
import type { InterfaceSpec, JoinedLink, RoutedLink, RoutedPort } from './routed-link.ts'
import type { Route } from './routes.ts'

/** A port of the inside's switch: a pod, or another switch. */
export type InsidePort = Omit<BridgePort, 'guards' | 'out' | 'acl' | 'translation'>

/** Settings of a NAT node that change while it runs. */
export interface NatSettings extends Omit<NatPolicies, 'inside' | 'chain'> {
  readonly inside: readonly InsidePort[]
  readonly uplinks: readonly RoutedPort[]
  readonly routes?: readonly Route[]
}

/** Settings of a NAT node. */
export interface NatModeOptions extends NatSettings, NatGateOptions, Omit<HostOptions, 'nat'> {
  /** The node's interface on the inside: the gateway of all who are there. Default name: `inside`, which no port then has. */
  readonly gateway: Omit<InterfaceSpec, 'name'> & { readonly name?: string }
}

/** A node that translates. */
export interface NatNode {
  readonly host: HostNode
  readonly router: Router
  readonly switch: Switch
  /** By the names of their ports. */
  readonly inside: ReadonlyMap<string, SwitchPort>
  readonly gateway: JoinedLink
  readonly uplinks: readonly RoutedLink[]
  readonly nat: Nat
  readonly outbound: OutboundNat
  readonly portMappings: PortMappings
  readonly balancer: Balancer
  /** Makes the node what is said, while frames pass; all of it is given anew. */
  change(next: NatSettings): void
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
 *
 * Throws a TypeError or RangeError with key and value for settings that make no sense.
 */
export function nat(ground: Ground, options: NatModeOptions): NatNode {
  const { name = GATEWAY_NAME, ...gateway } = options.gateway ?? {}
  const settings = (next: NatSettings): HostSettings => {
    checkNat({ ...options, ...next })
    const { inside, uplinks, routes = [], outbound, portMappings, services } = next
    return {
      bridges: [{ name, ports: inside, gateway }],
      ...{ uplinks, routes, policies: given({ outbound, portMappings, services }) },
    }
  }
  const host = new HostNode(ground, settings(options), { ...options, nat: options })
  const [bridge] = host.bridges as [(typeof host.bridges)[0]]
  const { nat: engine, outbound, portMappings, balancer } = host.nat as NonNullable<typeof host.nat>
  return {
    ...{ host, router: host.router, switch: bridge.switch, gateway: bridge.gateway as JoinedLink },
    ...{ nat: engine, outbound, portMappings, balancer },
    get inside() {
      return new Map(bridge.ports.list.map(({ name: port, side }) => [port, side]))
    },
    get uplinks() {
      return host.uplinks
    },
    change: (next) => host.change(settings(next)),
  }
}

/** Those settings that have a value. */
function given<T extends object>(settings: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined)) as never
}
