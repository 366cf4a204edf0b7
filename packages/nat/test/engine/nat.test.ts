// The NAT router: whose packet is it, and what comes out?

import { Drop } from '@l2l3/switch-core'
import { checksum, ipv4, parseIpv4, tcp, u16 } from '@l2l3/switch-core/wire'
import { describe, expect, it } from 'vitest'
import type { DestinationPolicy, FlowInfo, NewFlow } from '../../src/index.ts'
import { echo, hex, INSIDE, icmpPacket, Lab, OUTSIDE, packet, rawPacket, tcpPacket, udpPacket } from './lab.ts'

/** Sends packets to one address and port on to another. */
function forward(
  from: string,
  port: number,
  to: string,
  toPort: number,
  more: Partial<NewFlow> = {},
): DestinationPolicy {
  return {
    decide(q) {
      if (q.tuple.dst !== parseIpv4(from) || (port !== 0 && q.tuple.dstPort !== port)) return false
      q.toAddress = parseIpv4(to)
      q.toPort = toPort
      Object.assign(q, more)
      return true
    },
  }
}

/** Drops and tells. */
function dropping(which: (q: NewFlow) => boolean, why: Drop): DestinationPolicy {
  return {
    decide(q) {
      if (!which(q)) return false
      q.drop = why
      q.reject = true
      return true
    },
  }
}

const mapped = (options: object = {}, ...policies: DestinationPolicy[]): Lab =>
  Lab.masquerading({ destination: policies, ...options })

