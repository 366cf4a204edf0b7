import type { Nat } from '@l2l3/nat'
import { Drop, type Frame, NO_FRAME, type Router, type RouterGate, type RouterInterface } from '@l2l3/switch-core'
import { u32 } from '@l2l3/switch-core/wire'

/*
 * What WinNAT does not do (modes.md 6): from one network to another, and from outside to a container's own address. It stands before
 * the NAT at the router's gate, and looks at where packets say that they go, before anything is translated:
 *
 *     came in by              for a container of       becomes
 *     the host's vNIC of nat  network nat              goes on (it would not come here, but for redirects)
 *     the host's vNIC of nat  another network          Isolated: crossing subnets is not supported
 *     an uplink               any network              NatFiltered: containers are reached by port mappings alone
 *
 * What is for the host itself goes on, also from other networks.
 */

const BY = 'WinNAT'

/** A gate before the gate of a NAT. */
export class InsideGuard implements RouterGate {
  readonly #router: Router
  readonly #nat: Nat
  #inside: readonly RouterInterface[] = []

  /** Takes the NAT's place at the router. */
  constructor(router: Router, nat: Nat) {
    this.#router = router
    this.#nat = nat
    router.gate = this
  }

  /** Says which interfaces lead to networks of containers from now on. */
  watch(inside: readonly RouterInterface[]): void {
    this.#inside = inside
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
    const l3 = (pool.off[f] as number) + 14
    if ((pool.bytes[l3] as number) >>> 4 === 4) {
      const target = this.#router.lookup4(u32(pool.bytes, l3 + 16))
      const to = target?.kind === 'unicast' ? target.out : null
      if (to !== null && to !== iface && this.#inside.includes(to)) {
        const crossing = this.#inside.includes(iface)
        if (pool.trace?.follows(f)) {
          const why = crossing
            ? `from network ${iface.name} to ${to.name}: crossing subnets is not supported`
            : `to a container's own address in ${to.name}: from outside there are port mappings alone`
          pool.trace.note(f, BY, why)
        }
        iface.end(f, crossing ? Drop.Isolated : Drop.NatFiltered)
        return NO_FRAME
      }
    }
    return this.#nat.arrived(iface, f)
  }

  leaving(from: RouterInterface | null, out: RouterInterface, f: Frame): Frame | -1 {
    return this.#nat.leaving(from, out, f)
  }
}
