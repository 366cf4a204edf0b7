/**
 * A switch on the bench: `n` memory ports on a virtual clock, frames in as bytes, frames out as hex by port. Checks the
 * ledger each time something was sent.
 */
import { expect } from 'vitest'
import {
  type DropName,
  FramePool,
  type FramePoolOptions,
  Loop,
  MemoryPort,
  SECOND,
  Switch,
  type SwitchOptions,
  type SwitchPort,
  type SwitchPortOptions,
  VirtualClock,
} from '../../src/index.ts'

export interface LabPort {
  readonly outside: MemoryPort
  readonly port: SwitchPort
}

export class Lab {
  readonly pool: FramePool
  readonly clock: VirtualClock = new VirtualClock()
  readonly loop: Loop
  readonly switch: Switch
  readonly ports: LabPort[] = []

  constructor(ports: number | SwitchPortOptions[], options: SwitchOptions = {}, pool: FramePoolOptions = {}) {
    this.pool = new FramePool({ frames: 256, ...pool })
    this.loop = new Loop(this.pool, this.clock)
    this.switch = new Switch(this.pool, this.clock, options)
    this.loop.every(SECOND, this.switch)
    for (const o of typeof ports === 'number' ? Array.from({ length: ports }, () => ({})) : ports) this.plug(o)
  }

  plug(options: SwitchPortOptions = {}): LabPort {
    const name = String.fromCharCode(97 + this.ports.length)
    const outside = new MemoryPort(this.pool, name)
    const port = this.switch.addPort(this.loop.link(outside), { name, ...options })
    this.loop.add(outside, port)
    const plugged = { outside, port }
    this.ports.push(plugged)
    return plugged
  }

  port(i: number): SwitchPort {
    return (this.ports[i] as LabPort).port
  }

  /** Sends frames into port `i` and says what came out, by port: `{ 1: ['02..'] }`. */
  send(i: number, ...frames: (string | Uint8Array)[]): Record<number, string[]> {
    for (const f of frames) {
      const bytes = typeof f === 'string' ? hex(f) : f
      this.ports[i]?.outside.inject(bytes)
    }
    this.loop.settle()
    return this.collect()
  }

  collect(): Record<number, string[]> {
    const out: Record<number, string[]> = {}
    for (const [i, { outside }] of this.ports.entries()) {
      const frames = outside.takeAll().map((b) => Buffer.from(b).toString('hex'))
      if (frames.length > 0) out[i] = frames
    }
    expect(this.pool.report()).toMatchObject({ balanced: true, held: 0 })
    return out
  }

  /** Drops so far, by reason. */
  get drops(): Partial<Record<DropName, number>> {
    return this.pool.report().dropped
  }

  /** Lets time pass, with the loop turning once a second. */
  wait(seconds: number): void {
    for (let s = 0; s < Math.floor(seconds); s++) {
      this.clock.advance(SECOND)
      this.loop.turn()
    }
    this.clock.advance(Math.round((seconds % 1) * SECOND))
    this.loop.turn()
  }

  /** The FDB as text: "02:00:00:00:00:0a v0 -> 0". */
  fdb(): string[] {
    return [...this.switch.fdb.list()].map((e) => `${e.mac} v${e.vlan} -> ${e.port}`).sort()
  }
}

/** Bytes of hex text; blanks and `|` are for reading. */
export function hex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text.replace(/[\s|]/g, ''), 'hex'))
}

/** Hex text without the blanks, as frames come out of the lab. */
export function flat(text: string): string {
  return text.replace(/[\s|]/g, '')
}

export const A = '02000000000a'
export const B = '02000000000b'
export const C = '02000000000c'
export const ALL = 'ffffffffffff'
export const GROUP = '01005e000001'

/** An untagged frame with a payload that names it. */
export function frame(dst: string, src: string, payload = 'c0ffee', type = '0800'): string {
  return `${dst}${src}${type}${payload}`
}

/** A tagged frame; `pcp` 0 to 7. */
export function tagged(dst: string, src: string, vid: number, pcp = 0, tpid = '8100', payload = '0800c0ffee'): string {
  return `${dst}${src}${tpid}${((pcp << 13) | vid).toString(16).padStart(4, '0')}${payload}`
}
