import { SECOND } from '@l2l3/switch-core'
import { buildInMemory, type MemoryWorld, parseIp, parseTopology, type Topology } from '@l2l3/topology'
import { describe, expect, it } from 'vitest'

/* What came and went hundreds of times has left nothing: no frame, no entry, no number, no byte on the heap. */

const read = (text: string): Topology => parseTopology(text, 'net.yaml')

/** Comings and goings between two looks at the heap, and in all, at least and at most. */
const ROUNDS = 100
const LEAST = 300
const MOST = 1000
/** Bytes. V8 itself keeps some hundred for each closure that was compiled; the least that a mode could leave behind is a link,
 * which has two lists of a kilobyte. */
const SMALLEST = 1500

/** Each mode without and with what comes and goes. */
const MODES: readonly (readonly [mode: string, without: string, within: string, speaks: readonly [string, string]])[] =
  [
    [
      'switch',
      '{ n: { mode: switch, endpoints: { red: { ip: 10.0.0.1/24 } } } }',
      '{ n: { mode: switch, static: [{ mac: 02:00:00:00:99:01, port: odd }], mirrors: [{ ports: [red], to: tap }], endpoints: { red: { ip: 10.0.0.1/24 }, odd: { ip: 10.0.0.2/24 }, tap: {} } } }',
      ['10.0.0.1', '10.0.0.9'],
    ],
    [
      'l2bridge',
      '{ n: { mode: l2bridge, hostMac: 00:0d:3a:00:00:01, endpoints: { red: { ip: 10.0.0.1/24 } } } }',
      '{ n: { mode: l2bridge, hostMac: 00:0d:3a:00:00:01, hostIps: [10.0.0.8], endpoints: { red: { ip: 10.0.0.1/24 }, odd: { ip: 10.0.0.2/24 }, host: { mac: 00:0d:3a:00:00:01, ip: 10.0.0.7/24 } } } }',
      ['10.0.0.1', '10.0.0.9'],
    ],
    [
      'router',
      '{ n: { mode: router, endpoints: { red: { ip: 10.0.0.1/24, gateway: 10.0.0.254/24 } } } }',
      `{ n: { mode: router, routes: [{ to: 10.9.0.0/16, via: 10.0.1.1 }, { to: 10.8.0.0/16, via: 10.6.0.2 }],
      tunnels: { vx: { type: vxlan, vni: 7, local: 10.0.0.254, ip: 10.244.1.0/32, subnets: [{ to: 10.244.2.0/24, remote: 10.0.0.1 }] }, ip0: { type: ipip, local: 10.0.0.254, remote: 10.0.0.1, ip: 10.6.0.1/30 }, tap0: { type: gretap, local: 10.0.0.254, remote: 10.0.0.1, ip: 10.7.0.1/30 }, f0: { type: flannel-udp, local: 10.0.0.254, ip: 10.245.1.0/32, subnets: [{ to: 10.245.2.0/24, remote: 10.0.0.1 }] } },
      endpoints: { red: { ip: 10.0.0.1/24, gateway: 10.0.0.254/24 }, odd: { ip: [10.0.1.1/24, "fd00::2/64"], gateway: [10.0.1.254/24, "fd00::1/64"] } } } }`,
      ['10.0.0.1', '10.0.1.99'],
    ],
    [
      'l3',
      '{ n: { mode: l3, routes: [{ to: 0.0.0.0/0, via: 192.0.2.2 }], endpoints: { red: { ip: 10.0.0.1/32 } }, uplink: { ip: 192.0.2.1/24 } }, m: { mode: switch, uplink: {} } }',
      '{ n: { mode: l3, blocks: [10.0.0.0/26], routes: [{ to: 0.0.0.0/0, via: 192.0.2.2 }, { to: 10.9.0.0/16, blackhole: true }], endpoints: { red: { ip: 10.0.0.1/32 }, odd: { ip: [10.0.0.2/32, "fd00::2/128"] } }, uplink: { ip: 192.0.2.1/24 } }, m: { mode: switch, uplink: {} } }',
      ['10.0.0.1', '10.0.0.1'],
    ],
    [
      'nat',
      '{ n: { mode: nat, inside: { ip: [10.0.0.254/24, "fd00::1/64"] }, conntrack: { maxFlows: 1024 }, endpoints: { red: { ip: 10.0.0.1/24 } }, uplink: { ip: [192.0.2.1/24, "2001:db8::1/64"] } }, m: { mode: router, ports: { n: { ip: 192.0.2.2/24 } } } }',
      `{ n: { mode: nat, inside: { ip: [10.0.0.254/24, "fd00::1/64"] }, conntrack: { maxFlows: 1024 }, outbound: [{ exceptions: [10.9.0.0/16] }, { from: [10.7.0.0/16], mapping: endpoint-independent, filtering: endpoint-independent, addresses: [192.0.2.8, "2001:db8::8"] }],
      portMappings: [{ port: 8080, to: odd, toPort: 80 }], services: { web: { port: 80, clusterIps: [10.96.0.1, "fd00:96::1"], nodePort: 30080, distribution: source-ip, affinityTimeout: 60, backends: [{ to: red }, { to: odd }] } }, routes: [{ to: 10.9.0.0/16, via: 192.0.2.2 }],
      endpoints: { red: { ip: 10.0.0.1/24 }, odd: { ip: [10.0.0.2/24, "fd00::2/64"] } }, uplink: { ip: [192.0.2.1/24, "2001:db8::1/64"] } }, m: { mode: router, ports: { n: { ip: 192.0.2.2/24 } } } }`,
      ['10.0.0.1', '192.0.2.2'],
    ],
    [
      'vtep',
      '{ n: { mode: vtep, networks: { a: { vni: 42, remotes: [192.0.2.2] }, g: { encapsulation: gretap, remotes: [192.0.2.2] } }, endpoints: { red: { ip: 10.0.0.1/24, network: a } }, uplink: { ip: 192.0.2.1/24 } }, m: { mode: switch, uplink: {} } }',
      `{ n: { mode: vtep, networks: { a: { vni: 42, remotes: [192.0.2.2, 192.0.2.3], static: [{ mac: 02:00:00:00:99:01, remote: 192.0.2.4 }], prefixes: [{ to: 10.9.0.0/16, remote: 192.0.2.5 }] }, g: { encapsulation: gretap, remotes: [192.0.2.2, 192.0.2.3] }, b: { encapsulation: geneve, vni: 43, remotes: [192.0.2.3] } },
      routes: [{ to: 10.9.0.0/16, via: 192.0.2.2 }], endpoints: { red: { ip: 10.0.0.1/24, network: a }, odd: { ip: 10.0.0.2/24, network: a }, pink: { ip: 10.0.0.2/24, network: b }, lime: { ip: 10.0.0.3/24, network: g } }, uplink: { ip: 192.0.2.1/24 } }, m: { mode: switch, uplink: {} } }`,
      ['10.0.0.1', '10.0.0.9'],
    ],
  ]

