import type { FramePool } from '@l2l3/switch-core'
import { RUN, swap } from './outer-row.ts'
import type { TunnelSettings } from './profile.ts'
import {
  ANY_VNI,
  BITS,
  type EndArrays,
  FAMILY,
  GBP,
  GENEVE,
  home,
  LOCAL,
  makeRules,
  makeUnwrap,
  NO_TAGS,
  PORT,
  ROW,
  STRICT,
  type Unwrap,
  type UnwrapRun,
  VERIFY,
  vniKey,
  ZERO6,
} from './unwrap.ts'
import { makeRun4, makeRunAny } from './unwrap-run.ts'

/*
 * The ends at which tunnels of a pool come in: which UDP port, which rules, and to which network a VNI belongs. What becomes of a
 * packet is in `unwrap.ts`.
 */

/** What a tunnel's end is told. */
export interface EndOptions {
  readonly encapsulation: 'vxlan' | 'geneve'
  /** The UDP port it listens to. */
  readonly port: number
  /** Its own address, 4 or 16 bytes; null: it is known by others which packets are for it, and there is no fast way. */
  readonly local: Uint8Array | null
  readonly settings: TunnelSettings
  /** The number of the network for VNIs that have none; -1: they are not taken. */
  readonly anyVni: number
  /** VXLAN: whether a group policy id is understood. */
  readonly gbp: boolean
  /** GENEVE: `class << 8 | type` of critical options that are understood. */
  readonly knownOptions: ReadonlySet<number>
}

/** Endpoints a pool may have. */
const MOST = 256

const tables = new WeakMap<FramePool, EndTable>()

/** The endpoints of all tunnels of a pool, the way in: what they take, and to which network it belongs. */
export class EndTable {
  readonly pool: FramePool
  /** By `Seen`. */
  readonly seen: Int32Array = new Int32Array(24)
  /** By `UnwrapRun`. */
  readonly sources: Int32Array
  readonly #rows: Int32Array = new Int32Array(MOST * ROW)
  readonly #used: boolean[] = []
  readonly #known: ReadonlySet<number>[] = []
  /** Networks by endpoint and VNI. */
  readonly #networks: Map<string, readonly [end: number, vni: number, network: number]> = new Map()
  /** The same, open addressing, at most a quarter full, four words each: the VNI's bytes as they are read from a frame, the
   * endpoint + 1, the network. */
  #table: Int32Array
  /* Made anew when the table has grown: read them once a batch. */
  unwrap: Unwrap
  #run4: UnwrapRun
  #runAny: UnwrapRun

  /** Use `EndTable.of`. */
  private constructor(pool: FramePool) {
    this.pool = pool
    this.sources = pool.tables.array(Int32Array, 4 * RUN)
    this.#table = pool.tables.array(Int32Array, 1 << 12)
    const arrays = this.#arrays()
    const rules = makeRules(arrays)
    this.unwrap = makeUnwrap(arrays, rules)
    this.#run4 = makeRun4(arrays, rules)
    this.#runAny = makeRunAny(arrays, rules)
  }

  /** The run of an endpoint: ask once a batch. */
  runOf(end: number): UnwrapRun {
    const row = end * ROW
    const bits = this.#rows[row + BITS] as number
    const plain = this.#rows[row + FAMILY] === 4 && this.#rows[row + ANY_VNI] === -1
    return plain && (bits & (GENEVE | NO_TAGS)) === 0 ? this.#run4 : this.#runAny
  }

  /** The table of a pool; see `OuterTable.of`. */
  static of(pool: FramePool): EndTable {
    const there = tables.get(pool)
    if (there !== undefined) return there
    const made = new EndTable(pool)
    tables.set(pool, made)
    return made
  }

  /** Adds an endpoint and gives its number. */
  add(options: EndOptions): number {
    let end = this.#used.indexOf(false)
    if (end < 0) end = this.#used.length
    if (end >= MOST) throw new RangeError(`a pool's tunnels have at most ${MOST} endpoints`)
    const { settings: s } = options
    this.#used[end] = true
    this.#known[end] = options.knownOptions
    this.#rows[end * ROW + PORT] = swap(options.port)
    this.#rows[end * ROW + ANY_VNI] = options.anyVni
    this.#setLocal(end, options.local)
    this.#rows[end * ROW + BITS] =
      (options.encapsulation === 'geneve' ? GENEVE : 0) |
      (s.reservedBits === 'linux' ? STRICT : 0) |
      (s.verifyChecksum ? VERIFY : 0) |
      (s.zeroChecksum6 ? ZERO6 : 0) |
      (s.innerVlan === 'drop' ? NO_TAGS : 0) |
      (options.gbp ? GBP : 0)
    return end
  }

  #setLocal(end: number, local: Uint8Array | null): void {
    this.#rows[end * ROW + FAMILY] = local === null ? 0 : local.length === 4 ? 4 : 6
    if (local === null) return
    const view = new DataView(local.buffer, local.byteOffset)
    for (let i = 0; 4 * i < local.length; i++) this.#rows[end * ROW + LOCAL + i] = view.getInt32(4 * i, true)
  }

  /** Takes an endpoint away, with its networks. */
  remove(end: number): void {
    this.#used[end] = false
    for (const [key, [of]] of [...this.#networks]) if (of === end) this.#networks.delete(key)
    this.#fill()
  }

  /** Sets the network of a VNI at an endpoint: a number from 0 to 65,535. */
  setNetwork(end: number, vni: number, network: number): void {
    const key = `${end} ${vni}`
    const before = this.#networks.has(key)
    this.#networks.set(key, [end, vni, network])
    if (before || this.#networks.size * 16 > this.#table.length) this.#fill()
    else this.#enter(end, vni, network)
  }

  /** Sets the network for all VNIs that have none of their own; -1: none. */
  setAnyVni(end: number, network: number): void {
    this.#rows[end * ROW + ANY_VNI] = network
  }

  /** Forgets the network of a VNI. */
  deleteNetwork(end: number, vni: number): void {
    this.#networks.delete(`${end} ${vni}`)
    this.#fill()
  }

  /** Fills the table anew, a larger one where it has become too full. */
  #fill(): void {
    let size = this.#table.length
    while (this.#networks.size * 16 > size) size *= 2
    const grown = size !== this.#table.length
    if (grown) this.#table = this.pool.tables.array(Int32Array, size)
    else this.#table.fill(0)
    for (const [end, vni, network] of this.#networks.values()) this.#enter(end, vni, network)
    if (!grown) return
    const arrays = this.#arrays()
    const rules = makeRules(arrays)
    this.unwrap = makeUnwrap(arrays, rules)
    this.#run4 = makeRun4(arrays, rules)
    this.#runAny = makeRunAny(arrays, rules)
  }

  #enter(end: number, vni: number, network: number): void {
    const t = this.#table
    const key = vniKey(vni)
    let at = home(key, end, t.length)
    while (t[at + 1] !== 0) at = (at + 4) & (t.length - 1)
    t[at] = key
    t[at + 1] = end + 1
    t[at + 2] = network
  }

  #arrays(): EndArrays {
    const { pool, seen, sources } = this
    return { pool, seen, sources, rows: this.#rows, known: this.#known, table: this.#table }
  }
}
