import { Drop } from '../drop.ts'
import { type Frame, type FramePool, NO_FRAME } from '../frame-pool.ts'
import type { Outgoing } from '../offload.ts'
import { put16, put32, u16 } from '../wire/bytes.ts'
import { complement, complementUdp, pseudo, sum } from '../wire/checksum.ts'
import * as eth from '../wire/ethernet.ts'
import * as ipv4 from '../wire/ipv4.ts'
import * as ipv6 from '../wire/ipv6.ts'
import * as tcp from '../wire/tcp.ts'
import * as udp from '../wire/udp.ts'
import { isTpid } from '../wire/vlan.ts'
import * as explain from './explain.ts'
import { GSO_KIND, GsoType, OffloadFlag, TUNNEL } from './kinds.ts'
import { innerOf, putOuter, sumOfComplete } from './outer.ts'

/*
 * Cutting a super-frame into the segments that would be on the wire.
 *
 *     | Ethernet, tags | IP, extension headers | TCP or UDP |            payload of up to 64 KiB             |
 *     o                l3                      l4           data                                           end
 *
 *     | headers | gsoSize bytes |   | headers | gsoSize bytes |   ...   | headers | the rest |
 *
 * Every segment has the headers of the whole, with what differs put right:
 *
 *     IPv4   total length, id counted up, header checksum        IPv6   payload length
 *     TCP    sequence number, checksum; FIN and PSH on the last only, CWR on the first only (RFC 3168, 6.1.2)
 *     UDP    length, checksum
 *
 * as Linux' tcp_gso_segment and __udp_gso_segment do. A tunnel super-frame is cut at its inner packet; what its outer
 * headers need is in `outer.ts`. Segments are fresh rows: the super-frame is only read, and may be shared with other ports.
 */

const NEEDS_CSUM = OffloadFlag.NeedsChecksum
/** Tags that are passed to find the IP header at most, as in Linux. */
const MAX_TAGS = 8

/** Where the parts of a super-frame are, as indices in the arena. */
class Layout {
  end = 0
  /** The outer IP header of a tunnel super-frame; -1 where it is none. */
  outer = -1
  l3 = 0
  l4 = 0
  data = 0
  v6 = false
  tcp = false
  /** Sum of the pseudo-header, but for the length. */
  base = 0
  /** Whether segments have a checksum: a UDP super-frame over IPv4 may come without. */
  summed = true
}

const layout = new Layout()
const found = new ipv6.Upper()

/** Segments that a super-frame may stand for: what 64 KiB make with the smallest segment that Linux' TCP sends (48 bytes), and
 * its UDP_MAX_SEGMENTS. More would be an hour's work in one frame: 64 of them with a byte a segment took 0.6 s. */
const TCP_SEGMENTS = 1366
const UDP_SEGMENTS = 128

/** Finds the parts, and checks that metadata and headers agree; false where they do not. */
function layOut(pool: FramePool, f: Frame, at: Layout): boolean {
  const b = pool.bytes
  const o = pool.off[f] as number
  const end = o + (pool.len[f] as number)
  const kind = (pool.gsoType[f] as number) & GSO_KIND
  const partial = ((pool.flags[f] as number) & NEEDS_CSUM) !== 0
  if (kind !== GsoType.Tcp4 && kind !== GsoType.Tcp6 && kind !== GsoType.Udp) return false
  if (pool.gsoSize[f] === 0 || !eth.fits(o, end)) return false

  let l3 = o + eth.HLEN
  for (let tags = 0; tags < MAX_TAGS && isTpid(u16(b, l3 - 2)) && end - l3 >= 4; tags++) l3 += 4
  let etherType = u16(b, l3 - 2)
  at.outer = -1
  if (((pool.gsoType[f] as number) & TUNNEL) !== 0) {
    at.outer = l3
    l3 = innerOf(pool, f, l3, end)
    if (l3 === -1) return false
    etherType = (b[l3] as number) >>> 4 === 6 ? eth.EtherType.IPv6 : eth.EtherType.IPv4
  }
  const protocol = kind === GsoType.Udp ? ipv4.Protocol.Udp : ipv4.Protocol.Tcp
  let l4: number
  let routed = false
  let length: number
  if (etherType === eth.EtherType.IPv4 && kind !== GsoType.Tcp6) {
    l4 = ipv4.checkHeader(b, l3, end)
    if (l4 === -1 || ipv4.protocol(b, l3) !== protocol || ipv4.isFragment(b, l3)) return false
    length = ipv4.totalLength(b, l3)
    if (length !== 0) length += l3
  } else if (etherType === eth.EtherType.IPv6 && kind !== GsoType.Tcp4) {
    l4 = ipv6.checkHeader(b, l3, end)
    if (l4 === -1 || !ipv6.upper(b, l3, end, found)) return false
    if (found.protocol !== protocol || found.fragment !== -1) return false
    l4 = found.offset
    routed = found.routing !== -1 && b[found.routing + 3] !== 0
    length = ipv6.payloadLength(b, l3)
    if (length !== 0) length += l3 + ipv6.HLEN
  } else return false
  // A length of zero is how a packet says that it is longer than the field can tell, or leaves it to the hardware.
  if (length !== 0 && length !== end) return false

  at.tcp = kind !== GsoType.Udp
  const data = at.tcp ? tcp.check(b, l4, end) : end - l4 >= udp.HLEN ? l4 + udp.HLEN : -1
  if (data === -1) return false
  if (!at.tcp && udp.length(b, l4) !== 0 && udp.length(b, l4) !== end - l4) return false
  const field = at.tcp ? tcp.CHECKSUM : udp.CHECKSUM
  if (partial && (pool.csumStart[f] !== l4 - o || pool.csumOffset[f] !== field)) return false
  const size = pool.gsoSize[f] as number
  if (data - o + Math.min(size, end - data) > pool.frameSize) return false
  if (end - data > size * (at.tcp ? TCP_SEGMENTS : UDP_SEGMENTS)) return false

  at.end = end
  at.l3 = l3
  at.l4 = l4
  at.data = data
  at.v6 = etherType === eth.EtherType.IPv6
  at.summed = at.tcp || at.v6 || partial || udp.checksum(b, l4) !== 0
  at.base = pseudo(b, l3, protocol, 0)
  if (routed) {
    // The pseudo-header has the address behind the last hop of the routing header (RFC 8200, 8.1): only the sender's sum,
    // less the length, tells it.
    if (!partial) return false
    at.base = u16(b, l4 + field) + (~(end - l4) & 0xffff)
  }
  return true
}

