/**
 * Topology files: what they say, and the worlds that are built from them. Read in this order: `topology` (what a file
 * says), `parse` and its parts with `document`, `schema`, `validate` (how it is read and refused), `mode` and `mode/` (what
 * a node can be; what it does there is in `@l2l3/modes`), `fabric` (nodes joined), `world` (what all worlds offer), and the
 * worlds: `memory-world` with `host/` and `memory-checks`, `replay`, and `linux/` with `run-directory`. `trace` follows a frame. `ipam/` gives out addresses as CNI's
 * host-local does; `cni/` reads the configurations of its plugins. `lab/` is all of it for tests of
 * other projects. `memory` lists what runs in a browser as well.
 */

export { CniCode, CniError } from './cni/cni-error.ts'
export {
  type CniVersion,
  type NetworkConf,
  parseCniConf,
} from './cni/conf.ts'
export type { HostLocalConf, IpamConf } from './cni/ipam-conf.ts'
export type {
  BridgeConf,
  IpvlanConf,
  MacvlanConf,
  MasqBackend,
  PluginConf,
  PortmapConf,
  PtpConf,
} from './cni/plugins.ts'
export type { Args, Capability, Common, PortMapping, RuntimeConfig } from './cni/runtime.ts'
export {
  type AddOptions,
  HostLocal,
  type HostLocalOptions,
  type IpamAddress,
  IpamError,
  type IpamResult,
  type IpamRoute,
} from './ipam/host-local.ts'
export type { RangeOptions } from './ipam/range.ts'
export { type Dns, parseResolvConf } from './ipam/resolv-conf.ts'
export type { Attachment, Reservation } from './ipam/store.ts'
export * from './lab/index.ts'
export { removeRemains } from './linux/ip.ts'
export {
  type LinuxOptions,
  LinuxWorld,
  linuxProblem,
  namespaceName,
  upOnLinux,
  type Wait,
} from './linux/linux-world.ts'
export { RealWorld } from './linux/real-world.ts'
export * from './memory.ts'
export { type ReplayFiles, replayFiles } from './replay-files.ts'
export { AlreadyRunningError, hiddenRuns, listRuns, RunDirectory, type RunState, runBase } from './run-directory.ts'
