/**
 * Two nodes in one process, with routers, and a tunnel between them:
 *
 *     pod 10.244.1.5 ── eth0 [ node 1 ] tunl0          tunl0 [ node 2 ] eth0 ── pod 10.244.2.7
 *                              uplink 192.168.77.1 ────── 192.168.77.2 uplink
 *
 * The tunnel's outside goes by the node's own router (`Router.send`), and comes in by its `onLocal`.
 */
import {
  FramePool,
  Loop,
  MemoryPort,
  type Neighbours,
  type RouteOptions,
  Router,
  type RouterInterface,
  VirtualClock,
} from '@l2l3/switch-core'
import { copy, icmp, ipv4, parseMac } from '@l2l3/switch-core/wire'
import { expect, test } from 'vitest'
import { FlannelUdp, greTunnel, type IpTunnel, type IpTunnelOptions, ipipTunnel, takers } from '../src/index.ts'
import { answerOf, datagram, flat, hex, packet, show } from './ip-tunnel-lab.ts'

/** Everybody on the link has one MAC. */
class OneNeighbour implements Neighbours {
  readonly #pool: FramePool
  readonly #mac: Uint8Array
  constructor(pool: FramePool, mac: string) {
    this.#pool = pool
    this.#mac = parseMac(mac)
  }
  resolve4(f: number): boolean {
    copy(this.#pool.bytes, this.#pool.off[f] as number, this.#mac, 0, 6)
    return true
  }
  resolve6(f: number): boolean {
    return this.resolve4(f)
  }
}

type Tunnel = IpTunnel | FlannelUdp
type Make = (pool: FramePool, clock: VirtualClock, options: IpTunnelOptions) => Tunnel

class Node {
  readonly router: Router
  readonly pod: MemoryPort
  readonly wire: MemoryPort
  readonly tunnel: Tunnel
  readonly tunl0: RouterInterface

  constructor(world: World, n: number, make: Make, mtu: number) {
    const { pool, clock, loop } = world
    const other = 3 - n
    this.router = new Router(pool, clock)
    this.pod = new MemoryPort(pool, `pod${n}`)
    this.wire = new MemoryPort(pool, `wire${n}`)
    const plug = (name: string, port: MemoryPort, mac: string, address: string, peer: string, wide: number) => {
      const neighbours = new OneNeighbour(pool, peer)
      const iface = this.router.addInterface({
        name,
        mac,
        addresses: [address],
        out: loop.link(port),
        neighbours,
        mtu: wide,
      })
      loop.add(port, iface)
    }
    plug('eth0', this.pod, `02:00:00:00:0${n}:01`, `10.244.${n}.1/24`, `02:00:00:00:0${n}:05`, 9000)
    plug('uplink', this.wire, `02:00:00:00:0${n}:ee`, `192.168.77.${n}/24`, `02:00:00:00:0${other}:ee`, mtu)
    const mac = `02:00:00:00:0${n}:10`
    // The interface and the tunnel name each other: the link to the interface is made when there is one.
    const into = loop.link({ process: (batch) => this.tunl0.process(batch) })
    this.tunnel = make(pool, clock, {
      local: `192.168.77.${n}`,
      remote: 'next-hop',
      mac,
      mtu,
      out: this.router,
      into,
    })
    this.tunl0 = this.router.addInterface({
      name: 'tunl0',
      mac,
      addresses: [`10.244.${n}.0/32`],
      mtu: this.tunnel.mtu,
      out: loop.link(this.tunnel),
      neighbours: this.tunnel.neighbours,
    })
    this.router.onLocal = this.tunnel.take
    const route: RouteOptions = { to: `10.244.${other}.0/24`, dev: this.tunl0, via: `192.168.77.${other}` }
    this.router.addRoute(route)
  }
}

class World {
  readonly pool: FramePool = new FramePool({ frames: 256, frameSize: 9100 })
  readonly clock: VirtualClock = new VirtualClock()
  readonly loop: Loop = new Loop(this.pool, this.clock)
  readonly nodes: [Node, Node]

  constructor(make: Make, mtu = 1500) {
    this.nodes = [new Node(this, 1, make, mtu), new Node(this, 2, make, mtu)]
    MemoryPort.connect(this.nodes[0].wire, this.nodes[1].wire)
  }

