import { checkKeys } from './known-keys.ts'
import type { OutboundRule } from './outbound-rule.ts'
import { readPrefix } from './prefix-set.ts'
import type { SourceNat } from './source-nat.ts'

/*
 * The chains that Linux network plugins write, as lists of rules in the order of the original. Each gives fresh rules for
 * one family, to be joined with others:
 *
 *     new OutboundNat([...markedMasquerade(nat), ...cniIpMasq({ ... })])
 *
 * In netfilter each jump from POSTROUTING is a list of its own: RETURN goes back to the next jump, ACCEPT ends them all.
 * Where a chain has a RETURN that others may follow, make it an `OutboundNat` of its own and put several in the engine's
 * list of policies; `return` then is RETURN.
 */

const MULTICAST = { 4: '224.0.0.0/4', 6: 'ff00::/8' } as const

/** Translates what port mappings and services have marked: KUBE-POSTROUTING (mark 0x4000) and CNI-HOSTPORT-MASQ (0x2000;
 * modes.md 17.2, 17.3). Both stand in front of everything else. */
export function markedMasquerade(nat: SourceNat): OutboundRule[] {
  return [{ marked: true, verdict: nat }]
}

/** What `ipMasq` of the CNI plugins bridge and ptp is about. */
export interface IpMasqOptions {
  /** Addresses of the pods, all of one family. */
  pods: readonly string[]
  /** Their subnet, e.g. `10.22.0.0/16`. */
  subnet: string
  /** Which program the rules are for. Default `iptables`. */
  backend?: 'iptables' | 'nftables'
  nat: SourceNat
}

/** `ipMasq` (modes.md 8). iptables: to the own subnet ACCEPT, else all but multicast. nftables: multicast returns first,
 * then all but the own subnet; what is not translated goes on to other chains, where iptables has accepted it. */
export function cniIpMasq(options: IpMasqOptions): OutboundRule[] {
  checkKeys('', options, ['pods', 'subnet', 'backend', 'nat'] satisfies (keyof IpMasqOptions)[])
  const { pods, subnet, nat } = options
  const backend = options.backend ?? 'iptables'
  const family = familyOf('subnet', subnet)
  pods.forEach((pod, i) => {
    sameFamily(`pods[${i}]`, pod, family)
  })
  if (backend === 'iptables') {
    return [
      { family, from: pods, to: [subnet], verdict: 'accept' },
      { family, from: pods, notTo: [MULTICAST[family]], verdict: nat },
    ]
  }
  if (backend !== 'nftables')
    throw new TypeError(`backend must be iptables or nftables, not ${JSON.stringify(backend)}`)
  return [
    { family, to: [MULTICAST[family]], verdict: 'return' },
    { family, from: pods, notTo: [subnet], verdict: nat },
  ]
}

/** What flannel's masquerading is about. */
export interface FlannelMasqOptions {
  /** The whole network, e.g. `10.244.0.0/16`. */
  network: string
  /** This node's part of it, e.g. `10.244.1.0/24`. */
  subnet: string
  nat: SourceNat
}

/** FLANNEL-POSTRTG (modes.md 11), line by line. The first leaves to kube-proxy what it has marked. */
export function flannelMasq(options: FlannelMasqOptions): OutboundRule[] {
  checkKeys('', options, ['network', 'subnet', 'nat'] satisfies (keyof FlannelMasqOptions)[])
  const { network, subnet, nat } = options
  const family = familyOf('network', network)
  sameFamily('subnet', subnet, family)
  return [
    { family, marked: true, verdict: 'return' },
    { family, from: [subnet], to: [network], verdict: 'return' },
    { family, from: [network], to: [subnet], verdict: 'return' },
    { family, notFrom: [network], to: [subnet], verdict: 'return' },
    { family, from: [network], notTo: [MULTICAST[family]], verdict: nat },
    { family, notFrom: [network], to: [network], verdict: nat },
  ]
}

/** What Calico's natOutgoing is about. */
export interface CalicoNatOutgoingOptions {
  family: 4 | 6
  /** Pools with `natOutgoing`. */
  masqueradePools: readonly string[]
  /** All pools, those without it too. */
  allPools: readonly string[]
  /** Addresses of the nodes, where `natOutgoingExclusions` is `IPPoolsAndHostIPs`. */
  hosts?: readonly string[]
  /** Translates; with a fixed address (`natOutgoingAddress`) one that has it. */
  nat: SourceNat
  /** Translates TCP and UDP, where `natPortRange` is set: `portRange` of its options. Default: `nat`. */
  ranged?: SourceNat
}

