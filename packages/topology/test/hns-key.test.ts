// The node keys `hns` and `cni` of Windows' modes: what documents say is what the mode's own keys would; what is wrong is told by file and
// JSON path, or at its place in the topology's file.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { parseTopology, TopologyError } from '../src/index.ts'
import { topology } from '../src/lab/index.ts'

const directory = mkdtempSync(join(tmpdir(), 'l2l3-hns-'))
afterAll(() => rmSync(directory, { recursive: true }))
const FILE = join(directory, 'topology.yaml')

/** The endpoint keys and node keys that a node has in the end. */
function nodeOf(text: string) {
  const [node] = parseTopology(text, FILE).nodes
  const ports = Object.fromEntries(
    (node?.ports ?? []).flatMap(({ name, endpoint, options }) =>
      endpoint === null
        ? []
        : [[name, { mac: endpoint.mac, ip: endpoint.addresses.map((a) => `${a.text}/${a.prefix}`), ...options }]],
    ),
  )
  const { hns: _, cni: _c, ...options } = node?.options ?? {}
  return { options, ports }
}

function problems(text: string): string[] {
  try {
    parseTopology(text, FILE)
    return []
  } catch (error) {
    if (!(error instanceof TopologyError)) throw error
    return error.problems.map(({ key, message }) => `${key}: ${message}`)
  }
}

const yaml = (node: object): string => JSON.stringify({ nodes: { n: node } })
const BRIDGE = {
  Name: 'cbr0',
  Type: 'L2Bridge',
  Subnets: [{ AddressPrefix: '10.244.3.0/24', GatewayAddress: '10.244.3.1' }],
}
const base = { mode: 'l2bridge', hostMac: '00:15:5d:00:00:aa', host: { ip: '10.240.0.4/16' }, uplink: {} }
const web = { IPAddress: '10.244.3.5', PrefixLength: 24, MacAddress: '00-15-5D-00-03-05' }

