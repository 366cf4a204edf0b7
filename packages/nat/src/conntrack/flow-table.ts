import { checkRange, makeBuffer, type Room } from '@l2l3/switch-core'
import type { Tuple } from '../tuple.ts'
import * as R from './record.ts'

/*
 * All flows, in bounded memory, found by either of their tuples.
 *
 *     index    slots of one word: some bits of a tuple's hash, and whose it is   | tag | (flow << 1 | direction) + 1 |, 0: nobody's
 *              open addressing, at most half full; what collides goes to the next slot. The home slot is the upper bits of the
 *              hash, the tag the lower ones: 14 bits with 65,536 flows, 10 with a million
 *     records  sixteen words a flow, and eight in `rest` that are seldom needed (record.ts)
 *
 * The index answers with one cache line and the record is the second: a slot knows enough of the hash that records of other flows
 * are seldom looked at. Removal moves later slots back; where their homes are, their records tell. No slot is farther from its
 * home than PROBES, so that every search is bounded; the multipliers of the hash come from the seed, so that strangers do not
 * know what collides.
 *
 * A record is one line only where the first begins at the start of one. An ArrayBuffer mostly begins 16 bytes behind, and then the
 * counts of each flow are in another line, for which the fast run has not asked in time: a frame of a million flows took 114 ns
 * instead of 55 (measured). So records and index are in the room beside the frames, where every place starts at a line and the
 * fast run in WebAssembly reaches them; or, where they find none, with the rest in a memory of WebAssembly, which starts at a page.
 *
 * A flow whose time is up is gone for whoever looks: it is taken out when it is met, when room is needed, or by `sweep`,
 * which looks at a slice of the records at a time. Removing tells `onEnd`, which frees what the flow held.
 */

/** Bytes of a page of WebAssembly. */
const PAGE = 65_536
/** Slots that a search looks at. */
const PROBES = 128
/** Records that are looked at to make room. */
const SAMPLE = 64
/** Flows that a sweep takes out, at most: its time is theirs, and what their ends have to tell must find room. */
const SWEPT = 2048
/** Nanoseconds in which every flow that nobody looked at has ended: more than the longest timeout, less than 32 bits of
 * milliseconds can tell from the past. */
const LONG = 2 ** 30 * 1e6
/** The oldest that a flow is said to be, in milliseconds. */
const OLDEST = 2 ** 31 - 1

/** What becomes of a new flow when the table is full: it is refused, or takes the place of the idlest of a sample of 64, of those
 * that are not assured (answered, established) if there are any. Expired ones go first in either case. */
export type WhenFull = 'refuse' | 'evict'

/** Settings of the table. */
export interface FlowTableOptions {
  /** Flows at most; 16 to 4,194,304. Default 65,536. A flow takes 116 bytes where that is a power of two (else up to
   * 196), and with the first of IPv6 another 56 to 88 for addresses. 80 of them (up to 160) are beside the frames where the pool has room
   * (`FramePoolOptions.tables`): then known flows take the fast run in WebAssembly. */
  maxFlows?: number
  /** Default `refuse`. */
  whenFull?: WhenFull
  /** Whether packets and bytes are counted by flow and direction. Default true. */
  counters?: boolean
  /** Seed of the hash, 32 bits. Default 0, for runs that must repeat; on a network one that strangers do not know. */
  seed?: number
}

/** Flows, by number. A direction of a flow is `flow << 1 | direction`, 0 the original, 1 the answers; NO_FLOW is none. */
export const NO_FLOW = -1

/** How often what happened. */
export interface FlowTableCounters {
  /** Flows that were made. */
  made: number
  /** Flows whose time was up. */
  expired: number
  /** Flows that had to make room. */
  evicted: number
  /** New flows that found no room. */
  refused: number
}

