import { checkRange, Drop, type Frame, type FramePool } from '@l2l3/switch-core'

/*
 * Frames that wait for the address of their next hop: a queue a neighbour, and one order over all of them.
 *
 *     head[row] -> f -> f -> f <- tail[row]        by `next`, indexed by frame
 *     oldest <-> f <-> f <-> f <-> newest          by `younger` and `older`, all neighbours together
 *
 * Who comes when a neighbour's queue is full puts out the oldest of that queue; who comes when all together are too
 * many puts out the oldest of all, which is the head of its queue, since both are in order of arrival. RFC 4861,
 * 7.2.2: "the oldest packet ... SHOULD be replaced by the newly arrived one". Nothing is allocated per frame.
 */
export class WaitingFrames {
  readonly #pool: FramePool
  readonly #perNeighbour: number
  readonly #total: number
  readonly #head: Int32Array
  readonly #tail: Int32Array
  readonly #count: Int32Array
  readonly #next: Int32Array
  readonly #younger: Int32Array
  readonly #older: Int32Array
  readonly #row: Int32Array
  #oldest = -1
  #newest = -1
  #length = 0

  /** @param rows how many neighbours there may be */
  constructor(pool: FramePool, rows: number, perNeighbour: number, total: number) {
    this.#pool = pool
    this.#perNeighbour = checkRange('queuePerNeighbour', perNeighbour, 1, pool.frames)
    this.#total = checkRange('queueTotal', total, 1, pool.frames)
    this.#head = new Int32Array(rows).fill(-1)
    this.#tail = new Int32Array(rows).fill(-1)
    this.#count = new Int32Array(rows)
    this.#next = new Int32Array(pool.frames)
    this.#younger = new Int32Array(pool.frames)
    this.#older = new Int32Array(pool.frames)
    this.#row = new Int32Array(pool.frames)
  }

  /** Frames that wait. */
  get length(): number {
    return this.#length
  }

  /** Frames that wait for a neighbour. */
  count(row: number): number {
    return this.#count[row]
  }

  /** Has a frame wait; drops the oldest where there are too many, and says how many that were. */
  push(row: number, f: Frame): number {
    let dropped = 0
    if (this.#count[row] === this.#perNeighbour) {
      this.#pool.drop(this.#shift(row), Drop.NeighbourQueueFull)
      dropped++
    } else if (this.#length === this.#total) {
      this.#pool.drop(this.#shift(this.#row[this.#oldest]), Drop.NeighbourQueueFull)
      dropped++
    }
    this.#row[f] = row
    this.#next[f] = -1
    if (this.#count[row]++ === 0) this.#head[row] = f
    else this.#next[this.#tail[row]] = f
    this.#tail[row] = f
    this.#younger[f] = -1
    this.#older[f] = this.#newest
    if (this.#newest === -1) this.#oldest = f
    else this.#younger[this.#newest] = f
    this.#newest = f
    this.#length++
    return dropped
  }

  /** Takes all frames that wait for a neighbour out, as a chain that `after` walks, in order of arrival; `NO_FRAME`
   * where there are none. They are the caller's, and what is pushed while he walks the chain is not in it. */
  detach(row: number): Frame | -1 {
    const first = this.#head[row]
    while (this.#count[row] > 0) this.#shift(row)
    return first as Frame | -1
  }

  /** The frame behind `f` in a chain, or `NO_FRAME`: to be asked before `f` is given away. */
  after(f: Frame): Frame | -1 {
    return this.#next[f] as Frame | -1
  }

  /** Takes out the frame that has waited longest for a neighbour. */
  #shift(row: number): Frame {
    const f = this.#head[row]
    this.#count[row]--
    this.#head[row] = this.#next[f]
    const older = this.#older[f]
    const younger = this.#younger[f]
    if (older === -1) this.#oldest = younger
    else this.#younger[older] = younger
    if (younger === -1) this.#newest = older
    else this.#older[younger] = older
    this.#length--
    return f as Frame
  }
}
