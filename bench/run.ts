/**
 * `npm run bench`: how fast is the switch, in memory, and - as root - end to end on TAP beside the Linux bridge?
 *
 * In memory, every variant runs in a process of its own, in interleaved rounds; the medians are printed, with their ratio
 * to the same work in one bare loop, in JavaScript and in C. On a shared machine the ratios of a run are what counts.
 *
 *     npm run bench -- [--quick] [--rounds N] [--memory | --tap | --tracing] [--json FILE]
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus, release } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import Table from 'cli-table3'
import { type AclSummary, benchAcl } from './acl.ts'
import { benchNatInMemory, type NatSummary } from './nat.ts'
import { benchTracing, type TracingSummary } from './tracing.ts'
import { benchTunnels, type TunnelSummary } from './tunnels.ts'

const here = dirname(fileURLToPath(import.meta.url))
const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    memory: { type: 'boolean', default: false },
    tap: { type: 'boolean', default: false },
    tracing: { type: 'boolean', default: false },
    json: { type: 'string', default: join(here, 'results', 'bench.json') },
  },
})
const rounds = Number(options.rounds ?? (options.quick ? 3 : 5))
if (!Number.isInteger(rounds) || rounds < 1) throw new RangeError(`--rounds must be 1 or more, not ${options.rounds}`)
const time = options.quick ? 200 : 500
const PORTS = 4

const KINDS = ['switch', 'vlan', 'bare', 'c'] as const
type Kind = (typeof KINDS)[number]
const TITLES: Record<Kind, string> = {
  switch: 'the switch',
  vlan: 'the switch, VLAN-aware',
  bare: 'bare loop, JavaScript',
  c: 'bare loop, C',
}
/** Targets in million frames a second, for 64-byte frames by number of MACs (docs/performance.md). */
const TARGETS: Record<number, number> = { 1024: 45, 65536: 35 }

interface Row {
  readonly kind: Kind
  readonly size: number
  readonly macs: number
  readonly ns: number[]
}

interface Summary {
  readonly kind: Kind
  readonly size: number
  readonly macs: number
  readonly ns: number
  readonly mpps: number
  readonly toBare: number
  readonly toC: number | null
  readonly rounds: readonly number[]
}

function median(list: readonly number[]): number {
  const sorted = [...list].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] as number
}

/** Compiles the C loop; null (with a line that says so) where there is no compiler. */
function compileC(): string | null {
  const out = join(here, 'build', 'fused')
  mkdirSync(dirname(out), { recursive: true })
  const cc = spawnSync('cc', ['-O2', '-o', out, join(here, 'fused.c')], { encoding: 'utf8' })
  if (cc.status === 0) return out
  process.stderr.write(
    `no C compiler, so no comparison with C (apt-get install gcc libc6-dev): ${cc.error ?? cc.stderr}\n`,
  )
  return null
}

function measure(row: Row, c: string | null): number {
  const { kind, size, macs } = row
  if (kind === 'c') {
    const words = [size, macs, PORTS, time].map(String)
    return (JSON.parse(execFileSync(c as string, words, { encoding: 'utf8' })) as { ns: number }).ns
  }
  const variant = JSON.stringify({ kind, size, macs, ports: PORTS, time })
  const words = ['--import', 'tsx', '--conditions', '@l2l3/source', join(here, 'switch-in-memory.ts'), variant]
  const out = JSON.parse(execFileSync(process.execPath, words, { cwd: here, encoding: 'utf8' })) as {
    ns: number
    balanced: boolean
  }
  if (kind !== 'bare' && !out.balanced) throw new Error(`the ledger does not balance: ${JSON.stringify(out)}`)
  return out.ns
}

function inMemory(): Summary[] {
  const c = compileC()
  const rows: Row[] = []
  for (const size of [64, 1500]) {
    for (const macs of [16, 1024, 65536]) {
      for (const kind of KINDS) if (kind !== 'c' || c !== null) rows.push({ kind, size, macs, ns: [] })
    }
  }
  for (let round = 1; round <= rounds; round++) {
    process.stderr.write(`in memory, round ${round} of ${rounds}\n`)
    for (const row of rows) row.ns.push(measure(row, c))
  }
  const of = (kind: Kind, size: number, macs: number): number | null => {
    const row = rows.find((r) => r.kind === kind && r.size === size && r.macs === macs)
    return row === undefined ? null : median(row.ns)
  }
  return rows.map(({ kind, size, macs, ns }) => {
    const mid = median(ns)
    const inC = of('c', size, macs)
    return {
      kind,
      size,
      macs,
      ns: mid,
      mpps: 1e3 / mid,
      toBare: mid / (of('bare', size, macs) as number),
      toC: inC === null ? null : mid / inC,
      rounds: ns,
    }
  })
}

