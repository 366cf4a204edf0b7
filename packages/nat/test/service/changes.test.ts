import { describe, expect, it } from 'vitest'
import { Addresses6 } from '../../src/addresses6.ts'
import type { FlowEnder, StandingFlow } from '../../src/policy.ts'
import { Balancer } from '../../src/service/balancer.ts'
import type { BalancerOptions } from '../../src/service/balancer-options.ts'
import type { ServiceOptions } from '../../src/service/options.ts'
import { Tuple } from '../../src/tuple.ts'
import { Asking } from './asking.ts'

/*
 * Services and backends come, change and go, with flows there or not.
 */

const dns: ServiceOptions = {
  name: 'kube-system/dns',
  protocol: 'udp',
  port: 53,
  clusterIps: ['10.96.0.2', 'fd00:96::2'],
  backends: [
    { address: '10.244.1.2', port: 53 },
    { address: '10.244.1.3', port: 53 },
    { address: 'fd00:244:1::2', port: 53 },
  ],
}
const ask = { from: '10.244.1.9', to: '10.96.0.2', toPort: 53, protocol: 'udp' } as const

function backendsOf(asking: Asking, name = dns.name) {
  return asking.balancer.services.get(name)!.backends
}

/** An engine's flows, as far as a balancer sees them: their tags. */
class Flows implements FlowEnder {
  readonly tags: number[] = []
  passes = 0
  readonly #policy: Balancer

  constructor(policy: Balancer) {
    this.#policy = policy
  }

