import {
  type Batch,
  type Clock,
  checkRange,
  Drop,
  type Element,
  type Frame,
  type FramePool,
  type Link,
  type LocalTaker,
  type Neighbours,
  NO_FRAME,
  type Prefix,
  parsePrefix,
} from '@l2l3/switch-core'
import { copy, eth, formatIpv4, icmp, ipv4, parseIpv4, put16, put32, u16, u32 } from '@l2l3/switch-core/wire'
import * as explain from './explain.ts'
import { IpTunnel, type IpTunnelCounters, type IpTunnelOptions } from './ip-tunnel.ts'
import { UdpShim } from './udp-shim.ts'

/*
 * flannel's UDP backend (proxy_amd64.c; modes.md 11): a process between a TUN and a UDP socket.
 *
 *     pod -> node A, TTL - 1 -> flannel0 -> process, TTL - 1 -> UDP 8285 -> process, TTL - 1 -> flannel0 -> node B, TTL - 1 -> pod
 *
 *     | outer IPv4 | UDP 8285 | inner IPv4 ... |       no header of its own
 *
 * It is a router that does not say so. The inner TTL falls by one on the way into the datagram and by one on the way out, and
 * where it would be zero the packet ends without an ICMP error: traceroute sees two hops that do not answer. Where no route
 * leads to, it says "net unreachable", quoting the header and 8 bytes, with a TTL of 8, from the address of the TUN; never
 * about ICMP or a fragment other than the first, nor about what went to a group.
 *
 * Routes are tried in their order, and the one that matched changes places with the first. So it is not the longest prefix
 * that wins where two overlap, and not even the same one every time. They are the node's subnets, which do not.
 */

/** A subnet and the node that has it. */
export interface FlannelRoute {
  /** `10.244.2.0/24` */
  to: string
  /** The node's address. */
  via: string
}

/** Settings of the backend; the other fields are those of a tunnel. */
export interface FlannelUdpOptions extends Omit<IpTunnelOptions, 'remote'> {
  /** The TUN's address, from which errors are. */
  address: string
  /** Default 8285. */
  port?: number
  /** Routes that it starts with. */
  routes?: readonly FlannelRoute[]
  /** Routes that it takes at most. Default 1,024. */
  maxRoutes?: number
}

interface Row {
  readonly to: string
  readonly prefix: Prefix
  readonly via: number
}

const ERROR_TTL = 8
const QUOTE = 8

/** The UDP backend of one node: stands behind the interface `flannel0`. */
export class FlannelUdp implements Element {
  /** Unwraps what comes from an underlay that is a port. */
  readonly decap: Element
  /** Unwraps what is for it: for `Router.onLocal`. */
  readonly take: LocalTaker
  /** Knows the next hops of the interface. */
  readonly neighbours: Neighbours
  readonly #pool: FramePool
  readonly #tunnel: IpTunnel
  readonly #into: Link
  readonly #address: number
  readonly #mac: Uint8Array
  readonly #rows: Row[] = []
  readonly #most: number
  #unreachable = 0

