import fc from 'fast-check'
import { expect, test } from 'vitest'
import { checksum as ck, icmp, ipv4, put16, put32, tcp, u16, u32, udp } from '../../src/wire/index.ts'
import { hex, show } from './hex.ts'

/** RFC 1071, 4.1, transcribed: 16-bit words, then the carries. */
function naive(b: Uint8Array, o: number, end: number): number {
  let s = 0
  for (let i = o; i < end; i += 2) {
    s += (b[i] as number) * 256 + (i + 1 < end ? (b[i + 1] as number) : 0)
    if (s > 0xffff) s = s - 0x10000 + 1
  }
  return s
}

test('RFC 1071, 3: 00 01 f2 03 f4 f5 f6 f7 sums up to ddf2', () => {
  const b = hex('0001 f203 f4f5 f6f7')
  expect(ck.sum(b, 0, 8)).toBe(0xddf2)
  expect(ck.sum(new DataView(b.buffer), 0, 8)).toBe(0xddf2)
  expect(ck.checksum(b, 0, 8)).toBe(0x220d)
})

test('RFC 1624, 4: HC dd2f, 5555 becomes 3285, gives 0000 and not ffff', () => {
  expect(ck.update16(0xdd2f, 0x5555, 0x3285)).toBe(0x0000)
})

test('a sum over nothing is nothing, a sum over zeros is zero, an all-ones sum stays all ones', () => {
  const zeros = new Uint8Array(64)
  expect(ck.sum(zeros, 5, 5)).toBe(0)
  expect(ck.sum(zeros, 0, 64)).toBe(0)
  expect(ck.sum(new DataView(zeros.buffer), 0, 64)).toBe(0)
  expect(ck.sum(zeros.fill(255), 0, 64)).toBe(0xffff)
  expect(ck.sum(new DataView(zeros.buffer), 0, 64)).toBe(0xffff)
  expect(ck.complementUdp(0xffff)).toBe(0xffff)
  expect(ck.complement(0xffff)).toBe(0)
})

test('both ways of summing agree with the transcription at any offset, length and start value', () => {
  const bytes = new Uint8Array(4096)
  const data = new DataView(bytes.buffer)
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 0, maxLength: 1600 }),
      fc.nat(40),
      fc.nat(0xffff),
      (content, at, initial) => {
        bytes.fill(0xa5)
        bytes.set(content, at)
        const end = at + content.length
        const expected = ck.fold(naive(bytes, at, end) + initial)
        expect(ck.sum(bytes, at, end, initial)).toBe(expected)
        expect(ck.sum(data, at, end, initial)).toBe(expected)
      },
    ),
    { numRuns: 500 },
  )
})

test('the longest ranges do not overflow: 1 MiB of ff, and of random words', () => {
  const bytes = new Uint8Array(1 << 20).fill(255)
  const data = new DataView(bytes.buffer)
  expect(ck.sum(data, 0, bytes.length)).toBe(0xffff)
  let x = 1
  for (let i = 0; i < bytes.length; i++) bytes[i] = (x = (Math.imul(x, 1103515245) + 12345) >>> 0) >>> 16
  for (const end of [bytes.length, bytes.length - 1, 131_072, 131_073, 65_553, 65_535]) {
    expect(ck.sum(data, 3, end)).toBe(naive(bytes, 3, end))
    expect(ck.sum(bytes, 3, end)).toBe(naive(bytes, 3, end))
  }
})

test('an incremental update gives the field that summing again gives', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 20, maxLength: 20 }), fc.nat(0xffff), fc.nat(0xffffffff), (b, n, w) => {
      b[0] = 0x45
      ipv4.fillChecksum(b, 0)
      const before = u16(b, 10)
      const m = u16(b, 4)
      put16(b, 4, n)
      const first = ck.update16(before, m, n)
      ipv4.fillChecksum(b, 0)
      expect(first).toBe(u16(b, 10))
      const old = u32(b, 12)
      put32(b, 12, w)
      const second = ck.update32(first, old, w)
      ipv4.fillChecksum(b, 0)
      expect(second).toBe(u16(b, 10))
    }),
  )
})

