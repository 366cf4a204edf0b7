import { checkRange, formatWords } from '@l2l3/switch-core'
import type { OutsidePorts } from '../outbound/outside-ports.ts'
import { PrefixSet, readHost } from '../outbound/prefix-set.ts'
import { checkKeys, type Empty, flag, list, oneOf, type ServiceDefaults, type WhenRemoved } from './options.ts'
import type { Style } from './treatment.ts'

/*
 * How services are done on a node: what holds for all of them, and what a service that does not say otherwise gets. The
 * two styles are kube-proxy's on Linux and on Windows; they set defaults, and the limits that HNS has.
 */

/** Settings of a `Balancer`. */
export interface BalancerOptions {
  /** Whose rules hold: kube-proxy's on Linux, or HNS' as kube-proxy programs it on Windows. Default `linux`. */
  style?: Style
  /** Where sources are that count as inside the cluster: its pods. Default: not known. */
  clusterPrefixes?: readonly string[]
  /** Masquerades everything that comes by a ClusterIP; style `linux`. Default false. */
  masqueradeAll?: boolean
  /** For services that do not say: direct server return. Default false. */
  dsr?: boolean
  /** What the source becomes where it is masqueraded, at most one address of a family. Default: the address of the
   * interface that the packet leaves by. So it is with style `windows`, too, where the backend is outside
   * `clusterPrefixes`, if there are any: it may know no way to a SourceVIP (modes.md 4.3). */
  sourceVips?: readonly string[]
  /** Which of the node's addresses have node ports. Default: all. */
  nodePortAddresses?: readonly string[]
  /** For services that do not say: what becomes of a packet that there is no backend for. Default `reject` with style
   * `linux`, `pass` with `windows`. */
  empty?: Empty
  /** Whether the source is masqueraded where a client is its own backend: without it the answer never comes back here.
   * HNS leaves that to an OutBoundNAT with `Destinations` ("loopback DSR", modes.md 2.3). Default true with style
   * `linux`, false with `windows`. */
  hairpin?: boolean
  /** Networks whose hosts reach each other without this node: bridges. Where a client and its backend are both in one of
   * them, the source is masqueraded whatever `dsr` and `hairpin` say: the answer would go past this node, and nobody would put the
   * service's address back. (A Linux bridge has br_netfilter for that.) Default: none. */
  bridged?: readonly string[]
  /** What becomes of the flows of a backend that is taken out. Default `end-udp` with style `linux`, as kube-proxy does
   * it; `keep` with `windows`. */
  whenRemoved?: WhenRemoved
  /** Backends of a service at most: 1 to 4,096. Default 4,096; with style `windows` 64, and no more than that. */
  maxBackends?: number
  /** Services at most: 1 to 262,144. Default 16,384. */
  maxServices?: number
  /** Clients remembered at most, of all services together: 8 to 4,194,304, 40 bytes each, taken when the first service
   * needs them. Default 65,536. */
  affinityEntries?: number
  /** Keeps node ports, and the service's port at `externalIps` and `loadBalancerIps`, from being given out by a NAT that
   * owns its ports. */
  outsidePorts?: OutsidePorts
  /** Seed of hashes, 32 bits. Nodes with the same seed pick the same backends. Default 0. */
  seed?: number
}

/** Settings that were read: nothing is left out. */
export interface BalancerSettings {
  readonly style: Style
  readonly defaults: ServiceDefaults
  readonly pods: PrefixSet
  readonly nodePorts: PrefixSet
  readonly masqueradeAll: boolean
  /** The IPv4 address, 0 for none; the words of the IPv6 address, or null. */
  readonly source4: number
  readonly source6: Uint32Array | null
  readonly hairpin: boolean
  /** One set for each network. */
  readonly bridged: readonly PrefixSet[]
  readonly whenRemoved: WhenRemoved
  readonly maxServices: number
  readonly affinityEntries: number
  readonly outsidePorts: OutsidePorts | null
  readonly seed: number
}

const KEYS = [
  ...['style', 'clusterPrefixes', 'masqueradeAll', 'dsr', 'sourceVips', 'nodePortAddresses', 'empty', 'hairpin'],
  ...['bridged', 'whenRemoved', 'maxBackends', 'maxServices', 'affinityEntries', 'outsidePorts', 'seed'],
]

/** Reads the settings; throws a TypeError or RangeError with key and value. */
export function readSettings(o: BalancerOptions): BalancerSettings {
  checkKeys('balancer', o, KEYS)
  const style = oneOf('style', o.style ?? 'linux', ['linux', 'windows'])
  const windows = style === 'windows'
  const most = windows ? 64 : 4096
  const vips = list('sourceVips', o.sourceVips).map((text, i) => readHost(`sourceVips[${i}]`, text))
  for (const n of [1, 4]) {
    const second = vips.filter((words) => words.length === n)[1]
    if (second !== undefined) throw new RangeError(`sourceVips: ${formatWords(second)} is one of its family too many`)
  }
  return {
    style,
    defaults: {
      dsr: flag('dsr', o.dsr ?? false),
      empty: oneOf('empty', o.empty ?? (windows ? 'pass' : 'reject'), ['reject', 'drop', 'pass']),
      affinityTimeout: windows ? 0 : 10_800,
      maxBackends: checkRange('maxBackends', o.maxBackends ?? most, 1, most),
      onePort: windows,
    },
    pods: new PrefixSet('clusterPrefixes', o.clusterPrefixes ?? []),
    nodePorts: new PrefixSet('nodePortAddresses', o.nodePortAddresses ?? []),
    masqueradeAll: flag('masqueradeAll', o.masqueradeAll ?? false),
    source4: vips.find((words) => words.length === 1)?.[0] ?? 0,
    source6: vips.find((words) => words.length === 4) ?? null,
    hairpin: flag('hairpin', o.hairpin ?? !windows),
    bridged: list('bridged', o.bridged).map((prefix, i) => new PrefixSet(`bridged[${i}]`, [prefix])),
    whenRemoved: oneOf('whenRemoved', o.whenRemoved ?? (windows ? 'keep' : 'end-udp'), ['keep', 'end-udp', 'end']),
    maxServices: checkRange('maxServices', o.maxServices ?? 16_384, 1, 1 << 18),
    affinityEntries: checkRange('affinityEntries', o.affinityEntries ?? 65_536, 8, 1 << 22),
    outsidePorts: o.outsidePorts ?? null,
    seed: checkRange('seed', o.seed ?? 0, -(2 ** 31), 2 ** 32 - 1) | 0,
  }
}
