import { spawn } from 'node:child_process'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { makeNetns, removeNetns } from '@l2l3/tap-io'
import { isAlive, type MadeNamespace, type MadeProcess, type RunState } from '../run-directory.ts'

/*
 * What is done to the machine besides setting up hosts: namespaces removed, scripts of iproute2 run for what the kernel has of a
 * real underlay. Each script runs in a session of its own (`detached`): Ctrl-C goes to all of the terminal's process group, and
 * would else end it in the middle of what it does. Removing runs no program at all: one that a signal meets before it has a
 * session of its own does nothing.
 */

/** Says whether a program can be found. */
export function installed(program: string): boolean {
  return [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'].some(
    (dir) => dir !== '' && existsSync(join(dir, program)),
  )
}

/** The environment for programs that are run: their output in English, and the system's directories in the path. */
export function environment(): NodeJS.ProcessEnv {
  return { ...process.env, LC_ALL: 'C', PATH: `${process.env.PATH ?? ''}${delimiter}/usr/sbin${delimiter}/sbin` }
}

/** Runs a shell script in a namespace; rejects with what it said where it fails, and with the signal's reason, once the
 * script has ended, where the signal stops it. */
export function inNamespace(namespace: string, script: string, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const args = ['netns', 'exec', namespace, 'sh', '-e', '-c', script]
    const child = spawn('ip', args, { stdio: ['ignore', 'ignore', 'pipe'], env: environment(), detached: true })
    // The shell leads a process group, in which its commands are as well.
    const stop = (): void => {
      if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL')
    }
    signal?.addEventListener('abort', stop, { once: true })
    if (signal?.aborted) stop()
    let said = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
    child.on('error', reject)
    child.on('close', (code) => {
      signal?.removeEventListener('abort', stop)
      if (signal?.aborted) reject(signal.reason)
      else if (code === 0) resolve()
      else reject(new Error(`setting up ${namespace} failed: ${said.trim().split('\n')[0] || `status ${code}`}`))
    })
  })
}

/** The inode of a namespace that has a name; null where there is none. */
export function namespaceInode(name: string): number | null {
  try {
    return statSync(`/run/netns/${name}`).ino
  } catch {
    return null
  }
}

/** Whether a namespace is still the one that was made. */
export function isThere({ name, inode }: MadeNamespace): boolean {
  const now = namespaceInode(name)
  return now !== null && (inode === null || inode === now)
}

/** Removes those of the namespaces that are still the ones that were made. Gives those that it could not remove, which
 * must not be forgotten. */
export function removeNamespaces(made: readonly MadeNamespace[]): MadeNamespace[] {
  for (const one of made) if (isThere(one)) removeNetns(one.name)
  return made.filter(isThere)
}

/** Milliseconds that processes whose parent is gone may take to end by themselves, and between two looks. */
const GRACE = 2000
const LOOK = 5

/** Waits until all these processes have ended, and kills those that take longer than the end of their parent needs. */
export function endProcesses(made: readonly MadeProcess[]): void {
  const pause = new Int32Array(new SharedArrayBuffer(4))
  for (let waited = 0; made.some(isAlive) && waited < 2 * GRACE; waited += LOOK) {
    if (waited >= GRACE) for (const one of made) if (isAlive(one)) process.kill(one.pid, 'SIGKILL')
    Atomics.wait(pause, 0, 0, LOOK)
  }
}

/** Removes what a process has left that died without cleaning up. Throws where it cannot, as without root: what says
 * that it is there has to stay then. */
export function removeRemains(remains: RunState): void {
  // They hold the devices that are in the namespaces.
  endProcesses(remains.processes ?? [])
  const left = removeNamespaces(remains.namespaces)
  if (left.length === 0) return
  const names = left.map(({ name }) => name).join(', ')
  const root = process.getuid?.() === 0 ? '' : ', which takes root'
  throw new Error(`process ${remains.pid} left namespaces behind that could not be removed${root}: ${names}`)
}

/** Namespaces that `probeNamespaces` makes, with the number of the process. */
const PROBE = 'l2l3-probe-'

/** Makes a namespace and removes it; throws an Error that says why where it cannot. Removes as well what a process
 * left that died in between. */
export function probeNamespaces(): void {
  const own = `${PROBE}${process.pid}`
  makeNetns(own)
  removeNetns(own)
  const dead = readdirSync('/run/netns').filter((name) => {
    return name.startsWith(PROBE) && /^\d+$/.test(name.slice(PROBE.length)) && !alive(name.slice(PROBE.length))
  })
  for (const name of dead) removeNetns(name)
}

function alive(pid: string): boolean {
  return existsSync(`/proc/${pid}`)
}
