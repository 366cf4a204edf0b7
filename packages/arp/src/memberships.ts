import {
  type Batch,
  type Clock,
  Drop,
  type Element,
  type Frame,
  type FramePool,
  MILLISECOND,
  SECOND,
  type Ticker,
} from '@l2l3/switch-core'
import { equal, eth, icmpv6, igmp, ipv4, ipv6, mld, u16 } from '@l2l3/switch-core/wire'
import { type Address, formatAddress, macSeed, parseAddress, parseStationMac } from './address.ts'
import { type Dice, seededDice } from './dice.ts'
import { GroupSpeaker } from './group-speaker.ts'
import type { FrameSink } from './speaker.ts'

/*
 * The multicast groups of an interface, and how its switches and routers hear of them: IGMPv2 (RFC 2236) and MLDv1
 * (RFC 2710), which routers of IGMPv3 and MLDv2 understand (RFC 3376, 7.3.2; RFC 3810, 8.3.2).
 *
 *     join ──> report, and another within 10 s ──> silent <──────────────────────── report
 *                                                    │ query: of all, of this group       ^
 *                                                    └── waits: at random, up to what it asks for
 *     leave ──> leave
 *
 * A switch that snoops sends a group's frames only to where it was reported. Without a querier it floods them; with one, who
 * does not answer gets none: that goes for the solicited-node groups of IPv6 addresses too (RFC 4861, 7.2.1), by which
 * neighbours ask.
 *
 * What is not done: nobody's report keeps ours back. RFC 2236 (3) has it so to save messages; switches that snoop must hear
 * every member, and later versions do without (RFC 3376, appendix A.2).
 */

/** Settings of an interface's memberships. */
export interface MembershipOptions {
  /** MAC of the interface. */
  mac: string
  /** Where messages go. */
  out: FrameSink
  /** Addresses of the interface, with prefix. Its first IPv4 one, and its link-local one, are the sources; `0.0.0.0` and `::`
   * where it has none. */
  addresses?: readonly string[]
  /** Dice for delays. Default: seeded by the MAC. */
  random?: Dice
}

/** What memberships have counted. */
export interface MembershipCounters {
  /** Reports and leaves that were sent. */
  readonly sent: number
  /** Queries that were heard. */
  readonly queries: number
  /** Queries that every receiver must ignore: dropped as `Malformed`. */
  readonly malformed: number
}

/** A group, how often it was joined, and when the next report is due. */
interface Membership {
  readonly group: Address
  users: number
  due: number
  /** Reports that nobody asks for, yet to be sent. */
  unasked: number
}

const NEVER = Number.POSITIVE_INFINITY
/** RFC 2236 8.10, RFC 2710 7.10. */
const UNSOLICITED_REPORT_INTERVAL = 10 * SECOND
/** RFC 2236, 8.11. */
const VERSION_1_ROUTER_PRESENT = 400 * SECOND
/** Always taken, never reported (RFC 2236, 6; RFC 2710, 5). */
const ALL_SYSTEMS = 0xe000_0001

/** Keeps an interface in multicast groups. Have the loop call `tick` every 100 ms or so. */
export class Memberships implements Ticker {
  /** Takes what comes in by the interface: hears queries, lets everything else through. */
  readonly input: Element
  readonly #pool: FramePool
  readonly #clock: Clock
  readonly #dice: Dice
  readonly #speaker: GroupSpeaker
  readonly #list: Membership[] = []
  readonly #n = { queries: 0, malformed: 0 }
  readonly #upper = new ipv6.Upper()
  /** Until then a router of version 1 is taken to be there. */
  #version1 = 0
  /** No report is due before. */
  #next = NEVER

