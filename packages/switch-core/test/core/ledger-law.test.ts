import {
  Batch,
  DROP_NAMES,
  Drop,
  type Frame,
  FramePool,
  Loop,
  MemoryPort,
  NO_FRAME,
  VirtualClock,
} from '@l2l3/switch-core'
import fc from 'fast-check'
import { expect, it } from 'vitest'

/**
 * The law of the ledger, in = out + held + dropped, under any order of whatever can be done to frames.
 *
 *     hand --- push ---> link (3) --- loop ---> hand
 *     hand --- send ---> a (2) ===cable=== b (2) --- receive ---> hand
 *     inject ---> c (2) --- receive ---> hand --- send ---> c (2) ---> take
 *
 * Beside the pool of 6 rows stands a model in plain objects, where a row is an array of bytes and a count of holders.
 * All figures, and all bytes of every frame, are compared after each operation.
 */

const ROWS = 6
const QUEUE = 2
const LINK = 3

interface Row {
  bytes: number[]
  holders: number
  /** Bytes of headroom left. */
  front: number
}

class Model {
  rows = 0
  received = 0
  originated = 0
  copied = 0
  sent = 0
  /** Frames that ports have counted as dropped. */
  lost = 0
  readonly dropped = new Map<string, number>()

  fresh(bytes: number[], front: number): Row | null {
    if (this.rows === ROWS) return null
    this.rows++
    return { bytes: [...bytes], holders: 1, front }
  }
  release(row: Row): void {
    if (--row.holders === 0) this.rows--
  }
  count(why: string): void {
    this.dropped.set(why, (this.dropped.get(why) ?? 0) + 1)
  }
  drop(row: Row, why: string): void {
    this.count(why)
    this.release(row)
  }
  lose(row: Row, why: string): void {
    this.lost++
    this.drop(row, why)
  }
}

class World {
  readonly pool = new FramePool({ frames: ROWS, frameSize: 64, headroom: 34 })
  readonly loop = new Loop(this.pool, new VirtualClock())
  readonly a = new MemoryPort(this.pool, 'a', { capacity: QUEUE })
  readonly b = new MemoryPort(this.pool, 'b', { capacity: QUEUE })
  readonly c = new MemoryPort(this.pool, 'c', { capacity: QUEUE })
  readonly hand: Frame[] = []
  readonly link = this.loop.link(
    {
      process: (batch) => {
        for (const f of batch.frames.subarray(0, batch.length)) this.hand.push(f as Frame)
        batch.length = 0
      },
    },
    'to the hand',
    LINK,
  )
  readonly batch = new Batch()

  readonly model = new Model()
  readonly modelHand: Row[] = []
  readonly modelLink: Row[] = []
  readonly cable: { ab: Row[]; ba: Row[] } = { ab: [], ba: [] }
  readonly modelIn: Row[] = []
  readonly modelOut: Row[] = []

  constructor() {
    MemoryPort.connect(this.a, this.b)
  }

  /** Takes the frame of that index out of both hands; undefined where they are empty. */
  pick(index: number): [Frame, Row] | undefined {
    if (this.hand.length === 0) return undefined
    const i = index % this.hand.length
    return [this.hand.splice(i, 1)[0] as Frame, this.modelHand.splice(i, 1)[0] as Row]
  }

  put(f: Frame, row: Row): void {
    this.hand.push(f)
    this.modelHand.push(row)
  }

  make(bytes: number[]): void {
    const { pool, model } = this
    const f = pool.from(Uint8Array.from(bytes))
    const row = model.fresh(bytes, pool.headroom)
    expect(f === NO_FRAME).toBe(row === null)
    if (row === null) return
    pool.ledger.originate(1)
    model.originated++
    this.put(f as Frame, row)
  }

  share(index: number): void {
    const picked = this.pick(index)
    if (picked === undefined) return
    const [f, row] = picked
    this.pool.share(f, 1)
    this.model.copied++
    row.holders++
    this.put(f, row)
    this.put(f, row)
  }

