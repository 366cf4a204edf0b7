import {
  Addresses6,
  Balancer,
  type BalancerOptions,
  Conntrack,
  type ConntrackOptions,
  OutsidePorts,
  PortMappings,
  type ServiceOptions,
} from '@l2l3/nat'
import { checkMapping, type PortMappingOptions, type PortMappingRules } from './nat-mappings.ts'
import { networksOf, type OutboundOptions, outboundNat } from './nat-outbound.ts'

/** Tries the settings of a NAT node one by one, before there is a node: each call throws a TypeError or RangeError with
 * key and value where `nat` would. */
export interface NatTrial {
  outbound(rule: OutboundOptions): void
  /** Throws also where one that was tried before has the port. */
  portMapping(mapping: PortMappingOptions, rules?: PortMappingRules): void
  /** Comes before services. */
  balancer(options: BalancerOptions): void
  /** Throws also where one that was tried before has the address and port. */
  service(options: ServiceOptions): void
  conntrack(options: ConntrackOptions): void
}

/** @param node the gateway's addresses with their prefixes, and the names of the uplinks */
export function natTrial(node: { readonly inside: readonly string[]; readonly uplinks: readonly string[] }): NatTrial {
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
    outbound: (rule) => void outboundNat(ground, [rule]),
    portMapping: ({ hairpin, ...mapping }, rules) => {
      checkMapping('portMapping', { ...(hairpin === undefined ? {} : { hairpin }), ...mapping }, rules)
      mappings.add(mapping)
    },
    balancer: (options) => {
      services = new Balancer(addresses, options)
    },
    service: (options) => services.services.add(options),
    // What is tried is small: only its settings matter.
    conntrack: (options) =>
      void new Conntrack({ ...options, ...(options.maxFlows === undefined ? { maxFlows: 16 } : {}) }),
  }
}
