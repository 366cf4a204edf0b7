// ACL and TierAcl policies of HNS, in either schema.
import { describe, expect, it } from 'vitest'
import { type AclPolicyV1, hnsAcl } from '../../src/index.ts'

const v1: AclPolicyV1 = {
  Type: 'ACL',
  Protocols: '6',
  Action: 'Block',
  Direction: 'Out',
  RemoteAddresses: '168.63.129.16/32',
  RemotePorts: '80',
  Priority: 200,
  RuleType: 'Switch',
}
const rule = {
  action: 'block',
  direction: 'out',
  protocols: [6],
  localAddresses: [],
  remoteAddresses: ['168.63.129.16/32'],
  localPorts: [],
  remotePorts: ['80'],
  priority: 200,
  ruleType: 'switch',
}

it('both schemas come to the same rule', () => {
  const { Type, ...Settings } = v1
  expect(hnsAcl([v1])).toEqual({ rules: [rule], tiers: [] })
  expect(hnsAcl([{ Type, Settings }])).toEqual({ rules: [rule], tiers: [] })
  const { Protocols: _p, RemotePorts: _r, ...rest } = v1
  expect(hnsAcl([{ ...rest, Protocol: 6, RemotePort: 80 }])).toEqual({ rules: [rule], tiers: [] })
})

it('lists, any protocol, VXLAN', () => {
  const read = (Protocols: string, more: object = {}): unknown[] =>
    (hnsAcl([{ Type: 'ACL', Settings: { Protocols, Action: 'Allow', Direction: 'In', ...more } }]).rules ?? []).map(
      (r) => [r.protocols ?? 'any', r.localPorts, r.remotePorts],
    )
  expect(read('6, 17', { LocalPorts: '80,8000-8080' })).toEqual([[[6, 17], ['80', '8000-8080'], []]])
  expect(read('256')).toEqual([['any', [], []]])
  expect(read('')).toEqual([['any', [], []]])
  expect(read('252')).toEqual([[[17], [4789], []]])
  expect(read('6,252', { Direction: 'Out' })).toEqual([
    [[6], [], []],
    [[17], [], [4789]],
  ])
})

it('tiers', () => {
  const acl = hnsAcl([
    {
      Type: 'TierAcl',
      Settings: {
        Name: 'platform',
        Direction: 'In',
        Order: 10,
        TierAclRules: [
          { Id: 'a', TierAclRuleAction: 'Pass', Protocols: '17', Priority: 7 },
          { TierAclRuleAction: 'Block' },
        ],
      },
    },
  ])
  expect(acl.tiers).toMatchObject([
    {
      name: 'platform',
      order: 10,
      rules: [
        { name: 'platform/a', action: 'pass', direction: 'in', protocols: [17], priority: 7 },
        { name: 'platform/1', action: 'block', direction: 'in', priority: 0 },
      ],
    },
  ])
})

it('sets of the network: one, several at once, and one that nobody is in', () => {
  const sets = new Map([
    ['azure-npm-1', ['10.1.0.0/16', '10.2.0.7']],
    ['azure-npm-2', ['10.1.4.0/24', '10.2.0.0/16', '11.0.0.0/8']],
    ['azure-npm-3', []],
  ])
  const remote = (RemoteAddresses: string): unknown =>
    hnsAcl([{ Type: 'ACL', Settings: { Action: 'Block', Direction: 'In', RemoteAddresses } }], { sets }).rules?.[0]
      ?.remoteAddresses
  expect(remote('azure-npm-1')).toEqual(['10.1.0.0/16', '10.2.0.7/32'])
  expect(remote('azure-npm-1,azure-npm-2')).toEqual(['10.1.4.0/24', '10.2.0.7/32'])
  expect(remote('azure-npm-3')).toBe(undefined)
  expect(() => remote('azure-npm-1,10.0.0.0/8')).toThrow('"azure-npm-1,10.0.0.0/8" has both sets and prefixes')
  expect(() => remote('azure-npm-4')).toThrow('"azure-npm-4" is neither a prefix nor one of the network\'s sets')
})

describe('refuses', () => {
  const { Type: _type, ...settings } = v1
  it.each<[object, string]>([
    [{ ...v1, Action: 'Deny' }, 'policies[0].Action must be Allow or Block or Pass, not "Deny"'],
    [{ ...v1, Direction: 'Both' }, 'policies[0].Direction must be In or Out, not "Both"'],
    [{ ...v1, RuleType: 'Wfp' }, 'policies[0].RuleType must be Switch or Host, not "Wfp"'],
    [{ ...v1, Protocols: 'tcp' }, 'policies[0].Protocols: "tcp" is not a number'],
    [{ ...v1, Protocols: '257' }, 'policies[0].Protocols must be'],
    [{ ...v1, Priority: 70_000 }, 'policies[0].Priority must be'],
    [{ ...v1, ServiceName: 'dns' }, 'policies[0]: unknown key "ServiceName"'],
    [{ ...v1, RemoteAddresses: 7 }, 'policies[0].RemoteAddresses must be text, not 7'],
    [{ ...v1, Protocols: '252' }, 'policies[0]: protocol 252 (VXLAN) has its port'],
    [{ Type: 'ACL', Settings: { ...settings, Port: 1 } }, 'policies[0].Settings: unknown key "Port"'],
    [{ Type: 'ACL', Settings: 5 }, 'policies[0].Settings must be an object, not 5'],
    [{ Type: 'NAT' }, 'policies[0].Type must be ACL or TierAcl, not "NAT"'],
    [
      { Type: 'TierAcl', Settings: { Name: 'x', Direction: 'In', Order: 1, TierAclRules: [{ Action: 'Pass' }] } },
      'policies[0].Settings.TierAclRules[0]: unknown key "Action"',
    ],
    [{ Type: 'TierAcl', Settings: { Name: 'x', Direction: 'In', Order: -1 } }, 'policies[0].Settings.Order must be'],
  ])('%j', (policy, message) => expect(() => hnsAcl([policy as AclPolicyV1])).toThrow(message))
})
