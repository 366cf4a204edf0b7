// Confs of win-bridge and win-overlay as projects ship them, and what the plugins give to HNS.
import { describe, expect, it } from 'vitest'
import { cniEndpointPolicies, HnsError, overlayMac, readCniConf } from '../../src/hns/index.ts'

const endpointPolicy = (value: object): object => ({ name: 'EndpointPolicy', value })
const nat1 = endpointPolicy({ Type: 'OutBoundNAT', ExceptionList: ['10.244.0.0/16', '10.96.0.0/12', '192.0.2.0/24'] })
const route1 = endpointPolicy({ Type: 'ROUTE', DestinationPrefix: '10.96.0.0/12', NeedEncap: true })

describe('confs', () => {
  it('win-bridge, first schema', () => {
    const conf = readCniConf({
      cniVersion: '0.2.0',
      name: 'cbr0',
      type: 'win-bridge',
      dns: { nameservers: ['10.96.0.10'], search: ['svc.cluster.local'] },
      policies: [nat1, route1, { name: 'SomethingElse', value: { Type: 'Wormhole' } }],
      loopbackDSR: true,
      capabilities: { dns: true, portMappings: false },
    })
    expect(conf).toMatchObject({
      plugin: 'win-bridge',
      name: 'cbr0',
      cniVersion: '0.2.0',
      schema: 1,
      byFlannel: false,
      loopbackDsr: true,
      ipMasqNetwork: null,
      ipam: { type: null, subnet: null },
      dns: { servers: ['10.96.0.10'], search: ['svc.cluster.local'], domain: null },
      capabilities: ['dns'],
    })
    expect(conf.policies).toEqual([
      {
        kind: 'outbound-nat',
        path: '$.policies[0].value',
        policy: { Type: 'OutBoundNAT', ExceptionList: ['10.244.0.0/16', '10.96.0.0/12', '192.0.2.0/24'] },
      },
      { kind: 'route', path: '$.policies[1].value', prefix: '10.96.0.0/12', nextHop: null, needEncap: true },
    ])
  })

  it('by flannel, with the keys of older plugins in other letters', () => {
    const conf = readCniConf(
      JSON.stringify({
        cniVersion: '0.2.0',
        name: 'cbr0',
        type: 'flannel',
        subnetFile: 'C:/run/flannel/subnet.env',
        capabilities: { portMappings: true, dns: true },
        delegate: {
          type: 'l2bridge',
          hairpinMode: true,
          isDefaultGateway: true,
          dns: { Nameservers: ['10.96.0.10'], Search: ['svc.cluster.local'] },
          AdditionalArgs: [{ Name: 'EndpointPolicy', Value: { Type: 'ROUTE', DestinationPrefix: '10.96.0.0/12' } }],
        },
      }),
    )
    expect(conf).toMatchObject({
      plugin: 'win-bridge',
      name: 'cbr0',
      byFlannel: true,
      capabilities: ['portMappings', 'dns'],
      dns: { servers: ['10.96.0.10'] },
    })
    expect(conf.policies[0]?.path).toBe('$.delegate.AdditionalArgs[0].value')
  })

  it('win-overlay as OpenShift writes it: second schema, small letters, keys that say nothing', () => {
    const conf = readCniConf({
      cniVersion: '0.2.0',
      name: 'OVNKubernetesHNSNetwork',
      type: 'win-overlay',
      apiVersion: 2,
      ipam: { type: 'host-local', subnet: '10.132.0.0/24' },
      policies: [
        endpointPolicy({
          type: 'OutBoundNAT',
          settings: { exceptionList: ['172.30.0.0/16'], destinationPrefix: '', needEncap: false },
        }),
        endpointPolicy({
          type: 'SDNRoute',
          settings: { exceptionList: [], destinationPrefix: '172.30.0.0/16', needEncap: true },
        }),
        endpointPolicy({ type: 'ProviderAddress', settings: { providerAddress: '192.0.2.10' } }),
      ],
    })
    expect(conf).toMatchObject({
      plugin: 'win-overlay',
      schema: 2,
      ipam: { type: 'host-local', subnet: '10.132.0.0/24' },
    })
    expect(conf.policies).toMatchObject([
      { kind: 'outbound-nat', policy: { Settings: { Exceptions: ['172.30.0.0/16'] } } },
      { kind: 'route', prefix: '172.30.0.0/16', needEncap: true },
      { kind: 'provider-address', address: '192.0.2.10' },
    ])
  })

  it('wincni, as Microsoft ships it: l2bridge.conf, and l2bridge.v2.conf with the second schema and no apiVersion', () => {
    const conf = (AdditionalArgs: object[]) => ({
      ...{ cniVersion: '0.2.0', name: 'l2bridge', type: 'wincni.exe', master: 'Ethernet' },
      ipam: { environment: 'azure', subnet: '10.10.187.64/26', routes: [{ GW: '10.10.187.66' }] },
      dns: { Nameservers: ['11.0.0.10'] },
      AdditionalArgs: AdditionalArgs.map((Value) => ({ Name: 'EndpointPolicy', Value })),
    })
    const first = readCniConf(
      conf([
        { Type: 'OutBoundNAT', ExceptionList: ['11.0.0.0/8', '10.10.0.0/16', '10.127.132.128/25'] },
        { Type: 'ROUTE', DestinationPrefix: '11.0.0.0/8', NeedEncap: true },
        { Type: 'ROUTE', DestinationPrefix: '10.127.132.213/32', NeedEncap: true },
      ]),
    )
    const second = readCniConf(
      conf([
        { Type: 'OutBoundNAT', Settings: { Exceptions: ['11.0.0.0/8', '10.10.0.0/16', '10.127.132.128/25'] } },
        { Type: 'SDNROUTE', Settings: { DestinationPrefix: '11.0.0.0/8', NeedEncap: true } },
        { Type: 'SDNROUTE', Settings: { DestinationPrefix: '10.127.132.213/32', NeedEncap: true } },
      ]),
    )
    expect([first.schema, second.schema]).toEqual([1, 2])
    for (const { plugin, ipam, policies } of [first, second]) {
      expect({ plugin, ipam }).toEqual({
        plugin: 'win-bridge',
        ipam: {
          ...{ type: null, subnet: '10.10.187.64/26', rangeStart: null, rangeEnd: null },
          routes: [{ dst: null, gateway: '10.10.187.66' }],
        },
      })
      expect(policies.slice(1)).toMatchObject([
        { kind: 'route', prefix: '11.0.0.0/8', needEncap: true },
        { kind: 'route', prefix: '10.127.132.213/32', needEncap: true },
      ])
    }
    expect(second.policies[0]).toMatchObject({
      kind: 'outbound-nat',
      policy: { Settings: { Exceptions: { length: 3 } } },
    })
    expect(() =>
      readCniConf({
        ...conf([]),
        AdditionalArgs: [nat1, { name: 'EndpointPolicy', value: { Type: 'SDNRoute', Settings: {} } }],
      }),
    ).toThrow('$.AdditionalArgs[0].value: is a policy of the first schema, and those of the conf are of the second')
  })

  it('sdnbridge and sdnoverlay, with their flags', () => {
    const conf = readCniConf({
      ...{ cniVersion: '0.2.0', name: 'azure-cni', type: 'sdnbridge', master: 'Ethernet' },
      ...{
        capabilities: { portMappings: true, dns: true },
        ipam: { subnet: '192.168.0.0/24', routes: [{ GW: '192.168.0.2' }] },
      },
      optionalFlags: { localRoutedPortMapping: true, allowAclPortMapping: true, loopbackDSR: true },
      AdditionalArgs: [endpointPolicy({ Type: 'OutBoundNAT', Settings: { Exceptions: ['192.168.0.0/24'] } })],
    })
    expect(conf).toMatchObject({
      plugin: 'win-bridge',
      schema: 2,
      loopbackDsr: true,
      policies: [{ kind: 'outbound-nat' }],
    })
    expect(() => readCniConf({ name: 'x', type: 'sdnbridge', optionalFlags: { loopback: true } })).toThrow(
      '$.optionalFlags.loopback: unknown key',
    )
    expect(readCniConf({ name: 'x', type: 'sdnoverlay' }).plugin).toBe('win-overlay')
  })

  it('plugins by their files’ names, too', () => {
    for (const type of ['wincni', 'wincni.exe', 'win-bridge.exe', 'WIN-BRIDGE', 'sdnbridge.exe']) {
      expect(readCniConf({ name: 'x', type }).plugin).toBe('win-bridge')
      expect(readCniConf({ name: 'x', plugins: [{ type: 'portmap' }, { type }] }).plugin).toBe('win-bridge')
    }
    expect(() => readCniConf({ name: 'x', type: 'constructor' })).toThrow('$.type: must be win-bridge')
  })

  it('ranges of addresses: the conf’s own, or the first of its list, as sdnbridge has it with two IP versions', () => {
    const own = { type: 'host-local', subnet: '10.244.1.0/24', rangeStart: '10.244.1.2', rangeEnd: '10.244.1.254' }
    expect(readCniConf({ name: 'x', type: 'win-overlay', ipam: own }).ipam).toEqual({ ...own, routes: [] })
    const ranges = [
      [{ subnet: '10.0.0.0/24', gateway: '10.0.0.1', rangeStart: '10.0.0.9' }],
      [{ subnet: '10::/64', gateway: '10::1' }],
    ]
    expect(readCniConf({ name: 'x', type: 'sdnbridge', ipam: { ranges } }).ipam).toEqual({
      ...{ type: null, subnet: '10.0.0.0/24', rangeStart: '10.0.0.9', rangeEnd: null, routes: [] },
    })
    expect(() =>
      readCniConf({ name: 'x', type: 'sdnbridge', ipam: { ranges: [[{ subnet: '10.0.0.0/33' }]] } }),
    ).toThrow('$.ipam.ranges[0][0].subnet')
  })

  it('in a conflist; what the runtime says of DNS and ports counts', () => {
    const conf = readCniConf({
      cniVersion: '1.0.0',
      name: 'vxlan0',
      plugins: [
        { type: 'portmap' },
        {
          type: 'win-overlay',
          ipMasq: true,
          endpointMacPrefix: '0A-58',
          dns: { nameservers: ['10.96.0.10'] },
          runtimeConfig: {
            dns: { servers: ['10.96.0.99'] },
            portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }],
          },
        },
      ],
    })
    expect(conf).toMatchObject({
      name: 'vxlan0',
      cniVersion: '1.0.0',
      ipMasq: true,
      macPrefix: '0a:58',
      dns: { servers: ['10.96.0.99'] },
      portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }],
    })
  })

  const bridge = (more: object): object => ({ name: 'cbr0', type: 'win-bridge', ...more })
  it.each<[object, string]>([
    [{}, 'CNI conf: $.type: is missing'],
    [{ type: 'win-bridge' }, '$.name: is missing'],
    [{ name: 'x', type: 'bridge' }, '$.type: must be win-bridge, win-overlay or flannel, not "bridge"'],
    [
      { name: 'x', plugins: [{ type: 'bridge' }] },
      '$.plugins: none of the plugins is win-bridge, win-overlay or flannel',
    ],
    [{ name: 'x', type: 'flannel', delegate: { type: 'bridge' } }, '$.delegate.type: must be win-bridge'],
    [
      { name: 'x', type: 'flannel', delegate: { type: 'flannel', delegate: {} } },
      '$.delegate.type: flannel delegates to another plugin',
    ],
    [bridge({ apiVersion: 3 }), '$.apiVersion: must be a whole number, 0 to 2, not 3'],
    [bridge({ loopbackDsr: 'yes' }), '$.loopbackDsr: must be true or false, not "yes"'],
    [bridge({ policy: [] }), '$.policy: unknown key'],
    [bridge({ endpointMacPrefix: '0E-2A' }), '$.endpointMacPrefix: is a key of win-overlay'],
    [{ name: 'x', type: 'win-overlay', ipMasqNetwork: '10.0.0.0/8' }, '$.ipMasqNetwork: is a key of win-bridge'],
    [{ name: 'x', type: 'win-overlay', endpointMacPrefix: '0E:2A' }, '$.endpointMacPrefix: must be xx-xx, not "0E:2A"'],
    [
      bridge({ apiVersion: 2, policies: [nat1] }),
      '$.policies[0].value: is a policy of the first schema, and those of the conf are of the second',
    ],
    [
      bridge({ policies: [endpointPolicy({ Type: 'OutBoundNAT', Settings: {} })] }),
      '$.policies[0].value.Settings: a policy of the first schema has its settings beside its type',
    ],
    [bridge({ policies: [{ name: 'EndpointPolicy' }] }), '$.policies[0].value: is missing'],
    [
      bridge({ policies: [endpointPolicy({ Type: 'PROXY' })] }),
      '$.policies[0].value: PROXY is not supported: there is no proxy here',
    ],
    [bridge({ ipam: { subnet: '10.0.0.0/33' } }), '$.ipam.subnet: '],
  ])('%j is refused', (json, message) => {
    expect(() => readCniConf(json)).toThrow(HnsError)
    expect(() => readCniConf(json)).toThrow(message)
  })
})

