/**
 * Contenders in turns. A round makes each measurement on each contender before it goes on to the next one: figures that are
 * compared were taken within seconds of each other. Each measurement begins with another contender than the last.
 */
import { availableParallelism } from 'node:os'
import type { Contender } from './contenders.ts'
import type { Figures } from './load.ts'
import { othersSeconds, quiet } from './machine.ts'

/** No round begins that would probably not end within this, in milliseconds. */
const TIME_LIMIT = 355_000
/** Within this all rounds should be over; what a quiet machine leaves of it is for waiting and repeating on a busy one. */
const TIME_PLANNED = 320_000

/** A measurement during which others used more than so many cores is repeated, while there is time, up to so often; the
 * least disturbed one counts. */
const DISTURBED = 0.15
const REPEATS = 2

/** Says on the terminal how far it is. */
export function progress(text: string): void {
  process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${text}` : text === '' ? '' : `${text}\n`)
}

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

/** What turns have given. */
export interface Turns<N extends string> {
  /** Figures by contender, one entry a round. */
  rounds: Partial<Record<N, Figures[]>>
  /** Cores that others used during each measurement. */
  others: number[]
  /** Rounds that there was time for. */
  done: number
}

/** Makes the measurements on the contenders, round by round.
 * @param start when the run began, by `performance.now()` */
export async function turnsOf<N extends string>(
  contenders: readonly Contender<N>[],
  measurements: readonly ((at: Contender) => Promise<Figures>)[],
  { rounds: wanted, quick, start }: { rounds: number; quick: boolean; start: number },
): Promise<Turns<N>> {
  const rounds: Partial<Record<N, Figures[]>> = {}
  for (const { name } of contenders) rounds[name] = []
  const others: number[] = []
  const repeats = quick ? 0 : REPEATS
  /** Whether there is time to wait or to repeat, so that no later round is lost for it. */
  const spare = () => performance.now() - start < (TIME_PLANNED * (round + 1)) / wanted
  let round = 0
  for (let shortest = 0; round < wanted; round++) {
    const began = performance.now()
    if (round > 0 && began - start + shortest > TIME_LIMIT) {
      progress(`out of time after ${round} of ${wanted} rounds\n`)
      break
    }
    const figures = new Map<N, Figures>(contenders.map(({ name }) => [name, {}]))
    for (const [i, measure] of measurements.entries()) {
      progress(`round ${round + 1} of ${wanted}, measurement ${i + 1} of ${measurements.length}`)
      for (let k = 0; k < contenders.length; k++) {
        const contender = contenders[(k + round + i) % contenders.length] as Contender<N>
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
    for (const [name, of] of figures) rounds[name]?.push(of)
    const took = performance.now() - began
    shortest = round === 0 ? took : Math.min(shortest, took)
  }
  progress('')
  return { rounds, others, done: round }
}
