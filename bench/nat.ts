/**
 * Runs `nat-in-memory.ts`, every variant in a process of its own, in interleaved rounds: frames of 64 bytes, whole path. Beside it stand
 * what ports, loop and link take alone, and one hand-written loop that does the least there is to do.
 */
import { execFileSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import Table from 'cli-table3'

const here = dirname(fileURLToPath(import.meta.url))

const TITLES = {
  bare: 'bare loop, JavaScript',
  empty: 'ports, loop and link alone',
  udp: 'source NAT, UDP',
  tcp: 'source NAT, TCP',
  answers: 'the answers',
  new: 'new flows, which expire',
} as const
type Kind = keyof typeof TITLES
const FLOWS = [1024, 65_536, 1_048_576] as const
/** Million frames a second (docs/performance.md). */
const TARGETS: Readonly<Record<number, number>> = { 1024: 35, 65536: 25, 1048576: 12 }

/** What was measured of one variant. */
export interface NatSummary {
  readonly kind: Kind
  readonly flows: number
  readonly ns: number
  readonly mpps: number
  readonly toBare: number
  readonly bytesPerFlow: number
  readonly rounds: readonly number[]
}

function median(list: readonly number[]): number {
  return [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] as number
}

/** Measures and prints. `time` is milliseconds a variant and round. */
export function benchNatInMemory(options: { rounds: number; time: number }): NatSummary[] {
  const rows = FLOWS.flatMap((flows) =>
    (Object.keys(TITLES) as Kind[]).map((kind) => ({ kind, flows, ns: [] as number[], bytesPerFlow: 0 })),
  )
  for (let round = 1; round <= options.rounds; round++) {
    process.stderr.write(`NAT in memory, round ${round} of ${options.rounds}\n`)
    for (const row of rows) {
      const words = ['--import', 'tsx', '--conditions', '@l2l3/source', join(here, 'nat-in-memory.ts')]
      words.push(JSON.stringify({ kind: row.kind, flows: row.flows, time: options.time }))
      const out = execFileSync(process.execPath, words, { cwd: here, encoding: 'utf8' })
      const found = JSON.parse(out) as { ns: number; bytesPerFlow: number }
      row.ns.push(found.ns)
      row.bytesPerFlow = found.bytesPerFlow
    }
  }
  const summaries = rows.map(({ kind, flows, ns, bytesPerFlow }) => {
    const mid = median(ns)
    const bare = rows.find((r) => r.kind === 'bare' && r.flows === flows)
    const toBare = mid / median(bare?.ns ?? ns)
    return { kind, flows, ns: mid, mpps: 1e3 / mid, toBare, bytesPerFlow, rounds: ns }
  })
  print(summaries)
  return summaries
}

function print(summaries: readonly NatSummary[]): void {
  const table = new Table({
    head: ['flows', 'what', 'ns/frame', 'Mframes/s', 'target', 'x bare loop'],
    colAligns: ['right', 'left', 'right', 'right', 'right', 'right'],
    style: { head: [], border: [] },
  })
  for (const s of summaries) {
    const target = s.kind === 'udp' || s.kind === 'tcp' ? TARGETS[s.flows] : undefined
    const met = target === undefined ? '' : `${target} ${s.mpps >= target ? 'met' : 'not met'}`
    table.push([String(s.flows), TITLES[s.kind], s.ns.toFixed(1), s.mpps.toFixed(2), met, s.toBare.toFixed(2)])
  }
  const bytes = summaries.find((s) => s.kind === 'udp')?.bytesPerFlow ?? 0
  process.stdout.write(
    `\nNAT in memory, one core: frames of 64 bytes; a flow takes ${bytes.toFixed(0)} bytes\n${table}\n`,
  )
}
