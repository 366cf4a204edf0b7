import {
  Balancer,
  type BalancerOptions,
  type ConntrackOptions,
  type DestinationPolicy,
  type FragmentsOptions,
  Nat,
  type NatOptions,
  type OutboundNat,
  OutsidePorts,
  PortMappings,
  Rejector,
  type ServiceOptions,
  type SourcePolicy,
} from '@l2l3/nat'
import {
  checkRange,
  NO_FRAME,
  Pipeline,
  type Port,
  Router,
  type RouterOptions,
  SECOND,
  Switch,
  type SwitchPort,
  type SwitchPortOptions,
} from '@l2l3/switch-core'
import { u32 } from '@l2l3/switch-core/wire'
import { Entrance } from './entrance.ts'
import { type Ground, linkTo } from './ground.ts'
import { NodeAddresses } from './nat-addresses.ts'
import { checkNat, GATEWAY_NAME } from './nat-check.ts'
import { checkMapping, type PortMappingOptions, type PortMappingRules } from './nat-mappings.ts'
import { InterfaceAddresses, networksOf, type OutboundOptions, outboundNat } from './nat-outbound.ts'
import {
  type InterfaceSpec,
  type JoinedLink,
  joinedLink,
  type RoutedLink,
  type RoutedPort,
  uplink,
  withLinkLocal,
} from './routed-link.ts'
import { addRoutes, icmp, type Route } from './router.ts'

/** A port of the inside's switch: a pod, or another switch. */
export interface InsidePort extends SwitchPortOptions {
  readonly name: string
  readonly label?: string
  readonly port: Port
}

/** Settings of a NAT node. */
export interface NatModeOptions extends Pick<RouterOptions, 'echo' | 'icmpRate' | 'icmpBurst' | 'icmpSource'> {
  /** The node's interface on the inside: the gateway of all who are there. Default name: `inside`, which no port then has. */
  readonly gateway: Omit<InterfaceSpec, 'name'> & { readonly name?: string }
  readonly inside: readonly InsidePort[]
  readonly uplinks: readonly RoutedPort[]
  readonly routes?: readonly Route[]
  /** Whose source is translated: the first rule that is about a flow does it. Default: one rule, that translates all that
   * leaves from inside. */
  readonly outbound?: readonly OutboundOptions[]
  readonly portMappings?: readonly PortMappingOptions[]
  /** Which of them there may be. Default `linux`. */
  readonly portMappingRules?: PortMappingRules
  readonly services?: readonly ServiceOptions[]
  /** What holds for all services. */
  readonly balancer?: BalancerOptions
  /** The table of flows. */
  readonly conntrack?: ConntrackOptions
  readonly fragments?: FragmentsOptions
  /** Lowers the MSS that connections open with: to a number of bytes, or to what the MTUs on both sides carry. Default:
   * not. */
  readonly mss?: NatOptions['mss']
  /** What becomes of packets that cannot be where their flow is. Default `drop`. */
  readonly invalid?: NatOptions['invalid']
}

/** A node that translates. */
export interface NatNode {
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
  checkNat(options)
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
  const { name = GATEWAY_NAME } = options.gateway
  const entry = new Entrance()
  const up = bridge.addPort(linkTo(ground, entry, name, size), { name })
  const node = nodeAddresses(options)
  node.checkGateways(options.routes ?? [], options)
  const held = (link: Pick<InterfaceSpec, 'mac' | 'addresses'>): string[] => {
    return [...withLinkLocal(link), ...node.held(link.addresses, options)]
  }
  const own = { ...options.gateway, name, addresses: held(options.gateway) }
  const gateway = joinedLink(ground, router, own, linkTo(ground, up, `${name} (switch)`, size))
  entry.next = new Pipeline(gateway.neighbours.input, gateway.iface)
  bridge.addStatic(own.mac, up)
  const uplinks = options.uplinks.map((spec) => uplink(ground, router, { ...spec, addresses: held(spec) }, size))
  addRoutes(router, [gateway, ...uplinks], options.routes ?? [])
  const translation = translate(ground, options, router, gateway, uplinks)
  return { router, switch: bridge, inside: new Map(inside), gateway, uplinks, ...translation }
}

/** The addresses that the node's interfaces are given. */
function nodeAddresses({ gateway, uplinks }: NatModeOptions): NodeAddresses {
  return new NodeAddresses(
    gateway.addresses,
    uplinks.flatMap((link) => link.addresses),
  )
}

