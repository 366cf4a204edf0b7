import { checkRange, formatWords } from '@l2l3/switch-core'
import { readHost } from '../outbound/prefix-set.ts'
import { IPV6, Proto } from '../tuple.ts'
import { MAX_LOTS, mix } from './rendezvous.ts'

/*
 * What a service is, as configuration says it. The words are those of Kubernetes' Service and EndpointSlice; one service
 * here is one port of a Service there, as for kube-proxy.
 */

/** What a service is spoken to with. */
export type ServiceProtocol = 'tcp' | 'udp' | 'sctp'

/** Which backends traffic may go to: all, or those on this node. */
export type TrafficPolicy = 'Cluster' | 'Local'

/**
 * What decides where a flow goes: HNS' distribution types (modes.md 16).
 *
 *     5-tuple             every connection for itself (0, none)
 *     source-ip-protocol  all connections of a client with this protocol go to one backend (1)
 *     source-ip           all connections of a client do (2; `sessionAffinity: ClientIP`)
 */
export type Distribution = '5-tuple' | 'source-ip-protocol' | 'source-ip'

/** What happens to a packet for a service that has no backend for it. */
export type Empty = 'reject' | 'drop' | 'pass'

/** What happens to the flows of a backend that is taken out: they stay until they end; those of protocols without a
 * connection are ended (UDP: nobody would notice that it answers no more); or all are. */
export type WhenRemoved = 'keep' | 'end-udp' | 'end'

/** A backend: an endpoint of a service. */
export interface BackendOptions {
  /** IPv4 or IPv6. */
  address: string
  /** 1 to 65,535. */
  port: number
  /** Whether it is on this node. Default false. */
  local?: boolean
  /** Its share of the flows beside those of others: 0 to 4,096, 0 for none. Default 1. */
  weight?: number
  /** On its way out (Kubernetes: serving and terminating): its flows go on, and it gets new ones only where all backends
   * that could have them are so. Default false. */
  draining?: boolean
}

/** A service: one port of it. */
export interface ServiceOptions {
  /** Unique: `default/web:http`. */
  name: string
  /** Default `tcp`. */
  protocol?: ServiceProtocol
  /** Where it listens on `clusterIps`, `externalIps` and `loadBalancerIps`; 1 to 65,535. */
  port: number
  /** Addresses for inside the cluster; of either family, or both. */
  clusterIps?: readonly string[]
  /** Addresses that lead here from outside, by whatever means. */
  externalIps?: readonly string[]
  /** Addresses that a load balancer in front of the cluster leads here. */
  loadBalancerIps?: readonly string[]
  /** Port on all addresses of the node, of the families of `clusterIps`, or both where there are none; 1 to 65,535.
   * Default: none. */
  nodePort?: number
  backends?: readonly BackendOptions[]
  /** Default `5-tuple`. */
  distribution?: Distribution
  /** Seconds after its last new connection for which a client is remembered, 0 to 86,400; only with `source-ip` and
   * `source-ip-protocol`. 0: it is not, and goes where the hash says, which holds while the backends stay the same.
   * Default 10,800 with style `linux`, 0 with `windows`. */
  affinityTimeout?: number
  /** Of what comes to `externalIps`, `loadBalancerIps` and `nodePort`. Default `Cluster`. */
  externalTrafficPolicy?: TrafficPolicy
  /** Of what comes to `clusterIps`. Default `Cluster`. */
  internalTrafficPolicy?: TrafficPolicy
  /** Direct server return: the backend sees the client's own address. Default: as the balancer's. */
  dsr?: boolean
  /** Packets to `externalIps` and `loadBalancerIps` are routed to a backend on this node as they are, which has the
   * service's address for one of its own. Default false. */
  preserveDestination?: boolean
  /** Default: as the balancer's. */
  empty?: Empty
  /** 0 to 65,535: the network whose packets it is for. Default 0. */
  zone?: number
}

/** A backend that was read. */
export interface ReadBackend {
  /** The address: one word, or four. */
  readonly words: Uint32Array
  readonly port: number
  readonly local: boolean
  readonly weight: number
  readonly draining: boolean
  /** 32 bits of its own for the drawing of lots. */
  readonly salt: number
  /** Address and port as text, in one form. */
  readonly key: string
}

/** Where a service may be reached. */
export type FrontendKind = 'ClusterIP' | 'ExternalIP' | 'LoadBalancer' | 'NodePort'

/** A frontend that was read. */
export interface ReadFrontend {
  readonly kind: FrontendKind
  /** One word, or four; none for a node port. */
  readonly words: Uint32Array
  /** 4 or 6. */
  readonly family: 4 | 6
  readonly port: number
}

