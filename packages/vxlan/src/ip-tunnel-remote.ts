import { type Frame, type FramePool, type Neighbours, type Prefix, parsePrefix } from '@l2l3/switch-core'
import { copy, ipv4, put16, put32, u16, u32 } from '@l2l3/switch-core/wire'
import * as explain from './explain.ts'
import { FanMapping, type FanOptions } from './fan.ts'
import { type IpAddress, parseIp } from './ip-tunnel-outer.ts'

/*
 * Where a tunnel leads to.
 *
 *     an address       one far end: a point-to-point link
 *     `next-hop`       the next hop of the route: `to 10.244.2.0/24 via 192.168.77.2` leads to node 192.168.77.2 (Linux: a
 *                      tunnel with `remote any`; Calico's tunl0, flannel.ipip)
 *     a FAN            computed of the inner destination
 *
 * A router asks its neighbours for the MAC address of a next hop. On a tunnel nobody has one, and none is needed: `neighbours`
 * always knows. With `next-hop` it writes the far end's address itself into the place of the MAC, where the tunnel finds it:
 *
 *     02:00:c0:a8:4d:02   ->   192.168.77.2
 *
 * An IPv6 next hop names an IPv4 far end where the address has one in it: ::ffff:192.0.2.1, ::192.0.2.1 (RFC 4291, 2.5.5),
 * 2002:c000:201:: (6to4, RFC 3056). Another is none: the frame ends as `NoRemote`.
 */

/** Where a tunnel leads to, as it is configured. */
export type RemoteOptions = string | { fan: FanOptions }

/** Finds the far end of frames. */
export class Remotes {
  readonly kind: 'fixed' | 'next-hop' | 'fan'
  /** The far end, where there is one. */
  readonly fixed: IpAddress | null
  /** The bytes of the far end that `find` has found. */
  readonly bytes: Uint8Array
  readonly #fan: FanMapping | null
  readonly #peers: readonly Prefix[] | null
  readonly #v6: boolean

  /** Throws where an address is none, or not of the family of `local`. */
  constructor(local: IpAddress, remote: RemoteOptions, peers: readonly string[] | undefined) {
    this.#v6 = local.v6
    this.#fan = typeof remote === 'object' && remote !== null ? new FanMapping(remote.fan) : null
    this.kind = this.#fan !== null ? 'fan' : remote === 'next-hop' ? 'next-hop' : 'fixed'
    this.fixed = this.kind === 'fixed' ? parseIp('remote', remote as string) : null
    if (this.fixed === null && local.v6) {
      throw new RangeError('remote must be an address where local is IPv6: next hops and FANs tell IPv4 addresses only')
    }
    if (this.fixed !== null && this.fixed.v6 !== local.v6) {
      throw new RangeError(`remote ${remote} is not of the same family as local`)
    }
    if (this.#fan !== null && this.#fan.subnetOf(local.ip) === -1) {
      throw new RangeError('local is not in the FAN underlay')
    }
    this.bytes = this.fixed?.bytes ?? new Uint8Array(4)
    if (peers !== undefined && this.fixed !== null)
      throw new RangeError('peers: a tunnel with one remote has no others')
    this.#peers = peers === undefined ? null : peers.map((p) => parsePrefix(p))
    for (const [i, p] of (this.#peers ?? []).entries()) {
      if (p.words.length !== 1) throw new RangeError(`peers[${i}] must be an IPv4 prefix, not ${peers?.[i]}`)
    }
  }

  /** How far ends are found, for people. */
  get how(): string {
    if (this.kind === 'fixed') return 'to its one far end'
    return this.kind === 'fan' ? 'to the far end of the FAN that has the destination' : 'to the next hop of the route'
  }

  /** Why there is none for a frame, for people. */
  get why(): string {
    return this.kind === 'fan'
      ? 'its destination is in no subnet of the FAN'
      : 'the next hop of its route is no IPv4 address'
  }

  /** Finds the far end for a frame at `o` with its IP header at `l3`, 0 where it has none; false where there is none. */
  find(b: Uint8Array, o: number, l3: number, version: number): boolean {
    if (this.fixed !== null) return true
    let ip: number
    if (this.#fan !== null) ip = version === 4 ? this.#fan.nodeOf(u32(b, l3 + ipv4.DST)) : -1
    else ip = u16(b, o) === 0x0200 ? u32(b, o + 2) : 0
    if (ip === -1 || !isHost(ip)) return false
    put32(this.bytes, 0, ip)
    return true
  }

  /** Tells whether an outer packet whose source is at `at` may come in. */
  accepts(b: Uint8Array, at: number): boolean {
    const { fixed } = this
    if (fixed !== null) {
      for (let i = 0; i < fixed.bytes.length; i++) if (b[at + i] !== fixed.bytes[i]) return false
      return true
    }
    const ip = u32(b, at)
    if (!isHost(ip)) return false
    if (this.#fan !== null && this.#fan.subnetOf(ip) === -1) return false
    const peers = this.#peers
    if (peers === null) return true
    for (let i = 0; i < peers.length; i++) if (within(ip, peers[i] as Prefix)) return true
    return false
  }

  /** Tells whether the far end that was found is the address at `at`. */
  is(b: Uint8Array, at: number): boolean {
    const n = this.#v6 ? 16 : 4
    for (let i = 0; i < n; i++) if (b[at + i] !== this.bytes[i]) return false
    return true
  }
}

/** Tells whether an IPv4 address can be one host's. */
function isHost(ip: number): boolean {
  const first = ip >>> 24
  return first !== 0 && first !== 127 && first < 224
}

function within(ip: number, p: Prefix): boolean {
  return p.length === 0 || (ip ^ (p.words[0] as number)) >>> (32 - p.length) === 0
}

/** Knows every next hop on a tunnel. */
export class TunnelNeighbours implements Neighbours {
  readonly #pool: FramePool

  constructor(pool: FramePool) {
    this.#pool = pool
  }

  resolve4(f: Frame, ip: number): boolean {
    const o = this.#pool.off[f] as number
    put16(this.#pool.bytes, o, 0x0200)
    put32(this.#pool.bytes, o + 2, ip)
    if (this.#pool.trace !== null) explain.nextHop(this.#pool, f)
    return true
  }

  resolve6(f: Frame, bytes: Uint8Array, at: number): boolean {
    const b = this.#pool.bytes
    const o = this.#pool.off[f] as number
    put16(b, o, 0x0200)
    if (u16(bytes, at) === 0x2002) copy(b, o + 2, bytes, at + 2, 4)
    else if (
      u32(bytes, at) === 0 &&
      u32(bytes, at + 4) === 0 &&
      (u32(bytes, at + 8) === 0xffff || u32(bytes, at + 8) === 0)
    ) {
      copy(b, o + 2, bytes, at + 12, 4)
    } else put32(b, o + 2, 0)
    if (this.#pool.trace !== null) explain.nextHop(this.#pool, f)
    return true
  }
}
