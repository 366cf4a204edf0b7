/**
 * What a stranger may send: it is counted by name, costs bounded memory, and whoever speaks already goes on speaking.
 */
import { createHash } from 'node:crypto'
import { ipv4, parseIpv4 } from '@l2l3/switch-core/wire'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Addresses6, type SourcePolicy } from '../src/index.ts'
import { bytesOf, hexOf, kernel } from './awkward.ts'
import { ANN, BEN, cut, EVE, type Fate, icmpError, isRight, NatLab, NODE, packet, SRV, tcp, udp } from './nat-lab.ts'

const SYN = 2
const ACK = 16

/** The packet that came out, which must have. */
function bytes(fate: Fate): Uint8Array {
  if (fate === null || typeof fate === 'string') expect.fail(`a packet should have come out, but: ${fate}`)
  return fate
}
const port = (b: Uint8Array, o: number): number => ((b[20 + o] as number) << 8) | (b[21 + o] as number)
const sport = (b: Uint8Array): number => port(b, 0)
const dport = (b: Uint8Array): number => port(b, 2)
const source = (b: Uint8Array): number => ipv4.src(b, 0)
const destination = (b: Uint8Array): number => ipv4.dst(b, 0)

/** Opens a connection of TCP from ANN to SRV:80. */
function connect(lab: NatLab, from = 5000): void {
  bytes(lab.out(tcp(ANN, from, SRV, 80, SYN)))
  bytes(lab.in(tcp(SRV, 80, NODE, from, SYN | ACK)))
  bytes(lab.out(tcp(ANN, from, SRV, 80, ACK)))
}

/** Expects that a connection, or exchange of datagrams, still crosses both ways. */
function goesOn(lab: NatLab, what: 'tcp' | 'udp', from = 5000): void {
  const out = bytes(lab.out(what === 'tcp' ? tcp(ANN, from, SRV, 80, ACK) : udp(ANN, from, SRV, 53)))
  expect([source(out), sport(out), isRight(out)]).toEqual([parseIpv4(NODE), from, true])
  const back = bytes(lab.in(what === 'tcp' ? tcp(SRV, 80, NODE, from, ACK) : udp(SRV, 53, NODE, from)))
  expect([destination(back), dport(back), isRight(back)]).toEqual([parseIpv4(ANN), from, true])
}

/** Chooses as a source what Linux chose for the packet that came out. */
function asLinux(opened: string): SourcePolicy {
  const after = bytesOf(opened)
  const v6 = (after[0] as number) >>> 4 === 6
  return {
    decide: (flow) => {
      // A query's port is its identifier. In IPv6, destination options or a fragment header may be in front.
      flow.toAddress = v6 ? flow.addresses.intern(after, 8) : source(after)
      const l4 = v6 ? ([44, 60].includes(after[6] as number) ? 48 : 40) : ((after[0] as number) & 15) * 4
      const at = l4 + ((flow.tuple.kind & 0x1c00) !== 0 ? 4 : 0)
      flow.toPort = ((after[at] as number) << 8) | (after[at + 1] as number)
      return true
    },
  }
}

/** The port mapping of the recorded cases that come from without. */
const mapped: NonNullable<ConstructorParameters<typeof NatLab>[0]> = {
  destination: [
    {
      decide: (flow) => {
        if (flow.tuple.dstPort !== 5353) return false
        flow.toAddress = flow.tuple.isIpv6
          ? flow.addresses.intern(bytesOf('fd00002200000000000000000000000b'), 0)
          : (parseIpv4(ANN) as number)
        flow.toPort = 53
        return true
      },
    },
  ],
}

