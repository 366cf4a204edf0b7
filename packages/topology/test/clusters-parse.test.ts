import { buildInMemory, type NodeSpec, parseTopology, TopologyError } from '@l2l3/topology'
import { describe, expect, it } from 'vitest'

/* Nodes that know of each other, and what is wrong with their options, each as "line:column key: message". */

function problems(text: string): string[] {
  try {
    parseTopology(text, 'net.yaml')
  } catch (error) {
    if (!(error instanceof TopologyError)) throw error
    return error.problems.map((p) => `${p.line}:${p.column} ${p.key}: ${p.message}`)
  }
  return []
}

/** Peers that a node has in a topology, in words. */
function peersOf(text: string, name: string): string[] {
  const node = parseTopology(text, 'net.yaml').nodes.find((n) => n.name === name)
  const { peers } = (node as NodeSpec).options as { peers: { node: string; subnets: string[]; address: string[] }[] }
  return peers.map((p) => `${p.node} ${p.subnets.join()} at ${p.address}`)
}

const cluster = (one: string, two: string, three = ''): string => `segments: { lan: {} }
nodes:
  n1: { mode: calico, blocks: [10.244.1.0/26], uplink: { segment: lan, ip: 192.0.2.1/24 }${one} }
  n2: { mode: calico, blocks: [10.244.2.0/26], uplink: { segment: lan, ip: 192.0.2.2/24 }${two} }
${three}`

describe('nodes of a cluster', () => {
  it('know of each other', () => {
    expect(peersOf(cluster('', ''), 'n1')).toEqual(['n2 10.244.2.0/26 at 192.0.2.2'])
    expect(peersOf(cluster('', ''), 'n2')).toEqual(['n1 10.244.1.0/26 at 192.0.2.1'])
  })

  it('of their addresses inside where frames go through a tunnel, and not where packets do', () => {
    const told = (encapsulation: string): unknown => {
      const own = `, encapsulation: ${encapsulation}`
      const text = cluster(own, `${own}, tunnelIp: 10.244.2.63`)
      const n1 = parseTopology(text, 'net.yaml').nodes.find((n) => n.name === 'n1') as NodeSpec
      return (n1.options as { peers: { tunnelIp?: string }[] }).peers[0]?.tunnelIp
    }
    expect(told('vxlan')).toBe('10.244.2.63')
    expect(told('ipip')).toBeUndefined()
  })

  it('but not where one says nothing, is in another cluster, or is of another mode', () => {
    expect(peersOf(cluster('', ', announce: false'), 'n1')).toEqual([])
    expect(peersOf(cluster('', ', announce: false'), 'n2')).toEqual(['n1 10.244.1.0/26 at 192.0.2.1'])
    expect(peersOf(cluster('', ', cluster: other'), 'n1')).toEqual([])
    const flannel =
      '  n3: { mode: flannel, network: 10.9.0.0/16, subnet: 10.9.1.0/24, uplink: { segment: lan, ip: 192.0.2.3/24 } }\n'
    expect(peersOf(cluster('', '', flannel), 'n1')).toEqual(['n2 10.244.2.0/26 at 192.0.2.2'])
  })

  it('take what the file says of a node before what it says itself', () => {
    const peers = ', peers: [{ node: n2, subnets: [10.244.9.0/26], address: [192.0.2.9] }]'
    expect(peersOf(cluster(peers, ''), 'n1')).toEqual(['n2 10.244.9.0/26 at 192.0.2.9'])
  })

  it('refuse peers that are none, with line and key', () => {
    const peers = (text: string): string[] => problems(cluster(`, peers: [${text}]`, ''))
    expect(peers('{ node: n1, subnets: [10.9.0.0/24], address: 192.0.2.9 }')).toEqual([
      '3:108 nodes.n1.peers[0].node: n1 is the node itself',
    ])
    expect(peers('{ node: x, subnets: [10.9.0.1/24], address: 192.0.2.1 }')).toEqual([
      '3:121 nodes.n1.peers[0].subnets[0]: 10.9.0.1/24 has host bits: the network is 10.9.0.0/24',
      '3:144 nodes.n1.peers[0].address: 192.0.2.1 is an address of the node itself',
    ])
    expect(peers('{ node: x, subnets: [10.9.0.0/24], address: 203.0.113.1 }')).toEqual([
      '3:144 nodes.n1.peers[0].address: no route of node n1 leads to 203.0.113.1',
    ])
  })

  it('are told by apply when a block comes, and only that changes', async () => {
    const before = (blocks: string): string => `name: blocks
segments: { lan: {} }
nodes:
  n1: { mode: calico, blocks: [10.244.1.0/26], endpoints: { a: { ip: 10.244.1.5/32 } }, uplink: { segment: lan, ip: 192.0.2.1/24 }, routes: [{ to: 0.0.0.0/0, via: 192.0.2.254 }] }
  n2: { mode: calico, blocks: ${blocks}, endpoints: { b: { ip: 10.244.3.7/32 } }, uplink: { segment: lan, ip: 192.0.2.2/24 }, routes: [{ to: 0.0.0.0/0, via: 192.0.2.254 }] }
checks:
  - ping: { from: a, to: b, count: 1, timeout: 1 }
`
    const world = buildInMemory(parseTopology(before('[10.244.2.0/26]'), 'net.yaml'))
    expect(world.runChecks().map((r) => r.ok)).toEqual([false])
    const changes = await world.apply(parseTopology(before('[10.244.2.0/26, 10.244.3.0/26]'), 'net.yaml'))
    expect(changes.map((c) => c.restart)).toEqual(changes.map(() => null))
    expect(changes.map((c) => c.text)).toContain('+ block n2 10.244.3.0/26')
    expect(world.runChecks().map((r) => r.ok)).toEqual([true])
  })
})

