import { type OverlayNetwork, type OverlayPort, type SocketUplink, type VtepNode, vtep, vtepTrial } from '@l2l3/modes'
import type { Port, SwitchPortOptions } from '@l2l3/switch-core'
import type { PrefixRoute, RemoteSpec } from '@l2l3/vxlan'
import { type Address, parseIp, parseMac, parseNetwork } from '../address.ts'
import { attempt } from '../attempt.ts'
import { didYouMean } from '../did-you-mean.ts'
import type { Path } from '../document.ts'
import type { BuiltNode, FdbRow, Ground, Mode, NeighbourRow, PortRow, Report, RouteRow, Schema } from '../mode.ts'
import type { NodeSpec, PortSpec, SocketSpec } from '../topology.ts'
import {
  checkRouted,
  icmpOf,
  mtu,
  type Plugged,
  type RoutedOptions,
  routedOptions,
  routedPort,
  routesOf,
  uplinkKeys,
} from './routed.ts'
import { portOptions as switchPortOptions } from './switch.ts'
import { farEnd, isGroup, optionsOf, outerOf, type RawOption, type RawOuter } from './tunnel-keys.ts'
import { greKeys, headerKeys, outerKeys, udpPort, understandKeys, vni } from './tunnel-schema.ts'

/* mode: vtep - see `vtep` in @l2l3/modes. */

const far: Schema = { type: 'string', description: 'The address of a far end on the underlay.' }

const remote: Schema = {
  type: ['string', 'object'],
  description: 'A far end: its address, or a map of what is particular there.',
  required: ['address'],
  additionalProperties: false,
  properties: { address: far, vni: { ...vni, description: 'Its VNI, where it is another there.' }, ...headerKeys },
}

const network: Schema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    encapsulation: { enum: ['vxlan', 'geneve', 'gretap'], description: 'How frames are wrapped. Default vxlan.' },
    vni,
    ...greKeys,
    local: {
      type: 'string',
      description: "This end: an address of the node. Default: the first of the underlay's of the far ends' family.",
    },
    port: udpPort,
    remotes: {
      type: 'array',
      description: 'Far ends to which what is for all is sent; gretap: all of them.',
      items: remote,
    },
    multicast: {
      type: 'object',
      required: ['group'],
      additionalProperties: false,
      description: 'A multicast group to which what is for all is sent.',
      properties: {
        group: { type: 'string', description: 'The group.' },
        port: {
          type: 'string',
          description: 'The port of the underlay that it is on. Default: the only one, or "uplink".',
        },
      },
    },
    static: {
      type: 'array',
      description: 'MAC addresses and the far ends where they are.',
      items: {
        type: 'object',
        required: ['mac', 'remote'],
        additionalProperties: false,
        properties: { mac: { type: 'string', description: "The station's MAC address." }, remote },
      },
    },
    prefixes: {
      type: 'array',
      description: 'Networks that are reached through a far end, whatever the MAC.',
      items: {
        type: 'object',
        required: ['to', 'remote'],
        additionalProperties: false,
        properties: {
          to: { type: 'string', description: 'The network: 10.244.2.0/24.' },
          remote,
          mac: { type: 'string', description: "Inner destination MAC for there: the far router's. Default: as it is." },
          srcMac: { type: 'string', description: 'Inner source MAC. Default: as it is.' },
          decrementTtl: { type: 'boolean', description: 'Whether it counts as a hop. Default false.' },
        },
      },
    },
    learning: { type: 'boolean', description: 'Whether far ends are learnt from what comes in. Default true.' },
    unknown: { enum: ['flood', 'drop'], description: 'Unicast to a MAC that is nowhere. Default flood.' },
    knownPeersOnly: { type: 'boolean', description: 'Whether only configured far ends may send here. Default false.' },
    gateway: { type: 'string', description: 'Only frames to this MAC go by prefixes. Default: all IP.' },
    mtu: {
      type: 'integer',
      minimum: 68,
      maximum: 65_535,
      description: 'The longest inner IP packet. Default: what the underlay takes.',
    },
    oversize: {
      enum: ['inner', 'outer', 'drop'],
      description:
        'IPv4 without DF that is longer: fragmented first (inner, the default), wrapped and fragmented then (outer), dropped.',
    },
    ...headerKeys,
    ...understandKeys,
    ...outerKeys,
  },
}

