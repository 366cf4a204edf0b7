import { parseTopology, TopologyError } from '@l2l3/topology/memory'
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

/*
 *   red 10.0.0.1     blue 10.0.0.2          web 192.0.2.80    client 198.51.100.9
 *    | n1/uplink      | n2/wan               |                  |
 *   =+================+======= lan ==========+===      =========+===== outside ===
 *                              | router/lan                | router/outside
 *                              +-----------[ router ]------+
 */
const NET = `
name: net
segments:
  lan:
    mtu: 1600
    router:
      ip: [192.0.2.254/24, "2001:db8::fe/64"]
      mac: 02:00:00:00:00:fe
      routes: [{ to: 10.8.0.0/16, via: 192.0.2.1 }]
    hosts:
      web: { ip: [192.0.2.80/24, "2001:db8::80/64"], mtu: 1500 }
      odd: { ip: 192.0.2.81/24, gateway: 192.0.2.1 }
    faults: { loss: 1%, delay: 2 ms, jitter: 300 us }
  outside:
    router: { ip: 198.51.100.254/24 }
    hosts:
      client: { ip: 198.51.100.9/24 }
nodes:
  n1:
    mode: vtep
    uplink: { segment: lan, ip: 192.0.2.1/24 }
    networks: { pods: { vni: 42, remotes: [192.0.2.2] } }
    endpoints: { red: { ip: 10.0.0.1/24, faults: { corrupt: 0.5, duplicate: 100% } } }
  n2:
    mode: vtep
    ports: { wan: { segment: lan, ip: 192.0.2.2/24, mtu: 1550 }, a: { network: pods } }
    networks: { pods: { vni: 42, remotes: [192.0.2.1] } }
    endpoints: { blue: { ip: 10.0.0.2/24 } }
  sw: { mode: switch, uplink: {}, endpoints: { h: {} } }
links:
  - { join: [n2/a, sw/uplink], faults: { reorder: 2.5 %, delay: 1.5 s } }
`
const net = parseTopology(NET, 'net.yaml')
const node = (name: string) => net.nodes.find((n) => n.name === name)
const port = (label: string) => net.nodes.flatMap((n) => n.ports).find((p) => p.label === label)

describe('a segment', () => {
  it('becomes a switch, a router that all segments share, and the links between', () => {
    expect(net.nodes.map((n) => [n.name, n.mode, n.segment ?? '-', n.ports.map((p) => p.name).join()])).toEqual([
      ['n1', 'vtep', '-', 'red,uplink'],
      ['n2', 'vtep', '-', 'blue,wan,a'],
      ['sw', 'switch', '-', 'h,uplink'],
      ['lan', 'switch', 'lan', 'web,odd,n1.uplink,n2.wan,router'],
      ['outside', 'switch', 'outside', 'client,router'],
      ['router', 'router', 'router', 'lan,outside'],
    ])
    expect(net.links).toEqual([
      ['n2/a', 'sw/uplink'],
      ['n1/uplink', 'lan/n1.uplink'],
      ['n2/wan', 'lan/n2.wan'],
      ['router/lan', 'lan/router'],
      ['router/outside', 'outside/router'],
    ])
    expect(node('router')?.options).toEqual({ routes: [{ to: '10.8.0.0/16', via: '192.0.2.1' }] })
    expect(port('router/lan')?.interface).toMatchObject({ mac: '02:00:00:00:00:fe' })
    expect(port('router/lan')?.interface.addresses.map((a) => a.text)).toEqual(['192.0.2.254', '2001:db8::fe'])
    expect(port('n1/uplink')?.segment).toBe('lan')
  })

  it('is kept as it was said, for worlds where it is real', () => {
    const [lan, outside] = net.segments
    expect(lan).toMatchObject({ name: 'lan', mtu: 1600, ports: ['n1/uplink', 'n2/wan'] })
    expect(lan?.router).toMatchObject({ name: 'router', routes: [{ to: '10.8.0.0/16', via: '192.0.2.1' }] })
    expect(lan?.hosts.map((h) => h.name)).toEqual(['web', 'odd'])
    expect(outside).toMatchObject({ mtu: null, faults: null, ports: [] })
    expect(net.endpoints.find((e) => e.name === 'client')?.node).toBe('outside')
  })

  it('gives what is on it its MTU, where they do not have less', () => {
    const mtus = ['n1/uplink', 'n2/wan', 'router/lan', 'lan/n1.uplink', 'router/outside'].map(
      (l) => port(l)?.options.mtu,
    )
    expect(mtus).toEqual([1600, 1550, 1600, 1600, undefined])
    expect(net.endpoints.map((e) => [e.name, e.mtu])).toEqual([
      ['red', 1500],
      ['blue', 1500],
      ['h', 1500],
      ['web', 1500],
      ['odd', 1600],
      ['client', 1500],
    ])
  })

  it('gives hosts its router as gateway, or the one that they name', () => {
    const gateways = (name: string) => net.endpoints.find((e) => e.name === name)?.gateways?.map((a) => a.text)
    expect(gateways('web')).toEqual(['192.0.2.254', '2001:db8::fe'])
    expect(gateways('odd')).toEqual(['192.0.2.1'])
    expect(gateways('client')).toEqual(['198.51.100.254'])
    expect(gateways('red')).toBe(undefined)
  })

  it('can have a router of its own name', () => {
    const t = parseTopology(
      `segments:
  a: { router: { name: core, ip: 10.1.0.1/16 } }
  b: { router: { name: core, ip: 10.2.0.1/16 } }
  c: { router: { ip: 10.3.0.1/16 } }
nodes: { n: { mode: switch, ports: { a: { segment: a }, c: { segment: c } } } }
`,
      'net.yaml',
    )
    const routers = t.nodes.filter((n) => n.mode === 'router')
    expect(routers.map((n) => [n.name, n.ports.map((p) => p.name)])).toEqual([
      ['core', ['a', 'b']],
      ['router', ['c']],
    ])
  })
})

