import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml'
import type { Problem } from './topology-error.ts'

/*
 * The file as text with positions. YAML and JSON are read by the same parser (JSON is YAML), which keeps for every node
 * where it stands; a path such as ['nodes', 'sw1', 'mode'] leads back to a line and a column, so that whatever is found
 * wrong later, by the schema or by meaning, can be pointed at.
 */

/** Where something is in a document: keys of maps and indices of lists from the root. */
export type Path = readonly (string | number)[]

/** A parsed file: its value as plain data, and where each part of it stands. */
export class TopologyDocument {
  readonly file: string
  readonly value: unknown
  /** What is wrong with the text itself: syntax, a key given twice. */
  readonly problems: readonly Problem[]
  readonly #root: Node | null
  readonly #lines: LineCounter = new LineCounter()
  readonly #resolve: (node: Node) => Node | null

  constructor(text: string, file: string) {
    this.file = file
    const doc = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false })
    this.#root = doc.contents as Node | null
    this.#resolve = (node) => (isAlias(node) ? ((node.resolve(doc) as Node | undefined) ?? null) : node)
    const problems: Problem[] = [...doc.errors, ...doc.warnings].map((e) => {
      const message = e.code === 'DUPLICATE_KEY' ? 'this key was given before; names must be unique' : e.message
      return { file, ...this.#at(e.pos[0]), key: '', message }
    })
    let value: unknown = null
    if (problems.length === 0) {
      try {
        value = doc.toJS()
      } catch (error) {
        problems.push({ file, line: 1, column: 1, key: '', message: (error as Error).message })
      }
    }
    this.value = value
    this.problems = problems
  }

  /** Makes a problem that points at the value of `path`, or at its last key. Where the path leaves the document (a key
   * is missing), it points at the part that is there. */
  problem(path: Path, message: string, at: 'key' | 'value' = 'value'): Problem {
    return { file: this.file, ...this.#at(this.#offset(path, at)), key: pathText(path), message }
  }

  #at(offset: number): { line: number; column: number } {
    const { line, col } = this.#lines.linePos(offset)
    return { line: Math.max(1, line), column: Math.max(1, col) }
  }

  #offset(path: Path, at: 'key' | 'value'): number {
    let node = this.#root
    let offset = node?.range?.[0] ?? 0
    for (let i = 0; i < path.length && node !== null; i++) {
      const part = path[i]
      const last = i === path.length - 1
      const inside = this.#resolve(node)
      if (isMap(inside)) {
        const pair = inside.items.find((p) => (isScalar(p.key) ? String(p.key.value) : undefined) === String(part))
        if (pair === undefined) return offset
        const key = (pair.key as Node).range?.[0] ?? offset
        node = (pair.value as Node | null) ?? null
        const value = node?.range
        // A value that is absent (`mac:`) has an empty range: the key is the better place.
        offset = (last && at === 'key') || value == null || value[0] === value[1] ? key : value[0]
      } else if (isSeq(inside)) {
        const item = inside.items[Number(part)] as Node | undefined
        if (item === undefined) return offset
        node = item
        offset = node.range?.[0] ?? offset
      } else return offset
    }
    return offset
  }
}

/** Writes a path as people do: nodes.sw1.endpoints.red, checks[0].ping. */
function pathText(path: Path): string {
  let text = ''
  for (const part of path) text += typeof part === 'number' ? `[${part}]` : text === '' ? part : `.${part}`
  return text
}
