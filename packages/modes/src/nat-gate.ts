import {
  Balancer,
  type BalancerOptions,
  type ConntrackOptions,
  type DestinationPolicy,
  type FragmentsOptions,
  Nat,
  type NatOptions,
  OutboundNat,
  OutsidePorts,
  PortMappings,
  Rejector,
  type ServiceOptions,
  type SourcePolicy,
} from '@l2l3/nat'
import { checkRange, NO_FRAME, type Router, type RouterInterface } from '@l2l3/switch-core'
import { u32 } from '@l2l3/switch-core/wire'
import type { Ground } from './ground.ts'
import { checkMapping, type PortMappingOptions, type PortMappingRules } from './nat-mappings.ts'
import {
  type Chain,
  chainRules,
  InterfaceAddresses,
  type OutboundOptions,
  outboundRules,
  type RuleNats,
} from './nat-outbound.ts'
import { same } from './parts.ts'

/*
 * NAT at a router's gate, with all that decides there. Rules, port mappings and services change while packets pass: flows stay
 * as they are, and what is the same in the new lists goes on with what it knows.
 *
 *     arrived:  answers back, port mappings, services, ports that rules own
 *     leaving:  rules for outbound flows
 */

/** Settings of NAT that change. */
export interface NatPolicies {
  /** Networks of the inside. Default: those of the host's bridges. */
  readonly inside?: readonly string[]
  /** Whose source is translated: the first rule that is about a flow does it. Default: one rule, that translates all that
   * leaves from inside; none where there is a chain. */
  readonly outbound?: readonly OutboundOptions[]
  /** Rules of a network plugin, which are asked first. Default: none. */
  readonly chain?: Chain
  readonly portMappings?: readonly PortMappingOptions[]
  readonly services?: readonly ServiceOptions[]
}

/** Settings of NAT that stay. */
export interface NatGateOptions {
  /** Addresses of the node besides those of its links: at ports that nothing is plugged in to. Port mappings and node ports may be
   * at them, where nobody comes by now. Default: none. */
  readonly ownAddresses?: readonly string[]
  /** Which port mappings there may be. Default `linux`. */
  readonly portMappingRules?: PortMappingRules
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
  /** Whether ICMP is translated at all, and what becomes of it where it is not. Default: it is. */
  readonly icmpTransposition?: boolean
  readonly untransposed?: NatOptions['untransposed']
}

/** A link that packets come and go by. */
interface Sided {
  readonly name: string
  readonly iface: RouterInterface
}

/** Ports that mappings may have: all of two protocols in both families. */
const MAPPED_PORTS = 262_144

/** The timeouts that go with the first rule's behaviour: REQ-5 is a part of RFC 4787, and WinNAT has its own. They are the
 * node's, and do not change with its rules. */
export function natProfile(rules: readonly OutboundOptions[] = []): 'linux' | 'winnat' | 'rfc' {
  const behaviour = rules[0]?.behaviour
  return behaviour === 'rfc4787' ? 'rfc' : behaviour === 'winnat' ? 'winnat' : 'linux'
}

/** The NAT of a node, and those who decide. */
export class NatGate {
  readonly nat: Nat
  readonly outbound: OutboundNat
  readonly portMappings: PortMappings
  readonly balancer: Balancer
  readonly #options: NatGateOptions
  readonly #outside: InterfaceAddresses
  readonly #ports: OutsidePorts
  readonly #maxFlows: number
  readonly #seed: number
  readonly #sides: Map<RouterInterface, number> = new Map()
  /** Numbers of links by name. */
  #links: ReadonlyMap<string, number> = new Map()
  #nats: RuleNats = new Map()
  /** Numbers of mappings by their settings. */
  readonly #mappings: Map<string, number> = new Map()
  readonly #services: Map<string, ServiceOptions> = new Map()