  copy(index: number): void {
    const picked = this.pick(index)
    if (picked === undefined) return
    const [f, row] = picked
    const g = this.pool.copy(f)
    const copy = this.model.fresh(row.bytes, row.front)
    this.model.copied++
    this.put(f, row)
    expect(g === NO_FRAME).toBe(copy === null)
    if (copy === null) this.model.count('PoolSpent')
    else this.put(g as Frame, copy)
  }

  /** Owns the frame in both worlds; undefined where it was lost for that. */
  own(f: Frame, row: Row): [Frame, Row] | undefined {
    const g = this.pool.own(f)
    if (row.holders === 1) {
      expect(g).toBe(f)
      return [f, row]
    }
    const copy = this.model.fresh(row.bytes, row.front)
    expect(g === NO_FRAME).toBe(copy === null)
    if (copy === null) {
      this.model.drop(row, 'PoolSpent')
      return undefined
    }
    this.model.release(row)
    return [g as Frame, copy]
  }

  /** Owns a frame, then puts bytes in front (n > 0) or takes them off. */
  shift(index: number, n: number): void {
    const picked = this.pick(index)
    const owned = picked && this.own(...picked)
    if (owned === undefined) return
    const [f, row] = owned
    if (n > 0) {
      const at = this.pool.prepend(f, n)
      expect(at === -1).toBe(n > row.front)
      if (at >= 0) {
        this.pool.bytes.fill(n, at, at + n)
        row.front -= n
        row.bytes.unshift(...new Array(n).fill(n))
      }
    } else {
      const at = this.pool.strip(f, -n)
      expect(at === -1).toBe(-n > row.bytes.length)
      if (at >= 0) {
        row.front -= n
        row.bytes.splice(0, -n)
      }
    }
    this.put(f, row)
  }

  end(index: number, why: number | null): void {
    const picked = this.pick(index)
    if (picked === undefined) return
    const [f, row] = picked
    if (why === null) {
      this.pool.sent(f)
      this.model.sent++
      this.model.release(row)
    } else {
      this.pool.drop(f, why as Drop)
      this.model.drop(row, DROP_NAMES[why] as string)
    }
  }

  push(index: number): void {
    const picked = this.pick(index)
    if (picked === undefined) return
    this.link.push(picked[0])
    if (this.modelLink.length === LINK) this.model.drop(picked[1], 'LinkFull')
    else this.modelLink.push(picked[1])
  }

  turn(): void {
    this.loop.turn()
    this.modelHand.push(...this.modelLink.splice(0))
  }

  send(index: number, by: 'a' | 'b' | 'c'): void {
    const picked = this.pick(index)
    if (picked === undefined) return
    const [f, row] = picked
    this.batch.push(f)
    this[by].process(this.batch)
    expect(this.batch.length).toBe(0)
    const { model } = this
    const queue = by === 'c' ? this.modelOut : by === 'a' ? this.cable.ab : this.cable.ba
    if (queue.length === QUEUE) model.lose(row, 'PortFull')
    else if (by === 'c') queue.push(row)
    else if (row.holders > 1 && model.rows === ROWS) model.lose(row, 'PoolSpent')
    else {
      const own = row.holders === 1 ? row : (model.fresh(row.bytes, row.front) as Row)
      if (own !== row) model.release(row)
      queue.push(own)
      model.sent++
      model.received++
    }
  }

  receive(by: 'a' | 'b' | 'c'): void {
    this[by].receive(this.batch)
    for (const f of this.batch.frames.subarray(0, this.batch.length)) {
      expect(this.pool.port[f]).toBe(this[by].id)
      this.hand.push(f as Frame)
    }
    this.batch.length = 0
    const queue = by === 'c' ? this.modelIn : by === 'a' ? this.cable.ba : this.cable.ab
    this.modelHand.push(...queue.splice(0))
  }

  inject(bytes: number[]): void {
    const { model } = this
    const taken = this.c.inject(Uint8Array.from(bytes))
    model.received++
    if (bytes.length > 64) model.count('Oversize')
    else if (model.rows === ROWS) model.count('PoolSpent')
    else if (this.modelIn.length === QUEUE) model.count('PortFull')
    else {
      this.modelIn.push(model.fresh(bytes, this.pool.headroom) as Row)
      expect(taken).toBe(true)
      return
    }
    model.lost++
    expect(taken).toBe(false)
  }

