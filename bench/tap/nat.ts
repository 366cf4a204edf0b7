/**
 * How does our outbound NAT do beside the kernel's masquerade, end to end? Two networks with a NAT router between them,
 * under one load, in one run:
 *
 *     node --import tsx --conditions @l2l3/source bench/tap/nat.ts [--quick] [--rounds N] [--seconds S] [--json FILE]
 *
 *     direct     A 10.73.1.3 ------------------- 10.73.1.2 B               a veth, no router at all: the ceiling
 *     kernel     A 10.73.0.2 -- [ nftables masquerade ] -- 10.73.1.2 B     veths, in a namespace of its own
 *     l2l3       A 10.73.0.2 == [ our process: mode nat ] == 10.73.1.2 B   TAPs with offloads
 *
 * All connections are tracked and leave from 10.73.1.1 but those of the first. Measurements and turns are those of run.ts.
 */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import Table from 'cli-table3'
import { type Contender, cable } from './contenders.ts'
import { ip, Lab, type Program } from './lab.ts'
import { type Figures, Load, METRICS, type Metric } from './load.ts'
import { type Machine, machine } from './machine.ts'
import { median, number } from './report.ts'
import { progress, turn, turnsOf } from './rounds.ts'
import { obstacle } from './run.ts'

const NAMES = ['direct', 'kernel', 'l2l3'] as const
type Name = (typeof NAMES)[number]
const TITLES: Readonly<Record<Name, string>> = {
  direct: 'veth, no router',
  kernel: 'kernel masquerade',
  l2l3: 'l2l3 NAT',
}
const FAR = '10.73.1.2'

/** What is wanted of ours, times the kernel's. */
const WANTED: readonly [metric: Metric, sign: '>=' | '<=', bound: number][] = [
  ['tcp1', '>=', 0.95],
  ['udp', '>=', 1.2],
]

/** What a run has found. */
export interface NatReport {
  machine: Machine
  rounds: Partial<Record<Name, Figures[]>>
  /** Medians, and of the rounds' ratios to the kernel. */
  rows: { contender: Name; metric: Metric; median: number; toKernel: number | null }[]
  targets: { target: string; value: number; met: boolean }[]
  /** What ours said at the end about the frames it had. */
  ledger: unknown
}

function kernel(lab: Lab, a: string, b: string): void {
  const middle = lab.namespace('nat-kernel-s')
  cable(a, 'e0', middle, 'in0')
  cable(b, 'e0', middle, 'out0')
  ip('-n', middle, 'addr', 'add', '10.73.0.1/24', 'dev', 'in0')
  ip('-n', middle, 'addr', 'add', '10.73.1.1/24', 'dev', 'out0')
  ip('netns', 'exec', middle, 'sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward')
  const rules = `table ip nat {
    chain post { type nat hook postrouting priority srcnat; oifname "out0" masquerade
    }
  }`
  execFileSync('ip', ['netns', 'exec', middle, 'nft', '-f', '-'], { input: rules })
}

function join(lab: Lab, name: Name, a: string, b: string): Program | null {
  if (name === 'l2l3') {
    const script = fileURLToPath(new URL('nat-process.ts', import.meta.url))
    return lab.start(null, process.execPath, ...process.execArgv, script, a, b)
  }
  if (name === 'kernel') kernel(lab, a, b)
  else cable(a, 'e0', b, 'e0')
  return null
}

async function setUp(lab: Lab, name: Name): Promise<Contender<Name, Program>> {
  const a = lab.namespace(`nat-${name}-a`)
  const b = lab.namespace(`nat-${name}-b`)
  const contender = { name, a, b, far: FAR, process: join(lab, name, a, b) }
  await contender.process?.ready()
  const near = name === 'direct' ? '10.73.1.3' : '10.73.0.2'
  for (const [netns, address] of [
    [a, near],
    [b, FAR],
  ] as const) {
    ip('-n', netns, 'addr', 'add', `${address}/24`, 'dev', 'e0')
    ip('-n', netns, 'link', 'set', 'e0', 'up')
  }
  if (name !== 'direct') ip('-n', a, 'route', 'add', 'default', 'via', '10.73.0.1')
  contender.process?.signal('SIGSTOP')
  return contender
}

