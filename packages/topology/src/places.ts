import type { Path, TopologyDocument } from './document.ts'
import type { Topology } from './topology.ts'
import type { Problem } from './topology-error.ts'

/* Where in its file a topology says something, for what is found wrong after it was read. */

const documents: WeakMap<Topology, TopologyDocument> = new WeakMap()

/** Notes the file that a topology was read from. */
export function rememberPlaces(topology: Topology, document: TopologyDocument): void {
  documents.set(topology, document)
}

/** Makes a problem of a topology that points at its place; one that was not read from a file has no lines: 0. */
export function problemOf(topology: Topology, path: Path, message: string, at: 'key' | 'value' = 'value'): Problem {
  const document = documents.get(topology)
  if (document !== undefined) return document.problem(path, message, at)
  return { file: topology.file, line: 0, column: 0, key: path.join('.'), message }
}
