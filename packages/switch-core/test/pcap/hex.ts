/** Bytes from hexadecimal digits; spaces, line ends and `| remarks |` are for the reader. */
export function hex(text: string): Uint8Array {
  const digits = text.replace(/\|[^|]*\|/g, '').replace(/\s+/g, '')
  if (!/^([0-9a-f]{2})*$/i.test(digits)) throw new Error(`not bytes in hexadecimal: ${digits}`)
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16))
}

/** Byte strings behind one another. */
export function join(...parts: Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((n, part) => n + part.length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}
