import {
  type Clock,
  checkRange,
  Drop,
  type Frame,
  type FramePool,
  NO_FRAME,
  SECOND,
  type Ticker,
} from '@l2l3/switch-core'
import { ipv4, ipv6 } from '@l2l3/switch-core/wire'
import { FragmentHeader, Kind } from './header.ts'
import { FragmentTable, LISTS, LOOSE, Passed, State, WAITING } from './table.ts'

/*
 * Fragments on their way through a NAT: virtual reassembly.
 *
 * Only the first fragment of a packet has the ports that say which flow it is of. So the flow of the first is remembered for
 * the others, by what makes them one packet: source, destination, identification, protocol, zone. No bytes are gathered;
 * every fragment goes on as it came, with its size and identification, only its addresses are translated. (Linux puts the
 * packet together and cuts it again into pieces no larger than they were, which comes to the same; modes.md 18.5.)
 *
 *                                   first seen?
 *     first  ------------------->   its flow is remembered; those that wait are released
 *     later, first has passed  -->  same flow
 *     later, first has not     -->  held: so many a packet, so many and so many bytes in all, so long
 *     overlaps what has passed -->  dropped, and all that comes after it (RFC 5722, also for IPv4, as in Linux)
 *     duplicate, or cut within the header of the upper layer -->  dropped, nothing else (RFC 1858, RFC 3128)
 *     all have passed          -->  forgotten
 *
 * The engine, in `arrived` (the same for both families, and before the tuple is looked for; `place.isFragment` says when to ask):
 *
 *     switch (fragments.accept(f, l3, end, zone, token)) {      end: of the packet; token: 32 bits that come back, an interface
 *       case Turn.Whole:    not a fragment (an "atomic" one of IPv6 is none, RFC 6946)
 *       case Turn.First:    tuple, flow and translation as for a whole packet; then `fragments.bind(flow, stamp)` or
 *                           `fragments.refuse(why)` before the next `accept` or tick. Without either the others are refused.
 *       case Turn.Follows:  the flow is fragments.flow, fragments.stamp, as they were bound: two numbers of 32 bits of the
 *                           engine's. Only addresses are to be translated.
 *       case Turn.Held:     taken: the frame is not the engine's any more
 *       case Turn.Dropped:  to be dropped for fragments.why
 *     }
 *
 * `ready(f, token)` gets those that waited, from within `bind`: it puts them into a link from which they come to `accept` again
 * (so that they leave after the first), and is counted on neither to process them on the spot nor not to. `ended(f, token, why)`
 * drops those that waited in vain. A held frame is owned by the table, and counts as held in the ledger.
 *
 * A flood of fragments whose first never comes puts out the oldest of its own kind; packets whose first has passed go on. So it is
 * with first fragments of no flow, to the node itself or refused: they make room for whatever comes. A flood of first fragments of
 * flows fills the table, after which new ones are refused until some have ended: those in the table go on.
 *
 * An SCTP checksum cannot be moved in a fragment (see crc32c.ts), all others can: the first fragment has checksum and ports.
 */

/** What becomes of a fragment. */
export const Turn = {
  /** It is none. */
  Whole: 0,
  /** The first of its packet: `bind` or `refuse` follows. */
  First: 1,
  /** A later one, of the flow in `flow` and `stamp`. */
  Follows: 2,
  /** It waits, and is the table's. */
  Held: 3,
  /** It is to be dropped, for the reason in `why`. */
  Dropped: 4,
} as const
/** A value of `Turn`. */
export type Turn = (typeof Turn)[keyof typeof Turn]

