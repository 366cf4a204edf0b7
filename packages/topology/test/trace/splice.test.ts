import { applyDiff, diff } from '@l2l3/topology/memory'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fieldChanges } from '../../src/trace/field-changes.ts'
import { fromHex, moved, toHex } from '../../src/trace/splice.ts'

const ETHERNET = '02000000000b02000000000a'
const PING = '4500001c0007400040010000 0a000001 0a000002 0800f7fd00000002'.replaceAll(' ', '')
const frame = fromHex(`${ETHERNET}0800${PING}`)

describe('what changed in a frame', () => {
  it('is a tag put in, or taken out again', () => {
    const tagged = fromHex(`${ETHERNET}8100000a0800${PING}`)
    expect(diff(frame, tagged)).toEqual([{ at: 12, remove: '', insert: '8100000a' }])
    expect(diff(tagged, frame)).toEqual([{ at: 12, remove: '8100000a', insert: '' }])
  })

  it('is an outer header as one piece, and bytes in place apart', () => {
    const outer = '01'.repeat(50)
    const wrapped = fromHex(outer + toHex(frame))
    wrapped[50 + 22] = 0x3f
    expect(diff(frame, wrapped)).toEqual([
      { at: 0, remove: '', insert: outer },
      { at: 22, remove: '40', insert: '3f' },
    ])
  })

  it('is told of where a header begins, where several places would do', () => {
    // The source address ends as the tag does, without its first byte.
    const like = fromHex(`02000000000b02000081000a0800${PING}`)
    const tagged = fromHex(`02000000000b02000081000a8100000a0800${PING}`)
    expect(diff(like, tagged)).toEqual([{ at: 12, remove: '', insert: '8100000a' }])
  })

  it('is nothing where nothing did', () => {
    expect(diff(frame, frame)).toEqual([])
    expect(diff(new Uint8Array(0), frame)).toEqual([{ at: 0, remove: '', insert: toHex(frame) }])
    expect(diff(frame, frame.subarray(0, 20))).toEqual([{ at: 20, remove: toHex(frame.subarray(20)), insert: '' }])
  })

  it('gives the bytes after, applied to those before: whatever they are', () => {
    const bytes = fc.uint8Array({ maxLength: 60, max: 3 })
    const edited = bytes.chain((b) => {
      const cut = fc.nat(b.length)
      return fc.tuple(fc.constant(b), cut, cut, bytes).map(([before, from, to, put]) => {
        const [low, high] = [Math.min(from, to), Math.max(from, to)]
        return [before, Uint8Array.from([...before.slice(0, low), ...put, ...before.slice(high)])] as const
      })
    })
    fc.assert(
      fc.property(fc.oneof(fc.tuple(bytes, bytes), edited), ([before, after]) => {
        const splices = diff(before, after)
        expect(Array.from(applyDiff(before, splices))).toEqual(Array.from(after))
        splices.reduce((end, { at, remove }) => {
          expect(at).toBeGreaterThanOrEqual(end)
          return at + remove.length / 2
        }, 0)
      }),
      { numRuns: 3000 },
    )
  })

  it('says where bytes that stayed have gone', () => {
    const edit = fc.tuple(fc.nat(30), fc.nat(8), fc.boolean())
    fc.assert(
      fc.property(edit, ([at, n, out]) => {
        const before = Uint8Array.from({ length: 40 }, (_, i) => i)
        const gone = out ? n : 0
        const put = Uint8Array.from({ length: out ? 0 : n }, (_, i) => 200 + i)
        const after = Uint8Array.from([...before.slice(0, at), ...put, ...before.slice(at + gone)])
        const splices = diff(before, after)
        for (let i = 0; i < 40; i++) expect(moved(splices, i)).toBe(after.indexOf(i))
      }),
    )
  })

  it('is not applied to other bytes than it was made of', () => {
    expect(() => applyDiff(frame, [{ at: 22, remove: '41', insert: '40' }])).toThrow('at 22 there is 40, not 41')
    expect(() => applyDiff(frame, [{ at: 99, remove: '', insert: '40' }])).toThrow('a splice at 99 of 42 bytes')
    expect(() => applyDiff(frame, [{ at: 9, remove: '', insert: 'xx' }])).toThrow('not hexadecimal bytes: xx')
  })
})

describe('the fields that changed', () => {
  const told = (before: Uint8Array, after: Uint8Array): string[] => {
    return fieldChanges(before, after, diff(before, after)).map((f) => `${f.name} ${f.before} > ${f.after} @${f.at}`)
  }

  it('are those of a header that stays, by name and value', () => {
    const after = frame.slice()
    after[22] = 63
    expect(told(frame, after)).toEqual(['ip.ttl 64 > 63 @22'])
  })

  it('are those of a tag, and the type that moved behind it', () => {
    const tagged = fromHex(`${ETHERNET}8100000a0800${PING}`)
    expect(told(frame, tagged)).toEqual([
      'eth.type 0x0800 > 0x8100 @12',
      'vlan.priority null > 0 @14',
      'vlan.dei null > 0 @14',
      'vlan.id null > 10 @14',
      'vlan.etype null > 0x0800 @16',
    ])
  })

  it('are the outer headers where a packet was wrapped: the inner ones are what they were', () => {
    const outer = fromHex('450000300000400040040000c0000201c0000202')
    const wrapped = Uint8Array.from([...frame.slice(0, 14), ...outer, ...frame.slice(14)])
    const names = told(frame, wrapped)
    expect(names.every((text) => text.startsWith('ip.') && text.includes(' null > '))).toBe(true)
    expect(names).toContain('ip.proto null > 4 @23')
    expect(told(wrapped, frame)).toContain('ip.src 192.0.2.1 > null @26')
    expect(told(wrapped, frame).length).toBe(names.length)
  })

  it('are found for any two frames', () => {
    const bytes = fc.uint8Array({ maxLength: 120 })
    fc.assert(
      fc.property(bytes, bytes, (a, b) => {
        for (const change of fieldChanges(a, b, diff(a, b))) expect(change.before).not.toBe(change.after)
      }),
    )
  })
})
