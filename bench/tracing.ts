/**
 * What does tracing cost while nobody traces? The same programs from two copies of the sources, in interleaved rounds: as they are,
 * and with every look at `trace` replaced by what it says while nobody traces, so that no test of it is left in the code. The first copy
 * is measured twice; how far it is from itself is what the figures are worth. Of the rounds the least counts, not the median: what is
 * looked for is a difference of a few hundredths, and whatever else runs on the machine only adds.
 *
 *     npm run bench -- --tracing
 */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import Table from 'cli-table3'

const here = dirname(fileURLToPath(import.meta.url))
const PACKAGES = ['switch-core', 'arp', 'nat', 'vxlan'] as const

/** What is measured: the words for people, the program, its variant, and the variant that is to be taken off. */
const CASES: readonly (readonly [title: string, program: string, variant: object, less?: object])[] = [
  ['known unicast, 1,024 MACs', 'switch-in-memory.ts', { kind: 'switch', size: 64, macs: 1024, ports: 4 }],
  ['the same, VLAN-aware', 'switch-in-memory.ts', { kind: 'vlan', size: 64, macs: 1024, ports: 4 }],
  ['MAC rewrite rule', 'lookups-in-memory.ts', { kind: 'rewrite', n: 1 }, { kind: 'rewrite', n: 10, empty: true }],
  [
    'IPv4 forwarding, 10 routes',
    'lookups-in-memory.ts',
    { kind: 'forward4', n: 10 },
    { kind: 'forward4', n: 10, empty: true },
  ],
  ['IPv4 neighbour', 'lookups-in-memory.ts', { kind: 'neighbours4', n: 1024 }],
  ['NAT, known flows of UDP', 'nat-in-memory.ts', { kind: 'udp', flows: 1024 }],
  ['NAT, new flows', 'nat-in-memory.ts', { kind: 'new', flows: 65_536 }],
  ['VXLAN there and back', 'tunnel-in-memory.ts', { kind: 'vxlan', size: 64 }],
  ['VTEP to VTEP', 'tunnel-in-memory.ts', { kind: 'vtep', size: 64 }],
]

/** What was measured of one case: nanoseconds a frame. */
export interface TracingSummary {
  readonly title: string
  readonly without: number
  readonly with: number
  /** The second measurement of the sources as they are. */
  readonly again: number
}

/** The text of a source with each look at `trace` replaced by its result while nobody traces. */
function untraced(source: string): string {
  return source.replace(/[\w.#!?]*\btrace (!==|===) null/g, (_all, how: string) => (how === '!==' ? 'false' : 'true'))
}

/** Copies the packages, and the programs, to where each finds the other, in a directory of `place`; gives it. */
function copyTree(place: string, name: string, edit: (source: string) => string): string {
  const root = join(place, name)
  const modules = join(root, 'node_modules')
  mkdirSync(join(modules, '@l2l3'), { recursive: true })
  symlinkSync(join(here, 'node_modules', 'tinybench'), join(modules, 'tinybench'))
  writeFileSync(join(root, 'package.json'), '{ "type": "module" }\n')
  for (const name of PACKAGES) {
    const [from, to] = [join(here, '..', 'packages', name), join(root, 'packages', name)]
    cpSync(join(from, 'src'), join(to, 'src'), { recursive: true })
    cpSync(join(from, 'package.json'), join(to, 'package.json'))
    symlinkSync(to, join(modules, '@l2l3', name))
    for (const file of readdirSync(join(to, 'src'), { recursive: true, encoding: 'utf8' })) {
      const path = join(to, 'src', file)
      if (file.endsWith('.ts')) writeFileSync(path, edit(readFileSync(path, 'utf8')))
    }
  }
  for (const file of new Set(CASES.map(([, program]) => program))) cpSync(join(here, file), join(root, file))
  return root
}

function once(root: string, program: string, variant: object, time: number): number {
  const words = ['--import', 'tsx', '--conditions', '@l2l3/source', join(root, program)]
  words.push(JSON.stringify({ ...variant, time }))
  return (JSON.parse(execFileSync(process.execPath, words, { cwd: here, encoding: 'utf8' })) as { ns: number }).ns
}

/** Measures and prints. `time` is milliseconds a case and round. */
export function benchTracing(options: { rounds: number; time: number }): TracingSummary[] {
  const place = mkdtempSync(join(tmpdir(), 'l2l3-bench-'))
  try {
    const summaries = measure(
      copyTree(place, 'plain', (source) => source),
      copyTree(place, 'untraced', untraced),
      options,
    )
    print(summaries)
    return summaries
  } finally {
    rmSync(place, { recursive: true, force: true })
  }
}

function measure(plain: string, bare: string, options: { rounds: number; time: number }): TracingSummary[] {
  const found = CASES.map(() => ({ with: [] as number[], without: [] as number[], again: [] as number[] }))
  for (let round = 1; round <= options.rounds; round++) {
    process.stderr.write(`tracing that is off, round ${round} of ${options.rounds}\n`)
    for (const [i, [, program, variant, less]] of CASES.entries()) {
      const net = (root: string): number =>
        once(root, program, variant, options.time) - (less === undefined ? 0 : once(root, program, less, options.time))
      const into = found[i] as (typeof found)[0]
      into.with.push(net(plain))
      into.without.push(net(bare))
      into.again.push(net(plain))
    }
  }
  return CASES.map(([title], i) => {
    const rounds = found[i] as (typeof found)[0]
    return {
      title,
      without: Math.min(...rounds.without),
      with: Math.min(...rounds.with),
      again: Math.min(...rounds.again),
    }
  })
}

function print(summaries: readonly TracingSummary[]): void {
  const table = new Table({
    head: ['what', 'ns without the tests', 'ns', 'ratio', 'the same again'],
    colAligns: ['left', 'right', 'right', 'right', 'right'],
    style: { head: [], border: [] },
  })
  for (const s of summaries) {
    const ratios = [s.with / s.without, s.again / s.with].map((ratio) => ratio.toFixed(3))
    table.push([s.title, s.without.toFixed(1), s.with.toFixed(1), ...ratios])
  }
  process.stdout.write(`\nTracing that is off, one core, a frame or lookup\n${table}\n`)
}
