// Documents as they are in the field - flannel's, kube-proxy's, Calico's, Docker's, Azure's, OpenShift's - and what HNS refuses.
import { describe, expect, it } from 'vitest'
import { HnsError, readEndpoint, readLoadBalancer, readNetwork, readPolicyList } from '../../src/hns/index.ts'
import { membersOf } from '../../src/hns/network-policies.ts'

const ID = '7b4e2a30-0c1d-4a55-9f10-3c2f5d6a7b81'
const POD = 'a1b2c3d4-0000-4000-8000-00000000000a'

/** The error of a reader, as `path: message`. */
function refused(read: () => unknown): string {
  try {
    read()
  } catch (error) {
    expect(error).toBeInstanceOf(HnsError)
    return (error as HnsError).message
  }
  return 'nothing was refused'
}

describe('networks', () => {
  it('of flannel host-gw: the first schema, as PowerShell writes it', () => {
    const network = readNetwork(
      JSON.stringify({
        Type: 'l2bridge',
        Name: 'cbr0',
        Subnets: [{ AddressPrefix: '10.244.3.0/24', GatewayAddress: '10.244.3.1' }],
        NetworkAdapterName: 'Ethernet',
        DNSServerList: '10.96.0.10, 10.96.0.11',
      }),
    )
    expect(network).toMatchObject({
      schema: 1,
      id: null,
      name: 'cbr0',
      type: 'L2Bridge',
      subnets: [
        {
          prefix: '10.244.3.0/24',
          gateway: '10.244.3.1',
          vlan: null,
          vsid: null,
          reservesGateway: true,
          routes: [{ prefix: '0.0.0.0/0', nextHop: '10.244.3.1', metric: 0 }],
        },
      ],
      adapter: 'Ethernet',
      dns: { servers: ['10.96.0.10', '10.96.0.11'] },
      ipam: 'static',
      unsupported: [],
    })
  })

  it('of Docker’s nat, as Get-HnsNetwork says it: VLAN 1 of its internal switch means nothing', () => {
    const nat = {
      ...{ ActivityId: ID, AdditionalParams: {}, CurrentEndpointCount: 1, Extensions: [], Flags: 8, Health: {}, ID },
      ...{ IPv6: false, LayeredOn: ID, MaxConcurrentEndpoints: 1, Name: 'nat', NatName: 'NAT48C0', State: 1 },
      MacPools: [{ EndMacAddress: '00-15-5D-2B-FF-FF', StartMacAddress: '00-15-5D-2B-F0-00' }],
      Policies: [{ Type: 'VLAN', VLAN: 1 }],
      Subnets: [
        {
          ...{ AddressPrefix: '172.29.144.0/20', Flags: 0, GatewayAddress: '172.29.144.1', ID, ObjectType: 5 },
          IpSubnets: [{ ID, IpAddressPrefix: '172.29.144.0/20', Flags: 3, ObjectType: 6, Policies: [], State: 0 }],
          Policies: [],
        },
      ],
      ...{ SwitchGuid: ID, TotalEndpoints: 3, Type: 'nat', Version: 64424509440 },
    }
    const part = { prefix: '172.29.144.0/20', broadcast: true, reservesNetworkAddress: true }
    expect(readNetwork(nat)).toMatchObject({
      type: 'NAT',
      subnets: [{ prefix: '172.29.144.0/20', vlan: null, parts: [part] }],
      withoutEffect: [{ what: 'EnableNonPersistent' }],
    })
    expect(refused(() => readNetwork({ ...nat, Policies: [{ Type: 'VLAN', VLAN: 2 }] }))).toContain(
      'VLAN 2 on a network',
    )
  })

  it('of flannel VXLAN: the second schema, with what HNS has filled in and remote nodes', () => {
    const network = readNetwork({
      ID: ID.toUpperCase(),
      Name: 'flannel.4096',
      Type: 'Overlay',
      Policies: [
        { Type: 'NetAdapterName', Settings: { NetworkAdapterName: 'Ethernet 2' } },
        { Type: 'HostRoute', Settings: {} },
        { Type: 'ProviderAddress', Settings: { ProviderAddress: '192.0.2.10' } },
        { Type: 'DrMacAddress', Settings: { Address: '00-15-5D-0A-0B-0C' } },
        { Type: 'VxlanPort', Settings: { Port: 4789 } },
        {
          Type: 'RemoteSubnetRoute',
          Settings: {
            DestinationPrefix: '10.244.4.0/24',
            IsolationId: 4096,
            ProviderAddress: '192.0.2.11',
            DistributedRouterMacAddress: '00-15-5D-0D-0E-0F',
          },
        },
      ],
      MacPool: { Ranges: [{ StartMacAddress: '00-15-5D-52-C0-00', EndMacAddress: '00-15-5D-52-CF-FF' }] },
      Dns: { Suffix: 'svc.cluster.local', ServerList: ['10.96.0.10'] },
      Ipams: [
        {
          Type: 'Static',
          Subnets: [
            {
              IpAddressPrefix: '10.244.3.0/24',
              Policies: [{ Type: 'VSID', Settings: { IsolationId: 4096 } }],
              Routes: [{ NextHop: '10.244.3.1', DestinationPrefix: '0.0.0.0/0' }],
            },
          ],
        },
      ],
      Flags: 8,
      Health: { Data: null, Extra: { Resources: {} } },
      State: 1,
      Version: 64424509440,
      SchemaVersion: { Major: 2, Minor: 0 },
    })
    expect(network).toMatchObject({
      schema: 2,
      id: ID,
      type: 'Overlay',
      managementIp: '192.0.2.10',
      adapter: 'Ethernet 2',
      flags: 8,
      subnets: [{ prefix: '10.244.3.0/24', gateway: '10.244.3.1', vsid: 4096 }],
      macPools: [{ first: '00:15:5d:52:c0:00', last: '00:15:5d:52:cf:ff' }],
    })
    expect(network.policies.map((p) => p.kind)).toEqual([
      'adapter',
      'host-route',
      'provider-address',
      'dr-mac',
      'vxlan-port',
      'remote-subnet',
    ])
    expect(network.policies[5]).toEqual({
      kind: 'remote-subnet',
      path: '$.Policies[5]',
      prefix: '10.244.4.0/24',
      vsid: 4096,
      providerAddress: '192.0.2.11',
      drMac: '00:15:5d:0d:0e:0f',
    })
  })

  it('of Docker: the VSID of all subnets stands with the network, VLANs with theirs', () => {
    const overlay = readNetwork({
      Name: 'ingress',
      Type: 'overlay',
      Policies: [{ Type: 'VSID', VSID: 4097 }],
      Subnets: [{ AddressPrefix: '10.0.0.0/24', GatewayAddress: '10.0.0.1' }],
    })
    expect(overlay.subnets[0]?.vsid).toBe(4097)
    const transparent = readNetwork({
      Type: 'Transparent',
      Subnets: [{ AddressPrefix: '10.7.0.0/16', GatewayAddress: '10.7.0.1', Policies: [{ Type: 'VLAN', VLAN: 7 }] }],
    })
    expect(transparent.subnets[0]).toMatchObject({ vlan: 7, vsid: null })
  })

  it('flags by their names, subnets in parts, DHCP', () => {
    const network = readNetwork({
      Type: 'Transparent',
      Flags: 'EnableNonPersistent, EnableFlowSteering',
      Ipams: [
        {
          Type: 'DHCP',
          Subnets: [
            {
              IpAddressPrefix: '10.1.0.0/16',
              Flags: 'DoNotReserveGatewayAddress',
              IpSubnets: [{ IpAddressPrefix: '10.1.2.0/24', Flags: 3 }],
              Policies: [{ Type: 'VLAN', Settings: { IsolationId: 12 } }],
            },
          ],
        },
      ],
    })
    expect(network).toMatchObject({
      flags: 72,
      withoutEffect: [
        { path: '$.Flags', what: 'EnableNonPersistent', why: 'a network is there as long as whoever made it runs' },
        { path: '$.Flags', what: 'EnableFlowSteering', why: 'which processor handles a flow is not seen in frames' },
      ],
      ipam: 'dhcp',
      subnets: [
        {
          vlan: 12,
          gateway: null,
          reservesGateway: false,
          parts: [{ prefix: '10.1.2.0/24', broadcast: true, reservesNetworkAddress: true }],
        },
      ],
    })
  })

  it('flags: those that change nothing are listed with the reason, those that would change frames are refused', () => {
    const iov = readNetwork({ Type: 'L2Bridge', Flags: 8192 + 1024, SchemaVersion: { Major: 2 } })
    expect(iov).toMatchObject({ flags: 9216, unsupported: [] })
    expect(iov.withoutEffect).toEqual([
      {
        ...{ path: '$.Flags', what: 'EnableIov' },
        why: 'SR-IOV has hardware carry frames past the switch: there is none, and they pass it',
      },
    ])
    const mirrored = { Type: 'L2Bridge', Flags: 'EnableMirroring' }
    expect(refused(() => readNetwork(mirrored))).toContain('$.Flags: EnableMirroring is not supported: which frames')
    expect(readNetwork(mirrored, 'network', { unsupported: 'list' }).unsupported).toMatchObject([
      { what: 'EnableMirroring' },
    ])
    const endpoint = { ...{ SchemaVersion: { Major: 2 }, IpConfigurations: [{ IpAddress: '10.1.0.4' }] } }
    expect(readEndpoint({ ...endpoint, Flags: 8 }).withoutEffect).toMatchObject([{ what: 'EnableLowInterfaceMetric' }])
    expect(readEndpoint({ ...endpoint, Flags: 'EnableDhcp' })).toMatchObject({ dhcp: true, withoutEffect: [] })
    expect(refused(() => readEndpoint({ ...endpoint, Flags: 4 }))).toContain('EnableMirroring is not supported')
    // The first schema has words for some of them; Get-HnsEndpoint says them as numbers, too.
    expect(readEndpoint({ IPAddress: '10.1.0.4', Flags: 0 })).toMatchObject({ remote: false, flags: 0 })
    expect(readEndpoint({ IPAddress: '10.1.0.4', Flags: 9 })).toMatchObject({
      remote: true,
      withoutEffect: [{ what: 'EnableLowInterfaceMetric' }],
    })
    expect(refused(() => readEndpoint({ IPAddress: '10.1.0.4', Flags: 4 }))).toContain('$.Flags: EnableMirroring')
  })

  it.each([
    [{ Type: 'NAT', Flags: 1024 }, '$.Flags: DisableHostPort on a network of type NAT: its gateway is the host'],
    [{ Type: 'Overlay', Flags: 1024 }, '$.Flags: DisableHostPort on a network of type Overlay: its tunnels end at'],
    [
      { Type: 'L2Bridge', Ipams: [{ Type: 'Dhcp' }] },
      "$.Ipams: DHCP on a network of type L2Bridge: its addresses are HNS' own",
    ],
    [{ Type: 'NAT', Ipams: [{ Type: 'Dhcp' }] }, '$.Ipams: DHCP on a network of type NAT'],
  ])('%j is refused', (json, message) => {
    expect(refused(() => readNetwork(json))).toContain(message)
  })

  it('sets, also of sets', () => {
    const set = (Id: string, PolicyType: string, Values: string): object => {
      return { Type: 'SetPolicy', Settings: { Id, Name: `name-${Id}`, PolicyType, Values } }
    }
    const at = { document: 'network', path: '$' }
    const members = (policies: object[]): Map<string, readonly string[]> =>
      membersOf(at, readNetwork({ Type: 'L2Bridge', Policies: policies, SchemaVersion: { Major: 2 } }).policies)
    const some = members([
      set('1', 'IPSET', '10.1.0.3,10.1.0.4'),
      set('2', 'IPSET', ''),
      set('3', 'NESTEDIPSET', '1,2,name-1'),
    ])
    expect(some.get('1')).toEqual(['10.1.0.3', '10.1.0.4'])
    expect(some.get('name-3')).toEqual(['10.1.0.3', '10.1.0.4'])
    expect(refused(() => members([set('3', 'NESTEDIPSET', '9')]))).toBe(
      'network: $.Policies[0]: the network has no set "9"',
    )
    expect(refused(() => members([set('3', 'NESTEDIPSET', '4'), set('4', 'NESTEDIPSET', '3')]))).toBe(
      'network: $.Policies[1]: set "3" is in itself',
    )
  })

  const subnet = (more: object = {}): object => {
    return { AddressPrefix: '10.1.0.0/24', GatewayAddress: '10.1.0.1', ...more }
  }
  const second = (Type: string, Policies: object[], more: object = {}): object => {
    return { Type, Policies, SchemaVersion: { Major: 2, Minor: 0 }, ...more }
  }
  const vsid = (IsolationId: number): object => {
    const Policies = [{ Type: 'VSID', Settings: { IsolationId } }]
    return { Ipams: [{ Subnets: [{ IpAddressPrefix: '10.1.0.0/24', Policies }] }] }
  }
  it.each<[object | string, string]>([
    ['{"Type":', 'network: $: is not JSON'],
    ['[]', 'network: $: must be an object, not []'],
    [{}, 'network: $.Type: is missing'],
    [{ Type: 'Bridge' }, 'network: $.Type: must be NAT, Transparent, L2Bridge, L2Tunnel, Overlay, ICS'],
    [{ Type: 'ICS' }, 'network: $.Type: ICS is not supported: networks here are NAT, Transparent'],
    [{ Type: 'NAT', Subnet: [] }, 'network: $.Subnet: unknown key; is it Subnets?'],
    [{ Type: 'NAT', type: 'NAT' }, 'network: $.type: the key is there twice, in other letters'],
    [{ Type: 'NAT', Subnets: [{ AddressPrefix: '10.1.0.0/24' }] }, '$.Subnets[0].GatewayAddress: a subnet with an'],
    [
      { Type: 'NAT', Subnets: [subnet({ AddressPrefix: '10.1.0.5/24' })] },
      '$.Subnets[0].AddressPrefix: "10.1.0.5/24" has host',
    ],
    [
      { Type: 'NAT', Subnets: [subnet({ GatewayAddress: '10.2.0.1' })] },
      '$.Subnets: gateway 10.2.0.1 is not in its subnet',
    ],
    [{ Type: 'NAT', MacPools: [{ StartMacAddress: '00-15' }] }, '$.MacPools[0].StartMacAddress: must be a MAC address'],
    [{ Type: 'NAT', Subnets: [subnet({ Policies: [{ Type: 'VLAN', VLAN: 5 }] })] }, 'VLAN 5 on a network of type NAT'],
    [{ Type: 'Overlay', Subnets: [subnet()] }, 'subnet 10.1.0.0/24 of an overlay has no VSID policy'],
    [{ Type: 'NAT', Flags: 'EnableMagic' }, '$.Flags: unknown flag "EnableMagic"; known are None (0)'],
    [{ Type: 'NAT', Flags: 1 << 25 }, '$.Flags: has bits that are unknown: 33554432'],
    [second('L2Bridge', [], vsid(5000)), 'VSID 5000 on a network of type L2Bridge'],
    [second('Overlay', [], vsid(100)), 'VSID 100 is below 4096'],
    [
      second('L2Bridge', [{ Type: 'VxlanPort', Settings: { Port: 4789 } }]),
      '$.Policies[0]: a network of type L2Bridge has no policy vxlan-port',
    ],
    [
      second('L2Bridge', [{ Type: 'Vxlan' }]),
      '$.Policies[0].Type: unknown policy "Vxlan"; networks have SourceMacAddress',
    ],
    [
      second('L2Bridge', [{ Type: 'L4Proxy', Settings: {} }]),
      '$.Policies[0]: L4Proxy is not supported: there is no proxy',
    ],
    [
      second('Overlay', [{ Type: 'VxlanPort', Settings: { Port: 0 } }], vsid(4096)),
      '$.Policies[0].Settings.Port: must be',
    ],
    [
      second('Overlay', [{ Type: 'VxlanPort', Port: 1 }], vsid(4096)),
      '$.Policies[0].Port: unknown key: a policy of the second',
    ],
    [
      second('L2Bridge', [], { SchemaVersion: { Major: 3 } }),
      '$.SchemaVersion.Major: must be a whole number, 0 to 2, not 3',
    ],
  ])('%j is refused', (json, message) => expect(refused(() => readNetwork(json))).toContain(message))

  it('what is not supported can be listed instead', () => {
    const network = readNetwork(second('ICS', [{ Type: 'L4Proxy', Settings: {} }]), 'ics.json', { unsupported: 'list' })
    expect(network.type).toBe(null)
    expect(network.unsupported.map((u) => [u.path, u.what])).toEqual([
      ['$.Policies[0]', 'L4Proxy'],
      ['$.Type', 'ICS'],
    ])
  })
})

