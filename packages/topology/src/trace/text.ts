import { hexDump } from '../frame-text.ts'
import type { FieldChange } from './field-changes.ts'
import type { Trace, TraceStep } from './path.ts'
import { fromHex, type Splice } from './splice.ts'

/*
 * A trace as people read it, and back.
 *
 *     IPv4 10.0.1.2 -> 10.0.2.2, ICMP echo request, 98 bytes, came in at r1/red
 *          0000  02 00 00 00 01 01 02 58  ...
 *       1  r1/red   enter
 *       2  r1       router    route 10.0.2.0/24 dev blue, TTL 64 -> 63
 *                     ip.ttl       64 -> 63
 *                     ip.checksum  0x24a7 -> 0x25a7
 *                   @22  - 40  + 3f
 *                   @24  - 24  + 25
 *       3  r1/blue  leave
 *
 * Where a path has branches their numbers stand in brackets before the place. Bytes are printed as splices of the bytes
 * before: `@22` is where, `-` what went, `+` what came, sixteen bytes a row. The text says all that is needed to make every
 * frame of the path of the first one: `parseTraceText` reads it.
 */

/** What makes words stand out: functions as picocolors has them. */
export interface TraceColors {
  bold(text: string): string
  dim(text: string): string
  red(text: string): string
  green(text: string): string
  cyan(text: string): string
  yellow(text: string): string
}

const plain = (text: string): string => text
const NO_COLORS: TraceColors = { bold: plain, dim: plain, red: plain, green: plain, cyan: plain, yellow: plain }

/** Settings of `traceText`. */
export interface TraceTextOptions {
  /** Default: none. */
  readonly colors?: TraceColors
  /** Rows of sixteen bytes that are printed of one piece; what is longer says how much is left out, and cannot be read back.
   * Default 128. */
  readonly rows?: number
}

/** Where the columns behind the number end. */
interface Widths {
  readonly branch: number
  readonly where: number
  readonly what: number
}

/** Writes a trace as lines. */
export function traceText(trace: Trace, options: TraceTextOptions = {}): string[] {
  const { colors = NO_COLORS, rows = 128 } = options
  const { steps } = trace
  const input = fromHex(trace.input)
  const branches = Math.max(0, ...steps.map((step) => step.branch))
  const widths = {
    branch: branches === 0 ? 0 : String(branches).length + 4,
    where: Math.max(0, ...steps.map((step) => placeOf(step).length)),
    what: Math.min(20, Math.max(0, ...steps.map((step) => whatOf(step).length))),
  }
  const lines = [
    `${colors.bold(trace.what)}, ${input.length} bytes, came in at ${trace.at}`,
    ...hexDump(input, rows).map((row) => `     ${colors.dim(row)}`),
  ]
  let time = 0
  steps.forEach((step, i) => {
    if (step.time !== time) lines.push(colors.dim(`     ${duration(step.time - time)} later`))
    time = step.time
    lines.push(stepLine(step, i + 1, widths, colors))
    const indent = ' '.repeat(6 + widths.branch)
    lines.push(...fieldLines(step.fields).map((text) => `${indent}  ${text}`))
    lines.push(
      ...step.diff.flatMap((splice) => spliceLines(splice, rows)).map((text) => `${indent}${colors.dim(text)}`),
    )
  })
  if (trace.end === 'held') lines.push(colors.yellow('     what has not left or ended still waits'))
  if (trace.end === 'cut') lines.push(colors.yellow(`     and so on: more than ${steps.length} steps`))
  return lines
}

/** The port, where it went through one; inside a node, the node. */
function placeOf({ kind, where, node }: TraceStep): string {
  return kind === 'enter' || kind === 'leave' || kind === 'link' ? where : node
}

function whatOf({ kind, by, from }: TraceStep): string {
  if (kind === 'copy' || kind === 'derive') return `${kind} of [${from ?? 0}]`
  if (kind === 'note') return by === '' ? 'change' : by
  return kind
}

