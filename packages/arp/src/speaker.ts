import { Drop, type Frame, type FramePool, NO_FRAME } from '@l2l3/switch-core'
import { arp, copy, eth, icmpv6, ipv4, ipv6 } from '@l2l3/switch-core/wire'
import { isUnspecified } from './address.ts'
import type { Message } from './message.ts'

/*
 * How an interface speaks ARP and ND: each message is written into a fresh row of the pool, entered in the ledger as
 * originated, and pushed. Nothing is padded: a wire's port does that.
 *
 *     ARP                      14 + 28 = 42 bytes
 *     ND, with its option      14 + 40 + 24 + 8 = 86 bytes; without, in duplicate address detection, 78
 */

/** Takes frames: a `Link`, most of the time. */
export interface FrameSink {
  push(f: Frame): void
}

/** Bytes of the longest message that is made here. */
const LONGEST = 86
/** Solicited-node multicast address without its last three bytes (RFC 4291, 2.7.1). */
const SOLICITED_NODE = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 0)
/** ff02::1. Not to be written to. */
export const ALL_NODES: Uint8Array = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)

/** Makes ARP and ND messages with one MAC as their sender's, and pushes them. */
export class Speaker {
  readonly pool: FramePool
  readonly mac: Uint8Array
  readonly out: FrameSink
  /** Messages that were made. */
  sent = 0
  /** Messages that were wanted and not made, the pool being spent; they are in the ledger as `PoolSpent`. */
  unsent = 0
  readonly #dst = new Uint8Array(6)
  /* Because of which frame the next message is made, where somebody traces. */
  #from: number = NO_FRAME
  #by = ''
  #why = ''
  readonly #ip = {
    src: new Uint8Array(16),
    dst: new Uint8Array(16),
    nextHeader: ipv4.Protocol.Icmpv6,
    payload: 0,
    hopLimit: 255,
  }
  readonly #target = new Uint8Array(16)

  /** Throws a RangeError where frames of the pool are too short for a message. */
  constructor(pool: FramePool, mac: Uint8Array, out: FrameSink) {
    if (pool.frameSize < LONGEST) {
      throw new RangeError(
        `frameSize of the pool must be ${LONGEST} or more for neighbour discovery, not ${pool.frameSize}`,
      )
    }
    this.pool = pool
    this.mac = mac
    this.out = out
  }

  /** Says because of which frame the next message is made, for who traces; `NO_FRAME`: because of none. */
  because(f: Frame | -1, by: string, why: string): void {
    this.#from = f !== NO_FRAME && this.pool.trace?.follows(f as Frame) ? f : NO_FRAME
    this.#by = by
    this.#why = why
  }

  /** Asks who has `tpa`: everybody, or one station whose MAC is at `at` in `to`. A probe (RFC 5227) has `spa` 0, an
   * announcement has `spa` equal to `tpa`. */
  ask4(spa: number, tpa: number, to: Uint8Array = eth.BROADCAST, at = 0): void {
    const f = this.#alloc()
    if (f === NO_FRAME) return
    const { bytes, off } = this.pool
    copy(this.#dst, 0, to, at, 6)
    const l3 = eth.write(bytes, off[f], this.#dst, this.mac, eth.EtherType.Arp)
    this.#finish(f as Frame, arp.write(bytes, l3, arp.Op.Request, this.mac, spa, null, tpa), this.out)
  }

  /** Answers the ARP request at `request` in `b`: what it asked for is at `mac`. Goes to the asker alone, whatever the
   * request's own addresses were; in an answer to a probe, tpa is 0.0.0.0 as spa was. */
  answer4(b: Uint8Array, request: number, mac: Uint8Array = this.mac, out: FrameSink = this.out): void {
    const f = this.#alloc()
    if (f === NO_FRAME) return
    const { bytes, off } = this.pool
    copy(this.#dst, 0, b, request + arp.SHA, 6)
    const l3 = eth.write(bytes, off[f], this.#dst, mac, eth.EtherType.Arp)
    copy(bytes, l3, b, request, arp.LENGTH)
    arp.answer(bytes, l3, mac)
    this.#finish(f as Frame, l3 + arp.LENGTH, out)
  }

  /** Asks who has the address at `at` in `target` (RFC 4861, 7.2.2): its solicited-node group, or one station, whose
   * MAC is at `macAt` in `to`. `src` `::` makes it a probe for duplicates (RFC 4862, 5.4.2), without the sender's
   * MAC. */
  ask6(src: Uint8Array, target: Uint8Array, at: number, to: Uint8Array | null = null, macAt = 0): void {
    const f = this.#alloc()
    if (f === NO_FRAME) return
    const ip = this.#ip
    copy(this.#target, 0, target, at, 16)
    copy(ip.src, 0, src, 0, 16)
    if (to === null) {
      copy(ip.dst, 0, SOLICITED_NODE, 0, 13)
      copy(ip.dst, 13, target, at + 13, 3)
      groupMac(this.#dst, ip.dst)
    } else {
      copy(ip.dst, 0, target, at, 16)
      copy(this.#dst, 0, to, macAt, 6)
    }
    const probe = isUnspecified(src, 0)
    ip.payload = probe ? 24 : 32
    const l3 = eth.write(this.pool.bytes, this.pool.off[f], this.#dst, this.mac, eth.EtherType.IPv6)
    const l4 = ipv6.write(this.pool.bytes, l3, ip)
    const end = icmpv6.writeNs(this.pool.bytes, l4, this.#target, probe ? null : this.mac)
    icmpv6.fillChecksum(this.pool.bytes, l3, l4, end)
    this.#finish(f as Frame, end, this.out)
  }

  /**
   * Answers a neighbour solicitation: what it asked for is at `mac`. To the asker with S set, or, where the asker's
   * address is unspecified, to all nodes with S clear (RFC 4861, 7.2.4).
   * @param src the answer's source address; null: what was asked for
   * @param flags R and O of `NaFlag`
   */
  answer6(
    b: Uint8Array,
    m: Message,
    flags: number,
    src: Uint8Array | null = null,
    mac: Uint8Array = this.mac,
    out: FrameSink = this.out,
  ): void {
    const f = this.#alloc()
    if (f === NO_FRAME) return
    const ip = this.#ip
    const target = m.at + icmpv6.TARGET
    copy(this.#target, 0, b, target, 16)
    if (src === null) copy(ip.src, 0, b, target, 16)
    else copy(ip.src, 0, src, 0, 16)
    const probe = isUnspecified(b, m.l3 + ipv6.SRC)
    if (probe) {
      copy(ip.dst, 0, ALL_NODES, 0, 16)
      groupMac(this.#dst, ip.dst)
    } else {
      copy(ip.dst, 0, b, m.l3 + ipv6.SRC, 16)
      // The frame's own source where the asker did not say: the Ethernet header ends at l3, there being no tags.
      copy(this.#dst, 0, b, m.lladdr !== -1 ? m.lladdr : m.l3 - eth.HLEN + eth.SRC, 6)
    }
    this.#advertise(f as Frame, mac, probe ? flags : flags | icmpv6.NaFlag.Solicited, out)
  }

  /** Tells all nodes where `address` is, unasked (RFC 4861, 7.2.6). */
  announce6(address: Uint8Array, flags: number): void {
    const f = this.#alloc()
    if (f === NO_FRAME) return
    copy(this.#target, 0, address, 0, 16)
    copy(this.#ip.src, 0, address, 0, 16)
    copy(this.#ip.dst, 0, ALL_NODES, 0, 16)
    groupMac(this.#dst, ALL_NODES)
    this.#advertise(f as Frame, this.mac, flags, this.out)
  }

  #advertise(f: Frame, mac: Uint8Array, flags: number, out: FrameSink): void {
    const { bytes, off } = this.pool
    this.#ip.payload = 32
    const l3 = eth.write(bytes, off[f], this.#dst, mac, eth.EtherType.IPv6)
    const l4 = ipv6.write(bytes, l3, this.#ip)
    const end = icmpv6.writeNa(bytes, l4, this.#target, mac, flags)
    icmpv6.fillChecksum(bytes, l3, l4, end)
    this.#finish(f, end, out)
  }

  #alloc(): number {
    const f = this.pool.alloc()
    if (f === NO_FRAME) {
      this.unsent++
      this.#from = NO_FRAME
      this.pool.ledger.originate(1)
      this.pool.ledger.drops[Drop.PoolSpent]++
    }
    return f
  }

  #finish(f: Frame, end: number, out: FrameSink): void {
    this.pool.len[f] = end - this.pool.off[f]
    this.pool.ledger.originate(1)
    this.sent++
    if (this.#from !== NO_FRAME) {
      this.pool.trace?.derived(this.#from as Frame, f, this.#by, this.#why)
      this.#from = NO_FRAME
    }
    out.push(f)
  }
}

/** Writes the MAC of an IPv6 multicast group (RFC 2464, 7). */
export function groupMac(to: Uint8Array, group: Uint8Array, at = 0): void {
  to[0] = to[1] = 0x33
  copy(to, 2, group, at + 12, 4)
}
