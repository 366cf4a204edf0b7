import type { Clock } from '../clock.ts'
import type { Frame, FramePool } from '../frame-pool.ts'
import type { Link } from '../link.ts'
import * as udp from '../wire/udp.ts'
import * as explain from './explain.ts'
import type { Fib } from './fib.ts'
import type { RouterGate } from './gate.ts'
import type { RouterInterface } from './interface.ts'
import type { Target } from './target.ts'
import type { TokenBucket } from './token-bucket.ts'

/** Takes a packet for the router itself over and returns true, or leaves it and returns false. The frame is as it came
 * in; who writes to it calls `pool.own` first. */
export type LocalTaker = (f: Frame, iface: RouterInterface) => boolean

/** Time to live, and hop limit, of what the router itself sends. */
export const DEFAULT_TTL = 64

/** What IPv4 and IPv6 share: the pool, the table, and how packets for the router itself are handed on. */
export class Plane {
  readonly pool: FramePool
  readonly clock: Clock
  readonly fib: Fib
  /** How often errors may be sent. */
  readonly bucket: TokenBucket
  /** Whether 240.0.0.0/4 are hosts' addresses. */
  readonly reserved4: boolean
  /** Whether echo requests are answered. */
  readonly echo: boolean
  /** Whether UDP and unknown protocols that nobody takes are answered with an error. */
  readonly unreachable: boolean
  /** Whether errors come from the interface that the packet came in by. */
  readonly incomingSource: boolean
  /** Gets packets for the router itself that it does not answer; null: they are dropped. */
  local: Link | null = null
  /** Asked first about each packet for the router itself. */
  onLocal: LocalTaker | null = null
  /** Looks at what comes in and leaves. */
  gate: RouterGate | null = null
  /** Errors that were sent, and those that the rate limit held back. */
  icmpSent = 0
  icmpHeldBack = 0
  #id = 0

  constructor(
    pool: FramePool,
    clock: Clock,
    fib: Fib,
    bucket: TokenBucket,
    settings: { echo: boolean; unreachable: boolean; incomingSource: boolean; reserved4: boolean },
  ) {
    this.pool = pool
    this.clock = clock
    this.fib = fib
    this.bucket = bucket
    this.echo = settings.echo
    this.reserved4 = settings.reserved4
    this.unreachable = settings.unreachable
    this.incomingSource = settings.incomingSource
  }

  /** The identification of the next IPv4 packet that the router itself sends. */
  nextId(): number {
    return (this.#id = (this.#id + 1) & 0xffff)
  }

  /** Asks `onLocal`; true where it took the frame. */
  taken(iface: RouterInterface, f: Frame): boolean {
    if (this.onLocal === null || !this.onLocal(f, iface)) return false
    iface.handedOn()
    return true
  }

  /** Hands the frame to the local link; false where there is none. */
  handOn(iface: RouterInterface, f: Frame): boolean {
    if (this.local === null) return false
    iface.handedOn()
    if (this.pool.trace !== null) explain.handedOn(this.pool, f, this.local.name)
    this.local.push(f)
    return true
  }

  /** Tells whether the UDP datagram at `l4` is whole and its checksum right, or not yet there: others are not
   * answered. */
  udpSound(f: Frame, l3: number, l4: number, end: number): boolean {
    const b = this.pool.bytes
    return udp.check(b, l4, end) !== -1 && ((this.pool.flags[f] as number) !== 0 || udp.checksumOk(b, l3, l4))
  }

  /** Tells whether a frame with a source that `target` leads to may come in by `iface` (RFC 3704, 2.2 and 2.4). */
  reverseOk(iface: RouterInterface, target: Target | null): boolean {
    if (iface.reversePathFilter === 'off') return true
    if (target === null || target.kind !== 'unicast') return false
    return iface.reversePathFilter === 'loose' || target.leavesBy(iface)
  }
}
