import { AclRules } from '@l2l3/nat'
import { formatWords, type Prefix, parsePrefix } from '@l2l3/switch-core'
import { overlayMac } from './cni.ts'
import type { HnsReadOptions } from './common.ts'
import { checkPolicies, type HnsEndpoint, readEndpoint } from './endpoint.ts'
import { aclOf } from './endpoint-acl.ts'
import { type HnsEndpointPolicy, readEndpointPolicies } from './endpoint-policies.ts'
import { type At, refuse, shown } from './error.ts'
import { type HnsLoadBalancer, readLoadBalancer } from './load-balancer.ts'
import { type HnsNetwork, includes, readNetwork } from './network.ts'
import { type HnsNetworkPolicy, membersOf, readNetworkPolicies } from './network-policies.ts'
import { checkedAt } from './shape.ts'

/*
 * The calls of HNS, for code that speaks to it today: networks, endpoints, policies, load balancers, by the documents that HNS takes. It
 * keeps them as HNS does - with IDs, with addresses for those who have none, and by its rules of what refers to what - and tells
 * whoever listens, which is a dataplane. It moves no frame itself.
 *
 *     const hns = new Hns()
 *     hns.listen((change) => ...)                          createNetwork(document)            -> network
 *                                                          createEndpoint(network, document)  -> endpoint
 *                                                          attach(endpoint, namespace)
 *
 *     what is refused                                      why
 *     an endpoint of a network that is not there           nothing it could be on
 *     an ID, or an address on a network, a second time     it would not be one any more
 *     an address outside the network's subnets             it would not be reachable
 *     an IPv6 address on an overlay or NAT                 modes.md 2.1
 *     EnableDhcp but on Transparent                        addresses are HNS' own there
 *     a switch rule of an ACL on Transparent or NAT        Windows Firewall alone is there (modes.md 16)
 *     to take off a network that has endpoints,            others would refer to what is not there
 *       or an endpoint that a load balancer has
 *     to attach an endpoint that is attached, or remote    it is somewhere already
 */

/** A network that was created. */
export interface CreatedNetwork extends HnsNetwork {
  readonly id: string
}

/** An endpoint that was created. */
export interface CreatedEndpoint extends HnsEndpoint {
  readonly id: string
  readonly network: string
  readonly mac: string
  /** Where it is attached; null: nowhere. */
  readonly attachedTo: string | null
}

/** A load balancer that was created. */
export interface CreatedLoadBalancer extends HnsLoadBalancer {
  readonly id: string
}

/** What has happened. `before` is how it was. */
export type HnsChange =
  | { readonly what: 'network-created' | 'network-deleted'; readonly network: CreatedNetwork }
  | { readonly what: 'network-changed'; readonly network: CreatedNetwork; readonly before: CreatedNetwork }
  | { readonly what: 'endpoint-created' | 'endpoint-deleted'; readonly endpoint: CreatedEndpoint }
  | {
      readonly what: 'endpoint-changed' | 'endpoint-attached' | 'endpoint-detached'
      readonly endpoint: CreatedEndpoint
      readonly before: CreatedEndpoint
    }
  | { readonly what: 'load-balancer-created' | 'load-balancer-deleted'; readonly loadBalancer: CreatedLoadBalancer }

/** Settings of `Hns`. */
export interface HnsOptions extends HnsReadOptions {
  /** Makes IDs. Default numbers in the form of a GUID, the same in every run. */
  newId?: () => string
}

/** Whoever has to be able to do what was called for. */
export interface HnsGuard {
  /** A change is about to stand, and can be seen by the calls that list. Throws where it cannot be: the call is refused then, and
   * nothing has changed. */
  changes(change: HnsChange): void
  /** All is as before: a change was refused that it may have made something of. */
  undone(): void
}

