import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  arp,
  eth,
  formatIpv4,
  formatIpv6,
  formatMac,
  icmpv6,
  ipv4,
  ipv6,
  parseIpv4,
  parseIpv6,
  parseMac,
  tcp,
  u16,
  udp,
} from '../../src/wire/index.ts'
import { hex, show } from './hex.ts'

/* Encode and decode from the same literal. ana and ben are hosts on one segment. */
const ANA = { mac: parseMac('02:00:00:00:00:0a'), ip: parseIpv4('10.0.0.1'), ip6: parseIpv6('fe80::a') }
const BEN = { mac: parseMac('02:00:00:00:00:0b'), ip: parseIpv4('10.0.0.2'), ip6: parseIpv6('fe80::b') }

test('a MAC is read in the three notations of the trade, and written in one', () => {
  for (const text of ['02:00:5e:10:ab:cd', '02-00-5E-10-AB-CD', '0200.5E10.ABCD']) {
    expect(formatMac(parseMac(text))).toBe('02:00:5e:10:ab:cd')
  }
  for (const text of [
    '',
    '02:00:5e:10:ab',
    '02:00:5e:10:ab:cd:ef',
    '02-00:5e:10:ab:cd',
    '0200.5e10',
    'xx:00:5e:10:ab:cd',
  ]) {
    expect(() => parseMac(text)).toThrow(JSON.stringify(text))
  }
})

test('group, broadcast, zero and reserved addresses', () => {
  const of = (text: string) => {
    const b = parseMac(text)
    return [eth.isGroup(b, 0), eth.isBroadcast(b, 0), eth.isZero(b, 0), eth.isReserved(b, 0)].map(Number).join('')
  }
  expect(of('02:00:00:00:00:0a')).toBe('0000')
  expect(of('33:33:00:00:00:01')).toBe('1000')
  expect(of('ff:ff:ff:ff:ff:ff')).toBe('1100')
  expect(of('ff:ff:ff:ff:ff:fe')).toBe('1000')
  expect(of('00:00:00:00:00:00')).toBe('0010')
  expect(of('01:80:c2:00:00:00')).toBe('1001')
  expect(of('01:80:c2:00:00:0f')).toBe('1001')
  expect(of('01:80:c2:00:00:10')).toBe('1000')
  expect(of('01:80:c2:00:01:00')).toBe('1000')
  for (let i = 0; i < 6; i++) {
    const b = ANA.mac.slice()
    ;(b[i] as number) ^= 0x10
    expect(eth.equalMac(b, 0, ANA.mac, 0)).toBe(false)
  }
  expect(eth.equalMac(hex('00 02000000000a'), 1, ANA.mac, 0)).toBe(true)
})

test('a Linux pod asks for its gateway, and a proxy answers (Calico, 169.254.1.1)', () => {
  const pod = parseMac('02:00:00:00:00:01')
  const host = parseMac('ee:ee:ee:ee:ee:ee')
  const b = new Uint8Array(42)
  const at = eth.write(b, 0, eth.BROADCAST, pod, eth.EtherType.Arp)
  arp.write(b, at, arp.Op.Request, pod, parseIpv4('10.244.1.5'), null, parseIpv4('169.254.1.1'))
  expect(show(b)).toBe('ffffffffffff020000000001080600010800060400010200000000010af40105000000000000a9fe0101')
  expect(arp.check(b, at, b.length)).toBe(true)
  expect([formatIpv4(arp.spa(b, at)), formatIpv4(arp.tpa(b, at))]).toEqual(['10.244.1.5', '169.254.1.1'])
  arp.answer(b, at, host)
  eth.write(b, 0, pod, host, eth.EtherType.Arp)
  expect(show(b)).toBe('020000000001eeeeeeeeeeee08060001080006040002eeeeeeeeeeeea9fe01010200000000010af40105')
})

test('ARP for another hardware, another protocol, other lengths, or cut short is not ARP for us', () => {
  const good = new Uint8Array(28)
  arp.write(good, 0, arp.Op.Reply, ANA.mac, ANA.ip, BEN.mac, BEN.ip)
  for (const at of [0, 1, 2, 3, 4, 5]) {
    const b = good.slice()
    ;(b[at] as number) ^= 1
    expect(arp.check(b, 0, 28)).toBe(false)
  }
  for (let n = 0; n < 28; n++) expect(arp.check(good, 0, n)).toBe(false)
})

