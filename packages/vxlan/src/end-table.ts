import type { FramePool } from '@l2l3/switch-core'
import { swap } from './outer-row.ts'
import type { TunnelSettings } from './profile.ts'
import {
  ANY_VNI,
  BITS,
  type EndArrays,
  GBP,
  GENEVE,
  home,
  makeRun,
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

/*
 * The ends at which tunnels of a pool come in: which UDP port, which rules, and to which network a VNI belongs. What becomes of a
 * packet is in `unwrap.ts`.
 */

/** What a tunnel's end is told. */
export interface EndOptions {
  readonly encapsulation: 'vxlan' | 'geneve'
  /** The UDP port it listens to. */
  readonly port: number
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
  readonly #rows: Int32Array = new Int32Array(MOST * ROW)
  readonly #used: boolean[] = []
  readonly #known: ReadonlySet<number>[] = []
  /** Networks by endpoint and VNI. */
  readonly #networks: Map<string, readonly [end: number, vni: number, network: number]> = new Map()
  /** The same, open addressing, at most a quarter full, four words each: the VNI's bytes as they are read from a frame, the
   * endpoint + 1, the network. */
  #table: Int32Array = new Int32Array(1 << 12)
  /* Made anew when the table has grown: read them once a batch. */
  unwrap: Unwrap
  run: UnwrapRun

  /** Use `EndTable.of`. */
  private constructor(pool: FramePool) {
    this.pool = pool
    this.unwrap = makeUnwrap(this.#arrays())
    this.run = makeRun(this.#arrays())
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
    this.#rows[end * ROW + BITS] =
      (options.encapsulation === 'geneve' ? GENEVE : 0) |
      (s.reservedBits === 'linux' ? STRICT : 0) |
      (s.verifyChecksum ? VERIFY : 0) |
      (s.zeroChecksum6 ? ZERO6 : 0) |
      (s.innerVlan === 'drop' ? NO_TAGS : 0) |
      (options.gbp ? GBP : 0)
    return end
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
    if (grown) this.#table = new Int32Array(size)
    else this.#table.fill(0)
    for (const [end, vni, network] of this.#networks.values()) this.#enter(end, vni, network)
    if (!grown) return
    this.unwrap = makeUnwrap(this.#arrays())
    this.run = makeRun(this.#arrays())
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
    return { pool: this.pool, seen: this.seen, rows: this.#rows, known: this.#known, table: this.#table }
  }
}
