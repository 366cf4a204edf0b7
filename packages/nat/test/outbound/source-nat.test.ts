import { beforeEach, describe, expect, it } from 'vitest'
import { OutboundNat } from '../../src/outbound/outbound-nat.ts'
import { OutsidePorts } from '../../src/outbound/outside-ports.ts'
import { SourceNat } from '../../src/outbound/source-nat.ts'
import { BEHAVIOUR, type MappingBehaviour, type SourceNatOptions } from '../../src/outbound/source-nat-options.ts'
import { Lab } from './lab.ts'

/**
 * Hosts: Ann 10.22.0.11 and Bob 10.22.0.12 behind the NAT, whose uplink (interface 1) is 203.0.113.1; R 198.51.100.1 and
 * S 198.51.100.2 outside.
 */

let lab: Lab
beforeEach(() => {
  lab = new Lab()
  lab.address(1, '203.0.113.1')
  lab.address(1, '2001:db8::1')
})

function masquerade(options: SourceNatOptions = {}): SourceNat {
  return new SourceNat(lab.addresses, { outside: lab.outside, seed: 1, ...options })
}
const port = (to: string | null): number => Number(to?.split(':').at(-1))

describe('as Linux (modes.md 18)', () => {
  it('1: keeps the source port where the tuple of the reply is free', () => {
    expect(lab.send(masquerade(), 'udp 10.22.0.11:5000 > 198.51.100.1:53').to).toBe('203.0.113.1:5000')
  })

  it('2: on conflict gives a random port of the same class', () => {
    const nat = masquerade()
    for (const [own, low, high] of [
      [400, 1, 511],
      [700, 600, 1023],
      [550, 600, 1023],
      [5000, 1024, 65_535],
    ] as const) {
      expect(lab.send(nat, `tcp 10.22.0.11:${own} > 198.51.100.1:80`).to).toBe(`203.0.113.1:${own}`)
      const others = Array.from({ length: 40 }, (_, i) =>
        port(lab.send(nat, `tcp 10.22.1.${i}:${own} > 198.51.100.1:80`).to),
      )
      expect(Math.min(...others)).toBeGreaterThanOrEqual(low)
      expect(Math.max(...others)).toBeLessThanOrEqual(high)
      expect(new Set([own, ...others]).size).toBe(41)
      expect(others).not.toEqual(others.toSorted((a, b) => a - b))
    }
  })

  it('2: another destination is no conflict', () => {
    const nat = masquerade()
    lab.send(nat, 'udp 10.22.0.11:5000 > 198.51.100.1:53')
    expect(lab.send(nat, 'udp 10.22.0.12:5000 > 198.51.100.2:53').to).toBe('203.0.113.1:5000')
  })

  it('3: keeps a mapping for new destinations, while it is free towards them', () => {
    const nat = masquerade()
    lab.send(nat, 'udp 10.22.0.11:5000 > 198.51.100.1:53')
    const bob = lab.send(nat, 'udp 10.22.0.12:5000 > 198.51.100.1:53').to
    expect(bob).not.toBe('203.0.113.1:5000')
    expect(lab.send(nat, 'udp 10.22.0.12:5000 > 198.51.100.2:53').to).toBe(bob)
    expect(lab.send(nat, 'udp 10.22.0.12:5000 > 198.51.100.2:54').to).toBe(bob)
    expect(nat.counters).toMatchObject({ translated: 4, reused: 2 })
  })

  it('3: a mapping that is taken towards a destination makes way for another, which those to come have', () => {
    const nat = masquerade()
    lab.send(nat, 'udp 10.22.0.11:5000 > 198.51.100.1:53')
    lab.send(nat, 'udp 10.22.0.12:5000 > 198.51.100.2:53')
    const second = lab.send(nat, 'udp 10.22.0.12:5000 > 198.51.100.1:53').to
    expect(second).not.toBe('203.0.113.1:5000')
    expect(lab.send(nat, 'udp 10.22.0.12:5000 > 198.51.100.3:53').to).toBe(second)
    expect(nat.used).toBe(3)
    lab.endAll()
    expect(nat.used).toBe(0)
    expect([...nat.mappings()]).toEqual([])
  })

  it('3: nothing is left of a mapping that made way, when both have ended', () => {
    const nat = masquerade()
    lab.send(nat, 'udp 10.22.0.11:5000 > 198.51.100.1:53')
    const first = lab.send(nat, 'udp 10.22.0.12:5000 > 198.51.100.1:53')
    lab.send(nat, `udp 10.22.0.11:${port(first.to)} > 198.51.100.2:53`)
    const second = lab.send(nat, 'udp 10.22.0.12:5000 > 198.51.100.2:53')
    expect(second.to).toBe('203.0.113.1:5000')
    lab.end(first.id)
    lab.end(second.id)
    for (let i = 3; i < 9; i++) {
      expect(lab.send(nat, `udp 10.22.0.12:5000 > 198.51.100.${i}:53`).to).toBe('203.0.113.1:5000')
    }
    expect([...nat.mappings()].map((m) => m.flows).toSorted()).toEqual([1, 1, 6])
  })

  it('3: a mapping ends with its last flow', () => {
    const nat = masquerade()
    lab.send(nat, 'udp 10.22.0.11:5000 > 198.51.100.1:53')
    const first = lab.send(nat, 'udp 10.22.0.12:5000 > 198.51.100.1:53')
    const second = lab.send(nat, 'udp 10.22.0.12:5000 > 198.51.100.2:53')
    lab.end(first.id)
    expect(lab.send(nat, 'udp 10.22.0.12:5000 > 198.51.100.3:53').to).toBe(second.to)
    lab.endAll()
    expect(lab.send(nat, 'udp 10.22.0.12:5000 > 198.51.100.3:53').to).toBe('203.0.113.1:5000')
  })

  it('4: identifiers of ICMP are as ports, without classes', () => {
    const nat = masquerade()
    expect(lab.send(nat, 'icmp 10.22.0.11:77 > 198.51.100.1').to).toBe('203.0.113.1:77')
    const others = Array.from({ length: 40 }, (_, i) => port(lab.send(nat, `icmp 10.22.1.${i}:77 > 198.51.100.1`).to))
    expect(new Set(others).size).toBe(40)
    expect(Math.max(...others)).toBeGreaterThan(1024)
  })

  it('gives random ports on request (--random-fully), and never the same mapping twice', () => {
    const nat = masquerade({ ports: 'random' })
    const ports = Array.from({ length: 20 }, (_, i) =>
      port(lab.send(nat, `tcp 10.22.0.11:5000 > 198.51.100.1:${i + 1}`).to),
    )
    expect(new Set(ports).size).toBeGreaterThan(15)
    expect(nat.used).toBe(20)
    lab.endAll()
    expect(nat.used).toBe(0)
  })

  it('knows no parity', () => {
    const nat = masquerade()
    lab.send(nat, 'udp 10.22.0.11:5000 > 198.51.100.1:53')
    const others = Array.from({ length: 30 }, (_, i) =>
      port(lab.send(nat, `udp 10.22.1.${i}:5000 > 198.51.100.1:53`).to),
    )
    expect(new Set(others.map((p) => p & 1)).size).toBe(2)
  })

  it('translates more flows than it has mappings', () => {
    const nat = masquerade({ maxMappings: 2 })
    for (let i = 1; i <= 5; i++) lab.send(nat, `udp 10.22.0.${i}:5000 > 198.51.100.${i}:53`)
    expect([...nat.mappings()]).toHaveLength(2)
    expect(nat.used).toBe(5)
    lab.endAll()
    expect(nat.used).toBe(0)
  })
})

