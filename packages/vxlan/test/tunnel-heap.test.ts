import { Batch, type Frame, FramePool, Link, VirtualClock } from '@l2l3/switch-core'
import { expect, it } from 'vitest'
import { Decap, Encap, Vtep } from '../src/index.ts'
import { ANN, BEN, udpFrame } from './tunnel-lab.ts'

/** A million frames, wrapped and unwrapped, leave no trace on the heap. */

function heap(): number {
  if (gc === undefined) throw new Error('run with --expose-gc')
  gc()
  gc()
  return process.memoryUsage().heapUsed
}

const ROUNDS = 16_000

it.each(['linux', 'ovs'] as const)('Encap and Decap, %s', (profile) => {
  const pool = new FramePool({ frames: 64 })
  const batch = new Batch()
  let sent = 0
  const end = new Link(
    pool,
    { schedule() {} },
    {
      process(b) {
        sent += b.length
        for (let i = 0; i < b.length; i++) pool.sent(b.frames[i] as Frame)
        b.length = 0
      },
    },
  )
  for (const encapsulation of ['vxlan', 'geneve'] as const) {
    sent = 0
    const decap = new Decap(pool, { encapsulation, profile, vni: 1, local: '10.0.0.2', out: end })
    const wire = new Link(pool, { schedule() {} }, decap)
    const ends = { encapsulation, profile, vni: 1, local: '10.0.0.1', remote: '10.0.0.2' }
    const encap = new Encap(pool, { ...ends, out: wire })
    const bytes = udpFrame({})
    const run = (n: number): void => {
      for (let i = 0; i < n; i++) {
        batch.length = pool.allocAll(batch.frames, 64)
        pool.ledger.receive(batch.length)
        for (let k = 0; k < batch.length; k++) {
          const f = batch.frames[k] as number
          pool.bytes.set(bytes, pool.off[f])
          pool.len[f] = bytes.length
        }
        encap.process(batch)
        decap.process(wire.take())
        end.target.process(end.take())
      }
    }
    run(ROUNDS / 4)
    const before = heap()
    run(ROUNDS)
    expect(heap() - before).toBeLessThan(64 * 1024)
    expect(sent).toBe(ROUNDS * 1.25 * 64)
    expect(pool.report()).toMatchObject({ balanced: true, held: 0, dropped: {} })
  }
})

it('two VTEPs that learn, flood and answer', () => {
  const pool = new FramePool({ frames: 64 })
  const clock = new VirtualClock()
  let got = 0
  const end = new Link(
    pool,
    { schedule() {} },
    {
      process(b) {
        got += b.length
        for (let i = 0; i < b.length; i++) pool.sent(b.frames[i] as Frame)
        b.length = 0
      },
    },
  )
  const make = (local: string, remote: string): { vtep: Vtep; wire: Link; net: ReturnType<Vtep['addNetwork']> } => {
    const wire = new Link(pool, { schedule() {} }, { process() {} })
    const vtep = new Vtep(pool, clock, { local, out: wire })
    const net = vtep.addNetwork({ vni: 1, out: end })
    net.addFlood(remote)
    return { vtep, wire, net }
  }
  const [one, two] = [make('10.0.0.1', '10.0.0.2'), make('10.0.0.2', '10.0.0.1')]
  const batch = new Batch()
  const [there, back] = [udpFrame({ from: ANN, to: BEN }), udpFrame({ from: BEN, to: ANN })]
  const send = (from: typeof one, to: typeof one, bytes: Uint8Array): void => {
    for (let k = 0; k < 32; k++) {
      const f = pool.alloc() as Frame
      pool.bytes.set(bytes, pool.off[f])
      pool.len[f] = bytes.length
      pool.ledger.receive(1)
      batch.push(f)
    }
    from.net.process(batch)
    to.vtep.process(from.wire.take())
    end.target.process(end.take())
  }
  const run = (n: number): void => {
    for (let i = 0; i < n; i++) {
      send(one, two, there)
      send(two, one, back)
    }
  }
  run(ROUNDS / 4)
  const before = heap()
  run(ROUNDS)
  expect(heap() - before).toBeLessThan(64 * 1024)
  expect(got).toBe(ROUNDS * 1.25 * 64)
  expect([...one.net.entries()].map((e) => e.mac)).toEqual([BEN])
})