test('an IPv4 header is written as the kernel writes it, and read back', () => {
  const b = new Uint8Array(29)
  const h = { src: 0x0a16000b, dst: 0xcb007102, protocol: 17, payload: 9, id: 0x54b6, flags: ipv4.Flag.DontFragment }
  expect(ipv4.write(b, 0, h)).toBe(20)
  expect(show(b, 0, 20)).toBe('4500001d54b6400040119ff60a16000bcb007102')
  expect(ipv4.check(b, 0, 29)).toBe(20)
  expect([ipv4.totalLength(b, 0), ipv4.id(b, 0), ipv4.ttl(b, 0), ipv4.protocol(b, 0)]).toEqual([29, 0x54b6, 64, 17])
  expect([ipv4.src(b, 0), ipv4.dst(b, 0)]).toEqual([0x0a16000b, 0xcb007102])
  expect([ipv4.dontFragment(b, 0), ipv4.moreFragments(b, 0), ipv4.isFragment(b, 0)]).toEqual([true, false, false])
  expect(ipv4.check(b, 0, 28)).toBe(-1)
})

test('IPv4 that contradicts itself gives -1: version, IHL, total length', () => {
  const good = new Uint8Array(40)
  ipv4.write(good, 0, { src: 1, dst: 2, protocol: 17, payload: 20 })
  const change = (at: number, value: number) => {
    const b = good.slice()
    b[at] = value
    return ipv4.check(b, 0, 40)
  }
  expect(ipv4.check(good, 0, 40)).toBe(20)
  expect(change(0, 0x65)).toBe(-1)
  expect(change(0, 0x44)).toBe(-1)
  expect(change(0, 0x4f)).toBe(-1)
  expect(change(0, 0x4a)).toBe(40)
  expect(change(3, 19)).toBe(-1)
  expect(change(3, 41)).toBe(-1)
  expect(change(3, 20)).toBe(20)
})

test('fragments: the second of 4,008 bytes of UDP lies at 1,480 with more to come', () => {
  const b = new Uint8Array(20)
  const h = { src: 1, dst: 2, protocol: 17, payload: 1480, flags: ipv4.Flag.MoreFragments, fragmentOffset: 1480 }
  ipv4.write(b, 0, h)
  expect(show(b, 6, 8)).toBe('20b9')
  expect([ipv4.isFragment(b, 0), ipv4.moreFragments(b, 0), ipv4.fragmentOffset(b, 0)]).toEqual([true, true, 1480])
})

test('IPv4 options: router alert behind a no-op is found, the rest ends the walk', () => {
  const b = new Uint8Array(64)
  ipv4.write(b, 0, { src: 1, dst: 2, protocol: 2, payload: 0, options: hex('01 94040000') })
  expect(ipv4.headerLength(b, 0)).toBe(28)
  expect(ipv4.checksumOk(b, 0)).toBe(true)
  expect(ipv4.option(b, 0, 0x94)).toBe(21)
  expect(ipv4.option(b, 0, 7)).toBe(-1)
  expect(ipv4.option(b, 0, 0)).toBe(25)
  b[22] = 0
  expect(ipv4.option(b, 0, 0x94)).toBe(-1)
  b[22] = 8
  expect(ipv4.option(b, 0, 0x94)).toBe(-1)
})

test('a neighbour solicitation with its checksum, from ben for ana', () => {
  const b = new Uint8Array(86)
  const ip = eth.write(b, 0, parseMac('33:33:ff:00:00:0a'), BEN.mac, eth.EtherType.IPv6)
  const dst = parseIpv6('ff02::1:ff00:a')
  const o = ipv6.write(b, ip, { src: BEN.ip6, dst, nextHeader: 58, payload: 32, hopLimit: 255 })
  expect(icmpv6.writeNs(b, o, ANA.ip6, BEN.mac)).toBe(86)
  icmpv6.fillChecksum(b, ip, o, 86)
  expect(show(b)).toBe(
    `3333ff00000a 02000000000b 86dd 60000000 0020 3a ff fe80000000000000000000000000000b
     ff0200000000000000000001ff00000a 8700 7a73 00000000 fe80000000000000000000000000000a 0101 02000000000b`.replace(
      /\s/g,
      '',
    ),
  )
  expect(icmpv6.checkNd(b, o, 86)).toBe(true)
  expect(icmpv6.option(b, o, 86, icmpv6.Option.SourceLinkLayer)).toBe(o + 24)
  expect(icmpv6.option(b, o, 86, icmpv6.Option.TargetLinkLayer)).toBe(-1)
  expect(icmpv6.checksumOk(b, ip, o, 86)).toBe(true)
  b[o + 25] = 0
  expect(icmpv6.checkNd(b, o, 86)).toBe(false)
  expect(icmpv6.option(b, o, 86, icmpv6.Option.SourceLinkLayer)).toBe(-1)
  b[o + 25] = 2
  expect(icmpv6.checkNd(b, o, 86)).toBe(false)
})

