import { type RoutedTunnel, type TunnelLink, type TunnelSubnet, type TunnelType, tunnelTrial } from '@l2l3/modes'
import type { ReversePathFilter } from '@l2l3/switch-core'
import type { FanOptions } from '@l2l3/vxlan'
import { type Address, onLink, parseHostAddress, parseIp, parseMac, parseNetwork } from '../address.ts'
import { attempt } from '../attempt.ts'
import type { FdbRow, NeighbourRow, PortRow, Report, Schema } from '../mode.ts'
import type { NodeSpec } from '../topology.ts'
import { checkRoute, checkSportRange, farEnd, isGroup, outerOf, type RawOuter, UDP_KEYS } from './tunnel-keys.ts'
import { greKeys, outerKeys, udpPort, understandKeys, vni } from './tunnel-schema.ts'

/* The tunnels of mode router - see `addTunnels` in @l2l3/modes. */

const TYPES: readonly TunnelType[] = ['ipip', '6in4', 'ip', 'gre', 'gretap', 'vxlan', 'geneve', 'flannel-udp']

const far: Schema = { type: 'string', description: "The node's address on the underlay." }

const tunnel: Schema = {
  type: 'object',
  required: ['type', 'local'],
  additionalProperties: false,
  properties: {
    type: {
      enum: TYPES,
      description:
        'What carries what: IPv4 in IP (ipip), IPv6 in IP (6in4), both (ip), GRE with packets or frames (gre, gretap), ' +
        'frames in UDP (vxlan, geneve), packets in UDP (flannel-udp).',
    },
    local: { type: 'string', description: "This end: one of the node's addresses." },
    remote: {
      type: ['string', 'object'],
      description: "The other end. Left out, subnets and the gateways of routes by the tunnel are nodes' addresses.",
      required: ['fan'],
      additionalProperties: false,
      properties: {
        fan: {
          type: 'object',
          required: ['overlay', 'underlay'],
          additionalProperties: false,
          description: 'A FAN: the other end is computed of the destination.',
          properties: {
            overlay: { type: 'string', description: 'The wide network: 250.0.0.0/8.' },
            underlay: { type: 'string', description: "The nodes' network: 172.16.0.0/16." },
          },
        },
      },
    },
    subnets: {
      type: 'array',
      description: 'Networks and the nodes that have them.',
      items: {
        type: 'object',
        required: ['to', 'remote'],
        additionalProperties: false,
        properties: {
          to: { type: 'string', description: 'The network: 10.244.2.0/24.' },
          remote: far,
          mac: { type: 'string', description: 'vxlan, geneve: MAC of its end. Default: made of its address.' },
          via: { type: 'string', description: 'vxlan, geneve: its address inside. Default: the first of the network.' },
        },
      },
    },
    ip: {
      type: ['string', 'array'],
      items: { type: 'string' },
      description: "The node's addresses inside with their prefixes: one, or a list. Default: none.",
    },
    mac: { type: 'string', description: 'MAC address of the node inside. Default: made of local, 0a:58:....' },
    mtu: {
      type: 'integer',
      minimum: 68,
      maximum: 65_535,
      description: 'The longest inner packet. Default: what the underlay takes.',
    },
    vni,
    port: udpPort,
    learning: {
      type: 'boolean',
      description: 'vxlan, geneve: whether far ends are learnt from what comes in. Default: without subnets.',
    },
    knownPeersOnly: {
      type: 'boolean',
      description:
        'vxlan, geneve: whether only nodes that remote and subnets name may send here. Default: where far ends are not learnt.',
    },
    peers: {
      type: 'array',
      items: { type: 'string' },
      description: 'Without remote: IPv4 networks that packets may come from. Default: any.',
    },
    encapLimit: {
      type: ['integer', 'string'],
      minimum: 0,
      maximum: 255,
      pattern: '^none$',
      description: 'How often a packet may be wrapped already (RFC 2473, 4.1.1). Default 4.',
    },
    ...greKeys,
    ...understandKeys,
    ...outerKeys,
  },
}

/** The key of a router's tunnels. */
export const tunnelsKey: Schema = {
  type: 'object',
  description: 'Interfaces of the node that lead through its other ports to other nodes, by name.',
  propertyNames: { pattern: '^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$' },
  additionalProperties: tunnel,
}

