import { Fdb, FdbExchange, fdbKey, MILLISECOND, VirtualClock } from '@l2l3/switch-core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

/* Workers of one switch that tell each other what they hear. Red is heard by worker 0, blue by worker 1. */

const RED = fdbKey([2, 0, 0, 0, 0, 0x0a])
const BLUE = fdbKey([2, 0, 0, 0, 0, 0x0b], 7)
const TICK = 20 * MILLISECOND

/** Workers whose clocks began at different times, as those of threads do. */
function workers(n: number, options: { ageing?: number; maxEntries?: number } = {}) {
  const shared = FdbExchange.shared(n)
  const all = Array.from({ length: n }, (_, i) => {
    // Milliseconds since 1970 that need more than 32 bits, and 250 ms between one worker and the next.
    const clock = new VirtualClock(1_763_752_654_000_000_000n - BigInt(i) * 250_000_000n)
    clock.advance(i * 250 * MILLISECOND)
    const fdb = new Fdb(options)
    fdb.setNow(clock.now)
    return { clock, fdb, exchange: new FdbExchange(shared, i, fdb, clock) }
  })
  /** Lets time pass, in ticks; the last worker ticks first. */
  const pass = (ms: number): void => {
    for (let passed = 0; passed < ms; passed += 20) {
      for (const { clock, exchange } of all.toReversed()) {
        clock.advance(TICK)
        exchange.tick(clock.now)
      }
    }
  }
  return { all, pass, at: (i: number) => all[i] as (typeof all)[number] }
}

describe('workers that tell each other what they hear', () => {
  it('know an address of another after a tick or two, with its VLAN and age', () => {
    const { at, pass } = workers(3)
    at(0).fdb.learn(...RED, 3, false)
    at(1).fdb.learn(...BLUE, 5, false)
    pass(40)
    for (let i = 0; i < 3; i++) {
      expect(at(i).fdb.entry(...RED)).toEqual({ mac: '02:00:00:00:00:0a', vlan: 0, port: 3, kind: 'dynamic', age: 40 })
      expect(at(i).fdb.entry(...BLUE)).toMatchObject({ vlan: 7, port: 5, age: 40 })
    }
  })

  it('take what was heard last: an address that moves in one worker moves in all', () => {
    const { at, pass } = workers(2)
    at(0).fdb.learn(...RED, 3, false)
    pass(40)
    at(1).fdb.learn(...RED, 4, false)
    pass(40)
    expect([0, 1].map((i) => at(i).fdb.lookup(...RED))).toEqual([4, 4])
  })

  it('do not forget a station that one of them hears, and all forget one that none does', () => {
    const { at, pass } = workers(2, { ageing: 10 })
    at(0).fdb.learn(...RED, 3, false)
    at(0).fdb.learn(...BLUE, 5, false)
    for (let s = 0; s < 30; s++) {
      at(0).fdb.learn(...RED, 3, false)
      pass(1000)
    }
    expect(at(1).fdb.lookup(...RED)).toBe(3)
    // What they are told they do not tell as news: that would keep it for ever.
    expect([0, 1].map((i) => at(i).fdb.lookup(...BLUE))).toEqual([-1, -1])
    pass(14_000)
    expect([0, 1].map((i) => at(i).fdb.lookup(...RED))).toEqual([-1, -1])
  })

  it('leave alone what was configured', () => {
    const { at, pass } = workers(2)
    at(0).fdb.add(RED, 1, 'static')
    at(1).fdb.learn(...RED, 4, false)
    pass(40)
    expect([0, 1].map((i) => at(i).fdb.lookup(...RED))).toEqual([1, 4])
  })

  it('go on at the newest when they were too slow', () => {
    const { at, pass } = workers(2, { maxEntries: 20_000 })
    for (let i = 0; i < 10_000; i++) at(0).fdb.learn(0x0002, i << 8, i & 15, false)
    pass(20)
    expect(at(1).exchange.missed).toBe(10_000)
    at(0).fdb.learn(...RED, 3, false)
    pass(40)
    expect(at(1).fdb.lookup(...RED)).toBe(3)
    // And by and by they are told again.
    pass(80_000)
    expect(at(1).fdb.size).toBe(10_001)
  })

  it('agree with a list of who was heard last where', () => {
    const event = fc.record({
      worker: fc.nat(2),
      mac: fc.nat(40),
      port: fc.nat(7),
      wait: fc.constantFrom(20, 60, 400, 2000),
    })
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60 }), (events) => {
        const { at, pass } = workers(3, { ageing: 8 })
        const heard = new Map<number, { port: number; at: number }>()
        let now = 0
        for (const { worker, mac, port, wait } of events) {
          at(worker).fdb.learn(0x0002, mac << 24, port, false)
          heard.set(mac, { port, at: now })
          pass(wait)
          now += wait
        }
        pass(40)
        now += 40
        for (let mac = 0; mac <= 40; mac++) {
          const last = heard.get(mac)
          const expected = last === undefined || now - last.at >= 8000 ? -1 : last.port
          for (let i = 0; i < 3; i++) expect(at(i).fdb.lookup(0x0002, mac << 24)).toBe(expected)
        }
      }),
      { numRuns: 100 },
    )
  })

  it('refuse what is not an exchange, or no place in it', () => {
    const { at } = workers(1)
    const { fdb, clock } = at(0)
    expect(() => FdbExchange.shared(0)).toThrow(/workers.*0/)
    expect(() => new FdbExchange(FdbExchange.shared(2), 2, fdb, clock)).toThrow(/own.*2/)
    expect(() => new FdbExchange(new SharedArrayBuffer(64), 0, fdb, clock)).toThrow(/64 bytes/)
  })
})
