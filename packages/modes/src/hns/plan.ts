import { type AclOptions, hnsPortMappings, type PortMapping } from '@l2l3/nat'
import type { WindowsService } from '../windows/services.ts'
import type { OutboundNatPolicy } from '../windows/vfp-nat.ts'
import type { CreatedEndpoint, CreatedLoadBalancer, CreatedNetwork } from './api.ts'
import { aclOf } from './endpoint-acl.ts'
import type { HnsEndpointPolicy } from './endpoint-policies.ts'
import { type At, refuse } from './error.ts'
import { checkServiceWithoutHost, checkWithoutHost, hasHostPort } from './host-port.ts'
import { type HnsNetworkType, includes } from './network.ts'
import { checkedAt } from './shape.ts'

/*
 * What documents of HNS say, put together as nodes are configured: endpoints with what their policies make of them, load balancers as
 * services. It is the same whether documents came by calls, from a file, or were made of a conf of the CNI; `settings.ts` makes of it what
 * each mode takes.
 *
 *     policy of an endpoint      L2Bridge, L2Tunnel   Overlay           NAT            Transparent
 *     OutBoundNAT                yes                  yes               its own NAT    refused
 *     NAT, PortMapping           yes                  yes               yes            refused
 *     ACL, TierAcl               yes                  yes               host's rules   host's rules
 *     ROUTE with NeedEncap       yes                  passed over: its router sees all    refused
 *     ROUTE without              refused: routes of an endpoint are in its document's Routes
 *     PA, ProviderAddress        passed over          must be the host's  refused      refused
 *     VLAN                       the network's        refused           refused        yes
 *     VSID                       refused              the network's     refused        refused
 *     QOS                        refused: nobody here holds frames back
 *     EncapOverhead, MTU         the endpoint's MTU
 *     PortName                   passed over
 *
 *     a part of the network's subnet, without EnableBroadcast: broadcasts end at the port, where there is VFP (modes.md 2.2)
 *
 *     load balancer              becomes
 *     FrontendVIPs               ClusterIPs; with PreserveDIP addresses of a load balancer; with VipExternalIP external ones
 *     no FrontendVIPs            a node port, with DSR of policy Local (modes.md 17.1)
 *     DistributionType           5-tuple, source and destination, source and protocol
 *     endpoints                  backends; local where they are not remote
 *     of NAT and Transparent     refused: there are none on these types
 */

/** What was created, in a node. */
export interface HnsState {
  readonly networks: readonly CreatedNetwork[]
  readonly endpoints: readonly CreatedEndpoint[]
  readonly loadBalancers: readonly CreatedLoadBalancer[]
}

/** An endpoint, and what its policies make of it. */
export interface PlannedEndpoint {
  readonly endpoint: CreatedEndpoint
  readonly network: CreatedNetwork
  /** Without prefix. */
  readonly ips: readonly string[]
  readonly outboundNat: readonly OutboundNatPolicy[]
  readonly portMappings: readonly PortMapping[]
  /** Prefixes of ROUTEs with NeedEncap. */
  readonly sdnRoutes: readonly string[]
  readonly acl: AclOptions
  /** Null: none. */
  readonly vlan: number | null
  readonly vsid: number | null
  /** Null: as the network's. */
  readonly mtu: number | null
  /** Whether its broadcasts end at its port; null: no document says so. */
  readonly blockBroadcast: boolean | null
  readonly providerAddress: string | null
}

/** All that is on a node. */
export interface HnsPlan {
  readonly type: HnsNetworkType | null
  readonly networks: readonly CreatedNetwork[]
  readonly endpoints: readonly PlannedEndpoint[]
  /** Services, and the network of their backends; null where they have none. */
  readonly services: readonly { readonly service: WindowsService; readonly network: string | null }[]
  /** What sources become without DSR. */
  readonly sourceVips: readonly string[]
}

const MTU = 1500
const PROTOCOLS: Readonly<Record<number, 'tcp' | 'udp' | 'sctp'>> = { 6: 'tcp', 17: 'udp', 132: 'sctp' }
const DISTRIBUTIONS = {
  none: '5-tuple',
  'source-ip-protocol': 'source-ip-protocol',
  'source-ip': 'source-ip',
} as const

