import fc from 'fast-check'
import { expect, test } from 'vitest'
import { arp, classifier, classify, Depth, describe, ipv4, ipv6, Layers, tcp, u16, udp } from '../../src/wire/index.ts'
import { hex } from './hex.ts'

const ETH = '02000000000b 02000000000a'
const IP4 = '0a000001 0a000002'
const IP6 = `${'00'.repeat(15)}0a ${'00'.repeat(15)}0b`

/** Frames, how far they are whole, what else is known, and the line for people. */
const FRAMES: [string, number, Partial<Layers>, string][] = [
  ['02000000000b02', Depth.Runt, { l3: -1 }, 'runt of 7 bytes'],
  [
    `ffffffffffff 02000000000a 0806 0001 0800 06 04 0001 02000000000a 0a000001 000000000000 0a000002`,
    Depth.Network,
    { etherType: 0x806, l3: 14, end: 42, protocol: -1 },
    '02:00:00:00:00:0a > ff:ff:ff:ff:ff:ff, ARP who-has 10.0.0.2 tell 10.0.0.1',
  ],
  [
    `${ETH} 0806 0001 0800 06 04 0002 02000000000a 0a000001 02000000000b 0a000002 ${'00'.repeat(18)}`,
    Depth.Network,
    { end: 42 },
    '02:00:00:00:00:0a > 02:00:00:00:00:0b, ARP 10.0.0.1 is-at 02:00:00:00:00:0a',
  ],
  [
    `${ETH} 0806 0006 0800 06 04 0002 02000000000a 0a000001 02000000000b 0a000002`,
    Depth.Link,
    { etherType: 0x806, protocol: -1 },
    '02:00:00:00:00:0a > 02:00:00:00:00:0b, ARP cut short or not for IPv4 over Ethernet',
  ],
  [
    `${ETH} 0800 4500001d 54b64000 4011 9ff6 0a16000b cb007102 1392 270f 0009 0717 78 ${'00'.repeat(17)}`,
    Depth.Transport,
    { etherType: 0x800, tags: 0, tci: -1, l3: 14, end: 43, protocol: 17, fragment: false, l4: 34, payload: 42 },
    '02:00:00:00:00:0a > 02:00:00:00:00:0b, IPv4 10.22.0.11:5010 > 203.0.113.2:9999 UDP length 1',
  ],
  [
    `${ETH} 88a8 00c8 8100 a064 0800 4500002c 00000000 4006 66ca ${IP4} 1388 0050 00000001 00000000 6002 ffff 0000 0000 020405b4`,
    Depth.Transport,
    { etherType: 0x800, tags: 2, tci: 200, l3: 22, end: 66, protocol: 6, l4: 42, payload: 66 },
    '02:00:00:00:00:0a > 02:00:00:00:00:0b, svlan 200, vlan 100 pcp 5, IPv4 10.0.0.1:5000 > 10.0.0.2:80 ' +
      'TCP [S] seq 1 win 65535 mss 1460 length 0',
  ],
  [
    `${ETH} 8100 2001 88a8 0002 8100 0003 0800 45000014`,
    Depth.Link,
    { etherType: 0x8100, tags: 2, tci: 0x2001, l3: 22 },
    '02:00:00:00:00:0a > 02:00:00:00:00:0b, vlan 1 pcp 1, svlan 2, ethertype 0x8100 length 8',
  ],
  [
    `${ETH} 8100 2001 8100 00`,
    Depth.Runt,
    { l3: -1, tags: 1, tci: 0x2001 },
    '02:00:00:00:00:0a > 02:00:00:00:00:0b, vlan 1 pcp 1, tag cut short',
  ],
  [
    `${ETH} 0800 4500001c 000020b9 4011 8627 ${IP4} 4e20 0009 0028 1106`,
    Depth.Network,
    { protocol: 17, fragment: true, l4: 34, payload: -1 },
    '02:00:00:00:00:0a > 02:00:00:00:00:0b, IPv4 10.0.0.1 > 10.0.0.2 UDP length 8 fragment 0@1480+ (bad header checksum)',
  ],
  [
    `${ETH} 0800 4500001c 00002000 4011 46cf ${IP4} 4e20 0009 0fa8 1106`,
    Depth.Transport,
    { protocol: 17, fragment: true, l4: 34, payload: 42 },
    '02:00:00:00:00:0a > 02:00:00:00:00:0b, IPv4 10.0.0.1:20000 > 10.0.0.2:9 UDP length 4000 fragment 0@0+',
  ],
  [
    `${ETH} 0800 4500001c 00000000 4011 66cf ${IP4} 4e20 0009 0fa8 1106`,
    Depth.Network,
    { protocol: 17, fragment: false, l4: 34, payload: -1 },
    '02:00:00:00:00:0a > 02:00:00:00:00:0b, IPv4 10.0.0.1 > 10.0.0.2 UDP cut short or malformed, length 8',
  ],
  [
    `${ETH} 0800 4500001b 00000000 4001 0000 ${IP4}`,
    Depth.Link,
    { etherType: 0x800, l3: 14, l4: -1, protocol: -1 },
    '02:00:00:00:00:0a > 02:00:00:00:00:0b, IPv4 cut short or malformed',
  ],
  [
    `${ETH} 0800 4500001c 00000000 4001 66df ${IP4} 0800 0000 1234 0001`,
    Depth.Transport,
    { protocol: 1, l4: 34, payload: 42 },
    '02:00:00:00:00:0a > 02:00:00:00:00:0b, IPv4 10.0.0.1 > 10.0.0.2 ICMP echo request id 4660 seq 1 length 8',
  ],
  [
    `${ETH} 0800 45000038 00000000 4001 66c3 ${IP4} 0304 0000 0000 05aa ${'00'.repeat(28)}`,
    Depth.Transport,
    { protocol: 1 },
    '02:00:00:00:00:0a > 02:00:00:00:00:0b, IPv4 10.0.0.1 > 10.0.0.2 ICMP fragmentation needed, mtu 1450 length 36',
  ],
  [
    `${ETH} 86dd 60000000 0020 3aff ${IP6} 8700 0000 00000000 ${'00'.repeat(15)}0b 0101 02000000000a`,
    Depth.Transport,
    { etherType: 0x86dd, l3: 14, end: 86, protocol: 58, l4: 54, payload: 62 },
    '02:00:00:00:00:0a > 02:00:00:00:00:0b, IPv6 ::a > ::b ICMPv6 neighbor solicitation, who-has ::b length 32',
  ],
  [
    `${ETH} 86dd 60000000 0020 3aff ${IP6} 8800 0000 60000000 ${'00'.repeat(15)}0a 0201 02000000000a`,
    Depth.Transport,
    {},
    '02:00:00:00:00:0a > 02:00:00:00:00:0b, IPv6 ::a > ::b ICMPv6 neighbor advertisement, ::a is-at ' +
      '02:00:00:00:00:0a (solicited, override) length 32',
  ],
  [
    `${ETH} 86dd 60000000 0018 0040 ${IP6} 2c00 010400000000 1100 0001 12345678 1388 1b58 0100 0000`,
    Depth.Transport,
    { protocol: 17, fragment: true, l4: 70, payload: 78 },
    '02:00:00:00:00:0a > 02:00:00:00:00:0b, IPv6 [::a]:5000 > [::b]:7000 UDP length 248 fragment',
  ],
  [
    `${ETH} 86dd 60000000 0008 3b40 ${IP6} ${'00'.repeat(8)}`,
    Depth.Network,
    { protocol: 59, l4: 54 },
    '02:00:00:00:00:0a > 02:00:00:00:00:0b, IPv6 ::a > ::b no next header length 8',
  ],
  [
    `0180c2000000 02000000000a 0026 424203`,
    Depth.Link,
    { etherType: 0x26 },
    '02:00:00:00:00:0a > 01:80:c2:00:00:00, 802.3 length 38',
  ],
]

