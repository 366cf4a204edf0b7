// IPv6 addresses by number, against a Map of text.
import { parseIpv6 } from '@l2l3/switch-core/wire'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { Addresses6 } from '../../src/addresses6.ts'

const address = (i: number): Uint8Array => parseIpv6(`2001:db8::${(i % 7).toString(16)}:${i.toString(16)}`)

it('holds, finds and gives back what a Map does', () => {
  const step = fc.record({ do: fc.constantFrom('intern', 'find', 'hold', 'release'), i: fc.nat(40) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), fc.integer(), (steps, seed) => {
      const table = new Addresses6({ max: 16, seed })
      const held = new Map<number, { row: number; refs: number }>()
      for (const s of steps) {
        const b = address(s.i)
        const there = held.get(s.i)
        if (s.do === 'intern') {
          const row = table.intern(b, 0)
          if (there !== undefined) {
            expect(row).toBe(there.row)
            there.refs++
          } else if (held.size < 16) {
            expect(row).toBeGreaterThan(0)
            expect([...held.values()].some((h) => h.row === row)).toBe(false)
            held.set(s.i, { row, refs: 1 })
          } else expect(row).toBe(0)
        } else if (s.do === 'find') expect(table.find(b, 0)).toBe(there?.row ?? 0)
        else if (there !== undefined) {
          expect(table.bytesOf(there.row)).toEqual(b)
          if (s.do === 'hold') {
            table.hold(there.row)
            there.refs++
          } else {
            table.release(there.row)
            if (--there.refs === 0) held.delete(s.i)
          }
        }
        expect(table.size).toBe(held.size)
      }
    }),
  )
})

it('says text and sums', () => {
  const table = new Addresses6()
  const row = table.intern(parseIpv6('2001:db8::ffff'), 0)
  expect(table.format(row)).toBe('2001:db8::ffff')
  expect(table.sum(row)).toBe((0x2001 + 0x0db8 + 0xffff) % 0xffff)
  expect(table.find(parseIpv6('2001:db8::1'), 0)).toBe(0)
  table.hold(0)
  table.release(0)
  expect(table.size).toBe(1)
  expect(() => new Addresses6({ max: 1 })).toThrow('max')
})

it('takes no memory before the first address comes', () => {
  const table = new Addresses6({ max: 1 << 22 })
  expect(table.bytes).toBeLessThan(100)
  expect(table.find(address(1), 0)).toBe(0)
  expect(table.size).toBe(0)
  const row = table.intern(address(1), 0)
  expect(table.find(address(1), 0)).toBe(row)
  expect(table.bytes).toBeGreaterThan(28 << 22)
})
