import type { Link } from '@l2l3/switch-core'
import { eth, parseMac } from '@l2l3/switch-core/wire'
import type { GeneveOption } from './geneve.ts'
import type { Labels } from './labels.ts'
import type { TunnelNetwork } from './network.ts'

/*
 * How a network of a VTEP is configured (`network.ts` says what it does with it), and how what is wrong is refused.
 */

/** Where a network's far end is, as it is configured: an address, or with what is particular there. */
export interface RemoteSpec {
  /** IPv4 or IPv6, as the VTEP's own. A multicast group needs `interface`. */
  address: string
  /** Its VNI there, if it is another. */
  vni?: number
  /** VXLAN: a group policy id for the header. GENEVE: options. Default: the network's. */
  group?: number
  options?: readonly GeneveOption[]
  /** The interface whose link the frames leave by, where no route is asked: of a multicast group. A `RouterInterface` will do.
   * Its MAC becomes the outer source. */
  interface?: { readonly mac: Uint8Array; readonly out: Link }
}

/** A prefix that is reached through a far end. */
export interface PrefixRoute {
  /** Inner destinations: `10.244.2.0/24`. */
  to: string
  remote: string | RemoteSpec
  /** Inner destination MAC for there: the far node's router's. Default: as it is. */
  mac?: string
  /** Inner source MAC. Default: as it is. */
  srcMac?: string
  /** Whether the packet loses one of its time to live on the way: this VTEP then is a router hop. Default false. */
  decrementTtl?: boolean
}

/** Settings of a network. */
export interface NetworkOptions {
  /** 0 to 16,777,215; or `any`, for what has no network of its own, whose frames leave with VNI 0 unless a far end has
   * another. */
  vni: number | 'any'
  /** Further VNIs whose frames come in here. Default: none. */
  vnis?: readonly number[]
  /** What headers say besides. Needs settings without a UDP checksum. Default: nothing. */
  labels?: Labels
  /** Where frames that came in go: a switch's port, a router's interface. */
  out: Link
  /** Whether MACs are learnt from what comes in. Default true. */
  learning?: boolean
  /** Own MAC: frames that claim to come from it are dropped. */
  mac?: string
  /** What becomes of unicast to a MAC that is not known. Default `flood`. */
  unknown?: 'flood' | 'drop'
  /** Only frames to these MACs are taken out of the tunnel, unicast and others. Default: all. */
  destinations?: readonly string[]
  /** Whether only far ends that are configured may send here. Default false. */
  knownPeersOnly?: boolean
  /** Only frames to this MAC go by prefixes. Default: all IP. */
  gateway?: string
  /** Whether what came out of a tunnel of this network, or of one it shares its horizon with, may not go into one. Default
   * true. */
  splitHorizon?: boolean
  /** Shares the horizon of another network: frames do not pass from one to the other. */
  horizon?: TunnelNetwork
  /** The longest inner IP packet in a frame without VLAN tags, behind a header without options of a far end's own: what more is
   * carried takes room; 68 to 65,535. IPv6 of up to 1,280 bytes is sent all the same, for the underlay to cut. Default: what
   * the underlay takes. */
  mtu?: number
  /** What becomes of IPv4 without DF that is longer: wrapped all the same, for the underlay to fragment (`outer`, Linux' way);
   * fragmented first (`inner`; behind a VLAN tag, and of a super-frame, after); dropped (RFC 7348, 4.3). Default `outer`. */
  oversize?: 'outer' | 'inner' | 'drop'
  /** VXLAN: a group policy id for all headers. GENEVE: options for all headers. */
  group?: number
  options?: readonly GeneveOption[]
}

/** An address and where it is, for people. */
export interface NetworkEntry {
  readonly mac: string
  readonly remote: string
  readonly kind: 'dynamic' | 'sticky' | 'static'
  /** Milliseconds since it was last heard. */
  readonly age: number
}

/** What a network has counted. */
export interface NetworkCounters {
  /** Frames that came out of tunnels, and copies that went into them. */
  readonly rxFrames: number
  readonly rxBytes: number
  readonly txFrames: number
  readonly txBytes: number
  /** Answers "too big" that were given. */
  readonly tooBig: number
}

/** A setting that is true or false, or left out. Throws a TypeError with the key and the value for anything else. */
export function boolean(key: string, value: boolean | undefined, usual: boolean): boolean {
  if (value !== undefined && typeof value !== 'boolean') {
    throw new TypeError(`${key} must be true or false, not ${JSON.stringify(value)}`)
  }
  return value ?? usual
}

/** Throws a RangeError where a value is not one of its choices. */
export function oneOf(key: string, value: string, choices: readonly string[]): void {
  if (!choices.includes(value))
    throw new RangeError(`${key} must be one of ${choices.join(', ')}, not ${String(value)}`)
}

/** Reads a unicast MAC. Throws with the key where it is none. */
export function unicast(key: string, text: string): Uint8Array {
  let mac: Uint8Array
  try {
    mac = parseMac(text)
  } catch (error) {
    throw new TypeError(`${key}: ${(error as Error).message}`, { cause: error })
  }
  if (eth.isGroup(mac, 0) || eth.isZero(mac, 0)) throw new RangeError(`${key} must be a unicast address, not ${text}`)
  return mac
}

/** A unicast MAC as it is read from a frame: its first two bytes, its last four, in little-endian order. */
export function macWords(key: string, text: string): [hi: number, lo: number] {
  const mac = new DataView(unicast(key, text).buffer)
  return [mac.getUint16(0, true), mac.getInt32(2, true)]
}
