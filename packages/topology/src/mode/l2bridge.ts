import {
  type L2BridgeNode,
  type L2BridgePodPort,
  type L2BridgeSettings,
  l2bridge,
  placeServices,
  type Route,
} from '@l2l3/modes'
import { type AclOptions, AclRules, checkOutboundNat, type OutboundNatPolicyV2, PrefixSet } from '@l2l3/nat'
import {
  AZURE_FABRIC_MAC,
  AZURE_LINUX,
  FramePool,
  type L2BridgeOptions,
  Loop,
  MemoryPort,
  type SwitchPort,
  VirtualClock,
} from '@l2l3/switch-core'
import { type Address, derivedMac, onLink, parseHostAddress, parseIp, parseMac, parseNetwork } from '../address.ts'
import { attempt } from '../attempt.ts'
import type { FdbRow, FlowRow, Mode, NeighbourRow, PortRow, Report, RouteRow, ServiceRow } from '../mode.ts'
import type { EndpointSpec, NodeSpec, PortSpec } from '../topology.ts'
import { expandHns, hnsKeys, hnsPodKeys } from './hns-key.ts'
import { l2bridgeHns, l2tunnelHns } from './hns-modes.ts'
import { l2bridgeOptions, l2tunnelOptions, podKeys } from './l2bridge-schema.ts'
import { ModeNode } from './mode-node.ts'
import { flowRows, policiesOf, serviceRows, tried } from './policies.ts'
import type { RoutedOptions } from './routed.ts'
import { withNotes } from './service-notes.ts'

/* modes: l2bridge and l2tunnel - see `l2bridge` in @l2l3/modes. */

type VfpSettings = NonNullable<Parameters<typeof l2bridge>[1]['vfp']>

interface Options
  extends Partial<Omit<L2BridgeOptions, 'maxAddresses'>>,
    RoutedOptions,
    Pick<
      VfpSettings,
      'lbMode' | 'sourceVips' | 'nodePortAddresses' | 'hnsVersion' | 'icmpTransposition' | 'untransposed' | 'conntrack'
    > {
  preset?: 'windows' | 'azure-linux'
  host?: { ip: string | string[]; mtu?: number }
  hostEndpoint?: { ip: string | string[]; mac?: string }
  gateway?: string | string[]
  vlan?: number
  services?: unknown
  broadcast?: 'flood' | 'block'
}

interface RawOutboundNat {
  exceptions?: string[]
  destinations?: string[]
  virtualIp?: string
  maxPortPoolUsage?: number
}

interface PodOptions extends Pick<L2BridgePodPort, 'guards' | 'acl' | 'sdnRoutes' | 'mtu'> {
  outboundNat?: RawOutboundNat[]
  portMappings?: { protocol?: 'tcp' | 'udp' | 'sctp'; port: number; toPort?: number; hostIp?: string }[]
}

const of = (node: NodeSpec): Options => node.options as Options
const podOf = (port: PortSpec): PodOptions => port.options as PodOptions
const isAzure = (node: NodeSpec): boolean => of(node).preset === 'azure-linux'

/** What azure-linux has nothing of. */
const VFP_KEYS = [
  ...['services', 'lbMode', 'sourceVips', 'nodePortAddresses', 'hnsVersion'],
  ...['icmpTransposition', 'untransposed', 'broadcast', 'conntrack'],
] as const

/** Whether a port leads to the node itself. */
function isHost(node: NodeSpec, { endpoint }: PortSpec): boolean {
  return endpoint !== null && endpoint.mac === parseMac(of(node).hostMac ?? '')
}

/** Addresses of an interface; those that are none are left out. */
function addressesOf(node: NodeSpec, key: 'host' | 'hostEndpoint', report: Report = () => {}): Address[] {
  const { ip = [] } = of(node)[key] ?? {}
  return [ip].flat().flatMap((text, i) => {
    const at = Array.isArray(ip) ? [key, 'ip', i] : [key, 'ip']
    return attempt(report, at, () => parseHostAddress(text)) ?? []
  })
}

const withPrefix = ({ text, prefix }: Address): string => `${text}/${prefix}`

