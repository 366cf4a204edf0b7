/**
 * Multicast groups of an interface, message by message: frames are bytes written out here, with sums of their own. What a
 * real switch makes of them is in packages/tap-io/test/memberships.test.ts.
 */
import { MILLISECOND, SECOND } from '@l2l3/switch-core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type MembershipOptions, Memberships } from '../src/index.ts'
import { BEN, Bench, hex4, hex6, icmp6, mac, US } from './lab.ts'

/** The one's complement of the sum of a hex string's words. */
function sum16(body: string): string {
  let sum = (body.match(/..../g) as string[]).reduce((s, w) => s + Number.parseInt(w, 16), 0)
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000)
  return (~sum & 0xffff).toString(16).padStart(4, '0')
}

/** An IGMP message with router alert; `body` has a zero checksum. */
function igmp(to: string, src: string, from: string, dst: string, body: string): string {
  const length = (24 + body.length / 2).toString(16).padStart(4, '0')
  const header = (sum: string): string => `4600${length}000000000102${sum}${hex4(from)}${hex4(dst)}94040000`
  const message = `${body.slice(0, 4)}${sum16(body)}${body.slice(8)}`
  return `${to}${src}0800${header(sum16(header('0000')))}${message}`
}

/** An MLD message behind a hop-by-hop header with router alert. */
function mld(to: string, src: string, from: string, dst: string, body: string): string {
  const plain = icmp6(to, src, from, dst, body, '01')
  const length = (8 + body.length / 2).toString(16).padStart(4, '0')
  return `${plain.slice(0, 36)}${length}00${plain.slice(42, 108)}3a00050200000100${plain.slice(108)}`
}

const GROUP = '239.1.1.1'
const GROUP6 = 'ff05::100'
const report4 = (group = GROUP, groupMac = '01005e010101', type = '16'): string =>
  igmp(groupMac, US, '10.0.0.1', group, `${type}000000${hex4(group)}`)
const leave4 = igmp('01005e000002', US, '10.0.0.1', '224.0.0.2', `17000000${hex4(GROUP)}`)
const report6 = (group = GROUP6, groupMac = '333300000100'): string =>
  mld(groupMac, US, 'fe80::1', group, `8300000000000000${hex6(group)}`)
const done6 = mld('333300000002', US, 'fe80::1', 'ff02::2', `8400000000000000${hex6(GROUP6)}`)

/** Queries from Ben, who asks in tenths of a second, or in milliseconds. */
const query4 = (response = '64', group = '0.0.0.0', more = ''): string => {
  const all = group === '0.0.0.0'
  return igmp(
    all ? '01005e000001' : '01005e010101',
    BEN,
    '10.0.0.9',
    all ? '224.0.0.1' : group,
    `11${response}0000${hex4(group)}${more}`,
  )
}
const query6 = (response = '2710', group = '::', more = '', from = 'fe80::b'): string =>
  mld('333300000001', BEN, from, 'ff02::1', `82000000${response}0000${hex6(group)}${more}`)

class Desk extends Bench {
  readonly memberships: Memberships
  constructor(options: Partial<MembershipOptions> = {}) {
    super()
    this.memberships = new Memberships(this.pool, this.clock, {
      ...{ mac: mac(US), out: this.out, addresses: ['10.0.0.1/24', 'fd00::1/64', 'fe80::1/64'], random: () => 0.5 },
      ...options,
    })
    this.attach(this.memberships.input)
    this.loop.every(100 * MILLISECOND, this.memberships)
  }
}

