import { wordMask } from './prefix.ts'
import { leaf, MAX_VALUE, NO_LEAF } from './trie4.ts'

/*
 * Longest-prefix match for IPv6: a trie of nodes of 16 cells, four bits each, with paths compressed.
 *
 *     cell      a leaf, or a node: as in the trie for IPv4
 *     node      depth      how many bits of the address lead to it
 *               otherwise  the leaf for addresses that leave the path to it
 *               key        the bits of the path, four words
 *               cells      16, by the next four bits
 *
 * IPv6 tables are sparse: a thousand pods in one /64 differ in the last bits only. So a node says which bits lead to
 * it, all at once, and an address that has other bits there ends in `otherwise`. A node stands where prefixes part or
 * end and nowhere else, and a lookup among a thousand pods is three or four nodes, not thirty.
 *
 *     2001:db8::/32, 2001:db8:0:7::/64        [28: 2001:db.., otherwise none]
 *                                                   8 -> [60: 2001:db8:0:000.., otherwise the /32]
 *                                                             7 -> the /64; others the /32
 *
 * Values are painted, as in the trie for IPv4. After painting, nodes that no longer tell anything apart are given up.
 */

const DEPTH = 0
const OTHERWISE = 1
const KEY = 2
const CELLS = 6
const NODE_WORDS = 22
/** Where the root's cell is. */
const ROOT = 0
const FIRST_NODE = 1

/** Maps IPv6 prefixes to values. */
export class Trie6 {
  #words: Int32Array = new Int32Array(64 * NODE_WORDS + FIRST_NODE)
  #used: number = FIRST_NODE
  readonly #free: number[] = []

  /** Bytes that the trie takes. */
  get bytes(): number {
    return this.#words.byteLength
  }

  /** The value of the longest prefix that covers the 16 bytes at `at`, or -1. */
  lookup(b: Uint8Array, at: number): number {
    const t = this.#words
    let cell = t[ROOT] as number
    let known = 0
    while (cell < 0) {
      const n = ~cell
      const depth = t[n] as number
      if (depth > known && !onPath(t, n + KEY, b, at, known >>> 5, depth)) {
        cell = t[n + OTHERWISE] as number
        break
      }
      known = depth + 4
      cell = t[n + CELLS + (((b[at + (depth >>> 3)] as number) >>> (4 - (depth & 4))) & 15)] as number
    }
    return cell === NO_LEAF ? -1 : cell & MAX_VALUE
  }

  /** Gives all addresses under the prefix that no longer prefix covers to the cell value `to` (`leaf` or `NO_LEAF`). */
  paint(words: Uint32Array, length: number, to: number): void {
    this.#paint(ROOT, 0, words, length, leaf(length, MAX_VALUE), to)
  }

  /** Paints in the cell at `at`, to which `depth` bits lead, all of them those of the prefix. */
  #paint(at: number, depth: number, p: Uint32Array, length: number, limit: number, to: number): void {
    if (length <= depth) {
      this.#cover(at, depth, limit, to)
      return
    }
    const n = this.#nodeFor(at, p, length)
    const here = this.#words[n + DEPTH] as number
    const first = n + CELLS + nibble(p, 0, here)
    if (length > here + 4) this.#paint(first, here + 4, p, length, limit, to)
    else for (let i = 0; i < 2 ** (here + 4 - length); i++) this.#cover(first + i, here + 4, limit, to)
    this.#collapse(at, depth)
  }

  /** The node under the cell at `at` that is on the prefix's path; where there is none, made. */
  #nodeFor(at: number, p: Uint32Array, length: number): number {
    const end = (length - 1) & ~3
    const cell = this.#words[at] as number
    if (cell >= 0) {
      const n = this.#alloc(end, p, cell)
      this.#words[at] = ~n
      return n
    }
    const old = ~cell
    const depth = this.#words[old + DEPTH] as number
    let split = 0
    while (split < Math.min(depth, end) && nibble(p, 0, split) === nibble(this.#words, old + KEY, split)) split += 4
    if (split >= depth) return old
    const n = this.#alloc(split, p, this.#words[old + OTHERWISE] as number)
    this.#words[n + CELLS + nibble(this.#words, old + KEY, split)] = cell
    this.#words[at] = ~n
    return n
  }

  /** Paints a cell that is under the prefix as a whole. */
  #cover(at: number, depth: number, limit: number, to: number): void {
    const t = this.#words
    const cell = t[at] as number
    if (cell >= 0) {
      if (cell <= limit) t[at] = to
      return
    }
    const n = ~cell
    if ((t[n + OTHERWISE] as number) <= limit) t[n + OTHERWISE] = to
    for (let i = n + CELLS; i < n + NODE_WORDS; i++) this.#cover(i, (t[n + DEPTH] as number) + 4, limit, to)
    this.#collapse(at, depth)
  }

  /** Gives up the node under the cell at `at` where it tells nothing apart, or no more than its only child does. */
  #collapse(at: number, depth: number): void {
    const t = this.#words
    const n = ~(t[at] as number)
    const here = t[n + DEPTH] as number
    let child = -1
    let value = -1
    // Where no bits are skipped on the way to the node, nothing ends in `otherwise`.
    if (here > depth) value = t[n + OTHERWISE] as number
    for (let i = n + CELLS; i < n + NODE_WORDS; i++) {
      const cell = t[i] as number
      if (cell < 0) {
        if (child !== -1) return
        child = ~cell
      } else if (value === -1) value = cell
      else if (cell !== value) return
    }
    if (child === -1) t[at] = value
    else {
      if ((t[child + DEPTH] as number) > here + 4 && t[child + OTHERWISE] !== value) return
      t[child + OTHERWISE] = value
      t[at] = ~child
    }
    this.#free.push(n)
  }

  #alloc(depth: number, p: Uint32Array, cell: number): number {
    let n = this.#free.pop()
    if (n === undefined) {
      if (this.#used + NODE_WORDS > this.#words.length) {
        const more = new Int32Array(Math.ceil(this.#words.length * 1.5))
        more.set(this.#words)
        this.#words = more
      }
      n = this.#used
      this.#used += NODE_WORDS
    }
    const t = this.#words
    t[n + DEPTH] = depth
    t[n + OTHERWISE] = cell
    for (let w = 0; w < 4; w++) t[n + KEY + w] = (p[w] as number) & wordMask(depth - 32 * w)
    t.fill(cell, n + CELLS, n + NODE_WORDS)
    return n
  }
}

/** The four bits of an address of four words that follow its first `depth` bits. */
function nibble(words: Uint32Array | Int32Array, at: number, depth: number): number {
  return ((words[at + (depth >>> 5)] as number) >>> (28 - (depth & 31))) & 15
}

/** Tells whether the address at `at` has the key's bits from the word `w` up to `depth`. */
function onPath(t: Int32Array, key: number, b: Uint8Array, at: number, w: number, depth: number): boolean {
  const last = depth >>> 5
  for (; w < last; w++) if (word(b, at + 4 * w) !== t[key + w]) return false
  const rest = depth & 31
  return rest === 0 || (word(b, at + 4 * w) ^ (t[key + w] as number)) >>> (32 - rest) === 0
}

/** Four bytes as a signed number, as the nodes have them. */
function word(b: Uint8Array, o: number): number {
  return (b[o]! << 24) | (b[o + 1]! << 16) | (b[o + 2]! << 8) | b[o + 3]!
}
