import { checkRange, type Loop } from '@l2l3/switch-core'
import { type Pollable, WaitSet } from './wait-set.ts'

/*
 * The switch as a guest of Node's event loop, beside timers, servers and sockets:
 *
 *     descriptor readable ->  turn, turn, ... until idle, or for a millisecond  -> idle: back to sleep
 *                                                                               -> busy: setImmediate, turn again
 *
 * A wake-up costs one call from the addon into JavaScript, whatever the number of ports. The millisecond keeps the rest of
 * the process alive under load: between two of them the event loop does everything else that is due.
 *
 * A loop that spins stays awake for some microseconds after its last frame, as `runBlocking` does, and under the same conditions: not
 * while super-frames flow, nor where frames are far apart. One that polls busily never goes to sleep: the event loop gets a look
 * at everything else each millisecond.
 */

/** Settings of `runOnEventLoop`. */
export interface EventLoopOptions {
  /** How long the loop turns at most before the process gets its turn; 10 to 100,000 microseconds. Default 1,000. */
  budgetMicros?: number
  /** How long to spin before sleeping, 0 (never) to 1,000 microseconds; or Infinity: busy polling, which never sleeps and takes a whole
   * core. Default 0. */
  spinMicros?: number
}

/** A loop that runs. */
export interface Runner {
  /** Stops the loop for good, before the next turn; the ports stay open. */
  stop(): Promise<void>
  /** Has the loop look for work now: for ports without a descriptor, which cannot wake it. */
  wake(): void
  /** Is woken by another port's descriptor, too, from now on; one that is closed is forgotten by itself. Throws a
   * `TapError` for a port without one. */
  watch(port: Pollable): void
  /** Settles when the loop has stopped; rejects with what an element has thrown. */
  readonly done: Promise<void>
}

/** How often ports are asked whether their device still exists, in milliseconds. */
const CHECK = 1000
/** Wake-ups in a row that may bring no work, before the loop looks away for a while; and for how many milliseconds. */
const IN_VAIN = 64
const LOOK_AWAY = 10
/** Gaps longer than so many spins, on average, are slept through. */
const LONG_GAP = 10
/** Milliseconds that a gap counts for at most: small talk is noticed soon after a long rest. */
const LONGEST_GAP = 50

class EventLoopRunner implements Runner {
  readonly done: Promise<void>
  readonly #loop: Loop
  readonly #ports: WaitSet
  readonly #budget: number
  /** In milliseconds. */
  readonly #spin: number
  readonly #settle: (error?: unknown) => void
  readonly #checks: NodeJS.Timeout
  #stopped = false
  #inVain = 0
  #soon: NodeJS.Immediate | undefined
  #ticker: NodeJS.Timeout | undefined
  #tickerAt: number = Number.NaN
  #away: NodeJS.Timeout | undefined
  /** Milliseconds between frames, lately, and since when there was none; 0 while there is. */
  #gap = 0
  #idleSince = 0

  constructor(loop: Loop, ports: Iterable<Pollable>, budgetMicros: number, spinMicros: number) {
    this.#loop = loop
    this.#budget = budgetMicros / 1000
    this.#spin = spinMicros / 1000
    this.#ports = new WaitSet(ports)
    let settle: (error?: unknown) => void = () => {}
    this.done = new Promise((resolve, reject) => {
      settle = (error) => (error === undefined ? resolve() : reject(error))
    })
    this.#settle = settle
    try {
      this.#ports.watch(this.#readable)
      // Whoever never sleeps need not be woken.
      if (this.#isBusy) this.#ports.pause(true)
    } catch (error) {
      this.#ports.close()
      throw error
    }
    this.#checks = setInterval(() => this.#ports.checkAll(), CHECK)
    this.wake()
  }

  get #isBusy(): boolean {
    return this.#spin === Number.POSITIVE_INFINITY
  }

  stop(): Promise<void> {
    this.#end()
    return this.done
  }

