import {
  type Batch,
  DROP_NAMES,
  type Drop,
  dropSentence,
  type Element,
  type Frame,
  type FrameObserver,
  type FrameTrace,
  type Link,
  type LoopObserver,
  Pipeline,
  Port,
} from '@l2l3/switch-core'
import type { Fabric } from '../fabric.ts'
import { type Copy, FollowedRow } from './followed-row.ts'
import { Path, type StepKind, type Trace } from './path.ts'

/*
 * Follows frames through a fabric, from where they come in to where the last of what became of them has gone. It listens in
 * three places, and looks at the bytes whenever it hears something:
 *
 *     loop.observer   received, delivering, processed      where frames are, and that an element has done with them
 *     pool.observer   copied, dropped, freed               what becomes of rows
 *     pool.trace      note, derived                        what elements say
 *
 * A frame is a row, of which there may be several holders, each a branch of its path: `FollowedRow` keeps them apart.
 * How many holders an element has left behind shows in the row's count before and after it worked: none - it ended, or was
 * copied by who needed one of its own, and the copy is the branch now; one - it is on its way, or waits inside; more - it
 * was shared. A port that hands rows to somebody outside (a memory port that is read by the program) keeps them in its own
 * name: those have left.
 */

/** Steps of a trace that are kept, unless said otherwise: a flood in a looped topology has no end. */
export const STEPS = 512

/** Whom traces are for. */
export interface Follow {
  /** Whether a frame that has come in by the port with this label is to be followed; called for every frame that comes in
   * and is not being followed, whoever else wants it. `bytes` are true for the moment only. */
  wants(bytes: Uint8Array, label: string): boolean
  /** Is given a trace when it has ended, and what there is of it when listening ends. */
  done(trace: Trace): void
}

/** A trace that goes on. */
interface Run {
  readonly path: Path
  /** Whom it is for: all who wanted the frame when it came in. */
  readonly follows: Set<Follow>
  readonly rows: Set<number>
}

type Row = FollowedRow<Run>

/** Wherever it is. */
const ANYWHERE = (): boolean => false

/** Listens to a fabric for all who want traces of it. */
class Follower implements LoopObserver, FrameObserver, FrameTrace {
  readonly #fabric: Fabric
  readonly #follows: Set<Follow> = new Set()
  readonly #rows: Map<number, Row> = new Map()
  readonly #runs: Set<Run> = new Set()
  readonly #labels: Map<Port, string>
  readonly #loopBefore: LoopObserver | null
  readonly #poolBefore: FrameObserver | null
  #number = 0
  /** Whether somebody is at work on a batch, and the port that is sending, if it is one. */
  #busy = false
  #port: Port | null = null
  /** Rows at work. */
  #work: number[] = []

  constructor(fabric: Fabric) {
    this.#fabric = fabric
    this.#labels = new Map()
    const { loop, pool } = fabric.ground
    this.#loopBefore = loop.observer
    this.#poolBefore = pool.observer
    loop.observer = this
    pool.observer = this
    pool.trace = this
  }

  get idle(): boolean {
    return this.#follows.size === 0
  }

  add(follow: Follow): void {
    this.#follows.add(follow)
  }

  /** Gives somebody what there is, and goes on for the others. */
  remove(follow: Follow): void {
    this.#follows.delete(follow)
    for (const run of this.#runs) this.#leaveOff(run, follow)
  }

  /** The same of the traces in which nothing has happened since a moment of the clock. */
  giveUp(follow: Follow, since: number): void {
    for (const run of this.#runs) if (run.path.last < since) this.#leaveOff(run, follow)
  }

  #leaveOff(run: Run, follow: Follow): void {
    if (!run.follows.has(follow)) return
    if (run.follows.size === 1) this.#end(run, 'held')
    else {
      run.follows.delete(follow)
      follow.done(run.path.trace('held'))
    }
  }

  stop(): void {
    const { loop, pool } = this.#fabric.ground
    if (loop.observer === this) loop.observer = this.#loopBefore
    if (pool.observer === this) pool.observer = this.#poolBefore
    if (pool.trace === this) pool.trace = null
  }

  /* What the loop says. */

  received(port: Port, element: Element, batch: Batch): void {
    this.#loopBefore?.received?.(port, element, batch)
    this.#port = null
    this.#busy = true
    const label = this.#label(port)
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      let row = this.#rows.get(f)
      if (row === undefined) {
        const follows = this.#wanted(this.#fabric.ground.pool.view(f), label)
        if (follows === null) continue
        row = this.#begin(f, follows, label)
      } else {
        this.#give(f, row, port)
        row.node = nodeOf(label)
        row.label = label
      }
      this.#step(f, row, 'enter', label, '', '')
    }
  }

  delivering(link: Link, batch: Batch): void {
    this.#loopBefore?.delivering?.(link, batch)
    const port = portBehind(link.target)
    this.#port = port
    this.#busy = true
    if (this.#rows.size === 0) return
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      const row = this.#rows.get(f)
      if (row === undefined) continue
      this.#give(f, row)
      if (link.target !== port) this.#step(f, row, 'link', link.name, '', '')
    }
  }