  endWhere(match: (flow: StandingFlow) => boolean): number {
    this.passes++
    let n = 0
    for (let i = this.tags.length - 1; i >= 0; i--) {
      const tag = this.tags[i]!
      if (!match({ tuple: new Tuple(), policy: this.#policy, tag, toLocal: false })) continue
      this.tags.splice(i, 1)
      this.#policy.ended(tag)
      n++
    }
    return n
  }
}

function withFlows(asking: Asking): Flows {
  const flows = new Flows(asking.balancer)
  asking.balancer.attached(flows)
  return flows
}

describe('backends with flows', () => {
  it('are counted: flows now, flows ever', () => {
    const asking = new Asking()
    asking.balancer.services.add({ ...dns, backends: dns.backends!.slice(0, 1) })
    for (let i = 0; i < 5; i++) asking.ask(ask)
    for (const tag of asking.tags.slice(0, 2)) asking.balancer.ended(tag)
    expect(backendsOf(asking)[0]).toEqual({
      address: '10.244.1.2',
      port: 53,
      local: false,
      weight: 1,
      draining: false,
      inUse: true,
      active: 3,
      flows: 5,
    })
  })

  it.each([
    ['linux', undefined, 'udp', true],
    ['linux', undefined, 'tcp', false],
    ['windows', undefined, 'udp', false],
    ['linux', 'keep', 'udp', false],
    ['linux', 'end', 'tcp', true],
    ['linux', 'end-udp', 'sctp', false],
  ] as const)('style %s, whenRemoved %s: flows of %s are ended: %s', (style, whenRemoved, protocol, ended) => {
    const asking = new Asking({ style, ...(whenRemoved && { whenRemoved }) })
    const flows = withFlows(asking)
    asking.balancer.services.add({ ...dns, protocol })
    for (let i = 0; i < 50; i++) asking.ask({ ...ask, protocol })
    flows.tags.push(...asking.tags)
    const before = backendsOf(asking)[0]!.active
    expect(before).toBeGreaterThan(0)
    expect(asking.balancer.services.removeBackend(dns.name, '10.244.1.2', 53)).toBe(true)
    expect(flows.tags.length).toBe(ended ? 50 - before : 50)
    expect(asking.many({ ...ask, protocol }, 20)).toEqual(
      new Map([[style === 'windows' ? '10.244.1.3:53 snat' : '10.244.1.3:53', 20]]),
    )
  })

  it('keep their address and tag until the last flow is over, and give them back then', () => {
    const asking = new Asking({ whenRemoved: 'keep' })
    asking.balancer.services.add({ ...dns, clusterIps: ['fd00:96::2'], backends: dns.backends!.slice(2) })
    const from = 'fd00:244:1::9'
    asking.number(from)
    const held = asking.addresses.size
    for (let i = 0; i < 3; i++) asking.ask({ ...ask, from, to: 'fd00:96::2' })
    const [tag] = asking.tags as [number]
    asking.balancer.services.setBackends(dns.name, [{ address: 'fd00:244:1::7', port: 53 }])
    expect(asking.ask({ ...ask, from, to: 'fd00:96::2' })).toBe('[fd00:244:1::7]:53')
    expect(asking.tags.at(-1)).not.toBe(tag)
    expect(asking.addresses.size).toBe(held + 1)
    for (const old of asking.tags.filter((t) => t === tag)) asking.balancer.ended(old)
    expect(asking.addresses.size).toBe(held)
    // The tag is free again.
    asking.balancer.services.addBackend(dns.name, { address: 'fd00:244:1::8', port: 53 })
    const tags = new Set<number>()
    for (let i = 0; i < 50; i++) {
      asking.ask({ ...ask, from, to: 'fd00:96::2' })
      tags.add(asking.tags.at(-1)!)
    }
    expect(tags.has(tag)).toBe(true)
  })

  it('on their way out get no new flows, unless all are', () => {
    const asking = new Asking()
    const [a, b] = dns.backends as [{ address: string; port: number }, { address: string; port: number }]
    asking.balancer.services.add({ ...dns, backends: [{ ...a, draining: true }, b] })
    expect([...asking.many(ask, 50).keys()]).toEqual(['10.244.1.3:53'])
    asking.balancer.services.setBackends(dns.name, [
      { ...a, draining: true },
      { ...b, draining: true },
    ])
    expect(asking.many(ask, 50).size).toBe(2)
    expect(
      backendsOf(asking)
        .map((x) => x.flows)
        .reduce((x, y) => x + y),
    ).toBe(100)
  })

  it('of weight 0 get none at all', () => {
    const asking = new Asking()
    asking.balancer.services.add({ ...dns, backends: [{ ...dns.backends![0]!, weight: 0 }] })
    expect(asking.ask(ask)).toBe('reject')
    expect(backendsOf(asking)[0]!.inUse).toBe(false)
    asking.balancer.services.setBackends(dns.name, dns.backends!.slice(0, 1))
    expect(asking.ask(ask)).toBe('10.244.1.2:53')
  })

  it('do not move flows of others: one of 50 taken out and put back while 1,000 flows are asked about', () => {
    const asking = new Asking()
    const backends = Array.from({ length: 50 }, (_, i) => ({ address: `10.244.4.${i + 1}`, port: 53 }))
    asking.balancer.services.add({ ...dns, backends })
    const flows = () => Array.from({ length: 1000 }, (_, i) => asking.ask({ ...ask, fromPort: 20_000 + i }))
    const before = flows()
    asking.balancer.services.removeBackend(dns.name, '10.244.4.17', 53)
    flows().forEach((to, i) => {
      if (before[i] === '10.244.4.17:53') expect(to).not.toBe(before[i])
      else expect(to).toBe(before[i])
    })
    asking.balancer.services.addBackend(dns.name, { address: '10.244.4.17', port: 53 })
    expect(flows()).toEqual(before)
  })
})

describe('services', () => {
  it('are changed as a whole: frontends, rules and backends; counters and flows stay', () => {
    const asking = new Asking()
    asking.balancer.services.add(dns)
    asking.ask(ask)
    asking.balancer.services.update({
      ...dns,
      clusterIps: ['10.96.0.3'],
      nodePort: 30_053,
      distribution: 'source-ip',
      backends: dns.backends!.slice(1),
    })
    expect(asking.ask(ask)).toBe('pass')
    expect(asking.ask({ ...ask, to: '10.96.0.3' })).toBe('10.244.1.3:53')
    expect(asking.balancer.services.get(dns.name)).toMatchObject({
      frontends: ['ClusterIP 10.96.0.3:53', 'NodePort *:30053'],
      distribution: 'source-ip',
      affinityTimeout: 10_800,
      flows: 2,
      refused: 0,
    })
    expect(() => asking.balancer.services.update({ ...dns, protocol: 'tcp' })).toThrow('would be another service')
    expect(() => asking.balancer.services.update({ ...dns, name: 'nobody' })).toThrow('there is no service nobody')
  })

  it('are taken out with all they hold', () => {
    const asking = new Asking()
    const flows = withFlows(asking)
    asking.balancer.services.add(dns)
    expect(asking.addresses.size).toBe(2)
    asking.ask(ask)
    flows.tags.push(...asking.tags)
    expect(asking.balancer.services.remove(dns.name)).toBe(true)
    expect(asking.balancer.services.remove(dns.name)).toBe(false)
    // One pass when they came, one when they went.
    expect([flows.tags, flows.passes]).toEqual([[], 2])
    expect(asking.addresses.size).toBe(0)
    expect(asking.balancer.services.size).toBe(0)
    expect([...asking.balancer.services.list()]).toEqual([])
    expect(asking.ask(ask)).toBe('pass')
    asking.balancer.services.add(dns)
    expect(asking.ask(ask)).toMatch(/:53$/)
  })

  it('that cannot be put in leave everything as it was', () => {
    const asking = new Asking({ maxServices: 2 })
    const { services } = asking.balancer
    services.add(dns)
    const before = JSON.stringify([...services.list()])
    const held = asking.addresses.size
    const other: ServiceOptions = { ...dns, name: 'other', clusterIps: ['fd00:96::3', '10.96.0.2'] }
    expect(() => services.add(other)).toThrow(
      'service other: ClusterIP 10.96.0.2:53 is taken by service kube-system/dns',
    )
    expect(() => services.add({ ...other, clusterIps: ['fd00:96::4', 'fd00:96::4'] })).toThrow(
      'ClusterIP [fd00:96::4]:53 is given twice',
    )
    expect(() => services.add(dns)).toThrow('service kube-system/dns is there already')
    services.add({ ...other, clusterIps: ['10.96.0.9'], backends: [] })
    expect(() => services.update({ ...dns, clusterIps: ['fd00:96::5', '10.96.0.9'] })).toThrow('taken by service other')
    expect(() => services.add({ ...dns, name: 'third', clusterIps: ['10.96.0.4'] })).toThrow('there are 2 already')
    services.remove('other')
    expect(JSON.stringify([...services.list()])).toBe(before)
    expect(asking.addresses.size).toBe(held)
  })

  it('are refused where IPv6 addresses have no room, and nothing stays held', () => {
    const asking = new Asking()
    for (let i = 0; i < 1022; i++) asking.number(`2001:db8::${i.toString(16)}`)
    expect(() => asking.balancer.services.add({ ...dns, clusterIps: ['fd00::1'], backends: six(3) })).toThrow(
      'no room for',
    )
    expect(asking.addresses.size).toBe(1022)
    asking.balancer.services.add({ ...dns, clusterIps: ['fd00::1'], backends: six(1) })
    expect(() => asking.balancer.services.setBackends(dns.name, six(2))).toThrow('no room for')
    expect(asking.addresses.size).toBe(1024)
    expect(backendsOf(asking)).toHaveLength(1)
  })
})

function six(n: number) {
  return Array.from({ length: n }, (_, i) => ({ address: `fd00:244::${i + 1}`, port: 53 }))
}

describe('configuration', () => {
  const bad: [string, Partial<ServiceOptions>, string][] = [
    ['name', { name: '' }, 'name of a service must be some text, not ""'],
    ['port', { port: 0 }, 'service kube-system/dns: port must be a whole number from 1 to 65535, not 0'],
    ['node port', { nodePort: 65_536 }, 'nodePort must be a whole number from 1 to 65535, not 65536'],
    ['protocol', { protocol: 'icmp' as 'tcp' }, 'protocol must be one of tcp, udp, sctp, not "icmp"'],
    ['address', { clusterIps: ['10.96.0'] }, 'clusterIps[0]: not an address'],
    ['group', { externalIps: ['224.0.0.1'] }, 'externalIps[0]: "224.0.0.1" is not the address of one host'],
    ['nowhere', { clusterIps: [] }, 'can be reached nowhere'],
    [
      'distribution',
      { distribution: 'random' as '5-tuple' },
      'distribution must be one of 5-tuple, source-ip-protocol, source-ip, not "random"',
    ],
    ['timeout', { affinityTimeout: 5 }, 'affinityTimeout 5 says nothing with distribution 5-tuple'],
    [
      'long timeout',
      { distribution: 'source-ip', affinityTimeout: 86_401 },
      'affinityTimeout must be a whole number from 0 to 86400',
    ],
    [
      'policy',
      { externalTrafficPolicy: 'local' as 'Local' },
      'externalTrafficPolicy must be one of Cluster, Local, not "local"',
    ],
    ['empty', { empty: 'refuse' as 'drop' }, 'empty must be one of reject, drop, pass, not "refuse"'],
    [
      'key',
      { sessionAffinity: 'ClientIP' } as Partial<ServiceOptions>,
      'service kube-system/dns: unknown key "sessionAffinity"',
    ],
    ['a list that is none', { clusterIps: '10.96.0.1' as unknown as [] }, 'clusterIps must be a list, not "10.96.0.1"'],
    [
      'a backend that is none',
      { backends: ['10.0.0.1'] as unknown as [] },
      'backends[0] must be an object with settings',
    ],
    [
      "backend's key",
      { backends: [{ address: '10.0.0.1', port: 1, wieght: 5 } as { address: string; port: number }] },
      'backends[0]: unknown key "wieght"',
    ],
    ['dsr', { dsr: 1 as unknown as boolean }, 'dsr must be true or false, not 1'],
    ['zone', { zone: 65_536 }, 'zone must be a whole number from 0 to 65535'],
    ['backends', { backends: {} as [] }, 'backends must be a list, not {}'],
    ['backend', { backends: [{ address: '10.0.0.1/24', port: 1 }] }, 'backends[0].address'],
    [
      'backend port',
      { backends: [{ address: '10.0.0.1', port: 70_000 }] },
      'backends[0].port must be a whole number from 1 to 65535',
    ],
    [
      'weight',
      { backends: [{ address: '10.0.0.1', port: 1, weight: 0.5 }] },
      'backends[0].weight must be a whole number from 0 to 4096, not 0.5',
    ],
    [
      'weights',
      { backends: [1, 2].map((i) => ({ address: `10.0.0.${i}`, port: 1, weight: 2049 })) },
      'weights add up to 4098, but 4096 is the most',
    ],
    [
      'twins',
      { backends: [1, 1].map((i) => ({ address: `10.0.0.${i}`, port: 1 })) },
      'backend 10.0.0.1:1 is there twice',
    ],
  ]
  it.each(bad)('names what is wrong: %s', (_, options, message) => {
    const asking = new Asking()
    expect(() => asking.balancer.services.add({ ...dns, ...options })).toThrow(message)
    expect(asking.balancer.services.size).toBe(0)
    expect(asking.addresses.size).toBe(0)
  })

  it('names what is wrong about the balancer', () => {
    expect(() => new Asking({ style: 'bsd' as 'linux' })).toThrow('style must be one of linux, windows, not "bsd"')
    for (const [options, message] of [
      [{ hairpin: 'no' }, 'hairpin must be true or false, not "no"'],
      [{ masqueradeAll: 'no' }, 'masqueradeAll must be true or false, not "no"'],
      [{ dsr: 0 }, 'dsr must be true or false, not 0'],
      [{ seed: 'x' }, 'seed must be a whole number from -2147483648 to 4294967295, not x'],
      [{ sourceVips: '10.0.0.1' }, 'sourceVips must be a list, not "10.0.0.1"'],
      [{ bridged: '10.0.0.0/8' }, 'bridged must be a list, not "10.0.0.0/8"'],
      [{ masquerade: true }, 'balancer: unknown key "masquerade"'],
      [null, 'balancer must be an object with settings, not null'],
    ] as unknown as [BalancerOptions, string][]) {
      expect(() => new Balancer(new Addresses6({ max: 16 }), options)).toThrow(message)
    }
    expect(() => new Asking({ clusterPrefixes: ['10.0.0.1/8'] })).toThrow('clusterPrefixes[0]')
    expect(() => new Asking({ sourceVips: ['10.0.0.1', '10.0.0.2'] })).toThrow(
      'sourceVips: 10.0.0.2 is one of its family too many',
    )
    expect(() => new Asking({ affinityEntries: 4 })).toThrow('affinityEntries must be')
    expect(() => new Asking({ whenRemoved: 'reset' as 'end' })).toThrow('whenRemoved must be one of keep, end-udp, end')
    expect(() => new Asking().balancer.services.addBackend('x', { address: '10.0.0.1', port: 1 })).toThrow(
      'there is no service x',
    )
  })
})
