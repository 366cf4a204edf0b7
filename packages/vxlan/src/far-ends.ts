import type { FramePool } from '@l2l3/switch-core'
import { equal } from '@l2l3/switch-core/wire'
import { addressText, isGroupAddress, OuterTable } from './outer.ts'
import type { Underlay } from './underlay.ts'

/*
 * The far ends that a node's tunnels lead to, by small numbers: what a MAC table can hold.
 *
 *     number -> row of the outer header, address, network; the longest frame that fits
 *     network and outer source -> number          open addressing, at most half full: where a frame came from
 *
 * A far end is configured, or was heard when an address was learnt. What was only heard goes again when no entry of the MAC
 * table leads to it; how many there may be is bounded.
 */

/** A far end, for people. */
export interface FarEnd {
  /** Its IPv4 or IPv6 address: a host's, or a multicast group's. */
  readonly address: string
  readonly vni: number
  /** How many configured entries lead to it; 0: it was only heard. */
  readonly configured: number
}

/** What a far end is made of. */
export interface FarEndSpec {
  /** The network whose it is, by number, and its VNI there. */
  readonly network: number
  readonly vni: number
  readonly address: Uint8Array
  /** Tells it from others of the same network, address and VNI: MACs, options. */
  readonly kind: string
  /** Makes the outer header. */
  readonly row: () => number
  /** Where frames for it go; null: where all go. */
  readonly underlay: Underlay | null
}

/** No far end. */
export const NONE = -1

/** The far ends of one `Vtep`. */
export class FarEnds {
  /** How many there may be. */
  readonly most: number
  /** By number: row of the outer header; -1 where there is none. */
  readonly rows: Int32Array
  /** By number: the longest frame that may go without a second look, Ethernet header included. */
  readonly limits: Uint32Array
  /** By number: where frames go, if not where all go. */
  readonly underlays: (Underlay | null)[] = []
  /** By number: the address, four words as they are read from a frame in little-endian order. */
  readonly #words: Int32Array
  readonly #network: Uint16Array
  readonly #specs: (FarEndSpec | null)[] = []
  readonly #refs: Uint32Array
  readonly #byKey: Map<string, number> = new Map()
  /** Numbers + 1 of plain far ends, by network and address. */
  readonly #slots: Int32Array
  readonly #mask: number
  readonly #outers: OuterTable
  #size = 0

  constructor(pool: FramePool, most: number) {
    this.most = most
    this.rows = new Int32Array(most).fill(-1)
    this.limits = new Uint32Array(most)
    this.#words = new Int32Array(most * 4)
    this.#network = new Uint16Array(most)
    this.#refs = new Uint32Array(most)
    const bits = Math.max(5, Math.ceil(Math.log2(most * 2)))
    this.#slots = new Int32Array(1 << bits)
    this.#mask = (1 << bits) - 1
    this.#outers = OuterTable.of(pool)
  }

  get size(): number {
    return this.#size
  }

