import type { BackendOptions, BalancerOptions, ServiceOptions } from '@l2l3/nat'

/*
 * Services, as kube-proxy has HNS do them on Windows (modes.md 17.1): a load balancer for each frontend of each port of a service, and
 * where in the node it works.
 *
 *     frontend       DSR                                            otherwise
 *     ClusterIP      at the port of the pod that asks               at the host's port, where what the pod sends comes by its
 *                                                                   gateway or by a ROUTE with NeedEncap
 *     NodePort       at the uplink, with policy Local               at the host's port
 *     ExternalIP,    at the uplink, with policy Local or            at the host's port
 *     LoadBalancer   preserve-destination; a LoadBalancer also
 *                    at the ports of pods
 *
 * (kube-proxy makes a LoadBalancer DSR with `--enable-dsr`, too. From outside that is done for pods of this node alone: an answer of another
 * node's would go past this one, and come from an address that the client does not know.)
 *
 * With DSR the backend sees who asks, and its answer goes straight back to there. Without, it sees the SourceVIP, or the node, and answers
 * to that.
 *
 * What kube-proxy and HNS cannot do is refused by name here, or has a consequence that is told in `notes`:
 *
 *     policy Local without DSR                   refused: "Local traffic policy unsupported in non-DSR mode"
 *     more than 64 backends                      refused
 *     backends with different target ports       refused: the load balancer has one, that of the first
 *     affinity before HNS 12.0                   a warning of kube-proxy's, and no affinity
 *     no backends                                no load balancer: packets go their usual way, and nobody refuses
 */

/** How the node does services. */
export interface WindowsServiceOptions {
  /** `dsr`: kube-proxy with `--enable-dsr`, on ClusterIPs too. `nondsr`: without. Default `dsr`. */
  readonly lbMode?: 'dsr' | 'nondsr'
  /** What sources become without DSR: at most one of a family. Default: the host's address. */
  readonly sourceVips?: readonly string[]
  /** The version of HNS, for what there was not from the beginning. Default `15.0`. */
  readonly hnsVersion?: string
  /** Which of the node's addresses have node ports. Default: all. */
  readonly nodePortAddresses?: readonly string[]
}

/** A port of a service: as `@l2l3/nat` has it, without what Windows has not. */
export type WindowsService = Omit<ServiceOptions, 'affinityTimeout' | 'empty' | 'zone' | 'dsr'> & {
  /** How it is done: a load balancer of HNS says it for itself. Default: as the node's others. */
  readonly lbMode?: 'dsr' | 'nondsr'
}

/** Services by where they are done. */
export interface PlacedServices {
  readonly pod: readonly ServiceOptions[]
  readonly uplink: readonly ServiceOptions[]
  readonly host: readonly ServiceOptions[]
  /** What kube-proxy says of services that are done otherwise than asked for, or not at all. */
  readonly notes: readonly string[]
}

/** Backends of a load balancer at most. */
export const MOST_BACKENDS = 64

const KEYS = [
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
    'lbMode',
  ],
  ...['externalTrafficPolicy', 'internalTrafficPolicy', 'preserveDestination'],
]

/** The version of HNS from which on load balancers keep clients where they are. */
const AFFINITY = [12, 0] as const

/** What all balancers of a node have in common. Throws a TypeError with key and value. */
export function balancerOptions(options: WindowsServiceOptions): BalancerOptions {
  const { sourceVips, nodePortAddresses } = options
  checkMode(options.lbMode)
  return {
    style: 'windows',
    ...(sourceVips === undefined ? {} : { sourceVips }),
    ...(nodePortAddresses === undefined ? {} : { nodePortAddresses }),
  }
}

