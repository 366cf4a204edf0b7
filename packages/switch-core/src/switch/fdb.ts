import { checkRange } from '../frame-pool.ts'

/*
 * The forwarding database: which address was last heard on which port, per VLAN.
 *
 * Open addressing on one Int32Array, at most half full, four words an entry:
 *
 *   word 0   the last four bytes of the MAC address, as they lie in the frame (little-endian)
 *   word 1   the first two bytes of the MAC address in bits 0..15, the VLAN in bits 16..27
 *   word 2   0 for a free slot, else port + 1 in bits 0..15 and the kind in bits 16 and 17
 *   word 3   when the address was last heard: milliseconds of the clock, 32 bits, compared by difference
 *
 * A key is thus two words that are read from the frame as they stand, and an entry is a quarter of a cache line.
 * Collisions go to the next slot; removal moves later entries back, so that there are no tombstones to clean up. No entry
 * is farther from its home than PROBES slots, so that no search looks at more: an address that finds no place there is not
 * learnt. Which addresses collide depends on the seed, which stations do not know.
 *
 * An entry that has aged out is treated as absent at once, and is removed by `sweep`, which walks a slice of the table at
 * a time - downwards, so that what is removed is mostly the end of its run and nothing has to move.
 */

/** Says what became of an entry. */
export type FdbChange = 'learned' | 'moved' | 'aged' | 'evicted' | 'flushed' | 'added' | 'removed'

/** How an entry came to be: heard, heard and bound to its port, or configured. Only the first two age; only the first
 * moves when the address is heard on another port. */
export type FdbKind = 'dynamic' | 'sticky' | 'static'

/** An entry as people see it. */
export interface FdbEntry {
  /** e.g. "02:00:00:00:00:01" */
  readonly mac: string
  /** VLAN id; 0 in a switch that is not VLAN-aware. */
  readonly vlan: number
  /** The switch's number for the port. */
  readonly port: number
  readonly kind: FdbKind
  /** Milliseconds since the address was last heard. */
  readonly age: number
}

/** Called with a change and the entry after it (before it, where it is gone). It cannot change the table: that throws. */
export type FdbWatcher = (change: FdbChange, entry: FdbEntry) => void

/** Settings of the forwarding database. */
export interface FdbOptions {
  /** Seconds until an address that is not heard is forgotten; 0 (never learn for long: a hub) to 1,000,000. Default 300
   * (802.1Q table 8-5). */
  ageing?: number
  /** Entries at most; 1 to 1,048,576. Default 8,192. An entry takes 32 to 64 bytes. */
  maxEntries?: number
  /** What happens to a new address when the table is full: it is not learnt (`refuse`, the default: as Linux does, and
   * established stations keep their entries), or it takes the place of the idlest of the dynamic entries among a sample
   * of 64 (`evict`). */
  atLimit?: 'refuse' | 'evict'
  /** Seed of the hash, a whole number of 32 bits. Default 0, for runs that must repeat; on a network, one that stations do
   * not know: they could send addresses that collide, which are then not learnt. */
  seed?: number
}

/** Counts of what happened to entries. */
export interface FdbCounters {
  learned: number
  moved: number
  aged: number
  evicted: number
  /** New addresses that were not learnt: table full, or their part of it crowded. */
  refused: number
  /** Watchers that were taken off because they threw. */
  watchersLost: number
}

/** Slots that a search looks at: twice what was met in a half-full table over 7,200 sets of MACs and VLANs in sequence. */
const PROBES = 128
const SAMPLE = 64
/** Milliseconds: more than the longest ageing time, less than half of what 32 bits tell apart. */
const LONGEST_AGEING = 2 ** 30
/** Bits of word 2 that hold port + 1. */
export const ENTRY_PORT = 0xffff
/** Bit of word 2: the entry does not move. */
export const STICKY_ENTRY: number = 1 << 16
const STATIC = 2 << 16
const KIND = STICKY_ENTRY | STATIC

const KINDS: readonly FdbKind[] = ['dynamic', 'sticky', 'static']

