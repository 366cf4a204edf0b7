// What an interface that several share says of frames: whose each is.
import { describe, expect, it } from 'vitest'
import { FramePool, Ipvlan, type IpvlanMode, Loop, Macvlan, MemoryPort, VirtualClock } from '../../src/index.ts'
import { ipv4, parseIpv4 } from '../../src/wire/index.ts'
import { Listener } from '../listener.ts'

const [PARENT, A, B, OUT, ALL] = ['0e0000000001', '02000000000a', '02000000000b', '020000000099', 'ffffffffffff']
const colons = (mac: string): string => mac.replace(/..(?=.)/g, '$&:')

class Lab {
  readonly pool: FramePool = new FramePool({ frames: 64 })
  readonly loop: Loop = new Loop(this.pool, new VirtualClock())
  readonly ports: Map<string, MemoryPort> = new Map()

  port(name: string): MemoryPort {
    const port = new MemoryPort(this.pool, name)
    this.ports.set(name, port)
    return port
  }

  said(from: string, frame: string): string[] {
    const trace = new Listener(this.pool)
    this.ports.get(from)?.inject(Buffer.from(frame, 'hex'))
    this.loop.settle()
    for (const port of this.ports.values()) port.takeAll()
    return trace.heard()
  }
}

describe('a macvlan explains', () => {
  it('to whom a frame goes', () => {
    const lab = new Lab()
    const wire = lab.port('wire')
    const macvlan = new Macvlan(lab.loop, lab.loop.link(wire), { parentMac: colons(PARENT) })
    lab.loop.add(wire, macvlan.ingress)
    for (const [name, mac, mode] of [
      ['a', A, 'bridge'],
      ['b', B, 'bridge'],
      ['v', '02000000000c', 'vepa'],
    ] as const) {
      const port = lab.port(name)
      lab.loop.add(port, macvlan.addChild(lab.loop.link(port), { mac: colons(mac), mode }))
    }
    const frame = (dst: string, src: string): string => `${dst}${src}88b5c0ffee`
    expect(lab.said('a', frame(B, A))).toEqual([`macvlan: ${colons(B)}: a sibling`])
    expect(lab.said('a', frame(OUT, A))).toEqual([`macvlan: ${colons(OUT)}: no sibling, so out by the wire`])
    expect(lab.said('a', frame(ALL, A))).toEqual(['macvlan: broadcast: to 1 sibling and the wire'])
    expect(lab.said('v', frame(B, '02000000000c'))).toEqual([
      `macvlan: ${colons(B)}: out by the wire, as all that a vepa child sends`,
    ])
    expect(lab.said('wire', frame(B, OUT))).toEqual([`macvlan: ${colons(B)}: child ${colons(B)}`])
    expect(lab.said('wire', frame(OUT, OUT))).toEqual([`macvlan: ${colons(OUT)}: nobody here has this MAC`])
    expect(lab.said('wire', frame(ALL, A))).toEqual([
      `macvlan: broadcast: to 1 receiver here, sent back to us: it is of child ${colons(A)} (bridge)`,
    ])
  })
})

describe('an ipvlan explains', () => {
  const packet = (dst: string, to: string): string => {
    const b = new Uint8Array(34)
    b.set(Buffer.from(`${dst}${PARENT}0800`, 'hex'))
    ipv4.write(b, 14, { src: parseIpv4('10.0.0.1'), dst: parseIpv4(to), protocol: 17, payload: 0, ttl: 9 })
    return Buffer.from(b).toString('hex')
  }
  const make = (mode: IpvlanMode): Lab => {
    const lab = new Lab()
    const wire = lab.port('wire')
    const ipvlan = new Ipvlan(lab.loop, lab.loop.link(wire), { parentMac: colons(PARENT), mode })
    lab.loop.add(wire, ipvlan.ingress)
    for (const [name, ip] of [
      ['a', '10.0.0.1'],
      ['b', '10.0.0.2'],
    ] as const) {
      const port = lab.port(name)
      lab.loop.add(port, ipvlan.addChild(lab.loop.link(port), { ips: [ip] }))
    }
    return lab
  }

  it('to whom a packet goes', () => {
    const l2 = make('l2')
    expect(l2.said('wire', packet(PARENT, '10.0.0.2'))).toEqual(['ipvlan: 10.0.0.2: child 1'])
    expect(l2.said('a', packet(OUT, '10.9.0.2'))).toEqual([`ipvlan: ${colons(OUT)}: out by the wire`])
    expect(l2.said('a', packet(ALL, '10.9.0.2'))).toEqual(['ipvlan: broadcast: to all siblings and the wire'])
    const l3 = make('l3')
    const macs = `MACs ${colons(PARENT)} > ${colons(PARENT)}`
    expect(l3.said('a', packet(PARENT, '10.0.0.2'))).toEqual([`ipvlan: 10.0.0.2: child 1, TTL lowered by one, ${macs}`])
    expect(l3.said('a', packet(OUT, '10.9.0.2'))).toEqual([
      `ipvlan: 10.9.0.2: no child, so out by the wire, TTL lowered by one, MACs ${colons(PARENT)} > ${colons(OUT)}`,
    ])
  })
})
