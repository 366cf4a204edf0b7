import { cniIpMasq, dockerMasq, markedMasquerade, type OutboundRule, type SourceNat } from '@l2l3/nat'
import type { Port, PortVlans, VlanRange } from '@l2l3/switch-core'
import { formatIpv4, parseIpv4 } from '@l2l3/switch-core/wire'
import type { BridgeGateway, BridgePort } from '../bridge.ts'
import type { Ground } from '../ground.ts'
import { HostNode, type HostOptions, type HostSettings } from '../host-node.ts'
import type { NatGateOptions, NatPolicies } from '../nat-gate.ts'
import { type Chain, networksOf } from '../nat-outbound.ts'
import type { RoutedPort } from '../routed-link.ts'
import { type RoutedNode, routedNode } from '../router.ts'
import type { Route } from '../routes.ts'
import { gateOf } from './gate-of.ts'
import { DockerGuard, IccFilter } from './icc.ts'

/** Whose rules masquerade what leaves: those of the CNI plugin for iptables or for nftables, of Docker, or of kubenet; none. */
export type BridgeMasquerade = 'iptables' | 'nftables' | 'docker' | 'kubenet' | 'off'

const MASQUERADES: readonly string[] = ['iptables', 'nftables', 'docker', 'kubenet', 'off'] satisfies BridgeMasquerade[]

/** Where a port stands in the VLANs, in the plugin's words: untagged in one, or tagged in several. */
export interface BridgeVlans {
  /** Access VLAN; 0, the default, for none. */
  readonly vlan?: number
  /** Tagged VLANs. */
  readonly vlanTrunk?: readonly VlanRange[]
}

/** A port of the bridge that is no pod: a NIC, another switch. */
export interface LinuxBridgePort extends BridgeVlans {
  readonly name: string
  /** Name of the link to it, in a trace. Default: its name. */
  readonly label?: string
  readonly port: Port
  /** Longest payload of a frame that leaves here. Default: any. */
  readonly mtu?: number
}

/** A pod, and the port it is on. */
export interface LinuxBridgePod extends LinuxBridgePort {
  readonly mac: string
  /** With the prefix of their network: `10.22.0.11/16`. */
  readonly ips: readonly string[]
}

/** Settings of a bridge node that change while it runs. */
export interface LinuxBridgeSettings extends Pick<NatPolicies, 'portMappings' | 'services'> {
  readonly pods: readonly LinuxBridgePod[]
  /** Ports of the bridge that are no pods. Default: none. */
  readonly bridged?: readonly LinuxBridgePort[]
  /** Ports to other networks, which the node routes to. Default: none. */
  readonly uplinks?: readonly RoutedPort[]
  readonly routes?: readonly Route[]
}

/** Settings of a bridge node, named and with defaults as in the plugin's configuration (modes.md 22.1). */
export interface LinuxBridgeOptions extends LinuxBridgeSettings, BridgeVlans, NatGateOptions, Omit<HostOptions, 'nat'> {
  /** Of the bridge, and of the node's interface on it. Default `cni0`. */
  readonly name?: string
  /** The node's interface on the bridge (`isGateway`). Default: none, and pods reach each other alone. */
  readonly gateway?: Omit<BridgeGateway, 'vlan'>
  /** Default `off`. */
  readonly masquerade?: BridgeMasquerade
  /** With kubenet's rules: networks to which nothing is masqueraded. Default 10.0.0.0/8. */
  readonly nonMasquerade?: readonly string[]
  /** Frames may leave by the port they came from. Default false. */
  readonly hairpinMode?: boolean
  /** Pods do not reach each other on the bridge. Default false. */
  readonly portIsolation?: boolean
  /** What a pod sends with another MAC than its own is dropped. Default false. */
  readonly macspoofchk?: boolean
  /** VLAN 1 stays on a pod's port beside its own VLANs. Default true. */
  readonly preserveDefaultVlan?: boolean
  /** Whether the bridge looks at tags. Default: where the node or a port has a VLAN. */
  readonly vlanFiltering?: boolean
  /** Docker: whether containers may speak with each other. Default true. */
  readonly icc?: boolean
  /** Docker: whether containers' own addresses are closed to all who are not on the bridge. Default false. */
  readonly guarded?: boolean
}

/** What Docker's default network says (modes.md 8). */
export const DOCKER0: Pick<LinuxBridgeOptions, 'name' | 'masquerade' | 'guarded'> = {
  ...{ name: 'docker0', masquerade: 'docker', guarded: true },
}

/** What kubenet says: a bridge of the CNI plugin without `ipMasq`, and a masquerade of its own. */
export const KUBENET: Pick<LinuxBridgeOptions, 'name' | 'masquerade'> = { name: 'cbr0', masquerade: 'kubenet' }

/** The MAC that Docker makes of an address: 02:42 and its octets (modes.md 8); newer engines take random ones. */
export function dockerMac(ip: string): string {
  const octets = formatIpv4(parseIpv4(ip)).split('.').map(Number)
  return ['02', '42', ...octets.map((n) => n.toString(16).padStart(2, '0'))].join(':')
}

/**
 * mode: bridge - pods on a bridge of the host: the CNI plugin `bridge`, docker0, kubenet's cbr0, flannel's cni0.
 *
 *     pod 10.22.0.11     pod 10.22.0.12
 *        |                  |                MAC check, VLANs, isolation, hairpin: settings of the bridge's ports
 *     +--+------------------+--+
 *     |  cni0: switch          |--- bridged port (a NIC, another switch)
 *     +-----------+------------+
 *                 | 10.22.0.1 gateway, of a VLAN where the pods are in one
 *     +-----------+-----------------------------------------------+
 *     | router:  arrived: Docker's raw table, port mappings,      |-- uplink 192.0.2.1
 *     |          services; leaving: icc, masquerade               |
 *     +-----------------------------------------------------------+
 *
 * Frames between pods stay on the bridge; all else is routed and tracked, and what `masquerade` is about leaves from the uplink's
 * address.
 *
 * Throws a TypeError or RangeError with key and value for settings that make no sense.
 */
