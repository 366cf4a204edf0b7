import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openCapture } from '@l2l3/switch-core/pcap'
import { linuxProblem, outputs, parseTraceText, type Trace, type TraceReport } from '@l2l3/topology'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { run } from '../src/program.ts'
import { l2l3, start, stopAll } from './command.ts'
import { linuxExamples } from './linux-examples.ts'

const example = (name: string): string => new URL(`../../../examples/${name}.yaml`, import.meta.url).pathname
let dir = ''

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'l2l3-trace-cli-'))
})
afterAll(async () => {
  await stopAll()
  rmSync(dir, { recursive: true })
})

describe('l2l3 trace', () => {
  it('shows the way of a frame, and where its neighbours and the answer went', async () => {
    const { status, stdout, stderr } = await l2l3(['trace', example('router'), 'red', 'green'])
    expect([status, stderr]).toEqual([0, ''])
    const lines = stdout.split('\n')
    expect(lines[0]).toBe('icmp red -> green (10.0.3.2)')
    expect(lines[1]).toMatch(/^ARP: who has 10\.0\.1\.1\? tell 10\.0\.1\.2: in by r1\/red, out by r1\/red$/)
    expect(stdout).toMatch(
      / r1 +router +route 10\.0\.3\.0\/24 via 192\.0\.2\.2 dev uplink, TTL 64 -> 63\n +ip\.ttl +64 -> 63\n/,
    )
    expect(stdout).toMatch(
      /answered: IPv4 10\.0\.3\.2 -> 10\.0\.1\.2, ICMP echo reply: in by r2\/green, out by r1\/red/,
    )
    const from = lines.findIndex((line) => line.includes('ICMP echo request, 98 bytes, came in at r1/red'))
    const { input, steps } = parseTraceText(lines.slice(from, lines.indexOf('', from)))
    const ends = outputs({ input, steps } as Trace)
    expect(ends.map((end) => end.label)).toContain('r2/green')
  })

  it('shows the answer and the neighbours too, by either IP version, as JSON and as a capture', async () => {
    const pcapng = join(dir, 'out.pcapng')
    const args = ['trace', example('nat'), 'laptop', 'server', 'tcp', '80', '--family', '6']
    const text = await l2l3([...args, '--answer', '--neighbours'])
    expect(text.stdout).toMatch(/TCP 80 -> 49153, \d+ bytes, came in at provider\/server/)
    expect(text.stdout).toMatch(/neighbour solicitation, 86 bytes, came in at home\/laptop/)
    const { status, stdout } = await l2l3([...args, '--json', '--pcapng', pcapng])
    const report = JSON.parse(stdout) as TraceReport
    expect(status).toBe(0)
    expect(report.question).toBe('tcp 80 laptop -> server (2001:db8:100::9)')
    expect(report.frames.map((frame) => frame.role)).toContain('answer')
    const records = Array.from(openCapture(readFileSync(pcapng)))
    expect(records.length).toBe(report.frames.reduce((sum, frame) => sum + frame.steps.length, 0))
    expect(records.every((record) => record.comments.length === 1)).toBe(true)
  })

  it('sends any frame, and says that nobody has an address', async () => {
    const frame = 'ffffffffffff 02000000000a 88b5'
    const raw = await l2l3(['trace', example('two-namespaces'), 'red', 'frame', ...frame.split(' ')])
    expect([raw.status, raw.stdout]).toEqual([0, expect.stringContaining('type 0x88b5, 14 bytes, came in at sw1/red')])
    const { status, stdout } = await l2l3(['trace', example('two-namespaces'), 'red', '10.0.0.99'])
    expect([status, stdout]).toEqual([
      1,
      expect.stringContaining('never sent: nobody answered "ARP: who has 10.0.0.99?'),
    ])
  })

  const wrong: readonly (readonly [args: string[], status: number, said: RegExp])[] = [
    [[], 2, /expected TOPOLOGY FROM TO \[WHAT\]/],
    [['router', 'red'], 2, /expected TOPOLOGY FROM TO \[WHAT\]/],
    [['nothing.yaml', 'red', 'green'], 1, /cannot read the topology nothing\.yaml/],
    [[example('router'), 'rot', 'green'], 1, /there is no endpoint "rot" in router; it has red, blue, green/],
    [[example('router'), 'red', 'green', 'tcp'], 1, /expected icmp, tcp PORT, udp PORT, arp or frame HEX, not "tcp"/],
    [[example('router'), 'red', 'green', 'tcp', '70000'], 1, /not "tcp 70000"/],
    [[example('router'), 'red', 'green', '--family', '5'], 2, /expected 4 or 6/],
    [[example('router'), 'red', 'green', '--filter', 'icmp'], 2, /--filter goes with --live/],
    [['--live', '--answer'], 2, /--answer does not go with --live/],
    [['--live', '--count', '0'], 2, /expected a whole number above 0/],
    [['--live', 'nobody'], 1, /no topology (is running|"nobody" is running)/],
  ]
  it.each(wrong)('%j is refused', async (args, status, said) => {
    vi.stubEnv('L2L3_RUN_DIR', join(dir, 'run'))
    let [out, err] = ['', '']
    const spies = [
      vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
        out += text
        return true
      }),
      vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
        err += text
        return true
      }),
    ]
    const ended = await run(['trace', ...args])
    for (const spy of spies) spy.mockRestore()
    vi.unstubAllEnvs()
    expect([ended, out]).toEqual([status, ''])
    expect(err).toMatch(said)
  })
})

