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
 * The ways to put outer headers in front of frames: closures over the arrays of a pool and its `OuterTable` (see
 * `frame-loops.ts` of switch-core).
 *
 *     run4, run6    many frames, each with its header, as long as they need no thought: see `outer-run.ts`
 *     wrap          any frame, any header
 */

/** Puts header `row` in front of frame `f`, which the caller owns: `WRAPPED`, `CUT_FIRST`, or a `Drop`. */
export type Wrap = (f: number, row: number) => number

/** Puts header `rows[i]` in front of `frames[start + i]`, up to the first frame that needs thought or to `end`, and gives its
 * index: that one is for `wrap`, or to be owned first. */
export type WrapRun = (frames: Uint32Array, start: number, end: number, rows: Int32Array) => number

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
