import { execFileSync } from 'node:child_process'
import { changes, linuxProblem, namespaceName, parseTopology, upOnLinux } from '@l2l3/topology'
import { expect, it } from 'vitest'

/* How many frames wait in a TAP: of all TAPs of a topology, and of one. */

const text = (queue: string): string => `
name: queue${process.pid}
${queue}
nodes: { sw1: { mode: switch, endpoints: { red: { ip: 10.78.0.1/24 } }, ports: { out: { tap: { queue: 40 } } } } }
`

const lengthOf = (device: string, ...where: string[]): number => {
  const [link] = JSON.parse(String(execFileSync('ip', [...where, '-j', 'link', 'show', 'dev', device])))
  return link.txqlen
}

it('is read, checked, and needs a restart', () => {
  const before = parseTopology(text(''), 'q.yaml')
  const next = parseTopology(text('queue: 100'), 'q.yaml')
  expect([before.queue, next.queue]).toEqual([undefined, 100])
  expect(changes(before, next)).toMatchObject([{ text: '~ queue default -> 100', restart: 'what runs keeps its TAPs' }])
  for (const wrong of ['queue: 0', 'queue: 10001', 'queue: many']) {
    expect(() => parseTopology(text(wrong), 'q.yaml')).toThrow(/q\.yaml:3.*queue/)
  }
})

it('is that of the devices', async (context) => {
  const problem = await linuxProblem()
  if (problem !== null) context.skip(problem)
  for (const [queue, expected] of [
    ['', 256],
    ['queue: 100', 100],
  ] as const) {
    const topology = parseTopology(text(queue), 'q.yaml')
    await using world = await upOnLinux(topology)
    const [red] = topology.endpoints
    expect(lengthOf('eth0', '-n', namespaceName(topology, red as NonNullable<typeof red>))).toBe(expected)
    const device = topology.nodes[0]?.ports.find((port) => port.name === 'out')?.device
    const name = device?.kind === 'tap' ? device.name : ''
    expect(lengthOf(name)).toBe(40)
    expect(world.topology).toBe(topology)
  }
})
