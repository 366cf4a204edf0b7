import { parsePrefix } from '@l2l3/switch-core'
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
import { type At, refuse, under } from './error.ts'
import { judgeNetworkFlags, NetworkFlag } from './flags.ts'
import { type HnsNetworkPolicy, readNetworkPolicies, readSubnetPolicies } from './network-policies.ts'
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
  peek,
  prefix,
  shape,
  text,
  whole,
  word,
} from './shape.ts'

/*
 * Networks of HNS, in both schemas, as one object (modes.md 16).
 *
 *     first     Type, Subnets [{ AddressPrefix, GatewayAddress, Policies }], MacPools, NetworkAdapterName, ManagementIP ...
 *     second    Type, Ipams [{ Type, Subnets [{ IpAddressPrefix, Routes, Policies }] }], MacPool { Ranges }, Policies ...
 *
 * Combinations that are refused:
 *
 *     a subnet with a prefix and no gateway, in the first schema (hcsshim)            a gateway outside its subnet
 *     an overlay's subnet without VSID, or with one below 4096 (modes.md 4.1)         VSID elsewhere, VLAN on an overlay or NAT
 *     RemoteSubnetRoute, VxlanPort, DrMacAddress and HostRoute elsewhere than on an overlay
 *     IPv6 subnets of overlays and NAT (modes.md 2.1)
 *     IPAM of type DHCP but on Transparent (modes.md 2.1)                             DisableHostPort of overlays and NAT
 */

/** Kinds of network that there are here. */
export type HnsNetworkType = 'NAT' | 'Transparent' | 'L2Bridge' | 'L2Tunnel' | 'Overlay'

/** A subnet of a network. */
export interface HnsSubnet {
  readonly id: string | null
  readonly prefix: string
  readonly gateway: string | null
  readonly routes: readonly HnsRoute[]
  /** VLAN of its endpoints; null: none. */
  readonly vlan: number | null
  /** VNI, on an overlay. */
  readonly vsid: number | null
  /** Whether the gateway's address is HNS' own, and no endpoint's. */
  readonly reservesGateway: boolean
  /** Parts of it. Endpoints there send broadcasts where theirs has `EnableBroadcast`; without `ReserveNetworkAddress` its first and last
   * address are endpoints' as others are. */
  readonly parts: readonly { prefix: string; broadcast: boolean; reservesNetworkAddress: boolean }[]
}

/** A network. */
export interface HnsNetwork {
  readonly schema: HnsSchema
  readonly id: string | null
  readonly name: string | null
  /** One that is not there here is listed in `unsupported`, and has this one's place. */
  readonly type: HnsNetworkType | null
  readonly subnets: readonly HnsSubnet[]
  /** Whether addresses come from HNS or the subnet's own server. */
  readonly ipam: 'static' | 'dhcp'
  readonly policies: readonly HnsNetworkPolicy[]
  readonly macPools: readonly { first: string; last: string }[]
  readonly dns: HnsDns
  readonly adapter: string | null
  readonly managementIp: string | null
  readonly sourceMac: string | null
  /** Bits of `NetworkFlag`. */
  readonly flags: number
  /** Flags that change nothing, and why. */
  readonly withoutEffect: readonly Unsupported[]
  readonly unsupported: readonly Unsupported[]
}

const TYPES: readonly HnsNetworkType[] = ['NAT', 'Transparent', 'L2Bridge', 'L2Tunnel', 'Overlay']
const OTHER_TYPES = ['ICS', 'Private', 'Internal', 'Mirrored', 'Infiniband', 'ConstrainedICS'] as const
type AnyType = HnsNetworkType | (typeof OTHER_TYPES)[number]

interface MacRange {
  StartMacAddress: string
  EndMacAddress: string
}
const macRange = shape<MacRange>({ StartMacAddress: mac, EndMacAddress: mac }, ['StartMacAddress', 'EndMacAddress'])

/** Flags of a part of a subnet (`IPSubnetFlags`). */
const IpSubnetFlag = { None: 0, EnableBroadcast: 1, ReserveNetworkAddress: 2 } as const

