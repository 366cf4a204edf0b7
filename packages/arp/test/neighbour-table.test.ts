import { type Frame, FramePool, VirtualClock } from '@l2l3/switch-core'
import { describe, expect, it } from 'vitest'
import { NeighbourTable } from '../src/index.ts'
import {
  ALL,
  ANN,
  arp,
  BEN,
  data,
  EVE,
  Interface,
  icmp6,
  isAt,
  mac,
  na,
  ns,
  O,
  R,
  S,
  solicitedNode,
  US,
  whoHas,
  ZERO,
} from './lab.ts'

/** RFC 4861, 7.3 on a virtual clock, for ARP and ND alike. Dice show 0.5: reachable time is 30 s. */

const ask4 = whoHas(US, '10.0.0.1', '10.0.0.10')
const ask6 = ns(US, 'fe80::1', 'fe80::a')

describe.each([
  {
    family: 'ARP',
    ip: '10.0.0.10',
    question: ask4,
    alone: arp(ANN, US, 1, US, '10.0.0.1', ZERO, '10.0.0.10'),
    answer: isAt(US, '10.0.0.1', ANN, '10.0.0.10'),
  },
  {
    family: 'ND',
    ip: 'fe80::a',
    question: ask6,
    alone: ask6.replace(`${solicitedNode('fe80::a').mac}${US}`, `${ANN}${US}`),
    answer: na(US, ANN, 'fe80::a', 'fe80::1', 'fe80::a', S | O, ANN),
  },
])('a neighbour by $family', ({ family, ip, question, alone, answer }) => {
  // A unicast solicitation has the target itself as its destination, so it is known by its Ethernet addresses here.
  const isAlone = (f: string | undefined): boolean =>
    family === 'ARP' ? f === alone : (f ?? '').startsWith(`${ANN}${US}86dd`)

  it('is asked for once, the frames wait, and the answer sends them in order', () => {
    const eth0 = new Interface()
    expect(eth0.to(ip, '01')).toEqual([question])
    expect(eth0.state(ip)).toBe('incomplete')
    expect(eth0.to(ip, '02')).toEqual([])
    expect(eth0.table.get(ip)?.waiting).toBe(2)
    expect(eth0.send(answer)).toEqual([data(ANN, '01'), data(ANN, '02')])
    expect(eth0.state(ip)).toBe(`reachable ${ANN}`)
    expect(eth0.to(ip, '03')).toEqual([data(ANN, '03')])
    expect(eth0.drops).toEqual({ Consumed: 1 })
  })

  it('has failed after three questions a second apart, and is asked for again by the next frame', () => {
    const eth0 = new Interface()
    const asked = [...eth0.to(ip, '01'), ...eth0.wait(0.9)]
    expect(asked).toEqual([question])
    expect(eth0.wait(0.2)).toEqual([question])
    expect(eth0.wait(1)).toEqual([question])
    expect(eth0.failures).toEqual([])
    expect(eth0.wait(1)).toEqual([])
    expect(eth0.failures).toEqual([data('000000000000', '01')])
    expect(eth0.state(ip)).toBe('failed')
    expect(eth0.to(ip, '02')).toEqual([question])
    expect(eth0.send(answer)).toEqual([data(ANN, '02')])
  })

  it('grows stale unused, is used, given 5 s, asked alone three times, and has failed', () => {
    const eth0 = new Interface()
    eth0.to(ip)
    eth0.send(answer)
    eth0.wait(29.8)
    expect(eth0.state(ip)).toBe(`reachable ${ANN}`)
    eth0.wait(0.3)
    expect(eth0.state(ip)).toBe(`stale ${ANN}`)
    expect(eth0.to(ip, '02')).toEqual([data(ANN, '02')])
    expect(eth0.state(ip)).toBe(`delay ${ANN}`)
    expect(eth0.wait(4.9)).toEqual([])
    const first = eth0.wait(0.2)
    expect(first.map(isAlone)).toEqual([true])
    expect(eth0.state(ip)).toBe(`probe ${ANN}`)
    // Still used while it is asked.
    expect(eth0.to(ip, '03')).toEqual([data(ANN, '03')])
    expect(eth0.wait(2.1).map(isAlone)).toEqual([true, true])
    expect(eth0.wait(1)).toEqual([])
    expect(eth0.state(ip)).toBe('failed')
  })

  it('is reachable again when it answers a question to it alone', () => {
    const eth0 = new Interface()
    eth0.to(ip)
    eth0.send(answer)
    eth0.wait(31)
    eth0.to(ip)
    eth0.wait(5.1)
    expect(eth0.state(ip)).toBe(`probe ${ANN}`)
    eth0.send(answer)
    expect(eth0.state(ip)).toBe(`reachable ${ANN}`)
    expect(eth0.wait(5)).toEqual([])
  })

  it('is not asked where TCP says that it is there', () => {
    const eth0 = new Interface()
    eth0.to(ip)
    eth0.send(answer)
    eth0.wait(31)
    eth0.to(ip)
    eth0.wait(3)
    if (family === 'ARP') eth0.table.confirm4(0x0a00000a)
    else eth0.table.confirm6(Buffer.from('fe80000000000000000000000000000a', 'hex'), 0)
    expect(eth0.state(ip)).toBe(`reachable ${ANN}`)
    expect(eth0.wait(10)).toEqual([])
  })

  it('is not taken to be reachable for longer, where nobody looks at the timers either', () => {
    const eth0 = new Interface()
    eth0.to(ip)
    eth0.send(answer)
    eth0.clock.advance(30.05e9)
    const f = eth0.pool.alloc() as Frame
    eth0.pool.len[f] = 60
    const bytes = Buffer.from('fe80000000000000000000000000000a', 'hex')
    expect(family === 'ARP' ? eth0.table.resolve4(f, 0x0a00000a) : eth0.table.resolve6(f, bytes, 0)).toBe(true)
    expect(eth0.state(ip)).toBe(`delay ${ANN}`)
  })

  it('is forgotten a minute after it was last used', () => {
    const eth0 = new Interface()
    eth0.to(ip)
    eth0.send(answer)
    eth0.wait(31)
    eth0.wait(58)
    expect(eth0.state(ip)).toBe(`stale ${ANN}`)
    eth0.wait(1.2)
    expect(eth0.state(ip)).toBe('none')
    expect(eth0.table.size).toBe(0)
  })

  it('that is permanent is neither asked for, nor aged, nor moved by what others say', () => {
    const eth0 = new Interface()
    eth0.to(ip, '01')
    eth0.table.add(ip, mac(BEN))
    eth0.loop.settle()
    expect(eth0.heard()).toEqual([data(BEN, '01')])
    eth0.send(answer)
    eth0.wait(200, 1000)
    expect(eth0.state(ip)).toBe(`permanent ${BEN}`)
    expect(eth0.to(ip, '02')).toEqual([data(BEN, '02')])
    expect(eth0.table.remove(ip)).toBe(true)
    expect(eth0.table.remove(ip)).toBe(false)
  })

  it('is not made by an answer that nobody waits for', () => {
    const eth0 = new Interface()
    expect(eth0.send(answer)).toEqual([])
    expect(eth0.table.size).toBe(0)
  })
})

