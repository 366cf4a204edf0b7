import { checkRange, type Frame, type FramePool } from '@l2l3/switch-core'

/*
 * The packets of which fragments have been seen, and the fragments that wait.
 *
 * A row for each packet, found by its key through chained buckets, in one of three lists, each in order of age:
 *
 *     waiting    the first fragment has not come: a chain of frames hangs on the row    evicted, oldest first, when short
 *     known      it has, and is of a flow                                               never evicted before its time
 *     loose      it has, and is of no flow, or was dropped                              evicted, oldest first, before all others
 *
 * So a flood of fragments whose first one never comes, or of first ones that belong to nobody, has only its own kind to put out. Which parts of a packet have passed
 * is a bit for each 8 bytes, the unit of fragment offsets: 8,192 bits a row.
 *
 *     key     11 words: source (4), destination (4), identification, protocol and version, zone; IPv4 has 0 in the
 *             words that it does not need
 *     units   256 words of bits
 *     links   by row: bucket chain, older and younger of its list; by frame: the next that waits
 *
 * A row takes 1,152 bytes, a frame of the pool 8.
 */

/** Words of a key. */
const KEY = 11

/** What is known about a packet. */
export const State = { Free: 0, Waiting: 1, Known: 2, Loose: 3, Refused: 4 } as const
/* Lists, by number. */
export const WAITING = 0
export const KNOWN = 1
export const LOOSE = 2
export const LISTS = 3

/** What a fragment is to those of its packet that have passed. */
export const Passed = {
  /** New, and others are missing. */
  Some: 0,
  /** The one that was missing last. */
  Complete: 1,
  /** All of it has passed before: a duplicate. */
  Before: 2,
  /** A part of it has passed before, or the end of the packet is where it cannot be. */
  Contradicts: 3,
} as const

const WORDS = 256

/** Packets in pieces. Rows are numbers; -1 is none. */
export class FragmentTable {
  readonly rows: number
  /** One of `State`. */
  readonly state: Uint8Array
  /** When the row ends, in nanoseconds of the clock: written by the caller, since a number that is handed over as an
   * argument would be made on the heap. In each list no row has a later one than those that are younger. */
  readonly deadline: Float64Array
  /** Two words of the engine's: which flow the packet belongs to. In a refused row the first is the reason. */
  readonly flow: Uint32Array
  readonly stamp: Uint32Array
  /** Frames and bytes that wait. */
  frames = 0
  bytes = 0
  /** Rows in use, and those of them whose first fragment has not come. */
  size = 0
  waiting = 0
  /** The key that `find` and `add` are about. */
  readonly key: Int32Array = new Int32Array(KEY)

  readonly #pool: FramePool
  readonly #seed: number
  readonly #keys: Int32Array
  readonly #units: Int32Array
  /** How many units have passed, and how many there are in all (0: the last fragment has not passed). */
  readonly #passed: Uint16Array
  readonly #total: Uint16Array
  readonly #heads: Int32Array
  readonly #mask: number
  readonly #chain: Int32Array
  readonly #older: Int32Array
  readonly #younger: Int32Array
  /** Ends of the lists. */
  readonly #oldest: Int32Array = new Int32Array(LISTS).fill(-1)
  readonly #newest: Int32Array = new Int32Array(LISTS).fill(-1)
  #free: number
  readonly #first: Int32Array
  readonly #last: Int32Array
  readonly #count: Uint16Array
  readonly #next: Int32Array
  readonly #token: Uint32Array

  constructor(pool: FramePool, rows: number, seed: number) {
    this.rows = checkRange('packets', rows, 2, 65_536)
    this.#pool = pool
    this.#seed = seed | 0
    this.state = new Uint8Array(rows)
    this.deadline = new Float64Array(rows)
    this.flow = new Uint32Array(rows)
    this.stamp = new Uint32Array(rows)
    this.#keys = new Int32Array(rows * KEY)
    this.#units = new Int32Array(rows * WORDS)
    this.#passed = new Uint16Array(rows)
    this.#total = new Uint16Array(rows)
    const buckets = 2 ** Math.ceil(Math.log2(rows * 2))
    this.#heads = new Int32Array(buckets).fill(-1)
    this.#mask = buckets - 1
    this.#chain = new Int32Array(rows)
    this.#older = new Int32Array(rows)
    this.#younger = new Int32Array(rows)
    this.#first = new Int32Array(rows)
    this.#last = new Int32Array(rows)
    this.#count = new Uint16Array(rows)
    this.#next = new Int32Array(pool.frames)
    this.#token = new Uint32Array(pool.frames)
    // Free rows hang on the bucket chain.
    for (let row = 0; row < rows; row++) this.#chain[row] = row + 1 < rows ? row + 1 : -1
    this.#free = 0
  }

