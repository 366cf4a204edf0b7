import { dissect } from './dissect/dissect.ts'
import type { Field, Layer } from './dissect/layers.ts'
import { moved, type Splice } from './splice.ts'

/*
 * What changed in a frame, by its fields: which header came or went, and which field of those that stayed has another
 * value.
 *
 *     before   eth ip      icmp          the inner eth is the old one, as the splices say where its bytes went:
 *     after    eth ip udp vxlan eth ip icmp         added: eth, ip, udp, vxlan; changed: ip.ttl of the inner ip
 */

/** A field that came (`before` null), went (`after` null) or has another value. */
export interface FieldChange {
  /** The header: "ip". */
  readonly layer: string
  /** As tshark calls it: "ip.ttl". */
  readonly name: string
  readonly before: string | null
  readonly after: string | null
  /** Where it is in the bytes after, or was in those before where it went. */
  readonly at: number
}

/** Says which fields are others in `after`, where `splices` is their difference. */
export function fieldChanges(before: Uint8Array, after: Uint8Array, splices: readonly Splice[]): FieldChange[] {
  if (splices.length === 0) return []
  const [old, now] = [dissect(before), dissect(after)]
  const pairs = paired(old, now, splices)
  const changes: FieldChange[] = []
  for (const layer of old) if (!pairs.has(layer)) changes.push(...layer.fields.map((f) => gone(layer, f)))
  const was = new Map(Array.from(pairs, ([a, b]) => [b, a]))
  for (const layer of now) {
    const earlier = was.get(layer)
    if (earlier === undefined) changes.push(...layer.fields.map((f) => come(layer, f)))
    else changes.push(...between(earlier, layer))
  }
  return changes
}

/** Which header of those before is which of those after: by where its bytes went; what is left over, by name and order. */
function paired(old: readonly Layer[], now: readonly Layer[], splices: readonly Splice[]): Map<Layer, Layer> {
  const pairs = new Map<Layer, Layer>()
  const free = new Set(now)
  const pair = (a: Layer, b: Layer | undefined): void => {
    if (b === undefined) return
    pairs.set(a, b)
    free.delete(b)
  }
  for (const a of old) {
    const to = moved(splices, a.at)
    pair(
      a,
      now.find((b) => free.has(b) && b.name === a.name && b.at === to),
    )
  }
  // No two pairs may cross: headers keep their order.
  let from = 0
  for (const a of old) {
    const known = pairs.get(a)
    if (known === undefined) {
      const until = old.slice(old.indexOf(a) + 1).find((later) => pairs.has(later))
      const end = until === undefined ? now.length : now.indexOf(pairs.get(until) as Layer)
      pair(
        a,
        now.find((b, i) => i >= from && i < end && free.has(b) && b.name === a.name),
      )
    }
    const b = pairs.get(a)
    if (b !== undefined) from = now.indexOf(b) + 1
  }
  return pairs
}

function between(old: Layer, now: Layer): FieldChange[] {
  const changes: FieldChange[] = []
  const rest = [...old.fields]
  for (const field of now.fields) {
    const i = rest.findIndex((f) => f.name === field.name)
    const [earlier] = i < 0 ? [] : rest.splice(i, 1)
    if (earlier === undefined) changes.push(come(now, field))
    else if (earlier.value !== field.value) changes.push({ ...come(now, field), before: earlier.value })
  }
  changes.push(...rest.map((f) => gone(old, f)))
  return changes
}

function come(layer: Layer, { name, value, at }: Field): FieldChange {
  return { layer: layer.name, name, before: null, after: value, at }
}

function gone(layer: Layer, { name, value, at }: Field): FieldChange {
  return { layer: layer.name, name, before: value, after: null, at }
}
