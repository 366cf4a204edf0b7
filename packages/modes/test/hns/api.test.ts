// The calls of HNS: what they make, what they tell, what they refuse - and that a refusal changes nothing.
import { describe, expect, it } from 'vitest'
import { aclOf, Hns, type HnsChange, HnsError } from '../../src/hns/index.ts'

const NOBODY = 'ffffffff-0000-4000-8000-00000000ffff'
const v2 = { SchemaVersion: { Major: 2, Minor: 0 } }

function bridge(hns: Hns, more: object = {}): string {
  return hns.createNetwork({
    Name: 'cbr0',
    Type: 'L2Bridge',
    Subnets: [{ AddressPrefix: '10.244.3.0/24', GatewayAddress: '10.244.3.1' }],
    ...more,
  }).id
}

function overlay(hns: Hns): string {
  return hns.createNetwork({
    Name: 'vxlan0',
    Type: 'Overlay',
    Ipams: [
      {
        Subnets: [
          {
            IpAddressPrefix: '10.244.3.0/24',
            Policies: [{ Type: 'VSID', Settings: { IsolationId: 4096 } }],
            Routes: [{ NextHop: '10.244.3.1', DestinationPrefix: '0.0.0.0/0' }],
          },
        ],
      },
    ],
    ...v2,
  }).id
}

/** The message of the refusal; and nothing is other than before. */
function refused(hns: Hns, call: () => unknown): string {
  const state = (): unknown => [hns.listNetworks(), hns.listEndpoints(), hns.listLoadBalancers()]
  const before = state()
  try {
    call()
  } catch (error) {
    expect(error).toBeInstanceOf(HnsError)
    expect(state()).toEqual(before)
    return (error as HnsError).message
  }
  return 'nothing was refused'
}

