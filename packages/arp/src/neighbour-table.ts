import {
  type Clock,
  Drop,
  type Element,
  type Frame,
  type FramePool,
  type NeighbourClient,
  type Neighbours,
  NO_FRAME,
  type Ticker,
} from '@l2l3/switch-core'
import { eth, formatMac, icmpv6 } from '@l2l3/switch-core/wire'
import { macSeed, parseHost, parseStationMac } from './address.ts'
import { AddressIndex, NO_ROW, PROBES } from './address-index.ts'
import { type Dice, seededDice } from './dice.ts'
import * as explain from './explain.ts'
import { NeighbourInput } from './neighbour-input.ts'
import {
  checkNeighbourOptions,
  type Neighbour,
  type NeighbourChange,
  type NeighbourCounters,
  type NeighbourOptions,
  type NeighbourSettings,
  type NeighbourState,
} from './neighbour-options.ts'
import { OwnAddresses } from './own-addresses.ts'
import { Speaker } from './speaker.ts'
import { WaitingFrames } from './waiting.ts'
import { type ErrorHook, type Watcher, Watchers } from './watchers.ts'

/*
 * The neighbours of one interface, IPv4 and IPv6 alike: RFC 4861, 7.3, which is how Linux does ARP too.
 *
 *                       answer, to us alone                         reachable time over
 *     INCOMPLETE ─────────────────────────────────> REACHABLE ──────────────────────────────> STALE
 *       │ asks all, 1 s apart                           ^                                       │ a frame is sent
 *       │ three times in vain                           │ answer, or TCP says that it gets on   v
 *       v                                               ├──────────────────────────────────── DELAY
 *     FAILED <─────────────────────────────────── PROBE <───────────────────────────────────────┘
 *                asks it alone, three times in vain                                        5 s over
 *
 * Any message by which a neighbour shows its MAC without being asked makes STALE of what differs: it is used, and
 * asked for when it is. Frames wait only in INCOMPLETE, which is also where a frame to a FAILED neighbour leads again.
 *
 * `resolve4` and `resolve6` are called for every frame that is routed: a search in typed arrays, a test and six bytes
 * written. `tick` does everything that takes time; call it every 100 ms or so (`loop.every`): it looks at the clock
 * alone until something is due. What frames can fill is bounded: entries, and frames that wait. When the table is
 * full, an entry makes room that failed or is stale; for a frame that wants to be sent, not for a message, also one
 * that was never answered, and at last one that is in use, so that no station can fill the table with addresses of
 * its own and have it to itself. Only what is permanent stays. Where it is not the table that is full but the run of
 * slots in which the address would have to stand, the room is made there.
 */

export const INCOMPLETE = 1
export const REACHABLE = 2
export const STALE = 3
export const DELAY = 4
export const PROBE = 5
export const FAILED = 6
export const PERMANENT = 7
const STATES: readonly NeighbourState[] = [
  'failed',
  'incomplete',
  'reachable',
  'stale',
  'delay',
  'probe',
  'failed',
  'permanent',
]
/** How readily an entry makes room, by state: 1 first; 9 never. */
const EVICTION = Uint8Array.of(9, 3, 4, 2, 5, 5, 1, 9)
const FOR_A_MESSAGE = 2
const FOR_A_FRAME = 5
/** Entries that a tick deals with at most: each may cost a question, or a queue of frames given back. */
const WORK = 1024
/** Entries that are looked at for one that makes room. */
const SAMPLE = 64

const NEVER = Number.POSITIVE_INFINITY

/** Ends frames of a table that nobody has given a client. */
class NoClient implements NeighbourClient {
  readonly #pool: FramePool
  constructor(pool: FramePool) {
    this.#pool = pool
  }
  resolved(f: Frame): void {
    this.#pool.drop(f, Drop.Unclaimed)
  }
  failed(f: Frame): void {
    this.#pool.drop(f, Drop.Unclaimed)
  }
}

