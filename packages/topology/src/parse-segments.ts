import { type Address, onLink, parseIp } from './address.ts'
import { attempt } from './attempt.ts'
import { didYouMean } from './did-you-mean.ts'
import type { Path } from './document.ts'
import type { Report } from './mode.ts'
import { parseFaults, type RawFaults } from './parse-faults.ts'
import type { RawEndpoint, Register } from './register.ts'
import type { EndpointSpec, LinkSpec, NodeSpec, PortSpec, SegmentRouterSpec, SegmentSpec } from './topology.ts'

/*
 * Segments of a file, and the nodes and links that they are short for:
 *
 *     segments:                                    client
 *       lan:                                          |
 *         router: { ip: 192.0.2.254/24 }       +------+---------- lan: a switch ---------+
 *         hosts: { client: { ... } }     =>    | client     n1.uplink     n2.uplink   router |
 *     nodes:                                   +---------------+-------------+-----------+---+
 *       n1: { uplink: { segment: lan } }                   n1/uplink     n2/uplink   router/lan
 *       n2: { uplink: { segment: lan } }                                             router: routes between segments
 */

/** A segment, in the shape that the schema assures. */
export interface RawSegment {
  mtu?: number
  router?: { name?: string; ip: string | string[]; mac?: string; routes?: { to: string; via: string }[] }
  hosts?: Record<string, RawEndpoint & { gateway?: string | string[] }>
  faults?: RawFaults
}

/** What segments are short for. */
export interface Expansion {
  readonly segments: readonly SegmentSpec[]
  readonly nodes: readonly NodeSpec[]
  readonly links: readonly LinkSpec[]
  /** Reports a problem of one of these nodes where the file has what it is about. */
  reportFor(node: NodeSpec): Report
}

/** A router on segments, as it is put together. */
interface Router {
  readonly name: string
  readonly ports: PortSpec[]
  readonly routes: { to: string; via: string }[]
  /** Where each of the routes stands. */
  readonly origins: Path[]
}

/** The usual name of the router. */
const ROUTER = 'router'

/** Reads segments, and joins to them the ports of `nodes` that say so. */
export function parseSegments(
  raw: Readonly<Record<string, RawSegment | null>>,
  nodes: readonly NodeSpec[],
  register: Register,
  report: Report,
): Expansion {
  const segments: SegmentSpec[] = []
  const switches: NodeSpec[] = []
  const links: LinkSpec[] = []
  const routers = new Map<string, Router>()
  checkNames(raw, nodes, report)
  const joined = joinedPorts(Object.keys(raw), nodes, report)
  for (const [name, given] of Object.entries(raw)) {
    const { mtu, router: rawRouter, hosts: rawHosts = {}, faults: rawFaults } = given ?? {}
    const path = ['segments', name]
    const faults = parseFaults(rawFaults, [...path, 'faults'], report)
    const options = mtu === undefined ? {} : { mtu }
    const router = rawRouter === undefined ? null : routerOf(name, rawRouter, options, register, routers)
    const ports: PortSpec[] = []
    const add = (port: string, endpoint: EndpointSpec | null): void => {
      ports.push({
        ...{ name: port, label: `${name}/${port}`, endpoint, device: null, options, path: ['hosts', port] },
        interface: register.interface(name, port, path, ['', ''], {}),
        ...(faults === null ? {} : { faults: { out: faults, in: null } }),
      })
    }
    const hosts = Object.entries(rawHosts).map(([host, h]): EndpointSpec => {
      const at = [...path, 'hosts', host]
      const endpoint = register.endpoint(host, name, h ?? {}, at, '', false, mtu ?? 1500)
      if (mtu !== undefined && endpoint.mtu > mtu) tooLong([...at, 'mtu'], endpoint.mtu, name, mtu, report)
      if (host === router?.name) report(at, `"${host}" is the name of the segment's router; choose another`, 'key')
      return { ...endpoint, gateways: gatewaysOf(endpoint, h?.gateway, router, at, report) }
    })
    for (const host of hosts) add(host.name, host)
    for (const { node, port } of joined.get(name) ?? []) {
      const own = (port.options as { mtu?: number }).mtu
      if (mtu !== undefined && own !== undefined && own > mtu) {
        tooLong(['nodes', node.name, ...port.path, 'mtu'], own, name, mtu, report)
      }
      add(`${node.name}.${port.name}`, null)
      links.push([port.label, `${name}/${node.name}.${port.name}`])
    }
    if (router !== null) {
      add(router.name, null)
      links.push([`${router.name}/${name}`, `${name}/${router.name}`])
    }
    switches.push({ name, mode: 'switch', segment: name, options: {}, ports })
    const labels = (joined.get(name) ?? []).map(({ port }) => port.label)
    segments.push({ name, mtu: mtu ?? null, router, hosts, ports: labels, faults })
  }
  const routing = Array.from(routers.values(), ({ name, ports, routes }): NodeSpec => {
    return { name, mode: 'router', segment: name, options: { routes }, ports }
  })
  return {
    ...{ segments, nodes: [...switches, ...routing], links },
    reportFor: (node) => (at, message, where) => {
      const [part, key, ...rest] = at
      const origin = node.mode === 'router' && part === 'routes' ? routers.get(node.name)?.origins[Number(key)] : null
      // Its routes have no such key.
      if (origin != null) report([...origin, ...rest], message.replace(/; the key "port" .*/, ''), where)
      else if (part === 'ports') report(['segments', String(key), 'router', ...rest], message, where)
      else report(['segments', node.name], message, where)
    },
  }
}

