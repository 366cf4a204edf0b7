import type { FramePool } from '../frame-pool.ts'
import { memoryOf } from '../wasm/memory.ts'
import { start } from '../wasm/program.ts'
import type { Column } from '../wasm/room.ts'
import { SWITCH_RUN } from '../wasm/switch-run.wasm.ts'
import { type FastRun, QUEUE, type RunArrays } from './fast-run.ts'
import { HAIRPIN, ISOLATED, NO_LEARNING, SLOW_OUT } from './port.ts'

/*
 * The fast run in WebAssembly (`wasm/switch-run.wat`): what `fast-run.ts` does, on the same arrays, in half the time. It checks no
 * bounds, keeps in registers what the JavaScript reads again for each frame, compares an address by one instruction, and looks
 * up the addresses of a batch ahead of their use.
 *
 * All arrays of the switch must be in its pool's memory (`wasm/room.ts`). The program finds them by a map of addresses that is
 * written once, and works in an area of its own:
 *
 *     | map: 32 words | rows: QUEUE words | notes: 8 words a frame |
 *
 * The loop's batches are in the pool's memory, too, and are worked on where they are; rows of others are copied in.
 */

/* Options of the program. */
/** Sources are learnt. */
const LEARN = 1
/** A frame may leave by the port it came in by. */
const BACK = 2
/** All frames count as untagged. */
const AS_UNTAGGED = 4
/** Many addresses are not at home in the table. */
const CROWDED = 8

/* The program's area, in words. */
const MAP = 32
const NOTE = 8
/** Words that the program's area has. */
export const AREA: number = MAP + QUEUE + QUEUE * NOTE

interface Exports {
  run(
    map: number,
    rows: number,
    n: number,
    from: number,
    options: number,
    slowOut: number,
    pvid: number,
    now: number,
    ageing: number,
  ): number
}

/** Makes the fast run of a switch, which works in `area`, an array of `AREA` words; null where the arrays are not in the pool's
 * memory, or there is no WebAssembly. */
export function wasmRun(pool: FramePool, area: Uint32Array, arrays: RunArrays): FastRun | null {
  const { tables } = pool
  const { off, len, fdb, table, salt, shift, flags, members, aware, tpid } = arrays
  const { queue, queued, touched, counts, vlanCounts } = arrays
  const used: Column[] = [area, off, len, table, flags, queue, queued, touched, counts]
  if (aware) used.push(members, vlanCounts)
  const memory = memoryOf(pool.bytes.buffer)
  const program = memory && used.every((array) => tables.has(array)) ? start<Exports>(SWITCH_RUN, memory) : null
  if (program === null) return null
  const at = (array: Column): number => array.byteOffset
  const map = at(area)
  const copied = map + MAP * 4
  const notes = copied + QUEUE * 4
  area.set([
    ...[at(off), at(len), notes, at(table), table.byteLength - 1, salt, shift, at(members), tpid, aware ? 1 : 0],
    ...[at(flags), flags.length, at(queue), at(queued), at(touched), at(counts), at(vlanCounts)],
  ])
  const { run } = program
  const { buffer } = area
  const crowd = fdb.slots >> 3
  // `area` is written to below: the run has its addresses, and what nobody holds is given to others.
  return (frames, begin, end, from, inFlags, pvid, tunnel, now, ageing) => {
    const options =
      ((inFlags & NO_LEARNING) === 0 ? LEARN : 0) |
      ((inFlags & HAIRPIN) !== 0 ? BACK : 0) |
      (tunnel ? AS_UNTAGGED : 0) |
      (fdb.size > crowd ? CROWDED : 0)
    const slowOut = SLOW_OUT | (inFlags & ISOLATED)
    const reachable = frames.buffer === buffer
    for (let i = begin; i < end; ) {
      const n = Math.min(end - i, QUEUE)
      if (!reachable) for (let k = 0; k < n; k++) area[MAP + k] = frames[i + k] as number
      const rows = reachable ? frames.byteOffset + (i << 2) : copied
      const done = run(map, rows, n, from, options, slowOut, pvid, now, ageing)
      i += done
      if (done < n) return i
    }
    return end
  }
}
