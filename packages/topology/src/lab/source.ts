import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseMoreChecks, parseTopology } from '../parse.ts'
import type { CheckSpec, Topology } from '../topology.ts'
import { TopologyError } from '../topology-error.ts'

/*
 * Where a lab's topology comes from: an object, a text, or a file. Each check that a test asks for is parsed as if it stood in the
 * file, so that it is refused in the same words.
 */

/** A host on a port of a node, as in a file; see docs/topology.md. */
export interface LabEndpoint {
  readonly mac?: string
  readonly ip?: string | readonly string[]
  readonly mtu?: number
  readonly [option: string]: unknown
}

/** A node, as in a file. */
export interface LabNode {
  readonly mode: string
  readonly endpoints?: Readonly<Record<string, LabEndpoint>>
  readonly uplink?: Readonly<Record<string, unknown>>
  readonly ports?: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  readonly [option: string]: unknown
}

/** A topology as an object: the keys of a topology file. */
export interface LabTopology {
  readonly name?: string
  readonly nodes: Readonly<Record<string, LabNode>>
  readonly [key: string]: unknown
}

/** A topology: an object, the text of a file (YAML or JSON: what has several lines, or begins with a brace), or the path of
 * one. */
export type LabSource = LabTopology | string | URL

/** What stands for the file's name where there is no file, and for the topology's where it gives itself none. */
const NAMELESS = 'lab'

/** A topology, and what parses checks for it. */
export class LabDocument {
  readonly topology: Topology

  /** @throws TopologyError where it is wrong, an Error with a sentence where it cannot be read */
  constructor(source: LabSource) {
    if (typeof source === 'string' || source instanceof URL) {
      const [text, file] = isText(source) ? [source, NAMELESS] : read(source)
      this.topology = parseTopology(text, file)
    } else this.topology = withoutLines(() => parseTopology(JSON.stringify(source), NAMELESS))
  }

  /** The checks that one in the form of a file's becomes: one for each IP version that both ends have.
   *
   * @throws TopologyError where it is wrong */
  checks(check: Readonly<Record<string, unknown>>): readonly CheckSpec[] {
    return withoutLines(() => parseMoreChecks(this.topology, [check]))
  }
}

/** Problems of what has no lines that anybody could look up: keys say where they are. */
function withoutLines<T>(parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    if (!(error instanceof TopologyError)) throw error
    throw new TopologyError(error.problems.map((problem) => ({ ...problem, line: 0, column: 0 })))
  }
}

function isText(source: string | URL): source is string {
  return typeof source === 'string' && (source.includes('\n') || source.trimStart().startsWith('{'))
}

function read(source: string | URL): [text: string, file: string] {
  const file = typeof source === 'string' ? source : fileURLToPath(source)
  if (!existsSync(file)) throw new Error(`cannot read the topology ${file}: there is no such file`)
  return [readFileSync(file, 'utf8'), file]
}
