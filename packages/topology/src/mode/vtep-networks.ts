import type { OverlayNetwork } from '@l2l3/modes'
import type { PrefixRoute, RemoteSpec } from '@l2l3/vxlan'
import { type Address, parseIp } from '../address.ts'
import { attempt } from '../attempt.ts'
import type { Path } from '../document.ts'
import type { NodeSpec, PortSpec, SocketSpec } from '../topology.ts'
import type { RoutedOptions } from './routed.ts'
import { optionsOf, outerOf, type RawOption, type RawOuter } from './tunnel-keys.ts'

/* The networks of mode vtep: from the file's words to what `vtep` in @l2l3/modes takes. */

type RawRemote = string | { address: string; vni?: number; policy?: number; options?: RawOption[] }

/** A network as the file has it. */
export interface RawNetwork
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
      | 'mac'
      | 'destinations'
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

/** Options of a node as the schema assures them. */
export interface VtepNodeOptions extends RoutedOptions {
  networks?: Record<string, RawNetwork>
  ageing?: number
  maxEntries?: number
}

/** The options of a node. */
export const vtepOptions = (node: NodeSpec): VtepNodeOptions => node.options as VtepNodeOptions
/** Its networks, by name. */
export const networksOf = (node: NodeSpec): [string, RawNetwork][] => Object.entries(vtepOptions(node).networks ?? {})

/** A port without a host and without a network is the underlay's. */
export function isUnderlay({ endpoint, options: own }: PortSpec): boolean {
  return endpoint === null && own.network === undefined
}

/** What stands for a port of the underlay that is sockets. */
export function socketOf({ device }: PortSpec): SocketSpec | null {
  return device?.kind === 'udp' ? device : null
}

/** The addresses of a node on its underlay: of interfaces, and of sockets. */
export function ownAddresses(node: NodeSpec): Address[] {
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
export function networkOf(node: NodeSpec, port: PortSpec): string | undefined {
  const { network: named } = port.options as { network?: string }
  const names = networksOf(node).map(([name]) => name)
  return named ?? (names.length === 1 ? names[0] : undefined)
}

const addressOf = (raw: RawRemote): string => (typeof raw === 'string' ? raw : raw.address)

/** All addresses that a network names, with where they stand. */
export function* farEnds(raw: RawNetwork): Generator<[Path, string]> {
  const at = (path: Path, r: RawRemote): [Path, string] => [
    typeof r === 'string' ? path : [...path, 'address'],
    addressOf(r),
  ]
  for (const [i, r] of (raw.remotes ?? []).entries()) yield at(['remotes', i], r)
  for (const [i, e] of (raw.static ?? []).entries()) yield at(['static', i, 'remote'], e.remote)
  for (const [i, p] of (raw.prefixes ?? []).entries()) yield at(['prefixes', i, 'remote'], p.remote)
}

/** The address of this end: the one that is given, or the first of the family that the far ends have. */
export function localOf(raw: RawNetwork, own: readonly Address[]): Address | undefined {
  if (raw.local !== undefined) return own.find((a) => a.text === parseIp(raw.local as string).text)
  const [first] = Array.from(farEnds(raw), ([, text]) => text)
  const hint = first ?? raw.multicast?.group
  const family = hint?.includes(':') ? 6 : 4
  return own.find((a) => a.family === family) ?? (hint === undefined ? own[0] : undefined)
}

/** The port on whose link a network's group is. */
export function groupPort(node: NodeSpec, given: string | undefined): PortSpec | undefined {
  const ports = node.ports.filter(isUnderlay)
  if (given !== undefined) return ports.find((p) => p.name === given)
  return ports.length === 1 ? ports[0] : ports.find((p) => p.name === 'uplink')
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
export function built(node: NodeSpec, name: string, raw: RawNetwork, local: Address): OverlayNetwork {
  const { remotes, multicast, static: entries, prefixes, policy, options: more, ...rest } = raw
  const { sportRange: _, ...settings } = rest
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
