import { writeFileSync } from 'node:fs'
import {
  checkLiveTrace,
  liveTraceRemark,
  reportText,
  type Trace,
  type TraceOptions,
  type TraceWhat,
  trace,
  tracePcapng,
  traceText,
} from '@l2l3/topology'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { askTrace } from './ask.ts'
import { loadTopology } from './load.ts'
import { colorsFor, note, say } from './output.ts'
import { chosenRun, socketOf } from './runs.ts'
import { interruptible } from './signals.ts'

/*
 * `l2l3 trace`: what happens to this frame? Either a host of a topology file sends one, in memory; or frames of a topology
 * that runs are followed as they come.
 */

/** Options of `l2l3 trace`. */
interface TraceCommandOptions {
  readonly live?: boolean
  readonly filter?: string
  readonly count?: number
  readonly rate?: number
  readonly family?: 4 | 6
  readonly answer?: boolean
  readonly neighbours?: boolean
  readonly json?: boolean
  readonly pcapng?: string
}

const EXAMPLES = `
What is sent:  icmp (the default) | tcp PORT | udp PORT | arp | frame HEX (no TO is needed then)

Examples:
  l2l3 trace examples/router.yaml red green                     an echo request
  l2l3 trace examples/nat.yaml laptop server tcp 80 --answer    a connection's first segment, and what comes back
  l2l3 trace examples/vlans.yaml alice 10.10.0.2 arp            who has 10.10.0.2?
  l2l3 trace --live --filter 'icmp and host 10.0.0.1'           of the topology that runs, until Ctrl-C

docs/trace.md tells how to read it, and what a filter may say.`

/** Options that only a live trace has, and those that it has not. */
const LIVE = ['filter', 'count', 'rate'] as const
const SENT = ['family', 'answer', 'neighbours'] as const

/** Adds the command to a program; `done` is told the exit status. */
export function addTrace(program: Command, done: (status: number) => void): void {
  program
    .command('trace')
    .description('follow a frame step by step, with its bytes, in a topology file or in what runs (--live)')
    .argument('[ARGS...]', 'TOPOLOGY FROM TO [WHAT], or TOPOLOGY FROM frame HEX; with --live: [NAME]')
    .option('--answer', 'also the way of the answer')
    .option('--neighbours', 'also the ways of questions who has an address (ARP, ND)')
    .addOption(new Option('--family <VERSION>', 'IP version: 4 or 6').argParser(version))
    .option('--live', 'frames of a running topology')
    .option('--filter <FILTER>', 'with --live: which frames, in words of tcpdump')
    .addOption(new Option('--count <N>', 'with --live: end after so many (default: 10)').argParser(whole))
    .addOption(new Option('--rate <N>', 'with --live: so many a second at most (default: 10)').argParser(whole))
    .option('--json', 'as JSON; with --live an object a line')
    .option('--pcapng <FILE>', 'also write a capture with a record a step, and what is said of it as comment')
    .addHelpText('after', EXAMPLES)
    .action(async (args: string[], options: TraceCommandOptions) => {
      const wrong = (options.live ? SENT : LIVE).find((key) => options[key] !== undefined)
      if (wrong !== undefined) program.error(`--${wrong} ${options.live ? 'does not go' : 'goes'} with --live`)
      if (options.live) {
        if (args.length > 1) program.error(`--live takes the name of a running topology at most, not ${args.join(' ')}`)
        done(await live(args[0], options))
      } else {
        // A frame says itself where it goes.
        const [path, from, to = '', ...what] = args[2] === 'frame' ? [...args.slice(0, 2), '', ...args.slice(2)] : args
        if (path === undefined || from === undefined || (to === '' && what.length === 0)) {
          program.error('expected TOPOLOGY FROM TO [WHAT], such as: l2l3 trace examples/router.yaml red green')
        }
        done(sent(path, from, to, whatOf(what), options))
      }
    })
}

function version(text: string): 4 | 6 {
  if (text !== '4' && text !== '6') throw new InvalidArgumentError('expected 4 or 6')
  return Number(text) as 4 | 6
}

function whole(text: string): number {
  if (!/^[1-9]\d*$/.test(text)) throw new InvalidArgumentError('expected a whole number above 0')
  return Number(text)
}

/** Reads what is sent. */
function whatOf(words: readonly string[]): TraceWhat {
  const [kind = 'icmp', value, ...more] = words
  const port = Number(value)
  if ((kind === 'icmp' || kind === 'arp') && value === undefined) return kind
  if (
    (kind === 'tcp' || kind === 'udp') &&
    more.length === 0 &&
    /^\d+$/.test(value ?? '') &&
    port >= 1 &&
    port <= 65_535
  ) {
    return kind === 'tcp' ? { tcp: port } : { udp: port }
  }
  if (kind === 'frame' && value !== undefined) return { frame: [value, ...more].join('') }
  throw new Error(`expected icmp, tcp PORT, udp PORT, arp or frame HEX, not "${words.join(' ')}"`)
}

/** A host of a topology in memory sends something. */
function sent(path: string, from: string, to: string, what: TraceWhat, options: TraceCommandOptions): number {
  const { family, answer, neighbours, json, pcapng } = options
  const how: TraceOptions = { what, ...(family === undefined ? {} : { family }) }
  const report = trace(loadTopology(path), from, to, how)
  if (json) say(JSON.stringify(report, null, 2))
  else {
    const shown = { colors: colorsFor(process.stdout), answer: answer === true, neighbours: neighbours === true }
    for (const line of reportText(report, shown)) say(line)
  }
  write(pcapng, report.frames)
  return report.frames.some((frame) => frame.role === 'sent') ? 0 : 1
}

/** Frames of a running topology, as they come. */
function live(name: string | undefined, options: TraceCommandOptions): Promise<number> {
  const { filter = '', count, rate, json, pcapng } = options
  checkLiveTrace(filter, options)
  const { name: chosen } = chosenRun(name)
  const traces: Trace[] = []
  const question = { filter, ...(count === undefined ? {} : { count }), ...(rate === undefined ? {} : { rate }) }
  return interruptible(async (signal) => {
    note(`tracing ${chosen}; Ctrl-C ends it`)
    const onTrace = (one: Trace): void => {
      if (pcapng !== undefined) traces.push(one)
      if (json) say(JSON.stringify(one))
      else for (const line of [...traceText(one, { colors: colorsFor(process.stdout) }), '']) say(line)
    }
    const report = await askTrace(socketOf(chosen), question, onTrace, signal)
    write(pcapng, traces)
    const remark = liveTraceRemark(filter, report)
    if (remark !== null) note(`l2l3: ${remark}`)
    if (report.skipped > 0) note(`l2l3: ${report.skipped} traces came too fast to be read, and were left out`)
    return report.traced > 0 ? 0 : 1
  })
}

function write(path: string | undefined, traces: readonly Trace[]): void {
  if (path === undefined) return
  try {
    writeFileSync(path, tracePcapng(traces))
  } catch (error) {
    throw new Error(`cannot write the capture ${path}: ${(error as Error).message}`)
  }
}
