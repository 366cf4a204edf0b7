import { buildInMemory, parseTopology } from '@l2l3/topology'
import { describe, expect, it } from 'vitest'

/*
 * Settings of mode nat that speak from addresses, and services on one switch with their clients: the answers have to find the
 * way back. A host in memory asks who has an address, as any host does.
 */

/** What the checks say of a node between two hosts inside and one outside. */
function checked(settings: string, ...checks: string[]): string[] {
  const world = buildInMemory(
    parseTopology(
      `
nodes:
  n:
    mode: nat
    inside: { ip: [10.22.0.1/24, "fd22::1/64"] }
    endpoints:
      a: { ip: [10.22.0.11/24, "fd22::11/64"] }
      b: { ip: [10.22.0.12/24, "fd22::12/64"] }
    uplink: { ip: [203.0.113.1/24, "2001:db8:7::1/64"] }
    ${settings}
  street:
    mode: switch
    endpoints: { o: { ip: [203.0.113.2/24, "2001:db8:7::2/64"] } }
    uplink: {}
links: [[n/uplink, street/uplink]]
checks: [${checks.join(', ')}]
`,
      'net.yaml',
    ),
  )
  const results = world.runChecks().map(({ ok, detail }) => `${ok ? 'ok' : 'FAIL'} ${detail}`)
  expect(world.snapshot().ledger).toMatchObject({ balanced: true, held: 0 })
  return results
}

const intact = 'ok 1000 bytes, all intact'
const get = (from: string, to: string): string =>
  `{ tcp: { from: ${from}, to: "${to}", port: 80, bytes: 1000, server: a, timeout: 3 } }`
const web = 'services: { web: { port: 80, clusterIps: [10.96.0.1, "fd96::1"], backends: [{ to: a }] } }'

describe('what is on a link of the node is answered for', () => {
  it('outside addresses', () => {
    const pool = 'outbound: [{ addresses: [203.0.113.50-203.0.113.51, "2001:db8:7::50"] }]'
    expect(
      checked(pool, '{ ping: { from: a, to: o, count: 1 } }', '{ ping: { from: o, to: 203.0.113.51, count: 1 } }'),
    ).toEqual(Array(3).fill('ok 1 of 1 answered'))
  })

  it('SourceVIPs', () => {
    const balancer = 'balancer: { style: windows, sourceVips: [10.22.0.99, "fd22::99"] }'
    const checks = [get('b', '10.96.0.1'), get('b', 'fd96::1')]
    expect(checked(`${balancer}\n    ${web}`, ...checks)).toEqual([intact, intact])
  })
})

it('a service of Windows with DSR is reached over the switch that client and backend are at', () => {
  const checks = [get('b', '10.96.0.1'), get('b', 'fd96::1')]
  expect(checked(`balancer: { style: windows, dsr: true }\n    ${web}`, ...checks)).toEqual([intact, intact])
})

describe('isolated hosts', () => {
  it('exchange no frames with each other, and all others do', () => {
    const settings = (keys: string): string[] => {
      const world = buildInMemory(
        parseTopology(
          `
nodes:
  n:
    mode: nat
    inside: { ip: 10.22.0.1/24 }
    endpoints:
      a: { ip: 10.22.0.11/24${keys} }
      b: { ip: 10.22.0.12/24${keys} }
      c: { ip: 10.22.0.13/24 }
checks:
  - ping: { from: a, to: b, count: 1, timeout: 1 }
  - ping: { from: a, to: c, count: 1, timeout: 1 }
`,
          'isolated.yaml',
        ),
      )
      return world.runChecks().map(({ ok }) => (ok ? 'answered' : 'lost'))
    }
    expect(settings('')).toEqual(['answered', 'answered'])
    expect(settings(', isolated: true')).toEqual(['lost', 'answered'])
  })
})
