import type { ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { type MadeNamespace, type MadeProcess, RunDirectory, startTime } from '../run-directory.ts'
import { endProcesses, ipBatch, ipLater, isThere, namespaceInode, removeNamespaces, removeRemains } from './ip.ts'

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
  readonly #busy: Set<ChildProcess> = new Set()
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
    this.#intend(names)
    ipBatch(names.map((name) => `netns add ${name}`))
    this.#found(names)
  }

  /** Makes a namespace as `add` does, while this process goes on: frames that it moves do not wait. */
  async addLater(name: string): Promise<void> {
    this.#intend([name])
    const problem = await this.#ip([`netns add ${name}`])
    this.#found([name])
    if (problem !== '') throw new Error(`ip failed: ${problem}`)
  }

  /** Removes a namespace that was made, while this process goes on. */
  async takeLater(name: string): Promise<void> {
    const made = this.#namespaces.find((n) => n.name === name)
    if (made === undefined || !isThere(made)) return
    const problem = await this.#ip([`netns del ${name}`])
    if (isThere(made)) throw new Error(`ip failed: ${problem}`)
    this.#namespaces.splice(this.#namespaces.indexOf(made), 1)
    this.#note()
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
    this.#namespaces.push(...names.map((name) => ({ name, inode: null })))
    this.#note()
  }

  /** Notes what was made of it. */
  #found(names: readonly string[]): void {
    const made = this.#namespaces
    for (const [i, { name }] of made.entries()) {
      if (names.includes(name)) made[i] = { name, inode: namespaceInode(name) }
    }
    this.#note()
  }

  /** Has `ip` do something; gives what it said where it failed. */
  async #ip(lines: readonly string[]): Promise<string> {
    if (this.#removed) throw new Error('the topology is being removed')
    const { child, failed } = ipLater(lines)
    this.#busy.add(child)
    const problem = await failed
    this.#busy.delete(child)
    return problem
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
    // What an `ip` makes that is at work would come after all is removed.
    const busy = [...this.#busy].flatMap(({ pid }) => (pid === undefined ? [] : [pid]))
    for (const pid of busy) process.kill(pid, 'SIGKILL')
    endProcesses([...this.#processes, ...busy.map((pid) => ({ pid, startTime: startTime(pid) ?? '' }))])
    // What could not be removed stays on record, for the next process that builds this topology.
    if (removeNamespaces(this.#namespaces).length === 0) this.directory.release()
  }

  #note(): void {
    this.directory.note({ namespaces: this.#namespaces })
  }

  readonly #exiting = (): void => this.remove()
}
