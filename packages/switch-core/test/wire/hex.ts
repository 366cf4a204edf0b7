/** Bytes from hex with spaces for reading. */
export function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replace(/\s+/g, ''), 'hex'))
}

/** Bytes as hex, to compare with a literal. */
export function show(b: Uint8Array, from = 0, to: number = b.length): string {
  return Buffer.from(b.subarray(from, to)).toString('hex')
}
