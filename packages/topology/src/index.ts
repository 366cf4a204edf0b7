/**
 * Topology files: what they say, and the worlds that are built from them. Read in this order: `topology` (what a file
 * says), `parse` with `document`, `schema`, `validate` (how it is read and refused), `mode` and `mode/` (what a node
 * can be), `fabric` (nodes joined), and the worlds: `memory-world` with `host/`, `replay`,
 * and `linux/` with `run-directory`. `trace` follows a frame.
 */
export { type Address, derivedMac, parseHostAddress, parseIp, parseMac } from './address.ts'
export type { CheckResult } from './check-result.ts'
export { buildFabric, type Fabric, type FabricOptions, type Snapshot, snapshot } from './fabric.ts'
export { frameText, hexDump } from './frame-text.ts'
export { MemoryHost, type Ping, type Transfer } from './host/memory-host.ts'
export { type LinuxOptions, LinuxWorld, linuxProblem, upOnLinux } from './linux/linux-world.ts'
export { buildInMemory, MemoryWorld, type MemoryWorldOptions } from './memory-world.ts'
export { type BuiltNode, type FdbRow, type Ground, MODES, type Mode, type PortRow, type Schema } from './mode.ts'
export { parseTopology } from './parse.ts'
export { type ReplayInput, type ReplayOptions, type ReplayReport, replay } from './replay.ts'
export { type ReplayFiles, replayFiles } from './replay-files.ts'
export { AlreadyRunningError, listRuns, RunDirectory, type RunState, runBase } from './run-directory.ts'
export { topologySchema } from './schema.ts'
export {
  type CheckSpec,
  checkText,
  type EndpointSpec,
  type LinkSpec,
  type NodeSpec,
  type PortSpec,
  type Topology,
} from './topology.ts'
export { type Problem, problemText, TopologyError } from './topology-error.ts'
export { Tracer, type TraceStep } from './trace.ts'
export { traceText } from './trace-text.ts'
