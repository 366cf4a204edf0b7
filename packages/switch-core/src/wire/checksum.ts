import { memoryOf } from '../wasm/memory.ts'
import { start } from '../wasm/program.ts'
import { SUM } from '../wasm/sum.wasm.ts'
import { u16 } from './bytes.ts'

/*
 * The Internet checksum (RFC 1071): the ones-complement of the ones-complement sum of 16-bit words.
 *
 * A sum travels as a plain number of 16 bits or a little more, and is turned into what stands in the header once, at the
 * end:
 *
 *     pseudo-header --+
 *     header ---------+-->  sum  -- fold -->  16 bits  -- complement -->  the field
 *     payload --------+
 *
 * The sum of all words of a packet that is right, the field included, is 0xFFFF.
 *
 * Speed: the order of the bytes in a word does not matter to a ones-complement sum until the end (RFC 1071, 2 B), so that
 * words are added as the machine has them. Two running sums of 32 bits may wrap: of the words, and of their upper halves.
 * The sum of the lower halves is what the first has over the second, and costs nothing per word.
 *
 *     1,460 bytes       the arena of a pool, by WebAssembly (`wasm/sum.wat`)    30-35 ns
 *                       a DataView                                             130-190
 *                       bytes                                                      540        (measured)
 *
 * The first takes 7 ns at least, which pays from some fifty bytes on.
 */

/** From this length on the program in WebAssembly is asked, where there is one. */
const LONG = 64
// Blocks this long cannot make the sum of the lower halves wrap.
const BLOCK = 131_072

type Sum = (o: number, end: number, initial: number) => number

/** Programs by the buffers of pools. */
const programs = new WeakMap<ArrayBufferLike, Sum>()

/* Who was summed last: mostly one pool, so that one comparison finds its program. */
let known: Uint8Array | DataView | null = null
let knownSum: Sum | null = null
let knownStart = 0

/** Finds what sums up long ranges of this array, or null where nothing does but JavaScript; it stands in `knownSum` then. */
function programOf(at: Uint8Array | DataView): Sum | null {
  const { buffer } = at
  let program = programs.get(buffer) ?? null
  if (program === null) {
    const memory = memoryOf(buffer)
    if (memory !== undefined) program = start<{ sum: Sum }>(SUM, memory)?.sum ?? null
    if (program !== null) programs.set(buffer, program)
  }
  known = at
  knownSum = program
  knownStart = at.byteOffset
  return program
}

/**
 * Adds the 16-bit words of `[o, end)` to `initial`; an odd last byte counts as a word with a zero behind it. Gives 16
 * bits, folded, not complemented. Fastest over the arena of a pool, by whichever view of it; of other memory a DataView
 * is three times as fast as bytes.
 */
export function sum(at: Uint8Array | DataView, o: number, end: number, initial = 0): number {
  if (end - o >= LONG) {
    const program = at === known ? knownSum : programOf(at)
    if (program !== null) return program(knownStart + o, knownStart + end, fold(initial))
  }
  if (at instanceof Uint8Array) return sumBytes(at, o, end, initial)
  let total = fold(initial)
  while (end - o > BLOCK) {
    total += sumWords(at, o, o + BLOCK)
    o += BLOCK
  }
  return fold(total + sumWords(at, o, end))
}

function sumBytes(b: Uint8Array, o: number, end: number, initial: number): number {
  let s = initial
  for (; o + 1 < end; o += 2) {
    s += ((b[o] as number) << 8) | (b[o + 1] as number)
  }
  if (o < end) s += (b[o] as number) << 8
  return fold(s)
}

