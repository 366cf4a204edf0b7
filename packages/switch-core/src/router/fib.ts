import { u32 } from '../wire/bytes.ts'
import { seedOf } from './ecmp.ts'
import type { RouterInterface } from './interface.ts'
import { OwnAddresses } from './own-addresses.ts'
import {
  bytes6,
  formatPrefix,
  formatWords,
  masked,
  type Prefix,
  parseInterfaceAddress,
  parsePrefix,
  wordMask,
  words6,
} from './prefix.ts'
import { RouteTable4, RouteTable6 } from './route-table.ts'
import { suits6 } from './source-choice.ts'
import { Hop, type Kind, Target } from './target.ts'

/*
 * The forwarding table: configuration in, targets out.
 *
 *     add { to: '10.2.0.0/16', via: '10.0.0.2' }  ->  target 5 = unicast by eth0 via 10.0.0.2
 *                                                     table4:  10.2.0.0/16, metric 1 -> 5
 *
 * An interface's addresses are in the table like everything else, so that one lookup says "ours": as /32 or /128 of
 * kind `local`, with the broadcast address of the prefix (IPv4) or the anycast address of all its routers (IPv6; RFC
 * 4291, 2.6.1), and with metric 0, in front of all that is configured, whose metrics are moved up by one. A link-local
 * IPv6 address is not: it means something on one link only.
 */

/** A next hop as it is configured. */
export interface NextHopOptions {
  /** The gateway's address. Without it, destinations are on the link themselves. */
  via?: string
  /** The interface it leaves by. May be left out where `via` is on the link of an interface with an address; where it
   * is given, `via` is taken to be on its link. */
  dev?: RouterInterface
  /** Its share of the flows, where there are several next hops; 1 to 256. Default 1. */
  weight?: number
}

/** A route as it is configured. */
export interface RouteOptions extends NextHopOptions {
  /** `10.0.0.0/8`, `2001:db8::/32`, `0.0.0.0/0`. */
  to: string
  /** What becomes of packets. Default `unicast`: sent on by `via`, `dev` or `hops`. */
  type?: 'unicast' | 'blackhole' | 'unreachable' | 'prohibit'
  /** Several next hops, in place of `via` and `dev`: each flow takes one of them. */
  hops?: readonly NextHopOptions[]
  /** Of several routes to the same prefix the lowest counts; 0 to 4,294,967,294. Default 0. */
  metric?: number
  /** Whether frames that are sent by this route are counted for it alone. Default false. */
  counted?: boolean
}

/** A route as it is listed. */
export interface RouteInfo {
  to: string
  /** `connected` is on the link of an interface, `static` behind a gateway; `local` and `broadcast` come of an
   * interface's addresses. */
  kind: 'connected' | 'static' | 'local' | 'broadcast' | 'blackhole' | 'unreachable' | 'prohibit'
  hops: readonly { via?: string; dev: string; weight: number }[]
  metric: number
  /** Frames and bytes sent by it, where the route is counted. */
  frames?: number
  bytes?: number
}

const TYPES = ['unicast', 'blackhole', 'unreachable', 'prohibit'] as const

/** Metric of what comes of an interface's addresses. */
const OWN = 0
/** RFC 7600, 4.8: who speaks where no interface has an IPv4 address. */
const DUMMY4 = 0xc000_0008

/** The routes of a router, and what they lead to. */
export class Fib {
  /** Whether 240.0.0.0/4 are hosts' addresses. */
  reserved4 = false
  readonly table4: RouteTable4 = new RouteTable4()
  readonly table6: RouteTable6 = new RouteTable6()
  /** What the tables' values mean. */
  readonly targets: Target[] = []
  readonly interfaces: RouterInterface[] = []
  /** Own and broadcast addresses: no packet from elsewhere comes from there. */
  readonly own4: OwnAddresses = new OwnAddresses()
  readonly #byKey: Map<string, number> = new Map()
  readonly #free: number[] = []

  /** What becomes of packets to `ip`; null where there is no route. */
  lookup4(ip: number): Target | null {
    const at = this.table4.lookup(ip)
    return at < 0 ? null : (this.targets[at] as Target)
  }

  /** What becomes of packets to the address whose 16 bytes stand at `at`; null where there is no route. */
  lookup6(b: Uint8Array, at: number): Target | null {
    const i = this.table6.lookup(b, at)
    return i < 0 ? null : (this.targets[i] as Target)
  }

