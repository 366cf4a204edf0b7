import { put16, u16 } from '@l2l3/switch-core/wire'

/*
 * The checksum of SCTP after its ports have changed, without reading the packet (RFC 9260, 6.8 and appendix A).
 *
 * SCTP has a CRC32c over its whole packet, so that no word of it can be exchanged in the sum as with TCP. But a CRC is linear: the CRCs
 * of two packets of one length differ by the CRC (without its initial and final inversion) of their difference, and the difference
 * of two packets that differ in the ports is four bytes and then zeros only:
 *
 *     before   | 1388 0b59 | tag ....... | checksum | chunks ........ |
 *     after    | 5ace 0b59 | tag ....... | checksum'| chunks ........ |
 *     xor      | 4946 0000 | 0000 0000 0000 0000 0000 ...             |      n bytes in all
 *
 * A CRC is a remainder modulo a polynomial P over GF(2). A zero byte more multiplies it with x^8, so n - 4 of them multiply it
 * with x^(8 (n - 4)) mod P, which two tables of 256 give for any n up to 65,535: one by the upper byte of the count, one by the lower.
 * Three multiplications of 32 steps, whatever the length.
 *
 * SCTP has no pseudo-header: a change of address leaves the checksum. It stands in the packet in little-endian order.
 *
 *     moveSctpPorts(b, l4, before, after, length)   before, after: source port << 16 | destination port; length: of the whole SCTP
 *                                                   packet, from l4. Writes the checksum; the caller writes the ports. The caller
 *                                                   leaves it out where the checksum is missing (CHECKSUM_PARTIAL at l4).
 *
 * The length must be that of the whole packet: the first fragment of one does not tell it, so that a fragmented SCTP packet cannot
 * have its ports translated (`NatUnsupported`).
 */

/** Offset of the checksum in the SCTP header. */
export const SCTP_CHECKSUM = 8

/** The polynomial, bit-reversed: bit 31 is the coefficient of x^0. */
const POLYNOMIAL = 0x82f63b78
/** The polynomial 1 in this notation. */
const ONE = 0x80000000

/** x^(8 i) and x^(8 * 256 i) mod P. */
const LOW = new Int32Array(256)
const HIGH = new Int32Array(256)

/** The product of two polynomials modulo P. */
function multiply(a: number, b: number): number {
  let product = 0
  for (let bit = 31; bit >= 0; bit--) {
    product ^= -((a >>> bit) & 1) & b
    b = (b >>> 1) ^ (-(b & 1) & POLYNOMIAL)
  }
  return product
}

{
  const x8 = 0x00800000
  LOW[0] = HIGH[0] = ONE
  for (let i = 1; i < 256; i++) LOW[i] = multiply(LOW[i - 1], x8)
  const x2048 = multiply(LOW[255], x8)
  for (let i = 1; i < 256; i++) HIGH[i] = multiply(HIGH[i - 1], x2048)
}

/** What a change of the first four bytes by `difference` (a number, first byte highest) changes in the CRC of `n` bytes, 4 to 65,535. */
function crcOfChange(difference: number, n: number): number {
  // The four bytes in a reflected register: first byte lowest. They end at x^32, and the register is the remainder of that.
  const d =
    (difference >>> 24) | ((difference >>> 8) & 0xff00) | ((difference & 0xff00) << 8) | ((difference & 0xff) << 24)
  // n - 4 bytes of zeros, and the 4 bytes by which a remainder is shifted: n in all.
  return multiply(multiply(HIGH[(n >>> 8) & 0xff], LOW[n & 0xff]), d)
}

/**
 * The checksum of the SCTP packet of `length` bytes at `o` after its ports (source << 16 | destination) have gone from `before` to
 * `after`: the four bytes as a number, first byte highest. A checksum of zero stays: its sender may have agreed to send none (RFC 9653).
 */
export function sctpMoved(b: Uint8Array, o: number, before: number, after: number, length: number): number {
  const at = o + SCTP_CHECKSUM
  const field = ((u16(b, at) << 16) | u16(b, at + 2)) >>> 0
  if (field === 0) return 0
  const c = crcOfChange(before ^ after, length)
  const swapped = (c << 24) | ((c & 0xff00) << 8) | ((c >>> 8) & 0xff00) | (c >>> 24)
  return (field ^ swapped) >>> 0
}

/** Writes the checksum that `sctpMoved` gives. The caller owns the frame and has seen that the 12-byte header is there. */
export function moveSctpPorts(b: Uint8Array, o: number, before: number, after: number, length: number): void {
  const crc = sctpMoved(b, o, before, after, length)
  put16(b, o + SCTP_CHECKSUM, crc >>> 16)
  put16(b, o + SCTP_CHECKSUM + 2, crc & 0xffff)
}