describe('what is made', () => {
  it('a life: network, endpoint, policies, load balancer, and back again', () => {
    const hns = new Hns()
    const told: string[] = []
    const stop = hns.listen((c: HnsChange) => told.push(c.what))
    const network = bridge(hns)
    const pod = hns.createEndpoint(network, { Name: 'web', IPAddress: '10.244.3.7', MacAddress: '00-15-5D-01-02-03' })
    expect(pod).toMatchObject({ network, networkName: 'cbr0', mac: '00:15:5d:01:02:03', attachedTo: null })
    expect(hns.attach(pod.id, 'namespace-1').attachedTo).toBe('namespace-1')
    const nat = [{ Type: 'OutBoundNAT', ExceptionList: ['10.244.0.0/16'] }]
    expect(hns.addPolicy(pod.id, nat).policies).toHaveLength(1)
    expect(
      hns.addPolicy(pod.id, [{ Type: 'ROUTE', DestinationPrefix: '10.96.0.0/12', NeedEncap: true }]).policies,
    ).toHaveLength(2)
    expect(hns.removePolicy(pod.id, nat).policies.map((p) => p.kind)).toEqual(['route'])
    expect(hns.setPolicies(pod.id, nat).policies.map((p) => p.kind)).toEqual(['outbound-nat'])
    const balancer = hns.createLoadBalancer({
      HostComputeEndpoints: [pod.id],
      FrontendVIPs: ['10.96.0.20'],
      PortMappings: [{ Protocol: 6, InternalPort: 8080, ExternalPort: 80 }],
      ...v2,
    })
    expect(hns.getLoadBalancer(balancer.id.toUpperCase())).toBe(balancer)
    hns.deleteLoadBalancer(balancer.id)
    hns.deleteEndpoint(pod.id)
    hns.deleteNetwork(network)
    expect([hns.listNetworks(), hns.listEndpoints(), hns.listLoadBalancers()]).toEqual([[], [], []])
    expect(told).toEqual([
      'network-created',
      'endpoint-created',
      'endpoint-attached',
      'endpoint-changed',
      'endpoint-changed',
      'endpoint-changed',
      'endpoint-changed',
      'load-balancer-created',
      'load-balancer-deleted',
      'endpoint-detached',
      'endpoint-deleted',
      'network-deleted',
    ])
    stop()
    bridge(hns)
    expect(told).toHaveLength(12)
  })

  it('addresses for who has none: pods of an l2bridge from .3 on, MAC addresses from the pool', () => {
    const hns = new Hns()
    const network = bridge(hns, {
      MacPools: [{ StartMacAddress: '00-15-5D-00-00-FE', EndMacAddress: '00-15-5D-00-01-00' }],
    })
    const given = (IPAddress: string): string | undefined =>
      hns.createEndpoint(network, { IPAddress }).addresses[0]?.address
    expect([given(''), given('10.244.3.4'), given('')]).toEqual(['10.244.3.3', '10.244.3.4', '10.244.3.5'])
    expect(refused(hns, () => hns.createEndpoint(network, {}))).toContain('no MAC address of the network is free')
    const macs = hns.listEndpoints().map((e) => e.mac)
    expect(macs).toEqual(['00:15:5d:00:00:fe', '00:15:5d:00:00:ff', '00:15:5d:00:01:00'])
  })

  it('addresses of the parts of a subnet, whose first and last are given out unless they are reserved', () => {
    const hns = new Hns()
    const network = bridge(hns, {
      Subnets: [
        {
          ...{ AddressPrefix: '10.244.3.0/24', GatewayAddress: '10.244.3.1' },
          IpSubnets: [
            { IpAddressPrefix: '10.244.3.64/30', Flags: 2 },
            { IpAddressPrefix: '10.244.3.128/31', Flags: 0 },
          ],
        },
      ],
    })
    const given = (): string | undefined => hns.createEndpoint(network, {}).addresses[0]?.address
    const [a, b, c, d] = ['10.244.3.65', '10.244.3.66', '10.244.3.128', '10.244.3.129'] as const
    expect([given(), given(), given(), given()]).toEqual([a, b, c, d])
    expect(refused(hns, () => given())).toContain('no address of 10.244.3.0/24 is free')
    expect(refused(hns, () => hns.createEndpoint(network, { IPAddress: '10.244.3.64' }))).toContain(
      'the address 10.244.3.64 is that of the network 10.244.3.64/30, which reserves it',
    )
  })

  it('none for who asks a DHCP server, which is on Transparent alone', () => {
    const hns = new Hns()
    const Subnets = [{ AddressPrefix: '10.244.3.0/24', GatewayAddress: '10.244.3.1' }]
    const { id } = hns.createNetwork({ Name: 'corp', Type: 'Transparent', Subnets })
    expect(hns.createEndpoint(id, { Flags: 'EnableDhcp', ...v2 }).addresses).toEqual([])
    expect(hns.createEndpoint(id, v2).addresses).toHaveLength(1)
    const network = bridge(hns)
    expect(refused(hns, () => hns.createEndpoint(network, { Flags: 'EnableDhcp', ...v2 }))).toContain(
      "EnableDhcp on a network of type L2Bridge: its addresses are HNS' own",
    )
  })

  it('an overlay endpoint has the MAC address of its address', () => {
    const hns = new Hns()
    const endpoint = hns.createEndpoint(overlay(hns), { IpConfigurations: [{ IpAddress: '10.244.3.7' }] })
    expect(endpoint).toMatchObject({ mac: '0e:2a:0a:f4:03:07', addresses: [{ prefixLength: 24 }] })
  })

  it('remote endpoints are in other subnets', () => {
    const hns = new Hns()
    const network = overlay(hns)
    const remote = hns.createEndpoint(network, { IpConfigurations: [{ IpAddress: '10.244.4.9' }], Flags: 1 })
    expect(remote).toMatchObject({ remote: true, addresses: [{ address: '10.244.4.9', prefixLength: null }] })
    expect(refused(hns, () => hns.attach(remote.id, 'x'))).toContain('is remote: it is attached on its own node')
    expect(refused(hns, () => hns.createEndpoint(network, { Flags: 1, ...v2 }))).toContain(
      'a remote endpoint has to have',
    )
  })

  it('remote subnets of a network come and go', () => {
    const hns = new Hns()
    const network = overlay(hns)
    const changes: HnsChange[] = []
    hns.listen((c) => changes.push(c))
    const remote = {
      Type: 'RemoteSubnetRoute',
      Settings: {
        DestinationPrefix: '10.244.4.0/24',
        IsolationId: 4096,
        ProviderAddress: '192.0.2.11',
        DistributedRouterMacAddress: '00-15-5D-0D-0E-0F',
      },
    }
    expect(hns.addNetworkPolicy(network, [remote]).policies).toMatchObject([{ kind: 'remote-subnet' }])
    expect(hns.removeNetworkPolicy(network, [remote]).policies).toEqual([])
    expect(refused(hns, () => hns.removeNetworkPolicy(network, [remote]))).toContain('$[0]: has no such policy')
    expect(
      changes.map((c) => (c.what === 'network-changed' ? [c.before.policies.length, c.network.policies.length] : c)),
    ).toEqual([
      [0, 1],
      [1, 0],
    ])
  })

  it('IDs are those of the documents, in small letters, or the next', () => {
    const hns = new Hns()
    expect(bridge(hns, { ID: NOBODY.toUpperCase() })).toBe(NOBODY)
    expect(bridge(hns)).toBe('00000000-0000-4000-8000-000000000001')
    expect(hns.getNetwork(NOBODY.toUpperCase())?.name).toBe('cbr0')
    expect(hns.getNetworkByName('cbr0')?.id).toBe(NOBODY)
    expect(hns.getNetworkByName('cbr1')).toBe(null)
    let n = 0
    const other = new Hns({ newId: () => `ABCDEF00-0000-4000-8000-00000000000${n++}` })
    expect(bridge(other)).toBe('abcdef00-0000-4000-8000-000000000000')
  })

  it('a listener that throws: all are told, the change stands, the caller hears of it', () => {
    const hns = new Hns()
    const told: string[] = []
    hns.listen(() => {
      throw new Error('no dataplane')
    })
    hns.listen((c) => told.push(c.what))
    expect(() => bridge(hns)).toThrow('no dataplane')
    expect(told).toEqual(['network-created'])
    expect(hns.listNetworks()).toHaveLength(1)
  })
})

