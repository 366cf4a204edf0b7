// By which of its addresses the router speaks: IPv4 by the next hop, IPv6 by RFC 6724.
import { describe, expect, it } from 'vitest'
import { commonBits6, label6 } from '../../src/router/source-choice.ts'
import { formatIpv4, formatIpv6, parseIpv4, parseIpv6 } from '../../src/wire/index.ts'
import { Lab } from './lab.ts'

const lab = (...addresses: string[]): { four: (to: string) => string; six: (to: string) => string | null } => {
  const { router } = new Lab()
  const eth1 = router.interfaces[1]!
  for (const address of ['10.0.1.1/24', '2001:db8:b::1/64']) router.removeAddress(eth1, address)
  for (const address of addresses) router.addAddress(eth1, address)
  if (addresses.includes('203.0.113.1/24')) {
    router.addRoute({ to: '192.0.2.0/24', via: '203.0.113.254' })
    router.addRoute({ to: '192.0.3.0/24', hops: [{ via: '10.0.0.9' }, { via: '203.0.113.254' }] })
  }
  return {
    four: (to) => formatIpv4(router.sourceTo4(eth1, parseIpv4(to))),
    six: (to) => {
      const source = router.sourceTo6(eth1, parseIpv6(to), 0)
      return source === null ? null : formatIpv6(source)
    },
  }
}

describe('the source towards a destination', () => {
  it('IPv4: the address in whose network the next hop is, else the first', () => {
    const { four } = lab('198.51.100.1/24', '203.0.113.1/24')
    expect(['203.0.113.2', '192.0.2.7', '192.0.3.7', '198.51.100.9', '8.8.8.8'].map(four)).toEqual([
      ...['203.0.113.1', '203.0.113.1', '203.0.113.1', '198.51.100.1', '198.51.100.1'],
    ])
    expect(lab().four('8.8.8.8')).toBe('0.0.0.0')
  })

  it('IPv6: of the same scope, then of the same label, then with the most in common (RFC 6724, 10.1)', () => {
    const { six } = lab('fd00:99::1/64', '2001:db8:7::1/64', '2001:db8:9::1/64')
    expect(six('2001:db8:7::2')).toBe('2001:db8:7::1')
    expect(six('2001:db8:9:1::2')).toBe('2001:db8:9::1')
    expect(six('fd00:5::2')).toBe('fd00:99::1')
    // As much in common as its own prefix is long, with both: the first.
    expect(lab('2001:db8:7::1/32', '2001:db8:7::9/32').six('2001:db8:7::9')).toBe('2001:db8:7::1')
    expect(lab().six('2001:db8:7::2')).toBeNull()
    // A global one to who is not its like, where there is no other.
    expect(lab('fd00:99::1/64').six('2001:db8::9')).toBe('fd00:99::1')
  })

  it.each([
    ['::1', 0],
    ['2001:db8::1', 1],
    ['2002:c000:201::1', 2],
    ['::192.0.2.1', 3],
    ['::ffff:192.0.2.1', 4],
    ['2001:0:5ef5:79fd::1', 5],
    ['fc00::1', 13],
    ['fdff::1', 13],
    ['::1:0:0:1', 1],
  ])('the label of %s is %i (RFC 6724, 2.1)', (address, label) => {
    expect(label6(parseIpv6(address), 0)).toBe(label)
  })

  it('counts common bits', () => {
    const common = (a: string, b: string): number => commonBits6(parseIpv6(a), parseIpv6(b), 0)
    expect([
      common('::1', '::1'),
      common('::', '::1'),
      common('8000::', '::'),
      common('2001:db8::', '2001:db9::'),
    ]).toEqual([...[128, 127, 0, 31]])
  })
})
