import { Batch, checkRange, Drop, type Frame, type FramePool, finish, Offload } from '@l2l3/switch-core'
import { checksum, copy, formatIpv4, formatIpv6, parseIpv4, parseIpv6, put16, u16 } from '@l2l3/switch-core/wire'
import { tosTable } from './ecn.ts'
import * as flow from './flow-hash.ts'
import { tunnelSigns } from './nesting.ts'
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

/** Puts header `row` in front of frame `f`, which the caller owns: `WRAPPED`, `CUT_FIRST`, or a `Drop`. */
export type Wrap = (f: number, row: number) => number

/** Puts header `row` in front of `frames[start..end)` up to the first frame that needs thought, and gives its index: that one
 * is for `wrap`, or to be owned first. */
export type WrapRun = (frames: Uint32Array, start: number, end: number, row: number) => number

/** What `wrap` says where all is well. */
export const WRAPPED = 0x1000
/** The same, where what was wrapped may be a tunnel's: `nesting.ts` knows what is to be asked. */
export const WRAPPED_TUNNEL = 0x1001
/** What `wrap` says of a super-frame that cannot go whole into this tunnel: nothing has been changed, see `OuterTable.cut`. */
export const CUT_FIRST = -1

const ETH = 14

/* A row: settings, then the header's words. */
const LENGTH = 0
const BITS = 1
/** Sum of the IPv4 header without what differs. */
const SUM = 2
/** Sum of pseudo-header, destination port and tunnel header. */
const UDP_SUM = 3
const PORT_LOW = 4
const PORT_COUNT = 5
/** Which counter of identifications. */
const ID = 6
/** Where its table of types of service starts. */
const TOS = 7
/** Sum of the addresses and the protocol. */
const PSEUDO = 8
const META = 16

const V6 = 1
const UDP = 2
const ETHERNET = 4
const CHECKSUM = 8
const INHERIT_TTL = 16
const INHERIT_DF = 32
const HASH_LABEL = 64
const COUNT_ID = 128
const NO_TAGS = 256
/** What `run` knows: UDP over IPv4 around Ethernet, nothing inherited but the type of service. */
const PLAIN = 512

