import { ipv4 } from '@l2l3/switch-core/wire'
import { describe, expect, it } from 'vitest'
import { fabric, type L2BridgeModeOptions, l2bridge } from '../../src/index.ts'
import { lab } from '../lab.ts'
import { datagram, sentence } from './packets.ts'

/*
 * A node of Windows, with its layers and its host:
 *
 *     web 10.244.1.3 02:..:03    db 10.244.1.4 02:..:04    host endpoint 10.244.1.2 02:..:02
 *     +--+-------------------------+-------------------------+--+
 *     |                        l2bridge                         |-- uplink 192.0.2.11 00:15:..:01 -- router 192.0.2.1 0a:..:fe
 *     +---------------------------------------------------------+
 */
const HOST = '00:15:5d:00:01:01'
const ENDPOINT = '02:00:00:00:00:02'
const WEB = '02:00:00:00:00:03'
const DB = '02:00:00:00:00:04'
const ROUTER = '0a:00:00:00:00:fe'

const web = {
  name: 'web',
  protocol: 'udp' as const,
  port: 80,
  clusterIps: ['10.96.0.10'],
  nodePort: 30080,
  backends: [{ address: '10.244.1.3', port: 8000, local: true }],
}

function node(
  options: Partial<L2BridgeModeOptions> = {},
  pods: Partial<Record<'web' | 'db', object>> = {},
  vfp: Partial<L2BridgeModeOptions['vfp']> = {},
) {
  const bench = lab()
  const built = l2bridge(bench.ground, {
    hostMac: HOST,
    uplink: { port: bench.port('uplink') },
    vfp: { hostIps: ['192.0.2.11'], ...vfp },
    stack: { addresses: ['192.0.2.11/24'], endpoint: { mac: ENDPOINT, addresses: ['10.244.1.2/24'] } },
    routes: [{ to: '0.0.0.0/0', via: '192.0.2.1' }],
    pods: [
      { name: 'web', port: bench.port('web'), mac: WEB, ips: ['10.244.1.3'], ...pods.web },
      { name: 'db', port: bench.port('db'), mac: DB, ips: ['10.244.1.4'], ...pods.db },
    ],
    ...options,
  })
  built.stack?.management.neighbours.add('192.0.2.1', ROUTER)
  built.stack?.endpoint?.neighbours.add('10.244.1.3', WEB)
  built.stack?.endpoint?.neighbours.add('10.244.1.4', DB)
  return {
    ...{ bench, built },
    /** Sends a datagram in by a port; gives what came out. */
    send(at: string, text: string, ttl?: number): string[] {
      return told(bench.send(at, datagram(text, ttl)))
    },
  }
}

function told(out: Record<string, string[]>): string[] {
  return Object.entries(out).flatMap(([name, list]) => list.map((frame) => `${name}: ${sentence(frame)}`))
}

const outboundNat = (...exceptions: string[]) => ({
  outboundNat: [{ Type: 'OutBoundNAT' as const, Settings: { Exceptions: exceptions } }],
})

