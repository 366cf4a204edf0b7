/**
 * The package that touches the operating system. Read in this order: `tap` (a port on a TAP or TUN device), `tap-options`
 * and `tap-error` (what can be asked for, and what is said when it cannot be had), `af-packet` (a port on an interface that exists),
 * `udp-underlay` (a port on UDP sockets, for tunnels), `run-event-loop`, `run-blocking` and `workers` (who
 * turns the loop), `netns` and `configure` (namespaces, and what a host is set up with), `ping` (an ICMP echo client for machines without one), `file-lock`. Native code is behind one door, `native`, and its
 * C is in addon/. NICs by way of the optional peers are behind `@l2l3/tap-io/cap` and `@l2l3/tap-io/raw-socket`.
 */
export { type AfPacketOptions, AfPacketPort, type Fanout } from './af-packet.ts'
export { tunAvailable } from './available.ts'
export { configureInterface, type InterfaceSetup } from './configure.ts'
export { lockFile } from './file-lock.ts'
export { type Availability, addonAvailable } from './native.ts'
export { closeTogether } from './native-port.ts'
export { makeNetns, type Netns, removeNetns } from './netns.ts'
export { type PingOptions, type PingResult, ping } from './ping.ts'
export type { RouteSetup } from './rtnetlink.ts'
export { type BlockingOptions, runBlocking, type Until } from './run-blocking.ts'
export { type EventLoopOptions, type Runner, runOnEventLoop } from './run-event-loop.ts'
export { type TapInfo, TapPort } from './tap.ts'
export { TapError } from './tap-error.ts'
export type { TapOptions } from './tap-options.ts'
export { type UdpUnderlayInfo, UdpUnderlayPort } from './udp-underlay.ts'
export type { UdpInside, UdpUnderlayOptions } from './udp-underlay-options.ts'
export type { Pollable } from './wait-set.ts'
export {
  runWorker,
  startWorkers,
  type WorkerPlace,
  type WorkerSwitch,
  Workers,
  type WorkersOptions,
  workerPlace,
} from './workers.ts'
