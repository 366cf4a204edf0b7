import {
  type CniPortMapping,
  loopbackDsr,
  type NatPolicyV1,
  type OutboundNatPolicyV1,
  type OutboundNatPolicyV2,
  type PortMappingPolicyV2,
  winBridgePolicies,
  withIpMasqNetwork,
} from '@l2l3/nat'
import { parseIpv4 } from '@l2l3/switch-core/wire'
import type { HnsReadOptions, HnsSchema, Unsupported } from './common.ts'
import { type HnsEndpointPolicy, readEndpointPolicies, readEndpointPolicy } from './endpoint-policies.ts'
import { type At, refuse, shown, under } from './error.ts'
import {
  anything,
  bool,
  checkedAt,
  documentOf,
  type Field,
  host,
  listOf,
  objectOf,
  peek,
  prefix,
  shape,
  text,
  whole,
} from './shape.ts'

/*
 * Confs of the CNI plugins for Windows, win-bridge and win-overlay (modes.md 2, 4 and 22.1), alone, in a conflist, or as the delegate of
 * flannel.
 *
 *     { "type": "win-bridge", "apiVersion": 2, "policies": [{ "name": "EndpointPolicy", "value": <policy of an endpoint> }], ... }
 *     { "type": "flannel", "delegate": { "type": "win-overlay", ... } }        the subnet comes from flannel
 *     { "plugins": [ ... ] }                                                   the first of them that is one of ours
 *
 * Policies are of the schema that `apiVersion` says, 1 unless it is there. Microsoft's own plugins - wincni, and sdnbridge and sdnoverlay
 * which came of it - have no such key and hand policies to HNS as they are: there those with Settings are of the second schema, as in
 * `l2bridge.v2.conf`. `AdditionalArgs` is what `policies` was called before;
 * `HcnPolicyArgs` has policies of the second schema as they are. Policies by another name than EndpointPolicy the plugins pass over.
 *
 * What a plugin does with it when a pod is added is `cniEndpointPolicies`.
 */

/** IPAM of a conf. */
export interface CniIpam {
  /** The plugin; null: HNS gives addresses. */
  readonly type: string | null
  /** Of the first range, where the conf has ranges. */
  readonly subnet: string | null
  /** The first and last address that pods get; null: of all that the subnet has, but for its gateways. */
  readonly rangeStart: string | null
  readonly rangeEnd: string | null
  readonly routes: readonly { dst: string | null; gateway: string | null }[]
}

/** A conf of win-bridge or win-overlay. */
export interface CniConf {
  readonly plugin: 'win-bridge' | 'win-overlay'
  readonly name: string
  readonly cniVersion: string | null
  readonly schema: HnsSchema
  /** Delegated by flannel: subnet, and MTU, are its. */
  readonly byFlannel: boolean
  readonly policies: readonly HnsEndpointPolicy[]
  readonly loopbackDsr: boolean
  /** Of win-overlay: what leaves the node's subnet is translated. */
  readonly ipMasq: boolean
  /** Of win-bridge: what leaves this network is translated. */
  readonly ipMasqNetwork: string | null
  /** Of win-overlay: how MAC addresses begin, `0e:2a`. */
  readonly macPrefix: string
  readonly ipam: CniIpam
  readonly dns: {
    readonly servers: readonly string[]
    readonly search: readonly string[]
    readonly domain: string | null
  }
  readonly portMappings: readonly CniPortMapping[]
  readonly capabilities: readonly string[]
  readonly unsupported: readonly Unsupported[]
}

interface Named {
  name: string
  value: unknown
}
const named = shape<Named>({ name: text, value: anything }, ['name', 'value'])

interface PortMappingDocument {
  hostPort: number
  containerPort: number
  protocol: string
  hostIP?: string
}
const mapping = shape<PortMappingDocument>(
  { hostPort: whole(0, 65_535), containerPort: whole(1, 65_535), protocol: text, hostIP: host },
  ['hostPort', 'containerPort', 'protocol'],
)
interface RuntimeConfig {
  dns?: { servers?: string[]; searches?: string[]; options?: string[] }
  portMappings?: PortMappingDocument[]
}
const runtimeConfig = shape<RuntimeConfig>({
  dns: shape<NonNullable<RuntimeConfig['dns']>>({
    servers: listOf(host),
    searches: listOf(text),
    options: listOf(text),
  }),
  portMappings: listOf(mapping),
})
interface DnsConf {
  nameservers?: string[]
  search?: string[]
  domain?: string
  options?: string[]
}
interface IpamRange {
  subnet?: string
  rangeStart?: string
  rangeEnd?: string
}
interface IpamConf extends IpamRange {
  type?: string
  ranges?: IpamRange[][]
  routes?: { dst?: string; gw?: string }[]
}