const whole = (nodes: string): Topology =>
  read(
    `name: t\nnodes: ${nodes}\n${nodes.includes(' m: ') ? `links: [[n/uplink, ${nodes.includes('ports: { n:') ? 'm/n' : 'm/uplink'}]]\n` : ''}`,
  )

/** What could run out: entries and rows of everything that people can see. */
function size(w: MemoryWorld): unknown {
  const { ports, fdb, neighbours, routes, flows, services } = w.snapshot()
  return {
    ports: ports.map((p) => `${p.node}/${p.port} ${p.tunnel ?? ''}`),
    routes: routes.map((r) => `${r.node} ${r.to} ${r.kind} ${r.via.join()}`).sort(),
    ...{ fdb: fdb.length, neighbours: neighbours.length, flows: flows.length, services: services.length },
    ticks: w.loop.ports.length,
  }
}

/** Bytes that something still refers to, those of typed arrays included. */
function heapUsed(): number {
  const { gc } = globalThis as { gc?: () => void }
  if (gc === undefined) throw new Error('run with --expose-gc')
  gc()
  gc()
  const { heapUsed: heap, arrayBuffers } = process.memoryUsage()
  return heap + arrayBuffers
}

describe('hundreds of comings and goings leave nothing', () => {
  it.each(MODES)('mode %s', async (_mode, without, within, [, nobody]) => {
    const [bare, full] = [whole(without), whole(within)]
    const w = buildInMemory(bare)
    w.advance(SECOND)
    // `expect` keeps something of each call.
    let balanced = true
    /** There and back, with traffic that is under way in both directions of it: to one who goes, and to one who is not there. */
    const round = async (): Promise<void> => {
      await w.apply(full)
      const { bytes } = w.host('red').addresses[0] as { bytes: Uint8Array }
      w.host('odd').ping(bytes, 1, 56, SECOND / 10)
      w.host('odd').ping(parseIp(nobody).bytes, 1, 56, SECOND / 10)
      for (let i = 0; i < 3; i++) w.step()
      w.host('red').ping(w.host('odd').addresses[0]?.bytes as Uint8Array, 1, 56, SECOND / 10)
      w.loop.turn()
      await w.apply(bare)
      balanced &&= w.pool.report().balanced
    }
    for (let i = 0; i < 20; i++) await round()
    w.advance(400 * SECOND)
    const before = size(w)
    let rounds = 0
    let growth = Number.POSITIVE_INFINITY
    // As `heapGrowth` does it: what leaks does so each time.
    while (rounds < LEAST || (rounds < MOST && growth >= ROUNDS * SMALLEST)) {
      const start = heapUsed()
      for (let i = 0; i < ROUNDS; i++) await round()
      // Who waited for an answer has given up.
      w.advance(400 * SECOND)
      growth = Math.min(growth, heapUsed() - start)
      rounds += ROUNDS
    }
    expect(balanced).toBe(true)
    w.advance(400 * SECOND)
    expect(size(w)).toEqual(before)
    expect(w.pool.report()).toMatchObject({ balanced: true, held: 0 })
    expect(growth).toBeLessThan(ROUNDS * SMALLEST)
  })
})
