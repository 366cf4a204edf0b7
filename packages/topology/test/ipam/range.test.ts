import { describe, expect, it } from 'vitest'
import { parseIp } from '../../src/address.ts'
import { AddressRange, type RangeOptions, RangeSet, rangeSets } from '../../src/ipam/range.ts'

/* Ranges and sets of them: what they hold, in which order, and what is refused. */

const all = (set: RangeSet, last?: string): string[] => {
  return Array.from(set.after(last === undefined ? undefined : parseIp(last)), ({ text }) => text)
}

describe('a range', () => {
  it.each<[RangeOptions, string, string]>([
    [{ subnet: '10.1.0.0/24' }, '10.1.0.1-10.1.0.254', '10.1.0.1'],
    [{ subnet: '10.1.0.0/30' }, '10.1.0.1-10.1.0.2', '10.1.0.1'],
    [{ subnet: '10.1.0.0/16', gateway: '10.1.255.254' }, '10.1.0.1-10.1.255.254', '10.1.255.254'],
    [{ subnet: '10.1.0.0/24', gateway: '192.0.2.1' }, '10.1.0.1-10.1.0.254', '192.0.2.1'],
    [{ subnet: '10.1.0.0/24', rangeStart: '10.1.0.16', rangeEnd: '10.1.0.31' }, '10.1.0.16-10.1.0.31', '10.1.0.1'],
    [{ subnet: '10.1.0.0/24', rangeStart: '10.1.0.9', rangeEnd: '10.1.0.9' }, '10.1.0.9-10.1.0.9', '10.1.0.1'],
    // The plugin takes those as well, whoever wants them.
    [{ subnet: '10.1.0.0/24', rangeStart: '10.1.0.0', rangeEnd: '10.1.0.255' }, '10.1.0.0-10.1.0.255', '10.1.0.1'],
    [{ subnet: 'fd00::/126' }, 'fd00::1-fd00::3', 'fd00::1'],
    [{ subnet: 'fd00:0:0::/64', rangeStart: 'fd00::0010' }, 'fd00::10-fd00::ffff:ffff:ffff:ffff', 'fd00::1'],
    [{ subnet: '255.255.255.0/24' }, '255.255.255.1-255.255.255.254', '255.255.255.1'],
  ])('%j is %s, gateway %s', (options, text, gateway) => {
    const range = new AddressRange(options)
    expect([`${range}`, range.gateway]).toEqual([text, gateway])
  })

  it.each<[RangeOptions, string]>([
    [{ subnet: '10.1.0.0/31' }, 'subnet: 10.1.0.0/31 is too small to give out addresses of: at most a /30'],
    [{ subnet: 'fd00::/127' }, 'subnet: fd00::/127 is too small to give out addresses of: at most a /126'],
    [{ subnet: '10.1.0.7/24' }, 'subnet: 10.1.0.7/24 has host bits: the network is 10.1.0.0/24'],
    [{ subnet: '10.1.0.0' }, 'subnet: expected a network such as'],
    [{ subnet: '10.1.0.0/24', rangeStart: '10.2.0.1' }, 'rangeStart: 10.2.0.1 is not in 10.1.0.0/24'],
    [{ subnet: '10.1.0.0/24', rangeStart: 'fd00::1' }, 'rangeStart: fd00::1 is not in 10.1.0.0/24'],
    [{ subnet: '10.1.0.0/24', rangeEnd: '10.1.1.0' }, 'rangeEnd: 10.1.1.0 is not in 10.1.0.0/24'],
    [
      { subnet: '10.1.0.0/24', rangeStart: '10.1.0.9', rangeEnd: '10.1.0.8' },
      'rangeEnd: 10.1.0.8 is not in 10.1.0.0/24 and not before rangeStart',
    ],
    [{ subnet: '10.1.0.0/24', gateway: 'gate' }, 'gateway: expected an IPv4 or IPv6 address'],
  ])('%j is refused', (options, message) => {
    expect(() => new AddressRange(options)).toThrow(message)
  })
})

