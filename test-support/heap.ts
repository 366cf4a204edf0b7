/**
 * Does something leave a trace on the heap, each time it is done?
 *
 * What the heap holds after a collection moves by some tens of kilobytes for reasons of V8's own: code is compiled and
 * thrown away, feedback is gathered, tables are rehashed, mostly early and on other threads. One measurement meets that now
 * and then. A leak is in every round. So a round is repeated as long as it grows by too much, and the smallest growth
 * counts: what is clean passes after one round, what leaks fails all of them.
 *
 *     growth of round   1     2     3     4     5
 *     clean          4 kB                               -> 4 kB, and no further rounds
 *     clean, noisy  67 kB  2 kB                         -> 2 kB
 *     leaks        420 kB 400   401   400   412 kB      -> 400 kB
 *
 * A small object takes 28 bytes and more, with what refers to it. A million frames that leave one behind in a hundred grow
 * by 280 kB: let a round be that long, or longer than 65,536 / 28 of the rarest thing that it looks for. Bare numbers in a
 * list or a map take no object each, and their store grows by half or by twice once in a while, not in every round: such a
 * round is known by its size, when there is a number for every frame, or for a few of them.
 */

/** Bytes below which a round counts as one that leaves nothing. */
export const HEAP_LIMIT: number = 64 * 1024

const ROUNDS = 5
/** Bytes that V8's own business stays below in one round (measured: up to 500 kB). What is more is somebody's. */
const NOISE = 1 << 20

/** Bytes on the heap that something still refers to. Needs `node --expose-gc`, as the tests are run. */
function heapUsed(): number {
  const collect = (globalThis as { gc?: () => void }).gc
  if (collect === undefined) throw new Error('run with --expose-gc')
  // Twice: what the first frees by a finalizer or a weak reference is collected by the second.
  collect()
  collect()
  return process.memoryUsage().heapUsed
}

/**
 * The smallest number of bytes that the heap grows by in a call of `round`, of at most five calls; or what it grows by in
 * one call, if that is more than a mebibyte. For `expect(heapGrowth(round)).toBeLessThan(HEAP_LIMIT)`. Call it when all is
 * warm: what is made once, at the first frame, is no leak, but costs a round.
 *
 * @param enough - Bytes; a round that stays below ends the measurement.
 */
export function heapGrowth(round: () => void, enough: number = HEAP_LIMIT): number {
  return least(round, heapUsed, enough, NOISE)
}

/**
 * The smallest number of bytes that a call of `round` makes, garbage and all, of at most five calls. A round has to be so
 * short that nothing is collected meanwhile: at most half a megabyte, if it did make something for every frame.
 *
 * @param enough - Bytes; a round that stays below ends the measurement.
 */
export function heapMade(round: () => void, enough: number): number {
  return least(round, () => process.memoryUsage().heapUsed, enough, Number.POSITIVE_INFINITY)
}

function least(round: () => void, used: () => number, enough: number, noise: number): number {
  let least = Number.POSITIVE_INFINITY
  for (let i = 0; i < ROUNDS && least >= enough; i++) {
    heapUsed()
    const before = used()
    round()
    const growth = used() - before
    if (growth > noise) return growth
    least = Math.min(least, growth)
  }
  return least
}
