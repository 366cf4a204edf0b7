import { type Column, type FramePool, memoryOf, startProgram } from '@l2l3/switch-core'
import { NAT_RUN } from '../wasm/nat-run.wasm.ts'
import { type FastRun, type RunArrays, STAGE } from './fast-run.ts'

/*
 * The fast run in WebAssembly (`wasm/nat-run.wat`): what `fast-run.ts` does, on the same arrays. It checks no bounds, compares a tuple by
 * two instructions and four slots of the index by one, and where there are two of it none is slower, as JavaScript's are.
 * Frames may start anywhere, such as were unwrapped from a tunnel, too.
 *
 * Records, index, and the columns of the pool must be in the pool's memory. The program finds them by a map of addresses that is
 * written once, and works in an area of its own:
 *
 *     | map: 32 words | rows: STAGE words | notes: 4 words a frame |
 *
 * The loop's batches are in the pool's memory, too, and are worked on where they are; rows of others are copied in.
 */

/* The program's area, in words. */
const MAP = 32
const NOTE = 4

interface Exports {
  stage(map: number, rows: number, n: number, upper: number): void
  run(map: number, i: number, n: number, upper: number, now: number): number
}

/** Makes the fast run of a NAT; null where the arrays are not in the pool's memory, or there is no WebAssembly. */
export function wasmRun(pool: FramePool, arrays: RunArrays): FastRun | null {
  const { tables } = pool
  const { off, len, flags, gsoType, refs, index, records, counting, multipliers, shift, whoBits } = arrays
  const area = tables.array(Uint32Array, MAP + STAGE + STAGE * NOTE)
  const used: Column[] = [area, off, len, flags, gsoType, refs, index, records]
  const memory = memoryOf(pool.bytes.buffer)
  const program = memory && used.every((array) => tables.has(array)) ? startProgram<Exports>(NAT_RUN, memory) : null
  if (program === null) {
    tables.release(area)
    return null
  }
  const at = (array: Column): number => array.byteOffset
  const map = at(area)
  const copied = map + MAP * 4
  area.set([
    ...[at(off), at(len), at(flags), at(gsoType), at(refs), copied + STAGE * 4],
    ...[at(index), index.length - 2, at(records), (records.length - 17) * 4, shift, whoBits],
    ...[...multipliers, counting ? 1 : 0],
  ])
  const { stage, run } = program
  const { buffer } = area
  let open = true
  return {
    stage(frames, start, n, zone) {
      if (!open) return
      const reachable = frames.buffer === buffer
      if (!reachable) for (let k = 0; k < n; k++) area[MAP + k] = frames[start + k] as number
      stage(map, reachable ? frames.byteOffset + (start << 2) : copied, n, zone << 16)
    },
    run: (i, n, zone, now) => (open ? run(map, i, n, zone << 16, now) : i),
    close() {
      open = false
      tables.release(area)
    },
  }
}
