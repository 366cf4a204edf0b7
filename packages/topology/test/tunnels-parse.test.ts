import { parseTopology, TopologyError } from '@l2l3/topology'
import { describe, expect, it } from 'vitest'

/* What is wrong with networks of mode vtep and tunnels of mode router, each as "line key: message". */

function problems(text: string): string[] {
  try {
    parseTopology(text, 'net.yaml')
  } catch (error) {
    if (!(error instanceof TopologyError)) throw error
    return error.problems.map((p) => `${p.line} ${p.key}: ${p.message}`)
  }
  return []
}

/** A node with one network `blue`, whose keys are on line 6. */
const blue = (keys: string): string[] =>
  problems(`nodes:
  n:
    mode: vtep
    uplink: { ip: [192.0.2.1/24, "2001:db8::1/64"] }
    networks:
      blue: { ${keys} }
    endpoints: { h: { ip: 10.0.0.1/24 } }
`)

/** The same, with more lines from 6 on in place of the network. */
const node = (lines: string): string[] => problems(`nodes:\n  n:\n    mode: vtep\n${lines}`)

describe('networks of mode vtep', () => {
  it('are taken with all that they may have', () => {
    expect(
      blue(
        'vni: 42, local: 192.0.2.1, port: 8472, ' +
          'static: [{ mac: 02:00:00:00:00:02, remote: 192.0.2.2 }], gateway: 02:00:00:00:00:03, ' +
          'prefixes: [{ to: 10.9.0.0/16, remote: 192.0.2.4, mac: 02:00:00:00:00:04, decrementTtl: true }], ' +
          'multicast: { group: 239.1.1.1 }, learning: false, unknown: drop, knownPeersOnly: true, mtu: 1400, ' +
          'oversize: outer, policy: 1, gbp: true, profile: ovs, df: inherit, ttl: inherit, tos: 8, groupTtl: 5, ' +
          'sportRange: "40000-50000", udpChecksum: true, udpChecksum6: false, verifyChecksum: false, ' +
          'zeroChecksum6: true, ecnIngress: rfc6040, reservedBits: rfc, flowLabel: hash, innerVlan: drop, ipId: counter',
      ),
    ).toEqual([])
    expect(blue('vni: 42, remotes: [192.0.2.2, { address: 192.0.2.3, vni: 43, policy: 3 }], gbp: true')).toEqual([])
    expect(
      blue(
        'encapsulation: geneve, vni: 1, remotes: ["2001:db8::2"], options: [{ class: 0x0102, type: 0x80, data: "00010002" }], ' +
          'knownOptions: [{ class: 0x0102, type: 0x80 }]',
      ),
    ).toEqual([])
    expect(
      blue('encapsulation: gretap, key: 4294967295, checksum: true, sequence: true, remotes: [192.0.2.2]'),
    ).toEqual([])
  })

  it('need a number on the wire, which is their own', () => {
    expect(blue('remotes: [192.0.2.2]')).toEqual([
      '6 nodes.n.networks.blue: the key "vni" is missing: the network\'s number in vxlan',
    ])
    expect(blue('vni: 16777216')).toEqual([
      '6 nodes.n.networks.blue.vni: expected a number from 0 to 16777215, not 16777216',
    ])
    expect(
      node(`    uplink: { ip: 192.0.2.1/24 }
    networks:
      blue: { vni: 42 }
      green: { vni: 42 }
    endpoints: { h: { network: blue } }
`),
    ).toEqual(["7 nodes.n.networks.green.vni: 42 is network blue's already"])
  })

  it('have far ends that can be reached', () => {
    expect(blue('vni: 42, remotes: [192.0.2.1]')).toEqual([
      '6 nodes.n.networks.blue.remotes[0]: 192.0.2.1 is an address of the node itself',
    ])
    expect(blue('vni: 42, remotes: [192.0.2.2, "2001:db8::2"]')).toEqual([
      '6 nodes.n.networks.blue.remotes[1]: 2001:db8::2 is an IPv6 address, and this end is 192.0.2.1',
    ])
    expect(blue('vni: 42, remotes: [239.1.1.1]')).toEqual([
      '6 nodes.n.networks.blue.remotes[0]: 239.1.1.1 is a multicast group: the key "multicast"',
    ])
    expect(blue('vni: 42, remotes: [{ address: 192.0.2.999 }]')[0]).toMatch(
      /^6 nodes\.n\.networks\.blue\.remotes\[0\]\.address: expected an IPv4 or IPv6 address/,
    )
    expect(blue('vni: 42, multicast: { group: 192.0.2.9 }')).toEqual([
      '6 nodes.n.networks.blue.multicast.group: 192.0.2.9 is no multicast group',
    ])
    expect(blue('vni: 42, multicast: { group: 239.1.1.1, port: lan }')).toEqual([
      '6 nodes.n.networks.blue.multicast.port: node n has no underlay port "lan"',
    ])
    expect(blue('vni: 42, remotes: [192.0.2.2], multicast: { group: 239.1.1.1 }')).toEqual([
      '6 nodes.n.networks.blue.multicast: a group is in place of the key "remotes": far ends would get what is for all twice',
    ])
    expect(blue('vni: 42, remotes: [], multicast: { group: 239.1.1.1 }')).toEqual([])
    expect(blue('vni: 42, local: 192.0.2.7')).toEqual([
      '6 nodes.n.networks.blue.local: 192.0.2.7 is not an address of the node; it has 192.0.2.1, 2001:db8::1',
    ])
    expect(blue('encapsulation: gretap')).toEqual([
      '6 nodes.n.networks.blue: the key "remotes" is missing: the other ends',
    ])
  })

  it.each([
    ['0.0.0.0', 'is not an address that a host can have'],
    ['127.0.0.1', 'is not an address that a host can have'],
    ['255.255.255.255', 'is not an address that a host can have'],
    ['192.0.2.255', "is no host's: 192.0.2.1/24 has it for all, or for itself"],
    ['10.99.0.1', 'no route of node n leads to 10.99.0.1'],
    ['"::"', 'is not an address that a host can have'],
  ])('cannot be at %s', (remote, why) => {
    const six = remote === '"::"' ? 'local: "2001:db8::1", ' : ''
    const said = blue(`vni: 42, ${six}remotes: [${remote}]`)
    expect(said.length).toBe(1)
    expect(said[0]).toContain('6 nodes.n.networks.blue.remotes[0]: ')
    expect(said[0]).toContain(why)
  })

  it('may be behind a route', () => {
    const lines = (to: string): string => `    uplink: { ip: 192.0.2.1/24, mtu: 9000 }
    networks: { blue: { vni: 42, remotes: [10.99.0.1], mtu: 8950 } }
    endpoints: { h: {} }
    routes: [{ to: ${to}, via: 192.0.2.254 }]
`
    expect(node(lines('10.0.0.0/8'))).toEqual([])
    expect(node(lines('10.0.0.0/16'))).toEqual([
      '5 nodes.n.networks.blue.remotes[0]: no route of node n leads to 10.99.0.1',
    ])
    expect(node(lines('10.0.0.0/8').replace('8950', '8951'))[0]).toContain('mtu of blue: 8951 is more than')
  })

  it('have ends that are not the same by two ways of saying it', () => {
    const two = (green: string): string[] =>
      node(`    uplink: { ip: 192.0.2.1/24 }
    networks:
      blue: { vni: 42 }
      green: { ${green} }
    endpoints: { h: { network: blue } }
`)
    expect(two('vni: 42, port: 4789')).toEqual(["7 nodes.n.networks.green.vni: 42 is network blue's already"])
    expect(two('encapsulation: geneve, vni: 43, port: 4789')[0]).toContain('which is vxlan, not geneve')
    expect(two('vni: 43, knownPeersOnly: true')[0]).toContain('knownPeersOnly of green')
  })

  it('of gretap have no keys that mean something to UDP only', () => {
    for (const key of ['udpChecksum: true', 'sportRange: "1-2"', 'reservedBits: rfc', 'innerVlan: drop']) {
      expect(blue(`encapsulation: gretap, remotes: [192.0.2.2], ${key}`)[0]).toContain(
        `${key.split(':')[0]}: has no meaning in a network of gretap`,
      )
    }
    expect(blue('encapsulation: gretap, remotes: [192.0.2.2], oversize: drop')[0]).toContain('must be inner or outer')
  })

  it('may name the MACs that are taken, and their own', () => {
    expect(blue('vni: 42, mac: 02:00:00:00:00:09, destinations: [02:00:00:00:00:0a]')).toEqual([])
    expect(blue('vni: 42, destinations: [03:00:00:00:00:0a]')[0]).toContain(
      'destinations[0]: 03:00:00:00:00:0a is a group',
    )
  })

  it('have MACs and prefixes that are some', () => {
    expect(blue('vni: 42, static: [{ mac: 03:00:00:00:00:01, remote: 192.0.2.2 }]')).toEqual([
      "6 nodes.n.networks.blue.static[0].mac: 03:00:00:00:00:01 is a group address; a station's first byte is even",
    ])
    expect(blue('vni: 42, prefixes: [{ to: 10.0.0.1/8, remote: 192.0.2.2 }]')).toEqual([
      '6 nodes.n.networks.blue.prefixes[0].to: 10.0.0.1/8 has host bits: the network is 10.0.0.0/8',
    ])
  })

  it('have no keys of other encapsulations', () => {
    expect(blue('vni: 42, key: 7, options: []')).toEqual([
      '6 nodes.n.networks.blue.key: has no meaning in a network of vxlan',
      '6 nodes.n.networks.blue.options: has no meaning in a network of vxlan',
    ])
    expect(blue('encapsulation: geneve, vni: 42, gbp: true')).toEqual([
      '6 nodes.n.networks.blue.gbp: has no meaning in a network of geneve',
    ])
    expect(blue('encapsulation: gretap, vni: 42, remotes: [192.0.2.2]')).toEqual([
      '6 nodes.n.networks.blue.vni: has no meaning in a network of gretap',
    ])
  })

  it('say which field of an outer header is none', () => {
    expect(blue('vni: 42, ttl: 0')).toEqual(['6 nodes.n.networks.blue.ttl: expected a number from 1 to 255, not 0'])
    expect(blue('vni: 42, ttl: keep')).toEqual([
      '6 nodes.n.networks.blue.ttl: expected a number or "inherit", not "keep"',
    ])
    expect(blue('vni: 42, tos: 3')).toEqual([
      '6 nodes.n.networks.blue: tos must leave the two bits of ECN at zero, not 3',
    ])
    expect(blue('vni: 42, ipId: zero')).toEqual([
      '6 nodes.n.networks.blue: ipId can be zero only where df is set (RFC 6864), not clear',
    ])
    expect(blue('vni: 42, sportRange: "9-1"')).toEqual([
      '6 nodes.n.networks.blue.sportRange: the range 9-1 ends before it begins',
    ])
    expect(blue('vni: 42, sportRange: "9-99999"')).toEqual([
      '6 nodes.n.networks.blue.sportRange: expected ports from 1 to 65535, not 9-99999',
    ])
    expect(blue('vni: 42, sportRange: all')).toEqual([
      '6 nodes.n.networks.blue.sportRange: expected a range of ports such as "49152-65535", not "all"',
    ])
    expect(blue('vni: 42, profile: lnux')[0]).toMatch(/^6 .*expected "linux", "rfc".*did you mean "linux"\?$/)
  })

  it('share an end only where they have the same outside', () => {
    expect(
      node(`    uplink: { ip: 192.0.2.1/24 }
    networks:
      blue: { vni: 42 }
      green: { vni: 43, ttl: 5 }
      red: { vni: 44, ttl: 5, port: 8472 }
    endpoints: { h: { network: blue } }
`),
    ).toEqual([
      '7 nodes.n.networks.green: outer headers and what is understood must be as in blue, whose end it shares: vxlan at 192.0.2.1',
    ])
  })

  it('are there for each host, and the node has an address outside', () => {
    expect(node('    uplink: { ip: 192.0.2.1/24 }\n    endpoints: { h: {} }\n')).toEqual([
      '3 nodes.n: the key "networks" is missing: what the hosts are on',
    ])
    const both = '    networks: { blue: { vni: 42 }, green: { vni: 43 } }\n'
    expect(node(`${both}    uplink: { ip: 192.0.2.1/24 }\n    endpoints: { h: {}, i: { network: bleu } }\n`)).toEqual([
      '6 nodes.n.endpoints.h: the key "network" is missing: one of blue, green',
      '6 nodes.n.endpoints.i.network: node n has no network "bleu"; did you mean "blue"?',
    ])
    expect(node(`${both}    endpoints: { h: { network: blue } }\n`)).toEqual([
      '3 nodes.n: the node needs an address on the underlay: the key "ip" of an uplink',
    ])
    expect(
      node(
        `${both}    uplink: { ip: 192.0.2.1/24, hairpin: true }\n    ports: { lan: { network: blue, ip: 10.0.0.9/24 } }\n`,
      ),
    ).toEqual([
      '5 nodes.n.uplink.hairpin: is of ports of a network, and this is one of the underlay: it has no key "network"',
      '6 nodes.n.ports.lan.ip: the node has no address in network blue: it only carries its frames',
    ])
    expect(node(`${both}    uplink: { ip: 192.0.2.1/24 }\n    endpoints: { blue: { network: blue } }\n`)).toEqual([
      '4 nodes.n.networks.blue: node n has a port of this name',
    ])
  })

  it('may go by sockets of the machine', () => {
    const by = (uplink: string, network: string): string[] =>
      node(`    uplink: { ${uplink} }
    networks: { blue: { ${network} } }
    endpoints: { h: {} }
`)
    expect(by('udp: { address: 192.0.2.1, send: single, receive: split, groups: [239.1.1.1] }', 'vni: 42')).toEqual([])
    expect(by('udp: { address: "2001:db8::1", port: 6081 }', 'encapsulation: geneve, vni: 42')).toEqual([])
    expect(by('udp: { address: 192.0.2.1 }', 'encapsulation: geneve, vni: 42')).toEqual([
      '5 nodes.n.networks.blue.port: the socket of 192.0.2.1 has port 4789, and the network 6081',
    ])
    expect(by('udp: { address: 192.0.2.1 }', 'encapsulation: gretap, remotes: [192.0.2.2]')).toEqual([
      '5 nodes.n.networks.blue.encapsulation: gretap has no UDP to go by sockets',
    ])
    expect(by('udp: { address: lo }', 'vni: 42')[0]).toMatch(
      /^4 nodes\.n\.uplink\.udp\.address: expected an IPv4 or IPv6/,
    )
    expect(by('ip: 192.0.2.2/24, udp: { address: 192.0.2.1 }', 'vni: 42')).toEqual([
      '4 nodes.n.uplink.udp: sockets are the underlay, and have the address of the machine: no network, no ip',
    ])
    expect(by('ip: 192.0.2.5/24, tap: {}, udp: { address: 192.0.2.1 }', 'vni: 42')).toEqual([
      '4 nodes.n.uplink: a port is one of tap, nic and udp',
    ])
    expect(
      problems(`nodes:
  a: { mode: switch, uplink: { nic: { name: eth0 } } }
  b: { mode: switch, uplink: { nic: { name: eth0 } } }
  c: { mode: switch, uplink: { udp: { address: 192.0.2.1 } } }
links: [[a/uplink, b/uplink]]
`).map((p) => p.replace(/; (expected|did you).*/, '')),
    ).toEqual(['4 nodes.c.uplink.udp: unknown key "udp"'])
    expect(
      problems(`nodes:
  a: { mode: switch, uplink: { nic: { name: eth0 } } }
  b: { mode: switch, uplink: { nic: { name: eth0 } } }
links: [[a/uplink, b/uplink]]
`),
    ).toEqual([
      '3 nodes.b.uplink.nic.name: interface eth0 is given twice: a/uplink has it already',
      '4 links[0][0]: port a/uplink is an interface and cannot be joined by a link as well',
      '4 links[0][1]: port b/uplink is an interface and cannot be joined by a link as well',
    ])
  })

  it('may have the same addresses, but each only once', () => {
    const hosts = (more: string): string[] =>
      node(`    uplink: { ip: 192.0.2.1/24 }
    networks: { blue: { vni: 42 }, green: { vni: 43 } }
    endpoints:
      a: { network: blue, ip: 10.0.0.1/24, mac: 02:00:00:00:00:01 }
      b: { network: green, ip: 10.0.0.1/24, mac: 02:00:00:00:00:01 }
${more}`)
    expect(hosts('')).toEqual([])
    expect(hosts('      c: { network: green, ip: 10.0.0.1/24 }\n')).toEqual([
      '9 nodes.n.endpoints.c.ip: address 10.0.0.1 is given twice: n/b has it already',
    ])
  })
})

