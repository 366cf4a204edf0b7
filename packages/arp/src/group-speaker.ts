import { Drop, type Frame, type FramePool, NO_FRAME } from '@l2l3/switch-core'
import { copy, eth, icmpv6, igmp, ipv4, ipv6, mld } from '@l2l3/switch-core/wire'
import { type FrameSink, groupMac } from './speaker.ts'

/*
 * How an interface says which groups it is in: each message is a fresh row of the pool, entered in the ledger as originated.
 *
 *     IGMP     Ethernet | IPv4, TTL 1, router alert (24) | IGMP (8)                                      46 bytes
 *     MLD      Ethernet | IPv6, hop limit 1 (40) | hop-by-hop: router alert (8) | MLD (24)               86 bytes
 *
 * A report goes to the group itself, a leave to all routers: 224.0.0.2, ff02::2 (RFC 2236, 9; RFC 2710, 8).
 */

/** Bytes of the longest message that is made here. */
const LONGEST = 86
const ALL_ROUTERS4 = 0xe000_0002
const ALL_ROUTERS6 = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2)

/** Makes IGMP and MLD messages with one MAC as their sender's, and pushes them. */
export class GroupSpeaker {
  /** Messages that were made. */
  sent = 0
  readonly #pool: FramePool
  readonly #mac: Uint8Array
  readonly #out: FrameSink
  readonly #src4: number
  readonly #dst = new Uint8Array(6)
  readonly #ip6: { src: Uint8Array; dst: Uint8Array; nextHeader: number; payload: number; hopLimit: number }

  /**
   * Throws a RangeError where frames of the pool are too short for a message.
   * @param src4 source of IGMP; 0 where the interface has no address (RFC 3376, 4.2.13)
   * @param src6 source of MLD: its link-local address, or `::` (RFC 3590)
   */
  constructor(pool: FramePool, mac: Uint8Array, out: FrameSink, src4: number, src6: Uint8Array) {
    if (pool.frameSize < LONGEST) {
      throw new RangeError(`frameSize of the pool must be ${LONGEST} or more for MLD, not ${pool.frameSize}`)
    }
    this.#pool = pool
    this.#mac = mac
    this.#out = out
    this.#src4 = src4
    const payload = mld.ROUTER_ALERT.length + mld.HLEN
    this.#ip6 = { src: src6, dst: new Uint8Array(16), nextHeader: ipv4.Protocol.HopByHop, payload, hopLimit: 1 }
  }

  /** Says that the interface is in an IPv4 group, in version 1 or 2 of IGMP. */
  report4(group: number, version1: boolean): void {
    this.#say4(version1 ? igmp.Type.Report1 : igmp.Type.Report, group, group)
  }

  /** Says that it is no more. */
  leave4(group: number): void {
    this.#say4(igmp.Type.Leave, group, ALL_ROUTERS4)
  }

  /** Says that the interface is in the IPv6 group. */
  report6(group: Uint8Array): void {
    this.#say6(mld.Type.Report, group, group)
  }

  /** Says that it is no more. */
  leave6(group: Uint8Array): void {
    this.#say6(mld.Type.Done, group, ALL_ROUTERS6)
  }

  #say4(type: number, group: number, dst: number): void {
    const f = this.#alloc()
    if (f === NO_FRAME) return
    const { bytes, off } = this.#pool
    igmp.groupMac(this.#dst, 0, dst)
    const l3 = eth.write(bytes, off[f] as number, this.#dst, this.#mac, eth.EtherType.IPv4)
    const l4 = ipv4.write(bytes, l3, {
      ...{ src: this.#src4, dst, protocol: ipv4.Protocol.Igmp, payload: igmp.HLEN, ttl: 1 },
      options: igmp.ROUTER_ALERT,
    })
    this.#finish(f as Frame, igmp.write(bytes, l4, type, group))
  }

  #say6(type: number, group: Uint8Array, dst: Uint8Array): void {
    const f = this.#alloc()
    if (f === NO_FRAME) return
    const { bytes, off } = this.#pool
    groupMac(this.#dst, dst)
    copy(this.#ip6.dst, 0, dst, 0, 16)
    const l3 = eth.write(bytes, off[f] as number, this.#dst, this.#mac, eth.EtherType.IPv6)
    const alert = ipv6.write(bytes, l3, this.#ip6)
    copy(bytes, alert, mld.ROUTER_ALERT, 0, mld.ROUTER_ALERT.length)
    const l4 = alert + mld.ROUTER_ALERT.length
    const end = mld.write(bytes, l4, type, group)
    icmpv6.fillChecksum(bytes, l3, l4, end)
    this.#finish(f as Frame, end)
  }

  #alloc(): number {
    const f = this.#pool.alloc()
    if (f === NO_FRAME) {
      this.#pool.ledger.originate(1)
      this.#pool.ledger.drops[Drop.PoolSpent]++
    }
    return f
  }

  #finish(f: Frame, end: number): void {
    this.#pool.len[f] = end - (this.#pool.off[f] as number)
    this.#pool.ledger.originate(1)
    this.sent++
    this.#out.push(f)
  }
}
