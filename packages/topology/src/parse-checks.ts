import { type Address, onLink, parseIp, parseMac } from './address.ts'
import { attempt } from './attempt.ts'
import { didYouMean } from './did-you-mean.ts'
import type { Report } from './mode.ts'
import { isNobodys, noRoute } from './reach.ts'
import type { CheckKind, CheckSpec, EndpointSpec, Expectation, NodeSpec } from './topology.ts'

/* The checks of a topology file. One that names no IP version becomes one check for each that both ends have. */

interface RawTrial {
  from: string
  to: string
  family?: 4 | 6
  timeout?: number
  count?: number
  bytes?: number | string
  via?: string[]
  mac?: string
  port?: number
  server?: string | string[]
  serverPort?: number
  url?: string
  status?: number
  body?: string
}

const KINDS: readonly CheckKind[] = ['ping', 'tcp', 'udp', 'http', 'arp', 'traceroute', 'neigh']
/** Seconds until an answer counts as absent, where it is not 2. */
const TIMEOUTS: Partial<Record<CheckKind, number>> = { tcp: 30, http: 10 }
/** Port of HTTP. */
const HTTP_PORT = 80

/** A check as the file has it, in the shape that the schema assures. */
export interface RawCheck extends Partial<Record<CheckKind, RawTrial>> {
  expect?: Expectation
  path?: string[]
}

/** Resolves the names in checks; reports those that mean nothing, and those that cannot work. */
export function parseChecks(raw: readonly RawCheck[], nodes: readonly NodeSpec[], report: Report): CheckSpec[] {
  const endpoints = nodes.flatMap((node) => node.ports.flatMap((port) => port.endpoint ?? []))
  const places = nodes.flatMap((node) => [node.name, ...node.ports.map((port) => port.label)])
  const byName = new Map(endpoints.flatMap((e) => [[e.name, e] as const, [`${e.node}/${e.name}`, e] as const]))
  const names = endpoints.map((e) => e.name)
  const checks: CheckSpec[] = []
  raw.forEach((item, i) => {
    const kind = KINDS.find((k) => item[k] !== undefined) as CheckKind
    const trial = item[kind] as RawTrial
    const path = ['checks', i, kind]
    const from = byName.get(trial.from)
    if (from === undefined) {
      const hint = didYouMean(trial.from, names) || `; there are ${names.join(', ')}`
      report([...path, 'from'], `there is no endpoint "${trial.from}"${hint}`)
    }
    const target = byName.get(trial.to) ?? null
    let addresses: readonly Address[] = target?.addresses ?? []
    if (target === null) {
      try {
        addresses = [parseIp(trial.to)]
      } catch {
        const hint = didYouMean(trial.to, names) || '; expected an endpoint or an IP address'
        report([...path, 'to'], `there is no endpoint "${trial.to}"${hint}`)
        return
      }
    }
    const via = (trial.via ?? []).flatMap((text, j) => attempt(report, [...path, 'via', j], () => parseIp(text)) ?? [])
    const { mac: text } = trial
    const mac = text === undefined ? undefined : attempt(report, [...path, 'mac'], () => parseMac(text))
    const bytes = trial.bytes === undefined ? (kind === 'tcp' ? 1_000_000 : 56) : size(trial.bytes)
    const expect = item.expect ?? 'pass'
    ;(item.path ?? []).forEach((place, j) => {
      if (places.includes(place)) return
      const hint =
        didYouMean(place, places) || `; there are ${nodes.map((node) => node.name).join(', ')}, and their ports`
      report(['checks', i, 'path', j], `there is no node or port "${place}"${hint}`)
    })
    const servers = [trial.server ?? []].flat().flatMap((name, j) => {
      const found = byName.get(name)
      if (found !== undefined) return [found]
      const at = Array.isArray(trial.server) ? [...path, 'server', j] : [...path, 'server']
      report(at, `there is no endpoint "${name}"${didYouMean(name, names) || `; there are ${names.join(', ')}`}`)
      return []
    })
    const port = trial.port ?? (kind === 'http' ? HTTP_PORT : null)
    if (trial.server !== undefined && trial.serverPort === undefined && port === null) {
      report([...path, 'server'], 'needs the key "port" or "serverPort" beside it')
    }
    if (bytes > MAX_BYTES) report([...path, 'bytes'], `expected at most ${MAX_BYTES} bytes, not "${trial.bytes}"`)
    if (from === undefined) return
    const only = kind === 'arp' ? 4 : trial.family
    const families = [4, 6].filter((family) => {
      if (only !== undefined && only !== family) return false
      return [from.addresses, addresses].every((list) => list.some((a) => a.family === family))
    })
    if (families.length === 0) {
      const version = only === undefined ? 'IP version' : `IPv${only} address`
      report(path, `${from.name} and ${trial.to} have no ${version} in common`)
    }
    for (const family of families) {
      const address = reachable(
        from,
        addresses.filter((a) => a.family === family),
      )
      // ARP and the neighbour cache are about the link: no route is needed.
      const lost = kind === 'arp' || kind === 'neigh' || expect === 'fail' ? null : noRoute(from, address, nodes)
      if (lost !== null) report([...path, 'from'], `${lost}; if that is meant, "expect" is "fail"`)
      else if (expect === 'pass' && target === null && isNobodys(address, nodes)) {
        report([...path, 'to'], `nobody has the address ${address.text}; if that is meant, "expect" is "fail"`)
      }
      checks.push({
        ...{ kind, from, to: target?.name ?? trial.to, target, address, expect },
        timeout: trial.timeout ?? TIMEOUTS[kind] ?? 2,
        count: trial.count ?? 3,
        bytes,
        via: hopsOf(trial.via, via, family),
        mac: mac ?? null,
        port,
        servers: servers.length > 0 ? servers : target === null ? [] : [target],
        serverPort: trial.serverPort ?? port,
        url: trial.url ?? '/',
        status: trial.status ?? 200,
        body: trial.body ?? null,
        path: item.path ?? [],
      })
    }
  })
  return checks
}

/** The hops that are expected: none where the list is empty, any where it has none of this IP version. */
function hopsOf(
  given: readonly string[] | undefined,
  via: readonly Address[],
  family: number,
): readonly Address[] | null {
  const own = via.filter((a) => a.family === family)
  return own.length > 0 || given?.length === 0 ? own : null
}

/** Of several addresses, one in a network of `from`, else the first. */
function reachable(from: EndpointSpec, addresses: readonly Address[]): Address {
  return addresses.find((a) => from.addresses.some((own) => onLink(own, a.bytes))) ?? (addresses[0] as Address)
}

/** The most that a transfer may have, in bytes. The schema holds plain numbers to the same. */
const MAX_BYTES = 1e12

const UNITS: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  kiB: 2 ** 10,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
}

/** Reads 1000000 or "10 MB". */
function size(text: number | string): number {
  if (typeof text === 'number') return text
  const [, number, unit = 'B'] = /^([\d.]+) ?(\w+)$/.exec(text) ?? []
  return Math.max(1, Math.round(Number(number) * (UNITS[unit] as number)))
}
