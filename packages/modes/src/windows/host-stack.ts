import { Passage } from '@l2l3/nat'
import {
  Batch,
  type Element,
  type Frame,
  type FramePool,
  type L2BridgeEngine,
  type L2BridgePod,
  type Link,
  Pipeline,
  Router,
  type RouterOptions,
} from '@l2l3/switch-core'
import { ipv4, ipv6, u32 } from '@l2l3/switch-core/wire'
import { forgetNeighbours } from '../bridge.ts'
import { Entrance } from '../entrance.ts'
import type { Wires } from '../ground.ts'
import { type JoinedLink, joinedLink, withLinkLocal } from '../routed-link.ts'
import { type Route, Routes } from '../routes.ts'
import { addressKey6 } from './address-fix-up.ts'
import type { VfpNat } from './vfp-nat.ts'

/*
 * The host behind the virtual switch (modes.md 2.1): a stack with two of the switch's ports.
 *
 *     management      the node's address on the uplink's network, behind the node's MAC
 *     host endpoint   x.2 of the pods' subnet, with a MAC of its own; forwarding is on: the pods' gateway
 *
 *     port of the host ─> answers, services that are not DSR ─> not translated: the stack: to itself, or forwarded, TTL - 1
 *                                                            └> translated: sent from here, TTL as it was
 *
 * Services that are not DSR are the host's, as a multiplexer: their packets get the node's address, or the SourceVIP, for a source
 * (modes.md 17.1). So they are the node's own and are routed as such: nothing of the pod's or client's TTL is taken. What the stack itself
 * sends passes no such port: a node port from the node itself leads nowhere (modes.md 2.2).
 */

/** The host's addresses. */
export interface HostStackOptions extends Pick<RouterOptions, 'echo' | 'icmpRate' | 'icmpBurst' | 'icmpSource'> {
  /** The management interface's, with prefix. */
  readonly addresses: readonly string[]
  /** Default 1,500. */
  readonly mtu?: number
  /** The host endpoint: gateway of the pods where they have a subnet of their own. Default: none. */
  readonly endpoint?: { readonly mac: string; readonly addresses: readonly string[] }
}

/** The host of a node. */
export class HostStack {
  readonly router: Router
  readonly management: JoinedLink
  readonly endpoint: JoinedLink | null
  /** The host endpoint's port of the engine. */
  readonly pod: L2BridgePod | null
  readonly #routes: Routes

  /** Throws a TypeError or RangeError with key and value. */
  constructor(wires: Wires, engine: L2BridgeEngine, hostMac: string, vfp: VfpNat | null, options: HostStackOptions) {
    const { addresses, endpoint, mtu, ...icmp } = options
    const { pool, clock, loop } = wires.ground
    const router = new Router(pool, clock, icmp)
    this.router = router
    this.#routes = new Routes(router)
    const side = vfp?.addSide('host', 'host') ?? null
    const services =
      vfp === null || side === null ? [] : [new HostServices(pool, vfp, new Passage(vfp.nat, side, side), router)]
    const more = mtu === undefined ? {} : { mtu }
    const join = (name: string, mac: string, own: readonly string[], plug: (link: Link) => Element) => {
      const inward = new Entrance()
      const out = wires.link(plug(wires.link(inward, name)), `${name} (switch)`)
      const link = joinedLink(
        wires,
        router,
        { name, mac, addresses: withLinkLocal({ mac, addresses: own }), ...more },
        out,
      )
      const stack = new Pipeline(...services, link.iface)
      inward.next = new Pipeline(link.neighbours.input, stack)
      if (side !== null) side.again ??= loop.link(stack, 'host, fragments')
      return link
    }
    this.management = join('management', hostMac, addresses, (link) => engine.attachHost(link))
    let pod: L2BridgePod | null = null
    this.endpoint =
      endpoint === undefined
        ? null
        : join('hostEndpoint', endpoint.mac, endpoint.addresses, (link) => {
            const ips = endpoint.addresses.map((address) => address.split('/')[0] as string)
            pod = engine.addPod(link, { mac: endpoint.mac, ips, port: { name: 'hostEndpoint' } })
            return pod
          })
    this.pod = pod
  }

  get links(): readonly JoinedLink[] {
    return this.endpoint === null ? [this.management] : [this.management, this.endpoint]
  }

  setRoutes(routes: readonly Route[]): void {
    this.#routes.keep(routes)
    this.#routes.put(routes, this.links, false)
  }

  /** Forgets what was learnt of a station. */
  forget(mac: string): void {
    for (const link of this.links) forgetNeighbours(link, mac)
  }
}

/** Services that are not DSR, and their answers, before the host's stack. */
class HostServices implements Element {
  readonly #pool: FramePool
  readonly #vfp: VfpNat
  readonly #passage: Passage
  readonly #router: Router
  readonly #asked: Batch = new Batch()
  readonly #before: Int32Array

  constructor(pool: FramePool, vfp: VfpNat, passage: Passage, router: Router) {
    this.#pool = pool
    this.#vfp = vfp
    this.#passage = passage
    this.#router = router
    this.#before = new Int32Array(pool.frames)
  }

  process(batch: Batch): void {
    const pool = this.#pool
    const { frames } = batch
    const { hostFrontends } = this.#vfp
    const asked = this.#asked
    let kept = 0
    for (let i = 0; i < batch.length; i++) {
      const f = frames[i] as Frame
      const to = this.#destination(f)
      if (to === 0 || !hostFrontends.has(to)) {
        frames[kept++] = f
        continue
      }
      const g = pool.own(f)
      if (g < 0) continue
      this.#before[g] = to
      asked.push(g as Frame)
      if (asked.length < asked.capacity) continue
      kept = this.#ask(frames, kept)
    }
    batch.length = this.#ask(frames, kept)
  }

  /** Has those that were put aside translated; gives how many frames of the batch are kept then. */
  #ask(frames: Uint32Array, kept: number): number {
    const asked = this.#asked
    const pool = this.#pool
    if (asked.length > 0) this.#passage.process(asked)
    for (let i = 0; i < asked.length; i++) {
      const f = asked.frames[i] as Frame
      if (this.#destination(f) === this.#before[f]) {
        frames[kept++] = f
        continue
      }
      if (pool.trace?.follows(f)) pool.trace.note(f, 'VFP', 'the host sends it on as its own: the TTL stays')
      this.#router.send(f)
    }
    asked.length = 0
    return kept
  }

  /** Where a frame goes, as a number; 0 for what is not IP, and what is for a group. */
  #destination(f: Frame): number {
    const { bytes: b, data, off, len } = this.#pool
    const o = off[f] as number
    const size = len[f] as number
    if (size < 34 || ((b[o] as number) & 1) !== 0) return 0
    const type = data.getUint16(o + 12, false)
    if (type === 0x0800) return u32(b, o + 14 + ipv4.DST) | 0
    return type === 0x86dd && size >= 54 ? addressKey6(b, o + 14 + ipv6.DST) : 0
  }
}
