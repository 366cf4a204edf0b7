import type { KnownNeighbours } from '@l2l3/arp'
import { type Batch, Drop, type Element, type Frame, type FramePool, type Link, type Router } from '@l2l3/switch-core'
import { eth, formatMac, parseMac } from '@l2l3/switch-core/wire'

/*
 * What stands at the edges of an overlay network:
 *
 *     pod ──> [ NoIpv6 ] ──> switch ── distributed router ──> [ ToHost ] ──> the host's router
 *     tunnel ──> [ Decapsulated ] ──> distributed router, or the switch
 */

const IPV6 = 0x86dd

/** Drops IPv6, which overlay networks of Windows do not have (modes.md 4.1), as `IPv6Guard`. */
export class NoIpv6 implements Element {
  readonly #pool: FramePool

  constructor(pool: FramePool) {
    this.#pool = pool
  }

  process(batch: Batch): void {
    let n = 0
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      if (isIpv6(this.#pool, f)) dropIpv6(this.#pool, f)
      else batch.frames[n++] = f
    }
    batch.length = n
  }
}

function isIpv6({ off, len, data }: FramePool, f: Frame): boolean {
  return (len[f] as number) >= eth.HLEN && data.getUint16((off[f] as number) + eth.TYPE, false) === IPV6
}

function dropIpv6(pool: FramePool, f: Frame): void {
  if (pool.trace?.follows(f)) pool.trace.note(f, 'overlay', 'overlay networks of Windows have no IPv6')
  pool.drop(f, Drop.IPv6Guard)
}

/**
 * Takes in what comes out of the tunnel: decapsulation is for those whose inner destination is the MAC that this node told the
 * others (modes.md 4.1), its distributed router's. The MAC of an endpoint is taken where remote endpoints are known by theirs, so that
 * one subnet may span nodes.
 */
export class Decapsulated implements Element {
  /** Whether frames to endpoints' own MACs are taken. */
  bridged = false
  readonly #pool: FramePool
  readonly #drMac: Uint8Array
  readonly #router: Link
  readonly #switch: Link

  constructor(pool: FramePool, drMac: string, router: Link, bridge: Link) {
    this.#pool = pool
    this.#drMac = parseMac(drMac)
    this.#router = router
    this.#switch = bridge
  }

  process(batch: Batch): void {
    const { bytes: b, off, trace } = this.#pool
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      const o = off[f] as number
      if (isIpv6(this.#pool, f)) dropIpv6(this.#pool, f)
      else if (eth.equalMac(b, o, this.#drMac, 0)) this.#router.push(f)
      else if (this.bridged && !eth.isGroup(b, o)) this.#switch.push(f)
      else {
        if (trace?.follows(f)) {
          const own = formatMac(this.#drMac)
          trace.note(f, 'overlay', `inside it is for ${formatMac(b, o)}, and this node is told apart by ${own}`)
        }
        this.#pool.drop(f, Drop.OtherHost)
      }
    }
    batch.length = 0
  }
}

/** Gives packets of an overlay network to the host's router, which sends them as the host's own: past its routes and neighbours, with
 * the time to live that they have. */
export class ToHost implements Element {
  readonly #router: Router

  constructor(router: Router) {
    this.#router = router
  }

  process(batch: Batch): void {
    for (let i = 0; i < batch.length; i++) this.#router.send(batch.frames[i] as Frame)
    batch.length = 0
  }
}

/** What proxy ARP asks: whether an address is behind the tunnel. */
export function behind(router: Router, tunnel: unknown): { lookup4(ip: number): ReturnType<Router['lookup4']> } {
  return {
    lookup4: (ip) => {
      const target = router.lookup4(ip)
      return target?.leavesBy(tunnel as never) ? target : null
    },
  }
}

/** Says where the endpoints of a network are, and nothing about others: a list that is given anew. */
export function keepKnown(known: KnownNeighbours, entries: ReadonlyMap<string, string>): void {
  for (const { address } of [...known.list()]) if (!entries.has(address)) known.delete(address)
  for (const [address, mac] of entries) known.set(address, mac)
}
