import { Batch, checkRange, type Drop, type Frame, type FramePool, finish, Offload } from '@l2l3/switch-core'
import { checksum, copy, formatIpv4, formatIpv6, parseIpv4, parseIpv6, put16 } from '@l2l3/switch-core/wire'
import { tosTable } from './ecn.ts'
import { type FlowReader, flowReader } from './flow-hash.ts'
import { tunnelSigns } from './nesting.ts'
import { makeWrap, type OuterArrays, type Wrap, type WrapRun } from './outer-loops.ts'
import {
  BITS,
  CHECKSUM,
  COUNT_ID,
  ETH,
  ETHERNET,
  HASH_LABEL,
  ID,
  INHERIT_DF,
  INHERIT_TTL,
  LENGTH,
  META,
  MOST_TUNNEL,
  NO_TAGS,
  PLAIN,
  PORT_COUNT,
  PORT_LOW,
  PSEUDO,
  SUM,
  swap,
  TOS,
  UDP,
  UDP_SUM,
  V6,
} from './outer-row.ts'
import { makeRun4, makeRun6 } from './outer-run.ts'
import type { TunnelSettings } from './profile.ts'

/*
 * Outer headers, made once for each remote and put in front of frames by copying words.
 *
 *       Ethernet 14            IPv4 20 or IPv6 40           UDP 8 or none       tunnel header        the frame
 *     | MACs, zero | type | tos len id DF TTL .. src dst | sport dport len sum | VXLAN, GENEVE .. | inner ..........
 *     word 0     1     2     3     4     5     6     7     8     9     10   (IPv4)
 *                                      5     ...    13    14    15   (IPv6)
 *
 * A header is a row of words as they go onto the wire. What is the same for every frame stands in it; the words that
 * differ - type of service, lengths, identification, source port, checksums - are made of the row and of what `flow-hash`
 * has found in the frame. Checksums are sums prepared with the row plus the few words that differ.
 *
 * The MACs are the underlay's to write, where it routes; a row may hold them where the next hop is known.
 *
 * No payload is read but for a UDP checksum that is wanted, and not even then where the inner checksum is still missing:
 * what it covers then sums up to the complement of what stands in its field (Linux: "local checksum offload"). A super-frame
 * stays whole; its metadata then says where its inner headers are, and a port that cannot carry that cuts it.
 */

/** An outer header, as it is configured. */
export interface OuterOptions {
  /** Addresses of the tunnel's ends: both IPv4 or both IPv6. */
  src: string
  dst: string
  /** What the IP packet carries: 17 for UDP, then `udpPort` is its destination port; else a protocol number. */
  protocol: number
  udpPort?: number
  /** The tunnel's own header, behind UDP or IP: an even number of bytes. */
  tunnel?: Uint8Array
  /** Whether the inner packet is an Ethernet frame. Default true; else it is an IP packet. */
  ethernet?: boolean
  settings: TunnelSettings
  /** MACs of the outer Ethernet header. Default zero, for the underlay to write; of a multicast group its own. */
  dstMac?: Uint8Array
  srcMac?: Uint8Array
}

/** Words for rows at first: 8,000 of VXLAN over IPv4. What is never written takes no memory. */
const FIRST = 1 << 18
/** Counters of identifications; pairs of addresses share them by hash. */
const IDS = 1 << 16
/** Tables of types of service: one for each DSCP and `inherit`, by each ECN mode. */
const TABLES = 65 * 3
const TABLE_SPAN = 512

const tables = new WeakMap<FramePool, OuterTable>()

/** Outer headers of all tunnels of a pool. A row is known by the place of its first word. */
export class OuterTable {
  readonly pool: FramePool
  #rows: Int32Array
  #end = 0
  /** Rows that were given back, by their size. */
  readonly #free: Map<number, number[]> = new Map()
  readonly #used: Map<number, OuterOptions> = new Map()
  readonly #ids: Uint16Array
  readonly #tos: Uint8Array
  readonly #tosOf: Map<string, number> = new Map()
  readonly #reader: FlowReader
  readonly #signs: Uint8Array
  readonly #one: Batch = new Batch(1)
  #each: (f: Frame) => void = nobody
  /* Made anew when the rows have moved to a larger place: read them once a batch. */
  wrap: Wrap
  /** Headers of IPv4, and of IPv6. */
  run4: WrapRun
  run6: WrapRun