/** A service that was read: nothing is left out. */
export interface ReadService {
  readonly name: string
  readonly protocol: ServiceProtocol
  readonly frontends: readonly ReadFrontend[]
  readonly backends: readonly ReadBackend[]
  readonly distribution: Distribution
  /** Nanoseconds; 0: clients are not remembered. */
  readonly affinity: number
  readonly externalLocal: boolean
  readonly internalLocal: boolean
  readonly dsr: boolean
  readonly preserve: boolean
  readonly empty: Empty
  readonly zone: number
}

/** What the balancer says where a service says nothing. */
export interface ServiceDefaults {
  readonly dsr: boolean
  readonly empty: Empty
  /** Seconds. */
  readonly affinityTimeout: number
  readonly maxBackends: number
  /** Whether all backends must listen on the same port. */
  readonly onePort: boolean
}

const SERVICE_KEYS = [
  ...[
    'name',
    'protocol',
    'port',
    'clusterIps',
    'externalIps',
    'loadBalancerIps',
    'nodePort',
    'backends',
    'distribution',
  ],
  ...[
    'affinityTimeout',
    'externalTrafficPolicy',
    'internalTrafficPolicy',
    'dsr',
    'preserveDestination',
    'empty',
    'zone',
  ],
]
const BACKEND_KEYS = ['address', 'port', 'local', 'weight', 'draining']

const PROTOCOLS: Readonly<Record<ServiceProtocol, number>> = { tcp: Proto.Tcp, udp: Proto.Udp, sctp: Proto.Sctp }

/** The `kind` word of packets to a service. */
export function kindOf(protocol: ServiceProtocol, family: 4 | 6, zone: number): number {
  return ((zone << 16) | (family === 6 ? IPV6 : 0) | PROTOCOLS[protocol]) >>> 0
}

/** Checks that `value` is one of `choices`; throws a TypeError with key and value. */
export function oneOf<T extends string>(key: string, value: unknown, choices: readonly T[]): T {
  if (choices.includes(value as T)) return value as T
  throw new TypeError(`${key} must be one of ${choices.join(', ')}, not ${JSON.stringify(value)}`)
}

/** Checks that `o` is an object with no other keys than these; throws a TypeError with `key`. */
export function checkKeys(key: string, o: unknown, known: readonly string[]): void {
  if (typeof o !== 'object' || o === null || Array.isArray(o)) {
    throw new TypeError(`${key} must be an object with settings, not ${JSON.stringify(o)}`)
  }
  for (const k of Object.keys(o))
    if (!known.includes(k)) throw new TypeError(`${key}: unknown key ${JSON.stringify(k)}`)
}

/** The list that `value` is, an empty one where it is left out; throws a TypeError with key and value. */
export function list<T>(key: string, value: readonly T[] | undefined): readonly T[] {
  if (value !== undefined && !Array.isArray(value)) {
    throw new TypeError(`${key} must be a list, not ${JSON.stringify(value)}`)
  }
  return value ?? []
}

/** Checks that `value` is true or false; throws a TypeError with key and value. */
export function flag(key: string, value: unknown): boolean {
  if (typeof value !== 'boolean') throw new TypeError(`${key} must be true or false, not ${JSON.stringify(value)}`)
  return value
}

/** Reads a service. Throws a TypeError or RangeError with key and value. */
export function readService(o: ServiceOptions, defaults: ServiceDefaults): ReadService {
  checkKeys(typeof o?.name === 'string' ? `service ${o.name}` : 'a service', o, SERVICE_KEYS)
  if (typeof o.name !== 'string' || o.name === '') {
    throw new TypeError(`name of a service must be some text, not ${JSON.stringify(o.name)}`)
  }
  const key = `service ${o.name}`
  const distribution = oneOf(`${key}: distribution`, o.distribution ?? '5-tuple', [
    '5-tuple',
    'source-ip-protocol',
    'source-ip',
  ])
  if (distribution === '5-tuple' && o.affinityTimeout !== undefined) {
    throw new TypeError(`${key}: affinityTimeout ${o.affinityTimeout} says nothing with distribution 5-tuple`)
  }
  const seconds = distribution === '5-tuple' ? 0 : (o.affinityTimeout ?? defaults.affinityTimeout)
  const backends = readBackends(key, o.backends ?? [], defaults)
  const frontends = readFrontends(key, o)
  return {
    name: o.name,
    protocol: oneOf(`${key}: protocol`, o.protocol ?? 'tcp', ['tcp', 'udp', 'sctp']),
    frontends,
    backends,
    distribution,
    affinity: checkRange(`${key}: affinityTimeout`, seconds, 0, 86_400) * 1e9,
    externalLocal: readPolicy(`${key}: externalTrafficPolicy`, o.externalTrafficPolicy),
    internalLocal: readPolicy(`${key}: internalTrafficPolicy`, o.internalTrafficPolicy),
    dsr: flag(`${key}: dsr`, o.dsr ?? defaults.dsr),
    preserve: flag(`${key}: preserveDestination`, o.preserveDestination ?? false),
    empty: oneOf(`${key}: empty`, o.empty ?? defaults.empty, ['reject', 'drop', 'pass']),
    zone: checkRange(`${key}: zone`, o.zone ?? 0, 0, 0xffff),
  }
}

