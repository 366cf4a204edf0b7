import * as R from '../conntrack/record.ts'

/*
 * The fast run: the packets of a batch that need no thought.
 *
 * A common packet is IPv4 without options, whole, TCP or UDP with its checksum done, of a flow that is known and in which it changes
 * nothing but the time. It is translated at both ends in one go, with the deltas that stand in the flow's record. A batch goes through
 * in three loops:
 *
 *     stage   1  each frame: is it common? The hash of its tuple
 *             2  touch each hash's slot of the index                    memory is asked for all slots at once,
 *             3  each hash: the slot's flow
 *             4  touch each flow's record                               then for all records at once
 *     run     5  each frame, up to the first that is not common: compare, rewrite, count
 *
 * With many flows nearly every packet's slot and record have to come from afar, and one after the other they would take five times as
 * long. A processor looks some 300 instructions ahead, so the loops that touch do nothing else: of 65,536 flows that takes a third off a
 * frame's time, of a million a quarter (measured against touching while hashing and looking up). What the stages found is a hint: only
 * the comparison in the run decides, so that flows may come and go between.
 *
 * The loops are closures over the arrays (packages/switch-core/src/frame-loops.ts says why), and call nothing. What depends on the frame
 * alone is looked at once, while its header is at hand.
 *
 * Where the tables found room beside the frames, the same in WebAssembly stands in for it (wasm-run.ts).
 */

/** Frames that are staged at a time. */
export const STAGE = 64

/** Slots behind its home in which a stage looks for a hash. */
const NEAR = 64
/** More fragments, or an offset, as a word is read from a frame. */
const FRAGMENT = 0xff3f0000 | 0

/** The arrays that a run works on: of the pool, and of the flow table. */
export interface RunArrays {
  readonly bytes: Uint8Array
  readonly off: Uint32Array
  readonly len: Uint32Array
  readonly flags: Uint8Array
  readonly gsoType: Uint8Array
  readonly refs: Uint32Array
  readonly index: Int32Array
  readonly records: Int32Array
  readonly rest: Int32Array
  readonly counting: boolean
  readonly multipliers: Int32Array
  readonly shift: number
  readonly whoBits: number
}

/** The two parts of the fast run. */
export interface FastRun {
  /** Looks for the flows of `frames[start..start + n)`, 1 to STAGE; `zone` is that of their tuples. */
  stage(frames: Uint32Array, start: number, n: number, zone: number): void
  /** Translates the staged frames from the `i`th on, up to the first that is not common, and gives its number. `n` and `zone` as they
   * were staged; `now` in milliseconds. */
  run(i: number, n: number, zone: number, now: number): number
  /** Lets go of the arrays: no frame is common from now on. Where it is missing, they are held as long as the run is. */
  close?(): void
}

