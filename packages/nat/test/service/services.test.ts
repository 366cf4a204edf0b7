import { Batch, type Frame, FramePool, Loop, VirtualClock } from '@l2l3/switch-core'
import { ipv4, parseIpv4 } from '@l2l3/switch-core/wire'
import { describe, expect, it } from 'vitest'
import { Addresses6, Balancer, Nat, Passage } from '../../src/index.ts'
import type { BackendOptions, ServiceOptions } from '../../src/service/options.ts'
import { icmpPacket, tcpPacket, udpPacket } from '../engine/lab.ts'
import { Node, type NodeOptions, OTHERS, OUTSIDE, PODS } from './node.ts'

/*
 * Services through the engine: whole packets in, whole packets out, and the answers back. What is expected is
 * built anew with its checksums, so that a wrong sum anywhere shows.
 */

const HERE: BackendOptions = { address: '10.244.1.5', port: 8080, local: true }
const THERE: BackendOptions = { address: '10.244.2.6', port: 8080 }
const HERE6: BackendOptions = { address: 'fd00:244:1::5', port: 8080, local: true }
const THERE6: BackendOptions = { address: 'fd00:244:2::6', port: 8080 }
const web: ServiceOptions = {
  name: 'web',
  port: 80,
  clusterIps: ['10.96.0.10', 'fd00:96::10'],
  externalIps: ['198.51.100.9', '2001:db8:9::9'],
  loadBalancerIps: ['203.0.113.80', '2001:db8:8::80'],
  nodePort: 30_080,
  backends: [THERE, THERE6],
}
const pods = { clusterPrefixes: ['10.244.0.0/16', 'fd00:244::/32'] }

function node(service: Partial<ServiceOptions> = {}, options: NodeOptions = { balancer: pods }): Node {
  const made = new Node(options)
  made.balancer.services.add({ ...web, ...service })
  return made
}

const builders = { tcp: (text: string, more = {}) => tcpPacket(text, 'S', more), udp: udpPacket } as const
type Builder = (text: string, more?: { ttl?: number }) => string

/** Each protocol and family: names of a pod, the ClusterIP, a backend, and how packets are built. */
const kinds = (['tcp', 'udp'] as const).flatMap((protocol) => [
  {
    protocol,
    family: 4,
    pod: '10.244.1.9',
    vip: '10.96.0.10',
    backend: '10.244.2.6',
    gateway: '10.244.2.1',
    client: '203.0.113.5',
    own: '192.0.2.1',
    build: builders[protocol] as Builder,
  },
  {
    protocol,
    family: 6,
    pod: 'fd00:244:1::9',
    vip: 'fd00:96::10',
    backend: 'fd00:244:2::6',
    gateway: 'fd00:244:2::1',
    client: '2001:db8:5::5',
    own: '2001:db8::1',
    build: builders[protocol] as Builder,
  },
])

