import { formatPrefix, type Prefix, parsePrefix } from './prefix.ts'
import { PrefixStore } from './prefix-store.ts'
import { leaf, MAX_VALUE, NO_LEAF, Trie4 } from './trie4.ts'
import { Trie6 } from './trie6.ts'

/*
 * Prefixes to numbers: what the number means is the caller's (the router keeps there what a route leads to).
 *
 *     set, delete, list     the store: every prefix, with as many metrics as it was given
 *     lookup                the trie: for each address the value of its longest prefix, of that the lowest metric
 *
 * Values are 0 to 8,388,607, and many routes may have the same. One core, random prefixes of BGP-like lengths (IPv4 60
 * % /24, IPv6 45 % /48):
 *
 *                          build, s   bytes a route   ns a lookup: 4,096 addresses / a million
 *     IPv4,        10       -           256 KiB in all       4 / 3
 *     IPv4, 1,000,000       2.0         108                  4 / 46
 *     IPv6,        10       -             6 KiB in all      35 / 44
 *     IPv6, 1,000,000       1.6         190                154 / 340
 */

/** A route as a table lists it. */
export interface TableRoute {
  readonly prefix: string
  readonly metric: number
  readonly value: number
}

/** What both families share: routes as text or as words, added and taken away at run time. */
abstract class RouteTable {
  protected abstract readonly trie: Trie4 | Trie6
  readonly #store: PrefixStore
  readonly #width: 1 | 4

  protected constructor(width: 1 | 4) {
    this.#width = width
    this.#store = new PrefixStore(width)
  }

  /** How many routes there are. */
  get size(): number {
    return this.#store.size
  }

  /** Bytes that the table takes. */
  get bytes(): number {
    return this.trie.bytes + this.#store.bytes
  }

  /** Adds a route, or gives the one with this prefix and metric another value; returns the value before, or -1. Throws
   * a TypeError for a prefix of the other family or with host bits, a RangeError for a value or metric out of range.
   * @param metric of routes for the same prefix the lowest counts; 0 to 4,294,967,295 */
  set(prefix: string, value: number, metric = 0): number {
    const { words, length } = this.#parse(prefix)
    return this.insert(words, length, value, metric)
  }

  /** Like `set`, for a prefix as words without host bits. */
  insert(words: Uint32Array, length: number, value: number, metric = 0): number {
    if (!Number.isInteger(value) || value < 0 || value > MAX_VALUE) {
      throw new RangeError(`value must be a whole number from 0 to ${MAX_VALUE}, not ${value}`)
    }
    if (!Number.isInteger(metric) || metric < 0 || metric > 0xffff_ffff) {
      throw new RangeError(`metric must be a whole number from 0 to 4294967295, not ${metric}`)
    }
    const store = this.#store
    const row = store.find(words, length, metric)
    const before = row === -1 ? -1 : store.value(row)
    if (row === -1) store.add(words, length, metric, value)
    else store.setValue(row, value)
    this.trie.paint(words, length, leaf(length, store.value(store.best(words, length))))
    return before
  }

  /** The value of the route with exactly this prefix, of the lowest metric or the given one; -1 where there is none. */
  get(prefix: string, metric?: number): number {
    const row = this.#row(this.#parse(prefix), metric)
    return row === -1 ? -1 : this.#store.value(row)
  }

  /** The value of the route with exactly this prefix and metric, or -1. */
  find(words: Uint32Array, length: number, metric: number): number {
    const row = this.#store.find(words, length, metric)
    return row === -1 ? -1 : this.#store.value(row)
  }

  /** The longest prefix that an address is in, as text; null where it is in none. For people: `lookup` is faster. */
  covering(address: Uint32Array): string | null {
    const store = this.#store
    const all = 32 * this.#width
    const own = store.best(address, all)
    const row = own !== -1 ? own : store.covering(address, all)
    return row === -1 ? null : formatPrefix(store.words(row), store.length(row))
  }

  /** The metrics of the routes with exactly this prefix, the lowest first. */
  metrics(words: Uint32Array, length: number): number[] {
    const metrics: number[] = []
    for (let row = this.#store.best(words, length); row !== -1; row = this.#store.next(row)) {
      metrics.push(this.#store.metric(row))
    }
    return metrics
  }

  /** Takes the route with exactly this prefix away, of the lowest metric or the given one; returns its value, or -1
   * where there is none. */
  delete(prefix: string, metric?: number): number {
    const { words, length } = this.#parse(prefix)
    return this.remove(words, length, metric)
  }

  /** Like `delete`, for a prefix as words. */
  remove(words: Uint32Array, length: number, metric?: number): number {
    const store = this.#store
    const row = this.#row({ words, length }, metric)
    if (row === -1) return -1
    const value = store.value(row)
    const best = store.best(words, length)
    store.remove(row)
    if (row !== best) return value
    const next = store.best(words, length)
    if (next !== -1) this.trie.paint(words, length, leaf(length, store.value(next)))
    else {
      const cover = store.covering(words, length)
      this.trie.paint(words, length, cover === -1 ? NO_LEAF : leaf(store.length(cover), store.value(cover)))
    }
    return value
  }

  /** All routes, in no order, those of a prefix together and the lowest metric first. The table must not be changed
   * meanwhile. */
  *list(): IterableIterator<TableRoute> {
    const store = this.#store
    for (const row of store.rows()) {
      const prefix = formatPrefix(store.words(row), store.length(row))
      yield { prefix, metric: store.metric(row), value: store.value(row) }
    }
  }

  /** The routes with one of these values, in no order. The table must not be changed meanwhile. */
  *leadingTo(values: ReadonlySet<number>): IterableIterator<{ prefix: Prefix; metric: number; value: number }> {
    const store = this.#store
    for (const row of store.rows()) {
      const value = store.value(row)
      if (!values.has(value)) continue
      yield { prefix: { words: store.words(row), length: store.length(row) }, metric: store.metric(row), value }
    }
  }

  #row(p: Prefix, metric: number | undefined): number {
    const { words, length } = p
    return metric === undefined ? this.#store.best(words, length) : this.#store.find(words, length, metric)
  }

  #parse(text: string): Prefix {
    const prefix = parsePrefix(text)
    if (prefix.words.length !== this.#width) {
      throw new TypeError(`not a prefix of IPv${this.#width === 1 ? 4 : 6}: ${JSON.stringify(text)}`)
    }
    return prefix
  }
}

/** Routes of IPv4. */
export class RouteTable4 extends RouteTable {
  protected override readonly trie: Trie4 = new Trie4()

  constructor() {
    super(1)
  }

  /** The value for the address, or -1 where no route covers it.
   * @param ip the address as a 32-bit number */
  lookup(ip: number): number {
    return this.trie.lookup(ip)
  }
}

/** Routes of IPv6. */
export class RouteTable6 extends RouteTable {
  protected override readonly trie: Trie6 = new Trie6()

  constructor() {
    super(4)
  }

  /** The value for the address whose 16 bytes stand in `b` from `at`, or -1 where no route covers it. */
  lookup(b: Uint8Array, at: number): number {
    return this.trie.lookup(b, at)
  }
}
