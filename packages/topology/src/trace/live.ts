import { SECOND } from '@l2l3/switch-core'
import type { Fabric } from '../fabric.ts'
import { frameFilter } from './filter.ts'
import { followFrames } from './follower.ts'
import type { Trace } from './path.ts'

/*
 * Tracing what passes a topology that runs: frames that come in and fit a filter, so many in all and so many a second, so
 * that a busy network is looked at and not stopped. What fits and would be too much is counted.
 */

/** Settings of a live trace. */
export interface LiveTraceOptions {
  /** Traces after which it ends, 1 to 100,000. Default 10. */
  readonly count?: number
  /** Frames that are followed in a second at most, 1 to 10,000. Default 10. */
  readonly rate?: number
  /** Is given each trace when the frame's path has ended. Traces are plain data. */
  readonly onTrace?: (trace: Trace) => void
  /** Ends it; what is known by then of frames that are still on their way is given out. */
  readonly signal?: AbortSignal
}

/** What came of a live trace. */
export interface LiveTraceReport {
  /** Frames that came in while it ran. */
  readonly seen: number
  /** Those that fitted the filter. */
  readonly matched: number
  /** Those that were followed. */
  readonly traced: number
}

/** Seconds that a frame may wait somewhere until its trace is given out as it is. */
const PATIENCE = 3

/** Frames that are followed at a time. */
const AT_ONCE = 64

/** Checks the settings of a live trace. Throws a RangeError that names the key and the value, or a FilterError. */
export function checkLiveTrace(filter: string, options: Pick<LiveTraceOptions, 'count' | 'rate'>): void {
  frameFilter(filter)
  for (const [key, most] of [
    ['count', 100_000],
    ['rate', 10_000],
  ] as const) {
    const value = options[key]
    if (value === undefined || (Number.isInteger(value) && value >= 1 && value <= most)) continue
    throw new RangeError(`${key} must be a whole number from 1 to ${most}, not ${value}`)
  }
}

/**
 * Traces frames of a fabric that runs, until there are `count` traces or the signal ends it.
 *
 * @param filter which frames: see `frameFilter`; the empty one takes all
 * @throws FilterError, RangeError
 */
export async function traceFabric(
  fabric: Fabric,
  filter: string,
  options: LiveTraceOptions = {},
): Promise<LiveTraceReport> {
  checkLiveTrace(filter, options)
  const { count = 10, rate = 10, onTrace = () => {}, signal } = options
  const fits = frameFilter(filter)
  const { clock, loop } = fabric.ground
  let [seen, matched, begun, ended] = [0, 0, 0, 0]
  let second = Number.NEGATIVE_INFINITY
  let inSecond = 0
  let enough = (): void => {}
  const finished = new Promise<void>((resolve) => {
    enough = resolve
  })
  const following = followFrames(fabric, {
    wants(bytes, label) {
      seen++
      if (!fits(bytes, label)) return false
      matched++
      if (clock.now - second >= SECOND) {
        second = clock.now
        inSecond = 0
      }
      if (begun >= count || inSecond >= rate || begun - ended >= AT_ONCE) return false
      inSecond++
      begun++
      return true
    },
    done(trace) {
      ended++
      onTrace(trace)
      if (ended >= count) enough()
    },
  })
  const stopTicker = loop.every(SECOND, { tick: (now) => following.giveUp(now - PATIENCE * SECOND) })
  try {
    if (!signal?.aborted) {
      signal?.addEventListener('abort', enough, { once: true })
      await finished
    }
  } finally {
    signal?.removeEventListener('abort', enough)
    stopTicker()
    following.stop()
  }
  return { seen, matched, traced: ended }
}

/** Says what came of a live trace, where that is not plain: that nothing fitted, or that not all was followed. Null otherwise. */
export function liveTraceRemark(filter: string, { seen, matched, traced }: LiveTraceReport): string | null {
  const frames = (n: number): string => (n === 1 ? '1 frame' : `${n} frames`)
  if (seen === 0) return 'no frame came in while it was traced'
  if (matched === 0) return `none of the ${frames(seen)} that came in fitted the filter "${filter}"`
  if (traced < matched)
    return `${frames(matched)} fitted the filter, of which ${traced} ${traced === 1 ? 'was' : 'were'} followed`
  return null
}