  /** Sends packets from the pod of node 1; gives what its own and the other pod get. */
  send(...packets: string[]): { own: string[]; other: string[] } {
    for (const p of packets) this.nodes[0].pod.inject(hex(`020000000101 020000000105 0800 ${p}`.replace(/ /g, '')))
    this.loop.settle()
    const own = this.nodes[0].pod.takeAll().map(show)
    const other = this.nodes[1].pod.takeAll().map(show)
    expect(this.pool.report()).toMatchObject({ balanced: true, held: 0 })
    return { own, other }
  }
}

const flannel: Make = (pool, clock, options) => {
  const { remote, ...rest } = options
  expect(remote).toBe('next-hop')
  const n = options.local.slice(-1)
  const other = 3 - Number(n)
  return new FlannelUdp(pool, clock, {
    ...rest,
    address: `10.244.${n}.0`,
    routes: [{ to: `10.244.${other}.0/24`, via: `192.168.77.${other}` }],
  })
}

test.each<[string, Make, number]>([
  ['ipip', (p, c, o) => ipipTunnel(p, c, o), 2],
  ['gre', (p, c, o) => greTunnel(p, c, { ...o, key: 7, checksum: true, sequence: true }), 2],
  ['flannel udp', flannel, 4],
])('%s: a packet arrives, with as many hops less as there are routers', (_name, make, hops) => {
  const world = new World(make)
  const { own, other } = world.send(packet({ ttl: 64 }))
  expect(own).toEqual([])
  expect(other).toEqual([flat(`020000000205 020000000201 0800 ${packet({ ttl: 64 - hops })}`)])
  for (let ttl = 1; ttl <= hops; ttl++) {
    const { own: said, other: got } = world.send(packet({ ttl }))
    expect(got).toEqual([])
    // The process of flannel's says nothing where a hop ends in it.
    const silent = make === flannel && (ttl === 2 || ttl === 3)
    expect(said.map((f) => answerOf(f).type)).toEqual(silent ? [] : [icmp.Type.TimeExceeded])
  }
})

test.each<[string, Make, number]>([
  ['ipip', (p, c, o) => ipipTunnel(p, c, o), 1480],
  ['gre', (p, c, o) => greTunnel(p, c, o), 1476],
  ['flannel udp', flannel, 1472],
])('%s: who sends too much with DF hears of it from the router; without DF it comes in pieces', (_name, make, mtu) => {
  const world = new World(make)
  expect(world.send(packet({ df: true, payload: mtu - 20 })).other.length).toBe(1)
  const { own, other } = world.send(packet({ df: true, payload: mtu - 19 }))
  expect(other).toEqual([])
  expect(answerOf(own[0])).toMatchObject({ src: '0af40101', dst: '0af40105', type: 3, code: 4, mtu })
  const body = datagram('10.244.1.5', '10.244.2.7', 3000)
  const pieces = world.send(packet({ payload: body })).other.map((f) => hex(f).subarray(34))
  expect(pieces.length).toBe(3)
  expect(Buffer.concat(pieces).toString('hex')).toBe(body)
})

test('a smaller link on the way: the complaint about the outer packet becomes one about the inner', () => {
  const world = new World((p, c, o) => ipipTunnel(p, c, o))
  const big = packet({ df: true, payload: 1460 })
  // The second node's wire is cut, and what leaves the first one is looked at.
  const wire = world.nodes[0].wire
  const sent: string[] = []
  const process = wire.process.bind(wire)
  wire.process = (batch) => {
    for (let i = 0; i < batch.length; i++)
      sent.push(show(world.pool.view(batch.frames[i] as Parameters<FramePool['view']>[0])))
    process(batch)
  }
  expect(world.send(big).other.length).toBe(1)
  const quote = sent[0]?.slice(28, 28 + 56) ?? ''
  const b = hex(
    packet({
      src: '192.168.77.99',
      dst: '192.168.77.1',
      protocol: 1,
      payload: `030400000000${(1300).toString(16).padStart(4, '0')}${quote}`,
    }),
  )
  icmp.fillChecksum(b, 20, b.length)
  world.nodes[1].router.onLocal = null
  world.nodes[0].wire.inject(hex(`0200000001ee0200000002ee0800${show(b)}`))
  expect(world.send()).toEqual({ own: [], other: [] })
  const { own, other } = world.send(big)
  expect(other).toEqual([])
  expect(answerOf(own[0])).toMatchObject({ src: '0af40207', dst: '0af40105', mtu: 1280, type: 3, code: 4 })
  expect(ipv4.ttl(hex(own[0] ?? ''), 14)).toBe(61)
})

test('several tunnels behind one router: each packet finds its own, and an ICMP error too', () => {
  const world = new World((p, c, o) => greTunnel(p, c, { ...o, key: 7 }))
  const [near, far] = world.nodes
  const { pool, clock, loop } = world
  const into = loop.link(far.tunl0)
  const options = { local: '192.168.77.2', remote: '192.168.77.1', mac: '02:00:00:00:02:10', out: far.router, into }
  const others = [ipipTunnel(pool, clock, options), greTunnel(pool, clock, { ...options, key: 8 })] as const
  far.router.onLocal = takers(others[0].take, others[1].take, far.tunnel.take)
  expect(world.send(packet()).other.length).toBe(1)
  expect(others.map((t) => t.counters.decapsulated)).toEqual([0, 0])
  near.router.onLocal = takers(near.tunnel.take)
  expect(() => takers(null as unknown as () => boolean)).toThrow(/takers\[0\] must be a function, not null/)
  // What nobody takes is the router's to refuse.
  far.router.onLocal = takers(...others.map((t) => t.take))
  expect(world.send(packet()).other).toEqual([])
  expect(pool.report().dropped).toMatchObject({ NoListener: expect.any(Number) })
})

test('a tunnel that leads into itself ends the packet', () => {
  const world = new World((p, c, o) => ipipTunnel(p, c, o))
  const { router } = world.nodes[0]
  router.addRoute({ to: '192.168.77.2/32', dev: world.nodes[0].tunl0, via: '192.168.77.2' })
  expect(world.send(packet())).toEqual({ own: [], other: [] })
  expect(world.pool.report().dropped).toEqual({ NestedTunnel: 1 })
})
