import { checkRange, Drop, type Frame, type FramePool } from '@l2l3/switch-core'
import { eth, ipv4 } from '@l2l3/switch-core/wire'
import * as gre from './gre.ts'
import { sumOf } from './ip-tunnel-outer.ts'
import type { Inside, Shim } from './ip-tunnel-shim.ts'

/*
 * GRE between outer and inner header (RFC 2784, RFC 2890).
 *
 * What a packet brings has to be what the tunnel was set up for, as in Linux: a key if and only if there is one, and that
 * one; a checksum if and only if it is on, and right; a sequence number where it is on, that is not before the next one
 * expected. With checksum or sequence number the two ends agree, since one that is not there cannot be wrong.
 */

/** Fields of a GRE header beside flags and protocol. */
export interface GreOptions {
  /** The key that is sent and expected, 0 to 0xffffffff. Default none. */
  key?: number
  /** Whether packets are sent with a checksum and expected with one. Default false. */
  checksum?: boolean
  /** Whether packets are counted, and old ones refused (RFC 2890, 2.2). Default false. */
  sequence?: boolean
}

/** A GRE header for packets, or, with `ethernet`, for frames (GRETAP). */
export class GreShim implements Shim {
  readonly name: string
  readonly length: number
  readonly ethernet: boolean
  why: Drop = 0
  readonly #pool: FramePool
  readonly #bits: number
  readonly #key: number
  #next = 0
  #expected = 0

  constructor(pool: FramePool, ethernet: boolean, options: GreOptions) {
    this.#pool = pool
    this.name = ethernet ? 'gretap' : 'gre'
    this.ethernet = ethernet
    const keyed = options.key !== undefined
    this.#key = keyed ? checkRange('key', options.key as number, 0, 0xffff_ffff) : 0
    for (const key of ['checksum', 'sequence'] as const) {
      if (options[key] !== undefined && typeof options[key] !== 'boolean') {
        throw new TypeError(`${key} must be true or false, not ${JSON.stringify(options[key])}`)
      }
    }
    this.#bits =
      (options.checksum ? gre.Flag.Checksum : 0) |
      (keyed ? gre.Flag.Key : 0) |
      (options.sequence ? gre.Flag.Sequence : 0)
    this.length = gre.headerLength(this.#bits)
  }

  protocolFor(): number {
    return ipv4.Protocol.Gre
  }

  carries(protocol: number): boolean {
    return protocol === ipv4.Protocol.Gre
  }

  write(f: Frame, _ip: number, o: number, end: number, inside: Inside): void {
    const b = this.#pool.bytes
    const type = this.ethernet ? eth.EtherType.Teb : inside.version === 4 ? eth.EtherType.IPv4 : eth.EtherType.IPv6
    gre.write(b, o, this.#bits, type, this.#key, this.#next)
    if (this.#bits & gre.Flag.Sequence) this.#next = (this.#next + 1) >>> 0
    if (this.#bits & gre.Flag.Checksum) gre.fillChecksum(b, o, sumOf(this.#pool, f, o, end))
  }

  read(f: Frame, _ip: number, o: number, end: number): number {
    const b = this.#pool.bytes
    const at = gre.check(b, o, end)
    if (at === -1) return this.#refuse(gre.fault(b, o, end))
    const bits = gre.flags(b, o)
    const asked = gre.Flag.Key | gre.Flag.Checksum
    if ((bits & gre.Flag.Key) !== (this.#bits & gre.Flag.Key)) return this.#refuse(Drop.UnknownVni)
    if (bits & gre.Flag.Key && gre.key(b, o) !== this.#key) return this.#refuse(Drop.UnknownVni)
    if ((bits & asked) !== (this.#bits & asked)) return this.#refuse(Drop.TunnelFlags)
    if (this.#bits & gre.Flag.Sequence && (bits & gre.Flag.Sequence) === 0) return this.#refuse(Drop.TunnelSequence)
    const type = gre.protocol(b, o)
    const packet = type === eth.EtherType.IPv4 || type === eth.EtherType.IPv6
    if (this.ethernet ? type !== eth.EtherType.Teb : !packet) return this.#refuse(Drop.TunnelProtocol)
    if (!this.ethernet && (at >= end || b[at]! >>> 4 !== (type === eth.EtherType.IPv4 ? 4 : 6))) {
      return this.#refuse(at >= end ? Drop.InnerRunt : Drop.Malformed)
    }
    if (bits & gre.Flag.Checksum && sumOf(this.#pool, f, o, end) !== 0xffff) return this.#refuse(Drop.BadChecksum)
    if (this.#bits & gre.Flag.Sequence) {
      const number = gre.sequence(b, o)
      if (((number - this.#expected) | 0) < 0) return this.#refuse(Drop.TunnelSequence)
    }
    return at
  }

  opened(_f: Frame, o: number): boolean {
    if (this.#bits & gre.Flag.Sequence) this.#expected = (gre.sequence(this.#pool.bytes, o) + 1) >>> 0
    return true
  }

  #refuse(why: Drop): number {
    this.why = why
    return -1
  }

  wrote(b: Uint8Array, o: number, end: number): boolean {
    if (gre.flags(b, o) !== this.#bits) return false
    const keyAt = o + gre.HLEN + (this.#bits & gre.Flag.Checksum ? 4 : 0)
    // With a checksum the key is beyond the 8 bytes that an error has to quote.
    return (this.#bits & gre.Flag.Key) === 0 || end - keyAt < 4 || gre.key(b, o) === this.#key
  }
}
