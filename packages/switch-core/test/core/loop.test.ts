import {
  Batch,
  Drop,
  type Element,
  type Frame,
  FramePool,
  type Link,
  Loop,
  type LoopOptions,
  MemoryPort,
  Pipeline,
  Port,
  RealClock,
  VirtualClock,
} from '@l2l3/switch-core'
import { describe, expect, it } from 'vitest'
import { HEAP_LIMIT, heapGrowth } from '../../../../test-support/heap.ts'

/** How frames travel: pipelines, links, the loop's turns, and its clock. */

const HELLO = Uint8Array.of(2, 0, 0, 0, 0, 0x0b, 2, 0, 0, 0, 0, 0x0a, 0x88, 0xb5)

function bench(options: LoopOptions = {}, frames = 64) {
  const pool = new FramePool({ frames })
  const clock = new VirtualClock()
  const loop = new Loop(pool, clock, options)
  const port = (name: string, capacity = 64) => new MemoryPort(pool, name, { capacity })
  const make = (): Frame => {
    pool.ledger.originate(1)
    return pool.from(HELLO) as Frame
  }
  /** Ends frames as sent, and counts them. */
  const sink = () => {
    const counted = {
      frames: 0,
      batches: [] as number[],
      process(batch: Batch) {
        counted.batches.push(batch.length)
        for (let i = 0; i < batch.length; i++) pool.sent(batch.frames[i] as Frame)
        counted.frames += batch.length
        batch.length = 0
      },
    }
    return counted
  }
  return { pool, clock, loop, port, make, sink }
}

describe('a turn with too much to do', () => {
  it('ends before all ports were asked, and the next asks the others, in their order', () => {
    const { pool, loop, port, sink } = bench({}, 8192)
    const counted = sink()
    const asked: string[] = []
    const ports = Array.from({ length: 100 }, (_, i) => port(`p${i}`))
    for (const one of ports) {
      loop.add(one, {
        process: (batch) => {
          if (batch.length > 0) asked.push(one.name)
          counted.process(batch)
        },
      })
      for (let n = 0; n < 64; n++) one.inject(HELLO)
    }
    const first = loop.turn()
    expect(first).toBeGreaterThanOrEqual(4096)
    expect(first).toBeLessThan(6400)
    expect(loop.behind).toBe(true)
    expect(counted.frames).toBe(first)
    // Who has more at once does not come before the others.
    ports[0]?.inject(HELLO)
    loop.turn()
    expect(loop.behind).toBe(false)
    expect(asked).toEqual([...ports.map((one) => one.name), 'p0'])
    expect(loop.turn()).toBe(0)
    expect(pool.report()).toMatchObject({ balanced: true, held: 0 })
  })

  it('goes on where ports were taken out meanwhile', () => {
    const { loop, port, sink } = bench({}, 8192)
    const ports = Array.from({ length: 80 }, (_, i) => port(`p${i}`))
    const counted = sink()
    for (const one of ports) {
      loop.add(one, counted)
      for (let n = 0; n < 64; n++) one.inject(HELLO)
    }
    loop.turn()
    for (const one of ports.slice(10)) loop.remove(one)
    for (const one of ports.slice(0, 10)) one.inject(HELLO)
    const before = counted.frames
    loop.turn()
    expect(counted.frames - before).toBe(10)
    for (const one of ports.slice(0, 10)) loop.remove(one)
    expect(loop.turn()).toBe(0)
    expect(loop.behind).toBe(false)
  })
})

describe('an alarm', () => {
  it('goes off once at its time, and again where its tick sets it again', () => {
    const { loop, clock } = bench()
    const times: number[] = []
    const alarm = loop.alarm({
      tick: (now) => {
        times.push(now)
        if (now < 30) alarm.set(30)
      },
    })
    const turnAt = (now: number): void => {
      clock.set(now)
      loop.turn()
    }
    expect(loop.nextTick).toBe(Number.POSITIVE_INFINITY)
    alarm.set(20)
    alarm.set(10)
    expect(loop.nextTick).toBe(10)
    for (const now of [9, 12, 20, 30, 40]) turnAt(now)
    expect(times).toEqual([12, 30])
    alarm.set(50)
    alarm.end()
    turnAt(60)
    expect(times).toEqual([12, 30])
    expect(loop.nextTick).toBe(Number.POSITIVE_INFINITY)
  })
})

describe('a pipeline', () => {
  it('gives to the next what one keeps, and ends when nothing is left', () => {
    const seen: [string, number][] = []
    const keep = (name: string, n: number): Element => ({
      process(batch) {
        seen.push([name, batch.length])
        batch.length = n
      },
    })
    const batch = new Batch(4)
    for (let i = 0; i < 3; i++) batch.push(i as Frame)
    new Pipeline(keep('classify', 3), new Pipeline(keep('filter', 2), keep('answer', 0)), keep('switch', 9)).process(
      batch,
    )
    expect(seen).toEqual([
      ['classify', 3],
      ['filter', 3],
      ['answer', 2],
    ])
  })
})

