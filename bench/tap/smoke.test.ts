/**
 * The bench, end to end, as quickly as it goes: one round of tiny measurements. What the figures are is not the matter
 * here; that all are there, that the switches' ledgers balance, and that nothing is left behind.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { median } from '../figures.ts'
import { METRICS } from './load.ts'
import { type Row, rowsOf, targetsOf } from './report.ts'
import { obstacle, SCENES, type TapReport } from './run.ts'
import { installed } from './scene.ts'

const why = obstacle()
const folder = mkdtempSync(join(tmpdir(), 'l2l3-bench-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** Starts the bench as people do; gives its process and, when it has ended, its status and what it said. */
function bench(...args: string[]) {
  const script = fileURLToPath(new URL('run.ts', import.meta.url))
  const root = fileURLToPath(new URL('../../', import.meta.url))
  const from = ['--import', 'tsx', '--conditions', '@l2l3/source', script]
  const child = spawn(process.execPath, [...from, ...args], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  const hear = (data: Buffer) => {
    said += data
  }
  child.stdout.on('data', hear)
  child.stderr.on('data', hear)
  const ended = new Promise<{ code: number | null; said: string }>((resolve) => {
    child.on('close', (code) => resolve({ code, said }))
  })
  return { child, ended }
}

/** Namespaces that the bench with this process id has made. */
function namespaces(pid: number | undefined): string[] {
  if (!existsSync('/run/netns')) return []
  return readdirSync('/run/netns').filter((name) => name.startsWith(`l2l3-bench-${pid}-`))
}

/** The report of a run of one round of tiny measurements. */
async function report(...args: string[]): Promise<TapReport> {
  const json = join(folder, 'report.json')
  const { child, ended } = bench('--quick', '--rounds', '1', '--seconds', '0.1', '--no-start', '--json', json, ...args)
  const { code, said } = await ended
  expect(code, said).toBe(0)
  expect(namespaces(child.pid)).toEqual([])
  return JSON.parse(readFileSync(json, 'utf8')) as TapReport
}

/** Metrics that only a process has. */
const OF_PROCESSES = new Set(['tcp1Cores', 'tcp4Cores', 'udpFrame', 'idle'])
const ACROSS = ['tcp1', 'tcp1Cores', 'tcp1All', 'tcp4', 'tcp4Cores', 'tcp4All', 'udp', 'udpFrame', 'udpAll', 'udpDelay']

/** Metrics of a player, in the order of a report. The lossless rate is not searched for when it is to be quick. */
function metricsOf(scene: string, isProcess: boolean): string[] {
  const all = Object.keys(METRICS).filter((metric) => metric !== 'lossless')
  const across = [
    'pingMean',
    'pingP50',
    ...ACROSS,
    ...(scene === 'switch' ? ['besideTcp', 'besideTcpP99', 'idle'] : []),
  ]
  const measured = all.filter((metric) => across.includes(metric))
  return measured.filter((metric) => isProcess || !OF_PROCESSES.has(metric))
}

const NO_PROCESS = new Set(['veth', 'bridge', 'direct', 'kernel'])

describe.runIf(why === null)('the bench on TAP devices', () => {
  it('measures everybody and leaves nothing behind', { timeout: 180_000 }, async () => {
    const { rows, targets, ledgers, missing, machine } = await report()
    const expected = SCENES.flatMap(({ name: scene, players }) =>
      players
        .filter(({ peer, needs }) => !peer && (needs === undefined || installed(needs.program)))
        .flatMap(({ name }) => metricsOf(scene, !NO_PROCESS.has(name)).map((m) => `${scene} ${name} ${m}`)),
    )
    expect(rows.map((row: Row) => `${row.scene} ${row.contender} ${row.metric}`)).toEqual(expected)
    // A switch that nobody talks to may sleep through so short a measurement, and CPU time is counted in hundredths of a second.
    const mayBeNothing = /^idle$|All$/
    expect(rows.filter((row) => !(row.median > 0) && !mayBeNothing.test(row.metric))).toEqual([])
    const busy = rows.find((row) => row.metric === 'idle' && row.contender === 'l2l3-busy')
    expect(busy?.median).toBeGreaterThan(10)
    const bridge = rows.filter((row) => row.contender === 'bridge' && row.median > 0)
    expect(bridge.map((row) => row.ratios.bridge)).toEqual(bridge.map(() => 1))
    expect(targets.length).toBeGreaterThan(12)
    expect(missing.length).toBe(installed('nft') ? 0 : 1)
    expect(machine).toMatchObject({ node: process.versions.node, cores: expect.any(Number) })
    const ours = [
      'switch/l2l3',
      'switch/l2l3-event-loop',
      'switch/l2l3-busy',
      'nat/l2l3',
      'tunnel/l2l3',
      'tunnel/mixed',
    ]
    expect(Object.keys(ledgers)).toEqual(ours)
    for (const [name, said] of Object.entries(ledgers)) {
      for (const ledger of Array.isArray(said) ? said : [said]) {
        expect(ledger, name).toMatchObject({ balanced: true, held: 0 })
      }
    }
  })

  it('measures the peers that are there, and says which are not', { timeout: 180_000 }, async () => {
    const peers = SCENES.flatMap(({ name: scene, players }) =>
      players.filter(({ peer }) => peer).map((player) => ({ ...player, scene })),
    )
    const here = peers.filter(({ needs }) => installed(needs?.program ?? ''))
    const names = peers.map(({ scene, name }) => `${scene}/${name}`)
    const { rows, missing } = await report('--peers', '--only', names.join(','))
    for (const { scene, name } of here) {
      const found = rows.filter((row) => row.scene === scene && row.contender === name)
      expect(found.map((row) => row.metric)).toEqual(metricsOf(scene, true))
    }
    expect(missing).toHaveLength(peers.length - here.length)
    for (const line of missing) expect(line).toMatch(/apt-get install \w/)
  })

  it('measures ways of waiting, and worker threads', { timeout: 180_000 }, async () => {
    const { rows, ledgers } = await report('--scene', 'latency,workers')
    const metrics = (scene: string, name: string) =>
      rows.filter((row) => row.scene === scene && row.contender === name).map((row) => row.metric)
    for (const name of ['event-loop', 'event-loop-50', 'event-loop-busy', 'spin-0', 'spin-50', 'spin-500', 'busy']) {
      expect(metrics('latency', `l2l3-${name}`)).toEqual(
        expect.arrayContaining(['pingMean', 'pingSlow', 'besideUdp', 'idle']),
      )
    }
    for (const name of ['l2l3', 'l2l3-workers-1', 'l2l3-workers-2']) {
      expect(metrics('workers', name)).toEqual(expect.arrayContaining(['tcp4', 'udp', 'udpFlows', 'pingMean']))
    }
    expect(Object.keys(ledgers)).toHaveLength(10)
    for (const [name, ledger] of Object.entries(ledgers)) {
      expect(ledger, name).toMatchObject({ balanced: true, held: 0 })
    }
  })

  it('leaves nothing behind when it is interrupted', { timeout: 60_000 }, async () => {
    const { child, ended } = bench('--quick', '--scene', 'switch', '--only', 'bridge,l2l3')
    for (let i = 0; i < 300 && namespaces(child.pid).length < 5; i++) await sleep(50)
    expect(namespaces(child.pid)).toHaveLength(5)
    await sleep(500)
    child.kill('SIGINT')
    const { code } = await ended
    expect(code).toBe(130)
    expect(namespaces(child.pid)).toEqual([])
  })
})

it('the bench on TAP devices says why it cannot run', async (context) => {
  if (why === null) context.skip('it can run here')
  const { code, said } = await bench('--quick').ended
  expect(code).toBe(1)
  expect(said).toContain(why)
})

describe('the report', () => {
  const scene = {
    name: 'switch',
    players: [
      { name: 'bridge', title: 'Linux bridge' },
      { name: 'l2l3', title: 'l2l3' },
    ],
    beside: ['bridge'],
    wanted: [
      { who: 'l2l3', metric: 'tcp1', to: 'bridge', sign: '>=', bound: 1 },
      { who: 'l2l3', metric: 'tcp1', to: null, sign: '>=', bound: 5 },
      { who: 'l2l3', metric: 'udp', to: 'bridge', sign: '>=', bound: 1 },
    ],
  } as const
  // The machine slows down to a half in the second round and to a tenth in the third: the ratio does not care.
  const bridge = [{ tcp1: 20 }, { tcp1: 10 }, { tcp1: 2 }]
  const rows = rowsOf(scene, { bridge, l2l3: [{ tcp1: 18 }, { tcp1: 9 }, { tcp1: 2.4 }] })

  it('takes the ratios within a round, then their median', () => {
    const common = { scene: 'switch', metric: 'tcp1', unit: 'Gbit/s', rounds: 3 }
    expect(rows).toEqual([
      { ...common, contender: 'bridge', median: 10, min: 2, max: 20, ratios: { bridge: 1 } },
      { ...common, contender: 'l2l3', median: 9, min: 2.4, max: 18, ratios: { bridge: 0.9 } },
    ])
  })

  it('holds what was measured against what is wanted, and leaves out what was not', () => {
    expect(targetsOf(scene, rows)).toEqual([
      { target: 'l2l3, TCP, 1 stream: >= 1 x Linux bridge', value: 0.9, met: false },
      { target: 'l2l3, TCP, 1 stream: >= 5 Gbit/s', value: 9, met: true },
    ])
  })

  it('takes the mean of the two in the middle where rounds are even', () => {
    expect(median([4, 1, 3, 2])).toBe(2.5)
    expect(median([3, 1, 2])).toBe(2)
  })
})
