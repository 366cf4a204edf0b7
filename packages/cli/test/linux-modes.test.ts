import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { l2l3, start } from './command.ts'
import { linuxExamples } from './linux-examples.ts'

/*
 * The routed modes on Linux, where the hosts are kernels: the examples pass their checks, and what the kernels see of us
 * is what they see of a Linux router. Every test leaves the machine as it found it.
 */

const examples = await linuxExamples('modes')
const { name: NAME, example } = examples

/** Runs a command in an endpoint's namespace; gives what it says. */
function inside(endpoint: string, ...command: string[]): string {
  return spawnSync('ip', ['netns', 'exec', `l2l3-${NAME}.${endpoint}`, ...command], { encoding: 'utf8' }).stdout
}

describe.each(['router', 'l3'])('examples/%s.yaml on Linux', (name) => {
  it('passes its checks; without traceroute those are skipped, and say what to install', async () => {
    const { status, stdout } = await l2l3(['up', example(name), '--check', '--json'])
    const { checks, ledger } = JSON.parse(stdout) as {
      checks: { kind: string; ok: boolean; skipped?: true; text: string; detail: string }[]
      ledger: { balanced: boolean }
    }
    expect(checks.filter((c) => !c.ok)).toEqual([])
    for (const c of checks.filter((c) => c.skipped)) {
      expect([c.kind, c.detail]).toEqual([
        'traceroute',
        'skipped: the program traceroute is missing: apt-get install traceroute',
      ])
    }
    expect(new Set(checks.map((c) => c.kind))).toEqual(new Set(['ping', 'tcp', 'traceroute', 'neigh']))
    expect(ledger.balanced).toBe(true)
    expect(status).toBe(0)
  })
})

describe('mode l3 on Linux', () => {
  it('is to a pod what a Calico node is: routes, neighbours, ICMP errors', async (context) => {
    const found = process.env.PATH?.split(':').some((path) => existsSync(join(path, 'ping')))
    if (!found) context.skip('the program ping is missing: apt-get install iputils-ping')
    const up = start(['up', example('l3')])
    await up.said(`${NAME} is up on Linux`)
    expect(inside('web', 'ip', '-4', 'route').trim().split(/ *\n/)).toEqual([
      'default via 169.254.1.1 dev eth0',
      '169.254.1.1 dev eth0 scope link',
    ])
    expect(inside('web', 'ip', '-6', 'route', 'show', 'default')).toContain(
      'default via fe80::ecee:eeff:feee:eeee dev eth0',
    )
    // A time to live of 1 ends at the node, which speaks with its uplink's address: it has no other.
    expect(inside('web', 'ping', '-n', '-c1', '-W2', '-t1', '10.244.1.9')).toMatch(
      /From 192\.0\.2\.1 icmp_seq=1 Time to live exceeded/,
    )
    expect(inside('web', 'ping', '-6', '-n', '-c1', '-W2', '-t1', 'fd44:1::9')).toMatch(
      /From fd00:2:1::1 icmp_seq=1 Time exceeded: Hop limit/,
    )
    expect(inside('web', 'ip', 'neigh', 'show', 'to', '169.254.1.1')).toContain('lladdr ee:ee:ee:ee:ee:ee')
    const six = inside('web', 'ip', 'neigh', 'show', 'to', 'fe80::ecee:eeff:feee:eeee')
    expect(six).toMatch(/lladdr ee:ee:ee:ee:ee:ee router/)

    const shown = JSON.parse((await l2l3(['show', 'routes', NAME, '--json'])).stdout) as { to: string; kind: string }[]
    expect(shown.find((r) => r.to === '10.244.1.0/26')?.kind).toBe('blackhole')
    const { stdout } = await l2l3(['show', 'neighbours', NAME])
    expect(stdout).toMatch(/n1\/web +10\.244\.1\.5 +02(:[0-9a-f]{2}){5}/)

    up.child.kill('SIGINT')
    expect((await up.ended).status).toBe(0)
  })
})
