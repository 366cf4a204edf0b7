import { ipv4, ipv6, udp } from '@l2l3/switch-core/wire'
import { ipText } from '../address.ts'
import type { PacketError } from './icmp-error.ts'
import { udpFrame } from './packet.ts'
import { type Stack, same } from './stack.ts'

/*
 * Datagrams to an echo service (RFC 862), sent one after the other: each must come back as it was. They differ from each
 * other, so that one that comes late, or twice, is known for what it is.
 */

/** A series of datagrams. */
export interface Echoing {
  sent: number
  /** Datagrams that came back as they were. */
  received: number
  /** Whether all that came back were such that had been sent. */
  intact: boolean
  /** Why it ended without all of them; null while it goes on and when all came. */
  problem: string | null
  done: boolean
}

interface Running extends Echoing {
  readonly address: Uint8Array
  readonly port: number
  readonly own: number
  readonly count: number
  readonly bytes: number
  readonly timeout: number
  deadline: number
}

/** The datagrams of a host that are to come back. */
export class Datagrams {
  readonly #stack: Stack
  readonly #running: Running[] = []

  constructor(stack: Stack) {
    this.#stack = stack
  }

  /** When the next datagram counts as lost; Infinity where none is out. */
  get nextTimer(): number {
    return Math.min(Number.POSITIVE_INFINITY, ...this.#running.map(({ deadline }) => deadline))
  }

  /** Does what is due. */
  tick(): void {
    const { now } = this.#stack.clock
    for (const series of [...this.#running]) if (now >= series.deadline) this.#next(series)
  }

  /** See `MemoryHost.datagrams`. */
  send(address: Uint8Array, port: number, count: number, bytes: number, timeout: number): Echoing {
    const own = 49_152 + (this.#stack.number() % 16_384)
    const state = { sent: 0, received: 0, intact: true, problem: null, done: false, deadline: 0 }
    const series: Running = { address, port, own, count, bytes, timeout, ...state }
    const headers = (address.length === 16 ? ipv6.HLEN : ipv4.HLEN) + udp.HLEN
    const { mtu } = this.#stack
    if (headers + bytes > mtu) return { ...series, done: true, problem: `${bytes} bytes do not fit the MTU` }
    if (this.#stack.source(address) === null) return { ...series, done: true, problem: 'no route to the address' }
    this.#running.push(series)
    this.#next(series)
    return series
  }

  /** A datagram has come; says whether it was for one of these. */
  receive(src: Uint8Array, from: number, to: number, data: Uint8Array): boolean {
    const series = this.#running.find((s) => s.own === to)
    if (series === undefined) return false
    // Who sends from elsewhere is not who was asked.
    if (from !== series.port || !same(src, series.address)) return true
    if (same(data, payload(series.bytes, series.sent))) {
      series.received++
      this.#next(series)
    } else if (!this.#earlier(series, data)) series.intact = false
    return true
  }

  /** A router, or the other end, says why a datagram does not come back. */
  failed(src: Uint8Array, error: PacketError): void {
    const series = this.#running.find((s) => ((s.own << 16) | s.port) >>> 0 === error.rest)
    if (series === undefined) return
    series.problem = `${error.what} from ${ipText(src)}`
    this.#next(series)
  }

  #earlier({ bytes, sent }: Running, data: Uint8Array): boolean {
    for (let i = 1; i < sent; i++) if (same(data, payload(bytes, i))) return true
    return false
  }

  #next(series: Running): void {
    if (series.sent === series.count) {
      series.done = true
      if (series.received < series.sent && series.problem === null) series.problem = 'no answer'
      this.#running.splice(this.#running.indexOf(series), 1)
      return
    }
    series.sent++
    series.deadline = this.#stack.clock.now + series.timeout
    const { address, own, port, bytes, sent } = series
    const src = this.#stack.source(address) as Uint8Array
    const data = payload(bytes, sent)
    this.#stack.send(
      src,
      address,
      (ends) => udpFrame(ends, own, port, data),
      () => {
        series.problem = 'no such neighbour'
      },
    )
  }
}

/** What the `n`-th datagram has in it. */
function payload(bytes: number, n: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, i) => (i < 2 ? n >> (8 * i) : i + n) & 0xff)
}
