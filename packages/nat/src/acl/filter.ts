import {
  checkRange,
  Drop,
  type Frame,
  type FramePool,
  type Link,
  type Loop,
  MILLISECOND,
  NO_FRAME,
  type Ticker,
} from '@l2l3/switch-core'
import { icmpv6, ipv6, tcp } from '@l2l3/switch-core/wire'
import { Addresses6 } from '../addresses6.ts'
import { Conntrack, type ConntrackOptions, Verdict } from '../conntrack/conntrack.ts'
import { NO_FLOW } from '../conntrack/flow-table.ts'
import { type FlowInfo, listFlows } from '../conntrack/listing.ts'
import * as R from '../conntrack/record.ts'
import { Fragments, type FragmentsOptions, type FragmentWaiter, Turn } from '../fragments/fragments.ts'
import { IcmpError, IS_AN_ERROR } from '../icmp/error.ts'
import type { FastRun } from '../translate/fast-run.ts'
import { IPV6, Place, Proto, Read, readTuple, Tuple } from '../tuple.ts'
import { passRun } from './pass-run.ts'
import { FilterPort } from './port.ts'
import { Question } from './question.ts'
import { Refusals } from './refusals.ts'
import { type AclOptions, AclRules } from './rules.ts'

/*
 * The filter: which flows may pass the ports of endpoints. It looks at packets and changes nothing in them.
 *
 *     packet ─> of a flow?  ── yes ──────────────────────────────> its verdict stands in its record
 *                  │ no
 *                  ├─ refused before, by these rules? ── yes ────> AclBlock
 *                  ├─ an ICMP error about a flow? ── yes ────────> as that flow
 *                  └─ the rules (classifier.ts) ── allow ────────> a flow is made, both directions pass from now on
 *                                               └─ block ────────> remembered as refused; AclBlock
 *
 * So the first packet of a flow costs a search among the rules, and the others none, however many rules there are: they go through the
 * fast run (pass-run.ts), which finds their flow, renews it, and counts.
 *
 * Each port has its own rules, and flows of its own: one that leads from one endpoint to another is judged at both. Which port a tuple
 * is of, and which way it goes there, is its zone: twice the port's number, and one more for what goes to the endpoint. So a packet is no
 * answer because it looks like one, if it comes from the wrong side.
 *
 * **When rules change, flows are judged again** by the new ones, each at its next packet, as VFP does (its flows have a generation, and
 * are reconciled when it is behind; NSDI'17, 6.3). A flow that is not allowed any more stays in the table, blocked, so that what the other
 * side still sends does not begin a flow in its place; it goes on if rules allow it again. `onChange: 'keep'` is what a Linux
 * firewall does that accepts what is established: rules count for new flows only. Until all flows have been looked at - the
 * ticks see to it - packets of the port take the slow way.
 */

/** The flow was judged and is not allowed. In the place of the destination policy's number, which a filter has not. */
const BLOCKED = 1 << R.DESTINATION_POLICY
/** Word of a record: the generation of rules that its verdict is of. (A translation would have its delta there.) */
const GENERATION = R.DELTA
/** Word of the second array: the rule that decided, and one more; 0: the defaults. */
const RULE = R.DESTINATION_TAG

const TICK = 10 * MILLISECOND
/** Ticks in which all flows are looked at once: whether their time is up; and whether their rules have changed. */
const ROUND = 512
const CHANGED_ROUND = 64
/** What `Fragments` remembers of a packet of no flow. */
const NO_ONE = 0xffff_ffff
/** Ports at most. */
const MOST_PORTS = 0x7fff
/** The zone of no port. */
const NO_ZONE = 0xfffe

