import { describe, expect, it } from 'vitest'
import { Balancer, PortMappings, type ServiceOptions } from '../../src/index.ts'
import { Proto, Tuple } from '../../src/tuple.ts'
import { INSIDE, Lab, OUTSIDE, tcpPacket, udpPacket } from '../engine/lab.ts'

/*
 * A change of services or port mappings, and flows of UDP that stand: a client who never stops asking, from one port, has to
 * come to whom a new client would come to.
 */

const SERVER = '203.0.113.2'
const OTHER = '203.0.113.3'
const at = (address: string, more: object = {}) => ({ address, port: 53, ...more })

function labOf(options: ConstructorParameters<typeof Balancer>[1] = {}) {
  let balancer!: Balancer
  let mappings!: PortMappings
  const lab = new Lab((l) => {
    balancer = new Balancer(l.addresses, options)
    mappings = new PortMappings(l.addresses)
    return { destination: [mappings, balancer], invalid: 'pass' }
  })
  return { lab, services: balancer.services, mappings }
}

const dns: ServiceOptions = {
  name: 'dns',
  protocol: 'udp',
  port: 53,
  clusterIps: ['10.96.0.2'],
  backends: [at(SERVER)],
}
const ask = udpPacket('10.22.0.11#4000 > 10.96.0.2#53')
const to = (address: string) => [`1: udp 10.22.0.11#4000 > ${address}#53`]