describe('ICMP errors', () => {
  it.each(kernel.errors)('go through as with Linux: $name', ({ from, opening, error }) => {
    const lab =
      from === 'in' ? new NatLab({}, {}, asLinux(opening[1])) : new NatLab(mapped, {}, { decide: () => false })
    const [there, back] = from === 'in' ? [lab.inside, lab.outside] : [lab.outside, lab.inside]
    expect(hexOf(bytes(lab.cross(there, opening[0])))).toBe(opening[1])
    const fate = lab.cross(back, error[0])
    if (error[1] === null) expect(fate).toBe('InvalidState')
    else expect(hexOf(bytes(fate))).toBe(error[1])
  })

  const about = udp(NODE, 5000, SRV, 53)
  const changed = (change: (b: Uint8Array) => void): Uint8Array => {
    const b = about.slice()
    change(b)
    ipv4.fillChecksum(b, 0)
    return b
  }
  const forged: [string, string, Uint8Array][] = [
    ['about no flow', 'InvalidState', icmpError(SRV, NODE, 3, 3, udp(NODE, 5001, SRV, 53))],
    ['about no flow of that protocol', 'InvalidState', icmpError(SRV, NODE, 3, 3, tcp(NODE, 5000, SRV, 53, SYN))],
    [
      'that quotes a packet of the other direction',
      'InvalidState',
      icmpError(SRV, NODE, 3, 3, udp(SRV, 53, NODE, 5000)),
    ],
    ['that quotes what only the inside knows', 'InvalidState', icmpError(SRV, ANN, 3, 3, udp(ANN, 5000, SRV, 53))],
    ['to another than who sent the quoted packet', 'InvalidState', icmpError(SRV, BEN, 3, 3, about)],
    ['with half of the ports', 'InvalidState', icmpError(SRV, NODE, 3, 3, about, 22)],
    ['with half an IP header', 'InvalidState', icmpError(SRV, NODE, 3, 3, about, 11)],
    ['with nothing', 'InvalidState', icmpError(SRV, NODE, 3, 3, about, 0)],
    [
      'about a later fragment',
      'InvalidState',
      icmpError(
        SRV,
        NODE,
        3,
        3,
        changed((b) => void (b[7] = 3)),
      ),
    ],
    ['about an ICMP error', 'InvalidState', icmpError(SRV, NODE, 3, 3, icmpError(NODE, SRV, 3, 3, about))],
    [
      'with a wrong quoted header checksum',
      'BadChecksum',
      icmpError(
        SRV,
        NODE,
        3,
        3,
        Uint8Array.from(about, (v, i) => (i === 8 ? 9 : v)),
      ),
    ],
    [
      'with a wrong checksum',
      'BadChecksum',
      Uint8Array.from(icmpError(SRV, NODE, 3, 3, about), (v, i) => (i === 22 ? v ^ 1 : v)),
    ],
  ]
  it.each(forged)('that are forged end here: one %s', (_, why, error) => {
    // Also those to the node itself are none of ours here: without `own` nobody else could have them.
    const lab = new NatLab({ own: { is4: () => false, is6: () => false } })
    bytes(lab.out(udp(ANN, 5000, SRV, 53)))
    const before = JSON.stringify([...lab.nat.flows()])
    expect(lab.in(error)).toBe(why)
    expect(JSON.stringify([...lab.nat.flows()])).toBe(before)
    expect(lab.pool.report().dropped).toMatchObject({ [why]: 1 })
    goesOn(lab, 'udp')
  })

  it('neither renew nor end a flow (RFC 5508, REQ-4 and 5)', () => {
    const lab = new NatLab()
    bytes(lab.out(udp(ANN, 5000, SRV, 53)))
    for (let i = 0; i < 3; i++) {
      lab.wait(9)
      bytes(lab.in(icmpError(SRV, NODE, 3, 3, about)))
    }
    expect(lab.nat.conntrack.size).toBe(1)
    lab.wait(4)
    // The flow is over, and the error the node's own.
    expect(destination(bytes(lab.in(icmpError(SRV, NODE, 3, 3, about))))).toBe(parseIpv4(NODE))
    expect([...lab.nat.flows()]).toEqual([])
  })

  it('by the thousand cost nothing that stays', () => {
    const lab = new NatLab({ own: { is4: () => false, is6: () => false } })
    connect(lab)
    for (let i = 0; i < 5000; i++)
      expect(lab.in(icmpError(EVE, NODE, 3, i & 3, udp(NODE, i, SRV, i)))).toBe('InvalidState')
    expect(lab.nat.conntrack.size).toBe(1)
    expect(lab.pool.held()).toBe(0)
    goesOn(lab, 'tcp')
  })
})

