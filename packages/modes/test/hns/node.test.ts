import type { MemoryPort } from '@l2l3/switch-core'
import { describe, expect, it } from 'vitest'
import { datagram, echo, line, segment } from '../../../tap-io/test/nat-packets.ts'
import { HnsError, type HnsHost, HnsNode } from '../../src/hns/index.ts'
import { lab } from '../lab.ts'

/*
 * A node that runs, configured by the calls of HNS: what a call says holds from the next packet on, who is not concerned goes on, and
 * what the node cannot do is refused, with nothing changed.
 */

const v2 = { SchemaVersion: { Major: 2, Minor: 0 } }
const HOST_MAC = '00:15:5d:00:00:aa'
const OUT_MAC = '00:15:5d:00:00:bb'
const X = '10.240.0.9'

interface World {
  readonly node: HnsNode
  /** Makes an endpoint on the first network and attaches it. */
  pod(name: string, ip: string, more?: object): string
  /** Sends a packet, and gives what came out in words, by port. */
  send(name: string, frame: string): Record<string, string[]>
  raw(name: string, frame: string): Record<string, string[]>
  port(name: string): MemoryPort
}

function world(network: object, more: Partial<HnsHost> = {}): World {
  const l = lab()
  const uplink = l.port('up')
  const node = new HnsNode(l.ground, {
    ...{ mac: HOST_MAC, addresses: ['10.240.0.4/16'], uplink: { port: uplink }, ...more },
  })
  node.hns.createNetwork(network)
  const raw = (name: string, frame: string): Record<string, string[]> => {
    const out = l.send(name, frame)
    // What is asked by ARP is of no interest here.
    const packets = Object.entries(out).map(
      ([at, list]) => [at, list.filter((f) => f.slice(24, 28) !== '0806')] as const,
    )
    return Object.fromEntries(packets.filter(([, list]) => list.length > 0))
  }
  return {
    node,
    pod(name, ip, doc = {}) {
      const [on] = node.hns.listNetworks()
      const { id } = node.hns.createEndpoint(on?.id as string, {
        Name: name,
        ...('IpConfigurations' in doc ? doc : { MacAddress: macOf(ip), IPAddress: ip, PrefixLength: 24, ...doc }),
      })
      node.attach(id, l.port(name))
      return id
    },
    send: (name, frame) => Object.fromEntries(Object.entries(raw(name, frame)).map(([k, list]) => [k, list.map(line)])),
    raw,
    port: l.port,
  }
}

function macOf(ip: string): string {
  return `00-15-5D-00-01-${Number(ip.split('.')[3]).toString(16).padStart(2, '0')}`
}

const bare = (mac: string): string => mac.replace(/[-:]/g, '').toLowerCase()
/** A ping from a pod to another on its node. */
const ping = (from: string, to: string): string => echo(from, to, 7, { from: bare(macOf(from)), to: bare(macOf(to)) })
/** A packet's Ethernet addresses, from a pod to outside. */
const leaving = (from: string) => ({ from: bare(macOf(from)), to: bare(OUT_MAC) })
const entering = { from: bare(OUT_MAC), to: bare(HOST_MAC) }

const BRIDGE = {
  Name: 'cbr0',
  Type: 'L2Bridge',
  Subnets: [{ AddressPrefix: '10.244.3.0/24', GatewayAddress: '10.244.3.1' }],
}
const NAT = { Name: 'nat', Type: 'NAT', Subnets: [{ AddressPrefix: '172.16.0.0/20', GatewayAddress: '172.16.0.1' }] }
const PLAIN = {
  Name: 'corp',
  Type: 'Transparent',
  Subnets: [{ AddressPrefix: '172.20.1.0/24', GatewayAddress: '172.20.1.1', Policies: [{ Type: 'VLAN', VLAN: 10 }] }],
}

const [WEB, DB, NEW] = ['10.244.3.5', '10.244.3.6', '10.244.3.7'] as const

