// What tunnels say of frames that are followed: where a far end was found, and what stands around the frame.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Listener } from '../../switch-core/test/listener.ts'
import { Decap, Encap, greTunnel, ipipTunnel } from '../src/index.ts'
import { ANN, BEN, bench, dropped, feed, linkTo, put, Sink, udpFrame } from './tunnel-lab.ts'
import { type Host, Node, World } from './vtep-nodes.ts'

const ALL = 'ff:ff:ff:ff:ff:ff'
const MAC = '02:00:00:00:00:01'

/** Two nodes with a network and a host each. */
function two(options: Parameters<Node['network']>[0] = { vni: 4096 }): {
  world: World
  hosts: [Host, Host]
  nets: ReturnType<Node['network']>['net'][]
} {
  const world = new World()
  const addresses = ['192.168.77.1', '192.168.77.2']
  const made = addresses.map((a) => new Node(world, a)).map((n) => n.network(options))
  for (const [i, m] of made.entries()) m.net.addFlood(addresses[1 - i] as string)
  return { world, hosts: made.map((m) => m.host()) as [Host, Host], nets: made.map((m) => m.net) }
}

/** What VTEPs and tunnels say when a host sends a frame. */
function said(world: World, host: Host, frame: Uint8Array): string[] {
  const trace = new Listener(world.pool)
  host.inject(frame)
  world.settle()
  world.pool.trace = null
  return trace.heard().filter((text) => /^(vtep|tunnel|fragmentation)/.test(text))
}

describe('a VTEP explains', () => {
  it('the flood list, the outer header, and at the other end the way out and what is learnt', () => {
    const { world, hosts } = two()
    const text = said(world, hosts[0], udpFrame({ from: ANN, to: ALL }))
    expect(text[0]).toBe('vtep: broadcast: to the flood list: 192.168.77.2 (network 4096)')
    expect(text[1]).toMatch(/^vtep: VXLAN, VNI 4096: outer 192\.168\.77\.1:\d+ > 192\.168\.77\.2:4789$/)
    expect(text.slice(2)).toEqual([
      'vtep: VXLAN, VNI 4096, from 192.168.77.1: outer headers taken off',
      `vtep: ${ANN} is learnt behind 192.168.77.1`,
    ])
  })

  it('a destination that was learnt, or was configured, or is not known', () => {
    const { world, hosts, nets } = two()
    said(world, hosts[1], udpFrame({ from: BEN, to: ALL }))
    world.clock.advance(3e9)
    expect(said(world, hosts[0], udpFrame({ from: ANN, to: BEN }))[0]).toBe(
      `vtep: FDB hit in network 4096: ${BEN} behind 192.168.77.2, learnt, last heard 3 s ago`,
    )
    nets[0]?.addStatic('66:00:00:00:00:09', '192.168.77.2')
    expect(said(world, hosts[0], udpFrame({ from: ANN, to: '66:00:00:00:00:09' }))[0]).toBe(
      'vtep: FDB hit in network 4096: 66:00:00:00:00:09 behind 192.168.77.2, static',
    )
    expect(said(world, hosts[0], udpFrame({ from: ANN, to: '66:00:00:00:00:08' }))[0]).toBe(
      'vtep: 66:00:00:00:00:08 is not in the FDB: to the flood list: 192.168.77.2 (network 4096)',
    )
  })

  it('a prefix, and what is written for it', () => {
    const { world, hosts, nets } = two()
    nets[0]?.addRoute({ to: '10.244.2.0/24', remote: '192.168.77.2', mac: BEN, decrementTtl: true })
    expect(said(world, hosts[0], udpFrame({ from: ANN, to: '66:00:00:00:00:fe' }))[0]).toBe(
      `vtep: prefix 10.244.2.0/24 is behind 192.168.77.2, destination MAC becomes ${BEN}, TTL 64 -> 63`,
    )
  })

  it('a network that nobody has here, and that nothing unknown is flooded', () => {
    const world = new World()
    const [a, b] = ['192.168.77.1', '192.168.77.2'].map((address) => new Node(world, address)) as [Node, Node]
    const one = a.network({ vni: 7, unknown: 'drop' })
    b.network({ vni: 8 })
    one.net.addFlood('192.168.77.2')
    const host = one.host()
    expect(said(world, host, udpFrame({ from: ANN, to: ALL })).at(-1)).toBe('vtep: there is no network 7 here')
    expect(said(world, host, udpFrame({ from: ANN, to: BEN }))).toEqual([
      'vtep: its destination is not in the FDB of network 7, which floods nothing unknown',
    ])
  })

  it('that a packet is too long, with the error about it', () => {
    const { world, hosts, nets } = two({ vni: 4096, mtu: 1000 })
    nets[0]?.addStatic(BEN, '192.168.77.2')
    expect(said(world, hosts[0], udpFrame({ from: ANN, to: BEN, df: true, data: Buffer.alloc(1200) }))).toEqual([
      `vtep: FDB hit in network 4096: ${BEN} behind 192.168.77.2, static`,
      'vtep: 1000 bytes fit into the tunnel, and the packet is longer: refused',
      'tunnel > ICMP error, "too big": at most 1000 bytes fit into the tunnel',
    ])
  })
})

