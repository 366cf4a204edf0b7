/** Fragments against a model that remembers every byte, and any bytes at all against the table. */
import { Drop, type Frame, SECOND, VirtualClock } from '@l2l3/switch-core'
import { ipv4 } from '@l2l3/switch-core/wire'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { HEAP_LIMIT, heapGrowth, heapMade } from '../../../../test-support/heap.ts'
import { Fragments, type FragmentWaiter, Turn } from '../../src/fragments/fragments.ts'
import { Bench, bytesOf, kernel } from '../awkward.ts'

/** A fragment: of which packet, from which unit of 8 bytes, how many of them, whether more follow. */
interface Piece {
  id: number
  at: number
  n: number
  more: boolean
}
type Event = Piece | { wait: number }

function packetOf({ id, at, n, more }: Piece): Uint8Array {
  const packet = new Uint8Array(20 + 8 * n)
  const flags = more ? ipv4.Flag.MoreFragments : 0
  ipv4.write(packet, 0, { src: 1, dst: 2, protocol: 17, payload: 8 * n, id, flags, fragmentOffset: 8 * at })
  return packet
}

/** What is said about fragments in prose, over sets and lists. */
class Model {
  now = 0
  log: string[] = []
  readonly #packets: Map<
    number,
    { until: number; first: boolean; bad: boolean; waiting: Piece[]; bytes: Set<number>; end: number }
  > = new Map()

  expire(): void {
    for (const [id, packet] of this.#packets) {
      if (packet.until > this.now) continue
      for (const p of packet.waiting) this.log.push(`${id}/${p.at} late`)
      this.#packets.delete(id)
    }
  }

  in(piece: Piece): void {
    const { id, at, n, more } = piece
    if (at === 0 && !more) {
      this.log.push(`${id}/0 whole`)
      return
    }
    let packet = this.#packets.get(id)
    if (packet === undefined) {
      packet = { until: this.now + 2 * SECOND, first: false, bad: false, waiting: [], bytes: new Set(), end: 0 }
      this.#packets.set(id, packet)
    }
    if (at === 0 && !packet.first) {
      packet.first = true
      packet.until = this.now + 30 * SECOND
      for (let i = 0; i < n; i++) packet.bytes.add(i)
      this.log.push(`${id}/0 first`)
      for (const p of packet.waiting.splice(0)) this.in(p)
    } else if (packet.first) this.#later(packet, piece)
    else {
      packet.waiting.push(piece)
    }
  }

  #later(packet: { until: number; bad: boolean; bytes: Set<number>; end: number }, { id, at, n, more }: Piece): void {
    const units = Array.from({ length: n }, (_, i) => at + i)
    const seen = units.filter((u) => packet.bytes.has(u)).length
    const duplicate = seen === n && (more || packet.end === at + n)
    const wrongEnd =
      !duplicate &&
      ((packet.end !== 0 && (!more || at + n > packet.end)) || (!more && Math.max(...packet.bytes) >= at + n))
    if (packet.bad || duplicate) {
      this.log.push(`${id}/${at} overlap`)
    } else if (seen > 0 || wrongEnd) {
      packet.bad = true
      packet.until = this.now + 30 * SECOND
      this.log.push(`${id}/${at} overlap`)
    } else {
      for (const u of units) packet.bytes.add(u)
      if (!more) packet.end = at + n
      this.log.push(`${id}/${at} follows`)
      if (packet.bytes.size === packet.end) this.#packets.delete(id)
    }
  }
}

/** The same by the table. */
class Ours implements FragmentWaiter {
  readonly bench: Bench = new Bench(256)
  readonly clock: VirtualClock = new VirtualClock()
  readonly fragments: Fragments
  log: string[] = []
  #ready: Frame[] = []

  constructor() {
    this.fragments = new Fragments(this.bench.pool, this.clock, this, { heldFrames: 256, heldPerPacket: 256 })
  }

  ready(f: Frame): void {
    this.#ready.push(f)
  }
  ended(f: Frame, _token: number, why: Drop): void {
    expect(why).toBe(Drop.FragmentTimeout)
    this.#end(f, 'late')
  }

  #end(f: Frame, what: string): void {
    const { bytes } = this.bench.pool
    const l3 = this.bench.l3(f)
    this.log.push(`${ipv4.id(bytes, l3)}/${ipv4.fragmentOffset(bytes, l3) >>> 3} ${what}`)
    this.bench.pool.drop(f, Drop.Malformed)
  }

  in(piece: Piece): void {
    this.#ready.push(this.bench.frame(packetOf(piece)))
    for (let f = this.#ready.shift(); f !== undefined; f = this.#ready.shift()) {
      const turn = this.fragments.accept(f, this.bench.l3(f), this.bench.end(f), 0, 0)
      if (turn === Turn.Held) continue
      this.#end(f, ['whole', 'first', 'follows', '', 'overlap'][turn] as string)
      if (turn === Turn.First) this.fragments.bind(1, 2)
      else if (turn === Turn.Dropped) expect(this.fragments.why).toBe(Drop.FragmentOverlap)
    }
  }
}

