import { checksum, ipv4, put16, u16 } from '@l2l3/switch-core/wire'

/*
 * Congestion marks across a tunnel (RFC 6040; modes.md 20.3).
 *
 * A router between the tunnel's ends that is congested marks the outer header: CE, "congestion experienced". The inner
 * packet's receiver shall hear of it, so the egress merges the two marks; and the ingress makes an outer mark of the inner
 * one, so that the router may mark at all.
 *
 *     egress, the new inner mark:          outer   Not-ECT   ECT(1)   ECT(0)   CE
 *                                inner  Not-ECT    Not-ECT   Not-ECT  Not-ECT  drop: the inner sender takes losses only
 *                                       ECT(0)     ECT(0)    ECT(1)   ECT(0)   CE
 *                                       ECT(1)     ECT(1)    ECT(1)   ECT(1)   CE
 *                                       CE         CE        CE       CE       CE
 */

/** The two ECN bits (RFC 3168, 5). */
export const Ecn = { NotEct: 0, Ect1: 1, Ect0: 2, Ce: 3 } as const

/** What `EGRESS` says of a packet that ends. */
export const ECN_DROP = 0xff

/** The inner mark after the egress, by `outer << 2 | inner` (RFC 6040, figure 4; Linux does the same, measured, modes.md 20.3); `ECN_DROP`: the packet ends. */
export const EGRESS: Uint8Array = Uint8Array.of(0, 1, 2, 3, 0, 1, 1, 3, 0, 1, 2, 3, ECN_DROP, 3, 3, 3)

/** How the ingress makes the outer mark: see `TunnelSettings.ecnIngress`. */
export type EcnIngress = 'rfc6040' | 'linux' | 'compatibility'

/** The outer mark for an inner one. */
export function ecnIngress(mode: EcnIngress, inner: number): number {
  if (mode === 'compatibility') return Ecn.NotEct
  return mode === 'linux' && inner === Ecn.Ce ? Ecn.Ect0 : inner
}

/** Outer type of service for every inner one, 257 entries; the last is for what is not IP.
 * @param tos the outer DSCP in the upper six bits, or `inherit` */
export function tosTable(tos: number | 'inherit', mode: EcnIngress): Uint8Array {
  const table = new Uint8Array(257)
  for (let inner = 0; inner < 256; inner++) {
    table[inner] = ((tos === 'inherit' ? inner : tos) & 0xfc) | ecnIngress(mode, inner & 3)
  }
  table[256] = tos === 'inherit' ? 0 : tos & 0xfc
  return table
}

/**
 * Merges the outer mark into the inner IP packet at `l3`, whose fixed header is there, and keeps an IPv4 header's checksum
 * true. False where the packet must end (`Drop.EcnMismatch`). Who calls owns the frame; nothing is written where the mark
 * stays as it is.
 * @param outer the outer type of service or traffic class; its lower two bits count
 */
export function ecnEgress(b: Uint8Array, l3: number, outer: number): boolean {
  const v6 = (b[l3] as number) >>> 4 === 6
  const inner = v6 ? ((b[l3 + 1] as number) >>> 4) & 3 : (b[l3 + 1] as number) & 3
  const mark = EGRESS[((outer & 3) << 2) | inner] as number
  if (mark === inner) return true
  if (mark === ECN_DROP) return false
  if (v6) {
    b[l3 + 1] = ((b[l3 + 1] as number) & 0xcf) | (mark << 4)
    return true
  }
  const before = u16(b, l3)
  b[l3 + 1] = ((b[l3 + 1] as number) & 0xfc) | mark
  put16(b, l3 + ipv4.CHECKSUM, checksum.update16(u16(b, l3 + ipv4.CHECKSUM), before, u16(b, l3)))
  return true
}
