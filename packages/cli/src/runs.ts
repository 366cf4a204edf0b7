import { join } from 'node:path'
import { hiddenRuns, listRuns, type RunState, runBase } from '@l2l3/topology'

/* Which running topology a command is about: the one of that name, or the only one there is. */

/** Where a topology answers questions. */
export function socketOf(name: string): string {
  return join(runBase(), name, 'control.sock')
}

/** States of the topologies that run. */
export function running(): RunState[] {
  return listRuns().flatMap(({ state, alive }) => (alive ? [state] : []))
}

/** The running topology of that name; without a name the only one. Throws an Error with a sentence where there is none, or
 * more than one to choose from. */
export function chosenRun(name: string | undefined): RunState {
  const runs = running()
  const names = runs.map((run) => run.name)
  if (runs.length === 0) {
    const looked = hiddenRuns() ?? `looked in ${runBase()}`
    throw new Error(`no topology is running (${looked}); start one: l2l3 up TOPOLOGY`)
  }
  if (name === undefined && runs.length > 1) {
    throw new Error(`several topologies are running; name one of ${names.join(', ')}`)
  }
  const chosen = name === undefined ? runs[0] : runs.find((run) => run.name === name)
  if (chosen === undefined) throw new Error(`no topology "${name}" is running; there is ${names.join(', ')}`)
  return chosen
}