function stepLine(step: TraceStep, number: number, widths: Widths, colors: TraceColors): string {
  const what = whatOf(step)
  const color = { drop: colors.red, leave: colors.green, enter: colors.green, note: colors.cyan }[step.kind as string]
  const branch = widths.branch === 0 ? '' : `[${step.branch}]`.padEnd(widths.branch)
  const by = step.kind !== 'note' && step.by !== '' ? `${step.by}: ` : ''
  const head = `${String(number).padStart(4)}  ${branch}${colors.bold(placeOf(step).padEnd(widths.where))}`
  return `${head}  ${(color ?? colors.yellow)(what.padEnd(widths.what))}  ${by}${step.why}`.trimEnd()
}

/** 1500000 ns is "1.5 ms". */
function duration(ns: number): string {
  if (ns >= 1e9) return `${Number((ns / 1e9).toFixed(3))} s`
  if (ns >= 1e6) return `${Number((ns / 1e6).toFixed(3))} ms`
  return `${Number((ns / 1e3).toFixed(3))} us`
}

/** What a header that came or went is told by. */
const MAIN: Readonly<Record<string, readonly string[]>> = {
  eth: ['eth.src', 'eth.dst', 'eth.type'],
  vlan: ['vlan.id', 'vlan.priority', 'vlan.etype'],
  ieee8021ad: ['ieee8021ad.id', 'ieee8021ad.priority'],
  arp: ['arp.opcode', 'arp.src.hw_mac', 'arp.src.proto_ipv4', 'arp.dst.hw_mac', 'arp.dst.proto_ipv4'],
  ip: ['ip.src', 'ip.dst', 'ip.proto', 'ip.ttl', 'ip.len', 'ip.id', 'ip.flags.df'],
  ipv6: ['ipv6.src', 'ipv6.dst', 'ipv6.nxt', 'ipv6.hlim', 'ipv6.plen', 'ipv6.flow'],
  icmp: ['icmp.type', 'icmp.code', 'icmp.mtu'],
  icmpv6: ['icmpv6.type', 'icmpv6.code', 'icmpv6.nd.ns.target_address', 'icmpv6.nd.na.target_address', 'icmpv6.mtu'],
  tcp: ['tcp.srcport', 'tcp.dstport', 'tcp.flags', 'tcp.seq_raw', 'tcp.ack_raw'],
  udp: ['udp.srcport', 'udp.dstport', 'udp.length', 'udp.checksum'],
  vxlan: ['vxlan.vni', 'vxlan.flags', 'vxlan.gbp'],
  geneve: ['geneve.vni', 'geneve.option.class', 'geneve.option.type', 'geneve.option.unknown.data'],
  gre: ['gre.proto', 'gre.key', 'gre.sequence_number', 'gre.checksum'],
}

/** Headers that came or went in a line each, fields with other values beneath each other. */
function fieldLines(changes: readonly FieldChange[]): string[] {
  const lines: string[] = []
  const width = Math.max(0, ...changes.filter((c) => c.before !== null && c.after !== null).map((c) => c.name.length))
  for (let i = 0; i < changes.length; i++) {
    const { layer, name, before, after } = changes[i] as FieldChange
    if (before !== null && after !== null) {
      lines.push(`${name.padEnd(width)}  ${short(before)} -> ${short(after)}`)
      continue
    }
    const same = (c: FieldChange): boolean => c.layer === layer && (c.before === null) === (before === null)
    let end = i + 1
    // A header of the same kind again begins with the same field.
    while (end < changes.length && same(changes[end] as FieldChange) && changes[end]?.name !== name) end++
    const group = changes.slice(i, end)
    const main = group.filter((c) => MAIN[layer]?.includes(c.name) ?? true)
    const told = (main.length > 0 ? main : group).map((c) => `${c.name} ${short((c.after ?? c.before) as string)}`)
    lines.push(`${before === null ? '+' : '-'} ${told.join(', ')}`)
    i = end - 1
  }
  return lines
}

function short(value: string): string {
  return value.length > 48 ? `${value.slice(0, 32)}.. (${value.length / 2} bytes)` : value
}

