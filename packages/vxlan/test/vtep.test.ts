import { ipv4, describe as say, u16, u32 } from '@l2l3/switch-core/wire'
import { describe, expect, it } from 'vitest'
import { ovn, vxlan } from '../src/index.ts'
import { ANN, BEN, udpFrame } from './tunnel-lab.ts'
import { type Host, Node, World } from './vtep-nodes.ts'

const CEM = '66:00:00:00:00:03'
const ALL = 'ff:ff:ff:ff:ff:ff'

/** Three nodes, one network, a host on each. */
function three(options: { flood?: boolean; learning?: boolean } = {}): {
  world: World
  nodes: Node[]
  hosts: Host[]
  nets: ReturnType<Node['network']>['net'][]
} {
  const world = new World()
  const addresses = ['192.168.77.1', '192.168.77.2', '192.168.77.3']
  const nodes = addresses.map((a) => new Node(world, a))
  const made = nodes.map((n) => n.network({ vni: 4096, learning: options.learning ?? true }))
  if (options.flood !== false) {
    for (const [i, m] of made.entries()) for (const a of addresses) if (a !== addresses[i]) m.net.addFlood(a)
  }
  return { world, nodes, hosts: made.map((m) => m.host()), nets: made.map((m) => m.net) }
}

/** VNI and outer destination of frames on the underlay. */
function seen(world: World): string[] {
  return world.tap.takeAll().map((f) => `${vxlan.vni(f, 42)} > .${u32(f, 30) & 255}`)
}

describe('learning', () => {
  it('floods to every far end what it does not know, and learns where the answer came from', () => {
    const { world, hosts, nets } = three()
    const [ann, ben, cem] = hosts as [Host, Host, Host]
    const question = udpFrame({ from: ANN, to: ALL })
    ann.inject(question)
    world.settle()
    expect(seen(world)).toEqual(['4096 > .2', '4096 > .3'])
    expect(ben.takeAll()).toEqual([question])
    expect(cem.takeAll()).toEqual([question])
    expect([...(nets[1]?.entries() ?? [])]).toMatchObject([{ mac: ANN, remote: '192.168.77.1', kind: 'dynamic' }])

    const answer = udpFrame({ from: BEN, to: ANN, src: '10.244.2.1', dst: '10.244.1.1' })
    ben.inject(answer)
    world.settle()
    expect(seen(world)).toEqual(['4096 > .1'])
    expect(ann.takeAll()).toEqual([answer])
    ann.inject(udpFrame({ from: ANN, to: BEN }))
    world.settle()
    expect(seen(world)).toEqual(['4096 > .2'])
    expect(ben.takeAll().length).toBe(1)
    expect(world.drops).toEqual({})
  })

  it('follows an address that moves, and forgets one that is not heard', () => {
    const { world, nodes, hosts, nets } = three()
    const [, ben, cem] = hosts as [Host, Host, Host]
    const [first] = nets as [(typeof nets)[0]]
    const entries = (): unknown[] => [...first.entries()].map((e) => `${e.mac} ${e.remote}`)
    ben.inject(udpFrame({ from: BEN, to: ALL }))
    world.settle()
    expect(entries()).toEqual([`${BEN} 192.168.77.2`])
    cem.inject(udpFrame({ from: BEN, to: ALL }))
    world.settle()
    expect(entries()).toEqual([`${BEN} 192.168.77.3`])
    world.clock.advance(301e9)
    for (const n of nodes) n.vtep.tick(world.clock.now)
    expect(entries()).toEqual([])
    expect(nodes[0]?.vtep.counters.fdb.aged).toBe(1)
  })

  it('is not done where it is off: unknown unicast is flooded, answers are too', () => {
    const { world, hosts, nets } = three({ learning: false })
    const [ann, ben] = hosts as [Host, Host]
    ann.inject(udpFrame({ from: ANN, to: BEN }))
    ben.inject(udpFrame({ from: BEN, to: ANN }))
    world.settle()
    expect(seen(world)).toEqual(['4096 > .2', '4096 > .3', '4096 > .1', '4096 > .3'])
    expect([...(nets[0]?.entries() ?? [])]).toEqual([])
  })

  it('takes far ends in that nobody configured, as many as there may be, and forgets them with their addresses', () => {
    const world = new World()
    const hub = new Node(world, '192.168.77.1', { maxRemotes: 4 })
    const { net } = hub.network({ vni: 7 })
    const peers = [2, 3, 4, 5, 6].map((i) => new Node(world, `192.168.77.${i}`))
    for (const [i, peer] of peers.entries()) {
      const made = peer.network({ vni: 7 })
      made.net.addFlood('192.168.77.1')
      made.host().inject(udpFrame({ from: `66:00:00:00:01:0${i}`, to: ALL }))
    }
    world.settle()
    expect(net.remotes().length).toBe(4)
    expect([...net.entries()].length).toBe(4)
    expect(hub.vtep.counters.remotesRefused).toBe(1)
    world.clock.advance(301e9)
    hub.vtep.tick(world.clock.now)
    expect(net.remotes()).toEqual([])
    expect(hub.vtep.counters.remotesForgotten).toBe(4)
  })
})

