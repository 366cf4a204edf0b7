import { spawn, spawnSync } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { MadeNamespace, RunState } from '../run-directory.ts'

/* What is done to the machine by way of iproute2: namespaces made and removed, addresses set. */

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

/** Runs `ip` commands, one a line; throws an Error with what `ip` said. Synchronous, so that it works while a process
 * ends. With `force`, goes on after a command that fails. */
export function ipBatch(lines: readonly string[], force = false): void {
  if (lines.length === 0) return
  const args = force ? ['-force', '-batch', '-'] : ['-batch', '-']
  const { status, stderr, error } = spawnSync('ip', args, {
    input: `${lines.join('\n')}\n`,
    encoding: 'utf8',
    env: environment(),
  })
  if (error !== undefined) throw new Error(`ip could not be run: ${error.message}`)
  if (status !== 0 && !force) throw new Error(`ip failed: ${stderr.trim().split('\n')[0]}`)
}

/** Runs a shell script in a namespace; rejects with what it said where it fails. */
export function inNamespace(namespace: string, script: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const args = ['netns', 'exec', namespace, 'sh', '-e', '-c', script]
    const child = spawn('ip', args, { stdio: ['ignore', 'ignore', 'pipe'], env: environment() })
    let said = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
    child.on('error', reject)
    child.on('close', (code) => {
      if (code === 0) resolve()
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

/** Removes those of the namespaces that are still the ones that were made. */
export function removeNamespaces(made: readonly MadeNamespace[]): void {
  const ours = made.filter(({ name, inode }) => {
    const now = namespaceInode(name)
    return now !== null && (inode === null || inode === now)
  })
  ipBatch(
    ours.map(({ name }) => `netns del ${name}`),
    true,
  )
}

/** Removes what a process has left that died without cleaning up. */
export function removeRemains(remains: RunState): void {
  removeNamespaces(remains.namespaces)
}
