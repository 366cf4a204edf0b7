import { wordMask } from './prefix.ts'

/*
 * What a route table remembers beside its trie: every prefix with its metrics and values, so that routes can be found,
 * listed and taken away again.
 *
 *     slots (open addressing)  ->  row of the prefix's lowest metric  ->  row of the next higher  -> ...
 *
 * Rows are columns of typed arrays: 17 bytes for a row of IPv4 and two slots of 4 bytes, so that a million routes are
 * no million objects.
 */

const NONE = -1

/** Prefixes of one family, each with one or more (metric, value). */
export class PrefixStore {
  /** Words of an address: 1 or 4. */
  readonly #width: number
  #keys: Uint32Array
  #length: Uint8Array
  #metric: Uint32Array
  #value: Uint32Array
  /** The row of the same prefix with the next higher metric; of a free row the next free one. */
  #next: Int32Array
  #slots: Int32Array
  #heads = 0
  #rows = 0
  #used = 0
  #free = NONE
  /** How many different prefixes there are of each length. */
  readonly #ofLength: Uint32Array = new Uint32Array(129)
  readonly #scratch: Uint32Array

  constructor(width: 1 | 4) {
    this.#width = width
    this.#keys = new Uint32Array(16 * width)
    this.#length = new Uint8Array(16)
    this.#metric = new Uint32Array(16)
    this.#value = new Uint32Array(16)
    this.#next = new Int32Array(16)
    this.#slots = new Int32Array(32).fill(NONE)
    this.#scratch = new Uint32Array(width)
  }

  /** How many rows there are. */
  get size(): number {
    return this.#rows
  }

  /** Bytes that the arrays take. */
  get bytes(): number {
    const { byteLength } = this.#slots
    return byteLength + this.#length.length * (4 * this.#width + 13)
  }

  /** The row of the prefix with the lowest metric, or -1. */
  best(words: Uint32Array, length: number): number {
    const slot = this.#slot(words, length)
    return this.#slots[slot] as number
  }

