import { Drop, type Frame, type FramePool } from '@l2l3/switch-core'
import { checksum, ipv4, ipv6 } from '@l2l3/switch-core/wire'
import { ecnEgress } from './ecn.ts'
import * as geneve from './geneve.ts'
import { ETH, NEEDS_CSUM, swap, TUNNEL_BITS } from './outer-row.ts'

/*
 * What a tunnel's end takes, and what it drops for which reason (modes.md 20.2, 20.5).
 *
 *     outer Ethernet, IP, UDP   cut short, lengths that contradict           Malformed
 *                               not UDP, not our port; a later fragment,
 *                               in which no port stands                      not ours: `NOT_OURS`, somebody else's
 *                               a first fragment for our port                OuterFragment
 *                               wrong checksum; none over IPv6               BadChecksum
 *     VXLAN                     I clear, unknown flags                       TunnelFlags
 *                               P: VXLAN-GPE                                 TunnelProtocol
 *                               reserved bytes not zero (`linux`)            TunnelReserved
 *     GENEVE                    version                                      TunnelVersion
 *                               options beyond the end, or not OptLen long;
 *                               C is not what they say                       TunnelOptions
 *                               a critical option that is not known          CriticalOption
 *                               O: a control message                         TunnelControl
 *                               not an Ethernet frame                        TunnelProtocol
 *                               reserved bits: ignored (RFC 8926, 3.4)
 *     both                      unknown VNI                                  UnknownVni
 *                               less than 14 bytes inside                    InnerRunt
 *                               a VLAN tag inside, where none is carried     InnerVlan
 *                               outer CE, inner Not-ECT                      EcnMismatch
 *
 * What is taken loses its outer headers, and what was padding behind them; inner ECN is made true. Nothing is copied.
 *
 * Offload metadata: checksums of a frame that still has its sender's work to do, and of super-frames, were made on this
 * host and are not verified. A tunnel super-frame becomes a plain one. Where it was the outer checksum that was missing -
 * Linux leaves it so for small frames from a vxlan device - the frame inside is complete. A train of outer datagrams in one
 * frame (UDP GSO) is cut first.
 */

/** The packet is not for this tunnel's end: nothing was changed. */
export const NOT_OURS = -1000
/** The frame is a train of outer datagrams: nothing was changed, see `OuterTable.cut`. */
export const CUT_TRAIN = -1001

/** Takes the outer headers off frame `f`, which the caller owns, for endpoint `end`: the number of its network; `NOT_OURS`;
 * `CUT_TRAIN`; or `~Drop` where it must end. Any bytes will do. */
export type Unwrap = (f: number, end: number) => number

/** Takes the outer headers off `frames[start..stop)` up to the first frame that needs thought or is of another network than those
 * before, and gives its index: that one is for `unwrap`, or to be owned first. Of `RUN` frames at most, and only where the
 * endpoint has an address. What they have in common is in `EndTable.seen`, where each came from in `EndTable.sources`. */
export type UnwrapRun = (frames: Uint32Array, start: number, stop: number, end: number) => number

/** Places of `EndTable.seen`: what was found in the outer headers of the last frame that `unwrap` has taken, or of a run. */
export const Seen = {
  /** VNI: its three bytes as they are read in little-endian order. */
  Vni: 0,
  /** 4 or 6. */
  Version: 1,
  /** The outer source: one word, or four, as they are read from the frame in little-endian order. */
  Src: 2,
  /** Where the tunnel header started in the pool's bytes, and still stands, in the headroom; not of a run. */
  Header: 6,
  /** The number of the network, of a run. */
  Network: 7,
} as const

const CHECKED = 3
const OUTER_FLAGS = 8 | 2

/* An endpoint's row. */
export const PORT = 0
export const BITS = 1
export const ANY_VNI = 2
/** 4 or 6; 0 where it has no address of its own. */
export const FAMILY = 3
/** Its address, one word or four, as they are read from a frame in little-endian order. */
export const LOCAL = 4
export const ROW = 8

export const GENEVE = 1
export const STRICT = 2
export const VERIFY = 4
export const ZERO6 = 8
export const NO_TAGS = 16
export const GBP = 32

/** The arrays that the loops work on. */
export interface EndArrays {
  readonly pool: FramePool
  readonly seen: Int32Array
  /** Outer sources of a run, four words a frame. */
  readonly sources: Int32Array
  /** Endpoints, `ROW` words each. */
  readonly rows: Int32Array
  /** GENEVE options that they understand. */
  readonly known: readonly ReadonlySet<number>[]
  /** Networks by endpoint and VNI: see `EndTable`. */
  readonly table: Int32Array
}

