import { describe, expect, it } from 'vitest'
import type { ServiceOptions } from '../../src/service/options.ts'
import { Asking } from './asking.ts'

/*
 * Node n1 has pods 10.244.1.0/24, node n2 has 10.244.2.0/24; the node's own address is 192.0.2.1. Service default/web has a
 * ClusterIP, an external IP, a load balancer's IP and a node port, and backends on both nodes.
 */

const web: ServiceOptions = {
  name: 'default/web',
  port: 80,
  clusterIps: ['10.96.0.10'],
  externalIps: ['198.51.100.9'],
  loadBalancerIps: ['203.0.113.80'],
  nodePort: 30_080,
  backends: [
    { address: '10.244.1.5', port: 8080, local: true },
    { address: '10.244.2.6', port: 8080 },
    { address: '10.244.2.7', port: 8080 },
  ],
}
const POD = '10.244.1.9'
const CLIENT = '203.0.113.5'
const here = ['10.244.1.5:8080']
const all = ['10.244.1.5:8080', '10.244.2.6:8080', '10.244.2.7:8080']
const pods = { clusterPrefixes: ['10.244.0.0/16', 'fd00:244::/32'] }

const toClusterIp = { to: '10.96.0.10', toPort: 80 }
const toExternalIp = { to: '198.51.100.9', toPort: 80 }
const toLoadBalancer = { to: '203.0.113.80', toPort: 80 }
const toNodePort = { to: '192.0.2.1', toPort: 30_080, toLocal: true }

/** The answers to 200 flows, sorted. */
function answers(asking: Asking, packet: { from: string; to: string; toPort: number; toLocal?: boolean }): string[] {
  return [...asking.many(packet, 200).keys()].sort()
}

function snat(list: readonly string[], address = ''): string[] {
  return list.map((to) => `${to} snat${address === '' ? '' : ` ${address}`}`)
}

describe('frontends', () => {
  const asking = new Asking()
  asking.balancer.services.add(web)

  it('are found by address, port and protocol, and everything else passes', () => {
    expect(answers(asking, { from: POD, ...toClusterIp })).toEqual(all)
    expect(asking.ask({ from: POD, to: '10.96.0.10', toPort: 81 })).toBe('pass')
    expect(asking.ask({ from: POD, to: '10.96.0.11', toPort: 80 })).toBe('pass')
    expect(asking.ask({ from: POD, to: '10.96.0.10', toPort: 80, protocol: 'udp' })).toBe('pass')
    expect(asking.ask({ from: POD, to: '10.96.0.10', toPort: 80, protocol: 'sctp' })).toBe('pass')
    expect(asking.ask({ from: POD, to: '10.96.0.10', toPort: 80, zone: 1 })).toBe('pass')
  })

  it('are node ports on each address of the node, and nowhere else', () => {
    expect(answers(asking, { from: CLIENT, ...toNodePort })).toEqual(snat(all))
    expect(answers(asking, { from: CLIENT, ...toNodePort, to: '10.244.1.1' })).toEqual(snat(all))
    expect(asking.ask({ from: CLIENT, ...toNodePort, toLocal: false })).toBe('pass')
    expect(asking.ask({ from: CLIENT, to: '192.0.2.1', toPort: 80, toLocal: true })).toBe('pass')
    expect(asking.ask({ from: CLIENT, ...toNodePort, protocol: 'udp' })).toBe('pass')
  })

  it('are node ports only on the addresses that are named', () => {
    const some = new Asking({ nodePortAddresses: ['192.0.2.0/24', '2001:db8::/32'] })
    some.balancer.services.add({ ...web, clusterIps: [] })
    expect(some.ask({ from: CLIENT, ...toNodePort })).toMatch(/snat/)
    expect(some.ask({ from: CLIENT, ...toNodePort, to: '10.244.1.1' })).toBe('pass')
    expect(some.ask({ from: '2001:db8::5', to: '2001:db8::1', toPort: 30_080, toLocal: true })).toBe('reject')
    expect(some.ask({ from: '2001:db8::5', to: 'fd00::1', toPort: 30_080, toLocal: true })).toBe('pass')
  })

  it('speak UDP and SCTP, too, and keep networks with the same addresses apart by zone', () => {
    const more = new Asking()
    for (const protocol of ['udp', 'sctp'] as const) {
      more.balancer.services.add({
        name: `dns/${protocol}`,
        protocol,
        port: 53,
        clusterIps: ['10.96.0.2'],
        backends: [{ address: '10.244.1.2', port: 5300 }],
      })
    }
    more.balancer.services.add({
      name: 'other/dns',
      protocol: 'udp',
      port: 53,
      clusterIps: ['10.96.0.2'],
      zone: 40_000,
      backends: [{ address: '10.244.7.7', port: 53 }],
    })
    const to = { from: POD, to: '10.96.0.2', toPort: 53 }
    expect(more.ask({ ...to, protocol: 'udp' })).toBe('10.244.1.2:5300')
    expect(more.ask({ ...to, protocol: 'sctp' })).toBe('10.244.1.2:5300')
    expect(more.ask({ ...to, protocol: 'tcp' })).toBe('pass')
    expect(more.ask({ ...to, protocol: 'udp', zone: 40_000 })).toBe('10.244.7.7:53')
  })
})