export function bridge(ground: Ground, options: LinuxBridgeOptions): RoutedNode<LinuxBridgeSettings> {
  const { name = 'cni0', gateway, masquerade = 'off', icc = true, guarded = false, nonMasquerade } = options
  if (!MASQUERADES.includes(masquerade)) {
    throw new TypeError(`masquerade must be one of ${MASQUERADES.join(', ')}, not ${JSON.stringify(masquerade)}`)
  }
  const vlanAware = options.vlanFiltering ?? hasVlans(options)
  const { vlan = 0 } = options
  const containers = new Set<number>()
  const filters = new Map<Port, IccFilter>()
  const out = (port: Port): IccFilter => {
    const there = filters.get(port) ?? new IccFilter(ground.pool, port.id, containers)
    filters.set(port, there)
    return there
  }
  const settings = (next: LinuxBridgeSettings): HostSettings => {
    const { pods, bridged = [], uplinks = [], routes = [], portMappings = [], services = [] } = next
    containers.clear()
    for (const { port } of pods) containers.add(port.id)
    for (const port of filters.keys()) if (!containers.has(port.id)) filters.delete(port)
    const tags = (own: BridgeVlans): Pick<BridgePort, 'vlan'> =>
      vlanAware ? { vlan: portVlans(own, options.preserveDefaultVlan ?? true) } : {}
    const podPort = (pod: LinuxBridgePod): BridgePort => {
      const { mac, ips: _, vlan: _own, vlanTrunk: _trunk, ...port } = pod
      return {
        ...port,
        ...tags(hasVlan(pod) ? pod : options),
        hairpin: options.hairpinMode ?? false,
        isolated: options.portIsolation ?? false,
        ...(options.macspoofchk ? { macs: [mac] } : {}),
        ...(icc ? {} : { out: out(port.port) }),
      }
    }
    const others = bridged.map(({ vlan: id = 0, vlanTrunk = [], ...port }): BridgePort => {
      return { ...port, ...tags({ vlan: id, vlanTrunk }) }
    })
    const own = gateway === undefined ? {} : { gateway: vlanAware ? { ...gateway, vlan: vlan || 1 } : gateway }
    const chain = masqueradeBy(masquerade, name, pods, gateway?.addresses ?? [], nonMasquerade)
    return {
      bridges: [{ name, ports: [...pods.map(podPort), ...others], ...own, table: { vlanAware } }],
      ...{ uplinks, routes, policies: { chain, portMappings, services } },
    }
  }
  const host = new HostNode(ground, settings(options), { ...options, nat: gateOf(options) })
  const link = host.bridges[0]?.gateway ?? null
  if (link !== null && host.nat !== null && (guarded || !icc)) {
    new DockerGuard(host.router, host.nat.nat, link.iface, { icc, guarded })
  }
  return routedNode(host, settings)
}

const hasVlan = ({ vlan = 0, vlanTrunk = [] }: BridgeVlans): boolean => vlan > 0 || vlanTrunk.length > 0

function hasVlans(options: LinuxBridgeOptions): boolean {
  return [options, ...options.pods, ...(options.bridged ?? [])].some(hasVlan)
}

/** A port's VLANs as the plugin sets them (modes.md 8): its own, and VLAN 1 as long as nobody takes it away. */
function portVlans({ vlan = 0, vlanTrunk = [] }: BridgeVlans, preserveDefault: boolean): PortVlans {
  if (vlan > 0) return preserveDefault ? { trunk: [vlan, 1], native: vlan, untagged: [1] } : { access: vlan }
  if (vlanTrunk.length > 0) return preserveDefault ? { trunk: vlanTrunk, native: 1 } : { trunk: vlanTrunk }
  return { access: 1 }
}

/** The chain that masquerades (modes.md 8), behind what portmap and kube-proxy have marked. */
function masqueradeBy(
  whose: BridgeMasquerade,
  bridgeName: string,
  pods: readonly LinuxBridgePod[],
  gateways: readonly string[],
  nonMasquerade: readonly string[] = ['10.0.0.0/8'],
): Chain {
  const ips = pods.flatMap((pod) => pod.ips)
  return ({ links, masquerade }): OutboundRule[] => {
    const nat = masquerade()
    return [...markedMasquerade(nat), ...own(links.get(bridgeName), nat)]
  }
  function own(bridgeNumber: number | undefined, nat: SourceNat): OutboundRule[] {
    switch (whose) {
      case 'off':
        return []
      case 'docker':
        return bridgeNumber === undefined
          ? []
          : networksOf(gateways).flatMap((subnet) => dockerMasq({ subnet, bridge: bridgeNumber, nat }))
      case 'kubenet':
        return [{ notTo: nonMasquerade, family: 4, verdict: nat }]
      default:
        return [...new Set(networksOf(ips))].flatMap((subnet) => {
          const inside = ips.filter((ip) => networksOf([ip]).includes(subnet)).map(alone)
          return cniIpMasq({ pods: inside, subnet, backend: whose, nat })
        })
    }
  }
}

/** An address with the prefix that it has by itself. */
function alone(ip: string): string {
  const [address = ''] = ip.split('/')
  return `${address}/${address.includes(':') ? 128 : 32}`
}
