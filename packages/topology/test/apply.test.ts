import { SECOND } from '@l2l3/switch-core'
import { buildInMemory, type MemoryWorld, parseIp, parseTopology, type Topology } from '@l2l3/topology'
import { describe, expect, it } from 'vitest'

/* What runs becomes another topology while traffic flows: nothing is lost on others, and nothing is left behind. */

const read = (text: string): Topology => parseTopology(text, 'net.yaml')

const BYTES = 100_000

/** Who sends to which address, and who gets it. */
type Way = readonly [from: string, address: string, to: string]

/** Applies `times` changes, each while pings and a transfer of TCP are under way between others: every frame must arrive. */
async function through(text: (i: number) => string, ways: readonly Way[], times: number): Promise<MemoryWorld> {
  const w = buildInMemory(read(text(0)))
  const begin = (from: string, address: string, bytes: number) => {
    const { bytes: ip } = parseIp(address)
    return { ping: w.host(from).ping(ip, 1, 56, 10 * SECOND), transfer: w.host(from).transfer(ip, bytes) }
  }
  // What is to be found out is known when it begins.
  for (const [from, address] of ways) begin(from, address, 1)
  w.advance(3 * SECOND)
  expect(w.pool.report().held).toBe(0)
  // What ends at a node has done its work there: ARP, and the like.
  const lost = () => ({ ...w.pool.report().dropped, Consumed: 0 })
  const before = lost()
  let midst = 0
  const begun: [Way, ReturnType<typeof begin>][] = []
  for (let i = 1; i <= times; i++) {
    for (const way of ways) begun.push([way, begin(way[0], way[1], BYTES)])
    // In the midst of it: frames wait in links and ports.
    for (let round = 0; round < 2 + (i % 5); round++) w.step()
    if (w.pool.report().held > 0) midst++
    await w.apply(read(text(i)))
    expect(w.pool.report().balanced).toBe(true)
    if (i % 10 === 0) w.advance(SECOND / 10)
  }
  w.advance(2 * SECOND)
  // Not one was dropped, nor asked for again.
  expect(lost()).toEqual(before)
  for (const [[, , to], { ping, transfer }] of begun) {
    expect(ping.received).toBe(1)
    expect(transfer?.connection.state).toBe('done')
    expect(transfer !== null && w.host(to).receiver(transfer)).toMatchObject({ intact: true, bytes: BYTES })
  }
  expect(midst).toBeGreaterThan(times / 2)
  expect(w.pool.report()).toMatchObject({ balanced: true, held: 0 })
  return w
}

