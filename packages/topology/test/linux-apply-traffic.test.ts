import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { linuxProblem, namespaceName, parseTopology, type Topology, upOnLinux } from '@l2l3/topology'
import { beforeEach, expect, it } from 'vitest'

/*
 * The kernel's own programs send through a node while 100 changes are made to it: not one echo is lost.
 *
 *     red ── ping -f, iperf3 ──> blue        on the switch of the inside
 *     red ── ping -f ──────────> out         translated, over a cable to a router
 */

const NAME = `traffic${process.pid}`
const CHANGES = 100
const problem = await linuxProblem()
const run = promisify(execFile)

beforeEach((context) => {
  if (problem !== null) context.skip(problem)
})

const text = (i: number): Topology =>
  parseTopology(
    `
name: ${NAME}
nodes:
  n1:
    mode: nat
    inside: { ip: 10.22.0.1/24 }
    outbound: [{ exceptions: [10.${i}.0.0/16] }]
    routes: [{ to: 0.0.0.0/0, via: 203.0.113.2 }${i % 3 ? ', { to: 10.99.0.0/16, blackhole: true }' : ''}]
    portMappings: [{ port: ${9000 + i}, to: blue, toPort: 80 }]
    services: { web: { port: 80, clusterIps: [10.96.0.1], backends: [{ to: blue }${i % 2 ? ', { to: 10.22.0.77 }' : ''}] } }
    endpoints:
      red: { ip: 10.22.0.11/24 }
      blue: { ip: 10.22.0.12/24 }
      ${i % 10 >= 5 ? `extra${i % 20 > 10 ? 1 : 2}: { ip: 10.22.0.${20 + (i % 20)}/24 }` : ''}
    uplink: { ip: 203.0.113.1/24 }
  net:
    mode: router
    routes: [{ to: 10.8.${i}.0/24, blackhole: true }]
    endpoints: { out: { ip: 198.51.100.2/24, gateway: 198.51.100.1/24 } }
    ports: { n1: { ip: 203.0.113.2/24 } }
links: [[n1/uplink, net/n1]]
`,
    'traffic.yaml',
  )

it('loses no ping of a flood, translated or not, while it is changed', { timeout: 180_000 }, async () => {
  const first = text(0)
  await using world = await upOnLinux(first)
  const inside = (name: string, ...command: string[]): Promise<{ stdout: string }> =>
    run('ip', ['netns', 'exec', namespaceName(first, { name }), ...command])
  const dropped = async (): Promise<object> => ({ ...(await world.snapshot()).ledger.dropped, Consumed: 0 })
  for (const to of ['10.22.0.12', '198.51.100.2']) await inside('red', 'ping', '-c', '2', '-i', '0.2', to)
  const server = inside('blue', 'iperf3', '-s', '-1')
  await new Promise((resolve) => setTimeout(resolve, 300))
  const before = await dropped()
  const floods = ['10.22.0.12', '198.51.100.2'].map((to) => {
    const child = execFile('ip', ['netns', 'exec', namespaceName(first, { name: 'red' }), 'ping', '-f', '-q', to])
    let said = ''
    child.stdout?.on('data', (data) => {
      said += data
    })
    const end = new Promise<string>((resolve) => child.on('close', () => resolve(said)))
    return (): Promise<string> => {
      child.kill('SIGINT')
      return end
    }
  })
  const tcp = inside('red', 'iperf3', '-c', '10.22.0.12', '-n', '200M', '-J')
  let made = 0
  while (made < CHANGES) {
    await world.apply(text(++made))
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  for (const stop of floods) {
    const said = await stop()
    const [sent = 0, received = 0] = /(\d+) packets transmitted, (\d+) received/.exec(said)?.slice(1).map(Number) ?? []
    expect(sent).toBeGreaterThan(1000)
    // The last may be under way.
    expect(sent - received).toBeLessThanOrEqual(1)
  }
  const report = JSON.parse((await tcp).stdout) as { end: { sum_received: { bytes: number } } }
  expect(report.end.sum_received.bytes).toBeGreaterThan(199_000_000)
  await server
  // Neighbour discovery of those who came is dropped where nobody is there for it; nothing else is.
  const { GroupDestination: _, PortClosed: _closed, ...lost } = (await dropped()) as Record<string, number>
  const { GroupDestination: _g, PortClosed: _c, ...known } = before as Record<string, number>
  expect(lost).toEqual(known)
  expect((await world.snapshot()).ledger.balanced).toBe(true)
})