/** Puts together what is on a node. Throws an HnsError with document, path and value for what cannot be there. */
export function hnsPlan({ networks, endpoints, loadBalancers }: HnsState): HnsPlan {
  const [first] = networks
  for (const network of networks) {
    const at = placeOf('network', network)
    if (network.type !== first?.type) {
      refuse(at, network.type, `is of type ${network.type}, and the node has networks of type ${first?.type}`)
    }
    if (first !== network && network.type !== 'Overlay' && network.type !== 'NAT') {
      refuse(at, network.type, `a second network of type ${network.type} needs an adapter of its own (modes.md 2.1)`)
    }
  }
  return {
    type: first?.type ?? null,
    networks,
    endpoints: endpoints.map((endpoint) => {
      const network = networks.find((n) => n.id === endpoint.network) as CreatedNetwork
      return plannedEndpoint(network, endpoint)
    }),
    services: loadBalancers.flatMap((balancer) => servicesOf(balancer, networks, endpoints)),
    sourceVips: [...new Set(loadBalancers.flatMap((b) => b.sourceVip ?? []))],
  }
}

function plannedEndpoint(network: CreatedNetwork, endpoint: CreatedEndpoint): PlannedEndpoint {
  const at = placeOf('endpoint', endpoint)
  const ips = endpoint.addresses.map((a) => a.address)
  const { policies } = endpoint
  for (const p of policies) checkPolicy({ ...at, path: p.path }, network, p)
  const of = <K extends HnsEndpointPolicy['kind']>(kind: K) =>
    policies.filter((p): p is Extract<HnsEndpointPolicy, { kind: K }> => p.kind === kind)
  const overhead = of('encap-overhead')[0]?.bytes
  return {
    ...{ endpoint, network, ips },
    outboundNat: of('outbound-nat').map((p) => p.policy),
    portMappings: of('port-mapping').flatMap((p) =>
      checkedAt({ ...at, path: p.path }, p.policy, () => hnsPortMappings(ips, [p.policy])),
    ),
    sdnRoutes: of('route').map((p) => p.prefix),
    acl: checkedAt(at, policies, () => aclOf(network, policies)),
    vlan: of('vlan')[0]?.id ?? network.subnets.find((s) => s.vlan !== null)?.vlan ?? null,
    vsid: of('vsid')[0]?.id ?? null,
    mtu: of('mtu')[0]?.bytes ?? (overhead === undefined ? null : MTU - overhead),
    blockBroadcast: blocksBroadcast(network, ips),
    providerAddress: of('provider-address')[0]?.address ?? null,
  }
}

/** By the parts of subnets that an endpoint's addresses are in. */
function blocksBroadcast({ type, subnets }: CreatedNetwork, ips: readonly string[]): boolean | null {
  if (type === 'NAT' || type === 'Transparent') return null
  const parts = subnets.flatMap((s) => s.parts).filter((part) => ips.some((ip) => includes(part.prefix, ip)))
  return parts.length === 0 ? null : !parts.some((part) => part.broadcast)
}

/** Types of network, and kinds of policy that they have not, with the reason. */
const NOT_THERE: Readonly<Record<HnsNetworkType, Partial<Record<HnsEndpointPolicy['kind'], string>>>> = {
  L2Bridge: { vsid: 'a VSID is an overlay’s' },
  L2Tunnel: { vsid: 'a VSID is an overlay’s' },
  Overlay: { vlan: 'its frames are in tunnels, without VLANs' },
  NAT: {
    route: 'VFP, which would follow it, is not there',
    'provider-address': 'a provider address is an overlay’s',
    vlan: 'its switch is internal',
    vsid: 'a VSID is an overlay’s',
  },
  Transparent: {
    'outbound-nat': 'VFP, which would translate, is not there',
    'port-mapping': 'VFP, which would translate, is not there',
    route: 'VFP, which would follow it, is not there',
    'provider-address': 'a provider address is an overlay’s',
    vsid: 'a VSID is an overlay’s',
  },
}

