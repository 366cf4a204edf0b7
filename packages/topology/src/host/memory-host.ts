import type { Clock } from '@l2l3/switch-core'
import { arp, eth, icmp, icmpv6, ipv4, ipv6, tcp, u32, udp } from '@l2l3/switch-core/wire'
import { type Address, ipText, macBytes, onLink } from '../address.ts'
import type { EndpointSpec } from '../topology.ts'
import { type EchoError, echoError4, echoError6, type SegmentTooBig, tooBig4, tooBig6 } from './icmp-error.ts'
import { Neighbours } from './neighbours.ts'
import * as packet from './packet.ts'
import { Receiver, type Segment, Sender } from './tcp.ts'

/*
 * A small host without an operating system, on the far side of a port. It answers ARP requests, neighbour
 * solicitations, echo requests and UDP datagrams to port 7; it asks for its neighbours, pings, traces routes, and
 * transfers over TCP.
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

/** A series of echo requests. */
export interface Ping {
  sent: number
  received: number
  /** Why it ended without all answers; null while it goes on and when all came. */
  problem: string | null
  done: boolean
}

/** Longest path that a trace looks for. */
export const HOPS = 16

/** A trace of a route, by echo requests with a time to live of 1, 2, 3, ... */
export interface RouteTrace {
  /** Who has answered, in order, the end last if it was reached; null for a hop that did not. */
  readonly hops: (Uint8Array | null)[]
  /** Why it could not begin; null where it could. */
  readonly problem: string | null
  done: boolean
}

interface RunningTrace extends RouteTrace {
  readonly address: Uint8Array
  readonly id: number
  readonly timeout: number
  deadline: number
}

/** A transfer over TCP: its sending end, and the address and port that it comes from. */
export interface Transfer {
  readonly sender: Sender
  readonly from: Uint8Array
  readonly port: number
}

/** A receiver is known by the address and port that its stream comes from: at most so many of them. */
const RECEIVERS = 1024

interface RunningPing extends Ping {
  readonly address: Uint8Array
  readonly id: number
  readonly count: number
  readonly data: Uint8Array
  readonly timeout: number
  /** When the request that was sent last counts as unanswered. */
  deadline: number
}

/** A host in memory. */
export class MemoryHost {
  readonly name: string
  readonly mac: Uint8Array
  readonly addresses: readonly Address[]
  readonly neighbours: Neighbours
  readonly #mtu: number
  readonly #clock: Clock
  readonly #send: (frame: Uint8Array) => void
  readonly #groups: Uint8Array[]
  readonly #gateways: readonly Address[]
  readonly #pings: RunningPing[] = []
  readonly #traces: RunningTrace[] = []
  readonly #senders: Map<number, Sender> = new Map()
  readonly #receivers: Map<string, Receiver> = new Map()
  readonly #listening: Set<number> = new Set([TRANSFER_PORT])
  readonly #upper: ipv6.Upper = new ipv6.Upper()
  #ids = 0

