import type { Batch, Element } from '@l2l3/switch-core'

/** A place in front of an element that is filled in last: where two elements lead to each other, one of them comes first. */
export class Entrance implements Element {
  next: Element | null = null

  process(batch: Batch): void {
    this.next?.process(batch)
  }
}
