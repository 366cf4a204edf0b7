import { dropRows, type Snapshot } from '@l2l3/topology'
import { colorsFor } from './output.ts'

/*
 * What `l2l3 up` shows on a terminal: once a second, the state of a running topology in as many lines and columns as
 * there are. `liveLines` makes the lines of two snapshots, and is all there is to test; `LiveView` puts them on the
 * terminal:
 *
 *     - on the alternate screen, so that what was there comes back at the end
 *     - in one write, each line over the one before and the rest of it cleared: nothing flickers
 *     - anew at once where the terminal gets another size
 *
 * Where there are more rows than lines, each table gets a fair share: those that need less than theirs leave the rest to
 * the others, and a table that is cut says how many more there are.
 */

/** A snapshot, and when it was taken. */
export interface Sample {
  readonly snapshot: Snapshot
  /** Milliseconds, of any clock that runs evenly. */
  readonly at: number
}

interface Section {
  readonly title: string
  readonly head: readonly string[]
  readonly rows: readonly (readonly string[])[]
  /** Columns that are set to the right. */
  readonly right: ReadonlySet<number>
}

/** Lines that a section takes without its rows: title, head and an empty line. */
const FRAME = 3

/**
 * The lines of a screen: exactly `size.rows` at most, none longer than `size.columns`.
 *
 * @param before an earlier sample, for the rates; null at first
 * @param header lines that stand above: what runs, how to enter a pod
 */
export function liveLines(
  before: Sample | null,
  now: Sample,
  size: { readonly columns: number; readonly rows: number },
  header: readonly string[],
  colors: Pick<ReturnType<typeof colorsFor>, 'bold' | 'dim'> = { bold: String, dim: String },
): string[] {
  const { columns, rows } = size
  const cut = (text: string): string => (text.length > columns ? `${text.slice(0, Math.max(0, columns - 1))}…` : text)
  const lines = header
    .slice(0, Math.max(1, rows - FRAME - 1))
    .map((line, i) => (i === 0 ? colors.bold(cut(line)) : colors.dim(cut(line))))
  const all = sections(before, now)
  // Ports always; of the others those that have something to show, as far as one row of each has room.
  const shown = all.filter((section, i) => i === 0 || section.rows.length > 0)
  while (shown.length > 1 && lines.length + shown.length * (FRAME + 1) > rows) shown.pop()
  const shares = share(
    shown.map((section) => section.rows.length),
    rows - lines.length - shown.length * FRAME,
  )
  shown.forEach((section, i) => {
    const fits = shares[i] as number
    const whole = section.rows.length <= fits
    const some = whole ? section.rows : section.rows.slice(0, Math.max(0, fits - 1))
    const widths = section.head.map((name, c) => Math.max(name.length, ...some.map((row) => (row[c] as string).length)))
    const laid = (row: readonly string[]): string => {
      const cells = row.map((cell, c) => {
        return section.right.has(c) ? cell.padStart(widths[c] as number) : cell.padEnd(widths[c] as number)
      })
      return cut(`  ${cells.join('  ')}`.trimEnd())
    }
    lines.push('', colors.bold(cut(section.title)), colors.dim(laid(section.head)), ...some.map(laid))
    if (!whole && fits > 0) lines.push(cut(`  ... and ${section.rows.length - some.length} more`))
  })
  return lines.slice(0, rows)
}

/** Shares `room` among those that need so much: what one does not need, the others get. */
export function share(needs: readonly number[], room: number): number[] {
  const shares = needs.map(() => 0)
  const open = needs.map((need, i) => ({ need, i })).sort((a, b) => a.need - b.need)
  let left = Math.max(0, room)
  open.forEach(({ need, i }, done) => {
    const part = Math.min(need, Math.floor(left / (open.length - done)))
    shares[i] = part
    left -= part
  })
  return shares
}

