// Any JSON at all, and documents that are nearly right: an object or an HnsError, and nothing else.
import fc from 'fast-check'
import { expect, it } from 'vitest'
import {
  HnsError,
  readCniConf,
  readEndpoint,
  readLoadBalancer,
  readNetwork,
  readPolicyList,
} from '../../src/hns/index.ts'

const READERS: readonly ((json: unknown) => unknown)[] = [
  (json) => readNetwork(json),
  (json) => readNetwork(json, 'n', { unsupported: 'list' }),
  (json) => readEndpoint(json),
  (json) => readEndpoint(json, 'e', { unsupported: 'list' }),
  (json) => readLoadBalancer(json),
  (json) => readPolicyList(json),
  (json) => readCniConf(json),
]

/** Runs all readers: each gives an object, or throws an HnsError that names document and path. */
function readAll(json: unknown): void {
  for (const read of READERS) {
    try {
      expect(typeof read(json)).toBe('object')
    } catch (error) {
      if (!(error instanceof HnsError)) throw error
      expect(error.path.startsWith('$')).toBe(true)
      expect(error.message.startsWith(`${error.document}: ${error.path}: `)).toBe(true)
      expect(error.message.length).toBeLessThan(4000)
    }
  }
}

const KEYS = [
  'Type',
  'Settings',
  'Policies',
  'Ipams',
  'Subnets',
  'Routes',
  'Flags',
  'SchemaVersion',
  'IpAddressPrefix',
  'AddressPrefix',
  'GatewayAddress',
  'Exceptions',
  'ExceptionList',
  'DestinationPrefix',
  'NeedEncap',
  'Protocol',
  'Protocols',
  'Action',
  'Direction',
  'PortMappings',
  'References',
  'IpConfigurations',
  'TierAclRules',
  'name',
  'value',
  'policies',
  'delegate',
  'plugins',
  'apiVersion',
  'ipam',
  'dns',
  'runtimeConfig',
  '__proto__',
  'constructor',
  'toString',
]
const WORDS = [
  'L2Bridge',
  'Overlay',
  'NAT',
  'ICS',
  'OutBoundNAT',
  'ROUTE',
  'SDNRoute',
  'ACL',
  'TierAcl',
  'PA',
  'VSID',
  'VLAN',
  'ELB',
  'SetPolicy',
  'RemoteSubnetRoute',
  'L4Proxy',
  'PortMapping',
  'Isolation',
  'Allow',
  'In',
  'win-bridge',
  'win-overlay',
  'flannel',
  'EndpointPolicy',
  '10.0.0.0/8',
  '10.0.0.1',
  'fd00::/8',
  'a1b2c3d4-0000-4000-8000-00000000000a',
  'toString',
  '',
]
const { value } = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'medium' },
    fc.constantFrom(...WORDS),
    fc.oneof(fc.integer(), fc.double(), fc.boolean(), fc.constant(null), fc.string({ maxLength: 8 })),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.array(fc.tuple(fc.constantFrom(...KEYS), tie('value')), { maxLength: 5 }).map(ownKeys),
  ),
}))

/** An object with these keys as its own, `__proto__` too, as JSON.parse makes it. */
function ownKeys(entries: [string, unknown][]): unknown {
  return JSON.parse(`{${entries.map(([k, v]) => `${JSON.stringify(k)}:${JSON.stringify(v) ?? 'null'}`).join()}}`)
}

it('any JSON', () => {
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), value), (json) => readAll(json)),
    { numRuns: 3000 },
  )
})

it('any text', () => {
  fc.assert(
    fc.property(fc.string(), (text) => readAll(text)),
    { numRuns: 500 },
  )
})

it('what is nested deeply', () => {
  const deep = (open: string, close: string): string => open.repeat(20_000) + close.repeat(20_000)
  for (const text of [deep('[', ']'), deep('{"delegate":', '}').replace(':}', ':1}'), deep('{"Policies":[', ']}')])
    readAll(text)
  let flannel: object = { type: 'win-bridge', name: 'x' }
  for (let i = 0; i < 20_000; i++) flannel = { type: 'flannel', name: 'x', delegate: flannel }
  readAll(flannel)
  const circle: { Type: string; Policies?: unknown } = { Type: 'NAT' }
  circle.Policies = circle
  readAll(circle)
})

it('what JSON cannot say', () => {
  for (const json of [undefined, Symbol('x'), () => 1, 10n, Number.NaN, new Date(0), new Map(), [undefined]])
    readAll(json)
})