  /** Finds the plain far end of a network with the address whose words stand in `seen` from `at` on (one of IPv4, four of IPv6),
   * or gives `NONE`. */
  find(network: number, seen: Int32Array, at: number, v6: boolean): number {
    const a = seen[at] as number
    const b = v6 ? (seen[at + 1] as number) : 0
    const c = v6 ? (seen[at + 2] as number) : 0
    const d = v6 ? (seen[at + 3] as number) : 0
    const slots = this.#slots
    const w = this.#words
    for (let slot = hash(network, a, b, c, d) & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const n = (slots[slot] as number) - 1
      if (n < 0) return NONE
      const k = n * 4
      if (w[k] === a && this.#network[n] === network && w[k + 1] === b && w[k + 2] === c && w[k + 3] === d) return n
    }
  }

  /** Gives the far end of a spec, made if it is not there; `NONE` where there are as many as there may be. */
  obtain(spec: FarEndSpec): number {
    const key = keyOf(spec)
    const there = this.#byKey.get(key)
    if (there !== undefined) return there
    let n = this.#specs.indexOf(null)
    if (n < 0) n = this.#specs.length
    if (n >= this.most) return NONE
    this.rows[n] = spec.row()
    this.#specs[n] = spec
    this.#byKey.set(key, n)
    this.#network[n] = spec.network
    this.#refs[n] = 0
    this.underlays[n] = spec.underlay
    const view = new DataView(spec.address.buffer, spec.address.byteOffset)
    for (let i = 0; i < 4; i++) {
      this.#words[n * 4 + i] = 4 * i < spec.address.length ? view.getInt32(4 * i, true) : 0
    }
    this.#size++
    this.#enter(n)
    return n
  }

  /** Notes that one more, or one less, configured entry leads to a far end. */
  hold(n: number, change: 1 | -1): void {
    ;(this.#refs[n] as number) += change
  }

  /** How many configured entries lead to a far end. */
  held(n: number): number {
    return this.#refs[n] as number
  }

  /** What a far end was made of. */
  spec(n: number): FarEndSpec {
    return this.#specs[n] as FarEndSpec
  }

  /** Takes a far end away. */
  remove(n: number): void {
    this.#drop(n)
    this.#index()
  }

  /** Takes those away that were only heard and that `used` knows no use of, by number; says how many. */
  reclaim(used: Uint8Array): number {
    let gone = 0
    for (let n = 0; n < this.#specs.length; n++) {
      if (this.#specs[n] === null || this.#refs[n] !== 0 || used[n] !== 0) continue
      this.#drop(n)
      gone++
    }
    if (gone > 0) this.#index()
    return gone
  }

  /** Tells whether there is a far end with the address whose 4 or 16 bytes stand at `at` in `b`. */
  hasAddress(b: Uint8Array, at: number, size: number): boolean {
    for (let n = 0; n < this.#specs.length; n++) {
      const spec = this.#specs[n]
      if (spec === null || spec === undefined || spec.address.length !== size) continue
      if (equal(b, at, spec.address, 0, size)) return true
    }
    return false
  }

  /** The far end of a spec, if it is there; else `NONE`. */
  known(spec: Pick<FarEndSpec, 'network' | 'vni' | 'address' | 'kind'>): number {
    return this.#byKey.get(keyOf(spec)) ?? NONE
  }

  /** Their numbers. */
  *numbers(): Generator<number> {
    for (let n = 0; n < this.#specs.length; n++) if (this.#specs[n] !== null) yield n
  }

  /** Far ends of a network, for people. */
  *list(network: number): Generator<FarEnd> {
    for (let n = 0; n < this.#specs.length; n++) {
      const spec = this.#specs[n]
      if (spec === null || spec === undefined || spec.network !== network) continue
      yield { address: addressText(spec.address), vni: spec.vni, configured: this.#refs[n] as number }
    }
  }

  #drop(n: number): void {
    this.#outers.remove(this.rows[n] as number)
    this.#byKey.delete(keyOf(this.#specs[n] as FarEndSpec))
    this.rows[n] = -1
    this.#specs[n] = null
    this.underlays[n] = null
    this.#size--
  }

  /** Fills the table by address anew. */
  #index(): void {
    this.#slots.fill(0)
    for (const n of this.numbers()) this.#enter(n)
  }

  /** Enters a far end in the table by address, if one may be heard from it. */
  #enter(n: number): void {
    const spec = this.#specs[n] as FarEndSpec
    if (spec.kind !== '' || isGroupAddress(spec.address)) return
    const w = this.#words
    const k = n * 4
    let slot = hash(spec.network, w[k]!, w[k + 1]!, w[k + 2]!, w[k + 3]!) & this.#mask
    while (this.#slots[slot] !== 0) slot = (slot + 1) & this.#mask
    this.#slots[slot] = n + 1
  }
}

function keyOf(spec: Pick<FarEndSpec, 'network' | 'vni' | 'address' | 'kind'>): string {
  return `${spec.network} ${spec.vni} ${addressText(spec.address)} ${spec.kind}`
}

function hash(network: number, a: number, b: number, c: number, d: number): number {
  let h =
    Math.imul(a, 0x9e3779b1) ^ Math.imul(d ^ network, 0x85ebca6b) ^ Math.imul(b, 0xc2b2ae35) ^ Math.imul(c, 0x27d4eb2f)
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b)
  return h ^ (h >>> 16)
}