/** Holds flows. */
export class FlowTable {
  readonly maxFlows: number
  readonly whenFull: WhenFull
  readonly counting: boolean
  /* For loops that work on many packets. `leave` puts others in their place. */
  records: Int32Array
  index: Int32Array
  /** What is seldom needed of the flows, eight words each. */
  readonly rest: Int32Array
  /** How far a hash is shifted to give its home slot. */
  readonly shift: number
  /** How many bits of a slot say whose it is. */
  readonly whoBits: number
  /** Multipliers of the hash: odd numbers. */
  readonly multipliers: Int32Array
  readonly counters: FlowTableCounters = { made: 0, expired: 0, evicted: 0, refused: 0 }
  /** Is told before a flow is taken out, while its record still stands. */
  onEnd: (flow: number) => void = nobody
  /** Milliseconds of the clock, 32 bits: set by `at`. */
  ms = 0
  readonly #room: Room | null
  readonly #mask: number
  readonly #free: Uint32Array
  #spare: number
  /** Records that were ever in use: those behind need no sweeping. */
  #top = 0
  #hand = 0
  #victimHand = 0
  #ns = -1

  /** @param room where records and index are to be, if there is place: then the fast run is in WebAssembly */
  constructor(options: FlowTableOptions = {}, room: Room | null = null) {
    const max = checkRange('maxFlows', options.maxFlows ?? 65_536, 16, 1 << 22)
    this.maxFlows = max
    this.whenFull = options.whenFull ?? 'refuse'
    if (this.whenFull !== 'refuse' && this.whenFull !== 'evict') {
      throw new RangeError(`whenFull must be 'refuse' or 'evict', not ${String(this.whenFull)}`)
    }
    const seed = options.seed ?? 0
    if (!Number.isInteger(seed) || Math.abs(seed) >= 2 ** 32) {
      throw new RangeError(`seed must be a whole number of 32 bits, not ${seed}`)
    }
    this.counting = options.counters ?? true
    const bits = Math.max(6, Math.ceil(Math.log2(max * 4)))
    this.whoBits = Math.ceil(Math.log2(max * 2 + 1))
    this.#mask = (1 << bits) - 1
    this.shift = 32 - bits
    this.multipliers = Int32Array.from([0, 1, 2, 3], (i) => multiplier(seed, i))
    // Records and index end with room that is never used: what is masked and then added to stays within them, and need not be checked.
    const records = (2 ** Math.ceil(Math.log2(max)) + 1) << R.RECORD_SHIFT
    const rest = max << R.REST_SHIFT
    const index = (1 << bits) + 1
    const near = room === null ? null : inRoom(room, records, index)
    this.#room = room
    const words = near === null ? records + index : 0
    const buffer = pages(4 * (words + rest + max))
    this.records = near?.records ?? new Int32Array(buffer, 0, records)
    this.index = near?.index ?? new Int32Array(buffer, 4 * records, index)
    this.rest = new Int32Array(buffer, 4 * words, rest)
    this.#free = new Uint32Array(buffer, 4 * (words + rest), max)
    for (let i = 0; i < max; i++) this.#free[i] = max - 1 - i
    this.#spare = max
  }

  /** Flows, including those whose time is up and that await the sweep. */
  get size(): number {
    return this.maxFlows - this.#spare
  }

  /** Gives the room back that an empty table has; it goes on elsewhere. Nobody may hold its arrays. */
  leave(): void {
    const { records, index } = this
    this.records = new Int32Array(records.length)
    this.index = new Int32Array(index.length)
    this.#room?.release(records)
    this.#room?.release(index)
  }

  /** Bytes of memory that the table has taken: all it will. */
  get bytes(): number {
    return this.index.byteLength + this.records.byteLength + this.rest.byteLength + this.#free.byteLength
  }

