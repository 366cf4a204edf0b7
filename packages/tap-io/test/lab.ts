import { execFileSync, spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { Batch, type Frame, type FramePool, type Port } from '@l2l3/switch-core'
import { tunAvailable } from '@l2l3/tap-io'
import { afterAll, beforeEach } from 'vitest'

/* Namespaces of our own, removed at the end, and what one does with ports by hand. */

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

/** Descriptors of this process that are open. */
export function descriptors(): number {
  return readdirSync('/proc/self/fd').length
}

/** A frame of the pool with these bytes, entered in the ledger. */
export function frameOf(pool: FramePool, bytes: Uint8Array): Frame {
  const f = pool.from(bytes) as Frame
  pool.ledger.originate(1)
  return f
}

/** Has a port send rows. */
export function send(port: Port, ...frames: Frame[]): void {
  const batch = new Batch(Math.max(1, frames.length))
  for (const f of frames) batch.push(f)
  port.process(batch)
}

/** Has a port receive once; gives copies of the frames. */
export function receive(port: Port): Uint8Array[] {
  const batch = new Batch()
  port.receive(batch)
  return Array.from(batch.frames.subarray(0, batch.length), (f) => {
    const bytes = Uint8Array.from(port.pool.view(f as Frame))
    port.pool.sent(f as Frame)
    return bytes
  })
}

/** Waits until something is so. */
export async function until(what: () => boolean, ms = 5000): Promise<void> {
  const end = Date.now() + ms
  while (!what()) {
    if (Date.now() > end) throw new Error(`waited ${ms} ms in vain for ${what}`)
    await new Promise((done) => setTimeout(done, 5))
  }
}