describe('what is refused', () => {
  it('what refers to nothing', () => {
    const hns = new Hns()
    expect(refused(hns, () => hns.createEndpoint(NOBODY, {}))).toBe(
      `network ${NOBODY}: $: there is no network "${NOBODY}"`,
    )
    expect(refused(hns, () => hns.deleteNetwork(NOBODY))).toContain('there is no network')
    expect(refused(hns, () => hns.attach(NOBODY, 'x'))).toContain('there is no endpoint')
    expect(refused(hns, () => hns.deleteLoadBalancer('x'))).toContain('there is no load balancer "x"')
    expect(refused(hns, () => hns.addPolicy(undefined as unknown as string, []))).toContain(
      'there is no endpoint nothing',
    )
    const PortMappings = [{ Protocol: 6, InternalPort: 1, ExternalPort: 2 }]
    expect(refused(hns, () => hns.createLoadBalancer({ HostComputeEndpoints: [NOBODY], PortMappings }))).toContain(
      `there is no endpoint ${NOBODY}`,
    )
  })

  it('what would be there twice', () => {
    const hns = new Hns()
    const network = bridge(hns, { ID: NOBODY })
    expect(refused(hns, () => bridge(hns, { ID: NOBODY }))).toContain(`the ID ${NOBODY} is in use`)
    const pod = hns.createEndpoint(network, { ID: NOBODY, IPAddress: '10.244.3.7' })
    expect(refused(hns, () => hns.createEndpoint(network, { ID: NOBODY }))).toContain(`the ID ${NOBODY} is in use`)
    expect(refused(hns, () => hns.createEndpoint(network, { IPAddress: '10.244.3.7' }))).toContain(
      '10.244.3.7 is in use',
    )
    hns.attach(pod.id, 'a')
    expect(refused(hns, () => hns.attach(pod.id, 'b'))).toContain('is attached to a')
    hns.detach(pod.id)
    expect(refused(hns, () => hns.detach(pod.id))).toContain('is not attached')
    const balancer = {
      FrontendVIPs: ['10.96.0.20'],
      PortMappings: [{ Protocol: 6, InternalPort: 1, ExternalPort: 80 }],
      ...v2,
    }
    const made = hns.createLoadBalancer(balancer)
    expect(refused(hns, () => hns.createLoadBalancer(balancer))).toContain(
      `load balancer ${made.id} has 10.96.0.20 port 80 of protocol 6 already`,
    )
  })

  it('addresses that cannot be there', () => {
    const hns = new Hns()
    const network = bridge(hns)
    expect(refused(hns, () => hns.createEndpoint(network, { IPAddress: '10.9.0.1' }))).toContain('is in no subnet')
    expect(refused(hns, () => hns.createEndpoint(network, { IPAddress: '10.244.3.1' }))).toContain("is the gateway's")
    const six = { IpConfigurations: [{ IpAddress: 'fd00::7' }] }
    const vxlan = overlay(hns)
    expect(refused(hns, () => hns.createEndpoint(vxlan, six))).toContain(
      'a network of type Overlay has no IPv6: fd00::7',
    )
    const small = bridge(hns, { Subnets: [{ AddressPrefix: '10.5.0.0/30', GatewayAddress: '10.5.0.1' }] })
    expect(refused(hns, () => hns.createEndpoint(small, {}))).toContain('no address of 10.5.0.0/30 is free')
    expect(refused(hns, () => hns.createEndpoint(small, { VirtualNetwork: NOBODY }))).toContain(
      `is of network ${NOBODY}`,
    )
  })

  it('to take off what others refer to', () => {
    const hns = new Hns()
    const network = bridge(hns)
    const pod = hns.createEndpoint(network, { Name: 'web' })
    expect(refused(hns, () => hns.deleteNetwork(network))).toBe(`network ${network}: $: has 1 endpoints: web`)
    const { id } = hns.createLoadBalancer({
      HostComputeEndpoints: [pod.id],
      PortMappings: [{ Protocol: 6, InternalPort: 1, ExternalPort: 2 }],
    })
    expect(refused(hns, () => hns.deleteEndpoint(pod.id))).toContain(`load balancer ${id} has it`)
  })

  it('ACLs: switch rules where only the host has a firewall, sets that are not there', () => {
    const hns = new Hns()
    const acl = (more: object): object[] => [{ Type: 'ACL', Action: 'Block', Direction: 'In', Protocols: '6', ...more }]
    const nat = bridge(hns, { Type: 'NAT' })
    expect(refused(hns, () => hns.createEndpoint(nat, { Policies: acl({}) }))).toContain(
      '$.Policies[0]: rules[0].ruleType: there is no layer "switch" here',
    )
    const pod = hns.createEndpoint(nat, { Policies: acl({ RuleType: 'Host' }) })
    expect(refused(hns, () => hns.addPolicy(pod.id, acl({ RemoteAddresses: 'set-1', RuleType: 'Host' })))).toContain(
      '"set-1" is neither a prefix nor one of the network\'s sets',
    )
    const set = { Type: 'SetPolicy', Settings: { Id: 'set-1', PolicyType: 'IPSET', Values: '10.1.0.3' } }
    const azure = hns.createNetwork({ Type: 'L2Bridge', Policies: [set], ...v2 }).id
    const rule = { Type: 'ACL', Settings: { Action: 'Block', Direction: 'In', RemoteAddresses: 'set-1' } }
    const member = hns.createEndpoint(azure, { IpConfigurations: [{ IpAddress: '10.1.0.3' }], Policies: [rule] })
    expect(refused(hns, () => hns.removeNetworkPolicy(azure, [set]))).toContain(
      `endpoint ${member.id}: $.Policies[0]: `,
    )
    expect(
      refused(hns, () => hns.removePolicy(member.id, [{ ...rule, Settings: { Action: 'Allow', Direction: 'In' } }])),
    ).toContain('$[0]: has no such policy')
    expect(hns.removePolicy(member.id, [rule]).policies).toEqual([])
    expect(hns.removeNetworkPolicy(azure, [set]).policies).toEqual([])
  })
})