describe('ports', () => {
  it('of a range alone, preserved where they are in it', () => {
    const nat = masquerade({ portRange: '40000-40003' })
    expect(lab.send(nat, 'tcp 10.22.0.11:40002 > 198.51.100.1:80').to).toBe('203.0.113.1:40002')
    const rest = [1, 2, 3].map((i) => port(lab.send(nat, `tcp 10.22.0.11:${i} > 198.51.100.1:80`).to))
    expect(rest.toSorted()).toEqual([40_000, 40_001, 40_003])
    expect(lab.send(nat, 'tcp 10.22.0.11:4 > 198.51.100.1:80').drop).toBe('NatPortsSpent')
    expect(lab.send(nat, 'tcp 10.22.0.11:4 > 198.51.100.2:80').drop).toBeNull()
  })

  it('a range of 1,024 ports can be used up to the last, and a port that comes free is found', () => {
    const nat = masquerade({ portRange: '2000-3023', ports: 'random' })
    const ids = Array.from({ length: 1024 }, (_, i) => lab.send(nat, `tcp 10.22.0.11:${i} > 198.51.100.1:80`))
    expect(new Set(ids.map((flow) => flow.to)).size).toBe(1024)
    expect(lab.send(nat, 'tcp 10.22.0.12:1 > 198.51.100.1:80').drop).toBe('NatPortsSpent')
    const freed = ids[517]
    lab.end(freed?.id as number)
    expect(lab.send(nat, 'tcp 10.22.0.12:1 > 198.51.100.1:80').to).toBe(freed?.to)
  })

  it('a full range of 64,512 costs no more than 248 looks', () => {
    let looks = 0
    const nat = masquerade()
    lab.ask('udp 10.22.0.11:5000 > 198.51.100.1:53')
    nat.decide(lab.flow, {
      taken: () => {
        looks++
        return true
      },
    })
    expect(lab.flow.drop).not.toBe(-1)
    expect(looks).toBe(1 + 128 + 64 + 32 + 16 + 8)
  })

  it('of any class: a low one becomes a high one', () => {
    const nat = masquerade({ portClass: 'any' })
    lab.send(nat, 'tcp 10.22.0.11:400 > 198.51.100.1:80')
    expect(port(lab.send(nat, 'tcp 10.22.0.12:400 > 198.51.100.1:80').to)).toBeGreaterThanOrEqual(1024)
  })

  it('keep their parity on request (RFC 4787 REQ-4)', () => {
    const nat = masquerade({ parity: true, ports: 'random' })
    for (let i = 1; i < 60; i++) {
      expect(port(lab.send(nat, `udp 10.22.0.11:${5000 + i} > 198.51.100.1:53`).to) & 1).toBe(i & 1)
      expect(port(lab.send(nat, `udp 10.22.0.11:${500 + i} > 198.51.100.1:53`).to) & 1).toBe(i & 1)
    }
  })

  it('with parity, the odd ones of a range may be spent while even ones are left', () => {
    const nat = masquerade({ parity: true, portRange: '3000-3003' })
    lab.send(nat, 'udp 10.22.0.11:1 > 198.51.100.1:53')
    lab.send(nat, 'udp 10.22.0.11:3 > 198.51.100.1:53')
    expect(lab.send(nat, 'udp 10.22.0.11:5 > 198.51.100.1:53').drop).toBe('NatPortsSpent')
    expect(port(lab.send(nat, 'udp 10.22.0.11:6 > 198.51.100.1:53').to) & 1).toBe(0)
  })
})

