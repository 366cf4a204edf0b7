import type { BalancerOptions, ServiceOptions } from '@l2l3/nat'
import { formatPrefix, formatWords, masked, parseInterfaceAddress, parsePrefix } from '@l2l3/switch-core'
import { parseIpv4 } from '@l2l3/switch-core/wire'
import type { PortMappingOptions } from './nat-mappings.ts'
import type { OutboundOptions } from './nat-outbound.ts'
import { gatewaysOf, type Route } from './routes.ts'

/*
 * The addresses of a NAT node, and what settings want of them.
 *
 *     uplink 203.0.113.1/24      outbound: addresses [203.0.113.8]     is on the uplink's link, where somebody has to answer
 *     gateway 10.22.0.1/24       sourceVips [10.22.0.2]                for it: the node holds it, as 203.0.113.8/32
 *
 *     clusterIps [10.22.0.200]   is on the inside's link, where nobody would answer: a mistake
 *     hostIp 203.0.113.9         is nobody's: no packet for it comes here
 *
 * What is on no link of the node comes by others' routes, or does not: that is for them to say.
 */

/** Addresses that the node holds for pools at most: a larger one is not on a link, but routed to the node. */
const MAX_HELD = 256

interface Own {
  readonly words: Uint32Array
  readonly length: number
}

const isLinkLocal = ({ words }: Own): boolean => words.length === 4 && words[0]! >>> 22 === 0xfe80 >>> 6

function inNetwork({ words, length }: Own, address: Uint32Array): boolean {
  if (words.length !== address.length) return false
  const network = masked(words, length)
  return masked(address, length).every((word, i) => word === network[i])
}

const same = (a: Uint32Array, b: Uint32Array): boolean => a.length === b.length && a.every((word, i) => word === b[i])

/** An address without its prefix; null where it is none, which is for others to say. */
function hostOf(text: string): Uint32Array | null {
  try {
    return parseInterfaceAddress(text).words
  } catch {
    return null
  }
}

/** Settings that need addresses. */
export interface AddressWants {
  readonly outbound?: readonly OutboundOptions[]
  readonly balancer?: BalancerOptions
}

/** The addresses that a NAT node has. */
export class NodeAddresses {
  readonly #inside: readonly Own[]
  readonly #own: readonly Own[]

  /** @param inside the gateway's addresses, with their prefixes
   * @param uplinks those of the uplinks */
  constructor(inside: readonly string[], uplinks: readonly string[]) {
    this.#inside = inside.map(parseInterfaceAddress).filter((own) => !isLinkLocal(own))
    this.#own = [...inside, ...uplinks].map(parseInterfaceAddress)
  }