describe('RFC 826, packet reception', () => {
  it('makes an entry of who asks for us, and answers him alone', () => {
    const eth0 = new Interface()
    expect(eth0.send(whoHas(ANN, '10.0.0.10', '10.0.0.1'))).toEqual([isAt(ANN, '10.0.0.10', US, '10.0.0.1')])
    expect(eth0.state('10.0.0.10')).toBe(`stale ${ANN}`)
    expect(eth0.drops).toEqual({ Consumed: 1 })
  })

  it('takes a frame padded to 60 bytes, and answers with 42', () => {
    const eth0 = new Interface()
    const padded = whoHas(ANN, '10.0.0.10', '10.0.0.1') + '00'.repeat(18)
    expect(eth0.send(padded)).toEqual([isAt(ANN, '10.0.0.10', US, '10.0.0.1')])
  })

  it('makes no entry of who asks for another, lets the question through, but updates one that is there', () => {
    const eth0 = new Interface()
    const question = whoHas(ANN, '10.0.0.10', '10.0.0.99')
    expect(eth0.send(question)).toEqual([])
    expect(eth0.through.take()).toEqual([question])
    expect(eth0.table.size).toBe(0)
    eth0.send(whoHas(ANN, '10.0.0.10', '10.0.0.1'))
    eth0.wait(2)
    eth0.send(whoHas(BEN, '10.0.0.10', '10.0.0.99'))
    expect(eth0.state('10.0.0.10')).toBe(`stale ${BEN}`)
  })

  it('lets the first of two answers within a second stand, an announcement excepted', () => {
    const eth0 = new Interface()
    eth0.to('10.0.0.10')
    eth0.send(isAt(US, '10.0.0.1', ANN, '10.0.0.10'))
    eth0.send(isAt(US, '10.0.0.1', EVE, '10.0.0.10'))
    expect(eth0.state('10.0.0.10')).toBe(`reachable ${ANN}`)
    eth0.send(whoHas(BEN, '10.0.0.10', '10.0.0.10'))
    expect(eth0.state('10.0.0.10')).toBe(`stale ${BEN}`)
    eth0.wait(1)
    eth0.send(isAt(US, '10.0.0.1', ANN, '10.0.0.10'))
    expect(eth0.state('10.0.0.10')).toBe(`reachable ${ANN}`)
  })

  it('takes an answer for an announcement only where it names its sender as the target, as Linux does', () => {
    const eth0 = new Interface()
    eth0.to('10.0.0.10')
    eth0.send(isAt(US, '10.0.0.1', ANN, '10.0.0.10'))
    // Within the second in which the first answer stands: tpa is spa, tha is somebody.
    eth0.send(arp(US, EVE, 2, EVE, '10.0.0.10', US, '10.0.0.10'))
    expect(eth0.state('10.0.0.10')).toBe(`reachable ${ANN}`)
    eth0.send(arp(ALL, BEN, 2, BEN, '10.0.0.10', BEN, '10.0.0.10'))
    expect(eth0.state('10.0.0.10')).toBe(`stale ${BEN}`)
  })

  it('believes an answer that is broadcast, as behind an Azure bridge', () => {
    const eth0 = new Interface()
    eth0.to('10.0.0.10', '07')
    const answer = arp(ALL, ANN, 2, ANN, '10.0.0.10', BEN, '10.0.0.1')
    expect(eth0.send(answer)).toEqual([data(ANN, '07')])
    expect(eth0.state('10.0.0.10')).toBe(`reachable ${ANN}`)
  })

  it('sends what waited when who is asked for asks us first, and checks him 5 s later', () => {
    const eth0 = new Interface()
    eth0.to('10.0.0.10', '07')
    const out = eth0.send(whoHas(ANN, '10.0.0.10', '10.0.0.1'))
    expect(out.sort()).toEqual([data(ANN, '07'), isAt(ANN, '10.0.0.10', US, '10.0.0.1')].sort())
    expect(eth0.state('10.0.0.10')).toBe(`delay ${ANN}`)
    expect(eth0.wait(5.1)).toEqual([arp(ANN, US, 1, US, '10.0.0.1', ZERO, '10.0.0.10')])
  })

  it('answers a probe with tpa 0.0.0.0 and learns nothing from it', () => {
    const eth0 = new Interface()
    expect(eth0.send(whoHas(ANN, '0.0.0.0', '10.0.0.1'))).toEqual([isAt(ANN, '0.0.0.0', US, '10.0.0.1')])
    expect(eth0.table.size).toBe(0)
  })

  it('drops senders that nobody can be, and our own echo', () => {
    const eth0 = new Interface()
    const bad = [
      whoHas(ANN, '224.0.0.1', '10.0.0.1'),
      whoHas(ANN, '255.255.255.255', '10.0.0.1'),
      whoHas(ANN, '127.0.0.1', '10.0.0.1'),
      arp(ALL, ANN, 1, ALL, '10.0.0.10', ZERO, '10.0.0.1'),
      arp(ALL, ANN, 1, ZERO, '10.0.0.10', ZERO, '10.0.0.1'),
      arp(ALL, US, 1, US, '10.0.0.10', ZERO, '10.0.0.1'),
    ]
    expect(eth0.send(...bad)).toEqual([])
    expect(eth0.drops).toEqual({ ArpFilter: 6 })
    expect(eth0.table.counters.ignored).toBe(6)
    expect(eth0.table.size).toBe(0)
  })

  it('drops ARP that is not IPv4 over Ethernet or is cut short; lets other protocols and MACs through', () => {
    const eth0 = new Interface()
    const whole = whoHas(ANN, '10.0.0.10', '10.0.0.1')
    eth0.send(whole.slice(0, 82), whole.replace('08060001', '08060006'), whole.replace('080006', '86dd06'))
    expect(eth0.drops).toEqual({ Malformed: 3 })
    const others = [
      arp(BEN, ANN, 1, ANN, '10.0.0.10', ZERO, '10.0.0.1'),
      whole.replace('0806', '810000050806'),
      data(US),
    ]
    eth0.send(...others)
    expect(eth0.through.take()).toEqual(others)
  })

  it('asks from the address whose prefix holds the next hop, or from a host address on a link without one', () => {
    const two = new Interface({ addresses: ['192.0.2.1/24', '10.0.0.1/24', 'fe80::1'] })
    expect(two.to('10.0.0.10')).toEqual([ask4])
    const link = new Interface({ addresses: [], askFrom: '192.0.2.7' })
    expect(link.to('10.244.1.5')).toEqual([whoHas(US, '192.0.2.7', '10.244.1.5')])
    link.send(isAt(US, '192.0.2.7', ANN, '10.244.1.5'))
    expect(link.state('10.244.1.5')).toBe(`reachable ${ANN}`)
  })
})

