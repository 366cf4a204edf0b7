import type { Frame, FramePool } from '../frame-pool.ts'
import { GSO_KIND, GsoType, TUNNEL } from '../offload/kinds.ts'
import * as ipv6 from '../wire/ipv6.ts'

/*
 * How long the packets of a super-frame will be once it is cut: what an MTU is compared with. The super-frame itself,
 * of up to 64 KiB, passes whole where its segments fit. Each has all headers of the whole: of a tunnel super-frame the
 * outer ones too.
 */

const found = new ipv6.Upper()

/** Bytes of the longest IP packet that the super-frame stands for, from its IP header at `l3`; Infinity where its
 * headers make no sense. */
export function segmentLength(pool: FramePool, f: Frame, l3: number, end: number): number {
  const b = pool.bytes
  const kind = pool.gsoType[f] as number
  const inner = (kind & TUNNEL) === 0 ? l3 : (pool.off[f] as number) + (pool.innerL3[f] as number)
  if (inner < l3 || end - inner < 20) return Number.POSITIVE_INFINITY
  let l4 = inner + ((b[inner]! & 15) << 2)
  if (b[inner]! >>> 4 === 6) {
    if (end - inner < ipv6.HLEN || !ipv6.upper(b, inner, end, found)) return Number.POSITIVE_INFINITY
    l4 = found.offset
  }
  const tcp = (kind & GSO_KIND) !== GsoType.Udp
  if (end - l4 < (tcp ? 20 : 8)) return Number.POSITIVE_INFINITY
  const header = tcp ? (b[l4 + 12]! >>> 4) << 2 : 8
  return l4 + header - l3 + (pool.gsoSize[f] as number)
}
