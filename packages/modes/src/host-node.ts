import type { BalancerOptions } from '@l2l3/nat'
import { Router, type RouterOptions } from '@l2l3/switch-core'
import { Bridge, type BridgeSpec, forgetNeighbours } from './bridge.ts'
import { type Ground, Wires } from './ground.ts'
import { NodeAddresses } from './nat-addresses.ts'
import { NatGate, type NatGateOptions, type NatPolicies } from './nat-gate.ts'
import { networksOf } from './nat-outbound.ts'
import { Parts, same } from './parts.ts'
import { type JoinedLink, type RoutedLink, type RoutedPort, type Uplink, uplink, withLinkLocal } from './routed-link.ts'
import { type RoutedPod, routedPod } from './routed-pod.ts'
import { leadsBy, type Route, Routes } from './routes.ts'
import { type RoutedTunnel, type TunnelLink, Tunnels } from './tunnels.ts'

/*
 * A host with containers, as most modes are one: a router, and around it what they put together.
 *
 *      port   port          pod                     tunnel
 *       |      |             |                        |
 *     +-----------+     own addresses                 |
 *     |  bridge   |      -> its link                  |
 *     +-----+-----+          |                        |
 *           | gateway        |                        |
 *     +-----+----------------+------------------------+-----+
 *     |  router, static routes      NAT at its gate, or none |
 *     +---------------------------+--------------------------+
 *                                 |
 *                              uplinks
 *
 * All of it changes while frames pass: `change` is given the lists anew, and what is in them as before stays as it is.
 */

/** What a host is made of, and what changes. */
export interface HostSettings {
  readonly bridges?: readonly BridgeSpec[]
  /** Ports of networks that others are on too. */
  readonly uplinks?: readonly RoutedPort[]
  /** Pods on links of their own. */
  readonly pods?: readonly RoutedPod[]
  readonly tunnels?: readonly RoutedTunnel[]
  readonly routes?: readonly Route[]
  /** Rules, port mappings and services, where there is NAT. */
  readonly policies?: NatPolicies
}

/** What stays as long as the host is there. */
export interface HostOptions
  extends Pick<RouterOptions, 'echo' | 'icmpRate' | 'icmpBurst' | 'icmpSource' | 'reserved4'> {
  /** NAT at the router's gate. Default: none. */
  readonly nat?: NatGateOptions
}

/** Those settings of ICMP that were given. */
export function icmp({ echo, icmpRate, icmpBurst, icmpSource, reserved4 }: RouterOptions): RouterOptions {
  return {
    ...(echo === undefined ? {} : { echo }),
    ...(icmpRate === undefined ? {} : { icmpRate }),
    ...(icmpBurst === undefined ? {} : { icmpBurst }),
    ...(icmpSource === undefined ? {} : { icmpSource }),
    ...(reserved4 === undefined ? {} : { reserved4 }),
  }
}

/** A router with bridges, uplinks, pods, tunnels and NAT. */
export class HostNode {
  readonly router: Router
  readonly nat: NatGate | null
  readonly #wires: Wires
  readonly #bridges: Parts<BridgeSpec, Bridge>
  readonly #uplinks: Parts<RoutedPort, Uplink>
  readonly #pods: Parts<RoutedPod, RoutedLink>
  readonly #tunnels: Tunnels
  readonly #routes: Routes
  readonly #balancer: BalancerOptions
  readonly #ownAddresses: readonly string[]
  #settings: HostSettings = {}

