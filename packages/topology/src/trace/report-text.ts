import type { TraceReport } from './ask.ts'
import { outputs, type Trace } from './path.ts'
import { type TraceTextOptions, traceText } from './text.ts'

/** Settings of `reportText`. */
export interface ReportTextOptions extends TraceTextOptions {
  /** Also the way of the answer. Default false. */
  readonly answer?: boolean
  /** Also the ways of questions who a neighbour is, and of their answers; else they are told in a line. Default false. */
  readonly neighbours?: boolean
}

/** Writes what came of a question: frames one after the other, an empty line between. */
export function reportText(report: TraceReport, options: ReportTextOptions = {}): string[] {
  const { answer = false, neighbours = false } = options
  const yellow = options.colors?.yellow ?? ((text: string) => text)
  const bold = options.colors?.bold ?? ((text: string) => text)
  const lines: string[] = [bold(report.question)]
  for (const { role, ...one } of report.frames) {
    if (role === 'neighbour' && !neighbours) lines.push(inALine(one))
    else if (role === 'answer' && !answer) lines.push('', `answered: ${inALine(one)}`)
    else lines.push('', ...traceText(one, options))
  }
  if (report.remark !== null) lines.push('', yellow(report.remark))
  return lines
}

/** A frame and where it went, without its way. */
function inALine(one: Trace): string {
  const to = outputs(one).map(({ label }) => label)
  const drops = one.steps.filter((step) => step.kind === 'drop' && step.by !== 'Consumed').map((step) => step.by)
  const ends = [...(to.length > 0 ? [`out by ${to.join(', ')}`] : []), ...drops.map((by) => `dropped: ${by}`)]
  return `${one.what}: in by ${one.at}${ends.length > 0 ? `, ${ends.join(', ')}` : ''}`
}
