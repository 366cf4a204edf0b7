/**
 * Two passages on the bench: what goes from `pods` to `uplink` is masqueraded as 203.0.113.1, what comes back is not, and one port of it is
 * mapped to a pod. Frames have a guard around them, so that a byte that is written beside them shows.
 */
import {
  Batch,
  type DropName,
  type Frame,
  FramePool,
  type FramePoolOptions,
  Loop,
  VirtualClock,
} from '@l2l3/switch-core'
import { parseIpv4 } from '@l2l3/switch-core/wire'
import { expect } from 'vitest'
import { Addresses6, Nat, type NatOptions, Passage } from '../../src/index.ts'
import { SourceNat } from '../../src/outbound/source-nat.ts'
import { hex } from './lab.ts'

const GUARD = 0xa5
const ETH = hex('0200000000a0 02000000000a')

export class TwoPassages {
  readonly pool: FramePool
  readonly clock: VirtualClock = new VirtualClock()
  readonly loop: Loop
  readonly nat: Nat
  readonly out: Passage
  readonly back: Passage
  readonly #batch: Batch = new Batch(256)

  constructor(options: NatOptions = {}, frames = 512, pool: FramePoolOptions = {}) {
    this.pool = new FramePool({ frames, frameSize: 2000, ...pool })
    this.loop = new Loop(this.pool, this.clock)
    const addresses = new Addresses6({ max: 1024 })
    const source = new SourceNat(addresses, { to: ['203.0.113.1'] })
    this.nat = new Nat(this.loop, {
      addresses,
      source: [{ decide: (q, reply) => q.out === 2 && source.decide(q, reply), ended: (tag) => source.ended(tag) }],
      destination: [
        {
          decide(q) {
            if (q.tuple.dst !== parseIpv4('203.0.113.1') || q.tuple.dstPort !== 8080) return false
            q.toAddress = parseIpv4('10.22.0.11')
            q.toPort = 80
            return true
          },
        },
      ],
      ...options,
    })
    const [pods, uplink] = [this.nat.addSide('pods'), this.nat.addSide('uplink')]
    this.out = new Passage(this.nat, pods, uplink)
    this.back = new Passage(this.nat, uplink, pods)
  }

  frame(packet: Uint8Array, shift = 0): Frame {
    const { pool } = this
    const f = pool.alloc() as Frame
    pool.off[f] = (pool.off[f] as number) + shift
    const o = pool.off[f] as number
    pool.bytes.fill(GUARD, o - 32, o + pool.room(f))
    const v6 = packet.length > 0 && (packet[0] as number) >>> 4 === 6
    pool.bytes.set(ETH, o)
    pool.bytes.set(v6 ? [0x86, 0xdd] : [8, 0], o + 12)
    pool.bytes.set(packet, o + 14)
    pool.len[f] = 14 + packet.length
    pool.ledger.receive(1)
    return f
  }

  /** Has frames pass, all in one batch. */
  pass(by: Passage, frames: Frame[]): Frame[] {
    const batch = this.#batch
    for (const [i, f] of frames.entries()) batch.frames[i] = f
    batch.length = frames.length
    by.process(batch)
    return [...batch.frames.subarray(0, batch.length)] as Frame[]
  }

  /** Has packets pass, in one batch, and gives what comes out in hex. */
  send(by: Passage, ...packets: string[]): string[] {
    return this.end(
      this.pass(
        by,
        packets.map((p) => this.frame(hex(p))),
      ),
    )
  }

  /** Takes frames off and gives their packets in hex. */
  end(frames: Frame[]): string[] {
    return frames.map((f) => {
      this.intact(f)
      const text = Buffer.from(this.pool.copyOut(f).subarray(14)).toString('hex')
      this.pool.sent(f)
      return text
    })
  }

  /** Expects that nothing beside the frame was written. */
  intact(f: Frame): void {
    const { pool } = this
    const o = pool.off[f] as number
    for (let i = o - 32; i < o; i++) if (pool.bytes[i] !== GUARD) expect.fail(`byte ${i - o} was written`)
    const end = o + (pool.len[f] as number)
    for (let i = end; i < o + pool.room(f); i++)
      if (pool.bytes[i] !== GUARD) expect.fail(`byte ${i - end} behind the frame was written`)
  }

  get drops(): Partial<Record<DropName, number>> {
    return this.pool.report().dropped
  }
}
