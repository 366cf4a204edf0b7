import { type Clock, SECOND } from '@l2l3/switch-core'
import { arp, formatMac } from '@l2l3/switch-core/wire'
import { arpFrame } from './packet.ts'
import { same } from './stack.ts'

/* Who has an address? Asked of all on the link again and again, whatever is known already: as arping does. */

/** From one request to the next, in nanoseconds. */
const INTERVAL: number = SECOND

/** A series of ARP requests. */
export interface Arping {
  sent: number
  /** The MAC address that answered, for each request that was answered: of several the first. */
  readonly macs: string[]
  done: boolean
}

interface Running extends Arping {
  readonly own: Uint8Array
  readonly address: Uint8Array
  readonly count: number
  readonly timeout: number
  answered: boolean
  deadline: number
}

/** The requests of a host. */
export class Arpings {
  readonly #clock: Clock
  readonly #mac: Uint8Array
  readonly #send: (frame: Uint8Array) => void
  readonly #running: Running[] = []

  /** @param mac the host's */
  constructor(clock: Clock, mac: Uint8Array, send: (frame: Uint8Array) => void) {
    this.#clock = clock
    this.#mac = mac
    this.#send = send
  }

  /** When something is to be done next; Infinity for never. */
  get nextTimer(): number {
    return Math.min(Number.POSITIVE_INFINITY, ...this.#running.map(({ deadline }) => deadline))
  }

  /** Does what is due. */
  tick(): void {
    for (const series of [...this.#running]) if (this.#clock.now >= series.deadline) this.#next(series)
  }

  /** See `MemoryHost.arping`. */
  ask(own: Uint8Array, address: Uint8Array, count: number, timeout: number): Arping {
    const series: Running = {
      own,
      address,
      count,
      timeout,
      sent: 0,
      macs: [],
      done: false,
      answered: false,
      deadline: 0,
    }
    this.#running.push(series)
    this.#next(series)
    return series
  }

  /** An ARP reply for this host has come: `sha` says that it has `spa`. */
  reply(spa: Uint8Array, sha: Uint8Array): void {
    for (const series of [...this.#running]) {
      if (series.answered || !same(spa, series.address)) continue
      series.answered = true
      series.macs.push(formatMac(sha))
      if (series.sent === series.count) this.#next(series)
    }
  }

  #next(series: Running): void {
    if (series.sent === series.count) {
      series.done = true
      this.#running.splice(this.#running.indexOf(series), 1)
      return
    }
    series.sent++
    series.answered = false
    series.deadline = this.#clock.now + (series.sent === series.count ? series.timeout : INTERVAL)
    this.#send(arpFrame(arp.Op.Request, this.#mac, series.own, null, series.address))
  }
}
