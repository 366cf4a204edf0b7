/*
 * Memory that WebAssembly can reach.
 *
 * A WebAssembly program sees one memory and nothing else. The arena of a pool is such a memory, so that programs work on
 * frames where they are; to JavaScript it is an ArrayBuffer like any other (or a SharedArrayBuffer), as fast to read and to
 * make (measured). It never grows: that would take its bytes away from all views of it.
 *
 *     pool.bytes, pool.data ---+
 *                              +---> buffer ---> memory ---> instances of programs (`program.ts`)
 *     pool.view(f), Buffers ---+
 *
 * Where there is no WebAssembly, or no address space left for one more (a memory of WebAssembly reserves 8 GiB of it), the
 * arena is an ordinary buffer, and JavaScript does what a program would have done.
 */

/** What is needed of a `WebAssembly.Memory`: this package knows no platform's types. */
export interface Memory {
  readonly buffer: ArrayBufferLike
}

interface Platform {
  readonly Memory: new (size: { initial: number; maximum: number; shared: boolean }) => Memory
}

const PAGE = 65_536

const memories = new WeakMap<ArrayBufferLike, Memory>()

/** Makes a buffer of at least `size` bytes, zeros all of them, which WebAssembly can reach where there is WebAssembly. At most
 * 4 GiB - 1 byte.
 * @param shared whether it is a SharedArrayBuffer, which workers can see */
export function makeBuffer(size: number, shared: boolean): ArrayBufferLike {
  const platform = (globalThis as { WebAssembly?: Platform }).WebAssembly
  if (platform !== undefined) {
    const pages = Math.ceil(size / PAGE)
    try {
      const memory = new platform.Memory({ initial: pages, maximum: pages, shared })
      memories.set(memory.buffer, memory)
      return memory.buffer
    } catch {
      // No room for it, or not allowed here: an ordinary buffer does as well, but for speed.
    }
  }
  return shared ? new SharedArrayBuffer(size) : new ArrayBuffer(size)
}

/** The memory whose bytes a buffer of `makeBuffer` is; undefined where it is an ordinary one. */
export function memoryOf(buffer: ArrayBufferLike): Memory | undefined {
  return memories.get(buffer)
}
