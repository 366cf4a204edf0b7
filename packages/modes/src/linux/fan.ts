import { formatIpv4, parseIpv4 } from '@l2l3/switch-core/wire'
import { FanMapping, type FanOptions as FanPrefixes, type ProfileOptions } from '@l2l3/vxlan'
import type { Ground } from '../ground.ts'
import { HostNode, type HostOptions, type HostSettings } from '../host-node.ts'
import type { NatGateOptions, NatPolicies } from '../nat-gate.ts'
import type { InterfaceSpec, RoutedPort } from '../routed-link.ts'
import { type RoutedNode, routedNode } from '../router.ts'
import type { Route } from '../routes.ts'
import { type BridgedPod, podPort } from './bridged-pods.ts'
import { gateOf } from './gate-of.ts'

/** Settings of a node that change while it runs. */
export interface FanSettings extends Pick<NatPolicies, 'portMappings' | 'services'> {
  readonly pods: readonly BridgedPod[]
  readonly uplinks: readonly RoutedPort[]
  readonly routes?: readonly Route[]
}

/** Settings of a node. */
export interface FanModeOptions extends FanSettings, FanPrefixes, NatGateOptions, Omit<HostOptions, 'nat'> {
  /** The node's address on the underlay, of which its subnet is computed. */
  readonly local: string
  /** The bridge's interface: its MAC, and its MTU. */
  readonly bridge: Pick<InterfaceSpec, 'mac' | 'mtu'>
  /** Whether what leaves the overlay is masqueraded. Default true. */
  readonly masquerade?: boolean
  /** The outer header. Default: TTL 64, DF as inside. */
  readonly outer?: Pick<ProfileOptions, 'ttl' | 'df' | 'tos'>
}

/** The gateway of a node's pods, `250.3.4.1/24` of 172.16.3.4: the first address of its subnet. Throws a RangeError where the node
 * is not in the underlay. */
export function fanGateway(fan: FanPrefixes, local: string): string {
  const mapping = new FanMapping(fan)
  const subnet = mapping.subnetOf(parseIpv4(local))
  if (subnet === -1) throw new RangeError(`local ${local} is not in the underlay ${fan.underlay}`)
  return `${formatIpv4(subnet + 1)}/${32 - mapping.hostBits}`
}

/**
 * mode: fan - Ubuntu's FAN: an overlay in which a pod's address says on which node it is, so that nobody has to be told.
 *
 *     pod 250.3.4.2    pod 250.3.4.15           overlay 250.0.0.0/8, underlay 172.16.0.0/16
 *      |                |                       250.(3.4).2 is on 172.16.(3.4)
 *     ++----------------++
 *     | fan-250 250.3.4.1 |
 *     +---------+--------+
 *     +---------+--------------------------------------------------+
 *     | 250.0.0.0/8 -> IP in IP, to the node that is computed      |-- 172.16.3.4
 *     | NAT: from the subnet, not to the overlay -> masquerade     |
 *     +------------------------------------------------------------+
 *
 * Throws a TypeError or RangeError with key and value for settings that make no sense.
 */
export function fan(ground: Ground, options: FanModeOptions): RoutedNode<FanSettings> {
  const { overlay, underlay, local, masquerade = true, outer } = options
  const prefixes = { overlay, underlay }
  const gateway = { ...options.bridge, addresses: [fanGateway(prefixes, local)] }
  const name = `fan-${overlay.split('.')[0]}`
  const settings = ({ pods, uplinks, routes = [], portMappings = [], services = [] }: FanSettings): HostSettings => ({
    bridges: [{ name, ports: pods.map(podPort), gateway }],
    uplinks,
    tunnels: [
      {
        ...{ name: 'tunl0', type: 'ipip', local, remote: { fan: prefixes }, addresses: [] },
        ...{ peers: [underlay], ttl: 64, df: 'inherit', ...outer },
      },
    ],
    routes: [{ to: overlay, port: 'tunl0' }, ...routes],
    policies: { outbound: masquerade ? [{ exceptions: [overlay] }] : [], portMappings, services },
  })
  return routedNode(
    new HostNode(ground, settings(options), { reserved4: true, ...options, nat: gateOf(options) }),
    settings,
  )
}
