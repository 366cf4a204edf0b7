import { type Drop, type Frame, NO_FRAME, type RouterGate, type RouterInterface } from '@l2l3/switch-core'
import type { Filter } from './filter.ts'
import type { FilterPort } from './port.ts'

/*
 * The filter at a router: what passes its interfaces is judged by the rules of ports.
 *
 *     beyond 'endpoint'    pod ── eth0 [router]       what arrives by eth0 goes out of the endpoint, what leaves goes in to it
 *     beyond 'network'     [router] eth1 ── net       the endpoint is the node and all behind it: what arrives goes in, what leaves out
 *
 * Packets for the node itself, and its own, are judged too. Those to groups and in broadcast frames a router does not route, and shows to
 * no gate.
 *
 * Fragments wait where they arrive, for the first of their packet, also at interfaces without a port: so they leave in an order in
 * which the first is known where they are judged again.
 *
 * A router has one gate. `GateRow` is two in a row, NAT and filter:
 *
 *     arrived:   NAT ─> filter ─> route        leaving:   route ─> filter ─> NAT         the filter sees inside addresses, as
 *                                                                                       netfilter's FORWARD chain does
 */

/** What an interface leads to. */
export type Beyond = 'endpoint' | 'network'

interface Attached {
  readonly port: FilterPort
  readonly arrivesOut: boolean
}

/** Judges what a router forwards. */
export class FilterGate implements RouterGate {
  route4 = 0
  route6: Uint8Array | null = null
  readonly #filter: Filter
  readonly #attached: Map<RouterInterface, Attached> = new Map()
  /** Where fragments wait at interfaces without a port. */
  readonly #ways: Map<RouterInterface, number> = new Map()

  constructor(filter: Filter) {
    this.#filter = filter
  }

  /** Has what passes an interface judged by the rules of a port, whose elements are not used then. Throws where the interface has a port,
   * or the port an interface. */
  attach(iface: RouterInterface, port: FilterPort, beyond: Beyond): void {
    if (port.filter !== this.#filter) throw new Error(`port ${port.name} is of another filter`)
    if (this.#attached.has(iface)) throw new Error(`interface ${iface.name} has a port`)
    for (const other of this.#attached.values()) {
      if (other.port === port) throw new Error(`port ${port.name} has an interface`)
    }
    if (beyond !== 'endpoint' && beyond !== 'network') {
      throw new TypeError(`beyond must be endpoint or network, not ${JSON.stringify(beyond)}`)
    }
    const again = this.#filter.loop.link(iface.again, `${iface.name}, fragments`)
    const arrivesOut = beyond === 'endpoint'
    port.againOut = arrivesOut ? again : null
    port.againIn = arrivesOut ? null : again
    this.#attached.set(iface, { port, arrivesOut })
  }

  /** Has an interface judged no more. What waits for it is dropped in time, or with its port. */
  detach(iface: RouterInterface): void {
    if (!this.#attached.delete(iface)) throw new Error(`interface ${iface.name} has no port`)
  }

  /** For the router. */
  arrived(iface: RouterInterface, f: Frame): Frame | -1 {
    const l3 = (this.#filter.pool.off[f] as number) + 14
    const at = this.#attached.get(iface)
    const went =
      at === undefined
        ? this.#filter.order(f, l3, this.#wayOf(iface))
        : this.#filter.check(f, l3, at.port, at.arrivesOut)
    if (went >= NO_FRAME) return went as Frame | -1
    iface.end(f, (-2 - went) as Drop)
    return NO_FRAME
  }

  /** For the router. */
  leaving(from: RouterInterface | null, out: RouterInterface, f: Frame): Frame | -1 {
    const at = this.#attached.get(out)
    if (at === undefined) return f
    const went = this.#filter.check(f, (this.#filter.pool.off[f] as number) + 14, at.port, !at.arrivesOut)
    if (went >= NO_FRAME) return went as Frame | -1
    if (from === null) out.unsent(f, (-2 - went) as Drop)
    else from.end(f, (-2 - went) as Drop)
    return NO_FRAME
  }

  #wayOf(iface: RouterInterface): number {
    let way = this.#ways.get(iface)
    if (way === undefined) {
      way = this.#filter.addWay(this.#filter.loop.link(iface.again, `${iface.name}, fragments`))
      this.#ways.set(iface, way)
    }
    return way
  }
}

/** Two gates in a row: the first sees what arrives before the second, and what leaves after it. */
export class GateRow implements RouterGate {
  readonly first: RouterGate
  readonly second: RouterGate

  constructor(first: RouterGate, second: RouterGate) {
    this.first = first
    this.second = second
  }

  get route4(): number {
    return this.second.route4 !== 0 ? this.second.route4 : this.first.route4
  }
  set route4(address: number) {
    this.first.route4 = address
    this.second.route4 = address
  }

  get route6(): Uint8Array | null {
    return this.second.route6 ?? this.first.route6
  }
  set route6(address: Uint8Array | null) {
    this.first.route6 = address
    this.second.route6 = address
  }

  arrived(iface: RouterInterface, f: Frame): Frame | -1 {
    const g = this.first.arrived(iface, f)
    if (g === NO_FRAME) return NO_FRAME
    const h = this.second.arrived(iface, g as Frame)
    // The router takes a route only with the packet that it is for.
    if (h === NO_FRAME) this.#forgetRoute()
    return h
  }

  leaving(from: RouterInterface | null, out: RouterInterface, f: Frame): Frame | -1 {
    const g = this.second.leaving(from, out, f)
    return g === NO_FRAME ? NO_FRAME : this.first.leaving(from, out, g as Frame)
  }

  #forgetRoute(): void {
    this.route4 = 0
    this.route6 = null
  }
}
