/** Gives numbers from 0 up to, not including, 1. */
export type Dice = () => number

/** Dice that fall the same way for the same seed (mulberry32): where nobody hands in others, an interface is given
 * those of its MAC, so that hosts differ and runs repeat. */
export function seededDice(seed: number): Dice {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}
