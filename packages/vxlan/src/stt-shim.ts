import { Drop, type Frame, type FramePool, Offload } from '@l2l3/switch-core'
import { checksum, eth, ipv4, ipv6, put16, put32, tcp, u16, udp } from '@l2l3/switch-core/wire'
import { sumOf } from './ip-tunnel-outer.ts'
import type { Inside, Shim } from './ip-tunnel-shim.ts'
import * as stt from './stt.ts'

/*
 * STT between outer IP and inner frame. The checksum of the TCP-like header is always there, and looked at. An inner checksum
 * that comes as missing (`Partial`) becomes a missing checksum of the frame. We send none so: what is missing in the frame
 * stays in its metadata, and whoever finishes it does so for the frame inside.
 */

const CSUM = checksum

/** An STT header with a context id: one both ways, or another for each. */
export class SttShim implements Shim {
  readonly name = 'stt'
  readonly length: number = stt.OVERHEAD
  readonly ethernet = true
  why: Drop = 0
  readonly #pool: FramePool
  readonly #high: number
  readonly #low: number
  readonly #expectedHigh: number
  readonly #expectedLow: number
  #id = 0

  /** Throws a RangeError where a context id is not one of 64 bits.
   * @param expected what comes has this one */
  constructor(pool: FramePool, context: bigint, expected: bigint = context) {
    for (const [key, id] of [
      ['context', context],
      ['expectedContext', expected],
    ] as const) {
      if (typeof id === 'bigint' && id >= 0n && id < 1n << 64n) continue
      throw new RangeError(`${key} must be a bigint from 0 to 2 ** 64 - 1, not ${String(id)}`)
    }
    this.#pool = pool
    this.#high = Number(context >> 32n)
    this.#low = Number(context & 0xffff_ffffn)
    this.#expectedHigh = Number(expected >> 32n)
    this.#expectedLow = Number(expected & 0xffff_ffffn)
  }

  protocolFor(): number {
    return ipv4.Protocol.Tcp
  }

  carries(protocol: number): boolean {
    return protocol === ipv4.Protocol.Tcp
  }

  write(f: Frame, ip: number, o: number, end: number, inside: Inside): void {
    const pool = this.#pool
    const b = pool.bytes
    const bytes = end - o - tcp.HLEN
    put16(b, o, 0x8000 | ((inside.hash >>> 8) & 0x7fff))
    put16(b, o + tcp.DST_PORT, stt.PORT)
    put32(b, o + tcp.SEQ, bytes << 16)
    put32(b, o + tcp.ACK, (this.#id = (this.#id + 1) >>> 0))
    put16(b, o + 12, 0x5000 | tcp.Flag.Psh | tcp.Flag.Ack)
    put32(b, o + 14, 0xffff_0000)
    put16(b, o + 18, 0)
    stt.write(b, o + tcp.HLEN, 0, 0, this.#high, this.#low)
    const pseudo = CSUM.pseudo(b, ip, ipv4.Protocol.Tcp, end - o)
    put16(b, o + tcp.CHECKSUM, CSUM.complement(sumOf(pool, f, o, end, pseudo)))
  }

  read(f: Frame, ip: number, o: number, end: number): number {
    const b = this.#pool.bytes
    if (end - o < tcp.HLEN) return this.#refuse(Drop.Malformed)
    if (u16(b, o + tcp.DST_PORT) !== stt.PORT) return this.#refuse(Drop.TunnelProtocol)
    switch (stt.check(b, o, end)) {
      case stt.Segment.Short:
        return this.#refuse(Drop.Malformed)
      case stt.Segment.Part:
        return this.#refuse(Drop.OuterFragment)
    }
    const at = o + tcp.HLEN
    if (stt.version(b, at) !== 0) return this.#refuse(Drop.TunnelVersion)
    if (stt.contextHigh(b, at) !== this.#expectedHigh || stt.contextLow(b, at) !== this.#expectedLow) {
      return this.#refuse(Drop.UnknownVni)
    }
    // A tag beside the frame would have to be put back into it, and a super-frame's MSS into metadata.
    if (stt.vlan(b, at) !== 0) return this.#refuse(Drop.InnerVlan)
    if (stt.mss(b, at) !== 0) return this.#refuse(Drop.TunnelOptions)
    if (sumOf(this.#pool, f, o, end, CSUM.pseudo(b, ip, ipv4.Protocol.Tcp, end - o)) !== 0xffff) {
      return this.#refuse(Drop.BadChecksum)
    }
    const inner = at + stt.HLEN
    if (inner >= end) return this.#refuse(Drop.InnerRunt)
    return this.#partialOk(at, inner, end) ? inner : this.#refuse(Drop.BadOffload)
  }

  #partialOk(at: number, inner: number, end: number): boolean {
    const b = this.#pool.bytes
    const bits = stt.flags(b, at)
    if ((bits & stt.Flag.Partial) === 0) return true
    const l4 = stt.l4Offset(b, at)
    const least = eth.HLEN + (bits & stt.Flag.Ipv4 ? ipv4.HLEN : ipv6.HLEN)
    return l4 >= least && inner + l4 + (bits & stt.Flag.Tcp ? tcp.CHECKSUM : udp.CHECKSUM) + 2 <= end
  }

  opened(f: Frame, o: number): boolean {
    const pool = this.#pool
    const at = o + tcp.HLEN
    const bits = stt.flags(pool.bytes, at)
    if ((bits & stt.Flag.Partial) === 0) return true
    const field = bits & stt.Flag.Tcp ? tcp.CHECKSUM : udp.CHECKSUM
    pool.flags[f] = Offload.Checksum
    pool.csumStart[f] = at + stt.HLEN + stt.l4Offset(pool.bytes, at) - (pool.off[f] as number)
    pool.csumOffset[f] = field
    pool.hdrLen[f] = pool.csumStart[f]! + field + 2
    return true
  }

  #refuse(why: Drop): number {
    this.why = why
    return -1
  }

  wrote(b: Uint8Array, o: number): boolean {
    return u16(b, o + tcp.DST_PORT) === stt.PORT && u16(b, o) >= 0x8000
  }
}