describe('MaxPortPoolUsage', () => {
  it.each(['linux', 'endpoint-independent'] as const)('%s: refuses beyond it and recovers', (mapping) => {
    const nat = masquerade({ maxPortPoolUsage: 3, mapping })
    const ids = [1, 2, 3].map((i) => lab.send(nat, `tcp 10.22.0.${i}:5000 > 198.51.100.${i}:80`).id)
    expect(lab.send(nat, 'tcp 10.22.0.4:5000 > 198.51.100.4:80').drop).toBe('NatPortsSpent')
    expect(nat.counters.spent).toBe(1)
    // A flow more of an endpoint that has its port needs none.
    expect(lab.send(nat, 'tcp 10.22.0.1:5000 > 198.51.100.9:80').drop).toBeNull()
    lab.end(ids[1] as number)
    expect(lab.send(nat, 'tcp 10.22.0.4:5000 > 198.51.100.4:80').drop).toBeNull()
    lab.endAll()
    expect(nat.used).toBe(0)
  })
})

describe('mapping (RFC 4787, 4.1)', () => {
  const flows = ['198.51.100.1:53', '198.51.100.1:54', '198.51.100.2:53', '198.51.100.2:54']
  it.each([
    ['endpoint-independent', [0, 0, 0, 0]],
    ['address-dependent', [0, 0, 1, 1]],
    ['address-and-port-dependent', [0, 1, 2, 3]],
  ] as [MappingBehaviour, number[]][])('%s', (mapping, groups) => {
    const nat = masquerade({ mapping })
    const seen = flows.map((to) => lab.send(nat, `udp 10.22.0.11:5000 > ${to}`).to)
    expect(seen.map((to) => seen.indexOf(to))).toEqual(groups.map((g) => groups.indexOf(g)))
    expect(seen[0]).toBe('203.0.113.1:5000')
  })

  it('does not give a port to two inside endpoints (REQ-3), whatever the destination', () => {
    const nat = masquerade({ mapping: 'endpoint-independent' })
    lab.send(nat, 'udp 10.22.0.11:5000 > 198.51.100.1:53')
    expect(lab.send(nat, 'udp 10.22.0.12:5000 > 198.51.100.2:53').to).not.toBe('203.0.113.1:5000')
    // TCP has ports of its own.
    expect(lab.send(nat, 'tcp 10.22.0.12:5000 > 198.51.100.2:53').to).toBe('203.0.113.1:5000')
  })

  it('two NATs with one table of ports do not share a port', () => {
    const outsidePorts = new OutsidePorts()
    const [a, b] = [0, 1].map(() => masquerade({ mapping: 'endpoint-independent', outsidePorts })) as [
      SourceNat,
      SourceNat,
    ]
    lab.send(a, 'udp 10.22.0.11:5000 > 198.51.100.1:53')
    expect(lab.send(b, 'udp 10.23.0.11:5000 > 198.51.100.2:53').to).not.toBe('203.0.113.1:5000')
    expect(outsidePorts.size).toBe(2)
    lab.endAll()
    expect(outsidePorts.size).toBe(0)
  })

  it('a reserved port is not given out, where reservations count', () => {
    const outsidePorts = new OutsidePorts()
    lab.ask('tcp 10.22.0.11:8080 > 198.51.100.1:80')
    outsidePorts.reserve(6, lab.number('203.0.113.1'), 8080)
    outsidePorts.reserve(6, 0, 8443)
    for (const o of [{ mapping: 'endpoint-independent' }, { mapping: 'linux', heedReserved: true }] as const) {
      const nat = masquerade({ ...o, outsidePorts })
      expect(lab.send(nat, 'tcp 10.22.0.11:8080 > 198.51.100.1:80').to).not.toBe('203.0.113.1:8080')
      expect(lab.send(nat, 'tcp 10.22.0.11:8443 > 198.51.100.1:80').to).not.toBe('203.0.113.1:8443')
      expect(lab.send(nat, 'udp 10.22.0.11:8443 > 198.51.100.1:80').to).toBe('203.0.113.1:8443')
      lab.endAll()
    }
    // Linux gives a port to anyone towards whom it is free.
    expect(lab.send(masquerade({ outsidePorts }), 'tcp 10.22.0.11:8080 > 198.51.100.1:80').to).toBe('203.0.113.1:8080')
    expect(outsidePorts.unreserve(6, 0, 8443)).toBe(true)
    expect(outsidePorts.unreserve(6, 0, 8443)).toBe(false)
    const nat = masquerade({ mapping: 'endpoint-independent', outsidePorts })
    expect(lab.send(nat, 'tcp 10.22.0.11:8443 > 198.51.100.1:80').to).toBe('203.0.113.1:8443')
  })

  it('a reserved port may be had by whom it is for, in its zone', () => {
    const outsidePorts = new OutsidePorts()
    const own = lab.number('10.22.0.11')
    expect(outsidePorts.reserve(6, 0, 8080, own, 80)).toBe(true)
    const free = (inside: string, port: number, zone = 0): boolean =>
      outsidePorts.isFree(((zone << 16) | 6) >>> 0, lab.number('203.0.113.1'), 8080, lab.number(inside), port)
    expect([
      free('10.22.0.11', 80),
      free('10.22.0.11', 8080),
      free('10.22.0.12', 80),
      free('10.22.0.11', 80, 7),
    ]).toEqual([...[true, false, false, false]])
    // Another zone listens there too: the port stays reserved until both have gone.
    expect(outsidePorts.reserve(0x7_0006, 0, 8080, own, 80)).toBe(true)
    expect(outsidePorts.size).toBe(1)
    expect(outsidePorts.unreserve(6, 0, 8080, own, 80)).toBe(true)
    expect([free('10.22.0.11', 80), free('10.22.0.12', 80)]).toEqual([false, false])
    expect(outsidePorts.unreserve(0x7_0006, 0, 8080, own, 80)).toBe(true)
    expect([outsidePorts.size, free('10.22.0.12', 80)]).toEqual([0, true])
  })

  it('two zones with the same inside addresses have mappings of their own, and share the outside ports', () => {
    const nat = masquerade({ mapping: 'endpoint-independent', filtering: 'endpoint-independent' })
    const ask = (zone: number): number => {
      lab.ask('udp 10.22.0.11:5000 > 198.51.100.1:53')
      lab.flow.tuple.kind = ((zone << 16) | 17) >>> 0
      expect(nat.decide(lab.flow, lab.reply)).toBe(true)
      return lab.flow.toPort
    }
    const [a, b] = [ask(1), ask(40_000)]
    expect(a).toBe(5000)
    expect(b).not.toBe(5000)
    expect([ask(1), ask(40_000)]).toEqual([a, b])
    expect([...nat.mappings()].map((m) => [m.zone, m.outsidePort, m.flows])).toEqual([
      [1, a, 2],
      [40_000, b, 2],
    ])
    // What comes in from outside comes from a zone of its own.
    expect(lab.receive(nat.inbound, `udp 198.51.100.9:9 > 203.0.113.1:${b}`).to).toBe('10.22.0.11:5000')
  })

  it('refuses a flow whose mapping is taken towards the destination by something else', () => {
    const nat = masquerade({ mapping: 'endpoint-independent' })
    lab.send({ decide: () => false }, 'udp 203.0.113.1:5000 > 198.51.100.2:53')
    lab.send(nat, 'udp 10.22.0.11:5000 > 198.51.100.1:53')
    expect(lab.send(nat, 'udp 10.22.0.11:5000 > 198.51.100.2:53').drop).toBe('NatPortsSpent')
  })

  it('refuses a flow for whose mapping there is no room', () => {
    const nat = masquerade({ mapping: 'endpoint-independent', maxMappings: 2 })
    const [a] = [1, 2].map((port) => lab.send(nat, `udp 10.22.0.11:${port} > 198.51.100.1:53`))
    expect(lab.send(nat, 'udp 10.22.0.11:3 > 198.51.100.1:53').drop).toBe('NatPortsSpent')
    expect(lab.send(nat, 'udp 10.22.0.11:2 > 198.51.100.2:53').drop).toBeNull()
    lab.end(a!.id)
    expect(lab.send(nat, 'udp 10.22.0.11:3 > 198.51.100.1:53').drop).toBeNull()
    lab.endAll()
    expect(nat.used).toBe(0)
  })

  it('a socket with more remotes than there is room for peers keeps nobody from anything', () => {
    const nat = masquerade({ mapping: 'endpoint-independent', filtering: 'address-dependent', maxMappings: 2 })
    const sent = [1, 2, 3, 4].map((i) => lab.send(nat, `udp 10.22.0.11:1 > 198.51.100.${i}:53`))
    expect(sent.map((flow) => flow.to)).toEqual(Array(4).fill('203.0.113.1:1'))
    expect(lab.send(nat, 'udp 10.22.0.12:2 > 198.51.100.1:53').to).toBe('203.0.113.1:2')
    // Only that addresses beyond those let nothing in but answers.
    const from = (remote: string): string | null => lab.receive(nat.inbound, `udp ${remote}:9 > 203.0.113.1:1`).to
    expect(['198.51.100.2', '198.51.100.3'].map(from)).toEqual(['10.22.0.11:1', null])
    // Each flow gives back what it has, a peer or not.
    for (const { id } of [sent[2]!, sent[0]!]) lab.end(id)
    expect(nat.used).toBe(2)
    expect(lab.send(nat, 'udp 10.22.0.11:1 > 198.51.100.5:53').to).toBe('203.0.113.1:1')
    expect(from('198.51.100.5')).toBe('10.22.0.11:1')
    lab.endAll()
    expect([nat.used, [...nat.mappings()]]).toEqual([0, []])
    // The peers have gone too.
    for (const i of [6, 7]) lab.send(nat, `udp 10.22.0.11:1 > 198.51.100.${i}:53`)
    expect(['198.51.100.6', '198.51.100.7'].map(from)).toEqual(['10.22.0.11:1', '10.22.0.11:1'])
  })

  it('has room for as many mappings as may be used', () => {
    const nat = masquerade({ mapping: 'endpoint-independent', maxPortPoolUsage: 70_000 })
    for (let i = 0; i < 70_000; i++) {
      const [name, p] = i & 1 ? ['udp', i >> 1] : ['tcp', i >> 1]
      const { drop } = lab.send(nat, `${name} 10.22.0.11:${1024 + p} > 198.51.100.1:53`)
      if (drop !== null) throw new Error(`${drop} at ${i}`)
    }
    expect(nat.used).toBe(70_000)
    expect(lab.send(nat, 'sctp 10.22.0.11:1 > 198.51.100.1:53').drop).toBe('NatPortsSpent')
  })
})