/** What both ways out of a tunnel ask. */
export interface EndRules {
  /** Why a VXLAN header is not taken, or 0. */
  vxlanWrong(at: number, bits: number): number
  /** Bytes of a GENEVE header, or why it is not taken. */
  geneveLength(at: number, end: number, known: ReadonlySet<number>): number
  /** Makes inner ECN true; false where the frame ends. */
  ecn(inner: number, end: number, tos: number): boolean
}

/** Makes the rules of a pool's endpoints. */
export function makeRules({ pool }: EndArrays): EndRules {
  const { bytes, data } = pool

  const vxlanWrong = (at: number, bits: number): number => {
    const first = bytes[at] as number
    if ((first & 0x04) !== 0) return ~Drop.TunnelProtocol
    if ((first & 0x08) === 0) return ~Drop.TunnelFlags
    if ((bits & STRICT) === 0) return 0
    if ((first & ((bits & GBP) !== 0 ? 0x77 : 0xf7)) !== 0) return ~Drop.TunnelFlags
    if (bytes[at + 7] !== 0) return ~Drop.TunnelReserved
    // A group policy id has the bytes for itself.
    return (first & 0x80) === 0 && (bytes[at + 1]! | bytes[at + 2]! | bytes[at + 3]!) !== 0 ? ~Drop.TunnelReserved : 0
  }

  const geneveLength = (at: number, end: number, known: ReadonlySet<number>): number => {
    if (geneve.version(bytes, at) !== 0) return ~Drop.TunnelVersion
    const inner = geneve.check(bytes, at, end)
    if (inner === -1) return ~Drop.TunnelOptions
    const verdict = geneve.checkOptions(bytes, at, known)
    if (verdict === geneve.Options.UnknownCritical) return ~Drop.CriticalOption
    if (verdict !== geneve.Options.Ok) return ~Drop.TunnelOptions
    if ((geneve.flags(bytes, at) & geneve.Flag.Control) !== 0) return ~Drop.TunnelControl
    if (geneve.protocol(bytes, at) !== geneve.ETHERNET) return ~Drop.TunnelProtocol
    return inner - at
  }

  const ecn = (inner: number, end: number, tos: number): boolean => {
    let l3 = inner + ETH
    let type = data.getUint16(inner + 12, true)
    for (let tags = 0; (type === 0x0081 || type === 0xa888) && tags < 2 && end - l3 >= 4; tags++) {
      type = data.getUint16(l3 + 2, true)
      l3 += 4
    }
    if (type === 0x0008 && end - l3 >= 20 && (bytes[l3] as number) >>> 4 === 4) return ecnEgress(bytes, l3, tos)
    if (type === 0xdd86 && end - l3 >= 40 && (bytes[l3] as number) >>> 4 === 6) return ecnEgress(bytes, l3, tos)
    return true
  }

  return { vxlanWrong, geneveLength, ecn }
}

