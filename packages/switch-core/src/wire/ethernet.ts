import { put16, u16 } from './bytes.ts'

/*
 * Ethernet II (IEEE 802.3, 3.2): who, from whom, and what follows.
 *
 *     0                 6                 12      14
 *     | destination MAC |   source MAC    | type  | payload ...
 *
 * A frame here is as a TAP or a veth carries it: no preamble, no FCS, and not padded to the 60 bytes of a wire.
 */

/** Bytes of an Ethernet header without tags. */
export const HLEN = 14
/** Offset of the destination MAC. */
export const DST = 0
/** Offset of the source MAC. */
export const SRC = 6
/** Offset of the EtherType. */
export const TYPE = 12
/** The shortest frame on a wire, without FCS: senders pad up to it (IEEE 802.3, 4A.4.2). */
export const MIN_FRAME = 60

/** What follows the header: registered EtherTypes. */
export const EtherType = {
  IPv4: 0x0800,
  Arp: 0x0806,
  /** A frame with a whole Ethernet frame in it (GRE, GENEVE). */
  Teb: 0x6558,
  /** Customer tag, 802.1Q. */
  Vlan: 0x8100,
  IPv6: 0x86dd,
  /** Service tag, 802.1ad (QinQ). */
  ServiceVlan: 0x88a8,
  Lldp: 0x88cc,
} as const

/** ff:ff:ff:ff:ff:ff. Not to be written to. */
export const BROADCAST: Uint8Array = new Uint8Array(6).fill(255)

/** Tells whether a whole header lies in `[o, end)`. */
export function fits(o: number, end: number): boolean {
  return end - o >= HLEN
}

/** The EtherType, or the TPID of a tag. Below 0x600 it is the length of an 802.3 frame. */
export function type(b: Uint8Array, o: number): number {
  return u16(b, o + TYPE)
}

/** Tells whether the MAC at `o` is a group address (multicast or broadcast): the lowest bit of the first byte. */
export function isGroup(b: Uint8Array, o: number): boolean {
  return ((b[o] as number) & 1) !== 0
}

/** Tells whether the MAC at `o` is ff:ff:ff:ff:ff:ff. */
export function isBroadcast(b: Uint8Array, o: number): boolean {
  return (b[o]! & b[o + 1]! & b[o + 2]! & b[o + 3]! & b[o + 4]! & b[o + 5]!) === 255
}

/** Tells whether the MAC at `o` is 00:00:00:00:00:00, which nobody owns. */
export function isZero(b: Uint8Array, o: number): boolean {
  return (b[o]! | b[o + 1]! | b[o + 2]! | b[o + 3]! | b[o + 4]! | b[o + 5]!) === 0
}

/** Tells whether the MAC at `o` is one of 01-80-C2-00-00-00..0F, which bridges do not forward (802.1Q, 8.6.3). */
export function isReserved(b: Uint8Array, o: number): boolean {
  return (
    b[o] === 0x01 &&
    b[o + 1] === 0x80 &&
    b[o + 2] === 0xc2 &&
    (b[o + 3]! | b[o + 4]!) === 0 &&
    (b[o + 5] as number) <= 0x0f
  )
}

/** Tells whether two MACs are the same. */
export function equalMac(b: Uint8Array, o: number, c: Uint8Array, p: number): boolean {
  return (
    b[o] === c[p] &&
    b[o + 1] === c[p + 1] &&
    b[o + 2] === c[p + 2] &&
    b[o + 3] === c[p + 3] &&
    b[o + 4] === c[p + 4] &&
    b[o + 5] === c[p + 5]
  )
}

/** Copies a MAC: six stores, 2 ns against 11 of `set` (measured). */
export function copyMac(to: Uint8Array, at: number, from: Uint8Array, o = 0): void {
  to[at] = from[o] as number
  to[at + 1] = from[o + 1] as number
  to[at + 2] = from[o + 2] as number
  to[at + 3] = from[o + 3] as number
  to[at + 4] = from[o + 4] as number
  to[at + 5] = from[o + 5] as number
}

/** Writes a header and returns where the payload goes. */
export function write(b: Uint8Array, o: number, dst: Uint8Array, src: Uint8Array, etherType: number): number {
  copyMac(b, o, dst)
  copyMac(b, o + SRC, src)
  put16(b, o + TYPE, etherType)
  return o + HLEN
}

const MAC = /^(?:[0-9a-f]{2}(?::[0-9a-f]{2}){5}|[0-9a-f]{2}(?:-[0-9a-f]{2}){5}|[0-9a-f]{4}(?:\.[0-9a-f]{4}){2})$/i

/**
 * Reads a MAC that a person wrote: `02:00:00:00:00:0a`, `02-00-00-00-00-0A` or `0200.0000.000a`.
 * Throws a TypeError that shows the text where it is anything else.
 */
export function parseMac(text: string): Uint8Array {
  if (typeof text !== 'string' || !MAC.test(text)) {
    throw new TypeError(`not a MAC address (aa:bb:cc:dd:ee:ff, aa-bb-.., aabb.ccdd.eeff): ${JSON.stringify(text)}`)
  }
  const hex = text.replace(/[:.-]/g, '')
  return Uint8Array.from({ length: 6 }, (_, i) => Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16))
}

/** Writes the MAC at `o` for people: `02:00:00:00:00:0a`. */
export function formatMac(b: Uint8Array, o = 0): string {
  let text = ''
  for (let i = 0; i < 6; i++) text += (i ? ':' : '') + (b[o + i] as number).toString(16).padStart(2, '0')
  return text
}