describe('an l2bridge node of Windows', () => {
  it('translates what leaves but for the exceptions, which of several policies count together', () => {
    const { send } = node(
      {},
      { web: { outboundNat: [...outboundNat('10.0.0.0/8').outboundNat, ...outboundNat('172.16.0.0/12').outboundNat] } },
    )
    expect(send('web', `${WEB} > ${ENDPOINT}, 10.244.1.3#1000 > 198.51.100.9#53`)).toEqual([
      `uplink: ${HOST} > ${ROUTER}, 192.0.2.11#1000 > 198.51.100.9#53, ttl 127`,
    ])
    expect(send('uplink', `${ROUTER} > ${HOST}, 198.51.100.9#53 > 192.0.2.11#1000`)).toEqual([
      `web: ${ROUTER} > ${WEB}, 198.51.100.9#53 > 10.244.1.3#1000, ttl 128`,
    ])
    for (const to of ['10.9.0.1', '172.16.0.1']) {
      expect(send('web', `${WEB} > ${ENDPOINT}, 10.244.1.3#1001 > ${to}#53`)).toEqual([
        `uplink: ${HOST} > ${ROUTER}, 10.244.1.3#1001 > ${to}#53, ttl 127`,
      ])
    }
    // Another pod has no policy: its packets leave as they are.
    expect(send('db', `${DB} > ${ENDPOINT}, 10.244.1.4#1000 > 198.51.100.9#53`)).toEqual([
      `uplink: ${HOST} > ${ROUTER}, 10.244.1.4#1000 > 198.51.100.9#53, ttl 127`,
    ])
  })

  it('translates to a VirtualIP, and no further than MaxPortPoolUsage says', () => {
    const policy = { Type: 'OutBoundNAT' as const, Settings: { VirtualIP: '192.0.2.99', MaxPortPoolUsage: 1 } }
    const { send, bench } = node({}, { web: { outboundNat: [policy] } })
    const asks = (port: number) => `${WEB} > ${ENDPOINT}, 10.244.1.3#${port} > 198.51.100.9#53`
    expect(send('web', asks(1000))).toEqual([`uplink: ${HOST} > ${ROUTER}, 192.0.2.99#1000 > 198.51.100.9#53, ttl 127`])
    expect(send('web', asks(1001))).toEqual([])
    expect(bench.pool.report().dropped).toEqual({ NatPortsSpent: 1 })
    const asked = `ffffffffffff ${ROUTER} 0806 0001080006040001 ${ROUTER} c0000201 000000000000 c0000263`
    expect(bench.send('uplink', asked.replaceAll(':', ''))).toEqual({
      uplink: [`${ROUTER}${HOST}08060001080006040002${HOST}c0000263${ROUTER}c0000201`.replaceAll(':', '')],
    })
  })

  it('does services that are not DSR at the host’s port, from the SourceVIP or itself, TTL kept', () => {
    const { send } = node({ services: [web] }, { db: { sdnRoutes: ['10.96.0.0/12'] } }, { lbMode: 'nondsr' })
    expect(send('db', `${DB} > ${ENDPOINT}, 10.244.1.4#1000 > 10.96.0.10#80`)).toEqual([
      `web: ${ENDPOINT} > ${WEB}, 192.0.2.11#1000 > 10.244.1.3#8000, ttl 128`,
    ])
    expect(send('web', `${WEB} > ${ENDPOINT}, 10.244.1.3#8000 > 192.0.2.11#1000`)).toEqual([
      `db: ${ENDPOINT} > ${DB}, 10.96.0.10#80 > 10.244.1.4#1000, ttl 128`,
    ])
    expect(send('uplink', `${ROUTER} > ${HOST}, 198.51.100.9#7 > 192.0.2.11#30080`, 60)).toEqual([
      `web: ${ENDPOINT} > ${WEB}, 192.0.2.11#7 > 10.244.1.3#8000, ttl 60`,
    ])
    expect(send('web', `${WEB} > ${ENDPOINT}, 10.244.1.3#8000 > 192.0.2.11#7`)).toEqual([
      `uplink: ${HOST} > ${ROUTER}, 192.0.2.11#30080 > 198.51.100.9#7, ttl 128`,
    ])
    const vip = node({ services: [web] }, {}, { lbMode: 'nondsr', sourceVips: ['10.244.1.100'] })
    expect(vip.send('db', `${DB} > ${ENDPOINT}, 10.244.1.4#1000 > 10.96.0.10#80`)).toEqual([
      `web: ${ENDPOINT} > ${WEB}, 10.244.1.100#1000 > 10.244.1.3#8000, ttl 128`,
    ])
  })

  it.each([
    ['pass', {}, 1],
    ['drop', { NatUnsupported: 1 }, 0],
  ] as const)('ICMP that would need translation: %s (modes.md 2.4)', (untransposed, dropped, out) => {
    const { bench } = node({}, { web: outboundNat() }, { untransposed })
    const echo = '4500001c00010000 4001 44ad 0af40103 c6336409 0800 f7fe 0001 0000'
    const { uplink = [] } = bench.send('web', `${ENDPOINT}${WEB}0800${echo}`.replaceAll(/[: ]/g, ''))
    expect(uplink.map((frame) => frame.slice(52, 60))).toEqual(Array.from({ length: out }, () => '0af40103'))
    expect(bench.pool.report().dropped).toEqual(dropped)
  })

  it('translates pings where icmpTransposition says so, which VFP cannot', () => {
    const { bench } = node({}, { web: outboundNat() }, { icmpTransposition: true })
    const echo = '4500001c00010000 4001 44ad 0af40103 c6336409 0800 f7fe 0001 0000'
    const { uplink = [] } = bench.send('web', `${ENDPOINT}${WEB}0800${echo}`.replaceAll(/[: ]/g, ''))
    expect(uplink.map((frame) => frame.slice(52, 68))).toEqual(['c000020bc6336409'])
    const reply = '4500001c00020000 4001 0000 c6336409 c000020b 0000 fffe 0001 0000'.replaceAll(' ', '')
    const packet = Buffer.from(reply, 'hex')
    ipv4.fillChecksum(packet, 0)
    const { web: back = [] } = bench.send('uplink', `${HOST}${ROUTER}0800`.replaceAll(':', '') + packet.toString('hex'))
    expect(back.map((frame) => frame.slice(52, 68))).toEqual(['c63364090af40103'])
  })

  it('reaches a port mapping from a pod of its own, by way of the host', () => {
    const { send } = node({}, { web: { portMappings: [{ protocol: 'udp', port: 8080, toPort: 80 }] } })
    expect(send('db', `${DB} > ${ENDPOINT}, 10.244.1.4#1000 > 192.0.2.11#8080`)).toEqual([
      `web: ${ENDPOINT} > ${WEB}, 192.0.2.11#1000 > 10.244.1.3#80, ttl 128`,
    ])
    expect(send('web', `${WEB} > ${ENDPOINT}, 10.244.1.3#80 > 192.0.2.11#1000`)).toEqual([
      `db: ${ENDPOINT} > ${DB}, 192.0.2.11#8080 > 10.244.1.4#1000, ttl 128`,
    ])
  })

  it('gives a packet to a backend as it is where the destination is to be preserved', () => {
    const service = { ...web, nodePort: undefined, clusterIps: [], loadBalancerIps: ['203.0.113.5'] }
    const { nodePort: _, clusterIps: __, ...rest } = service
    const { send } = node({ services: [{ ...rest, preserveDestination: true }] })
    for (const again of [1, 2]) {
      expect([again, ...send('uplink', `${ROUTER} > ${HOST}, 198.51.100.9#7 > 203.0.113.5#80`, 60)]).toEqual([
        again,
        `web: ${ROUTER} > ${WEB}, 198.51.100.9#7 > 203.0.113.5#80, ttl 60`,
      ])
    }
  })

  it('is in a VLAN: tagged at the uplink, and other tags are not for it', () => {
    const { bench } = node({ vlan: 7 })
    const frame = datagram(`${ROUTER} > ${HOST}, 198.51.100.9#7 > 10.244.1.4#9`)
    const tagged = (tci: string): string => `${frame.slice(0, 24)}8100${tci}${frame.slice(24)}`
    expect(told(bench.send('uplink', tagged('0007')))).toEqual([
      `db: ${ROUTER} > ${DB}, 198.51.100.9#7 > 10.244.1.4#9, ttl 128`,
    ])
    const { uplink = [] } = bench.send('db', datagram(`${DB} > ${ENDPOINT}, 10.244.1.4#9 > 198.51.100.9#7`))
    expect(uplink[0]?.slice(0, 36)).toBe(`${ROUTER}${HOST}81000007 0800`.replaceAll(/[: ]/g, ''))
    bench.send('uplink', tagged('0008'))
    bench.send('uplink', tagged('0000'))
    bench.send('uplink', frame)
    bench.send('uplink', tagged('').slice(0, 28))
    expect(bench.pool.report().dropped).toEqual({ VlanIngress: 1, Untagged: 2, Runt: 1 })
  })

  it('changes rules while flows go on, and forgets those of a pod that is gone', () => {
    const { send, bench, built } = node({}, { web: outboundNat() })
    const asks = (port: number) => `${WEB} > ${ENDPOINT}, 10.244.1.3#${port} > 198.51.100.9#53`
    send('web', asks(1000))
    const pods = [...built.pods.keys()].map((name) => {
      const { mac, ips } = built.pods.get(name)!
      return { name, port: bench.ground.loop.ports.find((p) => p.name === name)!, mac, ips: [ips[0]!] }
    })
    built.change({ pods, routes: [{ to: '0.0.0.0/0', via: '192.0.2.1' }] })
    // The flow goes on translated; a new one is not.
    expect(send('web', asks(1000))[0]).toContain('192.0.2.11#1000')
    expect(send('web', asks(1001))[0]).toContain('10.244.1.3#1001')
    built.forget(WEB, ['10.244.1.3'])
    expect([...(built.vfp?.nat.flows() ?? [])].filter((flow) => flow.original.src === '10.244.1.3')).toEqual([])
  })

  it.each([
    [
      '65 backends',
      { backends: Array.from({ length: 65 }, (_, i) => ({ address: `10.244.2.${i + 1}`, port: 80 })) },
      {},
    ],
    [
      'other ports',
      {
        backends: [
          { address: '10.244.2.1', port: 80 },
          { address: '10.244.2.2', port: 81 },
        ],
      },
      {},
    ],
    ['policy Local without DSR', { externalTrafficPolicy: 'Local' as const }, { lbMode: 'nondsr' as const }],
  ])('refuses what HNS does not do: %s', (_, service, vfp) => {
    expect(() => node({ services: [{ ...web, ...service }] }, {}, vfp)).toThrow(RangeError)
  })

  it('says what kube-proxy would say', () => {
    const { built } = node(
      { services: [{ ...web, backends: [], distribution: 'source-ip' }] },
      {},
      { hnsVersion: '11.10' },
    )
    expect(built.vfp?.notes).toEqual([
      'service web: HNS 11.10 keeps no client where it is: no session affinity',
      'service web has no endpoints: Not applying any policy',
    ])
  })
})