  /** The prefix of the route that `lookup4` finds, as text. */
  prefix4(ip: number): string | null {
    return this.table4.covering(Uint32Array.of(ip))
  }

  /** The prefix of the route that `lookup6` finds, as text. */
  prefix6(b: Uint8Array, at: number): string | null {
    return this.table6.covering(words6(b, at))
  }

  /** Adds a route, or replaces the one with this prefix and metric. Throws where it cannot be: with the text at
   * fault. */
  add(route: RouteOptions): void {
    const prefix = parsePrefix(route.to)
    const metric = checkMetric(route.metric ?? 0)
    const type = route.type ?? 'unicast'
    if (!TYPES.includes(type))
      throw new TypeError(`route ${route.to}: type must be one of ${TYPES.join(', ')}, not ${type}`)
    let hops: Hop[] = []
    if (type === 'unicast') {
      if (route.hops && (route.via !== undefined || route.dev)) {
        throw new TypeError(`route ${route.to}: hops stand in place of via and dev`)
      }
      const list = route.hops ?? [route]
      if (list.length < 1 || list.length > 256) {
        throw new RangeError(`route ${route.to}: 1 to 256 hops, not ${list.length}`)
      }
      hops = list.map((hop) => this.#hop(route.to, prefix, hop))
    } else if (route.via !== undefined || route.dev || route.hops) {
      throw new TypeError(`route ${route.to}: a route of type ${type} has no next hop`)
    }
    this.#put(prefix, metric + 1, type, hops, route.counted ?? false)
  }

  /** Takes a route away, of the lowest metric or the given one; false where there is none. Where it stood in place of the
   * route to an interface's own network, that one is back. */
  delete(to: string, metric?: number): boolean {
    const prefix = parsePrefix(to)
    const table = this.#table(prefix)
    const lowest = table.metrics(prefix.words, prefix.length).find((m) => m !== OWN)
    const which = metric === undefined ? lowest : checkMetric(metric) + 1
    if (which === undefined) return false
    const at = table.find(prefix.words, prefix.length, which)
    if (at < 0) return false
    const hop = (this.targets[at] as Target).hop
    this.#take(prefix, which)
    // Of a route to the link itself nobody knows whether it was the interface's own: it is gone.
    if (hop === null || hop !== hop.iface.onLink) this.#uncover(prefix)
    return true
  }

  /** Puts the route to an interface's own network back that another with its prefix has replaced. */
  #uncover({ words, length }: Prefix): void {
    for (const iface of this.interfaces) {
      const own =
        words.length === 1
          ? iface.addresses4.map((a) => Uint32Array.of(a.ip))
          : iface.addresses6.map((a) => words6(a.bytes))
      const lengths = words.length === 1 ? iface.addresses4 : iface.addresses6
      for (const [i, address] of own.entries()) {
        if (lengths[i]?.length !== length || masked(address, length).join() !== words.join()) continue
        this.#setUp(iface, address, length, true)
      }
    }
  }

  /** All routes, in no order. */
  *list(): IterableIterator<RouteInfo> {
    for (const table of [this.table4, this.table6]) {
      for (const { prefix, metric, value } of table.list()) {
        const target = this.targets[value] as Target
        const onLink = target.hops.every((hop) => hop.via4 === 0 && hop.via6 === null)
        const info: RouteInfo = {
          to: prefix,
          kind: kindOf(target, onLink),
          hops: target.hops.map((hop) => ({ ...viaOf(hop), dev: hop.iface.name, weight: hop.weight })),
          metric: Math.max(0, metric - 1),
        }
        if (target.counted) Object.assign(info, { frames: target.frames, bytes: target.bytes })
        yield info
      }
    }
  }