/** Settings of a filter, beside those of its connection tracking. */
export interface FilterOptions extends ConntrackOptions {
  /** What becomes of flows when rules change: they are judged again, or go on as they are. Default `rejudge`. */
  onChange?: 'rejudge' | 'keep'
  /** What becomes of packets that cannot be where their flow is, or that cannot begin one: dropped as `InvalidState`, or judged by
   * the rules alone. Default `drop`. */
  invalid?: 'drop' | 'judge'
  /** Whether neighbour discovery (RFC 4861, with hop limit 255) passes whatever rules say, as ARP does. Default `pass`. */
  neighbourDiscovery?: 'pass' | 'judge'
  /** Refused flows that are remembered; 16 to 1,048,576, a power of two. Default 4,096. One takes 48 bytes. */
  refusals?: number
  /** Limits of fragments. */
  fragments?: FragmentsOptions
}

/** How often what happened. */
export interface FilterCounters {
  /** Flows that were asked about for the first time, and of those, how many were refused. */
  judged: number
  refused: number
  /** Flows that were judged again, and of those, how many had another verdict than before. */
  rejudged: number
  changed: number
}

/** Lets flows pass or not, at the ports of endpoints. */
export class Filter implements FragmentWaiter, Ticker {
  readonly pool: FramePool
  readonly loop: Loop
  readonly conntrack: Conntrack
  readonly addresses: Addresses6
  readonly fragments: Fragments
  readonly refusals: Refusals
  readonly fastRun: FastRun
  readonly counters: FilterCounters = { judged: 0, refused: 0, rejudged: 0, changed: 0 }

  readonly #options: FilterOptions
  readonly #ports: (FilterPort | null)[] = []
  readonly #stop: () => void
  readonly #slice: number
  readonly #changedSlice: number
  readonly #ways: Link[] = []
  #hand = 0
  #generation = 0
  /** Ports some of whose flows may have the verdict of old rules. */
  #unsettled = 0
  readonly #tuple: Tuple = new Tuple()
  readonly #other: Tuple = new Tuple()
  readonly #place: Place = new Place()
  readonly #question: Question = new Question()
  readonly #error: IcmpError = new IcmpError()

  /** Throws a RangeError or TypeError with the option's name where one makes no sense. */
  constructor(loop: Loop, options: FilterOptions = {}) {
    oneOf('onChange', options.onChange, ['rejudge', 'keep'])
    oneOf('invalid', options.invalid, ['drop', 'judge'])
    oneOf('neighbourDiscovery', options.neighbourDiscovery, ['pass', 'judge'])
    const { seed = 0 } = options
    this.loop = loop
    this.pool = loop.pool
    this.#options = options
    this.conntrack = new Conntrack(options)
    this.addresses = new Addresses6({ max: Math.max(1024, this.conntrack.maxFlows * 2), seed })
    this.fragments = new Fragments(this.pool, loop.clock, this, { seed, ...options.fragments })
    this.refusals = new Refusals(options.refusals ?? 4096)
    this.fastRun = passRun({ ...this.pool, ...this.conntrack })
    this.conntrack.onEnd = (flow) => this.#ended(flow)
    this.#slice = Math.max(64, Math.ceil(this.conntrack.maxFlows / ROUND))
    this.#changedSlice = Math.max(1024, Math.ceil(this.conntrack.maxFlows / CHANGED_ROUND))
    this.conntrack.at(loop.clock.now)
    this.#stop = loop.every(TICK, this)
  }

