import { checkRange } from '@l2l3/switch-core'
import { formatIpv6, u32 } from '@l2l3/switch-core/wire'

/*
 * IPv6 addresses by number.
 *
 * A flow, a mapping, a service keep an address as one 32-bit word. For IPv4 that is the address; for IPv6 it is the row
 * that the address has here, for as long as somebody holds it:
 *
 *     words   | address of row 1 | address of row 2 | ...     four 32-bit words each; row 0 is nobody's
 *     refs    how many hold the row; at none it is free again
 *     slots   open addressing, at most half full: row number, or 0
 *
 * All this takes memory when the first address comes: who has IPv4 alone pays for nothing.
 *
 * What collides depends on the seed, and no address is farther than PROBES slots from its home, so that every search is
 * bounded whatever addresses strangers send.
 */

/** Slots that a search looks at. */
const PROBES = 128

/** Settings of `Addresses6`. */
export interface Addresses6Options {
  /** Addresses at most; 16 to 8,388,608. Default 65,536. One takes 28 to 44 bytes, all of them from the first on. */
  max?: number
  /** Seed of the hash, 32 bits. Default 0; on a network one that strangers do not know. */
  seed?: number
}

/** Gives numbers to IPv6 addresses. */
export class Addresses6 {
  readonly max: number
  /** The addresses, four words a row in network order: row n is at 4n. */
  words: Uint32Array = new Uint32Array(4)
  #refs: Uint32Array = new Uint32Array(1)
  #slots: Uint32Array = new Uint32Array(1)
  /** Rows that were given back, and the highest that was ever given. */
  #free: Uint32Array = new Uint32Array(0)
  #top = 0
  #freed = 0
  #mask = 0
  readonly #seed: number

  constructor(options: Addresses6Options = {}) {
    this.max = checkRange('max', options.max ?? 65_536, 16, 1 << 23)
    this.#seed = (options.seed ?? 0) | 0
  }

  /** Bytes of memory that the table has taken. */
  get bytes(): number {
    return this.words.byteLength + this.#refs.byteLength + this.#slots.byteLength + this.#free.byteLength
  }

  #begin(): void {
    this.words = new Uint32Array((this.max + 1) * 4)
    this.#refs = new Uint32Array(this.max + 1)
    this.#free = new Uint32Array(this.max)
    const slots = 2 ** Math.ceil(Math.log2(this.max * 2))
    this.#slots = new Uint32Array(slots)
    this.#mask = slots - 1
  }

  /** Addresses held. */
  get size(): number {
    return this.#top - this.#freed
  }

  /** The number of the address whose 16 bytes stand in `b` at `at`, with one hold more on it; 0 when the table is full or
   * the part of it where the address belongs is crowded. */
  intern(b: Uint8Array, at: number): number {
    if (this.#mask === 0) this.#begin()
    const a0 = u32(b, at)
    const a1 = u32(b, at + 4)
    const a2 = u32(b, at + 8)
    const a3 = u32(b, at + 12)
    let slot = this.#home(a0, a1, a2, a3)
    for (let k = 0; k < PROBES; k++, slot = (slot + 1) & this.#mask) {
      const row = this.#slots[slot] as number
      if (row === 0) {
        if (this.size === this.max) return 0
        const fresh = this.#freed > 0 ? (this.#free[--this.#freed] as number) : ++this.#top
        this.words[fresh * 4] = a0
        this.words[fresh * 4 + 1] = a1
        this.words[fresh * 4 + 2] = a2
        this.words[fresh * 4 + 3] = a3
        this.#refs[fresh] = 1
        this.#slots[slot] = fresh
        return fresh
      }
      if (this.#is(row, a0, a1, a2, a3)) {
        this.#refs[row] = (this.#refs[row] as number) + 1
        return row
      }
    }
    return 0
  }

  /** The number of the address whose 16 bytes stand in `b` at `at`, or 0 when nobody holds it. */
  find(b: Uint8Array, at: number): number {
    const a0 = u32(b, at)
    const a1 = u32(b, at + 4)
    const a2 = u32(b, at + 8)
    const a3 = u32(b, at + 12)
    let slot = this.#home(a0, a1, a2, a3)
    for (let k = 0; k < PROBES; k++, slot = (slot + 1) & this.#mask) {
      const row = this.#slots[slot] as number
      if (row === 0) return 0
      if (this.#is(row, a0, a1, a2, a3)) return row
    }
    return 0
  }

  /** Adds a hold. 0 is nobody's and needs none. */
  hold(row: number): void {
    if (row !== 0) this.#refs[row] = (this.#refs[row] as number) + 1
  }

  /** Gives up a hold; the last one frees the number. */
  release(row: number): void {
    if (row === 0) return
    const rest = (this.#refs[row] as number) - 1
    this.#refs[row] = rest
    if (rest === 0) this.#remove(row)
  }

  /** Writes the 16 bytes of an address to `b` at `at`. */
  write(row: number, b: Uint8Array, at: number): void {
    for (let i = 0; i < 4; i++) {
      const w = this.words[row * 4 + i] as number
      b[at + i * 4] = w >>> 24
      b[at + i * 4 + 1] = w >>> 16
      b[at + i * 4 + 2] = w >>> 8
      b[at + i * 4 + 3] = w
    }
  }

  /** The 16 bytes of an address, as a fresh array: for configuration and people. */
  bytesOf(row: number): Uint8Array {
    const bytes = new Uint8Array(16)
    this.write(row, bytes, 0)
    return bytes
  }

  /** An address as text. */
  format(row: number): string {
    return formatIpv6(this.bytesOf(row))
  }

  /** Ones-complement sum of the address' eight 16-bit words, folded: what it adds to a pseudo-header. */
  sum(row: number): number {
    const w = this.words
    const at = row * 4
    let s = 0
    for (let i = at; i < at + 4; i++) s += ((w[i] as number) >>> 16) + ((w[i] as number) & 0xffff)
    s = (s & 0xffff) + (s >>> 16)
    return (s & 0xffff) + (s >>> 16)
  }

  #is(row: number, a0: number, a1: number, a2: number, a3: number): boolean {
    const w = this.words
    const at = row * 4
    return w[at] === a0 && w[at + 1] === a1 && w[at + 2] === a2 && w[at + 3] === a3
  }

  #home(a0: number, a1: number, a2: number, a3: number): number {
    let h = Math.imul(a0 ^ this.#seed, 0x9e3779b1)
    h = Math.imul(h ^ (h >>> 15) ^ a1, 0x85ebca6b)
    h = Math.imul(h ^ (h >>> 13) ^ a2, 0xc2b2ae35)
    h = Math.imul(h ^ (h >>> 16) ^ a3, 0x27d4eb2f)
    h ^= h >>> 15
    return h & this.#mask
  }

  #homeOf(row: number): number {
    const w = this.words
    const at = row * 4
    return this.#home(w[at] as number, w[at + 1] as number, w[at + 2] as number, w[at + 3] as number)
  }

  /** Takes a row out of the slots and moves those behind it back, so that no search is cut short. */
  #remove(row: number): void {
    const slots = this.#slots
    const mask = this.#mask
    let hole = this.#homeOf(row)
    while (slots[hole] !== row) hole = (hole + 1) & mask
    for (let next = (hole + 1) & mask; slots[next] !== 0; next = (next + 1) & mask) {
      const home = this.#homeOf(slots[next] as number)
      // Whoever's home is at the hole or before it may move there.
      if (((next - home) & mask) >= ((next - hole) & mask)) {
        slots[hole] = slots[next] as number
        hole = next
      }
    }
    slots[hole] = 0
    this.#free[this.#freed++] = row
  }
}
