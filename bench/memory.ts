/**
 * Measures cases in interleaved rounds: each case once a round, with the loops beside it. A ratio is the median of the rounds' ratios,
 * so that what the machine does besides divides out. A run that several cases need is made once a round.
 */
import type { Case, Run } from './cases.ts'
import { median } from './figures.ts'
import { compileC, runC, runProgram } from './program.ts'

/** What was measured of a case. */
export interface Measured {
  readonly section: string
  readonly what: string
  readonly entries: string
  /** Nanoseconds: the median of `rounds`. */
  readonly ns: number
  /** Million a second. */
  readonly mpps: number
  /** Times the bare loop in JavaScript, and in C. */
  readonly toBare: number | null
  readonly toC: number | null
  /** What was wanted, in words, and whether it was reached. */
  readonly target: string | null
  readonly met: boolean | null
  readonly rounds: readonly number[]
}

interface Out {
  readonly ns: number
  /** Whether the ledger balances, where there is one. */
  readonly balanced?: boolean
}

/** Nanoseconds of one run; null where it cannot be made here. */
function once({ program, variant }: Run, time: number): number | null {
  if (program.endsWith('.c')) {
    const binary = compileC(program.slice(0, -2))
    return binary === null ? null : runC<Out>(binary, ...(variant as { words: number[] }).words, time).ns
  }
  const out = runProgram<Out>(program, { ...variant, time })
  if (out.balanced === false) throw new Error(`${program}: the ledger does not balance: ${JSON.stringify(out)}`)
  return out.ns
}

/** Measures all cases `rounds` times, `time` milliseconds a run.
 * @param say is told how far it is */
export function measureAll(
  cases: readonly Case[],
  { rounds, time, say }: { rounds: number; time: number; say: (text: string) => void },
): Measured[] {
  const found = cases.map(() => ({ ns: [] as number[], toBare: [] as number[], toC: [] as number[] }))
  for (let round = 1; round <= rounds; round++) {
    const made = new Map<string, number | null>()
    const figure = (run: Run, less?: Run): number | null => {
      const key = JSON.stringify(run)
      if (!made.has(key)) made.set(key, once(run, time))
      const value = made.get(key) ?? null
      return value === null || less === undefined ? value : value - (figure(less) ?? 0)
    }
    for (const [i, { section, what, entries, run, less, bare, c }] of cases.entries()) {
      say(`in memory, round ${round} of ${rounds}: ${section}: ${what} ${entries}`)
      const ns = figure(run, less)
      if (ns === null) continue
      const into = found[i] as (typeof found)[number]
      into.ns.push(ns)
      const [beside, inC] = [bare && figure(bare, less), c && figure(c)]
      if (beside) into.toBare.push(ns / beside)
      if (inC) into.toC.push(ns / inC)
    }
  }
  return cases.flatMap((it, i) => {
    const { ns: list, toBare, toC } = found[i] as (typeof found)[number]
    return list.length === 0 ? [] : [summary(it, list, toBare, toC)]
  })
}

function summary(it: Case, list: readonly number[], toBare: readonly number[], toC: readonly number[]): Measured {
  const ns = median(list)
  const mpps = 1e3 / ns
  const { target, atMost } = it
  const wanted = target !== undefined ? `>= ${target} M/s` : atMost !== undefined ? `<= ${atMost} ns` : null
  return {
    section: it.section,
    what: it.what,
    entries: it.entries,
    ns,
    mpps,
    toBare: toBare.length === 0 ? null : median(toBare),
    toC: toC.length === 0 ? null : median(toC),
    target: wanted,
    met: wanted === null ? null : target !== undefined ? mpps >= target : ns <= (atMost as number),
    rounds: list,
  }
}
