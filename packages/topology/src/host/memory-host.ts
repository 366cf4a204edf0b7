import type { Clock } from '@l2l3/switch-core'
import { arp, eth, icmp, icmpv6, ipv4, ipv6, tcp, u32, udp } from '@l2l3/switch-core/wire'
import { type Address, ipText, macBytes, onLink } from '../address.ts'
import type { EndpointSpec, HostRoute } from '../topology.ts'
import { type Arping, Arpings } from './arping.ts'
import { Datagrams, type Echoing } from './datagrams.ts'
import { Echoes, type Ping, type RouteTrace } from './echo.ts'
import { getPage, type HttpAnswer, type Page, servePages } from './http.ts'
import { type PacketError, packetError4, packetError6 } from './icmp-error.ts'
import { Neighbours } from './neighbours.ts'
import * as packet from './packet.ts'
import { type Stack, same } from './stack.ts'
import type { Connection } from './tcp.ts'
import { type Outgoing, TcpPorts } from './tcp-ports.ts'
import { pattern, Receiver } from './transfer.ts'

/*
 * A small host without an operating system, on the far side of a port. It answers ARP requests, neighbour
 * solicitations, echo requests and UDP datagrams to port 7; it asks for its neighbours, pings, traces routes, transfers
 * over TCP, asks for pages and serves them.
 *
 *     receive(frame) -> is it for me? -> ARP | IPv4 | IPv6 -> answer, or note what was awaited -> send(frame)
 *
 * It speaks with hosts of its own networks, and with all others by its gateway, of which it has at most one of each IP
 * version. So do its answers: they go where its routes and its neighbour cache say, whoever brought the question, and
 * nowhere without a route; a way that has no way back is found to have none. It does not fragment, and sends each frame as it would be
 * on a wire, checksums computed, in an array of its own. Time is the clock's; `nextTimer` and `tick` are its timers.
 */

/** Port of the echo service (RFC 862). */
const ECHO_PORT = 7
/** Port that transfers go to. */
const TRANSFER_PORT = 5001

/** A transfer over TCP: its sending end, and the address and port that it comes from. */
export type Transfer = Outgoing

/** A request for a page, and what has come of it. */
export interface PageRequest {
  readonly connection: Connection
  readonly answer: HttpAnswer
}

/** A host in memory. */
export class MemoryHost {
  readonly name: string
  readonly mac: Uint8Array
  readonly addresses: readonly Address[]
  readonly neighbours: Neighbours
  readonly #send: (frame: Uint8Array) => void
  readonly #groups: Uint8Array[]
  readonly #gateways: readonly Address[]
  readonly #routes: readonly HostRoute[]
  readonly #echoes: Echoes
  readonly #datagrams: Datagrams
  readonly #arpings: Arpings
  readonly #tcp: TcpPorts
  /** Datagrams that its echo service has sent back. */
  echoed = 0
  /** UDP ports with an echo service. */
  readonly #echoing: Set<number> = new Set([ECHO_PORT])
  readonly #pages: Map<number, Map<string, Page>> = new Map()
  readonly #upper: ipv6.Upper = new ipv6.Upper()
  #numbers = 0