  processed(): void {
    this.#loopBefore?.processed?.()
    const port = this.#port
    // Rows are added while this runs: those that were copied of the ones at work.
    for (let i = 0; i < this.#work.length; i++) {
      const f = this.#work[i] as Frame
      const row = this.#rows.get(f)
      if (row !== undefined && row.current >= 0) this.#settle(f, row, port)
    }
    this.#work = []
    this.#port = null
    this.#busy = false
    for (const run of this.#runs) this.#maybeDone(run)
  }

  /** An element has done with a row: counts who holds it now. */
  #settle(f: Frame, row: Row, port: Port | null): void {
    const n = (this.#fabric.ground.pool.refs[f] as number) - (row.before - row.given)
    const { current, passed } = row
    if (n <= 0) this.#gone(f, row)
    else if (port !== null && row.dropped < row.given) this.#leave(f, row, port)
    row.current = -1
    row.copies = []
    if (n > 0 && (port === null || this.#fabric.cables.has(port))) {
      const others = port === null ? [] : passed.slice(1)
      row.wait(port === null ? current : (passed[0] ?? current), n - others.length, port)
      for (const one of others) row.wait(one, 1, port)
    } else if (n <= 0 && !row.held) this.#forget(f)
  }

  /** The holder at work has let go of a row: it was dropped, or goes on in a copy, or ended in several, or has left. */
  #gone(f: Frame, row: Row): void {
    if (row.dropped > 0 && row.passed.length === 0) return
    const [copy] = row.copies
    if (copy !== undefined && row.copies.length === 1 && !copy.explained) this.#moved(copy, row)
    else if (row.copies.length === 0 && this.#port !== null) this.#leave(f, row, this.#port)
  }

  /** A row goes on in a copy: the copy is the branch. */
  #moved(copy: Copy, { run, current }: Row): void {
    run.path.fold(copy.branch, current)
    this.#rows.get(copy.row)?.rename(copy.branch, current)
  }

  #leave(f: Frame, row: Row, port: Port): void {
    const far = this.#fabric.cables.get(port)
    const why = far === undefined ? '' : `by cable to ${this.#label(far)}`
    for (const branch of row.passed) this.#step(f, row, 'leave', this.#label(port), '', why, undefined, branch)
  }

  /* What the pool says. */

  copied(from: Frame, to: Frame): void {
    this.#poolBefore?.copied?.(from, to)
    this.#forget(to)
    const row = this.#rows.get(from)
    if (row === undefined) return
    if (!this.#busy) {
      this.#add(to, row.run, row.node, row.label, 0).copyOf(row)
      return
    }
    this.#atWork(from, row)
    const parent = row.branch
    const branch = row.run.path.branch(parent)
    const made = this.#add(to, row.run, row.node, row.label, branch)
    row.copies.push({ row: to, branch, explained: false })
    this.#step(to, made, 'copy', row.label, '', '', parent)
  }

  dropped(f: Frame, why: Drop): void {
    this.#poolBefore?.dropped?.(f, why)
    const row = this.#rows.get(f)
    if (row === undefined) return
    this.#atWork(f, row)
    const branch = row.current < 0 ? row.branch : (row.passed[0] ?? row.branch)
    this.#step(f, row, 'drop', row.label, DROP_NAMES[why] as string, dropSentence(why), undefined, branch)
    row.dropped++
    if (row.current < 0) row.next(ANYWHERE)
  }

  freed(f: Frame): void {
    this.#poolBefore?.freed?.(f)
    const row = this.#rows.get(f)
    if (row === undefined) return
    if (row.current >= 0) this.#gone(f, row)
    this.#forget(f)
    if (!this.#busy) this.#maybeDone(row.run)
  }

  /* What elements say. */

  follows(f: Frame): boolean {
    return this.#rows.has(f)
  }

  note(f: Frame, by: string, why: string): void {
    const row = this.#rows.get(f)
    if (row === undefined) return
    this.#atWork(f, row)
    this.#step(f, row, 'note', row.label, by, why)
  }

  derived(from: Frame, to: Frame, by: string, why: string): void {
    const row = this.#rows.get(from)
    if (row === undefined) return
    // Fragments and segments are told of first as copies, then for what they are.
    const copy = row.copies.find((one) => one.row === to)
    if (copy !== undefined && this.#rows.get(to)?.run === row.run) {
      copy.explained = true
      row.run.path.explain(copy.branch, by, why)
      return
    }
    this.#forget(to)
    const made = this.#add(to, row.run, row.node, row.label, row.run.path.branch())
    this.#step(to, made, 'derive', row.label, by, why, row.branch)
  }

  lost(f: Frame, port: Port): void {
    if (this.#rows.has(f)) return
    const label = this.#label(port)
    const follows = this.#wanted(this.#fabric.ground.pool.view(f), label)
    if (follows !== null) this.#step(f, this.#begin(f, follows, label), 'enter', label, '', '')
  }

  /* Rows. */

  #wanted(bytes: Uint8Array, label: string): Set<Follow> | null {
    let all: Set<Follow> | null = null
    for (const follow of this.#follows) {
      if (!follow.wants(bytes, label)) continue
      all ??= new Set()
      all.add(follow)
    }
    return all
  }

  #begin(f: Frame, follows: Set<Follow>, label: string): Row {
    const { clock } = this.#fabric.ground
    const path = new Path(++this.#number, label, this.#bytes(f), clock.epoch, clock.now, STEPS)
    const run: Run = { path, follows, rows: new Set() }
    this.#runs.add(run)
    return this.#add(f, run, nodeOf(label), label, 0)
  }

  /** Follows a row; one that is made while somebody is at work is at work as well. */
  #add(f: Frame, run: Run, node: string, label: string, branch: number): Row {
    const row: Row = new FollowedRow(run, node, label, branch)
    this.#rows.set(f, row)
    run.rows.add(f)
    this.#atWork(f, row)
    return row
  }

