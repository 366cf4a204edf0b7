import { parseTopology, TopologyError } from '@l2l3/topology'
import { describe, expect, it } from 'vitest'

/* What is wrong with the options of modes router, l3 and l2bridge, each as "line:column key: message". */

function problems(text: string): string[] {
  try {
    parseTopology(text, 'net.yaml')
  } catch (error) {
    if (!(error instanceof TopologyError)) throw error
    return error.problems.map((p) => `${p.line}:${p.column} ${p.key}: ${p.message}`)
  }
  return []
}

const node = (mode: string, lines: string): string => `nodes:\n  n:\n    mode: ${mode}\n${lines}`

describe('mode router', () => {
  const router = (lines: string): string[] => problems(node('router', lines))
  const routes = (list: string): string[] =>
    router(`    uplink: { ip: [192.0.2.1/24, "fd00:2::1/64"] }\n    routes: ${list}\n`)

  it('takes a gateway in the network of its host', () => {
    expect(router('    endpoints: { a: { ip: 10.0.1.2/24, gateway: 10.0.1.1/24 } }\n')).toEqual([])
    expect(router('    endpoints: { a: { ip: 10.0.1.2/24, gateway: 10.0.2.1/24 } }\n')).toEqual([
      '4:27 nodes.n.endpoints.a.ip: 10.0.1.2/24 is not in the network of its gateway, 10.0.2.1/24',
    ])
    expect(router('    endpoints: { a: { ip: 10.0.1.2/24 } }\n')).toEqual([
      '4:21 nodes.n.endpoints.a: the key "gateway" is missing an IPv4 address for 10.0.1.2/24',
    ])
    expect(router('    endpoints: { a: { gateway: 10.0.1.0/24 } }\n')).toEqual([
      '4:32 nodes.n.endpoints.a.gateway: 10.0.1.0/24 is the network itself: its host bits are all zero',
    ])
    expect(router('    endpoints: { a: { gatwey: 10.0.1.1/24 } }\n')).toEqual([
      '4:23 nodes.n.endpoints.a.gatwey: unknown key "gatwey"; did you mean "gateway"?',
    ])
    expect(router('    uplink: { gateway: 10.0.1.1/24 }\n')[0]).toContain('unknown key "gateway"')
  })

  it('wants addresses, MACs and networks to be one port’s alone', () => {
    expect(
      router(`    endpoints:
      a: { ip: 10.0.1.2/24, gateway: 10.0.1.1/24, gatewayMac: 02:00:00:00:00:01 }
      b: { ip: 10.0.2.2/24, gateway: [10.0.2.1/24, 10.0.1.129/25], gatewayMac: 02:00:00:00:00:01 }
    uplink: { ip: 10.0.1.2/30 }
`),
    ).toEqual([
      '6:38 nodes.n.endpoints.b.gateway: 10.0.1.129 is in the network of port a, 10.0.1.1/24',
      '6:80 nodes.n.endpoints.b.gatewayMac: MAC address 02:00:00:00:00:01 is given twice: n/a has it already',
      '7:19 nodes.n.uplink.ip: address 10.0.1.2 is given twice: n/a has it already',
      '7:19 nodes.n.uplink.ip: 10.0.1.2 is in the network of port a, 10.0.1.1/24',
    ])
  })

  it('wants routes that lead somewhere', () => {
    expect(routes('[{ to: 10.0.0.0/8, via: 192.0.2.9, metric: 3 }, { to: 10.0.0.0/8, blackhole: true }]')).toEqual([])
    expect(routes('[{ to: "::/0", via: "fe80::1", port: uplink }]')).toEqual([])
    expect(routes('[{ to: 10.0.0.1/8, via: 192.0.2.9 }]')).toEqual([
      '5:20 nodes.n.routes[0].to: 10.0.0.1/8 has host bits: the network is 10.0.0.0/8',
    ])
    expect(routes('[{ to: 10.0.0.0, via: 192.0.2.9 }]')).toEqual([
      '5:20 nodes.n.routes[0].to: expected a network such as 10.0.0.0/8 or fd00::/64, not "10.0.0.0"',
    ])
    expect(routes('[{ to: 10.0.0.0/8, via: [192.0.2.9, "fd00:2::2", 203.0.113.1, 192.0.2.1] }]')).toEqual([
      '5:49 nodes.n.routes[0].via[1]: fd00:2::2 is an IPv6 address, and 10.0.0.0/8 an IPv4 network',
      '5:62 nodes.n.routes[0].via[2]: 203.0.113.1 is in no network of node n; the key "port" says which port it is behind',
      '5:75 nodes.n.routes[0].via[3]: 192.0.2.1 is an address of node n itself',
    ])
    expect(routes('[{ to: "::/0", via: "fe80::1", port: upling }]')).toEqual([
      '5:50 nodes.n.routes[0].port: node n has no port "upling"; did you mean "uplink"?',
    ])
    expect(routes('[{ to: 10.0.0.0/8 }]')).toEqual([
      '5:14 nodes.n.routes[0]: expected exactly one of the keys via, unreachable, blackhole, prohibit',
    ])
    expect(routes('[{ to: 10.0.0.0/8, unreachable: true, via: 192.0.2.9 }]')).toEqual([
      '5:14 nodes.n.routes[0]: expected exactly one of the keys via, unreachable, blackhole, prohibit',
    ])
    expect(routes('[{ to: 10.0.0.0/8, blackhole: true }, { to: 10.0.0.0/8, via: 192.0.2.9 }]')).toEqual([
      '5:57 nodes.n.routes[1].to: 10.0.0.0/8 is given twice with metric 0',
    ])
  })

  it('wants numbers in their ranges, words from their lists', () => {
    expect(
      router(`    rpFilter: strickt
    icmpRateLimit: { rate: -1 }
    uplink: { mtu: 67 }
`),
    ).toEqual([
      '4:15 nodes.n.rpFilter: expected "off", "loose" or "strict", not "strickt"; did you mean "strict"?',
      '5:28 nodes.n.icmpRateLimit.rate: expected a number from 0 to 100000000, not -1',
      '6:20 nodes.n.uplink.mtu: expected a number from 68 to 65535, not 67',
    ])
  })
})