  /** Gives an interface an address, and the routes that come of it. */
  addAddress(iface: RouterInterface, text: string): void {
    this.#checkOurs(iface)
    const { words, length } = parseInterfaceAddress(text)
    if (words.length === 1) {
      const ip = words[0] as number
      if (iface.addresses4.some((a) => a.ip === ip)) throw new Error(`${iface.name} already has ${text}`)
      const reserved = ip >>> 28 === 15 && (!this.reserved4 || ip >>> 0 === 0xffff_ffff)
      if (ip >>> 24 === 0 || ip >>> 24 === 127 || ip >>> 28 === 14 || reserved) {
        throw new RangeError(`an interface cannot have the address ${text}`)
      }
      const host = (ip & (0xffff_ffff >>> length)) >>> 0
      if (length < 31 && (host === 0 || host === 0xffff_ffff >>> length)) {
        const what = host === 0 ? 'network' : 'broadcast'
        throw new RangeError(`an interface cannot have the address ${text}: it is the ${what} address of its prefix`)
      }
      iface.addresses4.push({ ip, length })
    } else {
      const bytes = bytes6(words)
      if (iface.addresses6.some((a) => formatWords(words6(a.bytes)) === formatWords(words))) {
        throw new Error(`${iface.name} already has ${text}`)
      }
      if (bytes[0] === 0xff || words.every((w, i) => w === 0 || (i === 3 && w === 1))) {
        throw new RangeError(`an interface cannot have the address ${text}`)
      }
      const anycast = length < 127 ? bytes6(masked(words, length)) : null
      iface.addresses6.push({ bytes, length, linkLocal: isLinkLocal(bytes, 0), anycast })
    }
    this.#setUp(iface, words, length)
  }

  /** Takes an address from an interface, with the routes that came of it. False where it does not have it. */
  removeAddress(iface: RouterInterface, text: string): boolean {
    const { words } = parseInterfaceAddress(text)
    this.#checkOurs(iface)
    return this.#removeAddress(iface, words)
  }

