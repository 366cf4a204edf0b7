import { ipv4, ipv6, u16, u32 } from '@l2l3/switch-core/wire'
import type { Addresses6 } from './addresses6.ts'

/*
 * What makes a flow a flow: the tuple.
 *
 *     src, dst   addresses, as 32-bit numbers. IPv4 as it stands (10.0.0.1 is 0x0a000001); IPv6 as the number that
 *                `Addresses6` knows it by. So one table, and one policy, serves both families.
 *     ports      source port << 16 | destination port. TCP, UDP, UDP-Lite, DCCP and SCTP have ports; a query of ICMP has
 *                its identifier in both places; everything else has 0 and is known by its addresses alone.
 *     kind       | zone (16) | 0 (3) | query (3) | answer (1) | IPv6 (1) | protocol (8) |
 *                 31       16         12       10          9          8   7           0
 *
 * All four are unsigned (`>>> 0`), which is what `parseIpv4` and a Uint32Array give, so that `===` compares them.
 *
 * `query` and `answer` are for ICMP: which kind of question it is (echo, timestamp ...), and whether this is the answer to it.
 * They keep a ping from inside and one from outside apart that happen to have the same identifier. A zone is a number that
 * tells networks apart which may use the same addresses.
 */

/** Bit of `kind`: the addresses are numbers of `Addresses6`. */
export const IPV6 = 0x100
/** Bit of `kind`: an answer to a query of ICMP. */
export const ANSWER = 0x200
/** Bits of `kind` that say which query of ICMP it is; zero for everything else. */
export const QUERY = 0x1c00
/** The kinds of query, as they stand in `kind`. */
export const Query = {
  /** ICMP 8 and 0, ICMPv6 128 and 129. */
  Echo: 0x400,
  /** ICMP 13 and 14. */
  Timestamp: 0x800,
  /** ICMP 15 and 16; ICMPv6 139 and 140 (node information, RFC 4620). */
  Information: 0xc00,
  /** ICMP 17 and 18. */
  AddressMask: 0x1000,
} as const

/** Protocols that start with a source and a destination port, and those whose flows are told apart by more than addresses. */
export const Proto = { Icmp: 1, Tcp: 6, Udp: 17, Dccp: 33, Icmpv6: 58, Sctp: 132, UdpLite: 136 } as const

/** How `readTuple` ended. */
export const Read = {
  /** The tuple is filled. */
  Ok: 0,
  /** The upper-layer header is not whole, or a length contradicts the frame. */
  Malformed: 1,
  /** Not the first fragment of its packet: addresses and protocol are filled, the ports are not known. */
  Fragment: 2,
  /** An ICMP error, or another message that is part of no query: addresses are filled. */
  IcmpError: 3,
  /** ICMP that belongs to no flow: neighbour discovery, router and group messages. */
  Untracked: 4,
  /** An IPv6 address of the packet is not in `Addresses6`: no flow can be known. Everything but the addresses is filled. */
  NoAddress: 5,
} as const
/** A value of `Read`. */
export type Read = (typeof Read)[keyof typeof Read]

/** Tells whether a protocol has ports that a NAT may choose. */
export function hasPorts(protocol: number): boolean {
  switch (protocol) {
    case Proto.Tcp:
    case Proto.Udp:
    case Proto.Sctp:
    case Proto.UdpLite:
    case Proto.Dccp:
      return true
    default:
      return false
  }
}

/** Tells whether flows of this kind have a port, or an identifier, that a NAT may choose. */
export function isTranslatable(kind: number): boolean {
  return (kind & QUERY) !== 0 || hasPorts(kind & 255)
}

/** The kind of the opposite direction: the same but for queries, whose opposite are answers. */
export function opposite(kind: number): number {
  return (kind & QUERY) === 0 ? kind : (kind ^ ANSWER) >>> 0
}

/** What belongs to a kind whichever way it goes: without the mark of an answer. Mappings are kept by it. */
export function plainKind(kind: number): number {
  return (kind & ~ANSWER) >>> 0
}

/** The zone in a kind. */
export function zoneOf(kind: number): number {
  return kind >>> 16
}

