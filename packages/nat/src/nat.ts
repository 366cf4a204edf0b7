import {
  type Clock,
  checkRange,
  Drop,
  type Frame,
  type FramePool,
  type Link,
  type Loop,
  MILLISECOND,
  NO_FRAME,
  type RouterGate,
  type RouterInterface,
  type Ticker,
} from '@l2l3/switch-core'
import { ipv6 } from '@l2l3/switch-core/wire'
import { Addresses6 } from './addresses6.ts'
import { Conntrack, Verdict } from './conntrack/conntrack.ts'
import { NO_FLOW } from './conntrack/flow-table.ts'
import { type FlowInfo, flowInfo, listFlows } from './conntrack/listing.ts'
import * as R from './conntrack/record.ts'
import { FlowEvents, type FlowWatcher } from './conntrack/watch.ts'
import { Explain } from './explain.ts'
import { Fragments, type FragmentWaiter, Turn } from './fragments/fragments.ts'
import { clampMss, mssOf } from './mss.ts'
import type { NatOptions, SideOptions } from './options.ts'
import { seededDice32 } from './outbound/port-search.ts'
import type { FlowEnder, StandingFlow } from './policy.ts'
import { Errors } from './translate/errors.ts'
import { type FastRun, fastRun } from './translate/fast-run.ts'
import { DESTINATION, rewrite, SOURCE } from './translate/halves.ts'
import { NewFlows, OPENED, type Transposition, UNTRACKED } from './translate/new-flows.ts'
import { endStanding } from './translate/standing.ts'
import { wasmRun } from './translate/wasm-run.ts'
import { IPV6, Place, Proto, QUERY, Read, readTuple, Tuple } from './tuple.ts'

/*
 * The NAT: finds the flow of each packet, and translates it in two halves.
 *
 *     in -> arrive: whose flow is it?  -> new: destination policies    destination half: to the other tuple's source
 *                                      -> known: state, time, counts
 *     routing
 *        -> leave:                     -> new: source policies, table  source half: to the other tuple's destination
 *
 * A router calls it as its gate (`arrived`, `leaving`); where there is no routing between, a `Passage` does both at once
 * (passage.ts). Between the halves one packet is under way, no more: either it leaves before the next one arrives, or it never
 * does. Which row it is in and whose it is are remembered for that long; a row that was dropped and is another packet's now has
 * nothing from before.
 *
 *     what     | who: flow << 1 | direction | what it is |      0: the packet belongs to no flow
 *               31                         2 1          0
 *
 * Beside whole packets of a flow there are fragments, of which only the first says whose they are (fragments/), and ICMP errors,
 * which belong to the flow of the packet they quote (translate/errors.ts).
 */

/* What the packet under way is. */
const KNOWN = 1
const ERROR = 2
const OPEN = 3

/** How often the loop ticks: events are told, and a slice of the flows looked at. */
const TICK = 10 * MILLISECOND
/** Ticks in which all flows are looked at once. */
const ROUND = 512
/** What `Fragments` remembers of a packet of no flow. */
const NO_ONE = 0xffff_ffff

/** A network that packets come from and go to. */
export class Side {
  readonly number: number
  readonly name: string
  readonly zone: number
  readonly mtu: number
  /** Where fragments go that have waited; null: nowhere. */
  again: Link | null = null

  constructor(number: number, name: string, options: SideOptions) {
    this.number = number
    this.name = name
    this.zone = checkRange('zone', options.zone ?? 0, 0, 0xffff)
    this.mtu = checkRange('mtu', options.mtu ?? 1500, 68, 65_535)
  }
}

/** Translates addresses and ports. */
export class Nat implements RouterGate, Ticker, FragmentWaiter, FlowEnder {
  readonly pool: FramePool
  readonly loop: Loop
  readonly conntrack: Conntrack
  readonly addresses: Addresses6
  readonly fragments: Fragments
  /** For `Passage`: one for all, since the compiler takes arrays for constants in a closure that there is one of. */
  readonly fastRun: FastRun
  /* For the router: see `RouterGate`. */
  route4 = 0
  route6: Uint8Array | null = null

