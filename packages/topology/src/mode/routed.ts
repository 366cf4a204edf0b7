import type { Ground, Route, RoutedLink, RoutedNode, RoutedPort } from '@l2l3/modes'
import type { ReversePathFilter } from '@l2l3/switch-core'
import { type Address, onLink, parseIp, parseNetwork } from '../address.ts'
import { attempt } from '../attempt.ts'
import { didYouMean } from '../did-you-mean.ts'
import type { Path } from '../document.ts'
import type { FdbRow, NeighbourRow, PortRow, Report, RouteRow, Schema } from '../mode.ts'
import type { EndpointSpec, NodeSpec, PortSpec } from '../topology.ts'
import { ModeNode, type Plugged } from './mode-node.ts'
import { tunnelAddresses, tunnelFdb, tunnelNames, tunnelNeighbours, tunnelRows } from './tunnels.ts'

/* What the modes that route have in common: keys for interfaces and routes, what is checked of them, the node. */

const addresses = (description: string): Schema => ({
  type: ['string', 'array'],
  items: { type: 'string' },
  description,
})

/** Keys of ports without a host. */
export const uplinkKeys: { readonly ip: Schema; readonly mac: Schema } = {
  ip: addresses("The node's addresses at the port with their prefixes: one, or a list. Default: none."),
  mac: { type: 'string', description: 'MAC address of the node at the port. Default: made from the names, 02:....' },
}

/** Key of ports that every routed mode has. */
export const mtu: Schema = {
  type: 'integer',
  minimum: 68,
  maximum: 65_535,
  description: 'MTU of the interface: the node fragments what is longer, or says so by ICMP. Default 1500.',
}

/** Which sources may come in. */
export const rpFilter = (usual: ReversePathFilter): Schema => ({
  enum: ['off', 'loose', 'strict'],
  description:
    'Reverse-path filter (RFC 3704): the source must be reachable by some port (loose), or by the one it came in by ' +
    `(strict). Default ${usual}.`,
})

const flag: Schema = { enum: [true] }

/** Options of the node that every routed mode has. */
export const routedOptions: Readonly<Record<string, Schema>> = {
  routes: {
    type: 'array',
    description: 'Static routes.',
    items: {
      type: 'object',
      required: ['to'],
      additionalProperties: false,
      properties: {
        to: { type: 'string', description: 'The network: 10.0.0.0/8, fd00::/8, 0.0.0.0/0.' },
        via: {
          type: ['string', 'array'],
          minItems: 1,
          items: { type: 'string' },
          description: 'The gateway, or a list of them that share the flows.',
        },
        port: {
          type: 'string',
          description:
            'The port that the gateway is behind; default the one in whose network it is. A tunnel needs no gateway.',
        },
        unreachable: { ...flag, description: 'In place of via: answered with an ICMP error, host unreachable.' },
        prohibit: { ...flag, description: 'In place of via: answered with an ICMP error, prohibited.' },
        blackhole: { ...flag, description: 'In place of via: dropped in silence.' },
        metric: {
          type: 'integer',
          minimum: 0,
          maximum: 4_294_967_294,
          description: 'Of several routes to one network the lowest counts. Default 0.',
        },
      },
      oneOf: [
        { required: ['via'] },
        { required: ['unreachable'] },
        { required: ['blackhole'] },
        { required: ['prohibit'] },
        { required: ['port'], not: { required: ['via'] } },
      ],
    },
  },
  echo: { type: 'boolean', description: "Whether pings to the node's addresses are answered. Default true." },
  icmpRateLimit: {
    type: 'object',
    additionalProperties: false,
    description: 'Allowance for ICMP errors; path MTU errors are not limited.',
    properties: {
      rate: { type: 'integer', minimum: 0, maximum: 1e8, description: 'Errors a second; 0 for none. Default 1000.' },
      burst: { type: 'integer', minimum: 1, maximum: 1e6, description: 'Errors at once. Default 50.' },
    },
  },
  icmpSource: {
    enum: ['outgoing', 'incoming'],
    description:
      'Whose address ICMP errors are from: that of the interface by which they leave (outgoing, the default) or by ' +
      'which the packet came in.',
  },
}

interface RawRoute {
  to: string
  via?: string | string[]
  port?: string
  unreachable?: true
  prohibit?: true
  blackhole?: true
  metric?: number
}

