import { Drop, type Frame, type FramePool } from '@l2l3/switch-core'
import { checksum, ipv4, put16, u16, udp } from '@l2l3/switch-core/wire'
import { sumOf } from './ip-tunnel-outer.ts'
import type { Shim } from './ip-tunnel-shim.ts'

/*
 * A bare UDP header between outer IP and inner IPv4: flannel's UDP backend. One socket sends and receives, so that the source port
 * is the destination's too. As a process does that reads datagrams and writes them to a TUN, the way out takes a hop off the
 * inner TTL.
 */

/** UDP between two ends that both have the port. */
export class UdpShim implements Shim {
  readonly name = 'flannel-udp'
  readonly length: number = udp.HLEN
  readonly ethernet = false
  why: Drop = 0
  readonly #pool: FramePool
  readonly #port: number
  readonly #checksum: boolean

  constructor(pool: FramePool, port: number, withChecksum: boolean) {
    this.#pool = pool
    this.#port = port
    this.#checksum = withChecksum
  }

  /** IPv6 packets have no place: the number is one that nothing carries. */
  protocolFor(version: number): number {
    return version === 4 ? ipv4.Protocol.Udp : ipv4.Protocol.NoNext
  }

  carries(protocol: number): boolean {
    return protocol === ipv4.Protocol.Udp
  }

  write(f: Frame, ip: number, o: number, end: number): void {
    const b = this.#pool.bytes
    udp.write(b, o, this.#port, this.#port, end - o - udp.HLEN)
    if (!this.#checksum) return
    const pseudo = checksum.pseudo(b, ip, ipv4.Protocol.Udp, end - o)
    put16(b, o + udp.CHECKSUM, checksum.complementUdp(sumOf(this.#pool, f, o, end, pseudo)))
  }

  read(f: Frame, ip: number, o: number, end: number): number {
    const b = this.#pool.bytes
    if (end - o < udp.HLEN) return this.#refuse(Drop.Malformed)
    if (udp.dstPort(b, o) !== this.#port) return this.#refuse(Drop.TunnelProtocol)
    // A train of datagrams has the length of the whole, or none; they are looked at one by one.
    if (this.#pool.gsoType[f] !== 0) return o + udp.HLEN
    if (udp.check(b, o, end) === -1) return this.#refuse(Drop.Malformed)
    if (
      udp.checksum(b, o) !== 0 &&
      sumOf(this.#pool, f, o, end, checksum.pseudo(b, ip, ipv4.Protocol.Udp, end - o)) !== 0xffff
    ) {
      return this.#refuse(Drop.BadChecksum)
    }
    if (o + udp.HLEN < end && b[o + udp.HLEN]! >>> 4 !== 4) return this.#refuse(Drop.TunnelProtocol)
    return o + udp.HLEN
  }

  opened(_f: Frame, o: number): boolean {
    const b = this.#pool.bytes
    const inner = o + udp.HLEN
    if (ipv4.ttl(b, inner) <= 1) {
      this.why = Drop.TtlExceeded
      return false
    }
    ipv4.decrementTtl(b, inner)
    return true
  }

  #refuse(why: Drop): number {
    this.why = why
    return -1
  }

  wrote(b: Uint8Array, o: number): boolean {
    return u16(b, o) === this.#port && udp.dstPort(b, o) === this.#port
  }
}