describe('a link', () => {
  it('takes as many as it may, and drops the rest as LinkFull', () => {
    const { pool, loop, make, sink } = bench()
    const to = sink()
    const link = loop.link(to, 'uplink', 3)
    for (let i = 0; i < 5; i++) link.push(make())
    expect([link.name, link.length, loop.busy]).toEqual(['uplink', 3, true])
    loop.turn()
    expect([to.frames, link.length, loop.busy]).toEqual([3, 0, false])
    expect(pool.report()).toMatchObject({ sent: 3, dropped: { LinkFull: 2 }, balanced: true })
  })

  it('refuses a capacity that makes no sense', () => {
    expect(() => bench().loop.link({ process() {} }, 'uplink', 0)).toThrow('link capacity must be')
    expect(() => bench().loop.link({ process() {} }, 'uplink', 65_537)).toThrow('65537')
  })

  it('does not enter an element that is at work, even where the element pushes to itself', () => {
    const { loop, make, pool } = bench({ rounds: 4 })
    let depth = 0
    let deliveries = 0
    const link: Link = loop.link({
      process(batch) {
        expect(++depth).toBe(1)
        deliveries++
        for (let i = 0; i < batch.length; i++) link.push(batch.frames[i] as Frame)
        batch.length = 0
        depth--
      },
    })
    link.push(make())
    link.push(make())
    expect([loop.turn(), deliveries, loop.busy]).toEqual([8, 4, true])
    expect([loop.turn(), deliveries, loop.busy]).toEqual([8, 8, true])
    loop.abandon()
    expect(loop.busy).toBe(false)
    expect(pool.report()).toMatchObject({ held: 0, dropped: { PathTooLong: 2 }, balanced: true })
  })

  it('keeps order, across its two batches', () => {
    const { loop, pool } = bench()
    const order: number[] = []
    const link = loop.link({
      process(batch) {
        for (const f of batch.frames.subarray(0, batch.length)) {
          order.push(pool.bytes[pool.off[f] as number] as number)
          pool.release(f as Frame)
        }
        batch.length = 0
      },
    })
    for (let i = 0; i < 40; i++) {
      link.push(pool.from(Uint8Array.of(i)) as Frame)
      if (i % 7 === 0) loop.turn()
    }
    loop.turn()
    expect(order).toEqual(Array.from({ length: 40 }, (_, i) => i))
  })
})

describe('a turn', () => {
  it('drops as Unclaimed what the last element left in its batch, behind a port and behind a link', () => {
    const { pool, loop, port, make } = bench()
    const web = port('web')
    const lazy: Element = { process() {} }
    loop.add(web, new Pipeline(lazy, lazy))
    web.inject(HELLO)
    loop.link(lazy).push(make())
    expect(loop.turn()).toBe(2)
    expect(pool.report()).toMatchObject({ held: 0, dropped: { Unclaimed: 2 }, balanced: true })
  })

  it('takes one batch from each port, whatever waits there', () => {
    const { loop, port, sink } = bench({}, 200)
    const [web, db] = [port('web', 100), port('db')]
    const [fromWeb, fromDb] = [sink(), sink()]
    loop.add(web, fromWeb)
    loop.add(db, fromDb)
    for (let i = 0; i < 100; i++) web.inject(HELLO)
    db.inject(HELLO)
    expect([loop.turn(), fromWeb.batches, fromDb.batches]).toEqual([65, [64], [1]])
    expect([loop.turn(), fromWeb.batches]).toEqual([36, [64, 36]])
    expect(loop.turn()).toBe(0)
  })

  it('goes through as many rounds as it may, each with what the one before has pushed', () => {
    const { loop, make, sink } = bench({ rounds: 3 })
    const to = sink()
    // Five links in a row: a frame needs five rounds.
    let next: Link = loop.link(to)
    for (let i = 0; i < 4; i++) {
      const behind = next
      next = loop.link({
        process(batch) {
          for (let k = 0; k < batch.length; k++) behind.push(batch.frames[k] as Frame)
          batch.length = 0
        },
      })
    }
    next.push(make())
    expect([loop.turn(), to.frames]).toEqual([3, 0])
    expect([loop.turn(), to.frames]).toEqual([2, 1])
    expect(() => bench({ rounds: 0 })).toThrow('rounds must be')
  })

  it('knows each port once, and forgets it when told', () => {
    const { loop, port, sink } = bench()
    const web = port('web')
    const to = sink()
    loop.add(web, to)
    expect(() => loop.add(web, to)).toThrow('port web is already in the loop')
    loop.remove(web)
    loop.remove(web)
    web.inject(HELLO)
    expect([loop.turn(), loop.ports, web.closed]).toEqual([0, [], false])
    web.close()
  })

  it('tells its observer what comes in and what is delivered', () => {
    const { loop, port, make, sink } = bench()
    const web = port('web')
    const to = sink()
    loop.add(web, to)
    const link = loop.link(to, 'uplink')
    const seen: unknown[] = []
    loop.observer = {
      received: (from, element, batch) => seen.push([from.name, element === to, batch.length]),
      delivering: (along, batch) => seen.push([along.name, along === link, batch.length]),
      processed: () => seen.push('done'),
    }
    web.inject(HELLO)
    link.push(make())
    link.push(make())
    loop.turn()
    expect(seen).toEqual([['web', true, 1], 'done', ['uplink', true, 2], 'done'])
  })
})