describe('RFC 4861, 7.2', () => {
  const learn = (eth0: Interface): void => {
    eth0.to('fe80::a')
    eth0.send(na(US, ANN, 'fe80::a', 'fe80::1', 'fe80::a', S | O, ANN))
  }
  const advert = (flags: number, tlla: string | null): string =>
    na(flags & S ? US : '333300000001', ANN, 'fe80::a', flags & S ? 'fe80::1' : 'ff02::1', 'fe80::a', flags, tlla)

  it('answers a solicitation with S and O, from the target, and learns the sender as stale', () => {
    const eth0 = new Interface()
    const answer = na(ANN, US, 'fe80::1', 'fe80::a', 'fe80::1', S | O, US)
    expect(eth0.send(ns(ANN, 'fe80::a', 'fe80::1'))).toEqual([answer])
    expect(eth0.state('fe80::a')).toBe(`stale ${ANN}`)
    const router = new Interface({ router: true })
    expect(router.send(ns(ANN, 'fe80::a', 'fe80::1'))).toEqual([
      na(ANN, US, 'fe80::1', 'fe80::a', 'fe80::1', R | S | O, US),
    ])
  })

  it('answers duplicate address detection to all nodes, with S clear, and learns nothing', () => {
    const eth0 = new Interface()
    const answer = na('333300000001', US, 'fe80::1', 'ff02::1', 'fe80::1', O, US)
    expect(eth0.send(ns(ANN, '::', 'fe80::1'))).toEqual([answer])
    expect(eth0.table.size).toBe(0)
  })

  it('lets solicitations for others through, and router messages', () => {
    const eth0 = new Interface()
    const rs = icmp(`85000000000000000101${ANN}`)
    eth0.send(ns(ANN, 'fe80::a', 'fe80::99'), rs)
    expect(eth0.through.take()).toEqual([ns(ANN, 'fe80::a', 'fe80::99'), rs])
    expect(eth0.table.size).toBe(0)
  })

  // 7.2.5, the entry being REACHABLE at ANN before.
  it.each([
    { flags: 'O clear, the same MAC, unsolicited', f: 0, tlla: ANN, after: `reachable ${ANN}` },
    { flags: 'O clear, another MAC: only doubt', f: 0, tlla: EVE, after: `stale ${ANN}` },
    { flags: 'S, O clear, another MAC: only doubt', f: S, tlla: EVE, after: `stale ${ANN}` },
    { flags: 'O, another MAC, unsolicited', f: O, tlla: BEN, after: `stale ${BEN}` },
    { flags: 'O and S, another MAC', f: O | S, tlla: BEN, after: `reachable ${BEN}` },
    { flags: 'O, the same MAC, unsolicited', f: O, tlla: ANN, after: `reachable ${ANN}` },
    { flags: 'no option, S', f: S, tlla: null, after: `reachable ${ANN}` },
    { flags: 'no option, unsolicited', f: O, tlla: null, after: `reachable ${ANN}` },
  ])('an advertisement with $flags', ({ f, tlla, after }) => {
    const eth0 = new Interface()
    learn(eth0)
    eth0.send(advert(f, tlla))
    expect(eth0.state('fe80::a')).toBe(after)
  })

  it('does not doubt twice: O clear with another MAC leaves what is stale alone', () => {
    const eth0 = new Interface()
    learn(eth0)
    eth0.send(advert(0, EVE), advert(S, EVE))
    expect(eth0.state('fe80::a')).toBe(`stale ${ANN}`)
  })

  it('an advertisement without a MAC is useless to an entry that is asked for; with one it completes it', () => {
    const eth0 = new Interface()
    eth0.to('fe80::a', '01')
    expect(eth0.send(advert(S, null))).toEqual([])
    expect(eth0.state('fe80::a')).toBe('incomplete')
    expect(eth0.send(advert(0, ANN))).toEqual([data(ANN, '01')])
    // The frame that waited was a use.
    expect(eth0.state('fe80::a')).toBe(`delay ${ANN}`)
  })

  it('remembers who is a router, and that he is one no more', () => {
    const eth0 = new Interface()
    learn(eth0)
    eth0.send(advert(R | O, ANN))
    expect(eth0.table.get('fe80::a')).toMatchObject({ router: true, state: 'reachable' })
    eth0.send(advert(O, ANN))
    expect(eth0.table.get('fe80::a')).toMatchObject({ router: false })
  })

  it('makes no entry of an unsolicited advertisement, and none of a failed one', () => {
    const eth0 = new Interface()
    eth0.send(advert(O, ANN))
    expect(eth0.table.size).toBe(0)
    eth0.to('fe80::a')
    eth0.wait(3.2)
    eth0.send(advert(O, ANN))
    expect(eth0.state('fe80::a')).toBe('failed')
  })

  it.each([
    { what: 'hop limit 254', frame: ns(ANN, 'fe80::a', 'fe80::1').replace('3aff', '3afe') },
    { what: 'a wrong checksum', frame: flip(ns(ANN, 'fe80::a', 'fe80::1'), 56) },
    { what: 'code 1', frame: icmp(`8701000000000000${'fe80'.padEnd(31, '0')}1`) },
    { what: 'a multicast target', frame: icmp(`8700000000000000${'ff02'.padEnd(31, '0')}1`) },
    { what: 'an option of length 0', frame: icmp(`8700000000000000${'fe80'.padEnd(31, '0')}10100${ANN}`) },
    { what: 'an option that does not fit', frame: icmp(`8700000000000000${'fe80'.padEnd(31, '0')}10102${ANN}`) },
    { what: 'a group MAC in its option', frame: icmp(`8700000000000000${'fe80'.padEnd(31, '0')}10101${ALL}`) },
    { what: 'too few bytes', frame: icmp(`8700000000000000${'fe80'.padEnd(24, '0')}`) },
    {
      what: '::, to the address itself',
      frame: icmp(`8700000000000000${'fe80'.padEnd(31, '0')}1`, '::'),
    },
    { what: 'S, to all', frame: na('333300000001', ANN, 'fe80::a', 'ff02::1', 'fe80::a', S | O, ANN) },
  ])('drops a message with $what', ({ frame }) => {
    const eth0 = new Interface()
    expect(eth0.send(frame)).toEqual([])
    expect(eth0.through.take()).toEqual([])
    expect(eth0.drops).toEqual({ Malformed: 1 })
  })

  it('cannot touch IPv4: ::ffff:10.0.0.10 is another neighbour than 10.0.0.10', () => {
    const eth0 = new Interface()
    eth0.to('10.0.0.10')
    eth0.send(isAt(US, '10.0.0.1', ANN, '10.0.0.10'))
    eth0.send(ns(EVE, '0:0:0:0:0:ffff:a00:a', 'fe80::1'))
    eth0.send(na(US, EVE, 'fe80::e', 'fe80::1', '0:0:0:0:0:ffff:a00:a', S | O, EVE))
    expect(eth0.state('10.0.0.10')).toBe(`reachable ${ANN}`)
  })

  it('asks nobody without an address to be answered to', () => {
    const eth0 = new Interface({ addresses: ['10.0.0.1/24'] })
    expect(eth0.to('fe80::a')).toEqual([])
    eth0.wait(3.2)
    expect(eth0.failures.length).toBe(1)
  })
})

