import { Batch, type Element, type Frame, FramePool, Link, type NeighbourClient, VirtualClock } from '@l2l3/switch-core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  ArpGuard,
  ArpLimiter,
  DhcpGuard,
  KnownNeighbours,
  NeighbourTable,
  PortBindings,
  ProxyArp,
  ProxyNd,
  Responder,
  SourceGuard,
  Suppressor,
  seededDice,
} from '../src/index.ts'
import { ANN, arp, BEN, isAt, mac, na, ns, US, whoHas, ZERO } from './lab.ts'

/** Any bytes, through every element: nothing is thrown, no byte outside a frame is written, every frame is accounted
 * for. */

class Rig {
  readonly pool = new FramePool({ frames: 64, frameSize: 192 })
  readonly clock = new VirtualClock()
  readonly elements: Element[]
  readonly table: NeighbourTable
  readonly proxy: ProxyArp
  readonly out: Link
  readonly #batch = new Batch()

  constructor() {
    const { pool, clock } = this
    const end: Element = {
      process(batch) {
        for (let i = 0; i < batch.length; i++) pool.sent(batch.frames[i] as Frame)
        batch.length = 0
      },
    }
    this.out = new Link(pool, { schedule() {} }, end, 'out', 16)
    const { out } = this
    const known = new KnownNeighbours()
    known.set('10.0.0.11', mac(BEN))
    known.set('fe80::b', mac(BEN))
    const own = { mac: mac(US), out }
    const client: NeighbourClient = {
      resolved: (f) => pool.sent(f),
      failed: (f) => pool.sent(f),
    }
    this.table = new NeighbourTable(pool, clock, {
      ...own,
      client,
      addresses: ['10.0.0.1/24', 'fe80::1/64'],
      maxEntries: 16,
      queueTotal: 8,
    })
    const routes = { lookup4: () => ({ kind: 'unicast', out: 1 }) as const, lookup6: () => null }
    this.proxy = new ProxyArp(pool, clock, { ...own, routes, interface: 0, delayMaxMs: 800, delayQueue: 8 })
    const bindings = new PortBindings([
      { mac: mac(ANN), address: '10.0.0.10' },
      { mac: mac(ANN), address: 'fe80::a' },
    ])
    this.elements = [
      new ArpLimiter(pool, clock, 1000),
      new DhcpGuard(pool),
      new ArpGuard(pool, bindings),
      new SourceGuard(pool, bindings),
      new Responder(pool, { out, known }),
      new Suppressor(pool, clock, { out, known }),
      new Suppressor(pool, clock, { out, known, variant: 'overlay' }),
      this.table.input,
      this.proxy,
      new ProxyNd(pool, clock, { ...own, mode: 'any', routes, interface: 0 }),
    ]
  }

