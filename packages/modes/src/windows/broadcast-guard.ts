import { Kind, Message, readMessage } from '@l2l3/arp'
import { type Batch, Drop, type Element, type Frame, type FramePool } from '@l2l3/switch-core'
import { classifier, Depth, ipv4, Layers, u16 } from '@l2l3/switch-core/wire'

/** A client of DHCP speaks to these. */
const DHCP_PORTS: ReadonlySet<number> = new Set([67, 547])

/**
 * Drops broadcasts and multicasts as `BlockBroadcast`, as where a subnet of HNS has no `EnableBroadcast` (modes.md 2.2). What a node
 * cannot do without passes: ARP, neighbour discovery, and what clients of DHCP ask.
 */
export class BroadcastGuard implements Element {
  readonly #pool: FramePool
  readonly #message: Message = new Message()
  readonly #at: Layers = new Layers()
  readonly #classify: (f: number, at: Layers) => number

  constructor(pool: FramePool) {
    this.#pool = pool
    this.#classify = classifier(pool)
  }

  process(batch: Batch): void {
    const { bytes, off } = this.#pool
    const { frames } = batch
    let kept = 0
    for (let i = 0; i < batch.length; i++) {
      const f = frames[i] as Frame
      const toGroup = ((bytes[off[f] as number] as number) & 1) !== 0
      if (toGroup && !this.#isNeeded(f)) this.#pool.drop(f, Drop.BlockBroadcast)
      else frames[kept++] = f
    }
    batch.length = kept
  }

  #isNeeded(f: Frame): boolean {
    const kind = readMessage(this.#pool, f, this.#message)
    if (kind !== Kind.Other) return true
    const at = this.#at
    if (this.#classify(f, at) !== Depth.Transport) return false
    return at.protocol === ipv4.Protocol.Udp && DHCP_PORTS.has(u16(this.#pool.bytes, at.l4 + 2))
  }
}
