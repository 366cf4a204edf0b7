import { mix } from './rendezvous.ts'

/*
 * Where services listen: (address, protocol and family and zone, port) -> a number. One look for each new flow, two where
 * the packet is for the node itself, which may be a node port.
 *
 *     slot: address | kind | port, and NODE_PORT where any local address will do | value + 1, 0 where the slot is free
 *
 * Open addressing, at most half full. It grows by doubling, when configured and never on the data path.
 */

/** Set in the port of a frontend that listens on all local addresses; its address is 0 then. */
export const NODE_PORT = 0x1_0000

/** What a search gives that finds nothing. */
export const NO_FRONTEND = -1

const WORDS = 4

/** Finds frontends. */
export class Frontends {
  readonly #seed: number
  #slots: Int32Array = new Int32Array(16 * WORDS)
  #mask = 15
  #size = 0

  /** @param seed of the hash */
  constructor(seed: number) {
    this.#seed = seed
  }

  /** How many are in. */
  get size(): number {
    return this.#size
  }

  /** What was put in for this address, kind and port, or `NO_FRONTEND`. */
  find(address: number, kind: number, port: number): number {
    const slots = this.#slots
    const a = address | 0
    const k = kind | 0
    for (let slot = this.#home(a, k, port); ; slot = (slot + 1) & this.#mask) {
      const at = slot * WORDS
      const value = slots[at + 3]
      if (value === 0) return NO_FRONTEND
      if (slots[at] === a && slots[at + 2] === port && slots[at + 1] === k) return value - 1
    }
  }

  /** Puts in a frontend that is not there yet; `value` is a number from 0 up to 2^31 - 2. */
  add(address: number, kind: number, port: number, value: number): void {
    if ((this.#size + 1) * 2 > this.#mask + 1) this.#grow()
    this.#put(address | 0, kind | 0, port, value + 1)
    this.#size++
  }

  /** Takes a frontend out, which must be there. */
  remove(address: number, kind: number, port: number): void {
    const slots = this.#slots
    const mask = this.#mask
    const a = address | 0
    const k = kind | 0
    let hole = this.#home(a, k, port)
    for (; ; hole = (hole + 1) & mask) {
      const at = hole * WORDS
      if (slots[at + 3] === 0) return
      if (slots[at] === a && slots[at + 1] === k && slots[at + 2] === port) break
    }
    // Later entries that may stand nearer to their home move into the hole.
    for (let next = (hole + 1) & mask; slots[next * WORDS + 3] !== 0; next = (next + 1) & mask) {
      const from = next * WORDS
      const home = this.#home(slots[from], slots[from + 1], slots[from + 2])
      if (((next - home) & mask) < ((next - hole) & mask)) continue
      slots.copyWithin(hole * WORDS, from, from + WORDS)
      hole = next
    }
    slots[hole * WORDS + 3] = 0
    this.#size--
  }

  #put(address: number, kind: number, port: number, word: number): void {
    let slot = this.#home(address, kind, port)
    while (this.#slots[slot * WORDS + 3] !== 0) slot = (slot + 1) & this.#mask
    const at = slot * WORDS
    this.#slots[at] = address
    this.#slots[at + 1] = kind
    this.#slots[at + 2] = port
    this.#slots[at + 3] = word
  }

  #grow(): void {
    const old = this.#slots
    this.#slots = new Int32Array(old.length * 2)
    this.#mask = this.#mask * 2 + 1
    for (let at = 0; at < old.length; at += WORDS) {
      if (old[at + 3] !== 0) this.#put(old[at], old[at + 1], old[at + 2], old[at + 3])
    }
  }

  #home(address: number, kind: number, port: number): number {
    return mix(mix(mix(address ^ this.#seed) ^ kind) ^ port) & this.#mask
  }
}
