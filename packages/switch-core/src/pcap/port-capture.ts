import type { Clock } from '../clock.ts'
import type { Frame } from '../frame-pool.ts'
import type { Port, PortWatcher } from '../port/port.ts'
import { PcapngWriter } from './pcapng-writer.ts'
import { WallClock } from './timestamp.ts'
import type { CaptureSink } from './writer.ts'

/*
 * A capture of what passes a port, whatever kind it is: both ways, a pcapng file of one interface that is named for the port.
 *
 *     the world --> port --- received, `inbound' ---> elements
 *     the world <-- port <-- sent, `outbound' ------- elements
 *
 * A frame stands in it as it crossed: a super-frame whole, a checksum that was left to somebody else unfinished, as
 * tcpdump would show it on the interface. One that could not leave is not in it.
 */

/** Writes what passes a port to a capture until it is closed. */
export class PortCapture implements PortWatcher {
  readonly #port: Port
  readonly #wall: WallClock
  readonly #to: PcapngWriter
  readonly #on: number
  readonly #inbound: Uint8Array
  readonly #outbound: Uint8Array
  #failure: Error | null = null

  /**
   * Begins.
   *
   * @param clock whose time frames get
   * @param name of the interface in the file
   * @throws Error where somebody else watches the port
   */
  constructor(port: Port, clock: Clock, sink: CaptureSink, name: string = port.name) {
    if (port.watcher !== null) throw new Error(`port ${name} is being captured already`)
    this.#port = port
    this.#wall = new WallClock(clock)
    this.#to = new PcapngWriter(sink)
    this.#on = this.#to.interface(name)
    this.#inbound = this.#to.options('inbound', [])
    this.#outbound = this.#to.options('outbound', [])
    port.watcher = this
  }

  /** What the sink has thrown, after which nothing more is written; or null. */
  get failure(): Error | null {
    return this.#failure
  }

  received(frames: Uint32Array, n: number): void {
    this.#put(frames, n, this.#inbound)
  }

  sent(frames: Uint32Array, n: number): void {
    this.#put(frames, n, this.#outbound)
  }

  /** Hands the sink what was gathered. */
  flush(): void {
    if (this.#failure !== null) return
    try {
      this.#to.flush()
    } catch (error) {
      this.#failure = error as Error
    }
  }

  /** Ends the capture. May be called again. */
  close(): void {
    if (this.#port.watcher === this) this.#port.watcher = null
    this.flush()
  }

  #put(frames: Uint32Array, n: number, way: Uint8Array): void {
    if (this.#failure !== null) return
    const { bytes, off, len } = this.#port.pool
    const wall = this.#wall
    wall.update()
    try {
      for (let i = 0; i < n; i++) {
        const f = frames[i] as Frame
        const length = len[f] as number
        const { seconds, nanoseconds } = wall
        this.#to.put(this.#on, seconds, nanoseconds, bytes, off[f] as number, length, length, way)
      }
    } catch (error) {
      this.#failure = error as Error
    }
  }
}
