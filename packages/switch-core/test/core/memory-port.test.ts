import { Batch, type Frame, FramePool, MemoryPort } from '@l2l3/switch-core'
import { describe, expect, it } from 'vitest'

/** Memory ports and patch cables: what the compliance suite does not say. */

const HELLO = Uint8Array.of(2, 0, 0, 0, 0, 0x0b, 2, 0, 0, 0, 0, 0x0a, 0x88, 0xb5, 1)

function send(port: MemoryPort, bytes = HELLO): void {
  const batch = new Batch()
  port.pool.ledger.originate(1)
  batch.push(port.pool.from(bytes) as Frame)
  port.process(batch)
}

describe('a free-standing port', () => {
  it('says whether it took a frame in, and counts where not', () => {
    const pool = new FramePool({ frames: 4 })
    const web = new MemoryPort(pool, 'web', { capacity: 2 })
    expect(web.inject(new Uint8Array(1919))).toBe(false)
    expect([web.inject(HELLO), web.inject(HELLO), web.inject(HELLO)]).toEqual([true, true, false])
    web.close()
    expect(web.inject(HELLO)).toBe(false)
    expect(web.counters).toMatchObject({ rxFrames: 0, rxDropped: 3 })
    expect(pool.report()).toMatchObject({
      received: 5,
      dropped: { Oversize: 1, PortFull: 1, PortClosed: 3 },
      balanced: true,
    })
    expect(pool.spare).toBe(4)
  })

  it('takes a frame of the pool with its offload metadata, and owns it from then on', () => {
    const pool = new FramePool({ frames: 4 })
    const web = new MemoryPort(pool, 'web', { capacity: 1 })
    const [f, g] = [pool.from(HELLO) as Frame, pool.from(HELLO) as Frame]
    pool.flags[f] = 1
    expect([web.injectFrame(f), web.injectFrame(g)]).toEqual([true, false])
    const batch = new Batch()
    web.receive(batch)
    expect([batch.length, batch.frames[0], pool.flags[f]]).toEqual([1, f, 1])
    expect(pool.spare).toBe(3)
    expect(pool.report()).toMatchObject({ received: 2, held: 1, dropped: { PortFull: 1 }, balanced: true })
  })

  it('keeps what was sent until it is taken out, by rows that others may share', () => {
    const pool = new FramePool({ frames: 1 })
    const [web, db] = [new MemoryPort(pool, 'web'), new MemoryPort(pool, 'db')]
    const f = pool.from(HELLO) as Frame
    pool.ledger.originate(1)
    pool.share(f, 1)
    for (const port of [web, db]) {
      const batch = new Batch()
      batch.push(f)
      port.process(batch)
    }
    expect([web.waiting, db.waiting, pool.spare]).toEqual([1, 1, 0])
    expect([...(web.take() ?? [])]).toEqual([...HELLO])
    expect(web.take()).toBe(undefined)
    expect(db.takeAll().map((frame) => [...frame])).toEqual([[...HELLO]])
    expect(pool.report()).toMatchObject({ copied: 1, sent: 2, held: 0, balanced: true })
  })

  it('checks its settings', () => {
    const pool = new FramePool({ frames: 1 })
    for (const capacity of [0, 1.5, -1]) expect(() => new MemoryPort(pool, 'web', { capacity })).toThrow(`${capacity}`)
  })
})

describe('a patch cable', () => {
  const pair = () => {
    const pool = new FramePool({ frames: 8 })
    const ports = [new MemoryPort(pool, 'web', { capacity: 2 }), new MemoryPort(pool, 'db', { capacity: 2 })] as const
    MemoryPort.connect(...ports)
    return [pool, ...ports] as const
  }

  it('hands over the row itself', () => {
    const [pool, web, db] = pair()
    const f = pool.from(HELLO) as Frame
    pool.ledger.originate(1)
    const batch = new Batch()
    batch.push(f)
    web.process(batch)
    db.receive(batch)
    expect([batch.length, batch.frames[0], pool.port[f]]).toEqual([1, f, db.id])
    expect(web.take()).toBe(undefined)
  })

  it('is full when the other end’s queue is, and down when the other end is closed', () => {
    const [pool, web, db] = pair()
    for (let i = 0; i < 3; i++) send(web)
    expect(pool.report().dropped).toEqual({ PortFull: 1 })
    db.close()
    send(web)
    expect(pool.report()).toMatchObject({
      held: 0,
      dropped: { PortFull: 1, PortClosed: 2, PortDown: 1 },
      balanced: true,
    })
    expect(web.counters).toMatchObject({ txFrames: 2, txDropped: 2 })
  })

  it('joins two free ports of one pool', () => {
    const [pool, web, db] = pair()
    const free = new MemoryPort(pool, 'free')
    const message = 'cannot be joined'
    expect(() => MemoryPort.connect(web, free)).toThrow(message)
    expect(() => MemoryPort.connect(free, db)).toThrow(message)
    expect(() => MemoryPort.connect(free, free)).toThrow(message)
    const far = new MemoryPort(new FramePool({ frames: 1 }), 'far')
    expect(() => MemoryPort.connect(free, far)).toThrow(
      'ports free and far cannot be joined: they have different pools',
    )
  })
})

it('is closed by using', () => {
  const pool = new FramePool({ frames: 1 })
  const web = new MemoryPort(pool, 'web')
  web.inject(HELLO)
  web[Symbol.dispose]()
  expect([web.closed, pool.spare]).toEqual([true, 1])
})

it('numbers ports from 1 to 65,535 and begins again', () => {
  const pool = new FramePool({ frames: 1 })
  const first = new MemoryPort(pool, 'first', { capacity: 1 }).id
  const ids = new Set<number>()
  for (let i = 0; i < 65_535; i++) ids.add(new MemoryPort(pool, 'p', { capacity: 1 }).id)
  expect([ids.size, Math.min(...ids), Math.max(...ids)]).toEqual([65_535, 1, 65_535])
  expect(ids.has(first)).toBe(true)
})