/** Good documents, in which one value is exchanged for another. */
const GOOD: unknown[] = [
  {
    Type: 'Overlay',
    Policies: [
      { Type: 'HostRoute', Settings: {} },
      { Type: 'VxlanPort', Settings: { Port: 4789 } },
      { Type: 'SetPolicy', Settings: { Id: '1', Name: 'n', PolicyType: 'IPSET', Values: '10.0.0.1' } },
      { Type: 'NetworkACL', Settings: { Action: 'Allow', Direction: 'In', Protocols: '6' } },
    ],
    MacPool: { Ranges: [{ StartMacAddress: '00-15-5D-52-C0-00', EndMacAddress: '00-15-5D-52-CF-FF' }] },
    Ipams: [
      {
        Type: 'Static',
        Subnets: [
          {
            IpAddressPrefix: '10.1.0.0/24',
            Policies: [{ Type: 'VSID', Settings: { IsolationId: 4096 } }],
            Routes: [{ NextHop: '10.1.0.1', DestinationPrefix: '0.0.0.0/0', Metric: 1 }],
          },
        ],
      },
    ],
    Flags: 8,
    SchemaVersion: { Major: 2, Minor: 0 },
  },
  {
    Policies: [
      { Type: 'OutBoundNAT', Settings: { Exceptions: ['10.0.0.0/8'], Destinations: ['10.1.0.2'], Flags: 0 } },
      { Type: 'PortMapping', Settings: { Protocol: 6, InternalPort: 80, ExternalPort: 8080, VIP: '192.0.2.1' } },
      {
        Type: 'TierAcl',
        Settings: { Name: 't', Direction: 'In', Order: 1, TierAclRules: [{ TierAclRuleAction: 'Pass' }] },
      },
      { Type: 'SDNRoute', Settings: { DestinationPrefix: '10.0.0.0/8', NeedEncap: true } },
    ],
    IpConfigurations: [{ IpAddress: '10.1.0.2', PrefixLength: 24 }],
    Flags: 1,
    SchemaVersion: { Major: 2 },
  },
  {
    Policies: [
      { Type: 'NAT', Protocol: 'TCP', InternalPort: 80, ExternalPort: 8080 },
      { Type: 'ACL', Protocol: 6, Action: 'Allow', Direction: 'In', LocalPort: 80 },
      { Type: 'Isolation', VLAN: 5 },
    ],
    IPAddress: '10.1.0.2',
    PrefixLength: 24,
  },
  { PortMappings: [{ Protocol: 6, InternalPort: 80, ExternalPort: 8080 }], FrontendVIPs: ['10.96.0.1'], Flags: 1 },
  {
    References: ['/endpoints/a1b2c3d4-0000-4000-8000-00000000000a'],
    Policies: [{ Type: 'ELB', VIPs: [], Protocol: 6, InternalPort: 1, ExternalPort: 2 }],
  },
  {
    name: 'n',
    type: 'flannel',
    delegate: {
      type: 'win-bridge',
      apiVersion: 2,
      policies: [
        { name: 'EndpointPolicy', value: { Type: 'SDNRoute', Settings: { DestinationPrefix: '10.0.0.0/8' } } },
      ],
      runtimeConfig: { portMappings: [{ hostPort: 1, containerPort: 2, protocol: 'tcp' }] },
      loopbackDSR: true,
    },
  },
]

/** The number of values in a document, itself the first. */
function count(json: unknown): number {
  if (typeof json !== 'object' || json === null) return 1
  return Object.values(json).reduce<number>((sum, v) => sum + count(v), 1)
}

/** The document with its `n`th value exchanged. */
function exchanged(json: unknown, n: number, by: unknown): unknown {
  let left = n
  const walk = (v: unknown): unknown => {
    if (left-- === 0) return by
    if (typeof v !== 'object' || v === null) return v
    if (Array.isArray(v)) return v.map(walk)
    return Object.fromEntries(Object.entries(v).map(([k, item]) => [k, walk(item)]))
  }
  return walk(json)
}

it('good documents with one value exchanged', () => {
  for (const good of GOOD) {
    const some = READERS.some((read) => {
      try {
        return read(good) !== null
      } catch {
        return false
      }
    })
    expect([good, some]).toEqual([good, true])
  }
  fc.assert(
    fc.property(fc.constantFrom(...GOOD), fc.nat(60), value, (good, n, by) =>
      readAll(exchanged(good, n % count(good), by)),
    ),
    { numRuns: 3000 },
  )
})
