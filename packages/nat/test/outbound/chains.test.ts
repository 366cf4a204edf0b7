import { beforeEach, describe, expect, it } from 'vitest'
import {
  awsSnat,
  calicoNatOutgoing,
  cniIpMasq,
  dockerMasq,
  flannelMasq,
  kindnetMasq,
  markedMasquerade,
} from '../../src/outbound/chains.ts'
import { OutboundNat } from '../../src/outbound/outbound-nat.ts'
import type { OutboundRule } from '../../src/outbound/outbound-rule.ts'
import { SourceNat } from '../../src/outbound/source-nat.ts'
import { Lab } from './lab.ts'

/** The chains of Linux network plugins, line by line. Uplink: interface 1; the bridge of the pods: interface 2. */

let lab: Lab
let nat: SourceNat
beforeEach(() => {
  lab = new Lab()
  lab.address(1, '203.0.113.1')
  lab.address(2, '10.22.0.1')
  lab.address(1, '2001:db8::1')
  nat = new SourceNat(lab.addresses, { outside: lab.outside })
})

type Answer = 'translated' | 'accepted' | 'returned' | 'dropped'

/** What rules say about the first packet of a TCP flow. */
function ask(
  rules: readonly OutboundRule[],
  from: string,
  to: string,
  more: { in?: number; out?: number; masquerade?: boolean; protocol?: string } = {},
): Answer {
  const host = (a: string): string => (a.includes(':') ? `[${a}]` : a)
  const { protocol = 'tcp', ...rest } = more
  const outcome = lab.send(new OutboundNat(rules), `${protocol} ${host(from)}:5000 > ${host(to)}:80`, rest)
  if (outcome.id !== 0) lab.end(outcome.id)
  return outcome.drop !== null
    ? 'dropped'
    : outcome.to !== null
      ? 'translated'
      : outcome.decided
        ? 'accepted'
        : 'returned'
}

describe('CNI ipMasq (modes.md 8)', () => {
  const rules = (backend: 'iptables' | 'nftables'): OutboundRule[] =>
    cniIpMasq({ pods: ['10.22.0.11', '10.22.0.12'], subnet: '10.22.0.0/16', backend, nat })

  it.each([
    ['10.22.0.11', '8.8.8.8', 'translated', 'translated'],
    ['10.22.0.12', '10.23.0.1', 'translated', 'translated'],
    // The own subnet: accepted by one, left to other chains by the other.
    ['10.22.0.11', '10.22.0.99', 'accepted', 'returned'],
    ['10.22.0.11', '224.0.0.251', 'returned', 'returned'],
    ['10.22.0.11', '239.255.255.255', 'returned', 'returned'],
    // Not excepted by the words of the rule.
    ['10.22.0.11', '255.255.255.255', 'translated', 'translated'],
    // Not a pod of this chain.
    ['10.22.0.13', '8.8.8.8', 'returned', 'returned'],
    ['10.22.0.13', '10.22.0.99', 'returned', 'returned'],
  ])('%s to %s: iptables %s, nftables %s', (from, to, iptables, nftables) => {
    expect([ask(rules('iptables'), from, to), ask(rules('nftables'), from, to)]).toEqual([iptables, nftables])
  })

  it('IPv6, where ff00::/8 is multicast', () => {
    for (const backend of ['iptables', 'nftables'] as const) {
      const six = cniIpMasq({ pods: ['fd00:22::11'], subnet: 'fd00:22::/64', backend, nat })
      expect(ask(six, 'fd00:22::11', '2001:db8:9::1')).toBe('translated')
      expect(ask(six, 'fd00:22::11', 'ff02::fb')).toBe('returned')
      expect(ask(six, 'fd00:22::11', 'fd00:22::12')).toBe(backend === 'iptables' ? 'accepted' : 'returned')
      expect(ask(six, '10.22.0.11', '8.8.8.8')).toBe('returned')
    }
  })

  it('where iptables accepts, no later chain translates; where nftables returns, one may', () => {
    const later: OutboundRule[] = [{ from: ['10.22.0.0/16'], verdict: nat }]
    expect(ask([...rules('iptables'), ...later], '10.22.0.11', '10.22.0.99')).toBe('accepted')
    expect(ask([...rules('nftables'), ...later], '10.22.0.11', '10.22.0.99')).toBe('translated')
  })

  it('refuses pods of another family than the subnet, and backends it does not know', () => {
    expect(() => cniIpMasq({ pods: ['fd00::1'], subnet: '10.22.0.0/16', nat })).toThrow(
      /pods\[0\]: "fd00::1" is not IPv4/,
    )
    expect(() => cniIpMasq({ pods: [], subnet: '10.22.0.0/16', backend: 'ipfw' as 'iptables', nat })).toThrow(
      /backend must be iptables or nftables, not "ipfw"/,
    )
  })
})

