import type { Batch } from '../batch.ts'
import { Drop } from '../drop.ts'
import type { Element } from '../element.ts'
import { checkRange, type Frame, type FramePool, NO_FRAME } from '../frame-pool.ts'
import type { Link } from '../link.ts'
import type { Loop } from '../loop.ts'
import { AddressTable } from '../rewrite/address-table.ts'
import { Addressed, Kind } from '../rewrite/addressed.ts'
import { isMac, type MacWords, putMac, stationMac } from '../rewrite/mac-words.ts'
import { formatIpv4, formatIpv6 } from '../wire/address.ts'
import { u32 } from '../wire/bytes.ts'
import { HLEN } from '../wire/ethernet.ts'
import { decrementTtl, TTL } from '../wire/ipv4.ts'
import { HOP_LIMIT } from '../wire/ipv6.ts'
import * as explain from './explain.ts'

/*
 * ipvlan: several stations behind one MAC address, told apart by IP address (modes.md 13). All children have the parent's
 * MAC. In l3 and l3s it is written over whatever a child has as its source, and outside nobody sees another; in l2, as in
 * Linux, frames leave as the child wrote them, and a child that must not show another MAC needs a guard in front of it.
 *
 *   found by     IPv4, IPv6: destination       ARP: tpa       neighbour solicitation: target
 *
 *                                     l2                                     l3, l3s
 *   child sends  to a sibling         straight to it                         straight to it, TTL - 1
 *                to the parent's MAC  the parent, unless it is a sibling's   by IP address, as all else
 *                to a group           siblings and the wire                  dropped
 *                ARP                  as any other frame                     dropped: the child has no neighbours
 *                to anybody else      the wire                               the wire, by the gateway, TTL - 1
 *   wire brings  to a child           that child                             that child
 *                to a group           all children and the parent            the parent
 *                ARP                  by tpa; a broadcast to all             the parent
 *                else                 the parent                             the parent
 *
 * In l3 the parent's stack routes what children send, and each of its neighbours needs a route to the children. l3s is the
 * same with the parent's packet filter in the way of what comes in: an element in front of `ingress`. No ICMP error is
 * sent where the time to live is used up; a router proper does that.
 *
 * Linux 6 hands packets of an l3 child to its own output path without taking from the time to live (from reading);
 * `decrementTtl: false` does likewise.
 */

/** On which layer children are switched. */
export type IpvlanMode = 'l2' | 'l3' | 'l3s'

/** Settings of an ipvlan. */
export interface IpvlanOptions {
  /** The interface's MAC, which is every child's. */
  parentMac: string
  /** Default `l2`. */
  mode?: IpvlanMode
  /** In l3 and l3s: whom packets that leave by the wire are sent to. Default: the destination stays as the child wrote it,
   * for a router behind the wire's link to fill in. */
  gatewayMac?: string
  /** In l3 and l3s: whether a packet that a child sends has its time to live (hop limit) lowered by one. Default true. */
  decrementTtl?: boolean
  /** In l2: broadcasts and multicasts that wait to be copied at most; 1 to 65,536. Default 1,000. */
  broadcastQueue?: number
  /** Addresses of children at most. Default 4,096. */
  maxAddresses?: number
}

/** A child of an `Ipvlan`, and the element for the frames that it sends. */
export class IpvlanChild implements Element {
  /** Its number, from 0; used again after it is removed. */
  readonly index: number
  readonly ips: readonly string[]
  readonly link: Link
  readonly #owner: Ipvlan

  /** Use `Ipvlan.addChild`. */
  constructor(owner: Ipvlan, index: number, ips: readonly string[], link: Link) {
    this.#owner = owner
    this.index = index
    this.ips = ips
    this.link = link
  }

  process(batch: Batch): void {
    this.#owner.fromChild(batch, this)
  }
}

/** An interface that is shared by IP address. Frames from the wire enter by `ingress`. */
export class Ipvlan {
  /** Takes what comes in by the wire. */
  readonly ingress: Element
  /** Takes what the parent's own stack sends: all of it leaves by the wire. */
  readonly fromParent: Element
  readonly mode: IpvlanMode
  /** Which addresses are whose: numbers are the children's. */
  readonly addresses: AddressTable
  readonly #pool: FramePool
  readonly #wire: Link
  readonly #mac: MacWords
  readonly #gateway: MacWords | null
  readonly #decrement: boolean
  readonly #queue: Link
  readonly #found: Addressed = new Addressed()
  readonly #byIndex: (IpvlanChild | undefined)[] = []
  #targets: readonly IpvlanChild[] = []
  #toParent: Link | null = null

