import * as R from '../conntrack/record.ts'

/*
 * The fast run: the packets of a batch that need no thought.
 *
 * A common packet is IPv4 without options, whole, TCP or UDP with its checksum done, of a flow that is known and in which it changes
 * nothing but the time. It is translated at both ends in one go, with the deltas that stand in the flow's record. A batch goes through
 * in three loops:
 *
 *     stage   1  each frame: its tuple's hash; touch the slot of the index            memory is asked for all slots at once,
 *             2  each frame: the slot's flow; touch its record                        then for all records at once
 *     run     3  each frame, up to the first that is not common: compare, rewrite, count
 *
 * With a million flows nearly every packet's slot and record have to come from memory, and one after the other they would take
 * five times as long. What the stages found is a hint: only the comparison in the run decides, so that flows may come and go between.
 *
 * The loops are closures over the arrays (packages/switch-core/src/frame-loops.ts says why), and call nothing.
 */

/** Frames that are staged at a time. */
export const STAGE = 64

/** The arrays that a run works on: of the pool, and of the flow table. */
export interface RunArrays {
  readonly data: DataView
  readonly off: Uint32Array
  readonly len: Uint32Array
  readonly flags: Uint8Array
  readonly gsoType: Uint8Array
  readonly refs: Uint32Array
  readonly index: Int32Array
  readonly records: Int32Array
  /** Empty where nothing is counted. */
  readonly counts: Float64Array
  readonly multipliers: Int32Array
  readonly shift: number
}

/** The two parts of the fast run. */
export interface FastRun {
  /** Looks for the flows of `frames[start..start + n)`, at most STAGE; `zone` is that of their tuples. */
  stage(frames: Uint32Array, start: number, n: number, zone: number): void
  /** Translates the staged frames from the `i`th on, up to the first that is not common, and gives its number. `start` and `n` as
   * they were staged; `now` in milliseconds. */
  run(frames: Uint32Array, start: number, i: number, n: number, zone: number, now: number): number
}

/** Makes the fast run over a pool and a table. */
export function fastRun(arrays: RunArrays): FastRun {
  const { data, off, len, flags, gsoType, refs, index, records, counts, shift } = arrays
  const [m0, m1, m2, m3] = arrays.multipliers as unknown as [number, number, number, number]
  const counting = counts.length > 0
  const wrap = index.length - 1
  const hashes = new Int32Array(STAGE)
  const found = new Int32Array(STAGE)
  const sink = new Int32Array(1)
  const { FAST, ROUTED, TRANSLATED, STATE, EXPIRES, TIMEOUT, DNAT_DELTA, SNAT_DELTA } = {
    ...R,
    TRANSLATED: R.DNAT | R.SNAT,
  }
  return {
    stage(frames, start, n, zone) {
      const upper = zone << 16
      let touched = 0
      for (let i = 0; i < n; i++) {
        const f = frames[start + i] as number
        const o = off[f] as number
        if ((len[f] as number) < 42 || data.getUint16(o + 12, true) !== 0x0008 || data.getUint8(o + 14) !== 0x45) {
          found[i] = -2
          continue
        }
        const kind = upper | data.getUint8(o + 23)
        let h = Math.imul(data.getInt32(o + 26, true), m0) + Math.imul(data.getInt32(o + 30, true), m1)
        h = (h + Math.imul(data.getInt32(o + 34, true), m2) + Math.imul(kind, m3)) | 0
        h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d)
        hashes[i] = h
        found[i] = -1
        touched ^= index[(h >>> shift) << 1] as number
      }
      for (let i = 0; i < n; i++) {
        if (found[i] !== -1) continue
        const h = hashes[i] as number
        let at = (h >>> shift) << 1
        for (let k = 0; k < 8; k++) {
          const who = (index[at + 1] as number) - 1
          if (who < 0) break
          if (index[at] === h) {
            found[i] = who
            touched ^= records[(who >>> 1) << 4] as number
            if (counting) touched ^= counts[who << 1] as number
            break
          }
          at = (at + 2) & wrap
        }
      }
      sink[0] = touched
    },
    run(frames, start, i, n, zone, now) {
      const upper = zone << 16
      for (; i < n; i++) {
        const who = found[i] as number
        if (who < 0) break
        const f = frames[start + i] as number
        const o = off[f] as number
        const direction = who & 1
        const base = (who >>> 1) << 4
        const at = base + (direction << 2)
        const other = (base + (direction << 2)) ^ 4
        const src = data.getInt32(o + 26, true)
        const dst = data.getInt32(o + 30, true)
        const ports = data.getInt32(o + 34, true)
        const protocol = data.getUint8(o + 23)
        if (records[at] !== src || records[at + 1] !== dst || records[at + 2] !== ports) break
        if (records[at + 3] !== (upper | protocol)) break
        const state = records[base + STATE] as number
        if ((state & ((FAST << direction) | ROUTED)) !== FAST << direction) break
        if ((((records[base + EXPIRES] as number) - now) | 0) <= 0) break
        const total = data.getUint16(o + 16, false)
        if (total > (len[f] as number) - 14 || (data.getUint16(o + 20, true) & 0xff3f) !== 0) break
        if (((flags[f] as number) & 1) !== 0 || gsoType[f] !== 0 || refs[f] !== 1) break
        let field: number
        if (protocol === 17) {
          const length = data.getUint16(o + 38, false)
          if (length < 8 || length > total - 20) break
          field = o + 40
        } else if (protocol === 6) {
          if (total < 40) break
          const header = data.getUint8(o + 46) >>> 4
          if (header < 5 || header << 2 > total - 20) break
          // An ACK, neither SYN nor FIN nor RST: urgent or pushed or not.
          if ((data.getUint8(o + 47) & 0x17) !== 0x10) break
          field = o + 50
        } else break
        if ((state & TRANSLATED) !== 0) {
          const undo = -direction
          const dnat = (records[base + DNAT_DELTA] as number) ^ undo
          const snat = (records[base + SNAT_DELTA] as number) ^ undo
          data.setInt32(o + 26, records[other + 1] as number, true)
          data.setInt32(o + 30, records[other] as number, true)
          const turned = records[other + 2] as number
          data.setInt32(o + 34, (turned << 16) | (turned >>> 16), true)
          let s = (~data.getUint16(o + 24, true) & 0xffff) + (dnat & 0xffff) + (snat & 0xffff)
          s = (s & 0xffff) + (s >>> 16)
          data.setUint16(o + 24, ~(s + (s >>> 16)), true)
          const sum = data.getUint16(field, true)
          if (sum !== 0 || protocol === 6) {
            s = (~sum & 0xffff) + (dnat >>> 16) + (snat >>> 16)
            s = (s & 0xffff) + (s >>> 16)
            const fresh = ~(s + (s >>> 16)) & 0xffff
            data.setUint16(field, fresh === 0 && protocol === 17 ? 0xffff : fresh, true)
          }
        }
        records[base + EXPIRES] = now + (records[base + TIMEOUT] as number)
        if (counting) {
          ;(counts[who << 1] as number)++
          ;(counts[(who << 1) + 1] as number) += total
        }
      }
      return i
    },
  }
}
