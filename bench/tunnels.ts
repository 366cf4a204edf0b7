/**
 * Runs `tunnel-in-memory.ts`, every variant in a process of its own, in interleaved rounds; what making and dropping a frame
 * costs the bench (`empty`, of the same round) is taken off.
 */
import { execFileSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import Table from 'cli-table3'

const here = dirname(fileURLToPath(import.meta.url))

const TITLES = {
  bare: 'bare loop, JavaScript',
  vxlan: 'VXLAN, encap + decap',
  checksum: 'the same, outer UDP checksums made and verified',
  vxlan6: 'the same over IPv6, no checksums',
  geneve: 'GENEVE with an option, encap + decap',
  vtep: 'VTEPs: 1,024 far ends, 1,024 MACs learnt',
} as const
type Kind = keyof typeof TITLES
const KINDS = Object.keys(TITLES) as Kind[]
/** Million frames a second, of 64 bytes (docs/performance.md). */
const TARGETS: Partial<Record<Kind, number>> = { vxlan: 35 }

export interface TunnelSummary {
  readonly kind: Kind
  readonly size: number
  readonly ns: number
  readonly mpps: number
  readonly toBare: number
  readonly rounds: readonly number[]
}

function median(list: readonly number[]): number {
  return [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] as number
}

function once(kind: Kind | 'empty', size: number, time: number): number {
  const words = ['--import', 'tsx', '--conditions', '@l2l3/source', join(here, 'tunnel-in-memory.ts')]
  words.push(JSON.stringify({ kind, size, time }))
  const out = JSON.parse(execFileSync(process.execPath, words, { cwd: here, encoding: 'utf8' })) as {
    ns: number
    balanced: boolean
  }
  if (!out.balanced) throw new Error(`frames were lost: ${JSON.stringify(out)}`)
  return out.ns
}

/** Measures all variants, prints a table and gives what it says. */
export function benchTunnels(options: { rounds: number; time: number }): TunnelSummary[] {
  const found = [64, 1500].flatMap((size) => KINDS.map((kind) => ({ kind, size, rounds: [] as number[] })))
  for (let round = 1; round <= options.rounds; round++) {
    process.stderr.write(`tunnels, round ${round} of ${options.rounds}\n`)
    for (const size of [64, 1500]) {
      const empty = once('empty', size, options.time)
      for (const f of found) if (f.size === size) f.rounds.push(once(f.kind, size, options.time) - empty)
    }
  }
  const summaries = found.map((f) => {
    const ns = median(f.rounds)
    const bare = found.find((g) => g.kind === 'bare' && g.size === f.size) as (typeof found)[0]
    return { ...f, ns, mpps: 1e3 / ns, toBare: ns / median(bare.rounds) }
  })
  const table = new Table({
    head: ['frame', 'what', 'ns/frame', 'Mframes/s', 'target', 'x bare loop'],
    colAligns: ['right', 'left', 'right', 'right', 'right', 'right'],
    style: { head: [], border: [] },
  })
  for (const { kind, size, ns, mpps, toBare } of summaries) {
    const target = size === 64 ? TARGETS[kind] : undefined
    const met = target === undefined ? '' : `${target} ${mpps >= target ? 'met' : 'not met'}`
    table.push([String(size), TITLES[kind], ns.toFixed(1), mpps.toFixed(1), met, toBare.toFixed(2)])
  }
  process.stdout.write(`\nTunnels in memory, one core\n${table}\n`)
  return summaries
}