describe('the rules of kube-proxy on Linux', () => {
  it('masquerade at ClusterIPs what comes from outside the cluster, where that is known', () => {
    const knowing = new Asking(pods)
    knowing.balancer.services.add(web)
    expect(answers(knowing, { from: POD, ...toClusterIp })).toEqual(all)
    expect(answers(knowing, { from: CLIENT, ...toClusterIp })).toEqual(snat(all))
    const unknowing = new Asking()
    unknowing.balancer.services.add(web)
    expect(answers(unknowing, { from: CLIENT, ...toClusterIp })).toEqual(all)
    const always = new Asking({ masqueradeAll: true, ...pods })
    always.balancer.services.add(web)
    expect(answers(always, { from: POD, ...toClusterIp })).toEqual(snat(all))
  })

  it('externalTrafficPolicy Cluster: all backends, masqueraded, whoever comes', () => {
    const asking = new Asking(pods)
    asking.balancer.services.add(web)
    for (const to of [toExternalIp, toLoadBalancer, toNodePort]) {
      for (const from of [POD, CLIENT]) expect(answers(asking, { from, ...to })).toEqual(snat(all))
    }
  })

  it('externalTrafficPolicy Local: local backends see the client itself; pods get all', () => {
    const asking = new Asking(pods)
    asking.balancer.services.add({ ...web, externalTrafficPolicy: 'Local' })
    for (const to of [toExternalIp, toLoadBalancer, toNodePort]) {
      expect(answers(asking, { from: CLIENT, ...to })).toEqual(here)
      expect(answers(asking, { from: POD, ...to })).toEqual(all)
    }
    expect(answers(asking, { from: CLIENT, ...toClusterIp })).toEqual(snat(all))
  })

  it('externalTrafficPolicy Local: dropped where no backend is here; rejected where none is anywhere', () => {
    const asking = new Asking(pods)
    asking.balancer.services.add({ ...web, externalTrafficPolicy: 'Local', backends: web.backends!.slice(1) })
    expect(asking.ask({ from: CLIENT, ...toNodePort })).toBe('drop')
    expect(asking.ask({ from: CLIENT, ...toExternalIp })).toBe('drop')
    expect(asking.ask({ from: POD, ...toNodePort })).toMatch(/^10.244.2/)
    expect(asking.ask({ from: POD, ...toClusterIp })).toMatch(/^10.244.2/)
    asking.balancer.services.setBackends('default/web', [])
    for (const to of [toNodePort, toExternalIp, toClusterIp]) expect(asking.ask({ from: CLIENT, ...to })).toBe('reject')
    expect(asking.balancer.services.get('default/web')!.refused).toBe(5)
  })

  it('internalTrafficPolicy Local: local backends, and dropped where there is none', () => {
    const asking = new Asking(pods)
    asking.balancer.services.add({ ...web, internalTrafficPolicy: 'Local' })
    expect(answers(asking, { from: POD, ...toClusterIp })).toEqual(here)
    expect(answers(asking, { from: CLIENT, ...toNodePort })).toEqual(snat(all))
    asking.balancer.services.removeBackend('default/web', '10.244.1.5', 8080)
    expect(asking.ask({ from: POD, ...toClusterIp })).toBe('drop')
  })

  it('masquerade the hairpin: a pod that is its own backend', () => {
    const asking = new Asking(pods)
    asking.balancer.services.add({ ...web, backends: web.backends!.slice(0, 1) })
    expect(asking.ask({ from: '10.244.1.5', ...toClusterIp })).toBe('10.244.1.5:8080 snat')
    expect(asking.ask({ from: '10.244.1.6', ...toClusterIp })).toBe('10.244.1.5:8080')
    const without = new Asking({ ...pods, hairpin: false })
    without.balancer.services.add({ ...web, backends: web.backends!.slice(0, 1) })
    expect(without.ask({ from: '10.244.1.5', ...toClusterIp })).toBe('10.244.1.5:8080')
  })

  it('masquerade clients that are at a bridge with their backend, whose answer would not come by', () => {
    const asking = new Asking({ ...pods, bridged: ['10.244.1.0/24', '10.244.2.0/24', 'fd00:244:1::/64'] })
    asking.balancer.services.add({
      ...web,
      clusterIps: ['10.96.0.10', 'fd00:96::10'],
      dsr: true,
      backends: [...web.backends!.slice(0, 1), { address: 'fd00:244:1::5', port: 8080 }],
    })
    expect(asking.ask({ from: POD, ...toClusterIp })).toBe('10.244.1.5:8080 snat')
    expect(asking.ask({ from: '10.244.2.9', ...toClusterIp })).toBe('10.244.1.5:8080')
    expect(asking.ask({ from: 'fd00:244:1::9', to: 'fd00:96::10', toPort: 80 })).toBe('[fd00:244:1::5]:8080 snat')
    expect(asking.ask({ from: 'fd00:244:2::9', to: 'fd00:96::10', toPort: 80 })).toBe('[fd00:244:1::5]:8080')
    expect(() => new Asking({ bridged: ['10.0.0.0/8', '10.244.1.1/24'] })).toThrow('bridged[1]')
  })

  it('with dsr no source is touched, but for the hairpin', () => {
    const asking = new Asking({ ...pods, masqueradeAll: true })
    asking.balancer.services.add({ ...web, dsr: true })
    for (const to of [toClusterIp, toNodePort, toExternalIp]) {
      expect(answers(asking, { from: CLIENT, ...to })).toEqual(all)
    }
  })

  it('a packet of no backend is rejected, dropped, or passes, as is asked for', () => {
    for (const empty of ['reject', 'drop', 'pass'] as const) {
      const asking = new Asking()
      asking.balancer.services.add({ ...web, backends: [], empty })
      expect(asking.ask({ from: POD, ...toClusterIp })).toBe(empty)
      expect(asking.tags).toEqual([])
    }
  })
})