describe('other tunnels explain', () => {
  it('VXLAN to one far end', () => {
    const b = bench()
    const sink = new Sink(b.pool)
    const ends = { local: '192.168.77.1', remote: '192.168.77.2', vni: 7 }
    const encap = new Encap(b.pool, { ...ends, out: sink })
    const trace = new Listener(b.pool)
    feed(b.pool, encap, put(b.pool, udpFrame({})))
    expect(trace.heard()[0]).toMatch(/^tunnel: VXLAN, VNI 7: outer 192\.168\.77\.1:\d+ > 192\.168\.77\.2:4789$/)
    const decap = new Decap(b.pool, { vni: 7, local: '192.168.77.2', out: linkTo(b, sink) })
    feed(b.pool, decap, put(b.pool, sink.take()[0] as Uint8Array))
    b.loop.settle()
    expect(trace.heard()).toEqual(['tunnel: VXLAN, VNI 7, from 192.168.77.1: outer headers taken off'])
    expect(sink.take()).toEqual([udpFrame({})])
  })

  it('IP in IP, by next hop, and GRE', () => {
    const b = bench()
    const [sink, inside] = [new Sink(b.pool), new Sink(b.pool)]
    const into = linkTo(b, inside)
    const one = ipipTunnel(b.pool, b.clock, { local: '192.168.77.1', remote: 'next-hop', mac: MAC, out: sink, into })
    const trace = new Listener(b.pool)
    const f = put(b.pool, udpFrame({}))
    one.neighbours.resolve4(f, 0xc0a84d02)
    feed(b.pool, one, f)
    expect(trace.heard()).toEqual([
      'tunnel: no MAC is needed: the far end is the next hop, 192.168.77.2',
      'tunnel: ipip, to the next hop of the route: outer 192.168.77.1 > 192.168.77.2',
    ])
    const two = ipipTunnel(b.pool, b.clock, {
      local: '192.168.77.2',
      remote: '192.168.77.1',
      mac: MAC,
      out: sink,
      into,
    })
    feed(b.pool, two.decap, put(b.pool, sink.take()[0] as Uint8Array))
    expect(trace.heard()).toEqual(['tunnel: ipip, from 192.168.77.1: outer headers taken off'])
    const gre = greTunnel(b.pool, b.clock, { local: '192.168.77.1', remote: '192.168.77.2', mac: MAC, out: sink, into })
    feed(b.pool, gre, put(b.pool, udpFrame({})))
    expect(trace.heard()).toEqual(['tunnel: gre, to its one far end: outer 192.168.77.1 > 192.168.77.2'])
    b.loop.settle()
  })
})

describe('and do what they do untraced', () => {
  const frame = fc
    .record({
      from: fc.constantFrom(ANN, BEN, '01:00:00:00:00:01'),
      to: fc.constantFrom(ANN, BEN, ALL, '66:00:00:00:00:08'),
      dst: fc.constantFrom('10.244.2.1', '10.245.2.1'),
      df: fc.boolean(),
      n: fc.constantFrom(0, 10, 600, 1200),
      ttl: fc.constantFrom(1, 64),
      ports: fc.constantFrom<[number, number]>([20_000, 9], [20_001, 9]),
    })
    .map(({ n, ...o }) => udpFrame({ ...o, data: Buffer.alloc(n) }))
  const odd = fc.uint8Array({ maxLength: 100 })
  const traffic = fc.array(
    fc.tuple(
      fc.nat(1),
      fc.array(fc.oneof({ weight: 6, arbitrary: frame }, { weight: 1, arbitrary: odd }), { maxLength: 12 }),
    ),
    {
      maxLength: 8,
    },
  )

  it('VTEPs', () => {
    fc.assert(
      fc.property(
        traffic,
        fc.constantFrom('outer' as const, 'inner' as const, 'drop' as const),
        (batches, oversize) => {
          const [plain, traced] = [false, true].map((listening) => {
            const { world, hosts, nets } = two({ vni: 4096, mtu: 1000, oversize })
            nets[0]?.addRoute({ to: '10.245.0.0/16', remote: '192.168.77.2', mac: BEN, decrementTtl: true })
            if (listening) new Listener(world.pool)
            const out = batches.map(([i, frames]) => {
              world.clock.advance(1e9)
              for (const b of frames) hosts[i]?.inject(b)
              world.settle()
              return [...hosts, world.tap].map((host) => host.takeAll().map((b) => b.toString('hex')))
            })
            const tables = nets.map((n) => ({ counters: n.counters, entries: [...n.entries()] }))
            return { out, tables, report: world.pool.report() }
          })
          expect(traced).toEqual(plain)
        },
      ),
      { numRuns: 100 },
    )
  })

  it('Encap and Decap, past the fast runs', () => {
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 40 }), fc.boolean(), (frames, checksum) => {
        const [plain, traced] = [false, true].map((listening) => {
          const b = bench({ frames: 128, frameSize: 2000 })
          if (listening) new Listener(b.pool)
          const [wire, inside] = [new Sink(b.pool), new Sink(b.pool)]
          const ends = { local: '192.168.77.1', remote: '192.168.77.2', vni: 7 }
          feed(
            b.pool,
            new Encap(b.pool, { ...ends, out: wire, udpChecksum: checksum }),
            ...frames.map((x) => put(b.pool, x)),
          )
          const outer = wire.take()
          const decap = new Decap(b.pool, { vni: 7, local: '192.168.77.2', out: linkTo(b, inside) })
          const left = feed(b.pool, decap, ...outer.map((x) => put(b.pool, x)))
          b.loop.settle()
          return { outer, left, inside: inside.take(), dropped: dropped(b.pool) }
        })
        expect(traced).toEqual(plain)
      }),
      { numRuns: 100 },
    )
  })
})