const options: Readonly<Record<string, Schema>> = {
  networks: {
    type: 'object',
    description: 'Networks that span nodes, by name.',
    minProperties: 1,
    propertyNames: { pattern: '^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$' },
    additionalProperties: network,
  },
  ageing: {
    type: 'number',
    minimum: 0,
    maximum: 1_000_000,
    description: 'Seconds until a MAC is forgotten. Default 300.',
  },
  maxEntries: { type: 'integer', minimum: 1, maximum: 1_048_576, description: 'MACs in each table. Default 8192.' },
  ...routedOptions,
}

/** Options of a port of a network; VLAN tags are not looked at. */
const sideOptions = Object.fromEntries(
  Object.entries(switchPortOptions).filter(([key]) => key !== 'vlan' && key !== 'mtu'),
)

/** Key of ports of the underlay: sockets in place of a link. */
const udp: Schema = {
  type: 'object',
  required: ['address'],
  additionalProperties: false,
  description:
    'On Linux: UDP sockets of the machine itself, on an address that it has; the kernel routes. Elsewhere the port is left unplugged.',
  properties: {
    address: { type: 'string', description: 'The address that they are bound to.' },
    port: { ...udpPort, description: 'The UDP port of all ends. Default 4789.' },
    netns: {
      type: 'string',
      minLength: 1,
      description: 'The namespace that they are in. Default: that of the process.',
    },
    sockets: {
      type: 'integer',
      minimum: 1,
      maximum: 64,
      description: 'How many, for as many source ports. Default 8.',
    },
    send: {
      enum: ['rows', 'single'],
      description:
        'Super-frames leave by UDP_SEGMENT (rows, the default where the kernel can), or in single datagrams.',
    },
    receive: {
      enum: ['merge', 'split', 'single'],
      description:
        'Trains come by UDP_GRO and become super-frames (merge, the default), or single frames (split, single).',
    },
    checksum: { type: 'boolean', description: 'Whether datagrams have a UDP checksum. Default true.' },
    dontFragment: { type: 'boolean', description: 'Whether datagrams may not be fragmented. Default false.' },
    device: { type: 'string', description: 'The interface that is sent and received by. Default: any.' },
    groups: { type: 'array', items: { type: 'string' }, description: 'Multicast groups to join.' },
  },
}

type RawRemote = string | { address: string; vni?: number; policy?: number; options?: RawOption[] }

interface RawNetwork
  extends RawOuter,
    Pick<
      OverlayNetwork,
      | 'encapsulation'
      | 'vni'
      | 'key'
      | 'checksum'
      | 'sequence'
      | 'port'
      | 'learning'
      | 'unknown'
      | 'knownPeersOnly'
      | 'gateway'
      | 'mtu'
      | 'oversize'
      | 'gbp'
      | 'knownOptions'
    > {
  local?: string
  remotes?: RawRemote[]
  multicast?: { group: string; port?: string }
  static?: { mac: string; remote: RawRemote }[]
  prefixes?: (Omit<PrefixRoute, 'remote'> & { remote: RawRemote })[]
  policy?: number
  options?: RawOption[]
}

interface Options extends RoutedOptions {
  networks?: Record<string, RawNetwork>
  ageing?: number
  maxEntries?: number
}

const of = (node: NodeSpec): Options => node.options as Options
const networksOf = (node: NodeSpec): [string, RawNetwork][] => Object.entries(of(node).networks ?? {})

/** A port without a host and without a network is the underlay's. */
function isUnderlay({ endpoint, options: own }: PortSpec): boolean {
  return endpoint === null && own.network === undefined
}

/** What stands for a port of the underlay that is sockets. */
function socketOf({ device }: PortSpec): SocketSpec | null {
  return device?.kind === 'udp' ? device : null
}

