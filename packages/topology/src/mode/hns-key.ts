import {
  type CniConf,
  type CreatedEndpoint,
  type CreatedLoadBalancer,
  type CreatedNetwork,
  checkHnsHost,
  cniEndpointPolicies,
  Hns,
  HnsError,
  type HnsNetworkType,
  type HnsPlan,
  hnsPlan,
  overlayMac,
  type PlannedEndpoint,
  readCniConf,
} from '@l2l3/modes/hns'
import { formatWords, parsePrefix } from '@l2l3/switch-core'
import type { Path } from '../document.ts'
import { AddressPlan } from '../ipam/plan.ts'
import type { Expanding, RawNode, Schema } from '../mode.ts'
import { cniSource, runtimeKey } from './cni-key.ts'

/*
 * The node keys `hns` and `cni` of Windows' modes: documents of HNS and HCN, or a conf of win-bridge or win-overlay, in place of the
 * mode's own keys. What they say becomes those keys before ports are read (`Mode.expand`).
 *
 *     hns: node1.json                              a file beside the topology's, or what would stand in it:
 *     hns:
 *       networks: [{ Name: cbr0, Type: L2Bridge, Subnets: [...] }]
 *       endpoints: { web: { IPAddress: 10.244.3.5, Policies: [...] } }      by the name of the node's endpoint
 *       loadBalancers: [{ HostComputeEndpoints: [web], ... }]               endpoints by ID or by name
 *
 *     cni: 10-cbr0.conf                            pods get addresses of ipam.subnet, from .3 on, and the conf's policies
 *
 * What no document says stays a key of the file: the host, its adapter, its routes. Keys of the file count where both say something.
 */

/** Schemas of both keys. */
export const hnsKeys: { readonly hns: Schema; readonly cni: Schema } = {
  hns: {
    type: ['string', 'object'],
    description:
      "Documents of HNS or HCN: a file's name, beside the topology's, or networks, endpoints by name, and loadBalancers. In place of " +
      'keys of its own the node and its endpoints have what they say.',
    properties: {
      networks: { type: 'array', items: { type: 'object' }, description: 'Networks, in either schema.' },
      endpoints: {
        type: 'object',
        additionalProperties: { type: 'object' },
        description: 'Endpoints, in either schema, by the name of an endpoint of the node, or remote ones.',
      },
      loadBalancers: {
        type: 'array',
        items: { type: 'object' },
        description: 'Load balancers, in either schema. Their endpoints are IDs, or names of `endpoints`.',
      },
    },
    additionalProperties: false,
  },
  cni: {
    type: ['string', 'object'],
    description:
      "A conf of win-bridge or win-overlay: a file's name, beside the topology's, or what stands in it. Pods have its policies, and " +
      'addresses of its ipam.subnet where they have none.',
  },
}

/** The key of a pod beside `cni`. */
export const hnsPodKeys: { readonly runtimeConfig: Schema } = { runtimeConfig: runtimeKey }

/** Keys that a mode makes of a plan. */
export interface HnsKeys {
  /** Types of network that it is. */
  readonly types: readonly HnsNetworkType[]
  /** Node keys; `raw` has those of the file. */
  node(plan: HnsPlan, raw: RawNode): Readonly<Record<string, unknown>>
  /** The host's addresses, as the file has them; none: it does not say. */
  host(raw: RawNode): readonly string[]
  /** Endpoint keys. */
  pod(planned: PlannedEndpoint): Readonly<Record<string, unknown>>
}

type Documents = {
  networks?: object[]
  endpoints?: Record<string, object>
  loadBalancers?: object[]
}

/** Reads the keys `hns` and `cni` of a node, and makes a node with the mode's own keys of it. What is wrong is reported by file and JSON
 * path, or at the place in the topology's file. */
