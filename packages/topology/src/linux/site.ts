import { existsSync } from 'node:fs'
import { type MadeNamespace, type MadeProcess, RunDirectory, startTime } from '../run-directory.ts'
import { endProcesses, ipBatch, namespaceInode, removeNamespaces, removeRemains } from './ip.ts'

/*
 * What a topology has made on this machine: namespaces, processes, and whatever else has to be closed. It is written down
 * before it is made (`RunDirectory`), and removed on `remove`, when the process exits for whatever reason, or else by the
 * next process that builds the same topology, or by `l2l3 down`. What was not made here is not touched: a namespace of
 * the same name that exists already is an error.
 */

/** What was made for one topology. */
export class Site {
  readonly directory: RunDirectory
  readonly #namespaces: MadeNamespace[] = []
  readonly #processes: MadeProcess[] = []
  readonly #closers: Set<() => void> = new Set()
  #removed = false

  private constructor(directory: RunDirectory) {
    this.directory = directory
    process.on('exit', this.#exiting)
  }

  /**
   * Claims the topology's name, and removes what a dead process has left under it.
   *
   * @throws AlreadyRunningError where a living process has it
   */
  static claim(name: string, onProgress: (text: string) => void): Site {
    return new Site(
      RunDirectory.claim(name, 'linux', (remains) => {
        onProgress(`removing what process ${remains.pid} left behind`)
        removeRemains(remains)
      }),
    )
  }

  /**
   * Makes namespaces, each noted before it exists.
   *
   * @throws Error where one exists already; none is made then
   */
  add(names: readonly string[]): void {
    for (const name of names) {
      if (existsSync(`/run/netns/${name}`)) {
        throw new Error(
          `network namespace ${name} exists, and was not made by this topology: remove it (ip netns del ${name})`,
        )
      }
    }
    const made = this.#namespaces
    made.push(...names.map((name) => ({ name, inode: null })))
    this.#note()
    ipBatch(names.map((name) => `netns add ${name}`))
    for (const [i, { name }] of made.entries()) {
      if (names.includes(name)) made[i] = { name, inode: namespaceInode(name) }
    }
    this.#note()
  }

  /** Removes some of the namespaces. */
  take(names: readonly string[]): void {
    const [gone, rest] = [true, false].map((want) => this.#namespaces.filter((n) => names.includes(n.name) === want))
    const left = removeNamespaces(gone as MadeNamespace[])
    this.#namespaces.splice(0, this.#namespaces.length, ...(rest as MadeNamespace[]), ...left)
    this.#note()
  }

  /** Notes a process that was started, which ends with this one. */
  started(pid: number): void {
    this.#processes.push({ pid, startTime: startTime(pid) ?? '' })
    this.directory.note({ processes: this.#processes })
  }

  /** Has `close` called before the namespaces are removed, unless the function that comes back is called first. */
  closes(close: () => void): () => void {
    this.#closers.add(close)
    return () => this.#closers.delete(close)
  }

  /** Removes all. May be called again. */
  remove(): void {
    if (this.#removed) return
    this.#removed = true
    process.off('exit', this.#exiting)
    for (const close of this.#closers) close()
    endProcesses(this.#processes)
    // What could not be removed stays on record, for the next process that builds this topology.
    if (removeNamespaces(this.#namespaces).length === 0) this.directory.release()
  }

  #note(): void {
    this.directory.note({ namespaces: this.#namespaces })
  }

  readonly #exiting = (): void => this.remove()
}
