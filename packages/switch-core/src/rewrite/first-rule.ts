import { HLEN } from '../wire/ethernet.ts'
import { DST_MAC, PORT, SET_DST, SET_SRC, SRC_MAC } from './mac-rule.ts'

/*
 * The first rule of a `MacRewrite`, where it asks for nothing behind Ethernet: most often it is the only one, and nearly all frames
 * match. What it compares and sets are constants of a closure, as are the arrays (frame-loops.ts says what that is worth).
 */

/** The columns of a pool that are read. */
interface Columns {
  readonly data: DataView
  readonly off: Uint32Array
  readonly len: Uint32Array
  readonly port: Uint16Array
  readonly refs: Uint32Array
}

/** Makes what rewrites `frames[from..n)` up to the first frame that does not match, that others hold too, or that is a runt, and gives
 * its place. `w` is what the rule was compiled to. */
export function firstRule(columns: Columns, w: Int32Array): (frames: Uint32Array, from: number, n: number) => number {
  const { data, off, len, port, refs } = columns
  const [inPort, portMask] = w.subarray(PORT) as unknown as [number, number]
  const [dHi, dHiMask, dLo, dLoMask] = w.subarray(DST_MAC) as unknown as [number, number, number, number]
  const [sHi, sHiMask, sLo, sLoMask] = w.subarray(SRC_MAC) as unknown as [number, number, number, number]
  const [toDHi, keepDHi, toDLo, keepDLo] = w.subarray(SET_DST) as unknown as [number, number, number, number]
  const [toSHi, keepSHi, toSLo, keepSLo] = w.subarray(SET_SRC) as unknown as [number, number, number, number]
  const shortest = HLEN
  return (frames, from, n) => {
    let i = from
    for (; i < n; i++) {
      const f = frames[i] as number
      if ((len[f] as number) < shortest || refs[f] !== 1) break
      const o = off[f] as number
      const dstHi = data.getUint16(o, true)
      const dstLo = data.getInt32(o + 2, true)
      const srcHi = data.getUint16(o + 6, true)
      const srcLo = data.getInt32(o + 8, true)
      const differs =
        (((port[f] as number) ^ inPort) & portMask) |
        ((dstHi ^ dHi) & dHiMask) |
        ((dstLo ^ dLo) & dLoMask) |
        ((srcHi ^ sHi) & sHiMask) |
        ((srcLo ^ sLo) & sLoMask)
      if (differs !== 0) break
      data.setUint16(o, (dstHi & keepDHi) | toDHi, true)
      data.setInt32(o + 2, (dstLo & keepDLo) | toDLo, true)
      data.setUint16(o + 6, (srcHi & keepSHi) | toSHi, true)
      data.setInt32(o + 8, (srcLo & keepSLo) | toSLo, true)
    }
    return i
  }
}