/** Cuts `f` and puts the segments out; `f` itself is ended, or `lost`. */
export function cut(pool: FramePool, f: Frame, out: Outgoing, lost: (f: Frame, why: Drop) => void): void {
  if (!layOut(pool, f, layout)) {
    lost(f, Drop.BadOffload)
    return
  }
  // Copied out of the record: a port that `out` writes to may come back here.
  const { end, outer, l3, l4, data, v6, tcp: isTcp, base, summed } = layout
  const { bytes: b, data: view, off, len, port, ledger } = pool
  const o = off[f] as number
  const size = pool.gsoSize[f] as number
  const headers = data - o
  const firstId = v6 ? 0 : ipv4.id(b, l3)
  const firstSeq = isTcp ? tcp.seq(b, l4) : 0
  const flags = isTcp ? tcp.flags(b, l4) : 0
  const outerL4 = pool.outerL4[f] as number
  const outerSummed = ((pool.flags[f] as number) & OffloadFlag.TunnelChecksum) !== 0

  for (let at = data, n = 0; ; at += size, n++) {
    const payload = Math.min(size, end - at)
    const last = at + payload === end
    let g = pool.alloc()
    if (g === NO_FRAME) {
      out.flush()
      g = pool.alloc()
      if (g === NO_FRAME) {
        lost(f, Drop.PoolSpent)
        return
      }
    }
    const to = off[g] as number
    const segEnd = to + headers + payload
    len[g] = headers + payload
    port[g] = port[f] as number
    b.copyWithin(to, o, data)
    b.copyWithin(to + headers, at, at + payload)

    const ip = to + (l3 - o)
    if (v6) put16(b, ip + 4, segEnd - ip - ipv6.HLEN)
    else {
      put16(b, ip + 2, segEnd - ip)
      put16(b, ip + 4, firstId + n)
      ipv4.fillChecksum(b, ip)
    }
    const th = to + (l4 - o)
    if (isTcp) {
      put32(b, th + tcp.SEQ, firstSeq + (at - data))
      let keep = 0xff
      if (n > 0) keep &= ~tcp.Flag.Cwr
      if (!last) keep &= ~(tcp.Flag.Fin | tcp.Flag.Psh)
      b[th + tcp.FLAGS] = flags & keep
      put16(b, th + tcp.CHECKSUM, 0)
      put16(b, th + tcp.CHECKSUM, complement(sum(view, th, segEnd, base + (segEnd - th))))
    } else {
      put16(b, th + udp.LENGTH, segEnd - th)
      put16(b, th + udp.CHECKSUM, 0)
      if (summed) put16(b, th + udp.CHECKSUM, complementUdp(sum(view, th, segEnd, base + (segEnd - th))))
    }
    if (outer !== -1) {
      const known = summed ? sumOfComplete(base + (segEnd - th)) : -1
      putOuter(pool, to + (outer - o), to + outerL4, segEnd, n, outerSummed, th, known)
    }

    if (pool.observer !== null) pool.observer.copied?.(f, g as Frame)
    if (pool.trace !== null) explain.segment(pool, f, g as Frame, n + 1, payload)
    if (last) {
      // The row of the super-frame stands for the last segment in the ledger.
      pool.release(f)
      out.put(g as Frame)
      return
    }
    ledger.copy(1)
    out.put(g as Frame)
  }
}
