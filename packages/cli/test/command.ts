import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/*
 * Runs the command as a child process, as a shell would: what people run, where `npm test` has just compiled it (it says so by
 * L2L3_COMPILED), for that starts in a third of the time; else from source.
 */

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
/** What `node` is told to run the command. */
export const NODE: string[] =
  process.env.L2L3_COMPILED === '1'
    ? [at('../bin/l2l3.js')]
    : ['--conditions=@l2l3/source', '--import', import.meta.resolve('tsx'), at('../src/main.ts')]

export interface Ended {
  status: number | null
  stdout: string
  stderr: string
}

const running: Set<{ child: ChildProcess; ended: Promise<Ended> }> = new Set()

/** Asks those that still run to stop, as after a test that failed, and waits for them. */
export async function stopAll(): Promise<void> {
  for (const { child, ended } of running) {
    child.kill('SIGTERM')
    await ended
  }
}

/** Starts `l2l3 ...args`, as the leader of a process group as a shell would; `ended` settles when it has ended. `stdout` is the file its output goes to, if to one; `uid` whose
 * process it is, where root starts it. */
export function start(
  args: string[],
  env: Record<string, string> = {},
  stdout: number | 'pipe' = 'pipe',
  uid?: number,
): { child: ChildProcess; ended: Promise<Ended>; said: (text: string) => Promise<void> } {
  const child = spawn(process.execPath, [...NODE, ...args], {
    env: { ...process.env, ...env },
    stdio: ['pipe', stdout, 'pipe'],
    detached: true,
    ...(uid === undefined ? {} : { uid }),
  })
  const out: Ended = { status: null, stdout: '', stderr: '' }
  const waiting: { text: string; resolve: () => void }[] = []
  const hear = (stream: 'stdout' | 'stderr') => (data: Buffer) => {
    out[stream] += data
    for (const w of waiting) if (out.stdout.includes(w.text) || out.stderr.includes(w.text)) w.resolve()
  }
  child.stdout?.on('data', hear('stdout'))
  child.stderr?.on('data', hear('stderr'))
  const ended = new Promise<Ended>((resolve) => child.on('close', (status) => resolve({ ...out, status })))
  /** Settles when it has said something; rejects where it ends without. */
  const said = (text: string): Promise<void> =>
    new Promise((resolve, reject) => {
      if (out.stdout.includes(text) || out.stderr.includes(text)) resolve()
      else waiting.push({ text, resolve })
      void ended.then((end) => reject(new Error(`it ended without saying "${text}": ${JSON.stringify(end)}`)))
    })
  const started = { child, ended, said }
  running.add(started)
  void ended.then(() => running.delete(started))
  return started
}

/** Runs `l2l3 ...args` to its end. */
export function l2l3(
  args: string[],
  env: Record<string, string> = {},
  stdout: number | 'pipe' = 'pipe',
  uid?: number,
): Promise<Ended> {
  return start(args, env, stdout, uid).ended
}
