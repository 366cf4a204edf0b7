import { parsePrefix } from '@l2l3/switch-core'
import { formatMac, parseMac } from '@l2l3/switch-core/wire'
import { type At, HnsError, refuse, shown, under } from './error.ts'

/*
 * Reading JSON that others write.
 *
 *     const read = shape<Route>({ NextHop: host, DestinationPrefix: prefix, Metric: whole(0, 65_535) }, ['DestinationPrefix'])
 *     read(at, json)      the object with its keys as they are called, or an HnsError with the path
 *
 * HNS, and the CNI plugins, which are written in Go, read keys whatever their case; OpenShift's confs make use of it. What is null or ""
 * is as good as absent, since Go's `omitempty` leaves it out.
 *
 * A key that a shape does not know is an error. But confs in the field have keys of other policies in them that say nothing (an
 * `"exceptionList": []` beside a route): those are passed over where the shape is told of them and they are empty.
 */

/** Reads a value, or throws an HnsError. */
export type Field<T> = (at: At, value: unknown) => T

/** Where a shape is lenient. */
export interface Leniency {
  /** Keys whose values nobody here needs. */
  readonly passed?: readonly string[]
  /** Keys of others, which are passed over where they are empty. */
  readonly foreign?: readonly string[]
}

/** Any value. */
export const anything: Field<unknown> = (_at, value) => value

/** Text. */
export const text: Field<string> = (at, value) =>
  typeof value === 'string' ? value : refuse(at, value, `must be text, not ${shown(value)}`)

/** True or false. */
export const bool: Field<boolean> = (at, value) =>
  typeof value === 'boolean' ? value : refuse(at, value, `must be true or false, not ${shown(value)}`)

/** A whole number in a range. */
export function whole(min: number, max: number): Field<number> {
  return (at, value) =>
    typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max
      ? value
      : refuse(at, value, `must be a whole number, ${min} to ${max}, not ${shown(value)}`)
}

/** A port. */
export const port: Field<number> = whole(0, 65_535)

/** A list. */
export function listOf<T>(field: Field<T>): Field<T[]> {
  return (at, value) =>
    Array.isArray(value)
      ? value.map((item, i) => field(under(at, i), item))
      : refuse(at, value, `must be a list, not ${shown(value)}`)
}

/** One of some words, whatever its case; or its number, where words have numbers. */
export function word<T extends string>(values: readonly T[], numbers: Readonly<Record<number, T>> = {}): Field<T> {
  return (at, value) => {
    const found =
      typeof value === 'string'
        ? values.find((v) => v.toLowerCase() === value.toLowerCase())
        : typeof value === 'number'
          ? numbers[value]
          : undefined
    return found ?? refuse(at, value, `must be ${values.join(', ')}, not ${shown(value)}`)
  }
}

/** Flags: a number, or names with commas. */
export function flags(names: Readonly<Record<string, number>>): Field<number> {
  const known = new Map(Object.entries(names).map(([name, bit]) => [name.toLowerCase(), bit]))
  const every = Object.values(names).reduce((all, bit) => all | bit, 0)
  return (at, value) => {
    if (typeof value === 'number') {
      if (Number.isInteger(value) && value >= 0 && (value & ~every) === 0 && value < 2 ** 31) return value
      return refuse(at, value, `has bits that are unknown: ${shown(value)}; known are ${listed(names)}`)
    }
    if (typeof value !== 'string') return refuse(at, value, `must be a number or names, not ${shown(value)}`)
    return value.split(',').reduce((all, name) => {
      const bit = known.get(name.trim().toLowerCase())
      if (bit === undefined) return refuse(at, value, `unknown flag ${shown(name.trim())}; known are ${listed(names)}`)
      return all | bit
    }, 0)
  }
}

function listed(names: Readonly<Record<string, number>>): string {
  return Object.entries(names)
    .map(([name, bit]) => `${name} (${bit})`)
    .join(', ')
}

/** A prefix, or an address. */
export const prefix: Field<string> = (at, value) => {
  const s = text(at, value)
  try {
    parsePrefix(s)
  } catch (error) {
    refuse(at, value, (error as Error).message)
  }
  return s
}

