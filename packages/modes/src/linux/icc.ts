import type { Nat } from '@l2l3/nat'
import {
  type Batch,
  Drop,
  type Element,
  type Frame,
  type FramePool,
  NO_FRAME,
  type Router,
  type RouterGate,
  type RouterInterface,
} from '@l2l3/switch-core'
import { eth, u32 } from '@l2l3/switch-core/wire'

/*
 * What the engine of Docker keeps from its containers (modes.md 8), in the two places where netfilter has it:
 *
 *     bridged, behind the switch       IP that came in by a container's port, where icc is false      Isolated
 *     routed, before the NAT           to a container's own address, not from its bridge (raw)        NatFiltered
 *     routed, behind the decision      from the bridge to the bridge, where icc is false              Isolated
 *
 * ARP is not IP: with icc=false containers still find each other's MACs. What comes by a published port is for the node's own
 * address when it arrives, and passes; so do answers to what was masqueraded.
 */

const BY = 'docker'

/** Stands before the way out of a container's port: takes IP that another container sent, where they may not speak. */
export class IccFilter implements Element {
  readonly #pool: FramePool
  readonly #own: number
  readonly #containers: ReadonlySet<number>

  /** @param own the number of the port that it stands before, in the column `port`: what the node answers in place of a
   * container's frame has it still
   * @param containers those of all containers' ports */
  constructor(pool: FramePool, own: number, containers: ReadonlySet<number>) {
    this.#pool = pool
    this.#own = own
    this.#containers = containers
  }

  process(batch: Batch): void {
    const pool = this.#pool
    const { bytes, off, port, trace } = pool
    let n = 0
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      const from = port[f] as number
      if (from !== this.#own && this.#containers.has(from) && isIp(bytes, off[f] as number)) {
        if (trace?.follows(f)) trace.note(f, BY, 'from container to container, and icc is false')
        pool.drop(f, Drop.Isolated)
      } else batch.frames[n++] = f
    }
    batch.length = n
  }
}

function isIp(bytes: Uint8Array, o: number): boolean {
  const type = eth.type(bytes, o)
  return type === eth.EtherType.IPv4 || type === eth.EtherType.IPv6
}

/** A gate before the gate of the NAT: the rules of raw PREROUTING, and of FORWARD. */
export class DockerGuard implements RouterGate {
  readonly #router: Router
  readonly #nat: Nat
  readonly #bridge: RouterInterface
  readonly #icc: boolean
  readonly #guarded: boolean

  /** Takes the NAT's place at the router.
   * @param rules which of both there are */
  constructor(
    router: Router,
    nat: Nat,
    bridge: RouterInterface,
    { icc, guarded }: { readonly icc: boolean; readonly guarded: boolean },
  ) {
    this.#router = router
    this.#nat = nat
    this.#bridge = bridge
    this.#icc = icc
    this.#guarded = guarded
    router.gate = this
  }

  get route4(): number {
    return this.#nat.route4
  }
  set route4(address: number) {
    this.#nat.route4 = address
  }
  get route6(): Uint8Array | null {
    return this.#nat.route6
  }
  set route6(address: Uint8Array | null) {
    this.#nat.route6 = address
  }

  arrived(iface: RouterInterface, f: Frame): Frame | -1 {
    const { pool } = this.#nat
    if (this.#guarded && iface !== this.#bridge && this.#leadsInside(f)) {
      if (pool.trace?.follows(f)) {
        pool.trace.note(f, BY, `to a container's own address, and not from ${this.#bridge.name}`)
      }
      iface.end(f, Drop.NatFiltered)
      return NO_FRAME
    }
    return this.#nat.arrived(iface, f)
  }

  leaving(from: RouterInterface | null, out: RouterInterface, f: Frame): Frame | -1 {
    if (!this.#icc && from === this.#bridge && out === this.#bridge) {
      const { pool } = this.#nat
      if (pool.trace?.follows(f)) pool.trace.note(f, BY, 'from container to container, and icc is false')
      from.end(f, Drop.Isolated)
      return NO_FRAME
    }
    return this.#nat.leaving(from, out, f)
  }

  /** Whether a packet is for an address of the bridge's network, other than the node's own. */
  #leadsInside(f: Frame): boolean {
    const { pool } = this.#nat
    const { bytes } = pool
    const l3 = (pool.off[f] as number) + eth.HLEN
    const six = (bytes[l3] as number) >>> 4 === 6
    const target = six ? this.#router.lookup6(bytes, l3 + 24) : this.#router.lookup4(u32(bytes, l3 + 16))
    return target?.kind === 'unicast' && target.out === this.#bridge
  }
}
