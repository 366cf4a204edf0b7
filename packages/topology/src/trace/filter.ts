import { arp, classify, Depth, eth, ipv4, ipv6, Layers, parseMac, u16 } from '@l2l3/switch-core/wire'
import { type Address, parseIp } from '../address.ts'
import { Words } from './filter-words.ts'

/*
 * Which frames are traced: a filter in the words of tcpdump, of which it has those that are used most (pcap-filter(7)).
 *
 *     expression   term { or term }                    term   factor { and factor }
 *     factor       not factor | ( expression ) | primitive            (also ||, &&, !)
 *
 *     primitive    [ether] [src|dst] host MAC          ether src MAC, ether dst MAC, ether proto 0x0806, ether broadcast,
 *                  [ip|ip6|arp] [src|dst] [host] ADDRESS             ether multicast
 *                  [src|dst] net 10.0.0.0/8            [tcp|udp] [src|dst] port 80, portrange 8000-8100
 *                  [ip|ip6] proto icmp                 vlan [10]
 *                  arp, ip, ip6, icmp, icmp6, tcp, udp at n1/red: frames that come in by that port
 *
 * Addresses and ports are the outermost ones, behind all VLAN tags (which `vlan` does not shift, as it does in tcpdump). ARP
 * has the addresses that it asks for and tells. Later fragments have no ports.
 */

/** What is known of a frame while a filter looks at it. */
interface Seen {
  bytes: Uint8Array
  /** The port that it came in by. */
  label: string
  depth: number
  readonly layers: Layers
}

type Test = (seen: Seen) => boolean

/** Says whether a frame fits. */
export type FrameFilter = (bytes: Uint8Array, label: string) => boolean

/**
 * Makes a filter; the empty one takes every frame.
 *
 * @throws FilterError where it cannot be read: what was expected, and where
 */
export function frameFilter(text: string): FrameFilter {
  const words = new Words(text)
  const test = words.next === '' ? () => true : expression(words)
  if (words.next !== '')
    words.fail(words.next === ')' ? 'a parenthesis too many' : `expected "and" or "or", not ${words.said}`)
  const seen: Seen = { bytes: new Uint8Array(0), label: '', depth: 0, layers: new Layers() }
  return (bytes, label) => {
    seen.bytes = bytes
    seen.label = label
    seen.depth = classify(bytes, 0, bytes.length, seen.layers)
    return test(seen)
  }
}

function expression(words: Words): Test {
  let test = term(words)
  while (words.takeIf('or')) {
    const [a, b] = [test, term(words)]
    test = (seen) => a(seen) || b(seen)
  }
  return test
}

function term(words: Words): Test {
  let test = factor(words)
  while (words.takeIf('and')) {
    const [a, b] = [test, factor(words)]
    test = (seen) => a(seen) && b(seen)
  }
  return test
}

function factor(words: Words): Test {
  if (words.takeIf('not')) {
    const test = factor(words)
    return (seen) => !test(seen)
  }
  if (words.takeIf('(')) {
    const test = expression(words)
    if (!words.takeIf(')')) words.fail(`expected ")", not ${words.said}`)
    return test
  }
  return primitive(words)
}

const both =
  (a: Test, b: Test): Test =>
  (seen) =>
    a(seen) && b(seen)

const type = (value: number): Test => {
  return ({ layers }) => layers.etherType === value
}
const IP = type(eth.EtherType.IPv4)
const IP6 = type(eth.EtherType.IPv6)
const ARP = type(eth.EtherType.Arp)

function protocol(value: number): Test {
  return ({ depth, layers }) =>
    depth >= Depth.Network && layers.etherType !== eth.EtherType.Arp && layers.protocol === value
}

const KINDS: Readonly<Record<string, Test>> = {
  ip: IP,
  ip6: IP6,
  arp: ARP,
  icmp: both(IP, protocol(ipv4.Protocol.Icmp)),
  icmp6: both(IP6, protocol(ipv4.Protocol.Icmpv6)),
  tcp: protocol(ipv4.Protocol.Tcp),
  udp: protocol(ipv4.Protocol.Udp),
}

