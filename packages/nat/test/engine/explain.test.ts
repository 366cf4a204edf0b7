// What the NAT says of packets that are followed: whose flow it is, and by which rule, mapping or backend it was decided.
import type { Frame } from '@l2l3/switch-core'
import { ipv4, put16 } from '@l2l3/switch-core/wire'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Listener } from '../../../switch-core/test/listener.ts'
import { Balancer, BEHAVIOUR, OutboundNat, PortMappings, Rejector, SourceNat } from '../../src/index.ts'
import { TwoPassages } from './bench-passage.ts'
import { echo, hex, INSIDE, icmpPacket, Lab, type LabOptions, OUTSIDE, rawPacket, tcpPacket, udpPacket } from './lab.ts'

/** A lab like a NAT node: outbound rules, port mappings, services. */
function node(options: LabOptions = {}): { lab: Lab; balancer: Balancer; mappings: PortMappings } {
  let balancer: Balancer | undefined
  let mappings: PortMappings | undefined
  const lab = new Lab((lab) => {
    const nat = new SourceNat(lab.addresses, { outside: lab.outside })
    const outbound = new OutboundNat([
      { from: ['10.99.0.0/16'], verdict: 'return' },
      { from: ['10.22.0.0/16'], to: ['203.0.113.3'], verdict: 'accept' },
      { from: ['10.22.0.0/16'], notTo: ['198.51.0.0/16', '10.22.0.0/16'], out: [2], verdict: nat },
    ])
    mappings = new PortMappings(lab.addresses)
    balancer = new Balancer(lab.addresses)
    return { destination: [mappings, balancer], source: [outbound], ...options }
  })
  return { lab, balancer: balancer as Balancer, mappings: mappings as PortMappings }
}

/** What the NAT says when packets come in on a side. */
function said(lab: Lab, side: number, ...packets: string[]): string[] {
  const trace = new Listener(lab.pool)
  lab.send(side, ...packets)
  lab.pool.trace = null
  return trace.heard().filter((text) => text.startsWith('NAT'))
}

