/**
 * A node of a cluster on the bench:
 *
 *     pods 10.244.1.0/24       eth0 10.244.1.1                    eth1 10.244.2.1      10.244.2.0/24 pods of another node
 *          fd00:244:1::/64          fd00:244:1::1  [router, NAT,       fd00:244:2::1   fd00:244:2::/64
 *                                                   services]
 *                                                 eth2 192.0.2.1, 2001:db8::1; 192.0.2.254 leads everywhere else
 *
 * Packets are given and come out as IP packets in hex, or as sentences: `1: tcp 10.244.1.9#4000 > 10.244.2.6#8080`.
 * Whoever has 10.244.2.6 has the MAC 02:06:0a:f4:02:06, so that one sees by whom a packet was routed. The ledger is looked
 * at each time, and so are all checksums of what comes out.
 */
import {
  Drop,
  type Frame,
  FramePool,
  Loop,
  MemoryPort,
  type Neighbours,
  NO_FRAME,
  Router,
  type RouterInterface,
  VirtualClock,
} from '@l2l3/switch-core'
import { formatIpv4, parseIpv4, parseIpv6, u32 } from '@l2l3/switch-core/wire'
import { expect } from 'vitest'
import { Addresses6, Nat, type NatOptions } from '../../src/index.ts'
import { Balancer } from '../../src/service/balancer.ts'
import type { BalancerOptions } from '../../src/service/balancer-options.ts'
import { Rejector, type RejectorOptions } from '../../src/service/reject.ts'
import { describe, hex, sound } from '../engine/lab.ts'

export const PODS = 0
export const OTHERS = 1
export const OUTSIDE = 2
const OWN = [
  ['10.244.1.1', 'fd00:244:1::1'],
  ['10.244.2.1', 'fd00:244:2::1'],
  ['192.0.2.1', '2001:db8::1'],
] as const
const LENGTHS = [24, 64] as const

/** Everybody is there. */
class Everybody implements Neighbours {
  readonly #pool: FramePool
  constructor(pool: FramePool) {
    this.#pool = pool
  }
  resolve4(f: Frame, ip: number): boolean {
    this.#pool.bytes.set([2, 6, ip >>> 24, ip >>> 16, ip >>> 8, ip], this.#pool.off[f] as number)
    return true
  }
  resolve6(f: Frame, b: Uint8Array, at: number): boolean {
    this.#pool.bytes.set([2, 6, 0, 0, ...b.subarray(at + 14, at + 16)], this.#pool.off[f] as number)
    return true
  }
}

export interface NodeOptions {
  balancer?: BalancerOptions
  reject?: RejectorOptions
  nat?: NatOptions
}

export class Node {
  readonly pool: FramePool = new FramePool({ frames: 256 })
  readonly clock: VirtualClock = new VirtualClock()
  readonly loop: Loop
  readonly router: Router
  readonly addresses: Addresses6 = new Addresses6({ max: 4096 })
  readonly balancer: Balancer
  readonly nat: Nat
  readonly rejector: Rejector
  readonly ports: MemoryPort[] = []
  readonly ifaces: RouterInterface[] = []
  /** Where the frames that came out last were sent to: their destination MACs, as the IPv4 address in them. */
  hops: string[] = []

  constructor(options: NodeOptions = {}) {
    this.loop = new Loop(this.pool, this.clock)
    this.router = new Router(this.pool, this.clock)
    this.balancer = new Balancer(this.addresses, options.balancer)
    this.rejector = new Rejector(this.pool, this.clock, options.reject)
    const own6 = OWN.map(([, six]) => this.addresses.intern(parseIpv6(six), 0))
    this.nat = new Nat(this.loop, {
      own: {
        is4: (a) => this.router.lookup4(a)?.kind === 'local',
        is6: (b, at) => this.router.lookup6(b, at)?.kind === 'local',
      },
      addresses: this.addresses,
      outside: { of4: (n) => parseIpv4(OWN[n - 1]![0]), of6: (n) => own6[n - 1]! },
      destination: [this.balancer],
      // As Linux does: a packet to an address of the node is answered from there, any other from where it came in.
      onReject: (f, l3, side) => {
        const b = this.pool.bytes
        const six = b[l3]! >>> 4 === 6
        const local = (six ? this.router.lookup6(b, l3 + 24) : this.router.lookup4(u32(b, l3 + 16)))?.kind === 'local'
        const own = OWN[side - 1]!
        const g = this.rejector.answer(f, l3, local ? 0 : parseIpv4(own[0]), local ? null : parseIpv6(own[1]))
        if (g !== NO_FRAME) this.router.send(g)
      },
      ...options.nat,
    })
    this.router.gate = this.nat
    OWN.forEach((own, i) => {
      const name = `eth${i}`
      const port = new MemoryPort(this.pool, name)
      const iface = this.router.addInterface({
        name,
        mac: `02:00:00:00:00:a${i}`,
        addresses: own.map((a, k) => `${a}/${LENGTHS[k]}`),
        out: this.loop.link(port),
      })
      iface.neighbours = new Everybody(this.pool)
      this.ports.push(port)
      this.ifaces.push(iface)
      this.loop.add(port, iface)
      this.nat.attach(iface)
    })
    this.router.addRoute({ to: '0.0.0.0/0', via: '192.0.2.254' })
    this.router.addRoute({ to: '::/0', via: '2001:db8::fe' })
  }

  /** Sends IP packets into an interface and gives what comes out, as `side: hex`. */
  send(side: number, ...packets: string[]): string[] {
    for (const p of packets) {
      const header = `02000000 00a${side} 020600000001 ${p.startsWith('6') ? '86dd' : '0800'}`
      this.ports[side]!.inject(hex(header + p))
    }
    this.loop.settle()
    const out: string[] = []
    this.hops = []
    this.ports.forEach((port, i) => {
      for (const b of port.takeAll()) {
        sound(b.subarray(14))
        out.push(`${i}: ${Buffer.from(b.subarray(14)).toString('hex')}`)
        this.hops.push(
          b[12] === 8 ? formatIpv4(Buffer.from(b).readUInt32BE(2)) : Buffer.from(b.subarray(4, 6)).toString('hex'),
        )
      }
    })
    expect(this.pool.report().balanced).toBe(true)
    return out
  }

  /** As `send`, in sentences. */
  say(side: number, ...packets: string[]): string[] {
    return this.send(side, ...packets).map((line) => `${line.slice(0, 3)}${describe(hex(line.slice(3)))}`)
  }

  /** Lets time pass, so that tickers have their turns. */
  seconds(n: number): void {
    for (let i = 0; i < 20; i++) {
      this.clock.advance(Math.round((n * 1e9) / 20))
      for (let k = 0; k < 40; k++) {
        this.clock.advance(10_000_000)
        this.loop.settle()
      }
    }
  }

  /** Packets for a service that nobody could serve. */
  get noBackend(): number {
    return this.pool.ledger.drops[Drop.NoBackend] as number
  }

  /** Flows to backends now, by backend. */
  active(name: string): Record<string, number> {
    return Object.fromEntries(this.balancer.services.get(name)!.backends.map((b) => [b.address, b.active]))
  }
}
