/**
 * Batches in which good and bad packets stand side by side: a passage, most of whose work is done by the fast run, says
 * of each what the engine says when it gets them one by one, in the same order.
 */
import { Batch, Drop, type Frame, Loop, NO_FRAME, VirtualClock } from '@l2l3/switch-core'
import { ipv4, parseIpv4 } from '@l2l3/switch-core/wire'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Addresses6, Nat, Passage, type Side, SourceNat } from '../src/index.ts'
import { Bench, bytesOf, kernel } from './awkward.ts'
import { ANN, BEN, cut, icmpError, NODE, packet, SRV, tcp, udp } from './nat-lab.ts'

/** A packet as it comes: its bytes, which way, and what a port says of it. */
interface Coming {
  ip: Uint8Array
  outward: boolean
  flags: number
  gsoType: number
}

/** A NAT between two sides; what went out, in order, by side. */
class Rig extends Bench {
  readonly clock: VirtualClock = new VirtualClock()
  readonly loop: Loop
  readonly nat: Nat
  readonly inside: Side
  readonly outside: Side
  went: string[] = []

  constructor() {
    super(512)
    this.loop = new Loop(this.pool, this.clock)
    const addresses = new Addresses6({ max: 256 })
    const source = new SourceNat(addresses, { to: [NODE], seed: 5 })
    const own = { is4: (a: number): boolean => a === parseIpv4(NODE), is6: (): boolean => false }
    this.nat = new Nat(this.loop, {
      addresses,
      maxFlows: 64,
      own,
      source: [
        {
          decide: (flow, reply) => flow.out === 2 && source.decide(flow, reply),
          ended: (tag) => source.ended(tag),
        },
      ],
    })
    this.inside = this.nat.addSide('inside')
    this.outside = this.nat.addSide('outside')
  }

  /** The frame of a packet, with what its port says. */
  come({ ip, flags, gsoType }: Coming): Frame {
    const f = this.frame(ip)
    this.pool.flags[f] = flags
    this.pool.gsoType[f] = gsoType
    this.pool.csumStart[f] = 34
    this.pool.csumOffset[f] = ip[9] === 6 ? 16 : 6
    return f
  }

  leave(f: Frame, to: Side): void {
    this.intact(f)
    this.went.push(`${to.name} ${this.ip(f)}`)
    this.pool.sent(f)
  }

  /** What happened since: packets that went out, and how many were dropped for which reason. */
  account(): unknown {
    const { dropped } = this.pool.report()
    const went = this.went.splice(0)
    this.balanced()
    return { went, dropped, flows: this.nat.conntrack.size, held: this.nat.fragments.held }
  }
}

/** In batches, through passages. */
class Batches extends Rig {
  readonly #out: Passage = new Passage(this.nat, this.inside, this.outside)
  readonly #in: Passage = new Passage(this.nat, this.outside, this.inside)
  readonly #batch: Batch = new Batch(64)

  constructor() {
    super()
    // What has waited for the first fragment comes back by a link of the passage; it goes out after it.
    for (const side of [this.inside, this.outside]) {
      const process = (batch: Batch): void => this.#pass(batch, side === this.inside)
      side.again = this.loop.link({ process })
    }
  }

  run(all: Coming[]): void {
    for (let i = 0; i < all.length; ) {
      const { outward } = all[i] as Coming
      for (; i < all.length && all[i]?.outward === outward; i++) this.#batch.push(this.come(all[i] as Coming))
      this.#pass(this.#batch, outward)
    }
    this.loop.settle()
  }

  #pass(batch: Batch, outward: boolean): void {
    const passage = outward ? this.#out : this.#in
    passage.process(batch)
    for (let i = 0; i < batch.length; i++) this.leave(batch.frames[i] as Frame, passage.to)
    batch.length = 0
  }
}

/** One by one, by the engine's two halves. */
class Singly extends Rig {
  constructor() {
    super()
    for (const side of [this.inside, this.outside]) {
      const process = (batch: Batch): void => {
        for (let i = 0; i < batch.length; i++) this.#cross(batch.frames[i] as Frame, side === this.inside)
        batch.length = 0
      }
      side.again = this.loop.link({ process })
    }
  }

  run(all: Coming[]): void {
    for (const one of all) this.#cross(this.come(one), one.outward)
    this.loop.settle()
  }