/* The masquerade of a Linux kernel, both sides of it: 10.22.0.11 behind 203.0.113.1 speaks to 203.0.113.2. */
const INSIDE = hex('4500001d54b64000 40 11 9ff6 0a16000b cb007102  1392 270f 0009 0717 78')
const OUTSIDE = hex('4500001d54b64000 3f 11 6f15 cb007101 cb007102  1392 270f 0009 d535 78')
const ERROR_OUTSIDE = hex(`45c0003987e30000 40 01 7a1c cb007102 cb007101  0303 751c 00000000
  4500001d54b64000 3f 11 6f15 cb007101 cb007102 1392 270f 0009 d535 78`)
const ERROR_INSIDE = hex(`45c0003987e30000 3f 01 acfd cb007102 0a16000b  0303 433b 00000000
  4500001d54b64000 3f 11 a0f6 0a16000b cb007102 1392 270f 0009 0717 78`)

test('the kernel’s IPv4, UDP and ICMP checksums are right in our eyes', () => {
  for (const p of [INSIDE, OUTSIDE]) {
    expect(ipv4.checksumOk(p, 0)).toBe(true)
    expect(udp.checksumOk(p, 0, 20)).toBe(true)
  }
  for (const p of [ERROR_OUTSIDE, ERROR_INSIDE]) {
    expect(ipv4.checksumOk(p, 0)).toBe(true)
    expect(icmp.checksumOk(p, 20, p.length)).toBe(true)
    expect(ipv4.checkHeader(p, 28, p.length)).toBe(48)
    expect(ipv4.checksumOk(p, 28)).toBe(true)
    expect(udp.checksumOk(p, 28, 48)).toBe(true)
  }
  const wrong = INSIDE.slice()
  wrong[28] = 0x79
  expect(udp.checksumOk(wrong, 0, 20)).toBe(false)
  wrong[8] = 0x3f
  expect(ipv4.checksumOk(wrong, 0)).toBe(false)
})

test('masquerading by incremental updates turns the kernel’s inside into its outside', () => {
  const p = INSIDE.slice()
  ipv4.decrementTtl(p, 0)
  expect(show(p, 10, 12)).toBe('a0f6')
  const [from, to] = [ipv4.src(p, 0), 0xcb007101]
  put16(p, 10, ck.update32(u16(p, 10), from, to))
  put16(p, 26, ck.update32(u16(p, 26), from, to))
  put32(p, 12, to)
  expect(show(p)).toBe(show(OUTSIDE))
})

test('fillChecksum finds what the kernel wrote', () => {
  const p = INSIDE.slice()
  put16(p, 10, 0xdead)
  put16(p, 26, 0xdead)
  ipv4.fillChecksum(p, 0)
  udp.fillChecksum(p, 0, 20)
  expect(show(p)).toBe(show(INSIDE))
  const e = ERROR_INSIDE.slice()
  put16(e, 22, 0xbeef)
  icmp.fillChecksum(e, 20, e.length)
  expect(show(e)).toBe(show(ERROR_INSIDE))
})

test('UDP: a sum of zero is sent as ffff; zero stands for no checksum, over IPv4 only (RFC 768, RFC 8200 8.1)', () => {
  // 10.0.0.1:1 -> 10.0.0.2:2, data chosen so that all words add up to ffff.
  const p = new Uint8Array(30)
  const at = udp.write(p, ipv4.write(p, 0, { src: 0x0a000001, dst: 0x0a000002, protocol: 17, payload: 10 }), 1, 2, 2)
  put16(p, at, ck.complement(ck.sum(p, 20, 30, ck.pseudo4(p, 0, 17, 10))))
  udp.fillChecksum(p, 0, 20)
  expect(show(p, 26, 28)).toBe('ffff')
  expect(udp.checksumOk(p, 0, 20)).toBe(true)
  put16(p, 26, 0)
  expect(udp.checksumOk(p, 0, 20)).toBe(true)
  p[0] = 0x65
  expect(udp.checksumOk(p, 0, 20)).toBe(false)
})

test('a TCP segment’s sum comes out right over an odd number of bytes', () => {
  const p = new Uint8Array(20 + 20 + 3)
  ipv4.write(p, 0, { src: 0x0a000001, dst: 0x0a000002, protocol: 6, payload: 23 })
  const at = tcp.write(p, 20, { srcPort: 1000, dstPort: 80, seq: 0xfffffff0, flags: tcp.Flag.Ack })
  p.set([1, 2, 3], at)
  tcp.fillChecksum(p, 0, 20, p.length)
  expect(tcp.checksumOk(p, 0, 20, p.length)).toBe(true)
  p[42] = 4
  expect(tcp.checksumOk(p, 0, 20, p.length)).toBe(false)
})
