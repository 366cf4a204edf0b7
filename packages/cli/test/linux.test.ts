import { execFileSync, spawnSync } from 'node:child_process'
import { closeSync, existsSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openCapture } from '@l2l3/switch-core/pcap'
import { derivedMac, linuxProblem } from '@l2l3/topology'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { l2l3, start, stopAll } from './command.ts'

/*
 * The same command on Linux, with namespaces and TAPs. Every test leaves the machine as it found it: `left` lists what
 * there is of these topologies.
 */

// A command takes a moment to start, a busy machine's longer, and some tests here run several.
vi.setConfig({ testTimeout: 120_000 })

const NAME = `clitest${process.pid}`
/** The TAP of sw2/out, which stands among those of everybody. */
const TAP = `l2l3-${derivedMac(NAME, 'sw2', 'out').replaceAll(':', '').slice(4)}`
let dir: string
let topology: string
const problem = await linuxProblem()

const text = (name: string): string =>
  `
name: ${name}
nodes:
  sw1:
    mode: switch
    endpoints:
      red: { mac: 02:00:00:00:00:0a, ip: [10.77.0.1/24, "fd77::1/64"] }
      blue: { mac: 02:00:00:00:00:0b, ip: [10.77.0.2/24, "fd77::2/64"] }
    uplink: { vlan: { trunk: [10] } }
  sw2:
    mode: switch
    endpoints:
      green: { ip: [10.77.0.3/24, "fd77::3/64"], mtu: 9000, vlan: { access: 10 } }
      grey: { ip: [10.77.0.4/24], vlan: { access: 20 } }
    uplink: { vlan: { trunk: [10, 20] } }
    ports: { out: { tap: {} } }
links: [[sw1/uplink, sw2/uplink]]
checks:
  - ping: { from: red, to: blue }
  - ping: { from: green, to: blue, count: 1, timeout: 0.5 }
    expect: fail
  - ping: { from: green, to: grey, count: 1, timeout: 0.5 }
    expect: fail
  - tcp: { from: red, to: blue, bytes: 5 MB }
`.replace(
    '  sw1:\n    mode: switch\n',
    '  sw1:\n    mode: switch\n    static: [{ mac: 02:00:00:00:00:99, port: red, vlan: 1 }]\n',
  )

/** Namespaces, interfaces and directories of these tests. */
function left(): string[] {
  const namespaces = existsSync('/run/netns') ? readdirSync('/run/netns') : []
  const runs = existsSync('/run/l2l3') ? readdirSync('/run/l2l3') : []
  const links = execFileSync('ip', ['-o', 'link'], { encoding: 'utf8' }).includes(` ${TAP}:`) ? [TAP] : []
  return [...namespaces, ...runs].filter((name) => name.includes(NAME)).concat(links)
}

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'l2l3-linux-'))
  topology = join(dir, 'net.yaml')
  writeFileSync(topology, text(NAME))
})
afterAll(() => rmSync(dir, { recursive: true }))
beforeEach((context) => {
  if (problem !== null) context.skip(problem)
})
afterEach(async () => {
  await stopAll()
  if (problem === null) expect(left()).toEqual([])
})