describe('TCP flags', () => {
  it('begin a flow with Linux or not at all: all 256', () => {
    const began: number[] = []
    for (let flags = 0; flags < 256; flags++) {
      const lab = new NatLab({ maxFlows: 16 })
      const fate = lab.out(tcp(ANN, 5000, SRV, 80, flags))
      if (typeof fate === 'string') expect(fate).toBe('InvalidState')
      else {
        expect(source(bytes(fate))).toBe(parseIpv4(NODE))
        began.push(flags)
      }
    }
    expect(began).toEqual(kernel.firstSegments)
  })

  it('that cannot be do nothing to a connection: all of them, both ways', () => {
    const lab = new NatLab()
    connect(lab)
    let refused = 0
    for (let flags = 0; flags < 256; flags++) {
      const plain = flags & 0x37
      if ([2, 0x22, 0x12, 4, 0x14, 0x11, 0x31, 0x10, 0x30].includes(plain)) continue
      expect(lab.out(tcp(ANN, 5000, SRV, 80, flags))).toBe('InvalidState')
      expect(lab.in(tcp(SRV, 80, NODE, 5000, flags))).toBe('InvalidState')
      refused += 2
    }
    expect(lab.pool.report().dropped).toMatchObject({ InvalidState: refused })
    goesOn(lab, 'tcp')
    expect([...lab.nat.flows()].map((f) => f.state)).toEqual(['ESTABLISHED'])
  })

  it('of a header that is not whole end the segment, not the connection', () => {
    const lab = new NatLab()
    connect(lab)
    for (const offset of [0, 4, 0x60, 0xf0]) {
      const segment = tcp(SRV, 80, NODE, 5000, ACK)
      segment[32] = offset
      expect(lab.in(segment)).toMatch(/^(InvalidState|Malformed)$/)
    }
    for (const n of [0, 7, 8, 19]) {
      const short = packet(SRV, NODE, 6, tcp(SRV, 80, NODE, 5000, ACK).slice(20, 20 + n), -1)
      expect(lab.in(short)).toMatch(/^(InvalidState|Malformed)$/)
    }
    goesOn(lab, 'tcp')
  })

  it('of a reset by a stranger do not keep the two from going on', () => {
    const lab = new NatLab()
    connect(lab)
    lab.in(tcp(SRV, 80, NODE, 5000, 4, 0xdead))
    goesOn(lab, 'tcp')
    lab.wait(8)
    goesOn(lab, 'tcp')
  })
})

describe('checksum errors', () => {
  it('of TCP, UDP and ICMP stay what they were: no wrong packet is made right', () => {
    const lab = new NatLab()
    for (const [whole, field] of [
      [udp(ANN, 5000, SRV, 53), 26],
      [tcp(ANN, 5000, SRV, 80, SYN), 36],
      [packet(ANN, SRV, 1, bytesOf('0800 0000 1234 0001 6869'), 2), 22],
    ] as const) {
      const wrong = whole.slice()
      wrong[field] = (wrong[field] as number) ^ 0x40
      expect(isRight(bytes(lab.out(wrong)))).toBe(false)
      expect(isRight(bytes(lab.out(whole)))).toBe(true)
    }
  })

  it('are not made by a UDP checksum of zero', () => {
    const lab = new NatLab()
    const none = udp(ANN, 5000, SRV, 53)
    none[26] = none[27] = 0
    const out = bytes(lab.out(none))
    expect([out[26], out[27]]).toEqual([0, 0])
  })
})

