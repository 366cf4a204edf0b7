import { type Clock, checkRange, type FramePool, MILLISECOND, type Ticker } from '@l2l3/switch-core'
import { macSeed } from './address.ts'
import { DelayedFrames } from './delayed.ts'
import { type Dice, seededDice } from './dice.ts'
import type { FrameSink } from './speaker.ts'

/*
 * What a proxy must know of routes, and when its answers leave.
 */

/** Where a route leads, as far as a proxy is concerned. */
export interface ProxyRoute {
  /** `unicast`: to hosts by an interface; `local`: an address of this node; `blackhole` and `unreachable`: nowhere,
   * without and with an ICMP error; `broadcast`: to all hosts of a link. */
  readonly kind: 'unicast' | 'local' | 'blackhole' | 'unreachable' | 'broadcast'
  /** The interface it leaves by: whatever names one, compared by `===` with the proxy's own. */
  readonly out?: unknown
  /** Of a route that has several: tells whether one of them is `out`. Asked instead of comparing, where it is there. */
  leavesBy?(out: unknown): boolean
}

/** A routing table, as a proxy asks it: the longest match; null or undefined where there is none. Called for each
 * question, so it should give objects that it has, and make none. The `Router` of switch-core is one. */
export interface ProxyRoutes {
  lookup4?(ip: number): ProxyRoute | null | undefined
  /** @param at where the 16 bytes of the address stand in `bytes` */
  lookup6?(bytes: Uint8Array, at: number): ProxyRoute | null | undefined
}

/** Tells whether a proxy on interface `own` answers for an address with this route: it leads to another
 * interface, or to this node. Without a route, `requireRoute` decides. */
export function proxies(route: ProxyRoute | null | undefined, own: unknown, requireRoute: boolean): boolean {
  if (route === null || route === undefined) return !requireRoute
  if (route.kind !== 'unicast') return route.kind === 'local'
  return route.leavesBy === undefined ? route.out !== own : !route.leavesBy(own)
}

/** Settings that both proxies share. */
export interface ProxyOptions {
  /** MAC of the interface, which is what answers say. */
  mac: string
  /** The link back to where the questions come from. */
  out: FrameSink
  /** Answers leave after a random time below this, in milliseconds; 0 to 60,000. Default 0: at once, as Calico sets it
   * (Linux' own default is 800). Questions to our MAC alone are answered at once. */
  delayMaxMs?: number
  /** Answers that wait at most; 1 to 65,536. Default 64 (Linux proxy_qlen). */
  delayQueue?: number
  /** Dice for the delay. Default: seeded by the MAC. */
  random?: Dice
}

/** Holds answers back for a random time. */
export class AnswerDelay implements Ticker {
  readonly frames: DelayedFrames
  readonly #clock: Clock
  readonly #max: number
  readonly #dice: Dice
  readonly #out: FrameSink

  constructor(pool: FramePool, clock: Clock, mac: Uint8Array, o: ProxyOptions) {
    this.#clock = clock
    this.#max = checkRange('delayMaxMs', o.delayMaxMs ?? 0, 0, 60_000) * MILLISECOND
    this.#dice = o.random ?? seededDice(macSeed(mac))
    this.#out = o.out
    this.frames = new DelayedFrames(pool, o.out, o.delayQueue ?? 64)
  }

  /** Where the next answer goes: out, or into the queue. */
  sink(atOnce: boolean): FrameSink {
    if (atOnce || this.#max === 0) return this.#out
    this.frames.due = this.#clock.now + this.#dice() * this.#max
    return this.frames
  }

  tick(now: number): void {
    this.frames.tick(now)
  }
}
