// ipvlan: one MAC, told apart by IP address. Each row of the table in `ipvlan.ts`, then any frames against a model.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  FramePool,
  Ipvlan,
  type IpvlanChild,
  type IpvlanOptions,
  Loop,
  MemoryPort,
  VirtualClock,
} from '../../src/index.ts'
import { eth, formatIpv4, icmpv6, ipv4, ipv6, parseIpv4, parseIpv6, parseMac } from '../../src/wire/index.ts'
import { Listener } from '../listener.ts'

const MAC = '0e00000000ff'
const GATEWAY = '02000000ffff'
const ALL = 'ffffffffffff'
const MODES = ['l2', 'l3', 'l3s'] as const
const L3 = ['l3', 'l3s'] as const
type Out = Record<string, string[]>

class Lab {
  readonly pool: FramePool = new FramePool({ frames: 256 })
  readonly loop: Loop = new Loop(this.pool, new VirtualClock())
  readonly ports: Record<string, MemoryPort> = {}
  readonly ipvlan: Ipvlan
  readonly children: IpvlanChild[] = []

  constructor(options: Partial<IpvlanOptions> = {}, parent = true) {
    const wire = this.#plug('wire')
    this.ipvlan = new Ipvlan(this.loop, this.loop.link(wire), { parentMac: '0e:00:00:00:00:ff', ...options })
    this.loop.add(wire, this.ipvlan.ingress)
    if (parent) {
      const port = this.#plug('parent')
      this.ipvlan.attachParent(this.loop.link(port))
      this.loop.add(port, this.ipvlan.fromParent)
    }
    for (const [name, ips] of [
      ['a', ['10.0.0.1', 'fd00::1']],
      ['b', ['10.0.0.2', 'fd00::2']],
    ] as const) {
      const port = this.#plug(name)
      const child = this.ipvlan.addChild(this.loop.link(port), { ips })
      this.loop.add(port, child)
      this.children.push(child)
    }
  }

  #plug(name: string): MemoryPort {
    return (this.ports[name] = new MemoryPort(this.pool, name))
  }

  send(from: string, ...frames: (string | Uint8Array)[]): Out {
    for (const frame of frames) {
      this.ports[from]?.inject(typeof frame === 'string' ? Buffer.from(frame, 'hex') : frame)
    }
    this.loop.settle()
    const out: Out = {}
    for (const [name, port] of Object.entries(this.ports)) {
      const got = port.takeAll().map((b) => Buffer.from(b).toString('hex'))
      if (got.length > 0) out[name] = got
    }
    expect(this.pool.report()).toMatchObject({ balanced: true, held: 0 })
    return out
  }

  get drops(): object {
    return this.pool.report().dropped
  }
}

/** An IPv4 packet that carries nothing. */
function ip4(dst: string, src: string, from: string, to: string, ttl = 9): string {
  const b = new Uint8Array(34)
  const at = eth.write(b, 0, Buffer.from(dst, 'hex'), Buffer.from(src, 'hex'), 0x0800)
  ipv4.write(b, at, { src: parseIpv4(from), dst: parseIpv4(to), protocol: 253, payload: 0, ttl })
  return Buffer.from(b).toString('hex')
}

function ip6(dst: string, src: string, from: string, to: string, hopLimit = 9): string {
  const b = new Uint8Array(54)
  const at = eth.write(b, 0, Buffer.from(dst, 'hex'), Buffer.from(src, 'hex'), 0x86dd)
  ipv6.write(b, at, { src: parseIpv6(from), dst: parseIpv6(to), nextHeader: 59, payload: 0, hopLimit })
  return Buffer.from(b).toString('hex')
}

/** Asks for an IPv6 address, by multicast or, to be sure that a neighbour is still there, straight to it. */
function solicitation(dst: string, src: string, target: string): string {
  const b = new Uint8Array(86)
  const at = eth.write(b, 0, Buffer.from(dst, 'hex'), Buffer.from(src, 'hex'), 0x86dd)
  const group = parseIpv6('ff02::1:ff00:2')
  const icmp = ipv6.write(b, at, { src: parseIpv6('fe80::1'), dst: group, nextHeader: 58, payload: 32, hopLimit: 255 })
  const end = icmpv6.writeNs(b, icmp, parseIpv6(target), parseMac('02:00:00:00:ff:ff'))
  icmpv6.fillChecksum(b, at, icmp, end)
  return Buffer.from(b).toString('hex')
}

const arp = (dst: string, src: string, spa: string, tpa: string, op = 1): string => {
  const ip = (text: string): string => parseIpv4(text).toString(16).padStart(8, '0')
  return `${dst}${src}0806000108000604000${op}${src}${ip(spa)}000000000000${ip(tpa)}`
}

