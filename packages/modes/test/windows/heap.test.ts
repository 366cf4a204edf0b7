import { Filter } from '@l2l3/nat'
import { Batch, type Element, type Frame, FramePool, Loop, stationMac, VirtualClock } from '@l2l3/switch-core'
import { describe, expect, it } from 'vitest'
import { HEAP_LIMIT, heapGrowth } from '../../../../test-support/heap.ts'
import { PortPolicies } from '../../src/windows/port-policies.ts'
import { VfpNat } from '../../src/windows/vfp-nat.ts'
import { datagram } from './packets.ts'

/* Frames through the layers at a pod's port leave nothing on the heap: those of a service, of a ROUTE, and all others. */

const POD = '02:00:00:00:01:11'
const GATEWAY = '02:00:00:00:01:02'

describe('a million frames through a pod’s port', () => {
  it('take no memory', () => {
    const pool = new FramePool({ frames: 256 })
    const clock = new VirtualClock()
    const loop = new Loop(pool, clock)
    const ground = { pool, clock, loop }
    const vfp = new VfpNat(ground, { hostIps: ['192.0.2.10'], conntrack: { maxFlows: 1024 } })
    vfp.setPolicies({
      endpoints: [
        { name: 'pod', ips: ['10.244.1.11'], outboundNat: [{ Type: 'OutBoundNAT', Destinations: ['10.244.1.11'] }] },
      ],
      services: [
        {
          ...{ name: 'dns', protocol: 'udp', port: 53, clusterIps: ['10.96.0.10'] },
          backends: [{ address: '10.244.1.12', port: 5353, local: true }],
        },
      ],
    })
    const sink: Element = {
      process(batch) {
        for (let i = 0; i < batch.length; i++) pool.sent(batch.frames[i] as Frame)
        batch.length = 0
      },
    }
    const other = stationMac('other', '02:00:00:00:01:12')
    const port = new PortPolicies(
      {
        ...{ ground, vfp, hostMac: '00:15:5d:00:00:0a', filter: new Filter(loop, { maxFlows: 1024 }) },
        endpoints: { mac4: (b, at) => (b[at + 3] === 12 ? other : null), mac6: () => null },
      },
      { name: 'pod', mac: POD, ips: ['10.244.1.11'], sdnRoutes: ['192.0.2.10/32'] },
      sink,
    )
    port.toSwitch = sink
    const out = ['10.96.0.10#53', '192.0.2.10#53', '10.244.1.12#53', '198.51.100.9#53'].map((to) =>
      Buffer.from(datagram(`${POD} > ${GATEWAY}, 10.244.1.11#1000 > ${to}`), 'hex'),
    )
    const back = Buffer.from(datagram(`02:00:00:00:01:12 > ${POD}, 10.244.1.12#5353 > 10.244.1.11#1000`), 'hex')
    const batch = new Batch()
    const pass = (way: Element, frame: (i: number) => Buffer): void => {
      for (let i = 0; i < 64; i++) batch.push(pool.from(frame(i)) as Frame)
      pool.ledger.originate(64)
      way.process(batch)
    }
    const outward = (i: number): Buffer => out[i & 3] as Buffer
    const inward = (): Buffer => back
    const run = (frames: number): void => {
      for (let n = 0; n < frames; n += 128) {
        pass(port.out, outward)
        pass(port.in, inward)
      }
    }
    run(100_000)
    expect(heapGrowth(() => run(1_000_000))).toBeLessThan(HEAP_LIMIT)
    expect(pool.report()).toMatchObject({ balanced: true, held: 0, dropped: {} })
  })
})
