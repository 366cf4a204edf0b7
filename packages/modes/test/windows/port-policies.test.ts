import { Filter } from '@l2l3/nat'
import { type Element, type MacWords, stationMac } from '@l2l3/switch-core'
import { formatIpv4, ipv4, parseIpv4, u32 } from '@l2l3/switch-core/wire'
import { describe, expect, it } from 'vitest'
import { PortPolicies, type PortPolicyOptions } from '../../src/windows/port-policies.ts'
import { VfpNat, type VfpPolicies } from '../../src/windows/vfp-nat.ts'
import { lab } from '../lab.ts'
import { datagram, sentence } from './packets.ts'

/*
 * The port of a pod, and in place of the switch a port that shows what the pod's port makes of frames:
 *
 *     pod 10.244.1.11 02:..:11  <->  policies  <->  switch          10.244.1.12 02:..:12 is another pod of the node
 */
const POD = '02:00:00:00:01:11'
const OTHER = '02:00:00:00:01:12'
const GATEWAY = '02:00:00:00:01:02'
const HOST = '00:15:5d:00:00:0a'
const MACS: Record<string, MacWords> = {
  '10.244.1.11': stationMac('pod', POD),
  '10.244.1.12': stationMac('other', OTHER),
}

const web = {
  name: 'default/web',
  protocol: 'udp' as const,
  port: 80,
  clusterIps: ['10.96.0.10'],
  backends: [{ address: '10.244.1.12', port: 8080, local: true }],
}

function port(policies: VfpPolicies = { services: [web] }, options: Partial<PortPolicyOptions> = {}) {
  const bench = lab()
  const { ground } = bench
  const vfp = new VfpNat(ground, { hostIps: ['192.0.2.10'] })
  vfp.setPolicies({
    endpoints: [{ name: 'pod', ips: ['10.244.1.11'], outboundNat: [] }],
    ...policies,
  })
  const endpoints = {
    mac4: (b: Uint8Array, at: number): MacWords | null => MACS[formatIpv4(u32(b, at))] ?? null,
    mac6: () => null,
  }
  const filter = new Filter(ground.loop)
  const pod = bench.port('pod')
  const made = new PortPolicies(
    { ground, vfp, filter, endpoints, hostMac: HOST },
    { name: 'pod', mac: POD, ips: ['10.244.1.11'], ...options },
    pod,
  )
  const wire = bench.port('switch')
  made.toSwitch = wire as Element
  ground.loop.add(pod, made.out)
  ground.loop.add(wire, made.in)
  return {
    vfp,
    made,
    bench,
    /** Sends a datagram in by a port; gives what came out. */
    send(at: 'pod' | 'switch', text: string): string[] {
      const out = bench.send(at, datagram(text))
      return Object.entries(out).flatMap(([name, list]) => list.map((frame) => `${name}: ${sentence(frame)}`))
    },
  }
}

