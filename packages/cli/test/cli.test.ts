import { spawn } from 'node:child_process'
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
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { openCapture } from '@l2l3/switch-core/pcap'
import type { FdbRow, Snapshot } from '@l2l3/topology'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { fdbTable } from '../src/tables.ts'
import { l2l3, NODE, start, stopAll } from './command.ts'

// A command takes a moment to start, a busy machine's longer, and some tests here run a dozen.
vi.setConfig({ testTimeout: 120_000 })

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
      [['up', 'x.yaml', '--memory', '--wait', 'busy'], /^l2l3: --wait is on Linux: it does not go with --memory\n$/],
      [['replay', 'x.yaml', '--out', dir, '--in', 'red=x.pcap'], /expected NODE\/PORT=FILE/],
      [
        ['replay', 'x.yaml', '--out', dir, '--direction', 'up'],
        /'--direction <WAY>' .*'up' is invalid.*Allowed choices are in, out/,
      ],
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
    const [at, rest] = [malformed.stderr.slice(0, bad.length), malformed.stderr.slice(bad.length)]
    expect(at).toBe(bad)
    expect(rest).toMatch(
      /^:2:14: nodes\.a\.mode: expected "switch", .*"vtep".*, not "swich"; did you mean "switch"\?\n$/,
    )
    expect(nothing).toMatchObject({ status: 1, stderr: expect.stringMatching(/^l2l3: no topology is running/) })
  })

  it('says what documents of HNS have that changes nothing', async () => {
    const path = file(
      'idle.yaml',
      `name: cli-idle
nodes:
  n:
    mode: transparent
    uplink: {}
    endpoints: { web: {} }
    hns:
      networks: [{ Type: Transparent, Flags: EnableIov, Ipams: [{ Type: Dhcp }] }]
      endpoints: { web: { IPAddress: 10.0.0.5, PrefixLength: 24, MacAddress: 00-15-5D-00-00-05 } }
`,
    )
    const { status, stderr } = await l2l3(['up', '--memory', '--check', path], env)
    expect({ status, stderr }).toEqual({
      status: 0,
      stderr:
        'l2l3: node n: hns: $.networks[0].Flags: EnableIov changes nothing: SR-IOV has hardware carry frames past the switch: ' +
        'there is none, and they pass it\n',
    })
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

  it('refuses a topology without an end', async () => {
    expect(await l2l3(['up', '--memory', '--check', '/dev/zero'], env)).toMatchObject({
      status: 1,
      stdout: '',
      stderr: 'l2l3: cannot read the topology /dev/zero: it is longer than 2097152 bytes\n',
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
    const failing = TWO.replace('to: 10.0.0.9, count: 1', 'to: blue, family: 4').replace('cli-two', 'cli-failing')
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
      await up.said('the clock stands still')
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
    const args = ['replay', path, '--in', `sw1/red=${red}`, '--direction', 'in', '--out', out]
    const { status, stdout, stderr } = await l2l3(args)
    expect(status).toBe(0)
    expect(stderr).toMatch(/^l2l3: 1 frame was played without regard to --direction: the captures do not say which way/)
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
    expect(stdout).toContain('ARP: who has 10.0.0.2? tell 10.0.0.1, 42 bytes, came in at sw1/red')
    expect(stdout).toContain('0000  ff ff ff ff ff ff 02 00  00 00 00 0a 08 06 00 01')
    expect(stdout).toContain('4 of 4 checks passed')
  })
})

describe('l2l3 down', () => {
  it('ends what runs, and says so; --all ends all', async () => {
    const names = ['cli-down-a', 'cli-down-b', 'cli-down-c']
    const ups = names.map((name) => start(['up', file(`${name}.yaml`, TWO.replace('cli-two', name)), '--memory'], env))
    await Promise.all(ups.map((up, i) => up.said(`${names[i]} is up in memory`)))
    const which = await l2l3(['down'], env)
    expect(which).toMatchObject({
      status: 1,
      stderr: 'l2l3: several topologies are running; name one of cli-down-a, cli-down-b, cli-down-c, or say --all\n',
    })
    // A file says which one it is about.
    const same = file('cli-down-a.yaml', TWO.replace('cli-two', 'cli-down-a'))
    expect((await l2l3(['apply', same], env)).stdout).toBe(`cli-down-a is what ${same} says already\n`)
    const other = file('cli-down-d.yaml', TWO.replace('cli-two', 'cli-down-d'))
    expect((await l2l3(['apply', other], env)).stderr).toBe(
      'l2l3: several topologies are running; name one of cli-down-a, cli-down-b, cli-down-c\n',
    )
    expect(await l2l3(['down', 'cli-down-b'], env)).toEqual({ status: 0, stdout: 'cli-down-b is down\n', stderr: '' })
    expect((await (ups[1] as (typeof ups)[number]).ended).status).toBe(0)
    expect((await l2l3(['down', 'cli-down-b'], env)).stderr).toBe(
      'l2l3: no topology "cli-down-b" is running; there is cli-down-a, cli-down-c\n',
    )
    const all = await l2l3(['down', '--all'], env)
    expect([all.status, all.stdout.trim().split('\n').sort()]).toEqual([
      0,
      ['cli-down-a is down', 'cli-down-c is down'],
    ])
    for (const up of ups) expect((await up.ended).status).toBe(0)
    expect(readdirSync(env.L2L3_RUN_DIR as string)).toEqual([])
    expect(await l2l3(['down', '--all'], env)).toMatchObject({ status: 0, stdout: 'no topology is running\n' })
    expect((await l2l3(['down'], env)).status).toBe(1)
  })

  it('cleans up after one that was killed, and ends one that does not answer', async () => {
    const path = file('killed.yaml', TWO.replace('cli-two', 'cli-killed'))
    const up = start(['up', path, '--memory'], env)
    await up.said('cli-killed is up')
    up.child.kill('SIGKILL')
    await up.ended
    expect(readdirSync(env.L2L3_RUN_DIR as string)).toEqual(['cli-killed'])
    expect((await l2l3(['down', 'cli-killed'], env)).stdout).toBe(
      `cli-killed: removed what process ${up.child.pid} left behind\n`,
    )
    expect(readdirSync(env.L2L3_RUN_DIR as string)).toEqual([])

    const deaf = start(['up', path, '--memory'], env)
    await deaf.said('cli-killed is up')
    rmSync(join(env.L2L3_RUN_DIR as string, 'cli-killed', 'control.sock'))
    expect((await l2l3(['show', 'ports'], env)).stderr).toContain('the running topology does not answer questions at')
    expect((await l2l3(['down'], env)).stdout).toBe('cli-killed is down\n')
    expect((await deaf.ended).status).toBe(0)
  })
})

describe('l2l3 apply', () => {
  const GREEN = '      green: { ip: 10.0.0.3/24 }\n'
  const named = (name: string): string => TWO.replace('cli-two', name)

  it('shows the changes, and makes them unless it is a dry run', async () => {
    const before = file('before.yaml', named('cli-apply'))
    const after = file('after.yaml', named('cli-apply').replace('checks:\n', `${GREEN}checks:\n`))
    const up = start(['up', before, '--memory'], env)
    await up.said('cli-apply is up')
    const ports = async (): Promise<string[]> => {
      const { stdout } = await l2l3(['show', 'ports', '--json'], env)
      return JSON.parse(stdout).map((p: { port: string }) => p.port)
    }
    const dry = await l2l3(['apply', after, '--dry-run'], env)
    expect(dry).toMatchObject({
      status: 0,
      stderr: '',
      stdout: expect.stringMatching(/^Changes of cli-apply:\n {2}\+ .*green/),
    })
    expect(await ports()).toEqual(['red', 'blue'])
    const made = await l2l3(['apply', after], env)
    expect(made.stdout).toMatch(/ change(s)? made\.\n$/)
    expect(await ports()).toEqual(expect.arrayContaining(['red', 'blue', 'green']))
    expect((await l2l3(['apply', after], env)).stdout).toBe(`cli-apply is what ${after} says already\n`)
    const back = JSON.parse((await l2l3(['apply', before, 'cli-apply', '--json'], env)).stdout)
    expect(back).toMatchObject({ topology: 'cli-apply', applied: true })
    expect(back.changes[0].text).toMatch(/^- .*green/)
    expect(await ports()).toEqual(['red', 'blue'])
    up.child.kill('SIGINT')
    expect((await up.ended).status).toBe(0)
  })

  it('refuses what is wrong, and what takes a restart; what runs goes on as it was', async () => {
    const up = start(['up', file('refuse.yaml', named('cli-refuse')), '--memory'], env)
    await up.said('cli-refuse is up')
    const wrong = file('wrong.yaml', named('cli-refuse').replace('mode: switch', 'mode: swich'))
    expect(await l2l3(['apply', wrong, 'cli-refuse'], env)).toMatchObject({
      status: 1,
      stderr: expect.stringContaining(`${wrong}:5:11: nodes.sw1.mode: expected "switch"`),
    })
    const other = file('other.yaml', named('cli-refuse').replace('mode: switch', 'mode: switch\n    ageing: 60'))
    const dry = await l2l3(['apply', other, '--dry-run'], env)
    const made = await l2l3(['apply', other], env)
    expect([dry.status, made.status]).toEqual([made.status, made.status])
    expect(JSON.parse((await l2l3(['show', 'ports', '--json'], env)).stdout)).toHaveLength(2)
    up.child.kill('SIGINT')
    await up.ended
  })
})

describe('l2l3 up --pcap', () => {
  it('writes a capture of each port, whole when it has ended', async () => {
    const path = file('pcap.yaml', TWO.replace('cli-two', 'cli-pcap'))
    const out = join(dir, 'pcap', 'deep')
    expect(await l2l3(['up', path, '--memory', '--check', '--pcap', out], env)).toMatchObject({ status: 0, stderr: '' })
    expect(readdirSync(out).sort()).toEqual(['sw1.blue.pcapng', 'sw1.red.pcapng'])
    const records = Array.from(openCapture(readFileSync(join(out, 'sw1.red.pcapng'))))
    // ARP and ND questions, 3 pings of each IP version both ways, a transfer of 10 kB, a ping in vain.
    expect(records.length).toBeGreaterThan(30)
    const again = join(dir, 'pcap', 'again')
    await l2l3(['up', path, '--memory', '--check', '--pcap', again], env)
    for (const name of readdirSync(out)) {
      expect(readFileSync(join(again, name)).equals(readFileSync(join(out, name)))).toBe(true)
    }
    const blocked = await l2l3(['up', path, '--memory', '--check', '--pcap', path], env)
    expect(blocked).toMatchObject({ status: 1, stderr: expect.stringContaining(`cannot make the directory ${path}`) })
  })

  it('goes on where a capture cannot be written any more, and says so once', async () => {
    const path = file('full-pcap.yaml', TWO.replace('cli-two', 'cli-full-pcap'))
    const out = join(dir, 'full-pcap')
    mkdirSync(out)
    symlinkSync('/dev/full', join(out, 'sw1.red.pcapng'))
    const { status, stdout, stderr } = await l2l3(['up', path, '--memory', '--check', '--pcap', out], env)
    expect([status, stdout.trimEnd().split('\n').at(-1)]).toEqual([0, '4 of 4 checks passed'])
    expect(stderr).toMatch(/^l2l3: the capture \S+sw1\.red\.pcapng ends here: ENOSPC[^\n]*\n$/)
  })
})

describe('l2l3 up, when its terminal goes', () => {
  it('lives on where it was detached from it, as by nohup, and else ends', async () => {
    const path = file('hup.yaml', TWO.replace('cli-two', 'cli-hup'))
    const child = spawn('nohup', [process.execPath, ...NODE, 'up', path, '--memory'], {
      env: { ...process.env, ...env },
      stdio: [openSync('/dev/null', 'r'), openSync(join(dir, 'nohup.out'), 'w'), openSync(join(dir, 'nohup.out'), 'a')],
      detached: true,
    })
    const ended = new Promise((resolve) => child.on('exit', resolve))
    const list = async (): Promise<unknown[]> => JSON.parse((await l2l3(['show', 'list', '--json'], env)).stdout)
    while (!existsSync(join(env.L2L3_RUN_DIR as string, 'cli-hup', 'control.sock'))) {
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    child.kill('SIGHUP')
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(await list()).toHaveLength(1)
    expect((await l2l3(['down'], env)).status).toBe(0)
    expect(await ended).toBe(0)

    const up = start(['up', path, '--memory'], env)
    await up.said('cli-hup is up')
    up.child.kill('SIGHUP')
    expect((await up.ended).status).toBe(0)
  })
})

describe('l2l3 up on a terminal', () => {
  it.skipIf(!existsSync('/usr/bin/script'))('shows a table that changes, and gives the terminal back', async () => {
    const path = file('tty.yaml', TWO.replace('cli-two', 'cli-tty'))
    const command = [process.execPath, ...NODE, 'up', path, '--memory'].map((word) => `'${word}'`).join(' ')
    // script(1) runs it on a pseudo-terminal.
    const child = spawn('script', ['-qefc', `stty rows 20 cols 60; ${command}`, '/dev/null'], {
      env: { ...process.env, ...env, TERM: 'xterm', NO_COLOR: '1' },
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    let screen = ''
    child.stdout?.on('data', (data) => {
      screen += data
    })
    const ended = new Promise((resolve) => child.on('exit', resolve))
    for (let i = 0; i < 200 && screen.split('\x1b[H').length < 4; i++) await new Promise((r) => setTimeout(r, 50))
    expect((await l2l3(['down'], env)).status).toBe(0)
    expect(await ended).toBe(0)
    expect(screen).toContain('\x1b[?1049h\x1b[?25l')
    expect(screen.trimEnd().endsWith('\x1b[?25h\x1b[?1049l')).toBe(true)
    const drawn = screen.split('\x1b[H').slice(1)
    expect(drawn.length).toBeGreaterThanOrEqual(3)
    const lines = stripVTControlCharacters(drawn[1] as string).split(/\r+\n/)
    expect(lines.length).toBeLessThanOrEqual(20)
    for (const line of lines.slice(0, -1)) expect(line.length).toBeLessThanOrEqual(60)
    expect(lines[0]).toMatch(/^cli-tty in memory, process \d+, up 0:00:0\d/)
    expect(lines[1]).toMatch(/^In memory hosts send nothing by themselves/)
    expect(lines[3]).toBe('Ports (2)')
    expect(lines[5]).toMatch(/^ {2}sw1\/red {3}up {3}/)
  })
})
