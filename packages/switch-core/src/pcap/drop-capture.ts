import type { Clock } from '../clock.ts'
import { DROP_NAMES, type Drop, dropSentence } from '../drop.ts'
import type { Frame, FrameObserver, FramePool } from '../frame-pool.ts'
import { WallClock } from './timestamp.ts'
import type { CaptureWriter } from './writer.ts'

/*
 * A capture of what did not get through: every frame that is dropped is written with the reason as its comment, so that
 * Wireshark shows "SamePort: The destination was learnt on the port that the frame came from ..." beside its bytes. In
 * a pcapng file the frames stand on interfaces named for the ports that they came in on.
 *
 *     const drops = new DropCapture(pool, clock, new PcapngWriter(sink), [web, db])
 *     pool.observer = drops
 *
 * A frame that was refused before it had a row (no slot, too long) has no bytes here; only the ledger knows of it.
 */

/** A port as far as the capture needs it. */
interface Named {
  readonly id: number
  readonly name: string
}

/** Writes dropped frames with their reason; set it as the pool's `observer`. */
export class DropCapture implements FrameObserver {
  readonly #pool: FramePool
  readonly #wall: WallClock
  readonly #to: CaptureWriter
  readonly #here: number
  readonly #interfaces: Map<number, number> = new Map()
  readonly #reasons: (Uint8Array | null)[]
  readonly #next: FrameObserver | null
  #failure: Error | null = null

  /**
   * @param ports whose names the interfaces get; frames of others, and those made here, stand on one named `here`
   * @param next is told of everything too: the observer that the pool had before
   */
  constructor(
    pool: FramePool,
    clock: Clock,
    to: CaptureWriter,
    ports: Iterable<Named> = [],
    next?: FrameObserver | null,
  ) {
    this.#pool = pool
    this.#wall = new WallClock(clock)
    this.#to = to
    this.#next = next ?? null
    this.#here = to.interface('here')
    for (const { id, name } of ports) this.#interfaces.set(id, to.interface(name))
    this.#reasons = DROP_NAMES.map((name) => to.options('inbound', [`${name}: ${dropSentence(name)}`]))
  }

  /** What the writer's sink has thrown, after which nothing more is written; or null. */
  get failure(): Error | null {
    return this.#failure
  }

  dropped(f: Frame, why: Drop): void {
    this.#next?.dropped?.(f, why)
    if (this.#failure !== null) return
    const { bytes, off, len, port } = this.#pool
    const on = this.#interfaces.get(port[f] as number) ?? this.#here
    const n = len[f] as number
    this.#wall.update()
    try {
      const { seconds, nanoseconds } = this.#wall
      this.#to.put(on, seconds, nanoseconds, bytes, off[f] as number, n, n, this.#reasons[why] ?? null)
    } catch (error) {
      this.#failure = error as Error
    }
  }

  copied(from: Frame, to: Frame): void {
    this.#next?.copied?.(from, to)
  }
}