export function expandHns(raw: RawNode, at: Expanding, keys: HnsKeys): RawNode {
  const { hns, cni, endpoints = {}, ...rest } = raw
  if (hns === undefined && cni === undefined) {
    for (const [name, pod] of Object.entries(endpoints)) {
      if (pod?.runtimeConfig !== undefined)
        at.report(['endpoints', name, 'runtimeConfig'], 'needs the key "cni"', 'key')
    }
    return raw
  }
  if (hns !== undefined && cni !== undefined) {
    at.report(['cni'], 'stands for the endpoints that "hns" has: one of both', 'key')
    return { ...rest, endpoints }
  }
  const key = hns === undefined ? 'cni' : 'hns'
  const source = cniSource(hns ?? cni, {
    ...at,
    report: ([, ...path], message, where) => at.report([key, ...path], message, where),
  })
  if (source === null) return { ...rest, endpoints: plain(endpoints) }
  const place: Place = { key, from: source.from, at }
  const plan = hns === undefined ? planOfConf(source.value, raw, place, keys) : planOf(source.value, place)
  if (plan === null) return { ...rest, endpoints: plain(endpoints) }
  if (plan.networks.length === 0) {
    say(place, '$', 'there is no network: the key "networks"')
    return { ...rest, endpoints: plain(endpoints) }
  }
  if (plan.type !== null && !keys.types.includes(plan.type)) {
    say(place, '$', `a network of type ${plan.type}: mode ${raw.mode} is ${keys.types.join(' or ')}`)
    return { ...rest, endpoints: plain(endpoints) }
  }
  noteIdle(place, plan)
  const pods = Object.entries(plain(endpoints)).map(([name, own]) => {
    const planned = plan.endpoints.find((p) => p.endpoint.name === name && !p.endpoint.remote)
    if (planned === undefined) {
      at.report(['endpoints', name], `${source.from === '' ? `"${key}"` : source.from} has no endpoint ${name}`, 'key')
      return [name, own]
    }
    const ip = planned.endpoint.addresses.map(
      (a) => `${a.address}/${a.prefixLength ?? (a.address.includes(':') ? 128 : 32)}`,
    )
    const { mtu } = planned
    return [name, { ip, mac: planned.endpoint.mac, ...(mtu === null ? {} : { mtu }), ...keys.pod(planned), ...own }]
  })
  let made: Readonly<Record<string, unknown>> = {}
  try {
    checkHnsHost(plan, keys.host(raw))
    made = keys.node(plan, raw)
  } catch (error) {
    caught(place, documentOf(error, plan.networks) ?? '$', error)
  }
  return { ...rest, ...made, ...stated(rest), endpoints: Object.fromEntries(pods) }
}

interface Place {
  readonly key: 'hns' | 'cni'
  /** The file; '' where the documents stand in the topology's. */
  readonly from: string
  readonly at: Expanding
}

/** Reports what a document has that cannot be, by its JSON path. */
function say({ key, from, at }: Place, path: string, message: string): void {
  if (from !== '') at.report([key], `${from}: ${path}: ${message}`)
  else at.report([key, ...stepsOf(path)], message)
}

/** Notes what documents have and what changes nothing. */
function noteIdle({ key, from, at }: Place, { networks, endpoints }: HnsPlan): void {
  const note = (document: string, { withoutEffect }: CreatedNetwork | CreatedEndpoint): void => {
    for (const { path, what, why } of withoutEffect) {
      at.note(`${from === '' ? key : from}: ${path.replace(/^\$/, document)}: ${what} changes nothing: ${why}`)
    }
  }
  networks.forEach((network, i) => {
    note(`$.networks[${i}]`, network)
  })
  for (const { endpoint } of endpoints) note(`$.endpoints.${endpoint.name}`, endpoint)
}

function caught(place: Place, prefix: string, error: unknown): null {
  if (!(error instanceof HnsError)) throw error
  const own = error.path.replace(/^\$/, prefix)
  say(place, own, error.message.slice(`${error.document}: ${error.path}: `.length))
  return null
}

