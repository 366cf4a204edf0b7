import { join } from 'node:path'
import { hiddenRuns, listRuns, runBase, type Snapshot } from '@l2l3/topology'
import { askSnapshot } from './control.ts'
import { note, say, table } from './output.ts'
import {
  dropTable,
  fdbTable,
  flowTable,
  ledgerLine,
  neighbourTable,
  portTable,
  routeTable,
  serviceTable,
} from './tables.ts'

/* `l2l3 show`: what a running topology says of itself. */

interface Section {
  readonly text: (snapshot: Snapshot) => string
  readonly json: (snapshot: Snapshot) => unknown
}

const SECTIONS: Readonly<Record<string, Section>> = {
  ports: { text: portTable, json: (s) => s.ports },
  fdb: { text: fdbTable, json: (s) => s.fdb },
  neighbours: { text: neighbourTable, json: (s) => s.neighbours },
  routes: { text: routeTable, json: (s) => s.routes },
  flows: { text: flowTable, json: (s) => s.flows },
  services: { text: serviceTable, json: (s) => s.services },
  drops: { text: dropTable, json: (s) => s.ledger.dropped },
  ledger: { text: ledgerLine, json: (s) => s.ledger },
}

/** What can be shown. */
export const SHOWN: readonly string[] = [...Object.keys(SECTIONS), 'all', 'list']

/** Shows a section of a running topology, by name where several run. */
export async function show(what: string, name: string | undefined, json: boolean): Promise<number> {
  const runs = listRuns().filter((run) => run.alive)
  const names = runs.map((run) => run.state.name)
  const hidden = runs.length === 0 ? hiddenRuns() : null
  if (what === 'list') {
    if (json) say(JSON.stringify(runs.map(({ state: { name, pid, world } }) => ({ name, pid, world }))))
    else if (runs.length === 0) say('  no topology is running')
    else
      say(
        table(
          ['topology', 'process', 'where'],
          runs.map(({ state: s }) => [s.name, String(s.pid), s.world]),
        ),
      )
    if (hidden !== null) note(`l2l3: ${hidden}`)
    return 0
  }
  if (names.length === 0)
    throw new Error(`no topology is running (${hidden ?? `looked in ${runBase()}`}); start one: l2l3 up TOPOLOGY`)
  if (name === undefined && names.length > 1) {
    throw new Error(`several topologies are running; name one of ${names.join(', ')}`)
  }
  const chosen = name ?? (names[0] as string)
  if (!names.includes(chosen)) throw new Error(`no topology "${chosen}" is running; there is ${names.join(', ')}`)
  const snapshot = await askSnapshot(join(runBase(), chosen, 'control.sock'))
  const section = SECTIONS[what]
  if (json) say(JSON.stringify(section === undefined ? snapshot : section.json(snapshot)))
  else if (section !== undefined) say(section.text(snapshot))
  else
    say(
      Object.entries(SECTIONS)
        .map(([title, s]) => `${title}\n${s.text(snapshot)}`)
        .join('\n\n'),
    )
  return 0
}