describe('options of the modes', () => {
  const node = (mode: string, lines: string): string[] =>
    problems(`nodes:\n  n:\n    mode: ${mode}\n    uplink: { ip: 192.0.2.1/24 }\n${lines}`)

  it('calico', () => {
    expect(node('calico', '    endpoints: { a: { ip: 10.244.1.5/24 } }\n')).toEqual([
      '5:27 nodes.n.endpoints.a.ip: expected 10.244.1.5/32: a pod is alone on its link',
    ])
    expect(node('calico', '    pools: [{ cidr: 10.244.0.1/16 }]\n')).toEqual([
      '5:21 nodes.n.pools[0].cidr: 10.244.0.1/16 has host bits: the network is 10.244.0.0/16',
    ])
    expect(node('calico', '    vni: 7\n    crossSubnet: true\n    natPortRange: 1-9\n')).toEqual([
      '5:5 nodes.n.vni: is of encapsulation vxlan, not none',
      '6:5 nodes.n.crossSubnet: is of encapsulation ipip or vxlan, and there is none',
      '7:5 nodes.n.natPortRange: is of pools with natOutgoing, and there is none',
    ])
    const outgoing = (to: string): string[] =>
      node('calico', `    natOutgoingAddress: ${to}\n    pools: [{ cidr: 10.244.0.0/16, natOutgoing: true }]\n`)
    expect(outgoing('192.0.2.1')).toEqual([])
    expect(outgoing('203.0.113.7')).toEqual([])
    expect(outgoing('192.0.2.7')).toEqual([
      '5:25 nodes.n.natOutgoingAddress: 192.0.2.7 is in the network of 192.0.2.1/24, and no address of the node: nobody would answer for it',
    ])
    expect(outgoing('"fd00::7"')).toEqual([
      '5:25 nodes.n.natOutgoingAddress: no pool with natOutgoing is of IPv6, as fd00::7 is',
    ])
    expect(node('calico', '    encapsulation: ipip\n    tunnelIp: [10.244.1.1, 10.244.1.2]\n')).toEqual([
      '6:15 nodes.n.tunnelIp: 10.244.1.2 is the second of IPv4, after 10.244.1.1: there is one of each',
    ])
    // What is said of a peer's VTEP, where there are none.
    const peer =
      'peers: [{ node: x, subnets: [10.9.0.0/24], address: 192.0.2.9, vtepMac: "02:00:00:00:00:09", tunnelIp: 10.9.0.1 }]'
    expect(node('calico', `    encapsulation: vxlan\n    blocks: [10.244.1.0/26]\n    ${peer}\n`)).toEqual([])
    expect(node('calico', `    encapsulation: ipip\n    ${peer}\n`).map((text) => text.replace(/^\S+ /, ''))).toEqual([
      'nodes.n.peers[0].vtepMac: is of encapsulation vxlan, not ipip',
      'nodes.n.peers[0].tunnelIp: is of encapsulation vxlan, not ipip',
    ])
    expect(node('calico', '    encapsulation: gre\n')[0]).toContain('expected "none", "ipip" or "vxlan"')
    expect(
      node('calico', '    natPortRange: 9-5\n    pools: [{ cidr: 10.244.0.0/16, natOutgoing: true }]\n')[0],
    ).toMatch(/portRange/)
  })

  it('flannel', () => {
    expect(node('flannel', '')).toEqual([
      '3:5 nodes.n: the key "network" is missing',
      '3:5 nodes.n: the key "subnet" is missing',
    ])
    const of = (lines: string): string[] =>
      node('flannel', `    network: 10.244.0.0/16\n    subnet: 10.244.1.0/24\n${lines}`)
    expect(of('    endpoints: { a: { ip: 10.244.2.5/24 } }\n')).toEqual([
      "7:27 nodes.n.endpoints.a.ip: 10.244.2.5/24 is not in the node's subnet, 10.244.1.0/24",
    ])
    expect(
      of(
        '    backend: host-gw\n    routes: [{ to: 0.0.0.0/0, via: 192.0.2.254 }]\n    peers: [{ node: x, subnets: [10.244.2.0/24], address: 203.0.113.1 }]\n',
      ),
    ).toEqual(['9:59 nodes.n.peers[0].address: 203.0.113.1 of x is on no link of the node, as host-gw needs it'])
    expect(of('    backend: host-gw\n    vni: 7\n    backendPort: 77\n    directRouting: true\n')).toEqual([
      '8:5 nodes.n.vni: is of backend vxlan, not host-gw',
      '9:5 nodes.n.backendPort: is of backend vxlan or udp, not host-gw',
      '10:5 nodes.n.directRouting: is of backend vxlan or ipip, not host-gw',
    ])
    expect(
      of(
        '    backend: udp\n    peers: [{ node: x, subnets: [10.244.2.0/24], address: 192.0.2.9, vtepMac: "02:00:00:00:00:09" }]\n',
      )[0],
    ).toContain('nodes.n.peers[0].vtepMac: is of backend vxlan, not udp')
    expect(of('    ipMasq: false\n    randomFully: true\n')).toEqual([
      '8:5 nodes.n.randomFully: is of ipMasq, which is false',
    ])
    expect(node('flannel', '    network: 10.244.0.0/16\n    subnet: 10.9.1.0/24\n')).toEqual([
      '6:13 nodes.n.subnet: 10.9.1.0/24 is in no network of flannel',
    ])
    expect(node('flannel', '    network: 10.244.0.0/16\n    subnet: [10.244.1.0/24, 10.244.2.0/24]\n')).toEqual([
      '6:13 nodes.n.subnet: 10.244.2.0 is the second of IPv4, after 10.244.1.0: there is one of each',
    ])
    expect(of('    peers: [{ node: x, subnets: [10.244.2.0/24], address: [192.0.2.2, 192.0.2.3] }]\n')).toEqual([
      '7:59 nodes.n.peers[0].address: 192.0.2.3 is the second of IPv4, after 192.0.2.2: there is one of each',
    ])
  })

  it('macvlan and ipvlan', () => {
    for (const mode of ['macvlan', 'ipvlan']) {
      const of = (gateway: string): string[] =>
        problems(
          `nodes:\n  n:\n    mode: ${mode}\n    gateway: ${gateway}\n    endpoints: { a: { ip: 192.0.2.5/24 } }\n`,
        )
      expect(of('[192.0.2.1, "fe80::1"]')).toEqual([])
      expect(of('[192.0.2.1, 192.0.2.2]')).toEqual([
        '4:14 nodes.n.gateway: 192.0.2.2 is the second of IPv4: pods have one',
      ])
      expect(of('192.0.2.5')).toEqual(['5:27 nodes.n.endpoints.a.ip: 192.0.2.5 is the address of the gateway'])
      expect(of('203.0.113.1')).toEqual([
        '5:27 nodes.n.endpoints.a.ip: the gateway, 203.0.113.1, is in no network of a',
      ])
      const stack = (mac: string, more = ''): string[] =>
        problems(
          `nodes:\n  n:\n    mode: ${mode}\n    parent: h\n    endpoints: { h: { ip: 192.0.2.5/24, mac: "${mac}" } }\n${more}`,
        )
      expect(stack('02:00:00:00:00:09')).toHaveLength(1)
      expect(stack('02:00:00:00:00:09')[0]).toMatch(
        /^5:46 nodes\.n\.endpoints\.h\.mac: .*the MAC of the interface, 02:/,
      )
      expect(stack('02:00:00:00:00:09', '    parentMac: 02-00-00-00-00-09\n')).toEqual([])
    }
  })

  it('ptp', () => {
    const of = (lines: string): string[] =>
      node('ptp', `    gateways: [10.1.0.1]\n    podCidrs: [10.1.0.0/24]\n${lines}`)
    expect(of('    cluster: blue\n    announce: false\n    peers: []\n    noMasqueradeCidrs: []\n')).toEqual([
      '7:5 nodes.n.cluster: is of kindnet: needs preset kindnet',
      '8:5 nodes.n.announce: is of kindnet: needs preset kindnet',
      '9:5 nodes.n.peers: is of kindnet: needs preset kindnet',
      '10:5 nodes.n.noMasqueradeCidrs: is of kindnet: needs preset kindnet',
    ])
    expect(of('    ipMasqBackend: nftables\n')).toEqual(['7:5 nodes.n.ipMasqBackend: is of ipMasq, which is false'])
    expect(of('    preset: kindnet\n    ipMasq: false\n    noMasqueradeCidrs: [10.9.0.0/16]\n')).toEqual([
      '9:5 nodes.n.noMasqueradeCidrs: is of ipMasq, which is false',
    ])
  })

  it('antrea and cilium', () => {
    const peer = '    peers: [{ node: x, subnets: [10.2.0.0/24], address: 192.0.2.2, tunnelIp: 10.2.0.1 }]\n'
    expect(node('antrea', `    podCidr: [10.1.0.0/24, 10.3.0.0/24]\n    tunnelType: gre\n    vni: 7\n${peer}`)).toEqual(
      [
        '5:14 nodes.n.podCidr: 10.3.0.1 is the second of IPv4, after 10.1.0.1: there is one of each',
        '7:5 nodes.n.vni: is of geneve or vxlan, not gre',
        '8:68 nodes.n.peers[0].tunnelIp: has no meaning in mode antrea',
      ],
    )
    expect(node('cilium', `    podCidr: 10.1.0.0/24\n    router: [10.1.0.1, 10.1.0.2]\n${peer}`)).toEqual([
      '6:13 nodes.n.router: 10.1.0.2 is the second of IPv4, after 10.1.0.1: there is one of each',
      '7:68 nodes.n.peers[0].tunnelIp: has no meaning in mode cilium',
    ])
  })

  it('ptp is in no cluster with kindnet beside it', () => {
    const uplink = (n: number): string => `uplink: { segment: lan, ip: 192.0.2.${n}/24 }`
    const text = `segments: { lan: {} }
nodes:
  n1: { mode: ptp, gateways: [10.1.0.1], podCidrs: [10.1.0.0/24], ${uplink(1)} }
  n2: { mode: ptp, preset: kindnet, gateways: [10.2.0.1], podCidrs: [10.2.0.0/24], ${uplink(2)} }
`
    const peers = parseTopology(text, 'net.yaml').nodes.map((n) => n.options.peers)
    expect(peers.slice(0, 2)).toEqual([undefined, []])
  })

  it('bridge', () => {
    const of = (lines: string, gateway = '{ ip: 10.1.0.1/24 }'): string[] =>
      node('bridge', `${gateway === '' ? '' : `    gateway: ${gateway}\n`}${lines}`)
    const pod = '    endpoints: { a: { ip: 10.1.0.5/24 } }\n'
    expect(of(`    ipMasq: true\n    services: { s: { port: 80, clusterIps: [10.9.0.1] } }\n${pod}`, '')).toEqual([
      '5:5 nodes.n.ipMasq: needs the key "gateway" beside it (isGateway): without, no pod reaches the node',
      '6:5 nodes.n.services: needs the key "gateway" beside it (isGateway): without, no pod reaches the node',
    ])
    expect(of('    ipMasqBackend: nftables\n')).toEqual(['6:5 nodes.n.ipMasqBackend: is of ipMasq, which is false'])
    expect(of('    preset: kubenet\n    ipMasq: false\n    nonMasqueradeCidrs: [10.0.0.0/8]\n')).toEqual([
      '8:5 nodes.n.nonMasqueradeCidrs: is of ipMasq, which is false',
    ])
    expect(of(`    defaultGateway: [10.1.0.9, "fe80::1"]\n${pod}`)).toEqual([])
    expect(of(`    defaultGateway: [10.7.0.9]\n${pod}`)).toEqual([
      '7:27 nodes.n.endpoints.a.ip: its default gateway, 10.7.0.9, is not in the network of 10.1.0.5/24',
    ])
  })

  it.each([
    [
      'flannel',
      '    network: 0.0.0.0/0\n    subnet: 0.0.0.0/0\n',
      /^6:13 nodes\.n\.subnet: expected a prefix from \/1/,
    ],
    ['flannel', '    network: 224.0.0.0/4\n    subnet: 224.0.0.0/8\n', /^6:13 nodes\.n\.subnet: 224\.0\.0\.1 is not/],
    ['flannel', '    network: 10.0.0.0/8\n    subnet: 10.0.0.1/32\n', /^6:13 nodes\.n\.subnet: 10\.0\.0\.1\/32 is one/],
    ['antrea', '    podCidr: "::/0"\n', /^5:14 nodes\.n\.podCidr: expected a prefix from \/1/],
    ['ovn-hybrid', '    subnet: 127.0.0.0/24\n', /^5:13 nodes\.n\.subnet: 127\.0\.0\.1 is not/],
    ['fan', '    overlay: 10.0.0.0/33\n    underlay: 192.0.0.0/16\n', /nodes\.n\.overlay: /],
    ['fan', '    overlay: "fd00::/8"\n    underlay: 192.0.0.0/16\n', /overlay must be an IPv4 prefix/],
    ['fan', '    underlay: 192.0.0.0/16\n', /the key "overlay" is missing/],
    [
      'ipvlan',
      '    variant: l3\n    parentMac: zz\n    endpoints: { a: { ip: 10.0.0.1/32 } }\n',
      /nodes\.n\.parentMac: /,
    ],
    [
      'ptp',
      '    preset: kindnet\n    gateways: [10.1.0.1]\n    podCidrs: [10.1.0.0/24]\n    routes: [{ to: 0.0.0.0/0, via: 192.0.2.254 }]\n    peers: [{ node: x, subnets: [10.2.0.0/24], address: 203.0.113.1 }]\n',
      /203\.0\.113\.1 of x is on no link of the node, as kindnet needs it/,
    ],
  ])('%s, where no node could be made of it: %j', (mode, lines, what) => {
    const list = node(mode, lines)
    expect(
      list.some((text) => what.test(text)),
      list.join('\n'),
    ).toBe(true)
  })

  it('aws-vpc and azure', () => {
    expect(node('aws-vpc', '')).toEqual(['3:5 nodes.n: the key "vpc" is missing: CIDRs of the VPC'])
    expect(node('aws-vpc', '    vpc: [10.0.0.0/16]\n    branchEnis: [eth1]\n')).toEqual([
      '6:18 nodes.n.branchEnis[0]: node n has no port "eth1"',
    ])
    expect(node('aws-vpc', '    vpc: [10.0.0.0/16]\n    externalSnat: true\n    randomizeSnat: none\n')).toEqual([
      '7:5 nodes.n.randomizeSnat: means nothing where externalSnat is true',
    ])
    expect(node('azure', '    hostMac: 00:0d:3a:00:00:01\n')).toEqual([
      '5:5 nodes.n.hostMac: has no meaning in variant transparent',
    ])
    expect(node('azure', '    variant: bridge\n    hostMac: 00:0d:3a:00:00:01\n')).toEqual([
      '4:19 nodes.n.uplink.ip: has no meaning in variant bridge: the node is an endpoint with hostMac',
    ])
  })
})
