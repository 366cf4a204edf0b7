import { put16, u16 } from './bytes.ts'
import { complementUdp, pseudo, sum } from './checksum.ts'
import { Protocol } from './ipv4.ts'

/*
 * The UDP header (RFC 768).
 *
 *     0             2             4             6             8
 *     | source port |  dest port  |   length    |  checksum   | data ...
 */

/** Bytes of the header. */
export const HLEN = 8
/** Offset of the destination port. */
export const DST_PORT = 2
/** Offset of the length. */
export const LENGTH = 4
/** Offset of the checksum. */
export const CHECKSUM = 6

/** Looks at the length of the datagram at `o`, which must hold the header and lie within `end`: gives where the data
 * starts, or -1. */
export function check(b: Uint8Array, o: number, end: number): number {
  if (end - o < HLEN) return -1
  const n = length(b, o)
  return n < HLEN || n > end - o ? -1 : o + HLEN
}

/** The port it comes from. */
export function srcPort(b: Uint8Array, o: number): number {
  return u16(b, o)
}

/** The port it goes to. */
export function dstPort(b: Uint8Array, o: number): number {
  return u16(b, o + DST_PORT)
}

/** Bytes of the datagram, header included. */
export function length(b: Uint8Array, o: number): number {
  return u16(b, o + LENGTH)
}

/** The checksum; zero says that there is none, which only IPv4 allows. */
export function checksum(b: Uint8Array, o: number): number {
  return u16(b, o + CHECKSUM)
}

/** Tells whether the checksum of the datagram at `o` in the IP packet at `ip` is right, or absent over IPv4. */
export function checksumOk(b: Uint8Array, ip: number, o: number): boolean {
  if (checksum(b, o) === 0) return (b[ip] as number) >>> 4 === 4
  const n = length(b, o)
  return sum(b, o, o + n, pseudo(b, ip, Protocol.Udp, n)) === 0xffff
}

/** Computes the checksum of the datagram at `o` in the IP packet at `ip` and writes it; never zero. */
export function fillChecksum(b: Uint8Array, ip: number, o: number): void {
  const n = length(b, o)
  put16(b, o + CHECKSUM, 0)
  put16(b, o + CHECKSUM, complementUdp(sum(b, o, o + n, pseudo(b, ip, Protocol.Udp, n))))
}

/** Writes a header with no checksum for `data` bytes and returns where they go. `fillChecksum` follows when they are
 * there. */
export function write(b: Uint8Array, o: number, from: number, to: number, data: number): number {
  put16(b, o, from)
  put16(b, o + DST_PORT, to)
  put16(b, o + LENGTH, HLEN + data)
  put16(b, o + CHECKSUM, 0)
  return o + HLEN
}