describe('the rules of HNS on Windows', () => {
  const vip = { style: 'windows', sourceVips: ['10.244.1.2', 'fd00:244:1::2'] } as const
  const source = '10.244.1.2'

  it('not DSR: the source becomes the SourceVIP, or the address of the node where there is none', () => {
    const asking = new Asking(vip)
    asking.balancer.services.add(web)
    for (const to of [toClusterIp, toNodePort, toExternalIp, toLoadBalancer]) {
      expect(answers(asking, { from: POD, ...to })).toEqual(snat(all, source))
    }
    const node = new Asking({ style: 'windows' })
    node.balancer.services.add(web)
    expect(answers(node, { from: POD, ...toClusterIp })).toEqual(snat(all))
  })

  it('DSR: ClusterIP and LoadBalancer keep the source, node ports and external IPs only with Local', () => {
    const asking = new Asking({ ...vip, dsr: true })
    asking.balancer.services.add(web)
    expect(answers(asking, { from: POD, ...toClusterIp })).toEqual(all)
    expect(answers(asking, { from: CLIENT, ...toLoadBalancer })).toEqual(all)
    expect(answers(asking, { from: CLIENT, ...toNodePort })).toEqual(snat(all, source))
    expect(answers(asking, { from: CLIENT, ...toExternalIp })).toEqual(snat(all, source))
    asking.balancer.services.update({ ...web, externalTrafficPolicy: 'Local' })
    for (const to of [toLoadBalancer, toNodePort, toExternalIp]) {
      expect(answers(asking, { from: CLIENT, ...to })).toEqual(here)
    }
    expect(answers(asking, { from: POD, ...toClusterIp })).toEqual(all)
  })

  it('Local binds pods, too', () => {
    const asking = new Asking({ ...vip, ...pods })
    asking.balancer.services.add({ ...web, externalTrafficPolicy: 'Local', internalTrafficPolicy: 'Local' })
    expect(answers(asking, { from: POD, ...toNodePort })).toEqual(here)
    expect(answers(asking, { from: POD, ...toClusterIp })).toEqual(snat(here, source))
  })

  it('preserve-destination: routed by a local backend, the destination stays', () => {
    const asking = new Asking(vip)
    asking.balancer.services.add({ ...web, preserveDestination: true })
    expect(answers(asking, { from: CLIENT, ...toLoadBalancer })).toEqual(['via 10.244.1.5'])
    expect(answers(asking, { from: CLIENT, ...toExternalIp })).toEqual(['via 10.244.1.5'])
    expect(answers(asking, { from: CLIENT, ...toNodePort })).toEqual(snat(here, source))
    expect(answers(asking, { from: CLIENT, ...toClusterIp })).toEqual(snat(all, source))
    const linux = new Asking(pods)
    linux.balancer.services.add({ ...web, preserveDestination: true })
    expect(answers(linux, { from: CLIENT, ...toLoadBalancer })).toEqual(['via 10.244.1.5'])
    linux.balancer.services.removeBackend('default/web', '10.244.1.5', 8080)
    expect(linux.ask({ from: CLIENT, ...toLoadBalancer })).toBe('drop')
  })

  it('no backend: there is no load balancer, the packet passes', () => {
    const asking = new Asking(vip)
    asking.balancer.services.add({ ...web, externalTrafficPolicy: 'Local', backends: web.backends!.slice(1) })
    expect(asking.ask({ from: CLIENT, ...toNodePort })).toBe('pass')
    asking.balancer.services.setBackends('default/web', [])
    expect(asking.ask({ from: POD, ...toClusterIp })).toBe('pass')
  })

  it('the hairpin is left to an OutBoundNAT with Destinations (loopback DSR), unless asked for', () => {
    const one = { ...web, backends: web.backends!.slice(0, 1) }
    const dsr = new Asking({ ...vip, dsr: true })
    dsr.balancer.services.add(one)
    expect(dsr.ask({ from: '10.244.1.5', ...toClusterIp })).toBe('10.244.1.5:8080')
    const asked = new Asking({ ...vip, dsr: true, hairpin: true })
    asked.balancer.services.add(one)
    expect(asked.ask({ from: '10.244.1.5', ...toClusterIp })).toBe(`10.244.1.5:8080 snat ${source}`)
  })

  it('the SourceVIP stands for the source only towards the cluster: others get the address of the node', () => {
    const asking = new Asking({ ...vip, ...pods })
    const outside = ['192.0.2.7', '2001:db8::7']
    asking.balancer.services.add({
      ...web,
      clusterIps: ['10.96.0.10', 'fd00:96::10'],
      backends: ['10.244.2.6', 'fd00:244:2::6', ...outside].map((address) => ({ address, port: 80 })),
    })
    expect(answers(asking, { from: POD, ...toClusterIp })).toEqual([
      '10.244.2.6:80 snat 10.244.1.2',
      '192.0.2.7:80 snat',
    ])
    expect(answers(asking, { from: 'fd00:244:1::9', to: 'fd00:96::10', toPort: 80 })).toEqual([
      '[2001:db8::7]:80 snat',
      '[fd00:244:2::6]:80 snat [fd00:244:1::2]',
    ])
    // On Linux it is what was asked for.
    const linux = new Asking({ ...vip, ...pods, style: 'linux', masqueradeAll: true })
    linux.balancer.services.add({ ...web, backends: [{ address: '192.0.2.7', port: 80 }] })
    expect(linux.ask({ from: POD, ...toClusterIp })).toBe('192.0.2.7:80 snat 10.244.1.2')
  })

  it('over a bridge the source is masqueraded even with DSR: the answer would go past the node', () => {
    const asking = new Asking({ ...vip, dsr: true, bridged: ['10.244.1.0/24'] })
    asking.balancer.services.add(web)
    const [here, ...there] = all
    expect(answers(asking, { from: POD, ...toClusterIp })).toEqual([...snat([here!], source), ...there])
    // To itself it is the hairpin, which HNS leaves to others.
    asking.balancer.services.setBackends(web.name, web.backends!.slice(0, 1))
    expect(asking.ask({ from: '10.244.1.5', ...toClusterIp })).toBe(here)
  })

  it('limits and the one port count by family: each has a load balancer of its own', () => {
    const asking = new Asking(vip)
    const four = Array.from({ length: 65 }, (_, i) => ({ address: `10.244.3.${i + 1}`, port: 80 }))
    const six = Array.from({ length: 65 }, (_, i) => ({ address: `fd00:244:3::${i + 1}`, port: 8086 }))
    asking.balancer.services.add({ ...web, backends: [...four.slice(1), ...six.slice(1)] })
    expect(asking.balancer.services.get(web.name)!.backends).toHaveLength(128)
    for (const one of [four[0]!, six[0]!]) {
      expect(() => asking.balancer.services.addBackend(web.name, one)).toThrow(
        '65 backends, but a service has at most 64',
      )
    }
    expect(() => asking.balancer.services.setBackends(web.name, [four[0]!, { ...four[1]!, port: 81 }])).toThrow(
      'backend 10.244.3.2:81 has another port than 10.244.3.1:80',
    )
    // On Linux the most is the most of all.
    const linux = new Asking({ maxBackends: 64 })
    expect(() =>
      linux.balancer.services.add({ ...web, backends: [...four.slice(0, 33), ...six.slice(0, 32)] }),
    ).toThrow('65 backends')
  })

  it('takes 64 backends, and says that the 65th is one too many', () => {
    const asking = new Asking(vip)
    const backends = Array.from({ length: 65 }, (_, i) => ({ address: `10.244.3.${i + 1}`, port: 80 }))
    const limit = /65 backends, but a service has at most 64 of a family, which is the limit of the Windows modes/
    expect(() => asking.balancer.services.add({ ...web, backends })).toThrow(limit)
    expect(asking.balancer.services.size).toBe(0)
    asking.balancer.services.add({ ...web, backends: backends.slice(0, 64) })
    expect(() => asking.balancer.services.addBackend('default/web', backends[64]!)).toThrow(limit)
    expect(() => asking.balancer.services.setBackends('default/web', backends)).toThrow(limit)
    expect(asking.balancer.services.get('default/web')!.backends).toHaveLength(64)
    expect(() => new Asking({ ...vip, maxBackends: 65 })).toThrow('maxBackends must be a whole number from 1 to 64')
    const linux = new Asking()
    linux.balancer.services.add({ ...web, backends })
  })

  it('takes backends of one port only', () => {
    const asking = new Asking(vip)
    const backends = [
      { address: '10.244.3.1', port: 80 },
      { address: '10.244.3.2', port: 81 },
    ]
    expect(() => asking.balancer.services.add({ ...web, backends })).toThrow(
      'backend 10.244.3.2:81 has another port than 10.244.3.1:80',
    )
  })
})