/** The addresses of a node on its underlay: of interfaces, and of sockets. */
function ownAddresses(node: NodeSpec): Address[] {
  return node.ports.filter(isUnderlay).flatMap((port) => {
    const socket = socketOf(port)
    if (socket === null) return port.interface.addresses
    // One that is none was reported where it was read.
    return (
      attempt(
        () => {},
        [],
        () => parseIp(socket.address),
      ) ?? []
    )
  })
}

/** The network that a port is in: the one it names, or the only one. */
function networkOf(node: NodeSpec, port: PortSpec): string | undefined {
  const { network: named } = port.options as { network?: string }
  const names = networksOf(node).map(([name]) => name)
  return named ?? (names.length === 1 ? names[0] : undefined)
}

const addressOf = (raw: RawRemote): string => (typeof raw === 'string' ? raw : raw.address)

/** All addresses that a network names, with where they stand. */
function* farEnds(raw: RawNetwork): Generator<[Path, string]> {
  const at = (path: Path, r: RawRemote): [Path, string] => [
    typeof r === 'string' ? path : [...path, 'address'],
    addressOf(r),
  ]
  for (const [i, r] of (raw.remotes ?? []).entries()) yield at(['remotes', i], r)
  for (const [i, e] of (raw.static ?? []).entries()) yield at(['static', i, 'remote'], e.remote)
  for (const [i, p] of (raw.prefixes ?? []).entries()) yield at(['prefixes', i, 'remote'], p.remote)
}

/** The address of this end: the one that is given, or the first of the family that the far ends have. */
function localOf(raw: RawNetwork, own: readonly Address[]): Address | undefined {
  if (raw.local !== undefined) return own.find((a) => a.text === parseIp(raw.local as string).text)
  const [first] = Array.from(farEnds(raw), ([, text]) => text)
  const hint = first ?? raw.multicast?.group
  const family = hint?.includes(':') ? 6 : 4
  return own.find((a) => a.family === family) ?? (hint === undefined ? own[0] : undefined)
}

/** The port on whose link a network's group is. */
function groupPort(node: NodeSpec, given: string | undefined): PortSpec | undefined {
  const ports = node.ports.filter(isUnderlay)
  if (given !== undefined) return ports.find((p) => p.name === given)
  return ports.length === 1 ? ports[0] : ports.find((p) => p.name === 'uplink')
}

