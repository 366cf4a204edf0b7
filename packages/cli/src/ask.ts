import { connect } from 'node:net'
import type { LiveTraceReport, Snapshot, Trace } from '@l2l3/topology'
import type { ChangeText, TraceQuestion } from './control.ts'

/* The other end of the control socket: questions to a topology that runs. What is said there is drawn in `control`. */

/** Milliseconds that an answer may take; a change of what runs may need namespaces made. */
const PATIENCE = 10_000
const APPLYING = 120_000
/** Milliseconds in which the end of a trace comes once it was stopped. */
const LAST_WORDS = 3000

/** What a line of an answer may have. */
interface Line {
  readonly snapshot?: Snapshot
  readonly changes?: readonly ChangeText[]
  readonly trace?: Trace
  readonly end?: true
  readonly skipped?: number
  readonly seen?: number
  readonly matched?: number
  readonly traced?: number
  readonly down?: true
  readonly error?: string
}

/** Asks for the state of a running topology. */
export async function askSnapshot(path: string): Promise<Snapshot> {
  const { snapshot } = await one(path, { ask: 'snapshot' }, PATIENCE)
  if (snapshot === undefined) throw new Error('the running topology gave an answer without a snapshot')
  return snapshot
}

/** Asks what a topology's text changes of what runs; unless `dry`, the changes are made. */
export async function askApply(
  path: string,
  topology: string,
  file: string,
  dry: boolean,
): Promise<readonly ChangeText[]> {
  const { changes } = await one(path, { ask: 'apply', topology, file, dry }, APPLYING)
  if (changes === undefined) throw new Error('the running topology gave an answer without changes')
  return changes
}

/** Asks a running topology to end. It has heard when this settles, and ends then. */
export async function askDown(path: string): Promise<void> {
  await one(path, { ask: 'down' }, PATIENCE)
}

/** Follows frames in a running topology. Settles when there were as many as asked, or when the signal stops it, with how many
 * there were and how many traces were left out since they came too fast to be read. */
export async function askTrace(
  path: string,
  question: TraceQuestion,
  onTrace: (trace: Trace) => void,
  signal?: AbortSignal,
): Promise<LiveTraceReport & { readonly skipped: number }> {
  let report = { seen: 0, matched: 0, traced: 0, skipped: 0 }
  await talk(path, { ask: 'trace', ...question }, 0, signal, (line) => {
    if (line.trace !== undefined) onTrace(line.trace)
    if (line.end !== true) return false
    const { seen = 0, matched = 0, traced = 0, skipped = 0 } = line
    report = { seen, matched, traced, skipped }
    return true
  })
  return report
}

async function one(path: string, question: object, patience: number): Promise<Line> {
  let first: Line = {}
  await talk(path, question, patience, undefined, (line) => {
    first = line
    return true
  })
  return first
}

/** Asks, and hands over line by line until `heard` has heard enough. Rejects with what the other end says is wrong. */
function talk(
  path: string,
  question: object,
  patience: number,
  signal: AbortSignal | undefined,
  heard: (line: Line) => boolean,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(path)
    let text = ''
    const stop = (): void => {
      socket.destroy()
      resolve()
    }
    const fail = (error: unknown): void => {
      socket.destroy()
      reject(error)
    }
    // To the other end it is enough that this one says no more: what there is to say yet comes then.
    const enough = (): void => {
      socket.end()
      socket.setTimeout(LAST_WORDS, stop)
    }
    if (signal?.aborted) return stop()
    signal?.addEventListener('abort', enough, { once: true })
    socket.setTimeout(patience, () => fail(new Error('no answer from the running topology')))
    socket.setEncoding('utf8')
    socket.on('connect', () => socket.write(`${JSON.stringify(question)}\n`))
    socket.on('error', (error: NodeJS.ErrnoException) => fail(new Error(unreachable(path, error))))
    socket.on('close', () => {
      signal?.removeEventListener('abort', enough)
      reject(new Error('the running topology ended before it answered'))
    })
    socket.on('data', (data: string) => {
      text += data
      try {
        for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
          const line = JSON.parse(text.slice(0, end)) as Line
          text = text.slice(end + 1)
          if (line.error !== undefined) return fail(new Error(line.error))
          if (heard(line)) return stop()
        }
      } catch (error) {
        fail(error)
      }
    })
  })
}

function unreachable(path: string, { code, message }: NodeJS.ErrnoException): string {
  if (code === 'EACCES') return `you are not allowed to ask at ${path}: only its owner is; try with sudo`
  if (code === 'ENOENT' || code === 'ECONNREFUSED') return `the running topology does not answer questions at ${path}`
  return `the running topology cannot be asked at ${path}: ${message}`
}
