import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Frame } from '@l2l3/switch-core'
import { openCapture } from '@l2l3/switch-core/pcap'
import {
  type CheckResult,
  type Lab,
  type LabOptions,
  linuxProblem,
  replay,
  type Topology,
  topology,
} from '@l2l3/topology'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { dissect } from '../../src/trace/dissect/dissect.ts'
import { toHex } from '../../src/trace/splice.ts'

/*
 * Conformance of a mode: what each of its flows looks like on the wire, tried in three worlds by one description.
 *
 *     case: { flow, section, title, check: { ping: { from, to } }, sees: [ { at: 'n1/uplink', way: 'out', fields, bytes } ] }
 *
 *     memory   hosts in memory try the check; what passed every port is compared with what must be seen
 *     replay   what the hosts sent then is played into the topology from captures; every port must send the same bytes
 *     Linux    namespaces and TAPs; stock programs try the check, and the same must be seen (as root)
 *
 * What comes of it is what the table of modes says: with L2L3_MATRIX=DIR each mode writes DIR/<mode>.json.
 */

/** The flows that every mode is asked for: the columns of the table. */
export const FLOWS = [
  'pod to pod, same node',
  'pod to pod, other node',
  'pod to service',
  'pod to outside',
  'outside to pod',
  'ARP',
  'broadcast',
] as const
export type Flow = (typeof FLOWS)[number]

export const WORLDS = ['memory', 'replay', 'linux'] as const
export type WorldName = (typeof WORLDS)[number]

/** A frame that must be seen. */
export interface Seen {
  /** A port's label: "n1/uplink". */
  readonly at: string
  /** As the node sees it: it came `in` by the port, or went `out`. */
  readonly way: 'in' | 'out'
  /**
   * Fields by tshark's names, and their values. Where a frame has a field more than once, inside a tunnel, the first is
   * meant, and "2:ip.ttl" is the second.
   */
  readonly fields: Readonly<Record<string, string | number | RegExp>>
  /** The frame's first bytes in hex; spaces do not count, and ".." stands for any byte. */
  readonly bytes?: string
  /** No such frame may be seen. */
  readonly never?: true
}

/** A flow that is tried. */
export interface ModeCase {
  readonly flow: Flow
  /** Of modes.md, or an RFC: "2.2", "RFC 826". */
  readonly section: string
  readonly title: string
  /** In the form of a topology file's checks. */
  readonly check: Readonly<Record<string, unknown>>
  readonly sees: readonly Seen[]
  /** Worlds in which it cannot be tried, and why. */
  readonly except?: Partial<Record<WorldName, string>>
}

/** A mode, and the topology by which it is tried. */
export interface ModeConformance {
  readonly mode: string
  /** Its page in docs/modes, without `.md`. Default: the mode's name. */
  readonly page?: string
  /** An example's name, without `.yaml`; or a topology's text. */
  readonly topology: string
  readonly cases: readonly ModeCase[]
  /** Flows that the mode does not have, and why. */
  readonly absent?: Partial<Record<Flow, string>>
}

/** What became of a flow in a world: passed, failed, or why it could not be tried. */
export type Outcome = 'pass' | 'fail' | string

/** A frame that passed a port. */
interface Passed {
  readonly label: string
  readonly way: 'in' | 'out'
  readonly time: bigint
  readonly bytes: Uint8Array
}

const noLinux = await linuxProblem()

