import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FdbRow, Snapshot } from '@l2l3/topology'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { fdbTable } from '../src/tables.ts'
import { l2l3, start, stopAll } from './command.ts'

let dir: string
/** Running topologies of these tests are kept apart from those of the machine. */
let env: Record<string, string>
const file = (name: string, text: string | Uint8Array): string => {
  const path = join(dir, name)
  writeFileSync(path, text)
  return path
}
const TWO = `
name: cli-two
nodes:
  sw1:
    mode: switch
    endpoints:
      red: { mac: 02:00:00:00:00:0a, ip: [10.0.0.1/24, "fd00::1/64"] }
      blue: { mac: 02:00:00:00:00:0b, ip: [10.0.0.2/24, "fd00::2/64"] }
checks:
  - ping: { from: red, to: blue }
  - tcp: { from: red, to: blue, bytes: 10 kB, family: 4 }
  - ping: { from: red, to: 10.0.0.9, count: 1 }
    expect: fail
`

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'l2l3-cli-'))
  env = { L2L3_RUN_DIR: join(dir, 'run') }
})
afterAll(async () => {
  await stopAll()
  rmSync(dir, { recursive: true })
})

describe('l2l3', () => {
  it('explains itself, with examples; says its version', async () => {
    const help = await l2l3(['--help'])
    expect(help.status).toBe(0)
    expect(help.stdout).toContain('l2l3 up examples/two-namespaces.yaml --check')
    expect(help.stderr).toBe('')
    expect((await l2l3(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
  })

  it('says wrong usage in a sentence, with status 2', async () => {
    const wrong: [string[], RegExp][] = [
      [['frob'], /^l2l3: unknown command 'frob'\n$/],
      [['up'], /^l2l3: missing required argument 'TOPOLOGY'\n$/],
      [['up', 'x.yaml', '--json'], /^l2l3: --json goes with --check\n$/],
      [['replay', 'x.yaml', '--out', dir, '--in', 'red=x.pcap'], /expected NODE\/PORT=FILE/],
      [
        ['show', 'fbd', 'x'],
        /there is no "fbd" to show; expected one of ports, fdb, neighbours, routes, flows, services, drops/,
      ],
    ]
    const ended = await Promise.all(wrong.map(([args]) => l2l3(args, env)))
    ended.forEach(({ status, stderr, stdout }, i) => {
      expect([status, stdout]).toEqual([2, ''])
      expect(stderr).toMatch(wrong[i]?.[1] as RegExp)
    })
  })

  it('says what is wrong with a file, with status 1 and no stack', async () => {
    const bad = file('bad.yaml', 'nodes:\n  a: { mode: swich }\n')
    const [missing, malformed, nothing] = await Promise.all([
      l2l3(['up', '--memory', '/nowhere/x.yaml']),
      l2l3(['up', '--memory', '--check', bad]),
      l2l3(['show'], { L2L3_RUN_DIR: join(dir, 'none') }),
    ])
    expect(missing).toMatchObject({
      status: 1,
      stderr: 'l2l3: cannot read the topology /nowhere/x.yaml: there is no such file\n',
    })
    expect(malformed.status).toBe(1)
    expect(malformed.stderr).toBe(
      `${bad}:2:14: nodes.a.mode: expected "switch", "l2bridge", "router", "l3", "nat" or "vtep", not "swich"; did you mean "switch"?\n`,
    )
    expect(nothing).toMatchObject({ status: 1, stderr: expect.stringMatching(/^l2l3: no topology is running/) })
  })

  it('refuses a topology that is not UTF-8, instead of guessing at names', async () => {
    // "description: café" in Latin-1.
    const latin = file('latin.yaml', Buffer.from(`description: caf\xe9\n${TWO}`, 'latin1'))
    expect(await l2l3(['up', '--memory', '--check', latin], env)).toMatchObject({
      status: 1,
      stdout: '',
      stderr: `l2l3: cannot read the topology ${latin}: it is not text in UTF-8\n`,
    })
  })

  it('says so where its output cannot be written, with status 1 and no stack', async () => {
    const path = file('full.yaml', TWO.replace('cli-two', 'cli-full'))
    const commands = [
      ['replay', path, '--out', join(dir, 'full')],
      ['up', path, '--memory', '--check'],
    ]
    const full = openSync('/dev/full', 'w')
    const ended = await Promise.all(commands.map((args) => l2l3(args, env, full)))
    closeSync(full)
    for (const end of ended) {
      expect(end).toMatchObject({ status: 1, stderr: expect.stringMatching(/^l2l3: cannot write: .*ENOSPC.*\n$/) })
    }
  })
})

describe('l2l3 up --memory --check', () => {
  it('runs the checks without root; a pipe gets no colour', async () => {
    const { status, stdout } = await l2l3(['up', file('two.yaml', TWO), '--memory', '--check'], env)
    expect(stdout.split('\n').map((line) => line.trimEnd())).toEqual([
      '  ok    ping red -> blue (IPv4, 10.0.0.2)         3 of 3 answered',
      '  ok    ping red -> blue (IPv6, fd00::2)          3 of 3 answered',
      '  ok    tcp red -> blue (IPv4, 10.0.0.2)          10000 bytes, all intact',
      '  ok    ping red -> 10.0.0.9 (IPv4, must fail)    0 of 1 answered: no answer',
      '',
      '4 of 4 checks passed',
      '',
    ])
    expect(status).toBe(0)
    expect(existsSync(env.L2L3_RUN_DIR as string)).toBe(false)
  })

  it('ends with status 1 where a check fails; results as JSON', async () => {
    const failing = TWO.replace('    expect: fail\n', '').replace('cli-two', 'cli-failing')
    const { status, stdout } = await l2l3(['up', file('f.yaml', failing), '--memory', '--check', '--json'], env)
    expect(status).toBe(1)
    const { checks, ledger } = JSON.parse(stdout)
    expect(checks.map((c: { ok: boolean }) => c.ok)).toEqual([true, true, true, false])
    expect(ledger.balanced).toBe(true)
  })
})

describe('l2l3 up --memory', () => {
  it('hears a signal in the middle of a check', async () => {
    const path = file('long.yaml', TWO.replace('bytes: 10 kB', 'bytes: 200 GB, timeout: 3600'))
    const up = start(['up', path, '--memory', '--check'], env)
    await up.said('ping red -> blue (IPv6')
    up.child.kill('SIGTERM')
    expect((await up.ended).status).toBe(143)
  })
})

describe('l2l3 show', () => {
  it('asks a running topology, over a socket that only its owner may use', async () => {
    const path = file('shown.yaml', TWO.replace('cli-two', 'cli-shown'))
    const up = start(['up', path, '--memory'], env)
    try {
      await up.said('cli-shown is up in memory')
      const run = join(env.L2L3_RUN_DIR as string, 'cli-shown')
      const modes = [env.L2L3_RUN_DIR as string, run, join(run, 'control.sock')].map((p) => statSync(p).mode & 0o777)
      expect(modes.map((mode) => mode.toString(8))).toEqual(['700', '700', '600'])

      const [ports, all, list, ledger, unknown, twice, beside] = await Promise.all([
        l2l3(['show', 'ports', '--json'], env),
        l2l3(['show'], env),
        l2l3(['show', 'list', '--json'], env),
        l2l3(['show', 'ledger', 'cli-shown', '--json'], env),
        l2l3(['show', 'fdb', 'other'], env),
        l2l3(['up', path, '--memory'], env),
        l2l3(['up', path, '--memory', '--check'], env),
      ])
      expect(JSON.parse(ports.stdout).map((p: { port: string }) => p.port)).toEqual(['red', 'blue'])
      expect(all.stdout).toMatch(/^ports\n {2}port +state/)
      expect(JSON.parse(list.stdout)).toEqual([{ name: 'cli-shown', pid: up.child.pid, world: 'memory' }])
      expect(JSON.parse(ledger.stdout)).toMatchObject({ received: 0, balanced: true })
      expect(unknown).toMatchObject({ status: 1, stderr: 'l2l3: no topology "other" is running; there is cli-shown\n' })
      expect(twice.status).toBe(1)
      expect(twice.stderr).toContain(`topology cli-shown is running already, as process ${up.child.pid}`)
      // Checks in memory make nothing that could clash.
      expect(beside).toMatchObject({ status: 0, stderr: '', stdout: expect.stringContaining('4 of 4 checks passed') })

      // Questions that are none are answered with an error, and end nothing.
      const answer = await new Promise<string>((resolve) => {
        const socket = connect(join(run, 'control.sock'), () => socket.write('nonsense\n{"ask":1}\n'))
        let text = ''
        socket.on('data', (data) => {
          text += data
          if (text.split('\n').length === 3) resolve(text)
        })
        socket.on('close', () => resolve(text))
      })
      expect(
        answer
          .trim()
          .split('\n')
          .map((line) => Object.keys(JSON.parse(line))),
      ).toEqual([['error'], ['error']])
    } finally {
      up.child.kill('SIGINT')
    }
    expect((await up.ended).status).toBe(0)
    expect(readdirSync(env.L2L3_RUN_DIR as string)).toEqual([])
  })
})

describe('l2l3 show, to whom it may not', () => {
  /** Somebody else than root, who may not look into what root keeps from others. */
  const NOBODY = 65_534
  const root = process.getuid?.() === 0

  it('says that it is not allowed to look, rather than that nothing runs', async () => {
    const closed = join(dir, 'closed')
    mkdirSync(closed, { mode: root ? 0o700 : 0 })
    chmodSync(dir, 0o755)
    const ended = await Promise.all(
      ['list', 'ports'].map((what) =>
        l2l3(['show', what], { L2L3_RUN_DIR: closed, TMPDIR: '/tmp' }, 'pipe', root ? NOBODY : undefined),
      ),
    )
    chmodSync(closed, 0o700)
    const owner = root ? 'root' : `user ${process.getuid?.()}`
    for (const end of ended) {
      expect(end).toEqual({
        ...{ status: 1, stdout: '' },
        stderr: `l2l3: you are not allowed to look into ${closed}, which belongs to ${owner}: try with sudo\n`,
      })
    }
  })

  it.skipIf(!root)("tells others where root's are, which they do not see", async () => {
    mkdirSync('/run/l2l3', { recursive: true, mode: 0o700 })
    const own = { XDG_RUNTIME_DIR: join(dir, 'session'), L2L3_RUN_DIR: '', TMPDIR: '/tmp' }
    const [ports, list, rooted] = await Promise.all([
      l2l3(['show', 'ports'], own, 'pipe', NOBODY),
      l2l3(['show', 'list'], own, 'pipe', NOBODY),
      l2l3(['show', 'ports'], { ...own, L2L3_RUN_DIR: join(dir, 'none') }),
    ])
    const hint = `looked in ${join(dir, 'session', 'l2l3')}; what root runs is in /run/l2l3, which is root's alone: try with sudo`
    expect(ports).toMatchObject({
      status: 1,
      stderr: `l2l3: no topology is running (${hint}); start one: l2l3 up TOPOLOGY\n`,
    })
    expect(list).toEqual({ status: 0, stdout: '  no topology is running\n', stderr: `l2l3: ${hint}\n` })
    expect(rooted.stderr).not.toContain('sudo')
  })
})

describe('fdbTable', () => {
  it('says when an address was heard only of those that were', () => {
    const row = (kind: string): FdbRow => {
      return { node: 'n', mac: '02:00:00:00:00:01', vlan: 0, port: kind, kind, age: 92_000 }
    }
    const fdb = ['dynamic', 'sticky', 'static', 'flood'].map(row)
    const lines = fdbTable({ fdb } as unknown as Snapshot)
      .split('\n')
      .slice(1)
    expect(lines.map((line) => line.trim().split(/ {2,}/).slice(-2))).toEqual([
      ['dynamic', '92.0 s ago'],
      ['flood', '-'],
      ['static', '-'],
      ['sticky', '92.0 s ago'],
    ])
  })
})

describe('l2l3 replay', () => {
  const HEADER = '4d3cb2a1020004000000000000000000000004000100000080'
  const ARP = 'ffffffffffff02000000000a0806000108000604000102000000000a0a0000010000000000000a000002'
  const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'))

  it('writes captures, and the ledger as the one thing on standard output', async () => {
    const path = file('r.yaml', TWO)
    const red = file('red.pcap', hex(`${HEADER}009265010000002a0000002a000000${ARP}`))
    const out = join(dir, 'out')
    const { status, stdout } = await l2l3(['replay', path, '--in', `sw1/red=${red}`, '--out', out])
    expect(status).toBe(0)
    expect(JSON.parse(stdout)).toEqual({
      ...{ received: 1, originated: 0, copied: 0, sent: 1, held: 0 },
      ...{ dropped: {}, balanced: true },
    })
    expect(stdout.trim().split('\n')).toHaveLength(1)
    expect(readFileSync(join(out, 'sw1.blue.pcap')).equals(readFileSync(red))).toBe(true)
    expect(readFileSync(join(out, 'sw1.red.pcap'))).toHaveLength(24)
  })

  it('says what is wrong with a capture, and ends with status 1 and nothing on standard output', async () => {
    const path = file('r.yaml', TWO)
    const cut = file('cut.pcap', hex(`${HEADER}0092650100`))
    mkdirSync(join(dir, 'no'), { recursive: true })
    const [truncated, missing, port] = await Promise.all([
      l2l3(['replay', path, '--in', `sw1/red=${cut}`, '--out', join(dir, 'no')]),
      l2l3(['replay', path, '--in', 'sw1/red=/nowhere.pcap', '--out', join(dir, 'no')]),
      l2l3(['replay', path, '--in', `sw1/rde=${cut}`, '--out', join(dir, 'no')]),
    ])
    for (const { status, stdout } of [truncated, missing, port]) expect([status, stdout]).toEqual([1, ''])
    expect(truncated.stderr).toMatch(/^l2l3: .*cut\.pcap: at byte \d+: the file ends within .*\n$/)
    expect(missing.stderr).toBe('l2l3: cannot read the capture /nowhere.pcap: there is no such file or directory\n')
    expect(port.stderr).toContain('there is no port "sw1/rde" in cli-two (expected node/port); did you mean "sw1/red"?')
    expect(readdirSync(join(dir, 'no'))).toEqual([])
  })
})

describe('l2l3 demo --memory', () => {
  it('ends without a word where its reader goes away', async () => {
    const demo = start(['demo', file('gone.yaml', TWO.replace('cli-two', 'cli-gone')), '--memory'], env)
    demo.child.stdout?.destroy()
    const { stderr } = await demo.ended
    expect(stderr).toBe('')
    expect(readdirSync(env.L2L3_RUN_DIR as string)).toEqual([])
  })

  it('shows checks, addresses, counters and the path of the first frame', async () => {
    const { status, stdout } = await l2l3(['demo', file('demo.yaml', TWO), '--memory'], env)
    expect(status).toBe(0)
    expect(stdout).toContain('Running in memory, with small built-in hosts')
    expect(stdout).toContain('entered at sw1/red: ARP: who has 10.0.0.2? tell 10.0.0.1')
    expect(stdout).toContain('      0000  ff ff ff ff ff ff 02 00  00 00 00 0a 08 06 00 01')
    expect(stdout).toContain('4 of 4 checks passed')
  })
})
