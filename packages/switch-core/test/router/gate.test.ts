// What stands before and behind the routing decision, and packets of the node's own.
import { describe, expect, it } from 'vitest'
import { Drop, type Frame, NO_FRAME, type RouterGate, type RouterInterface } from '../../src/index.ts'
import { ipv4, parseIpv4, parseIpv6 } from '../../src/wire/index.ts'
import { ALICE, BOB, ETH0, ETH1, hex, Lab, packet4, packet6 } from './lab.ts'

/** A gate that writes down what passes, and does what it is told. */
class Notebook implements RouterGate {
  readonly seen: string[] = []
  route4 = 0
  route6: Uint8Array | null = null
  onArrived: (iface: RouterInterface, f: Frame) => Frame | -1 = (_, f) => f
  onLeaving: (f: Frame) => Frame | -1 = (f) => f

  arrived(iface: RouterInterface, f: Frame): Frame | -1 {
    this.seen.push(`in ${iface.name}`)
    return this.onArrived(iface, f)
  }

  leaving(from: RouterInterface | null, out: RouterInterface, f: Frame): Frame | -1 {
    this.seen.push(`${from?.name ?? 'own'} > ${out.name}`)
    return this.onLeaving(f)
  }
}

function lab(): { lab: Lab; gate: Notebook } {
  const gate = new Notebook()
  return { lab: new Lab({ gate }), gate }
}

/** Puts another IPv4 destination into a frame. */
function redirect(l: Lab, f: Frame, to: string): Frame {
  const ip = l.pool.off[f]! + 14
  new DataView(l.pool.bytes.buffer).setUint32(ip + 16, parseIpv4(to))
  ipv4.fillChecksum(l.pool.bytes, ip)
  return f
}

describe('the gate', () => {
  it('is asked before and behind', () => {
    const { lab: l, gate } = lab()
    l.send(0, packet4(), packet6())
    expect(gate.seen).toEqual(['in eth0', 'eth0 > eth1', 'in eth0', 'eth0 > eth1'])
  })

  it('changes where a packet goes', () => {
    const { lab: l, gate } = lab()
    gate.onArrived = (_, f) => redirect(l, f, '10.0.1.2')
    const out = l.send(0, packet4({ dst: '198.51.100.1' }))
    expect(out).toEqual({ 1: [packet4({ ttl: 63, to: BOB, from: ETH1 })] })
  })

  it('routes by another address and leaves the one in the packet', () => {
    const { lab: l, gate } = lab()
    gate.onArrived = (_, f) => {
      if (l.pool.bytes[l.pool.off[f]! + 14]! >>> 4 === 4) gate.route4 = parseIpv4('10.0.1.2')
      else gate.route6 = parseIpv6('2001:db8:b::2')
      return f
    }
    const far4 = packet4({ dst: '198.51.100.1' })
    const far6 = packet6({ dst: '2001:db8:ffff::1' })
    const out = l.send(0, far4, far6)
    expect(out[1]?.map((h) => h.slice(0, 24))).toEqual([BOB + ETH1, BOB + ETH1])
    expect(out[1]?.[0]).toBe(packet4({ dst: '198.51.100.1', ttl: 63, to: BOB, from: ETH1 }))
    expect([gate.route4, gate.route6]).toEqual([0, null])
  })

  it('ends packets, or keeps them', () => {
    const { lab: l, gate } = lab()
    const kept: Frame[] = []
    gate.onArrived = (iface, f) => {
      if (kept.length === 0) kept.push(f)
      else iface.end(f, Drop.NatFiltered)
      return NO_FRAME
    }
    for (const h of [packet4(), packet4()]) l.ports[0]?.inject(hex(h))
    expect(l.collect(1)).toEqual({})
    expect(l.drops).toEqual({ NatFiltered: 1 })
    l.pool.drop(kept[0] as Frame, Drop.FragmentTimeout)
    expect(l.collect()).toEqual({})
  })

  it('sees errors about the packet as it arrived, and answers of the router, as its own', () => {
    const { lab: l, gate } = lab()
    const out = l.send(0, packet4({ ttl: 1 }))
    expect(gate.seen).toEqual(['in eth0', 'own > eth0'])
    expect(out[0]?.[0]?.slice(0, 24)).toBe(ALICE + ETH0)
  })

  it('is given an error about a packet that it made look like the router’s own', () => {
    const { lab: l, gate } = lab()
    // The source becomes the router's address; nobody answers for 10.0.1.77; the error comes back to the router and the gate.
    gate.onLeaving = (f) => {
      const ip = l.pool.off[f]! + 14
      if (l.pool.bytes[ip + 9] !== 1) {
        new DataView(l.pool.bytes.buffer).setUint32(ip + 12, parseIpv4('10.0.1.1'))
        ipv4.fillChecksum(l.pool.bytes, ip)
      }
      return f
    }
    l.ports[0]?.inject(hex(packet4({ dst: '10.0.1.77' })))
    expect(l.collect(1)).toEqual({})
    gate.onArrived = (_, f) => redirect(l, f, '10.0.0.2')
    gate.seen.length = 0
    l.neighbours[1]?.giveUp()
    const out = l.collect()
    expect(gate.seen).toEqual(['in eth1', 'eth1 > eth0'])
    // Unreachable, host; to alice.
    expect(out[0]?.[0]?.slice(0, 24)).toBe(ALICE + ETH0)
    expect(out[0]?.[0]?.slice(68, 72)).toBe('0301')
    expect(l.drops).toEqual({ NoNeighbour: 1 })
  })
})