  /** Gives a frame to one element. The bytes around it must stay, and so must its own where it goes on. */
  feed(element: Element, bytes: Uint8Array): void {
    const { pool } = this
    const f = pool.from(bytes) as Frame
    pool.ledger.receive(1)
    const o = pool.off[f] as number
    const slot = [f * pool.stride, (f + 1) * pool.stride] as const
    const around = Buffer.from(pool.bytes.subarray(...slot))
    this.#batch.push(f)
    element.process(this.#batch)
    const now = Buffer.from(pool.bytes.subarray(...slot))
    // Where the row was freed, an answer may stand in it: then it is not looked at.
    if (this.#batch.length === 1) {
      expect(now.equals(around)).toBe(true)
      expect([pool.off[f], pool.len[f]]).toEqual([o, bytes.length])
      pool.sent(f)
      this.#batch.length = 0
    }
    const waiting = this.out.take()
    this.out.target.process(waiting)
    expect(pool.report().balanced).toBe(true)
    expect(pool.held()).toBe(this.proxy.waiting + this.table.waiting)
    this.clock.advance(1e7)
    this.table.tick(this.clock.now)
    this.proxy.tick(this.clock.now)
  }
}

const messages = [
  whoHas(ANN, '10.0.0.10', '10.0.0.1'),
  whoHas(ANN, '0.0.0.0', '10.0.0.11'),
  isAt(US, '10.0.0.1', ANN, '10.0.0.10'),
  arp(US, ANN, 1, ANN, '10.0.0.10', ZERO, '8.8.8.8'),
  ns(ANN, 'fe80::a', 'fe80::1'),
  ns(ANN, '::', 'fe80::b'),
  na(US, ANN, 'fe80::a', 'fe80::1', 'fe80::a', 0x60, ANN),
].map((m) => Buffer.from(m, 'hex'))

const anything = fc.uint8Array({ maxLength: 192 })
const mutated = fc
  .record({
    message: fc.constantFrom(...messages),
    cut: fc.nat(192),
    tags: fc.constantFrom('', '81000005', '88a8000581000006', '810000058100000581000005'),
    edits: fc.array(fc.tuple(fc.nat(120), fc.nat(255)), { maxLength: 4 }),
  })
  .map(({ message, cut, tags, edits }) => {
    const b = Buffer.concat([message.subarray(0, 12), Buffer.from(tags, 'hex'), message.subarray(12)])
    for (const [at, value] of edits) if (at < b.length) b[at] = value
    return new Uint8Array(b.subarray(0, cut))
  })

it('any bytes, and messages cut, tagged and edited', () => {
  const rig = new Rig()
  fc.assert(
    fc.property(fc.oneof(anything, mutated), fc.nat(), (bytes, which) => {
      rig.feed(rig.elements[which % rig.elements.length] as Element, bytes)
    }),
    { numRuns: 20_000 },
  )
  expect(rig.pool.report().dropped.Malformed).toBeGreaterThan(0)
  expect(rig.table.size).toBeLessThanOrEqual(16)
})

describe('floods', () => {
  it('of questions, announcements, solicitations and advertisements fill nothing past its limit', () => {
    const rig = new Rig()
    const dice = seededDice(1)
    const random = (n: number): number => Math.floor(dice() * n)
    for (let i = 0; i < 20_000; i++) {
      const sha = `02${random(2 ** 40)
        .toString(16)
        .padStart(10, '0')}`
      const ip = `10.${random(256)}.${random(256)}.${1 + random(254)}`
      const v6 = `fe80::${(1 + random(65_535)).toString(16)}`
      const frame = [
        () => whoHas(sha, ip, '10.0.0.1'),
        () => whoHas(sha, ip, ip),
        () => whoHas(sha, ip, `8.8.${random(256)}.1`),
        () => ns(sha, v6, 'fe80::1'),
        () => na(US, sha, v6, 'fe80::1', v6, 0x60, sha),
      ][i % 5] as () => string
      const bytes = Buffer.from(frame(), 'hex')
      rig.feed(rig.table.input, bytes)
      rig.feed(rig.proxy, bytes)
      expect(rig.table.size).toBeLessThanOrEqual(16)
      expect(rig.proxy.waiting).toBeLessThanOrEqual(8)
    }
    expect(rig.table.counters.evicted).toBeGreaterThan(1000)
  })

  it('of frames to neighbours that nobody has hold eight of them', () => {
    const rig = new Rig()
    for (let i = 0; i < 20_000; i++) {
      const f = rig.pool.from(new Uint8Array(60)) as Frame
      rig.pool.ledger.originate(1)
      expect(rig.table.resolve4(f, 0x0b000000 + i)).toBe(false)
      rig.out.target.process(rig.out.take())
      expect(rig.table.waiting).toBeLessThanOrEqual(8)
      expect(rig.table.size).toBeLessThanOrEqual(16)
    }
    const { dropped, balanced } = rig.pool.report()
    expect(balanced).toBe(true)
    expect((dropped.NeighbourQueueFull ?? 0) + (dropped.NeighbourTableFull ?? 0)).toBe(20_000 - rig.table.waiting)
  })
})
