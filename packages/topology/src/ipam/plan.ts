import { type Address, parseIp } from '../address.ts'
import { type RangeOptions, type RangeSet, rangeSets } from './range.ts'

/*
 * Addresses in the order in which host-local gives them out (modes.md 22.2), worked out without a directory: for networks that
 * are described and not run by its plugins.
 *
 *     10.1.0.0/29   .1 gateway     first .2, then .3, ...    what is asked for, and what others have, is passed over
 */

/** An address that was given out. */
export interface PlannedAddress {
  /** With its prefix. */
  readonly address: string
  readonly gateway: string
  /** The network that it is of: `10.1.0.0/29`. */
  readonly subnet: string
}

/** Gives out addresses of a network, one of each set to each who asks. */
export class AddressPlan {
  readonly #ranges: readonly (readonly RangeOptions[])[]
  readonly #sets: readonly RangeSet[]
  readonly #taken: Set<string> = new Set()
  readonly #last: (Address | undefined)[] = []

  /** @throws RangeError - with the key and its value */
  constructor(ranges: readonly (readonly RangeOptions[])[]) {
    this.#ranges = ranges
    this.#sets = rangeSets(ranges)
  }

  /** Notes an address that somebody has without asking. */
  take(address: string): void {
    this.#taken.add(parseIp(address).text)
  }

  /** Gives one address of each set.
   * @param requested addresses without prefix, each in a set of its own
   * @throws RangeError - where a set has none left, or the wish cannot be granted */
  add(requested: readonly string[] = []): PlannedAddress[] {
    const wishes: (Address | undefined)[] = []
    for (const address of requested.map(parseIp)) {
      const set = this.#sets.findIndex((one, i) => one.rangeOf(address) !== undefined && wishes[i] === undefined)
      if (set < 0)
        throw new RangeError(`the requested address ${address.text} is in no range, or the second of its set`)
      wishes[set] = address
    }
    const found: PlannedAddress[] = []
    try {
      for (const [i, set] of this.#sets.entries()) found.push(this.#one(set, i, wishes[i]))
      return found
    } catch (error) {
      for (const { address } of found) this.#taken.delete(address.slice(0, address.indexOf('/')))
      throw error
    }
  }

  /** What it would say of the first address of each set, gateways and networks. */
  networks(): PlannedAddress[] {
    return this.#sets.flatMap((set, i) => {
      const [first] = set.after(undefined)
      return first === undefined ? [] : [this.#said(first.text, i, set)]
    })
  }

  #one(set: RangeSet, index: number, wish: Address | undefined): PlannedAddress {
    if (wish !== undefined) {
      if (wish.text === set.rangeOf(wish)?.gateway) throw new RangeError(`${wish.text} is the gateway's address`)
      if (this.#taken.has(wish.text)) throw new RangeError(`${wish.text} is taken`)
      return this.#give(wish.text, index, set)
    }
    for (const { text } of set.after(this.#last[index])) {
      if (!this.#taken.has(text)) return this.#give(text, index, set)
    }
    throw new RangeError(`no IP addresses available in range set ${index}: ${set}`)
  }

  #give(text: string, index: number, set: RangeSet): PlannedAddress {
    this.#taken.add(text)
    this.#last[index] = parseIp(text)
    return this.#said(text, index, set)
  }

  #said(text: string, index: number, set: RangeSet): PlannedAddress {
    const at = set.ranges.findIndex((range) => range.contains(parseIp(text)))
    const range = set.ranges[at] as (typeof set.ranges)[0]
    const { subnet } = (this.#ranges[index] as readonly RangeOptions[])[at] as RangeOptions
    return { address: `${text}/${range.prefix}`, gateway: range.gateway, subnet }
  }
}