describe('what is configured', () => {
  it('a static address does not move and does not age', () => {
    const { world, hosts, nets, nodes } = three({ flood: false })
    const [ann, , cem] = hosts as [Host, Host, Host]
    nets[0]?.addStatic(BEN, '192.168.77.2')
    nets[2]?.addFlood('192.168.77.1')
    cem.inject(udpFrame({ from: BEN, to: ALL }))
    world.settle()
    world.clock.advance(1e12)
    nodes[0]?.vtep.tick(world.clock.now)
    world.tap.takeAll()
    ann.inject(udpFrame({ from: ANN, to: BEN }))
    world.settle()
    expect(seen(world)).toEqual(['4096 > .2'])
    expect(nets[0]?.deleteAddress(BEN)).toBe(true)
    expect(nets[0]?.deleteAddress(BEN)).toBe(false)
  })

  it('nothing known, nothing to flood to: NoRemote', () => {
    const { world, hosts } = three({ flood: false })
    hosts[0]?.inject(udpFrame({ from: ANN, to: BEN }))
    hosts[0]?.inject(udpFrame({ from: ANN, to: ALL }))
    world.settle()
    expect(world.drops).toEqual({ NoRemote: 2 })
  })

  it('unknown unicast is not flooded where that is off', () => {
    const world = new World()
    const node = new Node(world, '192.168.77.1')
    const { net, host } = node.network({ vni: 1, unknown: 'drop' })
    net.addFlood('192.168.77.2')
    const ann = host()
    ann.inject(udpFrame({ from: ANN, to: BEN }))
    ann.inject(udpFrame({ from: ANN, to: ALL }))
    world.settle()
    expect(seen(world)).toEqual(['1 > .2'])
    // The underlay has nobody else.
    expect(world.drops).toEqual({ NoRemote: 1, NoDestination: 1 })
  })

  it('a prefix: MACs, VNI and time to live as Windows does it', () => {
    const world = new World()
    const node = new Node(world, '192.168.77.1')
    const { net, host } = node.network({ vni: 4096, gateway: '0e:2a:0a:f4:01:01' })
    net.addRoute({
      to: '10.244.2.0/24',
      remote: { address: '192.168.77.2', vni: 4097 },
      mac: '00:15:5d:00:00:02',
      srcMac: '00:15:5d:00:00:01',
      decrementTtl: true,
    })
    net.addRoute({ to: 'fd00:2::/64', remote: '192.168.77.2', mac: '00:15:5d:00:00:02', decrementTtl: true })
    const pod = host()
    const to = '0e:2a:0a:f4:01:01'
    pod.inject(udpFrame({ from: ANN, to, src: '10.244.1.7', dst: '10.244.2.9', ttl: 64 }))
    pod.inject(udpFrame({ from: ANN, to, src: 'fd00:1::7', dst: 'fd00:2::9', ttl: 64 }))
    pod.inject(udpFrame({ from: ANN, to, src: '10.244.1.7', dst: '10.244.2.9', ttl: 1 }))
    pod.inject(udpFrame({ from: ANN, to, src: '10.244.1.7', dst: '10.244.3.9' }))
    pod.inject(udpFrame({ from: ANN, to: BEN, src: '10.244.1.7', dst: '10.244.2.9' }))
    world.settle()
    const out = world.tap.takeAll()
    expect(out.map((f) => vxlan.vni(f, 42))).toEqual([4097, 4096])
    expect(out.map((f) => say(f.subarray(50)))).toEqual([
      '00:15:5d:00:00:01 > 00:15:5d:00:00:02, IPv4 10.244.1.7:20000 > 10.244.2.9:9 UDP length 13',
      `${ANN} > 00:15:5d:00:00:02, IPv6 [fd00:1::7]:20000 > [fd00:2::9]:9 UDP length 13`,
    ])
    expect(out.map((f, i) => f[i === 0 ? 72 : 71])).toEqual([63, 63])
    expect(world.drops).toEqual({ TtlExceeded: 1, NoRemote: 2, NoDestination: 2 })
    expect([...net.routes()].map((r) => `${r.to} ${r.remote}`)).toEqual([
      '10.244.2.0/24 192.168.77.2 vni 4097',
      'fd00:2::/64 192.168.77.2',
    ])
    expect(net.deleteRoute('10.244.2.0/24')).toBe(true)
    expect(net.deleteRoute('10.244.2.0/24')).toBe(false)
  })

  it('a multicast group: by its own interface, with its own MAC, time to live 1', () => {
    const world = new World()
    const groups = ['239.1.1.1']
    const nodes = ['192.168.77.1', '192.168.77.2', '192.168.77.3'].map((a) => new Node(world, a, { groups }))
    const made = nodes.map((n) => n.network({ vni: 42 }))
    for (const [i, m] of made.entries()) m.net.addFlood({ address: '239.1.1.1', interface: (nodes[i] as Node).eth0 })
    const [ann, ben, cem] = made.map((m) => m.host()) as [Host, Host, Host]
    const question = udpFrame({ from: ANN, to: ALL })
    ann.inject(question)
    world.settle()
    expect(ben.takeAll()).toEqual([question])
    expect(cem.takeAll()).toEqual([question])
    const [frame] = world.tap.takeAll()
    expect(frame?.subarray(0, 14).toString('hex')).toBe('01005e010101' + '0201c0a84d01' + '0800')
    expect(frame?.[22]).toBe(1)
    ben.inject(udpFrame({ from: BEN, to: ANN }))
    world.settle()
    expect(world.tap.takeAll().map((f) => u32(f, 30) & 255)).toEqual([1])
    expect(() => made[0]?.net.addFlood('239.1.1.2')).toThrow(/interface is needed/)
    // A group that nobody here asked for is the router's to end.
    const other = Buffer.from(frame as Buffer)
    other[33] = 9
    ipv4.fillChecksum(other, 14)
    const f = world.pool.from(other)
    world.pool.ledger.receive(1)
    world.loop.link(nodes[1]?.eth0 as (typeof nodes)[0]['eth0']).push(f as never)
    world.settle()
    expect(world.drops).toEqual({ GroupDestination: 1 })
  })

  it('over IPv6', () => {
    const world = new World()
    const nodes = ['fd00::1', 'fd00::2'].map((a) => new Node(world, a))
    const [a, b] = nodes.map((n) => n.network({ vni: 5 })) as [ReturnType<Node['network']>, ReturnType<Node['network']>]
    a.net.addFlood('fd00::2')
    const [ann, ben] = [a.host(), b.host()]
    const question = udpFrame({ from: ANN, to: ALL })
    ann.inject(question)
    world.settle()
    expect(ben.takeAll()).toEqual([question])
    expect([...b.net.entries()]).toMatchObject([{ mac: ANN, remote: 'fd00::1' }])
    const answer = udpFrame({ from: BEN, to: ANN })
    ben.inject(answer)
    world.settle()
    expect(ann.takeAll()).toEqual([answer])
    expect(world.drops).toEqual({})
  })
})