  /** Throws for settings that make no sense, with key and value. */
  constructor(pool: FramePool, clock: Clock, options: FlannelUdpOptions) {
    const port = checkRange('port', options.port ?? 8285, 1, 65_535)
    // A UDP socket's packets: its own TTL and TOS, path MTU discovery on.
    const { profile, udpChecksum = true, ...rest } = options
    const usual = { ttl: 64, df: 'set', ecnIngress: 'compatibility', ...(profile && { profile }) } as const
    this.#tunnel = new IpTunnel(pool, clock, new UdpShim(pool, port, udpChecksum), {
      ...usual,
      ...rest,
      remote: 'next-hop',
    })
    this.decap = this.#tunnel.decap
    this.take = this.#tunnel.take
    this.neighbours = this.#tunnel.neighbours
    this.#pool = pool
    this.#into = options.into
    this.#mac = eth.parseMac(options.mac as string)
    this.#most = checkRange('maxRoutes', options.maxRoutes ?? 1024, 1, 65_536)
    try {
      this.#address = parseIpv4(options.address)
    } catch (error) {
      throw new TypeError(`address: ${(error as Error).message}`, { cause: error })
    }
    for (const route of options.routes ?? []) this.addRoute(route)
  }

  /** The MTU for the interface: the underlay's less 28. */
  get mtu(): number {
    return this.#tunnel.mtu
  }

  get counters(): IpTunnelCounters & { readonly unreachable: number } {
    return { ...this.#tunnel.counters, unreachable: this.#unreachable }
  }

  /** The routes in the order in which they are tried now. */
  get routes(): readonly FlannelRoute[] {
    return this.#rows.map(({ to, via }) => ({ to, via: formatIpv4(via) }))
  }

  /** Adds a route behind the others, or gives the one to the same prefix another node. Throws where it is none. */
  addRoute(route: FlannelRoute): void {
    const prefix = parsePrefix(route.to)
    if (prefix.words.length !== 1) throw new RangeError(`to must be an IPv4 prefix, not ${route.to}`)
    const row: Row = { to: route.to, prefix, via: parseIpv4(route.via) }
    const at = this.#find(prefix)
    if (at !== -1) this.#rows[at] = row
    else if (this.#rows.length === this.#most) throw new RangeError(`there are ${this.#most} routes already: maxRoutes`)
    else this.#rows.push(row)
  }

  /** Takes a route away; false where there is none. */
  deleteRoute(to: string): boolean {
    const at = this.#find(parsePrefix(to))
    if (at === -1) return false
    this.#rows.splice(at, 1)
    return true
  }

  #find(p: Prefix): number {
    return this.#rows.findIndex((r) => r.prefix.words[0] === p.words[0] && r.prefix.length === p.length)
  }

  /** What the process reads from the TUN. */
  process(batch: Batch): void {
    let n = 0
    for (let i = 0; i < batch.length; i++) {
      const f = this.#route(batch.frames[i] as Frame)
      if (f !== NO_FRAME) batch.frames[n++] = f
    }
    batch.length = n
    if (n > 0) this.#tunnel.process(batch)
  }

  #route(f: Frame): Frame | -1 {
    const pool = this.#pool
    const b = pool.bytes
    const o = pool.off[f] as number
    const l3 = o + eth.HLEN
    const end = o + (pool.len[f] as number)
    if (!eth.fits(o, end) || eth.type(b, o) !== eth.EtherType.IPv4) return this.#end(f, Drop.NotIp)
    if (ipv4.checkHeader(b, l3, end) === -1) return this.#end(f, Drop.Malformed)
    const via = this.#lookup(u32(b, l3 + ipv4.DST))
    if (via === 0) {
      if (pool.trace !== null) explain.tunnelSays(pool, f, `no node has ${formatIpv4(u32(b, l3 + ipv4.DST))}`)
      this.#sayUnreachable(f, l3, end)
      return this.#end(f, Drop.NoRoute)
    }
    if (ipv4.ttl(b, l3) <= 1) return this.#end(f, Drop.TtlExceeded)
    const g = pool.own(f)
    if (g === NO_FRAME) return g
    const at = pool.off[g] as number
    ipv4.decrementTtl(pool.bytes, at + eth.HLEN)
    put16(pool.bytes, at, 0x0200)
    put32(pool.bytes, at + 2, via)
    if (pool.trace !== null) this.#say(g, at + eth.HLEN, via)
    return g
  }

  /** Says by which route a packet goes: the one that was found stands first. */
  #say(f: Frame, l3: number, via: number): void {
    const ttl = ipv4.ttl(this.#pool.bytes, l3)
    explain.tunnelSays(
      this.#pool,
      f,
      `flannel route ${this.#rows[0]?.to} via ${formatIpv4(via)}, TTL ${ttl + 1} -> ${ttl}`,
    )
  }

  #end(f: Frame, why: Drop): -1 {
    this.#pool.drop(f, why)
    return NO_FRAME
  }

  #lookup(ip: number): number {
    const rows = this.#rows
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i] as Row
      const { length, words } = row.prefix
      if (length !== 0 && (ip ^ (words[0] as number)) >>> (32 - length) !== 0) continue
      rows[i] = rows[0] as Row
      rows[0] = row
      return row.via
    }
    return 0
  }

  /** Tells the sender that no node has the destination. */
  #sayUnreachable(f: Frame, l3: number, end: number): void {
    const pool = this.#pool
    const b = pool.bytes
    const header = ipv4.headerLength(b, l3)
    if (ipv4.protocol(b, l3) === ipv4.Protocol.Icmp || (u16(b, l3 + 6) & 0x1fff) !== 0) return
    if (u32(b, l3 + ipv4.DST) >>> 28 >= 14 || u32(b, l3 + ipv4.SRC) >>> 28 >= 14) return
    const quote = header + QUOTE
    if (end - l3 < quote) return
    const g = pool.alloc()
    if (g === NO_FRAME) return
    const at = pool.off[g] as number
    const ip = eth.write(b, at, this.#mac, this.#mac, eth.EtherType.IPv4)
    const message = ipv4.HLEN + icmp.HLEN + quote
    put32(b, ip, 0x4500_0000 | message)
    put32(b, ip + 4, 0)
    put16(b, ip + ipv4.TTL, (ERROR_TTL << 8) | ipv4.Protocol.Icmp)
    put32(b, ip + ipv4.SRC, this.#address)
    copy(b, ip + ipv4.DST, b, l3 + ipv4.SRC, 4)
    ipv4.fillChecksum(b, ip)
    const to = icmp.write(b, ip + ipv4.HLEN, icmp.Type.Unreachable, icmp.Unreachable.Net)
    b.copyWithin(to, l3, l3 + quote)
    icmp.fillChecksum(b, ip + ipv4.HLEN, to + quote)
    pool.len[g] = to + quote - at
    pool.port[g] = pool.port[f] as number
    pool.ledger.originate(1)
    this.#unreachable++
    if (pool.trace?.follows(f)) pool.trace.derived(f, g, 'tunnel', 'ICMP error, "network unreachable"')
    this.#into.push(g)
  }
}
