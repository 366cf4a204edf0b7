import { formatIpv4, formatIpv6, formatMac, u16, u32 } from '@l2l3/switch-core/wire'
import { toHex } from '../splice.ts'

/*
 * What a dissector finds in a frame: layers, outermost first, each with its fields. Names, places and values are those of
 * tshark (`tshark -r FILE -T pdml`), so that what a trace says can be looked up, and filtered for, in Wireshark.
 *
 *     eth 0+14          ip 14+20                         icmp 34+64          data 42+56
 *     eth.dst 0+6 ..    ip.version 14+1 "4", ip.ttl ..   icmp.type 34+1 ..   data.data 42+56
 */

/** A field of a header. */
export interface Field {
  /** As tshark calls it: "ip.ttl". */
  readonly name: string
  /** Its first byte, from the frame's; of a field of bits, the byte that they are in. */
  readonly at: number
  /** Bytes. */
  readonly length: number
  /** As tshark shows it: "64", "0x0800", "10.0.0.1". */
  readonly value: string
}

/** A header, or the bytes behind the last one: "data". */
export interface Layer {
  readonly name: string
  readonly at: number
  /** Bytes of the header. */
  length: number
  readonly fields: Field[]
}

/** Puts layers and fields down while a frame is read. Whoever reads has seen that the bytes are there. */
export class Layers {
  readonly bytes: Uint8Array
  readonly all: Layer[] = []

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }

  /** Begins a layer. */
  begin(name: string, at: number, length: number): void {
    this.all.push({ name, at, length, fields: [] })
  }

  /** Says how long the layer is, where that was not known when it began. */
  extend(end: number): void {
    const layer = this.all.at(-1) as Layer
    layer.length = end - layer.at
  }

  put(name: string, at: number, length: number, value: string | number): void {
    ;(this.all.at(-1) as Layer).fields.push({ name, at, length, value: String(value) })
  }

  /** Numbers, in decimal. */
  u8(name: string, at: number): void {
    this.put(name, at, 1, this.bytes[at] as number)
  }
  u16(name: string, at: number): void {
    this.put(name, at, 2, u16(this.bytes, at))
  }
  u32(name: string, at: number): void {
    this.put(name, at, 4, u32(this.bytes, at))
  }

  /** Numbers in hex, as many digits as they have bytes. */
  hex8(name: string, at: number, value: number = this.bytes[at] as number): void {
    this.put(name, at, 1, hex(value, 2))
  }
  hex16(name: string, at: number, value: number = u16(this.bytes, at)): void {
    this.put(name, at, 2, hex(value, 4))
  }
  hex32(name: string, at: number, value: number = u32(this.bytes, at)): void {
    this.put(name, at, 4, hex(value, 8))
  }

  mac(name: string, at: number): void {
    this.put(name, at, 6, formatMac(this.bytes, at))
  }
  ip4(name: string, at: number): void {
    this.put(name, at, 4, formatIpv4(u32(this.bytes, at)))
  }
  ip6(name: string, at: number): void {
    this.put(name, at, 16, formatIpv6(this.bytes, at))
  }
  raw(name: string, at: number, end: number): void {
    this.put(name, at, end - at, toHex(this.bytes.subarray(at, end)))
  }

  /** One bit of a number that has been read. */
  bit(name: string, at: number, length: number, value: number, mask: number): void {
    this.put(name, at, length, (value & mask) === 0 ? 0 : 1)
  }

  /** What is behind the last header that is understood. */
  data(at: number, end: number): void {
    if (at >= end) return
    this.begin('data', at, end - at)
    this.raw('data.data', at, end)
  }
}

/** A number as hex with `0x` and so many digits. */
export function hex(value: number, digits: number): string {
  return `0x${value.toString(16).padStart(digits, '0')}`
}
