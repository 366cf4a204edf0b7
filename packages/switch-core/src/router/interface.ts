import type { Batch } from '../batch.ts'
import { Drop } from '../drop.ts'
import type { Element } from '../element.ts'
import { checkRange, type Frame, type FramePool } from '../frame-pool.ts'
import type { Link } from '../link.ts'
import type { NeighbourClient, Neighbours } from '../neighbours.ts'
import { formatIpv4, formatIpv6 } from '../wire/address.ts'
import { isGroup, isZero, parseMac } from '../wire/ethernet.ts'
import { seedOf } from './ecmp.ts'
import * as explain from './explain.ts'
import { Hop } from './target.ts'

/*
 * An interface of a router: the way in is an element, the way out a link.
 *
 *     frames -> [ neighbour table: takes ARP and ND ] -> RouterInterface.process
 *                                                        is it for our MAC, or a group? IPv4 or IPv6?  ->  router
 *     router -> source MAC -> neighbours.resolve: destination MAC -> `out`
 *                             or waits there -> `resolved` -> `out`
 *                                            -> `failed` -> ICMP "host unreachable"
 *
 * Frames are untagged: a VLAN sub-interface is a tag popped before and pushed behind.
 */

/** Whether the source of a packet must be reachable (RFC 3704): not asked; by any interface; by the one it came in
 * on. */
export type ReversePathFilter = 'off' | 'loose' | 'strict'

/** Settings of an interface. */
export interface RouterInterfaceOptions {
  /** Its name; unique in the router. */
  name: string
  /** Its MAC address as text: a unicast address. */
  mac: string
  /** Where frames leave. */
  out: Link
  /** The longest IP packet that leaves whole, in bytes; 68 (RFC 791) to 65,535. Default 1,500. IPv6 takes it for 1,280
   * where it is less (RFC 8200, 5). */
  mtu?: number
  /** Addresses with their prefixes: `10.0.0.1/24`, `fe80::1/64`. The first of a family is the one that speaks. */
  addresses?: readonly string[]
  /** Finds MAC addresses of next hops. May be set later: until then nobody answers. */
  neighbours?: Neighbours
  /** Default `off`. */
  reversePathFilter?: ReversePathFilter
  /** Whether packets from elsewhere to the broadcast address of its prefix are sent as a broadcast here. Default false
   * (RFC 2644). */
  directedBroadcast?: boolean
  /** Whether what comes in here and is routed on loses one of its time to live, as it must (RFC 1812, 5.3.1). False for a
   * packet that has made this hop already: out of a tunnel between two halves of one distributed router. Default true. */
  decrementTtl?: boolean
}

/** What an interface has counted. */
export interface RouterInterfaceCounters {
  readonly rxFrames: number
  readonly rxBytes: number
  /** Frames handed to `out`. */
  readonly txFrames: number
  readonly txBytes: number
  /** Frames that came in here and were dropped by the router. */
  readonly rxDropped: number
  /** Frames that were to leave here and whose next hop did not answer. */
  readonly txDropped: number
  /** Frames for the router itself that were handed on: to `onLocal` or the local link. */
  readonly delivered: number
  /** ICMP errors that were sent about frames that came in here. */
  readonly icmpErrors: number
}

const RX_FRAMES = 0
const RX_BYTES = 1
const TX_FRAMES = 2
const TX_BYTES = 3
const RX_DROPPED = 4
const DELIVERED = 5
const ICMP_ERRORS = 6
const TX_DROPPED = 7

/** An IPv4 address of an interface. */
export interface Address4 {
  readonly ip: number
  readonly length: number
}

/** An IPv6 address of an interface. */
export interface Address6 {
  readonly bytes: Uint8Array
  readonly length: number
  /** In fe80::/10: means something on this link only. */
  readonly linkLocal: boolean
  /** The address of all routers on its link, the prefix without an interface identifier (RFC 4291, 2.6.1): ours too.
   * Null where the prefix is too long to have one (RFC 6164). */
  readonly anycast: Uint8Array | null
}

/** Where an interface leaves frames: the router. */
export interface Inlet {
  readonly pool: FramePool
  /** An IPv4 frame: [o, o + n) are its bytes; `group` says that it came by broadcast or multicast. */
  input4(iface: RouterInterface, f: Frame, o: number, n: number, group: boolean): void
  input6(iface: RouterInterface, f: Frame, o: number, n: number, group: boolean): void
  /** A frame whose next hop on the interface does not answer. */
  unanswered(iface: RouterInterface, f: Frame): void
}

