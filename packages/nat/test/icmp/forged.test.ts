/** ICMP errors that prove nothing: each is one change away from a good one. And any bytes at all. */
import { Drop } from '@l2l3/switch-core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Addresses6 } from '../../src/addresses6.ts'
import { IcmpError, IS_AN_ERROR, NOT_AN_ERROR } from '../../src/icmp/error.ts'
import { errorDestination4, errorDestination6, errorSource4, errorSource6 } from '../../src/icmp/rewrite.ts'
import { Bench, bytesOf, hexOf, kernel, naivePseudo, naiveSum } from '../awkward.ts'

const addresses = new Addresses6({ max: 256 })
const at = new IcmpError()

const error = (name: string): string =>
  (kernel.errors.find((c) => c.name === name) as { error: [string, string] }).error[0]
const UDP = error('UDP, port unreachable')
const TCP = error('TCP, other port, fragmentation needed')
const UDP6 = error('IPv6 UDP, port unreachable')
const EXT6 = error('IPv6 UDP behind destination options')

/** Reads a message after `change`, with the checksums over the change made right again. */
function readChanged(
  hex: string,
  change: (p: Uint8Array, quoted: number) => Uint8Array | undefined,
  mend = true,
): number {
  let packet = bytesOf(hex)
  const v6 = (packet[0] as number) >>> 4 === 6
  const l4 = v6 ? 40 : 20
  for (const o of v6 ? [l4 + 16, l4 + 32] : []) addresses.intern(packet, o)
  packet = change(packet, l4 + 8) ?? packet
  if (mend) {
    const put = (o: number, v: number): void => {
      packet[o] = v >>> 8
      packet[o + 1] = v & 255
    }
    if (!v6 && packet.length >= l4 + 28) {
      put(l4 + 18, 0)
      put(l4 + 18, ~naiveSum(packet, l4 + 8, l4 + 8 + ((packet[l4 + 8] as number) & 15) * 4) & 0xffff)
    }
    put(l4 + 2, 0)
    put(l4 + 2, ~naiveSum(packet, l4, packet.length, v6 ? naivePseudo(packet, 0, 58, packet.length - l4) : 0) & 0xffff)
  }
  const bench = new Bench(1)
  const f = bench.frame(packet)
  const l3 = bench.l3(f)
  const found = at.read(bench.pool, f, l3, l3 + l4, bench.end(f), false, addresses)
  bench.intact(f)
  return found
}

/** Puts values at offsets. */
function put(p: Uint8Array, ...changes: [number, number][]): undefined {
  for (const [o, v] of changes) p[o] = v
}

describe('an ICMP error is believed', () => {
  it('when it is whole and right', () => {
    for (const hex of [UDP, TCP, UDP6, EXT6]) expect(readChanged(hex, () => undefined)).toBe(IS_AN_ERROR)
  })

  it('with as little as eight bytes behind the quoted IP header, and not with seven', () => {
    expect(readChanged(UDP, (p) => p.slice(0, 20 + 8 + 20 + 8))).toBe(IS_AN_ERROR)
    expect(readChanged(UDP, (p) => p.slice(0, 20 + 8 + 20 + 7))).toBe(Drop.InvalidState)
    expect(readChanged(UDP6, (p) => p.slice(0, 40 + 8 + 40 + 8))).toBe(IS_AN_ERROR)
    expect(readChanged(UDP6, (p) => p.slice(0, 40 + 8 + 40 + 7))).toBe(Drop.InvalidState)
  })

  it('without its checksum where the sender left it to the wire, or the port has verified it', () => {
    for (const flags of [1, 2]) {
      const packet = bytesOf(UDP)
      packet[22] = 0
      const bench = new Bench(1)
      const f = bench.frame(packet)
      bench.pool.flags[f] = flags
      expect(at.read(bench.pool, f, bench.l3(f), bench.l3(f) + 20, bench.end(f), false, addresses)).toBe(IS_AN_ERROR)
    }
  })
})

