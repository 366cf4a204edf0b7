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

/** Makes the link to a port of a node with `ports` ports, or to an element in its place. Each of them brings at most a
 * batch a turn, and is answered by as much: a link that holds both does not overflow. */
export function linkTo(ground: Ground, port: Element, name: string, ports: number): Link {
  return ground.loop.link(port, name, Math.min(65_536, Math.max(LINK_CAPACITY, 2 * BATCH * ports)))
}