/** A router's way to one link. Made by `Router.addInterface`. */
export class RouterInterface implements Element, NeighbourClient {
  readonly name: string
  readonly mac: Uint8Array
  readonly out: Link
  readonly mtu: number
  readonly directedBroadcast: boolean
  readonly reversePathFilter: ReversePathFilter
  readonly decrementTtl: boolean
  /** Finds MAC addresses of next hops; null: nobody answers. */
  neighbours: Neighbours | null
  /** False once the router has taken it away: from then on it neither takes frames in nor sends any. */
  attached = true
  /** Addresses, in the order in which they were given. The router changes them. */
  readonly addresses4: Address4[] = []
  readonly addresses6: Address6[] = []
  /** The next hop of what is on the link itself. */
  readonly onLink: Hop
  /** Where frames come in again that a gate has held: they have been counted. */
  readonly again: Element = {
    process: (batch) => {
      if (this.attached) this.#take(batch)
      else for (let i = 0; i < batch.length; i++) this.end(batch.frames[i] as Frame, Drop.PortDown)
      batch.length = 0
    },
  }
  readonly #inlet: Inlet
  readonly #pool: FramePool
  readonly #mac32: number
  readonly #mac16: number
  readonly #n: Float64Array = new Float64Array(8)

  constructor(inlet: Inlet, options: RouterInterfaceOptions) {
    this.#inlet = inlet
    this.#pool = inlet.pool
    if (typeof options.name !== 'string' || options.name === '') {
      throw new TypeError(`name must be a text that is not empty, not ${JSON.stringify(options.name)}`)
    }
    this.name = options.name
    this.onLink = new Hop(this, 0, null, 1, seedOf(options.name))
    try {
      this.mac = parseMac(options.mac)
    } catch (error) {
      throw new TypeError(`mac: ${(error as Error).message}`, { cause: error })
    }
    if (isGroup(this.mac, 0) || isZero(this.mac, 0)) {
      throw new RangeError(`mac must be a unicast address, not ${options.mac}`)
    }
    this.out = options.out
    this.mtu = checkRange('mtu', options.mtu ?? 1500, 68, 65_535)
    this.neighbours = options.neighbours ?? null
    this.directedBroadcast = flag('directedBroadcast', options.directedBroadcast, false)
    this.decrementTtl = flag('decrementTtl', options.decrementTtl, true)
    this.reversePathFilter = options.reversePathFilter ?? 'off'
    if (!['off', 'loose', 'strict'].includes(this.reversePathFilter)) {
      throw new RangeError(`reversePathFilter must be off, loose or strict, not ${this.reversePathFilter}`)
    }
    if (options.out?.pool !== inlet.pool) {
      throw new Error(`out: link ${options.out?.name} of ${this.name} has another frame pool than the router`)
    }
    const mac = new DataView(this.mac.buffer)
    this.#mac32 = mac.getInt32(0, true)
    this.#mac16 = mac.getUint16(4, true)
  }

  /** Its addresses as text. */
  get addresses(): readonly string[] {
    const v4 = this.addresses4.map((a) => `${formatIpv4(a.ip)}/${a.length}`)
    return [...v4, ...this.addresses6.map((a) => `${formatIpv6(a.bytes)}/${a.length}`)]
  }

  get counters(): RouterInterfaceCounters {
    const n = this.#n
    return {
      rxFrames: n[RX_FRAMES] as number,
      rxBytes: n[RX_BYTES] as number,
      txFrames: n[TX_FRAMES] as number,
      txBytes: n[TX_BYTES] as number,
      rxDropped: n[RX_DROPPED] as number,
      txDropped: n[TX_DROPPED] as number,
      delivered: n[DELIVERED] as number,
      icmpErrors: n[ICMP_ERRORS] as number,
    }
  }

  /** Takes frames in; leaves the batch empty. */
  process(batch: Batch): void {
    if (!this.attached) {
      this.#refuse(batch)
      return
    }
    const { length } = batch
    const bytes = this.#take(batch)
    batch.length = 0
    this.#n[RX_FRAMES]! += length
    this.#n[RX_BYTES]! += bytes
  }

