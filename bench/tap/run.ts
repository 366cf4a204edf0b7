/**
 * How does our switch do beside the Linux bridge, end to end? Two network namespaces, joined in different ways, under one
 * load, in one run:
 *
 *     node --import tsx --conditions @l2l3/source bench/tap/run.ts [--quick] [--rounds N] [--seconds S] [--json FILE]
 *
 *     --quick       three short rounds, without the search for the lossless rate: under a minute, and noisy
 *     --rounds N    rounds; default 5
 *     --seconds S   length of one measurement; default 0.9, with --quick 0.4
 *     --only A,B    contenders: veth, bridge, l2l3, l2l3-event-loop, l2l3-busy, c
 *     --iperf3      TCP load by iperf3 instead of a sender of our own
 *     --json FILE   writes the report as JSON, too
 *
 * A round makes each measurement on each contender in turn before it goes on to the next: figures that are compared were
 * taken within seconds of each other. Each measurement begins with another contender than the last. A full run takes less
 * than six minutes; it needs root, for the namespaces.
 */
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { tunAvailable } from '@l2l3/tap-io'
import { CONTENDERS, type Contender, type ContenderName, setUp } from './contenders.ts'
import { Lab, type Program } from './lab.ts'
import { Load, type LoadSettings } from './load.ts'
import { type Machine, machine } from './machine.ts'
import { median, type Rounds, type Row, rows, type Target, tables, targets } from './report.ts'
import { progress, turn, turnsOf } from './rounds.ts'

/** Settings of a run. */
export interface TapBenchOptions {
  /** Fewer and shorter measurements. Default false. */
  quick?: boolean
  /** Default 5, or 3 where it is to be quick. */
  rounds?: number
  /** Length of one measurement. Default 0.9, or 0.4 where it is to be quick. */
  seconds?: number
  /** Who is measured. Default all. */
  only?: readonly ContenderName[]
  /** Whether iperf3 makes the TCP load. Default false. */
  iperf3?: boolean
}

/** What a run has found. */
export interface TapReport {
  machine: Machine
  settings: LoadSettings & { rounds: number; quick: boolean }
  /** How long it took, in seconds. */
  took: number
  /** Cores that others kept busy during the measurements: median and largest. */
  others: { median: number; max: number }
  rows: Row[]
  targets: Target[]
  /** All figures of all rounds. */
  rounds: Rounds
  /** What our switches said at the end about the frames they had. */
  ledgers: Record<string, unknown>
}

const PACKAGES = { iperf3: ['-v', 'iperf3'], nft: ['-v', 'nftables'] } as const

/** Why there can be no run here, with what helps; null where there can.
 * @param also programs that this run needs besides those that all do */
export function obstacle(...also: (keyof typeof PACKAGES)[]): string | null {
  if (process.platform !== 'linux') return 'TAP devices and the Linux bridge are measured on Linux only.'
  if (process.getuid?.() !== 0) return 'The bench on TAP devices needs root, to make network namespaces.'
  const tun = tunAvailable()
  if (!tun.ok) return tun.reason
  for (const [program, flag, found] of [
    ['ip', '-V', 'iproute2'],
    ['cc', '--version', 'gcc libc6-dev'],
    ...also.map((name) => [name, ...PACKAGES[name]] as const),
  ] as const) {
    if (spawnSync(program, [flag]).error !== undefined) return `${program} is missing: apt-get install ${found}`
  }
  return null
}

/** Runs the bench and prints its tables. Where it cannot run, it says so and why. */
export async function benchTap(options: TapBenchOptions = {}): Promise<TapReport | { skipped: string }> {
  const skipped = obstacle(...(options.iperf3 ? (['iperf3'] as const) : []))
  if (skipped !== null) {
    process.stdout.write(`End to end: not measured. ${skipped}\n`)
    return { skipped }
  }
  const lab = new Lab()
  try {
    return await run(lab, options)
  } finally {
    lab.close()
  }
}

async function run(lab: Lab, options: TapBenchOptions): Promise<TapReport> {
  const quick = options.quick ?? false
  const wanted = options.rounds ?? (quick ? 3 : 5)
  const seconds = options.seconds ?? (quick ? 0.4 : 0.9)
  const settings: LoadSettings = { seconds, trials: quick ? 0 : 5, iperf3: options.iperf3 ?? false }
  const start = performance.now()
  const load = new Load(lab, settings)
  const contenders: Contender<ContenderName, Program>[] = []
  for (const name of options.only ?? CONTENDERS) {
    progress(`setting up ${name}`)
    const contender = await setUp(lab, name)
    await turn(contender, (at) => load.warmUp(at))
    contenders.push(contender)
  }

  const { rounds, others, done } = await turnsOf(contenders, load.measurements, { rounds: wanted, quick, start })
  const ledgers: TapReport['ledgers'] = {}
  for (const at of contenders) {
    if (at.process !== null && at.name !== 'c') ledgers[at.name] = await at.process.finish()
  }

  const all = rows(rounds)
  const held = targets(all)
  process.stdout.write(
    `\nEnd to end, two namespaces, ${machine().cores} cores for senders, receivers and switch\n${tables(all, held)}`,
  )
  process.stdout.write(
    'A bridge works inside the sender, a TAP switch on a core of its own. 64 B is the payload of a datagram.\n' +
      `Others used ${median(others).toFixed(2)} cores meanwhile (median), ${Math.max(...others).toFixed(2)} at most.\n`,
  )
  return {
    machine: machine(),
    settings: { ...settings, rounds: done, quick },
    took: Math.round((performance.now() - start) / 1e3),
    others: { median: median(others), max: Math.max(...others) },
    rows: all,
    targets: held,
    rounds,
    ledgers,
  }
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`)
  process.exit(2)
}

function positive(name: string, text: string): number {
  const value = Number(text)
  return value > 0 && Number.isFinite(value) ? value : fail(`--${name} must be a number above 0, not ${text}`)
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      iperf3: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      only: { type: 'string' },
      json: { type: 'string' },
    },
  })
  const { quick, iperf3 } = values
  const only = (values.only?.split(',') ?? CONTENDERS) as ContenderName[]
  for (const name of only) if (!CONTENDERS.includes(name)) fail(`--only takes ${CONTENDERS.join(', ')}, not ${name}`)
  const report = await benchTap({
    quick,
    iperf3,
    only,
    ...(values.rounds === undefined ? {} : { rounds: Math.ceil(positive('rounds', values.rounds)) }),
    ...(values.seconds === undefined ? {} : { seconds: positive('seconds', values.seconds) }),
  })
  if ('skipped' in report) process.exit(1)
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main()
