/**
 * A NAT router on the bench, with the addresses of modes.md 18:
 *
 *     alice 10.22.0.11 ─┐                                               ┌─ server 203.0.113.2
 *     bob   10.22.0.12 ─┼─ eth0 10.22.0.1/24  [router, NAT] eth1 203.0.113.1/24 ─┼─ other  203.0.113.3
 *           fd00:22::b ─┘       fd00:22::1/64               2001:db8:7::1/64     └─ 2001:db8:7::2
 *     02:00:00:00:00:0a         02:..:a0                    02:..:b0                02:00:00:00:00:0b
 *
 * Packets are given and come out as IP packets in hex. The ledger is looked at each time, and so are all checksums of what comes out.
 */
import {
  type DropName,
  type Frame,
  FramePool,
  type FramePoolOptions,
  Loop,
  MemoryPort,
  type NeighbourClient,
  type Neighbours,
  Router,
  type RouterInterface,
  VirtualClock,
} from '@l2l3/switch-core'
import {
  formatIpv4,
  formatIpv6,
  icmp,
  icmpv6,
  ipv4,
  ipv6,
  parseIpv4,
  parseIpv6,
  tcp,
  u16,
  udp,
} from '@l2l3/switch-core/wire'
import { expect } from 'vitest'
import { Addresses6, Nat, type NatOptions, type OutsideAddresses } from '../../src/index.ts'
import { SourceNat } from '../../src/outbound/source-nat.ts'
import type { SourceNatOptions } from '../../src/outbound/source-nat-options.ts'

/** A table of neighbours in which everybody is there. */
class Everybody implements Neighbours {
  readonly #pool: FramePool
  readonly #mac: number[]
  constructor(pool: FramePool, _client: NeighbourClient, last: number) {
    this.#pool = pool
    this.#mac = [2, 0, 0, 0, 0, last]
  }
  resolve4(f: Frame): boolean {
    this.#pool.bytes.set(this.#mac, this.#pool.off[f] as number)
    return true
  }
  resolve6(f: Frame): boolean {
    return this.resolve4(f)
  }
}

export const INSIDE = 0
export const OUTSIDE = 1
const MACS = ['02:00:00:00:00:a0', '02:00:00:00:00:b0']
const HEADERS = [hex('0200000000a0 02000000000a'), hex('0200000000b0 02000000000b')]

export interface LabOptions extends NatOptions {
  mtu?: number
  /** Zones of both interfaces. Default 0. */
  zones?: readonly [number, number]
}

export class Lab {
  readonly pool: FramePool
  readonly clock: VirtualClock = new VirtualClock()
  readonly loop: Loop
  readonly router: Router
  readonly addresses: Addresses6 = new Addresses6({ max: 4096 })
  readonly nat: Nat
  readonly ports: MemoryPort[] = []
  readonly ifaces: RouterInterface[] = []
  /** The addresses of interfaces by the numbers they have for policies. */
  readonly outside: OutsideAddresses = {
    of4: (n) => parseIpv4(n === 2 ? '203.0.113.1' : '10.22.0.1'),
    of6: (n) => this.#own6[n - 1] as number,
  }
  readonly #own6: number[]

  /** @param options given the lab, so that policies can have its addresses */
  constructor(options: (lab: Lab) => LabOptions = () => ({}), pool: FramePoolOptions = {}) {
    this.pool = new FramePool({ frames: 512, frameSize: 4000, ...pool })
    this.loop = new Loop(this.pool, this.clock)
    this.router = new Router(this.pool, this.clock)
    this.#own6 = ['fd00:22::1', '2001:db8:7::1'].map((a) => this.addresses.intern(parseIpv6(a), 0))
    const settings = options(this)
    this.nat = new Nat(this.loop, {
      own: {
        is4: (a) => this.router.lookup4(a)?.kind === 'local',
        is6: (b, at) => this.router.lookup6(b, at)?.kind === 'local',
      },
      addresses: this.addresses,
      outside: this.outside,
      ...settings,
    })
    this.router.gate = this.nat
    this.#plug(['10.22.0.1/24', 'fd00:22::1/64'], 0x0a, settings.mtu ?? 1500, settings.zones?.[0])
    this.#plug(['203.0.113.1/24', '2001:db8:7::1/64'], 0x0b, settings.mtu ?? 1500, settings.zones?.[1])
    this.router.addRoute({ to: '0.0.0.0/0', via: '203.0.113.254' })
    this.router.addRoute({ to: '::/0', via: '2001:db8:7::fe' })
  }

