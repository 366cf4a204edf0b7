import { type Address, ipText, parseIp, parseNetwork } from '../address.ts'

/*
 * The ranges that addresses are given out from, as CNI's host-local has them (modes.md 22.2): a set is what an
 * interface gets one address of; two sets, one of each family, make a dual stack.
 *
 *     ranges: [ [10.1.0.0/24, 10.2.0.0/24], [fd00::/64] ]
 *               set 0: one of 512 minus    set 1: and one
 *               what is not given out      of these
 *
 *     10.1.0.0/29   .0       .1        .2 .3 .4 .5 .6     .7
 *                   network  gateway   rangeStart...End   broadcast
 */

/** A range as a configuration has it. */
export interface RangeOptions {
  /** A network of at least four addresses, without host bits: 10.1.0.0/16, fd00::/64. */
  readonly subnet: string
  /** First address to be given out; else the first behind the network's own. */
  readonly rangeStart?: string
  /** Last one; else the last, for IPv4 the one before the broadcast address. */
  readonly rangeEnd?: string
  /** Is never given out; else the first behind the network's own. May be of another network. */
  readonly gateway?: string
}

/** An address that a range has. */
export interface Candidate {
  /** Without prefix, in the form that names its file. */
  readonly text: string
  readonly range: AddressRange
}

/** Addresses of one network, in their order. */
export class AddressRange {
  readonly family: 4 | 6
  readonly prefix: number
  readonly start: bigint
  readonly end: bigint
  /** Address of the gateway, in its usual form. */
  readonly gateway: string
  readonly #subnet: string

  /** @throws RangeError - with the key and its value */
  constructor(options: RangeOptions) {
    const subnet = keyed('subnet', () => parseNetwork(options.subnet))
    const bits = subnet.bytes.length * 8
    if (subnet.prefix > bits - 2) {
      throw new RangeError(`subnet: ${options.subnet} is too small to give out addresses of: at most a /${bits - 2}`)
    }
    this.family = subnet.family
    this.prefix = subnet.prefix
    this.#subnet = `${subnet.text}/${subnet.prefix}`
    const first = numberOf(subnet)
    const last = first + (1n << BigInt(bits - subnet.prefix)) - 1n
    const within = (key: 'rangeStart' | 'rangeEnd', from: bigint): bigint | undefined => {
      const text = options[key]
      if (text === undefined) return undefined
      const address = keyed(key, () => parseIp(text))
      const number = numberOf(address)
      if (address.family !== this.family || number < from || number > last) {
        const behind = from > first ? ` and not before rangeStart` : ''
        throw new RangeError(`${key}: ${text} is not in ${this.#subnet}${behind}`)
      }
      return number
    }
    this.start = within('rangeStart', first) ?? first + 1n
    this.end = within('rangeEnd', this.start) ?? (this.family === 4 ? last - 1n : last)
    const { gateway } = options
    this.gateway = gateway === undefined ? this.#text(first + 1n) : keyed('gateway', () => parseIp(gateway)).text
  }

  contains(address: Address): boolean {
    const number = numberOf(address)
    return address.family === this.family && number >= this.start && number <= this.end
  }

  overlaps(other: AddressRange): boolean {
    return this.family === other.family && this.start <= other.end && other.start <= this.end
  }

  /** The addresses from one to another, both included, without the gateway. */
  *walk(from: bigint, to: bigint): Generator<Candidate, void> {
    for (let at = from; at <= to; at++) {
      const text = this.#text(at)
      if (text !== this.gateway) yield { text, range: this }
    }
  }

  /** 10.1.0.1-10.1.0.254 */
  toString(): string {
    return `${this.#text(this.start)}-${this.#text(this.end)}`
  }

  #text(number: bigint): string {
    const bytes = new Uint8Array(this.family === 4 ? 4 : 16)
    for (let i = bytes.length - 1, rest = number; i >= 0; i--, rest >>= 8n) bytes[i] = Number(rest & 255n)
    return ipText(bytes)
  }
}

/** Ranges of one family that give an interface one address. */
export class RangeSet {
  readonly ranges: readonly AddressRange[]

  /** @throws RangeError - with the key and its value */
  constructor(options: readonly RangeOptions[]) {
    if (options.length === 0) throw new RangeError('expected at least one range, not an empty list')
    this.ranges = options.map((range, i) => keyed(`[${i}]`, () => new AddressRange(range), '.'))
    this.ranges.forEach((range, i) => {
      if (range.family !== this.family) throw new RangeError('a set has ranges of one family, not of IPv4 and IPv6')
      const other = this.ranges.slice(0, i).find((before) => before.overlaps(range))
      if (other !== undefined) throw new RangeError(`the ranges ${other} and ${range} overlap`)
    })
  }

  get family(): 4 | 6 {
    return (this.ranges[0] as AddressRange).family
  }

  /** The range that an address is of. */
  rangeOf(address: Address): AddressRange | undefined {
    return this.ranges.find((range) => range.contains(address))
  }

  overlaps(other: RangeSet): boolean {
    return this.ranges.some((range) => other.ranges.some((theirs) => range.overlaps(theirs)))
  }

  /** All addresses in turn: those behind `last` first, `last` at the end; from the beginning where it is none of these. */
  *after(last: Address | undefined): Generator<Candidate, void> {
    const { ranges } = this
    const at = last === undefined ? -1 : ranges.findIndex((range) => range.contains(last))
    if (last === undefined || at === -1) {
      for (const range of ranges) yield* range.walk(range.start, range.end)
      return
    }
    const range = ranges[at] as AddressRange
    const number = numberOf(last)
    yield* range.walk(number + 1n, range.end)
    for (let k = 1; k < ranges.length; k++) {
      const next = ranges[(at + k) % ranges.length] as AddressRange
      yield* next.walk(next.start, next.end)
    }
    yield* range.walk(range.start, number)
  }

  toString(): string {
    return this.ranges.join(',')
  }
}

/** Reads the sets of a network. @throws RangeError - with the key and its value */
export function rangeSets(ranges: readonly (readonly RangeOptions[])[]): RangeSet[] {
  if (ranges.length === 0) throw new RangeError('ranges: expected at least one set of ranges, not an empty list')
  const sets = ranges.map((set, i) => keyed(`ranges[${i}]`, () => new RangeSet(set), ''))
  sets.forEach((set, i) => {
    const other = sets.findIndex((before, k) => k < i && before.overlaps(set))
    if (other !== -1) throw new RangeError(`ranges[${i}]: overlaps with ranges[${other}]: ${set} and ${sets[other]}`)
  })
  return sets
}

function numberOf({ bytes }: Address): bigint {
  return bytes.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n)
}

/** What `read` gives; its RangeError begins with the key. With `join`, keys are put together: `ranges[0][1].subnet`. */
function keyed<T>(key: string, read: () => T, join?: string): T {
  try {
    return read()
  } catch (error) {
    const { message } = error as RangeError
    const nested = join !== undefined && /^(\[|(subnet|rangeStart|rangeEnd|gateway):)/.test(message)
    throw new RangeError(nested ? `${key}${join}${message}` : `${key}: ${message}`)
  }
}