interface IpSubnet {
  ID?: string
  IpAddressPrefix: string
  Flags?: number
}
const ipSubnet = shape<IpSubnet>(
  { ID: guid, IpAddressPrefix: prefix, Flags: flags(IpSubnetFlag) },
  ['IpAddressPrefix'],
  { passed: [...BASE_KEYS, 'Name', 'Policies', 'SchemaVersion'] },
)
interface Subnet1 {
  ID?: string
  AddressPrefix?: string
  GatewayAddress?: string
  Policies?: unknown[]
  IpSubnets?: IpSubnet[]
  Flags?: number
}
const subnet1 = shape<Subnet1>(
  {
    ID: guid,
    AddressPrefix: prefix,
    GatewayAddress: host,
    Policies: listOf(anything),
    IpSubnets: listOf(ipSubnet),
    Flags: whole(0, 1),
  },
  [],
  { passed: BASE_KEYS },
)

interface Network1 {
  ID?: string
  Name?: string
  Type: AnyType
  NetworkAdapterName?: string
  SourceMac?: string
  Policies?: unknown[]
  MacPools?: MacRange[]
  Subnets?: Subnet1[]
  DNSSuffix?: string
  DNSServerList?: string
  ManagementIP?: string
  DrMacAddress?: string
  AutomaticDNS?: boolean
  Flags?: number
}
const type = word<AnyType>([...TYPES, ...OTHER_TYPES])
const networkFlags = flags(NetworkFlag)
const network1 = shape<Network1>(
  {
    ID: guid,
    Name: text,
    Type: type,
    NetworkAdapterName: text,
    SourceMac: mac,
    Policies: listOf(anything),
    MacPools: listOf(macRange),
    Subnets: listOf(subnet1),
    DNSSuffix: text,
    DNSServerList: text,
    ManagementIP: host,
    DrMacAddress: mac,
    AutomaticDNS: bool,
    Flags: networkFlags,
  },
  ['Type'],
  {
    passed: [
      ...BASE_KEYS,
      'DNSServerCompartment',
      'Extensions',
      'CurrentEndpointCount',
      'TotalEndpoints',
      'MaxConcurrentEndpoints',
      'LayeredOn',
      'SwitchGuid',
      'SwitchName',
      'NatName',
      'IPv6',
      'SchemaVersion',
      'InterfaceConstraint',
      'VSwitchExtension',
    ],
  },
)

interface Subnet2 {
  ID?: string
  IpAddressPrefix: string
  Policies?: unknown[]
  Routes?: RouteDocument[]
  IpSubnets?: IpSubnet[]
  Flags?: number
}
const subnet2 = shape<Subnet2>(
  {
    ID: guid,
    IpAddressPrefix: prefix,
    Policies: listOf(anything),
    Routes: listOf(route),
    IpSubnets: listOf(ipSubnet),
    Flags: flags({ None: 0, DoNotReserveGatewayAddress: 1 }),
  },
  ['IpAddressPrefix'],
  { passed: [...BASE_KEYS, 'Name', 'SchemaVersion'] },
)
interface IpamDocument {
  Type?: 'Static' | 'Dhcp'
  Subnets?: Subnet2[]
}
const ipam = shape<IpamDocument>({ Type: word(['Static', 'Dhcp']), Subnets: listOf(subnet2) })

interface Network2 {
  ID?: string
  Name?: string
  Type: AnyType
  Policies?: unknown[]
  MacPool?: { Ranges?: MacRange[] }
  Dns?: DnsDocument
  Ipams?: IpamDocument[]
  Flags?: number
  SchemaVersion?: Version
}
const network2 = shape<Network2>(
  {
    ID: guid,
    Name: text,
    Type: type,
    Policies: listOf(anything),
    MacPool: shape<{ Ranges?: MacRange[] }>({ Ranges: listOf(macRange) }),
    Dns: dnsDocument,
    Ipams: listOf(ipam),
    Flags: networkFlags,
    SchemaVersion: version,
  },
  ['Type'],
  { passed: BASE_KEYS },
)

/** Which schema a document is of, by its version, or by keys that only one of them has. */
export function schemaOf(json: unknown, second: readonly string[]): HnsSchema {
  if (typeof json !== 'object' || json === null) return 2
  const o = json as Readonly<Record<string, unknown>>
  const declared = peek(o, 'SchemaVersion')
  if (typeof declared === 'object' && declared !== null) {
    const major = peek(declared as Readonly<Record<string, unknown>>, 'Major')
    if (major === 1 || major === 2) return major
  }
  return Object.keys(o).some((key) => second.some((s) => s.toLowerCase() === key.toLowerCase())) ? 2 : 1
}

/** Reads a network: JSON text, or what it parses to. Throws an HnsError. */
export function readNetwork(json: unknown, document = 'network', options: HnsReadOptions = {}): HnsNetwork {
  const [at, value] = documentOf(document, json)
  objectOf(at, value)
  const schema = schemaOf(value, ['Ipams', 'MacPool', 'Dns', 'SchemaVersion'])
  const network = schema === 1 ? fromFirst(at, value, options) : fromSecond(at, value, options)
  check(at, network)
  return network
}

