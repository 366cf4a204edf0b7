import type { Frame, FramePool } from '@l2l3/switch-core'
import { checksum, icmp, ipv4, ipv6, put16, tcp, u16, udp } from '@l2l3/switch-core/wire'
import { SCTP_CHECKSUM, sctpMoved } from '../crc32c.ts'
import { hasPorts, Proto, QUERY } from '../tuple.ts'
import type { IcmpError } from './error.ts'

/*
 * Translating an ICMP error (RFC 5508, 4; RFC 5382, REQ-9), in the two halves of any translation: the destination before the packet
 * is routed, the source after. What is quoted is changed at its other end, since it was on its way the other way:
 *
 *     before routing    outer destination := A         quoted source      := A : P       `errorDestination`
 *     after routing     outer source      := B         quoted destination := B : Q       `errorSource`
 *
 * With the flow found by the inverted tuple of the quoted packet, in the direction `dir`: (A:P -> B:Q) is the flow's tuple of the
 * *other* direction, that is, the quoted packet as its sender sent it. As in Linux (nf_nat_icmp_reply_translation) the second half is
 * for flows only whose destination was translated when seen from `dir`; the outer source is then B whoever sent the error, so that a
 * router within says nothing of the addresses there. Where nothing was translated, writing what stands there already changes nothing.
 *
 * Four checksums follow, none computed anew (RFC 1624): that of the outer IPv4 header, of the quoted one, of the quoted transport
 * header if the quotation reaches as far (a UDP checksum of 0 stays 0; SCTP's by its length, see crc32c.ts), and that of the ICMP message,
 * which covers all the quoted, and in ICMPv6 the outer addresses. Of an ICMPv6 message whose checksum is still missing
 * (CHECKSUM_PARTIAL) only the pseudo-header stands in the field.
 *
 *     errorDestination4(pool, f, at, address, port)         f is owned, `at` has read it; address a number, port the identifier for
 *     errorSource4(pool, f, at, address, port)              a quoted ICMP query, ignored where the protocol has none
 *     errorDestination6(pool, f, at, words, i, port)        the address is words[i] .. words[i + 3], as numbers: 0x20010db8 first
 *     errorSource6(pool, f, at, words, i, port)
 */

const NEEDS_CSUM = 1

/** The new address, in bytes. */
const fresh = new Uint8Array(16)

/** First half, IPv4: sends the error to `address`, who sent the quoted packet from `port`. The caller owns the frame. */
export function errorDestination4(pool: FramePool, f: Frame, at: IcmpError, address: number, port: number): void {
  put4(address)
  rewrite(pool, f, at, at.l3 + ipv4.DST, at.quoted + ipv4.SRC, 4, 0, port)
}

/** Second half, IPv4: has the error come from `address`, to whose `port` the quoted packet was sent. The caller owns the frame. */
export function errorSource4(pool: FramePool, f: Frame, at: IcmpError, address: number, port: number): void {
  put4(address)
  rewrite(pool, f, at, at.l3 + ipv4.SRC, at.quoted + ipv4.DST, 4, 2, port)
}

/** First half, IPv6. */
export function errorDestination6(
  pool: FramePool,
  f: Frame,
  at: IcmpError,
  words: ArrayLike<number>,
  i: number,
  port: number,
): void {
  put6(words, i)
  rewrite(pool, f, at, at.l3 + ipv6.DST, at.quoted + ipv6.SRC, 16, 0, port)
}

/** Second half, IPv6. */
export function errorSource6(
  pool: FramePool,
  f: Frame,
  at: IcmpError,
  words: ArrayLike<number>,
  i: number,
  port: number,
): void {
  put6(words, i)
  rewrite(pool, f, at, at.l3 + ipv6.SRC, at.quoted + ipv6.DST, 16, 2, port)
}

function put4(address: number): void {
  put16(fresh, 0, address >>> 16)
  put16(fresh, 2, address)
}

function put6(words: ArrayLike<number>, i: number): void {
  for (let k = 0; k < 4; k++) {
    const word = words[i + k] as number
    put16(fresh, 4 * k, word >>> 16)
    put16(fresh, 4 * k + 2, word)
  }
}

