import { type Batch, Drop, type Element, type Frame, type FramePool } from '@l2l3/switch-core'

/** An uplink with nothing plugged in: what would leave there ends as `PortDown`. */
export class Unplugged implements Element {
  readonly #pool: FramePool
  readonly #by: string

  /** @param by who says so in a trace */
  constructor(pool: FramePool, by: string) {
    this.#pool = pool
    this.#by = by
  }

  process(batch: Batch): void {
    const { trace } = this.#pool
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      if (trace?.follows(f)) trace.note(f, this.#by, 'nothing is plugged in at the uplink')
      this.#pool.drop(f, Drop.PortDown)
    }
    batch.length = 0
  }
}