describe('outbound', () => {
  it('UDP: there and back', () => {
    const lab = Lab.masquerading()
    expect(lab.say(INSIDE, udpPacket('10.22.0.11#5000 > 203.0.113.2#53'))).toEqual([
      '1: udp 203.0.113.1#5000 > 203.0.113.2#53',
    ])
    expect(lab.say(OUTSIDE, udpPacket('203.0.113.2#53 > 203.0.113.1#5000'))).toEqual([
      '0: udp 203.0.113.2#53 > 10.22.0.11#5000',
    ])
  })

  it('two hosts with the same port get different ones, of the same class', () => {
    const lab = Lab.masquerading()
    lab.say(INSIDE, udpPacket('10.22.0.11#700 > 203.0.113.2#53'))
    const [line] = lab.say(INSIDE, udpPacket('10.22.0.12#700 > 203.0.113.2#53'))
    const port = Number(/203\.0\.113\.1#(\d+) >/.exec(line as string)?.[1])
    expect(port).not.toBe(700)
    expect(port).toBeGreaterThanOrEqual(600)
    expect(port).toBeLessThan(1024)
    expect(lab.say(OUTSIDE, udpPacket(`203.0.113.2#53 > 203.0.113.1#${port}`))).toEqual([
      '0: udp 203.0.113.2#53 > 10.22.0.12#700',
    ])
  })

  it('ping: the identifier is a port', () => {
    const lab = Lab.masquerading()
    expect(lab.say(INSIDE, echo('10.22.0.11#77 > 203.0.113.2'))).toEqual(['1: icmp 8 203.0.113.1#77 > 203.0.113.2'])
    const [line] = lab.say(INSIDE, echo('10.22.0.12#77 > 203.0.113.2'))
    const id = Number(/#(\d+)/.exec(line as string)?.[1])
    expect(id).not.toBe(77)
    expect(lab.say(OUTSIDE, echo(`203.0.113.2#${id} > 203.0.113.1`, 0))).toEqual([
      `0: icmp 0 203.0.113.2#77 > 10.22.0.12`,
    ])
    expect(lab.say(OUTSIDE, echo('203.0.113.2#77 > 203.0.113.1', 0))).toEqual(['0: icmp 0 203.0.113.2#77 > 10.22.0.11'])
  })

  it('a ping from outside with the identifier of one from inside is not its answer', () => {
    const lab = Lab.masquerading()
    lab.say(INSIDE, echo('10.22.0.11#77 > 203.0.113.2'))
    expect(lab.say(OUTSIDE, echo('203.0.113.2#77 > 203.0.113.1'))).toEqual(['1: icmp 0 203.0.113.1#77 > 203.0.113.2'])
  })

  it('IPv6: UDP, TCP, ping', () => {
    const lab = Lab.masquerading()
    expect(lab.say(INSIDE, udpPacket('fd00:22::b#5000 > 2001:db8:7::2#53'))).toEqual([
      '1: udp 2001:db8:7::1#5000 > 2001:db8:7::2#53',
    ])
    expect(lab.say(OUTSIDE, udpPacket('2001:db8:7::2#53 > 2001:db8:7::1#5000'))).toEqual([
      '0: udp 2001:db8:7::2#53 > fd00:22::b#5000',
    ])
    expect(lab.say(INSIDE, tcpPacket('fd00:22::b#5000 > 2001:db8:7::2#80', 'S'))).toEqual([
      '1: tcp 2001:db8:7::1#5000 > 2001:db8:7::2#80',
    ])
    expect(lab.say(OUTSIDE, tcpPacket('2001:db8:7::2#80 > 2001:db8:7::1#5000', 'SA'))).toEqual([
      '0: tcp 2001:db8:7::2#80 > fd00:22::b#5000',
    ])
    expect(lab.say(INSIDE, echo('fd00:22::b#9 > 2001:db8:7::2'))).toEqual([
      '1: icmp 128 2001:db8:7::1#9 > 2001:db8:7::2',
    ])
    expect(lab.say(OUTSIDE, echo('2001:db8:7::2#9 > 2001:db8:7::1', 129))).toEqual([
      '0: icmp 129 2001:db8:7::2#9 > fd00:22::b',
    ])
  })

  it('a protocol without ports: by its addresses', () => {
    const lab = Lab.masquerading()
    expect(lab.say(INSIDE, rawPacket('10.22.0.11 > 203.0.113.2', 47))).toEqual(['1: 47 203.0.113.1 > 203.0.113.2'])
    expect(lab.say(OUTSIDE, rawPacket('203.0.113.2 > 203.0.113.1', 47))).toEqual(['0: 47 203.0.113.2 > 10.22.0.11'])
    // The answers of a second one could not be told from those of the first.
    expect(lab.say(INSIDE, rawPacket('10.22.0.12 > 203.0.113.2', 47))).toEqual([])
    expect(lab.drops).toEqual({ NatUnsupported: 1 })
  })

  it('SCTP: the CRC follows the port', () => {
    const lab = Lab.masquerading()
    const init = (text: string): string => {
      const [, src, sport, dst, dport] = /(.+)#(\d+) > (.+)#(\d+)/.exec(text) as unknown as string[]
      const b = hex('0000 0000 00000000 00000000 01000014 00000001 0000ffff 000a000a 00000001')
      new DataView(b.buffer).setUint16(0, Number(sport))
      new DataView(b.buffer).setUint16(2, Number(dport))
      new DataView(b.buffer).setUint32(8, crc32c(b), true)
      return Buffer.from(packet({ src: src as string, dst: dst as string }, 132, b)).toString('hex')
    }
    expect(lab.say(INSIDE, init('10.22.0.11#5000 > 203.0.113.2#80'))).toEqual([
      '1: sctp 203.0.113.1#5000 > 203.0.113.2#80',
    ])
    const [line] = lab.send(INSIDE, init('10.22.0.12#5000 > 203.0.113.2#80'))
    const out = hex((line as string).slice(3))
    expect(u16(out, 20)).not.toBe(5000)
    const sctp = out.slice(20)
    const sum = new DataView(sctp.buffer).getUint32(8, true)
    sctp.fill(0, 8, 12)
    expect(sum).toBe(crc32c(sctp))
  })

  it('leaves UDP without a checksum without one', () => {
    const lab = Lab.masquerading()
    const [line] = lab.send(INSIDE, udpPacket('10.22.0.11#5000 > 203.0.113.2#53', { nosum: true }))
    expect(u16(hex((line as string).slice(3)), 26)).toBe(0)
  })

  it('what is not translated is tracked all the same', () => {
    const lab = new Lab()
    expect(lab.say(INSIDE, udpPacket('10.22.0.11#5000 > 203.0.113.2#53'))).toEqual([
      '1: udp 10.22.0.11#5000 > 203.0.113.2#53',
    ])
    expect([...lab.nat.flows()]).toMatchObject([
      { protocol: 'udp', dnat: false, snat: false, original: { packets: 1, bytes: 29 } },
    ])
  })
})

describe('inbound', () => {
  it('a port mapping, its answers, and its source kept', () => {
    const lab = mapped({}, forward('203.0.113.1', 8080, '10.22.0.11', 80))
    expect(lab.say(OUTSIDE, tcpPacket('203.0.113.2#4000 > 203.0.113.1#8080', 'S'))).toEqual([
      '0: tcp 203.0.113.2#4000 > 10.22.0.11#80',
    ])
    expect(lab.say(INSIDE, tcpPacket('10.22.0.11#80 > 203.0.113.2#4000', 'SA'))).toEqual([
      '1: tcp 203.0.113.1#8080 > 203.0.113.2#4000',
    ])
  })

  it('hairpin: masqueraded, and back', () => {
    const lab = mapped({ masquerade: undefined }, forward('203.0.113.1', 8080, '10.22.0.11', 80, { masquerade: true }))
    expect(lab.say(INSIDE, tcpPacket('10.22.0.12#4000 > 203.0.113.1#8080', 'S'))).toEqual([
      '0: tcp 10.22.0.1#4000 > 10.22.0.11#80',
    ])
    expect(lab.say(INSIDE, tcpPacket('10.22.0.11#80 > 10.22.0.1#4000', 'SA'))).toEqual([
      '0: tcp 203.0.113.1#8080 > 10.22.0.12#4000',
    ])
    expect([...lab.nat.flows()]).toMatchObject([{ dnat: true, snat: true }])
  })

  it('hairpin with the external address as source', () => {
    const q = { masquerade: true, sourceAddress: parseIpv4('203.0.113.1') }
    const lab = mapped({ masquerade: undefined }, forward('203.0.113.1', 8080, '10.22.0.11', 80, q))
    expect(lab.say(INSIDE, udpPacket('10.22.0.12#4000 > 203.0.113.1#8080'))).toEqual([
      '0: udp 203.0.113.1#4000 > 10.22.0.11#80',
    ])
    expect(lab.say(INSIDE, udpPacket('10.22.0.11#80 > 203.0.113.1#4000'))).toEqual([
      '0: udp 203.0.113.1#8080 > 10.22.0.12#4000',
    ])
  })

  it('two ways to one server from one port: the second changes its port', () => {
    const lab = mapped(
      {},
      forward('203.0.113.1', 8080, '10.22.0.11', 80),
      forward('203.0.113.1', 8081, '10.22.0.11', 80),
    )
    lab.say(OUTSIDE, udpPacket('203.0.113.2#4000 > 203.0.113.1#8080'))
    const [line] = lab.say(OUTSIDE, udpPacket('203.0.113.2#4000 > 203.0.113.1#8081'))
    const port = Number(/203\.0\.113\.2#(\d+)/.exec(line as string)?.[1])
    expect(port).not.toBe(4000)
    expect(lab.say(INSIDE, udpPacket(`10.22.0.11#80 > 203.0.113.2#${port}`))).toEqual([
      '1: udp 203.0.113.1#8081 > 203.0.113.2#4000',
    ])
  })

  it('what nobody maps is for the node', () => {
    const lab = Lab.masquerading()
    lab.say(OUTSIDE, udpPacket('203.0.113.2#4000 > 203.0.113.1#9'))
    expect(lab.drops).toMatchObject({ NoListener: 1 })
    expect([...lab.nat.flows()]).toEqual([])
  })

  it('a filter says no', () => {
    const lab = mapped(
      {},
      dropping((q) => q.toLocal, Drop.NatFiltered),
    )
    expect(lab.say(OUTSIDE, udpPacket('203.0.113.2#4000 > 203.0.113.1#9'))).toEqual([])
    expect(lab.drops.NatFiltered).toBe(1)
  })

  it('rejections are told', () => {
    const told: number[] = []
    const lab = mapped(
      { onReject: (f: number, l3: number, side: number) => told.push(f, l3, side) },
      dropping((q) => q.tuple.dstPort === 9, Drop.NoBackend),
    )
    lab.say(INSIDE, udpPacket('10.22.0.11#4000 > 203.0.113.2#9'))
    expect(told).toMatchObject([expect.any(Number), expect.any(Number), 1])
    expect(lab.drops.NoBackend).toBe(1)
  })

  it('preserve-destination: routed by the backend, the destination kept', () => {
    const via: DestinationPolicy = {
      decide(q) {
        if (q.tuple.dst !== parseIpv4('198.51.100.10')) return false
        q.routeBy = parseIpv4('10.22.0.11')
        return true
      },
    }
    const lab = mapped({}, via)
    const there = udpPacket('203.0.113.2#4000 > 198.51.100.10#53')
    expect(lab.say(OUTSIDE, there)).toEqual(['0: udp 203.0.113.2#4000 > 198.51.100.10#53'])
    expect(lab.say(OUTSIDE, there)).toEqual(['0: udp 203.0.113.2#4000 > 198.51.100.10#53'])
    expect(lab.say(INSIDE, udpPacket('198.51.100.10#53 > 203.0.113.2#4000'))).toEqual([
      '1: udp 198.51.100.10#53 > 203.0.113.2#4000',
    ])
  })
})

describe('ICMP errors', () => {
  const quoted = (lab: Lab, inside: string): Uint8Array => hex((lab.send(INSIDE, inside)[0] as string).slice(3))

  it('come back through a masquerade from a router on the way', () => {
    const lab = Lab.masquerading()
    const q = quoted(lab, tcpPacket('10.22.0.11#5000 > 198.51.100.9#80', 'S'))
    const error = icmpPacket({ src: '203.0.113.254', dst: '203.0.113.1' }, 11, 0, 0, q.subarray(0, 28))
    expect(lab.say(OUTSIDE, error)).toEqual([
      '0: icmp 11/0 203.0.113.254 > 10.22.0.11 [tcp 10.22.0.11#5000 > 198.51.100.9#80]',
    ])
    const [flow] = [...lab.nat.flows()] as FlowInfo[]
    expect(flow).toMatchObject({ state: 'SYN_SENT', seenReply: false })
  })

  it('IPv6: packet too big', () => {
    const lab = Lab.masquerading()
    const q = quoted(lab, udpPacket('fd00:22::b#5000 > 2001:db8:9::1#53'))
    const error = icmpPacket({ src: '2001:db8:7::fe', dst: '2001:db8:7::1' }, 2, 0, 1280, q)
    expect(lab.say(OUTSIDE, error)).toEqual([
      '0: icmp 2/0 2001:db8:7::fe > fd00:22::b [udp fd00:22::b#5000 > 2001:db8:9::1#53]',
    ])
  })

  it('of the node, about a packet whose destination it had changed, show the old one', () => {
    const lab = mapped({}, forward('203.0.113.1', 8080, '10.22.0.11', 80))
    const there = 'udp 203.0.113.2#4000 > 203.0.113.1#8080'
    // The first packet of a flow that is never made, and one of a flow.
    for (const ttl of [1, 64, 1]) {
      const out = lab.say(OUTSIDE, udpPacket(there.slice(4), { ttl }))
      if (ttl === 1) expect(out).toEqual([`1: icmp 11/0 203.0.113.1 > 203.0.113.2 [${there}]`])
    }
  })

  it('of the node, about an answer, do not show who it was for', () => {
    const lab = Lab.masquerading()
    lab.send(INSIDE, udpPacket('10.22.0.11#5000 > 203.0.113.2#53'))
    expect(lab.say(OUTSIDE, udpPacket('203.0.113.2#53 > 203.0.113.1#5000', { ttl: 1 }))).toEqual([
      '1: icmp 11/0 203.0.113.1 > 203.0.113.2 [udp 203.0.113.2#53 > 203.0.113.1#5000]',
    ])
  })

  it('of the node, about a packet from inside, quote it as it was', () => {
    const lab = Lab.masquerading()
    expect(lab.say(INSIDE, udpPacket('10.22.0.11#5000 > 203.0.113.2#53', { ttl: 1 }))).toEqual([
      '0: icmp 11/0 10.22.0.1 > 10.22.0.11 [udp 10.22.0.11#5000 > 203.0.113.2#53]',
    ])
  })

  it('that are forged get nowhere', () => {
    const lab = Lab.masquerading()
    const q = quoted(lab, udpPacket('10.22.0.11#5000 > 203.0.113.2#53'))
    const other = q.slice()
    other[21] = 0x77
    ipv4.fillChecksum(other, 0)
    expect(lab.say(OUTSIDE, icmpPacket({ src: '203.0.113.9', dst: '203.0.113.1' }, 3, 3, 0, other))).toEqual([])
    // About nothing we know, for a host behind us.
    const inner = hex(udpPacket('10.22.0.11#5000 > 203.0.113.2#99'))
    expect(lab.say(OUTSIDE, icmpPacket({ src: '203.0.113.9', dst: '10.22.0.11' }, 3, 3, 0, inner))).toEqual([])
    expect(lab.drops.InvalidState).toBe(1)
    expect(lab.say(OUTSIDE, udpPacket('203.0.113.2#53 > 203.0.113.1#5000'))).toHaveLength(1)
  })
})

describe('TCP', () => {
  const client = '10.22.0.11#5000 > 203.0.113.2#80'
  const server = '203.0.113.2#80 > 203.0.113.1#5000'
  const state = (lab: Lab): (string | null)[] => [...lab.nat.flows()].map((f) => f.state)
  function open(lab: Lab): void {
    lab.send(INSIDE, tcpPacket(client, 'S'))
    lab.send(OUTSIDE, tcpPacket(server, 'SA'))
    lab.send(INSIDE, tcpPacket(client, 'A'))
    lab.send(INSIDE, tcpPacket(client, 'PA'))
  }

  it('opens, closes, and lingers', () => {
    const lab = Lab.masquerading()
    lab.send(INSIDE, tcpPacket(client, 'S'))
    expect(state(lab)).toEqual(['SYN_SENT'])
    lab.send(OUTSIDE, tcpPacket(server, 'SA'))
    expect(state(lab)).toEqual(['SYN_RECV'])
    lab.send(INSIDE, tcpPacket(client, 'A'))
    expect([...lab.nat.flows()]).toMatchObject([{ state: 'ESTABLISHED', assured: true, expiresIn: 432_000 }])
    lab.send(OUTSIDE, tcpPacket(server, 'FA'))
    expect(state(lab)).toEqual(['FIN_WAIT'])
    lab.send(INSIDE, tcpPacket(client, 'A'))
    expect(state(lab)).toEqual(['CLOSE_WAIT'])
    lab.send(INSIDE, tcpPacket(client, 'FA'))
    expect(state(lab)).toEqual(['LAST_ACK'])
    lab.send(OUTSIDE, tcpPacket(server, 'A'))
    expect([...lab.nat.flows()]).toMatchObject([{ state: 'TIME_WAIT', expiresIn: 120 }])
    lab.seconds(121)
    expect(lab.nat.conntrack.size).toBe(0)
  })

  it('a new connection takes the place of one that was closed', () => {
    const lab = Lab.masquerading()
    open(lab)
    for (const [side, text, flags] of [
      [OUTSIDE, server, 'FA'],
      [INSIDE, client, 'FA'],
      [OUTSIDE, server, 'A'],
    ] as const) {
      lab.send(side, tcpPacket(text, flags))
    }
    expect(state(lab)).toEqual(['TIME_WAIT'])
    expect(lab.say(INSIDE, tcpPacket(client, 'S'))).toEqual(['1: tcp 203.0.113.1#5000 > 203.0.113.2#80'])
    expect(state(lab)).toEqual(['SYN_SENT'])
    expect(lab.nat.conntrack.counters.made).toBe(2)
  })

  it('a reset as the only answer ends the flow', () => {
    const lab = Lab.masquerading()
    lab.send(INSIDE, tcpPacket(client, 'S'))
    expect(lab.say(OUTSIDE, tcpPacket(server, 'RA'))).toEqual(['0: tcp 203.0.113.2#80 > 10.22.0.11#5000'])
    expect(state(lab)).toEqual([])
  })

  it('a reset of an open connection leaves ten seconds, or nothing', () => {
    const lab = Lab.masquerading()
    open(lab)
    lab.send(OUTSIDE, tcpPacket(server, 'R'))
    expect([...lab.nat.flows()]).toMatchObject([{ state: 'CLOSE', expiresIn: 10 }])
    const quick = Lab.masquerading({ tcpEndAtOnce: true })
    open(quick)
    expect(quick.say(OUTSIDE, tcpPacket(server, 'R'))).toEqual(['0: tcp 203.0.113.2#80 > 10.22.0.11#5000'])
    expect(state(quick)).toEqual([])
  })

  it('impossible flags are dropped, and the connection goes on', () => {
    const lab = Lab.masquerading()
    open(lab)
    for (const flags of ['', 'SF', 'SR', 'FR', 'F', 'P', 'SFRPAU', 'U', 'FPU'])
      expect(lab.say(INSIDE, tcpPacket(client, flags))).toEqual([])
    expect(lab.drops.InvalidState).toBe(9)
    expect(lab.say(INSIDE, tcpPacket(client, 'PA'))).toHaveLength(1)
    const passing = Lab.masquerading({ invalid: 'pass' })
    expect(passing.say(INSIDE, tcpPacket(client, 'SF'))).toEqual(['1: tcp 10.22.0.11#5000 > 203.0.113.2#80'])
  })

  it('is picked up in its middle, or not', () => {
    const lab = Lab.masquerading()
    expect(lab.say(INSIDE, tcpPacket(client, 'A'))).toHaveLength(1)
    expect([...lab.nat.flows()]).toMatchObject([{ state: 'ESTABLISHED', assured: false, expiresIn: 300 }])
    const strict = Lab.masquerading({ tcpLoose: false })
    expect(strict.say(INSIDE, tcpPacket(client, 'A'))).toEqual([])
    expect(strict.drops.InvalidState).toBe(1)
  })

  it('asking again does not keep the door open', () => {
    const lab = Lab.masquerading()
    for (let i = 0; i < 5; i++) {
      lab.send(INSIDE, tcpPacket(client, 'S'))
      lab.seconds(25)
    }
    expect(lab.nat.conntrack.counters).toMatchObject({ made: 1, expired: 1 })
  })

  it('the MSS of a SYN is lowered', () => {
    const lab = Lab.masquerading({ mss: 1200 })
    const mss = (lines: string[]): number => tcp.mss(hex((lines[0] as string).slice(3)), 20)
    expect(mss(lab.send(INSIDE, tcpPacket(client, 'S', { options: '020405b4' })))).toBe(1200)
    expect(mss(lab.send(OUTSIDE, tcpPacket(server, 'SA', { options: '02040400' })))).toBe(0x400)
    const byMtu = Lab.masquerading({ mss: 'mtu', mtu: 1400 })
    expect(mss(byMtu.send(INSIDE, tcpPacket(client, 'S', { options: '020405b4' })))).toBe(1360)
  })
})

describe('the table', () => {
  const from = (port: number): string => udpPacket(`10.22.0.11#${port} > 203.0.113.2#53`)

  it('full: new flows are refused, and known ones go on', () => {
    const lab = Lab.masquerading({ maxFlows: 16 })
    for (let i = 0; i < 20; i++) lab.send(INSIDE, from(5000 + i))
    expect(lab.drops.ConntrackFull).toBe(4)
    expect(lab.nat.conntrack.size).toBe(16)
    expect(lab.say(INSIDE, from(5000))).toHaveLength(1)
    lab.seconds(31)
    expect(lab.say(INSIDE, from(6000))).toHaveLength(1)
  })

  it('full: the idlest makes room, and what is assured last', () => {
    const lab = Lab.masquerading({ maxFlows: 16, whenFull: 'evict' })
    const syn = '10.22.0.11#4999 > 203.0.113.2#80'
    lab.send(INSIDE, tcpPacket(syn, 'S'))
    lab.send(OUTSIDE, tcpPacket('203.0.113.2#80 > 203.0.113.1#4999', 'SA'))
    lab.send(INSIDE, tcpPacket(syn, 'A'))
    for (let i = 0; i < 40; i++) {
      lab.send(INSIDE, from(5000 + i))
      lab.clock.advance(1e6)
    }
    const ports = [...lab.nat.flows()].map((f) => f.original.srcPort).sort()
    expect(ports).toEqual([4999, ...Array.from({ length: 15 }, (_, i) => 5025 + i)])
    expect(lab.nat.conntrack.counters.evicted).toBe(25)
  })

  it('UDP lasts 30 seconds, and as a stream 120', () => {
    const lab = Lab.masquerading()
    const back = udpPacket('203.0.113.2#53 > 203.0.113.1#5000')
    const left = (): number | undefined => [...lab.nat.flows()][0]?.expiresIn
    lab.send(INSIDE, from(5000))
    expect(left()).toBe(30)
    lab.send(OUTSIDE, back)
    expect(left()).toBe(30)
    lab.seconds(3)
    lab.send(OUTSIDE, back)
    expect(left()).toBe(120)
    expect([...lab.nat.flows()]).toMatchObject([{ assured: true, seenReply: true }])
  })

  it('WinNAT: what comes from outside does not renew UDP', () => {
    const lab = Lab.masquerading({ profile: 'winnat' })
    lab.send(INSIDE, from(5000))
    for (let i = 0; i < 2; i++) {
      lab.seconds(50)
      expect(lab.send(OUTSIDE, udpPacket('203.0.113.2#53 > 203.0.113.1#5000'))).toHaveLength(1)
    }
    expect([...lab.nat.flows()][0]?.expiresIn).toBe(20)
    lab.send(INSIDE, from(5000))
    expect([...lab.nat.flows()][0]?.expiresIn).toBe(120)
  })

  it('is watched', () => {
    const lab = Lab.masquerading()
    const seen: string[] = []
    const stop = lab.nat.watch((change, flow) =>
      seen.push(`${change} ${flow.protocol} ${flow.reply.dst}#${flow.reply.dstPort}`),
    )
    lab.send(INSIDE, from(5000))
    lab.send(OUTSIDE, udpPacket('203.0.113.2#53 > 203.0.113.1#5000'))
    expect(seen).toEqual([])
    lab.seconds(1)
    expect(seen).toEqual(['new udp 203.0.113.1#5000', 'update udp 203.0.113.1#5000'])
    lab.seconds(40)
    expect(seen[2]).toBe('destroy udp 203.0.113.1#5000')
    stop()
    lab.send(INSIDE, from(5001))
    lab.seconds(1)
    expect(seen).toHaveLength(3)
  })

  it('a watcher that throws is taken off; what is too much is counted', () => {
    const lab = Lab.masquerading()
    lab.nat.watch(() => {
      throw new Error('no')
    })
    let told = 0
    lab.nat.watch(() => told++)
    for (let i = 0; i < 5000; i += 50) lab.send(INSIDE, ...Array.from({ length: 50 }, (_, k) => from(1024 + i + k)))
    lab.seconds(1)
    expect(lab.nat.watching).toEqual({ eventsLost: 904, watchersLost: 1 })
    expect(told).toBe(4096)
  })

  it('flows are ended by those who configure', () => {
    const lab = Lab.masquerading()
    lab.send(INSIDE, from(5000), from(5001))
    expect(lab.nat.endFlows((f) => f.original.srcPort === 5001)).toBe(1)
    expect(lab.nat.conntrack.size).toBe(1)
  })

  it('says that an option makes no sense', () => {
    expect(() => new Lab(() => ({ maxFlows: 3 }))).toThrow('maxFlows')
    expect(() => new Lab(() => ({ whenFull: 'x' as 'evict' }))).toThrow("whenFull must be 'refuse' or 'evict', not x")
    expect(() => new Lab(() => ({ profile: 'x' as 'rfc' }))).toThrow('profile must be linux, winnat or rfc, not x')
    expect(() => new Lab(() => ({ timeouts: { udp: 0 } }))).toThrow('timeouts.udp')
    expect(() => new Lab(() => ({ timeouts: { upd: 3 } as object }))).toThrow('timeouts: there is no upd')
    expect(() => new Lab(() => ({ invalid: 'x' as 'drop' }))).toThrow('invalid must be drop or pass, not x')
    expect(() => new Lab(() => ({ mss: 3 }))).toThrow('mss')
    expect(() => new Lab(() => ({ seed: 0.5 }))).toThrow('seed must be a whole number')
  })
})

it('zones: the same addresses in two networks', () => {
  const lab = Lab.masquerading()
  const a = lab.nat.addSide('a', { zone: 1 })
  const b = lab.nat.addSide('b', { zone: 2 })
  expect(() => lab.nat.addSide('c', { zone: 65_536 })).toThrow('zone')
  const out = lab.nat.addSide('out')
  const go = (side: typeof a, to: typeof a, p: string): string => {
    const f = lab.pool.from(Uint8Array.from([...hex('0200000000a0 02000000000a 0800'), ...hex(p)]))
    lab.pool.ledger.receive(1)
    const l3 = (lab.pool.off[f] as number) + 14
    const g = lab.nat.arrive(f as never, l3, side)
    expect(lab.nat.leave(g as never, l3, side, to)).toBe(f)
    const bytes = lab.pool.copyOut(g as never).subarray(14)
    lab.pool.drop(g as never, Drop.Unclaimed)
    return `${ipv4.src(bytes, 0) === parseIpv4('203.0.113.1') ? 'masqueraded' : ''}${u16(bytes, 20)}`
  }
  // Only side 2 is masqueraded by the lab's policy: here both go out as they are, and are two flows.
  expect(go(a, out, udpPacket('10.22.0.11#5000 > 203.0.113.2#53'))).toBe('5000')
  // The answers of the second would be taken for those of the first: it gets another port.
  expect(go(b, out, udpPacket('10.22.0.11#5000 > 203.0.113.2#53'))).not.toBe('5000')
  expect([...lab.nat.flows()].map((f) => [f.original.zone, f.reply.zone])).toEqual([
    [1, 0],
    [2, 0],
  ])
})

describe('ICMP where it is not transposed', () => {
  it('leaves as it is', () => {
    const lab = Lab.masquerading({ icmpTransposition: false })
    expect(lab.say(INSIDE, echo('10.22.0.11#77 > 203.0.113.2'))).toEqual(['1: icmp 8 10.22.0.11#77 > 203.0.113.2'])
    const out = lab.send(INSIDE, udpPacket('10.22.0.11#5000 > 203.0.113.2#53'))
    const error = icmpPacket({ src: '203.0.113.2', dst: '203.0.113.1' }, 3, 3, 0, hex((out[0] as string).slice(3)))
    expect(lab.say(OUTSIDE, error)).toEqual([])
  })

  it('or is dropped', () => {
    const lab = Lab.masquerading({ icmpTransposition: false, untransposed: 'drop' })
    expect(lab.say(INSIDE, echo('10.22.0.11#77 > 203.0.113.2'))).toEqual([])
    expect(lab.drops.NatUnsupported).toBe(1)
    expect(lab.say(INSIDE, echo('10.22.0.11#77 > 10.22.0.99'))).toHaveLength(1)
  })
})

describe('offload', () => {
  it('a missing checksum stays missing, a super-frame whole', () => {
    const lab = Lab.masquerading({}, {}, { frameSize: 65_553 })
    const whole = hex(tcpPacket('10.22.0.11#5000 > 203.0.113.2#80', 'PA', { data: 20_000 }))
    const pseudo = checksum.pseudo4(whole, 0, 6, whole.length - 20)
    whole.set([pseudo >>> 8, pseudo & 255], 36)
    const { pool } = lab
    const f = pool.from(Uint8Array.from([...hex('0200000000a0 02000000000a 0800'), ...whole]))
    pool.ledger.receive(1)
    pool.flags[f] = 1
    pool.gsoType[f] = 1
    pool.gsoSize[f] = 1000
    pool.csumStart[f] = 34
    pool.csumOffset[f] = 16
    const g = lab.nat.arrived(lab.ifaces[0] as never, f as never)
    const h = lab.nat.leaving(lab.ifaces[0] as never, lab.ifaces[1] as never, g as never)
    const out = pool.copyOut(h as never).subarray(14)
    expect([ipv4.src(out, 0), u16(out, 20)]).toEqual([parseIpv4('203.0.113.1'), 5000])
    expect(u16(out, 36)).toBe(checksum.pseudo4(out, 0, 6, out.length - 20))
    expect([pool.flags[h], pool.gsoType[h], pool.gsoSize[h]]).toEqual([1, 1, 1000])
    pool.drop(h as never, Drop.Unclaimed)
  })
})

describe('fragments', () => {
  /** A UDP datagram of 4,000 bytes as Linux cuts it: 1480, 1480, 1048 bytes. */
  function pieces(text: string, id = 0x4242): string[] {
    const whole = hex(udpPacket(text, { data: 4000, id }))
    return [0, 1480, 2960].map((at) => {
      const b = Uint8Array.from([...whole.subarray(0, 20), ...whole.subarray(20 + at, 20 + at + 1480)])
      const more = at + 1480 < whole.length - 20
      b.set([b.length >>> 8, b.length & 255], 2)
      b.set([(more ? 0x20 : 0) | (at >>> 11), (at >>> 3) & 255], 6)
      ipv4.fillChecksum(b, 0)
      return Buffer.from(b).toString('hex')
    })
  }
  const sizes = (lines: string[]): number[] => lines.map((l) => hex(l.slice(3)).length - 20)

  it('in order and out of order: same sizes, same id, the checksum of the whole right', () => {
    for (const order of [
      [0, 1, 2],
      [2, 1, 0],
      [1, 0, 2],
    ]) {
      const lab = Lab.masquerading()
      lab.send(INSIDE, udpPacket('10.22.0.12#5000 > 203.0.113.2#53'))
      const sent = pieces('10.22.0.11#5000 > 203.0.113.2#53')
      const out = order.flatMap((i) => lab.send(INSIDE, sent[i] as string))
      expect(sizes(out).sort()).toEqual([1048, 1480, 1480])
      const parts = out
        .map((l) => hex(l.slice(3)))
        .sort((a, b) => ipv4.fragmentOffset(a, 0) - ipv4.fragmentOffset(b, 0))
      expect(new Set(parts.map((p) => `${ipv4.src(p, 0)} ${ipv4.id(p, 0)}`))).toEqual(
        new Set([`${parseIpv4('203.0.113.1')} ${0x4242}`]),
      )
      const udp = Uint8Array.from(parts.flatMap((p) => [...p.subarray(20)]))
      expect(u16(udp, 0)).not.toBe(5000)
      const sum = checksum.sum(udp, 0, udp.length, checksum.pseudo4(parts[0] as Uint8Array, 0, 17, udp.length))
      expect(sum).toBe(0xffff)
      expect([...lab.nat.flows()][1]?.original).toMatchObject({ packets: 3, bytes: 4008 + 60 })
    }
  })

  it('without their first get nowhere', () => {
    const lab = Lab.masquerading()
    expect(lab.ports[INSIDE]).toBeDefined()
    lab.ports[INSIDE]?.inject(
      Uint8Array.from([
        ...hex('0200000000a0 02000000000a 0800'),
        ...hex(pieces('10.22.0.11#5000 > 203.0.113.2#53')[1] as string),
      ]),
    )
    lab.loop.settle()
    expect(lab.pool.held()).toBe(1)
    lab.seconds(5)
    expect(lab.collect()).toEqual([])
    expect(lab.drops.FragmentTimeout).toBe(1)
  })

  it('for the node itself are its own', () => {
    const lab = Lab.masquerading()
    const before = lab.say(OUTSIDE, ...pieces('203.0.113.2#4000 > 203.0.113.1#9'))
    expect(before).toEqual([])
    expect(lab.drops.Fragment).toBe(3)
  })
})

/** CRC32c, bit by bit. */
function crc32c(b: Uint8Array): number {
  let c = 0xffffffff
  for (const byte of b) {
    c ^= byte
    for (let i = 0; i < 8; i++) c = (c >>> 1) ^ ((c & 1) === 1 ? 0x82f63b78 : 0)
  }
  return ~c >>> 0
}
