import { closeSync, openSync, readSync } from 'node:fs'
import { parseTopology, type Topology } from '@l2l3/topology'

/** Bytes of a topology file at most: what a running topology takes as a question. Not every path has an end: /dev/zero has none. */
const LONGEST = 1 << 21

/** Reads a topology file. Throws an Error with a sentence where it cannot be read, a TopologyError where it is
 * wrong. */
export function loadTopology(path: string): Topology {
  return parseTopology(readTopologyText(path), path)
}

/** Reads a topology file as it stands. Throws an Error with a sentence where it cannot be read, or is no text. */
export function readTopologyText(path: string): string {
  let bytes: Uint8Array
  try {
    bytes = readBounded(path)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const why = code === 'ENOENT' ? 'there is no such file' : code === 'EISDIR' ? 'it is a directory' : message
    throw new Error(`cannot read the topology ${path}: ${why}`)
  }
  if (bytes.length > LONGEST) throw new Error(`cannot read the topology ${path}: it is longer than ${LONGEST} bytes`)
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new Error(`cannot read the topology ${path}: it is not text in UTF-8`)
  }
}

/** What there is, but no more than a byte too many. */
function readBounded(path: string): Uint8Array {
  const bytes = new Uint8Array(LONGEST + 1)
  const file = openSync(path, 'r')
  try {
    let length = 0
    while (length < bytes.length) {
      const n = readSync(file, bytes, length, bytes.length - length, null)
      if (n === 0) break
      length += n
    }
    return bytes.subarray(0, length)
  } finally {
    closeSync(file)
  }
}
