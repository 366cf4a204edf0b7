import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildInMemory, parseTopology, type Topology, TopologyError } from '@l2l3/topology'
import { afterAll, describe, expect, it } from 'vitest'

/* The node key `cni`: configurations as they lie in /etc/cni/net.d, and what nodes become of them. */

const dir = mkdtempSync(join(tmpdir(), 'l2l3-cni-'))
afterAll(() => rmSync(dir, { recursive: true }))

function topologyOf(node: object, file = join(dir, 'net.yaml')): Topology {
  return parseTopology(JSON.stringify({ nodes: { n: node }, segments: { lan: {} } }), file)
}

/** What is wrong, as "key: message". */
function problems(node: object): string[] {
  try {
    topologyOf(node)
  } catch (error) {
    if (!(error instanceof TopologyError)) throw error
    return error.problems.map((p) => `${p.key}: ${p.message}`)
  }
  return []
}

const hosts = (topology: Topology): Record<string, unknown> =>
  Object.fromEntries(
    topology.endpoints.map(({ name, addresses, routes = [] }) => [
      name,
      [
        ...addresses.map((a) => `${a.text}/${a.prefix}`),
        ...routes.map(({ to, via }) => `${to.text}/${to.prefix} via ${via.text}`),
      ],
    ]),
  )

/* From the plugins' README, but for the names. */
const BRIDGE = {
  cniVersion: '0.3.1',
  name: 'mynet',
  type: 'bridge',
  bridge: 'mynet0',
  isDefaultGateway: true,
  forceAddress: false,
  ipMasq: true,
  hairpinMode: true,
  ipam: { type: 'host-local', subnet: '10.10.0.0/16' },
}
const PTP = {
  name: 'mynet',
  type: 'ptp',
  ipam: { type: 'host-local', subnet: '10.1.1.0/24' },
  dns: { nameservers: ['10.1.1.1', '8.8.8.8'] },
}

