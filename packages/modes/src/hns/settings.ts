import type { PortMapping } from '@l2l3/nat'
import { formatWords, type Port, parsePrefix } from '@l2l3/switch-core'
import type { RoutedPort } from '../routed-link.ts'
import type { Route } from '../routes.ts'
import type { L2BridgeModeOptions, PodPortMapping } from '../windows/l2bridge.ts'
import type { HnsOverlayModeOptions } from '../windows/overlay.ts'
import type { HnsOverlayNetwork, RemoteEndpoint } from '../windows/overlay-network.ts'
import type { TransparentOptions } from '../windows/transparent.ts'
import type { WinNatOptions } from '../windows/winnat.ts'
import type { CreatedNetwork } from './api.ts'
import { refuse } from './error.ts'
import { hasHostPort } from './host-port.ts'
import { type HnsSubnet, includes } from './network.ts'
import type { HnsPlan, PlannedEndpoint } from './plan.ts'

/*
 * What is planned of documents (`plan.ts`), as each mode takes it. What no document says is the host's: where its adapter is plugged in,
 * with which MAC, addresses and routes.
 *
 *     of the network                         L2Bridge                  Overlay             NAT               Transparent
 *     subnet x.0/n, gateway x.1              x.2 is the host endpoint  the router's        the host's vNIC   another's
 *     VLAN, VSID                             the uplink's tag          the VNI                               ports'
 *     RemoteSubnetRoute, VxlanPort, DrMac                              yes
 *     ManagementIP                           must be the host's, where it is said
 *     DisableHostPort                        no host           refused             refused           no host
 */

/** The host, as no document describes it. */
export interface HnsHost {
  /** Its MAC on the uplink. */
  readonly mac: string
  /** Its addresses there, with prefix; the first IPv4 one is the management and provider address. */
  readonly addresses: readonly string[]
  readonly routes?: readonly Route[]
  /** Its adapter; null where nothing is plugged in. */
  readonly uplink: { readonly port: Port; readonly label?: string; readonly mtu?: number } | null
  /** L2Tunnel: the MAC of the fabric, to which all goes. Default 12:34:56:78:9a:bc, as of Azure's Linux twin (modes.md 3). */
  readonly tunnelMac?: string
  /** NAT: the prefix of the host. Default: that of its one network, or 172.16.0.0/16. */
  readonly natPrefix?: string
  /** SourceVIPs that load balancers may have, besides those that do when the node is made. L2Bridge and L2Tunnel. */
  readonly sourceVips?: readonly string[]
}

/** An endpoint's port; undefined where it is attached to none, and then is not there. */
export type PortOf = (endpoint: PlannedEndpoint) => { readonly port: Port; readonly label?: string } | undefined

/** Where Azure's fabric is. */
const FABRIC_MAC = '12:34:56:78:9a:bc'

/** The options of a node, by what is made of them. */
export type HnsNodeOptions =
  | { readonly mode: 'l2bridge'; readonly options: L2BridgeModeOptions }
  | { readonly mode: 'overlay'; readonly options: HnsOverlayModeOptions }
  | { readonly mode: 'transparent'; readonly options: TransparentOptions }
  | { readonly mode: 'winnat'; readonly options: WinNatOptions }

/** Makes the options of a node of what is planned. Throws an HnsError for a plan without a network, and where the host is another
 * than documents say. */
export function hnsNodeOptions(plan: HnsPlan, host: HnsHost, portOf: PortOf): HnsNodeOptions {
  const [network] = plan.networks
  if (network === undefined) return refuse({ document: 'node', path: '$' }, undefined, 'there is no network')
  checkHnsHost(plan, host.addresses)
  switch (plan.type) {
    case 'Overlay':
      return { mode: 'overlay', options: overlayOptions(plan, host, portOf) }
    case 'Transparent':
      return { mode: 'transparent', options: transparentOptions(plan, host, portOf) }
    case 'NAT':
      return { mode: 'winnat', options: winnatOptions(plan, host, portOf) }
    default:
      return { mode: 'l2bridge', options: l2bridgeOptions(network, plan, host, portOf) }
  }
}