function check(node: NodeSpec, report: Report): void {
  const networks = networksOf(node)
  if (networks.length === 0) {
    report([], 'the key "networks" is missing: what the hosts are on')
    return
  }
  const names = networks.map(([name]) => name)
  for (const port of node.ports) {
    const { network: named } = port.options as { network?: string }
    if (named !== undefined && !names.includes(named)) {
      const hint = didYouMean(named, names) || `; it has ${names.join(', ')}`
      report([...port.path, 'network'], `node ${node.name} has no network "${named}"${hint}`)
    } else if (!isUnderlay(port) && networkOf(node, port) === undefined) {
      report(port.path, `the key "network" is missing: one of ${names.join(', ')}`)
    }
    if (port.endpoint === null && named !== undefined && port.interface.addresses.length > 0) {
      report([...port.path, 'ip'], `the node has no address in network ${named}: it only carries its frames`)
    }
    if (socketOf(port) !== null && (!isUnderlay(port) || port.interface.addresses.length > 0)) {
      report([...port.path, 'udp'], 'sockets are the underlay, and have the address of the machine: no network, no ip')
      return
    }
    const key = Object.keys(sideOptions).find((k) => k in port.options)
    if (isUnderlay(port) && key !== undefined) {
      report([...port.path, key], 'is of ports of a network, and this is one of the underlay: it has no key "network"')
    }
  }
  const own = ownAddresses(node)
  const sockets = node.ports.some((p) => socketOf(p) !== null)
  if (own.length === 0 && !sockets) report([], 'the node needs an address on the underlay: the key "ip" of an uplink')
  checkRouted({ ...node, ports: node.ports.filter(isUnderlay) }, report)
  if (own.length === 0) return
  const seen = new Map<string, string>()
  let trial = vtepTrial()
  for (const [name, raw] of networks) {
    let fine = true
    const note: Report = (path, message) => {
      fine = false
      report(['networks', name, ...path], message)
    }
    if (node.ports.some((p) => p.name === name)) note([], `node ${node.name} has a port of this name`)
    checkNetwork(node, raw, own, note)
    const local = fine ? localOf(raw, own) : undefined
    if (local === undefined) {
      if (fine) note([], 'the node has no address of the family of its far ends')
      continue
    }
    const number = raw.encapsulation === 'gretap' ? undefined : raw.vni
    if (number !== undefined) {
      const id = `${raw.encapsulation ?? 'vxlan'} ${local.text} ${raw.port ?? ''} ${number}`
      const other = seen.get(id)
      if (other !== undefined) note(['vni'], `${number} is network ${other}'s already`)
      seen.set(id, name)
    }
    const socket = node.ports.map(socketOf).find((s) => s !== null && s.address === local.text)
    const usual = raw.encapsulation === 'geneve' ? 6081 : 4789
    if (socket !== undefined && raw.encapsulation === 'gretap')
      note(['encapsulation'], 'gretap has no UDP to go by sockets')
    else if (socket !== undefined && (raw.port ?? usual) !== (socket?.port ?? 4789)) {
      note(
        ['port'],
        `the socket of ${local.text} has port ${socket?.port ?? 4789}, and the network ${raw.port ?? usual}`,
      )
    }
    try {
      if (fine) trial.network(built(node, name, raw, local))
    } catch (error) {
      // What was tried so far may be half built.
      trial = vtepTrial()
      note([], (error as Error).message)
    }
  }
}

/** Checks what is in the words of a network. */
function checkNetwork(node: NodeSpec, raw: RawNetwork, own: readonly Address[], note: Report): void {
  const { encapsulation = 'vxlan' } = raw
  const gre = encapsulation === 'gretap'
  if (!gre && raw.vni === undefined) note([], `the key "vni" is missing: the network's number in ${encapsulation}`)
  const strange = gre
    ? ['vni', 'port', 'static', 'prefixes', 'multicast', 'learning', 'unknown', 'knownPeersOnly', 'gateway', 'gbp']
    : Object.keys(greKeys)
  const others =
    encapsulation === 'vxlan' ? ['options', 'knownOptions'] : encapsulation === 'geneve' ? ['policy', 'gbp'] : []
  for (const key of [...strange, ...others, ...(gre ? ['options', 'knownOptions', 'policy'] : [])]) {
    if (key in raw) note([key], `has no meaning in a network of ${encapsulation}`)
  }
  if (gre && (raw.remotes ?? []).length === 0) note([], 'the key "remotes" is missing: the other ends')
  if (raw.local !== undefined) {
    const at = attempt(note, ['local'], () => parseIp(raw.local as string))
    if (at === undefined) return
    if (!own.some((a) => a.text === at.text)) {
      note(['local'], `${at.text} is not an address of the node; it has ${own.map((a) => a.text).join(', ')}`)
      return
    }
  }
  const local = localOf(raw, own) ?? (own[0] as Address)
  for (const [path, text] of farEnds(raw)) {
    const address = farEnd(note, path, text, local, own)
    if (address !== undefined && isGroup(address))
      note(path, `${address.text} is a multicast group: the key "multicast"`)
  }
  if (raw.multicast !== undefined) {
    const { group, port } = raw.multicast
    const address = farEnd(note, ['multicast', 'group'], group, local, own)
    if (address !== undefined && !isGroup(address))
      note(['multicast', 'group'], `${address.text} is no multicast group`)
    if (groupPort(node, port) === undefined) {
      if (port === undefined) note(['multicast'], 'the key "port" is missing: the node has several underlay ports')
      else note(['multicast', 'port'], `node ${node.name} has no underlay port "${port}"`)
    }
  }
  raw.static?.forEach(({ mac }, i) => {
    attempt(note, ['static', i, 'mac'], () => parseMac(mac))
  })
  raw.prefixes?.forEach(({ to, mac, srcMac }, i) => {
    attempt(note, ['prefixes', i, 'to'], () => parseNetwork(to))
    if (mac !== undefined) attempt(note, ['prefixes', i, 'mac'], () => parseMac(mac))
    if (srcMac !== undefined) attempt(note, ['prefixes', i, 'srcMac'], () => parseMac(srcMac))
  })
  if (raw.gateway !== undefined) attempt(note, ['gateway'], () => parseMac(raw.gateway as string))
}

