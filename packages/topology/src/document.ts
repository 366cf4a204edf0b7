import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument, visit } from 'yaml'
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
    const doc = parseDocument(text, {
      lineCounter: this.#lines,
      prettyErrors: false,
      // Plain data, whatever tags and %YAML directives ask for: no byte arrays, sets or dates.
      schema: 'core',
      resolveKnownTags: false,
      logLevel: 'error',
    })
    this.#root = doc.contents as Node | null
    this.#resolve = (node) => (isAlias(node) ? ((node.resolve(doc) as Node | undefined) ?? null) : node)
    const problem = (offset: number, message: string): Problem => ({ file, ...this.#at(offset), key: '', message })
    const deep = doc.errors.findLast((e) => e.code === 'RESOURCE_EXHAUSTION')
    // Past the depth that the parser can follow its other errors are about its own confusion.
    const problems =
      deep !== undefined
        ? [problem(deep.pos[0], 'lists and maps are nested too deep')]
        : [...doc.errors, ...doc.warnings].map((e) => problem(e.pos[0], syntaxMessage(e.code, e.message)))
    let value: unknown = null
    if (problems.length === 0) {
      let at = 0
      try {
        const { unknown, first } = aliases(doc)
        at = first
        for (const { offset, name } of unknown)
          problems.push(problem(offset, `there is no anchor &${name} before this`))
        if (problems.length === 0) value = doc.toJS()
      } catch (error) {
        const { message } = error as Error
        problems.push(problem(at, error instanceof RangeError ? 'lists and maps are nested too deep' : message))
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

function syntaxMessage(code: string, message: string): string {
  if (code === 'DUPLICATE_KEY') return 'this key was given before; names must be unique'
  if (code === 'TAG_RESOLVE_FAILED') return `${message}; a topology is plain text, numbers, lists and maps`
  return message
}

/** Aliases whose anchor was not given before them, and where the first alias of all stands (0 without any). */
function aliases(doc: Document): { unknown: { offset: number; name: string }[]; first: number } {
  const anchors = new Set<string>()
  const unknown: { offset: number; name: string }[] = []
  let first: number | undefined
  visit(doc, {
    Node: (_, node) => {
      const offset = node.range?.[0] ?? 0
      if (isAlias(node)) {
        first ??= offset
        if (!anchors.has(node.source)) unknown.push({ offset, name: node.source })
      } else if (node.anchor !== undefined) anchors.add(node.anchor)
    },
  })
  return { unknown, first: first ?? 0 }
}

/** Writes a path as people do: nodes.sw1.endpoints.red, checks[0].ping. */
function pathText(path: Path): string {
  let text = ''
  for (const part of path) text += typeof part === 'number' ? `[${part}]` : text === '' ? part : `.${part}`
  return text
}
