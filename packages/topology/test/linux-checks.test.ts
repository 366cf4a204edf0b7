import {
  type CheckSpec,
  type EndpointSpec,
  type LinuxWorld,
  linuxProblem,
  parseTopology,
  upOnLinux,
} from '@l2l3/topology'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { httpCheck } from '../src/linux/service-checks.ts'

/*
 * Each kind of check on Linux, where it must pass and where it must not, in one world:
 *
 *     a, b: pods behind a NAT with services         outside: a host on the street
 *     [ node ] 192.0.2.1 ----- street (a segment, whose wire doubles every frame) ----- outside 192.0.2.9
 */

const TEXT = `
name: checks${process.pid}
segments:
  street:
    hosts: { outside: { ip: [192.0.2.9/24, "2001:db8::9/64"], gateway: [192.0.2.1, "2001:db8::1"] } }
    faults: { duplicate: 1 }
nodes:
  node:
    mode: nat
    inside: { ip: [10.82.0.1/24, "fd82::1/64"] }
    uplink: { ip: [192.0.2.1/24, "2001:db8::1/64"], segment: street }
    endpoints:
      a: { ip: [10.82.0.11/24, "fd82::11/64"], mac: 02:00:00:00:82:0a }
      b: { ip: [10.82.0.12/24, "fd82::12/64"] }
    services:
      web: { port: 80, clusterIps: [10.96.0.10], backends: [{ to: a, port: 8080 }, { to: b, port: 8080 }] }
      dns: { port: 53, protocol: udp, clusterIps: [10.96.0.11], backends: [{ to: a, port: 5353 }, { to: b, port: 5353 }] }
      gone: { port: 80, clusterIps: [10.96.0.12] }
    portMappings: [{ protocol: udp, port: 5000, to: a, toPort: 7 }]
checks:
  - udp: { from: a, to: outside }
    path: [node/a, node, node/uplink, street, street/outside]
  - udp: { from: a, to: 10.96.0.11, port: 53, server: [a, b], serverPort: 5353, family: 4, bytes: 1400 }
  - udp: { from: outside, to: 192.0.2.1, port: 5000, server: a, serverPort: 7, bytes: 0 }
  - http: { from: a, to: outside, url: "/a?b=c&d", status: 404, body: "ä\\n\\nb" }
  - http: { from: outside, to: a, port: 8080, family: 6 }
    path: [street, node/uplink, node/a]
  - http: { from: b, to: 10.96.0.10, port: 80, server: [a, b], serverPort: 8080 }
  - http: { from: b, to: 10.96.0.12, port: 80, timeout: 3 }
    expect: fail
  - arp: { from: b, to: a, mac: 02:00:00:00:82:0a }
    path: [node/b, node/a]
  - arp: { from: b, to: 10.82.0.99, count: 1, timeout: 0.3 }
    expect: fail
  - arp: { from: outside, to: 192.0.2.1 }
  - udp: { from: outside, to: 192.0.2.1, port: 4999, count: 1, timeout: 0.5 }
    expect: { drop: NoListener }
  - ping: { from: outside, to: 192.0.2.1 }
    path: [street/outside, node/uplink]
  - tcp: { from: a, to: outside, bytes: 100 kB }
    path: [node, street]
`

const problem = await linuxProblem()
const topology = parseTopology(TEXT, 'checks.yaml')
let world: LinuxWorld

beforeAll(async () => {
  if (problem === null) world = await upOnLinux(topology)
})
afterAll(() => world?.close())
beforeEach((context) => {
  if (problem !== null) context.skip(problem)
})

/** The first check of a kind and the like, with something else about it. */
function check(wanted: Partial<CheckSpec>, other: Partial<CheckSpec> = {}): CheckSpec {
  const keys = Object.keys(wanted) as (keyof CheckSpec)[]
  const found = topology.checks.find((c) => keys.every((key) => c[key] === wanted[key]))
  if (found === undefined) throw new Error(`there is no such check: ${JSON.stringify(wanted)}`)
  return { ...found, ...other }
}

