import { type Clock, checkRange, type Frame, type FramePool, SECOND } from '@l2l3/switch-core'
import { eth, icmp, icmpv6, ipv4, ipv6, u16, u32 } from '@l2l3/switch-core/wire'
import { MIN_MTU4, MIN_MTU6 } from './mtu.ts'

/*
 * What is known of the paths to a tunnel's far ends: the largest packet that came through, where a router on the way said
 * that another did not.
 *
 *     our outer packet, 1,500 bytes, DF ──> router ── link of 1,400
 *     <── ICMP "fragmentation needed", 1400 | the outer packet's beginning |
 *
 * `readTooBig` takes the message apart, the tunnel sees whether what is quoted is a packet that it can have sent - its own
 * source, protocol, ports or key, a remote of its own, DF - and then lowers the path's MTU. The message comes from anybody, so that it
 * never raises a path, never takes one below what a link must carry, and is forgotten after ten minutes (RFC 1191, 6.3; RFC
 * 8201, 5.3; Linux mtu_expires). A router that does not say how much is too much gets the next plateau below the packet
 * that it quotes (RFC 1191, 5 and 7.1).
 *
 * The table is bounded: an entry has eight places that it may be in, and takes that of the one that ends first.
 */

/** Sizes and times of a table of path MTUs. */
export interface PathMtuOptions {
  /** Paths that may be known at once; a power of two from 8 to 65,536. Default 256. */
  entries?: number
  /** How long an entry lasts, in nanoseconds. Default 10 minutes. */
  lifetime?: number
  /** The lowest MTU of an IPv4 path; 68 to 1,500. Default 552, as Linux' min_pmtu. */
  floor4?: number
  /** The lowest MTU of an IPv6 path; 1,280 to 1,500. Default 1,280. */
  floor6?: number
}

const WAYS = 8
const PLATEAUS = [32_000, 17_914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68]

/** The largest MTU that is below `length` of the table in RFC 1191, 7.1. */
export function plateauBelow(length: number): number {
  for (const mtu of PLATEAUS) if (mtu < length) return mtu
  return MIN_MTU4
}

/** MTUs of paths that are known to be smaller than their first link's. */
export class PathMtu {
  readonly #clock: Clock
  readonly #lifetime: number
  readonly #floor4: number
  readonly #floor6: number
  /** Four words of address an entry: IPv4 as `::ffff:a.b.c.d`. */
  readonly #keys: Int32Array
  readonly #mtu: Uint16Array
  readonly #until: Float64Array
  readonly #key: Int32Array = new Int32Array(4)
  /** The latest end of an entry: behind it nothing is known. */
  #last = 0
  /** Messages that lowered a path. */
  lowered = 0
  /** Messages that were believed and changed nothing. */
  ignored = 0

  constructor(clock: Clock, options: PathMtuOptions = {}) {
    this.#clock = clock
    const entries = checkRange('entries', options.entries ?? 256, WAYS, 65_536)
    if ((entries & (entries - 1)) !== 0) throw new RangeError(`entries must be a power of two, not ${entries}`)
    this.#lifetime = checkRange('lifetime', options.lifetime ?? 600 * SECOND, 1, Number.MAX_SAFE_INTEGER)
    this.#floor4 = checkRange('floor4', options.floor4 ?? 552, MIN_MTU4, 1500)
    this.#floor6 = checkRange('floor6', options.floor6 ?? MIN_MTU6, MIN_MTU6, 1500)
    this.#keys = new Int32Array(entries * 4)
    this.#mtu = new Uint16Array(entries)
    this.#until = new Float64Array(entries)
  }

