import {
  Addresses6,
  Balancer,
  type BalancerOptions,
  Conntrack,
  type ConntrackOptions,
  OutboundNat,
  OutsidePorts,
  PortMappings,
  type ServiceOptions,
} from '@l2l3/nat'
import { NodeAddresses } from './nat-addresses.ts'
import { checkMapping, type PortMappingOptions, type PortMappingRules } from './nat-mappings.ts'
import { networksOf, type OutboundOptions, outboundRules } from './nat-outbound.ts'
import type { Route } from './routes.ts'

/** Tries the settings of a NAT node one by one, before there is a node: each call throws a TypeError or RangeError with
 * key and value where `nat` would. */
export interface NatTrial {
  /** Comes first. */
  outbound(rule: OutboundOptions): void
  /** Throws also where one that was tried before has the port. */
  portMapping(mapping: PortMappingOptions, rules?: PortMappingRules): void
  /** Comes before services. */
  balancer(options: BalancerOptions): void
  /** Throws also where one that was tried before, or a port mapping, has the address and port. */
  service(options: ServiceOptions): void
  conntrack(options: ConntrackOptions): void
}

/** What is known of a node before it is built. */
export interface TrialNode {
  /** The gateway's addresses, with their prefixes. */
  readonly inside: readonly string[]
  /** Names of the uplinks. */
  readonly uplinks: readonly string[]
  /** The uplinks' addresses. Default: none. */
  readonly outside?: readonly string[]
  /** Its routes. Default: none. */
  readonly routes?: readonly Route[]
}

export function natTrial(node: TrialNode): NatTrial {
  const { outside = [], routes = [] } = node
  const own = new NodeAddresses(node.inside, outside)
  const outbound: OutboundOptions[] = []
  const mapped: PortMappingOptions[] = []
  const addresses = new Addresses6({ max: 4096 })
  const ports = new OutsidePorts()
  const mappings = new PortMappings(addresses)
  let services = new Balancer(addresses)
  const ground = {
    // What is tried is small.
    ...{ addresses, ports, seed: 0, maxFlows: 16 },
    outside: { of4: () => 1, of6: () => 1 },
    inside: networksOf(node.inside),
    uplinks: new Map(node.uplinks.map((name, i) => [name, i + 1])),
  }
  return {
    outbound: (rule) => {
      new OutboundNat(outboundRules(ground, [rule]), 'outbound')
      own.checkGateways(routes, { outbound: [rule] })
      outbound.push(rule)
      for (const link of [node.inside, outside]) own.held(link, { outbound })
    },
    portMapping: ({ hairpin, ...mapping }, rules) => {
      checkMapping('portMapping', { ...(hairpin === undefined ? {} : { hairpin }), ...mapping }, rules)
      mappings.add(mapping)
      own.checkMapping('portMapping', mapping, { outbound })
      mapped.push(mapping)
    },
    balancer: (options) => {
      services = new Balancer(addresses, options)
      own.checkBalancer(options)
    },
    service: (options) => {
      services.services.add(options)
      own.checkService(options, mapped)
    },
    // What is tried is small: only its settings matter.
    conntrack: (options) =>
      void new Conntrack({ ...options, ...(options.maxFlows === undefined ? { maxFlows: 16 } : {}) }),
  }
}
