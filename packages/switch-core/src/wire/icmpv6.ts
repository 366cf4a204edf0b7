import { copy, put16, put32, u16, u32 } from './bytes.ts'
import { complement, pseudo6, sum } from './checksum.ts'
import { copyMac } from './ethernet.ts'
import { Protocol } from './ipv4.ts'

/*
 * ICMPv6 (RFC 4443), and neighbour discovery in it (RFC 4861).
 *
 *     0      1      2             4                           8
 *     | type | code |  checksum   | id, sequence | MTU | flags | body ...
 *
 *     NS, NA    8  target address (16), options from 24
 *     RS        options from 8
 *     RA        4  hop limit, flags, router lifetime; 8  reachable time; 12  retransmission timer; options from 16
 *     option    0  type, 1  length in units of 8 bytes (not zero), 2  body ...
 *
 * The checksum covers a pseudo-header, so that computing it takes the IPv6 header too.
 */

/** Bytes of the header. */
export const HLEN = 8
/** Offset of the checksum. */
export const CHECKSUM = 2
/** Offset of the target address in a solicitation and an advertisement of a neighbour. */
export const TARGET = 8

/** Types of message. */
export const Type = {
  Unreachable: 1,
  PacketTooBig: 2,
  TimeExceeded: 3,
  ParameterProblem: 4,
  Echo: 128,
  EchoReply: 129,
  RouterSolicitation: 133,
  RouterAdvertisement: 134,
  NeighborSolicitation: 135,
  NeighborAdvertisement: 136,
  Redirect: 137,
} as const

/** Types of option in neighbour discovery. */
export const Option = { SourceLinkLayer: 1, TargetLinkLayer: 2, Prefix: 3, RedirectedHeader: 4, Mtu: 5 } as const

/** Flags of a neighbour advertisement, as bits of byte 4. */
export const NaFlag = { Router: 0x80, Solicited: 0x40, Override: 0x20 } as const

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
  return u16(b, o + 4)
}

/** The sequence number of an echo. */
export function seq(b: Uint8Array, o: number): number {
  return u16(b, o + 6)
}

/** The MTU in "packet too big" (RFC 4443, 3.2). */
export function mtu(b: Uint8Array, o: number): number {
  return u32(b, o + 4)
}

/** The flags of a neighbour advertisement: bits of `NaFlag`. */
export function naFlags(b: Uint8Array, o: number): number {
  return (b[o + 4] as number) & 0xe0
}

/** Where the options of a message of neighbour discovery start, counted from its first byte; -1 for other types. */
export function optionsAt(messageType: number): number {
  switch (messageType) {
    case Type.RouterSolicitation:
      return 8
    case Type.RouterAdvertisement:
      return 16
    case Type.NeighborSolicitation:
    case Type.NeighborAdvertisement:
      return 24
    case Type.Redirect:
      return 40
    default:
      return -1
  }
}

/** Tells whether `[o, end)` is a message of neighbour discovery that is long enough, has code 0, and whose options have
 * lengths that fit and are not zero (RFC 4861, 6.1 and 7.1). Hop limit 255 and the checksum are not looked at. */
export function checkNd(b: Uint8Array, o: number, end: number): boolean {
  if (end - o < HLEN || code(b, o) !== 0) return false
  const at = optionsAt(type(b, o))
  if (at === -1 || end - o < at) return false
  for (let i = o + at; i < end; ) {
    const n = end - i < 2 ? 0 : (b[i + 1] as number) << 3
    if (n === 0 || n > end - i) return false
    i += n
  }
  return true
}

/** Finds the first option of a type in a message of neighbour discovery: where its type byte is, or -1. An option found
 * lies within `end` by its own length, which is at least 8 bytes. */
export function option(b: Uint8Array, o: number, end: number, optionType: number): number {
  if (end - o < HLEN) return -1
  const at = optionsAt(type(b, o))
  if (at === -1) return -1
  for (let i = o + at; end - i >= 8; ) {
    const n = (b[i + 1] as number) << 3
    if (n === 0 || n > end - i) return -1
    if (b[i] === optionType) return i
    i += n
  }
  return -1
}

/** Tells whether the checksum of the message `[o, end)` in the IPv6 packet at `ip` is right. */
export function checksumOk(b: Uint8Array, ip: number, o: number, end: number): boolean {
  return sum(b, o, end, pseudo6(b, ip, Protocol.Icmpv6, end - o)) === 0xffff
}

/** Computes the checksum of the message `[o, end)` in the IPv6 packet at `ip` and writes it. */
export function fillChecksum(b: Uint8Array, ip: number, o: number, end: number): void {
  put16(b, o + CHECKSUM, 0)
  put16(b, o + CHECKSUM, complement(sum(b, o, end, pseudo6(b, ip, Protocol.Icmpv6, end - o))))
}

/** Writes a header without its checksum and returns where the body goes. `rest` is bytes 4 to 7; in an echo
 * `id << 16 | seq`. */
export function write(b: Uint8Array, o: number, messageType: number, messageCode: number, rest = 0): number {
  b[o] = messageType
  b[o + 1] = messageCode
  put16(b, o + CHECKSUM, 0)
  put32(b, o + 4, rest)
  return o + HLEN
}

/** Writes an option that carries a MAC (`Option.SourceLinkLayer`, `Option.TargetLinkLayer`) and returns where it ends. */
export function writeLinkLayer(b: Uint8Array, o: number, optionType: number, mac: Uint8Array): number {
  b[o] = optionType
  b[o + 1] = 1
  copyMac(b, o + 2, mac)
  return o + 8
}

/** Writes a neighbour solicitation for `target` (16 bytes) without its checksum and returns where it ends. `mac` null, for
 * duplicate address detection, leaves the option out. */
export function writeNs(b: Uint8Array, o: number, target: Uint8Array, mac: Uint8Array | null): number {
  const at = write(b, o, Type.NeighborSolicitation, 0)
  copy(b, at, target, 0, 16)
  return mac === null ? at + 16 : writeLinkLayer(b, at + 16, Option.SourceLinkLayer, mac)
}

/** Writes a neighbour advertisement of `target` (16 bytes) at `mac` without its checksum and returns where it ends.
 * `flags` are bits of `NaFlag`. */
export function writeNa(b: Uint8Array, o: number, target: Uint8Array, mac: Uint8Array, flags: number): number {
  const at = write(b, o, Type.NeighborAdvertisement, 0, (flags << 24) >>> 0)
  copy(b, at, target, 0, 16)
  return writeLinkLayer(b, at + 16, Option.TargetLinkLayer, mac)
}

/** Writes a router solicitation without its checksum and returns where it ends. */
export function writeRs(b: Uint8Array, o: number, mac: Uint8Array | null): number {
  const at = write(b, o, Type.RouterSolicitation, 0)
  return mac === null ? at : writeLinkLayer(b, at, Option.SourceLinkLayer, mac)
}