describe('groups', () => {
  it('have MACs without being asked for (RFC 1112, 6.4; RFC 2464, 7)', () => {
    const eth0 = new Interface()
    expect(eth0.to('224.129.2.3')).toEqual([data('01005e010203')])
    expect(eth0.to('255.255.255.255')).toEqual([data(ALL)])
    expect(eth0.to('ff02::1:ff12:3456')).toEqual([data('3333ff123456')])
    expect(eth0.table.size).toBe(0)
  })
})

describe('bounds', () => {
  it('of a queue: the oldest makes room, by name', () => {
    const eth0 = new Interface({ queuePerNeighbour: 3 })
    for (const tag of ['01', '02', '03', '04', '05']) eth0.to('10.0.0.10', tag)
    expect(eth0.drops).toEqual({ NeighbourQueueFull: 2 })
    expect(eth0.table.counters).toMatchObject({ queued: 5, queueDrops: 2 })
    const out = eth0.send(isAt(US, '10.0.0.1', ANN, '10.0.0.10'))
    expect(out).toEqual([data(ANN, '03'), data(ANN, '04'), data(ANN, '05')])
  })

  it('of all queues: the oldest of all makes room', () => {
    const eth0 = new Interface({ queuePerNeighbour: 3, queueTotal: 4 })
    eth0.to('10.0.0.10', '01')
    eth0.to('10.0.0.11', '02')
    for (const [i, tag] of ['03', '04', '05'].entries()) eth0.to(`10.0.0.${12 + i}`, tag)
    expect(eth0.table.waiting).toBe(4)
    expect(eth0.send(isAt(US, '10.0.0.1', ANN, '10.0.0.10'))).toEqual([])
    expect(eth0.send(isAt(US, '10.0.0.1', BEN, '10.0.0.11'))).toEqual([data(BEN, '02')])
    expect(eth0.drops.NeighbourQueueFull).toBe(1)
  })

  it('of the table: who floods questions cannot put out neighbours in use', () => {
    const eth0 = new Interface({ maxEntries: 8 })
    eth0.to('10.0.0.10')
    eth0.send(isAt(US, '10.0.0.1', ANN, '10.0.0.10'))
    for (let i = 0; i < 200; i++) {
      eth0.send(whoHas(`0200${(0x1000 + i).toString(16)}0000`, `10.0.0.${20 + (i % 200)}`, '10.0.0.1'))
    }
    expect(eth0.table.size).toBe(8)
    expect(eth0.state('10.0.0.10')).toBe(`reachable ${ANN}`)
    expect(eth0.table.counters).toMatchObject({ created: 201, evicted: 193, refused: 0 })
  })

  it('of the table: where all neighbours are in use, a message makes no entry', () => {
    const eth0 = new Interface({ maxEntries: 2 })
    for (const ip of ['10.0.0.10', '10.0.0.11']) {
      eth0.to(ip)
      eth0.send(isAt(US, '10.0.0.1', ANN, ip))
    }
    eth0.send(whoHas(BEN, '10.0.0.20', '10.0.0.1'))
    expect(eth0.state('10.0.0.20')).toBe('none')
    expect(eth0.table.counters).toMatchObject({ created: 2, evicted: 0, refused: 1 })
    // Nor does a message put out what a frame waits for.
    eth0.table.remove('10.0.0.11')
    eth0.to('10.0.0.12')
    eth0.send(whoHas(BEN, '10.0.0.20', '10.0.0.1'))
    expect(eth0.state('10.0.0.12')).toBe('incomplete')
    expect(eth0.table.waiting).toBe(1)
  })

  it('of the table: a scan of addresses that nobody has puts out its own, and a full house is said to be full', () => {
    const eth0 = new Interface({ maxEntries: 8 })
    for (let i = 0; i < 100; i++) eth0.to(`10.0.0.${100 + i}`)
    expect(eth0.table.size).toBe(8)
    expect(eth0.drops).toEqual({ NeighbourTableFull: 92 })
    eth0.table.flush()
    expect(eth0.failures.length).toBe(8)
    for (let i = 0; i < 8; i++) eth0.table.add(`10.0.0.${10 + i}`, mac(ANN))
    eth0.to('10.0.0.50')
    expect(eth0.drops.NeighbourTableFull).toBe(93)
    expect(eth0.table.counters.refused).toBe(1)
    expect(() => eth0.table.add('10.0.0.60', mac(ANN))).toThrow(/10\.0\.0\.60.*full/)
  })

  it('of a tick: what is due at once is dealt with in several, a thousand and some at a time, and none is left', () => {
    const pool = new FramePool({ frames: 8192 })
    const clock = new VirtualClock()
    const asked: string[] = []
    const table = new NeighbourTable(pool, clock, {
      mac: mac(US),
      addresses: ['10.0.0.1/8'],
      maxEntries: 4096,
      queueTotal: 4096,
      out: {
        push: (f) => {
          asked.push(pool.view(f).toString('hex'))
          pool.sent(f)
        },
      },
      client: { resolved: (f) => pool.sent(f), failed: (f) => pool.sent(f) },
    })
    for (let i = 0; i < 3000; i++) table.resolve4(pool.alloc() as Frame, 0x0a010000 + i)
    pool.ledger.originate(3000)
    expect(asked.length).toBe(3000)
    const later: string[] = []
    for (const questions of [1024, 1024, 952, 0]) {
      asked.length = 0
      clock.advance(later.length === 0 ? 1.1e9 : 1e6)
      table.tick(clock.now)
      expect(asked.length).toBe(questions)
      later.push(...asked)
    }
    expect(new Set(later).size).toBe(3000)
    table.flush()
    expect(pool.report()).toMatchObject({ balanced: true, held: 0 })
  })

  it('of a client that asks again from within `failed` and `resolved`', () => {
    const eth0 = new Interface({ maxEntries: 2, queuePerNeighbour: 4 })
    let again = 0
    eth0.table.client = {
      resolved: (f) => eth0.out.push(f),
      // An ICMP error to the next hop that failed, or to another: the rows in hand may be used again for it.
      failed: (f) => {
        if (again++ < 12) eth0.table.resolve4(f, 0x0a00000a + (again % 5))
        else eth0.pool.drop(f, 17)
      },
    }
    for (const tag of ['01', '02', '03', '04']) eth0.to('10.0.0.10', tag)
    eth0.wait(40)
    expect(again).toBeGreaterThanOrEqual(4)
    expect(eth0.table.waiting).toBe(0)
    expect(eth0.pool.report()).toMatchObject({ balanced: true, held: 0 })
  })
})

