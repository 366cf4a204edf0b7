import Table from 'cli-table3'
import picocolors from 'picocolors'

/* What goes to the terminal: colour where a person looks, plain text where a program does. */

/** Colours for a stream: only on a terminal, and not where NO_COLOR asks for none (no-color.org). */
export function colorsFor(stream: { isTTY?: boolean | undefined }): ReturnType<typeof picocolors.createColors> {
  const { NO_COLOR, TERM } = process.env
  return picocolors.createColors(stream.isTTY === true && !NO_COLOR && TERM !== 'dumb')
}

/** Writes a line to standard output. */
export function say(text = ''): void {
  process.stdout.write(`${text}\n`)
}

/** Writes a line to standard error. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`)
}

const NOTHING = {
  ...{ top: '', 'top-mid': '', 'top-left': '', 'top-right': '', bottom: '', 'bottom-mid': '', 'bottom-left': '' },
  ...{ 'bottom-right': '', left: '', 'left-mid': '', mid: '', 'mid-mid': '', right: '', 'right-mid': '', middle: '  ' },
}

/** A table without lines: columns two spaces apart; those whose values are all numbers are set to the right. */
export function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const { bold } = colorsFor(process.stdout)
  const text = rows.map((row) => row.map((cell) => (typeof cell === 'number' ? cell.toLocaleString('en') : cell)))
  const colAligns = head.map((_, i) => (rows.every((row) => typeof row[i] === 'number') ? 'right' : 'left'))
  const out = new Table({
    head: head.map((name) => bold(name)),
    chars: NOTHING,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
    colAligns: colAligns as ('left' | 'right')[],
  })
  out.push(...text)
  const indented = out.toString().split('\n')
  return indented.map((line) => `  ${line.trimEnd()}`).join('\n')
}

/** 4290960252 is "4.29 Gbit/s". */
export function bitRate(bitsPerSecond: number): string {
  const [unit, divisor] = bitsPerSecond >= 1e9 ? ['Gbit/s', 1e9] : ['Mbit/s', 1e6]
  return `${(bitsPerSecond / divisor).toFixed(2)} ${unit}`
}
