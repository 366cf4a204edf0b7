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
 */

/** Settings of `runOnEventLoop`. */
export interface EventLoopOptions {
  /** How long the loop turns at most before the process gets its turn; 10 to 100,000 microseconds. Default 1,000. */
  budgetMicros?: number
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

class EventLoopRunner implements Runner {
  readonly done: Promise<void>
  readonly #loop: Loop
  readonly #ports: WaitSet
  readonly #budget: number
  readonly #settle: (error?: unknown) => void
  readonly #checks: NodeJS.Timeout
  #stopped = false
  #inVain = 0
  #soon: NodeJS.Immediate | undefined
  #ticker: NodeJS.Timeout | undefined
  #tickerAt: number = Number.NaN
  #away: NodeJS.Timeout | undefined

  constructor(loop: Loop, ports: Iterable<Pollable>, budgetMicros: number) {
    this.#loop = loop
    this.#budget = budgetMicros / 1000
    this.#ports = new WaitSet(ports)
    let settle: (error?: unknown) => void = () => {}
    this.done = new Promise((resolve, reject) => {
      settle = (error) => (error === undefined ? resolve() : reject(error))
    })
    this.#settle = settle
    try {
      this.#ports.watch(this.#readable)
    } catch (error) {
      this.#ports.close()
      throw error
    }
    this.#checks = setInterval(() => this.#ports.checkAll(), CHECK)
    this.wake()
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
    try {
      const until = performance.now() + this.#budget
      while (!this.#stopped) {
        const work = loop.turn()
        if (work === 0 && !loop.busy) break
        worked = true
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
  return new EventLoopRunner(loop, ports, budget)
}
