import {
  BASE_KEYS,
  commas,
  type DnsDocument,
  dnsDocument,
  dnsOf,
  type HnsDns,
  type HnsReadOptions,
  type HnsRoute,
  type HnsSchema,
  idOf,
  type RouteDocument,
  route,
  routeOf,
  type Unsupported,
  type Version,
  version,
} from './common.ts'
import { type HnsEndpointPolicy, readEndpointPolicies } from './endpoint-policies.ts'
import { type At, refuse, under } from './error.ts'
import { EndpointFlag, judgeEndpointFlags } from './flags.ts'
import { schemaOf } from './network.ts'
import {
  anything,
  bool,
  documentOf,
  flags,
  guid,
  host,
  listOf,
  mac,
  objectOf,
  port,
  shape,
  text,
  whole,
} from './shape.ts'

/*
 * Endpoints of HNS, in both schemas, as one object (modes.md 16).
 *
 *     first     VirtualNetwork, IPAddress, PrefixLength, GatewayAddress, IsRemoteEndpoint, Policies of the first schema ...
 *     second    HostComputeNetwork, IpConfigurations, Routes, Flags, Policies of the second schema ...
 */

/** An endpoint. */
export interface HnsEndpoint {
  readonly schema: HnsSchema
  readonly id: string | null
  readonly name: string | null
  /** ID of its network; null where whoever creates it says so. */
  readonly network: string | null
  readonly networkName: string | null
  /** ID of the namespace that it is to be in. */
  readonly namespace: string | null
  /** `00:15:5d:01:02:03`; null: HNS gives it one. */
  readonly mac: string | null
  /** Addresses; none: HNS gives it one. */
  readonly addresses: readonly { address: string; prefixLength: number | null }[]
  readonly routes: readonly HnsRoute[]
  readonly dns: HnsDns
  readonly policies: readonly HnsEndpointPolicy[]
  /** It is another node's, and known here for load balancers and ACLs. */
  readonly remote: boolean
  /** It may not speak to other endpoints of its node (Docker's `icc=false`). */
  readonly isolated: boolean
  /** It asks a DHCP server, and HNS gives it no address. */
  readonly dhcp: boolean
  /** Bits of `EndpointFlag`. */
  readonly flags: number
  /** Flags that change nothing, and why. */
  readonly withoutEffect: readonly Unsupported[]
  readonly unsupported: readonly Unsupported[]
}

interface Endpoint1 {
  ID?: string
  Name?: string
  VirtualNetwork?: string
  VirtualNetworkName?: string
  Policies?: unknown[]
  MacAddress?: string
  IPAddress?: string
  IPv6Address?: string
  DNSSuffix?: string
  DNSServerList?: string
  DNSDomain?: string
  GatewayAddress?: string
  GatewayAddressV6?: string
  DisableICC?: boolean
  PrefixLength?: number
  IPv6PrefixLength?: number
  IsRemoteEndpoint?: boolean
  EnableLowMetric?: boolean
  EncapOverhead?: number
  Flags?: number
  Namespace?: { ID?: string; CompartmentId?: number }
}
const endpoint1 = shape<Endpoint1>(
  {
    ID: guid,
    Name: text,
    VirtualNetwork: guid,
    VirtualNetworkName: text,
    Policies: listOf(anything),
    MacAddress: mac,
    IPAddress: host,
    IPv6Address: host,
    DNSSuffix: text,
    DNSServerList: text,
    DNSDomain: text,
    GatewayAddress: host,
    GatewayAddressV6: host,
    DisableICC: bool,
    PrefixLength: whole(0, 32),
    IPv6PrefixLength: whole(0, 128),
    IsRemoteEndpoint: bool,
    EnableLowMetric: bool,
    EncapOverhead: port,
    Flags: flags(EndpointFlag),
    Namespace: shape<{ ID?: string; CompartmentId?: number }>({ ID: guid, CompartmentId: whole(0, 2 ** 32 - 1) }, [], {
      passed: [...BASE_KEYS, 'Name', 'IsDefault', 'CompartmentGuid', 'References'],
    }),
  },
  [],
  {
    passed: [
      ...BASE_KEYS,
      'EnableInternalDNS',
      'SharedContainers',
      'CreateProcessingStartTime',
      'StartTime',
      'SchemaVersion',
      // What `Get-HnsEndpoint` says besides.
      'IPSubnetId',
      'IPv6SubnetId',
      'Type',
      'InterfaceConstraint',
    ],
  },
)

interface IpConfig {
  IpAddress: string
  PrefixLength?: number
  IpSubnetId?: string
}
const ipConfig = shape<IpConfig>({ IpAddress: host, PrefixLength: whole(0, 128), IpSubnetId: guid }, ['IpAddress'])

interface Endpoint2 {
  ID?: string
  Name?: string
  HostComputeNetwork?: string
  HostComputeNamespace?: string
  Policies?: unknown[]
  IpConfigurations?: IpConfig[]
  Dns?: DnsDocument
  Routes?: RouteDocument[]
  MacAddress?: string
  Flags?: number
  SchemaVersion?: Version
}
const endpoint2 = shape<Endpoint2>(
  {
    ID: guid,
    Name: text,
    HostComputeNetwork: guid,
    HostComputeNamespace: guid,
    Policies: listOf(anything),
    IpConfigurations: listOf(ipConfig),
    Dns: dnsDocument,
    Routes: listOf(route),
    MacAddress: mac,
    Flags: flags(EndpointFlag),
    SchemaVersion: version,
  },
  [],
  { passed: BASE_KEYS },
)

