/**
 * What stays behind, what things weigh, and how long a start takes: rows of the table in memory that are not nanoseconds. Bytes are
 * the same in every round, so they are measured once; times are medians.
 */
import { median } from './figures.ts'
import { runProgram } from './program.ts'
import { startUp } from './startup.ts'

/** A figure with its unit. */
export interface Weighed {
  readonly section: string
  readonly what: string
  readonly entries: string
  readonly value: number
  readonly unit: 'bytes' | 'ms'
  readonly target: string | null
  readonly met: boolean | null
}

const FRAMES = 10_000_000
const MEBIBYTE = 1 << 20

const HEAP = {
  'heap-switch': 'heap growth, the switch',
  'heap-nat': 'heap growth, NAT, a new flow every 64 frames',
  'heap-vxlan': 'heap growth, VXLAN, encap + decap',
  'heap-router': 'heap growth, router, 1,000 routes',
  'heap-chain': 'heap growth, rewrite, filter, NAT, VXLAN; a new flow every 64 frames',
} as const

const RESIDENT = [
  ['pool', 16_384, 'a frame of a default pool', 'frames'],
  ['fdb', 524_288, 'an address in the FDB', 'addresses'],
  ['flow', 1_048_576, 'a flow of a NAT', 'flows'],
  ['route4', 1_000_000, 'a route, IPv4', 'routes'],
  ['route6', 1_000_000, 'a route, IPv6', 'routes'],
] as const

const count = (n: number): string => n.toLocaleString('en-US')
const measured = (kind: string, n: number): number =>
  runProgram<{ value: number }>('steady-in-memory', { kind, n }, '--expose-gc').value

/** What stays behind of ten million frames, and resident bytes of what is kept. */
export function weighAll(say: (text: string) => void): Weighed[] {
  const heap = Object.entries(HEAP).map(([kind, what]): Weighed => {
    say(`memory: ${what}`)
    const value = Math.max(0, measured(kind, FRAMES))
    const common = { section: 'steady memory', what, entries: `${count(FRAMES)} frames`, value }
    return { ...common, unit: 'bytes', target: '< 1 MiB', met: value < MEBIBYTE }
  })
  const resident = RESIDENT.map(([kind, n, what, noun]): Weighed => {
    say(`memory: ${what}`)
    const common = { section: 'resident memory', what, entries: `of ${count(n)} ${noun}` }
    return { ...common, value: measured(kind, n), unit: 'bytes', target: null, met: null }
  })
  return [...heap, ...resident]
}

/** How long a start takes, and a thousand endpoints more. */
export async function startAll(
  { memory, rounds, endpoints = 1000 }: { memory: boolean; rounds: number; endpoints?: number },
  say: (text: string) => void,
): Promise<Weighed[]> {
  const first: number[] = []
  const grow: number[] = []
  const where = memory ? 'in memory' : 'on Linux'
  for (let round = 1; round <= rounds; round++) {
    say(`start ${where}, round ${round} of ${rounds}`)
    // Growing takes long on Linux, and varies little.
    const found = await startUp({ memory, endpoints: round === 1 || memory ? endpoints : 0 })
    first.push(found.firstFrame)
    if (found.grow !== null) grow.push(found.grow)
  }
  const common = { section: 'start', unit: 'ms', target: null, met: null } as const
  return [
    { ...common, what: `l2l3 up ${where}, to the first answered ping`, entries: '2 endpoints', value: median(first) },
    { ...common, what: `endpoints added ${where}`, entries: count(endpoints), value: median(grow) },
  ]
}
