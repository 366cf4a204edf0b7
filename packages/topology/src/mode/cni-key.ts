import { networkAround, parseIp } from '../address.ts'
import { CniError } from '../cni/cni-error.ts'
import { type NetworkConf, parseCniConf } from '../cni/conf.ts'
import type { IpamConf } from '../cni/ipam-conf.ts'
import type { PluginConf, PortmapConf } from '../cni/plugins.ts'
import type { Path } from '../document.ts'
import { AddressPlan, type PlannedAddress } from '../ipam/plan.ts'
import type { Expanding, RawNode, Schema } from '../mode.ts'

/*
 * The node key `cni`: a configuration of CNI as it lies in /etc/cni/net.d, in place of the mode's own keys.
 *
 *     cni: 10-blue.conflist                        a file, beside the topology's
 *     cni: { cniVersion: 1.0.0, name: blue, ... }  or what would stand in it
 *
 *     endpoints:
 *       web: {}                                    gets its addresses of the configuration's host-local, in its order
 *       db:                                        and what a runtime says for one pod, of capabilities that are declared
 *         runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 80 }] }
 *
 * A mode makes node keys of it before ports are read (`Mode.expand`), so that all that follows is as if the file had them: what is
 * checked, what may change while it runs, what the schema documents.
 */

/** The node key. */
export const cniKey: Schema = {
  type: ['string', 'object'],
  description:
    "A configuration of the CNI plugin, or a list of plugins: the name of a file, beside the topology's, or what stands in one. " +
    'In place of keys of its own the node has what that says, and pods without `ip` get theirs of its host-local.',
}

/** The key of a pod. */
export const runtimeKey: Schema = {
  type: 'object',
  additionalProperties: false,
  description: 'With `cni`: what a runtime would hand over for this pod, of capabilities that a plugin declares.',
  properties: {
    portMappings: {
      type: 'array',
      description: 'Ports of the node that lead to the pod: portmap.',
      items: {
        type: 'object',
        required: ['hostPort', 'containerPort'],
        additionalProperties: false,
        properties: {
          hostPort: { type: 'integer', minimum: 1, maximum: 65_535, description: "The node's port." },
          containerPort: { type: 'integer', minimum: 1, maximum: 65_535, description: "The pod's." },
          protocol: { type: 'string', description: 'tcp (the default), udp or sctp.' },
          hostIP: {
            type: 'string',
            description: "The only address of the node that has it. Default: all of the node's.",
          },
        },
      },
    },
    mac: { type: 'string', description: "The pod's MAC address." },
    ips: { type: 'array', items: { type: 'string' }, description: 'Addresses that it asks for.' },
  },
}

/** A pod of the file, with what the configuration gives it. */
export interface CniPod<P extends PluginConf> {
  readonly name: string
  /** The plugin's configuration as it is given for this pod. */
  readonly plugin: P
  /** Its addresses, gateways and networks, where host-local gave them out. */
  readonly ips: readonly PlannedAddress[]
}

/** What a configuration says of a node. */
export interface CniNode<P extends PluginConf> {
  readonly network: NetworkConf
  readonly plugin: P
  readonly pods: readonly CniPod<P>[]
  /** Gateways and networks that addresses are given out of: those of the pods, or the first of each set. */
  readonly networks: readonly PlannedAddress[]
  /** Networks to which pods get a route, besides their own. */
  readonly routes: IpamConf['routes']
}

/** The text or object of a node's `cni`, and what it is called in messages: the file, or nothing. Null where it cannot be read,
 * which is reported. */
export function cniSource(
  cni: unknown,
  at: Expanding,
): { readonly value: string | object; readonly from: string } | null {
  if (typeof cni === 'object' && cni !== null) return { value: cni, from: '' }
  const file = beside(at.file, String(cni))
  try {
    // What runs in a browser as well asks for files only where they are named.
    const fs = globalThis.process?.getBuiltinModule?.('node:fs')
    if (fs === undefined) throw new Error('there are no files here: put what stands in it under the key instead')
    return { value: fs.readFileSync(file, 'utf8'), from: file }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    at.report(['cni'], `cannot read ${file}: ${code === 'ENOENT' ? 'there is no such file' : message}`)
    return null
  }
}

/**
 * Reads a node's `cni` for the mode of a plugin, gives out addresses, and makes a node of it. Without the key the node stays as it
 * is; what is wrong is reported by file and key.
 *
 * @param type the plugin, which comes first in a list; portmap may follow
 * @param keys those node keys that the configuration decides, and that cannot stand beside it
 * @param make makes node keys, and endpoint keys by pod, of it
 */
