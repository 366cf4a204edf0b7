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
import { CONTENDERS } from './contenders.ts'
import { METRICS } from './load.ts'
import type { NatReport } from './nat.ts'
import { median, type Row, rows } from './report.ts'
import { obstacle, type TapReport } from './run.ts'
import type { TunnelReport } from './tunnel.ts'

const why = obstacle()
const folder = mkdtempSync(join(tmpdir(), 'l2l3-bench-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** Starts the bench as people do; gives its process and, when it has ended, its status and what it said. */
function bench(...args: string[]) {
  return started('run.ts', ...args)
}

function started(file: string, ...args: string[]) {
  const script = fileURLToPath(new URL(file, import.meta.url))
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

describe.runIf(why === null)('the bench on TAP devices', () => {
  it('measures everybody and leaves nothing behind', { timeout: 120_000 }, async () => {
    const json = join(folder, 'report.json')
    const { child, ended } = bench('--quick', '--rounds', '1', '--seconds', '0.1', '--json', json)
    const { code, said } = await ended
    expect(code, said).toBe(0)
    expect(namespaces(child.pid)).toEqual([])

    const report = JSON.parse(readFileSync(json, 'utf8')) as TapReport
    // Not searched for when it is to be quick; and who is no process has no CPU time of its own.
    const metrics = Object.keys(METRICS).filter((metric) => metric !== 'lossless')
    const ofProcesses = new Set(['tcp1Cores', 'tcp4Cores', 'udpFrame', 'idle'])
    const expected = metrics.flatMap((metric) =>
      CONTENDERS.filter((name) => !ofProcesses.has(metric) || (name !== 'veth' && name !== 'bridge')).map(
        (name) => `${metric} ${name}`,
      ),
    )
    expect(report.rows.map((row: Row) => `${row.metric} ${row.contender}`)).toEqual(expected)
    // A switch that nobody talks to may sleep through so short a measurement; one that polls may not.
    expect(report.rows.filter((row) => !(row.median > 0) && row.metric !== 'idle')).toEqual([])
    expect(report.rows.find((row) => row.metric === 'idle' && row.contender === 'l2l3-busy')?.median).toBeGreaterThan(
      10,
    )
    const bridge = report.rows.filter((row) => row.contender === 'bridge')
    expect(bridge.map((row) => row.toBridge)).toEqual(bridge.map(() => 1))
    expect(report.targets).toHaveLength(11)
    expect(report.machine).toMatchObject({ node: process.versions.node, cores: expect.any(Number) })
    for (const name of ['l2l3', 'l2l3-event-loop', 'l2l3-busy']) {
      expect(report.ledgers[name], name).toMatchObject({ balanced: true, held: 0 })
    }
  })

  it('measures our NAT beside the kernel’s', { timeout: 120_000 }, async (context) => {
    const missing = obstacle('nft')
    if (missing !== null) context.skip(missing)
    const json = join(folder, 'nat.json')
    const { child, ended } = started('nat.ts', '--quick', '--rounds', '1', '--seconds', '0.1', '--json', json)
    const { code, said } = await ended
    expect(code, said).toBe(0)
    expect(namespaces(child.pid)).toEqual([])
    const report = JSON.parse(readFileSync(json, 'utf8')) as NatReport
    const of = (name: string) => report.rows.filter((row) => row.contender === name)
    expect(of('kernel').map((row) => row.metric)).toEqual(of('direct').map((row) => row.metric))
    expect(of('l2l3').map((row) => row.metric)).toEqual(expect.arrayContaining(of('kernel').map((row) => row.metric)))
    expect(report.rows.filter((row) => !(row.median > 0))).toEqual([])
    expect(of('kernel').every((row) => row.toKernel === 1)).toBe(true)
    expect(report.targets).toHaveLength(2)
    expect(report.ledger).toMatchObject({ balanced: true, held: 0 })
  })

  it('measures our tunnels beside the kernel’s', { timeout: 120_000 }, async () => {
    const json = join(folder, 'tunnel.json')
    const only = ['--only', 'kernel,l2l3,mixed']
    const { child, ended } = started(
      'tunnel.ts',
      '--quick',
      '--rounds',
      '1',
      '--seconds',
      '0.1',
      ...only,
      '--json',
      json,
    )
    const { code, said } = await ended
    expect(code, said).toBe(0)
    expect(namespaces(child.pid)).toEqual([])
    const report = JSON.parse(readFileSync(json, 'utf8')) as TunnelReport
    const of = (name: string) => report.rows.filter((row) => row.contender === name).map((row) => row.metric)
    for (const name of ['l2l3', 'mixed']) expect(of(name)).toEqual(expect.arrayContaining(of('kernel')))
    expect(report.rows.filter((row) => !(row.median > 0))).toEqual([])
    expect(report.targets).toHaveLength(2)
    expect(report.ledgers).toHaveLength(3)
    for (const ledger of report.ledgers) expect(ledger).toMatchObject({ balanced: true, held: 0 })
  })

  it('leaves nothing behind when it is interrupted', { timeout: 60_000 }, async () => {
    const { child, ended } = bench('--quick', '--only', 'bridge,l2l3')
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
  it('takes the ratios within a round, then their median', () => {
    // The machine slows down to a half in the second round and to a tenth in the third: the ratio does not care.
    const bridge = [{ tcp1: 20 }, { tcp1: 10 }, { tcp1: 2 }]
    const ours = [{ tcp1: 18 }, { tcp1: 9 }, { tcp1: 2.4 }]
    const all = rows({ bridge, l2l3: ours })
    expect(all).toEqual([
      { contender: 'bridge', metric: 'tcp1', unit: 'Gbit/s', median: 10, min: 2, max: 20, rounds: 3, toBridge: 1 },
      { contender: 'l2l3', metric: 'tcp1', unit: 'Gbit/s', median: 9, min: 2.4, max: 18, rounds: 3, toBridge: 0.9 },
    ])
  })

  it('takes the mean of the two in the middle where rounds are even', () => {
    expect(median([4, 1, 3, 2])).toBe(2.5)
    expect(median([3, 1, 2])).toBe(2)
  })
})
