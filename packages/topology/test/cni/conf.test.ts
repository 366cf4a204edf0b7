import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CniCode, CniError, HostLocal, parseCniConf } from '../../src/index.ts'
import { dataDir } from '../ipam/lab.ts'

/*
 * The examples of CNI's specification and of its plugins' pages, as they stand there, and what is made of them; and what
 * is refused, with the key.
 */

const NONE = { mac: null, ips: [], ipRanges: [], portMappings: [], dns: null }
const PLAIN = { capabilities: [], runtimeConfig: NONE, args: { mac: null, ips: [] }, dns: null, prevResult: null }
const local = (more: object) => ({
  ...{ type: 'host-local', routes: [], dataDir: '/var/lib/cni/networks', resolvConf: null, ranges: [] },
  ...more,
})

describe('examples', () => {
  it('bridge: the plugin’s page', () => {
    const conf = parseCniConf(`{
      "cniVersion": "1.0.0",
      "name": "mynet",
      "type": "bridge",
      "bridge": "mynet0",
      "isDefaultGateway": true,
      "forceAddress": false,
      "ipMasq": true,
      "hairpinMode": true,
      "ipam": { "type": "host-local", "subnet": "10.10.0.0/16" }
    }`)
    expect(conf).toEqual({
      cniVersion: '1.0.0',
      name: 'mynet',
      disableCheck: false,
      disableGC: false,
      loadOnlyInlinedPlugins: false,
      plugins: [
        {
          ...PLAIN,
          type: 'bridge',
          bridge: 'mynet0',
          isGateway: true,
          isDefaultGateway: true,
          forceAddress: false,
          ipMasq: true,
          ipMasqBackend: null,
          mtu: 0,
          hairpinMode: true,
          promiscMode: false,
          vlan: 0,
          vlanTrunk: [],
          preserveDefaultVlan: true,
          macspoofchk: false,
          enabledad: false,
          disableContainerInterface: false,
          portIsolation: false,
          mac: null,
          ipam: local({ ranges: [[{ subnet: '10.10.0.0/16' }]] }),
        },
      ],
    })
  })

  it('bridge: without addresses, with VLANs', () => {
    const conf = parseCniConf(`{
      "cniVersion": "0.3.1", "name": "mynet", "type": "bridge", "bridge": "mynet0", "ipam": {},
      "preserveDefaultVlan": false,
      "vlanTrunk": [{ "minID": 10, "maxID": 12 }, { "id": 5 }, { "id": 11, "minID": 4094, "maxID": 4094 }]
    }`)
    expect(conf.plugins[0]).toMatchObject({ ipam: null, vlanTrunk: [5, 10, 11, 12, 4094], preserveDefaultVlan: false })
  })

  it('ptp: the plugin’s page', () => {
    const conf = parseCniConf(`{
      "name": "mynet",
      "type": "ptp",
      "ipam": { "type": "host-local", "subnet": "10.1.1.0/24" },
      "dns": { "nameservers": [ "10.1.1.1", "8.8.8.8" ] }
    }`)
    expect([conf.cniVersion, conf.plugins]).toEqual([
      '0.1.0',
      [
        {
          ...PLAIN,
          type: 'ptp',
          ipMasq: false,
          ipMasqBackend: null,
          mtu: 0,
          ipam: local({ ranges: [[{ subnet: '10.1.1.0/24' }]] }),
          dns: { nameservers: ['10.1.1.1', '8.8.8.8'] },
        },
      ],
    ])
  })

  it('macvlan and ipvlan: the plugins’ pages, but for dhcp', () => {
    const macvlan = parseCniConf(`{ "name": "mynet", "type": "macvlan", "master": "eth0", "linkInContainer": false }`)
    expect(macvlan.plugins).toEqual([
      {
        ...PLAIN,
        ...{ type: 'macvlan', master: 'eth0', mode: 'bridge', mtu: 0, mac: null, bcqueuelen: 0 },
        ...{ linkInContainer: false, ipam: null },
      },
    ])
    const ipvlan = parseCniConf(`{
      "name": "mynet", "type": "ipvlan", "master": "eth0", "linkInContainer": false,
      "ipam": { "type": "host-local", "subnet": "10.1.2.0/24" }
    }`)
    expect(ipvlan.plugins).toEqual([
      {
        ...PLAIN,
        ...{ type: 'ipvlan', master: 'eth0', mode: 'l2', mtu: 0, linkInContainer: false },
        ipam: local({ ranges: [[{ subnet: '10.1.2.0/24' }]] }),
      },
    ])
  })

  it('host-local: the plugin’s page, two sets, and one whose range is written the old way', () => {
    const conf = parseCniConf(`{
      "cniVersion": "1.0.0", "name": "mynet", "type": "ptp",
      "ipam": {
        "type": "host-local",
        "ranges": [
          [
            { "subnet": "10.10.0.0/16", "rangeStart": "10.10.1.20", "rangeEnd": "10.10.3.50", "gateway": "10.10.0.254" },
            { "subnet": "172.16.5.0/24" }
          ],
          [{ "subnet": "3ffe:ffff:0:01ff::/64", "rangeStart": "3ffe:ffff:0:01ff::0010", "rangeEnd": "3ffe:ffff:0:01ff::0020" }]
        ],
        "routes": [
          { "dst": "0.0.0.0/0" },
          { "dst": "192.168.0.0/16", "gw": "10.10.5.1" },
          { "dst": "3ffe:ffff:0:01ff::1/64", "priority": 100, "mtu": 1400 }
        ],
        "dataDir": "/run/my-orchestrator/container-ipam-state",
        "resolvConf": "/etc/resolv.conf"
      }
    }`)
    expect(conf.plugins[0]).toMatchObject({
      ipam: {
        ranges: [
          [
            { subnet: '10.10.0.0/16', rangeStart: '10.10.1.20', rangeEnd: '10.10.3.50', gateway: '10.10.0.254' },
            { subnet: '172.16.5.0/24' },
          ],
          [{ subnet: '3ffe:ffff:0:1ff::/64', rangeStart: '3ffe:ffff:0:1ff::10', rangeEnd: '3ffe:ffff:0:1ff::20' }],
        ],
        routes: [
          { dst: '0.0.0.0/0' },
          { dst: '192.168.0.0/16', gw: '10.10.5.1' },
          { dst: '3ffe:ffff:0:1ff::/64', priority: 100, mtu: 1400 },
        ],
        dataDir: '/run/my-orchestrator/container-ipam-state',
        resolvConf: '/etc/resolv.conf',
      },
    })
    const old = parseCniConf({
      ...{
        name: 'mynet',
        type: 'ptp',
        cniVersion: '1.0.0',
        runtimeConfig: { ipRanges: [[{ subnet: '10.3.0.0/24' }]] },
      },
      ipam: { type: 'host-local', subnet: '10.1.0.0/24', gateway: '10.1.0.9', ranges: [[{ subnet: '10.2.0.0/24' }]] },
    })
    expect(old.plugins[0]).toMatchObject({
      ipam: {
        ranges: [
          [{ subnet: '10.3.0.0/24' }],
          [{ subnet: '10.1.0.0/24', gateway: '10.1.0.9' }],
          [{ subnet: '10.2.0.0/24' }],
        ],
      },
    })
  })

  it('a list: bridge and portmap, as the specification and the plugin’s page have them', () => {
    const conf = parseCniConf(`{
      "cniVersion": "1.1.0",
      "cniVersions": ["0.3.1", "0.4.0", "1.0.0", "1.1.0", "2.7.0"],
      "name": "dbnet",
      "disableCheck": true,
      "plugins": [
        {
          "type": "bridge",
          "bridge": "cni0",
          "args": { "labels": { "appVersion": "1.0" } },
          "ipam": { "type": "host-local", "subnet": "10.1.0.0/16", "gateway": "10.1.0.1", "routes": [{ "dst": "0.0.0.0/0" }] },
          "dns": { "nameservers": [ "10.1.0.1" ], "search": ["example.com"], "options": ["ndots:2"], "domain": "example.com" }
        },
        {
          "type": "portmap",
          "backend": "iptables",
          "capabilities": { "portMappings": true, "mac": false },
          "snat": true,
          "markMasqBit": 13,
          "conditionsV4": ["!", "-d", "192.0.2.0/24"],
          "conditionsV6": ["!", "-d", "fc00::/7"]
        },
        { "type": "portmap", "snat": false, "externalSetMarkChain": "KUBE-MARK-MASQ" }
      ]
    }`)
    expect([conf.cniVersion, conf.name, conf.disableCheck]).toEqual(['1.1.0', 'dbnet', true])
    expect(conf.plugins[0]).toMatchObject({
      dns: { nameservers: ['10.1.0.1'], search: ['example.com'], options: ['ndots:2'], domain: 'example.com' },
    })
    expect(conf.plugins.slice(1)).toEqual([
      {
        ...PLAIN,
        capabilities: ['portMappings'],
        ...{ type: 'portmap', snat: true, masqAll: false, markMasqBit: 13, externalSetMarkChain: null },
        conditionsV4: ['!', '-d', '192.0.2.0/24'],
        conditionsV6: ['!', '-d', 'fc00::/7'],
        ...{ backend: 'iptables', portMappings: [] },
      },
      {
        ...PLAIN,
        ...{ type: 'portmap', snat: false, masqAll: false, markMasqBit: null, conditionsV4: [], conditionsV6: [] },
        ...{ externalSetMarkChain: 'KUBE-MARK-MASQ', backend: null, portMappings: [] },
      },
    ])
  })

  it('what a runtime gives to portmap', () => {
    const prevResult = { cniVersion: '1.0.0', ips: [{ address: '10.1.0.5/16', interface: 2 }], anything: [1] }
    const conf = parseCniConf({
      ...{ cniVersion: '1.0.0', name: 'dbnet', type: 'portmap', prevResult },
      runtimeConfig: {
        portMappings: [
          { hostPort: 8080, containerPort: 80, protocol: 'TCP', hostIP: '' },
          { hostPort: 53, containerPort: 53, protocol: 'udp', hostIP: '192.0.2.1' },
        ],
        bandwidth: { ingressRate: 1 },
      },
    })
    expect(conf.plugins[0]).toMatchObject({
      markMasqBit: 13,
      portMappings: [
        { hostPort: 8080, containerPort: 80, protocol: 'tcp', hostIP: null },
        { hostPort: 53, containerPort: 53, protocol: 'udp', hostIP: '192.0.2.1' },
      ],
      prevResult,
    })
  })

  it.each([
    [{ runtimeConfig: { mac: '02-00-00-00-00-01' }, args: { cni: { mac: '02:00:00:00:00:02' } } }, '02:00:00:00:00:01'],
    [{ runtimeConfig: { mac: '' }, args: { cni: { mac: '02:00:00:00:00:02' } } }, '02:00:00:00:00:02'],
    [{}, null],
  ])('the MAC address is the runtime’s before the arguments’: %j', (more, mac) => {
    for (const type of ['bridge', 'macvlan']) {
      expect(parseCniConf({ name: 'mynet', type, ...more }).plugins[0]).toMatchObject({ mac })
    }
    const own = parseCniConf({ name: 'mynet', type: 'macvlan', mac: '02:00:00:00:00:03', ...more })
    expect(own.plugins[0]).toMatchObject({ mac: mac ?? '02:00:00:00:00:03' })
  })

  it('null is as if the key were not there, as it is for the plugins', () => {
    const conf = { name: 'mynet', type: 'bridge', bridge: null, vlan: null, ipam: null, dns: null, vlanTrunk: null }
    expect(parseCniConf(conf)).toEqual(parseCniConf({ name: 'mynet', type: 'bridge' }))
  })

  it('host-local’s part is what gives out the addresses', async () => {
    const conf = parseCniConf({
      ...{ cniVersion: '1.0.0', name: 'mynet', type: 'bridge' },
      ipam: { type: 'host-local', dataDir: dataDir(), subnet: '10.1.0.0/24', routes: [{ dst: '0.0.0.0/0' }] },
    })
    const [plugin] = conf.plugins
    if (plugin?.type !== 'bridge' || plugin.ipam === null) throw new Error('a bridge with addresses')
    const ipam = new HostLocal({ network: conf.name, ...plugin.ipam })
    expect(await ipam.add({ containerId: 'ann', ifname: 'eth0' })).toEqual({
      ips: [{ address: '10.1.0.2/24', gateway: '10.1.0.1' }],
      routes: [{ dst: '0.0.0.0/0' }],
      dns: {},
    })
  })
})