/** Options that every routed mode has, as the schema assures them. */
export interface RoutedOptions {
  routes?: RawRoute[]
  echo?: boolean
  icmpRateLimit?: { rate?: number; burst?: number }
  icmpSource?: 'outgoing' | 'incoming'
  rpFilter?: ReversePathFilter
}

/** Checks that each port's networks are its own, and that routes mean something. */
export function checkRouted(node: NodeSpec, report: Report): void {
  const networks: { address: Address; port: PortSpec }[] = []
  for (const port of node.ports) {
    const key = port.endpoint === null ? 'ip' : 'gateway'
    for (const address of port.interface.addresses) {
      const other = networks.find(
        (n) => n.port !== port && (onLink(n.address, address.bytes) || onLink(address, n.address.bytes)),
      )
      if (other === undefined) networks.push({ address, port })
      else {
        const { text, prefix } = other.address
        report([...port.path, key], `${address.text} is in the network of port ${other.port.name}, ${text}/${prefix}`)
      }
    }
  }
  const { routes = [] } = node.options as RoutedOptions
  const seen = new Set<string>()
  routes.forEach((route, i) => {
    const path = ['routes', i]
    const to = attempt(report, [...path, 'to'], () => parseNetwork(route.to))
    if (to === undefined) return
    const key = `${to.text}/${to.prefix} ${route.metric ?? 0}`
    if (seen.has(key))
      report([...path, 'to'], `${to.text}/${to.prefix} is given twice with metric ${route.metric ?? 0}`)
    seen.add(key)
    if (route.port !== undefined && route.via === undefined && !tunnelNames(node).includes(route.port)) {
      const names = node.ports.map((p) => p.name)
      if (names.includes(route.port)) report([...path, 'port'], 'needs the key "via" beside it')
      else checkPort(node, report, [...path, 'port'], route.port)
    }
    gateways(route).forEach((text, j) => {
      const at = Array.isArray(route.via) ? [...path, 'via', j] : [...path, 'via']
      checkGateway(node, report, path, at, route, to, text)
    })
  })
}

function checkGateway(
  node: NodeSpec,
  report: Report,
  path: Path,
  at: Path,
  route: RawRoute,
  to: Address,
  text: string,
): void {
  const via = attempt(report, at, () => parseIp(text))
  if (via === undefined) return
  if (via.family !== to.family)
    report(at, `${text} is an IPv${via.family} address, and ${route.to} an IPv${to.family} network`)
  else if (route.port !== undefined) {
    checkPort(node, report, [...path, 'port'], route.port)
  } else if (behind(node, via) === undefined) {
    report(at, `${text} is in no network of node ${node.name}; the key "port" says which port it is behind`)
  } else if (node.ports.some((p) => p.interface.addresses.some((a) => a.text === via.text))) {
    report(at, `${text} is an address of node ${node.name} itself`)
  }
}

function checkPort(node: NodeSpec, report: Report, at: Path, name: string): void {
  const names = [...node.ports.map((p) => p.name), ...tunnelNames(node)]
  if (names.includes(name)) return
  report(at, `node ${node.name} has no port "${name}"${didYouMean(name, names) || `; it has ${names.join(', ')}`}`)
}

/** The port or tunnel in whose network an address is. */
function behind(node: NodeSpec, address: Address): { readonly name: string } | undefined {
  return (
    node.ports.find((p) => p.interface.addresses.some((a) => onLink(a, address.bytes))) ??
    tunnelAddresses(node).find((t) => onLink(t.address, address.bytes))
  )
}

function gateways({ via = [] }: RawRoute): string[] {
  return Array.isArray(via) ? via : [via]
}

export type { Plugged }

/** The routes of a node without those by way of ports where nothing is plugged in. */
export function routesOf(node: NodeSpec, plugged: readonly Plugged[]): Route[] {
  const inside = tunnelNames(node)
  const there = (name: string | undefined): boolean =>
    plugged.some(({ spec }) => spec.name === name) || (name !== undefined && inside.includes(name))
  return ((node.options as RoutedOptions).routes ?? []).flatMap((raw): Route[] => {
    const { to, metric = 0, port } = raw
    const type = raw.blackhole ? 'blackhole' : raw.unreachable ? 'unreachable' : raw.prohibit ? 'prohibit' : 'unicast'
    if (type !== 'unicast') return [{ to, type, metric }]
    if (raw.via === undefined) return there(port) ? [{ to, metric, port: port as string }] : []
    const via = gateways(raw).filter((text) => there(port ?? behind(node, parseIp(text))?.name))
    return via.length === 0 ? [] : [{ to, via, metric, ...(port === undefined ? {} : { port }) }]
  })
}

