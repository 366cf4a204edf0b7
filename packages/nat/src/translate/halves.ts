import type { Frame, FramePool } from '@l2l3/switch-core'
import { checksum, ipv4, ipv6, put16, put32, tcp, u16, u32, udp } from '@l2l3/switch-core/wire'
import type { Addresses6 } from '../addresses6.ts'
import { moveSctpPorts } from '../crc32c.ts'
import { type Place, Proto } from '../tuple.ts'

/*
 * Rewriting one end of a packet: its destination before it is routed, its source after.
 *
 *     | IP  checksum  src  dst | sport dport  checksum |
 *            ^ address  ^^^      ^^^^^        ^ address + port             ICMP: identifier, in ICMPv6 with addresses
 *
 * No checksum is computed anew: what goes out of the sum and what comes in is added to it (RFC 1624, eqn. 3), so that one that was
 * wrong stays wrong, and no byte of payload is read. Three cases differ:
 *
 *   - CHECKSUM_PARTIAL: the field holds the sum of the pseudo-header, not complemented, and the rest is added by whoever finishes the
 *     frame: only the addresses are exchanged in it
 *   - UDP over IPv4 with the checksum 0 has none, and gets none; a sum that becomes 0 is sent as 0xFFFF (RFC 768)
 *   - a later fragment has no upper-layer header, and a first one may end before the checksum
 */

const NEEDS_CSUM = 1
/** The outer UDP checksum of a tunnel super-frame is left to the device. */
const NEEDS_OUTER_CSUM = 8

/** Which end. */
export const SOURCE = 0
export const DESTINATION = 1
/** An end of a packet: its source or its destination. */
export type End = typeof SOURCE | typeof DESTINATION

/**
 * Gives the packet of `f`, which the caller owns, another source or destination: an IPv4 address or a number of `addresses`, and a
 * port, which for a query of ICMP is its identifier and means nothing for a protocol without ports.
 */
export function rewrite(
  pool: FramePool,
  f: Frame,
  l3: number,
  place: Place,
  end: End,
  address: number,
  port: number,
  addresses: Addresses6,
): void {
  const { bytes: b } = pool
  let change = 0
  if (place.version === 4) {
    const at = l3 + (end === SOURCE ? ipv4.SRC : ipv4.DST)
    change = exchange32(b, at, address)
    const field = l3 + ipv4.CHECKSUM
    put16(b, field, moved(u16(b, field), change))
  } else {
    const at = l3 + (end === SOURCE ? ipv6.SRC : ipv6.DST)
    const { words } = addresses
    for (let i = 0; i < 4; i++) change += exchange32(b, at + i * 4, words[address * 4 + i] as number)
  }
  if (place.fragmentOffset === 0) upper(pool, f, place, end, port, change)
}

/** Puts a word at `o` and gives what that adds to a sum: at most 4 * 0xffff. */
function exchange32(b: Uint8Array, o: number, v: number): number {
  const m = u32(b, o)
  put32(b, o, v)
  return (~m >>> 16) + (~m & 0xffff) + (v >>> 16) + (v & 0xffff)
}

/** The field over words whose sum has changed by `change`. */
function moved(field: number, change: number): number {
  return ~checksum.fold((~field & 0xffff) + change) & 0xffff
}

function upper(pool: FramePool, f: Frame, place: Place, end: End, port: number, change: number): void {
  const { bytes: b } = pool
  const { l4, protocol } = place
  let field: number
  let at = end === SOURCE ? l4 : l4 + 2
  switch (protocol) {
    case Proto.Tcp:
      field = l4 + tcp.CHECKSUM
      break
    case Proto.Udp:
    case Proto.UdpLite:
    case Proto.Dccp:
      field = l4 + udp.CHECKSUM
      break
    case Proto.Icmp:
    case Proto.Icmpv6:
      field = l4 + 2
      at = l4 + 4
      if (protocol === Proto.Icmp) change = 0
      break
    case Proto.Sctp:
      sctp(pool, f, place, at, port)
      return
    default:
      return
  }
  const before = u16(b, at)
  put16(b, at, port)
  if (field + 2 > place.end) return
  const sum = u16(b, field)
  if (isPartial(pool, f, l4, field)) {
    // ICMP has no pseudo-header: nothing is in its field yet.
    if (protocol !== Proto.Icmp) put16(b, field, checksum.fold(sum + change))
    return
  }
  if (sum === 0 && protocol === Proto.Udp) return
  const now = moved(sum, change + (~before & 0xffff) + port)
  put16(b, field, now === 0 && (protocol === Proto.Udp || protocol === Proto.UdpLite) ? 0xffff : now)
}

function sctp(pool: FramePool, f: Frame, place: Place, at: number, port: number): void {
  const { bytes: b } = pool
  const { l4 } = place
  const before = u32(b, l4)
  put16(b, at, port)
  const now = u32(b, l4)
  if (before === now || place.end - l4 < 12 || isPartial(pool, f, l4, l4 + 8)) return
  moveSctpPorts(b, l4, before, now, place.end - l4)
}

/** Whether the checksum at `field` of the upper layer at `l4` is still missing. */
export function isPartial(pool: FramePool, f: Frame, l4: number, field: number): boolean {
  const flags = pool.flags[f] as number
  if ((flags & (NEEDS_CSUM | NEEDS_OUTER_CSUM)) === 0) return false
  const o = pool.off[f] as number
  const start = o + (pool.csumStart[f] as number)
  if (start === l4) return start + (pool.csumOffset[f] as number) === field
  return (flags & NEEDS_OUTER_CSUM) !== 0 && (pool.gsoType[f] as number) !== 0 && o + (pool.outerL4[f] as number) === l4
}