  /** Paths that are known at this moment. */
  get size(): number {
    let n = 0
    for (const until of this.#until) if (until > this.#clock.now) n++
    return n
  }

  /** The MTU of the path to an IPv4 address; 65,535 where nothing is known. */
  to4(ip: number): number {
    if (this.#last <= this.#clock.now) return 65_535
    this.#setKey4(ip)
    return this.#find()
  }

  /** The MTU of the path to the IPv6 address at `at`; 65,535 where nothing is known. */
  to6(b: Uint8Array, at: number): number {
    if (this.#last <= this.#clock.now) return 65_535
    this.#setKey6(b, at)
    return this.#find()
  }

  /** Lowers the path to an IPv4 address, no deeper than the floor; false where it was as low. */
  lower4(ip: number, mtu: number): boolean {
    this.#setKey4(ip)
    return this.#lower(Math.max(mtu, this.#floor4))
  }

  /** Lowers the path to the IPv6 address at `at`. */
  lower6(b: Uint8Array, at: number, mtu: number): boolean {
    this.#setKey6(b, at)
    return this.#lower(Math.max(mtu, this.#floor6))
  }

  #setKey4(ip: number): void {
    const k = this.#key
    k[0] = 0
    k[1] = 0
    k[2] = 0xffff
    k[3] = ip
  }

  #setKey6(b: Uint8Array, at: number): void {
    for (let i = 0; i < 4; i++) this.#key[i] = u32(b, at + 4 * i)
  }

  /** The first of the places that the key may be in. */
  #home(): number {
    const k = this.#key
    let h = Math.imul(k[0]! ^ Math.imul(k[1]!, 0x9e3779b1), 0x85ebca6b)
    h = Math.imul(h ^ k[2]! ^ (h >>> 15), 0xc2b2ae35)
    h = Math.imul(h ^ k[3]! ^ (h >>> 13), 0x27d4eb2f)
    return ((h ^ (h >>> 16)) & (this.#mtu.length - 1) & ~(WAYS - 1)) >>> 0
  }

  /** The place that the key is in, while it lasts; -1 for none. */
  #place(): number {
    const k = this.#key
    const keys = this.#keys
    const home = this.#home()
    for (let i = home; i < home + WAYS; i++) {
      const at = 4 * i
      if (keys[at + 3] !== k[3] || keys[at + 2] !== k[2] || keys[at + 1] !== k[1] || keys[at] !== k[0]) continue
      if (this.#until[i]! > this.#clock.now) return i
    }
    return -1
  }

  #find(): number {
    const i = this.#place()
    return i === -1 ? 65_535 : (this.#mtu[i] as number)
  }

  #lower(mtu: number): boolean {
    let i = this.#place()
    if (mtu >= (i === -1 ? 65_535 : this.#mtu[i]!)) {
      this.ignored++
      return false
    }
    if (i === -1) {
      const home = this.#home()
      i = home
      for (let j = home + 1; j < home + WAYS; j++) if (this.#until[j]! < this.#until[i]!) i = j
      this.#keys.set(this.#key, 4 * i)
    }
    this.#mtu[i] = mtu
    this.#until[i] = this.#clock.now + this.#lifetime
    this.#last = Math.max(this.#last, this.#until[i] as number)
    this.lowered++
    return true
  }
}

/** What an ICMP error says about a packet that was too big; made once and filled again. Offsets are indices in the arena. */
export class TooBigReport {
  /** Where the quoted IP header is. */
  ip = 0
  /** Where what is behind it starts. */
  l4 = 0
  /** Where the quote ends. */
  end = 0
  v6 = false
  /** The protocol of the quoted packet; of IPv6 the next header, which is a tunnel's where it is ours. */
  protocol = 0
  /** What the next link takes: never below 68, nor above the quoted packet. */
  mtu = 0
}

/** Reads a frame that may be an ICMP error about a packet that was too big, one with right checksums that quotes at least 8
 * bytes behind an IP header; false where it is anything else. */
export function readTooBig(pool: FramePool, f: Frame, report: TooBigReport): boolean {
  const b = pool.bytes
  const l3 = (pool.off[f] as number) + eth.HLEN
  const end = l3 - eth.HLEN + (pool.len[f] as number)
  const version = end - l3 < ipv4.HLEN ? 0 : b[l3]! >>> 4
  return version === 4 ? read4(b, l3, end, report) : version === 6 ? read6(b, l3, end, report) : false
}

function read4(b: Uint8Array, l3: number, frameEnd: number, report: TooBigReport): boolean {
  const l4 = ipv4.check(b, l3, frameEnd)
  if (l4 === -1 || ipv4.protocol(b, l3) !== ipv4.Protocol.Icmp || ipv4.isFragment(b, l3)) return false
  const end = l3 + ipv4.totalLength(b, l3)
  if (end - l4 < icmp.HLEN + ipv4.HLEN + 8 || u16(b, l4) !== 0x0304 || !icmp.checksumOk(b, l4, end)) return false
  const ip = l4 + icmp.HLEN
  const quoted = ipv4.checkHeader(b, ip, end)
  // Nobody may complain of a packet that may be cut.
  if (quoted === -1 || end - quoted < 8 || u16(b, ip + 6) !== ipv4.Flag.DontFragment) return false
  const length = ipv4.totalLength(b, ip)
  const said = icmp.mtu(b, l4)
  report.mtu = said === 0 ? plateauBelow(length) : said
  if (report.mtu < MIN_MTU4 || report.mtu >= length) return false
  report.ip = ip
  report.l4 = quoted
  report.end = end
  report.v6 = false
  report.protocol = ipv4.protocol(b, ip)
  return true
}

function read6(b: Uint8Array, l3: number, frameEnd: number, report: TooBigReport): boolean {
  const l4 = ipv6.check(b, l3, frameEnd)
  if (l4 === -1 || ipv6.nextHeader(b, l3) !== ipv4.Protocol.Icmpv6) return false
  const end = l4 + ipv6.payloadLength(b, l3)
  if (end - l4 < icmpv6.HLEN + ipv6.HLEN + 8 || b[l4] !== icmpv6.Type.PacketTooBig) return false
  if (!icmpv6.checksumOk(b, l3, l4, end)) return false
  const ip = l4 + icmpv6.HLEN
  const quoted = ipv6.checkHeader(b, ip, end)
  if (quoted === -1) return false
  const length = ipv6.HLEN + ipv6.payloadLength(b, ip)
  report.mtu = Math.max(icmpv6.mtu(b, l4), MIN_MTU6)
  if (report.mtu >= length) return false
  report.ip = ip
  report.l4 = quoted
  report.end = end
  report.v6 = true
  report.protocol = ipv6.nextHeader(b, ip)
  return true
}
