/** Tells whether two pieces of plain data - texts, numbers, bytes, lists, maps - say the same; a key without a value is none. */
export function alike(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a) || a instanceof Uint8Array) {
    if (!Array.isArray(b) && !(b instanceof Uint8Array)) return false
    return a.length === b.length && a.every((item: unknown, i: number) => alike(item, b[i]))
  }
  const [x, y] = [a as Record<string, unknown>, b as Record<string, unknown>]
  return [...new Set([...Object.keys(x), ...Object.keys(y)])].every((key) => alike(x[key], y[key]))
}