describe('filtering (RFC 4787, 5)', () => {
  const cases = [
    ['endpoint-independent', 'udp 198.51.100.9:9 > 203.0.113.1:5000', true],
    ['endpoint-independent', 'udp 198.51.100.1:9 > 203.0.113.1:5000', true],
    ['address-dependent', 'udp 198.51.100.9:9 > 203.0.113.1:5000', false],
    ['address-dependent', 'udp 198.51.100.1:9 > 203.0.113.1:5000', true],
    ['address-and-port-dependent', 'udp 198.51.100.1:9 > 203.0.113.1:5000', false],
    ['address-and-port-dependent', 'udp 198.51.100.9:9 > 203.0.113.1:5000', false],
  ] as const
  for (const mapping of ['endpoint-independent', 'address-dependent', 'address-and-port-dependent'] as const) {
    it.each(cases)(`${mapping}: %s: %s`, (filtering, packet, comesIn) => {
      const nat = masquerade({ mapping, filtering })
      lab.send(nat, 'udp 10.22.0.11:5000 > 198.51.100.1:53')
      const { to, drop } = lab.receive(nat.inbound, packet)
      expect({ to, drop }).toEqual(comesIn ? { to: '10.22.0.11:5000', drop: null } : { to: null, drop: 'NatFiltered' })
      expect(nat.counters).toMatchObject(comesIn ? { admitted: 1, filtered: 0 } : { admitted: 0, filtered: 1 })
    })
  }

  it('a port that nobody has is the node’s', () => {
    const nat = masquerade(BEHAVIOUR.rfc4787)
    lab.send(nat, 'udp 10.22.0.11:5000 > 198.51.100.1:53')
    for (const packet of ['udp 198.51.100.1:53 > 203.0.113.1:5001', 'tcp 198.51.100.1:53 > 203.0.113.1:5000']) {
      expect(lab.receive(nat.inbound, packet).decided).toBe(false)
    }
  })

  it('a ping from outside is the node’s, whatever its identifier', () => {
    const nat = masquerade({ mapping: 'endpoint-independent', filtering: 'endpoint-independent' })
    lab.send(nat, 'icmp 10.22.0.11:77 > 198.51.100.1')
    expect(lab.receive(nat.inbound, 'icmp 198.51.100.1:77 > 203.0.113.1').decided).toBe(false)
  })

  it('as Linux: what is no reply is the node’s', () => {
    const nat = masquerade()
    lab.send(nat, 'udp 10.22.0.11:5000 > 198.51.100.1:53')
    expect(lab.receive(nat.inbound, 'udp 198.51.100.1:54 > 203.0.113.1:5000').decided).toBe(false)
  })

  it('a peer is let in while a flow to it lasts', () => {
    const nat = masquerade(BEHAVIOUR.winnat)
    const one = lab.send(nat, 'udp 10.22.0.11:5000 > 198.51.100.1:53')
    const two = lab.send(nat, 'udp 10.22.0.11:5000 > 198.51.100.1:54')
    lab.send(nat, 'udp 10.22.0.11:5000 > 198.51.100.2:53')
    const asks = (): string | null => lab.receive(nat.inbound, 'udp 198.51.100.1:9 > 203.0.113.1:5000').drop
    lab.end(one.id)
    expect(asks()).toBeNull()
    lab.end(two.id)
    expect(asks()).toBe('NatFiltered')
  })
})

