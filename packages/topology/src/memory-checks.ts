import { SECOND } from '@l2l3/switch-core'
import { ipText } from './address.ts'
import {
  type CheckResult,
  judge,
  judgeArp,
  judgeCount,
  judgeDrops,
  judgeNeighbour,
  judgeTrace,
} from './check-result.ts'
import type { Fabric } from './fabric.ts'
import { HOPS } from './host/echo.ts'
import type { MemoryHost } from './host/memory-host.ts'
import type { Rounds } from './rounds.ts'
import type { CheckKind, CheckSpec } from './topology.ts'
import { watchPath } from './trace/check-path.ts'

/* Checks in memory: a small host begins something, and the world goes on until that is done, or its time is up. */

/** Where a check is tried. */
export interface MemoryPlace {
  readonly fabric: Fabric
  host(name: string): MemoryHost
  /** Goes on until `done` says so, or for so many nanoseconds. */
  until(done: () => boolean, ns: number): Rounds<boolean>
}

type Trial = (check: CheckSpec, place: MemoryPlace) => Rounds<CheckResult>

/** Tries a check. */
export function* memoryCheck(check: CheckSpec, place: MemoryPlace): Rounds<CheckResult> {
  const { pool } = place.fabric.ground
  const before = typeof check.expect === 'string' ? null : pool.report()
  let watch = watchPath(place.fabric, check)
  try {
    let result = yield* TRIALS[check.kind](check, place)
    if (watch !== null) result = watch.judge(result)
    watch = null
    return before === null ? result : judgeDrops(result, before, pool.report())
  } finally {
    // Whoever gives a check up no longer follows its packet.
    watch?.judge(judge(check, false, ''))
  }
}

const TRIALS: Readonly<Record<CheckKind, Trial>> = {
  ping,
  tcp,
  udp,
  http,
  arp,
  traceroute,
  neigh,
}

const NO_ROUTE = 'no route to the address'
const HTTP_PORT = 80

function* ping(check: CheckSpec, place: MemoryPlace): Rounds<CheckResult> {
  const { address, count, bytes } = check
  const timeout = nanoseconds(check)
  const series = place.host(check.from.name).ping(address.bytes, count, bytes, timeout)
  yield* place.until(() => series.done, (count + 1) * timeout)
  const answers = `${series.received} of ${count} answered`
  return judgeCount(check, series.received, series.problem === null ? answers : `${answers}: ${series.problem}`)
}

function* traceroute(check: CheckSpec, place: MemoryPlace): Rounds<CheckResult> {
  const timeout = nanoseconds(check)
  const trace = place.host(check.from.name).traceroute(check.address.bytes, timeout)
  yield* place.until(() => trace.done, timeout * (HOPS + 1))
  if (trace.problem !== null) return judge(check, false, trace.problem)
  return judgeTrace(
    check,
    trace.hops.map((hop) => (hop === null ? null : ipText(hop))),
  )
}

function* tcp(check: CheckSpec, place: MemoryPlace): Rounds<CheckResult> {
  const { address, bytes, port, serverPort } = check
  const ends = serversOf(check, place)
  if (serverPort !== null) for (const end of ends) end.listen(serverPort)
  const transfer = place.host(check.from.name).transfer(address.bytes, bytes, port ?? undefined)
  if (transfer === null) return judge(check, false, NO_ROUTE)
  const { connection } = transfer
  const open = (): boolean => connection.state === 'connecting' || connection.state === 'open'
  yield* place.until(() => !open(), nanoseconds(check))
  if (connection.state !== 'done') {
    const why = open() ? 'no answer in time' : `connection: ${connection.state}`
    connection.abandon()
    return judge(check, false, why)
  }
  const end = ends.find((host) => host.receiver(transfer) !== undefined)
  const receiver = end?.receiver(transfer)
  if (receiver === undefined && ends.length > 0) {
    return judge(check, false, `it arrived at another than ${ends.map((host) => host.name).join(', ')}`)
  }
  const whole = receiver === undefined || (receiver.intact && receiver.bytes === bytes)
  const where = ends.length > 1 ? `, at ${end?.name}` : ''
  return judge(check, whole, whole ? `${bytes} bytes, all intact${where}` : 'the payload came damaged')
}

function* udp(check: CheckSpec, place: MemoryPlace): Rounds<CheckResult> {
  const { address, count, bytes, port, serverPort } = check
  const ends = serversOf(check, place)
  if (serverPort !== null) for (const end of ends) end.echo(serverPort)
  const before = ends.map((end) => end.echoed)
  const timeout = nanoseconds(check)
  const series = place.host(check.from.name).datagrams(address.bytes, count, bytes, timeout, port ?? undefined)
  yield* place.until(() => series.done, (count + 1) * timeout)
  if (!series.intact) return judge(check, false, 'a payload came back damaged')
  const end = ends.find((host, i) => host.echoed > (before[i] as number))
  if (end === undefined && series.received > 0 && ends.length > 0) {
    return judge(check, false, `it came back from another than ${ends.map((host) => host.name).join(', ')}`)
  }
  const where = ends.length > 1 && end !== undefined ? `, at ${end.name}` : ''
  const why = series.problem === null ? '' : `: ${series.problem}`
  return judgeCount(check, series.received, `${series.received} of ${count} came back${where}${why}`)
}

function* http(check: CheckSpec, place: MemoryPlace): Rounds<CheckResult> {
  const { address, port, serverPort, url, status, body } = check
  const ends = serversOf(check, place)
  for (const end of ends) end.serve(serverPort ?? HTTP_PORT, { url, status, body: body ?? `${end.name}\n` })
  const request = place.host(check.from.name).get(address.bytes, port ?? HTTP_PORT, url)
  if (request === null) return judge(check, false, NO_ROUTE)
  const { answer, connection } = request
  const open = (): boolean => connection.state === 'connecting' || connection.state === 'open'
  yield* place.until(() => answer.done || !open(), nanoseconds(check))
  if (answer.status === null) {
    const why = open() && !answer.done ? 'no answer in time' : `connection: ${connection.state}`
    connection.abandon()
    return judge(check, false, why)
  }
  const expected = body === null ? ends.map(({ name }) => `${name}\n`) : [body]
  const who = ends.find(({ name }) => body === null && answer.body === `${name}\n`)
  const right = answer.status === status && (expected.length === 0 || expected.includes(answer.body))
  const size = `${new TextEncoder().encode(answer.body).length} bytes`
  const what = right || answer.status !== status ? size : `${size} that are not the expected ones`
  const where = ends.length > 1 && who !== undefined ? `, at ${who.name}` : ''
  return judge(check, right, `status ${answer.status}, ${what}${where}`)
}

function* arp(check: CheckSpec, place: MemoryPlace): Rounds<CheckResult> {
  const { address, count, from } = check
  const timeout = nanoseconds(check)
  const series = place.host(from.name).arping(address.bytes, count, timeout)
  if (series === null) return judge(check, false, `${from.name} has no IPv4 address`)
  yield* place.until(() => series.done, count * SECOND + timeout)
  return judgeArp(check, series.macs)
}

function* neigh(check: CheckSpec, place: MemoryPlace): Rounds<CheckResult> {
  // What the checks before have sent is done with.
  yield* place.until(() => true, 0)
  return judgeNeighbour(check, place.host(check.from.name).neighbours.get(check.address.bytes))
}

/** The hosts that may be asked. */
function serversOf({ servers }: CheckSpec, place: MemoryPlace): MemoryHost[] {
  return servers.map(({ name }) => place.host(name))
}

function nanoseconds({ timeout }: CheckSpec): number {
  return Math.round(timeout * SECOND)
}
