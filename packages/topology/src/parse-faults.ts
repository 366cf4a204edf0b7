import type { Path } from './document.ts'
import type { Report } from './mode.ts'
import type { FaultSpec } from './topology.ts'

/* Faults as a file has them: fractions as numbers or in percent, times with their units. */

/** Faults, in the shape that the schema assures. */
export type RawFaults = {
  [K in keyof FaultSpec]?: K extends 'delay' | 'jitter' ? string : number | string
}

const UNITS: Readonly<Record<string, number>> = { ns: 1, us: 1e3, ms: 1e6, s: 1e9 }
/** The longest delay, in nanoseconds: a minute. */
const LONGEST = 60e9

/** Reads faults; null where there are none. */
export function parseFaults(raw: RawFaults | undefined, path: Path, report: Report): FaultSpec | null {
  if (raw === undefined) return null
  const time = (key: 'delay' | 'jitter'): number => {
    const [, number, unit = 'ms'] = /^([\d.]+) ?(\w+)$/.exec(raw[key] ?? '0 ms') ?? []
    const ns = Math.round(Number(number) * (UNITS[unit] as number))
    if (ns > LONGEST) report([...path, key], `expected a minute at most, not "${raw[key]}"`)
    return ns
  }
  const { loss, duplicate, corrupt, reorder } = raw
  return {
    ...{ loss: fraction(loss), duplicate: fraction(duplicate), corrupt: fraction(corrupt), reorder: fraction(reorder) },
    ...{ delay: time('delay'), jitter: time('jitter') },
  }
}

/** Reads 0.01 or "1%". */
function fraction(raw: number | string = 0): number {
  return typeof raw === 'number' ? raw : Number(raw.replace(/ ?%$/, '')) / 100
}
