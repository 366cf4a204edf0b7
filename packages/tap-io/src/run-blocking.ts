import { checkRange, type Loop } from '@l2l3/switch-core'
import { type Pollable, WaitSet } from './wait-set.ts'

/*
 * The switch as the only tenant of a worker thread. While there is work it turns; when there is none it waits inside the
 * addon, first spinning - a frame that follows soon is met awake - and then asleep:
 *
 *     turn, turn, ... idle -> spin with sched_yield, up to 50 us -> poll, until readable, the next ticker, or 50 ms
 *
 * Busy polling turns without ever waiting. Spinning pays only where the answer comes soon. It is skipped while super-frames flow, whose sender needs the core, and
 * while the recent gaps were far longer than a spin.
 */

/** A flag that ends `runBlocking`: asked each turn, and at least every 50 ms. The thread's own event loop stands still
 * meanwhile, so what it reads must change from outside: `Int32Array` is a shared one, over when its first element is not 0. */
export type Until = (() => boolean) | { readonly aborted: boolean } | Int32Array

/** Settings of `runBlocking`. */
export interface BlockingOptions {
  /** How long to spin before sleeping, 0 (never) to 1,000,000 microseconds; or Infinity: busy polling, which never sleeps and
   * takes a whole core. Default 50. */
  spinMicros?: number
  /** When to stop. */
  until: Until
}

/** The longest sleep, in nanoseconds: how late `until` can be noticed. */
const SLEEP = 50e6
/** Gaps longer than so many spins, on average, are slept through. */
const LONG_GAP = 10
/** How often ports are asked whether their device still exists, in milliseconds. */
const CHECK = 1000
/** Wake-ups in a row that may bring no work, before the loop looks away for a while; and for how many nanoseconds. */
const IN_VAIN = 64
const LOOK_AWAY = 10e6

function asFunction(until: Until): () => boolean {
  if (typeof until === 'function') return until
  if (until instanceof Int32Array) return () => Atomics.load(until, 0) !== 0
  if (typeof until === 'object' && until !== null && 'aborted' in until) return () => until.aborted
  throw new TypeError('until must be a function, an Int32Array or an object with `aborted`')
}

/** Runs a loop on this thread and does not return before `until` says so. For a worker thread: nothing else happens on it. */
export function runBlocking(loop: Loop, ports: Iterable<Pollable>, options: BlockingOptions): void {
  const isBusy = options.spinMicros === Number.POSITIVE_INFINITY
  const spin = isBusy ? 0 : checkRange('spinMicros', options.spinMicros ?? 50, 0, 1_000_000) * 1000
  const over = asFunction(options.until)
  const set = new WaitSet(ports)
  const nobody = new WaitSet([])
  let gap = 0
  let inVain = 0
  let woken = false
  let checkAt = performance.now() + CHECK
  try {
    while (!over()) {
      if (loop.turn() > 0 || loop.busy) {
        inVain = 0
        woken = false
        continue
      }
      if (woken) {
        set.examine()
        inVain++
      }
      const start = performance.now()
      if (start >= checkAt) {
        set.checkAll()
        checkAt = start + CHECK
      }
      if (isBusy) continue
      const sleep = Math.min(SLEEP, Math.max(0, loop.nextTick - loop.clock.now))
      if (inVain >= IN_VAIN) {
        // Something is readable that no port of the loop reads.
        nobody.idle(0, Math.min(sleep, LOOK_AWAY))
        inVain = 0
        woken = false
        continue
      }
      const patience = gap > LONG_GAP * spin || set.bulk ? 0 : Math.min(spin, sleep)
      woken = set.idle(patience, sleep - patience)
      gap += ((performance.now() - start) * 1e6 - gap) / 8
    }
  } finally {
    set.close()
    nobody.close()
  }
}
