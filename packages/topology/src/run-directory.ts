import {
  accessSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/*
 * Who runs a topology, and what it has made on this machine: a directory for each topology that runs, which only its
 * owner may enter.
 *
 *     /run/l2l3/two-namespaces/state.json      pid, its start time, namespaces made
 *                             /control.sock    `l2l3 show` asks here
 *
 * The directory is claimed by renaming one that is already filled to its name, which succeeds for one process only. A
 * process that dies without cleaning up leaves it behind; the next one sees by pid and start time that the owner is
 * dead, takes the directory away under another name (again a rename that only one can win), and removes what it lists.
 */

/** A network namespace that was made, or was about to be made. */
export interface MadeNamespace {
  readonly name: string
  /** Inode of the namespace, which tells it from a later one of the same name; null until it is known. */
  readonly inode: number | null
}

/** A process that was started. */
export interface MadeProcess {
  readonly pid: number
  /** When it started, in clock ticks since boot: a pid alone may have been given to another. */
  readonly startTime: string
}

/** What a directory says about its owner. */
export interface RunState {
  readonly name: string
  readonly pid: number
  /** Start time of the process, in clock ticks since boot: a pid alone may have been given to another. */
  readonly startTime: string
  readonly world: 'linux' | 'memory'
  readonly namespaces: readonly MadeNamespace[]
  /** Where nodes are processes of their own. They end by themselves when the owner does. */
  readonly processes?: readonly MadeProcess[]
}

/** A topology of that name runs already. */
export class AlreadyRunningError extends Error {
  readonly topology: string
  readonly pid: number

  constructor(topology: string, pid: number) {
    super(`topology ${topology} is running already, as process ${pid}; stop that one, or give this one another name`)
    this.name = 'AlreadyRunningError'
    this.topology = topology
    this.pid = pid
  }
}

/** Where root's are. */
const ROOT_BASE = '/run/l2l3'

/** Where running topologies are: /run/l2l3 for root, where that can be written; else `$XDG_RUNTIME_DIR/l2l3`, or a
 * directory in the one for temporary files. `L2L3_RUN_DIR` names another. */
export function runBase(): string {
  const { L2L3_RUN_DIR: own, XDG_RUNTIME_DIR: session } = process.env
  const uid = process.getuid?.() ?? 0
  if (own) return own
  if (uid === 0 && writable('/run')) return ROOT_BASE
  return session ? join(session, 'l2l3') : join(tmpdir(), `l2l3-${uid}`)
}

function writable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK)
    return true
  } catch {
    return false
  }
}

/** Says where root's topologies are, of which whoever is not root sees none; null for root, for whom `base` is that place, and
 * where root has none. */
export function hiddenRuns(base: string = runBase()): string | null {
  if (process.getuid?.() === 0 || base === ROOT_BASE || !existsSync(ROOT_BASE)) return null
  return `looked in ${base}; what root runs is in ${ROOT_BASE}, which is root's alone: try with sudo`
}

function ownerOf(path: string): string {
  try {
    const { uid } = lstatSync(path)
    return uid === 0 ? 'root' : `user ${uid}`
  } catch {
    return 'another user'
  }
}

/** States of the topologies in `base`, of the living and of the dead; none where there is no such directory.
 *
 * @throws Error where it may not be looked into */
export function listRuns(base: string = runBase()): { state: RunState; path: string; alive: boolean }[] {
  let names: string[]
  try {
    names = readdirSync(base)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return []
    if (code !== 'EACCES') throw new Error(`cannot look for running topologies: ${message}`)
    throw new Error(`you are not allowed to look into ${base}, which belongs to ${ownerOf(base)}: try with sudo`)
  }
  return names.sort().flatMap((name) => {
    const path = join(base, name)
    const state = name.startsWith('.') ? null : readState(path)
    return state === null ? [] : [{ state, path, alive: isAlive(state) }]
  })
}

/** The directory of a topology that this process runs. */
export class RunDirectory {
  readonly path: string
  #state: RunState

  private constructor(path: string, state: RunState) {
    this.path = path
    this.#state = state
  }

  /**
   * Claims the name for this process.
   *
   * @param clean removes what a dead process has left, by what its state lists
   * @throws AlreadyRunningError where a living process has it
   */
  static claim(
    name: string,
    world: RunState['world'],
    clean: (remains: RunState) => void,
    base: string = runBase(),
  ): RunDirectory {
    makePrivate(base)
    const state = { name, world, pid: process.pid, startTime: startTime(process.pid) ?? '', namespaces: [] }
    const path = join(base, name)
    sweep(base, name, clean)
    const fresh = mkdtempSync(join(base, `.${name}.new-${process.pid}-`))
    writeState(fresh, state)
    try {
      while (!tryRename(fresh, path)) buryDead(base, name, clean)
    } catch (error) {
      rmSync(fresh, { recursive: true, force: true })
      throw error
    }
    return new RunDirectory(path, state)
  }