describe('a service, byte for byte', () => {
  it.each(kinds)(
    'ClusterIP, $protocol over IPv$family: only the destination changes, and back',
    ({ protocol, pod, vip, backend, build }) => {
      const n = node({ protocol })
      expect(n.send(PODS, build(`${pod}#4000 > ${vip}#80`))).toEqual([
        `1: ${build(`${pod}#4000 > ${backend}#8080`, { ttl: 63 })}`,
      ])
      expect(n.send(OTHERS, build(`${backend}#8080 > ${pod}#4000`))).toEqual([
        `0: ${build(`${vip}#80 > ${pod}#4000`, { ttl: 63 })}`,
      ])
      expect([...n.nat.flows()]).toHaveLength(1)
    },
  )

  it.each(kinds)(
    'NodePort, $protocol over IPv$family: masqueraded to the address it leaves by, and back',
    ({ protocol, client, own, backend, gateway, build }) => {
      const n = node({ protocol })
      expect(n.send(OUTSIDE, build(`${client}#4000 > ${own}#30080`))).toEqual([
        `1: ${build(`${gateway}#4000 > ${backend}#8080`, { ttl: 63 })}`,
      ])
      expect(n.send(OTHERS, build(`${backend}#8080 > ${gateway}#4000`))).toEqual([
        `2: ${build(`${own}#30080 > ${client}#4000`, { ttl: 63 })}`,
      ])
    },
  )

  it.each(kinds)(
    'NodePort with Local, $protocol over IPv$family: the backend sees the client',
    ({ protocol, family, client, own, build }) => {
      const n = node({ protocol, externalTrafficPolicy: 'Local', backends: [HERE, THERE, HERE6, THERE6] })
      const backend = family === 4 ? HERE.address : HERE6.address
      for (let port = 4000; port < 4020; port++) {
        expect(n.send(OUTSIDE, build(`${client}#${port} > ${own}#30080`))).toEqual([
          `0: ${build(`${client}#${port} > ${backend}#8080`, { ttl: 63 })}`,
        ])
        expect(n.send(PODS, build(`${backend}#8080 > ${client}#${port}`))).toEqual([
          `2: ${build(`${own}#30080 > ${client}#${port}`, { ttl: 63 })}`,
        ])
      }
    },
  )

  it.each(kinds)(
    'a pod that is its own backend, $protocol over IPv$family: the hairpin comes back',
    ({ protocol, family, vip, build }) => {
      const n = node({ protocol, backends: [HERE, HERE6] })
      const [pod, gateway] = family === 4 ? [HERE.address, '10.244.1.1'] : [HERE6.address, 'fd00:244:1::1']
      const packet = (p: string) => p.startsWith('0: ') && !/^0: (45c0|6.{11}3a)/.test(p)
      const out = n.send(PODS, build(`${pod}#4000 > ${vip}#80`)).filter(packet)
      expect(out).toEqual([`0: ${build(`${gateway}#4000 > ${pod}#8080`, { ttl: 63 })}`])
      const back = n.send(PODS, build(`${pod}#8080 > ${gateway}#4000`)).filter(packet)
      expect(back).toEqual([`0: ${build(`${vip}#80 > ${pod}#4000`, { ttl: 63 })}`])
    },
  )

  it('ExternalIP and LoadBalancer: as a NodePort, at their own addresses', () => {
    for (const [vip, client, backend, gateway] of [
      ['198.51.100.9', '203.0.113.5', THERE.address, '10.244.2.1'],
      ['203.0.113.80', '203.0.113.5', THERE.address, '10.244.2.1'],
      ['2001:db8:9::9', '2001:db8:5::5', THERE6.address, 'fd00:244:2::1'],
    ]) {
      const n = node()
      expect(n.say(OUTSIDE, tcpPacket(`${client}#4000 > ${vip}#80`, 'S'))).toEqual([
        `1: tcp ${gateway}#4000 > ${backend}#8080`,
      ])
      expect(n.say(OTHERS, tcpPacket(`${backend}#8080 > ${gateway}#4000`, 'SA'))).toEqual([
        `2: tcp ${vip}#80 > ${client}#4000`,
      ])
    }
  })

  it('not DSR, as on Windows: the source becomes the SourceVIP, and two clients with one port stay apart', () => {
    const n = node({}, { balancer: { style: 'windows', sourceVips: ['10.244.1.2', 'fd00:244:1::2'] } })
    expect(n.say(PODS, tcpPacket('10.244.1.9#4000 > 10.96.0.10#80', 'S'))).toEqual([
      '1: tcp 10.244.1.2#4000 > 10.244.2.6#8080',
    ])
    const [second] = n.say(PODS, tcpPacket('10.244.1.8#4000 > 10.96.0.10#80', 'S')) as [string]
    const port = Number(/^1: tcp 10.244.1.2#(\d+) > 10.244.2.6#8080$/.exec(second)![1])
    expect(port).not.toBe(4000)
    expect(n.say(OTHERS, tcpPacket('10.244.2.6#8080 > 10.244.1.2#4000', 'SA'))).toEqual([
      '0: tcp 10.96.0.10#80 > 10.244.1.9#4000',
    ])
    expect(n.say(OTHERS, tcpPacket(`10.244.2.6#8080 > 10.244.1.2#${port}`, 'SA'))).toEqual([
      '0: tcp 10.96.0.10#80 > 10.244.1.8#4000',
    ])
    expect(n.say(PODS, tcpPacket('fd00:244:1::9#4000 > fd00:96::10#80', 'S'))).toEqual([
      '1: tcp fd00:244:1::2#4000 > fd00:244:2::6#8080',
    ])
  })

  it('DSR, as on Windows: the source is kept', () => {
    const n = node({}, { balancer: { style: 'windows', dsr: true } })
    expect(n.say(PODS, tcpPacket('10.244.1.9#4000 > 10.96.0.10#80', 'S'))).toEqual([
      '1: tcp 10.244.1.9#4000 > 10.244.2.6#8080',
    ])
    expect(n.say(OTHERS, tcpPacket('10.244.2.6#8080 > 10.244.1.9#4000', 'SA'))).toEqual([
      '0: tcp 10.96.0.10#80 > 10.244.1.9#4000',
    ])
  })

  it('preserve-destination: routed to the backend as it is, and the answer goes as it is', () => {
    const n = node({ preserveDestination: true, backends: [HERE, HERE6, THERE] })
    for (const [vip, client, hop] of [
      ['203.0.113.80', '203.0.113.5', '10.244.1.5'],
      ['2001:db8:8::80', '2001:db8:5::5', '0005'],
    ]) {
      const packet = tcpPacket(`${client}#4000 > ${vip}#80`, 'S')
      expect(n.send(OUTSIDE, packet)).toEqual([`0: ${tcpPacket(`${client}#4000 > ${vip}#80`, 'S', { ttl: 63 })}`])
      expect(n.hops).toEqual([hop])
      expect(n.say(PODS, tcpPacket(`${vip}#80 > ${client}#4000`, 'SA'))).toEqual([`2: tcp ${vip}#80 > ${client}#4000`])
      // The packets that follow go the same way.
      n.send(OUTSIDE, tcpPacket(`${client}#4000 > ${vip}#80`, 'A', { seq: 1001 }))
      expect(n.hops).toEqual([hop])
    }
  })

  it('packets for nobody are routed like any others', () => {
    const n = node()
    expect(n.say(PODS, tcpPacket('10.244.1.9#4000 > 10.96.0.10#81', 'S'))).toEqual([
      '2: tcp 10.244.1.9#4000 > 10.96.0.10#81',
    ])
    expect(n.say(PODS, udpPacket('10.244.1.9#4000 > 10.96.0.10#80'))).toEqual([
      '2: udp 10.244.1.9#4000 > 10.96.0.10#80',
    ])
  })
})

describe('nobody there', () => {
  it.each(kinds)(
    'is said at once, $protocol over IPv$family: port unreachable, from the router',
    ({ protocol, family, pod, vip, build }) => {
      const n = node({ protocol, backends: [] })
      const own = family === 4 ? '10.244.1.1' : 'fd00:244:1::1'
      const code = family === 4 ? '3/3' : '1/4'
      expect(n.say(PODS, build(`${pod}#4000 > ${vip}#80`))).toEqual([
        `0: icmp ${code} ${own} > ${pod} [${protocol} ${pod}#4000 > ${vip}#80]`,
      ])
      expect(n.noBackend).toBe(1)
      expect([...n.nat.flows()]).toEqual([])
      // As soon as there is a backend, the next packet goes there.
      n.balancer.services.setBackends('web', web.backends!)
      expect(n.say(PODS, build(`${pod}#4000 > ${vip}#80`))[0]).toMatch(/^1: /)
    },
  )

  it('is said with a reset where that is asked for', () => {
    for (const [pod, vip] of [
      ['10.244.1.9', '10.96.0.10'],
      ['fd00:244:1::9', 'fd00:96::10'],
    ]) {
      const n = node({ backends: [] }, { reject: { tcp: 'reset' } })
      const answer = tcpPacket(`${vip}#80 > ${pod}#4000`, 'RA', { seq: 0, ack: 1001, ttl: 64, id: 0 })
      const [got] = n.send(PODS, tcpPacket(`${pod}#4000 > ${vip}#80`, 'S')) as [string]
      // But for the window, DF and what they do to checksums: the ports, numbers and flags.
      const l4 = 3 + (pod!.includes(':') ? 80 : 40)
      expect(got.slice(l4, l4 + 28)).toBe(answer.slice(l4 - 3, l4 + 25))
      expect(n.say(PODS, udpPacket(`${pod}#4000 > ${vip}#80`))[0]).toMatch(/^2: udp/)
    }
  })

  it('is not said, but the packet is dropped, where Local keeps the backends from it', () => {
    const n = node({ externalTrafficPolicy: 'Local' })
    expect(n.say(OUTSIDE, tcpPacket('203.0.113.5#4000 > 192.0.2.1#30080', 'S'))).toEqual([])
    expect(n.noBackend).toBe(1)
    expect(n.say(PODS, tcpPacket('10.244.1.9#4000 > 192.0.2.1#30080', 'S'))).toEqual([
      '1: tcp 10.244.1.9#4000 > 10.244.2.6#8080',
    ])
  })

  it('passes on Windows', () => {
    const n = node({ backends: [] }, { balancer: { style: 'windows' } })
    expect(n.say(PODS, tcpPacket('10.244.1.9#4000 > 10.96.0.10#80', 'S'))).toEqual([
      '2: tcp 10.244.1.9#4000 > 10.96.0.10#80',
    ])
    expect(n.noBackend).toBe(0)
  })
})

describe('flows and their backends', () => {
  const fifty = Array.from({ length: 50 }, (_, i) => ({ address: `10.244.2.${i + 10}`, port: 8080 }))

  it('stay together while backends come and go: 500 connections, one of 50 backends out, another in', () => {
    const n = node({ backends: fifty })
    const to = new Map<number, string>()
    for (let port = 4000; port < 4500; port++) {
      const [line] = n.say(PODS, tcpPacket(`10.244.1.9#${port} > 10.96.0.10#80`, 'S')) as [string]
      to.set(port, line)
      const backend = /> (.*)$/.exec(line)![1]
      n.say(OTHERS, tcpPacket(`${backend} > 10.244.1.9#${port}`, 'SA'))
    }
    expect(new Set(to.values()).size).toBe(500)
    n.balancer.services.removeBackend('web', '10.244.2.17', 8080)
    n.balancer.services.addBackend('web', { address: '10.244.2.99', port: 8080 })
    for (const [port, line] of to) {
      expect(n.say(PODS, tcpPacket(`10.244.1.9#${port} > 10.96.0.10#80`, 'A', { seq: 1001, ack: 1001 }))).toEqual([
        line,
      ])
    }
    const fresh = n.say(
      PODS,
      ...Array.from({ length: 100 }, (_, i) => tcpPacket(`10.244.1.8#${5000 + i} > 10.96.0.10#80`, 'S')),
    )
    expect(fresh).toHaveLength(100)
    expect(fresh.some((line) => line.includes('> 10.244.2.17#'))).toBe(false)
  })

  it('of UDP are ended with their backend, as kube-proxy does on Linux; of TCP they stay', () => {
    const two = [THERE, { ...THERE, address: '10.244.2.7' }]
    const n = node({ backends: two })
    n.balancer.services.add({ ...web, name: 'dns', protocol: 'udp', nodePort: 30_053, backends: two })
    const tcp = tcpPacket('10.244.1.9#4000 > 10.96.0.10#80', 'S')
    const [line] = n.say(PODS, tcp) as [string]
    const gone = line.includes('10.244.2.6') ? '10.244.2.6' : '10.244.2.7'
    const stays = gone === '10.244.2.6' ? '10.244.2.7' : '10.244.2.6'
    const udp = (port: number) => udpPacket(`10.244.1.9#${port} > 10.96.0.10#80`)
    const ports = Array.from({ length: 40 }, (_, i) => 4000 + i)
    const before = ports.map((port) => n.say(PODS, udp(port))[0]!)
    expect(n.active('dns')[gone]).toBeGreaterThan(5)
    for (const name of ['web', 'dns']) n.balancer.services.removeBackend(name, gone, 8080)
    expect(ports.map((port) => n.say(PODS, udp(port))[0]!)).toEqual(before.map((to) => to.replace(gone, stays)))
    expect(n.say(PODS, tcp)).toEqual([line])
    expect(n.active('dns')).toEqual({ [stays]: 40 })
  })

  it('of TCP are ended, too, where that is asked for', () => {
    const n = node({ backends: [THERE] }, { balancer: { whenRemoved: 'end' } })
    n.say(PODS, tcpPacket('10.244.1.9#4000 > 10.96.0.10#80', 'S'))
    n.balancer.services.setBackends('web', [HERE])
    expect([...n.nat.flows()]).toEqual([])
    expect(n.say(PODS, tcpPacket('10.244.1.9#4000 > 10.96.0.10#80', 'A'))).toEqual([
      '0: tcp 10.244.1.9#4000 > 10.244.1.5#8080',
    ])
  })

  it('of UDP that began before there was a service, or a backend, do not go on past it', () => {
    for (const [from, vip, backend] of [
      ['10.244.1.9', '10.96.0.10', '10.244.2.6'],
      ['fd00:244:1::9', 'fd00:96::10', 'fd00:244:2::6'],
    ]) {
      const n = new Node({ balancer: { style: 'windows', dsr: true } })
      const udp = udpPacket(`${from}#4000 > ${vip}#80`)
      const past = [`2: udp ${from}#4000 > ${vip}#80`]
      const there = [`1: udp ${from}#4000 > ${backend}#8080`]
      expect(n.say(PODS, udp, udpPacket(`${from}#4000 > ${vip}#81`))).toHaveLength(2)
      n.balancer.services.add({ ...web, protocol: 'udp', backends: [] })
      expect(n.say(PODS, udp)).toEqual(past)
      n.balancer.services.setBackends('web', web.backends!)
      expect(n.say(PODS, udp)).toEqual(there)
      expect([...n.nat.flows()]).toHaveLength(2)
      n.balancer.services.remove('web')
      n.seconds(200)
      expect(n.say(PODS, udp)).toEqual(past)
      n.balancer.services.add({ ...web, protocol: 'udp' })
      expect(n.say(PODS, udp)).toEqual(there)
    }
  })

  it('are counted until they are over, and a backend that is gone is forgotten with its last one', () => {
    const n = node({ protocol: 'udp', backends: [THERE6] }, { balancer: { whenRemoved: 'keep' } })
    const held = n.addresses.size
    n.say(PODS, udpPacket('fd00:244:1::9#4000 > fd00:96::10#80'), udpPacket('fd00:244:1::9#4001 > fd00:96::10#80'))
    expect(n.active('web')).toEqual({ 'fd00:244:2::6': 2 })
    n.seconds(20)
    n.say(PODS, udpPacket('fd00:244:1::9#4001 > fd00:96::10#80'))
    n.seconds(20)
    expect(n.active('web')).toEqual({ 'fd00:244:2::6': 1 })
    n.balancer.services.setBackends('web', [])
    expect(n.say(PODS, udpPacket('fd00:244:1::9#4001 > fd00:96::10#80'))).toEqual([
      '1: udp fd00:244:1::9#4001 > fd00:244:2::6#8080',
    ])
    expect(n.addresses.size).toBe(held + 1)
    n.seconds(60)
    expect([...n.nat.flows()]).toEqual([])
    expect(n.addresses.size).toBe(held - 1)
  })

  it('that cannot leave are not counted', () => {
    const n = node({ backends: [{ address: '10.244.9.9', port: 80 }] })
    n.router.addRoute({ to: '10.244.9.0/24', type: 'unreachable' })
    expect(n.say(PODS, tcpPacket('10.244.1.9#4000 > 10.96.0.10#80', 'S'))).toEqual([
      '0: icmp 3/1 10.96.0.10 > 10.244.1.9 [tcp 10.244.1.9#4000 > 10.96.0.10#80]',
    ])
    n.say(PODS, tcpPacket('10.244.1.9#4000 > 10.96.0.11#80', 'S'))
    expect(n.active('web')).toEqual({ '10.244.9.9': 0 })
  })

  it('carry the errors of their backends: the client hears of what it sent, and from whom it sent it to', () => {
    const n = node({ protocol: 'udp' })
    n.say(PODS, udpPacket('10.244.1.9#4000 > 10.96.0.10#80'))
    const about = Buffer.from(udpPacket('10.244.1.9#4000 > 10.244.2.6#8080', { ttl: 63 }), 'hex')
    const error = icmpPacket({ src: '10.244.2.6', dst: '10.244.1.9' }, 3, 3, 0, about)
    expect(n.say(OTHERS, error)).toEqual(['0: icmp 3/3 10.96.0.10 > 10.244.1.9 [udp 10.244.1.9#4000 > 10.96.0.10#80]'])
  })

  it('carry fragments: all of a packet go to one backend', () => {
    const n = node({ protocol: 'udp', backends: fifty })
    const whole = Buffer.from(udpPacket('10.244.1.9#4000 > 10.96.0.10#80', { data: 2000 }), 'hex')
    const fragment = (from: number, to: number, more: boolean) => {
      const b = Buffer.concat([whole.subarray(0, 20), whole.subarray(20 + from, 20 + to)])
      b.writeUInt16BE(b.length, 2)
      b.writeUInt16BE((more ? 0x2000 : 0) | (from >>> 3), 6)
      b.writeUInt16BE(0, 10)
      ipv4.fillChecksum(b, 0)
      return b.toString('hex')
    }
    const parts = [fragment(0, 1200, true), fragment(1200, 2008, false)] as const
    const [first, second] = n.say(PODS, ...parts) as [string, string]
    const backend = /> ([0-9.]+)#8080$/.exec(first)![1]!
    expect(second).toBe(`1: fragment 10.244.1.9 > ${backend} @1200`)
    // The other way round the later one waits for the first.
    expect(n.say(PODS, parts[1]).concat(n.say(PODS, parts[0])).sort()).toEqual([second, first].sort())
  })

  it('speak SCTP, whose checksum follows the port', () => {
    const n = node({ protocol: 'sctp' })
    const sctp = (text: string, ttl = 64) => sctpInit(text, ttl)
    expect(n.send(PODS, sctp('10.244.1.9#4000 > 10.96.0.10#80'))).toEqual([
      `1: ${sctp('10.244.1.9#4000 > 10.244.2.6#8080', 63)}`,
    ])
  })
})

describe('session affinity', () => {
  const three = [6, 7, 8].map((i) => ({ address: `10.244.2.${i}`, port: 8080 }))
  const backendOf = (line: string | undefined) => /> (.*)#8080$/.exec(line ?? '')?.[1]

  it('a client goes where it was, for 10,800 seconds after its last new connection', () => {
    const n = node({ distribution: 'source-ip', backends: three.slice(0, 1) })
    let port = 4000
    const connect = () => backendOf(n.say(PODS, tcpPacket(`10.244.1.9#${port++} > 10.96.0.10#80`, 'S'))[0])
    expect(connect()).toBe('10.244.2.6')
    n.balancer.services.setBackends(
      'web',
      Array.from({ length: 60 }, (_, i) => ({ address: `10.244.2.${i + 6}`, port: 8080 })),
    )
    for (let i = 0; i < 3; i++) {
      n.clock.advance(10_799e9)
      n.loop.settle()
      expect(connect()).toBe('10.244.2.6')
    }
    // The packets of a connection do not count, only its beginning.
    n.clock.advance(5_400e9)
    n.say(PODS, tcpPacket(`10.244.1.9#${port - 1} > 10.96.0.10#80`, 'S'))
    n.clock.advance(10_800e9)
    n.loop.settle()
    expect(connect()).not.toBe('10.244.2.6')
  })

  it.each(['10.244.1', 'fd00:244:1:'] as const)(
    'clients of %s spread over backends, each with all its connections at one',
    (net) => {
      const six = net.includes(':')
      const backends = six ? [6, 7, 8].map((i) => ({ address: `fd00:244:2::${i}`, port: 8080 })) : three
      const n = node({ distribution: 'source-ip', backends })
      const seen = new Set<string>()
      for (let c = 20; c < 50; c++) {
        const client = six ? `${net}:${c}` : `${net}.${c}`
        const to = new Set<string | undefined>()
        for (let port = 4000; port < 4005; port++) {
          to.add(
            backendOf(n.say(PODS, tcpPacket(`${client}#${port} > ${six ? 'fd00:96::10' : '10.96.0.10'}#80`, 'S'))[0]),
          )
        }
        expect(to.size).toBe(1)
        seen.add([...to][0]!)
      }
      expect([...seen].sort()).toEqual(backends.map((b) => b.address))
      expect(n.balancer.clients(n.clock.now)).toBe(30)
    },
  )
})

describe('at the port of a switch, without a router', () => {
  it('DSR as VFP does it: the destination changes where the pod is, MACs and TTL do not', () => {
    const pool = new FramePool({ frames: 64 })
    const loop = new Loop(pool, new VirtualClock())
    const addresses = new Addresses6({ max: 256 })
    const balancer = new Balancer(addresses, { style: 'windows', dsr: true })
    balancer.services.add({ ...web, backends: [THERE, THERE6] })
    const nat = new Nat(loop, { addresses, destination: [balancer] })
    const pod = nat.addSide('pod')
    const network = nat.addSide('network')
    const out = new Passage(nat, pod, network)
    const back = new Passage(nat, network, pod)
    const pass = (passage: Passage, packet: string) => {
      const batch = new Batch(4)
      const header = `020000000002020000000001${packet.startsWith('6') ? '86dd' : '0800'}`
      const f = pool.from(Buffer.from(header + packet, 'hex')) as Frame
      pool.ledger.receive(1)
      batch.push(f)
      passage.process(batch)
      expect(batch.length).toBe(1)
      const frame = Buffer.from(pool.copyOut(batch.frames[0] as Frame)).toString('hex')
      pool.sent(batch.frames[0] as Frame)
      expect(frame.slice(0, 28)).toBe(header)
      expect(pool.report().balanced).toBe(true)
      return frame.slice(28)
    }
    for (const { protocol, pod: from, vip, backend, build } of kinds) {
      if (protocol === 'udp') continue
      for (let i = 0; i < 3; i++) {
        expect(pass(out, build(`${from}#4000 > ${vip}#80`))).toBe(build(`${from}#4000 > ${backend}#8080`))
        expect(pass(back, build(`${backend}#8080 > ${from}#4000`))).toBe(build(`${vip}#80 > ${from}#4000`))
      }
    }
  })
})

/** An INIT chunk in a packet with its CRC32c. */
function sctpInit(text: string, ttl: number): string {
  const [src, sport, dst, dport] = text.split(/[#> ]+/) as [string, string, string, string]
  const b = Buffer.alloc(20 + 32)
  ipv4.write(b, 0, { src: parseIpv4(src), dst: parseIpv4(dst), protocol: 132, payload: 32, ttl, id: 1 })
  b.writeUInt16BE(Number(sport), 20)
  b.writeUInt16BE(Number(dport), 22)
  b.write('010000140000000100010000000a000a00000001', 32, 'hex')
  let crc = 0xffff_ffff
  for (const byte of b.subarray(20)) {
    crc ^= byte
    for (let k = 0; k < 8; k++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f6_3b78 : 0)
  }
  b.writeUInt32LE(~crc >>> 0, 28)
  return b.toString('hex')
}
