import { u16, u32 } from '@l2l3/switch-core/wire'
import type { Next } from './dissect.ts'
import { hex, type Layers } from './layers.ts'

/* What stands between an outer and an inner packet: VXLAN (RFC 7348, with a group policy), GENEVE (RFC 8926), GRE (RFC 2784, 2890). */

/** Reads a VXLAN header. */
export function vxlan(layers: Layers, at: number, end: number): Next | null {
  const b = layers.bytes
  if (end - at < 8) return null
  const flags = u16(b, at)
  layers.begin('vxlan', at, 8)
  layers.hex16('vxlan.flags', at)
  layers.bit('vxlan.flag_g', at, 2, flags, 0x8000)
  layers.bit('vxlan.flag_i', at, 2, flags, 0x0800)
  layers.bit('vxlan.flag_d', at, 2, flags, 0x0040)
  layers.bit('vxlan.flag_a', at, 2, flags, 0x0008)
  layers.u16('vxlan.gbp', at + 2)
  layers.put('vxlan.vni', at + 4, 3, u32(b, at + 4) >>> 8)
  return { what: 'ether', at: at + 8, end }
}

/** Reads a GENEVE header with its options. */
export function geneve(layers: Layers, at: number, end: number): Next | null {
  const b = layers.bytes
  if (end - at < 8) return null
  const first = b[at] as number
  const length = 4 * (first & 0x3f)
  const inner = at + 8 + length
  if (first >>> 6 !== 0 || inner > end) return null
  layers.begin('geneve', at, 8 + length)
  layers.put('geneve.version', at, 1, 0)
  layers.put('geneve.option.length', at, 1, length)
  const flags = b[at + 1] as number
  layers.bit('geneve.flags.oam', at + 1, 1, flags, 0x80)
  layers.bit('geneve.flags.critical', at + 1, 1, flags, 0x40)
  layers.hex16('geneve.proto_type', at + 2)
  layers.put('geneve.vni', at + 4, 3, hex(u32(b, at + 4) >>> 8, 6))
  for (let option = at + 8; inner - option >= 4; ) {
    const data = 4 * ((b[option + 3] as number) & 0x1f)
    if (option + 4 + data > inner) break
    layers.hex16('geneve.option.class', option)
    layers.hex8('geneve.option.type', option + 2)
    layers.put('geneve.option.length', option + 3, 1, data + 4)
    if (data > 0) layers.raw('geneve.option.unknown.data', option + 4, option + 4 + data)
    option += 4 + data
  }
  return { what: 'type', id: u16(b, at + 2), at: inner, end }
}

/** Reads a GRE header. */
export function gre(layers: Layers, at: number, end: number): Next | null {
  const b = layers.bytes
  if (end - at < 4) return null
  const flags = u16(b, at)
  const sum = (flags & 0x8000) !== 0
  const key = (flags & 0x2000) !== 0
  const sequence = (flags & 0x1000) !== 0
  const header = 4 + 4 * (Number(sum) + Number(key) + Number(sequence))
  if ((flags & 7) !== 0 || (flags & 0x4000) !== 0 || at + header > end) return null
  layers.begin('gre', at, header)
  layers.hex16('gre.flags_and_version', at)
  layers.hex16('gre.proto', at + 2)
  let next = at + 4
  if (sum) {
    layers.hex16('gre.checksum', next)
    next += 4
  }
  if (key) {
    layers.hex32('gre.key', next)
    next += 4
  }
  if (sequence) layers.u32('gre.sequence_number', next)
  return { what: 'type', id: u16(b, at + 2), at: at + header, end }
}
