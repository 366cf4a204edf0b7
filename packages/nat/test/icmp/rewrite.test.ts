/** ICMP errors through a translation, byte for byte as Linux does it, and with every checksum right whatever they quote. */
import type { Frame } from '@l2l3/switch-core'
import { ipv4, ipv6, parseIpv4 } from '@l2l3/switch-core/wire'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Addresses6 } from '../../src/addresses6.ts'
import { IcmpError, IS_AN_ERROR } from '../../src/icmp/error.ts'
import { errorDestination4, errorDestination6, errorSource4, errorSource6 } from '../../src/icmp/rewrite.ts'
import { Place, Read, readTuple, Tuple } from '../../src/tuple.ts'
import { Bench, bytesOf, kernel, naivePseudo, naiveSum } from '../awkward.ts'

const addresses = new Addresses6({ max: 1024 })
const at = new IcmpError()

/** Reads the message in a frame, which is an error. */
function read(bench: Bench, f: Frame): number {
  const l3 = bench.l3(f)
  const v6 = (bench.pool.bytes[l3] as number) >>> 4 === 6
  const l4 = v6 ? l3 + 40 : l3 + ipv4.headerLength(bench.pool.bytes, l3)
  return at.read(bench.pool, f, l3, l4, bench.end(f), false, addresses)
}

/** The tuple of a packet in hex, whose IPv6 addresses get numbers. */
function tupleOf(bench: Bench, hex: string): Tuple {
  const f = bench.frame(hex)
  const tuple = new Tuple()
  const found = readTuple(tuple, new Place(), bench.pool.bytes, bench.l3(f), bench.end(f), addresses, 0, false, true)
  bench.drop(f)
  expect(found).toBe(Read.Ok)
  return tuple
}

/** The way of the router behind the NAT: one hop less. */
function hop(bench: Bench, f: Frame): void {
  const { bytes } = bench.pool
  const l3 = bench.l3(f)
  if ((bytes[l3] as number) >>> 4 === 4) ipv4.decrementTtl(bytes, l3)
  else bytes[l3 + ipv6.HOP_LIMIT] = (bytes[l3 + ipv6.HOP_LIMIT] as number) - 1
}