/** cali-nat-outgoing (modes.md 10.3): from a pool with natOutgoing to no pool at all, nor, if so configured, a node. With a
 * port range TCP and UDP have lines of their own (felix/rules/nat.go). */
export function calicoNatOutgoing(options: CalicoNatOutgoingOptions): OutboundRule[] {
  checkKeys('', options, [
    'family',
    'masqueradePools',
    'allPools',
    'hosts',
    'nat',
    'ranged',
  ] satisfies (keyof CalicoNatOutgoingOptions)[])
  const { family, masqueradePools, allPools, hosts, nat, ranged } = options
  const about = { family, from: masqueradePools, notTo: [...allPools, ...(hosts ?? [])] }
  const rest: OutboundRule = { ...about, verdict: nat }
  if (ranged === undefined) return [rest]
  return [{ ...about, protocols: [6], verdict: ranged }, { ...about, protocols: [17], verdict: ranged }, rest]
}

/** What the SNAT of the AWS VPC CNI is about. */
export interface AwsSnatOptions {
  /** CIDRs of the VPC, and those excluded (`AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS`). */
  vpc: readonly string[]
  /** Numbers of the interfaces of branch ENIs, `vlan+`. */
  vlans?: readonly number[]
  /** The node's own addresses (`! --dst-type LOCAL`). */
  local?: readonly string[]
  /** To the primary address of the primary ENI; `ports: 'random'` for `prng`, the default there, and `hashrandom`. */
  nat: SourceNat
}

/** AWS-SNAT-CHAIN-0 (modes.md 9): RETURN for each CIDR of the VPC, then everything that does not leave by a branch ENI and
 * is not for the node itself. */
export function awsSnat(options: AwsSnatOptions): OutboundRule[] {
  checkKeys('', options, ['vpc', 'vlans', 'local', 'nat'] satisfies (keyof AwsSnatOptions)[])
  const { vpc, vlans, local, nat } = options
  return [
    ...vpc.map((cidr): OutboundRule => ({ to: [cidr], verdict: 'return' })),
    { family: 4, notOut: vlans ?? [], notTo: local ?? [], verdict: nat },
  ]
}

/** What Docker's masquerading of a bridge network is about. */
export interface DockerMasqOptions {
  /** The network's subnet, e.g. `172.17.0.0/16`. */
  subnet: string
  /** Number of the interface that is its bridge. */
  bridge: number
  nat: SourceNat
}

/** `-s subnet ! -o bridge -j MASQUERADE` (modes.md 8). */
export function dockerMasq(options: DockerMasqOptions): OutboundRule[] {
  checkKeys('', options, ['subnet', 'bridge', 'nat'] satisfies (keyof DockerMasqOptions)[])
  const family = familyOf('subnet', options.subnet)
  return [{ family, from: [options.subnet], notOut: [options.bridge], verdict: options.nat }]
}

/** What kindnet's masquerading is about. */
export interface KindnetMasqOptions {
  family: 4 | 6
  /** This node's pod CIDRs. */
  pods: readonly string[]
  /** Where nothing is translated: all pod CIDRs, and what is configured (modes.md 9). */
  noMasquerade: readonly string[]
  nat: SourceNat
}

/** kindnet's masquerading: from the node's pods to anywhere but the no-masquerade set. */
export function kindnetMasq(options: KindnetMasqOptions): OutboundRule[] {
  checkKeys('', options, ['family', 'pods', 'noMasquerade', 'nat'] satisfies (keyof KindnetMasqOptions)[])
  const { family, pods, noMasquerade, nat } = options
  return [
    { family, to: noMasquerade, verdict: 'return' },
    { family, from: pods, verdict: nat },
  ]
}

function familyOf(key: string, prefix: string): 4 | 6 {
  return readPrefix(key, prefix).words.length === 1 ? 4 : 6
}

function sameFamily(key: string, prefix: string, family: 4 | 6): void {
  if (familyOf(key, prefix) !== family) throw new TypeError(`${key}: ${JSON.stringify(prefix)} is not IPv${family}`)
}