  #cross(f: Frame, outward: boolean): void {
    const { nat, pool } = this
    const [from, to] = outward ? [this.inside, this.outside] : [this.outside, this.inside]
    const l3 = this.l3(f)
    let why = this.#unsound(f, l3)
    if (why === null) {
      const went = nat.arrive(f, l3, from)
      if (went === NO_FRAME) return
      const left = went < NO_FRAME ? went : nat.leave(went as Frame, l3, from, to)
      if (left >= 0) {
        this.leave(left as Frame, to)
        return
      }
      why = (-2 - left) as Drop
    }
    pool.drop(f, why)
  }

  /** What a passage looks at before it asks the engine. */
  #unsound(f: Frame, l3: number): Drop | null {
    const { bytes } = this.pool
    if ((bytes[l3] as number) >>> 4 === 6) return null
    return ipv4.checkHeader(bytes, l3, this.end(f)) === -1 ? Drop.Malformed : null
  }
}

const good: Uint8Array[][] = [
  [5000, 5001, 5002].flatMap((p) => [udp(ANN, p, SRV, 53), tcp(ANN, p, SRV, 80, 2), tcp(ANN, p, SRV, 80, 16)]),
  [5000, 5001, 5002].flatMap((p) => [udp(SRV, 53, NODE, p), tcp(SRV, 80, NODE, p, 18), tcp(SRV, 80, NODE, p, 16)]),
]
const odd: Uint8Array[] = [
  udp(BEN, 5000, SRV, 53),
  tcp(BEN, 5000, SRV, 80, 17),
  tcp(ANN, 5000, SRV, 80, 4),
  packet(ANN, SRV, 1, bytesOf('0800 0000 1234 0001 6869'), 2),
  icmpError(SRV, NODE, 3, 3, udp(NODE, 5000, SRV, 53)),
  ...cut(udp(ANN, 5000, SRV, 53, 'x'.repeat(60)), 16, 4),
  ...cut(udp(SRV, 53, NODE, 5000, 'x'.repeat(60)), 24, 5),
  ...kernel.errors.flatMap((c) => [bytesOf(c.opening[0]), bytesOf(c.error[0])]),
]

const whole = fc
  .tuple(fc.boolean(), fc.nat(8))
  .map(([outward, i]): Coming => ({ ip: good[outward ? 0 : 1]?.[i] as Uint8Array, outward, flags: 0, gsoType: 0 }))
const any = fc
  .record({
    seed: fc.constantFrom(...odd, ...good.flat()),
    changes: fc.array(fc.tuple(fc.nat(60), fc.nat(255)), { maxLength: 2 }),
    short: fc.oneof(fc.constant(0), fc.nat(40)),
    pad: fc.oneof(fc.constant(0), fc.nat(18)),
    mend: fc.boolean(),
    outward: fc.boolean(),
    flags: fc.constantFrom(0, 0, 0, 1, 2, 3),
    gsoType: fc.constantFrom(0, 0, 0, 1, 4, 5, 0x81),
  })
  .map(({ seed, changes, short, pad, mend, outward, flags, gsoType }): Coming => {
    const b = new Uint8Array(Math.max(20, seed.length - short) + pad)
    b.set(seed.subarray(0, b.length))
    for (const [o, v] of changes) if (o < b.length) b[o] = v
    if (mend && ipv4.checkHeader(b, 0, b.length) !== -1) ipv4.fillChecksum(b, 0)
    return { ip: b, outward, flags, gsoType }
  })

describe('a passage', () => {
  it('does with batches of good and bad what the engine does with each', () => {
    let went = 0
    let dropped = 0
    fc.assert(
      fc.property(
        fc.array(
          fc.array(fc.oneof({ arbitrary: whole, weight: 3 }, { arbitrary: any, weight: 2 }), { maxLength: 40 }),
          { minLength: 1, maxLength: 6 },
        ),
        fc.array(fc.constantFrom(0, 1, 20, 40), { minLength: 6, maxLength: 6 }),
        (rounds, waits) => {
          const ours = new Batches()
          const model = new Singly()
          for (const [i, round] of rounds.entries()) {
            ours.run(round)
            model.run(round)
            const theirs = model.account() as { went: string[]; dropped: Record<string, number> }
            expect(ours.account()).toEqual(theirs)
            went += theirs.went.length
            if (i === rounds.length - 1) dropped += Object.values(theirs.dropped).reduce((a, b) => a + b, 0)
            for (const rig of [ours, model]) {
              rig.clock.advance((waits[i] as number) * 1e9)
              rig.loop.turn()
            }
          }
        },
      ),
      { numRuns: 500 },
    )
    expect(went).toBeGreaterThan(3000)
    expect(dropped).toBeGreaterThan(1000)
  })
})
