/**
 * Network address translation: connection tracking, outbound NAT with exceptions, port mappings, and services; and the filter, which
 * tracks connections too.
 *
 * Read in this order: `tuple` (what makes a flow a flow), `conntrack/` (flows in memory, the states of TCP, timeouts), `policy` (who
 * decides about new ones), `nat` (the engine, a router's gate) and `passage` (the same as an element, with the fast run of
 * `translate/`), then the policies: `outbound/`, `port-mapping/`, `service/`. `acl/` filters by rules and translates nothing. What is awkward about packets is in `icmp/`,
 * `fragments/`, `mss` and `crc32c`.
 */
export { Filter, type FilterCounters, type FilterOptions } from './acl/filter.ts'
export { type Beyond, FilterGate, GateRow } from './acl/gate.ts'
export {
  type AclPolicyV1,
  type AclPolicyV2,
  type AclSettings,
  type HnsAclOptions,
  hnsAcl,
  type TierAclPolicyV2,
  type TierAclRule,
} from './acl/hns.ts'
export type { AclRuleInfo, FilterPort } from './acl/port.ts'
export type { AclAction, AclDirection, AclRule, AclRuleType } from './acl/rule.ts'
export { type AclDefaults, type AclOptions, AclRules, type AclTier } from './acl/rules.ts'
export { Addresses6, type Addresses6Options } from './addresses6.ts'
export { Conntrack, type ConntrackOptions } from './conntrack/conntrack.ts'
export type { FlowTableCounters, WhenFull } from './conntrack/flow-table.ts'
export type { FlowDirection, FlowInfo } from './conntrack/listing.ts'
export { TIMEOUTS, type TimeoutProfile, type Timeouts } from './conntrack/timeouts.ts'
export type { FlowChange, FlowWatcher } from './conntrack/watch.ts'
export type { FragmentCounters, FragmentsOptions } from './fragments/fragments.ts'
export { Nat, Side } from './nat.ts'
export type { NatOptions, OwnAddresses, SideOptions } from './options.ts'
export {
  type AwsSnatOptions,
  awsSnat,
  type CalicoNatOutgoingOptions,
  calicoNatOutgoing,
  cniIpMasq,
  type DockerMasqOptions,
  dockerMasq,
  type FlannelMasqOptions,
  flannelMasq,
  type IpMasqOptions,
  type KindnetMasqOptions,
  kindnetMasq,
  markedMasquerade,
} from './outbound/chains.ts'
export {
  checkOutboundNat,
  type HnsOutboundNatOptions,
  hnsOutboundNat,
  hnsOutboundRules,
  loopbackDsr,
  OutboundNatFlag,
  type OutboundNatPolicyV1,
  type OutboundNatPolicyV2,
  type OutboundNatSettingsV2,
  withIpMasqNetwork,
} from './outbound/hns.ts'
export type { MappingInfo } from './outbound/mappings.ts'
export { OutboundNat } from './outbound/outbound-nat.ts'
export type { OutboundRule, OutboundVerdict } from './outbound/outbound-rule.ts'
export { OutsidePorts, type OutsidePortsOptions } from './outbound/outside-ports.ts'
export type { PortClass } from './outbound/port-range.ts'
export type { Dice32 } from './outbound/port-search.ts'
export { PrefixSet } from './outbound/prefix-set.ts'
export { SourceNat, type SourceNatCounters } from './outbound/source-nat.ts'
export {
  BEHAVIOUR,
  type BehaviourName,
  type FilteringBehaviour,
  type MappingBehaviour,
  type SourceNatOptions,
} from './outbound/source-nat-options.ts'
export { Passage } from './passage.ts'
export {
  type DestinationPolicy,
  type FlowEnder,
  NewFlow,
  type OutsideAddresses,
  type ReplyCheck,
  type SourcePolicy,
  type StandingFlow,
} from './policy.ts'
export { type CniPortMapping, cniPortMappings, type PortmapOptions } from './port-mapping/cni.ts'
export {
  type DockerPortBinding,
  dockerWindowsPolicies,
  hnsPortMappings,
  type NatPolicyV1,
  PortMappingFlag,
  type PortMappingPolicyV2,
  winBridgePolicies,
} from './port-mapping/hns.ts'
export type { MappingMatch, PortMapping, PortProtocol } from './port-mapping/port-mapping.ts'
export { PortMappings, type PortMappingsOptions } from './port-mapping/port-mappings.ts'
export { Balancer } from './service/balancer.ts'
export type { BalancerOptions } from './service/balancer-options.ts'
export type { BackendOptions, ServiceOptions } from './service/options.ts'
export { Rejector, type RejectorOptions } from './service/reject.ts'
export type { ServiceInfo, ServiceTable } from './service/service-table.ts'
export { ANSWER, IPV6, isTranslatable, opposite, plainKind, QUERY, Query, Tuple, zoneOf } from './tuple.ts'
