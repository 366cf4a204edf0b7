import { IPv4, IPv4CidrRange, IPv6, IPv6CidrRange } from 'ip-num'

/*
 * MAC and IP addresses as a topology file writes them. Addresses are read once, here, and are bytes from then on. Each
 * function throws a RangeError whose message is the sentence to show.
 */

/** An endpoint's address with its prefix. */
export interface Address {
  readonly family: 4 | 6
  /** The address in its usual form (RFC 5952 for IPv6), without the prefix. */
  readonly text: string
  /** 4 or 16 bytes in network order. */
  readonly bytes: Uint8Array
  /** Prefix length in bits. */
  readonly prefix: number
}

/** Reads an IP address without a prefix: 10.0.0.1, fd00::1. */
export function parseIp(text: string): Address {
  const family = text.includes(':') ? 6 : 4
  let value: bigint
  try {
    // A zone (fe80::1%eth0) means something on one machine only, and ip-num lets it pass.
    if (!/^[0-9a-fA-F:.]+$/.test(text)) throw new Error('characters')
    value = family === 6 ? IPv6.fromString(text).value : IPv4.fromString(text).value
  } catch {
    throw new RangeError(`expected an IPv4 or IPv6 address such as 10.0.0.1 or fd00::1, not ${JSON.stringify(text)}`)
  }
  const bytes = toBytes(value, family === 6 ? 16 : 4)
  return { family, text: ipText(bytes), bytes, prefix: bytes.length * 8 }
}

/** Reads the address of a host with its prefix, 10.0.0.1/24 or fd00::1/64; refuses addresses that no host can have: the
 * network's own, its broadcast address, group addresses, loopback, unspecified. */
export function parseHostAddress(text: string): Address {
  const slash = text.indexOf('/')
  if (slash < 0) throw new RangeError(`expected an address with its prefix, such as ${text}/24, not "${text}"`)
  const ip = parseIp(text.slice(0, slash))
  const bits = ip.bytes.length * 8
  const prefix = Number(text.slice(slash + 1))
  if (!/^\d{1,3}$/.test(text.slice(slash + 1)) || prefix < 1 || prefix > bits) {
    throw new RangeError(`expected a prefix from /1 to /${bits}, not "${text.slice(slash)}" (in "${text}")`)
  }
  const [first, last, value] = range(ip, prefix)
  if (ip.family === 4) {
    if (prefix < 31 && value === first) {
      throw new RangeError(`${ip.text}/${prefix} is the network itself: its host bits are all zero`)
    }
    if (prefix < 31 && value === last) {
      throw new RangeError(`${ip.text}/${prefix} is the network's broadcast address: its host bits are all one`)
    }
    const top = ip.bytes[0] as number
    // 240.0.0.0/4 are hosts' addresses to Linux; routers here take them for martians unless they are told.
    if (top === 0 || top === 127 || (top >= 224 && top < 240) || ip.text === '255.255.255.255')
      throw new RangeError(`${ip.text} is not an address that a host can have`)
  } else {
    if (prefix < 127 && value === first) {
      throw new RangeError(`${ip.text}/${prefix} is the subnet-router anycast address: its host bits are all zero`)
    }
    if (ip.bytes[0] === 0xff || value <= 1n) throw new RangeError(`${ip.text} is not an address that a host can have`)
  }
  return { ...ip, prefix }
}

/** Reads a network, 10.0.0.0/8 or ::/0; refuses one with host bits. */
export function parseNetwork(text: string): Address {
  const network = networkAround(text)
  const { text: address } = parseIp(text.slice(0, text.indexOf('/')))
  if (network.text !== address) {
    throw new RangeError(`${text} has host bits: the network is ${network.text}/${network.prefix}`)
  }
  return network
}

/** Reads a network that is told by any address in it: 10.0.0.7/8 is 10.0.0.0/8. Throws a RangeError for what is none. */
export function networkAround(text: string): Address {
  const [address = '', length = '', more] = text.split('/')
  const ip = parseIp(address)
  const prefix = Number(length)
  if (more !== undefined || !/^\d{1,3}$/.test(length) || prefix > ip.bytes.length * 8) {
    throw new RangeError(`expected a network such as 10.0.0.0/8 or fd00::/64, not "${text}"`)
  }
  const bytes = Uint8Array.from(ip.bytes, (byte, i) => byte & (0xff00 >> Math.min(8, Math.max(0, prefix - 8 * i))))
  return { ...parseIp(ipText(bytes)), prefix }
}

