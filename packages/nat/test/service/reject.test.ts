import { readFileSync } from 'node:fs'
import { type Frame, FramePool, NO_FRAME, VirtualClock } from '@l2l3/switch-core'
import { ipv6 } from '@l2l3/switch-core/wire'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Rejector, type RejectorOptions } from '../../src/service/reject.ts'

/*
 * Refusals beside those of the Linux kernel: fixtures/rejects.txt has what iptables' REJECT answered on a veth.
 */

const recorded = readFileSync(new URL('../fixtures/rejects.txt', import.meta.url), 'utf8')
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#'))
  .map((line) => line.split(' ') as [string, string, string])

function packet(name: string): Buffer {
  return Buffer.from(recorded.find(([n]) => n === name)![1], 'hex')
}

interface Rig {
  pool: FramePool
  clock: VirtualClock
  rejector: Rejector
  /** The answer to a frame, or null; the frame and the answer are gone afterwards. */
  answer(frame: Uint8Array, change?: (f: Frame) => void, from4?: number, from6?: Uint8Array): Buffer | null
}

function rig(options: RejectorOptions = {}, l3 = 14, frameSize = 1918): Rig {
  const pool = new FramePool({ frames: 8, frameSize })
  const clock = new VirtualClock()
  const rejector = new Rejector(pool, clock, options)
  return {
    pool,
    clock,
    rejector,
    answer(frame, change, from4, from6) {
      const f = pool.from(frame) as Frame
      pool.ledger.receive(1)
      change?.(f)
      const before = pool.copyOut(f)
      const g = rejector.answer(f, pool.off[f]! + l3, from4, from6)
      expect(pool.copyOut(f)).toEqual(before)
      const answer = g === NO_FRAME ? null : Buffer.from(pool.copyOut(g))
      pool.sent(f)
      if (g !== NO_FRAME) pool.sent(g)
      expect(pool.report().balanced).toBe(true)
      expect(pool.spare).toBe(8)
      return answer
    },
  }
}

/** An answer without what no two hosts have in common: the IP id of ICMP with the header checksum, the flow label. */
function comparable(frame: Buffer): string {
  const b = Buffer.from(frame)
  const v6 = b[12] === 0x86
  if (!v6 && b[23] === 1) {
    b.fill(0, 18, 20)
    b.fill(0, 24, 26)
  }
  if (v6 && b[20] === 58) {
    b[15] = b[15]! & 0xf0
    b.fill(0, 16, 18)
  }
  return b.toString('hex')
}

