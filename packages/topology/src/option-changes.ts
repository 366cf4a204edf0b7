import { alike } from './alike.ts'
import type { Change } from './changes.ts'
import type { NodeSpec } from './topology.ts'

/*
 * What is another in the options of a node. Options that may change are lists of things, or maps of them by name:
 *
 *     routes: [...]            - route n1 10.8.0.0/16 via 10.0.0.2
 *                              + route n1 10.9.0.0/16 via 10.0.0.2
 *     services: { web: ... }   ~ service n1 web: backends + red
 *     ageing: 300              ~ n1 ageing 300 -> 60
 */

type Options = Readonly<Record<string, unknown>>

/** Says what is another. Paths start inside the node.
 * @param live keys that may change while the node runs */
export function optionChanges(node: NodeSpec, before: Options, next: Options, live: readonly string[]): Change[] {
  return [...new Set([...Object.keys(before), ...Object.keys(next)])].flatMap((key) => {
    const [was, is] = [before[key], next[key]]
    if (alike(was, is)) return []
    const restart = live.includes(key)
      ? null
      : `mode ${node.mode} takes changes of endpoints${live.map((k) => `, ${k}`).join('')} only`
    const what = singular(key)
    if (isList(was) && isList(is)) return listChanges(`${what} ${node.name}`, key, was ?? [], is ?? [], restart)
    if (isMap(was) && isMap(is)) return mapChanges(`${what} ${node.name}`, key, was ?? {}, is ?? {}, restart)
    return [{ text: `~ ${node.name} ${key} ${itemText(was)} -> ${itemText(is)}`, restart, path: [key] }]
  })
}

function listChanges(
  what: string,
  key: string,
  before: readonly unknown[],
  next: readonly unknown[],
  restart: string | null,
): Change[] {
  const rest = [...before]
  const come = next.flatMap((item, i): Change[] => {
    const at = rest.findIndex((old) => alike(old, item))
    if (at < 0) return [{ text: `+ ${what} ${itemText(item)}`, restart, path: [key, i] }]
    rest.splice(at, 1)
    return []
  })
  const gone = rest.map((item): Change => ({ text: `- ${what} ${itemText(item)}`, restart, path: [key] }))
  const all = [...gone, ...come]
  return all.length > 0 ? all : [{ text: `~ ${what}: in another order`, restart, path: [key] }]
}

function mapChanges(what: string, key: string, before: Options, next: Options, restart: string | null): Change[] {
  const gone = Object.keys(before).filter((name) => !(name in next))
  return [
    ...gone.map((name): Change => ({ text: `- ${what} ${name}`, restart, path: [key] })),
    ...Object.entries(next).flatMap(([name, value]): Change[] => {
      if (!(name in before)) return [{ text: `+ ${what} ${name}`, restart, path: [key, name] }]
      if (alike(before[name], value)) return []
      return [{ text: `~ ${what} ${name}: ${inside(before[name], value).join(', ')}`, restart, path: [key, name] }]
    }),
  ]
}

/** What is another inside a thing: "backends + red", "port 80 -> 81". */
function inside(before: unknown, next: unknown): string[] {
  if (!isMap(before) || !isMap(next)) return [`${itemText(before)} -> ${itemText(next)}`]
  const [was, is] = [before ?? {}, next ?? {}]
  return [...new Set([...Object.keys(was), ...Object.keys(is)])].flatMap((key) => {
    const [a, b] = [was[key], is[key]]
    if (alike(a, b)) return []
    if (isList(a) && isList(b))
      return listChanges('', key, a ?? [], b ?? [], null).map(({ text }) => `${key} ${text.replace('  ', ' ')}`)
    return [`${key} ${itemText(a)} -> ${itemText(b)}`]
  })
}

/** A thing in one line: the first of its values, and the others with their keys. */
function itemText(value: unknown): string {
  if (value === undefined) return 'none'
  if (Array.isArray(value)) return value.map(itemText).join(' ')
  if (typeof value !== 'object' || value === null) return String(value)
  return Object.entries(value)
    .map(([key, item], i) =>
      i === 0 && typeof item !== 'object' && typeof item !== 'boolean' ? String(item) : `${key} ${itemText(item)}`,
    )
    .join(' ')
}

/** One of what a key lists: "port mapping" of `portMappings`. */
function singular(key: string): string {
  return key.replace(/s$/, '').replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
}

const isList = (value: unknown): value is readonly unknown[] | undefined => value === undefined || Array.isArray(value)
const isMap = (value: unknown): value is Options | undefined =>
  value === undefined || (typeof value === 'object' && value !== null && !Array.isArray(value))