  /** Use `OuterTable.of`. */
  private constructor(pool: FramePool) {
    const { tables: room } = pool
    this.pool = pool
    this.#rows = room.array(Int32Array, FIRST)
    this.#ids = room.array(Uint16Array, IDS)
    this.#tos = room.array(Uint8Array, TABLES * TABLE_SPAN)
    this.#reader = flowReader(pool)
    const signs = tunnelSigns()
    this.#signs = room.array(Uint8Array, signs.length)
    this.#signs.set(signs)
    this.wrap = makeWrap(this.#arrays())
    this.run4 = makeRun4(this.#arrays())
    this.run6 = makeRun6(this.#arrays())
  }

  /** The table of a pool: there is one, so that its loops are closures that the compiler knows to be the only ones (three times
   * as fast, measured). */
  static of(pool: FramePool): OuterTable {
    const there = tables.get(pool)
    if (there !== undefined) return there
    const made = new OuterTable(pool)
    tables.set(pool, made)
    return made
  }

  /** How many rows there are. */
  get size(): number {
    return this.#used.size
  }

  /** What the last `wrap` found in the frame, by `Found` of flow-hash; a run does not tell. */
  get found(): Int32Array {
    return this.#reader.found
  }

  /** Adds a header and gives its row. Throws a TypeError for addresses that are none or of two families, a RangeError for
   * values out of range. */
  add(options: OuterOptions): number {
    const words = this.#build(options)
    const size = words.length
    let row = this.#free.get(size)?.pop()
    if (row === undefined) {
      row = this.#end
      this.#end += size
      if (this.#end > this.#rows.length) {
        const more = this.pool.tables.array(Int32Array, this.#rows.length * 2)
        more.set(this.#rows)
        this.#rows = more
        this.wrap = makeWrap(this.#arrays())
        this.run4 = makeRun4(this.#arrays())
        this.run6 = makeRun6(this.#arrays())
      }
    }
    this.#rows.set(words, row)
    this.#used.set(row, options)
    return row
  }

  /** Takes a row away; its number will be given again. Throws where there is none. */
  remove(row: number): void {
    const size = META + Math.ceil(this.lengthOf(row) / 4)
    this.optionsOf(row)
    this.#used.delete(row)
    const free = this.#free.get(size)
    if (free === undefined) this.#free.set(size, [row])
    else free.push(row)
  }

  /** Bytes that row `row` puts in front of a frame, the outer Ethernet header included. */
  lengthOf(row: number): number {
    return this.#rows[row + LENGTH] as number
  }

  /** What a row was made of. */
  optionsOf(row: number): OuterOptions {
    const options = this.#used.get(row)
    if (options === undefined) throw new RangeError(`there is no outer header ${row}`)
    return options
  }

  /** Notes that UDP port `port` is a tunnel's, beside those that always are: `wrap` tells of packets to it. */
  watchPort(port: number): void {
    this.#signs[256 + swap(port)] = 1
  }

  /**
   * Cuts a super-frame that cannot go whole into a tunnel (`CUT_FIRST`), and gives each segment, its checksums complete, to
   * `each`, which disposes of it. Segments are never super-frames: wrapping them does not come back here.
   */
  cut(f: Frame, each: (f: Frame) => void): void {
    this.#each = each
    this.#one.push(f)
    finish(this.pool, this.#one, Offload.Checksum, this.#eachOf, this.#lost)
    this.#one.length = 0
  }

  readonly #eachOf = (batch: Batch): void => {
    for (let i = 0; i < batch.length; i++) this.#each(batch.frames[i] as Frame)
  }

  readonly #lost = (f: Frame, why: Drop): void => this.pool.drop(f, why)

  #arrays(): OuterArrays {
    return {
      pool: this.pool,
      rows: this.#rows,
      ids: this.#ids,
      tos: this.#tos,
      signs: this.#signs,
      reader: this.#reader,
    }
  }

  #build(o: OuterOptions): Int32Array {
    const s = o.settings
    const v6 = typeof o.src === 'string' && o.src.includes(':')
    if ((typeof o.dst === 'string' && o.dst.includes(':')) !== v6) {
      throw new TypeError(`src and dst must be of one family, not ${o.src} and ${o.dst}`)
    }
    const src = addressBytes('src', o.src)
    const dst = addressBytes('dst', o.dst)
    checkRange('protocol', o.protocol, 0, 255)
    const udp = o.protocol === 17
    if (udp) checkRange('udpPort', o.udpPort as number, 1, 65_535)
    const tunnel = o.tunnel ?? new Uint8Array(0)
    const ip = v6 ? 40 : 20
    const length = ETH + ip + (udp ? 8 : 0) + tunnel.length
    if ((length & 3) !== 2 || tunnel.length > MOST_TUNNEL) {
      throw new RangeError(`tunnel must be a multiple of 4 bytes, up to ${MOST_TUNNEL}, not ${tunnel.length}`)
    }
    const group = isGroupAddress(dst)
    const ttl = group ? s.groupTtl : s.ttl
    const row = new Int32Array(META + Math.ceil(length / 4))
    const b = new Uint8Array(row.buffer, META * 4)
    copy(b, 0, o.dstMac ?? (group ? groupMac(dst) : new Uint8Array(6)), 0, 6)
    copy(b, 6, o.srcMac ?? new Uint8Array(6), 0, 6)
    if (v6) {
      put16(b, 12, 0x86dd)
      put16(b, 14, 0x6000 | (s.flowLabel === 'hash' ? 0 : s.flowLabel >>> 16))
      put16(b, 16, s.flowLabel === 'hash' ? 0 : s.flowLabel & 0xffff)
      b[20] = o.protocol
      b[21] = ttl === 'inherit' ? 0 : ttl
      copy(b, 22, src, 0, 16)
      copy(b, 38, dst, 0, 16)
    } else {
      put16(b, 12, 0x0800)
      put16(b, 14, 0x4500)
      put16(b, 20, s.df === 'set' ? 0x4000 : 0)
      b[22] = ttl === 'inherit' ? 0 : ttl
      b[23] = o.protocol
      copy(b, 26, src, 0, 4)
      copy(b, 30, dst, 0, 4)
    }
    const l4 = ETH + ip
    if (udp) put16(b, l4 + 2, o.udpPort as number)
    copy(b, l4 + (udp ? 8 : 0), tunnel, 0, tunnel.length)
    const pseudo = checksum.sum(src, 0, src.length) + checksum.sum(dst, 0, dst.length) + o.protocol
    row[LENGTH] = length
    row[BITS] =
      (v6 ? V6 : 0) |
      (udp ? UDP : 0) |
      (o.ethernet === false ? 0 : ETHERNET) |
      (udp && (v6 ? s.udpChecksum6 : s.udpChecksum) ? CHECKSUM : 0) |
      (ttl === 'inherit' ? INHERIT_TTL : 0) |
      (s.df === 'inherit' ? INHERIT_DF : 0) |
      (s.flowLabel === 'hash' ? HASH_LABEL : 0) |
      (s.ipId === 'counter' ? COUNT_ID : 0) |
      (s.innerVlan === 'drop' ? NO_TAGS : 0) |
      (udp && tunnel.length >= 8 && o.ethernet !== false ? PLAIN : 0)
    row[SUM] = v6 ? 0 : swap(checksum.sum(b, 14, 34))
    row[UDP_SUM] = swap(checksum.sum(b, l4, length, pseudo))
    row[PORT_LOW] = s.sportRange[0]
    row[PORT_COUNT] = s.sportRange[1] - s.sportRange[0] + 1
    row[ID] = idSlot(src, dst)
    row[TOS] = this.#tosSlot(s)
    row[PSEUDO] = swap(checksum.fold(pseudo))
    return row
  }

  #tosSlot(s: TunnelSettings): number {
    const key = `${s.tos} ${s.ecnIngress}`
    const slot = this.#tosOf.get(key) ?? this.#tosOf.size
    this.#tosOf.set(key, slot)
    this.#tos.set(tosTable(s.tos, s.ecnIngress), slot * TABLE_SPAN)
    return slot * TABLE_SPAN
  }
}

/** The place of a pair of addresses among the counters of identifications: tunnels that share the pair share the counter,
 * so that no two packets to one end have the same number. */
function idSlot(src: Uint8Array, dst: Uint8Array): number {
  let h = 0
  for (const v of src) h = Math.imul(h ^ v, 0x9e3779b1)
  for (const v of dst) h = Math.imul(h ^ v, 0x85ebca6b)
  return (h ^ (h >>> 16)) & (IDS - 1)
}

function nobody(): void {}

/** The bytes of an address: 4 or 16. Throws a TypeError that names the key. */
export function addressBytes(key: string, text: string): Uint8Array {
  try {
    if (typeof text === 'string' && text.includes(':')) return parseIpv6(text)
    const ip = parseIpv4(text)
    return Uint8Array.of(ip >>> 24, ip >>> 16, ip >>> 8, ip)
  } catch (error) {
    throw new TypeError(`${key}: ${(error as Error).message}`, { cause: error })
  }
}

/** The bytes of the address of one host. Throws a RangeError that names the key where it can be none's: a group, everybody,
 * nobody. */
export function hostAddress(key: string, text: string): Uint8Array {
  const b = addressBytes(key, text)
  if (!isHostAddress(b)) throw new RangeError(`${key} must be a host's address, not ${text}`)
  return b
}

/** Tells whether an address of 4 or 16 bytes can be one host's. */
export function isHostAddress(b: Uint8Array): boolean {
  if (isGroupAddress(b) || b.every((v) => v === 0)) return false
  return b.length === 16 || (b[0] !== 0 && (b[0] as number) < 240)
}

/** Writes an address of 4 or 16 bytes. */
export function addressText(b: Uint8Array): string {
  return b.length === 4 ? formatIpv4(new DataView(b.buffer, b.byteOffset).getUint32(0)) : formatIpv6(b)
}

/** Tells whether an address of 4 or 16 bytes is a multicast group. */
export function isGroupAddress(b: Uint8Array): boolean {
  return b.length === 4 ? (b[0] as number) >>> 4 === 14 : b[0] === 0xff
}

/** The MAC address of a multicast group (RFC 1112, 6.4; RFC 2464, 7). */
export function groupMac(b: Uint8Array): Uint8Array {
  if (b.length === 4) return Uint8Array.of(0x01, 0x00, 0x5e, b[1]! & 0x7f, b[2]!, b[3]!)
  return Uint8Array.of(0x33, 0x33, b[12]!, b[13]!, b[14]!, b[15]!)
}
