/*
 * What takes many rounds of a world in memory: done at once, or in turns with whatever else the program has to do. The
 * rounds are the same.
 */

/** Something that takes many rounds, one at each `next`. */
export type Rounds<T> = Generator<undefined, T, undefined>

/** Rounds between two moments at which the program may do other things. */
const TURN = 500

/** Does all rounds. */
export function atOnce<T>(rounds: Rounds<T>): T {
  for (;;) {
    const { done, value } = rounds.next()
    if (done) return value
  }
}

/** Does all rounds, and lets the program do other things every few hundred. Rejects with the signal's reason where it stops
 * it; the rest is left undone then. */
export async function inTurns<T>(rounds: Rounds<T>, signal: AbortSignal | undefined): Promise<T> {
  try {
    for (let i = 0; ; i++) {
      if (i % TURN === 0) {
        await new Promise((resolve) => setTimeout(resolve, 0))
        signal?.throwIfAborted()
      }
      const { done, value } = rounds.next()
      if (done) return value
    }
  } finally {
    rounds.return(undefined as never)
  }
}
