import { KnownNeighbours, Responder } from '@l2l3/arp'
import type { ServiceOptions } from '@l2l3/nat'
import { checkRange, type SwitchPort } from '@l2l3/switch-core'
import { ovn as keys, type LogicalPort, OvnLabels, type RemoteSpec } from '@l2l3/vxlan'
import type { Bridge, BridgeSpec } from '../bridge.ts'
import type { Ground } from '../ground.ts'
import { HostNode, type HostOptions, type HostSettings } from '../host-node.ts'
import { NodeAddresses } from '../nat-addresses.ts'
import type { NatGateOptions, NatPolicies } from '../nat-gate.ts'
import type { InterfaceSpec, RoutedPort } from '../routed-link.ts'
import type { Route } from '../routes.ts'
import type { OverlayNetwork } from '../vtep.ts'
import { type BridgedNode, BridgeTunnels, bridgedNode } from './bridge-tunnels.ts'
import { type BridgedPod, PortGuards, PortTranslations, podPort } from './bridged-pods.ts'
import { gateOf } from './gate-of.ts'
import { OvnBalancer, type OvnBalancerOptions } from './ovn-balancer.ts'
import { nodeAddress } from './peers.ts'

/** A logical switch. */
export interface LogicalSwitch {
  readonly name: string
  /** Key of its datapath: 1 to 16,777,215, in VXLAN mode to 4,095. */
  readonly key: number
  /** The logical router's port on it: the same MAC and addresses on every node. Default: none, it leads nowhere. */
  readonly gateway?: Omit<InterfaceSpec, 'name'>
}

/** A pod on a logical switch. */
export interface OvnPod extends BridgedPod {
  /** The switch's name. */
  readonly switch: string
  /** Key of its logical port: 1 to 32,766, in VXLAN mode to 2,047. */
  readonly key: number
  /** Whether it is on every node (`type: localport`): what it says and is told never leaves through a tunnel. Default false. */
  readonly localport?: boolean
}

/** A logical port on another node. */
export interface FarPort {
  readonly switch: string
  readonly key: number
  readonly mac: string
  /** Without prefix. */
  readonly ips: readonly string[]
}

/** Another node: a chassis. */
export interface OvnPeer {
  readonly node: string
  readonly address: string
  readonly ports: readonly FarPort[]
  /** Switches that only the other has ports of: the logical router knows them all. */
  readonly switches?: readonly LogicalSwitch[]
}

/** Settings of a node that change while it runs. */
export interface OvnSettings extends Pick<NatPolicies, 'outbound' | 'portMappings' | 'services'> {
  readonly pods: readonly OvnPod[]
  readonly switches: readonly LogicalSwitch[]
  readonly uplinks: readonly RoutedPort[]
  readonly peers?: readonly OvnPeer[]
  readonly routes?: readonly Route[]
}

/** Settings of a node. */
export interface OvnOptions
  extends OvnSettings,
    Omit<NatGateOptions, 'balancer'>,
    Pick<OvnBalancerOptions, 'hairpinSnat'>,
    Omit<HostOptions, 'nat'> {
  /** Default `geneve`. */
  readonly encapsulation?: 'geneve' | 'vxlan'
  /** Of the outer header. Default as OVS has it: DF set, TTL 64, no UDP checksum. */
  readonly outer?: Pick<OverlayNetwork, 'df' | 'ttl' | 'tos'>
}

/** A node with OVN. */
export interface OvnNode extends BridgedNode<OvnSettings> {
  /** The load balancers of its switches. */
  readonly balancer: OvnBalancer
}

/** The key of the router's port on each switch, from which comes what was routed: our choice, ports of pods have others. */
export const ROUTER_KEY = 0x7fff

