import { dropRows, hiddenRuns, type Snapshot } from '@l2l3/topology'
import { askSnapshot } from './ask.ts'
import { note, say, table } from './output.ts'
import { chosenRun, running, socketOf } from './runs.ts'
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
  drops: { text: dropTable, json: dropRows },
  ledger: { text: ledgerLine, json: (s) => s.ledger },
}

/** What can be shown. */
export const SHOWN: readonly string[] = [...Object.keys(SECTIONS), 'all', 'list']

/** Other names of sections. */
const ALIASES: Readonly<Record<string, string>> = { neigh: 'neighbours', neighbors: 'neighbours' }

/** The section that is meant by a word; null where there is none. */
export function sectionOf(what: string): string | null {
  const name = ALIASES[what] ?? what
  return SHOWN.includes(name) ? name : null
}

/** Shows a section of a running topology, by name where several run. */
export async function show(what: string, name: string | undefined, json: boolean): Promise<number> {
  if (what === 'list') return list(json)
  const snapshot = await askSnapshot(socketOf(chosenRun(name).name))
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

function list(json: boolean): number {
  const runs = running()
  if (json) say(JSON.stringify(runs.map(({ name, pid, world }) => ({ name, pid, world }))))
  else if (runs.length === 0) say('  no topology is running')
  else
    say(
      table(
        ['topology', 'process', 'where'],
        runs.map((s) => [s.name, String(s.pid), s.world]),
      ),
    )
  const hidden = runs.length === 0 ? hiddenRuns() : null
  if (hidden !== null) note(`l2l3: ${hidden}`)
  return 0
}