function fromFirst(at: At, value: unknown, options: HnsReadOptions): HnsNetwork {
  const d = network1(at, value)
  const unsupported: Unsupported[] = []
  const policies = readNetworkPolicies(under(at, 'Policies'), d.Policies, 1, unsupported, options)
  // Docker says it of the network, and means its subnets.
  const ofAll = (kind: 'vlan' | 'vsid'): number | null =>
    policies.flatMap((p) => (p.kind === kind ? [(p as { id: number }).id] : []))[0] ?? null
  // HNS says VLAN 1 of every network of type NAT: of its internal switch, where it means nothing.
  const vlanOfAll = d.Type === 'NAT' && ofAll('vlan') === 1 ? null : ofAll('vlan')
  const subnets = (d.Subnets ?? []).flatMap((s, i): HnsSubnet[] => {
    const place = under(under(at, 'Subnets'), i)
    const own = readSubnetPolicies(under(place, 'Policies'), s.Policies, 1)
    if (s.AddressPrefix === undefined) return []
    if (s.GatewayAddress === undefined) {
      refuse(under(place, 'GatewayAddress'), undefined, 'a subnet with an AddressPrefix has to have one')
    }
    const gateway = s.GatewayAddress as string
    return [
      {
        id: idOf(s.ID),
        prefix: s.AddressPrefix,
        gateway,
        routes: [routeOf({ NextHop: gateway })],
        vlan: own.vlan ?? vlanOfAll,
        vsid: own.vsid ?? ofAll('vsid'),
        reservesGateway: (s.Flags ?? 0) === 0,
        parts: partsOf(s.IpSubnets),
      },
    ]
  })
  if (d.DrMacAddress !== undefined) {
    policies.push({ kind: 'dr-mac', mac: d.DrMacAddress, path: under(at, 'DrMacAddress').path })
  }
  return {
    schema: 1,
    id: idOf(d.ID),
    name: d.Name ?? null,
    type: supported(at, d.Type, unsupported, options),
    subnets,
    ipam: 'static',
    policies,
    macPools: (d.MacPools ?? []).map((p) => ({ first: p.StartMacAddress, last: p.EndMacAddress })),
    dns: dnsOf({
      ...(d.DNSSuffix === undefined ? {} : { Search: commas(d.DNSSuffix) }),
      ServerList: commas(d.DNSServerList),
    }),
    adapter: d.NetworkAdapterName ?? null,
    managementIp: d.ManagementIP ?? null,
    sourceMac: d.SourceMac ?? null,
    flags: d.Flags ?? 0,
    withoutEffect: judgeNetworkFlags(under(at, 'Flags'), d.Flags ?? 0, unsupported, options),
    unsupported,
  }
}

function fromSecond(at: At, value: unknown, options: HnsReadOptions): HnsNetwork {
  const d = network2(at, value)
  const unsupported: Unsupported[] = []
  const policies = readNetworkPolicies(under(at, 'Policies'), d.Policies, 2, unsupported, options)
  const ipams = d.Ipams ?? []
  const subnets = ipams.flatMap((pool, i) =>
    (pool.Subnets ?? []).map((s, k): HnsSubnet => {
      const place = under(under(under(under(at, 'Ipams'), i), 'Subnets'), k)
      const routes = (s.Routes ?? []).map(routeOf)
      const fallback = routes.find((r) => r.prefix === '0.0.0.0/0' || r.prefix === '::/0')
      return {
        id: idOf(s.ID),
        prefix: s.IpAddressPrefix,
        gateway: fallback?.nextHop ?? null,
        routes,
        ...readSubnetPolicies(under(place, 'Policies'), s.Policies, 2),
        reservesGateway: (s.Flags ?? 0) === 0,
        parts: partsOf(s.IpSubnets),
      }
    }),
  )
  const one = <K extends HnsNetworkPolicy['kind']>(kind: K): Extract<HnsNetworkPolicy, { kind: K }> | undefined =>
    policies.find((p): p is Extract<HnsNetworkPolicy, { kind: K }> => p.kind === kind)
  return {
    schema: 2,
    id: idOf(d.ID),
    name: d.Name ?? null,
    type: supported(at, d.Type, unsupported, options),
    subnets,
    ipam: ipams.some((pool) => pool.Type === 'Dhcp') ? 'dhcp' : 'static',
    policies,
    macPools: (d.MacPool?.Ranges ?? []).map((r) => ({ first: r.StartMacAddress, last: r.EndMacAddress })),
    dns: dnsOf(d.Dns),
    adapter: one('adapter')?.name ?? null,
    managementIp: one('provider-address')?.address ?? null,
    sourceMac: one('source-mac')?.mac ?? null,
    flags: d.Flags ?? 0,
    withoutEffect: judgeNetworkFlags(under(at, 'Flags'), d.Flags ?? 0, unsupported, options),
    unsupported,
  }
}

