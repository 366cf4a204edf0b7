import { Batch, type Frame, FramePool, Link, VirtualClock } from '@l2l3/switch-core'
import { icmp, ipv4 } from '@l2l3/switch-core/wire'
import { expect, it } from 'vitest'
import { HEAP_LIMIT, heapGrowth, heapMade } from '../../../test-support/heap.ts'
import { Decap, Encap, Vtep } from '../src/index.ts'
import { ANN, BEN, udpFrame } from './tunnel-lab.ts'

/** A million frames, wrapped and unwrapped, leave no trace on the heap. */

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
    let batches = 0
    const run = (n: number): void => {
      batches += n
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
    expect(heapGrowth(() => run(ROUNDS))).toBeLessThan(HEAP_LIMIT)
    expect(sent).toBe(batches * 64)
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
  let rounds = 0
  const run = (n: number): void => {
    rounds += n
    for (let i = 0; i < n; i++) {
      send(one, two, there)
      send(two, one, back)
    }
  }
  run(ROUNDS / 4)
  expect(heapGrowth(() => run(ROUNDS))).toBeLessThan(HEAP_LIMIT)
  expect(got).toBe(rounds * 64)
  expect([...one.net.entries()].map((e) => e.mac)).toEqual([BEN])
})

it('a VTEP that has no room for another far end, and hears of a million; ICMP errors about nothing it sent', () => {
  const pool = new FramePool({ frames: 64 })
  const clock = new VirtualClock()
  const out = { send: (f: Frame) => pool.sent(f) }
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
  const vtep = new Vtep(pool, clock, { local: '10.0.0.2', out, maxRemotes: 2 })
  const net = vtep.addNetwork({ vni: 1, out: end })
  net.addFlood('10.0.0.1')
  net.addFlood('10.0.0.3')
  // One of VXLAN, with a UDP checksum that is not there; one of ICMP that quotes a packet to who is no far end.
  let wrapped: Uint8Array = new Uint8Array()
  const wire = {
    send(f: Frame) {
      wrapped = Uint8Array.from(pool.copyOut(f))
      pool.sent(f)
    },
  }
  const ends = { local: '10.0.0.1', remote: '10.0.0.2', vni: 1, udpChecksum: false, df: 'set' } as const
  const batch = new Batch()
  batch.push(pool.from(udpFrame({ from: ANN, to: BEN })) as Frame)
  pool.ledger.receive(1)
  new Encap(pool, { ...ends, out: wire }).process(batch)
  const icmpError = new Uint8Array(70)
  icmpError.set(wrapped.subarray(0, 34))
  icmpError.set([0, 56], 16)
  icmpError[23] = 1
  icmpError.set([3, 4, 0, 0, 0, 0, 2, 0], 34)
  icmpError.set(wrapped.subarray(14, 42), 42)
  // Quoted: from us to who is none of ours, of 1,500 bytes.
  icmpError.set([5, 220], 44)
  icmpError.set([10, 0, 0, 2, 10, 0, 0, 9], 54)
  ipv4.fillChecksum(icmpError, 42)
  icmp.fillChecksum(icmpError, 34, 70)
  const give = (bytes: Uint8Array, source: number): void => {
    const f = pool.alloc() as Frame
    const o = pool.off[f] as number
    pool.bytes.set(bytes, o)
    pool.len[f] = bytes.length
    pool.ledger.receive(1)
    pool.bytes[o + 27] = source & 255
    pool.bytes[o + 28] = (source >>> 8) & 255
    pool.bytes[o + 29] = 100 + (source >>> 16)
    ipv4.fillChecksum(pool.bytes, o + 14)
    if (!vtep.take(f, null as never)) pool.sent(f)
  }
  let given = 0
  const run = (n: number): void => {
    given += n
    for (let i = 0; i < n; i++) {
      give(wrapped, i)
      give(icmpError, i)
      if (i % 32 === 0) end.target.process(end.take())
    }
    end.target.process(end.take())
  }
  run(ROUNDS * 4)
  expect(heapMade(() => run(ROUNDS), 16 * ROUNDS)).toBeLessThan(16 * ROUNDS)
  expect(heapGrowth(() => run(10 * ROUNDS))).toBeLessThan(HEAP_LIMIT)
  expect(got).toBe(given)
  expect(vtep.counters).toMatchObject({ remotesRefused: given, lowered: 0 })
})
