/*
 * A node of ours between a host and peers whose tunnels others made:
 *
 *     near               this process               wire             far 0, far 1 ...
 *     eth0 10.9.0.1 === TAP [ node ] uplink === up0 -- br0 -- w0 === eth0 192.0.2.2, its tunnel 10.9.0.2
 *
 * The node's end of tunnels is 192.0.2.1, fd00::1; far ones are 192.0.2.2, fd00::2 and on. What crosses the wire is recorded at
 * w0, as the peer gets it and sends it: unless it is asked for, its cable carries no super-frames and no unfinished checksums.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FramePool, type LedgerReport, Loop, MAX_FRAME, type Port, RealClock } from '@l2l3/switch-core'
import { type Pollable, runOnEventLoop, TapPort } from '@l2l3/tap-io'
import { afterAll, beforeEach, expect } from 'vitest'
import type { Ground } from '../../modes/src/index.ts'
import { inNamespace, ip, namespace } from './lab.ts'

/** Names those of the programs that are not installed. */
export function missing(...programs: string[]): string {
  const dirs = `${process.env.PATH}:/usr/sbin:/sbin`.split(':')
  const not = programs.filter((p) => !dirs.some((d) => existsSync(`${d}/${p}`)))
  return not.length === 0 ? '' : `needs ${not.join(', ')}`
}

/** Where recordings are, and what else the tests of a file write; removed at the end. */
export const scratch: string = mkdtempSync(join(tmpdir(), 'l2l3-tunnel-'))

/** Skips the tests of a file, with the reason, where a program is not there; clears up after them. For use behind `needsTun`. */
export function needsPrograms(...programs: string[]): void {
  const why = missing('ping', 'tcpdump', 'tshark', 'ethtool', 'python3', ...programs)
  beforeEach((context) => {
    if (why !== '') context.skip(why)
  })
  afterAll(() => rmSync(scratch, { recursive: true, force: true }))
}

/** The address of a tunnel's end on the wire: 0 is ours. */
export function at(n: number, outer: 4 | 6 = 4): string {
  return outer === 4 ? `192.0.2.${n + 1}` : `fd00::${n + 1}`
}

/** A kernel bridge and namespaces that are joined to it, eth0 of each with its addresses. */
export interface Wire {
  readonly netns: string
  readonly far: readonly string[]
}

