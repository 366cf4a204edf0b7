/**
 * Runs `acl-in-memory.ts`, every variant in a process of its own, in interleaved rounds: what rules cost the frames of known flows (which
 * is to be nothing), those that begin one, and those that are refused; beside it a look at one rule after the other.
 */
import { execFileSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import Table from 'cli-table3'

const here = dirname(fileURLToPath(import.meta.url))

const TITLES = {
  empty: 'frames alone, no filter',
  known: 'a frame of a known flow',
  refused: 'a frame that was refused before',
  first: 'the first frame: search among rules',
  linear: 'the same, rule by rule',
} as const
type Kind = keyof typeof TITLES
const VARIANTS: readonly (readonly [Kind, number, number])[] = [
  ['empty', 0, 1024],
  ['known', 0, 1024],
  ['known', 10, 1024],
  ['known', 10_000, 1024],
  ['known', 0, 65_536],
  ['known', 10_000, 65_536],
  ['refused', 10, 1024],
  ['refused', 10_000, 1024],
  ['first', 10, 1024],
  ['first', 1000, 1024],
  ['first', 10_000, 1024],
  ['linear', 10, 1024],
  ['linear', 10_000, 1024],
]

/** What was measured of one variant. */
export interface AclSummary {
  readonly kind: Kind
  readonly rules: number
  readonly flows: number
  readonly ns: number
  readonly rounds: readonly number[]
}

/** Measures and prints. `time` is milliseconds a variant and round. */
export function benchAcl(options: { rounds: number; time: number }): AclSummary[] {
  const rows = VARIANTS.map(([kind, rules, flows]) => ({ kind, rules, flows, rounds: [] as number[] }))
  for (let round = 1; round <= options.rounds; round++) {
    process.stderr.write(`access control lists in memory, round ${round} of ${options.rounds}\n`)
    for (const { kind, rules, flows, rounds } of rows) {
      const words = ['--import', 'tsx', '--conditions', '@l2l3/source', join(here, 'acl-in-memory.ts')]
      words.push(JSON.stringify({ kind, rules, flows, time: options.time }))
      rounds.push(
        (JSON.parse(execFileSync(process.execPath, words, { cwd: here, encoding: 'utf8' })) as { ns: number }).ns,
      )
    }
  }
  const summaries = rows.map((row) => {
    const ns = [...row.rounds].sort((a, b) => a - b)[Math.floor(row.rounds.length / 2)] as number
    return { ...row, ns }
  })
  print(summaries)
  return summaries
}

function print(summaries: readonly AclSummary[]): void {
  const table = new Table({
    head: ['rules', 'flows', 'what', 'ns', 'x fewest rules'],
    colAligns: ['right', 'right', 'left', 'right', 'right'],
    style: { head: [], border: [] },
  })
  for (const { kind, rules, flows, ns } of summaries) {
    const fewest = summaries.find((s) => s.kind === kind && s.flows === flows)
    table.push([String(rules), String(flows), TITLES[kind], ns.toFixed(1), (ns / (fewest?.ns ?? ns)).toFixed(2)])
  }
  process.stdout.write(`\nAccess control lists in memory, one core: frames of 64 bytes\n${table}\n`)
}
