import { checkRange, formatPrefix, masked, type Prefix } from '@l2l3/switch-core'
import { checkKeys, checkObject } from '../outbound/known-keys.ts'
import { readPrefix } from '../outbound/prefix-set.ts'
import type { AclAction, AclDirection, AclRule, AclRuleType } from './rule.ts'
import type { AclDefaults, AclOptions, AclTier } from './rules.ts'

/*
 * ACL and TierAcl policies of an HNS endpoint (modes.md 16), in either schema:
 *
 *     v1   { "Type": "ACL", "Protocol": 6, "Action": "Block", "Direction": "Out", "RemoteAddresses": "10.0.0.0/8,10.9.0.0/16",
 *            "RemotePorts": "80,8000-8080", "Priority": 200, "RuleType": "Switch" }
 *     v2   { "Type": "ACL", "Settings": { "Protocols": "6,17", ...the same } }
 *     v2   { "Type": "TierAcl", "Settings": { "Name": "platform", "Direction": "In", "Order": 10, "TierAclRules": [
 *            { "Id": "a", "Protocols": "6", "TierAclRuleAction": "Pass", ... } ] } }
 *
 * Lists are text with commas. Where addresses stand, names of a network's sets may stand as well (SetPolicy); of several sets, an address
 * has to be in each, which is how Azure's network policies use them. Protocol 256 is any, as its users write it; 252 is VXLAN: UDP to the
 * network's port (supported from HNS 11.0 on).
 */

/** What ACL policies of both schemas have in common. */
export interface AclSettings {
  /** Name of the rule. */
  Id?: string
  /** Numbers: `"6,17"`. */
  Protocols?: string
  Action: 'Allow' | 'Block' | 'Pass'
  Direction: 'In' | 'Out'
  /** Prefixes, addresses, or names of sets. */
  LocalAddresses?: string
  RemoteAddresses?: string
  /** Ports and ranges. */
  LocalPorts?: string
  RemotePorts?: string
  RuleType?: 'Switch' | 'Host'
  /** 0 to 65,535; the lowest counts. */
  Priority?: number
}

/** An ACL policy of the first schema. */
export interface AclPolicyV1 extends AclSettings {
  Type: 'ACL'
  /** As `Protocols`, for one. */
  Protocol?: number
  LocalPort?: number
  RemotePort?: number
}

/** An ACL policy of the second schema. */
export interface AclPolicyV2 {
  Type: 'ACL'
  Settings: AclSettings
}

/** A rule of a tier. */
export interface TierAclRule extends Omit<AclSettings, 'Action' | 'Direction' | 'RuleType'> {
  TierAclRuleAction: 'Allow' | 'Block' | 'Pass'
}

/** A tier of rules. */
export interface TierAclPolicyV2 {
  Type: 'TierAcl'
  Settings: { Name: string; Direction: 'In' | 'Out'; Order: number; TierAclRules?: readonly TierAclRule[] }
}

/** What ACL policies are read with. */
export interface HnsAclOptions {
  /** Addresses and prefixes of the network's sets, by their names. */
  sets?: ReadonlyMap<string, readonly string[]>
  /** Default `process`. */
  defaults?: AclDefaults
  /** Default both. */
  layers?: readonly AclRuleType[]
  /** The port of protocol 252. Default 4789. */
  vxlanPort?: number
}

const SETTINGS_KEYS: readonly string[] = [
  'Id',
  'Protocols',
  'Action',
  'Direction',
  'LocalAddresses',
  'RemoteAddresses',
  'LocalPorts',
  'RemotePorts',
  'RuleType',
  'Priority',
] satisfies (keyof AclSettings)[]
const V1_KEYS: readonly string[] = [...SETTINGS_KEYS, 'Type', 'Protocol', 'LocalPort', 'RemotePort']
const RULE_KEYS: readonly string[] = [
  ...SETTINGS_KEYS.filter((k) => k !== 'Action' && k !== 'Direction' && k !== 'RuleType'),
  'TierAclRuleAction',
]
const TIER_KEYS: readonly string[] = ['Name', 'Direction', 'Order', 'TierAclRules']