/** An OutBoundNAT policy as HNS has it: it is one for a family. */
function policyOf({ exceptions, destinations, virtualIp, maxPortPoolUsage }: RawOutboundNat): OutboundNatPolicyV2 {
  const six = [...(exceptions ?? []), ...(destinations ?? []), virtualIp ?? ''].some((text) => text.includes(':'))
  return {
    Type: 'OutBoundNAT',
    Settings: {
      ...(exceptions === undefined ? {} : { Exceptions: exceptions }),
      ...(destinations === undefined ? {} : { Destinations: destinations }),
      ...(virtualIp === undefined ? {} : { VirtualIP: virtualIp }),
      ...(maxPortPoolUsage === undefined ? {} : { MaxPortPoolUsage: maxPortPoolUsage }),
      ...(six ? { Flags: 2 } : {}),
    },
  }
}

function check(node: NodeSpec, whole: Report): void {
  let fine = true
  const report: Report = (path, message, at) => {
    fine = false
    whole(path, message, at)
  }
  checkKeys(node, report)
  if (fine) tryToBuild(node, whole)
}

/** Builds the node for a moment, and reports why that fails, where it stands. */
function tryToBuild(node: NodeSpec, report: Report): void {
  const pool = new FramePool({ frames: 8, frameSize: 2048 })
  const clock = new VirtualClock()
  const small = { ...node, options: { ...node.options, conntrack: { maxFlows: 16 } } }
  const trial = new L2BridgeModeNode(small, { pool, clock, loop: new Loop(pool, clock) })
  for (const { name } of node.ports) trial.attach(name, new MemoryPort(pool, name))
  try {
    trial.ready()
  } catch (error) {
    const { message } = error as Error
    const [, key, i, why] = /^(hostIps|sourceVips|nodePortAddresses)\[(\d+)\]:? (.*)$/s.exec(message) ?? []
    const [, service, what] = /^service ([^:]+): (.*)$/s.exec(message) ?? []
    if (key !== undefined) report(Array.isArray(node.options[key]) ? [key, Number(i)] : [], why as string)
    else if (service !== undefined) report(['services', service], what as string)
    else report([], message)
  }
}

function checkKeys(node: NodeSpec, report: Report): void {
  const { hostMac, tunnelMac, hostIps = [], host, hostEndpoint, gateway = [] } = of(node)
  if (hostMac === undefined) report([], 'the key "hostMac" is missing')
  for (const [key, mac] of Object.entries({ hostMac, tunnelMac })) {
    if (mac !== undefined) attempt(report, [key], () => parseMac(mac))
  }
  const own = hostMac?.toLowerCase().replaceAll('-', ':')
  const ofHost = addressesOf(node, 'host', report)
  const ofEndpoint = addressesOf(node, 'hostEndpoint', report)
  const given = hostIps.map((text, i) => attempt(report, ['hostIps', i], () => parseIp(text)))
  given.forEach((ip, i) => {
    const pod = node.ports.find((p) => p.endpoint?.addresses.some((a) => a.text === ip?.text))
    if (pod !== undefined && pod.endpoint?.mac !== own)
      report(['hostIps', i], `address ${hostIps[i]} is given twice: ${pod.label} has it already`)
  })
  ;[gateway].flat().forEach((text, i) => {
    attempt(report, Array.isArray(gateway) ? ['gateway', i] : ['gateway'], () => parseIp(text))
  })
  if (hostEndpoint !== undefined && host === undefined)
    report(['hostEndpoint'], 'needs "host": it is the host’s', 'key')
  if (hostEndpoint?.mac !== undefined) {
    attempt(report, ['hostEndpoint', 'mac'], () => parseMac(hostEndpoint.mac as string))
  }
  for (const { endpoint, path, name } of node.ports) {
    if (endpoint === null && name !== 'uplink') report(path, 'an l2bridge has one port without a host, the uplink')
    if (endpoint === null) continue
    if (host !== undefined && endpoint.mac === own) report(path, 'the node is built in already: "host"', 'key')
    for (const address of endpoint.addresses)
      checkAddress(address, path, [...ofHost, ...ofEndpoint], ofEndpoint, report)
  }
  checkRoutes(node, [...ofHost, ...ofEndpoint], report)
  checkVfp(node, report)
}

/** Routes lead by the host's networks. */
function checkRoutes(node: NodeSpec, own: readonly Address[], report: Report): void {
  const { routes = [], host } = of(node)
  if (routes.length > 0 && host === undefined) report(['routes'], 'are the host’s, and "host" is missing', 'key')
  routes.forEach(({ to, via = [], port }, i) => {
    attempt(report, ['routes', i, 'to'], () => parseNetwork(to))
    if (port !== undefined && port !== 'management' && port !== 'hostEndpoint') {
      report(['routes', i, 'port'], `must be management or hostEndpoint, not ${JSON.stringify(port)}`)
    }
    for (const text of [via].flat()) {
      const ip = attempt(report, ['routes', i, 'via'], () => parseIp(text))
      if (ip === undefined || port !== undefined || own.some((a) => onLink(a, ip.bytes))) continue
      report(['routes', i, 'via'], `${text} is in no network of the host: ${own.map(withPrefix).join(', ')}`)
    }
  })
}