  /** Throws where a setting makes no sense. */
  constructor(pool: FramePool, clock: Clock, options: MembershipOptions) {
    this.#pool = pool
    this.#clock = clock
    const mac = parseStationMac('mac', options.mac)
    this.#dice = options.random ?? seededDice(macSeed(mac))
    const own = (options.addresses ?? []).map((text) => parseAddress('addresses', text))
    const src4 = own.find((a) => a.family === 4)?.v4 ?? 0
    const src6 = own.find(({ v6: [a = 0, b = 0] }) => a === 0xfe && (b & 0xc0) === 0x80)?.v6 ?? new Uint8Array(16)
    this.#speaker = new GroupSpeaker(pool, mac, options.out, src4, src6)
    this.input = { process: (batch) => this.#hear(batch) }
  }

  get counters(): MembershipCounters {
    return { ...this.#n, sent: this.#speaker.sent }
  }

  /** The groups that it is in. */
  get groups(): readonly string[] {
    return this.#list.map(({ group: g }) => formatAddress(g.family, g.v4, g.v6))
  }

  /** Joins a group; as often as it is joined it has to be left. Throws a TypeError where it is none. */
  join(text: string): void {
    const group = parseGroup(text)
    const there = this.#find(group)
    if (there !== undefined) {
      there.users++
      return
    }
    this.#list.push({ group, users: 1, due: this.#clock.now, unasked: 2 })
    this.#next = 0
  }

  /** Joins the solicited-node group of an IPv6 address (RFC 4291, 2.7.1); of an IPv4 address there is none. */
  joinSolicitedNode(address: string): void {
    const group = solicitedNode(address)
    if (group !== null) this.join(group)
  }

  /** Leaves the solicited-node group of an IPv6 address; false where it is not in it. */
  leaveSolicitedNode(address: string): boolean {
    const group = solicitedNode(address)
    return group !== null && this.leave(group)
  }

  /** Leaves a group; false where it is not in it. */
  leave(text: string): boolean {
    const group = parseGroup(text)
    const there = this.#find(group)
    if (there === undefined) return false
    if (--there.users > 0) return true
    this.#list.splice(this.#list.indexOf(there), 1)
    this.#sayLeave(there.group)
    return true
  }

  /** Leaves all groups. */
  close(): void {
    for (const { group } of this.#list.splice(0)) this.#sayLeave(group)
  }

  /** Sends reports that are due. */
  tick(now: number): void {
    if (now < this.#next) return
    this.#next = NEVER
    for (const m of this.#list) {
      if (m.due <= now) {
        this.#report(m.group, now)
        if (m.unasked > 0) m.unasked--
        m.due = m.unasked > 0 ? now + this.#dice() * UNSOLICITED_REPORT_INTERVAL : NEVER
      }
      if (m.due < this.#next) this.#next = m.due
    }
  }

  #report(group: Address, now: number): void {
    if (!isReported(group)) return
    if (group.family === 4) this.#speaker.report4(group.v4, now < this.#version1)
    else this.#speaker.report6(group.v6)
  }

  #sayLeave(group: Address): void {
    if (!isReported(group)) return
    if (group.family === 6) this.#speaker.leave6(group.v6)
    // A router of version 1 knows no leave (RFC 2236, 4).
    else if (this.#clock.now >= this.#version1) this.#speaker.leave4(group.v4)
  }

  #find(group: Address): Membership | undefined {
    return this.#list.find(
      ({ group: g }) => g.family === group.family && g.v4 === group.v4 && equal(g.v6, 0, group.v6, 0, g.v6.length),
    )
  }

  #hear(batch: Batch): void {
    const { frames, length } = batch
    let kept = 0
    for (let i = 0; i < length; i++) {
      const f = frames[i] as Frame
      if (!this.#take(f)) frames[kept++] = f
    }
    batch.length = kept
  }

  /** False where the frame is no query. */
  #take(f: Frame): boolean {
    const { bytes: b, off, len } = this.#pool
    const o = off[f] as number
    const end = o + (len[f] as number)
    if (end - o < eth.HLEN || !eth.isGroup(b, o)) return false
    const type = u16(b, o + eth.TYPE)
    if (type === eth.EtherType.IPv4) return this.#take4(f, b, o + eth.HLEN, end)
    return type === eth.EtherType.IPv6 && this.#take6(f, b, o + eth.HLEN, end)
  }

  #take4(f: Frame, b: Uint8Array, l3: number, frameEnd: number): boolean {
    const at = ipv4.check(b, l3, frameEnd)
    if (at === -1 || ipv4.protocol(b, l3) !== ipv4.Protocol.Igmp || ipv4.isFragment(b, l3)) return false
    const end = l3 + ipv4.totalLength(b, l3)
    if (at === end || igmp.type(b, at) !== igmp.Type.Query) return false
    if (!igmp.check(b, at, end) || !igmp.checksumOk(b, at, end)) return this.#refuse(f)
    const { now } = this.#clock
    const tenths = igmp.maxResponse(b, at, end)
    if (tenths === 0 && end - at === igmp.HLEN) this.#version1 = now + VERSION_1_ROUTER_PRESENT
    const max = (tenths === 0 && end - at === igmp.HLEN ? 100 : tenths) * 100 * MILLISECOND
    const group = igmp.group(b, at)
    for (let i = 0; i < this.#list.length; i++) {
      const m = this.#list[i] as Membership
      if (m.group.family === 4 && (group === 0 || group === m.group.v4)) this.#answer(m, now, max)
    }
    return this.#consume(f)
  }

