import { type LogicalSwitch, type OvnNode, type OvnOptions, type OvnPeer, type OvnSettings, ovn } from '@l2l3/modes'
import { ovnMac } from '@l2l3/vxlan'
import { type Address, parseIp, parseMac } from '../address.ts'
import { attempt } from '../attempt.ts'
import { didYouMean } from '../did-you-mean.ts'
import type { FlowRow, Mode, Report, Schema, ServiceRow } from '../mode.ts'
import type { EndpointSpec, NodeSpec, PortSpec } from '../topology.ts'
import {
  BridgedModeNode,
  checkHosts,
  checkUnderlay,
  firstIpv4,
  gatewayAddresses,
  gatewayKey,
  gatewayOf,
  given,
  noted,
  type RawGateway,
} from './bridged-node.ts'
import { checkOneOfEach, clusterOptions, oneOrTwo, type RawCluster, underlayAddresses } from './cluster-keys.ts'
import {
  type Build,
  gateOptions,
  KUBE_CHANGES,
  kubeOptions,
  podsOf,
  type SettingsOf,
  tryToBuild,
  uplinksOf,
} from './linux-node.ts'
import { options as natOptions } from './nat-schema.ts'
import { balancerRows, checkPolicies, flowRows, policiesOf, type RawPolicies } from './policies.ts'
import { checkRouted, icmpOf, mtu, type RoutedOptions, routedOptions, routesOf, uplinkKeys } from './routed.ts'
import { checkRoute, farEnd } from './tunnel-keys.ts'
import { outerKeys } from './tunnel-schema.ts'

/* mode: ovn - see `ovn` in @l2l3/modes. */

const portKey = (description: string): Schema => ({ type: 'integer', minimum: 1, maximum: 0x7ffe, description })
const switchKey: Schema = {
  type: 'integer',
  minimum: 1,
  maximum: 0xffffff,
  description: 'Key of its datapath, the VNI of GENEVE; with vxlan to 4095.',
}

/** What a balancer may be told besides is kube-proxy's. */
const { balancer: _, ...gateKeys } = kubeOptions

const options = {
  ...routedOptions,
  ...gateKeys,
  hairpinSnat: oneOrTwo(
    'What a pod that is its own backend sees for a client (hairpin_snat_ip), of each IP version. Default 169.254.169.5, fd69::5.',
  ),
  outbound: natOptions.outbound as Schema,
  cluster: clusterOptions.cluster,
  announce: clusterOptions.announce,
  encapsulation: { enum: ['geneve', 'vxlan'], description: 'Default geneve; vxlan is OVN’s VXLAN mode.' },
  outer: {
    type: 'object',
    additionalProperties: false,
    description: 'The outer header. Default: DF set, TTL 64, TOS 0.',
    properties: { ttl: outerKeys.ttl, df: outerKeys.df, tos: outerKeys.tos },
  },
  switches: {
    type: 'object',
    minProperties: 1,
    description: 'Logical switches that the node has ports of, by name; those of other nodes it knows. Needed.',
    propertyNames: { pattern: '^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$' },
    additionalProperties: {
      type: 'object',
      required: ['key'],
      additionalProperties: false,
      properties: {
        key: switchKey,
        gateway: gatewayKey(
          "The logical router's port on it, the same on every node; its MAC by default 0a:58 and its address.",
        ),
      },
    },
  },
  peers: {
    type: 'array',
    description: 'Nodes that are not in the file, or are other than they tell. Default: those of the cluster.',
    items: {
      type: 'object',
      required: ['node', 'address', 'ports'],
      additionalProperties: false,
      properties: {
        node: { type: 'string', description: "The node's name." },
        address: { type: 'string', description: "The node's address on the underlay." },
        ports: {
          type: 'array',
          description: 'Logical ports there.',
          items: {
            type: 'object',
            required: ['switch', 'key', 'mac', 'ips'],
            additionalProperties: false,
            properties: {
              switch: { type: 'string', description: 'The logical switch.' },
              key: portKey('Key of the port.'),
              mac: { type: 'string', description: 'MAC address of who is there.' },
              ips: { type: 'array', items: { type: 'string' }, description: 'Its addresses, without prefix.' },
            },
          },
        },
        switches: {
          type: 'array',
          description: 'Logical switches that this node has no ports of.',
          items: {
            type: 'object',
            required: ['name', 'key'],
            additionalProperties: false,
            properties: {
              name: { type: 'string', description: 'Its name.' },
              key: switchKey,
              gateway: {
                type: 'object',
                required: ['mac', 'addresses'],
                additionalProperties: false,
                description: "The logical router's port on it.",
                properties: {
                  mac: { type: 'string', description: 'Its MAC address.' },
                  addresses: { type: 'array', items: { type: 'string' }, description: 'Its addresses with prefixes.' },
                  mtu,
                },
              },
            },
          },
        },
      },
    },
  },
} as const

