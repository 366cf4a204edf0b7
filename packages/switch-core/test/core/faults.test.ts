import {
  Batch,
  Drop,
  FaultPort,
  type FaultPortOptions,
  type Frame,
  FramePool,
  Loop,
  MemoryPort,
  MILLISECOND,
  OffloadFlag,
  VirtualClock,
} from '@l2l3/switch-core'
import { portCompliance } from '@l2l3/switch-core/compliance'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { HEAP_LIMIT, heapGrowth } from '../../../../test-support/heap.ts'

/*
 * Faults of a wire, thrown with seeded dice.
 *
 *     elements -- send --> faults out --> host.take
 *     elements <-- collect -- faults in <-- host.inject
 */

function rig(options: Omit<FaultPortOptions, 'seed'> & { seed?: number }, frames = 256) {
  const pool = new FramePool({ frames })
  const clock = new VirtualClock()
  const loop = new Loop(pool, clock)
  const host = new MemoryPort(pool, 'eth0')
  const port = new FaultPort(host, loop, { seed: 1, ...options })
  const received: [ms: number, frame: Uint8Array][] = []
  loop.add(port, {
    process(batch) {
      for (const f of batch.frames.subarray(0, batch.length)) {
        received.push([clock.now / MILLISECOND, pool.copyOut(f as Frame)])
        pool.sent(f as Frame)
      }
      batch.length = 0
    },
  })
  const send = (...frames: Uint8Array[]): void => {
    const batch = new Batch()
    for (const bytes of frames) {
      pool.ledger.originate(1)
      batch.push(pool.from(bytes) as Frame)
    }
    port.process(batch)
  }
  return { pool, clock, loop, host, port, received, send }
}

/** A frame of 20 bytes with a number in it. */
const numbered = (n: number): Uint8Array => Uint8Array.from({ length: 20 }, (_, i) => (i === 14 ? n : i))
const numbers = (frames: readonly Uint8Array[]): number[] => frames.map((b) => b[14] as number)
const LIST = Array.from({ length: 50 }, (_, i) => numbered(i))

describe('a wire without faults, as a port with the faults to come', () => {
  const make = () => {
    const pool = new FramePool({ frames: 2100 })
    const inner = new MemoryPort(pool, 'web')
    const port = new FaultPort(inner, new Loop(pool, new VirtualClock()), { out: {}, in: {}, seed: 1 })
    return { port, inject: (b: Uint8Array) => inner.inject(b), taken: () => inner.takeAll() }
  }
  for (const { name, run } of portCompliance(make)) it(name, run)
})