  wake(): void {
    if (!this.#stopped) this.#soon ??= setImmediate(this.#immediate)
  }

  watch(port: Pollable): void {
    if (this.#stopped) return
    this.#ports.add(port)
    this.wake()
  }

  #end(error?: unknown): void {
    if (this.#stopped) return
    this.#stopped = true
    clearImmediate(this.#soon)
    clearTimeout(this.#ticker)
    clearTimeout(this.#away)
    clearInterval(this.#checks)
    this.#ports.close()
    this.#settle(error)
  }

  readonly #readable = (): void => {
    if (this.#stopped || this.#soon !== undefined) return
    if (this.#turn()) {
      this.#inVain = 0
      return
    }
    if (this.#stopped) return
    this.#ports.examine()
    if (++this.#inVain < IN_VAIN) return
    // Something is readable that no port of the loop reads.
    this.#inVain = 0
    this.#ports.pause(true)
    this.#away = setTimeout(this.#lookBack, LOOK_AWAY)
  }

  readonly #immediate = (): void => {
    this.#soon = undefined
    this.#turn()
  }

  readonly #lookBack = (): void => this.#ports.pause(false)

  readonly #tick = (): void => {
    this.#tickerAt = Number.NaN
    this.#turn()
  }

  /** Turns until idle or for the budget; says whether there was anything to do. */
  #turn(): boolean {
    const loop = this.#loop
    let worked = false
    let met = false
    try {
      const until = performance.now() + this.#budget
      while (!this.#stopped) {
        if (loop.turn() > 0 || loop.busy) {
          worked = true
          met = false
          if (this.#idleSince !== 0) this.#noteGap()
        } else if (!this.#isBusy) {
          // What a spin has met, and no port of the loop reads, is left to `#readable`.
          if (this.#spin === 0 || met || !this.#linger()) break
          met = true
          continue
        }
        if (performance.now() < until) continue
        this.wake()
        break
      }
    } catch (error) {
      this.#end(error)
    }
    if (!this.#stopped) this.#armTicker()
    return worked
  }

  #noteGap(): void {
    const gap = Math.min(performance.now() - this.#idleSince, LONGEST_GAP)
    this.#gap += (gap - this.#gap) / 8
    this.#idleSince = 0
  }

  /** Spins for a while, if that is worth it; says whether a frame came meanwhile. A spin ends before the next ticker is due. */
  #linger(): boolean {
    if (this.#idleSince === 0) this.#idleSince = performance.now()
    if (this.#gap > LONG_GAP * this.#spin || this.#ports.bulk) return false
    const { nextTick, clock } = this.#loop
    const most = Math.min(this.#spin * 1e6, nextTick - clock.now)
    return most > 0 && this.#ports.idle(most, 0)
  }

  /** Sets a timer for the next ticker, unless it is set already. */
  #armTicker(): void {
    const { nextTick, clock } = this.#loop
    if (nextTick === this.#tickerAt) return
    clearTimeout(this.#ticker)
    this.#tickerAt = nextTick
    if (nextTick === Number.POSITIVE_INFINITY) return
    const wait = Math.ceil((nextTick - clock.now) / 1e6)
    this.#ticker = setTimeout(this.#tick, Math.min(Math.max(wait, 1), 2 ** 31 - 1))
  }
}

/** Runs a loop on the event loop of this thread, woken by the descriptors of `ports`: those of the loop's ports that have
 * one. Throws a `TapError` for a port without one. */
export function runOnEventLoop(loop: Loop, ports: Iterable<Pollable>, options: EventLoopOptions = {}): Runner {
  const budget = checkRange('budgetMicros', options.budgetMicros ?? 1000, 10, 100_000)
  const spin = options.spinMicros ?? 0
  if (spin !== Number.POSITIVE_INFINITY) checkRange('spinMicros', spin, 0, 1000)
  return new EventLoopRunner(loop, ports, budget, spin)
}
