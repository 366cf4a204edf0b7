/** The MSS of a SYN, lowered, with its checksum; and any bytes at all. */
import type { Frame } from '@l2l3/switch-core'
import { tcp, u16 } from '@l2l3/switch-core/wire'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { clampMss, mssOf } from '../src/mss.ts'
import { Bench, bytesOf, naivePseudo, naiveSum } from './awkward.ts'

const ANN = '0a16000b'
const SRV = 'cb007102'
const MSS1460 = '020405b4'

/** A TCP segment in IPv4, its checksum right. */
function segment(flags: string, options: string, data = ''): Uint8Array {
  const length = 40 + options.length / 2 + data.length / 2
  const offset = ((20 + options.length / 2) / 4).toString(16)
  const packet = bytesOf(
    `4500 ${length.toString(16).padStart(4, '0')} 0001 0000 40 06 0000 ${ANN} ${SRV}` +
      `1388 0050 01020304 00000000 ${offset}0${flags} ffff 0000 0000 ${options} ${data}`,
  )
  const put = (o: number, v: number): void => {
    packet[o] = v >>> 8
    packet[o + 1] = v & 255
  }
  put(10, ~naiveSum(packet, 0, 20) & 0xffff)
  put(36, ~naiveSum(packet, 20, packet.length, naivePseudo(packet, 0, 6, packet.length - 20)) & 0xffff)
  return packet
}

function clamp(bench: Bench, f: Frame, limit: number): boolean {
  return clampMss(bench.pool, f, bench.l3(f) + 20, bench.end(f), limit)
}

function right(bench: Bench, f: Frame): boolean {
  const packet = bytesOf(bench.ip(f))
  return naiveSum(packet, 20, packet.length, naivePseudo(packet, 0, 6, packet.length - 20)) === 0xffff
}

describe('the MSS of a SYN', () => {
  it.each([
    ['alone', MSS1460],
    ['behind a no-operation, across two words', `01${MSS1460}010101`],
    ['behind three, after window scale', `03030701${MSS1460}`],
    ['behind SACK and timestamps', `0402080a0000000100000000${MSS1460}`],
  ])('is lowered where it stands %s', (_, options) => {
    for (const flags of ['02', '12', 'c2']) {
      const bench = new Bench()
      const f = bench.frame(segment(flags, options, 'abcdef'))
      expect(clamp(bench, f, 1410)).toBe(true)
      expect(tcp.mss(bench.pool.bytes, bench.l3(f) + 20)).toBe(1410)
      expect(right(bench, f)).toBe(true)
      bench.intact(f)
    }
  })

  it.each([
    ['it is low enough', '02', MSS1460, 1460],
    ['the segment is no SYN', '10', MSS1460, 1000],
    ['there is none', '02', '01010101', 1000],
    ['its option has a length of its own', '02', '020305b4', 1000],
    ['the options are over before it', '02', `00000000${MSS1460}`, 1000],
    ['an option in front has no length', '02', `0300${MSS1460}0101`, 1000],
    ['it is cut off', '02', '01010204', 1000],
  ])('stays where %s', (_, flags, options, limit) => {
    const bench = new Bench()
    const f = bench.frame(segment(flags, options, '05b405b4'))
    const before = bench.ip(f)
    expect(clamp(bench, f, limit)).toBe(false)
    expect(bench.ip(f)).toBe(before)
  })

  it('leaves a checksum that is missing as it is', () => {
    const packet = segment('02', MSS1460)
    const pseudo = naivePseudo(packet, 0, 6, packet.length - 20)
    packet[36] = pseudo >>> 8
    packet[37] = pseudo & 255
    const bench = new Bench()
    const f = bench.frame(packet)
    bench.pool.flags[f] = 1
    bench.pool.csumStart[f] = 34
    bench.pool.csumOffset[f] = 16
    expect(clamp(bench, f, 536)).toBe(true)
    expect(u16(bench.pool.bytes, bench.l3(f) + 36)).toBe(pseudo)
    expect(tcp.mss(bench.pool.bytes, bench.l3(f) + 20)).toBe(536)
  })

  it('is 40 less than the path takes in IPv4 and 60 in IPv6', () => {
    expect([mssOf(1450, false), mssOf(1450, true), mssOf(1280, true), mssOf(30, false)]).toEqual([1410, 1390, 1220, 0])
  })

  it('takes any bytes', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 20, maxLength: 80 }),
        fc.boolean(),
        fc.nat(0xffff),
        (tail, like, limit) => {
          const bench = new Bench(1)
          const packet = like ? segment('02', `01${MSS1460}010101`) : tail
          if (like) packet.set(tail.slice(0, packet.length - 34), 34)
          const f = bench.frame(packet)
          const before = bytesOf(bench.ip(f))
          const sum = (p: Uint8Array): number => naiveSum(p, 20, p.length, naivePseudo(p, 0, 6, p.length - 20))
          const did = clamp(bench, f, limit)
          const after = bytesOf(bench.ip(f))
          if (did) expect(sum(after) % 0xffff).toBe(sum(before) % 0xffff)
          else expect(after).toEqual(before)
          bench.intact(f)
        },
      ),
      { numRuns: 2000 },
    )
  })
})