/** A router with one tunnel, whose keys are on line 6. */
const tun0 = (keys: string, routes = ''): string[] =>
  problems(`nodes:
  n:
    mode: router
    uplink: { ip: [192.0.2.1/24, "2001:db8::1/64"] }
    tunnels:
      tun0: { ${keys} }
    routes: [${routes}]
`)

describe('tunnels of mode router', () => {
  it('are taken with all that they may have', () => {
    const fits = [
      'type: ipip, local: 192.0.2.1, peers: [192.0.2.0/24], encapLimit: none, ttl: 64, df: clear, mtu: 1400',
      'type: 6in4, local: 192.0.2.1, remote: 192.0.2.2, ip: ["fd00::1/64"]',
      'type: ip, local: "2001:db8::1", remote: "2001:db8::2", encapLimit: 2, flowLabel: 5',
      'type: gre, local: 192.0.2.1, remote: 192.0.2.2, key: 1, checksum: true, sequence: true',
      'type: gretap, local: 192.0.2.1, remote: 192.0.2.2, ip: 10.9.0.1/30, mac: 02:00:00:00:00:01',
      'type: vxlan, vni: 1, local: 192.0.2.1, subnets: [{ to: 10.244.2.0/24, remote: 192.0.2.2, mac: 02:00:00:00:00:02, via: 10.244.2.1 }]',
      'type: geneve, vni: 1, local: 192.0.2.1, remote: 192.0.2.2, learning: true, port: 6000',
      'type: flannel-udp, local: 192.0.2.1, ip: 10.244.0.1/16, subnets: [{ to: 10.244.2.0/24, remote: 192.0.2.2 }]',
      'type: ipip, local: 192.0.2.1, remote: { fan: { overlay: 10.0.0.0/8, underlay: 192.0.0.0/16 } }',
    ]
    for (const keys of fits) expect([keys, tun0(keys)]).toEqual([keys, []])
    expect(tun0('type: gre, local: 192.0.2.1, remote: 192.0.2.2', '{ to: 10.1.0.0/16, port: tun0 }')).toEqual([])
    expect(
      tun0('type: gre, local: 192.0.2.1, remote: 192.0.2.2, ip: 10.9.0.1/30', '{ to: 10.1.0.0/16, via: 10.9.0.2 }'),
    ).toEqual([])
  })

  it('have two ends', () => {
    expect(tun0('type: gre, local: 192.0.2.9, remote: 192.0.2.2')).toEqual([
      '6 nodes.n.tunnels.tun0.local: 192.0.2.9 is not an address of the node; it has 192.0.2.1, 2001:db8::1',
    ])
    expect(tun0('type: gre, local: 192.0.2.1, remote: "2001:db8::2"')).toEqual([
      '6 nodes.n.tunnels.tun0.remote: 2001:db8::2 is an IPv6 address, and this end is 192.0.2.1',
    ])
    expect(tun0('type: gre, local: "2001:db8::1"')).toEqual([
      '6 nodes.n.tunnels.tun0: remote must be an address where local is IPv6: next hops and FANs tell IPv4 addresses only',
    ])
    expect(tun0('type: gretap, local: 192.0.2.1')).toEqual([
      '6 nodes.n.tunnels.tun0: the key "remote" is missing: the other end',
    ])
    expect(tun0('type: gre, local: 192.0.2.1, remote: 224.0.0.9')).toEqual([
      '6 nodes.n.tunnels.tun0.remote: 224.0.0.9 is a multicast group, not a node',
    ])
    expect(
      tun0('type: ipip, local: 192.0.2.1, remote: { fan: { overlay: 10.0.0.0/8, underlay: 172.16.0.0/16 } }'),
    ).toEqual(['6 nodes.n.tunnels.tun0: local is not in the FAN underlay'])
  })

  it('have the keys of their type', () => {
    expect(tun0('type: ipip, local: 192.0.2.1, key: 1, vni: 3')).toEqual([
      '6 nodes.n.tunnels.tun0.key: has no meaning in a tunnel of ipip',
      '6 nodes.n.tunnels.tun0.vni: has no meaning in a tunnel of ipip',
    ])
    expect(tun0('type: vxlan, local: 192.0.2.1')).toEqual([
      '6 nodes.n.tunnels.tun0: the key "vni" is missing: its number in vxlan',
    ])
    expect(
      tun0('type: ipip, local: 192.0.2.1, subnets: [{ to: 10.1.0.0/16, remote: 192.0.2.2, mac: 02:00:00:00:00:01 }]'),
    ).toEqual(['6 nodes.n.tunnels.tun0.subnets[0].mac: has no meaning in a tunnel of ipip'])
    expect(tun0('type: gre, local: 192.0.2.1, remote: 192.0.2.2, tos: 1')).toEqual([
      '6 nodes.n.tunnels.tun0: tos must leave the two bits of ECN at zero, not 1',
    ])
    expect(tun0('type: geneve, vni: 1, local: 192.0.2.1, remote: 192.0.2.2, sportRange: "6-1"')).toEqual([
      '6 nodes.n.tunnels.tun0.sportRange: the range 6-1 ends before it begins',
    ])
    expect(tun0('type: flannel-udp, local: 192.0.2.1')[0]).toMatch(/needs an IPv4 address to speak from$/)
    expect(tun0('type: sit, local: 192.0.2.1')[0]).toMatch(/^6 .*expected "ipip", "6in4"/)
  })

  it('have keys that mean something, and ends that can be reached', () => {
    expect(tun0('type: ipip, local: 192.0.2.1, remote: 192.0.2.2, udpChecksum: true, innerVlan: drop')).toEqual([
      '6 nodes.n.tunnels.tun0.udpChecksum: has no meaning in a tunnel of ipip',
      '6 nodes.n.tunnels.tun0.innerVlan: has no meaning in a tunnel of ipip',
    ])
    expect(tun0('type: ipip, local: 192.0.2.1, remote: 10.99.0.1')).toEqual([
      '6 nodes.n.tunnels.tun0.remote: no route of node n leads to 10.99.0.1',
    ])
    expect(tun0('type: vxlan, vni: 1, local: 192.0.2.1, remote: 192.0.2.2, knownPeersOnly: true')).toEqual([])
    const ipip = 'type: ipip, local: 192.0.2.1, remote: 192.0.2.2'
    expect(tun0(`${ipip} }\n      tun1: { ${ipip}`)).toEqual([
      "7 nodes.n.tunnels.tun1: tun1: IPv4 in IP from 192.0.2.1 to 192.0.2.2 is tun0's already",
    ])
  })

  it('have addresses that are not of a port, and a name of their own', () => {
    expect(tun0('type: gre, local: 192.0.2.1, remote: 192.0.2.2, ip: 192.0.2.77/24')).toEqual([
      '6 nodes.n.tunnels.tun0.ip: 192.0.2.77 is in the network of port uplink',
    ])
    expect(
      problems(`nodes:
  n:
    mode: router
    uplink: { ip: 192.0.2.1/24 }
    tunnels: { uplink: { type: ipip, local: 192.0.2.1 } }
`),
    ).toEqual(['5 nodes.n.tunnels.uplink: node n has a port of this name'])
  })

  it('are led to by routes', () => {
    const gre = 'type: gre, local: 192.0.2.1, remote: 192.0.2.2'
    expect(tun0(gre, '{ to: 10.1.0.0/16, port: tun1 }')).toEqual([
      '7 nodes.n.routes[0].port: node n has no port "tun1"; did you mean "tun0"?',
    ])
    expect(tun0(gre, '{ to: 10.1.0.0/16, port: uplink }')).toEqual([
      '7 nodes.n.routes[0].port: needs the key "via" beside it',
    ])
    expect(tun0(gre, '{ to: 10.1.0.0/16, port: tun0, blackhole: true }')).toEqual([
      '7 nodes.n.routes[0]: expected exactly one of the keys via, unreachable, blackhole, prohibit',
    ])
  })
})
