/**
 * `npm run bench:tap`: how do our switch, NAT and tunnel do end to end, beside the kernel's? Network namespaces that are joined in
 * different ways, under one load, in one run. `npm run bench:peers` has other switches and NATs take part that are installed.
 *
 *     npm run bench:tap -- [--quick] [--rounds N] [--seconds S] [--json FILE]
 *
 *     --quick       three short rounds, without the search for the lossless rate: noisy
 *     --rounds N    rounds; default 5
 *     --seconds S   length of one measurement; default 0.5, with --quick 0.25
 *     --scene A,B   of switch, nat, tunnel; latency and workers are measured only so
 *     --only A,B    contenders, as SCENE/NAME or NAME: l2l3, bridge, nat/kernel ...
 *     --peers       with Open vSwitch, VDE, pasta and slirp4netns, where they are installed; says what is missing
 *     --iperf3      TCP load by iperf3 instead of a sender of our own
 *     --no-start    without the time of a start, which is taken when all scenes are; bench:start says more
 *     --json FILE   where the figures go; default bench/results/tap.json, peers.json, or SCENE.json
 *
 * A round makes each measurement on each contender in turn before it goes on to the next: figures that are compared were taken
 * within seconds of each other. A full run takes less than six minutes, with peers nine; it needs root, for the namespaces.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { tunAvailable } from '@l2l3/tap-io'
import { median, number } from '../figures.ts'
import { benchOptions, positive, progress, usage } from '../options.ts'
import { startAll, type Weighed } from '../weigh.ts'
import { Lab } from './lab.ts'
import { Load, type LoadSettings } from './load.ts'
import { type Machine, machine } from './machine.ts'
import { LATENCY, WORKERS } from './modes.ts'
import { NAT } from './nat.ts'
import { type Rounds, type Row, rowsOf, type Target, tableOf, targetLines, targetsOf } from './report.ts'
import { type Stage, turn, turnsOf } from './rounds.ts'
import { type Contender, installed, type Player, type Scene } from './scene.ts'
import { SWITCH } from './switch.ts'
import { TUNNEL } from './tunnel.ts'

export const SCENES: readonly Scene[] = [SWITCH, NAT, TUNNEL]
/** Those that are measured only when they are asked for. */
const MORE_SCENES: readonly Scene[] = [LATENCY, WORKERS]

/** Settings of a run. */
export interface TapBenchOptions {
  readonly quick: boolean
  readonly rounds: number
  /** Length of one measurement. Default 0.5, or 0.25 where it is to be quick. */
  readonly seconds?: number
  /** Names of scenes. Default all. */
  readonly scenes?: readonly string[]
  /** Who is measured, as SCENE/NAME or NAME. Default all. */
  readonly only?: readonly string[]
  /** Whether other switches take part. Default false. */
  readonly peers?: boolean
  /** Whether iperf3 makes the TCP load. Default false. */
  readonly iperf3?: boolean
  /** Whether a start is timed, too. Default true. */
  readonly start?: boolean
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
  /** All figures of all rounds, by scene and contender. */
  rounds: Record<string, Rounds>
  /** What our processes said at the end about the frames they had, by scene and contender. */
  ledgers: Record<string, unknown>
  /** Who could not take part, and why. */
  missing: string[]
  start: Weighed[]
}

/** Why there can be no run here, with what helps; null where there can. */
export function obstacle(): string | null {
  if (process.platform !== 'linux') return 'TAP devices and the Linux bridge are measured on Linux only.'
  if (process.getuid?.() !== 0) return 'The bench on TAP devices needs root, to make network namespaces.'
  const tun = tunAvailable()
  if (!tun.ok) return tun.reason
  for (const [program, flag, found] of [
    ['ip', '-V', 'iproute2'],
    ['cc', '--version', 'gcc libc6-dev'],
    ['ethtool', '--version', 'ethtool'],
  ] as const) {
    if (spawnSync(program, [flag]).error !== undefined) return `${program} is missing: apt-get install ${found}`
  }
  return null
}

/** Who takes part in a scene; who would and cannot is noted in `missing`. */
function players(scene: Scene, options: TapBenchOptions, missing: string[]): Player[] {
  return scene.players.filter(({ name, title, peer, needs }) => {
    const asked = options.only?.some((who) => who === name || who === `${scene.name}/${name}`)
    if (asked === false || (peer && !options.peers && !asked)) return false
    if (needs === undefined || installed(needs.program)) return true
    missing.push(`${scene.title}: ${title} (apt-get install ${needs.apt})`)
    return false
  })
}

/** Whether it is a process of ours that tells of its frames at the end. */
const hasLedger = (at: Contender): boolean => /^(l2l3|mixed)/.test(at.name)

/** Runs the bench and gives what it has found. */
export async function benchTap(options: TapBenchOptions): Promise<TapReport> {
  const lab = new Lab()
  try {
    return await run(lab, options)
  } finally {
    lab.close()
  }
}