describe('from the wire', () => {
  it.each(MODES)('%s: unicast goes by destination address, and keeps its time to live', (mode) => {
    const lab = new Lab({ mode })
    const four = ip4(MAC, GATEWAY, '8.8.8.8', '10.0.0.2', 1)
    expect(lab.send('wire', four)).toEqual({ b: [four] })
    const six = ip6(MAC, GATEWAY, '2001:db8::1', 'fd00::1', 1)
    expect(lab.send('wire', six)).toEqual({ a: [six] })
    const parents = ip4(MAC, GATEWAY, '8.8.8.8', '10.0.0.254')
    expect(lab.send('wire', parents)).toEqual({ parent: [parents] })
    expect(lab.send('wire', ip4(GATEWAY, GATEWAY, '8.8.8.8', '10.0.0.1'))).toEqual({})
    expect(lab.drops).toEqual({ UnknownEndpoint: 1 })
  })

  it('l2: ARP by tpa, a solicitation by its target, a broadcast to all', () => {
    const lab = new Lab()
    const reply = arp(MAC, GATEWAY, '10.0.0.254', '10.0.0.2', 2)
    expect(lab.send('wire', reply)).toEqual({ b: [reply] })
    const probe = solicitation(MAC, GATEWAY, 'fd00::2')
    expect(lab.send('wire', probe)).toEqual({ b: [probe] })
    for (const all of [arp(ALL, GATEWAY, '10.0.0.254', '10.0.0.2'), solicitation('3333ff000002', GATEWAY, 'fd00::2')]) {
      expect(lab.send('wire', all)).toEqual({ a: [all], b: [all], parent: [all] })
    }
  })

  it('l2: a child’s broadcast that comes back is not given out again', () => {
    const lab = new Lab()
    const back = arp(ALL, MAC, '10.0.0.1', '10.0.0.254')
    expect(lab.send('wire', back)).toEqual({ parent: [back] })
    const parents = arp(ALL, MAC, '10.0.0.253', '10.0.0.254')
    expect(lab.send('wire', parents)).toEqual({ a: [parents], b: [parents], parent: [parents] })
  })

  it.each(L3)('%s: ARP, broadcasts and multicasts are the parent’s', (mode) => {
    const lab = new Lab({ mode })
    for (const frame of [
      arp(MAC, GATEWAY, '10.0.0.254', '10.0.0.2', 2),
      arp(ALL, GATEWAY, '10.0.0.254', '10.0.0.2'),
      ip4(ALL, GATEWAY, '10.0.0.254', '255.255.255.255'),
      ip4('01005e0000fb', GATEWAY, '10.0.0.254', '224.0.0.251'),
    ]) {
      expect(lab.send('wire', frame)).toEqual({ parent: [frame] })
    }
    expect(new Lab({ mode }, false).send('wire', ip4(ALL, GATEWAY, '10.0.0.254', '10.0.0.2'))).toEqual({})
  })

  it('l2: broadcasts wait in a queue that is bounded', () => {
    const lab = new Lab({ broadcastQueue: 2 })
    const all = ip4(ALL, GATEWAY, '10.0.0.254', '255.255.255.255')
    expect(Object.values(lab.send('wire', all, all, all)).map((got) => got.length)).toEqual([2, 2, 2])
    expect(lab.drops).toEqual({ LinkFull: 1 })
  })
})

describe('a child sends, l2', () => {
  it('to a sibling straight, to others by the wire, nothing changed', () => {
    const lab = new Lab()
    const sibling = ip4(MAC, MAC, '10.0.0.1', '10.0.0.2', 1)
    expect(lab.send('a', sibling)).toEqual({ b: [sibling] })
    const away = ip4(GATEWAY, MAC, '10.0.0.1', '8.8.8.8', 1)
    expect(lab.send('a', away)).toEqual({ wire: [away] })
    const answer = arp(MAC, MAC, '10.0.0.2', '10.0.0.1', 2)
    expect(lab.send('b', answer)).toEqual({ a: [answer] })
  })

  it('to the parent’s MAC, for no sibling: the parent, or nobody', () => {
    const own = ip4(MAC, MAC, '10.0.0.1', '10.0.0.254')
    expect(new Lab().send('a', own)).toEqual({ parent: [own] })
    const lab = new Lab({}, false)
    expect(lab.send('a', own)).toEqual({})
    expect(lab.drops).toEqual({ UnknownEndpoint: 1 })
  })

  it('a broadcast: siblings and the wire, not the parent', () => {
    const request = arp(ALL, MAC, '10.0.0.1', '10.0.0.2')
    expect(new Lab().send('a', request)).toEqual({ b: [request], wire: [request] })
  })
})

