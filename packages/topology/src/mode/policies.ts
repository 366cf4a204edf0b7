import { type NatModeOptions, natTrial, type OutboundOptions, type PortMappingOptions } from '@l2l3/modes'
import type { Balancer, FlowDirection, FlowInfo, Nat, PortMappings, ServiceOptions } from '@l2l3/nat'
import { type Address, isLinkLocal, parseIp, parseNetwork } from '../address.ts'
import { attempt } from '../attempt.ts'
import { didYouMean } from '../did-you-mean.ts'
import type { Path } from '../document.ts'
import type { FlowRow, Report, ServiceRow } from '../mode.ts'
import type { NodeSpec } from '../topology.ts'
import type { RoutedOptions } from './routed.ts'

/* What the modes with NAT have in common: port mappings and services as the file has them, what is checked of them, and their
 * tables. */

interface RawMapping {
  protocol?: 'tcp' | 'udp' | 'sctp'
  port: number | string
  hostIp?: string
  to: string
  toPort?: number | string
  hairpin?: boolean | 'all'
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

/** Keys of the modes with NAT, as the schema assures them. */
export interface RawPolicies
  extends Pick<NatModeOptions, 'balancer' | 'conntrack' | 'mss' | 'invalid' | 'portMappingRules'> {
  outbound?: OutboundOptions[]
  portMappings?: RawMapping[]
  services?: Record<string, RawService>
}

/** The node's addresses at ports without a host, whether something is plugged in there or not. */
export function ownAddresses(node: NodeSpec): string[] {
  const ports = node.ports.filter((p) => p.endpoint === null)
  return ports.flatMap((p) => p.interface.addresses.map(({ text, prefix }) => `${text}/${prefix}`))
}

/** Port mappings and services of a node, as the modes' functions take them. */
export function policiesOf(node: NodeSpec): { portMappings: PortMappingOptions[]; services: ServiceOptions[] } {
  const { portMappings = [], services = {} } = node.options as RawPolicies
  return {
    portMappings: portMappings.flatMap((raw) => mappingsOf(node, raw)),
    services: Object.entries(services).map(([name, raw]) => serviceOf(node, name, raw)),
  }
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

/** Tries everything that the node's NAT will be built of, each for itself, so that each mistake is told at its place.
 * @param gateways the node's addresses on networks of the inside */
export function checkPolicies(node: NodeSpec, gateways: readonly Address[], report: Report): void {
  const options = node.options as RawPolicies & RoutedOptions
  const { outbound = [], portMappings = [], portMappingRules, services = {}, balancer, conntrack } = options
  const uplinks = node.ports.filter((p) => p.endpoint === null)
  const trial = natTrial({
    inside: gateways.filter((g) => !isLinkLocal(g)).map((g) => `${g.text}/${g.prefix}`),
    uplinks: uplinks.map((p) => p.name),
    outside: ownAddresses(node),
    routes: options.routes ?? [],
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
export function tried(report: Report, path: Path, make: () => void): boolean {
  try {
    make()
    return true
  } catch (error) {
    const message = (error as Error).message.replace(/^(outbound\[\d+\]|outboundNat|portMapping)(: |\.)/, '')
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

/** Up to `limit` flows of a NAT. */
export function flowRows(node: string, nat: Nat, limit: number): FlowRow[] {
  const rows: FlowRow[] = []
  for (const flow of nat.flows()) {
    if (rows.length === limit) break
    rows.push(flowRow(node, flow))
  }
  return rows
}

/** Port mappings and services of a NAT. */
export function serviceRows(
  node: string,
  { portMappings, balancer }: { readonly portMappings: PortMappings; readonly balancer: Balancer },
): ServiceRow[] {
  return [
    ...portMappings.list().map((text): ServiceRow => {
      const [protocol = '', at = '', , to = ''] = text.split(' ')
      return { node, name: '-', protocol, frontends: [`HostPort ${at}`], backends: [to], flows: null }
    }),
    ...balancerRows(node, balancer),
  ]
}

/** Services of a balancer. */
export function balancerRows(node: string, balancer: Balancer): ServiceRow[] {
  return Array.from(balancer.services.list(), ({ name, protocol, frontends, backends, flows }) => {
    const ends = backends.map((b) => ipEnd(b.address, b.port))
    return { node, name, protocol, frontends, backends: ends, flows }
  })
}
