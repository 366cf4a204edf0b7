/**
 * A NAT with a side within and a side without, and packets handed to it one by one: `cross` takes a packet through both
 * halves with a hop between, as a router would, and says what became of it.
 *
 *     10.22.0.11 (ANN), 10.22.0.12 (BEN)  inside ── Nat ── outside, 203.0.113.1  203.0.113.2 (SRV)
 */
import { type Batch, DROP_NAMES, type Drop, type Frame, Loop, NO_FRAME, VirtualClock } from '@l2l3/switch-core'
import { ipv4, ipv6, parseIpv4 } from '@l2l3/switch-core/wire'
import { Nat, type NatOptions, type Side, SourceNat, type SourceNatOptions, type SourcePolicy } from '../src/index.ts'
import { Bench, bytesOf, naivePseudo, naiveSum } from './awkward.ts'

export const ANN = '10.22.0.11'
export const BEN = '10.22.0.12'
export const NODE = '203.0.113.1'
export const SRV = '203.0.113.2'
export const EVE = '198.51.100.66'

const address = (text: string): number => parseIpv4(text) as number
const put = (b: Uint8Array, o: number, v: number): void => {
  b[o] = v >>> 8
  b[o + 1] = v & 255
}

/** An IPv4 packet around `payload`, whose checksum at `field` (-1: none) is filled in; with a pseudo-header where it has one. */
export function packet(from: string, to: string, protocol: number, payload: Uint8Array, field: number): Uint8Array {
  const b = new Uint8Array(20 + payload.length)
  ipv4.write(b, 0, { src: address(from), dst: address(to), protocol, payload: payload.length, id: 7 })
  b.set(payload, 20)
  if (field !== -1) {
    put(b, 20 + field, 0)
    const pseudo = protocol === 1 ? 0 : naivePseudo(b, 0, protocol, payload.length)
    put(b, 20 + field, ~naiveSum(b, 20, b.length, pseudo) & 0xffff || 0xffff)
  }
  return b
}

export function udp(from: string, sport: number, to: string, dport: number, data = 'data'): Uint8Array {
  const payload = new Uint8Array(8 + data.length)
  put(payload, 0, sport)
  put(payload, 2, dport)
  put(payload, 4, payload.length)
  payload.set(new TextEncoder().encode(data), 8)
  return packet(from, to, 17, payload, 6)
}

/** Flags as bits: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32. */
export function tcp(from: string, sport: number, to: string, dport: number, flags: number, seq = 1000): Uint8Array {
  const payload = bytesOf('0000 0000 00000000 00000000 5000 ffff 0000 0000')
  put(payload, 0, sport)
  put(payload, 2, dport)
  put(payload, 6, seq)
  payload[13] = flags
  return packet(from, to, 6, payload, 16)
}

/** An ICMP error about `quoted`, of which `n` bytes are in it. */
export function icmpError(
  from: string,
  to: string,
  type: number,
  code: number,
  quoted: Uint8Array,
  n = 576,
): Uint8Array {
  const payload = new Uint8Array(8 + Math.min(n, quoted.length))
  payload[0] = type
  payload[1] = code
  payload.set(quoted.subarray(0, n), 8)
  return packet(from, to, 1, payload, 2)
}

/** Cuts an IPv4 packet into two fragments, behind `at` bytes of its payload. */
export function cut(whole: Uint8Array, at: number, id: number): [Uint8Array, Uint8Array] {
  const part = (from: number, to: number, more: boolean): Uint8Array => {
    const b = new Uint8Array(20 + to - from)
    b.set(whole.subarray(0, 20))
    b.set(whole.subarray(20 + from, 20 + to), 20)
    put(b, 2, b.length)
    put(b, 4, id)
    put(b, 6, (more ? 0x2000 : 0) | (from >>> 3))
    ipv4.fillChecksum(b, 0)
    return b
  }
  return [part(0, at, true), part(at, whole.length - 20, false)]
}

/** Whether every checksum of a whole IPv4 packet of TCP, UDP or ICMP is right. */
export function isRight(b: Uint8Array): boolean {
  if (naiveSum(b, 0, 20) !== 0xffff) return false
  const protocol = b[9] as number
  return naiveSum(b, 20, b.length, protocol === 1 ? 0 : naivePseudo(b, 0, protocol, b.length - 20)) === 0xffff
}

/** What a packet became: its bytes, the reason why it was dropped, or null where it was taken and waits. */
export type Fate = Uint8Array | string | null

export class NatLab extends Bench {
  readonly clock: VirtualClock = new VirtualClock()
  readonly loop: Loop
  readonly nat: Nat
  readonly source: SourceNat
  readonly inside: Side
  readonly outside: Side
  /** What became of packets that had waited, in order. */
  readonly later: Fate[] = []

  /** @param policy instead of a SourceNat */
  constructor(options: NatOptions = {}, sourceNat: SourceNatOptions = {}, policy?: SourcePolicy, frames = 256) {
    super(frames)
    this.loop = new Loop(this.pool, this.clock)
    const policies: SourcePolicy[] = []
    const own = { is4: (a: number): boolean => a === address(NODE), is6: (): boolean => false }
    this.nat = new Nat(this.loop, { source: policies, own, ...options })
    this.source = new SourceNat(this.nat.addresses, { to: [NODE], ...sourceNat })
    const { source } = this
    policies.push(
      policy ?? {
        decide: (flow, reply) => flow.out === this.outside.number && source.decide(flow, reply),
        ended: (tag) => source.ended(tag),
      },
    )
    this.inside = this.nat.addSide('inside')
    this.outside = this.nat.addSide('outside')
    for (const side of [this.inside, this.outside]) {
      const back = (batch: Batch): void => {
        for (let i = 0; i < batch.length; i++) this.later.push(this.#cross(side, batch.frames[i] as Frame))
        batch.length = 0
      }
      side.again = this.loop.link({ process: back })
    }
  }

  /** A packet comes from within. */
  out(ip: Uint8Array | string): Fate {
    return this.cross(this.inside, ip)
  }
  /** A packet comes from without. */
  in(ip: Uint8Array | string): Fate {
    return this.cross(this.outside, ip)
  }

  cross(side: Side, ip: Uint8Array | string): Fate {
    const fate = this.#cross(side, this.frame(ip))
    this.loop.settle()
    this.balanced()
    return fate
  }

  #cross(side: Side, f: Frame): Fate {
    const { nat, pool } = this
    const went = nat.arrive(f, this.l3(f), side)
    if (went === NO_FRAME) return null
    if (went < NO_FRAME) return this.#end(f, (-2 - went) as Drop)
    const g = went as Frame
    this.intact(g)
    const l3 = this.l3(g)
    const { bytes } = pool
    if ((bytes[l3] as number) >>> 4 === 4) ipv4.decrementTtl(bytes, l3)
    else bytes[l3 + ipv6.HOP_LIMIT] = (bytes[l3 + ipv6.HOP_LIMIT] as number) - 1
    const left = nat.leave(g, l3, side, side === this.inside ? this.outside : this.inside)
    if (left < NO_FRAME) return this.#end(g, (-2 - left) as Drop)
    this.intact(g)
    const out = bytesOf(this.ip(g))
    pool.sent(g)
    return out
  }

  #end(f: Frame, why: Drop): string {
    this.pool.drop(f, why)
    return DROP_NAMES[why] as string
  }

  /** Time passes, and the loop with it. */
  wait(seconds: number): void {
    for (let i = 0; i < 10; i++) {
      this.clock.advance(seconds * 1e8)
      this.loop.turn()
    }
  }
}
