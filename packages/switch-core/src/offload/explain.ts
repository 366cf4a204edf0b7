import type { Frame, FramePool } from '../frame-pool.ts'
import { OffloadFlag } from './kinds.ts'

/*
 * What is said of a frame that is followed (`trace.ts`) where it is finished for a port. It is asked only while somebody traces.
 */

const BY = 'offload'

/** That a missing checksum was filled in. */
export function summed(pool: FramePool, f: Frame): void {
  if (pool.trace?.follows(f)) pool.trace.note(f, BY, 'checksum filled in, which the sender had left to the wire')
}

/** That `g` is the `i`-th segment, from 1, of the super-frame `f`. */
export function segment(pool: FramePool, f: Frame, g: Frame, i: number, payload: number): void {
  if (!pool.trace?.follows(f)) return
  const missing = ((pool.flags[f] as number) & OffloadFlag.NeedsChecksum) !== 0
  pool.trace.derived(
    f,
    g,
    BY,
    `segment ${i} of the super-frame: ${payload} bytes${missing ? ', checksum filled in' : ''}`,
  )
}