describe('l2l3 up on Linux', () => {
  it('--check builds, tries, and removes everything', async () => {
    const { status, stdout, stderr } = await l2l3(['up', topology, '--check', '--json'])
    expect(stderr).not.toContain('l2l3:')
    const { checks, ledger } = JSON.parse(stdout)
    expect(checks.map((c: { ok: boolean; text: string; detail: string }) => [c.ok, c.text, c.detail])).toEqual([
      [true, 'ping red -> blue (IPv4, 10.77.0.2)', '3 of 3 answered'],
      [true, 'ping red -> blue (IPv6, fd77::2)', '3 of 3 answered'],
      [true, 'ping green -> blue (IPv4, 10.77.0.2, must fail)', expect.stringContaining('0 of 1 answered')],
      [true, 'ping green -> blue (IPv6, fd77::2, must fail)', expect.stringContaining('0 of 1 answered')],
      [true, 'ping green -> grey (IPv4, 10.77.0.4, must fail)', expect.stringContaining('0 of 1 answered')],
      [true, 'tcp red -> blue (IPv4, 10.77.0.2)', '5000000 bytes, all intact'],
      [true, 'tcp red -> blue (IPv6, fd77::2)', '5000000 bytes, all intact'],
    ])
    expect(checks[0].rttMs).toBeGreaterThan(0)
    expect(checks[5].bitsPerSecond).toBeGreaterThan(1e6)
    expect(ledger.balanced).toBe(true)
    expect(status).toBe(0)
  })

  it('runs until Ctrl-C; answers show; refuses a second of the same name', async () => {
    const up = start(['up', topology])
    await up.said(`${NAME} is up on Linux`)
    expect(left()).toHaveLength(6)
    const addresses = execFileSync('ip', ['-n', `l2l3-${NAME}.green`, '-o', 'addr', 'show', 'eth0'], {
      encoding: 'utf8',
    })
    expect(addresses).toContain('10.77.0.3/24')
    expect(addresses).toContain('fd77::3/64')
    expect(addresses).not.toContain('tentative')
    const link = execFileSync('ip', ['-n', `l2l3-${NAME}.green`, '-o', 'link', 'show', 'eth0'], { encoding: 'utf8' })
    expect(link).toMatch(/LOWER_UP.* mtu 9000 /)

    const second = await l2l3(['up', topology, '--check'])
    expect(second.status).toBe(1)
    expect(second.stderr).toContain(`topology ${NAME} is running already, as process ${up.child.pid}`)

    spawnSync('ip', ['netns', 'exec', `l2l3-${NAME}.red`, 'ping', '-c1', '-W2', '10.77.0.2'])
    const fdb = JSON.parse((await l2l3(['show', 'fdb', NAME, '--json'])).stdout) as { mac: string; port: string }[]
    expect(fdb.map((e) => `${e.mac} ${e.port}`)).toEqual(
      expect.arrayContaining(['02:00:00:00:00:99 red', '02:00:00:00:00:0a red', '02:00:00:00:00:0b blue']),
    )
    const { stdout } = await l2l3(['show', 'ports', NAME])
    expect(stdout).toMatch(/sw2\/uplink +up/)
    // How super-frames cross: all of them by a cable in this process, by a TAP what its kernel takes.
    expect(stdout).toMatch(/sw2\/uplink .* checksum, tso, uso, tunnel/)
    expect(stdout).toMatch(/sw1\/red .* checksum, tso/)

    up.child.kill('SIGINT')
    expect((await up.ended).status).toBe(0)
  })

  it('removes everything on SIGTERM in the middle of its checks', async () => {
    const up = start(['up', topology, '--check'])
    await up.said('ping red -> blue (IPv4')
    up.child.kill('SIGTERM')
    expect((await up.ended).status).toBe(143)
  })

  it('cleans up after one that was killed, and works', async () => {
    const up = start(['up', topology])
    await up.said(`${NAME} is up on Linux`)
    up.child.kill('SIGKILL')
    await up.ended
    expect(left()).toHaveLength(5)
    const again = await l2l3(['up', topology, '--check'])
    expect(again.stderr).toContain(`removing what process ${up.child.pid} left behind`)
    expect(again.status).toBe(0)
  })

  it('cleans up after one that was killed also where the next one runs in memory', async () => {
    const up = start(['up', topology])
    await up.said(`${NAME} is up on Linux`)
    up.child.kill('SIGKILL')
    await up.ended
    const again = await l2l3(['up', topology, '--memory', '--check'])
    expect(again.stdout).toContain('checks passed')
    expect(left()).toEqual([])
  })

  it('removes everything though Ctrl-C is pressed again and again', async () => {
    const up = start(['up', topology])
    await up.said(`${NAME} is up on Linux`)
    // The terminal sends it to the whole process group: to each `ip` that removes something as well.
    const group = -(up.child.pid as number)
    const pressing = setInterval(() => process.kill(group, 'SIGINT'), 2)
    up.child.on('exit', () => clearInterval(pressing))
    await up.ended
    expect(left()).toEqual([])
  })

  it('ends by the signal where Ctrl-C comes while it builds or checks, and calls no check failed', async () => {
    const slow = join(dir, 'slow.yaml')
    writeFileSync(slow, text(NAME).replace('{ from: red, to: blue }', '{ from: red, to: blue, count: 100 }'))
    for (const later of [0, 1500]) {
      const up = start(['up', slow, '--check'])
      await up.said('node sw1')
      await new Promise((resolve) => setTimeout(resolve, later))
      process.kill(-(up.child.pid as number), 'SIGINT')
      const { status, stdout } = await up.ended
      expect([status, stdout]).toEqual([130, ''])
    }
  })

  it('does not touch a namespace that it did not make', async () => {
    const foreign = `l2l3-${NAME}.blue`
    execFileSync('ip', ['netns', 'add', foreign])
    try {
      const { status, stderr } = await l2l3(['up', topology, '--check'])
      expect(status).toBe(1)
      expect(stderr).toContain(`network namespace ${foreign} exists, and was not made by this topology`)
      expect(left()).toEqual([foreign])

      // Nor one that took the place of its own after it was killed.
      execFileSync('ip', ['netns', 'del', foreign])
      const up = start(['up', topology])
      await up.said(`${NAME} is up on Linux`)
      up.child.kill('SIGKILL')
      await up.ended
      // The kernel may give a fresh namespace the inode of one that is gone: this one stays, without a name.
      const old = openSync(`/run/netns/${foreign}`, 'r')
      execFileSync('ip', ['netns', 'del', foreign])
      execFileSync('ip', ['netns', 'add', foreign])
      const after = await l2l3(['up', topology, '--check'])
      closeSync(old)
      expect(after.stderr).toContain(`network namespace ${foreign} exists`)
      expect(left()).toEqual(expect.arrayContaining([foreign]))
    } finally {
      spawnSync('ip', ['netns', 'del', foreign])
    }
  })

  it('goes on when an interface is deleted under it, and says so', async () => {
    const up = start(['up', topology])
    await up.said(`${NAME} is up on Linux`)
    execFileSync('ip', ['-n', `l2l3-${NAME}.grey`, 'link', 'del', 'eth0'])
    await up.said('port sw2/grey has failed and is out of service')
    const { stdout } = await l2l3(['show', 'ports', NAME, '--json'])
    const states = (JSON.parse(stdout) as { port: string; state: string }[]).map((p) => [p.port, p.state])
    expect(states).toEqual([
      ['red', 'up'],
      ['blue', 'up'],
      ['uplink', 'up'],
      ['green', 'up'],
      ['grey', expect.not.stringMatching(/^up$/)],
      ['out', 'up'],
      ['uplink', 'up'],
    ])
    up.child.kill('SIGHUP')
    expect((await up.ended).status).toBe(0)
  })
})

