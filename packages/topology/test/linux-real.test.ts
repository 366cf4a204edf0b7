import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { openCapture } from '@l2l3/switch-core/pcap'
import {
  type CheckKind,
  type CheckSpec,
  linuxProblem,
  namespaceName,
  parseTopology,
  type RealWorld,
  RunDirectory,
  removeRemains,
  runBase,
  type Trace,
  upOnLinux,
} from '@l2l3/topology'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'

/*
 * A real underlay: bridges, a router and a host of the kernel, and nodes that are processes of their own.
 *
 *     green ==TAP== [ sw ]---cable---[ n1 ] 192.0.2.1 ---+--- lan ---+--- router ---- far --- 198.51.100.2 [ n2 ] ==TAP== blue
 *                               red ==TAP==+             |           `--- client
 *                                                kernel 192.0.2.77: a vxlan device of the kernel's, which the test plugs in
 */

const NAME = `real${process.pid}`
const KERNEL = `l2l3-kernel${process.pid}`
const TEXT = `
name: ${NAME}
segments:
  lan:
    mtu: 1600
    router: { ip: 192.0.2.254/24 }
    hosts: { client: { ip: 192.0.2.9/24 } }
  far:
    mtu: 1600
    router: { ip: 198.51.100.254/24 }
nodes:
  n1:
    mode: vtep
    uplink: { ip: 192.0.2.1/24, segment: lan }
    routes: [{ to: 0.0.0.0/0, via: 192.0.2.254 }]
    networks: { net: { vni: 42, remotes: [198.51.100.2, 192.0.2.77] } }
    endpoints: { red: { ip: 10.76.0.1/24, mtu: 1450 } }
    ports: { down: { network: net } }
  n2:
    mode: vtep
    uplink: { ip: 198.51.100.2/24, segment: far }
    routes: [{ to: 0.0.0.0/0, via: 198.51.100.254 }]
    networks: { net: { vni: 42, remotes: [192.0.2.1] } }
    endpoints: { blue: { ip: 10.76.0.2/24, mtu: 1450 } }
  sw:
    mode: switch
    ports: { up: {} }
    endpoints: { green: { ip: 10.76.0.3/24, mtu: 1450 } }
links:
  - [n1/down, sw/up]
checks:
  - ping: { from: red, to: blue }
  - tcp: { from: red, to: blue, bytes: 5 MB }
  - tcp: { from: blue, to: green, bytes: 5 MB }
  - udp: { from: green, to: blue }
  - http: { from: blue, to: red }
  - ping: { from: client, to: 198.51.100.2 }
  - traceroute: { from: client, to: 198.51.100.2, via: [192.0.2.254] }
  - arp: { from: client, to: 192.0.2.1 }
  - ping: { from: client, to: 192.0.2.77, count: 1, timeout: 1 }
    expect: fail
`

/** Two nodes and a cable. */
const SMALL = `
name: ${NAME}
nodes:
  one: { mode: switch, ports: { to-b: {} }, endpoints: { a: { ip: 10.76.0.1/24 } } }
  two: { mode: switch, ports: { to-a: {} }, endpoints: { b: { ip: 10.76.0.2/24 } } }
links: [[one/to-b, two/to-a]]
checks: [{ ping: { from: a, to: b } }]
`

const problem = await linuxProblem()
/** From source, as all tests run. */
const nodeArguments = ['--conditions=@l2l3/source', '--import', createRequire(import.meta.url).resolve('tsx')]
const TCP = fileURLToPath(new URL('../programs/tcp.mjs', import.meta.url))
const topology = parseTopology(TEXT, 'real.yaml')
const lan = namespaceName(topology, { name: 'lan' })
const progress: string[] = []
const endings: string[] = []
let world: RealWorld

