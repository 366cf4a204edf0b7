import { checkRange, formatWords } from '@l2l3/switch-core'
import type { OutsideAddresses } from '../policy.ts'
import { Proto } from '../tuple.ts'
import type { OutsidePorts } from './outside-ports.ts'
import { type PortClass, readPortRange } from './port-range.ts'
import type { Dice32, PortChoice } from './port-search.ts'
import { PrefixSet, readHost, readPrefix } from './prefix-set.ts'

/*
 * How a NAT behaves, in the words of RFC 4787 (4.1 mapping, 5 filtering, 4.2.2 port assignment), and the behaviours that
 * have a name.
 */

/** When flows of one inside endpoint share an outside endpoint. The three of RFC 4787, 4.1 own their ports: nobody else
 * gets one. `linux`: a port is taken towards one remote endpoint only, so that many may have it; an inside endpoint
 * keeps its mapping for all destinations towards which it is free (modes.md 18.1 to 18.3). */
export type MappingBehaviour = 'linux' | 'endpoint-independent' | 'address-dependent' | 'address-and-port-dependent'

/** Who may send to an outside endpoint that is in use (RFC 4787, 5): anyone, any address that was sent to before, or
 * only endpoints that were. */
export type FilteringBehaviour = 'endpoint-independent' | 'address-dependent' | 'address-and-port-dependent'

/** Settings of a source NAT. */
export interface SourceNatOptions {
  /** The outside addresses, of either family: `203.0.113.1`, `203.0.113.8-203.0.113.11`. Without any, the address of
   * the interface that the packet leaves by: masquerading. */
  to?: readonly string[]
  /** Where masquerading finds those addresses. */
  outside?: OutsideAddresses
  /** How an address is chosen of several: always the same one for an inside host (RFC 4787 REQ-2, Linux
   * `--persistent`), or by the destination too. Default `arbitrary` with mapping `linux`, else `paired`. */
  pooling?: 'paired' | 'arbitrary'
  /** Default `linux`. */
  mapping?: MappingBehaviour
  /** Default `address-and-port-dependent`. The other two need a mapping that owns its port: any but `linux`. */
  filtering?: FilteringBehaviour
  /** Whether a flow keeps its port where it is free (RFC 4787, 4.2.1), or always gets a random one (Linux
   * `--random-fully`). Default `preserve`. */
  ports?: 'preserve' | 'random'
  /** From which ports a new one is chosen. Default `linux`. */
  portClass?: PortClass
  /** The only ports to use, for protocols that have ports: `32768-60999`, or one. There are no classes then. */
  portRange?: string | number
  /** Whether even ports stay even and odd ones odd (RFC 4787 REQ-4). Default false, as Linux. */
  parity?: boolean
  /** Mappings at most, beyond which new ones are refused (HNS `MaxPortPoolUsage`); 1 to 16,777,213. Default: no limit but
   * `maxMappings`. */
  maxPortPoolUsage?: number
  /** Protocols that are translated, by number; null: all, those without ports by their address alone. Default null. */
  protocols?: readonly number[] | null
  /** Whether queries of ICMP are translated; false in the Windows modes (modes.md 2.4). Default true. */
  icmpTransposition?: boolean
  /** What happens to what is not translated: it goes on as it is, or is dropped as `NatUnsupported`. Default `pass`. */
  otherProtocols?: 'pass' | 'drop'
  /** Prefixes of the hosts behind this NAT: what they send to one of its outside endpoints is turned round, its source
   * the outside endpoint of the sender (RFC 4787 REQ-9). Needs a mapping that owns its port. Default: none. */
  inside?: readonly string[]
  /** The table of outside ports: NATs that use the same address and own their ports share one, which has room for all
   * their mappings. Default: one of its own. */
  outsidePorts?: OutsidePorts
  /** Whether ports that mappings listen at are left to those whom they lead to; Linux leaves them to anyone who has no
   * flow in their way. Default: with a mapping that owns its port. */
  heedReserved?: boolean
  /** Mappings that are remembered at most, 1 to 16,777,213. Each lives by a flow: as many as there may be flows are always
   * enough. Default: `maxPortPoolUsage`, without it 65,536. With `linux` more flows than that are translated all the
   * same, only that later ones of the same endpoint do not keep its port; a mapping that owns its port is refused. */
  maxMappings?: number
  /** Seed of hashes and, without `random`, of the dice: 32 bits. Default 0, for runs that must repeat; on a network one
   * that strangers do not know (RFC 6056). */
  seed?: number
  /** Dice for ports. */
  random?: Dice32
}