describe('several networks', () => {
  it('with the same inner addresses, and nothing between them', () => {
    const world = new World()
    const nodes = ['192.168.77.1', '192.168.77.2'].map((a) => new Node(world, a))
    const hosts = [100, 200, 300].map((vni) =>
      nodes.map((n, i) => {
        const made = n.network({ vni })
        made.net.addFlood(`192.168.77.${2 - i}`)
        return made.host()
      }),
    ) as [Host, Host][]
    const data = (vni: number): Buffer => Buffer.from(`this is ${vni}`)
    for (const [i, [ann]] of hosts.entries()) ann.inject(udpFrame({ from: ANN, to: BEN, data: data(i) }))
    world.settle()
    for (const [i, [, ben]] of hosts.entries()) {
      expect(ben.takeAll()).toEqual([udpFrame({ from: ANN, to: BEN, data: data(i) })])
    }
    expect(seen(world)).toEqual(['100 > .2', '200 > .2', '300 > .2'])
    expect(() => nodes[0]?.network({ vni: 100 })).toThrow('there is a network 100 already')
    const [first] = (nodes[0] as Node).vtep.networks
    nodes[0]?.vtep.removeNetwork(first as NonNullable<typeof first>)
    hosts[0]?.[1].inject(udpFrame({ from: BEN, to: ANN }))
    hosts[0]?.[0].inject(udpFrame({ from: ANN, to: BEN }))
    world.settle()
    expect(world.drops).toEqual({ UnknownVni: 1, PortDown: 1 })
  })

  it('GENEVE, with the options that the network has, and those of one far end', () => {
    const world = new World()
    const known = { encapsulation: 'geneve', knownOptions: [{ class: 0x0102, type: 0x80 }] } as const
    const [one, two] = ['192.168.77.1', '192.168.77.2'].map((a) => new Node(world, a, known)) as [Node, Node]
    const here = one.network({ vni: 7, options: [ovn.option(1, 2)] })
    here.net.addFlood('192.168.77.2')
    here.net.addStatic(BEN, { address: '192.168.77.2', options: [ovn.option(5, 0x8000)] })
    here.net.addStatic(CEM, { address: '192.168.77.2', options: [{ class: 9, type: 0x81, data: new Uint8Array(4) }] })
    const away = two.network({ vni: 7 }).host()
    const ann = here.host()
    for (const to of [ALL, BEN, CEM]) ann.inject(udpFrame({ from: ANN, to }))
    world.settle()
    expect(world.tap.takeAll().map((f) => ovn.ports(f, 42))).toEqual([0x10002, 0x58000, -1])
    expect(away.takeAll().length).toBe(2)
    expect(world.drops).toEqual({ CriticalOption: 1 })
  })

  it('any VNI may have a network of its own', () => {
    const world = new World()
    const [one, two] = ['192.168.77.1', '192.168.77.2'].map((a) => new Node(world, a)) as [Node, Node]
    const from = one.network({ vni: 77 })
    from.net.addFlood('192.168.77.2')
    const rest = two.network({ vni: 'any' }).host()
    two.network({ vni: 78 })
    from.host().inject(udpFrame({ from: ANN, to: ALL }))
    world.settle()
    expect(rest.takeAll().length).toBe(1)
  })
})

