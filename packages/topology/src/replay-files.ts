import { closeSync, mkdirSync, openSync, readSync, renameSync, rmSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { type ReplayDirection, type ReplayInput, type ReplayReport, replay } from './replay.ts'
import type { Topology } from './topology.ts'

/*
 * Replay with files at both ends. What comes out is written beside its final name and takes that name once all of it is
 * there, so a run that fails leaves the captures of the one before:
 *
 *     out/sw1.red.pcap.new  --all written-->  out/sw1.red.pcap
 *
 * No output may be an input, under whatever name: it would be emptied before it is played.
 */

/** Captures to replay by port label, as files, and the directory for what comes out. */
export interface ReplayFiles {
  /** Pairs of a port's label and a path. */
  readonly inputs: readonly (readonly [port: string, path: string])[]
  /** Made where it does not exist. Gets one capture for each port: `NODE.PORT.pcap`. */
  readonly out: string
  /** Which frames are played; see `ReplayOptions`. */
  readonly direction?: ReplayDirection | undefined
}

/**
 * Replays files into files; see `replay`.
 *
 * @throws Error where a file cannot be read or written, an input is not a regular file, or an output is an input
 */
export function replayFiles(topology: Topology, { inputs, out, direction }: ReplayFiles): ReplayReport {
  const read = new Map(inputs.map(([, file]) => [regular(file), file]))
  const outputs: { readonly path: string; readonly fresh: string; readonly fd: number }[] = []
  let made = false
  let whole = false
  try {
    const report = replay(topology, {
      inputs: inputs.map(([port, file]): ReplayInput => ({ port, file, open: () => chunks(file) })),
      direction,
      output: (port) => {
        if (!made) tryTo('make the directory', out, () => mkdirSync(out, { recursive: true }))
        made = true
        const path = join(out, `${port.replace('/', '.')}.pcap`)
        const fresh = `${path}.new`
        for (const name of [path, fresh]) {
          const input = read.get(identity(name) ?? '')
          if (input === undefined) continue
          throw new Error(`cannot write the capture ${name}: it is the input ${input}; choose another directory`)
        }
        const fd = tryTo('write the capture', fresh, () => openSync(fresh, 'w'))
        outputs.push({ path, fresh, fd })
        return (chunk) => tryTo('write the capture', fresh, () => writeAll(fd, chunk))
      },
    })
    whole = true
    return report
  } finally {
    for (const { fd } of outputs) closeSync(fd)
    for (const { path, fresh } of outputs) {
      if (whole) tryTo('write the capture', path, () => renameSync(fresh, path))
      else rmSync(fresh, { force: true })
    }
  }
}

/** Identity of an input, which is read twice: a pipe would be empty by then. */
function regular(path: string): string {
  const stat = tryTo('read the capture', path, () => statSync(path, { bigint: true }))
  if (!stat.isFile()) throw new Error(`cannot read the capture ${path}: it must be a regular file, it is read twice`)
  return `${stat.dev}:${stat.ino}`
}

/** Device and inode: the same for all names of a file. Undefined where there is none. */
function identity(path: string): string | undefined {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false })
  return stat === undefined ? undefined : `${stat.dev}:${stat.ino}`
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