const KEYS: readonly string[] = [
  'to',
  'outside',
  'pooling',
  'mapping',
  'filtering',
  'ports',
  'portClass',
  'portRange',
  'parity',
  'maxPortPoolUsage',
  'protocols',
  'icmpTransposition',
  'otherProtocols',
  'inside',
  'outsidePorts',
  'heedReserved',
  'maxMappings',
  'seed',
  'random',
] satisfies (keyof SourceNatOptions)[]

/** Names of behaviours. */
export type BehaviourName = 'linux' | 'rfc4787' | 'winnat' | 'hns'

/** Named behaviours, to be spread into options. */
export const BEHAVIOUR: Readonly<Record<BehaviourName, SourceNatOptions>> = {
  /** What Linux does without options: modes.md 18.1 to 18.4. */
  linux: {
    mapping: 'linux',
    filtering: 'address-and-port-dependent',
    ports: 'preserve',
    portClass: 'linux',
    pooling: 'arbitrary',
  },
  /** What RFC 4787 asks for and recommends: REQ-1, REQ-2, REQ-3, REQ-4 and REQ-8. */
  rfc4787: {
    mapping: 'endpoint-independent',
    filtering: 'address-dependent',
    ports: 'preserve',
    portClass: 'linux',
    parity: true,
    pooling: 'paired',
  },
  /** What is known of WinNAT: its filtering (modes.md 6); the rest is not public. */
  winnat: {
    mapping: 'endpoint-independent',
    filtering: 'address-dependent',
    ports: 'preserve',
    portClass: 'linux',
    pooling: 'paired',
  },
  /** HNS on L2Bridge: TCP and UDP alone, everything else leaves as it is (modes.md 2.4); the rest is not public, and as
   * Linux here. */
  hns: {
    mapping: 'linux',
    filtering: 'address-and-port-dependent',
    ports: 'preserve',
    portClass: 'linux',
    pooling: 'paired',
    heedReserved: true,
    protocols: [Proto.Tcp, Proto.Udp],
    icmpTransposition: false,
    otherProtocols: 'pass',
  },
}

/** How much of the remote endpoint counts. */
export const Scope = { Any: 0, Address: 1, Endpoint: 2 } as const

/** Settings that have been checked and filled in. */
export interface SourceNatSettings {
  /** The addresses as words, in the order given. */
  readonly to: readonly Uint32Array[]
  readonly paired: boolean
  readonly mapping: MappingBehaviour
  /** How much of the remote endpoint is in a mapping's key. */
  readonly scope: number
  /** Whether mappings own their ports. */
  readonly owns: boolean
  /** How much of the remote endpoint must have been sent to. */
  readonly filter: number
  readonly choice: PortChoice
  readonly limit: number
  /** One byte a protocol: 1 where it is translated. */
  readonly protocols: Uint8Array
  readonly dropOthers: boolean
  readonly inside: PrefixSet
  readonly maxMappings: number
  readonly seed: number
}

const SCOPES: Readonly<Record<MappingBehaviour, number>> = {
  linux: Scope.Any,
  'endpoint-independent': Scope.Any,
  'address-dependent': Scope.Address,
  'address-and-port-dependent': Scope.Endpoint,
}
/** Mapping numbers and two words of their own share 24 bits of a tag. */
export const MAX_MAPPINGS: number = (1 << 24) - 3
/** Addresses at most: more are a mistake in a range. */
const MAX_ADDRESSES = 65_536

