import { execFileSync, spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { tunAvailable } from '@l2l3/tap-io'
import { afterAll, beforeEach } from 'vitest'

export { drain, frameOf, receive, send } from './frames.ts'

/* Namespaces of our own, removed at the end, and programs in them. */

/** Skips the tests of a file, with the reason, where there are no TAPs to be had, and removes its namespaces at the end. */
export function needsTun(): void {
  const available = tunAvailable()
  const reason = available.ok && process.getuid?.() !== 0 ? 'needs root, to make network namespaces' : ''
  beforeEach((context) => {
    if (!available.ok) context.skip(available.reason)
    if (reason !== '') context.skip(reason)
  })
  afterAll(() => {
    for (const name of namespaces) removeNamespace(name)
  })
}

let made = 0
const namespaces: Set<string> = new Set()

/** Deletes a namespace. */
export function removeNamespace(name: string): void {
  if (namespaces.delete(name)) ip('netns', 'del', name)
}

export function ip(...args: string[]): string {
  return execFileSync('ip', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

/** Makes a namespace with a name of its own, without IPv6, so that the kernel says nothing unasked. */
export function namespace(): string {
  const name = `tio-${process.pid}-${made++}`
  ip('netns', 'add', name)
  const quiet = 'for i in all default; do echo 1 > /proc/sys/net/ipv6/conf/$i/disable_ipv6 || true; done 2> /dev/null'
  ip('netns', 'exec', name, 'sh', '-c', quiet)
  namespaces.add(name)
  return name
}

/** Runs a program in a namespace without stopping this thread; gives what it said. */
export function inNamespace(name: string, ...command: string[]): Promise<string> {
  return run('ip', 'netns', 'exec', name, ...command)
}

/** Runs a script of Node's in a namespace, without stopping this thread; gives what it said. */
export function nodeIn(name: string, script: string): Promise<string> {
  return inNamespace(name, process.execPath, '-e', script)
}

/** Runs a program; gives what it said, or rejects with that where it fails. */
export function run(program: string, ...args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let said = ''
    const hear = (data: Buffer) => {
      said += data.toString()
    }
    child.stdout.on('data', hear)
    child.stderr.on('data', hear)
    child.on('error', reject)
    child.on('close', (code, signal) => {
      if (code === 0) resolve(said)
      else reject(new Error(`${program} ${args.join(' ')}: ${signal ?? code}\n${said}`))
    })
  })
}

/** How node runs a file of these tests from source. */
export const FROM_SOURCE = ['--import', 'tsx', '--conditions=@l2l3/source']

/** Starts a file of these tests, from source, as a worker thread. */
export function workerOf(file: string, workerData: unknown): Worker {
  const url = JSON.stringify(new URL(file, import.meta.url).href)
  // `--import tsx` does not reach worker threads on Node 20.
  const start = `import('tsx/esm/api').then(({ register }) => (register(), import(${url})))`
  return new Worker(start, { eval: true, execArgv: ['--conditions=@l2l3/source'], workerData })
}

/** Descriptors of this process that are open. */
export function descriptors(): number {
  return readdirSync('/proc/self/fd').length
}

/** Waits until something is so. */
export async function until(what: () => boolean, ms = 30_000): Promise<void> {
  const end = Date.now() + ms
  while (!what()) {
    if (Date.now() > end) throw new Error(`waited ${ms} ms in vain for ${what}`)
    await new Promise((done) => setTimeout(done, 5))
  }
}