function remoteOf(raw: RawRemote): string | RemoteSpec {
  if (typeof raw === 'string') return raw
  const { policy, options: more, ...rest } = raw
  return {
    ...rest,
    ...(policy === undefined ? {} : { group: policy }),
    ...(more === undefined ? {} : { options: optionsOf(more) }),
  }
}

/** A network as the mode's function takes it. */
function built(node: NodeSpec, name: string, raw: RawNetwork, local: Address): OverlayNetwork {
  const { remotes, multicast, static: entries, prefixes, policy, options: more, ...rest } = raw
  const { sourcePorts: _, ...settings } = rest
  return {
    ...settings,
    ...outerOf(raw),
    ...{ name, local: local.text },
    ...(remotes === undefined ? {} : { remotes: remotes.map(remoteOf) }),
    ...(multicast === undefined
      ? {}
      : { multicast: { group: multicast.group, uplink: groupPort(node, multicast.port)?.name ?? 'uplink' } }),
    ...(entries === undefined ? {} : { static: entries.map((e) => ({ mac: e.mac, remote: remoteOf(e.remote) })) }),
    ...(prefixes === undefined ? {} : { prefixes: prefixes.map((p) => ({ ...p, remote: remoteOf(p.remote) })) }),
    ...(policy === undefined ? {} : { group: policy }),
    ...(more === undefined ? {} : { options: optionsOf(more) }),
  }
}

class VtepModeNode implements BuiltNode {
  readonly spec: NodeSpec
  readonly #ground: Ground
  readonly #plugged: Plugged[] = []
  #node: VtepNode | null = null

  constructor(spec: NodeSpec, ground: Ground) {
    this.spec = spec
    this.#ground = ground
  }

  attach(name: string, port: Port): void {
    this.#plugged.push({ spec: this.spec.ports.find((p) => p.name === name) as PortSpec, port })
  }

