import { Drop } from '../drop.ts'
import { type Frame, type FramePool, NO_FRAME } from '../frame-pool.ts'
import { put16, u16 } from '../wire/bytes.ts'
import { HLEN } from '../wire/ethernet.ts'
import * as ipv4 from '../wire/ipv4.ts'
import * as explain from './explain.ts'

/*
 * Cutting an IPv4 packet into fragments (RFC 791, 3.2).
 *
 *     | Ethernet | IP, options | payload ...................................... |
 *     | Ethernet | IP, options | multiple of 8 |  MF
 *     | Ethernet | IP, nothing | multiple of 8 |  MF, offset
 *     | Ethernet | IP, nothing | rest |           MF as it was, offset
 *
 * A fragment can be cut again: its offset is added and the last one keeps its "more fragments". Options without the
 * copied flag stand in the first fragment only; in the others there are no-operations in their place, as Linux does it,
 * so that all headers have one length.
 */

// 65,515 bytes in pieces of 8 are more than this, but no MTU is so small.
const MOST = 1400
const rows = new Uint32Array(MOST)

/**
 * Cuts the packet so that no fragment is longer than `mtu`, and gives them to `emit` in order. The caller owns the
 * frame, whose transport checksum is complete; it becomes the first fragment. Where the pool has not enough rows, or
 * the offset would be past what a packet can be, the frame is `lost` as a whole.
 */
export function fragment(
  pool: FramePool,
  f: Frame,
  mtu: number,
  emit: (f: Frame) => void,
  lost: (f: Frame, why: Drop) => void,
): void {
  const { bytes: b, off, len, port, ledger } = pool
  const o = off[f] as number
  const l3 = o + HLEN
  const header = ipv4.headerLength(b, l3)
  const payload = (len[f] as number) - HLEN - header
  const most = (mtu - header) & ~7
  const field = u16(b, l3 + 6)
  const count = Math.ceil(payload / most)
  if (most < 8 || count > MOST || (field & 0x1fff) + ((payload - 1) >>> 3) > 0x1fff) {
    lost(f, most < 8 ? Drop.TooBig : Drop.Malformed)
    return
  }
  if (pool.spare < count - 1) {
    lost(f, Drop.PoolSpent)
    return
  }
  rows[0] = f
  for (let i = 1; i < count; i++) {
    const g = pool.alloc()
    if (g === NO_FRAME) break
    const at = off[g] as number
    const from = i * most
    const n = Math.min(most, payload - from)
    len[g] = HLEN + header + n
    port[g] = port[f] as number
    b.copyWithin(at, o, l3 + header)
    if (header > ipv4.HLEN) blankOptions(b, at + HLEN, header)
    b.copyWithin(at + HLEN + header, l3 + header + from, l3 + header + from + n)
    const more = i < count - 1 ? ipv4.Flag.MoreFragments : 0
    put16(b, at + HLEN + 2, header + n)
    put16(b, at + HLEN + 6, (field + (from >>> 3)) | more)
    ipv4.fillChecksum(b, at + HLEN)
    if (pool.observer !== null) pool.observer.copied?.(f, g)
    if (pool.trace !== null) explain.piece(pool, f, g, i + 1, count)
    rows[i] = g
  }
  ledger.copy(count - 1)
  len[f] = HLEN + header + Math.min(most, payload)
  put16(b, l3 + 2, header + Math.min(most, payload))
  if (count > 1) put16(b, l3 + 6, field | ipv4.Flag.MoreFragments)
  ipv4.fillChecksum(b, l3)
  if (pool.trace !== null) explain.firstPiece(pool, f, count, mtu)
  for (let i = 0; i < count; i++) emit(rows[i] as Frame)
}

/** Puts no-operations in place of options without the copied flag. */
function blankOptions(b: Uint8Array, ip: number, header: number): void {
  const end = ip + header
  for (let i = ip + ipv4.HLEN; i < end; ) {
    const kind = b[i] as number
    if (kind === 0) return
    const n = kind === 1 ? 1 : i + 1 < end ? (b[i + 1] as number) : 0
    if (n < 1 || n > end - i || (n < 2 && kind !== 1)) return
    if (kind !== 1 && (kind & 0x80) === 0) b.fill(1, i, i + n)
    i += n
  }
}
