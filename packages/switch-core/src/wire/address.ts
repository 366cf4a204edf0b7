/*
 * IP addresses as people write them. For configuration and output; frames are compared and copied as bytes.
 */

const IPV4 = /^(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})$/

function ipv4OrNaN(text: string): number {
  const m = IPV4.exec(text)
  if (m === null) return Number.NaN
  const [a, b, c, d] = [Number(m[1]), Number(m[2]), Number(m[3]), Number(m[4])]
  return Math.max(a, b, c, d) > 255 ? Number.NaN : ((a << 24) | (b << 16) | (c << 8) | d) >>> 0
}

/** Reads `10.0.0.1` as 0x0a000001. Throws a TypeError that shows the text where it is anything else; leading zeros are
 * refused, since some programs read them as octal. */
export function parseIpv4(text: string): number {
  const value = typeof text === 'string' ? ipv4OrNaN(text) : Number.NaN
  if (Number.isNaN(value)) throw new TypeError(`not an IPv4 address: ${JSON.stringify(text)}`)
  return value
}

/** Writes 0x0a000001 as `10.0.0.1`. */
export function formatIpv4(address: number): string {
  return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`
}

/** Reads an IPv6 address in any form of RFC 4291, 2.2, without a zone, as its 16 bytes. Throws a TypeError that shows the
 * text where it is anything else. */
export function parseIpv6(text: string): Uint8Array {
  const groups = typeof text === 'string' ? ipv6Groups(text) : null
  if (groups === null) throw new TypeError(`not an IPv6 address: ${JSON.stringify(text)}`)
  const bytes = new Uint8Array(16)
  groups.forEach((g, i) => {
    bytes[2 * i] = g >>> 8
    bytes[2 * i + 1] = g
  })
  return bytes
}

function ipv6Groups(text: string): number[] | null {
  const halves = text.split('::')
  if (halves.length > 2) return null
  const parts = halves.map((half, i) => groupsOf(half, i === halves.length - 1))
  const [head, tail] = parts
  if (!head) return null
  if (halves.length === 1) return head.length === 8 ? head : null
  if (!tail || head.length + tail.length > 7) return null
  return [...head, ...new Array<number>(8 - head.length - tail.length).fill(0), ...tail]
}

/** The 16-bit groups of `a:b:c`, the last of which may be a dotted IPv4 address where `last` allows it. */
function groupsOf(text: string, last: boolean): number[] | null {
  if (text === '') return []
  const groups: number[] = []
  const words = text.split(':')
  for (const [i, word] of words.entries()) {
    if (/^[0-9a-f]{1,4}$/i.test(word)) groups.push(Number.parseInt(word, 16))
    else {
      const v4 = last && i === words.length - 1 ? ipv4OrNaN(word) : Number.NaN
      if (Number.isNaN(v4)) return null
      groups.push(v4 >>> 16, v4 & 0xffff)
    }
  }
  return groups
}

/** Writes the 16 bytes at `o` in the one form of RFC 5952: lower case, no leading zeros, the longest run of two or more
 * zero groups (the first of equals) as `::`, IPv4-mapped addresses with a dotted tail. */
export function formatIpv6(b: Uint8Array, o = 0): string {
  const groups = Array.from({ length: 8 }, (_, i) => ((b[o + 2 * i] as number) << 8) | (b[o + 2 * i + 1] as number))
  if (groups.slice(0, 5).every((g) => g === 0) && groups[5] === 0xffff) {
    return `::ffff:${formatIpv4((((groups[6] as number) << 16) | (groups[7] as number)) >>> 0)}`
  }
  let start = -1
  let length = 1
  for (let i = 0; i < 8; i++) {
    let n = 0
    while (i + n < 8 && groups[i + n] === 0) n++
    if (n > length) {
      start = i
      length = n
    }
  }
  const hex = (list: number[]) => list.map((g) => g.toString(16)).join(':')
  return start === -1 ? hex(groups) : `${hex(groups.slice(0, start))}::${hex(groups.slice(start + length))}`
}