/** Makes `EndTable.unwrap`. */
export function makeUnwrap({ pool, seen, rows, known, table }: EndArrays, rules: EndRules): Unwrap {
  const { bytes, data, off, len, flags, gsoType, csumStart } = pool
  const upper = new ipv6.Upper()
  const { pseudo4, pseudo6, sum } = checksum
  const { vxlanWrong, geneveLength, ecn } = rules

  /** Where UDP starts behind IPv6 extension headers; 0 where it does not. */
  const udp6 = (ip: number, end: number): number => {
    if (!ipv6.upper(bytes, ip, end, upper) || upper.protocol !== ipv4.Protocol.Udp) return 0
    return upper.fragmentOffset === 0 ? upper.offset : 0
  }

  /** Keeps the offload metadata true when `length` bytes go. */
  const uncover = (f: number, length: number): boolean => {
    const kind = gsoType[f] as number
    let bits = (flags[f] as number) & ~OUTER_FLAGS
    if ((bits & NEEDS_CSUM) !== 0 && (csumStart[f] as number) < length + ETH) {
      if (kind !== 0) return false
      bits &= ~NEEDS_CSUM
    }
    flags[f] = bits
    gsoType[f] = kind & ~TUNNEL_BITS
    pool.shiftOffload(f as Frame, -length)
    return true
  }

  return (f, endpoint) => {
    const row = endpoint * ROW
    const bits = rows[row + BITS] as number
    const o = off[f] as number
    const n = len[f] as number
    const kind = gsoType[f] as number
    if (n < ETH + 28) return NOT_OURS
    const type = data.getUint16(o + 12, true)
    let end: number
    let udp: number
    let tos: number
    let fragment = false
    const ip = o + ETH
    if (type === 0x0008) {
      const first = bytes[ip] as number
      const header = (first & 15) << 2
      let total = swap(data.getUint16(ip + 2, true))
      if (total === 0 && kind !== 0) total = n - ETH
      if (first >>> 4 !== 4 || header < 20 || total < header || total > n - ETH) return ~Drop.Malformed
      if (bytes[ip + 9] !== 17) return NOT_OURS
      const place = data.getUint16(ip + 6, true)
      if ((place & 0xff1f) !== 0) return NOT_OURS
      fragment = (place & 0x20) !== 0
      tos = bytes[ip + 1] as number
      udp = ip + header
      end = ip + total
    } else if (type === 0xdd86) {
      if (n < ETH + 48 || (bytes[ip] as number) >>> 4 !== 6) return ~Drop.Malformed
      let payload = swap(data.getUint16(ip + 4, true))
      if (payload === 0 && kind !== 0) payload = n - ETH - 40
      if (payload > n - ETH - 40) return ~Drop.Malformed
      end = ip + 40 + payload
      udp = ip + 40
      if (bytes[ip + 6] !== 17) {
        udp = udp6(ip, end)
        if (udp === 0) return NOT_OURS
        fragment = upper.more
      }
      tos = swap(data.getUint16(ip, true)) >>> 4
    } else return NOT_OURS
    if (end - udp < 8 || data.getUint16(udp + 2, true) !== rows[row + PORT]) return NOT_OURS
    if (fragment) return ~Drop.OuterFragment
    if (kind !== 0 && (kind & TUNNEL_BITS) === 0) return CUT_TRAIN
    let size = swap(data.getUint16(udp + 4, true))
    if (size === 0 && kind !== 0) size = end - udp
    if (size < 8 || size > end - udp) return ~Drop.Malformed
    end = udp + size
    if (data.getUint16(udp + 6, true) !== 0) {
      if ((bits & VERIFY) !== 0 && ((flags[f] as number) & CHECKED) === 0 && kind === 0) {
        const pseudo = type === 0x0008 ? pseudo4(bytes, ip, 17, size) : pseudo6(bytes, ip, 17, size)
        if (sum(data, udp, end, pseudo) !== 0xffff) return ~Drop.BadChecksum
      }
    } else if (type === 0xdd86 && (bits & ZERO6) === 0 && kind === 0) return ~Drop.BadChecksum
    const at = udp + 8
    if (end - at < 8) return ~Drop.Malformed
    let header = 8
    if ((bits & GENEVE) !== 0) {
      header = geneveLength(at, end, known[endpoint] as ReadonlySet<number>)
      if (header < 0) return header
    } else if (data.getInt32(at, true) !== 8 || bytes[at + 7] !== 0) {
      const why = vxlanWrong(at, bits)
      if (why !== 0) return why
    }
    const key = data.getInt32(at + 4, true) & 0xffffff
    let slot = home(key, endpoint, table.length)
    while (table[slot + 1] !== 0 && (table[slot] !== key || table[slot + 1] !== endpoint + 1)) {
      slot = (slot + 4) & (table.length - 1)
    }
    const network = table[slot + 1] === 0 ? (rows[row + ANY_VNI] as number) : (table[slot + 2] as number)
    if (network < 0) return ~Drop.UnknownVni
    const inner = at + header
    if (end - inner < ETH) return ~Drop.InnerRunt
    if ((bits & NO_TAGS) !== 0) {
      const tag = data.getUint16(inner + 12, true)
      if (tag === 0x0081 || tag === 0xa888) return ~Drop.InnerVlan
    }
    if ((tos & 3) !== 0 && !ecn(inner, end, tos)) return ~Drop.EcnMismatch
    const length = inner - o
    if (((flags[f] as number) | kind) !== 0 && !uncover(f, length)) return ~Drop.BadOffload
    off[f] = inner
    len[f] = end - inner
    seen[0] = key
    if (type === 0x0008) {
      seen[1] = 4
      seen[2] = data.getInt32(ip + 12, true)
    } else {
      seen[1] = 6
      seen[2] = data.getInt32(ip + 8, true)
      seen[3] = data.getInt32(ip + 12, true)
      seen[4] = data.getInt32(ip + 16, true)
      seen[5] = data.getInt32(ip + 20, true)
    }
    seen[6] = at
    return network
  }
}

/** The bytes of a VNI as they are read from a frame, in little-endian order; and back. */
export function vniKey(vni: number): number {
  return ((vni & 0xff) << 16) | (vni & 0xff00) | (vni >>> 16)
}

/** Where in a table of `words` words a VNI's entry is looked for first. */
export function home(key: number, endpoint: number, words: number): number {
  const h = Math.imul(key ^ (endpoint << 24), 0x9e3779b1)
  return ((h ^ (h >>> 15)) << 2) & (words - 1)
}

/** Sum of UDP's pseudo-header of two addresses in little-endian words. */
export function pseudoSum(src: number, dst: number, length: number): number {
  const s = (src & 0xffff) + (src >>> 16) + (dst & 0xffff) + (dst >>> 16)
  return swap(((s & 0xffff) + (s >>> 16) + ((s & 0xffff) + (s >>> 16) > 0xffff ? 1 : 0)) & 0xffff) + 17 + length
}
