/**
 * `npm run bench:growth`: how does the cost of a frame grow with ports, addresses, flows, rules and routes? Draws what it finds into
 * docs/plots, a plot for each; docs/performance.md shows them. Of the rounds the least counts: what is looked for is a shape, and what
 * else runs on a machine only adds.
 *
 *     npm run bench:growth -- [--quick] [--rounds N] [--only A,B] [--plots FOLDER] [--json FILE]
 *
 *     --quick          one short round with every third point
 *     --rounds N       rounds; default 3
 *     --only A,B       of ports, macs, flows, rules, routes
 *     --plots FOLDER   where the plots go; default docs/plots, with --quick bench/results
 *     --json FILE      where the figures go; default bench/results/growth.json
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import Table from 'cli-table3'
import type { Run } from './cases.ts'
import { number } from './figures.ts'
import { machineFacts } from './machine.ts'
import { benchOptions, progress, usage } from './options.ts'
import { type Drawing, draw } from './plot.ts'
import { compileC, runC, runProgram } from './program.ts'

/** A line of a plot: the run for each number, and what making the frames costs, which is taken off. */
interface Line {
  readonly name: string
  readonly run: (n: number) => Run
  readonly less?: Run
}

interface Growth extends Omit<Drawing, 'points'> {
  readonly name: string
  readonly at: readonly number[]
  readonly lines: readonly Line[]
}

const powers = (from: number, to: number, step: number): number[] => {
  const list: number[] = []
  for (let n = from; n < to; n *= step) list.push(n)
  return [...list, to]
}

const unicast = (kind: string, macs: number, ports: number): Run => ({
  program: kind === 'c' ? 'fused.c' : 'switch-in-memory',
  variant: kind === 'c' ? { words: [64, macs, ports] } : { kind, size: 64, macs, ports },
})
const nat = (kind: string, flows: number): Run => ({ program: 'nat-in-memory', variant: { kind, flows } })
const acl = (kind: string, rules: number): Run => ({ program: 'acl-in-memory', variant: { kind, rules, flows: 1024 } })
const lookup = (kind: string, n: number): Run => ({ program: 'lookups-in-memory', variant: { kind, n } })

const SWITCHES = [
  ['the switch', 'switch'],
  ['VLAN-aware', 'vlan'],
  ['bare loop, JavaScript', 'bare'],
  ['bare loop, C', 'c'],
] as const

const GROWTHS: readonly Growth[] = [
  {
    name: 'ports',
    title: 'Known unicast, 64-byte frames, 4,096 MACs',
    x: 'ports',
    y: 'ns a frame',
    at: powers(2, 1024, 2),
    lines: SWITCHES.map(([name, kind]) => ({ name, run: (n) => unicast(kind, 4096, n) })),
  },
  {
    name: 'macs',
    title: 'Known unicast, 64-byte frames, 4 ports',
    x: 'MAC addresses',
    y: 'ns a frame',
    at: powers(16, 1 << 20, 4),
    lines: SWITCHES.map(([name, kind]) => ({ name, run: (n) => unicast(kind, n, 4) })),
  },
  {
    name: 'flows',
    title: 'Outbound NAT, 64-byte frames of known flows',
    x: 'flows',
    y: 'ns a frame',
    at: powers(16, 1 << 20, 4),
    lines: [
      { name: 'source NAT, UDP', run: (n) => nat('udp', n) },
      { name: 'source NAT, TCP', run: (n) => nat('tcp', n) },
      { name: 'bare loop, JavaScript', run: (n) => nat('bare', n) },
    ],
  },
  {
    name: 'rules',
    title: 'Access control lists: what a rule costs',
    x: 'rules',
    y: 'ns',
    log: true,
    at: [1, 3, 10, 30, 100, 300, 1000, 3000, 10_000],
    lines: [
      { name: 'frame of a known flow', run: (n) => acl('known', n) },
      { name: 'first frame of a flow', run: (n) => acl('first', n) },
      { name: 'rule by rule', run: (n) => acl('linear', n) },
    ],
  },
  {
    name: 'routes',
    title: 'Routes of lengths as in a full table',
    x: 'routes',
    y: 'ns',
    at: powers(10, 1_000_000, 10),
    lines: [
      {
        name: 'forwarding, IPv4',
        run: (n) => lookup('forward4', n),
        less: { program: 'lookups-in-memory', variant: { kind: 'forward4', n: 10, empty: true } },
      },
      { name: 'lookup, IPv6', run: (n) => lookup('routes6', n) },
      { name: 'lookup, IPv4', run: (n) => lookup('routes4', n) },
    ],
  },
]