describe('session affinity', () => {
  const sticky: ServiceOptions = { ...web, externalIps: [], distribution: 'source-ip' }
  const to = { from: POD, ...toClusterIp }

  it('5-tuple: the connections of a client go to all backends, and each packet of one to the same', () => {
    const asking = new Asking()
    asking.balancer.services.add(web)
    expect(asking.many(to, 300).size).toBe(3)
    for (let i = 0; i < 50; i++) expect(asking.ask({ ...to, fromPort: i })).toBe(asking.ask({ ...to, fromPort: i }))
  })

  it('source-ip: all connections of a client go to one backend, and clients spread over all', () => {
    const asking = new Asking()
    asking.balancer.services.add(sticky)
    const seen = new Map<string, number>()
    for (let i = 1; i <= 250; i++) {
      const of = asking.many({ ...to, from: `10.244.5.${i}` }, 4)
      expect(of.size).toBe(1)
      const [backend] = of.keys() as unknown as [string]
      seen.set(backend, (seen.get(backend) ?? 0) + 1)
    }
    expect([...seen.keys()].sort()).toEqual(all)
    for (const n of seen.values()) expect(n).toBeGreaterThan(50)
    expect(asking.balancer.clients(0)).toBe(250)
    expect(asking.balancer.services.get('default/web')!.remembered).toBe(750)
  })

  it('source-ip: holds when backends come, until 10,800 seconds after the last new connection', () => {
    const asking = new Asking()
    asking.balancer.services.add({ ...sticky, backends: web.backends!.slice(0, 1) })
    expect(asking.ask({ ...to, at: 0 })).toBe(all[0])
    // 60 more backends: without its memory the client would hardly stay.
    for (let i = 1; i <= 60; i++)
      asking.balancer.services.addBackend('default/web', { address: `10.244.2.${i}`, port: 8080 })
    expect(asking.ask({ ...to, at: 10_799 })).toBe(all[0])
    expect(asking.ask({ ...to, at: 21_598 })).toBe(all[0])
    const later = asking.ask({ ...to, at: 32_398 })
    expect(later).not.toBe(all[0])
    expect(asking.ask({ ...to, at: 32_400 })).toBe(later)
  })

  it('source-ip: a timeout of its own, and none: by the hash alone', () => {
    const asking = new Asking()
    asking.balancer.services.add({ ...sticky, affinityTimeout: 10, backends: web.backends!.slice(0, 1) })
    asking.balancer.services.add({
      ...sticky,
      name: 'hash',
      clusterIps: ['10.96.0.11'],
      nodePort: 30_081,
      loadBalancerIps: [],
      affinityTimeout: 0,
      backends: web.backends!.slice(0, 1),
    })
    for (const ip of ['10.96.0.10', '10.96.0.11']) expect(asking.ask({ ...to, to: ip })).toBe(all[0])
    for (const name of ['default/web', 'hash']) {
      const backends = Array.from({ length: 60 }, (_, i) => ({ address: `10.244.2.${i + 1}`, port: 8080 }))
      asking.balancer.services.setBackends(name, [...web.backends!.slice(0, 1), ...backends])
    }
    expect(asking.ask({ ...to, at: 9 })).toBe(all[0])
    expect(asking.ask({ ...to, to: '10.96.0.11', at: 9 })).not.toBe(all[0])
    expect(asking.ask({ ...to, at: 19 })).not.toBe(all[0])
  })

  it('source-ip: a backend that goes takes only its own clients with it', () => {
    const asking = new Asking()
    asking.balancer.services.add(sticky)
    const clients = Array.from({ length: 200 }, (_, i) => `10.244.6.${i + 1}`)
    const before = clients.map((from) => asking.ask({ ...to, from }))
    asking.balancer.services.removeBackend('default/web', '10.244.2.6', 8080)
    clients.forEach((from, i) => {
      const after = asking.ask({ ...to, from, at: 1 })
      if (before[i] === '10.244.2.6:8080') expect(after).not.toBe(before[i])
      else expect(after).toBe(before[i])
    })
    // It comes back, as another: nobody is sent to it who was at another meanwhile.
    const meanwhile = clients.map((from) => asking.ask({ ...to, from, at: 2 }))
    asking.balancer.services.addBackend('default/web', { address: '10.244.2.6', port: 8080 })
    expect(clients.map((from) => asking.ask({ ...to, from, at: 3 }))).toEqual(meanwhile)
  })

  it('source-ip-protocol tells TCP from UDP, source-ip does not', () => {
    const pick = (distribution: 'source-ip' | 'source-ip-protocol') => {
      const asking = new Asking({ style: 'windows', dsr: true })
      const backends = Array.from({ length: 16 }, (_, i) => ({ address: `10.244.2.${i + 1}`, port: 53 }))
      for (const protocol of ['tcp', 'udp'] as const) {
        asking.balancer.services.add({
          name: protocol,
          protocol,
          port: 53,
          clusterIps: ['10.96.0.2'],
          distribution,
          backends,
        })
      }
      let same = 0
      for (let i = 1; i <= 100; i++) {
        const dns = { from: `10.244.9.${i}`, to: '10.96.0.2', toPort: 53 }
        const tcp = asking.ask({ ...dns, protocol: 'tcp' })
        expect(asking.ask({ ...dns, protocol: 'tcp' })).toBe(tcp)
        if (asking.ask({ ...dns, protocol: 'udp' }) === tcp) same++
      }
      return same
    }
    expect(pick('source-ip')).toBe(100)
    expect(pick('source-ip-protocol')).toBeLessThan(25)
  })

  it('is remembered for a service by all its frontends, and for each service by itself', () => {
    const asking = new Asking({ ...pods, whenRemoved: 'keep' })
    asking.balancer.services.add({ ...sticky, backends: web.backends!.slice(1, 2) })
    expect(asking.ask({ from: CLIENT, ...toNodePort })).toBe('10.244.2.6:8080 snat')
    asking.balancer.services.addBackend('default/web', { address: '10.244.2.7', port: 8080 })
    asking.balancer.services.addBackend('default/web', { address: '10.244.2.8', port: 8080 })
    expect(asking.ask({ from: CLIENT, ...toClusterIp })).toBe('10.244.2.6:8080 snat')
    expect(asking.ask({ from: CLIENT, ...toLoadBalancer })).toBe('10.244.2.6:8080 snat')
  })

  it('yields to a traffic policy', () => {
    const asking = new Asking(pods)
    asking.balancer.services.add({ ...sticky, externalTrafficPolicy: 'Local', backends: web.backends!.slice(1) })
    expect(asking.ask({ from: CLIENT, ...toClusterIp })).toMatch(/^10.244.2/)
    asking.balancer.services.addBackend('default/web', web.backends![0]!)
    expect(asking.ask({ from: CLIENT, ...toNodePort })).toBe('10.244.1.5:8080')
  })
})

