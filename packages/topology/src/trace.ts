import {
  type Batch,
  DROP_NAMES,
  type Drop,
  dropSentence,
  type Frame,
  type FrameObserver,
  type Link,
  type LoopObserver,
  Port,
} from '@l2l3/switch-core'
import type { Fabric } from './fabric.ts'

/*
 * The path of one frame through a topology, with its bytes wherever it passes: what happened to this frame?
 *
 *     entered at sw1/red -> sw1 decides -> link to sw1/blue -> left at sw1/blue
 *                                      \-> link to sw1/uplink -> cable -> entered at sw2/uplink -> ...
 *
 * The tracer listens at the loop, which sees frames come in and links delivered, and at the pool, which sees copies and
 * drops. It follows rows: a flooded frame is one row on several links, a frame that gets a tag on its way a row of its
 * own. When a row has left by all ports that it went to, or was dropped, it is somebody else's; and one that comes in
 * again other than over a cable is another frame.
 */

/** A place that the frame passed. */
export interface TraceStep {
  readonly kind: 'entered' | 'link' | 'copied' | 'left' | 'dropped'
  /** The port's label, the link's, or why it was dropped. */
  readonly at: string
  /** The frame's bytes there: a copy. */
  readonly bytes: Uint8Array
  /** Branch of the path: 0 for the frame itself, others for copies of it. */
  readonly branch: number
  /** Nanoseconds of the clock. */
  readonly now: number
}

/** Most steps that are kept: a flood in a looped topology has no end. */
const STEPS = 256

/** Follows the first frame that fits. */
export class Tracer {
  readonly steps: TraceStep[] = []
  readonly #fabric: Fabric
  readonly #fits: (bytes: Uint8Array, label: string) => boolean
  readonly #labels: Map<Port, string>
  /** Rows that are followed, and their branches. */
  readonly #rows: Map<number, number> = new Map()
  /** Rows that have left by a cable, and the port where they come in next. */
  readonly #onCable: Map<number, Port> = new Map()
  /** How many holders rows still have of which one has let go. */
  readonly #holders: Map<number, number> = new Map()
  #branches = 0
  #found = false

  /** Starts to listen. Only one tracer can listen to a fabric at a time. */
  constructor(fabric: Fabric, fits: (bytes: Uint8Array, label: string) => boolean = () => true) {
    this.#fabric = fabric
    this.#fits = fits
    this.#labels = new Map(Array.from(fabric.ports, ([label, port]) => [port, label]))
    const { loop, pool } = fabric.ground
    const atLoop: LoopObserver = {
      received: (port, _element, batch) => this.#received(port, batch),
      delivering: (link, batch) => this.#delivering(link, batch),
    }
    const atPool: FrameObserver = {
      dropped: (f, why) => this.#dropped(f, why),
      copied: (from, to) => this.#copied(from, to),
    }
    loop.observer = atLoop
    pool.observer = atPool
  }

  /** Whether a frame was found that fits. */
  get found(): boolean {
    return this.#found
  }

  /** Stops listening. */
  stop(): void {
    this.#fabric.ground.loop.observer = null
    this.#fabric.ground.pool.observer = null
  }

  #received(port: Port, batch: Batch): void {
    const label = this.#labels.get(port) ?? port.name
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      if (!this.#found) {
        if (!this.#fits(this.#fabric.ground.pool.view(f), label)) continue
        this.#found = true
        this.#rows.set(f, 0)
      } else if (this.#onCable.get(f) === port) {
        this.#onCable.delete(f)
        this.#holders.delete(f)
      } else {
        // The row was given back and filled anew: it is another frame.
        this.#forget(f)
        continue
      }
      this.#note('entered', label, f)
    }
  }

  #delivering(link: Link, batch: Batch): void {
    if (this.#rows.size === 0) return
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      if (!this.#rows.has(f)) continue
      const { target } = link
      if (!(target instanceof Port)) {
        this.#note('link', link.name, f)
        continue
      }
      const label = this.#labels.get(target) ?? target.name
      this.#note('link', label, f)
      this.#note('left', label, f)
      const far = this.#fabric.cables.get(target)
      if (far !== undefined) this.#onCable.set(f, far)
      else this.#ended(f)
    }
  }

  #copied(from: Frame, to: Frame): void {
    this.#forget(to)
    if (!this.#rows.has(from)) return
    this.#rows.set(to, ++this.#branches)
    // A cable hands on a row of its own where others hold the frame too.
    const far = this.#onCable.get(from)
    if (far !== undefined) {
      this.#onCable.delete(from)
      this.#onCable.set(to, far)
    }
    this.#note('copied', `branch ${this.#branches}`, to)
    if (far !== undefined) this.#ended(from)
  }

  #dropped(f: Frame, why: Drop): void {
    if (!this.#rows.has(f)) return
    this.#note('dropped', `${DROP_NAMES[why]}: ${dropSentence(why)}`, f)
    this.#ended(f)
  }

  /** One holder of a row lets go of it; after the last, the row is filled anew. */
  #ended(f: Frame): void {
    const left = (this.#holders.get(f) ?? (this.#fabric.ground.pool.refs[f] as number)) - 1
    if (left > 0) this.#holders.set(f, left)
    else this.#forget(f)
  }

  #forget(f: number): void {
    this.#rows.delete(f)
    this.#onCable.delete(f)
    this.#holders.delete(f)
  }

  #note(kind: TraceStep['kind'], at: string, f: Frame): void {
    if (this.steps.length >= STEPS) return
    const { pool, clock } = this.#fabric.ground
    const branch = this.#rows.get(f) ?? 0
    this.steps.push({ kind, at, bytes: pool.copyOut(f), branch, now: clock.now })
  }
}