/** Learns and finds addresses. Keys are the words described above: `hi` is `vlan << 16 | first two bytes`. */
export class Fdb {
  readonly maxEntries: number
  readonly atLimit: 'refuse' | 'evict'
  /* For the switch, which tries an address's home slot in its own loop (measured: a third off the cost of a frame) and
   * calls `learn` and `lookup` where that does not settle it. */
  /** The entries, four words each; another array after `detach`. */
  table: Int32Array
  /** For `homeSlot`: how far to shift, and what to mix in. */
  readonly shift: number
  readonly salt: number
  readonly counters: FdbCounters = {
    learned: 0,
    moved: 0,
    aged: 0,
    evicted: 0,
    refused: 0,
    watchersLost: 0,
  }
  readonly #mask: number
  #ageing = 0
  #size = 0
  #hand = 0
  #ms = 0
  #now = 0
  #telling = false
  readonly #watchers: FdbWatcher[] = []

  /** `table` makes the array of the entries: elsewhere than in a buffer of its own. */
  constructor(options: FdbOptions = {}, table: (words: number) => Int32Array = (words) => new Int32Array(words)) {
    this.maxEntries = checkRange('maxEntries', options.maxEntries ?? 8192, 1, 1 << 20)
    this.atLimit = options.atLimit ?? 'refuse'
    if (this.atLimit !== 'refuse' && this.atLimit !== 'evict') {
      throw new RangeError(`atLimit must be 'refuse' or 'evict', not ${String(this.atLimit)}`)
    }
    const seed = options.seed ?? 0
    if (!Number.isInteger(seed) || Math.abs(seed) >= 2 ** 32) {
      throw new RangeError(`seed must be a whole number of 32 bits, not ${seed}`)
    }
    this.salt = homeSlot(seed, 0x5bd1e995, 0, 0)
    this.ageing = options.ageing ?? 300
    const bits = Math.max(4, Math.ceil(Math.log2(this.maxEntries * 2)))
    this.table = table(4 << bits)
    this.#mask = (1 << bits) - 1
    this.shift = 32 - bits
  }

  /** Entries, including those that have aged out and await the sweep. */
  get size(): number {
    return this.#size
  }

  /** Seconds until an address that is not heard is forgotten. */
  get ageing(): number {
    return this.#ageing / 1000
  }
  set ageing(seconds: number) {
    if (!(seconds >= 0 && seconds <= 1e6)) {
      throw new RangeError(`ageing must be 0 to 1,000,000 seconds, not ${seconds}`)
    }
    this.#ageing = Math.round(seconds * 1000)
  }

  /** Tells the table the time: nanoseconds of the clock, once a batch. */
  setNow(ns: number): void {
    const ms = Math.floor(ns / 1e6)
    // 32 bits of milliseconds cannot tell 25 days from none: after such a gap all that ages has aged out.
    if (ms - this.#ms > LONGEST_AGEING && this.#size > 0) {
      this.#now = (this.#ms + LONGEST_AGEING) | 0
      this.#removeWhere((slot) => ((this.table[(slot << 2) + 2] as number) & STATIC) === 0, 'aged')
    }
    this.#ms = ms
    this.#now = ms | 0
  }

  /** The time as entries hold it. */
  get now(): number {
    return this.#now
  }

  /** Milliseconds until an address that is not heard is forgotten. */
  get ageingMs(): number {
    return this.#ageing
  }

