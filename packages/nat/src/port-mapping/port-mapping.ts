import { checkRange, formatWords } from '@l2l3/switch-core'
import { checkKeys, checkObject } from '../outbound/known-keys.ts'
import { firstOf, formatPortRange, lastOf, type PortRange, readPortRange, sizeOf } from '../outbound/port-range.ts'
import { PrefixSet, readHost, readPrefix } from '../outbound/prefix-set.ts'
import { hasPorts, IPV6, Proto } from '../tuple.ts'

/*
 * One port mapping: what comes to a port of the node, or to a range of them, is for an inside host.
 *
 *     { protocol: 'tcp', port: 8080, to: '10.22.0.11', toPort: 80 }
 *     { protocol: 'udp', port: '5000-5009', address: '203.0.113.1', to: '10.22.0.11', toPort: '6000-6009' }
 *
 * A range goes to a range of the same length, port by port.
 */

/** Protocols with ports, by name. */
export type PortProtocol = 'tcp' | 'udp' | 'sctp' | 'udplite' | 'dccp'

const PROTOCOLS: Readonly<Record<PortProtocol, number>> = {
  tcp: Proto.Tcp,
  udp: Proto.Udp,
  sctp: Proto.Sctp,
  udplite: Proto.UdpLite,
  dccp: Proto.Dccp,
}

/** Addresses that a packet must have for a mapping, as prefixes. Of an IP version of which a list names none, it asks nothing. */
export interface MappingMatch {
  /** Sources, one of which it has. */
  readonly from?: readonly string[]
  /** And none of these. */
  readonly notFrom?: readonly string[]
  /** Destinations, likewise. */
  readonly at?: readonly string[]
  readonly notAt?: readonly string[]
}

/** A port mapping as it is configured. */
export interface PortMapping {
  /** By name or by number. */
  protocol: PortProtocol | number
  /** Port, or `first-last`, 1 to 65,535. */
  port: number | string
  /** The address it listens on. Default, as for the unspecified one (`0.0.0.0`, `::`): all of the node's addresses of the
   * family of `to`. */
  address?: string
  /** The inside host. */
  to: string
  /** Port, or a range as long as `port`. Default: as `port`. */
  toPort?: number | string
  /** Whether `address` must be an address of the node, as `--dst-type LOCAL` says; false: a virtual one. Default true. */
  local?: boolean
  /** Which packets it is for, by their addresses. Default: all. Others go on as if it were not there. */
  when?: MappingMatch
  /** Prefixes of sources that are translated as well, so that the answers come back here: hairpin. Default: none. */
  masqueradeFrom?: readonly string[]
  /** Numbers of interfaces by which it does not apply (Docker: the bridge itself). Default: none. */
  notIn?: readonly number[]
  /** Whether NATs that own their ports keep this one free for `to` and `toPort` (HNS `ExternalPortReserved`). Default
   * true. */
  reserved?: boolean
  /** The network that the packets come in by. Default 0. */
  zone?: number
}

const KEYS: readonly string[] = [
  'protocol',
  'port',
  'address',
  'to',
  'toPort',
  'local',
  'when',
  'masqueradeFrom',
  'notIn',
  'reserved',
  'zone',
] satisfies (keyof PortMapping)[]

const MATCH_KEYS: readonly string[] = ['from', 'notFrom', 'at', 'notAt'] satisfies (keyof MappingMatch)[]

/** What a mapping asks of addresses. */
export class ReadMatch {
  readonly #from: PrefixSet
  readonly #notFrom: PrefixSet
  readonly #at: PrefixSet
  readonly #notAt: PrefixSet

  /** Throws a TypeError with key and value. */
  constructor(key: string, match: MappingMatch) {
    checkObject(key, match)
    checkKeys(`${key}: `, match, MATCH_KEYS)
    const set = (name: keyof MappingMatch): PrefixSet => new PrefixSet(`${key}.${name}`, match[name] ?? [])
    this.#from = set('from')
    this.#notFrom = set('notFrom')
    this.#at = set('at')
    this.#notAt = set('notAt')
  }

