import { ALL_OFFLOADS, type Batch, type FramePool, Port } from '@l2l3/switch-core'

/** Makes frames, a batch a turn, and lets go of those it is sent. Its rows stay in the cache, as receive buffers do. As a TAP with
 * offloads, it carries frames as they are. */
export class SourcePort extends Port {
  /** Fills rows in: what a NIC does by DMA. */
  make: (rows: Uint32Array, n: number) => void

  constructor(pool: FramePool, name: string, make: (rows: Uint32Array, n: number) => void = () => {}) {
    super(pool, name, ALL_OFFLOADS)
    this.make = make
  }

  protected override read(batch: Batch): void {
    batch.length = this.pool.allocAll(batch.frames, 64)
    this.make(batch.frames, batch.length)
    this.pool.ledger.receive(batch.length)
  }

  protected override write(batch: Batch): void {
    this.leftAll(batch.frames, batch.length)
  }
}
