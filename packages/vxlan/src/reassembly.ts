import { type Clock, Drop, type Frame, type FramePool, NO_FRAME, Offload, SECOND } from '@l2l3/switch-core'
import { eth, ipv4, put16, u16, u32 } from '@l2l3/switch-core/wire'
import * as explain from './explain.ts'

/*
 * Puts outer IPv4 fragments together (RFC 791, 3.2; RFC 815): what a tunnel's far end, or a router on the way, has cut since
 * it did not fit - IPv6 of 1,280 bytes inside has to get through, whatever the underlay takes.
 *
 *     first fragment   | Eth | IP, MF | UDP to our port ...   |        its row grows: the packet becomes whole in place
 *     later fragment   | Eth | IP, offset | ....... |                  its bytes go where they belong
 *
 * Only the first fragment says whose the packet is: later ones that come before it are not known, and are left to others.
 * Senders send in order, and fragments of a packet take one way, since they have no ports to be spread by.
 *
 * All is bounded: so many packets at a time, of which the oldest gives way; no packet longer than what fits into its slot; none
 * is added to when it has waited for 30 seconds (Linux' ipfrag_time). Fragments that overlap end the packet (RFC 5722 for IPv6, Linux for both):
 * nobody honest makes them. A fragment that comes twice is the same.
 */

/** Packets that are put together at a time. */
const MOST = 16
const LIFETIME = 30 * SECOND
/** Words of a key: source, destination, identification and protocol. */
const KEY = 3

/** Puts together the packets of one tunnel's end. */
export class Reassembly {
  readonly #pool: FramePool
  readonly #clock: Clock
  readonly #keys: Int32Array = new Int32Array(MOST * KEY)
  /** The first fragments; `NO_FRAME` where a place is free. */
  readonly #rows: Int32Array = new Int32Array(MOST).fill(NO_FRAME)
  readonly #since: Float64Array = new Float64Array(MOST)
  /** Bytes behind the IP header that are there, and that there will be: 0 as long as the last fragment is missing. */
  readonly #have: Int32Array = new Int32Array(MOST)
  readonly #total: Int32Array = new Int32Array(MOST)
  /** By place: which units of eight bytes are there. */
  readonly #units: Uint8Array
  readonly #span: number
  #held = 0

  constructor(pool: FramePool, clock: Clock) {
    this.#pool = pool
    this.#clock = clock
    this.#span = (pool.stride >>> 3) + 1
    this.#units = new Uint8Array(MOST * this.#span)
  }

  /** Packets of which something is missing. */
  get size(): number {
    return this.#held
  }

