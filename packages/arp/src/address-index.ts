import { checkRange } from '@l2l3/switch-core'
import { put32, u32 } from '@l2l3/switch-core/wire'
import { formatAddress } from './address.ts'

/*
 * Addresses, IPv4 and IPv6, each with a row number: what all tables here are built on. A table keeps what it knows of
 * an address in typed arrays indexed by the row, and finds the row without allocating.
 *
 *   slots   open addressing, at most half full, two words a slot:   tag | row + 1 (bit 30 set: IPv6)
 *   tag     an IPv4 address as it is; an IPv6 address's words mixed one into the next, by odd factors from the seed
 *   rows    words[4 * row ..]: the address's 16 bytes, IPv4 in the last word
 *
 * An IPv4 address is found by its tag alone; only IPv6 looks at the row. ::ffff:10.0.0.1 is not 10.0.0.1 here, so that
 * ND cannot speak about IPv4. Collisions go to the next slot, removal moves later ones back, and no search looks at
 * more than PROBES slots, its run. Who knows the seed can find addresses that fill a run: that costs no time, and an
 * address that finds its run full may take over the row of one in it (`crowded`, `replace4`, `replace6`).
 *
 * Each word of an IPv6 address passes a multiplication and a shift before the next one comes: were it a mere sum of
 * products, two words that differ in their top bits alone would cancel out, whatever the factors.
 */

/** What a search gives that finds nothing, and an insertion that finds no room. */
export const NO_ROW = -1

/** Slots that a search looks at. */
export const PROBES = 128
const V6 = 1 << 30

/** Finds rows by address. */
export class AddressIndex {
  /** Addresses at most. */
  readonly max: number
  /** Four words a row, as in a header. */
  readonly words: Int32Array
  /** 0 where the row is free, else 4 or 6. */
  readonly family: Uint8Array
  readonly #slots: Int32Array
  readonly #mask: number
  readonly #shift: number
  readonly #factors: Int32Array
  readonly #free: Int32Array
  #spare: number
  /** First slot of the run that the last insertion looked at. */
  #run = 0

  /** @param max addresses at most, 1 to 1,048,576
   * @param seed 32 bits that stations should not know; 0 for runs that must repeat */
  constructor(max: number, seed = 0) {
    this.max = checkRange('maxEntries', max, 1, 1 << 20)
    const bits = Math.max(3, Math.ceil(Math.log2(max * 2)))
    this.#slots = new Int32Array(2 << bits)
    this.#mask = (1 << bits) - 1
    this.#shift = 32 - bits
    const factors = [0x9e3779b1, 0x85ebca6b, 0xc2b2ae35, 0x27d4eb2f, 0x165667b1]
    this.#factors = Int32Array.from(factors, (k, i) => (Math.imul(seed, 0x5851f42d + 2 * i) ^ k) | 1)
    this.words = new Int32Array(max * 4)
    this.family = new Uint8Array(max)
    this.#free = new Int32Array(max)
    for (let i = 0; i < max; i++) this.#free[i] = max - 1 - i
    this.#spare = max
  }

  /** Addresses that are in. */
  get size(): number {
    return this.max - this.#spare
  }

  /** The row of an IPv4 address, or `NO_ROW`. */
  find4(ip: number): number {
    const slots = this.#slots
    const tag = ip | 0
    let slot = this.#home(tag)
    for (let i = 0; i < PROBES; i++) {
      const at = slot << 1
      const word = slots[at + 1]
      if (word === 0) return NO_ROW
      if (slots[at] === tag && word < V6) return word - 1
      slot = (slot + 1) & this.#mask
    }
    return NO_ROW
  }