  /**
   * @param gateways by which it reaches other networks than its own: at most one of each IP version
   * @param send puts a frame on the wire
   */
  constructor(spec: EndpointSpec, gateways: readonly Address[], clock: Clock, send: (frame: Uint8Array) => void) {
    this.name = spec.name
    this.mac = macBytes(spec.mac)
    this.addresses = spec.addresses
    this.#gateways = gateways
    // The longest prefix first.
    this.#routes = (spec.routes ?? []).toSorted((a, b) => b.to.prefix - a.to.prefix)
    this.#send = send
    this.neighbours = new Neighbours(clock, (address) => this.#solicit(address))
    for (const { address, mac } of spec.neighbours ?? []) this.neighbours.add(address.bytes, macBytes(mac))
    const groups = spec.addresses.filter((a) => a.family === 6).map((a) => packet.solicitedNode(a.bytes))
    this.#groups = [eth.BROADCAST, packet.groupMac(packet.ALL_NODES), ...groups.map(packet.groupMac)]
    const stack: Stack = {
      clock,
      mtu: spec.mtu,
      source: (address) => this.#source(address),
      send: (src, dst, frame, undelivered) => this.#to(src, dst, frame, undelivered),
      number: () => ++this.#numbers,
    }
    this.#echoes = new Echoes(stack)
    this.#datagrams = new Datagrams(stack)
    this.#arpings = new Arpings(clock, this.mac, send)
    this.#tcp = new TcpPorts(stack, (port) => this.#isn(port))
    this.listen(TRANSFER_PORT)
  }

  /** When the next timer is due; Infinity where none runs. */
  get nextTimer(): number {
    const parts = [this.neighbours, this.#echoes, this.#datagrams, this.#arpings, this.#tcp]
    return Math.min(...parts.map(({ nextTimer }) => nextTimer))
  }

  /** Does what is due. */
  tick(): void {
    for (const part of [this.neighbours, this.#echoes, this.#datagrams, this.#arpings, this.#tcp]) part.tick()
  }

  /**
   * Pings an address: each request is sent when the one before was answered or has waited for `timeout` nanoseconds.
   * What is returned changes as time goes on.
   */
  ping(address: Uint8Array, count: number, bytes: number, timeout: number): Ping {
    return this.#echoes.ping(address, count, bytes, timeout)
  }

  /**
   * Traces the route to an address: each probe is sent when the one before was answered or has waited for `timeout`
   * nanoseconds. What is returned changes as time goes on.
   */
  traceroute(address: Uint8Array, timeout: number): RouteTrace {
    return this.#echoes.trace(address, timeout)
  }

  /**
   * Sends datagrams to an echo service, each when the one before came back or has been gone for `timeout` nanoseconds. What
   * is returned changes as time goes on.
   */
  datagrams(address: Uint8Array, count: number, bytes: number, timeout: number, port: number = ECHO_PORT): Echoing {
    return this.#datagrams.send(address, port, count, bytes, timeout)
  }

  /** Has UDP datagrams to a port sent back, too. */
  echo(port: number): void {
    this.#echoing.add(port)
  }

  /**
   * Asks all on the link who has an IPv4 address, once a second; the last question waits for `timeout` nanoseconds. What
   * is returned changes as time goes on. Null where the host has no IPv4 address to ask from.
   */
  arping(address: Uint8Array, count: number, timeout: number): Arping | null {
    const own = this.#source(address) ?? this.addresses.find((a) => a.family === 4)?.bytes
    return own === undefined ? null : this.#arpings.ask(own, address, count, timeout)
  }

  /** Takes transfers in at a port, too. */
  listen(port: number): void {
    this.#tcp.serve(port, (connection) => new Receiver(connection))
  }

  /** Sends `bytes` bytes to a port of an address over a TCP connection. Null where there is no route. */
  transfer(address: Uint8Array, bytes: number, to: number = TRANSFER_PORT): Transfer | null {
    const transfer = this.#tcp.connection(address, to)
    transfer?.connection.say(pattern(bytes), true)
    transfer?.connection.connect()
    return transfer
  }

  /** What this host has taken in over the connection of a transfer to it, whoever it seemed to come from; undefined where
   * none was opened. */
  receiver(transfer: Transfer): Receiver | undefined {
    const listener = this.#tcp.listenerOf(transfer)
    return listener instanceof Receiver ? listener : undefined
  }

  /** Answers requests for a page at a TCP port by HTTP, and others there with 404. */
  serve(port: number, page: Page): void {
    const pages = this.#pages.get(port) ?? new Map<string, Page>()
    this.#pages.set(port, pages.set(page.url, page))
    this.#tcp.serve(port, (connection) => servePages(connection, (url) => pages.get(url)))
  }

  /** Asks for a page by HTTP. What is returned changes as time goes on. Null where there is no route. */
  get(address: Uint8Array, port: number, url: string): PageRequest | null {
    const request = this.#tcp.connection(address, port)
    if (request === null) return null
    const host = address.length === 16 ? `[${ipText(address)}]` : ipText(address)
    const { connection } = request
    return { connection, answer: getPage(connection, port === 80 ? host : `${host}:${port}`, url) }
  }

  /** Takes a frame from the wire. */
  receive(frame: Uint8Array): void {
    const end = frame.length
    if (!eth.fits(0, end)) return
    const mine = eth.equalMac(frame, 0, this.mac, 0) || this.#groups.some((g) => eth.equalMac(frame, 0, g, 0))
    if (!mine) return
    switch (eth.type(frame, 0)) {
      case eth.EtherType.Arp:
        this.#arp(frame, end)
        return
      case eth.EtherType.IPv4:
        this.#ipv4(frame, end)
        return
      case eth.EtherType.IPv6:
        this.#ipv6(frame, end)
    }
  }

  #owns(address: Uint8Array): boolean {
    return this.addresses.some((a) => same(a.bytes, address))
  }

  /** The own address that another is spoken to from: in its network, or in the gateway's, or any; null where the other
   * cannot be reached. */
  #source(address: Uint8Array): Uint8Array | null {
    const near = this.addresses.find((a) => onLink(a, address))
    if (near !== undefined) return near.bytes
    const gateway = this.#gatewayTo(address)
    if (gateway === undefined) return null
    const own = this.addresses.filter((a) => a.family === gateway.family)
    return (own.find((a) => onLink(a, gateway.bytes)) ?? own[0])?.bytes ?? null
  }

  /** Who on the link gets what is for an address: itself, or the gateway. */
  #nextHop(address: Uint8Array): Uint8Array {
    if (this.addresses.some((a) => onLink(a, address))) return address
    return this.#gatewayTo(address)?.bytes ?? address
  }

  /** By whom an address of another network is reached. */
  #gatewayTo(address: Uint8Array): Address | undefined {
    const route = this.#routes.find(({ to }) => onLink(to, address))
    return route?.via ?? this.#gateways.find((g) => g.bytes.length === address.length)
  }