/**
 * mode: ovn - logical switches and a logical router that are on every node at once, as OVN and ovn-kubernetes have them.
 *
 *     pod, key 5           pod, key 2
 *      |                    |
 *     [ ARP and ND: answered for every port of the switch, on whatever node ]
 *     ++-------+           ++-------+
 *     | blue 7 |           | green 9 |        a logical switch: a bridge on each node, and its key
 *     +--+---+-+           +--+---+--+
 *        |   +------+---------|---+
 *        |      +---+---------+---+
 *        |      | logical router, TTL - 1: then the switch of the destination      gateway router: NAT |-- uplink
 *        |      +-----------------+
 *     GENEVE: VNI = key of the switch; option 0x0102/0x80: port it came from, port it goes to
 *     VXLAN:  VNI = port it goes to << 12 | key of the switch
 *
 * The node that a frame comes from decides: it switches, routes, and names the port at the far end, which asks no table again.
 * What is for all goes to the switch's group (32768; 2048 in VXLAN mode) on every node. Where everybody is, is known: nothing is
 * learnt, and what is nowhere is dropped. The distributed router and the node's gateway router are one here, one hop, and
 * translate what leaves by an uplink: our choice.
 *
 * Load balancers are those of the switches, at the ports of pods (`OvnBalancer`), and that of the gateway router for who comes from
 * outside to a node port or an address that leads here: to pods of this node alone (`externalTrafficPolicy: Local`), since the
 * router's addresses, which others' answers would go to, are every node's.
 *
 * Throws a TypeError or RangeError with key and value for settings that make no sense.
 */
export function ovn(ground: Ground, options: OvnOptions): OvnNode {
  const { encapsulation = 'geneve', hairpinSnat = [], conntrack = {} } = options
  const balancer = new OvnBalancer(ground, { hairpinSnat, conntrack })
  const datapaths = new Map<string, Datapath>()
  const datapathOf = (name: string): Datapath => {
    const there = datapaths.get(name) ?? new Datapath(encapsulation, ground.seed)
    datapaths.set(name, there)
    return there
  }
  const guards = new PortGuards<OvnPod>((pod, out) => {
    return [new Responder(ground.pool, { out, known: datapathOf(pod.switch).known, answerProbes: true })]
  })
  const balanced = new PortTranslations<OvnPod>((pod) => balancer.port(pod.name, pod.mac))
  const settings = (next: OvnSettings): HostSettings => {
    const { uplinks, routes = [], outbound, portMappings = [], services = [] } = next
    checkOvn(encapsulation, next)
    checkServices(next)
    guards.begin()
    balanced.begin()
    return {
      bridges: switchesOf(next).map(({ name, gateway }): BridgeSpec => {
        const own = next.pods.filter((pod) => pod.switch === name)
        const closed = { learning: false, unknownUnicastFlood: false } as const
        const ports = own.map((pod) => ({
          ...{ ...podPort(pod), ...closed, guards: guards.of(pod), translation: balanced.of(pod) },
          ...(pod.localport ? { isolated: true } : {}),
        }))
        return { name, ports, ...(gateway === undefined ? {} : { gateway }) }
      }),
      ...{ uplinks, routes },
      policies: {
        ...(outbound === undefined ? {} : { outbound }),
        ...{ portMappings, services: services.flatMap(fromOutside) },
      },
    }
  }
  // Between switches packets there and back pass the router on different nodes: it may not ask for the other half of a flow.
  const host = new HostNode(ground, settings(options), { ...options, nat: { invalid: 'pass', ...gateOf(options) } })
  const tunnels = new BridgeTunnels(ground, host)
  const become = (next: OvnSettings): void => {
    host.change(settings(next))
    balancer.setServices((next.services ?? []).flatMap(fromPods))
    const logical = switchesOf(next).map((own) => {
      const bridge = host.bridges.find(({ name }) => name === own.name) as Bridge
      return { bridge, own, datapath: datapathOf(own.name) }
    })
    const made = logical.flatMap(({ bridge, own, datapath }) => {
      const network = networkOf(options, next, own, datapath.labels)
      return network === null ? [] : [{ bridge, network }]
    })
    tunnels.become(made)
    for (const { bridge, own, datapath } of logical) {
      datapath.become(bridge, made.length === 0 ? null : tunnels.sideOf(own.name), own.name, next)
    }
  }
  become(options)
  return Object.assign(bridgedNode({ host, inside: null }, tunnels, become), { balancer })
}