  /** Somebody does something to a row that waited inside an element: one of its holders has it. */
  #atWork(f: Frame, row: Row): void {
    if (this.#busy && row.current < 0) this.#give(f, row)
  }

  /** An element gets a row from the first in line; from the first of those who have come over the cable of `port`, if it was that. */
  #give(f: Frame, row: Row, port: Port | null = null): void {
    const { cables, ground } = this.#fabric
    const { branch, split } = row.next(port === null ? ANYWHERE : (from) => cables.get(from) === port)
    const own = split ? row.run.path.branch(branch) : branch
    if (row.current >= 0) {
      // Twice in a batch: a frame and its mirrored copy, say, of which each leaves by itself. Inside nodes they stay together.
      if (this.#port !== null) {
        row.also.push(own)
        if (split) this.#step(f, row, 'copy', row.label, '', '', branch, own)
      }
      row.given++
      return
    }
    row.current = own
    if (split) this.#step(f, row, 'copy', row.label, '', '', branch)
    row.before = ground.pool.refs[f] as number
    row.given = 1
    row.also = []
    row.dropped = 0
    row.copies = []
    this.#work.push(f)
  }

  /** A row is another frame's from now on. */
  #forget(f: number): void {
    const row = this.#rows.get(f)
    if (row === undefined) return
    this.#rows.delete(f)
    row.run.rows.delete(f)
  }

  #step(
    f: Frame,
    row: Row,
    kind: StepKind,
    where: string,
    by: string,
    why: string,
    from?: number,
    branch: number = row.branch,
  ): void {
    const { node, run } = row
    run.path.add({ kind, branch, node, where, by, why }, this.#bytes(f), this.#fabric.ground.clock.now, from)
  }

  #maybeDone(run: Run): void {
    if (run.path.cut) {
      this.#end(run, 'done')
      return
    }
    for (const f of run.rows) {
      const row = this.#rows.get(f)
      if (row?.held) return
    }
    this.#end(run, 'done')
  }

  #end(run: Run, how: 'done' | 'held'): void {
    if (!this.#runs.delete(run)) return
    for (const f of run.rows) this.#rows.delete(f)
    const trace = run.path.trace(how)
    for (const follow of run.follows) follow.done(trace)
  }

  #bytes(f: Frame): Uint8Array {
    return new Uint8Array(this.#fabric.ground.pool.view(f))
  }

  #label(port: Port): string {
    const known = this.#labels.get(port)
    if (known !== undefined) return known
    // Ports come and go while it runs.
    this.#labels.clear()
    for (const [label, one] of this.#fabric.ports) this.#labels.set(one, label)
    return this.#labels.get(port) ?? port.name
  }
}

/** The port that a link leads to, at once or behind elements in a row. */
function portBehind(target: Element): Port | null {
  if (target instanceof Port) return target
  const last = target instanceof Pipeline ? target.elements.at(-1) : undefined
  return last instanceof Port ? last : null
}

function nodeOf(label: string): string {
  const slash = label.indexOf('/')
  return slash < 0 ? label : label.slice(0, slash)
}

/** One for each fabric that is listened to. */
const followers: WeakMap<Fabric, Follower> = new WeakMap()

/** Frames that are being followed for somebody. */
export interface Following {
  /** Ends the traces in which nothing has happened since a moment of the clock, in nanoseconds. */
  giveUp(since: number): void
  /** Stops following, and ends the traces that go on. May be called again. */
  stop(): void
}

/** Has frames of a fabric followed. Several may have it at a time; each gets the traces of the frames that it wants. */
export function followFrames(fabric: Fabric, follow: Follow): Following {
  const follower = followers.get(fabric) ?? new Follower(fabric)
  followers.set(fabric, follower)
  follower.add(follow)
  return {
    giveUp: (since) => follower.giveUp(follow, since),
    stop() {
      follower.remove(follow)
      if (!follower.idle) return
      follower.stop()
      if (followers.get(fabric) === follower) followers.delete(fabric)
    },
  }
}
