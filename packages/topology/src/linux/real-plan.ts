import { createHash } from 'node:crypto'
import type { Address } from '../address.ts'
import type { NodeSpec, PortSpec, SegmentRouteSpec, SegmentSpec, Topology } from '../topology.ts'
import { namespaceName, type WireEnd } from './dataplane.ts'
import { type Host, hostsOf } from './hosts.ts'

/*
 * What a topology is when its underlay is real: which bridges there are, what is on them, and which part of the topology each
 * node's process gets.
 *
 *     namespace l2l3-t.lan      (segment lan)                  namespace l2l3-t.router
 *     +---------------------------------------------+          +-------------------+
 *     |  n1 (TAP)   n2 (TAP)   client    router     |          |  lan      far     |   the kernel, ip_forward
 *     |   |          |          |(veth)   |(veth)   |          |  |(veth)   |(veth) |
 *     |  =+==========+==========+== br0 ==+=====    |          +--+---------+-------+
 *     +---|----------|----------|---------|---------+             |         `---- br0 of segment far
 *         |fd        |fd        |         `-----------------------'
 *     process n1  process n2   eth0 of l2l3-t.client
 *
 * A cable between two nodes is a bridge as well, in a namespace named for both of its ends, which floods as a cable does.
 */

/** A bridge in a namespace of its own. */
export interface BridgePlan {
  readonly netns: string
  /** To people: "segment lan", "cable n1/a to n2/b". */
  readonly title: string
  /** A cable: whatever comes in at one end leaves at the other. */
  readonly cable: boolean
  /** Longest payload of a frame on it. */
  readonly mtu: number
  /** Ports of nodes on it, by label, with the name of their TAP there. */
  readonly taps: ReadonlyMap<string, string>
  /** Hosts on it, with the name of their veth's end there. */
  readonly hosts: readonly (readonly [device: string, host: Host])[]
}

/** An interface of a router of the kernel. */
export interface RouterInterfacePlan {
  /** Of the interface. */
  readonly device: string
  readonly bridge: BridgePlan
  /** Name of the veth's end at the bridge. */
  readonly plug: string
  readonly mac: string
  readonly mtu: number
  readonly addresses: readonly Address[]
  readonly routes: readonly SegmentRouteSpec[]
}

/** A router of the kernel in a namespace of its own. */
export interface RouterPlan {
  readonly netns: string
  readonly interfaces: readonly RouterInterfacePlan[]
}

/** What the process of a node gets. */
export interface PartPlan {
  readonly node: NodeSpec
  readonly topology: Topology
  /** TAPs on bridges, by the port's label. */
  readonly wires: ReadonlyMap<string, WireEnd>
}

/** All of it. */
export interface RealPlan {
  readonly bridges: readonly BridgePlan[]
  readonly routers: readonly RouterPlan[]
  readonly parts: readonly PartPlan[]
}

/** The longest payload that a TAP takes: for wires that are not to be the reason why something is too long. */
const ANY_MTU = 65_521
const ETHERNET_MTU = 1500
/** Longest name of an interface, in bytes. */
const NAME = 15

/** Plans a topology with a real underlay. Throws an Error where names would come to the same namespace. */
export function planReal(topology: Topology): RealPlan {
  const real = topology.nodes.filter((node) => node.segment === undefined)
  const routers = new Map<string, RouterInterfacePlan[]>()
  const bridges = topology.segments.map((segment) => segmentPlan(topology, segment, routers))
  for (const [from, to] of topology.links) {
    const [a, b] = [from, to].map((label) => label.slice(0, label.indexOf('/')))
    if (a !== b && [a, b].every((name) => real.some((node) => node.name === name))) {
      bridges.push(cablePlan(topology, from, to))
    }
  }
  const plan = {
    bridges,
    routers: [...routers].map(([name, interfaces]) => ({ netns: namespaceName(topology, { name }), interfaces })),
    parts: real.map((node) => partPlan(topology, node, bridges)),
  }
  const twice = namespacesOf(topology, plan).find((name, i, all) => all.indexOf(name) !== i)
  if (twice !== undefined) {
    throw new Error(
      `a real underlay needs a namespace for each endpoint, segment and router, and ${twice} would be two`,
    )
  }
  return plan
}