test('frames, how far they are whole, and what they are in words', () => {
  const at = new Layers()
  for (const [text, depth, fields, line] of FRAMES) {
    const b = hex(text)
    expect(classify(b, 0, b.length, at), line).toBe(depth)
    expect(at, line).toMatchObject(fields)
    expect(describe(b)).toBe(line)
  }
})

/** What `classify` is to find, put together from the codecs one by one, with no thought of speed. */
function model(b: Uint8Array): [number, Partial<Layers>] {
  if (b.length < 14) return [Depth.Runt, {}]
  let l3 = 14
  for (let tags = 0; tags < 2 && [0x8100, 0x88a8].includes(u16(b, l3 - 2)); tags++) {
    l3 += 4
    if (l3 > b.length) return [Depth.Runt, {}]
  }
  const etherType = u16(b, l3 - 2)
  if (etherType === 0x0806) return [arp.check(b, l3, b.length) ? Depth.Network : Depth.Link, { l3, etherType }]
  let l4: number
  let end: number
  let protocol: number
  let first: boolean
  let part: boolean
  if (etherType === 0x0800) {
    l4 = ipv4.check(b, l3, b.length)
    if (l4 === -1) return [Depth.Link, { l3, etherType }]
    end = l3 + ipv4.totalLength(b, l3)
    protocol = ipv4.protocol(b, l3)
    first = ipv4.fragmentOffset(b, l3) === 0
    part = ipv4.isFragment(b, l3)
  } else if (etherType === 0x86dd) {
    const found = new ipv6.Upper()
    if (ipv6.check(b, l3, b.length) === -1) return [Depth.Link, { l3, etherType }]
    end = l3 + 40 + ipv6.payloadLength(b, l3)
    if (!ipv6.upper(b, l3, end, found)) return [Depth.Link, { l3, etherType }]
    ;({ protocol, offset: l4 } = found)
    first = found.fragmentOffset === 0
    part = !first || found.more
  } else return [Depth.Link, { l3, etherType }]
  const fields = { l3, etherType, l4, end, protocol, fragment: part }
  let payload = -1
  if (first) {
    if (protocol === 6) payload = tcp.check(b, l4, end)
    else if (protocol === 17) {
      if (part) payload = end - l4 >= 8 && udp.length(b, l4) >= 8 ? l4 + 8 : -1
      else payload = udp.check(b, l4, end)
    } else if (protocol === (etherType === 0x0800 ? 1 : 58) && end - l4 >= 8) payload = l4 + 8
  }
  return [payload === -1 ? Depth.Network : Depth.Transport, { ...fields, payload }]
}