  #removeAddress(iface: RouterInterface, words: Uint32Array): boolean {
    const list: { ip?: number; bytes?: Uint8Array; length: number }[] =
      words.length === 1 ? iface.addresses4 : iface.addresses6
    const i = list.findIndex((a) => (a.bytes ? words6(a.bytes).join() === words.join() : a.ip === words[0]))
    if (i < 0) return false
    const [gone] = list.splice(i, 1) as [{ length: number }]
    for (const own of ownPrefixes(words, gone.length)) {
      this.#take(own, OWN)
      if (words.length === 1) this.own4.delete(own.words[0] as number)
    }
    const network = { words: masked(words, gone.length), length: gone.length }
    const connected = this.#table(network).find(network.words, network.length, 1)
    if (connected >= 0 && (this.targets[connected] as Target).hop === iface.onLink) this.#take(network, 1)
    this.#restore(words, gone.length)
    return true
  }

  /** Takes all addresses and routes of an interface away. A route with several next hops keeps the others. */
  removeInterface(iface: RouterInterface): void {
    this.#checkOurs(iface)
    this.interfaces.splice(this.interfaces.indexOf(iface), 1)
    iface.attached = false
    for (const { ip } of [...iface.addresses4]) this.#removeAddress(iface, Uint32Array.of(ip))
    for (const { bytes } of [...iface.addresses6]) this.#removeAddress(iface, words6(bytes))
    const leaving = new Set<number>()
    for (const [i, target] of this.targets.entries()) if (target.routes > 0 && target.leavesBy(iface)) leaving.add(i)
    if (leaving.size === 0) return
    const affected = [...this.table4.leadingTo(leaving), ...this.table6.leadingTo(leaving)]
    for (const { prefix, metric, value } of affected) {
      const target = this.targets[value] as Target
      const rest = target.hops.filter((hop) => hop.iface !== iface)
      if (rest.length === 0) this.#take(prefix, metric)
      else this.#put(prefix, metric, target.kind, rest, target.counted)
    }
  }

  /** The address by which the router speaks to `dst` over a next hop: of the interface's addresses the one in whose
   * prefix the next hop is, else its first; of an interface without addresses any other's. */
  source4(hop: Hop, dst: number): number {
    const next = hop.via4 !== 0 ? hop.via4 : dst
    const { addresses4 } = hop.iface
    for (let i = 0; i < addresses4.length; i++) {
      const { ip, length } = addresses4[i] as { ip: number; length: number }
      if (length === 0 || (ip ^ next) >>> (32 - length) === 0) return ip
    }
    if (addresses4.length > 0) return addresses4[0]?.ip as number
    for (let i = 0; i < this.interfaces.length; i++) {
      const first = this.interfaces[i]?.addresses4[0]
      if (first !== undefined) return first.ip
    }
    return DUMMY4
  }

  /** The address by which the router speaks to the one at `at`: of the same scope (RFC 6724, rule 2), of the interface
   * it leaves by (rule 5), the one that suits best (rules 6 and 8). Null where the router has none. */
  source6(iface: RouterInterface, b: Uint8Array, at: number): Uint8Array | null {
    const linkLocal = isLinkLocal(b, at)
    let any: Uint8Array | null = null
    let best: Uint8Array | null = null
    let suits = -1
    for (let i = 0; i < iface.addresses6.length; i++) {
      const a = iface.addresses6[i] as { bytes: Uint8Array; length: number; linkLocal: boolean }
      any ??= a.bytes
      if (a.linkLocal !== linkLocal) continue
      const now = suits6(a, b, at)
      if (now <= suits) continue
      best = a.bytes
      suits = now
    }
    if (best !== null) return best
    if (linkLocal) return any
    for (let k = 0; k < this.interfaces.length; k++) {
      const { addresses6 } = this.interfaces[k] as RouterInterface
      for (let i = 0; i < addresses6.length; i++) if (!addresses6[i]!.linkLocal) return addresses6[i]!.bytes
    }
    return any
  }

  #checkOurs(iface: RouterInterface): void {
    if (!this.interfaces.includes(iface)) throw new Error(`${iface.name} is no interface of this router`)
  }

  /** Puts back what went with an address and another, of this or another interface, also stands for. That one's prefix
   * then has this one's in it, or is in it: one comparison tells for nearly all others that they are not concerned. */
  #restore(words: Uint32Array, length: number): void {
    for (const iface of this.interfaces) {
      if (words.length === 1) {
        for (const a of iface.addresses4) {
          const common = Math.min(a.length, length)
          if (((a.ip ^ (words[0] as number)) & wordMask(common)) === 0) {
            this.#setUp(iface, Uint32Array.of(a.ip), a.length, true)
          }
        }
      } else {
        for (const a of iface.addresses6) {
          const common = Math.min(a.length, length)
          const overlap = words.every((w, i) => ((w ^ u32(a.bytes, 4 * i)) & wordMask(common - 32 * i)) === 0)
          if (overlap) this.#setUp(iface, words6(a.bytes), a.length, true)
        }
      }
    }
  }

  /** Puts an address' routes into the table; those that are there already stay if `missing`. */
  #setUp(iface: RouterInterface, words: Uint32Array, length: number, missing = false): void {
    const all = 32 * words.length
    const linkLocal = words.length === 4 && (words[0] as number) >>> 22 === 0x3fa
    if (linkLocal) return
    for (const { kind, anycast, ...prefix } of ownPrefixes(words, length)) {
      // An anycast address yields to the same as somebody's own.
      const keep = missing || anycast
      if (!keep || this.#table(prefix).find(prefix.words, prefix.length, OWN) < 0) {
        this.#put(prefix, OWN, kind, [iface.onLink], false)
      }
      if (words.length === 1) this.own4.add(prefix.words[0] as number)
    }
    if (length < all) {
      const network = { words: masked(words, length), length }
      if (!this.#table(network).metrics(network.words, length).includes(1)) {
        this.#put(network, 1, 'unicast', [iface.onLink], false)
      }
    }
  }

  #hop(to: string, prefix: Prefix, { via, dev, weight = 1 }: NextHopOptions): Hop {
    if (!Number.isInteger(weight) || weight < 1 || weight > 256) {
      throw new RangeError(`route ${to}: weight must be a whole number from 1 to 256, not ${weight}`)
    }
    if (dev && !this.interfaces.includes(dev))
      throw new Error(`route ${to}: ${dev.name} is no interface of this router`)
    if (via === undefined) {
      if (!dev) throw new TypeError(`route ${to}: needs via, dev or hops`)
      return weight === 1 ? dev.onLink : new Hop(dev, 0, null, weight, seedOf(dev.name))
    }
    const { words, length } = parseInterfaceAddress(via)
    if (length !== 32 * words.length || via.includes('/')) {
      throw new TypeError(`route ${to}: via must be an address, not ${JSON.stringify(via)}`)
    }
    if (words.length !== prefix.words.length) throw new TypeError(`route ${to}: via ${via} is of the other family`)
    const gateway = words.length === 4 ? bytes6(words) : null
    const known = gateway ? this.lookup6(gateway, 0) : this.lookup4(words[0] as number)
    if (known !== null && (known.kind === 'local' || known.kind === 'broadcast')) {
      throw new Error(`route ${to}: via ${via} is the router's own address or a broadcast address`)
    }
    let iface = dev
    if (!iface) {
      const hop = known?.kind === 'unicast' ? known.hop : null
      if (hop?.via4 !== 0 || hop.via6 !== null) {
        throw new Error(`route ${to}: via ${via} is on the link of no interface; say which with dev`)
      }
      iface = hop.iface
    }
    const seed = seedOf(`${iface.name} ${via}`)
    return new Hop(iface, gateway ? 0 : (words[0] as number), gateway, weight, seed)
  }

  #table({ words }: Prefix): RouteTable4 | RouteTable6 {
    return words.length === 1 ? this.table4 : this.table6
  }

  #put(prefix: Prefix, metric: number, type: Kind | 'prohibit', hops: readonly Hop[], counted: boolean): void {
    const text = `${type} ${hops.map((h) => `${h.iface.name} ${viaOf(h).via ?? ''} ${h.weight}`).join(', ')}`
    const key = counted ? `${formatPrefix(prefix.words, prefix.length)} ${metric} ${text}` : text
    let at = this.#byKey.get(key)
    if (at === undefined) {
      at = this.#free.pop() ?? this.targets.length
      const prohibited = type === 'prohibit'
      this.targets[at] = new Target(prohibited ? 'unreachable' : type, prohibited, hops, key, counted)
      this.#byKey.set(key, at)
    }
    ;(this.targets[at] as Target).routes++
    this.#release(this.#table(prefix).insert(prefix.words, prefix.length, at, metric))
  }

  #take(prefix: Prefix, metric: number): boolean {
    const at = this.#table(prefix).remove(prefix.words, prefix.length, metric)
    this.#release(at)
    return at >= 0
  }

  #release(at: number): void {
    if (at < 0) return
    const target = this.targets[at] as Target
    if (--target.routes > 0) return
    this.#byKey.delete(target.key)
    this.#free.push(at)
  }
}