/** The name of an endpoint's port. */
export function nameOf({ endpoint }: PlannedEndpoint): string {
  return endpoint.name ?? endpoint.id
}

/** The name of a network in a node. */
function networkName({ name, id }: CreatedNetwork): string {
  return name ?? id
}

/** The host's address, by which other nodes know it. */
function hostIp({ addresses }: HnsHost): string {
  return (addresses.find((a) => !a.includes(':')) ?? '').split('/')[0] as string
}

/** Throws an HnsError where documents say another management or provider address than the host has.
 * @param addresses the host's, with prefix or without; none: they are not known, and nothing is refused */
export function checkHnsHost(plan: HnsPlan, addresses: readonly string[]): void {
  if (addresses.length === 0) return
  const all = addresses.map((a) => a.split('/')[0] as string)
  const own = all.find((a) => !a.includes(':')) ?? ''
  for (const network of plan.networks) {
    const at = { document: `network ${networkName(network)}`, path: '$' }
    const { managementIp } = network
    if (managementIp !== null && !all.includes(managementIp)) {
      refuse(at, managementIp, `the management address ${managementIp} is not the host's, ${all.join(', ')}`)
    }
  }
  for (const { endpoint, providerAddress, network } of plan.endpoints) {
    if (endpoint.remote || providerAddress === null || network.type !== 'Overlay' || providerAddress === own) continue
    const at = { document: `endpoint ${endpoint.name ?? endpoint.id}`, path: '$' }
    refuse(at, providerAddress, `the provider address ${providerAddress} is not the host's, ${own}`)
  }
}

/** Endpoints that are plugged in, each with its port. */
function pluggedOf(plan: HnsPlan, portOf: PortOf) {
  return plan.endpoints.flatMap((planned) => {
    const plug = planned.endpoint.remote ? undefined : portOf(planned)
    return plug === undefined ? [] : [{ planned, base: { ...plug, name: nameOf(planned) } }]
  })
}

function refuseIsolated({ endpoint, network }: PlannedEndpoint): void {
  if (!endpoint.isolated) return
  const at = { document: `endpoint ${endpoint.name ?? endpoint.id}`, path: '$' }
  refuse(
    at,
    endpoint.flags,
    `DisableInterComputeCommunication is not supported on a network of type ${network.type}: an ACL can block`,
  )
}

function l2bridgeOptions(network: CreatedNetwork, plan: HnsPlan, host: HnsHost, portOf: PortOf): L2BridgeModeOptions {
  const hosted = hasHostPort(network)
  const inOwn = ({ prefix }: HnsSubnet): boolean =>
    host.addresses.some((a) => includes(prefix, a.split('/')[0] as string))
  const endpoint = hnsHostEndpoint(
    network.subnets.filter((s) => !inOwn(s)),
    plan,
  )
  const vlan = network.subnets.find((s) => s.vlan !== null)?.vlan ?? null
  const own = hosted ? host.addresses.map((a) => a.split('/')[0] as string) : []
  const sourceVips = [...new Set([...(host.sourceVips ?? []), ...plan.sourceVips])]
  const ours = new Set(endpoint?.addresses.map((a) => a.split('/')[0]))
  return {
    hostMac: host.mac,
    ...(network.type === 'L2Tunnel' ? { tunnelMac: host.tunnelMac ?? FABRIC_MAC } : {}),
    uplink: host.uplink,
    ...(vlan === null ? {} : { vlan }),
    vfp: { hostIps: own, ...(sourceVips.length === 0 ? {} : { sourceVips }) },
    ...(hosted ? { stack: { addresses: host.addresses, ...(endpoint === null ? {} : { endpoint }) } } : {}),
    routes: hosted ? (host.routes ?? []) : [],
    services: plan.services.map((s) => s.service),
    pods: pluggedOf(plan, portOf).flatMap(({ planned, base }) => {
      refuseIsolated(planned)
      const { ips, mtu, acl, outboundNat, sdnRoutes, portMappings, blockBroadcast } = planned
      if (ips.some((ip) => ours.has(ip))) return []
      return [
        {
          ...{ ...base, mac: planned.endpoint.mac, ips, acl, outboundNat, sdnRoutes },
          portMappings: portMappings.map(podMapping),
          ...(mtu === null ? {} : { mtu }),
          ...(blockBroadcast === null ? {} : { guards: { blockBroadcast } }),
        },
      ]
    }),
  }
}