describe('a child sends, l3', () => {
  it.each(L3)('%s: routed to a sibling or to the gateway, one hop less, checksum true', (mode) => {
    const lab = new Lab({ mode, gatewayMac: '02:00:00:00:ff:ff' })
    // What the child writes as MACs does not matter: it has no neighbours.
    const from = '020000000001'
    expect(lab.send('a', ip4(ALL.replace('ff', '02'), from, '10.0.0.1', '10.0.0.2'))).toEqual({
      b: [ip4(MAC, MAC, '10.0.0.1', '10.0.0.2', 8)],
    })
    expect(lab.send('a', ip4(from, from, '10.0.0.1', '8.8.8.8'))).toEqual({
      wire: [ip4(GATEWAY, MAC, '10.0.0.1', '8.8.8.8', 8)],
    })
    expect(lab.send('a', ip6(from, from, 'fd00::1', 'fd00::2'))).toEqual({
      b: [ip6(MAC, MAC, 'fd00::1', 'fd00::2', 8)],
    })
    expect(lab.send('a', ip6(from, from, 'fd00::1', '2001:db8::1', 2))).toEqual({
      wire: [ip6(GATEWAY, MAC, 'fd00::1', '2001:db8::1', 1)],
    })
  })

  it('the last hop ends', () => {
    const lab = new Lab({ mode: 'l3' })
    for (const ttl of [0, 1]) {
      lab.send('a', ip4(MAC, MAC, '10.0.0.1', '8.8.8.8', ttl), ip6(MAC, MAC, 'fd00::1', 'fd00::2', ttl))
    }
    expect(lab.drops).toEqual({ TtlExceeded: 4 })
    const linux = new Lab({ mode: 'l3', decrementTtl: false })
    const last = ip4(GATEWAY, MAC, '10.0.0.1', '8.8.8.8', 1)
    expect(linux.send('a', last)).toEqual({ wire: [last] })
  })

  it('without a gateway the destination is left to a router behind', () => {
    const lab = new Lab({ mode: 'l3' })
    expect(lab.send('a', ip4(GATEWAY, '020000000001', '10.0.0.1', '8.8.8.8'))).toEqual({
      wire: [ip4(GATEWAY, MAC, '10.0.0.1', '8.8.8.8', 8)],
    })
  })

  it('no ARP, nothing but IP, no broadcast, no multicast', () => {
    const lab = new Lab({ mode: 'l3' })
    lab.send('a', arp(ALL, MAC, '10.0.0.1', '10.0.0.2'))
    lab.send('a', `${GATEWAY}${MAC}88b5c0ffee`, ip4(GATEWAY, MAC, '10.0.0.1', '8.8.8.8').slice(0, 60))
    lab.send('a', ip4(ALL, MAC, '10.0.0.1', '10.0.0.255'), ip4(GATEWAY, MAC, '10.0.0.1', '224.0.0.1'))
    lab.send('a', ip4(GATEWAY, MAC, '10.0.0.1', '255.255.255.255'), ip6(GATEWAY, MAC, 'fd00::1', 'ff02::1'))
    expect(lab.drops).toEqual({ ArpFilter: 1, BlockNonIp: 2, BlockBroadcast: 4 })
  })

  it('a missing transport checksum stays missing', () => {
    const lab = new Lab({ mode: 'l3' })
    const { pool } = lab
    const f = pool.from(Buffer.from(`${ip4(GATEWAY, MAC, '10.0.0.1', '8.8.8.8')}${'00'.repeat(8)}`, 'hex'))
    if (f === -1) throw new Error('pool spent')
    pool.flags[f] = 1
    pool.csumStart[f] = 34
    pool.csumOffset[f] = 6
    const seen: number[] = []
    const wire = lab.ports.wire as MemoryPort
    const process = wire.process.bind(wire)
    wire.process = (batch) => {
      const g = batch.frames[0] as number
      seen.push(pool.flags[g] as number, pool.csumStart[g] as number, pool.csumOffset[g] as number)
      process(batch)
    }
    lab.ports.a?.injectFrame(f)
    lab.loop.settle()
    expect(seen).toEqual([1, 34, 6])
  })
})

