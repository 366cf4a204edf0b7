import {
  type HostNode,
  HYBRID_VNI,
  type OvnHybridNode,
  type OvnHybridOptions,
  type OvnHybridSettings,
  ovnHybrid,
} from '@l2l3/modes'
import { FramePool, Loop, MemoryPort, VirtualClock } from '@l2l3/switch-core'
import { ovnMac } from '@l2l3/vxlan'
import { type Address, firstHost, onLink, parseHostAddress, parseIp, parseMac, parseNetwork } from '../address.ts'
import { attempt } from '../attempt.ts'
import type { FdbRow, Ground, Mode, PortRow, Report } from '../mode.ts'
import type { NodeSpec } from '../topology.ts'
import { HostModeNode } from './host-mode-node.ts'
import { gateOptions, kubeOptions, podsOf, uplinksOf } from './linux-node.ts'
import { endpointOptions } from './nat-schema.ts'
import { checkPolicies, policiesOf } from './policies.ts'
import { checkRouted, icmpOf, mtu, type RoutedOptions, routedOptions, routesOf, uplinkKeys } from './routed.ts'
import { checkSportRange, outerOf, type RawOuter } from './tunnel-keys.ts'
import { outerKeys, udpPort, vni } from './tunnel-schema.ts'

/* mode: ovn-hybrid - see `ovnHybrid` in @l2l3/modes. */

const { portMappings: _, ...services } = kubeOptions

const options = {
  ...routedOptions,
  ...services,
  subnet: {
    type: 'string',
    description: "The node's subnet: its first address is the logical router's, its third the distributed router's.",
  },
  drIp: { type: 'string', description: 'The distributed router. Default: the third of subnet.' },
  drMac: { type: 'string', description: 'Its MAC, which nodes with Windows are told. Default: 0a:58 and its address.' },
  vni: { ...vni, description: `The network's number on the wire. Default ${HYBRID_VNI}.` },
  gatewayRouterIp: {
    type: 'string',
    description: 'By which the gateway router speaks; to nodes with Windows it is drIp. Default 100.64.0.2.',
  },
  vxlan: {
    type: 'object',
    additionalProperties: false,
    description: 'The outer header.',
    properties: {
      port: { ...udpPort, description: 'The UDP port of all nodes. Default 4789.' },
      ...outerKeys,
      profile: { ...outerKeys.profile, description: 'Default ovs.' },
    },
  },
  peers: {
    type: 'array',
    description: 'The nodes with Windows.',
    items: {
      type: 'object',
      required: ['subnet', 'address', 'drMac'],
      additionalProperties: false,
      properties: {
        subnet: { type: 'string', description: 'Its subnet: 10.244.4.0/24.' },
        address: { type: 'string', description: 'Its address on the underlay.' },
        drMac: { type: 'string', description: 'The MAC of its distributed router.' },
      },
    },
  },
} as const

interface Options
  extends RoutedOptions,
    Pick<OvnHybridOptions, 'drIp' | 'drMac' | 'vni' | 'gatewayRouterIp' | 'peers'> {
  subnet?: string
  vxlan?: RawOuter & { port?: number }
}

const of = (node: NodeSpec): Options => node.options as Options

/** The logical router's address; none where the subnet is none. */
function gatewayOf(node: NodeSpec, report: Report = () => {}): Address[] {
  const { subnet } = of(node)
  if (subnet === undefined) return []
  return attempt(report, ['subnet'], () => [firstHost(parseNetwork(subnet))]) ?? []
}

function check(node: NodeSpec, report: Report): void {
  let fine = true
  const note: Report = (path, message, at) => {
    fine = false
    report(path, message, at)
  }
  const { subnet, drIp, drMac, gatewayRouterIp, vxlan = {}, peers = [] } = of(node)
  if (subnet === undefined) note([], 'the key "subnet" is missing')
  const gateways = gatewayOf(node, note)
  for (const [key, text] of Object.entries({ drIp, gatewayRouterIp })) {
    if (text !== undefined) attempt(note, [key], () => parseIp(text))
  }
  if (drMac !== undefined) attempt(note, ['drMac'], () => parseMac(drMac))
  checkSportRange((path, message) => note(['vxlan', ...path], message), vxlan)
  peers.forEach((peer, i) => {
    attempt(note, ['peers', i, 'subnet'], () => parseNetwork(peer.subnet))
    attempt(note, ['peers', i, 'address'], () => parseIp(peer.address))
    attempt(note, ['peers', i, 'drMac'], () => parseMac(peer.drMac))
  })
  for (const { endpoint, path } of node.ports) {
    for (const { text, prefix, bytes, family } of endpoint?.addresses ?? []) {
      if (family === 6) note([...path, 'ip'], `${text}/${prefix}: the hybrid overlay has no IPv6`)
      else if (gateways.some((g) => !onLink(g, bytes))) {
        note([...path, 'ip'], `${text}/${prefix} is not in the node's subnet, ${subnet}`)
      } else if (gateways.some((g) => g.text === text)) note([...path, 'ip'], `${text} is the logical router's`)
    }
  }
  const uplinks = node.ports.filter((p) => p.endpoint === null)
  if (!uplinks.some((p) => p.interface.addresses.some((a) => a.family === 4))) {
    note([], `node ${node.name} has no IPv4 address at a port without a host`)
  }
  checkRouted(node, note)
  checkPolicies(node, gateways, note)
  if (fine) tryToBuild(node, report)
}

