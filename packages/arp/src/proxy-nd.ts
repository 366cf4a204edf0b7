import { type Batch, type Clock, Drop, type Element, type Frame, type FramePool, type Ticker } from '@l2l3/switch-core'
import { eth, formatMac, icmpv6, ipv6 } from '@l2l3/switch-core/wire'
import { isUnspecified, linkLocal, parseHost, parseStationMac } from './address.ts'
import { AddressIndex, NO_ROW } from './address-index.ts'
import * as explain from './explain.ts'
import { Kind, Message, readMessage } from './message.ts'
import { AnswerDelay, type ProxyOptions, type ProxyRoutes, proxies } from './proxy.ts'
import { Speaker } from './speaker.ts'

/*
 * Proxy ND: neighbour solicitations answered on behalf of others (RFC 4861, 7.2.8), with O clear, so that an answer of
 * the address's owner stands against ours.
 *
 *   mode `entries`   answers for addresses that were added, as Linux' proxy_ndp does
 *   mode `any`       answers also for what a route leads to by another interface, or here: as proxy ARP does
 *
 * The advertisement comes from an address of our own (RFC 4861, 4.4) and says our MAC. Addresses of this node itself, a
 * link-local gateway say, are the Responder's or the neighbour table's: those have O set.
 */

/** Settings of a proxy for ND. */
export interface ProxyNdOptions extends ProxyOptions {
  /** Default `entries`. */
  mode?: 'entries' | 'any'
  /** For `any`. */
  routes?: ProxyRoutes
  /** For `any`: the interface the questions come in by, as `routes` names it. */
  interface?: unknown
  /** For `any`: whether only what has a route is answered for. Default true. */
  requireRoute?: boolean
  /** Whether duplicate address detection is answered. Default: `entries` does, as Linux; `any` does not. */
  answerProbes?: boolean
  /** Our address. Default: the link-local address of the MAC. */
  address?: string
  /** Whether answers have the R flag. Default false. */
  router?: boolean
  /** Addresses that can be added; 1 to 1,048,576. Default 1,024. */
  maxEntries?: number
}

/** Answers neighbour solicitations for others. With a delay, `tick` is to be called every 10 ms or so. */
export class ProxyNd implements Element, Ticker {
  /** Whether anything is answered. */
  enabled = true
  readonly #pool: FramePool
  readonly #any: boolean
  readonly #routes: ProxyRoutes
  readonly #interface: unknown
  readonly #requireRoute: boolean
  readonly #probes: boolean
  readonly #flags: number
  readonly #mac: Uint8Array
  readonly #address: Uint8Array
  readonly #entries: AddressIndex
  readonly #speaker: Speaker
  readonly #delay: AnswerDelay
  readonly #m = new Message()

  constructor(pool: FramePool, clock: Clock, options: ProxyNdOptions) {
    const mode = options.mode ?? 'entries'
    if (mode !== 'entries' && mode !== 'any') {
      throw new RangeError(`mode must be 'entries' or 'any', not ${String(mode)}`)
    }
    if (mode === 'any' && !options.routes?.lookup6) throw new RangeError("routes: mode 'any' needs lookup6")
    if (mode === 'any' && options.interface === undefined) throw new TypeError("interface: mode 'any' needs it")
    this.#pool = pool
    this.#any = mode === 'any'
    this.#routes = options.routes ?? {}
    this.#interface = options.interface
    this.#requireRoute = options.requireRoute ?? true
    this.#probes = options.answerProbes ?? !this.#any
    this.#flags = options.router ? icmpv6.NaFlag.Router : 0
    this.#mac = parseStationMac('mac', options.mac)
    this.#address = options.address === undefined ? linkLocal(this.#mac) : ipv6Host('address', options.address)
    this.#entries = new AddressIndex(options.maxEntries ?? 1024)
    this.#speaker = new Speaker(pool, this.#mac, options.out)
    this.#delay = new AnswerDelay(pool, clock, this.#mac, options)
  }

  /** Answers that have left or wait for their time: not those for which the pool or the delay queue had no room. */
  get counters(): { answered: number } {
    return { answered: this.#speaker.sent - this.#delay.frames.refused }
  }

  /** Answers that wait for their time. */
  get waiting(): number {
    return this.#delay.frames.length
  }

  /** Answers for an address from now on. Throws where it makes no sense, or there is no room. */
  add(address: string): void {
    const v6 = ipv6Host('address', address)
    if (this.#entries.find6(v6, 0) === NO_ROW && this.#entries.add6(v6, 0) === NO_ROW) {
      throw new RangeError(`address ${address}: no room (maxEntries ${this.#entries.max})`)
    }
  }

  /** Answers for an address no more; false where it was not there. */
  remove(address: string): boolean {
    const row = this.#entries.find6(ipv6Host('address', address), 0)
    if (row !== NO_ROW) this.#entries.remove(row)
    return row !== NO_ROW
  }

  /** Lists the addresses that were added. */
  *list(): Generator<string> {
    for (let row = 0; row < this.#entries.max; row++) if (this.#entries.family[row] !== 0) yield this.#entries.text(row)
  }

  process(batch: Batch): void {
    let n = 0
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      if (readMessage(this.#pool, f, this.#m) === Kind.Solicitation && this.#m.tags === 0 && this.#answer(f)) {
        this.#pool.drop(f, Drop.Consumed)
      } else batch.frames[n++] = f
    }
    batch.length = n
  }

  tick(now: number): void {
    this.#delay.tick(now)
  }

  #answer(f: Frame): boolean {
    const b = this.#pool.bytes
    const o = this.#pool.off[f]
    const m = this.#m
    const alone = eth.equalMac(b, o, this.#mac, 0)
    if (!this.enabled || !(alone || eth.isGroup(b, o)) || eth.equalMac(b, o + eth.SRC, this.#mac, 0)) return false
    const probe = isUnspecified(b, m.l3 + ipv6.SRC)
    if (probe && !this.#probes) return false
    if (!this.#answersFor(b, m.at + icmpv6.TARGET)) return false
    if (this.#pool.trace !== null) {
      explain.answers(
        this.#speaker,
        f,
        'proxy ND',
        Kind.Solicitation,
        m,
        `on behalf of its owner, with ${formatMac(this.#mac)}`,
      )
    }
    this.#speaker.answer6(b, m, this.#flags, this.#address, this.#mac, this.#delay.sink(alone || probe))
    return true
  }

  #answersFor(b: Uint8Array, target: number): boolean {
    if (this.#entries.find6(b, target) !== NO_ROW) return true
    // Nothing behind another interface is link-local, loopback or unspecified.
    if (!this.#any || (b[target] === 0xfe && (b[target + 1] & 0xc0) === 0x80) || isNodeLocal(b, target)) return false
    return proxies(this.#routes.lookup6?.(b, target), this.#interface, this.#requireRoute)
  }
}

/** Tells whether the address at `at` is :: or ::1. */
function isNodeLocal(b: Uint8Array, at: number): boolean {
  for (let i = 0; i < 15; i++) if (b[at + i] !== 0) return false
  return b[at + 15] <= 1
}

function ipv6Host(key: string, text: string): Uint8Array {
  const a = parseHost(key, text)
  if (a.family !== 6) throw new TypeError(`${key}: ${JSON.stringify(text)} is no IPv6 address`)
  return a.v6
}