  /** Gives a batch to the router, frame by frame, and says how many bytes it had. */
  #take(batch: Batch): number {
    const inlet = this.#inlet
    const { off, len, bytes: b, data } = this.#pool
    const { frames, length } = batch
    const mac32 = this.#mac32
    const mac16 = this.#mac16
    let bytes = 0
    for (let i = 0; i < length; i++) {
      const f = frames[i] as Frame
      const o = off[f] as number
      const n = len[f] as number
      bytes += n
      if (n < 14) {
        this.end(f, Drop.Runt)
        continue
      }
      let group = false
      if (data.getInt32(o, true) !== mac32 || data.getUint16(o + 4, true) !== mac16) {
        if ((b[o]! & 1) === 0) {
          this.end(f, Drop.OtherHost)
          continue
        }
        group = true
      }
      const type = (b[o + 12]! << 8) | b[o + 13]!
      if (type === 0x0800) inlet.input4(this, f, o, n, group)
      else if (type === 0x86dd) inlet.input6(this, f, o, n, group)
      else this.end(f, Drop.NotIp)
    }
    return bytes
  }

  /** Ends what still comes in after the interface was taken away. */
  #refuse(batch: Batch): void {
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      this.#n[RX_FRAMES]!++
      this.#n[RX_BYTES]! += this.#pool.len[f] as number
      this.end(f, Drop.PortDown)
    }
    batch.length = 0
  }

  /** Ends a frame that came in here. */
  end(f: Frame, why: Drop): void {
    if (this.#pool.trace !== null) explain.ends(this.#pool, f, this, why)
    this.#n[RX_DROPPED]!++
    this.#pool.drop(f, why)
  }

  /** Ends a frame that was to leave here. */
  unsent(f: Frame, why: Drop): void {
    this.#n[TX_DROPPED]!++
    this.#pool.drop(f, why)
  }

  /** Counts a frame that came in here and was handed on as the router's own. */
  handedOn(): void {
    this.#n[DELIVERED]!++
  }

  /** Counts an error that was sent about a frame that came in here. */
  complained(): void {
    this.#n[ICMP_ERRORS]!++
  }

  /** Sends a frame to an IPv4 neighbour on the link. The caller owns it, and it is shorter than the MTU. */
  send4(f: Frame, next: number): void {
    this.#writeSource(f)
    const { neighbours } = this
    if (neighbours === null) this.failed(f)
    else if (neighbours.resolve4(f, next)) this.resolved(f)
  }

  /** Sends a frame to the IPv6 neighbour whose 16 bytes stand in `b` at `at`. */
  send6(f: Frame, b: Uint8Array, at: number): void {
    this.#writeSource(f)
    const { neighbours } = this
    if (neighbours === null) this.failed(f)
    else if (neighbours.resolve6(f, b, at)) this.resolved(f)
  }

  /** Sends a frame to all on the link. */
  sendBroadcast(f: Frame): void {
    const pool = this.#pool
    const o = pool.off[f] as number
    pool.bytes.fill(255, o, o + 6)
    this.#writeSource(f)
    this.resolved(f)
  }

  #writeSource(f: Frame): void {
    const { data, off, port, trace } = this.#pool
    const o = off[f] as number
    // It comes from the router now: a tunnel that it came out of may take it (split horizon is about bridged frames).
    port[f] = 0
    data.setInt32(o + 6, this.#mac32, true)
    data.setUint16(o + 10, this.#mac16, true)
    if (trace !== null) explain.leaves(this.#pool, f, this)
  }

  /** For neighbours: both MAC addresses are written, out with it. */
  resolved(f: Frame): void {
    if (!this.attached) {
      this.unsent(f, Drop.PortDown)
      return
    }
    this.#n[TX_FRAMES]!++
    this.#n[TX_BYTES]! += this.#pool.len[f] as number
    this.out.push(f)
  }

  /** For neighbours: the next hop does not answer. */
  failed(f: Frame): void {
    if (!this.attached) this.unsent(f, Drop.PortDown)
    else this.#inlet.unanswered(this, f)
  }
}

/** A setting that is true or false, or left out. Throws a TypeError with the key and the value for anything else. */
export function flag(key: string, value: boolean | undefined, usual: boolean): boolean {
  if (value !== undefined && typeof value !== 'boolean') {
    throw new TypeError(`${key} must be true or false, not ${JSON.stringify(value)}`)
  }
  return value ?? usual
}