describe('refused', () => {
  const { UnsupportedField, InvalidConfig, IncompatibleVersion, Undecodable } = CniCode
  const bridge = (more: object) => ({ cniVersion: '1.0.0', name: 'mynet', type: 'bridge', ...more })
  const plugins = (...list: unknown[]) => ({ cniVersion: '1.0.0', name: 'mynet', plugins: list })
  const ipam = (more: object) => bridge({ ipam: { type: 'host-local', subnet: '10.1.0.0/24', ...more } })
  const portmap = (more: object) => plugins({ type: 'bridge' }, { type: 'portmap', ...more })
  const mapped = (more: object) =>
    portmap({ runtimeConfig: { portMappings: [{ hostPort: 1, containerPort: 2, ...more }] } })

  it.each<[string | object, number, string, string | RegExp]>([
    ['{', Undecodable, '', /^no JSON: /],
    ['[]', InvalidConfig, '', 'expected an object, not []'],
    ['null', InvalidConfig, '', 'expected an object, not null'],
    [{ type: 'bridge' }, InvalidConfig, '', 'the key "name" is missing'],
    [{ name: 'mynet' }, InvalidConfig, '', 'the key "type" is missing'],
    [{ name: '../x', type: 'bridge' }, InvalidConfig, 'name', /expected a name of letters.* not "\.\.\/x"/],
    [
      bridge({ cniVersion: '2.0.0' }),
      IncompatibleVersion,
      'cniVersion',
      /none of 2\.0\.0 is known; known are 0\.1\.0,/,
    ],
    [bridge({ cniVersion: 1 }), InvalidConfig, 'cniVersion', 'expected text, not 1'],
    [bridge({ cniVersion: '9', cniVersions: ['8'] }), IncompatibleVersion, 'cniVersions', /none of 9, 8 is known/],
    [bridge({ type: 'weave-net' }), UnsupportedField, 'type', /no plugin "weave-net" is known; known are bridge, ptp,/],
    [bridge({ type: 'constructor' }), UnsupportedField, 'type', /no plugin "constructor" is known/],
    [plugins(), InvalidConfig, 'plugins', 'expected at least one plugin, not an empty list'],
    [plugins(7), InvalidConfig, 'plugins[0]', 'expected an object, not 7'],
    [plugins({ type: 'portmap' }), InvalidConfig, 'plugins[0].type', /portmap needs a plugin before it/],
    [{ name: 'mynet', type: 'portmap' }, InvalidConfig, 'type', /portmap needs a plugin before it/],
    [{ ...plugins({ type: 'bridge' }), bridge: 'x' }, UnsupportedField, 'bridge', /^unknown key; known are /],
    [bridge({ hairpinmode: true }), UnsupportedField, 'hairpinmode', 'unknown key; did you mean "hairpinMode"?'],
    [bridge({ constructor: 1 }), UnsupportedField, 'constructor', /^unknown key/],
    [JSON.stringify(bridge({})).replace('{', '{"__proto__":1,'), UnsupportedField, '__proto__', /^unknown key/],
    [plugins({ type: 'bridge', name: 'x' }), UnsupportedField, 'plugins[0].name', /^unknown key/],
    [bridge({ hairpinMode: 'yes' }), InvalidConfig, 'hairpinMode', 'expected true or false, not "yes"'],
    [
      bridge({ hairpinMode: true, promiscMode: true }),
      InvalidConfig,
      'promiscMode',
      'does not go together with hairpinMode',
    ],
    [bridge({ vlan: 4095 }), InvalidConfig, 'vlan', 'expected a whole number from 0 to 4094, not 4095'],
    [bridge({ vlan: 1, vlanTrunk: [{ id: 2 }] }), InvalidConfig, 'vlanTrunk', 'does not go together with vlan'],
    [
      bridge({ vlanTrunk: [{ minID: 2 }] }),
      InvalidConfig,
      'vlanTrunk[0]',
      'the key "maxID" is missing beside the other',
    ],
    [
      bridge({ vlanTrunk: [{ maxID: 2 }] }),
      InvalidConfig,
      'vlanTrunk[0]',
      'the key "minID" is missing beside the other',
    ],
    [
      bridge({ vlanTrunk: [{ minID: 3, maxID: 2 }] }),
      InvalidConfig,
      'vlanTrunk[0].maxID',
      'is 2, below minID, which is 3',
    ],
    [
      bridge({ vlanTrunk: [{ id: 0 }] }),
      InvalidConfig,
      'vlanTrunk[0].id',
      'expected a whole number from 1 to 4094, not 0',
    ],
    [bridge({ vlanTrunk: [{}] }), InvalidConfig, 'vlanTrunk[0]', 'expected "id", or "minID" and "maxID"'],
    [bridge({ vlanTrunk: [{ ID: 3 }] }), UnsupportedField, 'vlanTrunk[0].ID', /^unknown key/],
    [
      ipam({ ...{} }) &&
        bridge({ disableContainerInterface: true, ipam: { type: 'host-local', subnet: '10.1.0.0/24' } }),
      InvalidConfig,
      'ipam',
      'does not go together with disableContainerInterface',
    ],
    [bridge({ bridge: 'a/b' }), InvalidConfig, 'bridge', /expected the name of an interface, up to 15 characters/],
    [bridge({ mtu: 1.5 }), InvalidConfig, 'mtu', 'expected a whole number from 0 to 65535, not 1.5'],
    [bridge({ ipMasqBackend: 'nft' }), InvalidConfig, 'ipMasqBackend', /^expected "iptables", "nftables", not "nft"/],
    [bridge({ runtimeConfig: { mac: '01:00:00:00:00:01' } }), InvalidConfig, 'runtimeConfig.mac', /group address/],
    [bridge({ runtimeConfig: { macs: [] } }), UnsupportedField, 'runtimeConfig.macs', /did you mean "mac"/],
    [
      bridge({ runtimeConfig: { ips: ['10.0.0.1/33'] } }),
      InvalidConfig,
      'runtimeConfig.ips[0]',
      /\/0 to \/32, not "\/33"/,
    ],
    [bridge({ capabilities: { portMapping: true } }), UnsupportedField, 'capabilities.portMapping', /"portMappings"/],
    [bridge({ dns: { nameserver: [] } }), UnsupportedField, 'dns.nameserver', /did you mean "nameservers"/],
    [bridge({ dns: { nameservers: ['x'] } }), InvalidConfig, 'dns.nameservers[0]', /expected an IPv4 or IPv6 address/],
    [{ name: 'mynet', type: 'ptp' }, InvalidConfig, '', 'the key "ipam" is missing'],
    [{ name: 'mynet', type: 'ptp', ipam: {} }, InvalidConfig, 'ipam', /the key "type" is missing/],
    [{ name: 'mynet', type: 'macvlan', mode: 'VEPA' }, InvalidConfig, 'mode', /did you mean "vepa"/],
    [{ name: 'mynet', type: 'ipvlan', mode: 'l4' }, InvalidConfig, 'mode', /^expected "l2", "l3", "l3s", not "l4"/],
    [bridge({ ipam: { type: 'dhcp' } }), UnsupportedField, 'ipam.type', 'expected "host-local", not "dhcp"'],
    [bridge({ ipam: { subnet: '10.1.0.0/24' } }), UnsupportedField, 'ipam.subnet', /^unknown key/],
    [bridge({ ipam: { type: 'host-local' } }), InvalidConfig, 'ipam.ranges', /^expected at least one set of ranges/],
    [
      bridge({ ipam: { type: 'host-local', gateway: '10.1.0.1' } }),
      InvalidConfig,
      'ipam',
      'the key "subnet" is missing',
    ],
    [ipam({ subnet: '10.1.0.1/24' }), InvalidConfig, 'ipam.subnet', /has host bits/],
    [ipam({ routes: [{ dst: '10.1.0.1/24' }] }), InvalidConfig, 'ipam.routes[0].dst', /has host bits/],
    [ipam({ subnet: '10.1.0.0/31' }), InvalidConfig, 'ipam.subnet', /^10\.1\.0\.0\/31 is too small/],
    [ipam({ rangeStart: '10.2.0.1' }), InvalidConfig, 'ipam.rangeStart', /^10\.2\.0\.1 is not in 10\.1\.0\.0\/24/],
    [ipam({ ranges: [{ subnet: '10.2.0.0/24' }] }), InvalidConfig, 'ipam.ranges[0]', /^expected a list, not \{/],
    [ipam({ ranges: [[{ subnet: '10.1.0.0/16' }]] }), InvalidConfig, 'ipam.ranges[0]', /^overlaps with ipam\.subnet: /],
    [
      ipam({ ranges: [[{ subnet: '10.2.0.0/24', start: 1 }]] }),
      UnsupportedField,
      'ipam.ranges[0][0].start',
      /^unknown key/,
    ],
    [
      ipam({ ranges: [[{ subnet: '10.2.0.0/24' }, { subnet: '10.3.0.0/24', rangeEnd: '10.4.0.1' }]] }),
      InvalidConfig,
      'ipam.ranges[0][1].rangeEnd',
      '10.4.0.1 is not in 10.3.0.0/24',
    ],
    [
      plugins({
        type: 'ptp',
        ipam: { type: 'host-local', subnet: '10.1.0.0/24' },
        runtimeConfig: { ipRanges: [[{ subnet: '10.2.0.0/24' }, { subnet: '10.2.0.0/25' }]] },
      }),
      InvalidConfig,
      'plugins[0].runtimeConfig.ipRanges[0]',
      /^the ranges 10\.2\.0\.1-10\.2\.0\.254 and .* overlap$/,
    ],
    [ipam({ routes: [{ gw: '10.1.0.1' }] }), InvalidConfig, 'ipam.routes[0]', 'the key "dst" is missing'],
    [ipam({ routes: [{ dst: '0.0.0.0/0', metric: 1 }] }), UnsupportedField, 'ipam.routes[0].metric', /^unknown key/],
    [
      { ...ipam({ ranges: [[{ subnet: '10.2.0.0/24' }]] }), cniVersion: '0.2.0' },
      InvalidConfig,
      'ipam.ranges',
      /^CNI 0\.2\.0 has room/,
    ],
    [portmap({ markMasqBit: 32 }), InvalidConfig, 'plugins[1].markMasqBit', /from 0 to 31/],
    [
      portmap({ markMasqBit: 1, externalSetMarkChain: 'X' }),
      InvalidConfig,
      'plugins[1].externalSetMarkChain',
      /together with markMasqBit/,
    ],
    [portmap({ ipam: {} }), UnsupportedField, 'plugins[1].ipam', /^unknown key/],
    [
      mapped({ hostPort: 0 }),
      InvalidConfig,
      'plugins[1].runtimeConfig.portMappings[0].hostPort',
      /from 1 to 65535, not 0/,
    ],
    [
      mapped({ protocol: 'icmp' }),
      InvalidConfig,
      'plugins[1].runtimeConfig.portMappings[0].protocol',
      /"tcp", "udp", "sctp"/,
    ],
  ])('%j', (source, code, key, message) => {
    let error: unknown
    try {
      parseCniConf(source)
    } catch (caught) {
      error = caught
    }
    expect(error).toBeInstanceOf(CniError)
    const { code: got, key: at, message: said } = error as CniError
    expect([got, at]).toEqual([code, key])
    expect(key === '' ? said : said.slice(key.length + 2)).toMatch(message)
    expect(said.startsWith(key)).toBe(true)
    expect(JSON.parse(JSON.stringify(error))).toEqual({ code, msg: said })
  })
})

describe('anything else', () => {
  const words = [
    ...[
      'name',
      'type',
      'plugins',
      'ipam',
      'ranges',
      'subnet',
      'vlanTrunk',
      'runtimeConfig',
      'portMappings',
      'dns',
      'args',
    ],
    ...['cni', 'cniVersion', 'capabilities', 'routes', 'dst', 'minID', 'mac', '__proto__', 'hairpinMode', 'prevResult'],
  ]
  const values = [
    'bridge',
    'ptp',
    'macvlan',
    'ipvlan',
    'portmap',
    'host-local',
    '10.1.0.0/24',
    'fd00::/64',
    '1.0.0',
    'x',
  ]
  const { node } = fc.letrec<{ node: unknown }>((tie) => ({
    node: fc.oneof(
      { depthSize: 'medium', withCrossShrink: true },
      fc.constantFrom(...values),
      fc.constantFrom(null, true, 0, 1, 4095, -1, 1e99),
      fc.array(tie('node'), { maxLength: 3 }),
      fc.dictionary(fc.constantFrom(...words), tie('node'), { maxKeys: 6 }),
    ),
  }))
  const object = fc.dictionary(fc.constantFrom(...words), node)

  it('is a network or a CniError', () => {
    const seen = { networks: 0, refused: 0 }
    const given = fc.record(
      {
        name: fc.constant('mynet'),
        type: fc.constantFrom('bridge', 'macvlan', 'portmap'),
        ipam: node,
        vlanTrunk: node,
      },
      { requiredKeys: ['name', 'type'] },
    )
    fc.assert(
      fc.property(fc.oneof(object, given, given), (source) => {
        try {
          expect(parseCniConf(source).plugins.length).toBeGreaterThan(0)
          seen.networks++
        } catch (error) {
          expect(error).toBeInstanceOf(CniError)
          seen.refused++
        }
      }),
      { numRuns: 2000 },
    )
    expect(seen.networks).toBeGreaterThan(10)
    expect(seen.refused).toBeGreaterThan(200)
  })
})
