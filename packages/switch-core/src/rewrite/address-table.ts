import { checkRange } from '../frame-pool.ts'
import { formatIpv4, formatIpv6, parseIpv4, parseIpv6 } from '../wire/address.ts'
import { u32 } from '../wire/bytes.ts'

/*
 * Which IP address belongs to whom: IPv4 and IPv6 addresses, each with a number.
 *
 * Open addressing on one Int32Array, at most half full, eight words an entry:
 *
 *   words 0..3   the address; IPv4 in word 3, behind zeros
 *   word 4       0 for a free slot, else the number + 1
 *   word 5       4 or 6: an IPv4 address is not the IPv6 address with the same words
 *
 * The addresses are configured, not learnt: who sends frames can look for what is there and can add nothing, so that a
 * search ends soon whatever is asked.
 */

/** Words of an entry. */
const WORDS = 8

/** Finds the owner of an IP address. Numbers are 0 to 65,535. */
export class AddressTable {
  /** Addresses that the table takes. */
  readonly maxEntries: number
  readonly #table: Int32Array
  readonly #mask: number
  #size = 0

  /** @param maxEntries addresses at most; 1 to 1,048,576 */
  constructor(maxEntries = 4096) {
    this.maxEntries = checkRange('maxEntries', maxEntries, 1, 1 << 20)
    const bits = Math.max(4, Math.ceil(Math.log2(maxEntries * 2)))
    this.#table = new Int32Array(WORDS << bits)
    this.#mask = (1 << bits) - 1
  }

  get size(): number {
    return this.#size
  }

  /** Finds the owner of the IPv4 address at `o`; -1 where there is none. */
  find4(b: Uint8Array, o: number): number {
    return this.#at(this.#slot(0, 0, 0, u32(b, o) | 0, 4))
  }

  /** Finds the owner of the IPv6 address at `o`; -1 where there is none. */
  find6(b: Uint8Array, o: number): number {
    return this.#at(this.#slot(u32(b, o) | 0, u32(b, o + 4) | 0, u32(b, o + 8) | 0, u32(b, o + 12) | 0, 6))
  }

  /** Gives an address, as people write it, to `owner`. Throws where it is none (TypeError), is a group's or nobody's
   * (RangeError), has an owner, or where the table is full. */
  add(address: string, owner: number): void {
    checkRange('owner', owner, 0, 65_535)
    const [a, b, c, d, family] = words(address)
    const slot = this.#slot(a, b, c, d, family)
    if (this.#at(slot) !== -1) throw new Error(`address ${address} is taken`)
    if (this.#size >= this.maxEntries)
      throw new RangeError(`no room for ${address}: ${this.maxEntries} addresses are in`)
    this.#table.set([a, b, c, d, owner + 1, family], slot * WORDS)
    this.#size++
  }

  /** Takes an address away; false where it was not there. */
  delete(address: string): boolean {
    const [a, b, c, d, family] = words(address)
    const t = this.#table
    const mask = this.#mask
    let hole = this.#slot(a, b, c, d, family)
    if (this.#at(hole) === -1) return false
    // Later entries of the run move back, so that searches that pass the hole still find them.
    for (let i = (hole + 1) & mask; t[i * WORDS + 4] !== 0; i = (i + 1) & mask) {
      const at = i * WORDS
      const home = this.#home(t[at] as number, t[at + 1] as number, t[at + 2] as number, t[at + 3] as number)
      if (((i - home) & mask) >= ((i - hole) & mask)) {
        t.copyWithin(hole * WORDS, at, at + WORDS)
        hole = i
      }
    }
    t.fill(0, hole * WORDS, (hole + 1) * WORDS)
    this.#size--
    return true
  }

  /** Lists the addresses and their owners. */
  *list(): Generator<{ readonly address: string; readonly owner: number }> {
    const t = this.#table
    for (let at = 0; at < t.length; at += WORDS) {
      if (t[at + 4] === 0) continue
      const bytes = new Uint8Array(16)
      for (let i = 0; i < 4; i++) new DataView(bytes.buffer).setInt32(4 * i, t[at + i] as number)
      const address = t[at + 5] === 4 ? formatIpv4((t[at + 3] as number) >>> 0) : formatIpv6(bytes)
      yield { address, owner: (t[at + 4] as number) - 1 }
    }
  }

  #at(slot: number): number {
    return (this.#table[slot * WORDS + 4] as number) - 1
  }

  #home(a: number, b: number, c: number, d: number): number {
    const h = Math.imul(a ^ Math.imul(b, 0x85ebca6b), 0x9e3779b1) ^ Math.imul(d ^ Math.imul(c, 0xc2b2ae35), 0x27d4eb2f)
    return (h ^ (h >>> 15)) & this.#mask
  }

  /** The slot of an address, or the free one where it would go. */
  #slot(a: number, b: number, c: number, d: number, family: number): number {
    const t = this.#table
    const mask = this.#mask
    let slot = this.#home(a, b, c, d)
    for (;;) {
      const at = slot * WORDS
      if (t[at + 4] === 0) return slot
      if (t[at + 3] === d && t[at + 2] === c && t[at + 1] === b && t[at] === a && t[at + 5] === family) return slot
      slot = (slot + 1) & mask
    }
  }
}

/** Reads the address of a station: its four words and 4 or 6. */
function words(address: string): [number, number, number, number, 4 | 6] {
  if (!String(address).includes(':')) {
    const ip = parseIpv4(address)
    if (ip === 0 || ip >>> 28 >= 14) throw new RangeError(`${address} is not the address of a station`)
    return [0, 0, 0, ip | 0, 4]
  }
  const ip = parseIpv6(address)
  const [a, b, c, d] = [0, 4, 8, 12].map((i) => u32(ip, i) | 0) as [number, number, number, number]
  if (ip[0] === 0xff || (a | b | c | d) === 0) throw new RangeError(`${address} is not the address of a station`)
  return [a, b, c, d, 6]
}
