import {
  gatewayOf,
  type HnsOverlayModeOptions,
  type HnsOverlayNetwork,
  type HnsOverlayNode,
  type HnsOverlayPod,
  type HnsOverlaySettings,
  overlay,
  overlayMac,
} from '@l2l3/modes'
import type { OutboundNatPolicyV2 } from '@l2l3/nat'
import { FramePool, Loop, MemoryPort, VirtualClock } from '@l2l3/switch-core'
import { derivedMac, parseHostAddress, parseIp, parseMac, parseNetwork } from '../address.ts'
import { attempt } from '../attempt.ts'
import { didYouMean } from '../did-you-mean.ts'
import type {
  FdbRow,
  FlowRow,
  Ground,
  Mode,
  NeighbourRow,
  PortRow,
  Report,
  RouteRow,
  Schema,
  ServiceRow,
} from '../mode.ts'
import type { EndpointSpec, NodeSpec, PortSpec } from '../topology.ts'
import { expandHns, hnsKeys, hnsPodKeys } from './hns-key.ts'
import { overlayHns } from './hns-modes.ts'
import { acl, podKeys } from './l2bridge-schema.ts'
import { ModeNode } from './mode-node.ts'
import { options, outboundNat } from './overlay-schema.ts'
import { flowRows, policiesOf, type RawPolicies, serviceRows } from './policies.ts'
import { checkRouted, icmpOf, mtu, type RoutedOptions, routedPort, routesOf, uplinkKeys } from './routed.ts'
import { withNotes } from './service-notes.ts'
import { checkSportRange, outerOf, type RawOuter } from './tunnel-keys.ts'

/* mode: overlay - see `overlay` in @l2l3/modes. */

interface RawOutbound {
  exceptions?: string[]
  destinations?: string[]
  virtualIp?: string
  maxPortPoolUsage?: number
}

interface RawNetwork
  extends Pick<
      HnsOverlayNetwork,
      'vni' | 'subnet' | 'gateway' | 'remoteSubnets' | 'remoteEndpoints' | 'sourceVip' | 'clusterPrefixes'
    >,
    Pick<RawPolicies, 'services' | 'portMappings'> {
  outboundNat?: RawOutbound[]
  lbMode?: 'dsr' | 'nondsr'
  hnsVersion?: string
  nodePortAddresses?: string[]
}

/** Keys of a pod. */
interface RawPod extends Pick<HnsOverlayPod, 'acl' | 'guards'> {
  outboundNat?: RawOutbound[]
}

interface Options
  extends RoutedOptions,
    Pick<
      HnsOverlayModeOptions,
      'drDecrementTtl' | 'knownPeersOnly' | 'icmpTransposition' | 'untransposed' | 'isolationIds' | 'conntrack'
    > {
  drMac?: string
  networks?: Record<string, RawNetwork>
  vxlan?: RawOuter & { port?: number }
}

const of = (node: NodeSpec): Options => node.options as Options
const networksOf = (node: NodeSpec): [string, RawNetwork][] => Object.entries(of(node).networks ?? {})

/** The network of a pod: the one it says, else the only one. */
function networkOf(node: NodeSpec, { options: own }: Pick<PortSpec, 'options'>): string {
  return (own.network as string | undefined) ?? networksOf(node)[0]?.[0] ?? ''
}

/** The node's own MAC, of the range that Hyper-V makes MACs of. */
function drMacOf(node: NodeSpec): string {
  const { drMac } = of(node)
  if (drMac !== undefined) return parseMac(drMac)
  return `00:15:5d${derivedMac('distributed router', node.name).slice(8)}`
}

function policies(raw: readonly RawOutbound[] = []): OutboundNatPolicyV2[] {
  return raw.map(({ exceptions, destinations, virtualIp, maxPortPoolUsage }) => ({
    Type: 'OutBoundNAT',
    Settings: {
      ...(exceptions === undefined ? {} : { Exceptions: exceptions }),
      ...(destinations === undefined ? {} : { Destinations: destinations }),
      ...(virtualIp === undefined ? {} : { VirtualIP: virtualIp }),
      ...(maxPortPoolUsage === undefined ? {} : { MaxPortPoolUsage: maxPortPoolUsage }),
    },
  }))
}

