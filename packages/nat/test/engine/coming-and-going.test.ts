// Fragments that waited are counted once; interfaces and whole NATs come and go.
import { MemoryPort } from '@l2l3/switch-core'
import { ipv4, parseIpv4 } from '@l2l3/switch-core/wire'
import { describe, expect, it } from 'vitest'
import type { FlowChange } from '../../src/index.ts'
import { ANN, cut, NatLab, SRV, udp } from '../nat-lab.ts'
import { hex, INSIDE, Lab, OUTSIDE, udpPacket } from './lab.ts'

const pieces = (to = '203.0.113.2'): [Uint8Array, Uint8Array] =>
  cut(hex(udpPacket(`10.22.0.11#5000 > ${to}#53`, { data: 1000 })), 504, 9)

it('a fragment that waited is counted once by its interface', () => {
  const lab = Lab.masquerading()
  const [first, second] = pieces()
  expect(lab.send(INSIDE, second, first)).toHaveLength(2)
  const bytes = first.length + second.length + 28
  expect(lab.ifaces[INSIDE]?.counters).toMatchObject({ rxFrames: 2, rxBytes: bytes, rxDropped: 0 })
})

it('a fragment that waited for an interface that was taken away ends as PortDown', () => {
  const lab = Lab.masquerading()
  const [first, second] = pieces()
  lab.send(INSIDE, second)
  const iface = lab.ifaces[INSIDE] as never
  lab.ports[INSIDE]?.inject(Uint8Array.from([...hex('0200000000a0 02000000000a 0800'), ...first]))
  // It is released, and the interface goes before it gets there again.
  const { process } = lab.ifaces[INSIDE] as { process(batch: object): void }
  ;(lab.ifaces[INSIDE] as { process: unknown }).process = (batch: object) => {
    process.call(iface, batch)
    lab.router.removeInterface(iface)
  }
  lab.collect()
  expect(lab.drops.PortDown).toBe(1)
})

it('a later fragment does not have an ended flow live again', () => {
  const lab = new NatLab({ timeouts: { udp: 2 } })
  const [first, second] = cut(udp(ANN, 5000, SRV, 53, 'x'.repeat(600)), 304, 77)
  expect(lab.out(first)).toBeInstanceOf(Uint8Array)
  lab.clock.advance(2.5e9)
  expect(lab.out(second)).toBe('InvalidState')
  expect([...lab.nat.flows()]).toEqual([])
})

describe('detach', () => {
  it('gives the number to the next, drops what waits, and ends the flows of the zone', () => {
    const lab = Lab.masquerading({ zones: [1, 2] })
    lab.send(INSIDE, udpPacket('10.22.0.11#5000 > 203.0.113.2#53'))
    lab.send(INSIDE, pieces('203.0.113.3')[1])
    expect(lab.nat.fragments.held).toBe(1)
    const inside = lab.ifaces[INSIDE] as never
    lab.nat.detach(inside)
    expect(lab.nat.fragments.held).toBe(0)
    expect(lab.drops).toEqual({ PortDown: 1 })
    expect([...lab.nat.flows()]).toEqual([])
    expect(() => lab.nat.detach(inside)).toThrow('eth0 is not attached')
    lab.router.removeInterface(inside)
    const port = new MemoryPort(lab.pool, 'new')
    const iface = lab.router.addInterface({ name: 'new', mac: '02:00:00:00:00:a1', out: lab.loop.link(port) })
    expect(lab.nat.attach(iface, { zone: 3 })).toBe(1)
  })

  it('leaves the flows of a zone that others are in, and what waits elsewhere', () => {
    const lab = Lab.masquerading()
    lab.send(INSIDE, udpPacket('10.22.0.11#5000 > 203.0.113.2#53'))
    lab.send(INSIDE, pieces()[1])
    lab.nat.detach(lab.ifaces[OUTSIDE] as never)
    expect([...lab.nat.flows()]).toHaveLength(1)
    expect(lab.nat.fragments.held).toBe(1)
  })
})

it('close ends flows and what waits, tells policies and watchers, and lets go of the loop', () => {
  const ended: number[] = []
  const changes: FlowChange[] = []
  const lab = new Lab(() => ({
    destination: [
      {
        decide(q) {
          q.toAddress = parseIpv4('203.0.113.9') as number
          q.toPort = 53
          q.tag = 7
          return true
        },
        ended: (tag) => void ended.push(tag),
      },
    ],
  }))
  lab.nat.watch((change) => void changes.push(change))
  const [out] = lab.send(INSIDE, udpPacket('10.22.0.11#5000 > 203.0.113.2#53'))
  expect(ipv4.dst(hex((out as string).slice(3)), 0)).toBe(parseIpv4('203.0.113.9'))
  lab.send(INSIDE, pieces()[1])
  lab.router.gate = null
  lab.nat.close()
  expect(ended).toEqual([7])
  expect(changes).toEqual(['new', 'destroy'])
  expect(lab.nat.conntrack.size).toBe(0)
  expect(lab.nat.fragments.held).toBe(0)
  expect(lab.loop.nextTick).toBe(Number.POSITIVE_INFINITY)
})