function sections(before: Sample | null, { snapshot, at }: Sample): Section[] {
  const seconds = before === null ? 0 : (at - before.at) / 1000
  const then = before?.snapshot
  /** Of a counter, in a second; nothing where it was not there, or began anew. */
  const rate = (now: number, earlier: number | undefined): number | null => {
    return earlier === undefined || seconds <= 0 || now < earlier ? null : (now - earlier) / seconds
  }
  const portBefore = new Map(then?.ports.map((p) => [`${p.node}/${p.port}`, p]))
  const ports = snapshot.ports.map((p) => {
    const label = `${p.node}/${p.port}`
    const was = portBefore.get(label)
    return [
      ...[label, p.state],
      ...[perSecond(rate(p.rxFrames, was?.rxFrames)), bits(rate(p.rxBytes, was?.rxBytes))],
      ...[perSecond(rate(p.txFrames, was?.txFrames)), bits(rate(p.txBytes, was?.txBytes))],
      ...[count(p.rxFrames), count(p.txFrames), count(p.dropped + p.portDropped)],
    ]
  })
  const drops = dropRows(snapshot).map(({ reason, frames, meaning }) => [
    ...[reason, perSecond(rate(frames, then === undefined ? undefined : (then.ledger.dropped[reason] ?? 0)))],
    ...[count(frames), meaning],
  ])
  const fdb = [...snapshot.fdb]
    .sort((a, b) => a.age - b.age)
    .map((e) => [
      e.node,
      e.mac,
      e.vlan === 0 ? '-' : String(e.vlan),
      e.port,
      e.kind,
      e.kind === 'dynamic' || e.kind === 'sticky' ? `${(e.age / 1000).toFixed(0)} s` : '-',
    ])
  const neighbours = snapshot.neighbours.map((n) => [`${n.node}/${n.port}`, n.address, n.mac ?? '-', n.state])
  const flowKey = (f: Snapshot['flows'][number]): string => `${f.node} ${f.protocol} ${f.from} ${f.to}`
  const flowBefore = new Map(then?.flows.map((f) => [flowKey(f), f.bytes]))
  const flows = snapshot.flows
    .map((f) => ({ f, speed: rate(f.bytes, flowBefore.get(flowKey(f))) }))
    .sort((a, b) => (b.speed ?? 0) - (a.speed ?? 0) || b.f.bytes - a.f.bytes)
    .map(({ f, speed }) => {
      const translated = f.answersFrom !== f.to || f.answersTo !== f.from
      const answers = translated ? `${f.answersFrom} > ${f.answersTo}` : '-'
      return [f.node, f.protocol, f.state, `${f.from} > ${f.to}`, answers, bits(speed), count(f.packets)]
    })
  const titled = (title: string, rows: readonly unknown[]): string => `${title} (${rows.length})`
  return [
    {
      ...{ title: titled('Ports', ports), rows: ports, right: new Set([2, 3, 4, 5, 6, 7, 8]) },
      head: ['port', 'state', 'rx/s', 'rx bit/s', 'tx/s', 'tx bit/s', 'rx frames', 'tx frames', 'dropped'],
    },
    {
      title: titled('Drops', drops),
      rows: drops,
      right: new Set([1, 2]),
      head: ['reason', 'frames/s', 'frames', 'meaning'],
    },
    {
      title: titled('FDB', fdb),
      rows: fdb,
      right: new Set([5]),
      head: ['node', 'address', 'VLAN', 'port', 'kind', 'heard'],
    },
    {
      title: titled('Flows', flows),
      rows: flows,
      right: new Set([5, 6]),
      head: ['node', 'protocol', 'state', 'flow', 'answers', 'bit/s', 'packets'],
    },
    {
      title: titled('Neighbours', neighbours),
      rows: neighbours,
      right: new Set(),
      head: ['port', 'address', 'MAC', 'state'],
    },
  ]
}

function count(n: number): string {
  return n.toLocaleString('en')
}