describe('an L2Bridge by calls', () => {
  it('has pods come and go while others ping', () => {
    const w = world(BRIDGE)
    w.pod('web', WEB)
    const db = w.pod('db', DB)
    const pings = (): unknown => [w.send('web', ping(WEB, DB)).db, w.send('db', ping(DB, WEB)).web]
    const both = [[`icmp ${WEB} > ${DB} 8/0 id 7`], [`icmp ${DB} > ${WEB} 8/0 id 7`]]
    expect(pings()).toEqual(both)
    const id = w.pod('new', NEW)
    expect(pings()).toEqual(both)
    expect(w.send('new', ping(NEW, WEB)).web).toEqual([`icmp ${NEW} > ${WEB} 8/0 id 7`])
    w.node.detach(id)
    expect(pings()).toEqual(both)
    expect(w.send('web', ping(WEB, NEW)).new).toBeUndefined()
    w.node.hns.deleteEndpoint(id)
    w.pod('again', NEW)
    expect(w.send('web', ping(WEB, NEW)).again).toHaveLength(1)
    expect(pings()).toEqual(both)
    w.node.hns.deleteEndpoint(db)
    expect(w.send('web', ping(WEB, DB)).db).toBeUndefined()
  })

  it('sends by the MAC of the host, and translates from the policy on that says so, but for its exceptions', () => {
    const w = world(BRIDGE)
    const web = w.pod('web', WEB)
    const out = datagram(`${WEB}:5000`, `${X}:9`, leaving(WEB))
    const [frame] = w.raw('web', out).up as [string]
    expect(frame.slice(12, 24)).toBe(bare(HOST_MAC))
    expect(line(frame)).toBe(`udp ${WEB}:5000 > ${X}:9`)
    const policy = [{ Type: 'OutBoundNAT', ExceptionList: ['10.244.0.0/16'] }]
    w.node.hns.addPolicy(web, policy)
    const later = datagram(`${WEB}:5001`, `${X}:9`, leaving(WEB))
    expect(w.send('web', later).up).toEqual([`udp 10.240.0.4:5001 > ${X}:9`])
    expect(w.send('web', datagram(`${WEB}:5002`, '10.244.9.9:9', leaving(WEB))).up).toEqual([
      `udp ${WEB}:5002 > 10.244.9.9:9`,
    ])
    w.node.hns.removePolicy(web, policy)
    expect(w.send('web', datagram(`${WEB}:5003`, `${X}:9`, leaving(WEB))).up).toEqual([`udp ${WEB}:5003 > ${X}:9`])
  })

  it('ends broadcasts of a part of the subnet that has no EnableBroadcast', () => {
    const parts = [
      { IpAddressPrefix: '10.244.3.4/30', Flags: 0 },
      { IpAddressPrefix: '10.244.3.8/30', Flags: 'EnableBroadcast' },
    ]
    const w = world({ ...BRIDGE, Subnets: [{ ...BRIDGE.Subnets[0], IpSubnets: parts }] })
    const LOUD = '10.244.3.9'
    for (const [name, ip] of Object.entries({ web: WEB, db: DB, loud: LOUD })) w.pod(name, ip)
    const all = { to: 'ffffffffffff' }
    const cry = (ip: string) => datagram(`${ip}:5000`, '10.244.3.255:9', { from: bare(macOf(ip)), ...all })
    expect(w.send('web', cry(WEB))).toEqual({})
    const heard = w.send('loud', cry(LOUD))
    expect([heard.web, heard.db, heard.up]).toEqual(Array(3).fill([`udp ${LOUD}:5000 > 10.244.3.255:9`]))
  })

  it('without a port of the host: pods and the adapter alone, and what needs the host is refused', () => {
    const w = world({ ...BRIDGE, Flags: 1024 })
    const web = w.pod('web', WEB)
    w.pod('db', DB)
    expect(w.send('web', ping(WEB, DB)).db).toEqual([`icmp ${WEB} > ${DB} 8/0 id 7`])
    const [frame] = w.raw('web', datagram(`${WEB}:5000`, `${X}:9`, leaving(WEB))).up as [string]
    expect([line(frame), frame.slice(12, 24)]).toEqual([`udp ${WEB}:5000 > ${X}:9`, bare(HOST_MAC)])
    // Nobody has the host's address any more.
    expect(w.send('up', echo(X, '10.240.0.4', 7, entering))).toEqual({})
    expect(() => w.node.hns.addPolicy(web, [{ Type: 'OutBoundNAT' }])).toThrow(
      "OutBoundNAT without an address of its own is the host's, and DisableHostPort leaves it no port",
    )
    expect(() =>
      w.node.hns.addPolicy(web, [{ Type: 'ROUTE', DestinationPrefix: '10.96.0.0/12', NeedEncap: true }]),
    ).toThrow('$[0]: a ROUTE leads to the host, and DisableHostPort leaves it no port')
    const balancer = (Flags: number) => () =>
      w.node.hns.createLoadBalancer({
        ...{ HostComputeEndpoints: [web], FrontendVIPs: ['10.96.0.20'], Flags, ...v2 },
        PortMappings: [{ Protocol: 17, InternalPort: 9, ExternalPort: 9 }],
      })
    expect(balancer(0)).toThrow('without DSR it is the host’s, and DisableHostPort leaves it no port')
    balancer(1)()
    expect(w.send('db', datagram(`${DB}:5000`, '10.96.0.20:9', leaving(DB))).web).toEqual([`udp ${DB}:5000 > ${WEB}:9`])
  })

  it('blocks by an ACL that is added, and not any more when it is taken off', () => {
    const w = world(BRIDGE)
    const web = w.pod('web', WEB)
    w.pod('db', DB)
    const block = [
      { Type: 'ACL', Action: 'Block', Direction: 'Out', RemoteAddresses: DB, Priority: 200, RuleType: 'Switch' },
    ]
    w.node.hns.addPolicy(web, block)
    expect(w.send('web', ping(WEB, DB))).toEqual({})
    w.node.hns.removePolicy(web, block)
    expect(w.send('web', ping(WEB, DB)).db).toHaveLength(1)
  })

  it('balances: a ClusterIP at the port of who asks, until it is deleted; a port mapping', () => {
    const w = world(BRIDGE)
    w.pod('web', WEB)
    const db = w.pod('db', DB, { Policies: [{ Type: 'NAT', Protocol: 'TCP', InternalPort: 80, ExternalPort: 8080 }] })
    const ask = segment(`${WEB}:6000`, '10.96.0.20:80', 'S', leaving(WEB))
    const balancer = w.node.hns.createLoadBalancer({
      ...{ HostComputeEndpoints: [db], FrontendVIPs: ['10.96.0.20'], Flags: 1, ...v2 },
      PortMappings: [{ Protocol: 6, InternalPort: 8080, ExternalPort: 80 }],
    })
    const [frame] = w.raw('web', ask).db as [string]
    expect([line(frame), frame.slice(0, 12)]).toEqual([`tcp ${WEB}:6000 > ${DB}:8080`, bare(macOf(DB))])
    w.node.hns.deleteLoadBalancer(balancer.id)
    expect(w.send('web', segment(`${WEB}:6001`, '10.96.0.20:80', 'S', leaving(WEB))).db).toBeUndefined()
    expect(w.send('up', segment(`${X}:7000`, '10.240.0.4:8080', 'S', entering)).db).toEqual([
      `tcp ${X}:7000 > ${DB}:80`,
    ])
  })

  it('refuses what the node cannot do, and then nothing has changed', () => {
    const w = world(BRIDGE)
    const web = w.pod('web', WEB)
    w.pod('db', DB)
    const { hns } = w.node
    const state = (): string => JSON.stringify([hns.listNetworks(), hns.listEndpoints(), hns.listLoadBalancers()])
    const before = state()
    for (const [call, message] of [
      [
        () => hns.createNetwork({ ...BRIDGE, Name: 'second' }),
        'network second: $: a second network of type L2Bridge needs an adapter',
      ],
      [() => hns.createNetwork(NAT), 'network nat: $: is of type NAT, and the node has networks of type L2Bridge'],
      [() => hns.addPolicy(web, [{ Type: 'VLAN', VLAN: 7 }]), 'VLAN 7 is not the network’s'.replace('’', "'")],
      [() => hns.addPolicy(web, [{ Type: 'QOS', MaximumOutgoingBandwidthInBytes: 1000 }]), 'QOS is not supported'],
      [
        () => hns.addPolicy(web, [{ Type: 'ROUTE', DestinationPrefix: '11.0.0.0/8', NextHop: WEB }]),
        'without NeedEncap',
      ],
      [() => hns.createEndpoint(hns.listNetworks()[0]?.id as string, { IPAddress: '10.244.4.5' }), 'in no subnet'],
      [() => w.node.attach(web, w.port('other')), 'is attached'],
    ] as const) {
      expect(call).toThrow(HnsError)
      expect(call).toThrow(message)
      expect(state()).toBe(before)
    }
    expect(w.send('web', ping(WEB, DB)).db).toHaveLength(1)
  })

  it('has the host endpoint at x.2, with the MAC that its document says', () => {
    const w = world(BRIDGE)
    const [network] = w.node.hns.listNetworks()
    const host = w.node.hns.createEndpoint(network?.id as string, {
      Name: 'cbr0_ep',
      IPAddress: '10.244.3.2',
      MacAddress: '00-15-5D-00-02-02',
    })
    w.node.hns.attach(host.id, 'compartment 1')
    w.pod('web', WEB)
    const answer = w.raw('web', echo(WEB, '10.244.3.2', 3, { from: bare(macOf(WEB)), to: '00155d000202' }))
    expect(answer.web?.[0]?.slice(12, 24)).toBe('00155d000202')
    // Its MAC is fixed from then on.
    expect(() => w.node.hns.deleteEndpoint(host.id)).toThrow('would change what is fixed')
  })
})

