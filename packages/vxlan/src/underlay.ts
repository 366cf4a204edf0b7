import { type Frame, type FramePool, Link } from '@l2l3/switch-core'

/*
 * Where wrapped frames go. A frame there is a whole Ethernet frame whose MACs are the underlay's to write:
 *
 *     a node's router    `router.send` finds the route and the next hop's MAC
 *     a link             to a port that needs no MACs (a UDP socket), or with MACs in the outer header
 */

/** Takes wrapped frames: a `Router`, most of the time. */
export interface Underlay {
  /** Takes the frame over. */
  send(f: Frame): void
}

/** Throws where `out` is neither, or has frames of another pool. */
export function asUnderlay(key: string, out: Link | Underlay, pool: FramePool): Underlay {
  if (out instanceof Link) {
    if (out.pool !== pool) throw new Error(`${key}: link ${out.name} has another frame pool`)
    return { send: (f) => out.push(f) }
  }
  if (typeof out?.send !== 'function') throw new TypeError(`${key} must be a Link or have a method send, not ${out}`)
  return out
}
