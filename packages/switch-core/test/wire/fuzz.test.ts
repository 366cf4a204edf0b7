import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  arp,
  checksum as ck,
  classify,
  describe,
  icmp,
  icmpv6,
  igmp,
  ipv4,
  ipv6,
  Layers,
  mld,
  tcp,
  udp,
} from '../../src/wire/index.ts'
import { hex } from './hex.ts'

/*
 * Every parser takes any bytes of any length: it gives a result or a no, does not throw, and does not read outside of
 * what it was given. A Proxy in front of the array sees every single read.
 */

function guarded(bytes: Uint8Array, from: number, to: number): Uint8Array {
  return new Proxy(bytes, {
    get(target, key) {
      if (typeof key === 'string' && /^-?\d+$/.test(key)) {
        const i = Number(key)
        if (i < from || i >= to) throw new Error(`read at ${i}, outside [${from}, ${to})`)
        return target[i]
      }
      const value = Reflect.get(target, key, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

const at = new Layers()
const found = new ipv6.Upper()

/** Every reader that takes unchecked bytes, and behind its check all that trust it. Gives how many said yes. */
function readAll(b: Uint8Array, o: number, end: number): number {
  let yes = 0
  if (arp.check(b, o, end)) yes += 1 + 0 * (arp.op(b, o) + arp.spa(b, o) + arp.tpa(b, o))
  for (const check of [ipv4.check, ipv4.checkHeader]) {
    const payload = check(b, o, end)
    if (payload === -1) continue
    yes++
    expect(payload >= o + 20 && payload <= end).toBe(true)
    ipv4.checksumOk(b, o)
    for (const kind of [0, 1, 7, 0x94]) expect(ipv4.option(b, o, kind)).toBeLessThan(payload)
  }
  if (ipv6.checkHeader(b, o, end) !== -1) yes++
  if (ipv6.check(b, o, end) !== -1) yes++
  if (ipv6.upper(b, o, end, found)) {
    yes++
    expect(found.offset >= o + 40 && found.offset <= end).toBe(true)
  }
  const data = tcp.check(b, o, end)
  if (data !== -1) {
    yes++
    expect(data >= o + 20 && data <= end).toBe(true)
    for (let kind = 0; kind < 9; kind++) expect(tcp.option(b, o, kind)).toBeLessThan(data)
    tcp.mss(b, o)
  }
  if (udp.check(b, o, end) !== -1) {
    yes++
    expect(o + udp.length(b, o)).toBeLessThanOrEqual(end)
  }
  if (icmp.check(b, o, end)) icmp.checksumOk(b, o, end)
  if (igmp.check(b, o, end)) {
    expect(igmp.maxResponse(b, o, end)).toBeLessThanOrEqual(31_744)
    expect(igmp.group(b, o)).toBeGreaterThanOrEqual(0)
    igmp.checksumOk(b, o, end)
  }
  if (mld.check(b, o, end)) expect(mld.maxResponse(b, o, end)).toBeLessThanOrEqual(8_387_584)
  mld.hasRouterAlert(b, o, end)
  if (icmpv6.checkNd(b, o, end)) yes++
  for (const kind of [1, 2, 3, 5]) {
    const option = icmpv6.option(b, o, end, kind)
    if (option !== -1) expect(option + 8).toBeLessThanOrEqual(end)
  }
  ck.sum(b, o, end)
  if (classify(b, o, end, at) > 2) yes++
  expect(describe(b, o, end)).not.toMatch(/undefined|NaN/)
  return yes
}

const SEEDS = [
  'ffffffffffff 02000000000a 0806 0001 0800 06 04 0001 02000000000a 0a000001 000000000000 0a000002',
  '02000000000b 02000000000a 0800 4500001d54b64000 4011 9ff6 0a16000b cb007102 1392 270f 0009 0717 78',
  '02000000000b 02000000000a 8100 0064 0800 4800003400000000 4006 66ca 0a000001 0a000002 9404000001010101 ' +
    '01010100 1388 0050 00000001 00000000 6002 ffff 0000 0000 020405b4',
  `3333ff00000a 02000000000b 86dd 60000000 0020 3aff ${'fe80'.padEnd(32, '0')} ${'ff02'.padEnd(32, '0')} ` +
    `8700 7a73 00000000 ${'fe80'.padEnd(32, '0')} 0101 02000000000b`,
  `02000000000b 02000000000a 86dd 60000000 0034 0040 ${'00'.repeat(32)} 3c00010400000000 2b00010400000000 ` +
    '3300000000000000 2c01 0000 00000001 00000002 1100 0001 12345678 1388 1b58 0008 0000',
].map(hex)

test('the seeds are read, in place, to the end', () => {
  for (const b of SEEDS) expect(readAll(guarded(b, 0, b.length), 0, b.length)).toBeGreaterThan(0)
})

test('every seed, cut at every length, read at every offset', () => {
  for (const seed of SEEDS) {
    const arena = new Uint8Array(16 + seed.length + 64).fill(0xff)
    arena.set(seed, 16)
    for (let end = 16; end <= 16 + seed.length; end++) {
      for (const o of [16, 30, 34, 36, 54].filter((x) => x <= end)) readAll(guarded(arena, o, end), o, end)
    }
  }
})

test('random bytes, and seeds with random changes', () => {
  let yes = 0
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 120 }),
        fc
          .tuple(fc.constantFrom(...SEEDS), fc.array(fc.tuple(fc.nat(120), fc.nat(255)), { maxLength: 6 }))
          .map(([seed, pokes]) => {
            const b = seed.slice()
            for (const [i, value] of pokes) if (i < b.length) b[i] = value
            return b
          }),
      ),
      fc.constantFrom(0, 14, 18, 34, 38, 54),
      fc.nat(120),
      (bytes, o, cut) => {
        const end = Math.min(bytes.length, Math.max(o, cut))
        if (o <= end) yes += readAll(guarded(bytes, o, end), o, end)
        yes += readAll(guarded(bytes, 0, bytes.length), 0, bytes.length)
      },
    ),
    { numRuns: 4000 },
  )
  expect(yes).toBeGreaterThan(4000)
})

test('a header chain of 64 KiB of options does not take long', () => {
  const b = new Uint8Array(65_575)
  b[0] = 0x60
  b[4] = b[5] = 255
  b[6] = 60
  for (let i = 40; i < b.length; i += 8) b[i] = 60
  expect(ipv6.upper(b, 0, b.length, found)).toBe(false)
  b.fill(1)
  b[0] = 134
  b[1] = 0
  expect(icmpv6.checkNd(b, 0, 65_576 - 8)).toBe(true)
})

test('the guard does see a read outside', () => {
  expect(() => guarded(new Uint8Array(9), 2, 4)[4]).toThrow('read at 4')
  expect(() => readAll(guarded(SEEDS[1] as Uint8Array, 0, 30), 0, 43)).toThrow('read at 30')
})