describe('hns', () => {
  it('is the same in a file and in place', () => {
    const hns = {
      networks: [BRIDGE],
      endpoints: { web: { ...web, Policies: [{ Type: 'OutBoundNAT', ExceptionList: ['10.0.0.0/8'] }] } },
    }
    writeFileSync(join(directory, 'node.json'), JSON.stringify(hns))
    const inPlace = nodeOf(yaml({ ...base, endpoints: { web: {} }, hns }))
    expect(nodeOf(yaml({ ...base, endpoints: { web: {} }, hns: 'node.json' }))).toEqual(inPlace)
    expect(inPlace).toMatchObject({
      options: { hostEndpoint: { ip: ['10.244.3.2/24'], mac: '00:15:5d:f4:03:02' } },
      ports: {
        web: { mac: '00:15:5d:00:03:05', ip: ['10.244.3.5/24'], outboundNat: [{ exceptions: ['10.0.0.0/8'] }] },
      },
    })
  })

  it('flags, parts of subnets and the management address hold in files, too', () => {
    const of = (network: object, node: object = base) =>
      yaml({ ...node, endpoints: { web: {} }, hns: { networks: [{ ...BRIDGE, ...network }], endpoints: { web } } })
    const parts = (Flags: number) => ({
      Subnets: [{ ...BRIDGE.Subnets[0], IpSubnets: [{ IpAddressPrefix: '10.244.3.0/28', Flags }] }],
    })
    expect(nodeOf(of(parts(0))).ports.web).toMatchObject({ guards: { blockBroadcast: true } })
    expect(nodeOf(of(parts(1))).ports.web).toMatchObject({ guards: { blockBroadcast: false } })
    expect(problems(of({ ManagementIP: '10.240.0.5' }))).toEqual([
      "nodes.n.hns.networks[0]: the management address 10.240.0.5 is not the host's, 10.240.0.4",
    ])
    expect(problems(of({ ManagementIP: '10.240.0.4' }))).toEqual([])
    expect(problems(of({ Flags: 1024 }))).toEqual([
      'nodes.n.hns.networks[0].Flags: DisableHostPort leaves the host no port: the key "host" cannot be',
    ])
    const { host: _, ...hostless } = base
    expect(nodeOf(of({ Flags: 1024 }, hostless)).options.hostEndpoint).toBeUndefined()
    const plain = (network: object, node: object) =>
      of({ Type: 'Transparent', ...network }, { mode: 'transparent', uplink: {}, ...node })
    const interfaces = { management: { ip: '10.244.3.1/24' } }
    expect(problems(plain({ ManagementIP: '10.244.3.9' }, { interfaces }))).toEqual([
      "nodes.n.hns.networks[0]: the management address 10.244.3.9 is not the host's, 10.244.3.1",
    ])
    expect(problems(plain({ Flags: 1024 }, { interfaces }))).toHaveLength(1)
    expect(problems(plain({ Flags: 1024 }, {}))).toEqual([])
  })

  it('what changes nothing is kept as a note, with place and reason', () => {
    const hns = {
      networks: [{ ...BRIDGE, Flags: 8192 }],
      endpoints: { web: { ...web, EnableLowMetric: true } },
    }
    const said = (value: unknown) =>
      parseTopology(yaml({ ...base, endpoints: { web: {} }, hns: value }), FILE).nodes[0]?.notes
    const notes = [
      '$.networks[0].Flags: EnableIov changes nothing: SR-IOV has hardware carry frames past the switch: there is none, and they pass it',
      '$.endpoints.web: EnableLowInterfaceMetric changes nothing: a container has one interface here, so its metric decides nothing',
    ]
    expect(said(hns)).toEqual(notes.map((note) => `hns: ${note}`))
    writeFileSync(join(directory, 'idle.json'), JSON.stringify(hns))
    expect(said('idle.json')).toEqual(notes.map((note) => `${join(directory, 'idle.json')}: ${note}`))
    expect(said({ networks: [BRIDGE], endpoints: { web } })).toBeUndefined()
  })

  it('becomes keys of each mode, and keys of the file count', () => {
    const tunnel = { ...base, mode: 'l2tunnel', endpoints: { web: { mtu: 1400 } } }
    expect(
      nodeOf(yaml({ ...tunnel, hns: { networks: [{ ...BRIDGE, Type: 'L2Tunnel' }], endpoints: { web } } })),
    ).toMatchObject({
      options: { gateway: ['10.244.3.1'] },
      ports: { web: { mtu: 1400 } },
    })
    const plain = {
      networks: [
        {
          Name: 'corp',
          Type: 'Transparent',
          Subnets: [
            { AddressPrefix: '10.244.3.0/24', GatewayAddress: '10.244.3.1', Policies: [{ Type: 'VLAN', VLAN: 10 }] },
          ],
        },
      ],
      endpoints: { web },
    }
    expect(nodeOf(yaml({ mode: 'transparent', uplink: {}, endpoints: { web: {} }, hns: plain })).ports).toMatchObject({
      web: { vlan: 10, isolated: false },
    })
    const nat = {
      networks: [
        { Name: 'nat', Type: 'NAT', Subnets: [{ AddressPrefix: '172.16.0.0/20', GatewayAddress: '172.16.0.1' }] },
      ],
      endpoints: {
        web: {
          IPAddress: '172.16.0.5',
          PrefixLength: 20,
          Policies: [{ Type: 'NAT', Protocol: 'TCP', InternalPort: 80, ExternalPort: 8080 }],
        },
      },
    }
    expect(
      nodeOf(yaml({ mode: 'winnat', uplink: { ip: '203.0.113.1/24' }, endpoints: { web: {} }, hns: nat })).options,
    ).toMatchObject({
      ...{ prefix: '172.16.0.0/20', networks: { nat: { gateway: '172.16.0.1/20' } } },
      portMappings: [{ protocol: 'tcp', port: 8080, toPort: 80, to: 'web' }],
    })
  })

  it('overlay: networks with remote subnets and services of remote endpoints', () => {
    const v2 = { SchemaVersion: { Major: 2, Minor: 0 } }
    const hns = {
      networks: [
        {
          ...{ Name: 'vxlan0', Type: 'Overlay', ...v2 },
          Ipams: [
            {
              Subnets: [
                {
                  IpAddressPrefix: '10.244.3.0/24',
                  Policies: [{ Type: 'VSID', Settings: { IsolationId: 4097 } }],
                  Routes: [{ NextHop: '10.244.3.1', DestinationPrefix: '0.0.0.0/0' }],
                },
              ],
            },
          ],
          Policies: [
            { Type: 'DrMacAddress', Settings: { Address: '00-15-5D-00-00-D0' } },
            {
              Type: 'RemoteSubnetRoute',
              Settings: {
                DestinationPrefix: '10.244.9.0/24',
                IsolationId: 4097,
                ProviderAddress: '10.240.0.9',
                DistributedRouterMacAddress: '00-15-5D-00-00-D9',
              },
            },
          ],
        },
      ],
      endpoints: {
        web: {
          IpConfigurations: [{ IpAddress: '10.244.3.5', PrefixLength: 24 }],
          Policies: [{ Type: 'ProviderAddress', Settings: { ProviderAddress: '10.240.0.4' } }],
          ...v2,
        },
        far: {
          IpConfigurations: [{ IpAddress: '10.244.9.7', PrefixLength: 24 }],
          MacAddress: '02-11-0A-F4-09-07',
          Flags: 1,
          ...v2,
        },
      },
      loadBalancers: [
        {
          HostComputeEndpoints: ['far'],
          FrontendVIPs: ['10.96.0.9'],
          SourceVIP: '10.244.3.2',
          PortMappings: [{ Protocol: 6, InternalPort: 80, ExternalPort: 8080 }],
          ...v2,
        },
      ],
    }
    const { options, ports } = nodeOf(
      yaml({ mode: 'overlay', uplink: { ip: '10.240.0.4/16' }, endpoints: { web: {} }, hns }),
    )
    expect(options).toMatchObject({
      drMac: '00:15:5d:00:00:d0',
      networks: {
        vxlan0: {
          ...{ vni: 4097, subnet: '10.244.3.0/24', gateway: '10.244.3.1', sourceVip: '10.244.3.2' },
          remoteSubnets: [
            { to: '10.244.9.0/24', providerAddress: '10.240.0.9', drMac: '00:15:5d:00:00:d9', vni: 4097 },
          ],
        },
      },
    })
    const [service] = Object.values(
      (options as { networks: { vxlan0: { services: object } } }).networks.vxlan0.services,
    )
    expect(service).toMatchObject({
      ...{ port: 8080, clusterIps: ['10.96.0.9'], lbMode: 'nondsr' },
      backends: [{ to: '10.244.9.7', port: 80, local: false }],
    })
    expect(ports.web).toMatchObject({ mac: '0e:2a:0a:f4:03:05', network: 'vxlan0' })
  })

  it.each([
    [{ hns: 'none.json' }, `nodes.n.hns: cannot read ${join(directory, 'none.json')}: there is no such file`],
    [{ hns: { networks: [{ ...BRIDGE, Typ: 'x' }] } }, 'nodes.n.hns.networks[0].Typ: unknown key; is it Type?'],
    [
      {
        hns: {
          networks: [BRIDGE],
          endpoints: { web: { ...web, Policies: [{ Type: 'QOS', MaximumOutgoingBandwidthInBytes: 9 }] } },
        },
      },
      'nodes.n.hns.endpoints.web.Policies[0]: QOS is not supported',
    ],
    [
      { hns: { networks: [BRIDGE], endpoints: { web: { ...web, IPAddress: '10.244.4.5' } } } },
      'nodes.n.hns.endpoints.web: the address 10.244.4.5 is in no subnet',
    ],
    [
      { hns: { networks: [{ ...BRIDGE, Type: 'Transparent' }], endpoints: { web } } },
      'nodes.n.hns: a network of type Transparent: mode l2bridge is L2Bridge',
    ],
    [{ hns: { networks: [BRIDGE], endpoints: { other: web } } }, 'nodes.n.endpoints.web: "hns" has no endpoint web'],
    [
      { hns: { networks: [BRIDGE], endpoints: { web } }, cni: {} },
      'nodes.n.cni: stands for the endpoints that "hns" has',
    ],
    [
      { cni: { type: 'win-overlay', name: 'x' } },
      'nodes.n.cni.type: win-overlay makes endpoints of networks of type Overlay',
    ],
    [
      { cni: { type: 'win-bridge', name: 'x', endpointMacPrefix: '0E-2A' } },
      'nodes.n.cni.endpointMacPrefix: is a key of win-overlay',
    ],
    [{ cni: { type: 'win-bridge', name: 'x' } }, 'nodes.n.endpoints.web: has no address'],
    [
      { cni: { type: 'win-bridge', name: 'x', policies: [{ name: 'EndpointPolicy', value: { Type: 'Foo' } }] } },
      'nodes.n.cni.policies[0].value.Type: unknown policy "Foo"',
    ],
  ])('refuses %j', (keys, message) => {
    expect(problems(yaml({ ...base, endpoints: { web: {} }, ...keys })).join('\n')).toContain(message)
  })

  it('names the file and the JSON path of what is wrong in a file', () => {
    writeFileSync(
      join(directory, 'bad.json'),
      JSON.stringify({ networks: [{ ...BRIDGE, Subnets: [{ AddressPrefix: '10.244.3.0/99' }] }] }),
    )
    const [problem] = problems(yaml({ ...base, endpoints: { web: {} }, hns: 'bad.json' }))
    expect(problem).toContain(`nodes.n.hns: ${join(directory, 'bad.json')}: $.networks[0].Subnets[0].AddressPrefix: `)
    writeFileSync(join(directory, 'text.json'), '{')
    expect(problems(yaml({ ...base, endpoints: { web: {} }, hns: 'text.json' }))[0]).toContain(
      'text.json: $: is not JSON',
    )
  })
})