/** Finds, keeps and checks the MAC addresses of an interface's neighbours. */
export class NeighbourTable implements Neighbours, Ticker {
  /** MAC of the interface. Not to be written to. */
  readonly mac: Uint8Array
  /** The addresses of the interface. */
  readonly addresses: OwnAddresses
  /** Takes what comes in by the interface: learns from ARP and ND, answers for our addresses, lets everything else
   * through. */
  readonly input: Element
  /** Gets frames back that had to wait. */
  client: NeighbourClient
  readonly counters: NeighbourCounters = {
    created: 0,
    evicted: 0,
    refused: 0,
    failed: 0,
    queued: 0,
    queueDrops: 0,
    malformed: 0,
    ignored: 0,
    answered: 0,
    watchersLost: 0,
  }
  readonly #pool: FramePool
  readonly #clock: Clock
  readonly #speaker: Speaker
  readonly #settings: NeighbourSettings
  readonly #dice: Dice
  readonly #index: AddressIndex
  readonly #waiting: WaitingFrames
  readonly #watchers = new Watchers<NeighbourChange, Neighbour>(this.counters)
  readonly #source = new Uint8Array(16)
  readonly #target = new Uint8Array(16)
  readonly #asking = new Uint8Array(6)

  /* What is known of a neighbour, by row. */
  readonly #state: Uint8Array
  /** First two bytes and last four bytes of the MAC, as they lie in a frame (little-endian). */
  readonly #macHi: Uint16Array
  readonly #macLo: Int32Array
  readonly #router: Uint8Array
  /** Questions sent in this state. */
  readonly #asked: Uint8Array
  /** When the state ends, or the next question is due. */
  readonly #due: Float64Array
  /** When a frame was last sent to it, or it last said something. */
  readonly #used: Float64Array
  /** When its MAC was last set. */
  readonly #updated: Float64Array
  /** No row is due before. */
  #next = NEVER
  /** Where the next tick begins: the first row that the last one had no time for. */
  #resume = 0
  #hand = 0

