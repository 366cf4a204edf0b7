import { FramePool, type FramePoolOptions, Loop, MAX_FRAME, MemoryPort, SECOND, VirtualClock } from '@l2l3/switch-core'
import { ipText } from './address.ts'
import { type CheckResult, judge, judgeNeighbour, judgeTrace, skip } from './check-result.ts'
import { buildFabric, type Fabric, type Snapshot, snapshot } from './fabric.ts'
import { HOPS, MemoryHost } from './host/memory-host.ts'
import { gatewaysOf } from './mode.ts'
import type { CheckSpec, Topology } from './topology.ts'
import { type LiveTraceOptions, type LiveTraceReport, traceFabric } from './trace/live.ts'

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
/** Rounds between two moments at which a check in turns lets the program do other things. */
const TURN = 500

/** Something that takes many rounds, one at each `next`. */
type Rounds<T> = Generator<undefined, T, undefined>

function atOnce<T>(rounds: Rounds<T>): T {
  for (;;) {
    const { done, value } = rounds.next()
    if (done) return value
  }
}

async function inTurns<T>(rounds: Rounds<T>, signal: AbortSignal | undefined): Promise<T> {
  for (let i = 0; ; i++) {
    if (i % TURN === 0) {
      await new Promise((resolve) => setTimeout(resolve, 0))
      signal?.throwIfAborted()
    }
    const { done, value } = rounds.next()
    if (done) return value
  }
}

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
  readonly topology: Topology
  readonly clock: VirtualClock
  readonly pool: FramePool
  readonly loop: Loop
  readonly fabric: Fabric
  /** By name. */
  readonly hosts: ReadonlyMap<string, MemoryHost>
  readonly #ports: Map<MemoryHost, MemoryPort> = new Map()

  /** Use `buildInMemory`. */
  constructor(topology: Topology, options: MemoryWorldOptions) {
    this.topology = topology
    this.clock = new VirtualClock(options.epoch ?? 0n)
    const frameSize = Math.min(MAX_FRAME, 18 + Math.max(9000, ...topology.endpoints.map((e) => e.mtu)))
    this.pool = new FramePool({ frameSize, ...options.pool })
    this.loop = new Loop(this.pool, this.clock)
    const hosts = new Map<string, MemoryHost>()
    this.fabric = buildFabric(
      topology,
      { pool: this.pool, clock: this.clock, loop: this.loop },
      {
        plug: (spec, node) => {
          const { label, endpoint } = spec
          if (endpoint === null) return options.open?.includes(label) ? new MemoryPort(this.pool, label) : null
          const port = new MemoryPort(this.pool, label)
          const host = new MemoryHost(endpoint, gatewaysOf(node, spec), this.clock, (frame) => port.inject(frame))
          hosts.set(endpoint.name, host)
          this.#ports.set(host, port)
          return port
        },
      },
    )
    this.hosts = hosts
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

  *#trial(check: CheckSpec): Rounds<CheckResult> {
    switch (check.kind) {
      case 'ping':
        return yield* this.#ping(check)
      case 'tcp':
        return yield* this.#tcp(check)
      case 'traceroute':
        return yield* this.#traceroute(check)
      case 'neigh':
        return judgeNeighbour(check, this.host(check.from.name).neighbours.get(check.address.bytes))
      default:
        return skip(check, 'it is tried on Linux only')
    }
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

  *#ping(check: CheckSpec): Rounds<CheckResult> {
    const { address, count, bytes, timeout } = check
    const ping = this.host(check.from.name).ping(address.bytes, count, bytes, Math.round(timeout * SECOND))
    yield* this.#until(() => ping.done, this.clock.now + (count + 1) * timeout * SECOND)
    const answers = `${ping.received} of ${count} answered`
    return judge(check, ping.received === count, ping.problem === null ? answers : `${answers}: ${ping.problem}`)
  }

  *#traceroute(check: CheckSpec): Rounds<CheckResult> {
    const { address, timeout } = check
    const trace = this.host(check.from.name).traceroute(address.bytes, Math.round(timeout * SECOND))
    yield* this.#until(() => trace.done, this.clock.now + Math.round(timeout * SECOND) * (HOPS + 1))
    if (trace.problem !== null) return judge(check, false, trace.problem)
    return judgeTrace(
      check,
      trace.hops.map((hop) => (hop === null ? null : ipText(hop))),
    )
  }

  *#tcp(check: CheckSpec): Rounds<CheckResult> {
    const { address, bytes, servers, port, serverPort, timeout } = check
    const ends = servers.map(({ name }) => this.host(name))
    if (serverPort !== null) for (const end of ends) end.listen(serverPort)
    const transfer = this.host(check.from.name).transfer(address.bytes, bytes, port ?? undefined)
    if (transfer === null) return judge(check, false, 'no route to the address')
    const { sender } = transfer
    const open = (): boolean => sender.state === 'connecting' || sender.state === 'sending'
    yield* this.#until(() => !open(), this.clock.now + Math.round(timeout * SECOND))
    if (sender.state !== 'done')
      return judge(check, false, open() ? 'no answer in time' : `connection: ${sender.state}`)
    const end = ends.find((host) => host.receiver(transfer) !== undefined)
    const receiver = end?.receiver(transfer)
    if (receiver === undefined && ends.length > 0) {
      return judge(check, false, `it arrived at another than ${ends.map((host) => host.name).join(', ')}`)
    }
    const whole = receiver === undefined || (receiver.intact && receiver.received === bytes)
    const where = ends.length > 1 ? `, at ${end?.name}` : ''
    return judge(check, whole, whole ? `${bytes} bytes, all intact${where}` : 'the payload came damaged')
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
