import { Passage, type Side } from '@l2l3/nat'
import {
  Batch,
  type Element,
  type Frame,
  type FramePool,
  type Link,
  type MacWords,
  NO_FRAME,
  Pipeline,
  putMac,
} from '@l2l3/switch-core'
import { put32 } from '@l2l3/switch-core/wire'
import type { Ground } from '../ground.ts'
import type { LocalEndpoints } from './address-fix-up.ts'
import type { VfpNat } from './vfp-nat.ts'

/*
 * What a node does at its uplink.
 *
 *     vSwitch ─> OutBoundNAT of the pods ─────────────────────────────────> NIC
 *     vSwitch <─ answers; port mappings; services that are DSR from outside <─ NIC
 *
 * Each way has a zone of its own: what leaves and comes back, as all does in an l2tunnel, is seen twice.
 *
 * With preserve-destination a packet keeps the service's address, and the backend, which is on this node, has that address too
 * (modes.md 17.1): it gets the backend's MAC here and goes straight to the switch.
 */

/** The ways through an uplink. */
export interface UplinkPolicies {
  readonly out: Element
  readonly in: Element
  readonly inside: Side
  readonly outside: Side
}

/** What they lead to. */
export interface UplinkEnds {
  /** Takes what leaves. */
  readonly toNic: Element
  /** Takes what comes in, to be given out by IP address. */
  readonly toSwitch: Element
  /** Takes what comes in and has a pod's MAC already. */
  readonly toPod: Link
  readonly endpoints: LocalEndpoints
}

/** Makes them, with their ends. */
export function uplinkPolicies({ loop, pool }: Ground, vfp: VfpNat, ends: UplinkEnds): UplinkPolicies {
  const inside = vfp.addSide('uplink', 'uplink (inside)')
  const outside = vfp.addSide('uplink', 'uplink')
  const leaving = new Pipeline(new Passage(vfp.nat, inside, outside), ends.toNic)
  const arriving = new Pipeline(new Arrival(pool, vfp, new Passage(vfp.nat, outside, inside), ends), ends.toSwitch)
  inside.again = loop.link(leaving, 'uplink out, fragments')
  outside.again = loop.link(arriving, 'uplink in, fragments')
  return { out: leaving, in: arriving, inside, outside }
}

/** The passage inward, behind which what keeps its destination goes another way. */
class Arrival implements Element {
  readonly #pool: FramePool
  readonly #vfp: VfpNat
  readonly #passage: Passage
  readonly #ends: UplinkEnds
  readonly #one: Batch = new Batch(1)
  readonly #address: Uint8Array = new Uint8Array(4)

  constructor(pool: FramePool, vfp: VfpNat, passage: Passage, ends: UplinkEnds) {
    this.#pool = pool
    this.#vfp = vfp
    this.#passage = passage
    this.#ends = ends
  }

  process(batch: Batch): void {
    if (this.#vfp.preserves) this.#oneByOne(batch)
    else this.#passage.process(batch)
  }

  /** Where a packet goes whose destination stays is known until the next one comes. */
  #oneByOne(batch: Batch): void {
    const { nat } = this.#vfp
    const { frames } = batch
    const one = this.#one
    let kept = 0
    for (let i = 0; i < batch.length; i++) {
      nat.route4 = 0
      nat.route6 = null
      one.frames[0] = frames[i] as number
      one.length = 1
      this.#passage.process(one)
      if (one.length === 1 && !this.#direct(one.frames[0] as Frame)) frames[kept++] = one.frames[0] as number
    }
    batch.length = kept
  }

  /** Gives a packet to the backend that it is routed by, if there is one here. */
  #direct(f: Frame): boolean {
    const { route4, route6 } = this.#vfp.nat
    const { endpoints, toPod } = this.#ends
    let mac: MacWords | null = null
    if (route6 !== null) mac = endpoints.mac6(route6, 0)
    else if (route4 !== 0) {
      put32(this.#address, 0, route4)
      mac = endpoints.mac4(this.#address, 0)
    }
    if (mac === null) return false
    const pool = this.#pool
    const g = pool.own(f)
    if (g === NO_FRAME) return true
    putMac(pool.data, pool.off[g] as number, mac)
    if (pool.trace?.follows(g as Frame)) {
      pool.trace.note(g as Frame, 'VFP', 'preserve-destination: the backend gets it with the address of the service')
    }
    toPod.push(g as Frame)
    return true
  }
}
