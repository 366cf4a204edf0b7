import { parseTopology, TopologyError } from '@l2l3/topology'
import { describe, expect, it } from 'vitest'

/* What is wrong with the options of mode nat, each as "line:column key: message". */

function problems(lines: string, head = '    inside: { ip: [10.22.0.1/24, "fd22::1/64"] }\n'): string[] {
  const hosts = '    endpoints: { web: { ip: [10.22.0.11/24, "fd22::11/64"] }, four: { ip: 10.22.0.12/24 } }\n'
  const text = `nodes:\n  n:\n    mode: nat\n${head}${hosts}    uplink: { ip: 203.0.113.1/24 }\n${lines}`
  try {
    parseTopology(text, 'net.yaml')
  } catch (error) {
    if (!(error instanceof TopologyError)) throw error
    return error.problems.map((p) => `${p.line}:${p.column} ${p.key}: ${p.message}`)
  }
  return []
}

/** What is said about a line 7. */
const of = (line: string): string[] => problems(`    ${line}\n`)

describe('mode nat', () => {
  it('takes all that is right', () => {
    expect(
      problems(`    routes: [{ to: 0.0.0.0/0, via: 203.0.113.254 }]
    outbound:
      - { exceptions: [10.0.0.0/8, "fd00::/8"], behaviour: rfc4787, hairpin: true }
      - { from: [10.22.0.0/24], destinations: [198.51.100.0/24], addresses: [203.0.113.8-203.0.113.11], ports: random }
    portMappings:
      - { port: 8080, to: web, toPort: 80 }
      - { protocol: udp, port: 5000-5009, hostIp: 203.0.113.1, to: 10.22.0.12, toPort: 6000-6009 }
    services:
      web: { port: 80, clusterIps: [10.96.0.10, "fd96::10"], backends: [{ to: web, port: 8080 }, { to: 10.0.0.9 }] }
    conntrack: { profile: winnat, timeouts: { udp: 60 }, maxFlows: 1000, whenFull: evict }
    mss: mtu
    invalid: pass
`),
    ).toEqual([])
  })

  it('wants a gateway, in whose network the hosts are', () => {
    expect(problems('', '')[0]).toMatch(/^3:5 nodes\.n: the key "inside" is missing/)
    expect(problems('', '    inside: { ip: 10.22.1.1/24 }\n')).toEqual([
      '5:29 nodes.n.endpoints.web.ip: 10.22.0.11/24 is not in the network of the gateway, 10.22.1.1/24',
      '5:29 nodes.n.endpoints.web.ip: inside.ip has no IPv6 address for fd22::11/64',
      '5:75 nodes.n.endpoints.four.ip: 10.22.0.12/24 is not in the network of the gateway, 10.22.1.1/24',
    ])
    expect(problems('', '    inside: { ip: [10.22.0.12/24, "fd22::1/64"] }\n')).toEqual([
      '5:75 nodes.n.endpoints.four.ip: 10.22.0.12 is the address of the gateway',
    ])
    expect(problems('', '    inside: { ip: [10.22.0.0/24, "fd22::1/64"], mac: 01:00:00:00:00:01 }\n')[0]).toBe(
      '4:20 nodes.n.inside.ip[0]: 10.22.0.0/24 is the network itself: its host bits are all zero',
    )
    expect(problems('    ports: { other: { ip: 10.22.0.98/30 } }\n')).toEqual([
      '7:27 nodes.n.ports.other.ip: 10.22.0.98 is in the network of the inside, 10.22.0.1/24',
    ])
  })

  it('has a gateway whose name no port has', () => {
    const taken = `"inside" is the name of the gateway's interface; choose another`
    expect(of('ports: { inside: { ip: 192.0.2.1/30 } }')).toEqual([`7:14 nodes.n.ports.inside: ${taken}`])
    const host = 'nodes: { n: { mode: nat, inside: { ip: 10.0.0.1/24 }, endpoints: { inside: { ip: 10.0.0.2/24 } } } }'
    expect(() => parseTopology(host, 'net.yaml')).toThrow(`net.yaml:1:68: nodes.n.endpoints.inside: ${taken}`)
  })

  it('does not take the address of a next hop for its own', () => {
    const routes = '    routes: [{ to: 0.0.0.0/0, via: 203.0.113.254 }]\n'
    expect(problems(`${routes}    outbound: [{}, { addresses: [203.0.113.9, 203.0.113.254] }]\n`)).toEqual([
      "8:20 nodes.n.outbound[1]: addresses[1]: 203.0.113.254 is another node's: the gateway of route 0.0.0.0/0",
    ])
    expect(problems(`${routes}    outbound: [{ addresses: [203.0.113.9] }]\n`)).toEqual([])
  })

  it('wants rules that can be followed', () => {
    expect(of('outbound: [{ exceptions: [10.0.0.1/8] }]')).toEqual([
      '7:31 nodes.n.outbound[0].exceptions[0]: 10.0.0.1/8 has host bits: the network is 10.0.0.0/8',
    ])
    expect(of('outbound: [{}, { uplinks: [uplnk] }]')).toEqual([
      '7:20 nodes.n.outbound[1]: uplinks: there is no uplink "uplnk"',
    ])
    expect(of('outbound: [{ filtering: endpoint-independent }]')[0]).toContain('needs a mapping that owns its port')
    expect(of('outbound: [{ hairpin: true }]')[0]).toContain('needs a mapping that owns its port')
    expect(of('outbound: [{ mapping: symetric }]')[0]).toContain('expected "linux"')
    expect(of('outbound: [{ exeptions: [] }]')[0]).toContain('did you mean "exceptions"?')
    expect(of('outbound: [{ addresses: [203.0.113.9-203.0.113.8] }]')[0]).toContain('ends before it begins')
    expect(of('outbound: [{ portRange: 70000-80000 }]')[0]).toContain('portRange')
  })

  it('wants port mappings that lead to somebody, each port once', () => {
    expect(of('portMappings: [{ port: 8080, to: wep }]')).toEqual([
      '7:20 nodes.n.portMappings[0]: there is no endpoint "wep" on node n; did you mean "web"?',
    ])
    expect(of('portMappings: [{ port: 8080, to: web }, { port: 8000-8100, to: four }]')[0]).toMatch(
      /^7:45 nodes\.n\.portMappings\[1\]: .*8000-8100 -> 10\.22\.0\.12:8000-8100 has a port of tcp \*:8080/,
    )
    expect(of('portMappings: [{ port: 8080, to: four, hostIp: "2001:db8::1" }]')[0]).toContain(
      'four has no IPv6 address, which hostIp is',
    )
    expect(of('portMappings: [{ port: 1-10, to: web, toPort: 1-9 }]')[0]).toContain('is not as long as port')
    expect(of('portMappings: [{ port: 0, to: web }]')[0]).toContain('portMappings[0].port')
    expect(of('portMappings: [{ to: web }]')[0]).toContain('the key "port" is missing')
  })

  it('names the keys that stand there', () => {
    expect(of('outbound: [{ addresses: [203.0.113.0/24] }]')).toEqual([
      '7:16 nodes.n.outbound[0]: addresses[0]: "203.0.113.0/24" is not the address of one host',
    ])
    expect(of('outbound: [{ addresses: [] }]')[0]).toContain('outbound[0]: addresses must name an address')
    expect(of('outbound: [{ hairpin: true }]')).toEqual([
      '7:16 nodes.n.outbound[0]: hairpin needs a mapping that owns its port, and "linux" does not',
    ])
    expect(of('portMappings: [{ port: 80, to: web, hostIp: nowhere }]')[0]).toContain(
      'portMappings[0]: hostIp: expected an IPv4 or IPv6 address',
    )
    expect(of('portMappings: [{ port: 80, to: four, hostIp: 224.0.0.1 }]')).toEqual([
      '7:20 nodes.n.portMappings[0]: hostIp: "224.0.0.1" is not the address of one host',
    ])
    const affinity =
      'services: { s: { port: 80, clusterIps: [10.96.0.1], distribution: source-ip, affinityTimeout: 0.5 } }'
    expect(of(affinity)[0]).toMatch(/nodes\.n\.services\.s\.affinityTimeout: /)
  })

  it('takes one port as a range, and the unspecified address as all', () => {
    expect(of('outbound: [{ portRange: "5000" }, { portRange: 5000 }]')).toEqual([])
    expect(of('portMappings: [{ port: 80, to: web, hostIp: 0.0.0.0 }, { port: 80, to: web, hostIp: "::" }]')).toEqual(
      [],
    )
  })

  it('refuses what Docker on Windows refuses, if it is to', () => {
    const windows = (mapping: string): string[] =>
      problems(`    portMappingRules: docker-windows\n    portMappings: [${mapping}]\n`)
    expect(windows('{ port: 8080, to: four, toPort: 80 }')).toEqual([])
    expect(windows('{ port: 8080, to: four, hostIp: 0.0.0.0, protocol: udp }')).toEqual([])
    expect(windows('{ port: 8080, to: four, hostIp: 203.0.113.1 }')).toEqual([
      '8:20 nodes.n.portMappings[0]: hostIp: Windows does not support host IP addresses in NAT settings: 203.0.113.1',
    ])
    expect(windows('{ port: 8080-8081, to: four }')).toEqual([
      '8:20 nodes.n.portMappings[0]: port: Windows does not support more than one host port in NAT settings: 8080-8081',
    ])
    expect(windows('{ port: 8080, to: four, protocol: sctp }')[0]).toContain('protocol: invalid protocol "sctp"')
    expect(of('portMappings: [{ port: 8080-8081, to: four, protocol: sctp, hostIp: 203.0.113.1 }]')).toEqual([])
  })

  it('wants addresses that packets come to, each port of them once', () => {
    expect(of('portMappings: [{ port: 80, to: four, hostIp: 203.0.113.99 }]')).toEqual([
      '7:20 nodes.n.portMappings[0]: hostIp: 203.0.113.99 is no address of the node',
    ])
    const pool = '    outbound: [{ addresses: [203.0.113.98-203.0.113.99] }]\n'
    expect(problems(`${pool}    portMappings: [{ port: 80, to: four, hostIp: 203.0.113.99 }]\n`)).toEqual([])
    const wide =
      '    ports: { other: { ip: 100.64.0.1/16 } }\n    outbound: [{ addresses: [100.64.1.0-100.64.1.255] }]\n'
    expect(problems(wide)).toEqual([])
    expect(problems(wide.replace('1.255', '2.0'))).toEqual([
      '8:16 nodes.n.outbound[0]: addresses[0]: more than 256 addresses in the network of a link',
    ])
    expect(of('outbound: [{ addresses: [198.51.100.0-198.51.103.255] }]')).toEqual([])
    expect(of('balancer: { nodePortAddresses: [203.0.113.0/24, 192.0.2.0/24] }')[0]).toMatch(
      /balancer: nodePortAddresses\[1\]: the node has no address in 192\.0\.2\.0\/24$/,
    )
    expect(of('balancer: { sourceVips: [10.22.0.99, "fd22::11"] }')).toEqual([
      '7:15 nodes.n.balancer: sourceVips[1]: fd22::11 is the address of web',
    ])
    for (const key of ['clusterIps', 'externalIps', 'loadBalancerIps']) {
      expect(of(`services: { s: { port: 80, ${key}: [10.22.0.200], backends: [{ to: web }] } }`)[0]).toContain(
        `services.s: service s: ${key}[0]: 10.22.0.200 is in the network of the inside, 10.22.0.0/24, where nobody answers`,
      )
      expect(of(`services: { s: { port: 80, ${key}: ["fd96::1"], backends: [{ to: four }] } }`)[0]).toContain(
        `services.s: ${key}[0]: no backend has an IPv6 address, as fd96::1 is`,
      )
      // The gateway's own address is the node's; and who has no backends yet may get them.
      expect(of(`services: { s: { port: 80, ${key}: [10.22.0.1] } }`)).toEqual([])
    }
    const conflict = (mapping: string, service: string): string[] =>
      problems(`    portMappings: [{ port: 8000-8100, to: four${mapping} }]\n    services: { s: { ${service} } }\n`)
    for (const [mapping, service, message] of [
      ['', 'port: 80, nodePort: 8080', 'nodePort 8080: port mapping tcp *:8000-8100 has the port'],
      [', hostIp: 203.0.113.1', 'port: 80, nodePort: 8080', 'port mapping tcp 203.0.113.1:8000-8100 has the port'],
      ['', 'port: 8080, externalIps: [203.0.113.1]', 'externalIps[0]: port mapping tcp *:8000-8100 has the port'],
      [', hostIp: 203.0.113.1', 'port: 8100, externalIps: [203.0.113.1]', 'externalIps[0]: port mapping'],
      ['', 'port: 80, nodePort: 8101', null],
      ['', 'protocol: udp, port: 80, nodePort: 8080', null],
      ['', 'port: 80, clusterIps: ["fd96::1"], nodePort: 8080', null],
      ['', 'port: 8080, externalIps: [198.51.100.1]', null],
      [', hostIp: 203.0.113.1', 'port: 8080, externalIps: [10.22.0.1]', null],
    ] as const) {
      const said = conflict(mapping, service)
      if (message === null) expect([service, said]).toEqual([service, []])
      else expect(said).toEqual([expect.stringContaining(message)])
    }
  })

  it('wants services that are reached somewhere, each place once', () => {
    expect(of('services: { s: { port: 80, backends: [{ to: nobody }] } }')[0]).toContain(
      'there is no endpoint "nobody"',
    )
    expect(of('services: { s: { port: 80 } }')[0]).toContain('can be reached nowhere')
    expect(
      of('services: { s: { port: 80, clusterIps: [10.96.0.1] }, t: { port: 80, clusterIps: [10.96.0.1] } }'),
    ).toEqual([expect.stringContaining('services.t: service t: ClusterIP 10.96.0.1:80 is taken by service s')])
    expect(of('services: { s: { port: 80, clusterIps: [10.96.0.1], affinityTimeout: 5 } }')[0]).toContain(
      'says nothing with distribution 5-tuple',
    )
    const many = Array.from({ length: 65 }, (_, i) => `{ to: 10.0.1.${i + 1} }`).join(', ')
    const service = `services: { s: { port: 80, clusterIps: [10.96.0.1], backends: [${many}] } }`
    expect(of(service)).toEqual([])
    expect(problems(`    balancer: { style: windows }\n    ${service}\n`)[0]).toContain('64')
  })

  it('names what is wrong with the table of flows', () => {
    expect(of('conntrack: { profile: bsd }')[0]).toContain(
      'nodes.n.conntrack.profile: expected "linux", "winnat" or "rfc"',
    )
    expect(of('conntrack: { timeouts: { udp: 0 } }')[0]).toContain('nodes.n.conntrack.timeouts.udp')
    expect(of('conntrack: { maxFlows: 5 }')[0]).toContain('nodes.n.conntrack.maxFlows')
    for (const [mss, shown] of [
      ['clamp', '"clamp"'],
      ['true', 'true'],
    ]) {
      expect(of(`mss: ${mss}`)[0]).toMatch(new RegExp(`nodes\\.n\\.mss: expected a number or "mtu", not ${shown}$`))
    }
    expect(of('mss: 3')[0]).toMatch(/nodes\.n\.mss: expected a number from 48 to 65495, not 3$/)
  })

  it('offers a protocol that was misspelt, and none in place of another', () => {
    const mapping = (protocol: string): string =>
      of(`portMappings: [{ protocol: ${protocol}, port: 80, to: web }]`)[0] ?? ''
    expect(mapping('icmp')).toMatch(/expected "tcp", "udp" or "sctp", not "icmp"$/)
    expect(mapping('tpc')).toMatch(/not "tpc"; did you mean "tcp"\?$/)
    expect(of('portMappings: [{ port: http, to: web }]')[0]).toMatch(
      /portMappings\[0\]\.port: expected a port or a range such as "5000-5009", not "http"$/,
    )
  })
})
