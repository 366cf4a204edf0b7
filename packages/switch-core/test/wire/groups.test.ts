import { expect, test } from 'vitest'
import { igmp, mld } from '../../src/wire/index.ts'
import { hex } from './hex.ts'

/* IGMP and MLD: messages as they are on the wire, and the times that queries give. */

test('an IGMPv2 report is read and written', () => {
  const bytes = hex('1600 f7fb f0000203')
  // 1600 + f000 + 0203 = 10803; folded 0804; its complement f7fb.
  expect(igmp.check(bytes, 0, 8)).toBe(true)
  expect([igmp.type(bytes, 0), igmp.group(bytes, 0), igmp.checksumOk(bytes, 0, 8)]).toEqual([0x16, 0xf000_0203, true])
  const made = new Uint8Array(8)
  expect(igmp.write(made, 0, igmp.Type.Report, 0xf000_0203)).toBe(8)
  expect(made).toEqual(bytes)
})

test.each([
  ['1100 0000 00000000', 0],
  ['1164 0000 00000000', 100],
  ['11ff 0000 00000000', 255],
  ['1164 0000 00000000 027d0000', 100],
  // 1 mmm eeee: (mant | 0x10) << (exp + 3), RFC 3376 4.1.1.
  ['1180 0000 00000000 027d0000', 128],
  ['118f 0000 00000000 027d0000', 248],
  ['11ff 0000 00000000 027d0000', 31_744],
])('the time of the query %s is %i tenths of a second', (text, tenths) => {
  const b = hex(text)
  expect(igmp.maxResponse(b, 0, b.length)).toBe(tenths)
})

test.each([
  ['82000000 2710 0000', '', 10_000],
  ['82000000 8000 0000', '', 0x8000],
  ['82000000 8000 0000', '027d0000', 32_768],
  ['82000000 ffff 0000', '027d0000', 8_387_584],
])('the time of the query %s, then a group and "%s", is %i ms', (text, more, ms) => {
  const b = hex(text + '00'.repeat(16) + more)
  expect(mld.check(b, 0, b.length)).toBe(true)
  expect(mld.maxResponse(b, 0, b.length)).toBe(ms)
})

test('lengths between the versions are no queries', () => {
  for (let n = 0; n < 40; n++) {
    const b = new Uint8Array(n).fill(0x11)
    expect(igmp.check(b, 0, n)).toBe(n === 8 || n >= 12)
    b.fill(130)
    expect(mld.check(b, 0, n)).toBe(n === 24 || n >= 28)
  }
})

test('a router alert is found behind padding', () => {
  for (const [text, there] of [
    ['3a00 05020000 0100', true],
    ['3a00 0100 05020000', true],
    ['3a00 00 00 05020000', true],
    ['3a00 010400000000', false],
    // Where an option's length leads out of the header, there is none.
    ['3a00 01ff05020000', false],
  ] as const) {
    const b = hex(text)
    expect([text, mld.hasRouterAlert(b, 0, b.length)]).toEqual([text, there])
  }
})

test("a group's MAC has the last 23 bits of its address", () => {
  const mac = new Uint8Array(8)
  igmp.groupMac(mac, 1, 0xefff_ffff)
  expect(mac).toEqual(hex('00 01005e7fffff 00'))
})
