import { execFileSync } from 'node:child_process'
import { linuxProblem, parseTopology, upOnLinux } from '@l2l3/topology'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

/*
 * What an underlay can be on Linux besides TAPs and cables: interfaces that exist, and UDP sockets of the machine itself.
 *
 *     h1 ==TAP== [ n1 ] -- u1 192.0.2.1, namespace one ---veth--- u2 192.0.2.2, namespace two -- [ n2 ] ==TAP== h2
 */

const problem = await linuxProblem()
const PREFIX = `l2l3-und${process.pid}`
const [ONE, TWO] = [`${PREFIX}-1`, `${PREFIX}-2`]
const NAME = `und${process.pid}`

function ip(...args: string[]): string {
  return execFileSync('ip', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

beforeEach((context) => {
  if (problem !== null) context.skip(problem)
  for (const name of [ONE, TWO]) {
    ip('netns', 'add', name)
    ip('-n', name, 'link', 'set', 'lo', 'up')
  }
  ip('link', 'add', 'u1', 'netns', ONE, 'type', 'veth', 'peer', 'name', 'u2', 'netns', TWO)
  ip('-n', ONE, 'link', 'set', 'u1', 'up')
  ip('-n', TWO, 'link', 'set', 'u2', 'up')
})
afterEach(() => {
  if (problem !== null) return
  for (const name of [ONE, TWO]) ip('netns', 'del', name)
})

/** Two nodes with these uplinks and network; what their checks did wrong, and how super-frames leave by the uplinks. */
async function failures(uplink: (n: number) => string, network: (n: number) => string): Promise<[string[], string[]]> {
  const node = (n: number): string => `
  n${n}:
    mode: vtep
    uplink: ${uplink(n)}
    networks: { blue: { vni: 42, ${network(n)} } }
    endpoints: { h${n}: { ip: [10.77.0.${n}/24, "fd77::${n}/64"], mtu: 1430 } }`
  const text = `
name: ${NAME}
nodes: ${node(1)}${node(2)}
checks:
  - ping: { from: h1, to: h2 }
  - tcp: { from: h1, to: h2, bytes: 5 MB }
  - tcp: { from: h2, to: h1, bytes: 5 MB }
`
  await using world = await upOnLinux(parseTopology(text, 'net.yaml'))
  const results = await world.runChecks()
  const snapshot = await world.snapshot()
  expect(snapshot.ledger.balanced).toBe(true)
  return [
    results.filter((r) => !r.ok).map((r) => `${r.text}: ${r.detail}`),
    snapshot.ports.filter((p) => p.port === 'uplink').map((p) => p.offloads),
  ]
}

const sides = [ONE, TWO]
const remote = (n: number): string => `remotes: [192.0.2.${3 - n}]`

describe('tunnels over', { timeout: 60_000 }, () => {
  it('interfaces that exist', async () => {
    const nic = (n: number): string => `{ ip: 192.0.2.${n}/24, nic: { name: u${n}, netns: ${sides[n - 1]} } }`
    expect(await failures(nic, remote)).toEqual([[], ['checksum, tso, uso', 'checksum, tso, uso']])
  })

  it('interfaces that exist, without offloads', async () => {
    const nic = (n: number): string =>
      `{ ip: 192.0.2.${n}/24, nic: { name: u${n}, netns: ${sides[n - 1]}, offloads: false } }`
    for (const [i, netns] of sides.entries()) {
      execFileSync('ip', ['netns', 'exec', netns, 'ethtool', '-K', `u${i + 1}`, 'tx', 'off'], { stdio: 'ignore' })
    }
    expect(await failures(nic, remote)).toEqual([[], ['none', 'none']])
  })

  it.each([
    ['as rows and trains', '', 'out UDP_SEGMENT, in UDP_GRO, merged'],
    ['one datagram at a time', ', send: single, receive: single', 'out a datagram each, in a datagram each'],
  ])('UDP sockets, %s', async (_, how, said) => {
    ip('-n', ONE, 'addr', 'add', '192.0.2.1/24', 'dev', 'u1')
    ip('-n', TWO, 'addr', 'add', '192.0.2.2/24', 'dev', 'u2')
    const udp = (n: number): string => `{ udp: { address: 192.0.2.${n}, netns: ${sides[n - 1]}${how} } }`
    expect(await failures(udp, remote)).toEqual([[], [said, said]])
  })

  it('UDP sockets of IPv6, a port of their own, GENEVE', async () => {
    ip('-n', ONE, 'addr', 'add', '2001:db8::1/64', 'dev', 'u1', 'nodad')
    ip('-n', TWO, 'addr', 'add', '2001:db8::2/64', 'dev', 'u2', 'nodad')
    const udp = (n: number): string => `{ udp: { address: "2001:db8::${n}", port: 6081, netns: ${sides[n - 1]} } }`
    const network = (n: number): string => `encapsulation: geneve, remotes: ["2001:db8::${3 - n}"]`
    expect((await failures(udp, network))[0]).toEqual([])
  })
})

it('a TAP carries super-frames inside tunnels whole only where it may', async () => {
  const text = `
name: ${NAME}
nodes:
  n1:
    mode: vtep
    uplink: { ip: 192.0.2.1/24, mtu: 1600, tap: { name: t${process.pid}, tunnelOffloads: false } }
    networks: { blue: { vni: 42 } }
    endpoints: { h1: { ip: 10.77.0.1/24 } }
`
  await using world = await upOnLinux(parseTopology(text, 'net.yaml'))
  const uplink = (await world.snapshot()).ports.find((p) => p.port === 'uplink')
  expect(uplink?.offloads).toMatch(/^checksum, tso/)
  expect(uplink?.offloads).not.toContain('tunnel')
  expect(ip('link', 'show', `t${process.pid}`)).toContain('mtu 1600')
})
