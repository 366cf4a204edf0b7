import { readFileSync } from 'node:fs'
import { MODES, parseTopology, TopologyError, topologySchema } from '@l2l3/topology'
import { describe, expect, it } from 'vitest'

/** The problems of a text, each as "line:column key: message". */
function problems(text: string): string[] {
  try {
    parseTopology(text, 'net.yaml')
  } catch (error) {
    if (!(error instanceof TopologyError)) throw error
    return error.problems.map((p) => `${p.line}:${p.column} ${p.key}: ${p.message}`)
  }
  return []
}

const TWO = `
name: two
nodes:
  sw1:
    mode: switch
    ageing: 60
    endpoints:
      red: { mac: 02-00-00-00-00-0A, ip: [10.0.0.1/24, "fd00::1/64"], hairpin: true }
      blue: { ip: 10.0.0.2/24 }
    uplink: { vlan: { trunk: [1, 10-20], native: 1 } }
  sw2:
    mode: switch
    ports: { core: {} }
    endpoints:
      green: { ip: [10.0.0.3/24, "fd00:0::3/64"], mtu: 9000 }
links:
  - [sw1/uplink, sw2/core]
checks:
  - ping: { from: red, to: blue }
  - ping: { from: sw1/red, to: green, count: 1 }
  - tcp: { from: red, to: green, family: 6, bytes: 10 MB }
  - ping: { from: red, to: 10.0.0.99 }
    expect: fail
`

describe('a topology file', () => {
  it('becomes nodes, endpoints, links and checks', () => {
    const t = parseTopology(TWO, 'two.yaml')
    expect(t.name).toBe('two')
    expect(t.nodes.map((n) => [n.name, n.mode, n.ports.map((p) => p.label)])).toEqual([
      ['sw1', 'switch', ['sw1/red', 'sw1/blue', 'sw1/uplink']],
      ['sw2', 'switch', ['sw2/green', 'sw2/core']],
    ])
    expect(t.nodes[0]?.options).toEqual({ ageing: 60 })
    expect(t.nodes[0]?.ports[0]?.options).toEqual({ hairpin: true })
    expect(t.nodes[0]?.ports[2]?.options).toEqual({ vlan: { trunk: [1, '10-20'], native: 1 } })
    const [red, , green] = t.endpoints
    expect(red).toMatchObject({ name: 'red', node: 'sw1', mac: '02:00:00:00:00:0a', mtu: 1500 })
    expect(red?.addresses.map((a) => `${a.text}/${a.prefix}`)).toEqual(['10.0.0.1/24', 'fd00::1/64'])
    expect(green?.addresses[1]?.text).toBe('fd00::3')
    expect(green?.mtu).toBe(9000)
    expect(t.links).toEqual([['sw1/uplink', 'sw2/core']])
  })

  it('makes a check of each IP version that both ends have', () => {
    const { checks } = parseTopology(TWO, 'two.yaml')
    expect(checks.map((c) => [c.kind, c.from.name, c.to, c.address.text, c.expect])).toEqual([
      ['ping', 'red', 'blue', '10.0.0.2', 'pass'],
      ['ping', 'red', 'green', '10.0.0.3', 'pass'],
      ['ping', 'red', 'green', 'fd00::3', 'pass'],
      ['tcp', 'red', 'green', 'fd00::3', 'pass'],
      ['ping', 'red', '10.0.0.99', '10.0.0.99', 'fail'],
    ])
    expect(checks[3]?.bytes).toBe(10_000_000)
  })

  it('may be JSON, and takes its name from the file where it has none', () => {
    const json = '{"nodes": {"a": {"mode": "switch", "endpoints": {"h": {}}}}}'
    expect(parseTopology(json, '/tmp/My net.v1.json').name).toBe('My-net-v1')
  })

  it('derives MAC addresses from the names: the same ones every time, locally administered, unicast', () => {
    const macs = parseTopology(TWO, 'two.yaml').endpoints.map((e) => e.mac)
    expect(macs).toEqual(parseTopology(TWO, 'elsewhere.yaml').endpoints.map((e) => e.mac))
    expect(new Set(macs).size).toBe(3)
    for (const mac of macs.slice(1)) expect(mac).toMatch(/^02(:[0-9a-f]{2}){5}$/)
    const renamed = parseTopology(TWO.replace('name: two', 'name: three'), 'two.yaml').endpoints.map((e) => e.mac)
    expect(renamed[1]).not.toBe(macs[1])
  })
})