describe('hairpin (RFC 4787 REQ-9)', () => {
  it('turns round what comes from behind the NAT, with the sender’s outside endpoint as its source', () => {
    const nat = masquerade({ ...BEHAVIOUR.rfc4787, inside: ['10.22.0.0/16'] })
    const outbound = new OutboundNat([{ from: ['10.22.0.0/16'], out: [1], verdict: nat }])
    expect(lab.send(outbound, 'udp 10.22.0.12:6000 > 198.51.100.1:53').to).toBe('203.0.113.1:6000')
    expect(lab.send(outbound, 'udp 10.22.0.11:5000 > 198.51.100.1:53').to).toBe('203.0.113.1:5000')

    // Ann to Bob's outside endpoint: the filter of Bob's mapping does not stand in the way of a neighbour.
    lab.ask('udp 10.22.0.11:5000 > 203.0.113.1:6000', { in: 2, out: 0, toLocal: true })
    const { flow } = lab
    expect(outbound.inbound.decide(flow)).toBe(true)
    expect(lab.text(flow.tuple.kind, flow.toAddress)).toBe('10.22.0.12')
    expect([flow.toPort, flow.masquerade, lab.text(0, flow.sourceAddress)]).toEqual([6000, true, '203.0.113.1'])
    const { tag } = flow

    // Second round: the destination is Bob, the way out is the inside interface, which no rule is about.
    flow.tuple.set(flow.tuple.src, flow.toAddress, 5000, flow.toPort, flow.tuple.kind)
    flow.destinationTag = tag
    flow.resetRound()
    flow.out = 2
    expect(outbound.decide(flow, lab.reply)).toBe(true)
    expect([lab.text(0, flow.toAddress), flow.toPort]).toEqual(['203.0.113.1', 5000])
    outbound.inbound.ended?.(tag, 0)
    outbound.ended(flow.tag)
    expect(nat.counters).toMatchObject({ turned: 1, filtered: 0 })
    lab.endAll()
    expect(nat.used).toBe(0)
  })

  it('keeps the mapping of whom it is turned to', () => {
    const nat = masquerade({ ...BEHAVIOUR.rfc4787, inside: ['10.22.0.0/16'] })
    const bob = lab.send(nat, 'udp 10.22.0.12:6000 > 198.51.100.1:53')
    lab.ask('udp 10.22.0.11:5000 > 203.0.113.1:6000')
    nat.inbound.decide(lab.flow)
    const { tag } = lab.flow
    lab.end(bob.id)
    expect(nat.used).toBe(1)
    nat.ended(tag)
    expect(nat.used).toBe(0)
  })
})