/** Puts 16 bits at `o` and gives `sum` with what that adds to a ones-complement sum over them: ~m + m' (RFC 1624). */
function change(b: Uint8Array, o: number, v: number, sum: number): number {
  const before = u16(b, o)
  put16(b, o, v)
  return sum + (~before & 0xffff) + v
}

/** The field over words whose sum has changed by `sum`. */
function moved(field: number, sum: number): number {
  return ~checksum.fold((~field & 0xffff) + sum) & 0xffff
}

/** Writes `fresh` as the outer address at `outer` and the quoted one at `inner`, and the port at `side` (0 source, 2
 * destination). */
function rewrite(
  pool: FramePool,
  f: Frame,
  at: IcmpError,
  outer: number,
  inner: number,
  n: number,
  side: number,
  port: number,
): void {
  const { bytes: b } = pool
  const { l3, l4, quoted: ip } = at
  let outside = 0
  for (let i = 0; i < n; i += 2) outside = change(b, outer + i, u16(fresh, i), outside)
  let address = 0
  for (let i = 0; i < n; i += 2) address = change(b, inner + i, u16(fresh, i), address)
  let quoted = address
  if (n === 4) {
    put16(b, l3 + ipv4.CHECKSUM, moved(u16(b, l3 + ipv4.CHECKSUM), outside))
    quoted = change(b, ip + ipv4.CHECKSUM, moved(u16(b, ip + ipv4.CHECKSUM), address), quoted)
    outside = 0
  }
  quoted = transport(b, at, address, side, port, quoted)
  const field = l4 + icmp.CHECKSUM
  const start = pool.off[f] + pool.csumStart[f]
  const partial = (pool.flags[f] & NEEDS_CSUM) !== 0 && start + pool.csumOffset[f] === field
  // A partial sum is not complemented, and what is quoted is not in it yet.
  if (partial) put16(b, field, checksum.fold(u16(b, field) + outside))
  else put16(b, field, moved(u16(b, field), outside + quoted))
}

/** Translates the quoted transport header, whose pseudo-header has changed by `address`; gives `sum` with all changes. */
function transport(b: Uint8Array, at: IcmpError, address: number, side: number, port: number, sum: number): number {
  const { l4: o, protocol, end, version } = at.place
  if ((at.tuple.kind & QUERY) !== 0) {
    // The identifier stands at one place for both ends. ICMPv6 has a pseudo-header, ICMP has none.
    const id = change(b, o + icmp.ID, port, 0)
    const field = o + icmp.CHECKSUM
    return change(b, field, moved(u16(b, field), version === 6 ? id + address : id), sum + id)
  }
  if (!hasPorts(protocol)) return sum
  const before = u16(b, o + side)
  const ports = change(b, o + side, port, 0)
  if (protocol === Proto.Sctp) {
    const length = lengthOf(b, at)
    if (o + SCTP_CHECKSUM + 4 > end || length === -1) return sum + ports
    const shift = side === 0 ? 16 : 0
    const crc = sctpMoved(b, o, before << shift, port << shift, length)
    sum = change(b, o + SCTP_CHECKSUM, crc >>> 16, sum + ports)
    return change(b, o + SCTP_CHECKSUM + 2, crc & 0xffff, sum)
  }
  // In UDP, UDP-Lite and DCCP the checksum is at the same place.
  const field = o + (protocol === Proto.Tcp ? tcp.CHECKSUM : udp.CHECKSUM)
  if (field + 2 > end) return sum + ports
  const old = u16(b, field)
  if (protocol === Proto.Udp && old === 0) return sum + ports
  const now = moved(old, address + ports)
  return change(b, field, protocol === Proto.Tcp ? now : now || 0xffff, sum + ports)
}

/** How long the quoted packet was behind its IP header, however much of it is quoted; -1 where that is not to be known. */
function lengthOf(b: Uint8Array, at: IcmpError): number {
  const { place, quoted: ip } = at
  if (place.more) return -1
  const end = ip + (place.version === 4 ? ipv4.totalLength(b, ip) : ipv6.HLEN + ipv6.payloadLength(b, ip))
  return end - place.l4 < 12 ? -1 : end - place.l4
}