describe('faults', () => {
  it('lose frames, counted as such, each way on its own', () => {
    const { host, pool, port, send, loop, received } = rig({ out: { loss: 0.5 }, in: { loss: 1 } })
    send(...LIST)
    const arrived = numbers(host.takeAll())
    expect(arrived.length).toBeGreaterThan(15)
    expect(arrived.length).toBeLessThan(35)
    expect(arrived).toEqual([...arrived].sort((a, b) => a - b))
    for (const frame of LIST) host.inject(frame)
    loop.settle()
    expect(received).toEqual([])
    expect(pool.report()).toMatchObject({ balanced: true, held: 0, dropped: { Fault: 100 - arrived.length } })
    expect(port.counters).toMatchObject({ rxFrames: 50, rxDropped: 50, txFrames: arrived.length })
    expect(port.counters.txDropped).toBe(50 - arrived.length)
  })

  it('double frames: both come one after the other', () => {
    const { host, send, pool } = rig({ out: { duplicate: 1 } })
    send(numbered(1), numbered(2))
    expect(numbers(host.takeAll())).toEqual([1, 1, 2, 2])
    expect(pool.report()).toMatchObject({ copied: 2, sent: 4, balanced: true })
  })

  it('flip one bit of a frame, in a copy where others hold the row', () => {
    const { host, port, pool } = rig({ out: { corrupt: 1 } })
    pool.ledger.originate(1)
    const f = pool.from(numbered(7)) as Frame
    pool.flags[f] = OffloadFlag.ChecksumsRight
    pool.share(f, 1)
    const batch = new Batch()
    batch.push(f)
    port.process(batch)
    const [bytes] = host.takeAll() as [Uint8Array]
    const flipped = bytes.reduce(
      (sum, b, i) => sum + ((b ^ (numbered(7)[i] as number)).toString(2).match(/1/g)?.length ?? 0),
      0,
    )
    expect(flipped).toBe(1)
    expect(pool.copyOut(f)).toEqual(Buffer.from(numbered(7)))
    expect(pool.flags[f]).toBe(OffloadFlag.ChecksumsRight)
    pool.sent(f)
    expect(pool.report()).toMatchObject({ balanced: true, held: 0 })
  })

  it('delay frames by the clock, and have them held in the ledger meanwhile', () => {
    const { host, send, loop, clock, pool, received } = rig({
      out: { delay: 5 * MILLISECOND },
      in: { delay: 2 * MILLISECOND },
    })
    send(numbered(1))
    host.inject(numbered(2))
    loop.settle()
    expect(host.waiting).toBe(0)
    expect(pool.report()).toMatchObject({ held: 2, balanced: true })
    expect(loop.nextTick).toBe(2 * MILLISECOND)
    clock.set(loop.nextTick)
    loop.settle()
    expect(received.map(([ms, b]) => [ms, b[14]])).toEqual([[2, 2]])
    expect(loop.nextTick).toBe(5 * MILLISECOND)
    clock.set(loop.nextTick)
    loop.settle()
    expect(numbers(host.takeAll())).toEqual([1])
    expect(loop.nextTick).toBe(Number.POSITIVE_INFINITY)
    expect(pool.report()).toMatchObject({ held: 0, balanced: true })
  })

  it('have a frame overtaken by the next, or wait 10 ms for it in vain', () => {
    const { host, send, loop, clock } = rig({ out: { reorder: 0.3 } })
    send(...LIST)
    loop.settle()
    clock.advance(10 * MILLISECOND)
    loop.settle()
    const arrived = numbers(host.takeAll())
    expect([...arrived].sort((a, b) => a - b)).toEqual(numbers(LIST))
    // Each is in its place, or has changed it with its neighbour's; more than that where two in a row were to wait.
    const late = arrived.filter((n, i) => i > 0 && n < (arrived[i - 1] as number))
    expect(late.length).toBeGreaterThan(5)
    expect(late.length).toBeLessThan(25)
    const alone = rig({ out: { reorder: 1 } })
    alone.send(numbered(1))
    alone.loop.settle()
    expect(alone.host.waiting).toBe(0)
    expect(alone.loop.nextTick).toBe(10 * MILLISECOND)
    alone.clock.advance(10 * MILLISECOND)
    alone.loop.settle()
    expect(numbers(alone.host.takeAll())).toEqual([1])
  })

  it('spread delays by the jitter: frames overtake each other', () => {
    const { host, send, loop, clock } = rig({ out: { delay: MILLISECOND, jitter: 4 * MILLISECOND } })
    send(...LIST)
    clock.advance(MILLISECOND - 1)
    loop.settle()
    expect(host.waiting).toBe(0)
    clock.advance(4 * MILLISECOND + 1)
    loop.settle()
    const arrived = numbers(host.takeAll())
    expect(arrived).not.toEqual(numbers(LIST))
    expect([...arrived].sort((a, b) => a - b)).toEqual(numbers(LIST))
  })

  it('hold so many frames and no more', () => {
    const { send, pool, port } = rig({ out: { delay: MILLISECOND }, limit: 30 })
    send(...LIST)
    expect(pool.report()).toMatchObject({ held: 30, dropped: { PortFull: 20 }, balanced: true })
    port.close()
    expect(pool.report()).toMatchObject({ held: 0, dropped: { PortFull: 20, PortClosed: 30 }, balanced: true })
  })

  it('come to frames as they are on a wire: with their checksums', () => {
    const { host, port, pool, send } = rig({ out: { loss: 0 } })
    expect(port.offloads).toBe(0)
    // 14 bytes of Ethernet, then what is summed: the sum of 00 01 00 02 and the field at 18, which is 3.
    const bytes = Uint8Array.from({ length: 20 }, (_, i) => [0, 1, 0, 2, 0, 3][i - 14] ?? 0)
    pool.ledger.originate(1)
    const f = pool.from(bytes) as Frame
    pool.flags[f] = OffloadFlag.NeedsChecksum
    pool.csumStart[f] = 14
    pool.csumOffset[f] = 4
    const batch = new Batch()
    batch.push(f)
    port.process(batch)
    send()
    expect([...(host.take() as Uint8Array).subarray(18)]).toEqual([0xff, 0xf9])
  })

  it('fail with the port inside', () => {
    const { port, host } = rig({})
    class Broken extends MemoryPort {
      break(): void {
        this.fail(new Error('the link is gone'))
      }
    }
    const inner = new Broken(host.pool, 'nic')
    const outer = new FaultPort(inner, new Loop(host.pool, new VirtualClock()), { out: {}, seed: 1 })
    inner.break()
    expect(outer.failure?.message).toBe('the link is gone')
    expect(port.failure).toBe(null)
  })

  it('are refused where they make no sense, by name and value', () => {
    expect(() => rig({ out: { loss: 1.5 } })).toThrow('loss must be a fraction from 0 to 1, not 1.5')
    expect(() => rig({ in: { delay: -1 } })).toThrow('delay must be a whole number of nanoseconds, 0 or more, not -1')
    expect(() => rig({ out: {}, limit: 0 })).toThrow('limit must be a whole number of frames from 1 to 65536, not 0')
  })
})

