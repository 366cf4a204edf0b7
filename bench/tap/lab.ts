/**
 * Namespaces and processes of one run. Whatever way the run ends - done, failed, SIGINT, SIGTERM - both are gone
 * afterwards; what a run that was killed outright has left is removed by the next one.
 *
 * Namespaces are called l2l3-bench-PID-NAME. They have no IPv6, so that nobody speaks unasked while others are measured.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'

const PREFIX = 'l2l3-bench-'
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

export function ip(...args: string[]): string {
  return execFileSync('ip', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

/** SIGKILL ends a stopped process, too; any other signal would wait until it is woken. */
function kill(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.exitCode === null && child.signalCode === null) child.kill(signal)
}

/** Nanoseconds that a thread has run; 0 where it has ended since it was listed. */
function spent(path: string): number {
  try {
    return Number(readFileSync(path, 'utf8').split(' ')[0])
  } catch {
    return 0
  }
}

/** A process of the run. */
export class Program {
  readonly pids: readonly number[]
  readonly #name: string
  readonly #child: ChildProcess
  readonly #ended: Promise<void>
  #said = ''
  #complained = ''
  #heard: () => void = () => {}
  #over = false

  constructor(child: ChildProcess, name: string) {
    this.#child = child
    this.#name = name
    this.pids = [child.pid ?? -1]
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#said += text
      this.#heard()
    })
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#complained += text
    })
    this.#ended = new Promise((resolve) => {
      const end = (): void => {
        this.#over = true
        this.#heard()
        resolve()
      }
      child.on('error', (error) => {
        this.#complained += error.message
        end()
      })
      child.on('close', end)
    })
  }

  /** Waits until the program has said "ready", or something else. */
  async ready(word = 'ready'): Promise<this> {
    while (!this.#said.includes(word)) {
      if (this.#over) throw this.#failure()
      await new Promise<void>((resolve) => {
        this.#heard = resolve
      })
    }
    return this
  }

  /** What it has said until now. */
  get said(): string {
    return this.#said
  }

  /** Sends a signal. */
  signal(signal: NodeJS.Signals): void {
    kill(this.#child, signal)
  }

  /** Waits for the end; gives what was said. */
  async output(): Promise<string> {
    await this.#ended
    if (this.#child.exitCode !== 0) throw this.#failure()
    return this.#said
  }

  /** Waits for the end; gives the JSON of the last line that was said. */
  async result<T>(): Promise<T> {
    const line = (await this.output()).trimEnd().split('\n').at(-1) ?? ''
    if (!line.startsWith('{')) throw this.#failure()
    return JSON.parse(line) as T
  }

  /** Ends a program that runs until told, and gives its result. */
  stop<T>(): Promise<T> {
    this.signal('SIGTERM')
    return this.result<T>()
  }

  /** Closes the program's standard input, which tells a switch to end. */
  async finish<T>(): Promise<T> {
    this.signal('SIGCONT')
    this.#child.stdin?.end()
    return this.result<T>()
  }

  /** CPU time of all its threads until now, in seconds. */
  cpu(): number {
    let ns = 0
    for (const pid of this.pids) {
      for (const task of readdirSync(`/proc/${pid}/task`)) ns += spent(`/proc/${pid}/task/${task}/schedstat`)
    }
    return ns / 1e9
  }

  #failure(): Error {
    const how = this.#child.signalCode ?? `exit status ${this.#child.exitCode}`
    return new Error(`${this.#name}: ${how}\n${this.#complained || this.#said}`)
  }
}

/** Several programs that work together, as one. */
export class Programs {
  readonly pids: readonly number[]
  readonly #all: readonly (Program | Programs)[]

  constructor(all: readonly (Program | Programs)[]) {
    this.#all = all
    this.pids = all.flatMap((p) => p.pids)
  }

  signal(signal: NodeJS.Signals): void {
    for (const p of this.#all) p.signal(signal)
  }

  /** CPU time of all of them until now, in seconds. */
  cpu(): number {
    return this.#all.reduce((sum, p) => sum + p.cpu(), 0)
  }

  /** Ends all of them, and gives what each said last. */
  finish(): Promise<unknown[]> {
    return Promise.all(this.#all.map((p) => p.finish()))
  }
}

/** Where a run makes namespaces and starts programs. */
export class Lab {
  readonly #children: Set<ChildProcess> = new Set()
  readonly #namespaces: Set<string> = new Set()
  readonly #close = (): void => this.close()
  readonly #exit = (_: NodeJS.Signals, number: number): never => process.exit(128 + number)

  constructor() {
    Lab.sweep()
    process.on('exit', this.#close)
    for (const signal of SIGNALS) process.on(signal, this.#exit)
  }

  /** Removes namespaces of runs whose process is no more. */
  static sweep(): void {
    for (const name of existsSync('/run/netns') ? readdirSync('/run/netns') : []) {
      const pid = name.startsWith(PREFIX) ? name.slice(PREFIX.length).split('-')[0] : undefined
      if (pid !== undefined && !existsSync(`/proc/${pid}`)) ip('netns', 'del', name)
    }
  }

  /** Makes a namespace; gives its full name. */
  namespace(name: string): string {
    const full = `${PREFIX}${process.pid}-${name}`
    this.#namespaces.add(full)
    ip('netns', 'add', full)
    const quiet = 'for i in all default; do echo 1 > /proc/sys/net/ipv6/conf/$i/disable_ipv6; done 2> /dev/null'
    ip('netns', 'exec', full, 'sh', '-c', `${quiet}; true`)
    ip('-n', full, 'link', 'set', 'lo', 'up')
    return full
  }

  /** Starts a program, in a namespace unless that is null. */
  start(namespace: string | null, command: string, ...args: string[]): Program {
    const line = namespace === null ? [command, ...args] : ['ip', 'netns', 'exec', namespace, command, ...args]
    const child = spawn(line[0] as string, line.slice(1), { stdio: ['pipe', 'pipe', 'pipe'] })
    child.stdin?.on('error', () => {}) // it may end before we do
    this.#children.add(child)
    child.on('close', () => this.#children.delete(child))
    return new Program(child, [command, ...args].join(' '))
  }

  /** Kills what runs and removes the namespaces. */
  close(): void {
    process.off('exit', this.#close)
    for (const signal of SIGNALS) process.off(signal, this.#exit)
    for (const child of this.#children) kill(child, 'SIGKILL')
    this.#children.clear()
    for (const name of this.#namespaces) {
      try {
        ip('netns', 'del', name)
      } catch {
        // Never made: the run ended before.
      }
    }
    this.#namespaces.clear()
  }
}
