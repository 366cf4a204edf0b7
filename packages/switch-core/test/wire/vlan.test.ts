import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Frame, FramePool } from '../../src/frame-pool.ts'
import { u16, vlan } from '../../src/wire/index.ts'
import { hex, show } from './hex.ts'

const PLAIN = '02000000000b 02000000000a 0800 4500001c'.replace(/ /g, '')
const C_TAG = '02000000000b 02000000000a 8100 a064 0800 4500001c'.replace(/ /g, '')
const S_TAG = '02000000000b 02000000000a 88a8 00c8 8100 a064 0800 4500001c'.replace(/ /g, '')

test('a TCI of VLAN 100 with priority 5 is a064', () => {
  expect(vlan.makeTci(100, 5)).toBe(0xa064)
  expect([vlan.vid(0xb064), vlan.pcp(0xb064), vlan.dei(0xb064)]).toEqual([100, 5, 1])
  expect(vlan.tci(hex(C_TAG), 0)).toBe(0xa064)
})

test('tags are pushed and popped, and the payload stays where it is', () => {
  const pool = new FramePool({ frames: 4 })
  const f = pool.from(hex(PLAIN)) as Frame
  const payload = (pool.off[f] as number) + 14
  pool.flags[f] = 1
  pool.csumStart[f] = 34
  pool.csumOffset[f] = 6
  pool.hdrLen[f] = 42
  expect(vlan.pushTag(pool, f, 0x8100, 0xa064)).toBe(true)
  expect(show(pool.view(f))).toBe(C_TAG)
  expect([pool.csumStart[f], pool.csumOffset[f], pool.hdrLen[f]]).toEqual([38, 6, 46])
  expect(vlan.pushTag(pool, f, 0x88a8, 200)).toBe(true)
  expect(show(pool.view(f))).toBe(S_TAG)
  expect((pool.off[f] as number) + 22).toBe(payload)
  expect(vlan.popTag(pool, f)).toBe(true)
  expect(vlan.popTag(pool, f)).toBe(true)
  expect(show(pool.view(f))).toBe(PLAIN)
  expect([pool.csumStart[f], pool.hdrLen[f]]).toEqual([34, 42])
  expect(vlan.popTag(pool, f)).toBe(false)
})

test('a tag that is cut short is no tag, and a full headroom takes none', () => {
  const pool = new FramePool({ frames: 4, headroom: 32 })
  const short = pool.from(hex(C_TAG).subarray(0, 17)) as Frame
  expect(vlan.popTag(pool, short)).toBe(false)
  expect(pool.len[short]).toBe(17)
  const f = pool.from(hex(PLAIN)) as Frame
  let tags = 0
  while (vlan.pushTag(pool, f, 0x8100, tags)) tags++
  expect(tags).toBe(Math.floor(pool.headroom / 4))
  const before = show(pool.view(f))
  expect(vlan.pushTag(pool, f, 0x8100, 1)).toBe(false)
  expect(show(pool.view(f))).toBe(before)
})

test('push then pop is nothing, for any frame', () => {
  const pool = new FramePool({ frames: 1 })
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 14, maxLength: 200 }), fc.nat(0xffff), (bytes, tci) => {
      const f = pool.from(bytes) as Frame
      vlan.pushTag(pool, f, 0x88a8, tci)
      expect(u16(pool.bytes, (pool.off[f] as number) + 14)).toBe(tci)
      vlan.popTag(pool, f)
      expect(show(pool.view(f))).toBe(show(bytes))
      pool.release(f)
    }),
  )
})
