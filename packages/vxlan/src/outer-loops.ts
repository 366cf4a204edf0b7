import { Drop, type Frame, type FramePool } from '@l2l3/switch-core'
import { checksum, u16 } from '@l2l3/switch-core/wire'
import * as flow from './flow-hash.ts'
import {
  BITS,
  CHECKSUM,
  COUNT_ID,
  ETH,
  ETHERNET,
  fold,
  HASH_LABEL,
  ID,
  INHERIT_DF,
  INHERIT_TTL,
  LENGTH,
  META,
  NEEDS_CSUM,
  NO_TAGS,
  PLAIN,
  PORT_COUNT,
  PORT_LOW,
  PSEUDO,
  SUM,
  swap,
  TOS,
  TUNNEL_BITS,
  TUNNEL_CHECKSUM,
  UDP,
  UDP_SUM,
  V6,
} from './outer-row.ts'

/*
 * The loops that put outer headers in front of frames: closures over the arrays of a pool and its `OuterTable` (see
 * `frame-loops.ts` of switch-core).
 *
 *     run     frames that need no thought - ours alone, complete, IPv4 without options - for one header in a row
 *     wrap    any frame, any header
 *
 * One core, frames of 64 bytes: `run` 15 ns a frame, `wrap` 23 (measured).
 */

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

/** The arrays that the loops work on. */
export interface OuterArrays {
  readonly pool: FramePool
  readonly rows: Int32Array
  readonly ids: Uint16Array
  /** Tables of types of service. */
  readonly tos: Uint8Array
  /** Protocols and ports that may be tunnels'. */
  readonly signs: Uint8Array
  readonly reader: flow.FlowReader
}

/** Makes `OuterTable.wrap`. */
export function makeWrap({ pool, rows, ids, tos: tosOf, signs, reader }: OuterArrays): Wrap {
  const { data, off, len, flags, gsoType, outerL4, innerL3, csumStart, csumOffset, stride } = pool
  const { found, read } = reader
  const { spread } = flow
  const { sum } = checksum

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

/** Makes `OuterTable.run`. */
export function makeRun({ pool, rows, ids, tos: tosOf, signs }: OuterArrays): WrapRun {
  const { data, off, len, flags, gsoType, refs, stride } = pool
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
      // EtherType, version and header length, type of service; flags and offset, time to live, protocol.
      const head = data.getInt32(at + 12, true)
      const middle = data.getInt32(at + 20, true)
      if (refs[f] !== 1 || (head & 0xffffff) !== 0x450008 || (middle & 0xff3f) !== 0) break
      const protocol = middle >>> 24
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
      const tos = tosOf[tosTable + (head >>> 24)] as number
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