describe('flannel (modes.md 11)', () => {
  const [local, other] = ['10.244.1.5', '10.244.2.5']
  const rules = (): OutboundRule[] => flannelMasq({ network: '10.244.0.0/16', subnet: '10.244.1.0/24', nat })

  it.each([
    ['marked by kube-proxy: returned', local, '8.8.8.8', true, 'returned'],
    ['pod to cluster: returned', local, other, false, 'returned'],
    ['pod to pod here: returned', local, '10.244.1.6', false, 'returned'],
    ['cluster to pod: returned', other, local, false, 'returned'],
    ['from elsewhere to a pod here: returned', '192.168.7.7', local, false, 'returned'],
    ['pod to the world: translated', local, '8.8.8.8', false, 'translated'],
    ['cluster to the world: translated', other, '8.8.8.8', false, 'translated'],
    ['pod to multicast: not translated', local, '224.0.0.251', false, 'returned'],
    ['from elsewhere to a pod of another node: translated', '192.168.7.7', other, false, 'translated'],
    ['none of its business', '192.168.7.7', '8.8.8.8', false, 'returned'],
  ] as const)('%s', (_, from, to, masquerade, answer) => {
    expect(ask(rules(), from, to, { masquerade })).toBe(answer)
  })

  it('the order counts: without its first lines the cluster would be translated', () => {
    expect(ask(rules().slice(4), local, other)).toBe('translated')
  })
})

describe('Calico natOutgoing (modes.md 10.3)', () => {
  const pools = { masqueradePools: ['10.1.0.0/16'], allPools: ['10.1.0.0/16', '10.2.0.0/16'] }

  it.each([
    ['10.1.0.5', '8.8.8.8', 'translated'],
    ['10.1.0.5', '10.1.9.9', 'returned'],
    ['10.1.0.5', '10.2.9.9', 'returned'],
    ['10.1.0.5', '192.168.7.2', 'translated'],
    // A pool without natOutgoing.
    ['10.2.0.5', '8.8.8.8', 'returned'],
  ])('%s to %s: %s', (from, to, answer) => {
    expect(ask(calicoNatOutgoing({ family: 4, ...pools, nat }), from, to)).toBe(answer)
  })

  it('not to nodes, where they are excluded too', () => {
    const rules = calicoNatOutgoing({ family: 4, ...pools, hosts: ['192.168.7.2'], nat })
    expect(ask(rules, '10.1.0.5', '192.168.7.2')).toBe('returned')
    expect(ask(rules, '10.1.0.5', '192.168.7.3')).toBe('translated')
  })

  it('with a fixed address and a port range: TCP and UDP in it, the others without', () => {
    const address = '203.0.113.77'
    const ranged = new SourceNat(lab.addresses, { to: [address], portRange: '40000-40009' })
    const fixed = new SourceNat(lab.addresses, { to: [address] })
    const policy = new OutboundNat(calicoNatOutgoing({ family: 4, ...pools, nat: fixed, ranged }))
    for (const name of ['tcp', 'udp']) {
      const to = lab.send(policy, `${name} 10.1.0.5:5000 > 8.8.8.8:80`).to as string
      expect(to).toMatch(/^203\.0\.113\.77:4000\d$/)
    }
    expect(lab.send(policy, 'sctp 10.1.0.5:5000 > 8.8.8.8:80').to).toBe('203.0.113.77:5000')
    expect(lab.send(policy, 'icmp 10.1.0.5:9 > 8.8.8.8').to).toBe('203.0.113.77:9')
    expect([ranged.used, fixed.used]).toEqual([2, 2])
    lab.endAll()
    expect([ranged.used, fixed.used]).toEqual([0, 0])
  })
})