describe('split horizon', () => {
  it('what came out of a tunnel goes into none of the same network', () => {
    const { world, hosts } = three()
    hosts[0]?.inject(udpFrame({ from: ANN, to: ALL }))
    world.settle()
    expect(world.drops).toEqual({})
    // Node 2 gets a second way into the network: its switch floods there what came in by the first.
    const node = new Node(world, '192.168.77.9')
    const a = node.network({ vni: 4096 })
    a.net.addFlood('192.168.77.1')
    const { loop } = world
    const again = a.sw.addPort(loop.link(a.net, 'second way'))
    expect(again.index).toBe(1)
    const away = new Node(world, '192.168.77.8').network({ vni: 4096 })
    away.net.addFlood('192.168.77.9')
    away.host().inject(udpFrame({ from: CEM, to: ALL }))
    world.settle()
    expect(world.drops).toEqual({ SplitHorizon: 1 })
  })

  it('two networks may share a horizon; else they are bridged', () => {
    for (const shared of [true, false]) {
      const world = new World()
      const gate = new Node(world, '192.168.77.1')
      const one = gate.network({ vni: 1 })
      const { pool, loop } = world
      const port = one.sw.addPort(loop.link({ process: (b) => two.process(b) }, 'to two'))
      const two = gate.vtep.addNetwork({ vni: 2, out: loop.link(port), ...(shared ? { horizon: one.net } : {}) })
      two.addFlood('192.168.77.3')
      const away = new Node(world, '192.168.77.2').network({ vni: 1 })
      away.net.addFlood('192.168.77.1')
      away.host().inject(udpFrame({ from: CEM, to: ALL }))
      world.settle()
      expect(seen(world)).toEqual(shared ? ['1 > .1'] : ['1 > .1', '2 > .3'])
      expect(pool.report().dropped).toEqual(shared ? { SplitHorizon: 1 } : { OtherHost: 1 })
    }
  })

  it('does not stand in the way of answers of a router behind the tunnel', () => {
    const world = new World()
    const [one, two] = ['192.168.77.1', '192.168.77.2'].map((a) => new Node(world, a)) as [Node, Node]
    const { loop } = world
    // Node 2's router itself is behind its network, as flannel has it.
    const late: { iface?: typeof two.eth0 } = {}
    const into = loop.link({ process: (b) => late.iface?.process(b) }, 'flannel.1')
    const net = two.vtep.addNetwork({ vni: 1, out: into, learning: false })
    late.iface = two.router.addInterface({
      name: 'flannel.1',
      mac: '02:01:0a:f4:02:00',
      out: loop.link(net),
      addresses: ['10.244.2.0/32'],
      neighbours: two.eth0.neighbours as NonNullable<typeof two.eth0.neighbours>,
    })
    two.router.addRoute({ to: '10.244.1.0/24', via: '10.244.1.0', dev: late.iface })
    net.addStatic('02:01:0a:f4:01:00', '192.168.77.1')
    const pod = one.network({ vni: 1 })
    pod.net.addFlood('192.168.77.2')
    const ping = udpFrame({ from: '02:01:0a:f4:01:00', to: '02:01:0a:f4:02:00', src: '10.244.1.5', dst: '10.244.2.0' })
    const host = pod.host()
    host.inject(ping)
    world.settle()
    // Nobody listens on UDP port 9 there: "port unreachable" comes back through the tunnel.
    expect(host.takeAll().map((f) => say(f))).toEqual([
      expect.stringContaining('IPv4 10.244.2.0 > 10.244.1.5 ICMP unreachable (code 3)'),
    ])
  })
})