  /** What a link with these addresses holds besides them, for settings that speak from others of its network: `10.22.0.2/32`.
   * Throws a RangeError where they are too many. */
  held(link: readonly string[], { outbound = [], balancer }: AddressWants): string[] {
    const near = link.map(parseInterfaceAddress).filter((own) => !isLinkLocal(own))
    const found = new Map<string, string>()
    const want = (key: string, address: Uint32Array | null): void => {
      if (address === null || this.#owns(address) || !near.some((own) => inNetwork(own, address))) return
      found.set(formatWords(address), formatPrefix(address, 32 * address.length))
      if (found.size > MAX_HELD)
        throw new RangeError(`${key}: more than ${MAX_HELD} addresses in the network of a link`)
    }
    for (const [i, { addresses = [] }] of outbound.entries()) {
      for (const [j, text] of addresses.entries()) {
        for (const address of oneByOne(text)) want(`outbound[${i}].addresses[${j}]`, address)
      }
    }
    for (const text of balancer?.sourceVips ?? []) want('sourceVips', hostOf(text))
    return [...found.values()]
  }

  /** Throws a RangeError with key and value for pools that have the gateway of a route: the node would hold another's
   * address for its own. */
  checkGateways(routes: readonly Route[], { outbound = [] }: AddressWants): void {
    const others = routes.flatMap((route) =>
      gatewaysOf(route).flatMap((text) => ({ to: route.to, text, address: hostOf(text) })),
    )
    if (others.length === 0) return
    for (const [i, { addresses = [] }] of outbound.entries()) {
      for (const [j, pool] of addresses.entries()) {
        for (const address of oneByOne(pool)) {
          const other = others.find((o) => o.address !== null && same(o.address, address))
          if (other === undefined || this.#owns(address)) continue
          const which = pool === other.text ? pool : `${pool} has ${other.text}, which`
          throw new RangeError(
            `outbound[${i}].addresses[${j}]: ${which} is another node's: the gateway of route ${other.to}`,
          )
        }
      }
    }
  }

  /** Throws a RangeError with key and value for a mapping at an address that no packet comes to. */
  checkMapping(key: string, { address }: PortMappingOptions, wants: AddressWants): void {
    const at = address === undefined ? null : hostOf(address)
    if (at === null || at.every((word) => word === 0) || this.#owns(at)) return
    const pools = (wants.outbound ?? []).flatMap((rule) => rule.addresses ?? [])
    if (pools.some((text) => oneByOne(text).some((one) => same(one, at)))) return
    throw new RangeError(`${key}.address: ${address} is no address of the node`)
  }

  /** Throws a RangeError with key and value for node ports at addresses that the node does not have. */
  checkBalancer({ nodePortAddresses = [] }: BalancerOptions): void {
    for (const [i, text] of nodePortAddresses.entries()) {
      const network = parsePrefix(text)
      if (this.#own.some(({ words }) => inNetwork(network, words))) continue
      throw new RangeError(`nodePortAddresses[${i}]: the node has no address in ${text}`)
    }
  }

  /** Throws a RangeError with key and value for a service where nobody gets to, and for one at a port that a mapping has. */
  checkService(service: ServiceOptions, mappings: readonly PortMappingOptions[]): void {
    const key = `service ${service.name}`
    const { clusterIps = [], externalIps = [], loadBalancerIps = [], port, nodePort } = service
    for (const [name, list] of Object.entries({ clusterIps, externalIps, loadBalancerIps })) {
      for (const [i, text] of list.entries()) {
        const address = hostOf(text)
        if (address === null) continue
        const own = this.#owns(address)
        const near = own ? undefined : this.#inside.find((one) => inNetwork(one, address))
        if (near !== undefined) {
          const network = formatPrefix(masked(near.words, near.length), near.length)
          throw new RangeError(
            `${key}: ${name}[${i}]: ${text} is in the network of the inside, ${network}, where nobody answers for it`,
          )
        }
        const taken = mappings.find((m) => covers(m, service, port, address, own))
        if (taken !== undefined)
          throw new RangeError(`${key}: ${name}[${i}]: port mapping ${portText(taken)} has the port`)
      }
    }
    const taken = nodePort === undefined ? undefined : mappings.find((m) => covers(m, service, nodePort, null, true))
    if (taken !== undefined)
      throw new RangeError(`${key}: nodePort ${nodePort}: port mapping ${portText(taken)} has the port`)
  }

  #owns(address: Uint32Array): boolean {
    return this.#own.some((own) => same(own.words, address))
  }
}

/** The addresses of one, or of a range of IPv4; none where it is neither, or long. */
function oneByOne(text: string): Uint32Array[] {
  const [first = '', last] = String(text).split('-')
  if (last === undefined) return [hostOf(first) ?? []].filter((words) => words instanceof Uint32Array)
  try {
    const from = parseIpv4(first)
    const n = Math.min(parseIpv4(last) - from + 1, 65_536)
    return Array.from({ length: Math.max(0, n) }, (_, i) => Uint32Array.of(from + i))
  } catch {
    return []
  }
}

const NUMBERS: Readonly<Record<string, number>> = { tcp: 6, udp: 17, sctp: 132 }

/** Whether a mapping takes what comes for a service: its protocol, its port, and its address, null for all of the node's. */
function covers(
  { protocol, port, address, to }: PortMappingOptions,
  service: ServiceOptions,
  at: number,
  where: Uint32Array | null,
  own: boolean,
): boolean {
  const number = typeof protocol === 'number' ? protocol : NUMBERS[protocol]
  const [first = 0, last = first] = String(port).split('-').map(Number)
  if (number !== NUMBERS[service.protocol ?? 'tcp'] || at < first || at > last) return false
  const listens = address === undefined ? null : hostOf(address)
  const family = to.includes(':') ? 4 : 1
  if (where !== null && where.length !== family) return false
  if (where === null) {
    // Node ports are there in the families of the cluster's addresses, or in both.
    const families = new Set((service.clusterIps ?? []).map((text) => hostOf(text)?.length))
    return families.size === 0 || families.has(family)
  }
  return listens === null || listens.every((word) => word === 0) ? own : same(listens, where)
}

function portText({ protocol, address, port }: PortMappingOptions): string {
  return `${protocol} ${address ?? '*'}:${port}`
}