/** Frames a second; nothing where it is not known. */
function perSecond(n: number | null): string {
  return n === null ? '-' : count(Math.round(n))
}

/** Bits a second of bytes a second: "9.41 M". */
function bits(bytes: number | null): string {
  if (bytes === null) return '-'
  const n = bytes * 8
  const [unit, divisor] = n >= 1e9 ? [' G', 1e9] : n >= 1e6 ? [' M', 1e6] : n >= 1e3 ? [' k', 1e3] : ['', 1]
  return `${(n / divisor).toFixed(divisor === 1 ? 0 : 2)}${unit}`
}

/** What a view needs of a terminal: `process.stdout`. */
export interface Terminal {
  readonly isTTY?: boolean
  readonly columns: number
  readonly rows: number
  readonly writableLength: number
  write(text: string): boolean
  on(event: 'resize', listener: () => void): unknown
  off(event: 'resize', listener: () => void): unknown
}

/** Milliseconds between two screens. */
const REFRESH = 1000
/** Alternate screen and no cursor; back again. (xterm's control sequences; `?2026` holds the screen still while it is
 * written, where the terminal knows that.) */
const ENTER = '\x1b[?1049h\x1b[?25l'
const LEAVE = '\x1b[?25h\x1b[?1049l'
const BEGIN = '\x1b[?2026h\x1b[H'
const END = '\x1b[J\x1b[?2026l'

/** A running topology on a terminal, until stopped. */
export class LiveView {
  readonly #terminal: Terminal
  readonly #snapshot: () => Promise<Snapshot>
  readonly #header: () => readonly string[]
  readonly #timer: NodeJS.Timeout
  #before: Sample | null = null
  #now: Sample | null = null
  #asking = false
  #stopped = false

  /** @param header lines above the tables: read anew for each screen */
  constructor(terminal: Terminal, snapshot: () => Promise<Snapshot>, header: () => readonly string[]) {
    this.#terminal = terminal
    this.#snapshot = snapshot
    this.#header = header
    terminal.write(ENTER)
    terminal.on('resize', this.#draw)
    process.on('exit', this.stop)
    process.on('SIGTSTP', this.#suspend)
    process.on('SIGCONT', this.#resume)
    this.#timer = setInterval(() => void this.#sample(), REFRESH)
    void this.#sample()
  }

  /** Gives the terminal back as it was. May be called again. */
  readonly stop = (): void => {
    if (this.#stopped) return
    this.#stopped = true
    clearInterval(this.#timer)
    process.off('exit', this.stop)
    process.off('SIGTSTP', this.#suspend)
    process.off('SIGCONT', this.#resume)
    this.#terminal.off('resize', this.#draw)
    this.#terminal.write(LEAVE)
  }

  /** Ctrl-Z: the shell gets its screen, and this process is stopped as it would have been. */
  readonly #suspend = (): void => {
    this.#terminal.write(LEAVE)
    process.kill(process.pid, 'SIGSTOP')
  }

  readonly #resume = (): void => {
    this.#terminal.write(ENTER)
    this.#draw()
  }

  async #sample(): Promise<void> {
    if (this.#asking) return
    this.#asking = true
    try {
      const sample = { snapshot: await this.#snapshot(), at: performance.now() }
      this.#before = this.#now
      this.#now = sample
    } catch {
      // What has failed ends the command, which says so; until then the last state stands.
    }
    this.#asking = false
    this.#draw()
  }

  readonly #draw = (): void => {
    // A terminal that does not keep up, or is stopped (Ctrl-S), gets the next one.
    if (this.#stopped || this.#now === null || this.#terminal.writableLength > 0) return
    const { columns, rows } = this.#terminal
    const lines = liveLines(this.#before, this.#now, { columns, rows }, this.#header(), colorsFor(this.#terminal))
    this.#terminal.write(`${BEGIN}${lines.map((line) => `${line}\x1b[K`).join('\r\n')}${END}`)
  }
}
