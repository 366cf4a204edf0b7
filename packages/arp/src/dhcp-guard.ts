import { type Batch, Drop, type Element, type Frame, type FramePool } from '@l2l3/switch-core'
import { classifier, Depth, ipv4, Layers, u16 } from '@l2l3/switch-core/wire'

const SERVER4 = 67
const SERVER6 = 547

/** Drops what DHCP servers say (from UDP port 67 over IPv4, 547 over IPv6) where it comes from a port that no server
 * may be at. Requests of clients and everything else go through. */
export class DhcpGuard implements Element {
  readonly #pool: FramePool
  readonly #at = new Layers()
  readonly #classify: (f: number, at: Layers) => number

  constructor(pool: FramePool) {
    this.#pool = pool
    this.#classify = classifier(pool)
  }

  process(batch: Batch): void {
    const { bytes } = this.#pool
    const at = this.#at
    let n = 0
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      const udp = this.#classify(f, at) === Depth.Transport && at.protocol === ipv4.Protocol.Udp
      const from = udp ? u16(bytes, at.l4) : 0
      if (from === (at.etherType === 0x0800 ? SERVER4 : SERVER6)) this.#pool.drop(f, Drop.DhcpGuard)
      else batch.frames[n++] = f
    }
    batch.length = n
  }
}
