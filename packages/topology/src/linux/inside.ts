import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { environment } from './ip.ts'

/* Programs that run inside namespaces: children that end with this process, and at once when the signal says so. */

/** Where this package's own programs are. */
const PROGRAMS = new URL('../../programs/', import.meta.url)

/** The command of one of this package's own programs. */
export function ownProgram(name: string, ...words: (string | number)[]): string[] {
  return [process.execPath, fileURLToPath(new URL(name, PROGRAMS)), ...words.map(String)]
}

/** How a program ended, and what it said. */
export interface Finished {
  readonly code: number | null
  readonly output: string
  /** The last line on standard error. */
  readonly said: string
}

/** A program that runs in a namespace. */
export class Inside {
  readonly finished: Promise<Finished>
  readonly #child: ChildProcessWithoutNullStreams
  #lines: AsyncIterator<string> | undefined

  /** Starts it. Its standard input stays open as long as this process lives. It is in a process group of its own: Ctrl-C is for
   * this process, which ends it by the signal, and not for a check to fail by. */
  constructor(namespace: string, command: readonly string[], signal: AbortSignal) {
    const child = spawn('ip', ['netns', 'exec', namespace, ...command], {
      signal,
      killSignal: 'SIGKILL',
      detached: true,
      env: environment(),
    })
    this.#child = child
    child.stdin.on('error', () => {})
    this.finished = new Promise((resolve) => {
      let output = ''
      let errors = ''
      child.stdout.on('data', (data) => {
        output += data
      })
      child.stderr.on('data', (data) => {
        errors += data
      })
      child.on('error', (error) => {
        errors += error.message
      })
      child.on('close', (code) => {
        resolve({ code, output, said: errors.trim().split('\n').at(-1) ?? '' })
      })
    })
  }

  /** The next line that it says, which is JSON; undefined where it ends first. */
  async next<T>(): Promise<T | undefined> {
    this.#lines ??= createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]()
    const line = await this.#lines.next()
    return line.done === true ? undefined : (JSON.parse(line.value) as T)
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }

  /** How it ended; killed after so many seconds. `late` says that it was. */
  async within(seconds: number): Promise<Finished & { readonly late: boolean }> {
    let late = false
    const timer = setTimeout(() => {
      late = true
      this.kill()
    }, seconds * 1000)
    const end = await this.finished
    clearTimeout(timer)
    return { ...end, late }
  }
}
