import { alike } from './alike.ts'
import type { Path } from './document.ts'
import { gatewaysOf, MODES } from './mode.ts'
import { optionChanges } from './option-changes.ts'
import { problemOf } from './places.ts'
import { type CheckSpec, checkText, type NodeSpec, type PortSpec, type Topology } from './topology.ts'
import { TopologyError } from './topology-error.ts'

/*
 * What makes one topology of another: a list of changes, each a line of a diff.
 *
 *     + endpoint n1/blue 10.0.0.3/24        what runs takes it
 *     - route n1 10.8.0.0/16 via 10.0.0.2
 *     ~ service n1 web: backends + red
 *     ~ n1 ageing 300 -> 60                 needs a restart
 *
 * Endpoints come, go and change in all modes; which keys of a node may change says its mode. All else - nodes, ports without
 * a host, links - is what runs is built of.
 */

/** One difference between two topologies. */
export interface Change {
  /** A line for people, which begins with `+`, `-` or `~`. */
  readonly text: string
  /** Why what runs cannot take it; null where it can. */
  readonly restart: string | null
  /** Where the new file has it, or would. */
  readonly path: Path
}

/** A port with a host, in the node it is on. */
export interface HostPort {
  readonly node: NodeSpec
  readonly port: PortSpec
}

/** Which hosts come, go, and are replaced by another of the name. */
export interface HostChanges {
  readonly come: readonly HostPort[]
  readonly replaced: readonly { readonly before: HostPort; readonly next: HostPort }[]
  readonly gone: readonly HostPort[]
}

/** Says what makes `next` of `before`, in the order of the files. */
export function changes(before: Topology, next: Topology): Change[] {
  const list: Change[] = []
  const note = (text: string, path: Path, restart: string | null = null): void =>
    void list.push({ text, restart, path })
  if (before.name !== next.name) {
    // Names are in all MACs that the file does not give: there is no end of differences.
    note(`~ name ${before.name} -> ${next.name}`, ['name'], 'it is another topology, which may run beside this one')
    return list
  }
  if (before.seed !== next.seed)
    note(`~ seed ${before.seed} -> ${next.seed}`, ['seed'], 'faults have thrown their dice')
  if (before.queue !== next.queue)
    note(`~ queue ${before.queue ?? 'default'} -> ${next.queue ?? 'default'}`, ['queue'], 'what runs keeps its TAPs')
  for (const node of before.nodes) {
    if (next.nodes.some((n) => n.name === node.name)) continue
    note(`- ${kindOf(node)} ${node.name}`, [placeOf(node)[0] as string], 'what runs keeps its nodes')
  }
  for (const node of next.nodes) {
    const old = before.nodes.find((n) => n.name === node.name)
    if (old === undefined) note(`+ ${kindOf(node)} ${node.name}`, placeOf(node), 'what runs gets no further nodes')
    else if (old.mode !== node.mode) {
      note(`~ node ${node.name} mode ${old.mode} -> ${node.mode}`, [...placeOf(node), 'mode'], 'a node keeps its mode')
    } else list.push(...nodeChanges(old, node))
  }
  const links = (topology: Topology): string[] => topology.links.map((pair) => pair.join(' - '))
  for (const [sign, some, others] of [
    ['-', before, next],
    ['+', next, before],
  ] as const) {
    for (const link of links(some)) {
      if (!links(others).includes(link)) note(`${sign} link ${link}`, ['links'], 'what runs keeps its cables')
    }
  }
  list.push(...checksBetween(before.checks, next.checks))
  return list
}

/**
 * Says what makes `next` of `before`, where what runs can take all of it.
 *
 * @throws TopologyError that names, by file, line and key of `next`, what needs a restart
 */
export function checkChanges(before: Topology, next: Topology): Change[] {
  const list = changes(before, next)
  const refused = list.filter((change) => change.restart !== null)
  if (refused.length === 0) return list
  throw new TopologyError(
    refused.map(({ text, restart, path }) =>
      problemOf(next, path, `${text.slice(2)}: needs a restart: ${restart}`, 'key'),
    ),
  )
}

/** Says which hosts come and go. One that has other addresses, or is on another node, is another of the same name. */
export function hostChanges(before: Topology, next: Topology): HostChanges {
  const [was, is] = [hostPorts(before), hostPorts(next)]
  const both = [...is].flatMap(([name, host]) => {
    const old = was.get(name)
    return old === undefined ? [] : [{ before: old, next: host }]
  })
  return {
    come: [...is].flatMap(([name, host]) => (was.has(name) ? [] : [host])),
    replaced: both.filter((pair) => !alike(hostOf(pair.before), hostOf(pair.next))),
    gone: [...was].flatMap(([name, host]) => (is.has(name) ? [] : [host])),
  }
}

