import { icmp, icmpv6 } from '@l2l3/switch-core/wire'
import type { Next } from './dissect.ts'
import type { Layers } from './layers.ts'

/* ICMP (RFC 792), and ICMPv6 (RFC 4443) with neighbour discovery (RFC 4861). Errors quote a packet, which is read as well. */

/** Reads an ICMP message. */
export function icmp4(layers: Layers, at: number, end: number): Next | null {
  const b = layers.bytes
  if (end - at < icmp.HLEN) return null
  const type = icmp.type(b, at)
  layers.begin('icmp', at, icmp.HLEN)
  layers.u8('icmp.type', at)
  layers.u8('icmp.code', at + 1)
  layers.hex16('icmp.checksum', at + icmp.CHECKSUM)
  const rest = at + icmp.HLEN
  if (type === icmp.Type.Echo || type === icmp.Type.EchoReply) {
    layers.u16('icmp.ident', at + icmp.ID)
    layers.u16('icmp.seq', at + icmp.SEQ)
    return { what: 'data', at: rest, end }
  }
  if (type === icmp.Type.Unreachable && icmp.code(b, at) === icmp.Unreachable.FragmentationNeeded) {
    layers.u16('icmp.mtu', at + 6)
  }
  if (type === icmp.Type.Redirect) layers.ip4('icmp.redir_gw', at + 4)
  return { what: icmp.isError(type) || type === icmp.Type.Redirect ? 'packet' : 'data', at: rest, end }
}

/** Reads an ICMPv6 message. */
export function icmp6(layers: Layers, at: number, end: number): Next | null {
  const b = layers.bytes
  if (end - at < icmpv6.HLEN) return null
  const type = icmpv6.type(b, at)
  layers.begin('icmpv6', at, icmpv6.HLEN)
  layers.u8('icmpv6.type', at)
  layers.u8('icmpv6.code', at + 1)
  layers.hex16('icmpv6.checksum', at + 2)
  const rest = at + icmpv6.HLEN
  switch (type) {
    case icmpv6.Type.Echo:
    case icmpv6.Type.EchoReply:
      layers.hex16('icmpv6.echo.identifier', at + 4)
      layers.u16('icmpv6.echo.sequence_number', at + 6)
      return { what: 'data', at: rest, end }
    case icmpv6.Type.PacketTooBig:
      layers.u32('icmpv6.mtu', at + 4)
      return { what: 'packet', at: rest, end }
    case icmpv6.Type.RouterSolicitation:
      return options(layers, rest, end)
    case icmpv6.Type.RouterAdvertisement:
      return advertisement(layers, at, end)
    case icmpv6.Type.NeighborSolicitation:
      if (end - at < 24) break
      layers.ip6('icmpv6.nd.ns.target_address', at + icmpv6.TARGET)
      return options(layers, at + 24, end)
    case icmpv6.Type.NeighborAdvertisement:
      if (end - at < 24) break
      layers.hex32('icmpv6.nd.na.flag', at + 4)
      layers.bit('icmpv6.nd.na.flag.r', at + 4, 4, b[at + 4] as number, 0x80)
      layers.bit('icmpv6.nd.na.flag.s', at + 4, 4, b[at + 4] as number, 0x40)
      layers.bit('icmpv6.nd.na.flag.o', at + 4, 4, b[at + 4] as number, 0x20)
      layers.ip6('icmpv6.nd.na.target_address', at + icmpv6.TARGET)
      return options(layers, at + 24, end)
  }
  return { what: type < 128 ? 'packet' : 'data', at: rest, end }
}

function advertisement(layers: Layers, at: number, end: number): Next {
  if (end - at < 16) return { what: 'data', at: at + icmpv6.HLEN, end }
  layers.u8('icmpv6.nd.ra.cur_hop_limit', at + 4)
  layers.hex8('icmpv6.nd.ra.flag', at + 5)
  layers.u16('icmpv6.nd.ra.router_lifetime', at + 6)
  layers.u32('icmpv6.nd.ra.reachable_time', at + 8)
  layers.u32('icmpv6.nd.ra.retrans_timer', at + 12)
  return options(layers, at + 16, end)
}

/** Options of neighbour discovery (RFC 4861 4.6): type, length in units of eight bytes, value. */
function options(layers: Layers, from: number, end: number): Next {
  const b = layers.bytes
  let at = from
  while (end - at >= 8) {
    const type = b[at] as number
    const length = 8 * (b[at + 1] as number)
    if (length === 0 || at + length > end) break
    layers.u8('icmpv6.opt.type', at)
    layers.u8('icmpv6.opt.length', at + 1)
    if (type === icmpv6.Option.SourceLinkLayer || type === icmpv6.Option.TargetLinkLayer) {
      layers.mac('icmpv6.opt.linkaddr', at + 2)
    } else if (type === 5) layers.u32('icmpv6.opt.mtu', at + 4)
    else if (type === 3 && length === 32) {
      layers.u8('icmpv6.opt.prefix.length', at + 2)
      layers.hex8('icmpv6.opt.prefix.flag', at + 3)
      layers.u32('icmpv6.opt.prefix.valid_lifetime', at + 4)
      layers.u32('icmpv6.opt.prefix.preferred_lifetime', at + 8)
      layers.ip6('icmpv6.opt.prefix', at + 16)
    }
    at += length
  }
  layers.extend(at)
  return { what: 'data', at, end }
}