describe('a set', () => {
  const two = new RangeSet([
    { subnet: '10.1.0.0/29', rangeStart: '10.1.0.5' },
    { subnet: '10.2.0.0/29', rangeEnd: '10.2.0.3' },
  ])

  it('is walked in the order of its ranges, without the gateways', () => {
    expect(all(two)).toEqual(['10.1.0.5', '10.1.0.6', '10.2.0.2', '10.2.0.3'])
  })

  it.each([
    ['10.1.0.5', ['10.1.0.6', '10.2.0.2', '10.2.0.3', '10.1.0.5']],
    ['10.1.0.6', ['10.2.0.2', '10.2.0.3', '10.1.0.5', '10.1.0.6']],
    ['10.2.0.2', ['10.2.0.3', '10.1.0.5', '10.1.0.6', '10.2.0.2']],
    ['10.2.0.3', ['10.1.0.5', '10.1.0.6', '10.2.0.2', '10.2.0.3']],
    // In the range, though never given out.
    ['10.2.0.1', ['10.2.0.2', '10.2.0.3', '10.1.0.5', '10.1.0.6']],
    // Of another configuration.
    ['10.9.0.1', ['10.1.0.5', '10.1.0.6', '10.2.0.2', '10.2.0.3']],
    ['fd00::1', ['10.1.0.5', '10.1.0.6', '10.2.0.2', '10.2.0.3']],
  ])('goes on behind %s, once around', (last, addresses) => {
    expect(all(two, last)).toEqual(addresses)
  })

  it('of a whole /64 begins at once', () => {
    const wide = new RangeSet([{ subnet: 'fd00::/64' }])
    expect(wide.after(parseIp('fd00::ffff:ffff:ffff:fffe')).next().value?.text).toBe('fd00::ffff:ffff:ffff:ffff')
    const [, second] = Array.from(
      { length: 2 },
      (
        (walk) => () =>
          walk.next().value?.text
      )(wide.after(undefined)),
    )
    expect(second).toBe('fd00::3')
  })

  it.each<[RangeOptions[][], string]>([
    [[], 'ranges: expected at least one set of ranges'],
    [[[]], 'ranges[0]: expected at least one range'],
    [[[{ subnet: '10.1.0.0/24' }, { subnet: 'fd00::/64' }]], 'ranges[0]: a set has ranges of one family'],
    [
      [[{ subnet: '10.1.0.0/24' }, { subnet: '10.1.0.0/25' }]],
      'ranges[0]: the ranges 10.1.0.1-10.1.0.254 and 10.1.0.1-10.1.0.126 overlap',
    ],
    [
      [[{ subnet: '10.1.0.0/24' }], [{ subnet: 'fd00::/64' }], [{ subnet: '10.1.0.0/16' }]],
      'ranges[2]: overlaps with ranges[0]',
    ],
    [[[{ subnet: '10.1.0.0/24' }, { subnet: '10.2.0.0/32' }]], 'ranges[0][1].subnet: 10.2.0.0/32 is too small'],
    [[[{ subnet: '10.1.0.0/24' }], [{ subnet: '10.2.0.0/24', rangeEnd: 'x' }]], 'ranges[1][0].rangeEnd: expected an'],
  ])('%j is refused', (ranges, message) => {
    expect(() => rangeSets(ranges)).toThrow(message)
  })

  it('may be beside another of the same network, where they share no address', () => {
    const halves = rangeSets([
      [{ subnet: '10.1.0.0/24', rangeEnd: '10.1.0.127' }],
      [{ subnet: '10.1.0.0/24', rangeStart: '10.1.0.128' }],
    ])
    expect(halves.map(String)).toEqual(['10.1.0.1-10.1.0.127', '10.1.0.128-10.1.0.254'])
  })
})