describe('who may send', () => {
  it('only configured far ends, where that is asked for', () => {
    const world = new World()
    const [one, two, three] = [1, 2, 3].map((i) => new Node(world, `192.168.77.${i}`)) as [Node, Node, Node]
    const here = one.network({ vni: 1, knownPeersOnly: true, learning: false })
    here.net.addStatic(BEN, '192.168.77.2')
    const ann = here.host()
    for (const [from, node] of [
      [BEN, two],
      [CEM, three],
    ] as const) {
      const made = node.network({ vni: 1 })
      made.net.addFlood('192.168.77.1')
      made.host().inject(udpFrame({ from, to: ALL }))
    }
    world.settle()
    expect(ann.takeAll().map((f) => say(f).slice(0, 17))).toEqual([BEN])
    expect(world.drops).toEqual({ UnknownPeer: 1 })
  })

  it('only frames to the MACs that are asked for, and none from our own', () => {
    const world = new World()
    const [one, two] = [1, 2].map((i) => new Node(world, `192.168.77.${i}`)) as [Node, Node]
    const dr = '00:15:5d:00:00:01'
    const here = one.network({ vni: 1, destinations: [dr], mac: ANN })
    const pod = here.host()
    const made = two.network({ vni: 1 })
    made.net.addFlood('192.168.77.1')
    const away = made.host()
    away.inject(udpFrame({ from: BEN, to: dr }))
    away.inject(udpFrame({ from: BEN, to: CEM }))
    away.inject(udpFrame({ from: BEN, to: ALL }))
    away.inject(udpFrame({ from: ANN, to: dr }))
    world.settle()
    expect(pod.takeAll().length).toBe(1)
    expect(world.drops).toEqual({ OtherHost: 2, OwnSource: 1 })
  })
})

