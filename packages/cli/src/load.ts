import { readFileSync } from 'node:fs'
import { parseTopology, type Topology } from '@l2l3/topology'

/** Reads a topology file. Throws an Error with a sentence where it cannot be read, a TopologyError where it is
 * wrong. */
export function loadTopology(path: string): Topology {
  return parseTopology(readTopologyText(path), path)
}

/** Reads a topology file as it stands. Throws an Error with a sentence where it cannot be read, or is no text. */
export function readTopologyText(path: string): string {
  let bytes: Uint8Array
  try {
    bytes = readFileSync(path)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const why = code === 'ENOENT' ? 'there is no such file' : code === 'EISDIR' ? 'it is a directory' : message
    throw new Error(`cannot read the topology ${path}: ${why}`)
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new Error(`cannot read the topology ${path}: it is not text in UTF-8`)
  }
}