const PROTOCOLS: Readonly<Record<string, number>> = {
  icmp: ipv4.Protocol.Icmp,
  icmp6: ipv4.Protocol.Icmpv6,
  tcp: ipv4.Protocol.Tcp,
  udp: ipv4.Protocol.Udp,
  gre: ipv4.Protocol.Gre,
  ipip: ipv4.Protocol.IpIp,
  igmp: ipv4.Protocol.Igmp,
}

type Side = 'src' | 'dst' | 'either'

/** Words behind which something else must follow, and what a primitive may begin with. */
const BEGIN = 'host, net, port, proto, src, dst, ether, vlan, at, arp, ip, ip6, icmp, icmp6, tcp, udp or an address'

function primitive(words: Words): Test {
  if (words.takeIf('ether')) return ether(words)
  if (words.takeIf('vlan')) return vlan(words)
  if (words.takeIf('at')) {
    const label = words.take()
    if (!label.includes('/')) words.fail('"at" is followed by a port, such as n1/red', 1)
    return (seen) => seen.label === label
  }
  const kind = words.takeIf(...Object.keys(KINDS))
  const of = kind === null ? null : (KINDS[kind] as Test)
  if (of !== null && ['', ')', 'and', 'or'].includes(words.next)) return of
  const rest = qualified(words, kind)
  return of === null ? rest : both(of, rest)
}

/** What stands behind `tcp` or `ip`, or at the beginning: `src port 80`, `host 10.0.0.1`. */
function qualified(words: Words, kind: string | null): Test {
  const side = (words.takeIf('src', 'dst') as Side | null) ?? 'either'
  const word = words.next
  if (word === 'port' || word === 'portrange') {
    if (kind !== null && kind !== 'tcp' && kind !== 'udp') words.fail(`${kind} has no ports; tcp and udp have`)
    words.take()
    return ports(words, side, word === 'portrange')
  }
  if (word === 'proto') {
    if (side !== 'either' || (kind !== null && kind !== 'ip' && kind !== 'ip6')) words.fail(`"proto" follows ip or ip6`)
    words.take()
    return protocol(numbered(words, 'proto', PROTOCOLS, 255))
  }
  if (kind === 'tcp' || kind === 'udp' || kind === 'icmp' || kind === 'icmp6') {
    words.fail(`expected "and", "or"${kind.startsWith('icmp') ? '' : ', "port"'} after ${kind}, not ${words.said}`)
  }
  if (words.takeIf('net')) return addressed(words, side, 'net')
  if (words.takeIf('host')) {
    return /^[0-9a-f]{1,2}([:-][0-9a-f]{1,2}){5}$/i.test(words.next)
      ? macs(words, side)
      : addressed(words, side, 'host')
  }
  if (word === '' || !/[.:]/.test(word)) {
    words.fail(
      side === 'either'
        ? `expected ${BEGIN}, not ${words.said}`
        : `"${side}" is followed by host, net, port or an address, not ${words.said}`,
    )
  }
  return addressed(words, side, 'host')
}

function ether(words: Words): Test {
  if (words.takeIf('broadcast')) return ({ bytes }) => bytes.length >= eth.HLEN && eth.isBroadcast(bytes, 0)
  if (words.takeIf('multicast')) return ({ bytes }) => bytes.length >= eth.HLEN && eth.isGroup(bytes, 0)
  if (words.takeIf('proto')) {
    const names = { ip: eth.EtherType.IPv4, ip6: eth.EtherType.IPv6, arp: eth.EtherType.Arp }
    return type(numbered(words, 'ether proto', names, 0xffff))
  }
  const side = words.takeIf('src', 'dst', 'host')
  if (side === null)
    words.fail(`"ether" is followed by src, dst, host, proto, broadcast or multicast, not ${words.said}`)
  words.takeIf('host')
  return macs(words, side === 'host' ? 'either' : (side as Side))
}

function macs(words: Words, side: Side): Test {
  let mac: Uint8Array
  try {
    mac = parseMac(words.next)
  } catch {
    words.fail(`expected a MAC address such as 02:00:00:00:00:0a, not ${words.said}`)
  }
  words.take()
  return ({ bytes }) => {
    if (bytes.length < eth.HLEN) return false
    return (
      (side !== 'src' && eth.equalMac(bytes, 0, mac, 0)) || (side !== 'dst' && eth.equalMac(bytes, eth.SRC, mac, 0))
    )
  }
}