describe('joining', () => {
  it('is said at once, and once again', () => {
    const desk = new Desk()
    desk.memberships.join(GROUP)
    desk.memberships.join(GROUP6)
    expect(desk.wait(0.2)).toEqual([report4(), report6()])
    // Half of ten seconds later; then nothing more.
    expect(desk.wait(4.5)).toEqual([])
    expect(desk.wait(1)).toEqual([report4(), report6()])
    expect(desk.wait(60)).toEqual([])
    expect(desk.memberships.groups).toEqual([GROUP, GROUP6])
  })

  it('twice is one membership, left twice', () => {
    const desk = new Desk()
    desk.memberships.join(GROUP)
    desk.memberships.join(GROUP)
    expect(desk.wait(20)).toEqual([report4(), report4()])
    expect(desk.memberships.leave(GROUP)).toBe(true)
    expect(desk.wait(1)).toEqual([])
    expect(desk.memberships.leave(GROUP)).toBe(true)
    expect(desk.wait(1)).toEqual([leave4])
    expect(desk.memberships.leave(GROUP)).toBe(false)
  })

  it('of the solicited-node group of an address', () => {
    const desk = new Desk()
    desk.memberships.joinSolicitedNode('fd00::12:3456/64')
    desk.memberships.joinSolicitedNode('10.0.0.1/24')
    expect(desk.memberships.groups).toEqual(['ff02::1:ff12:3456'])
    expect(desk.wait(0.2)).toEqual([report6('ff02::1:ff12:3456', '3333ff123456')])
  })

  it('is not said of groups that all are in', () => {
    const desk = new Desk()
    for (const group of ['224.0.0.1', 'ff02::1', 'ff01::5']) desk.memberships.join(group)
    expect(desk.wait(20)).toEqual([])
    desk.memberships.close()
    expect(desk.wait(1)).toEqual([])
  })

  it('comes from the unspecified address where there is none', () => {
    const desk = new Desk({ addresses: [] })
    desk.memberships.join(GROUP)
    expect(desk.wait(0.2)).toEqual([igmp('01005e010101', US, '0.0.0.0', GROUP, `16000000${hex4(GROUP)}`)])
  })

  it('refuses what is no group', () => {
    const { memberships } = new Desk()
    for (const bad of ['10.0.0.1', 'fe80::1', '239.1.1.1/32', 'x']) {
      expect(() => memberships.join(bad)).toThrow(TypeError)
    }
    expect(() => new Desk({ mac: '01:00:00:00:00:01' })).toThrow('mac')
  })
})

/** A desk in both groups that has said so. */
function member(options: Partial<MembershipOptions> = {}): Desk {
  const desk = new Desk(options)
  desk.memberships.join(GROUP)
  desk.memberships.join(GROUP6)
  desk.wait(60)
  return desk
}

describe('a query', () => {
  const V3 = '02 7d 0000'.replaceAll(' ', '')
  it.each([
    ['of IGMPv2 about all groups', query4(), 5, report4()],
    ['of IGMPv2 about ours', query4('0a', GROUP), 0.5, report4()],
    ['of IGMPv3 about all groups', query4('64', '0.0.0.0', V3), 5, report4()],
    // 0x8f is 31 << 3: 248 tenths of a second.
    ['of IGMPv3 with a long time', query4('8f', '0.0.0.0', V3), 12.4, report4()],
    ['of MLDv1 about all groups', query6(), 5, report6()],
    ['of MLDv1 about ours', query6('03e8', GROUP6), 0.5, report6()],
    ['of MLDv2 about all groups', query6('2710', '::', V3), 5, report6()],
    // 0x8000 is 0x1000 << 3: 32,768 ms.
    ['of MLDv2 with a long time', query6('8000', '::', V3), 16.384, report6()],
  ])('%s is answered within its time', (_, query, seconds, report) => {
    const desk = member()
    expect(desk.send(query)).toEqual([])
    expect(desk.wait(seconds - 0.2)).toEqual([])
    expect(desk.wait(0.4)).toEqual([report])
    expect(desk.wait(60)).toEqual([])
    expect(desk.drops.Consumed).toBe(1)
  })

  it('about another group is not', () => {
    const desk = member()
    desk.send(query4('0a', '239.1.1.2'), query6('03e8', 'ff05::101'))
    expect(desk.wait(60)).toEqual([])
  })

  it('brings forward an answer that is due, and never puts one off', () => {
    const desk = member()
    desk.send(query4('64'))
    desk.wait(1)
    // Four seconds are left: half a second is sooner.
    desk.send(query4('0a', GROUP))
    expect(desk.wait(0.7)).toEqual([report4()])
    desk.send(query4('0a'))
    desk.send(query4('64'))
    expect(desk.wait(0.7)).toEqual([report4()])
    expect(desk.wait(60)).toEqual([])
  })

  it('of IGMPv1 is answered in version 1, for 400 seconds', () => {
    const desk = member()
    desk.send(query4('00'))
    expect(desk.wait(10)).toEqual([report4(GROUP, '01005e010101', '12')])
    desk.send(query4('0a'))
    expect(desk.wait(2)).toEqual([report4(GROUP, '01005e010101', '12')])
    desk.clock.advance(400 * SECOND)
    desk.send(query4('0a'))
    expect(desk.wait(2)).toEqual([report4()])
  })

  it.each([
    ['a wrong checksum', query4().replace('1164', '1165')],
    ['an IGMP message of a length between the versions', query4('64', '0.0.0.0', '0000')],
    ['a source that is not of this link', query6('2710', '::', '', 'fd00::b')],
    ['a wrong checksum', query6().replace(/2710/, '2711')],
    ['a hop limit other than 1', query6().replace('0001fe80', '0002fe80')],
    ['no router alert', query6().replace('3a00050200000100', '3a00010400000000')],
  ])('with %s is dropped', (_, query) => {
    const desk = member()
    desk.send(query)
    expect(desk.wait(60)).toEqual([])
    expect(desk.drops).toEqual({ Malformed: 1 })
    expect(desk.memberships.counters.malformed).toBe(1)
  })
})