function network(node: NodeSpec, [name, raw]: [string, RawNetwork]): HnsOverlayNetwork {
  const { outboundNat: outbound, services: _, portMappings: _p, lbMode, hnsVersion, nodePortAddresses, ...rest } = raw
  const pods = node.ports.filter((p) => p.endpoint === null || networkOf(node, p) === name)
  const { services, portMappings } = policiesOf({ ...node, ports: pods, options: raw as never })
  return {
    ...{ ...rest, name, services, outboundNat: policies(outbound) },
    portMappings: portMappings.map(({ hairpin: _h, ...mapping }) => mapping),
    balancer: {
      ...(lbMode === undefined ? {} : { lbMode }),
      ...(hnsVersion === undefined ? {} : { hnsVersion }),
      ...(nodePortAddresses === undefined ? {} : { nodePortAddresses }),
    },
  }
}

const isUplink = ({ endpoint }: PortSpec): boolean => endpoint === null

function check(node: NodeSpec, report: Report): void {
  let fine = true
  const note: Report = (path, message, at) => {
    fine = false
    report(path, message, at)
  }
  const names = networksOf(node).map(([name]) => name)
  if (names.length === 0) {
    report([], 'the key "networks" is missing: what the pods are on')
    return
  }
  const { drMac, vxlan = {} } = of(node)
  if (drMac !== undefined) attempt(note, ['drMac'], () => parseMac(drMac))
  checkSportRange((path, message) => note(['vxlan', ...path], message), vxlan)
  for (const [name, { subnet, gateway }] of networksOf(node)) {
    attempt(note, ['networks', name, 'subnet'], () => parseNetwork(subnet))
    if (gateway !== undefined) attempt(note, ['networks', name, 'gateway'], () => parseIp(gateway))
  }
  const uplinks = node.ports.filter(isUplink)
  if (uplinks.length !== 1) {
    note([], `a node of mode overlay has one port without a host, the uplink, not ${uplinks.length}`)
  } else if (!uplinks[0]?.interface.addresses.some((a) => a.family === 4)) {
    note([], 'the host needs an IPv4 address at its uplink, the provider address: the key "ip"')
  }
  for (const port of node.ports) checkPod(node, port, names, note)
  checkRouted({ ...node, ports: uplinks }, note)
  if (fine) tryToBuild(node, report)
}

function checkPod(node: NodeSpec, port: PortSpec, names: readonly string[], note: Report): void {
  const { endpoint, path, options: own } = port
  if (endpoint === null) {
    for (const key of ['network', 'outboundNat', 'acl', 'guards']) {
      if (own[key] !== undefined) note([...path, key], 'is a key of ports with a pod', 'key')
    }
    return
  }
  if (own.network === undefined && names.length > 1) {
    note(path, `the key "network" is missing: one of ${names.join(', ')}`)
    return
  }
  const name = networkOf(node, port)
  if (!names.includes(name)) {
    const hint = didYouMean(name, names) || `; it has ${names.join(', ')}`
    note([...path, 'network'], `node ${node.name} has no network "${name}"${hint}`)
    return
  }
  const six = endpoint.addresses.find((a) => a.family === 6)
  if (six !== undefined) note([...path, 'ip'], `${six.text}/${six.prefix}: HNS refuses IPv6 on an overlay`)
  else if (endpoint.addresses.length !== 1) note([...path, 'ip'], 'a pod of an overlay has one IPv4 address')
}

/** Builds the node for a moment, and reports why that fails, where it stands. */
function tryToBuild(node: NodeSpec, report: Report): void {
  const pool = new FramePool({ frames: 8, frameSize: 2048 })
  const clock = new VirtualClock()
  const small = { ...node, options: { ...node.options, conntrack: { maxFlows: 16 } } }
  const trial = new OverlayModeNode(small, { pool, clock, loop: new Loop(pool, clock) })
  for (const { name } of node.ports) trial.attach(name, new MemoryPort(pool, name))
  try {
    trial.ready()
  } catch (error) {
    const { message } = error as Error
    const [, kind, name, what] = /^(network|pod) ([^:]+): (.*)$/s.exec(message) ?? []
    const pod = node.ports.find((p) => kind === 'pod' && p.name === name)
    if (kind === 'network') report(['networks', name as string], what as string)
    else report(pod?.path ?? [], pod === undefined ? message : (what as string))
  }
}

