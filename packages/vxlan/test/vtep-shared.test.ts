import type { Frame } from '@l2l3/switch-core'
import { ipv4, ipv6, describe as say } from '@l2l3/switch-core/wire'
import { describe, expect, it } from 'vitest'
import { Encap, takers, Vtep } from '../src/index.ts'
import { ANN, BEN, bench, feed, linkTo, put, Sink, udpFrame } from './tunnel-lab.ts'
import { Node, World } from './vtep-nodes.ts'

/** What a VTEP shares with others: frames, a router, a port; and what its networks share with each other. */

const ALL = 'ff:ff:ff:ff:ff:ff'

describe('a frame that others hold too', () => {
  /** The packet with destination options behind the IPv6 header. */
  function withOptions(frame: Buffer): Buffer {
    const header = Buffer.of(frame[20] as number, 0, 1, 4, 0, 0, 0, 0)
    const b = Buffer.concat([frame.subarray(0, 54), header, frame.subarray(54)])
    b[20] = 60
    b.writeUInt16BE(b.readUInt16BE(18) + 8, 18)
    return b
  }

  it.each<[string, Buffer]>([
    ['IPv6 with options, for another port', withOptions(udpFrame({ src: 'fd00::9', dst: 'fd00::1' }))],
    ['IPv6 with options, another protocol', with6(withOptions(udpFrame({ src: 'fd00::9', dst: 'fd00::1' })), 54, 132)],
    ['IPv6 for another port', udpFrame({ src: 'fd00::9', dst: 'fd00::1' })],
    ['IPv6 with headers that do not end', with6(udpFrame({ src: 'fd00::9', dst: 'fd00::1' }), 20, 0)],
  ])('%s: is left as it was, the row that it was', (_, frame) => {
    const b = bench()
    const vtep = new Vtep(b.pool, b.clock, { local: 'fd00::1', out: new Sink(b.pool) })
    vtep.addNetwork({ vni: 1, out: linkTo(b, new Sink(b.pool)) })
    const f = put(b.pool, frame)
    b.pool.share(f, 1)
    expect(vtep.take(f, null as never)).toBe(false)
    expect(b.pool.refs[f]).toBe(2)
    expect(b.pool.copyOut(f)).toEqual(frame)
    expect(b.pool.report()).toMatchObject({ balanced: true, held: 2, dropped: {} })
  })

  it('is copied where it is ours, behind options too; the other holder keeps his', () => {
    const b = bench({ headroom: 256 })
    const wire = new Sink(b.pool)
    const inner = udpFrame({ from: ANN, to: ALL })
    feed(b.pool, new Encap(b.pool, { local: 'fd00::9', remote: 'fd00::1', vni: 1, out: wire }), put(b.pool, inner))
    const got = new Sink(b.pool)
    const vtep = new Vtep(b.pool, b.clock, { local: 'fd00::1', out: new Sink(b.pool) })
    vtep.addNetwork({ vni: 1, out: linkTo(b, got) })
    for (const frame of [wire.frames[0] as Buffer, withOptions(wire.frames[0] as Buffer)]) {
      const f = put(b.pool, frame)
      b.pool.share(f, 1)
      expect(vtep.take(f, null as never)).toBe(true)
      b.loop.settle()
      expect(got.take()).toEqual([inner])
      expect(b.pool.copyOut(f)).toEqual(frame)
      b.pool.sent(f)
    }
    expect(b.pool.report()).toMatchObject({ balanced: true, held: 0, dropped: {} })
  })
})

describe('several VTEPs on one router', () => {
  it('one port, two addresses, one VNI: each takes what is for its own address', () => {
    const world = new World()
    const node = new Node(world, '192.168.77.1', {}, 1500, ['192.168.77.11/24'])
    const { pool, clock, loop } = world
    const second = new Vtep(pool, clock, { local: '192.168.77.11', out: node.router })
    const [one, two] = [new Sink(pool), new Sink(pool)]
    for (const [vtep, sink] of [
      [node.vtep, one],
      [second, two],
    ] as const) {
      vtep.addNetwork({ vni: 7, out: loop.link(sink) })
    }
    const far = bench({ headroom: 256 })
    const to = (local: string): Buffer => {
      const out = new Sink(far.pool)
      const ends = { local: '192.168.77.2', remote: local, vni: 7, out }
      feed(far.pool, new Encap(far.pool, ends), put(far.pool, udpFrame({ from: ANN, to: ALL })))
      const [frame] = out.frames as [Buffer]
      frame.set(node.eth0.mac, 0)
      return frame
    }
    for (const order of [
      [node.vtep, second],
      [second, node.vtep],
    ]) {
      node.router.onLocal = takers(...order.map((v) => v.take))
      for (const local of ['192.168.77.1', '192.168.77.11']) arrive(world, node, to(local))
      expect([one.take().length, two.take().length]).toEqual([1, 1])
    }
  })

  it('with the same address and port are refused, whatever they carry', () => {
    const { pool, clock } = bench()
    const out = new Sink(pool)
    const local = '10.0.0.1'
    const first = new Vtep(pool, clock, { local, out })
    const again = /local 10.0.0.1: there is a VTEP of vxlan at this address and port 4789 already/
    expect(() => new Vtep(pool, clock, { local, out, port: 4789 })).toThrow(again)
    expect(() => new Vtep(pool, clock, { local, out, port: 4789, encapsulation: 'geneve' })).toThrow(again)
    new Vtep(pool, clock, { local, out, port: 4790 }).close()
    new Vtep(pool, clock, { local: '10.0.0.2', out }).close()
    new Vtep(pool, clock, { local, out: new Sink(pool) }).close()
    first.close()
    new Vtep(pool, clock, { local, out }).close()
  })
})