describe('fragments', () => {
  const datagram = (from: string, n: number): Uint8Array => udp(from, 5000, SRV, 53, 'x'.repeat(n))

  it.each(kernel.fragments.filter((c) => c.name !== 'overlap'))(
    'go through as with Linux: $name',
    ({ from, sent, came }) => {
      const first = came.find((hex) => (hex.startsWith('6') ? /^.{84}000[01]/ : /^.{12}20?00/).test(hex)) as string
      const lab = from === 'in' ? new NatLab({}, {}, asLinux(first)) : new NatLab(mapped, {}, { decide: () => false })
      const fates = sent.map((hex) => lab.cross(from === 'in' ? lab.inside : lab.outside, hex))
      const went = [...fates, ...lab.later].filter((fate) => fate instanceof Uint8Array).map(hexOf)
      // When it cuts IPv6 again, Linux takes an identification of its own.
      const essence = (hex: string): string => (hex.startsWith('6') ? hex.slice(0, 88) + hex.slice(96) : hex)
      const digest = (hex: string): string => createHash('md5').update(essence(hex)).digest('hex')
      expect(went.map(digest).sort()).toEqual(came.map(digest).sort())
    },
  )

  it('that are tiny or overlap are dropped, and the connection goes on', () => {
    const lab = new NatLab()
    connect(lab)
    const [head, tail] = cut(tcp(ANN, 5000, SRV, 80, SYN), 8, 1)
    expect([lab.out(head), lab.out(tail)]).toEqual(['FragmentOverlap', 'FragmentOverlap'])
    const [first, second] = cut(datagram(ANN, 1000), 504, 2)
    const [, over] = cut(datagram(ANN, 1000), 496, 2)
    bytes(lab.out(first))
    expect([lab.out(over), lab.out(second)]).toEqual(['FragmentOverlap', 'FragmentOverlap'])
    expect(lab.pool.report().dropped).toMatchObject({ FragmentOverlap: 4 })
    goesOn(lab, 'tcp')
  })

  it('are translated in either order, with ports that only the first has', () => {
    for (const reverse of [false, true]) {
      const lab = new NatLab()
      bytes(lab.out(udp(BEN, 5000, SRV, 53)))
      const whole = datagram(ANN, 1000)
      const pieces = cut(whole, 504, 3)
      const fates = (reverse ? [pieces[1], pieces[0]] : pieces).map((p) => lab.out(p))
      if (reverse) expect(fates[0]).toBe(null)
      const [a, b] = reverse ? [fates[1], lab.later[0]] : fates
      const first = bytes(a as Fate)
      const second = bytes(b as Fate)
      expect([source(first), source(second)]).toEqual([parseIpv4(NODE), parseIpv4(NODE)])
      expect(sport(first)).not.toBe(5000)
      // Put together they are the datagram, its checksum right.
      const together = new Uint8Array(whole.length)
      together.set(first)
      together.set(second.subarray(20), first.length)
      together[2] = whole[2] as number
      together[3] = whole[3] as number
      together[6] = 0
      ipv4.fillChecksum(together, 0)
      expect(isRight(together)).toBe(true)
      expect(lab.pool.held()).toBe(0)
    }
  })

  it('without a first, 10,000 of them, stay within limits, and those of flows go on', () => {
    const lab = new NatLab()
    const pieces = Array.from({ length: 10 }, (_, i) => cut(datagram(ANN, 1000), 504, 40_000 + i))
    for (const [first] of pieces) bytes(lab.out(first))
    const [, orphan] = cut(datagram(EVE, 1000), 504, 0)
    for (let id = 0; id < 10_000; id++) {
      orphan[4] = id >>> 8
      orphan[5] = id & 255
      ipv4.fillChecksum(orphan, 0)
      expect(lab.in(orphan)).toBe(null)
    }
    expect(lab.nat.fragments.held).toBeLessThanOrEqual(64)
    expect(lab.pool.report().dropped).toMatchObject({ FragmentQueueFull: 10_000 - lab.nat.fragments.held })
    for (const [, second] of pieces) expect(source(bytes(lab.out(second)))).toBe(parseIpv4(NODE))
    expect(lab.nat.conntrack.size).toBe(1)
    lab.wait(3)
    expect(lab.nat.fragments.held).toBe(0)
    expect(lab.pool.held()).toBe(0)
  })

  it('of a packet that may not pass do not pass', () => {
    const lab = new NatLab({ own: { is4: () => false, is6: () => false } }, { portRange: '5000-5000' })
    bytes(lab.out(udp(BEN, 5000, SRV, 53)))
    const [first, second] = cut(datagram(ANN, 1000), 504, 3)
    expect(lab.out(second)).toBe(null)
    expect(lab.out(first)).toBe('NatPortsSpent')
    expect(lab.out(second)).toBe('NatPortsSpent')
    expect(lab.pool.report().dropped).toMatchObject({ NatPortsSpent: 3 })
  })
})