  /** Adds the port of an endpoint. Throws for rules that make no sense. */
  addPort(name: string, acl: AclOptions = {}): FilterPort {
    const rules = new AclRules(acl)
    const free = this.#ports.indexOf(null)
    const number = free >= 0 ? free : checkRange('ports', this.#ports.length, 0, MOST_PORTS - 1)
    const port = new FilterPort(this, number, name, rules, ++this.#generation)
    this.#ports[number] = port
    return port
  }

  /** Takes a port off: its flows end, and what waited there is dropped as `PortDown`. Nothing may come by its elements any more. Throws
   * where it is none of ours. */
  removePort(port: FilterPort): void {
    if (this.#ports[port.number] !== port) throw new Error(`port ${port.name} is not one of this filter`)
    this.#ports[port.number] = null
    this.fragments.drop(port.number * 2, Drop.PortDown)
    this.fragments.drop(port.number * 2 + 1, Drop.PortDown)
    if (port.unsettled > 0) this.#unsettled--
    const { records } = this.conntrack
    for (let flow = this.conntrack.next(0); flow >= 0; flow = this.conntrack.next(flow + 1)) {
      if ((records[(flow << R.RECORD_SHIFT) + 3] as number) >>> 17 === port.number) this.conntrack.remove(flow)
    }
  }

  /** For `FilterPort`: it has other rules from now on. Gives their generation. */
  changed(port: FilterPort): number {
    if (this.#options.onChange !== 'keep') {
      if (port.unsettled === 0) this.#unsettled++
      port.unsettled = this.conntrack.maxFlows
    }
    return ++this.#generation
  }

  /** Ends all flows and what waits, and does nothing more on its own. */
  close(): void {
    this.#stop()
    this.fragments.drop(null, Drop.PortDown)
    for (let flow = 0; flow < this.conntrack.maxFlows; flow++) if (this.conntrack.has(flow)) this.conntrack.remove(flow)
  }

  /** All flows, as plain objects. Half their zone is the number of the port, an odd one stands for what goes to the endpoint. */
  flows(): IterableIterator<FlowInfo> {
    this.conntrack.at(this.loop.clock.now)
    return listFlows(this.conntrack, this.addresses)
  }

  /**
   * Looks at the frame whose IP header is at `l3` of the pool's bytes, which passes `port` from its endpoint (`out`) or to it. Gives the
   * frame; NO_FRAME where it was taken, since a fragment waits for the first of its packet; or `-2 - reason` where it is to be dropped,
   * by the caller.
   */
  check(f: Frame, l3: number, port: FilterPort, out: boolean): number {
    const { pool, conntrack } = this
    conntrack.at(this.loop.clock.now)
    const zone = port.number * 2 + (out ? 0 : 1)
    const place = this.#place
    const end = (pool.off[f] as number) + (pool.len[f] as number)
    const read = readTuple(this.#tuple, place, pool.bytes, l3, end, this.addresses, zone)
    return place.isFragment ? this.#fragment(f, l3, port, out, zone, read) : this.#whole(f, l3, port, out, read)
  }

  /**
   * Has fragments that pass a router by interfaces without a port come in order, the first before the others, so that none has to wait
   * where the router sends them on. As `check`.
   * @param way a number from `addWay`
   */
  order(f: Frame, l3: number, way: number): number {
    const { pool, fragments } = this
    const place = this.#place
    const end = (pool.off[f] as number) + (pool.len[f] as number)
    readTuple(this.#tuple, place, pool.bytes, l3, end, this.addresses, NO_ZONE)
    if (!place.isFragment) return f
    switch (fragments.accept(f, l3, place.end, NO_ZONE, way)) {
      case Turn.Held:
        return NO_FRAME
      case Turn.Dropped:
        return -2 - fragments.why
      case Turn.First:
        fragments.bindLoosely(NO_ONE, 0)
        return f
      default:
        return f
    }
  }

  #fragment(f: Frame, l3: number, port: FilterPort, out: boolean, zone: number, read: Read): number {
    const { fragments, conntrack } = this
    switch (fragments.accept(f, l3, this.#place.end, zone, zone)) {
      case Turn.Held:
        return NO_FRAME
      case Turn.Dropped:
        return -2 - fragments.why
      case Turn.Follows: {
        const who = fragments.flow
        if (who === NO_ONE) return f
        const flow = who >>> 1
        const gone = !conntrack.has(flow) || conntrack.id(flow) !== fragments.stamp || !conntrack.isAlive(flow)
        if (gone) return this.#options.invalid === 'judge' ? f : -2 - Drop.InvalidState
        if (!this.#stands(flow, port)) return this.#blocked(f, flow, port)
        conntrack.renew(flow, who & 1)
        conntrack.count(who, this.#place.end - l3)
        return f
      }
      default: {
        const went = this.#whole(f, l3, port, out, read)
        if (went < NO_FRAME) fragments.refuse((-2 - went) as Drop)
        else {
          const who = this.#who
          if (who === NO_FLOW) fragments.bindLoosely(NO_ONE, 0)
          else fragments.bind(who, conntrack.id(who >>> 1))
        }
        return went
      }
    }
  }

  /** The flow and direction of the packet that `#whole` has just let pass; NO_FLOW: it is of none. */
  #who: number = NO_FLOW

  #whole(f: Frame, l3: number, port: FilterPort, out: boolean, read: Read): number {
    const place = this.#place
    const { bytes: b } = this.pool
    this.#who = NO_FLOW
    switch (read) {
      case Read.Malformed:
      case Read.Fragment:
        return -2 - Drop.Malformed
      case Read.Untracked:
        if (this.#isDiscovery(b, l3)) return f
        return this.#alone(f, l3, port, out)
      case Read.IcmpError: {
        const who = this.#flowOfError(f, l3, out ? port.number * 2 : port.number * 2 + 1)
        if (who === NO_FLOW) return this.#alone(f, l3, port, out)
        if (!this.#stands(who >>> 1, port)) return this.#blocked(f, who >>> 1, port)
        if (this.pool.trace !== null) this.#note(f, 'an ICMP error about a flow that is allowed')
        return f
      }
      case Read.NoAddress:
        return this.#fresh(f, l3, port, out)
      case Read.Ok: {
        const who = this.conntrack.find(this.#tuple)
        return who === NO_FLOW ? this.#fresh(f, l3, port, out) : this.#known(f, l3, port, out, who, place)
      }
    }
  }

  #known(f: Frame, l3: number, port: FilterPort, out: boolean, who: number, place: Place): number {
    const { conntrack } = this
    const { bytes: b } = this.pool
    const flow = who >>> 1
    if (!this.#stands(flow, port)) {
      // Who was to get the answers may begin a connection of its own.
      const opens = (who & 1) === 1 && place.protocol === Proto.Tcp && opensConnection(b, place)
      if (!opens) return this.#blocked(f, flow, port)
      conntrack.remove(flow)
      return this.#fresh(f, l3, port, out)
    }
    switch (conntrack.packet(flow, who & 1, b, place)) {
      case Verdict.Invalid:
        if (this.#options.invalid !== 'judge') return -2 - Drop.InvalidState
        break
      case Verdict.Reopen:
        conntrack.remove(flow)
        return this.#fresh(f, l3, port, out)
      case Verdict.Last:
        conntrack.end(flow)
        break
    }
    conntrack.count(who, place.end - l3)
    if (this.pool.trace !== null) this.#explainFlow(f, flow, port, 'allowed')
    this.#who = who
    return f
  }

  /** A packet that may begin a flow. */
  #fresh(f: Frame, l3: number, port: FilterPort, out: boolean): number {
    const { conntrack, refusals, counters, pool } = this
    const { bytes: b } = pool
    const place = this.#place
    const tuple = this.#tuple
    const q = this.#question
    q.fromPacket(out, b, l3, place, tuple, true)
    if (pool.trace === null && refusals.has(q, tuple, port.generation)) return -2 - Drop.AclBlock
    counters.judged++
    const allowed = port.acl.judge(q)
    const { rule } = port.acl
    if (pool.trace !== null) this.#explain(f, '', port, rule)
    if (!allowed) {
      counters.refused++
      refusals.add(q, tuple, port.generation)
      return -2 - Drop.AclBlock
    }
    const state = conntrack.begin(b, place, tuple.kind)
    if (state < 0) return this.#options.invalid === 'judge' ? f : -2 - Drop.InvalidState
    if ((tuple.kind & IPV6) !== 0 && !this.#intern(b, l3)) {
      conntrack.counters.refused++
      return -2 - Drop.ConntrackFull
    }
    const reply = this.#other.invert(tuple)
    reply.kind = (reply.kind ^ 0x10000) >>> 0
    const flow = conntrack.insert(tuple, reply, state, conntrack.firstTimeout(place.protocol, state))
    if (flow === NO_FLOW) {
      if ((tuple.kind & IPV6) !== 0) {
        this.addresses.release(tuple.src)
        this.addresses.release(tuple.dst)
      }
      return -2 - Drop.ConntrackFull
    }
    conntrack.records[(flow << R.RECORD_SHIFT) + GENERATION] = port.generation
    conntrack.rest[(flow << R.REST_SHIFT) + RULE] = rule + 1
    conntrack.count(flow << 1, place.end - l3)
    this.#who = flow << 1
    return f
  }

  /** A packet of no flow: the rules say whether it passes, each time. */
  #alone(f: Frame, l3: number, port: FilterPort, out: boolean): number {
    const q = this.#question
    q.fromPacket(out, this.pool.bytes, l3, this.#place, this.#tuple, false)
    const allowed = port.acl.judge(q)
    if (this.pool.trace !== null) this.#explain(f, 'of no flow: ', port, port.acl.rule)
    return allowed ? f : -2 - Drop.AclBlock
  }

  /** Whether a flow is allowed, by the rules of now where they have changed. */
  #stands(flow: number, port: FilterPort): boolean {
    const at = flow << R.RECORD_SHIFT
    const { records } = this.conntrack
    if (records[at + GENERATION] !== port.generation && this.#options.onChange !== 'keep') this.#rejudge(flow, port)
    return ((records[at + R.STATE] as number) & BLOCKED) === 0
  }

  #rejudge(flow: number, port: FilterPort): void {
    const { records, rest } = this.conntrack
    const at = flow << R.RECORD_SHIFT
    const tuple = this.conntrack.tuple(flow, 0, this.#other)
    const q = this.#question
    q.fromTuple((tuple.kind & 0x10000) === 0, tuple, this.addresses)
    const allowed = port.acl.judge(q)
    const state = records[at + R.STATE] as number
    this.counters.rejudged++
    if (allowed !== ((state & BLOCKED) === 0)) {
      this.counters.changed++
      // What is blocked goes no fast way, and is the first to make room.
      records[at + R.STATE] = allowed ? state & ~BLOCKED : (state & ~(R.FAST | (R.FAST << 1) | R.ASSURED)) | BLOCKED
    }
    records[at + GENERATION] = port.generation
    rest[(flow << R.REST_SHIFT) + RULE] = port.acl.rule + 1
  }

  #blocked(f: Frame, flow: number, port: FilterPort): number {
    if (this.pool.trace !== null) this.#explainFlow(f, flow, port, 'blocked')
    return -2 - Drop.AclBlock
  }

  /** The flow and direction of an ICMP error, where it proves that it is about one. */
  #flowOfError(f: Frame, l3: number, zone: number): number {
    const place = this.#place
    const error = this.#error
    const read = error.read(this.pool, f, l3, place.l4, place.end, place.isFragment, this.addresses, zone)
    return read === IS_AN_ERROR ? this.conntrack.find(this.#other.invert(error.tuple)) : NO_FLOW
  }

  #isDiscovery(b: Uint8Array, l3: number): boolean {
    const place = this.#place
    if (place.protocol !== Proto.Icmpv6 || place.version !== 6 || place.isFragment) return false
    if (this.#options.neighbourDiscovery === 'judge' || ipv6.hopLimit(b, l3) !== 255) return false
    const type = b[place.l4] as number
    return type >= icmpv6.Type.RouterSolicitation && type <= icmpv6.Type.Redirect
  }

  /** Numbers the addresses of an IPv6 packet that begins a flow, into the tuple; flows make room as `whenFull` says. */
  #intern(b: Uint8Array, l3: number): boolean {
    const { addresses, conntrack } = this
    const src = addresses.intern(b, l3 + ipv6.SRC)
    if (src === 0) return conntrack.makeRoom(IPV6) && this.#internNow(b, l3)
    const dst = addresses.intern(b, l3 + ipv6.DST)
    if (dst === 0) {
      addresses.release(src)
      return conntrack.makeRoom(IPV6) && this.#internNow(b, l3)
    }
    this.#tuple.src = src
    this.#tuple.dst = dst
    return true
  }

  #internNow(b: Uint8Array, l3: number): boolean {
    const { addresses } = this
    const src = addresses.intern(b, l3 + ipv6.SRC)
    const dst = addresses.intern(b, l3 + ipv6.DST)
    if (src !== 0 && dst !== 0) {
      this.#tuple.src = src
      this.#tuple.dst = dst
      return true
    }
    addresses.release(src)
    addresses.release(dst)
    return false
  }

  #ended(flow: number): void {
    const { records } = this.conntrack
    const at = flow << R.RECORD_SHIFT
    if (((records[at + 3] as number) & IPV6) === 0) return
    this.addresses.release(records[at] as number)
    this.addresses.release(records[at + 1] as number)
  }

  /** For `Fragments`: a frame has waited, and the first of its packet has come. */
  ready(f: Frame, token: number): void {
    const link = this.#again(token)
    if (link === null) this.pool.drop(f, Drop.FragmentTimeout)
    else link.push(f)
  }

  /** For `Fragments`: a frame has waited in vain. */
  ended(f: Frame, _token: number, why: Drop): void {
    this.pool.drop(f, why)
  }

  #again(token: number): Link | null {
    if (token > NO_ZONE) return this.#ways[token - NO_ZONE - 1] ?? null
    const port = this.#ports[token >>> 1] ?? null
    if (port === null) return null
    return (token & 1) === 0 ? port.againOut : port.againIn
  }

  /** For gates: says where fragments go that have waited at an interface without a port, and gives the number for `order`. */
  addWay(again: Link): number {
    this.#ways.push(again)
    return NO_ZONE + this.#ways.length
  }

  /** For the loop: looks at a slice of the flows. */
  tick(now: number): void {
    const { conntrack } = this
    conntrack.at(now)
    conntrack.sweep(this.#slice)
    this.fragments.tick(now)
    if (this.#unsettled > 0) this.#settle()
  }

  /** Judges a slice of the flows again whose rules have changed. */
  #settle(): void {
    const { conntrack } = this
    const { records, maxFlows } = conntrack
    const n = Math.min(this.#changedSlice, maxFlows)
    for (let i = 0; i < n; i++) {
      const flow = this.#hand
      this.#hand = flow + 1 < maxFlows ? flow + 1 : 0
      if (!conntrack.has(flow) || !conntrack.isAlive(flow)) continue
      const at = flow << R.RECORD_SHIFT
      const port = this.#ports[(records[at + 3] as number) >>> 17] ?? null
      if (port !== null && port.unsettled > 0 && records[at + GENERATION] !== port.generation) this.#rejudge(flow, port)
    }
    for (const port of this.#ports) {
      if (port === null || port.unsettled === 0) continue
      port.unsettled = Math.max(0, port.unsettled - n)
      if (port.unsettled === 0) this.#unsettled--
    }
  }

  #note(f: Frame, why: string): void {
    const { trace } = this.pool
    if (trace?.follows(f)) trace.note(f, 'acl', why)
  }

  #explain(f: Frame, before: string, port: FilterPort, rule: number): void {
    const { trace } = this.pool
    if (trace?.follows(f)) trace.note(f, 'acl', before + port.acl.explain(rule))
  }

  #explainFlow(f: Frame, flow: number, port: FilterPort, verdict: string): void {
    const { trace } = this.pool
    if (!trace?.follows(f)) return
    const { records, rest } = this.conntrack
    const current = records[(flow << R.RECORD_SHIFT) + GENERATION] === port.generation
    const rule = (rest[(flow << R.REST_SHIFT) + RULE] as number) - 1
    const why = current ? port.acl.explain(rule) : 'by rules that have changed since'
    trace.note(f, 'acl', `a flow that is ${verdict}: ${why}`)
  }
}

/** Whether a TCP segment is a SYN without an ACK. */
function opensConnection(b: Uint8Array, { l4, end }: Place): boolean {
  const both = tcp.Flag.Syn | tcp.Flag.Ack
  return end - l4 >= tcp.HLEN && (tcp.flags(b, l4) & both) === tcp.Flag.Syn
}

function oneOf(name: string, value: string | undefined, values: readonly string[]): void {
  if (value !== undefined && !values.includes(value)) {
    throw new RangeError(`${name} must be ${values.join(' or ')}, not ${String(value)}`)
  }
}