describe('a client of UDP finds the new place', () => {
  it('when an address passes from one service to another', () => {
    const { lab, services } = labOf()
    services.add(dns)
    expect(lab.say(INSIDE, ask)).toEqual(to(SERVER))
    services.update({ ...dns, clusterIps: ['10.96.0.1'] })
    // Nobody has it: the flow goes on.
    expect(lab.say(INSIDE, ask)).toEqual(to(SERVER))
    services.add({ ...dns, name: 'new', backends: [at(OTHER)] })
    expect(lab.say(INSIDE, ask)).toEqual(to(OTHER))
  })

  it('when a node port passes from one service to another, and forwarded packets to that port stay', () => {
    const { lab, services } = labOf()
    const node = { ...dns, clusterIps: [], nodePort: 30_053, backends: [at('10.22.0.11')] }
    services.add(node)
    services.add({ ...dns, name: 'same', port: 30_053, clusterIps: ['10.96.0.9'], backends: [at('10.22.0.13')] })
    const [own, through, cluster] = ['203.0.113.1', '10.22.0.12', '10.96.0.9'].map((d) =>
      udpPacket(`${SERVER}#4000 > ${d}#30053`),
    ) as [string, string, string]
    const seen = () => [own, through, cluster].flatMap((p) => lab.say(OUTSIDE, p).map((s) => s.replace(/.* > /, '')))
    expect(seen()).toEqual(['10.22.0.11#53', '10.22.0.12#30053', '10.22.0.13#53'])
    const ids = () => new Map([...lab.nat.flows()].map((f) => [f.original.dst, f.id]))
    const before = ids()
    services.update({ ...node, nodePort: 30_054 })
    services.add({ ...node, name: 'new', backends: [at('10.22.0.14')] })
    expect(seen()).toEqual(['10.22.0.14#53', '10.22.0.12#30053', '10.22.0.13#53'])
    const after = ids()
    for (const dst of ['10.22.0.12', '10.96.0.9']) expect([dst, after.get(dst)]).toEqual([dst, before.get(dst)])
  })

  it.each<[string, Partial<ServiceOptions>, ServiceOptions['backends']]>([
    ['of any kind', {}, []],
    ['of its own family', { clusterIps: ['10.96.0.2', 'fd00:96::2'] }, [at('2001:db8:7::2')]],
    ['on this node, where only those count', { internalTrafficPolicy: 'Local' }, [at(SERVER)]],
    ['with a weight', {}, [at(OTHER, { weight: 0 })]],
  ])('when the first backend comes that may serve: %s', (_, more, before) => {
    for (const change of ['setBackends', 'addBackend', 'update'] as const) {
      // Windows' rules let a packet pass that nobody may serve.
      const { lab, services } = labOf({ style: 'windows', empty: 'pass', dsr: true })
      services.add({ ...dns, ...more, backends: before! })
      expect(lab.say(INSIDE, ask)).toEqual(to('10.96.0.2'))
      const last = at('203.0.113.9', { local: true })
      if (change === 'addBackend') services.addBackend('dns', last)
      else if (change === 'setBackends') services.setBackends('dns', [...before!, last])
      else services.update({ ...dns, ...more, backends: [...before!, last] })
      expect([change, lab.say(INSIDE, ask)]).toEqual([change, to('203.0.113.9')])
    }
  })

  it('when a service gets another address, which packets passed before', () => {
    const { lab, services } = labOf()
    services.add({ ...dns, clusterIps: ['10.96.0.1'] })
    expect(lab.say(INSIDE, ask)).toEqual(to('10.96.0.2'))
    services.update({ ...dns, clusterIps: ['10.96.0.1', '10.96.0.2'] })
    expect(lab.say(INSIDE, ask)).toEqual(to(SERVER))
  })

  it('when a port mapping takes a node port', () => {
    const { lab, services, mappings } = labOf()
    services.add({ ...dns, clusterIps: [], nodePort: 30_053, backends: [at('10.22.0.11')] })
    const p = udpPacket(`${SERVER}#4000 > 203.0.113.1#30053`)
    expect(lab.say(OUTSIDE, p)[0]).toMatch(/ > 10\.22\.0\.11#53$/)
    mappings.add({ protocol: 'udp', port: 30_053, to: '10.22.0.12' })
    expect(lab.say(OUTSIDE, p)[0]).toMatch(/ > 10\.22\.0\.12#30053$/)
  })
})

describe('flows stay', () => {
  it('of TCP, and of backends that remain', () => {
    const { lab, services } = labOf()
    services.add({ ...dns, protocol: 'tcp' })
    const syn = tcpPacket('10.22.0.11#4000 > 10.96.0.2#53', 'S')
    expect(lab.say(INSIDE, syn)[0]).toMatch(/203\.0\.113\.2/)
    services.update({ ...dns, protocol: 'tcp', clusterIps: ['10.96.0.1'] })
    services.add({ ...dns, name: 'new', protocol: 'tcp', backends: [at(OTHER)] })
    expect(lab.say(INSIDE, syn)[0]).toMatch(/203\.0\.113\.2/)

    services.add({ ...dns, name: 'u', clusterIps: ['10.96.0.5'] })
    const p = udpPacket('10.22.0.11#4000 > 10.96.0.5#53')
    lab.say(INSIDE, p)
    const id = () => [...lab.nat.flows()].find((f) => f.original.dst === '10.96.0.5')!.id
    const before = id()
    services.update({ ...dns, name: 'u', clusterIps: ['10.96.0.5', '10.96.0.6'] })
    services.addBackend('u', at(OTHER))
    lab.say(INSIDE, p)
    expect(id()).toBe(before)
  })

  it('of a backend that was taken out and keeps them, when its address is served again', () => {
    const { lab, services } = labOf({ whenRemoved: 'keep' })
    services.add(dns)
    lab.say(INSIDE, ask)
    services.remove('dns')
    services.add({ ...dns, backends: [at(OTHER)] })
    expect(lab.say(INSIDE, ask)).toEqual(to(SERVER))
  })
})

it('a change goes once over all flows, whatever the number of its backends and ports', () => {
  const { lab, services, mappings } = labOf({ whenRemoved: 'end' })
  const { nat } = lab
  let looks = 0
  const { next } = nat.conntrack
  nat.conntrack.next = (from) => {
    looks++
    return next.call(nat.conntrack, from)
  }
  const one = new Tuple()
  const two = new Tuple()
  for (let i = 0; i < 1000; i++) {
    one.set(0x0a160063, 0x08080000 + i, 1, 53, Proto.Udp)
    two.set(0x08080000 + i, 0x0a160063, 53, 1, Proto.Udp)
    nat.conntrack.insert(one, two, 0, 60_000)
  }
  const looked = (change: () => void): number => {
    looks = 0
    change()
    return looks
  }
  const backends = Array.from({ length: 64 }, (_, i) => at(`203.0.113.${100 + i}`))
  const service = { ...dns, clusterIps: Array.from({ length: 10 }, (_, i) => `10.96.0.${2 + i}`), nodePort: 30_053 }
  expect(looked(() => services.add({ ...service, backends }))).toBe(1001)
  for (let i = 0; i < 500; i++) lab.send(INSIDE, udpPacket(`10.22.0.11#${5000 + i} > 10.96.0.${2 + (i % 10)}#53`))
  expect(nat.conntrack.size).toBe(1500)
  expect(services.get('dns')!.backends.every((b) => b.active > 0)).toBe(true)
  expect(looked(() => services.remove('dns'))).toBe(1501)
  expect(nat.conntrack.size).toBe(1000)
  expect(looked(() => void mappings.add({ protocol: 'udp', port: '1000-1099', to: '10.22.0.11' }))).toBe(1001)
  // What asks for nothing to end looks at nothing.
  expect(looked(() => services.add({ ...service, protocol: 'tcp', backends }))).toBe(0)
  expect(looked(() => void services.remove('dns'))).toBe(0)
})
