/*
 * Longest-prefix match for IPv4: a trie of strides 16, 8, 4 and 4 in one typed array, leaves pushed down.
 *
 *     address   | 16 bits          | 8       | 4  | 4  |
 *                 root, 65,536       256       16   16     cells
 *
 *     cell      0 or more        leaf: the route of the longest prefix that covers the cell, see `leaf`
 *               below 0          node: the complement of where its cells start
 *
 * Every address ends in exactly one leaf after one to four loads, and nothing is looked at on the way but cells: a
 * lookup among three routes and one among a million are the same code. A table of short prefixes costs the root, 256
 * KiB; a million random /24 64 MiB, a million random /32 130 bytes more each.
 *
 * A leaf says how long the prefix is that put it there. So `paint` needs no other structure: to add a prefix, or to put
 * another value in its place, all leaves under it that are of its own length or shorter get the new value. To take one
 * away, they get the value of the next shorter prefix, which the caller knows.
 */

/** Bits of a cell for the value. */
const VALUE_BITS = 23
/** The largest value that a route can have. */
export const MAX_VALUE: number = (1 << VALUE_BITS) - 1
/** The cell that no route covers. */
export const NO_LEAF = 0

/** The cell for a prefix of `length` with a value. */
export function leaf(length: number, value: number): number {
  return ((length + 1) << VALUE_BITS) | value
}

const ROOT_CELLS = 65_536
/** Where a level's bits are: how far its address bits are shifted, and how many cells a node has. */
const SHIFT = [16, 8, 4, 0] as const
const CELLS = [ROOT_CELLS, 256, 16, 16] as const
/** Length of a prefix that fills exactly one cell of the level. */
const DEPTH = [16, 24, 28, 32] as const

/** Maps IPv4 prefixes to values. */
export class Trie4 {
  #cells: Int32Array = new Int32Array(ROOT_CELLS)
  #used: number = ROOT_CELLS
  /** Free nodes of 256 and of 16 cells. */
  readonly #free256: number[] = []
  readonly #free16: number[] = []

  /** Bytes that the trie takes. */
  get bytes(): number {
    return this.#cells.byteLength
  }

  /** The value of the longest prefix that covers `ip`, or -1. */
  lookup(ip: number): number {
    const cells = this.#cells
    let cell = cells[ip >>> 16] as number
    if (cell < 0) {
      cell = cells[~cell + ((ip >>> 8) & 255)] as number
      if (cell < 0) {
        cell = cells[~cell + ((ip >>> 4) & 15)] as number
        if (cell < 0) cell = cells[~cell + (ip & 15)] as number
      }
    }
    return cell === NO_LEAF ? -1 : cell & MAX_VALUE
  }

  /** Gives all addresses under the prefix that no longer prefix covers to the cell value `to` (`leaf` or `NO_LEAF`). */
  paint(words: Uint32Array, length: number, to: number): void {
    this.#paint(0, 0, words[0] as number, length, leaf(length, MAX_VALUE), to)
  }

  /** Paints in the node whose cells start at `node`. Leaves up to `limit` are painted over: those of the prefix's
   * length or shorter. */
  #paint(node: number, level: number, ip: number, length: number, limit: number, to: number): void {
    const depth = DEPTH[level] as number
    const first = (ip >>> (SHIFT[level] as number)) & ((CELLS[level] as number) - 1)
    if (length > depth) {
      const at = node + first
      if ((this.#cells[at] as number) >= 0) {
        const child = this.#alloc(CELLS[level + 1] as number, this.#cells[at] as number)
        this.#cells[at] = ~child
      }
      const child = ~(this.#cells[at] as number)
      this.#paint(child, level + 1, ip, length, limit, to)
      this.#collapse(at, level + 1)
      return
    }
    const end = node + first + 2 ** (depth - length)
    for (let i = node + first; i < end; i++) this.#cover(i, level, limit, to)
  }

  /** Paints a cell that is under the prefix as a whole. */
  #cover(at: number, level: number, limit: number, to: number): void {
    const cell = this.#cells[at] as number
    if (cell >= 0) {
      if (cell <= limit) this.#cells[at] = to
      return
    }
    const child = ~cell
    for (let i = 0; i < (CELLS[level + 1] as number); i++) this.#cover(child + i, level + 1, limit, to)
    this.#collapse(at, level + 1)
  }

  /** Gives up the node under the cell `at` where all of its cells are the same leaf, which the cell then is. */
  #collapse(at: number, level: number): void {
    const node = ~(this.#cells[at] as number)
    const size = CELLS[level] as number
    const cell = this.#cells[node] as number
    if (cell < 0) return
    for (let i = 1; i < size; i++) if (this.#cells[node + i] !== cell) return
    this.#cells[at] = cell
    ;(size === 256 ? this.#free256 : this.#free16).push(node)
  }

  #alloc(size: number, cell: number): number {
    let node = (size === 256 ? this.#free256 : this.#free16).pop()
    if (node === undefined) {
      if (this.#used + size > this.#cells.length) {
        const more = new Int32Array(this.#cells.length * 1.5)
        more.set(this.#cells)
        this.#cells = more
      }
      node = this.#used
      this.#used += size
    }
    this.#cells.fill(cell, node, node + size)
    return node
  }
}
