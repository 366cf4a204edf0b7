import { type Clock, type Frame, type FramePool, NO_FRAME, TokenBucket } from '@l2l3/switch-core'
import { checksum, copy, eth, icmp, icmpv6, ipv4, ipv6, put16, put32, tcp, u16, u32, udp } from '@l2l3/switch-core/wire'

/*
 * Telling a sender that nobody is there: what netfilter's REJECT does, which kube-proxy puts in front of a service without
 * endpoints.
 *
 *     in    | dst mac | src mac | (tags) type | IP  src -> dst | TCP, UDP ... |
 *     out   | src mac | dst mac | (tags) type | IP  us -> src  | ICMP port unreachable | the packet, as much as fits |
 *      or   | src mac | dst mac | (tags) type | IP dst -> src  | TCP RST              |
 *
 * `answer` makes a fresh frame and leaves the packet alone; its caller sends the one and drops the other. Link addresses
 * stand crosswise, so that an element of a bridge can send it back by the port the packet came from; a router routes it
 * like any packet of its own, which writes them anew.
 *
 * Plain `-j REJECT`, as kube-proxy has it, is an ICMP port unreachable for TCP, too: a Linux client takes it for
 * "connection refused" at once. `tcp: 'reset'` is `--reject-with tcp-reset`.
 *
 * Nothing is said about an ICMP error, a fragment but the first, a packet whose checksum is wrong, one to or from a group,
 * or a TCP reset about a reset (RFC 1122, 3.2.2; RFC 4443, 2.4 e; RFC 9293, 3.5.2; nf_reject_ipv4.c does the same). A token
 * bucket bounds how much is said, so that nobody can use it to shout at others.
 */

/** How refusals are told. */
export interface RejectorOptions {
  /** What a TCP segment gets. Default `unreachable`. */
  tcp?: 'unreachable' | 'reset'
  /** Refusals a second in the long run, at least 0. Default 1,000. */
  rate?: number
  /** Refusals at once, at least 1. Default 50. */
  burst?: number
}

/** VIRTIO_NET_HDR_F_NEEDS_CSUM, and VIRTIO_NET_HDR_F_DATA_VALID. */
const CHECKSUM_NOT_NEEDED = 3
const MORE_FRAGMENTS = 0x2000
const OFFSET = 0x1fff
const TTL = 64
/** An ICMP error is no longer than this, IP header included (RFC 1812, 4.3.2.3; RFC 4443, 2.4 c). */
const LONGEST4 = 576
const LONGEST6 = 1280

/** Makes refusals. */
export class Rejector {
  readonly #pool: FramePool
  readonly #bucket: TokenBucket
  readonly #reset: boolean
  readonly #upper: ipv6.Upper = new ipv6.Upper()
  #id = 0
  /** Refusals that were made. */
  sent = 0
  /** Refusals that would have been one too many. */
  heldBack = 0

  /** Throws where an option makes no sense. */
  constructor(pool: FramePool, clock: Clock, options: RejectorOptions = {}) {
    const { tcp: how = 'unreachable', rate = 1000, burst = 50 } = options
    if (how !== 'unreachable' && how !== 'reset') {
      throw new TypeError(`tcp must be 'unreachable' or 'reset', not ${JSON.stringify(how)}`)
    }
    this.#pool = pool
    this.#bucket = new TokenBucket(clock, rate, burst)
    this.#reset = how === 'reset'
  }

  /**
   * A frame for the sender of `f`, whose IP packet starts at `l3` of the pool's bytes and has sound lengths; `NO_FRAME` where
   * none may be sent or there is no row. The ledger knows of it as originated here.
   * @param from4 our IPv4 address, from which an ICMP error comes; 0: the destination of the packet
   * @param from6 the same for IPv6, 16 bytes
   */
  answer(f: Frame, l3: number, from4 = 0, from6: Uint8Array | null = null): Frame | -1 {
    const pool = this.#pool
    const o = pool.off[f]
    const end = o + pool.len[f]
    if (l3 - o < eth.HLEN || l3 >= end || eth.isGroup(pool.bytes, o)) return NO_FRAME
    const version = pool.bytes[l3] >>> 4
    if (version !== 4 && version !== 6) return NO_FRAME
    const g = version === 4 ? this.#answer4(f, l3, end, from4) : this.#answer6(f, l3, end, from6)
    if (g !== NO_FRAME && pool.trace?.follows(f)) pool.trace.derived(f, g, 'NAT', 'refusal, told to the sender')
    return g
  }