  #bucket(words: Int32Array, at: number): number {
    let h = this.#seed
    for (let i = 0; i < KEY; i++) {
      h = Math.imul(h ^ words[at + i], 0x85ebca6b)
      h ^= h >>> 15
    }
    h = Math.imul(h, 0xc2b2ae35)
    return (h ^ (h >>> 16)) & this.#mask
  }

  /** The row of `key`, or -1. */
  find(): number {
    const { key } = this
    const keys = this.#keys
    for (let row = this.#heads[this.#bucket(key, 0)]; row !== -1; row = this.#chain[row]) {
      let i = 0
      while (i < KEY && keys[row * KEY + i] === key[i]) i++
      if (i === KEY) return row
    }
    return -1
  }

  /** A fresh row for `key`, which has none, in this state; -1 when all are in use. The caller sets its deadline. */
  add(state: number): number {
    const row = this.#free
    if (row === -1) return -1
    this.#free = this.#chain[row]
    this.#keys.set(this.key, row * KEY)
    const bucket = this.#bucket(this.key, 0)
    this.#chain[row] = this.#heads[bucket]
    this.#heads[bucket] = row
    this.#units.fill(0, row * WORDS, (row + 1) * WORDS)
    this.#passed[row] = this.#total[row] = this.#count[row] = 0
    this.#first[row] = this.#last[row] = -1
    this.size++
    this.#append(row, state)
    return row
  }

  /** Takes a row out, from which no frame hangs. */
  remove(row: number): void {
    this.#unlink(row)
    const bucket = this.#bucket(this.#keys, row * KEY)
    let at = this.#heads[bucket]
    if (at === row) this.#heads[bucket] = this.#chain[row]
    else {
      while (this.#chain[at] !== row) at = this.#chain[at]
      this.#chain[at] = this.#chain[row]
    }
    this.state[row] = State.Free
    this.#chain[row] = this.#free
    this.#free = row
    this.size--
  }

  /** Changes the state of a row, which becomes the youngest of its list. The caller sets its deadline. */
  become(row: number, state: number): void {
    this.#unlink(row)
    this.#append(row, state)
  }

  /** The oldest row of a list, or -1. */
  oldest(list: number): number {
    return this.#oldest[list]
  }

  /** The next younger row of the same list, or -1. */
  younger(row: number): number {
    return this.#younger[row]
  }

  /** The frame that hangs longest from a row, or -1. */
  first(row: number): Frame | -1 {
    return this.#first[row] as Frame | -1
  }

  #append(row: number, state: number): void {
    const list = listOf(state)
    if (list === WAITING) this.waiting++
    this.state[row] = state
    const newest = this.#newest[list]
    this.#older[row] = newest
    this.#younger[row] = -1
    if (newest === -1) this.#oldest[list] = row
    else this.#younger[newest] = row
    this.#newest[list] = row
  }

  #unlink(row: number): void {
    const list = listOf(this.state[row])
    if (list === WAITING) this.waiting--
    const older = this.#older[row]
    const younger = this.#younger[row]
    if (older === -1) this.#oldest[list] = younger
    else this.#younger[older] = younger
    if (younger === -1) this.#newest[list] = older
    else this.#older[younger] = older
  }

  /** Frames that hang from a row. */
  count(row: number): number {
    return this.#count[row]
  }

  /** Hangs a frame, which the caller owns, on a row; `token` comes back with it. */
  hold(row: number, f: Frame, token: number): void {
    this.#next[f] = -1
    this.#token[f] = token
    if (this.#first[row] === -1) this.#first[row] = f
    else this.#next[this.#last[row]] = f
    this.#last[row] = f
    this.#count[row]++
    this.frames++
    this.bytes += this.#pool.len[f]
  }

  /** Takes all frames off a row, as a chain that `after` walks, in order of arrival; -1 where there are none. */
  detach(row: number): Frame | -1 {
    const first = this.#first[row]
    for (let f = first; f !== -1; f = this.#next[f]) this.bytes -= this.#pool.len[f]
    this.frames -= this.#count[row]
    this.#first[row] = this.#last[row] = -1
    this.#count[row] = 0
    return first as Frame | -1
  }

  /** The frame behind `f` in a chain, or -1: to be asked before `f` is given away. */
  after(f: Frame): Frame | -1 {
    return this.#next[f] as Frame | -1
  }

  /** What `hold` was told with this frame. */
  token(f: Frame): number {
    return this.#token[f]
  }

  /**
   * Notes that the bytes `[from, to)` of the packet pass, behind which none follow where they are the `last`: gives one of
   * `Passed`.
   */
  pass(row: number, from: number, to: number, last: boolean): number {
    const units = this.#units
    const first = from >>> 3
    const end = (to + 7) >>> 3
    const at = row * WORDS
    const total = this.#total[row]
    let some = 0
    let missing = 0
    for (let w = first >>> 5; w <= (end - 1) >>> 5; w++) {
      const mask = maskOf(w, first, end)
      some |= units[at + w] & mask
      missing |= ~units[at + w] & mask
    }
    if (missing === 0) return last && total !== end ? Passed.Contradicts : Passed.Before
    if (some !== 0 || (total !== 0 && (last || end > total))) return Passed.Contradicts
    if (last) {
      // A fragment that has passed already may lie behind the end that is claimed now.
      if (this.#beyond(row, end)) return Passed.Contradicts
      this.#total[row] = end
    }
    for (let w = first >>> 5; w <= (end - 1) >>> 5; w++) units[at + w] |= maskOf(w, first, end)
    this.#passed[row] += end - first
    return this.#passed[row] === this.#total[row] ? Passed.Complete : Passed.Some
  }

  #beyond(row: number, end: number): boolean {
    const units = this.#units
    if (end < WORDS * 32 && units[row * WORDS + (end >>> 5)] >>> (end & 31) !== 0) return true
    for (let w = (end >>> 5) + 1; w < WORDS; w++) if (units[row * WORDS + w] !== 0) return true
    return false
  }
}

function listOf(state: number): number {
  return state === State.Waiting ? WAITING : state === State.Known ? KNOWN : LOOSE
}

/** Which bits of the word `w` are of the units from `first` to before `end`. */
function maskOf(w: number, first: number, end: number): number {
  const from = first - 32 * w
  const to = end - 32 * w
  const low = from > 0 ? -1 << from : -1
  return to < 32 ? low & ((1 << to) - 1) : low
}
