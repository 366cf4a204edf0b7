import { checkRange } from '@l2l3/switch-core'
import type { Tuple } from '../tuple.ts'
import type { Question } from './question.ts'

/*
 * What was refused lately, so that whoever tries again and again is refused at the cost of one look.
 *
 * A flow that is not allowed has no place in the table of flows: a scan would fill it. It is remembered here, in the one row where its
 * hash leads, until another takes the row or the rules change: each set of rules has a generation of its own, and a row is of one.
 *
 *     | generation | kind | ports | - | local, four words | remote, four words |
 */

const ROW = 12

/** Remembers refusals. */
export class Refusals {
  readonly #rows: Int32Array
  readonly #mask: number
  /** How often a row answered. */
  known = 0

  /** @param rows 16 to 1,048,576, a power of two */
  constructor(rows: number) {
    checkRange('refusals', rows, 16, 1 << 20)
    if ((rows & (rows - 1)) !== 0) throw new RangeError(`refusals must be a power of two, not ${rows}`)
    this.#rows = new Int32Array(rows * ROW)
    this.#mask = rows - 1
  }

  /** Whether the packet was refused; `kind` of the tuple says by which port and which way it comes.
   * @param generation of the rules, above 0 */
  has(q: Question, tuple: Tuple, generation: number): boolean {
    const rows = this.#rows
    const at = this.#home(q, tuple)
    if (rows[at] !== generation || rows[at + 1] !== (tuple.kind | 0) || rows[at + 2] !== (tuple.ports | 0)) return false
    for (let i = 0; i < 4; i++) {
      if (rows[at + 4 + i] !== q.local[i] || rows[at + 8 + i] !== q.remote[i]) return false
    }
    this.known++
    return true
  }

  /** Remembers that it was refused. */
  add(q: Question, tuple: Tuple, generation: number): void {
    const rows = this.#rows
    const at = this.#home(q, tuple)
    rows[at] = generation
    rows[at + 1] = tuple.kind
    rows[at + 2] = tuple.ports
    for (let i = 0; i < 4; i++) {
      rows[at + 4 + i] = q.local[i] as number
      rows[at + 8 + i] = q.remote[i] as number
    }
  }

  #home(q: Question, tuple: Tuple): number {
    let h = Math.imul(tuple.kind ^ 0x5bd1e995, 0x9e3779b1)
    h = Math.imul(h ^ (h >>> 15) ^ tuple.ports, 0x85ebca6b)
    for (let i = 0; i < 4; i++) {
      h = Math.imul(h ^ (h >>> 13) ^ (q.local[i] as number), 0xc2b2ae35)
      h = Math.imul(h ^ (h >>> 16) ^ (q.remote[i] as number), 0x27d4eb2f)
    }
    return ((h ^ (h >>> 15)) & this.#mask) * ROW
  }
}