test('classify and classifiers agree with the codecs for frames with random changes, cut anywhere', () => {
  const at = new Layers()
  const atToo = new Layers()
  const frame = fc.constantFrom(...FRAMES.map(([text]) => hex(text)))
  const depths = new Set<number>()
  fc.assert(
    fc.property(
      frame,
      fc.array(fc.tuple(fc.nat(70), fc.oneof(fc.nat(255), fc.constantFrom(0, 4, 6, 8, 17, 0x45))), { maxLength: 3 }),
      fc.option(fc.nat(90)),
      fc.nat(40),
      (frame, pokes, cut, o) => {
        const b = frame.slice(0, cut ?? frame.length)
        for (const [i, value] of pokes) if (i < b.length) b[i] = value
        const [depth, fields] = model(b)
        depths.add(depth)
        // In the middle of other bytes, as in an arena.
        const arena = new Uint8Array(o + b.length + 50).fill(0x45)
        arena.set(b, o)
        expect(classify(arena, o, o + b.length, at)).toBe(depth)
        // A DataView would throw where it is read beyond.
        const bytes = arena.subarray(0, o + b.length)
        const data = new DataView(arena.buffer, 0, bytes.length)
        const ofRow = classifier({ bytes, data, off: Uint32Array.of(0, o), len: Uint32Array.of(0, b.length) })
        expect(ofRow(1, atToo)).toBe(depth)
        expect(atToo).toEqual(at)
        for (const key of ['l3', 'l4', 'end', 'payload'] as const) {
          const value = fields[key]
          if (value !== undefined) expect(at[key], key).toBe(value === -1 ? -1 : value + o)
        }
        for (const key of ['etherType', 'protocol', 'fragment'] as const) {
          if (fields[key] !== undefined) expect(at[key], key).toBe(fields[key])
        }
      },
    ),
    { numRuns: 5000 },
  )
  expect([...depths].sort()).toEqual([0, 2, 3, 4])
})
