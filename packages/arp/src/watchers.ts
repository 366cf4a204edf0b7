/** Called with a change and what it is about, as it is after the change (before it, where it is gone). It may not
 * change what it watches. */
export type Watcher<Change extends string, Entry> = (change: Change, entry: Entry) => void

/** Those who want to be told of changes. One that throws is taken off, and its error surfaces as an unhandled
 * rejection, not in a frame's way. */
export class Watchers<Change extends string, Entry> {
  readonly #list: Watcher<Change, Entry>[] = []

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
        void Promise.reject(error)
      }
    }
  }

  #remove(watcher: Watcher<Change, Entry>): void {
    const i = this.#list.indexOf(watcher)
    if (i >= 0) this.#list.splice(i, 1)
  }
}