  /** Sends a packet by the route to `dst`, once it is known who is next on it; where there is none, or nobody is there, it is
   * not sent. */
  #to(src: Uint8Array, dst: Uint8Array, frame: (ends: packet.Ends) => Uint8Array, undelivered = (): void => {}): void {
    if (this.#source(dst) === null) {
      undelivered()
      return
    }
    this.neighbours.resolve(this.#nextHop(dst), (dstMac) => {
      if (dstMac === null) undelivered()
      else this.#send(frame({ srcMac: this.mac, dstMac, src, dst }))
    })
  }

  #solicit(address: Uint8Array): void {
    const src = this.#source(address) as Uint8Array
    if (address.length === 4) {
      this.#send(packet.arpFrame(arp.Op.Request, this.mac, src, null, address))
      return
    }
    const dst = packet.solicitedNode(address)
    this.#send(packet.nsFrame({ srcMac: this.mac, dstMac: packet.groupMac(dst), src, dst }, address))
  }

  /** RFC 826: a pair that is known is updated, one that is not is noted only by whom it is for. */
  #arp(b: Uint8Array, end: number): void {
    const o = eth.HLEN
    if (!arp.check(b, o, end)) return
    const sha = b.slice(o + arp.SHA, o + arp.SPA)
    const spa = b.slice(o + arp.SPA, o + arp.THA)
    const tpa = b.slice(o + arp.TPA, o + arp.LENGTH)
    const forMe = this.#owns(tpa)
    // A probe (RFC 5227) has no sender address to learn.
    if (u32(spa, 0) !== 0) this.neighbours.learn(spa, sha, forMe)
    if (!forMe) return
    if (arp.op(b, o) === arp.Op.Request) this.#send(packet.arpFrame(arp.Op.Reply, this.mac, tpa, sha, spa))
    else if (arp.op(b, o) === arp.Op.Reply) this.#arpings.reply(spa, sha)
  }

  #ipv4(b: Uint8Array, frameEnd: number): void {
    const ip = eth.HLEN
    const at = ipv4.check(b, ip, frameEnd)
    if (at < 0 || !ipv4.checksumOk(b, ip) || ipv4.isFragment(b, ip)) return
    const end = ip + ipv4.totalLength(b, ip)
    const src = b.slice(ip + ipv4.SRC, ip + ipv4.DST)
    const dst = b.slice(ip + ipv4.DST, ip + ipv4.HLEN)
    if (!this.#owns(dst)) return
    if (ipv4.protocol(b, ip) === ipv4.Protocol.Icmp) {
      if (!icmp.check(b, at, end) || !icmp.checksumOk(b, at, end)) return
      if (icmp.type(b, at) === icmp.Type.Echo) this.#answerEcho(src, dst, b, at, end)
      else if (icmp.type(b, at) === icmp.Type.EchoReply) {
        this.#echoes.reply(src, u32(b, at + icmp.ID), b.subarray(at + icmp.HLEN, end))
      } else this.#failed(src, packetError4(b, at, end))
    } else this.#transport(ipv4.protocol(b, ip), src, dst, b, ip, at, end)
  }

  #ipv6(b: Uint8Array, frameEnd: number): void {
    const ip = eth.HLEN
    if (ipv6.check(b, ip, frameEnd) < 0) return
    const end = ip + ipv6.HLEN + ipv6.payloadLength(b, ip)
    const upper = this.#upper
    if (!ipv6.upper(b, ip, end, upper) || upper.fragment >= 0) return
    const src = b.slice(ip + ipv6.SRC, ip + ipv6.DST)
    const dst = b.slice(ip + ipv6.DST, ip + ipv6.HLEN)
    const at = upper.offset
    if (upper.protocol !== ipv4.Protocol.Icmpv6) {
      if (this.#owns(dst)) this.#transport(upper.protocol, src, dst, b, ip, at, end)
      return
    }
    if (!icmpv6.check(b, at, end) || !icmpv6.checksumOk(b, ip, at, end)) return
    const type = icmpv6.type(b, at)
    if (type === icmpv6.Type.NeighborSolicitation || type === icmpv6.Type.NeighborAdvertisement) {
      // RFC 4861 7.1: what crossed a router is none.
      if (ipv6.hopLimit(b, ip) === 255 && icmpv6.checkNd(b, at, end)) this.#nd(type, src, b, at, end)
    } else if (!this.#owns(dst)) return
    else if (type === icmpv6.Type.Echo) this.#answerEcho(src, dst, b, at, end)
    else if (type === icmpv6.Type.EchoReply) {
      this.#echoes.reply(src, u32(b, at + icmp.ID), b.subarray(at + icmp.HLEN, end))
    } else this.#failed(src, packetError6(b, at, end))
  }

  #nd(type: number, src: Uint8Array, b: Uint8Array, at: number, end: number): void {
    const target = b.slice(at + icmpv6.TARGET, at + icmpv6.TARGET + 16)
    const asked = type === icmpv6.Type.NeighborSolicitation
    const option = icmpv6.option(b, at, end, asked ? icmpv6.Option.SourceLinkLayer : icmpv6.Option.TargetLinkLayer)
    const mac = option < 0 ? b.slice(eth.SRC, eth.TYPE) : b.slice(option + 2, option + 8)
    if (!asked) {
      // An advertisement nobody asked for makes no entry (RFC 4861 7.2.5).
      this.neighbours.learn(target, mac, false)
      return
    }
    if (!this.#owns(target)) return
    const { Solicited, Override } = icmpv6.NaFlag
    if (src.every((byte) => byte === 0)) {
      // Somebody checks whether the address is free: all may know that it is not (RFC 4861 7.2.4).
      const dst = packet.ALL_NODES
      const ends = { srcMac: this.mac, dstMac: packet.groupMac(dst), src: target, dst }
      this.#send(packet.naFrame(ends, target, Override))
      return
    }
    if (option >= 0) this.neighbours.learn(src, mac, true)
    const ends = { srcMac: this.mac, dstMac: mac, src: target, dst: src }
    this.#send(packet.naFrame(ends, target, Solicited | Override))
  }

  #answerEcho(src: Uint8Array, dst: Uint8Array, b: Uint8Array, at: number, end: number): void {
    const rest = u32(b, at + icmp.ID)
    const data = b.slice(at + icmp.HLEN, end)
    this.#to(dst, src, (ends) => packet.echoFrame(ends, 'reply', rest, data))
  }

  /** A router, or the other end, says what became of a packet of this host. */
  #failed(src: Uint8Array, error: PacketError | null): void {
    if (error === null) return
    if (error.of === 'echo') this.#echoes.failed(src, error)
    else if (error.of === 'udp') this.#datagrams.failed(src, error)
    else if (error.mtu !== null) {
      this.#tcp.tooBig(error.rest >>> 16, error.rest & 0xffff, error.mtu, src.length === 16 ? 6 : 4)
    } else this.#tcp.unreachable(error.rest >>> 16)
  }

  #transport(
    protocol: number,
    src: Uint8Array,
    dst: Uint8Array,
    b: Uint8Array,
    ip: number,
    at: number,
    end: number,
  ): void {
    if (protocol === ipv4.Protocol.Udp) {
      if (udp.check(b, at, end) < 0 || !udp.checksumOk(b, ip, at)) return
      const data = b.slice(at + udp.HLEN, at + udp.length(b, at))
      const from = udp.srcPort(b, at)
      const to = udp.dstPort(b, at)
      if (this.#datagrams.receive(src, from, to, data)) return
      const serves = this.#echoing.has(to)
      if (serves) this.echoed++
      this.#to(dst, src, (ends) =>
        serves ? packet.udpFrame(ends, to, from, data) : packet.portUnreachableFrame(ends, b, ip, end),
      )
    } else if (protocol === ipv4.Protocol.Tcp) {
      const data = tcp.check(b, at, end)
      if (data < 0 || !tcp.checksumOk(b, ip, at, end)) return
      this.#tcp.segment(dst, src, tcp.srcPort(b, at), tcp.dstPort(b, at), {
        seq: tcp.seq(b, at),
        ack: tcp.ack(b, at),
        flags: tcp.flags(b, at),
        window: tcp.window(b, at),
        mss: tcp.mss(b, at),
        data: b.subarray(data, end),
      })
    }
  }

  /** A first sequence number that differs between hosts and ports, and is the same in every run. */
  #isn(port: number): number {
    return (u32(this.mac, 2) ^ (port * 0x9e3779b1)) >>> 0
  }
}