  /** Whether a packet of IPv4 has such addresses. */
  fits4(src: number, dst: number): boolean {
    if (this.#notFrom.includes4(src) || this.#notAt.includes4(dst)) return false
    return (!this.#from.has(4) || this.#from.includes4(src)) && (!this.#at.has(4) || this.#at.includes4(dst))
  }

  /** The same for IPv6, of which `words` has the addresses from `src` and `dst` on. */
  fits6(words: ArrayLike<number>, src: number, dst: number): boolean {
    if (this.#notFrom.includes6(words, src) || this.#notAt.includes6(words, dst)) return false
    return (
      (!this.#from.has(6) || this.#from.includes6(words, src)) && (!this.#at.has(6) || this.#at.includes6(words, dst))
    )
  }
}

/** A port mapping that has been read. */
export interface ReadMapping {
  /** Protocol, family and zone, as in a tuple. */
  readonly kind: number
  readonly ports: PortRange
  /** Words of the address, or null: all of the node's. */
  readonly address: Uint32Array | null
  readonly to: Uint32Array
  /** The inside port of the first port. */
  readonly toPort: number
  readonly local: boolean
  readonly when: ReadMatch | null
  readonly masqueradeFrom: PrefixSet
  readonly notIn: ReadonlySet<number>
  readonly reserved: boolean
}

/** Reads a port mapping; throws a TypeError or RangeError with key and value. */
export function readMapping(key: string, m: PortMapping): ReadMapping {
  if (typeof m !== 'object' || m === null)
    throw new TypeError(`${key} must be a port mapping, not ${JSON.stringify(m)}`)
  for (const k of Object.keys(m)) if (!KEYS.includes(k)) throw new TypeError(`${key}: unknown key ${JSON.stringify(k)}`)
  const ports = readPortRange(`${key}.port`, m.port)
  const toPorts = readPortRange(`${key}.toPort`, m.toPort ?? m.port)
  if (sizeOf(toPorts) !== sizeOf(ports)) {
    throw new RangeError(
      `${key}.toPort: ${formatPortRange(toPorts)} is not as long as port, which is ${formatPortRange(ports)}`,
    )
  }
  const to = readHost(`${key}.to`, m.to)
  const address = m.address === undefined ? null : readListenAddress(`${key}.address`, m.address)
  if (address !== null && address.length !== to.length) {
    throw new TypeError(`${key}: address ${m.address} and to ${m.to} are of different families`)
  }
  for (const flag of ['local', 'reserved'] as const) {
    if (m[flag] !== undefined && typeof m[flag] !== 'boolean') {
      throw new TypeError(`${key}.${flag} must be true or false, not ${JSON.stringify(m[flag])}`)
    }
  }
  if (address === null && m.local === false) throw new TypeError(`${key}.local: false needs an address`)
  const zone = checkRange(`${key}.zone`, m.zone ?? 0, 0, 0xffff)
  const protocol = readProtocol(`${key}.protocol`, m.protocol)
  return {
    kind: ((zone << 16) | (to.length === 4 ? IPV6 : 0) | protocol) >>> 0,
    ports,
    address,
    to,
    toPort: firstOf(toPorts),
    local: m.local ?? true,
    when: m.when === undefined ? null : new ReadMatch(`${key}.when`, m.when),
    masqueradeFrom: new PrefixSet(`${key}.masqueradeFrom`, m.masqueradeFrom ?? []),
    notIn: new Set((m.notIn ?? []).map((n, i) => checkRange(`${key}.notIn[${i}]`, n, 0, 0xffff_ffff))),
    reserved: m.reserved ?? true,
  }
}

/** Reads the address that a mapping listens on; the unspecified one is all of the node's: null. */
function readListenAddress(key: string, text: string): Uint32Array | null {
  const { words, length } = readPrefix(key, text)
  return length === 32 * words.length && words.every((word) => word === 0) ? null : readHost(key, text)
}

/** Reads a protocol with ports; throws a TypeError with key and value. */
export function readProtocol(key: string, protocol: PortProtocol | number): number {
  const number = typeof protocol === 'number' ? protocol : Object.hasOwn(PROTOCOLS, protocol) ? PROTOCOLS[protocol] : -1
  if (!hasPorts(number)) {
    const names = Object.entries(PROTOCOLS).map(([name, n]) => `${name} (${n})`)
    throw new TypeError(`${key} must be one of ${names.join(', ')}, not ${JSON.stringify(protocol)}`)
  }
  return number
}

/** Whether two mappings want the same port of the same address. */
export function overlap(a: ReadMapping, b: ReadMapping): boolean {
  return (
    a.kind === b.kind &&
    firstOf(a.ports) <= lastOf(b.ports) &&
    firstOf(b.ports) <= lastOf(a.ports) &&
    (a.address === null || b.address === null || a.address.every((word, i) => word === b.address?.[i]))
  )
}

/** Writes a mapping for people: `tcp 203.0.113.1:8080 -> 10.22.0.11:80`. */
export function formatMapping(m: ReadMapping): string {
  const protocol = m.kind & 255
  const name = Object.entries(PROTOCOLS).find(([, n]) => n === protocol)?.[0]
  const toPorts = sizeOf(m.ports) === 1 ? String(m.toPort) : `${m.toPort}-${m.toPort + sizeOf(m.ports) - 1}`
  const at = m.address === null ? '*' : host(m.address)
  return `${name} ${at}:${formatPortRange(m.ports)} -> ${host(m.to)}:${toPorts}`
}

function host(words: Uint32Array): string {
  return words.length === 1 ? formatWords(words) : `[${formatWords(words)}]`
}