  ready(): void {
    const { spec } = this
    const { ageing, maxEntries } = of(spec)
    const own = ownAddresses(spec)
    const plugged = this.#plugged.filter((p) => isUnderlay(p.spec))
    const there = (uplink: string): boolean => plugged.some((p) => p.spec.name === uplink)
    this.#node = vtep(this.#ground, {
      ...icmpOf(spec),
      ports: this.#plugged.flatMap((p) => (isUnderlay(p.spec) ? [] : [overlayPort(spec, p)])),
      networks: networksOf(spec).map(([name, raw]) => {
        const { multicast, ...rest } = built(spec, name, raw, localOf(raw, own) as Address)
        return multicast === undefined || !there(multicast.uplink) ? rest : { ...rest, multicast }
      }),
      uplinks: plugged.filter((p) => socketOf(p.spec) === null).map((p) => routedPort(p, spec)),
      sockets: plugged.flatMap((p) => socketUplink(p) ?? []),
      routes: routesOf(spec, plugged),
      ...(ageing === undefined ? {} : { ageing }),
      ...(maxEntries === undefined ? {} : { maxEntries }),
    })
  }

  ports(): PortRow[] {
    const node = this.#node
    if (node === null) return []
    const sides = new Map(node.networks.flatMap((n) => [...n.sides]))
    const plugged = this.#plugged.map(({ spec: { name }, port }): PortRow => {
      const link = node.links.find((l) => l.name === name)
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
    const tunnels = node.networks.flatMap(({ tunnels: list }) =>
      list.map(({ side, id, local, remotes }): PortRow => {
        const { rxFrames, rxBytes, txFrames, txBytes, dropped } = side.counters
        return {
          ...{ node: this.spec.name, port: side.name, state: 'up' },
          ...{ rxFrames, rxBytes, txFrames, txBytes, dropped, portDropped: 0, offloads: '-' },
          tunnel: `${id}, ${local} to ${remotes().join(', ') || 'nobody yet'}`,
        }
      }),
    )
    return [...plugged, ...tunnels]
  }

  fdb(): FdbRow[] {
    return (this.#node?.networks ?? []).flatMap(({ switch: bridge, tunnels }) => {
      const node = this.spec.name
      const names = new Map(bridge.ports.map((port) => [port.index, port.name]))
      const rows: FdbRow[] = []
      for (const { side, id, remotes, network } of tunnels) {
        const vniText = network === null ? id : `vni ${network.vni}`
        if (network === null) names.set(side.index, `${remotes()[0]} ${vniText}`)
        else {
          const name = (to: string): string => (to.includes(' ') ? to : `${to} ${vniText}`)
          for (const { mac, remote: to, kind, age } of network.entries()) {
            rows.push({ node, mac, vlan: 0, port: name(to), kind, age })
          }
          for (const to of network.flood) {
            rows.push({ node, mac: '00:00:00:00:00:00', vlan: 0, port: name(to), kind: 'flood', age: 0 })
          }
          // The switch knows the same addresses: that they are behind the tunnel says less.
          names.delete(side.index)
        }
      }
      for (const { mac, vlan, port, kind, age } of bridge.fdb.list()) {
        const name = names.get(port)
        if (name !== undefined) rows.push({ node, mac, vlan, port: name, kind, age })
      }
      return rows
    })
  }

  neighbours(): NeighbourRow[] {
    return (this.#node?.links ?? []).flatMap(({ name, neighbours }) =>
      Array.from(neighbours.list(), ({ address, mac, state }) => {
        return { node: this.spec.name, port: name, address, mac, state }
      }),
    )
  }

  routes(): RouteRow[] {
    const node = this.spec.name
    const own = Array.from(this.#node?.router.routes() ?? [], ({ to, kind, hops, metric }): RouteRow => {
      const via = hops.map((hop) => (hop.via === undefined ? hop.dev : `${hop.via} ${hop.dev}`))
      return { node, to, kind, via, metric }
    })
    const inside = (this.#node?.networks ?? []).flatMap(({ tunnels }) =>
      tunnels.flatMap(({ network: net }) =>
        Array.from(net?.routes() ?? [], ({ to, remote: by }): RouteRow => {
          return { node, to, kind: 'static', via: [by.includes(' ') ? by : `${by} vni ${net?.vni}`], metric: 0 }
        }),
      ),
    )
    return [...own, ...inside]
  }
}

function socketUplink({ spec, port }: Plugged): SocketUplink | null {
  const socket = socketOf(spec)
  if (socket === null) return null
  const { name, label } = spec
  const { address, port: udpPort = 4789 } = socket
  return { name, label, port, address, udpPort, ...(spec.options as { mtu?: number }) }
}

function overlayPort(node: NodeSpec, { spec, port }: Plugged): OverlayPort {
  const { network: _, ...settings } = spec.options as SwitchPortOptions & { network?: string }
  return { ...settings, name: spec.name, label: spec.label, port, network: networkOf(node, spec) as string }
}

/** Networks that span nodes. */
export const vtepMode: Mode = {
  name: 'vtep',
  options,
  portOptions: {
    network: {
      type: 'string',
      description: 'The network that the port is in. Default: the only one; at an uplink: none.',
    },
    mtu: { ...mtu, description: 'MTU of the interface, the host’s at an endpoint. Default 1500.' },
    ...sideOptions,
  },
  uplinkKeys: { ...uplinkKeys, udp },
  scope: ({ network: named }) => (typeof named === 'string' ? named : ''),
  check,
  build: (node, ground) => new VtepModeNode(node, ground),
}
