import { parseTopology } from '@l2l3/topology'
import { askApply } from './ask.ts'
import { readTopologyText } from './load.ts'
import { colorsFor, note, say } from './output.ts'
import { chosenRun, running, socketOf } from './runs.ts'

/* `l2l3 apply`: makes what runs into what a file says, and shows first what that changes. */

/** Options of `l2l3 apply`. */
export interface ApplyOptions {
  dryRun?: boolean
  json?: boolean
}

/** Applies a file to the running topology of that name; without one to the only one, or of several to the one that the file is
 * about. Gives the exit status. */
export async function apply(path: string, name: string | undefined, options: ApplyOptions): Promise<number> {
  const text = readTopologyText(path)
  const run = chosenRun(name ?? nameOfSeveral(text, path))
  const socket = socketOf(run.name)
  const dry = options.dryRun === true
  const changes = await askApply(socket, text, path, true)
  const impossible = changes.filter((change) => change.restart !== null)
  if (!options.json) {
    say(changes.length === 0 ? `${run.name} is what ${path} says already` : `Changes of ${run.name}:`)
    for (const { text, restart } of changes) say(`  ${colored(text)}${restart === null ? '' : `  (${restart})`}`)
  }
  // What cannot be applied is refused there, with file, line and key.
  const made = dry || changes.length === 0 ? [] : await askApply(socket, text, path, false)
  if (options.json) say(JSON.stringify({ topology: run.name, applied: !dry, changes: dry ? changes : made }))
  else if (made.length > 0) say(`${made.length} ${made.length === 1 ? 'change' : 'changes'} made.`)
  else if (impossible.length > 0) note(`l2l3: ${run.name} would have to be started anew for that`)
  return impossible.length > 0 ? 1 : 0
}

/** The name of a file's topology, where several are running and it is one of them. */
function nameOfSeveral(text: string, path: string): string | undefined {
  const names = running().map((run) => run.name)
  if (names.length < 2) return undefined
  const { name } = parseTopology(text, path)
  return names.includes(name) ? name : undefined
}

/** Green for what comes, red for what goes, yellow for what becomes another. */
function colored(text: string): string {
  const { green, red, yellow } = colorsFor(process.stdout)
  const color = { '+': green, '-': red, '~': yellow }[text[0] as string]
  return color === undefined ? text : color(text)
}