class OverlayModeNode extends ModeNode {
  #node: HnsOverlayNode | null = null
  /** Which network each host is in, by its name. */
  readonly #scopes: Map<string, string> = new Map()

  protected become(): void {
    const settings = this.#settings()
    if (this.#node !== null) this.#node.change(settings)
    else this.#node = overlay(this.ground, { ...this.#fixed(), ...settings })
    for (const { spec } of this.plugged) {
      if (spec.endpoint !== null) this.#scopes.set(spec.endpoint.name, networkOf(this.spec, spec))
    }
  }

  #settings(): HnsOverlaySettings {
    const { spec, plugged } = this
    const { uplink } = this.#uplink()
    return {
      uplink,
      routes: routesOf(
        spec,
        plugged.filter((p) => isUplink(p.spec)),
      ),
      networks: networksOf(spec).map((entry) => network(spec, entry)),
      pods: plugged.flatMap(({ spec: own, port }) => {
        const { name, label, endpoint, options: keys } = own
        if (endpoint === null) return []
        const { outboundNat: outbound, acl: rules, guards } = keys as RawPod
        return [
          {
            ...{ name, label, port, network: networkOf(spec, own), mac: endpoint.mac },
            ip: endpoint.addresses[0]?.text as string,
            ...(outbound === undefined ? {} : { outboundNat: policies(outbound) }),
            ...(rules === undefined ? {} : { acl: rules }),
            ...(guards === undefined ? {} : { guards }),
          },
        ]
      }),
    }
  }

  /** The host's end of the uplink; where nothing is plugged in, one that leads nowhere. */
  #uplink(): { uplink: HnsOverlaySettings['uplink'] } {
    const { spec, plugged } = this
    const there = plugged.find((p) => isUplink(p.spec))
    if (there !== undefined) return { uplink: routedPort(there, spec) }
    const own = spec.ports.find(isUplink)
    if (own === undefined) return { uplink: null }
    this.#nowhere ??= new MemoryPort(this.ground.pool, own.name)
    this.#nowhere.close()
    return { uplink: routedPort({ spec: own, port: this.#nowhere }, spec) }
  }
  #nowhere: MemoryPort | null = null

  /** What stays as long as the node runs. */
  #fixed(): Omit<HnsOverlayModeOptions, keyof HnsOverlaySettings> {
    const { vxlan: { port, ...outer } = {}, ...rest } = of(this.spec)
    const { drDecrementTtl, knownPeersOnly, icmpTransposition, untransposed, isolationIds, conntrack } = rest
    const given = {
      ...{ drDecrementTtl, knownPeersOnly, icmpTransposition, untransposed, isolationIds, conntrack },
      vxlanPort: port,
    }
    return {
      ...{ ...icmpOf(this.spec), drMac: drMacOf(this.spec), outer: outerOf(outer) },
      ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
    }
  }

  forget({ name, addresses }: EndpointSpec): void {
    this.#node?.forget(
      this.#scopes.get(name) ?? '',
      addresses.map((a) => a.text),
    )
  }

  leave(): void {
    this.#node?.host.leave()
  }

  ports(): PortRow[] {
    const node = this.#node
    const sides = new Map(node?.networks.flatMap((n) => [...n.sides]))
    const plugged = this.plugged.map(({ spec: { name }, port }): PortRow => {
      const link = node?.links.find((l) => l.name === name)
      const { rxFrames, rxBytes, txFrames, txBytes, rxDropped, txDropped } = port.counters
      return {
        ...{ node: this.spec.name, port: name },
        state: port.failure !== null ? port.failure.message : port.closed ? 'down' : 'up',
        ...{ rxFrames, rxBytes, txFrames, txBytes },
        dropped: sides.get(name)?.counters.dropped ?? link?.iface.counters.rxDropped ?? 0,
        portDropped: rxDropped + txDropped,
        offloads: port.offloadText,
      }
    })
    const tunnels = (node?.networks ?? []).map((one): PortRow => {
      const { rxFrames, rxBytes, txFrames, txBytes } = one.network.counters
      const { rxDropped } = one.tunnel.counters
      return {
        ...{ node: this.spec.name, port: one.name, state: 'up', rxFrames, rxBytes, txFrames, txBytes },
        ...{ dropped: rxDropped, portDropped: 0, offloads: '-' },
        tunnel: `${one.id}, ${one.local} to ${one.remotes().join(', ') || 'nobody yet'}`,
      }
    })
    return [...plugged, ...tunnels]
  }

