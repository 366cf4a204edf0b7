import { type FramePool, Offload } from '@l2l3/switch-core'
import { checksum, copy, eth, ipv4, ipv6, put16, put32, u16, u32 } from '@l2l3/switch-core/wire'
import { tosTable } from './ecn.ts'
import { addressBytes, isHostAddress } from './outer.ts'
import type { TunnelSettings } from './profile.ts'

/*
 * The outer Ethernet and IP header of the plainer tunnels.
 *
 *     | MACs zero | type | IPv4 20                                     | what the tunnel adds ...
 *     | MACs zero | type | IPv6 40 | options for the destination 8     |
 *                                    '- encapsulation limit, RFC 2473 -'
 *
 * Of IPv6, what never changes stands in a header that is made once and copied; IPv4's is five words, which are put together.
 * The MAC addresses are the underlay's to fill in.
 */

/** Bytes of the destination options that hold a tunnel encapsulation limit and padding (RFC 2473, 4.1.1 and 5.1). */
export const LIMIT_HLEN = 8
/** The option's type. */
export const LIMIT_OPTION = 4

/** An IP address of either version, as configuration gives it. */
export interface IpAddress {
  readonly v6: boolean
  /** The IPv4 address as a number; 0 of IPv6. */
  readonly ip: number
  /** Its 4 or 16 bytes. */
  readonly bytes: Uint8Array
}

/** Reads an address that a person wrote. Throws a TypeError with the key and the value where it is none, and a RangeError
 * where it is not one that a host can have. */
export function parseIp(key: string, text: string): IpAddress {
  const bytes = addressBytes(key, text)
  const v6 = bytes.length === 16
  if (!isHostAddress(bytes)) throw new RangeError(`${key} must be one host's address, not ${text}`)
  return { v6, ip: v6 ? 0 : u32(bytes, 0), bytes }
}

/** Writes outer headers from one address. */
export class OuterIp {
  /** Bytes of Ethernet and IP header. */
  readonly length: number
  readonly v6: boolean
  /** Of IPv6, the whole header. */
  readonly #header: Uint8Array
  /** Of IPv4, our address, as it is read in little-endian order. */
  readonly #source: number
  readonly #tos: Uint8Array
  readonly #df: TunnelSettings['df']
  readonly #ttl: number
  readonly #label: number | 'hash'
  readonly #limit: boolean
  readonly #countIds: boolean
  #id = 0