describe('mode l3', () => {
  const l3 = (lines: string): string[] => problems(node('l3', lines))

  it('has pods with one address each, and blocks that are networks', () => {
    expect(l3('    endpoints: { a: { ip: [10.244.1.5/32, "fd00::5/128"] } }\n    blocks: [10.244.1.0/26]\n')).toEqual(
      [],
    )
    expect(l3('    endpoints: { a: { ip: 10.244.1.5/24 } }\n')).toEqual([
      '4:27 nodes.n.endpoints.a.ip: expected 10.244.1.5/32: a pod is alone on its link',
    ])
    expect(l3('    gatewayMac: ff:ff:ff:ff:ff:ff\n    blocks: [10.244.1.1/26]\n')).toEqual([
      "4:17 nodes.n.gatewayMac: ff:ff:ff:ff:ff:ff is a group address; a station's first byte is even",
      '5:14 nodes.n.blocks[0]: 10.244.1.1/26 has host bits: the network is 10.244.1.0/26',
    ])
    expect(l3('    endpoints: { a: { gateway: 10.0.0.1/24 } }\n')[0]).toContain('unknown key "gateway"')
    expect(l3('    proxyArp: { delayMaxMs: 100000 }\n')).toEqual([
      '4:29 nodes.n.proxyArp.delayMaxMs: expected a number from 0 to 60000, not 100000',
    ])
  })
})