/** Any protocol, and VXLAN, among protocols. */
const ANY = 256
const VXLAN = 252
const UDP = 17

/** The access control list of an endpoint with these policies. Throws a TypeError or RangeError with key and value. */
export function hnsAcl(
  policies: readonly (AclPolicyV1 | AclPolicyV2 | TierAclPolicyV2)[],
  options: HnsAclOptions = {},
): AclOptions {
  const rules: AclRule[] = []
  const tiers: AclTier[] = []
  for (const [i, policy] of policies.entries()) {
    const key = `policies[${i}]`
    checkObject(key, policy)
    if (policy.Type === 'TierAcl') tiers.push(readTier(`${key}.Settings`, policy.Settings, options))
    else if (policy.Type !== 'ACL') {
      throw new TypeError(
        `${key}.Type must be ACL or TierAcl, not ${JSON.stringify((policy as { Type: unknown }).Type)}`,
      )
    } else if ('Settings' in policy) {
      checkKeys(`${key}: `, policy, ['Type', 'Settings'])
      checkObject(`${key}.Settings`, policy.Settings)
      checkKeys(`${key}.Settings: `, policy.Settings, SETTINGS_KEYS)
      rules.push(...readRule(`${key}.Settings`, policy.Settings, options))
    } else rules.push(...readV1(key, policy, options))
  }
  return {
    rules,
    tiers,
    ...(options.defaults === undefined ? {} : { defaults: options.defaults }),
    ...(options.layers === undefined ? {} : { layers: options.layers }),
  }
}

function readV1(key: string, policy: AclPolicyV1, options: HnsAclOptions): AclRule[] {
  checkKeys(`${key}: `, policy, V1_KEYS)
  const { Protocol: protocol = 0, LocalPort: local = 0, RemotePort: remote = 0, Type: _type, ...settings } = policy
  // 0 is what an absent number is in the original's JSON.
  const joined = (list: string | undefined, one: number): string =>
    [list ?? '', one === 0 ? '' : String(one)].filter((s) => s !== '').join()
  return readRule(
    key,
    {
      ...settings,
      Protocols: joined(settings.Protocols, protocol),
      LocalPorts: joined(settings.LocalPorts, local),
      RemotePorts: joined(settings.RemotePorts, remote),
    },
    options,
  )
}

function readTier(key: string, tier: TierAclPolicyV2['Settings'], options: HnsAclOptions): AclTier {
  checkObject(key, tier)
  checkKeys(`${key}: `, tier, TIER_KEYS)
  const { Name: name, Order: order, TierAclRules: list = [] } = tier
  if (typeof name !== 'string') throw new TypeError(`${key}.Name must be text, not ${JSON.stringify(name)}`)
  if (!Array.isArray(list)) throw new TypeError(`${key}.TierAclRules must be a list, not ${JSON.stringify(list)}`)
  const rules = (list as readonly TierAclRule[]).flatMap((rule, i) => {
    const at = `${key}.TierAclRules[${i}]`
    checkObject(at, rule)
    checkKeys(`${at}: `, rule, RULE_KEYS)
    const { TierAclRuleAction: Action, ...rest } = rule
    const id = `${name}/${rule.Id ?? i}`
    return readRule(at, { ...rest, Id: id, Action, Direction: tier.Direction }, options)
  })
  return { name, order: checkRange(`${key}.Order`, order ?? 0, 0, 0xffff), rules }
}

