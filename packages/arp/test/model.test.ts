import { type Batch, Drop, type Frame, FramePool, NO_FRAME, VirtualClock } from '@l2l3/switch-core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AddressIndex, NO_ROW } from '../src/address-index.ts'
import { NeighbourTable } from '../src/index.ts'
import { WaitingFrames } from '../src/waiting.ts'
import { hex4, hex6, isAt, mac, na, ns, US, whoHas } from './lab.ts'
import { NaiveTable } from './naive-table.ts'

/** The table against a naive one: the same messages, frames and times, and then the same states, MACs, frames and
 * questions. */

const V4 = ['10.0.0.10', '10.0.0.11', '10.0.0.12']
const V6 = ['fe80::a', 'fe80::b', 'fd00::c']
const MACS = ['02000000000a', '02000000000b', '02000000000c']

const v4 = fc.constantFrom(...V4)
const v6 = fc.constantFrom(...V6)
const ip = fc.constantFrom(...V4, ...V6)
const who = fc.constantFrom(...MACS)

const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('send' as const), ip }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 50, max: 40_000 }) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('reply' as const), ip: v4, who }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('question' as const), ip: v4, who, us: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('announce' as const), ip: v4, who }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('solicit' as const), ip: v6, who }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('advert' as const),
      ip: v6,
      who: fc.option(who),
      r: fc.boolean(),
      s: fc.boolean(),
      o: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('static' as const), ip, who }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('remove' as const), ip }) },
)

class Real {
  readonly pool = new FramePool({ frames: 128 })
  readonly clock = new VirtualClock()
  readonly log: string[] = []
  readonly table: NeighbourTable
  readonly #batch: Batch = { frames: new Uint32Array(1), length: 0 } as Batch

  constructor() {
    this.table = new NeighbourTable(this.pool, this.clock, {
      mac: mac(US),
      addresses: ['10.0.0.1/24', 'fe80::1/64', 'fd00::1/64'],
      out: { push: (f) => this.#said(f) },
      client: {
        resolved: (f) => this.#sent(f),
        failed: (f) => this.#end(f, `fail ${this.#tag(f)}`),
      },
      random: () => 0.5,
      queuePerNeighbour: 3,
    })
    this.pool.observer = {
      dropped: (f, why) => {
        if (why === Drop.NeighbourQueueFull) this.log.push(`drop ${this.#tag(f)}`)
      },
    }
  }

  send(address: string, tag: number): void {
    const f = this.pool.from(
      Buffer.from(`${'00'.repeat(6)}${US}88b5${tag.toString(16).padStart(4, '0')}`, 'hex'),
    ) as Frame
    this.pool.ledger.originate(1)
    const known = address.includes(':')
      ? this.table.resolve6(f, Buffer.from(hex6(address), 'hex'), 0)
      : this.table.resolve4(f, Number.parseInt(hex4(address), 16))
    if (known) this.#sent(f)
  }

  hear(frame: string): void {
    this.#batch.frames[0] = this.pool.from(Buffer.from(frame, 'hex'))
    this.pool.ledger.receive(1)
    ;(this.#batch as { length: number }).length = 1
    this.table.input.process(this.#batch)
    if (this.#batch.length === 1) this.pool.sent(this.#batch.frames[0] as Frame)
  }

  #tag(f: Frame): number {
    return this.pool.data.getUint16((this.pool.off[f] as number) + 14)
  }
  #sent(f: Frame): void {
    this.#end(f, `send ${this.#tag(f)} ${this.pool.view(f).toString('hex', 0, 6)}`)
  }
  #end(f: Frame, what: string): void {
    this.log.push(what)
    this.pool.sent(f)
  }
  /** Questions are noted; answers are not the table's business here. */
  #said(f: Frame): void {
    const b = this.pool.view(f)
    const isArp = b.readUInt16BE(12) === 0x0806
    if (isArp ? b[21] === 1 : b[54] === 0x87) {
      const target = isArp ? [...b.subarray(38, 42)].join('.') : V6.find((a) => hex6(a) === b.toString('hex', 62, 78))
      this.log.push(`ask ${target}${b[0]! & 1 ? '' : ` ${b.toString('hex', 0, 6)}`}`)
    }
    this.pool.sent(f)
  }
}

it('does what the naive table does', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const real = new Real()
      const naive = new NaiveTable(3)
      let tag = 0
      for (const s of steps) {
        switch (s.kind) {
          case 'send':
            real.send(s.ip, ++tag)
            naive.send(s.ip, tag)
            break
          case 'wait':
            for (let left = s.ms; left > 0; left -= 500) {
              real.clock.advance(Math.min(left, 500) * 1e6)
              naive.now = real.clock.now
              real.table.tick(real.clock.now)
              naive.tick()
            }
            break
          case 'reply':
            real.hear(isAt(US, '10.0.0.1', s.who, s.ip))
            naive.heard(s.ip, s.who, { solicited: true, create: false, lock: true })
            break
          case 'question':
            real.hear(whoHas(s.who, s.ip, s.us ? '10.0.0.1' : '10.0.0.99'))
            naive.heard(s.ip, s.who, { solicited: false, create: s.us, lock: true })
            break
          case 'announce':
            real.hear(whoHas(s.who, s.ip, s.ip))
            naive.heard(s.ip, s.who, { solicited: false, create: false, lock: false })
            break
          case 'solicit':
            real.hear(ns(s.who, s.ip, 'fe80::1'))
            naive.heard(s.ip, s.who, { solicited: false, create: true, lock: false })
            break
          case 'advert': {
            const flags = (s.r ? 0x80 : 0) | (s.s ? 0x40 : 0) | (s.o ? 0x20 : 0)
            real.hear(na(US, '0200000000ff', s.ip, 'fe80::1', s.ip, flags, s.who))
            naive.advertised(s.ip, s.who, s)
            break
          }
          case 'static':
            real.table.add(s.ip, mac(s.who))
            naive.permanent(s.ip, s.who)
            break
          case 'remove':
            real.table.remove(s.ip)
            naive.remove(s.ip)
        }
        // Within a tick, neighbours are looked at in an order of the table's own.
        expect([...real.log].sort()).toEqual([...naive.log].sort())
        real.log.length = naive.log.length = 0
        expect(summary(real)).toEqual(naiveSummary(naive))
        expect(real.pool.report().balanced).toBe(true)
      }
      expect(real.pool.held()).toBe(real.table.waiting)
    }),
    { numRuns: 300 },
  )
})