/** Settings of `Fragments`. Times in nanoseconds. */
export interface FragmentsOptions {
  /** Packets in pieces at a time, at most; 2 to 65,536. Default 1,024. One takes 1,152 bytes. */
  packets?: number
  /** Packets whose first fragment has not come, at most; 1 to `packets`. Default a quarter of `packets`. */
  waitingPackets?: number
  /** Fragments that wait, at most; 1 to the frames of the pool. Default 1,024, or a quarter of the pool. */
  heldFrames?: number
  /** Fragments of one packet that wait, at most; 1 to 8,191. Default 64: a packet of 64 KiB in pieces of 1,500 has 45. */
  heldPerPacket?: number
  /** Bytes of frames that wait, at most. Default 4 MiB, as in Linux. */
  heldBytes?: number
  /** How long fragments wait for the first. Default 2 s: what is only out of order comes within milliseconds. */
  waitTime?: number
  /** How long a packet's flow is remembered after the first fragment. Default 30 s, as in Linux. */
  timeout?: number
  /** Seed of the hash, 32 bits. Default 0; on a network one that strangers do not know. */
  seed?: number
}

/** Gets the frames that waited. */
export interface FragmentWaiter {
  /** The first fragment has come: the frame is to be given to `accept` again. It is the receiver's. */
  ready(f: Frame, token: number): void
  /** The frame is to be dropped for this reason. */
  ended(f: Frame, token: number, why: Drop): void
}

/** Counts of fragments. */
export interface FragmentCounters {
  /** First fragments, and later ones that followed them. */
  passed: number
  /** Later fragments that waited. */
  held: number
  /** Packets all of whose fragments have passed. */
  complete: number
  /** Duplicates, and fragments that overlapped or were cut within a header. */
  overlaps: number
  /** Packets whose first fragment did not come in time, and those that were put out before. */
  timedOut: number
  evicted: number
}

/** Has fragments follow the first of their packet. */
export class Fragments implements Ticker {
  /** After `Turn.Follows`: what `bind` was told. */
  flow = 0
  stamp = 0
  /** After `Turn.Dropped`: why. */
  why: Drop = Drop.Malformed
  readonly counters: FragmentCounters = { passed: 0, held: 0, complete: 0, overlaps: 0, timedOut: 0, evicted: 0 }

  readonly #pool: FramePool
  readonly #clock: Clock
  readonly #waiter: FragmentWaiter
  readonly #table: FragmentTable
  readonly #header: FragmentHeader = new FragmentHeader()
  readonly #waitingPackets: number
  readonly #heldFrames: number
  readonly #heldPerPacket: number
  readonly #heldBytes: number
  readonly #waitTime: number
  readonly #timeout: number
  /** The row that `bind` is about; -1: none. */
  #current = -1