  fdb(): FdbRow[] {
    return (this.#node?.networks ?? []).flatMap(({ switch: bridge }) => {
      const names = new Map(bridge.ports.map(({ index, name }) => [index, name]))
      return Array.from(bridge.fdb.list(), ({ mac, vlan, port, kind, age }) => {
        return { node: this.spec.name, mac, vlan, port: names.get(port) ?? String(port), kind, age }
      })
    })
  }

  neighbours(): NeighbourRow[] {
    const node = this.spec.name
    const host = (this.#node?.links ?? []).flatMap(({ name, neighbours }) =>
      Array.from(neighbours.list(), ({ address, mac, state }) => ({ node, port: name, address, mac, state })),
    )
    const inside = (this.#node?.networks ?? []).flatMap((one) =>
      Array.from(one.known(), ({ address, mac, where }) => {
        const port = where === 'router' ? `${one.name} (tunnel)` : one.name
        return { node, port, address, mac, state: 'permanent' }
      }),
    )
    return [...host, ...inside]
  }

  routes(): RouteRow[] {
    const routers = [this.#node?.host.router, ...(this.#node?.networks ?? []).map((n) => n.router)]
    return routers.flatMap((router) =>
      Array.from(router?.routes() ?? [], ({ to, kind, hops, metric }) => {
        const via = hops.map((hop) => (hop.via === undefined ? hop.dev : `${hop.via} ${hop.dev}`))
        return { node: this.spec.name, to, kind, via, metric }
      }),
    )
  }

  flows(limit: number): FlowRow[] {
    const rows: FlowRow[] = []
    for (const { vfp, gate } of this.#node?.networks ?? []) {
      for (const nat of [vfp.nat, gate.nat]) rows.push(...flowRows(this.spec.name, nat, limit - rows.length))
    }
    return rows
  }

  services(): ServiceRow[] {
    return (this.#node?.networks ?? []).flatMap(({ vfp, gate }) => {
      const rows = [
        ...serviceRows(this.spec.name, { portMappings: gate.portMappings, balancer: vfp.balancers.pod }),
        ...serviceRows(this.spec.name, { portMappings: vfp.portMappings, balancer: gate.balancer }),
      ]
      return withNotes(rows, vfp.notes)
    })
  }
}

/** Pods of Windows on networks that span nodes. */
export const overlayMode: Mode = {
  name: 'overlay',
  options: { ...options, ...hnsKeys },
  endpointKeys: hnsPodKeys,
  expand: (raw, at) => expandHns(raw, at, overlayHns),
  portOptions: {
    mtu: { ...mtu, description: 'MTU of the interface, the pod’s at an endpoint. Default 1500.' },
    network: { type: 'string', description: 'At an endpoint: its network. Default: the only one.' },
    outboundNat,
    acl,
    guards: podKeys.guards as Schema,
  },
  uplinkKeys,
  scope: ({ network: named }) => (typeof named === 'string' ? named : ''),
  // HNS' own, which win-overlay, flannel and Calico make of the address.
  macOf: ({ ip }) => {
    const text = [ip].flat()[0]
    if (typeof text !== 'string') return undefined
    const address = attempt(
      () => {},
      [],
      () => parseHostAddress(text),
    )
    return address?.family === 4 ? overlayMac(address.text) : undefined
  },
  check,
  changes: ['routes', 'networks'],
  gateways: (node, port) => {
    const raw = of(node).networks?.[networkOf(node, port)]
    const gateway =
      raw === undefined
        ? undefined
        : attempt(
            () => {},
            [],
            () => parseIp(gatewayOf(raw)),
          )
    return gateway === undefined ? [] : [gateway]
  },
  build: (node: NodeSpec, ground: Ground) => new OverlayModeNode(node, ground),
}
