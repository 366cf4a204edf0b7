import {
  type AclPolicyV1,
  type AclPolicyV2,
  type AclSettings,
  checkOutboundNat,
  hnsPortMappings,
  type NatPolicyV1,
  type OutboundNatPolicyV1,
  type OutboundNatPolicyV2,
  type OutboundNatSettingsV2,
  type PortMappingPolicyV2,
  type TierAclPolicyV2,
  type TierAclRule,
} from '@l2l3/nat'
import type { HnsReadOptions, HnsSchema, Unsupported } from './common.ts'
import { type At, refuse, shown, under } from './error.ts'
import {
  anything,
  bool,
  checkedAt,
  type Field,
  flags,
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
 * Policies of endpoints, in both schemas (modes.md 16).
 *
 *     first      { "Type": "ROUTE", "DestinationPrefix": "11.0.0.0/8", "NeedEncap": true }               all in one object
 *     second     { "Type": "SDNRoute", "Settings": { "DestinationPrefix": "11.0.0.0/8", ... } }          settings apart
 *
 *     first         second              kind               what it becomes
 *     OutBoundNAT   OutBoundNAT         outbound-nat       the policy as `hnsOutboundNat` takes it
 *     NAT           PortMapping         port-mapping       the policy as `hnsPortMappings` takes it
 *     ACL           ACL, TierAcl        acl                the policy as `hnsAcl` takes it
 *     ROUTE         SDNRoute            route              destination, next hop, NeedEncap
 *     PA            ProviderAddress     provider-address   address of the node on the underlay
 *     VLAN, VSID,   VLAN                vlan, vsid         the id
 *     Isolation
 *     QOS           QOS                 qos                bytes a second
 *                   PortName            port-name          a name
 *                   EncapOverhead       encap-overhead     bytes
 *                   InterfaceParameters mtu                bytes
 *     PROXY         L4Proxy, L4WFPPROXY, Encryption, Iov, InterfaceConstraint; L2Driver, VNET: not supported here
 *
 * Rules about what is inside are those of who works with it: `@l2l3/nat` looks at translations and ACLs.
 */

/** A policy of an endpoint, of either schema. */
export type HnsEndpointPolicy = { readonly path: string } & (
  | { readonly kind: 'outbound-nat'; readonly policy: OutboundNatPolicyV1 | OutboundNatPolicyV2 }
  | { readonly kind: 'port-mapping'; readonly policy: NatPolicyV1 | PortMappingPolicyV2 }
  | { readonly kind: 'acl'; readonly policy: AclPolicyV1 | AclPolicyV2 | TierAclPolicyV2 }
  | {
      readonly kind: 'route'
      readonly prefix: string
      readonly nextHop: string | null
      /** Through the host, whose load balancers see it, and not straight to the wire (modes.md 2.3). */
      readonly needEncap: boolean
    }
  | { readonly kind: 'provider-address'; readonly address: string }
  | { readonly kind: 'vlan'; readonly id: number }
  | { readonly kind: 'vsid'; readonly id: number }
  | { readonly kind: 'qos'; readonly bytesPerSecond: number }
  | { readonly kind: 'port-name'; readonly name: string }
  | { readonly kind: 'encap-overhead'; readonly bytes: number }
  | { readonly kind: 'mtu'; readonly bytes: number }
)

type WithoutPath<T> = T extends unknown ? Omit<T, 'path'> : never
type Found = WithoutPath<HnsEndpointPolicy> | { unsupported: string }

/** Protocols by name, as the schema documents them. */
export const PROTOCOLS: Readonly<Record<string, number>> = { ICMPv4: 1, IGMP: 2, TCP: 6, UDP: 17, ICMPv6: 58 }

/** A protocol: its number, or its name in the second schema. */
export const protocol: Field<number> = (at, value) => {
  if (typeof value === 'number') return whole(0, 256)(at, value)
  const s = text(at, value)
  if (/^\d{1,3}$/.test(s)) return whole(0, 256)(at, Number(s))
  const name = Object.keys(PROTOCOLS).find((key) => key.toLowerCase() === s.toLowerCase())
  return name === undefined
    ? refuse(at, value, `must be a protocol's number, or ${Object.keys(PROTOCOLS).join(', ')}, not ${shown(value)}`)
    : (PROTOCOLS[name] as number)
}

/** What keys of other policies are called. */
const FOREIGN: readonly string[] = [
  'ExceptionList',
  'Exceptions',
  'DestinationPrefix',
  'NeedEncap',
  'NextHop',
  'Destinations',
  'VIP',
  'VirtualIP',
  'ProviderAddress',
  'PA',
]
const lenient = { foreign: FOREIGN }
const natFlags = flags({ LocalRoutedVip: 1, IPv6: 2, None: 0 })

interface OutboundNatDocument extends Omit<OutboundNatSettingsV2, 'Exceptions' | 'Destinations'> {
  Exceptions?: string[]
  /** The name it has in the first schema, which confs for OpenShift use in the second too. */
  ExceptionList?: string[]
  Destinations?: string[]
}
const outboundNat2 = shape<OutboundNatDocument>(
  {
    Exceptions: listOf(prefix),
    ExceptionList: listOf(prefix),
    VirtualIP: host,
    Destinations: listOf(prefix),
    Flags: natFlags,
    MaxPortPoolUsage: port,
  },
  [],
  lenient,
)
const outboundNat1 = shape<{
  ExceptionList?: string[]
  VIP?: string
  Destinations?: string[]
  MaxPortPoolUsage?: number
}>({ ExceptionList: listOf(prefix), VIP: host, Destinations: listOf(prefix), MaxPortPoolUsage: port }, [], lenient)

const portMapping2 = shape<PortMappingPolicyV2['Settings']>(
  { Protocol: protocol, InternalPort: port, ExternalPort: port, VIP: host, Flags: natFlags },
  ['Protocol', 'InternalPort', 'ExternalPort'],
  lenient,
)
const nat1 = shape<Omit<NatPolicyV1, 'Type'>>(
  { Protocol: text, InternalPort: port, ExternalPort: port, ExternalPortReserved: bool },
  ['Protocol', 'InternalPort', 'ExternalPort'],
  lenient,
)

const action = word(['Allow', 'Block', 'Pass'])
const direction = word(['In', 'Out'])
const ruleType = word(['Switch', 'Host'])
const ACL_FIELDS = {
  Id: text,
  Protocols: text,
  Action: action,
  Direction: direction,
  LocalAddresses: text,
  RemoteAddresses: text,
  LocalPorts: text,
  RemotePorts: text,
  RuleType: ruleType,
  Priority: port,
}
/** Settings of an ACL in the second schema, on endpoints and networks. */
export const aclSettings: Field<AclSettings> = shape<AclSettings>(ACL_FIELDS, ['Action', 'Direction'], lenient)
interface Acl1 extends AclSettings {
  Protocol?: number
  LocalPort?: number
  RemotePort?: number
  InternalPort?: number
  ServiceName?: string
}
const acl1 = shape<Acl1>(
  { ...ACL_FIELDS, Protocol: protocol, LocalPort: port, RemotePort: port, InternalPort: port, ServiceName: text },
  ['Action', 'Direction'],
  lenient,
)
const tierRule = shape<TierAclRule>(
  {
    Id: text,
    Protocols: text,
    TierAclRuleAction: action,
    LocalAddresses: text,
    RemoteAddresses: text,
    LocalPorts: text,
    RemotePorts: text,
    Priority: port,
  },
  ['TierAclRuleAction'],
  lenient,
)
interface TierDocument {
  Name: string
  Direction: 'In' | 'Out'
  Order?: number
  TierAclRules?: TierAclRule[]
}
const tier = shape<TierDocument>({ Name: text, Direction: direction, Order: port, TierAclRules: listOf(tierRule) }, [
  'Name',
  'Direction',
])

const route = shape<{
  DestinationPrefix: string
  NextHop?: string
  NeedEncap?: boolean
  AutomaticEndpointMonitor?: boolean
}>(
  { DestinationPrefix: prefix, NextHop: host, NeedEncap: bool, AutomaticEndpointMonitor: bool },
  ['DestinationPrefix'],
  lenient,
)
const providerAddress = shape<{ ProviderAddress: string }>({ ProviderAddress: host }, ['ProviderAddress'], lenient)
const vlanId = whole(1, 4094)
const vsidId = whole(1, 0xff_ffff)
const isolation = (id: Field<number>): Field<{ IsolationId: number }> =>
  shape<{ IsolationId: number }>({ IsolationId: id }, ['IsolationId'], lenient)
const qos = shape<{ MaximumOutgoingBandwidthInBytes: number }>(
  { MaximumOutgoingBandwidthInBytes: whole(0, Number.MAX_SAFE_INTEGER) },
  ['MaximumOutgoingBandwidthInBytes'],
)

/** The types of the second schema. */
const SECOND: Readonly<Record<string, (at: At, settings: unknown) => Found>> = {
  OutBoundNAT(at, settings) {
    const { Exceptions = [], ExceptionList = [], ...more } = outboundNat2(at, settings)
    const exceptions = [...Exceptions, ...ExceptionList]
    const policy: OutboundNatPolicyV2 = {
      Type: 'OutBoundNAT',
      Settings: { ...more, ...(exceptions.length === 0 ? {} : { Exceptions: exceptions }) },
    }
    checkedAt(at, settings, () => checkOutboundNat('OutBoundNAT', policy))
    return { kind: 'outbound-nat', policy }
  },
  PortMapping: (at, settings) => portMapping(at, { Type: 'PortMapping', Settings: portMapping2(at, settings) }),
  ACL: (at, settings) => ({ kind: 'acl', policy: { Type: 'ACL', Settings: aclSettings(at, settings) } }),
  TierAcl(at, settings) {
    const { Order = 0, ...more } = tier(at, settings)
    return { kind: 'acl', policy: { Type: 'TierAcl', Settings: { Order, ...more } } }
  },
  SDNRoute: (at, settings) => routeOf(route(at, settings)),
  ProviderAddress: (at, settings) => {
    return { kind: 'provider-address', address: providerAddress(at, settings).ProviderAddress }
  },
  VLAN: (at, settings) => ({ kind: 'vlan', id: isolation(vlanId)(at, settings).IsolationId }),
  QOS: (at, settings) => ({ kind: 'qos', bytesPerSecond: qos(at, settings).MaximumOutgoingBandwidthInBytes }),
  PortName: (at, settings) => ({
    kind: 'port-name',
    name: shape<{ Name: string }>({ Name: text }, ['Name'])(at, settings).Name,
  }),
  EncapOverhead: (at, settings) => {
    return {
      kind: 'encap-overhead',
      bytes: shape<{ Overhead: number }>({ Overhead: port }, ['Overhead'])(at, settings).Overhead,
    }
  },
  InterfaceParameters: (at, settings) => {
    return { kind: 'mtu', bytes: shape<{ Mtu: number }>({ Mtu: whole(68, 65_535) }, ['Mtu'])(at, settings).Mtu }
  },
  L4Proxy: () => ({ unsupported: 'there is no proxy here that connections could be sent to' }),
  L4WFPPROXY: () => ({ unsupported: 'there is no proxy here that connections could be sent to' }),
  Encryption: () => ({ unsupported: 'there is no IPsec here' }),
  Iov: () => ({ unsupported: 'there is no SR-IOV here' }),
  InterfaceConstraint: () => ({ unsupported: 'interfaces are given by the topology' }),
  L2Driver: () => ({ unsupported: 'its settings are not public' }),
}

/** The types of the first schema, whose settings stand beside the type. */
const FIRST: Readonly<Record<string, (at: At, policy: unknown) => Found>> = {
  OutBoundNAT(at, settings) {
    const policy: OutboundNatPolicyV1 = { Type: 'OutBoundNAT', ...outboundNat1(at, settings) }
    checkedAt(at, settings, () => checkOutboundNat('OutBoundNAT', policy))
    return { kind: 'outbound-nat', policy }
  },
  NAT: (at, settings) => portMapping(at, { Type: 'NAT', ...nat1(at, settings) }),
  ACL(at, settings) {
    const { InternalPort, ServiceName, ...policy } = acl1(at, settings)
    if (ServiceName !== undefined) return { unsupported: `there are no services of Windows here: ${ServiceName}` }
    if (InternalPort === undefined) return { kind: 'acl', policy: { Type: 'ACL', ...policy } }
    const LocalPorts = [policy.LocalPorts ?? '', String(InternalPort)].filter((s) => s !== '').join()
    return { kind: 'acl', policy: { Type: 'ACL', ...policy, LocalPorts } }
  },
  ROUTE: (at, settings) => routeOf(route(at, settings)),
  PA: (at, settings) => {
    return { kind: 'provider-address', address: shape<{ PA: string }>({ PA: host }, ['PA'], lenient)(at, settings).PA }
  },
  VLAN: (at, settings) => ({
    kind: 'vlan',
    id: shape<{ VLAN: number }>({ VLAN: vlanId }, ['VLAN'])(at, settings).VLAN,
  }),
  VSID: (at, settings) => ({
    kind: 'vsid',
    id: shape<{ VSID: number }>({ VSID: vsidId }, ['VSID'])(at, settings).VSID,
  }),
  Isolation(at, settings) {
    const fields = { VLAN: whole(0, 4094), VSID: whole(0, 0xff_ffff), InDefaultIsolation: bool }
    const read = shape<{ VLAN?: number; VSID?: number; InDefaultIsolation?: boolean }>(fields)(at, settings)
    const { VLAN = 0, VSID = 0 } = read
    if ((VLAN === 0) === (VSID === 0)) refuse(at, settings, 'must have one of VLAN and VSID')
    return VLAN !== 0 ? { kind: 'vlan', id: VLAN } : { kind: 'vsid', id: VSID }
  },
  QOS: (at, settings) => ({ kind: 'qos', bytesPerSecond: qos(at, settings).MaximumOutgoingBandwidthInBytes }),
  PROXY: () => ({ unsupported: 'there is no proxy here that connections could be sent to' }),
  L2Driver: () => ({ unsupported: 'its settings are not public' }),
  VNET: () => ({ unsupported: 'its settings are not public' }),
}

function routeOf(r: { DestinationPrefix: string; NextHop?: string; NeedEncap?: boolean }): Found {
  return { kind: 'route', prefix: r.DestinationPrefix, nextHop: r.NextHop ?? null, needEncap: r.NeedEncap ?? false }
}

function portMapping(at: At, policy: NatPolicyV1 | PortMappingPolicyV2): Found {
  // Which family it is for depends on the endpoint: it is looked at with both.
  checkedAt(at, policy, () => hnsPortMappings(['192.0.2.1', '2001:db8::1'], [policy]))
  return { kind: 'port-mapping', policy }
}

/** Reads one policy of an endpoint, null for one that is listed as not supported. */
export function readEndpointPolicy(
  at: At,
  json: unknown,
  schema: HnsSchema,
  unsupported: Unsupported[],
  options: HnsReadOptions = {},
): HnsEndpointPolicy | null {
  const o = objectOf(at, json)
  const type = peek(o, 'Type')
  const types = schema === 1 ? FIRST : SECOND
  const name = typeof type === 'string' ? Object.keys(types).find((t) => t.toLowerCase() === type.toLowerCase()) : null
  if (name === null) return refuse(under(at, 'Type'), type, `must be the type of a policy, not ${shown(type)}`)
  if (name === undefined) {
    const other = Object.keys(schema === 1 ? SECOND : FIRST).some((t) => t.toLowerCase() === String(type).toLowerCase())
    const hint = other ? `; it is one of the ${schema === 1 ? 'second' : 'first'} schema` : ''
    return refuse(under(at, 'Type'), type, `unknown policy ${shown(type)} in the ${nth(schema)} schema${hint}`)
  }
  const found = (types[name] as (at: At, v: unknown) => Found)(...settingsOf(at, o, schema))
  if (!('unsupported' in found)) return { path: at.path, ...found }
  if (options.unsupported !== 'list') refuse(at, json, `${name} is not supported: ${found.unsupported}`)
  unsupported.push({ path: at.path, what: name, why: found.unsupported })
  return null
}

/** Reads a list of policies. */
export function readEndpointPolicies(
  at: At,
  json: unknown,
  schema: HnsSchema,
  unsupported: Unsupported[],
  options: HnsReadOptions = {},
): HnsEndpointPolicy[] {
  return listOf(anything)(at, json ?? [])
    .map((item, i) => readEndpointPolicy(under(at, i), item, schema, unsupported, options))
    .filter((policy) => policy !== null)
}

/** Where a policy's settings are, and what they are. */
export function settingsOf(at: At, o: Readonly<Record<string, unknown>>, schema: HnsSchema): [At, unknown] {
  const keys = Object.keys(o)
  const settings = keys.find((key) => key.toLowerCase() === 'settings')
  if (schema === 1) {
    if (settings !== undefined) {
      refuse(under(at, settings), o[settings], 'a policy of the first schema has its settings beside its type')
    }
    return [at, Object.fromEntries(Object.entries(o).filter(([key]) => key.toLowerCase() !== 'type'))]
  }
  for (const key of keys) {
    if (key.toLowerCase() === 'type' || key === settings) continue
    refuse(under(at, key), o[key], 'unknown key: a policy of the second schema has its settings in Settings')
  }
  return settings === undefined ? [at, {}] : [under(at, settings), o[settings] ?? {}]
}

function nth(schema: HnsSchema): string {
  return schema === 1 ? 'first' : 'second'
}
