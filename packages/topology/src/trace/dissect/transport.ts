import { tcp, u16, udp } from '@l2l3/switch-core/wire'
import type { Next } from './dissect.ts'
import { hex, type Layers } from './layers.ts'

/* TCP (RFC 9293) and UDP (RFC 768). */

/** Reads a TCP header with its options; as much of it as there is where an ICMP error quotes no more than eight bytes. */
export function tcpHeader(layers: Layers, at: number, end: number): Next | null {
  const b = layers.bytes
  if (end - at < 8) return null
  layers.begin('tcp', at, 8)
  layers.u16('tcp.srcport', at)
  layers.u16('tcp.dstport', at + 2)
  layers.u32('tcp.seq_raw', at + 4)
  if (end - at < tcp.HLEN) return { what: 'data', at: at + 8, end }
  const header = tcp.headerLength(b, at)
  layers.u32('tcp.ack_raw', at + tcp.ACK)
  layers.put('tcp.hdr_len', at + 12, 1, header)
  const flags = u16(b, at + 12) & 0xfff
  layers.put('tcp.flags', at + 12, 2, hex(flags, 4))
  FLAGS.forEach((name, i) => {
    layers.bit(`tcp.flags.${name}`, at + 13, 1, flags, 0x80 >>> i)
  })
  layers.u16('tcp.window_size_value', at + 14)
  layers.hex16('tcp.checksum', at + tcp.CHECKSUM)
  layers.u16('tcp.urgent_pointer', at + 18)
  if (header < tcp.HLEN || at + header > end) {
    layers.extend(at + tcp.HLEN)
    return { what: 'data', at: at + tcp.HLEN, end }
  }
  options(layers, at + tcp.HLEN, at + header)
  layers.extend(at + header)
  return { what: 'data', at: at + header, end }
}

/** From the highest of the eight bits. */
const FLAGS = ['cwr', 'ece', 'urg', 'ack', 'push', 'reset', 'syn', 'fin'] as const

function options(layers: Layers, from: number, end: number): void {
  const b = layers.bytes
  for (let at = from; at < end; ) {
    const kind = b[at] as number
    if (kind === tcp.Option.End) return
    if (kind === tcp.Option.Nop) {
      at++
      continue
    }
    const length = at + 1 < end ? (b[at + 1] as number) : 0
    if (length < 2 || at + length > end) return
    if (kind === tcp.Option.Mss && length === 4) layers.u16('tcp.options.mss_val', at + 2)
    if (kind === tcp.Option.WindowScale && length === 3) layers.u8('tcp.options.wscale.shift', at + 2)
    if (kind === tcp.Option.Timestamps && length === 10) {
      layers.u32('tcp.options.timestamp.tsval', at + 2)
      layers.u32('tcp.options.timestamp.tsecr', at + 6)
    }
    at += length
  }
}

/** Reads a UDP header. */
export function udpHeader(layers: Layers, at: number, end: number): Next | null {
  if (end - at < udp.HLEN) return null
  layers.begin('udp', at, udp.HLEN)
  layers.u16('udp.srcport', at)
  layers.u16('udp.dstport', at + udp.DST_PORT)
  layers.u16('udp.length', at + udp.LENGTH)
  layers.hex16('udp.checksum', at + udp.CHECKSUM)
  const stop = Math.min(end, at + Math.max(udp.HLEN, u16(layers.bytes, at + udp.LENGTH)))
  return { what: 'port', id: u16(layers.bytes, at + udp.DST_PORT), at: at + udp.HLEN, end: stop }
}