const SECOND = [
  'HostComputeNetwork',
  'HostComputeNamespace',
  'IpConfigurations',
  'Dns',
  'Routes',
  'SchemaVersion',
] as const

/** Reads an endpoint: JSON text, or what it parses to. Throws an HnsError. */
export function readEndpoint(json: unknown, document = 'endpoint', options: HnsReadOptions = {}): HnsEndpoint {
  const [at, value] = documentOf(document, json)
  objectOf(at, value)
  const endpoint = schemaOf(value, SECOND) === 1 ? fromFirst(at, value, options) : fromSecond(at, value, options)
  check(at, endpoint)
  return endpoint
}

function fromFirst(at: At, value: unknown, options: HnsReadOptions): HnsEndpoint {
  const d = endpoint1(at, value)
  const unsupported: Unsupported[] = []
  const policies = readEndpointPolicies(under(at, 'Policies'), d.Policies, 1, unsupported, options)
  const addresses: { address: string; prefixLength: number | null }[] = []
  if (d.IPAddress !== undefined) addresses.push({ address: d.IPAddress, prefixLength: d.PrefixLength || null })
  if (d.IPv6Address !== undefined) addresses.push({ address: d.IPv6Address, prefixLength: d.IPv6PrefixLength || null })
  if (d.EncapOverhead !== undefined) {
    policies.push({ kind: 'encap-overhead', bytes: d.EncapOverhead, path: under(at, 'EncapOverhead').path })
  }
  const gateways = [d.GatewayAddress, d.GatewayAddressV6].filter((g) => g !== undefined)
  const bits =
    (d.Flags ?? 0) |
    (d.IsRemoteEndpoint === true ? EndpointFlag.RemoteEndpoint : 0) |
    (d.DisableICC === true ? EndpointFlag.DisableInterComputeCommunication : 0) |
    (d.EnableLowMetric === true ? EndpointFlag.EnableLowInterfaceMetric : 0)
  return {
    schema: 1,
    id: idOf(d.ID),
    name: d.Name ?? null,
    network: idOf(d.VirtualNetwork),
    networkName: d.VirtualNetworkName ?? null,
    namespace: idOf(d.Namespace?.ID),
    mac: d.MacAddress ?? null,
    addresses,
    routes: gateways.map((NextHop) => routeOf({ NextHop })),
    dns: dnsOf({
      ...(d.DNSDomain === undefined ? {} : { Domain: d.DNSDomain }),
      Search: commas(d.DNSSuffix),
      ServerList: commas(d.DNSServerList),
    }),
    policies,
    ...flagsOf(bits),
    withoutEffect: judgeEndpointFlags(d.Flags ? under(at, 'Flags') : at, bits, unsupported, options),
    unsupported,
  }
}

function fromSecond(at: At, value: unknown, options: HnsReadOptions): HnsEndpoint {
  const d = endpoint2(at, value)
  const unsupported: Unsupported[] = []
  return {
    schema: 2,
    id: idOf(d.ID),
    name: d.Name ?? null,
    network: idOf(d.HostComputeNetwork),
    networkName: null,
    namespace: idOf(d.HostComputeNamespace),
    mac: d.MacAddress ?? null,
    addresses: (d.IpConfigurations ?? []).map((c) => ({ address: c.IpAddress, prefixLength: c.PrefixLength || null })),
    routes: (d.Routes ?? []).map(routeOf),
    dns: dnsOf(d.Dns),
    policies: readEndpointPolicies(under(at, 'Policies'), d.Policies, 2, unsupported, options),
    ...flagsOf(d.Flags ?? 0),
    withoutEffect: judgeEndpointFlags(under(at, 'Flags'), d.Flags ?? 0, unsupported, options),
    unsupported,
  }
}

function flagsOf(bits: number): Pick<HnsEndpoint, 'remote' | 'isolated' | 'dhcp' | 'flags'> {
  return {
    remote: (bits & EndpointFlag.RemoteEndpoint) !== 0,
    isolated: (bits & EndpointFlag.DisableInterComputeCommunication) !== 0,
    dhcp: (bits & EndpointFlag.EnableDhcp) !== 0,
    flags: bits,
  }
}

/** What there is one of, on an endpoint. */
const ONCE: readonly HnsEndpointPolicy['kind'][] = ['provider-address', 'vlan', 'vsid', 'qos', 'encap-overhead', 'mtu']

function check(at: At, endpoint: HnsEndpoint): void {
  for (const { address, prefixLength } of endpoint.addresses) {
    if (prefixLength !== null && prefixLength > 32 && !address.includes(':')) {
      refuse(at, prefixLength, `a prefix of ${prefixLength} bits for ${address}`)
    }
  }
  checkPolicies(at, endpoint.policies)
}

/** Throws where policies do not go together. */
export function checkPolicies(at: At, policies: readonly HnsEndpointPolicy[]): void {
  const first = new Map<HnsEndpointPolicy['kind'], HnsEndpointPolicy>()
  for (const p of policies) {
    const earlier = first.get(p.kind)
    if (earlier === undefined) first.set(p.kind, p)
    else if (ONCE.includes(p.kind)) {
      refuse({ ...at, path: p.path }, p, `a second policy of this kind: the first is ${earlier.path}`)
    }
  }
  const vsid = first.get('vsid')
  if (first.has('vlan') && vsid !== undefined) refuse({ ...at, path: vsid.path }, vsid, 'both a VLAN and a VSID')
}
