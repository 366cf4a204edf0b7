import { BASE_KEYS, type HnsSchema, idOf, type Version, version } from './common.ts'
import { protocol } from './endpoint-policies.ts'
import { type At, refuse, shown, under } from './error.ts'
import { schemaOf } from './network.ts'
import {
  anything,
  bool,
  documentOf,
  type Field,
  flags,
  guid,
  host,
  listOf,
  objectOf,
  peek,
  port,
  prefix,
  shape,
  text,
  whole,
  word,
} from './shape.ts'

/*
 * Load balancers of HNS (modes.md 16 and 17).
 *
 *     first     a policy list: { "References": ["/endpoints/<id>"], "Policies": [{ "Type": "ELB", "VIPs": [...], ... }] }
 *               which may be of ROUTE policies instead: a route of several endpoints
 *     second    { "HostComputeEndpoints": [id], "FrontendVIPs": [...], "PortMappings": [...], "Flags": 1 }
 *
 * No frontend address means the host's own: a node port. More than 64 endpoints Windows does not balance among.
 */

/** Most endpoints of a load balancer (modes.md 17.1). */
export const MOST_BACKENDS = 64

/** How backends are chosen: by the 5-tuple, by source address and protocol, by source address. */
export type HnsDistribution = 'none' | 'source-ip-protocol' | 'source-ip'

/** One port of a load balancer. */
export interface HnsLoadBalancerPort {
  readonly protocol: number
  readonly internalPort: number
  readonly externalPort: number
  readonly distribution: HnsDistribution
  readonly internal: boolean
  readonly localRoutedVip: boolean
  readonly useMux: boolean
  /** The destination stays the virtual address. */
  readonly preserveDip: boolean
  readonly vipExternalIp: boolean
}

/** A load balancer. */
export interface HnsLoadBalancer {
  readonly schema: HnsSchema
  readonly id: string | null
  readonly network: string | null
  /** IDs of endpoints. */
  readonly endpoints: readonly string[]
  readonly sourceVip: string | null
  /** Frontend addresses; none: the host's. */
  readonly vips: readonly string[]
  readonly ports: readonly HnsLoadBalancerPort[]
  /** Answers go straight from the backend to the client. */
  readonly dsr: boolean
  readonly ipv6: boolean
}

/** A route of several endpoints: a policy list of the first schema. */
export interface HnsRouteList {
  readonly id: string | null
  readonly endpoints: readonly string[]
  readonly routes: readonly { prefix: string; nextHop: string | null; needEncap: boolean }[]
}

/** Flags of load balancers, and of their ports. */
export const LoadBalancerFlag = { None: 0, EnableDirectServerReturn: 1, IPv6: 2 } as const
export const LoadBalancerPortFlag = {
  None: 0,
  EnableInternalLoadBalancer: 1,
  LocalRoutedVip: 2,
  UseMux: 4,
  EnablePreserveDip: 8,
  VipExternalIP: 16,
} as const

const DISTRIBUTIONS: Readonly<Record<string, HnsDistribution>> = {
  None: 'none',
  SourceIPProtocol: 'source-ip-protocol',
  SourceIP: 'source-ip',
}
type DistributionName = 'None' | 'SourceIPProtocol' | 'SourceIP'

interface PortDocument {
  Protocol: number
  InternalPort: number
  ExternalPort: number
  DistributionType?: DistributionName
  Flags?: number
}
const portMapping = shape<PortDocument>(
  {
    Protocol: protocol,
    InternalPort: port,
    ExternalPort: port,
    DistributionType: word<DistributionName>(['None', 'SourceIPProtocol', 'SourceIP'], {
      0: 'None',
      1: 'SourceIPProtocol',
      2: 'SourceIP',
    }),
    // Documentation calls the third NotUsed, hcsshim UseMux.
    Flags: flags({ ...LoadBalancerPortFlag, NotUsed: 4 }),
  },
  ['Protocol', 'InternalPort', 'ExternalPort'],
)