/** Makes the fast run over a pool and a table. */
export function fastRun(arrays: RunArrays): FastRun {
  const { bytes, off, len, flags, gsoType, refs, index, records, rest, counting, shift, whoBits } = arrays
  // A header behind 14 bytes of Ethernet is mostly 4-aligned, and read by words as they stand.
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >>> 2)
  const [m0, m1, m2, m3] = arrays.multipliers as unknown as [number, number, number, number]
  const slots = index.length - 2
  const whose = (1 << whoBits) - 1
  const bases = records.length - 17
  // A module's constant is read from memory where it is used; one of this closure is part of the code.
  const [near, fragment] = [NEAR, FRAGMENT]
  /* What a stage has found: where a frame's IP header is, 0 where the frame is not common; the packet's length; its hash; its flow and
   * direction, and where the record starts. */
  const starts = new Uint32Array(STAGE)
  const lengths = new Int32Array(STAGE)
  const hashes = new Int32Array(STAGE)
  const found = new Int32Array(STAGE)
  const basesOf = new Int32Array(STAGE)
  const sink = new Int32Array(1)
  const { COUNTS, DELTA, EXPIRES, FAST, ROUTED, STATE, TIMEOUT, UPPER_COUNTS } = R
  const TRANSLATED = R.DNAT | R.SNAT
  return {
    stage(frames, start, n, zone) {
      // Arrays that are taken from the closure here, and not in the loops, are sure to be constants to the compiler.
      const offs = off
      const lens = len
      const flgs = flags
      const gsos = gsoType
      const rfs = refs
      const w32 = words
      const idx = index
      const recs = records
      const ss = starts
      const ls = lengths
      const hs = hashes
      const fs = found
      const bs = basesOf
      const upper = zone << 16
      const first = start | 0
      const end = n | 0
      // What is looked up here, of the array that is no constant, is not looked up again in the loop.
      let touched = frames[first] as number
      for (let i = 0; i < end; i++) {
        const f = frames[(first + i) | 0] as number
        const o = offs[f] as number
        const l3 = o + 14
        const w = l3 >>> 2
        const length = lens[f] as number
        ss[i] = 0
        hs[i] = 0
        // Room for UDP; 4-aligned; to one MAC address; version 4 with a header of five words; EtherType 0800.
        if (length < 42 || (o & 3) !== 2 || (w32[w - 4]! & 0x10000) !== 0) continue
        const word0 = w32[w] as number
        if ((word0 & 255) !== 0x45 || w32[w - 1]! >>> 16 !== 8) continue
        const total = ((word0 >>> 8) & 0xff00) | (word0 >>> 24)
        if (total > length - 14 || (w32[w + 1]! & fragment) !== 0) continue
        if (((flgs[f]! & 1) | gsos[f]!) !== 0 || rfs[f] !== 1) continue
        const src = w32[w + 3] as number
        const dst = w32[w + 4] as number
        const ports = w32[w + 5] as number
        const kind = upper | ((w32[w + 2]! >>> 8) & 255)
        let h = Math.imul((src << 16) | (src >>> 16), m0) + Math.imul((dst << 16) | (dst >>> 16), m1)
        h = (h + Math.imul(ports, m2) + Math.imul((ports >>> 16) ^ kind, m3)) | 0
        hs[i] = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d)
        ss[i] = l3
        ls[i] = total
      }
      // What is left of an earlier stage behind the end does no harm.
      for (let i = 0; i < end; i += 4) {
        touched ^=
          idx[hs[i]! >>> shift]! ^ idx[hs[i + 1]! >>> shift]! ^ idx[hs[i + 2]! >>> shift]! ^ idx[hs[i + 3]! >>> shift]!
      }
      for (let i = 0; i < end; i++) {
        const h = hs[i] as number
        const tag = h << whoBits
        let at = (h >>> shift) & slots
        let word = idx[at] as number
        for (let k = 0; k < near && (word ^ tag) >>> whoBits !== 0 && word !== 0; k++) {
          at = (at + 1) & slots
          word = idx[at] as number
        }
        const who = (word & whose) - 1
        fs[i] = who
        bs[i] = ((who >>> 1) << 4) & bases
      }
      for (let i = 0; i < end; i += 4) {
        touched ^= recs[bs[i]!]! ^ recs[bs[i + 1]!]! ^ recs[bs[i + 2]!]! ^ recs[bs[i + 3]!]!
      }
      sink[0] = touched
    },
    run(from, n, zone, now) {
      const w32 = words
      const recs = records
      const ss = starts
      const ls = lengths
      const fs = found
      const upper = zone << 16
      const end = n | 0
      const ms = now | 0
      let i = from | 0
      for (; i < end; i++) {
        const w = ss[i]! >>> 2
        const who = fs[i] as number
        if (w === 0 || who < 0) break
        const total = ls[i] as number
        const word2 = w32[w + 2] as number
        const protocol = (word2 >>> 8) & 255
        const direction = who & 1
        const base = ((who >>> 1) << 4) & bases
        const at = base | (direction << 2)
        if (recs[at] !== w32[w + 3] || recs[at + 1] !== w32[w + 4] || recs[at + 2] !== w32[w + 5]) break
        if (recs[at + 3] !== (upper | protocol)) break
        const state = recs[base + STATE] as number
        if ((state & ((FAST << direction) | ROUTED)) !== FAST << direction) break
        if (((recs[base + EXPIRES]! - ms) | 0) <= 0) break
        const translated = (state & TRANSLATED) !== 0
        const delta = recs[base + DELTA]! ^ -direction
        if (protocol === 17) {
          const word6 = w32[w + 6] as number
          const length = ((word6 & 255) << 8) | ((word6 >>> 8) & 255)
          if (length < 8 || length > total - 20) break
          // Without a checksum it gets none, and one that becomes zero is sent as 0xffff.
          if (translated && word6 >>> 16 !== 0) {
            const s = (~word6 >>> 16) + (delta >>> 16)
            const sum = ~(s + (s >>> 16)) << 16
            w32[w + 6] = (word6 & 0xffff) | (sum === 0 ? ~0xffff : sum)
          }
        } else if (protocol === 6) {
          if (total < 40) break
          const word8 = w32[w + 8] as number
          const header = (word8 >>> 2) & 0x3c
          // An ACK, neither SYN nor FIN nor RST; urgent or pushed or not.
          if (header < 20 || header > total - 20 || (word8 & 0x1700) !== 0x1000) break
          if (translated) {
            const word9 = w32[w + 9] as number
            const s = (~word9 & 0xffff) + (delta >>> 16)
            w32[w + 9] = (word9 & ~0xffff) | (~(s + (s >>> 16)) & 0xffff)
          }
        } else break
        if (translated) {
          const other = at ^ 4
          const s = (~word2 >>> 16) + (delta & 0xffff)
          w32[w + 2] = (word2 & 0xffff) | (~(s + (s >>> 16)) << 16)
          w32[w + 3] = recs[other + 1] as number
          w32[w + 4] = recs[other] as number
          const turned = recs[other + 2] as number
          w32[w + 5] = (turned << 16) | (turned >>> 16)
        }
        recs[base + EXPIRES] = ms + recs[base + TIMEOUT]!
        if (counting) {
          const count = base + COUNTS + (direction << 1)
          const packets = (recs[count]! + 1) | 0
          const octets = (recs[count + 1]! + total) | 0
          recs[count] = packets
          recs[count + 1] = octets
          if (packets === 0) rest[(base >>> 1) + UPPER_COUNTS + (direction << 1)]!++
          if (octets >>> 0 < total) rest[(base >>> 1) + UPPER_COUNTS + (direction << 1) + 1]!++
        }
      }
      return i
    },
  }
}