describe('faults', () => {
  const none = { loss: 0, duplicate: 0, corrupt: 0, reorder: 0, delay: 0, jitter: 0 }

  it('of a segment meet what leaves it, once; of a cable what goes either way; of a host both ways', () => {
    const lan = { ...none, loss: 0.01, delay: 2e6, jitter: 300e3 }
    for (const label of ['lan/n1.uplink', 'lan/web', 'lan/router']) {
      expect(port(label)?.faults).toEqual({ out: lan, in: null })
    }
    for (const label of ['n1/uplink', 'router/lan', 'outside/client', 'n2/blue'])
      expect(port(label)?.faults).toBe(undefined)
    const cable = { ...none, reorder: 0.025, delay: 1.5e9 }
    expect(port('n2/a')?.faults).toEqual({ out: cable, in: null })
    expect(port('sw/uplink')?.faults).toEqual({ out: cable, in: null })
    const red = { ...none, corrupt: 0.5, duplicate: 1 }
    expect(port('n1/red')?.faults).toEqual({ out: red, in: red })
  })

  it('are thrown with the seed of the topology', () => {
    expect(net.seed).toBe(1)
    expect(parseTopology('nodes: { a: { mode: switch } }\nseed: 77\n', 'x.yaml').seed).toBe(77)
    expect(problems('nodes: { a: { mode: switch } }\nseed: -1\n')).toEqual([
      '2:7 seed: expected a number from 0 to 4294967295, not -1',
    ])
  })

  it('have fractions and times that are such', () => {
    const faults = (text: string): string[] =>
      problems(`nodes: { a: { mode: switch, endpoints: { h: { faults: { ${text} } } } } }\n`)
    expect(faults('loss: 0, duplicate: 1, corrupt: 0 %, reorder: "99.5%", delay: 0 s, jitter: 1.5 ms')).toEqual([])
    const at = '1:63 nodes.a.endpoints.h.faults'
    const loss = (given: string): string => `${at}.loss: expected a fraction from 0 to 1, or such as "1%", not ${given}`
    expect(faults('loss: 1 percent')).toEqual([loss('"1 percent"')])
    expect(faults('loss: 101%')).toEqual([loss('"101%"')])
    expect(faults('loss: 5')).toEqual([`${at}.loss: expected a number from 0 to 1, not 5`])
    expect(faults('loss: [5]')).toEqual([loss('a list')])
    const delay = '1:64 nodes.a.endpoints.h.faults.delay: expected a time such as "5 ms" or "200 us", not'
    expect(faults('delay: 5')).toEqual([`${delay} 5`])
    expect(faults('delay: 5 days')).toEqual([`${delay} "5 days"`])
    expect(faults('jitter: 61 s')).toEqual([
      '1:65 nodes.a.endpoints.h.faults.jitter: expected a minute at most, not "61 s"',
    ])
    expect(faults('los: 1%')).toEqual(['1:57 nodes.a.endpoints.h.faults.los: unknown key "los"; did you mean "loss"?'])
  })

  it('of a cable stand beside the ports that it joins', () => {
    const links = (text: string): string[] =>
      problems(`nodes: { a: { mode: switch, uplink: {} }, b: { mode: switch, uplink: {} } }\nlinks:\n  - ${text}\n`)
    expect(links('{ join: [a/uplink, b/uplink] }')).toEqual([])
    expect(links('{ join: [a/uplink, b/uplnk] }')).toEqual([
      '3:24 links[0].join[1]: there is no port "b/uplnk" (expected node/port); did you mean "b/uplink"?',
    ])
    expect(links('{ faults: { loss: 1% } }')).toEqual(['3:5 links[0]: the key "join" is missing'])
    expect(links('{ join: [a/uplink] }')).toEqual([
      '3:13 links[0].join: expected a pair of ports, [node/port, node/port], not one',
    ])
    expect(links('{ join: [a/uplink, b/uplink], falts: {} }')).toEqual([
      '3:35 links[0].falts: unknown key "falts"; did you mean "faults"?',
    ])
    expect(links('[a/uplink]')).toEqual(['3:5 links[0]: expected a pair of ports, [node/port, node/port], not one'])
  })
})

