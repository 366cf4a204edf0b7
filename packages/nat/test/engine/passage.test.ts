// Both halves in one go, and the fast run: in WebAssembly as in JavaScript it must come to the same as the long way.
import { Drop, type Frame, type FramePoolOptions } from '@l2l3/switch-core'
import { ipv4, u16 } from '@l2l3/switch-core/wire'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { COUNTS, RECORD_SHIFT } from '../../src/conntrack/record.ts'
import { Nat, type NatOptions } from '../../src/index.ts'
import { TwoPassages } from './bench-passage.ts'
import { echo, hex, describe as say, sound, tcpPacket, udpPacket } from './lab.ts'

const told = (lines: string[]): string[] => lines.map((l) => say(hex(l)))

describe('a passage', () => {
  it('translates there and back, and leaves MAC addresses and TTL', () => {
    const two = new TwoPassages()
    const f = two.frame(hex(udpPacket('10.22.0.11#5000 > 203.0.113.2#53', { ttl: 9 })))
    const before = two.pool.copyOut(f)
    expect(two.pass(two.out, [f])).toEqual([f])
    const after = two.pool.copyOut(f)
    expect(after.subarray(0, 14)).toEqual(before.subarray(0, 14))
    expect(after[22]).toBe(9)
    expect(told(two.end([f]))).toEqual(['udp 203.0.113.1#5000 > 203.0.113.2#53'])
    expect(told(two.send(two.back, udpPacket('203.0.113.2#53 > 203.0.113.1#5000')))).toEqual([
      'udp 203.0.113.2#53 > 10.22.0.11#5000',
    ])
  })

  it('a port mapping, in the same batch as other things, in order', () => {
    const two = new TwoPassages()
    const arp = two.frame(new Uint8Array(28))
    two.pool.bytes.set([8, 6], (two.pool.off[arp] as number) + 12)
    const mapped = two.frame(hex(tcpPacket('203.0.113.2#4000 > 203.0.113.1#8080', 'S')))
    const bad = two.frame(hex(tcpPacket('203.0.113.2#4000 > 203.0.113.1#8080', 'SF')))
    const other = two.frame(hex(udpPacket('203.0.113.2#4000 > 203.0.113.1#9')))
    expect(two.pass(two.back, [arp, mapped, bad, other])).toEqual([arp, mapped, other])
    expect(say(two.pool.copyOut(mapped).subarray(14))).toBe('tcp 203.0.113.2#4000 > 10.22.0.11#80')
    expect(two.drops).toEqual({ InvalidState: 1 })
  })

  it('is one a side', () => {
    const two = new TwoPassages()
    expect(
      () => new (two.out.constructor as new (...a: unknown[]) => unknown)(two.nat, two.out.from, two.out.to),
    ).toThrow('has a passage')
  })

  it('a shared frame is copied before it is written', () => {
    const two = new TwoPassages()
    for (const again of [0, 1]) {
      const f = two.frame(hex(udpPacket('10.22.0.11#5000 > 203.0.113.2#53')))
      two.pool.share(f, 1)
      const [g] = two.pass(two.out, [f]) as [Frame]
      expect([again, g === f]).toEqual([again, false])
      expect(say(two.pool.copyOut(f).subarray(14))).toBe('udp 10.22.0.11#5000 > 203.0.113.2#53')
      expect(say(two.pool.copyOut(g).subarray(14))).toBe('udp 203.0.113.1#5000 > 203.0.113.2#53')
      two.pool.drop(f, Drop.Unclaimed)
      two.pool.sent(g)
    }
    expect(two.pool.report()).toMatchObject({ balanced: true, held: 0 })
  })

  it('a wrong header checksum stays wrong, of the first packet and of those that follow', () => {
    const two = new TwoPassages()
    const b = hex(udpPacket('10.22.0.11#5000 > 203.0.113.2#53'))
    // How far it is from the right one, in ones-complement.
    const error = (p: Uint8Array): number => {
      const right = Uint8Array.from(p)
      ipv4.fillChecksum(right, 0)
      return (u16(p, 10) - u16(right, 10) + 0xffff) % 0xffff
    }
    b[10] = (b[10] as number) ^ 1
    const before = error(b)
    expect(before).not.toBe(0)
    for (const again of [0, 1]) {
      const [f] = two.pass(two.out, [two.frame(b)]) as [Frame]
      const out = two.pool.copyOut(f).subarray(14)
      expect([again, say(out)]).toEqual([again, 'udp 203.0.113.1#5000 > 203.0.113.2#53'])
      expect(error(out)).toBe(before)
      two.pool.sent(f)
    }
    expect(two.drops).toEqual({})
  })

  it('frames to a group pass as they are, also such as look like a packet of a flow', () => {
    const two = new TwoPassages()
    const b = hex(udpPacket('10.22.0.11#5000 > 203.0.113.2#53'))
    two.end(two.pass(two.out, [two.frame(b)]))
    const f = two.frame(b)
    const o = two.pool.off[f] as number
    two.pool.bytes.set([1, 0, 0x5e], o)
    const [g] = two.pass(two.out, [f]) as [Frame]
    expect(say(two.pool.copyOut(g).subarray(14))).toBe('udp 10.22.0.11#5000 > 203.0.113.2#53')
    two.pool.sent(g)
  })

  it('fragments that waited come after the first', () => {
    const two = new TwoPassages()
    const whole = hex(udpPacket('10.22.0.11#5000 > 203.0.113.2#53', { data: 1000 }))
    const piece = (at: number, n: number, more: boolean): string => {
      const b = Uint8Array.from([...whole.subarray(0, 20), ...whole.subarray(20 + at, 20 + at + n)])
      const view = new DataView(b.buffer)
      view.setUint16(2, b.length)
      view.setUint16(6, (more ? 0x2000 : 0) | (at >>> 3))
      view.setUint16(10, 0)
      let s = 0
      for (let i = 0; i < 20; i += 2) s += view.getUint16(i)
      while (s > 0xffff) s = (s & 0xffff) + (s >>> 16)
      view.setUint16(10, ~s & 0xffff)
      return Buffer.from(b).toString('hex')
    }
    expect(two.send(two.out, piece(800, 208, false))).toEqual([])
    expect(told(two.send(two.out, piece(0, 800, true)))).toEqual(['udp 203.0.113.1#5000 > 203.0.113.2#53'])
    // The link gives it to the passage again, whose batch nobody takes in this bench.
    two.loop.settle()
    expect(two.drops).toEqual({ Unclaimed: 1 })
    expect(two.nat.fragments.counters).toMatchObject({ held: 1, complete: 1 })
  })
})