describe('addresses', () => {
  it('of a pool: the same one for an inside host (REQ-2)', () => {
    const nat = new SourceNat(lab.addresses, { to: ['203.0.113.8-203.0.113.15'], pooling: 'paired', seed: 3 })
    const used = new Set<string>()
    for (let host = 1; host < 60; host++) {
      const seen = new Set<string>()
      for (let i = 1; i < 10; i++) {
        seen.add(lab.send(nat, `udp 10.22.0.${host}:${1000 + i} > 198.51.100.${i}:53`).to?.split(':')[0] as string)
      }
      expect(seen.size).toBe(1)
      for (const address of seen) used.add(address)
    }
    expect(used.size).toBe(8)
  })

  it('of a pool by destination too, and the next one where one is spent', () => {
    const nat = new SourceNat(lab.addresses, {
      to: ['203.0.113.8', '203.0.113.9'],
      pooling: 'arbitrary',
      portRange: '7000',
    })
    const seen = new Set<string | null>()
    for (let i = 1; i < 20; i++) seen.add(lab.send(nat, `udp 10.22.0.11:${i} > 198.51.100.${i}:53`).to)
    expect([...seen].toSorted()).toEqual(['203.0.113.8:7000', '203.0.113.9:7000'])
    lab.endAll()
    const two = [1, 2].map((i) => lab.send(nat, `udp 10.22.0.11:${i} > 198.51.100.1:53`).to)
    expect(two.toSorted()).toEqual(['203.0.113.8:7000', '203.0.113.9:7000'])
    expect(lab.send(nat, 'udp 10.22.0.11:3 > 198.51.100.1:53').drop).toBe('NatPortsSpent')
  })

  it('of a pool by destination too, as Linux has it, but one for a socket (nf_nat_core.c: find_appropriate_src)', () => {
    for (const options of [BEHAVIOUR.linux, {}]) {
      const nat = new SourceNat(lab.addresses, { ...options, to: ['203.0.113.8-203.0.113.15'], seed: 3 })
      const [several, one] = [new Set<unknown>(), new Set<unknown>()]
      for (let i = 1; i < 10; i++) {
        several.add(lab.send(nat, `udp 10.22.0.11:${5000 + i} > 198.51.100.${i}:53`).to?.split(':')[0])
        one.add(lab.send(nat, `udp 10.22.0.12:4000 > 198.51.100.${i}:53`).to)
      }
      expect(several.size).toBeGreaterThan(3)
      expect(one.size).toBe(1)
      lab.endAll()
    }
    const paired = new SourceNat(lab.addresses, { ...BEHAVIOUR.rfc4787, to: ['203.0.113.8-203.0.113.15'], seed: 3 })
    const seen = [1, 2, 3, 4].map((i) => lab.send(paired, `udp 10.22.0.11:${5000 + i} > 198.51.100.${i}:53`).to)
    expect(new Set(seen.map((to) => to?.split(':')[0])).size).toBe(1)
  })

  it('of a pool, paired: a host whose address is spent gets no other (REQ-2)', () => {
    const nat = new SourceNat(lab.addresses, {
      to: ['203.0.113.8', '203.0.113.9'],
      ...{ pooling: 'paired', portRange: '7000', mapping: 'endpoint-independent' },
    })
    expect(lab.send(nat, 'udp 10.22.0.11:1 > 198.51.100.1:53').drop).toBeNull()
    expect(lab.send(nat, 'udp 10.22.0.11:2 > 198.51.100.1:53').drop).toBe('NatPortsSpent')
    const others = Array.from({ length: 20 }, (_, i) => lab.send(nat, `udp 10.22.1.${i}:1 > 198.51.100.1:53`).to)
    expect(others.filter((to) => to !== null)).toHaveLength(1)
  })

  it('of a pool of the other family leave the flow to others', () => {
    const nat = new SourceNat(lab.addresses, { to: ['203.0.113.8'] })
    expect(lab.send(nat, 'udp [fd00::1]:5000 > [2001:db8:9::1]:53')).toMatchObject({ decided: false, to: null })
  })

  it('that an interface has not: dropped', () => {
    expect(lab.send(masquerade(), 'udp 10.22.0.11:5000 > 198.51.100.1:53', { out: 9 }).drop).toBe('NatUnsupported')
  })

  it('that was asked for', () => {
    const nat = masquerade()
    lab.ask('udp 10.22.0.11:5000 > 198.51.100.1:53', { masquerade: true })
    lab.flow.sourceAddress = lab.number('203.0.113.99')
    nat.decide(lab.flow, lab.reply)
    expect(lab.text(0, lab.flow.toAddress)).toBe('203.0.113.99')
  })

  it('differ by interface: each has a mapping of its own', () => {
    lab.address(2, '192.0.2.1')
    const nat = masquerade({ mapping: 'endpoint-independent' })
    expect(lab.send(nat, 'udp 10.22.0.11:5000 > 198.51.100.1:53').to).toBe('203.0.113.1:5000')
    expect(lab.send(nat, 'udp 10.22.0.11:5000 > 198.51.100.2:53', { out: 2 }).to).toBe('192.0.2.1:5000')
    expect(nat.used).toBe(2)
  })

  it('of IPv6 are held while they are needed, and no longer', () => {
    const nat = masquerade({ ...BEHAVIOUR.rfc4787 })
    const before = lab.addresses.size
    const flow = lab.send(nat, 'udp [fd00::1]:5000 > [2001:db8:9::1]:53')
    expect(flow.to).toBe('[2001:db8::1]:5000')
    expect(lab.addresses.size).toBe(before + 2)
    expect([...nat.mappings()]).toEqual([
      {
        protocol: 17,
        inside: 'fd00::1',
        insidePort: 5000,
        outside: '2001:db8::1',
        outsidePort: 5000,
        remote: null,
        remotePort: null,
        zone: 0,
        flows: 1,
      },
    ])
    lab.end(flow.id)
    expect(lab.addresses.size).toBe(before)
  })
})