/** A pod's address: nobody else's, in the subnet of the host endpoint, and not HNS' own there. */
function checkAddress(
  { text, family, bytes, prefix }: Address,
  path: PortSpec['path'],
  taken: readonly Address[],
  subnets: readonly Address[],
  report: Report,
): void {
  if (taken.some((a) => a.text === text)) report([...path, 'ip'], `${text} is the host's`)
  const near = subnets.filter((a) => a.family === family)
  if (near.length === 0) return
  if (!near.some((a) => onLink(a, bytes))) {
    report(
      [...path, 'ip'],
      `${text}/${prefix} is not in the subnet of hostEndpoint, ${near.map(withPrefix).join(', ')}`,
    )
  }
  const last = bytes[bytes.length - 1] as number
  if (family === 4 && prefix <= 24 && last === 1) {
    report([...path, 'ip'], `${text} is HNS' own: the gateway that it keeps for itself`)
  }
}

function checkVfp(node: NodeSpec, report: Report): void {
  const options = of(node)
  if (isAzure(node)) {
    for (const key of VFP_KEYS) {
      if (options[key] !== undefined) report([key], 'the Linux twin has no VFP, which this is about', 'key')
    }
  }
  for (const port of node.ports) {
    const { acl, outboundNat = [], sdnRoutes, portMappings } = podOf(port)
    const at = (...more: (string | number)[]) => [...port.path, ...more]
    if (port.endpoint === null) {
      for (const key of Object.keys(podKeys)) {
        if (port.options[key] !== undefined) report(at(key), 'is for ports of pods', 'key')
      }
      continue
    }
    if (isAzure(node)) {
      for (const key of Object.keys(podKeys)) {
        if (port.options[key] !== undefined) report(at(key), 'the Linux twin has no VFP, which this is about', 'key')
      }
      continue
    }
    if (acl !== undefined) tried(report, at('acl'), () => new AclRules(acl as AclOptions))
    outboundNat.forEach((raw, i) => {
      tried(report, at('outboundNat', i), () => checkOutboundNat('outboundNat', policyOf(raw)))
    })
    if (sdnRoutes !== undefined) tried(report, at('sdnRoutes'), () => new PrefixSet('sdnRoutes', sdnRoutes))
    portMappings?.forEach(({ hostIp }, i) => {
      if (hostIp !== undefined) attempt(report, at('portMappings', i, 'hostIp'), () => parseIp(hostIp))
    })
  }
  for (const name of Object.keys((options.services ?? {}) as object)) {
    tried(report, ['services', name], () => {
      placeServices(
        policiesOf(node).services.filter((service) => service.name === name),
        servicesOf(options),
      )
    })
  }
}

/** Routes of the host, whose links are not ports of the node: management and hostEndpoint. */
function routesOf(node: NodeSpec): Route[] {
  return (of(node).routes ?? []).map(({ to, metric = 0, port, via, blackhole, unreachable, prohibit }): Route => {
    const type = blackhole ? 'blackhole' : unreachable ? 'unreachable' : prohibit ? 'prohibit' : 'unicast'
    if (type !== 'unicast') return { to, type, metric }
    return { to, metric, ...(via === undefined ? {} : { via }), ...(port === undefined ? {} : { port }) }
  })
}

/** What services are done with. */
function servicesOf(options: Options): Pick<VfpSettings, 'lbMode' | 'sourceVips' | 'nodePortAddresses' | 'hnsVersion'> {
  const { lbMode, sourceVips, nodePortAddresses, hnsVersion } = options
  return {
    ...(lbMode === undefined ? {} : { lbMode }),
    ...(sourceVips === undefined ? {} : { sourceVips }),
    ...(nodePortAddresses === undefined ? {} : { nodePortAddresses }),
    ...(hnsVersion === undefined ? {} : { hnsVersion }),
  }
}

class L2BridgeModeNode extends ModeNode {
  #node: L2BridgeNode | null = null

