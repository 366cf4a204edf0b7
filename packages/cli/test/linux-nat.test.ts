import { spawnSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { FlowRow, ServiceRow } from '@l2l3/topology'
import { describe, expect, it } from 'vitest'
import { l2l3, start } from './command.ts'
import { linuxExamples } from './linux-examples.ts'

/* Mode nat on Linux, where the hosts are kernels. Every test leaves the machine as it found it. */

const examples = await linuxExamples('nat')
const { name: NAME, example } = examples

describe.each(['nat', 'services'])('examples/%s.yaml on Linux', (name) => {
  it('passes its checks', async () => {
    const { status, stdout } = await l2l3(['up', example(name), '--check', '--json'])
    const { checks, ledger } = JSON.parse(stdout) as {
      checks: { kind: string; ok: boolean; skipped?: true }[]
      ledger: { balanced: boolean }
    }
    expect(checks.filter((c) => !c.ok)).toEqual([])
    expect(checks.filter((c) => c.skipped && c.kind !== 'traceroute')).toEqual([])
    expect(checks.length).toBeGreaterThan(8)
    expect(ledger.balanced).toBe(true)
    expect(status).toBe(0)
  })
})

it('masquerades with the address that the host outside can answer, and loops back by destinations of HNS', async () => {
  const path = join(examples.dir, 'addresses.yaml')
  // The first address of each family is one that nobody outside has a way back to.
  writeFileSync(
    path,
    `name: ${NAME}
nodes:
  home:
    mode: nat
    inside: { ip: [10.22.0.1/24, "fd00:22::1/64"] }
    endpoints:
      a: { ip: [10.22.0.11/24, "fd00:22::b/64"] }
    uplink: { ip: [198.51.100.1/24, 203.0.113.1/24, "fd00:99::1/64", "2001:db8:7::1/64"] }
    balancer: { style: windows, dsr: true }
    outbound: [{ behaviour: hns, destinations: [10.22.0.11/32] }, {}]
    services: { web: { port: 80, clusterIps: [10.96.0.1], backends: [{ to: a }] } }
  street:
    mode: switch
    endpoints:
      o: { ip: [203.0.113.2/24, "2001:db8:7::2/64"] }
    uplink: {}
links: [[home/uplink, street/uplink]]
checks:
  - ping: { from: a, to: 203.0.113.2 }
  - ping: { from: a, to: "2001:db8:7::2" }
  - tcp: { from: a, to: 10.96.0.1, port: 80, server: a, timeout: 5 }
`,
  )
  const { stdout } = await l2l3(['up', path, '--check', '--json'])
  const { checks } = JSON.parse(stdout) as { checks: { ok: boolean }[] }
  expect(checks.map((c) => c.ok)).toEqual([true, true, true])
})

describe('l2l3 show', () => {
  it('flows: as they come, and as their answers do', async (context) => {
    const found = process.env.PATH?.split(':').some((path) => existsSync(join(path, 'ping')))
    if (!found) context.skip('the program ping is missing: apt-get install iputils-ping')
    const up = start(['up', example('nat')])
    await up.said(`${NAME} is up on Linux`)
    for (const to of ['198.51.100.9', '10.99.0.9']) {
      const args = ['netns', 'exec', `l2l3-${NAME}.laptop`, 'ping', '-n', '-c2', '-i0.2', '-W2', '-e77', to]
      expect(spawnSync('ip', args, { encoding: 'utf8' }).stdout).toContain('2 received')
    }
    const flows = JSON.parse((await l2l3(['show', 'flows', NAME, '--json'])).stdout) as FlowRow[]
    const end = { node: 'home', protocol: 'icmp', from: '10.22.0.12:77', packets: 4, bytes: 4 * 84 }
    const of = (to: string): FlowRow | undefined => flows.find((flow) => flow.to === to)
    expect(of('198.51.100.9:77')).toMatchObject({ ...end, answersFrom: '198.51.100.9:77', answersTo: '203.0.113.1:77' })
    // To the exception it goes as it is.
    expect(of('10.99.0.9:77')).toMatchObject({ ...end, answersFrom: '10.99.0.9:77', answersTo: '10.22.0.12:77' })
    expect(of('10.99.0.9:77')?.expires).toBeGreaterThan(20)
    const { stdout } = await l2l3(['show', 'flows', NAME])
    expect(stdout).toMatch(
      /home +icmp +\w+ +10\.22\.0\.12:77 > 198\.51\.100\.9:77 +198\.51\.100\.9:77 > 203\.0\.113\.1:77/,
    )
    expect((await l2l3(['show', 'services', NAME])).stdout).toMatch(/tcp +HostPort \*:8080 +10\.22\.0\.11:80/)
    up.child.kill('SIGINT')
    expect((await up.ended).status).toBe(0)
  })

  it('services, in memory as well', async () => {
    const env = { L2L3_RUN_DIR: join(examples.dir, 'run') }
    const up = start(['up', example('services'), '--memory'], env)
    await up.said(`${NAME} is up in memory`)
    const rows = JSON.parse((await l2l3(['show', 'services', NAME, '--json'], env)).stdout) as ServiceRow[]
    const [web] = rows.filter((row) => row.name === 'web')
    expect(web).toMatchObject({ node: 'node', protocol: 'tcp', flows: 0 })
    expect(web?.frontends).toEqual(['ClusterIP 10.96.0.10:80', 'ClusterIP [fd96::10]:80', 'NodePort *:30080'])
    expect(web?.backends).toEqual(['10.244.1.11:8080', '[fd44:1::11]:8080', '10.244.1.12:8080', '[fd44:1::12]:8080'])
    expect((await l2l3(['show', 'services', NAME], env)).stdout).toMatch(
      /node +gone +tcp +ClusterIP 10\.96\.0\.13:80 +0/,
    )
    expect((await l2l3(['show', 'flows', NAME], env)).stdout).toBe('  no flows\n')
    up.child.kill('SIGINT')
    expect((await up.ended).status).toBe(0)
  })
})
