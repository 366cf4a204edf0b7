import type { Frame, FramePool } from '@l2l3/switch-core'
import { checksum, put16, tcp, u16 } from '@l2l3/switch-core/wire'

/*
 * Lowering the MSS that a TCP opens with (RFC 9293, 3.7.1), so that its segments fit a path that neither end sees: a tunnel behind the
 * NAT, say, in a network that loses the ICMP errors by which the ends would learn of it.
 *
 *     SYN  ... | kind 2 | length 4 |  MSS 1460  | ...      path MTU 1450, IPv4:  1450 - 20 - 20 = 1410
 *                                     -> 1410
 *
 * Only lowered, never raised, and in SYNs of either direction only. An option that is not there is not added: without it 536 (1,220 in
 * IPv6) is what the other end may send, which is less than any path has to carry (Linux' TCPMSS adds one). The checksum is moved along
 * (RFC 1624); the option may stand at an odd place, where its bytes fall into two words of the sum. Where the checksum is still
 * missing (CHECKSUM_PARTIAL) there is nothing to move: the segment is not in the field yet.
 *
 *     clampMss(pool, f, l4, end, limit)     the segment is at [l4, end), no later fragment; limit in bytes: `mssOf(mtu, v6)`. In `leaving`.
 */

const NEEDS_CSUM = 1

/** The MSS for a path that carries IP packets of `mtu` bytes, without options: 40 bytes less in IPv4, 60 in IPv6 (RFC 6691). */
export function mssOf(mtu: number, v6: boolean): number {
  return Math.max(0, mtu - (v6 ? 60 : 40))
}

/** Lowers the MSS of the segment `[l4, end)` to `limit` where it is a SYN that says more, and says whether it did. The caller owns the
 * frame. Takes any bytes. */
export function clampMss(pool: FramePool, f: Frame, l4: number, end: number, limit: number): boolean {
  const { bytes: b } = pool
  if (end - l4 < tcp.HLEN || (tcp.flags(b, l4) & tcp.Flag.Syn) === 0 || tcp.check(b, l4, end) === -1) return false
  const at = tcp.mssOffset(b, l4)
  if (at === -1) return false
  const mss = u16(b, at)
  if (mss <= limit) return false
  put16(b, at, limit)
  const field = l4 + tcp.CHECKSUM
  const start = (pool.off[f] as number) + (pool.csumStart[f] as number)
  if (((pool.flags[f] as number) & NEEDS_CSUM) !== 0 && start + (pool.csumOffset[f] as number) === field) return true
  const odd = ((at - l4) & 1) !== 0
  put16(b, field, checksum.update16(u16(b, field), odd ? swap(mss) : mss, odd ? swap(limit) : limit))
  return true
}

/** A 16-bit number with its bytes exchanged: what it is to a sum over words when it stands across two of them. */
function swap(v: number): number {
  return ((v & 0xff) << 8) | (v >>> 8)
}