  /** Throws a TypeError or RangeError with key and value for settings that make no sense. */
  constructor(ground: Ground, settings: HostSettings, options: HostOptions = {}) {
    const router = new Router(ground.pool, ground.clock, icmp(options))
    const wires = new Wires(ground, portsOf(settings))
    this.router = router
    this.#wires = wires
    this.#bridges = new Parts(
      (spec) => new Bridge(wires, router, spec),
      (bridge, spec, before) => bridge.become(spec, before),
    )
    this.#uplinks = new Parts(
      (spec) => uplink(wires, router, spec),
      (link, spec, before) => {
        if (!same({ ...spec, addresses: [] }, { ...before, addresses: [] })) return false
        link.setAddresses(spec.addresses)
        return true
      },
    )
    this.#pods = new Parts((spec) => routedPod(wires, router, spec))
    this.#tunnels = new Tunnels(wires, router, router, () => this.#uplinks.list.map((link) => link.iface))
    this.#routes = new Routes(router)
    this.#balancer = options.nat?.balancer ?? {}
    this.#ownAddresses = options.nat?.ownAddresses ?? []
    const bridged = networksOf(gatewayAddresses(settings))
    this.nat =
      options.nat === undefined ? null : new NatGate(ground, router, bridged, options.nat, settings.policies?.outbound)
    this.change(settings)
  }

  get bridges(): readonly Bridge[] {
    return this.#bridges.list
  }

  get uplinks(): readonly Uplink[] {
    return this.#uplinks.list
  }

  get pods(): readonly RoutedLink[] {
    return this.#pods.list
  }

  get tunnels(): readonly TunnelLink[] {
    return this.#tunnels.list
  }

  /** The links that ports are behind: of bridges, uplinks and pods. */
  get links(): readonly JoinedLink[] {
    const bridged = this.#bridges.list.flatMap(({ gateway, interfaces }) => [gateway ?? [], interfaces.list].flat())
    return [...bridged, ...this.#uplinks.list, ...this.#pods.list]
  }

  /**
   * Makes the host what is said, between two frames: what is left out stays as it is, what is in the lists as before too.
   * Throws as the constructor does; what had been changed until then stays so.
   *
   * @example
   * node.change({ pods: [...pods, { name: 'blue', port, mac, ips: ['10.244.1.6'], gateway }] })
   */
  change(next: HostSettings): void {
    const settings = { ...this.#settings, ...next }
    const { bridges = [], uplinks = [], pods = [], tunnels = [], routes = [], policies = {} } = settings
    const addresses = this.#addresses(settings)
    const held = (own: { readonly mac: string; readonly addresses: readonly string[] }): string[] => [
      ...withLinkLocal(own),
      ...(addresses?.held(own.addresses, { ...policies, balancer: this.#balancer }) ?? []),
    ]
    this.#wires.resize(portsOf(settings))
    const before = this.links.map((link) => link.iface.addresses.join()).join(' ')
    this.#routes.keep(routes)
    const changed = [
      this.#bridges.become(bridges.map((spec) => withGateway(spec, held))),
      this.#uplinks.become(uplinks.map((spec) => ({ ...spec, addresses: held(spec) }))),
      this.#pods.become(pods),
      this.links.map((link) => link.iface.addresses.join()).join(' ') !== before,
    ].includes(true)
    const { links } = this
    // Routes to far ends come first: a tunnel asks what they take.
    const inside = routes.filter((route) => leadsBy(route, tunnels))
    this.#routes.put(
      routes.filter((route) => !inside.includes(route)),
      links,
      changed,
    )
    const retunnelled = this.#tunnels.become(tunnels)
    this.#routes.put(inside, [...links, ...this.tunnels], changed || retunnelled)
    if (addresses !== null) this.#translate(settings, addresses)
    this.#settings = settings
  }

  /** Forgets what was learnt of a station that is where it was no more: its MAC, and the flows of its addresses. */
  forget(mac: string, addresses: readonly string[]): void {
    for (const bridge of this.#bridges.list) bridge.forget(mac)
    for (const link of [...this.#uplinks.list, ...this.#pods.list]) forgetNeighbours(link, mac)
    for (const { network, neighbours } of this.tunnels) {
      if (neighbours !== null) forgetNeighbours({ neighbours }, mac)
      for (const entry of [...(network?.entries() ?? [])]) {
        if (entry.mac === mac && entry.kind === 'dynamic') network?.deleteAddress(mac)
      }
    }
    if (addresses.length > 0) this.nat?.forget(addresses)
  }

  /** Leaves the groups that it is in, before the loop's last turn. */
  leave(): void {
    for (const link of this.#uplinks.list) link.groups.close()
  }

  /** The addresses that settings of NAT speak from; null where there is no NAT. */
  #addresses(settings: HostSettings): NodeAddresses | null {
    if (this.nat === null) return null
    const { uplinks = [], routes = [], policies: { outbound = [] } = {} } = settings
    const own = new NodeAddresses(gatewayAddresses(settings), [
      ...uplinks.flatMap((link) => link.addresses),
      ...this.#ownAddresses,
    ])
    own.checkGateways(routes, { outbound })
    return own
  }

  #translate(settings: HostSettings, addresses: NodeAddresses): void {
    const { policies = {} } = settings
    const {
      outbound = [],
      portMappings = [],
      services = [],
      inside = networksOf(gatewayAddresses(settings)),
    } = policies
    this.nat?.setSides([...this.links, ...this.tunnels])
    this.nat?.setPolicies(policies, inside, [...this.#uplinks.list, ...this.tunnels])
    addresses.checkBalancer(this.#balancer)
    for (const [i, mapping] of portMappings.entries()) {
      addresses.checkMapping(`portMappings[${i}]`, mapping, { outbound })
    }
    for (const service of services) addresses.checkService(service, portMappings)
  }
}

/** How many ports a host has, those that are not plugged in to a wire included. */
function portsOf({ bridges = [], uplinks = [], pods = [], tunnels = [] }: HostSettings): number {
  const bridged = bridges.reduce((n, { ports, interfaces = [] }) => n + ports.length + interfaces.length + 1, 0)
  return bridged + uplinks.length + pods.length + tunnels.length
}

function gatewayAddresses({ bridges = [] }: HostSettings): string[] {
  return bridges.flatMap(({ gateway, interfaces = [] }) =>
    [gateway ?? [], interfaces].flat().flatMap((own) => own.addresses),
  )
}

function withGateway(
  spec: BridgeSpec,
  held: (own: { readonly mac: string; readonly addresses: readonly string[] }) => string[],
): BridgeSpec {
  const { gateway } = spec
  return gateway === undefined ? spec : { ...spec, gateway: { ...gateway, addresses: held(gateway) } }
}
