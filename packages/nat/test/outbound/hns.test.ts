import { beforeEach, describe, expect, it } from 'vitest'
import {
  hnsOutboundNat,
  loopbackDsr,
  type OutboundNatPolicyV1,
  type OutboundNatPolicyV2,
  withIpMasqNetwork,
} from '../../src/outbound/hns.ts'
import type { OutboundNat } from '../../src/outbound/outbound-nat.ts'
import { Lab } from './lab.ts'

/** OutBoundNAT of HNS, case by case (modes.md 2.3, 2.4). The pod is 10.244.1.5, the host 192.168.7.10. */

type Policy = OutboundNatPolicyV1 | OutboundNatPolicyV2
const POD = '10.244.1.5'
const CLUSTER = '10.244.0.0/16'
const SERVICES = '10.96.0.0/12'
const MANAGEMENT = '192.168.7.0/24'

let lab: Lab
beforeEach(() => {
  lab = new Lab()
  lab.address(1, '192.168.7.10')
  lab.address(1, '2001:db8::10')
})

function nat(policies: readonly Policy[], endpoint: readonly string[] = [POD]): OutboundNat {
  return hnsOutboundNat(lab.addresses, { endpoint, policies, outside: lab.outside })
}

/** The source with which a TCP flow to an address leaves. */
function source(policy: OutboundNat, to: string, from = POD): string {
  const host = (a: string): string => (a.includes(':') ? `[${a}]` : a)
  const outcome = lab.send(policy, `tcp ${host(from)}:5000 > ${host(to)}:80`)
  lab.end(outcome.id)
  return outcome.to ?? 'own'
}

const v1 = (more: Partial<OutboundNatPolicyV1> = {}): Policy => ({ Type: 'OutBoundNAT', ...more })
const v2 = (settings: OutboundNatPolicyV2['Settings'] = {}): Policy => ({ Type: 'OutBoundNAT', Settings: settings })

describe('exceptions', () => {
  it.each([
    ['v1', v1({ ExceptionList: [CLUSTER, SERVICES, MANAGEMENT] })],
    ['v2', v2({ Exceptions: [CLUSTER, SERVICES, MANAGEMENT] })],
  ])('%s: are not translated, all else is', (_, policy) => {
    const p = nat([policy])
    for (const to of ['10.244.2.7', '10.244.255.255', '10.96.0.1', '10.111.255.255', '192.168.7.1']) {
      expect(source(p, to)).toBe('own')
    }
    for (const to of ['10.245.0.0', '10.95.255.255', '10.112.0.0', '192.168.8.1', '8.8.8.8']) {
      expect(source(p, to)).toBe('192.168.7.10:5000')
    }
  })

  it('an exception is a decision: no later policy translates', () => {
    const p = nat([v1({ ExceptionList: [CLUSTER] })])
    expect(lab.send(p, `tcp ${POD}:5000 > 10.244.2.7:80`)).toMatchObject({ decided: true, to: null })
  })

  it('may be single addresses', () => {
    const p = nat([v2({ Exceptions: ['8.8.8.8'] })])
    expect([source(p, '8.8.8.8'), source(p, '8.8.4.4')]).toEqual(['own', '192.168.7.10:5000'])
  })
})

it('neither exceptions nor destinations: everything that leaves is translated', () => {
  for (const policy of [v1(), v2()]) expect(source(nat([policy]), '10.244.2.7')).toBe('192.168.7.10:5000')
})

it('without a policy nothing is (Docker’s default on l2bridge, modes.md 2.2)', () => {
  expect(lab.send(nat([]), `tcp ${POD}:5000 > 8.8.8.8:80`)).toMatchObject({ decided: false, to: null })
})

it('is about its endpoint alone', () => {
  expect(source(nat([v1()]), '8.8.8.8', '10.244.1.6')).toBe('own')
})

