import type { Batch } from './batch.ts'
import type { Drop } from './drop.ts'
import type { Frame, FramePool } from './frame-pool.ts'
export function needsFinishing(_pool: FramePool, _batch: Batch, _offloads: number): boolean {
  return false
}
export function finish(
  _pool: FramePool,
  _batch: Batch,
  _offloads: number,
  _write: (b: Batch) => void,
  _lost: (f: Frame, why: Drop) => void,
): void {}