  take(): void {
    const bytes = this.c.take()
    const row = this.modelOut.shift()
    expect(bytes && [...bytes]).toEqual(row?.bytes)
    if (row === undefined) return
    this.model.sent++
    this.model.release(row)
  }

  compare(): void {
    const { pool, model } = this
    const { received, originated, copied, sent } = model
    expect(pool.report()).toEqual({
      received,
      originated,
      copied,
      sent,
      held:
        this.modelHand.length +
        this.modelLink.length +
        this.cable.ab.length +
        this.cable.ba.length +
        this.modelIn.length +
        this.modelOut.length,
      dropped: Object.fromEntries(model.dropped),
      balanced: true,
    })
    expect(pool.spare).toBe(ROWS - model.rows)
    expect(this.hand.map((f) => [...pool.view(f)])).toEqual(this.modelHand.map((row) => row.bytes))
    for (const [i, f] of this.hand.entries()) expect(pool.refs[f]).toBe((this.modelHand[i] as Row).holders)
    const ports = [this.a, this.b, this.c].map((port) => port.counters)
    expect(ports.reduce((n, c) => n + c.rxDropped + c.txDropped, 0)).toBe(model.lost)
  }

  finish(): void {
    for (const f of this.hand) this.pool.sent(f)
    for (const port of [this.a, this.b, this.c]) port.close()
    const before = this.pool.ledger.drops[Drop.PathTooLong] as number
    this.loop.abandon()
    expect(this.pool.report()).toMatchObject({ held: 0, balanced: true })
    expect(this.pool.spare).toBe(ROWS)
    expect(this.pool.ledger.drops[Drop.PathTooLong]).toBe(before + this.modelLink.length)
  }
}

const index = fc.nat(20)
const frame = fc.array(fc.nat(255), { maxLength: 70 })
const operation: fc.Arbitrary<(world: World) => void> = fc.oneof(
  frame.map((bytes) => (w: World) => w.make(bytes.slice(0, 64))),
  frame.map((bytes) => (w: World) => w.inject(bytes)),
  index.map((i) => (w: World) => w.share(i)),
  index.map((i) => (w: World) => w.copy(i)),
  fc.tuple(index, fc.integer({ min: -40, max: 40 })).map(
    ([i, n]) =>
      (w: World) =>
        w.shift(i, n),
  ),
  fc.tuple(index, fc.option(fc.nat(DROP_NAMES.length - 1))).map(
    ([i, why]) =>
      (w: World) =>
        w.end(i, why),
  ),
  index.map((i) => (w: World) => w.push(i)),
  fc.constant((w: World) => w.turn()),
  fc.tuple(index, fc.constantFrom('a' as const, 'b' as const, 'c' as const)).map(
    ([i, by]) =>
      (w: World) =>
        w.send(i, by),
  ),
  fc.constantFrom('a' as const, 'b' as const, 'c' as const).map((by) => (w: World) => w.receive(by)),
  fc.constant((w: World) => w.take()),
)

it('holds in any world', () => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 60, size: 'max' }), (operations) => {
      const world = new World()
      for (const operate of operations) {
        operate(world)
        world.compare()
      }
      world.finish()
    }),
    { numRuns: 500 },
  )
})

it('counts at a port every frame that the port lost', () => {
  const pool = new FramePool({ frames: 1 })
  const [a, b] = [new MemoryPort(pool, 'a'), new MemoryPort(pool, 'b')]
  MemoryPort.connect(a, b)
  const f = pool.from(Uint8Array.of(1)) as Frame
  pool.ledger.originate(1)
  pool.share(f, 1)
  // Somebody else holds the row, and there is none for the copy that the cable needs.
  const batch = new Batch()
  batch.push(f)
  a.process(batch)
  expect(a.counters).toMatchObject({ txFrames: 0, txDropped: 1 })
  expect(pool.report()).toMatchObject({ held: 1, dropped: { PoolSpent: 1 }, balanced: true })
  pool.drop(f, Drop.Fault)
})
