import { once } from 'node:events'
import type { LedgerReport } from '@l2l3/switch-core'
import type { CaptureSink } from '@l2l3/switch-core/pcap'
import type { Snapshot } from '../fabric.ts'
import type { PortRow } from '../mode.ts'
import type { Topology } from '../topology.ts'
import { checkLiveTrace, type LiveTraceOptions, type LiveTraceReport } from '../trace/live.ts'
import type { Trace } from '../trace/path.ts'
import { makeUnderlay, plugIn } from './bridges.ts'
import { namespaceName } from './dataplane.ts'
import { configureHost, type Host, hostsOf } from './hosts.ts'
import type { LinuxOptions } from './linux-world.ts'
import { NodeProcess } from './node-process.ts'
import { applyReal } from './real-apply.ts'
import { namespacesOf, planReal, type RealPlan } from './real-plan.ts'
import { RunningOnLinux } from './running.ts'
import type { Site } from './site.ts'

/*
 * A topology whose underlay is real: segments and cables are bridges of the kernel, their routers and hosts stock Linux, and
 * every node is a process of its own, with TAPs to its endpoints and to the bridges. `real-plan` draws it.
 *
 * This process asks them, and looks after them: a node whose process ends is told of, and the others go on. They end with
 * this one, and what is left then - the namespaces - the next one removes.
 */

/** A topology on Linux whose nodes are processes of their own. */
export class RealWorld extends RunningOnLinux {
  readonly stopped: Promise<void>
  #plan: RealPlan
  readonly #nodes: readonly NodeProcess[]
  #topology: Topology
  #asked = 0
  #applied: Promise<void> = Promise.resolve()

  private constructor(
    topology: Topology,
    plan: RealPlan,
    nodes: readonly NodeProcess[],
    site: Site,
    options: LinuxOptions,
  ) {
    super(site, options.signal)
    this.#topology = topology
    this.#plan = plan
    this.#nodes = nodes
    this.stopped = Promise.all(nodes.map((node) => node.gone)).then(() => {
      if (!this.signal.aborted) throw new Error('the processes of all nodes have ended')
    })
    this.stopped.catch(() => {})
  }

  /** Use `upOnLinux`. */
  static async build(topology: Topology, site: Site, options: LinuxOptions): Promise<RealWorld> {
    const { signal, onProgress = () => {}, onPortFailed = () => {} } = options
    const told = options.onNodeEnded ?? ((node, why) => onProgress(`node ${node}: ${why}; the others go on`))
    const plan = planReal(topology)
    await site.add(namespacesOf(topology, plan))
    signal?.throwIfAborted()
    await makeUnderlay(topology, plan, signal)
    for (const { title, netns, taps, hosts } of plan.bridges) {
      const names = [...taps.values(), ...hosts.map(([device]) => device)]
      onProgress(`${title}: bridge br0 in ${netns} with ${names.join(', ')}`)
    }
    let building = true
    const nodes = plan.parts.map((part) => {
      const names = (hosts: readonly Host[]): string[] => hosts.map((host) => namespaceName(topology, host.endpoint))
      const node = new NodeProcess(part, {
        hosts: {
          make: (hosts) => site.add(names(hosts)),
          configure: (host) => configureHost(topology, host, signal),
          remove: (hosts) => site.take(names(hosts)),
        },
        nodeArguments: options.nodeArguments,
        wait: options.wait,
        onPortFailed,
        onEnded: ({ name }, why) => building || told(name, why),
        onMissed: (label, bytes) => onProgress(`captures: ${bytes} bytes of ${label} came too fast, and are left out`),
      })
      site.closes(() => node.kill())
      if (node.pid !== undefined) site.started(node.pid)
      return node
    })
    await Promise.all(nodes.map((node) => openNode(topology, node, signal)))
    for (const { name, pid, part } of nodes) {
      onProgress(`node ${name}: process ${pid}, ${part.node.ports.map((port) => port.name).join(', ')}`)
    }
    building = false
    signal?.throwIfAborted()
    const started = Promise.all(nodes.map((node) => node.start()))
    await (signal === undefined ? started : Promise.race([started, once(signal, 'abort')]))
    signal?.throwIfAborted()
    return new RealWorld(topology, plan, nodes, site, options)
  }

  get topology(): Topology {
    return this.#topology
  }

