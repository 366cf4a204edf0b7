import { type CheckResult, dropRows, type Snapshot } from '@l2l3/topology'
import { bitRate, colorsFor, table } from './output.ts'

/* A running topology in tables. */

export function portTable({ ports }: Snapshot): string {
  const head = ['port', 'state', 'rx frames', 'rx bytes', 'tx frames', 'tx bytes', 'dropped', 'offloads']
  const tunnels = ports.some((p) => p.tunnel !== undefined)
  return table(
    tunnels ? [...head, 'tunnel'] : head,
    ports.map((p) => [
      `${p.node}/${p.port}`,
      p.state,
      ...[p.rxFrames, p.rxBytes, p.txFrames, p.txBytes, p.dropped + p.portDropped],
      p.offloads,
      ...(tunnels ? [p.tunnel ?? '-'] : []),
    ]),
  )
}

export function fdbTable({ fdb }: Snapshot): string {
  if (fdb.length === 0) return '  no addresses'
  const order = (e: Snapshot['fdb'][number]): string => `${e.node} ${e.port} ${e.vlan} ${e.mac}`
  const sorted = [...fdb].sort((a, b) => order(a).localeCompare(order(b), 'en', { numeric: true }))
  const rows = sorted.map((e) => [e.node, e.mac, e.vlan === 0 ? '-' : String(e.vlan), e.port, e.kind, heard(e)])
  return table(['node', 'address', 'VLAN', 'port', 'kind', 'heard'], rows)
}

export function neighbourTable({ neighbours }: Snapshot): string {
  if (neighbours.length === 0) return '  no neighbours'
  const rows = neighbours.map((n) => [`${n.node}/${n.port}`, n.address, n.mac ?? '-', n.state])
  return table(['port', 'address', 'MAC', 'state'], rows)
}

export function routeTable({ routes }: Snapshot): string {
  if (routes.length === 0) return '  no routes'
  const order = (r: Snapshot['routes'][number]): string => `${r.node} ${r.to.includes(':') ? 6 : 4} ${r.to}`
  const sorted = [...routes].sort((a, b) => order(a).localeCompare(order(b), 'en', { numeric: true }))
  return table(
    ['node', 'to', 'kind', 'by', 'metric'],
    sorted.map((r) => [r.node, r.to, r.kind, r.via.join(', '), r.metric]),
  )
}

/** Flows, as they come and, where something is translated, as their answers do. */
export function flowTable({ flows }: Snapshot): string {
  if (flows.length === 0) return '  no flows'
  const rows = flows.map((f) => {
    const translated = f.answersFrom !== f.to || f.answersTo !== f.from
    const answers = translated ? `${f.answersFrom} > ${f.answersTo}` : '-'
    const left = `${Math.max(0, f.expires).toFixed(0)} s`
    return [f.node, f.protocol, f.state, `${f.from} > ${f.to}`, answers, left, f.packets, f.bytes]
  })
  return table(['node', 'protocol', 'state', 'flow', 'answers', 'ends in', 'packets', 'bytes'], rows)
}

export function serviceTable({ services }: Snapshot): string {
  if (services.length === 0) return '  no services'
  const rows = services.map((s) => [
    ...[s.node, s.name, s.protocol, s.frontends.join(', '), s.backends.join(', ')],
    s.flows === null ? '-' : String(s.flows),
  ])
  const notes = services.flatMap(({ node, notes: own = [] }) => own.map((note) => `\n  ${node}: ${note}`))
  return table(['node', 'service', 'protocol', 'reached at', 'served by', 'flows'], rows) + notes.join('')
}

export function dropTable(snapshot: Snapshot): string {
  const rows = dropRows(snapshot)
  if (rows.length === 0) return '  none'
  return table(
    ['reason', 'frames', 'meaning'],
    rows.map(({ reason, frames, meaning }) => [reason, frames, meaning]),
  )
}

/** The law of the ledger, with this run's figures. */
export function ledgerLine({ ledger }: Snapshot): string {
  const { received, originated, copied, sent, held, dropped, balanced } = ledger
  const lost = Object.values(dropped).reduce((sum, n) => sum + n, 0)
  const n = (value: number): string => value.toLocaleString('en')
  const into = `received ${n(received)} + originated ${n(originated)} + copied ${n(copied)}`
  const out = `sent ${n(sent)} + held ${n(held)} + dropped ${n(lost)}`
  return `  ${into} ${balanced ? '=' : 'IS NOT'} ${out}`
}

/** One line for a check: mark, what it was, what happened. */
export function checkLine(result: CheckResult): string {
  const { green, red, yellow, dim } = colorsFor(process.stdout)
  const measured = [
    result.rttMs === undefined ? [] : `${result.rttMs.toFixed(2)} ms`,
    result.bitsPerSecond === undefined ? [] : bitRate(result.bitsPerSecond),
  ].flat()
  const what = [result.detail, ...measured].join(', ')
  const mark = result.skipped ? yellow('skip') : result.ok ? green('ok  ') : red('FAIL')
  return `  ${mark}  ${result.text.padEnd(40)}  ${dim(what)}`
}

/** "7 of 7 checks passed", "6 of 7 checks passed, 1 skipped". */
export function checkSummary(results: readonly CheckResult[]): string {
  const { green, red } = colorsFor(process.stdout)
  const skipped = results.filter((r) => r.skipped).length
  const passed = results.filter((r) => r.ok && !r.skipped).length
  const text = `${passed} of ${results.length} checks passed${skipped > 0 ? `, ${skipped} skipped` : ''}`
  return passed + skipped === results.length ? green(text) : red(text)
}

/** When an address was last heard; one that is configured, or is a place that copies go to, never was. */
function heard({ kind, age }: Snapshot['fdb'][number]): string {
  return kind === 'static' || kind === 'flood' ? '-' : `${(age / 1000).toFixed(1)} s ago`
}
