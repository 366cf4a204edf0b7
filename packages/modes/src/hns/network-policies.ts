import type { AclSettings } from '@l2l3/nat'
import type { HnsReadOptions, HnsSchema, Unsupported } from './common.ts'
import { commas } from './common.ts'
import { aclSettings, settingsOf } from './endpoint-policies.ts'
import { type At, refuse, shown, under } from './error.ts'
import {
  anything,
  bool,
  type Field,
  guid,
  host,
  listOf,
  mac,
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
 * Policies of networks and of their subnets (modes.md 4.1 and 16). What is the same on all endpoints of a network stands here: where
 * remote subnets of an overlay are, its UDP port, sets of addresses for ACLs.
 */

/** A policy of a network. */
export type HnsNetworkPolicy = { readonly path: string } & (
  | { readonly kind: 'source-mac'; readonly mac: string }
  | { readonly kind: 'adapter'; readonly name: string }
  | { readonly kind: 'extension'; readonly id: string; readonly enable: boolean }
  | { readonly kind: 'provider-address'; readonly address: string }
  | { readonly kind: 'dr-mac'; readonly mac: string }
  | { readonly kind: 'automatic-dns'; readonly enable: boolean }
  | {
      /** Where a part of an overlay is: behind another node. */
      readonly kind: 'remote-subnet'
      readonly prefix: string
      readonly vsid: number
      readonly providerAddress: string
      readonly drMac: string
    }
  | { readonly kind: 'vxlan-port'; readonly port: number }
  | { readonly kind: 'host-route' }
  | {
      readonly kind: 'set'
      readonly id: string
      readonly name: string
      /** Whether its values are names of other sets. */
      readonly nested: boolean
      readonly values: readonly string[]
    }
  | { readonly kind: 'acl'; readonly settings: AclSettings }
  | { readonly kind: 'vlan'; readonly id: number }
  | { readonly kind: 'vsid'; readonly id: number }
)

type WithoutPath<T> = T extends unknown ? Omit<T, 'path'> : never
type Found = WithoutPath<HnsNetworkPolicy> | { unsupported: string }

const one = <K extends string, T>(key: K, field: Field<T>): Field<{ [k in K]: T }> =>
  shape<{ [k in K]: T }>({ [key]: field } as never, [key] as never)

const vlanId = whole(1, 4094)
/** Windows' own type for it has 16 bits, its documentation 32, VXLAN 24 (modes.md 4.1). */
const vsidId = whole(1, 0xff_ffff)

interface RemoteSubnet {
  DestinationPrefix: string
  IsolationId: number
  ProviderAddress: string
  DistributedRouterMacAddress: string
}
const remoteSubnet = shape<RemoteSubnet>(
  { DestinationPrefix: prefix, IsolationId: vsidId, ProviderAddress: host, DistributedRouterMacAddress: mac },
  ['DestinationPrefix', 'IsolationId', 'ProviderAddress', 'DistributedRouterMacAddress'],
)
interface SetDocument {
  Id: string
  Name?: string
  PolicyType?: 'IPSET' | 'NESTEDIPSET'
  Values?: string
}
const set = shape<SetDocument>({ Id: text, Name: text, PolicyType: word(['IPSET', 'NESTEDIPSET']), Values: text }, [
  'Id',
])

function remoteSubnetRoute(at: At, s: unknown): Found {
  const r = remoteSubnet(at, s)
  if (r.IsolationId < 4096) refuse(under(at, 'IsolationId'), r.IsolationId, 'is below 4096, where Windows begins')
  return {
    kind: 'remote-subnet',
    prefix: r.DestinationPrefix,
    vsid: r.IsolationId,
    providerAddress: r.ProviderAddress,
    drMac: r.DistributedRouterMacAddress,
  }
}

function hostRoute(at: At, s: unknown): Found {
  shape<object>({})(at, s)
  return { kind: 'host-route' }
}

/** The types of the second schema. */
const SECOND: Readonly<Record<string, (at: At, settings: unknown) => Found>> = {
  SourceMacAddress: (at, s) => ({ kind: 'source-mac', mac: one('SourceMacAddress', mac)(at, s).SourceMacAddress }),
  NetAdapterName: (at, s) => ({ kind: 'adapter', name: one('NetworkAdapterName', text)(at, s).NetworkAdapterName }),
  VSwitchExtension(at, s) {
    const fields = { ExtensionID: guid, Enable: bool }
    const read = shape<{ ExtensionID: string; Enable?: boolean }>(fields, ['ExtensionID'])(at, s)
    return { kind: 'extension', id: read.ExtensionID, enable: read.Enable ?? false }
  },
  ProviderAddress: (at, s) => ({
    kind: 'provider-address',
    address: one('ProviderAddress', host)(at, s).ProviderAddress,
  }),
  DrMacAddress: (at, s) => ({ kind: 'dr-mac', mac: one('Address', mac)(at, s).Address }),
  AutomaticDNS: (at, s) => {
    return { kind: 'automatic-dns', enable: shape<{ Enable?: boolean }>({ Enable: bool })(at, s).Enable ?? false }
  },
  RemoteSubnetRoute: remoteSubnetRoute,
  VxlanPort: (at, s) => ({ kind: 'vxlan-port', port: one('Port', whole(1, 65_535))(at, s).Port }),
  HostRoute: hostRoute,
  SetPolicy(at, s) {
    const { Id: id, Name: name = id, PolicyType: type = 'IPSET', Values } = set(at, s)
    const nested = type === 'NESTEDIPSET'
    const values = commas(Values)
    if (!nested) for (const value of values) prefix(under(at, 'Values'), value)
    return { kind: 'set', id, name, nested, values }
  },
  NetworkACL: (at, s) => ({ kind: 'acl', settings: aclSettings(at, s) }),
  InterfaceConstraint: () => ({ unsupported: 'interfaces are given by the topology' }),
  L4Proxy: () => ({ unsupported: 'there is no proxy here that connections could be sent to' }),
  LayerConstraint: () => ({ unsupported: 'there are no layers of VFP here that policies could be kept to' }),
}

/** The types of the first schema. */
const FIRST: Readonly<Record<string, (at: At, policy: unknown) => Found>> = {
  VLAN: (at, s) => ({ kind: 'vlan', id: one('VLAN', vlanId)(at, s).VLAN }),
  VSID: (at, s) => ({ kind: 'vsid', id: one('VSID', vsidId)(at, s).VSID }),
  PA: (at, s) => ({ kind: 'provider-address', address: one('PA', host)(at, s).PA }),
  VxlanPort: (at, s) => ({ kind: 'vxlan-port', port: one('Port', port)(at, s).Port }),
  RemoteSubnetRoute: remoteSubnetRoute,
  HostRoute: hostRoute,
  L2Driver: () => ({ unsupported: 'its settings are not public' }),
}

/** Reads the policies of a network. */
export function readNetworkPolicies(
  at: At,
  json: unknown,
  schema: HnsSchema,
  unsupported: Unsupported[],
  options: HnsReadOptions = {},
): HnsNetworkPolicy[] {
  const types = schema === 1 ? FIRST : SECOND
  return listOf(anything)(at, json ?? []).flatMap((item, i): HnsNetworkPolicy[] => {
    const place = under(at, i)
    const o = objectOf(place, item)
    const type = peek(o, 'Type')
    const name = Object.keys(types).find((t) => typeof type === 'string' && t.toLowerCase() === type.toLowerCase())
    if (name === undefined) {
      refuse(
        under(place, 'Type'),
        type,
        `unknown policy ${shown(type)}; networks have ${Object.keys(types).join(', ')}`,
      )
    }
    const found = (types[name as string] as (at: At, s: unknown) => Found)(...settingsOf(place, o, schema))
    if (!('unsupported' in found)) return [{ path: place.path, ...found }]
    if (options.unsupported !== 'list') refuse(place, item, `${name} is not supported: ${found.unsupported}`)
    unsupported.push({ path: place.path, what: name as string, why: found.unsupported })
    return []
  })
}

/** Reads the policies of a subnet: its VLAN or its VNI. */
export function readSubnetPolicies(
  at: At,
  json: unknown,
  schema: HnsSchema,
): { readonly vlan: number | null; readonly vsid: number | null } {
  let vlan: number | null = null
  let vsid: number | null = null
  for (const [i, item] of listOf(anything)(at, json ?? []).entries()) {
    const place = under(at, i)
    const o = objectOf(place, item)
    const type = word(['VLAN', 'VSID'])(under(place, 'Type'), peek(o, 'Type'))
    const [where, settings] = settingsOf(place, o, schema)
    const key = schema === 1 ? type : 'IsolationId'
    const id = one(key, type === 'VLAN' ? vlanId : vsidId)(where, settings)[key] as number
    if ((type === 'VLAN' ? vlan : vsid) !== null) refuse(place, item, `a second policy ${type}`)
    if (type === 'VLAN') vlan = id
    else vsid = id
  }
  return { vlan, vsid }
}

/** How deep sets are nested at most. */
const MOST_NESTED = 32

/** The members of the sets of a network, by id and by name: of nested ones those of the sets they name. Throws an HnsError for a set that is
 * not there, or that is in itself. */
export function membersOf(at: At, policies: readonly HnsNetworkPolicy[]): Map<string, readonly string[]> {
  const sets = policies.filter((p) => p.kind === 'set')
  const members = new Map<string, readonly string[]>()
  const find = (id: string, path: string, above: readonly string[]): readonly string[] => {
    const found = sets.find((s) => s.id === id) ?? sets.find((s) => s.name === id)
    if (found === undefined) return refuse({ ...at, path }, id, `the network has no set ${shown(id)}`)
    if (above.length > MOST_NESTED) return refuse({ ...at, path }, id, `sets are nested deeper than ${MOST_NESTED}`)
    if (above.includes(found.id)) return refuse({ ...at, path }, id, `set ${shown(found.id)} is in itself`)
    const known = members.get(found.id)
    if (known !== undefined) return known
    const values = found.nested
      ? [...new Set(found.values.flatMap((v) => find(v, found.path, [...above, found.id])))]
      : found.values
    members.set(found.id, values)
    return values
  }
  for (const s of sets) members.set(s.name, find(s.id, s.path, []))
  return members
}
