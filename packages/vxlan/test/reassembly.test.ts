import { type Frame, fragment } from '@l2l3/switch-core'
import { ipv4 } from '@l2l3/switch-core/wire'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Reassembly } from '../src/reassembly.ts'
import { bench, dropped, put, udpFrame } from './tunnel-lab.ts'

/** A packet of `n` bytes with identification `id`, and its fragments for an MTU. */
function pieces(n: number, mtu: number, id = 7): { whole: Buffer; parts: Buffer[] } {
  const whole = udpFrame({ data: Buffer.from(Array.from({ length: n - 28 }, (_, i) => (i * 7) & 255)) })
  whole.writeUInt16BE(id, 18)
  ipv4.fillChecksum(whole, 14)
  const b = bench({ frames: 128, frameSize: 4000 })
  const parts: Buffer[] = []
  const out = (f: Frame): void => {
    parts.push(b.pool.copyOut(f))
    b.pool.sent(f)
  }
  fragment(b.pool, put(b.pool, whole), mtu, out, (f, why) => b.pool.drop(f, why))
  return { whole, parts }
}

function lab(frameSize = 4000): {
  b: ReturnType<typeof bench>
  it: Reassembly
  give: (...parts: Buffer[]) => Buffer[]
  left: Buffer[]
} {
  const b = bench({ frames: 128, frameSize })
  const of = new Reassembly(b.pool, b.clock)
  const left: Buffer[] = []
  const give = (...parts: Buffer[]): Buffer[] => {
    const got: Buffer[] = []
    for (const part of parts) {
      const f = put(b.pool, part)
      if (ipv4.fragmentOffset(part, 14) !== 0 && !of.awaits(f)) {
        left.push(part)
        b.pool.sent(f)
        continue
      }
      const whole = of.take(f)
      if (whole === -1) continue
      got.push(b.pool.copyOut(whole))
      b.pool.sent(whole)
    }
    return got
  }
  return { b, it: of, give, left }
}

describe('fragments of an outer packet', () => {
  it('the first first, the others in any order, some twice, several packets among one another: all as they were', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ n: fc.integer({ min: 600, max: 3900 }), mtu: fc.integer({ min: 68, max: 590 }) }), {
          minLength: 1,
          maxLength: 5,
        }),
        fc.array(fc.nat(), { minLength: 200, maxLength: 200 }),
        fc.boolean(),
        (packets, dice, twice) => {
          const { b, it: of, give, left } = lab()
          const made = packets.map(({ n, mtu }, i) => pieces(n, mtu, 100 + i))
          const rest = made.flatMap(({ parts }) => parts.slice(1))
          // Any order: by dice.
          const order = rest.map((part, i) => ({ part, key: dice[i % dice.length] as number }))
          order.sort((x, y) => x.key - y.key)
          const firsts = made.map(({ parts }) => parts[0] as Buffer)
          const sent = order.map(({ part }) => part)
          if (twice && sent.length > 1) sent.splice(1, 0, sent[0] as Buffer)
          const got = give(...firsts, ...sent)
          const byId = (x: Buffer, y: Buffer): number => x.readUInt16BE(18) - y.readUInt16BE(18)
          expect(got.sort(byId)).toEqual(made.map(({ whole }) => whole))
          // One that comes again when the packet is whole is not awaited any more.
          expect(left.length).toBeLessThanOrEqual(twice ? 1 : 0)
          expect(of.size).toBe(0)
          expect(b.pool.report()).toMatchObject({ balanced: true, held: 0 })
        },
      ),
      { numRuns: 60 },
    )
  })

  it('later ones of which no first has come are not its own', () => {
    const { give, left, b } = lab()
    const { parts } = pieces(1500, 600)
    expect(give(...parts.slice(1))).toEqual([])
    expect(left).toEqual(parts.slice(1))
    expect(dropped(b.pool)).toEqual({})
  })

  it('no more than sixteen packets wait, none for longer than 30 seconds', () => {
    const { give, it: of, b } = lab()
    for (let id = 1; id <= 40; id++) {
      give(pieces(1500, 800, id).parts[0] as Buffer)
      b.clock.advance(1e9)
    }
    expect(of.size).toBe(16)
    expect(b.pool.report()).toMatchObject({ held: 16, dropped: { OuterFragment: 24 } })
    b.clock.advance(20e9)
    of.tick(b.clock.now)
    expect(of.size).toBe(9)
    expect(give(pieces(1500, 800, 40).parts[1] as Buffer).length).toBe(1)
    of.close()
    expect(b.pool.report()).toMatchObject({ held: 0, balanced: true })
  })

  it.each<[string, (parts: Buffer[]) => Buffer[]]>([
    ['overlap', ([a, z]) => [a as Buffer, offset(z as Buffer, 8)]],
    ['two ends', ([a, , z]) => [a as Buffer, z as Buffer, offset(z as Buffer, 2000)]],
    ['an end before what is there', ([a, m, z]) => [a as Buffer, m as Buffer, offset(z as Buffer, 560)]],
    ['beyond the slot', ([a, , z]) => [a as Buffer, offset(z as Buffer, 60_000)]],
    ['beyond 65,535', ([a, , z]) => [a as Buffer, offset(z as Buffer, 65_528)]],
  ])('%s: the packet ends', (_, edit) => {
    const { give, it: of, b } = lab()
    const { parts } = pieces(1500, 600)
    expect(give(...edit(parts))).toEqual([])
    expect(of.size).toBe(0)
    expect(Object.keys(dropped(b.pool))).toContain('OuterFragment')
    expect(b.pool.report().held).toBe(0)
  })

  it('any bytes will do, and none beyond the slots changes', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(3), fc.nat(60), fc.nat(255), fc.integer({ min: 20, max: 700 })), { maxLength: 60 }),
        (edits) => {
          const { b, it: of, give } = lab(1000)
          const { parts } = pieces(1400, 400)
          const guard = b.pool.alloc() as Frame
          b.pool.bytes.fill(0xa5, guard * b.pool.stride, (guard + 1) * b.pool.stride)
          for (const [which, at, value, length] of edits) {
            const part = Buffer.from(parts[which % parts.length] as Buffer)
            if (at >= 14 && at < part.length) part[at] = value
            if (part.length >= 34) ipv4.fillChecksum(part.fill(0x45, 14, 15), 14)
            give(part.subarray(0, length))
          }
          of.close()
          for (let i = guard * b.pool.stride; i < (guard + 1) * b.pool.stride; i++) expect(b.pool.bytes[i]).toBe(0xa5)
          b.pool.release(guard)
          expect(b.pool.report()).toMatchObject({ balanced: true, held: 0 })
        },
      ),
      { numRuns: 100 },
    )
  })
})

/** The fragment as one that belongs elsewhere. */
function offset(part: Buffer, bytes: number): Buffer {
  const b = Buffer.from(part)
  b.writeUInt16BE((b.readUInt16BE(20) & 0xe000) | (bytes >>> 3), 20)
  ipv4.fillChecksum(b, 14)
  return b
}
