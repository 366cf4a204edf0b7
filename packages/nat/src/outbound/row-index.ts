import { checkRange } from '@l2l3/switch-core'

/*
 * Keys of a few words, each with a row number: what the tables of mappings, ports and peers are built on. A table keeps
 * what it knows of a key in typed arrays indexed by the row.
 *
 *     heads[hash(key)]  ->  row  -> next[row] ->  ...          keys[width * row ..]  the words
 *
 * Everything has its size from the start, so that a flood of new flows meets no rehash: nothing grows, and where no row
 * is free the caller hears it. Memory that was never written to is not yet memory, the system gives it by the page. A
 * row is found by the key that stands in `key`: who asks fills it in first, and nothing is allocated.
 *
 * There are as many chains as rows or up to twice that, and which keys share one depends on a seed.
 */

/** What a search gives that finds nothing, and an addition that finds no room. */
export const NO_ROW = -1

/** Finds rows by keys of a fixed number of words. */
export class RowIndex {
  /** The key to find or add: fill it in before `find` and `add`. */
  readonly key: Int32Array
  /** Rows at most. */
  readonly max: number
  readonly #width: number
  readonly #keys: Int32Array
  readonly #heads: Int32Array
  /** Of a row in use the next one of its chain plus one, of a free row the next free one plus one; 0 ends both. */
  readonly #next: Int32Array
  readonly #shift: number
  readonly #seed: number
  #free = 0
  #fresh = 0
  #size = 0

  /** @param name what the number of rows is called in the configuration
   * @param max rows at most, 1 to 16,777,216
   * @param width words of a key
   * @param seed 32 bits that nobody outside should know; 0 for runs that must repeat */
  constructor(name: string, max: number, width: number, seed: number) {
    this.max = checkRange(name, max, 1, 1 << 24)
    const bits = Math.max(1, Math.ceil(Math.log2(max)))
    this.key = new Int32Array(width)
    this.#width = width
    this.#keys = new Int32Array(max * width)
    this.#heads = new Int32Array(1 << bits)
    this.#next = new Int32Array(max)
    this.#shift = 32 - bits
    this.#seed = seed | 0
  }

  /** Rows in use. */
  get size(): number {
    return this.#size
  }

  /** The row of `key`, or `NO_ROW`. */
  find(): number {
    const { key } = this
    const width = this.#width
    const keys = this.#keys
    let row = (this.#heads[this.#chain(key, 0)] as number) - 1
    search: while (row !== NO_ROW) {
      const at = row * width
      for (let w = 0; w < width; w++) {
        if (keys[at + w] !== key[w]) {
          row = (this.#next[row] as number) - 1
          continue search
        }
      }
      return row
    }
    return NO_ROW
  }

  /** Gives `key`, which is not in yet, a row; `NO_ROW` where none is free. */
  add(): number {
    let row = this.#free - 1
    if (row !== NO_ROW) this.#free = this.#next[row] as number
    else if (this.#fresh < this.max) row = this.#fresh++
    else return NO_ROW
    const { key } = this
    const at = row * this.#width
    for (let w = 0; w < this.#width; w++) this.#keys[at + w] = key[w] as number
    const chain = this.#chain(key, 0)
    this.#next[row] = this.#heads[chain] as number
    this.#heads[chain] = row + 1
    this.#size++
    return row
  }

  /** Takes a row that is in use out; it is free for others. */
  remove(row: number): void {
    this.hide(row)
    this.free(row)
  }

  /** Takes a row out of its chain: `find` does not see it any more, its number and key stay until `free`. */
  hide(row: number): void {
    const chain = this.#chain(this.#keys, row * this.#width)
    const next = this.#next
    if (this.#heads[chain] === row + 1) this.#heads[chain] = next[row] as number
    else {
      let before = (this.#heads[chain] as number) - 1
      while (next[before] !== row + 1) before = (next[before] as number) - 1
      next[before] = next[row] as number
    }
  }

  /** Makes the number of a hidden row free for others. */
  free(row: number): void {
    this.#next[row] = this.#free
    this.#free = row + 1
    this.#size--
  }

  /** A word of a row's key. */
  word(row: number, w: number): number {
    return this.#keys[row * this.#width + w] as number
  }

  /* Each word passes a multiplication and a shift before the next one comes, so that words that differ in their top bits
   * alone do not cancel out. */
  #chain(words: Int32Array, at: number): number {
    let h = this.#seed ^ 0x9e37_79b1
    for (let w = 0; w < this.#width; w++) {
      h = Math.imul(h ^ (words[at + w] as number), 0x85eb_ca6b)
      h ^= h >>> 15
    }
    return (Math.imul(h, 0xc2b2_ae35) ^ (h >>> 13)) >>> this.#shift
  }
}
