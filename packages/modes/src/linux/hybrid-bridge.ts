import type { KnownNeighbours } from '@l2l3/arp'
import { PrefixSet } from '@l2l3/nat'
import {
  type Batch,
  Drop,
  type Element,
  type Frame,
  type FramePool,
  type Link,
  NO_FRAME,
  RouteTable4,
} from '@l2l3/switch-core'
import {
  arp,
  checksum,
  eth,
  formatMac,
  ipv4,
  parseIpv4,
  parseMac,
  put16,
  put32,
  u16,
  u32,
} from '@l2l3/switch-core/wire'

/*
 * br-ext, the bridge that ovn-kubernetes puts between a Linux node's logical switch and the nodes with Windows: its OpenFlow rules
 * (modes.md 4.4), one after the other.
 *
 *     logical switch ── ext ──> [ fromOvn ] ──> VXLAN 4097 ──> node
 *                    <─────────────────────── [ fromTunnel ] <──
 *
 *     from OVN      ARP for drIP                                  answered in place: it is at drMac
 *                   ARP for a Windows node's subnet               answered in place: it is at that node's drMac
 *                   IP to such a subnet                           eth_dst := that node's drMac; into the tunnel
 *                      from the gateway router                    also nw_src := drIP
 *     from VXLAN    IP to the local subnet, eth_dst == drMac      to whom, next
 *                   ARP request for the local subnet              answered into the tunnel: it is at drMac
 *     to whom       a pod                                         eth_src := drMac, eth_dst := podMac; to the switch
 *                   drIP                                          nw_dst := the gateway router, eth_dst := its MAC; to the switch
 *     anything else                                               dropped
 */

const NEEDS_CSUM = 1
const TCP = 6
const UDP = 17

/** A node with Windows. */
export interface HybridPeer {
  /** Its subnet: `10.244.4.0/24`. */
  readonly subnet: string
  /** Its address on the underlay. */
  readonly address: string
  /** The MAC of its distributed router. */
  readonly drMac: string
}

/** What the bridge is told once. */
export interface HybridBridgeOptions {
  /** The node's own subnet. */
  readonly subnet: string
  readonly drIp: string
  readonly drMac: string
  /** Where pods are, by address. */
  readonly pods: KnownNeighbours
  /** The address of the node's gateway router, which node ports come from, and the MAC that leads to it; 0 and drMac: none. */
  readonly gatewayRouter: { readonly ip: string; readonly mac: string } | null
  /** Back to the logical switch, to its pods, and into the tunnel. */
  readonly toOvn: Link
  readonly toPods: Link
  readonly toTunnel: Link
}

/** The rules of br-ext. */
export class HybridBridge {
  /** What the logical switch sends. */
  readonly fromOvn: Element = { process: (batch) => this.#each(batch, this.#outward) }
  /** What comes out of the tunnel. */
  readonly fromTunnel: Element = { process: (batch) => this.#each(batch, this.#inward) }
  readonly #pool: FramePool
  readonly #own: PrefixSet
  readonly #drIp: number
  readonly #drMac: Uint8Array
  readonly #pods: KnownNeighbours
  readonly #router: { readonly ip: number; readonly mac: Uint8Array } | null
  readonly #toOvn: Link
  readonly #toPods: Link
  readonly #toTunnel: Link
  /** Which of `#macs` a subnet is behind. */
  #peers: RouteTable4 = new RouteTable4()
  #macs: readonly Uint8Array[] = []
  readonly #mac: Uint8Array = new Uint8Array(6)

  constructor(pool: FramePool, options: HybridBridgeOptions) {
    const { subnet, drIp, drMac, pods, gatewayRouter, toOvn, toPods, toTunnel } = options
    this.#pool = pool
    this.#own = new PrefixSet('subnet', [subnet])
    this.#drIp = parseIpv4(drIp)
    this.#drMac = parseMac(drMac)
    this.#pods = pods
    this.#router = gatewayRouter === null ? null : { ip: parseIpv4(gatewayRouter.ip), mac: parseMac(gatewayRouter.mac) }
    this.#toOvn = toOvn
    this.#toPods = toPods
    this.#toTunnel = toTunnel
  }

  /** Says which nodes with Windows there are. */
  setPeers(peers: readonly HybridPeer[]): void {
    const table = new RouteTable4()
    for (const [i, { subnet }] of peers.entries()) table.set(subnet, i)
    this.#macs = peers.map(({ drMac }) => parseMac(drMac))
    this.#peers = table
  }

  #each(batch: Batch, work: (f: Frame, o: number, end: number) => void): void {
    const { off, len } = this.#pool
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      const o = off[f] as number
      work(f, o, o + (len[f] as number))
    }
    batch.length = 0
  }