  /** Finds the port of an address; -1 where it is not known. */
  lookup(hi: number, lo: number): number {
    const t = this.table
    const mask = this.#mask
    let slot = homeSlot(hi, lo, this.salt, this.shift)
    for (let i = 0; i < PROBES; i++) {
      const at = slot << 2
      const word = t[at + 2] as number
      if (word === 0) return -1
      if (t[at] === lo && t[at + 1] === hi) {
        if ((word & STATIC) === 0 && ((this.#now - (t[at + 3] as number)) | 0) >= this.#ageing) return -1
        return (word & ENTRY_PORT) - 1
      }
      slot = (slot + 1) & mask
    }
    return -1
  }

  /** The entry of an address, as people see it; null where `lookup` finds none. */
  entry(hi: number, lo: number): FdbEntry | null {
    return this.lookup(hi, lo) < 0 ? null : this.#entry(this.#find(hi, lo))
  }

  /** Notes that an address was heard on `port`: makes, refreshes or moves its entry. */
  learn(hi: number, lo: number, port: number, sticky: boolean): void {
    const t = this.table
    const mask = this.#mask
    const now = this.#now
    let slot = homeSlot(hi, lo, this.salt, this.shift)
    for (let i = 0; i < PROBES; i++) {
      const at = slot << 2
      const word = t[at + 2] as number
      if (word === 0) {
        this.#insert(hi, lo, port, sticky ? STICKY_ENTRY : 0)
        return
      }
      if (t[at] === lo && t[at + 1] === hi) {
        if ((word & ENTRY_PORT) - 1 !== port) this.#hearElsewhere(slot, port, sticky)
        else if (t[at + 3] !== now) t[at + 3] = now
        return
      }
      slot = (slot + 1) & mask
    }
    this.counters.refused++
  }

  /** Notes what another table knows: that an address was heard on `port`, `age` milliseconds ago. What was heard last counts; an
   * entry that does not move stays where it is. */
  merge(hi: number, lo: number, port: number, age: number): void {
    if (age >= this.#ageing) return
    const t = this.table
    const heard = (this.#now - Math.max(0, age)) | 0
    const known = this.#find(hi, lo)
    if (known < 0) {
      this.#insert(hi, lo, port, 0)
      const made = this.#find(hi, lo)
      if (made >= 0) t[(made << 2) + 3] = heard
      return
    }
    const at = known << 2
    if (((t[at + 2] as number) & KIND) !== 0 || ((heard - (t[at + 3] as number)) | 0) <= 0) return
    t[at + 3] = heard
    if (((t[at + 2] as number) & ENTRY_PORT) - 1 === port) return
    t[at + 2] = port + 1
    this.counters.moved++
    this.#tell('moved', known)
  }

  /** Adds or replaces an entry by configuration; false where the table is full. Throws a RangeError for an address that no
   * station can have, a port or a kind that is none. */
  add(mac: readonly [hi: number, lo: number], port: number, kind: FdbKind = 'static'): boolean {
    const [hi, lo] = mac
    checkRange('port', port, 0, ENTRY_PORT - 2)
    if (!KINDS.includes(kind)) throw new RangeError(`kind must be one of ${KINDS.join(', ')}, not ${String(kind)}`)
    if ((hi & 1) !== 0 || ((hi & 0xffff) | lo) === 0) {
      throw new RangeError(`mac must be the address of a station, not ${macText(hi, lo)}`)
    }
    this.#mayChange()
    this.#remove(this.#find(hi, lo), 'removed')
    const slot = this.#freeSlot(hi, lo)
    if (slot < 0 || this.#size >= this.maxEntries) return false
    this.#write(slot, hi, lo, port, KINDS.indexOf(kind) << 16)
    this.#tell('added', slot)
    return true
  }

  /** Removes an address's entry, whatever its kind; false where there is none. */
  delete(mac: readonly [hi: number, lo: number]): boolean {
    this.#mayChange()
    return this.#remove(this.#find(mac[0], mac[1]), 'removed')
  }

  /** Forgets learnt entries: of a port, of a VLAN (or of those that a function picks), of both together, or all. With
   * `static`, configured ones too. Says how many. */
  flush(which: { port?: number; vlan?: number | ((vlan: number) => boolean); static?: boolean } = {}): number {
    this.#mayChange()
    const t = this.table
    const { port, vlan } = which
    return this.#removeWhere((slot) => {
      const at = slot << 2
      const word = t[at + 2] as number
      const id = (t[at + 1] as number) >>> 16
      return (
        (which.static === true || (word & STATIC) === 0) &&
        (port === undefined || (word & ENTRY_PORT) - 1 === port) &&
        (vlan === undefined || (typeof vlan === 'number' ? id === vlan : vlan(id)))
      )
    }, 'flushed')
  }

  /** Forgets all entries, and gives up the array that they were in, for whoever made it to use again. */
  detach(): Int32Array {
    this.flush({ static: true })
    const { table } = this
    this.table = new Int32Array(table.length)
    return table
  }

  #removeWhere(hit: (slot: number) => boolean, change: 'flushed' | 'aged'): number {
    let n = 0
    // A removal near the end of the table may bring an entry from its start to a slot that was passed: hence the few
    // slots more than once round.
    for (let i = 0; i <= this.#mask + PROBES; i++) {
      const slot = (this.#mask - i) & this.#mask
      while (this.table[(slot << 2) + 2] !== 0 && hit(slot)) {
        this.#remove(slot, change)
        n++
      }
    }
    return n
  }

  /** Removes entries that have aged out, looking at `slots` slots from where it stopped last time; all by default. */
  sweep(slots: number = this.#mask + 1 + PROBES): void {
    for (let i = 0; i < slots; i++) {
      const slot = this.#hand
      while (this.table[(slot << 2) + 2] !== 0 && this.#aged(slot)) this.#remove(slot, 'aged')
      this.#hand = (slot - 1) & this.#mask
    }
  }

  /** Slots of the table: how much there is to sweep. */
  get slots(): number {
    return this.#mask + 1
  }

  /** Lists the entries that have not aged out. */
  *list(): Generator<FdbEntry> {
    for (let slot = 0; slot <= this.#mask; slot++) {
      if (this.table[(slot << 2) + 2] !== 0 && !this.#aged(slot)) yield this.#entry(slot)
    }
  }

  /** Is told of the error of a watcher that threw. Default: it is only counted. */
  onWatcherError: ((error: unknown) => void) | null = null

  /** Has `watcher` called at every change, until the function that is returned is called. A watcher that throws is taken
   * off and counted: its error does not stand in a frame's way. */
  watch(watcher: FdbWatcher): () => void {
    this.#watchers.push(watcher)
    return () => {
      const i = this.#watchers.indexOf(watcher)
      if (i >= 0) this.#watchers.splice(i, 1)
    }
  }

  #hash(hi: number, lo: number): number {
    return homeSlot(hi, lo, this.salt, this.shift)
  }

  #aged(slot: number): boolean {
    const at = slot << 2
    if (((this.table[at + 2] as number) & STATIC) !== 0) return false
    return ((this.#now - (this.table[at + 3] as number)) | 0) >= this.#ageing
  }

  #find(hi: number, lo: number): number {
    const t = this.table
    let slot = this.#hash(hi, lo)
    for (let i = 0; i < PROBES; i++) {
      const at = slot << 2
      if (t[at + 2] === 0) return -1
      if (t[at] === lo && t[at + 1] === hi) return slot
      slot = (slot + 1) & this.#mask
    }
    return -1
  }

  #freeSlot(hi: number, lo: number): number {
    let slot = this.#hash(hi, lo)
    for (let i = 0; i < PROBES; i++) {
      if (this.table[(slot << 2) + 2] === 0) return slot
      slot = (slot + 1) & this.#mask
    }
    return -1
  }

  /** The address is known, but from another port. */
  #hearElsewhere(slot: number, port: number, sticky: boolean): void {
    const at = slot << 2
    const word = this.table[at + 2] as number
    if (this.#aged(slot)) {
      const hi = this.table[at + 1] as number
      const lo = this.table[at] as number
      this.#remove(slot, 'aged')
      this.learn(hi, lo, port, sticky)
      return
    }
    if ((word & KIND) !== 0) return
    this.table[at + 2] = (port + 1) | (sticky ? STICKY_ENTRY : 0)
    this.table[at + 3] = this.#now
    this.counters.moved++
    this.#tell('moved', slot)
  }

  #insert(hi: number, lo: number, port: number, kind: number): void {
    if (this.#size >= this.maxEntries) this.sweep(SAMPLE)
    if (this.#size >= this.maxEntries) {
      if (this.atLimit === 'refuse' || !this.#evict()) {
        this.counters.refused++
        return
      }
    }
    // What was removed may have moved entries: the free slot is looked for again.
    const free = this.#freeSlot(hi, lo)
    if (free < 0) {
      this.counters.refused++
      return
    }
    this.#write(free, hi, lo, port, kind)
    this.counters.learned++
    this.#tell('learned', free)
  }

  #write(slot: number, hi: number, lo: number, port: number, kind: number): void {
    const t = this.table
    const at = slot << 2
    t[at] = lo
    t[at + 1] = hi
    t[at + 2] = (port + 1) | kind
    t[at + 3] = this.#now
    this.#size++
  }

  /** Removes the idlest dynamic entry of the next SAMPLE entries that the hand meets. */
  #evict(): boolean {
    const t = this.table
    let victim = -1
    let idlest = -1
    let seen = 0
    let slot = this.#hand
    for (let i = 0; i <= this.#mask && i < SAMPLE * 64 && seen < SAMPLE; i++) {
      const at = slot << 2
      const word = t[at + 2] as number
      if (word !== 0 && (word & KIND) === 0) {
        seen++
        const idle = (this.#now - (t[at + 3] as number)) | 0
        if (idle > idlest) {
          idlest = idle
          victim = slot
        }
      }
      slot = (slot + 1) & this.#mask
    }
    this.#hand = slot
    return this.#remove(victim, 'evicted')
  }

  /** Frees a slot and moves later entries of the run back, so that searches that pass it still find them. */
  #remove(slot: number, change: 'aged' | 'evicted' | 'flushed' | 'removed'): boolean {
    if (slot < 0) return false
    this.#tell(change, slot)
    if (change === 'aged') this.counters.aged++
    else if (change === 'evicted') this.counters.evicted++
    const t = this.table
    const mask = this.#mask
    let hole = slot
    for (let i = (slot + 1) & mask; t[(i << 2) + 2] !== 0; i = (i + 1) & mask) {
      // No entry is as far from its home.
      if (((i - hole) & mask) >= PROBES) break
      const at = i << 2
      const home = this.#hash(t[at + 1] as number, t[at] as number)
      // The entry may fill the hole if its home does not lie behind the hole (cyclically).
      if (((i - home) & mask) >= ((i - hole) & mask)) {
        t.copyWithin(hole << 2, at, at + 4)
        hole = i
      }
    }
    t.fill(0, hole << 2, (hole << 2) + 4)
    this.#size--
    return true
  }

  #entry(slot: number): FdbEntry {
    const t = this.table
    const at = slot << 2
    const hi = t[at + 1] as number
    const word = t[at + 2] as number
    return {
      mac: macText(hi, t[at] as number),
      vlan: hi >>> 16,
      port: (word & ENTRY_PORT) - 1,
      kind: KINDS[word >>> 16] as FdbKind,
      age: (this.#now - (t[at + 3] as number)) | 0,
    }
  }

  #tell(change: FdbChange, slot: number): void {
    if (this.#watchers.length === 0) return
    const entry = this.#entry(slot)
    this.#telling = true
    for (const watcher of [...this.#watchers]) {
      try {
        watcher(change, entry)
      } catch (error) {
        const i = this.#watchers.indexOf(watcher)
        if (i >= 0) this.#watchers.splice(i, 1)
        this.counters.watchersLost++
        this.#report(error)
      }
    }
    this.#telling = false
  }

  #report(error: unknown): void {
    try {
      this.onWatcherError?.(error)
    } catch {
      // Whoever is told of an error may not make another one of it.
    }
  }

  #mayChange(): void {
    if (this.#telling) throw new Error('the FDB cannot be changed from a watcher: do it later (queueMicrotask)')
  }
}

/** A key's home slot: mixed so that addresses and VLANs in sequence, in any byte, spread over the table. */
export function homeSlot(hi: number, lo: number, salt: number, shift: number): number {
  let h = Math.imul(lo ^ salt, 0x9e3779b1) ^ Math.imul(hi, 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 16), 0x7feb352d)
  return Math.imul(h ^ (h >>> 15), 0x846ca68b) >>> shift
}

function macText(hi: number, lo: number): string {
  const bytes = [hi & 255, (hi >>> 8) & 255, lo & 255, (lo >>> 8) & 255, (lo >>> 16) & 255, lo >>> 24]
  return bytes.map((b) => b.toString(16).padStart(2, '0')).join(':')
}

/** Makes a key of a MAC address's six bytes and a VLAN: `[hi, lo]`. */
export function fdbKey(mac: ArrayLike<number>, vlan = 0): [hi: number, lo: number] {
  const [a, b, c, d, e, f] = Array.from(mac) as [number, number, number, number, number, number]
  return [(vlan << 16) | (b << 8) | a, (f << 24) | (e << 16) | (d << 8) | c]
}
