import { checkRange } from '@l2l3/switch-core'

/*
 * Which backend a flow goes to: rendezvous hashing, or highest random weight (Thaler and Ravishankar, 1998).
 *
 *     flow  ----- key ----+--- mix(key ^ salt of A) = 0x1f..
 *                         +--- mix(key ^ salt of B) = 0x6c..   <- the highest: B
 *                         +--- mix(key ^ salt of C) = 0x22..
 *
 * Every backend draws a lot for the flow, and the highest wins. A backend's lots depend on its own address and port and
 * on nothing else, so that a backend which comes takes only the flows where its lot is the highest, and one that goes
 * leaves only its own: none of the OTHER flows moves, ever, and the order in which backends were added does not matter.
 * A backend of weight w draws w lots, and wins w shares; a change of its weight moves flows to or from it alone.
 *
 * Why not a table as Maglev's (NSDI 2016, 3.4)? It was measured beside this one, 50 backends, one of them taken out or
 * added, over all 50 cases each (test/service/rendezvous.test.ts has both):
 *
 *     |                             | Maglev, 4,093 slots | 16,381 slots | 65,537 slots | these lots |
 *     | other flows moved, worst    | 3.4 %               | 1.4 %        | 0.6 %        | 0          |
 *     | building it                 | 4 ms                | 2 ms         | 7 ms         | 2 us       |
 *     | bytes a service             | 8,186               | 32,762       | 131,074      | 400        |
 *     | a pick                      | one read            | one read     | one read     | 130 ns     |
 *
 * The pick is linear, 2.5 ns a lot, 30 ns for five backends and 1.3 us for a thousand; but it is made once a flow, which
 * costs more than that to set up (the bench has new flows among 10,000 services), and 10,000 services with such tables would
 * be a gigabyte. The lots of a set are bounded (`MAX_LOTS`), and so is the time.
 */

/** Lots that the backends of a set may draw altogether: the sum of their weights. */
export const MAX_LOTS = 4096

/** What `pick` gives where there is nobody to pick. */
export const NOBODY = -1

/** Mixes 32 bits so that each bit of the result depends on each bit of `x`; one-to-one (a form of MurmurHash3's
 * finalizer with constants by Chris Wellons). */
export function mix(x: number): number {
  let h = Math.imul(x ^ (x >>> 16), 0x21f0aaad)
  h = Math.imul(h ^ (h >>> 15), 0x735a2d97)
  return h ^ (h >>> 15)
}

/** Who draws: a backend in a set. */
export interface Drawer {
  /** What `pick` gives for it: 0 to 65,535. */
  readonly row: number
  /** 32 bits of its own, from its address and port. */
  readonly salt: number
  /** How many lots it draws: 1 to 4,096. */
  readonly weight: number
}

/** Draws lots between the backends of a set. */
export class Rendezvous {
  /** The salts of the lots, and behind them the rows of those who draw them: one array, which is nearer than two. */
  #lots: Int32Array = new Int32Array(0)
  /** Lots that are drawn for a flow. */
  lots = 0

  /** Says who draws from now on. Throws a RangeError where the weights add up to more than `MAX_LOTS`. */
  set(drawers: readonly Drawer[]): void {
    let lots = 0
    for (const d of drawers) lots += checkRange('weight', d.weight, 1, MAX_LOTS)
    if (lots > MAX_LOTS) throw new RangeError(`weights add up to ${lots}; a set of backends takes at most ${MAX_LOTS}`)
    const all = new Int32Array(2 * lots)
    // Two lots that are the same for every flow would leave one backend without any: the later one draws another.
    const taken = new Set<number>()
    let n = 0
    for (const d of drawers) {
      for (let w = 0; w < d.weight; w++) {
        let salt = mix((d.salt + Math.imul(w, 0x9e3779b1)) | 0)
        while (taken.has(salt)) salt = mix((salt + 1) | 0)
        taken.add(salt)
        all[n] = salt
        all[lots + n++] = d.row
      }
    }
    this.#lots = all
    this.lots = lots
  }

  /** The row of the backend that the flow with this key goes to, or `NOBODY`. */
  pick(key: number): number {
    const all = this.#lots
    const { lots } = this
    let best = -0x8000_0000
    let winner = NOBODY
    for (let i = 0; i < lots; i++) {
      // `mix` written out, without its first step, which the key has had: 2.5 ns a lot.
      let h = Math.imul(key ^ all[i], 0x21f0aaad)
      h = Math.imul(h ^ (h >>> 15), 0x735a2d97)
      h ^= h >>> 15
      if (h >= best) {
        best = h
        winner = i
      }
    }
    return winner === NOBODY ? NOBODY : all[lots + winner]
  }
}