  readonly #clock: Clock
  readonly #options: NatOptions
  readonly #transposition: Transposition
  readonly #fresh: NewFlows
  readonly #errors: Errors
  readonly #explain: Explain
  readonly #events: FlowEvents = new FlowEvents()
  readonly #sides: Side[] = [new Side(0, '', {})]
  /** Numbers of sides that were detached. */
  readonly #spare: number[] = []
  readonly #stop: () => void
  /** The zones of all sides, each once. */
  readonly #zones: number[] = [0]
  readonly #byInterface: Map<RouterInterface, Side> = new Map()
  /** The packet under way: its row, NO_FRAME where it belongs to no flow, and what it is. */
  #row: number = NO_FRAME
  #what = 0
  readonly #slice: number
  readonly #tuple: Tuple = new Tuple()
  readonly #place: Place = new Place()
  /** The frame that `#tuple` and `#place` are about, and where it started. */
  #frame: number = NO_FRAME
  #start = 0
  /** Where its IP header is. */
  #l3 = 0
  readonly #ownTuple: Tuple = new Tuple()
  readonly #ownPlace: Place = new Place()
  readonly #bytes: Uint8Array = new Uint8Array(16)
  /** Whether the packet with which a flow is open is a first fragment. */
  #openerIsFragment = false