interface Balancer2 {
  ID?: string
  Name?: string
  HostComputeNetwork?: string
  HostComputeEndpoints?: string[]
  SourceVIP?: string
  FrontendVIPs?: string[]
  PortMappings: PortDocument[]
  Flags?: number
  SchemaVersion?: Version
}
const balancer2 = shape<Balancer2>(
  {
    ID: guid,
    Name: text,
    HostComputeNetwork: guid,
    HostComputeEndpoints: listOf(guid),
    SourceVIP: host,
    FrontendVIPs: listOf(host),
    PortMappings: listOf(portMapping),
    Flags: flags(LoadBalancerFlag),
    SchemaVersion: version,
  },
  ['PortMappings'],
  { passed: BASE_KEYS },
)

/** `/endpoints/<id>`, or the id. */
const reference: Field<string> = (at, value) => guid(at, text(at, value).replace(/^\/?endpoints\//i, ''))

interface PolicyList {
  ID?: string
  References?: string[]
  Policies: unknown[]
}
const policyList = shape<PolicyList>(
  { ID: guid, References: listOf(reference), Policies: listOf(anything) },
  ['Policies'],
  // What `Get-HnsPolicyList` says besides.
  { passed: [...BASE_KEYS, 'Name', 'SchemaVersion', 'HostComputeNetwork', 'IsApplied', 'Flags'] },
)
interface Elb {
  Type: 'ELB'
  SourceVIP?: string
  VIPs?: string[]
  ILB?: boolean
  IsDSR?: boolean
  LocalRoutedVIP?: boolean
  UseMux?: boolean
  PreserveDIP?: boolean
  DistributionType?: DistributionName
  Protocol: number
  InternalPort: number
  ExternalPort: number
}
const elb = shape<Elb>(
  {
    Type: word(['ELB']),
    SourceVIP: host,
    VIPs: listOf(host),
    ILB: bool,
    IsDSR: bool,
    LocalRoutedVIP: bool,
    UseMux: bool,
    PreserveDIP: bool,
    DistributionType: word<DistributionName>(['None', 'SourceIPProtocol', 'SourceIP'], {
      0: 'None',
      1: 'SourceIPProtocol',
      2: 'SourceIP',
    }),
    Protocol: protocol,
    InternalPort: port,
    ExternalPort: port,
  },
  ['Type', 'Protocol', 'InternalPort', 'ExternalPort'],
)
interface RouteDocument {
  Type: 'ROUTE'
  DestinationPrefix: string
  NextHop?: string
  NeedEncap?: boolean
}
const routePolicy = shape<RouteDocument>(
  { Type: word(['ROUTE']), DestinationPrefix: prefix, NextHop: host, NeedEncap: bool },
  ['Type', 'DestinationPrefix'],
)

/** Reads a load balancer: JSON text, or what it parses to. Throws an HnsError, also for a policy list of routes. */
export function readLoadBalancer(json: unknown, document = 'load balancer'): HnsLoadBalancer {
  const found = readPolicyList(json, document)
  if ('routes' in found) {
    const [at] = documentOf(document, json)
    return refuse(under(at, 'Policies'), found.routes, 'is a list of routes, and no load balancer')
  }
  return found
}

/** Reads a load balancer, or a policy list of the first schema. Throws an HnsError. */
export function readPolicyList(json: unknown, document = 'policy list'): HnsLoadBalancer | HnsRouteList {
  const [at, value] = documentOf(document, json)
  objectOf(at, value)
  const second = schemaOf(value, ['HostComputeEndpoints', 'FrontendVIPs', 'PortMappings', 'SchemaVersion']) === 2
  const found = second ? fromSecond(at, value) : fromFirst(at, value)
  if (!('routes' in found)) check(at, found)
  return found
}

function fromSecond(at: At, value: unknown): HnsLoadBalancer {
  const d = balancer2(at, value)
  const bits = d.Flags ?? 0
  return {
    schema: 2,
    id: idOf(d.ID),
    network: idOf(d.HostComputeNetwork),
    endpoints: d.HostComputeEndpoints ?? [],
    sourceVip: d.SourceVIP ?? null,
    vips: d.FrontendVIPs ?? [],
    ports: d.PortMappings.map(portOf),
    dsr: (bits & LoadBalancerFlag.EnableDirectServerReturn) !== 0,
    ipv6: (bits & LoadBalancerFlag.IPv6) !== 0,
  }
}

function portOf(p: PortDocument): HnsLoadBalancerPort {
  const bits = p.Flags ?? 0
  return {
    protocol: p.Protocol,
    internalPort: p.InternalPort,
    externalPort: p.ExternalPort,
    distribution: DISTRIBUTIONS[p.DistributionType ?? 'None'] as HnsDistribution,
    internal: (bits & LoadBalancerPortFlag.EnableInternalLoadBalancer) !== 0,
    localRoutedVip: (bits & LoadBalancerPortFlag.LocalRoutedVip) !== 0,
    useMux: (bits & LoadBalancerPortFlag.UseMux) !== 0,
    preserveDip: (bits & LoadBalancerPortFlag.EnablePreserveDip) !== 0,
    vipExternalIp: (bits & LoadBalancerPortFlag.VipExternalIP) !== 0,
  }
}

function fromFirst(at: At, value: unknown): HnsLoadBalancer | HnsRouteList {
  const d = policyList(at, value)
  const endpoints = d.References ?? []
  const place = under(at, 'Policies')
  const types = d.Policies.map((p, i) =>
    word(['ELB', 'ROUTE'])(under(under(place, i), 'Type'), peek(objectOf(under(place, i), p), 'Type')),
  )
  if (types.length === 0) refuse(place, d.Policies, 'has no policy')
  if (types.every((t) => t === 'ROUTE')) {
    const routes = d.Policies.map((p, i) => routePolicy(under(place, i), p))
    return {
      id: idOf(d.ID),
      endpoints,
      routes: routes.map((r) => ({
        prefix: r.DestinationPrefix,
        nextHop: r.NextHop ?? null,
        needEncap: r.NeedEncap ?? false,
      })),
    }
  }
  const all = d.Policies.map((p, i) => elb(under(place, i), p))
  const first = all[0] as Elb
  for (const [i, other] of all.entries()) {
    const same = JSON.stringify([other.VIPs, other.SourceVIP, other.IsDSR])
    if (same !== JSON.stringify([first.VIPs, first.SourceVIP, first.IsDSR])) {
      refuse(under(place, i), d.Policies[i], 'has other addresses than the first policy of the list')
    }
  }
  const vips = first.VIPs ?? []
  return {
    schema: 1,
    id: idOf(d.ID),
    network: null,
    endpoints,
    sourceVip: first.SourceVIP ?? null,
    vips,
    ports: all.map((p) => ({
      protocol: p.Protocol,
      internalPort: p.InternalPort,
      externalPort: p.ExternalPort,
      distribution: DISTRIBUTIONS[p.DistributionType ?? 'None'] as HnsDistribution,
      internal: p.ILB ?? false,
      localRoutedVip: p.LocalRoutedVIP ?? false,
      useMux: p.UseMux ?? false,
      preserveDip: p.PreserveDIP ?? false,
      vipExternalIp: false,
    })),
    dsr: first.IsDSR ?? false,
    ipv6: vips.some((vip) => vip.includes(':')),
  }
}

function check(at: At, b: HnsLoadBalancer): void {
  if (b.ports.length === 0) refuse(at, b.ports, 'has no port mapping')
  const seen = new Set<string>()
  for (const p of b.ports) {
    whole(1, 65_535)(at, p.externalPort)
    whole(1, 65_535)(at, p.internalPort)
    const key = `${p.protocol}/${p.externalPort}`
    if (seen.has(key)) refuse(at, key, `port ${p.externalPort} of protocol ${p.protocol} is there twice`)
    seen.add(key)
  }
  for (const vip of [...b.vips, ...(b.sourceVip === null ? [] : [b.sourceVip])]) {
    if (vip.includes(':') !== b.ipv6)
      refuse(at, vip, `address ${vip} of a load balancer ${b.ipv6 ? 'with' : 'without'} the flag IPv6`)
  }
  if (new Set(b.endpoints).size < b.endpoints.length)
    refuse(at, b.endpoints, `an endpoint is there twice: ${shown(b.endpoints)}`)
  if (b.endpoints.length > MOST_BACKENDS) {
    refuse(at, b.endpoints.length, `${b.endpoints.length} endpoints: Windows balances among ${MOST_BACKENDS} at most`)
  }
}