  /** Throws where a setting makes no sense. */
  constructor(pool: FramePool, clock: Clock, options: NeighbourOptions) {
    const settings = checkNeighbourOptions(pool, options)
    const n = settings.maxEntries
    this.#pool = pool
    this.#clock = clock
    this.#settings = settings
    this.mac = parseStationMac('mac', options.mac)
    this.client = options.client ?? new NoClient(pool)
    this.#dice = options.random ?? seededDice(macSeed(this.mac))
    this.#speaker = new Speaker(pool, this.mac, options.out)
    this.#index = new AddressIndex(n, options.seed)
    this.#waiting = new WaitingFrames(pool, n, settings.queuePerNeighbour, settings.queueTotal)
    this.#state = new Uint8Array(n)
    this.#macHi = new Uint16Array(n)
    this.#macLo = new Int32Array(n)
    this.#router = new Uint8Array(n)
    this.#asked = new Uint8Array(n)
    this.#due = new Float64Array(n)
    this.#used = new Float64Array(n)
    this.#updated = new Float64Array(n)
    this.addresses = new OwnAddresses(this.#speaker, clock, this.#dice, options.defence, options.router)
    for (const address of options.addresses ?? []) this.addresses.add(address)
    const flags = icmpv6.NaFlag.Override | (options.router ? icmpv6.NaFlag.Router : 0)
    this.input = new NeighbourInput(pool, this, this.#speaker, flags)
  }

  /** Entries in the table. */
  get size(): number {
    return this.#index.size
  }

  /** Frames that wait. */
  get waiting(): number {
    return this.#waiting.length
  }

  resolve4(f: Frame, ip: number): boolean {
    const row = this.#index.find4(ip)
    if (row !== NO_ROW && this.#send(row, f)) return true
    return this.#resolve4(f, ip, row)
  }

  resolve6(f: Frame, bytes: Uint8Array, at: number): boolean {
    const row = this.#index.find6(bytes, at)
    if (row !== NO_ROW && this.#send(row, f)) return true
    return this.#resolve6(f, bytes, at, row)
  }

  /** Notes that a neighbour was heard to answer by other means: TCP gets on with it (RFC 4861, 7.3.1). */
  confirm4(ip: number): void {
    this.#confirm(this.#index.find4(ip))
  }

  /** The same for IPv6. */
  confirm6(bytes: Uint8Array, at: number): void {
    this.#confirm(this.#index.find6(bytes, at))
  }

  /** Adds a permanent neighbour, or makes one permanent: no message changes it and it does not age. Frames that waited
   * for it are sent. Throws where an address makes no sense, or the table is full. */
  add(address: string, mac: string): void {
    const a = parseHost('address', address)
    const bytes = parseStationMac('mac', mac)
    let row = a.family === 4 ? this.#index.find4(a.v4) : this.#index.find6(a.v6, 0)
    if (row === NO_ROW) row = a.family === 4 ? this.#create4(a.v4, FOR_A_FRAME) : this.#create6(a.v6, 0, FOR_A_FRAME)
    if (row === NO_ROW) throw new RangeError(`address ${address}: the table is full (maxEntries)`)
    this.#setMac(row, bytes, 0)
    this.#enter(row, PERMANENT, true)
  }

  /** Forgets a neighbour; false where it was not there. Frames that waited for it have failed. */
  remove(address: string): boolean {
    const row = this.#find(address)
    if (row === NO_ROW) return false
    const waiting = this.#waiting.detach(row)
    this.#remove(row)
    this.#giveBack(waiting)
    return true
  }

  /** Forgets all neighbours but permanent ones, as when a cable is pulled; frames that waited have failed. Says how
   * many. */
  flush(): number {
    const chains: (Frame | -1)[] = []
    for (let row = 0; row < this.#state.length; row++) {
      if (this.#state[row] === 0 || this.#state[row] === PERMANENT) continue
      chains.push(this.#waiting.detach(row))
      this.#remove(row)
    }
    for (const chain of chains) this.#giveBack(chain)
    return chains.length
  }

  /** What is known of a neighbour; undefined where nothing is. */
  get(address: string): Neighbour | undefined {
    const row = this.#find(address)
    return row === NO_ROW ? undefined : this.#entry(row)
  }

  /** The same for an IPv4 address as a number. */
  get4(ip: number): Neighbour | undefined {
    const row = this.#index.find4(ip)
    return row === NO_ROW ? undefined : this.#entry(row)
  }

  /** The same for the IPv6 address at `at`. */
  get6(b: Uint8Array, at: number): Neighbour | undefined {
    const row = this.#index.find6(b, at)
    return row === NO_ROW ? undefined : this.#entry(row)
  }

  /** Lists the neighbours. */
  *list(): Generator<Neighbour> {
    for (let row = 0; row < this.#state.length; row++) if (this.#state[row] !== 0) yield this.#entry(row)
  }

  /** Has `watcher` called at every change of a state or a MAC, until the function that is returned is called. It may
   * not change the table. One that throws is taken off, and counted. */
  watch(watcher: Watcher<NeighbourChange, Neighbour>): () => void {
    return this.#watchers.add(watcher)
  }

  /** Is told of the error of a watcher that threw. Default null: it is only counted. */
  get onWatcherError(): ErrorHook | null {
    return this.#watchers.onError
  }
  set onWatcherError(hook: ErrorHook | null) {
    this.#watchers.onError = hook
  }

  /** Does what is due: asks again, gives up, ages. Where very much is due at once, the next ticks do the rest. */
  tick(now: number): void {
    this.addresses.tick(now)
    if (now < this.#next) return
    this.#next = NEVER
    const rows = this.#state.length
    let row = this.#resume
    let left = WORK
    this.#resume = 0
    for (let i = 0; i < rows; i++) {
      if (this.#state[row] !== 0) {
        if (this.#due[row] <= now) {
          if (left > 0) this.#expire(row, now)
          else if (left === 0) this.#resume = row
          left--
        }
        if (this.#state[row] !== 0 && this.#due[row] < this.#next) this.#next = this.#due[row]
      }
      row = row + 1 === rows ? 0 : row + 1
    }
  }

  /**
   * For the input: an ARP message shows that `ip` is at the MAC at `at` (RFC 826, "Packet Reception").
   * @param solicited it was an answer to us alone
   * @param create it asked for an address of ours: an entry is made where there is none
   * @param gratuitous it announced itself: what it says stands at once
   */
  heard4(ip: number, b: Uint8Array, at: number, solicited: boolean, create: boolean, gratuitous: boolean): void {
    let row = this.#index.find4(ip)
    if (row === NO_ROW) {
      if (!create) return
      row = this.#create4(ip, FOR_A_MESSAGE)
      if (row === NO_ROW) return
    } else if (!gratuitous && this.#known(row) && !this.#isAt(row, b, at)) {
      if (this.#clock.now - this.#updated[row] < this.#settings.lock) return
    }
    this.#shown(row, b, at, solicited)
  }

  /** For the input: a solicitation shows that the address at `ip` is at the MAC at `at` (RFC 4861, 7.2.3). */
  solicited6(b: Uint8Array, ip: number, at: number): void {
    let row = this.#index.find6(b, ip)
    if (row === NO_ROW) row = this.#create6(b, ip, FOR_A_MESSAGE)
    if (row !== NO_ROW) this.#shown(row, b, at, false)
  }

  /** For the input: an advertisement for the address at `ip`, with the flags R, S and O, and a MAC at `at`, or -1
   * (RFC 4861, 7.2.5). */
  advertised6(b: Uint8Array, ip: number, flags: number, at: number): void {
    const row = this.#index.find6(b, ip)
    // What did not answer is as good as not there: an entry is not made by an advertisement.
    if (row === NO_ROW || this.#state[row] === FAILED || this.#state[row] === PERMANENT) return
    const solicited = (flags & icmpv6.NaFlag.Solicited) !== 0
    if (this.#state[row] === INCOMPLETE) {
      if (at === -1) return
      this.#router[row] = flags & icmpv6.NaFlag.Router ? 1 : 0
      this.#setMac(row, b, at)
      this.#enter(row, solicited ? REACHABLE : STALE)
      return
    }
    const differs = at !== -1 && !this.#isAt(row, b, at)
    if (differs && (flags & icmpv6.NaFlag.Override) === 0) {
      if (this.#state[row] === REACHABLE) this.#enter(row, STALE)
      return
    }
    this.#router[row] = flags & icmpv6.NaFlag.Router ? 1 : 0
    if (differs) this.#setMac(row, b, at)
    if (solicited) this.#enter(row, REACHABLE, differs)
    else if (differs) this.#enter(row, STALE, true)
  }

  /** Writes the MAC of a neighbour that has one; false where it has none. */
  #send(row: number, f: Frame): boolean {
    const state = this.#state[row]
    if (state === INCOMPLETE || state === FAILED) return false
    const o = this.#pool.off[f]
    const { data } = this.#pool
    data.setUint16(o, this.#macHi[row], true)
    data.setInt32(o + 2, this.#macLo[row], true)
    const { now } = this.#clock
    this.#used[row] = now
    if (state === STALE || (state === REACHABLE && now >= this.#due[row])) this.#enter(row, DELAY)
    if (this.#pool.trace !== null) explain.resolved(this.#pool, f, this.#index.text(row), STATES[state])
    return true
  }

  /** The next hop is a group, or is not known. */
  #resolve4(f: Frame, ip: number, row: number): boolean {
    const { bytes, off } = this.#pool
    const o = off[f]
    if (ip >>> 28 === 14) {
      // RFC 1112, 6.4.
      bytes[o] = 0x01
      bytes[o + 1] = 0x00
      bytes[o + 2] = 0x5e
      bytes[o + 3] = (ip >>> 16) & 0x7f
      bytes[o + 4] = ip >>> 8
      bytes[o + 5] = ip
      if (this.#pool.trace !== null) explain.toGroup(this.#pool, f)
      return true
    }
    if (ip === 0xffff_ffff) {
      eth.copyMac(bytes, o, eth.BROADCAST)
      if (this.#pool.trace !== null) explain.toGroup(this.#pool, f)
      return true
    }
    return this.#wait(f, row === NO_ROW ? this.#create4(ip, FOR_A_FRAME) : row)
  }

  #resolve6(f: Frame, b: Uint8Array, at: number, row: number): boolean {
    if (b[at] === 0xff) {
      const { bytes, off } = this.#pool
      const o = off[f]
      bytes[o] = bytes[o + 1] = 0x33
      for (let i = 0; i < 4; i++) bytes[o + 2 + i] = b[at + 12 + i]
      if (this.#pool.trace !== null) explain.toGroup(this.#pool, f)
      return true
    }
    return this.#wait(f, row === NO_ROW ? this.#create6(b, at, FOR_A_FRAME) : row)
  }

  #wait(f: Frame, row: number): false {
    if (row === NO_ROW) {
      this.#pool.drop(f, Drop.NeighbourTableFull)
      return false
    }
    this.counters.queued++
    const first = this.#state[row] !== INCOMPLETE
    const traced = this.#pool.trace !== null
    if (traced) explain.waits(this.#pool, this.#speaker, f, this.#index.text(row), first)
    this.counters.queueDrops += this.#waiting.push(row, f)
    this.#used[row] = this.#clock.now
    if (first) this.#enter(row, INCOMPLETE)
    if (traced) explain.said(this.#speaker)
    return false
  }

  /** What a neighbour shows of itself: its MAC, and, when it was asked, that it is there. */
  #shown(row: number, b: Uint8Array, at: number, solicited: boolean): void {
    const state = this.#state[row]
    if (state === PERMANENT) return
    const differs = !this.#known(row) || !this.#isAt(row, b, at)
    this.#used[row] = this.#clock.now
    if (differs || solicited) this.#setMac(row, b, at)
    if (solicited) this.#enter(row, REACHABLE, differs)
    else if (differs) this.#enter(row, STALE, true)
  }

  #confirm(row: number): void {
    if (row === NO_ROW || !this.#known(row) || this.#state[row] === PERMANENT) return
    this.#enter(row, REACHABLE)
  }

  /** Whether the MAC of a row is one that may be used. */
  #known(row: number): boolean {
    const state = this.#state[row]
    return state !== 0 && state !== INCOMPLETE && state !== FAILED
  }

  #isAt(row: number, b: Uint8Array, at: number): boolean {
    return (
      this.#macHi[row] === (b[at] | (b[at + 1] << 8)) &&
      this.#macLo[row] === (b[at + 2] | (b[at + 3] << 8) | (b[at + 4] << 16) | (b[at + 5] << 24))
    )
  }

  #setMac(row: number, b: Uint8Array, at: number): void {
    this.#macHi[row] = b[at] | (b[at + 1] << 8)
    this.#macLo[row] = b[at + 2] | (b[at + 3] << 8) | (b[at + 4] << 16) | (b[at + 5] << 24)
    this.#updated[row] = this.#clock.now
  }

  /** Puts a neighbour into a state, sets when that ends, and does what belongs to entering it.
   * @param changed its MAC is another than before */
  #enter(row: number, state: number, changed = false): void {
    const before = this.#state[row]
    const { now } = this.#clock
    const s = this.#settings
    this.#state[row] = state
    this.#asked[row] = 0
    if (state === INCOMPLETE || state === PROBE) this.#ask(row, now)
    else if (state === REACHABLE) this.#wake(row, now + s.reachable * (0.5 + this.#dice()))
    else if (state === STALE || state === FAILED) this.#wake(row, now + s.stale)
    else if (state === DELAY) this.#wake(row, now + s.delay)
    else this.#wake(row, NEVER)
    if (this.#watchers.any && (before !== state || changed)) {
      this.#watchers.tell(before === 0 ? 'added' : 'updated', this.#entry(row))
    }
    if (state !== INCOMPLETE && state !== FAILED && this.#waiting.count(row) > 0) this.#release(row)
  }

  #wake(row: number, due: number): void {
    this.#due[row] = due
    if (due < this.#next) this.#next = due
  }

  /** Sends the frames that waited: to a neighbour that is stale, this is a use like any other. */
  #release(row: number): void {
    const { data, off } = this.#pool
    const hi = this.#macHi[row]
    const lo = this.#macLo[row]
    const first = this.#waiting.detach(row)
    if (this.#state[row] === STALE) this.#enter(row, DELAY)
    // The client may use the table, and then the row may be another's: nothing below looks at it.
    for (let f = first; f !== NO_FRAME; ) {
      const next = this.#waiting.after(f)
      const o = off[f]
      data.setUint16(o, hi, true)
      data.setInt32(o + 2, lo, true)
      if (this.#pool.trace !== null)
        explain.resolved(this.#pool, f, 'the next hop that it has waited for', 'it has answered')
      this.client.resolved(f)
      f = next
    }
  }

  /** Gives a chain of frames that waited to the client, as failed. */
  #giveBack(first: Frame | -1): void {
    for (let f = first; f !== NO_FRAME; ) {
      const next = this.#waiting.after(f)
      if (this.#pool.trace !== null)
        explain.say(this.#pool, f, 'neighbours', 'the next hop that it has waited for does not answer')
      this.client.failed(f)
      f = next
    }
  }

  /** The time of a row's state is over. */
  #expire(row: number, now: number): void {
    const s = this.#settings
    switch (this.#state[row]) {
      case REACHABLE:
        this.#enter(row, STALE)
        break
      case DELAY:
        this.#enter(row, PROBE)
        break
      case INCOMPLETE:
        if (this.#asked[row] < s.multicastProbes) this.#ask(row, now)
        else this.#fail(row)
        break
      case PROBE:
        if (this.#asked[row] < s.unicastProbes) this.#ask(row, now)
        else this.#fail(row)
        break
      default:
        this.#remove(row)
    }
  }

  #fail(row: number): void {
    this.counters.failed++
    this.#enter(row, FAILED)
    this.#giveBack(this.#waiting.detach(row))
  }

  /** Asks for a neighbour: all in INCOMPLETE, itself in PROBE. */
  #ask(row: number, now: number): void {
    this.#asked[row]++
    this.#wake(row, now + this.#settings.retrans)
    const alone = this.#state[row] === PROBE
    if (alone) this.#writeMac(row)
    if (this.#index.family[row] === 4) {
      const ip = this.#index.ip4(row)
      const from = this.addresses.source4(ip) || this.#settings.askFrom
      if (alone) this.#speaker.ask4(from, ip, this.#asking)
      else this.#speaker.ask4(from, ip)
      return
    }
    this.#index.copy6(row, this.#target, 0)
    // Without an address there is nobody to answer to: a question from :: would claim the neighbour's address.
    if (!this.addresses.source6(this.#target, 0, this.#source)) return
    this.#speaker.ask6(this.#source, this.#target, 0, alone ? this.#asking : null)
  }

  /** Puts a row's MAC into `#asking`. */
  #writeMac(row: number): void {
    const hi = this.#macHi[row]
    const lo = this.#macLo[row]
    const to = this.#asking
    to[0] = hi
    to[1] = hi >>> 8
    to[2] = lo
    to[3] = lo >>> 8
    to[4] = lo >>> 16
    to[5] = lo >>> 24
  }

  #create4(ip: number, reason: number): number {
    const index = this.#index
    let row = index.add4(ip)
    if (row === NO_ROW && this.#makeRoom(reason)) row = index.add4(ip)
    if (row === NO_ROW) {
      row = this.#clearRun(reason)
      if (row !== NO_ROW) index.replace4(row, ip)
    }
    return this.#created(row)
  }

  #create6(b: Uint8Array, at: number, reason: number): number {
    const index = this.#index
    let row = index.add6(b, at)
    if (row === NO_ROW && this.#makeRoom(reason)) row = index.add6(b, at)
    if (row === NO_ROW) {
      row = this.#clearRun(reason)
      if (row !== NO_ROW) index.replace6(row, b, at)
    }
    return this.#created(row)
  }

  /** A row without a state yet: who made it enters one at once. */
  #created(row: number): number {
    if (row === NO_ROW) {
      this.counters.refused++
      return row
    }
    this.counters.created++
    this.#state[row] = 0
    this.#router[row] = 0
    this.#due[row] = NEVER
    this.#used[row] = this.#clock.now
    this.#updated[row] = Number.NEGATIVE_INFINITY
    return row
  }

  /** In a full table, removes the entry that can be done without best, among the next few; false where there is none,
   * or the table is not full. */
  #makeRoom(reason: number): boolean {
    if (this.#index.size < this.#index.max) return false
    const rows = this.#state.length
    let best = NO_ROW
    for (let i = 0; i < Math.min(SAMPLE, rows); i++) {
      const row = this.#hand
      this.#hand = row + 1 === rows ? 0 : row + 1
      best = this.#lesser(best, row, reason)
    }
    if (best === NO_ROW) return false
    this.#evict(best)
    this.#index.remove(best)
    return true
  }

  /** Ends the entry that can be done without best in the run that the last insertion found full, and gives its row,
   * which still stands in the index; `NO_ROW` where there is none, or the table itself is full. */
  #clearRun(reason: number): number {
    if (this.#index.size === this.#index.max) return NO_ROW
    let best = NO_ROW
    for (let i = 0; i < PROBES; i++) {
      const row = this.#index.crowded(i)
      if (row !== NO_ROW) best = this.#lesser(best, row, reason)
    }
    if (best !== NO_ROW) this.#evict(best)
    return best
  }

  /** Which of two entries makes room: the one in the lesser state, then the one that was used longer ago. `row` may be
   * one that does not for this reason. */
  #lesser(best: number, row: number, reason: number): number {
    const rank = EVICTION[this.#state[row]]
    if (rank > reason) return best
    const least = best === NO_ROW ? 9 : EVICTION[this.#state[best]]
    return rank < least || (rank === least && this.#used[row] < this.#used[best]) ? row : best
  }

  #evict(row: number): void {
    for (let f = this.#waiting.detach(row); f !== NO_FRAME; ) {
      const next = this.#waiting.after(f)
      this.#pool.drop(f, Drop.NeighbourTableFull)
      f = next
    }
    this.counters.evicted++
    this.#forget(row)
  }

  #remove(row: number): void {
    this.#forget(row)
    this.#index.remove(row)
  }

  #forget(row: number): void {
    if (this.#watchers.any) this.#watchers.tell('removed', this.#entry(row))
    this.#state[row] = 0
  }

  #find(address: string): number {
    const a = parseHost('address', address)
    return a.family === 4 ? this.#index.find4(a.v4) : this.#index.find6(a.v6, 0)
  }

  #entry(row: number): Neighbour {
    const state = this.#state[row]
    this.#writeMac(row)
    return {
      address: this.#index.text(row),
      mac: this.#known(row) ? formatMac(this.#asking) : null,
      state: STATES[state],
      router: this.#router[row] === 1,
      waiting: this.#waiting.count(row),
    }
  }
}
