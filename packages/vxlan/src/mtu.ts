import { type Frame, type FramePool, GSO_KIND, NO_FRAME, segmentLength } from '@l2l3/switch-core'
import { copy, eth, icmp, icmpv6, ipv4, ipv6, put16, put32, u16, u32 } from '@l2l3/switch-core/wire'
import * as explain from './explain.ts'

/*
 * What fits into a tunnel, and the answer to who sent more.
 *
 *     | Ethernet | outer IP | UDP, GRE, .. |  Ethernet | inner IP packet |
 *                '------------ underlay's or path's MTU ----------------'
 *                '------- overhead -------------------'- what fits ------'
 *
 * A tunnel does not fragment what it carries in silence. An inner IPv4 packet with DF set that does not fit is dropped, and
 * its sender told "fragmentation needed", MTU such and such (RFC 1191; RFC 2003, 5.1; RFC 4459, 3.2); an IPv6 packet
 * "packet too big" (RFC 8201; RFC 4213, 3.2.2). Path MTU discovery of the inner hosts does the rest.
 *
 * A router in front of a tunnel says it from its own address. Behind a bridge is nobody with an address that could speak, so
 * that the answer is made up as Linux does it (iptunnel_pmtud_build_icmp and _icmpv6; measured on 6.18):
 *
 *     frame     MACs A > B,  IP a > b, DF, 1,500 bytes
 *     answer    MACs B > A,  IP b > a, DF, id 0, TTL as in the frame,  ICMP 3/4, MTU, the packet up to 576 bytes in all
 *                                          hop limit as in the frame,  ICMPv6 2/0, MTU, the packet up to 1,280 in all
 *
 * It goes back where the frame came from, by the same bridge port. (Linux also answers to IPv6 packets from ::1 and from
 * groups, and about types of ICMPv6 errors that do not exist; we do not.) No answer is given about an ICMP error, a fragment, a
 * packet to a group or from nobody (RFC 1812, 4.3.2.7; RFC 4443, 2.4 e), nor to IPv6 with less than 1,280, which every
 * IPv6 link has to carry.
 */

/** Bytes that tunnels add to the inner IP packet, with an IPv4 header outside; 20 more with an IPv6 header. GRE adds four
 * for each of checksum, key and sequence number, GENEVE its options (OVN: 8). From modes.md 1 and the codecs. */
export const OVERHEAD = {
  ipip: 20,
  gre: 24,
  gretap: 38,
  /** flannel's UDP backend. */
  udp: 28,
  vxlan: 50,
  geneve: 50,
  /** Weave's sleeve, one frame in a datagram, without encryption. */
  sleeve: 62,
  stt: 72,
} as const

/** Bytes of an outer IPv6 header more than of an IPv4 header. */
export const V6_OVERHEAD: number = ipv6.HLEN - ipv4.HLEN

/** The smallest MTU of a link that carries IPv6 (RFC 8200, 5). */
export const MIN_MTU6 = 1280
/** The smallest MTU of a link that carries IPv4 (RFC 791). */
export const MIN_MTU4 = 68

/** The longest IP packet in the frame, as it will be on a wire: of a super-frame its longest segment. `l3` is where it
 * starts, counted as `off` is. */
export function packetLength(pool: FramePool, f: Frame, l3: number): number {
  const end = (pool.off[f] as number) + (pool.len[f] as number)
  return (pool.gsoType[f]! & GSO_KIND) === 0 ? end - l3 : segmentLength(pool, f, l3, end)
}

const QUOTE4 = 576 - ipv4.HLEN - icmp.HLEN
const QUOTE6 = MIN_MTU6 - ipv6.HLEN - icmpv6.HLEN
const upper = new ipv6.Upper()

/** Makes answers about frames that do not fit into a tunnel. */
export class TooBig {
  readonly #pool: FramePool
  /** Answers that were made. */
  sent = 0
  /** Frames that did not fit and about which no answer may be given, or for which the pool had no row. */
  withheld = 0

  constructor(pool: FramePool) {
    this.#pool = pool
  }

  /**
   * Makes the answer about the Ethernet frame `f`, which is only read: a fresh row, entered in the ledger, with the VLAN tags
   * that the frame has; or `NO_FRAME` where none is to be given.
   * @param mtu of the longest IP packet that would have fit
   */
  answer(f: Frame, mtu: number): Frame | -1 {
    const pool = this.#pool
    const o = pool.off[f] as number
    const end = o + (pool.len[f] as number)
    let l3 = o + eth.HLEN
    let g: Frame | -1 = NO_FRAME
    if (eth.fits(o, end) && !eth.isGroup(pool.bytes, o) && !eth.isGroup(pool.bytes, o + eth.SRC)) {
      let type = eth.type(pool.bytes, o)
      for (let tags = 0; (type === 0x8100 || type === 0x88a8) && tags < 2 && end - l3 >= 4; tags++) {
        type = u16(pool.bytes, l3 + 2)
        l3 += 4
      }
      if (type === eth.EtherType.IPv4) g = this.#answer4(o, l3, end, mtu)
      else if (type === eth.EtherType.IPv6) g = this.#answer6(o, l3, end, mtu)
    }
    if (g === NO_FRAME) this.withheld++
    else {
      this.sent++
      pool.port[g] = pool.port[f] as number
      if (pool.trace?.follows(f)) explain.tooBig(pool, f, g, mtu)
    }
    return g
  }

