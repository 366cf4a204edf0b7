import { hiddenRuns, listRuns, RunDirectory, type RunState, removeRemains, runBase } from '@l2l3/topology'
import { askDown } from './ask.ts'
import { note, say } from './output.ts'
import { socketOf } from './runs.ts'

/* `l2l3 down`: asks what runs to end, waits until it has, and removes what dead ones have left. */

/** Milliseconds after which what was asked to end gets SIGTERM, and after which no more is waited for. */
const PATIENCE = 20_000
const END = 40_000

/** Ends the topology of that name, all of them, or the only one there is. Gives the exit status: 1 where one did not end
 * or could not be removed. */
export async function down(name: string | undefined, all: boolean): Promise<number> {
  const runs = listRuns()
  const names = runs.map(({ state }) => state.name).join(', ')
  const chosen = all ? runs : runs.filter(({ state }) => name === undefined || state.name === name)
  if (chosen.length === 0) {
    if (all) {
      say('no topology is running')
      return 0
    }
    if (runs.length > 0) throw new Error(`no topology "${name}" is running; there is ${names}`)
    throw new Error(`no topology is running (${hiddenRuns() ?? `looked in ${runBase()}`})`)
  }
  if (chosen.length > 1 && !all) throw new Error(`several topologies are running; name one of ${names}, or say --all`)
  const ended = await Promise.allSettled(chosen.map(({ state, alive }) => (alive ? end(state) : bury(state))))
  for (const result of ended) if (result.status === 'rejected') note(`l2l3: ${(result.reason as Error).message}`)
  return ended.every((result) => result.status === 'fulfilled') ? 0 : 1
}

async function end(state: RunState): Promise<void> {
  const { name, pid } = state
  const since = Date.now()
  let killed = false
  const kill = (): void => {
    killed = true
    if (lives(state)) process.kill(pid, 'SIGTERM')
  }
  // One that is still being built, or has stopped answering, hears a signal.
  await askDown(socketOf(name)).catch(kill)
  while (lives(state)) {
    const waited = Date.now() - since
    if (waited > END)
      throw new Error(`${name} does not end: it is process ${pid}; kill -9 ${pid}, then l2l3 down ${name}`)
    if (waited > PATIENCE && !killed) kill()
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  // It removes what it has made before it ends; one that was killed meanwhile could not.
  RunDirectory.clear(name, removeRemains)
  say(`${name} is down`)
}

/** Whether that very process still has the name. */
function lives({ name, pid, startTime }: RunState): boolean {
  return listRuns().some(
    ({ state: s, alive }) => alive && s.name === name && s.pid === pid && s.startTime === startTime,
  )
}

async function bury({ name, pid }: RunState): Promise<void> {
  RunDirectory.clear(name, removeRemains)
  say(`${name}: removed what process ${pid} left behind`)
}
