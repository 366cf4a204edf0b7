import { readdirSync, readFileSync } from 'node:fs'
import {
  buildInMemory,
  type CheckSpec,
  type MemoryWorld,
  parseTopology,
  type Topology,
  type TraceOptions,
  type TraceReport,
  trace,
} from '@l2l3/topology/memory'

/* What is asked of every topology in examples/: of its checks, those that send something else than one before. */

const EXAMPLES = new URL('../../../../examples/', import.meta.url)

/** Names of the topologies in examples/. */
export const examples: string[] = readdirSync(EXAMPLES)
  .filter((file) => file.endsWith('.yaml'))
  .map((file) => file.slice(0, -'.yaml'.length))
  .sort()

/** Reads one of them. */
export function example(name: string): Topology {
  return parseTopology(readFileSync(new URL(`${name}.yaml`, EXAMPLES), 'utf8'), `${name}.yaml`)
}

/** What is sent, by whom and to whom. */
export interface Question {
  readonly name: string
  readonly from: string
  readonly to: string
  readonly options: TraceOptions
}

/** What a check sends first; null where that is nothing of its own. */
export function questionOf(check: CheckSpec): Question | null {
  const { kind, address } = check
  const [from, to] = [check.from.name, address.text]
  const what = kind === 'ping' ? 'icmp' : kind === 'tcp' ? { tcp: check.port ?? 5001 } : null
  if (what === null) return null
  const name = typeof what === 'string' ? what : `tcp ${what.tcp}`
  return { name: `${name} ${from} -> ${to}`, from, to, options: { what } }
}

/** All that is asked of a topology, each once. */
export function questions(topology: Topology): Question[] {
  const all = topology.checks.flatMap((check) => questionOf(check) ?? [])
  return all.filter((question, i) => all.findIndex(({ name }) => name === question.name) === i)
}

/** A question's answer, and the frames that hosts took meanwhile, by the label of their port. */
export function asked(topology: Topology, question: Question): { report: TraceReport; taken: Map<string, string[]> } {
  const world = buildInMemory(topology)
  const taken = recorded(world)
  return { report: trace(world, question.from, question.to, question.options), taken }
}

/** Records what every host takes from its port. */
export function recorded(world: MemoryWorld): Map<string, string[]> {
  const taken = new Map<string, string[]>()
  for (const node of world.topology.nodes) {
    for (const { label, endpoint } of node.ports) {
      if (endpoint === null) continue
      const host = world.host(endpoint.name)
      const receive = host.receive.bind(host)
      taken.set(label, [])
      host.receive = (frame) => {
        taken.get(label)?.push(Buffer.from(frame).toString('hex'))
        receive(frame)
      }
    }
  }
  return taken
}
