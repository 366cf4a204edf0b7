/**
 * The options that all benches have: --quick, --rounds N, --json FILE; and how they say how far they are. A bench may have more.
 */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type parseArgs as Parse, type ParseArgsConfig, parseArgs } from 'node:util'

type More = NonNullable<ParseArgsConfig['options']>
type ValuesOf<T extends More> = ReturnType<typeof Parse<{ options: T }>>['values']

/** Says what is wrong with the command line, and ends. */
export function usage(message: string): never {
  process.stderr.write(`${message}\n`)
  process.exit(2)
}

/** A number above 0 from an option's text. */
export function positive(name: string, text: string): number {
  const value = Number(text)
  return value > 0 && Number.isFinite(value) ? value : usage(`--${name} must be a number above 0, not ${text}`)
}

/** What the options say that all benches have. */
export interface CommonOptions {
  /** Fewer and shorter measurements. */
  readonly quick: boolean
  readonly rounds: number
  /** Where the report goes. */
  readonly json: string
}

/** Reads the command line; ends the process with a sentence where it cannot.
 * @param name of the report: bench/results/NAME.json, unless --json says otherwise
 * @param more options of this bench alone */
export function benchOptions<T extends More>(name: string, more: T): CommonOptions & ValuesOf<T> {
  const common = { quick: { type: 'boolean' }, rounds: { type: 'string' }, json: { type: 'string' } } as const
  try {
    const { values } = parseArgs({ options: { ...common, ...more } })
    const { quick = false, rounds, json } = values as { quick?: boolean; rounds?: string; json?: string }
    const wanted = rounds === undefined ? (quick ? 3 : 5) : Math.ceil(positive('rounds', rounds))
    const file = json ?? fileURLToPath(new URL(`results/${name}.json`, import.meta.url))
    return { ...(values as ValuesOf<T>), quick, rounds: wanted, json: join(file) }
  } catch (error) {
    return usage((error as Error).message)
  }
}

/** Says on standard error how far it is; an empty text ends that. */
export function progress(text: string): void {
  process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${text}` : text === '' ? '' : `${text}\n`)
}
