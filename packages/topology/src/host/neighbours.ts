import { type Clock, SECOND } from '@l2l3/switch-core'
import { formatMac } from '@l2l3/switch-core/wire'
import { ipText } from '../address.ts'

/*
 * A host's neighbour cache: which MAC address an IP address on the link has.
 *
 *   unknown --ask--> asked --answer--> known
 *                      | 3 questions, a second apart (RFC 4861 10), and no answer
 *                      v
 *                    unknown: what waited is given up
 */

const ATTEMPTS = 3
const INTERVAL: number = SECOND

interface Entry {
  readonly address: Uint8Array
  mac: Uint8Array | null
  /** Whether it was told, and stays as it is whatever is heard. */
  readonly static?: true
  asked: number
  /** When to ask again, or to give up. */
  next: number
  readonly waiting: ((mac: Uint8Array | null) => void)[]
}

/** Finds MAC addresses, and holds back what is to be sent until they are found. */
export class Neighbours {
  readonly #clock: Clock
  readonly #ask: (address: Uint8Array) => void
  readonly #entries: Map<string, Entry> = new Map()

  /** @param ask sends a question: an ARP request or a neighbour solicitation */
  constructor(clock: Clock, ask: (address: Uint8Array) => void) {
    this.#clock = clock
    this.#ask = ask
  }

  /** Calls `use` with the MAC address: now where it is known, later where it must be asked for, with null where nobody
   * answers. */
  resolve(address: Uint8Array, use: (mac: Uint8Array | null) => void): void {
    const key = ipText(address)
    let entry = this.#entries.get(key)
    if (entry !== undefined && entry.mac !== null) {
      use(entry.mac)
      return
    }
    if (entry === undefined) {
      entry = { address, mac: null, asked: 1, next: this.#clock.now + INTERVAL, waiting: [] }
      this.#entries.set(key, entry)
    }
    entry.waiting.push(use)
    if (entry.waiting.length === 1) this.#ask(address)
  }

  /** Tells it an address for good. */
  add(address: Uint8Array, mac: Uint8Array): void {
    const entry: Entry = { address: address.slice(), mac: mac.slice(), static: true, asked: 0, next: 0, waiting: [] }
    this.#entries.set(ipText(address), entry)
  }

  /** Notes what was heard. An address that nobody asked for gets an entry only where `create` says so. */
  learn(address: Uint8Array, mac: Uint8Array, create: boolean): void {
    const key = ipText(address)
    let entry = this.#entries.get(key)
    if (entry === undefined) {
      if (!create) return
      entry = { address: address.slice(), mac: null, asked: 0, next: 0, waiting: [] }
      this.#entries.set(key, entry)
    }
    if (entry.static) return
    entry.mac = mac.slice()
    for (const use of entry.waiting.splice(0)) use(entry.mac)
  }

  /** Forgets an address: the next frame to it is asked for. */
  forget(address: Uint8Array): void {
    const key = ipText(address)
    const entry = this.#entries.get(key)
    if (entry?.mac != null && !entry.static) this.#entries.delete(key)
  }

  /** When a question must be asked again; Infinity where none is open. */
  get nextTimer(): number {
    let next = Number.POSITIVE_INFINITY
    for (const entry of this.#entries.values()) if (entry.mac === null && entry.next < next) next = entry.next
    return next
  }

  /** Asks again and gives up, where it is time. */
  tick(): void {
    for (const [key, entry] of this.#entries) {
      if (entry.mac !== null || entry.next > this.#clock.now) continue
      if (entry.asked === ATTEMPTS) {
        this.#entries.delete(key)
        for (const use of entry.waiting) use(null)
      } else {
        entry.asked++
        entry.next = this.#clock.now + INTERVAL
        this.#ask(entry.address)
      }
    }
  }

  /** The MAC that an address is known to have, as text; null where none is. */
  get(address: Uint8Array): string | null {
    const mac = this.#entries.get(ipText(address))?.mac
    return mac == null ? null : formatMac(mac)
  }

  /** What is known: addresses and their MACs. */
  list(): { address: string; mac: Uint8Array }[] {
    return Array.from(this.#entries, ([address, { mac }]) => ({ address, mac })).filter(
      (e): e is { address: string; mac: Uint8Array } => e.mac !== null,
    )
  }
}