function vlan(words: Words): Test {
  if (!/^\d/.test(words.next)) return ({ layers }) => layers.tags > 0
  const id = numbered(words, 'vlan', {}, 4095)
  return ({ layers }) => layers.tags > 0 && (layers.tci & 0xfff) === id
}

/** A number in decimal or hex, or a name that stands for one. */
function numbered(words: Words, what: string, names: Readonly<Record<string, number>>, most: number): number {
  const word = words.next
  const value = names[word] ?? (/^(0x[0-9a-f]+|\d+)$/i.test(word) ? Number(word) : -1)
  if (value < 0 || value > most) {
    const either = Object.keys(names).length === 0 ? '' : ` or one of ${Object.keys(names).join(', ')}`
    words.fail(`"${what}" is followed by a number from 0 to ${most}${either}, not ${words.said}`)
  }
  words.take()
  return value
}

function ports(words: Words, side: Side, range: boolean): Test {
  let low: number
  let high: number
  if (range) {
    const match = /^(\d+)-(\d+)$/.exec(words.next)
    ;[low, high] = [Number(match?.[1] ?? -1), Number(match?.[2] ?? -1)]
    if (low < 0 || high < low || high > 65_535) {
      words.fail(`"portrange" is followed by two ports such as 8000-8100, not ${words.said}`)
    }
    words.take()
  } else {
    low = numbered(words, 'port', {}, 65_535)
    high = low
  }
  const fits = (port: number): boolean => port >= low && port <= high
  return ({ bytes, depth, layers }) => {
    if (depth !== Depth.Transport) return false
    if (layers.protocol !== ipv4.Protocol.Tcp && layers.protocol !== ipv4.Protocol.Udp) return false
    const { l4 } = layers
    return (side !== 'dst' && fits(u16(bytes, l4))) || (side !== 'src' && fits(u16(bytes, l4 + 2)))
  }
}

/** Addresses, or networks where `what` is net: `10.0.0.0/8`, `fd00::/16`. */
function addressed(words: Words, side: Side, what: 'host' | 'net'): Test {
  const [text = '', bits, ...more] = words.next.split('/')
  const address: Address | null = parsed(text)
  const most = address === null ? 0 : 8 * address.bytes.length
  const prefix = bits === undefined ? most : /^\d+$/.test(bits) ? Number(bits) : -1
  if (address === null || more.length > 0 || prefix < 0 || prefix > most || (what === 'host' && bits !== undefined)) {
    const example =
      what === 'host' ? 'an address such as 10.0.0.1 or fd00::1' : 'a network such as 10.0.0.0/8 or fd00::/16'
    words.fail(`expected ${example}, not ${words.said}`)
  }
  words.take()
  const wanted = address.bytes
  const at = (b: Uint8Array, o: number): boolean => samePrefix(b, o, wanted, prefix)
  const [source, target] = [side !== 'dst', side !== 'src']
  return ({ bytes, depth, layers }) => {
    const { etherType, l3 } = layers
    if (depth < Depth.Network) return false
    if (wanted.length === 16) {
      if (etherType !== eth.EtherType.IPv6) return false
      return (source && at(bytes, l3 + ipv6.SRC)) || (target && at(bytes, l3 + ipv6.DST))
    }
    if (etherType === eth.EtherType.IPv4) {
      return (source && at(bytes, l3 + ipv4.SRC)) || (target && at(bytes, l3 + ipv4.DST))
    }
    if (etherType !== eth.EtherType.Arp) return false
    return (source && at(bytes, l3 + arp.SPA)) || (target && at(bytes, l3 + arp.TPA))
  }
}

function parsed(text: string): Address | null {
  try {
    return parseIp(text)
  } catch {
    return null
  }
}

function samePrefix(b: Uint8Array, o: number, wanted: Uint8Array, prefix: number): boolean {
  const whole = prefix >>> 3
  for (let i = 0; i < whole; i++) if (b[o + i] !== wanted[i]) return false
  const rest = prefix & 7
  return rest === 0 || ((b[o + whole] as number) ^ (wanted[whole] as number)) >>> (8 - rest) === 0
}
