import type { Frame, FramePool } from '@l2l3/switch-core'
import { eth, ipv4, put16, u16 } from '@l2l3/switch-core/wire'

/** Lets outer packets be cut on their way whose settings would not have it: around IPv6 of up to 1,280 bytes, which has to get
 * through (RFC 4213, 3.2; RFC 2473, 7.1). */
export class OuterIds {
  readonly #pool: FramePool
  #id = 0

  constructor(pool: FramePool) {
    this.#pool = pool
  }

  /** Clears DF of the outer IPv4 packet in `f`, which the caller owns, and gives it an identification, which fragments need
   * (RFC 6864, 4). Of IPv6, and where DF is clear, nothing changes. */
  clearDf(f: Frame): void {
    const b = this.#pool.bytes
    const ip = (this.#pool.off[f] as number) + eth.HLEN
    if ((b[ip] as number) >>> 4 !== 4 || !ipv4.dontFragment(b, ip)) return
    b[ip + 6] = (b[ip + 6] as number) & ~0x40
    if (u16(b, ip + 4) === 0) put16(b, ip + 4, (this.#id = (this.#id % 65_535) + 1))
    ipv4.fillChecksum(b, ip)
  }
}
