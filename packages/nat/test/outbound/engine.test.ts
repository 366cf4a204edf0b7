import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  Balancer,
  cniIpMasq,
  cniPortMappings,
  hnsOutboundNat,
  hnsPortMappings,
  markedMasquerade,
  OutboundNat,
  OutsidePorts,
  PortMappings,
  SourceNat,
  type SourceNatOptions,
  type SourcePolicy,
} from '../../src/index.ts'
import { BEHAVIOUR, type FilteringBehaviour, type MappingBehaviour } from '../../src/outbound/source-nat-options.ts'
import { describe as describePacket, echo, hex, INSIDE, Lab, OUTSIDE, tcpPacket, udpPacket } from '../engine/lab.ts'

/** Policies with packets: through the engine and a router, whose ledger and checksums are looked at each time. Alice
 * 10.22.0.11 and Bob 10.22.0.12 are inside, the server 203.0.113.2 and another 203.0.113.3 outside; the router has
 * 10.22.0.1 and 203.0.113.1. */

const INTERFACE = { inside: 1, outside: 2 } as const

/** A router whose inside is translated by one NAT, as rules. */
function lab(options: ConstructorParameters<typeof SourceNat>[1], more: object = {}): { lab: Lab; nat: SourceNat } {
  let nat: SourceNat | undefined
  const made = new Lab((l) => {
    nat = new SourceNat(l.addresses, { outside: l.outside, seed: 5, ...options })
    const outbound = new OutboundNat([{ out: [INTERFACE.outside], verdict: nat }])
    return { destination: [outbound.inbound], source: [outbound], ...more }
  })
  return { lab: made, nat: nat as SourceNat }
}

