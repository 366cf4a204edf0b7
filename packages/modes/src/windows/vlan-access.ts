import { type Batch, checkRange, Drop, type Element, type Frame, type FramePool, NO_FRAME } from '@l2l3/switch-core'
import { eth, u16, vlan } from '@l2l3/switch-core/wire'

/*
 * A virtual switch in a VLAN: the pods' ports are access ports, the NIC a trunk (modes.md 2.1). So frames are tagged where they leave
 * by the uplink, and what comes in with another tag, or with none, is not for here.
 *
 *     vSwitch ── out: tag put on ─> NIC          NIC ── in: tag of the VLAN taken off, others are VlanIngress, none Untagged
 */

/** The two ways through an uplink in a VLAN. */
export interface VlanAccess {
  readonly out: Element
  readonly in: Element
}

/** Makes them. Throws a RangeError for a VLAN id that is none. */
export function vlanAccess(pool: FramePool, id: number): VlanAccess {
  checkRange('vlan', id, 1, 4094)
  return { out: new TagOut(pool, id), in: new TagIn(pool, id) }
}

class TagOut implements Element {
  readonly #pool: FramePool
  readonly #id: number

  constructor(pool: FramePool, id: number) {
    this.#pool = pool
    this.#id = id
  }

  process(batch: Batch): void {
    const pool = this.#pool
    const { frames } = batch
    let kept = 0
    for (let i = 0; i < batch.length; i++) {
      const g = pool.own(frames[i] as Frame)
      if (g === NO_FRAME) continue
      if (!vlan.pushTag(pool, g as Frame, eth.EtherType.Vlan, this.#id)) {
        pool.drop(g as Frame, Drop.NoHeadroom)
        continue
      }
      if (pool.trace?.follows(g as Frame)) pool.trace.note(g as Frame, 'VFP', `tag of VLAN ${this.#id} put on`)
      frames[kept++] = g
    }
    batch.length = kept
  }
}

class TagIn implements Element {
  readonly #pool: FramePool
  readonly #id: number

  constructor(pool: FramePool, id: number) {
    this.#pool = pool
    this.#id = id
  }

  process(batch: Batch): void {
    const pool = this.#pool
    const { frames } = batch
    let kept = 0
    for (let i = 0; i < batch.length; i++) {
      const f = frames[i] as Frame
      const why = this.#judge(f)
      if (why !== -1) {
        pool.drop(f, why)
        continue
      }
      const g = pool.own(f)
      if (g === NO_FRAME) continue
      vlan.popTag(pool, g as Frame)
      if (pool.trace?.follows(g as Frame)) pool.trace.note(g as Frame, 'VFP', `tag of VLAN ${this.#id} taken off`)
      frames[kept++] = g
    }
    batch.length = kept
  }

  #judge(f: Frame): Drop | -1 {
    const { bytes: b, off, len } = this.#pool
    const o = off[f] as number
    if ((len[f] as number) < eth.HLEN) return Drop.Runt
    if (u16(b, o + eth.TYPE) !== eth.EtherType.Vlan) return Drop.Untagged
    if ((len[f] as number) < eth.HLEN + vlan.TAG) return Drop.Runt
    const id = vlan.vid(vlan.tci(b, o))
    return id === this.#id ? -1 : id === vlan.PRIORITY_TAG ? Drop.Untagged : Drop.VlanIngress
  }
}
