/**
 * `npm run bench:guard`: has anything become much slower? A guard for every change: in less than twenty seconds, on a machine that is
 * as busy as machines of CI are, it compares the data path with a loop that never changes, and fails where a ratio is far out.
 *
 * What is compared are ratios inside one run: cases take turns with the loop, each in a process of its own, and of the rounds the
 * least counts - what else runs on a machine only adds. A limit is about twice the ratio that a quiet machine gives: this finds the
 * allocation a frame, the loop that V8 gave up on, the table that became linear; not the tenth that a benchmark is for.
 *
 *     npm run bench:guard -- [--rounds N] [--json FILE]
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import Table from 'cli-table3'
import type { Run } from './cases.ts'
import { machineFacts } from './machine.ts'
import { benchOptions } from './options.ts'
import { runProgram } from './program.ts'

/** What is guarded: times the reference loop that it may take. */
export interface Guarded {
  readonly what: string
  readonly run: Run
  readonly limit: number
}

/** The loop that never changes: known unicast over a table of 1,024 MACs, written by hand, with none of our code in it but the pool. */
export const REFERENCE: Run = { program: 'switch-in-memory', variant: { kind: 'bare', size: 64, macs: 1024, ports: 4 } }

const of = (program: string, variant: object): Run => ({ program, variant })

export const GUARDED: readonly Guarded[] = [
  { what: 'the switch', run: of('switch-in-memory', { kind: 'switch', size: 64, macs: 1024, ports: 4 }), limit: 3 },
  { what: 'VLAN-aware', run: of('switch-in-memory', { kind: 'vlan', size: 64, macs: 1024, ports: 4 }), limit: 3.5 },
  { what: 'source NAT', run: of('nat-in-memory', { kind: 'udp', flows: 1024 }), limit: 4 },
  { what: 'VXLAN', run: of('tunnel-in-memory', { kind: 'vxlan', size: 64 }), limit: 9 },
  { what: 'IPv4 forwarding', run: of('lookups-in-memory', { kind: 'forward4', n: 1000 }), limit: 7 },
  { what: 'filter, 1,000 rules', run: of('acl-in-memory', { kind: 'known', rules: 1000, flows: 1024 }), limit: 3.5 },
]

/** What was found of a case. */
export interface Verdict {
  readonly what: string
  readonly ns: number
  /** Times the reference loop: the least of the rounds. */
  readonly ratio: number
  readonly limit: number
  readonly ok: boolean
}

/** Nanoseconds a frame of a run. */
function measured({ program, variant }: Run): number {
  return runProgram<{ ns: number }>(program, { ...variant, time: 60 }).ns
}

/** Holds cases against the reference loop.
 * @param nanoseconds measures a run */
export function guard(
  cases: readonly Guarded[],
  rounds: number,
  nanoseconds: (run: Run) => number = measured,
): Verdict[] {
  const least = cases.map(() => ({ ns: Number.POSITIVE_INFINITY, ratio: Number.POSITIVE_INFINITY }))
  for (let round = 1; round <= rounds; round++) {
    for (const [i, { run, limit }] of cases.entries()) {
      const into = least[i] as (typeof least)[number]
      // What is well below its limit need not be asked again.
      if (into.ratio < 0.75 * limit) continue
      const beside = nanoseconds(REFERENCE)
      const ns = nanoseconds(run)
      into.ns = Math.min(into.ns, ns)
      into.ratio = Math.min(into.ratio, ns / beside)
    }
  }
  return cases.map(({ what, limit }, i) => {
    const { ns, ratio } = least[i] as (typeof least)[number]
    return { what, ns, ratio, limit, ok: ratio <= limit }
  })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { rounds, json } = benchOptions('guard', {})
  const verdicts = guard(GUARDED, rounds)
  const table = new Table({
    head: ['what', 'ns a frame', 'x reference loop', 'at most', ''],
    colAligns: ['left', 'right', 'right', 'right', 'left'],
    style: { head: [], border: [], compact: true },
  })
  for (const { what, ns, ratio, limit, ok } of verdicts) {
    table.push([what, ns.toFixed(1), ratio.toFixed(2), limit.toFixed(1), ok ? 'ok' : 'TOO SLOW'])
  }
  process.stdout.write(`${table}\n`)
  mkdirSync(dirname(json), { recursive: true })
  writeFileSync(json, `${JSON.stringify({ machine: machineFacts(), verdicts }, null, 2)}\n`)
  if (!verdicts.every(({ ok }) => ok)) process.exitCode = 1
}
