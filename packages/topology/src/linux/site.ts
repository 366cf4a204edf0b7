import { existsSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { makeNetns } from '@l2l3/tap-io'
import { type MadeNamespace, type MadeProcess, RunDirectory, startTime } from '../run-directory.ts'
import { endProcesses, namespaceInode, removeNamespaces, removeRemains } from './ip.ts'

/*
 * What a topology has made on this machine: namespaces, processes, and whatever else has to be closed. It is written down
 * before it is made (`RunDirectory`), and removed on `remove`, when the process exits for whatever reason, or else by the
 * next process that builds the same topology, or by `l2l3 down`. What was not made here is not touched: a namespace of
 * the same name that exists already is an error.
 */

/** What was made for one topology. */
export class Site {
  readonly directory: RunDirectory
  #namespaces: readonly MadeNamespace[] = []
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
   * Makes namespaces, all noted before the first exists. Between two of them, frames that this process moves pass.
   *
   * @throws Error where one exists already; none is made then
   */
  async add(names: readonly string[]): Promise<void> {
    if (names.length === 0) return
    this.#intend(names)
    try {
      for (const name of names) {
        await setImmediate()
        if (this.#removed) throw new Error('the topology is being removed')
        makeNetns(name)
      }
    } finally {
      if (!this.#removed) this.#found(names)
    }
  }

  /** Removes namespaces that were made: what is in them goes. Those that are not there any more are no error. */
  async take(names: readonly string[]): Promise<void> {
    const gone = new Set(names)
    const made = this.#namespaces.filter((one) => gone.has(one.name))
    if (made.length === 0 || this.#removed) return
    const left = new Set(removeNamespaces(made))
    this.#namespaces = this.#namespaces.filter((one) => !gone.has(one.name) || left.has(one))
    this.#note()
    if (left.size > 0)
      throw new Error(`network namespaces could not be removed: ${[...left].map((one) => one.name).join(', ')}`)
  }

  /** Notes what is about to be made. */
  #intend(names: readonly string[]): void {
    for (const name of names) {
      if (existsSync(`/run/netns/${name}`)) {
        throw new Error(
          `network namespace ${name} exists, and was not made by this topology: remove it (ip netns del ${name})`,
        )
      }
    }
    this.#namespaces = [...this.#namespaces, ...names.map((name) => ({ name, inode: null }))]
    this.#note()
  }

  /** Notes what was made of it, and forgets what was not. */
  #found(names: readonly string[]): void {
    const made = new Set(names)
    this.#namespaces = this.#namespaces.flatMap((one) => {
      if (!made.has(one.name)) return one
      const inode = namespaceInode(one.name)
      return inode === null ? [] : { name: one.name, inode }
    })
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
