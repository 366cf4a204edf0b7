import type { Ground } from '../ground.ts'
import { HostNode, type HostOptions, type HostSettings } from '../host-node.ts'
import { type L3Pod, l3Pods } from '../l3.ts'
import type { NatGateOptions, NatPolicies } from '../nat-gate.ts'
import type { RoutedPort } from '../routed-link.ts'
import { type RoutedNode, routedNode } from '../router.ts'
import type { Route } from '../routes.ts'
import { gateOf } from './gate-of.ts'

/** The MAC of the node's end of every pod's link. */
export const AZURE_HOST_MAC = 'aa:aa:aa:aa:aa:aa'
/** The IPv6 gateway of every pod. */
export const AZURE_GATEWAY6 = 'fe80::1234:5678:9abc'

/** Settings of a node that change while it runs. */
export interface AzureSettings extends Pick<NatPolicies, 'outbound' | 'portMappings' | 'services'> {
  readonly pods: readonly L3Pod[]
  readonly uplinks: readonly RoutedPort[]
  readonly routes?: readonly Route[]
}

/** Settings of a node. */
export interface AzureOptions extends AzureSettings, NatGateOptions, Omit<HostOptions, 'nat'> {}

/**
 * mode: azure, transparent - pods have addresses of the virtual network, on links of their own.
 *
 *     pod 10.240.0.11, default via 169.254.1.1, which is at aa:aa:aa:aa:aa:aa for good
 *      | aa:aa:aa:aa:aa:aa      proxy ARP, for who asks all the same
 *     ++------------------------------------------------------+
 *     | router: 10.240.0.11/32 -> this link, default -> fabric |-- eth0 10.240.0.4
 *     +-------------------------------------------------------+
 *
 * The fabric translates what leaves the virtual network, or `outbound` does, which is nothing by default. The variants `bridge`
 * and `tunnel` are `l2bridge` with `AZURE_LINUX`.
 */
export function azure(ground: Ground, options: AzureOptions): RoutedNode<AzureSettings> {
  const settings = (next: AzureSettings): HostSettings => {
    const { uplinks, routes = [], outbound = [], portMappings = [], services = [] } = next
    // An address of the virtual network is anybody's that the fabric lets through.
    const pods = l3Pods(next, { gatewayMac: AZURE_HOST_MAC, rpFilter: 'off' })
    return { uplinks, pods, routes, policies: { inside: [], outbound, portMappings, services } }
  }
  const nat = gateOf(options)
  return routedNode(new HostNode(ground, settings(options), { ...options, nat }), settings)
}
