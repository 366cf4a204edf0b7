import { type Link, RouteTable4, RouteTable6 } from '@l2l3/switch-core'
import { eth, put16, u16, u32 } from '@l2l3/switch-core/wire'
import * as ovn from './ovn.ts'
import { MAX_VNI } from './vxlan.ts'

/*
 * What a tunnel header says besides the network: where a frame came from, and where it goes at the far end.
 *
 *     OVN, GENEVE       option: ingress port, egress port         the receiver asks no table of MACs (modes.md 14.1)
 *     OVN, VXLAN mode   VNI: egress port, datapath
 *     Cilium            VNI: the identity of who sent it          (modes.md 15)
 *
 * A far end's header is written once, for all frames; `mark` then writes what is particular in a frame. By which port a bridged frame
 * came is in the column `port`; what a router sent, its own packets too, has 0 there.
 */

/** Labels of a network's frames. */
export interface Labels {
  /** Writes into the tunnel header `[o, end)` of a frame that came into the node by a port. */
  mark(b: Uint8Array, o: number, end: number, port: number): void
  /** Where the frame behind the tunnel header at `o` goes: a way of its own, that of its network, or nowhere. */
  wayOf(b: Uint8Array, o: number): Link | typeof NETWORK | typeof NOWHERE
}

/** Where all of a network goes: its `out`. */
export const NETWORK = 0
/** There is no such port here. */
export const NOWHERE = -1

/** A logical port that is on this node. */
export interface LogicalPort {
  /** Its key in the datapath: 1 to 32,767 of GENEVE, to 2,047 of VXLAN. */
  readonly key: number
  /** `Port.id` of what is plugged in there. */
  readonly port: number
  /** The way out. */
  readonly out: Link
}

/** Labels of OVN: logical ports. */
export class OvnLabels implements Labels {
  readonly #vxlan: boolean
  #router = 0
  #keys: ReadonlyMap<number, number> = new Map()
  #ways: ReadonlyMap<number, Link> = new Map()

  constructor(encapsulation: 'vxlan' | 'geneve') {
    this.#vxlan = encapsulation === 'vxlan'
  }

  /** Says which logical ports are here.
   * @param router the key of the router's port, by which comes what was routed; 0: none */
  setPorts(ports: readonly LogicalPort[], router = 0): void {
    this.#keys = new Map(ports.map(({ port, key }) => [port, key]))
    this.#ways = new Map(ports.map(({ key, out }) => [key, out]))
    this.#router = router
  }

  mark(b: Uint8Array, _o: number, end: number, port: number): void {
    // VXLAN has no room for it. The option is the last, and has one word.
    if (!this.#vxlan) put16(b, end - 4, this.#keys.get(port) ?? this.#router)
  }

  wayOf(b: Uint8Array, o: number): Link | typeof NETWORK | typeof NOWHERE {
    if (this.#vxlan) {
      const egress = ovn.vxlanEgress(u32(b, o + 4) >>> 8)
      return egress >= ovn.FIRST_VXLAN_GROUP ? NETWORK : (this.#ways.get(egress) ?? NOWHERE)
    }
    const ports = ovn.ports(b, o)
    if (ports === -1) return NOWHERE
    const egress = ports & 0xffff
    // 0: whoever sent it leaves it to us to find out (OVN's flood encapsulation).
    return egress === 0 || egress >= ovn.FIRST_GROUP ? NETWORK : (this.#ways.get(egress) ?? NOWHERE)
  }
}

/** Labels of Cilium: the VNI is the identity of who sent the packet, 0 to 16,777,215. It goes by the inner source, as Cilium's
 * cache of addresses has it: behind a router a frame has no port that it came by. */
export class IdentityLabels implements Labels {
  readonly #own: number
  #four: RouteTable4 = new RouteTable4()
  #six: RouteTable6 = new RouteTable6()
  /** What the tables' values stand for: they have 23 bits. */
  #known: readonly number[] = []

  /** @param own identity of the node, and of whom no other is known. Throws a RangeError for what is none. */
  constructor(own: number) {
    this.#own = checkIdentity(own)
  }

  /** Says who has which identity, by address without prefix. Throws a RangeError for an identity that is none. */
  setIdentities(identities: ReadonlyMap<string, number>): void {
    const [four, six] = [new RouteTable4(), new RouteTable6()]
    const known = [...identities.values()].map(checkIdentity)
    for (const [i, address] of [...identities.keys()].entries()) {
      if (address.includes(':')) six.set(`${address}/128`, i)
      else four.set(`${address}/32`, i)
    }
    this.#four = four
    this.#six = six
    this.#known = known
  }

  mark(b: Uint8Array, o: number, end: number): void {
    const identity = this.#identityOf(b, end)
    b[o + 4] = identity >>> 16
    b[o + 5] = identity >>> 8
    b[o + 6] = identity
  }

  /** Whose frame it is at `o`. What was wrapped has an Ethernet header, and one of IP where its type says so. */
  #identityOf(b: Uint8Array, o: number): number {
    const type = u16(b, o + eth.TYPE)
    const l3 = o + eth.HLEN
    let found = -1
    if (type === eth.EtherType.IPv4) found = this.#four.lookup(u32(b, l3 + 12))
    else if (type === eth.EtherType.IPv6) found = this.#six.lookup(b, l3 + 8)
    return found === -1 ? this.#own : (this.#known[found] as number)
  }

  wayOf(): typeof NETWORK {
    return NETWORK
  }
}

function checkIdentity(identity: number): number {
  if (Number.isInteger(identity) && identity >= 0 && identity <= MAX_VNI) return identity
  throw new RangeError(`identity must be from 0 to ${MAX_VNI}, not ${String(identity)}`)
}
