// The frames of modes.md, appendix A: what Linux made of them, byte for byte.
import { checksum, put16, u16 } from '@l2l3/switch-core/wire'
import { expect, it } from 'vitest'
import { hex, INSIDE, Lab, OUTSIDE } from './lab.ts'

const flat = (text: string): string => Buffer.from(hex(text)).toString('hex')

const A3_INSIDE = '4500001d54b64000 40 11 9ff6 0a16000b cb007102 1392 270f 0009 0717 78'
const A3_OUTSIDE = '4500001d54b64000 3f 11 6f15 cb007101 cb007102 1392 270f 0009 d535 78'
const A4_OUTSIDE =
  '45c0003987e30000 40 01 7a1c cb007102 cb007101 0303 751c 00000000 4500001d54b64000 3f 11 6f15 cb007101 cb007102 1392 270f 0009 d535 78'
const A4_INSIDE =
  '45c0003987e30000 3f 01 acfd cb007102 0a16000b 0303 433b 00000000 4500001d54b64000 3f 11 a0f6 0a16000b cb007102 1392 270f 0009 0717 78'

it('A3: UDP, masqueraded', () => {
  const lab = Lab.masquerading()
  expect(lab.send(INSIDE, A3_INSIDE)).toEqual([`1: ${flat(A3_OUTSIDE)}`])
})

it('A4: port unreachable, back through the same mapping', () => {
  const lab = Lab.masquerading()
  lab.send(INSIDE, A3_INSIDE)
  expect(lab.send(OUTSIDE, A4_OUTSIDE)).toEqual([`0: ${flat(A4_INSIDE)}`])
})

it('A12: ones-complement sums', () => {
  expect(checksum.update16(0xdd2f, 0x5555, 0x3285)).toBe(0x0000)
  const b = hex('4500001d54b64000 40 11 9ff6 0a16000b cb007102')
  const before = u16(b, 8)
  put16(b, 8, before - 0x100)
  put16(b, 10, checksum.update16(u16(b, 10), before, before - 0x100))
  expect(flat(A4_INSIDE)).toContain(Buffer.from(b.subarray(8, 12)).toString('hex'))
  expect(u16(b, 10)).toBe(0xa0f6)
})
