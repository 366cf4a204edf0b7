import { SECOND } from '@l2l3/switch-core'
import type { CheckResult } from '../check-result.ts'
import { didYouMean } from '../did-you-mean.ts'
import { type DropRow, dropRows } from '../drop-rows.ts'
import type { Fabric, Snapshot } from '../fabric.ts'
import { linuxProblem, namespaceName, upOnLinux } from '../linux/linux-world.ts'
import { type MemoryWorld, memoryWorld } from '../memory-world.ts'
import type { BuiltNode } from '../mode.ts'
import type { CheckKind, Topology } from '../topology.ts'
import { type TraceOptions, type TraceReport, type TraceWhat, trace } from '../trace/ask.ts'
import type { World } from '../world.ts'
import { LabCapture } from './lab-capture.ts'
import { LabHost } from './lab-host.ts'
import { LabDocument, type LabSource } from './source.ts'

/*
 * A lab: a topology that runs for as long as a test, or any scope, and leaves nothing behind.
 *
 *     await using lab = await topology({ nodes: { sw1: { mode: 'switch', endpoints: { red: { ip: '10.0.0.1/24' }, ... } } } })
 *     expect(await lab.host('red').ping('blue')).toMatchObject({ ok: true })
 *
 * In memory it takes milliseconds and is the same every time; on Linux its hosts are namespaces. Either way it belongs to
 * who has made it alone: on Linux it gets a name of its own, and any number run side by side.
 */

/** Settings of `topology`. */
export interface LabOptions {
  /** Where it runs: in memory (default), on Linux (needs root), or on Linux where that can be had (`auto`). */
  readonly world?: 'memory' | 'linux' | 'auto'
  /** In place of the topology's seed: other faults strike. */
  readonly seed?: number
  /** On Linux: its name, which namespaces begin with. Default: one that nobody else has. */
  readonly name?: string
  /** Stops building it, and what it tries. */
  readonly signal?: AbortSignal
}

/** Tables of a lab, by the names that `l2l3 show` has for them. */
export interface LabTables extends Omit<Snapshot, 'name'> {
  readonly drops: readonly DropRow[]
}

/** A world, and its nodes where they are in this process. */
interface Ran {
  readonly world: World
  readonly fabric: Fabric | null
  readonly memory: MemoryWorld | null
}

/** Labs on Linux that this process has made. */
let made = 0

/**
 * Builds a topology and runs it until the end of the scope, or `close`.
 *
 * @param source an object with the keys of a topology file, a file's text, or its path
 * @throws TopologyError where the topology is wrong: each problem with the key where it is, and the line if there are lines
 *
 * @example
 * await using lab = await topology('examples/router.yaml')
 * const { ok, detail } = await lab.host('a').ping('b')
 */
export async function topology(source: LabSource, options: LabOptions = {}): Promise<Lab> {
  const { world = 'memory', seed, name, signal } = options
  const document = new LabDocument(source)
  const given = seed === undefined ? document.topology : { ...document.topology, seed }
  signal?.throwIfAborted()
  const linux = world === 'linux' || (world === 'auto' && (await linuxProblem()) === null)
  if (!linux) {
    const ran = memoryWorld(given)
    return new Lab(document, { world: ran, fabric: ran.fabric, memory: ran.memory }, signal)
  }
  const own = { ...given, name: name ?? `${given.name.slice(0, 16)}-${process.pid}-${++made}` }
  const ran = await upOnLinux(own, signal === undefined ? {} : { signal })
  return new Lab(
    document,
    { world: ran, fabric: 'fabric' in ran ? (ran.fabric as Fabric) : null, memory: null },
    signal,
  )
}

/** A topology that runs; `topology` makes one. */
export class Lab implements AsyncDisposable {
  readonly #ran: Ran
  readonly #signal: AbortSignal | undefined
  #document: LabDocument

  /** Use `topology`. */
  constructor(document: LabDocument, ran: Ran, signal: AbortSignal | undefined) {
    this.#document = document
    this.#ran = ran
    this.#signal = signal
  }

  /** What runs now. */
  get topology(): Topology {
    return this.#ran.world.topology
  }

  /** The world itself, which commands use. */
  get world(): World {
    return this.#ran.world
  }

