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
  mtu = 1500,
): {
  world: World
  node: Node
  net: ReturnType<Node['network']>['net']
  ann: Host
  ben: Host
} {
  const world = new World()
  const node = new Node(world, '192.168.77.1', vtep, mtu)
  const peer = new Node(world, '192.168.77.2', vtep, mtu)
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

function quotedFlags(b: Buffer, flags: number): void {
  put16(b, 48, flags)
  ipv4.fillChecksum(b, 42)
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

  it('without DF, by default: the outer packet is in fragments, as of Linux, and is put together', () => {
    const { world, ann, ben } = two({ mtu: 1450 })
    ann.inject(udpFrame({ from: ANN, to: BEN, data: bytes(1500) }))
    world.settle()
    const frames = world.tap.takeAll()
    expect(frames.map((f) => [ipv4.isFragment(f, 14), f.length])).toEqual([
      [true, 1514],
      [true, 84],
    ])
    // The other end puts it together: the second piece has done its work.
    expect(ben.takeAll().map((f) => f.length)).toEqual([1514])
    expect(world.drops).toEqual({ Consumed: 1 })
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

describe('IPv6 of up to 1,280 bytes gets through, whatever the underlay takes', () => {
  const v6 = (n: number): Buffer =>
    udpFrame({ from: ANN, to: BEN, src: 'fd01::1', dst: 'fd01::2', data: Buffer.alloc(n - 48, 6) })

  it.each<[string, object]>([
    ['linux', {}],
    ['ovs: DF and no identification, else', { profile: 'ovs' }],
  ])('%s: the outer packet is cut, and put together', (_, vtep) => {
    const { world, ann, ben } = two({ mtu: 1200, oversize: 'inner' }, vtep, 1250)
    for (const n of [1200, 1201, 1280]) {
      ann.inject(v6(n))
      world.settle()
      const outer = world.tap.takeAll()
      expect(outer.length).toBe(n === 1200 ? 1 : 2)
      for (const f of outer) expect(f.length).toBeLessThanOrEqual(1264)
      if (n > 1200) expect(outer[0]?.readUInt16BE(18)).not.toBe(0)
      expect(ben.takeAll()).toEqual([v6(n)])
    }
    expect(ann.takeAll()).toEqual([])
    expect(world.drops).toEqual({ Consumed: 2 })
  })

  it('longer is refused, and nobody is told less than 1,280 (RFC 8201, 4)', () => {
    const { world, ann, ben } = two({ mtu: 1200 })
    ann.inject(v6(1281))
    world.settle()
    expect(ben.takeAll()).toEqual([])
    const [told] = ann.takeAll() as [Buffer]
    expect(say(told)).toContain('fd01::2 > fd01::1 ICMPv6 packet too big')
    expect(told.readUInt32BE(58)).toBe(1280)
  })

  it('over IPv6 too it is sent, however short the path is said to be', () => {
    const world = new World()
    const [one, other] = ['fd00::1', 'fd00::2'].map((a) => new Node(world, a)) as [Node, Node]
    const here = one.network({ vni: 1 })
    here.net.addFlood('fd00::2')
    const [ann, ben] = [here.host(), other.network({ vni: 1 }).host()]
    one.vtep.pathMtu.lower6(Uint8Array.from([0xfd, ...new Array(14).fill(0), 2]), 0, 1280)
    ann.inject(v6(1280))
    ann.inject(v6(1281))
    world.settle()
    expect(ben.takeAll()).toEqual([v6(1280)])
    expect(ann.takeAll().map((f) => f.readUInt32BE(58))).toEqual([1280])
  })
})

describe('what is carried beside the packet takes room', () => {
  it('VLAN tags: the answer has the tag, and what it says fits', () => {
    const { world, ann, ben } = two({ mtu: 1450 })
    const tagged = (n: number): Buffer => udpFrame({ from: ANN, to: BEN, data: bytes(n), df: true, tag: 5 })
    ann.inject(tagged(1450))
    world.settle()
    const [told] = ann.takeAll() as [Buffer]
    expect(told.subarray(0, 18).toString('hex')).toBe('660000000001660000000002' + '81000005' + '0800')
    expect(told.readUInt16BE(18 + 20 + 6)).toBe(1446)
    expect(ben.takeAll()).toEqual([])
    ann.inject(tagged(1446))
    world.settle()
    expect(world.tap.takeAll().map((f) => [f.length, ipv4.isFragment(f, 14)])).toEqual([[1514, false]])
    expect(ben.takeAll()).toEqual([tagged(1446)])
  })

  it('VLAN tags, without DF: not cut before it is wrapped, but after', () => {
    const { world, ann, ben } = two({ mtu: 1450, oversize: 'inner' }, { profile: 'ovs' })
    const tagged = udpFrame({ from: ANN, to: BEN, data: bytes(1450), tag: 5 })
    ann.inject(tagged)
    world.settle()
    expect(world.tap.takeAll().map((f) => ipv4.isFragment(f, 14))).toEqual([true, true])
    expect(ben.takeAll()).toEqual([tagged])
    expect(world.drops).toEqual({ Consumed: 1 })
  })

  it('options of one far end', () => {
    const world = new World()
    const [node, peer] = ['192.168.77.1', '192.168.77.2'].map(
      (a) => new Node(world, a, { encapsulation: 'geneve' }),
    ) as [Node, Node]
    const here = node.network({ vni: 1, mtu: 1450 })
    const options = [{ class: 1, type: 2, data: new Uint8Array(8) }]
    here.net.addStatic(BEN, { address: '192.168.77.2', options })
    const [ann, ben] = [here.host(), peer.network({ vni: 1 }).host()]
    for (const n of [1450, 1439, 1438]) ann.inject(udpFrame({ from: ANN, to: BEN, data: bytes(n), df: true }))
    world.settle()
    expect(ann.takeAll().map((f) => f.readUInt16BE(40))).toEqual([1438, 1438])
    expect(world.tap.takeAll().map((f) => f.length)).toEqual([1514])
    expect(ben.takeAll().length).toBe(1)
  })
})

it('one frame that does not fit gets one answer, however many far ends it is for', () => {
  const { world, net, ann } = two({ mtu: 1450 })
  for (let i = 3; i < 20; i++) net.addFlood(`192.168.77.${i}`)
  const unknown = udpFrame({ from: ANN, to: '66:00:00:00:00:77', data: bytes(1451), df: true })
  for (let i = 0; i < 2; i++) {
    ann.inject(unknown)
    world.settle()
    expect(ann.takeAll().length).toBe(1)
  }
  expect(net.counters.tooBig).toBe(2)
  expect(world.drops).toEqual({ TooBig: 36 })
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
    ['a source port that it never has', (b) => put16(b, 62, 0)],
    ['one without DF, which may be cut', (b) => quotedFlags(b, 0)],
    ['one in fragments', (b) => quotedFlags(b, 0x6000)],
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
