import type { Frame, FramePool } from '../frame-pool.ts'
import { put16, u16 } from './bytes.ts'
import { EtherType, TYPE } from './ethernet.ts'

/*
 * VLAN tags: 802.1Q, and 802.1ad in front of it (QinQ).
 *
 *     0          6          12     14     16     18
 *     |   dst    |   src    | TPID | TCI  | type | payload ...        TCI:  PCP (3)  DEI (1)  VID (12)
 *                            `-- the tag --'
 *
 * A tag is pushed and popped by moving the 12 bytes of the two MACs by 4, into the headroom or out of it; nothing behind
 * them moves. What the offload metadata says about the packet stays true.
 */

/** Bytes of a tag. */
export const TAG = 4
/** The VID of a tag that carries a priority only: the frame counts as untagged (802.1Q, 9.6). */
export const PRIORITY_TAG = 0
/** The VID that is reserved (802.1Q, 9.6). */
export const RESERVED = 4095

/** Tells whether an EtherType is the TPID of a tag: 0x8100 or 0x88a8. */
export function isTpid(etherType: number): boolean {
  return etherType === EtherType.Vlan || etherType === EtherType.ServiceVlan
}

/** The tag control information of a frame at `o` whose EtherType is a TPID; the caller has seen 18 bytes. */
export function tci(b: Uint8Array, o: number): number {
  return u16(b, o + TYPE + 2)
}

/** The VLAN id of a TCI: 0 to 4,095. */
export function vid(tciValue: number): number {
  return tciValue & 0xfff
}

/** The priority code point of a TCI: 0 to 7. */
export function pcp(tciValue: number): number {
  return tciValue >>> 13
}

/** The drop eligible indicator of a TCI: 0 or 1. */
export function dei(tciValue: number): number {
  return (tciValue >>> 12) & 1
}

/** Makes a TCI. */
export function makeTci(vlan: number, priority = 0, dropEligible = 0): number {
  return (priority << 13) | (dropEligible << 12) | vlan
}

/**
 * Puts a tag in front of the EtherType. The caller owns the frame, and has seen the 12 bytes of the MACs. False where
 * the headroom has no 4 bytes left; then nothing has changed.
 */
export function pushTag(pool: FramePool, f: Frame, tpid: number, tciValue: number): boolean {
  const to = pool.prepend(f, TAG)
  if (to === -1) return false
  moveMacs(pool.data, to, to + TAG)
  put16(pool.bytes, to + TYPE, tpid)
  put16(pool.bytes, to + TYPE + 2, tciValue)
  pool.shiftOffload(f, TAG)
  return true
}

/**
 * Takes the outermost tag off. The caller owns the frame. False where the frame has no tag, or is too short for one and
 * an EtherType behind it; then nothing has changed.
 */
export function popTag(pool: FramePool, f: Frame): boolean {
  const from = pool.off[f] as number
  if ((pool.len[f] as number) < TYPE + TAG + 2 || !isTpid(u16(pool.bytes, from + TYPE))) return false
  moveMacs(pool.data, pool.strip(f, TAG), from)
  pool.shiftOffload(f, -TAG)
  return true
}

/** Moves 12 bytes, which may overlap, as three words. */
function moveMacs(d: DataView, to: number, from: number): void {
  const a = d.getInt32(from, true)
  const b = d.getInt32(from + 4, true)
  const c = d.getInt32(from + 8, true)
  d.setInt32(to, a, true)
  d.setInt32(to + 4, b, true)
  d.setInt32(to + 8, c, true)
}