function readPolicy(key: string, policy: TrafficPolicy | undefined): boolean {
  return oneOf(key, policy ?? 'Cluster', ['Cluster', 'Local']) === 'Local'
}

function readFrontends(key: string, o: ServiceOptions): ReadFrontend[] {
  const port = checkRange(`${key}: port`, o.port, 1, 0xffff)
  const read: ReadFrontend[] = []
  const take = (kind: FrontendKind, name: string, addresses: readonly string[] | undefined) => {
    list(`${key}: ${name}`, addresses).forEach((text, i) => {
      const words = readHost(`${key}: ${name}[${i}]`, text)
      read.push({ kind, words, family: words.length === 1 ? 4 : 6, port })
    })
  }
  take('ClusterIP', 'clusterIps', o.clusterIps)
  take('ExternalIP', 'externalIps', o.externalIps)
  take('LoadBalancer', 'loadBalancerIps', o.loadBalancerIps)
  if (o.nodePort !== undefined) {
    const nodePort = checkRange(`${key}: nodePort`, o.nodePort, 1, 0xffff)
    const families = new Set(read.filter((front) => front.kind === 'ClusterIP').map((front) => front.family))
    for (const family of [4, 6] as const) {
      if (families.size > 0 && !families.has(family)) continue
      read.push({ kind: 'NodePort', words: new Uint32Array(0), family, port: nodePort })
    }
  }
  if (read.length === 0) {
    throw new TypeError(`${key} can be reached nowhere: clusterIps, externalIps, loadBalancerIps or nodePort is needed`)
  }
  return read
}

/** Reads a list of backends and checks what holds of all of them together. */
export function readBackends(key: string, given: readonly BackendOptions[], limits: ServiceDefaults): ReadBackend[] {
  const backends = list(`${key}: backends`, given).map((backend, i) => readBackend(`${key}: backends[${i}]`, backend))
  const seen = new Set<string>()
  for (const b of backends) {
    if (seen.has(b.key)) throw new RangeError(`${key}: backend ${b.key} is there twice`)
    seen.add(b.key)
  }
  checkBackends(key, backends, limits)
  return backends
}

/** Checks number and ports of a service's backends: HNS takes 64, and translates to one port (modes.md 17.1). */
export function checkBackends(
  key: string,
  backends: readonly { port: number; key: string; weight: number; words: Uint32Array }[],
  limits: ServiceDefaults,
): void {
  const { onePort, maxBackends } = limits
  // HNS has a load balancer for each frontend, and so for each family.
  const groups = onePort ? [1, 4].map((n) => backends.filter((b) => b.words.length === n)) : [backends]
  for (const group of groups) {
    if (group.length > maxBackends) {
      const whose = onePort ? ' of a family, which is the limit of the Windows modes (modes.md 17.1)' : ''
      throw new RangeError(`${key}: ${group.length} backends, but a service has at most ${maxBackends}${whose}`)
    }
    const other = onePort && group.find((b) => b.port !== group[0]?.port)
    if (other) {
      throw new RangeError(
        `${key}: backend ${other.key} has another port than ${group[0]?.key}; in the Windows modes all backends of a family share one (modes.md 17.1)`,
      )
    }
  }
  const lots = backends.reduce((sum, b) => sum + b.weight, 0)
  if (lots > MAX_LOTS) throw new RangeError(`${key}: weights add up to ${lots}, but ${MAX_LOTS} is the most`)
}

function readBackend(key: string, o: BackendOptions): ReadBackend {
  checkKeys(key, o, BACKEND_KEYS)
  const words = readHost(`${key}.address`, o.address)
  const port = checkRange(`${key}.port`, o.port, 1, 0xffff)
  let salt = mix(port)
  for (const word of words) salt = mix(salt ^ word)
  return {
    words,
    port,
    local: flag(`${key}.local`, o.local ?? false),
    weight: checkRange(`${key}.weight`, o.weight ?? 1, 0, MAX_LOTS),
    draining: flag(`${key}.draining`, o.draining ?? false),
    salt,
    key: endpointText(words, port),
  }
}

/** `10.0.0.1:80`, `[2001:db8::1]:80`. */
export function endpointText(words: Uint32Array, port: number): string {
  const text = formatWords(words)
  return words.length === 4 ? `[${text}]:${port}` : `${text}:${port}`
}
