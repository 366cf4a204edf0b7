import type { Passage, Side } from '@l2l3/nat'
import {
  type Batch,
  type Element,
  type Frame,
  type FramePool,
  type Link,
  type MacWords,
  moveMac,
  putMac,
} from '@l2l3/switch-core'
import { formatMac, ipv4, ipv6, u32 } from '@l2l3/switch-core/wire'
import { TurnedFragments } from './turned-fragments.ts'
import type { VfpNat } from './vfp-nat.ts'

/*
 * What services make of a frame at the port of the pod that sends it: another destination, and the MAC address that goes with it
 * (modes.md 17.1: "address fix-ups and LB NAT happen at the source pod's vSwitch port").
 *
 *     pod ─> passage ─> destination as before?                as it is
 *                       now of another endpoint of the node   its MAC: the switch takes it there, and no TTL changes
 *                       now of the pod itself                 back to the pod, by the way in
 *                       an answer to such a packet            likewise
 *                       now of another node's                 as it is: it goes where the pod sent it, its gateway
 *
 * A pod that is its own backend needs loopback DSR: an OutBoundNAT policy with its own address for a destination, which gives the
 * packet another source. The answer to that source is known by its flow, and turned round here. Without the policy the pod would get
 * a packet from itself; that is left to the switch, which drops it (modes.md 17.1: the hairpin fails without it).
 *
 * Such frames come to the pod from the MAC it sent them to.
 */

/** The endpoints of a node, by their addresses. */
export interface LocalEndpoints {
  /** The MAC of the endpoint that has the IPv4 address at `at` of `b`; null where none has. */
  mac4(b: Uint8Array, at: number): MacWords | null
  /** Likewise for IPv6. */
  mac6(b: Uint8Array, at: number): MacWords | null
}

/** What a port has. */
export interface FixUpOptions {
  /** From the pod to the switch. */
  readonly passage: Passage
  readonly endpoints: LocalEndpoints
  /** The pod's MAC. */
  readonly own: MacWords
  readonly vfp: VfpNat
  readonly switchSide: Side
  /** Leads to the pod by the port's way in. */
  readonly back: Link
}

/** A number for the IPv6 address at `at`: of two that are alike, a packet may take the long way for nothing. */
export function addressKey6(b: Uint8Array, at: number): number {
  let hash = 0
  for (let i = 0; i < 16; i += 4) hash = Math.imul(hash ^ u32(b, at + i), 0x9e3779b1)
  return hash
}

const ETHERTYPE_IPV4 = 0x0800
const ETHERTYPE_IPV6 = 0x86dd

/** Translates what a pod sends, and puts its destination MAC right. */
export class AddressFixUp implements Element {
  readonly #pool: FramePool
  readonly #o: FixUpOptions
  /** Where each frame of the batch was going to: the IPv4 address, or a hash of the IPv6 address; by row. */
  readonly #before: Int32Array
  readonly #fragments: TurnedFragments

  constructor(pool: FramePool, options: FixUpOptions) {
    this.#pool = pool
    this.#o = options
    this.#before = new Int32Array(pool.frames)
    this.#fragments = new TurnedFragments(pool)
  }

  process(batch: Batch): void {
    const pool = this.#pool
    const { frames } = batch
    const { refs } = pool
    const before = this.#before
    let kept = 0
    for (let i = 0; i < batch.length; i++) {
      // Rows that others hold are copied now, so that they are the same ones behind the passage.
      const f = refs[frames[i] as Frame] === 1 ? (frames[i] as Frame) : pool.own(frames[i] as Frame)
      if (f < 0) continue
      before[f] = this.#destination(f as Frame)
      frames[kept++] = f
    }
    batch.length = kept
    this.#o.passage.process(batch)
    kept = 0
    for (let i = 0; i < batch.length; i++) {
      const f = frames[i] as Frame
      const to = this.#destination(f)
      if (to !== before[f] ? this.#fixed(f) : to !== 0 && this.#isTurnable(to) && this.#turned(f, to)) continue
      frames[kept++] = f
    }
    batch.length = kept
  }

  /** Where a frame goes, as a number; 0 for what is not IP. */
  #destination(f: Frame): number {
    const { bytes: b, data, off, len } = this.#pool
    const o = off[f] as number
    const size = len[f] as number
    if (size < 34) return 0
    const type = data.getUint16(o + 12, false)
    if (type === ETHERTYPE_IPV4) return u32(b, o + 14 + ipv4.DST) | 0
    if (type !== ETHERTYPE_IPV6 || size < 54) return 0
    return addressKey6(b, o + 14 + ipv6.DST)
  }

  /** Puts the MAC right of a frame whose destination was translated; true where it was sent back. */
  #fixed(f: Frame): boolean {
    const pool = this.#pool
    const { bytes, data, off } = pool
    const o = off[f] as number
    const six = data.getUint16(o + 12, false) === ETHERTYPE_IPV6
    const { endpoints, own } = this.#o
    const mac = six ? endpoints.mac6(bytes, o + 14 + ipv6.DST) : endpoints.mac4(bytes, o + 14 + ipv4.DST)
    if (mac === null) {
      this.#note(f, 'the backend is not on this node: the frame goes where the pod sent it')
      return false
    }
    if (mac.lo === own.lo && mac.hi === own.hi) {
      if (this.#isFromItself(f, six)) {
        this.#note(f, 'the pod is its own backend, and no OutBoundNAT has it for a destination (loopback DSR)')
        putMac(data, o, mac)
        return false
      }
      return this.#back(f, 'the pod is its own backend: back to it')
    }
    putMac(data, o, mac)
    if (pool.trace?.follows(f)) this.#note(f, `the backend is on this node: destination MAC is ${formatMac(bytes, o)}`)
    return false
  }

  #isFromItself(f: Frame, six: boolean): boolean {
    const { bytes: b, off } = this.#pool
    const l3 = (off[f] as number) + 14
    const [src, dst, size] = six ? [l3 + ipv6.SRC, l3 + ipv6.DST, 16] : [l3 + ipv4.SRC, l3 + ipv4.DST, 4]
    for (let i = 0; i < size; i++) if (b[src + i] !== b[dst + i]) return false
    return true
  }

  /** Sends an answer back that is for an address which the pod's own packets have got. */
  #turned(f: Frame, to: number): boolean {
    const { vfp, switchSide } = this.#o
    if (this.#fragments.follows(f, to)) return this.#back(f, 'a later fragment of such an answer: back to it')
    const known = vfp.nat.knows(f, (this.#pool.off[f] as number) + 14, switchSide)
    this.#fragments.note(f, to, known)
    if (!known) return false
    return this.#back(f, 'an answer to what the pod has sent to itself: back to it')
  }

  #isTurnable(to: number): boolean {
    const { loopbackSources } = this.#o.vfp
    for (let i = 0; i < loopbackSources.length; i++) if (loopbackSources[i] === to) return true
    return false
  }

  /** Has the frame come in again, from the MAC that the pod has sent it to. */
  #back(f: Frame, why: string): true {
    const { data, off } = this.#pool
    const { own, back } = this.#o
    const o = off[f] as number
    moveMac(data, o + 6, o)
    putMac(data, o, own)
    this.#note(f, why)
    back.push(f)
    return true
  }

  #note(f: Frame, why: string): void {
    const { trace } = this.#pool
    if (trace?.follows(f)) trace.note(f, 'VFP', why)
  }
}