/** ICMP settings as the modes' functions take them. */
export function icmpOf(node: NodeSpec): { icmpRate?: number; icmpBurst?: number; echo?: boolean } {
  const { echo, icmpRateLimit: { rate, burst } = {}, icmpSource } = node.options as RoutedOptions
  return {
    ...(echo === undefined ? {} : { echo }),
    ...(rate === undefined ? {} : { icmpRate: rate }),
    ...(burst === undefined ? {} : { icmpBurst: burst }),
    ...(icmpSource === undefined ? {} : { icmpSource }),
  }
}

/** A plugged port as an interface with the addresses that the file gives it. */
export function routedPort({ spec, port }: Plugged, node: NodeSpec): RoutedPort {
  const { name, label, options } = spec
  const { mac, addresses } = spec.interface
  return {
    ...{ rpFilter: (node.options as RoutedOptions).rpFilter ?? 'off' },
    ...(options as Pick<RoutedPort, 'mtu' | 'rpFilter' | 'directedBroadcast'>),
    ...{ name, label, port, mac, addresses: addresses.map(({ text, prefix }) => `${text}/${prefix}`) },
  }
}

/** A node that routes. `S` are the settings that change. */
export class RoutedModeNode<S> extends ModeNode {
  readonly #build: (ground: Ground, settings: S, spec: NodeSpec) => RoutedNode<S>
  readonly #settings: (spec: NodeSpec, plugged: readonly Plugged[]) => S
  #node: RoutedNode<S> | null = null

  /** @param settings makes those settings of the spec
   * @param build builds the node with them */
  constructor(
    spec: NodeSpec,
    ground: Ground,
    settings: (spec: NodeSpec, plugged: readonly Plugged[]) => S,
    build: (ground: Ground, settings: S, spec: NodeSpec) => RoutedNode<S>,
  ) {
    super(spec, ground)
    this.#settings = settings
    this.#build = build
  }

  protected become(): void {
    const settings = this.#settings(this.spec, this.plugged)
    if (this.#node === null) this.#node = this.#build(this.ground, settings, this.spec)
    else this.#node.change(settings)
  }

  forget({ mac, addresses }: EndpointSpec): void {
    this.#node?.host.forget(
      mac,
      addresses.map((a) => a.text),
    )
  }

  leave(): void {
    this.#node?.host.leave()
  }

  ports(): PortRow[] {
    const ports = this.#links().map(({ name, port, iface }) => {
      const { rxFrames, rxBytes, txFrames, txBytes, rxDropped, txDropped } = port.counters
      return {
        ...{ node: this.spec.name, port: name },
        state: port.failure !== null ? port.failure.message : port.closed ? 'down' : 'up',
        ...{ rxFrames, rxBytes, txFrames, txBytes },
        dropped: iface.counters.rxDropped,
        portDropped: rxDropped + txDropped,
        offloads: port.offloadText,
      }
    })
    return [...ports, ...tunnelRows(this.spec.name, this.#node?.tunnels ?? [])]
  }

  fdb(): FdbRow[] {
    return tunnelFdb(this.spec.name, this.#node?.tunnels ?? [])
  }

  neighbours(): NeighbourRow[] {
    const own = this.#links().flatMap(({ name, neighbours }) =>
      Array.from(neighbours.list(), ({ address, mac, state }) => ({
        ...{ node: this.spec.name, port: name },
        ...{ address, mac, state },
      })),
    )
    return [...own, ...tunnelNeighbours(this.spec.name, this.#node?.tunnels ?? [])]
  }

  routes(): RouteRow[] {
    return Array.from(this.#node?.router.routes() ?? [], ({ to, kind, hops, metric }) => {
      const via = hops.map((hop) => (hop.via === undefined ? hop.dev : `${hop.via} ${hop.dev}`))
      return { node: this.spec.name, to, kind, via, metric }
    })
  }

  #links(): readonly RoutedLink[] {
    return this.#node?.links ?? []
  }
}
