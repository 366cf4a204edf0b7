// Addresses and their owners, against a Map.
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { AddressTable } from '../../src/index.ts'
import { formatIpv4, formatIpv6, parseIpv4, parseIpv6 } from '../../src/wire/index.ts'

const find = (table: AddressTable, ip: string): number => {
  const b = new Uint8Array(17)
  if (ip.includes(':')) {
    b.set(parseIpv6(ip), 1)
    return table.find6(b, 1)
  }
  new DataView(b.buffer).setUint32(1, parseIpv4(ip))
  return table.find4(b, 1)
}

it('keeps what a Map keeps, through additions and removals', () => {
  const v4 = fc.integer({ min: 1, max: 12 }).map((n) => formatIpv4(0x0a000000 + n))
  const v6 = fc.integer({ min: 1, max: 12 }).map((n) => {
    const b = new Uint8Array(16)
    b[n % 16] = 0x20
    b[15] = n
    return formatIpv6(b)
  })
  const step = fc.tuple(fc.oneof(v4, v6), fc.boolean(), fc.nat(65_535))
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const table = new AddressTable(8)
      const model = new Map<string, number>()
      for (const [ip, add, owner] of steps) {
        if (!add) expect(table.delete(ip)).toBe(model.delete(ip))
        else if (model.has(ip)) expect(() => table.add(ip, owner)).toThrow('is taken')
        else if (model.size === 8) expect(() => table.add(ip, owner)).toThrow('no room')
        else {
          table.add(ip, owner)
          model.set(ip, owner)
        }
      }
      for (const [ip] of steps) expect(find(table, ip)).toBe(model.get(ip) ?? -1)
      expect(table.size).toBe(model.size)
      const listed = [...table.list()].map(({ address, owner }) => [address, owner] as const)
      expect(new Map(listed)).toEqual(model)
    }),
    { numRuns: 300 },
  )
})

it('tells an IPv4 address from the IPv6 address with the same words', () => {
  const table = new AddressTable()
  table.add('10.0.0.1', 1)
  expect(find(table, '::10.0.0.1')).toBe(-1)
  table.add('::10.0.0.1', 2)
  expect([find(table, '10.0.0.1'), find(table, '::10.0.0.1')]).toEqual([1, 2])
})

it.each(['0.0.0.0', '224.0.0.1', '255.255.255.255', '::', 'ff02::1', '10.0.0', 'fd00::/64', ''])(
  'refuses %j, which is nobody’s',
  (ip) => {
    expect(() => new AddressTable().add(ip, 1)).toThrow(ip === '' ? 'not an IPv4 address' : ip)
  },
)