/** The calls of HNS. All throw an HnsError, and then nothing has changed. */
export class Hns {
  readonly #networks: Map<string, CreatedNetwork> = new Map()
  readonly #endpoints: Map<string, CreatedEndpoint> = new Map()
  readonly #loadBalancers: Map<string, CreatedLoadBalancer> = new Map()
  readonly #listeners: Set<(change: HnsChange) => void> = new Set()
  readonly #guards: Set<HnsGuard> = new Set()
  readonly #options: HnsOptions
  readonly #newId: () => string
  #made = 0

  constructor(options: HnsOptions = {}) {
    this.#options = options
    this.#newId = options.newId ?? (() => guidOf(++this.#made))
  }

  /** Has a listener told of every change, after it was made; the function that comes back takes it off. What a listener throws is thrown to
   * the caller, when all others were told; the change stands. */
  listen(listener: (change: HnsChange) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Has somebody asked before a change stands; the function that comes back takes it off. */
  guard(guard: HnsGuard): () => void {
    this.#guards.add(guard)
    return () => this.#guards.delete(guard)
  }

  /** Makes a network of its document. */
  createNetwork(json: unknown, document = 'network'): CreatedNetwork {
    const at = { document, path: '$' }
    const read = readNetwork(json, document, this.#options)
    this.#checkNetwork(at, read)
    const network = { ...read, id: this.#id(at, this.#networks, read.id) }
    this.#networks.set(network.id, network)
    this.#tell({ what: 'network-created', network }, at, () => this.#networks.delete(network.id))
    return network
  }

  /** Takes a network off that has no endpoints. */
  deleteNetwork(id: string): void {
    const network = this.#find('network', this.#networks, id)
    const on = this.listEndpoints(network.id)
    if (on.length > 0) refuse(ofId('network', id), on.length, `has ${on.length} endpoints: ${named(on)}`)
    this.#networks.delete(network.id)
    this.#tell({ what: 'network-deleted', network }, ofId('network', id), () => this.#networks.set(network.id, network))
  }

  /** Adds policies to a network: remote subnets, sets. */
  addNetworkPolicy(id: string, policies: unknown): CreatedNetwork {
    const network = this.#find('network', this.#networks, id)
    return this.#changeNetwork(network, [...network.policies, ...this.#networkPolicies(network, policies)])
  }

  /** Takes policies off a network: those that are the same as these. Refuses one that it has not. */
  removeNetworkPolicy(id: string, policies: unknown): CreatedNetwork {
    const network = this.#find('network', this.#networks, id)
    return this.#changeNetwork(
      network,
      without(ofId('network', id), network.policies, this.#networkPolicies(network, policies)),
    )
  }

  /** Makes an endpoint on a network. Without an address it gets the next free one of the first subnet; without a MAC address one of the
   * network's pools, on an overlay that of its address. */
  createEndpoint(networkId: string, json: unknown, document = 'endpoint'): CreatedEndpoint {
    const at = { document, path: '$' }
    const network = this.#find('network', this.#networks, networkId)
    const read = readEndpoint(json, document, this.#options)
    if (read.network !== null && read.network !== network.id) {
      refuse(at, read.network, `is of network ${read.network}, and was to be created on ${network.id}`)
    }
    this.#checkAcls(at, network, read.policies)
    const addresses = this.#addresses(at, network, read)
    const mac = read.mac ?? this.#mac(at, network, addresses[0]?.address)
    const endpoint: CreatedEndpoint = {
      ...read,
      id: this.#id(at, this.#endpoints, read.id),
      network: network.id,
      networkName: network.name,
      addresses,
      mac,
      attachedTo: null,
    }
    this.#endpoints.set(endpoint.id, endpoint)
    this.#tell({ what: 'endpoint-created', endpoint }, at, () => this.#endpoints.delete(endpoint.id))
    return endpoint
  }

  /** Takes an endpoint off that no load balancer has; one that is attached is detached before. */
  deleteEndpoint(id: string): void {
    const endpoint = this.#find('endpoint', this.#endpoints, id)
    const user = [...this.#loadBalancers.values()].find((b) => b.endpoints.includes(endpoint.id))
    if (user !== undefined) refuse(ofId('endpoint', id), user.id, `load balancer ${user.id} has it`)
    if (endpoint.attachedTo !== null) this.detach(id)
    const now = this.#endpoints.get(endpoint.id) as CreatedEndpoint
    this.#endpoints.delete(endpoint.id)
    this.#tell({ what: 'endpoint-deleted', endpoint: now }, ofId('endpoint', id), () =>
      this.#endpoints.set(now.id, now),
    )
  }

  /** Puts an endpoint where it is used: into a namespace, a container, a compartment of the host. */
  attach(id: string, to: string): CreatedEndpoint {
    const before = this.#find('endpoint', this.#endpoints, id)
    if (typeof to !== 'string' || to === '') refuse(ofId('endpoint', id), to, `must be attached to something`)
    if (before.remote) refuse(ofId('endpoint', id), to, 'is remote: it is attached on its own node')
    if (before.attachedTo !== null) refuse(ofId('endpoint', id), to, `is attached to ${before.attachedTo}`)
    return this.#changeEndpoint('endpoint-attached', before, { attachedTo: to })
  }

  /** Takes an endpoint out of where it is. */
  detach(id: string): CreatedEndpoint {
    const before = this.#find('endpoint', this.#endpoints, id)
    if (before.attachedTo === null) refuse(ofId('endpoint', id), null, 'is not attached')
    return this.#changeEndpoint('endpoint-detached', before, { attachedTo: null })
  }

  /** Adds policies to an endpoint: a list of them, of the endpoint's schema. */
  addPolicy(id: string, policies: unknown): CreatedEndpoint {
    const before = this.#find('endpoint', this.#endpoints, id)
    const added = this.#endpointPolicies(before, policies)
    return this.#changePolicies(before, [...before.policies, ...added], added)
  }

  /** Puts policies in the place of all that an endpoint has (hcsshim's ApplyPolicy). */
  setPolicies(id: string, policies: unknown): CreatedEndpoint {
    const before = this.#find('endpoint', this.#endpoints, id)
    const all = this.#endpointPolicies(before, policies)
    return this.#changePolicies(before, all, all)
  }

  /** Takes policies off an endpoint: those that are the same as these. Refuses one that it has not. */
  removePolicy(id: string, policies: unknown): CreatedEndpoint {
    const before = this.#find('endpoint', this.#endpoints, id)
    const others = this.#endpointPolicies(before, policies)
    return this.#changePolicies(before, without(ofId('endpoint', id), before.policies, others), [])
  }

  /** Makes a load balancer of its document: one of the second schema, or a list of ELB policies. */
  createLoadBalancer(json: unknown, document = 'load balancer'): CreatedLoadBalancer {
    const at = { document, path: '$' }
    const read = readLoadBalancer(json, document)
    for (const endpoint of read.endpoints) {
      if (!this.#endpoints.has(endpoint)) refuse(at, endpoint, `there is no endpoint ${endpoint}`)
    }
    for (const other of this.#loadBalancers.values()) {
      const same = sameFrontend(read, other)
      if (same !== null) refuse(at, same, `load balancer ${other.id} has ${same} already`)
    }
    const loadBalancer = { ...read, id: this.#id(at, this.#loadBalancers, read.id) }
    this.#loadBalancers.set(loadBalancer.id, loadBalancer)
    this.#tell({ what: 'load-balancer-created', loadBalancer }, at, () => this.#loadBalancers.delete(loadBalancer.id))
    return loadBalancer
  }

  /** Takes a load balancer off. */
  deleteLoadBalancer(id: string): void {
    const loadBalancer = this.#find('load balancer', this.#loadBalancers, id)
    this.#loadBalancers.delete(loadBalancer.id)
    this.#tell({ what: 'load-balancer-deleted', loadBalancer }, ofId('load balancer', id), () => {
      this.#loadBalancers.set(loadBalancer.id, loadBalancer)
    })
  }

  listNetworks(): CreatedNetwork[] {
    return [...this.#networks.values()]
  }
  /** All endpoints, or those of a network. */
  listEndpoints(network?: string): CreatedEndpoint[] {
    const all = [...this.#endpoints.values()]
    return network === undefined ? all : all.filter((e) => e.network === network.toLowerCase())
  }
  listLoadBalancers(): CreatedLoadBalancer[] {
    return [...this.#loadBalancers.values()]
  }
  /** By its ID; null where there is none. */
  getNetwork(id: string): CreatedNetwork | null {
    return this.#networks.get(id.toLowerCase()) ?? null
  }
  getEndpoint(id: string): CreatedEndpoint | null {
    return this.#endpoints.get(id.toLowerCase()) ?? null
  }
  getLoadBalancer(id: string): CreatedLoadBalancer | null {
    return this.#loadBalancers.get(id.toLowerCase()) ?? null
  }
  /** The first of this name; null where there is none. */
  getNetworkByName(name: string): CreatedNetwork | null {
    return this.listNetworks().find((n) => n.name === name) ?? null
  }
  getEndpointByName(name: string): CreatedEndpoint | null {
    return this.listEndpoints().find((e) => e.name === name) ?? null
  }

  #find<T>(what: string, all: ReadonlyMap<string, T>, id: string): T {
    const found = typeof id === 'string' ? all.get(id.toLowerCase()) : undefined
    return found ?? refuse(ofId(what, id), id, `there is no ${what} ${shown(id)}`)
  }

  #id(at: At, all: ReadonlyMap<string, unknown>, wanted: string | null): string {
    if (wanted !== null && all.has(wanted)) refuse(at, wanted, `the ID ${wanted} is in use`)
    let id = wanted
    while (id === null || (wanted === null && all.has(id))) id = this.#newId().toLowerCase()
    return id
  }

  #networkPolicies(network: CreatedNetwork, json: unknown): HnsNetworkPolicy[] {
    return readNetworkPolicies(ofId('network', network.id), json, network.schema, [], this.#options)
  }

  #endpointPolicies(endpoint: CreatedEndpoint, json: unknown): HnsEndpointPolicy[] {
    return readEndpointPolicies(ofId('endpoint', endpoint.id), json, endpoint.schema, [], this.#options)
  }

  /** Sets that lead somewhere, and ACLs that are for all endpoints. */
  #checkNetwork(at: At, network: HnsNetwork): void {
    membersOf(at, network.policies)
    checkedAt(at, network.policies, () => new AclRules(aclOf(network, [])))
  }

  #changeNetwork(before: CreatedNetwork, policies: readonly HnsNetworkPolicy[]): CreatedNetwork {
    const at = ofId('network', before.id)
    const network = { ...before, policies }
    this.#checkNetwork(at, network)
    // Rules of endpoints may name sets that are not there any more.
    for (const e of this.listEndpoints(before.id)) this.#checkAcls(ofId('endpoint', e.id), network, e.policies)
    this.#networks.set(network.id, network)
    this.#tell({ what: 'network-changed', network, before }, at, () => this.#networks.set(before.id, before))
    return network
  }

  /** @param added those of them that have not been looked at */
  #changePolicies(
    before: CreatedEndpoint,
    policies: readonly HnsEndpointPolicy[],
    added: readonly HnsEndpointPolicy[],
  ): CreatedEndpoint {
    const network = this.#networks.get(before.network) as CreatedNetwork
    const at = ofId('endpoint', before.id)
    checkPolicies(at, policies)
    this.#checkAcls(at, network, added)
    return this.#changeEndpoint('endpoint-changed', before, { policies })
  }

  #changeEndpoint(
    what: 'endpoint-changed' | 'endpoint-attached' | 'endpoint-detached',
    before: CreatedEndpoint,
    by: Partial<CreatedEndpoint>,
  ): CreatedEndpoint {
    const endpoint = { ...before, ...by }
    this.#endpoints.set(endpoint.id, endpoint)
    this.#tell({ what, endpoint, before }, ofId('endpoint', before.id), () => this.#endpoints.set(before.id, before))
    return endpoint
  }

  #checkAcls(at: At, network: HnsNetwork, policies: readonly HnsEndpointPolicy[]): void {
    for (const p of policies) {
      if (p.kind !== 'acl') continue
      checkedAt({ ...at, path: p.path }, p.policy, () => new AclRules(aclOf(network, [p])))
    }
  }

