import type { Batch } from '../batch.ts'
import { Drop } from '../drop.ts'
import type { Element } from '../element.ts'
import { type Frame, type FramePool, NO_FRAME } from '../frame-pool.ts'
import * as arp from '../wire/arp.ts'
import { HLEN } from '../wire/ethernet.ts'
import * as icmpv6 from '../wire/icmpv6.ts'
import type { AddressTable } from './address-table.ts'
import { Addressed, Kind } from './addressed.ts'
import * as explain from './explain.ts'
import { nextLinkLayer, putLinkLayer } from './link-layer.ts'
import { isMac, type MacWords, putMac } from './mac-words.ts'

/** EtherType 0x0800 as two bytes of a frame are read. */
const IPV4_LE = 0x0008

/**
 * What leaves by the uplink: every frame has the node's MAC as its source, in the Ethernet header, in ARP's `sha` and in
 * the link-layer options of neighbour discovery. IP headers, checksums and the time to live stay as they are; the one
 * checksum that covers a MAC, ICMPv6's, is repaired.
 *
 * A redirect names the better next hop, which need not be here: its option is rewritten where the target is an endpoint of
 * the bridge or the option holds the sender's own MAC.
 */
export class L2BridgeEgress implements Element {
  readonly #pool: FramePool
  readonly #mac: MacWords
  readonly #endpoints: AddressTable
  readonly #found: Addressed = new Addressed()

  constructor(pool: FramePool, mac: MacWords, endpoints: AddressTable) {
    this.#pool = pool
    this.#mac = mac
    this.#endpoints = endpoints
  }

  process(batch: Batch): void {
    const pool = this.#pool
    const { data, off, len, refs } = pool
    const { hi, lo } = this.#mac
    const { frames, length: n } = batch
    const traced = pool.trace !== null
    let kept = 0
    for (let i = 0; i < n; i++) {
      const f = frames[i] as Frame
      const o = off[f] as number
      if ((len[f] as number) < HLEN) {
        pool.drop(f, Drop.Runt)
      } else if (!traced && data.getUint16(o + 12, true) === IPV4_LE && refs[f] === 1) {
        data.setUint16(o + 6, hi, true)
        data.setInt32(o + 8, lo, true)
        frames[kept++] = f
      } else {
        const g = this.#rewrite(f)
        if (g !== NO_FRAME) frames[kept++] = g
      }
    }
    batch.length = kept
  }

  /** Rewrites a frame of any kind, in a row of its own where others hold it too. */
  #rewrite(f: Frame): Frame | -1 {
    const pool = this.#pool
    const { bytes, data, off, len } = pool
    const mac = this.#mac
    const found = this.#found
    let o = off[f] as number
    const kind = found.find(bytes, o, o + (len[f] as number))
    const asIs = isMac(data, o + 6, mac)
    if (asIs && found.nd === -1 && (kind !== Kind.Arp || isMac(data, found.l3 + arp.SHA, mac))) return f
    const g = pool.own(f)
    if (g === NO_FRAME) return NO_FRAME
    const moved = (off[g] as number) - o
    o += moved
    if (kind === Kind.Arp) putMac(data, found.l3 + moved + arp.SHA, mac)
    if (found.nd !== -1) this.#discovery(g as Frame, o, found.nd + moved, found.ndEnd + moved)
    putMac(data, o + 6, mac)
    if (pool.trace !== null) explain.outward(pool, g as Frame, kind === Kind.Arp || found.nd !== -1)
    return g
  }

  /** Rewrites the options of the message `[nd, end)`, while the frame at `o` still has the sender's MAC. */
  #discovery(f: Frame, o: number, nd: number, end: number): void {
    const { bytes, data } = this.#pool
    const type = icmpv6.type(bytes, nd)
    const ours = type !== icmpv6.Type.Redirect || this.#endpoints.find6(bytes, nd + icmpv6.TARGET) !== -1
    let option = nextLinkLayer(bytes, nd + icmpv6.optionsAt(type), end)
    while (option !== -1) {
      const own =
        data.getInt32(option + 4, true) === data.getInt32(o + 8, true) &&
        data.getUint16(option + 2, true) === data.getUint16(o + 6, true)
      if (ours || own) putLinkLayer(this.#pool, f, nd, option, this.#mac)
      option = nextLinkLayer(bytes, option + 8, end)
    }
  }
}
