/*
 * Real programs on both sides of a NAT router, the kernel's or ours:
 *
 *     namespace inside                                          namespace outside
 *     e0 10.22.0.11 (and .12) --- [ 10.22.0.1  NAT  203.0.113.1 ] --- e0 203.0.113.2 (and .3)
 *
 * The kernel's stands in a third namespace, on veths; ours is this process, on TAPs.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { FramePool, Loop, MAX_FRAME, RealClock } from '@l2l3/switch-core'
import { expect } from 'vitest'
import { nat } from '../../modes/src/index.ts'
import { runOnEventLoop, TapPort } from '../src/index.ts'
import { type OurOptions, ruleset, type WorldOptions } from './nat-worlds.ts'

export const env = { ...process.env, LC_ALL: 'C', PATH: `${process.env.PATH}:/usr/sbin:/sbin` }

/** What a program said, and how it ended. */
export interface Said {
  code: number | null
  text: string
}

/** A NAT router with a namespace on each side. */
export interface NatLab {
  readonly inside: string
  readonly outside: string
  /** Runs a program to its end; a shell line. */
  run(where: 'inside' | 'outside', command: string): Promise<Said>
  /** Starts a program that runs until the lab is closed, and waits until it has said `word`. */
  start(where: 'inside' | 'outside', command: string, word: RegExp): Promise<void>
  close(): Promise<void>
}

/** Names those of the programs that are not installed. */
export function missing(...programs: string[]): string {
  const dirs = (env.PATH as string).split(':')
  const not = programs.filter((p) => !dirs.some((d) => existsSync(`${d}/${p}`)))
  return not.length === 0 ? '' : `needs ${not.join(', ')}`
}

let made = 0

/** Makes the two namespaces. `join` puts the router between them, whose ends are called e0; gives how to end it. */
export async function natLab(
  join: (inside: string, outside: string, own: (name: string) => string) => Promise<() => Promise<void> | void>,
): Promise<NatLab> {
  const names: string[] = []
  const children = new Set<ChildProcess>()
  const tag = `l2l3-nl-${process.pid}-${made++}`
  const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8', stdio: 'pipe', env })
  const own = (name: string): string => {
    const full = `${tag}${name}`
    ip('netns', 'add', full)
    names.push(full)
    const quiet = 'for i in all default; do echo 1 > /proc/sys/net/ipv6/conf/$i/disable_ipv6; done 2> /dev/null; true'
    ip('netns', 'exec', full, 'sh', '-c', quiet)
    ip('-n', full, 'link', 'set', 'lo', 'up')
    return full
  }
  let end: () => Promise<void> | void = () => {}
  const close = async (): Promise<void> => {
    for (const child of children) if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
    await end()
    for (const name of names) spawnSync('ip', ['netns', 'del', name], { env })
  }
  const [inside, outside] = [own('i'), own('o')]
  try {
    end = await join(inside, outside, own)
    for (const [netns, addresses] of [
      [inside, ['10.22.0.11/24', '10.22.0.12/24']],
      [outside, ['203.0.113.2/24', '203.0.113.3/24']],
    ] as const) {
      for (const address of addresses) ip('-n', netns, 'addr', 'add', address, 'dev', 'e0')
      ip('-n', netns, 'link', 'set', 'e0', 'up')
    }
    ip('-n', inside, 'route', 'add', 'default', 'via', '10.22.0.1')
  } catch (error) {
    await close()
    throw error
  }
  const launch = (where: 'inside' | 'outside', command: string): ChildProcess => {
    const netns = where === 'inside' ? inside : outside
    // In a process group of its own, to end it with all that it has started.
    const child = spawn('ip', ['netns', 'exec', netns, 'sh', '-c', command], { env, detached: true })
    children.add(child)
    child.on('close', () => children.delete(child))
    return child
  }
  return {
    inside,
    outside,
    run(where, command) {
      return new Promise((done, fail) => {
        const child = launch(where, command)
        let text = ''
        for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', (s) => (text += s))
        child.on('error', fail)
        child.on('close', (code) => done({ code, text }))
      })
    },
    async start(where, command, word) {
      const child = launch(where, command)
      let text = ''
      for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', (s) => (text += s))
      for (let i = 0; !word.test(text); i++) {
        if (i > 200 || child.exitCode !== null) throw new Error(`${command}: did not start: ${text}`)
        await sleep(25)
      }
    },
    close,
  }
}

/** The kernel between the two. */
export function kernelBetween(options: WorldOptions = {}) {
  return async (inside: string, outside: string, own: (name: string) => string): Promise<() => void> => {
    const middle = own('m')
    const run = (...args: string[]): string => execFileSync('ip', ['-n', middle, ...args], { encoding: 'utf8', env })
    const within = (...args: string[]): string =>
      execFileSync('ip', ['netns', 'exec', middle, ...args], { env }).toString()
    for (const [netns, port, address] of [
      [inside, 'in0', '10.22.0.1/24'],
      [outside, 'out0', '203.0.113.1/24'],
    ] as const) {
      execFileSync('ip', ['link', 'add', 'e0', 'netns', netns, 'type', 'veth', 'peer', 'name', port, 'netns', middle])
      run('addr', 'add', address, 'dev', port)
      run('link', 'set', port, 'up')
    }
    within('sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward; echo 0 > /proc/sys/net/ipv4/conf/all/send_redirects')
    execFileSync('ip', ['netns', 'exec', middle, 'nft', '-f', '-'], { input: ruleset(options), env })
    return () => {}
  }
}

/** Ours between the two, as a guest of this process' event loop. At the end its ledger balances. */
export function oursBetween(options: OurOptions = {}) {
  return async (inside: string, outside: string): Promise<() => Promise<void>> => {
    const pool = new FramePool({ frameSize: MAX_FRAME, frames: 512 })
    const loop = new Loop(pool, new RealClock())
    const taps = [inside, outside].map((netns) => TapPort.open(pool, { name: 'e0', netns }))
    const [near, far] = taps as [TapPort, TapPort]
    nat(
      { pool, clock: loop.clock, loop, seed: 1 },
      {
        gateway: { mac: '02:00:00:00:00:fe', addresses: ['10.22.0.1/24'] },
        inside: [{ name: 'lan', port: near }],
        uplinks: [{ name: 'uplink', port: far, mac: '02:00:00:00:02:01', addresses: ['203.0.113.1/24'] }],
        ...options,
      },
    )
    const runner = runOnEventLoop(loop, taps)
    return async () => {
      await runner.stop()
      for (const tap of taps) tap.close()
      loop.abandon()
      expect(pool.report().balanced).toBe(true)
    }
  }
}