describe('a refusal', () => {
  it.each(recorded)('is what Linux says: %s', (name, sent, answer) => {
    const { answer: ours } = rig({ tcp: name.endsWith('rst') ? 'reset' : 'unreachable' })
    const frame = ours(Buffer.from(sent, 'hex'))
    if (answer === 'none') expect(frame).toBeNull()
    else expect(comparable(frame!)).toBe(comparable(Buffer.from(answer, 'hex')))
  })

  it('has a right IPv4 header checksum', () => {
    for (const [name, sent, answer] of recorded) {
      if (answer === 'none') continue
      const { answer: ours } = rig({ tcp: name.endsWith('rst') ? 'reset' : 'unreachable' })
      const frame = ours(Buffer.from(sent, 'hex'))!
      const b = frame
      let s = 0
      if (b[12] === 0x08) {
        for (let i = 14; i < 34; i += 2) s += b.readUInt16BE(i)
        while (s > 0xffff) s = (s & 0xffff) + (s >>> 16)
        expect(s).toBe(0xffff)
      }
    }
  })

  it('of ICMP comes from an address that is given, a reset from where the segment went', () => {
    const { answer } = rig()
    expect(answer(packet('udp4'), undefined, 0x0a00_0001)!.subarray(26, 30)).toEqual(Buffer.from([10, 0, 0, 1]))
    const us = Uint8Array.from({ length: 16 }, (_, i) => i + 1)
    expect(answer(packet('udp6'), undefined, 0, us)!.subarray(22, 38)).toEqual(Buffer.from(us))
    const reset = rig({ tcp: 'reset' })
    expect(reset.answer(packet('syn4rst'), undefined, 0x0a00_0001)!.subarray(26, 30)).toEqual(
      Buffer.from([192, 0, 2, 2]),
    )
  })

  it('keeps VLAN tags', () => {
    const plain = packet('udp4')
    const tagged = Buffer.concat([plain.subarray(0, 12), Buffer.from('8100006f', 'hex'), plain.subarray(12)])
    const answer = rig({}, 18).answer(tagged)!
    expect(answer.subarray(0, 18).toString('hex')).toBe('02000000000a02000000000b8100006f0800')
    expect(comparable(Buffer.concat([answer.subarray(0, 12), answer.subarray(16)]))).toBe(
      comparable(rig().answer(plain)!),
    )
  })

  it('believes a checksum that is not there yet, and one that is known to be right', () => {
    const { answer, pool } = rig()
    const bad = packet('badsum4')
    expect(answer(bad)).toBeNull()
    for (const flags of [1, 2]) {
      expect(
        answer(bad, (f) => {
          pool.flags[f] = flags
        }),
      ).not.toBeNull()
    }
  })

  it('is not made about ICMP errors, later fragments, groups, and sources that are nobody', () => {
    const { answer } = rig()
    const change = (name: string, edit: (b: Buffer) => void) => {
      const b = packet(name)
      edit(b)
      return answer(b)
    }
    const asIcmp = (type: number) => (b: Buffer) => {
      b[23] = 1
      b[34] = type
    }
    const asIcmp6 = (type: number) => (b: Buffer) => {
      b[20] = 58
      b[54] = type
    }
    expect(change('udp4', asIcmp(8))).not.toBeNull()
    for (const type of [3, 4, 5, 11, 12, 40]) expect(change('udp4', asIcmp(type))).toBeNull()
    expect(change('udp6', asIcmp6(128))).not.toBeNull()
    for (const type of [1, 2, 3, 4, 100, 137]) expect(change('udp6', asIcmp6(type))).toBeNull()
    expect(change('udp4', (b) => b.writeUInt16BE(1, 20))).toBeNull()
    expect(change('udp4', (b) => b.writeUInt16BE(0x2000, 20))).not.toBeNull()
    expect(change('udp4', (b) => b.writeUInt8(0xff, 0))).toBeNull()
    for (const source of ['00000000', 'e0000001', 'ffffffff', '7f000001']) {
      expect(change('udp4', (b) => b.write(source, 26, 'hex'))).toBeNull()
    }
    expect(change('udp4', (b) => b.write('e0000001', 30, 'hex'))).toBeNull()
    expect(change('udp6', (b) => b.write('ff02', 38, 'hex'))).toBeNull()
    for (const source of ['00'.repeat(16), `${'00'.repeat(15)}01`, `ff02${'00'.repeat(14)}`]) {
      expect(change('udp6', (b) => b.write(source, 22, 'hex'))).toBeNull()
    }
  })

  it('is made of a first fragment, but no reset', () => {
    const first = (name: string) => {
      const b = packet(name)
      b.writeUInt16BE(0x2000, 20)
      return b
    }
    expect(rig().answer(first('syn4'))).not.toBeNull()
    expect(rig({ tcp: 'reset' }).answer(first('syn4rst'))).toBeNull()
  })

  it('is made so often and no more', () => {
    const { answer, clock, rejector } = rig({ rate: 10, burst: 3 })
    const some = (n: number) => Array.from({ length: n }, () => answer(packet('udp4'))).filter((a) => a !== null).length
    expect(some(10)).toBe(3)
    clock.advance(1e9)
    expect(some(10)).toBe(3)
    clock.advance(1e8)
    expect(some(10)).toBe(1)
    expect(rejector.sent).toBe(7)
    expect(rejector.heldBack).toBe(23)
  })

  it('is not made where there is no row, or no room in one', () => {
    const { pool, rejector } = rig()
    const rows: Frame[] = []
    for (let f = pool.from(packet('udp4')); f !== NO_FRAME; f = pool.from(packet('udp4'))) rows.push(f)
    expect(rejector.answer(rows[0]!, pool.off[rows[0]!]! + 14)).toBe(NO_FRAME)
    const small = rig({}, 14, 64)
    const answer = small.answer(packet('udp4'))!
    expect(answer.length).toBe(64)
  })

  it('refuses options that make no sense', () => {
    expect(() => rig({ tcp: 'rst' as 'reset' })).toThrow(`tcp must be 'unreachable' or 'reset', not "rst"`)
    expect(() => rig({ rate: -1 })).toThrow('rate must be 0 or more a second, not -1')
    expect(() => rig({ burst: 0 })).toThrow('burst must be 1 or more, not 0')
  })
})

describe('any bytes', () => {
  const seeds = recorded.map(([, sent]) => Buffer.from(sent, 'hex'))
  const mangled = fc
    .record({
      seed: fc.constantFrom(...seeds),
      cut: fc.integer({ min: 0, max: 1500 }),
      edits: fc.array(fc.tuple(fc.integer({ min: 0, max: 80 }), fc.integer({ min: 0, max: 255 })), { maxLength: 4 }),
      flags: fc.constantFrom(0, 1, 2),
    })
    .map(({ seed, cut, edits, flags }) => {
      const b = Buffer.from(seed.subarray(0, cut))
      for (const [at, value] of edits) if (at < b.length) b[at] = value
      return { bytes: b, flags }
    })
  const noise = fc.record({ bytes: fc.uint8Array({ maxLength: 200 }), flags: fc.constantFrom(0, 1, 2) })

  it('give an answer or none, of sound lengths, and touch nothing else', () => {
    const one = rig({ rate: Number.POSITIVE_INFINITY })
    const two = rig({ rate: Number.POSITIVE_INFINITY, tcp: 'reset' })
    fc.assert(
      fc.property(fc.oneof(mangled, noise), ({ bytes, flags }) => {
        for (const { answer, pool } of [one, two]) {
          const before = pool.bytes.slice()
          let row = -1
          const frame = answer(bytes, (f) => {
            row = f
            pool.flags[f] = flags
          })
          // No byte has changed but in the row of the frame and in that of the answer.
          const changed = new Set<number>()
          for (let i = 0; i < before.length; i++) {
            if (before[i] !== pool.bytes[i]) changed.add(Math.floor(i / pool.stride))
          }
          changed.delete(row)
          expect(changed.size).toBeLessThanOrEqual(frame === null ? 0 : 1)
          if (frame === null) continue
          const ip = frame.subarray(14)
          if (ip[0]! >>> 4 === 4) expect(ip.readUInt16BE(2)).toBe(ip.length)
          else expect(ip.readUInt16BE(4) + ipv6.HLEN).toBe(ip.length)
          expect(ip.length).toBeLessThanOrEqual(ip[0]! >>> 4 === 4 ? 576 : 1280)
        }
      }),
      { numRuns: 2000 },
    )
  })
})
