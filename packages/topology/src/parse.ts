import { derivedMac, parseIp } from './address.ts'
import { attempt } from './attempt.ts'
import { withNeighbours, withPeers } from './cluster.ts'
import { didYouMean } from './did-you-mean.ts'
import { type Path, TopologyDocument } from './document.ts'
import { MODES, type Mode, type Report, type RawNode as UnreadNode } from './mode.ts'
import { parseChecks, type RawCheck } from './parse-checks.ts'
import { parseFaults, type RawFaults } from './parse-faults.ts'
import { parseSegments, type RawSegment } from './parse-segments.ts'
import { rememberPlaces } from './places.ts'
import { type RawEndpoint, Register } from './register.ts'
import type {
  CheckSpec,
  DeviceSpec,
  FaultSpec,
  LinkSpec,
  NodeSpec,
  PortSpec,
  SocketSpec,
  Topology,
} from './topology.ts'
import { type Problem, TopologyError } from './topology-error.ts'
import { validate } from './validate.ts'

/*
 * From text to a `Topology`, in three passes, each over the whole file, each reporting all that it finds:
 *
 *   1. text      YAML or JSON, keys unique                      document.ts
 *   2. shape     keys, types, ranges, by the JSON Schema        validate.ts
 *   3. meaning   addresses, names that refer to each other      here, register.ts, parse-*.ts and the modes
 *
 * A pass runs only where the one before found nothing: a wrong shape has no meaning.
 */

interface RawPort extends Record<string, unknown> {
  ip?: string | string[]
  mac?: string
  segment?: string
  tap?: Omit<Extract<DeviceSpec, { kind: 'tap' }>, 'kind' | 'name'> & { name?: string }
  nic?: Omit<Extract<DeviceSpec, { kind: 'nic' }>, 'kind'>
  udp?: SocketSpec
}

interface RawHost extends RawEndpoint {
  gateway?: string | string[]
  gatewayMac?: string
  faults?: RawFaults
}

interface RawNode extends Record<string, unknown> {
  mode: string
  uplink?: RawPort
  ports?: Record<string, RawPort>
  endpoints?: Record<string, RawHost>
}

type RawLink = [string, string] | { join: [string, string]; faults?: RawFaults }

interface RawTopology {
  name?: string
  seed?: number
  queue?: number
  nodes: Record<string, RawNode>
  segments?: Record<string, RawSegment | null>
  links?: RawLink[]
  checks?: RawCheck[]
}

/**
 * Reads a topology, YAML or JSON.
 *
 * @param text the file's text
 * @param file its name, for messages, and for the topology's name where the file gives none
 * @throws TopologyError that lists every problem with file, line, column and key
 *
 * @example
 * const topology = parseTopology(readFileSync('two.yaml', 'utf8'), 'two.yaml')
 */
export function parseTopology(text: string, file: string): Topology {
  const doc = new TopologyDocument(text, file)
  refuse(doc.problems)
  refuse(validate(doc))
  const reading = new Reading(doc)
  const topology = reading.topology()
  refuse(reading.problems)
  rememberPlaces(topology, doc)
  return topology
}

/**
 * Reads checks that are not in the topology's file, as if they stood there: in the form of a file's, `{ ping: { from, to } }`.
 *
 * @throws TopologyError that lists every problem, with the key
 */
export function parseMoreChecks(topology: Topology, checks: readonly unknown[]): readonly CheckSpec[] {
  // What a check may look like does not depend on the nodes, of which there is one in every file.
  const doc = new TopologyDocument(JSON.stringify({ nodes: { any: { mode: 'switch' } }, checks }), topology.file)
  refuse(doc.problems)
  refuse(validate(doc))
  const problems: Problem[] = []
  const report: Report = (path, message, at) => problems.push(doc.problem(path, message, at))
  const specs = parseChecks(checks as readonly RawCheck[], topology.nodes, report)
  refuse(problems)
  return specs
}

function refuse(problems: readonly Problem[]): void {
  if (problems.length === 0) return
  const inOrder = [...problems].sort((a, b) => a.line - b.line || a.column - b.column)
  throw new TopologyError(inOrder)
}

/** The third pass over one document. */
class Reading {
  readonly problems: Problem[] = []
  readonly #doc: TopologyDocument
  readonly #raw: RawTopology
  readonly #name: string
  readonly #register: Register

  constructor(doc: TopologyDocument) {
    this.#doc = doc
    this.#raw = doc.value as RawTopology
    this.#name = this.#raw.name ?? nameOf(doc.file)
    this.#register = new Register(this.#name, this.#report)
  }

