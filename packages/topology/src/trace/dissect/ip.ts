import { ipv4, ipv6, u16, u32 } from '@l2l3/switch-core/wire'
import type { Next } from './dissect.ts'
import { hex, type Layers } from './layers.ts'

/*
 * IPv4 (RFC 791) and IPv6 (RFC 8200). A packet may be cut short, as it is where an ICMP error quotes it: what is behind
 * the header is read as far as it goes.
 */

/** Reads an IPv4 header. */
export function ip4(layers: Layers, at: number, end: number): Next | null {
  const b = layers.bytes
  if (end - at < ipv4.HLEN || (b[at] as number) >>> 4 !== 4) return null
  const header = ipv4.headerLength(b, at)
  if (header < ipv4.HLEN || at + header > end) return null
  layers.begin('ip', at, header)
  layers.put('ip.version', at, 1, 4)
  layers.put('ip.hdr_len', at, 1, header)
  const tos = ipv4.tos(b, at)
  layers.hex8('ip.dsfield', at + 1)
  layers.put('ip.dsfield.dscp', at + 1, 1, tos >>> 2)
  layers.put('ip.dsfield.ecn', at + 1, 1, tos & 3)
  layers.u16('ip.len', at + 2)
  layers.hex16('ip.id', at + 4)
  const flags = (b[at + 6] as number) >>> 5
  layers.hex8('ip.flags', at + 6, flags)
  layers.bit('ip.flags.df', at + 6, 1, flags, 2)
  layers.bit('ip.flags.mf', at + 6, 1, flags, 1)
  const offset = u16(b, at + 6) & 0x1fff
  layers.put('ip.frag_offset', at + 6, 2, offset)
  layers.u8('ip.ttl', at + ipv4.TTL)
  layers.u8('ip.proto', at + ipv4.PROTOCOL)
  layers.hex16('ip.checksum', at + ipv4.CHECKSUM)
  layers.ip4('ip.src', at + ipv4.SRC)
  layers.ip4('ip.dst', at + ipv4.DST)
  const stop = endOf(at + Math.max(header, ipv4.totalLength(b, at)), end)
  if (offset !== 0) return { what: 'data', at: at + header, end: stop }
  return { what: 'protocol', id: ipv4.protocol(b, at), at: at + header, end: stop }
}

/** Where a packet ends: where it says so, unless the frame does before. */
function endOf(said: number, end: number): number {
  return Math.min(said, end)
}

/** Reads an IPv6 header with its extension headers. */
export function ip6(layers: Layers, at: number, end: number): Next | null {
  const b = layers.bytes
  if (end - at < ipv6.HLEN || (b[at] as number) >>> 4 !== 6) return null
  layers.begin('ipv6', at, ipv6.HLEN)
  layers.put('ipv6.version', at, 1, 6)
  const traffic = ipv6.trafficClass(b, at)
  layers.put('ipv6.tclass', at, 4, hex(traffic, 8))
  layers.put('ipv6.tclass.dscp', at, 4, traffic >>> 2)
  layers.put('ipv6.tclass.ecn', at, 4, traffic & 3)
  layers.put('ipv6.flow', at + 1, 3, hex(u32(b, at) & 0xfffff, 6))
  layers.u16('ipv6.plen', at + 4)
  layers.u8('ipv6.nxt', at + ipv6.NEXT_HEADER)
  layers.u8('ipv6.hlim', at + ipv6.HOP_LIMIT)
  layers.ip6('ipv6.src', at + ipv6.SRC)
  layers.ip6('ipv6.dst', at + ipv6.DST)
  const stop = endOf(at + ipv6.HLEN + ipv6.payloadLength(b, at), end)
  return extensions(layers, b[at + ipv6.NEXT_HEADER] as number, at + ipv6.HLEN, stop)
}

const EXTENSIONS: Readonly<Record<number, string>> = { 0: 'hopopts', 43: 'routing', 60: 'dstopts' }
const FRAGMENT = 44

function extensions(layers: Layers, first: number, from: number, end: number): Next {
  const b = layers.bytes
  let [protocol, at] = [first, from]
  for (let i = 0; i < ipv6.MAX_HEADERS; i++) {
    const name = EXTENSIONS[protocol]
    if ((name === undefined && protocol !== FRAGMENT) || end - at < 8) break
    if (name !== undefined) {
      const length = 8 * ((b[at + 1] as number) + 1)
      if (at + length > end) break
      layers.u8(`ipv6.${name}.nxt`, at)
      layers.u8(`ipv6.${name}.len`, at + 1)
      protocol = b[at] as number
      at += length
    } else {
      const field = u16(b, at + 2)
      layers.u8('ipv6.fraghdr.nxt', at)
      layers.put('ipv6.fraghdr.offset', at + 2, 2, field >>> 3)
      layers.bit('ipv6.fraghdr.more', at + 2, 2, field, 1)
      layers.hex32('ipv6.fraghdr.ident', at + 4)
      protocol = b[at] as number
      at += 8
      if (field >>> 3 !== 0) {
        layers.extend(at)
        return { what: 'data', at, end }
      }
    }
    layers.extend(at)
  }
  return { what: 'protocol', id: protocol, at, end }
}