/** The query that an ICMP type belongs to, with ANSWER for one that answers; 0 for none; -1 for an error. */
function query4(type: number): number {
  switch (type) {
    case 8:
      return Query.Echo
    case 0:
      return Query.Echo | ANSWER
    case 13:
      return Query.Timestamp
    case 14:
      return Query.Timestamp | ANSWER
    case 15:
      return Query.Information
    case 16:
      return Query.Information | ANSWER
    case 17:
      return Query.AddressMask
    case 18:
      return Query.AddressMask | ANSWER
    case 3:
    case 4:
    case 5:
    case 11:
    case 12:
      return -1
    default:
      return 0
  }
}

/** Likewise for ICMPv6. */
function query6(type: number): number {
  switch (type) {
    case 128:
      return Query.Echo
    case 129:
      return Query.Echo | ANSWER
    case 139:
      return Query.Information
    case 140:
      return Query.Information | ANSWER
    case 1:
    case 2:
    case 3:
    case 4:
      return -1
    default:
      return 0
  }
}

/** A tuple on its own: made once, filled again for each packet. */
export class Tuple {
  src = 0
  dst = 0
  ports = 0
  kind = 0

  get protocol(): number {
    return this.kind & 255
  }
  get isIpv6(): boolean {
    return (this.kind & IPV6) !== 0
  }
  get zone(): number {
    return this.kind >>> 16
  }
  /** Source port; the identifier of a query. */
  get srcPort(): number {
    return this.ports >>> 16
  }
  /** Destination port; the identifier of a query. */
  get dstPort(): number {
    return this.ports & 0xffff
  }

  set(src: number, dst: number, srcPort: number, dstPort: number, kind: number): this {
    this.src = src >>> 0
    this.dst = dst >>> 0
    this.ports = ((srcPort << 16) | dstPort) >>> 0
    this.kind = kind >>> 0
    return this
  }

  copy(from: Tuple): this {
    this.src = from.src
    this.dst = from.dst
    this.ports = from.ports
    this.kind = from.kind
    return this
  }

  equals(other: Tuple): boolean {
    return this.src === other.src && this.dst === other.dst && this.ports === other.ports && this.kind === other.kind
  }

  /** Becomes the tuple of the packets that answer those of `from`; `from` may be this one. */
  invert(from: Tuple): this {
    const { src, dst, ports, kind } = from
    this.src = dst
    this.dst = src
    this.ports = ((ports << 16) | (ports >>> 16)) >>> 0
    this.kind = opposite(kind)
    return this
  }
}

/** Where things are in a packet: filled by `readTuple` beside the tuple. Offsets count from the pool's first byte. */
export class Place {
  /** Version: 4 or 6. */
  version = 0
  protocol = 0
  /** Where the upper-layer header starts. */
  l4 = 0
  /** The packet's end: Ethernet padding is behind it. */
  end = 0
  /** IPv6: where the fragment header is, or -1. */
  fragmentHeader = -1
  /** In a fragment: where its payload belongs in the whole, in bytes. */
  fragmentOffset = 0
  /** In a fragment: whether others follow it. */
  more = false

  get isFragment(): boolean {
    return this.more || this.fragmentOffset !== 0
  }
}

const upper: ipv6.Upper = new ipv6.Upper()

/**
 * Reads the tuple of the IP packet at `l3`, whose bytes end at `end` at the latest (a frame's end, Ethernet padding
 * included). The IP header's lengths have been checked, or are here: any bytes are safe. `zone` goes into the kind.
 *
 * `quoted` says that only the beginning of the packet is there: the packet that an ICMP error is about. Its total length
 * is not believed, and eight bytes of the upper layer are enough (RFC 792).
 *
 * IPv6 addresses are looked for in `addresses`; with `intern` they are added to it, and the caller releases both.
 */
