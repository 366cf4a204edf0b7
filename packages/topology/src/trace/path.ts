import { frameText } from '../frame-text.ts'
import { type FieldChange, fieldChanges } from './field-changes.ts'
import { applyDiff, diff, fromHex, type Splice, toHex } from './splice.ts'

/*
 * The path of a frame: a list of steps in the order in which they happened, as plain data.
 *
 *     branch 0   enter n1/red ── note (switch: flood) ─┬─ ...
 *     branch 1                                         ├─ copy ── leave n1/blue
 *     branch 2                                         └─ copy ── note (tag pushed) ── leave n1/uplink ── enter n2/uplink ── ...
 *
 * Every step has what changed since the last one of its branch; a copy begins with the bytes of the branch that it comes
 * from, and what was made because of the frame - an answer, an error, a question - with nothing. So the frame that came in
 * and the steps give the bytes at every step: `bytesAt`.
 */

/**
 * What happened:
 * - `enter`: it came in by a port
 * - `note`: an element has done something to it, or decided about it
 * - `link`: it went from one part of a node to another
 * - `leave`: it went out by a port
 * - `copy`: one of several holders goes its own way from here
 * - `derive`: another frame was made because of it
 * - `drop`: it ended here
 */
export type StepKind = 'enter' | 'note' | 'link' | 'leave' | 'copy' | 'derive' | 'drop'

/** A step of a frame's path. */
export interface TraceStep {
  readonly kind: StepKind
  /** Branch of the path: 0 for the frame itself, others for copies and for what was made because of it. */
  readonly branch: number
  /** Of `copy` and `derive`: the branch that it comes from. */
  readonly from?: number
  /** The node's name. */
  readonly node: string
  /** The label of the port that it came in or went out by; the link's name; else the port it came in by last. */
  readonly where: string
  /** What speaks: "switch", "router", "outbound NAT"; of a drop, the reason's name. */
  readonly by: string
  /** Why, in words. */
  readonly why: string
  /** Nanoseconds since the frame came in. */
  readonly time: number
  /** How long the frame is now. */
  readonly length: number
  /** What changed since the branch's last step. */
  readonly diff: readonly Splice[]
  /** The same by fields. */
  readonly fields: readonly FieldChange[]
}

/** The path of one frame. */
export interface Trace {
  /** Counts the frames that were followed, from 1, in the order in which they came in. */
  readonly number: number
  /** Where it came in: a port's label. */
  readonly at: string
  /** The frame in words: "IPv4 10.0.0.1 -> 10.0.0.2, ICMP echo request". */
  readonly what: string
  /** When it came in: nanoseconds since 1970, in decimal. */
  readonly time: string
  /** Its bytes when it came in, in hex. */
  readonly input: string
  readonly steps: readonly TraceStep[]
  /** How it ended: `done` when all of it has left or was dropped, `held` where some of it still waits in a node, `cut` where
   * there were more steps than are kept. */
  readonly end: 'done' | 'held' | 'cut'
}

/** A trace while it is made. */
export class Path {
  readonly #number: number
  readonly #at: string
  readonly #epoch: bigint
  readonly #start: number
  readonly #most: number
  readonly #input: Uint8Array
  readonly #steps: TraceStep[] = []
  /** The bytes as they were last seen, by branch. */
  readonly #last: Map<number, Uint8Array> = new Map()
  #branches = 1
  #cut = false
  #lastAt: number

  /** @param most steps that are kept */
  constructor(number: number, at: string, input: Uint8Array, epoch: bigint, now: number, most: number) {
    this.#number = number
    this.#at = at
    this.#input = input
    this.#epoch = epoch
    this.#start = now
    this.#most = most
    this.#last.set(0, input)
    this.#lastAt = now
  }

  /** Whether no more steps are kept. */
  get cut(): boolean {
    return this.#cut
  }

  /** When the last step was, in nanoseconds of the clock. */
  get last(): number {
    return this.#lastAt
  }