  #addresses(at: At, network: CreatedNetwork, read: HnsEndpoint): HnsEndpoint['addresses'] {
    const taken = new Set(this.listEndpoints(network.id).flatMap((e) => e.addresses.map((a) => canonical(a.address))))
    const wanted = read.addresses
    if (read.dhcp && network.type !== 'Transparent') {
      refuse(at, read.flags, `EnableDhcp on a network of type ${network.type}: its addresses are HNS' own`)
    }
    if (wanted.length === 0) {
      if (read.remote) refuse(at, undefined, 'a remote endpoint has to have an address')
      if (read.dhcp) return []
      const free = this.#freeAddress(at, network, taken)
      return free === null ? [] : [free]
    }
    return wanted.map(({ address, prefixLength }) => {
      if (address.includes(':') && (network.type === 'Overlay' || network.type === 'NAT')) {
        refuse(at, address, `a network of type ${network.type} has no IPv6: ${address}`)
      }
      if (taken.has(canonical(address))) refuse(at, address, `the address ${address} is in use on the network`)
      taken.add(canonical(address))
      const subnet = network.subnets.find((s) => includes(s.prefix, address))
      // Another node's endpoints are in other subnets, and services in none.
      if (subnet === undefined && !read.remote && network.subnets.length > 0) {
        refuse(at, address, `the address ${address} is in no subnet of the network`)
      }
      const part = subnet?.parts.find((p) => p.reservesNetworkAddress && includes(p.prefix, address))
      if (part !== undefined && sameAddress(part.prefix, address)) {
        refuse(at, address, `the address ${address} is that of the network ${part.prefix}, which reserves it`)
      }
      if (subnet?.reservesGateway === true && subnet.gateway !== null && sameAddress(subnet.gateway, address)) {
        refuse(at, address, `the address ${address} is the gateway's`)
      }
      return {
        address,
        prefixLength: prefixLength ?? (subnet === undefined ? null : parsePrefix(subnet.prefix).length),
      }
    })
  }

  /** The next free address of the first IPv4 subnet, in its parts where it has some: not the first two of an L2Bridge, which are the
   * gateway's and the host's (modes.md 2.1), nor the last, nor what a part reserves. Null where the network has no subnet, or a DHCP
   * server is asked. */
  #freeAddress(at: At, network: HnsNetwork, taken: ReadonlySet<string>): HnsEndpoint['addresses'][number] | null {
    const subnet = network.subnets.find((s) => !s.prefix.includes(':'))
    if (subnet === undefined || network.ipam === 'dhcp') return null
    const whole = rangeOf(subnet.prefix)
    const own = whole.first + (network.type === 'L2Bridge' || network.type === 'L2Tunnel' ? 3 : 2)
    const ranges = subnet.parts.map(({ prefix, reservesNetworkAddress: keeps }) => {
      const { first, last } = rangeOf(prefix)
      return keeps ? { first: first + 1, last: last - 1 } : { first, last }
    })
    for (const range of ranges.length === 0 ? [whole] : ranges) {
      const begin = Math.max(range.first, own)
      for (let n = begin; n <= Math.min(range.last, whole.last - 1, begin + MOST_TRIED); n++) {
        const address = formatWords(Uint32Array.of(n))
        if (!taken.has(address) && address !== subnet.gateway) return { address, prefixLength: whole.length }
      }
    }
    return refuse(at, subnet.prefix, `no address of ${subnet.prefix} is free`)
  }

  #mac(at: At, network: CreatedNetwork, address: string | undefined): string {
    if (network.type === 'Overlay' && address !== undefined) return overlayMac(address)
    const taken = new Set(this.listEndpoints(network.id).map((e) => e.mac))
    const pools = network.macPools.length > 0 ? network.macPools : [DEFAULT_MACS]
    for (const { first, last } of pools) {
      const end = Math.min(numberOf(last), numberOf(first) + MOST_TRIED)
      for (let n = numberOf(first); n <= end; n++) if (!taken.has(macOf(n))) return macOf(n)
    }
    return refuse(at, pools, 'no MAC address of the network is free')
  }

  /** @param at what was called for
   * @param undo makes all as it was before */
  #tell(change: HnsChange, at: At, undo: () => unknown): void {
    try {
      for (const guard of [...this.#guards]) checkedAt(at, change.what, () => guard.changes(change))
    } catch (error) {
      undo()
      for (const guard of [...this.#guards]) guard.undone()
      throw error
    }
    let failed: { error: unknown } | null = null
    for (const listener of [...this.#listeners]) {
      try {
        listener(change)
      } catch (error) {
        failed ??= { error }
      }
    }
    if (failed !== null) throw failed.error
  }
}

/** Where HNS takes MAC addresses from, unless a network says it. */
const DEFAULT_MACS = { first: '00:15:5d:00:00:00', last: '00:15:5d:ff:ff:ff' }
/** Addresses that are looked at for a free one. */
const MOST_TRIED = 65_536

function ofId(what: string, id: string): At {
  return { document: `${what} ${String(id)}`, path: '$' }
}

function named(endpoints: readonly CreatedEndpoint[]): string {
  return endpoints
    .slice(0, 3)
    .map((e) => e.name ?? e.id)
    .join(', ')
}

/** The list without others, which are found by all but where they stood. */
function without<T extends { readonly path: string }>(at: At, list: readonly T[], others: readonly T[]): T[] {
  const key = ({ path: _path, ...rest }: T): string => JSON.stringify(rest)
  const left = [...list]
  for (const other of others) {
    const i = left.findIndex((p) => key(p) === key(other))
    if (i < 0) refuse({ ...at, path: other.path }, other, `has no such policy: ${shown(other)}`)
    left.splice(i, 1)
  }
  return left
}

/** What two load balancers both have in front, or null. */
function sameFrontend(a: HnsLoadBalancer, b: HnsLoadBalancer): string | null {
  if (a.ipv6 !== b.ipv6) return null
  const fronts = (lb: HnsLoadBalancer): string[] => {
    const vips = lb.vips.length === 0 ? ['the host'] : lb.vips.map(canonical)
    return vips.flatMap((vip) => lb.ports.map((p) => `${vip} port ${p.externalPort} of protocol ${p.protocol}`))
  }
  const others = new Set(fronts(b))
  return fronts(a).find((front) => others.has(front)) ?? null
}

/** The addresses of an IPv4 prefix. */
function rangeOf(prefix: string): { readonly first: number; readonly last: number; readonly length: number } {
  const { words, length } = parsePrefix(prefix) as Prefix
  const first = words[0] as number
  return { first, last: first + 2 ** (32 - length) - 1, length }
}

function canonical(address: string): string {
  return formatWords(parsePrefix(address).words)
}

function sameAddress(a: string, b: string): boolean {
  return canonical(a) === canonical(b)
}

function numberOf(mac: string): number {
  return Number.parseInt(mac.replaceAll(':', ''), 16)
}

function macOf(n: number): string {
  const hex = n.toString(16).padStart(12, '0')
  return (hex.match(/../g) as string[]).join(':')
}

function guidOf(n: number): string {
  return `00000000-0000-4000-8000-${n.toString(16).padStart(12, '0')}`
}