describe('packets of the node’s own', () => {
  function own(l: Lab, h: string): Frame {
    const f = l.pool.from(hex(h)) as Frame
    l.pool.ledger.originate(1)
    return f
  }

  it('are routed, and keep their TTL', () => {
    const l = new Lab()
    l.router.send(own(l, packet4()))
    l.router.send(own(l, packet6()))
    const out = l.collect()
    expect(out[1]).toEqual([packet4({ to: BOB, from: ETH1 }), packet6({ to: BOB, from: ETH1 })])
  })

  it('are cut into fragments, unless they may not', () => {
    const l = new Lab()
    const long = '00'.repeat(1600)
    l.router.send(own(l, packet4({ payload: long })))
    expect(l.collect()[1]?.map((h) => h.length / 2 - 34)).toEqual([1480, 1600 - 1480])
    l.router.send(own(l, packet4({ payload: long, flags: 0x4000 })))
    expect(l.collect()).toEqual({})
    expect(l.drops).toEqual({ TooBig: 1 })
  })

  it('end where there is no way, or no packet', () => {
    const l = new Lab()
    l.router.send(own(l, packet4({ dst: '203.0.113.1' })))
    l.router.send(own(l, packet4({ dst: '10.0.0.1' })))
    l.router.send(own(l, '02000000000a0200000000a00800ff'))
    expect(l.collect()).toEqual({})
    expect(l.drops).toEqual({ NoRoute: 1, Unreachable: 1, Malformed: 1 })
  })

  it('can ask how long they may be', () => {
    const l = new Lab({}, [{ mtu: 1400 }, { mtu: 9000 }])
    l.router.addRoute({ to: '192.0.2.0/24', hops: [{ via: '10.0.0.2' }, { via: '10.0.1.2' }] })
    const mtu4 = (ip: string) => l.router.mtuTo4(parseIpv4(ip))
    expect([mtu4('10.0.0.9'), mtu4('10.0.1.9'), mtu4('192.0.2.1'), mtu4('8.8.8.8')]).toEqual([1400, 9000, 1400, 0])
    expect(l.router.mtuTo6(parseIpv6('2001:db8:b::9'), 0)).toBe(9000)
  })
})