describe('mode l2bridge', () => {
  const l2bridge = (lines: string): string[] => problems(node('l2bridge', lines))

  it('needs the MAC of its host, and has one uplink', () => {
    expect(l2bridge('    hostMac: 00:0d:3a:00:00:01\n    uplink: {}\n')).toEqual([])
    expect(l2bridge('    uplink: {}\n')).toEqual(['3:5 nodes.n: the key "hostMac" is missing'])
    expect(l2bridge('    hostMac: 01:0d:3a:00:00:01\n    ports: { x: {} }\n')).toEqual([
      "4:14 nodes.n.hostMac: 01:0d:3a:00:00:01 is a group address; a station's first byte is even",
      '5:17 nodes.n.ports.x: an l2bridge has one port without a host, the uplink',
    ])
    expect(
      l2bridge(`    hostMac: 00:0d:3a:00:00:01
    hostIps: [10.0.0.4, 10.0.0.11]
    endpoints:
      node: { mac: 00-0D-3A-00-00-01, ip: 10.0.0.4/24 }
      pod: { ip: 10.0.0.11/24 }
`),
    ).toEqual(['5:25 nodes.n.hostIps[1]: address 10.0.0.11 is given twice: n/pod has it already'])
  })

  it('says what HNS does not do, and what its twin has not', () => {
    const host =
      '    hostMac: 00:0d:3a:00:00:01\n    host: { ip: 192.0.2.4/24 }\n    hostEndpoint: { ip: 10.244.1.2/24 }\n'
    expect(
      l2bridge(`${host}    routes: [{ to: 0.0.0.0/0, via: 198.51.100.1 }]
    lbMode: nondsr
    endpoints:
      gate: { ip: 10.244.1.1/24 }
      pod: { ip: 10.244.2.3/24, outboundNat: [{ exceptions: [fd00::/8, 10.0.0.0/8] }] }
    services:
      web: { port: 80, clusterIps: [10.96.0.1], externalTrafficPolicy: Local, backends: [{ to: 10.244.1.4 }] }
`).map((line) => line.replace(/^\d+:\d+ /, '')),
    ).toEqual([
      'nodes.n.routes[0].via: 198.51.100.1 is in no network of the host: 192.0.2.4/24, 10.244.1.2/24',
      "nodes.n.endpoints.gate.ip: 10.244.1.1 is HNS' own: the gateway that it keeps for itself",
      'nodes.n.endpoints.pod.ip: 10.244.2.3/24 is not in the subnet of hostEndpoint, 10.244.1.2/24',
      'nodes.n.endpoints.pod.outboundNat[0]: fd00::/8,10.0.0.0/8 has IPv4, and the policy is for IPv6',
      'nodes.n.services.web: service web: externalTrafficPolicy Local needs DSR, and lbMode is nondsr',
    ])
    expect(
      l2bridge(
        '    hostMac: 00:0d:3a:00:00:01\n    preset: azure-linux\n    lbMode: dsr\n    endpoints: { pod: { ip: 10.0.0.1/24, sdnRoutes: [] } }\n',
      ),
    ).toEqual([
      '6:5 nodes.n.lbMode: the Linux twin has no VFP, which this is about',
      '7:42 nodes.n.endpoints.pod.sdnRoutes: the Linux twin has no VFP, which this is about',
    ])
  })
})

describe('checks', () => {
  const checks = (line: string): string[] =>
    problems(`nodes: { n: { mode: l3, endpoints: { a: { ip: 10.244.1.5/32 } } } }\nchecks:\n  - ${line}\n`)

  it('name hops and MACs that are some', () => {
    expect(checks('traceroute: { from: a, to: 169.254.1.1, via: [10.0.0.x] }')).toEqual([
      '3:51 checks[0].traceroute.via[0]: expected an IPv4 or IPv6 address such as 10.0.0.1 or fd00::1, not "10.0.0.x"',
    ])
    expect(checks('neigh: { from: a, to: 169.254.1.1, mac: ee }')).toEqual([
      '3:45 checks[0].neigh.mac: expected a MAC address such as 02:00:00:00:00:01, not "ee"',
    ])
    expect(checks('neigh: { from: a, to: 169.254.1.1, count: 1 }')[0]).toContain('unknown key "count"')
  })
})