export function readTuple(
  tuple: Tuple,
  place: Place,
  b: Uint8Array,
  l3: number,
  end: number,
  addresses: Addresses6,
  zone = 0,
  quoted = false,
  intern = false,
): Read {
  const version = end > l3 ? (b[l3] as number) >>> 4 : 0
  let family = 0
  place.version = version
  place.fragmentHeader = -1
  place.fragmentOffset = 0
  place.more = false
  tuple.ports = 0
  if (version === 4) {
    const l4 = quoted ? ipv4.checkHeader(b, l3, end) : checkWhole4(b, l3, end)
    if (l4 === -1) return Read.Malformed
    const total = ipv4.totalLength(b, l3)
    place.end = quoted || total === 0 ? end : l3 + total
    if (quoted && total > l4 - l3 && l3 + total < end) place.end = l3 + total
    place.l4 = l4
    place.protocol = ipv4.protocol(b, l3)
    place.fragmentOffset = ipv4.fragmentOffset(b, l3)
    place.more = ipv4.moreFragments(b, l3)
    tuple.src = ipv4.src(b, l3)
    tuple.dst = ipv4.dst(b, l3)
  } else if (version === 6) {
    const first = quoted ? ipv6.checkHeader(b, l3, end) : checkWhole6(b, l3, end)
    if (first === -1) return Read.Malformed
    const length = ipv6.payloadLength(b, l3)
    place.end = length === 0 || (quoted && first + length > end) ? end : first + length
    if (!ipv6.upper(b, l3, place.end, upper)) return Read.Malformed
    place.l4 = upper.offset
    place.protocol = upper.protocol
    place.fragmentHeader = upper.fragment
    place.fragmentOffset = upper.fragmentOffset
    place.more = upper.more
    family = IPV6
  } else return Read.Malformed
  tuple.kind = ((zone << 16) | family | place.protocol) >>> 0
  let result: Read = place.fragmentOffset !== 0 ? Read.Fragment : readPorts(tuple, place, b)
  if (family === IPV6 && result !== Read.Malformed) {
    tuple.src = intern ? addresses.intern(b, l3 + ipv6.SRC) : addresses.find(b, l3 + ipv6.SRC)
    tuple.dst = intern ? addresses.intern(b, l3 + ipv6.DST) : addresses.find(b, l3 + ipv6.DST)
    if (intern && (tuple.src === 0) !== (tuple.dst === 0)) {
      addresses.release(tuple.src | tuple.dst)
      tuple.src = 0
      tuple.dst = 0
    }
    if ((tuple.src === 0 || tuple.dst === 0) && result === Read.Ok) result = Read.NoAddress
  }
  return result
}

/** As `ipv4.check`; a super-frame that is longer than the length field can tell has 0 in it. */
function checkWhole4(b: Uint8Array, l3: number, end: number): number {
  const l4 = ipv4.checkHeader(b, l3, end)
  if (l4 === -1) return -1
  const total = ipv4.totalLength(b, l3)
  if (total === 0 && end - l3 > 0xffff) return l4
  return l3 + total < l4 || l3 + total > end ? -1 : l4
}

/** As `ipv6.check`, likewise (a payload of more than 65,535 bytes has the length 0; RFC 2675). */
function checkWhole6(b: Uint8Array, l3: number, end: number): number {
  return ipv6.check(b, l3, end)
}

function readPorts(tuple: Tuple, place: Place, b: Uint8Array): Read {
  const { protocol, l4, end } = place
  const room = end - l4
  if (protocol === Proto.Icmp || protocol === Proto.Icmpv6) {
    if (protocol === Proto.Icmp ? place.version !== 4 : place.version !== 6) return Read.Untracked
    if (room < 8) return Read.Malformed
    const type = b[l4] as number
    const query = protocol === Proto.Icmp ? query4(type) : query6(type)
    if (query === -1) return Read.IcmpError
    if (query === 0) return Read.Untracked
    const id = u16(b, l4 + 4)
    tuple.kind |= query
    tuple.kind >>>= 0
    tuple.ports = ((id << 16) | id) >>> 0
    return Read.Ok
  }
  if (!hasPorts(protocol)) return Read.Ok
  if (room < 8) return Read.Malformed
  tuple.ports = u32(b, l4)
  return Read.Ok
}