  /** Throws a RangeError or TypeError with the option's name where one makes no sense. */
  constructor(loop: Loop, options: NatOptions = {}) {
    const { destination = [], source = [], masquerade = null, outside = null, outsidePorts = null, seed = 0 } = options
    this.loop = loop
    this.pool = loop.pool
    this.#clock = loop.clock
    this.#options = options
    checkRange('destination.length', destination.length, 0, 254)
    checkRange('source.length', source.length, 0, 254)
    oneOf('invalid', options.invalid, ['drop', 'pass'])
    oneOf('untransposed', options.untransposed, ['drop', 'pass'])
    if (options.mss !== undefined && options.mss !== 'mtu') checkRange('mss', options.mss, 48, 65_495)
    this.#transposition = (options.icmpTransposition ?? true) ? 'translate' : (options.untransposed ?? 'pass')
    this.conntrack = new Conntrack(options, this.pool.tables)
    this.addresses = options.addresses ?? new Addresses6({ max: Math.max(1024, this.conntrack.maxFlows * 2), seed })
    this.fragments = new Fragments(this.pool, loop.clock, this, { seed, ...options.fragments })
    this.#fresh = new NewFlows(
      this.conntrack,
      this.addresses,
      { destination, source, masquerade, outside, outsidePorts },
      options.random ?? seededDice32(seed),
    )
    const arrays = { ...this.pool, ...this.conntrack }
    this.fastRun = wasmRun(this.pool, arrays) ?? fastRun(arrays)
    this.#explain = new Explain(this.pool, this.conntrack, this.addresses)
    this.#errors = new Errors(this.pool, this.conntrack, this.addresses, this.#fresh)
    this.conntrack.onEnd = (flow) => {
      if (this.#events.wanted) this.#events.note('destroy', this.#info(flow))
      this.#fresh.ended(flow)
    }
    for (const policy of destination) policy.attached?.(this)
    this.#slice = Math.max(64, Math.ceil(this.conntrack.maxFlows / ROUND))
    this.conntrack.at(this.#clock.now)
    this.#stop = loop.every(TICK, this)
  }

  /** Says that packets come and go by an interface of the router, and gives the number by which policies know it. */
  attach(iface: RouterInterface, options: SideOptions = {}): number {
    if (this.#byInterface.has(iface)) throw new Error(`interface ${iface.name} is attached already`)
    const side = this.addSide(iface.name, { mtu: iface.mtu, ...options })
    side.again = this.loop.link(iface.again, `${iface.name}, fragments`)
    this.#byInterface.set(iface, side)
    return side.number
  }

  /** Says that nothing comes or goes by an interface any more. What waited there is dropped as `PortDown`, its number is given to
   * the next one that is attached, and flows of its zone end where no other side is in it. (Others stay until their time is up, as
   * those of Linux do; `endFlows` ends them.) Throws where it is not attached. */
  detach(iface: RouterInterface): void {
    const side = this.#byInterface.get(iface)
    if (side === undefined) throw new Error(`interface ${iface.name} is not attached`)
    this.#byInterface.delete(iface)
    this.#retire(side)
  }

  #retire(side: Side): void {
    this.fragments.drop(side.number, Drop.PortDown)
    side.again = null
    this.#spare.push(side.number)
    const { zone } = side
    if (zone === 0 || this.#sides.some((s) => s !== side && s.zone === zone && !this.#spare.includes(s.number))) return
    this.#zones.splice(this.#zones.indexOf(zone), 1)
    const { records } = this.conntrack
    for (let flow = this.conntrack.next(0); flow >= 0; flow = this.conntrack.next(flow + 1)) {
      const at = (flow << R.RECORD_SHIFT) + 3
      if ((records[at] as number) >>> 16 !== zone && (records[at + 4] as number) >>> 16 !== zone) continue
      this.conntrack.remove(flow)
    }
  }

  /** Ends all flows and what waits, tells it to those who watch, and does nothing more on its own; the room that its tables have beside
   * the frames goes back to the pool. Its router has lost its gate before. Not while it translates. */
  close(): void {
    this.#stop()
    this.#fresh.close()
    this.fragments.drop(null, Drop.PortDown)
    for (let flow = 0; flow < this.conntrack.maxFlows; flow++) if (this.conntrack.has(flow)) this.conntrack.remove(flow)
    if (this.fastRun.close !== undefined) {
      this.fastRun.close()
      this.conntrack.leave()
    }
    this.#events.tell()
  }

  /** Adds a side that is no interface of a router, for `Passage`. */
  addSide(name: string, options: SideOptions = {}): Side {
    const number = this.#spare.pop() ?? checkRange('sides', this.#sides.length, 1, 0xffff)
    const side = new Side(number, name, options)
    this.#sides[number] = side
    if (!this.#zones.includes(side.zone)) this.#zones.push(side.zone)
    return side
  }

  /** Takes away a side that `addSide` made, as `detach` does with an interface: nothing comes by its passage any more. Throws where it
   * is none of ours. */
  removeSide(side: Side): void {
    if (this.#sides[side.number] !== side || this.#spare.includes(side.number)) {
      throw new Error(`side ${side.name} is not one of this NAT`)
    }
    this.#retire(side)
  }

  /** Whether the packet whose IP header is at `l3` would be one of a flow that is known, if it came in by `side`. Later fragments, and
   * errors of ICMP, are of none. Changes nothing. */
  knows(f: Frame, l3: number, side: Side): boolean {
    const end = (this.pool.off[f] as number) + (this.pool.len[f] as number)
    const read = readTuple(this.#ownTuple, this.#ownPlace, this.pool.bytes, l3, end, this.addresses, side.zone)
    return read === Read.Ok && this.conntrack.find(this.#ownTuple) !== NO_FLOW
  }

  /** For the router. */
  arrived(iface: RouterInterface, f: Frame): Frame | -1 {
    const went = this.arrive(f, (this.pool.off[f] as number) + 14, this.#sideOf(iface))
    if (went >= NO_FRAME) return went as Frame | -1
    iface.end(f, (-2 - went) as Drop)
    return NO_FRAME
  }

  /** For the router. */
  leaving(from: RouterInterface | null, out: RouterInterface, f: Frame): Frame | -1 {
    const l3 = (this.pool.off[f] as number) + 14
    const side = this.#sideOf(out)
    if (from === null) {
      this.#leaveOwn(f, l3, side)
      return f
    }
    const went = this.leave(f, l3, this.#sideOf(from), side)
    if (went >= NO_FRAME) return went as Frame | -1
    from.end(f, (-2 - went) as Drop)
    return NO_FRAME
  }

  #sideOf(iface: RouterInterface): Side {
    return this.#byInterface.get(iface) ?? (this.#sides[0] as Side)
  }

  /**
   * First half: whose packet is it, and where does it go? The frame's IP header is at `l3` of the pool's bytes. Gives the frame to go on
   * with; NO_FRAME where it was taken (it waits, or there was no row to copy it into); or `-2 - reason` where it is to be dropped, by the
   * caller. For a packet that goes on, `leave` follows before the next `arrive`, or never.
   */
  arrive(f: Frame, l3: number, side: Side): number {
    const { pool, conntrack } = this
    const place = this.#place
    conntrack.at(this.#clock.now)
    this.#row = NO_FRAME
    this.#what = 0
    this.#frame = f
    this.#l3 = l3
    this.#start = pool.off[f] as number
    const end = this.#start + (pool.len[f] as number)
    const read = readTuple(this.#tuple, place, pool.bytes, l3, end, this.addresses, side.zone)
    return place.isFragment ? this.#arriveFragment(f, side, read) : this.#arriveWhole(f, side, read)
  }

  #arriveWhole(f: Frame, side: Side, read: Read): number {
    switch (read) {
      case Read.Malformed:
      case Read.Fragment:
        return -2 - Drop.Malformed
      case Read.Untracked:
        return f
      case Read.IcmpError:
        return this.#arriveError(f, side)
      case Read.NoAddress:
        return this.#open(f, side)
      case Read.Ok: {
        const who = this.conntrack.find(this.#tuple)
        return who === NO_FLOW ? this.#open(f, side) : this.#known(f, side, who)
      }
    }
  }

  #arriveFragment(f: Frame, side: Side, read: Read): number {
    const { fragments, conntrack } = this
    switch (fragments.accept(f, this.#l3, this.#place.end, side.zone, side.number)) {
      case Turn.Held:
        return NO_FRAME
      case Turn.Dropped:
        return -2 - fragments.why
      case Turn.Follows: {
        const who = fragments.flow
        if (who === NO_ONE) return f
        const flow = who >>> 1
        const gone = !conntrack.has(flow) || conntrack.id(flow) !== fragments.stamp || !conntrack.isAlive(flow)
        if (gone) return this.#invalid(f)
        conntrack.renew(flow, who & 1)
        return this.#destinationHalf(f, who)
      }
      default: {
        const went = this.#arriveWhole(f, side, read)
        const what = this.#what
        if (went < NO_FRAME) fragments.refuse((-2 - went) as Drop)
        else if (went === NO_FRAME) fragments.refuse(Drop.PoolSpent)
        else if ((what & 3) === KNOWN) fragments.bind(what >>> 2, conntrack.id(what >>> 3))
        else if (what === OPEN) this.#openerIsFragment = true
        else fragments.bindLoosely(NO_ONE, 0)
        return went
      }
    }
  }

  /** A packet of a flow that is known. */
  #known(f: Frame, side: Side, who: number): number {
    const { conntrack } = this
    const flow = who >>> 1
    const at = (flow << R.RECORD_SHIFT) + R.STATE
    const before = conntrack.records[at] as number
    switch (conntrack.packet(flow, who & 1, this.pool.bytes, this.#place)) {
      case Verdict.Invalid:
        if (this.pool.trace !== null) this.#explain.impossible(f, who)
        return this.#invalid(f)
      case Verdict.Reopen:
        if (this.pool.trace !== null) this.#explain.reopened(f, who)
        conntrack.remove(flow)
        return this.#open(f, side)
      case Verdict.Last:
        // Whoever looks for it finds it expired; its record stays for the second half.
        conntrack.end(flow)
        break
    }
    const changed = (conntrack.records[at] as number) ^ before
    if (this.#events.wanted && (changed & (R.PROTO_STATE | R.SEEN_REPLY | R.ASSURED)) !== 0) {
      this.#events.note('update', this.#info(flow))
    }
    return this.#destinationHalf(f, who)
  }

  #destinationHalf(f: Frame, who: number): number {
    const { pool, conntrack } = this
    const place = this.#place
    const { records } = conntrack
    const direction = who & 1
    const base = (who >>> 1) << R.RECORD_SHIFT
    const other = base + ((direction ^ 1) << 2)
    const state = records[base + R.STATE] as number
    const kind = records[base + 3] as number
    if (place.more && place.protocol === Proto.Sctp && this.#changesPorts(base)) return -2 - Drop.NatUnsupported
    const g = this.#own(f)
    if (g === NO_FRAME) return g
    conntrack.count(who, place.end - this.#l3)
    if ((state & (direction === 0 ? R.DNAT : R.SNAT)) !== 0) {
      const address = R.wordAddress(records[other] as number, kind)
      const port = R.swap32(records[other + 2] as number) >>> 16
      rewrite(pool, g, this.#l3, place, DESTINATION, address, port, this.addresses)
    }
    if ((state & R.ROUTED) !== 0 && direction === 0) this.#routeBy(kind, (records[base + R.DELTA] as number) >>> 0)
    if (pool.trace !== null) this.#explain.arrived(g, who, place.fragmentOffset !== 0)
    return this.#underWay(g, (who << 2) | KNOWN)
  }

  /** A packet of no flow. */
  #open(f: Frame, side: Side): number {
    const { bytes: b } = this.pool
    const { onReject } = this.#options
    const place = this.#place
    const tuple = this.#tuple
    const fresh = this.#fresh
    fresh.close()
    const toLocal = this.#isOwn()
    const state = this.conntrack.begin(b, place, tuple.kind)
    if (state < 0) {
      if (this.pool.trace !== null) this.#explain.astray(f, tuple)
      return toLocal ? f : this.#invalid(f)
    }
    fresh.question.tells = this.pool.trace !== null && this.#explain.follows(f)
    const how = (tuple.kind & QUERY) !== 0 ? this.#transposition : 'translate'
    const why = fresh.open(tuple, b, this.#l3, side.number, toLocal, state, how, this.#clock.now)
    const q = fresh.question
    if (why !== OPENED && q.tells) this.#explain.notOpened(f, q, why === UNTRACKED ? 'local' : 'refused')
    if (why === UNTRACKED) return f
    if (why !== OPENED) {
      if (q.reject) onReject?.(f, this.#l3, side.number)
      return -2 - why
    }
    const g = this.#own(f)
    if (g === NO_FRAME) {
      fresh.close()
      return g
    }
    if (q.toAddress !== 0) {
      const { dst, dstPort } = q.tuple
      rewrite(this.pool, g, this.#l3, place, DESTINATION, dst, dstPort, this.addresses)
    }
    if (q.routeBy !== 0) this.#routeBy(tuple.kind, q.routeBy)
    if (q.tells) this.#explain.opened(g, q, how === 'translate')
    this.#openerIsFragment = false
    return this.#underWay(g, OPEN)
  }

  /** The packet in row `g`, which is owned, goes on: `leave` will know it. */
  #underWay(g: Frame, what: number): number {
    this.#row = g
    this.#what = what >>> 0
    return g
  }

  #arriveError(f: Frame, side: Side): number {
    const errors = this.#errors
    const who = errors.find(f, this.#l3, this.#place, side.zone)
    if (who < 0) {
      if (this.pool.trace !== null) this.#explain.error(f, who, null)
      // About packets of the node itself nothing is known here.
      const why = who === NO_FLOW ? Drop.InvalidState : ((-2 - who) as Drop)
      return why === Drop.InvalidState && this.#isOwn() ? f : this.#invalid(f, why)
    }
    const state = this.conntrack.records[((who >>> 1) << R.RECORD_SHIFT) + R.STATE] as number
    if ((state & (R.DNAT | R.SNAT)) === 0) {
      if (this.pool.trace !== null) this.#explain.error(f, who, null)
      return f
    }
    // A way that is better on one side of a translation means nothing on the other.
    if (errors.isRedirect) return this.#invalid(f)
    if (this.#transposition !== 'translate') {
      const dropped = this.#transposition === 'drop'
      if (this.pool.trace !== null) this.#explain.untransposed(f, who, dropped)
      return dropped ? -2 - Drop.NatUnsupported : f
    }
    const g = this.#own(f)
    if (g === NO_FRAME) return g
    if (g !== f) errors.reread(g, this.#l3, this.#place, side.zone)
    errors.destination(g, who)
    if (this.pool.trace !== null) this.#explain.error(g, who, 'destination')
    return this.#underWay(g, (who << 2) | ERROR)
  }

  /**
   * Second half: the packet leaves by the side `out`. The caller owns the frame, which is one that `arrive` gave. Gives it back; or
   * `-2 - reason` where it is to be dropped, by the caller.
   */
  leave(f: Frame, l3: number, from: Side, out: Side): number {
    const what = this.#what
    if (this.#row !== f) return f
    this.#row = NO_FRAME
    this.#what = 0
    this.#seeAgain(f, l3, from)
    switch (what & 3) {
      case KNOWN:
        this.#sourceHalf(f, what >>> 2)
        if (this.pool.trace !== null) this.#explain.left(f, what >>> 2)
        break
      case ERROR:
        this.#errors.source(f, what >>> 2)
        if (this.pool.trace !== null) this.#explain.error(f, what >>> 2, 'source')
        return f
      default: {
        if (!this.#fresh.isOpen) return -2 - Drop.InvalidState
        const why = this.#settle(f, out)
        if (why < NO_FRAME) return why
      }
    }
    const { mss } = this.#options
    if (mss !== undefined && this.#place.protocol === Proto.Tcp && this.#place.fragmentOffset === 0) {
      const limit = mss === 'mtu' ? mssOf(Math.min(from.mtu, out.mtu), this.#place.version === 6) : mss
      const clamped = clampMss(this.pool, f, this.#place.l4, this.#place.end, limit)
      if (clamped && this.pool.trace !== null) this.#explain.say(f, `MSS lowered to ${limit}, which fits the path`)
    }
    return f
  }

  #sourceHalf(f: Frame, who: number): void {
    const { records } = this.conntrack
    const direction = who & 1
    const base = (who >>> 1) << R.RECORD_SHIFT
    if (((records[base + R.STATE] as number) & (direction === 0 ? R.SNAT : R.DNAT)) === 0) return
    const other = base + ((direction ^ 1) << 2)
    const address = R.wordAddress(records[other + 1] as number, records[base + 3] as number)
    const port = R.swap32(records[other + 2] as number) & 0xffff
    rewrite(this.pool, f, this.#l3, this.#place, SOURCE, address, port, this.addresses)
  }

  /** Makes the flow that is open: gives NO_FRAME, or `-2 - reason`. */
  #settle(f: Frame, out: Side): number {
    const { conntrack, fragments } = this
    const place = this.#place
    const q = this.#fresh.question
    q.tells = this.pool.trace !== null && this.#explain.follows(f)
    const flow = this.#fresh.settle(out.number, out.zone)
    if (flow < 0) {
      if (q.tells) this.#explain.notOpened(f, q, 'refused')
      if (this.#openerIsFragment) fragments.refuse((-2 - flow) as Drop)
      return flow
    }
    if (place.more && place.protocol === Proto.Sctp && this.#changesPorts(flow << R.RECORD_SHIFT)) {
      conntrack.remove(flow)
      if (this.#openerIsFragment) fragments.refuse(Drop.NatUnsupported)
      return -2 - Drop.NatUnsupported
    }
    if (this.#openerIsFragment) fragments.bind(flow << 1, conntrack.id(flow))
    conntrack.count(flow << 1, place.end - this.#l3)
    this.#sourceHalf(f, flow << 1)
    if (q.tells) this.#explain.settled(f, q, flow, (q.original.kind & QUERY) === 0 || this.#transposition !== 'pass')
    if (this.#events.wanted) this.#events.note('new', this.#info(flow))
    return NO_FRAME
  }

  /** A packet of the node itself leaves: its errors are about flows, everything else is its own affair. */
  #leaveOwn(f: Frame, l3: number, out: Side): void {
    const { bytes: b } = this.pool
    if (this.#transposition !== 'translate') return
    if ((b[l3] as number) >>> 4 === 4 && b[l3 + 9] !== Proto.Icmp) return
    const place = this.#ownPlace
    const end = (this.pool.off[f] as number) + (this.pool.len[f] as number)
    const read = readTuple(this.#ownTuple, place, b, l3, end, this.addresses, out.zone)
    this.conntrack.at(this.#clock.now)
    if (read === Read.IcmpError && !place.isFragment) this.#errors.own(f, l3, place, out.zone, this.#zones)
  }

  /** For `Fragments`: a frame has waited, and the first of its packet has come. */
  ready(f: Frame, token: number): void {
    const link = this.#sides[token]?.again ?? null
    if (link === null) this.pool.drop(f, Drop.FragmentTimeout)
    else link.push(f)
  }

  /** For `Fragments`: a frame has waited in vain. */
  ended(f: Frame, _token: number, why: Drop): void {
    this.pool.drop(f, why)
  }

  /** For the loop: looks at a slice of the flows, and tells events. */
  tick(now: number): void {
    this.conntrack.at(now)
    // A packet that is not on its way out by now was dropped between the halves.
    this.#row = NO_FRAME
    this.#fresh.close()
    this.conntrack.sweep(this.#slice)
    this.fragments.tick(now)
    this.#events.tell()
  }

  /** All flows, as plain objects. */
  flows(): IterableIterator<FlowInfo> {
    this.conntrack.at(this.#clock.now)
    return listFlows(this.conntrack, this.addresses)
  }

  /** Has a watcher told of flows that are made, change and end; the function that comes back takes it off. */
  watch(watcher: FlowWatcher): () => void {
    return this.#events.watch(watcher)
  }

  /** Events that could not be told: too many at a time; and watchers that were taken off because they threw. */
  get watching(): { readonly eventsLost: number; readonly watchersLost: number } {
    return { eventsLost: this.#events.lost, watchersLost: this.#events.watchersLost }
  }

  /** Ends the flows for which `match` is true, and says how many. For configuration, not for the data path. */
  endFlows(match: (flow: FlowInfo) => boolean): number {
    const { conntrack } = this
    let n = 0
    for (let flow = conntrack.next(0); flow >= 0; flow = conntrack.next(flow + 1)) {
      if (!match(this.#info(flow))) continue
      conntrack.remove(flow)
      n++
    }
    return n
  }

  /** For policies: see `FlowEnder`. */
  endWhere(match: (flow: StandingFlow) => boolean): number {
    const { destination = [], own } = this.#options
    return endStanding(this.conntrack, this.addresses, destination, own, match)
  }

  #info(flow: number): FlowInfo {
    return flowInfo(this.conntrack, this.addresses, flow)
  }

  #invalid(f: Frame, why: Drop = Drop.InvalidState): number {
    return this.#options.invalid === 'pass' ? f : -2 - why
  }

  /** Whether the packet that has arrived is for the node. */
  #isOwn(): boolean {
    const { own } = this.#options
    if (own === undefined) return false
    if (this.#place.version === 4) return own.is4(this.#tuple.dst)
    return own.is6(this.pool.bytes, this.#l3 + ipv6.DST)
  }

  /** Whether a flow's translation changes a port. */
  #changesPorts(base: number): boolean {
    const { records } = this.conntrack
    const answers = records[base + 6] as number
    return records[base + 2] !== ((answers << 16) | (answers >>> 16))
  }

  #routeBy(kind: number, address: number): void {
    if ((kind & IPV6) === 0) this.route4 = address
    else {
      this.addresses.write(address, this.#bytes, 0)
      this.route6 = this.#bytes
    }
  }

  /** Owns the frame that has arrived; what is known of it moves along. */
  #own(f: Frame): Frame | -1 {
    const { pool } = this
    const g = pool.own(f)
    if (g === f || g === NO_FRAME) return g
    const by = (pool.off[g] as number) - this.#start
    this.#frame = g
    this.#start += by
    this.#l3 += by
    this.#place.l4 += by
    this.#place.end += by
    return g
  }

  /** Sees to it that `#place` is about this frame. */
  #seeAgain(f: Frame, l3: number, from: Side): void {
    const { pool } = this
    const start = pool.off[f] as number
    if (this.#frame === f && this.#start === start && this.#l3 === l3) return
    this.#frame = f
    this.#start = start
    this.#l3 = l3
    const end = start + (pool.len[f] as number)
    const read = readTuple(this.#tuple, this.#place, pool.bytes, l3, end, this.addresses, from.zone)
    if (read === Read.IcmpError) this.#errors.reread(f, l3, this.#place, from.zone)
  }
}

function oneOf(name: string, value: string | undefined, values: readonly string[]): void {
  if (value !== undefined && !values.includes(value)) {
    throw new RangeError(`${name} must be ${values.join(' or ')}, not ${String(value)}`)
  }
}
