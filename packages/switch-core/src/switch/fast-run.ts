import * as fdb from './fdb.ts'
import { HAIRPIN, ISOLATED, NO_LEARNING, SLOW_OUT } from './port.ts'
import * as vlans from './vlan.ts'

/*
 * The fast run: the part of a batch that needs no thought.
 *
 * A common frame's source is known on this port and its destination on another, both in or near their home slots of the FDB,
 * and it leaves as it came. The run switches common frames until it meets one that is not, and leaves that one to the switch. What
 * it sends is queued by port, and handed to the links when the run is over.
 *
 * It is there twice. Where the switch's tables are beside the frames, WebAssembly has the run (`wasm-run.ts`): 20 ns a frame,
 * ports and loop included, instead of 28 (measured). Elsewhere it is this one, which is also the easier one to read. It is
 * made once a switch, as a closure over the switch's arrays, and its loop calls nothing: so the compiler takes the arrays for
 * constants and checks nothing of them in the loop (packages/switch-core/src/frame-loops.ts says more; without that 45 ns
 * instead of 33).
 */

/** A port's counters, padded to a cache line. */
export const COUNTERS = 8
export const RX_FRAMES = 0
export const RX_BYTES = 1
export const TX_FRAMES = 2
export const TX_BYTES = 3
export const DROPPED = 4

/** Slots behind its home in which a run looks for an address: in a half-full table one in four is not at home, and one in
 * two hundred is farther away (measured at 65,536 addresses: 63 instead of 77 ns a frame). */
const NEAR = 7

/** Frames that may wait for a port during a run. */
export const QUEUE = 64

/** The arrays that a run works on. */
export interface RunArrays {
  readonly data: DataView
  readonly off: Uint32Array
  readonly len: Uint32Array
  /** Entries of the FDB, and what `homeSlot` needs. */
  readonly table: Int32Array
  readonly salt: number
  readonly shift: number
  /** How full the table is. */
  readonly fdb: { readonly size: number; readonly slots: number }
  /** Settings of each port as bits. */
  readonly flags: Int32Array
  /** Membership by port << 12 | VLAN. */
  readonly members: Uint8Array
  /** Frames that leave, QUEUE places a port, and how many there are. */
  readonly queue: Uint32Array
  readonly queued: Uint8Array
  /** Ports that frames are queued for; `touched[0]` says how many, the others follow. */
  readonly touched: Uint16Array
  readonly counts: Float64Array
  readonly vlanCounts: Float64Array
  readonly aware: boolean
  /** The tag's type as it is read from a frame in little-endian order. */
  readonly tpid: number
}

/** Switches `frames[start..end)`, which came in by port `from`, up to the first that is not common, and gives its index. */
export type FastRun = (
  frames: Uint32Array,
  start: number,
  end: number,
  from: number,
  inFlags: number,
  pvid: number,
  tunnel: boolean,
  now: number,
  ageing: number,
) => number

/** Makes the fast run of a switch. */
export function fastRun(arrays: RunArrays): FastRun {
  const {
    data,
    off,
    len,
    table,
    salt,
    shift,
    flags,
    members,
    queue,
    queued,
    touched,
    counts,
    vlanCounts,
    aware,
    tpid,
  } = arrays
  // A module's constant is read from memory where it is used; one of this closure is part of the code.
  const { ENTRY_PORT, homeSlot } = fdb
  const { NOT_MEMBER, TAGGED, UNTAGGED } = vlans
  const [places, stride, txBytes, near] = [QUEUE, COUNTERS, TX_BYTES, NEAR]
  const wrap = table.length - 1
  return (frames, start, end, from, inFlags, pvid, tunnel, now, ageing) => {
    const learning = (inFlags & NO_LEARNING) === 0
    const hairpin = (inFlags & HAIRPIN) !== 0
    const slowOut = SLOW_OUT | (inFlags & ISOLATED)
    const heardHere = from + 1
    let ports = 0
    let bytes = 0
    // Frames of one VLAN mostly come together: they are counted together.
    let vlanNow = 0
    let vlanFrames = 0
    let vlanBytes = 0
    let i = start
    for (; i < end; i++) {
      const f = frames[i] as number
      const o = off[f] as number
      const size = len[f] as number
      if (size < 18) break
      const dstHi = data.getUint16(o, true)
      const dstLo = data.getInt32(o + 2, true)
      const srcHi = data.getUint16(o + 6, true)
      const srcLo = data.getInt32(o + 8, true)
      if (((dstHi | srcHi) & 1) !== 0 || (srcHi | srcLo) === 0) break
      let vlan = 0
      let form: number = UNTAGGED
      if (aware) {
        vlan = pvid
        if (!tunnel && data.getUint16(o + 12, true) === tpid) {
          vlan = data.getUint16(o + 14, false) & 0xfff
          form = TAGGED
        }
        if (vlan === 0 || members[(from << 12) | vlan] === NOT_MEMBER) break
      }
      if (learning) {
        // An address that is heard where it is known is only refreshed, whatever the kind of its entry.
        const src = (vlan << 16) | srcHi
        let at = homeSlot(src, srcLo, salt, shift) << 2
        for (let k = 0; (table[at] !== srcLo || table[at + 1] !== src) && k < near; k++) at = (at + 4) & wrap
        if (table[at] !== srcLo || table[at + 1] !== src || ((table[at + 2] as number) & ENTRY_PORT) !== heardHere)
          break
        if (table[at + 3] !== now) table[at + 3] = now
      }
      const dst = (vlan << 16) | dstHi
      let at = homeSlot(dst, dstLo, salt, shift) << 2
      for (let k = 0; (table[at] !== dstLo || table[at + 1] !== dst) && k < near; k++) at = (at + 4) & wrap
      if (table[at] !== dstLo || table[at + 1] !== dst || ((now - (table[at + 3] as number)) | 0) >= ageing) break
      const to = ((table[at + 2] as number) & ENTRY_PORT) - 1
      // A port that is not there has flags that say it is down.
      if (to < 0 || to >= flags.length || (to === from && !hairpin) || ((flags[to] as number) & slowOut) !== 0) break
      if (aware && members[(to << 12) | vlan] !== form) break
      const n = queued[to] as number
      if (n === places) break
      if (n === 0) touched[++ports] = to
      queue[to * places + n] = f
      queued[to] = n + 1
      ;(counts[to * stride + txBytes] as number) += size
      bytes += size
      if (aware) {
        if (vlan !== vlanNow) {
          ;(vlanCounts[vlanNow * 4] as number) += vlanFrames
          ;(vlanCounts[vlanNow * 4 + 1] as number) += vlanBytes
          ;(vlanCounts[vlanNow * 4 + 2] as number) += vlanFrames
          ;(vlanCounts[vlanNow * 4 + 3] as number) += vlanBytes
          vlanNow = vlan
          vlanFrames = 0
          vlanBytes = 0
        }
        vlanFrames++
        vlanBytes += size
      }
    }
    if (vlanFrames > 0) {
      ;(vlanCounts[vlanNow * 4] as number) += vlanFrames
      ;(vlanCounts[vlanNow * 4 + 1] as number) += vlanBytes
      ;(vlanCounts[vlanNow * 4 + 2] as number) += vlanFrames
      ;(vlanCounts[vlanNow * 4 + 3] as number) += vlanBytes
    }
    ;(counts[from * COUNTERS + RX_FRAMES] as number) += i - start
    ;(counts[from * COUNTERS + RX_BYTES] as number) += bytes
    touched[0] = ports
    return i
  }
}