  #take6(f: Frame, b: Uint8Array, l3: number, frameEnd: number): boolean {
    const alert = ipv6.check(b, l3, frameEnd)
    if (alert === -1 || ipv6.nextHeader(b, l3) !== ipv4.Protocol.HopByHop) return false
    const end = alert + ipv6.payloadLength(b, l3)
    const upper = this.#upper
    if (!ipv6.upper(b, l3, end, upper)) return false
    const at = upper.offset
    if (upper.protocol !== ipv4.Protocol.Icmpv6 || upper.fragment !== -1 || at === end) return false
    if (icmpv6.type(b, at) !== mld.Type.Query) return false
    const fromLink = b[l3 + ipv6.SRC] === 0xfe && ((b[l3 + ipv6.SRC + 1] as number) & 0xc0) === 0x80
    // RFC 3810, 6.2.
    if (!fromLink || ipv6.hopLimit(b, l3) !== 1 || !mld.hasRouterAlert(b, alert, end) || !mld.check(b, at, end)) {
      return this.#refuse(f)
    }
    // As of ND: a port that speaks virtio-net may hand over a checksum that is not finished, or one that it vouches for.
    if (((this.#pool.flags[f] as number) & 3) === 0 && !icmpv6.checksumOk(b, l3, at, end)) return this.#refuse(f)
    const { now } = this.#clock
    const max = mld.maxResponse(b, at, end) * MILLISECOND
    const general = b[at + mld.GROUP] !== 0xff
    for (let i = 0; i < this.#list.length; i++) {
      const m = this.#list[i] as Membership
      if (m.group.family === 6 && (general || equal(b, at + mld.GROUP, m.group.v6, 0, 16))) this.#answer(m, now, max)
    }
    return this.#consume(f)
  }

  /** Has a report be sent within `max`, unless one is due by then (RFC 2236, 3). */
  #answer(m: Membership, now: number, max: number): void {
    if (m.due <= now + max) return
    m.due = now + this.#dice() * max
    if (m.due < this.#next) this.#next = m.due
  }

  #refuse(f: Frame): true {
    this.#n.malformed++
    this.#pool.drop(f, Drop.Malformed)
    return true
  }

  #consume(f: Frame): true {
    this.#n.queries++
    this.#pool.drop(f, Drop.Consumed)
    return true
  }
}

/** Reads a group's address. */
function parseGroup(text: string): Address {
  const group = parseAddress('group', text)
  const is = group.family === 4 ? group.v4 >>> 28 === 14 : group.v6[0] === 0xff
  if (!is || text.includes('/')) throw new TypeError(`group: ${JSON.stringify(text)} is not a multicast group`)
  return group
}

/** Whether others hear of a membership: not of all nodes, nor where it does not leave the interface (RFC 3810, 6). */
function isReported({ family, v4, v6 }: Address): boolean {
  if (family === 4) return v4 !== ALL_SYSTEMS
  const scope = (v6[1] as number) & 15
  return scope > 1 && !(scope === 2 && v6[15] === 1 && v6.subarray(2, 15).every((byte) => byte === 0))
}

/** The solicited-node group of an IPv6 address; null for an IPv4 address. Throws a TypeError for what is neither. */
function solicitedNode(address: string): string | null {
  const { family, v6 } = parseAddress('address', address)
  return family === 6 ? `ff02::1:ff${hex(v6[13])}:${hex(v6[14])}${hex(v6[15])}` : null
}

function hex(byte: number | undefined): string {
  return (byte ?? 0).toString(16).padStart(2, '0')
}
