/**
 * Ports of a filter on the bench: a frame is given to one way of a port, and what is left of it comes out. Frames have a guard around them,
 * and a copy is kept of each: a filter changes no byte.
 */
import { Batch, type DropName, type Frame, FramePool, Loop, VirtualClock } from '@l2l3/switch-core'
import { expect } from 'vitest'
import { type AclOptions, Filter, type FilterOptions, type FilterPort } from '../../src/index.ts'
import { hex } from '../engine/lab.ts'

const GUARD = 0xa5
const ETH = hex('0200000000a0 02000000000a')

export class FilterLab {
  readonly pool: FramePool
  readonly clock: VirtualClock = new VirtualClock()
  readonly loop: Loop
  readonly filter: Filter
  readonly port: FilterPort
  readonly #batch: Batch = new Batch(256)

  constructor(acl: AclOptions = {}, options: FilterOptions = {}, frames = 512) {
    this.pool = new FramePool({ frames, frameSize: 2000 })
    this.loop = new Loop(this.pool, this.clock)
    this.filter = new Filter(this.loop, options)
    this.port = this.filter.addPort('pod', acl)
  }

  /** A frame with an IP packet; `tags` stand before its EtherType. */
  frame(packet: Uint8Array, tags: readonly number[] = []): Frame {
    const { pool } = this
    const f = pool.alloc() as Frame
    const o = pool.off[f] as number
    pool.bytes.fill(GUARD, o - 32, o + pool.room(f))
    const v6 = packet.length > 0 && (packet[0] as number) >>> 4 === 6
    const head = [...ETH, ...tags, ...(v6 ? [0x86, 0xdd] : [8, 0])]
    pool.bytes.set(head, o)
    pool.bytes.set(packet, o + head.length)
    pool.len[f] = head.length + packet.length
    pool.ledger.receive(1)
    return f
  }

  pass(out: boolean, frames: Frame[], port: FilterPort = this.port): Frame[] {
    const batch = this.#batch
    for (const [i, f] of frames.entries()) batch.frames[i] = f
    batch.length = frames.length
    ;(out ? port.out : port.in).process(batch)
    return [...batch.frames.subarray(0, batch.length)] as Frame[]
  }

  /** Whether each packet passes; all in one batch. */
  send(out: boolean, packets: readonly string[], port: FilterPort = this.port): boolean[] {
    const frames = packets.map((p) => this.frame(hex(p)))
    const before = frames.map((f) => this.pool.copyOut(f))
    const passed = this.pass(out, frames, port)
    const verdicts = frames.map((f, i) => {
      if (!passed.includes(f)) return false
      expect(this.pool.copyOut(f)).toEqual(before[i])
      this.intact(f)
      this.pool.sent(f)
      return true
    })
    expect(this.pool.report().balanced).toBe(true)
    return verdicts
  }

  out(packet: string): boolean {
    return this.send(true, [packet])[0] as boolean
  }

  in(packet: string): boolean {
    return this.send(false, [packet])[0] as boolean
  }

  intact(f: Frame): void {
    const { pool } = this
    const o = pool.off[f] as number
    for (let i = o - 32; i < o; i++) if (pool.bytes[i] !== GUARD) expect.fail(`byte ${i - o} was written`)
    const end = o + (pool.len[f] as number)
    for (let i = end; i < o + pool.room(f); i++)
      if (pool.bytes[i] !== GUARD) expect.fail(`byte ${i - end} behind the frame was written`)
  }

  seconds(n: number): void {
    for (let i = 0; i < n * 10; i++) {
      this.clock.advance(100e6)
      this.loop.settle()
    }
  }

  get drops(): Partial<Record<DropName, number>> {
    return this.pool.report().dropped
  }
}