it.each<[unknown, string]>([
  [null, '$: must be an object with networks'],
  [[], '$: must be an object with networks'],
  [{ networks: 5 }, '$.networks: must be a list'],
  [{ networks: [null] }, '$.networks[0]: must be an object'],
  [{ endpoints: { web: null } }, '$.endpoints.web: must be an object'],
  [{ network: [] }, '$.network: unknown key "network"'],
  [{}, '$: there is no network'],
])('refuses a file with %j', (documents, message) => {
  writeFileSync(join(directory, 'odd.json'), JSON.stringify(documents))
  expect(problems(yaml({ ...base, endpoints: { web: {} }, hns: 'odd.json' }))[0]).toContain(`odd.json: ${message}`)
})

describe('cni', () => {
  it.each([
    [{ subnet: '10.244.3.0/24' }, ['10.244.3.3/24', '10.244.3.4/24']],
    [
      { subnet: '10.244.3.0/24', rangeStart: '10.244.3.9', rangeEnd: '10.244.3.10' },
      ['10.244.3.9/24', '10.244.3.10/24'],
    ],
    [{ ranges: [[{ subnet: '10.244.3.0/24' }], [{ subnet: 'fd00::/64' }]] }, ['10.244.3.3/24', '10.244.3.4/24']],
  ])('gives addresses of %j', (ipam, addresses) => {
    const cni = { name: 'x', type: 'sdnbridge', ipam }
    const { ports } = nodeOf(yaml({ ...base, endpoints: { a: {}, b: {} }, cni }))
    expect(Object.values(ports).flatMap((port) => (port as { ip: string[] }).ip)).toEqual(addresses)
  })

  it.each([
    [{ subnet: '10.244.3.0/24', rangeStart: '10.244.4.9' }, '10.244.4.9'],
    [{ subnet: '10.244.3.0/24', rangeStart: '10.244.3.9', rangeEnd: '10.244.3.9' }, 'no IP addresses available'],
  ])('refuses %j', (ipam, message) => {
    const cni = { name: 'x', type: 'sdnbridge', ipam }
    expect(problems(yaml({ ...base, endpoints: { a: {}, b: {} }, cni })).join()).toContain(message)
  })

  it.each([
    ['10.0.0.252/30', 'no IP addresses available'],
    ['fd00::/64', 'of IPv6 no addresses are given out here'],
  ])('refuses an ipam.subnet without addresses for pods: %s', (subnet, message) => {
    const cni = { name: 'x', type: 'win-bridge', ipam: { subnet } }
    expect(problems(yaml({ ...base, endpoints: { web: {} }, cni })).join('\n')).toContain(
      `nodes.n.cni.ipam.subnet: ${message.startsWith('of') ? `${subnet}: ` : ''}${message}`,
    )
  })

  it('win-bridge: addresses from .3 on, policies of the conf and of what a runtime says', () => {
    const cni = {
      ...{ name: 'cbr0', type: 'win-bridge', ipMasqNetwork: '10.244.0.0/16', loopbackDSR: true },
      ipam: { type: 'host-local', subnet: '10.244.3.0/24' },
    }
    const endpoints = {
      web: { runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }] } },
      db: { ip: '10.244.3.4/24' },
      late: {},
    }
    const { options, ports } = nodeOf(yaml({ ...base, endpoints, cni }))
    expect(options).toMatchObject({ hostEndpoint: { ip: ['10.244.3.2/24'] } })
    expect(ports).toMatchObject({
      web: {
        ...{ ip: ['10.244.3.3/24'], portMappings: [{ protocol: 'tcp', port: 8080, toPort: 80 }] },
        outboundNat: [{ exceptions: ['10.244.0.0/16'] }, { destinations: ['10.244.3.3'] }],
      },
      db: { ip: ['10.244.3.4/24'] },
      late: { ip: ['10.244.3.5/24'] },
    })
  })

  it('win-bridge: MACs of pods that end alike, of IPv6 alone too, and addresses of small subnets and large', () => {
    const cni = (subnet?: string) => ({
      name: 'cbr0',
      type: 'win-bridge',
      ...(subnet === undefined ? {} : { ipam: { subnet } }),
    })
    const endpoints = { a: { ip: 'fd00:1::5/64' }, b: { ip: 'fd00:2::5/64' }, c: { ip: '10.0.0.5/24' } }
    expect(Object.values(nodeOf(yaml({ ...base, endpoints, cni: cni() })).ports).map(({ mac }) => mac)).toEqual([
      '00:15:5d:00:00:05',
      '00:15:5d:00:00:06',
      '00:15:5d:00:00:07',
    ])
    const given = (subnet: string) =>
      nodeOf(yaml({ ...base, endpoints: { a: {}, b: {} }, cni: cni(subnet) })).ports as Record<string, { ip: string[] }>
    expect([given('10.244.3.192/26').a?.ip, given('10.0.0.0/8').b?.ip]).toEqual([['10.244.3.195/26'], ['10.0.0.4/8']])
  })

  it('win-overlay: MACs of addresses, ipMasq of the node’s subnet, on the network that the node has', () => {
    const cni = {
      name: 'vxlan0',
      type: 'win-overlay',
      ipMasq: true,
      endpointMacPrefix: '0A-2B',
      ipam: { subnet: '10.244.3.0/24' },
    }
    const networks = { vxlan0: { vni: 4096, subnet: '10.244.3.0/24' } }
    const { ports } = nodeOf(
      yaml({ mode: 'overlay', uplink: { ip: '10.240.0.4/16' }, networks, endpoints: { web: {} }, cni }),
    )
    expect(ports.web).toMatchObject({
      mac: '0a:2b:0a:f4:03:03',
      network: 'vxlan0',
      outboundNat: [{ exceptions: ['10.244.3.0/24'] }],
    })
  })

  it('runs', async () => {
    const cni = { name: 'cbr0', type: 'win-bridge', ipam: { subnet: '10.244.3.0/24' } }
    await using lab = await topology(yaml({ ...base, endpoints: { web: {}, db: {} }, cni }), { world: 'memory' })
    for (const { ok, detail } of await lab.check({ ping: { from: 'web', to: 'db', count: 1 } }))
      expect(ok, detail).toBe(true)
  })
})