/** The outside port that a packet left by. */
const portOf = (line: string | undefined): number => Number(/#(\d+) >/.exec(line ?? '')?.[1])

const MAPPINGS = ['endpoint-independent', 'address-dependent', 'address-and-port-dependent'] as const
const FILTERS = MAPPINGS

describe('mapping and filtering (RFC 4787, 4.1 and 5)', () => {
  it.each(MAPPINGS)('%s mapping', (mapping: MappingBehaviour) => {
    const { lab: l } = lab({ mapping })
    const ports = ['203.0.113.2#53', '203.0.113.2#54', '203.0.113.3#53'].map((to) =>
      portOf(l.say(INSIDE, udpPacket(`10.22.0.11#5000 > ${to}`))[0]),
    )
    const [a, b, c] = ports
    expect([a === b, a === c]).toEqual(
      { [MAPPINGS[0]]: [true, true], [MAPPINGS[1]]: [true, false], [MAPPINGS[2]]: [false, false] }[
        mapping as 'endpoint-independent'
      ],
    )
  })

  for (const mapping of MAPPINGS) {
    for (const filtering of FILTERS) {
      it(`${mapping} mapping, ${filtering} filtering`, () => {
        const { lab: l, nat } = lab({ mapping, filtering: filtering as FilteringBehaviour })
        l.send(INSIDE, udpPacket('10.22.0.11#5000 > 203.0.113.2#53'))
        const from = (who: string): string[] => l.say(OUTSIDE, udpPacket(`${who} > 203.0.113.1#5000`))
        expect(from('203.0.113.2#53')).toEqual(['0: udp 203.0.113.2#53 > 10.22.0.11#5000'])
        const otherPort = filtering !== 'address-and-port-dependent'
        const otherHost = filtering === 'endpoint-independent'
        expect(from('203.0.113.2#99')).toEqual(otherPort ? ['0: udp 203.0.113.2#99 > 10.22.0.11#5000'] : [])
        expect(from('203.0.113.3#99')).toEqual(otherHost ? ['0: udp 203.0.113.3#99 > 10.22.0.11#5000'] : [])
        expect(l.drops.NatFiltered ?? 0).toBe(Number(!otherPort) + Number(!otherHost))
        // What Alice says to whom came in goes out by the mapping that let them in.
        if (otherPort) {
          expect(l.say(INSIDE, udpPacket('10.22.0.11#5000 > 203.0.113.2#99'))).toEqual([
            '1: udp 203.0.113.1#5000 > 203.0.113.2#99',
          ])
        }
        l.seconds(200)
        expect([...l.nat.flows()]).toEqual([])
        expect(nat.used).toBe(0)
      })
    }
  }

  it('of IPv6, whose addresses are given back', () => {
    const { lab: l, nat } = lab(BEHAVIOUR.rfc4787)
    const before = l.addresses.size
    const from = (who: string): string[] => l.say(OUTSIDE, udpPacket(`${who} > 2001:db8:7::1#5000`))
    expect(l.say(INSIDE, udpPacket('fd00:22::b#5000 > 2001:db8:7::2#53'))).toEqual([
      '1: udp 2001:db8:7::1#5000 > 2001:db8:7::2#53',
    ])
    expect(from('2001:db8:7::2#99')).toEqual(['0: udp 2001:db8:7::2#99 > fd00:22::b#5000'])
    expect(from('2001:db8:7::3#53')).toEqual([])
    expect(l.drops).toEqual({ NatFiltered: 1 })
    l.seconds(400)
    expect([nat.used, l.addresses.size]).toEqual([0, before])
  })

  it('a SYN that nobody asked for is dropped in silence (RFC 5382 REQ-4)', () => {
    const { lab: l } = lab(BEHAVIOUR.rfc4787)
    l.send(INSIDE, tcpPacket('10.22.0.11#5000 > 203.0.113.2#80', 'S'))
    expect(l.say(OUTSIDE, tcpPacket('203.0.113.3#80 > 203.0.113.1#5000', 'S'))).toEqual([])
    expect(l.drops).toEqual({ NatFiltered: 1 })
  })

  it('a ping from outside with an identifier in use is answered by the node', () => {
    const { lab: l } = lab({ mapping: 'endpoint-independent', filtering: 'endpoint-independent' })
    l.send(INSIDE, echo('10.22.0.11#77 > 203.0.113.2'))
    expect(l.say(OUTSIDE, echo('203.0.113.3#77 > 203.0.113.1'))).toEqual(['1: icmp 0 203.0.113.1#77 > 203.0.113.3'])
    expect(l.say(OUTSIDE, echo('203.0.113.2#77 > 203.0.113.1', 0))).toEqual(['0: icmp 0 203.0.113.2#77 > 10.22.0.11'])
  })
})

describe('as Linux (modes.md 18)', () => {
  it('1 to 3: preserved, of the same class on conflict, kept for new destinations', () => {
    const { lab: l } = lab({})
    expect(l.say(INSIDE, udpPacket('10.22.0.11#400 > 203.0.113.2#53'))).toEqual([
      '1: udp 203.0.113.1#400 > 203.0.113.2#53',
    ])
    const [line] = l.say(INSIDE, udpPacket('10.22.0.12#400 > 203.0.113.2#53'))
    const port = portOf(line)
    expect(port).toBeLessThan(512)
    expect(port).not.toBe(400)
    expect(l.say(INSIDE, udpPacket('10.22.0.12#400 > 203.0.113.3#53'))).toEqual([
      `1: udp 203.0.113.1#${port} > 203.0.113.3#53`,
    ])
    for (const [from, p, to] of [
      ['203.0.113.2', 400, '10.22.0.11'],
      ['203.0.113.2', port, '10.22.0.12'],
      ['203.0.113.3', port, '10.22.0.12'],
    ] as const) {
      expect(l.say(OUTSIDE, udpPacket(`${from}#53 > 203.0.113.1#${p}`))).toEqual([`0: udp ${from}#53 > ${to}#400`])
    }
  })

  it('4: identifiers of echoes are kept, and changed on conflict', () => {
    const { lab: l } = lab({})
    expect(l.say(INSIDE, echo('10.22.0.11#77 > 203.0.113.2'))).toEqual(['1: icmp 8 203.0.113.1#77 > 203.0.113.2'])
    const id = portOf(l.say(INSIDE, echo('10.22.0.12#77 > 203.0.113.2'))[0])
    expect(id).not.toBe(77)
    expect(l.say(OUTSIDE, echo(`203.0.113.2#${id} > 203.0.113.1`, 0))).toEqual([
      '0: icmp 0 203.0.113.2#77 > 10.22.0.12',
    ])
  })
})

describe('hairpin (RFC 4787 REQ-9)', () => {
  it('two neighbours by their outside endpoints, each with the other’s as the source', () => {
    const { lab: l, nat } = lab({ ...BEHAVIOUR.rfc4787, inside: ['10.22.0.0/16'] })
    expect(l.say(INSIDE, udpPacket('10.22.0.11#5000 > 203.0.113.2#53'))).toHaveLength(1)
    expect(l.say(INSIDE, udpPacket('10.22.0.12#6000 > 203.0.113.2#53'))).toHaveLength(1)
    expect(l.say(INSIDE, udpPacket('10.22.0.11#5000 > 203.0.113.1#6000'))).toEqual([
      '0: udp 203.0.113.1#5000 > 10.22.0.12#6000',
    ])
    expect(l.say(INSIDE, udpPacket('10.22.0.12#6000 > 203.0.113.1#5000'))).toEqual([
      '0: udp 203.0.113.1#6000 > 10.22.0.11#5000',
    ])
    expect(nat.counters.turned).toBe(1)
    l.seconds(400)
    expect(nat.used).toBe(0)
  })

  it('a sender that has no mapping gets one, and keeps it for the world', () => {
    const { lab: l } = lab({ ...BEHAVIOUR.rfc4787, inside: ['10.22.0.0/16'] })
    l.send(INSIDE, tcpPacket('10.22.0.12#6000 > 203.0.113.2#80', 'S'))
    expect(l.say(INSIDE, tcpPacket('10.22.0.11#6000 > 203.0.113.1#6000', 'S'))).toHaveLength(1)
    const [line] = l.say(INSIDE, tcpPacket('10.22.0.11#6000 > 203.0.113.3#80', 'S'))
    expect(portOf(line)).not.toBe(6000)
    expect(portOf(line) % 2).toBe(0)
  })
})

describe('hairpin over several rules: a host is from beside what it is from outside', () => {
  /** Alice by one rule and Bob by another. */
  const two = (a: SourceNatOptions, b: SourceNatOptions): Lab =>
    new Lab((l) => {
      const outsidePorts = new OutsidePorts()
      const inside = ['10.22.0.0/24']
      const [one, other] = [a, b].map((o) => {
        const where = o.to === undefined ? { outside: l.outside } : {}
        return new SourceNat(l.addresses, { ...BEHAVIOUR.rfc4787, inside, outsidePorts, ...where, ...o })
      }) as [SourceNat, SourceNat]
      const out = [INTERFACE.outside]
      const outbound = new OutboundNat([
        { from: ['10.22.0.11'], notTo: inside, out, verdict: one },
        { from: ['10.22.0.12'], notTo: inside, out, verdict: other },
      ])
      return { destination: [outbound.inbound], source: [outbound] }
    })

  it.each([
    ['two pools', { to: ['203.0.113.8'] }, { to: ['203.0.113.9'] }, '203.0.113.8', '203.0.113.9'],
    ['a pool and an interface', { to: ['203.0.113.8'] }, {}, '203.0.113.8', '203.0.113.1'],
    ['an interface and a pool', {}, { to: ['203.0.113.9'] }, '203.0.113.1', '203.0.113.9'],
  ] as const)('%s', (_, a, b, alice, bob) => {
    const l = two(a, b)
    l.send(INSIDE, udpPacket('10.22.0.11#5000 > 203.0.113.2#53'))
    expect(l.say(INSIDE, udpPacket('10.22.0.12#6000 > 203.0.113.2#53'))).toEqual([
      `1: udp ${bob}#6000 > 203.0.113.2#53`,
    ])
    expect(l.say(INSIDE, udpPacket(`10.22.0.12#6000 > ${alice}#5000`))).toEqual([
      `0: udp ${bob}#6000 > 10.22.0.11#5000`,
    ])
    expect(l.say(INSIDE, udpPacket(`10.22.0.11#5000 > ${bob}#6000`))).toEqual([
      `0: udp ${alice}#5000 > 10.22.0.12#6000`,
    ])
    // Who has no mapping yet gets one of their own rule, too.
    expect(l.say(INSIDE, udpPacket(`10.22.0.12#7000 > ${alice}#5000`))).toEqual([
      `0: udp ${bob}#7000 > 10.22.0.11#5000`,
    ])
    l.seconds(400)
    expect([...l.nat.flows()]).toEqual([])
  })
})

describe('an exception, and a service that wants the source translated', () => {
  const service = (sources: (l: Lab) => SourcePolicy[]): Lab =>
    new Lab((l) => {
      const balancer = new Balancer(l.addresses, { style: 'windows', sourceVips: ['10.22.0.99'] })
      const backends = [{ address: '203.0.113.2', port: 8080 }]
      balancer.services.add({ name: 's', port: 80, clusterIps: ['10.96.0.10'], backends })
      return { destination: [balancer], source: sources(l) }
    })
  const hns = (l: Lab): SourcePolicy =>
    hnsOutboundNat(l.addresses, {
      endpoint: ['10.22.0.11'],
      outside: l.outside,
      policies: [{ Type: 'OutBoundNAT', ExceptionList: ['203.0.113.0/24', '10.96.0.0/12'] }],
    })

  it('HNS: the backend sees the SourceVIP, exception or not (modes.md 17.1)', () => {
    for (const sources of [(): SourcePolicy[] => [], (l: Lab): SourcePolicy[] => [hns(l)]]) {
      expect(service(sources).say(INSIDE, tcpPacket('10.22.0.11#4000 > 10.96.0.10#80', 'S'))).toEqual([
        '1: tcp 10.22.0.99#4000 > 203.0.113.2#8080',
      ])
    }
    // What the pod sends there itself is the exception's.
    expect(service((l) => [hns(l)]).say(INSIDE, tcpPacket('10.22.0.11#4000 > 203.0.113.2#8080', 'S'))).toEqual([
      '1: tcp 10.22.0.11#4000 > 203.0.113.2#8080',
    ])
  })

  it('ipMasq of the CNI plugins without the marks’ rule in front', () => {
    const l = service((lab) => {
      const nat = new SourceNat(lab.addresses, { outside: lab.outside })
      return [new OutboundNat(cniIpMasq({ pods: ['10.22.0.11'], subnet: '203.0.113.0/24', nat }))]
    })
    expect(l.say(INSIDE, tcpPacket('10.22.0.11#4000 > 10.96.0.10#80', 'S'))).toEqual([
      '1: tcp 10.22.0.99#4000 > 203.0.113.2#8080',
    ])
  })
})

describe('limits', () => {
  it('MaxPortPoolUsage: refused beyond it, existing flows go on, and there is room again when flows have ended', () => {
    const { lab: l, nat } = lab({ maxPortPoolUsage: 2 })
    const go = (n: number): string[] => l.say(INSIDE, udpPacket(`10.22.0.11#${5000 + n} > 203.0.113.2#53`))
    expect([go(1).length, go(2).length, go(3).length, go(4).length]).toEqual([1, 1, 0, 0])
    expect(l.drops).toEqual({ NatPortsSpent: 2 })
    expect(go(1)).toEqual(['1: udp 203.0.113.1#5001 > 203.0.113.2#53'])
    // One becomes a stream by what follows its first answer: 120 s. The others have 30.
    l.seconds(3)
    go(2)
    l.say(OUTSIDE, udpPacket('203.0.113.2#53 > 203.0.113.1#5002'))
    expect(l.say(OUTSIDE, udpPacket('203.0.113.2#53 > 203.0.113.1#5002'))).toHaveLength(1)
    l.seconds(31)
    expect(nat.used).toBe(1)
    expect(go(3)).toEqual(['1: udp 203.0.113.1#5003 > 203.0.113.2#53'])
    l.seconds(200)
    expect(nat.used).toBe(0)
  })

  it('a table of flows that is full gives the port back', () => {
    const { lab: l, nat } = lab({ mapping: 'endpoint-independent' }, { maxFlows: 64, whenFull: 'refuse' })
    for (let i = 0; i < 200; i++) l.send(INSIDE, udpPacket(`10.22.0.11#${5000 + i} > 203.0.113.2#53`))
    expect(l.drops.ConntrackFull).toBeGreaterThan(100)
    expect(nat.used).toBe([...l.nat.flows()].length)
    l.seconds(200)
    expect(nat.used).toBe(0)
  })
})

describe('hostPort (modes.md 17.3)', () => {
  const node = (): { lab: Lab; mappings: PortMappings } => {
    let mappings: PortMappings | undefined
    const made = new Lab((l) => {
      const nat = new SourceNat(l.addresses, { outside: l.outside })
      mappings = new PortMappings(l.addresses)
      mappings.addAll(
        cniPortMappings({
          containerIps: ['10.22.0.11/16', 'fd00:22::b/64'],
          portMappings: [
            { hostPort: 8080, containerPort: 80, protocol: 'tcp' },
            { hostPort: 53, containerPort: 5353, protocol: 'udp' },
          ],
        }),
      )
      const outbound = new OutboundNat([
        ...markedMasquerade(nat),
        ...cniIpMasq({ pods: ['10.22.0.11', '10.22.0.12'], subnet: '10.22.0.0/16', nat }),
      ])
      return { destination: [mappings], source: [outbound] }
    })
    return { lab: made, mappings: mappings as PortMappings }
  }

  it('from outside: the source stays (modes.md 18.10), the answer has the node’s address', () => {
    const { lab: l } = node()
    expect(l.say(OUTSIDE, tcpPacket('203.0.113.2#1234 > 203.0.113.1#8080', 'S'))).toEqual([
      '0: tcp 203.0.113.2#1234 > 10.22.0.11#80',
    ])
    expect(l.say(INSIDE, tcpPacket('10.22.0.11#80 > 203.0.113.2#1234', 'SA', { ack: 1001 }))).toEqual([
      '1: tcp 203.0.113.1#8080 > 203.0.113.2#1234',
    ])
  })

  it('from a neighbour of the pod: masqueraded with the gateway’s address, both ways by the node (18.8)', () => {
    const { lab: l } = node()
    expect(l.say(INSIDE, tcpPacket('10.22.0.12#1234 > 203.0.113.1#8080', 'S'))).toEqual([
      '0: tcp 10.22.0.1#1234 > 10.22.0.11#80',
    ])
    expect(l.say(INSIDE, tcpPacket('10.22.0.11#80 > 10.22.0.1#1234', 'SA', { ack: 1001 }))).toEqual([
      '0: tcp 203.0.113.1#8080 > 10.22.0.12#1234',
    ])
  })

  it('from the pod to itself', () => {
    const { lab: l } = node()
    expect(l.say(INSIDE, udpPacket('10.22.0.11#1234 > 10.22.0.1#53'))).toEqual([
      '0: udp 10.22.0.1#1234 > 10.22.0.11#5353',
    ])
    expect(l.say(INSIDE, udpPacket('10.22.0.11#5353 > 10.22.0.1#1234'))).toEqual([
      '0: udp 10.22.0.1#53 > 10.22.0.11#1234',
    ])
  })

  it('of IPv6', () => {
    const { lab: l } = node()
    expect(l.say(OUTSIDE, tcpPacket('2001:db8:7::2#1234 > 2001:db8:7::1#8080', 'S'))).toEqual([
      '0: tcp 2001:db8:7::2#1234 > fd00:22::b#80',
    ])
    expect(l.say(INSIDE, tcpPacket('fd00:22::b#80 > 2001:db8:7::2#1234', 'SA', { ack: 1001 }))).toEqual([
      '1: tcp 2001:db8:7::1#8080 > 2001:db8:7::2#1234',
    ])
  })

  it('what is routed through the node to the same port elsewhere is not for the pod', () => {
    const { lab: l } = node()
    expect(l.say(INSIDE, tcpPacket('10.22.0.12#1234 > 203.0.113.2#8080', 'S'))).toEqual([
      '1: tcp 203.0.113.1#1234 > 203.0.113.2#8080',
    ])
  })

  it('a client of UDP that never stops finds the new pod', () => {
    const { lab: l, mappings } = node()
    const ask = udpPacket('203.0.113.2#1234 > 203.0.113.1#53')
    expect(l.say(OUTSIDE, ask)).toEqual(['0: udp 203.0.113.2#1234 > 10.22.0.11#5353'])
    // Numbers are given in the order of adding: TCP, UDP, of IPv4 first.
    expect(mappings.list()[1]).toBe('udp *:53 -> 10.22.0.11:5353')
    expect(mappings.remove(1)).toBe(true)
    expect(l.say(OUTSIDE, ask)).toEqual(['0: udp 203.0.113.2#1234 > 10.22.0.11#5353'])
    mappings.add({ protocol: 'udp', port: 53, to: '10.22.0.12', toPort: 5353 })
    expect(l.say(OUTSIDE, ask)).toEqual(['0: udp 203.0.113.2#1234 > 10.22.0.12#5353'])
  })
})

it('a mapping of a virtual address ends flows of UDP that went there before', () => {
  let mappings: PortMappings | undefined
  const l = new Lab((made) => {
    mappings = new PortMappings(made.addresses)
    return { destination: [mappings] }
  })
  const ask = udpPacket('10.22.0.12#1234 > 203.0.113.200#53')
  expect(l.say(INSIDE, ask)).toEqual(['1: udp 10.22.0.12#1234 > 203.0.113.200#53'])
  mappings?.add({ protocol: 'udp', port: 53, address: '203.0.113.200', local: false, to: '10.22.0.11' })
  expect(l.say(INSIDE, ask)).toEqual(['0: udp 10.22.0.12#1234 > 10.22.0.11#53'])
})

describe('HNS (modes.md 2.3, 2.4, 16)', () => {
  const node = (): Lab =>
    new Lab((l) => {
      const mappings = new PortMappings(l.addresses)
      mappings.addAll(
        hnsPortMappings(
          ['10.22.0.11'],
          [
            { Type: 'PortMapping', Settings: { Protocol: 6, InternalPort: 80, ExternalPort: 8080 } },
            {
              Type: 'PortMapping',
              Settings: { Protocol: 17, InternalPort: 53, ExternalPort: 53, VIP: '203.0.113.200' },
            },
          ],
        ),
      )
      const outbound = hnsOutboundNat(l.addresses, {
        endpoint: ['10.22.0.11'],
        policies: [{ Type: 'OutBoundNAT', Settings: { Exceptions: ['203.0.113.3/32'], VirtualIP: '203.0.113.77' } }],
        outside: l.outside,
      })
      return { destination: [mappings], source: [outbound], icmpTransposition: false }
    })

  it('TCP and UDP leave with the virtual address, to exceptions with their own', () => {
    const l = node()
    expect(l.say(INSIDE, udpPacket('10.22.0.11#5000 > 203.0.113.2#53'))).toEqual([
      '1: udp 203.0.113.77#5000 > 203.0.113.2#53',
    ])
    expect(l.say(INSIDE, udpPacket('10.22.0.11#5000 > 203.0.113.3#53'))).toEqual([
      '1: udp 10.22.0.11#5000 > 203.0.113.3#53',
    ])
    // Neither has the neighbour a policy.
    expect(l.say(INSIDE, udpPacket('10.22.0.12#5000 > 203.0.113.2#53'))).toEqual([
      '1: udp 10.22.0.12#5000 > 203.0.113.2#53',
    ])
  })

  it('the answers of an exempt flow stay as they are', () => {
    const l = node()
    l.send(INSIDE, udpPacket('10.22.0.11#5000 > 203.0.113.3#53'))
    expect(l.say(OUTSIDE, udpPacket('203.0.113.3#53 > 10.22.0.11#5000'))).toEqual([
      '0: udp 203.0.113.3#53 > 10.22.0.11#5000',
    ])
    // And what begins outside is answered without translation, exception or not.
    l.send(OUTSIDE, udpPacket('203.0.113.2#9 > 10.22.0.11#7000'))
    expect(l.say(INSIDE, udpPacket('10.22.0.11#7000 > 203.0.113.2#9'))).toEqual([
      '1: udp 10.22.0.11#7000 > 203.0.113.2#9',
    ])
  })

  it('ICMP leaves as it is (2.4)', () => {
    expect(node().say(INSIDE, echo('10.22.0.11#77 > 203.0.113.2'))).toEqual(['1: icmp 8 10.22.0.11#77 > 203.0.113.2'])
  })

  it('port mappings, of the node’s address and of a virtual one', () => {
    const l = node()
    expect(l.say(OUTSIDE, tcpPacket('203.0.113.2#1234 > 203.0.113.1#8080', 'S'))).toEqual([
      '0: tcp 203.0.113.2#1234 > 10.22.0.11#80',
    ])
    expect(l.say(INSIDE, tcpPacket('10.22.0.11#80 > 203.0.113.2#1234', 'SA', { ack: 1001 }))).toEqual([
      '1: tcp 203.0.113.1#8080 > 203.0.113.2#1234',
    ])
    expect(l.say(OUTSIDE, udpPacket('203.0.113.2#9 > 203.0.113.200#53'))).toEqual([
      '0: udp 203.0.113.2#9 > 10.22.0.11#53',
    ])
    expect(l.say(INSIDE, udpPacket('10.22.0.11#53 > 203.0.113.2#9'))).toEqual([
      '1: udp 203.0.113.200#53 > 203.0.113.2#9',
    ])
  })
})

describe('whatever comes', () => {
  const step = fc.record({
    side: fc.constantFrom(INSIDE, OUTSIDE),
    name: fc.constantFrom('udp', 'tcp', 'echo', 'reply'),
    flags: fc.constantFrom('S', 'SA', 'A', 'FA', 'R'),
    a: fc.constantFrom('10.22.0.11', '10.22.0.12', '203.0.113.2', '203.0.113.3'),
    // Never an inside address: a flow to one is not translated, nor are its answers.
    b: fc.constantFrom('203.0.113.1', '203.0.113.2', '203.0.113.3'),
    aPort: fc.constantFrom(53, 5000, 5001),
    bPort: fc.constantFrom(53, 5000, 5001, 8080),
    wait: fc.constantFrom(0, 0, 0, 1, 40),
  })

  it.each([
    ['linux', {}],
    ['rfc4787', { ...BEHAVIOUR.rfc4787, inside: ['10.22.0.0/16'] }],
    ['small', { ...BEHAVIOUR.winnat, maxPortPoolUsage: 3, inside: ['10.22.0.0/16'] }],
    ['symmetric', { mapping: 'address-and-port-dependent', filtering: 'address-dependent', ports: 'random' }],
  ] as const)('%s: what leaves is translated, and when all flows have ended nothing is held', (_, options) => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const { lab: l, nat } = lab(options, { maxFlows: 64 })
        for (const s of steps) {
          const text = `${s.a}#${s.aPort} > ${s.b}#${s.bPort}`
          const packet =
            s.name === 'udp'
              ? udpPacket(text)
              : s.name === 'tcp'
                ? tcpPacket(text, s.flags)
                : echo(`${s.a}#${s.aPort} > ${s.b}`, s.name === 'echo' ? 8 : 0)
          for (const line of l.send(s.side, packet)) {
            const [side, bytes] = [line[0], hex(line.slice(3))]
            const said = describePacket(bytes)
            // Errors of the router itself quote what they are about.
            if (side === '1' && !said.includes('[')) expect(said).not.toMatch(/10\.22\.0\.1[12](#\d+)? >/)
          }
          if (s.wait > 0) l.seconds(s.wait)
        }
        l.nat.endFlows(() => true)
        l.seconds(1)
        expect(nat.used).toBe(0)
        expect([...nat.mappings()]).toEqual([])
        expect([...l.nat.flows()]).toEqual([])
      }),
      { numRuns: 100 },
    )
  })
})
