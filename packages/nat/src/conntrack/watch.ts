import { checkRange } from '@l2l3/switch-core'
import type { FlowInfo } from './listing.ts'

/*
 * Watching flows come, change and go.
 *
 * The data path only notes events, and only while somebody watches; they are told between packets, when the loop has its tick. At
 * most so many wait, and what is more is counted and not told: a flood of connections costs the watcher events and nobody memory.
 */

/** What became of a flow: it was made, its state changed (or it was answered, or assured), it ended. */
export type FlowChange = 'new' | 'update' | 'destroy'

/** Called with a change and the flow as it then was. */
export type FlowWatcher = (change: FlowChange, flow: FlowInfo) => void

interface Event {
  readonly change: FlowChange
  readonly flow: FlowInfo
}

/** Settings of `FlowEvents`. */
export interface FlowEventsOptions {
  /** Events that wait to be told, at most; 1 to 1,048,576. Default 4,096. */
  maxEvents?: number
}

/** Keeps events until they are told. */
export class FlowEvents {
  readonly max: number
  /** Events that found no room. */
  lost = 0
  /** Watchers that were taken off because they threw. */
  watchersLost = 0
  #watchers: FlowWatcher[] = []
  #events: Event[] = []

  constructor(options: FlowEventsOptions = {}) {
    this.max = checkRange('maxEvents', options.maxEvents ?? 4096, 1, 1 << 20)
  }

  /** Whether anybody watches: asked before anything is made for an event. */
  get wanted(): boolean {
    return this.#watchers.length > 0
  }

  /** Adds a watcher; the function that comes back takes it off. */
  watch(watcher: FlowWatcher): () => void {
    this.#watchers = [...this.#watchers, watcher]
    return () => {
      this.#watchers = this.#watchers.filter((w) => w !== watcher)
    }
  }

  /** Notes an event. */
  note(change: FlowChange, flow: FlowInfo): void {
    if (this.#events.length < this.max) this.#events.push({ change, flow })
    else this.lost++
  }

  /** Tells what waits. */
  tell(): void {
    if (this.#events.length === 0) return
    const events = this.#events
    this.#events = []
    for (const { change, flow } of events) {
      for (const watcher of this.#watchers) {
        try {
          watcher(change, flow)
        } catch {
          this.#watchers = this.#watchers.filter((w) => w !== watcher)
          this.watchersLost++
        }
      }
    }
  }
}