/** A service as the load balancer of a switch has it: at all addresses alike. */
function fromPods(service: ServiceOptions): ServiceOptions[] {
  const { clusterIps = [], externalIps = [], loadBalancerIps = [], nodePort: _, ...rest } = service
  const all = [...clusterIps, ...externalIps, ...loadBalancerIps]
  return all.length === 0 ? [] : [{ ...rest, clusterIps: all }]
}

/** A service as the gateway router has it: where who is outside comes to. */
function fromOutside({ clusterIps: _, ...service }: ServiceOptions): ServiceOptions[] {
  const { externalIps = [], loadBalancerIps = [], nodePort } = service
  return nodePort === undefined && externalIps.length + loadBalancerIps.length === 0 ? [] : [service]
}

/** Throws a RangeError for a service that an answer would not come back from, and for one that nobody gets to. */
function checkServices(next: OvnSettings): void {
  const { services = [], portMappings = [], uplinks } = next
  const inside = switchesOf(next).flatMap(({ gateway }) => gateway?.addresses ?? [])
  const own = new NodeAddresses(
    [...inside],
    uplinks.flatMap((link) => link.addresses),
  )
  for (const service of services) {
    const { name, externalTrafficPolicy = 'Cluster' } = service
    if (fromOutside(service).length > 0 && externalTrafficPolicy !== 'Local') {
      throw new RangeError(
        `service ${name}: externalTrafficPolicy ${externalTrafficPolicy}: must be Local with nodePort, externalIps or loadBalancerIps, ` +
          "since pods of other nodes would answer to their own node's router",
      )
    }
    own.checkService(service, portMappings)
  }
}

/** All switches that the node knows: a logical router leads to them all. */
function switchesOf({ switches, peers = [] }: OvnSettings): readonly LogicalSwitch[] {
  const all = [...switches, ...peers.flatMap((peer) => peer.switches ?? [])]
  return all.filter(({ name }, i) => all.findIndex((other) => other.name === name) === i)
}

/** The way of a switch to other nodes; null where the node has no IPv4 address that tunnels could go from: nothing is plugged in to
 * its uplink. */
function networkOf(
  options: OvnOptions,
  next: OvnSettings,
  own: LogicalSwitch,
  labels: OvnLabels,
): OverlayNetwork | null {
  const { encapsulation = 'geneve', outer } = options
  const { name, key } = own
  const { uplinks, peers = [], pods } = next
  const local = nodeAddress(uplinks, 4)
  if (local === undefined) return null
  const all: Omit<OverlayNetwork, 'vni'> = {
    ...{ name, local, encapsulation, labels, isolated: true },
    ...{ profile: 'ovs', ...outer },
    ...{ learning: false, unknown: 'drop', knownPeersOnly: peers.length > 0 },
    remotes: peers.map((peer) => peer.address),
  }
  const far = (remote: (port: FarPort, address: string) => RemoteSpec) =>
    peers.flatMap(({ address, ports }) =>
      ports.filter((port) => port.switch === name).map((port) => ({ mac: port.mac, remote: remote(port, address) })),
    )
  if (encapsulation === 'geneve') {
    return {
      ...{ ...all, vni: key, options: [keys.option(0, keys.FIRST_GROUP)] },
      knownOptions: [{ class: keys.CLASS, type: keys.TYPE }],
      static: far((port, address) => ({ address, options: [keys.option(0, port.key)] })),
    }
  }
  return {
    ...{ ...all, vni: keys.vxlanVni(key, keys.FIRST_VXLAN_GROUP) },
    vnis: pods.filter((pod) => pod.switch === name).map((pod) => keys.vxlanVni(key, pod.key)),
    static: far((port, address) => ({ address, vni: keys.vxlanVni(key, port.key) })),
  }
}