  /** Says what time it is, in nanoseconds of the clock. */
  at(now: number): void {
    if (now === this.#ns) return
    const long = now - this.#ns > LONG
    this.#ns = now
    this.ms = Math.floor(now / 1e6) | 0
    if (long) this.#endAll()
  }

  /** The clock has jumped, and everything has ended since. */
  #endAll(): void {
    const { records, ms } = this
    for (let flow = 0; flow < this.#top; flow++) records[(flow << R.RECORD_SHIFT) + R.EXPIRES] = ms
  }

  /** The flow and direction of a tuple, or NO_FLOW. */
  find(t: Tuple): number {
    return this.#find(R.addressWord(t.src, t.kind), R.addressWord(t.dst, t.kind), R.swap32(t.ports), t.kind | 0)
  }

  #find(src: number, dst: number, ports: number, kind: number): number {
    const { index, records, whoBits } = this
    const hash = this.#hash(src, dst, ports, kind)
    const tag = hash << whoBits
    let slot = hash >>> this.shift
    for (let k = 0; k < PROBES; k++, slot = (slot + 1) & this.#mask) {
      const word = index[slot] as number
      if (word === 0) return NO_FLOW
      if ((word ^ tag) >>> whoBits !== 0) continue
      const found = (word ^ tag) - 1
      const at = ((found >>> 1) << R.RECORD_SHIFT) + ((found & 1) << 2)
      if (records[at] !== src || records[at + 1] !== dst) continue
      if (records[at + 2] !== ports || records[at + 3] !== kind) continue
      if (this.isAlive(found >>> 1)) return found
      this.#expire(found >>> 1)
      return NO_FLOW
    }
    return NO_FLOW
  }

  /** The number of a flow among all that were ever made, 32 bits: tells flows apart that had the same record. */
  id(flow: number): number {
    return (this.rest[(flow << R.REST_SHIFT) + R.ID] as number) >>> 0
  }

  /** Packets (0) or bytes (1) of a direction of a flow, `flow << 1 | direction`. */
  counted(who: number, what: 0 | 1): number {
    const at = ((who & 1) << 1) + what
    const low = (this.records[((who >>> 1) << R.RECORD_SHIFT) + R.COUNTS + at] as number) >>> 0
    return low + ((this.rest[((who >>> 1) << R.REST_SHIFT) + R.UPPER_COUNTS + at] as number) >>> 0) * 2 ** 32
  }

  /** Counts a packet of so many bytes, IP header included. */
  count(who: number, bytes: number): void {
    if (!this.counting) return
    this.#add(who, 0, 1)
    this.#add(who, 1, bytes)
  }

