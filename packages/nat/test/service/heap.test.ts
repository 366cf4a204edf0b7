import { describe, expect, it } from 'vitest'
import { HEAP_LIMIT, heapGrowth } from '../../../../test-support/heap.ts'
import type { Distribution } from '../../src/service/options.ts'
import { IPV6, Proto } from '../../src/tuple.ts'
import { Asking } from './asking.ts'

/*
 * Nothing is allocated for a new flow, and nothing grows with their number.
 */

describe('a million new flows', () => {
  it.each(['5-tuple', 'source-ip'] as const)('take no memory: %s', (distribution: Distribution) => {
    const asking = new Asking({ clusterPrefixes: ['10.0.0.0/8', 'fd00::/8'], affinityEntries: 4096 })
    asking.balancer.services.add({
      name: 'web',
      port: 80,
      clusterIps: ['10.96.0.10', 'fd00:96::10'],
      distribution,
      backends: [
        { address: '10.244.1.5', port: 80 },
        { address: '10.244.1.6', port: 80 },
        { address: 'fd00::5', port: 80 },
      ],
    })
    const vip6 = asking.number('fd00:96::10')
    const pod6 = asking.number('fd00::9')
    const run = (n: number) => {
      let decided = 0
      for (let i = 0; i < n; i++) {
        const q = asking.flow
        q.reset()
        q.now = i
        if ((i & 1) === 0) q.tuple.set(0x0a00_0000 + i, 0x0a60_000a, i & 0xffff, 80, Proto.Tcp)
        else q.tuple.set(pod6, vip6, i & 0xffff, 80, IPV6 | Proto.Tcp)
        if (asking.balancer.decide(q)) {
          decided++
          asking.balancer.ended(q.tag)
        }
      }
      return decided
    }
    run(100_000)
    expect(heapGrowth(() => expect(run(1_000_000)).toBe(1_000_000))).toBeLessThan(HEAP_LIMIT)
  })
})
