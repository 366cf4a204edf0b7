import { ipv4, ipv6, tcp } from '@l2l3/switch-core/wire'
import { tcpFrame } from './packet.ts'
import type { Stack } from './stack.ts'
import { Connection, type Listener, type Segment } from './tcp.ts'

/*
 * The TCP of a host: connections that it has begun, by the port that they come from, and those that it was asked for, by who
 * asked and at which port.
 */

/** Who serves a port: is given each new connection, and gives whoever listens to it. */
export type Serve = (connection: Connection) => Listener

/** A connection that this host has begun. */
export interface Outgoing {
  readonly connection: Connection
  /** The address and port that it comes from. */
  readonly from: Uint8Array
  readonly port: number
}

/** A connection that this host was asked for. */
interface Incoming {
  readonly connection: Connection
  readonly listener: Listener
}

/** Connections that others have begun and that are remembered at most. */
const INCOMING = 1024

/** Connections of a host. */
export class TcpPorts {
  readonly #stack: Stack
  /** Differs between hosts and ports, and is the same in every run. */
  readonly #isn: (port: number) => number
  readonly #served: Map<number, Serve> = new Map()
  readonly #outgoing: Map<number, Connection> = new Map()
  readonly #incoming: Map<string, Incoming> = new Map()

  /** @param isn gives the first sequence number of connections by a port */
  constructor(stack: Stack, isn: (port: number) => number) {
    this.#stack = stack
    this.#isn = isn
  }

  /** When the next timer is due; Infinity where none runs. */
  get nextTimer(): number {
    let next = Number.POSITIVE_INFINITY
    for (const connection of this.#outgoing.values()) next = Math.min(next, connection.nextTimer)
    for (const { connection } of this.#incoming.values()) next = Math.min(next, connection.nextTimer)
    return next
  }

  /** Does what is due. */
  tick(): void {
    for (const connection of this.#outgoing.values()) connection.tick()
    for (const { connection } of this.#incoming.values()) connection.tick()
  }

  /** Takes connections at a port in. Whoever served it before does so no longer. */
  serve(port: number, serve: Serve): void {
    this.#served.set(port, serve)
  }

  /** Makes a connection to a port of an address, which is not opened yet. Null where there is no route. */
  connection(address: Uint8Array, to: number): Outgoing | null {
    const from = this.#stack.source(address)
    if (from === null) return null
    const port = 49_152 + (this.#stack.number() % 16_384)
    const connection = this.#connection(from, address, port, to, this.#isn(port))
    this.#outgoing.set(port, connection)
    return { connection, from, port }
  }

  /** Whoever listens at this host to a connection, whoever it seems to come from; undefined where none was opened. */
  listenerOf({ from, port, connection }: Outgoing): Listener | undefined {
    const itself = `${from.join()} ${port} `
    const known = Array.from(this.#incoming).filter(([, { connection: other }]) => other.peerIsn === connection.isn)
    return (known.findLast(([key]) => key.startsWith(itself)) ?? known.at(-1))?.[1].listener
  }

  /** A segment has come from a port of `other` to a port of the own address. */
  segment(own: Uint8Array, other: Uint8Array, from: number, to: number, segment: Segment): void {
    const outgoing = this.#outgoing.get(to)
    if (outgoing !== undefined) {
      outgoing.receive(segment)
      return
    }
    const serve = this.#served.get(to)
    if (serve === undefined) {
      this.#refuse(own, other, from, to, segment)
      return
    }
    const key = `${other.join()} ${from} ${to}`
    let incoming = this.#incoming.get(key)
    const asks = (segment.flags & tcp.Flag.Syn) !== 0
    if (incoming === undefined || (asks && incoming.connection.peerIsn !== segment.seq)) {
      const [oldest] = this.#incoming.keys()
      if (oldest !== undefined && this.#incoming.size >= INCOMING) this.#incoming.delete(oldest)
      const connection = this.#connection(own, other, to, from, this.#isn(from))
      incoming = { connection, listener: serve(connection) }
      connection.listener = incoming.listener
      this.#incoming.delete(key)
      this.#incoming.set(key, incoming)
    }
    incoming.connection.receive(segment)
  }

  /** A router says that a segment from one port to another was too big for the way on: the rest of its connection has
   * smaller ones (RFC 1191, RFC 8201). */
  tooBig(port: number, to: number, mtu: number, family: 4 | 6): void {
    const mss = Math.max(mtu, family === 6 ? 1280 : 576) - headers(family)
    this.#outgoing.get(port)?.shrink(mss)
    for (const [key, { connection }] of this.#incoming) if (key.endsWith(` ${to} ${port}`)) connection.shrink(mss)
  }

  /** Somebody on the way says that what a port has sent did not get there: a connection that is being opened ends, as in
   * kernels (RFC 1122 4.2.3.9), one that is open goes on. */
  unreachable(port: number): void {
    this.#outgoing.get(port)?.unreachable()
  }

  #connection(own: Uint8Array, other: Uint8Array, port: number, to: number, isn: number): Connection {
    const mss = this.#stack.mtu - headers(other.length === 16 ? 6 : 4)
    return new Connection(this.#stack.clock, isn, mss, (fields, length, fill) => {
      this.#stack.send(own, other, (ends) => tcpFrame(ends, { ...fields, srcPort: port, dstPort: to }, length, fill))
    })
  }

  /** Answers a segment to a port that nobody serves (RFC 9293 3.10.7.1). */
  #refuse(own: Uint8Array, other: Uint8Array, from: number, to: number, segment: Segment): void {
    const { Rst, Ack, Syn } = tcp.Flag
    if ((segment.flags & Rst) !== 0) return
    const ack = (segment.seq + segment.data.length + ((segment.flags & Syn) !== 0 ? 1 : 0)) >>> 0
    const fields = (segment.flags & Ack) !== 0 ? { seq: segment.ack, flags: Rst } : { ack, flags: Rst | Ack }
    this.#stack.send(own, other, (ends) => tcpFrame(ends, { ...fields, srcPort: to, dstPort: from }, 0, () => {}))
  }
}

function headers(family: 4 | 6): number {
  return (family === 6 ? ipv6.HLEN : ipv4.HLEN) + tcp.HLEN
}