describe('the port of a pod', () => {
  it('gives a service’s address to a backend of the node, with its MAC, and takes the answer back', () => {
    const { send } = port()
    expect(send('pod', `${POD} > ${GATEWAY}, 10.244.1.11#1000 > 10.96.0.10#80`)).toEqual([
      `switch: ${POD} > ${OTHER}, 10.244.1.11#1000 > 10.244.1.12#8080, ttl 128`,
    ])
    expect(send('switch', `${OTHER} > ${POD}, 10.244.1.12#8080 > 10.244.1.11#1000`)).toEqual([
      `pod: ${OTHER} > ${POD}, 10.96.0.10#80 > 10.244.1.11#1000, ttl 128`,
    ])
  })

  it('leaves the MAC where the backend is on another node', () => {
    const remote = { ...web, backends: [{ address: '10.244.2.7', port: 8080 }] }
    expect(port({ services: [remote] }).send('pod', `${POD} > ${GATEWAY}, 10.244.1.11#1000 > 10.96.0.10#80`)).toEqual([
      `switch: ${POD} > ${GATEWAY}, 10.244.1.11#1000 > 10.244.2.7#8080, ttl 128`,
    ])
  })

  it('has a pod reach itself where loopback DSR is on, and not where it is off (modes.md 17.1)', () => {
    const own = { ...web, backends: [{ address: '10.244.1.11', port: 8080, local: true }] }
    const asks = `${POD} > ${GATEWAY}, 10.244.1.11#1000 > 10.96.0.10#80`
    const without = port({ services: [own] })
    expect(without.send('pod', asks)).toEqual([`switch: ${POD} > ${POD}, 10.244.1.11#1000 > 10.244.1.11#8080, ttl 128`])
    const { send } = port({
      services: [own],
      endpoints: [
        { name: 'pod', ips: ['10.244.1.11'], outboundNat: [{ Type: 'OutBoundNAT', Destinations: ['10.244.1.11'] }] },
      ],
    })
    for (const again of [1, 2]) {
      expect([again, ...send('pod', asks)]).toEqual([
        again,
        `pod: ${GATEWAY} > ${POD}, 192.0.2.10#1000 > 10.244.1.11#8080, ttl 128`,
      ])
      expect(send('pod', `${POD} > ${GATEWAY}, 10.244.1.11#8080 > 192.0.2.10#1000`)).toEqual([
        `pod: ${GATEWAY} > ${POD}, 10.96.0.10#80 > 10.244.1.11#1000, ttl 128`,
      ])
    }
  })

  it('turns later fragments of such an answer back, too, and no others', () => {
    const own = { ...web, backends: [{ address: '10.244.1.11', port: 8080, local: true }] }
    const { send, bench } = port({
      services: [own],
      endpoints: [
        {
          ...{ name: 'pod', ips: ['10.244.1.11'] },
          outboundNat: [
            { Type: 'OutBoundNAT', Destinations: ['10.244.1.11'] },
            { Type: 'OutBoundNAT', Destinations: ['203.0.113.1'], VIP: '192.0.2.77' },
          ],
        },
      ],
    })
    send('pod', `${POD} > ${GATEWAY}, 10.244.1.11#1000 > 10.96.0.10#80`)
    /** A piece of a datagram from the pod to the host's address: 24 bytes of 48, UDP without a checksum. */
    const piece = (id: number, at: 0 | 24, ports: string, to = '192.0.2.10'): string => {
      const b = Buffer.alloc(44)
      ipv4.write(b, 0, { src: parseIpv4('10.244.1.11'), dst: parseIpv4(to), protocol: 17, payload: 24 })
      b.writeUInt16BE(id, 4)
      b.writeUInt16BE(at === 0 ? ipv4.Flag.MoreFragments : at / 8, 6)
      ipv4.fillChecksum(b, 0)
      b.write(at === 0 ? `${ports}00300000` : '5a5a5a5a', 20, 'hex')
      return `${GATEWAY}${POD}0800`.replaceAll(':', '') + b.toString('hex')
    }
    /** Where a frame came out, from and to which MAC and address. */
    const way = (frame: string): string[] =>
      Object.entries(bench.send('pod', frame)).flatMap(([name, list]) =>
        list.map((f) => {
          const b = Buffer.from(f, 'hex')
          expect(ipv4.checksumOk(b, 14)).toBe(true)
          return `${name}: ${f.slice(0, 12)} ${formatIpv4(u32(b, 26))} > ${formatIpv4(u32(b, 30))} at ${b.readUInt16BE(20) & 0x1fff}`
        }),
      )
    const [mac, gateway] = [POD, GATEWAY].map((m) => m.replaceAll(':', ''))
    const answer = '1f9003e8'
    expect([way(piece(7, 0, answer)), way(piece(7, 24, answer))]).toEqual([
      [`pod: ${mac} 10.96.0.10 > 10.244.1.11 at 0`],
      [`pod: ${mac} 10.96.0.10 > 10.244.1.11 at 3`],
    ])
    // The pod may speak to the host itself: to another port, the same and another identification.
    for (const id of [7, 8]) {
      expect([id, way(piece(id, 0, '0fff0050')), way(piece(id, 24, ''))]).toEqual([
        id,
        [`switch: ${gateway} 10.244.1.11 > 192.0.2.10 at 0`],
        [`switch: ${gateway} 10.244.1.11 > 192.0.2.10 at 3`],
      ])
    }
    // Identifications are those of a pair of addresses.
    const there = [
      piece(20, 0, answer),
      piece(20, 0, answer, '192.0.2.77'),
      piece(20, 24, ''),
      piece(20, 24, '', '192.0.2.77'),
    ]
    expect(there.flatMap(way).map((line) => line.slice(0, line.indexOf(':')))).toEqual([
      'pod',
      'switch',
      'pod',
      'switch',
    ])
    // A later one before its first waits for it.
    expect(way(piece(9, 24, answer))).toEqual([])
    expect(way(piece(9, 0, answer)).sort()).toEqual([
      `pod: ${mac} 10.96.0.10 > 10.244.1.11 at 0`,
      `pod: ${mac} 10.96.0.10 > 10.244.1.11 at 3`,
    ])
  })

  it('sends what a ROUTE with NeedEncap is about to the host, and wraps nothing', () => {
    const { send } = port({}, { sdnRoutes: ['10.96.0.0/12'] })
    expect(send('pod', `${POD} > ${GATEWAY}, 10.244.1.11#1000 > 10.96.0.10#80`)).toEqual([
      `switch: ${POD} > ${HOST}, 10.244.1.11#1000 > 10.96.0.10#80, ttl 128`,
    ])
    expect(send('pod', `${POD} > ${GATEWAY}, 10.244.1.11#1000 > 203.0.113.9#80`)).toEqual([
      `switch: ${POD} > ${GATEWAY}, 10.244.1.11#1000 > 203.0.113.9#80, ttl 128`,
    ])
  })

  it('drops by VFP’s names what the pod may not send', () => {
    const { send, bench } = port({}, { guards: { blockBroadcast: true, blockNonIp: true } })
    const spoofed = [
      `${OTHER} > ${GATEWAY}, 10.244.1.11#1 > 10.244.2.7#2`,
      `${POD} > ${GATEWAY}, 10.244.1.12#1 > 10.244.2.7#2`,
      `${POD} > ${GATEWAY}, 10.244.1.11#67 > 10.244.2.7#68`,
      `${POD} > ff:ff:ff:ff:ff:ff, 10.244.1.11#1 > 255.255.255.255#2`,
    ]
    for (const text of spoofed) expect(send('pod', text)).toEqual([])
    bench.send('pod', `${GATEWAY}${POD}88b50102`.replaceAll(':', ''))
    bench.send(
      'pod',
      `ffffffffffff ${POD} 0806 0001080006040001 ${POD} 0af4010c 000000000000 0af40101`.replaceAll(':', ''),
    )
    expect(bench.pool.report().dropped).toEqual({
      MacGuard: 1,
      IPv4Guard: 1,
      DhcpGuard: 1,
      BlockBroadcast: 1,
      BlockNonIp: 1,
      ArpGuard: 1,
    })
    expect(send('pod', `${POD} > ff:ff:ff:ff:ff:ff, 10.244.1.11#68 > 255.255.255.255#67`)).toHaveLength(1)
  })

  it('judges by the pod’s ACL, which sees a service by its own address', () => {
    const acl = {
      rules: [
        { action: 'block', direction: 'out', remoteAddresses: ['10.244.1.12'], priority: 100 },
        { action: 'allow', direction: 'out', priority: 200 },
      ],
    } as const
    const { send, bench, made } = port({ services: [web] }, { acl })
    expect(send('pod', `${POD} > ${GATEWAY}, 10.244.1.11#1000 > 10.96.0.10#80`)).toHaveLength(1)
    expect(send('pod', `${POD} > ${OTHER}, 10.244.1.11#1001 > 10.244.1.12#8080`)).toEqual([])
    expect(bench.pool.report().dropped).toEqual({ AclBlock: 1 })
    made.setAcl({ rules: [] })
    expect(send('pod', `${POD} > ${OTHER}, 10.244.1.11#1002 > 10.244.1.12#8080`)).toHaveLength(1)
  })

  it('has nothing left when it ends', () => {
    const { send, made, vfp, bench } = port()
    send('pod', `${POD} > ${GATEWAY}, 10.244.1.11#1000 > 10.96.0.10#80`)
    expect([...vfp.nat.flows()]).toHaveLength(1)
    bench.ground.loop.remove(bench.ground.loop.ports[0]!)
    made.end()
    expect([...vfp.nat.flows()]).toEqual([])
    expect(vfp.addSide('pod', 'next').zone).toBe(made.podSide.zone)
  })
})
