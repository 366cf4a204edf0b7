import { setMaxListeners } from 'node:events'
import type { CaptureSink } from '@l2l3/switch-core/pcap'
import type { Fabric, Snapshot } from '../fabric.ts'
import type { CheckSpec, Topology } from '../topology.ts'
import { type PathWatch, watchPath } from '../trace/check-path.ts'
import type { LiveTraceOptions, LiveTraceReport } from '../trace/live.ts'
import { Dataplane, namespaceName, type Wait } from './dataplane.ts'
import { configureHost, type Host, hostsOf } from './hosts.ts'
import { installed, probeNamespaces } from './ip.ts'
import { RealWorld } from './real-world.ts'
import { RunningOnLinux } from './running.ts'
import { Site } from './site.ts'

/*
 * A topology on Linux: for each endpoint a network namespace with a TAP in it, and the nodes in this process - or, with a
 * real underlay, each in a process of its own (`real-world`).
 */

export { namespaceName, type Wait } from './dataplane.ts'

/** Settings of `upOnLinux`. */
export interface LinuxOptions {
  /** Stops building, and checks; the world is removed then. */
  readonly signal?: AbortSignal
  /** Is told what is being done, to people. */
  readonly onProgress?: (text: string) => void
  /** Is told of a port that has failed and was taken out. */
  readonly onPortFailed?: (label: string, error: Error) => void
  /** Builds a real underlay: segments and cables are bridges of the kernel, and every node is a process of its own. Default
   * false: all is in this process. */
  readonly real?: boolean
  /** What the process, or with `real` each of them, does where no frame is to be moved. Default `event-loop`: it sleeps. */
  readonly wait?: Wait
  /** With `real`: is told of a node whose process has ended, and why. Default: `onProgress` is. */
  readonly onNodeEnded?: (node: string, why: string) => void
  /** With `real`: what Node is started with for the processes of nodes. Default: what this process was started with. */
  readonly nodeArguments?: readonly string[]
}

/** Says why a topology cannot be built on this machine by this user, and what helps; null where it can. */
export async function linuxProblem(): Promise<string | null> {
  if (process.platform !== 'linux')
    return `namespaces and TAP devices are to be had on Linux only, and this is ${process.platform}`
  if (process.getuid?.() !== 0) return 'namespaces and TAP devices need root, and this process has none (use sudo)'
  if (!installed('ip')) return 'the program ip is missing: apt-get install iproute2'
  const { tunAvailable } = await import('@l2l3/tap-io')
  const tun = tunAvailable()
  if (!tun.ok) return tun.reason
  try {
    probeNamespaces()
    return null
  } catch (error) {
    return `network namespaces are not to be had: ${(error as Error).message}`
  }
}

/** A topology on Linux whose nodes are in this process. */
export class LinuxWorld extends RunningOnLinux {
  readonly stopped: Promise<void>
  readonly #dataplane: Dataplane

  /** Use `upOnLinux`. */
  constructor(site: Site, dataplane: Dataplane, signal: AbortSignal | undefined) {
    super(site, signal)
    this.#dataplane = dataplane
    this.stopped = dataplane.start()
    this.stopped.catch(() => {})
  }

  get topology(): Topology {
    return this.fabric.topology
  }

  get fabric(): Fabric {
    return this.#dataplane.fabric
  }

  async snapshot(): Promise<Snapshot> {
    return this.#dataplane.snapshot()
  }

  apply(next: Topology): Promise<void> {
    const names = (hosts: readonly Host[]): string[] => hosts.map((host) => namespaceName(next, host.endpoint))
    return this.#dataplane.apply(next, {
      make: (hosts) => this.site.add(names(hosts)),
      configure: (host) => configureHost(next, host, this.signal),
      remove: (hosts) => this.site.take(names(hosts)),
    })
  }

  async capture(sink: (label: string) => CaptureSink): Promise<() => Promise<void>> {
    const end = this.#dataplane.capture(sink)
    return async () => end()
  }

  trace(filter: string, options: LiveTraceOptions = {}): Promise<LiveTraceReport> {
    return this.#dataplane.trace(filter, { ...options, signal: this.or(options.signal) })
  }

  protected watch(check: CheckSpec): PathWatch | null {
    return watchPath(this.fabric, check)
  }

  protected stop(): Promise<void> {
    return this.#dataplane.stop()
  }
}

/**
 * Builds a topology on Linux. Needs root, /dev/net/tun and iproute2.
 *
 * @throws Error with a sentence for people: what is missing, what is in the way, what was refused. Nothing is left
 * then.
 *
 * @example
 * await using world = await upOnLinux(topology)
 * const results = await world.runChecks()
 */
export async function upOnLinux(topology: Topology, options: LinuxOptions & { real: true }): Promise<RealWorld>
export async function upOnLinux(topology: Topology, options?: LinuxOptions & { real?: false }): Promise<LinuxWorld>
export async function upOnLinux(topology: Topology, options?: LinuxOptions): Promise<LinuxWorld | RealWorld>
export async function upOnLinux(topology: Topology, options: LinuxOptions = {}): Promise<LinuxWorld | RealWorld> {
  const { onProgress = () => {} } = options
  const signal = ownSignal(options.signal)
  const problem = await linuxProblem()
  if (problem !== null) throw new Error(problem)
  signal?.throwIfAborted()
  const site = Site.claim(topology.name, onProgress)
  try {
    const own = signal === undefined ? options : { ...options, signal }
    if (options.real) return await RealWorld.build(topology, site, own)
    return await inThisProcess(topology, site, own)
  } catch (error) {
    site.remove()
    throw error
  }
}

/** A signal that says the same, and takes a listener for each host that is being set up, without a warning of Node. */
function ownSignal(signal: AbortSignal | undefined): AbortSignal | undefined {
  if (signal === undefined) return undefined
  const own = AbortSignal.any([signal])
  setMaxListeners(0, own)
  return own
}

async function inThisProcess(topology: Topology, site: Site, options: LinuxOptions): Promise<LinuxWorld> {
  const { signal, onProgress = () => {}, onPortFailed, wait } = options
  await site.add(topology.endpoints.map((endpoint) => namespaceName(topology, endpoint)))
  signal?.throwIfAborted()
  const dataplane = await Dataplane.open(topology, { ...(onPortFailed && { onPortFailed }), ...(wait && { wait }) })
  site.closes(() => dataplane.close())
  for (const node of topology.nodes) {
    onProgress(`node ${node.name}: ${node.ports.map((port) => port.name).join(', ')}`)
  }
  const hosts = topology.nodes.flatMap(hostsOf)
  for (const host of hosts) await configureHost(topology, host, signal)
  const world = new LinuxWorld(site, dataplane, signal)
  try {
    await dataplane.caughtUp(signal)
  } catch (error) {
    await world.close()
    throw error
  }
  return world
}