export function expandCni<T extends PluginConf['type']>(
  raw: RawNode,
  at: Expanding,
  type: T,
  keys: readonly string[],
  make: (node: CniNode<Extract<PluginConf, { type: T }>>) => Expanded,
): RawNode {
  const { cni, endpoints = {}, ...rest } = raw
  if (cni === undefined) {
    for (const [name, pod] of Object.entries(endpoints)) {
      if (pod?.runtimeConfig !== undefined) {
        at.report(['endpoints', name, 'runtimeConfig'], 'needs the key "cni" of the node, whose plugins it is for')
      }
    }
    return raw
  }
  for (const key of keys) {
    if (rest[key] !== undefined)
      at.report([key], `the configuration under "cni" says that: it cannot stand beside it`, 'key')
  }
  const source = cniSource(cni, at)
  const read = source === null ? null : readNode(source, type, raw, at)
  if (read === null) return { ...rest, endpoints: withoutRuntime(endpoints) }
  const made = make(read.node as unknown as CniNode<Extract<PluginConf, { type: T }>>)
  const pods = Object.entries(endpoints).map(([name, pod]) => {
    const { runtimeConfig: _, ...own } = pod ?? {}
    return [name, { ...made.pod(read.node.pods.find((p) => p.name === name) as never), ...own }]
  })
  const portMappings = [...read.portMappings, ...((rest.portMappings as unknown[]) ?? [])]
  return {
    ...rest,
    ...made.node,
    ...(portMappings.length > 0 ? { portMappings } : {}),
    endpoints: Object.fromEntries(pods),
  }
}

/** Keys that a mode makes of a configuration. */
export interface Expanded {
  readonly node: Readonly<Record<string, unknown>>
  /** Keys of a pod, beside which those of the file count. */
  pod(pod: CniPod<never>): Readonly<Record<string, unknown>>
}

type Endpoints = NonNullable<RawNode['endpoints']>

function withoutRuntime(endpoints: Endpoints): Endpoints {
  return Object.fromEntries(
    Object.entries(endpoints).map(([name, pod]) => {
      const { runtimeConfig: _, ...own } = pod ?? {}
      return [name, own]
    }),
  )
}

function readNode<P extends PluginConf>(
  source: { readonly value: string | object; readonly from: string },
  type: P['type'],
  raw: RawNode,
  at: Expanding,
): { readonly node: CniNode<P>; readonly portMappings: readonly object[] } | null {
  const reading = (path: Path): NetworkConf | null => {
    const runtime = path.length === 0 ? undefined : raw.endpoints?.[path[1] as string]?.runtimeConfig
    try {
      return parseCniConf(withRuntime(source.value, runtime))
    } catch (error) {
      if (!(error instanceof CniError)) throw error
      const own = /^(?:plugins\[\d+\]\.)?runtimeConfig\.?(.*)$/.exec(error.key)
      if (path.length > 0 && own !== null)
        at.report([...path, 'runtimeConfig', ...keysOf(own[1] as string)], bare(error))
      else if (source.from !== '') at.report(['cni'], `${source.from}: ${error.message}`)
      else at.report(['cni', ...keysOf(error.key)], bare(error))
      return null
    }
  }
  const network = reading([])
  if (network === null) return null
  const where = (key: string): Path => (source.from === '' ? ['cni', ...keysOf(key)] : ['cni'])
  const say = (key: string, message: string): void => {
    at.report(where(key), source.from === '' ? message : `${source.from}: ${key}: ${message}`)
  }
  const prefix = (i: number): string => (network.plugins.length > 1 || isList(source.value) ? `plugins[${i}].` : '')
  const [plugin, ...others] = network.plugins
  if (plugin?.type !== type) {
    say(
      `${prefix(0)}type`,
      `expected ${JSON.stringify(type)}, which is the mode of the node, not ${JSON.stringify(plugin?.type)}`,
    )
    return null
  }
  others.forEach((other, i) => {
    if (other.type !== 'portmap') say(`${prefix(i + 1)}type`, `${other.type} cannot follow ${type} here: portmap can`)
    else {
      for (const key of ['conditionsV4', 'conditionsV6'] as const) {
        const mistake = attemptMatch(other[key])
        if (mistake !== null) say(`${prefix(i + 1)}${key}`, mistake)
      }
    }
  })
  const ipam = ipamOf(plugin)
  const plan = ipam === null ? null : new AddressPlan(ipam.ranges)
  const entries = Object.entries(raw.endpoints ?? {})
  for (const [, pod] of entries) {
    for (const text of [pod?.ip ?? []].flat()) quietly(() => plan?.take(text.split('/')[0] as string))
  }
  const portMappings: object[] = []
  const pods = entries.map(([name, pod]): CniPod<P> => {
    const path: Path = ['endpoints', name]
    const runtime = pod?.runtimeConfig as object | undefined
    if (runtime === undefined) return { name, plugin: plugin as P, ips: given(plan, pod, [], path, at) }
    for (const key of Object.keys(runtime)) {
      if (network.plugins.some((p) => (p.capabilities as readonly string[]).includes(key))) continue
      at.report([...path, 'runtimeConfig', key], `no plugin declares the capability "${key}"`, 'key')
    }
    const own = reading(path)
    const [first = plugin, ...rest] = own?.plugins ?? []
    for (const other of rest) if (other.type === 'portmap') portMappings.push(...mappings(name, other))
    return { name, plugin: first as P, ips: given(plan, pod, first.runtimeConfig.ips, path, at) }
  })
  const used = pods.flatMap((pod) => pod.ips)
  const networks = [...(used.length > 0 ? used : (plan?.networks() ?? []))]
  const distinct = networks.filter((n, i) => networks.findIndex((m) => m.subnet === n.subnet) === i)
  return {
    node: { network, plugin: plugin as P, pods, networks: distinct, routes: ipam?.routes ?? [] },
    portMappings,
  }
}