  /** Adds a step; `bytes` is a copy. */
  add(
    step: Pick<TraceStep, 'kind' | 'branch' | 'node' | 'where' | 'by' | 'why'>,
    bytes: Uint8Array,
    now: number,
    from?: number,
  ): void {
    if (this.#steps.length >= this.#most) {
      this.#cut = true
      return
    }
    this.#lastAt = now
    const before = this.#last.get(step.branch) ?? new Uint8Array(0)
    const splices = diff(before, bytes)
    this.#last.set(step.branch, bytes)
    this.#steps.push({
      kind: step.kind,
      branch: step.branch,
      ...(from === undefined ? {} : { from }),
      node: step.node,
      where: step.where,
      by: step.by,
      why: step.why,
      time: now - this.#start,
      length: bytes.length,
      diff: splices,
      fields: fieldChanges(before, bytes, splices),
    })
  }

  /** Begins a branch; one that copies another begins with its bytes. */
  branch(copyOf?: number): number {
    const branch = this.#branches++
    const bytes = copyOf === undefined ? undefined : this.#last.get(copyOf)
    if (bytes !== undefined) this.#last.set(branch, bytes)
    return branch
  }

  /** Says of a copy what it is, where that was not known when it was made. */
  explain(branch: number, by: string, why: string): void {
    const i = this.#steps.findIndex((step) => step.branch === branch && step.kind === 'copy')
    const step = this.#steps[i]
    if (step !== undefined) this.#steps[i] = { ...step, by, why }
  }

  /** Takes back that a branch is a copy: it is the branch that it was copied from, in another row. */
  fold(branch: number, into: number): void {
    const i = this.#steps.findIndex((step) => step.branch === branch && step.kind === 'copy')
    if (i < 0) return
    const { from: _, ...copy } = this.#steps[i] as TraceStep
    // What it was copied with differs from what was last told only where an element had changed it before.
    if (copy.diff.length > 0) this.#steps[i] = { ...copy, kind: 'note', branch: into }
    else this.#steps.splice(i, 1)
    for (let j = i; j < this.#steps.length; j++) {
      const step = this.#steps[j] as TraceStep
      const from = step.from === branch ? { from: into } : {}
      this.#steps[j] = { ...step, ...from, branch: step.branch === branch ? into : step.branch }
    }
    const last = this.#last.get(branch)
    if (last !== undefined) this.#last.set(into, last)
  }

  /** The steps, with branches numbered as they appear. */
  #numbered(): TraceStep[] {
    const numbers = new Map<number, number>([[0, 0]])
    const number = (branch: number): number => {
      const known = numbers.get(branch) ?? numbers.size
      numbers.set(branch, known)
      return known
    }
    return this.#steps.map((step) => {
      const from = step.from === undefined ? {} : { from: number(step.from) }
      return { ...step, ...from, branch: number(step.branch) }
    })
  }

  /** The path as it is by now. */
  trace(end: 'done' | 'held'): Trace {
    return {
      number: this.#number,
      at: this.#at,
      what: frameText(this.#input),
      time: String(this.#epoch + BigInt(Math.round(this.#start))),
      input: toHex(this.#input),
      steps: this.#numbered(),
      end: this.#cut ? 'cut' : end,
    }
  }
}

/**
 * The bytes after a step: what comes of the frame that came in by doing what the steps of its branch say.
 *
 * @throws RangeError where the steps contradict each other, or there is no such step
 */
export function bytesAt(trace: Pick<Trace, 'input' | 'steps'>, index: number): Uint8Array {
  const last = new Map<number, Uint8Array>([[0, fromHex(trace.input)]])
  const nothing = new Uint8Array(0)
  for (let i = 0; i <= index; i++) {
    const step = trace.steps[i]
    if (step === undefined) throw new RangeError(`there is no step ${index} of ${trace.steps.length}`)
    const before = step.kind === 'copy' ? last.get(step.from ?? 0) : last.get(step.branch)
    last.set(step.branch, applyDiff(before ?? nothing, step.diff))
  }
  return last.get(trace.steps[index]?.branch ?? 0) ?? nothing
}

/** What left a topology by its ports at the end of each branch, in that order: branches that end otherwise - dropped, held - are not among
 * them. */
export function outputs(trace: Trace): { label: string; bytes: Uint8Array; branch: number }[] {
  const ends = new Map<number, number>()
  trace.steps.forEach((step, i) => {
    ends.set(step.branch, i)
  })
  return Array.from(ends.values())
    .sort((a, b) => a - b)
    .filter((i) => trace.steps[i]?.kind === 'leave')
    .map((i) => {
      const { where, branch } = trace.steps[i] as TraceStep
      return { label: where, bytes: bytesAt(trace, i), branch }
    })
}