  /** The numbers of the nodes' processes, by node; of those that have ended, null. */
  get processes(): ReadonlyMap<string, number | null> {
    return new Map(this.#nodes.map(({ name, pid, alive }) => [name, alive ? (pid ?? null) : null]))
  }

  /** The namespaces of bridges, by what they stand for: "segment lan", "cable n1/a to n2/b". */
  get bridges(): ReadonlyMap<string, string> {
    return new Map(this.#plan.bridges.map(({ title, netns }) => [title, netns]))
  }

  /** What all nodes say. A node that has ended, or does not answer, is there with its ports, whose state says so. */
  async snapshot(): Promise<Snapshot> {
    const all = await Promise.all(this.#nodes.map(async (node) => [node, await node.snapshot()] as const))
    const living = all.flatMap(([, said]) => (said === null ? [] : [said]))
    const of = <K extends keyof Snapshot>(key: K): Snapshot[K] => living.flatMap((s) => s[key] as never) as never
    return {
      name: this.#topology.name,
      ports: all.flatMap(([node, said]) => said?.ports ?? lastPorts(node)),
      fdb: of('fdb'),
      neighbours: of('neighbours'),
      routes: of('routes'),
      flows: of('flows'),
      services: of('services'),
      ledger: addUp(all.flatMap(([{ last }, said]) => (said ?? last)?.ledger ?? [])),
    }
  }

  /** One change waits for another. */
  apply(next: Topology): Promise<void> {
    const result = this.#applied.then(async () => {
      const { site, signal } = this
      const now = { topology: this.#topology, plan: this.#plan, nodes: this.#nodes, site, signal }
      this.#plan = await applyReal(now, next)
      this.#topology = next
    })
    this.#applied = result.catch(() => {})
    return result
  }

  /** Captures what passes the nodes' ports; what passes kernel hosts and routers, tcpdump captures in their namespaces. */
  async capture(sink: (label: string) => CaptureSink): Promise<() => Promise<void>> {
    const id = this.#asked++
    const end = async (): Promise<void> => {
      await Promise.all(this.#nodes.map((node) => node.captureEnd(id)))
    }
    try {
      await Promise.all(this.#nodes.map((node) => node.capture(id, sink)))
    } catch (error) {
      await end()
      throw error
    }
    return end
  }

  /** Traces frames in each node by itself: what leaves one for another is followed there as a frame that comes in. */
  async trace(filter: string, options: LiveTraceOptions = {}): Promise<LiveTraceReport> {
    checkLiveTrace(filter, options)
    const { count = 10, rate, onTrace = () => {} } = options
    const signal = this.or(options.signal)
    const id = this.#asked++
    let traced = 0
    const end = (): void => {
      for (const node of this.#nodes) node.traceEnd(id)
    }
    const each = (trace: Trace): void => {
      if (traced >= count) return
      traced++
      onTrace({ ...trace, number: traced })
      if (traced === count) end()
    }
    const order = { id, filter, count, ...(rate === undefined ? {} : { rate }) }
    const reports = Promise.all(this.#nodes.map((node) => node.trace(order, each)))
    if (signal.aborted) end()
    signal.addEventListener('abort', end, { once: true })
    try {
      const all = (await reports).filter((report) => report !== null)
      const total = (key: 'seen' | 'matched'): number => all.reduce((sum, report) => sum + report[key], 0)
      return { seen: total('seen'), matched: total('matched'), traced }
    } finally {
      signal.removeEventListener('abort', end)
    }
  }

  /** No process sees the whole way of a packet. */
  protected watch(): null {
    return null
  }

  protected async stop(): Promise<void> {
    await Promise.all(this.#nodes.map((node) => node.stop()))
  }
}

/** Has a node open its ports, plugs its TAPs in to the bridges, and sets up its hosts. */
async function openNode(topology: Topology, node: NodeProcess, signal: AbortSignal | undefined): Promise<void> {
  await node.open().catch((error: Error) => {
    throw node.alive ? new Error(`node ${node.name}: ${error.message}`) : error
  })
  await plugIn([...node.part.wires.values()], signal)
  for (const host of hostsOf(node.part.node)) await configureHost(topology, host, signal)
}

/** The ports of a node that does not answer, as they were when it was last asked. */
function lastPorts({ name, ended, last, part }: NodeProcess): PortRow[] {
  const state = ended ?? 'its process does not answer'
  const nothing = { rxFrames: 0, rxBytes: 0, txFrames: 0, txBytes: 0, dropped: 0, portDropped: 0, offloads: 'none' }
  const known =
    last?.ports ?? part.node.ports.map((port): PortRow => ({ node: name, port: port.name, state, ...nothing }))
  return known.map((row) => ({ ...row, state }))
}

function addUp(reports: readonly LedgerReport[]): LedgerReport {
  const dropped: Record<string, number> = {}
  const total = { received: 0, originated: 0, copied: 0, sent: 0, held: 0 }
  for (const report of reports) {
    for (const key of Object.keys(total) as (keyof typeof total)[]) total[key] += report[key]
    for (const [why, n] of Object.entries(report.dropped)) dropped[why] = (dropped[why] ?? 0) + n
  }
  return { ...total, dropped, balanced: reports.every((report) => report.balanced) }
}
