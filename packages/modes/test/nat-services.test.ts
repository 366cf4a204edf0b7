import { formatIpv4, formatMac, ipv4, parseIpv4, u16, udp } from '@l2l3/switch-core/wire'
import { describe, expect, it } from 'vitest'
import { type NatModeOptions, nat } from '../src/index.ts'
import { lab } from './lab.ts'

/*
 * Services of a NAT node, whose pods share a switch:
 *
 *     client 10.244.1.20   a 10.244.1.11   b 10.244.1.12
 *        02:..:20             02:..:11        02:..:12
 *     +--+--------------------+---------------+--+
 *     |  switch -- 10.244.1.1 02:..:01  router    |-- uplink 192.0.2.1
 *     +-------------------------------------------+
 */

const GATEWAY = '02:00:00:00:00:01'
const PODS = { client: '10.244.1.20', a: '10.244.1.11', b: '10.244.1.12' }
type Pod = keyof typeof PODS

function node(services: NatModeOptions['services'] = [], balancer: NatModeOptions['balancer'] = {}) {
  const bench = lab()
  const built = nat(bench.ground, {
    gateway: { mac: GATEWAY, addresses: ['10.244.1.1/24'] },
    inside: Object.keys(PODS).map((name) => ({ name, port: bench.port(name) })),
    uplinks: [{ name: 'uplink', port: bench.port('uplink'), mac: '02:00:00:00:00:02', addresses: ['192.0.2.1/24'] }],
    services,
    balancer,
  })
  for (const [name, ip] of Object.entries(PODS)) {
    built.gateway.neighbours.add(ip, macOf(name as Pod))
    built.switch.addStatic(macOf(name as Pod), built.inside.get(name)!)
  }
  return {
    built,
    /** Sends UDP from a pod; gives what came out: `b: 02:..:12 10.244.1.1#4000 > 10.244.1.12#53`. */
    send(from: Pod, packet: string): string[] {
      const out = bench.send(from, datagram(from, packet))
      return Object.entries(out).flatMap(([name, list]) => list.map((frame) => `${name}: ${sentence(frame)}`))
    },
  }
}

function macOf(pod: Pod): string {
  return `02:00:00:00:00:${PODS[pod].slice(-2)}`
}

/** `10.0.0.1#1 > 10.0.0.2#2` as a frame to the gateway. */
function datagram(from: Pod, text: string): string {
  const [src, sport, dst, dport] = text.split(/[#> ]+/) as [string, string, string, string]
  const b = Buffer.alloc(29)
  ipv4.write(b, 0, { src: parseIpv4(src), dst: parseIpv4(dst), protocol: 17, payload: 9, ttl: 64 })
  udp.write(b, 20, Number(sport), Number(dport), 1)
  udp.fillChecksum(b, 0, 20)
  return `${GATEWAY}${macOf(from)}0800`.replaceAll(':', '') + b.toString('hex')
}

function sentence(frame: string): string {
  const b = Buffer.from(frame, 'hex')
  const ip = 14
  const ends = `${formatIpv4(ipv4.src(b, ip))}#${u16(b, 34)} > ${formatIpv4(ipv4.dst(b, ip))}#${u16(b, 36)}`
  if (b[23] === 1) return `icmp ${b[34]}/${b[35]} from ${formatIpv4(ipv4.src(b, ip))}`
  expect(udp.checksumOk(b, ip, 34)).toBe(true)
  return `${formatMac(b)} ${ends}`
}

const dns = (...backends: Pod[]) => ({
  name: 'dns',
  protocol: 'udp' as const,
  port: 53,
  clusterIps: ['10.96.0.2'],
  backends: backends.map((pod) => ({ address: PODS[pod], port: 5300, local: true })),
})

describe('a service of a NAT node', () => {
  it('has the answers of pods on the same switch come by the node', () => {
    const { send } = node([dns('a')])
    expect(send('client', '10.244.1.20#4000 > 10.96.0.2#53')).toEqual([
      'a: 02:00:00:00:00:11 10.244.1.1#4000 > 10.244.1.11#5300',
    ])
    expect(send('a', '10.244.1.11#5300 > 10.244.1.1#4000')).toEqual([
      'client: 02:00:00:00:00:20 10.96.0.2#53 > 10.244.1.20#4000',
    ])
  })

  it('ends flows of UDP to a backend that is taken out', () => {
    const { send, built } = node([dns('a')])
    send('client', '10.244.1.20#4000 > 10.96.0.2#53')
    built.balancer.services.setBackends('dns', dns('b').backends)
    expect(send('client', '10.244.1.20#4000 > 10.96.0.2#53')).toEqual([
      'b: 02:00:00:00:00:12 10.244.1.1#4000 > 10.244.1.12#5300',
    ])
  })

  it('says at once that nobody is there, as the node', () => {
    const { send } = node([dns()])
    expect(send('client', '10.244.1.20#4000 > 10.96.0.2#53')).toEqual(['client: icmp 3/3 from 10.244.1.1'])
  })
})