describe('the dice', () => {
  const fraction = fc.constantFrom(0, 0.1, 0.5, 1)
  const time = fc.constantFrom(0, MILLISECOND, 3 * MILLISECOND)
  const faults = fc.record({
    loss: fraction,
    duplicate: fraction,
    corrupt: fraction,
    reorder: fraction,
    delay: time,
    jitter: time,
  })

  it('fall the same for the same seed, and every frame is accounted for', () => {
    /** All that comes out, both ways, with its time. */
    const play = (out: object, into: object, seed: number, sizes: number[]): string[] => {
      const { host, send, clock, loop, received, pool, port } = rig({ out, in: into, seed, limit: 8 }, 64)
      const seen: string[] = []
      const look = (): void => {
        for (const b of host.takeAll()) seen.push(`out ${clock.now} ${b.toString('hex')}`)
        for (const [ms, b] of received.splice(0)) seen.push(`in ${ms} ${Buffer.from(b).toString('hex')}`)
        expect(pool.report().balanced).toBe(true)
      }
      sizes.forEach((size, i) => {
        send(Uint8Array.from({ length: size }, (_, at) => at + i))
        host.inject(Uint8Array.from({ length: size }, (_, at) => at ^ i))
        loop.settle()
        look()
        clock.advance(MILLISECOND / 2)
      })
      clock.advance(20 * MILLISECOND)
      loop.settle()
      look()
      expect(port.next).toBe(Number.POSITIVE_INFINITY)
      expect(pool.report().held).toBe(0)
      expect(pool.spare).toBe(64)
      return seen
    }
    fc.assert(
      fc.property(
        faults,
        faults,
        fc.nat(),
        fc.array(fc.integer({ min: 0, max: 100 }), { maxLength: 40 }),
        (out, into, seed, sizes) => {
          expect(play(out, into, seed, sizes)).toEqual(play(out, into, seed, sizes))
        },
      ),
      { numRuns: 60 },
    )
    const many = Array.from({ length: 40 }, () => 60)
    expect(play({ loss: 0.5 }, {}, 1, many)).not.toEqual(play({ loss: 0.5 }, {}, 2, many))
  })

  it('lose about as many as they are asked to', () => {
    const { host, send, pool } = rig({ out: { loss: 0.01 } })
    for (let i = 0; i < 200; i++) {
      send(...LIST)
      host.takeAll()
    }
    const lost = pool.ledger.drops[Drop.Fault] as number
    // 10,000 throws at 1 %: 100, give or take four standard deviations.
    expect(lost).toBeGreaterThan(60)
    expect(lost).toBeLessThan(140)
  })
})

describe('a bad wire', () => {
  it('leaves nothing on the heap, whatever it does to hundreds of thousands of frames', () => {
    const { host, port, pool, loop, clock } = rig(
      { out: { loss: 0.1, duplicate: 0.1, corrupt: 0.1, reorder: 0.1, jitter: 5000 } },
      1024,
    )
    const batch = new Batch()
    const sink = new MemoryPort(pool, 'far', { capacity: 1024 })
    MemoryPort.connect(host, sink)
    const rounds = (n: number): void => {
      for (let i = 0; i < n; i++) {
        pool.ledger.originate(64)
        for (let j = 0; j < 64; j++) batch.push(pool.alloc() as Frame)
        for (let j = 0; j < 64; j++) pool.len[batch.frames[j] as number] = 20
        port.process(batch)
        clock.advance(2500)
        loop.turn()
        for (sink.receive(batch); batch.length > 0; sink.receive(batch)) {
          for (let j = 0; j < batch.length; j++) pool.sent(batch.frames[j] as Frame)
          batch.length = 0
        }
      }
    }
    rounds(500)
    expect(heapGrowth(() => rounds(5000))).toBeLessThan(HEAP_LIMIT)
    expect(pool.report().balanced).toBe(true)
    expect(pool.ledger.drops[Drop.Fault]).toBeGreaterThan(30_000)
  })
})