/** The address of one host. */
export const host: Field<string> = (at, value) => {
  const s = text(at, value)
  return isAddress(s) ? s : refuse(at, value, `must be an address, not ${shown(value)}`)
}

function isAddress(s: string): boolean {
  if (s.includes('/')) return false
  try {
    parsePrefix(s)
    return true
  } catch {
    return false
  }
}

/** A MAC address, with dashes or colons, as `00:15:5d:01:02:03`. */
export const mac: Field<string> = (at, value) => {
  const s = text(at, value).replaceAll('-', ':')
  try {
    return formatMac(parseMac(s))
  } catch {
    return refuse(at, value, `must be a MAC address, not ${shown(value)}`)
  }
}

const GUID = /^\{?([\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12})\}?$/i

/** A GUID, in small letters. */
export const guid: Field<string> = (at, value) => {
  const m = GUID.exec(text(at, value))
  return m === null ? refuse(at, value, `must be a GUID, not ${shown(value)}`) : (m[1] as string).toLowerCase()
}

/** An object. All keys of `T` have a field; those of `required` have to be there. */
export function shape<T extends object>(
  fields: { [K in keyof T & string]-?: Field<Exclude<T[K], undefined>> },
  required: readonly (keyof T & string)[] = [],
  leniency: Leniency = {},
): Field<T> {
  const known = new Map(Object.keys(fields).map((key) => [key.toLowerCase(), key as keyof T & string]))
  const passed = new Set((leniency.passed ?? []).map((key) => key.toLowerCase()))
  const foreign = new Set((leniency.foreign ?? []).map((key) => key.toLowerCase()))
  return (at, value) => {
    const found: Partial<T> = {}
    for (const [key, item] of Object.entries(objectOf(at, value))) {
      const name = known.get(key.toLowerCase())
      const place = under(at, key)
      if (name === undefined) {
        if (passed.has(key.toLowerCase()) || (foreign.has(key.toLowerCase()) && isEmpty(item))) continue
        return refuse(place, item, `unknown key${near(key, [...known.values()])}`)
      }
      if (item === null || item === '') continue
      if (found[name] !== undefined) return refuse(place, item, `the key is there twice, in other letters`)
      found[name] = fields[name](place, item) as T[typeof name]
    }
    for (const key of required) if (found[key] === undefined) refuse(under(at, key), undefined, 'is missing')
    return found as T
  }
}

/** The value as an object that is no list. */
export function objectOf(at: At, value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : refuse(at, value, `must be an object, not ${shown(value)}`)
}

/** The value of a key whatever its case; undefined where it is not there, or says nothing. */
export function peek(o: Readonly<Record<string, unknown>>, key: string): unknown {
  for (const [k, v] of Object.entries(o)) if (k.toLowerCase() === key.toLowerCase()) return isEmpty(v) ? undefined : v
  return undefined
}

function isEmpty(value: unknown): boolean {
  return (
    value === null || value === '' || value === 0 || value === false || (Array.isArray(value) && value.length === 0)
  )
}

/** The JSON of a document: text is parsed, anything else is taken as it is. */
export function documentOf(document: string, json: unknown): [At, unknown] {
  const at = { document, path: '$' }
  if (typeof json !== 'string') return [at, json]
  try {
    return [at, JSON.parse(json)]
  } catch (error) {
    throw new HnsError(at, undefined, `is not JSON: ${(error as Error).message}`)
  }
}

/** Runs what throws errors of its own, and makes them those of a place. */
export function checkedAt<T>(at: At, value: unknown, check: () => T): T {
  try {
    return check()
  } catch (error) {
    if (error instanceof HnsError) throw error
    return refuse(at, value, (error as Error).message)
  }
}

/** A key that is meant, perhaps: one that differs in a letter or two. */
function near(key: string, keys: readonly string[]): string {
  const close = keys.find((k) => distance(k.toLowerCase(), key.toLowerCase().slice(0, 40)) <= 2)
  return close === undefined ? '' : `; is it ${close}?`
}

/** Levenshtein's distance. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let k = 1; k <= b.length; k++) {
      const change = (row[k - 1] as number) + (a[i - 1] === b[k - 1] ? 0 : 1)
      next.push(Math.min(change, (row[k] as number) + 1, (next[k - 1] as number) + 1))
    }
    row = next
  }
  return row[b.length] as number
}