describe('an overlay by calls', () => {
  const OVERLAY = {
    ...{ Name: 'vxlan0', Type: 'Overlay', ...v2 },
    Ipams: [
      {
        Subnets: [
          {
            IpAddressPrefix: '10.244.3.0/24',
            Policies: [{ Type: 'VSID', Settings: { IsolationId: 4096 } }],
            Routes: [{ NextHop: '10.244.3.1', DestinationPrefix: '0.0.0.0/0' }],
          },
        ],
      },
    ],
    Policies: [{ Type: 'DrMacAddress', Settings: { Address: '00-15-5D-00-00-D0' } }],
  }
  const doc = (ip: string) => ({ IpConfigurations: [{ IpAddress: ip, PrefixLength: 24 }], ...v2 })

  it('reaches another node’s subnet from the RemoteSubnetRoute on that says where it is', () => {
    const w = world(OVERLAY)
    w.pod('web', WEB, doc(WEB))
    w.pod('db', DB, doc(DB))
    const web = '0e2a0af40305'
    const own = w.raw('web', echo(WEB, DB, 7, { from: web, to: '0e2a0af40306' }))
    expect(own.db?.map(line)).toEqual([`icmp ${WEB} > ${DB} 8/0 id 7`])
    const far = echo(WEB, '10.244.9.5', 7, { from: web, to: '00155d0000d0' })
    expect(w.raw('web', far).up).toBeUndefined()
    const [network] = w.node.hns.listNetworks()
    const remote = [
      {
        Type: 'RemoteSubnetRoute',
        Settings: {
          ...{ DestinationPrefix: '10.244.9.0/24', IsolationId: 4096, ProviderAddress: '10.240.0.9' },
          DistributedRouterMacAddress: '00-15-5D-00-00-D9',
        },
      },
    ]
    w.node.hns.addNetworkPolicy(network?.id as string, remote)
    w.node.host?.uplinks[0]?.neighbours.add('10.240.0.9', OUT_MAC)
    const [frame] = w.raw('web', far).up as [string]
    // Outer UDP 4789 to the node, VNI 4096, inside for its distributed router.
    expect(frame.slice(0, 12)).toBe(bare(OUT_MAC))
    expect(frame.slice(72, 76)).toBe('12b5')
    expect(frame.slice(84, 124)).toBe('080000000010000000155d0000d900155d0000d0')
  })
})

