import { frameText, hexDump } from './frame-text.ts'
import type { TraceStep } from './trace.ts'

/** Writes the path of a frame for people: each place it passed, what was decided there, and its bytes wherever they
 * differ from those before. */
export function traceText(steps: readonly TraceStep[]): string[] {
  const lines: string[] = []
  /** The bytes as they were last seen, by branch. A copy starts with those of the frame itself. */
  const seen = new Map<number, Uint8Array>()
  const bytes = (step: TraceStep): void => {
    const before = seen.get(step.branch)
    seen.set(step.branch, step.bytes)
    if (before !== undefined && same(before, step.bytes)) lines.push(`      bytes unchanged (${step.bytes.length})`)
    else lines.push(...hexDump(step.bytes).map((row) => `      ${row}`))
  }
  steps.forEach((step, i) => {
    const name = step.branch === 0 ? '' : ` (copy ${step.branch})`
    switch (step.kind) {
      case 'entered': {
        const node = nodeOf(step.at)
        lines.push(`  entered at ${step.at}${name}: ${frameText(step.bytes)}`)
        bytes(step)
        lines.push(`  ${node} decides: ${decision(steps.slice(i + 1), node)}`)
        break
      }
      case 'copied': {
        const parent = steps[i - 1]?.branch ?? 0
        const before = seen.get(parent)
        if (before !== undefined) seen.set(step.branch, before)
        break
      }
      case 'link':
        lines.push(`  link to ${step.at}${name}`)
        bytes(step)
        break
      case 'left':
        lines.push(`  left at ${step.at}${name}`)
        bytes(step)
        break
      case 'dropped':
        lines.push(`  dropped${name}: ${step.at}`)
    }
  })
  return lines
}

/** What a node did with a frame that has come in: the ports that it went to before it came in anywhere else again. */
function decision(later: readonly TraceStep[], node: string): string {
  const again = later.findIndex((step) => step.kind === 'entered' && nodeOf(step.at) === node)
  const own = again < 0 ? later : later.slice(0, again)
  const to = own.filter((step) => step.kind === 'link' && nodeOf(step.at) === node).map((step) => step.at)
  if (to.length > 0) return `${to.length === 1 ? 'out by' : 'flooded to'} ${to.join(', ')}`
  const dropped = own.find((step) => step.kind === 'dropped')
  return dropped === undefined ? 'it stays here' : `dropped, ${dropped.at}`
}

function nodeOf(label: string): string {
  return label.slice(0, label.indexOf('/'))
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i])
}
