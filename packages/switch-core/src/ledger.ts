import { DROP_COUNT, DROP_NAMES, type DropName } from './drop.ts'

/*
 * The account of every frame:
 *
 *     received + originated + copied = sent + held + dropped (by reason)
 *
 * received    came in by a port, taken in or not (a frame that finds the pool spent is received and dropped)
 * originated  made here: an ARP answer, a segment cut from a super-frame, a frame put in by a program
 * copied      further references to a frame: a flood to k ports copies it k - 1 times, also where they share the bytes
 * sent        left by a port (or was consumed by the program that took it out)
 * held        is in a link, a queue or a batch at this moment: counted from the pool's reference counts, not kept here
 *
 * `held` is found by looking at the pool while the other figures are counted where things happen, so that a frame that
 * is leaked or freed twice shows as an imbalance.
 */

/** The ledger's figures at one moment, as plain data. */
export interface LedgerReport {
  readonly received: number
  readonly originated: number
  readonly copied: number
  readonly sent: number
  readonly held: number
  readonly dropped: Partial<Record<DropName, number>>
  readonly balanced: boolean
}

/** Counts frames in, out, copied and dropped; a pool has one. */
export class Ledger {
  /** Frames dropped, by the reason's number. */
  readonly drops: Float64Array = new Float64Array(DROP_COUNT)
  readonly #n: Float64Array = new Float64Array(4)

  get received(): number {
    return this.#n[0] as number
  }
  get originated(): number {
    return this.#n[1] as number
  }
  get copied(): number {
    return this.#n[2] as number
  }
  get sent(): number {
    return this.#n[3] as number
  }
  /** Frames dropped for any reason. */
  get dropped(): number {
    let sum = 0
    for (const n of this.drops) sum += n
    return sum
  }

  /** Notes `n` frames that came in by a port. */
  receive(n: number): void {
    ;(this.#n[0] as number) += n
  }
  /** Notes `n` frames that were made here. */
  originate(n: number): void {
    ;(this.#n[1] as number) += n
  }
  /** Notes `n` further references to frames, whether the bytes were copied or are shared. */
  copy(n: number): void {
    ;(this.#n[2] as number) += n
  }
  /** Notes `n` frames that left by a port. */
  send(n: number): void {
    ;(this.#n[3] as number) += n
  }

  /** The figures now, with what the pool holds. */
  report(held: number): LedgerReport {
    const dropped: Partial<Record<DropName, number>> = {}
    for (let i = 0; i < DROP_COUNT; i++) {
      const n = this.drops[i] as number
      if (n > 0) dropped[DROP_NAMES[i] as DropName] = n
    }
    const { received, originated, copied, sent } = this
    const balanced = received + originated + copied === sent + held + this.dropped
    return { received, originated, copied, sent, held, dropped, balanced }
  }
}
