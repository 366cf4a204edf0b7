/**
 * Contenders in turns. A round makes each measurement of a scene on each contender before it goes on to the next one: figures that are
 * compared were taken within seconds of each other. Each measurement begins with another contender than the last.
 */
import { availableParallelism } from 'node:os'
import { progress } from '../options.ts'
import type { Figures } from './load.ts'
import { othersSeconds, quiet } from './machine.ts'
import type { Contender, Measure } from './scene.ts'

/** A measurement during which others used more than so many cores is repeated, while there is time, up to so often; the
 * least disturbed one counts. */
const DISTURBED = 0.15
const REPEATS = 2
/** Rounds that are made whatever time they take: medians of fewer say little. */
const LEAST = 5

interface Turn<T> {
  result: T
  /** Cores that others used meanwhile. */
  others: number
}

/** Gives a contender its turn: its process runs meanwhile. */
export async function turn<T>(at: Contender, work: (at: Contender) => Promise<T>): Promise<Turn<T>> {
  at.process?.signal('SIGCONT')
  const start = performance.now()
  const before = othersSeconds(at.process?.pids ?? [])
  const result = await work(at)
  const others = (othersSeconds(at.process?.pids ?? []) - before) / ((performance.now() - start) / 1e3)
  at.process?.signal('SIGSTOP')
  return { result, others: Math.min(Math.max(0, others), availableParallelism()) }
}

/** Contenders of a scene and what is measured of them. */
export interface Stage {
  readonly name: string
  readonly contenders: readonly Contender[]
  readonly measurements: readonly Measure[]
  /** Figures by contender, one entry a round: filled in. */
  readonly rounds: Record<string, Figures[]>
}

/** How long it may take. */
export interface Pace {
  readonly rounds: number
  readonly quick: boolean
  /** When the run began, by `performance.now()`. */
  readonly start: number
  /** Within so many milliseconds all rounds should be over; what a quiet machine leaves of it is for waiting and repeating on a busy
   * one. */
  readonly planned: number
}

/** Makes the measurements on all stages, round by round. Gives the cores that others used during each measurement, and the rounds that
 * were made. */
export async function turnsOf(stages: readonly Stage[], pace: Pace): Promise<{ others: number[]; done: number }> {
  const { rounds: wanted, quick, start, planned } = pace
  const others: number[] = []
  const repeats = quick ? 0 : REPEATS
  let round = 0
  /** Whether there is time to wait or to repeat, so that no later round is lost for it. */
  const spare = (): boolean => performance.now() - start < (planned * (round + 1)) / wanted
  for (let shortest = 0; round < wanted; round++) {
    const began = performance.now()
    if (round >= LEAST && began - start + shortest > planned * 1.1) break
    for (const { name, contenders, measurements, rounds } of stages) {
      const figures = new Map<string, Figures>(contenders.map((at) => [at.name, {}]))
      for (const [i, measure] of measurements.entries()) {
        progress(`round ${round + 1} of ${wanted}, ${name}, measurement ${i + 1} of ${measurements.length}`)
        for (let k = 0; k < contenders.length; k++) {
          const contender = contenders[(k + round + i) % contenders.length] as Contender
          await quiet(quick || !spare() ? 0 : 1)
          let best = await turn(contender, measure)
          for (let n = 0; n < repeats && best.others > DISTURBED && spare(); n++) {
            await quiet(1)
            const again = await turn(contender, measure)
            if (again.others < best.others) best = again
          }
          others.push(best.others)
          Object.assign(figures.get(contender.name) as Figures, best.result)
        }
      }
      for (const [who, of] of figures) (rounds[who] ??= []).push(of)
    }
    const took = performance.now() - began
    shortest = round === 0 ? took : Math.min(shortest, took)
  }
  progress('')
  return { others, done: round }
}