  /** @param limit of further encapsulations that is told to the next tunnel; null: no option. IPv6 only */
  constructor(local: IpAddress, settings: TunnelSettings, limit: number | null) {
    this.v6 = local.v6
    this.#limit = local.v6 && limit !== null
    this.length = eth.HLEN + (local.v6 ? ipv6.HLEN + (this.#limit ? LIMIT_HLEN : 0) : ipv4.HLEN)
    this.#tos = tosTable(settings.tos, settings.ecnIngress)
    this.#df = settings.df
    this.#ttl = settings.ttl === 'inherit' ? 0 : settings.ttl
    this.#label = settings.flowLabel
    this.#countIds = settings.ipId === 'counter'
    this.#source = local.v6 ? 0 : word(local.bytes, 0)
    const h = new Uint8Array(local.v6 ? this.length : 0)
    this.#header = h
    if (!local.v6) return
    put16(h, eth.TYPE, eth.EtherType.IPv6)
    copy(h, eth.HLEN + ipv6.SRC, local.bytes, 0, 16)
    if (!this.#limit) return
    // The limit, and PadN to the end of the eight bytes.
    put32(h, eth.HLEN + ipv6.HLEN, 0x0000_0401)
    put32(h, eth.HLEN + ipv6.HLEN + 4, ((limit as number) << 24) | 0x01_01_00)
  }

  /**
   * Writes an outer header of `length` bytes at `at`, in front of `payload` bytes.
   * @param remote where the destination's 4 or 16 bytes are in `from`
   * @param tos of the inner packet, 256 for what is not IP; `ttl` likewise its own
   * @param df the inner packet's DF: not zero where it is set
   * @param whole false: DF stays clear whatever the settings say
   */
  write(
    pool: FramePool,
    at: number,
    protocol: number,
    payload: number,
    from: Uint8Array,
    remote: number,
    tos: number,
    ttl: number,
    df: number,
    whole: boolean,
    hash: number,
    limit: number,
  ): void {
    const { bytes: b, data } = pool
    const ip = at + eth.HLEN
    const outerTtl = this.#ttl === 0 ? ttl : this.#ttl
    const outerTos = this.#tos[tos] as number
    if (this.v6) {
      copy(b, at, this.#header, 0, this.length)
      const label = this.#label === 'hash' ? (hash >>> 12) & 0xfffff : this.#label
      put32(b, ip, 0x6000_0000 | (outerTos << 20) | label)
      put16(b, ip + 4, payload + (this.#limit ? LIMIT_HLEN : 0))
      b[ip + ipv6.NEXT_HEADER] = this.#limit ? ipv4.Protocol.DestinationOptions : protocol
      b[ip + ipv6.HOP_LIMIT] = outerTtl
      copy(b, ip + ipv6.DST, from, remote, 16)
      if (this.#limit) {
        b[ip + ipv6.HLEN] = protocol
        b[ip + ipv6.HLEN + 4] = limit
      }
      return
    }
    const dontFragment = whole && (this.#df === 'set' || (this.#df === 'inherit' && df !== 0))
    const id = this.#countIds || !dontFragment ? swap(this.nextId()) : 0
    // Words as they are in little-endian order, and their sum likewise: its carries do not mind (RFC 1071, 2 B).
    const w0 = 0x45 | (outerTos << 8) | (swap(ipv4.HLEN + payload) << 16)
    const w1 = id | (dontFragment ? 0x40_0000 : 0)
    const w2 = outerTtl | (protocol << 8)
    const w3 = this.#source
    const w4 = word(from, remote)
    let sum = (w0 & 0xffff) + (w0 >>> 16) + (w1 & 0xffff) + (w1 >>> 16) + w2
    sum += (w3 & 0xffff) + (w3 >>> 16) + (w4 & 0xffff) + (w4 >>> 16)
    sum = (sum & 0xffff) + (sum >>> 16)
    sum = ~((sum & 0xffff) + (sum >>> 16)) & 0xffff
    data.setInt32(at, 0, true)
    data.setInt32(at + 4, 0, true)
    data.setInt32(at + 8, 0, true)
    data.setUint16(at + eth.TYPE, 0x0008, true)
    data.setInt32(ip, w0, true)
    data.setInt32(ip + 4, w1, true)
    data.setInt32(ip + 8, w2 | (sum << 16), true)
    data.setInt32(ip + ipv4.SRC, w3, true)
    data.setInt32(ip + ipv4.DST, w4, true)
  }

  /** The next identification: 1 to 65,535, and from the beginning. */
  nextId(): number {
    return (this.#id = (this.#id % 65_535) + 1)
  }

  /** Tells whether an outer packet may be cut on its way: IPv4 that need not have DF. */
  get mayBeCut(): boolean {
    return !this.v6 && this.#df !== 'set'
  }
}

/**
 * The sum of `[o, end)`, in which an inner checksum may still be missing: local checksum offload (Linux
 * Documentation/networking/checksum-offloads). Once it is there, the words it covers add up to the complement of what is in its
 * field now, so that they need not be read.
 */
export function sumOf(pool: FramePool, f: number, o: number, end: number, initial = 0): number {
  if ((pool.flags[f]! & Offload.Checksum) === 0) return checksum.sum(pool.data, o, end, initial)
  const start = (pool.off[f] as number) + (pool.csumStart[f] as number)
  const at = start + (pool.csumOffset[f] as number)
  // Metadata that points elsewhere is for whoever finishes the frame to refuse.
  if (start < o || at + 2 > end) return checksum.sum(pool.data, o, end, initial)
  return checksum.sum(pool.data, o, start, initial + (~u16(pool.bytes, at) & 0xffff))
}

/** Four bytes at any place as a word in little-endian order. */
function word(b: Uint8Array, o: number): number {
  return b[o]! | (b[o + 1]! << 8) | (b[o + 2]! << 16) | (b[o + 3]! << 24)
}

/** The two bytes of a 16-bit number the other way round. */
function swap(v: number): number {
  return ((v & 0xff) << 8) | (v >>> 8)
}