  /** Tells whether `f` is a later IPv4 fragment of a packet whose first one is here. */
  awaits(f: Frame): boolean {
    if (this.#held === 0) return false
    const { bytes: b, off, len } = this.#pool
    const l3 = (off[f] as number) + eth.HLEN
    if ((len[f] as number) < eth.HLEN + ipv4.HLEN || eth.type(b, l3 - eth.HLEN) !== eth.EtherType.IPv4) return false
    return ipv4.fragmentOffset(b, l3) !== 0 && this.#find(l3) !== -1
  }

  /** Takes over a fragment that the caller owns: the first of a packet, or one that is awaited. Gives the packet when it is
   * whole, else `NO_FRAME`. Any bytes will do. */
  take(f: Frame): Frame | -1 {
    this.tick(this.#clock.now)
    const pool = this.#pool
    const b = pool.bytes
    const o = pool.off[f] as number
    const l3 = o + eth.HLEN
    const end = o + (pool.len[f] as number)
    if (end - o < eth.HLEN || eth.type(b, o) !== eth.EtherType.IPv4) return this.#end(f)
    const l4 = ipv4.check(b, l3, end)
    // A fragment of a super-frame, or one whose checksum is still missing, is nobody's.
    if (l4 === -1 || !ipv4.checksumOk(b, l3) || pool.gsoType[f] !== 0) return this.#end(f)
    if ((pool.flags[f]! & Offload.Checksum) !== 0) return this.#end(f)
    const from = ipv4.fragmentOffset(b, l3)
    const bytes = l3 + ipv4.totalLength(b, l3) - l4
    const more = (u16(b, l3 + 6) & ipv4.Flag.MoreFragments) !== 0
    if (bytes === 0 || (more && (bytes & 7) !== 0)) return this.#end(f)
    let at = this.#find(l3)
    if (at === -1) {
      if (from !== 0 || !more) return this.#end(f)
      at = this.#start(f, l3)
    }
    return this.#add(at, f, l4, from, bytes, more)
  }

  /** Ends packets that have waited too long. */
  tick(now: number): void {
    for (let at = 0; at < MOST && this.#held > 0; at++) {
      if (this.#rows[at] !== NO_FRAME && now - (this.#since[at] as number) >= LIFETIME) this.#giveUp(at)
    }
  }

  /** Ends all packets. */
  close(): void {
    for (let at = 0; at < MOST; at++) if (this.#rows[at] !== NO_FRAME) this.#giveUp(at)
  }

  #add(at: number, f: Frame, l4: number, from: number, bytes: number, more: boolean): Frame | -1 {
    const pool = this.#pool
    const first = this.#rows[at] as Frame
    const start = (pool.off[first] as number) + eth.HLEN
    const data = start + ipv4.headerLength(pool.bytes, start)
    const total = this.#total[at] as number
    const to = from + bytes
    const tooLong = data + to > (first + 1) * pool.stride || data - start + to > 65_535
    if (tooLong || (more ? total !== 0 && to > total : total !== 0 && total !== to)) return this.#spoil(at, f)
    const said = this.#mark(at, from, to)
    if (said !== Units.New) {
      // The same again, unless it says that there is an end where the packet went on.
      if (said === Units.Overlap || (!more && total === 0)) return this.#spoil(at, f)
      return this.#end(f)
    }
    if (f !== first) {
      pool.bytes.copyWithin(data + from, l4, l4 + bytes)
      if (pool.trace !== null) explain.tunnelSays(pool, f, 'a fragment of an outer packet: put to the others')
      pool.drop(f, Drop.Consumed)
    }
    if (!more) this.#total[at] = to
    this.#have[at] = (this.#have[at] as number) + bytes
    const whole = this.#total[at] as number
    // What lies behind the end of the last fragment contradicts it.
    if (whole !== 0 && (this.#have[at] as number) > whole) {
      this.#giveUp(at)
      return NO_FRAME
    }
    if (whole === 0 || (this.#have[at] as number) < whole) return NO_FRAME
    this.#rows[at] = NO_FRAME
    this.#held--
    put16(pool.bytes, start + 2, data - start + whole)
    put16(pool.bytes, start + 6, 0)
    ipv4.fillChecksum(pool.bytes, start)
    pool.len[first] = eth.HLEN + data - start + whole
    // What a card said of the first fragment's checksum is not true of the whole.
    pool.flags[first] = 0
    if (pool.trace !== null) explain.tunnelSays(pool, first, 'the outer packet is whole again, of its fragments')
    return first
  }

  /** Notes units as there: all new, all there already, or some. */
  #mark(at: number, from: number, to: number): number {
    const units = this.#units
    const base = at * this.#span
    const [a, z] = [base + (from >>> 3), base + ((to + 7) >>> 3)]
    let there = 0
    for (let i = a; i < z; i++) there += units[i] as number
    if (there !== 0) return there === z - a ? Units.Same : Units.Overlap
    units.fill(1, a, z)
    return Units.New
  }

  /** Gives a packet's place to its first fragment: a free one, or that of the oldest. */
  #start(f: Frame, l3: number): number {
    let at = 0
    for (let i = 0; i < MOST; i++) {
      if (this.#rows[i] === NO_FRAME) {
        at = i
        break
      }
      if ((this.#since[i] as number) < (this.#since[at] as number)) at = i
    }
    if (this.#rows[at] !== NO_FRAME) this.#giveUp(at)
    const b = this.#pool.bytes
    this.#keys[at * KEY] = u32(b, l3 + ipv4.SRC) | 0
    this.#keys[at * KEY + 1] = u32(b, l3 + ipv4.DST) | 0
    this.#keys[at * KEY + 2] = (u16(b, l3 + 4) << 8) | ipv4.protocol(b, l3)
    this.#rows[at] = f
    this.#since[at] = this.#clock.now
    this.#have[at] = 0
    this.#total[at] = 0
    this.#units.fill(0, at * this.#span, (at + 1) * this.#span)
    this.#held++
    return at
  }

  /** The place of the packet whose fragment has its IP header at `l3`; -1 for none. */
  #find(l3: number): number {
    const b = this.#pool.bytes
    const keys = this.#keys
    const [src, dst] = [u32(b, l3 + ipv4.SRC) | 0, u32(b, l3 + ipv4.DST) | 0]
    const rest = (u16(b, l3 + 4) << 8) | ipv4.protocol(b, l3)
    for (let at = 0, k = 0; at < MOST; at++, k += KEY) {
      if (keys[k] === src && keys[k + 1] === dst && keys[k + 2] === rest && this.#rows[at] !== NO_FRAME) return at
    }
    return -1
  }

  #giveUp(at: number): void {
    this.#pool.drop(this.#rows[at] as Frame, Drop.OuterFragment)
    this.#rows[at] = NO_FRAME
    this.#held--
  }

  #spoil(at: number, f: Frame): -1 {
    const first = this.#rows[at]
    this.#giveUp(at)
    return f === first ? NO_FRAME : this.#end(f)
  }

  #end(f: Frame): -1 {
    this.#pool.drop(f, Drop.OuterFragment)
    return NO_FRAME
  }
}

const Units = { New: 0, Same: 1, Overlap: 2 } as const