describe('protocols', () => {
  it('without ports are translated by their address, one inside host at a time', () => {
    const nat = masquerade()
    const gre = lab.send(nat, '47 10.22.0.11 > 198.51.100.1')
    expect(gre.to).toBe('203.0.113.1')
    expect(lab.send(nat, '47 10.22.0.12 > 198.51.100.1').drop).toBe('NatUnsupported')
    expect(lab.send(nat, '47 10.22.0.12 > 198.51.100.2').to).toBe('203.0.113.1')
    lab.end(gre.id)
    expect(lab.send(nat, '47 10.22.0.12 > 198.51.100.1').to).toBe('203.0.113.1')
  })

  it.each(['sctp', 'dccp', 'udplite'])('%s has ports', (name) => {
    const nat = masquerade()
    lab.send(nat, `${name} 10.22.0.11:5000 > 198.51.100.1:80`)
    expect(port(lab.send(nat, `${name} 10.22.0.12:5000 > 198.51.100.1:80`).to)).not.toBe(5000)
  })

  it('HNS: TCP and UDP alone, everything else leaves as it is (modes.md 2.4)', () => {
    const nat = masquerade(BEHAVIOUR.hns)
    expect(lab.send(nat, 'tcp 10.22.0.11:5000 > 198.51.100.1:80').to).toBe('203.0.113.1:5000')
    expect(lab.send(nat, 'icmp 10.22.0.11:5000 > 198.51.100.1')).toMatchObject({ decided: true, to: null, drop: null })
    expect(lab.send(nat, 'sctp 10.22.0.11:5000 > 198.51.100.1:80').to).toBeNull()
  })

  it('or is dropped, if so configured', () => {
    const nat = masquerade({ icmpTransposition: false, otherProtocols: 'drop' })
    expect(lab.send(nat, 'icmp 10.22.0.11:5000 > 198.51.100.1').drop).toBe('NatUnsupported')
    expect(lab.send(nat, 'icmpv6 [fd00::1]:7 > [2001:db8:9::1]').drop).toBe('NatUnsupported')
    expect(lab.send(nat, 'sctp 10.22.0.11:5000 > 198.51.100.1:80').to).toBe('203.0.113.1:5000')
    expect(nat.counters.unsupported).toBe(2)
  })
})

