import {
  type NatModeOptions,
  type NatNode,
  type NatSettings,
  nat,
  natProfile,
  natTrial,
  type OutboundOptions,
  type PortMappingOptions,
} from '@l2l3/modes'
import type { FlowDirection, FlowInfo, ServiceOptions } from '@l2l3/nat'
import {
  type Address,
  derivedMac,
  isLinkLocal,
  onLink,
  parseHostAddress,
  parseIp,
  parseMac,
  parseNetwork,
} from '../address.ts'
import { attempt } from '../attempt.ts'
import { didYouMean } from '../did-you-mean.ts'
import type { Path } from '../document.ts'
import type { FdbRow, FlowRow, Mode, NeighbourRow, PortRow, Report, RouteRow, ServiceRow } from '../mode.ts'
import type { EndpointSpec, NodeSpec, PortSpec } from '../topology.ts'
import { ModeNode } from './mode-node.ts'
import { endpointOptions, options } from './nat-schema.ts'
import { checkRouted, icmpOf, mtu, type RoutedOptions, routedPort, routesOf, uplinkKeys } from './routed.ts'

/* mode: nat - see `nat` in @l2l3/modes. */

interface RawInside {
  ip: string | string[]
  mac?: string
  mtu?: number
}

interface RawMapping {
  protocol?: 'tcp' | 'udp' | 'sctp'
  port: number | string
  hostIp?: string
  to: string
  toPort?: number | string
  hairpin?: boolean
}

interface RawBackend {
  to: string
  port?: number
  local?: boolean
  weight?: number
  draining?: boolean
}

interface RawService extends Omit<ServiceOptions, 'name' | 'backends'> {
  backends?: RawBackend[]
}

interface Options
  extends RoutedOptions,
    Pick<NatModeOptions, 'balancer' | 'conntrack' | 'mss' | 'invalid' | 'portMappingRules'> {
  inside?: RawInside
  outbound?: OutboundOptions[]
  portMappings?: RawMapping[]
  services?: Record<string, RawService>
}

const of = (node: NodeSpec): Options => node.options as Options

/** The addresses of the gateway; those that are none are left out. */
function gatewayAddresses(node: NodeSpec, report: Report = () => {}): Address[] {
  const { ip = [] } = of(node).inside ?? {}
  return [ip].flat().flatMap((text, i) => {
    const at = Array.isArray(ip) ? ['inside', 'ip', i] : ['inside', 'ip']
    return attempt(report, at, () => parseHostAddress(text)) ?? []
  })
}

const uplinksOf = (node: NodeSpec): readonly PortSpec[] => node.ports.filter((p) => p.endpoint === null)

function check(node: NodeSpec, report: Report): void {
  const { inside } = of(node)
  if (inside === undefined) {
    report([], 'the key "inside" is missing: the gateway of the hosts')
    return
  }
  const gateways = gatewayAddresses(node, report)
  if (inside.mac !== undefined) attempt(report, ['inside', 'mac'], () => parseMac(inside.mac as string))
  for (const { name, endpoint, path } of node.ports) {
    if (name === 'inside') report(path, '"inside" is the name of the gateway\'s interface; choose another', 'key')
    for (const { text, prefix, family, bytes } of endpoint?.addresses ?? []) {
      const own = gateways.filter((g) => g.family === family)
      if (own.some((g) => g.text === text)) report([...path, 'ip'], `${text} is the address of the gateway`)
      else if (!own.some((g) => onLink(g, bytes))) {
        const networks = own.map((g) => `${g.text}/${g.prefix}`).join(', ')
        if (networks === '') report([...path, 'ip'], `inside.ip has no IPv${family} address for ${text}/${prefix}`)
        else report([...path, 'ip'], `${text}/${prefix} is not in the network of the gateway, ${networks}`)
      }
    }
  }
  for (const port of uplinksOf(node)) {
    for (const { text, bytes, prefix } of port.interface.addresses) {
      const own = gateways.find((g) => onLink(g, bytes) || onLink({ ...g, bytes, prefix } as Address, g.bytes))
      if (own !== undefined) {
        report([...port.path, 'ip'], `${text} is in the network of the inside, ${own.text}/${own.prefix}`)
      }
    }
  }
  checkRouted(node, report)
  checkPolicies(node, gateways, report)
}

