import { checkRange } from '@l2l3/switch-core'
import type { Addresses6 } from '../addresses6.ts'
import type { OutsideAddresses } from '../policy.ts'
import { checkKeys, checkObject } from './known-keys.ts'
import { OutboundNat } from './outbound-nat.ts'
import type { OutboundRule } from './outbound-rule.ts'
import type { OutsidePorts } from './outside-ports.ts'
import { PrefixSet, readHost } from './prefix-set.ts'
import { SourceNat } from './source-nat.ts'
import { BEHAVIOUR } from './source-nat-options.ts'

/*
 * OutBoundNAT of an HNS endpoint (modes.md 2.3), in either schema:
 *
 *     v1   { "Type": "OutBoundNAT", "ExceptionList": [cidr], "VIP": ip, "Destinations": [ip], "MaxPortPoolUsage": n }
 *     v2   { "Type": "OutBoundNAT", "Settings": { "Exceptions": [cidr], "VirtualIP": ip, "Destinations": [ip], "Flags": n,
 *            "MaxPortPoolUsage": n } }
 *
 *     Exceptions                  to these, no translation
 *     Destinations                translation to these alone, less its own exceptions: loopback DSR has the endpoint's own
 *                                 address here
 *     neither                     everything that leaves is translated
 *
 * Of several policies of an endpoint
 *   1. those with destinations are asked first. Else loopback DSR would never work: the endpoint's own address is in the
 *      cluster's CIDR, which is everyone's exception;
 *   2. the exceptions of all the others count together, since win-bridge adds a second policy rather than amend the first;
 *   3. the first of the others translates.
 * The original says nothing of this in public; it is what its users rely on. Flag 2 makes a policy one for IPv6.
 * TCP and UDP are translated, everything else leaves as it is (modes.md 2.4).
 */

/** Flags of an OutBoundNAT policy (hcsshim hcn, NatFlags). */
export const OutboundNatFlag = {
  /** The virtual address is routed to this node. Nothing differs in the translation. */
  LocalRoutedVip: 1,
  IPv6: 2,
} as const

/** An OutBoundNAT policy of the first schema. */
export interface OutboundNatPolicyV1 {
  Type: 'OutBoundNAT'
  ExceptionList?: readonly string[]
  VIP?: string
  Destinations?: readonly string[]
  MaxPortPoolUsage?: number
}

/** What an OutBoundNAT policy of the second schema sets. */
export interface OutboundNatSettingsV2 {
  Exceptions?: readonly string[]
  VirtualIP?: string
  Destinations?: readonly string[]
  Flags?: number
  MaxPortPoolUsage?: number
}

/** An OutBoundNAT policy of the second schema. */
export interface OutboundNatPolicyV2 {
  Type: 'OutBoundNAT'
  Settings: OutboundNatSettingsV2
}

/** An endpoint and its policies. */
export interface HnsOutboundNatOptions {
  /** Addresses of the endpoint. */
  endpoint: readonly string[]
  policies: readonly (OutboundNatPolicyV1 | OutboundNatPolicyV2)[]
  /** The host's addresses, for policies without a virtual one. */
  outside: OutsideAddresses
  /** Whether queries of ICMP are translated too. Default false. */
  icmpTransposition?: boolean
  /** What becomes of protocols that are not translated. Default `pass`. */
  otherProtocols?: 'pass' | 'drop'
  outsidePorts?: OutsidePorts
  /** NATs that may be shared, by their settings, by all whose policies have no `MaxPortPoolUsage`. Default: none. */
  shared?: Map<string, SourceNat>
  seed?: number
}

/** An OutBoundNAT policy of either schema in one form. */
interface Policy {
  readonly exceptions: readonly string[]
  readonly destinations: readonly string[]
  readonly vip: string | null
  readonly family: 4 | 6
  readonly limit: number | undefined
}