interface Options
  extends RoutedOptions,
    Omit<RawCluster, 'peers'>,
    Pick<RawPolicies, 'outbound'>,
    Pick<OvnOptions, 'encapsulation' | 'outer'> {
  switches?: Record<string, { key: number; gateway?: RawGateway }>
  peers?: OvnPeer[]
  hairpinSnat?: string | string[]
}

interface PodOptions {
  switch?: string
  key?: number
  localport?: boolean
}

const of = (node: NodeSpec): Options => node.options as Options

/** The switch that a port is on: the one it names, or the only one. */
function switchOf(node: NodeSpec, { options: own }: PortSpec): string | undefined {
  const names = Object.keys(of(node).switches ?? {})
  return (own as PodOptions).switch ?? (names.length === 1 ? names[0] : undefined)
}

function switchesOf(node: NodeSpec): LogicalSwitch[] {
  return Object.entries(of(node).switches ?? {}).map(([name, { key, gateway }]) => {
    if (gateway === undefined) return { name, key }
    return { name, key, gateway: gatewayOf(node, gateway, ([first]) => ovnMac(first?.text ?? '0.0.0.0')) }
  })
}

function podOf(node: NodeSpec, port: PortSpec): { switch: string; key: number; localport?: boolean } {
  const { key = 0, localport } = port.options as PodOptions
  return { switch: switchOf(node, port) ?? '', key, ...given({ localport }) }
}

const settings: SettingsOf<OvnSettings> = (spec, plugged) => {
  const { outbound, peers = [] } = of(spec)
  return {
    pods: podsOf(plugged).map((pod) => {
      return { ...pod, ...podOf(spec, spec.ports.find((port) => port.name === pod.name) as PortSpec) }
    }),
    ...{ switches: switchesOf(spec), peers },
    uplinks: uplinksOf(spec, plugged),
    routes: routesOf(spec, plugged),
    ...policiesOf(spec),
    ...given({ outbound }),
  }
}

const build: Build<OvnSettings> = (ground, now, node) => {
  const { encapsulation, outer, hairpinSnat = [] } = of(node)
  const own = given({ encapsulation, outer })
  return ovn(ground, { ...icmpOf(node), ...gateOptions(node), ...now, ...own, hairpinSnat: [hairpinSnat].flat() })
}

/** A node whose switches have load balancers. */
class OvnModeNode extends BridgedModeNode<OvnSettings> {
  get #switched(): OvnNode['balancer']['made'] {
    return (this.node as OvnNode | null)?.balancer.made ?? null
  }

  override forget(host: EndpointSpec): void {
    super.forget(host)
    ;(this.node as OvnNode | null)?.balancer.forget(host.addresses.map((a) => a.text))
  }

  override flows(limit: number): FlowRow[] {
    const routed = super.flows(limit)
    const switched = this.#switched
    if (switched === null || routed.length >= limit) return routed
    return [...routed, ...flowRows(this.spec.name, switched.nat, limit - routed.length)]
  }

  override services(): ServiceRow[] {
    const switched = this.#switched
    const own = switched === null ? [] : balancerRows(this.spec.name, switched.balancer)
    return [...own, ...super.services()]
  }
}

