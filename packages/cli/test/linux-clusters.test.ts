import { describe, expect, it } from 'vitest'
import { l2l3 } from './command.ts'
import { linuxExamples } from './linux-examples.ts'

/* Clusters of nodes as plugins make them, on Linux: the examples pass their checks. */

const { example } = await linuxExamples('clusters')

describe.each(['calico', 'flannel', 'aws', 'azure'])('examples/%s.yaml on Linux', (name) => {
  it('passes its checks', async () => {
    const { status, stdout } = await l2l3(['up', example(name), '--check', '--json'])
    const { checks, ledger } = JSON.parse(stdout) as { checks: { ok: boolean }[]; ledger: { balanced: boolean } }
    expect(checks.length).toBeGreaterThan(10)
    expect(checks.filter((check) => !check.ok)).toEqual([])
    expect(ledger.balanced).toBe(true)
    expect(status).toBe(0)
  })
})