/** Sorts services by where they are done. Throws a TypeError or RangeError with key and value for what HNS does not do. */
export function placeServices(
  services: readonly WindowsService[],
  options: WindowsServiceOptions = {},
): PlacedServices {
  checkMode(options.lbMode)
  const affinity = isAtLeast(options.hnsVersion ?? '15.0', AFFINITY)
  const placed = { pod: [] as ServiceOptions[], uplink: [] as ServiceOptions[], host: [] as ServiceOptions[] }
  const notes: string[] = []
  for (const service of services) {
    const mode = checkMode(service.lbMode ?? options.lbMode)
    check(service, mode)
    const { clusterIps = [], externalIps = [], loadBalancerIps = [], nodePort, lbMode: _, ...rest } = service
    const wantsAffinity = rest.distribution !== undefined && rest.distribution !== '5-tuple'
    if (wantsAffinity && !affinity) {
      notes.push(`service ${rest.name}: HNS ${options.hnsVersion} keeps no client where it is: no session affinity`)
    }
    const common = { ...rest, ...(wantsAffinity && !affinity ? { distribution: '5-tuple' as const } : {}) }
    if ((service.backends ?? []).length === 0) {
      notes.push(`service ${rest.name} has no endpoints: Not applying any policy`)
    }
    const local = service.externalTrafficPolicy === 'Local'
    const preserve = service.preserveDestination === true
    const dsr = mode === 'dsr'
    const put = (place: keyof typeof placed, frontends: Partial<ServiceOptions>, direct: boolean): void => {
      const has = Object.values(frontends).some((value) => (Array.isArray(value) ? value.length > 0 : true))
      if (has) placed[place].push({ ...common, ...frontends, dsr: direct, affinityTimeout: 0 } as ServiceOptions)
    }
    const direct = local || preserve
    put('pod', dsr ? { clusterIps, ...(preserve ? {} : { loadBalancerIps }) } : {}, true)
    put(
      'uplink',
      {
        ...(direct ? { externalIps, loadBalancerIps } : {}),
        ...(local && nodePort !== undefined ? { nodePort } : {}),
      },
      true,
    )
    put(
      'host',
      {
        ...(dsr ? {} : { clusterIps }),
        ...(direct ? {} : { externalIps, loadBalancerIps }),
        ...(local || nodePort === undefined ? {} : { nodePort }),
      },
      false,
    )
  }
  const fitted = (list: ServiceOptions[]): ServiceOptions[] => list.map(withAffinityAsItMayBe)
  return { pod: fitted(placed.pod), uplink: fitted(placed.uplink), host: fitted(placed.host), notes }
}

/** The timeout is said only where there is something to remember. */
function withAffinityAsItMayBe({ affinityTimeout, ...service }: ServiceOptions): ServiceOptions {
  const { distribution = '5-tuple' } = service
  return distribution === '5-tuple' ? service : { ...service, affinityTimeout: affinityTimeout ?? 0 }
}

function check(service: WindowsService, mode: 'dsr' | 'nondsr'): void {
  const key = `service ${service.name}`
  for (const k of Object.keys(service)) {
    if (!KEYS.includes(k)) throw new TypeError(`${key}: ${k} is not a setting of services on Windows`)
  }
  for (const policy of ['externalTrafficPolicy', 'internalTrafficPolicy'] as const) {
    if (service[policy] !== 'Local' || mode === 'dsr') continue
    throw new RangeError(`${key}: ${policy} Local needs DSR, and lbMode is nondsr`)
  }
  const backends: readonly BackendOptions[] = service.backends ?? []
  if (backends.length > MOST_BACKENDS) {
    throw new RangeError(`${key}: backends has ${backends.length}; HNS takes ${MOST_BACKENDS} at most`)
  }
  const [first] = backends
  const other = backends.find((backend) => backend.port !== first?.port)
  if (other !== undefined) {
    throw new RangeError(
      `${key}: backend ${other.address} is at port ${other.port} and others at ${first?.port}: HNS has one for all`,
    )
  }
}

function checkMode(mode: WindowsServiceOptions['lbMode'] = 'dsr'): 'dsr' | 'nondsr' {
  if (mode === 'dsr' || mode === 'nondsr') return mode
  throw new TypeError(`lbMode must be dsr or nondsr, not ${JSON.stringify(mode)}`)
}

function isAtLeast(version: string, [major, minor]: readonly [number, number]): boolean {
  const match = /^(\d+)\.(\d+)$/.exec(version)
  if (match === null) throw new TypeError(`hnsVersion must be like "15.0", not ${JSON.stringify(version)}`)
  const [a, b] = [Number(match[1]), Number(match[2])]
  return a > major || (a === major && b >= minor)
}