  #answer4(o: number, l3: number, end: number, mtu: number): Frame | -1 {
    const pool = this.#pool
    const b = pool.bytes
    const l4 = ipv4.checkHeader(b, l3, end)
    if (l4 === -1 || mtu < MIN_MTU4 || u16(b, l3 + 6) !== ipv4.Flag.DontFragment) return NO_FRAME
    const src = u32(b, l3 + ipv4.SRC)
    if (!speaks4(src) || u32(b, l3 + ipv4.DST) >>> 28 >= 14) return NO_FRAME
    if (ipv4.protocol(b, l3) === ipv4.Protocol.Icmp && (l4 >= end || icmp.isError(b[l4] as number))) return NO_FRAME
    const g = pool.alloc()
    if (g === NO_FRAME) return g
    const at = pool.off[g] as number
    const quote = Math.min(end - l3, QUOTE4, pool.frameSize - (l3 - o) - ipv4.HLEN - icmp.HLEN)
    const ip = this.#ethernet(at, o, l3)
    put32(b, ip, 0x4500_0000 | (ipv4.HLEN + icmp.HLEN + quote))
    put32(b, ip + 4, ipv4.Flag.DontFragment)
    put16(b, ip + ipv4.TTL, (ipv4.ttl(b, l3) << 8) | ipv4.Protocol.Icmp)
    copy(b, ip + ipv4.SRC, b, l3 + ipv4.DST, 4)
    put32(b, ip + ipv4.DST, src)
    ipv4.fillChecksum(b, ip)
    const to = icmp.write(b, ip + ipv4.HLEN, icmp.Type.Unreachable, icmp.Unreachable.FragmentationNeeded, mtu)
    b.copyWithin(to, l3, l3 + quote)
    icmp.fillChecksum(b, ip + ipv4.HLEN, to + quote)
    pool.len[g] = to + quote - at
    pool.ledger.originate(1)
    return g
  }

  #answer6(o: number, l3: number, end: number, mtu: number): Frame | -1 {
    const pool = this.#pool
    const b = pool.bytes
    if (mtu < MIN_MTU6 || ipv6.checkHeader(b, l3, end) === -1 || !speaks6(b, l3 + ipv6.SRC)) return NO_FRAME
    if (!ipv6.upper(b, l3, end, upper)) return NO_FRAME
    if (upper.protocol === ipv4.Protocol.Icmpv6) {
      // Errors have the lower half of the types; a redirect is none, and still nothing is said about it (RFC 4443, 2.4 e.2).
      const type = upper.fragmentOffset === 0 && upper.offset < end ? (b[upper.offset] as number) : 0
      if (type < 128 || type === icmpv6.Type.Redirect) return NO_FRAME
    }
    const g = pool.alloc()
    if (g === NO_FRAME) return g
    const at = pool.off[g] as number
    const quote = Math.min(end - l3, QUOTE6, pool.frameSize - (l3 - o) - ipv6.HLEN - icmpv6.HLEN)
    const ip = this.#ethernet(at, o, l3)
    put32(b, ip, 0x6000_0000)
    put16(b, ip + 4, icmpv6.HLEN + quote)
    put16(b, ip + ipv6.NEXT_HEADER, (ipv4.Protocol.Icmpv6 << 8) | ipv6.hopLimit(b, l3))
    copy(b, ip + ipv6.SRC, b, l3 + ipv6.DST, 16)
    copy(b, ip + ipv6.DST, b, l3 + ipv6.SRC, 16)
    const to = icmpv6.write(b, ip + ipv6.HLEN, icmpv6.Type.PacketTooBig, 0, mtu)
    b.copyWithin(to, l3, l3 + quote)
    icmpv6.fillChecksum(b, ip, ip + ipv6.HLEN, to + quote)
    pool.len[g] = to + quote - at
    pool.ledger.originate(1)
    return g
  }

  /** Writes the Ethernet header of the answer: that of the frame at `o`, up to `l3`, MACs swapped. Gives where IP goes. */
  #ethernet(at: number, o: number, l3: number): number {
    const b = this.#pool.bytes
    copy(b, at, b, o + eth.SRC, 6)
    copy(b, at + eth.SRC, b, o, 6)
    copy(b, at + eth.TYPE, b, o + eth.TYPE, l3 - o - eth.TYPE)
    return at + l3 - o
  }
}

/** Tells whether an IPv4 address can be the source of a packet that is answered: one host's. */
function speaks4(ip: number): boolean {
  const first = ip >>> 24
  return first !== 0 && first !== 127 && (first < 224 || (first >= 240 && ip >>> 0 !== 0xffff_ffff))
}

/** Tells whether the IPv6 address at `at` is neither unspecified, nor loopback, nor a group's. */
function speaks6(b: Uint8Array, at: number): boolean {
  if (b[at] === 0xff) return false
  return u32(b, at) !== 0 || u32(b, at + 4) !== 0 || u32(b, at + 8) !== 0 || u32(b, at + 12) > 1
}

/** What becomes of a packet that does not fit: `Drop` it after an answer, or cut it where that is allowed. */
export const Fate = { Fits: 0, Refuse: 1, Cut: 2 } as const

/**
 * Says what is to be done with the IP packet at `l3` when `fits` bytes fit (RFC 2003, 3.1 and 5.1; RFC 4213, 3.2).
 * IPv4 without DF may be cut, before or after it is wrapped. IPv6 of up to 1,280 bytes has to pass: the packet around it is
 * cut.
 * @param length of the packet, where it is known not to go to the end of the frame
 */
export function fateOf(
  pool: FramePool,
  f: Frame,
  l3: number,
  fits: number,
  length: number = packetLength(pool, f, l3),
): number {
  if (length <= fits) return Fate.Fits
  const b = pool.bytes
  const version = b[l3]! >>> 4
  if (version === 4) return ipv4.dontFragment(b, l3) ? Fate.Refuse : Fate.Cut
  return version === 6 && length <= MIN_MTU6 ? Fate.Cut : Fate.Refuse
}
