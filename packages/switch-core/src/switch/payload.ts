import type { Frame, FramePool } from '../frame-pool.ts'
import { GSO_KIND } from '../offload/kinds.ts'

/**
 * Bytes of a frame behind its Ethernet header and one tag - what an MTU limits; of a super-frame, of each of its segments.
 * `hdrLen` is only a hint that its sender gives, so the headers are measured where the frame says where they are.
 */
export function payloadLength(pool: FramePool, f: Frame): number {
  const { bytes, data, off, len, flags, gsoType, gsoSize, hdrLen, csumStart } = pool
  const o = off[f] as number
  const size = len[f] as number
  const type = data.getUint16(o + 12, true)
  const l2 = type === 0x0081 || type === 0xa888 ? 18 : 14
  const kind = (gsoType[f] as number) & GSO_KIND
  if (kind === 0) return size - l2
  let headers = hdrLen[f] as number
  if (((flags[f] as number) & 1) !== 0) {
    const l4 = csumStart[f] as number
    headers = kind === 5 ? l4 + 8 : l4 + (l4 + 12 < size ? ((bytes[o + l4 + 12] as number) >> 4) * 4 : 20)
  }
  return Math.min(size, headers + (gsoSize[f] as number)) - l2
}
