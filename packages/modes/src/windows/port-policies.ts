import { ArpGuard, ArpLimiter, DhcpGuard, PortBindings, SourceGuard } from '@l2l3/arp'
import { type AclOptions, type Filter, type FilterPort, Passage, type Side } from '@l2l3/nat'
import { type Element, type MacWords, Pipeline, stationMac } from '@l2l3/switch-core'
import { Entrance } from '../entrance.ts'
import type { Ground } from '../ground.ts'
import { AddressFixUp, type LocalEndpoints } from './address-fix-up.ts'
import { BroadcastGuard } from './broadcast-guard.ts'
import { HostRedirect } from './host-redirect.ts'
import type { VfpNat } from './vfp-nat.ts'

/*
 * What a port of the virtual switch does with the packets of its endpoint: the layers of VFP (modes.md 2.5), which are passed in one order
 * on the way out, and in the opposite one on the way in.
 *
 *     pod ─> guards ─> ACL, out ─> services, loopback DSR ─> MAC of the backend ─> ROUTE with NeedEncap ─> toSwitch
 *     pod <─────────── ACL, in  <─ answers of services    <────────────────────────────────────────────── switch
 *                                           └────────────── a pod that reaches itself turns round here
 *
 * The port has a zone of its own on each of its two sides, so that what leaves and comes back to the same pod are two flows. The ACL is
 * before NAT on the way out and behind it on the way in: it sees the pod's own addresses, and services by theirs.
 *
 * Guards: the MAC, ARP, IPv4 and IPv6 guards let nobody speak for another; the DHCP guard keeps servers off; the limiter bounds ARP and ND;
 * block-non-IP and block-broadcast are off unless they are asked for. Drops have VFP's names.
 */

/** Guards at a port: each can be told not to be there. */
export interface GuardOptions {
  /** MAC, IPv4 and IPv6 guard: sources are the endpoint's. Default true. */
  readonly source?: boolean
  /** ARP guard: nobody speaks for another's address. Default true. */
  readonly arp?: boolean
  /** DHCP guard: no server is behind the port. Default true. */
  readonly dhcp?: boolean
  /** ARP limiter: ARP and ND messages a second, 1 to 1,000,000. Default: no limit. */
  readonly arpPerSecond?: number
  /** Drops what is neither ARP nor IP. Default false. */
  readonly blockNonIp?: boolean
  /** Drops broadcasts and multicasts that neither ARP nor neighbour discovery nor DHCP need (`EnableBroadcast` of an HNS subnet not set).
   * Default false. */
  readonly blockBroadcast?: boolean
}

/** The endpoint at a port, and its policies. */
export interface PortPolicyOptions {
  readonly name: string
  readonly mac: string
  /** Without prefix. */
  readonly ips: readonly string[]
  /** Default: those that are on by default. `false`: none. */
  readonly guards?: GuardOptions | false
  /** Default: HNS' default port ACLs. */
  readonly acl?: AclOptions
  /** `ROUTE`/`SDNRoute` with NeedEncap: what is for one of these prefixes goes to the host's port (modes.md 2.3). Default: none. */
  readonly sdnRoutes?: readonly string[]
}

/** What a port needs of its node. */
export interface PortGround {
  readonly ground: Ground
  readonly vfp: VfpNat
  /** Default: no access control lists. */
  readonly filter?: Filter
  /** The endpoints of this node, whose MACs packets get that services send to them. */
  readonly endpoints: LocalEndpoints
  /** The MAC behind which the host is: where ROUTEs lead. Default: no ROUTEs. */
  readonly hostMac?: string
}

/** The policies of a port. */
export class PortPolicies {
  /** What the endpoint sends. */
  readonly out: Element
  /** What is for the endpoint. */
  readonly in: Element
  /** The port's place in the filter; null where there is none. */
  readonly acl: FilterPort | null
  /** The side of the pod, and that of the switch. */
  readonly podSide: Side
  readonly switchSide: Side
  readonly #node: PortGround
  readonly #end: Entrance = new Entrance()
  readonly #fixUp: AddressFixUp
  readonly #redirect: HostRedirect | null
  readonly #name: string

