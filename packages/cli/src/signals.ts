import { fstatSync, statSync } from 'node:fs'
import { isatty } from 'node:tty'

/*
 * Ctrl-C and its like: the first asks to stop and clean up, and cleaning up takes a moment; the third does not wait.
 *
 * SIGHUP says that the terminal has gone, which ends what ran on it. `nohup` asks that it does not, by having the signal
 * ignored; but Node resets that when it starts. What is left to see of it: none of the standard streams is a terminal,
 * and standard input is /dev/null (nohup's own doing, or `< /dev/null` of whoever detaches a process). Then SIGHUP is
 * ignored.
 */

const SIGNALS = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 } as const

/** The user or the system asked the process to stop. */
export class Interrupted extends Error {
  /** What a shell expects as the exit status: 128 and the signal's number. */
  readonly status: number

  constructor(name: keyof typeof SIGNALS) {
    super(`stopped by ${name}`)
    this.name = 'Interrupted'
    this.status = 128 + SIGNALS[name]
  }
}

/** Runs `work` with a signal that is aborted when the process is asked to stop. */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const abort = new AbortController()
  let asked = 0
  const detached = isDetached()
  const stop = (name: NodeJS.Signals): void => {
    if (name === 'SIGHUP' && detached) return
    asked++
    if (asked === 1) abort.abort(new Interrupted(name as keyof typeof SIGNALS))
    else if (asked === 2) process.stderr.write('l2l3: cleaning up; once more to leave at once\n')
    else process.exit(128 + SIGNALS[name as keyof typeof SIGNALS])
  }
  // A reader that went away (`l2l3 ... | head`) is a reason to stop as well.
  const closed = (): void => abort.abort(new Interrupted('SIGHUP'))
  for (const name of Object.keys(SIGNALS)) process.on(name as NodeJS.Signals, stop)
  process.stdout.on('error', closed)
  try {
    return await work(abort.signal)
  } finally {
    for (const name of Object.keys(SIGNALS)) process.off(name as NodeJS.Signals, stop)
    process.stdout.off('error', closed)
  }
}

/** Whether this process was started to outlive its terminal. */
function isDetached(): boolean {
  if ([0, 1, 2].some((fd) => isatty(fd))) return false
  try {
    const [input, nothing] = [fstatSync(0), statSync('/dev/null')]
    return input.isCharacterDevice() && input.rdev === nothing.rdev
  } catch {
    return false
  }
}

/** Settles when the signal is aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
