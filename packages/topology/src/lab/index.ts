/**
 * Topologies for tests of other projects: `topology(...)` gives a `Lab`. Read in this order: `lab` (all of it), `lab-host` (what a
 * host can try), `lab-capture`, `source` (what a topology may be given as).
 */
export { Lab, type LabOptions, type LabTables, topology } from './lab.ts'
export { LabCapture } from './lab-capture.ts'
export {
  type HttpOptions,
  LabHost,
  type PingOptions,
  type PortTrialOptions,
  type TcpOptions,
  type TrialOptions,
  type UdpOptions,
} from './lab-host.ts'
export type { LabEndpoint, LabNode, LabSource, LabTopology } from './source.ts'