/** Ports that mappings may have: all of two protocols in both families. */
const MAPPED_PORTS = 262_144

/** The timeouts that go with the first rule's behaviour: REQ-5 is a part of RFC 4787, and WinNAT has its own. */
function profileOf(rules: readonly OutboundOptions[]): 'linux' | 'winnat' | 'rfc' {
  const behaviour = rules[0]?.behaviour
  return behaviour === 'rfc4787' ? 'rfc' : behaviour === 'winnat' ? 'winnat' : 'linux'
}

/** Puts the NAT at the router's gate, with all that decides there. */
function translate(
  { loop, pool, clock, seed = 0 }: Ground,
  options: NatModeOptions,
  router: Router,
  gateway: JoinedLink,
  uplinks: readonly RoutedLink[],
): Pick<NatNode, 'nat' | 'outbound' | 'portMappings' | 'balancer'> {
  const networks = networksOf(options.gateway.addresses)
  const rules = options.outbound ?? [{}]
  const outside = new InterfaceAddresses(router)
  // Policies know addresses by the NAT's numbers: the lists are filled when it is there.
  const destination: DestinationPolicy[] = []
  const source: SourcePolicy[] = []
  const maxFlows = checkRange('maxFlows', options.conntrack?.maxFlows ?? 65_536, 16, 1 << 22)
  // Each port in use lives by a flow; the rest is for port mappings and services.
  const ports = new OutsidePorts({ maxPorts: maxFlows + MAPPED_PORTS, seed })
  const rejector = new Rejector(pool, clock)
  const own = {
    is4: (ip: number): boolean => router.lookup4(ip)?.kind === 'local',
    is6: (b: Uint8Array, at: number): boolean =>
      (b[at] === 0xfe && (b[at + 1]! & 0xc0) === 0x80) || router.lookup6(b, at)?.kind === 'local',
  }
  const nat = new Nat(loop, {
    seed,
    profile: profileOf(rules),
    ...options.conntrack,
    ...{ maxFlows, destination, source, outside, outsidePorts: ports, own },
    ...(options.fragments === undefined ? {} : { fragments: options.fragments }),
    ...(options.mss === undefined ? {} : { mss: options.mss }),
    ...(options.invalid === undefined ? {} : { invalid: options.invalid }),
    // As Linux does: a packet to an address of the node is answered from there, any other from where it came in.
    onReject: (f, l3, side) => {
      const b = pool.bytes
      const ip6 = b[l3]! >>> 4 === 6
      const toUs = ip6 ? own.is6(b, l3 + 24) : own.is4(u32(b, l3 + 16))
      const six = ip6 && !toUs ? outside.bytesOf6(side, b, l3 + 8) : null
      const answer = rejector.answer(f, l3, ip6 || toUs ? 0 : outside.of4(side, u32(b, l3 + 12)), six)
      if (answer !== NO_FRAME) router.send(answer)
    },
  })
  const { addresses } = nat
  const numbers = new Map<string, number>()
  for (const { name, iface } of [gateway, ...uplinks]) {
    const number = nat.attach(iface)
    outside.add(number, iface, addresses)
    numbers.set(name, number)
  }
  const node = nodeAddresses(options)
  const portMappings = new PortMappings(addresses, { outsidePorts: ports, seed })
  const mappings = (options.portMappings ?? []).map(({ hairpin = true, ...mapping }, i) => {
    checkMapping(`portMappings[${i}]`, { hairpin, ...mapping }, options.portMappingRules)
    node.checkMapping(`portMappings[${i}]`, mapping, options)
    return { ...mapping, masqueradeFrom: hairpin ? networks : [] }
  })
  portMappings.addAll(mappings)
  const balancer = new Balancer(addresses, { seed, bridged: networks, outsidePorts: ports, ...options.balancer })
  node.checkBalancer(options.balancer ?? {})
  for (const service of options.services ?? []) {
    balancer.services.add(service)
    node.checkService(service, options.portMappings ?? [])
  }
  numbers.delete(gateway.name)
  const outbound = outboundNat({ addresses, outside, inside: networks, uplinks: numbers, ports, seed, maxFlows }, rules)
  destination.push(portMappings, balancer, outbound.inbound)
  source.push(outbound)
  for (const policy of destination) policy.attached?.(nat)
  router.gate = nat
  return { nat, outbound, portMappings, balancer }
}