function planOf(value: string | object, place: Place): HnsPlan | null {
  let documents: Documents
  try {
    documents = (typeof value === 'string' ? JSON.parse(value) : value) as Documents
  } catch (error) {
    say(place, '$', `is not JSON: ${(error as Error).message}`)
    return null
  }
  const wrong = shapeOf(documents)
  if (wrong !== null) {
    say(place, ...wrong)
    return null
  }
  const { networks = [], endpoints = {}, loadBalancers = [] } = documents
  const hns = new Hns()
  const made: CreatedEndpoint[] = []
  let where = '$'
  try {
    networks.forEach((json, i) => {
      where = `$.networks[${i}]`
      hns.createNetwork(json, where)
    })
    for (const [name, json] of Object.entries(endpoints)) {
      where = `$.endpoints.${name}`
      const named = { ...json, Name: name }
      const network = networkOf(hns, json)
      if (network === undefined) throw new HnsError({ document: where, path: '$' }, json, 'there is no network for it')
      made.push(hns.createEndpoint(network.id, named, where))
    }
    loadBalancers.forEach((json, i) => {
      where = `$.loadBalancers[${i}]`
      hns.createLoadBalancer(withIds(json, made), where)
    })
    where = '$'
    return hnsPlan({
      networks: hns.listNetworks(),
      endpoints: hns.listEndpoints(),
      loadBalancers: hns.listLoadBalancers(),
    })
  } catch (error) {
    return caught(place, documentOf(error, hns.listNetworks(), hns.listLoadBalancers()) ?? where, error)
  }
}

/** What is wrong with the shape of documents of a file, which no schema has looked at, by its path; null: nothing. */
function shapeOf(documents: unknown): [path: string, message: string] | null {
  const isObject = (value: unknown): value is object =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
  if (!isObject(documents)) return ['$', 'must be an object with networks, endpoints and loadBalancers']
  for (const [key, value] of Object.entries(documents)) {
    const list = key === 'networks' || key === 'loadBalancers'
    if (!list && key !== 'endpoints') {
      return [`$.${key}`, `unknown key ${JSON.stringify(key)}: there are networks, endpoints and loadBalancers`]
    }
    if (list ? !Array.isArray(value) : !isObject(value)) return [`$.${key}`, `must be ${list ? 'a list' : 'an object'}`]
    for (const [at, one] of Object.entries(value as object)) {
      if (!isObject(one)) return [list ? `$.${key}[${at}]` : `$.${key}.${at}`, 'must be an object']
    }
  }
  return null
}

/** Where the document stands that a plan complains of. */
function documentOf(
  error: unknown,
  networks: readonly CreatedNetwork[],
  balancers: readonly CreatedLoadBalancer[] = [],
): string | null {
  if (!(error instanceof HnsError)) return null
  const [, what, name] = /^(network|endpoint|load balancer) (.*)$/.exec(error.document) ?? []
  if (what === 'endpoint') return `$.endpoints.${name}`
  if (what === 'network') return `$.networks[${networks.findIndex((n) => (n.name ?? n.id) === name)}]`
  if (what !== undefined) return `$.loadBalancers[${balancers.findIndex((b) => b.id === name)}]`
  return null
}

/** The network that an endpoint names, by ID or name; without one the first. */
function networkOf(hns: Hns, json: object): CreatedNetwork | undefined {
  const value = (wanted: string): unknown => {
    const key = Object.keys(json).find((k) => k.toLowerCase() === wanted)
    return key === undefined ? undefined : (json as Record<string, unknown>)[key]
  }
  const id = value('virtualnetwork') ?? value('hostcomputenetwork')
  if (typeof id === 'string') return hns.getNetwork(id) ?? undefined
  const name = value('virtualnetworkname')
  return typeof name === 'string' ? (hns.getNetworkByName(name) ?? undefined) : hns.listNetworks()[0]
}