/** Checks settings; throws a TypeError or RangeError with key and value. */
export function checkSourceNatOptions(o: SourceNatOptions): SourceNatSettings {
  for (const key of Object.keys(o)) if (!KEYS.includes(key)) throw new TypeError(`unknown key ${JSON.stringify(key)}`)
  const mapping = oneOf('mapping', o.mapping ?? 'linux', Object.keys(SCOPES) as MappingBehaviour[])
  const filtering = oneOf('filtering', o.filtering ?? 'address-and-port-dependent', [
    'endpoint-independent',
    'address-dependent',
    'address-and-port-dependent',
  ] as const)
  const owns = mapping !== 'linux'
  if (!owns && filtering !== 'address-and-port-dependent') {
    throw new TypeError(
      `filtering: ${JSON.stringify(filtering)} needs a mapping that owns its port, and "linux" does not`,
    )
  }
  const inside = new PrefixSet('inside', o.inside ?? [])
  if (!owns && !inside.empty) {
    throw new TypeError('inside: turning packets round needs a mapping that owns its port, and "linux" does not')
  }
  if (o.to !== undefined && !Array.isArray(o.to)) {
    throw new TypeError(`to must be a list of addresses, not ${JSON.stringify(o.to)}`)
  }
  const to = (o.to ?? []).flatMap((text, i) => readAddresses(`to[${i}]`, text))
  if (o.to !== undefined && to.length === 0) throw new TypeError('to must name an address; leave it out to masquerade')
  if (to.length > MAX_ADDRESSES) throw new RangeError(`to must be ${MAX_ADDRESSES} addresses at most, not ${to.length}`)
  const twice = to.find((words, i) => to.findIndex((other) => other.join() === words.join()) < i)
  if (twice !== undefined) throw new TypeError(`to names ${formatWords(twice)} twice`)
  if (to.length === 0 && o.outside === undefined) {
    throw new TypeError('outside must be given where to is not: it tells the addresses to masquerade with')
  }
  for (const key of ['parity', 'heedReserved'] as const) {
    if (o[key] !== undefined && typeof o[key] !== 'boolean') {
      throw new TypeError(`${key} must be true or false, not ${JSON.stringify(o[key])}`)
    }
  }
  if (o.random !== undefined && typeof o.random !== 'function') {
    throw new TypeError(`random must be a function, not ${JSON.stringify(o.random)}`)
  }
  return {
    to,
    paired:
      oneOf('pooling', o.pooling ?? (owns ? 'paired' : 'arbitrary'), ['paired', 'arbitrary'] as const) === 'paired',
    mapping,
    scope: SCOPES[mapping],
    owns,
    filter: SCOPES[filtering],
    choice: {
      preserve: oneOf('ports', o.ports ?? 'preserve', ['preserve', 'random'] as const) === 'preserve',
      parity: o.parity ?? false,
      portClass: oneOf('portClass', o.portClass ?? 'linux', ['linux', 'any'] as const),
      range: o.portRange === undefined ? 0 : readPortRange('portRange', o.portRange),
      heedsReserved: o.heedReserved ?? owns,
    },
    limit: checkRange('maxPortPoolUsage', o.maxPortPoolUsage ?? MAX_MAPPINGS, 1, MAX_MAPPINGS),
    protocols: readProtocols(o.protocols ?? null, o.icmpTransposition ?? true),
    dropOthers: oneOf('otherProtocols', o.otherProtocols ?? 'pass', ['pass', 'drop'] as const) === 'drop',
    inside,
    maxMappings: checkRange('maxMappings', o.maxMappings ?? mostMappings(owns, o.maxPortPoolUsage), 1, MAX_MAPPINGS),
    seed: readSeed(o.seed ?? 0),
  }
}

/** Reads one of several words; throws a TypeError with key and value. */
export function oneOf<T extends string>(key: string, value: T, words: readonly T[]): T {
  if (!words.includes(value)) {
    throw new TypeError(`${key} must be one of ${words.join(', ')}, not ${JSON.stringify(value)}`)
  }
  return value
}

/** The default of `maxMappings`. */
function mostMappings(owns: boolean, usage = 65_536): number {
  return owns ? usage : Math.min(usage, 65_536)
}

/** Reads the seed of a hash: a whole number, of which 32 bits count; throws a TypeError with key and value. */
export function readSeed(seed: number): number {
  if (!Number.isSafeInteger(seed)) throw new TypeError(`seed must be a whole number, not ${JSON.stringify(seed)}`)
  return seed | 0
}

function readProtocols(list: readonly number[] | null, icmp: boolean): Uint8Array {
  if (typeof icmp !== 'boolean') throw new TypeError(`icmpTransposition must be true or false, not ${icmp}`)
  const set = new Uint8Array(256).fill(list === null ? 1 : 0)
  list?.forEach((protocol, i) => {
    set[checkRange(`protocols[${i}]`, protocol, 0, 255)] = 1
  })
  if (!icmp) set[Proto.Icmp] = set[Proto.Icmpv6] = 0
  return set
}

/** Reads an address or, of IPv4, the ends of a range. */
function readAddresses(key: string, text: string): Uint32Array[] {
  const dash = typeof text === 'string' ? text.indexOf('-') : -1
  if (dash < 0) return [readHost(key, text)]
  const first = readPrefix(key, text.slice(0, dash))
  const last = readPrefix(key, text.slice(dash + 1))
  const [a, b] = [first.words[0] as number, last.words[0] as number]
  if (first.words.length !== 1 || last.words.length !== 1 || first.length !== 32 || last.length !== 32) {
    throw new TypeError(`${key}: ${JSON.stringify(text)} is not a range of IPv4 addresses`)
  }
  if (b < a) throw new RangeError(`${key}: ${JSON.stringify(text)} ends before it begins`)
  if (b - a >= MAX_ADDRESSES)
    throw new RangeError(`${key}: ${JSON.stringify(text)} is more than ${MAX_ADDRESSES} addresses`)
  return Array.from({ length: b - a + 1 }, (_, i) => Uint32Array.of(a + i))
}
