// A million frames through rules, and through the l2bridge engine both ways, leave no trace on the heap.
import { expect, it } from 'vitest'
import { HEAP_LIMIT, heapGrowth } from '../../../../test-support/heap.ts'
import {
  Batch,
  type Frame,
  FramePool,
  L2BridgeEngine,
  Loop,
  MacRewrite,
  MemoryPort,
  VirtualClock,
} from '../../src/index.ts'
import { ALL, arpFrame, FABRIC, HOST, IP, ipFrame, POD1, POD2 } from './lab.ts'

const bytes = (hex: string): Uint8Array => Buffer.from(hex, 'hex')
const ZERO = '000000000000'

it('rules, shallow and deep', () => {
  const pool = new FramePool({ frames: 128 })
  const rules = new MacRewrite(pool, [
    { match: { to: '10.240.0.12' }, setDst: '02:00:00:00:00:02' },
    { match: { etherType: 0x0806 }, action: 'drop' },
    { match: { srcMac: 'unicast' }, setSrc: '00:0d:3a:00:00:01' },
  ])
  const frames = [
    ipFrame(FABRIC, POD1, IP.pod1, IP.pod2),
    ipFrame(FABRIC, POD1, IP.pod1, IP.gateway),
    arpFrame(ALL, POD1, 1, POD1, IP.pod1, ZERO, IP.gateway),
  ].map(bytes)
  const batch = new Batch()
  const run = (n: number): void => {
    for (let i = 0; i < n; i += 64) {
      for (let k = 0; k < 64; k++) batch.push(pool.from(frames[k % 3]!) as Frame)
      pool.ledger.receive(64)
      rules.process(batch)
      pool.ledger.send(batch.length)
      pool.releaseAll(batch.frames, batch.length)
      batch.length = 0
    }
  }
  run(300_000)
  expect(heapGrowth(() => run(1_000_000))).toBeLessThan(HEAP_LIMIT)
  expect(pool.report()).toMatchObject({ held: 0, balanced: true })
}, 120_000)

it('the l2bridge engine', () => {
  const pool = new FramePool({ frames: 1024 })
  const clock = new VirtualClock()
  const loop = new Loop(pool, clock)
  const port = (name: string): MemoryPort => new MemoryPort(pool, name)
  const [fabric, pod1, pod2, host] = ['fabric', 'pod1', 'pod2', 'host'].map(port) as [
    MemoryPort,
    MemoryPort,
    MemoryPort,
    MemoryPort,
  ]
  // What leaves ends here: a port would give it out as a Buffer.
  const end = {
    process(batch: Batch): void {
      for (let i = 0; i < batch.length; i++) pool.sent(batch.frames[i] as Frame)
      batch.length = 0
    },
  }
  const engine = new L2BridgeEngine(loop, end, { hostMac: '00:0d:3a:00:00:01', hostIps: ['10.240.0.4'] })
  loop.add(fabric, engine.ingress)
  loop.add(host, engine.attachHost(loop.link(end)))
  loop.add(pod1, engine.addPod(loop.link(end), { mac: '02:00:00:00:00:01', ips: ['10.240.0.11', 'fd00::1'] }))
  loop.add(pod2, engine.addPod(loop.link(end), { mac: '02:00:00:00:00:02', ips: ['10.240.0.12', 'fd00::2'] }))
  const ns = `3333ff000002${POD1}86dd6000000000203aff${'fd'.repeat(16)}ff02${'00'.repeat(14)}8700000000000000${'fe'.repeat(16)}0101${POD1}`
  const sent: readonly (readonly [MemoryPort, Uint8Array])[] = (
    [
      [pod1, ipFrame(FABRIC, POD1, IP.pod1, IP.gateway)],
      [fabric, ipFrame(HOST, FABRIC, IP.gateway, IP.pod1)],
      [pod1, ipFrame(POD2, POD1, IP.pod1, IP.pod2)],
      [pod2, arpFrame(ALL, POD2, 1, POD2, IP.pod2, ZERO, IP.pod1)],
      [pod2, arpFrame(ALL, POD2, 1, POD2, IP.pod2, ZERO, IP.gateway)],
      [fabric, arpFrame(HOST, FABRIC, 2, FABRIC, IP.gateway, HOST, IP.pod2)],
      [pod1, ns],
      [fabric, ipFrame(HOST, FABRIC, IP.gateway, IP.nobody)],
    ] as const
  ).map(([from, hex]) => [from, bytes(hex)] as const)
  const run = (n: number): void => {
    for (let i = 0; i < n; i += 64) {
      for (let k = 0; k < 8; k++) for (const [from, b] of sent) from.inject(b)
      loop.turn()
    }
  }
  run(300_000)
  expect(heapGrowth(() => run(1_000_000))).toBeLessThan(HEAP_LIMIT)
  loop.settle()
  expect(pool.report()).toMatchObject({ held: 0, balanced: true, dropped: {} })
}, 120_000)
