import { put16, put32, tcp, u16, u32 } from '@l2l3/switch-core/wire'

/*
 * STT, the stateless transport tunnel of older OVN and NSX (draft-davie-stt-08; openvswitch's stt.c; modes.md 14.1).
 *
 * It looks like TCP to network cards, so that they cut and sum it, and is none: no connection, no retransmission. A frame of
 * up to 64 KiB gets an STT header once, and is cut into segments with TCP-like headers.
 *
 *     | IPv4 | TCP-like 20                                              | STT 18                  | Ethernet frame ...
 *     source port   of the flow, 0x8000 and above       dest port  7471
 *     sequence      | STT header and frame, bytes: 16 | where in them this segment starts: 16 |
 *     acknowledgement   the same for all segments of a frame
 *
 *     STT   0  version 0   1  flags   2  where L4 is in the frame   3  reserved 0   4  MSS   6  VLAN tag   8  context id (8)
 *          16  padding (2): so that the inner IP header is 4-aligned
 *
 * The checksums inside may be left undone as they are in a frame's offload metadata (`Flag.Partial` with L4's offset, and
 * the MSS of a super-frame), which is what STT was made for. Here a frame is one segment: super-frames are cut before, and
 * of what comes only single segments are taken. Putting segments together is not here.
 */

/** The port that segments go to. */
export const PORT = 7471
/** Bytes of the STT header, with its padding. */
export const HLEN = 18
/** Bytes of TCP-like and STT header. */
export const OVERHEAD: number = tcp.HLEN + HLEN

/** What the flags say about the frame inside. */
export const Flag = {
  /** Its checksum has been looked at and is right. */
  Verified: 1,
  /** Its checksum is missing, but for the pseudo-header. */
  Partial: 2,
  /** IPv4, else IPv6; where `Partial` is set. */
  Ipv4: 4,
  /** TCP, else UDP; where `Partial` is set. */
  Tcp: 8,
} as const

/** Bytes of STT header and frame, of which this segment is a part. */
export function frameLength(b: Uint8Array, o: number): number {
  return u16(b, o + tcp.SEQ)
}

/** Where in STT header and frame this segment starts. */
export function segmentOffset(b: Uint8Array, o: number): number {
  return u16(b, o + tcp.SEQ + 2)
}

/** What all segments of a frame have in common. */
export function frameId(b: Uint8Array, o: number): number {
  return u32(b, o + tcp.SEQ + 4)
}

/** What is wrong with the segment `[o, end)`, or whether it is whole. */
export const Segment = { Whole: 0, Part: 1, Short: -1 } as const

/** Looks at the lengths of the segment at `o`, which has a TCP header of 20 bytes: one of `Segment`. */
export function check(b: Uint8Array, o: number, end: number): number {
  if (end - o < tcp.HLEN + 1 || (b[o + 12]! >>> 4) << 2 !== tcp.HLEN) return Segment.Short
  const payload = end - o - tcp.HLEN
  const whole = frameLength(b, o)
  if (segmentOffset(b, o) + payload > whole || whole < HLEN) return Segment.Short
  if (whole !== payload) return Segment.Part
  return Segment.Whole
}

/** The version in the STT header at `o`; 0 is the only one. */
export function version(b: Uint8Array, o: number): number {
  return b[o] as number
}

/** Bits of `Flag` in the STT header at `o`. */
export function flags(b: Uint8Array, o: number): number {
  return b[o + 1] as number
}

/** Where the L4 header is in the frame; where `Flag.Partial` is set. */
export function l4Offset(b: Uint8Array, o: number): number {
  return b[o + 2] as number
}

/** Payload bytes of the segments that a super-frame stands for, or 0. */
export function mss(b: Uint8Array, o: number): number {
  return u16(b, o + 4)
}

/** The VLAN tag that was taken out of the frame: PCP, a bit that says that there is one, VID; 0 for none. */
export function vlan(b: Uint8Array, o: number): number {
  return u16(b, o + 6)
}

/** The upper 32 bits of the context id. */
export function contextHigh(b: Uint8Array, o: number): number {
  return u32(b, o + 8)
}

/** The lower 32 bits of the context id. */
export function contextLow(b: Uint8Array, o: number): number {
  return u32(b, o + 12)
}

/** Writes the STT header at `o` and returns where the frame goes. */
export function write(b: Uint8Array, o: number, bits: number, l4: number, high: number, low: number): number {
  put32(b, o, (bits << 16) | (l4 << 8))
  put32(b, o + 4, 0)
  put32(b, o + 8, high)
  put32(b, o + 12, low)
  put16(b, o + 16, 0)
  return o + HLEN
}

/** What OVN puts into a context id (modes.md 14.1): the logical datapath's key and the logical ports. */
export interface OvnContext {
  /** 24 bits. */
  datapath: number
  /** 15 bits. */
  ingress: number
  /** 16 bits; 0x8000 and above is a multicast group. */
  egress: number
}

/** The context id of OVN: datapath in the low 24 bits, egress port above it, ingress port above that. */
export function ovnContext(c: OvnContext): bigint {
  for (const [key, value, bits] of [
    ['datapath', c.datapath, 24],
    ['ingress', c.ingress, 15],
    ['egress', c.egress, 16],
  ] as const) {
    if (!Number.isInteger(value) || value < 0 || value >= 2 ** bits) {
      throw new RangeError(`${key} must be a whole number from 0 to ${2 ** bits - 1}, not ${value}`)
    }
  }
  return BigInt(c.datapath) | (BigInt(c.egress) << 24n) | (BigInt(c.ingress) << 40n)
}

/** Takes OVN's context id apart. */
export function readOvnContext(id: bigint): OvnContext {
  return {
    datapath: Number(id & 0xffffffn),
    egress: Number((id >> 24n) & 0xffffn),
    ingress: Number((id >> 40n) & 0x7fffn),
  }
}