describe('dual stack', () => {
  const dual: ServiceOptions = {
    name: 'dual',
    port: 80,
    clusterIps: ['10.96.0.20', 'fd00:96::20'],
    nodePort: 30_020,
    distribution: 'source-ip',
    backends: [
      { address: '10.244.1.5', port: 8080, local: true },
      { address: 'fd00:244:1::5', port: 8086, local: true },
      { address: 'fd00:244:2::6', port: 8086 },
    ],
  }

  it('each family goes to backends of its own', () => {
    const asking = new Asking(pods)
    asking.balancer.services.add(dual)
    expect(answers(asking, { from: POD, to: '10.96.0.20', toPort: 80 })).toEqual(['10.244.1.5:8080'])
    const six = new Set<string>()
    for (let i = 1; i < 40; i++)
      six.add(asking.ask({ from: `fd00:244:1::${i + 0x100}`, to: 'fd00:96::20', toPort: 80 }))
    expect([...six].sort()).toEqual(['[fd00:244:1::5]:8086', '[fd00:244:2::6]:8086'])
    expect(asking.ask({ from: '2001:db8::1', to: '2001:db8::ff', toPort: 30_020, toLocal: true })).toMatch(/snat$/)
    expect(asking.ask({ from: '2001:db8::1', to: '2001:db8::ff', toPort: 30_020 })).toBe('pass')
  })

  it('where a family has no backend, only that one is refused', () => {
    const asking = new Asking(pods)
    asking.balancer.services.add({ ...dual, backends: dual.backends!.slice(0, 1) })
    expect(asking.ask({ from: 'fd00:244:1::9', to: 'fd00:96::20', toPort: 80 })).toBe('reject')
    expect(asking.ask({ from: POD, to: '10.96.0.20', toPort: 80 })).toBe('10.244.1.5:8080')
  })

  it('a SourceVIP of each family, hairpin and preserve-destination in IPv6', () => {
    const asking = new Asking({ style: 'windows', sourceVips: ['10.244.1.2', 'fd00:244:1::2'], hairpin: true })
    const backends = dual.backends!.map((b) => ({ ...b, port: 8086 })).slice(0, 2)
    asking.balancer.services.add({ ...dual, backends, loadBalancerIps: ['2001:db8::80'], preserveDestination: true })
    const from = 'fd00:244:1::9'
    expect(asking.ask({ from, to: 'fd00:96::20', toPort: 80 })).toBe('[fd00:244:1::5]:8086 snat [fd00:244:1::2]')
    expect(asking.ask({ from, to: '2001:db8::80', toPort: 80 })).toBe('via [fd00:244:1::5]')
    asking.balancer.services.update({ ...dual, backends, dsr: true })
    expect(asking.ask({ from, to: 'fd00:96::20', toPort: 80 })).toBe('[fd00:244:1::5]:8086')
    expect(asking.ask({ from: 'fd00:244:1::5', to: 'fd00:96::20', toPort: 80 })).toMatch(/snat/)
  })

  it('a node port is there in the families of the ClusterIPs', () => {
    const asking = new Asking()
    asking.balancer.services.add({ ...dual, clusterIps: ['10.96.0.20'] })
    expect(asking.ask({ from: '2001:db8::1', to: '2001:db8::ff', toPort: 30_020, toLocal: true })).toBe('pass')
  })
})