describe('what is wrong in a topology file is named with line, column, key and what was expected', () => {
  const node = (lines: string): string => `nodes:\n  sw1:\n    mode: switch\n${lines}`

  it('syntax, keys given twice', () => {
    expect(problems('nodes: [')).toEqual([expect.stringMatching(/^1:9 : Flow sequence in block collection/)])
    expect(problems(node('    endpoints:\n      a: {}\n      a: {}\n'))).toEqual([
      '6:7 : this key was given before; names must be unique',
    ])
  })

  it('an empty file, a list, no nodes', () => {
    expect(problems('')).toEqual(['1:1 : expected a map, not nothing'])
    expect(problems('- a\n')).toEqual(['1:1 : expected a map, not a list'])
    expect(problems('name: x\n')).toEqual(['1:1 : the key "nodes" is missing'])
    expect(problems('nodes: {}\n')).toEqual(['1:8 nodes: expected at least one, not an empty map'])
  })

  it('unknown keys, with the likely one', () => {
    expect(problems(node('    endpoints:\n      a: { maac: 02:00:00:00:00:01 }\n'))).toEqual([
      '5:12 nodes.sw1.endpoints.a.maac: unknown key "maac"; did you mean "mac"?',
    ])
    expect(problems(node('    agieng: 3\n'))).toEqual([
      '4:5 nodes.sw1.agieng: unknown key "agieng"; did you mean "ageing"?',
    ])
    expect(problems('nodes: {a: {mode: switch}}\nzebra: 1\n')[0]).toBe(
      '2:1 zebra: unknown key "zebra"; expected one of name, description, nodes, segments, links, seed, queue, checks',
    )
  })

  it('a mode that is missing or unknown', () => {
    const names = [...MODES.keys()].map((name) => `"${name}"`)
    expect(problems('nodes:\n  a: { mode: swich }\n')).toEqual([
      `2:14 nodes.a.mode: expected ${names.slice(0, -1).join(', ')} or ${names.at(-1)}, not "swich"; did you mean "switch"?`,
    ])
    expect(problems('nodes:\n  a: {}\n')).toEqual(['2:3 nodes.a: the key "mode" is missing'])
  })

  it('wrong types and numbers out of range', () => {
    expect(problems(node('    ageing: soon\n'))).toEqual(['4:13 nodes.sw1.ageing: expected a number, not "soon"'])
    expect(problems(node('    maxEntries: 0\n'))).toEqual([
      '4:17 nodes.sw1.maxEntries: expected a number from 1 to 1048576, not 0',
    ])
    expect(problems(node('    endpoints:\n      a:\n        hairpin: "yes"\n'))).toEqual([
      '6:18 nodes.sw1.endpoints.a.hairpin: expected true or false, not "yes"',
    ])
    expect(problems(node('    endpoints: { a: { mtu: 65521 } }\n'))).toEqual([])
    expect(problems(node('    endpoints: { a: { mtu: 65522 } }\n'))).toEqual([
      "4:28 nodes.sw1.endpoints.a.mtu: expected 65521 at most, which is a TAP's, not 65522",
    ])
    expect(problems(node('    endpoints: [a]\n'))).toEqual(['4:16 nodes.sw1.endpoints: expected a map, not a list'])
  })

  it('names', () => {
    expect(problems(node('    endpoints:\n      a/b: {}\n'))).toEqual([
      '5:7 nodes.sw1.endpoints.a/b: expected a name of up to 32 letters, digits, "-" and "_", ' +
        'starting with a letter or digit, not "a/b"',
    ])
    expect(problems(node('    endpoints: { __proto__: {} }\n'))).toHaveLength(1)
    expect(problems(node('    endpoints: { constructor: {} }\n'))).toEqual([])
  })

  it('MAC addresses', () => {
    const mac = (text: string): string[] => problems(node(`    endpoints:\n      a: { mac: "${text}" }\n`))
    expect(mac('02:00:00:00:00')).toEqual([
      '5:17 nodes.sw1.endpoints.a.mac: expected a MAC address such as 02:00:00:00:00:01, not "02:00:00:00:00"',
    ])
    expect(mac('03:00:00:00:00:01')[0]).toMatch(/^5:17 .*03:00:00:00:00:01 is a group address/)
    expect(mac('00:00:00:00:00:00')).toHaveLength(1)
    expect(mac('02:00-00:00:00:01')).toHaveLength(1)
  })

  it('IP addresses and prefixes', () => {
    const ip = (text: string): string => problems(node(`    endpoints:\n      a: { ip: "${text}" }\n`)).join()
    const at = '5:16 nodes.sw1.endpoints.a.ip: '
    expect(ip('10.0.0.256/24')).toBe(
      `${at}expected an IPv4 or IPv6 address such as 10.0.0.1 or fd00::1, not "10.0.0.256"`,
    )
    expect(ip('10.0.0.1')).toBe(`${at}expected an address with its prefix, such as 10.0.0.1/24, not "10.0.0.1"`)
    expect(ip('10.0.0.1/33')).toBe(`${at}expected a prefix from /1 to /32, not "/33" (in "10.0.0.1/33")`)
    expect(ip('fd00::1/129')).toBe(`${at}expected a prefix from /1 to /128, not "/129" (in "fd00::1/129")`)
    expect(ip('10.0.0.0/24')).toBe(`${at}10.0.0.0/24 is the network itself: its host bits are all zero`)
    expect(ip('10.0.0.255/24')).toMatch(/broadcast address: its host bits are all one/)
    expect(ip('10.0.0.0/31')).toBe('')
    expect(ip('10.0.0.1/32')).toBe('')
    expect(ip('fd00::/64')).toMatch(/host bits are all zero/)
    for (const text of ['fe80::1%eth0/64', '010.0.0.1/8', '10.0.0.1/', '10.0.0.1/x', '127.0.0.1/8', '224.0.0.1/4']) {
      expect(ip(text), text).not.toBe('')
    }
    for (const text of ['::1/128', 'ff02::1/64', '::2::3/64', 'g::/64', '', '/']) expect(ip(text), text).not.toBe('')
  })

  it('what is given twice', () => {
    const twice = `nodes:
  sw1:
    mode: switch
    endpoints:
      a: { mac: 02:00:00:00:00:01, ip: 10.0.0.1/24 }
      b: { mac: 02-00-00-00-00-01, ip: [10.0.0.2/24, 10.0.0.1/16] }
  sw2:
    mode: switch
    endpoints:
      a: {}
      uplink: {}
`
    expect(problems(twice)).toEqual([
      '6:17 nodes.sw1.endpoints.b.mac: MAC address 02:00:00:00:00:01 is given twice: sw1/a has it already',
      '6:54 nodes.sw1.endpoints.b.ip[1]: address 10.0.0.1 is given twice: sw1/a has it already',
      '10:7 nodes.sw2.endpoints.a: endpoint a is given twice: sw1/a has it already',
      '11:7 nodes.sw2.endpoints.uplink: "uplink" is the name of the node\'s uplink; choose another',
    ])
  })

  it('VLANs', () => {
    const vlan = (text: string, more = ''): string[] =>
      problems(node(`${more}    endpoints:\n      a:\n        vlan: ${text}\n`))
    expect(vlan('{ access: 4095 }')).toEqual([
      '6:25 nodes.sw1.endpoints.a.vlan.access: expected a number from 1 to 4094, not 4095',
    ])
    expect(vlan('{ trunk: [1, 20-10] }')).toEqual([
      '6:28 nodes.sw1.endpoints.a.vlan.trunk[1]: expected a VLAN id from 1 to 4094 or a range such as "20-29", not "20-10"',
    ])
    expect(vlan('{ access: 1, trunk: [2] }')).toEqual([
      '6:9 nodes.sw1.endpoints.a.vlan: expected exactly one of the keys access, trunk, tunnel',
    ])
    expect(vlan('{ access: 1, native: 2 }')).toEqual([
      '6:28 nodes.sw1.endpoints.a.vlan.native: needs the key "trunk" beside it',
    ])
    expect(vlan('10')).toEqual(['6:15 nodes.sw1.endpoints.a.vlan: expected a map, not 10'])
    expect(vlan('{ access: 10 }', '    vlanAware: false\n')).toEqual([
      '7:15 nodes.sw1.endpoints.a.vlan: needs a VLAN-aware switch, and vlanAware is false',
    ])
  })

  it('links', () => {
    const links = (text: string): string[] =>
      problems(`nodes:
  sw1: { mode: switch, uplink: {}, endpoints: { a: {} } }
  sw2: { mode: switch, uplink: {}, ports: { t: { tap: {} } } }
links:
${text}`)
    expect(links('  - [sw1/uplink, sw2/uplik]\n')).toEqual([
      '5:18 links[0][1]: there is no port "sw2/uplik" (expected node/port); did you mean "sw2/uplink"?',
    ])
    expect(links('  - [sw1/uplink, sw2/uplink]\n  - [sw2/uplink, sw1/uplink]\n')).toEqual([
      '6:6 links[1][0]: port sw2/uplink is used twice: links[0] has it already',
      '6:18 links[1][1]: port sw1/uplink is used twice: links[0] has it already',
    ])
    expect(links('  - [sw1/a, sw2/t]\n')).toEqual([
      '5:6 links[0][0]: port sw1/a has a host on it; links join ports without one (uplink, ports)',
      '5:13 links[0][1]: port sw2/t is a TAP and cannot be joined by a link as well',
    ])
    expect(links('  - [sw1/uplink]\n')).toEqual([
      '5:5 links[0]: expected a pair of ports, [node/port, node/port], not one',
    ])
  })

  it('checks', () => {
    const checks = (text: string): string[] =>
      problems(`nodes:
  sw1: { mode: switch, endpoints: { red: { ip: 10.0.0.1/24 }, blue: { ip: fd00::2/64 } } }
checks:
${text}`)
    expect(checks('  - ping: { from: rde, to: bleu }\n')).toEqual([
      '4:19 checks[0].ping.from: there is no endpoint "rde"; did you mean "red"?',
      '4:28 checks[0].ping.to: there is no endpoint "bleu"; did you mean "blue"?',
    ])
    expect(checks('  - ping: { from: red, to: blue }\n')).toEqual([
      '4:11 checks[0].ping: red and blue have no IP version in common',
    ])
    expect(checks('  - ping: { from: red }\n')).toEqual(['4:5 checks[0].ping: the key "to" is missing'])
    expect(checks('  - pign: { from: red, to: blue }\n')).toEqual([
      '4:5 checks[0].pign: unknown key "pign"; did you mean "ping"?',
    ])
    expect(checks('  - expect: fail\n')).toEqual([
      '4:5 checks[0]: expected exactly one of the keys ping, tcp, udp, http, arp, traceroute, neigh',
    ])
    expect(checks('  - tcp: { from: red, to: 10.0.0.3, bytes: 999999999999 GB }\n    expect: fail\n')).toEqual([
      '4:44 checks[0].tcp.bytes: expected at most 1000000000000 bytes, not "999999999999 GB"',
    ])
    expect(checks('  - tcp: { from: red, to: 10.0.0.3, bytes: 1000 GB }\n    expect: fail\n')).toEqual([])
    expect(checks('  - tcp: { from: red, to: 10.0.0.3, bytes: lots }\n')).toEqual([
      '4:44 checks[0].tcp.bytes: expected a number of bytes such as 1000000 or "10 MB", not "lots"',
    ])
  })

  it('static entries and mirrors', () => {
    const text = node(`    endpoints: { a: {}, b: {} }
    static: [{ mac: "1", port: aa, vlan: 3 }]
    mirrors: [{ ports: [a, c], to: a }]
`)
    expect(problems(text)).toEqual([
      '5:21 nodes.sw1.static[0].mac: expected a MAC address such as 02:00:00:00:00:01, not "1"',
      '5:32 nodes.sw1.static[0].port: node sw1 has no port "aa"; did you mean "a"?',
      '5:42 nodes.sw1.static[0].vlan: needs a VLAN-aware switch',
      '6:28 nodes.sw1.mirrors[0].ports[1]: node sw1 has no port "c"; it has a, b',
      '6:36 nodes.sw1.mirrors[0].to: port a cannot be mirrored to itself',
    ])
  })

  it('aliases that blow up are refused, not expanded', () => {
    const bomb = Array.from({ length: 30 }, (_, i) => `a${i}: &a${i} [${`*a${i - 1}, `.repeat(i === 0 ? 0 : 9)}x]`)
    expect(problems(bomb.join('\n'))).toEqual([expect.stringMatching(/^2:10 : .*alias/)])
  })

  it('aliases of nothing', () => {
    expect(problems('nodes:\n  a: *b\n  b: &b {mode: switch}\n  c: *c\n')).toEqual([
      '2:6 : there is no anchor &b before this',
      '4:6 : there is no anchor &c before this',
    ])
    expect(problems('nodes:\n  b: &b {mode: switch}\n  a: *b\n')).toEqual([])
  })

  it('tags that make something else than plain data, also in YAML 1.1', () => {
    const plain = '; a topology is plain text, numbers, lists and maps'
    expect(problems('nodes: !!binary aGVsbG8=\n')).toEqual([`1:8 : Unresolved tag: tag:yaml.org,2002:binary${plain}`])
    expect(problems('%YAML 1.1\n---\nnodes: !!binary aGVsbG8=\n')).toEqual([
      `3:8 : Unresolved tag: tag:yaml.org,2002:binary${plain}`,
    ])
    expect(problems('nodes: !!set { a }\n')).toEqual([`1:8 : Unresolved tag: tag:yaml.org,2002:set${plain}`])
    expect(problems('name: !!str two\nnodes: !!map { a: { mode: switch } }\n')).toEqual([])
  })

  it('nesting that is too deep to follow', () => {
    const deep = problems(`nodes: ${'['.repeat(100_000)}`)
    expect(deep).toEqual([expect.stringMatching(/^1:\d{3,} : lists and maps are nested too deep$/)])
  })

  it('numbers that are none', () => {
    const ageing = (text: string): string[] => problems(node(`    ageing: ${text}\n`))
    expect(ageing('.nan')).toEqual(['4:13 nodes.sw1.ageing: expected a number, not NaN'])
    expect(ageing('-.inf')).toEqual([expect.stringMatching(/^4:13 nodes\.sw1\.ageing: expected .*, not -Infinity$/)])
  })

  it('is one line for each problem as an error message', () => {
    expect(() => parseTopology('nodes: 3\nlnks: 1\n', 'x.yaml')).toThrow(
      'x.yaml:1:8: nodes: expected a map, not 3\nx.yaml:2:1: lnks: unknown key "lnks"; did you mean "links"?',
    )
  })
})

describe('topology.schema.json', () => {
  it('is the schema that files are checked with', () => {
    const shipped = JSON.parse(readFileSync(new URL('../topology.schema.json', import.meta.url), 'utf8'))
    const how = 'npx tsx --conditions @l2l3/source packages/topology/schema.mjs brings it up to date'
    expect(shipped, how).toEqual(JSON.parse(JSON.stringify(topologySchema())))
  })
})
