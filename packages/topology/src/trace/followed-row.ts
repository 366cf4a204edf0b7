import type { Port } from '@l2l3/switch-core'

/*
 * A row that is followed, and who holds it.
 *
 * A row may have several holders: a flooded frame waits in several links at once. Nobody says which holder is which, and it does
 * not matter as long as they are alike; they wait in line, and each that is delivered takes the first place in it, and goes
 * its own way from there: a branch.
 *
 *     row 7:  line [branch 0 x 3]  -- delivered to blue -->  line [branch 0 x 2],  at work: branch 1
 *
 * Those on their way over cables are told apart by the port that they come in by: a cable may take its time, and another
 * one be faster.
 */

/** Holders of a row that are alike, and wait. */
interface Waiting {
  readonly branch: number
  /** The port that they have left by, on the way to the far end of its cable; null inside a node. */
  readonly port: Port | null
  n: number
  /** There were several: each goes its own way. */
  readonly split: boolean
}

/** A row made of another. */
export interface Copy {
  readonly row: number
  readonly branch: number
  /** Somebody has said what it is: a fragment, a segment. */
  explained: boolean
}

/** A row that is followed. */
export class FollowedRow<Run> {
  readonly run: Run
  node: string
  /** The port that it came in by. */
  label: string
  /** The branch that an element is at work on; -1 between. */
  current = -1
  /** Holders when the element got it, how often it was in the batch, and the branches of those behind the first. */
  before = 0
  given = 0
  also: number[] = []
  /** How often the element has dropped it. */
  dropped = 0
  /** What was copied of it while the element had it. */
  copies: Copy[] = []
  #line: Waiting[]
  /** Of a row that was copied while nobody was at work, as a cable with delay does: those who wait for the row that it was copied
   * of, of whom it is one. Where it comes in tells which. */
  #oneOf: Waiting[] | null = null

  constructor(run: Run, node: string, label: string, branch: number) {
    this.run = run
    this.node = node
    this.label = label
    this.#line = [{ branch, port: null, n: 1, split: false }]
  }

  /** Whether somebody holds it who will go on with it. */
  get held(): boolean {
    return this.current >= 0 || this.#line.length > 0
  }

  /** The branch that is at work, or else the first in line. */
  get branch(): number {
    if (this.#oneOf !== null) this.#choose(() => false)
    return this.current >= 0 ? this.current : (this.#line[0]?.branch ?? 0)
  }

  /** The branches that the element got and has not dropped. */
  get passed(): number[] {
    return [this.current, ...this.also].slice(this.dropped)
  }

  /** Adds holders to the line. */
  wait(branch: number, n: number, port: Port | null): void {
    this.#line.push({ branch, port, n, split: n > 1 })
  }

  /** Says that it is a copy of another row, for one of those who wait for that. */
  copyOf(other: FollowedRow<Run>): void {
    this.#oneOf = other.#oneOf ?? other.#line
  }

  /** Takes the first of those who wait out of the line - of those `here`, where there are such: its branch, and whether that is
   * shared with others. */
  next(here: (port: Port) => boolean): { branch: number; split: boolean } {
    if (this.#oneOf !== null) this.#choose(here)
    const i = indexOf(this.#line, here)
    const one = this.#line[i]
    if (one === undefined) return { branch: 0, split: false }
    if (--one.n <= 0) this.#line.splice(i, 1)
    return { branch: one.branch, split: one.split }
  }

  /** A branch is another one of those before. */
  rename(branch: number, to: number): void {
    if (this.current === branch) this.current = to
    for (const [i, one] of this.#line.entries()) if (one.branch === branch) this.#line[i] = { ...one, branch: to }
  }

  #choose(here: (port: Port) => boolean): void {
    const others = this.#oneOf ?? []
    const i = indexOf(others, here)
    const one = others[i]
    this.#oneOf = null
    if (one === undefined) return
    this.#line = [{ ...one, n: 1 }]
    if (--one.n <= 0) others.splice(i, 1)
  }
}

function indexOf(line: readonly Waiting[], here: (port: Port) => boolean): number {
  return Math.max(
    0,
    line.findIndex((one) => one.port !== null && here(one.port)),
  )
}
