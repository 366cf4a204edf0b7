/**
 * What a trace says that left by a port is what tcpdump sees in the namespace behind it, byte for byte: for every topology in
 * examples/, built on Linux, by a ping between stock hosts.
 *
 *     [ kernel, tcpdump ] eth0 == TAP == nodes, traced == TAP == eth0 [ kernel, tcpdump ]
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openCapture } from '@l2l3/switch-core/pcap'
import {
  type CheckSpec,
  linuxProblem,
  namespaceName,
  outputs,
  type Topology,
  type Trace,
  traceFabric,
  upOnLinux,
} from '@l2l3/topology'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { example, examples } from './questions.ts'

const problem =
  (await linuxProblem()) ?? (spawnSync('tcpdump', ['--version']).status === 0 ? null : 'tcpdump is not installed')
let dir = ''

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'l2l3-trace-'))
})
afterAll(() => rmSync(dir, { recursive: true }))
beforeEach((context) => {
  if (problem !== null) context.skip(problem)
})

/** Captures what the kernel of a namespace sees on eth0; gives the function that ends it and reads the frames. */
async function tcpdump(netns: string, file: string): Promise<() => Promise<string[]>> {
  const args = ['netns', 'exec', netns, 'tcpdump', '-i', 'eth0', '--immediate-mode', '-Z', 'root', '-U', '-w', file]
  const child: ChildProcess = spawn('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  await new Promise<void>((resolve) => {
    child.stderr?.on('data', (text: Buffer) => {
      if (text.includes('listening on')) resolve()
    })
    void ended.then(() => resolve())
  })
  return async () => {
    child.kill('SIGINT')
    await ended
    return Array.from(openCapture(readFileSync(file)), ({ data }) => Buffer.from(data).toString('hex'))
  }
}

/** A ping and a small transfer between hosts that work, as far as there are such. */
function checksOf(topology: Topology): CheckSpec[] {
  const works = topology.checks.filter((c) => c.expect === 'pass' && (c.target ?? c.servers[0]) !== undefined)
  const ping = works.find((c) => c.kind === 'ping' && c.target !== null)
  const tcp = works.find((c) => c.kind === 'tcp')
  return [...(ping ? [{ ...ping, count: 2 }] : []), ...(tcp ? [{ ...tcp, bytes: 3000 }] : [])]
}

describe.each(examples)('examples/%s.yaml on Linux', (name) => {
  it('sends out what the trace says', { timeout: 60_000 }, async () => {
    const topology = { ...example(name), name: `trace${process.pid}` }
    const checks = checksOf(topology)
    expect(checks.length).toBeGreaterThan(0)
    const ends = [...new Set(checks.flatMap((c) => [c.from, ...(c.target === null ? [] : [c.target]), ...c.servers]))]
    const labels = ends.map((end) => `${end.node}/${end.name}`)
    await using world = await upOnLinux(topology)
    const dumps = await Promise.all(
      ends.map((end) => tcpdump(namespaceName(topology, end), join(dir, `${name}.${end.name}.pcap`))),
    )
    const traces: Trace[] = []
    const stop = new AbortController()
    const tracing = traceFabric(world.fabric, 'icmp or icmp6 or arp or tcp', {
      ...{ count: 1000, rate: 1000, signal: stop.signal },
      onTrace: (trace) => traces.push(trace),
    })
    const results = []
    for (const check of checks) results.push(await world.check(check))
    // What has left is on its way to tcpdump.
    await new Promise((resolve) => setTimeout(resolve, 300))
    stop.abort()
    const report = await tracing
    const seen = new Map<string, string[]>()
    for (const [i, end] of dumps.entries()) seen.set(labels[i] as string, await end())
    expect(results.flatMap(({ ok, skipped, text, detail }) => (ok && !skipped ? [] : `${text}: ${detail}`))).toEqual([])
    expect(report.traced).toBe(report.matched)
    const compared = new Map(labels.map((label) => [label, 0]))
    for (const trace of traces) {
      // What a host sends is what tcpdump sees there, too.
      if (labels.includes(trace.at)) expect(seen.get(trace.at)).toContain(trace.input)
      for (const { label, bytes } of outputs(trace)) {
        const there = seen.get(label)
        if (there === undefined) continue
        expect(there, `${label}: ${trace.what}`).toContain(Buffer.from(bytes).toString('hex'))
        compared.set(label, (compared.get(label) ?? 0) + 1)
      }
    }
    // Hosts that had nothing to do with it may have got nothing: one of several behind a service.
    const got = [...compared.values()].filter((n) => n > 0).length
    expect(got).toBeGreaterThanOrEqual(2)
    const requests = traces.filter((trace) => trace.what.includes('echo request'))
    for (const trace of requests) expect(outputs(trace).some((o) => labels.includes(o.label))).toBe(true)
    if (checks[0]?.kind === 'ping') expect(requests.length).toBe(2)
  })
})

describe('afterwards', () => {
  it('nothing is left', () => {
    const left = execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' })
    expect(left).not.toContain(`trace${process.pid}`)
  })
})