/** A pod's addresses: of host-local, where the file gives it none. */
function given(
  plan: AddressPlan | null,
  pod: Endpoints[string],
  requested: readonly string[],
  path: Path,
  { report }: Expanding,
): readonly PlannedAddress[] {
  if (plan === null || pod?.ip !== undefined) return []
  try {
    return plan.add(requested.map((text) => text.split('/')[0] as string))
  } catch (error) {
    report(path, (error as Error).message, 'key')
    return []
  }
}

const ipamOf = (plugin: PluginConf): IpamConf | null => ('ipam' in plugin ? plugin.ipam : null)

/** The configuration as a runtime hands it over for one pod: each plugin gets what it declares. */
function withRuntime(value: string | object, runtime: unknown): string | object {
  if (runtime === undefined) return value
  const conf = (typeof value === 'string' ? JSON.parse(value) : value) as Record<string, unknown>
  const one = (plugin: Record<string, unknown>): object => {
    const declared = (plugin.capabilities ?? {}) as Record<string, unknown>
    const own = Object.entries(runtime as object).filter(([key]) => declared[key] === true)
    if (own.length === 0) return plugin
    return { ...plugin, runtimeConfig: { ...(plugin.runtimeConfig as object), ...Object.fromEntries(own) } }
  }
  if (!Array.isArray(conf.plugins)) return one(conf)
  return { ...conf, plugins: conf.plugins.map(one) }
}

function isList(value: string | object): boolean {
  return quietly(() => 'plugins' in (typeof value === 'string' ? JSON.parse(value) : value)) ?? false
}

/** Port mappings of a node for a pod, as portmap makes them (modes.md 17.3). */
function mappings(to: string, { portMappings, snat, masqAll, conditionsV4, conditionsV6 }: PortmapConf): object[] {
  const when: Record<string, string[]> = {}
  for (const conditions of [conditionsV4, conditionsV6]) {
    // What is wrong with them was told.
    for (const [key, networks] of quietly(() => matchesOf(conditions)) ?? [])
      when[key] = [...(when[key] ?? []), ...networks]
  }
  return portMappings.map(({ hostPort: port, containerPort: toPort, protocol, hostIP }) => ({
    ...{ protocol, port, to, toPort },
    // The unspecified address is all of the node's, of its IP version.
    ...(hostIP === null ? {} : { hostIp: hostIP }),
    ...(Object.keys(when).length === 0 ? {} : { when }),
    ...(snat ? (masqAll ? { hairpin: 'all' } : {}) : { hairpin: false }),
  }))
}

/** What is wrong with a list of matches; null where nothing is. */
function attemptMatch(words: readonly string[]): string | null {
  try {
    matchesOf(words)
    return null
  } catch (error) {
    return (error as Error).message
  }
}

const MATCHES: Readonly<Record<string, 'From' | 'At'>> = {
  ...{ '-s': 'From', '--source': 'From', '--src': 'From' },
  ...{ '-d': 'At', '--destination': 'At', '--dst': 'At' },
}

/** Matches of iptables by addresses, `! -d 192.0.2.0/24`, as keys of a mapping's `when`. Throws a RangeError for others. */
function matchesOf(words: readonly string[]): [string, string[]][] {
  const matches: [string, string[]][] = []
  for (let i = 0; i < words.length; i += 2) {
    const not = words[i] === '!'
    if (not) i++
    const match = MATCHES[words[i] as string]
    if (match === undefined || words[i + 1] === undefined) {
      throw new RangeError(
        `of iptables' matches sources and destinations can be kept here (-s, -d), not "${words[i] ?? ''}"`,
      )
    }
    const networks = (words[i + 1] as string).split(',').map((text) => {
      const { text: address, prefix } = text.includes('/') ? networkAround(text) : parseIp(text)
      return `${address}/${prefix}`
    })
    const [first = ''] = match
    matches.push([not ? `not${match}` : first.toLowerCase() + match.slice(1), networks])
  }
  return matches
}

/** `plugins[1].ipam.ranges[0]` as a path. */
function keysOf(key: string): Path {
  return [...key.matchAll(/[^.[\]]+/g)].map(([part]) => (/^\d+$/.test(part) ? Number(part) : part))
}

function bare({ key, message }: CniError): string {
  return key === '' ? message : message.slice(key.length + 2)
}

function beside(file: string, name: string): string {
  if (name.startsWith('/')) return name
  const slash = file.lastIndexOf('/')
  return slash < 0 ? name : `${file.slice(0, slash + 1)}${name}`
}

function quietly<T>(work: () => T): T | undefined {
  try {
    return work()
  } catch {
    return undefined
  }
}