describe('setting up', () => {
  it('a child that has gone is found no more', () => {
    const lab = new Lab()
    const [a] = lab.children as [IpvlanChild]
    lab.ipvlan.removeChild(a)
    const frame = ip4(MAC, GATEWAY, '8.8.8.8', '10.0.0.1')
    expect(lab.send('wire', frame)).toEqual({ parent: [frame] })
    expect(lab.send('a', frame)).toEqual({})
    expect(lab.drops).toEqual({ PortDown: 1 })
    expect(() => lab.ipvlan.removeChild(a)).toThrow('not a child')
    expect(lab.ipvlan.addChild(lab.loop.link(lab.ports.a as MemoryPort), { ips: ['10.0.0.1'] }).index).toBe(0)
  })

  it('have links of the same pool', () => {
    const [lab, other] = [new Lab({}, false), new Lab()]
    const link = other.loop.link(other.ports.wire as MemoryPort, 'elsewhere')
    const message = 'ipvlan: link elsewhere has another frame pool than the loop'
    expect(() => lab.ipvlan.addChild(link, { ips: ['10.0.0.9'] })).toThrow(message)
    expect(() => lab.ipvlan.attachParent(link)).toThrow(message)
    expect(() => new Ipvlan(lab.loop, link, { parentMac: '0e:00:00:00:00:ff' })).toThrow(message)
    expect(lab.ipvlan.addresses.size).toBe(4)
  })

  it('an address is one child’s; a child that is refused leaves nothing behind', () => {
    const lab = new Lab()
    const { size } = lab.ipvlan.addresses
    const link = lab.loop.link(lab.ports.a as MemoryPort)
    expect(() => lab.ipvlan.addChild(link, { ips: ['10.0.0.9', '10.0.0.1'] })).toThrow('10.0.0.1 is taken')
    expect([lab.ipvlan.addresses.size, lab.ipvlan.children.length]).toEqual([size, 2])
  })

  it.each([
    [{ mode: 'l4' as never }, 'l4'],
    [{ parentMac: '01:00:00:00:00:00' }, 'parentMac'],
    [{ gatewayMac: '02:00:00:00:00:01' }, 'gatewayMac'],
    [{ mode: 'l3' as const, gatewayMac: 'nobody' }, 'nobody'],
    [{ maxAddresses: 0 }, 'maxAddresses'],
    [{ broadcastQueue: 0 }, 'broadcastQueue'],
  ])('%j is refused', (options, key) => {
    expect(() => new Lab(options)).toThrow(key)
  })
})

describe('any packets', () => {
  const address = fc.integer({ min: 1, max: 4 }).map((n) => formatIpv4(0x0a000000 + n))
  const dst = fc.constantFrom(MAC, GATEWAY, ALL)
  const from = fc.constantFrom('a', 'b', 'wire')
  const owner: Record<string, string> = { '10.0.0.1': 'a', '10.0.0.2': 'b' }

  it('go where the table says', () => {
    const packet = fc.tuple(from, dst, address, address, fc.integer({ min: 0, max: 255 }))
    fc.assert(
      fc.property(fc.constantFrom(...MODES), fc.array(packet, { maxLength: 20 }), (mode, packets) => {
        const [lab, traced] = [0, 1].map(() => {
          return new Lab(mode === 'l2' ? { mode } : { mode, gatewayMac: '02:00:00:00:ff:ff' })
        }) as [Lab, Lab]
        new Listener(traced.pool)
        for (const [who, mac, src, to, ttl] of packets) {
          const frame = ip4(mac, who === 'wire' ? GATEWAY : MAC, src, to, ttl)
          const others = ['a', 'b'].filter((c) => c !== who)
          const child = owner[to]
          let want: Out = {}
          const give = (where: string[], as = frame): void => {
            want = Object.fromEntries(where.map((w) => [w, [as]]))
          }
          if (who === 'wire') {
            if (mac === ALL) give(mode === 'l2' ? ['a', 'b', 'parent'] : ['parent'])
            else if (mac === MAC) give([child ?? 'parent'])
          } else if (mode === 'l2') {
            if (mac === ALL) give([...others, 'wire'])
            else give([mac === MAC ? (child ?? 'parent') : 'wire'])
          } else if (mac !== ALL && ttl > 1) {
            give([child ?? 'wire'], ip4(child ? MAC : GATEWAY, MAC, src, to, ttl - 1))
          }
          expect(lab.send(who, frame)).toEqual(want)
          expect(traced.send(who, frame)).toEqual(want)
        }
      }),
      { numRuns: 300 },
    )
  })

  it('or garbage, do no harm', () => {
    const type = fc.constantFrom('0800', '0806', '86dd', '8100')
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 90 }),
      fc
        .tuple(dst, type, fc.uint8Array({ maxLength: 90 }))
        .map(([d, t, rest]) => Uint8Array.from([...Buffer.from(`${d}${MAC}${t}`, 'hex'), ...rest])),
    )
    fc.assert(
      fc.property(fc.constantFrom(...MODES), fc.array(fc.tuple(from, bytes), { maxLength: 40 }), (mode, sent) => {
        const lab = new Lab({ mode })
        new Listener(lab.pool)
        for (const [who, b] of sent) {
          for (const hex of Object.values(lab.send(who, b)).flat()) expect(hex.length).toBe(2 * b.length)
        }
      }),
      { numRuns: 200 },
    )
  })
})