const WAYS: Readonly<Record<string, FramePoolOptions>> = {
  'in WebAssembly': {},
  'in WebAssembly, on shared memory': { shared: true },
  'in JavaScript': { tables: 0 },
  'the long way': {},
}

describe('the fast run', () => {
  /** Packets of a few flows, mixed with others, opened and settled before. */
  const packet = fc.oneof(
    {
      weight: 8,
      arbitrary: fc
        .record({
          tcp: fc.boolean(),
          flow: fc.nat(5),
          size: fc.nat(30),
          nosum: fc.boolean(),
          flags: fc.constantFrom('A', 'PA', 'AU'),
        })
        .map((p) => {
          const text = `10.22.0.1${p.flow & 1}#${5000 + (p.flow >> 1)} > 203.0.113.2#53`
          return p.tcp ? tcpPacket(text, p.flags, { data: p.size }) : udpPacket(text, { data: p.size, nosum: p.nosum })
        }),
    },
    { weight: 1, arbitrary: fc.nat(9).map((n) => tcpPacket(`10.22.0.11#${6000 + n} > 203.0.113.2#53`, 'S')) },
    { weight: 1, arbitrary: fc.nat(9).map((n) => echo(`10.22.0.11#${n} > 203.0.113.2`)) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 80 }).map((b) => Buffer.from(b).toString('hex')) },
    { weight: 1, arbitrary: fc.constant(tcpPacket('10.22.0.11#5000 > 203.0.113.2#53', 'FA')) },
    { weight: 1, arbitrary: fc.constant(tcpPacket('10.22.0.10#5001 > 203.0.113.2#53', 'S')) },
  )

  /** A NAT with six flows of UDP and of TCP. */
  function settled(options: NatOptions = {}, pool: FramePoolOptions = {}): TwoPassages {
    const two = new TwoPassages(options, 512, pool)
    for (let flow = 0; flow < 6; flow++) {
      const there = `10.22.0.1${flow & 1}#${5000 + (flow >> 1)} > 203.0.113.2#53`
      const answer = (p: string): string => {
        const m = /203\.0\.113\.1#(\d+)/.exec(say(hex(p))) as RegExpExecArray
        return `203.0.113.2#53 > 203.0.113.1#${m[1]}`
      }
      const [u] = two.send(two.out, udpPacket(there)) as [string]
      two.send(two.back, udpPacket(answer(u)))
      const [t] = two.send(two.out, tcpPacket(there, 'S')) as [string]
      two.send(two.back, tcpPacket(answer(t), 'SA'))
      two.send(two.out, tcpPacket(there, 'A'))
    }
    two.clock.advance(3e9)
    return two
  }

  it('comes to the same as the long way, in batches of any size', () => {
    const world = fc.record({
      packets: fc.array(packet, { maxLength: 150 }),
      back: fc.boolean(),
      shift: fc.constantFrom(0, 0, 1, 2, 3),
      seed: fc.nat(),
      // Counts are kept in 32 bits and what goes beyond.
      full: fc.boolean(),
      // In the small table flows end between the stage that has found them and the run.
      options: fc.constantFrom<NatOptions>({}, { counters: false }, { maxFlows: 16, whenFull: 'evict' }),
    })
    fc.assert(
      fc.property(world, ({ packets, back, shift, seed, full, options }) => {
        const [first, ...others] = Object.entries(WAYS).map(([way, pool]) => {
          const two = settled({ ...options, seed }, pool)
          if (way === 'the long way') two.pool.trace = { follows: () => false, note() {}, derived() {} }
          const { records } = two.nat.conntrack
          for (let flow = 0; full && flow < 12; flow++) {
            // Bytes run over with the third packet or so, packets before or after.
            records.set([-1 - (flow & 3), -90, -1 - (flow & 7), -90], (flow << RECORD_SHIFT) + COUNTS)
          }
          const frames = packets.map((p) => two.frame(hex(p), shift))
          const left = two.end(two.pass(back ? two.back : two.out, frames))
          for (const line of left) if (/^45/.test(line) && !packets.includes(line)) sound(hex(line))
          expect(two.pool.report()).toMatchObject({ balanced: true, held: 0 })
          const { counters } = two.nat.conntrack
          return { left, drops: two.drops, flows: [...two.nat.flows()], counters }
        })
        for (const other of others) expect(other).toEqual(first)
      }),
      { numRuns: 40 },
    )
  })

  for (const [way, pool] of Object.entries(WAYS).slice(0, 3)) {
    for (const counters of [true, false]) {
      it(`takes known flows ${way}${counters ? '' : ', without counters'}`, () => {
        const two = settled({ counters }, pool)
        expect(two.pool.tables.has(two.nat.conntrack.records)).toBe(way !== 'in JavaScript')
        const p = udpPacket('10.22.0.10#5000 > 203.0.113.2#53')
        // The first packet after two seconds makes it a stream; from then on it is common.
        two.send(two.out, p)
        // In WebAssembly also where it does not start at a word.
        for (const shift of way === 'in JavaScript' ? [0] : [0, 1, 2, 3]) {
          const f = two.frame(hex(p), shift)
          two.nat.fastRun.stage(Uint32Array.of(f), 0, 1, 0)
          expect(two.nat.fastRun.run(0, 1, 0, two.nat.conntrack.ms)).toBe(1)
          expect(told(two.end([f]))).toEqual(['udp 203.0.113.1#5000 > 203.0.113.2#53'])
        }
        const [flow] = [...two.nat.flows()]
        const packets = way === 'in JavaScript' ? 3 : 6
        expect([flow?.original.packets, flow?.expiresIn]).toEqual([counters ? packets : 0, 120])
      })
    }
  }

  it('is in JavaScript where the tables find no room beside the frames, and where only one of them does', () => {
    for (const tables of [1 << 15, 1 << 17]) {
      const two = settled({ maxFlows: 1 << 12 }, { tables })
      const { records, index } = two.nat.conntrack
      expect([records, index].map((array) => two.pool.tables.has(array))).toEqual([false, false])
      two.send(two.out, udpPacket('10.22.0.10#5000 > 203.0.113.2#53'))
    }
  })

  it('gives its room back when the NAT is closed, and translates nothing of its own any more', () => {
    // Room for one NAT, and not for two.
    const two = settled({ maxFlows: 1 << 13 }, { tables: 1 << 20 })
    const p = udpPacket('10.22.0.10#5000 > 203.0.113.2#53')
    two.send(two.out, p)
    const inRoom = (): boolean => two.pool.tables.has(two.nat.conntrack.records)
    expect(inRoom()).toBe(true)
    two.nat.close()
    two.nat.close()
    expect(inRoom()).toBe(false)
    for (let i = 0; i < 3; i++) {
      const nat = new Nat(two.loop, { maxFlows: 1 << 13 })
      expect(two.pool.tables.has(nat.conntrack.records)).toBe(true)
      const { records } = nat.conntrack
      records.fill(0x5a5a5a5a)
      // What still comes to the closed one touches nothing of it.
      two.send(two.out, p, p)
      expect(records.every((word) => word === 0x5a5a5a5a)).toBe(true)
      records.fill(0)
      nat.close()
    }
  })
})
