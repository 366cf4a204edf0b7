import { formatPrefix, type Prefix, parsePrefix } from '@l2l3/switch-core'

/*
 * A list of prefixes as one question: is this address in any of them?
 *
 *     10.0.0.0/8, 10.96.0.0/12, 11.0.0.0/8      read
 *     10.0.0.0 ........ 11.255.255.255          one range is left: sorted, and what overlaps or touches is joined
 *
 * The ranges lie in two arrays, first and last address of each, and the answer is a binary search: 4 comparisons for
 * eight ranges, 10 for a thousand. An order among the prefixes has no meaning, which is what lists of exceptions want:
 * netfilter's sets and HNS' `Exceptions` know no order either.
 */

/** A set of addresses of both families, given as prefixes. Never changes. */
export class PrefixSet {
  /** The prefixes as they were given. */
  readonly prefixes: readonly string[]
  /** First and last IPv4 address of each range, in order. */
  readonly #first4: Uint32Array
  readonly #last4: Uint32Array
  /** The same for IPv6, four words an address. */
  readonly #first6: Uint32Array
  readonly #last6: Uint32Array

  /** Throws a TypeError with key and value for what is no prefix.
   * @param key what the list is called in the configuration
   * @param prefixes `10.0.0.0/8`, `2001:db8::/32`; an address alone is one host */
  constructor(key: string, prefixes: readonly string[]) {
    if (!Array.isArray(prefixes))
      throw new TypeError(`${key} must be a list of prefixes, not ${JSON.stringify(prefixes)}`)
    const read = prefixes.map((text, i) => readPrefix(`${key}[${i}]`, text))
    this.prefixes = read.map((p) => formatPrefix(p.words, p.length))
    const ranges4 = joined(read.filter((p) => p.words.length === 1))
    const ranges6 = joined(read.filter((p) => p.words.length === 4))
    this.#first4 = Uint32Array.from(ranges4, (r) => Number(r.first))
    this.#last4 = Uint32Array.from(ranges4, (r) => Number(r.last))
    this.#first6 = Uint32Array.from(ranges6.flatMap((r) => wordsOf(r.first)))
    this.#last6 = Uint32Array.from(ranges6.flatMap((r) => wordsOf(r.last)))
  }

  /** Whether nothing is in it. */
  get empty(): boolean {
    return this.prefixes.length === 0
  }

  /** Whether it holds addresses of this family.
   * @param family 4 or 6 */
  has(family: 4 | 6): boolean {
    return (family === 4 ? this.#first4 : this.#first6).length > 0
  }

  /** Whether the IPv4 address is in one of the prefixes.
   * @param ip 32 bits, signed or not */
  includes4(ip: number): boolean {
    const address = ip >>> 0
    const first = this.#first4
    let low = 0
    let high = first.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((first[middle] as number) <= address) low = middle + 1
      else high = middle
    }
    return low > 0 && address <= (this.#last4[low - 1] as number)
  }

  /** Whether the IPv6 address is in one of the prefixes.
   * @param words where its four words stand, the most significant first
   * @param at index of the first one */
  includes6(words: ArrayLike<number>, at: number): boolean {
    const first = this.#first6
    let low = 0
    let high = first.length >>> 2
    while (low < high) {
      const middle = (low + high) >>> 1
      if (compare6(first, middle << 2, words, at) <= 0) low = middle + 1
      else high = middle
    }
    return low > 0 && compare6(this.#last6, (low - 1) << 2, words, at) >= 0
  }
}

/** Reads a prefix; throws a TypeError with the key. */
export function readPrefix(key: string, text: string): Prefix {
  try {
    return parsePrefix(text)
  } catch (error) {
    throw new TypeError(`${key}: ${(error as Error).message}`)
  }
}

/** Reads the address of one host, with or without its full length; throws a TypeError with the key. */
export function readHost(key: string, text: string): Uint32Array {
  const { words, length } = readPrefix(key, text)
  const first = words[0] as number
  const group = words.length === 1 ? first >>> 28 === 14 || first === 0xffff_ffff : first >>> 24 === 0xff
  if (length !== 32 * words.length || group || words.every((word) => word === 0)) {
    throw new TypeError(`${key}: ${JSON.stringify(text)} is not the address of one host`)
  }
  return words
}

interface Range {
  first: bigint
  last: bigint
}

/** The ranges of the prefixes, sorted, those that overlap or touch made one. */
function joined(prefixes: readonly Prefix[]): Range[] {
  const ranges = prefixes.map(({ words, length }) => {
    const first = words.reduce((sum, word) => (sum << 32n) | BigInt(word), 0n)
    return { first, last: first + (1n << BigInt(32 * words.length - length)) - 1n }
  })
  ranges.sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0))
  const out: Range[] = []
  for (const range of ranges) {
    const before = out.at(-1)
    if (before === undefined || range.first > before.last + 1n) out.push({ ...range })
    else if (range.last > before.last) before.last = range.last
  }
  return out
}

function wordsOf(address: bigint): number[] {
  return [96n, 64n, 32n, 0n].map((shift) => Number((address >> shift) & 0xffff_ffffn))
}

function compare6(a: Uint32Array, i: number, b: ArrayLike<number>, j: number): number {
  for (let w = 0; w < 4; w++) {
    const x = a[i + w] as number
    const y = (b[j + w] as number) >>> 0
    if (x !== y) return x < y ? -1 : 1
  }
  return 0
}
