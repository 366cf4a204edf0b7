import { type DropName, dropSentence } from '@l2l3/switch-core'
import type { Snapshot } from './fabric.ts'

/** Frames that were dropped for a reason. */
export interface DropRow {
  readonly reason: DropName
  readonly frames: number
  /** The reason in a sentence. */
  readonly meaning: string
}

/** What was dropped in a running topology, and why. */
export function dropRows({ ledger }: Pick<Snapshot, 'ledger'>): DropRow[] {
  const drops = Object.entries(ledger.dropped) as [DropName, number][]
  return drops.map(([reason, frames]) => ({ reason, frames, meaning: dropSentence(reason) }))
}
