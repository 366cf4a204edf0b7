import { BATCH, type Clock, type Element, type FramePool, LINK_CAPACITY, type Link, type Loop } from '@l2l3/switch-core'

/** What a node is built in: one pool, clock and loop, which several nodes may share. */
export interface Ground {
  readonly pool: FramePool
  readonly clock: Clock
  readonly loop: Loop
  /** 32 bits that seed the hash of every table: at random where those who send are not trusted. Default 0, for runs that
   * repeat. */
  readonly seed?: number
}

/** The links of a node. Each of its ports brings at most a batch a turn, and is answered by as much: a link that holds both
 * does not overflow. So they get longer as ports are added. */
export class Wires {
  readonly ground: Ground
  readonly #links: Set<Link> = new Set()
  #capacity = LINK_CAPACITY

  /** @param ports how many the node has at first */
  constructor(ground: Ground, ports: number) {
    this.ground = ground
    this.resize(ports)
  }

  /** Says how many ports the node has now. */
  resize(ports: number): void {
    this.#capacity = Math.max(this.#capacity, Math.min(65_536, 2 * BATCH * ports))
    for (const link of this.#links) link.widen(this.#capacity)
  }

  /** Makes the link to a port, or to an element in its place. */
  link(target: Element, name: string): Link {
    const link = this.ground.loop.link(target, name, this.#capacity)
    this.#links.add(link)
    return link
  }

  /** Says that a link is the node's no more: what it still holds goes to its target. */
  end(link: Link): void {
    this.#links.delete(link)
  }
}