describe('an ICMP error is not believed', () => {
  const cases: [string, string, (p: Uint8Array, q: number) => Uint8Array | undefined][] = [
    ['nothing quoted', UDP, (p) => p.slice(0, 28)],
    ['half an IP header quoted', UDP, (p) => p.slice(0, 28 + 10)],
    ['nothing quoted, IPv6', UDP6, (p) => p.slice(0, 48)],
    ['half an IP header quoted, IPv6', UDP6, (p) => p.slice(0, 48 + 20)],
    ['IPv6 in ICMP', UDP, (p, q) => void (p[q] = 0x60)],
    ['IPv4 in ICMPv6', UDP6, (p, q) => void (p[q] = 0x45)],
    ['no version at all', UDP, (p, q) => void (p[q] = 0x05)],
    ['a quoted header of 16 bytes', UDP, (p, q) => void (p[q] = 0x44)],
    ['a quoted header longer than what is there', UDP, (p, q) => void (p[q] = 0x4f)],
    ['a quoted later fragment', UDP, (p, q) => void (p[q + 7] = 1)],
    ['a quoted source to whom the error does not go', UDP, (p, q) => void (p[q + 15] = 99)],
    ['a quoted source to whom the error does not go, IPv6', UDP6, (p, q) => void (p[q + 23] = 99)],
    ['a quoted ICMP error', UDP, (p, q) => put(p, [q + 9, 1], [q + 20, 3])],
    ['a quoted redirect', UDP, (p, q) => put(p, [q + 9, 1], [q + 20, 5])],
    ['a quoted router advertisement', UDP, (p, q) => put(p, [q + 9, 1], [q + 20, 9])],
    ['a quoted ICMPv6 error', UDP6, (p, q) => put(p, [q + 6, 58], [q + 40, 1])],
    ['a quoted neighbour solicitation', UDP6, (p, q) => put(p, [q + 6, 58], [q + 40, 135])],
    ['an extension header longer than what is quoted', EXT6, (p, q) => void (p[q + 41] = 200)],
    ['a quoted later fragment of IPv6', EXT6, (p, q) => put(p, [q + 6, 44], [q + 42, 1])],
    ['a quoted routing header with segments left', EXT6, (p, q) => put(p, [q + 6, 43], [q + 43, 1])],
    ['addresses that no flow has', UDP6, (p, q) => void p.fill(0x77, q + 24, q + 40)],
  ]
  it.each(cases)('with %s', (_, hex, change) => {
    expect(readChanged(hex, change)).toBe(Drop.InvalidState)
  })

  it('with a wrong checksum, its own or that of the quoted header', () => {
    expect(readChanged(UDP, (p) => void (p[23] = (p[23] as number) ^ 1), false)).toBe(Drop.BadChecksum)
    expect(readChanged(UDP6, (p) => void (p[43] = (p[43] as number) ^ 1), false)).toBe(Drop.BadChecksum)
    // The quoted TTL was lowered, its checksum not: the outer one is right.
    const packet = bytesOf(UDP)
    packet[36] = (packet[36] as number) - 1
    packet[22] = packet[23] = 0
    const sum = ~naiveSum(packet, 20, packet.length) & 0xffff
    packet[22] = sum >>> 8
    packet[23] = sum & 255
    expect(readChanged(hexOf(packet), () => undefined, false)).toBe(Drop.BadChecksum)
  })

  it('shorter than its header', () => {
    const bench = new Bench(1)
    const f = bench.frame(bytesOf(UDP).slice(0, 27))
    expect(at.read(bench.pool, f, bench.l3(f), bench.l3(f) + 20, bench.end(f), false, addresses)).toBe(Drop.Malformed)
  })
})

describe('a message that is no error', () => {
  it.each([0, 8, 9, 10, 13, 14, 17, 18, 30, 40, 255])('type %i of ICMP', (type) => {
    expect(readChanged(UDP, (p) => void (p[20] = type))).toBe(NOT_AN_ERROR)
  })
  it.each([0, 5, 100, 127, 128, 129, 133, 134, 135, 136, 137, 255])('type %i of ICMPv6', (type) => {
    expect(readChanged(UDP6, (p) => void (p[40] = type))).toBe(NOT_AN_ERROR)
  })
})

it('takes any bytes, and translates what it believes within the frame', () => {
  const seeds = kernel.errors.map((c) => bytesOf(c.error[0]))
  for (const seed of seeds) {
    if ((seed[0] as number) >>> 4 === 6) for (const o of [56, 72]) addresses.intern(seed, o)
  }
  let believed = 0
  fc.assert(
    fc.property(
      fc.constantFrom(...seeds),
      fc.array(fc.tuple(fc.nat(120), fc.nat(255)), { maxLength: 3 }),
      fc.nat(160),
      fc.boolean(),
      fc.nat(0xffff),
      (seed, changes, cut, verified, port) => {
        const packet = seed.slice(0, Math.max(48, seed.length - cut))
        for (const [o, v] of changes) if (o < packet.length) packet[o] = v
        const bench = new Bench(1)
        const f = bench.frame(packet)
        if (verified) bench.pool.flags[f] = 2
        const l3 = bench.l3(f)
        const v6 = (packet[0] as number) >>> 4 === 6
        const before = bench.ip(f)
        const found = at.read(bench.pool, f, l3, l3 + (v6 ? 40 : 20), bench.end(f), false, addresses)
        expect(bench.ip(f)).toBe(before)
        if (found === IS_AN_ERROR) {
          believed++
          const words = Uint32Array.of(1, 2, 3, 4)
          if (v6) errorDestination6(bench.pool, f, at, words, 0, port)
          else errorDestination4(bench.pool, f, at, 0x0a000001, port)
          if (v6) errorSource6(bench.pool, f, at, words, 0, port)
          else errorSource4(bench.pool, f, at, 0x0a000001, port)
        }
        bench.intact(f)
        bench.drop(f)
        bench.balanced()
      },
    ),
    { numRuns: 3000 },
  )
  expect(believed).toBeGreaterThan(100)
})