describe('NAT by calls', () => {
  it('translates, maps ports while it runs, and judges by rules of the host alone', () => {
    const w = world(NAT)
    const [a, b] = ['172.16.0.5', '172.16.0.6'] as const
    const first = w.pod('a', a, { PrefixLength: 20 })
    w.node.host?.links[1]?.neighbours.add(X, OUT_MAC)
    w.node.host?.links[0]?.neighbours.add(a, macOf(a).replaceAll('-', ':').toLowerCase())
    const gateway = '00155d100001'
    const way = (port: number) => datagram(`${a}:${port}`, `${X}:9`, { from: bare(macOf(a)), to: gateway })
    expect(w.send('a', way(5000)).up).toEqual([`udp 10.240.0.4:5000 > ${X}:9`])
    w.pod('b', b, { PrefixLength: 20 })
    w.node.hns.addPolicy(first, [{ Type: 'NAT', Protocol: 'UDP', InternalPort: 53, ExternalPort: 5353 }])
    expect(w.send('up', datagram(`${X}:9`, '10.240.0.4:5353', entering)).a).toEqual([`udp ${X}:9 > ${a}:53`])
    expect(w.send('up', datagram(`${X}:9`, '10.240.0.4:5000', entering)).a).toEqual([`udp ${X}:9 > ${a}:5000`])
    const rule = { Type: 'ACL', Action: 'Block', Direction: 'Out', RemoteAddresses: X, Priority: 100 }
    expect(() => w.node.hns.addPolicy(first, [{ ...rule, RuleType: 'Switch' }])).toThrow(HnsError)
    w.node.hns.addPolicy(first, [{ ...rule, RuleType: 'Host' }])
    expect(w.send('a', way(5001))).toEqual({})
    expect(() =>
      w.node.hns.createLoadBalancer({
        HostComputeEndpoints: [first],
        FrontendVIPs: ['10.96.0.1'],
        PortMappings: [{ Protocol: 6, InternalPort: 80, ExternalPort: 80 }],
        ...v2,
      }),
    ).toThrow('load balancers are not on networks of type NAT')
  })
})