/** The addresses that a name stands for: an endpoint's of the node, or the address that it is. Throws a RangeError. */
function addressesOf(node: NodeSpec, to: string): readonly Address[] {
  const endpoints = node.ports.flatMap((p) => p.endpoint ?? [])
  const found = endpoints.find((e) => e.name === to || `${e.node}/${e.name}` === to)
  if (found !== undefined) {
    if (found.addresses.length === 0) throw new RangeError(`endpoint ${to} has no address`)
    return found.addresses
  }
  try {
    return [parseIp(to)]
  } catch {
    const names = endpoints.map((e) => e.name)
    const hint = didYouMean(to, names) || '; expected an endpoint of the node or an IP address'
    throw new RangeError(`there is no endpoint "${to}" on node ${node.name}${hint}`)
  }
}

/** A port mapping for each address of the host, of those families that `hostIp` and the gateway have. */
function mappingsOf(node: NodeSpec, raw: RawMapping): PortMappingOptions[] {
  const { hostIp, to, protocol = 'tcp', ...rest } = raw
  const at = hostIp === undefined ? null : readHostIp(hostIp)
  const hosts = addressesOf(node, to).filter(({ family }) => at === null || at.family === family)
  if (hosts.length === 0) throw new RangeError(`${to} has no IPv${at?.family} address, which hostIp is`)
  return hosts.map(({ text }) => ({ ...rest, protocol, to: text, ...(at === null ? {} : { address: at.text }) }))
}

function readHostIp(text: string): Address {
  try {
    return parseIp(text)
  } catch (error) {
    throw new RangeError(`hostIp: ${(error as Error).message}`, { cause: error })
  }
}

function serviceOf(node: NodeSpec, name: string, raw: RawService): ServiceOptions {
  const { backends = [], ...rest } = raw
  const own = new Set(node.ports.flatMap((p) => p.endpoint?.addresses.map((a) => a.text) ?? []))
  return {
    ...rest,
    name,
    backends: backends.flatMap(({ to, port = raw.port, ...more }) =>
      addressesOf(node, to).map(({ text }) => ({ local: own.has(text), ...more, address: text, port })),
    ),
  }
}

/** Throws a RangeError for a frontend of which no backend has the family: no packet that comes there could be served. */
function checkFamilies({
  clusterIps = [],
  externalIps = [],
  loadBalancerIps = [],
  backends = [],
}: ServiceOptions): void {
  if (backends.length === 0) return
  const families = new Set(backends.map((b) => parseIp(b.address).family))
  for (const [key, list] of Object.entries({ clusterIps, externalIps, loadBalancerIps })) {
    for (const [i, text] of list.entries()) {
      const { family } = parseIp(text)
      if (!families.has(family))
        throw new RangeError(`${key}[${i}]: no backend has an IPv${family} address, as ${text} is`)
    }
  }
}

/** Throws a RangeError for a SourceVIP that a host has. */
function checkSourceVips(node: NodeSpec, vips: readonly string[]): void {
  for (const [i, text] of vips.entries()) {
    const { text: vip } = parseIp(text)
    const host = node.ports.find((p) => p.endpoint?.addresses.some((a) => a.text === vip))?.endpoint
    if (host) throw new RangeError(`sourceVips[${i}]: ${text} is the address of ${host.name}`)
  }
}