describe('endpoints', () => {
  it('of win-bridge, second schema', () => {
    const endpoint = readEndpoint({
      Name: 'c0ffee_cbr0',
      HostComputeNetwork: ID,
      IpConfigurations: [{ IpAddress: '10.244.3.7' }],
      Routes: [{ NextHop: '10.244.3.2', DestinationPrefix: '0.0.0.0/0' }],
      Dns: { ServerList: ['10.96.0.10'], Search: ['default.svc.cluster.local'] },
      Policies: [
        { Type: 'OutBoundNAT', Settings: { Exceptions: ['10.244.0.0/16', '10.96.0.0/12'], VirtualIP: '' } },
        { Type: 'OutBoundNAT', Settings: { Destinations: ['10.244.3.7'] } },
        { Type: 'SDNRoute', Settings: { DestinationPrefix: '10.96.0.0/12', NeedEncap: true } },
        { Type: 'PortMapping', Settings: { Protocol: 'TCP', InternalPort: 80, ExternalPort: 8080 } },
        { Type: 'ACL', Settings: { Protocols: '6', Action: 'block', Direction: 'out', RemotePorts: '25' } },
        { Type: 'QOS', Settings: { MaximumOutgoingBandwidthInBytes: 1250000 } },
      ],
      SchemaVersion: { Major: 2, Minor: 0 },
    })
    expect(endpoint).toMatchObject({
      schema: 2,
      network: ID,
      mac: null,
      addresses: [{ address: '10.244.3.7', prefixLength: null }],
      routes: [{ prefix: '0.0.0.0/0', nextHop: '10.244.3.2' }],
      dns: { servers: ['10.96.0.10'], search: ['default.svc.cluster.local'] },
      remote: false,
    })
    expect(endpoint.policies).toEqual([
      {
        kind: 'outbound-nat',
        path: '$.Policies[0]',
        policy: { Type: 'OutBoundNAT', Settings: { Exceptions: ['10.244.0.0/16', '10.96.0.0/12'] } },
      },
      {
        kind: 'outbound-nat',
        path: '$.Policies[1]',
        policy: { Type: 'OutBoundNAT', Settings: { Destinations: ['10.244.3.7'] } },
      },
      { kind: 'route', path: '$.Policies[2]', prefix: '10.96.0.0/12', nextHop: null, needEncap: true },
      {
        kind: 'port-mapping',
        path: '$.Policies[3]',
        policy: { Type: 'PortMapping', Settings: { Protocol: 6, InternalPort: 80, ExternalPort: 8080 } },
      },
      {
        kind: 'acl',
        path: '$.Policies[4]',
        policy: { Type: 'ACL', Settings: { Protocols: '6', Action: 'Block', Direction: 'Out', RemotePorts: '25' } },
      },
      { kind: 'qos', path: '$.Policies[5]', bytesPerSecond: 1250000 },
    ])
  })

  it('of Docker and Calico, first schema', () => {
    const endpoint = readEndpoint({
      VirtualNetwork: `{${ID}}`,
      VirtualNetworkName: 'vxlan0',
      MacAddress: '0E-2A-0A-F4-03-07',
      IPAddress: '10.244.3.7',
      PrefixLength: 24,
      GatewayAddress: '10.244.3.1',
      DNSServerList: '10.96.0.10',
      DNSSuffix: 'default.svc.cluster.local,svc.cluster.local',
      EnableLowMetric: true,
      DisableICC: true,
      Policies: [
        { Type: 'PA', PA: '192.0.2.10' },
        { Type: 'OutBoundNAT', ExceptionList: ['10.244.0.0/16'], VIP: '' },
        { Type: 'ROUTE', DestinationPrefix: '10.96.0.0/12', NeedEncap: true },
        { Type: 'NAT', Protocol: 'tcp', InternalPort: 80, ExternalPort: 8080, ExternalPortReserved: true },
        { Type: 'ACL', Protocol: 256, Action: 'Allow', Direction: 'In', RuleType: 'Switch', Priority: 65500 },
        { Type: 'ACL', Protocol: 6, Action: 'Block', Direction: 'In', InternalPort: 80 },
        { Type: 'Isolation', VLAN: 12, VSID: 0, InDefaultIsolation: false },
      ],
    })
    expect(endpoint).toMatchObject({
      schema: 1,
      network: ID,
      networkName: 'vxlan0',
      mac: '0e:2a:0a:f4:03:07',
      addresses: [{ address: '10.244.3.7', prefixLength: 24 }],
      isolated: true,
      flags: 10,
      dns: { search: ['default.svc.cluster.local', 'svc.cluster.local'] },
    })
    expect(endpoint.policies.map((p) => p.kind)).toEqual([
      'provider-address',
      'outbound-nat',
      'route',
      'port-mapping',
      'acl',
      'acl',
      'vlan',
    ])
    expect(endpoint.policies[5]).toMatchObject({ policy: { Protocol: 6, LocalPorts: '80' } })
  })

  it('as Get-HnsEndpoint says it of itself', () => {
    const endpoint = readEndpoint({
      ActivityId: ID,
      AdditionalParams: {},
      CreateProcessingStartTime: 133318808183134000,
      DNSServerList: '10.96.0.10',
      DNSSuffix: 'internal.example.com',
      EncapOverhead: 50,
      Flags: 0,
      GatewayAddress: '10.244.3.1',
      Health: { LastErrorCode: 0, LastUpdateTime: 133318808183134000 },
      ID: POD,
      IPAddress: '10.244.3.7',
      IPSubnetId: ID,
      InterfaceConstraint: { InterfaceGuid: '00000000-0000-0000-0000-000000000000' },
      MacAddress: '0E-2A-0A-F4-03-07',
      Name: 'default-test',
      Namespace: { ID },
      Policies: [{ ExceptionList: ['10.244.0.0/16'], Type: 'OutBoundNAT' }],
      PrefixLength: 24,
      Resources: { AllocationOrder: 1, ID, State: 1, parentId: ID },
      SharedContainers: [ID],
      StartTime: 133318808183134000,
      State: 3,
      Type: 'overlay',
      Version: 64424509440,
      VirtualNetwork: ID,
      VirtualNetworkName: 'vxlan0',
    })
    expect(endpoint).toMatchObject({ schema: 1, id: POD, mac: '0e:2a:0a:f4:03:07', namespace: ID, unsupported: [] })
    expect(endpoint.policies.map((p) => p.kind)).toEqual(['outbound-nat', 'encap-overhead'])
  })

  it('of kube-proxy: remote', () => {
    const endpoint = readEndpoint({
      Name: 'remote',
      HostComputeNetwork: ID,
      IpConfigurations: [{ IpAddress: '10.244.4.9', PrefixLength: 24 }],
      MacAddress: '02-11-0a-f4-04-09',
      Policies: [{ Type: 'ProviderAddress', Settings: { ProviderAddress: '192.0.2.11' } }],
      Flags: 1,
    })
    expect(endpoint).toMatchObject({ remote: true, mac: '02:11:0a:f4:04:09', flags: 1 })
  })

  it('with tiers of ACLs', () => {
    const endpoint = readEndpoint({
      SchemaVersion: { Major: 2 },
      Policies: [
        {
          Type: 'TierAcl',
          Settings: {
            Name: 'platform',
            Direction: 'In',
            Order: 3,
            TierAclRules: [{ Id: 'a', TierAclRuleAction: 'Pass', Protocols: '6', Priority: 7 }],
          },
        },
      ],
    })
    expect(endpoint.policies[0]).toMatchObject({ kind: 'acl', policy: { Settings: { Order: 3 } } })
  })

  const policies = (...Policies: unknown[]): object => ({ Policies, SchemaVersion: { Major: 2 } })
  const first = (...Policies: unknown[]): object => ({ Policies })
  it.each<[object, string]>([
    [{ IPAddress: '10.0.0.256' }, 'endpoint: $.IPAddress: must be an address, not "10.0.0.256"'],
    [{ MacAddress: 5 }, '$.MacAddress: must be text, not 5'],
    [{ VirtualNetwork: 'cbr0' }, '$.VirtualNetwork: must be a GUID, not "cbr0"'],
    [{ IpConfigurations: [{ PrefixLength: 24 }] }, '$.IpConfigurations[0].IpAddress: is missing'],
    [{ IpConfigurations: [{ IpAddress: '10.0.0.1', PrefixLength: 33 }] }, 'a prefix of 33 bits for 10.0.0.1'],
    [{ SchemaVersion: { Major: 2 }, Flags: 64 }, '$.Flags: has bits that are unknown: 64'],
    [policies(null), '$.Policies[0]: must be an object, not null'],
    [policies({ Settings: {} }), '$.Policies[0].Type: must be the type of a policy, not nothing'],
    [policies({ Type: 'ROUTE' }), 'unknown policy "ROUTE" in the second schema; it is one of the first schema'],
    [first({ Type: 'SDNRoute' }), 'unknown policy "SDNRoute" in the first schema; it is one of the second schema'],
    [first({ Type: 'Wormhole' }), '$.Policies[0].Type: unknown policy "Wormhole" in the first schema'],
    [
      first({ Type: 'ROUTE', Settings: {} }),
      '$.Policies[0].Settings: a policy of the first schema has its settings beside',
    ],
    [first({ Type: 'ROUTE', NeedEncap: true }), '$.Policies[0].DestinationPrefix: is missing'],
    [
      policies({ Type: 'OutBoundNAT', Settings: { Exception: [] } }),
      '$.Policies[0].Settings.Exception: unknown key; is it Exceptions?',
    ],
    [policies({ Type: 'OutBoundNAT', Settings: { NeedEncap: true } }), '$.Policies[0].Settings.NeedEncap: unknown key'],
    [
      policies({ Type: 'OutBoundNAT', Settings: { Exceptions: ['fd00::/8'] } }),
      '$.Policies[0].Settings: OutBoundNAT: fd00::/8 has IPv6',
    ],
    [
      policies({ Type: 'PortMapping', Settings: { Protocol: 1, InternalPort: 1, ExternalPort: 1 } }),
      '$.Policies[0].Settings: policies[0].Protocol must be 6, 17 or 132, not 1',
    ],
    [
      policies({ Type: 'PortMapping', Settings: { Protocol: 'ipx', InternalPort: 1, ExternalPort: 1 } }),
      "Protocol: must be a protocol's number, or ICMPv4",
    ],
    [policies({ Type: 'ACL', Settings: { Direction: 'In' } }), '$.Policies[0].Settings.Action: is missing'],
    [
      policies({ Type: 'ACL', Settings: { Action: 'Deny', Direction: 'In' } }),
      '$.Policies[0].Settings.Action: must be Allow, Block, Pass, not "Deny"',
    ],
    [
      policies({ Type: 'L4WFPPROXY', Settings: { InboundProxyPort: '15006' } }),
      '$.Policies[0]: L4WFPPROXY is not supported: there is no proxy',
    ],
    [first({ Type: 'PROXY', Port: '80' }), '$.Policies[0]: PROXY is not supported'],
    [
      first({ Type: 'ACL', Action: 'Allow', Direction: 'In', ServiceName: 'dns' }),
      'there are no services of Windows here: dns',
    ],
    [
      first({ Type: 'PA', PA: '192.0.2.1' }, { Type: 'PA', PA: '192.0.2.2' }),
      '$.Policies[1]: a second policy of this kind: the first is $.Policies[0]',
    ],
    [first({ Type: 'VLAN', VLAN: 5 }, { Type: 'VSID', VSID: 5000 }), '$.Policies[1]: both a VLAN and a VSID'],
    [first({ Type: 'VLAN', VLAN: 4095 }), '$.Policies[0].VLAN: must be a whole number, 1 to 4094, not 4095'],
    [first({ Type: 'Isolation', VLAN: 1, VSID: 2 }), '$.Policies[0]: must have one of VLAN and VSID'],
  ])('%j is refused', (json, message) => expect(refused(() => readEndpoint(json))).toContain(message))
})