  readonly #outward = (f: Frame, o: number, end: number): void => {
    const b = this.#pool.bytes
    const type = end - o < eth.HLEN ? 0 : u16(b, o + eth.TYPE)
    const l3 = o + eth.HLEN
    if (type === eth.EtherType.Arp && arp.check(b, l3, end)) {
      const tpa = arp.tpa(b, l3)
      const peer = this.#peers.lookup(tpa)
      if (peer !== -1) this.#answer(f, this.#macs[peer] as Uint8Array, this.#toOvn)
      else if (tpa === this.#drIp && arp.op(b, l3) === arp.Op.Request) this.#answer(f, this.#drMac, this.#toOvn)
      else this.#end(f, Drop.ArpFilter, 'no rule is about this ARP message')
    } else if (type === eth.EtherType.IPv4 && ipv4.checkHeader(b, l3, end) !== -1) {
      const peer = this.#peers.lookup(u32(b, l3 + ipv4.DST))
      if (peer === -1) {
        this.#end(f, Drop.NoRemote, 'no node with Windows has the destination')
        return
      }
      const g = this.#pool.own(f)
      if (g === NO_FRAME) return
      const at = this.#pool.off[g] as number
      eth.copyMac(b, at, this.#macs[peer] as Uint8Array, 0)
      const router = this.#router
      if (router !== null && u32(b, at + eth.HLEN + ipv4.SRC) === router.ip) this.#readdress(g, ipv4.SRC, this.#drIp)
      if (this.#pool.trace !== null)
        this.#say(g, `to a node with Windows, whose distributed router is ${formatMac(b, at)}`)
      this.#pool.port[g] = 0
      this.#toTunnel.push(g)
    } else this.#end(f, Drop.BlockNonIp, 'no rule is about such frames')
  }

  readonly #inward = (f: Frame, o: number, end: number): void => {
    const pool = this.#pool
    const b = pool.bytes
    const type = end - o < eth.HLEN ? 0 : u16(b, o + eth.TYPE)
    const l3 = o + eth.HLEN
    if (type === eth.EtherType.Arp && arp.check(b, l3, end)) {
      const asked = arp.op(b, l3) === arp.Op.Request && this.#own.includes4(arp.tpa(b, l3))
      if (asked) this.#answer(f, this.#drMac, this.#toTunnel)
      else this.#end(f, Drop.ArpFilter, 'no rule is about this ARP message')
      return
    }
    if (type !== eth.EtherType.IPv4 || ipv4.checkHeader(b, l3, end) === -1) {
      this.#end(f, Drop.BlockNonIp, 'no rule is about such frames')
      return
    }
    const dst = u32(b, l3 + ipv4.DST)
    if (!eth.equalMac(b, o, this.#drMac, 0) || !this.#own.includes4(dst)) {
      this.#end(f, Drop.OtherHost, 'only IP to the node’s subnet, in frames to its distributed router, comes in')
      return
    }
    const router = dst === this.#drIp ? this.#router : null
    if (router === null && !this.#pods.lookup4(dst, this.#mac)) {
      this.#end(f, Drop.UnknownEndpoint, 'no pod of this node has the destination')
      return
    }
    const g = pool.own(f)
    if (g === NO_FRAME) return
    const at = pool.off[g] as number
    eth.copyMac(b, at + eth.SRC, this.#drMac, 0)
    eth.copyMac(b, at, router === null ? this.#mac : router.mac, 0)
    if (router !== null) this.#readdress(g, ipv4.DST, router.ip)
    if (pool.trace !== null) this.#say(g, `to ${formatMac(b, at)}, from the distributed router`)
    pool.port[g] = 0
    if (router === null) this.#toPods.push(g)
    else this.#toOvn.push(g)
  }

  /** Turns an ARP message round: what it asks for is at `mac`. */
  #answer(f: Frame, mac: Uint8Array, to: Link): void {
    const g = this.#pool.own(f)
    if (g === NO_FRAME) return
    const { bytes: b, off } = this.#pool
    const o = off[g] as number
    const at = o + eth.HLEN
    eth.copyMac(b, o, b, o + eth.SRC)
    eth.copyMac(b, o + eth.SRC, mac, 0)
    arp.answer(b, at, mac)
    this.#pool.port[g] = 0
    if (this.#pool.trace !== null) this.#say(g, `answered in place: it is at ${formatMac(mac)}`)
    to.push(g)
  }

  /** Gives a packet another source or destination, with the checksums that cover it (RFC 1624, eqn. 3). */
  #readdress(g: Frame, which: number, address: number): void {
    const pool = this.#pool
    const { bytes: b, off, len } = pool
    const l3 = (off[g] as number) + eth.HLEN
    const end = (off[g] as number) + (len[g] as number)
    const before = u32(b, l3 + which)
    put32(b, l3 + which, address)
    put16(b, l3 + ipv4.CHECKSUM, checksum.update32(u16(b, l3 + ipv4.CHECKSUM), before, address))
    const protocol = b[l3 + ipv4.PROTOCOL] as number
    if ((u16(b, l3 + 6) & 0x1fff) !== 0 || (protocol !== TCP && protocol !== UDP)) return
    const l4 = l3 + (((b[l3] as number) & 15) << 2)
    const field = l4 + (protocol === TCP ? 16 : 6)
    if (field + 2 > end) return
    const sum = u16(b, field)
    const start = (off[g] as number) + (pool.csumStart[g] as number)
    const partial = ((pool.flags[g] as number) & NEEDS_CSUM) !== 0 && start === l4
    if (partial) put16(b, field, ~checksum.update32(~sum & 0xffff, before, address) & 0xffff)
    else if (sum !== 0 || protocol === TCP) {
      const now = checksum.update32(sum, before, address)
      put16(b, field, now === 0 && protocol === UDP ? 0xffff : now)
    }
  }

  #say(f: Frame, why: string): void {
    const { trace } = this.#pool
    if (trace?.follows(f)) trace.note(f, 'br-ext', why)
  }

  #end(f: Frame, why: Drop, because: string): void {
    this.#say(f, because)
    this.#pool.drop(f, why)
  }
}