describe('destinations', () => {
  it('are translated, and nothing else', () => {
    const p = nat([v2({ Destinations: [POD] })])
    expect(source(p, POD)).toBe('192.168.7.10:5000')
    expect(source(p, '10.244.1.6')).toBe('own')
    expect(source(p, '8.8.8.8')).toBe('own')
  })

  it('less the exceptions of the same policy', () => {
    const p = nat([v2({ Destinations: ['10.244.1.0/24'], Exceptions: ['10.244.1.8/29'] })])
    expect([source(p, '10.244.1.7'), source(p, '10.244.1.8')]).toEqual(['192.168.7.10:5000', 'own'])
  })

  it.each([1, 2] as const)('loopback DSR stands beside exceptions that hold the endpoint itself, API %i', (api) => {
    const p = nat([v1({ ExceptionList: [CLUSTER] }), loopbackDsr(POD, api)])
    expect(source(p, POD)).toBe('192.168.7.10:5000')
    expect(source(p, '10.244.1.6')).toBe('own')
    expect(source(p, '8.8.8.8')).toBe('192.168.7.10:5000')
  })
})

describe('several policies', () => {
  it('exceptions count together, whatever their order', () => {
    for (const list of [
      [v1({ ExceptionList: [CLUSTER] }), v1({ ExceptionList: [SERVICES] })],
      [v1({ ExceptionList: [SERVICES] }), v1({ ExceptionList: [CLUSTER] })],
      [v1(), v1({ ExceptionList: [SERVICES, CLUSTER] })],
    ]) {
      const p = nat(list)
      expect([source(p, '10.244.2.7'), source(p, '10.96.0.1'), source(p, '8.8.8.8')]).toEqual([
        'own',
        'own',
        '192.168.7.10:5000',
      ])
    }
  })

  it('the first one translates', () => {
    const p = nat([v1({ VIP: '192.168.7.50' }), v1({ VIP: '192.168.7.60' })])
    expect(source(p, '8.8.8.8')).toBe('192.168.7.50:5000')
  })

  it('ipMasqNetwork adds a policy, unless one has exactly this exception', () => {
    const first = v1({ ExceptionList: [SERVICES] })
    const both = withIpMasqNetwork([first], CLUSTER)
    expect(both).toEqual([first, { Type: 'OutBoundNAT', ExceptionList: [CLUSTER] }])
    expect(withIpMasqNetwork(both, CLUSTER)).toEqual(both)
    // Another way to write a network that holds it does not count.
    expect(withIpMasqNetwork([v1({ ExceptionList: ['10.0.0.0/8'] })], CLUSTER)).toHaveLength(2)
    expect(withIpMasqNetwork([v2({ Exceptions: [CLUSTER] })], CLUSTER, 2)).toHaveLength(1)
    expect(withIpMasqNetwork([], CLUSTER, 2)).toEqual([{ Type: 'OutBoundNAT', Settings: { Exceptions: [CLUSTER] } }])
    const p = nat(both)
    expect([source(p, '10.244.2.7'), source(p, '10.96.0.1')]).toEqual(['own', 'own'])
  })
})

describe('VirtualIP and MaxPortPoolUsage', () => {
  it('the virtual address is the source', () => {
    expect(source(nat([v2({ VirtualIP: '192.168.7.77', Flags: 1 })]), '8.8.8.8')).toBe('192.168.7.77:5000')
  })

  it('no more ports than that, and again when flows end', () => {
    const p = nat([v2({ MaxPortPoolUsage: 2 })])
    const ids = [1, 2].map((i) => lab.send(p, `tcp ${POD}:${i} > 8.8.8.8:80`).id)
    expect(lab.send(p, `tcp ${POD}:3 > 8.8.8.8:80`).drop).toBe('NatPortsSpent')
    lab.end(ids[0] as number)
    expect(lab.send(p, `tcp ${POD}:3 > 8.8.8.8:80`).drop).toBeNull()
  })

  it('0 is no limit, as an absent number is', () => {
    const p = nat([v1({ MaxPortPoolUsage: 0, VIP: '' })])
    for (let i = 1; i < 100; i++) expect(lab.send(p, `tcp ${POD}:${i} > 8.8.8.8:80`).drop).toBeNull()
  })
})