  /** @param toPod takes what is left of the way in: the port, or a link
   * Throws a TypeError or RangeError with key and value. */
  constructor(node: PortGround, options: PortPolicyOptions, toPod: Element) {
    const { ground, vfp, filter, endpoints } = node
    const { loop } = ground
    const { name, mac, guards = {}, acl, sdnRoutes = [] } = options
    this.#node = node
    this.#name = name
    const own: MacWords = stationMac('mac', mac)
    const before = guards === false ? [] : guardsOf(ground, options, guards)
    if (sdnRoutes.length > 0 && node.hostMac === undefined) {
      throw new TypeError(`${name}: sdnRoutes lead to the host, and the node has none`)
    }
    const redirect = node.hostMac === undefined ? null : new HostRedirect(ground.pool, sdnRoutes, node.hostMac)
    this.acl = filter === undefined ? null : filter.addPort(name, acl)
    this.podSide = vfp.addSide('pod', `${name} (pod)`)
    this.switchSide = vfp.addSide(null, `${name} (switch)`)
    const inward = new Passage(vfp.nat, this.switchSide, this.podSide)
    const outward = new Passage(vfp.nat, this.podSide, this.switchSide)
    this.in = new Pipeline(inward, ...(this.acl === null ? [] : [this.acl.in]), toPod)
    this.#redirect = redirect
    this.#fixUp = new AddressFixUp(ground.pool, {
      ...{ passage: outward, endpoints, own, vfp, switchSide: this.switchSide },
      back: loop.link(this.in, `${name} (back to itself)`),
    })
    const translated = new Pipeline(this.#fixUp, ...(redirect === null ? [] : [redirect]), this.#end)
    this.out = new Pipeline(...before, ...(this.acl === null ? [] : [this.acl.out]), translated)
    // Fragments that waited go on from where they did.
    this.podSide.again = loop.link(translated, `${name} out, fragments`)
    this.switchSide.again = loop.link(this.in, `${name} in, fragments`)
    if (this.acl !== null) {
      this.acl.againOut = loop.link(new Pipeline(this.acl.out, translated), `${name} out, fragments`)
      this.acl.againIn = loop.link(new Pipeline(this.acl.in, toPod), `${name} in, fragments`)
    }
  }

  /** Takes what the endpoint sends when the port has done with it. Without one it is dropped. */
  get toSwitch(): Element | null {
    return this.#end.next
  }
  set toSwitch(next: Element | null) {
    this.#end.next = next
  }

  /** Has other rules count from the next packet on. */
  setAcl(acl: AclOptions): void {
    this.acl?.setRules(acl)
  }

  /** Has other ROUTEs count. Throws a TypeError with key and value. */
  setRoutes(prefixes: readonly string[]): void {
    if (this.#redirect === null && prefixes.length > 0) {
      throw new TypeError(`${this.#name}: sdnRoutes lead to the host, and the node has none`)
    }
    this.#redirect?.setPrefixes(prefixes)
  }

  /** Takes the port off the node's tables; nothing may come by its elements any more. */
  end(): void {
    const { vfp, filter } = this.#node
    vfp.removeSide(this.podSide)
    vfp.removeSide(this.switchSide)
    if (this.acl !== null) filter?.removePort(this.acl)
  }
}

function guardsOf(ground: Ground, { mac, ips }: PortPolicyOptions, guards: GuardOptions): Element[] {
  const { pool, clock } = ground
  const { source = true, arp = true, dhcp = true, arpPerSecond, blockNonIp = false, blockBroadcast = false } = guards
  const bindings = new PortBindings(ips.map((address) => ({ mac, address })))
  return [
    ...(arpPerSecond === undefined ? [] : [new ArpLimiter(pool, clock, arpPerSecond)]),
    ...(source ? [new SourceGuard(pool, bindings, { blockNonIp })] : []),
    ...(arp ? [new ArpGuard(pool, bindings)] : []),
    ...(dhcp ? [new DhcpGuard(pool)] : []),
    ...(blockBroadcast ? [new BroadcastGuard(pool)] : []),
  ]
}