/** Tables of a routed mode, and a frame that is forwarded: kind, how many routes, neighbours or services, what it says to people. */
const LOOKUPS = [
  ['routes4', 10, 'IPv4 route lookup'],
  ['routes4', 1_000_000, 'IPv4 route lookup'],
  ['routes6', 10, 'IPv6 route lookup'],
  ['routes6', 1_000_000, 'IPv6 route lookup'],
  ['neighbours4', 1024, 'IPv4 neighbour, MAC written'],
  ['neighbours4', 65_536, 'IPv4 neighbour, MAC written'],
  ['no-service', 10_000, 'new flow to none of the services'],
  ['services', 10_000, 'new flow to a service of 5 backends'],
  ['services50', 10_000, 'new flow to a service of 50 backends'],
  ['affinity', 10_000, 'new flow of a remembered client'],
  ['rewrite', 1, 'MAC rewrite rule, a frame'],
  ['forward4', 10, 'IPv4 forwarding, a frame'],
  ['forward4', 1_000_000, 'IPv4 forwarding, a frame'],
] as const

interface LookupSummary {
  readonly kind: string
  readonly n: number
  readonly ns: number
  readonly rounds: readonly number[]
}

function lookups(): LookupSummary[] {
  const found = LOOKUPS.map(([kind, n]) => ({ kind, n, rounds: [] as number[] }))
  const once = (kind: string, n: number, empty: boolean): number => {
    const words = ['--import', 'tsx', '--conditions', '@l2l3/source', join(here, 'lookups-in-memory.ts')]
    words.push(JSON.stringify({ kind, n, empty, time }))
    return (JSON.parse(execFileSync(process.execPath, words, { cwd: here, encoding: 'utf8' })) as { ns: number }).ns
  }
  for (let round = 1; round <= rounds; round++) {
    process.stderr.write(`lookups, round ${round} of ${rounds}\n`)
    for (const { kind, n, rounds: ns } of found) {
      const isFrame = kind === 'forward4' || kind === 'rewrite'
      ns.push(once(kind, n, false) - (isFrame ? once(kind, 10, true) : 0))
    }
  }
  return found.map((f) => ({ ...f, ns: median(f.rounds) }))
}

function printLookups(summaries: readonly LookupSummary[]): void {
  const table = new Table({
    head: ['what', 'entries', 'ns', 'million a second'],
    colAligns: ['left', 'right', 'right', 'right'],
    style: { head: [], border: [] },
  })
  for (const [i, { n, ns }] of summaries.entries()) {
    table.push([LOOKUPS[i]?.[2] ?? '', String(n), ns.toFixed(1), (1e3 / ns).toFixed(1)])
  }
  process.stdout.write(`\nTables of the routed modes, one core\n${table}\n`)
}

function print(summaries: readonly Summary[]): void {
  const table = new Table({
    head: ['frame', 'MACs', 'what', 'ns/frame', 'Mframes/s', 'target', 'x bare loop', 'x C loop'],
    colAligns: ['right', 'right', 'left', 'right', 'right', 'right', 'right', 'right'],
    style: { head: [], border: [] },
  })
  for (const s of summaries) {
    const target = s.size === 64 && (s.kind === 'switch' || s.kind === 'vlan') ? TARGETS[s.macs] : undefined
    table.push([
      String(s.size),
      String(s.macs),
      TITLES[s.kind],
      s.ns.toFixed(1),
      s.mpps.toFixed(1),
      target === undefined ? '' : `${target} ${s.mpps >= target ? 'met' : 'not met'}`,
      s.toBare.toFixed(2),
      s.toC === null ? '' : s.toC.toFixed(2),
    ])
  }
  process.stdout.write(`\nIn memory, one core, ${PORTS} ports: known unicast\n${table}\n`)
}

const machine = { cpu: cpus()[0]?.model, cores: cpus().length, kernel: release(), node: process.versions.node }
const result: {
  machine: typeof machine
  rounds: number
  memory?: Summary[]
  lookups?: LookupSummary[]
  natInMemory?: readonly NatSummary[]
  acl?: readonly AclSummary[]
  tracing?: readonly TracingSummary[]
  tunnels?: readonly TunnelSummary[]
  tap?: unknown
  nat?: unknown
  tunnelsEndToEnd?: unknown
} = { machine, rounds }
if (options.tracing) result.tracing = benchTracing({ rounds, time })
else if (!options.tap) {
  result.memory = inMemory()
  print(result.memory)
  result.lookups = lookups()
  printLookups(result.lookups)
  result.natInMemory = benchNatInMemory({ rounds, time })
  result.acl = benchAcl({ rounds, time })
  result.tunnels = benchTunnels({ rounds, time })
}
if (!options.memory && !options.tracing) {
  const { benchTap } = await import('./tap/run.ts')
  result.tap = await benchTap({ quick: options.quick, rounds })
  const { benchNat } = await import('./tap/nat.ts')
  result.nat = await benchNat({ quick: options.quick, rounds })
  const { benchTunnel } = await import('./tap/tunnel.ts')
  result.tunnelsEndToEnd = await benchTunnel({ quick: options.quick, rounds })
}
mkdirSync(dirname(options.json), { recursive: true })
writeFileSync(options.json, `${JSON.stringify(result, null, 2)}\n`)
process.stdout.write(`\nwritten to ${options.json}\n`)