async function run(lab: Lab, options: TapBenchOptions): Promise<TapReport> {
  const { quick, rounds: wanted, peers = false } = options
  const seconds = options.seconds ?? (quick ? 0.25 : 0.5)
  const settings: LoadSettings = { seconds, trials: quick ? 0 : 5, iperf3: options.iperf3 ?? false }
  const began = performance.now()
  const load = new Load(lab, settings)
  const { scenes: asked } = options
  const scenes = asked === undefined ? SCENES : [...SCENES, ...MORE_SCENES].filter(({ name }) => asked.includes(name))
  const missing: string[] = []
  const stages: Stage[] = []
  for (const scene of scenes) {
    const contenders: Contender[] = []
    for (const { name } of players(scene, options, missing)) {
      progress(`setting up ${scene.name}/${name}`)
      const contender = await scene.setUp(lab, name)
      await turn(contender, (at) => load.warmUp(at))
      contenders.push(contender)
    }
    stages.push({ name: scene.name, contenders, measurements: scene.measurements(load), rounds: {} })
  }
  const pace = { rounds: wanted, quick, start: began, planned: peers ? 480_000 : 300_000 }
  const { others, done } = await turnsOf(stages, pace)
  const ledgers: TapReport['ledgers'] = {}
  for (const { name, contenders } of stages) {
    for (const at of contenders) if (hasLedger(at)) ledgers[`${name}/${at.name}`] = await at.process?.finish?.()
  }
  const facts = scenes.map((scene, i) => ({ scene, rounds: (stages[i] as Stage).rounds }))
  const rows = facts.flatMap(({ scene, rounds }) => rowsOf(scene, rounds))
  const startRounds = { memory: false, rounds: quick ? 1 : 3, endpoints: 100 }
  const start = options.start === false ? [] : await startAll(startRounds, progress)
  progress('')
  return {
    machine: machine(),
    settings: { ...settings, rounds: done, quick },
    took: Math.round((performance.now() - began) / 1e3),
    others: { median: median(others), max: Math.max(0, ...others) },
    rows,
    targets: facts.flatMap(({ scene }) => targetsOf(scene, rows)),
    rounds: Object.fromEntries(facts.map(({ scene, rounds }) => [scene.name, rounds])),
    ledgers,
    missing,
    start,
  }
}

function print(report: TapReport): void {
  const { settings, others, missing, targets, start } = report
  const say = (text: string): unknown => process.stdout.write(`${text}\n`)
  say(
    `\nEnd to end, medians of ${settings.rounds} rounds; ${report.machine.cores} cores for senders, receivers and switch`,
  )
  say(tableOf([...SCENES, ...MORE_SCENES], report.rows))
  say(
    'A bridge works inside the sender, a TAP switch on a core of its own. 64 B is the payload of a datagram. CPU of all is that of\n' +
      'sender, receiver and switch: seconds for a gigabyte, microseconds for a frame that was delivered.',
  )
  for (const { what, entries, value } of start) say(`${what}, ${entries}: ${number(value)} ms`)
  if (targets.length > 0) say(`Wanted:\n${targetLines(targets)}`)
  if (missing.length > 0) say(`Not measured:\n${missing.map((line) => `  ${line}`).join('\n')}`)
  say(
    `Others used ${others.median.toFixed(2)} cores meanwhile (median), ${others.max.toFixed(2)} at most. ${report.took} s.`,
  )
}

async function main(): Promise<void> {
  const { argv } = process
  const asked = argv.includes('--scene') ? argv[argv.indexOf('--scene') + 1]?.replaceAll(',', '-') : undefined
  const options = benchOptions(asked ?? (argv.includes('--peers') ? 'peers' : 'tap'), {
    seconds: { type: 'string' },
    scene: { type: 'string' },
    only: { type: 'string' },
    peers: { type: 'boolean', default: false },
    iperf3: { type: 'boolean', default: false },
    'no-start': { type: 'boolean', default: false },
  })
  const scenes = options.scene?.split(',')
  const all = [...SCENES, ...MORE_SCENES]
  const names = all.map(({ name }) => name)
  for (const name of scenes ?? []) if (!names.includes(name)) usage(`--scene takes ${names.join(', ')}, not ${name}`)
  const only = options.only?.split(',')
  const known = all.flatMap((scene) => scene.players.flatMap(({ name }) => [name, `${scene.name}/${name}`]))
  for (const name of only ?? [])
    if (!known.includes(name)) usage(`--only: there is no ${name}; there is ${known.join(', ')}`)
  if (options.iperf3 && !installed('iperf3')) usage('iperf3 is missing: apt-get install iperf3')
  const why = obstacle()
  if (why !== null) {
    process.stdout.write(`End to end: not measured. ${why}\n`)
    process.exit(1)
  }
  const report = await benchTap({
    ...{
      quick: options.quick,
      rounds: options.rounds,
      iperf3: options.iperf3,
      start: !options['no-start'] && scenes === undefined,
    },
    peers: options.peers,
    ...(options.seconds !== undefined && { seconds: positive('seconds', options.seconds) }),
    ...(scenes && { scenes }),
    ...(only && { only }),
  })
  print(report)
  mkdirSync(dirname(options.json), { recursive: true })
  writeFileSync(options.json, `${JSON.stringify(report, null, 2)}\n`)
  process.stdout.write(`written to ${options.json}\n`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main()