describe('the NAT explains', () => {
  it('a new flow, by which rule it is translated, and its replies', () => {
    const { lab } = node()
    const flow = 'tcp 10.22.0.12:5000 > 203.0.113.2:80'
    expect(said(lab, INSIDE, tcpPacket('10.22.0.12#5000 > 203.0.113.2#80', 'S'))).toEqual([
      `NAT: new flow ${flow}: destination stays`,
      `NAT: new flow ${flow}: source becomes 203.0.113.1:5000 (outbound rule 3, from 10.22.0.0/16, its port is kept)`,
    ])
    expect(said(lab, OUTSIDE, tcpPacket('203.0.113.2#80 > 203.0.113.1#5000', 'SA'))).toEqual([
      `NAT: reply of flow ${flow}, SYN_RECV: destination becomes 10.22.0.12:5000`,
    ])
    expect(said(lab, INSIDE, tcpPacket('10.22.0.12#5000 > 203.0.113.2#80', 'A'))).toEqual([
      `NAT: known flow ${flow}, ESTABLISHED`,
      `NAT: known flow ${flow}, ESTABLISHED: source becomes 203.0.113.1:5000`,
    ])
  })

  it('a port that is taken', () => {
    const { lab } = node()
    said(lab, INSIDE, udpPacket('10.22.0.11#5000 > 203.0.113.2#53'))
    expect(said(lab, INSIDE, udpPacket('10.22.0.12#5000 > 203.0.113.2#53'))[1]).toMatch(
      /^NAT: new flow udp 10\.22\.0\.12:5000 > 203\.0\.113\.2:53: source becomes 203\.0\.113\.1:\d+ \(outbound rule 3, from 10\.22\.0\.0\/16, port 5000 is not to be had\)$/,
    )
  })

  it('an exception, and that no rule is about a flow', () => {
    const { lab } = node()
    const stays = (what: string, why: string): string[] => [
      `NAT: new flow ${what}: destination stays`,
      `NAT: new flow ${what}: source stays (${why})`,
    ]
    expect(said(lab, INSIDE, udpPacket('10.22.0.12#5000 > 198.51.100.9#53'))).toEqual(
      stays(
        'udp 10.22.0.12:5000 > 198.51.100.9:53',
        'exception 198.51.0.0/16 of outbound rule 3 matched: not translated',
      ),
    )
    expect(said(lab, INSIDE, udpPacket('10.22.0.12#5000 > 203.0.113.3#53'))).toEqual(
      stays('udp 10.22.0.12:5000 > 203.0.113.3:53', 'exception 203.0.113.3 of outbound rule 2 matched: not translated'),
    )
    expect(said(lab, INSIDE, udpPacket('10.99.0.12#5000 > 203.0.113.2#53'))).toEqual(
      stays('udp 10.99.0.12:5000 > 203.0.113.2:53', 'outbound rule 1 leaves it as it is, from 10.99.0.0/16'),
    )
    expect(said(lab, INSIDE, udpPacket('10.23.0.12#5000 > 203.0.113.2#53'))).toEqual(
      stays('udp 10.23.0.12:5000 > 203.0.113.2:53', 'no outbound rule is about it'),
    )
    expect(said(lab, INSIDE, udpPacket('fd00:22::b#5000 > 2001:db8:7::2#53'))).toEqual(
      stays('udp [fd00:22::b]:5000 > [2001:db8:7::2]:53', 'no outbound rule is about it'),
    )
    expect(said(lab, INSIDE, udpPacket('10.23.0.12#5000 > 203.0.113.2#53'))).toEqual([
      'NAT: known flow udp 10.23.0.12:5000 > 203.0.113.2:53: not translated',
    ])
  })

  it('a protocol that OutBoundNAT does not translate, and what it does', () => {
    for (const otherProtocols of ['pass', 'drop'] as const) {
      const lab = new Lab((lab) => ({
        source: [new SourceNat(lab.addresses, { to: ['203.0.113.1'], ...BEHAVIOUR.hns, otherProtocols })],
      }))
      for (const [protocol, name] of [
        [47, 'protocol 47'],
        [132, 'sctp'],
      ] as const) {
        const [, then = ''] = said(
          lab,
          INSIDE,
          rawPacket('10.22.0.12#5000 > 203.0.113.2#80', protocol, '138801f400000000c0ffee00'),
        )
        expect(then).toContain(otherProtocols === 'pass' ? ': source stays (' : 'no new flow ')
        expect(then).toContain(`${name} is not translated here, only tcp, udp`)
      }
    }
  })

  it('a port mapping', () => {
    const { lab, mappings } = node()
    mappings.add({ protocol: 'tcp', port: 8080, to: '10.22.0.11', toPort: 80 })
    const flow = 'tcp 203.0.113.2:40000 > 203.0.113.1:8080'
    expect(said(lab, OUTSIDE, tcpPacket('203.0.113.2#40000 > 203.0.113.1#8080', 'S'))).toEqual([
      `NAT: new flow ${flow}: port mapping tcp *:8080 -> 10.22.0.11:80; destination becomes 10.22.0.11:80`,
      `NAT: new flow ${flow}: source stays (no outbound rule is about it)`,
    ])
    expect(said(lab, INSIDE, tcpPacket('10.22.0.11#80 > 203.0.113.2#40000', 'SA'))).toEqual([
      `NAT: reply of flow ${flow}, SYN_RECV`,
      `NAT: reply of flow ${flow}, SYN_RECV: source becomes 203.0.113.1:8080`,
    ])
  })

  it('a service: which backend, and how it was chosen', () => {
    const { lab, balancer } = node()
    balancer.services.add({
      name: 'web',
      clusterIps: ['10.96.0.10'],
      protocol: 'tcp',
      port: 80,
      backends: [{ address: '10.22.0.11', port: 8080 }],
    })
    const trace = said(lab, INSIDE, tcpPacket('10.22.0.12#5000 > 10.96.0.10#80', 'S'))
    expect(trace[0]).toBe(
      'NAT: new flow tcp 10.22.0.12:5000 > 10.96.0.10:80: service web ClusterIP 10.96.0.10:80: backend 10.22.0.11:8080, ' +
        'by the hash of the 5-tuple; destination becomes 10.22.0.11:8080',
    )
  })

  it('what is for the node itself, and what belongs to no flow', () => {
    const { lab } = node()
    expect(said(lab, OUTSIDE, udpPacket('203.0.113.2#53 > 203.0.113.1#9'))).toEqual([
      'NAT: udp 203.0.113.2:53 > 203.0.113.1:9 is for the node itself: no flow, port mapping or service takes it',
    ])
    expect(said(lab, INSIDE, tcpPacket('10.22.0.12#5000 > 203.0.113.2#80', 'SA'))).toEqual([
      'NAT: tcp 10.22.0.12:5000 > 203.0.113.2:80 belongs to no flow, and cannot begin one',
    ])
    said(lab, INSIDE, tcpPacket('10.22.0.12#5000 > 203.0.113.2#80', 'S'))
    expect(said(lab, INSIDE, tcpPacket('10.22.0.12#5000 > 203.0.113.2#80', 'SA'))).toEqual([
      'NAT: it cannot be where its flow is: known flow tcp 10.22.0.12:5000 > 203.0.113.2:80, SYN_SENT',
    ])
  })

  it('a ping, and an ICMP error about it', () => {
    const { lab } = node()
    const flow = 'icmp echo 10.22.0.12 > 203.0.113.2 id 77'
    expect(said(lab, INSIDE, echo('10.22.0.12#77 > 203.0.113.2'))[1]).toBe(
      `NAT: new flow ${flow}: source becomes 203.0.113.1 id 77 (outbound rule 3, from 10.22.0.0/16, its port is kept)`,
    )
    const quoted = hex(echo('203.0.113.1#77 > 203.0.113.2'))
    const error = icmpPacket({ src: '203.0.113.254', dst: '203.0.113.1' }, 11, 0, 0, quoted)
    expect(said(lab, OUTSIDE, error)).toEqual([
      `NAT: ICMP error about a packet of flow ${flow}: destination translated, and in the packet it quotes with it`,
    ])
  })

  it('a lowered MSS', () => {
    const { lab } = node({ mss: 1200 })
    expect(said(lab, INSIDE, tcpPacket('10.22.0.12#5000 > 203.0.113.2#80', 'S', { options: '020405b4' }))[2]).toBe(
      'NAT: MSS lowered to 1200, which fits the path',
    )
  })

  it('a refusal, which is a frame of its own', () => {
    const answers: Frame[] = []
    let rejector: Rejector | undefined
    const { lab, balancer } = node({
      onReject: (f, l3) => {
        const g = rejector?.answer(f, l3) ?? -1
        if (g !== -1) answers.push(g as Frame)
      },
    })
    rejector = new Rejector(lab.pool, lab.clock)
    balancer.services.add({
      name: 'none',
      clusterIps: ['10.96.0.11'],
      protocol: 'tcp',
      port: 80,
      backends: [],
    })
    expect(said(lab, INSIDE, tcpPacket('10.22.0.12#5000 > 10.96.0.11#80', 'S'))).toEqual([
      'NAT: no new flow tcp 10.22.0.12:5000 > 10.96.0.11:80: service none ClusterIP 10.96.0.11:80 has no backend',
      'NAT > refusal, told to the sender',
    ])
    for (const g of answers) lab.pool.sent(g)
  })

  it('that a fragment waits, and follows', () => {
    const { lab } = node()
    const whole = hex(udpPacket('10.22.0.12#5000 > 203.0.113.2#53', { data: 40 }))
    const [first, later] = fragments(whole, 24)
    const flow = 'udp 10.22.0.12:5000 > 203.0.113.2:53'
    const text = said(lab, INSIDE, later, first)
    expect(text[0]).toBe('NAT: a later fragment: it waits for the first, which has the ports')
    expect(text.at(-1)).toBe(`NAT: known flow ${flow}: source becomes 203.0.113.1:5000`)
    expect(text).toContain(`NAT: later fragment of a packet: known flow ${flow}`)
  })

  /* Packets between the same few ends, so that flows are met again. */
  const from = fc.constantFrom('10.22.0.11', '10.22.0.12', '203.0.113.2', '203.0.113.3', '198.51.100.9')
  const to = fc.constantFrom('203.0.113.2', '203.0.113.1', '203.0.113.3', '10.22.0.11', '198.51.100.9', '10.96.0.10')
  const port = fc.constantFrom(80, 5000, 8080)
  const packet = fc
    .record({ from, to, sport: port, dport: port, flags: fc.constantFrom('S', 'SA', 'A', 'FA', 'R', 'u', 'e', 'f') })
    .map(({ from, to, sport, dport, flags }) => {
      if (flags === 'e') return echo(`${from}#${sport} > ${to}`)
      if (flags === 'f')
        return fragments(hex(udpPacket(`${from}#${sport} > ${to}#${dport}`, { data: 40 })), 24)[sport & 1]
      const text = `${from}#${sport} > ${to}#${dport}`
      return flags === 'u' ? udpPacket(text) : tcpPacket(text, flags)
    })
  const quoting = fc.tuple(from, packet).map(([src, quoted]) => {
    return icmpPacket({ src, dst: '203.0.113.1' }, 3, 1, 0, hex(quoted).subarray(0, 28))
  })
  const broken = fc.tuple(packet, fc.nat(60), fc.nat(255)).map(([p, at, v]) => {
    const b = hex(p)
    b[at % b.length] = v
    return Buffer.from(b).toString('hex')
  })
  const traffic = fc.array(
    fc.tuple(fc.boolean(), fc.array(fc.oneof({ weight: 6, arbitrary: packet }, quoting, broken), { maxLength: 20 })),
    { maxLength: 8 },
  )

  it('and does at a router what it does untraced', () => {
    fc.assert(
      fc.property(traffic, (batches) => {
        const [plain, traced] = [false, true].map((listening) => {
          const { lab, balancer, mappings } = node()
          mappings.add({ protocol: 'tcp', port: 8080, to: '10.22.0.11', toPort: 80 })
          balancer.services.add({
            ...{ name: 'web', clusterIps: ['10.96.0.10'], protocol: 'tcp', port: 80, distribution: 'source-ip' },
            backends: [
              { address: '10.22.0.11', port: 8080 },
              { address: '10.22.0.12', port: 8080 },
            ],
          })
          if (listening) new Listener(lab.pool)
          const out = batches.map(([inside, packets]) => {
            lab.seconds(1)
            for (const p of packets) lab.ports[inside ? 0 : 1]?.inject(framed(inside, hex(p)))
            lab.loop.settle()
            return lab.ports.map((x) => x.takeAll().map((b) => Buffer.from(b).toString('hex')))
          })
          return { out, flows: [...lab.nat.flows()], report: lab.pool.report(), fragments: lab.nat.fragments.counters }
        })
        expect(traced).toEqual(plain)
      }),
      { numRuns: 150 },
    )
  })

  it('and in a passage, past the fast run', () => {
    fc.assert(
      fc.property(traffic, (batches) => {
        const [plain, traced] = [false, true].map((listening) => {
          const two = new TwoPassages()
          if (listening) new Listener(two.pool)
          const out = batches.map(([inside, packets]) => {
            two.clock.advance(1e9)
            two.loop.settle()
            return two.send(inside ? two.out : two.back, ...packets)
          })
          two.loop.settle()
          return { out, flows: [...two.nat.flows()], report: two.pool.report() }
        })
        expect(traced).toEqual(plain)
      }),
      { numRuns: 150 },
    )
  })
})

