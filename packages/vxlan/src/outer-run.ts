import { checksum } from '@l2l3/switch-core/wire'
import { mix, spread } from './flow-hash.ts'
import type { OuterArrays, WrapRun } from './outer-loops.ts'
import {
  BITS,
  CHECKSUM,
  COUNT_ID,
  ETH,
  fold,
  HASH_LABEL,
  ID,
  INHERIT_DF,
  INHERIT_TTL,
  LENGTH,
  META,
  NO_TAGS,
  PLAIN,
  PORT_COUNT,
  PORT_LOW,
  SUM,
  swap,
  TOS,
  UDP_SUM,
  V6,
} from './outer-row.ts'
import { type WrapRest, wasmRun4 } from './wasm-runs.ts'

/*
 * The fast way into tunnels: frames that are ours alone and complete, and no tunnel's themselves, get their outer headers in one
 * loop, for UDP around Ethernet over IPv4 or IPv6. It does what `wrap` of `outer-loops.ts` does, and stops where that has more to
 * think about.
 *
 * Over IPv4, what most frames are - IPv4 without options, not a fragment - is read in the loop, all else by the `FlowReader`; and a
 * row is read again only where it is another than that of the frame before (51 instead of 56 ns in the bench's table, where
 * the rest of the way costs 26). Stores stand at constant distances from the header's start: as a loop over its words they
 * cost 10 ns more (measured).
 */

/** Makes `OuterTable.run4`: headers of IPv4. In WebAssembly as far as that goes. */
export function makeRun4(arrays: OuterArrays): WrapRun {
  const run = makeRest4(arrays)
  return wasmRun4(arrays, run) ?? ((frames, start, end, rowOf) => run(frames, start, end, rowOf, start))
}