  /** A lab whose inside is masqueraded. */
  static masquerading(options: LabOptions = {}, source: SourceNatOptions = {}, pool: FramePoolOptions = {}): Lab {
    return new Lab((lab) => {
      const nat = new SourceNat(lab.addresses, {
        outside: lab.outside,
        ...source,
      })
      return {
        destination: [nat.inbound],
        source: [{ decide: (q, reply) => q.out === 2 && nat.decide(q, reply), ended: (tag) => nat.ended(tag) }],
        masquerade: nat,
        ...options,
      }
    }, pool)
  }

  #plug(addresses: string[], neighbour: number, mtu: number, zone = 0): void {
    const name = `eth${this.ports.length}`
    const port = new MemoryPort(this.pool, name)
    const iface = this.router.addInterface({
      name,
      mac: MACS[this.ports.length] as string,
      addresses,
      out: this.loop.link(port),
      mtu,
    })
    iface.neighbours = new Everybody(this.pool, iface, neighbour)
    this.ports.push(port)
    this.ifaces.push(iface)
    this.loop.add(port, iface)
    this.nat.attach(iface, { zone })
  }

  /** Sends IP packets into an interface and gives what comes out: `0: packet` for inside, `1: packet` for outside. */
  send(side: number, ...packets: (string | Uint8Array)[]): string[] {
    for (const p of packets) this.ports[side]?.inject(framed(side, typeof p === 'string' ? hex(p) : p))
    return this.collect()
  }

  /** What has come out since, as `side: hex`, by side. */
  collect(): string[] {
    this.loop.settle()
    const out: string[] = []
    for (const [i, port] of this.ports.entries()) {
      for (const b of port.takeAll()) {
        sound(b.subarray(14))
        out.push(`${i}: ${Buffer.from(b.subarray(14)).toString('hex')}`)
      }
    }
    expect(this.pool.report().balanced).toBe(true)
    return out
  }

  /** As `send`, for a person: `0: udp 203.0.113.2:53 > 10.22.0.11:5000`. */
  say(side: number, ...packets: string[]): string[] {
    return this.send(side, ...packets).map((line) => `${line.slice(0, 3)}${describe(hex(line.slice(3)))}`)
  }

  seconds(n: number): void {
    // In steps, so that tickers have their turns.
    for (let i = 0; i < 20; i++) {
      this.clock.advance(Math.round((n * 1e9) / 20))
      this.loop.settle()
    }
  }

  get drops(): Partial<Record<DropName, number>> {
    return this.pool.report().dropped
  }
}

function framed(side: number, packet: Uint8Array): Uint8Array {
  const v6 = (packet[0] as number) >>> 4 === 6
  return Uint8Array.from([...(HEADERS[side] as Uint8Array), ...(v6 ? [0x86, 0xdd] : [8, 0]), ...packet])
}

/** Bytes of hex text; blanks and `|` are for reading. */
export function hex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text.replace(/[\s|]/g, ''), 'hex'))
}

export interface Words {
  src: string
  dst: string
  /** Ports; the identifier of an echo in both. */
  sport?: number
  dport?: number
  ttl?: number
  id?: number
  flags?: number
  /** Payload in hex, or as many bytes. */
  data?: string | number
  seq?: number
  ack?: number
  /** No UDP checksum. */
  nosum?: boolean
  options?: string
}

