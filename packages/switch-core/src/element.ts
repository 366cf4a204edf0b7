import type { Batch } from './batch.ts'

/**
 * A step on a frame's way. It has every frame of the batch while `process` runs, and does with each exactly one of
 * three things: keeps it in the batch (in place, order kept, `length` set anew), pushes it to a `Link`, or drops it
 * with a reason. It never throws and never calls the element behind a link.
 */
export interface Element {
  process(batch: Batch): void
}

/** Elements in a row, and itself an element: what one keeps, the next gets. */
export class Pipeline implements Element {
  readonly elements: readonly Element[]

  constructor(...elements: Element[]) {
    this.elements = elements
  }

  process(batch: Batch): void {
    for (let i = 0; i < this.elements.length && batch.length > 0; i++) {
      ;(this.elements[i] as Element).process(batch)
    }
  }
}
