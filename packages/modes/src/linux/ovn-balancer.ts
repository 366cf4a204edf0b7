import {
  Balancer,
  type ConntrackOptions,
  type DestinationPolicy,
  Nat,
  Passage,
  Rejector,
  type ServiceOptions,
  type Side,
} from '@l2l3/nat'
import {
  type Batch,
  type Element,
  type Frame,
  type FramePool,
  type Link,
  type MacWords,
  moveMac,
  NO_FRAME,
  putMac,
  stationMac,
} from '@l2l3/switch-core'
import { ipv4, ipv6, parseIpv4, parseIpv6, u32 } from '@l2l3/switch-core/wire'
import type { Ground } from '../ground.ts'
import { same } from '../parts.ts'
import { PlacedDestination, Places } from '../place.ts'
import type { PortTranslation } from '../port-translation.ts'

/*
 * OVN's load balancers of logical switches, at the ports of the pods that ask (ovn-architecture: `ls_in_lb`, `ls_out_pre_lb`).
 *
 *     pod ──> destination VIP -> a backend; the MAC stays the router's ──> switch ──> router, TTL - 1 ──> wherever the backend is
 *     pod <── source of the answer: the VIP again <────────────────────── switch <── straight, where both are on one switch
 *
 * Each port has a zone of its own for each of its sides, so a flow is known where the client is, and nowhere else: answers may come
 * by any way, and the backend sees the client itself. A pod that is its own backend gets the packet back from where it stands, as if
 * from `hairpin_snat_ip`, and its answer to that address likewise:
 *
 *     pod 10.1.0.2 ─> VIP:80            here: 169.254.169.5 ─> 10.1.0.2:8080, MACs crosswise, back to the pod
 *     pod 10.1.0.2 ─> 169.254.169.5     here: VIP:80 ─> 10.1.0.2, likewise
 *
 * A service without backends is refused: a reset for TCP, else port unreachable. Nothing of this is there before the first service.
 */

/** What a pod that is its own backend sees for a client, as ovn-kubernetes sets it. */
export const HAIRPIN_SNAT: readonly string[] = ['169.254.169.5', 'fd69::5']

/** Settings of the load balancers of a node. */
export interface OvnBalancerOptions {
  /** One address of a version, or of both: what a pod that is its own backend sees for a client (`hairpin_snat_ip`). Default
   * `HAIRPIN_SNAT`, each where none of its version is given. */
  readonly hairpinSnat?: readonly string[]
  /** The table of flows of pods' ports. */
  readonly conntrack?: ConntrackOptions
}

/** The load balancers of a node's ports. */
export class OvnBalancer {
  readonly #ground: Ground
  readonly #options: OvnBalancerOptions
  readonly #sources: readonly [string, string]
  readonly #hairpin: HairpinAddresses
  readonly #ports: Set<BalancedPort> = new Set()
  readonly #places: Places = new Places()
  readonly #zones: Set<number> = new Set([0])
  readonly #bySide: Map<number, BalancedPort> = new Map()
  readonly #services: Map<string, ServiceOptions> = new Map()
  #made: { readonly nat: Nat; readonly balancer: Balancer } | null = null

  constructor(ground: Ground, options: OvnBalancerOptions = {}) {
    this.#ground = ground
    this.#options = options
    const { hairpinSnat = [] } = options
    const of = (six: boolean): string => {
      const own = hairpinSnat.filter((text) => text.includes(':') === six)
      if (own.length > 1) throw new RangeError(`hairpinSnat: ${own[1]} is the second of its IP version`)
      return own[0] ?? (HAIRPIN_SNAT[six ? 1 : 0] as string)
    }
    this.#sources = [of(false), of(true)]
    this.#hairpin = readHairpin(this.#sources)
  }

  /** Its flows and services; null before the first service. */
  get made(): { readonly nat: Nat; readonly balancer: Balancer } | null {
    return this.#made
  }

