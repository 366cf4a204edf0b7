import { formatIpv4, formatIpv6, parseIpv4, parseIpv6 } from '../wire/address.ts'
import { u32 } from '../wire/bytes.ts'

/*
 * Prefixes as people write them: `10.0.0.0/8`, `2001:db8::/32`.
 *
 * In a table an address is one 32-bit word (IPv4) or four (IPv6), the most significant first.
 */

/** An address and how many of its bits count. */
export interface Prefix {
  /** One word for IPv4, four for IPv6, the most significant first. */
  readonly words: Uint32Array
  /** 0 to 32, or 0 to 128. */
  readonly length: number
}

/** The words of the 16 bytes of an IPv6 address at `o`. */
export function words6(b: Uint8Array, o = 0): Uint32Array {
  return Uint32Array.of(u32(b, o), u32(b, o + 4), u32(b, o + 8), u32(b, o + 12))
}

/** The bytes of the words of an IPv6 address. */
export function bytes6(words: Uint32Array, at = 0): Uint8Array {
  const bytes = new Uint8Array(16)
  const view = new DataView(bytes.buffer)
  for (let i = 0; i < 4; i++) view.setUint32(4 * i, words[at + i] as number)
  return bytes
}

/** The 32 bits of a word that count, where `length` bits of the word count: 0 to 32, and less or more. */
export function wordMask(length: number): number {
  return length <= 0 ? 0 : length >= 32 ? 0xffff_ffff : (0xffff_ffff << (32 - length)) >>> 0
}

/** Reads `address/length`, host bits allowed: what an interface has. Without a length all bits count. Throws a
 * TypeError that shows the text where it is anything else. */
export function parseInterfaceAddress(text: string): Prefix {
  const slash = typeof text === 'string' ? text.indexOf('/') : -1
  const address = slash < 0 ? text : text.slice(0, slash)
  const v6 = typeof address === 'string' && address.includes(':')
  let words: Uint32Array
  try {
    words = v6 ? words6(parseIpv6(address)) : Uint32Array.of(parseIpv4(address))
  } catch {
    throw new TypeError(`not an address or prefix: ${JSON.stringify(text)}`)
  }
  const most = v6 ? 128 : 32
  const digits = slash < 0 ? String(most) : text.slice(slash + 1)
  const length = /^(0|[1-9]\d{0,2})$/.test(digits) ? Number(digits) : Number.NaN
  if (!(length <= most)) {
    throw new TypeError(`not a prefix, its length must be 0 to ${most}: ${JSON.stringify(text)}`)
  }
  return { words, length }
}

/** Reads `10.0.0.0/8` or `2001:db8::/32`; without a length all bits count. Throws a TypeError that shows the text where
 * it is anything else, and where bits behind the prefix are set. */
export function parsePrefix(text: string): Prefix {
  const { words, length } = parseInterfaceAddress(text)
  const network = masked(words, length)
  if (network.some((word, i) => word !== words[i])) {
    throw new TypeError(`${JSON.stringify(text)} has host bits set; the prefix is ${formatPrefix(network, length)}`)
  }
  return { words, length }
}

/** The words with all bits behind the first `length` cleared. */
export function masked(words: Uint32Array, length: number): Uint32Array {
  return words.map((word, i) => (word & wordMask(length - 32 * i)) >>> 0)
}

/** Writes an address of one or four words. */
export function formatWords(words: Uint32Array): string {
  return words.length === 1 ? formatIpv4(words[0] as number) : formatIpv6(bytes6(words))
}

/** Writes `10.0.0.0/8`. */
export function formatPrefix(words: Uint32Array, length: number): string {
  return `${formatWords(words)}/${length}`
}