describe('nesting', () => {
  it('a tunnel whose outside leads into itself does not wrap its own packets', () => {
    const world = new World()
    const node = new Node(world, '192.168.77.1')
    const { net, host } = node.network({ vni: 1 })
    // The route to the far end leads back into the network's own switch.
    net.addFlood('172.16.0.9')
    const { loop } = world
    const late = { process: (b: Parameters<typeof net.process>[0]) => net.process(b) }
    node.router.addInterface({
      name: 'loop0',
      mac: '02:00:00:00:00:77',
      out: loop.link(late),
      addresses: ['172.16.0.1/24'],
      neighbours: node.eth0.neighbours as NonNullable<typeof node.eth0.neighbours>,
    })
    host().inject(udpFrame({ from: ANN, to: ALL }))
    world.settle()
    expect(world.drops).toEqual({ NestedTunnel: 1 })
  })

  it('in many tunnels, not one more', () => {
    const world = new World({ headroom: 512 })
    const node = new Node(world, '192.168.77.1', { maxNesting: 1 })
    const { net, host } = node.network({ vni: 1 })
    net.addFlood('192.168.77.2')
    const away = new Node(world, '192.168.77.3', { maxNesting: 3 })
    const wrap = (frame: Buffer, vni: number): Buffer => {
      const { net: other } = away.network({ vni })
      other.addFlood('192.168.77.4')
      other.process({ frames: Uint32Array.of(put(frame)), length: 1 } as never)
      world.settle()
      return Buffer.from(world.tap.takeAll()[0] as Buffer)
    }
    const put = (frame: Buffer): number => {
      const f = world.pool.from(frame)
      world.pool.ledger.receive(1)
      return f
    }
    const ann = host()
    const once = wrap(udpFrame({ from: ANN, to: ALL }), 8)
    once.fill(0xff, 0, 6)
    const twice = wrap(once, 9)
    twice.fill(0xff, 0, 6)
    ann.inject(once)
    world.settle()
    expect(world.tap.takeAll().length).toBe(1)
    ann.inject(twice)
    world.settle()
    expect(world.drops.NestedTunnel).toBe(1)
  })
})

describe('configuration', () => {
  const world = new World()
  const node = new Node(world, '192.168.77.1')
  const { net } = node.network({ vni: 1 })
  it.each([
    [() => new Node(world, '192.168.77.5', { local: '239.1.1.1' }), /local must be a host's address/],
    [() => new Node(world, '192.168.77.5', { port: 0 }), /port must be .* not 0/],
    [() => new Node(world, '192.168.77.5', { df: 'maybe' as never }), /df must be one of .* not maybe/],
    [() => node.network({ vni: 2 ** 24 }), /vni must be .* not 16777216/],
    [() => node.network({ vni: 2, mac: 'nonsense' }), /mac: not a MAC/],
    [() => node.network({ vni: 2, mac: ALL }), /mac must be a unicast address/],
    [() => node.network({ vni: 2, unknown: 'perhaps' as never }), /unknown must be one of/],
    [() => node.network({ vni: 2, options: [{ class: 1, type: 1, data: new Uint8Array(4) }] }), /options are GENEVE's/],
    [() => net.addStatic(BEN, 'fd00::1'), /src and dst must be of one family/],
    [() => net.addFlood('nowhere'), /remote: not an IPv4 address: "nowhere"/],
    [() => net.addRoute({ to: '10.0.0.1/8', remote: '192.168.77.2' }), /host bits/],
    [() => net.addFlood({ address: '192.168.77.2', group: 70_000 }), /group must be .* not 70000/],
  ])('is refused with key and value, %#', (make, message) => expect(make).toThrow(message))

  it('says what there is', () => {
    net.addFlood({ address: '192.168.77.2', group: 9 })
    expect(net.flood).toEqual(['192.168.77.2 group 9'])
    expect(net.remotes()).toMatchObject([{ address: '192.168.77.2', vni: 1, configured: 1 }])
    expect(node.vtep.overhead).toBe(50)
    expect(u16(Uint8Array.of(1, 2), 0)).toBe(258)
    expect(net.deleteFlood({ address: '192.168.77.2', group: 9 })).toBe(true)
  })
})
