import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { CaptureSink } from '@l2l3/switch-core/pcap'
import type { World } from '@l2l3/topology'

/*
 * `l2l3 up --pcap DIR`: what passes each port, both ways, in a file of its own, `NODE.PORT.pcapng`. (Names of nodes and ports
 * have no dots.) A file that cannot be written any more, as on a full disk, is told of once and left as it is: frames
 * pass all the same.
 */

/** Captures of a running topology, in files. */
export class CaptureFiles {
  readonly #directory: string
  readonly #onProblem: (text: string) => void
  readonly #files: Map<string, number> = new Map()
  #stop: () => Promise<void> = async () => {}

  private constructor(directory: string, onProblem: (text: string) => void) {
    this.#directory = directory
    this.#onProblem = onProblem
  }

  /** Starts to capture. Throws an Error with a sentence where the directory or a file in it cannot be made. */
  static async start(world: World, directory: string, onProblem: (text: string) => void): Promise<CaptureFiles> {
    tryTo('make the directory', directory, () => mkdirSync(directory, { recursive: true }))
    const files = new CaptureFiles(directory, onProblem)
    try {
      files.#stop = await world.capture((label) => files.#sink(label))
    } catch (error) {
      files.#close()
      throw error
    }
    return files
  }

  /** Ends the captures: all that has passed is in the files then. */
  async stop(): Promise<void> {
    try {
      await this.#stop()
    } finally {
      this.#close()
    }
  }

  #close(): void {
    for (const fd of this.#files.values()) closeSync(fd)
    this.#files.clear()
  }

  #sink(label: string): CaptureSink {
    const path = join(this.#directory, `${label.replace('/', '.')}.pcapng`)
    const fd = tryTo('write the capture', path, () => openSync(path, 'w'))
    // A port that comes again, after it has gone, begins anew.
    const before = this.#files.get(path)
    if (before !== undefined) closeSync(before)
    this.#files.set(path, fd)
    let well = true
    return (chunk) => {
      if (!well || this.#files.get(path) !== fd) return
      try {
        for (let at = 0; at < chunk.length; ) at += writeSync(fd, chunk, at)
      } catch (error) {
        well = false
        this.#onProblem(`the capture ${path} ends here: ${(error as Error).message}`)
      }
    }
  }
}

function tryTo<T>(what: string, path: string, action: () => T): T {
  try {
    return action()
  } catch (error) {
    throw new Error(`cannot ${what} ${path}: ${(error as Error).message}`)
  }
}