describe('AWS VPC CNI (modes.md 9)', () => {
  const rules = (): OutboundRule[] =>
    awsSnat({ vpc: ['192.168.0.0/16', '100.64.0.0/10'], vlans: [7], local: ['192.168.7.1', '203.0.113.1'], nat })

  it.each([
    ['192.168.7.20', '8.8.8.8', 1, 'translated'],
    ['192.168.7.20', '192.168.9.9', 1, 'returned'],
    ['192.168.7.20', '100.64.1.1', 1, 'returned'],
    ['192.168.7.20', '8.8.8.8', 7, 'returned'],
    ['192.168.7.20', '203.0.113.1', 1, 'returned'],
  ])('%s to %s by interface %i: %s', (from, to, out, answer) => {
    expect(ask(rules(), from, to, { out })).toBe(answer)
  })
})

describe('Docker and kindnet', () => {
  it('Docker: from the subnet, but not back out of the bridge (modes.md 8)', () => {
    const rules = dockerMasq({ subnet: '10.22.0.0/16', bridge: 2, nat })
    expect(ask(rules, '10.22.0.11', '8.8.8.8', { out: 1 })).toBe('translated')
    expect(ask(rules, '10.22.0.11', '10.22.0.12', { out: 2 })).toBe('returned')
    expect(ask(rules, '10.23.0.11', '8.8.8.8', { out: 1 })).toBe('returned')
  })

  it('kindnet: to nothing in the no-masquerade set (modes.md 9)', () => {
    const rules = kindnetMasq({
      family: 4,
      pods: ['10.244.1.0/24'],
      noMasquerade: ['10.244.0.0/16', '172.18.0.0/16'],
      nat,
    })
    expect(ask(rules, '10.244.1.5', '10.244.2.5')).toBe('returned')
    expect(ask(rules, '10.244.1.5', '172.18.0.2')).toBe('returned')
    expect(ask(rules, '10.244.1.5', '8.8.8.8')).toBe('translated')
    expect(ask(rules, '10.244.2.5', '8.8.8.8')).toBe('returned')
  })
})

describe('marks of port mappings and services (modes.md 17.2, 17.3)', () => {
  it('are translated in front of every other rule', () => {
    const rules = [...markedMasquerade(nat), ...cniIpMasq({ pods: ['10.22.0.11'], subnet: '10.22.0.0/16', nat })]
    expect(ask(rules, '10.22.0.11', '10.22.0.12', { out: 2 })).toBe('accepted')
    const policy = new OutboundNat(rules)
    expect(lab.send(policy, 'tcp 10.22.0.11:5000 > 10.22.0.12:80', { out: 2, masquerade: true }).to).toBe(
      '10.22.0.1:5000',
    )
  })
})