  #add(who: number, what: 0 | 1, n: number): void {
    const { records, rest } = this
    const at = ((who >>> 1) << R.RECORD_SHIFT) + R.COUNTS + ((who & 1) << 1) + what
    const sum = ((records[at] as number) + n) | 0
    records[at] = sum
    if (sum >>> 0 >= n) return
    const upper = ((who >>> 1) << R.REST_SHIFT) + R.UPPER_COUNTS + ((who & 1) << 1) + what
    rest[upper] = (rest[upper] as number) + 1
  }

  /** Whether the time of a flow is not up. */
  isAlive(flow: number): boolean {
    return (((this.records[(flow << R.RECORD_SHIFT) + R.EXPIRES] as number) - this.ms) | 0) > 0
  }

  /** Whether the number is that of a flow. */
  has(flow: number): boolean {
    return flow < this.maxFlows && ((this.records[(flow << R.RECORD_SHIFT) + R.STATE] as number) & R.USED) !== 0
  }

  /** Makes a flow of two tuples that `find` does not know, with `state` and a time to live in milliseconds; NO_FLOW when there is
   * no room. */
  insert(original: Tuple, reply: Tuple, state: number, timeout: number): number {
    if (this.#spare === 0 && !this.makeRoom()) {
      this.counters.refused++
      return NO_FLOW
    }
    const flow = this.#free[this.#spare - 1] as number
    const at = flow << R.RECORD_SHIFT
    const { records } = this
    R.putTuple(records, at, original)
    R.putTuple(records, at + 4, reply)
    if (!this.#place(at, flow << 1)) {
      this.counters.refused++
      return NO_FLOW
    }
    if (!this.#place(at + 4, (flow << 1) | 1)) {
      this.#unplace(at, flow << 1)
      this.counters.refused++
      return NO_FLOW
    }
    this.#spare--
    if (flow >= this.#top) this.#top = flow + 1
    records[at + R.DELTA] = 0
    records[at + R.EXPIRES] = this.ms + timeout
    records[at + R.TIMEOUT] = timeout
    records[at + R.STATE] = state | R.USED
    // Stores: of so few words, fill() takes four times as long (measured).
    for (let i = at + R.COUNTS; i < at + R.COUNTS + 4; i++) records[i] = 0
    const { rest } = this
    const more = flow << R.REST_SHIFT
    for (let i = more; i < more + (1 << R.REST_SHIFT); i++) rest[i] = 0
    rest[more + R.CREATED] = this.ms
    rest[more + R.ID] = ++this.counters.made
    return flow
  }

  /** Takes a flow out. */
  remove(flow: number): void {
    this.onEnd(flow)
    const at = flow << R.RECORD_SHIFT
    this.#unplace(at, flow << 1)
    this.#unplace(at + 4, (flow << 1) | 1)
    this.records[at + R.STATE] = 0
    this.#free[this.#spare++] = flow
  }

  /** Ends a flow's time now: nobody finds it any more, and its record stands until somebody needs the room, or sweeps. */
  end(flow: number): void {
    this.records[(flow << R.RECORD_SHIFT) + R.EXPIRES] = this.ms
  }

  /** Looks at the next `n` records, and takes out the flows whose time is up, 2,048 at most. Gives how many. */
  sweep(n: number): number {
    const { rest, ms } = this
    let gone = 0
    for (let i = Math.min(n, this.#top); i > 0 && gone < SWEPT; i--) {
      if (this.#hand >= this.#top) this.#hand = 0
      const flow = this.#hand++
      if (!this.has(flow)) continue
      if (this.isAlive(flow)) {
        // Its age comes to an end before its 32 bits do.
        const created = (flow << R.REST_SHIFT) + R.CREATED
        if ((ms - (rest[created] as number)) >>> 0 > OLDEST) rest[created] = ms - OLDEST
        continue
      }
      this.#expire(flow)
      gone++
    }
    return gone
  }

  /** Numbers of flows that are not expired, from `from` on: the next, or NO_FLOW. */
  next(from: number): number {
    for (let flow = from; flow < this.#top; flow++) if (this.has(flow) && this.isAlive(flow)) return flow
    return NO_FLOW
  }

  /** The tuple of a direction of a flow. */
  tuple(flow: number, direction: number, into: Tuple): Tuple {
    R.getTuple(this.records, (flow << R.RECORD_SHIFT) + (direction << 2), into)
    return into
  }

  #expire(flow: number): void {
    this.counters.expired++
    this.remove(flow)
  }

  /** Takes out what is expired in a sample, or else, where the policy says so, the idlest; false where it finds none.
   * @param of bits of a flow's kind that it must have: those of IPv6 make room for addresses */
  makeRoom(of = 0): boolean {
    let worst = NO_FLOW
    let worstIdle = -1
    for (let i = 0; i < SAMPLE; i++) {
      const flow = this.#victimHand
      this.#victimHand = flow + 1 < this.#top ? flow + 1 : 0
      if (!this.has(flow) || ((this.records[(flow << R.RECORD_SHIFT) + 3] as number) & of) !== of) continue
      if (!this.isAlive(flow)) {
        this.#expire(flow)
        return true
      }
      const at = flow << R.RECORD_SHIFT
      const { records } = this
      const seen = (records[at + R.EXPIRES] as number) - (records[at + R.TIMEOUT] as number)
      const assured = ((records[at + R.STATE] as number) & R.ASSURED) !== 0
      const idle = Math.max(0, (this.ms - seen) | 0) + (assured ? 0 : 2 ** 32)
      if (idle > worstIdle) {
        worstIdle = idle
        worst = flow
      }
    }
    if (this.whenFull === 'refuse' || worst === NO_FLOW) return false
    this.counters.evicted++
    this.remove(worst)
    return true
  }

  /** Puts the tuple at word `at` of the records into the index. */
  #place(at: number, who: number): boolean {
    const { index } = this
    const hash = this.#hashAt(at)
    let slot = hash >>> this.shift
    for (let k = 0; k < PROBES; k++, slot = (slot + 1) & this.#mask) {
      if (index[slot] !== 0) continue
      index[slot] = (hash << this.whoBits) | (who + 1)
      return true
    }
    return false
  }

  #unplace(at: number, who: number): void {
    const { index, shift, whoBits } = this
    const mask = this.#mask
    const hash = this.#hashAt(at)
    const word = (hash << whoBits) | (who + 1)
    const whose = (1 << whoBits) - 1
    let hole = hash >>> shift
    for (let k = 0; index[hole] !== word; k++, hole = (hole + 1) & mask) if (k === PROBES) return
    for (let slot = (hole + 1) & mask; index[slot] !== 0; slot = (slot + 1) & mask) {
      const other = ((index[slot] as number) & whose) - 1
      const home = this.#hashAt(((other >>> 1) << R.RECORD_SHIFT) + ((other & 1) << 2)) >>> shift
      // Whoever's home is at the hole or before it may move there.
      if (((slot - home) & mask) < ((slot - hole) & mask)) continue
      index[hole] = index[slot] as number
      hole = slot
    }
    index[hole] = 0
  }

  #hashAt(at: number): number {
    const { records } = this
    return this.#hash(records[at]!, records[at + 1]!, records[at + 2]!, records[at + 3]!)
  }

  #hash(src: number, dst: number, ports: number, kind: number): number {
    return flowHash(this.multipliers, src, dst, ports, kind)
  }
}