describe('exhaustion', () => {
  it('of a pool of ports refuses new endpoints by name; who has a port keeps it, and time gives them back', () => {
    const lab = new NatLab({}, { mapping: 'endpoint-independent', portRange: '5000-5009' })
    for (let i = 0; i < 10; i++) bytes(lab.out(udp(ANN, 5000 + i, SRV, 53)))
    for (let i = 0; i < 1000; i++) expect(lab.out(udp(BEN, 7000 + (i % 100), SRV, 53))).toBe('NatPortsSpent')
    expect(lab.nat.conntrack.size).toBe(10)
    for (let i = 0; i < 10; i++) goesOn(lab, 'udp', 5000 + i)
    expect(lab.pool.report().dropped).toMatchObject({ NatPortsSpent: 1000 })
    lab.wait(200)
    bytes(lab.out(udp(BEN, 7000, SRV, 53)))
  })

  it('of the table refuses new flows by name, and those in it go on', () => {
    const lab = new NatLab({ maxFlows: 64 })
    connect(lab)
    let refused = 0
    for (let i = 0; i < 1000; i++) {
      const fate = lab.out(udp(BEN, 1024 + i, SRV, 53))
      if (typeof fate === 'string') {
        expect(fate).toBe('ConntrackFull')
        refused++
      }
    }
    expect(refused).toBe(1000 - 63)
    expect(lab.nat.conntrack.size).toBe(64)
    expect(lab.nat.conntrack.counters.refused).toBe(refused)
    expect(lab.pool.report().dropped).toMatchObject({ ConntrackFull: refused })
    goesOn(lab, 'tcp')
    // The ports of refused flows are not in use.
    expect(lab.source.used).toBe(64)
    lab.wait(31)
    bytes(lab.out(udp(BEN, 9999, SRV, 53)))
    goesOn(lab, 'tcp')
  })

  it('of the table, where the idlest make room, spares connections that are open', () => {
    const lab = new NatLab({ maxFlows: 64, whenFull: 'evict' })
    for (let i = 0; i < 8; i++) connect(lab, 5000 + i)
    for (let i = 0; i < 1000; i++) bytes(lab.out(tcp(BEN, 1024 + i, SRV, 81, SYN)))
    expect(lab.nat.conntrack.size).toBe(64)
    expect(lab.nat.conntrack.counters.evicted).toBe(1000 - 56)
    for (let i = 0; i < 8; i++) goesOn(lab, 'tcp', 5000 + i)
    expect(lab.source.used).toBe(64)
  })

  it('of IPv6 addresses refuses new flows, and gives back what it had taken', () => {
    const lab = new NatLab({ addresses: new Addresses6({ max: 16 }) }, {}, { decide: () => false })
    const six = (i: number): Uint8Array => {
      const b = bytesOf(
        '60000000 0009 11 40 fd00002200000000000000000000000b 20010db8000000000000000000000000 1388 0035 0009 1234 78',
      )
      b[39] = i
      return b
    }
    const fates = Array.from({ length: 100 }, (_, i) => lab.out(six(i)))
    expect(fates.filter((f) => typeof f === 'string').length).toBe(100 - 15)
    expect(new Set(fates.filter((f) => typeof f === 'string'))).toEqual(new Set(['ConntrackFull']))
    lab.wait(31)
    expect(lab.nat.addresses.size).toBe(0)
    bytes(lab.out(six(99)))
  })

  it('of the frame pool, by fragments that wait, leaves room for others', () => {
    const lab = new NatLab({}, {}, undefined, 32)
    const [, second] = cut(udp(ANN, 1, SRV, 2, 'x'.repeat(100)), 56, 1)
    for (let id = 0; id < 100; id++) {
      second[5] = id
      ipv4.fillChecksum(second, 0)
      lab.out(second)
    }
    expect(lab.pool.spare).toBe(24)
    connect(lab)
  })
})

describe('any bytes', () => {
  it('are dropped or go on, and nobody else suffers', () => {
    const seeds = [
      udp(ANN, 6000, SRV, 53),
      udp(SRV, 53, NODE, 5000),
      tcp(ANN, 6001, SRV, 80, SYN),
      tcp(SRV, 81, NODE, 5000, ACK),
      icmpError(SRV, NODE, 3, 3, udp(NODE, 5000, SRV, 53)),
      packet(ANN, SRV, 1, bytesOf('0800 0000 1234 0001 6869'), 2),
      ...cut(udp(ANN, 6000, SRV, 53, 'x'.repeat(60)), 16, 4),
      ...kernel.errors.flatMap((c) => [...c.opening, c.error[0]].map(bytesOf)),
    ]
    const lab = new NatLab({ maxFlows: 256, addresses: new Addresses6({ max: 64 }) })
    connect(lab)
    bytes(lab.out(udp(ANN, 5000, SRV, 53)))
    const names = new Set<string>()
    fc.assert(
      fc.property(
        fc.constantFrom(...seeds),
        fc.array(fc.tuple(fc.nat(80), fc.nat(255)), { maxLength: 4 }),
        fc.nat(80),
        fc.boolean(),
        (seed, changes, short, outward) => {
          const b = seed.slice()
          for (const [o, v] of changes) if (o < b.length) b[o] = v
          // Not the connection that is to go on: its own packets may well end it.
          if (b[9] === 6 && [sport(b), dport(b)].includes(5000)) return
          const cutOff = b.slice(0, Math.max(34, b.length - short))
          const fate = outward ? lab.out(cutOff) : lab.in(cutOff)
          if (typeof fate === 'string') names.add(fate)
          if (fate instanceof Uint8Array) expect(fate.length).toBe(cutOff.length)
          expect(lab.nat.conntrack.size).toBeLessThanOrEqual(256)
          expect(lab.nat.addresses.size).toBeLessThanOrEqual(64)
        },
      ),
      { numRuns: 5000 },
    )
    goesOn(lab, 'tcp')
    expect([...names]).toEqual(expect.arrayContaining(['Malformed', 'InvalidState', 'BadChecksum']))
    // Time cleans up all that they left behind.
    for (let i = 0; i < 5; i++) {
      lab.wait(100)
      goesOn(lab, 'tcp')
    }
    expect(lab.pool.held()).toBe(0)
    lab.wait(1e6)
    expect([...lab.nat.flows()]).toEqual([])
    expect(lab.source.used).toBe(0)
    expect(lab.nat.addresses.size).toBe(0)
  })
})