describe('a transparent network by calls', () => {
  it('without a port of the host has no vNIC of its', () => {
    const ask = echo(X, '10.240.0.4', 7, { from: bare(OUT_MAC), to: bare(HOST_MAC) })
    const shown = (Flags: number): boolean => {
      const w = world({ Name: 'corp', Type: 'Transparent', Flags })
      w.pod('a', '172.20.1.5', { IPAddress: '172.20.1.5' })
      w.node.host?.links[0]?.neighbours.add(X, OUT_MAC)
      return 'up' in w.send('up', ask)
    }
    expect([shown(0), shown(1024)]).toEqual([true, false])
  })

  it('has endpoints in the network’s VLAN, and refuses what VFP would do', () => {
    const w = world(PLAIN, { addresses: [] })
    const [a, b] = ['172.20.1.5', '172.20.1.6'] as const
    const first = w.pod('a', a)
    w.pod('b', b)
    const [frame] = w.raw('a', ping(a, '172.20.1.77')).up as [string]
    expect(frame.slice(24, 32)).toBe('8100000a')
    expect(w.send('a', ping(a, b)).b).toHaveLength(1)
    expect(() => w.node.hns.addPolicy(first, [{ Type: 'OutBoundNAT' }])).toThrow(
      'VFP, which would translate, is not there',
    )
  })
})
