import type { Frame, FramePool } from '../frame-pool.ts'
import * as arp from '../wire/arp.ts'
import { put16, u16 } from '../wire/bytes.ts'
import { update16 } from '../wire/checksum.ts'
import * as icmpv6 from '../wire/icmpv6.ts'
import { type MacWords, moveMac, putMac } from './mac-words.ts'

/*
 * MAC addresses that stand behind the Ethernet header: whoever rewrites a source address must rewrite these too, or
 * stations learn the address that was to be hidden (modes.md 2.2, rule 1).
 *
 *     ARP       sha                                         sender's MAC
 *     RS, NS    option 1, source link-layer address         sender's MAC
 *     RA        option 1                                    sender's MAC
 *     NA        option 2, target link-layer address         of the address that is announced
 *     redirect  option 2                                    of the better next hop, which may be anybody
 *
 * An ICMPv6 checksum covers the options: it is repaired by what has changed (RFC 1624), so that a wrong one stays wrong.
 * Where it is missing still (CHECKSUM_PARTIAL), the field holds the sum of the pseudo-header only, and stays as it is.
 */

/** The virtio flag that says: the checksum is missing. */
const NEEDS_CSUM = 1

/** Turns the ARP request at `l3` into its answer, in place, and the frame with it: to whom the packet says has asked, as
 * the kernel's `arp_send` does, and without padding. The caller owns the frame. */
export function answerArp(pool: FramePool, f: Frame, l3: number, mac: Uint8Array): void {
  const { data, bytes } = pool
  const o = pool.off[f] as number
  moveMac(data, o, l3 + arp.SHA)
  arp.answer(bytes, l3, mac)
  moveMac(data, o + 6, l3 + arp.SHA)
  pool.len[f] = l3 + arp.LENGTH - o
  pool.flags[f] = 0
  pool.gsoType[f] = 0
}

/**
 * Finds the next link-layer option of the neighbour discovery message `[nd, end)`, from `at` on: where it starts, or -1.
 * The first search starts at `nd + icmpv6.optionsAt(type)`, a further one 8 behind the last. An option whose length does
 * not fit ends the walk: receivers discard such a message (RFC 4861, 6.1 and 7.1).
 */
export function nextLinkLayer(b: Uint8Array, at: number, end: number): number {
  for (let i = at; end - i >= 8; ) {
    const length = (b[i + 1] as number) << 3
    if (length === 0 || length > end - i) return -1
    const type = b[i] as number
    if (length === 8 && (type === icmpv6.Option.SourceLinkLayer || type === icmpv6.Option.TargetLinkLayer)) return i
    i += length
  }
  return -1
}

/** Writes `mac` into the link-layer option at `option` of the message at `nd`, and keeps the checksum true. The caller
 * owns the frame. */
export function putLinkLayer(pool: FramePool, f: Frame, nd: number, option: number, mac: MacWords): void {
  const { bytes, data } = pool
  const at = option + 2
  const a = u16(bytes, at)
  const b = u16(bytes, at + 2)
  const c = u16(bytes, at + 4)
  putMac(data, at, mac)
  if (missing(pool, f, nd)) return
  let field = u16(bytes, nd + icmpv6.CHECKSUM)
  field = update16(field, a, u16(bytes, at))
  field = update16(field, b, u16(bytes, at + 2))
  field = update16(field, c, u16(bytes, at + 4))
  put16(bytes, nd + icmpv6.CHECKSUM, field)
}

/** Tells whether the checksum of the message at `nd` is left to whoever puts the frame on a wire. */
function missing(pool: FramePool, f: Frame, nd: number): boolean {
  return (
    ((pool.flags[f] as number) & NEEDS_CSUM) !== 0 &&
    (pool.off[f] as number) + (pool.csumStart[f] as number) === nd &&
    pool.csumOffset[f] === icmpv6.CHECKSUM
  )
}
