import type { Frame } from '@l2l3/switch-core'
import { icmp, ipv4, parseIpv4, put16, describe as say, udp } from '@l2l3/switch-core/wire'
import { describe, expect, it } from 'vitest'
import { ANN, BEN, udpFrame } from './tunnel-lab.ts'
import { type Host, Node, World } from './vtep-nodes.ts'

/** What does not fit into a tunnel of a VTEP. */

const ALL = 'ff:ff:ff:ff:ff:ff'

function two(
  options: Partial<Parameters<Node['network']>[0]> = {},
  vtep = {},
): {
  world: World
  node: Node
  net: ReturnType<Node['network']>['net']
  ann: Host
  ben: Host
} {
  const world = new World()
  const node = new Node(world, '192.168.77.1', vtep)
  const peer = new Node(world, '192.168.77.2', vtep)
  const here = node.network({ vni: 1, ...options })
  const there = peer.network({ vni: 1 })
  here.net.addFlood('192.168.77.2')
  there.net.addFlood('192.168.77.1')
  const [ann, ben] = [here.host(), there.host()]
  ben.inject(udpFrame({ from: BEN, to: ALL }))
  world.settle()
  ann.takeAll()
  world.tap.takeAll()
  return { world, node, net: here.net, ann, ben }
}

const bytes = (n: number): Uint8Array => Buffer.alloc(n - 28, 'x')

describe('inner packets that are too long', () => {
  it('with DF: the sender is told, by the address it sent to, through its own port', () => {
    const { world, net, ann, ben } = two({ mtu: 1450 })
    ann.inject(udpFrame({ from: ANN, to: BEN, data: bytes(1450), df: true }))
    ann.inject(udpFrame({ from: ANN, to: BEN, data: bytes(1451), df: true }))
    world.settle()
    expect(ben.takeAll().length).toBe(1)
    const [told] = ann.takeAll() as [Buffer]
    expect(say(told)).toContain(`${BEN} > ${ANN}, IPv4 10.244.2.1 > 10.244.1.1 ICMP fragmentation needed, mtu 1450`)
    expect(icmp.checksumOk(told, 34, told.length)).toBe(true)
    expect(world.drops).toEqual({ TooBig: 1 })
    expect(net.counters.tooBig).toBe(1)
  })

  it('of IPv6: packet too big', () => {
    const { world, ann } = two({ mtu: 1450 })
    const src = 'fd01::1'
    ann.inject(udpFrame({ from: ANN, to: BEN, src, dst: 'fd01::2', data: Buffer.alloc(1403) }))
    world.settle()
    expect(ann.takeAll().map((f) => say(f))).toEqual([
      expect.stringContaining('fd01::2 > fd01::1 ICMPv6 packet too big'),
    ])
    expect(world.drops).toEqual({ TooBig: 1 })
  })

  it('without DF, by default: the outer packet is in fragments, as of Linux', () => {
    const { world, ann, ben } = two({ mtu: 1450 })
    ann.inject(udpFrame({ from: ANN, to: BEN, data: bytes(1500) }))
    world.settle()
    const frames = world.tap.takeAll()
    expect(frames.map((f) => [ipv4.isFragment(f, 14), f.length])).toEqual([
      [true, 1514],
      [true, 84],
    ])
    expect(ben.takeAll()).toEqual([])
    expect(world.drops).toEqual({ OuterFragment: 1, Fragment: 1 })
  })

  it('without DF, `inner`: two frames, each in a tunnel packet', () => {
    const { world, ann, ben } = two({ mtu: 1450, oversize: 'inner' })
    ann.inject(udpFrame({ from: ANN, to: BEN, data: bytes(1500) }))
    world.settle()
    const got = ben.takeAll()
    expect(got.map((f) => [ipv4.isFragment(f, 14), f.length])).toEqual([
      [true, 1458],
      [true, 90],
    ])
    expect(world.drops).toEqual({})
  })

  it('without DF, `drop`: as RFC 7348 has it', () => {
    const { world, ann } = two({ mtu: 1450, oversize: 'drop' })
    ann.inject(udpFrame({ from: ANN, to: BEN, data: bytes(1500) }))
    world.settle()
    expect(world.drops).toEqual({ TooBig: 1 })
    expect(ann.takeAll()).toEqual([])
  })
})

