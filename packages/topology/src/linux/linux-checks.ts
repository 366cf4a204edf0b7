import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { type CheckResult, judge, judgeNeighbour, judgeTrace, skip } from '../check-result.ts'
import type { CheckKind, CheckSpec } from '../topology.ts'
import { environment, installed } from './ip.ts'

/*
 * Checks between namespaces, by programs that run inside them: the system's `ping` where it is installed, else the one
 * of tap-io; and for TCP this project's own server and client. All are children that end with this process, and at
 * once when the signal says so.
 */

const TCP_PROGRAM: string = fileURLToPath(new URL('../../programs/tcp.mjs', import.meta.url))
/** Port to connect to where the other end is not an endpoint. */
const TCP_PORT = 5001

/** Where a check runs. */
export interface CheckPlace {
  /** Namespace of the endpoint that starts. */
  readonly from: string
  /** Namespaces of the endpoints that may take a transfer in, in the check's order. */
  readonly servers: readonly string[]
  readonly signal: AbortSignal
}

/** Tries a check. Rejects with the signal's reason when it is told to stop. */
export async function linuxCheck(check: CheckSpec, place: CheckPlace): Promise<CheckResult> {
  const result = (await CHECKS[check.kind]?.(check, place)) ?? skip(check, 'it is tried in memory only')
  place.signal.throwIfAborted()
  return result
}

const CHECKS: Partial<Record<CheckKind, (check: CheckSpec, place: CheckPlace) => Promise<CheckResult>>> = {
  ping: pingCheck,
  tcp: tcpCheck,
  traceroute: traceCheck,
  neigh: neighbourCheck,
}

function pingCheck(check: CheckSpec, place: CheckPlace): Promise<CheckResult> {
  return installed('ping') ? systemPing(check, place) : ownPing(check, place)
}

async function systemPing(check: CheckSpec, place: CheckPlace): Promise<CheckResult> {
  const { address, count, bytes, timeout } = check
  const numbers = ['-c', String(count), '-s', String(bytes), '-i', '0.2', '-W', String(timeout)]
  const child = inside(place.from, ['ping', '-n', `-${address.family}`, ...numbers, address.text], place.signal)
  const timer = setTimeout(() => child.kill('SIGKILL'), (count * 0.2 + timeout + 3) * 1000)
  const { output, said } = await finished(child)
  clearTimeout(timer)
  const received = Number(/(\d+) received/.exec(output)?.[1] ?? 0)
  const rtt = /= [\d.]+\/([\d.]+)\//.exec(output)?.[1]
  return pingResult(check, received, rtt === undefined ? undefined : Number(rtt), said)
}

async function ownPing(check: CheckSpec, place: CheckPlace): Promise<CheckResult> {
  const { ping } = await import('@l2l3/tap-io')
  const { address, count, timeout } = check
  const timeoutMs = Math.round(timeout * 1000)
  try {
    const { received, rttMs } = await ping({ to: address.text, count, netns: place.from, timeoutMs })
    const mean = rttMs.length === 0 ? undefined : rttMs.reduce((sum, ms) => sum + ms, 0) / rttMs.length
    return pingResult(check, received, mean, '')
  } catch (error) {
    return judge(check, false, (error as Error).message)
  }
}

function pingResult(check: CheckSpec, received: number, rttMs: number | undefined, said: string): CheckResult {
  const answers = `${received} of ${check.count} answered`
  const why = received === 0 && said !== '' ? `: ${said}` : ''
  return judge(check, received === check.count, answers + why, rttMs === undefined ? {} : { rttMs })
}

/** Longest path that is looked for. */
const HOPS = 16

/** One probe a hop and one at a time: hosts answer few in a second. */
async function traceCheck(check: CheckSpec, place: CheckPlace): Promise<CheckResult> {
  if (!installed('traceroute')) return skip(check, 'the program traceroute is missing: apt-get install traceroute')
  const { address, family, timeout } = { ...check, family: check.address.family }
  const numbers = ['-q', '1', '-N', '1', '-m', String(HOPS), '-w', String(timeout)]
  const child = inside(place.from, ['traceroute', '-n', `-${family}`, ...numbers, address.text], place.signal)
  const timer = setTimeout(() => child.kill('SIGKILL'), (HOPS * timeout + 3) * 1000)
  const { output, said, code } = await finished(child)
  clearTimeout(timer)
  const hops = Array.from(output.matchAll(/^ *\d+ +(\S+)/gm), ([, hop]) => (hop === '*' ? null : (hop as string)))
  return hops.length === 0
    ? judge(check, false, said || `traceroute ended with status ${code}`)
    : judgeTrace(check, hops)
}

