/**
 * Somebody who traces: follows every frame, or those that are named, and keeps what elements say. It insists on what a sentence must
 * be: about a row that is in use, without a full stop, and with every value there.
 */
import { expect } from 'vitest'
import type { Frame, FramePool, FrameTrace } from '../src/index.ts'

export class Listener implements FrameTrace {
  /** "switch: FDB hit ...", in order; of a derived frame "router > ICMP ...". */
  readonly said: string[] = []
  readonly #pool: FramePool
  readonly #follows: (f: Frame) => boolean

  /** Starts to listen. */
  constructor(pool: FramePool, follows: (f: Frame) => boolean = () => true) {
    this.#pool = pool
    this.#follows = follows
    pool.trace = this
  }

  follows(f: Frame): boolean {
    return this.#follows(f)
  }

  note(f: Frame, by: string, why: string): void {
    expect(this.#pool.refs[f], `${by}: ${why}`).toBeGreaterThan(0)
    this.#say(`${by}: ${why}`)
  }

  derived(from: Frame, to: Frame, by: string, why: string): void {
    expect(from).not.toBe(to)
    for (const f of [from, to]) expect(this.#pool.refs[f], `${by}: ${why}`).toBeGreaterThan(0)
    expect(this.#pool.len[to]).toBeGreaterThan(13)
    this.#say(`${by} > ${why}`)
  }

  /** What was said since it was asked last. */
  heard(): string[] {
    return this.said.splice(0)
  }

  #say(text: string): void {
    expect(text).not.toMatch(/undefined|NaN|null|\[object|\.$|^\s|\s$| {2}/)
    this.said.push(text)
  }
}
