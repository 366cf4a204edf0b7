import { icmp, ipv4, ipv6 } from '@l2l3/switch-core/wire'
import { ipText } from '../address.ts'
import type { PacketError } from './icmp-error.ts'
import { echoFrame } from './packet.ts'
import { type Stack, same } from './stack.ts'

/*
 * Pings and traces of routes: echo requests, sent one after the other, and what comes of each.
 *
 *     request -> reply, ICMP error or silence -> the next request
 */

/** A series of echo requests. */
export interface Ping {
  sent: number
  received: number
  /** Why it ended without all answers; null while it goes on and when all came. */
  problem: string | null
  done: boolean
}

interface RunningPing extends Ping {
  readonly address: Uint8Array
  readonly id: number
  readonly count: number
  readonly data: Uint8Array
  readonly timeout: number
  /** When the request that was sent last counts as unanswered. */
  deadline: number
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

/** The pings and traces of a host. */
export class Echoes {
  readonly #stack: Stack
  readonly #pings: RunningPing[] = []
  readonly #traces: RunningTrace[] = []

  constructor(stack: Stack) {
    this.#stack = stack
  }

  /** When the next request counts as unanswered; Infinity where none is out. */
  get nextTimer(): number {
    let next = Number.POSITIVE_INFINITY
    for (const ping of this.#pings) next = Math.min(next, ping.deadline)
    for (const trace of this.#traces) next = Math.min(next, trace.deadline)
    return next
  }

  /** Does what is due. */
  tick(): void {
    const { now } = this.#stack.clock
    for (const ping of [...this.#pings]) if (now >= ping.deadline) this.#next(ping)
    for (const trace of [...this.#traces]) if (now >= trace.deadline) this.#hop(trace, null)
  }

  /** See `MemoryHost.ping`. */
  ping(address: Uint8Array, count: number, bytes: number, timeout: number): Ping {
    const data = Uint8Array.from({ length: bytes }, (_, i) => i & 0xff)
    const id = this.#stack.number() & 0xffff
    const ping = { address, id, count, data, timeout, sent: 0, received: 0, problem: null, done: false, deadline: 0 }
    const headers = (address.length === 16 ? ipv6.HLEN : ipv4.HLEN) + icmp.HLEN
    if (headers + bytes > this.#stack.mtu) return { ...ping, done: true, problem: `${bytes} bytes do not fit the MTU` }
    if (this.#stack.source(address) === null) return { ...ping, done: true, problem: 'no route to the address' }
    this.#pings.push(ping)
    this.#next(ping)
    return ping
  }

  /** See `MemoryHost.traceroute`. */
  trace(address: Uint8Array, timeout: number): RouteTrace {
    const id = this.#stack.number() & 0xffff
    const trace = { address, id, timeout, hops: [], problem: null, done: false, deadline: 0 }
    if (this.#stack.source(address) === null) return { ...trace, done: true, problem: 'no route to the address' }
    this.#traces.push(trace)
    this.#probe(trace)
    return trace
  }

  /** A reply has come; `rest` is its `id << 16 | sequence`. */
  reply(src: Uint8Array, rest: number, data: Uint8Array): void {
    const ping = this.#pings.find((p) => ((p.id << 16) | p.sent) >>> 0 === rest && same(p.address, src))
    const trace = this.#traces.find((t) => probeOf(t) === rest && same(t.address, src))
    if (trace !== undefined) this.#hop(trace, src)
    if (ping === undefined || !same(data, ping.data)) return
    ping.received++
    this.#next(ping)
  }

  /** A router, or the other end, says why a request is not answered. */
  failed(src: Uint8Array, error: PacketError): void {
    const trace = this.#traces.find((t) => probeOf(t) === error.rest)
    if (trace !== undefined) this.#hop(trace, src, !error.timeExceeded)
    const ping = this.#pings.find((p) => ((p.id << 16) | p.sent) >>> 0 === error.rest)
    if (ping === undefined) return
    ping.problem = `${error.what} from ${ipText(src)}`
    this.#next(ping)
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
    trace.deadline = this.#stack.clock.now + trace.timeout
    const rest = probeOf(trace)
    this.#request(trace.address, 'probe', rest, new Uint8Array(32), trace.hops.length + 1, () => {})
  }

  #next(ping: RunningPing): void {
    if (ping.sent === ping.count) {
      ping.done = true
      if (ping.received < ping.sent && ping.problem === null) ping.problem = 'no answer'
      this.#pings.splice(this.#pings.indexOf(ping), 1)
      return
    }
    ping.sent++
    ping.deadline = this.#stack.clock.now + ping.timeout
    this.#request(ping.address, 'ping', (ping.id << 16) | ping.sent, ping.data, 64, () => {
      ping.problem = 'no such neighbour'
    })
  }

  #request(
    dst: Uint8Array,
    kind: 'ping' | 'probe',
    rest: number,
    data: Uint8Array,
    hops: number,
    unanswered: () => void,
  ): void {
    const src = this.#stack.source(dst) as Uint8Array
    this.#stack.send(src, dst, (ends) => echoFrame(ends, kind, rest, data, hops), unanswered)
  }
}

/** `id << 16 | sequence` of the probe that is out. */
function probeOf(trace: RunningTrace): number {
  return ((trace.id << 16) | (trace.hops.length + 1)) >>> 0
}