it('passes all of them', { timeout: 60_000 }, async () => {
  const results = await world.runChecks()
  expect(results.filter((r) => !r.ok || r.skipped).map((r) => `${r.text}: ${r.detail}`)).toEqual([])
  const details = results.map((r) => `${r.check.kind}: ${r.detail}`)
  expect(details).toContain('udp: 3 of 3 came back')
  expect(details).toContain('http: status 404, 5 bytes')
  expect(details.join('\n')).toMatch(/udp: 3 of 3 came back, at [ab]\n/)
  expect(details.join('\n')).toMatch(/http: status 200, 2 bytes, at [ab]\n/)
  expect(details).toContain('arp: 3 of 3 answered: 10.82.0.11 is at 02:00:00:00:82:0a')
  expect(details.join('\n')).toMatch(/udp: 0 of 1 came back; 2 dropped: NoListener/)
  expect((await world.snapshot()).ledger.balanced).toBe(true)
})

/** An endpoint whose namespace does not have its address. */
const foreign = {
  ...(topology.endpoints.find((e) => e.name === 'a') as EndpointSpec),
  addresses: addressesOf('outside'),
}

function addressesOf(name: string): EndpointSpec['addresses'] {
  return topology.endpoints.find((e) => e.name === name)?.addresses ?? []
}

it.each<[string, Partial<CheckSpec>, Partial<CheckSpec>, RegExp]>([
  [
    'a path that is not taken',
    { kind: 'ping' },
    { path: ['node/a'] },
    /went street\/outside street .*not by way of node\/a/,
  ],
  ['a path the other way round', { kind: 'tcp' }, { path: ['street', 'node'] }, /not by way of street node/],
  ['another MAC', { kind: 'arp', to: 'a' }, { mac: '02:00:00:00:82:0b' }, /02:00:00:00:82:0a/],
  ['another status', { kind: 'http', to: 'a' }, { status: 201, servers: [], port: 1 }, /refused|connect/i],
  [
    'nothing that is dropped',
    { kind: 'arp', to: '10.82.0.99' },
    { expect: { drop: 'Blackhole' } },
    /none dropped: Blackhole/,
  ],
  [
    'a server whose address is not there',
    { kind: 'udp', to: 'outside' },
    { servers: [foreign] },
    /server did not start/,
  ],
  [
    'what cannot be tried, since the server does not start, where it is to fail',
    { kind: 'tcp', to: 'outside' },
    { servers: [foreign], expect: 'fail' },
    /could not be tried: the server did not start/,
  ],
  [
    'what cannot be tried, since the host is gone, where it is to fail',
    { kind: 'ping' },
    { from: { ...foreign, name: 'ghost' }, expect: 'fail' },
    /could not be tried: network namespace \S+\.ghost is gone/,
  ],
])('fails for %s', async (_, wanted, other, detail) => {
  const result = await world.check(check(wanted, other))
  expect(result).toMatchObject({ ok: false })
  expect(result.detail).toMatch(detail)
})

it('asks by HTTP where there is no curl', async () => {
  const place = {
    from: `l2l3-${topology.name}.b`,
    servers: [`l2l3-${topology.name}.a`, `l2l3-${topology.name}.b`],
    signal: AbortSignal.timeout(20_000),
    ledger: () => Promise.reject(new Error('nobody asks')),
    watch: () => null,
  }
  const one = check({ kind: 'http', to: '10.96.0.10' })
  expect(await httpCheck(one, place, false)).toMatchObject({ ok: true, detail: expect.stringContaining('status 200') })
})

it('stops a check that is under way when it is told to', async () => {
  const stop = AbortSignal.timeout(200)
  const long = check({ kind: 'arp', to: '10.82.0.99' }, { timeout: 20 })
  await expect(world.check(long, stop)).rejects.toThrow('aborted due to timeout')
})