/** The two pieces of an IPv4 packet, the first with `n` bytes behind the header. */
function fragments(whole: Uint8Array, n: number): [string, string] {
  const piece = (start: number, end: number, field: number): string => {
    const b = new Uint8Array(20 + end - start)
    b.set(whole.subarray(0, 20))
    b.set(whole.subarray(20 + start, 20 + end), 20)
    put16(b, 2, b.length)
    put16(b, 6, field)
    ipv4.fillChecksum(b, 0)
    return Buffer.from(b).toString('hex')
  }
  return [piece(0, n, 0x2000), piece(n, whole.length - 20, n >> 3)]
}

/** A packet in a frame to the router's interface on a side. */
function framed(inside: boolean, p: Uint8Array): Uint8Array {
  const type = (p[0] as number) >>> 4 === 6 ? '86dd' : '0800'
  return Uint8Array.from([...hex(`0200000000${inside ? 'a0' : 'b0'} 02000000000${inside ? 'a' : 'b'} ${type}`), ...p])
}

describe('where ICMP is not translated', () => {
  it('it is said of a query that no policy was asked, and of an error that who is meant does not hear it', () => {
    const { lab } = node({ icmpTransposition: false })
    const flow = 'icmp echo 10.22.0.12 > 203.0.113.2 id 7'
    expect(said(lab, INSIDE, echo('10.22.0.12#7 > 203.0.113.2'))).toEqual([
      `NAT: new flow ${flow}: destination stays (ICMP is not translated here: no port mapping and no service is asked)`,
      `NAT: new flow ${flow}: source stays (ICMP is not translated here: no outbound rule is asked)`,
    ])
    lab.send(INSIDE, udpPacket('10.22.0.12#5000 > 203.0.113.2#53'))
    const quoted = hex(udpPacket('203.0.113.1#5000 > 203.0.113.2#53')).subarray(0, 28)
    const error = icmpPacket({ src: '203.0.113.2', dst: '203.0.113.1' }, 3, 3, 0, quoted)
    expect(said(lab, OUTSIDE, error)).toEqual([
      'NAT: ICMP error about a packet of flow udp 10.22.0.12:5000 > 203.0.113.2:53: ICMP is not translated here: it stays as it is, ' +
        'and who sent that packet does not hear it',
    ])
  })
})
