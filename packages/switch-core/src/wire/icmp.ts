import { put16, put32, u16 } from './bytes.ts'
import { checksum as checksumOf, sum } from './checksum.ts'

/*
 * ICMP (RFC 792).
 *
 *     0      1      2             4                           8
 *     | type | code |  checksum   | id, sequence | MTU | zero | data, or the packet an error is about ...
 */

/** Bytes of the header. */
export const HLEN = 8
/** Offset of the checksum. */
export const CHECKSUM = 2
/** Offset of the identifier of an echo. */
export const ID = 4
/** Offset of the sequence number of an echo. */
export const SEQ = 6

/** Types of message. */
export const Type = {
  EchoReply: 0,
  Unreachable: 3,
  Redirect: 5,
  Echo: 8,
  TimeExceeded: 11,
  ParameterProblem: 12,
} as const

/** Codes of `Type.Unreachable`. */
export const Unreachable = { Net: 0, Host: 1, Protocol: 2, Port: 3, FragmentationNeeded: 4, Prohibited: 13 } as const

/** Tells whether a header lies in `[o, end)`. */
export function check(_b: Uint8Array, o: number, end: number): boolean {
  return end - o >= HLEN
}

/** The type: one of `Type`, or anything else. */
export function type(b: Uint8Array, o: number): number {
  return b[o] as number
}

/** The code: what it means depends on the type. */
export function code(b: Uint8Array, o: number): number {
  return b[o + 1] as number
}

/** The identifier of an echo. */
export function id(b: Uint8Array, o: number): number {
  return u16(b, o + ID)
}

/** The sequence number of an echo. */
export function seq(b: Uint8Array, o: number): number {
  return u16(b, o + SEQ)
}

/** The MTU of the next hop in "fragmentation needed" (RFC 1191, 4); 0 from routers that do not say. */
export function mtu(b: Uint8Array, o: number): number {
  return u16(b, o + 6)
}

/** Tells whether the message is an error and has a packet behind its header: nothing is answered with an error about it
 * (RFC 1812, 4.3.2.7). */
export function isError(messageType: number): boolean {
  return (
    messageType === Type.Unreachable ||
    messageType === 4 ||
    messageType === Type.Redirect ||
    messageType === Type.TimeExceeded ||
    messageType === Type.ParameterProblem
  )
}

/** Tells whether the checksum of the message `[o, end)` is right. */
export function checksumOk(b: Uint8Array, o: number, end: number): boolean {
  return sum(b, o, end) === 0xffff
}

/** Computes the checksum of the message `[o, end)` and writes it. */
export function fillChecksum(b: Uint8Array, o: number, end: number): void {
  put16(b, o + CHECKSUM, 0)
  put16(b, o + CHECKSUM, checksumOf(b, o, end))
}

/** Writes a header without its checksum and returns where the data goes. `rest` is bytes 4 to 7; in an echo
 * `id << 16 | seq`. `fillChecksum` follows when the data is there. */
export function write(b: Uint8Array, o: number, messageType: number, messageCode: number, rest = 0): number {
  b[o] = messageType
  b[o + 1] = messageCode
  put16(b, o + CHECKSUM, 0)
  put32(b, o + 4, rest)
  return o + HLEN
}