describe('l2l3 trace --live', async () => {
  const lab = await linuxExamples('live')
  const problem = await linuxProblem()

  it('follows frames of what runs, says what fitted, and where a filter is wrong', { timeout: 60_000 }, async () => {
    expect(problem).toBe(null)
    const up = start(['up', lab.example('router')])
    await up.said(`${lab.name} is up`)
    const ping = (to: string): Buffer => {
      const args = ['netns', 'exec', `l2l3-${lab.name}.red`, 'ping', '-c', '1', '-W', '5', to]
      return execFileSync('ip', args)
    }
    const pcapng = join(lab.dir, 'live.pcapng')
    const live = start([
      'trace',
      '--live',
      lab.name,
      '--filter',
      'icmp and host 10.0.3.2',
      '--count',
      '2',
      '--pcapng',
      pcapng,
    ])
    const timer = setInterval(() => ping('10.0.3.2'), 500)
    const ended = await live.ended
    clearInterval(timer)
    expect([ended.status, ended.stdout]).toEqual([
      0,
      expect.stringMatching(/echo request, 98 bytes, came in at r1\/red/),
    ])
    expect(ended.stdout).toMatch(/ r1 +router +route 10\.0\.3\.0\/24 via 192\.0\.2\.2 dev uplink, TTL 64 -> 63/)
    expect(ended.stdout).toMatch(/ r2\/green +leave/)
    expect(Array.from(openCapture(readFileSync(pcapng))).length).toBeGreaterThan(10)

    const wrong = await l2l3(['trace', '--live', lab.name, '--filter', 'icmp and hots 10.0.3.2'])
    expect([wrong.status, wrong.stderr]).toEqual([
      1,
      expect.stringMatching(/the filter is wrong at character 10.*\n.*\n +\^/),
    ])

    const none = start(['trace', '--live', lab.name, '--filter', 'tcp port 9', '--json'])
    await none.said('tracing')
    // Frames come in meanwhile that do not fit.
    for (let i = 0; i < 3; i++) {
      ping('10.0.2.2')
      await new Promise((resolve) => setTimeout(resolve, 300))
    }
    none.child.kill('SIGINT')
    const nothing = await none.ended
    expect([nothing.status, nothing.stdout]).toEqual([1, ''])
    expect(nothing.stderr).toMatch(/none of the \d+ frames? that came in fitted the filter "tcp port 9"/)
    up.child.kill('SIGINT')
    await up.ended
  })
})