  /** The load balancer at a pod's port.
   * @param mac the pod's */
  port(name: string, mac: string): PortTranslation {
    const hairpin = new Hairpin(this.#ground.pool, this.#hairpin, mac)
    const port = new BalancedPort(name, hairpin, (gone) => this.#leave(gone))
    this.#ports.add(port)
    if (this.#made !== null) this.#join(port, this.#made.nat)
    return port
  }

  /** Makes the services what is said; flows stay as they are. Throws a TypeError or RangeError with key and value. */
  setServices(services: readonly ServiceOptions[]): void {
    if (services.length === 0 && this.#made === null) return
    const { table } = this.#make()
    const next = new Map(services.map((service) => [service.name, service]))
    for (const [name, before] of [...this.#services]) {
      // With another protocol it is another service.
      if ((next.get(name)?.protocol ?? 'tcp') === (before.protocol ?? 'tcp') && next.has(name)) continue
      table.remove(name)
      this.#services.delete(name)
    }
    for (const service of services) {
      const before = this.#services.get(service.name)
      if (same(before, service)) continue
      if (before === undefined) table.add(service)
      else table.update(service)
      this.#services.set(service.name, service)
    }
  }

  /** Ends the flows from and to addresses that nobody has any more. */
  forget(addresses: readonly string[]): void {
    const gone = new Set(addresses)
    this.#made?.nat.endFlows(({ original, reply }) =>
      [original.src, original.dst, reply.src, reply.dst].some((ip) => gone.has(ip)),
    )
  }

  #make(): { readonly table: Balancer['services'] } {
    if (this.#made !== null) return { table: this.#made.balancer.services }
    const { loop, pool, clock, seed = 0 } = this.#ground
    const destination: DestinationPolicy[] = []
    const refusals = new Rejector(pool, clock, { tcp: 'reset' })
    const nat = new Nat(loop, {
      ...{ seed, ...this.#options.conntrack, destination },
      // There and back of a flow between others may pass here by half.
      invalid: 'pass',
      onReject: (f, l3, side) => {
        const answer = refusals.answer(f, l3)
        if (answer !== NO_FRAME) this.#bySide.get(side)?.refuse(answer as Frame)
      },
    })
    const balancer = new Balancer(nat.addresses, { seed, dsr: true, sourceVips: this.#sources })
    const placed = new PlacedDestination(this.#places, 'pod', balancer)
    destination.push(placed)
    placed.attached(nat)
    this.#made = { nat, balancer }
    for (const port of this.#ports) this.#join(port, nat)
    return { table: balancer.services }
  }

  #join(port: BalancedPort, nat: Nat): void {
    const pod = nat.addSide(`${port.name} (pod)`, { zone: this.#zone() })
    const bridge = nat.addSide(`${port.name} (switch)`, { zone: this.#zone() })
    this.#places.set(pod, 'pod')
    this.#bySide.set(pod.number, port)
    port.join(nat, pod, bridge)
  }

  #zone(): number {
    for (let zone = 1; zone <= 0xffff; zone++) {
      if (this.#zones.has(zone)) continue
      this.#zones.add(zone)
      return zone
    }
    throw new RangeError('pods: at most 32,767 on a node with services')
  }

  #leave(port: BalancedPort): void {
    this.#ports.delete(port)
    for (const side of port.sides) {
      this.#places.set(side, undefined)
      this.#bySide.delete(side.number)
      this.#zones.delete(side.zone)
      this.#made?.nat.removeSide(side)
    }
  }
}

/** What a pod's port does with packets. */
class BalancedPort implements PortTranslation {
  readonly name: string
  readonly fromPort: Element
  readonly toPort: Element
  readonly #hairpin: Hairpin
  readonly #end: (port: BalancedPort) => void
  #outward: Passage | null = null
  #inward: Passage | null = null
  #onward: Link | null = null
  #back: Link | null = null

  constructor(name: string, hairpin: Hairpin, end: (port: BalancedPort) => void) {
    this.name = name
    this.#hairpin = hairpin
    this.#end = end
    this.fromPort = { process: (batch) => this.#sent(batch) }
    this.toPort = { process: (batch) => this.#inward?.process(batch) }
  }

  get sides(): readonly Side[] {
    return this.#outward === null ? [] : [this.#outward.from, this.#outward.to]
  }

  /** Has flows be known, in the zones of these sides. */
  join(nat: Nat, pod: Side, bridge: Side): void {
    this.#outward = new Passage(nat, pod, bridge)
    this.#inward = new Passage(nat, bridge, pod)
    this.#again()
  }

  goOn(onward: Link, back: Link): void {
    this.#onward = onward
    this.#back = back
    this.#again()
  }

  /** Tells the pod that nobody serves it. */
  refuse(answer: Frame): void {
    this.#back?.push(answer)
  }

  end(): void {
    this.#end(this)
  }

  #again(): void {
    if (this.#outward === null || this.#inward === null) return
    this.#outward.from.again = this.#onward
    this.#inward.from.again = this.#back
  }

  #sent(batch: Batch): void {
    if (this.#outward === null || this.#back === null) return
    this.#outward.process(batch)
    this.#hairpin.turn(batch, this.#back)
  }
}

const ETHERTYPE_IPV4 = 0x0800
const ETHERTYPE_IPV6 = 0x86dd

/** The hairpin's addresses, as they stand in packets. */
interface HairpinAddresses {
  readonly four: number
  readonly six: readonly number[]
}

function readHairpin([four, six]: readonly [string, string]): HairpinAddresses {
  try {
    const bytes = parseIpv6(six)
    return { four: parseIpv4(four), six: [0, 4, 8, 12].map((i) => u32(bytes, i)) }
  } catch (error) {
    throw new RangeError(`hairpinSnat: ${(error as Error).message}`, { cause: error })
  }
}

/** Turns round what a pod has sent to itself: packets from the hairpin's address, and to it. */
class Hairpin {
  readonly #pool: FramePool
  readonly #own: HairpinAddresses
  readonly #mac: MacWords

  /** @param mac the pod's */
  constructor(pool: FramePool, own: HairpinAddresses, mac: string) {
    this.#pool = pool
    this.#own = own
    this.#mac = stationMac('mac', mac)
  }

  /** Takes those frames out of a batch, and sends them back with their MACs crosswise. */
  turn(batch: Batch, back: Link): void {
    const { frames } = batch
    let kept = 0
    for (let i = 0; i < batch.length; i++) {
      const f = frames[i] as Frame
      if (this.#isOwn(f)) this.#turn(f, back)
      else frames[kept++] = f
    }
    batch.length = kept
  }

  #isOwn(f: Frame): boolean {
    const { bytes: b, data, off, len } = this.#pool
    const { four } = this.#own
    const o = off[f] as number
    const l3 = o + 14
    const size = len[f] as number
    if (size < 34) return false
    const type = data.getUint16(o + 12, false)
    if (type === ETHERTYPE_IPV4) return u32(b, l3 + ipv4.SRC) === four || u32(b, l3 + ipv4.DST) === four
    if (type !== ETHERTYPE_IPV6 || size < 54) return false
    return this.#isSix(b, l3 + ipv6.SRC) || this.#isSix(b, l3 + ipv6.DST)
  }

  #isSix(b: Uint8Array, at: number): boolean {
    const { six } = this.#own
    return u32(b, at + 12) === six[3] && u32(b, at) === six[0] && u32(b, at + 4) === six[1] && u32(b, at + 8) === six[2]
  }

  #turn(f: Frame, back: Link): void {
    const pool = this.#pool
    const g = pool.refs[f] === 1 ? f : pool.own(f)
    if (g < 0) return
    const { data, off, trace } = pool
    const o = off[g] as number
    moveMac(data, o + 6, o)
    putMac(data, o, this.#mac)
    if (trace?.follows(g as Frame)) trace.note(g as Frame, 'LoadBalancer', 'the pod is its own backend: back to it')
    back.push(g as Frame)
  }
}