  #answer4(f: Frame, l3: number, frameEnd: number, from: number): Frame | -1 {
    const b = this.#pool.bytes
    const l4 = ipv4.checkHeader(b, l3, frameEnd)
    if (l4 === -1) return NO_FRAME
    const end = Math.min(frameEnd, l3 + (ipv4.totalLength(b, l3) || frameEnd - l3))
    const fragment = u16(b, l3 + 6)
    if (end < l4 || (fragment & OFFSET) !== 0) return NO_FRAME
    const src = ipv4.src(b, l3)
    if (src === 0 || src >>> 28 >= 14 || src >>> 24 === 127 || b[l3 + ipv4.DST] >= 224) return NO_FRAME
    const protocol = ipv4.protocol(b, l3)
    if (protocol === ipv4.Protocol.Icmp && (end === l4 || !isQuery4(b[l4]))) return NO_FRAME
    if ((fragment & MORE_FRAGMENTS) === 0 && !this.#sound(f, l3, l4, end, protocol)) return NO_FRAME
    const reset = protocol === ipv4.Protocol.Tcp && this.#reset
    if (reset && !this.#mayReset(l4, end, (fragment & MORE_FRAGMENTS) !== 0)) return NO_FRAME
    const g = this.#frame(f, l3)
    if (g === NO_FRAME) return g
    const ip = this.#pool.off[g] + (l3 - this.#pool.off[f])
    const upper = ip + ipv4.HLEN
    const body = reset ? tcp.HLEN : this.#quote(g, l3, end, upper + icmp.HLEN, LONGEST4 - ipv4.HLEN - icmp.HLEN)
    // A reset has no TOS, DF and the id 0; an error the precedence of internetwork control (RFC 1812, 4.3.2.5).
    put16(b, ip, reset ? 0x4500 : 0x45c0 | (ipv4.tos(b, l3) & 0x1e))
    put16(b, ip + 2, ipv4.HLEN + (reset ? body : icmp.HLEN + body))
    put16(b, ip + 4, reset ? 0 : (this.#id = (this.#id + 1) & 0xffff))
    put16(b, ip + 6, reset ? ipv4.Flag.DontFragment : 0)
    put16(b, ip + ipv4.TTL, (TTL << 8) | (reset ? ipv4.Protocol.Tcp : ipv4.Protocol.Icmp))
    put32(b, ip + ipv4.SRC, reset || from === 0 ? ipv4.dst(b, l3) : from)
    put32(b, ip + ipv4.DST, src)
    ipv4.fillChecksum(b, ip)
    if (reset) this.#writeReset(ip, upper, l4, end)
    else {
      icmp.write(b, upper, icmp.Type.Unreachable, icmp.Unreachable.Port)
      icmp.fillChecksum(b, upper, upper + icmp.HLEN + body)
    }
    return this.#done(g, ip + ipv4.HLEN + (reset ? body : icmp.HLEN + body))
  }

  #answer6(f: Frame, l3: number, frameEnd: number, from: Uint8Array | null): Frame | -1 {
    const b = this.#pool.bytes
    const found = this.#upper
    if (ipv6.checkHeader(b, l3, frameEnd) === -1) return NO_FRAME
    const length = ipv6.payloadLength(b, l3)
    const end = length === 0 ? frameEnd : Math.min(frameEnd, l3 + ipv6.HLEN + length)
    if (b[l3 + ipv6.SRC] === 0xff || b[l3 + ipv6.DST] === 0xff || noHost6(b, l3 + ipv6.SRC)) return NO_FRAME
    if (!ipv6.upper(b, l3, end, found) || found.fragmentOffset !== 0) return NO_FRAME
    const { protocol, offset: l4, more } = found
    if (protocol === ipv4.Protocol.Icmpv6 && (l4 >= end || b[l4] < 128 || b[l4] === icmpv6.Type.Redirect))
      return NO_FRAME
    if (!more && !this.#sound(f, l3, l4, end, protocol)) return NO_FRAME
    const reset = protocol === ipv4.Protocol.Tcp && this.#reset
    if (reset && !this.#mayReset(l4, end, more)) return NO_FRAME
    const g = this.#frame(f, l3)
    if (g === NO_FRAME) return g
    const ip = this.#pool.off[g] + (l3 - this.#pool.off[f])
    const upper = ip + ipv6.HLEN
    const quoted = reset ? 0 : this.#quote(g, l3, end, upper + icmpv6.HLEN, LONGEST6 - ipv6.HLEN - icmpv6.HLEN)
    const body = reset ? tcp.HLEN : icmpv6.HLEN + quoted
    put32(b, ip, 0x6000_0000)
    put16(b, ip + 4, body)
    put16(b, ip + ipv6.NEXT_HEADER, ((reset ? ipv4.Protocol.Tcp : ipv4.Protocol.Icmpv6) << 8) | TTL)
    if (reset || from === null) copy(b, ip + ipv6.SRC, b, l3 + ipv6.DST, 16)
    else copy(b, ip + ipv6.SRC, from, 0, 16)
    copy(b, ip + ipv6.DST, b, l3 + ipv6.SRC, 16)
    if (reset) this.#writeReset(ip, upper, l4, end)
    else {
      icmpv6.write(b, upper, icmpv6.Type.Unreachable, PORT_UNREACHABLE6)
      icmpv6.fillChecksum(b, ip, upper, upper + body)
    }
    return this.#done(g, upper + body)
  }

  /** Whether the checksum of the packet is right, as far as it can be seen: a refusal of what was never sent so would only
   * confuse. */
  #sound(f: Frame, l3: number, l4: number, end: number, protocol: number): boolean {
    if ((this.#pool.flags[f] & CHECKSUM_NOT_NEEDED) !== 0) return true
    const b = this.#pool.bytes
    const n = end - l4
    switch (protocol) {
      case ipv4.Protocol.Tcp:
        return n >= tcp.HLEN && checksum.sum(b, l4, end, checksum.pseudo(b, l3, protocol, n)) === 0xffff
      case ipv4.Protocol.Udp:
        if (n < udp.HLEN) return false
        if (u16(b, l4 + udp.CHECKSUM) === 0) return b[l3] >>> 4 === 4
        return checksum.sum(b, l4, end, checksum.pseudo(b, l3, protocol, n)) === 0xffff
      default:
        return true
    }
  }

  #mayReset(l4: number, end: number, fragment: boolean): boolean {
    const b = this.#pool.bytes
    return !fragment && tcp.check(b, l4, end) !== -1 && (tcp.flags(b, l4) & tcp.Flag.Rst) === 0
  }

  /** A reset about the segment at `l4` (RFC 9293, 3.5.2): with its acknowledgement number if it has one, else
   * acknowledging all of it. */
  #writeReset(ip: number, at: number, l4: number, end: number): void {
    const b = this.#pool.bytes
    const flags = tcp.flags(b, l4)
    const acks = (flags & tcp.Flag.Ack) !== 0
    const length = end - l4 - tcp.headerLength(b, l4) + ((flags & tcp.Flag.Syn) >>> 1) + (flags & tcp.Flag.Fin)
    put32(b, at, ((u16(b, l4 + tcp.DST_PORT) << 16) | u16(b, l4)) >>> 0)
    put32(b, at + tcp.SEQ, acks ? u32(b, l4 + tcp.ACK) : 0)
    put32(b, at + tcp.ACK, acks ? 0 : (tcp.seq(b, l4) + length) >>> 0)
    put16(b, at + 12, ((tcp.HLEN >>> 2) << 12) | tcp.Flag.Rst | (acks ? 0 : tcp.Flag.Ack))
    put16(b, at + 14, 0)
    put32(b, at + tcp.CHECKSUM, 0)
    tcp.fillChecksum(b, ip, at, at + tcp.HLEN)
  }

  /** A frame with the link header of `f`, the addresses crosswise. */
  #frame(f: Frame, l3: number): Frame | -1 {
    if (!this.#bucket.take()) {
      this.heldBack++
      return NO_FRAME
    }
    const pool = this.#pool
    const g = pool.alloc()
    if (g === NO_FRAME) return g
    const b = pool.bytes
    const o = pool.off[f]
    if (pool.room(g) < l3 - o + ipv6.HLEN + tcp.HLEN) {
      pool.release(g)
      return NO_FRAME
    }
    const at = pool.off[g]
    copy(b, at, b, o + eth.SRC, 6)
    copy(b, at + eth.SRC, b, o, 6)
    copy(b, at + eth.TYPE, b, o + eth.TYPE, l3 - o - eth.TYPE)
    return g
  }

  /** Copies the packet behind the ICMP header at `at` and says how much of it. */
  #quote(g: Frame, l3: number, end: number, at: number, most: number): number {
    const pool = this.#pool
    const room = pool.frameSize - (at - pool.off[g])
    const n = Math.max(0, Math.min(end - l3, most, room))
    pool.bytes.copyWithin(at, l3, l3 + n)
    return n
  }

  #done(g: Frame, end: number): Frame {
    const pool = this.#pool
    pool.len[g] = end - pool.off[g]
    pool.ledger.originate(1)
    this.sent++
    return g
  }
}

const PORT_UNREACHABLE6 = 4

/** Whether an ICMP message is a question or its answer: about anything else, which may be an error, nothing is said. */
function isQuery4(type: number): boolean {
  return type === 0 || type === 8 || (type >= 13 && type <= 18)
}

/** Whether the 16 bytes at `at` are :: or ::1. */
function noHost6(b: Uint8Array, at: number): boolean {
  return u32(b, at) === 0 && u32(b, at + 4) === 0 && u32(b, at + 8) === 0 && u32(b, at + 12) <= 1
}