  /** The row of the IPv6 address at `at`, or `NO_ROW`. */
  find6(b: Uint8Array, at: number): number {
    const slots = this.#slots
    const tag = this.#tag6(b, at)
    let slot = this.#home(tag)
    for (let i = 0; i < PROBES; i++) {
      const s = slot << 1
      const word = slots[s + 1]
      if (word === 0) return NO_ROW
      if (slots[s] === tag && word > V6 && this.#equal6((word & ~V6) - 1, b, at)) return (word & ~V6) - 1
      slot = (slot + 1) & this.#mask
    }
    return NO_ROW
  }

  /** Puts in an IPv4 address that is not there yet, and gives its row; `NO_ROW` where there is no room. */
  add4(ip: number): number {
    const row = this.#insert(ip | 0, 0)
    if (row !== NO_ROW) this.#name4(row, ip)
    return row
  }

  /** Puts in an IPv6 address that is not there yet, and gives its row; `NO_ROW` where there is no room. */
  add6(b: Uint8Array, at: number): number {
    const row = this.#insert(this.#tag6(b, at), V6)
    if (row !== NO_ROW) this.#name6(row, b, at)
    return row
  }

  /** The row in the `i`-th slot, 0 to `PROBES` - 1, of the run in which the last insertion found no room; `NO_ROW`
   * where the slot is free. */
  crowded(i: number): number {
    return (this.#slots[(((this.#run + i) & this.#mask) << 1) + 1] & ~V6) - 1
  }

  /** Gives a row that `crowded` has named to the IPv4 address that found no room: the address that had it is out. */
  replace4(row: number, ip: number): void {
    this.#take(row, ip | 0, 0)
    this.#name4(row, ip)
  }

  /** The same for the IPv6 address at `at`. */
  replace6(row: number, b: Uint8Array, at: number): void {
    this.#take(row, this.#tag6(b, at), V6)
    this.#name6(row, b, at)
  }

  /** Takes an address out; its row is free for others. */
  remove(row: number): void {
    const slots = this.#slots
    const mask = this.#mask
    let hole = this.#slotOf(row)
    // Later entries that may stand nearer to their home move into the hole.
    for (let next = (hole + 1) & mask; slots[(next << 1) + 1] !== 0; next = (next + 1) & mask) {
      const home = this.#home(slots[next << 1])
      if (((next - home) & mask) < ((next - hole) & mask)) continue
      slots[hole << 1] = slots[next << 1]
      slots[(hole << 1) + 1] = slots[(next << 1) + 1]
      hole = next
    }
    slots[hole << 1] = slots[(hole << 1) + 1] = 0
    this.family[row] = 0
    this.#free[this.#spare++] = row
  }

  /** The IPv4 address of a row. */
  ip4(row: number): number {
    return this.words[(row << 2) + 3] >>> 0
  }

  /** Writes the 16 bytes of a row's IPv6 address. */
  copy6(row: number, to: Uint8Array, at: number): void {
    for (let i = 0; i < 4; i++) put32(to, at + 4 * i, this.words[(row << 2) + i])
  }

  /** A row's address for people. */
  text(row: number): string {
    const v6 = new Uint8Array(16)
    this.copy6(row, v6, 0)
    return formatAddress(this.family[row], this.ip4(row), v6)
  }

  #insert(tag: number, kind: number): number {
    if (this.#spare === 0) return NO_ROW
    let slot = this.#home(tag)
    this.#run = slot
    for (let i = 0; i < PROBES; i++) {
      const at = slot << 1
      if (this.#slots[at + 1] === 0) {
        const row = this.#free[--this.#spare]
        this.#slots[at] = tag
        this.#slots[at + 1] = (row + 1) | kind
        return row
      }
      slot = (slot + 1) & this.#mask
    }
    return NO_ROW
  }

  /** Puts another tag where a row's stands: the slot stays taken, so that no search ends there too early. */
  #take(row: number, tag: number, kind: number): void {
    const at = this.#slotOf(row) << 1
    this.#slots[at] = tag
    this.#slots[at + 1] = (row + 1) | kind
  }

  #slotOf(row: number): number {
    const wanted = (row + 1) | (this.family[row] === 6 ? V6 : 0)
    let slot = this.#home(this.#tag(row))
    while (this.#slots[(slot << 1) + 1] !== wanted) slot = (slot + 1) & this.#mask
    return slot
  }

  #name4(row: number, ip: number): void {
    this.words.fill(0, row << 2, (row << 2) + 3)
    this.words[(row << 2) + 3] = ip
    this.family[row] = 4
  }

  #name6(row: number, b: Uint8Array, at: number): void {
    for (let i = 0; i < 4; i++) this.words[(row << 2) + i] = u32(b, at + 4 * i)
    this.family[row] = 6
  }

  #home(tag: number): number {
    return Math.imul(tag, this.#factors[4]) >>> this.#shift
  }

  #tag(row: number): number {
    const at = row << 2
    const w = this.words
    return this.family[row] === 4 ? w[at + 3] : this.#mix(w[at], w[at + 1], w[at + 2], w[at + 3])
  }

  #tag6(b: Uint8Array, at: number): number {
    return this.#mix(u32(b, at), u32(b, at + 4), u32(b, at + 8), u32(b, at + 12))
  }

  #mix(w0: number, w1: number, w2: number, w3: number): number {
    const k = this.#factors
    let h = Math.imul(k[4] ^ w0, k[0])
    h = Math.imul(h ^ (h >>> 15) ^ w1, k[1])
    h = Math.imul(h ^ (h >>> 13) ^ w2, k[2])
    h = Math.imul(h ^ (h >>> 16) ^ w3, k[3])
    return h ^ (h >>> 15)
  }

  #equal6(row: number, b: Uint8Array, at: number): boolean {
    const w = this.words
    const o = row << 2
    return (
      w[o] === (u32(b, at) | 0) &&
      w[o + 1] === (u32(b, at + 4) | 0) &&
      w[o + 2] === (u32(b, at + 8) | 0) &&
      w[o + 3] === (u32(b, at + 12) | 0)
    )
  }
}