describe('looking at it', () => {
  it('lists, and tells of changes', () => {
    const eth0 = new Interface()
    const told: string[] = []
    const stop = eth0.table.watch((change, n) => told.push(`${change} ${n.address} ${n.state} ${n.mac}`))
    eth0.to('10.0.0.10')
    eth0.send(isAt(US, '10.0.0.1', ANN, '10.0.0.10'))
    eth0.send(whoHas(BEN, '10.0.0.10', '10.0.0.10'))
    eth0.table.remove('10.0.0.10')
    expect(told).toEqual([
      'added 10.0.0.10 incomplete null',
      `updated 10.0.0.10 reachable ${mac(ANN)}`,
      `updated 10.0.0.10 stale ${mac(BEN)}`,
      `removed 10.0.0.10 stale ${mac(BEN)}`,
    ])
    stop()
    eth0.table.add('fe80::b', mac(BEN))
    expect([...eth0.table.list()]).toEqual([
      { address: 'fe80::b', mac: mac(BEN), state: 'permanent', router: false, waiting: 0 },
    ])
    expect(told.length).toBe(4)
  })

  it('takes a watcher off that throws, counts it, and goes on, with or without somebody to tell', () => {
    const eth0 = new Interface()
    const errors: unknown[] = []
    const told: string[] = []
    const bad = (): void => {
      throw new Error('not today')
    }
    // An error that nobody takes would end the run.
    eth0.table.watch(bad)
    eth0.table.watch((change) => told.push(change))
    expect(eth0.to('10.0.0.10')).toEqual([ask4])
    eth0.table.onWatcherError = (error) => {
      errors.push(error)
      throw new Error('nor to tell')
    }
    eth0.table.watch(bad)
    eth0.send(isAt(US, '10.0.0.1', ANN, '10.0.0.10'))
    eth0.table.remove('10.0.0.10')
    expect(told).toEqual(['added', 'updated', 'removed'])
    expect(errors.map(String)).toEqual(['Error: not today'])
    expect(eth0.table.counters.watchersLost).toBe(2)
  })

  it.each([
    [{ mac: '01:00:00:00:00:01' }, /mac "01:00:00:00:00:01"/],
    [{ maxEntries: 0 }, /maxEntries.*not 0/],
    [{ retransMs: 1.5 }, /retransMs.*1\.5/],
    [{ queueTotal: 1e9 }, /queueTotal/],
    [{ addresses: ['10.0.0.1/33'] }, /address.*10\.0\.0\.1\/33/],
    [{ addresses: ['224.0.0.1'] }, /224\.0\.0\.1.*one host/],
    [{ addresses: ['10.0.0.1', '10.0.0.1/8'] }, /there already/],
    [{ askFrom: 'fe80::1' }, /askFrom/],
    [{ defence: 'maybe' as never }, /defence.*maybe/],
    [{ maxEntrys: 5 } as object, /unknown key "maxEntrys"/],
    [{ router: 'no' as never }, /router.*"no"/],
    [{ addresses: ['10.0.0.0/24'] }, /10\.0\.0\.0\/24.*subnet/],
    [{ addresses: ['10.0.0.255/24'] }, /10\.0\.0\.255\/24.*subnet/],
    [{ addresses: ['9.255.255.255/6'] }, null],
    [{ addresses: ['10.0.0.0/31', '10.0.0.3/31'] }, null],
  ])('refuses %o, or takes what only looks odd', (options, message) => {
    const make = (): Interface => new Interface(options)
    if (message === null) make()
    else expect(make).toThrow(message)
  })
})

/** A solicitation body to fe80::1 itself, from fe80::a. */
function icmp(body: string, from = 'fe80::a'): string {
  return icmp6(US, ANN, from, 'fe80::1', body)
}

/** Inverts a bit of the byte at `at`. */
function flip(frame: string, at: number): string {
  const b = Buffer.from(frame, 'hex')
  b[at] = b[at]! ^ 1
  return b.toString('hex')
}
