import { spawn } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import {
  type CheckResult,
  type LinuxWorld,
  linuxProblem,
  parseTopology,
  type RealWorld,
  type Topology,
  TopologyError,
  upOnLinux,
} from '@l2l3/topology'
import { beforeEach, describe, expect, it } from 'vitest'

/* What runs on Linux becomes another topology, while pings and TCP pass between hosts that stay. */

const problem = await linuxProblem()
const NAME = `apply${process.pid}`
const nodeArguments = ['--conditions=@l2l3/source', '--import', createRequire(import.meta.url).resolve('tsx')]

beforeEach((context) => {
  if (problem !== null) context.skip(problem)
})

/** n1 with red and blue, which stay, and whatever else; a host on the segment; routes of n1 and of the router. */
function text({ pods = '', hosts = '', routes = '', routerRoutes = '', idle = '', checks = '' }): Topology {
  return parseTopology(
    `
name: ${NAME}
segments:
  lan:
    router: { ip: 192.0.2.254/24, routes: [{ to: 10.1.0.0/24, via: 192.0.2.1 }${routerRoutes}] }
    hosts: { client: { ip: 192.0.2.9/24 }${hosts} }
nodes:
  n1:
    mode: l3
    uplink: { ip: 192.0.2.1/24, segment: lan }
    routes: [{ to: 0.0.0.0/0, via: 192.0.2.254 }${routes}]
    endpoints:
      red: { ip: 10.1.0.1/32 }
      blue: { ip: 10.1.0.2/32 }
      ${pods}
  n2: { mode: switch, endpoints: { idle: { ip: 10.2.0.1/24 }${idle} } }
checks:
  - tcp: { from: red, to: client, bytes: 30 MB }
  ${checks}
`,
    'apply.yaml',
  )
}

const namespaces = (): string[] => readdirSync('/run/netns').filter((name) => name.startsWith(`l2l3-${NAME}.`))

/** Pings in a namespace, as often as can be answered one after the other; gives how many were sent and answered. */
function flood(from: string, to: string): { stop: () => Promise<{ sent: number; received: number }> } {
  const words = ['netns', 'exec', `l2l3-${NAME}.${from}`, 'ping', '-n', '-q', '-i', '0.005', '-W', '2', to]
  const child = spawn('ip', words, { stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  child.stdout.on('data', (data) => {
    said += data
  })
  return {
    stop: () =>
      new Promise((resolve) => {
        child.on('close', () => {
          const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(said) ?? []
          resolve({ sent: Number(sent), received: Number(received) })
        })
        child.kill('SIGINT')
      }),
  }
}

async function through(world: LinuxWorld | RealWorld): Promise<void> {
  const captured = new Map<string, number>()
  const endCapture = await world.capture((label) => (chunk) => {
    captured.set(label, (captured.get(label) ?? 0) + chunk.length)
  })
  const pings = [flood('red', '10.1.0.2'), flood('client', '10.1.0.1')]
  const transfer = world.runChecks()
  const failures: string[] = []
  const judge = (results: CheckResult[]): void => {
    failures.push(...results.filter((r) => !r.ok || r.skipped).map((r) => `${r.text}: ${r.detail}`))
  }
  for (let i = 0; i < 2; i++) {
    // Green comes, on n1, and a host on the segment with a network behind it, to which routes lead.
    const more = text({
      pods: 'green: { ip: 10.1.0.3/32 }',
      hosts: ', guest: { ip: 192.0.2.10/24 }',
      routes: ', { to: 10.9.0.0/24, via: 192.0.2.10 }',
      routerRoutes: ', { to: 10.9.0.0/24, via: 192.0.2.10 }',
      checks: '- ping: { from: green, to: red, count: 1 }\n  - ping: { from: guest, to: green, count: 1 }',
    })
    await world.apply(more)
    expect(world.topology).toBe(more)
    judge(await Promise.all(more.checks.slice(1).map((check) => world.check(check))))
    // It becomes another of its name, and goes.
    const other = text({
      pods: 'green: { ip: 10.1.0.4/32, mtu: 1400 }',
      checks: '- ping: { from: red, to: green, count: 1 }',
    })
    await world.apply(other)
    judge(await Promise.all(other.checks.slice(1).map((check) => world.check(check))))
    expect(namespaces().some((name) => name.endsWith('.guest'))).toBe(false)
    await world.apply(text({}))
    expect(namespaces().some((name) => name.endsWith('.green'))).toBe(false)
  }
  judge(await transfer)
  expect(failures).toEqual([])
  for (const ping of pings) {
    const { sent, received } = await ping.stop()
    expect(sent).toBeGreaterThan(50)
    // The last may be under way.
    expect(sent - received).toBeLessThanOrEqual(1)
  }
  await endCapture()
  expect([...captured.keys()]).toContain('n1/green')
  expect(captured.get('n1/green')).toBeGreaterThan(500)
  const { ledger, ports } = await world.snapshot()
  expect(ledger.balanced).toBe(true)
  expect(
    ports
      .filter((p) => p.node === 'n1')
      .map((p) => p.port)
      .sort(),
  ).toEqual(['blue', 'red', 'uplink'])
}

describe('changes while traffic passes', { timeout: 90_000 }, () => {
  it('where all nodes are in one process', async () => {
    const world = await upOnLinux(text({}))
    try {
      await through(world)
      const wrong = parseTopology(`name: ${NAME}\nnodes: { n2: { mode: switch } }\n`, 'wrong.yaml')
      await expect(world.apply(wrong)).rejects.toThrow(TopologyError)
    } finally {
      await world.close()
    }
    expect(namespaces()).toEqual([])
  })

  it('where they are processes of their own', async () => {
    const world = await upOnLinux(text({}), { real: true, nodeArguments })
    try {
      await through(world)
      // A host that cannot be made stops the change, and is nowhere.
      const taken = `l2l3-${NAME}.odd`
      spawn('ip', ['netns', 'add', taken])
      await new Promise((resolve) => setTimeout(resolve, 100))
      await expect(world.apply(text({ pods: 'odd: { ip: 10.1.0.5/32 }' }))).rejects.toThrow(
        'was not made by this topology',
      )
      expect(existsSync(`/run/netns/${taken}`)).toBe(true)
      spawn('ip', ['netns', 'del', taken])
      await new Promise((resolve) => setTimeout(resolve, 100))
      await world.apply(text({ pods: 'odd: { ip: 10.1.0.5/32 }' }))
      await expect(world.apply(text({ idle: ', odd: { ip: 10.2.0.5/24 }' }))).rejects.toThrow(
        /^apply.yaml:\d+:\d+: nodes.n2.endpoints.odd: endpoint odd from n1 to n2: needs a restart/,
      )
      process.kill(world.processes.get('n2') as number, 'SIGKILL')
      process.kill(world.processes.get('n1') as number, 'SIGKILL')
      await expect(world.stopped).rejects.toThrow('the processes of all nodes have ended')
      await expect(world.apply(text({}))).rejects.toThrow(
        'node n1 cannot change: its process has ended: killed by SIGKILL',
      )
    } finally {
      await world.close()
    }
    expect(namespaces()).toEqual([])
  })
})
