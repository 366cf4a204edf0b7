/**
 * `@l2l3/topology/memory`: what needs no operating system - a topology file's text, the world in memory, replay, the path
 * of a frame. For browsers, and for programs that want the same in Node without the addon. The rest, and the order to
 * read it in, is in `index`.
 */
export { type Address, derivedMac, parseHostAddress, parseIp, parseMac } from './address.ts'
export { applyTo, checkApply, type HostMaker } from './apply.ts'
export { type Change, changes, checkChanges, type HostChanges, type HostPort, hostChanges } from './changes.ts'
export type { CheckResult } from './check-result.ts'
export { type DropRow, dropRows } from './drop-rows.ts'
export { buildFabric, type Fabric, type FabricOptions, type Snapshot, snapshot } from './fabric.ts'
export { frameText, hexDump } from './frame-text.ts'
export type { Arping } from './host/arping.ts'
export type { Echoing } from './host/datagrams.ts'
export type { Ping, RouteTrace } from './host/echo.ts'
export type { HttpAnswer, Page } from './host/http.ts'
export { MemoryHost, type PageRequest, type Transfer } from './host/memory-host.ts'
export {
  buildInMemory,
  MemoryWorld,
  type MemoryWorldOptions,
  memoryWorld,
  type RunningInMemory,
} from './memory-world.ts'
export {
  type BuiltNode,
  type FdbRow,
  type FlowRow,
  type Ground,
  MODES,
  type Mode,
  type NeighbourRow,
  type PortRow,
  type RouteRow,
  type Schema,
  type ServiceRow,
} from './mode.ts'
export { parseTopology } from './parse.ts'
export { type ReplayDirection, type ReplayInput, type ReplayOptions, type ReplayReport, replay } from './replay.ts'
export { topologySchema } from './schema.ts'
export {
  type CheckKind,
  type CheckSpec,
  checkText,
  type EndpointSpec,
  type Expectation,
  type FaultSpec,
  type InterfaceSpec,
  type LinkSpec,
  type NodeSpec,
  type PortSpec,
  type SegmentRouterSpec,
  type SegmentRouteSpec,
  type SegmentSpec,
  type Topology,
} from './topology.ts'
export { type Problem, problemText, TopologyError } from './topology-error.ts'
export { type TraceOptions, type TraceReport, type TraceRole, type TraceWhat, trace } from './trace/ask.ts'
export { dissect } from './trace/dissect/dissect.ts'
export type { Field, Layer } from './trace/dissect/layers.ts'
export type { FieldChange } from './trace/field-changes.ts'
export { type FrameFilter, frameFilter } from './trace/filter.ts'
export { FilterError } from './trace/filter-words.ts'
export {
  checkLiveTrace,
  type LiveTraceOptions,
  type LiveTraceReport,
  liveTraceRemark,
  traceFabric,
} from './trace/live.ts'
export { bytesAt, outputs, type StepKind, type Trace, type TraceStep } from './trace/path.ts'
export { tracePcapng } from './trace/pcapng.ts'
export { type ReportTextOptions, reportText } from './trace/report-text.ts'
export { applyDiff, diff, type Splice } from './trace/splice.ts'
export {
  type ParsedTrace,
  parseTraceText,
  type TraceColors,
  type TraceTextOptions,
  traceText,
} from './trace/text.ts'
export { Tracer } from './trace/tracer.ts'
export type { World } from './world.ts'