/**
 * The hash of a tuple as it stands in a record, by four odd multipliers. Its upper bits are the best.
 *
 * A product spreads bits upwards only, and of an address that was read in little-endian order the last bytes, which differ, are the
 * upper ones: they are turned to the lower end first, and ports come in both ways round. (Without that, 65,536 flows of a few
 * hosts collide ten times as often as chance would have it.) fast-run.ts has the same in its loop.
 */
export function flowHash(m: Int32Array, src: number, dst: number, ports: number, kind: number): number {
  let h = Math.imul((src << 16) | (src >>> 16), m[0] as number) + Math.imul((dst << 16) | (dst >>> 16), m[1] as number)
  h = (h + Math.imul(ports, m[2] as number) + Math.imul((ports >>> 16) ^ kind, m[3] as number)) | 0
  return Math.imul(h ^ (h >>> 15), 0x2c1b3c6d)
}

/** An odd number that nobody guesses who does not know the seed. */
function multiplier(seed: number, i: number): number {
  let h = Math.imul((seed | 0) ^ 0x9e3779b9, 0x85ebca6b) + Math.imul(i + 1, 0xc2b2ae35)
  h = Math.imul(h ^ (h >>> 16), 0x7feb352d)
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b)
  return (h ^ (h >>> 16)) | 1
}

/** Records and index of so many words in a room, or null where they do not both find place. (There a place is whole cache lines, so that
 * three words behind the index may be read.) */
function inRoom(room: Room, records: number, index: number): { records: Int32Array; index: Int32Array } | null {
  const arrays = { records: room.array(Int32Array, records), index: room.array(Int32Array, index) }
  if (room.has(arrays.records) && room.has(arrays.index)) return arrays
  room.release(arrays.records)
  room.release(arrays.index)
  return null
}

/** Memory that starts at a page; where there is less than a page of it, all of it is near anyway. */
function pages(bytes: number): ArrayBufferLike {
  return bytes < PAGE ? new ArrayBuffer(bytes) : makeBuffer(bytes, false)
}

function nobody(): void {}
