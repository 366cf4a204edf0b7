import type { Clock, FramePool, Link } from '@l2l3/switch-core'
import type { IpAddress, OuterIp } from './ip-tunnel-outer.ts'
import type { Remotes } from './ip-tunnel-remote.ts'
import type { Shim } from './ip-tunnel-shim.ts'
import type { PathMtu } from './path-mtu.ts'
import type { Underlay } from './underlay.ts'

/** What the ways into and out of a tunnel have in common: an `IpTunnel`'s settings, checked. */
export interface TunnelEnd {
  readonly pool: FramePool
  readonly clock: Clock
  readonly shim: Shim
  readonly local: IpAddress
  readonly remotes: Remotes
  readonly outer: OuterIp
  readonly out: Underlay
  readonly into: Link
  /** The interface's; zero where frames are carried. */
  readonly mac: Uint8Array
  /** The underlay's. */
  readonly mtu: number
  readonly overhead: number
  readonly pathMtu: PathMtu
  /** What becomes of IPv4 without DF that is too long. */
  readonly cut: 'inner' | 'outer' | 'drop'
  /** Whether the underlay may cut what comes of it. */
  readonly mayCutOuter: boolean
  /** How often a packet may be wrapped already; whether further tunnels are told. */
  readonly limit: number
  readonly tellLimit: boolean
}