  /** @param wire leads to the interface */
  constructor(loop: Loop, wire: Link, options: IpvlanOptions) {
    this.mode = options.mode ?? 'l2'
    if (this.mode !== 'l2' && this.mode !== 'l3' && this.mode !== 'l3s') {
      throw new RangeError(`mode must be 'l2', 'l3' or 'l3s', not ${String(this.mode)}`)
    }
    this.#pool = loop.pool
    this.#checkPool(wire)
    this.#wire = wire
    this.#mac = stationMac('parentMac', options.parentMac)
    this.#gateway = options.gatewayMac === undefined ? null : stationMac('gatewayMac', options.gatewayMac)
    if (this.mode === 'l2' && (this.#gateway !== null || options.decrementTtl !== undefined)) {
      throw new RangeError('gatewayMac and decrementTtl are for the modes l3 and l3s, not l2')
    }
    this.#decrement = options.decrementTtl ?? true
    this.addresses = new AddressTable(checkRange('maxAddresses', options.maxAddresses ?? 4096, 1, 65_536))
    const capacity = checkRange('broadcastQueue', options.broadcastQueue ?? 1000, 1, 65_536)
    this.#queue = loop.link({ process: (batch) => this.#spread(batch) }, 'ipvlan broadcasts', capacity)
    this.ingress = { process: (batch) => this.#fromWire(batch) }
    this.fromParent = {
      process: (batch) => {
        for (let i = 0; i < batch.length; i++) wire.push(batch.frames[i] as Frame)
        batch.length = 0
      },
    }
  }

  /** Children, in order of their numbers. */
  get children(): readonly IpvlanChild[] {
    return this.#byIndex.filter((child) => child !== undefined)
  }

  /** Has what is for no child leave by `link`; without it such frames end as `UnknownEndpoint`. */
  attachParent(link: Link): void {
    if (this.#toParent !== null) throw new Error('ipvlan: the parent is attached already')
    this.#checkPool(link)
    this.#toParent = link
  }

  /** Takes the parent away: what would be its ends as `UnknownEndpoint` again. */
  detachParent(): void {
    this.#toParent = null
  }

  /** Adds a child whose frames leave by `link`, found by its addresses: gives the element for the frames that it sends.
   * Throws where an address is taken or wrong; then nothing has changed. */
  addChild(link: Link, options: { ips: readonly string[] }): IpvlanChild {
    this.#checkPool(link)
    let index = this.#byIndex.indexOf(undefined)
    if (index < 0) index = this.#byIndex.length
    const added: string[] = []
    try {
      for (const ip of options.ips) {
        this.addresses.add(ip, index)
        added.push(ip)
      }
    } catch (error) {
      for (const ip of added) this.addresses.delete(ip)
      throw error
    }
    const child = new IpvlanChild(this, index, added, link)
    this.#byIndex[index] = child
    this.#targets = this.children
    return child
  }

  /** Takes a child away, with its addresses. */
  removeChild(child: IpvlanChild): void {
    if (this.#byIndex[child.index] !== child) throw new Error(`ipvlan: not a child of this one: ${child.ips}`)
    for (const ip of child.ips) this.addresses.delete(ip)
    this.#byIndex[child.index] = undefined
    this.#targets = this.children
  }

  /** For `IpvlanChild`: what a child sends. */
  fromChild(batch: Batch, child: IpvlanChild): void {
    const pool = this.#pool
    const there = this.#byIndex[child.index] === child
    const l2 = this.mode === 'l2'
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      if (!there) pool.drop(f, Drop.PortDown)
      else if ((pool.len[f] as number) < HLEN) pool.drop(f, Drop.Runt)
      else if (l2) this.#sendL2(f, child)
      else this.#sendL3(f)
    }
    batch.length = 0
  }

  #sendL2(f: Frame, sender: IpvlanChild): void {
    const { bytes, data, off } = this.#pool
    const o = off[f] as number
    if (((bytes[o] as number) & 1) !== 0) {
      if (this.#pool.trace !== null) explain.byMac(this.#pool, f, 'ipvlan', 'to all siblings and the wire')
      this.#copies(f, sender, this.#wire)
    } else if (!isMac(data, o, this.#mac)) {
      if (this.#pool.trace !== null) explain.byMac(this.#pool, f, 'ipvlan', 'out by the wire')
      this.#wire.push(f)
    } else {
      const to = this.#find(f, o)
      if (this.#pool.trace !== null) this.#say(f, to, false)
      if (to !== undefined) to.link.push(f)
      else this.#parentOr(f, Drop.UnknownEndpoint)
    }
  }

  #sendL3(f: Frame): void {
    const pool = this.#pool
    const { bytes, data, off } = pool
    const found = this.#found
    let o = off[f] as number
    const to = this.#find(f, o)
    const { kind, l3 } = found
    if (kind === Kind.Arp) pool.drop(f, Drop.ArpFilter)
    else if (kind === Kind.None) pool.drop(f, Drop.BlockNonIp)
    else if (((bytes[o] as number) & 1) !== 0 || isGroup(kind, bytes[found.to] as number)) {
      pool.drop(f, Drop.BlockBroadcast)
    } else if (this.#decrement && (bytes[l3 + (kind === Kind.IPv4 ? TTL : HOP_LIMIT)] as number) <= 1) {
      pool.drop(f, Drop.TtlExceeded)
    } else {
      const g = pool.own(f)
      if (g === NO_FRAME) return
      const ip = (off[g] as number) + l3 - o
      o = off[g] as number
      if (this.#decrement) {
        if (kind === Kind.IPv4) decrementTtl(bytes, ip)
        else (bytes[ip + HOP_LIMIT] as number)--
      }
      putMac(data, o + 6, this.#mac)
      if (to !== undefined) putMac(data, o, this.#mac)
      else if (this.#gateway !== null) putMac(data, o, this.#gateway)
      if (pool.trace !== null) {
        found.to += ip - l3
        this.#say(g as Frame, to, true)
      }
      ;(to === undefined ? this.#wire : to.link).push(g as Frame)
    }
  }

  #fromWire(batch: Batch): void {
    const pool = this.#pool
    const { bytes, data, off, len } = pool
    const l2 = this.mode === 'l2'
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      const o = off[f] as number
      if ((len[f] as number) < HLEN) pool.drop(f, Drop.Runt)
      else if (((bytes[o] as number) & 1) !== 0) {
        if (l2) this.#queue.push(f)
        else this.#parentOr(f, Drop.BlockBroadcast)
      } else if (!isMac(data, o, this.#mac)) pool.drop(f, Drop.UnknownEndpoint)
      else {
        const to = this.#find(f, o)
        if (pool.trace !== null) this.#say(f, to, false)
        if (to !== undefined && (l2 || this.#found.kind !== Kind.Arp)) to.link.push(f)
        else this.#parentOr(f, Drop.UnknownEndpoint)
      }
    }
    batch.length = 0
  }

  /** Broadcasts and multicasts from the wire, in l2. What a child has sent and the switch outside has sent back has been
   * given to its siblings already. */
  #spread(batch: Batch): void {
    const { data, off } = this.#pool
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      const o = off[f] as number
      if (isMac(data, o + 6, this.#mac) && this.#isFromChild(f, o)) this.#parentOr(f, Drop.SamePort)
      else this.#copies(f, undefined, this.#toParent)
    }
    batch.length = 0
  }

  /** Says whose the address is that the frame is for. */
  #say(f: Frame, to: IpvlanChild | undefined, routed: boolean): void {
    const pool = this.#pool
    if (!pool.trace?.follows(f)) return
    const { kind, to: at } = this.#found
    if (kind === Kind.None) explain.byMac(pool, f, 'ipvlan', 'no IP packet: to the parent')
    else {
      const address = kind === Kind.IPv6 ? formatIpv6(pool.bytes, at) : formatIpv4(u32(pool.bytes, at))
      const whose = to !== undefined ? `child ${to.index}` : routed ? 'no child, so out by the wire' : 'no child'
      explain.byAddress(pool, f, address, routed && this.#decrement ? `${whose}, TTL lowered by one` : whose, routed)
    }
  }

  /** Finds the child that a frame is for; `#found` says what the frame is. */
  #find(f: Frame, o: number): IpvlanChild | undefined {
    const { bytes, len } = this.#pool
    const kind = this.#found.find(bytes, o, o + (len[f] as number))
    if (kind === Kind.None) return undefined
    const { to } = this.#found
    const owner = kind === Kind.IPv6 ? this.addresses.find6(bytes, to) : this.addresses.find4(bytes, to)
    return owner === -1 ? undefined : this.#byIndex[owner]
  }

  #isFromChild(f: Frame, o: number): boolean {
    const { bytes, len } = this.#pool
    const kind = this.#found.find(bytes, o, o + (len[f] as number))
    if (kind === Kind.None) return false
    const { from } = this.#found
    return (kind === Kind.IPv6 ? this.addresses.find6(bytes, from) : this.addresses.find4(bytes, from)) !== -1
  }

  /** Gives a frame to all children but `sender`, and to `last`. */
  #copies(f: Frame, sender: IpvlanChild | undefined, last: Link | null): void {
    const targets = this.#targets
    const n = targets.length - (sender === undefined ? 0 : 1) + (last === null ? 0 : 1)
    if (n === 0) {
      this.#pool.drop(f, Drop.UnknownEndpoint)
      return
    }
    if (n > 1) this.#pool.share(f, n - 1)
    for (let i = 0; i < targets.length; i++) if (targets[i] !== sender) (targets[i] as IpvlanChild).link.push(f)
    last?.push(f)
  }

  #checkPool(link: Link): void {
    if (link.pool !== this.#pool) throw new Error(`ipvlan: link ${link.name} has another frame pool than the loop`)
  }

  #parentOr(f: Frame, why: Drop): void {
    if (this.#toParent === null) this.#pool.drop(f, why)
    else this.#toParent.push(f)
  }
}

/** Whether the first byte of an IP address says that it is a group's, or IPv4's broadcast. */
function isGroup(kind: number, first: number): boolean {
  return kind === Kind.IPv6 ? first === 0xff : first >= 224
}
