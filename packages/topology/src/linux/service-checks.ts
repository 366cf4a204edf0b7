import { type CheckResult, judge, judgeCount } from '../check-result.ts'
import type { CheckSpec } from '../topology.ts'
import { Inside, ownProgram } from './inside.ts'
import { installed } from './ip.ts'
import type { CheckPlace } from './linux-checks.ts'

/*
 * Checks that need somebody to answer: a server in the namespace of each endpoint that may be asked, and a client. Where
 * several may be asked because something on the way chooses, the result says which one it was.
 */

/** Ports to go to where the other end is not an endpoint, and the check does not say. */
const TCP_PORT = 5001
const ECHO_PORT = 7
const HTTP_PORT = 80

/** A server in the namespace of an endpoint. */
interface Serving {
  readonly name: string
  readonly program: Inside
}

/** What could not be tried has not failed: it is not ok where failing is expected, either. */
export function untried(check: CheckSpec, why: string): CheckResult {
  return { ...judge(check, false, `could not be tried: ${why}`), ok: false }
}

/** Starts the servers: `program serve ADDRESS PORT ...`, with port 0 for one that it chooses. They say their port. */
function serve(
  check: CheckSpec,
  { servers, signal }: CheckPlace,
  program: string,
  port: number,
  rest: (name: string) => (string | number)[] = () => [],
): Serving[] {
  return check.servers.flatMap((endpoint, i) => {
    const own = endpoint.addresses.filter((a) => a.family === check.address.family)
    const at = own.find((a) => a.text === check.address.text) ?? own[0]
    if (at === undefined) return []
    const { name } = endpoint
    const command = ownProgram(program, 'serve', at.text, port, ...rest(name))
    return [{ name, program: new Inside(servers[i] as string, command, signal) }]
  })
}

/** Starts the servers, has the client at it, and ends all. `client` gets the port that the first server listens at. */
async function withServers(
  check: CheckSpec,
  serving: readonly Serving[],
  client: (port: number | null) => Promise<CheckResult>,
): Promise<CheckResult> {
  try {
    const ready = await Promise.all(serving.map(({ program }) => program.next<{ port: number }>()))
    const dead = serving[ready.indexOf(undefined)]
    if (dead !== undefined) {
      return untried(check, `the server did not start: ${(await dead.program.finished).said}`)
    }
    return await client(ready[0]?.port ?? null)
  } finally {
    for (const { program } of serving) program.kill()
  }
}

/** Where one of several was asked, which. */
function whereText(serving: readonly Serving[], name: string | undefined): string {
  return serving.length > 1 && name !== undefined ? `, at ${name}` : ''
}

/** The first server that says something more than its port, and what. */
async function firstToSay<T>(serving: readonly Serving[]): Promise<(T & { readonly name: string }) | undefined> {
  const said = serving.map(async ({ name, program }) => {
    const line = await program.next<T>()
    if (line === undefined) throw new Error('it ended')
    return { ...line, name }
  })
  return Promise.any(said).catch(() => undefined)
}

interface Served {
  readonly bytes: number
  readonly intact: boolean
  readonly seconds: number
}

export async function tcpCheck(check: CheckSpec, place: CheckPlace): Promise<CheckResult> {
  const { address, bytes, timeout } = check
  const serving = serve(check, place, 'tcp.mjs', check.serverPort ?? 0)
  return withServers(check, serving, async (chosen) => {
    const command = ownProgram('tcp.mjs', 'send', address.text, check.port ?? chosen ?? TCP_PORT, bytes)
    const { code, said, late } = await new Inside(place.from, command, place.signal).within(timeout)
    if (late) return judge(check, false, `not done after ${timeout} s`)
    if (code !== 0) return judge(check, false, said)
    if (serving.length === 0) return judge(check, true, `${bytes} bytes sent`)
    const report = await firstToSay<Served>(serving)
    if (report === undefined) return judge(check, false, 'the server did not see the end')
    if (!report.intact || report.bytes !== bytes) return judge(check, false, 'the payload came damaged')
    const bitsPerSecond = (bytes * 8) / Math.max(report.seconds, 1e-6)
    return judge(check, true, `${bytes} bytes, all intact${whereText(serving, report.name)}`, { bitsPerSecond })
  })
}

interface Echoed {
  readonly received: number
  readonly intact: boolean
  readonly rttMs: number | null
}

export async function udpCheck(check: CheckSpec, place: CheckPlace): Promise<CheckResult> {
  const { address, bytes, count, timeout } = check
  const serving = serve(check, place, 'udp.mjs', check.serverPort ?? ECHO_PORT)
  return withServers(check, serving, async (chosen) => {
    const port = check.port ?? chosen ?? ECHO_PORT
    const command = ownProgram('udp.mjs', 'ask', address.text, port, count, bytes, timeout)
    const client = new Inside(place.from, command, place.signal)
    const { output, said } = await client.within(timeout + count * 0.1 + 10)
    if (output === '') return judge(check, false, said)
    const { received, intact, rttMs } = JSON.parse(output) as Echoed
    if (!intact) return judge(check, false, 'a payload came back damaged')
    const report = received > 0 && serving.length > 1 ? await firstToSay(serving) : undefined
    const detail = `${received} of ${count} came back${whereText(serving, report?.name)}`
    return judgeCount(check, received, detail, rttMs === null ? {} : { rttMs })
  })
}

/** @param curl whether curl asks, which is where it is installed; else our own client does */
export async function httpCheck(
  check: CheckSpec,
  place: CheckPlace,
  curl: boolean = installed('curl'),
): Promise<CheckResult> {
  const { address, timeout, url, status, body } = check
  const serving = serve(check, place, 'http.mjs', check.serverPort ?? 0, (name) => [
    url,
    status,
    Buffer.from(body ?? `${name}\n`).toString('base64'),
  ])
  return withServers(check, serving, async (chosen) => {
    const host = address.family === 6 ? `[${address.text}]` : address.text
    const target = `http://${host}:${check.port ?? chosen ?? HTTP_PORT}${url}`
    const { answer, why } = await get(target, timeout, place, curl)
    if (answer === null) return judge(check, false, why)
    const expected = body === null ? serving.map(({ name }) => `${name}\n`) : [body]
    const who = serving.find(({ name }) => body === null && answer.body === `${name}\n`)
    const right = answer.status === status && (expected.length === 0 || expected.includes(answer.body))
    const size = `${Buffer.byteLength(answer.body)} bytes`
    const what = right || answer.status !== status ? size : `${size} that are not the expected ones`
    return judge(check, right, `status ${answer.status}, ${what}${whereText(serving, who?.name)}`)
  })
}

interface Answer {
  readonly status: number
  readonly body: string
}

/** Asks for a text. */
async function get(
  url: string,
  timeout: number,
  place: CheckPlace,
  curl: boolean,
): Promise<{ answer: Answer | null; why: string }> {
  const words = ['-sS', '-g', '--noproxy', '*', '-m', String(timeout), '-w', '\n%{http_code}', url]
  const command = curl ? ['curl', ...words] : ownProgram('http.mjs', 'get', url)
  const { code, output, said, late } = await new Inside(place.from, command, place.signal).within(timeout + 5)
  if (late) return { answer: null, why: `not done after ${timeout} s` }
  if (code !== 0) return { answer: null, why: said || `status ${code}` }
  const end = output.lastIndexOf('\n')
  return { answer: { status: Number(output.slice(end + 1)), body: output.slice(0, end) }, why: '' }
}