it('says at the end that it leaves', () => {
  const desk = member()
  desk.memberships.close()
  expect(desk.wait(60)).toEqual([leave4, done6])
  desk.send(query4('0a'))
  expect(desk.wait(60)).toEqual([])
})

it('hosts differ in when they answer', () => {
  const when = (tail: string): number => {
    const desk = new Desk({ random: undefined as never, mac: mac(`0200000000${tail}`) })
    desk.memberships.join(GROUP)
    desk.wait(60)
    desk.send(query4('64'))
    for (let tenths = 0; ; tenths++) if (desk.wait(0.1).length > 0 || tenths > 200) return tenths
  }
  const times = ['01', '02', '03', '04'].map(when)
  expect(new Set(times).size).toBeGreaterThan(2)
  expect(Math.max(...times)).toBeLessThanOrEqual(100)
})

it('everything else goes on as it is: data, reports of others, whatever bytes', () => {
  const desk = member()
  const others = [
    igmp('01005e010101', BEN, '10.0.0.9', GROUP, `16000000${hex4(GROUP)}`),
    mld('333300000100', BEN, 'fe80::b', GROUP6, `8300000000000000${hex6(GROUP6)}`),
    `${US}${BEN}0800${'45'.padEnd(60, '0')}`,
  ]
  desk.send(...others)
  expect(desk.through.take()).toEqual(others)
  const seeds = [query4(), query4('8f', GROUP, '027d0000'), query6(), query6('8000', GROUP6, '027d0000')].map((h) =>
    Buffer.from(h, 'hex'),
  )
  const pokes = fc.array(fc.tuple(fc.nat(110), fc.nat(255)), { maxLength: 6 })
  fc.assert(
    fc.property(fc.constantFrom(...seeds), pokes, fc.nat(120), (seed, changes, cut) => {
      const bytes = Buffer.from(seed.subarray(0, Math.max(1, cut)))
      for (const [i, value] of changes) if (i < bytes.length) bytes[i] = value
      const before = desk.memberships.counters
      desk.send(bytes.toString('hex'))
      const passed = desk.through.take()
      const { queries, malformed } = desk.memberships.counters
      // Through, untouched; or counted.
      expect(passed.length + (queries - before.queries) + (malformed - before.malformed)).toBe(1)
      if (passed.length === 1) expect(passed[0]).toBe(bytes.toString('hex'))
      expect(desk.wait(1).length).toBeLessThanOrEqual(2)
    }),
    { numRuns: 2000 },
  )
  // Whatever was asked, a membership is one report: it has grown by nothing.
  expect(desk.memberships.groups.length).toBe(2)
})
