import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { World } from '../world.ts'

/** What passes the ports of a lab, both ways, in memory as pcapng: for what tests send, not for days of traffic. */
export class LabCapture implements AsyncDisposable {
  readonly #chunks: Map<string, Uint8Array[]> = new Map()
  readonly #directory: string | null
  #end: () => Promise<void> = async () => {}
  #stopped: Promise<ReadonlyMap<string, Uint8Array>> | undefined

  private constructor(directory: string | null) {
    this.#directory = directory
  }

  /** Use `Lab.capture`. */
  static async start(world: World, directory: string | null): Promise<LabCapture> {
    const capture = new LabCapture(directory)
    capture.#end = await world.capture((label) => {
      const chunks: Uint8Array[] = []
      capture.#chunks.set(label, chunks)
      return (chunk) => chunks.push(chunk)
    })
    return capture
  }

  /** Ends the capture and gives it, by the ports' labels; where a directory was named, it is in files there as well. May be
   * called again. */
  stop(): Promise<ReadonlyMap<string, Uint8Array>> {
    this.#stopped ??= this.#stop()
    return this.#stopped
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  async #stop(): Promise<ReadonlyMap<string, Uint8Array>> {
    await this.#end()
    const captures = new Map(Array.from(this.#chunks, ([label, chunks]) => [label, joined(chunks)]))
    if (this.#directory !== null) {
      mkdirSync(this.#directory, { recursive: true })
      for (const [label, bytes] of captures) {
        writeFileSync(join(this.#directory, `${label.replace('/', '.')}.pcapng`), bytes)
      }
    }
    return captures
  }
}

function joined(chunks: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0))
  let at = 0
  for (const chunk of chunks) {
    all.set(chunk, at)
    at += chunk.length
  }
  return all
}
