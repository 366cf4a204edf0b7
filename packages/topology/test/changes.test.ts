import { changes, checkChanges, parseTopology, type Topology, TopologyError } from '@l2l3/topology'
import { describe, expect, it } from 'vitest'

/* What is said of two files: the diff, and what needs a restart. */

const BASE = `
name: two
nodes:
  r1:
    mode: router
    routes: [{ to: 10.8.0.0/16, via: 10.0.0.1 }]
    endpoints:
      red: { ip: 10.0.0.1/24, gateway: 10.0.0.254/24 }
      blue: { ip: 10.0.1.1/24, gateway: 10.0.1.254/24 }
  n1:
    mode: nat
    inside: { ip: 10.22.0.1/24 }
    uplink: { ip: 203.0.113.1/24 }
    endpoints:
      web: { ip: 10.22.0.11/24 }
    portMappings: [{ port: 8080, to: web, toPort: 80 }]
    services:
      shop: { port: 80, clusterIps: [10.96.0.10], backends: [{ to: web }] }
  sw:
    mode: switch
    ageing: 300
    endpoints:
      lime: { mac: 02:00:00:00:00:01 }
    ports: { a: {} }
checks:
  - ping: { from: red, to: blue }
`

const read = (text: string): Topology => parseTopology(text, 'net.yaml')
const edited = (...edits: [string, string][]): Topology =>
  read(
    edits.reduce((text, [from, to]) => {
      expect(text).toContain(from)
      return text.replace(from, to)
    }, BASE),
  )
const diff = (...edits: [string, string][]): string[] => checkChanges(read(BASE), edited(...edits)).map((c) => c.text)
function refusal(...edits: [string, string][]): string {
  try {
    checkChanges(read(BASE), edited(...edits))
  } catch (error) {
    expect(error).toBeInstanceOf(TopologyError)
    return (error as Error).message
  }
  throw new Error('nothing was refused')
}

describe('a diff', () => {
  it('is empty between a file and itself, however it is written', () => {
    expect(diff()).toEqual([])
    expect(diff(['{ to: 10.8.0.0/16, via: 10.0.0.1 }', '{ via: 10.0.0.1, to: 10.8.0.0/16 }'])).toEqual([])
  })

  it('has a line for each endpoint, route, mapping, service and check', () => {
    expect(
      diff(
        [
          '      blue: { ip: 10.0.1.1/24, gateway: 10.0.1.254/24 }\n',
          '      blue: { ip: 10.0.1.9/24, gateway: 10.0.1.254/24 }\n      pink: { ip: 10.0.2.1/24, gateway: 10.0.2.254/24 }\n',
        ],
        ['{ to: 10.8.0.0/16, via: 10.0.0.1 }', '{ to: 10.9.0.0/16, via: 10.0.0.1, metric: 5 }'],
        [
          '[{ port: 8080, to: web, toPort: 80 }]',
          '[{ port: 8080, to: web, toPort: 80 }, { protocol: udp, port: 53, to: web }]',
        ],
        [
          'backends: [{ to: web }] }',
          'backends: [{ to: web }, { to: 10.22.0.12 }] }\n      dns: { protocol: udp, port: 53, nodePort: 30053 }',
        ],
        ['  - ping: { from: red, to: blue }', '  - ping: { from: blue, to: red }'],
        ['      lime: { mac: 02:00:00:00:00:01 }\n', '      lime: { mac: 02:00:00:00:00:01, isolated: true }\n'],
      ),
    ).toEqual([
      '~ endpoint r1/blue ip 10.0.1.1/24 -> 10.0.1.9/24',
      '+ endpoint r1/pink 10.0.2.1/24',
      '- route r1 10.8.0.0/16 via 10.0.0.1',
      '+ route r1 10.9.0.0/16 via 10.0.0.1 metric 5',
      '+ port mapping n1 udp port 53 to web',
      '~ service n1 shop: backends + 10.22.0.12',
      '+ service n1 dns',
      '~ endpoint sw/lime isolated none -> true',
      '- check ping red -> blue (IPv4, 10.0.1.1)',
      '+ check ping blue -> red (IPv4, 10.0.0.1)',
    ])
  })

  it('says of an endpoint that moves that it goes and comes', () => {
    const move = diff(
      ['      web: { ip: 10.22.0.11/24 }', '      web: { ip: 10.22.0.11/24 }\n      lime: { ip: 10.22.0.12/24 }'],
      ['      lime: { mac: 02:00:00:00:00:01 }\n', '      lima: { mac: 02:00:00:00:00:01 }\n'],
    )
    expect(move).toEqual(['+ endpoint n1/lime 10.22.0.12/24', '- endpoint sw/lime', '+ endpoint sw/lima'])
  })
})