describe('protocols and families', () => {
  it('ICMP leaves as it is, and so does what is neither TCP nor UDP (modes.md 2.4)', () => {
    const p = nat([v1()])
    expect(lab.send(p, `icmp ${POD}:7 > 8.8.8.8`)).toMatchObject({ to: null, drop: null })
    expect(lab.send(p, `sctp ${POD}:7 > 8.8.8.8:80`)).toMatchObject({ to: null, drop: null })
    expect(lab.send(p, `udp ${POD}:7 > 8.8.8.8:53`).to).toBe('192.168.7.10:7')
  })

  it('or is dropped, or translated, if so configured', () => {
    const dropping = hnsOutboundNat(lab.addresses, {
      endpoint: [POD],
      policies: [v1()],
      outside: lab.outside,
      otherProtocols: 'drop',
    })
    expect(lab.send(dropping, `icmp ${POD}:7 > 8.8.8.8`).drop).toBe('NatUnsupported')
    const translating = hnsOutboundNat(lab.addresses, {
      endpoint: [POD],
      policies: [v1()],
      outside: lab.outside,
      icmpTransposition: true,
    })
    expect(lab.send(translating, `icmp ${POD}:7 > 8.8.8.8`).to).toBe('192.168.7.10:7')
  })

  it('flag 2 makes a policy one for IPv6', () => {
    const both = [v2({ Exceptions: [CLUSTER] }), v2({ Exceptions: ['fd00:244::/48'], Flags: 2 })]
    const p = nat(both, [POD, 'fd00:244:0:1::5'])
    const six = (to: string): string => source(p, to, 'fd00:244:0:1::5')
    expect(six('2001:db8:9::1')).toBe('[2001:db8::10]:5000')
    expect(six('fd00:244:0:2::7')).toBe('own')
    expect([source(p, '8.8.8.8'), source(p, '10.244.2.7')]).toEqual(['192.168.7.10:5000', 'own'])
    expect(loopbackDsr('fd00::5')).toEqual({ Type: 'OutBoundNAT', Settings: { Destinations: ['fd00::5'], Flags: 2 } })
  })
})

it.each([
  [null, /policies\[0\] must be an object, not null/],
  [{ Type: 'OutBoundNAT', Settings: null }, /policies\[0\]\.Settings must be an object, not null/],
  [{ Type: 'ACL' }, /policies\[0\]\.Type must be "OutBoundNAT", not "ACL"/],
  [{ Type: 'OutBoundNAT', Exceptions: [] }, /policies\[0\]: unknown key "Exceptions"/],
  [{ Type: 'OutBoundNAT', Settings: { ExceptionList: [] } }, /policies\[0\]\.Settings: unknown key "ExceptionList"/],
  [{ Type: 'OutBoundNAT', Settings: {}, VIP: '' }, /policies\[0\]: unknown key "VIP"/],
  [{ Type: 'OutBoundNAT', ExceptionList: ['x'] }, /policies\[0\]\.Exceptions\[0\]: not an address or prefix: "x"/],
  [
    { Type: 'OutBoundNAT', ExceptionList: ['fd00::/8'] },
    /policies\[0\]: fd00::\/8 has IPv6, and the policy is for IPv4/,
  ],
  [
    { Type: 'OutBoundNAT', VIP: '10.0.0.0/8' },
    /policies\[0\]\.VirtualIP: "10.0.0.0\/8" is not the address of one host/,
  ],
  [{ Type: 'OutBoundNAT', VIP: 'fd00::1' }, /policies\[0\]\.VirtualIP: "fd00::1" is not IPv4/],
  [
    { Type: 'OutBoundNAT', MaxPortPoolUsage: 70000 },
    /MaxPortPoolUsage must be a whole number from 0 to 65535, not 70000/,
  ],
  [{ Type: 'OutBoundNAT', Settings: { Flags: 4 } }, /policies\[0\]\.Flags must be a whole number from 0 to 3, not 4/],
])('%j throws', (policy, error) => {
  expect(() => nat([policy as Policy])).toThrow(error)
})

it.each([
  [{ icmpTransposition: 'yes' }, /icmpTransposition must be true or false, not "yes"/],
  [{ otherProtocols: 'reject' }, /otherProtocols must be one of pass, drop/],
  [{ exceptions: [] }, /unknown key "exceptions"/],
  [{ seed: 'x' }, /seed must be a whole number/],
] as [object, RegExp][])('%j throws, too', (options, error) => {
  const given = { endpoint: [POD], policies: [v1()], outside: lab.outside }
  expect(() => hnsOutboundNat(lab.addresses, { ...given, ...options })).toThrow(error)
})