describe('what the plugin gives to HNS', () => {
  it('win-bridge: a second translation, port mappings, loopback DSR last', () => {
    const conf = readCniConf({
      name: 'cbr0',
      type: 'win-bridge',
      policies: [nat1],
      ipMasqNetwork: '10.244.0.0/16',
      loopbackDSR: true,
      runtimeConfig: {
        portMappings: [
          { hostPort: 8080, containerPort: 80, protocol: 'tcp' },
          { hostPort: 9, containerPort: 9, protocol: 'sctp' },
        ],
      },
    })
    const policies = (network: string | null): unknown[] =>
      cniEndpointPolicies({ ...conf, ipMasqNetwork: network }, { address: '10.244.3.7' }).map(
        (p) => 'policy' in p && p.policy,
      )
    const rest = [
      { Type: 'NAT', Protocol: 'TCP', InternalPort: 80, ExternalPort: 8080 },
      { Type: 'OutBoundNAT', Destinations: ['10.244.3.7'] },
    ]
    // One of the exceptions is that network already.
    expect(policies('10.244.0.0/16').slice(1)).toMatchObject(rest)
    expect(policies('10.0.0.0/8').slice(1)).toMatchObject([
      { Type: 'OutBoundNAT', ExceptionList: ['10.0.0.0/8'] },
      ...rest,
    ])
    expect(policies(null).slice(1)).toMatchObject(rest)
  })

  it("win-overlay: the provider address, the node's own subnet as the exception, no IPv6", () => {
    const conf = readCniConf({ name: 'vxlan0', type: 'win-overlay', apiVersion: 2, ipMasq: true })
    const pod = { address: '10.244.3.7', providerAddress: '192.0.2.10', subnet: '10.244.3.0/24' }
    expect(cniEndpointPolicies(conf, pod)).toEqual([
      { kind: 'provider-address', address: '192.0.2.10', path: '$' },
      { kind: 'outbound-nat', path: '$', policy: { Type: 'OutBoundNAT', Settings: { Exceptions: ['10.244.3.0/24'] } } },
    ])
    expect(() => cniEndpointPolicies(conf, { address: 'fd00::7' })).toThrow('win-overlay has no IPv6: fd00::7')
  })

  it('the MAC address of an overlay endpoint', () => {
    expect(overlayMac('10.244.3.7')).toBe('0e:2a:0a:f4:03:07')
    expect(overlayMac('10.244.3.7', '0a:58')).toBe('0a:58:0a:f4:03:07')
  })
})
