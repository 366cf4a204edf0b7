/**
 * ARP (RFC 826, 1027, 5227) and IPv6 neighbour discovery (RFC 4861, 4862), for a node and for those it stands in for; and
 * its multicast groups (RFC 2236, 2710).
 * Read in this order: `message` (what a frame says) and `speaker` (how messages are made); `address-index` (how all
 * tables find an address); `neighbour-table` with `neighbour-input`, `waiting` and `own-addresses` (an interface that
 * resolves next hops and defends its addresses); `responder`, `proxy-arp`, `proxy-nd`, `suppressor` (answers on behalf
 * of others); `arp-guard`, `source-guard`, `dhcp-guard`, `arp-limiter` (what a port may not send);
 * `memberships` with `group-speaker` (the groups that an interface is in). The codecs are in `@l2l3/switch-core/wire`:
 * `arp`, `icmpv6`, `igmp` and `mld`.
 */
export { linkLocal } from './address.ts'
export { ArpGuard } from './arp-guard.ts'
export { ArpLimiter } from './arp-limiter.ts'
export { DhcpGuard } from './dhcp-guard.ts'
export { type Dice, seededDice } from './dice.ts'
export { type KnownNeighbour, KnownNeighbours } from './known-neighbours.ts'
export { type MembershipCounters, type MembershipOptions, Memberships } from './memberships.ts'
export { Kind, Message, readMessage } from './message.ts'
export type {
  Neighbour,
  NeighbourChange,
  NeighbourCounters,
  NeighbourOptions,
  NeighbourState,
} from './neighbour-options.ts'
export { NeighbourTable } from './neighbour-table.ts'
export type {
  ClaimOptions,
  Defence,
  OwnAddress,
  OwnAddressChange,
  OwnAddressCounters,
  OwnAddresses,
} from './own-addresses.ts'
export { type Binding, PortBindings } from './port-bindings.ts'
export type { ProxyOptions, ProxyRoute, ProxyRoutes } from './proxy.ts'
export { ProxyArp, type ProxyArpOptions } from './proxy-arp.ts'
export { ProxyNd, type ProxyNdOptions } from './proxy-nd.ts'
export { Responder, type ResponderCounters, type ResponderOptions } from './responder.ts'
export { SourceGuard, type SourceGuardOptions } from './source-guard.ts'
export type { FrameSink } from './speaker.ts'
export { Suppressor, type SuppressorCounters, type SuppressorOptions } from './suppressor.ts'
export type { ErrorHook, Watcher } from './watchers.ts'
