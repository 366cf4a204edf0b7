import type { Topology } from '../topology.ts'
import type { LiveTraceOptions } from '../trace/live.ts'
import type { Trace } from '../trace/path.ts'
import { Channel } from './channel.ts'
import { Dataplane, type Wait, type WireEnd } from './dataplane.ts'
import type { Host } from './hosts.ts'

/*
 * The program of a node that is a process of its own: it holds the node's ports, moves its frames, and answers what the
 * parent asks (`real-world`). It ends when the parent does, however that ends: the channel is closed then, and with the
 * process go its TAPs.
 */

/** What a node's process is told to build. */
export interface NodeOrder {
  /** The node's part of the topology. */
  readonly topology: Topology
  /** TAPs on bridges, by the port's label. */
  readonly wires: ReadonlyMap<string, WireEnd>
  readonly wait: Wait | undefined
}

/** A piece of a capture. */
export interface CapturedPiece {
  /** Of the capture: what `capture` was asked with. */
  readonly id: number
  readonly label: string
  readonly chunk: Uint8Array
}

/** Bytes of captures that may be under way to the parent; what is more is lost, as in a kernel's capture buffer. */
const UNDERWAY = 16 << 20

/** What a trace is asked for with. */
export interface TraceOrder extends Pick<LiveTraceOptions, 'count' | 'rate'> {
  readonly id: number
  readonly filter: string
}

let dataplane: Dataplane | undefined
let underway = 0
const captures = new Map<number, () => void>()
const traces = new Map<number, AbortController>()

const channel = new Channel(process, {
  open: async ({ topology, wires, wait }: NodeOrder) => {
    process.title = `l2l3 ${topology.name}/${topology.nodes[0]?.name}`
    dataplane = await Dataplane.open(topology, {
      wires,
      ...(wait && { wait }),
      onPortFailed: (label, error) => channel.tell('failed', { label, message: error.message }),
    })
  },
  start: () => {
    opened().start().catch(fail)
    return opened().caughtUp(undefined)
  },
  apply: (next: Topology) => {
    const ask = (what: string) => (told: Host | readonly Host[]) => channel.ask<void>(what, told)
    return opened().apply(next, { make: ask('makeHosts'), configure: ask('setHost'), remove: ask('dropHosts') })
  },
  snapshot: () => opened().snapshot(),
  capture: ({ id }: { id: number }) => {
    const end = opened().capture((label) => {
      let first = true
      return (chunk) => {
        // A chunk is whole records: one that is lost leaves a file that can be read, but the first has its header.
        if (!first && underway + chunk.length > UNDERWAY) channel.tell('missed', { id, label, bytes: chunk.length })
        else {
          underway += chunk.length
          channel.tell('captured', { id, label, chunk })
        }
        first = false
      }
    })
    captures.set(id, end)
  },
  captureEnd: ({ id }: { id: number }) => {
    captures.get(id)?.()
    captures.delete(id)
  },
  taken: (bytes: number) => {
    underway -= bytes
  },
  trace: async ({ id, filter, ...options }: TraceOrder) => {
    const abort = new AbortController()
    traces.set(id, abort)
    const onTrace = (trace: Trace): void => channel.tell('traced', { id, trace })
    const report = await opened().trace(filter, { ...options, onTrace, signal: abort.signal })
    traces.delete(id)
    return report
  },
  traceEnd: ({ id }: { id: number }) => traces.get(id)?.abort(),
  stop: async () => {
    await dataplane?.stop()
    leave()
  },
})

function opened(): Dataplane {
  if (dataplane === undefined) throw new Error('nothing is built yet')
  return dataplane
}

/** Ends the process with a sentence, which the parent tells of the node. */
function fail(error: unknown): void {
  process.stderr.write(`${(error as Error).message ?? error}\n`, () => process.exit(1))
}

/** Ends the process. The kernel would close its TAPs one after the other, which takes 21 ms each. */
function leave(): void {
  dataplane?.close()
  process.exit()
}

process.on('disconnect', leave)
process.on('uncaughtException', fail)