/** The rule of these settings; of protocol 252 beside others, two. */
function readRule(key: string, s: AclSettings, options: HnsAclOptions): AclRule[] {
  const protocols = itemsOf(`${key}.Protocols`, s.Protocols).map((text) => {
    if (!/^\d{1,3}$/.test(text)) throw new TypeError(`${key}.Protocols: ${JSON.stringify(text)} is not a number`)
    return checkRange(`${key}.Protocols`, Number(text), 0, ANY)
  })
  const localPorts = itemsOf(`${key}.LocalPorts`, s.LocalPorts)
  const remotePorts = itemsOf(`${key}.RemotePorts`, s.RemotePorts)
  const localAddresses = addresses(`${key}.LocalAddresses`, s.LocalAddresses, options)
  const remoteAddresses = addresses(`${key}.RemoteAddresses`, s.RemoteAddresses, options)
  // A set without members has nobody in it, and so has a rule about it.
  if (localAddresses === null || remoteAddresses === null) return []
  const direction = wordOf<AclDirection>(`${key}.Direction`, s.Direction, ['In', 'Out'])
  const rule: AclRule = {
    ...(s.Id === undefined ? {} : { name: s.Id }),
    action: wordOf<AclAction>(`${key}.Action`, s.Action, ['Allow', 'Block', 'Pass']),
    direction,
    localAddresses,
    remoteAddresses,
    localPorts,
    remotePorts,
    priority: checkRange(`${key}.Priority`, s.Priority ?? 0, 0, 0xffff),
    ruleType: wordOf<AclRuleType>(`${key}.RuleType`, s.RuleType ?? 'Switch', ['Switch', 'Host']),
  }
  if (protocols.includes(ANY) || protocols.length === 0) return [rule]
  const others = protocols.filter((p) => p !== VXLAN)
  const rules = others.length > 0 ? [{ ...rule, protocols: others }] : []
  if (others.length === protocols.length) return rules
  if (localPorts.length > 0 || remotePorts.length > 0) {
    throw new TypeError(`${key}: protocol 252 (VXLAN) has its port, and LocalPorts and RemotePorts are others`)
  }
  const port = [options.vxlanPort ?? 4789]
  const to = direction === 'out' ? { remotePorts: port } : { localPorts: port }
  return [...rules, { ...rule, protocols: [UDP], ...to }]
}

/** The prefixes of a list; null: those of sets that nobody is in. */
function addresses(key: string, list: string | undefined, { sets }: HnsAclOptions): string[] | null {
  const items = itemsOf(key, list)
  const named = items.filter((item) => sets?.has(item))
  if (named.length === 0) {
    return items.map((item) => {
      if (!/^[\da-f:.]+(\/\d+)?$/i.test(item)) {
        throw new TypeError(`${key}: ${JSON.stringify(item)} is neither a prefix nor one of the network's sets`)
      }
      readPrefix(key, item)
      return item
    })
  }
  if (named.length < items.length) {
    throw new TypeError(`${key}: ${JSON.stringify(list)} has both sets and prefixes`)
  }
  const members = named.map((name) => (sets?.get(name) ?? []).map((text) => readPrefix(`${key}: set ${name}`, text)))
  const common = members.reduce((a, b) => a.flatMap((p) => b.flatMap((q) => both(p, q))))
  return common.length === 0 ? null : common.map((p) => formatPrefix(p.words, p.length))
}

/** What two prefixes have in common: the longer one, or nothing. */
function both(p: Prefix, q: Prefix): Prefix[] {
  if (p.words.length !== q.words.length) return []
  const [short, long] = p.length <= q.length ? [p, q] : [q, p]
  const inside = masked(long.words, short.length).every((word, i) => word === short.words[i])
  return inside ? [long] : []
}

function itemsOf(key: string, list: string | undefined): string[] {
  if (list === undefined) return []
  if (typeof list !== 'string') throw new TypeError(`${key} must be text, not ${JSON.stringify(list)}`)
  return list
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
}

function wordOf<T extends string>(key: string, value: string, values: readonly string[]): T {
  if (!values.includes(value)) {
    throw new TypeError(`${key} must be ${values.join(' or ')}, not ${JSON.stringify(value)}`)
  }
  return value.toLowerCase() as T
}
