import {
  FramePool,
  type FramePoolOptions,
  Loop,
  MAX_FRAME,
  MemoryPort,
  type Port,
  VirtualClock,
} from '@l2l3/switch-core'
import { type CaptureSink, PortCapture } from '@l2l3/switch-core/pcap'
import { applyTo } from './apply.ts'
import type { Change } from './changes.ts'
import type { CheckResult } from './check-result.ts'
import { buildFabric, type Fabric, type Snapshot, snapshot } from './fabric.ts'
import { MemoryHost } from './host/memory-host.ts'
import { memoryCheck } from './memory-checks.ts'
import { gatewaysOf } from './mode.ts'
import { atOnce, inTurns, type Rounds } from './rounds.ts'
import type { CheckSpec, NodeSpec, PortSpec, Topology } from './topology.ts'
import { type LiveTraceOptions, type LiveTraceReport, traceFabric } from './trace/live.ts'
import type { World } from './world.ts'

/*
 * A topology in memory: small hosts in place of namespaces, memory ports in place of TAPs, a virtual clock. Nothing
 * happens by itself and nothing is random, so that the same calls give the same bytes.
 *
 *     host  <-- take / inject -->  memory port  <-->  node  <-- cable -->  node ...
 *
 * A round: the loop turns, then each host takes what was sent to it and answers. Where nothing moves any more, the
 * clock jumps to the next timer.
 */

/** Rounds at one instant after which what still moves is taken for a loop. */
const SETTLE = 10_000
/** Settings of a world in memory. */
export interface MemoryWorldOptions {
  /** Sizes of the pool. Default: 2,048 frames; up to 9,018 bytes, or what the largest MTU needs. */
  pool?: FramePoolOptions
  /** Where the clock counts from, in nanoseconds since 1970. Default 0. */
  epoch?: bigint
  /** Labels of ports with neither host nor link to plug in all the same, for the program to inject and take frames. */
  open?: readonly string[]
}

/** A topology that runs in memory. */
export class MemoryWorld {
  readonly clock: VirtualClock
  readonly pool: FramePool
  readonly loop: Loop
  readonly fabric: Fabric
  /** By name. */
  readonly hosts: ReadonlyMap<string, MemoryHost>
  readonly #hosts: Map<string, MemoryHost> = new Map()
  readonly #ports: Map<MemoryHost, MemoryPort> = new Map()
  readonly #open: readonly string[]

