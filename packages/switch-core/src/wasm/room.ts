import { memoryOf } from './memory.ts'

/*
 * Room for tables beside the arena of a pool.
 *
 * A program in WebAssembly sees one memory: whoever runs one on frames has the tables that it looks into in the pool's memory
 * too. The pool keeps some room for that behind its frames:
 *
 *     pool's memory   | arena | off | len | table | table | free | table | never used ... |
 *                                         ^ start                        ^ fresh          ^ end
 *
 * What was never used is address space and no more: the system gives memory to a page when it is first written. A place
 * comes free when whoever has it gives it back, or when the garbage collector finds that its array is held no longer. What
 * finds no room is an ordinary array, and its owner runs in JavaScript.
 */

/** Typed arrays that a room makes. */
export type Column = Uint8Array | Uint16Array | Uint32Array | Int32Array | Float64Array

interface ColumnType<T extends Column> {
  new (buffer: ArrayBufferLike, at: number, length: number): T
  new (length: number): T
  readonly BYTES_PER_ELEMENT: number
}

interface Place {
  readonly at: number
  readonly size: number
}

/** Every place starts on a cache line. */
const LINE = 64

/* One registry for all rooms, which never dies: with one that does while it has something to tell, V8 (of Node 20)
 * tells nothing more to any registry of the process. */
const forgotten = new FinalizationRegistry<{ room: WeakRef<Room>; place: Place }>(({ room, place }) => {
  room.deref()?.giveBack(place)
})

/** Hands out arrays in a buffer, from one address to another. */
export class Room {
  readonly #buffer: ArrayBufferLike
  readonly #end: number
  /** Behind it nothing was ever written. */
  #fresh: number
  /** Places that came back, by address; neighbours are joined. */
  #free: Place[] = []
  readonly #taken: WeakMap<Column, Place> = new WeakMap()
  readonly #self: WeakRef<Room> = new WeakRef(this)

  /** `[start, end)` of the buffer, all zeros; an ordinary buffer, which no program can reach, has no room. */
  constructor(buffer: ArrayBufferLike, start: number, end: number) {
    this.#buffer = buffer
    this.#fresh = Math.ceil(start / LINE) * LINE
    this.#end = memoryOf(buffer) === undefined ? 0 : end
  }

  /** Makes an array of `length` zeros, in this room where there is place for it. */
  array<T extends Column>(type: ColumnType<T>, length: number): T {
    const size = Math.ceil((length * type.BYTES_PER_ELEMENT) / LINE) * LINE
    const place = size === 0 ? null : this.#take(size)
    if (place === null) return new type(length)
    const array = new type(this.#buffer, place.at, length)
    this.#taken.set(array, place)
    forgotten.register(array, { room: this.#self, place }, array)
    return array
  }

  /** Takes an array back that nobody uses any more. */
  release(array: Column): void {
    const place = this.#taken.get(array)
    if (place === undefined) return
    this.#taken.delete(array)
    forgotten.unregister(array)
    this.giveBack(place)
  }

  /** Whether a program that runs on this memory reaches the array; then `byteOffset` is its address. */
  has(array: Column): boolean {
    return array.buffer === this.#buffer
  }

  /** Finds the first place that is large enough. */
  #take(size: number): Place | null {
    const i = this.#free.findIndex((place) => place.size >= size)
    if (i >= 0) {
      const { at, size: whole } = this.#free[i] as Place
      this.#free.splice(i, 1, ...(whole > size ? [{ at: at + size, size: whole - size }] : []))
      new Uint8Array(this.#buffer, at, size).fill(0)
      return { at, size }
    }
    // At the end, where it may begin in a place that came back.
    const last = this.#free.at(-1)
    const at = last !== undefined && last.at + last.size === this.#fresh ? last.at : this.#fresh
    if (at + size > this.#end) return null
    if (at < this.#fresh) {
      this.#free.pop()
      new Uint8Array(this.#buffer, at, this.#fresh - at).fill(0)
    }
    this.#fresh = at + size
    return { at, size }
  }

  /** For `forgotten`: takes back a place whose array is gone. */
  giveBack({ at, size }: Place): void {
    const free = [...this.#free, { at, size }].sort((a, b) => a.at - b.at)
    this.#free = []
    for (const place of free) {
      const last = this.#free.at(-1)
      if (last === undefined || last.at + last.size !== place.at) this.#free.push(place)
      else this.#free[this.#free.length - 1] = { at: last.at, size: last.size + place.size }
    }
  }
}