describe('l2l3 down, apply and captures on Linux', () => {
  it('says how to enter a pod, captures every port, takes changes, and is ended by l2l3 down', async () => {
    const captures = join(dir, 'captures')
    const up = start(['up', topology, '--pcap', captures])
    await up.said(`${NAME} is up on Linux`)
    await up.said(`Enter a pod: ip netns exec l2l3-${NAME}.red bash  (others: blue, green, grey)`)
    const ping = (from: string, to: string, count = 3): number | null =>
      spawnSync('ip', ['netns', 'exec', `l2l3-${NAME}.${from}`, 'ping', '-qc', String(count), '-i0.01', '-W2', to])
        .status
    expect(ping('red', '10.77.0.2')).toBe(0)

    const more = join(dir, 'more.yaml')
    const black = 'black: { ip: [10.77.0.5/24] }'
    writeFileSync(
      more,
      text(NAME).replace(
        '    uplink: { vlan: { trunk: [10] } }',
        `      ${black}\n    uplink: { vlan: { trunk: [10] } }`,
      ),
    )
    const dry = await l2l3(['apply', more, NAME, '--dry-run'])
    expect(dry).toMatchObject({
      status: 0,
      stderr: '',
      stdout: expect.stringMatching(/^Changes of \w+:\n {2}\+ .*black/),
    })
    expect(existsSync(`/run/netns/l2l3-${NAME}.black`)).toBe(false)
    expect((await l2l3(['apply', more, NAME])).stdout).toContain('made.')
    expect(ping('black', '10.77.0.1')).toBe(0)
    expect((await l2l3(['apply', topology, NAME])).stdout).toContain('- ')
    expect(existsSync(`/run/netns/l2l3-${NAME}.black`)).toBe(false)
    expect(ping('red', '10.77.0.2')).toBe(0)

    expect(await l2l3(['down', NAME])).toEqual({ status: 0, stdout: `${NAME} is down\n`, stderr: '' })
    expect((await up.ended).status).toBe(0)
    expect(left()).toEqual([])
    const frames = Array.from(openCapture(readFileSync(join(captures, 'sw1.blue.pcapng'))))
    const requests = frames.filter(({ data }) => data[12] === 8 && data[13] === 0 && data[23] === 1 && data[34] === 8)
    expect(requests).toHaveLength(6)
  })

  it('down removes what one has left that was killed', async () => {
    const up = start(['up', topology])
    await up.said(`${NAME} is up on Linux`)
    up.child.kill('SIGKILL')
    await up.ended
    expect(left()).toHaveLength(5)
    const down = await l2l3(['down', NAME])
    expect(down).toMatchObject({ status: 0, stdout: `${NAME}: removed what process ${up.child.pid} left behind\n` })
    expect(left()).toEqual([])
  })
})

describe('l2l3 demo on Linux', () => {
  it('shows all of it and leaves nothing', async () => {
    const path = join(dir, 'demo.yaml')
    writeFileSync(path, text(NAME))
    const { status, stdout } = await l2l3(['demo', path])
    expect(stdout).toContain('7 of 7 checks passed')
    expect(stdout).toContain('ARP: who has 10.77.0.2? tell 10.77.0.1, 42 bytes, came in at sw1/red')
    expect(stdout).toContain('Everything is removed.')
    expect(status).toBe(0)
  })
})