/** Tries all cases of a mode, in all worlds. Call it once in a test file. */
export function conform(mode: ModeConformance): void {
  /** What became of each case in each world. A case that is not done is one that failed. */
  const outcomes = new Map<WorldName, Map<ModeCase, Outcome>>(WORLDS.map((world) => [world, new Map()]))
  const note = (one: ModeCase, world: WorldName, outcome: Outcome): void => void outcomes.get(world)?.set(one, outcome)
  const source = sourceOf(mode.topology)
  const run = (world: WorldName, one: ModeCase, trial: () => Promise<void>): void => {
    const why = one.except?.[world] ?? (world === 'linux' ? noLinux : null) ?? null
    it.skipIf(why !== null)(`${one.flow}: ${one.title} (${one.section})${why === null ? '' : `: ${why}`}`, async () => {
      note(one, world, 'fail')
      await trial()
      note(one, world, 'pass')
    })
    if (why !== null) note(one, world, why)
  }

  it('has every flow, or says why not', () => {
    for (const flow of FLOWS) {
      const there = mode.cases.some((one) => one.flow === flow)
      expect(there !== (mode.absent?.[flow] !== undefined), flow).toBe(true)
    }
  })

  /** What passed in memory, which is what replay begins with. */
  const heard = new Map<ModeCase, Heard>()

  describe('in memory', () => {
    for (const one of mode.cases) {
      run('memory', one, async () => {
        const there = await hear(source, one)
        heard.set(one, there)
        judge(one, there)
      })
    }
  })

  describe('in replay', () => {
    for (const one of mode.cases) {
      run('replay', one, async () => {
        const { topology, passed: before } = heard.get(one) ?? (await hear(source, one))
        const after = replayed(topology, before)
        // What left once leaves again, the same bytes, by the same ports: what came of the hosts' frames, that is, not
        // what nodes say of themselves, to groups, at times of their own.
        for (const { label, way, bytes } of before) {
          if (way === 'in' || ((bytes[0] as number) & 1) === 1) continue
          const at = after.findIndex((p) => p.label === label && toHex(p.bytes) === toHex(bytes))
          expect(at, `${label} sends ${toHex(bytes)} again`).toBeGreaterThanOrEqual(0)
          after.splice(at, 1)
        }
      })
    }
  })

  describe.skipIf(noLinux !== null)('on Linux', () => {
    let lab: Lab | undefined
    beforeAll(async () => {
      const tried = onLinux(mode.cases).some((one) => one.except?.linux === undefined)
      if (tried) lab = await open(source, { world: 'linux' })
    })
    afterAll(() => lab?.close())
    for (const one of onLinux(mode.cases)) run('linux', one, async () => check(one, await passed(lab as Lab, one)))
  })

  afterAll(() => {
    const directory = process.env.L2L3_MATRIX
    if (directory === undefined) return
    mkdirSync(directory, { recursive: true })
    const row = Object.fromEntries(
      FLOWS.map((flow) => {
        const why = mode.absent?.[flow]
        const of = (world: WorldName): Outcome => {
          const all = [...(outcomes.get(world) ?? [])].flatMap(([one, outcome]) => (one.flow === flow ? [outcome] : []))
          return why ?? together(all) ?? noLinux ?? 'fail'
        }
        return [flow, Object.fromEntries(WORLDS.map((world) => [world, of(world)]))]
      }),
    )
    const sections = [...new Set(mode.cases.map((one) => one.section))]
    writeFileSync(
      join(directory, `${mode.mode}.json`),
      JSON.stringify({ mode: mode.mode, page: mode.page ?? mode.mode, sections, flows: row }, null, 2),
    )
  })
}

/** Tries a case in memory: what must be seen is seen, or that fails. */
export async function tryInMemory(source: string, one: ModeCase): Promise<void> {
  judge(one, await hear(source, one))
}

/** One case that failed is enough for `fail`, and, where none did, one that passed for `pass`. */
export function together(outcomes: readonly Outcome[]): Outcome | undefined {
  return ['fail', 'pass'].find((outcome) => outcomes.includes(outcome)) ?? outcomes[0]
}

/** What is tried on Linux: all for the table of modes; else, since it takes seconds, the first of each flow that can be. */
function onLinux(cases: readonly ModeCase[]): readonly ModeCase[] {
  if (process.env.L2L3_MATRIX !== undefined) return cases
  return FLOWS.flatMap((flow) => {
    const of = cases.filter((one) => one.flow === flow)
    return of.find((one) => one.except?.linux === undefined) ?? of.slice(0, 1)
  })
}

function sourceOf(name: string): string {
  if (name.includes('\n')) return name
  return readFileSync(fileURLToPath(new URL(`../../../../examples/${name}.yaml`, import.meta.url)), 'utf8')
}

function open(source: string, options: LabOptions): Promise<Lab> {
  return topology(source, options)
}

/** Tries a case's check on Linux and gives what passed all ports meanwhile. The check itself must come out as it says. */
async function passed(lab: Lab, one: ModeCase): Promise<Passed[]> {
  const capture = await lab.capture()
  const results = await lab.check(one.check)
  await lab.wait(0.05)
  const captures = await capture.stop()
  wentWell(results)
  return Array.from(captures, ([label, file]) => frames(label, file)).flat()
}

/** What was tried in memory. */
interface Heard {
  readonly topology: Topology
  readonly results: readonly CheckResult[]
  readonly passed: readonly Passed[]
}

/** Judges what was tried in memory as on Linux. */
function judge(one: ModeCase, { results, passed: all }: Heard): void {
  wentWell(results)
  check(one, all)
}

function wentWell(results: readonly CheckResult[]): void {
  for (const { ok, text, detail } of results) expect(ok, `${text}: ${detail}`).toBe(true)
}

/** Tries a case's check in memory, and gives what passed all ports, in its order: each frame a microsecond after the last,
 * since in memory all happens at one instant, and a replay has only times to go by. */