  /** Removes what a dead process has left of a name, without claiming it; a living one is left alone. Says whether anything
   * was there to remove. */
  static clear(name: string, clean: (remains: RunState) => void, base: string = runBase()): boolean {
    if (!existsSync(base)) return false
    makePrivate(base)
    let found = false
    const remove = (remains: RunState): void => {
      found = true
      clean(remains)
    }
    sweep(base, name, remove)
    try {
      buryDead(base, name, remove)
    } catch (error) {
      if (!(error instanceof AlreadyRunningError)) throw error
    }
    return found
  }

  /** Where the owner answers questions. */
  get socketPath(): string {
    return join(this.path, 'control.sock')
  }

  get state(): RunState {
    return this.#state
  }

  /** Notes what is made: namespaces before they are, and again when their inodes are known; processes once they run. */
  note(made: Pick<RunState, 'namespaces'> | Required<Pick<RunState, 'processes'>>): void {
    this.#state = { ...this.#state, ...made }
    writeState(this.path, this.#state)
  }

  /** Gives the name back. */
  release(): void {
    rmSync(this.path, { recursive: true, force: true })
  }
}

/** Takes the directory of a dead owner away and removes what it lists; throws where the owner lives. */
function buryDead(base: string, name: string, clean: (remains: RunState) => void): void {
  const path = join(base, name)
  if (!existsSync(path)) return
  const owner = readState(path)
  if (owner !== null && isAlive(owner)) throw new AlreadyRunningError(name, owner.pid)
  const grave = mkdtempSync(join(base, `.${name}.dead-${process.pid}-`))
  if (!tryRename(path, grave)) {
    rmSync(grave, { recursive: true })
    return
  }
  // Between looking and taking, another process may have buried the dead one and moved in: give it back.
  const taken = readState(grave)
  if (taken !== null && isAlive(taken) && tryRename(grave, path)) throw new AlreadyRunningError(name, taken.pid)
  if (taken !== null) clean(taken)
  rmSync(grave, { recursive: true, force: true })
}

/** Finishes what processes began that died while they cleaned up or claimed. */
function sweep(base: string, name: string, clean: (remains: RunState) => void): void {
  for (const entry of readdirSync(base)) {
    const match = /^\.(.+)\.(?:new|dead)-(\d+)-[^-]+$/.exec(entry)
    if (match?.[1] !== name || startTime(Number(match[2])) !== null) continue
    const state = readState(join(base, entry))
    if (state !== null && isAlive(state)) continue
    if (state !== null) clean(state)
    rmSync(join(base, entry), { recursive: true, force: true })
  }
}

/** Renames a directory onto a name that is free or an empty directory; false where it is neither, or is gone. */
function tryRename(from: string, to: string): boolean {
  try {
    renameSync(from, to)
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOTEMPTY' || code === 'EEXIST' || code === 'ENOENT') return false
    throw error
  }
}

function makePrivate(base: string): void {
  try {
    mkdirSync(base, { recursive: true, mode: 0o700 })
  } catch (error) {
    const why = (error as Error).message
    throw new Error(`the directory of running topologies cannot be made (L2L3_RUN_DIR names another): ${why}`)
  }
  const { uid, mode } = lstatSync(base)
  if (!lstatSync(base).isDirectory() || uid !== process.getuid?.() || (mode & 0o077) !== 0) {
    throw new Error(`${base} must be a directory that belongs to you and that nobody else may enter (mode 0700)`)
  }
}

function writeState(path: string, state: RunState): void {
  writeFileSync(join(path, 'state.new'), JSON.stringify(state), { mode: 0o600 })
  renameSync(join(path, 'state.new'), join(path, 'state.json'))
}

function readState(path: string): RunState | null {
  try {
    const state = JSON.parse(readFileSync(join(path, 'state.json'), 'utf8')) as RunState
    return Number.isInteger(state.pid) && Array.isArray(state.namespaces) ? state : null
  } catch {
    return null
  }
}

/** Whether it is still the process that was noted. */
export function isAlive(made: MadeProcess): boolean {
  const started = startTime(made.pid)
  return started !== null && started === made.startTime
}

/** When a process started, in clock ticks since boot (proc(5), field 22); null where there is no such process. */
export function startTime(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    // A zombie holds nothing any more.
    return fields[0] === 'Z' ? null : (fields[19] ?? null)
  } catch {
    return null
  }
}