  /** @param bridged networks whose hosts reach each other without the router
   * @param rules those that it begins with, of which the timeouts are */
  constructor(
    ground: Ground,
    router: Router,
    bridged: readonly string[],
    options: NatGateOptions,
    rules: readonly OutboundOptions[] | undefined,
  ) {
    const { loop, pool, clock, seed = 0 } = ground
    this.#options = options
    this.#seed = seed
    const outside = new InterfaceAddresses(router)
    this.#outside = outside
    // Policies know addresses by the NAT's numbers: the lists are filled when it is there.
    const destination: DestinationPolicy[] = []
    const source: SourcePolicy[] = []
    const maxFlows = checkRange('maxFlows', options.conntrack?.maxFlows ?? 65_536, 16, 1 << 22)
    this.#maxFlows = maxFlows
    // Each port in use lives by a flow; the rest is for port mappings and services.
    const ports = new OutsidePorts({ maxPorts: maxFlows + MAPPED_PORTS, seed })
    this.#ports = ports
    const rejector = new Rejector(pool, clock)
    const own = {
      is4: (ip: number): boolean => router.lookup4(ip)?.kind === 'local',
      is6: (b: Uint8Array, at: number): boolean =>
        (b[at] === 0xfe && (b[at + 1]! & 0xc0) === 0x80) || router.lookup6(b, at)?.kind === 'local',
    }
    this.nat = new Nat(loop, {
      seed,
      profile: natProfile(rules),
      ...options.conntrack,
      ...{ maxFlows, destination, source, outside, outsidePorts: ports, own },
      ...(options.fragments === undefined ? {} : { fragments: options.fragments }),
      ...(options.mss === undefined ? {} : { mss: options.mss }),
      ...(options.invalid === undefined ? {} : { invalid: options.invalid }),
      ...(options.icmpTransposition === undefined ? {} : { icmpTransposition: options.icmpTransposition }),
      ...(options.untransposed === undefined ? {} : { untransposed: options.untransposed }),
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
    const { addresses } = this.nat
    this.portMappings = new PortMappings(addresses, { outsidePorts: ports, seed })
    this.balancer = new Balancer(addresses, { seed, bridged, outsidePorts: ports, ...options.balancer })
    this.outbound = new OutboundNat([], 'outbound')
    destination.push(this.portMappings, this.balancer, this.outbound.inbound)
    source.push(this.outbound)
    for (const policy of destination) policy.attached?.(this.nat)
    router.gate = this.nat
  }

  /** Says by which links packets come and go from now on. */
  setSides(links: readonly Sided[]): void {
    const now = new Set(links.map((link) => link.iface))
    for (const [iface, number] of [...this.#sides]) {
      if (now.has(iface)) continue
      this.nat.detach(iface)
      this.#outside.remove(number)
      this.#sides.delete(iface)
    }
    for (const { iface } of links) {
      if (this.#sides.has(iface)) continue
      const number = this.nat.attach(iface)
      this.#outside.add(number, iface, this.nat.addresses)
      this.#sides.set(iface, number)
    }
    this.#links = new Map(links.map(({ name, iface }) => [name, this.#sides.get(iface) as number]))
  }

  /** Makes rules, mappings and services what is said.
   * @param inside networks of the inside
   * @param uplinks links by which rules translate where they do not say by which */
  setPolicies(policies: NatPolicies, inside: readonly string[], uplinks: readonly Sided[]): void {
    const { chain, outbound = chain === undefined ? [{}] : [], portMappings = [], services = [] } = policies
    const mappings = new Map(portMappings.map((mapping, i) => this.#mapping(mapping, i, inside)))
    for (const [text, number] of [...this.#mappings]) {
      if (mappings.has(text)) continue
      this.portMappings.remove(number)
      this.#mappings.delete(text)
    }
    this.#setServices(services)
    for (const [text, add] of mappings) if (!this.#mappings.has(text)) this.#mappings.set(text, add())
    this.#setRules(chain, outbound, inside, uplinks)
  }

  /** A mapping by its settings, and what adds it. */
  #mapping(given: PortMappingOptions, i: number, inside: readonly string[]): [string, () => number] {
    const { hairpin = true, ...mapping } = given
    checkMapping(`portMappings[${i}]`, { hairpin, ...mapping }, this.#options.portMappingRules)
    // A pod on a link of its own is all of its network.
    const own = inside.length > 0 ? inside : [`${mapping.to}/${mapping.to.includes(':') ? 128 : 32}`]
    const all = [mapping.to.includes(':') ? '::/0' : '0.0.0.0/0']
    const whole = { ...mapping, masqueradeFrom: hairpin === 'all' ? all : hairpin ? own : [] }
    return [JSON.stringify(whole), () => this.portMappings.add(whole, `portMappings[${i}]`)]
  }

  #setRules(
    chain: Chain | undefined,
    rules: readonly OutboundOptions[],
    inside: readonly string[],
    uplinks: readonly Sided[],
  ): void {
    const { addresses } = this.nat
    const numbers = new Map(uplinks.map(({ name, iface }) => [name, this.#sides.get(iface) as number]))
    const ground = { addresses, outside: this.#outside, inside, uplinks: numbers, ports: this.#ports }
    const former = new Map(Array.from(this.#nats, ([text, nats]) => [text, [...nats]]))
    const now: RuleNats = new Map()
    const all = { ...ground, seed: this.#seed, maxFlows: this.#maxFlows }
    const first = chain === undefined ? [] : chainRules(all, chain, this.#links, former, now)
    this.outbound.setRules([...first, ...outboundRules(all, rules, former, now)], 'outbound')
    this.#nats = now
  }

  #setServices(services: readonly ServiceOptions[]): void {
    const { services: table } = this.balancer
    const next = new Map(services.map((service) => [service.name, service]))
    if (next.size < services.length) {
      const twice = services.find((service) => next.get(service.name) !== service)?.name
      throw new RangeError(`service ${twice} is there already`)
    }
    for (const [name, before] of [...this.#services]) {
      const service = next.get(name)
      // With another protocol it is another service.
      if (service !== undefined && (service.protocol ?? 'tcp') === (before.protocol ?? 'tcp')) continue
      table.remove(name)
      this.#services.delete(name)
    }
    let changed = services.filter((service) => !same(this.#services.get(service.name), service))
    // What one gives up another may take: who is refused is asked again, as long as that helps.
    for (;;) {
      const refused = changed.filter((service) => !this.#put(service))
      if (refused.length === 0 || refused.length === changed.length) {
        changed = refused
        break
      }
      changed = refused
    }
    for (const { name } of changed) if (this.#services.delete(name)) table.remove(name)
    for (const service of changed) {
      table.add(service)
      this.#services.set(service.name, service)
    }
  }

  /** Adds or changes a service; false where that is refused. */
  #put(service: ServiceOptions): boolean {
    const { services: table } = this.balancer
    try {
      if (this.#services.has(service.name)) table.update(service)
      else table.add(service)
    } catch {
      return false
    }
    this.#services.set(service.name, service)
    return true
  }

  /** Ends the flows from and to addresses that nobody has any more. */
  forget(addresses: readonly string[]): void {
    const gone = new Set(addresses)
    this.nat.endFlows(({ original, reply }) =>
      [original.src, original.dst, reply.src, reply.dst].some((ip) => gone.has(ip)),
    )
  }
}