  topology(): Topology {
    const { segments: raw = {}, seed = 1, queue, checks: rawChecks = [] } = this.#raw
    const told = Object.entries(this.#raw.nodes).map(([name, node]) => this.#node(name, node))
    const own = withPeers(told, MODES)
    const { segments, ...expansion } = parseSegments(raw, own, this.#register, this.#report)
    const cables = this.#links(own)
    for (const node of own) {
      check(node, (path, message, at) => this.#report(['nodes', node.name, ...path], message, at))
    }
    for (const node of expansion.nodes) check(node, expansion.reportFor(node))
    const nodes = [...own.map((node) => withFaults(node, cables)), ...expansion.nodes]
    const links = [...cables.map((cable) => cable.join), ...expansion.links]
    const endpoints = nodes.flatMap((node) => node.ports.flatMap((p) => p.endpoint ?? []))
    const checks = parseChecks(rawChecks, nodes, this.#report)
    const waiting = queue === undefined ? {} : { queue }
    return { name: this.#name, file: this.#doc.file, nodes, endpoints, links, segments, seed, ...waiting, checks }
  }

  readonly #report = (path: Path, message: string, at: 'key' | 'value' = 'value'): void => {
    this.problems.push(this.#doc.problem(path, message, at))
  }

  #node(name: string, given: RawNode): NodeSpec {
    const known = MODES.get(given.mode) as Mode
    const notes: string[] = []
    const expanding = {
      ...{ name, file: this.#doc.file, note: (text: string) => void notes.push(text) },
      report: (path: Path, message: string, at?: 'key' | 'value') =>
        this.#report(['nodes', name, ...path], message, at),
    }
    const raw = (known.expand?.(given as UnreadNode, expanding) ?? given) as RawNode
    const { mode, uplink, ports = {}, endpoints = {}, ...options } = raw
    const specs: PortSpec[] = []
    const add = (port: PortSpec): void => {
      if (port.name === 'uplink' && port.path[0] !== 'uplink') {
        this.#report(['nodes', name, ...port.path], '"uplink" is the name of the node\'s uplink; choose another', 'key')
      } else if (specs.some((p) => p.name === port.name)) {
        this.#report(['nodes', name, ...port.path], `node ${name} has two ports named "${port.name}"`, 'key')
      } else specs.push(port)
    }
    for (const [host, e] of Object.entries(endpoints)) {
      const path = ['endpoints', host]
      const at = ['nodes', name, ...path]
      const mac = e?.mac ?? known.macOf?.(e ?? {})
      const own = { ...e, ...(mac === undefined ? {} : { mac }) }
      const endpoint = this.#register.endpoint(host, name, own, at, known.scope?.(e ?? {}), known.sharedMac)
      const label = `${name}/${host}`
      const face = this.#register.interface(name, host, at, ['gatewayMac', 'gateway'], e ?? {})
      const faults = parseFaults(e?.faults, [...at, 'faults'], this.#report)
      add({
        ...{ name: host, label, endpoint, device: null, interface: face, options: pick(e ?? {}, known), path },
        ...(faults === null ? {} : { faults: { out: faults, in: faults } }),
      })
    }
    const plain = (port: string, p: RawPort, path: string[]): void => {
      const device = this.#device(name, port, p, path)
      const label = `${name}/${port}`
      const own = this.#register.interface(name, port, ['nodes', name, ...path], ['mac', 'ip'], p)
      const { segment } = p
      // What a segment carries is what its ports carry, where they do not say less.
      const mtu = segment === undefined ? undefined : this.#raw.segments?.[segment]?.mtu
      const usual = mtu === undefined || !('mtu' in known.portOptions) ? {} : { mtu }
      add({
        ...{
          name: port,
          label,
          endpoint: null,
          device,
          interface: own,
          options: { ...usual, ...pick(p, known) },
          path,
        },
        ...(segment === undefined ? {} : { segment }),
      })
    }
    for (const [port, p] of Object.entries(ports)) plain(port, p, ['ports', port])
    if (uplink !== undefined) plain('uplink', uplink, ['uplink'])
    const said = notes.length === 0 ? {} : { notes }
    return withNeighbours({ name, mode, options, ports: specs, ...said }, known)
  }

  /** What a port is on Linux. */
  #device(node: string, port: string, raw: RawPort, path: readonly string[]): DeviceSpec | null {
    const { tap, nic, udp } = raw
    const at = ['nodes', node, ...path]
    if ([tap, nic, udp].filter((d) => d !== undefined).length > 1) {
      this.#report(at, 'a port is one of tap, nic and udp', 'key')
    }
    if (tap !== undefined) {
      const name = tap.name ?? tapName(this.#name, node, port)
      this.#register.claim(`interface ${name}`, `${node}/${port}`, [...at, 'tap', 'name'])
      return { ...tap, kind: 'tap', name }
    }
    if (nic !== undefined) {
      this.#register.claim(`interface ${nic.name}${inNetns(nic.netns)}`, `${node}/${port}`, [...at, 'nic', 'name'])
      return { ...nic, kind: 'nic' }
    }
    if (udp === undefined) return null
    const address = attempt(this.#report, [...at, 'udp', 'address'], () => parseIp(udp.address))
    if (address !== undefined) {
      this.#register.claim(`socket ${address.text} port ${udp.port ?? 4789}${inNetns(udp.netns)}`, `${node}/${port}`, [
        ...at,
        'udp',
      ])
    }
    return { ...udp, kind: 'udp', address: address?.text ?? udp.address }
  }

  #links(nodes: readonly NodeSpec[]): Cable[] {
    const ports = new Map(nodes.flatMap((node) => node.ports.map((port) => [port.label, port])))
    const free = [...ports.values()].filter((p) => p.endpoint === null).map((p) => p.label)
    const used = new Map<string, number>()
    return (this.#raw.links ?? []).map((link, i) => {
      const plain = Array.isArray(link)
      const join = plain ? link : link.join
      join.forEach((label, j) => {
        const path = plain ? ['links', i, j] : ['links', i, 'join', j]
        const port = ports.get(label)
        if (port === undefined) {
          const hint = didYouMean(label, free) || (free.length > 0 ? `; there are ${free.join(', ')}` : '')
          this.#report(path, `there is no port "${label}" (expected node/port)${hint}`)
        } else if (port.endpoint !== null) {
          this.#report(path, `port ${label} has a host on it; links join ports without one (uplink, ports)`)
        } else if (port.device !== null) {
          const what = { tap: 'a TAP', nic: 'an interface', udp: 'a socket' }[port.device.kind]
          this.#report(path, `port ${label} is ${what} and cannot be joined by a link as well`)
        } else if (port.segment !== undefined) {
          this.#report(path, `port ${label} is on segment ${port.segment} and cannot be joined by a link as well`)
        } else if (used.has(label)) {
          this.#report(path, `port ${label} is used twice: links[${used.get(label)}] has it already`)
        } else used.set(label, i)
      })
      return { join, faults: plain ? null : parseFaults(link.faults, ['links', i, 'faults'], this.#report) }
    })
  }
}

/** A cable, and what it does to frames, either way. */
interface Cable {
  readonly join: LinkSpec
  readonly faults: FaultSpec | null
}

/** A node whose ports have the faults of the cables that they are ends of. */
function withFaults(node: NodeSpec, cables: readonly Cable[]): NodeSpec {
  const ports = node.ports.map((port) => {
    const faults = cables.find(({ join }) => join.includes(port.label))?.faults ?? null
    return faults === null ? port : { ...port, faults: { out: faults, in: null } }
  })
  return { ...node, ports }
}

/** Has a node's mode look at it. */
function check(node: NodeSpec, report: Report): void {
  const mode = MODES.get(node.mode) as Mode
  mode.check(node, report)
}

/** The options that belong to the mode. */
function pick(raw: Readonly<Record<string, unknown>>, mode: Mode): Record<string, unknown> {
  return Object.fromEntries(Object.entries(raw).filter(([key]) => key in mode.portOptions))
}

/** The topology's name from its file's: "examples/two switches.yaml" is two-switches. */
function nameOf(file: string): string {
  const base = file.slice(file.lastIndexOf('/') + 1).replace(/\.[^.]*$/, '')
  const name = base.replace(/[^A-Za-z0-9_-]+/g, '-').replace(/^[^A-Za-z0-9]+/, '')
  return name.slice(0, 32) || 'topology'
}

/** A name of at most 15 characters for a TAP: `l2l3-` and eight digits made from the names. */
function tapName(...names: string[]): string {
  return `l2l3-${derivedMac(...names)
    .replaceAll(':', '')
    .slice(4)}`
}

function inNetns(name: string | undefined): string {
  return name === undefined ? '' : ` in namespace ${name}`
}
