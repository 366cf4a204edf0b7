/*
 * What changed in a frame, as splices: at a place of the bytes before, some are taken out and others put in.
 *
 *     before   02 00 .. | 08 00 45 00 .. 40 01 66 e8 ..          { at: 12, remove: '',       insert: '8100000a' }
 *     after    02 00 .. | 81 00 00 0a 08 00 45 00 .. 3f 01 67 e8  { at: 22, remove: '400166', insert: '3f0167' }
 *
 * Elements do three things to a frame: write bytes in place, put a header in, take one out. So a difference is at most one
 * insertion or removal of all the bytes by which the lengths differ, where it explains most, and bytes that were
 * overwritten around it. That is no shortest edit script, but it shows a header as a header, and takes one pass.
 */

/** Bytes taken out and put in at a place. */
export interface Splice {
  /** Where, in the bytes before; splices of a diff do not overlap and stand in order. */
  readonly at: number
  /** In hex, without blanks. */
  readonly remove: string
  readonly insert: string
}

/** Equal bytes between two overwritten runs, up to which they are told as one. */
const GAP = 1

/** Says what changed. Empty where nothing did. */
export function diff(before: Uint8Array, after: Uint8Array): Splice[] {
  const at = shiftAt(before, after)
  const more = after.length - before.length
  const [out, into] = [Math.max(0, -more), Math.max(0, more)]
  const splices: Splice[] = []
  overwritten(splices, before, 0, after, 0, at)
  if (more !== 0) add(splices, at, before.subarray(at, at + out), after.subarray(at, at + into))
  overwritten(splices, before, at + out, after, at + into, before.length - at - out)
  return splices
}

/**
 * Does what a diff says.
 *
 * @throws RangeError where the bytes are not those that it was made of
 */
export function applyDiff(before: Uint8Array, splices: readonly Splice[]): Uint8Array {
  const parts: Uint8Array[] = []
  let from = 0
  for (const { at, remove, insert } of splices) {
    if (at < from || at > before.length) throw new RangeError(`a splice at ${at} of ${before.length} bytes`)
    const out = before.subarray(at, at + remove.length / 2)
    if (toHex(out) !== remove) throw new RangeError(`at ${at} there is ${toHex(out)}, not ${remove}`)
    parts.push(before.subarray(from, at), fromHex(insert))
    from = at + out.length
  }
  parts.push(before.subarray(from))
  const after = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let to = 0
  for (const part of parts) {
    after.set(part, to)
    to += part.length
  }
  return after
}

/** Where bytes of a frame before are in the one after: -1 for one that was taken out. An overwritten byte stays where it is. */
export function moved(splices: readonly Splice[], at: number): number {
  let by = 0
  for (const splice of splices) {
    const n = splice.remove.length / 2
    if (at < splice.at) break
    if (at < splice.at + n) return splice.insert.length === splice.remove.length ? at + by : -1
    by += (splice.insert.length - splice.remove.length) / 2
  }
  return at + by
}

/** Where headers begin that come and go: the whole outer frame, a tag, what is behind Ethernet. */
const BOUNDARIES = [0, 12, 14]

/** Where the bytes by which the lengths differ went in or out, so that most of the others are equal. Several places may do -
 * a tag `8100000a` behind a MAC that ends in `00000a` could as well be `00000a81` three bytes before - then it is where a
 * header begins, or else the first. */
function shiftAt(before: Uint8Array, after: Uint8Array): number {
  const more = after.length - before.length
  if (more === 0) return before.length
  const common = Math.min(before.length, after.length)
  const [out, into] = [Math.max(0, -more), Math.max(0, more)]
  let differ = 0
  for (let i = 0; i < common; i++) if (before[i + out] !== after[i + into]) differ++
  let best = 0
  let least = differ
  // One byte after the other goes from behind that place to before it.
  for (let i = 0; i < common; i++) {
    if (before[i + out] !== after[i + into]) differ--
    if (before[i] !== after[i]) differ++
    if (differ < least || (differ === least && BOUNDARIES.includes(i + 1) && !BOUNDARIES.includes(best))) {
      least = differ
      best = i + 1
    }
  }
  return best
}

function overwritten(
  splices: Splice[],
  before: Uint8Array,
  from: number,
  after: Uint8Array,
  to: number,
  n: number,
): void {
  for (let i = 0; i < n; i++) {
    if (before[from + i] === after[to + i]) continue
    let end = i + 1
    for (let j = end; j < n && j <= end + GAP; j++) if (before[from + j] !== after[to + j]) end = j + 1
    add(splices, from + i, before.subarray(from + i, from + end), after.subarray(to + i, to + end))
    i = end - 1
  }
}

/** Adds a splice, to the one before it where it follows at once. */
function add(splices: Splice[], at: number, out: Uint8Array, into: Uint8Array): void {
  splices.push({ at, remove: toHex(out), insert: toHex(into) })
}

/** Bytes as hex without blanks. */
export function toHex(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += byte.toString(16).padStart(2, '0')
  return text
}

/**
 * Hex as bytes; blanks and colons between them are passed over.
 *
 * @throws SyntaxError where it is something else
 */
export function fromHex(text: string): Uint8Array {
  const digits = text.replace(/[\s:]/g, '')
  if (!/^([0-9a-f]{2})*$/i.test(digits)) throw new SyntaxError(`not hexadecimal bytes: ${text.slice(0, 40)}`)
  return Uint8Array.from({ length: digits.length / 2 }, (_, i) => Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16))
}