  /**
   * @param gateways by which it reaches other networks than its own: at most one of each IP version
   * @param send puts a frame on the wire
   */
  constructor(spec: EndpointSpec, gateways: readonly Address[], clock: Clock, send: (frame: Uint8Array) => void) {
    this.name = spec.name
    this.mac = macBytes(spec.mac)
    this.addresses = spec.addresses
    this.#gateways = gateways
    this.#mtu = spec.mtu
    this.#clock = clock
    this.#send = send
    this.neighbours = new Neighbours(clock, (address) => this.#solicit(address))
    const groups = spec.addresses.filter((a) => a.family === 6).map((a) => packet.solicitedNode(a.bytes))
    this.#groups = [eth.BROADCAST, packet.groupMac(packet.ALL_NODES), ...groups.map(packet.groupMac)]
  }

  /** When the next timer is due; Infinity where none runs. */
  get nextTimer(): number {
    let next = this.neighbours.nextTimer
    for (const ping of this.#pings) next = Math.min(next, ping.deadline)
    for (const trace of this.#traces) next = Math.min(next, trace.deadline)
    for (const sender of this.#senders.values()) next = Math.min(next, sender.nextTimer)
    return next
  }

  /** Does what is due. */
  tick(): void {
    this.neighbours.tick()
    for (const ping of [...this.#pings]) if (this.#clock.now >= ping.deadline) this.#nextEcho(ping)
    for (const trace of [...this.#traces]) if (this.#clock.now >= trace.deadline) this.#hop(trace, null)
    for (const sender of this.#senders.values()) sender.tick()
  }

  /**
   * Pings an address: each request is sent when the one before was answered or has waited for `timeout` nanoseconds.
   * What is returned changes as time goes on.
   */
  ping(address: Uint8Array, count: number, bytes: number, timeout: number): Ping {
    const data = Uint8Array.from({ length: bytes }, (_, i) => i & 0xff)
    const id = ++this.#ids & 0xffff
    const ping = { address, id, count, data, timeout, sent: 0, received: 0, problem: null, done: false, deadline: 0 }
    const headers = (address.length === 16 ? ipv6.HLEN : ipv4.HLEN) + icmp.HLEN
    if (headers + bytes > this.#mtu) return { ...ping, done: true, problem: `${bytes} bytes do not fit the MTU` }
    if (this.#source(address) === null) return { ...ping, done: true, problem: 'no route to the address' }
    this.#pings.push(ping)
    this.#nextEcho(ping)
    return ping
  }

  /**
   * Traces the route to an address: each probe is sent when the one before was answered or has waited for `timeout`
   * nanoseconds. What is returned changes as time goes on.
   */
  traceroute(address: Uint8Array, timeout: number): RouteTrace {
    const id = ++this.#ids & 0xffff
    const trace = { address, id, timeout, hops: [], problem: null, done: false, deadline: 0 }
    if (this.#source(address) === null) return { ...trace, done: true, problem: 'no route to the address' }
    this.#traces.push(trace)
    this.#probe(trace)
    return trace
  }

  /** Takes transfers in at a port, too. */
  listen(port: number): void {
    this.#listening.add(port)
  }

  /** Sends `bytes` bytes to a port of an address over a TCP connection. Null where there is no route. */
  transfer(address: Uint8Array, bytes: number, to: number = TRANSFER_PORT): Transfer | null {
    const src = this.#source(address)
    if (src === null) return null
    const port = 49_152 + (++this.#ids % 16_384)
    const sender = new Sender(this.#clock, bytes, this.#isn(port), this.#mss(address), (fields, length, fill) => {
      this.#to(src, address, (ends) => {
        return packet.tcpFrame(ends, { ...fields, srcPort: port, dstPort: to }, length, fill)
      })
    })
    this.#senders.set(port, sender)
    return { sender, from: src, port }
  }

  /** What this host has taken in over the connection of a transfer to it, whoever it seemed to come from; undefined where
   * none was opened. */
  receiver(transfer: Transfer): Receiver | undefined {
    const { from, port, sender } = transfer
    const direct = this.#receivers.get(`${from.join()} ${port}`)
    if (direct?.peerIsn === sender.isn) return direct
    return Array.from(this.#receivers.values()).findLast((r) => r.peerIsn === sender.isn)
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
    const gateway = this.#gateways.find((g) => g.bytes.length === address.length)
    if (gateway === undefined) return null
    const own = this.addresses.filter((a) => a.family === gateway.family)
    return (own.find((a) => onLink(a, gateway.bytes)) ?? own[0])?.bytes ?? null
  }

  /** Who on the link gets what is for an address: itself, or the gateway. */
  #nextHop(address: Uint8Array): Uint8Array {
    if (this.addresses.some((a) => onLink(a, address))) return address
    return this.#gateways.find((g) => g.bytes.length === address.length)?.bytes ?? address
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
    if (forMe && arp.op(b, o) === arp.Op.Request) {
      this.#send(packet.arpFrame(arp.Op.Reply, this.mac, tpa, sha, spa))
    }
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
      else if (icmp.type(b, at) === icmp.Type.EchoReply) this.#echoReply(src, b, at, end)
      else {
        this.#echoFailed(src, echoError4(b, at, end))
        this.#tooBig(src, tooBig4(b, at, end))
      }
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
    else if (type === icmpv6.Type.EchoReply) this.#echoReply(src, b, at, end)
    else {
      this.#echoFailed(src, echoError6(b, at, end))
      this.#tooBig(src, tooBig6(b, at, end))
    }
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
    this.#to(dst, src, (ends) => packet.echoFrame(ends, true, rest, data))
  }

  #echoReply(src: Uint8Array, b: Uint8Array, at: number, end: number): void {
    const rest = u32(b, at + icmp.ID)
    const data = b.subarray(at + icmp.HLEN, end)
    const ping = this.#pings.find((p) => ((p.id << 16) | p.sent) >>> 0 === rest && same(p.address, src))
    const trace = this.#traces.find((t) => probeOf(t) === rest && same(t.address, src))
    if (trace !== undefined) this.#hop(trace, src)
    if (ping === undefined || !same(data, ping.data)) return
    ping.received++
    this.#nextEcho(ping)
  }

  /** A router, or the other end, says why an echo request is not answered. */
  #echoFailed(src: Uint8Array, error: EchoError | null): void {
    if (error === null) return
    const trace = this.#traces.find((t) => probeOf(t) === error.rest)
    if (trace !== undefined) this.#hop(trace, src, !error.timeExceeded)
    const ping = this.#pings.find((p) => ((p.id << 16) | p.sent) >>> 0 === error.rest)
    if (ping === undefined) return
    ping.problem = `${error.what} from ${ipText(src)}`
    this.#nextEcho(ping)
  }

  /** A router says that a segment was too big for the way on: the rest of its connection has smaller ones (RFC 1191, RFC
   * 8201). */
  #tooBig(src: Uint8Array, said: SegmentTooBig | null): void {
    if (said === null) return
    const least = src.length === 16 ? 1280 : 576
    const headers = (src.length === 16 ? ipv6.HLEN : ipv4.HLEN) + tcp.HLEN
    this.#senders.get(said.port)?.shrink(Math.max(said.mtu, least) - headers)
  }

  /** Notes who answered the probe that is out, and sends the next one unless that was the end. */
  #hop(trace: RunningTrace, from: Uint8Array | null, last = false): void {
    trace.hops.push(from)
    if (last || trace.hops.length === HOPS || (from !== null && same(from, trace.address))) {
      trace.done = true
      this.#traces.splice(this.#traces.indexOf(trace), 1)
    } else this.#probe(trace)
  }

  #probe(trace: RunningTrace): void {
    trace.deadline = this.#clock.now + trace.timeout
    const rest = probeOf(trace)
    this.#echo(trace.address, rest, new Uint8Array(32), trace.hops.length + 1, () => {})
  }

  #echo(dst: Uint8Array, rest: number, data: Uint8Array, hops: number, unanswered: () => void): void {
    const src = this.#source(dst) as Uint8Array
    this.#to(src, dst, (ends) => packet.echoFrame(ends, false, rest, data, hops), unanswered)
  }

  #nextEcho(ping: RunningPing): void {
    if (ping.sent === ping.count) {
      ping.done = true
      if (ping.received < ping.sent && ping.problem === null) ping.problem = 'no answer'
      this.#pings.splice(this.#pings.indexOf(ping), 1)
      return
    }
    ping.sent++
    ping.deadline = this.#clock.now + ping.timeout
    this.#echo(ping.address, (ping.id << 16) | ping.sent, ping.data, 64, () => {
      ping.problem = 'no such neighbour'
    })
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
      if (udp.check(b, at, end) < 0 || !udp.checksumOk(b, ip, at) || udp.dstPort(b, at) !== ECHO_PORT) return
      const data = b.slice(at + udp.HLEN, at + udp.length(b, at))
      const port = udp.srcPort(b, at)
      this.#to(dst, src, (ends) => packet.udpFrame(ends, ECHO_PORT, port, data))
    } else if (protocol === ipv4.Protocol.Tcp) {
      const data = tcp.check(b, at, end)
      if (data < 0 || !tcp.checksumOk(b, ip, at, end)) return
      this.#segment(dst, src, tcp.srcPort(b, at), tcp.dstPort(b, at), {
        seq: tcp.seq(b, at),
        ack: tcp.ack(b, at),
        flags: tcp.flags(b, at),
        window: tcp.window(b, at),
        mss: tcp.mss(b, at),
        data: b.subarray(data, end),
      })
    }
  }

  /** A segment has come from `other` to the own address. */
  #segment(own: Uint8Array, other: Uint8Array, from: number, to: number, segment: Segment): void {
    const sender = this.#senders.get(to)
    if (sender !== undefined) {
      sender.receive(segment)
      return
    }
    const reply = (fields: Omit<tcp.TcpFields, 'srcPort' | 'dstPort'>): void => {
      const ports = { srcPort: to, dstPort: from }
      this.#to(own, other, (ends) => packet.tcpFrame(ends, { ...fields, ...ports }, 0, () => {}))
    }
    if (!this.#listening.has(to)) {
      if ((segment.flags & tcp.Flag.Rst) !== 0) return
      const { Rst, Ack, Syn } = tcp.Flag
      const ack = (segment.seq + segment.data.length + ((segment.flags & Syn) !== 0 ? 1 : 0)) >>> 0
      reply((segment.flags & Ack) !== 0 ? { seq: segment.ack, flags: Rst } : { ack, flags: Rst | Ack })
      return
    }
    const key = `${other.join()} ${from}`
    let receiver = this.#receivers.get(key)
    if (receiver === undefined) {
      const [oldest] = this.#receivers.keys()
      if (oldest !== undefined && this.#receivers.size >= RECEIVERS) this.#receivers.delete(oldest)
      receiver = new Receiver(this.#isn(from), this.#mss(other), reply)
      this.#receivers.set(key, receiver)
    }
    receiver.receive(segment)
  }

  #mss(address: Uint8Array): number {
    return this.#mtu - (address.length === 16 ? ipv6.HLEN : ipv4.HLEN) - tcp.HLEN
  }

  /** A first sequence number that differs between hosts and ports, and is the same in every run. */
  #isn(port: number): number {
    return (u32(this.mac, 2) ^ (port * 0x9e3779b1)) >>> 0
  }
}

/** `id << 16 | sequence` of the probe that is out. */
function probeOf(trace: RunningTrace): number {
  return ((trace.id << 16) | (trace.hops.length + 1)) >>> 0
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i])
}