describe('rules', () => {
  it.each([
    [{ from: ['10.1.0.0/16'] }, true],
    [{ from: ['10.2.0.0/16'] }, false],
    [{ notFrom: ['10.2.0.0/16'] }, true],
    [{ notFrom: ['10.1.0.0/16'] }, false],
    [{ to: ['8.0.0.0/8'] }, true],
    [{ notTo: ['8.0.0.0/8'] }, false],
    [{ in: [2] }, true],
    [{ in: [3, 4] }, false],
    [{ notIn: [2] }, false],
    [{ notIn: [3] }, true],
    [{ out: [1] }, true],
    [{ out: [2] }, false],
    [{ notOut: [1] }, false],
    [{ protocols: [6] }, true],
    [{ protocols: [17, 132] }, false],
    [{ family: 4 }, true],
    [{ family: 6 }, false],
    [{ marked: false }, true],
    [{ marked: true }, false],
    [{ from: ['10.1.0.0/16'], to: ['8.0.0.0/8'], out: [1], in: [2] }, true],
    [{ from: ['10.1.0.0/16'], to: ['9.0.0.0/8'], out: [1], in: [2] }, false],
  ] as [Partial<OutboundRule>, boolean][])('%j: %s', (conditions, matches) => {
    const rule: OutboundRule = { ...conditions, verdict: 'accept' }
    expect(ask([rule], '10.1.0.5', '8.8.8.8', { in: 2, out: 1 })).toBe(matches ? 'accepted' : 'returned')
  })

  it('a NAT without addresses of the flow’s family leaves it to the next rule', () => {
    const four = new SourceNat(lab.addresses, { to: ['203.0.113.9'] })
    expect(ask([{ verdict: four }, { verdict: 'accept' }], 'fd00::1', '2001:db8:9::1')).toBe('accepted')
  })

  it('several NATs get back what is theirs', () => {
    const nats = ['203.0.113.8', '203.0.113.9'].map((to) => new SourceNat(lab.addresses, { to: [to] }))
    const [a, b] = nats as [SourceNat, SourceNat]
    const policy = new OutboundNat([
      { from: ['10.1.0.0/16'], verdict: a },
      { from: ['10.2.0.0/16'], verdict: b },
      { from: ['10.3.0.0/16'], verdict: a },
    ])
    expect(policy.nats).toEqual([a, b])
    const one = lab.send(policy, 'udp 10.1.0.1:1 > 8.8.8.8:53')
    const two = lab.send(policy, 'udp 10.2.0.1:1 > 8.8.8.8:53')
    lab.send(policy, 'udp 10.3.0.1:2 > 8.8.8.8:53')
    expect([one.to, two.to, a.used, b.used]).toEqual(['203.0.113.8:1', '203.0.113.9:1', 2, 1])
    lab.end(two.id)
    expect([a.used, b.used]).toEqual([2, 0])
    lab.end(one.id)
    expect([a.used, b.used]).toEqual([1, 0])
  })

  it.each([
    [{ verdict: 'drop' }, /rules\[0\]\.verdict must be "accept", "return" or a SourceNat, not "drop"/],
    [{ verdict: 'accept', family: 5 }, /rules\[0\]\.family must be 4 or 6, not 5/],
    [{ verdict: 'accept', from: ['10.0.0.1/8'] }, /rules\[0\]\.from\[0\]: .* has host bits set/],
    [{ verdict: 'accept', marked: 1 }, /rules\[0\]\.marked must be true or false, not 1/],
    [{ verdict: 'accept', protocols: [256] }, /rules\[0\]\.protocols\[0\] must be a whole number from 0 to 255/],
    [{ verdict: 'accept', out: ['eth0'] }, /rules\[0\]\.out\[0\] must be a whole number/],
    [{ verdict: 'accept', source: [] }, /rules\[0\]: unknown key "source"/],
  ] as [unknown, RegExp][])('%j throws', (rule, error) => {
    expect(() => new OutboundNat([rule as OutboundRule])).toThrow(error)
  })
})

it('chains refuse settings that they do not know', () => {
  const nat = new SourceNat(lab.addresses, { to: ['203.0.113.9'] })
  const made: [(options: never) => unknown, object][] = [
    [cniIpMasq, { pods: ['10.1.0.5'], subnet: '10.1.0.0/16', nat }],
    [flannelMasq, { network: '10.1.0.0/16', subnet: '10.1.1.0/24', nat }],
    [calicoNatOutgoing, { family: 4, masqueradePools: ['10.1.0.0/16'], allPools: ['10.1.0.0/16'], nat }],
    [awsSnat, { vpc: ['10.0.0.0/8'], nat }],
    [dockerMasq, { subnet: '172.17.0.0/16', bridge: 1, nat }],
    [kindnetMasq, { family: 4, pods: ['10.1.0.0/16'], noMasquerade: [], nat }],
  ]
  for (const [make, options] of made) {
    expect(() => make(options as never)).not.toThrow()
    expect(() => make({ ...options, exclude: [] } as never)).toThrow(/^unknown key "exclude"/)
  }
})