describe('a configuration as a node', () => {
  it('bridge: keys, gateway, and addresses in the order of the file; those that are given are passed over', () => {
    const topology = topologyOf({ mode: 'bridge', cni: BRIDGE, endpoints: { a: {}, b: { ip: '10.10.0.3/16' }, c: {} } })
    expect(topology.nodes[0]?.options).toMatchObject({
      ...{ bridge: 'mynet0', ipMasq: true, hairpinMode: true, gateway: { ip: ['10.10.0.1/16'] } },
      defaultGateway: ['10.10.0.1'],
    })
    expect(hosts(topology)).toEqual({ a: ['10.10.0.2/16'], b: ['10.10.0.3/16'], c: ['10.10.0.4/16'] })
  })

  it('a file beside the topology’s, with routes that are not the default one', () => {
    const conf = {
      ...{ ...BRIDGE, isDefaultGateway: false, isGateway: true, mtu: 1400 },
      ipam: {
        type: 'host-local',
        subnet: '10.10.0.0/16',
        routes: [{ dst: '10.96.0.0/12' }, { dst: '10.8.0.0/16', gw: '10.10.0.9' }],
      },
    }
    writeFileSync(join(dir, '10-mynet.conf'), JSON.stringify(conf))
    const topology = topologyOf({ mode: 'bridge', cni: '10-mynet.conf', endpoints: { a: {} } })
    expect(hosts(topology)).toEqual({
      a: ['10.10.0.2/16', '10.96.0.0/12 via 10.10.0.1', '10.8.0.0/16 via 10.10.0.9'],
    })
    expect(topology.nodes[0]?.options.defaultGateway).toBe(false)
    expect(topology.endpoints[0]?.mtu).toBe(1400)
  })

  it('ptp: a pod is alone, its subnet by the gateway', () => {
    const topology = topologyOf({ mode: 'ptp', cni: PTP, endpoints: { a: {} } })
    expect(topology.nodes[0]?.options).toMatchObject({
      ...{ gateways: ['10.1.1.1'], podCidrs: ['10.1.1.0/24'], ipMasq: false, defaultGateway: false },
    })
    expect(hosts(topology)).toEqual({ a: ['10.1.1.2/32', '10.1.1.0/24 via 10.1.1.1'] })
  })

  it('macvlan and ipvlan: variant, queue and the underlay’s gateway', () => {
    const ipam = { type: 'host-local', subnet: '10.5.0.0/24', routes: [{ dst: '0.0.0.0/0' }] }
    const macvlan = {
      cniVersion: '1.0.0',
      name: 'm',
      type: 'macvlan',
      master: 'eth0',
      mode: 'vepa',
      bcqueuelen: 50,
      ipam,
    }
    expect(topologyOf({ mode: 'macvlan', cni: macvlan, endpoints: { a: {} } }).nodes[0]?.options).toEqual({
      ...{ variant: 'vepa', bcqueuelen: 50, gateway: ['10.5.0.1'] },
    })
    // The kernel's queue may be longer than any here.
    const long = topologyOf({ mode: 'macvlan', cni: { ...macvlan, bcqueuelen: 100_000 }, endpoints: { a: {} } })
    expect(long.nodes[0]?.options.bcqueuelen).toBe(65_536)
    buildInMemory(long)
    const ipvlan = { cniVersion: '1.0.0', name: 'i', type: 'ipvlan', master: 'eth0', mode: 'l3s', ipam }
    const topology = topologyOf({ mode: 'ipvlan', cni: ipvlan, endpoints: { a: {}, b: {} } })
    expect(topology.nodes[0]?.options).toEqual({ variant: 'l3s' })
    expect(hosts(topology)).toEqual({ a: ['10.5.0.2/32'], b: ['10.5.0.3/32'] })
    const [a, b] = topology.endpoints
    expect(a?.mac).toBe(b?.mac)
  })

  it('gives each pod what a runtime would, of capabilities that are declared', () => {
    const cni = {
      cniVersion: '1.0.0',
      name: 'pods',
      plugins: [
        { ...BRIDGE, cniVersion: undefined, name: undefined, capabilities: { ips: true, mac: true } },
        { type: 'portmap', capabilities: { portMappings: true }, snat: false },
      ],
    }
    const runtimeConfig = {
      ...{ ips: ['10.10.0.77/16'], mac: '02:00:00:00:00:77' },
      portMappings: [
        { hostPort: 8080, containerPort: 80, protocol: 'TCP' },
        { hostPort: 5353, containerPort: 53, protocol: 'udp', hostIP: '192.0.2.1' },
        { hostPort: 8443, containerPort: 443, hostIP: '0.0.0.0' },
      ],
    }
    const node = {
      mode: 'bridge',
      cni,
      endpoints: { a: { runtimeConfig } },
      uplink: { segment: 'lan', ip: '192.0.2.1/24' },
    }
    const topology = topologyOf(node)
    expect(topology.endpoints[0]).toMatchObject({ mac: '02:00:00:00:00:77', addresses: [{ text: '10.10.0.77' }] })
    expect(topology.nodes[0]?.options.portMappings).toEqual([
      { protocol: 'tcp', port: 8080, to: 'a', toPort: 80, hairpin: false },
      { protocol: 'udp', port: 5353, to: 'a', toPort: 53, hostIp: '192.0.2.1', hairpin: false },
      // All addresses, but of one IP version.
      { protocol: 'tcp', port: 8443, to: 'a', toPort: 443, hostIp: '0.0.0.0', hairpin: false },
    ])
    const world = buildInMemory(topology)
    expect(world.fabric.nodes[0]?.services?.().map((row) => row.frontends[0])).toEqual([
      'HostPort *:8080',
      'HostPort 192.0.2.1:5353',
      'HostPort *:8443',
    ])
  })
})

