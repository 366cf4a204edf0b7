import { describe, expect, it } from 'vitest'
import { Balancer, OutboundNat, OutsidePorts, SourceNat } from '../../src/index.ts'
import { BEHAVIOUR } from '../../src/outbound/source-nat-options.ts'
import { Proto } from '../../src/tuple.ts'
import { INSIDE, Lab, OUTSIDE, udpPacket } from '../engine/lab.ts'
import { Asking } from './asking.ts'

/*
 * Services beside a NAT that owns its outside ports: neither takes the other's.
 *
 *     203.0.113.1:30053  the node port: nobody inside gets it for his own
 *     203.0.113.1:4000   alice's: what is masqueraded on its way to a backend gets another
 */

const dns = { name: 'dns', protocol: 'udp', port: 53, nodePort: 30_053 } as const

function labOf(backend: string, external: string[] = []): { lab: Lab; balancer: Balancer; ports: OutsidePorts } {
  const ports = new OutsidePorts()
  let balancer!: Balancer
  const lab = new Lab((l) => {
    balancer = new Balancer(l.addresses, { outsidePorts: ports })
    const nat = new SourceNat(l.addresses, {
      ...BEHAVIOUR.rfc4787,
      filtering: 'endpoint-independent',
      outside: l.outside,
      outsidePorts: ports,
    })
    const outbound = new OutboundNat([{ from: ['10.22.0.0/24'], out: [2], verdict: nat }])
    return {
      destination: [balancer, outbound.inbound],
      source: [outbound],
      outsidePorts: ports,
      random: () => 5000 - 1024,
    }
  })
  const where = external.length > 0 ? { externalIps: external } : {}
  balancer.services.add({ ...dns, ...where, backends: [{ address: backend, port: 53 }] })
  return { lab, balancer, ports }
}

/** The port under which what 10.22.0.11 sends from `port` leaves. */
function portOf(lab: Lab, port: number): number {
  const [out] = lab.say(INSIDE, udpPacket(`10.22.0.11#${port} > 203.0.113.2#99`)) as [string]
  return Number(/^1: udp 203\.0\.113\.1#(\d+) > 203\.0\.113\.2#99$/.exec(out)![1])
}

describe('the ports of a service', () => {
  it('are given to nobody inside while it is there', () => {
    const { lab, balancer } = labOf('10.22.0.12', ['203.0.113.1', '198.51.100.9'])
    expect(portOf(lab, 30_053)).not.toBe(30_053)
    expect(portOf(lab, 53)).not.toBe(53)
    expect(portOf(lab, 30_054)).toBe(30_054)
    lab.nat.endFlows(() => true)
    balancer.services.update({ ...dns, nodePort: 30_054 })
    expect(portOf(lab, 30_053)).toBe(30_053)
    expect(portOf(lab, 53)).toBe(53)
    expect(portOf(lab, 30_054)).not.toBe(30_054)
    lab.nat.endFlows(() => true)
    balancer.services.remove('dns')
    expect(portOf(lab, 30_054)).toBe(30_054)
  })

  it('are given back by a service that could not be put in, and refused where there is no room', () => {
    const ports = new OutsidePorts({ maxPorts: 4 })
    const asking = new Asking({ outsidePorts: ports })
    const { services } = asking.balancer
    services.add({ ...dns, externalIps: ['198.51.100.9'] })
    expect(ports.size).toBe(3)
    const other = { ...dns, name: 'other', nodePort: 30_054 }
    expect(() => services.add(other)).toThrow('service other: no room to reserve port 30054 (maxPorts of OutsidePorts)')
    expect(() => services.add({ ...other, nodePort: 30_053 })).toThrow('is taken by service dns')
    expect(() => services.update({ ...dns, externalIps: ['fd00::1', 'fd00::2'] })).toThrow('no room to reserve port 53')
    expect([ports.size, asking.addresses.size]).toEqual([3, 0])
    services.update({ ...dns, clusterIps: ['10.96.0.1'] })
    expect(ports.size).toBe(1)
    services.remove('dns')
    expect(ports.size).toBe(0)
  })
})

it('what is masqueraded leaves the ports of hosts inside alone', () => {
  const { lab, ports } = labOf('203.0.113.3')
  // The first other port that is tried is hers, too.
  for (const port of [4000, 5000]) expect(portOf(lab, port)).toBe(port)
  const [out] = lab.say(OUTSIDE, udpPacket('203.0.113.2#4000 > 203.0.113.1#30053')) as [string]
  const port = Number(/^1: udp 203\.0\.113\.1#(\d+) > 203\.0\.113\.3#53$/.exec(out)![1])
  expect(port).toBe(5001)
  expect(ports.isUnowned(Proto.Udp, 0xcb007101, port)).toBe(true)
  // Alice gets to that backend by her own port.
  expect(lab.say(INSIDE, udpPacket('10.22.0.11#4000 > 203.0.113.3#53'))).toEqual([
    '1: udp 203.0.113.1#4000 > 203.0.113.3#53',
  ])
  expect(lab.say(OUTSIDE, udpPacket('203.0.113.3#53 > 203.0.113.1#4000'))).toEqual([
    '0: udp 203.0.113.3#53 > 10.22.0.11#4000',
  ])
  expect(lab.say(OUTSIDE, udpPacket(`203.0.113.3#53 > 203.0.113.1#${port}`))).toEqual([
    '1: udp 203.0.113.1#30053 > 203.0.113.2#4000',
  ])
})