describe('traffic of others passes while 100 changes are made', () => {
  it('on a switch: endpoints, static addresses, mirrors', async () => {
    const text = (i: number): string => `
name: t
nodes:
  sw:
    mode: switch
    static: [{ mac: 02:00:00:00:99:0${i % 5}, port: ${i % 2 ? 'red' : 'blue'} }]
    ${i % 3 === 0 ? 'mirrors: [{ ports: [extra], to: tap }]' : ''}
    endpoints:
      ${i % 4 === 1 ? 'odd: { ip: 10.0.0.7/24 }' : ''}
      red: { ip: 10.0.0.1/24 }
      blue: { ip: 10.0.0.2/24 }
      extra: { ip: 10.0.0.${10 + i}/24 }
      tap: {}
`
    await through(text, [['red', '10.0.0.2', 'blue']], 100)
  })

  it('on an l2bridge: pods, the node itself, its addresses', async () => {
    const text = (i: number): string => `
name: t
nodes:
  n1:
    mode: l2bridge
    hostMac: 00:0d:3a:00:00:01
    ${i % 3 === 0 ? 'hostIps: [10.0.0.200]' : ''}
    endpoints:
      ${i % 2 === 1 ? 'node: { mac: 00:0d:3a:00:00:01, ip: 10.0.0.100/24 }' : ''}
      red: { ip: 10.0.0.1/24 }
      blue: { ip: 10.0.0.2/24 }
      extra: { ip: 10.0.0.${10 + (i % 50)}/24 }
    uplink: {}
  lan: { mode: switch, endpoints: { out: { ip: 10.0.0.9/24 } }, uplink: {} }
links: [[n1/uplink, lan/uplink]]
`
    await through(
      text,
      [
        ['red', '10.0.0.2', 'blue'],
        ['out', '10.0.0.1', 'red'],
      ],
      100,
    )
  })

  it('on a router and through its tunnels: hosts, routes, tunnels, nodes of a tunnel', async () => {
    const text = (i: number): string => `
name: t
nodes:
  r1:
    mode: router
    routes:
      - { to: 10.9.0.0/16, via: 192.0.2.2 }
      ${i % 2 ? '- { to: 10.77.0.0/16, blackhole: true }' : '- { to: 10.78.0.0/16, via: [192.0.2.2, 192.0.2.3] }'}
    tunnels:
      vx:
        type: vxlan
        vni: 7
        local: 192.0.2.1
        ip: 10.244.1.0/32
        subnets:
          - { to: 10.244.2.0/24, remote: 192.0.2.2 }
          ${i % 3 ? `- { to: 10.244.${3 + (i % 20)}.0/24, remote: 192.0.2.${3 + (i % 20)} }` : ''}
      ${i % 4 ? 'ip0: { type: ipip, local: 192.0.2.1, remote: 192.0.2.77, ip: 10.6.0.1/30 }' : ''}
    endpoints:
      red: { ip: 10.244.1.10/24, gateway: 10.244.1.1/24, mtu: 1450 }
      ${i % 5 ? `extra: { ip: 10.1.${i}.2/24, gateway: 10.1.${i}.1/24 }` : ''}
    uplink: { ip: 192.0.2.1/24 }
  r2:
    mode: router
    routes: [{ to: 10.244.1.0/32, via: 192.0.2.1 }]
    tunnels:
      vx:
        type: vxlan
        vni: 7
        local: 192.0.2.2
        ip: 10.244.2.0/32
        subnets: [{ to: 10.244.1.0/24, remote: 192.0.2.1 }]
    endpoints:
      blue: { ip: 10.244.2.10/24, gateway: 10.244.2.1/24, mtu: 1450 }
      far: { ip: 10.9.1.2/24, gateway: 10.9.1.1/24 }
    uplink: { ip: 192.0.2.2/24 }
links: [[r1/uplink, r2/uplink]]
`
    const w = await through(text, [['red', '10.244.2.10', 'blue']], 100)
    expect(w.snapshot().ports.filter((p) => p.tunnel !== undefined)).toHaveLength(2)
  })

  it('on an l3 node: pods, blocks, routes', async () => {
    const text = (i: number): string => `
name: t
nodes:
  n1:
    mode: l3
    antiSpoofing: true
    blocks: [10.244.${1 + (i % 2)}.0/26]
    routes: [{ to: 0.0.0.0/0, via: 192.0.2.2 }${i % 3 ? ', { to: 10.99.0.0/16, via: 192.0.2.2 }' : ''}]
    endpoints:
      red: { ip: 10.244.1.5/32 }
      blue: { ip: [10.244.1.6/32, "fd00::6/128"] }
      extra: { ip: 10.244.1.${10 + (i % 50)}/32 }
    uplink: { ip: 192.0.2.1/24 }
  net:
    mode: router
    routes: [{ to: 10.244.1.0/24, via: 192.0.2.1 }]
    endpoints: { out: { ip: 198.51.100.2/24, gateway: 198.51.100.1/24 } }
    ports: { n1: { ip: 192.0.2.2/24 } }
links: [[n1/uplink, net/n1]]
`
    await through(
      text,
      [
        ['red', '10.244.1.6', 'blue'],
        ['out', '10.244.1.5', 'red'],
      ],
      100,
    )
  })

  it('on a NAT node, translated: pods, rules, exceptions, mappings, services and their backends', async () => {
    const text = (i: number): string => `
name: t
nodes:
  n1:
    mode: nat
    inside: { ip: 10.22.0.1/24 }
    outbound:
      - { exceptions: [10.${i}.0.0/16] }
      ${i % 2 ? '- { from: [10.23.0.0/16], addresses: [203.0.113.9] }' : ''}
    portMappings:
      - { port: 8080, to: red, toPort: 5001 }
      ${i % 3 ? `- { port: ${9000 + i}, to: blue, toPort: 80 }` : ''}
    services:
      web: { port: 80, clusterIps: [10.96.0.1], backends: [{ to: blue }${i % 2 ? ', { to: 10.22.0.77, local: true }' : ''}] }
      ${i % 4 ? `s${i}: { port: ${80 + i}, clusterIps: [10.96.0.2], nodePort: ${30000 + i}, backends: [{ to: blue }] }` : ''}
    routes: [{ to: 198.51.100.0/24, via: 203.0.113.2 }${i % 5 ? ', { to: 10.99.0.0/16, via: 203.0.113.2 }' : ''}]
    endpoints:
      red: { ip: 10.22.0.11/24 }
      blue: { ip: 10.22.0.12/24 }
      extra: { ip: 10.22.0.${20 + i}/24 }
    uplink: { ip: 203.0.113.1/24 }
  net:
    mode: router
    endpoints: { out: { ip: 198.51.100.2/24, gateway: 198.51.100.1/24 } }
    ports: { n1: { ip: 203.0.113.2/24 } }
links: [[n1/uplink, net/n1]]
`
    const w = await through(
      text,
      [
        ['red', '198.51.100.2', 'out'],
        ['red', '10.22.0.12', 'blue'],
      ],
      100,
    )
    expect(w.snapshot().services.map((s) => s.name)).toContain('web')
  })

  it('on a VTEP: ports, far ends, static addresses, prefixes, networks', async () => {
    const text = (i: number): string => `
name: t
nodes:
  n1:
    mode: vtep
    uplink: { ip: 192.0.2.1/24 }
    networks:
      blue:
        vni: 42
        remotes: [192.0.2.2${i % 2 ? ', 192.0.2.3' : ''}]
        static: [{ mac: 02:00:00:00:99:01, remote: 192.0.2.${3 + (i % 9)} }]
        ${i % 3 ? `prefixes: [{ to: 10.${i}.0.0/16, remote: 192.0.2.${3 + (i % 7)} }]` : ''}
      gre: { encapsulation: gretap, key: 1, remotes: [192.0.2.2${i % 2 ? ', 192.0.2.4' : ''}] }
      ${i % 4 ? 'more: { vni: 43, remotes: [192.0.2.5] }' : ''}
    endpoints:
      red: { ip: 10.0.0.1/24, network: blue, mtu: 1450 }
      lime: { ip: 10.0.1.1/24, network: gre, mtu: 1400 }
      ${i % 4 ? `odd: { ip: 10.0.0.1/24, network: more }` : ''}
      extra: { ip: 10.0.0.${10 + i}/24, network: blue }
  n2:
    mode: vtep
    uplink: { ip: 192.0.2.2/24 }
    networks:
      blue: { vni: 42, remotes: [192.0.2.1] }
      gre: { encapsulation: gretap, key: 1, remotes: [192.0.2.1] }
    endpoints:
      sky: { ip: 10.0.0.2/24, network: blue, mtu: 1450 }
      pink: { ip: 10.0.1.2/24, network: gre, mtu: 1400 }
links: [[n1/uplink, n2/uplink]]
`
    const w = await through(
      text,
      [
        ['red', '10.0.0.2', 'sky'],
        ['lime', '10.0.1.2', 'pink'],
      ],
      100,
    )
    expect(w.snapshot().routes.filter((r) => r.node === 'n1' && r.to === '10.100.0.0/16')).toHaveLength(1)
  })
})