async function neighbourCheck(check: CheckSpec, place: CheckPlace): Promise<CheckResult> {
  const { text } = check.address
  const { output } = await finished(
    inside(place.from, ['ip', 'neigh', 'show', 'to', text, 'dev', 'eth0'], place.signal),
  )
  return judgeNeighbour(check, /lladdr ([0-9a-f:]{17})/.exec(output)?.[1] ?? null)
}

interface Served {
  bytes: number
  intact: boolean
  seconds: number
}

/** A server in the namespace of an endpoint, and the lines that it says. */
interface Serving {
  readonly name: string
  readonly child: ChildProcessWithoutNullStreams
  readonly ended: Promise<Finished>
  readonly next: <T>() => Promise<T | undefined>
}

function serve(check: CheckSpec, { servers, signal }: CheckPlace): Serving[] {
  return check.servers.flatMap((endpoint, i) => {
    const own = endpoint.addresses.filter((a) => a.family === check.address.family)
    const at = own.find((a) => a.text === check.address.text) ?? own[0]
    if (at === undefined) return []
    const port = check.serverPort === null ? [] : [String(check.serverPort)]
    const command = [process.execPath, TCP_PROGRAM, 'serve', at.text, ...port]
    const child = inside(servers[i] as string, command, signal)
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    const next = async <T>(): Promise<T | undefined> => {
      const line = await lines.next()
      return line.done === true ? undefined : (JSON.parse(line.value) as T)
    }
    return [{ name: endpoint.name, child, ended: finished(child), next }]
  })
}

async function tcpCheck(check: CheckSpec, place: CheckPlace): Promise<CheckResult> {
  const { address, bytes, timeout } = check
  const serving = serve(check, place)
  let client: ChildProcessWithoutNullStreams | undefined
  let late = false
  let timer: NodeJS.Timeout | undefined
  try {
    const ready = await Promise.all(serving.map(({ next }) => next<{ port: number }>()))
    const dead = ready.indexOf(undefined)
    if (dead >= 0) return judge(check, false, `the server did not start: ${(await serving[dead]?.ended)?.said}`)
    const port = check.port ?? ready[0]?.port ?? TCP_PORT
    const command = [process.execPath, TCP_PROGRAM, 'send', address.text, String(port), String(bytes)]
    client = inside(place.from, command, place.signal)
    timer = setTimeout(() => {
      late = true
      client?.kill('SIGKILL')
      for (const { child } of serving) child.kill('SIGKILL')
    }, timeout * 1000)
    const { code, said } = await finished(client)
    if (late) return judge(check, false, `not done after ${timeout} s`)
    if (code !== 0) return judge(check, false, said)
    if (serving.length === 0) return judge(check, true, `${bytes} bytes sent`)
    const report = await Promise.any(
      serving.map(async ({ name, next }) => {
        const served = await next<Served>()
        if (served === undefined) throw new Error('it ended')
        return { ...served, name }
      }),
    ).catch(() => undefined)
    if (report === undefined) return judge(check, false, 'the server did not see the end')
    if (!report.intact || report.bytes !== bytes) return judge(check, false, 'the payload came damaged')
    const bitsPerSecond = (bytes * 8) / Math.max(report.seconds, 1e-6)
    const where = serving.length > 1 ? `, at ${report.name}` : ''
    return judge(check, true, `${bytes} bytes, all intact${where}`, { bitsPerSecond })
  } finally {
    clearTimeout(timer)
    client?.kill('SIGKILL')
    for (const { child } of serving) child.kill('SIGKILL')
  }
}

/** Starts a program in a namespace. Its standard input stays open as long as this process lives. It is in a process
 * group of its own: Ctrl-C is for this process, which ends it by the signal, and not for a check to fail by. */
function inside(namespace: string, command: string[], signal: AbortSignal): ChildProcessWithoutNullStreams {
  const child = spawn('ip', ['netns', 'exec', namespace, ...command], {
    signal,
    killSignal: 'SIGKILL',
    detached: true,
    env: environment(),
  })
  child.stdin.on('error', () => {})
  return child
}

interface Finished {
  readonly code: number | null
  readonly output: string
  /** The last line on standard error. */
  readonly said: string
}

function finished(child: ChildProcessWithoutNullStreams): Promise<Finished> {
  return new Promise((resolve) => {
    let output = ''
    let errors = ''
    child.stdout.on('data', (data) => {
      output += data
    })
    child.stderr.on('data', (data) => {
      errors += data
    })
    child.on('error', (error) => {
      errors += error.message
    })
    child.on('close', (code) => {
      resolve({ code, output, said: errors.trim().split('\n').at(-1) ?? '' })
    })
  })
}