/** Makes a wire. `whole`: super-frames and unfinished checksums cross it; `bare`: peers get no addresses. */
export async function makeWire(peers: number, { whole = false, bare = false } = {}): Promise<Wire> {
  const netns = namespace()
  ip('-n', netns, 'link', 'add', 'br0', 'type', 'bridge', 'mcast_snooping', '0')
  ip('-n', netns, 'link', 'set', 'br0', 'up')
  const far = Array.from({ length: peers }, namespace)
  for (const [i, name] of far.entries()) {
    ip('-n', netns, 'link', 'add', `w${i}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name)
    if (!whole) {
      await inNamespace(netns, 'ethtool', '-K', `w${i}`, 'tx', 'off')
      await inNamespace(name, 'ethtool', '-K', 'eth0', 'tx', 'off')
    }
    ip('-n', netns, 'link', 'set', `w${i}`, 'master', 'br0', 'up')
    if (!bare) {
      await withIpv6(name, 'eth0')
      ip('-n', name, 'addr', 'add', `${at(i + 1)}/24`, 'dev', 'eth0')
      ip('-n', name, 'addr', 'add', `${at(i + 1, 6)}/64`, 'dev', 'eth0', 'nodad')
    }
    for (const dev of ['lo', 'eth0']) ip('-n', name, 'link', 'set', dev, 'up')
  }
  return { netns, far }
}

/** Lets a namespace, which `namespace` has made without, have IPv6. */
export async function withIpv6(netns: string, device: string): Promise<void> {
  const on = `for i in all default lo ${device}; do echo 0 > /proc/sys/net/ipv6/conf/$i/disable_ipv6; done`
  await inNamespace(netns, 'sh', '-c', `${on}; echo 0 > /proc/sys/net/ipv6/conf/${device}/accept_dad`)
}

/** A node of ours that runs, with a host. */
export interface Node<T> extends AsyncDisposable {
  readonly pool: FramePool
  /** The host's namespace; its interface is eth0. */
  readonly near: string
  readonly uplink: Port & Pollable
  readonly made: T
  /** Stops it, and gives the account of all frames, which balances. */
  stop(): Promise<LedgerReport>
}

/** What a node is built of. */
export interface Place {
  readonly ground: Ground
  readonly host: Port
  readonly uplink: Port
}

/** Settings of `startNode`. */
export interface NodeOptions {
  /** Addresses of the host, with prefix. */
  readonly near: readonly string[]
  /** The host's MTU. */
  readonly mtu: number
  readonly tunnelOffloads?: boolean
  /** The uplink. Default: a TAP whose kernel's end, `up0`, is in the wire's bridge. */
  readonly uplink?: (pool: FramePool) => Port & Pollable
}

/** Starts a node of ours on a wire, as a guest of this process' event loop. */
export async function startNode<T>(wire: Wire, options: NodeOptions, build: (place: Place) => T): Promise<Node<T>> {
  const pool = new FramePool({ frameSize: MAX_FRAME, frames: 512 })
  const loop = new Loop(pool, new RealClock())
  const near = namespace()
  const host = TapPort.open(pool, { name: 'eth0', netns: near, mtu: options.mtu })
  const { tunnelOffloads = true } = options
  const uplink = options.uplink?.(pool) ?? TapPort.open(pool, { name: 'up0', netns: wire.netns, tunnelOffloads })
  if (options.uplink === undefined) ip('-n', wire.netns, 'link', 'set', 'up0', 'master', 'br0')
  await withIpv6(near, 'eth0')
  for (const address of options.near) {
    ip('-n', near, 'addr', 'add', address, 'dev', 'eth0', ...(address.includes(':') ? ['nodad'] : []))
  }
  let made: T
  try {
    made = build({ ground: { pool, clock: loop.clock, loop, seed: 1 }, host, uplink })
  } catch (error) {
    host.close()
    uplink.close()
    throw error
  }
  const runner = runOnEventLoop(loop, [host, uplink])
  let stopped = false
  const stop = async (): Promise<LedgerReport> => {
    if (!stopped) {
      stopped = true
      await runner.stop()
      host.close()
      uplink.close()
      loop.abandon()
    }
    const report = pool.report()
    expect(report).toMatchObject({ balanced: true, held: 0 })
    return report
  }
  return { pool, near, uplink, made, stop, [Symbol.asyncDispose]: async () => void (await stop()) }
}

/** Pings an address from a namespace, a few times; gives what came back: `3 of 3`, and anything unusual. */
export function pings(netns: string, address: string, ...options: string[]): Promise<string> {
  // With a deadline it waits for what is late, and asks again for what is lost.
  return pinged(netns, '-w', '4', ...options, address)
}

/** Pings an address that shall not answer. */
export function pingsInVain(netns: string, address: string, ...options: string[]): Promise<string> {
  return pinged(netns, '-W', '0.3', ...options, address)
}

async function pinged(netns: string, ...options: string[]): Promise<string> {
  const ping = inNamespace(netns, 'ping', '-n', '-c', '3', '-i', '0.05', ...options)
  const said = await ping.catch((error: Error) => error.message)
  const [, sent, back, more = ''] = /(\d+) packets transmitted, (\d+) received(.*), \d+% packet loss/.exec(said) ?? []
  if (sent === undefined) return said
  // With a deadline ping asks once more for each answer that is late: all that matters is that none is missing.
  return Number(sent) > 3 && back === sent && more === '' ? '3 of 3' : `${back} of ${sent}${more}`
}

/* Each end of a connection sends noise to the other and says what it sent and what it got, by length and digest; the Python is
 * also what a guest without Node has. */
const TALK = `
import hashlib, socket, sys, threading, time
role, address, port, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
family = socket.AF_INET6 if ':' in address else socket.AF_INET
s = socket.socket(family)
if role == 'serve':
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, port)); s.listen(); print('listening', flush=True)
    s, _ = s.accept()
else:
    for i in range(200):
        s = socket.socket(family)
        s.settimeout(5)
        if s.connect_ex((address, port)) == 0: break
        time.sleep(0.05)
s.settimeout(15)
noise = hashlib.shake_128(role.encode()).digest(size)
def send():
    s.sendall(noise); s.shutdown(socket.SHUT_WR)
t = threading.Thread(target=send); t.start()
h = hashlib.sha256(); n = 0
while True:
    d = s.recv(1 << 20)
    if not d: break
    h.update(d); n += len(d)
t.join()
print('sent', size, hashlib.sha256(noise).hexdigest()); print('got', n, h.hexdigest())
`

/** The command line of one end of a connection. */
export function talker(role: 'serve' | 'call', address: string, port: number, size: number): string[] {
  return ['python3', '-c', TALK, role, address, `${port}`, `${size}`]
}

/** Has both ends of a TCP connection send `size` bytes of noise; both get what the other sent, or it throws. */
export async function talk(from: string, to: string, address: string, size = 4 << 20): Promise<void> {
  const server = await start(to, /listening/, ...talker('serve', address, 5000, size))
  const called = await inNamespace(from, ...talker('call', address, 5000, size)).catch((error: Error) => error.message)
  const served = await server.end()
  expectTalk(called, served, size)
}

/** Holds what one end of a connection said against what the other did. */
export function expectTalk(called: string, served: string, size: number): void {
  const of = (text: string, what: string): string => new RegExp(`^${what} (.*)`, 'm').exec(text)?.[1] ?? `?? ${text}`
  expect(of(called, 'sent')).toMatch(new RegExp(`^${size} [0-9a-f]{64}$`))
  expect([of(served, 'got'), of(called, 'got')]).toEqual([of(called, 'sent'), of(served, 'sent')])
}

/** A program that runs. */
export interface Started {
  readonly said: string
  /** Waits until it ends, and gives what it said; asks it to, where a signal is given. */
  end(signal?: NodeJS.Signals): Promise<string>
}

const children: Set<ChildProcess> = new Set()
process.once('exit', () => {
  for (const child of children) signalTo(child, 'SIGKILL')
})

/** Signals a program, and all that it has started. */
function signalTo(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) process.kill(-child.pid, signal)
}

/** Starts a program in a namespace, and waits until it has said `word`, if it must say anything. */
export async function start(netns: string, word: RegExp, ...command: string[]): Promise<Started> {
  const child = spawn('ip', ['netns', 'exec', netns, ...command], { stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  children.add(child)
  let said = ''
  const ended = new Promise<void>((done) => child.once('close', () => done()))
  child.once('close', () => children.delete(child))
  let late: NodeJS.Timeout | undefined
  try {
    await new Promise<void>((done, fail) => {
      const give = (up: string) => () => fail(new Error(`${command.join(' ').slice(0, 80)} ${up}: ${said}`))
      late = setTimeout(give('did not start'), 5000)
      if (word.test('')) child.once('spawn', done)
      child.once('error', fail)
      child.once('close', give('ended'))
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding('utf8').on('data', (text: string) => {
          said += text
          if (word.test(said)) done()
        })
      }
    })
  } catch (error) {
    signalTo(child, 'SIGKILL')
    throw error
  } finally {
    clearTimeout(late)
  }
  return {
    get said() {
      return said
    },
    async end(signal) {
      const never = setTimeout(() => signalTo(child, 'SIGKILL'), 10_000)
      if (signal !== undefined) signalTo(child, signal)
      await ended
      clearTimeout(never)
      return said
    },
  }
}