function checkPolicy(at: At, network: CreatedNetwork, p: HnsEndpointPolicy): void {
  const { type, subnets } = network
  const why = type === null ? undefined : NOT_THERE[type][p.kind]
  if (why !== undefined) refuse(at, p.kind, `a policy ${p.kind} on a network of type ${type}: ${why}`)
  if (!hasHostPort(network)) checkWithoutHost(at, p)
  if (p.kind === 'qos') refuse(at, p.bytesPerSecond, 'QOS is not supported: nobody here holds frames back')
  if (p.kind === 'route' && !p.needEncap) {
    refuse(at, p.prefix, 'a ROUTE without NeedEncap is not supported: routes of an endpoint are its Routes')
  }
  if (p.kind === 'outbound-nat' && type === 'NAT') {
    const s = 'Settings' in p.policy ? p.policy.Settings : p.policy
    const more = Object.entries(s).filter(
      ([key, v]) => key !== 'Type' && v !== '' && v !== 0 && (v as unknown[])?.length !== 0,
    )
    if (more.length > 0)
      refuse(at, more[0]?.[1], `OutBoundNAT with ${more[0]?.[0]} on a network of type NAT: WinNAT has one rule for all`)
  }
  const vsid = subnets.find((s) => s.vsid !== null)?.vsid
  if (p.kind === 'vsid' && p.id !== vsid) refuse(at, p.id, `VSID ${p.id} is not the network's, ${vsid}`)
  const vlan = subnets.find((s) => s.vlan !== null)?.vlan ?? null
  if (p.kind === 'vlan' && type !== 'Transparent' && p.id !== vlan) {
    refuse(at, p.id, `VLAN ${p.id} is not the network's, ${vlan ?? 'which has none'}: a port in another cannot be here`)
  }
}

function servicesOf(
  balancer: CreatedLoadBalancer,
  networks: readonly CreatedNetwork[],
  endpoints: readonly CreatedEndpoint[],
): HnsPlan['services'] {
  const at = placeOf('load balancer', balancer)
  const backends = balancer.endpoints.map((id) => endpoints.find((e) => e.id === id) as CreatedEndpoint)
  const own = new Set(backends.map((e) => e.network))
  if (own.size > 1) refuse(at, [...own], 'has endpoints of several networks')
  const network = networks.find((n) => own.has(n.id) || n.id === balancer.network) ?? null
  const { type = null } = network ?? networks[0] ?? {}
  if (type === 'NAT' || type === 'Transparent') {
    refuse(at, type, `load balancers are not on networks of type ${type} (modes.md 16)`)
  }
  return balancer.ports.map((p) => {
    const protocol = PROTOCOLS[p.protocol]
    if (protocol === undefined) return refuse(at, p.protocol, `protocol ${p.protocol}: TCP, UDP and SCTP are balanced`)
    const vips = balancer.vips
    const direct = balancer.dsr || p.preserveDip
    const frontends = p.preserveDip
      ? { loadBalancerIps: vips, preserveDestination: true }
      : p.vipExternalIp
        ? { externalIps: vips }
        : { clusterIps: vips }
    const outside = vips.length === 0 || p.vipExternalIp
    const service: WindowsService = {
      name: `${balancer.id} ${protocol}/${p.externalPort}`,
      ...{ protocol, port: p.externalPort, distribution: DISTRIBUTIONS[p.distribution] },
      ...(vips.length === 0 ? { nodePort: p.externalPort } : frontends),
      ...(outside && direct ? { externalTrafficPolicy: 'Local' as const } : {}),
      lbMode: direct ? 'dsr' : 'nondsr',
      backends: backends.flatMap((e) =>
        e.addresses
          .filter((a) => a.address.includes(':') === balancer.ipv6)
          .map((a) => ({ address: a.address, port: p.internalPort, local: !e.remote })),
      ),
    }
    const hosts = network ?? networks[0]
    if (hosts !== undefined && !hasHostPort(hosts)) checkServiceWithoutHost(at, service)
    return { service, network: network?.name ?? network?.id ?? null }
  })
}

function placeOf(what: string, of: { readonly id: string; readonly name?: string | null }): At {
  return { document: `${what} ${of.name ?? of.id}`, path: '$' }
}
