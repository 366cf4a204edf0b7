import { type Address, derivedMac, isLinkLocal, parseHostAddress, parseIp, parseMac } from './address.ts'
import { attempt } from './attempt.ts'
import { didYouMean } from './did-you-mean.ts'
import { type Path, TopologyDocument } from './document.ts'
import { MODES, type Mode } from './mode.ts'
import { parseChecks, type RawCheck } from './parse-checks.ts'
import type {
  DeviceSpec,
  EndpointSpec,
  InterfaceSpec,
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
 *   3. meaning   addresses, names that refer to each other      here, parse-checks.ts and the modes
 *
 * A pass runs only where the one before found nothing: a wrong shape has no meaning.
 */

interface RawPort extends Record<string, unknown> {
  ip?: string | string[]
  mac?: string
  tap?: { name?: string; offloads?: boolean; tunnelOffloads?: boolean }
  nic?: Omit<Extract<DeviceSpec, { kind: 'nic' }>, 'kind'>
  udp?: SocketSpec
}

interface RawEndpoint extends Record<string, unknown> {
  mac?: string
  ip?: string | string[]
  mtu?: number
  gateway?: string | string[]
  gatewayMac?: string
}

interface RawNode extends Record<string, unknown> {
  mode: string
  uplink?: RawPort
  ports?: Record<string, RawPort>
  endpoints?: Record<string, RawEndpoint>
}

interface RawTopology {
  name?: string
  nodes: Record<string, RawNode>
  links?: [string, string][]
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
  return topology
}

function refuse(problems: readonly Problem[]): void {
  if (problems.length === 0) return
  const inOrder = [...problems].sort((a, b) => a.line - b.line || a.column - b.column)
  throw new TopologyError(inOrder)
}

/** The longest MTU that Linux gives a TAP: 65,535 bytes less its Ethernet header. */
const TAP_MTU = 65_521

/** The third pass over one document. */
class Reading {
  readonly problems: Problem[] = []
  readonly #doc: TopologyDocument
  readonly #raw: RawTopology
  readonly #name: string
  /** Who has a name, an address: for messages about the second. */
  readonly #taken: Map<string, string> = new Map()

  constructor(doc: TopologyDocument) {
    this.#doc = doc
    this.#raw = doc.value as RawTopology
    this.#name = this.#raw.name ?? nameOf(doc.file)
  }

  topology(): Topology {
    const nodes = Object.entries(this.#raw.nodes).map(([name, raw]) => this.#node(name, raw))
    const endpoints = nodes.flatMap((node) => node.ports.flatMap((p) => p.endpoint ?? []))
    const links = this.#links(nodes)
    for (const node of nodes) {
      const mode = MODES.get(node.mode) as Mode
      mode.check(node, (path, message, at) => this.#report(['nodes', node.name, ...path], message, at))
    }
    const checks = parseChecks(this.#raw.checks ?? [], endpoints, this.#report)
    return { name: this.#name, file: this.#doc.file, nodes, endpoints, links, segments: [], seed: 1, checks }
  }

  readonly #report = (path: Path, message: string, at: 'key' | 'value' = 'value'): void => {
    this.problems.push(this.#doc.problem(path, message, at))
  }

  #claim(what: string, owner: string, path: Path, at: 'key' | 'value' = 'value', scope = ''): void {
    const key = `${scope} ${what}`
    const other = this.#taken.get(key)
    if (other === undefined) this.#taken.set(key, owner)
    else this.#report(path, `${what} is given twice: ${other} has it already`, at)
  }

  #node(name: string, raw: RawNode): NodeSpec {
    const { mode, uplink, ports = {}, endpoints = {}, ...options } = raw
    const known = MODES.get(mode) as Mode
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
      const endpoint = this.#endpoint(host, name, e ?? {}, known.scope?.(e ?? {}))
      const label = `${name}/${host}`
      const own = this.#interface(name, host, path, ['gatewayMac', 'gateway'], e ?? {})
      add({ name: host, label, endpoint, device: null, interface: own, options: pick(e ?? {}, known), path })
    }
    const plain = (port: string, p: RawPort, path: string[]): void => {
      const device = this.#device(name, port, p, path)
      const label = `${name}/${port}`
      const own = this.#interface(name, port, path, ['mac', 'ip'], p)
      add({ name: port, label, endpoint: null, device, interface: own, options: pick(p, known), path })
    }
    for (const [port, p] of Object.entries(ports)) plain(port, p, ['ports', port])
    if (uplink !== undefined) plain('uplink', uplink, ['uplink'])
    return { name, mode, options, ports: specs }
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
      this.#claim(`interface ${name}`, `${node}/${port}`, [...at, 'tap', 'name'])
      return { ...tap, kind: 'tap', name }
    }
    if (nic !== undefined) {
      this.#claim(`interface ${nic.name}${inNetns(nic.netns)}`, `${node}/${port}`, [...at, 'nic', 'name'])
      return { ...nic, kind: 'nic' }
    }
    if (udp === undefined) return null
    const address = attempt(this.#report, [...at, 'udp', 'address'], () => parseIp(udp.address))
    if (address !== undefined) {
      this.#claim(`socket ${address.text} port ${udp.port ?? 4789}${inNetns(udp.netns)}`, `${node}/${port}`, [
        ...at,
        'udp',
      ])
    }
    return { ...udp, kind: 'udp', address: address?.text ?? udp.address }
  }

  #endpoint(name: string, node: string, raw: RawEndpoint, scope = ''): EndpointSpec {
    const path = ['nodes', node, 'endpoints', name]
    const label = `${node}/${name}`
    this.#claim(`endpoint ${name}`, label, path, 'key')
    const given =
      raw.mac === undefined ? undefined : attempt(this.#report, [...path, 'mac'], () => parseMac(raw.mac as string))
    const mac = given ?? derivedMac(this.#name, node, name)
    if (raw.mac === undefined || given !== undefined) {
      this.#claim(`MAC address ${mac}`, label, [...path, 'mac'], 'value', scope)
    }
    const mtu = raw.mtu ?? 1500
    if (mtu > TAP_MTU) this.#report([...path, 'mtu'], `expected ${TAP_MTU} at most, which is a TAP's, not ${mtu}`)
    const addresses = this.#addresses(raw.ip, [...path, 'ip'], label, scope, (address, at) => {
      if (address.family === 6 && mtu < 1280) {
        this.#report(at, `IPv6 needs an MTU of 1280 or more (RFC 8200 5), and the endpoint has ${mtu}`)
      }
    })
    return { name, node, mac, addresses, mtu }
  }

  /** The node's own end of a port, from the two keys that the schema lets modes with interfaces have. */
  #interface(
    node: string,
    port: string,
    path: readonly string[],
    [macKey, ipKey]: readonly [string, string],
    raw: Readonly<Record<string, unknown>>,
  ): InterfaceSpec {
    const at = ['nodes', node, ...path]
    const label = `${node}/${port}`
    const text = raw[macKey] as string | undefined
    const given = text === undefined ? undefined : attempt(this.#report, [...at, macKey], () => parseMac(text))
    if (given !== undefined) this.#claim(`MAC address ${given}`, label, [...at, macKey])
    const addresses = this.#addresses(raw[ipKey] as string | string[] | undefined, [...at, ipKey], label)
    return { mac: given ?? derivedMac(this.#name, node, port, 'interface'), addresses }
  }

  #addresses(
    raw: string | string[] | undefined,
    path: Path,
    owner: string,
    scope = '',
    look: (address: Address, at: Path) => void = () => {},
  ): Address[] {
    const list = Array.isArray(raw) ? raw : raw === undefined ? [] : [raw]
    return list.flatMap((text, i) => {
      const at = Array.isArray(raw) ? [...path, i] : path
      const address = attempt(this.#report, at, () => parseHostAddress(text))
      if (address === undefined) return []
      look(address, at)
      // A link-local address is unique on its link only.
      if (!isLinkLocal(address)) this.#claim(`address ${address.text}`, owner, at, 'value', scope)
      return [address]
    })
  }

  #links(nodes: readonly NodeSpec[]): LinkSpec[] {
    const ports = new Map(nodes.flatMap((node) => node.ports.map((port) => [port.label, port])))
    const free = [...ports.values()].filter((p) => p.endpoint === null).map((p) => p.label)
    const used = new Map<string, number>()
    ;(this.#raw.links ?? []).forEach((pair, i) => {
      pair.forEach((label, j) => {
        const path = ['links', i, j]
        const port = ports.get(label)
        if (port === undefined) {
          const hint = didYouMean(label, free) || (free.length > 0 ? `; there are ${free.join(', ')}` : '')
          this.#report(path, `there is no port "${label}" (expected node/port)${hint}`)
        } else if (port.endpoint !== null) {
          this.#report(path, `port ${label} has a host on it; links join ports without one (uplink, ports)`)
        } else if (port.device !== null) {
          const what = { tap: 'a TAP', nic: 'an interface', udp: 'a socket' }[port.device.kind]
          this.#report(path, `port ${label} is ${what} and cannot be joined by a link as well`)
        } else if (used.has(label)) {
          this.#report(path, `port ${label} is used twice: links[${used.get(label)}] has it already`)
        } else used.set(label, i)
      })
    })
    return this.#raw.links ?? []
  }
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