const KEYS: readonly string[] = [
  'endpoint',
  'policies',
  'outside',
  'icmpTransposition',
  'otherProtocols',
  'outsidePorts',
  'shared',
  'seed',
] satisfies (keyof HnsOutboundNatOptions)[]
const V1_KEYS: readonly string[] = ['Type', 'ExceptionList', 'VIP', 'Destinations', 'MaxPortPoolUsage']
const V2_KEYS: readonly string[] = ['Exceptions', 'VirtualIP', 'Destinations', 'Flags', 'MaxPortPoolUsage']

/** The outbound NAT of an endpoint. Throws a TypeError or RangeError with key and value. */
export function hnsOutboundNat(addresses: Addresses6, options: HnsOutboundNatOptions): OutboundNat {
  return new OutboundNat(hnsOutboundRules(addresses, options))
}

/** The rules that `hnsOutboundNat` makes, for an outbound NAT that is several endpoints'. They are about packets from the endpoint
 * alone. Throws as it does.
 * @param which those with destinations (loopback DSR), those without, or all of them */
export function hnsOutboundRules(
  addresses: Addresses6,
  options: HnsOutboundNatOptions,
  which: 'all' | 'destinations' | 'general' = 'all',
): OutboundRule[] {
  checkKeys('', options, KEYS)
  const { icmpTransposition = false } = options
  if (typeof icmpTransposition !== 'boolean') {
    throw new TypeError(`icmpTransposition must be true or false, not ${JSON.stringify(icmpTransposition)}`)
  }
  const policies = options.policies.map((policy, i) => readPolicy(`policies[${i}]`, policy))
  const endpoint = new PrefixSet('endpoint', options.endpoint)
  const from = endpoint.prefixes
  const rules: OutboundRule[] = []
  for (const family of [4, 6] as const) {
    if (!endpoint.has(family)) continue
    const ofFamily = policies.filter((policy) => policy.family === family)
    for (const p of ofFamily.filter((policy) => which !== 'general' && policy.destinations.length > 0)) {
      rules.push({ family, from, to: p.destinations, notTo: p.exceptions, verdict: natOf(addresses, p, options) })
    }
    const general = ofFamily.filter((policy) => which !== 'destinations' && policy.destinations.length === 0)
    const first = general[0]
    if (first === undefined) continue
    const exceptions = general.flatMap((policy) => policy.exceptions)
    if (exceptions.length > 0) rules.push({ family, from, to: exceptions, verdict: 'accept' })
    rules.push({ family, from, verdict: natOf(addresses, first, options) })
  }
  return rules
}

/** Throws as `hnsOutboundNat` does where a policy makes no sense.
 * @param key what the policy is called: `policies[0]` */
export function checkOutboundNat(key: string, policy: OutboundNatPolicyV1 | OutboundNatPolicyV2): void {
  readPolicy(key, policy)
}

/** The policy that win-bridge's `ipMasqNetwork` adds to others, in a list of its own policy kind; the list as it was, where
 * one of them names exactly this network as an exception already (modes.md 2.3). */
export function withIpMasqNetwork(
  policies: readonly (OutboundNatPolicyV1 | OutboundNatPolicyV2)[],
  network: string,
  apiVersion: 1 | 2 = 1,
): (OutboundNatPolicyV1 | OutboundNatPolicyV2)[] {
  const listed = policies.some((policy) =>
    ('Settings' in policy ? policy.Settings.Exceptions : policy.ExceptionList)?.includes(network),
  )
  if (listed) return [...policies]
  if (apiVersion === 1) return [...policies, { Type: 'OutBoundNAT', ExceptionList: [network] }]
  return [...policies, { Type: 'OutBoundNAT', Settings: { Exceptions: [network] } }]
}

/** The policy that win-bridge's and win-overlay's `loopbackDSR` adds: an endpoint that reaches itself by the address of a
 * service is translated, so that the answer comes back through the virtual switch. */
