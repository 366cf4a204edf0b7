/** Offers the nearest of `known` where it is near, `; did you mean "mac"?`: one slip in a word of up to five letters, one
 * more for every three, and something of it must be right. Else nothing. */
export function didYouMean(given: string, known: readonly string[]): string {
  let best = ''
  let least = Math.max(1, Math.floor(given.length / 3)) + 1
  for (const name of known) {
    const d = distance(given.toLowerCase(), name.toLowerCase())
    if (d < least && d < Math.max(given.length, name.length)) {
      least = d
      best = name
    }
  }
  return best === '' ? '' : `; did you mean "${best}"?`
}

/** Levenshtein's distance, with a swap of two neighbours counted as one: how typing goes wrong. */
function distance(a: string, b: string): number {
  const width = b.length + 1
  const d = new Uint16Array((a.length + 1) * width)
  for (let i = 0; i <= a.length; i++) d[i * width] = i
  for (let j = 0; j <= b.length; j++) d[j] = j
  for (let i = 1; i <= a.length; i++) {
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1
      const at = (x: number, y: number): number => d[x * width + y] as number
      let n = Math.min(at(i - 1, j) + 1, at(i, j - 1) + 1, at(i - 1, j - 1) + same)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) n = Math.min(n, at(i - 2, j - 2) + 1)
      d[i * width + j] = n
    }
  }
  return d[d.length - 1] as number
}