test('advertisements and solicitations of routers and neighbours keep their form', () => {
  const b = new Uint8Array(64)
  const { Router, Solicited, Override } = icmpv6.NaFlag
  expect(icmpv6.writeNa(b, 0, ANA.ip6, ANA.mac, Router | Solicited | Override)).toBe(32)
  expect(show(b, 0, 32)).toBe('88000000e0000000fe80000000000000000000000000000a020102000000000a')
  expect(icmpv6.naFlags(b, 0)).toBe(0xe0)
  expect(icmpv6.writeRs(b, 0, ANA.mac)).toBe(16)
  expect(show(b, 0, 16)).toBe('8500000000000000010102000000000a')
  // An advertisement of a router: hop limit 64, lifetime 1,800 s, MTU 1,450.
  const ra = hex('8600 0000 40 00 0708 00000000 00000000  0501 0000 000005aa')
  expect(icmpv6.checkNd(ra, 0, ra.length)).toBe(true)
  expect(icmpv6.option(ra, 0, ra.length, icmpv6.Option.Mtu)).toBe(16)
})

test('IPv6: the walk passes hop-by-hop, destination options, routing and AH, and finds UDP', () => {
  const b = hex(`60000000 002c 00 40 ${'00'.repeat(32)}
    3c 00 010400000000   2b 00 010400000000   33 00 00 00 00000000   11 01 0000 00000001 00000002
    1388 1b58 0008 0000`)
  const end = b.length
  const found = new ipv6.Upper()
  expect(ipv6.check(b, 0, end)).toBe(40)
  expect(ipv6.upper(b, 0, end, found)).toBe(true)
  expect(found).toMatchObject({ protocol: 17, offset: 76, routing: 56, fragment: -1, fragmentOffset: 0 })
  for (let n = 40; n < 76; n++) expect(ipv6.upper(b, 0, n, found)).toBe(false)
})

test('IPv6: a first fragment has an upper layer, a later one has none, ESP and "no next header" end the walk', () => {
  const found = new ipv6.Upper()
  const packet = (next: string, rest: string) => hex(`60000000 0010 ${next} 40 ${'00'.repeat(32)} ${rest}`)
  expect(ipv6.upper(packet('2c', '11 00 0001 12345678 1388 1b58 0008 0000'), 0, 56, found)).toBe(true)
  expect(found).toMatchObject({ protocol: 17, offset: 48, fragment: 40, fragmentOffset: 0, more: true })
  expect(ipv6.upper(packet('2c', '3c 00 05a8 12345678 00ff ffff ffff ffff'), 0, 56, found)).toBe(true)
  expect(found).toMatchObject({ protocol: 60, offset: 48, fragmentOffset: 1448, more: false })
  for (const [next, protocol] of [
    ['32', 50],
    ['3b', 59],
  ] as const) {
    expect(ipv6.upper(packet(next, '00'.repeat(16)), 0, 56, found)).toBe(true)
    expect(found).toMatchObject({ protocol, offset: 40 })
  }
})

test('IPv6: more extension headers than anybody sends end the walk', () => {
  const chain = (n: number) =>
    hex(`60000000 ffff 3c 40 ${'00'.repeat(32)} ${'3c00000000000000'.repeat(n)} 1100000000000000`)
  const found = new ipv6.Upper()
  const seven = chain(ipv6.MAX_HEADERS - 1)
  expect(ipv6.upper(seven, 0, seven.length, found)).toBe(true)
  expect(found.protocol).toBe(17)
  const eight = chain(ipv6.MAX_HEADERS)
  expect(ipv6.upper(eight, 0, eight.length, found)).toBe(false)
})

