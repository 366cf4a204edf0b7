import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { CaptureSink } from '@l2l3/switch-core/pcap'
import type { Snapshot } from '../fabric.ts'
import type { LiveTraceReport } from '../trace/live.ts'
import type { Trace } from '../trace/path.ts'
import { Channel } from './channel.ts'
import type { HostPlaces, Wait } from './dataplane.ts'
import type { Host } from './hosts.ts'
import type { CapturedPiece, NodeOrder, TraceOrder } from './node-program.ts'
import type { PartPlan } from './real-plan.ts'

/* The process of a node, seen from the one that started it. */

const PROGRAM = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? './node-program.ts' : './node-program.js', import.meta.url),
)
/** Milliseconds that an answer may take, before a process counts as hung; the first, when it has yet to start; and one
 * for which namespaces are made. */
const PATIENCE = 10_000
const STARTING = 60_000
const CHANGING = 120_000
/** Milliseconds that are waited for what it says of itself. */
const GLANCE = 2000
/** Characters of what it says on standard error that are kept. */
const SAID = 4096

/** Settings of `NodeProcess`. */
export interface NodeProcessOptions {
  /** What Node is started with; what this process was started with where it is undefined. */
  readonly nodeArguments: readonly string[] | undefined
  readonly wait: Wait | undefined
  readonly onPortFailed: (label: string, error: Error) => void
  /** Is told once that the process has ended though it was not asked to, and why. */
  readonly onEnded: (node: NodeProcess, why: string) => void
  /** Is told of what a capture had to leave out. */
  readonly onMissed: (label: string, bytes: number) => void
  /** Makes the namespaces of hosts that come. */
  readonly hosts: HostPlaces
}

/** A node that runs in a process of its own. */
export class NodeProcess {
  readonly name: string
  /** What it is built of. */
  part: PartPlan
  /** Undefined where no process could be started. */
  readonly pid: number | undefined
  /** Why it has ended; null while it runs. */
  ended: string | null = null
  /** What it said last of itself. */
  last: Snapshot | null = null
  /** Settles when the process is gone. */
  readonly gone: Promise<void>
  readonly #child: ChildProcess
  readonly #channel: Channel
  readonly #wait: Wait | undefined
  readonly #sinks: Map<number, { open: (label: string) => CaptureSink; byLabel: Map<string, CaptureSink> }> = new Map()
  readonly #traces: Map<number, (trace: Trace) => void> = new Map()
  #stopping = false

