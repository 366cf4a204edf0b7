import type { Batch } from '../batch.ts'
import { Drop } from '../drop.ts'
import type { Element } from '../element.ts'
import { type Frame, type FramePool, NO_FRAME } from '../frame-pool.ts'
import * as arp from '../wire/arp.ts'
import { equal } from '../wire/bytes.ts'
import { HLEN } from '../wire/ethernet.ts'
import * as icmpv6 from '../wire/icmpv6.ts'
import { Addressed, Kind } from './addressed.ts'
import * as explain from './explain.ts'
import type { L2BridgeEngine } from './l2bridge.ts'
import { answerArp } from './link-layer.ts'
import { isMac, putMac } from './mac-words.ts'

/*
 * What comes in by the uplink: all of it is addressed to the node's MAC, and the network address says which pod it is for.
 *
 *   ARP request, for the host      answered with the node's MAC
 *   ARP request, for a pod         answered: with the node's MAC, or the pod's (`foreignArpAnswer`)
 *   ARP reply                      for a pod: to its MAC, `tha` too; or all of them to everybody (`arpReplyMode`)
 *   IP for a pod, NS for a pod     to its MAC
 *   for nobody here                to the host, or as the switch will have it (`unknownDestination`)
 *
 * What is kept goes on to the switch.
 */
export class L2BridgeIngress implements Element {
  readonly #engine: L2BridgeEngine
  readonly #pool: FramePool
  readonly #found: Addressed = new Addressed()

  constructor(engine: L2BridgeEngine, pool: FramePool) {
    this.#engine = engine
    this.#pool = pool
  }

  process(batch: Batch): void {
    const pool = this.#pool
    const { bytes, off, len } = pool
    const found = this.#found
    const { endpoints } = this.#engine
    const { frames, length: n } = batch
    let kept = 0
    for (let i = 0; i < n; i++) {
      const f = frames[i] as Frame
      const o = off[f] as number
      if ((len[f] as number) < HLEN) {
        pool.drop(f, Drop.Runt)
        continue
      }
      const kind = found.find(bytes, o, o + (len[f] as number))
      let owner = -1
      if (kind === Kind.IPv6) owner = endpoints.find6(bytes, found.to)
      else if (kind !== Kind.None) owner = endpoints.find4(bytes, found.to)
      const g = kind === Kind.Arp ? this.#arp(f, o, owner) : this.#packet(f, o, owner)
      if (g !== NO_FRAME) frames[kept++] = g
    }
    batch.length = kept
  }

  /** Gives the frame for the switch, or `NO_FRAME` where it has gone another way. */
  #arp(f: Frame, o: number, owner: number): Frame | -1 {
    const pool = this.#pool
    const { bytes, data, off } = pool
    const engine = this.#engine
    const l3 = this.#found.l3 - o
    const operation = arp.op(bytes, o + l3)
    if (operation === arp.Op.Request && owner !== -1) {
      const g = pool.own(f)
      if (g === NO_FRAME) return NO_FRAME
      const asked = pool.trace === null ? '' : explain.forWhom(pool, this.#found)
      answerArp(pool, g as Frame, (off[g] as number) + l3, engine.answerAbroad(owner))
      if (pool.trace !== null)
        explain.answered(pool, g as Frame, asked, engine.nameOf(owner), engine.answerAbroad(owner))
      engine.toUplink.push(g as Frame)
      return NO_FRAME
    }
    if (operation === arp.Op.Reply && engine.settings.broadcastReplies) {
      const g = pool.own(f)
      if (g !== NO_FRAME) bytes.fill(0xff, off[g] as number, (off[g] as number) + 6)
      if (g !== NO_FRAME && pool.trace !== null)
        explain.bridge(pool, g as Frame, 'an ARP answer, which goes to all pods')
      return g
    }
    // An announcement is for everybody: its sender has the address that it is "for".
    if (owner === -1 && equal(bytes, o + l3 + arp.SPA, bytes, o + l3 + arp.TPA, 4))
      return this.#unknown(f, o, true, false)
    const g = this.#packet(f, o, owner)
    if (g === NO_FRAME || owner <= 0 || operation !== arp.Op.Reply) return g
    // `#packet` has made the frame ours where it had to write; where it had not, tha may still be wrong.
    const own = pool.own(g as Frame)
    if (own !== NO_FRAME) putMac(data, (off[own] as number) + l3 + arp.THA, engine.podMac(owner))
    return own
  }

  #packet(f: Frame, o: number, owner: number): Frame | -1 {
    const pool = this.#pool
    if (owner <= 0) {
      const { kind, nd, to } = this.#found
      const asksForAnother = kind === Kind.Arp || (nd !== -1 && to === nd + icmpv6.TARGET)
      return this.#unknown(f, o, !asksForAnother, owner === 0)
    }
    const mac = this.#engine.podMac(owner)
    const address = pool.trace === null ? '' : explain.forWhom(pool, this.#found)
    let g: Frame | -1 = f
    if (!isMac(pool.data, o, mac)) {
      g = pool.own(f)
      if (g === NO_FRAME) return g
      putMac(pool.data, pool.off[g] as number, mac)
    }
    if (pool.trace !== null) explain.inward(pool, g as Frame, address, this.#engine.nameOf(owner))
    return g
  }

  /** A frame that is for no pod: gives it for the switch, or `NO_FRAME`. `forAll` says that pods may have it if it is sent
   * to a group. */
  #unknown(f: Frame, o: number, forAll: boolean, isHosts: boolean): Frame | -1 {
    const engine = this.#engine
    const pool = this.#pool
    if (pool.trace !== null) {
      const address = explain.forWhom(pool, this.#found)
      explain.bridge(pool, f, isHosts ? `${address} is the node's own` : `no pod has ${address}`)
    }
    if (!engine.settings.unknownToHost) return f
    const { bytes, data } = this.#pool
    const group = ((bytes[o] as number) & 1) !== 0
    const host = engine.toHost
    if (group && forAll) return f
    if (host !== null && !group && isMac(data, o, engine.settings.hostMac)) return f
    if (host !== null && group) host.push(f)
    else this.#pool.drop(f, Drop.UnknownEndpoint)
    return NO_FRAME
  }
}