function ip(...args: string[]): string {
  return execFileSync('ip', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

function namespaces(): string[] {
  return readdirSync('/run/netns').filter((name) => name.startsWith(`l2l3-${NAME}.`))
}

function inside(netns: string, ...command: string[]): ChildProcess {
  return spawn('ip', ['netns', 'exec', netns, ...command], { stdio: ['pipe', 'pipe', 'pipe'] })
}

/** What a program says until it has ended. */
function said(child: ChildProcess): Promise<string> {
  let text = ''
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (data) => (text += data))
  return new Promise((resolve) => child.on('close', () => resolve(text)))
}

async function until(what: string, done: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 1200; i++) {
    if (await done()) return
    await sleep(25)
  }
  throw new Error(`it never came to pass: ${what}`)
}

function check(kind: CheckKind, from: string, to: string): CheckSpec {
  const found = topology.checks.find((c) => c.kind === kind && c.from.name === from && c.to === to)
  if (found === undefined) throw new Error(`there is no check ${kind} ${from} ${to}`)
  return found
}

const up = (what = topology): Promise<RealWorld> =>
  upOnLinux(what, {
    ...{ real: true, nodeArguments },
    onProgress: (text) => progress.push(text),
    onNodeEnded: (node, why) => endings.push(`${node}: ${why}`),
  })