describe('load balancers', () => {
  it('of kube-proxy, second schema', () => {
    const balancer = readLoadBalancer({
      HostComputeEndpoints: [POD],
      SourceVIP: '10.244.3.5',
      FrontendVIPs: ['10.96.0.20'],
      PortMappings: [
        { Protocol: 6, InternalPort: 8080, ExternalPort: 80, DistributionType: 2 },
        { Protocol: 'UDP', InternalPort: 53, ExternalPort: 53, Flags: 'LocalRoutedVip,EnablePreserveDip' },
      ],
      Flags: 1,
      SchemaVersion: { Major: 2, Minor: 0 },
    })
    expect(balancer).toMatchObject({
      schema: 2,
      endpoints: [POD],
      sourceVip: '10.244.3.5',
      vips: ['10.96.0.20'],
      dsr: true,
      ipv6: false,
      ports: [
        { protocol: 6, internalPort: 8080, externalPort: 80, distribution: 'source-ip', localRoutedVip: false },
        { protocol: 17, distribution: 'none', localRoutedVip: true, preserveDip: true },
      ],
    })
  })

  it('of the first schema: ELB, and routes of several endpoints', () => {
    const list = (...Policies: object[]): object => ({ References: [`/endpoints/${POD.toUpperCase()}`], Policies })
    const elb = { Type: 'ELB', VIPs: ['10.96.0.20'], ILB: true, Protocol: 6, InternalPort: 8080, ExternalPort: 80 }
    expect(readPolicyList(list(elb))).toMatchObject({
      schema: 1,
      endpoints: [POD],
      vips: ['10.96.0.20'],
      ports: [{ protocol: 6, internal: true }],
      dsr: false,
    })
    const said = { HostComputeNetwork: ID, IsApplied: false, Flags: 0, State: 2, Version: 64424509440, Resources: {} }
    expect(readPolicyList({ ...list({ ...elb, IsDSR: true, SourceVIP: '10.244.3.2' }), ...said })).toMatchObject({
      ...{ schema: 1, dsr: true, sourceVip: '10.244.3.2' },
    })
    expect(readPolicyList(list({ Type: 'ROUTE', DestinationPrefix: '10.96.0.0/12', NeedEncap: true }))).toEqual({
      id: null,
      endpoints: [POD],
      routes: [{ prefix: '10.96.0.0/12', nextHop: null, needEncap: true }],
    })
    expect(refused(() => readLoadBalancer(list({ Type: 'ROUTE', DestinationPrefix: '::/0' })))).toContain(
      '$.Policies: is a list of routes, and no load balancer',
    )
    expect(refused(() => readPolicyList(list(elb, { ...elb, VIPs: ['10.96.0.21'] })))).toContain(
      '$.Policies[1]: has other addresses than the first policy',
    )
    expect(refused(() => readPolicyList(list({ Type: 'NAT' })))).toContain('$.Policies[0].Type: must be ELB, ROUTE')
  })

  const one = { Protocol: 6, InternalPort: 1, ExternalPort: 2 }
  const balancer = (more: object): object => ({ PortMappings: [one], ...more })
  const many = Array.from({ length: 65 }, (_, i) => `a1b2c3d4-0000-4000-8000-${i.toString(16).padStart(12, '0')}`)
  it.each<[object, string]>([
    [{ FrontendVIPs: [] }, '$.PortMappings: is missing'],
    [balancer({ PortMappings: [] }), 'has no port mapping'],
    [balancer({ PortMappings: [one, one] }), 'port 2 of protocol 6 is there twice'],
    [balancer({ PortMappings: [{ ...one, ExternalPort: 0 }] }), 'must be a whole number, 1 to 65535, not 0'],
    [balancer({ PortMappings: [{ ...one, Flags: 32 }] }), '$.PortMappings[0].Flags: has bits that are unknown: 32'],
    [balancer({ PortMappings: [{ ...one, DistributionType: 3 }] }), '$.PortMappings[0].DistributionType: must be None'],
    [balancer({ FrontendVIPs: ['fd00::1'] }), 'address fd00::1 of a load balancer without the flag IPv6'],
    [balancer({ FrontendVIPs: ['10.96.0.1'], Flags: 2 }), 'address 10.96.0.1 of a load balancer with the flag IPv6'],
    [balancer({ HostComputeEndpoints: [POD, POD] }), 'an endpoint is there twice'],
    [balancer({ HostComputeEndpoints: many }), '65 endpoints: Windows balances among 64 at most'],
    [balancer({ HostComputeEndpoints: ['web'] }), '$.HostComputeEndpoints[0]: must be a GUID, not "web"'],
  ])('%j is refused', (json, message) => expect(refused(() => readLoadBalancer(json))).toContain(message))
})