describe('what is wrong with segments is named with line, column and key', () => {
  /** One line of a segment `lan`, and of a node on it. */
  const lan = (segment: string, uplink = '{ segment: lan }', more = ''): string[] =>
    problems(`segments:\n  lan: ${segment}\nnodes:\n  n: { mode: router, uplink: ${uplink} }\n${more}`)

  it('names that are not, or twice', () => {
    expect(lan('{}')).toEqual([])
    expect(lan('{}', '{ segment: lam }')).toEqual([
      '4:41 nodes.n.uplink.segment: there is no segment "lam"; did you mean "lan"?',
    ])
    expect(problems('nodes: { n: { mode: switch, uplink: { segment: lan } } }\n')).toEqual([
      '1:48 nodes.n.uplink.segment: there is no segment "lan"; there are none',
    ])
    expect(problems('segments: { n: {} }\nnodes: { n: { mode: switch } }\n')).toEqual([
      '1:13 segments.n: there is a node "n"; a segment needs a name of its own',
    ])
    expect(problems('segments: { s: { router: { ip: 10.0.0.1/8 } } }\nnodes: { router: { mode: switch } }\n')).toEqual([
      '1:18 segments.s.router: there is a node "router"; the router between segments needs a name of its own, by the key "name"',
    ])
    expect(
      problems('segments: { s: { router: { name: s, ip: 10.0.0.1/8 } } }\nnodes: { n: { mode: switch } }\n'),
    ).toEqual([
      '1:34 segments.s.router.name: there is a segment "s"; the router between segments needs a name of its own',
    ])
    expect(lan('{ hosts: { router: {} }, router: { ip: 10.0.0.1/8 } }')).toEqual([
      '2:19 segments.lan.hosts.router: "router" is the name of the segment\'s router; choose another',
    ])
    expect(lan('{ hosts: { a: {} } }', '{}', '  m: { mode: switch, endpoints: { a: {} } }\n')).toEqual([
      '2:19 segments.lan.hosts.a: endpoint a is given twice: m/a has it already',
    ])
    expect(lan('{ hsts: {} }')).toEqual(['2:10 segments.lan.hsts: unknown key "hsts"; did you mean "hosts"?'])
  })

  it("addresses that are somebody else's, or not there", () => {
    expect(lan('{ hosts: { a: { ip: 10.0.0.1/8 } } }', '{ segment: lan, ip: 10.0.0.1/8 }')).toEqual([
      '2:28 segments.lan.hosts.a.ip: address 10.0.0.1 is given twice: n/uplink has it already',
    ])
    expect(
      lan('{ router: { ip: 10.0.0.1/8, mac: 02:00:00:00:00:01 }, hosts: { a: { mac: 02:00:00:00:00:01 } } }'),
    ).toEqual([
      '2:81 segments.lan.hosts.a.mac: MAC address 02:00:00:00:00:01 is given twice: router/lan has it already',
    ])
    expect(lan('{ router: { ip: 10.0.0.1 } }')).toEqual([
      '2:24 segments.lan.router.ip: expected an address with its prefix, such as 10.0.0.1/24, not "10.0.0.1"',
    ])
    expect(lan('{ router: {} }')).toEqual(['2:10 segments.lan.router: the key "ip" is missing'])
    const a = (gateway: string): string[] => lan(`{ hosts: { a: { ip: 10.1.0.2/16, gateway: ${gateway} } } }`)
    expect(a('10.1.0.1')).toEqual([])
    expect(a('10.2.0.1')).toEqual(['2:50 segments.lan.hosts.a.gateway: 10.2.0.1 is in no network of a'])
    expect(a('10.1.0.2')).toEqual(['2:50 segments.lan.hosts.a.gateway: 10.1.0.2 is the address of a itself'])
    expect(a('[10.1.0.1, 10.1.0.3]')).toEqual([
      '2:61 segments.lan.hosts.a.gateway[1]: a has a gateway for IPv4 already',
    ])
    expect(a('x')).toEqual([
      '2:50 segments.lan.hosts.a.gateway: expected an IPv4 or IPv6 address such as 10.0.0.1 or fd00::1, not "x"',
    ])
  })

  it('routes of the router that lead nowhere, and networks that two segments have', () => {
    expect(lan('{ router: { ip: 10.1.0.1/16, routes: [{ to: 10.9.0.0/16, via: 10.2.0.1 }] } }')).toEqual([
      '2:70 segments.lan.router.routes[0].via: 10.2.0.1 is in no network of node router',
    ])
    expect(
      problems(`segments:
  a: { router: { ip: 10.1.0.1/16 } }
  b: { router: { ip: 10.1.0.2/16, routes: [{ to: 10.9.0.0/16, via: 10.1.0.9 }, { to: 10.9.0.1/16, via: 10.1.0.9 }] } }
nodes: { n: { mode: switch } }
`),
    ).toEqual([
      '3:22 segments.b.router.ip: 10.1.0.2 is in the network of port a, 10.1.0.1/16',
      '3:86 segments.b.router.routes[1].to: 10.9.0.1/16 has host bits: the network is 10.9.0.0/16',
    ])
  })

  it('ports that are something else already', () => {
    expect(lan('{}', '{ segment: lan, tap: {} }')).toEqual([
      '4:41 nodes.n.uplink.segment: port n/uplink is a TAP and cannot be on a segment as well',
    ])
    expect(lan('{}', '{ segment: lan }', '  m: { mode: switch, uplink: {} }\nlinks: [[n/uplink, m/uplink]]\n')).toEqual(
      ['6:10 links[0][0]: port n/uplink is on segment lan and cannot be joined by a link as well'],
    )
  })

  it('MTUs that the segment does not carry', () => {
    expect(lan('{ mtu: 1400, hosts: { a: { mtu: 1500 } } }', '{ segment: lan, mtu: 1401 }')).toEqual([
      '2:40 segments.lan.hosts.a.mtu: expected 1400 at most, which segment lan carries, not 1500',
      '4:51 nodes.n.uplink.mtu: expected 1400 at most, which segment lan carries, not 1401',
    ])
  })
})