/** The host endpoint: x.2 of subnets (modes.md 2.1), with the MAC of the document that is about it; null without subnets. */
export function hnsHostEndpoint(
  subnets: readonly HnsSubnet[],
  plan: HnsPlan,
): { readonly mac: string; readonly addresses: readonly string[] } | null {
  const addresses = subnets.flatMap(({ prefix }) => {
    const { words, length } = parsePrefix(prefix)
    const last = words.length - 1
    return `${formatWords(words.map((word, i) => (i === last ? word + 2 : word)))}/${length}`
  })
  const [first] = addresses
  if (first === undefined) return null
  const known = plan.endpoints.find(({ ips }) => ips.includes(first.split('/')[0] as string))
  return { mac: known?.endpoint.mac ?? macOf(first), addresses }
}

/** A MAC of Hyper-V's range, made of an IPv4 address. */
function macOf(address: string): string {
  const [, b = 0, c = 0, d = 0] = (address.split('/')[0] as string).split('.').map(Number)
  return ['00:15:5d', ...[b, c, d].map((n) => (n & 255).toString(16).padStart(2, '0'))].join(':')
}

function podMapping({ protocol, port, toPort, address }: PortMapping): PodPortMapping {
  return {
    ...{ protocol, port },
    ...(toPort === undefined ? {} : { toPort }),
    ...(address === undefined ? {} : { address }),
  }
}

function overlayOptions(plan: HnsPlan, host: HnsHost, portOf: PortOf): HnsOverlayModeOptions {
  const policies = plan.networks.flatMap((n) => n.policies)
  const drMac = policies.flatMap((p) => (p.kind === 'dr-mac' ? [p.mac] : []))[0] ?? macOf(hostIp(host))
  const port = policies.flatMap((p) => (p.kind === 'vxlan-port' ? [p.port] : []))[0]
  const plugged = pluggedOf(plan, portOf)
  return {
    drMac,
    ...(port === undefined ? {} : { vxlanPort: port }),
    uplink: host.uplink === null ? null : uplinkOf(host, host.uplink),
    routes: host.routes ?? [],
    networks: plan.networks.map((network): HnsOverlayNetwork => {
      const name = networkName(network)
      const [subnet] = network.subnets
      if (subnet === undefined || network.subnets.length > 1) {
        const at = { document: `network ${name}`, path: '$' }
        return refuse(at, network.subnets.length, `${network.subnets.length} subnets: an overlay has one on each node`)
      }
      const services = plan.services.filter((s) => s.network === name)
      const [sourceVip] = plan.sourceVips.filter((vip) => includes(subnet.prefix, vip))
      return {
        ...{ name, vni: subnet.vsid as number, subnet: subnet.prefix },
        ...(subnet.gateway === null ? {} : { gateway: subnet.gateway }),
        ...(sourceVip === undefined ? {} : { sourceVip }),
        remoteSubnets: network.policies.flatMap((p) =>
          p.kind === 'remote-subnet'
            ? [{ to: p.prefix, providerAddress: p.providerAddress, drMac: p.drMac, vni: p.vsid }]
            : [],
        ),
        remoteEndpoints: remoteEndpoints(plan, network, subnet, hostIp(host)),
        services: services.map((s) => s.service),
        portMappings: plugged.flatMap(({ planned }) => (planned.network === network ? planned.portMappings : [])),
      }
    }),
    pods: plugged.flatMap(({ planned, base }) => {
      refuseIsolated(planned)
      const { network, ips, endpoint, acl, outboundNat } = planned
      return ips.map((ip) => ({ ...base, ip, mac: endpoint.mac, network: networkName(network), acl, outboundNat }))
    }),
  }
}

