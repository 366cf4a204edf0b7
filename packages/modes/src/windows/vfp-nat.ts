import {
  Balancer,
  type ConntrackOptions,
  type FragmentsOptions,
  hnsOutboundRules,
  Nat,
  OutboundNat,
  type OutboundNatPolicyV1,
  type OutboundNatPolicyV2,
  type OutsideAddresses,
  OutsidePorts,
  type OwnAddresses,
  type PortMapping,
  PortMappings,
  type ServiceOptions,
  type Side,
  type SourceNat,
} from '@l2l3/nat'
import { checkRange } from '@l2l3/switch-core'
import { formatIpv6, parseIpv4, parseIpv6, u32 } from '@l2l3/switch-core/wire'
import type { Ground } from '../ground.ts'
import { same } from '../parts.ts'
import { type Place, PlacedDestination, PlacedSource, Places } from '../place.ts'
import { addressKey6 } from './address-fix-up.ts'
import { balancerOptions, placeServices, type WindowsService, type WindowsServiceOptions } from './services.ts'

/*
 * What VFP translates on a node: one table of flows, and the policies of all ports, each at its place (`place.ts`).
 *
 *     place     a new flow's destination                     its source
 *     pod       services: ClusterIPs and the like, DSR       loopback DSR: OutBoundNAT with Destinations
 *     uplink    port mappings; services from outside, DSR    OutBoundNAT without Destinations: exceptions, VirtualIP
 *     host      services that are not DSR                    SourceVIP, or the node's own, for those alone
 *
 * ICMP is not translated (modes.md 2.4): what would need it leaves as it is, or is dropped as `NatUnsupported` (`untransposed`). With
 * `icmpTransposition` echoes are, as other NATs do it.
 */

/** An OutBoundNAT policy, of either schema. */
export type OutboundNatPolicy = OutboundNatPolicyV1 | OutboundNatPolicyV2

/** An endpoint whose packets are translated on their way out. */
export interface OutboundEndpoint {
  /** Unique in the node. */
  readonly name: string
  /** Without prefix. */
  readonly ips: readonly string[]
  readonly outboundNat?: readonly OutboundNatPolicy[]
}

/** What VFP translates by, and what changes. */
export interface VfpPolicies {
  readonly services?: readonly WindowsService[]
  readonly endpoints?: readonly OutboundEndpoint[]
  readonly portMappings?: readonly PortMapping[]
}

/** What stays. */
export interface VfpNatOptions extends WindowsServiceOptions {
  /** The node's addresses, without prefix: sources without a VirtualIP, and where ports are mapped. */
  readonly hostIps: readonly string[]
  /** Whether OutBoundNAT translates echoes, too. VFP cannot. Default false. */
  readonly icmpTransposition?: boolean
  /** What becomes of ICMP that would need translation. Default `pass`: it leaves as it is. */
  readonly untransposed?: 'pass' | 'drop'
  readonly conntrack?: ConntrackOptions
  readonly fragments?: FragmentsOptions
}

/** Ports that mappings and services may have, over all addresses: there are 2,768 node ports. */
const MAPPED_PORTS = 32_768