it('the access control list of an endpoint: its own rules, those of the network, sets, the port of VXLAN', () => {
  const hns = new Hns()
  const acl = { Action: 'Block', Direction: 'Out' }
  const network = hns.createNetwork({
    Type: 'Overlay',
    Policies: [
      { Type: 'VxlanPort', Settings: { Port: 8472 } },
      { Type: 'SetPolicy', Settings: { Id: 'db', PolicyType: 'IPSET', Values: '10.244.3.9' } },
      { Type: 'NetworkACL', Settings: { ...acl, Protocols: '252', Priority: 9 } },
    ],
    ...v2,
  })
  const pod = hns.createEndpoint(network.id, {
    Policies: [{ Type: 'ACL', Settings: { ...acl, RemoteAddresses: 'db', Priority: 5 } }],
    IpConfigurations: [{ IpAddress: '10.244.3.7' }],
  })
  expect(aclOf(network, pod.policies)).toMatchObject({
    rules: [
      { action: 'block', direction: 'out', remoteAddresses: ['10.244.3.9/32'], priority: 5 },
      { action: 'block', direction: 'out', protocols: [17], remotePorts: [8472], priority: 9 },
    ],
    tiers: [],
  })
  expect(
    refused(hns, () =>
      hns.addNetworkPolicy(network.id, [{ Type: 'NetworkACL', Settings: { ...acl, Protocols: 'udp' } }]),
    ),
  ).toContain('policies[1].Settings.Protocols: "udp" is not a number')
})