interface RawTunnel
  extends RawOuter,
    Pick<
      RoutedTunnel,
      | 'type'
      | 'local'
      | 'mac'
      | 'mtu'
      | 'vni'
      | 'port'
      | 'learning'
      | 'knownPeersOnly'
      | 'peers'
      | 'key'
      | 'checksum'
      | 'sequence'
      | 'gbp'
    > {
  remote?: string | { fan: FanOptions }
  subnets?: TunnelSubnet[]
  ip?: string | string[]
  encapLimit?: number | 'none'
  knownOptions?: { class: number; type: number }[]
}

/** Which keys mean something to which types; the others do to all. */
const FOR: Readonly<Record<string, readonly TunnelType[]>> = {
  vni: ['vxlan', 'geneve'],
  learning: ['vxlan', 'geneve'],
  knownPeersOnly: ['vxlan', 'geneve'],
  gbp: ['vxlan'],
  knownOptions: ['geneve'],
  port: ['vxlan', 'geneve', 'flannel-udp'],
  key: ['gre', 'gretap'],
  checksum: ['gre', 'gretap'],
  sequence: ['gre', 'gretap'],
  peers: ['ipip', '6in4', 'ip', 'gre', 'flannel-udp'],
  encapLimit: ['ipip', '6in4', 'ip', 'gre', 'gretap', 'flannel-udp'],
  subnets: ['ipip', '6in4', 'ip', 'gre', 'vxlan', 'geneve', 'flannel-udp'],
  ...Object.fromEntries(UDP_KEYS.map((key) => [key, ['vxlan', 'geneve']])),
  udpChecksum: ['vxlan', 'geneve', 'flannel-udp'],
  remote: ['ipip', '6in4', 'ip', 'gre', 'gretap', 'vxlan', 'geneve'],
}

const rawOf = (node: NodeSpec): [string, RawTunnel][] =>
  Object.entries((node.options as { tunnels?: Record<string, RawTunnel> }).tunnels ?? {})

/** Names of a node's tunnels. */
export function tunnelNames(node: NodeSpec): string[] {
  return rawOf(node).map(([name]) => name)
}

/** The addresses that a node has at its tunnels; what is none is left out. */
export function tunnelAddresses(node: NodeSpec): { name: string; address: Address }[] {
  return rawOf(node).flatMap(([name, { ip = [] }]) =>
    [ip].flat().flatMap((text) => {
      const address = attempt(
        () => {},
        [],
        () => parseHostAddress(text),
      )
      return address === undefined ? [] : [{ name, address }]
    }),
  )
}

/** Reports what is wrong with a node's tunnels. */
export function checkTunnels(node: NodeSpec, report: Report): void {
  const own = node.ports.flatMap((p) => p.interface.addresses)
  const tried: RoutedTunnel[] = []
  const uplinks = node.ports.map(({ name, interface: { mac, addresses }, options }) => ({
    ...{ name, mac, ...(options as { mtu?: number }) },
    addresses: addresses.map(({ text, prefix }) => `${text}/${prefix}`),
  }))
  for (const [name, raw] of rawOf(node)) {
    let fine = true
    const note: Report = (path, message) => {
      fine = false
      report(['tunnels', name, ...path], message)
    }
    if (node.ports.some((p) => p.name === name)) note([], `node ${node.name} has a port of this name`)
    checkTunnel(node, raw, own, note)
    if (!fine) continue
    try {
      const spec = specOf(name, raw)
      tunnelTrial([...tried, spec], { uplinks })
      tried.push(spec)
    } catch (error) {
      note([], (error as Error).message)
    }
  }
}

