/*
 * Bytes of a file that have come and are not yet understood:
 *
 *     |  consumed  |  waiting: length bytes  |  room  |
 *                  position (in the file)
 *
 * It grows with what is pushed and never with what a header claims; a block that is skipped does not pass through it.
 */

/** A queue of bytes with random access to what waits. Offsets count from the first byte that waits. */
export class ByteQueue {
  /** Where in the file the first waiting byte is. */
  position = 0
  #bytes = new Uint8Array(0)
  #data = new DataView(this.#bytes.buffer)
  #start = 0
  #end = 0
  #skip = 0

  /** Bytes that wait. */
  get length(): number {
    return this.#end - this.#start
  }

  /** Takes a copy of `chunk`. */
  push(chunk: Uint8Array): void {
    const skipped = Math.min(this.#skip, chunk.length)
    this.#skip -= skipped
    this.position += skipped
    const n = chunk.length - skipped
    if (n === 0) return
    if (this.#end + n > this.#bytes.length) this.#makeRoom(n)
    this.#bytes.set(skipped === 0 ? chunk : chunk.subarray(skipped), this.#end)
    this.#end += n
  }

  #makeRoom(n: number): void {
    const { length } = this
    let to = this.#bytes
    if (length + n > to.length) {
      to = new Uint8Array(Math.max(4096, 2 ** Math.ceil(Math.log2(length + n))))
      this.#data = new DataView(to.buffer)
    }
    to.set(this.#bytes.subarray(this.#start, this.#end))
    this.#bytes = to
    this.#start = 0
    this.#end = length
  }

  /** Consumes `n` bytes; those that have not come yet are passed over when they come. */
  skip(n: number): void {
    const now = Math.min(n, this.length)
    this.#start += now
    this.position += now
    this.#skip = n - now
  }

  u8(at: number): number {
    return this.#data.getUint8(this.#start + at)
  }
  u16(at: number, littleEndian: boolean): number {
    return this.#data.getUint16(this.#start + at, littleEndian)
  }
  u32(at: number, littleEndian: boolean): number {
    return this.#data.getUint32(this.#start + at, littleEndian)
  }
  /** A copy of `n` bytes. */
  copy(at: number, n: number): Uint8Array {
    return this.#bytes.slice(this.#start + at, this.#start + at + n)
  }
}
