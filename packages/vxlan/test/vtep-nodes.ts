/**
 * Nodes on one underlay in memory, each with a switch, a VTEP and a router:
 *
 *     hosts ── switch ── TunnelNetwork ── Vtep ── Router eth0 ── wire ─┬─ the other nodes' wires
 */
import {
  type Element,
  FramePool,
  type FramePoolOptions,
  Loop,
  MemoryPort,
  type Neighbours,
  Router,
  type RouterInterface,
  Switch,
  type SwitchPort,
  VirtualClock,
} from '@l2l3/switch-core'
import { formatMac } from '@l2l3/switch-core/wire'
import { expect } from 'vitest'
import { type NetworkOptions, type TunnelNetwork, Vtep, type VtepOptions } from '../src/index.ts'

/** Next hops whose MACs are made of their addresses: 02:01 and the last four bytes. */
function neighbours(pool: FramePool): Neighbours {
  const write = (o: number, bytes: readonly number[]): boolean => {
    pool.bytes.set([2, 1, ...bytes], o)
    return true
  }
  return {
    resolve4: (f, ip) => write(pool.off[f] as number, [ip >>> 24, (ip >>> 16) & 255, (ip >>> 8) & 255, ip & 255]),
    resolve6: (f, b, at) => write(pool.off[f] as number, [...b.subarray(at + 12, at + 16)]),
  }
}

/** A port of which the test holds the other end: what it got is taken in by `World.settle`. */
export class Host {
  readonly port: MemoryPort
  #got: Buffer[] = []
  constructor(pool: FramePool, name: string) {
    this.port = new MemoryPort(pool, name, { offloads: 63 })
  }
  inject(frame: Uint8Array): void {
    expect(this.port.inject(frame)).toBe(true)
  }
  drain(): void {
    this.#got.push(...this.port.takeAll().map((f) => Buffer.from(f)))
  }
  takeAll(): Buffer[] {
    return this.#got.splice(0)
  }
}

export class World {
  readonly pool: FramePool
  readonly clock: VirtualClock = new VirtualClock()
  readonly loop: Loop
  /** What joins the nodes. */
  readonly underlay: Switch
  /** Frames on the underlay, as a tap sees them. */
  readonly tap: Host
  readonly #tapPort: SwitchPort
  readonly nodes: Node[] = []

  constructor(options: FramePoolOptions = {}) {
    this.pool = new FramePool({ frames: 512, frameSize: 4000, ...options })
    this.loop = new Loop(this.pool, this.clock)
    this.underlay = new Switch(this.pool, this.clock)
    this.tap = new Host(this.pool, 'tap')
    this.#tapPort = this.underlay.addPort(this.loop.link(this.tap.port))
  }

  /** Joins a node's wire to the underlay, where its MAC is known from the start. */
  join(iface: RouterInterface): SwitchPort {
    const port = this.underlay.addPort(this.loop.link(iface))
    this.underlay.mirror({ ports: [port], to: this.#tapPort, direction: 'in' })
    this.underlay.addStatic(formatMac(iface.mac), port)
    return port
  }

  settle(): void {
    this.loop.settle()
    this.tap.drain()
    for (const node of this.nodes) for (const host of node.hosts) host.drain()
    const report = this.pool.report()
    expect(report).toMatchObject({ balanced: true, held: 0 })
  }

  /** What was dropped, by reason. */
  get drops(): Record<string, number> {
    return this.pool.report().dropped as Record<string, number>
  }
}

export class Node {
  readonly world: World
  readonly address: string
  readonly router: Router
  readonly eth0: RouterInterface
  readonly vtep: Vtep
  readonly hosts: Host[] = []
  /** Its port of the underlay. */
  readonly wire: SwitchPort

  constructor(world: World, address: string, options: Partial<VtepOptions> = {}, mtu = 1500, more: string[] = []) {
    this.world = world
    this.address = address
    world.nodes.push(this)
    const { pool, loop, clock } = world
    const v6 = address.includes(':')
    this.router = new Router(pool, clock)
    const late: { port?: SwitchPort } = {}
    const wire: Element = { process: (b) => (late.port as SwitchPort).process(b) }
    const last = v6 ? address.split(':').at(-1) : address.split('.').at(-1)
    const bytes = v6 ? `00:00:00:${String(last).padStart(2, '0')}` : address.split('.').map(hexByte).join(':')
    this.eth0 = this.router.addInterface({
      name: 'eth0',
      mac: `02:01:${bytes}`,
      out: loop.link(wire, 'wire'),
      addresses: [`${address}/${v6 ? 64 : 24}`, ...more],
      mtu,
      neighbours: neighbours(pool),
    })
    late.port = world.join(this.eth0)
    this.wire = late.port
    this.vtep = new Vtep(pool, clock, { local: address, out: this.router, ...options })
    this.router.onLocal = this.vtep.take
  }

  /** A network with a switch of its own. */
  network(options: Omit<NetworkOptions, 'out'>): { net: TunnelNetwork; sw: Switch; host: () => Host } {
    const { pool, loop, clock } = this.world
    const sw = new Switch(pool, clock)
    const late: { net?: TunnelNetwork } = {}
    const into: Element = { process: (b) => (late.net as TunnelNetwork).process(b) }
    const port = sw.addPort(loop.link(into, 'tunnel'))
    late.net = this.vtep.addNetwork({ ...options, out: loop.link(port, 'from tunnel') })
    const host = (): Host => {
      const p = new Host(pool, `host${this.hosts.length}`)
      loop.add(p.port, sw.addPort(loop.link(p.port)))
      this.hosts.push(p)
      return p
    }
    return { net: late.net, sw, host }
  }
}

function hexByte(text: string): string {
  return Number(text).toString(16).padStart(2, '0')
}