function makeRest4({ pool, rows, ids, tos: tosOf, signs, reader }: OuterArrays): WrapRest {
  const { data, off, len, flags, gsoType, refs, stride } = pool
  const { found, read } = reader
  const { sum } = checksum
  return (frames, start, end, rowOf, base) => {
    let row = -1
    let t = 0
    let bits = 0
    let L = 0
    let last = 0
    let known = 0
    let low = 0
    let count = 0
    let tosTable = 0
    let udpBase = 0
    let slot = 0
    let m0 = 0
    let m1 = 0
    let m2 = 0
    let w3 = 0
    let w5 = 0
    let w6 = 0
    let w7 = 0
    let w8 = 0
    let w9 = 0
    let w10 = 0
    let w11 = 0
    let w12 = 0
    let i = start
    for (; i < end; i++) {
      const f = frames[i] as number
      const next = rowOf[i - base] as number
      if (next !== row) {
        row = next
        t = row + META
        bits = rows[row + BITS] as number
        if ((bits & (PLAIN | V6)) !== PLAIN) break
        L = rows[row + LENGTH] as number
        last = L >>> 2
        known = rows[row + SUM] as number
        low = rows[row + PORT_LOW] as number
        count = rows[row + PORT_COUNT] as number
        tosTable = rows[row + TOS] as number
        udpBase = rows[row + UDP_SUM] as number
        slot = rows[row + ID] as number
        m0 = rows[t] as number
        m1 = rows[t + 1] as number
        m2 = rows[t + 2] as number
        w3 = rows[t + 3] as number
        w5 = rows[t + 5] as number
        w6 = rows[t + 6] as number
        w7 = rows[t + 7] as number
        w8 = rows[t + 8] as number
        w9 = rows[t + 9] as number
        w10 = rows[t + 10] as number
        w11 = rows[t + 11] as number
        w12 = rows[t + 12] as number
      }
      const at = off[f] as number
      const n = len[f] as number
      const o = at - L
      const total = L - ETH + n
      // Room for an Ethernet header, an IPv4 header without options and two ports.
      if (n < 38 || total > 65_535 || o < f * stride) break
      if (((flags[f] as number) | (gsoType[f] as number) | ((refs[f] as number) - 1)) !== 0) break
      // EtherType, version and header length, type of service; flags and offset, time to live, protocol.
      const head = data.getInt32(at + 12, true)
      const middle = data.getInt32(at + 20, true)
      let hash: number
      let inner: number
      let sign: number
      // As a word of the outer header: the don't-fragment bit, and the time to live.
      let inherited: number
      if ((head & 0xffffff) === 0x450008 && (middle & 0xff3f) === 0) {
        const protocol = middle >>> 24
        let ports = protocol
        sign = protocol
        if (protocol === 6 || protocol === 17 || protocol === 132) {
          const p = data.getUint16(at + 34, true)
          const q = data.getUint16(at + 36, true)
          ports = ((p + q) << 13) ^ (p ^ q) ^ protocol
          if (protocol === 17) sign = 256 + q
        }
        const a = data.getInt32(at + 26, true)
        const b = data.getInt32(at + 30, true)
        hash = mix((a + b) | 0, a ^ b, ports)
        inner = head >>> 24
        inherited = middle & 0xff0040
      } else {
        hash = read(at, n, true)
        if ((bits & NO_TAGS) !== 0 && found[7] !== 0) break
        sign = found[5] === 17 ? 256 + (found[8] as number) : (found[5] as number)
        inner = found[2] as number
        inherited = (found[4] as number) | ((found[3] as number) << 16)
      }
      if (signs[sign] !== 0) break
      const tos = tosOf[tosTable + inner] as number
      const size = swap(total)
      const udpSize = swap(total - 20)
      const port = swap(low + spread(hash, count))
      let id = 0
      if ((bits & COUNT_ID) !== 0) {
        id = ((ids[slot] as number) + 1) & 0xffff
        ids[slot] = id
        id = swap(id)
      }
      let s = known + (tos << 8) + size + id
      let fragTtl = w5
      if ((bits & (INHERIT_DF | INHERIT_TTL)) !== 0) {
        let more = (bits & INHERIT_DF) !== 0 ? inherited & 0x40 : 0
        if ((bits & INHERIT_TTL) !== 0) more |= inherited & 0xff0000 || 64 << 16
        fragTtl |= more
        s += (more & 0xffff) + (more >>> 16)
      }
      s = (s & 0xffff) + (s >>> 16)
      s = ~((s & 0xffff) + (s >>> 16)) & 0xffff
      let field = 0
      if ((bits & CHECKSUM) !== 0) {
        field = ~fold(udpBase + 2 * udpSize + port + swap(sum(data, at, at + n))) & 0xffff
        if (field === 0) field = 0xffff
      }
      data.setInt32(o, m0, true)
      data.setInt32(o + 4, m1, true)
      data.setInt32(o + 8, m2, true)
      data.setInt32(o + 12, w3 | (tos << 24), true)
      data.setInt32(o + 16, size | (id << 16), true)
      data.setInt32(o + 20, fragTtl, true)
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
    return i
  }
}

/** Makes `OuterTable.run6`: headers of IPv6. */
export function makeRun6({ pool, rows, tos: tosOf, signs, reader }: OuterArrays): WrapRun {
  const { data, off, len, flags, gsoType, refs, stride } = pool
  const { found, read } = reader
  const { sum } = checksum
  return (frames, start, end, rowOf) => {
    let i = start
    for (; i < end; i++) {
      const f = frames[i] as number
      const row = rowOf[i - start] as number
      const t = row + META
      const bits = rows[row + BITS] as number
      const L = rows[row + LENGTH] as number
      const at = off[f] as number
      const n = len[f] as number
      const o = at - L
      const total = L - ETH + n
      if ((bits & (PLAIN | V6)) !== (PLAIN | V6) || total > 65_535 || o < f * stride) break
      if (((flags[f] as number) | (gsoType[f] as number)) !== 0 || refs[f] !== 1) break
      const hash = read(at, n, true)
      if ((bits & NO_TAGS) !== 0 && found[7] !== 0) break
      const protocol = found[5] as number
      if (signs[protocol === 17 ? 256 + (found[8] as number) : protocol] !== 0) break
      const tos = tosOf[(rows[row + TOS] as number) + (found[2] as number)] as number
      const udpSize = swap(total - 40)
      const port = swap((rows[row + PORT_LOW] as number) + spread(hash, rows[row + PORT_COUNT] as number))
      const label = (bits & HASH_LABEL) !== 0 ? hash & 0xfffff : 0
      // Version and the upper half of the class, the lower half and the label's upper four bits.
      const first = ((tos >>> 4) << 16) | (((tos & 15) << 28) | ((label >>> 16) << 24))
      const ttl = (bits & INHERIT_TTL) !== 0 ? ((found[3] as number) || 64) << 8 : 0
      let field = 0
      if ((bits & CHECKSUM) !== 0) {
        field = ~fold((rows[row + UDP_SUM] as number) + 2 * udpSize + port + swap(sum(data, at, at + n))) & 0xffff
        if (field === 0) field = 0xffff
      }
      data.setInt32(o, rows[t] as number, true)
      data.setInt32(o + 4, rows[t + 1] as number, true)
      data.setInt32(o + 8, rows[t + 2] as number, true)
      data.setInt32(o + 12, (rows[t + 3] as number) | first, true)
      data.setInt32(o + 16, (rows[t + 4] as number) | swap(label & 0xffff) | (udpSize << 16), true)
      data.setInt32(o + 20, (rows[t + 5] as number) | ttl, true)
      data.setInt32(o + 24, rows[t + 6] as number, true)
      data.setInt32(o + 28, rows[t + 7] as number, true)
      data.setInt32(o + 32, rows[t + 8] as number, true)
      data.setInt32(o + 36, rows[t + 9] as number, true)
      data.setInt32(o + 40, rows[t + 10] as number, true)
      data.setInt32(o + 44, rows[t + 11] as number, true)
      data.setInt32(o + 48, rows[t + 12] as number, true)
      data.setInt32(o + 52, (rows[t + 13] as number) | (port << 16), true)
      data.setInt32(o + 56, (rows[t + 14] as number) | (udpSize << 16), true)
      data.setInt32(o + 60, (rows[t + 15] as number) | field, true)
      data.setInt32(o + 64, rows[t + 16] as number, true)
      const last = L >>> 2
      if (last === 17) data.setUint16(o + 68, rows[t + 17] as number, true)
      else {
        for (let w = 17; w < last; w++) data.setInt32(o + (w << 2), rows[t + w] as number, true)
        data.setUint16(o + (last << 2), rows[t + last] as number, true)
      }
      off[f] = o
      len[f] = L + n
    }
    return i
  }
}