describe('conditions of portmap', () => {
  const of = (portmap: object): object => {
    const { cniVersion, name, ...bridge } = BRIDGE
    const plugins = [bridge, { type: 'portmap', capabilities: { portMappings: true }, ...portmap }]
    const runtimeConfig = { portMappings: [{ hostPort: 8080, containerPort: 80 }] }
    return {
      mode: 'bridge',
      cni: { cniVersion, name, plugins },
      endpoints: { a: { runtimeConfig } },
      uplink: { segment: 'lan', ip: '192.0.2.1/24' },
    }
  }

  it('as the plugin’s page has them: addresses', () => {
    const conditions = {
      conditionsV4: ['!', '-d', '192.0.2.0/24', '--source', '10.0.0.7/8,198.51.100.1'],
      conditionsV6: ['!', '-d', 'fc00::/7'],
    }
    expect(topologyOf(of(conditions)).nodes[0]?.options.portMappings).toEqual([
      {
        ...{ protocol: 'tcp', port: 8080, to: 'a', toPort: 80 },
        when: { notAt: ['192.0.2.0/24', 'fc00::/7'], from: ['10.0.0.0/8', '198.51.100.1/32'] },
      },
    ])
  })

  it('and no others', () => {
    const refused = (conditionsV4: string[]): string[] => problems(of({ conditionsV4 }))
    const said = "of iptables' matches sources and destinations can be kept here (-s, -d), not"
    const key = 'nodes.n.cni.plugins[1].conditionsV4'
    expect(refused(['-i', 'eth0'])).toEqual([`${key}: ${said} "-i"`])
    expect(refused(['!'])).toEqual([`${key}: ${said} ""`])
    expect(refused(['-s'])).toEqual([`${key}: ${said} "-s"`])
    expect(refused(['-s', 'any'])[0]).toContain(`${key}: expected an IPv4 or IPv6 address`)
  })
})

describe('what is wrong is told by file and key', () => {
  it('of a file', () => {
    expect(problems({ mode: 'bridge', cni: 'none.conf' })).toEqual([
      `nodes.n.cni: cannot read ${dir}/none.conf: there is no such file`,
    ])
    writeFileSync(join(dir, 'bad.conf'), '{')
    expect(problems({ mode: 'bridge', cni: 'bad.conf' })[0]).toContain(`nodes.n.cni: ${dir}/bad.conf: no JSON`)
    writeFileSync(join(dir, 'vlan.conf'), JSON.stringify({ ...BRIDGE, vlan: 5000 }))
    expect(problems({ mode: 'bridge', cni: 'vlan.conf' })).toEqual([
      `nodes.n.cni: ${dir}/vlan.conf: vlan: expected a whole number from 0 to 4094, not 5000`,
    ])
  })

  it('of what stands under the key', () => {
    expect(problems({ mode: 'bridge', cni: { ...BRIDGE, hairpinmode: true } })).toEqual([
      'nodes.n.cni.hairpinmode: unknown key; did you mean "hairpinMode"?',
    ])
    expect(problems({ mode: 'bridge', cni: PTP })).toEqual([
      'nodes.n.cni.type: expected "bridge", which is the mode of the node, not "ptp"',
    ])
    expect(problems({ mode: 'bridge', cni: BRIDGE, ipMasq: false })).toEqual([
      'nodes.n.ipMasq: the configuration under "cni" says that: it cannot stand beside it',
    ])
    const tight = { ...BRIDGE, ipam: { type: 'host-local', subnet: '10.10.0.0/30' } }
    expect(problems({ mode: 'bridge', cni: tight, endpoints: { a: {}, b: {} } })).toEqual([
      'nodes.n.endpoints.b: no IP addresses available in range set 0: 10.10.0.1-10.10.0.2',
    ])
  })

  it('of a pod', () => {
    const runtimeConfig = { portMappings: [{ hostPort: 80, containerPort: 80 }] }
    expect(problems({ mode: 'bridge', endpoints: { a: { runtimeConfig } } })).toEqual([
      'nodes.n.endpoints.a.runtimeConfig: needs the key "cni" of the node, whose plugins it is for',
    ])
    expect(problems({ mode: 'bridge', cni: BRIDGE, endpoints: { a: { runtimeConfig } } })).toEqual([
      'nodes.n.endpoints.a.runtimeConfig.portMappings: no plugin declares the capability "portMappings"',
    ])
    const cni = { ...BRIDGE, capabilities: { ips: true } }
    expect(problems({ mode: 'bridge', cni, endpoints: { a: { runtimeConfig: { ips: ['10.10.0.1'] } } } })).toEqual([
      "nodes.n.endpoints.a: 10.10.0.1 is the gateway's address",
    ])
    expect(problems({ mode: 'bridge', cni, endpoints: { a: { runtimeConfig: { ips: ['10.10.0.1/99'] } } } })).toEqual([
      'nodes.n.endpoints.a.runtimeConfig.ips[0]: expected a prefix from /0 to /32, not "/99"',
    ])
  })
})