function checkTunnel(node: NodeSpec, raw: RawTunnel, own: readonly Address[], note: Report): void {
  const { type, remote, subnets = [], ip = [] } = raw
  for (const [key, types] of Object.entries(FOR)) {
    if (key in raw && !types.includes(type)) note([key], `has no meaning in a tunnel of ${type}`)
  }
  if (FOR.vni?.includes(type) && raw.vni === undefined) note([], `the key "vni" is missing: its number in ${type}`)
  if (type === 'gretap' && typeof remote !== 'string') note([], 'the key "remote" is missing: the other end')
  if (raw.mac !== undefined) attempt(note, ['mac'], () => parseMac(raw.mac as string))
  checkSportRange(note, raw)
  ;[ip].flat().forEach((text, i) => {
    const at = Array.isArray(ip) ? ['ip', i] : ['ip']
    const address = attempt(note, at, () => parseHostAddress(text))
    // An address for itself may be out of a port's network, as flannel's 10.244.1.0/32.
    if (address === undefined || address.prefix === address.bytes.length * 8) return
    const other = node.ports.find((p) => p.interface.addresses.some((a) => onLink(a, address.bytes)))
    if (other !== undefined) note(at, `${address.text} is in the network of port ${other.name}`)
  })
  const local = attempt(note, ['local'], () => parseIp(raw.local))
  if (local === undefined) return
  if (!own.some((a) => a.text === local.text)) {
    note(
      ['local'],
      `${local.text} is not an address of the node; it has ${own.map((a) => a.text).join(', ') || 'none'}`,
    )
    return
  }
  const ends: [(string | number)[], string][] = subnets.map((s, i) => [['subnets', i, 'remote'], s.remote])
  if (typeof remote === 'string') ends.push([['remote'], remote])
  for (const [at, text] of ends) {
    const address = farEnd(note, at, text, local, own)
    if (address === undefined) continue
    if (isGroup(address)) note(at, `${address.text} is a multicast group, not a node`)
    else if (address.family === local.family) checkRoute(note, at, address, node)
  }
  subnets.forEach(({ to, mac, via }, i) => {
    const network = attempt(note, ['subnets', i, 'to'], () => parseNetwork(to))
    if (mac !== undefined) attempt(note, ['subnets', i, 'mac'], () => parseMac(mac))
    const gateway = via === undefined ? undefined : attempt(note, ['subnets', i, 'via'], () => parseIp(via))
    if (network !== undefined && gateway !== undefined && network.family !== gateway.family) {
      note(
        ['subnets', i, 'via'],
        `${gateway.text} is an IPv${gateway.family} address, and ${to} an IPv${network.family} network`,
      )
    }
    for (const [key, given] of Object.entries({ mac, via })) {
      if (given !== undefined && !FOR.vni?.includes(type))
        note(['subnets', i, key], `has no meaning in a tunnel of ${type}`)
    }
  })
}

function specOf(name: string, raw: RawTunnel): RoutedTunnel {
  const { ip = [], sportRange: _, ...rest } = raw
  return { ...rest, ...outerOf(raw), name, addresses: [ip].flat() }
}

/** The tunnels of a node as `router` takes them. */
export function tunnelsOf(node: NodeSpec): RoutedTunnel[] {
  const { rpFilter } = node.options as { rpFilter?: ReversePathFilter }
  return rawOf(node).map(([name, raw]) => ({ ...specOf(name, raw), ...(rpFilter === undefined ? {} : { rpFilter }) }))
}

/** Tunnels as rows of the port table: frames and bytes of the interface inside. */
export function tunnelRows(node: string, tunnels: readonly TunnelLink[]): PortRow[] {
  return tunnels.map(({ name, id, iface, local, remotes }) => {
    const { rxFrames, rxBytes, txFrames, txBytes, rxDropped, txDropped } = iface.counters
    return {
      ...{ node, port: name, state: 'up', rxFrames, rxBytes, txFrames, txBytes },
      ...{ dropped: rxDropped, portDropped: txDropped, offloads: '-' },
      tunnel: `${id}, ${local} to ${remotes().join(', ') || 'the next hop'}`,
    }
  })
}

/** Where MACs behind tunnels are: "192.0.2.2 vni 1". */
export function tunnelFdb(node: string, tunnels: readonly TunnelLink[]): FdbRow[] {
  return tunnels.flatMap(({ network }) =>
    Array.from(network?.entries() ?? [], ({ mac, remote, kind, age }) => {
      const port = remote.includes(' ') ? remote : `${remote} vni ${network?.vni}`
      return { node, mac, vlan: 0, port, kind, age }
    }),
  )
}

/** Neighbours on tunnels that carry frames. */
export function tunnelNeighbours(node: string, tunnels: readonly TunnelLink[]): NeighbourRow[] {
  return tunnels.flatMap(({ name, neighbours }) =>
    Array.from(neighbours?.list() ?? [], ({ address, mac, state }) => ({ node, port: name, address, mac, state })),
  )
}