  protected become(): void {
    const uplink = this.plugged.find(({ spec }) => spec.endpoint === null)
    const settings = this.#settings()
    if (this.#node !== null) {
      this.#node.change(settings)
      return
    }
    this.#node = l2bridge(this.ground, {
      ...this.#fixed(settings),
      ...settings,
      uplink: uplink === undefined ? null : { port: uplink.port, label: uplink.spec.label },
    })
  }

  /** What stays as long as the node runs. */
  #fixed({ hostIps = [] }: L2BridgeSettings): Omit<Parameters<typeof l2bridge>[1], keyof L2BridgeSettings | 'uplink'> {
    const { spec } = this
    const options = of(spec)
    const {
      preset,
      hostMac = '',
      tunnelMac,
      vlan,
      icmpTransposition,
      untransposed,
      conntrack,
      echo,
      host,
      hostEndpoint,
    } = options
    const { arpReplyMode, foreignArpAnswer, floodLeak, unknownDestination, answerOwner } = options
    const engine = { arpReplyMode, foreignArpAnswer, floodLeak, unknownDestination, answerOwner, tunnelMac, vlan }
    const stack = addressesOf(spec, 'host')
    const mac = hostEndpoint?.mac ?? derivedMac('inside', spec.name, 'hostEndpoint', 'interface')
    return {
      ...(preset === 'azure-linux' ? AZURE_LINUX : {}),
      ...(spec.mode === 'l2tunnel' ? { tunnelMac: AZURE_FABRIC_MAC } : {}),
      ...Object.fromEntries(Object.entries(engine).filter(([, value]) => value !== undefined)),
      hostMac: parseMac(hostMac),
      ...(isAzure(spec)
        ? {}
        : {
            vfp: {
              ...servicesOf(options),
              hostIps: [...new Set([...stack.map((a) => a.text), ...hostIps])],
              ...(icmpTransposition === undefined ? {} : { icmpTransposition }),
              ...(untransposed === undefined ? {} : { untransposed }),
              ...(conntrack === undefined ? {} : { conntrack }),
            },
          }),
      ...(host === undefined
        ? {}
        : {
            stack: {
              addresses: stack.map(withPrefix),
              ...(host.mtu === undefined ? {} : { mtu: host.mtu }),
              ...(echo === undefined ? {} : { echo }),
              ...(hostEndpoint === undefined
                ? {}
                : { endpoint: { mac: parseMac(mac), addresses: addressesOf(spec, 'hostEndpoint').map(withPrefix) } }),
            },
          }),
    }
  }

  #settings(): L2BridgeSettings {
    const { spec, plugged } = this
    const { hostIps = [], broadcast = 'flood' } = of(spec)
    const host = plugged.find((p) => isHost(spec, p.spec))
    const own = host?.spec.endpoint?.addresses.map((a) => a.text) ?? []
    return {
      hostIps: [...new Set([...hostIps.map((text) => parseIp(text).text), ...own])],
      host: host === undefined ? null : { port: host.port, label: host.spec.label },
      routes: routesOf(spec),
      services: isAzure(spec) ? [] : policiesOf({ ...spec, options: { ...spec.options, portMappings: [] } }).services,
      pods: plugged.flatMap(({ spec: portSpec, port }) => {
        if (portSpec.endpoint === null || portSpec === host?.spec) return []
        const { name, mac, addresses } = portSpec.endpoint
        const { guards, acl, sdnRoutes, mtu, outboundNat = [], portMappings = [] } = podOf(portSpec)
        const blockBroadcast = broadcast === 'block'
        return [
          {
            ...{ name, label: portSpec.label, port, mac, ips: addresses.map((a) => a.text) },
            ...(mtu === undefined ? {} : { mtu }),
            ...(guards === false ? { guards } : { guards: { blockBroadcast, ...guards } }),
            ...(acl === undefined ? {} : { acl }),
            ...(sdnRoutes === undefined ? {} : { sdnRoutes }),
            outboundNat: outboundNat.map(policyOf),
            portMappings: portMappings.map(({ hostIp, protocol = 'tcp', ...mapping }) => {
              return { ...mapping, protocol, ...(hostIp === undefined ? {} : { address: hostIp }) }
            }),
          },
        ]
      }),
    }
  }

  forget({ mac, addresses }: EndpointSpec): void {
    this.#node?.forget(
      mac,
      addresses.map((a) => a.text),
    )
  }

  ports(): PortRow[] {
    return this.plugged.flatMap(({ spec: { name }, port }) => {
      const side = this.#side(name)
      if (side === undefined) return []
      const state = port.failure !== null ? port.failure.message : port.closed || !side.up ? 'down' : 'up'
      const { rxFrames, rxBytes, txFrames, txBytes, rxDropped, txDropped } = port.counters
      return [
        {
          ...{ node: this.spec.name, port: name, state },
          ...{ rxFrames, rxBytes, txFrames, txBytes },
          ...{ dropped: side.counters.dropped, portDropped: rxDropped + txDropped, offloads: port.offloadText },
        },
      ]
    })
  }

  fdb(): FdbRow[] {
    const { spec } = this
    const names = new Map(this.plugged.map(({ spec: { name } }) => [this.#side(name)?.index, name]))
    const pod = this.#node?.stack?.pod
    if (pod) names.set(pod.port.index, 'hostEndpoint')
    const { hostPort } = this.#node?.engine ?? {}
    if (hostPort && !names.has(hostPort.index)) names.set(hostPort.index, 'management')
    return Array.from(this.#node?.engine.switch.fdb.list() ?? [], ({ mac, vlan, port, kind, age }) => {
      return { node: spec.name, mac, vlan, port: names.get(port) ?? String(port), kind, age }
    })
  }

  neighbours(): NeighbourRow[] {
    return (this.#node?.stack?.links ?? []).flatMap(({ name, neighbours }) =>
      Array.from(neighbours.list(), ({ address, mac, state }) => {
        return { node: this.spec.name, port: name, address, mac, state }
      }),
    )
  }

  routes(): RouteRow[] {
    return Array.from(this.#node?.stack?.router.routes() ?? [], ({ to, kind, hops, metric }) => {
      const via = hops.map((hop) => (hop.via === undefined ? hop.dev : `${hop.via} ${hop.dev}`))
      return { node: this.spec.name, to, kind, via, metric }
    })
  }

  flows(limit: number): FlowRow[] {
    const vfp = this.#node?.vfp ?? null
    return vfp === null ? [] : flowRows(this.spec.name, vfp.nat, limit)
  }

  services(): ServiceRow[] {
    const vfp = this.#node?.vfp ?? null
    if (vfp === null) return []
    const { portMappings, balancers } = vfp
    const none = { list: () => [] } as never
    const rows = (['pod', 'uplink', 'host'] as const).flatMap((place) =>
      serviceRows(this.spec.name, { portMappings: place === 'pod' ? portMappings : none, balancer: balancers[place] }),
    )
    return withNotes(rows, vfp.notes)
  }

  #side(name: string): SwitchPort | undefined {
    const spec = this.spec.ports.find((p) => p.name === name) as PortSpec
    if (spec.endpoint === null) return this.#node?.engine.uplinkPort
    return isHost(this.spec, spec) ? (this.#node?.engine.hostPort ?? undefined) : this.#node?.pods.get(name)?.port
  }
}

