import { readFileSync } from 'node:fs'
import { TopologyError } from '@l2l3/topology'
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { type ApplyOptions, apply } from './apply.ts'
import { demo } from './demo.ts'
import { down } from './down.ts'
import { colorsFor, note } from './output.ts'
import { type ReplayCommandOptions, replayCommand } from './replay.ts'
import { SHOWN, sectionOf, show } from './show.ts'
import { Interrupted } from './signals.ts'
import { addTrace } from './trace.ts'
import { type UpOptions, up } from './up.ts'

/* The commands and their options. Everything that can go wrong ends here, as a sentence on standard error. */

const FAILED = 1
const USAGE = 2

const EXAMPLES = `
Examples:
  l2l3 demo                                             two namespaces, a switch, and a look at both
  l2l3 up examples/two-namespaces.yaml --check          build on Linux, run the checks, remove it all
  l2l3 up examples/two-namespaces.yaml --check --memory the same in memory, without root
  l2l3 up examples/two-namespaces.yaml --pcap captures  run it, with a capture of each port
  l2l3 trace examples/router.yaml red green             what happens to a frame, step by step
  l2l3 show fdb                                         addresses that a running topology has learnt
  l2l3 apply changed.yaml --dry-run                     what a file changes of what runs
  l2l3 down                                             end it
  l2l3 replay net.yaml --in sw1/red=red.pcap --out out  captures in, captures out/sw1.*.pcap out

Topology files are described in docs/topology.md. Exit status: 0 done, 1 failed, 2 wrong usage.`

function version(): string {
  const manifest = readFileSync(new URL('../package.json', import.meta.url), 'utf8')
  return (JSON.parse(manifest) as { version: string }).version
}

type Inputs = (readonly [port: string, path: string])[]

function input(text: string, before: Inputs): Inputs {
  const equals = text.indexOf('=')
  if (equals < 1 || equals === text.length - 1 || !text.slice(0, equals).includes('/')) {
    throw new InvalidArgumentError('expected NODE/PORT=FILE, such as sw1/red=red.pcap')
  }
  return [...before, [text.slice(0, equals), text.slice(equals + 1)]]
}

function seed(text: string): number {
  const value = Number(text)
  if (!/^\d+$/.test(text) || value > 0xffff_ffff)
    throw new InvalidArgumentError('expected a whole number up to 4294967295')
  return value
}

/** Runs a command line (without the program's own name) and gives the exit status. */
export async function run(args: readonly string[]): Promise<number> {
  let status = 0
  const program = new Command('l2l3')
  program
    .description('A userspace switch and packet dataplane: topologies on Linux, in memory and from captures.')
    .version(version(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .addHelpText('after', EXAMPLES)
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(`l2l3: ${text.replace(/^error: /, '')}`) })
  program
    .command('up')
    .description('build a topology on Linux (root), and run it until Ctrl-C')
    .argument('<TOPOLOGY>', 'topology file, YAML or JSON')
    .option('--check', 'run its checks and end: status 1 where one fails')
    .option('--memory', 'in memory with built-in hosts, without root')
    .option('--real', 'on Linux: segments are namespaces with a bridge, and each node is a process')
    .option('--json', 'with --check: results as one JSON object')
    .option('--pcap <DIR>', 'write what passes each port, both ways, to DIR/NODE.PORT.pcapng')
    .addOption(
      new Option(
        '--wait <HOW>',
        'on Linux, where no frame is to be moved: sleep at once, spin for 50 us before, or poll and never sleep',
      )
        .choices(['event-loop', 'spin', 'busy'])
        .default(undefined, 'event-loop'),
    )
    .option('--seed <NUMBER>', "in place of the topology's seed: other faults strike", seed)
    .action(async (path: string, options: UpOptions) => {
      if (options.json && !options.check) program.error('--json goes with --check')
      if (options.real && options.memory) program.error('--real is on Linux: it does not go with --memory')
      if (options.wait && options.memory) program.error('--wait is on Linux: it does not go with --memory')
      status = await up(path, options)
    })
  program
    .command('replay')
    .description('play captures into ports, write what every port sends, print the ledger as JSON')
    .argument('<TOPOLOGY>', 'topology file, YAML or JSON')
    .option('--in <NODE/PORT=FILE>', 'a pcap or pcapng file and the port it comes in by; may be given again', input, [])
    .requiredOption('--out <DIR>', 'where captures NODE.PORT.pcap are written')
    .addOption(
      new Option('--direction <WAY>', 'of captures that are both ways, play what came in there, or what left').choices([
        'in',
        'out',
      ]),
    )
    .action((path: string, options: ReplayCommandOptions) => {
      status = replayCommand(path, options)
    })
  program
    .command('show')
    .description('ask a running topology for its ports, address tables and drops')
    .argument('[WHAT]', SHOWN.join(', '), 'all')
    .argument('[NAME]', 'name of the topology, where several run')
    .option('--json', 'as JSON')
    .action(async (what: string, name: string | undefined, { json }: { json?: boolean }) => {
      const section = sectionOf(what)
      if (section !== null) status = await show(section, name, json === true)
      else if (name === undefined) status = await show('all', what, json === true)
      else program.error(`there is no "${what}" to show; expected one of ${SHOWN.join(', ')}`)
    })
  program
    .command('apply')
    .description('make what runs into what a file says, while traffic flows; shows the changes first')
    .argument('<TOPOLOGY>', 'topology file, YAML or JSON')
    .argument('[NAME]', 'name of the topology that runs, where several do')
    .option('--dry-run', 'show the changes and make none')
    .option('--json', 'the changes as one JSON object')
    .action(async (path: string, name: string | undefined, options: ApplyOptions) => {
      status = await apply(path, name, options)
    })
  addTrace(program, (ended) => {
    status = ended
  })
  program
    .command('down')
    .description('end a running topology, and remove what a dead one has left')
    .argument('[NAME]', 'name of the topology, where several run')
    .option('--all', 'all of them')
    .action(async (name: string | undefined, { all }: { all?: boolean }) => {
      if (all && name !== undefined) program.error('--all goes without a name')
      status = await down(name, all === true)
    })
  program
    .command('demo')
    .description('build the example of two namespaces, check it, and show what happened inside')
    .argument('[TOPOLOGY]', 'another topology')
    .option('--memory', 'in memory, also where Linux would do')
    .action(async (topology: string | undefined, { memory }: { memory?: boolean }) => {
      status = await demo({ ...(topology === undefined ? {} : { topology }), memory: memory === true })
    })
  try {
    await program.parseAsync(args, { from: 'user' })
    return status
  } catch (error) {
    return report(error)
  }
}

function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE
  if (error instanceof Interrupted) return error.status
  const { red } = colorsFor(process.stderr)
  const message = error instanceof Error ? error.message : String(error)
  note(error instanceof TopologyError ? message : `${red('l2l3:')} ${message}`)
  return FAILED
}