function summary(real: Real): string[] {
  return [...real.table.list()]
    .map((n) => `${n.address} ${n.state} ${n.mac?.replaceAll(':', '') ?? null} ${n.router} ${n.waiting}`)
    .sort()
}

function naiveSummary(naive: NaiveTable): string[] {
  return [...naive.entries].map(([address, e]) => `${address} ${e.state} ${e.mac} ${e.router} ${e.queue.length}`).sort()
}

it('keeps waiting frames as naive queues would', () => {
  const action = fc.record({ row: fc.nat(3), take: fc.nat(7).map((n) => n === 0) })
  fc.assert(
    fc.property(fc.array(action, { maxLength: 100 }), (actions) => {
      const pool = new FramePool({ frames: 16 })
      const waiting = new WaitingFrames(pool, 4, 3, 6)
      let model: { row: number; f: number }[] = []
      for (const { row, take } of actions) {
        const mine = model.filter((w) => w.row === row)
        if (take) {
          model = model.filter((w) => w.row !== row)
          const taken: number[] = []
          for (let f = waiting.detach(row); f !== NO_FRAME; ) {
            const next = waiting.after(f)
            taken.push(f)
            pool.release(f)
            f = next
          }
          expect(taken).toEqual(mine.map((w) => w.f))
        } else {
          const f = pool.alloc() as Frame
          const oldest = mine.length === 3 ? mine[0] : model.length === 6 ? model[0] : undefined
          expect(waiting.push(row, f)).toBe(oldest === undefined ? 0 : 1)
          model = [...model.filter((w) => w !== oldest), { row, f }]
        }
        expect(waiting.length).toBe(model.length)
        expect([0, 1, 2, 3].map((r) => waiting.count(r))).toEqual(
          [0, 1, 2, 3].map((r) => model.filter((w) => w.row === r).length),
        )
        expect(pool.frames - pool.spare).toBe(model.length)
      }
    }),
    { numRuns: 2000 },
  )
})

describe('address index', () => {
  it('finds what a Map finds, whatever collides', () => {
    // Few slots and few bits: most addresses meet others on their way.
    const key = fc.record({ six: fc.boolean(), n: fc.integer({ min: 0, max: 30 }) })
    const action = fc.record({ key, add: fc.boolean() })
    fc.assert(
      fc.property(fc.array(action, { maxLength: 200 }), fc.integer(), (actions, seed) => {
        const index = new AddressIndex(16, seed)
        const model = new Map<string, number>()
        const v6 = new Uint8Array(18)
        for (const { key, add } of actions) {
          const name = `${key.six}${key.n}`
          v6[17] = key.n
          const found = key.six ? index.find6(v6, 2) : index.find4(key.n)
          expect(found).toBe(model.get(name) ?? NO_ROW)
          if (add && found === NO_ROW) {
            const row = key.six ? index.add6(v6, 2) : index.add4(key.n)
            expect(row === NO_ROW).toBe(model.size === 16)
            if (row !== NO_ROW) model.set(name, row)
          } else if (!add && found !== NO_ROW) {
            index.remove(found)
            model.delete(name)
          }
          expect(index.size).toBe(model.size)
        }
        for (const [name, row] of model) {
          const n = Number(name.replace(/\D/g, ''))
          v6[17] = n
          expect(name.startsWith('true') ? index.find6(v6, 2) : index.find4(n)).toBe(row)
        }
      }),
      { numRuns: 300 },
    )
  })

  it('takes 10,000 addresses of each kind, of one subnet and scattered, and gives them back', () => {
    const index = new AddressIndex(40_000)
    const v6 = new Uint8Array(16)
    const rows: number[] = []
    for (let i = 1; i <= 10_000; i++) {
      rows.push(index.add4(0x0a000000 + i), index.add4(Math.imul(i + 1, 0x9e3779b1) >>> 0))
      v6.set([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, i >> 8, i & 255])
      rows.push(index.add6(v6, 0))
      v6.set([i >> 8, i & 255], 4)
      rows.push(index.add6(v6, 0))
    }
    expect(new Set(rows).size).toBe(40_000)
    expect(rows.filter((r) => r === NO_ROW).length).toBe(0)
    for (const row of rows) index.remove(row)
    expect(index.size).toBe(0)
  })
})