describe('what needs a restart is refused by line and key of the new file', () => {
  it.each<[string, [string, string][], string]>([
    [
      'an option',
      [['ageing: 300', 'ageing: 60']],
      'net.yaml:21:5: nodes.sw.ageing: sw ageing 300 -> 60: needs a restart: mode switch takes changes of endpoints, static, mirrors only',
    ],
    [
      'an option that goes',
      [['    ageing: 300\n', '']],
      'net.yaml:20:5: nodes.sw.ageing: sw ageing 300 -> none: needs a restart: mode switch takes changes of endpoints, static, mirrors only',
    ],
    [
      'a mode',
      [
        ['    mode: switch\n    ageing: 300', '    mode: l2bridge\n    hostMac: 02:00:00:00:00:99'],
        ['ports: { a: {} }', 'uplink: {}'],
      ],
      'net.yaml:20:5: nodes.sw.mode: node sw mode switch -> l2bridge: needs a restart: a node keeps its mode',
    ],
    [
      'a node',
      [['checks:', '  sw2: { mode: switch }\nchecks:']],
      'net.yaml:25:3: nodes.sw2: node sw2: needs a restart: what runs gets no further nodes',
    ],
    [
      'a port',
      [['{ a: {} }', '{ a: {}, b: {} }']],
      'net.yaml:24:21: nodes.sw.ports.b: port sw/b: needs a restart: what runs gets no further ports without a host',
    ],
    [
      'an interface',
      [['203.0.113.1/24', '203.0.113.2/24']],
      'net.yaml:13:5: nodes.n1.uplink: port n1/uplink own ip 203.0.113.1/24 -> 203.0.113.2/24: needs a restart: what runs keeps its ports without a host as they are',
    ],
    [
      'the name',
      [['name: two', 'name: three']],
      'net.yaml:2:1: name: name two -> three: needs a restart: it is another topology, which may run beside this one',
    ],
    [
      'VLANs where there were none',
      [['      lime: { mac: 02:00:00:00:00:01 }', '      lime: { mac: 02:00:00:00:00:01, vlan: { access: 5 } }']],
      'net.yaml:23:39: nodes.sw.endpoints.lime.vlan: node sw: needs a restart: would make the switch look at VLAN tags',
    ],
    [
      'timeouts',
      [['    portMappings:', '    outbound: [{ behaviour: winnat }]\n    portMappings:']],
      'net.yaml:16:5: nodes.n1.outbound: node n1: needs a restart: its first rule would change the timeouts of flows, from those of linux to winnat',
    ],
  ])('%s', (_what, edits, message) => {
    expect(refusal(...edits)).toBe(message)
  })

  it('all of it at once, in the order of the file', () => {
    expect(
      refusal(['ageing: 300', 'ageing: 60'], ['mode: nat\n', 'mode: nat\n    invalid: pass\n']).split('\n'),
    ).toHaveLength(2)
  })

  it('and still is in the diff', () => {
    const list = changes(read(BASE), edited(['ageing: 300', 'ageing: 60']))
    expect(list.map((c) => [c.text, c.restart !== null])).toEqual([['~ sw ageing 300 -> 60', true]])
  })
})