  /** Throws a RangeError with the option's name where one is out of range. */
  constructor(pool: FramePool, clock: Clock, waiter: FragmentWaiter, options: FragmentsOptions = {}) {
    const packets = checkRange('packets', options.packets ?? 1024, 2, 65_536)
    this.#pool = pool
    this.#clock = clock
    this.#waiter = waiter
    this.#waitingPackets = checkRange('waitingPackets', options.waitingPackets ?? Math.ceil(packets / 4), 1, packets)
    this.#heldFrames = checkRange(
      'heldFrames',
      options.heldFrames ?? Math.min(1024, Math.ceil(pool.frames / 4)),
      1,
      pool.frames,
    )
    this.#heldPerPacket = checkRange('heldPerPacket', options.heldPerPacket ?? 64, 1, 8191)
    this.#heldBytes = checkRange('heldBytes', options.heldBytes ?? 4 << 20, 1, 2 ** 32)
    this.#waitTime = checkRange('waitTime', options.waitTime ?? 2 * SECOND, 1, 2 ** 52)
    this.#timeout = checkRange('timeout', options.timeout ?? 30 * SECOND, 1, 2 ** 52)
    this.#table = new FragmentTable(pool, packets, checkRange('seed', options.seed ?? 0, -(2 ** 31), 2 ** 32 - 1))
  }

  /** Packets in pieces that are remembered now. */
  get packets(): number {
    return this.#table.size
  }

  /** Frames that wait now. */
  get held(): number {
    return this.#table.frames
  }

  /** Bytes of frames that wait now. */
  get heldBytes(): number {
    return this.#table.bytes
  }

  /** Says what becomes of the IP packet `[l3, end)` in `f`, whose header lengths have been checked. */
  accept(f: Frame, l3: number, end: number, zone: number, token: number): Turn {
    const kind = this.#header.read(this.#pool.bytes, l3, end)
    if (kind === Kind.Whole) return Turn.Whole
    this.#giveUp()
    if (kind === Kind.Malformed) return this.#dropped(Drop.Malformed)
    if (kind === Kind.Tiny) return this.#overlap()
    const table = this.#table
    this.#fillKey(l3, zone)
    let row = table.find()
    if (row !== -1 && table.deadline[row] <= this.#clock.now) {
      this.#expire(row)
      row = -1
    }
    if (row === -1 || table.state[row] === State.Waiting) {
      return kind === Kind.First ? this.#first(row) : this.#hold(row, f, token)
    }
    if (table.state[row] === State.Refused) return this.#dropped(table.flow[row] as Drop)
    this.flow = table.flow[row]
    this.stamp = table.stamp[row]
    return this.#pass(row) ? Turn.Follows : Turn.Dropped
  }

  /** Says which flow the first fragment, which `accept` has just seen, is of, and releases those that waited for it. */
  bind(flow: number, stamp: number): void {
    this.#bind(State.Known, flow, stamp)
  }

  /** Says that it is of none, but passes: the others are told this flow (see `bind`). They are forgotten first when there is no
   * room. */
  bindLoosely(flow: number, stamp: number): void {
    this.#bind(State.Loose, flow, stamp)
  }

  #bind(state: number, flow: number, stamp: number): void {
    const row = this.#current
    if (row === -1) return
    this.#current = -1
    const table = this.#table
    table.become(row, state)
    table.deadline[row] = this.#clock.now + this.#timeout
    table.flow[row] = flow
    table.stamp[row] = stamp
    for (let f = table.detach(row); f !== NO_FRAME; ) {
      const next = table.after(f)
      this.#waiter.ready(f, table.token(f))
      f = next
    }
  }

  /** Has the fragments of the packet whose first `accept` has just seen dropped for a reason, also those to come. */
  refuse(why: Drop): void {
    const row = this.#current
    if (row === -1) return
    this.#current = -1
    this.#table.flow[row] = why
    this.#end(row, why)
  }

  /** Ends what has waited, or been remembered, for too long. */
  tick(now: number): void {
    const table = this.#table
    this.#giveUp()
    for (let list = 0; list < LISTS; list++) {
      for (let row = table.oldest(list); row !== -1 && table.deadline[row] <= now; row = table.oldest(list)) {
        this.#expire(row)
      }
    }
  }

  /** The first fragment that nobody has said anything about was dropped on its way: so are the others. */
  #giveUp(): void {
    if (this.#current !== -1) this.refuse(Drop.InvalidState)
  }

  /** Makes room where all rows are in use: those of no flow go first, then those that wait. */
  #makeRoom(): void {
    const table = this.#table
    if (table.size < table.rows) return
    const loose = table.oldest(LOOSE)
    const row = loose !== -1 ? loose : table.oldest(WAITING)
    if (row !== -1) this.#evict(row)
  }

  /** Drops the fragments that came with this token, or with any, and wait, for a reason, and with them the rest of their packets. */
  drop(token: number | null, why: Drop): void {
    const table = this.#table
    for (let row = table.oldest(WAITING); row !== -1; ) {
      const next = table.younger(row)
      let found = table.first(row)
      while (found !== NO_FRAME && token !== null && table.token(found) !== token) found = table.after(found)
      if (found !== NO_FRAME) {
        this.#end(row, why)
        table.remove(row)
      }
      row = next
    }
  }

  #fillKey(l3: number, zone: number): void {
    const { data, bytes: b } = this.#pool
    const { key } = this.#table
    const header = this.#header
    const v6 = b[l3] >>> 4 === 6
    if (v6) {
      for (let i = 0; i < 8; i++) key[i] = data.getInt32(l3 + ipv6.SRC + 4 * i, true)
    } else {
      key.fill(0, 0, 8)
      key[0] = data.getInt32(l3 + ipv4.SRC, true)
      key[4] = data.getInt32(l3 + ipv4.DST, true)
    }
    key[8] = header.id
    key[9] = (v6 ? 0x600 : 0x400) | header.protocol
    key[10] = zone
  }

  #first(found: number): Turn {
    const table = this.#table
    let row = found
    // Until it is bound it is refused.
    if (row !== -1) table.become(row, State.Refused)
    else {
      this.#makeRoom()
      row = table.add(State.Refused)
      if (row === -1) return this.#dropped(Drop.FragmentQueueFull)
    }
    table.deadline[row] = this.#clock.now + this.#timeout
    table.flow[row] = Drop.InvalidState
    table.pass(row, this.#header.from, this.#header.to, false)
    this.#current = row
    this.counters.passed++
    return Turn.First
  }

  /** Lets a later fragment of a known packet through, if it adds to what has passed. */
  #pass(row: number): boolean {
    const { from, to, last } = this.#header
    const table = this.#table
    switch (table.pass(row, from, to, last)) {
      case Passed.Complete:
        table.remove(row)
        this.counters.complete++
        break
      case Passed.Contradicts:
        table.become(row, State.Refused)
        table.deadline[row] = this.#clock.now + this.#timeout
        table.flow[row] = Drop.FragmentOverlap
        this.#overlap()
        return false
      case Passed.Before:
        this.#overlap()
        return false
    }
    this.counters.passed++
    return true
  }

  #hold(found: number, f: Frame, token: number): Turn {
    const table = this.#table
    const bytes = this.#pool.len[f]
    let row = found
    if (row !== -1 && table.count(row) >= this.#heldPerPacket) return this.#dropped(Drop.FragmentQueueFull)
    while (table.frames >= this.#heldFrames || table.bytes + bytes > this.#heldBytes) {
      const oldest = table.oldest(WAITING)
      if (oldest === -1 || oldest === row) return this.#dropped(Drop.FragmentQueueFull)
      this.#evict(oldest)
    }
    if (row === -1) {
      if (table.waiting >= this.#waitingPackets) this.#evict(table.oldest(WAITING))
      this.#makeRoom()
      if (table.size === table.rows) return this.#dropped(Drop.FragmentQueueFull)
    }
    const g = this.#pool.own(f)
    if (g === NO_FRAME) return Turn.Held
    if (row === -1) {
      row = table.add(State.Waiting)
      table.deadline[row] = this.#clock.now + this.#waitTime
    }
    table.hold(row, g, token)
    const { trace } = this.#pool
    if (trace?.follows(g)) trace.note(g, 'NAT', 'a later fragment: it waits for the first, which has the ports')
    this.counters.held++
    return Turn.Held
  }

  #dropped(why: Drop): Turn {
    this.why = why
    return Turn.Dropped
  }

  #overlap(): Turn {
    this.counters.overlaps++
    return this.#dropped(Drop.FragmentOverlap)
  }

  #evict(row: number): void {
    this.counters.evicted++
    this.#end(row, Drop.FragmentQueueFull)
    this.#table.remove(row)
  }

  #expire(row: number): void {
    if (this.#table.state[row] === State.Waiting) this.counters.timedOut++
    this.#end(row, Drop.FragmentTimeout)
    this.#table.remove(row)
  }

  /** Drops the frames that wait on a row. */
  #end(row: number, why: Drop): void {
    const table = this.#table
    for (let f = table.detach(row); f !== NO_FRAME; ) {
      const next = table.after(f)
      this.#waiter.ended(f, table.token(f), why)
      f = next
    }
  }
}
