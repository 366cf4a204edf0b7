/** Called with a change and what it is about, as it is after the change (before it, where it is gone). It may not
 * change what it watches. */
export type Watcher<Change extends string, Entry> = (change: Change, entry: Entry) => void

/** Is told of an error of somebody else's function. What it throws itself is lost. */
export type ErrorHook = (error: unknown) => void

/** Those who want to be told of changes. One that throws is taken off and counted: its error does not stand in a
 * frame's way, and does not end the process. */
export class Watchers<Change extends string, Entry> {
  /** Is told of the error of a watcher that threw; null: it is only counted. */
  onError: ErrorHook | null = null
  readonly #list: Watcher<Change, Entry>[] = []
  readonly #counters: { watchersLost: number }

  /** @param counters where watchers are counted that were taken off because they threw */
  constructor(counters: { watchersLost: number }) {
    this.#counters = counters
  }

  /** Whether anybody wants to be told: whoever tells makes no entry otherwise. */
  get any(): boolean {
    return this.#list.length > 0
  }

  /** Adds a watcher, until the function that is returned is called. */
  add(watcher: Watcher<Change, Entry>): () => void {
    this.#list.push(watcher)
    return () => this.#remove(watcher)
  }

  tell(change: Change, entry: Entry): void {
    for (const watcher of [...this.#list]) {
      try {
        watcher(change, entry)
      } catch (error) {
        this.#remove(watcher)
        this.#counters.watchersLost++
        report(this.onError, error)
      }
    }
  }

  #remove(watcher: Watcher<Change, Entry>): void {
    const i = this.#list.indexOf(watcher)
    if (i >= 0) this.#list.splice(i, 1)
  }
}

/** Tells a hook, if there is one, of an error; never throws. */
export function report(hook: ErrorHook | null, error: unknown): void {
  try {
    hook?.(error)
  } catch {
    // There is nobody left to tell.
  }
}
