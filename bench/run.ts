/**
 * `npm run bench`: how fast is it in memory, on one core? One table: tables and elements beside bare loops that do the same, what stays
 * behind, what things weigh, and how long a start takes. End to end on TAP devices: `npm run bench:tap`.
 *
 * Every variant runs in a process of its own, in interleaved rounds; medians are printed, and of ratios the medians of the
 * rounds' ratios. On a shared machine the ratios of a run are what counts.
 *
 *     npm run bench -- [--quick] [--rounds N] [--only TEXT] [--tracing] [--json FILE]
 *
 *     --quick       three short rounds
 *     --rounds N    rounds; default 5
 *     --only TEXT   cases whose section or name has TEXT in it
 *     --tracing     what tracing costs while nobody traces, instead
 *     --json FILE   where the figures go; default bench/results/memory.json
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import Table from 'cli-table3'
import { CASES } from './cases.ts'
import { number } from './figures.ts'
import { machineFacts } from './machine.ts'
import { type Measured, measureAll } from './memory.ts'
import { benchOptions, progress } from './options.ts'
import { benchTracing } from './tracing.ts'
import { startAll, type Weighed, weighAll } from './weigh.ts'

const options = benchOptions('memory', { only: { type: 'string' }, tracing: { type: 'boolean', default: false } })
const { quick, rounds } = options
const time = quick ? 100 : 400

/** A row with what is the same in both kinds. */
type Row = Measured | Weighed

function figure(row: Row): string[] {
  if ('ns' in row) return [number(row.ns), 'ns', row.mpps.toFixed(1)]
  if (row.unit === 'ms' || row.value < 10_000) return [number(row.value), row.unit, '']
  return [number(row.value / 1024), 'KiB', '']
}

function print(rows: readonly Row[]): void {
  const right = 'right' as const
  const table = new Table({
    head: ['what', 'of how many', 'figure', '', 'M/s', 'x bare loop', 'x C loop', 'target', ''],
    colAligns: ['left', 'left', right, 'left', right, right, right, 'left', 'left'],
    style: { head: [], border: [], compact: true },
  })
  const times = (ratio: number | null): string => (ratio === null ? '' : ratio.toFixed(2))
  let section = ''
  for (const row of rows) {
    if (row.section !== section) table.push([{ colSpan: 9, content: row.section.toUpperCase() }])
    section = row.section
    const ratios = 'ns' in row ? [times(row.toBare), times(row.toC)] : ['', '']
    const met = row.met === null ? '' : row.met ? 'met' : 'not met'
    table.push([`  ${row.what}`, row.entries, ...figure(row), ...ratios, row.target ?? '', met])
  }
  process.stdout.write(`\nIn memory, one core: medians of ${rounds} rounds\n${table}\n`)
}

const result: Record<string, unknown> = { machine: machineFacts(), rounds, quick }
if (options.tracing) result.tracing = benchTracing({ rounds, time })
else {
  const { only } = options
  const cases = CASES.filter((it) => only === undefined || `${it.section} ${it.what}`.includes(only))
  const measured = measureAll(cases, { rounds, time, say: progress })
  const rows: Row[] = [...measured]
  if (only === undefined) rows.push(...weighAll(progress), ...(await startAll({ memory: true, rounds }, progress)))
  progress('')
  print(rows)
  result.rows = rows
}
mkdirSync(dirname(options.json), { recursive: true })
writeFileSync(options.json, `${JSON.stringify(result, null, 2)}\n`)
process.stdout.write(`written to ${options.json}\n`)