/** A load balancer's document with IDs in place of names of endpoints. */
function withIds(json: object, endpoints: readonly CreatedEndpoint[]): object {
  const idOf = (text: unknown): unknown => {
    const name = String(text).replace(/^\/?endpoints\//i, '')
    return endpoints.find((e) => e.name === name)?.id ?? text
  }
  return Object.fromEntries(
    Object.entries(json).map(([key, value]) => {
      const lists = ['hostcomputeendpoints', 'references'].includes(key.toLowerCase()) && Array.isArray(value)
      return [key, lists ? value.map(idOf) : value]
    }),
  )
}

/** What a conf of win-bridge or win-overlay makes of the node's pods. */
function planOfConf(value: string | object, raw: RawNode, place: Place, keys: HnsKeys): HnsPlan | null {
  const pods = Object.entries(raw.endpoints ?? {})
  try {
    const conf = readCniConf(value, 'conf')
    const overlay = conf.plugin === 'win-overlay'
    const type = overlay ? 'Overlay' : keys.types.includes('L2Tunnel') ? 'L2Tunnel' : 'L2Bridge'
    if (!keys.types.includes(type)) {
      say(place, '$.type', `${conf.plugin} makes endpoints of networks of type ${type}: not of mode ${raw.mode}`)
      return null
    }
    const { subnet } = conf.ipam
    const network = networkOfConf(conf.name, type, subnet, raw)
    const plan = subnet === null ? null : planIn(subnet, conf.ipam)
    const macs = new Set<string>()
    for (const [name, pod] of pods) {
      for (const ip of [pod?.ip ?? []].flat()) {
        try {
          plan?.take(String(ip).split('/')[0] as string)
        } catch (error) {
          place.at.report(['endpoints', name, 'ip'], (error as Error).message)
          return null
        }
      }
    }
    const endpoints = pods.flatMap(([name, pod], i): CreatedEndpoint[] => {
      const own = withRuntime(value, pod?.runtimeConfig)
      const ips = [pod?.ip ?? (plan === null ? [] : nextOf(plan, subnet as string))].flat()
      const [address, length] = (ips[0] ?? '').split('/')
      if (address === undefined || address === '') {
        place.at.report(['endpoints', name], 'has no address: the key "ip", or ipam.subnet of the conf', 'key')
        return []
      }
      const provider = providerOf(raw)
      const policies = cniEndpointPolicies(readCniConf(own, 'conf'), {
        address,
        ...(provider === undefined ? {} : { providerAddress: provider }),
        ...(subnet === null ? {} : { subnet }),
      })
      const mac = overlay ? overlayMac(address, conf.macPrefix) : freeMac(address, macs)
      return [
        {
          ...{ schema: conf.schema, id: `${name} ${i}`, name, network: network.id, networkName: network.name },
          ...{ namespace: null, mac, routes: [], dns: { ...conf.dns, options: [] }, policies, attachedTo: null },
          addresses: ips.map((ip) => ({
            address: ip.split('/')[0] as string,
            prefixLength: Number(ip.split('/')[1] ?? length),
          })),
          ...{ remote: false, isolated: false, dhcp: false, flags: 0, withoutEffect: [], unsupported: [] },
        },
      ]
    })
    return hnsPlan({ networks: [network], endpoints, loadBalancers: [] satisfies CreatedLoadBalancer[] })
  } catch (error) {
    return caught(place, '$', error)
  }
}

/** Addresses for pods of a subnet: of the conf's range, or from the third on. Throws an HnsError for a subnet that has none. */
function planIn(subnet: string, { rangeStart, rangeEnd }: CniConf['ipam']): AddressPlan {
  const at = { document: 'conf', path: '$.ipam.subnet' }
  if (subnet.includes(':'))
    throw new HnsError(at, subnet, `${subnet}: of IPv6 no addresses are given out here: the key "ip"`)
  try {
    return new AddressPlan([
      [{ subnet, rangeStart: rangeStart ?? third(subnet), ...(rangeEnd === null ? {} : { rangeEnd }) }],
    ])
  } catch (error) {
    throw new HnsError(at, subnet, (error as Error).message)
  }
}

/** The next address of a plan. Throws an HnsError where there is none. */
function nextOf(plan: AddressPlan, subnet: string): string[] {
  try {
    return plan.add().map((a) => a.address)
  } catch (error) {
    throw new HnsError({ document: 'conf', path: '$.ipam.subnet' }, subnet, (error as Error).message)
  }
}

/** The network that the plugin expects to be there: of an overlay it is the node's own, which flannel or who else has made. */
function networkOfConf(name: string, type: HnsNetworkType, subnet: string | null, raw: RawNode): CreatedNetwork {
  const { vni = 4096 } = (Object.values((raw.networks as Record<string, { vni?: number }>) ?? {})[0] ?? {}) as {
    vni?: number
  }
  const gateway = subnet === null ? null : first(subnet)
  return new Hns().createNetwork({
    ...{ Name: name, Type: type },
    Subnets:
      subnet === null
        ? []
        : [
            {
              ...{ AddressPrefix: subnet, GatewayAddress: gateway },
              ...(type === 'Overlay' ? { Policies: [{ Type: 'VSID', VSID: vni }] } : {}),
            },
          ],
  })
}

/** The node's address on the underlay, as the file has it. */
function providerOf(raw: RawNode): string | undefined {
  const { ip } = (raw.uplink ?? {}) as { ip?: string | string[] }
  return [ip ?? []]
    .flat()
    .find((text) => !text.includes(':'))
    ?.split('/')[0]
}

/** The address that is the n-th of a subnet. */
function nth(subnet: string, n: number): string {
  const { words } = parsePrefix(subnet)
  const last = words.length - 1
  return formatWords(words.map((word, i) => (i === last ? word + n : word)))
}
const first = (subnet: string): string => nth(subnet, 1)
const third = (subnet: string): string => nth(subnet, 3)

/** A MAC of Hyper-V's range that ends as the address does, or the next one that no pod of the conf has. */
function freeMac(address: string, taken: Set<string>): string {
  const { words } = parsePrefix(address)
  for (let n = words[words.length - 1] as number; ; n++) {
    const mac = `00:15:5d:${[16, 8, 0].map((shift) => ((n >>> shift) & 255).toString(16).padStart(2, '0')).join(':')}`
    if (taken.has(mac)) continue
    taken.add(mac)
    return mac
  }
}

function withRuntime(value: string | object, runtimeConfig: unknown): string | object {
  if (runtimeConfig === undefined) return value
  const conf = (typeof value === 'string' ? JSON.parse(value) : value) as Record<string, unknown>
  const { delegate, plugins } = conf as { delegate?: object; plugins?: object[] }
  if (plugins !== undefined) return { ...conf, plugins: plugins.map((p) => withRuntime(p, runtimeConfig)) }
  return delegate === undefined ? { ...conf, runtimeConfig } : { ...conf, delegate: { ...delegate, runtimeConfig } }
}

/** Endpoints without what only a runtime says. */
function plain(endpoints: NonNullable<RawNode['endpoints']>): NonNullable<RawNode['endpoints']> {
  return Object.fromEntries(
    Object.entries(endpoints).map(([name, pod]) => {
      const { runtimeConfig: _, ...own } = pod ?? {}
      return [name, own]
    }),
  )
}

/** What the file says for itself, and counts. */
function stated({ mode: _, uplink: _u, ports: _p, ...own }: Record<string, unknown>): Record<string, unknown> {
  return own
}

/** `$.endpoints.web.Policies[0]` as a path. */
function stepsOf(path: string): Path {
  return [...path.replace(/^\$\.?/, '').matchAll(/[^.[\]"]+/g)].map(([part]) =>
    /^\d+$/.test(part) ? Number(part) : part,
  )
}

/** OutBoundNAT policies as the modes' key has them. */
export function rawOutboundNat({ outboundNat }: PlannedEndpoint): object[] {
  return outboundNat.map((policy) => {
    const s = 'Settings' in policy ? policy.Settings : policy
    const virtualIp = 'VirtualIP' in s ? s.VirtualIP : 'VIP' in s ? s.VIP : undefined
    const exceptions = 'Exceptions' in s ? s.Exceptions : 'ExceptionList' in s ? s.ExceptionList : undefined
    const { Destinations: destinations, MaxPortPoolUsage: most } = s
    return {
      ...(exceptions === undefined || exceptions.length === 0 ? {} : { exceptions }),
      ...(destinations === undefined || destinations.length === 0 ? {} : { destinations }),
      ...(virtualIp === undefined || virtualIp === '' ? {} : { virtualIp }),
      ...(most === undefined || most === 0 ? {} : { maxPortPoolUsage: most }),
    }
  })
}

const NAMES: Readonly<Record<number, string>> = { 6: 'tcp', 17: 'udp', 132: 'sctp' }

/** Port mappings as the modes' key has them, without `to`. */
export function rawMappings({ portMappings }: PlannedEndpoint): { port: number; protocol: string }[] {
  return portMappings.map(({ protocol, port, toPort, address }) => ({
    ...{ protocol: NAMES[protocol as number] ?? String(protocol), port: port as number },
    ...(toPort === undefined ? {} : { toPort }),
    ...(address === undefined ? {} : { hostIp: address }),
  }))
}

/** Services as the modes' key has them. */
export function rawServices(services: HnsPlan['services']): Record<string, object> {
  return Object.fromEntries(
    services.map(({ service: { name, backends = [], ...rest } }) => {
      return [name, { ...rest, backends: backends.map(({ address, ...more }) => ({ ...more, to: address })) }]
    }),
  )
}