/** The namespaces that there have to be: of endpoints, of bridges, of routers. */
export function namespacesOf(
  topology: Topology,
  { bridges, routers }: Pick<RealPlan, 'bridges' | 'routers'>,
): string[] {
  return [
    ...topology.endpoints.map((endpoint) => namespaceName(topology, endpoint)),
    ...[...bridges, ...routers].map(({ netns }) => netns),
  ]
}

/** Gives interfaces of a namespace their names: as it is wished, where that can be. */
class Names {
  readonly #taken: Set<string> = new Set(['br0', 'lo', 'all', 'default'])

  give(wishes: readonly string[], otherwise: string): string {
    let name = wishes.find((wish) => wish.length <= NAME && !this.#taken.has(wish))
    for (let i = 0; name === undefined; i++) if (!this.#taken.has(`${otherwise}${i}`)) name = `${otherwise}${i}`
    this.#taken.add(name)
    return name
  }
}

/** Names of a veth to a host: its own where that is short enough, else one that does not change when other hosts come and go. */
function vethNames(host: string): string[] {
  return [host, `veth${createHash('sha256').update(host).digest('hex').slice(0, 8)}`]
}

/** TAPs of ports: named for the node, where the node has no other here. */
function tapNames(names: Names, labels: readonly string[]): Map<string, string> {
  return new Map(
    labels.map((label) => {
      const [node = '', port = ''] = label.split('/')
      return [label, names.give([node, `${node}.${port}`], 'tap')]
    }),
  )
}

function segmentPlan(
  topology: Topology,
  segment: SegmentSpec,
  routers: Map<string, RouterInterfacePlan[]>,
): BridgePlan {
  const { name, router } = segment
  const names = new Names()
  const taps = tapNames(names, segment.ports)
  const hosts = topology.nodes.filter((node) => node.name === name && node.segment === name).flatMap(hostsOf)
  const bridge: BridgePlan = {
    netns: namespaceName(topology, { name }),
    title: `segment ${name}`,
    cable: false,
    mtu: segment.mtu ?? ANY_MTU,
    taps,
    hosts: hosts.map((host) => [names.give(vethNames(host.endpoint.name), 'veth'), host]),
  }
  if (router !== null) {
    const interfaces = routers.get(router.name) ?? []
    routers.set(router.name, interfaces)
    interfaces.push({
      ...router,
      device: name.length <= NAME ? name : `eth${interfaces.length}`,
      bridge,
      plug: names.give([router.name], 'veth'),
      mtu: segment.mtu ?? ETHERNET_MTU,
    })
  }
  return bridge
}

function cablePlan(topology: Topology, from: string, to: string): BridgePlan {
  return {
    netns: `l2l3-${topology.name}.${from.replace('/', '.')}-${to.replace('/', '.')}`,
    title: `cable ${from} to ${to}`,
    cable: true,
    mtu: ANY_MTU,
    taps: tapNames(new Names(), [from, to]),
    hosts: [],
  }
}

/** The part of a topology that one node is. */
function partPlan(topology: Topology, node: NodeSpec, bridges: readonly BridgePlan[]): PartPlan {
  const wires = new Map<string, WireEnd>()
  for (const { netns, mtu, taps } of bridges) {
    for (const [label, name] of taps) if (label.startsWith(`${node.name}/`)) wires.set(label, { netns, name, mtu })
  }
  const own = { ...node, ports: node.ports.map((port) => behindSegment(topology, port)) }
  return {
    node: own,
    topology: {
      ...topology,
      nodes: [own],
      endpoints: topology.endpoints.filter((endpoint) => endpoint.node === node.name),
      links: topology.links.filter((ends) => ends.every((label) => label.startsWith(`${node.name}/`))),
      segments: [],
      checks: [],
    },
    wires,
  }
}

/** A segment's faults are what its own ports do to what they send; those are the kernel's here. So the node's does it to what
 * comes in, which is the same wire. */
function behindSegment(topology: Topology, port: PortSpec): PortSpec {
  const faults = topology.segments.find((segment) => segment.ports.includes(port.label))?.faults ?? null
  return faults === null ? port : { ...port, faults: { out: port.faults?.out ?? null, in: faults } }
}
