import { formatIpv4, formatIpv6, parseIpv4, parseIpv6, parseMac, u32 } from '@l2l3/switch-core/wire'

/*
 * Addresses as configuration gives them: text in, numbers and bytes out, and an error with the key and the value where
 * they make no sense. Nothing here is called per frame.
 */

/** An IPv4 or IPv6 address that was read, with the length of its prefix. */
export interface Address {
  readonly family: 4 | 6
  /** The IPv4 address as a number; 0 in IPv6. */
  readonly v4: number
  /** The IPv6 address's 16 bytes; empty in IPv4. */
  readonly v6: Uint8Array
  /** Bits of the prefix: 32 or 128 where none was given. */
  readonly prefix: number
}

/** Reads `10.0.0.1`, `10.0.0.1/24`, `fe80::1` or `fe80::1/64`. Throws a TypeError with key and value. */
export function parseAddress(key: string, text: string): Address {
  const [address = '', length, more] = typeof text === 'string' ? text.split('/') : []
  const family = address.includes(':') ? 6 : 4
  const bits = family === 6 ? 128 : 32
  const prefix = length === undefined ? bits : /^\d{1,3}$/.test(length) ? Number(length) : -1
  try {
    if (more !== undefined || prefix < 0 || prefix > bits) throw new TypeError(`not a prefix: ${JSON.stringify(text)}`)
    return family === 6
      ? { family, v4: 0, v6: parseIpv6(address), prefix }
      : { family, v4: parseIpv4(address), v6: new Uint8Array(0), prefix }
  } catch (error) {
    throw new TypeError(`${key}: ${(error as Error).message}`)
  }
}

/** Reads an address without a prefix that one host can have: not unspecified, not multicast, not broadcast. Throws a
 * TypeError with key and value. */
export function parseHost(key: string, text: string): Address {
  const a = parseAddress(key, text)
  const bad = a.family === 4 ? !isHost4(a.v4) : a.v6[0] === 0xff || a.v6.every((byte) => byte === 0)
  if (bad || (typeof text === 'string' && text.includes('/'))) {
    throw new TypeError(`${key}: ${JSON.stringify(text)} is not the address of one host`)
  }
  return a
}

/** Reads a MAC address that a station can have. Throws a TypeError with key and value. */
export function parseStationMac(key: string, text: string): Uint8Array {
  try {
    const mac = parseMac(text)
    if ((mac[0] & 1) === 1 || mac.every((byte) => byte === 0)) throw new TypeError('is zero or a group address')
    return mac
  } catch (error) {
    throw new TypeError(`${key} ${JSON.stringify(text)}: ${(error as Error).message}`)
  }
}

/** Tells whether an IPv4 address can be one host's on a link: not in 0.0.0.0/8 or 127.0.0.0/8, nor a group's or everybody's (RFC
 * 1122, 3.2.1.3). Those of 240.0.0.0/4 are hosts' to Linux, and to who runs a FAN. */
export function isHost4(ip: number): boolean {
  const net = ip >>> 24
  return net !== 0 && net !== 127 && (net < 224 || (net >= 240 && ip >>> 0 !== 0xffff_ffff))
}

/** Tells whether the 16 bytes at `at` are `::`. */
export function isUnspecified(b: Uint8Array, at: number): boolean {
  for (let i = 0; i < 16; i++) if (b[at + i] !== 0) return false
  return true
}

/** Tells whether the MAC at `at` can be one station's: neither zero nor a group address. */
export function isStation(b: Uint8Array, at: number): boolean {
  return (b[at] & 1) === 0 && (b[at] | b[at + 1] | b[at + 2] | b[at + 3] | b[at + 4] | b[at + 5]) !== 0
}

/** The link-local address that goes with a MAC (RFC 4291, appendix A): ee:ee:ee:ee:ee:ee has
 * fe80::ecee:eeff:feee:eeee. */
export function linkLocal(mac: Uint8Array): Uint8Array {
  const [a, b, c, d, e, f] = mac
  return Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f)
}

/** Writes an address for people. */
export function formatAddress(family: number, v4: number, v6: Uint8Array, at = 0): string {
  return family === 4 ? formatIpv4(v4) : formatIpv6(v6, at)
}

/** A seed from a MAC's last four bytes. */
export function macSeed(mac: Uint8Array): number {
  return u32(mac, 2)
}
