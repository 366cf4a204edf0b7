import type { KnownNeighbours } from '@l2l3/arp'
import { Drop, type Frame, type FramePool, type Neighbours } from '@l2l3/switch-core'
import { formatIpv4 } from '@l2l3/switch-core/wire'

/*
 * The next hops of a distributed router are told to it: endpoints of the node, routers of other nodes. It asks nobody - what it does
 * not know is nowhere, and no question leaves the node (modes.md 4.3).
 */

/** Next hops that configuration names. */
export class KnownHops implements Neighbours {
  readonly #pool: FramePool
  readonly #known: KnownNeighbours
  readonly #what: string
  readonly #mac: Uint8Array = new Uint8Array(6)

  /** @param what they are, for a trace: "endpoint of net1" */
  constructor(pool: FramePool, known: KnownNeighbours, what: string) {
    this.#pool = pool
    this.#known = known
    this.#what = what
  }

  resolve4(f: Frame, ip: number): boolean {
    const { bytes, off, trace } = this.#pool
    if (this.#known.lookup4(ip, this.#mac)) {
      bytes.set(this.#mac, off[f] as number)
      return true
    }
    if (trace?.follows(f)) trace.note(f, 'distributed router', `${formatIpv4(ip)} is no ${this.#what}`)
    this.#pool.drop(f, Drop.UnknownEndpoint)
    return false
  }

  /** Overlays have no IPv6. */
  resolve6(f: Frame): boolean {
    this.#pool.drop(f, Drop.UnknownEndpoint)
    return false
  }
}

/** Anybody, where no MAC is needed: behind the link is a router of the same node, which takes the packet by itself. */
export const NO_MAC: Neighbours = { resolve4: () => true, resolve6: () => true }