describe('checks that cannot work are refused', () => {
  const checks = (text: string): string[] =>
    problems(`segments:
  lan: { router: { ip: 10.1.0.1/16 }, hosts: { a: { ip: 10.1.0.2/16 } } }
  far: { router: { ip: 10.2.0.1/16 } }
nodes:
  n:
    mode: nat
    inside: { ip: 10.5.0.1/16 }
    outbound: [{ addresses: [10.2.0.20-10.2.0.29] }]
    services: { w: { port: 80, clusterIps: [10.96.0.10], backends: [{ to: p }] } }
    uplink: { segment: far, ip: 10.2.0.2/16 }
    endpoints: { p: { ip: 10.5.0.2/16 } }
  s: { mode: switch, endpoints: { alone: { ip: 10.7.0.1/16 }, b: { ip: [10.7.0.2/16, "fd00::1/64"] } } }
checks:
  - ${text}
`)
  it('because the host has no route', () => {
    expect(checks('ping: { from: alone, to: a }')).toEqual([
      '14:19 checks[0].ping.from: alone has no route to 10.1.0.2: it is in none of its networks, and it has no gateway; if that is meant, "expect" is "fail"',
    ])
    expect(checks('ping: { from: alone, to: a }\n    expect: fail')).toEqual([])
    expect(checks('ping: { from: alone, to: a }\n    expect: { drop: NoRoute }')).toHaveLength(1)
    expect(checks('ping: { from: a, to: p }')).toEqual([])
    expect(checks('arp: { from: alone, to: a }')).toEqual([])
  })

  it('because nobody has the address', () => {
    const nobody = (address: string): string[] => [
      `14:26 checks[0].ping.to: nobody has the address ${address}; if that is meant, "expect" is "fail"`,
    ]
    const ping = (to: string): string[] => checks(`ping: { from: a, to: ${to} }`)
    expect(ping('10.9.0.1')).toEqual(nobody('10.9.0.1'))
    expect(ping('10.1.0.99')).toEqual(nobody('10.1.0.99'))
    // A host, routers, what a node stands for, and what is everybody's.
    for (const to of ['10.1.0.2', '10.2.0.1', '10.5.0.1', '10.96.0.10', '10.2.0.25', '224.0.0.1', '10.1.255.255']) {
      expect([to, ping(to)]).toEqual([to, []])
    }
    expect(ping('10.2.0.30')).toEqual(nobody('10.2.0.30'))
    expect(checks('ping: { from: a, to: 10.9.0.1 }\n    expect: fail')).toEqual([])
    expect(checks('ping: { from: a, to: 10.9.0.1 }\n    expect: { drop: NoRoute }')).toEqual([])
  })

  it('because what must come of them, or what they must pass, is not there', () => {
    expect(checks('ping: { from: a, to: p }\n    expect: maybe')).toEqual([
      '15:13 checks[0].expect: expected "pass", "fail" or { drop: REASON }, not "maybe"',
    ])
    expect(checks('ping: { from: a, to: p }\n    expect: { drop: NoRute }')).toEqual([
      '15:21 checks[0].expect.drop: expected the reason of a drop, such as NoRoute, not "NoRute"; did you mean "NoRoute"?',
    ])
    expect(checks('ping: { from: a, to: p }\n    expect: { dorp: NoRoute }')).toEqual([
      '15:5 checks[0].expect: the key "drop" is missing',
      '15:15 checks[0].expect.dorp: unknown key "dorp"; did you mean "drop"?',
    ])
    expect(checks('ping: { from: a, to: p }\n    path: [lan, n/uplnk]')).toEqual([
      '15:17 checks[0].path[1]: there is no node or port "n/uplnk"; did you mean "n/uplink"?',
    ])
    expect(checks('ping: { from: a, to: p }\n    path: [lan/router, router, far/n.uplink, n]')).toEqual([])
    expect(checks('arp: { from: b, to: "fd00::1" }')).toEqual([
      '14:10 checks[0].arp: b and fd00::1 have no IPv4 address in common',
    ])
    expect(checks('http: { from: a, to: p, url: index.html }')).toEqual([
      '14:34 checks[0].http.url: expected a path such as "/" or "/index.html", not "index.html"',
    ])
  })
})
