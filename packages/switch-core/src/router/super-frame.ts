import type { Frame, FramePool } from '../frame-pool.ts'
import * as ipv6 from '../wire/ipv6.ts'

/*
 * How long the packets of a super-frame will be once it is cut: what an MTU is compared with. The super-frame itself,
 * of up to 64 KiB, passes whole where its segments fit.
 */

const found = new ipv6.Upper()

/** Bytes of the longest IP packet that the super-frame stands for, from its IP header at `l3`; Infinity where its
 * headers make no sense. */
export function segmentLength(pool: FramePool, f: Frame, l3: number, end: number): number {
  const b = pool.bytes
  let l4 = l3 + ((b[l3]! & 15) << 2)
  if (b[l3]! >>> 4 === 6) {
    if (!ipv6.upper(b, l3, end, found)) return Number.POSITIVE_INFINITY
    l4 = found.offset
  }
  const tcp = (pool.gsoType[f]! & 0x7f) !== 5
  if (end - l4 < (tcp ? 20 : 8)) return Number.POSITIVE_INFINITY
  const header = tcp ? (b[l4 + 12]! >>> 4) << 2 : 8
  return l4 + header - l3 + (pool.gsoSize[f] as number)
}