function ends(text: string): Words {
  const m = /^(\S+?)(?:#(\d+))? > (\S+?)(?:#(\d+))?$/.exec(text)
  if (m === null) throw new Error(`no packet: ${text}`)
  return { src: m[1] as string, dst: m[3] as string, sport: Number(m[2] ?? 0), dport: Number(m[4] ?? m[2] ?? 0) }
}

/** The bytes of an IP packet around an upper layer. */
export function packet(words: Words, protocol: number, upper: Uint8Array): Uint8Array {
  const v6 = words.src.includes(':')
  const b = new Uint8Array((v6 ? 40 : 20) + upper.length)
  const at = v6
    ? ipv6.write(b, 0, {
        src: parseIpv6(words.src),
        dst: parseIpv6(words.dst),
        nextHeader: protocol,
        payload: upper.length,
        hopLimit: words.ttl ?? 64,
      })
    : ipv4.write(b, 0, {
        src: parseIpv4(words.src),
        dst: parseIpv4(words.dst),
        protocol,
        payload: upper.length,
        id: words.id ?? 1,
        ttl: words.ttl ?? 64,
      })
  b.set(upper, at)
  return b
}

/** `udp('10.22.0.11#5000 > 203.0.113.2#53')`, checksum included. */
export function udpPacket(text: string, more: Partial<Words> = {}): string {
  const w = { ...ends(text), ...more }
  const data = dataOf(w)
  const u = new Uint8Array(8 + data.length)
  u.set(data, udp.write(u, 0, w.sport as number, w.dport as number, data.length))
  const b = packet(w, 17, u)
  if (!w.nosum) udp.fillChecksum(b, 0, b.length - u.length)
  return Buffer.from(b).toString('hex')
}

export function tcpPacket(text: string, flags: string, more: Partial<Words> = {}): string {
  const w = { ...ends(text), ...more }
  const data = dataOf({ data: 0, ...w })
  const u = new Uint8Array(60 + data.length)
  let bits = 0
  for (const c of flags) bits |= { S: 2, A: 16, F: 1, R: 4, P: 8, U: 32 }[c] ?? 0
  const at = tcp.write(u, 0, {
    srcPort: w.sport as number,
    dstPort: w.dport as number,
    seq: w.seq ?? 1000,
    ack: w.ack ?? 0,
    flags: bits,
    ...(w.options ? { options: hex(w.options) } : {}),
  })
  u.set(data, at)
  const upper = u.subarray(0, at + data.length)
  const b = packet(w, 6, upper)
  tcp.fillChecksum(b, 0, b.length - upper.length, b.length)
  return Buffer.from(b).toString('hex')
}

/** An ICMP or ICMPv6 query: `echo('10.22.0.11#77 > 203.0.113.2')`; type 8 or 128 unless said otherwise. */
export function echo(text: string, type?: number, more: Partial<Words> = {}): string {
  const w = { ...ends(text), ...more }
  const v6 = w.src.includes(':')
  return icmpPacket(w, type ?? (v6 ? 128 : 8), 0, (((w.sport as number) << 16) | 1) >>> 0, dataOf(w))
}

/** An ICMP message of any kind. */
export function icmpPacket(w: Words, type: number, code: number, rest: number, data: Uint8Array): string {
  const v6 = w.src.includes(':')
  const u = new Uint8Array(8 + data.length)
  u.set(data, icmp.write(u, 0, type, code, rest))
  const b = packet(w, v6 ? 58 : 1, u)
  if (v6) icmpv6.fillChecksum(b, 0, 40, b.length)
  else icmp.fillChecksum(b, 20, b.length)
  return Buffer.from(b).toString('hex')
}

/** A packet of a protocol without ports. */
export function rawPacket(text: string, protocol: number, data = 'c0ffee00'): string {
  return Buffer.from(packet(ends(text), protocol, hex(data))).toString('hex')
}

function dataOf(w: Partial<Words>): Uint8Array {
  return typeof w.data === 'number' ? new Uint8Array(w.data).fill(0x5a) : hex(w.data ?? '78')
}

/** What a packet is, by its endpoints. */
export function describe(b: Uint8Array): string {
  const v6 = (b[0] as number) >>> 4 === 6
  const l4 = v6 ? 40 : ipv4.headerLength(b, 0)
  const protocol = v6 ? ipv6.nextHeader(b, 0) : ipv4.protocol(b, 0)
  const src = v6 ? formatIpv6(b, 8) : formatIpv4(ipv4.src(b, 0))
  const dst = v6 ? formatIpv6(b, 24) : formatIpv4(ipv4.dst(b, 0))
  if (!v6 && ipv4.fragmentOffset(b, 0) > 0) return `fragment ${src} > ${dst} @${ipv4.fragmentOffset(b, 0)}`
  switch (protocol) {
    case 6:
    case 17:
    case 132:
      return `${{ 6: 'tcp', 17: 'udp', 132: 'sctp' }[protocol]} ${src}#${u16(b, l4)} > ${dst}#${u16(b, l4 + 2)}`
    case 1:
    case 58: {
      const type = b[l4] as number
      const error = v6 ? type < 128 : [3, 4, 5, 11, 12].includes(type)
      if (error) return `icmp ${type}/${b[l4 + 1]} ${src} > ${dst} [${describe(b.subarray(l4 + 8))}]`
      return `icmp ${type} ${src}#${u16(b, l4 + 4)} > ${dst}`
    }
    default:
      return `${protocol} ${src} > ${dst}`
  }
}

/** Expects that all checksums of an IP packet are right. */
export function sound(b: Uint8Array): void {
  const v6 = (b[0] as number) >>> 4 === 6
  if (!v6) expect(ipv4.checksumOk(b, 0)).toBe(true)
  if (v6 ? ipv6.nextHeader(b, 0) === 44 : ipv4.isFragment(b, 0)) return
  const l4 = v6 ? 40 : ipv4.headerLength(b, 0)
  switch (v6 ? ipv6.nextHeader(b, 0) : ipv4.protocol(b, 0)) {
    case 6:
      expect(tcp.checksumOk(b, 0, l4, b.length)).toBe(true)
      break
    case 17:
      if (b.length >= l4 + 8) expect(udp.checksumOk(b, 0, l4)).toBe(true)
      break
    case 1:
      expect(icmp.checksumOk(b, l4, b.length)).toBe(true)
      break
    case 58:
      expect(icmpv6.checksumOk(b, 0, l4, b.length)).toBe(true)
      break
  }
}