describe('ICMP errors', () => {
  it.each(kernel.errors.filter((c) => c.error[1] !== null))('as Linux does it: $name', ({ from, opening, error }) => {
    const bench = new Bench()
    const before = tupleOf(bench, opening[0])
    const after = tupleOf(bench, opening[1])
    const f = bench.frame(error[0])
    expect(read(bench, f)).toBe(IS_AN_ERROR)
    // The error quotes the packet as it came out: that is how its flow is found.
    expect(at.tuple).toEqual(after)
    const { src, dst, srcPort, dstPort } = before
    if (from === 'in') {
      if (before.isIpv6) errorDestination6(bench.pool, f, at, addresses.words, 4 * src, srcPort)
      else errorDestination4(bench.pool, f, at, src, srcPort)
    }
    hop(bench, f)
    if (from === 'out') {
      if (before.isIpv6) errorSource6(bench.pool, f, at, addresses.words, 4 * dst, dstPort)
      else errorSource4(bench.pool, f, at, dst, dstPort)
    }
    expect(bench.ip(f)).toBe(error[1])
    bench.intact(f)
    bench.drop(f)
    bench.balanced()
  })

  it('translates the port unreachable of modes.md A4', () => {
    const bench = new Bench()
    const f = bench.frame(
      '45c0003987e30000 40 01 7a1c cb007102 cb007101  0303 751c 00000000' +
        '4500001d54b64000 3f 11 6f15 cb007101 cb007102 1392 270f 0009 d535 78',
    )
    expect(read(bench, f)).toBe(IS_AN_ERROR)
    errorDestination4(bench.pool, f, at, parseIpv4('10.22.0.11') as number, 5010)
    hop(bench, f)
    expect(bench.ip(f)).toBe(
      (
        '45c0003987e30000 3f 01 acfd cb007102 0a16000b  0303 433b 00000000' +
        '4500001d54b64000 3f 11 a0f6 0a16000b cb007102 1392 270f 0009 0717 78'
      ).replaceAll(' ', ''),
    )
  })

  it.each([8, 12, 16, 18, 20])(
    'translates %i bytes of a transport header as it would have translated all of it',
    (n) => {
      for (const { from, opening, error } of kernel.errors) {
        if (error[1] === null) continue
        const bench = new Bench()
        const before = tupleOf(bench, opening[0])
        const f = bench.frame(error[0])
        expect(read(bench, f)).toBe(IS_AN_ERROR)
        const quoted = at.quoted - bench.l3(f)
        const end = at.place.l4 - bench.l3(f) + n
        if (end >= bench.end(f) - bench.l3(f)) continue
        // The same, cut off; that its checksum is right is said by who received it.
        const short = bytesOf(error[0]).slice(0, end)
        const v6 = before.isIpv6
        short.set(v6 ? [(end - 40) >>> 8, (end - 40) & 255] : [end >>> 8, end & 255], v6 ? 4 : 2)
        const g = bench.frame(short)
        bench.pool.flags[g] = 2
        expect(read(bench, g)).toBe(IS_AN_ERROR)
        const { src, dst, srcPort, dstPort } = before
        if (from === 'in' && v6) errorDestination6(bench.pool, g, at, addresses.words, 4 * src, srcPort)
        else if (from === 'in') errorDestination4(bench.pool, g, at, src, srcPort)
        else if (v6) errorSource6(bench.pool, g, at, addresses.words, 4 * dst, dstPort)
        else errorSource4(bench.pool, g, at, dst, dstPort)
        expect(bench.ip(g).slice(2 * quoted)).toBe(error[1].slice(2 * quoted, 2 * end))
        bench.intact(g)
      }
    },
  )

  it('leaves the checksum of a quoted SCTP fragment, whose length nobody knows', () => {
    const { error } = kernel.errors.find((c) => c.name.startsWith('SCTP, other port')) as (typeof kernel.errors)[0]
    const packet = bytesOf(error[0])
    packet[28 + 6] = 0x20
    ipv4.fillChecksum(packet, 28)
    const bench = new Bench()
    const f = bench.frame(packet)
    bench.pool.flags[f] = 2
    expect(read(bench, f)).toBe(IS_AN_ERROR)
    errorDestination4(bench.pool, f, at, parseIpv4('10.22.0.12') as number, 1)
    const out = bytesOf(bench.ip(f))
    expect([...out.subarray(48, 50)]).toEqual([0, 1])
    expect(out.subarray(50)).toEqual(packet.subarray(50))
  })

  it('changes nothing where nothing was translated', () => {
    for (const { error, opening } of kernel.errors) {
      const bench = new Bench()
      const after = tupleOf(bench, opening[1])
      const f = bench.frame(error[0])
      expect(read(bench, f)).toBe(IS_AN_ERROR)
      if (after.isIpv6) errorDestination6(bench.pool, f, at, addresses.words, 4 * after.src, after.srcPort)
      else errorDestination4(bench.pool, f, at, after.src, after.srcPort)
      expect(bench.ip(f)).toBe(error[0])
    }
  })

  it('leaves a checksum that is still missing to whoever finishes the frame', () => {
    // ICMPv6 from a guest: the field has the pseudo-header only, and still has after the translation.
    const one = kernel.errors.find((c) => c.name === 'IPv6 UDP, port unreachable') as (typeof kernel.errors)[0]
    const bench = new Bench()
    const before = tupleOf(bench, one.opening[0])
    const f = bench.frame(one.error[0])
    const { bytes, flags, csumStart, csumOffset } = bench.pool
    const l4 = bench.l3(f) + 40
    const n = bench.end(f) - l4
    const partial = naivePseudo(bytes, bench.l3(f), 58, n)
    bytes[l4 + 2] = partial >>> 8
    bytes[l4 + 3] = partial & 255
    flags[f] = 1
    csumStart[f] = 54
    csumOffset[f] = 2
    expect(read(bench, f)).toBe(IS_AN_ERROR)
    errorDestination6(bench.pool, f, at, addresses.words, 4 * before.src, before.srcPort)
    expect(((bytes[l4 + 2] as number) << 8) | (bytes[l4 + 3] as number)).toBe(naivePseudo(bytes, bench.l3(f), 58, n))
    // Finished, it is what Linux sends, but for the hop.
    const whole = ~naiveSum(bytes, l4, bench.end(f)) & 0xffff
    bytes[l4 + 2] = whole >>> 8
    bytes[l4 + 3] = whole & 255
    hop(bench, f)
    expect(bench.ip(f)).toBe(one.error[1])
  })

  it('keeps all checksums right for any addresses and ports, and however little is quoted', () => {
    const wholes = kernel.errors.map((c) => c.error[0])
    fc.assert(
      fc.property(
        fc.constantFrom(...wholes),
        fc.integer({ min: 0, max: 0xffffffff }),
        fc.integer({ min: 0, max: 0xffff }),
        fc.boolean(),
        fc.nat(200),
        (hex, address, port, source, cut) => {
          const bench = new Bench(2)
          // Cut the quotation short, but not before the ports.
          const packet = bytesOf(hex)
          const v6 = (packet[0] as number) >>> 4 === 6
          const outer = v6 ? 40 : ((packet[0] as number) & 15) * 4
          const least =
            outer + 8 + (v6 ? 48 + (packet[outer + 14] === 60 ? 8 : 0) : ((packet[outer + 8] as number) & 15) * 4 + 8)
          const short = packet.slice(0, Math.max(least, packet.length - cut))
          const put = (o: number, v: number): void => {
            short[o] = v >>> 8
            short[o + 1] = v & 255
          }
          if (v6) put(4, short.length - 40)
          else {
            put(2, short.length)
            put(10, 0)
            put(10, ~naiveSum(short, 0, outer) & 0xffff)
          }
          put(outer + 2, 0)
          put(
            outer + 2,
            ~naiveSum(short, outer, short.length, v6 ? naivePseudo(short, 0, 58, short.length - outer) : 0) & 0xffff,
          )
          const f = bench.frame(short)
          for (const src of [8, 24]) if (v6) addresses.intern(short, outer + 8 + src)
          expect(read(bench, f)).toBe(IS_AN_ERROR)
          const words = Uint32Array.of(0x20010db8, address, 0, port)
          if (v6) (source ? errorSource6 : errorDestination6)(bench.pool, f, at, words, 0, port)
          else (source ? errorSource4 : errorDestination4)(bench.pool, f, at, address, port)
          const out = bytesOf(bench.ip(f))
          const pseudo = v6 ? naivePseudo(out, 0, 58, out.length - outer) : 0
          expect(naiveSum(out, outer, out.length, pseudo)).toBe(0xffff)
          if (!v6) {
            expect(naiveSum(out, 0, outer)).toBe(0xffff)
            expect(naiveSum(out, outer + 8, outer + 8 + ((out[outer + 8] as number) & 15) * 4)).toBe(0xffff)
          }
          bench.intact(f)
        },
      ),
      { numRuns: 500 },
    )
  })
})