/** What was found at a point. */
interface Found {
  readonly growth: string
  readonly line: string
  readonly n: number
  readonly ns: number
  readonly rounds: number[]
}

function once({ program, variant }: Run, time: number): number | null {
  if (!program.endsWith('.c')) return runProgram<{ ns: number }>(program, { ...variant, time }).ns
  const binary = compileC(program.slice(0, -2))
  return binary === null ? null : runC<{ ns: number }>(binary, ...(variant as { words: number[] }).words, time).ns
}

const options = benchOptions('growth', { only: { type: 'string' }, plots: { type: 'string' } })
const { quick } = options
const rounds = process.argv.includes('--rounds') ? options.rounds : quick ? 1 : 3
const time = quick ? 60 : 250
const only = options.only?.split(',')
const names = GROWTHS.map(({ name }) => name)
for (const name of only ?? []) if (!names.includes(name)) usage(`--only takes ${names.join(', ')}, not ${name}`)
const here = dirname(fileURLToPath(import.meta.url))
const folder = options.plots ?? join(here, quick ? 'results' : '../docs/plots')

const growths = GROWTHS.filter(({ name }) => only?.includes(name) ?? true)
const found: Found[] = []
for (const { name, at, lines } of growths) {
  const asked = quick ? at.filter((_, i) => i % 3 === 0 || i === at.length - 1) : at
  for (const line of lines) {
    for (const n of asked) found.push({ growth: name, line: line.name, n, ns: Number.NaN, rounds: [] })
  }
}
/** What was measured until now: of the rounds the least. */
function measured(): Found[] {
  return found.filter((point) => point.rounds.length > 0).map((p) => ({ ...p, ns: Math.min(...p.rounds) }))
}

/** Draws and writes what was measured until now: a run that is interrupted leaves what it has. */
function keep(done: number): void {
  const points = measured()
  mkdirSync(dirname(options.json), { recursive: true })
  writeFileSync(options.json, `${JSON.stringify({ machine: machineFacts(), rounds: done, points }, null, 2)}\n`)
  mkdirSync(folder, { recursive: true })
  for (const growth of growths) {
    const mine = points.filter((point) => point.growth === growth.name)
    const drawn = mine.map(({ line, n, ns }) => ({ line, x: n, y: ns }))
    writeFileSync(join(folder, `${growth.name}.svg`), draw({ ...growth, points: drawn }))
  }
}

function print(growth: Growth): void {
  const mine = measured().filter((point) => point.growth === growth.name)
  const columns = [...new Set(mine.map(({ n }) => n))]
  const table = new Table({
    head: [growth.x, ...columns.map((n) => n.toLocaleString('en-US'))],
    colAligns: ['left', ...columns.map(() => 'right' as const)],
    style: { head: [], border: [], compact: true },
  })
  for (const { name } of growth.lines) {
    const of = mine.filter((point) => point.line === name)
    table.push([name, ...columns.map((n) => of.map((p) => (p.n === n ? number(p.ns) : '')).join(''))])
  }
  process.stdout.write(`\n${growth.title}: ${growth.y}\n${table}\n`)
}

for (let round = 1; round <= rounds; round++) {
  for (const point of found) {
    const growth = growths.find(({ name }) => name === point.growth) as Growth
    const line = growth.lines.find(({ name }) => name === point.line) as Line
    progress(`growth, round ${round} of ${rounds}: ${point.growth}, ${point.line}, ${point.n}`)
    const ns = once(line.run(point.n), time)
    if (ns !== null) point.rounds.push(ns - (line.less === undefined ? 0 : (once(line.less, time) ?? 0)))
  }
  keep(round)
}
progress('')
for (const growth of growths) print(growth)
process.stdout.write(`\nplots in ${folder}, figures in ${options.json}\n`)
