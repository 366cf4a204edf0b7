/** One thing that is wrong in a topology file, and where. */
export interface Problem {
  /** The file as it was named to `parseTopology`. */
  readonly file: string
  /** Line, from 1; 0 where the topology has no lines, as one that a program has made. */
  readonly line: number
  /** Column, from 1. */
  readonly column: number
  /** Where it is in the file's terms, e.g. "nodes.sw1.endpoints.red.mac"; empty for the file as a whole. */
  readonly key: string
  /** What was expected and what stands there. */
  readonly message: string
}

/** Writes a problem as `file:line:column: key: message`, which editors and terminals can jump to. */
export function problemText(problem: Problem): string {
  const { file, line, column, key, message } = problem
  const at = line === 0 ? file : `${file}:${line}:${column}`
  return `${at}: ${key === '' ? '' : `${key}: `}${message}`
}

/** A topology file that cannot be used. It lists all that was found, in the order of the file; its message has one line
 * for each. */
export class TopologyError extends Error {
  readonly problems: readonly Problem[]

  constructor(problems: readonly Problem[]) {
    super(problems.map(problemText).join('\n'))
    this.name = 'TopologyError'
    this.problems = problems
  }
}