const NEEDS_CSUM = 1
const TUNNEL_CHECKSUM = 8
/** The bits of `gsoType` that say that a super-frame is in a tunnel already. */
const TUNNEL_BITS = 0x60
/** Bytes of a tunnel header at most: GENEVE's with all its options, and a few. */
const MOST_TUNNEL = 264

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
  #rows: Int32Array = new Int32Array(FIRST)
  #end = 0
  /** Rows that were given back, by their size. */
  readonly #free: Map<number, number[]> = new Map()
  readonly #used: Map<number, OuterOptions> = new Map()
  readonly #ids: Uint16Array = new Uint16Array(IDS)
  readonly #tos: Uint8Array = new Uint8Array(TABLES * TABLE_SPAN)
  readonly #tosOf: Map<string, number> = new Map()
  readonly #reader: flow.FlowReader
  readonly #signs: Uint8Array
  readonly #one: Batch = new Batch(1)
  #each: (f: Frame) => void = nobody
  /* Made anew when the rows have moved to a larger place: read them once a batch. */
  wrap: Wrap
  run: WrapRun

  /** Use `OuterTable.of`. */
  private constructor(pool: FramePool) {
    this.pool = pool
    this.#reader = flow.flowReader(pool)
    this.#signs = tunnelSigns()
    this.wrap = this.#makeWrap()
    this.run = this.#makeRun()
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

  /** What the last `wrap` found in the frame, by `Found` of flow-hash; `run` does not tell. */
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
        const more = new Int32Array(this.#rows.length * 2)
        more.set(this.#rows)
        this.#rows = more
        this.wrap = this.#makeWrap()
        this.run = this.#makeRun()
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
      (!v6 && udp && tunnel.length >= 8 && o.ethernet !== false && ttl !== 'inherit' && s.df !== 'inherit' ? PLAIN : 0)
    row[SUM] = v6 ? 0 : swap(checksum.sum(b, 14, 34))
    row[UDP_SUM] = swap(checksum.sum(b, l4, length, pseudo))
    row[PORT_LOW] = s.sourcePorts[0]
    row[PORT_COUNT] = s.sourcePorts[1] - s.sourcePorts[0] + 1
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

  #makeWrap(): Wrap {
    const { pool } = this
    const { data, off, len, flags, gsoType, outerL4, innerL3, csumStart, csumOffset, stride } = pool
    const rows = this.#rows
    const ids = this.#ids
    const tosOf = this.#tos
    const signs = this.#signs
    const { found, read } = this.#reader
    const { spread } = flow
    const { sum } = checksum
    // A module's constant is read from memory where it is used; one of this closure is part of the code.

    /** Sum, as little-endian words, of the inner packet of `n` bytes behind `L` of header. */
    const innerSum = (f: number, at: number, n: number): number => {
      if (((flags[f] as number) & NEEDS_CSUM) !== 0 && (gsoType[f] as number) === 0) {
        // All that the missing checksum covers sums up to the complement of what its field holds now.
        const start = at + (csumStart[f] as number)
        const field = start + (csumOffset[f] as number)
        if (field + 2 <= at + n) {
          return swap(sum(data, at, start, ~u16(pool.bytes, field) & 0xffff))
        }
      }
      return swap(sum(data, at, at + n))
    }

    return (f, row) => {
      const t = row + META
      const bits = rows[row + BITS] as number
      const L = rows[row + LENGTH] as number
      const n = len[f] as number
      const at = off[f] as number
      const o = at - L
      const total = L - ETH + n
      if (o < f * stride) return Drop.NoHeadroom
      const kind = gsoType[f] as number
      const unfinished = (flags[f] as number) | kind
      if (total > 65_535) return kind !== 0 ? CUT_FIRST : Drop.TooBig
      if (kind !== 0 && ((bits & UDP) === 0 || (kind & TUNNEL_BITS) !== 0)) return CUT_FIRST
      const hash = read(at, n, (bits & ETHERNET) !== 0)
      if ((bits & NO_TAGS) !== 0 && found[7] !== 0) return Drop.InnerVlan
      const tos = tosOf[(rows[row + TOS] as number) + (found[2] as number)] as number
      off[f] = o
      len[f] = L + n
      const last = L >>> 2
      data.setInt32(o, rows[t] as number, true)
      data.setInt32(o + 4, rows[t + 1] as number, true)
      data.setInt32(o + 8, rows[t + 2] as number, true)
      let w: number
      if ((bits & V6) === 0) {
        const size = swap(total)
        let id = 0
        if ((bits & COUNT_ID) !== 0) {
          const slot = rows[row + ID] as number
          id = ((ids[slot] as number) + 1) & 0xffff
          ids[slot] = id
          id = swap(id)
        }
        let fragTtl = rows[t + 5] as number
        let s = (rows[row + SUM] as number) + (tos << 8) + size + id
        if ((bits & (INHERIT_DF | INHERIT_TTL)) !== 0) {
          let more = 0
          if ((bits & INHERIT_DF) !== 0) more = found[4] as number
          if ((bits & INHERIT_TTL) !== 0) more |= ((found[3] as number) || 64) << 16
          fragTtl |= more
          s += (more & 0xffff) + (more >>> 16)
        }
        s = (s & 0xffff) + (s >>> 16)
        s = ~((s & 0xffff) + (s >>> 16)) & 0xffff
        data.setInt32(o + 12, (rows[t + 3] as number) | (tos << 24), true)
        data.setInt32(o + 16, size | (id << 16), true)
        data.setInt32(o + 20, fragTtl, true)
        data.setInt32(o + 24, (rows[t + 6] as number) | s, true)
        data.setInt32(o + 28, rows[t + 7] as number, true)
        w = 8
      } else {
        const label = (bits & HASH_LABEL) !== 0 ? hash & 0xfffff : 0
        // Version and the upper half of the class, the lower half and the label's upper four bits.
        const first = ((tos >>> 4) << 16) | (((tos & 15) << 28) | ((label >>> 16) << 24))
        data.setInt32(o + 12, (rows[t + 3] as number) | first, true)
        data.setInt32(o + 16, (rows[t + 4] as number) | swap(label & 0xffff) | (swap(total - 40) << 16), true)
        const ttl = (bits & INHERIT_TTL) !== 0 ? ((found[3] as number) || 64) << 8 : 0
        data.setInt32(o + 20, (rows[t + 5] as number) | ttl, true)
        for (w = 6; w < 13; w++) data.setInt32(o + (w << 2), rows[t + w] as number, true)
      }
      if ((bits & UDP) !== 0) {
        const size = swap(total - ((bits & V6) === 0 ? 20 : 40))
        const port = swap((rows[row + PORT_LOW] as number) + spread(hash, rows[row + PORT_COUNT] as number))
        let field = 0
        if ((bits & CHECKSUM) !== 0) {
          if (kind !== 0) {
            // Of a super-frame the field holds the sum of the pseudo-header, as of a missing checksum.
            field = fold((rows[row + PSEUDO] as number) + size)
          } else {
            field = ~fold((rows[row + UDP_SUM] as number) + 2 * size + port + innerSum(f, at, n)) & 0xffff
            if (field === 0) field = 0xffff
          }
        }
        data.setInt32(o + (w << 2), (rows[t + w] as number) | (port << 16), true)
        data.setInt32(o + (w << 2) + 4, (rows[t + w + 1] as number) | (size << 16), true)
        w += 2
        if (w === last) {
          // Nothing is behind the UDP header: half a word is left of the row.
          data.setUint16(o + (w << 2), field, true)
          w = last + 1
        } else data.setInt32(o + (w << 2), (rows[t + w++] as number) | field, true)
      }
      for (; w < last; w++) data.setInt32(o + (w << 2), rows[t + w] as number, true)
      if (w === last) data.setUint16(o + (last << 2), rows[t + last] as number, true)
      if (unfinished !== 0) {
        pool.shiftOffload(f as Frame, L)
        if (kind !== 0) {
          gsoType[f] = kind | ((bits & V6) === 0 ? 0x20 : 0x40)
          outerL4[f] = (bits & V6) === 0 ? 34 : 54
          innerL3[f] = (found[0] as number) - o
          if ((bits & CHECKSUM) !== 0) flags[f] = (flags[f] as number) | TUNNEL_CHECKSUM
        }
      }
      const protocol = found[5] as number
      return signs[protocol === 17 ? 256 + (found[8] as number) : protocol] === 0 ? WRAPPED : WRAPPED_TUNNEL
    }
  }

  #makeRun(): WrapRun {
    const { data, bytes, off, len, flags, gsoType, refs, stride } = this.pool
    const rows = this.#rows
    const ids = this.#ids
    const tosOf = this.#tos
    const signs = this.#signs
    const { sum } = checksum
    return (frames, start, end, row) => {
      const bits = rows[row + BITS] as number
      if ((bits & PLAIN) === 0) return start
      const t = row + META
      const L = rows[row + LENGTH] as number
      const base = rows[row + SUM] as number
      const low = rows[row + PORT_LOW] as number
      const count = rows[row + PORT_COUNT] as number
      const tosTable = rows[row + TOS] as number
      const [m0, m1, m2] = [rows[t] as number, rows[t + 1] as number, rows[t + 2] as number]
      const [w3, w5, w6] = [rows[t + 3] as number, rows[t + 5] as number, rows[t + 6] as number]
      const [w7, w8, w9] = [rows[t + 7] as number, rows[t + 8] as number, rows[t + 9] as number]
      const [w10, w11, w12] = [rows[t + 10] as number, rows[t + 11] as number, rows[t + 12] as number]
      const last = L >>> 2
      const step = (bits & COUNT_ID) === 0 ? 0 : 1
      const slot = rows[row + ID] as number
      let counter = step === 0 ? 0 : (ids[slot] as number)
      const summed = (bits & CHECKSUM) !== 0
      const udpBase = rows[row + UDP_SUM] as number
      let i = start
      for (; i < end; i++) {
        const f = frames[i] as number
        const at = off[f] as number
        const n = len[f] as number
        const o = at - L
        const total = L - ETH + n
        // A frame with an Ethernet header, an IPv4 header without options and two ports.
        if (n < 38 || total > 65_535 || o < f * stride || ((flags[f] as number) | (gsoType[f] as number)) !== 0) break
        if (refs[f] !== 1 || data.getUint16(at + 12, true) !== 0x0008 || bytes[at + 14] !== 0x45) break
        if ((data.getUint16(at + 20, true) & 0xff3f) !== 0) break
        const protocol = bytes[at + 23] as number
        let ports = protocol
        let sign = protocol
        if (protocol === 6 || protocol === 17 || protocol === 132) {
          const p = data.getUint16(at + 34, true)
          const q = data.getUint16(at + 36, true)
          ports = ((p + q) << 13) ^ (p ^ q) ^ protocol
          if (protocol === 17) sign = 256 + q
        }
        if (signs[sign] !== 0) break
        const a = data.getInt32(at + 26, true)
        const b = data.getInt32(at + 30, true)
        const hash = flow.mix((a + b) | 0, a ^ b, ports)
        const tos = tosOf[tosTable + (bytes[at + 15] as number)] as number
        const size = swap(total)
        const udpSize = swap(total - 20)
        const port = swap(low + flow.spread(hash, count))
        counter = (counter + step) & 0xffff
        const id = swap(counter)
        let s = base + (tos << 8) + size + id
        s = (s & 0xffff) + (s >>> 16)
        s = ~((s & 0xffff) + (s >>> 16)) & 0xffff
        let field = 0
        if (summed) {
          field = ~fold(udpBase + 2 * udpSize + port + swap(sum(data, at, at + n))) & 0xffff
          if (field === 0) field = 0xffff
        }
        data.setInt32(o, m0, true)
        data.setInt32(o + 4, m1, true)
        data.setInt32(o + 8, m2, true)
        data.setInt32(o + 12, w3 | (tos << 24), true)
        data.setInt32(o + 16, size | (id << 16), true)
        data.setInt32(o + 20, w5, true)
        data.setInt32(o + 24, w6 | s, true)
        data.setInt32(o + 28, w7, true)
        data.setInt32(o + 32, w8 | (port << 16), true)
        data.setInt32(o + 36, w9 | (udpSize << 16), true)
        data.setInt32(o + 40, w10 | field, true)
        data.setInt32(o + 44, w11, true)
        if (last === 12) data.setUint16(o + 48, w12, true)
        else {
          data.setInt32(o + 48, w12, true)
          for (let w = 13; w < last; w++) data.setInt32(o + (w << 2), rows[t + w] as number, true)
          data.setUint16(o + (last << 2), rows[t + last] as number, true)
        }
        off[f] = o
        len[f] = L + n
      }
      if (step !== 0) ids[slot] = counter
      return i
    }
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

/** The two bytes of a 16-bit number the other way round. */
function swap(v: number): number {
  return ((v & 0xff) << 8) | (v >>> 8)
}

/** Folds a sum of at most 31 bits to 16. */
function fold(s: number): number {
  s = (s & 0xffff) + (s >>> 16)
  return (s & 0xffff) + (s >>> 16)
}

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