describe('a looped topology', () => {
  /*
   *      +--------- flood ---------+
   *      |                         |
   *     p1 =========cable========= p2       every frame goes out of both, and comes in twice
   */
  it('costs frames, not memory and not the turn', () => {
    const { pool, loop, port, make } = bench({}, 200)
    const [p1, p2] = [port('p1', 50), port('p2', 50)]
    MemoryPort.connect(p1, p2)
    const links: Link[] = []
    const flood: Element = {
      process(batch) {
        for (let i = 0; i < batch.length; i++) {
          const f = batch.frames[i] as Frame
          pool.share(f, links.length - 1)
          for (const link of links) link.push(f)
        }
        batch.length = 0
      },
    }
    for (const p of [p1, p2]) {
      loop.add(p, flood)
      links.push(loop.link(p, p.name, 30))
    }
    ;(links[0] as Link).push(make())
    // The compiler's own memory comes and goes over the first 4,000 turns (measured: up to 500 kB, then nothing).
    expect(loop.settle(8000)).toBe(8000)
    expect(heapGrowth(() => expect(loop.settle(20_000)).toBe(20_000))).toBeLessThan(HEAP_LIMIT)
    const { held, dropped, balanced } = pool.report()
    expect(balanced).toBe(true)
    expect(held).toBeLessThanOrEqual(2 * 50 + 2 * 30)
    expect((dropped.LinkFull ?? 0) + (dropped.PortFull ?? 0)).toBeGreaterThan(10_000)
    loop.abandon()
    p1.close()
    p2.close()
    expect(pool.spare).toBe(200)
    expect(pool.report().balanced).toBe(true)
  })
})