/** Tries everything that the node will be built of, each for itself, so that each mistake is told at its place. */
function checkPolicies(node: NodeSpec, gateways: readonly Address[], report: Report): void {
  const { outbound = [], portMappings = [], portMappingRules, services = {}, balancer, conntrack } = of(node)
  const trial = natTrial({
    inside: gateways.filter((g) => !isLinkLocal(g)).map((g) => `${g.text}/${g.prefix}`),
    uplinks: uplinksOf(node).map((p) => p.name),
    outside: uplinksOf(node).flatMap((p) => p.interface.addresses.map((a) => `${a.text}/${a.prefix}`)),
    routes: of(node).routes ?? [],
  })
  outbound.forEach((rule, i) => {
    const path: Path = ['outbound', i]
    const before = report
    let fine = true
    const note: Report = (at, message) => {
      fine = false
      before(at, message)
    }
    for (const key of ['from', 'exceptions', 'destinations'] as const) {
      rule[key]?.forEach((text, j) => {
        attempt(note, [...path, key, j], () => parseNetwork(text))
      })
    }
    if (fine) tried(report, path, () => trial.outbound(rule))
  })
  portMappings.forEach((raw, i) => {
    tried(report, ['portMappings', i], () => {
      for (const mapping of mappingsOf(node, raw)) trial.portMapping(mapping, portMappingRules)
    })
  })
  const balanced = tried(report, ['balancer'], () => {
    trial.balancer(balancer ?? {})
    checkSourceVips(node, balancer?.sourceVips ?? [])
  })
  if (balanced) {
    for (const [name, raw] of Object.entries(services)) {
      tried(report, ['services', name], () => {
        const service = serviceOf(node, name, raw)
        trial.service(service)
        checkFamilies(service)
      })
    }
  }
  tried(report, ['conntrack'], () => trial.conntrack(conntrack ?? {}))
}

/** Runs `make`, and reports at `path` why it throws: what @l2l3/nat refuses is a TypeError as well as a RangeError, and
 * begins with a key that the path has already. Says whether all was well. */
function tried(report: Report, path: Path, make: () => void): boolean {
  try {
    make()
    return true
  } catch (error) {
    const message = (error as Error).message.replace(/^(outbound\[\d+\]|portMapping)(: |\.)/, '')
    report(path, message.replace(/^address\b/, 'hostIp'))
    return false
  }
}

/** "10.22.0.11:80", "[fd00::1]:80". */
function ipEnd(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}

function flowRow(node: string, flow: FlowInfo): FlowRow {
  const { protocol, original, reply, state, seenReply, assured, expiresIn } = flow
  const answered = seenReply ? (assured ? 'assured' : 'answered') : 'unanswered'
  const both = (of: (d: FlowDirection) => number): number => of(original) + of(reply)
  return {
    ...{ node, protocol, state: state?.toLowerCase() ?? answered },
    from: ipEnd(original.src, original.srcPort),
    to: ipEnd(original.dst, original.dstPort),
    answersFrom: ipEnd(reply.src, reply.srcPort),
    answersTo: ipEnd(reply.dst, reply.dstPort),
    expires: expiresIn,
    packets: both((d) => d.packets),
    bytes: both((d) => d.bytes),
  }
}

class NatModeNode extends ModeNode {
  #node: NatNode | null = null

