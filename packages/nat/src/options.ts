import type { Frame } from '@l2l3/switch-core'
import type { Addresses6 } from './addresses6.ts'
import type { ConntrackOptions } from './conntrack/conntrack.ts'
import type { FragmentsOptions } from './fragments/fragments.ts'
import type { OutsidePorts } from './outbound/outside-ports.ts'
import type { Dice32 } from './outbound/port-search.ts'
import type { DestinationPolicy, OutsideAddresses, SourcePolicy } from './policy.ts'

/** The addresses of the node itself. */
export interface OwnAddresses {
  /** Whether an IPv4 address, unsigned, is the node's. */
  is4(address: number): boolean
  /** Whether the IPv6 address whose 16 bytes stand in `b` at `at` is. */
  is6(b: Uint8Array, at: number): boolean
}

/** Settings of a NAT, beside those of its connection tracking. */
export interface NatOptions extends ConntrackOptions {
  /** The node's own addresses: packets to them belong to no flow unless a destination policy takes them. Default none. */
  own?: OwnAddresses
  /** Decide where new flows go, in order; at most 254. */
  destination?: readonly DestinationPolicy[]
  /** Decide under which source new flows leave, in order; at most 254. */
  source?: readonly SourcePolicy[]
  /** Asked, instead of `source`, about flows that a destination policy wants masqueraded. Without one, or where it does not decide,
   * they get the wanted address, or that of the interface by `outside`, and keep their port where it is free. */
  masquerade?: SourcePolicy
  /** The addresses that interfaces give. */
  outside?: OutsideAddresses
  /** Outside ports that belong to inside endpoints: flows that get the address of an interface without `masquerade` leave them alone. */
  outsidePorts?: OutsidePorts
  /** What becomes of packets that cannot be where their flow is (and of ICMP errors about no flow): dropped as `InvalidState`, or
   * passed on untranslated, as Linux does where no rule says otherwise. Default `drop`. */
  invalid?: 'drop' | 'pass'
  /** Whether ICMP is translated. Windows' VFP does not (modes.md 2.4). Default true. */
  icmpTransposition?: boolean
  /** What becomes of ICMP queries that would be translated where ICMP is not: they leave as they are, or are dropped as
   * `NatUnsupported`. Default `pass`. */
  untransposed?: 'pass' | 'drop'
  /** Lowers the MSS that connections of TCP open with: to a number of bytes, or to what the MTUs of both sides carry. Default: not. */
  mss?: number | 'mtu'
  /** Limits of fragments. */
  fragments?: FragmentsOptions
  /** The numbers of IPv6 addresses, which policies share. Default its own, with room for as many as there are flows; a flow has two to
   * four. */
  addresses?: Addresses6
  /** Gives 32 random bits, for ports that have to change. Default dice from `seed`. */
  random?: Dice32
  /** Is told of a packet that a policy drops and whose sender should know: its frame, where its IP header starts in the pool's bytes, and
   * the number of the side where it came in. The frame is dropped afterwards. */
  onReject?: (f: Frame, l3: number, side: number) => void
}

/** Settings of a side. */
export interface SideOptions {
  /** Tells networks apart that use the same addresses; 0 to 65,535. Default 0. */
  zone?: number
  /** The longest IP packet that leaves there, for `mss: 'mtu'`; 68 to 65,535. Default 1,500; of a router's interface its own. */
  mtu?: number
}