test('TCP options: the MSS is found behind no-ops, and not in a header cut short or with a length of zero', () => {
  const b = new Uint8Array(60)
  const options = hex('01 01 0402 0204 05b4 0303 07')
  const data = tcp.write(b, 0, { srcPort: 5000, dstPort: 80, flags: tcp.Flag.Syn, options })
  expect(data).toBe(32)
  expect(tcp.check(b, 0, 60)).toBe(32)
  expect(tcp.mss(b, 0)).toBe(1460)
  expect(tcp.mssOffset(b, 0)).toBe(26)
  expect(tcp.option(b, 0, tcp.Option.WindowScale)).toBe(28)
  expect(tcp.option(b, 0, tcp.Option.Timestamps)).toBe(-1)
  for (let n = 0; n < 32; n++) expect(tcp.check(b, 0, n)).toBe(-1)
  b[23] = 0
  expect(tcp.mss(b, 0)).toBe(-1)
  b[12] = 0x40
  expect(tcp.check(b, 0, 60)).toBe(-1)
})

test('UDP whose length is below 8 or beyond the packet gives -1', () => {
  const b = new Uint8Array(12)
  expect(udp.write(b, 0, 20000, 9, 4)).toBe(8)
  expect(show(b, 0, 8)).toBe('4e200009000c0000')
  expect(udp.check(b, 0, 12)).toBe(8)
  expect(udp.check(b, 0, 11)).toBe(-1)
  b[5] = 7
  expect(udp.check(b, 0, 12)).toBe(-1)
  b[5] = 8
  expect(udp.check(b, 0, 12)).toBe(8)
})

test('decrementing the TTL keeps the header checksum right for every TTL', () => {
  const b = new Uint8Array(20)
  for (let ttl = 255; ttl > 0; ttl--) {
    ipv4.write(b, 0, { src: 0xffffffff, dst: 0x0a000001, protocol: 6, payload: 0, ttl })
    ipv4.decrementTtl(b, 0)
    expect(ipv4.ttl(b, 0)).toBe(ttl - 1)
    const had = u16(b, 10)
    ipv4.fillChecksum(b, 0)
    expect(had).toBe(u16(b, 10))
  }
})

test('IPv4 text', () => {
  expect(formatIpv4(parseIpv4('203.0.113.255'))).toBe('203.0.113.255')
  expect(parseIpv4('255.255.255.255')).toBe(0xffffffff)
  for (const text of ['', '1.2.3', '1.2.3.4.5', '256.0.0.1', '01.2.3.4', '1.2.3.4 ', '1.2.3.-4', '0x1.2.3.4']) {
    expect(() => parseIpv4(text)).toThrow(JSON.stringify(text))
  }
})

test('IPv6 text: the examples of RFC 5952, 1 to 5', () => {
  for (const [text, canonical] of [
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:0db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:DB8:0:0:1::1', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['::ffff:192.0.2.1', '::ffff:192.0.2.1'],
    ['::', '::'],
    ['::1', '::1'],
    ['fe80::', 'fe80::'],
    ['1::2:3:4:5:6:7', '1:0:2:3:4:5:6:7'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
  ] as const) {
    expect(formatIpv6(parseIpv6(text))).toBe(canonical)
  }
  for (const text of [
    '',
    ':',
    ':::',
    '1',
    '1:2:3:4:5:6:7:8:9',
    '1::2::3',
    '::1:',
    ':1::',
    '12345::',
    '::g',
    'fe80::1%eth0',
    '::1.2.3',
    '1.2.3.4::',
    '1:2:3:4:5:6:7::8',
    '::1.2.3.4:5',
  ]) {
    expect(() => parseIpv6(text), text).toThrow(JSON.stringify(text))
  }
})

test('any address survives being written and read', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (b) => show(parseIpv6(formatIpv6(b))) === show(b)),
  )
  fc.assert(
    fc.property(
      fc.ipV6(),
      (text) => formatIpv6(parseIpv6(text)) === formatIpv6(parseIpv6(formatIpv6(parseIpv6(text)))),
    ),
  )
  fc.assert(fc.property(fc.nat(0xffffffff), (n) => parseIpv4(formatIpv4(n)) === n))
})
