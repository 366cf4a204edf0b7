import {
  type AclOptions,
  type AclPolicyV1,
  type AclPolicyV2,
  type HnsAclOptions,
  hnsAcl,
  type TierAclPolicyV2,
} from '@l2l3/nat'
import type { HnsEndpointPolicy } from './endpoint-policies.ts'
import type { HnsNetwork } from './network.ts'
import { membersOf } from './network-policies.ts'

/*
 * The access control list of an endpoint, as the filter of `@l2l3/nat` takes it.
 *
 *     endpoint's ACL, TierAcl        its rules and tiers
 *     network's NetworkACL           rules of all its endpoints, among their own by priority (our choice: it is not public)
 *     network's SetPolicy            what names in addresses stand for
 *     network's VxlanPort            the port of protocol 252
 *     network's type                 Transparent and NAT: Windows Firewall alone is there, and a switch rule an error (modes.md 16)
 */

/** The list of an endpoint that has these policies. Throws an HnsError for sets, and a TypeError or RangeError for rules, that make no sense. */
export function aclOf(
  network: Pick<HnsNetwork, 'type' | 'policies' | 'name'>,
  policies: readonly HnsEndpointPolicy[],
): AclOptions {
  const list: (AclPolicyV1 | AclPolicyV2 | TierAclPolicyV2)[] = []
  for (const p of policies) if (p.kind === 'acl') list.push(p.policy)
  const options: HnsAclOptions = {}
  for (const p of network.policies) {
    if (p.kind === 'acl') list.push({ Type: 'ACL', Settings: p.settings })
    else if (p.kind === 'vxlan-port') options.vxlanPort = p.port
  }
  options.sets = membersOf({ document: `network ${network.name ?? ''}`, path: '$' }, network.policies)
  if (network.type === 'Transparent' || network.type === 'NAT') options.layers = ['host']
  return hnsAcl(list, options)
}