describe('paths that are shorter', () => {
  /** A router on the way says that a packet of node 1 was too big. */
  function complain(world: World, node: Node, packet: Buffer, mtu: number, edit?: (b: Buffer) => void): void {
    const b = Buffer.alloc(14 + 20 + 8 + 28)
    b.set(node.eth0.mac, 0)
    b.set([2, 9, 9, 9, 9, 9, 8, 0], 6)
    ipv4.write(b, 14, {
      src: parseIpv4('192.168.77.254'),
      dst: parseIpv4('192.168.77.1'),
      protocol: 1,
      payload: 36,
    })
    icmp.write(b, 34, icmp.Type.Unreachable, icmp.Unreachable.FragmentationNeeded, mtu)
    b.set(packet.subarray(14, 42), 42)
    edit?.(b)
    icmp.fillChecksum(b, 34, b.length)
    const f = world.pool.from(b) as Frame
    world.pool.ledger.receive(1)
    world.loop.link(node.eth0, 'complaint').push(f)
    world.settle()
  }

  it('an ICMP error lowers the path, the sender inside is told; after ten minutes it may try again', () => {
    const { world, node, ann, ben } = two({}, { df: 'set' })
    const long = udpFrame({ from: ANN, to: BEN, data: bytes(1450), df: true })
    ann.inject(long)
    world.settle()
    expect(ben.takeAll().length).toBe(1)
    const [packet] = world.tap.takeAll() as [Buffer]
    complain(world, node, packet, 1400)
    expect(node.vtep.counters.lowered).toBe(1)
    expect(world.drops).toEqual({ Consumed: 1 })
    ann.inject(long)
    world.settle()
    expect(ann.takeAll().map((f) => say(f))).toEqual([expect.stringContaining('fragmentation needed, mtu 1350')])
    expect(ben.takeAll()).toEqual([])
    ann.inject(udpFrame({ from: ANN, to: BEN, data: bytes(1350), df: true }))
    world.settle()
    expect(ben.takeAll().length).toBe(1)
    world.clock.advance(601e9)
    ann.inject(long)
    world.settle()
    expect(ben.takeAll().length).toBe(1)
  })

  it.each<[string, (b: Buffer) => void]>([
    ['another source', (b) => put16(b, 54, 0x0a00)],
    ['a destination that is no far end', (b) => put16(b, 60, 0x4d09)],
    ['another port', (b) => put16(b, 64, 8472)],
    ['another protocol', (b) => b.set([6], 51)],
  ])('is not believed about a packet that is not ours: %s', (_, edit) => {
    const { world, node, ann } = two({}, { df: 'set' })
    ann.inject(udpFrame({ from: ANN, to: BEN, data: bytes(1450), df: true }))
    world.settle()
    const [packet] = world.tap.takeAll() as [Buffer]
    expect(udp.dstPort(packet, 34)).toBe(4789)
    complain(world, node, packet, 1400, edit)
    expect(node.vtep.counters.lowered).toBe(0)
    expect(world.drops.Consumed).toBeUndefined()
  })

  it('counts what VNI, options and family add', () => {
    const world = new World()
    const node = new Node(world, 'fd00::1', { encapsulation: 'geneve' })
    const data = new Uint8Array(8)
    const { net, host } = node.network({ vni: 1, options: [{ class: 1, type: 2, data }] })
    net.addFlood('fd00::2')
    net.addStatic(BEN, 'fd00::2')
    node.vtep.pathMtu.lower6(Uint8Array.from([0xfd, ...new Array(14).fill(0), 2]), 0, 1400)
    const ann = host()
    ann.inject(udpFrame({ from: ANN, to: BEN, data: bytes(1400), df: true }))
    world.settle()
    // Outer IPv6 40, UDP 8, GENEVE 8 and its option 12, inner Ethernet 14.
    expect(ann.takeAll().map((f) => say(f))).toEqual([expect.stringContaining('mtu 1318')])
  })
})