async function hear(source: string, one: ModeCase): Promise<Heard> {
  await using lab = await open(source, { world: 'memory' })
  const all: Passed[] = []
  const { fabric } = lab.memory as NonNullable<Lab['memory']>
  const note = (label: string, way: 'in' | 'out', list: Uint32Array, n: number): void => {
    for (const f of list.subarray(0, n)) {
      all.push({ label, way, time: BigInt(all.length) * 1000n, bytes: fabric.ground.pool.copyOut(f as Frame) })
    }
  }
  for (const [label, port] of fabric.wires) {
    port.watcher = {
      received: (list, n) => note(label, 'in', list, n),
      sent: (list, n) => note(label, 'out', list, n),
    }
  }
  const results = await lab.check(one.check)
  await lab.wait(1)
  return { topology: lab.topology, results, passed: all }
}

function frames(label: string, file: Uint8Array): Passed[] {
  return Array.from(openCapture([file], { file: label }), ({ direction, data, time = 0n }): Passed => {
    return { label, way: direction === 'inbound' ? 'in' : 'out', time, bytes: data }
  })
}

function check(one: ModeCase, all: readonly Passed[]): void {
  for (const seen of one.sees) {
    const there = all.filter((p) => p.label === seen.at && p.way === seen.way && !isReport(p.bytes))
    const fits = there.filter((p) => isSeen(seen, p.bytes))
    const text = `${seen.way} ${seen.at}: ${JSON.stringify(seen.fields, (_, v) => (v instanceof RegExp ? String(v) : v))}`
    if (seen.never)
      expect(
        fits.map((p) => toHex(p.bytes)),
        `never ${text}`,
      ).toEqual([])
    else if (fits.length === 0) {
      expect.fail(`not seen: ${text} ${seen.bytes ?? ''}\nthere: ${there.map((p) => toHex(p.bytes)).join('\n       ')}`)
    }
  }
}

/** Whether it is a report of multicast listeners (RFC 3810 5.2), behind a hop-by-hop option, in a tunnel or not: kernels say it of
 * themselves, when they like. */
function isReport(bytes: Uint8Array): boolean {
  return /3a000502000001008f00/.test(toHex(bytes).replace(/\s+/g, ''))
}

function isSeen(seen: Seen, bytes: Uint8Array): boolean {
  if (seen.bytes !== undefined && !hexFits(seen.bytes, bytes)) return false
  const all = dissect(bytes).flatMap((layer) => layer.fields)
  return Object.entries(seen.fields).every(([key, value]) => {
    const [, nth = '1', name = key] = /^(\d+):(.*)$/.exec(key) ?? []
    const field = all.filter((f) => f.name === name)[Number(nth) - 1]
    if (field === undefined) return false
    return value instanceof RegExp ? value.test(field.value) : field.value === String(value)
  })
}

function hexFits(pattern: string, bytes: Uint8Array): boolean {
  const want = pattern.replace(/\s+/g, '')
  const have = toHex(bytes).replace(/\s+/g, '')
  return new RegExp(`^${want}`).test(have)
}

/** Plays what hosts sent into a fresh build of the topology, and gives what its ports sent. */
function replayed(topology: Topology, before: readonly Passed[]): Passed[] {
  const hosts = topology.nodes.flatMap((node) => node.ports.flatMap((p) => (p.endpoint === null ? [] : [p.label])))
  const linked = new Set(topology.links.flat())
  const sources = hosts.filter((label) => !linked.has(label) && before.some((p) => p.label === label && p.way === 'in'))
  const out = new Map<string, Uint8Array[]>()
  replay(topology, {
    inputs: sources.map((port) => ({ port, file: port, open: () => [capture(before, port)] })),
    output: (port) => {
      const chunks: Uint8Array[] = []
      out.set(port, chunks)
      return (chunk) => chunks.push(chunk)
    },
  })
  return Array.from(out, ([label, chunks]) =>
    Array.from(openCapture(chunks, { file: label }), ({ data, time = 0n }): Passed => {
      return { label, way: 'out', time, bytes: data }
    }),
  ).flat()
}

/** A pcap file with nanoseconds (magic a1b23c4d) of what came in by a port. */
function capture(all: readonly Passed[], label: string): Uint8Array {
  const mine = all.filter((p) => p.label === label && p.way === 'in')
  const bytes = new Uint8Array(24 + mine.reduce((sum, p) => sum + 16 + p.bytes.length, 0))
  const view = new DataView(bytes.buffer)
  for (const [at, word] of [0xa1b23c4d, 0x0004_0002, 0, 0, 262_144, 1].entries()) view.setUint32(4 * at, word, true)
  let o = 24
  for (const { time, bytes: frame } of mine) {
    view.setUint32(o, Number(time / 1_000_000_000n), true)
    view.setUint32(o + 4, Number(time % 1_000_000_000n), true)
    view.setUint32(o + 8, frame.length, true)
    view.setUint32(o + 12, frame.length, true)
    bytes.set(frame, o + 16)
    o += 16 + frame.length
  }
  return bytes
}