/** The first address of a network, with its prefix, where several modes have their gateways. Throws a RangeError for a network whose
 * first address no host can have. */
export function firstHost({ bytes, prefix, text }: Address): Address {
  if (prefix >= bytes.length * 8) throw new RangeError(`${text}/${prefix} is one address: it has none for a gateway`)
  const first = bytes.slice()
  first[first.length - 1] = (first[first.length - 1] as number) | 1
  return parseHostAddress(`${ipText(first)}/${prefix}`)
}

/** Tells whether an address is in fe80::/10. */
export function isLinkLocal({ bytes }: Address): boolean {
  return bytes[0] === 0xfe && ((bytes[1] as number) & 0xc0) === 0x80
}

function range(ip: Address, prefix: number): [bigint, bigint, bigint] {
  const cidr = `${ip.text}/${prefix}`
  if (ip.family === 4) {
    const r = IPv4CidrRange.fromCidr(cidr)
    return [r.getFirst().value, r.getLast().value, IPv4.fromString(ip.text).value]
  }
  const r = IPv6CidrRange.fromCidr(cidr)
  return [r.getFirst().value, r.getLast().value, IPv6.fromString(ip.text).value]
}

/** True where `other` is in the network of `address`. */
export function onLink(address: Address, other: Uint8Array): boolean {
  if (other.length !== address.bytes.length) return false
  for (let bit = 0; bit < address.prefix; bit += 8) {
    const mask = address.prefix - bit >= 8 ? 0xff : (0xff << (8 - (address.prefix - bit))) & 0xff
    if ((((address.bytes[bit >> 3] as number) ^ (other[bit >> 3] as number)) & mask) !== 0) return false
  }
  return true
}

/** Reads a station's MAC address, colons or dashes; refuses group addresses and zero. */
export function parseMac(text: string): string {
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$|^([0-9a-f]{2}-){5}[0-9a-f]{2}$/i.test(text)) {
    throw new RangeError(`expected a MAC address such as 02:00:00:00:00:01, not ${JSON.stringify(text)}`)
  }
  const mac = text.replaceAll('-', ':').toLowerCase()
  if (Number.parseInt(mac.slice(0, 2), 16) & 1) {
    throw new RangeError(`${mac} is a group address; a station's first byte is even`)
  }
  if (mac === '00:00:00:00:00:00') throw new RangeError(`${mac} is not an address that a station can have`)
  return mac
}

/** The six bytes of a MAC address that `parseMac` gave. */
export function macBytes(mac: string): Uint8Array {
  return Uint8Array.from(mac.split(':'), (pair) => Number.parseInt(pair, 16))
}

/** A MAC address made from names, the same every time: locally administered, 02 and 40 bits of a hash (64-bit FNV-1a,
 * mixed as in MurmurHash3 so that names that differ in their last letter differ everywhere). */
export function derivedMac(...names: string[]): string {
  let hash = 0xcbf29ce484222325n
  for (const byte of new TextEncoder().encode(names.join('/'))) {
    hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & 0xffffffffffffffffn
  }
  for (const factor of [0xff51afd7ed558ccdn, 0xc4ceb9fe1a85ec53n]) {
    hash = ((hash ^ (hash >> 33n)) * factor) & 0xffffffffffffffffn
  }
  return `02${(hash >> 24n)
    .toString(16)
    .padStart(10, '0')
    .replace(/../g, (pair) => `:${pair}`)}`
}

/** Writes 4 or 16 bytes as an IP address; IPv6 by RFC 5952 section 4: lower case, the longest run of zeros as "::". */
export function ipText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.')
  const words = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] as number) << 8) | (bytes[2 * i + 1] as number))
  let start = -1
  let longest = 1
  for (let i = 0; i < 8; i++) {
    let n = 0
    while (i + n < 8 && words[i + n] === 0) n++
    if (n > longest) {
      start = i
      longest = n
    }
  }
  const hex = (list: number[]): string => list.map((w) => w.toString(16)).join(':')
  return start < 0 ? hex(words) : `${hex(words.slice(0, start))}::${hex(words.slice(start + longest))}`
}

function toBytes(value: bigint, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => Number((value >> BigInt(8 * (length - 1 - i))) & 0xffn))
}