const portOptions = {
  mtu: {
    type: 'integer',
    minimum: 68,
    maximum: 65_535,
    description: 'At an endpoint: longest payload of a frame that it gets, and MTU of its interface. Default 1500.',
  },
} as const

/** By which addresses pods leave their subnet. */
function gateways(node: NodeSpec, port: PortSpec): readonly Address[] {
  const { gateway } = of(node)
  const list = gateway === undefined ? addressesOf(node, 'hostEndpoint') : [gateway].flat().map((text) => parseIp(text))
  return [4, 6].flatMap((family) => {
    const has = port.endpoint?.addresses.some((a) => a.family === family) ?? false
    return has ? (list.find((a) => a.family === family) ?? []) : []
  })
}

const both = {
  portOptions: { ...portOptions, ...podKeys },
  endpointKeys: hnsPodKeys,
  check,
  changes: ['hostIps', 'routes', 'services'],
  gateways,
} as const

/** Pods behind the node's MAC address. */
export const l2bridgeMode: Mode = {
  ...both,
  name: 'l2bridge',
  options: { ...l2bridgeOptions, ...hnsKeys },
  expand: (raw, at) => expandHns(raw, at, l2bridgeHns),
  build: (node, ground) => new L2BridgeModeNode(node, ground),
}

/** The same, with everything that pods send going by the fabric. */
export const l2tunnelMode: Mode = {
  ...both,
  name: 'l2tunnel',
  options: { ...l2tunnelOptions, ...hnsKeys },
  expand: (raw, at) => expandHns(raw, at, l2tunnelHns),
  build: (node, ground) => new L2BridgeModeNode(node, ground),
}
