import { copy, put16, put32, u16, u32 } from './bytes.ts'
import { copyMac } from './ethernet.ts'

/*
 * ARP for IPv4 over Ethernet (RFC 826), with the field names of the RFC's section "Packet format".
 *
 *     0       2       4   5   6       8          14      18         24      28
 *     |  HRD  |  PRO  |HLN|PLN|  OP   |   SHA    |  SPA  |   THA    |  TPA  |
 *        1     0x0800   6   4
 */

/** Bytes of an ARP packet for IPv4 over Ethernet. */
export const LENGTH = 28
/** Offset of the operation. */
export const OP = 6
/** Offset of the sender's MAC. */
export const SHA = 8
/** Offset of the sender's IPv4 address. */
export const SPA = 14
/** Offset of the target's MAC. */
export const THA = 18
/** Offset of the target's IPv4 address. */
export const TPA = 24

/** Operations. */
export const Op = { Request: 1, Reply: 2 } as const

/** Tells whether an ARP packet for IPv4 over Ethernet lies in `[o, end)`; what is behind it is padding. */
export function check(b: Uint8Array, o: number, end: number): boolean {
  return end - o >= LENGTH && u16(b, o) === 1 && u16(b, o + 2) === 0x0800 && b[o + 4] === 6 && b[o + 5] === 4
}

/** The operation: one of `Op`, or anything else. */
export function op(b: Uint8Array, o: number): number {
  return u16(b, o + OP)
}

/** The sender's IPv4 address; 0 in a probe (RFC 5227). */
export function spa(b: Uint8Array, o: number): number {
  return u32(b, o + SPA)
}

/** The IPv4 address that is asked for or answered to. */
export function tpa(b: Uint8Array, o: number): number {
  return u32(b, o + TPA)
}

/** Writes a packet and returns where it ends. Addresses are IPv4 numbers; `tha` null is written as zeros. */
export function write(
  b: Uint8Array,
  o: number,
  operation: number,
  sha: Uint8Array,
  spaValue: number,
  tha: Uint8Array | null,
  tpaValue: number,
): number {
  put16(b, o, 1)
  put16(b, o + 2, 0x0800)
  b[o + 4] = 6
  b[o + 5] = 4
  put16(b, o + OP, operation)
  copyMac(b, o + SHA, sha)
  put32(b, o + SPA, spaValue)
  if (tha === null) b.fill(0, o + THA, o + TPA)
  else copyMac(b, o + THA, tha)
  put32(b, o + TPA, tpaValue)
  return o + LENGTH
}

/** Turns the request at `o` into its answer, in place: operation and pairs swapped, `mac` as what was asked for. The
 * Ethernet header is the caller's. */
export function answer(b: Uint8Array, o: number, mac: Uint8Array): void {
  const asked = tpa(b, o)
  put16(b, o + OP, Op.Reply)
  copy(b, o + THA, b, o + SHA, 10)
  copyMac(b, o + SHA, mac)
  put32(b, o + SPA, asked)
}
