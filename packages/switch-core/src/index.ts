/**
 * The core of l2l3: what a frame is, how it travels, and the switch. Read in this order: `frame-pool` (a frame is a row
 * of an arena), `drop` and `ledger` (how it ends, and the account of it), `batch`, `element`, `link`, `loop` (how it
 * travels), `port/` (where it enters and leaves), `switch/` (learning, VLANs, flooding). Header codecs are behind
 * `@l2l3/switch-core/wire`, capture files behind `/pcap`, the test suite that every port passes behind `/compliance`.
 */
export { BATCH, Batch } from './batch.ts'
export { type Clock, MICROSECOND, MILLISECOND, RealClock, SECOND, VirtualClock } from './clock.ts'
export {
  Ipvlan,
  type IpvlanChild,
  type IpvlanMode,
  type IpvlanOptions,
} from './demux/ipvlan.ts'
export {
  Macvlan,
  type MacvlanChild,
  type MacvlanChildOptions,
  type MacvlanMode,
  type MacvlanOptions,
} from './demux/macvlan.ts'
export { DROP_COUNT, DROP_NAMES, Drop, type DropName, dropSentence } from './drop.ts'
export { type Element, Pipeline } from './element.ts'
export {
  checkRange,
  type Frame,
  type FrameObserver,
  FramePool,
  type FramePoolOptions,
  MAX_FRAME,
  NO_FRAME,
  type View,
} from './frame-pool.ts'
export { Ledger, type LedgerReport } from './ledger.ts'
export { LINK_CAPACITY, Link, type LinkScheduler } from './link.ts'
export { type Alarm, Loop, type LoopObserver, type LoopOptions, type Ticker } from './loop.ts'
export type { NeighbourClient, Neighbours } from './neighbours.ts'
export { GSO_KIND, GsoType, OffloadFlag, TUNNEL } from './offload/kinds.ts'
export { finish, needsFinishing } from './offload.ts'
export { FaultPort, type FaultPortOptions } from './port/fault-port.ts'
export type { FaultOptions } from './port/faults.ts'
export { MemoryPort, type MemoryPortOptions } from './port/memory.ts'
export { ALL_OFFLOADS, nextPortId, Offload, Port, type PortCounters, type PortWatcher } from './port/port.ts'
export { AddressTable } from './rewrite/address-table.ts'
export { L2BridgeEngine, type L2BridgePodOptions } from './rewrite/l2bridge.ts'
export { L2BridgeEgress } from './rewrite/l2bridge-egress.ts'
export { L2BridgeIngress } from './rewrite/l2bridge-ingress.ts'
export {
  AZURE_FABRIC_MAC,
  AZURE_LINUX,
  type L2BridgeOptions,
  type L2BridgeSettings,
} from './rewrite/l2bridge-options.ts'
export type { L2BridgePod } from './rewrite/l2bridge-pod.ts'
export { MacRewrite, type MacRewriteOptions } from './rewrite/mac-rewrite.ts'
export type { MacMatch, MacRule } from './rewrite/mac-rule.ts'
export { isMac, type MacWords, moveMac, putMac, stationMac } from './rewrite/mac-words.ts'
export type { NextHopOptions, RouteInfo, RouteOptions } from './router/fib.ts'
export { fragment } from './router/fragment.ts'
export type { RouterGate } from './router/gate.ts'
export type { Address4, Address6, ReversePathFilter } from './router/interface.ts'
export { RouterInterface, type RouterInterfaceCounters, type RouterInterfaceOptions } from './router/interface.ts'
export type { LocalTaker } from './router/plane.ts'
export { formatPrefix, formatWords, masked, type Prefix, parseInterfaceAddress, parsePrefix } from './router/prefix.ts'
export { RouteTable4, RouteTable6, type TableRoute } from './router/route-table.ts'
export { Router, type RouterCounters, type RouterOptions } from './router/router.ts'
export { segmentLength } from './router/super-frame.ts'
export type { Hop, Kind as RouteKind, Target } from './router/target.ts'
export { TokenBucket } from './router/token-bucket.ts'
export type { FdbChange, FdbCounters, FdbEntry, FdbKind, FdbOptions, FdbWatcher } from './switch/fdb.ts'
export { Fdb, fdbKey } from './switch/fdb.ts'
export { FdbExchange } from './switch/fdb-exchange.ts'
export type { MirrorOptions } from './switch/mirrors.ts'
export type { SwitchPortCounters, SwitchPortOptions } from './switch/port.ts'
export { SwitchPort } from './switch/port.ts'
export type { FloodKind, StormOptions } from './switch/storm.ts'
export { Switch, type SwitchOptions, type VlanCounters } from './switch/switch.ts'
export type { PortVlans, VlanRange } from './switch/vlan.ts'
export type { FrameTrace } from './trace.ts'
export { type Memory, makeBuffer, memoryOf } from './wasm/memory.ts'
export { type Program, start as startProgram } from './wasm/program.ts'
export type { Column, Room } from './wasm/room.ts'
export { ago, listText } from './words.ts'
