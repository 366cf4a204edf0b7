import { type Batch, type Clock, Drop, type Element, type Frame, type FramePool, type Ticker } from '@l2l3/switch-core'
import { arp, eth, formatIpv4, formatMac } from '@l2l3/switch-core/wire'
import { isHost4, isStation, parseStationMac } from './address.ts'
import * as explain from './explain.ts'
import { Kind, Message, readMessage } from './message.ts'
import { AnswerDelay, type ProxyOptions, type ProxyRoutes, proxies } from './proxy.ts'
import { Speaker } from './speaker.ts'

/*
 * Proxy ARP (RFC 1027), by which a pod with a /32 address reaches everything through 169.254.1.1, which nobody has:
 *
 *     pod 10.244.1.5 ── "who has 169.254.1.1?" ──> cali1  ee:ee:ee:ee:ee:ee      a default route leads out by eth0:
 *                    <── "169.254.1.1 is at ee:.." ──     ProxyArp               so the node will take it
 *
 *   question                                                     answer (Linux 6.18, measured, rp_filter 0)
 *   for what a route leads to by another interface, or here      ours, to the asker alone, if spa is some host's
 *   for what no route leads to                                   none, unless `requireRoute` is off
 *   for what a route leads to by the interface it came in by     none
 *   for what a blackhole, unreachable or broadcast route covers  none
 *   with spa 0.0.0.0 (a probe)                                   none, unless `answerProbes` is on
 *   with spa 0.x, 127.x, 224.0.0.0 or above                      none (Linux answers 0.0.0.7 and 240.0.0.1)
 *   with an spa that a route says is this node's own             none
 *   with an spa whose route is not by this interface             ours, unless `strictSource` is on (Linux rp_filter 1: none)
 *   with spa equal to tpa                                        none (Linux answers where a route leads elsewhere)
 *   with a sha that is zero or a group's                         none (Linux answers)
 *   that is an answer                                            none
 *   for 127.0.0.0/8                                              none, unless `routeLocalnet` is on
 *   for multicast, 255.255.255.255, 0.0.0.0                      none
 *   to another MAC than ours                                     none
 *
 * Where we are stricter than Linux it is because no station asks so: an announcement is no question, and an answer to a
 * group would tell all. What is not answered goes through, unchanged.
 */

/** Settings of a proxy for ARP. */
export interface ProxyArpOptions extends ProxyOptions {
  routes: ProxyRoutes
  /** The interface the questions come in by, as `routes` names it. */
  interface: unknown
  /** Whether probes are answered, as Docker's overlay does, which breaks duplicate address detection. Default false. */
  answerProbes?: boolean
  /** Whether only what has a route is answered for. Default true. */
  requireRoute?: boolean
  /** Whether 127.0.0.0/8 is an address like others (Linux route_localnet, which Calico sets). Default false. */
  routeLocalnet?: boolean
  /** Whether only those are answered whose own address has its route by this interface, as Linux has it where rp_filter is 1,
   * which Calico sets. Default false. */
  strictSource?: boolean
}

/** Answers ARP requests for addresses that a route leads to. With a delay, `tick` is to be called every 10 ms or so. */
export class ProxyArp implements Element, Ticker {
  /** Whether anything is answered. */
  enabled = true
  readonly #pool: FramePool
  readonly #routes: ProxyRoutes
  readonly #interface: unknown
  readonly #probes: boolean
  readonly #requireRoute: boolean
  readonly #localnet: boolean
  readonly #strictSource: boolean
  readonly #mac: Uint8Array
  readonly #speaker: Speaker
  readonly #delay: AnswerDelay
  readonly #m = new Message()

  /** Throws where a setting makes no sense. */
  constructor(pool: FramePool, clock: Clock, options: ProxyArpOptions) {
    const needsRoutes = options.requireRoute ?? true
    if (needsRoutes && typeof options.routes?.lookup4 !== 'function') {
      throw new TypeError('routes: must have lookup4, unless requireRoute is off')
    }
    if (needsRoutes && options.interface === undefined) {
      throw new TypeError('interface: is undefined, so that questions would be answered back to where a route leads')
    }
    this.#pool = pool
    this.#routes = options.routes ?? {}
    this.#interface = options.interface
    this.#probes = options.answerProbes ?? false
    this.#requireRoute = needsRoutes
    this.#localnet = options.routeLocalnet ?? false
    this.#strictSource = options.strictSource ?? false
    this.#mac = parseStationMac('mac', options.mac)
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

  process(batch: Batch): void {
    let n = 0
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      if (readMessage(this.#pool, f, this.#m) === Kind.Arp && this.#m.tags === 0 && this.#answer(f)) {
        this.#pool.drop(f, Drop.Consumed)
      } else batch.frames[n++] = f
    }
    batch.length = n
  }

  tick(now: number): void {
    this.#delay.tick(now)
  }

  /** Drops the answers that wait: nobody is there for them any more. */
  close(): void {
    this.#delay.frames.close()
  }

  #answer(f: Frame): boolean {
    const b = this.#pool.bytes
    const o = this.#pool.off[f]
    const { at } = this.#m
    if (!this.enabled || arp.op(b, at) !== arp.Op.Request) return false
    const alone = eth.equalMac(b, o, this.#mac, 0)
    const sha = at + arp.SHA
    if (!(alone || eth.isGroup(b, o)) || !isStation(b, sha) || eth.equalMac(b, sha, this.#mac, 0)) return false
    const spa = arp.spa(b, at)
    const tpa = arp.tpa(b, at)
    if (spa === tpa || (spa === 0 && !this.#probes)) return false
    if (spa !== 0 && (!isHost4(spa) || spa >>> 28 > 13 || this.#routes.lookup4?.(spa)?.kind === 'local')) return false
    if (!((isHost4(tpa) && tpa >>> 28 < 14) || (this.#localnet && tpa >>> 24 === 127))) return false
    if (spa !== 0 && this.#strictSource && !this.#isBehind(spa)) {
      if (this.#pool.trace !== null) this.#say(f, false, `no route to ${formatIpv4(spa)} is by this interface`)
      return false
    }
    const route = this.#routes.lookup4?.(tpa)
    const answers = proxies(route, this.#interface, this.#requireRoute)
    if (this.#pool.trace !== null) this.#say(f, answers, explain.whither(route))
    if (!answers) return false
    this.#speaker.answer4(b, at, this.#mac, this.#delay.sink(alone))
    return true
  }

  /** Whether the route to an address is by the interface. */
  #isBehind(ip: number): boolean {
    const route = this.#routes.lookup4?.(ip)
    return route?.kind === 'unicast' && !proxies(route, this.#interface, true)
  }

  #say(f: Frame, answers: boolean, why: string): void {
    if (answers)
      explain.answers(
        this.#speaker,
        f,
        'proxy ARP',
        Kind.Arp,
        this.#m,
        `${why}, so it is at ${formatMac(this.#mac)} for this link`,
      )
    else
      explain.say(
        this.#pool,
        f,
        'proxy ARP',
        `${explain.asked(this.#pool, Kind.Arp, this.#m)} is not answered for: ${why}`,
      )
  }
}