function sumWords(d: DataView, o: number, end: number): number {
  let words = 0
  let upper = 0
  for (const last = end - 16; o <= last; o += 16) {
    const a = d.getInt32(o, true)
    const b = d.getInt32(o + 4, true)
    const c = d.getInt32(o + 8, true)
    const e = d.getInt32(o + 12, true)
    words = (((((((words + a) | 0) + b) | 0) + c) | 0) + e) | 0
    upper = (upper + (a >>> 16) + (b >>> 16) + (c >>> 16) + (e >>> 16)) | 0
  }
  for (const last = end - 4; o <= last; o += 4) {
    const a = d.getInt32(o, true)
    words = (words + a) | 0
    upper = (upper + (a >>> 16)) | 0
  }
  let s = ((words - (upper << 16)) >>> 0) + (upper >>> 0)
  if (end - o >= 2) {
    s += d.getUint16(o, true)
    o += 2
  }
  if (o < end) s += d.getUint8(o)
  s = fold(s)
  return ((s & 0xff) << 8) | (s >>> 8)
}

/** Folds a sum of up to 53 bits to 16 bits with end-around carry. Zero stays zero; nothing else becomes zero. */
export function fold(s: number): number {
  if (s > 0xffff_ffff) s = (s % 0x1_0000_0000) + Math.floor(s / 0x1_0000_0000)
  while (s > 0xffff) s = (s & 0xffff) + Math.floor(s / 0x1_0000)
  return s
}

/** The field for a sum: its ones-complement. */
export function complement(s: number): number {
  return ~fold(s) & 0xffff
}

/** The field for a sum in UDP, where zero would mean that there is no checksum: 0xFFFF is sent instead (RFC 768). */
export function complementUdp(s: number): number {
  return complement(s) || 0xffff
}

/** The checksum of `[o, end)`, whose checksum field is zero. */
export function checksum(at: Uint8Array | DataView, o: number, end: number, initial = 0): number {
  return complement(sum(at, o, end, initial))
}

/** Tells whether `[o, end)` sums up to 0xFFFF together with `initial`, checksum field included. */
export function verify(at: Uint8Array | DataView, o: number, end: number, initial = 0): boolean {
  return sum(at, o, end, initial) === 0xffff
}

/** Sum of the pseudo-header of the IPv4 packet at `ip` (RFC 793, 3.1; RFC 768), with `length` bytes from the transport
 * header to the end of the packet. */
export function pseudo4(b: Uint8Array, ip: number, protocol: number, length: number): number {
  return fold(u16(b, ip + 12) + u16(b, ip + 14) + u16(b, ip + 16) + u16(b, ip + 18) + protocol + length)
}

/** Sum of the pseudo-header of the IPv6 packet at `ip` (RFC 8200, 8.1). The destination is that of the header; where a
 * routing header names a further one, the caller's sum must use that. */
export function pseudo6(b: Uint8Array, ip: number, protocol: number, length: number): number {
  let s = protocol + length
  for (let i = ip + 8; i < ip + 40; i += 2) s += u16(b, i)
  return fold(s)
}

/** Sum of the pseudo-header of the IP packet at `ip`, whichever version it says. */
export function pseudo(b: Uint8Array, ip: number, protocol: number, length: number): number {
  return (b[ip] as number) >>> 4 === 6 ? pseudo6(b, ip, protocol, length) : pseudo4(b, ip, protocol, length)
}

/** The field after a 16-bit word under it has changed from `m` to `n` (RFC 1624, eqn. 3): HC' = ~(~HC + ~m + m'). In UDP
 * the caller leaves a zero field alone and writes 0xFFFF for a zero result. */
export function update16(field: number, m: number, n: number): number {
  let s = (~field & 0xffff) + (~m & 0xffff) + n
  s = (s & 0xffff) + (s >>> 16)
  return ~((s & 0xffff) + (s >>> 16)) & 0xffff
}

/** The field after a 32-bit word under it, at an even place, has changed from `m` to `n`: an address, mostly. */
export function update32(field: number, m: number, n: number): number {
  let s = (~field & 0xffff) + (~m & 0xffff) + (~m >>> 16) + (n & 0xffff) + (n >>> 16)
  s = (s & 0xffff) + (s >>> 16)
  return ~((s & 0xffff) + (s >>> 16)) & 0xffff
}
