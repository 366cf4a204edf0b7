/*
 * What a frame's offload metadata can say: the bits of the columns `flags` and `gsoType`, with the numbers that virtio-net
 * gives them (virtio 1.2, 5.1.6; the tunnel's are of virtio 1.4 and Linux 6.17).
 *
 *     | Ethernet | outer IP | UDP | VXLAN or GENEVE | Ethernet | inner IP | TCP |           payload            |
 *     0                     outerL4                            innerL3    csumStart
 *
 * A tunnel super-frame is a super-frame that was encapsulated whole. `gsoType` then tells its inner packet's kind and the
 * outer packet's version; `csumStart`, `csumOffset`, `hdrLen` and `gsoSize` are those of the inner packet. The outer UDP
 * length and IP length are those of the whole. The outer UDP checksum is zero, or, where `OffloadFlag.TunnelChecksum` says
 * that segments shall have one, the sum of its pseudo-header over the whole, as a missing checksum always is.
 */

/** Bits of the column `flags`. */
export const OffloadFlag = {
  /** The checksum at csumStart + csumOffset is missing; the field holds the sum of the pseudo-header. */
  NeedsChecksum: 1,
  /** The checksums are known to be right. */
  ChecksumsRight: 2,
  /** Of a tunnel super-frame: the outer UDP checksum is wanted. */
  TunnelChecksum: 8,
} as const

/** Values of the column `gsoType`: one of the first three, or with a tunnel's bit, and perhaps with `Ecn`. */
export const GsoType = {
  Tcp4: 1,
  Tcp6: 4,
  /** UDP over either IP version. */
  Udp: 5,
  /** Inside UDP inside IPv4. */
  TunnelIpv4: 0x20,
  /** Inside UDP inside IPv6. */
  TunnelIpv6: 0x40,
  /** The TCP header has CWR set. */
  Ecn: 0x80,
} as const

/** The bits of `gsoType` that make a tunnel super-frame. */
export const TUNNEL: number = GsoType.TunnelIpv4 | GsoType.TunnelIpv6

/** The bits of `gsoType` that tell the kind of the packet that is cut: the inner one of a tunnel super-frame. */
export const GSO_KIND = 0x1f