const anyPiece = fc.record({ id: fc.nat(1), at: fc.nat(6), n: fc.integer({ min: 1, max: 3 }), more: fc.boolean() })
const goodPiece = fc.constantFrom<Piece>(
  { id: 0, at: 0, n: 2, more: true },
  { id: 0, at: 2, n: 3, more: true },
  { id: 0, at: 5, n: 1, more: true },
  { id: 0, at: 6, n: 1, more: false },
)
const wait = fc.record({ wait: fc.constantFrom(1, SECOND, 2 * SECOND, 29 * SECOND) })

describe('fragments', () => {
  it('go where a model of every byte sends them', () => {
    let followed = 0
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof<[fc.WeightedArbitrary<Event>, ...fc.WeightedArbitrary<Event>[]]>(
            { arbitrary: goodPiece, weight: 6 },
            { arbitrary: anyPiece, weight: 4 },
            { arbitrary: wait, weight: 1 },
          ),
          { maxLength: 30 },
        ),
        (events) => {
          const model = new Model()
          const ours = new Ours()
          for (const e of events) {
            if ('wait' in e) {
              model.now += e.wait
              model.expire()
              ours.clock.advance(e.wait)
              ours.fragments.tick(ours.clock.now)
              // Packets time out together in an order of their own.
              model.log.sort()
              ours.log.sort()
            } else {
              model.in(e)
              ours.in(e)
            }
            expect(ours.log).toEqual(model.log)
            ours.bench.balanced()
          }
          followed += model.log.filter((l) => l.endsWith('follows')).length
        },
      ),
      { numRuns: 1000 },
    )
    expect(followed).toBeGreaterThan(300)
  })

  it('may be any bytes', () => {
    const seeds = kernel.fragments.flatMap((c) => c.sent.map((hex) => bytesOf(hex).slice(0, 120)))
    const bench = new Bench(64)
    const clock = new VirtualClock()
    const ready: Frame[] = []
    const fragments = new Fragments(
      bench.pool,
      clock,
      { ready: (f) => void ready.push(f), ended: (f, _, why) => bench.pool.drop(f, why) },
      { packets: 16 },
    )
    const turns = new Set<number>()
    fc.assert(
      fc.property(
        fc.constantFrom(...seeds),
        fc.array(fc.tuple(fc.nat(60), fc.nat(255)), { maxLength: 3 }),
        fc.integer({ min: 0, max: 120 }),
        fc.boolean(),
        (seed, changes, cut, bind) => {
          const packet = seed.slice()
          for (const [o, v] of changes) packet[o] = v
          const v6 = (packet[0] as number) >>> 4 === 6
          // The caller has checked the headers' lengths, and so what it says of the end.
          const least = v6 ? 40 : Math.max(20, ((packet[0] as number) & 15) * 4)
          if (!v6) packet[0] = 0x40 | (least >>> 2)
          ready.push(bench.frame(packet.subarray(0, Math.max(least, 120 - cut))))
          for (let f = ready.shift(); f !== undefined; f = ready.shift()) {
            const before = bench.ip(f)
            const turn = fragments.accept(f, bench.l3(f), bench.end(f), 0, 0)
            turns.add(turn)
            if (turn === Turn.Held) continue
            expect(bench.ip(f)).toBe(before)
            if (turn === Turn.First && bind) fragments.bind(1, 1)
            else if (turn === Turn.First) fragments.refuse(Drop.NatFiltered)
            bench.intact(f)
            bench.drop(f)
          }
          clock.advance(SECOND / 10)
          fragments.tick(clock.now)
          expect(fragments.packets).toBeLessThanOrEqual(16)
          bench.balanced()
        },
      ),
      { numRuns: 3000 },
    )
    expect([...turns].sort()).toEqual([Turn.Whole, Turn.First, Turn.Follows, Turn.Held, Turn.Dropped])
    clock.advance(60 * SECOND)
    fragments.tick(clock.now)
    expect(bench.pool.held()).toBe(0)
  })

  it('take no memory as they go by', () => {
    const bench = new Bench(64)
    const clock = new VirtualClock()
    const ready: Frame[] = []
    const fragments = new Fragments(bench.pool, clock, {
      ready: (f) => void ready.push(f),
      ended: (f, _, why) => bench.pool.drop(f, why),
    })
    const templates = [0, 1, 2].map((at) => packetOf({ id: 0, at: 2 * at, n: 2, more: at < 2 }))
    const { pool } = bench
    const turn = (id: number): void => {
      for (const packet of templates) {
        const f = pool.alloc() as Frame
        pool.ledger.receive(1)
        const o = pool.off[f] as number
        pool.bytes.set(packet, o + 14)
        pool.bytes[o + 18] = id >>> 8
        pool.bytes[o + 19] = id & 255
        pool.len[f] = 14 + packet.length
        const what = fragments.accept(f, o + 14, o + 14 + packet.length, 0, 0)
        if (what === Turn.First) fragments.bind(1, 1)
        if (what !== Turn.Held) pool.drop(f, Drop.Malformed)
      }
    }
    let id = 0
    const run = (n: number): void => {
      for (const end = id + n; id < end; id++) turn(id & 0xffff)
    }
    run(50_000)
    expect(heapGrowth(() => run(300_000))).toBeLessThan(HEAP_LIMIT)
    const few = 8000
    expect(heapMade(() => run(few), 4 * few)).toBeLessThan(4 * few)
    expect(fragments.counters.complete).toBe(id)
  })
})