/** The logical router's addresses on a port's switch. */
function gatewaysOf(node: NodeSpec, port: PortSpec): Address[] {
  return gatewayAddresses(of(node).switches?.[switchOf(node, port) ?? '']?.gateway)
}

function check(node: NodeSpec, report: Report): void {
  const { switches = {}, peers = [] } = of(node)
  const names = Object.keys(switches)
  const fine = noted(report, (note) => {
    if (names.length === 0) note([], 'the key "switches" is missing: what the pods are on')
    for (const [name, { gateway }] of Object.entries(switches)) {
      const at = ['switches', name, 'gateway']
      if (gateway?.mac !== undefined) attempt(note, [...at, 'mac'], () => parseMac(gateway.mac as string))
      gatewayAddresses(gateway, (path, message, where) => note([...at, ...path], message, where))
    }
    for (const port of node.ports) {
      if (port.endpoint === null) continue
      const on = switchOf(node, port)
      if (on === undefined) note(port.path, `the key "switch" is missing: one of ${names.join(', ')}`)
      else if (!names.includes(on)) {
        note(
          [...port.path, 'switch'],
          `node ${node.name} has no switch "${on}"${didYouMean(on, names) || `; it has ${names.join(', ')}`}`,
        )
      }
      if ((port.options as PodOptions).key === undefined)
        note(port.path, 'the key "key" is missing: of its logical port')
      checkHosts([port], gatewaysOf(node, port), note)
    }
    checkRouted(node, note)
    const hairpin = [of(node).hairpinSnat ?? []].flat()
    const addresses = hairpin.flatMap((text) => attempt(note, ['hairpinSnat'], () => parseIp(text)) ?? [])
    checkOneOfEach('hairpinSnat', addresses, note)
    checkPolicies(
      node,
      Object.values(switches).flatMap(({ gateway }) => gatewayAddresses(gateway)),
      note,
    )
    const all = node.ports.flatMap((p) => p.interface.addresses)
    const local = underlayAddresses(node).find((a) => a.family === 4)
    checkUnderlay(node, note)
    peers.forEach(({ address, ports }, i) => {
      const at = ['peers', i, 'address']
      const far = local === undefined ? undefined : farEnd(note, at, address, local, all)
      if (far !== undefined) checkRoute(note, at, far, node)
      ports.forEach(({ mac }, j) => void attempt(note, ['peers', i, 'ports', j, 'mac'], () => parseMac(mac)))
    })
  })
  if (fine) tryToBuild(node, settings, build, report)
}

/** OVN's logical switches and router. */
export const ovnMode: Mode = {
  name: 'ovn',
  options,
  portOptions: {
    mtu: { ...mtu, description: 'MTU of the interface, the host’s at an endpoint. Default 1500.' },
    switch: { type: 'string', description: 'At an endpoint: its logical switch. Default: the only one.' },
    key: portKey('At an endpoint: key of its logical port; with vxlan to 2047. Needed.'),
    localport: {
      type: 'boolean',
      description: 'At an endpoint: nothing of it leaves by a tunnel, every node may have one alike. Default false.',
    },
  },
  uplinkKeys,
  macOf: (endpoint) => {
    const ip = firstIpv4(endpoint)
    return ip === undefined ? undefined : ovnMac(ip)
  },
  check,
  gateways: (node, port) =>
    gatewaysOf(node, port).filter(({ family }) => port.endpoint?.addresses.some((a) => a.family === family)),
  announces: (node) => {
    const address = underlayAddresses(node).find((a) => a.family === 4)?.text
    const switches = attempt(
      () => {},
      [],
      () => switchesOf(node),
    )
    if (address === undefined || switches === undefined) return null
    const ports = node.ports.flatMap((port) => {
      const { endpoint } = port
      const { localport, ...own } = podOf(node, port)
      if (endpoint === null || localport) return []
      return [{ ...own, mac: endpoint.mac, ips: endpoint.addresses.map((a) => a.text) }]
    })
    return { node: node.name, address, ports, switches } satisfies OvnPeer
  },
  changes: ['routes', 'peers', 'outbound', ...KUBE_CHANGES],
  build: (node, ground) => new OvnModeNode(node, ground, settings, build),
}