  /** Everything there is in memory - clock, hosts, ports to inject frames by; null on Linux. */
  get memory(): MemoryWorld | null {
    return this.#ran.memory
  }

  /** A host, by its name. Throws a RangeError where there is none. */
  host(name: string): LabHost {
    const { topology } = this
    const endpoint = topology.endpoints.find((e) => e.name === name)
    if (endpoint === undefined) throw unknown('host', name, topology, topology.endpoints)
    const namespace = this.memory === null ? namespaceName(topology, endpoint) : null
    return new LabHost(endpoint, namespace, (kind, trial) => this.#attempt(kind, trial))
  }

  /** A node, by its name, to look into: its tables. Throws a RangeError where there is none, and an Error where nodes are
   * processes of their own. */
  node(name: string): BuiltNode {
    const { fabric } = this.#ran
    if (fabric === null) throw new Error(`node ${name} is in another process; ask for a snapshot`)
    const node = fabric.nodes.find(({ spec }) => spec.name === name)
    if (node === undefined) throw unknown('node', name, this.topology, this.topology.nodes)
    return node
  }

  /** Tries a check in the form of a file's, `{ ping: { from, to } }`: one result for each IP version that both ends have. */
  async check(check: Readonly<Record<string, unknown>>): Promise<CheckResult[]> {
    const results: CheckResult[] = []
    for (const spec of this.#document.checks(check)) results.push(await this.world.check(spec, this.#signal))
    return results
  }

  /** Tries the checks of the topology, in order. */
  checks(): Promise<CheckResult[]> {
    return this.world.runChecks(() => {}, this.#signal)
  }

  /** Ports, tables and ledger at this moment. */
  snapshot(): Promise<Snapshot> {
    return this.world.snapshot()
  }

  /** One table of them: `await lab.show('fdb')`. */
  async show<K extends keyof LabTables>(what: K): Promise<LabTables[K]> {
    const snapshot = await this.snapshot()
    const tables: LabTables = { ...snapshot, drops: dropRows(snapshot) }
    return tables[what]
  }

  /**
   * Makes what runs into another topology, while traffic flows; its name stays.
   *
   * @throws TopologyError where the topology is wrong, or what runs cannot be made into it
   */
  async apply(source: LabSource): Promise<void> {
    const next = new LabDocument(source)
    const { name, seed } = this.topology
    await this.world.apply({ ...next.topology, name, seed })
    this.#document = next
  }

  /**
   * Has a host send something to another, or to an address, and follows it: every step with the bytes before and after,
   * and why. In memory it goes on from where the lab is; of a lab on Linux it asks the same topology in memory.
   *
   * @param what an echo request (default), `{ tcp: port }`, `{ udp: port }`, 'arp', or `{ frame: hex }`
   */
  trace(from: string, to: string, what: TraceWhat = 'icmp', options: Omit<TraceOptions, 'what'> = {}): TraceReport {
    return trace(this.memory ?? this.topology, from, to, { ...options, what })
  }

  /** Captures what passes all ports from now on, both ways; with `directory` into files there as well. */
  capture(directory?: string): Promise<LabCapture> {
    return LabCapture.start(this.world, directory ?? null)
  }

  /** Lets time pass: in memory virtual time, with all that happens in it, at once; on Linux it waits. */
  async wait(seconds: number): Promise<void> {
    if (this.memory !== null) this.memory.advance(Math.round(seconds * SECOND))
    else await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
  }

  /** Stops, and removes all that was made. May be called again. */
  close(): Promise<void> {
    return this.world.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #attempt(kind: CheckKind, trial: Readonly<Record<string, unknown>>): Promise<CheckResult> {
    // As one that may fail, what cannot work is no mistake of who tries it: it is tried, and does not work.
    const [spec] = this.#document.checks({ [kind]: trial, expect: 'fail' })
    if (spec === undefined) throw new Error(`${kind} has nothing to try`)
    return this.world.check({ ...spec, expect: 'pass' }, this.#signal)
  }
}

function unknown(what: string, name: string, { name: of }: Topology, there: readonly { name: string }[]): RangeError {
  const names = there.map((item) => item.name)
  return new RangeError(
    `there is no ${what} "${name}" in ${of}${didYouMean(name, names) || `; there are ${names.join(', ')}`}`,
  )
}