  /** Use `buildInMemory`. */
  constructor(topology: Topology, options: MemoryWorldOptions) {
    this.#open = options.open ?? []
    this.hosts = this.#hosts
    this.clock = new VirtualClock(options.epoch ?? 0n)
    const frameSize = Math.min(MAX_FRAME, 18 + Math.max(9000, ...topology.endpoints.map((e) => e.mtu)))
    this.pool = new FramePool({ frameSize, ...options.pool })
    this.loop = new Loop(this.pool, this.clock)
    const ground = { pool: this.pool, clock: this.clock, loop: this.loop }
    this.fabric = buildFabric(topology, ground, { plug: (spec, node) => this.#plug(spec, node) })
  }

  /** What runs. */
  get topology(): Topology {
    return this.fabric.topology
  }

  #plug(spec: PortSpec, node: NodeSpec): MemoryPort | null {
    const { label, endpoint } = spec
    if (endpoint === null) return this.#open.includes(label) ? new MemoryPort(this.pool, label) : null
    const port = new MemoryPort(this.pool, label)
    const host = new MemoryHost(endpoint, gatewaysOf(node, spec), this.clock, (frame) => port.inject(frame))
    this.#hosts.set(endpoint.name, host)
    this.#ports.set(host, port)
    return port
  }

  /**
   * Makes what runs into what `next` says, and gives the changes. Hosts ask again for those that went or changed.
   *
   * @throws TopologyError where something needs a restart; nothing is changed then
   */
  apply(next: Topology): Promise<Change[]> {
    return applyTo(this.fabric, next, {
      plug: (port, node) => this.#plug(port, node),
      unplug: (gone) => {
        for (const { port } of gone) this.#unplug(port)
      },
    })
  }

  #unplug({ endpoint }: PortSpec): void {
    const host = endpoint === null ? undefined : this.#hosts.get(endpoint.name)
    if (endpoint === null || host === undefined) return
    this.#hosts.delete(endpoint.name)
    this.#ports.delete(host)
    for (const { bytes } of endpoint.addresses) for (const other of this.#hosts.values()) other.neighbours.forget(bytes)
  }

  /** The host of that name. Throws a RangeError where there is none. */
  host(name: string): MemoryHost {
    const host = this.hosts.get(name)
    if (host === undefined) throw new RangeError(`there is no endpoint "${name}" in ${this.topology.name}`)
    return host
  }

  /** What is plugged in to a port, by label: to inject frames as if they came from its host. */
  port(label: string): MemoryPort {
    const port = this.fabric.wires.get(label)
    if (port === undefined) throw new RangeError(`nothing is plugged in to a port "${label}" of ${this.topology.name}`)
    return port as MemoryPort
  }

  /** Does one round and says whether anything moved. */
  step(): boolean {
    let work = this.loop.turn()
    for (const [host, port] of this.#ports) {
      for (const frame of port.takeAll()) {
        host.receive(frame)
        work++
      }
    }
    return work > 0 || this.loop.busy
  }

  /** Goes on at this instant until nothing moves. Says false where `limit` rounds were not enough: a loop of links. */
  settle(limit: number = SETTLE): boolean {
    for (let i = 0; i < limit; i++) if (!this.step()) return true
    return false
  }

  /** Lets time pass, with all that happens in it: timers of hosts and nodes at their own time. */
  advance(ns: number): void {
    this.runUntil(() => false, this.clock.now + ns)
  }

  /** Goes on until `done` says so, or until the time `end` (nanoseconds of the clock); true where it was done. */
  runUntil(done: () => boolean, end: number): boolean {
    return atOnce(this.#until(done, end))
  }

  /** The same, round by round. */
  *#until(done: () => boolean, end: number): Rounds<boolean> {
    for (;;) {
      for (let i = 0; i < SETTLE && this.step(); i++) yield
      if (done()) return true
      if (this.clock.now >= end) return false
      let next = Math.min(end, this.loop.nextTick)
      for (const host of this.hosts.values()) next = Math.min(next, host.nextTimer)
      this.clock.set(Math.max(this.clock.now, next))
      for (const host of this.hosts.values()) host.tick()
    }
  }

  /** Tries a check. */
  check(check: CheckSpec): CheckResult {
    return atOnce(this.#trial(check))
  }

  /** Tries a check as `check` does, with the same result, and lets the program do other things every few hundred
   * rounds. Rejects with the signal's reason where it stops it; the check is left undone then. */
  checkInTurns(check: CheckSpec, signal?: AbortSignal): Promise<CheckResult> {
    return inTurns(this.#trial(check), signal)
  }

  #trial(check: CheckSpec): Rounds<CheckResult> {
    return memoryCheck(check, {
      fabric: this.fabric,
      host: (name) => this.host(name),
      until: (done, ns) => this.#until(done, this.clock.now + ns),
    })
  }

  /** Tries the checks of the topology, in order. */
  runChecks(): CheckResult[] {
    return this.topology.checks.map((check) => this.check(check))
  }

  /** Traces frames that come in from now on; see `World.trace`. They come in as the world goes on. */
  trace(filter: string, options: LiveTraceOptions = {}): Promise<LiveTraceReport> {
    return traceFabric(this.fabric, filter, options)
  }

  /** Ports, address tables and ledger at this moment. */
  snapshot(): Snapshot {
    return snapshot(this.fabric)
  }
}

/**
 * Builds a topology in memory, with a small host for each endpoint.
 *
 * @example
 * const world = buildInMemory(parseTopology(text, 'two.yaml'))
 * for (const { ok, text } of world.runChecks()) console.log(ok ? 'ok  ' : 'FAIL', text)
 */
export function buildInMemory(topology: Topology, options: MemoryWorldOptions = {}): MemoryWorld {
  return new MemoryWorld(topology, options)
}

/** A world in memory, as all worlds are asked; `memory` is what there is more of it. */
export interface RunningInMemory extends World {
  readonly memory: MemoryWorld
  readonly fabric: Fabric
}

/**
 * Builds a topology in memory, to be asked as any other world: checks let the program do other things meanwhile, with the
 * same results as `MemoryWorld.check` has. Time goes on while checks are tried, and where `memory` is told to.
 */
export function memoryWorld(topology: Topology, options: MemoryWorldOptions = {}): RunningInMemory {
  const memory = new MemoryWorld(topology, options)
  const captures = new Set<MemoryCapture>()
  const stop = new AbortController()
  const stopped = new Promise<void>((resolve) => stop.signal.addEventListener('abort', () => resolve()))
  const signals = (signal: AbortSignal | undefined): AbortSignal =>
    signal === undefined ? stop.signal : AbortSignal.any([stop.signal, signal])
  const world: RunningInMemory = {
    memory,
    fabric: memory.fabric,
    get topology() {
      return memory.topology
    },
    stopped,
    snapshot: async () => memory.snapshot(),
    check: (check, signal) => memory.checkInTurns(check, signals(signal)),
    async runChecks(onResult = () => {}, signal) {
      const results: CheckResult[] = []
      for (const check of memory.topology.checks) {
        const result = await world.check(check, signal)
        results.push(result)
        onResult(result)
      }
      return results
    },
    async apply(next) {
      await memory.apply(next)
      for (const capture of captures) capture.follow()
    },
    async capture(sink) {
      const capture = new MemoryCapture(memory, sink)
      captures.add(capture)
      return async () => {
        captures.delete(capture)
        capture.close()
      }
    },
    trace: (filter, how = {}) => memory.trace(filter, { ...how, signal: signals(how.signal) }),
    async close() {
      if (stop.signal.aborted) return
      stop.abort(new Error(`${memory.topology.name} was stopped`))
      for (const capture of captures) capture.close()
      for (const port of memory.fabric.ports.values()) port.close()
    },
    [Symbol.asyncDispose]: () => world.close(),
  }
  return world
}

/** Captures of all ports: of what is on their wires. */
class MemoryCapture {
  readonly #world: MemoryWorld
  readonly #sink: (label: string) => CaptureSink
  readonly #ports: Map<Port, PortCapture> = new Map()

  constructor(world: MemoryWorld, sink: (label: string) => CaptureSink) {
    this.#world = world
    this.#sink = sink
    this.follow()
  }

  /** Begins at ports that have come, and ends at those that have gone. */
  follow(): void {
    const { fabric, clock } = this.#world
    const wires = new Map(Array.from(fabric.wires, ([label, port]) => [port, label]))
    for (const [port, capture] of this.#ports) {
      if (wires.has(port)) continue
      capture.close()
      this.#ports.delete(port)
    }
    for (const [port, label] of wires) {
      if (!this.#ports.has(port)) this.#ports.set(port, new PortCapture(port, clock, this.#sink(label), label))
    }
  }

  close(): void {
    for (const capture of this.#ports.values()) capture.close()
    this.#ports.clear()
  }
}