/** Endpoints on other nodes that are of this subnet: others are behind RemoteSubnetRoutes, and services' behind this node itself. */
function remoteEndpoints(plan: HnsPlan, network: CreatedNetwork, subnet: HnsSubnet, own: string): RemoteEndpoint[] {
  return plan.endpoints.flatMap(({ endpoint, ips, providerAddress, network: of }) => {
    if (of !== network || !endpoint.remote || providerAddress === null || providerAddress === own) return []
    return ips.filter((ip) => includes(subnet.prefix, ip)).map((ip) => ({ ip, mac: endpoint.mac, providerAddress }))
  })
}

function uplinkOf(host: HnsHost, { port, label, mtu }: NonNullable<HnsHost['uplink']>): RoutedPort {
  return {
    ...{ name: 'uplink', port, mac: host.mac, addresses: host.addresses },
    ...(label === undefined ? {} : { label }),
    ...(mtu === undefined ? {} : { mtu }),
  }
}

function transparentOptions(plan: HnsPlan, host: HnsHost, portOf: PortOf): TransparentOptions {
  const [network] = plan.networks
  const vlan = network?.subnets.find((s) => s.vlan !== null)?.vlan ?? null
  return {
    uplink: host.uplink,
    routes: host.routes ?? [],
    interfaces:
      host.addresses.length === 0 || (network !== undefined && !hasHostPort(network))
        ? []
        : [{ name: 'management', mac: host.mac, addresses: host.addresses, ...(vlan === null ? {} : { vlan }) }],
    pods: pluggedOf(plan, portOf).map(({ planned, base }) => {
      const { endpoint, mtu, acl, vlan: own } = planned
      return {
        ...{ ...base, mac: endpoint.mac, acl, isolated: endpoint.isolated },
        ...(own === null ? {} : { vlan: own }),
        ...(mtu === null ? {} : { mtu }),
      }
    }),
  }
}

function winnatOptions(plan: HnsPlan, host: HnsHost, portOf: PortOf): WinNatOptions {
  const plugged = pluggedOf(plan, portOf)
  const subnets = plan.networks.flatMap((network) => network.subnets.map((subnet) => ({ network, subnet })))
  const prefix = host.natPrefix ?? (subnets.length === 1 ? subnets[0]?.subnet.prefix : undefined)
  return {
    ...(prefix === undefined ? {} : { prefix }),
    networks: subnets.map(({ network, subnet }) => {
      const at = { document: `network ${networkName(network)}`, path: '$' }
      const { gateway } = subnet
      if (gateway === null) return refuse(at, subnet.prefix, `subnet ${subnet.prefix} of a NAT needs a gateway`)
      const address = `${gateway}/${parsePrefix(subnet.prefix).length}`
      return {
        ...{ name: subnet === network.subnets[0] ? networkName(network) : `${networkName(network)} ${subnet.prefix}` },
        ...{ gateway: address, mac: network.sourceMac ?? macOf(address) },
        ports: plugged.flatMap(({ planned: { network: of, ips, endpoint, mtu, acl }, base }) => {
          if (of !== network || !ips.some((ip) => includes(subnet.prefix, ip))) return []
          return [{ ...base, acl, isolated: endpoint.isolated, ...(mtu === null ? {} : { mtu }) }]
        }),
      }
    }),
    uplinks: host.uplink === null ? [] : [uplinkOf(host, host.uplink)],
    routes: host.routes ?? [],
    portMappings: plugged.flatMap(({ planned }) => planned.portMappings.map((m) => ({ ...podMapping(m), to: m.to }))),
    // A VIP is an address of its own.
    portMappingRules: 'linux',
  }
}