function kindOf(target: Target, onLink: boolean): RouteInfo['kind'] {
  if (target.kind === 'unicast') return onLink ? 'connected' : 'static'
  return target.prohibited ? 'prohibit' : target.kind
}

function checkMetric(metric: number): number {
  if (!Number.isInteger(metric) || metric < 0 || metric > 0xffff_fffe) {
    throw new RangeError(`metric must be a whole number from 0 to 4294967294, not ${metric}`)
  }
  return metric
}

function viaOf(hop: Hop): { via?: string } {
  if (hop.via6 !== null) return { via: formatWords(words6(hop.via6)) }
  return hop.via4 === 0 ? {} : { via: formatWords(Uint32Array.of(hop.via4)) }
}

interface OwnPrefix extends Prefix {
  readonly kind: 'local' | 'broadcast'
  /** The address of all routers on the link, as opposed to one's own. */
  readonly anycast: boolean
}

/** The address itself; of an IPv4 prefix with room for one the broadcast address (RFC 3021: not of a /31); and of an
 * IPv6 prefix likewise the subnet-router anycast address (RFC 4291, 2.6.1; RFC 6164: not of a /127). */
function ownPrefixes(words: Uint32Array, length: number): OwnPrefix[] {
  const own: OwnPrefix[] = [{ words, length: 32 * words.length, kind: 'local', anycast: false }]
  if (words.length === 1 && length < 31) {
    const last = ((words[0] as number) | (0xffff_ffff >>> length)) >>> 0
    own.push({ words: Uint32Array.of(last), length: 32, kind: 'broadcast', anycast: false })
  }
  if (words.length === 4 && length < 127) {
    const network = masked(words, length)
    const itself = network.every((w, i) => w === words[i])
    // Not `::`, which is nobody's address.
    if (!itself && network.some((w) => w !== 0)) own.push({ words: network, length: 128, kind: 'local', anycast: true })
  }
  return own
}

/** Tells whether the 16 bytes at `at` are in fe80::/10. */
export function isLinkLocal(b: Uint8Array, at: number): boolean {
  return b[at] === 0xfe && (b[at + 1]! & 0xc0) === 0x80
}