  constructor(part: PartPlan, options: NodeProcessOptions) {
    this.part = part
    this.name = part.node.name
    this.#wait = options.wait
    const { nodeArguments, onPortFailed, onEnded, onMissed, hosts } = options
    this.#child = fork(PROGRAM, [], {
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      // Ctrl-C is for this process, which has nodes say that they go.
      detached: true,
      ...(nodeArguments === undefined ? {} : { execArgv: [...nodeArguments] }),
    })
    this.pid = this.#child.pid
    this.#channel = new Channel(this.#child, {
      failed: ({ label, message }: { label: string; message: string }) => onPortFailed(label, new Error(message)),
      captured: (piece: CapturedPiece) => this.#captured(piece),
      makeHosts: (some: readonly Host[]) => hosts.make(some),
      setHost: (host: Host) => hosts.configure(host),
      dropHosts: (some: readonly Host[]) => hosts.remove(some),
      traced: ({ id, trace }: { id: number; trace: Trace }) => this.#traces.get(id)?.(trace),
      missed: ({ label, bytes }: { label: string; bytes: number }) => onMissed(label, bytes),
    })
    let said = ''
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-SAID)
    })
    this.gone = new Promise((resolve) => {
      const end = (why: string): void => {
        if (this.ended !== null) return
        this.ended = why
        this.#channel.close(`node ${this.name}: ${why}`)
        if (!this.#stopping) onEnded(this, why)
        resolve()
      }
      this.#child.on('error', (error) => {
        if (this.#child.pid === undefined) end(`its process could not be started: ${error.message}`)
      })
      this.#child.on('close', (code, signal) => end(endingOf(code, signal, said)))
    })
  }

  /** Whether it runs. */
  get alive(): boolean {
    return this.ended === null
  }

  /** Opens the node's ports and builds it. Rejects with an Error of what was in the way. */
  open(): Promise<void> {
    const { topology, wires } = this.part
    const order: NodeOrder = { topology, wires, wait: this.#wait }
    return this.#ask('open', order, STARTING)
  }

  /** Has it move frames. */
  start(): Promise<void> {
    return this.#ask('start', undefined, STARTING)
  }

  /** Makes of it what another plan says, while frames pass. Rejects with an Error where it cannot. */
  async apply(part: PartPlan): Promise<void> {
    await this.#ask('apply', part.topology, CHANGING)
    this.part = part
  }

  /** What it says of itself; null where it has ended, or does not answer in time. */
  async snapshot(): Promise<Snapshot | null> {
    if (!this.alive) return null
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<null>((resolve) => {
      timer = setTimeout(resolve, GLANCE, null)
    })
    try {
      const said = await Promise.race([this.#channel.ask<Snapshot>('snapshot'), late])
      if (said !== null) this.last = said
      return said
    } catch {
      // It has ended meanwhile.
      return null
    } finally {
      clearTimeout(timer)
    }
  }

  /** Begins a capture of its ports, under a number that no other has. Of one that has ended there is none. */
  async capture(id: number, open: (label: string) => CaptureSink): Promise<void> {
    if (!this.alive) return
    this.#sinks.set(id, { open, byLabel: new Map() })
    await this.#ask('capture', { id })
  }

  /** Ends it; settles when all has been written. */
  async captureEnd(id: number): Promise<void> {
    if (this.alive) await this.#ask('captureEnd', { id }).catch(() => {})
    this.#sinks.delete(id)
  }

  /** Traces frames of its ports, under a number that no other has, until there are enough or `traceEnd` ends it; null of a
   * node that has ended, then or meanwhile. */
  async trace(order: TraceOrder, onTrace: (trace: Trace) => void): Promise<LiveTraceReport | null> {
    if (!this.alive) return null
    this.#traces.set(order.id, onTrace)
    try {
      return await this.#channel.ask<LiveTraceReport>('trace', order)
    } catch (error) {
      if (this.alive) throw error
      return null
    } finally {
      this.#traces.delete(order.id)
    }
  }

  /** Ends a trace. */
  traceEnd(id: number): void {
    this.#channel.tell('traceEnd', { id })
  }

  /** Has the node say that it goes, and ends the process. */
  async stop(): Promise<void> {
    this.#stopping = true
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), PATIENCE)
    // It ends by itself then. (Were the channel closed from here, Node would not tell of its end.)
    this.#channel.tell('stop')
    await this.gone
    clearTimeout(timer)
  }

  /** Ends the process at once: for the end of this one. */
  kill(): void {
    this.#stopping = true
    if (this.alive) this.#child.kill('SIGKILL')
  }

  #captured({ id, label, chunk }: CapturedPiece): void {
    this.#channel.tell('taken', chunk.length)
    const sinks = this.#sinks.get(id)
    if (sinks === undefined) return
    const sink = sinks.byLabel.get(label) ?? sinks.open(label)
    sinks.byLabel.set(label, sink)
    try {
      sink(chunk)
    } catch {
      // It gets no more.
      sinks.byLabel.set(label, () => {})
    }
  }

  /** Asks; a process that does not answer is ended. */
  #ask<T>(what: string, body?: unknown, patience: number = PATIENCE): Promise<T> {
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), patience)
    return this.#channel.ask<T>(what, body).finally(() => clearTimeout(timer))
  }
}

function endingOf(code: number | null, signal: NodeJS.Signals | null, said: string): string {
  const last = said.trim().split('\n').at(-1) ?? ''
  const how = signal !== null ? `killed by ${signal}` : `status ${code}`
  return `its process has ended: ${last === '' ? how : `${last} (${how})`}`
}
