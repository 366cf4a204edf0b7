import type { Clock } from '../clock.ts'
import { checkRange } from '../frame-pool.ts'
import type { Ticker } from '../loop.ts'
import { parseMac } from '../wire/ethernet.ts'
import { ENTRY_PORT, type Fdb, fdbKey } from './fdb.ts'

/*
 * One switch in several threads: each worker has its own queue of every port, its own pool, loop, switch and forwarding database, and
 * tells the others what it hears. No frame and no lock is shared; what is, is one ring of notes a worker, which it writes and all
 * others read:
 *
 *     worker 0: fdb -- notes --> [ head | hi lo port heard | hi lo port heard | ... ] --> worker 1, worker 2, ...
 *
 *   - a note is written when an address is learnt or moves, and again each quarter of the ageing time for every address that was heard
 *     meanwhile: a station whose flows all go by one worker does not age out of the others
 *   - a note says when the address was heard, and what was heard last counts. So what a worker was told is no news to whom it came
 *     from, addresses that nobody hears age everywhere, and a note that is lost comes again
 *   - who reads too slowly has notes overwritten, sees that by the head, and goes on at the newest
 *
 * Until a note has arrived a worker floods what another one would send by one port: for the time of a tick. What one worker is made to
 * forget (`flush`), the others tell it again: have each forget. A port has the same number in each: they are added in the same order.
 */

/** Notes that a ring holds: as many as two ticks' worth of a refresh, four times. */
const NOTES = 8192
const WORDS = 4
/** Slots of the FDB that a tick looks at while entries are told again. */
const SLICE = 1024
/** Words of a ring: the head, a cache line to itself, and the notes. */
const RING = 16 + NOTES * WORDS
/** Bits of word 2 of an entry above the port: it was configured, or is bound. */
const KIND_SHIFT = 16

/** Keeps the forwarding database of a worker in step with those of others. Call it by `loop.every`, each 20 milliseconds, say. */
export class FdbExchange implements Ticker {
  readonly #words: Int32Array
  readonly #own: number
  readonly #fdb: Fdb
  /** Milliseconds since 1970 of the clock's epoch, 32 bits of them: what makes times of workers comparable. */
  readonly #base: number
  readonly #others: number[]
  /** Notes read of each other worker. */
  readonly #read: number[]
  #merging = false
  /** The slot that a refresh has come to; -1 between two of them. */
  #slot = -1
  #nextRefresh: number
  /** When the last refresh began, in the table's milliseconds: what was heard since then is told. */
  #since = 0
  #began = 0
  /** Notes of others that were overwritten before they were read. */
  missed = 0

  /** Memory for the exchange of so many workers, 1 to 64: make it once, and give it to each. */
  static shared(workers: number): SharedArrayBuffer {
    return new SharedArrayBuffer(checkRange('workers', workers, 1, 64) * RING * 4)
  }

  /** Joins the exchange as worker `own`, which no other is. */
  constructor(shared: SharedArrayBuffer, own: number, fdb: Fdb, clock: Clock) {
    this.#words = new Int32Array(shared)
    const workers = this.#words.length / RING
    if (!Number.isInteger(workers) || workers < 1) {
      throw new RangeError(`shared must be memory from FdbExchange.shared, not ${shared.byteLength} bytes`)
    }
    this.#own = checkRange('own', own, 0, workers - 1) * RING
    this.#fdb = fdb
    this.#base = Number(BigInt.asIntN(32, clock.epoch / 1_000_000n))
    this.#others = Array.from({ length: workers }, (_, i) => i * RING).filter((ring) => ring !== this.#own)
    this.#read = this.#others.map((ring) => Atomics.load(this.#words, ring))
    this.#nextRefresh = clock.now + this.#quarter
    fdb.watch((change, { mac, vlan, port, kind, age }) => {
      if (this.#merging || kind !== 'dynamic' || (change !== 'learned' && change !== 'moved')) return
      const [hi, lo] = fdbKey(parseMac(mac), vlan)
      this.#tell(hi, lo, port, (fdb.now - age) | 0)
    })
  }

  /** A quarter of the ageing time, in nanoseconds. */
  get #quarter(): number {
    return Math.max(1e6, (this.#fdb.ageingMs / 4) * 1e6)
  }

  /** Reads what others have told, and tells again what is due. */
  tick(now: number): void {
    this.#fdb.setNow(now)
    this.#merging = true
    for (let i = 0; i < this.#others.length; i++) this.#listen(i)
    this.#merging = false
    this.#refresh(now)
  }

  #tell(hi: number, lo: number, port: number, heard: number): void {
    const words = this.#words
    const head = Atomics.load(words, this.#own)
    const at = this.#own + 16 + (head & (NOTES - 1)) * WORDS
    words[at] = hi
    words[at + 1] = lo
    words[at + 2] = port
    words[at + 3] = (this.#base + heard) | 0
    // After the words: who sees the new head sees them, too.
    Atomics.store(words, this.#own, (head + 1) | 0)
  }

  #listen(i: number): void {
    const words = this.#words
    const ring = this.#others[i] as number
    const fdb = this.#fdb
    let next = this.#read[i] as number
    for (let head = Atomics.load(words, ring); next !== head; next = (next + 1) | 0) {
      const at = ring + 16 + (next & (NOTES - 1)) * WORDS
      const hi = words[at] as number
      const lo = words[at + 1] as number
      const port = words[at + 2] as number
      const heard = words[at + 3] as number
      // Whether the note was overwritten while it was read is known afterwards.
      head = Atomics.load(words, ring)
      const behind = (head - next) | 0
      if (behind >= NOTES) {
        this.missed += behind
        next = head
        break
      }
      fdb.merge(hi, lo, port, (fdb.now - (heard - this.#base)) | 0)
    }
    this.#read[i] = next
  }

  /** Walks a slice of the table and tells what was heard since the last walk. */
  #refresh(now: number): void {
    const fdb = this.#fdb
    if (this.#slot < 0) {
      if (now < this.#nextRefresh) return
      this.#nextRefresh = now + this.#quarter
      this.#slot = 0
      this.#began = fdb.now
    }
    const { table } = fdb
    const end = Math.min(table.length, (this.#slot + SLICE) * 4)
    for (let at = this.#slot * 4; at < end; at += 4) {
      const word = table[at + 2] as number
      const heard = table[at + 3] as number
      if (word === 0 || word >>> KIND_SHIFT !== 0 || ((heard - this.#since) | 0) < 0) continue
      this.#tell(table[at + 1] as number, table[at] as number, (word & ENTRY_PORT) - 1, heard)
    }
    this.#slot += SLICE
    if (end < table.length) return
    this.#slot = -1
    this.#since = this.#began
  }
}
