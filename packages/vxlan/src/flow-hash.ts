import type { FramePool } from '@l2l3/switch-core'

/*
 * What an outer header takes from the packet inside it, read in one pass: the flow, as a hash, and where IP starts, with its
 * type of service, time to live and don't-fragment bit.
 *
 *     the hash of   IPv4, IPv6 with TCP, UDP or SCTP right behind   addresses, protocol, ports
 *                   IP with anything else, and fragments            addresses, protocol
 *                   what is not IP, or cut short                    MAC addresses, EtherType
 *
 * Both directions of a flow have the same hash, as Linux' have on one host, so that the tunnel's way there and back can
 * be treated alike: of each pair, source and destination, only sum and exclusive-or count. Fragments of a packet keep
 * together, since none of them counts its ports.
 */

/** Places of `FlowReader.found`. */
export const Found = {
  /** Where the inner IP header starts in the pool's bytes; 0 where the packet is not IP. */
  L3: 0,
  /** 4, 6, or 0 for what is not IP. */
  Version: 1,
  /** Type of service or traffic class; 256 for what is not IP. */
  Tos: 2,
  /** Time to live or hop limit; 64 for what is not IP. */
  Ttl: 3,
  /** 0x0040 where DF shall be set if it is inherited, else 0: the bit as it is read in little-endian order. */
  Df: 4,
  /** Protocol, or IPv6's first next header; 0 for what is not IP. */
  Protocol: 5,
  /** Where the upper layer starts in the pool's bytes, right behind the IP header; 0 where that is not known. */
  L4: 6,
  /** VLAN tags in front of the packet. */
  Tags: 7,
  /** The destination port of TCP, UDP or SCTP, as it is read in little-endian order; 0 where there is none. */
  Port: 8,
} as const

/** Reads packets of one pool. */
export interface FlowReader {
  /** What the last `read` has found, by `Found`. */
  readonly found: Int32Array
  /** Reads the packet in `[o, o + n)`: an Ethernet frame, or a bare IP packet. Gives its flow's hash, 32 bits, signed. Any
   * bytes will do. */
  read(o: number, n: number, ethernet: boolean): number
}

/** Tags that are looked behind. */
const MAX_TAGS = 2

/** Makes the reader of a pool: a closure over its arrays (see `frame-loops.ts` of switch-core). */
export function flowReader(pool: FramePool): FlowReader {
  const { bytes, data } = pool
  // A typed array of up to 64 bytes lies on V8's heap, where it moves.
  const found = new Int32Array(24)

  const none = (o: number, ethernet: boolean): number => {
    found[0] = 0
    found[1] = 0
    found[2] = 256
    found[3] = 64
    found[4] = 0
    found[5] = 0
    found[6] = 0
    found[8] = 0
    if (!ethernet) return 0
    const hi = data.getUint16(o, true) + data.getUint16(o + 6, true)
    const a = data.getInt32(o + 2, true)
    const b = data.getInt32(o + 8, true)
    return mix((a + b) | 0, a ^ b, (hi << 8) ^ data.getUint16(o + 12, true))
  }

  const read = (o: number, n: number, ethernet: boolean): number => {
    const end = o + n
    let l3 = o
    let type: number
    found[7] = 0
    if (ethernet) {
      if (n < 14) return none(o, false)
      l3 = o + 14
      type = data.getUint16(o + 12, true)
      for (let tags = 0; (type === 0x0081 || type === 0xa888) && tags < MAX_TAGS && end - l3 >= 4; tags++) {
        type = data.getUint16(l3 + 2, true)
        l3 += 4
        found[7] = tags + 1
      }
    } else type = n > 0 && (bytes[o] as number) >>> 4 === 6 ? 0xdd86 : 0x0008
    if (type === 0x0008) {
      if (end - l3 < 20) return none(o, ethernet)
      const first = bytes[l3] as number
      const header = (first & 15) << 2
      if (first >>> 4 !== 4 || header < 20 || header > end - l3) return none(o, ethernet)
      const offset = data.getUint16(l3 + 6, true)
      const protocol = bytes[l3 + 9] as number
      const a = data.getInt32(l3 + 12, true)
      const b = data.getInt32(l3 + 16, true)
      const l4 = l3 + header
      found[0] = l3
      found[1] = 4
      found[2] = bytes[l3 + 1] as number
      found[3] = bytes[l3 + 8] as number
      found[4] = offset & 0x40
      found[5] = protocol
      found[6] = l4
      found[8] = 0
      let ports = protocol
      if ((offset & 0xff3f) === 0 && (protocol === 6 || protocol === 17 || protocol === 132) && end - l4 >= 4) {
        const p = data.getUint16(l4, true)
        const q = data.getUint16(l4 + 2, true)
        found[8] = q
        ports = ((p + q) << 13) ^ (p ^ q) ^ protocol
      }
      return mix((a + b) | 0, a ^ b, ports)
    }
    if (type === 0xdd86) {
      if (end - l3 < 40 || (bytes[l3] as number) >>> 4 !== 6) return none(o, ethernet)
      const protocol = bytes[l3 + 6] as number
      const l4 = l3 + 40
      found[0] = l3
      found[1] = 6
      found[2] = (((bytes[l3] as number) & 15) << 4) | ((bytes[l3 + 1] as number) >>> 4)
      found[3] = bytes[l3 + 7] as number
      found[4] = 0x40
      found[5] = protocol
      found[6] = l4
      found[8] = 0
      let ports = protocol
      if ((protocol === 6 || protocol === 17 || protocol === 132) && end - l4 >= 4) {
        const p = data.getUint16(l4, true)
        const q = data.getUint16(l4 + 2, true)
        found[8] = q
        ports = ((p + q) << 13) ^ (p ^ q) ^ protocol
      }
      const a = folded(data, l3 + 8)
      const b = folded(data, l3 + 24)
      return mix((a + b) | 0, a ^ b, ports)
    }
    return none(o, ethernet)
  }
  return { found, read }
}

/** The 16 bytes of an IPv6 address as one word, such that its words do not cancel each other out. */
function folded(d: DataView, at: number): number {
  const h = Math.imul(d.getInt32(at, true), 0x9e3779b1) ^ Math.imul(d.getInt32(at + 4, true), 0x85ebca6b)
  return (
    Math.imul(h ^ (h >>> 15), 0x7feb352d) ^ Math.imul(d.getInt32(at + 8, true), 0xc2b2ae35) ^ d.getInt32(at + 12, true)
  )
}

/** One word of three; its upper half depends on all their bits. The sum is folded first: an address' last byte is a
 * word's highest, which a multiplication would push out (256 neighbours had 56 ports). */
export function mix(sum: number, xor: number, rest: number): number {
  const h = Math.imul(sum ^ (sum >>> 15), 0x9e3779b1) ^ Math.imul(xor, 0x85ebca6b) ^ Math.imul(rest, 0xc2b2ae35)
  return Math.imul(h ^ (h >>> 15), 0x846ca68b)
}

/** The place in a range of `count` numbers (1 to 65,536) that belongs to a hash: even over its upper 16 bits. */
export function spread(hash: number, count: number): number {
  return Math.imul(hash >>> 16, count) >>> 16
}
