import { closeSync, mkdirSync, openSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { type ReplayInput, type ReplayReport, replay } from './replay.ts'
import type { Topology } from './topology.ts'

/** Captures to replay by port label, as files, and the directory for what comes out. */
export interface ReplayFiles {
  /** Pairs of a port's label and a path. */
  readonly inputs: readonly (readonly [port: string, path: string])[]
  /** Made where it does not exist. Gets one capture for each port: `NODE.PORT.pcap`. */
  readonly out: string
}

/** Replays files into files; see `replay`. */
export function replayFiles(topology: Topology, { inputs, out }: ReplayFiles): ReplayReport {
  const open: number[] = []
  let made = false
  try {
    return replay(topology, {
      inputs: inputs.map(([port, file]): ReplayInput => ({ port, file, open: () => chunks(file) })),
      output: (port) => {
        if (!made) tryTo('make the directory', out, () => mkdirSync(out, { recursive: true }))
        made = true
        const path = join(out, `${port.replace('/', '.')}.pcap`)
        const fd = tryTo('write the capture', path, () => openSync(path, 'w'))
        open.push(fd)
        return (chunk) => tryTo('write the capture', path, () => writeAll(fd, chunk))
      },
    })
  } finally {
    for (const fd of open) closeSync(fd)
  }
}

function* chunks(path: string): Generator<Uint8Array> {
  const fd = tryTo('read the capture', path, () => openSync(path, 'r'))
  try {
    for (;;) {
      const chunk = new Uint8Array(65_536)
      const n = tryTo('read the capture', path, () => readSync(fd, chunk))
      if (n === 0) return
      yield chunk.subarray(0, n)
    }
  } finally {
    closeSync(fd)
  }
}

function writeAll(fd: number, chunk: Uint8Array): void {
  for (let at = 0; at < chunk.length; ) at += writeSync(fd, chunk, at)
}

/** Does something with a file; says what was tried and with which where the system refuses. */
function tryTo<T>(what: string, path: string, action: () => T): T {
  try {
    return action()
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    throw new Error(`cannot ${what} ${path}: ${code === 'ENOENT' ? 'there is no such file or directory' : message}`)
  }
}