  /** The row of the longest prefix that covers this one and is shorter, or -1. */
  covering(words: Uint32Array, length: number): number {
    const p = this.#scratch
    for (let l = length - 1; l >= 0; l--) {
      if (this.#ofLength[l] === 0) continue
      for (let w = 0; w < p.length; w++) p[w] = (words[w] as number) & wordMask(l - 32 * w)
      const row = this.best(p, l)
      if (row !== NONE) return row
    }
    return NONE
  }

  /** The row of the prefix with this metric, or -1. */
  find(words: Uint32Array, length: number, metric: number): number {
    let row = this.best(words, length)
    while (row !== NONE && this.#metric[row] !== metric) row = this.#next[row] as number
    return row
  }

  length(row: number): number {
    return this.#length[row] as number
  }
  metric(row: number): number {
    return this.#metric[row] as number
  }
  value(row: number): number {
    return this.#value[row] as number
  }
  setValue(row: number, value: number): void {
    this.#value[row] = value
  }
  words(row: number): Uint32Array {
    return this.#keys.slice(row * this.#width, (row + 1) * this.#width)
  }

  /** The row after this one of the same prefix, or -1. */
  next(row: number): number {
    return this.#next[row] as number
  }

  /** Adds a row; there is none with this prefix and metric. */
  add(words: Uint32Array, length: number, metric: number, value: number): void {
    if ((this.#heads + 1) * 2 > this.#slots.length) this.#rehash(this.#slots.length * 2)
    const row = this.#take()
    this.#keys.set(words, row * this.#width)
    this.#length[row] = length
    this.#metric[row] = metric
    this.#value[row] = value
    this.#rows++
    const slot = this.#slot(words, length)
    let before = NONE
    let after = this.#slots[slot] as number
    if (after === NONE) {
      this.#heads++
      this.#ofLength[length]!++
    }
    while (after !== NONE && (this.#metric[after] as number) < metric) {
      before = after
      after = this.#next[after] as number
    }
    this.#next[row] = after
    if (before === NONE) this.#slots[slot] = row
    else this.#next[before] = row
  }

  /** Takes a row away. */
  remove(row: number): void {
    const words = this.words(row)
    const slot = this.#slot(words, this.length(row))
    const after = this.#next[row] as number
    if (this.#slots[slot] !== row) {
      let before = this.#slots[slot] as number
      while (this.#next[before] !== row) before = this.#next[before] as number
      this.#next[before] = after
    } else if (after !== NONE) this.#slots[slot] = after
    else {
      this.#ofLength[this.length(row)]!--
      this.#heads--
      this.#close(slot)
    }
    this.#rows--
    this.#next[row] = this.#free
    this.#free = row
  }

  /** All rows, those of a prefix together, the lowest metric first. The store must not be changed meanwhile. */
  *rows(): IterableIterator<number> {
    for (const head of this.#slots) {
      for (let row = head; row !== NONE; row = this.#next[row] as number) yield row
    }
  }

  /** The slot where the prefix is, or the empty one where it would be. */
  #slot(words: Uint32Array, length: number): number {
    const mask = this.#slots.length - 1
    for (let slot = hash(words, 0, this.#width, length) & mask; ; slot = (slot + 1) & mask) {
      const row = this.#slots[slot] as number
      if (row === NONE || this.#is(row, words, length)) return slot
    }
  }

  #is(row: number, words: Uint32Array, length: number): boolean {
    if (this.#length[row] !== length) return false
    for (let w = 0; w < this.#width; w++) if (this.#keys[row * this.#width + w] !== words[w]) return false
    return true
  }

  /** Empties a slot and moves back those behind it that were put off by it. */
  #close(slot: number): void {
    const slots = this.#slots
    const mask = slots.length - 1
    let hole = slot
    for (let i = (slot + 1) & mask; slots[i] !== NONE; i = (i + 1) & mask) {
      const row = slots[i] as number
      const home = hash(this.#keys, row * this.#width, this.#width, this.#length[row] as number) & mask
      if (((i - home) & mask) < ((i - hole) & mask)) continue
      slots[hole] = row
      hole = i
    }
    slots[hole] = NONE
  }

  #rehash(size: number): void {
    const old = this.#slots
    this.#slots = new Int32Array(size).fill(NONE)
    for (const row of old) {
      if (row === NONE) continue
      let slot = hash(this.#keys, row * this.#width, this.#width, this.#length[row] as number) & (size - 1)
      while (this.#slots[slot] !== NONE) slot = (slot + 1) & (size - 1)
      this.#slots[slot] = row
    }
  }

  #take(): number {
    if (this.#free !== NONE) {
      const row = this.#free
      this.#free = this.#next[row] as number
      return row
    }
    if (this.#used === this.#length.length) {
      const n = Math.ceil(this.#used * 1.5)
      this.#keys = grown(this.#keys, new Uint32Array(n * this.#width))
      this.#length = grown(this.#length, new Uint8Array(n))
      this.#metric = grown(this.#metric, new Uint32Array(n))
      this.#value = grown(this.#value, new Uint32Array(n))
      this.#next = grown(this.#next, new Int32Array(n))
    }
    return this.#used++
  }
}

function grown<A extends Uint8Array | Uint32Array | Int32Array>(from: A, to: A): A {
  to.set(from)
  return to
}

function hash(words: Uint32Array, at: number, width: number, length: number): number {
  let h = Math.imul(length + 1, 0x9e37_79b1)
  for (let i = 0; i < width; i++) {
    h = Math.imul(h ^ (words[at + i] as number), 0x85eb_ca6b)
    h ^= h >>> 15
    h = Math.imul(h, 0xc2b2_ae35)
    h ^= h >>> 13
  }
  return h >>> 0
}