function partsOf(parts: readonly IpSubnet[] = []): HnsSubnet['parts'] {
  return parts.map(({ IpAddressPrefix, Flags = 0 }) => ({
    prefix: IpAddressPrefix,
    broadcast: (Flags & IpSubnetFlag.EnableBroadcast) !== 0,
    reservesNetworkAddress: (Flags & IpSubnetFlag.ReserveNetworkAddress) !== 0,
  }))
}

function supported(at: At, what: AnyType, unsupported: Unsupported[], options: HnsReadOptions): HnsNetworkType | null {
  const found = TYPES.find((t) => t === what)
  if (found !== undefined) return found
  const place = under(at, 'Type')
  const why = `networks here are ${TYPES.join(', ')}`
  if (options.unsupported !== 'list') refuse(place, what, `${what} is not supported: ${why}`)
  unsupported.push({ path: place.path, what, why })
  return null
}

/** Policies that make sense on an overlay alone. */
const OVERLAY_ONLY: readonly HnsNetworkPolicy['kind'][] = ['remote-subnet', 'vxlan-port', 'dr-mac', 'host-route']

function check(at: At, network: HnsNetwork): void {
  const overlay = network.type === 'Overlay'
  for (const { path, kind } of network.policies) {
    if (!overlay && network.type !== null && OVERLAY_ONLY.includes(kind)) {
      refuse({ ...at, path }, kind, `a network of type ${network.type} has no policy ${kind}: Overlay has`)
    }
  }
  const subnets = under(at, network.schema === 1 ? 'Subnets' : 'Ipams')
  if (network.ipam === 'dhcp' && network.type !== 'Transparent' && network.type !== null) {
    refuse(subnets, 'Dhcp', `DHCP on a network of type ${network.type}: its addresses are HNS' own, Transparent has it`)
  }
  if ((network.flags & NetworkFlag.DisableHostPort) !== 0 && (overlay || network.type === 'NAT')) {
    const why = overlay ? 'its tunnels end at the host' : 'its gateway is the host'
    refuse(under(at, 'Flags'), network.flags, `DisableHostPort on a network of type ${network.type}: ${why}`)
  }
  for (const s of network.subnets) {
    const six = s.prefix.includes(':')
    if (six && (overlay || network.type === 'NAT')) {
      refuse(subnets, s.prefix, `a network of type ${network.type} has no IPv6: ${s.prefix}`)
    }
    if (overlay && s.vsid === null) refuse(subnets, s.prefix, `subnet ${s.prefix} of an overlay has no VSID policy`)
    if (s.vsid !== null && !overlay) refuse(subnets, s.vsid, `VSID ${s.vsid} on a network of type ${network.type}`)
    if (s.vsid !== null && s.vsid < 4096) refuse(subnets, s.vsid, `VSID ${s.vsid} is below 4096, where Windows begins`)
    if (s.vlan !== null && (overlay || network.type === 'NAT')) {
      refuse(subnets, s.vlan, `VLAN ${s.vlan} on a network of type ${network.type}`)
    }
    if (s.gateway !== null && !includes(s.prefix, s.gateway)) {
      refuse(subnets, s.gateway, `gateway ${s.gateway} is not in its subnet ${s.prefix}`)
    }
    for (const part of s.parts) {
      if (!includes(s.prefix, part.prefix))
        refuse(subnets, part.prefix, `${part.prefix} is not in its subnet ${s.prefix}`)
    }
  }
}

/** Whether an address, or a prefix, is in a prefix. */
export function includes(outer: string, inner: string): boolean {
  const [a, b] = [parsePrefix(outer), parsePrefix(inner)]
  if (a.words.length !== b.words.length || b.length < a.length) return false
  return a.words.every((word, i) => {
    const bits = Math.min(32, Math.max(0, a.length - 32 * i))
    const mask = bits === 0 ? 0 : (-1 << (32 - bits)) >>> 0
    return (word & mask) >>> 0 === ((b.words[i] as number) & mask) >>> 0
  })
}