function rows(rounds: NatReport['rounds']): NatReport['rows'] {
  return (Object.keys(METRICS) as Metric[]).flatMap((metric) =>
    NAMES.flatMap((contender) => {
      const mine = rounds[contender] ?? []
      const values = mine.map((f) => f[metric]).filter((v) => v !== undefined)
      if (values.length === 0) return []
      const ratios = mine.flatMap((f, i) => {
        const other = rounds.kernel?.[i]?.[metric]
        return f[metric] === undefined || other === undefined || other === 0 ? [] : [f[metric] / other]
      })
      return [{ contender, metric, median: median(values), toKernel: ratios.length === 0 ? null : median(ratios) }]
    }),
  )
}

function print(found: NatReport): void {
  const plain = process.stdout.isTTY ? {} : { style: { head: [], border: [] } }
  const figures = new Table({ head: ['', '', ...NAMES.map((name) => TITLES[name])], ...plain })
  for (const [metric, [unit, title]] of Object.entries(METRICS)) {
    const cells = NAMES.map((name) => {
      const row = found.rows.find((r) => r.contender === name && r.metric === metric)
      if (row === undefined) return '-'
      return `${number(row.median)}${row.toKernel === null ? '' : `\n${row.toKernel.toFixed(2)}`}`
    })
    if (cells.some((cell) => cell !== '-')) figures.push([title, unit, ...cells])
  }
  const goals = new Table({ head: ['target', 'measured', ''], ...plain })
  for (const { target, value, met } of found.targets) goals.push([target, number(value), met ? 'met' : 'not met'])
  process.stdout.write(`\nOutbound NAT, end to end: medians; below them, times the kernel\n${figures}\n${goals}\n`)
}

/** Runs the bench and prints its tables. Where it cannot run, it says so and why. */
export async function benchNat(
  options: { quick?: boolean; rounds?: number; seconds?: number } = {},
): Promise<NatReport | { skipped: string }> {
  const skipped = obstacle('nft')
  if (skipped !== null) {
    process.stdout.write(`NAT, end to end: not measured. ${skipped}\n`)
    return { skipped }
  }
  const { quick = false } = options
  const lab = new Lab()
  try {
    const start = performance.now()
    const load = new Load(lab, {
      seconds: options.seconds ?? (quick ? 0.4 : 0.9),
      trials: quick ? 0 : 5,
      iperf3: false,
    })
    const contenders: Contender<Name, Program>[] = []
    for (const name of NAMES) {
      progress(`setting up ${name}`)
      const contender = await setUp(lab, name)
      await turn(contender, (at) => load.warmUp(at))
      contenders.push(contender)
    }
    const wanted = options.rounds ?? (quick ? 3 : 5)
    const { rounds } = await turnsOf(contenders, load.acrossNat, { rounds: wanted, quick, start })
    const found = rows(rounds)
    const report: NatReport = {
      machine: machine(),
      rounds,
      rows: found,
      targets: WANTED.flatMap(([metric, sign, bound]) => {
        const value = found.find((r) => r.contender === 'l2l3' && r.metric === metric)?.toKernel ?? null
        if (value === null) return []
        const met = sign === '>=' ? value >= bound : value <= bound
        return [{ target: `${METRICS[metric][1]}: ${sign} ${bound} times the kernel`, value, met }]
      }),
      ledger: await contenders.find((at) => at.name === 'l2l3')?.process?.finish(),
    }
    print(report)
    return report
  } finally {
    lab.close()
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      json: { type: 'string' },
    },
  })
  const positive = (name: 'rounds' | 'seconds'): Record<string, number> => {
    const text = values[name]
    if (text === undefined) return {}
    if (Number(text) > 0 && Number.isFinite(Number(text))) return { [name]: Number(text) }
    process.stderr.write(`--${name} must be a number above 0, not ${text}\n`)
    process.exit(2)
  }
  const report = await benchNat({ quick: values.quick, ...positive('rounds'), ...positive('seconds') })
  if ('skipped' in report) process.exit(1)
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`)
}
