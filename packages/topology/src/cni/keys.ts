import { networkAround, parseIp, parseMac, parseNetwork } from '../address.ts'
import { didYouMean } from '../did-you-mean.ts'
import { CniCode, CniError } from './cni-error.ts'

/*
 * Reads an object of JSON key by key. Each key is asked for once, by what it has to be and what it is where it is missing;
 * who has asked for all calls `end`, which refuses the keys that nobody has asked for. CNI's own plugins pass over what
 * they do not know; here a key that would do nothing is an error, with the key that was meant.
 */

/** What a key is read by: gives its value or throws. */
export type Read<T> = (value: unknown, path: string) => T

/** The keys of an object that were not read yet. */
export class Keys {
  readonly path: string
  readonly #object: Readonly<Record<string, unknown>>
  readonly #known: Set<string> = new Set()

  constructor(value: unknown, path: string) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw wrong(path, `expected an object, not ${show(value)}`)
    }
    this.path = path
    this.#object = value as Record<string, unknown>
  }

  /** The path of a key of this object. */
  at(key: string): string {
    return this.path === '' ? key : `${this.path}.${key}`
  }

  /** Whether the key is there. `null` is as if it were not, as it is for Go's JSON. */
  has(key: string): boolean {
    this.#known.add(key)
    return this.#object[key] !== undefined && this.#object[key] !== null && Object.hasOwn(this.#object, key)
  }

  /** The value of a key, or `missing`. */
  read<T, M>(key: string, by: Read<T>, missing: M): T | M {
    return this.has(key) ? by(this.#object[key], this.at(key)) : missing
  }

  /** The value of a key that has to be there. */
  need<T>(key: string, by: Read<T>): T {
    if (!this.has(key)) throw wrong(this.path, `the key "${key}" is missing`)
    return by(this.#object[key], this.at(key))
  }

  /** Refuses what nobody has asked for. */
  end(): void {
    for (const key of Object.keys(this.#object)) {
      if (this.#known.has(key)) continue
      const known = [...this.#known]
      const hint = didYouMean(key, known) || `; known are ${known.join(', ')}`
      throw new CniError(CniCode.UnsupportedField, this.at(key), `unknown key${hint}`)
    }
  }
}

export function wrong(path: string, message: string): CniError {
  return new CniError(CniCode.InvalidConfig, path, message)
}

export const text: Read<string> = (value, path) => {
  if (typeof value !== 'string') throw wrong(path, `expected text, not ${show(value)}`)
  return value
}

export const flag: Read<boolean> = (value, path) => {
  if (typeof value !== 'boolean') throw wrong(path, `expected true or false, not ${show(value)}`)
  return value
}

/** A whole number from `least` to `most`. */
export function whole(least: number, most: number): Read<number> {
  return (value, path) => {
    if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value
    throw wrong(path, `expected a whole number from ${least} to ${most}, not ${show(value)}`)
  }
}

/** One of some words. */
export function oneOf<const T extends string>(...words: readonly T[]): Read<T> {
  return (value, path) => {
    if (words.includes(value as T)) return value as T
    const hint = typeof value === 'string' ? didYouMean(value, words) : ''
    throw wrong(path, `expected ${words.map((w) => `"${w}"`).join(', ')}, not ${show(value)}${hint}`)
  }
}

/** A list, each item by the same. */
export function list<T>(by: Read<T>): Read<readonly T[]> {
  return (value, path) => {
    if (!Array.isArray(value)) throw wrong(path, `expected a list, not ${show(value)}`)
    return value.map((item, i) => by(item, `${path}[${i}]`))
  }
}

/** An object of other keys. */
export function keysOf<T>(by: (keys: Keys) => T): Read<T> {
  return (value, path) => {
    const keys = new Keys(value, path)
    const read = by(keys)
    keys.end()
    return read
  }
}

/** Anything: what is passed on as it is. */
export const anything: Read<unknown> = (value) => value

/** A name of a network, of a container: CNI 1.1, section 1. */
export const identifier: Read<string> = (value, path) => {
  if (typeof value === 'string' && /^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(value)) return value
  const expected = 'a name of letters, digits, "_", "." and "-" that begins with a letter or digit'
  throw wrong(path, `expected ${expected}, not ${show(value)}`)
}

/** A name of a network interface. */
export const interfaceName: Read<string> = (value, path) => {
  if (typeof value === 'string' && /^[^\s/:]{1,15}$/.test(value) && value !== '.' && value !== '..') return value
  throw wrong(path, `expected the name of an interface, up to 15 characters, not ${show(value)}`)
}

export const mac: Read<string> = (value, path) => ranged(path, () => parseMac(text(value, path)))
export const ip: Read<string> = (value, path) => ranged(path, () => parseIp(text(value, path)).text)
export const network: Read<string> = (value, path) => {
  return ranged(path, () => {
    const { text: address, prefix } = parseNetwork(text(value, path))
    return `${address}/${prefix}`
  })
}
/** Where a route leads. Of IPv6 any address of the network says it, as on the page of host-local, since Linux takes it so; of IPv4 Linux
 * refuses host bits. */
export const destination: Read<string> = (value, path) => {
  const given = text(value, path)
  if (!given.includes(':')) return network(value, path)
  return ranged(path, () => {
    const { text: address, prefix } = networkAround(given)
    return `${address}/${prefix}`
  })
}

function ranged<T>(path: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw error instanceof CniError ? error : wrong(path, (error as Error).message)
  }
}

/** Shows a value in a sentence, cut where it is long. */
export function show(value: unknown): string {
  const said = value === undefined ? 'nothing' : JSON.stringify(value)
  return said.length > 60 ? `${said.slice(0, 57)}...` : said
}
