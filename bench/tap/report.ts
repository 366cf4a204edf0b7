/**
 * From figures of rounds to a report: medians, ratios to the kernel and to another, targets; and one table of all scenes.
 *
 * A ratio is the median of the rounds' ratios, not the ratio of the medians: in a round the contenders are measured one
 * right after the other, so that what the machine does besides hits them alike and divides out.
 */
import Table from 'cli-table3'
import { median, number } from '../figures.ts'
import { type Figures, METRICS, type Metric } from './load.ts'
import type { Scene } from './scene.ts'

/** Figures by contender; one entry a round. */
export type Rounds = Readonly<Record<string, readonly Figures[]>>

/** A metric of a contender. */
export interface Row {
  scene: string
  contender: string
  metric: Metric
  unit: string
  /** Median of the rounds. */
  median: number
  min: number
  max: number
  rounds: number
  /** How many times another's figure of the same round, by its name: medians. */
  ratios: Record<string, number>
}

/** What we want to reach, and whether we did. */
export interface Target {
  target: string
  value: number
  met: boolean
}

function ratio(rounds: Rounds, metric: Metric, mine: string, other: string): number | undefined {
  const ratios: number[] = []
  for (const [i, figures] of (rounds[mine] ?? []).entries()) {
    const [a, b] = [figures[metric], rounds[other]?.[i]?.[metric]]
    if (a !== undefined && b !== undefined && b > 0) ratios.push(a / b)
  }
  return ratios.length === 0 ? undefined : median(ratios)
}

type Facts = Pick<Scene, 'name' | 'players' | 'beside' | 'wanted'>

/** A row for every metric of every contender that has it. */
export function rowsOf(scene: Facts, rounds: Rounds): Row[] {
  const others = [...new Set([...scene.beside, ...scene.wanted.flatMap(({ to }) => to ?? [])])]
  return scene.players.flatMap(({ name }) =>
    (Object.keys(METRICS) as Metric[]).flatMap((metric) => {
      const values = (rounds[name] ?? []).map((f) => f[metric]).filter((v) => v !== undefined)
      if (values.length === 0) return []
      const ratios: Row['ratios'] = {}
      for (const other of others) {
        const value = ratio(rounds, metric, name, other)
        if (value !== undefined) ratios[other] = value
      }
      return [
        {
          scene: scene.name,
          contender: name,
          metric,
          unit: METRICS[metric][0],
          median: median(values),
          min: Math.min(...values),
          max: Math.max(...values),
          rounds: values.length,
          ratios,
        },
      ]
    }),
  )
}

/** Holds the rows against what is wanted; what was not measured is left out. */
export function targetsOf(scene: Facts, rows: readonly Row[]): Target[] {
  const title = (name: string): string => scene.players.find((player) => player.name === name)?.title ?? name
  return scene.wanted.flatMap(({ who, metric, to, sign, bound }) => {
    const row = rows.find((r) => r.scene === scene.name && r.contender === who && r.metric === metric)
    const value = to === null ? row?.median : row?.ratios[to]
    if (value === undefined) return []
    const [unit, what] = METRICS[metric]
    const target = `${title(who)}, ${what}: ${sign} ${bound} ${to === null ? unit : `x ${title(to)}`}`
    return [{ target, value, met: sign === '>=' ? value >= bound : value <= bound }]
  })
}

/** Columns of the table: the metric, in a word or two, and digits fewer than others deserve. What is not here stands in the JSON. */
const COLUMNS: readonly (readonly [Metric, string])[] = [
  ['tcp1', 'TCP 1\nGbit/s'],
  ['tcp1Cores', 'switch\ncores'],
  ['tcp1All', 'all CPU\ns/GB'],
  ['tcp4', 'TCP 4\nGbit/s'],
  ['udp', '64 B\nkpps'],
  ['udpFrame', 'switch\nus/frame'],
  ['udpAll', 'all CPU\nus/frame'],
  ['udpDelay', 'delay p99\nms'],
  ['udpFlows', '16 flows\nkpps'],
  ['udpFlowsFrame', 'switch\nus/frame'],
  ['lossless', 'lossless\nkpps'],
  ['pingMean', 'ping\nus'],
  ['pingSlow', 'ping 1/ms\nus'],
  ['pingSlowP99', 'its p99\nus'],
  ['besideTcp', 'RTT by TCP\nus'],
  ['besideTcpP99', 'its p99\nus'],
  ['besideUdp', 'RTT by UDP\nus'],
  ['besideUdpP99', 'its p99\nus'],
  ['idle', 'idle\n% CPU'],
]

/** The report as one table for a terminal. */
export function tableOf(scenes: readonly Scene[], rows: readonly Row[]): string {
  const right = 'right' as const
  const columns = COLUMNS.filter(([metric]) => rows.some((row) => row.metric === metric))
  const table = new Table({
    head: ['', ...columns.map(([, title]) => title)],
    colAligns: ['left', ...columns.map(() => right)],
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  })
  for (const { name, title, players, beside } of scenes) {
    const present = players.filter((player) => rows.some((r) => r.scene === name && r.contender === player.name))
    if (present.length === 0) continue
    const others = beside.filter((other) => present.some((player) => player.name === other))
    const titles = others.map((other) => present.find((player) => player.name === other)?.title)
    const below = titles.length === 0 ? '' : `; below each figure, times ${titles.join(' | ')}`
    table.push([{ colSpan: columns.length + 1, content: `${title.toUpperCase()}${below}` }])
    for (const player of present) {
      const cells = columns.map(([metric]) => {
        const row = rows.find((r) => r.scene === name && r.contender === player.name && r.metric === metric)
        if (row === undefined) return '-'
        const ratios = others.map((other) => row.ratios[other]?.toFixed(2) ?? '-')
        return `${number(row.median)}${ratios.every((r) => r === '-') ? '' : `\n${ratios.join('|')}`}`
      })
      table.push([player.title, ...cells])
    }
  }
  return table.toString()
}

/** What was wanted, in lines. */
export function targetLines(targets: readonly Target[]): string {
  return targets
    .map((t) => `  ${t.met ? 'met    ' : 'not met'}  ${number(t.value).padStart(6)}  ${t.target}`)
    .join('\n')
}
