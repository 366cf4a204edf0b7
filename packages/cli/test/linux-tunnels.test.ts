import { join } from 'node:path'
import type { FdbRow } from '@l2l3/topology'
import { describe, expect, it } from 'vitest'
import { l2l3, start } from './command.ts'
import { linuxExamples } from './linux-examples.ts'

/* Nodes with tunnels on Linux, where the hosts are kernels. Every test leaves the machine as it found it. */

const examples = await linuxExamples('tun')
const { name: NAME, example } = examples

describe.each(['vxlan', 'tunnels'])('examples/%s.yaml on Linux', (name) => {
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

describe('l2l3 show', () => {
  it('tunnels among the ports, far ends in the address table', async () => {
    const env = { L2L3_RUN_DIR: join(examples.dir, 'run') }
    const up = start(['up', example('vxlan'), '--memory'], env)
    await up.said(`${NAME} is up in memory`)
    const ports = (await l2l3(['show', 'ports', NAME], env)).stdout
    expect(ports).toMatch(/n1\/blue +up .* vxlan vni 42, 192\.0\.2\.1 to 192\.0\.2\.2, 198\.51\.100\.3/)
    expect(ports).toMatch(/n1\/green +up .* geneve vni 43, 2001:db8:2::1 to 2001:db8:2::2, 2001:db8:100::3/)
    expect(ports).toMatch(/n1\/uplink +up .* -$/m)
    const fdb = JSON.parse((await l2l3(['show', 'fdb', NAME, '--json'], env)).stdout) as FdbRow[]
    const flood = fdb.filter((row) => row.node === 'n3' && row.kind === 'flood').map((row) => row.port)
    expect(flood.sort()).toEqual([
      '192.0.2.1 vni 42',
      '192.0.2.2 vni 42',
      '2001:db8:2::1 vni 43',
      '2001:db8:2::2 vni 43',
    ])
    up.child.kill('SIGINT')
    expect((await up.ended).status).toBe(0)
  })

  it('of a router where its tunnels lead', async () => {
    const env = { L2L3_RUN_DIR: join(examples.dir, 'run') }
    const up = start(['up', example('tunnels'), '--memory'], env)
    await up.said(`${NAME} is up in memory`)
    const ports = (await l2l3(['show', 'ports', NAME], env)).stdout
    expect(ports).toMatch(/a\/tunl0 +up .* ipip, 192\.0\.2\.1 to 192\.0\.2\.2/)
    expect(ports).toMatch(/a\/gre0 +up .* gre key 7, 192\.0\.2\.1 to 192\.0\.2\.3/)
    const fdb = (await l2l3(['show', 'fdb', NAME], env)).stdout
    expect(fdb).toMatch(/a +0a:58:c0:00:02:02 +- +192\.0\.2\.2 vni 1 +static/)
    expect((await l2l3(['show', 'routes', NAME], env)).stdout).toMatch(
      /a +10\.244\.2\.0\/24 +static +192\.0\.2\.2 tunl0/,
    )
    expect((await l2l3(['show', 'neighbours', NAME], env)).stdout).toMatch(
      /a\/vxlan1 +10\.245\.2\.0 +0a:58:c0:00:02:02/,
    )
    up.child.kill('SIGINT')
    expect((await up.ended).status).toBe(0)
  })
})