/** What a node knows of a logical switch: where all its ports are. */
class Datapath {
  readonly labels: OvnLabels
  /** Who has which address. */
  readonly known: KnownNeighbours
  readonly #router: number
  #bridge: Bridge | null = null
  #macs: readonly string[] = []
  #told: ReadonlyMap<string, string> = new Map()

  constructor(encapsulation: 'geneve' | 'vxlan', seed?: number) {
    this.labels = new OvnLabels(encapsulation)
    this.known = new KnownNeighbours(16_384, seed)
    this.#router = encapsulation === 'geneve' ? ROUTER_KEY : 0
  }

  /** @param tunnel the switch's port to other nodes; null where there is none */
  become(bridge: Bridge, tunnel: SwitchPort | null, name: string, { pods, peers = [] }: OvnSettings): void {
    if (bridge !== this.#bridge) {
      this.#bridge = bridge
      this.#macs = []
      this.#told = new Map()
      for (const { address } of [...this.known.list()]) this.known.delete(address)
    }
    const far = peers.flatMap((peer) => peer.ports).filter((port) => port.switch === name)
    const near = pods.flatMap((pod) => {
      const side = pod.switch === name ? bridge.ports.get(pod.name)?.side : undefined
      return side === undefined ? [] : [{ ...pod, side }]
    })
    for (const mac of this.#macs) bridge.switch.deleteAddress(mac)
    for (const { mac, side } of near) bridge.switch.addStatic(mac, side)
    if (tunnel !== null) for (const { mac } of far) bridge.switch.addStatic(mac, tunnel)
    this.#macs = [...near, ...(tunnel === null ? [] : far)].map(({ mac }) => mac)
    const told = new Map([...near, ...far].flatMap(({ mac, ips }) => ips.map((ip) => [ip, mac] as const)))
    const router = bridge.gateway?.neighbours
    for (const ip of this.#told.keys()) {
      if (told.has(ip)) continue
      this.known.delete(ip)
      router?.remove(ip)
    }
    for (const [ip, mac] of told) {
      if (this.#told.get(ip) === mac) continue
      this.known.set(ip, mac)
      router?.add(ip, mac)
    }
    this.#told = told
    const ports = near.filter((pod) => !pod.localport)
    this.labels.setPorts(
      ports.map(({ key, port, side }): LogicalPort => ({ key, port: port.id, out: side.link })),
      this.#router,
    )
  }
}

/** Throws where keys make no sense, or are another's. */
function checkOvn(encapsulation: 'geneve' | 'vxlan', next: OvnSettings): void {
  const { pods, peers = [] } = next
  const [datapaths, ports] = encapsulation === 'geneve' ? [0xffffff, ROUTER_KEY - 1] : [0xfff, 0x7ff]
  const all = switchesOf(next)
  for (const { name, key } of all) {
    checkRange(`key of switch ${name}`, key, 1, datapaths)
    const twice = all.find((other) => other.key === key && other.name !== name)
    if (twice !== undefined) throw new RangeError(`key of switch ${name}: ${key} is that of ${twice.name}`)
  }
  const taken = new Map<string, string>()
  const claim = (name: string, owner: string, key: number): void => {
    if (!all.some((own) => own.name === name)) throw new RangeError(`switch of ${owner}: there is no switch ${name}`)
    checkRange(`key of ${owner}`, key, 1, ports)
    const other = taken.get(`${name} ${key}`)
    if (other !== undefined) throw new RangeError(`key of ${owner}: ${key} is that of ${other}, on switch ${name}`)
    taken.set(`${name} ${key}`, owner)
  }
  for (const pod of pods) claim(pod.switch, pod.name, pod.key)
  for (const { node, ports: list } of peers)
    for (const port of list) claim(port.switch, `${node} ${port.mac}`, port.key)
}