const RANGE = { subnet: prefix, rangeStart: host, rangeEnd: host }

interface Conf {
  cniVersion?: string
  name?: string
  type: string
  capabilities?: unknown
  ipam?: IpamConf
  dns?: DnsConf
  policies?: Named[]
  AdditionalArgs?: Named[]
  HcnPolicyArgs?: unknown[]
  apiVersion?: number
  runtimeConfig?: RuntimeConfig
  loopbackDSR?: boolean
  optionalFlags?: { loopbackDSR?: boolean }
  ipMasq?: boolean
  ipMasqNetwork?: string
  endpointMacPrefix?: string
}
/** Keys of the bridge plugin and of flannel, which confs for Windows have in them and the plugins pass over. */
const PASSED: readonly string[] = [
  'prevResult',
  'args',
  'master',
  'mode',
  'bridge',
  'mtu',
  'hairpinMode',
  'isGateway',
  'isDefaultGateway',
  'forceAddress',
  'subnetFile',
  'dataDir',
  'cniVersions',
  'disableCheck',
  'disableGC',
]
const conf = shape<Conf>(
  {
    cniVersion: text,
    name: text,
    type: text,
    capabilities: anything,
    ipam: shape<IpamConf>(
      {
        type: text,
        ...RANGE,
        ranges: listOf(listOf(shape<IpamRange>(RANGE, [], { passed: ['gateway'] }))),
        routes: listOf(shape<{ dst?: string; gw?: string }>({ dst: prefix, gw: host })),
      },
      [],
      { passed: ['environment', 'gateway', 'dataDir', 'resolvConf', 'mode'] },
    ),
    dns: shape<DnsConf>({ nameservers: listOf(host), search: listOf(text), domain: text, options: listOf(text) }),
    policies: listOf(named),
    AdditionalArgs: listOf(named),
    HcnPolicyArgs: listOf(anything),
    apiVersion: whole(0, 2),
    runtimeConfig,
    loopbackDSR: bool,
    optionalFlags: shape<{ loopbackDSR?: boolean }>({ loopbackDSR: bool }, [], {
      passed: [
        ...['localRoutedPortMapping', 'allowAclPortMapping', 'forceBridgeGateway', 'enableDualStack'],
        'gatewayFromAdditionalRoutes',
      ],
    }),
    ipMasq: bool,
    ipMasqNetwork: prefix,
    endpointMacPrefix: text,
  },
  ['type'],
  { passed: PASSED },
)
interface FlannelConf {
  cniVersion?: string
  name?: string
  type: string
  capabilities?: unknown
  runtimeConfig?: unknown
  delegate: unknown
}
const flannelConf = shape<FlannelConf>(
  { cniVersion: text, name: text, type: text, capabilities: anything, runtimeConfig: anything, delegate: anything },
  ['delegate', 'type'],
  { passed: ['subnetFile', 'dataDir', 'ipam', ...PASSED] },
)
interface Conflist {
  cniVersion?: string
  name?: string
  plugins: unknown[]
}
const conflist = shape<Conflist>({ cniVersion: text, name: text, plugins: listOf(anything) }, ['plugins'], {
  passed: ['cniVersions', 'disableCheck', 'disableGC', 'loadOnlyInlinedPlugins', 'adapterName'],
})

/** What the plugins are, and were, called, without the .exe that they may have. */
const PLUGINS: Readonly<Record<string, CniConf['plugin']>> = {
  'win-bridge': 'win-bridge',
  l2bridge: 'win-bridge',
  wincni: 'win-bridge',
  sdnbridge: 'win-bridge',
  'win-overlay': 'win-overlay',
  sdnoverlay: 'win-overlay',
  overlay: 'win-overlay',
}

/** Those that hand policies to HNS as they are. */
const HANDS_ON: ReadonlySet<string> = new Set(['wincni', 'sdnbridge', 'sdnoverlay'])

/** A plugin's name as the tables have it. */
const known = (type: string): string => type.toLowerCase().replace(/\.exe$/, '')

/** The schema of a conf's policies. */
function schemaOf({ type, apiVersion, policies = [], AdditionalArgs = [] }: Conf): HnsSchema {
  if (apiVersion !== undefined || !HANDS_ON.has(known(type))) return apiVersion === 2 ? 2 : 1
  const withSettings = ({ value }: Named): boolean =>
    typeof value === 'object' &&
    value !== null &&
    peek(value as Readonly<Record<string, unknown>>, 'Settings') !== undefined
  return [...policies, ...AdditionalArgs].some(withSettings) ? 2 : 1
}

