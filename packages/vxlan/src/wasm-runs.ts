import { type Column, type FramePool, memoryOf, type Program, startProgram } from '@l2l3/switch-core'
import { checksum } from '@l2l3/switch-core/wire'
import type { OuterArrays, WrapRun } from './outer-loops.ts'
import { BITS, CHECKSUM, fold, LENGTH, RUN, swap, UDP_SUM } from './outer-row.ts'
import {
  BITS as END_BITS,
  type EndArrays,
  LOCAL,
  PORT,
  pseudoSum,
  ROW,
  Seen,
  type UnwrapRun,
  VERIFY,
} from './unwrap.ts'
import { UNWRAP_RUN } from './wasm/unwrap-run.wasm.ts'
import { WRAP_RUN } from './wasm/wrap-run.wasm.ts'

/*
 * The fast runs in WebAssembly (`wasm/wrap-run.wat`, `wasm/unwrap-run.wat`), for VXLAN and GENEVE into IPv4, and for VXLAN out of
 * it. They check no bounds, keep in registers what the JavaScript reads again for each frame, and copy a header by eight bytes.
 * UDP checksums are made behind the one and verified before the other, here.
 *
 * A program takes the frames of a run up to the first that is not quite common: IPv6 inside, marks of congestion that differ. From
 * there on the JavaScript run goes, which takes more, up to the first that needs thought. So nothing goes the long way that
 * did not before, and what never is for a program costs one call of it a run.
 *
 * All arrays must be in the pool's memory (`wasm/room.ts` of switch-core). A program finds them by a map of addresses that is written
 * once; frames that stand elsewhere, as those of links do, are copied behind it:
 *
 *     | map: 16 words | frames: RUN words | rows: RUN words |
 */

const MAP = 16
const ROWS = MAP + RUN
const AREA = ROWS + RUN

/** A run of which part is done: `base` is where `rows` and `sources` count from. */
export type WrapRest = (frames: Uint32Array, start: number, end: number, rows: Int32Array, base: number) => number
export type UnwrapRest = (frames: Uint32Array, start: number, stop: number, end: number, base: number) => number

interface Wrapper {
  run(map: number, frames: number, n: number, rows: number): number
}

interface Unwrapper {
  run(map: number, frames: number, n: number, end: number, port: number, local: number, none: number): number
}

/** Starts a program on a pool, with an area whose map has the addresses of `arrays`, and numbers; null where one of them is not
 * in the pool's memory, or there is no WebAssembly. */
function begin<Exports>(
  pool: FramePool,
  program: Program,
  map: readonly (Column | number)[],
): { area: Int32Array; exports: Exports } | null {
  const { tables } = pool
  const memory = memoryOf(pool.bytes.buffer)
  const reached = map.every((entry) => typeof entry === 'number' || tables.has(entry))
  const area = tables.array(Int32Array, AREA)
  const exports = memory && reached && tables.has(area) ? startProgram<Exports>(program, memory) : null
  if (exports === null) {
    tables.release(area)
    return null
  }
  area.set(map.map((entry) => (typeof entry === 'number' ? entry : entry.byteOffset)))
  return { area, exports }
}

/** Makes the run of headers of IPv4 in front of `rest`, which is the same in JavaScript; null where there is none. */
export function wasmRun4({ pool, rows, ids, tos, signs }: OuterArrays, rest: WrapRest): WrapRun | null {
  const { data, off, len, flags, gsoType, refs, stride } = pool
  const { sum } = checksum
  const begun = begin<Wrapper>(pool, WRAP_RUN, [off, len, flags, gsoType, refs, stride, rows, ids, tos, signs])
  if (begun === null) return null
  const { area } = begun
  const { run } = begun.exports
  const { buffer } = area
  const map = area.byteOffset

  /** Makes the UDP checksums of wrapped frames. */
  const sums = (frames: Uint32Array, start: number, end: number, rowOf: Int32Array): void => {
    for (let i = start; i < end; i++) {
      const row = rowOf[i - start] as number
      if (((rows[row + BITS] as number) & CHECKSUM) === 0) continue
      const f = frames[i] as number
      const o = off[f] as number
      const at = o + (rows[row + LENGTH] as number)
      const known = (rows[row + UDP_SUM] as number) + 2 * data.getUint16(o + 38, true) + data.getUint16(o + 34, true)
      const field = ~fold(known + swap(sum(data, at, o + (len[f] as number)))) & 0xffff
      data.setUint16(o + 40, field || 0xffff, true)
    }
  }

  return (frames, start, end, rowOf) => {
    const n = Math.min(end - start, RUN)
    let at = map + MAP * 4
    if (frames.buffer === buffer) at = frames.byteOffset + (start << 2)
    else for (let i = 0; i < n; i++) area[MAP + i] = frames[start + i] as number
    let rowsAt = map + ROWS * 4
    if (rowOf.buffer === buffer) rowsAt = rowOf.byteOffset
    else for (let i = 0; i < n; i++) area[ROWS + i] = rowOf[i] as number
    const done = run(map, at, n, rowsAt)
    if (((area[10] as number) & CHECKSUM) !== 0) sums(frames, start, start + done, rowOf)
    return start + done === end ? end : rest(frames, start + done, end, rowOf, start)
  }
}

/** Makes the run of endpoints of VXLAN over IPv4 in front of `rest`, which is the same in JavaScript; null where there is none. */
export function wasmUnwrap4({ pool, seen, rows, table, sources }: EndArrays, rest: UnwrapRest): UnwrapRun | null {
  const { data, off, len, flags, gsoType, refs } = pool
  const wrap = table.byteLength - 1
  const begun = begin<Unwrapper>(pool, UNWRAP_RUN, [off, len, flags, gsoType, refs, table, wrap, sources])
  if (begun === null) return null
  const { area } = begun
  const { run } = begun.exports
  const { buffer } = area
  const map = area.byteOffset
  const { sum } = checksum

  /** Whether the frame, as a packet of IPv4 and UDP, has a checksum. */
  const hasSum = (f: number): boolean => (len[f] as number) >= 64 && data.getUint16((off[f] as number) + 40, true) !== 0

  /** The first frame whose UDP checksum is wrong, if it is a packet for `local`; whatever else it is, the run sees. */
  const verify = (frames: Uint32Array, start: number, stop: number, local: number): number => {
    for (let i = start; i < stop; i++) {
      const f = frames[i] as number
      const o = off[f] as number
      const n = len[f] as number
      if (n < 64) return i
      if (data.getUint16(o + 40, true) === 0) continue
      const pseudo = pseudoSum(data.getInt32(o + 26, true), local, n - 34)
      if (sum(data, o + 34, o + n, pseudo) !== 0xffff) return i
    }
    return stop
  }

  return (frames, start, stop, end) => {
    const row = end * ROW
    const local = rows[row + LOCAL] as number
    let none = (rows[row + END_BITS] as number) & VERIFY
    let n = stop - start
    if (none !== 0 && n > 0 && hasSum(frames[start] as number)) {
      // Likely all have checksums.
      n = verify(frames, start, stop, local) - start
      none = 0
    }
    let at = map + MAP * 4
    if (frames.buffer === buffer) at = frames.byteOffset + (start << 2)
    else for (let i = 0; i < n; i++) area[MAP + i] = frames[start + i] as number
    const done = run(map, at, n, end, rows[row + PORT] as number, local, none)
    if (done > 0) {
      seen[Seen.Vni] = area[8] as number
      seen[Seen.Network] = area[9] as number
    }
    return start + done === stop ? stop : rest(frames, start + done, stop, end, start)
  }
}