export function loopbackDsr(endpoint: string, apiVersion: 1 | 2 = 1): OutboundNatPolicyV1 | OutboundNatPolicyV2 {
  readHost('endpoint', endpoint)
  const flags = endpoint.includes(':') ? OutboundNatFlag.IPv6 : 0
  if (apiVersion === 1 && flags === 0) return { Type: 'OutBoundNAT', Destinations: [endpoint] }
  return { Type: 'OutBoundNAT', Settings: { Destinations: [endpoint], Flags: flags } }
}

function natOf(addresses: Addresses6, policy: Policy, options: HnsOutboundNatOptions): SourceNat {
  const { shared } = options
  if (shared === undefined || policy.limit !== undefined) return newNat(addresses, policy, options)
  const key = policy.vip ?? 'outside'
  const nat = shared.get(key) ?? newNat(addresses, policy, options)
  shared.set(key, nat)
  return nat
}

function newNat(addresses: Addresses6, policy: Policy, options: HnsOutboundNatOptions): SourceNat {
  return new SourceNat(addresses, {
    ...BEHAVIOUR.hns,
    ...(options.icmpTransposition === true ? { protocols: [1, 6, 17, 58], icmpTransposition: true } : {}),
    ...(options.otherProtocols === undefined ? {} : { otherProtocols: options.otherProtocols }),
    ...(policy.vip === null ? { outside: options.outside } : { to: [policy.vip] }),
    ...(policy.limit === undefined ? {} : { maxPortPoolUsage: policy.limit }),
    ...(options.outsidePorts === undefined ? {} : { outsidePorts: options.outsidePorts }),
    seed: options.seed ?? 0,
  })
}

function readPolicy(key: string, policy: OutboundNatPolicyV1 | OutboundNatPolicyV2): Policy {
  checkObject(key, policy)
  if (policy.Type !== 'OutBoundNAT') {
    throw new TypeError(`${key}.Type must be "OutBoundNAT", not ${JSON.stringify((policy as { Type: unknown }).Type)}`)
  }
  const second = 'Settings' in policy
  if (second) checkObject(`${key}.Settings`, policy.Settings)
  const settings: OutboundNatSettingsV2 = second
    ? policy.Settings
    : {
        Exceptions: policy.ExceptionList ?? [],
        VirtualIP: policy.VIP ?? '',
        Destinations: policy.Destinations ?? [],
        MaxPortPoolUsage: policy.MaxPortPoolUsage ?? 0,
      }
  if (second) checkKeys(`${key}.Settings: `, settings, V2_KEYS)
  checkKeys(`${key}: `, policy, second ? ['Type', 'Settings'] : V1_KEYS)
  const flags = checkRange(`${key}.Flags`, settings.Flags ?? 0, 0, 3)
  const family = (flags & OutboundNatFlag.IPv6) === 0 ? 4 : 6
  const exceptions = new PrefixSet(`${key}.Exceptions`, settings.Exceptions ?? [])
  const destinations = new PrefixSet(`${key}.Destinations`, settings.Destinations ?? [])
  for (const set of [exceptions, destinations]) {
    const other = family === 4 ? 6 : 4
    if (set.has(other))
      throw new TypeError(`${key}: ${set.prefixes} has IPv${other}, and the policy is for IPv${family}`)
  }
  const vip = settings.VirtualIP === undefined || settings.VirtualIP === '' ? null : settings.VirtualIP
  if (vip !== null && readHost(`${key}.VirtualIP`, vip).length !== (family === 4 ? 1 : 4)) {
    throw new TypeError(`${key}.VirtualIP: ${JSON.stringify(vip)} is not IPv${family}`)
  }
  // 0 is what an absent number is in the original's JSON.
  const usage = checkRange(`${key}.MaxPortPoolUsage`, settings.MaxPortPoolUsage ?? 0, 0, 65_535)
  return {
    exceptions: exceptions.prefixes,
    destinations: destinations.prefixes,
    vip,
    family,
    limit: usage === 0 ? undefined : usage,
  }
}