describe('a real underlay', { timeout: 60_000 }, () => {
  beforeAll(async () => {
    if (problem === null) world = await up()
  }, 60_000)
  afterAll(async () => {
    if (problem !== null) return
    await world?.close()
    if (existsSync(`/run/netns/${KERNEL}`)) ip('netns', 'del', KERNEL)
  })
  beforeEach((context) => {
    if (problem !== null) context.skip(problem)
  })

  it('passes the checks', async () => {
    const results = await world.runChecks()
    expect(results.filter((r) => !r.ok || r.skipped).map((r) => `${r.text}: ${r.detail}`)).toEqual([])
    expect(results).toHaveLength(topology.checks.length)
    const { ledger, ports, fdb } = await world.snapshot()
    expect(ledger).toMatchObject({ balanced: true })
    expect(ports.filter((p) => p.port === 'uplink').map((p) => [p.node, p.state])).toEqual([
      ['n1', 'up'],
      ['n2', 'up'],
    ])
    expect(fdb.map((row) => row.node)).toContain('n2')
    expect(progress.join('\n')).toContain(`segment lan: bridge br0 in ${lan} with n1, client`)
  })

  it('has each node in a process of its own', () => {
    const pids = [...world.processes.values()]
    expect(new Set(pids).size).toBe(3)
    for (const pid of pids) {
      expect(pid).not.toBe(process.pid)
      expect(existsSync(`/proc/${pid}`)).toBe(true)
    }
  })

  it('shows outer frames to tcpdump in the namespace of a segment', async () => {
    const tcpdump = inside(lan, 'tcpdump', '-lnn', '-c', '4', '-i', 'br0', 'udp port 4789')
    let ready = ''
    tcpdump.stderr?.on('data', (data) => (ready += data))
    const seen = said(tcpdump)
    await until('tcpdump listens', () => ready.includes('listening'))
    expect(await world.check(check('ping', 'red', 'blue'))).toMatchObject({ ok: true })
    const text = await seen
    expect(text).toMatch(/192\.0\.2\.1\.\d+ > 198\.51\.100\.2\.4789: VXLAN.*vni 42/)
    expect(text).toMatch(/198\.51\.100\.2\.\d+ > 192\.0\.2\.1\.4789: VXLAN.*vni 42/)
    expect(text).toContain('10.76.0.1 > 10.76.0.2: ICMP echo request')
  })

  it('joins a vxlan device of the kernel to the same segment', async () => {
    ip('netns', 'add', KERNEL)
    ip('-n', KERNEL, 'link', 'add', 'eth0', 'mtu', '1600', 'type', 'veth', 'peer', 'name', 'kernel', 'netns', lan)
    ip('-n', lan, 'link', 'set', 'kernel', 'mtu', '1600', 'master', 'br0', 'up')
    ip('-n', KERNEL, 'addr', 'add', '192.0.2.77/24', 'dev', 'eth0')
    ip('-n', KERNEL, 'link', 'set', 'eth0', 'up')
    const vxlan = ['type', 'vxlan', 'id', '42', 'dstport', '4789', 'local', '192.0.2.77', 'remote', '192.0.2.1']
    ip('-n', KERNEL, 'link', 'add', 'vxlan42', 'mtu', '1450', ...vxlan)
    ip('-n', KERNEL, 'addr', 'add', '10.76.0.77/24', 'dev', 'vxlan42')
    ip('-n', KERNEL, 'link', 'set', 'vxlan42', 'up')
    const ping = inside(KERNEL, 'ping', '-n', '-c', '3', '-i', '0.1', '-W', '3', '10.76.0.1')
    expect(await said(ping)).toContain('3 received')
    // Both ways, with super-frames where both can.
    const red = namespaceName(topology, { name: 'red' })
    for (const [from, to, address] of [
      [KERNEL, red, '10.76.0.1'],
      [red, KERNEL, '10.76.0.77'],
    ] as const) {
      const server = inside(to, process.execPath, TCP, 'serve', address, '5001')
      let served = ''
      server.stdout?.on('data', (data) => (served += data))
      const end = said(server)
      await until('the server listens', () => served.includes('port'))
      const client = inside(from, process.execPath, TCP, 'send', address, '5001', '5000000')
      await said(client)
      expect(await end).toContain('"bytes":5000000,"intact":true')
    }
    expect((await world.snapshot()).ledger.balanced).toBe(true)
  })

  it('captures what passes the ports of all nodes', async () => {
    const chunks = new Map<string, Uint8Array[]>()
    const end = await world.capture((label) => {
      const list: Uint8Array[] = []
      chunks.set(label, list)
      return (chunk) => list.push(chunk)
    })
    expect([...chunks.keys()].sort()).toEqual([
      'n1/down',
      'n1/red',
      'n1/uplink',
      'n2/blue',
      'n2/uplink',
      'sw/green',
      'sw/up',
    ])
    expect(await world.check(check('udp', 'green', 'blue'))).toMatchObject({ ok: true })
    await end()
    const count = (label: string): number => Array.from(openCapture(Buffer.concat(chunks.get(label) ?? []))).length
    for (const label of ['sw/green', 'sw/up', 'n1/down', 'n1/uplink', 'n2/uplink', 'n2/blue']) {
      expect(count(label), label).toBeGreaterThanOrEqual(6)
    }
    const bytes = chunks.get('n1/uplink')?.length
    await world.check(check('udp', 'green', 'blue'))
    expect(chunks.get('n1/uplink')?.length).toBe(bytes)
  })

  it('traces in each node', async () => {
    const seen: Trace[] = []
    const stop = new AbortController()
    const report = world.trace('icmp', { count: 4, onTrace: (trace) => seen.push(trace), signal: stop.signal })
    expect(await world.check(check('ping', 'red', 'blue'))).toMatchObject({ ok: true })
    await until('enough traces', () => seen.length === 4)
    expect(await report).toMatchObject({ traced: 4 })
    expect(seen.map((trace) => trace.number)).toEqual([1, 2, 3, 4])
    expect(seen.map((trace) => trace.at)).toContain('n1/red')
    await expect(world.trace('no such words')).rejects.toThrow()
  })

  it('shows which node does not answer, and does not wait for it', async () => {
    const pid = world.processes.get('sw') as number
    process.kill(pid, 'SIGSTOP')
    const began = performance.now()
    const { ports, ledger } = await world.snapshot()
    expect(performance.now() - began).toBeLessThan(5000)
    process.kill(pid, 'SIGCONT')
    expect(ports.filter((p) => p.node === 'sw').map((p) => p.state)).toEqual(
      Array(2).fill('its process does not answer'),
    )
    expect(ledger.balanced).toBe(true)
    expect((await world.snapshot()).ports.map((p) => p.state)).not.toContain('its process does not answer')
    expect(endings).toEqual([])
  })

  it('tells of a node whose process dies, and goes on with the others', async () => {
    const pid = world.processes.get('n2') as number
    process.kill(pid, 'SIGKILL')
    await until('the end is told', () => endings.length > 0)
    expect(endings).toEqual(['n2: its process has ended: killed by SIGKILL'])
    const { ports, fdb } = await world.snapshot()
    expect(ports.filter((p) => p.node === 'n2').map((p) => p.state)).toEqual(
      Array(3).fill('its process has ended: killed by SIGKILL'),
    )
    expect(fdb.map((row) => row.node)).not.toContain('n2')
    const lost = { ...check('ping', 'red', 'blue'), count: 1, timeout: 1, expect: 'fail' as const }
    expect(await world.check(lost)).toMatchObject({ ok: true })
    const alive = { ...check('ping', 'red', 'blue'), ...targetOf('green') }
    expect(await world.check(alive)).toMatchObject({ ok: true, detail: '3 of 3 answered' })
  })

  it('leaves nothing behind', async () => {
    const pids = [...world.processes.values()]
    await world.close()
    expect(namespaces()).toEqual([])
    for (const pid of pids) if (pid !== null) expect(existsSync(`/proc/${pid}`)).toBe(false)
    expect(existsSync(`${runBase()}/${NAME}`)).toBe(false)
    expect(endings).toHaveLength(1)
  })

  it('is cleaned up after a kill -9, by the next one or without', async () => {
    const program = fileURLToPath(new URL('real-parent.ts', import.meta.url))
    const small = parseTopology(SMALL, 'small.yaml')
    for (const again of [true, false]) {
      const parent = spawn(process.execPath, [...nodeArguments, program], { stdio: ['pipe', 'pipe', 'inherit'] })
      parent.stdin.end(SMALL)
      const pids = await new Promise<number[]>((resolve) => {
        parent.stdout.on('data', (data) => resolve(JSON.parse(String(data)) as number[]))
      })
      expect(pids).toHaveLength(2)
      parent.kill('SIGKILL')
      await until('the children end', () => pids.every((pid) => !existsSync(`/proc/${pid}`)))
      expect(namespaces()).toHaveLength(3)
      if (again) {
        progress.length = 0
        await using second = await up(small)
        expect(progress[0]).toBe(`removing what process ${parent.pid} left behind`)
        expect((await second.runChecks()).map((r) => r.detail)).toEqual(['3 of 3 answered'])
      } else {
        expect(RunDirectory.clear(NAME, removeRemains)).toBe(true)
        expect(RunDirectory.clear(NAME, removeRemains)).toBe(false)
      }
      expect(namespaces()).toEqual([])
    }
  })

  it('touches no namespace that it did not make', async () => {
    const other = `l2l3-${NAME}.b`
    ip('netns', 'add', other)
    try {
      await expect(up(parseTopology(SMALL, 'small.yaml'))).rejects.toThrow(
        `network namespace ${other} exists, and was not made by this topology`,
      )
      expect(namespaces()).toEqual([other])
    } finally {
      ip('netns', 'del', other)
    }
  })

  it('says what was in the way of a node, and leaves nothing behind', async () => {
    const taken = parseTopology(
      SMALL.replace('ports: { to-b: {} }', 'ports: { to-b: {}, x: { nic: { name: l2l3-none } } }'),
      's',
    )
    await expect(up(taken)).rejects.toThrow(/^node one: .*l2l3-none/)
    expect(namespaces()).toEqual([])
    expect(existsSync(`${runBase()}/${NAME}`)).toBe(false)
  })
})

/** What makes a check one that goes to another endpoint. */
function targetOf(name: string): Partial<CheckSpec> {
  const target = topology.endpoints.find((e) => e.name === name) as CheckSpec['from']
  return { to: name, target, address: target.addresses[0] as CheckSpec['address'], servers: [target] }
}