/** So many bytes fit beside each other, those that went and those that came. */
const BESIDE = 8

function spliceLines({ at, remove, insert }: Splice, rows: number): string[] {
  const head = `@${at}`.padEnd(6)
  if (Math.max(remove.length, insert.length) <= 2 * BESIDE) {
    const [out, into] = [piece(remove), piece(insert)]
    return [`${head}${[out && `- ${out}`, into && `+ ${into}`].filter((text) => text !== '').join('  ')}`]
  }
  const lines = [...hexRows(remove, rows).map((row) => `- ${row}`), ...hexRows(insert, rows).map((row) => `+ ${row}`)]
  return lines.map((line, i) => (i === 0 ? head : ' '.repeat(6)) + line)
}

function hexRows(hex: string, rows: number): string[] {
  const all = hex.match(/.{1,32}/g) ?? []
  const lines = all.slice(0, rows).map(piece)
  if (all.length > rows) lines.push(`... ${hex.length / 2 - rows * 16} bytes more`)
  return lines
}

function piece(hex: string): string {
  return (hex.match(/../g) ?? []).join(' ')
}

/** What a text says of a path: enough for `bytesAt` and `outputs`. */
export interface ParsedTrace {
  readonly input: string
  readonly steps: readonly TraceStep[]
}

/**
 * Reads what `traceText` wrote without colours.
 *
 * @throws SyntaxError where it is not that, or pieces were left out of it
 */
export function parseTraceText(lines: readonly string[]): ParsedTrace {
  const steps: (TraceStep & { diff: Splice[] })[] = []
  let input = ''
  for (const line of lines.slice(1)) {
    if (/^ *\.\.\. \d+ bytes more$/.test(line) || /^ *[-+] \.\.\. /.test(line)) {
      throw new SyntaxError(`bytes were left out of the text: ${line.trim()}`)
    }
    const dump = steps.length === 0 ? /^ {5}[0-9a-f]{4,} {2}([0-9a-f ]+)$/.exec(line) : null
    const step =
      /^ *(\d+) {2}(?:\[(\d+)\] +)?(\S.*?) {2,}(copy of \[(\d+)\]|derive of \[(\d+)\]|\S.*?)(?: {2,}(.*))?$/.exec(line)
    const splice = /^ +@(\d+) +(?:- ([0-9a-f ]+?))?(?: *\+ ([0-9a-f ]+))?$/.exec(line)
    const more = /^ +([-+]) ((?:[0-9a-f]{2} ?)+)$/.exec(line)
    if (dump !== null) input += bare(dump[1])
    else if (splice !== null && steps.length > 0) {
      const diff = { at: Number(splice[1]), remove: bare(splice[2]), insert: bare(splice[3]) }
      steps.at(-1)?.diff.push(diff)
    } else if (more !== null) {
      const diff = steps.at(-1)?.diff
      const last = diff?.pop()
      if (diff === undefined || last === undefined) throw new SyntaxError(`bytes that belong to no splice: ${line}`)
      const key = more[1] === '-' ? 'remove' : 'insert'
      diff.push({ ...last, [key]: last[key] + bare(more[2]) })
    } else if (step !== null) steps.push(parsedStep(step))
  }
  return { input, steps }
}

function bare(text: string | undefined): string {
  return (text ?? '').replaceAll(' ', '')
}

function parsedStep(match: RegExpExecArray): TraceStep & { diff: Splice[] } {
  const [, , branch = '0', where = '', what = '', copy, derive, why = ''] = match
  const kinds = ['enter', 'leave', 'link', 'drop'] as const
  const kind = copy !== undefined ? 'copy' : derive !== undefined ? 'derive' : (kinds.find((k) => k === what) ?? 'note')
  const from = copy ?? derive
  return {
    ...{
      kind,
      branch: Number(branch),
      node: where.split('/')[0] as string,
      where,
      by: kind === 'note' ? what : '',
      why,
    },
    ...(from === undefined ? {} : { from: Number(from) }),
    ...{ time: 0, length: 0, diff: [], fields: [] },
  }
}