/** Ports with hosts, by the hosts' names. */
function hostPorts(topology: Topology): Map<string, HostPort> {
  return new Map(
    topology.nodes.flatMap((node) =>
      node.ports.flatMap((port): [string, HostPort][] =>
        port.endpoint === null ? [] : [[port.endpoint.name, { node, port }]],
      ),
    ),
  )
}

/** All that a host is made of. */
function hostOf({ node, port }: HostPort): unknown {
  return [port.label, port.endpoint, port.faults, gatewaysOf(node, port)]
}

function nodeChanges(before: NodeSpec, next: NodeSpec): Change[] {
  const mode = MODES.get(next.mode)
  const place = placeOf(next)
  const list: Change[] = []
  const ports = new Map(before.ports.map((port) => [port.name, port]))
  const names = new Set(next.ports.map((port) => port.name))
  for (const port of before.ports) {
    if (names.has(port.name)) continue
    const restart = port.endpoint === null ? 'what runs keeps its ports without a host' : null
    list.push({ text: `- ${portText(port)}`, restart, path: [...place, ...port.path.slice(0, -1)] })
  }
  for (const port of next.ports) {
    const old = ports.get(port.name)
    const path = [...place, ...port.path]
    if (old === undefined) {
      const restart = port.endpoint === null ? 'what runs gets no further ports without a host' : null
      list.push({ text: `+ ${portText(port)}`, restart, path })
    } else if ((old.endpoint === null) !== (port.endpoint === null)) {
      list.push({ text: `~ ${portText(port)}`, restart: 'a port gets no host, nor loses it', path })
    } else {
      const what = portChanges(before, old, next, port)
      if (what.length === 0) continue
      const restart = port.endpoint === null ? 'what runs keeps its ports without a host as they are' : null
      list.push({ text: `~ ${portName(port)} ${what.join(', ')}`, restart, path })
    }
  }
  list.push(
    ...optionChanges(next, before.options, next.options, mode?.changes ?? []).map((change) => {
      return { ...change, path: [...place, ...change.path] }
    }),
  )
  mode?.checkChange?.(before, next, (path, message) => {
    list.push({ text: `~ node ${next.name}`, restart: message, path: [...place, ...path] })
  })
  return list
}

/** What is another at a port, in words. */
function portChanges(node: NodeSpec, before: PortSpec, next: NodeSpec, port: PortSpec): string[] {
  const words = (on: NodeSpec, p: PortSpec): Record<string, unknown> => ({
    ip: p.endpoint?.addresses.map((a) => `${a.text}/${a.prefix}`),
    mac: p.endpoint?.mac,
    mtu: p.endpoint?.mtu,
    'own ip': p.interface.addresses.map((a) => `${a.text}/${a.prefix}`),
    'own mac': p.interface.mac,
    gateway: gatewaysOf(on, p).map((a) => a.text),
    ...{ device: p.device, segment: p.segment, faults: p.faults, ...p.options },
  })
  const [was, is] = [words(node, before), words(next, port)]
  return [...new Set([...Object.keys(was), ...Object.keys(is)])].flatMap((key) => {
    if (alike(was[key], is[key])) return []
    const [from, to] = [was[key], is[key]].map(short)
    return [from === null || to === null ? key : `${key} ${from} -> ${to}`]
  })
}

/** A value in a few characters; null where it takes more. */
function short(value: unknown): string | null {
  if (value === undefined) return 'none'
  if (Array.isArray(value))
    return value.length === 0 ? 'none' : value.every((v) => typeof v === 'string') ? value.join(' ') : null
  return typeof value === 'object' ? null : String(value)
}

function portName({ endpoint, label }: PortSpec): string {
  return `${endpoint === null ? 'port' : 'endpoint'} ${label}`
}

function portText(port: PortSpec): string {
  const own = (port.endpoint ?? port.interface).addresses.map((a) => `${a.text}/${a.prefix}`)
  return [portName(port), ...own].join(' ')
}

function kindOf(node: NodeSpec): string {
  return node.segment === undefined ? 'node' : node.mode === 'switch' ? 'segment' : 'router'
}

/** Where the file has a node: under `nodes`, or a segment that it stands for. */
function placeOf(node: NodeSpec): [string, ...string[]] {
  return node.segment === undefined ? ['nodes', node.name] : ['segments', node.segment]
}

/** Checks are only tried: what runs takes any. */
function checksBetween(before: readonly CheckSpec[], next: readonly CheckSpec[]): Change[] {
  const rest = [...before]
  const come = next.flatMap((check, i): Change[] => {
    const at = rest.findIndex((old) => alike(old, check))
    if (at < 0) return [{ text: `+ check ${checkText(check)}`, restart: null, path: ['checks', i] }]
    rest.splice(at, 1)
    return []
  })
  const gone = rest.map((check): Change => ({ text: `- check ${checkText(check)}`, restart: null, path: ['checks'] }))
  return [...gone, ...come]
}