/** Names of nodes, segments and routers must differ: segments and routers become nodes. */
function checkNames(
  raw: Readonly<Record<string, RawSegment | null>>,
  nodes: readonly NodeSpec[],
  report: Report,
): void {
  const taken = new Set(nodes.map((node) => node.name))
  for (const name of Object.keys(raw)) {
    if (taken.has(name))
      report(['segments', name], `there is a node "${name}"; a segment needs a name of its own`, 'key')
  }
  for (const [segment, given] of Object.entries(raw)) {
    const { router } = given ?? {}
    const name = router?.name ?? ROUTER
    if (router === undefined || !(taken.has(name) || name in raw)) continue
    const what = name in raw ? 'segment' : 'node'
    const advice = 'the router between segments needs a name of its own'
    const path = ['segments', segment, 'router']
    if (router.name === undefined) report(path, `there is a ${what} "${name}"; ${advice}, by the key "name"`, 'key')
    else report([...path, 'name'], `there is a ${what} "${name}"; ${advice}`)
  }
}

/** The ports that say which segment they are on, by segment. */
function joinedPorts(
  names: readonly string[],
  nodes: readonly NodeSpec[],
  report: Report,
): Map<string, { node: NodeSpec; port: PortSpec }[]> {
  const joined = new Map<string, { node: NodeSpec; port: PortSpec }[]>()
  for (const node of nodes) {
    for (const port of node.ports) {
      const { segment, device } = port
      if (segment === undefined) continue
      const path = ['nodes', node.name, ...port.path, 'segment']
      if (!names.includes(segment)) {
        const hint = names.length === 0 ? '; there are none' : `; there are ${names.join(', ')}`
        report(path, `there is no segment "${segment}"${didYouMean(segment, names) || hint}`)
      } else if (device !== null) {
        const what = { tap: 'a TAP', nic: 'an interface', udp: 'a socket' }[device.kind]
        report(path, `port ${port.label} is ${what} and cannot be on a segment as well`)
      } else joined.set(segment, [...(joined.get(segment) ?? []), { node, port }])
    }
  }
  return joined
}

/** Gives a router its place on a segment; it is made where it is new. */
function routerOf(
  segment: string,
  raw: NonNullable<RawSegment['router']>,
  options: Readonly<Record<string, unknown>>,
  register: Register,
  routers: Map<string, Router>,
): SegmentRouterSpec {
  const { name = ROUTER, routes = [] } = raw
  const path = ['segments', segment, 'router']
  const own = register.interface(name, segment, path, ['mac', 'ip'], raw)
  const router = routers.get(name) ?? { name, ports: [], routes: [], origins: [] }
  routers.set(name, router)
  router.ports.push({
    ...{ name: segment, label: `${name}/${segment}`, endpoint: null, device: null, options },
    ...{ interface: own, segment, path: ['ports', segment] },
  })
  router.routes.push(...routes)
  router.origins.push(...routes.map((_, i) => [...path, 'routes', i]))
  return { name, ...own, routes }
}

/** By which addresses a host on a segment reaches other networks: what it says, or the router's. */
function gatewaysOf(
  host: EndpointSpec,
  raw: string | string[] | undefined,
  router: SegmentRouterSpec | null,
  path: Path,
  report: Report,
): readonly Address[] {
  const near = (gateway: Address): boolean => host.addresses.some((own) => onLink(own, gateway.bytes))
  const gateways: Address[] = []
  if (raw === undefined) {
    for (const family of [4, 6]) {
      const gateway = router?.addresses.find((a) => a.family === family && near(a))
      if (gateway !== undefined) gateways.push(gateway)
    }
    return gateways
  }
  ;[raw].flat().forEach((text, i) => {
    const at = Array.isArray(raw) ? [...path, 'gateway', i] : [...path, 'gateway']
    const gateway = attempt(report, at, () => parseIp(text))
    if (gateway === undefined) return
    if (!near(gateway)) report(at, `${gateway.text} is in no network of ${host.name}`)
    else if (host.addresses.some((own) => own.text === gateway.text)) {
      report(at, `${gateway.text} is the address of ${host.name} itself`)
    } else if (gateways.some((g) => g.family === gateway.family)) {
      report(at, `${host.name} has a gateway for IPv${gateway.family} already`)
    } else gateways.push(gateway)
  })
  return gateways
}

function tooLong(path: Path, mtu: number, segment: string, most: number, report: Report): void {
  report(path, `expected ${most} at most, which segment ${segment} carries, not ${mtu}`)
}
