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
        if (!made) mkdirSync(out, { recursive: true })
        made = true
        const fd = openSync(join(out, `${port.replace('/', '.')}.pcap`), 'w')
        open.push(fd)
        return (chunk) => writeAll(fd, chunk)
      },
    })
  } finally {
    for (const fd of open) closeSync(fd)
  }
}

function* chunks(path: string): Generator<Uint8Array> {
  const fd = openSync(path, 'r')
  try {
    for (;;) {
      const chunk = new Uint8Array(65_536)
      const n = readSync(fd, chunk)
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
