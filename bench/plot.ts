/** Line plots as SVG text: both axes from what is drawn, the horizontal one logarithmic, each line labelled at its end. */
import * as Plot from '@observablehq/plot'
import { parseHTML } from 'linkedom'

/** A point of a line. */
export interface Point {
  readonly line: string
  readonly x: number
  readonly y: number
}

/** What is drawn. */
export interface Drawing {
  readonly title: string
  /** What the horizontal axis counts. */
  readonly x: string
  /** What the vertical one does, with its unit. */
  readonly y: string
  /** Whether the vertical axis is logarithmic, too. */
  readonly log?: boolean
  readonly points: readonly Point[]
}

/** A power of two, or of ten, as people write it: 1k is a thousand and 1Ki 1,024. */
function short(n: number): string {
  for (const [unit, size] of [
    ['Mi', 1 << 20],
    ['M', 1e6],
    ['Ki', 1024],
    ['k', 1000],
  ] as const) {
    if (n >= size && n % size === 0) return `${n / size}${unit}`
  }
  return String(n)
}

/** Draws, and gives the file's text. The colours are told apart on white and, in grey, by their labels. */
export function draw({ title, x, y, log = false, points }: Drawing): string {
  const { document } = parseHTML('<html></html>')
  const lines = [...new Set(points.map((point) => point.line))]
  const values = [...new Set(points.map((point) => point.x))].sort((a, b) => a - b)
  const last = (line: string): Point => points.filter((point) => point.line === line).at(-1) as Point
  const style = 'background: white; color: #222; font-family: sans-serif; font-size: 12px'
  const svg = Plot.plot({
    document,
    width: 720,
    height: 380,
    ...{ marginLeft: 56, marginRight: 190, marginTop: 52, marginBottom: 44 },
    x: { type: 'log', label: x, labelAnchor: 'center', labelArrow: 'none', ticks: values, tickFormat: short },
    y: {
      type: log ? 'log' : 'linear',
      ...(!log && { zero: true }),
      nice: true,
      grid: true,
      label: null,
      labelArrow: 'none',
    },
    color: { domain: lines, scheme: 'observable10' },
    marks: [
      Plot.ruleY(log ? [] : [0]),
      Plot.lineY([...points], { x: 'x', y: 'y', stroke: 'line', strokeWidth: 2, marker: 'dot' }),
      Plot.text(lines.map(last), { x: 'x', y: 'y', text: 'line', fill: 'line', textAnchor: 'start', dx: 8 }),
      Plot.text([y], { frameAnchor: 'top-left', dx: -46, dy: -18 }),
      Plot.text([title], { frameAnchor: 'top-left', dx: -46, dy: -42, fontSize: 14, fontWeight: 'bold' }),
    ],
  })
  svg.setAttribute('style', style)
  svg.setAttribute('xmlns', 'http://www.w3.org/2000/svg')
  return `${svg.outerHTML}\n`
}