/** Reads a conf or conflist: JSON text, or what it parses to. Throws an HnsError. */
export function readCniConf(json: unknown, document = 'CNI conf', options: HnsReadOptions = {}): CniConf {
  const [at, value] = documentOf(document, json)
  const o = objectOf(at, value)
  if (peek(o, 'plugins') === undefined) return readOne(at, value, {}, options)
  const { plugins, ...more } = conflist(at, value)
  const place = under(at, 'plugins')
  const types = plugins.map((p, i) => peek(objectOf(under(place, i), p), 'type'))
  const i = types.findIndex((t) => typeof t === 'string' && (Object.hasOwn(PLUGINS, known(t)) || t === 'flannel'))
  if (i < 0) refuse(place, types, `none of the plugins is win-bridge, win-overlay or flannel: ${shown(types)}`)
  return readOne(under(place, i), plugins[i], more, options)
}

function readOne(
  at: At,
  value: unknown,
  above: { name?: string; cniVersion?: string; capabilities?: unknown; runtimeConfig?: unknown },
  options: HnsReadOptions,
): CniConf {
  const o = objectOf(at, value)
  if (peek(o, 'type') === 'flannel') {
    const { delegate, type: _type, ...more } = flannelConf(at, value)
    const inner = peek(objectOf(under(at, 'delegate'), delegate), 'type')
    if (inner === 'flannel') refuse(under(under(at, 'delegate'), 'type'), inner, 'flannel delegates to another plugin')
    return { ...readOne(under(at, 'delegate'), delegate, { ...above, ...more }, options), byFlannel: true }
  }
  const d = conf(at, value)
  const plugin = Object.hasOwn(PLUGINS, known(d.type)) ? PLUGINS[known(d.type)] : undefined
  if (plugin === undefined) {
    return refuse(under(at, 'type'), d.type, `must be win-bridge, win-overlay or flannel, not ${shown(d.type)}`)
  }
  const name = d.name ?? above.name
  if (name === undefined) return refuse(under(at, 'name'), undefined, 'is missing')
  checkPlugin(at, plugin, d)
  const schema = schemaOf(d)
  const unsupported: Unsupported[] = []
  const policies = [
    ...valuesOf(at, 'policies', d.policies, schema, unsupported, options),
    ...valuesOf(at, 'AdditionalArgs', d.AdditionalArgs, schema, unsupported, options),
    ...readEndpointPolicies(under(at, 'HcnPolicyArgs'), d.HcnPolicyArgs, 2, unsupported, options),
  ]
  const runtime = d.runtimeConfig ?? (above.runtimeConfig === undefined ? {} : runtimeConfig(at, above.runtimeConfig))
  const servers = runtime.dns?.servers ?? []
  const search = runtime.dns?.searches ?? []
  return {
    plugin,
    name,
    cniVersion: d.cniVersion ?? above.cniVersion ?? null,
    schema,
    byFlannel: false,
    policies,
    loopbackDsr: d.loopbackDSR ?? d.optionalFlags?.loopbackDSR ?? false,
    ipMasq: d.ipMasq ?? false,
    ipMasqNetwork: d.ipMasqNetwork ?? null,
    macPrefix: (d.endpointMacPrefix ?? '0E-2A').toLowerCase().replace('-', ':'),
    ipam: {
      type: d.ipam?.type ?? null,
      ...rangeOf(d.ipam ?? {}),
      routes: (d.ipam?.routes ?? []).map((r) => ({ dst: r.dst ?? null, gateway: r.gw ?? null })),
    },
    dns: {
      // What the runtime says counts.
      servers: servers.length > 0 ? servers : (d.dns?.nameservers ?? []),
      search: search.length > 0 ? search : (d.dns?.search ?? []),
      domain: d.dns?.domain ?? null,
    },
    portMappings: (runtime.portMappings ?? []).map(({ hostIP, ...m }) => ({
      ...m,
      ...(hostIP === undefined ? {} : { hostIP }),
    })),
    capabilities: capabilitiesOf(at, d.capabilities ?? above.capabilities),
    unsupported,
  }
}

/** Where pods' addresses are from: the conf's own range, or the first of its list. */
function rangeOf(ipam: IpamConf): Pick<CniIpam, 'subnet' | 'rangeStart' | 'rangeEnd'> {
  const range = ipam.subnet === undefined ? (ipam.ranges?.[0]?.[0] ?? {}) : ipam
  const { subnet = null, rangeStart = null, rangeEnd = null } = range
  return { subnet, rangeStart, rangeEnd }
}

