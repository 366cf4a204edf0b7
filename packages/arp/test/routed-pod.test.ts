/**
 * A pod on a /32 link behind a router, as Calico has it: table, proxy and router together.
 *
 *     pod 10.244.1.5 ── cali1 ee:ee:ee:ee:ee:ee [ node ] eth0 192.0.2.1/24 ── gateway 192.0.2.254
 */
import { FramePool, Loop, MemoryPort, Pipeline, Router, VirtualClock } from '@l2l3/switch-core'
import { expect, it } from 'vitest'
import { NeighbourTable, ProxyArp } from '../src/index.ts'
import { hex4, isAt, whoHas } from './lab.ts'

const POD = '020000000001'
const HOST = 'eeeeeeeeeeee'
const UPLINK = '020000000002'
const GATEWAY = '0200000000fe'

function node() {
  const pool = new FramePool({ frames: 128 })
  const clock = new VirtualClock()
  const loop = new Loop(pool, clock)
  const router = new Router(pool, clock)
  const plug = (name: string, mac: string, addresses: string[], askFrom: string) => {
    const port = new MemoryPort(pool, name)
    const out = loop.link(port)
    const iface = router.addInterface({ name, mac, out, addresses })
    const table = new NeighbourTable(pool, clock, { mac, out, addresses, client: iface, askFrom })
    iface.neighbours = table
    const proxy = new ProxyArp(pool, clock, { mac, out, routes: router, interface: iface })
    loop.add(port, new Pipeline(table.input, proxy, iface))
    loop.every(1e8, table)
    return { port, table, iface }
  }
  const cali1 = plug('cali1', 'ee:ee:ee:ee:ee:ee', [], '192.0.2.1')
  const eth0 = plug('eth0', '02:00:00:00:00:02', ['192.0.2.1/24'], '192.0.2.1')
  router.addRoute({ to: '10.244.1.5/32', dev: cali1.iface })
  router.addRoute({ to: '10.244.1.0/26', type: 'blackhole' })
  router.addRoute({ to: '10.9.0.0/16', type: 'prohibit' })
  router.addRoute({ to: '0.0.0.0/0', via: '192.0.2.254' })
  // One of two next hops leads back.
  router.addRoute({ to: '198.51.100.0/24', hops: [{ via: '192.0.2.254' }, { dev: cali1.iface }] })
  const send = (port: MemoryPort, frame: string): void => {
    port.inject(Buffer.from(frame, 'hex'))
    loop.settle()
    expect(pool.report().balanced).toBe(true)
  }
  const heard = (port: MemoryPort): string[] => port.takeAll().map((b) => b.toString('hex'))
  return { pool, clock, loop, cali1, eth0, send, heard }
}

/** UDP 1000 to 2000, two bytes, no UDP checksum. */
function udp(dst: string, src: string, ttl: string, checksum: string, from: string, to: string): string {
  return `${dst}${src}08004500001e00004000${ttl}11${checksum}${hex4(from)}${hex4(to)}03e807d0000a0000beef`
}

it('answers for what the router would take, and for nothing else', () => {
  const { cali1, send, heard } = node()
  const answers = (tpa: string): string[] => {
    send(cali1.port, whoHas(POD, '10.244.1.5', tpa))
    return heard(cali1.port)
  }
  for (const ip of ['169.254.1.1', '8.8.8.8', '192.0.2.1', '192.0.2.77']) {
    expect(answers(ip)).toEqual([isAt(POD, '10.244.1.5', HOST, ip)])
  }
  for (const ip of ['10.244.1.6', '198.51.100.7', '10.9.1.1', '192.0.2.255', '224.0.0.5'])
    expect(answers(ip)).toEqual([])
  // From another sender, so that it is no announcement: the route leads back.
  send(cali1.port, whoHas(POD, '10.244.1.9', '10.244.1.5'))
  expect(heard(cali1.port)).toEqual([])
})

it('routes between the pod and the gateway, and asks each for its MAC when it must', () => {
  const { pool, cali1, eth0, send, heard } = node()
  send(cali1.port, udp(HOST, POD, '40', 'f2cc', '10.244.1.5', '203.0.113.9'))
  expect(heard(eth0.port)).toEqual([whoHas(UPLINK, '192.0.2.1', '192.0.2.254')])
  send(eth0.port, isAt(UPLINK, '192.0.2.1', GATEWAY, '192.0.2.254'))
  expect(heard(eth0.port)).toEqual([udp(GATEWAY, UPLINK, '3f', 'f3cc', '10.244.1.5', '203.0.113.9')])
  // Back: the pod's link has no IPv4 address of its own, so the host's asks.
  send(eth0.port, udp(UPLINK, GATEWAY, '40', 'f2cc', '203.0.113.9', '10.244.1.5'))
  expect(heard(cali1.port)).toEqual([whoHas(HOST, '192.0.2.1', '10.244.1.5')])
  send(cali1.port, isAt(HOST, '192.0.2.1', POD, '10.244.1.5'))
  expect(heard(cali1.port)).toEqual([udp(POD, HOST, '3f', 'f3cc', '203.0.113.9', '10.244.1.5')])
  expect(pool.report()).toMatchObject({ held: 0, balanced: true })
})

it('tells the gateway that a pod does not answer', () => {
  const { clock, loop, eth0, cali1, send, heard } = node()
  eth0.table.add('192.0.2.254', '02:00:00:00:00:fe')
  send(eth0.port, udp(UPLINK, GATEWAY, '40', 'f2cc', '203.0.113.9', '10.244.1.5'))
  for (let i = 0; i < 35; i++) {
    clock.advance(1e8)
    loop.settle()
  }
  expect(heard(cali1.port)).toEqual(new Array(3).fill(whoHas(HOST, '192.0.2.1', '10.244.1.5')))
  const [error] = heard(eth0.port)
  // ICMP type 3, code 1: host unreachable.
  expect(error?.slice(0, 28)).toBe(`${GATEWAY}${UPLINK}0800`)
  expect(error?.slice(68, 72)).toBe('0301')
})