/** Builds the node for a moment, and reports why that fails. */
function tryToBuild(node: NodeSpec, report: Report): void {
  const pool = new FramePool({ frames: 8, frameSize: 2048 })
  const clock = new VirtualClock()
  const small = { ...node, options: { ...node.options, conntrack: { maxFlows: 16 } } }
  const trial = new OvnHybridModeNode(small, { pool, clock, loop: new Loop(pool, clock) })
  for (const { name } of node.ports) trial.attach(name, new MemoryPort(pool, name))
  try {
    trial.ready()
  } catch (error) {
    report([], (error as Error).message)
  }
}

class OvnHybridModeNode extends HostModeNode {
  #node: OvnHybridNode | null = null

  protected get host(): HostNode | null {
    return this.#node?.host ?? null
  }

  protected become(): void {
    const { spec, plugged } = this
    const settings: OvnHybridSettings = {
      pods: podsOf(plugged),
      uplinks: uplinksOf(spec, plugged),
      peers: of(spec).peers ?? [],
      routes: routesOf(spec, plugged),
      services: policiesOf(spec).services,
    }
    if (this.#node !== null) {
      this.#node.change(settings)
      return
    }
    const { subnet = '', drIp, drMac, vni: number, gatewayRouterIp, vxlan: { port, ...outer } = {} } = of(spec)
    const given = { drIp, drMac, vni: number, gatewayRouterIp, vxlanPort: port }
    this.#node = ovnHybrid(this.ground, {
      ...{ ...icmpOf(spec), ...gateOptions(spec), ...settings, subnet, outer: outerOf(outer) },
      ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
    })
  }

  override ports(): PortRow[] {
    const node = this.#node
    if (node === null || node.network === null) return super.ports()
    const { rxFrames, rxBytes, txFrames, txBytes } = node.network.counters
    const remotes = node.network.remotes().map((r) => r.address)
    const tunnel: PortRow = {
      ...{ node: this.spec.name, port: 'ext-vxlan', state: 'up', rxFrames, rxBytes, txFrames, txBytes },
      ...{ dropped: 0, portDropped: 0, offloads: '-' },
      tunnel: `vxlan vni ${node.vni}, ${node.local} to ${remotes.join(', ') || 'nobody yet'}`,
    }
    return [...super.ports(), tunnel]
  }

  override fdb(): FdbRow[] {
    const far = Array.from(this.#node?.network?.entries() ?? [], ({ mac, remote, kind, age }): FdbRow => {
      return { node: this.spec.name, mac, vlan: 0, port: `${remote} vni ${this.#node?.vni}`, kind, age }
    })
    return [...super.fdb(), ...far]
  }
}

/** The Linux side of ovn-kubernetes' hybrid overlay. */
export const ovnHybridMode: Mode = {
  name: 'ovn-hybrid',
  options,
  portOptions: { mtu: { ...mtu, description: 'MTU of the interface, the pod’s at an endpoint. Default 1500.' } },
  endpointKeys: endpointOptions,
  uplinkKeys,
  // As ovn-kubernetes makes them.
  macOf: ({ ip }) => {
    const text = [ip].flat()[0]
    const address =
      typeof text === 'string'
        ? attempt(
            () => {},
            [],
            () => parseHostAddress(text),
          )
        : undefined
    return address?.family === 4 ? ovnMac(address.text) : undefined
  },
  check,
  gateways: (node, { endpoint }) =>
    gatewayOf(node).filter(({ family }) => endpoint?.addresses.some((a) => a.family === family)),
  changes: ['routes', 'peers', 'services'],
  build: (node: NodeSpec, ground: Ground) => new OvnHybridModeNode(node, ground),
}
