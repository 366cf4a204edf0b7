import type { Frame, FramePool } from '../frame-pool.ts'
import { put16, u16 } from '../wire/bytes.ts'
import { complement, complementUdp, pseudo, sum } from '../wire/checksum.ts'
import * as eth from '../wire/ethernet.ts'
import * as ipv4 from '../wire/ipv4.ts'
import * as ipv6 from '../wire/ipv6.ts'
import * as udp from '../wire/udp.ts'
import { GsoType, TUNNEL } from './kinds.ts'

/*
 * The outer headers of a tunnel super-frame, and of each segment that is cut out of it.
 *
 *     | Ethernet | outer IP | UDP | VXLAN, GENEVE, whatever | inner headers | payload |
 *                l3         l4                              inner l3
 *
 * What is between UDP and the inner packet is the same in every segment and is not looked at. What differs is put right as
 * Linux' __skb_udp_tunnel_segment does it: IPv4 total length, id counted up, header checksum; IPv6 payload length; UDP
 * length, and the checksum where one is wanted. The sum of the inner packet is known without reading it again once its own
 * checksum is right: together with its pseudo-header it is 0xFFFF (local checksum offload).
 */

const found = new ipv6.Upper()

/** Where the inner IP packet starts that is behind the outer one at `l3`, as index in the arena; -1 where headers and metadata
 * do not agree. */
export function innerOf(pool: FramePool, f: Frame, l3: number, end: number): number {
  const b = pool.bytes
  const etherType = u16(b, l3 - 2)
  const kind = (pool.gsoType[f] as number) & TUNNEL
  let l4: number
  let length: number
  if (etherType === eth.EtherType.IPv4 && kind === GsoType.TunnelIpv4) {
    l4 = ipv4.checkHeader(b, l3, end)
    if (l4 === -1 || ipv4.protocol(b, l3) !== ipv4.Protocol.Udp || ipv4.isFragment(b, l3)) return -1
    length = ipv4.totalLength(b, l3)
    if (length !== 0) length += l3
  } else if (etherType === eth.EtherType.IPv6 && kind === GsoType.TunnelIpv6) {
    l4 = ipv6.checkHeader(b, l3, end)
    if (l4 === -1 || !ipv6.upper(b, l3, end, found)) return -1
    if (found.protocol !== ipv4.Protocol.Udp || found.fragment !== -1 || found.routing !== -1) return -1
    l4 = found.offset
    length = ipv6.payloadLength(b, l3)
    if (length !== 0) length += l3 + ipv6.HLEN
  } else return -1
  if (length !== 0 && length !== end) return -1

  const o = pool.off[f] as number
  const inner = o + (pool.innerL3[f] as number)
  if (l4 - o !== pool.outerL4[f] || inner < l4 + udp.HLEN || end - inner < ipv4.HLEN) return -1
  const datagram = udp.length(b, l4)
  return datagram === 0 || datagram === end - l4 ? inner : -1
}

/**
 * Puts the outer headers of segment `n` right: IP at `ip`, UDP at `th`, the segment's end at `end`, all of them a copy of the
 * super-frame's.
 *
 * @param summed whether the outer UDP checksum is wanted
 * @param from start of a part that reaches to the end and whose sum is `known`
 * @param known that sum, or -1
 */
export function putOuter(
  pool: FramePool,
  ip: number,
  th: number,
  end: number,
  n: number,
  summed: boolean,
  from: number,
  known: number,
): void {
  const { bytes: b, data } = pool
  if ((b[ip] as number) >>> 4 === 6) put16(b, ip + 4, end - ip - ipv6.HLEN)
  else {
    put16(b, ip + 2, end - ip)
    put16(b, ip + 4, ipv4.id(b, ip) + n)
    ipv4.fillChecksum(b, ip)
  }
  put16(b, th + udp.LENGTH, end - th)
  if (!summed) return
  put16(b, th + udp.CHECKSUM, 0)
  const base = pseudo(b, ip, ipv4.Protocol.Udp, end - th)
  const s = known === -1 || ((from - th) & 1) !== 0 ? sum(data, th, end, base) : sum(data, th, from, base + known)
  put16(b, th + udp.CHECKSUM, complementUdp(s))
}

/** The sum of a transport segment whose checksum is right, when that of its pseudo-header is `base`. */
export function sumOfComplete(base: number): number {
  return complement(base)
}