describe('what is for others of the node', () => {
  it('fragments of their datagrams, and short packets, are the router’s to answer or end', () => {
    const world = new World()
    const node = new Node(world, '192.168.77.1')
    node.network({ vni: 1 })
    const frame = (edit: (b: Buffer) => Buffer): Buffer => {
      const b = edit(udpFrame({ src: '192.168.77.2', dst: '192.168.77.1', ports: [999, 53] }))
      b.set(node.eth0.mac, 0)
      ipv4.fillChecksum(b, 14)
      return b
    }
    // Protocol 200, four bytes: protocol unreachable (RFC 1122, 3.2.2.1).
    arrive(
      world,
      node,
      frame((b) => {
        b.writeUInt16BE(24, 16)
        b[23] = 200
        return b.subarray(0, 38)
      }),
    )
    const [told] = world.tap.takeAll() as [Buffer]
    expect(say(told)).toContain('ICMP')
    expect(told.subarray(34, 36)).toEqual(Buffer.of(3, 2))
    arrive(
      world,
      node,
      frame((b) => {
        b[20] = 0x20
        return b
      }),
    )
    expect(world.drops.OuterFragment).toBeUndefined()
    expect(world.drops.Malformed).toBeUndefined()
  })
})

describe('networks of one VTEP', () => {
  it('that is full of MACs takes no room from another', () => {
    const world = new World()
    const [hub, far] = ['192.168.77.1', '192.168.77.2'].map((a) => new Node(world, a, { maxEntries: 8 })) as [
      Node,
      Node,
    ]
    const [green, blue] = [1, 2].map((vni) => hub.network({ vni }).net) as [Hub, Hub]
    const [crowd, quiet] = [1, 2].map((vni) => {
      const made = far.network({ vni })
      made.net.addFlood('192.168.77.1')
      return made.host()
    }) as [ReturnType<ReturnType<Node['network']>['host']>, ReturnType<ReturnType<Node['network']>['host']>]
    for (let i = 0; i < 40; i++) {
      crowd.inject(udpFrame({ from: `66:00:00:00:01:${String(i + 10)}`, to: ALL }))
      world.settle()
    }
    quiet.inject(udpFrame({ from: BEN, to: ALL }))
    world.settle()
    expect([...green.entries()].length).toBe(8)
    expect([...blue.entries()].map((e) => e.mac)).toEqual([BEN])
    expect(blue.addStatic(ANN, '192.168.77.2')).toBe(true)
    expect(hub.vtep.counters.fdb).toMatchObject({ learned: 9, refused: 32 })
    hub.vtep.removeNetwork(green)
    expect(hub.vtep.counters.fdb).toMatchObject({ learned: 9, refused: 32 })
    world.clock.advance(301e9)
    hub.vtep.tick(world.clock.now)
    expect([...blue.entries()].map((e) => e.mac)).toEqual([ANN])
    expect(hub.vtep.counters.fdb.aged).toBe(1)
  })

  it('asking for what is not there makes nothing', () => {
    const world = new World()
    const { net } = new Node(world, '192.168.77.1').network({ vni: 1 })
    expect(net.deleteFlood('192.168.77.2')).toBe(false)
    expect(net.remotes()).toEqual([])
    net.addFlood({ address: '192.168.77.2', vni: 5 })
    expect(net.deleteFlood('192.168.77.2')).toBe(false)
    expect(net.deleteFlood({ address: '192.168.77.2', vni: 5 })).toBe(true)
  })

  it.each(['0.0.0.0', '0.1.2.3', '255.255.255.255', '240.0.0.1', '::'])('%s is nobody’s address', (address) => {
    const { pool, clock } = bench()
    const out = new Sink(pool)
    expect(() => new Vtep(pool, clock, { local: address, out })).toThrow(/local must be a host's address, not/)
    const { net } = new Node(new World(), address === '::' ? 'fd00::1' : '192.168.77.1').network({ vni: 1 })
    expect(() => net.addFlood(address)).toThrow(/remote must be a host's address, not/)
    expect(() => net.addStatic(ANN, address)).toThrow(/remote must be a host's address, not/)
    expect(() => net.addRoute({ to: '10.0.0.0/8', remote: address })).toThrow(/remote must be a host's address, not/)
  })
})

type Hub = ReturnType<Node['network']>['net']

/** A frame comes in at a node's wire. */
function arrive(world: World, node: Node, frame: Buffer): void {
  const f = put(world.pool, frame)
  world.loop.link(node.eth0).push(f as Frame)
  world.settle()
}

function with6(frame: Buffer, at: number, value: number): Buffer {
  const b = Buffer.from(frame)
  b[at] = value
  expect(ipv6.checkHeader(b, 14, b.length)).not.toBe(-1)
  return b
}