describe('a fabric', () => {
  const VM = ['00:0d:3a:00:00:01', '00:0d:3a:00:00:02'] as const
  const FABRIC = '12:34:56:78:9a:bc'
  function build(acl?: object) {
    const bench = lab()
    fabric(bench.ground, {
      vms: [
        { name: 'vm1', port: bench.port('vm1'), mac: VM[0], ips: ['10.240.0.11', '10.240.0.12'], ...(acl && { acl }) },
        { name: 'vm2', port: bench.port('vm2'), mac: VM[1], ips: ['10.240.0.21'] },
      ],
      uplink: { port: bench.port('uplink'), gatewayMac: ROUTER },
    })
    return { bench, send: (at: string, text: string) => told(bench.send(at, datagram(text))) }
  }

  it('gives frames to whoever has the address, also back by their port, and takes no TTL', () => {
    const { send } = build()
    expect(send('vm1', `${VM[0]} > ${FABRIC}, 10.240.0.11#1 > 10.240.0.12#2`)).toEqual([
      `vm1: ${FABRIC} > ${VM[0]}, 10.240.0.11#1 > 10.240.0.12#2, ttl 128`,
    ])
    expect(send('vm1', `${VM[0]} > ${FABRIC}, 10.240.0.11#1 > 10.240.0.21#2`)).toEqual([
      `vm2: ${FABRIC} > ${VM[1]}, 10.240.0.11#1 > 10.240.0.21#2, ttl 128`,
    ])
    expect(send('vm2', `${VM[1]} > ${FABRIC}, 10.240.0.21#1 > 198.51.100.9#2`)).toEqual([
      `uplink: ${FABRIC} > ${ROUTER}, 10.240.0.21#1 > 198.51.100.9#2, ttl 128`,
    ])
    expect(send('uplink', `${ROUTER} > ${FABRIC}, 198.51.100.9#2 > 10.240.0.21#1`)).toEqual([
      `vm2: ${FABRIC} > ${VM[1]}, 198.51.100.9#2 > 10.240.0.21#1, ttl 128`,
    ])
  })

  it('answers all ARP with its own MAC, and drops what is for nobody', () => {
    const { bench, send } = build({ defaults: 'block' })
    const asks = `ffffffffffff ${VM[0]} 0806 0001080006040001 ${VM[0]} 0af0000b 000000000000 0af00063`
    expect(bench.send('vm1', asks.replaceAll(':', ''))).toEqual({
      vm1: [`${VM[0]}${FABRIC}08060001080006040002${FABRIC}0af00063${VM[0]}0af0000b`.replaceAll(':', '')],
    })
    expect(send('vm1', `${VM[0]} > ${FABRIC}, 10.240.0.11#1 > 10.240.0.12#2`)).toEqual([])
    expect(send('uplink', `${ROUTER} > ${FABRIC}, 198.51.100.9#2 > 10.240.0.77#1`)).toEqual([])
    expect(send('vm2', `${VM[1]} > ff:ff:ff:ff:ff:ff, 10.240.0.21#1 > 255.255.255.255#2`)).toEqual([])
    bench.send('vm2', `${FABRIC}${VM[1]}88b50102`.replaceAll(':', ''))
    bench.send('vm2', `${FABRIC}${VM[1]}0800450000`.replaceAll(':', ''))
    expect(bench.pool.report().dropped).toEqual({
      ...{ AclBlock: 1, UnknownEndpoint: 1, BlockBroadcast: 1, BlockNonIp: 1, Malformed: 1 },
    })
  })
})
