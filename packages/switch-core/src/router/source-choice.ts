import { u32 } from '../wire/bytes.ts'

/*
 * Which of an interface's IPv6 addresses speaks to a destination (RFC 6724, section 5), among those of the right scope:
 *
 *     rule 6   one with the destination's label: a unique local address speaks to its like, a global one to the world
 *     rule 8   the one with the longer prefix in common, no longer than its own
 *              else the first
 *
 *     fd00:99::1/64, 2001:db8:7::1/64   to 2001:db8:9::5  ->  2001:db8:7::1
 *                                       to fd00:5::5      ->  fd00:99::1
 */

/** The label of an address by the policy table of RFC 6724, 2.1; `::/96`, `fec0::/10` and `3ffe::/16` are history. */
export function label6(b: Uint8Array, at: number): number {
  const first = u32(b, at)
  if (first >>> 25 === 0x7e) return 13 // fc00::/7
  if (first >>> 16 === 0x2002) return 2
  if (first === 0x2001_0000) return 5
  if (first !== 0 || u32(b, at + 4) !== 0) return 1
  const third = u32(b, at + 8)
  if (third === 0xffff) return 4
  if (third !== 0) return 1
  return u32(b, at + 12) === 1 ? 0 : 3
}

/** Bits that an address has in common with the one at `at`, from the first on. */
export function commonBits6(a: Uint8Array, b: Uint8Array, at: number): number {
  for (let i = 0; i < 16; i++) {
    const differ = (a[i] as number) ^ (b[at + i] as number)
    if (differ !== 0) return 8 * i + Math.clz32(differ) - 24
  }
  return 128
}

/** How well an address suits as the source of packets to the one at `at`: the higher the better. */
export function suits6(
  source: { readonly bytes: Uint8Array; readonly length: number },
  b: Uint8Array,
  at: number,
): number {
  const common = Math.min(source.length, commonBits6(source.bytes, b, at))
  return label6(source.bytes, 0) === label6(b, at) ? 256 + common : common
}