function checkPlugin(at: At, plugin: CniConf['plugin'], d: Conf): void {
  if (plugin === 'win-overlay' && d.ipMasqNetwork !== undefined) {
    refuse(under(at, 'ipMasqNetwork'), d.ipMasqNetwork, 'is a key of win-bridge; win-overlay has ipMasq')
  }
  if (plugin === 'win-bridge' && d.endpointMacPrefix !== undefined) {
    refuse(under(at, 'endpointMacPrefix'), d.endpointMacPrefix, 'is a key of win-overlay')
  }
  const wrong = d.endpointMacPrefix !== undefined && !/^[\da-f]{2}-[\da-f]{2}$/i.test(d.endpointMacPrefix)
  if (wrong)
    refuse(under(at, 'endpointMacPrefix'), d.endpointMacPrefix, `must be xx-xx, not ${shown(d.endpointMacPrefix)}`)
}

function valuesOf(
  at: At,
  key: string,
  list: readonly Named[] | undefined,
  schema: HnsSchema,
  unsupported: Unsupported[],
  options: HnsReadOptions,
): HnsEndpointPolicy[] {
  return (list ?? []).flatMap(({ name, value }, i) => {
    if (name.toLowerCase() !== 'endpointpolicy') return []
    const place = under(under(under(at, key), i), 'value')
    const o = objectOf(place, value)
    if (schema === 2 && peek(o, 'Settings') === undefined && Object.keys(o).length > 1) {
      refuse(place, value, 'is a policy of the first schema, and those of the conf are of the second')
    }
    const policy = readEndpointPolicy(place, value, schema, unsupported, options)
    return policy === null ? [] : [policy]
  })
}

/** The capabilities that a conf declares. */
const capabilitiesOf: Field<string[]> = (at, value) => {
  if (value === undefined) return []
  const place = under(at, 'capabilities')
  return Object.entries(objectOf(place, value)).flatMap(([key, on]) => (bool(under(place, key), on) ? [key] : []))
}

/** What is known when a pod is added. */
export interface CniPod {
  /** The pod's address. */
  readonly address: string
  /** The node's address on the underlay: HNS' management address. */
  readonly providerAddress?: string
  /** The prefix of the node's subnet. */
  readonly subnet?: string
}

/**
 * The policies that the plugin gives to HNS when it adds a pod: those of the conf; the translation of `ipMasq` or `ipMasqNetwork`; of
 * win-overlay the provider address, where the conf has none; port mappings; loopback DSR last (modes.md 2.3 and 4.1).
 */
export function cniEndpointPolicies(c: CniConf, pod: CniPod, document = 'CNI conf'): HnsEndpointPolicy[] {
  const at = { document, path: '$' }
  const added = (
    policy: OutboundNatPolicyV1 | OutboundNatPolicyV2 | NatPolicyV1 | PortMappingPolicyV2,
  ): HnsEndpointPolicy =>
    policy.Type === 'OutBoundNAT'
      ? { kind: 'outbound-nat', policy, path: '$' }
      : { kind: 'port-mapping', policy, path: '$' }
  const policies = [...c.policies]
  if (c.plugin === 'win-overlay') {
    if (pod.address.includes(':')) refuse(at, pod.address, `win-overlay has no IPv6: ${pod.address}`)
    if (pod.providerAddress !== undefined && !policies.some((p) => p.kind === 'provider-address')) {
      policies.push({ kind: 'provider-address', address: pod.providerAddress, path: '$' })
    }
  }
  const network = c.plugin === 'win-bridge' ? c.ipMasqNetwork : c.ipMasq ? (pod.subnet ?? null) : null
  if (network !== null) {
    const now = policies.flatMap((p) => (p.kind === 'outbound-nat' ? [p.policy] : []))
    const then = withIpMasqNetwork(now, network, c.schema)
    policies.push(...then.slice(now.length).map(added))
  }
  policies.push(...winBridgePolicies(c.portMappings, c.schema).map(added))
  if (c.loopbackDsr) policies.push(checkedAt(at, pod.address, () => added(loopbackDsr(pod.address, c.schema))))
  return policies
}

/** The MAC address of an overlay endpoint: the prefix, and its IPv4 address (modes.md 4.1). Throws a TypeError for what is no IPv4 address.
 * @param macPrefix two bytes, `0e:2a` */
export function overlayMac(address: string, macPrefix = '0e:2a'): string {
  const a = parseIpv4(address)
  const bytes = [24, 16, 8, 0].map((shift) => ((a >>> shift) & 255).toString(16).padStart(2, '0'))
  return [macPrefix, ...bytes].join(':')
}