  protected become(): void {
    if (this.#node === null) this.#node = nat(this.ground, { ...this.#fixed(), ...this.#settings() })
    else this.#node.change(this.#settings())
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

  /** What stays as long as the node runs. */
  #fixed(): Omit<NatModeOptions, keyof NatSettings> {
    const { spec } = this
    const { inside, portMappingRules, balancer, conntrack, mss, invalid } = of(spec)
    const { mac = derivedMac('inside', spec.name, 'gateway', 'interface'), mtu: longest } = inside as RawInside
    return {
      ...icmpOf(spec),
      gateway: {
        mac: parseMac(mac),
        addresses: gatewayAddresses(spec).map(({ text, prefix }) => `${text}/${prefix}`),
        ...(longest === undefined ? {} : { mtu: longest }),
      },
      ...(portMappingRules === undefined ? {} : { portMappingRules }),
      ...(balancer === undefined ? {} : { balancer }),
      ...(conntrack === undefined ? {} : { conntrack }),
      ...(mss === undefined ? {} : { mss }),
      ...(invalid === undefined ? {} : { invalid }),
    }
  }

  #settings(): NatSettings {
    const { spec, plugged } = this
    const { outbound, portMappings = [], services = {} } = of(spec)
    return {
      inside: plugged.flatMap(({ spec: { name, label, endpoint, options: own }, port }) => {
        return endpoint === null ? [] : [{ ...own, name, label, port }]
      }),
      uplinks: plugged.filter((p) => p.spec.endpoint === null).map((p) => routedPort(p, spec)),
      routes: routesOf(spec, plugged),
      ...(outbound === undefined ? {} : { outbound: outbound.map((rule) => this.#reachable(rule)) }),
      portMappings: portMappings.flatMap((raw) => mappingsOf(spec, raw)),
      services: Object.entries(services).map(([name, raw]) => serviceOf(spec, name, raw)),
    }
  }

  ports(): PortRow[] {
    return this.plugged.map(({ spec: { name }, port }) => {
      const side = this.#node?.inside.get(name)
      const link = this.#node?.uplinks.find((l) => l.name === name)
      const { rxFrames, rxBytes, txFrames, txBytes, rxDropped, txDropped } = port.counters
      return {
        ...{ node: this.spec.name, port: name },
        state: port.failure !== null ? port.failure.message : port.closed ? 'down' : 'up',
        ...{ rxFrames, rxBytes, txFrames, txBytes },
        dropped: side?.counters.dropped ?? link?.iface.counters.rxDropped ?? 0,
        portDropped: rxDropped + txDropped,
        offloads: port.offloadText,
      }
    })
  }

  fdb(): FdbRow[] {
    const node = this.#node
    if (node === null) return []
    const names = new Map(node.switch.ports.map((port) => [port.index, port.name]))
    return Array.from(node.switch.fdb.list(), ({ mac, vlan, port, kind, age }) => {
      return { node: this.spec.name, mac, vlan, port: names.get(port) ?? String(port), kind, age }
    })
  }

  neighbours(): NeighbourRow[] {
    const node = this.#node
    if (node === null) return []
    return [node.gateway, ...node.uplinks].flatMap(({ name, neighbours }) =>
      Array.from(neighbours.list(), ({ address, mac, state }) => {
        return { node: this.spec.name, port: name, address, mac, state }
      }),
    )
  }

  routes(): RouteRow[] {
    return Array.from(this.#node?.router.routes() ?? [], ({ to, kind, hops, metric }) => {
      const via = hops.map((hop) => (hop.via === undefined ? hop.dev : `${hop.via} ${hop.dev}`))
      return { node: this.spec.name, to, kind, via, metric }
    })
  }

  flows(limit: number): FlowRow[] {
    const rows: FlowRow[] = []
    for (const flow of this.#node?.nat.flows() ?? []) {
      if (rows.length === limit) break
      rows.push(flowRow(this.spec.name, flow))
    }
    return rows
  }

  services(): ServiceRow[] {
    const node = this.spec.name
    const mappings = this.#node?.portMappings.list() ?? []
    const services = this.#node === null ? [] : Array.from(this.#node.balancer.services.list())
    return [
      ...mappings.map((text): ServiceRow => {
        const [protocol = '', at = '', , to = ''] = text.split(' ')
        return { node, name: '-', protocol, frontends: [`HostPort ${at}`], backends: [to], flows: null }
      }),
      ...services.map(({ name, protocol, frontends, backends, flows }) => {
        const ends = backends.map((b) => ipEnd(b.address, b.port))
        return { node, name, protocol, frontends, backends: ends, flows }
      }),
    ]
  }

  /** A rule without uplinks where nothing is plugged in. */
  #reachable(rule: OutboundOptions): OutboundOptions {
    const { uplinks } = rule
    if (uplinks === undefined) return rule
    return { ...rule, uplinks: uplinks.filter((name) => this.plugged.some(({ spec }) => spec.name === name)) }
  }
}

/** Timeouts come with the first rule, and are those of the flows that there are. */
function checkChange(before: NodeSpec, next: NodeSpec, report: Report): void {
  const [was, is] = [before, next].map((node) => natProfile(of(node).outbound))
  if (was !== is)
    report(['outbound'], `its first rule would change the timeouts of flows, from those of ${was} to ${is}`)
}

/** Hosts on a network of their own behind the node's addresses. */
export const natMode: Mode = {
  name: 'nat',
  options,
  portOptions: { mtu: { ...mtu, description: 'MTU of the interface, the host’s at an endpoint. Default 1500.' } },
  endpointKeys: endpointOptions,
  uplinkKeys,
  check,
  changes: ['routes', 'outbound', 'portMappings', 'services'],
  checkChange,
  gateways: (node) => [4, 6].flatMap((family) => gatewayAddresses(node).find((a) => a.family === family) ?? []),
  build: (node, ground) => new NatModeNode(node, ground),
}