/** The flows of a node, and who decides about new ones. */
export class VfpNat {
  readonly nat: Nat
  /** What kube-proxy says of services that are not done as asked. */
  notes: readonly string[] = []
  /** For the ports of pods: the addresses that loopback DSR gives to packets, as `AddressFixUp` numbers them. */
  loopbackSources: Int32Array = new Int32Array(0)
  /** For the uplink: whether a service keeps its address as the destination of packets. */
  preserves = false
  /** For the host: addresses whose packets may be for services that are done there, as `AddressFixUp` numbers them. */
  hostFrontends: ReadonlySet<number> = new Set()
  readonly outbound: OutboundNat
  readonly loopback: OutboundNat
  readonly portMappings: PortMappings
  readonly balancers: Readonly<Record<Place, Balancer>>
  readonly #options: VfpNatOptions
  readonly #places: Places = new Places()
  readonly #outside: OutsideAddresses
  readonly #ports: OutsidePorts
  readonly #seed: number
  readonly #zones: Set<number> = new Set([0])
  readonly #shared: Record<'pod' | 'uplink', Map<string, SourceNat>> = { pod: new Map(), uplink: new Map() }
  readonly #limited: Map<string, { of: OutboundEndpoint; rules: Rules }> = new Map()
  readonly #services: Record<Place, Map<string, ServiceOptions>> = {
    pod: new Map(),
    uplink: new Map(),
    host: new Map(),
  }
  readonly #mappings: Map<string, number> = new Map()

  /** Throws a TypeError or RangeError with key and value where an option makes no sense. */
  constructor(ground: Ground, options: VfpNatOptions) {
    const { seed = 0 } = ground
    const { hostIps, icmpTransposition = false, untransposed, conntrack = {}, fragments } = options
    this.#options = options
    this.#seed = seed
    const maxFlows = checkRange('conntrack.maxFlows', conntrack.maxFlows ?? 65_536, 16, 1 << 22)
    this.#ports = new OutsidePorts({ maxPorts: maxFlows + MAPPED_PORTS, seed })
    const places = this.#places
    const hosts = new HostAddresses(hostIps)
    this.#outside = hosts
    const destination: PlacedDestination[] = []
    const source: PlacedSource[] = []
    this.nat = new Nat(ground.loop, {
      ...{ seed, ...conntrack, maxFlows, destination, source, own: hosts, outside: hosts, outsidePorts: this.#ports },
      icmpTransposition,
      // A packet of a flow that began elsewhere, or before this node was: rules decide about it as about any other.
      invalid: 'pass',
      ...(untransposed === undefined ? {} : { untransposed }),
      ...(fragments === undefined ? {} : { fragments }),
    })
    const { addresses } = this.nat
    hosts.hold(this.nat)
    const balancer = (): Balancer =>
      new Balancer(addresses, { ...balancerOptions(options), outsidePorts: this.#ports, seed })
    this.balancers = { pod: balancer(), uplink: balancer(), host: balancer() }
    this.portMappings = new PortMappings(addresses, { outsidePorts: this.#ports, seed })
    this.outbound = new OutboundNat([], 'outbound')
    this.loopback = new OutboundNat([], 'loopback')
    destination.push(
      new PlacedDestination(places, 'pod', this.balancers.pod),
      new PlacedDestination(places, 'uplink', this.portMappings),
      new PlacedDestination(places, 'uplink', this.balancers.uplink),
      new PlacedDestination(places, 'host', this.portMappings),
      new PlacedDestination(places, 'host', this.balancers.host),
    )
    source.push(new PlacedSource(places, 'pod', this.loopback), new PlacedSource(places, 'uplink', this.outbound))
    for (const policy of destination) policy.attached(this.nat)
  }

  /** Adds a side at a place, in a zone of its own.
   * @param place null: no policy is asked about what begins there */
  addSide(place: Place | null, name: string): Side {
    let zone = 1
    while (this.#zones.has(zone)) zone++
    const side = this.nat.addSide(name, { zone: checkRange('zones', zone, 1, 0xffff) })
    this.#zones.add(zone)
    this.#places.set(side, place ?? undefined)
    return side
  }

  /** Takes a side away; its flows end. */
  removeSide(side: Side): void {
    this.nat.removeSide(side)
    this.#places.set(side, undefined)
    this.#zones.delete(side.zone)
  }

  /** Makes the policies what is said; flows stay as they are. Throws a TypeError or RangeError with key and value. */
  setPolicies({ services = [], endpoints = [], portMappings = [] }: VfpPolicies): void {
    const placed = placeServices(services, this.#options)
    this.notes = placed.notes
    for (const place of ['pod', 'uplink', 'host'] as const) this.#setServices(place, placed[place])
    this.preserves = placed.uplink.some((service) => service.preserveDestination === true)
    this.hostFrontends = new Set(
      [
        ...this.#options.hostIps,
        ...(this.#options.sourceVips ?? []),
        ...placed.host.flatMap(({ clusterIps = [], externalIps = [], loadBalancerIps = [] }) => {
          return [...clusterIps, ...externalIps, ...loadBalancerIps]
        }),
      ].map(addressKey),
    )
    this.#setMappings(portMappings)
    this.#setEndpoints(endpoints)
  }

  /** Ends the flows from and to addresses that nobody has any more. */
  forget(addresses: readonly string[]): void {
    if (addresses.length === 0) return
    const gone = new Set(addresses)
    this.nat.endFlows(({ original, reply }) =>
      [original.src, original.dst, reply.src, reply.dst].some((ip) => gone.has(ip)),
    )
  }

  #setServices(place: Place, list: readonly ServiceOptions[]): void {
    const { services } = this.balancers[place]
    const now = this.#services[place]
    const next = new Map(list.map((service) => [service.name, service]))
    if (next.size < list.length) {
      const twice = list.find((service) => next.get(service.name) !== service)?.name
      throw new RangeError(`service ${twice} is there already`)
    }
    for (const [name, before] of [...now]) {
      const service = next.get(name)
      if (service !== undefined && (service.protocol ?? 'tcp') === (before.protocol ?? 'tcp')) continue
      services.remove(name)
      now.delete(name)
    }
    for (const service of list) {
      const before = now.get(service.name)
      if (same(before, service)) continue
      if (before === undefined) services.add(service)
      else services.update(service)
      now.set(service.name, service)
    }
  }

  #setMappings(list: readonly PortMapping[]): void {
    const next = new Map(list.map((mapping, i) => [JSON.stringify(mapping), { mapping, i }]))
    for (const [text, number] of [...this.#mappings]) {
      if (next.has(text)) continue
      this.portMappings.remove(number)
      this.#mappings.delete(text)
    }
    for (const [text, { mapping, i }] of next) {
      if (!this.#mappings.has(text)) this.#mappings.set(text, this.portMappings.add(mapping, `portMappings[${i}]`))
    }
  }

  #setEndpoints(endpoints: readonly OutboundEndpoint[]): void {
    const next = new Map(endpoints.map((endpoint) => [endpoint.name, endpoint]))
    for (const name of [...this.#limited.keys()]) if (!next.has(name)) this.#limited.delete(name)
    for (const [name, of] of next) {
      if (!same(this.#limited.get(name)?.of, of)) this.#limited.set(name, { of, rules: this.#rulesOf(of) })
    }
    const rules = [...next.keys()].map((name) => (this.#limited.get(name) as { rules: Rules }).rules)
    this.loopback.setRules(
      rules.flatMap((r) => r.loopback),
      'loopback',
    )
    this.outbound.setRules(
      rules.flatMap((r) => r.general),
      'outbound',
    )
    this.loopbackSources = this.#loopbackSources(endpoints)
    for (const [place, nat] of [['pod', this.loopback] as const, ['uplink', this.outbound] as const]) {
      // One that no endpoint uses any more is closed with its last flow, and is not to be used again.
      for (const [key, shared] of this.#shared[place]) if (!nat.nats.includes(shared)) this.#shared[place].delete(key)
    }
  }

  /** What sources become by policies with destinations: their VirtualIP, or the host's addresses. */
  #loopbackSources(endpoints: readonly OutboundEndpoint[]): Int32Array {
    const keys = new Set<number>()
    for (const policy of endpoints.flatMap(({ outboundNat = [] }) => outboundNat)) {
      const { Destinations = [] } = 'Settings' in policy ? policy.Settings : policy
      if (Destinations.length === 0) continue
      const vip = 'Settings' in policy ? policy.Settings.VirtualIP : policy.VIP
      for (const ip of vip === undefined || vip === '' ? this.#options.hostIps : [vip]) keys.add(addressKey(ip))
    }
    return Int32Array.from(keys)
  }

  #rulesOf({ name, ips, outboundNat = [] }: OutboundEndpoint): Rules {
    const { addresses } = this.nat
    const { icmpTransposition = false, untransposed } = this.#options
    const common = {
      ...{ endpoint: ips, policies: outboundNat, outside: this.#outside, seed: this.#seed },
      // What is to be dropped is what would be translated if ICMP were.
      icmpTransposition: icmpTransposition || untransposed === 'drop',
    }
    try {
      return {
        loopback: hnsOutboundRules(addresses, { ...common, shared: this.#shared.pod }, 'destinations'),
        general: hnsOutboundRules(
          addresses,
          { ...common, outsidePorts: this.#ports, shared: this.#shared.uplink },
          'general',
        ),
      }
    } catch (error) {
      const kind = error instanceof TypeError ? TypeError : RangeError
      throw new kind(`endpoint ${name}: outboundNat: ${(error as Error).message}`, { cause: error })
    }
  }
}

type Rules = Readonly<Record<'loopback' | 'general', ReturnType<typeof hnsOutboundRules>>>

function addressKey(ip: string): number {
  return ip.includes(':') ? addressKey6(parseIpv6(ip), 0) : parseIpv4(ip) | 0
}

/** The host's addresses: the first of a family is what sources become. */
class HostAddresses implements OutsideAddresses, OwnAddresses {
  readonly #four: Set<number> = new Set()
  readonly #six: string[] = []
  readonly #first4: number
  #first6 = 0

  constructor(hostIps: readonly string[]) {
    for (const ip of hostIps) {
      if (ip.includes(':')) this.#six.push(formatIpv6(parseIpv6(ip)))
      else this.#four.add(parseIpv4(ip))
    }
    this.#first4 = [...this.#four][0] ?? 0
  }

  /** Holds the number of the IPv6 address for as long as the NAT is there. */
  hold(nat: Nat): void {
    const [first] = this.#six
    if (first !== undefined) this.#first6 = nat.addresses.intern(parseIpv6(first), 0)
    this.#bytes6 = this.#six.map(parseIpv6)
  }

  of4(): number {
    return this.#first4
  }

  of6(): number {
    return this.#first6
  }

  is4(address: number): boolean {
    return this.#four.has(address)
  }

  #bytes6: readonly Uint8Array[] = []

  is6(b: Uint8Array, at: number): boolean {
    return this.#bytes6.some((own) => [0, 4, 8, 12].every((i) => u32(own, i) === u32(b, at + i)))
  }
}
