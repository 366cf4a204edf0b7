/**
 * From figures of rounds to a report: medians, ratios to the Linux bridge and to the C switch, targets.
 *
 * A ratio is the median of the rounds' ratios, not the ratio of the medians: in a round the contenders are measured one
 * right after the other, so that what the machine does besides hits them alike and divides out.
 */
import Table from 'cli-table3'
import { CONTENDERS, type ContenderName, TITLES } from './contenders.ts'
import { type Figures, METRICS, type Metric } from './load.ts'

/** Figures by contender; one entry a round. */
export type Rounds = Partial<Record<ContenderName, Figures[]>>

/** A metric of a contender. */
export interface Row {
  contender: ContenderName
  metric: Metric
  unit: string
  /** Median of the rounds. */
  median: number
  min: number
  max: number
  rounds: number
  /** How many times the Linux bridge's, and the C switch's, figure of the same round: medians. */
  toBridge?: number
  toC?: number
}

/** What we want to reach, and whether we did. */
export interface Target {
  target: string
  value: number
  met: boolean
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  if (sorted.length % 2 === 1) return sorted[middle] as number
  return ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2
}

function ratio(rounds: Rounds, metric: Metric, mine: ContenderName, other: ContenderName): number | undefined {
  const ratios: number[] = []
  for (const [i, figures] of (rounds[mine] ?? []).entries()) {
    const [a, b] = [figures[metric], rounds[other]?.[i]?.[metric]]
    if (a !== undefined && b !== undefined && b > 0) ratios.push(a / b)
  }
  return ratios.length === 0 ? undefined : median(ratios)
}

/** A row for every metric of every contender that has it. */
export function rows(rounds: Rounds): Row[] {
  const all: Row[] = []
  for (const metric of Object.keys(METRICS) as Metric[]) {
    for (const contender of CONTENDERS) {
      const values = (rounds[contender] ?? []).map((f) => f[metric]).filter((v) => v !== undefined)
      if (values.length === 0) continue
      const [toBridge, toC] = [ratio(rounds, metric, contender, 'bridge'), ratio(rounds, metric, contender, 'c')]
      all.push({
        contender,
        metric,
        unit: METRICS[metric][0],
        median: median(values),
        min: Math.min(...values),
        max: Math.max(...values),
        rounds: values.length,
        ...(toBridge === undefined ? {} : { toBridge }),
        ...(toC === undefined ? {} : { toC }),
      })
    }
  }
  return all
}

type Wanted = [who: ContenderName, metric: Metric, to: 'median' | 'toBridge' | 'toC', sign: '>=' | '<=', bound: number]

/** What is wanted of our switch. */
const TARGETS: readonly Wanted[] = [
  ['l2l3', 'tcp1', 'toBridge', '>=', 1],
  ['l2l3', 'tcp1Cores', 'median', '<=', 0.65],
  ['l2l3', 'tcp4', 'toC', '>=', 1],
  ['l2l3', 'udp', 'toBridge', '>=', 1.3],
  ['l2l3', 'udpFrame', 'toC', '<=', 1.15],
  ['l2l3', 'udpDelay', 'median', '<=', 2000],
  ['l2l3', 'lossless', 'toC', '>=', 1],
  ['l2l3', 'besideTcp', 'median', '<=', 60],
  ['l2l3-busy', 'pingMean', 'toBridge', '<=', 1.3],
  ['l2l3', 'pingMean', 'toBridge', '<=', 1.6],
  ['l2l3', 'idle', 'median', '<=', 3],
  ['l2l3-event-loop', 'pingMean', 'toC', '<=', 1],
]

const BESIDE = { median: '', toBridge: ' times the bridge', toC: ' times C' }

/** Holds the rows against the targets; those that were not measured are left out. */
export function targets(all: readonly Row[]): Target[] {
  return TARGETS.flatMap(([who, metric, to, sign, bound]) => {
    const value = all.find((row) => row.contender === who && row.metric === metric)?.[to]
    if (value === undefined) return []
    const [unit, title] = METRICS[metric]
    const subject = title.startsWith('  ') ? `${METRICS[parent(metric)][1]}: ${title.trim()}` : title
    const target = `${TITLES[who]}, ${subject}: ${sign} ${bound}${to === 'median' ? ` ${unit}` : BESIDE[to]}`
    return [{ target, value, met: sign === '>=' ? value >= bound : value <= bound }]
  })
}

function parent(metric: Metric): Metric {
  return metric.startsWith('tcp1') ? 'tcp1' : metric.startsWith('tcp4') ? 'tcp4' : 'udp'
}

/** A figure with as many digits as it deserves. */
export function number(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)
}

/** The report as tables for a terminal. */
export function tables(all: readonly Row[], wanted: readonly Target[]): string {
  const plain = process.stdout.isTTY ? {} : { style: { head: [], border: [] } }
  const present = CONTENDERS.filter((name) => all.some((row) => row.contender === name))
  const figures = new Table({ head: ['', '', ...present.map((name) => TITLES[name])], ...plain })
  for (const [metric, [unit, title]] of Object.entries(METRICS)) {
    const cells = present.map((name) => {
      const row = all.find((r) => r.contender === name && r.metric === metric)
      if (row === undefined) return '-'
      const beside = [row.toBridge, row.toC].map((r) => (r === undefined ? '-' : r.toFixed(2)))
      return `${number(row.median)}${beside.some((r) => r !== '-') ? `\n${beside.join(' | ')}` : ''}`
    })
    if (cells.some((cell) => cell !== '-')) figures.push([title, unit, ...cells])
  }
  const goals = new Table({ head: ['target', 'measured', ''], ...plain })
  for (const { target, value, met } of wanted) goals.push([target, number(value), met ? 'met' : 'not met'])
  return `medians; below them, times the Linux bridge | times the C switch\n${figures}\n${goals}\n`
}