describe('a port that fails', () => {
  class Frail extends Port {
    fuse: number
    constructor(pool: FramePool, fuse: number) {
      super(pool, 'frail')
      this.fuse = fuse
    }
    override read(batch: Batch): void {
      this.pool.ledger.receive(1)
      batch.push(this.pool.from(HELLO) as Frame)
      if (--this.fuse === 0) this.fail(new Error('the cable was pulled'))
    }
    override write(batch: Batch): void {
      for (let i = 0; i < batch.length; i++) {
        if (--this.fuse === 0) this.fail(new Error('the cable was pulled'))
        this.left(batch.frames[i] as Frame)
      }
    }
  }

  it('is taken out and reported once, what it had read goes its way, and the others go on', () => {
    const failed: [string, string, number][] = []
    const { pool, loop, port, sink } = bench({
      onPortFailed: (p, error) => failed.push([p.name, error.message, loop.ports.length]),
    })
    const [web, db, frail] = [port('web'), port('db'), new Frail(pool, 3)]
    const to = sink()
    for (const p of [web, frail, db]) loop.add(p, to)
    for (let i = 0; i < 6; i++) {
      web.inject(HELLO)
      db.inject(HELLO)
      loop.turn()
    }
    expect(failed).toEqual([['frail', 'the cable was pulled', 2]])
    expect(to.frames).toBe(6 + 6 + 3)
    expect(frail.failure?.message).toBe('the cable was pulled')
    expect(pool.report()).toMatchObject({ held: 0, balanced: true })
  })

  it('is reported too when the loop only sends by it', () => {
    const failed: string[] = []
    const { pool, loop, port } = bench({ onPortFailed: (p, error) => failed.push(`${p.name}: ${error.message}`) })
    const web = port('web')
    const frail = new Frail(pool, 2)
    const link = loop.link(frail)
    loop.add(web, {
      process(batch) {
        for (let i = 0; i < batch.length; i++) link.push(batch.frames[i] as Frame)
        batch.length = 0
      },
    })
    for (let i = 0; i < 4; i++) {
      web.inject(HELLO)
      loop.turn()
    }
    expect(failed).toEqual(['frail: the cable was pulled'])
    expect(pool.report()).toMatchObject({ sent: 2, dropped: { PortError: 2 }, held: 0, balanced: true })
  })

  it('drops as PortError what it is given from then on, and takes nothing in', () => {
    const { pool, make } = bench()
    const frail = new Frail(pool, 1)
    const batch = new Batch()
    batch.push(make())
    frail.process(batch)
    batch.push(make())
    frail.process(batch)
    frail.receive(batch)
    expect(batch.length).toBe(0)
    expect(frail.counters).toMatchObject({ txFrames: 1, txDropped: 1, rxFrames: 0 })
    expect(pool.report()).toMatchObject({ sent: 1, dropped: { PortError: 1 }, balanced: true })
  })

  it('keeps its first failure, and gives up what it holds only once', () => {
    let shut = 0
    class Hopeless extends Frail {
      override write(batch: Batch): void {
        for (let i = 0; i < batch.length; i++) {
          this.fail(new Error(`frame ${i}`))
          this.lost(batch.frames[i] as Frame, Drop.PortError)
        }
      }
      override shut(): void {
        shut++
      }
    }
    const { pool, make } = bench()
    const port = new Hopeless(pool, 0)
    const batch = new Batch()
    batch.push(make())
    batch.push(make())
    port.process(batch)
    expect(port.failure?.message).toBe('frame 0')
    port.close()
    port.close()
    expect(shut).toBe(1)
  })

  it('may be taken out while frames of its own are worked on, with the next one losing no turn', () => {
    const { pool, loop, port, sink } = bench()
    const [web, db] = [port('web'), port('db')]
    const to = sink()
    loop.add(web, {
      process(batch) {
        loop.remove(web)
        to.process(batch)
      },
    })
    loop.add(db, to)
    web.inject(HELLO)
    web.inject(HELLO)
    db.inject(HELLO)
    loop.turn()
    loop.turn()
    expect([to.frames, loop.ports]).toEqual([3, [db]])
    expect(pool.report().balanced).toBe(true)
  })
})

describe('tickers', () => {
  it('tick when they are due, once a turn, on the beat that they began with', () => {
    const { clock, loop } = bench()
    const ticks: number[] = []
    loop.every(10, { tick: (now) => ticks.push(now) })
    for (const now of [0, 9, 10, 10, 19, 20, 47, 49, 50, 1000]) {
      clock.set(now)
      loop.turn()
    }
    expect(ticks).toEqual([10, 20, 47, 50, 1000])
    expect(loop.nextTick).toBe(1010)
  })

  it('say when the next is due', () => {
    const { clock, loop } = bench()
    expect(loop.nextTick).toBe(Number.POSITIVE_INFINITY)
    clock.set(5)
    loop.every(100, { tick() {} })
    loop.every(30, { tick() {} })
    expect(loop.nextTick).toBe(35)
  })

  it('refuse a period that is none', () => {
    const { loop } = bench()
    for (const every of [0, -1, Number.NaN]) expect(() => loop.every(every, { tick() {} })).toThrow(`${every}`)
  })
})

describe('settle', () => {
  it('turns until nothing is left to do', () => {
    const { loop, port, sink } = bench()
    const web = port('web')
    const to = sink()
    loop.add(web, to)
    for (let i = 0; i < 3; i++) web.inject(HELLO)
    expect(loop.settle()).toBe(1)
    expect(loop.settle()).toBe(0)
    expect(to.frames).toBe(3)
  })
})

describe('clocks', () => {
  it('are moved by hand, forwards only, by whole nanoseconds', () => {
    const clock = new VirtualClock(5n)
    clock.update()
    expect([clock.now, clock.epoch]).toEqual([0, 5n])
    clock.advance(10)
    clock.set(10)
    expect(clock.now).toBe(10)
    for (const now of [9, 10.5, Number.NaN, 2 ** 53])
      expect(() => clock.set(now)).toThrow(`cannot go from 10 to ${now} ns`)
    expect(() => clock.advance(-1)).toThrow(RangeError)
  })

  it('or run by themselves, from now', () => {
    const clock = new RealClock()
    const wall = Number(clock.epoch / 1_000_000n)
    expect(Math.abs(wall - Date.now())).toBeLessThan(2000)
    expect(clock.now).toBe(0)
    let last = 0
    for (let i = 0; i < 1000; i++) {
      clock.update()
      expect(Number.isSafeInteger(clock.now) && clock.now >= last).toBe(true)
      last = clock.now
    }
    expect(last).toBeGreaterThan(0)
  })
})