describe('configuration that makes no sense', () => {
  it.each([
    [{ mapping: 'cone' }, /mapping must be one of .*"cone"/],
    [{ filtering: 'none' }, /filtering must be one of .*"none"/],
    [{ filtering: 'address-dependent' }, /filtering: "address-dependent" needs a mapping that owns its port/],
    [{ inside: ['10.0.0.0/8'] }, /inside: .* owns its port/],
    [{ ports: 'sequential' }, /ports must be one of preserve, random, not "sequential"/],
    [{ portClass: 'low' }, /portClass must be one of/],
    [{ portRange: '100-50' }, /portRange: "100-50" ends before it begins/],
    [{ portRange: 'x' }, /portRange must be a port or "first-last", not "x"/],
    [{ portRange: '1-70000' }, /portRange must be a whole number from 1 to 65535, not 70000/],
    [{ maxPortPoolUsage: 0 }, /maxPortPoolUsage must be a whole number from 1 to/],
    [{ maxMappings: 0.5 }, /maxMappings must be a whole number/],
    [{ protocols: [300] }, /protocols\[0\] must be a whole number from 0 to 255, not 300/],
    [{ otherProtocols: 'reject' }, /otherProtocols must be one of pass, drop/],
    [{ pooling: 'x' }, /pooling must be one of/],
    [{ parity: 1 }, /parity must be true or false, not 1/],
    [{ icmpTransposition: 0 }, /icmpTransposition must be true or false/],
    [{ to: [] }, /to must name an address/],
    [{ to: ['10.0.0.0/8'] }, /to\[0\]: "10.0.0.0\/8" is not the address of one host/],
    [{ to: ['224.0.0.1'] }, /to\[0\]: "224.0.0.1" is not the address of one host/],
    [{ to: ['10.0.0.9-10.0.0.1'] }, /to\[0\]: .* ends before it begins/],
    [{ to: ['10.0.0.0-11.0.0.0'] }, /more than 65536 addresses/],
    [{ to: ['fd00::1-fd00::2'] }, /is not a range of IPv4 addresses/],
    [{ to: '203.0.113.1' }, /to must be a list of addresses, not "203.0.113.1"/],
    [{ to: null }, /to must be a list of addresses, not null/],
    [{ to: ['203.0.113.2', '203.0.113.1-203.0.113.3'] }, /to names 203.0.113.2 twice/],
    [{ to: ['2001:db8::1', '2001:db8:0::1'] }, /to names 2001:db8::1 twice/],
    [{ seed: 'x' }, /seed must be a whole number, not "x"/],
    [{ seed: 0.5 }, /seed must be a whole number, not 0.5/],
    [{ random: 5 }, /random must be a function, not 5/],
    [{ heedReserved: 'no' }, /heedReserved must be true or false, not "no"/],
    [{ masquerade: true }, /unknown key "masquerade"/],
  ] as [Record<string, unknown>, RegExp][])('%j', (options, error) => {
    expect(() => masquerade(options as SourceNatOptions)).toThrow(error)
  })

  it('neither addresses nor where to find them', () => {
    expect(() => new SourceNat(lab.addresses, {})).toThrow(/outside must be given where to is not/)
  })
})
