import { score, weightedScore } from './ecmp.ts'
import type { RouterInterface } from './interface.ts'

/*
 * What a route leads to. The table maps prefixes to numbers, and the number is the place of one of these: a million
 * routes by three neighbours are three targets.
 */

/**
 * What becomes of a packet: sent on by a next hop (`unicast`); ours (`local`), or for all on a link of ours
 * (`broadcast`); dropped in silence (`blackhole`), or with word to the sender that there is no way, or that it is
 * forbidden (`unreachable`).
 */
export type Kind = 'unicast' | 'local' | 'broadcast' | 'blackhole' | 'unreachable'

/** Where a packet goes next: an interface, and who there. */
export class Hop {
  readonly iface: RouterInterface
  /** The gateway's IPv4 address; 0: the destination itself is on the link. */
  readonly via4: number
  /** The gateway's IPv6 address, 16 bytes; null: the destination itself is on the link. */
  readonly via6: Uint8Array | null
  readonly weight: number
  /** What the hop scores with, see `ecmp`. */
  readonly seed: number

  constructor(iface: RouterInterface, via4: number, via6: Uint8Array | null, weight: number, seed: number) {
    this.iface = iface
    this.via4 = via4
    this.via6 = via6
    this.weight = weight
    this.seed = seed
  }
}

/** What one or more routes lead to. */
export class Target {
  readonly kind: Kind
  /** Of `unreachable`: the sender is told that it is forbidden. */
  readonly prohibited: boolean
  /** The first or only next hop; of `local` and `broadcast` the interface that has the address. */
  readonly hop: Hop | null
  /** Its interface. */
  readonly out: RouterInterface | null
  /** All next hops. */
  readonly hops: readonly Hop[]
  readonly #weighted: boolean
  /** What tells targets apart: routes with the same text share a target. */
  readonly key: string
  /** Routes that lead here. */
  routes = 0
  /** Frames that were sent by it, where the route is counted. */
  readonly counted: boolean
  frames = 0
  bytes = 0

  constructor(kind: Kind, prohibited: boolean, hops: readonly Hop[], key: string, counted: boolean) {
    this.kind = kind
    this.prohibited = prohibited
    this.hop = hops[0] ?? null
    this.out = this.hop?.iface ?? null
    this.hops = hops
    this.#weighted = hops.some((hop) => hop.weight !== hops[0]?.weight)
    this.key = key
    this.counted = counted
  }

  /** The next hop of a flow. There is at least one. */
  choose(flow: number): Hop {
    const { hops } = this
    let best = hops[0] as Hop
    let most = -1
    for (let i = 0; i < hops.length; i++) {
      const hop = hops[i] as Hop
      const s = this.#weighted ? weightedScore(flow, hop.seed, hop.weight) : score(flow, hop.seed)
      if (s > most) {
        most = s
        best = hop
      }
    }
    return best
  }

  /** The first next hop that leaves by the interface, or null. */
  hopBy(iface: RouterInterface): Hop | null {
    for (let i = 0; i < this.hops.length; i++) if (this.hops[i]?.iface === iface) return this.hops[i] as Hop
    return null
  }

  /** Tells whether one of its next hops leaves by the interface. */
  leavesBy(iface: RouterInterface): boolean {
    for (let i = 0; i < this.hops.length; i++) if (this.hops[i]?.iface === iface) return true
    return false
  }
}
